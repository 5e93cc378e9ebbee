// What `--target` may say.
#include "Targets.h"
#include "dialects/Target/IR/TargetDialect.h"

using namespace mlir;

namespace tenon::driver {

static llvm::Error error(const Twine &text) {
  return llvm::createStringError(llvm::inconvertibleErrorCode(), text);
}

/// The runtime takes the first variant that runs: of one kind's, the code for the newest processor, or that asks for most,
/// must come first. Places of other kinds stay as they are.
static void putNewerFirst(MLIRContext *context, std::vector<CompileTarget> &targets) {
  for (target::DeviceApi api : {target::DeviceApi::CUDA, target::DeviceApi::Vulkan}) {
    SmallVector<size_t> places;
    SmallVector<std::pair<target::GPUAttr, CompileTarget>> list;
    for (auto [i, each] : llvm::enumerate(targets)) {
      std::string ignored;
      target::GPUAttr device = each.device.empty() ? target::GPUAttr() : target::lookupGPU(context, each.device, ignored);
      if (!device || device.getApi() != api)
        continue;
      places.push_back(i);
      list.emplace_back(device, each);
    }
    llvm::stable_sort(list, [](const auto &a, const auto &b) { return target::isNewer(a.first, b.first); });
    for (auto [place, each] : llvm::zip(places, list))
      targets[place] = each.second;
  }
}

llvm::Expected<std::vector<CompileTarget>> parseTargets(MLIRContext *context, ArrayRef<std::string> targets) {
  context->loadDialect<target::TargetDialect>();
  std::vector<CompileTarget> result;
  std::string hostLevel;
  auto add = [&](StringRef level, StringRef device) {
    auto isSame = [&](const CompileTarget &t) { return t.level == level && t.device == device; };
    if (llvm::none_of(result, isSame))
      result.push_back({level.str(), device.str()});
    if (device.empty() && hostLevel.empty())
      hostLevel = level.str();
  };
  for (StringRef target : targets) {
    auto [api, level] = StringRef(target).split(':');
    if (target::symbolizeDeviceApi(api)) {
      // One value may name several: cuda:sm_80,sm_90a.
      SmallVector<StringRef> archs;
      level.split(archs, ',');
      for (StringRef arch : archs) {
        std::string name = (api + (arch.empty() ? "" : ":" + arch)).str(), reason;
        if (!target::lookupGPU(context, name, reason))
          return error("--target=" + target + ": " + reason);
        add("", name);
      }
    } else if (api != "cpu")
      return error("--target=" + target + " is not known but should be cpu, cpu:portable, cpu:LEVEL, cuda:ARCH, rocm:ARCH, vulkan or vulkan:coopmat");
    else if (level == "portable")
      for (const char *each : {"x86-64-v2", "x86-64-v3", "x86-64-v4"})
        add(each, "");
    else
      add(level.empty() ? "host" : level, "");
  }
  if (result.empty())
    add("host", "");
  putNewerFirst(context, result);
  for (CompileTarget &target : result) {
    if (!target.device.empty())
      target.level = hostLevel.empty() ? "host" : hostLevel;
    std::string reason;
    if (!target::lookupCPU(context, target.level, reason))
      return error("--target=cpu:" + target.level + ": " + reason);
  }
  return result;
}

} // namespace tenon::driver
