// CUDA's driver interface: devices, contexts, modules, launches. Streams, copies and graphs are in streams.cpp.
#include "api.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

using namespace tenon::emulator;

//===----------------------------------------------------------------------===//
// State
//===----------------------------------------------------------------------===//

namespace {
struct Driver {
  bool initialized = false;
  std::vector<std::unique_ptr<Device>> devices;
  uint64_t loseAt = 0; ///< the number of the kernel that fails
};
} // namespace

static Driver &driver() {
  static auto *made = new Driver;
  return *made;
}

static thread_local std::vector<Device *> contexts;

static uint64_t numberFromEnvironment(const char *name, uint64_t otherwise) {
  const char *text = std::getenv(name);
  return text && *text ? std::strtoull(text, nullptr, 0) : otherwise;
}

static void writeReport() {
  const char *path = std::getenv("TN_EMULATED_CUDA_REPORT");
  FILE *out = path && *path ? std::fopen(path, "a") : nullptr;
  if (!out)
    return;
  Statistics &s = statistics();
  std::lock_guard lock(s.mutex);
  const std::pair<const char *, uint64_t> lines[] = {
      {"launches", s.launches}, {"graph-launches", s.graphLaunches}, {"graphs", s.graphs}, {"kernels", s.kernels},
      {"blocks", s.counts.blocks}, {"warp-instructions", s.counts.instructions}, {"mma", s.counts.mma},
      {"wgmma", s.counts.wgmma}, {"async-copies", s.counts.asyncCopies}, {"tensor-copies", s.counts.tensorCopies},
      {"barriers", s.counts.barriers}, {"copies-to-device", s.copies[0]}, {"copies-to-host", s.copies[1]},
      {"copies-on-device", s.copies[2]}, {"commands", s.commands}, {"bytes-to-device", s.copiedBytes[0]}, {"bytes-to-host", s.copiedBytes[1]},
      {"bytes-on-device", s.copiedBytes[2]}, {"modules", s.modules}, {"allocations", s.allocations},
      {"synchronizations", s.synchronizations}, {"leaked-bytes", s.leakedBytes}};
  for (auto [name, value] : lines)
    std::fprintf(out, "%s %llu\n", name, static_cast<unsigned long long>(value));
  std::fclose(out);
}

static GpuLimits limitsOf(uint32_t sm) {
  GpuLimits limits;
  limits.sm = sm;
  bool isLarge = sm >= 90 && sm < 120;
  limits.sharedPerProcessor = isLarge ? 233472 : sm == 80 || sm == 87 ? 167936 : 102400;
  limits.sharedOptIn = limits.sharedPerProcessor - 1024;
  return limits;
}

namespace tenon::emulator {

Device *currentDevice(int &result) {
  if (!driver().initialized) {
    result = kNotInitialized;
    return nullptr;
  }
  if (contexts.empty() || !contexts.back()) {
    result = kInvalidContext;
    return nullptr;
  }
  Device *device = contexts.back();
  result = device->retained ? device->sticky.load() : kContextDestroyed;
  return result ? nullptr : device;
}

bool spoilsCapture(Device &device) {
  std::lock_guard lock(stateMutex());
  bool any = false;
  for (auto &[handle, stream] : device.streams)
    if (stream->capture && stream->capture->minds())
      any = stream->capture->invalid = true;
  return any;
}

} // namespace tenon::emulator

//===----------------------------------------------------------------------===//
// Devices
//===----------------------------------------------------------------------===//

TN_CUDA cuInit(unsigned flags) {
  if (flags)
    return kInvalidValue;
  std::lock_guard lock(stateMutex());
  Driver &d = driver();
  if (d.initialized)
    return kSuccess;
#if defined(__x86_64__)
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
    std::fprintf(stderr, "emulated CUDA: needs a CPU with AVX2 and FMA\n");
    return kNoDevice;
  }
#endif
  uint64_t count = numberFromEnvironment("TN_EMULATED_CUDA_DEVICES", 1);
  if (count == 0)
    return kNoDevice;
  GpuLimits limits = limitsOf(static_cast<uint32_t>(numberFromEnvironment("TN_EMULATED_CUDA_SM", 90)));
  uint64_t bytes = numberFromEnvironment("TN_EMULATED_CUDA_MEMORY", uint64_t(8) << 30);
  for (uint32_t i = 0; i < count; ++i)
    d.devices.push_back(std::make_unique<Device>(i, bytes, limits));
  d.loseAt = numberFromEnvironment("TN_EMULATED_CUDA_LOSE", 0);
  if (const char *order = std::getenv("TN_EMULATED_CUDA_ORDER"))
    setOrder(std::strcmp(order, "early") == 0    ? Order::Early
             : std::strcmp(order, "others") == 0 ? Order::Others
                                                 : Order::Late);
  d.initialized = true;
  std::atexit(writeReport);
  return kSuccess;
}

TN_CUDA cuDriverGetVersion(int *version) {
  if (!version)
    return kInvalidValue;
  *version = 13000;
  return kSuccess;
}

static const std::map<int, std::pair<const char *, const char *>> &errors() {
  static const std::map<int, std::pair<const char *, const char *>> all = {
      {kSuccess, {"CUDA_SUCCESS", "no error"}},
      {kInvalidValue, {"CUDA_ERROR_INVALID_VALUE", "invalid argument"}},
      {kOutOfMemory, {"CUDA_ERROR_OUT_OF_MEMORY", "out of memory"}},
      {kNotInitialized, {"CUDA_ERROR_NOT_INITIALIZED", "initialization error"}},
      {kNoDevice, {"CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"}},
      {kInvalidDevice, {"CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"}},
      {kInvalidImage, {"CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"}},
      {kInvalidContext, {"CUDA_ERROR_INVALID_CONTEXT", "invalid device context"}},
      {kNoBinaryForGpu, {"CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device"}},
      {kInvalidPtx, {"CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"}},
      {kInvalidHandle, {"CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"}},
      {kNotFound, {"CUDA_ERROR_NOT_FOUND", "named symbol not found"}},
      {kNotReady, {"CUDA_ERROR_NOT_READY", "device not ready"}},
      {kIllegalAddress, {"CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"}},
      {kLaunchOutOfResources, {"CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"}},
      {kContextDestroyed, {"CUDA_ERROR_CONTEXT_IS_DESTROYED", "context is destroyed"}},
      {kMisalignedAddress, {"CUDA_ERROR_MISALIGNED_ADDRESS", "misaligned address"}},
      {kLaunchFailed, {"CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"}},
      {kNotSupported, {"CUDA_ERROR_NOT_SUPPORTED", "operation not supported"}},
      {kCaptureUnsupported,
       {"CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", "operation not permitted when stream is capturing"}},
      {kCaptureInvalidated,
       {"CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", "operation failed due to a previous error during capture"}},
      {kCaptureUnmatched, {"CUDA_ERROR_STREAM_CAPTURE_UNMATCHED", "capture was not ended in the same stream as it began"}},
      {kCaptureUnjoined, {"CUDA_ERROR_STREAM_CAPTURE_UNJOINED", "capturing stream has unjoined work"}},
      {kCaptureIsolation,
       {"CUDA_ERROR_STREAM_CAPTURE_ISOLATION", "dependency created on uncaptured work in another stream"}},
      {kCaptureImplicit,
       {"CUDA_ERROR_STREAM_CAPTURE_IMPLICIT", "operation would make the legacy stream depend on a capturing stream"}},
      {kCapturedEvent, {"CUDA_ERROR_CAPTURED_EVENT", "operation not permitted on an event last recorded in a capturing stream"}},
      {kGraphUpdateFailure, {"CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE", "the graph update was not performed"}}};
  return all;
}

TN_CUDA cuGetErrorName(CUresult error, const char **text) {
  auto found = errors().find(error);
  *text = found == errors().end() ? nullptr : found->second.first;
  return *text ? kSuccess : kInvalidValue;
}

TN_CUDA cuGetErrorString(CUresult error, const char **text) {
  auto found = errors().find(error);
  *text = found == errors().end() ? nullptr : found->second.second;
  return *text ? kSuccess : kInvalidValue;
}

static Device *deviceAt(CUdevice index, int &result) {
  Driver &d = driver();
  result = !d.initialized ? kNotInitialized : index < 0 || size_t(index) >= d.devices.size() ? kInvalidDevice : kSuccess;
  return result ? nullptr : d.devices[static_cast<size_t>(index)].get();
}

TN_CUDA cuDeviceGetCount(int *count) {
  if (!driver().initialized)
    return kNotInitialized;
  *count = static_cast<int>(driver().devices.size());
  return kSuccess;
}

TN_CUDA cuDeviceGet(CUdevice *device, int index) {
  int result;
  if (deviceAt(index, result))
    *device = index;
  return result;
}

TN_CUDA cuDeviceGetName(char *name, int bytes, CUdevice index) {
  int result;
  if (Device *device = deviceAt(index, result))
    std::snprintf(name, static_cast<size_t>(bytes), "Emulated GPU sm_%u", device->limits.sm);
  return result;
}

TN_CUDA cuDeviceTotalMem_v2(size_t *bytes, CUdevice index) {
  int result;
  if (Device *device = deviceAt(index, result))
    *bytes = device->memory.bytesInAll();
  return result;
}

TN_CUDA cuDeviceGetAttribute(int *value, int attribute, CUdevice index) {
  int result;
  Device *device = deviceAt(index, result);
  if (!device)
    return result;
  const GpuLimits &limits = device->limits;
  const std::map<int, uint32_t> values = {
      {1, 1024}, {2, 1024}, {3, 1024}, {4, 64}, {5, 0x7fffffff}, {6, 65535}, {7, 65535}, {8, limits.sharedPerBlock},
      {9, 65536}, {10, 32}, {11, 0x7fffffff}, {12, 65536}, {13, 1500000}, {14, 512}, {15, 1}, {16, limits.processors},
      {19, 1}, {31, 1}, {36, 1000000}, {37, 256}, {38, 4 << 20}, {39, 2048}, {40, 2}, {41, 1}, {75, limits.sm / 10},
      {76, limits.sm % 10}, {81, limits.sharedPerProcessor}, {82, 65536}, {97, limits.sharedOptIn}, {106, 32}, {111, 1024}};
  auto found = values.find(attribute);
  *value = found == values.end() ? 0 : static_cast<int>(found->second);
  return attribute < 1 || attribute > 200 ? kInvalidValue : kSuccess;
}

//===----------------------------------------------------------------------===//
// Contexts: each device has its primary one
//===----------------------------------------------------------------------===//

TN_CUDA cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice index) {
  int result;
  if (Device *device = deviceAt(index, result)) {
    std::lock_guard lock(stateMutex());
    ++device->retained;
    *context = device;
  }
  return result;
}

/// The end of a context: all that it owned is gone.
static void destroyContext(Device &device) {
  runAll(device);
  std::lock_guard lock(stateMutex());
  device.streams.clear();
  device.events.clear();
  device.graphs.clear();
  device.executables.clear();
  device.functions.clear();
  for (auto &[handle, module] : device.modules)
    for (auto &[name, global] : module->globals)
      device.memory.release(global.address);
  device.modules.clear();
  device.sticky = 0;
  MemoryView left;
  device.memory.addTo(left);
  std::lock_guard counting(statistics().mutex);
  for (const Range &range : left.ranges) {
    statistics().leakedBytes += range.bytes;
    device.memory.release(range.begin);
  }
}

TN_CUDA cuDevicePrimaryCtxRelease_v2(CUdevice index) {
  int result;
  Device *device = deviceAt(index, result);
  if (!device)
    return result;
  if (device->retained == 0)
    return kInvalidContext;
  if (device->retained == 1)
    destroyContext(*device);
  --device->retained;
  return kSuccess;
}

TN_CUDA cuDevicePrimaryCtxReset_v2(CUdevice index) {
  int result;
  if (Device *device = deviceAt(index, result))
    destroyContext(*device);
  return result;
}

static bool isDevice(CUcontext context) {
  for (const auto &device : driver().devices)
    if (device.get() == context)
      return device->retained > 0;
  return false;
}

TN_CUDA cuCtxSetCurrent(CUcontext context) {
  if (!driver().initialized)
    return kNotInitialized;
  if (context && !isDevice(context))
    return kInvalidContext;
  if (!contexts.empty())
    contexts.pop_back();
  if (context)
    contexts.push_back(static_cast<Device *>(context));
  return kSuccess;
}

TN_CUDA cuCtxGetCurrent(CUcontext *context) {
  if (!driver().initialized)
    return kNotInitialized;
  *context = contexts.empty() ? nullptr : contexts.back();
  return kSuccess;
}

TN_CUDA cuCtxPushCurrent_v2(CUcontext context) {
  if (!driver().initialized)
    return kNotInitialized;
  if (!isDevice(context))
    return kInvalidContext;
  contexts.push_back(static_cast<Device *>(context));
  return kSuccess;
}

TN_CUDA cuCtxPopCurrent_v2(CUcontext *context) {
  if (!driver().initialized)
    return kNotInitialized;
  if (contexts.empty())
    return kInvalidContext;
  if (context)
    *context = contexts.back();
  contexts.pop_back();
  return kSuccess;
}

TN_CUDA cuCtxGetDevice(CUdevice *index) {
  TN_ENTER
  *index = static_cast<int>(device->index);
  return kSuccess;
}

TN_CUDA cuCtxSynchronize() {
  TN_ENTER
  if (spoilsCapture(*device))
    return kCaptureUnsupported;
  {
    std::lock_guard lock(statistics().mutex);
    ++statistics().synchronizations;
  }
  return runAll(*device);
}

//===----------------------------------------------------------------------===//
// Modules
//===----------------------------------------------------------------------===//

/// Options of the compiler in the driver: where it writes what went wrong.
static constexpr int kErrorLogBuffer = 5, kErrorLogBytes = 6;

TN_CUDA cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned count, const int *options, void **values) {
  TN_ENTER
  if (!module || !image)
    return kInvalidValue;
  char *log = nullptr;
  size_t logBytes = 0;
  void **logSize = nullptr;
  for (unsigned i = 0; i < count; ++i) {
    if (options[i] == kErrorLogBuffer)
      log = static_cast<char *>(values[i]);
    if (options[i] == kErrorLogBytes) {
      logBytes = static_cast<uint32_t>(reinterpret_cast<uintptr_t>(values[i]));
      logSize = &values[i];
    }
  }
  if (log && logBytes)
    *log = 0;
  const auto *bytes = static_cast<const unsigned char *>(image);
  const unsigned char elf[] = {0x7f, 'E', 'L', 'F'}, fat[] = {0x50, 0xed, 0x55, 0xba};
  if (std::memcmp(bytes, elf, 4) == 0 || std::memcmp(bytes, fat, 4) == 0)
    return kNoBinaryForGpu;
  if (bytes[0] >= 0x80)
    return kInvalidImage;
  if (spoilsCapture(*device))
    return kCaptureUnsupported;
  try {
    std::shared_ptr<Module> made = loadModule(static_cast<const char *>(image), device->limits, device->memory);
    std::lock_guard lock(stateMutex());
    *module = device->modules.add(std::move(made));
    std::lock_guard counting(statistics().mutex);
    ++statistics().modules;
    return kSuccess;
  } catch (const LoadError &error) {
    std::fprintf(stderr, "emulated CUDA: PTX: %s\n", error.log.c_str());
    if (log && logBytes) {
      int written = std::snprintf(log, logBytes, "ptx, %s\n", error.log.c_str());
      size_t used = std::min<size_t>(static_cast<size_t>(written) + 1, logBytes);
      *logSize = reinterpret_cast<void *>(used);
    }
    return error.code;
  }
}

TN_CUDA cuModuleLoadData(CUmodule *module, const void *image) { return cuModuleLoadDataEx(module, image, 0, nullptr, nullptr); }

TN_CUDA cuModuleUnload(CUmodule handle) {
  TN_ENTER
  std::shared_ptr<Module> module;
  {
    std::lock_guard lock(stateMutex());
    module = device->modules.find(handle);
  }
  if (!module)
    return kInvalidHandle;
  runAll(*device); // the driver waits for kernels of the module
  std::lock_guard lock(stateMutex());
  std::vector<const void *> gone;
  for (auto &[name, function] : device->functions)
    if (function->module == module)
      gone.push_back(name);
  for (const void *name : gone)
    device->functions.remove(name);
  for (auto &[name, global] : module->globals)
    device->memory.release(global.address);
  device->modules.remove(handle);
  return kSuccess;
}

TN_CUDA cuModuleGetFunction(CUfunction *function, CUmodule handle, const char *name) {
  TN_ENTER
  std::lock_guard lock(stateMutex());
  std::shared_ptr<Module> module = device->modules.find(handle);
  if (!module)
    return kInvalidHandle;
  auto found = module->kernels.find(name);
  if (found == module->kernels.end())
    return kNotFound;
  for (auto &[known, other] : device->functions)
    if (other->kernel == found->second) {
      *function = const_cast<void *>(known);
      return kSuccess;
    }
  auto made = std::make_shared<FunctionHandle>(FunctionHandle{module, found->second, found->second->maxDynamicShared});
  *function = device->functions.add(std::move(made));
  return kSuccess;
}

TN_CUDA cuModuleGetGlobal_v2(CUdeviceptr *address, size_t *bytes, CUmodule handle, const char *name) {
  TN_ENTER
  std::lock_guard lock(stateMutex());
  std::shared_ptr<Module> module = device->modules.find(handle);
  if (!module)
    return kInvalidHandle;
  auto found = module->globals.find(name);
  if (found == module->globals.end())
    return kNotFound;
  if (address)
    *address = found->second.address;
  if (bytes)
    *bytes = found->second.bytes;
  return kSuccess;
}

TN_CUDA cuFuncSetAttribute(CUfunction handle, int attribute, int value) {
  TN_ENTER
  std::lock_guard lock(stateMutex());
  std::shared_ptr<FunctionHandle> function = device->functions.find(handle);
  if (!function)
    return kInvalidHandle;
  if (attribute == 9)
    return value >= -1 && value <= 100 ? kSuccess : kInvalidValue;
  if (attribute != 8)
    return kInvalidValue;
  if (value < 0 || uint32_t(value) + function->kernel->staticShared > device->limits.sharedOptIn)
    return kInvalidValue;
  function->maxDynamicShared = static_cast<uint32_t>(value);
  return kSuccess;
}

TN_CUDA cuFuncGetAttribute(int *value, int attribute, CUfunction handle) {
  TN_ENTER
  std::lock_guard lock(stateMutex());
  std::shared_ptr<FunctionHandle> function = device->functions.find(handle);
  if (!function)
    return kInvalidHandle;
  const Kernel &kernel = *function->kernel;
  const std::map<int, uint32_t> values = {
      {0, kernel.maxThreads}, {1, kernel.staticShared}, {2, 0}, {3, kernel.entry.localBytes}, {4, 64},
      {5, function->module->version}, {6, device->limits.sm}, {7, 0}, {8, function->maxDynamicShared}, {9, ~0u}};
  auto found = values.find(attribute);
  if (found == values.end())
    return kInvalidValue;
  *value = static_cast<int>(found->second);
  return kSuccess;
}

//===----------------------------------------------------------------------===//
// Launches
//===----------------------------------------------------------------------===//

/// CU_LAUNCH_PARAM_BUFFER_POINTER and _SIZE.
static constexpr uintptr_t kParameterBuffer = 1, kParameterBytes = 2;

static int readParameters(const Kernel &kernel, void **parameters, void **extra, std::vector<uint8_t> &to) {
  to.assign(kernel.parameterBytes, 0);
  if (parameters && extra)
    return kInvalidValue;
  if (parameters) {
    for (size_t i = 0; i < kernel.parameters.size(); ++i)
      std::memcpy(to.data() + kernel.parameters[i].offset, parameters[i], kernel.parameters[i].bytes);
    return kSuccess;
  }
  if (!extra)
    return kernel.parameters.empty() ? kSuccess : kInvalidValue;
  const void *buffer = nullptr;
  size_t bytes = 0;
  for (size_t i = 0; extra[i]; i += 2) {
    if (reinterpret_cast<uintptr_t>(extra[i]) == kParameterBuffer)
      buffer = extra[i + 1];
    else if (reinterpret_cast<uintptr_t>(extra[i]) == kParameterBytes)
      bytes = *static_cast<size_t *>(extra[i + 1]);
    else
      return kInvalidValue;
  }
  if (!buffer || bytes < kernel.parameterBytes)
    return kInvalidValue;
  std::memcpy(to.data(), buffer, to.size());
  return kSuccess;
}

static Fault runKernel(Device &device, const LaunchRequest &request) {
  Statistics &s = statistics();
  trace("kernel " + request.kernel->name);
  {
    std::lock_guard lock(s.mutex);
    ++s.kernels;
    if (driver().loseAt && s.kernels == driver().loseAt) {
      std::fprintf(stderr, "emulated CUDA: device lost at kernel '%s', as was asked for\n", request.kernel->name.c_str());
      return {kLaunchFailed, "device lost"};
    }
  }
  Counts counts;
  MemoryView view = viewOf(device);
  static const bool checkRaces = numberFromEnvironment("TN_EMULATED_CUDA_RACES", 0) != 0;
  Fault fault = runLaunch(request, view, device.limits.processors, checkRaces, counts);
  std::lock_guard lock(s.mutex);
  s.counts.add(counts);
  return fault;
}

namespace tenon::emulator {

int makeLaunch(Device &device, const FunctionHandle &function, const uint32_t grid[3], const uint32_t block[3],
               uint32_t sharedBytes, void **parameters, void **extra, Item &item) {
  const Kernel &kernel = *function.kernel;
  uint64_t threads = uint64_t(block[0]) * block[1] * block[2];
  if (grid[0] < 1 || grid[1] < 1 || grid[2] < 1 || grid[0] > 0x7fffffff || grid[1] > 65535 || grid[2] > 65535 ||
      threads < 1 || block[0] > 1024 || block[1] > 1024 || block[2] > 64 || threads > kernel.maxThreads)
    return kInvalidValue;
  if (kernel.requiredThreads[0] && std::memcmp(kernel.requiredThreads, block, sizeof(kernel.requiredThreads)) != 0)
    return kInvalidValue;
  if (sharedBytes > function.maxDynamicShared)
    return kInvalidValue;
  auto request = std::make_shared<LaunchRequest>();
  request->kernel = function.kernel;
  request->module = function.module;
  std::memcpy(request->grid, grid, sizeof(request->grid));
  std::memcpy(request->block, block, sizeof(request->block));
  request->dynamicShared = sharedBytes;
  if (int result = readParameters(kernel, parameters, extra, request->parameters))
    return result;
  item.kind = Item::Kernel;
  item.what = function.kernel.get();
  item.run = [request](Device &on) { return runKernel(on, *request); };
  (void)device;
  return kSuccess;
}

} // namespace tenon::emulator

TN_CUDA cuLaunchKernel(CUfunction handle, unsigned gridX, unsigned gridY, unsigned gridZ, unsigned blockX, unsigned blockY,
                       unsigned blockZ, unsigned sharedBytes, CUstream streamHandle, void **parameters, void **extra) {
  TN_ENTER
  std::lock_guard lock(stateMutex());
  std::shared_ptr<FunctionHandle> function = device->functions.find(handle);
  std::shared_ptr<Stream> stream = findStream(*device, streamHandle, result);
  if (!function || !stream)
    return kInvalidHandle;
  const uint32_t grid[3] = {gridX, gridY, gridZ}, block[3] = {blockX, blockY, blockZ};
  Item item;
  if ((result = makeLaunch(*device, *function, grid, block, sharedBytes, parameters, extra, item)))
    return result;
  std::lock_guard counting(statistics().mutex);
  ++statistics().launches;
  return enqueue(*stream, std::move(item));
}

/// Counts so far, by the names of the report. 0 for a name that there is not.
extern "C" __attribute__((visibility("default"))) unsigned long long tn_emulator_statistics(const char *name) {
  Statistics &s = statistics();
  std::lock_guard lock(s.mutex);
  const std::map<std::string_view, uint64_t> values = {
      {"launches", s.launches}, {"graph-launches", s.graphLaunches}, {"kernels", s.kernels}, {"blocks", s.counts.blocks},
      {"warp-instructions", s.counts.instructions}, {"mma", s.counts.mma}, {"wgmma", s.counts.wgmma},
      {"async-copies", s.counts.asyncCopies}, {"tensor-copies", s.counts.tensorCopies},
      {"copies-to-device", s.copies[0]}, {"copies-to-host", s.copies[1]}, {"copies-on-device", s.copies[2]},
      {"commands", s.commands}, {"synchronizations", s.synchronizations}};
  auto found = values.find(name);
  return found == values.end() ? 0 : found->second;
}

/// An order of work by its number in `Order`, from here on.
extern "C" __attribute__((visibility("default"))) void tn_emulator_order(int chosen) { setOrder(static_cast<Order>(chosen)); }

/// Begins to note what runs; a second call ends that and gives the lines: `kernel NAME`, `to-device BYTES`, `to-host BYTES`,
/// `on-device BYTES`. They last until the next call.
extern "C" __attribute__((visibility("default"))) const char *tn_emulator_trace() {
  static std::string text;
  Statistics &s = statistics();
  std::lock_guard lock(s.mutex);
  text.clear();
  for (const std::string &line : s.trace)
    text += line + "\n";
  s.trace.clear();
  s.traces = !s.traces;
  return text.c_str();
}
