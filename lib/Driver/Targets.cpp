// What `--target` may say.
#include "Targets.h"
#include "dialects/Target/IR/TargetDialect.h"

using namespace mlir;

namespace tenon::driver {

llvm::Expected<std::vector<std::string>> parseTargets(MLIRContext *context, ArrayRef<std::string> targets) {
  std::vector<std::string> levels;
  auto add = [&](StringRef level) {
    if (!llvm::is_contained(levels, level))
      levels.push_back(level.str());
  };
  for (StringRef target : targets) {
    auto [device, level] = target.split(':');
    if (device != "cpu")
      return llvm::createStringError(llvm::inconvertibleErrorCode(),
                                     "--target=" + target + " is not known but should be cpu, cpu:portable or cpu:LEVEL");
    if (level == "portable") {
      for (const char *each : {"x86-64-v2", "x86-64-v3", "x86-64-v4"})
        add(each);
      continue;
    }
    add(level.empty() ? "host" : level);
  }
  if (levels.empty())
    levels.push_back("host");
  context->loadDialect<target::TargetDialect>();
  for (const std::string &level : levels) {
    std::string error;
    if (!target::lookupCPU(context, level, error))
      return llvm::createStringError(llvm::inconvertibleErrorCode(), "--target=cpu:" + level + ": " + error);
  }
  return levels;
}

} // namespace tenon::driver
