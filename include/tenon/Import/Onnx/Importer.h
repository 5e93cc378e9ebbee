// Turns an .onnx file into a module of the graph dialect. Weights stay in the file and are named by offset.
#ifndef TENON_IMPORT_ONNX_IMPORTER_H
#define TENON_IMPORT_ONNX_IMPORTER_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "tenon/Import/Common/Report.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"

namespace tenon {
class WeightStore;
}

namespace tenon::onnx_import {
using namespace frontend;

struct ImportOptions {
  /// Name of the function that is made.
  llvm::StringRef entry = "main";
  /// Takes the bytes of constants that lie nowhere in the file as they are needed. Null: such constants are named, and
  /// their bytes are dropped.
  WeightStore *weights = nullptr;
};

/// Reads the file and gives a verified module with one function. Fails after at least one diagnostic; all unsupported
/// uses of a model are reported at once.
mlir::FailureOr<mlir::OwningOpRef<mlir::ModuleOp>> importOnnx(llvm::StringRef path, mlir::MLIRContext *context,
                                                              const ImportOptions &options = {},
                                                              ImportReport *report = nullptr);

/// The same for bytes in memory; `path` is written into the sources of the weights.
mlir::FailureOr<mlir::OwningOpRef<mlir::ModuleOp>> importOnnx(llvm::ArrayRef<uint8_t> bytes, llvm::StringRef path,
                                                              mlir::MLIRContext *context,
                                                              const ImportOptions &options = {},
                                                              ImportReport *report = nullptr);

} // namespace tenon::onnx_import
#endif
