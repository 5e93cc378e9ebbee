// Reading ONNX files. Nothing here knows what a model means.
#include "ModelFile.h"
#include <google/protobuf/io/coded_stream.h>
#include "llvm/Support/Path.h"
#include <cstring>

using namespace llvm;

namespace tenon::onnx_import {

using onnx::TensorProto;

static Error makeError(const Twine &text) { return createStringError(inconvertibleErrorCode(), text); }

ScalarType toScalarType(int32_t type) {
  switch (type) {
  case TensorProto::FLOAT:
    return ScalarType::Float;
  case TensorProto::UINT8:
    return ScalarType::Byte;
  case TensorProto::INT8:
    return ScalarType::Char;
  case TensorProto::UINT16:
    return ScalarType::UInt16;
  case TensorProto::INT16:
    return ScalarType::Short;
  case TensorProto::INT32:
    return ScalarType::Int;
  case TensorProto::INT64:
    return ScalarType::Long;
  case TensorProto::BOOL:
    return ScalarType::Bool;
  case TensorProto::FLOAT16:
    return ScalarType::Half;
  case TensorProto::DOUBLE:
    return ScalarType::Double;
  case TensorProto::UINT32:
    return ScalarType::UInt32;
  case TensorProto::UINT64:
    return ScalarType::UInt64;
  case TensorProto::COMPLEX64:
    return ScalarType::ComplexFloat;
  case TensorProto::COMPLEX128:
    return ScalarType::ComplexDouble;
  case TensorProto::BFLOAT16:
    return ScalarType::BFloat16;
  case TensorProto::FLOAT8E4M3FN:
    return ScalarType::Float8E4M3FN;
  case TensorProto::FLOAT8E4M3FNUZ:
    return ScalarType::Float8E4M3FNUZ;
  case TensorProto::FLOAT8E5M2:
    return ScalarType::Float8E5M2;
  case TensorProto::FLOAT8E5M2FNUZ:
    return ScalarType::Float8E5M2FNUZ;
  case TensorProto::FLOAT8E8M0:
    return ScalarType::Float8E8M0FNU;
  case TensorProto::UINT4:
    return ScalarType::UInt4;
  case TensorProto::INT4:
    return ScalarType::Int4;
  case TensorProto::UINT2:
    return ScalarType::UInt2;
  case TensorProto::INT2:
    return ScalarType::Int2;
  case TensorProto::FLOAT4E2M1:
    return ScalarType::Float4E2M1FN;
  case TensorProto::FLOAT6E2M3:
    return ScalarType::Float6E2M3FN;
  case TensorProto::FLOAT6E3M2:
    return ScalarType::Float6E3M2FN;
  default:
    return ScalarType::Unknown;
  }
}

std::string nameOfDataType(int32_t type) {
  if (!onnx::TensorProto_DataType_IsValid(type))
    return "type " + std::to_string(type);
  return StringRef(onnx::TensorProto_DataType_Name(static_cast<onnx::TensorProto_DataType>(type))).lower();
}

int64_t TensorData::numElements() const {
  int64_t count = 1;
  for (int64_t dim : dims)
    count *= dim; // checked when read
  return count;
}

//===----------------------------------------------------------------------===//
// Leaving payloads where they are
//===----------------------------------------------------------------------===//

/// As the location of external data: the model file itself. No path can be this.
static constexpr StringLiteral kModelItself("\1model");
static constexpr uint64_t kMinPayload = 1024;

namespace {
enum class Message { Model, Graph, Node, Attribute, Tensor, SparseTensor, Function, Other };

/// Walks over messages in wire format and writes them again.
class Rewriter {
public:
  explicit Rewriter(ArrayRef<uint8_t> bytes) : bytes(bytes) {}
  bool rewrite(uint64_t begin, uint64_t end, Message kind, std::string &out, unsigned depth);

private:
  bool varint(uint64_t &at, uint64_t end, uint64_t &value) const {
    value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      if (at >= end)
        return false;
      uint8_t byte = bytes[at++];
      value |= uint64_t(byte & 0x7f) << shift;
      if (!(byte & 0x80))
        return true;
    }
    return false;
  }
  ArrayRef<uint8_t> bytes;
};
} // namespace

static void putVarint(std::string &out, uint64_t value) {
  for (; value >= 0x80; value >>= 7)
    out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}

static void putBytes(std::string &out, unsigned field, StringRef text) {
  putVarint(out, field << 3 | 2);
  putVarint(out, text.size());
  out.append(text.data(), text.size());
}

static void putEntry(std::string &out, StringRef key, StringRef value) {
  std::string entry;
  putBytes(entry, 1, key);
  putBytes(entry, 2, value);
  putBytes(out, 13, entry);
}

static Message nested(Message parent, uint64_t field) {
  switch (parent) {
  case Message::Model:
    return field == 7 ? Message::Graph : field == 25 ? Message::Function : Message::Other;
  case Message::Graph:
    return field == 1    ? Message::Node
           : field == 5  ? Message::Tensor
           : field == 15 ? Message::SparseTensor
                         : Message::Other;
  case Message::Function:
    return field == 7 ? Message::Node : field == 11 ? Message::Attribute : Message::Other;
  case Message::Node:
    return field == 5 ? Message::Attribute : Message::Other;
  case Message::Attribute:
    return field == 5 || field == 10                 ? Message::Tensor
           : field == 6 || field == 11               ? Message::Graph
           : field == 22 || field == 23              ? Message::SparseTensor
                                                     : Message::Other;
  case Message::SparseTensor:
    return field == 1 || field == 2 ? Message::Tensor : Message::Other;
  default:
    return Message::Other;
  }
}

bool Rewriter::rewrite(uint64_t at, uint64_t end, Message kind, std::string &out, unsigned depth) {
  if (depth > 64)
    return false;
  while (at < end) {
    uint64_t start = at, tag, length = 0;
    if (!varint(at, end, tag))
      return false;
    uint64_t field = tag >> 3;
    switch (tag & 7) {
    case 0:
      if (!varint(at, end, length))
        return false;
      break;
    case 1:
      at += 8;
      break;
    case 5:
      at += 4;
      break;
    case 2: {
      if (!varint(at, end, length) || length > end - at)
        return false;
      uint64_t begin = at;
      at += length;
      bool isPayload = kind == Message::Tensor && (field == 9 || field == 4 || field == 10) && length >= kMinPayload;
      if (isPayload) {
        putEntry(out, "location", kModelItself);
        putEntry(out, "offset", std::to_string(begin));
        putEntry(out, "length", std::to_string(length));
        putVarint(out, 14 << 3);
        putVarint(out, TensorProto::EXTERNAL);
        continue;
      }
      Message inner = nested(kind, field);
      if (inner != Message::Other) {
        std::string text;
        if (!rewrite(begin, at, inner, text, depth + 1))
          return false;
        putBytes(out, field, text);
        continue;
      }
      break;
    }
    default:
      return false; // groups: not in this schema
    }
    if (at > end)
      return false;
    out.append(reinterpret_cast<const char *>(bytes.data()) + start, at - start);
  }
  return true;
}

std::optional<std::string> withoutPayloads(ArrayRef<uint8_t> model) {
  std::string out;
  if (!Rewriter(model).rewrite(0, model.size(), Message::Model, out, 0))
    return std::nullopt;
  return out;
}

//===----------------------------------------------------------------------===//
// The file
//===----------------------------------------------------------------------===//

Expected<std::unique_ptr<ModelFile>> ModelFile::read(ArrayRef<uint8_t> bytes, StringRef path) {
  auto result = std::make_unique<ModelFile>();
  result->modelPath = path.str();
  result->contents = bytes;
  std::optional<std::string> text = withoutPayloads(bytes);
  if (!text || text->size() > INT32_MAX)
    return makeError("is no ONNX model, or a damaged one");
  google::protobuf::io::CodedInputStream stream(reinterpret_cast<const uint8_t *>(text->data()),
                                                static_cast<int>(text->size()));
  stream.SetRecursionLimit(300);
  if (!result->proto.ParseFromCodedStream(&stream) || !stream.ConsumedEntireMessage())
    return makeError("is no ONNX model, or a damaged one");
  if (!result->proto.has_graph())
    return makeError("has no graph: it is no ONNX model, or an empty one");
  return result;
}

Expected<std::unique_ptr<ModelFile>> ModelFile::open(StringRef path) {
  Expected<std::shared_ptr<const MappedFile>> file = MappedFile::open(path);
  if (!file)
    return file.takeError();
  Expected<std::unique_ptr<ModelFile>> result = read((*file)->bytes(), path);
  if (result)
    (*result)->file = *file;
  return result;
}

Expected<ArrayRef<uint8_t>> ModelFile::externalBytes(const TensorProto &tensor, std::string &path, uint64_t &offset) {
  StringRef location;
  uint64_t length = UINT64_MAX;
  offset = 0;
  for (const onnx::StringStringEntryProto &entry : tensor.external_data()) {
    StringRef key = entry.key(), value = entry.value();
    if (key == "location")
      location = value;
    else if ((key == "offset" && value.getAsInteger(10, offset)) || (key == "length" && value.getAsInteger(10, length)))
      return makeError("has external data whose " + key + " '" + value + "' is no number");
  }
  ArrayRef<uint8_t> bytes = contents;
  path = modelPath;
  if (location != kModelItself) {
    // The data lies beside the model; a path that leaves that folder is not followed.
    SmallString<128> full(sys::path::parent_path(modelPath));
    if (location.empty() || sys::path::is_absolute(location) ||
        llvm::is_contained(llvm::make_range(sys::path::begin(location), sys::path::end(location)), ".."))
      return makeError("has external data at '" + location + "', which is no file beside the model");
    sys::path::append(full, location);
    path = full.str().str();
    std::shared_ptr<const MappedFile> &mapped = external[path];
    if (!mapped) {
      Expected<std::shared_ptr<const MappedFile>> opened = MappedFile::open(path);
      if (!opened)
        return makeError("has external data in '" + path + "': " + toString(opened.takeError()));
      mapped = *opened;
    }
    bytes = mapped->bytes();
  }
  if (offset > bytes.size() || (length != UINT64_MAX && length > bytes.size() - offset))
    return makeError("has external data at " + Twine(offset) + " behind the end of '" + path + "'");
  return bytes.slice(offset, length == UINT64_MAX ? bytes.size() - offset : length);
}

/// Bits of one element where the file packs several into a byte; 8 otherwise.
static unsigned packedBits(ScalarType type) {
  switch (type) {
  case ScalarType::Int4:
  case ScalarType::UInt4:
  case ScalarType::Float4E2M1FN:
    return 4;
  case ScalarType::Int2:
  case ScalarType::UInt2:
    return 2;
  case ScalarType::Float6E2M3FN:
  case ScalarType::Float6E3M2FN:
    return 6;
  default:
    return 8;
  }
}

static std::vector<uint8_t> unpack(ArrayRef<uint8_t> bytes, int64_t count, ScalarType type) {
  unsigned bits = packedBits(type);
  bool isSigned = type == ScalarType::Int4 || type == ScalarType::Int2;
  std::vector<uint8_t> result(count);
  for (int64_t i = 0; i < count; ++i) {
    uint64_t bit = static_cast<uint64_t>(i) * bits;
    unsigned value = bytes[bit / 8] >> (bit % 8);
    if (bit % 8 + bits > 8)
      value |= unsigned(bytes[bit / 8 + 1]) << (8 - bit % 8);
    value &= (1u << bits) - 1;
    if (isSigned && (value >> (bits - 1)))
      value |= ~0u << bits;
    result[i] = static_cast<uint8_t>(value);
  }
  return result;
}

template <typename List> static void append(std::vector<uint8_t> &out, const List &list, unsigned width) {
  out.reserve(list.size() * width);
  for (auto value : list) {
    uint8_t raw[8];
    static_assert(sizeof(value) <= 8);
    std::memcpy(raw, &value, sizeof(value));
    out.insert(out.end(), raw, raw + width);
  }
}

Expected<TensorData> ModelFile::tensor(const TensorProto &tensor) {
  TensorData result;
  auto fail = [&](const Twine &text) { return makeError("tensor '" + tensor.name() + "' " + text); };
  int64_t count = 1;
  for (int64_t dim : tensor.dims()) {
    if (dim < 0 || (dim > 0 && count > (int64_t(1) << 40) / dim))
      return fail("has an impossible size " + Twine(dim));
    count *= dim;
    result.dims.push_back(dim);
  }
  if (tensor.has_segment())
    return fail("is split into segments, which is not supported");
  if (tensor.data_type() == TensorProto::STRING) {
    result.isString = true;
    if (tensor.string_data_size() != count)
      return fail("has " + Twine(tensor.string_data_size()) + " strings but needs " + Twine(count));
    result.texts.assign(tensor.string_data().begin(), tensor.string_data().end());
    return result;
  }
  ScalarType type = result.dtype = toScalarType(tensor.data_type());
  if (type == ScalarType::Unknown)
    return fail("holds elements of " + nameOfDataType(tensor.data_type()) + ", which is not supported");
  unsigned width = bytesOf(type), bits = packedBits(type);
  uint64_t need = bits == 8 ? static_cast<uint64_t>(count) * width : (static_cast<uint64_t>(count) * bits + 7) / 8;
  bool isExternal = tensor.data_location() == TensorProto::EXTERNAL;
  if (isExternal || tensor.has_raw_data()) {
    ArrayRef<uint8_t> bytes(reinterpret_cast<const uint8_t *>(tensor.raw_data().data()), tensor.raw_data().size());
    if (isExternal) {
      Expected<ArrayRef<uint8_t>> mapped = externalBytes(tensor, result.path, result.offset);
      if (!mapped)
        return fail(toString(mapped.takeError()));
      bytes = *mapped;
    }
    if (bytes.size() < need || (!isExternal && bytes.size() != need))
      return fail("has " + Twine(bytes.size()) + " bytes but needs " + Twine(need));
    bytes = bytes.take_front(need);
    if (bits != 8) {
      result.owned = unpack(bytes, count, type);
      result.path.clear();
    } else if (isExternal && type == ScalarType::Bool &&
               llvm::any_of(bytes, [](uint8_t b) { return b > 1; })) {
      for (uint8_t b : bytes)
        result.owned.push_back(b != 0);
      result.path.clear();
    } else if (!isExternal) {
      result.owned.assign(bytes.begin(), bytes.end());
    }
    result.bytes = result.path.empty() ? ArrayRef<uint8_t>(result.owned) : bytes;
    return result;
  }
  // Lists of numbers; which one holds a type is fixed by the schema.
  switch (type) {
  case ScalarType::Float:
  case ScalarType::ComplexFloat:
    append(result.owned, tensor.float_data(), 4);
    break;
  case ScalarType::Double:
  case ScalarType::ComplexDouble:
    append(result.owned, tensor.double_data(), 8);
    break;
  case ScalarType::Long:
    append(result.owned, tensor.int64_data(), 8);
    break;
  case ScalarType::UInt64:
    append(result.owned, tensor.uint64_data(), 8);
    break;
  case ScalarType::UInt32:
    for (uint64_t value : tensor.uint64_data()) {
      uint32_t narrow = static_cast<uint32_t>(value);
      append(result.owned, ArrayRef(narrow), 4);
    }
    break;
  default:
    append(result.owned, tensor.int32_data(), width);
    break;
  }
  if (bits != 8) {
    if (result.owned.size() < need)
      return fail("has " + Twine(result.owned.size()) + " bytes but needs " + Twine(need));
    result.owned = unpack(result.owned, count, type);
  }
  if (type == ScalarType::Bool)
    for (uint8_t &b : result.owned)
      b = b != 0;
  if (result.owned.size() != static_cast<uint64_t>(count) * width)
    return fail("has " + Twine(result.owned.size() / std::max(width, 1u)) + " elements but needs " + Twine(count));
  result.bytes = result.owned;
  return result;
}

} // namespace tenon::onnx_import
