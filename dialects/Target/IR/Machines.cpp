//===- Machines.cpp - what is known of CPUs and devices by name -----------===//
#include "dialects/Target/IR/TargetDialect.h"
#include "llvm/TargetParser/Host.h"

using namespace mlir;
using namespace tenon::target;

//===----------------------------------------------------------------------===//
// CPUs
//===----------------------------------------------------------------------===//

CPUAttr tenon::target::getTarget(ModuleOp module) { return module->getAttrOfType<CPUAttr>("target.cpu"); }

static constexpr const char *kTriple = "x86_64-unknown-linux-gnu";

CPUAttr tenon::target::lookupCPU(MLIRContext *context, StringRef level, std::string &error) {
  // Cache sizes of a typical server core of each level.
  if (level == "x86-64-v2")
    return CPUAttr::get(context, level, kTriple, level, "", 128, 16, false, false, 32 << 10, 256 << 10);
  if (level == "x86-64-v3")
    return CPUAttr::get(context, level, kTriple, level, "", 256, 16, true, true, 32 << 10, 512 << 10);
  if (level == "x86-64-v4")
    return CPUAttr::get(context, level, kTriple, level, "-prefer-256-bit", 512, 32, true, true, 32 << 10, 1 << 20);
  if (level == "host") {
    auto features = llvm::sys::getHostCPUFeatures();
    bool v4 = features.lookup("avx512f") && features.lookup("avx512vl") && features.lookup("avx512bw") &&
              features.lookup("avx512dq") && features.lookup("avx512cd");
    bool v3 = features.lookup("avx2") && features.lookup("fma") && features.lookup("f16c") && features.lookup("bmi2");
    bool v2 = features.lookup("sse4.2") && features.lookup("popcnt");
    if (v2)
      return lookupCPU(context, v4 ? "x86-64-v4" : v3 ? "x86-64-v3" : "x86-64-v2", error);
    error = "this machine is below x86-64-v2";
    return {};
  }
  error = ("CPU level '" + level + "' is unknown; known are host, x86-64-v2, x86-64-v3 and x86-64-v4").str();
  return {};
}

//===----------------------------------------------------------------------===//
// Devices
//===----------------------------------------------------------------------===//

static constexpr llvm::StringLiteral kGPUAttr = "target.gpu";

GPUAttr tenon::target::getDevice(ModuleOp module) { return module->getAttrOfType<GPUAttr>(kGPUAttr); }
void tenon::target::setDevice(ModuleOp module, GPUAttr device) { module->setAttr(kGPUAttr, device); }

namespace {
/// One architecture of a vendor.
struct Arch {
  llvm::StringLiteral name;
  int64_t subgroup, sharedBytes;
  MatrixUnit matrix;
  bool hasBF16, hasWarpgroups = false;
};
} // namespace

// Compute capabilities that LLVM 22 and the ptxas of CUDA 13 both know; with an `a`, of that very processor only.
static constexpr Arch kCUDA[] = {
    {"sm_75", 32, 64 << 10, MatrixUnit::None, false}, {"sm_80", 32, 163 << 10, MatrixUnit::Mma, true},
    {"sm_86", 32, 99 << 10, MatrixUnit::Mma, true},   {"sm_87", 32, 163 << 10, MatrixUnit::Mma, true},
    {"sm_89", 32, 99 << 10, MatrixUnit::Mma, true},   {"sm_90", 32, 227 << 10, MatrixUnit::Mma, true},
    {"sm_90a", 32, 227 << 10, MatrixUnit::Mma, true, true}, {"sm_100", 32, 227 << 10, MatrixUnit::Mma, true},
    {"sm_100a", 32, 227 << 10, MatrixUnit::Mma, true}, {"sm_103a", 32, 227 << 10, MatrixUnit::Mma, true},
    {"sm_120", 32, 99 << 10, MatrixUnit::Mma, true},  {"sm_120a", 32, 99 << 10, MatrixUnit::Mma, true}};

static constexpr Arch kROCm[] = {
    {"gfx90a", 64, 64 << 10, MatrixUnit::Mfma, false},    {"gfx942", 64, 64 << 10, MatrixUnit::Mfma, false},
    {"gfx950", 64, 64 << 10, MatrixUnit::Mfma, true},     {"gfx1030", 32, 64 << 10, MatrixUnit::None, false},
    {"gfx1100", 32, 64 << 10, MatrixUnit::Wmma11, false}, {"gfx1101", 32, 64 << 10, MatrixUnit::Wmma11, false},
    {"gfx1102", 32, 64 << 10, MatrixUnit::Wmma11, false}, {"gfx1150", 32, 64 << 10, MatrixUnit::Wmma11, false},
    {"gfx1151", 32, 64 << 10, MatrixUnit::Wmma11, false}, {"gfx1200", 32, 64 << 10, MatrixUnit::Wmma12, false},
    {"gfx1201", 32, 64 << 10, MatrixUnit::Wmma12, false}};

// What devices may have beyond that which all must: names of features, not of processors. What a file's kernels need of
// shared memory is held against the device when it is opened.
static constexpr Arch kVulkan[] = {{"", 0, 16 << 10, MatrixUnit::None, false}, {"coopmat", 0, 48 << 10, MatrixUnit::Cooperative, false}};

GPUAttr tenon::target::lookupGPU(MLIRContext *context, StringRef name, std::string &error) {
  auto [api, arch] = name.split(':');
  // What the user allows beyond what the processor has follows its name.
  bool usesTF32 = arch.consume_back("+tf32");
  std::optional<DeviceApi> which = symbolizeDeviceApi(api);
  if (!which) {
    error = ("device '" + name + "' is unknown; known are vulkan, cuda:sm_80, rocm:gfx942, …").str();
    return {};
  }
  static constexpr llvm::StringLiteral kinds[] = {"Vulkan", "NVIDIA", "AMD"};
  ArrayRef<Arch> lists[] = {kVulkan, kCUDA, kROCm}, known = lists[static_cast<unsigned>(*which)];
  for (const Arch &each : known) {
    if (each.name != arch)
      continue;
    if (usesTF32 && each.matrix != MatrixUnit::Mma) {
      error = ("device '" + name.drop_back(5) + "' does not compute in TF32; NVIDIA's from sm_80 on do").str();
      return {};
    }
    return GPUAttr::get(context, name, *which, arch, each.subgroup, each.sharedBytes, each.matrix, each.hasBF16,
                        each.hasWarpgroups, usesTF32);
  }
  error = (kinds[static_cast<unsigned>(*which)] + Twine(" architecture '") + arch + "' is unknown; known are ").str();
  bool isFirst = true;
  for (const Arch &each : known)
    if (!each.name.empty())
      error += (std::exchange(isFirst, false) ? "" : ", ") + each.name.str();
  return {};
}

bool tenon::target::isNewer(GPUAttr a, GPUAttr b) {
  if (a.getApi() != b.getApi() || a.getApi() == DeviceApi::ROCm) // code of AMD's is for one processor
    return false;
  if (a.getApi() == DeviceApi::Vulkan)
    return a.getMatrix() != MatrixUnit::None && b.getMatrix() == MatrixUnit::None;
  auto version = [](GPUAttr device) {
    StringRef arch = device.getArch();
    arch.consume_front("sm_");
    bool isOwn = arch.consume_back("a");
    unsigned number = 0;
    arch.getAsInteger(10, number);
    return std::pair(number, isOwn);
  };
  return version(a) > version(b);
}
