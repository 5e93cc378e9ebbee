// Errors of the format layer as MLIR diagnostics; the only file of this layer that knows MLIR.
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/Location.h"
#include "tenon/Import/TorchExport/Pt2Archive.h"

namespace tenon::torch_export {

std::unique_ptr<Pt2Archive> Pt2Archive::open(llvm::StringRef path, mlir::MLIRContext *context, OpenOptions options) {
  mlir::Location file = mlir::FileLineColLoc::get(context, path, 0, 0);
  auto emit = [&](const ReadError &error) {
    std::string text;
    for (const std::string &part : {error.entry, error.path})
      if (!part.empty())
        text += part + ": ";
    mlir::emitError(file) << text << error.reason;
  };
  return open(path, emit, options);
}

} // namespace tenon::torch_export
