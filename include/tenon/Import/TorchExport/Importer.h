// Turns a .pt2 file into a module of the graph dialect. Weights stay in the file and are named by offset.
#ifndef TENON_IMPORT_TORCHEXPORT_IMPORTER_H
#define TENON_IMPORT_TORCHEXPORT_IMPORTER_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "tenon/Import/Common/Report.h"
#include "llvm/ADT/StringRef.h"

namespace tenon::torch_export {
using namespace frontend;

struct ExportedProgram;

struct ImportOptions {
  /// Name of the function that is made.
  llvm::StringRef entry = "main";
  /// Which program, for files that hold several; empty: the only one.
  llvm::StringRef model;
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
