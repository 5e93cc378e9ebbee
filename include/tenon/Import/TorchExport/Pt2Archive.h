// Opens a .pt2 file. This is the door to the format layer: bytes in, checked `ExportedProgram` out.
#ifndef TENON_IMPORT_TORCHEXPORT_PT2ARCHIVE_H
#define TENON_IMPORT_TORCHEXPORT_PT2ARCHIVE_H

#include "tenon/Import/Common/MappedFile.h"
#include "tenon/Import/TorchExport/Program.h"
#include "tenon/Import/TorchExport/ZipReader.h"

namespace mlir {
class MLIRContext;
}

namespace tenon::torch_export {

/// One thing that is wrong with a file.
struct ReadError {
  std::string file;
  std::string entry; ///< of the archive; empty when the whole file is meant
  std::string path;  ///< inside the entry, e.g. "graph_module.graph.nodes[12].inputs[0]"; may be empty
  std::string reason;
  std::string str() const;
};
using ReadErrorHandler = llvm::function_ref<void(const ReadError &)>;

struct OpenOptions {
  /// Which program, for files that hold several; empty: the only one.
  llvm::StringRef model;
};

/// A .pt2 file and the program in it. Weights stay in the mapped file.
class Pt2Archive {
public:
  /// Null after at least one call of `onError`. Reports up to 20 mistakes of one file; throws nothing.
  static std::unique_ptr<Pt2Archive> open(llvm::StringRef path, ReadErrorHandler onError, OpenOptions options = {});
  /// The same as MLIR diagnostics located at the file.
  static std::unique_ptr<Pt2Archive> open(llvm::StringRef path, mlir::MLIRContext *context, OpenOptions options = {});
  /// Reads bytes that outlive the result; `name` stands for the file in errors.
  static std::unique_ptr<Pt2Archive> read(llvm::ArrayRef<uint8_t> bytes, llvm::StringRef name, ReadErrorHandler onError,
                                          OpenOptions options = {});

  const ExportedProgram &program() const { return exported; }
  const ZipReader &zip() const { return zipReader; }
  /// Null when read from memory. Share it to keep weights alive longer than the archive.
  const std::shared_ptr<const MappedFile> &file() const { return mapped; }
  llvm::StringRef modelName() const { return model; }

private:
  std::shared_ptr<const MappedFile> mapped;
  ZipReader zipReader;
  ExportedProgram exported;
  std::string model;
};

} // namespace tenon::torch_export
#endif
