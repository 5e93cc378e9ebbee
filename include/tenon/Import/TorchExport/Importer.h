// Turns a .pt2 file into a module of the graph dialect. Weights stay in the file and are named by offset.
#ifndef TENON_IMPORT_TORCHEXPORT_IMPORTER_H
#define TENON_IMPORT_TORCHEXPORT_IMPORTER_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/ADT/StringRef.h"
#include <string>
#include <vector>

namespace tenon::torch_export {

struct ExportedProgram;

struct ImportOptions {
  /// Name of the function that is made.
  llvm::StringRef entry = "main";
  /// Which program, for files that hold several; empty: the only one.
  llvm::StringRef model;
};

/// An operator, or a use of one, that the importer has no meaning for.
struct UnsupportedUse {
  std::string op;     ///< "aten.foo.default"
  std::string reason; ///< empty: the operator as a whole
  std::string wayOut; ///< what the user can do instead; may be empty
  unsigned count = 0;
  std::vector<std::string> places; ///< the first few, "model.py:12 (module path)"
};

/// What an import met.
struct ImportReport {
  /// Not empty: the model is valid but uses what is not supported, and the import failed for that reason only.
  std::vector<UnsupportedUse> unsupported;
};

/// Reads the file and gives a verified module with one function. Fails after at least one diagnostic; all unsupported
/// uses of a model are reported at once.
mlir::FailureOr<mlir::OwningOpRef<mlir::ModuleOp>> importTorchExport(llvm::StringRef path, mlir::MLIRContext *context,
                                                                     const ImportOptions &options = {},
                                                                     ImportReport *report = nullptr);

/// The same for a program that is open; `path` is written into the sources of the weights.
mlir::FailureOr<mlir::OwningOpRef<mlir::ModuleOp>> importTorchExport(const ExportedProgram &program,
                                                                     llvm::StringRef path, mlir::MLIRContext *context,
                                                                     const ImportOptions &options = {},
                                                                     ImportReport *report = nullptr);

} // namespace tenon::torch_export
#endif
