// Reading a model, whatever its format, into a module of the graph dialect.
#ifndef TENON_LIB_DRIVER_MODEL_H
#define TENON_LIB_DRIVER_MODEL_H

#include "Report.h"
#include "tenon/Support/WeightData.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/Support/ThreadPool.h"
#include <memory>

namespace tenon::driver {

/// A context with all of tenon's dialects and as many threads as asked (0: all).
class Context {
public:
  explicit Context(unsigned threads);
  mlir::MLIRContext *get() { return context.get(); }

private:
  std::unique_ptr<llvm::ThreadPoolInterface> pool; // outlives the context
  std::unique_ptr<mlir::MLIRContext> context;
};

enum class ModelFormat { TorchExport, Onnx, Mlir };
/// By content, and by the name's extension where the content does not say.
llvm::Expected<ModelFormat> detectFormat(llvm::StringRef path);

/// One use of something that is not supported.
struct UnsupportedItem {
  std::string op, reason, wayOut;
  unsigned count = 0;
  std::vector<std::string> places;
};

struct Model {
  ModelFormat format = ModelFormat::Mlir;
  mlir::OwningOpRef<mlir::ModuleOp> module;
  std::unique_ptr<WeightStore> weights;
  std::vector<UnsupportedItem> unsupported;
};

/// Reads a model. Gives `Done`; or, after an error has been printed, `Failed` or `Unsupported`.
int loadModel(llvm::StringRef path, llvm::StringRef entry, mlir::MLIRContext *context, Model &model);

/// A model that becomes the entry of that name.
struct EntrySource {
  std::string name, path;
};
/// Reads several models into one module. Weights of equal name and bytes are one, and so are variables of equal name.
int loadEntries(llvm::ArrayRef<EntrySource> entries, mlir::MLIRContext *context, Model &model);

} // namespace tenon::driver
#endif
