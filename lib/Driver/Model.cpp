// Reading a model, whatever its format, into a module of the graph dialect.
#include "Model.h"
#include "tenon/Import/Onnx/Importer.h"
#include "tenon/Import/TorchExport/Importer.h"
#include "tenon/InitAll.h"
#include "mlir/Parser/Parser.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/SourceMgr.h"

using namespace mlir;

namespace tenon::driver {

Context::Context(unsigned threads) {
  DialectRegistry registry;
  registerAllDialects(registry);
  context = std::make_unique<MLIRContext>(registry, MLIRContext::Threading::DISABLED);
  context->printOpOnDiagnostic(false); // the place says which op it is
  context->loadAllAvailableDialects(); // phases make ops of later levels
  if (threads == 1)
    return;
  pool = std::make_unique<llvm::DefaultThreadPool>(llvm::hardware_concurrency(threads));
  context->setThreadPool(*pool);
}

llvm::Expected<ModelFormat> detectFormat(StringRef path) {
  auto error = [&](const llvm::Twine &reason) {
    return llvm::createStringError(llvm::inconvertibleErrorCode(), path + ": " + reason);
  };
  llvm::sys::fs::file_status status;
  if (std::error_code code = llvm::sys::fs::status(path, status))
    return error(code.message());
  if (llvm::sys::fs::is_directory(status))
    return error("is a directory but a model file was expected");
  llvm::Expected<llvm::sys::fs::file_t> file = llvm::sys::fs::openNativeFileForRead(path);
  if (!file)
    return error(llvm::toString(file.takeError()));
  char buffer[64];
  llvm::Expected<size_t> count = llvm::sys::fs::readNativeFile(*file, llvm::MutableArrayRef(buffer));
  llvm::sys::fs::closeFile(*file);
  if (!count)
    return error(llvm::toString(count.takeError()));
  StringRef head(buffer, *count), extension = llvm::sys::path::extension(path);
  if (head.empty())
    return error("is empty");
  if (head.starts_with("PK"))
    return ModelFormat::TorchExport;
  if (head.starts_with("TENON\r\n"))
    return error("is compiled already; 'tenon run' runs it");
  if (extension == ".mlir" || extension == ".mlirbc" || head.starts_with("ML\xefR"))
    return ModelFormat::Mlir;
  if (extension == ".pt2")
    return ModelFormat::TorchExport; // the reader says what is wrong with it
  if (extension == ".onnx")
    return ModelFormat::Onnx;
  if (extension == ".tflite" || extension == ".safetensors" || extension == ".pt" ||
      extension == ".pth")
    return error("'" + extension + "' files are not read; export the model with torch.export to a .pt2 file, or to ONNX");
  return error("is not a model in a known format (.pt2 of torch.export, .onnx, or .mlir)");
}

int loadModel(StringRef path, StringRef entry, MLIRContext *context, Model &model) {
  llvm::Expected<ModelFormat> format = detectFormat(path);
  if (!format)
    return fail(format.takeError());
  model.format = *format;
  if (*format == ModelFormat::Mlir) {
    model.weights = std::make_unique<WeightStore>(llvm::sys::path::parent_path(path).str());
    model.module = parseSourceFile<ModuleOp>(path, ParserConfig(context));
    return model.module ? Done : Failed;
  }
  model.weights = std::make_unique<WeightStore>();
  frontend::ImportReport report;
  FailureOr<OwningOpRef<ModuleOp>> module = failure();
  if (*format == ModelFormat::Onnx) {
    onnx_import::ImportOptions options;
    options.entry = entry;
    options.weights = model.weights.get();
    module = onnx_import::importOnnx(path, context, options, &report);
  } else {
    torch_export::ImportOptions options;
    options.entry = entry;
    module = torch_export::importTorchExport(path, context, options, &report);
  }
  for (frontend::UnsupportedUse &use : report.unsupported)
    model.unsupported.push_back({use.op, use.reason, use.wayOut, use.count, use.places});
  if (failed(module))
    return report.unsupported.empty() ? Failed : Unsupported;
  model.module = std::move(*module);
  return Done;
}

} // namespace tenon::driver
