// What `--target` may say.
#include "Targets.h"
#include "dialects/Target/IR/TargetDialect.h"

using namespace mlir;

namespace tenon::driver {

static llvm::Error error(const Twine &text) {
  return llvm::createStringError(llvm::inconvertibleErrorCode(), text);
}

llvm::Expected<std::vector<CompileTarget>> parseTargets(MLIRContext *context, ArrayRef<std::string> targets) {
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
    auto [device, level] = target.split(':');
    if (device == "vulkan" && level.empty())
      add("", device);
    else if (device != "cpu")
      return error("--target=" + target + " is not known but should be cpu, cpu:portable, cpu:LEVEL or vulkan");
    else if (level == "portable")
      for (const char *each : {"x86-64-v2", "x86-64-v3", "x86-64-v4"})
        add(each, "");
    else
      add(level.empty() ? "host" : level, "");
  }
  if (result.empty())
    add("host", "");
  context->loadDialect<target::TargetDialect>();
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
