// What `--target` may say.
#ifndef TENON_LIB_DRIVER_TARGETS_H
#define TENON_LIB_DRIVER_TARGETS_H

#include "mlir/IR/MLIRContext.h"
#include "llvm/Support/Error.h"
#include <string>
#include <vector>

namespace tenon::driver {

/// CPU levels for the values of `--target`, each checked: "cpu" is "host", "cpu:portable" the levels v2, v3 and v4.
llvm::Expected<std::vector<std::string>> parseTargets(mlir::MLIRContext *context, llvm::ArrayRef<std::string> targets);

} // namespace tenon::driver
#endif
