// The module that an importer makes: names of its symbols, and what a function gets when its body is complete.
#ifndef TENON_IMPORT_COMMON_FUNCTION_H
#define TENON_IMPORT_COMMON_FUNCTION_H

#include "SizeRanges.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/StringSet.h"

namespace tenon::frontend {

/// Names that were given to symbols of one module.
class SymbolNames {
public:
  /// `name` with what has to stand in quotes replaced, and with a number when it was given before.
  std::string unique(llvm::StringRef name);

private:
  llvm::StringSet<> used;
};

/// Arguments' and results' attributes (names, …) in order, and the results.
struct FunctionParts {
  llvm::SmallVector<mlir::DictionaryAttr> argAttrs, resultAttrs;
  llvm::SmallVector<mlir::Value> results;
};

/// Returns the results at the builder's place, which is the end of the body, and gives the function its type, the
/// attributes and the ranges of its symbols.
void finishFunction(mlir::OpBuilder &b, mlir::func::FuncOp function, const FunctionParts &parts,
                    const SizeRanges &symbols, mlir::Location loc);

} // namespace tenon::frontend
#endif
