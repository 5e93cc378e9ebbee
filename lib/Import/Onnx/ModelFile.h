// An ONNX file as protobuf messages, and the bytes of its tensors: mapped where the file has them as they are needed.
#ifndef TENON_IMPORT_ONNX_MODELFILE_H
#define TENON_IMPORT_ONNX_MODELFILE_H

#include "onnx.pb.h"
#include "tenon/Import/Common/ElementType.h"
#include "tenon/Import/Common/MappedFile.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringMap.h"

namespace tenon::onnx_import {
using namespace frontend;

/// The element type that TensorProto.DataType `type` names; Unknown for strings and for what there is none for.
ScalarType toScalarType(int32_t type);
/// "float8e4m3fn" and so on; for messages.
std::string nameOfDataType(int32_t type);

/// A tensor of the file. Elements lie one after the other, little endian, at least one byte each (4-bit integers one
/// byte with the sign extended).
struct TensorData {
  llvm::SmallVector<int64_t> dims;
  ScalarType dtype = ScalarType::Unknown;
  llvm::ArrayRef<uint8_t> bytes;
  /// Where `bytes` lies in a file; empty when it was made from something else.
  std::string path;
  uint64_t offset = 0;
  std::vector<uint8_t> owned;     ///< holds `bytes` when there is no path
  std::vector<std::string> texts; ///< of a tensor of strings

  int64_t numElements() const;
  bool isString = false;
};

/// Replaces the large payloads (raw data, packed floats and doubles) of the tensors in a serialized model by references
/// to where they lie, so that parsing copies none of them. Gives nothing when the bytes are no such message.
std::optional<std::string> withoutPayloads(llvm::ArrayRef<uint8_t> model);

/// A parsed model and the files it lies in.
class ModelFile {
public:
  /// Maps and parses. An error says what is wrong with the file.
  static llvm::Expected<std::unique_ptr<ModelFile>> open(llvm::StringRef path);
  /// Parses bytes that outlive the object.
  static llvm::Expected<std::unique_ptr<ModelFile>> read(llvm::ArrayRef<uint8_t> bytes, llvm::StringRef path);

  const onnx::ModelProto &model() const { return proto; }
  llvm::StringRef path() const { return modelPath; }

  /// Reads a tensor: checks its sizes against its bytes and makes elements of whole bytes.
  llvm::Expected<TensorData> tensor(const onnx::TensorProto &tensor);

private:
  llvm::Expected<llvm::ArrayRef<uint8_t>> externalBytes(const onnx::TensorProto &tensor, std::string &path,
                                                        uint64_t &offset);
  std::string modelPath;
  std::shared_ptr<const MappedFile> file;
  llvm::ArrayRef<uint8_t> contents;
  llvm::StringMap<std::shared_ptr<const MappedFile>> external;
  onnx::ModelProto proto;
};

} // namespace tenon::onnx_import
#endif
