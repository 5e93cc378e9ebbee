// What `--target` may say.
#ifndef TENON_LIB_DRIVER_TARGETS_H
#define TENON_LIB_DRIVER_TARGETS_H

#include "tenon/Pipelines/Compile.h"
#include "mlir/IR/MLIRContext.h"
#include "llvm/Support/Error.h"
#include <vector>

namespace tenon::driver {

/// Targets for the values of `--target`, each checked: "cpu" is "cpu:host", "cpu:portable" the levels v2, v3 and v4. Host
/// code of a device ("vulkan") is for the first CPU level that is named, else for this machine.
llvm::Expected<std::vector<CompileTarget>> parseTargets(mlir::MLIRContext *context, llvm::ArrayRef<std::string> targets);

} // namespace tenon::driver
#endif
