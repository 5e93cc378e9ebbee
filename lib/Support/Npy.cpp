//===- Npy.cpp - reading and writing .npy files ---------------------------===//
#include "tenon/Support/Npy.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"
#include <cstring>
#include <optional>
#include <vector>

using namespace llvm;

namespace tenon {

static constexpr size_t kMaxRank = 64;            // numpy's own limit
static constexpr size_t kMaxHeader = 1 << 20;     // far above what any array needs
static constexpr StringLiteral kMagic = "\x93NUMPY";

int64_t NpyArray::numElements() const {
  int64_t n = 1;
  for (int64_t size : shape)
    n *= size;
  return n;
}

namespace {
/// Reads the Python dictionary of a header: three known keys, in any order.
class HeaderParser {
public:
  HeaderParser(StringRef text) : rest(text) {}

  /// nullptr on success, else what is wrong.
  const char *parse() {
    if (!take('{'))
      return "header is not a dictionary";
    while (!take('}')) {
      std::optional<StringRef> key = takeString();
      if (!key || !take(':'))
        return "header has a malformed key";
      if (const char *error = parseValue(*key))
        return error;
      if (!take(',')) {
        if (!take('}'))
          return "header dictionary does not end";
        break;
      }
    }
    rest = rest.ltrim();
    if (!rest.empty())
      return "header has text after the dictionary";
    if (!descr || !fortran || !hasShape)
      return "header needs 'descr', 'fortran_order' and 'shape'";
    return nullptr;
  }

  std::optional<StringRef> descr;
  std::optional<bool> fortran;
  bool hasShape = false;
  SmallVector<int64_t, 6> shape;

private:
  bool take(char c) {
    rest = rest.ltrim();
    return rest.consume_front(StringRef(&c, 1));
  }
  std::optional<StringRef> takeString() {
    rest = rest.ltrim();
    if (rest.empty() || (rest[0] != '\'' && rest[0] != '"'))
      return std::nullopt;
    size_t end = rest.find(rest[0], 1);
    if (end == StringRef::npos)
      return std::nullopt;
    StringRef text = rest.substr(1, end - 1);
    rest = rest.drop_front(end + 1);
    return text;
  }
  const char *parseValue(StringRef key) {
    if (key == "descr") {
      descr = takeString();
      return descr ? nullptr : "'descr' is not a simple type";
    }
    if (key == "fortran_order") {
      rest = rest.ltrim();
      if (rest.consume_front("True"))
        fortran = true;
      else if (rest.consume_front("False"))
        fortran = false;
      return fortran ? nullptr : "'fortran_order' is neither True nor False";
    }
    if (key != "shape")
      return "header has an unknown key";
    shape.clear();
    if (!take('('))
      return "'shape' is not a tuple";
    while (!take(')')) {
      rest = rest.ltrim();
      int64_t size;
      if (rest.consumeInteger(10, size) || size < 0)
        return "'shape' has an entry that is not a size";
      rest.consume_front("L"); // written by Python 2
      if (shape.size() == kMaxRank)
        return "'shape' has too many dimensions";
      shape.push_back(size);
      if (!take(',')) {
        if (!take(')'))
          return "'shape' does not end";
        break;
      }
    }
    hasShape = true;
    return nullptr;
  }

  StringRef rest;
};
} // namespace

static std::optional<NpyType> parseDescr(StringRef descr, bool &isBigEndian) {
  if (descr.size() != 3 && descr.size() != 4)
    return std::nullopt;
  isBigEndian = descr[0] == '>';
  if (!StringRef("<>|=").contains(descr[0]))
    return std::nullopt;
  NpyType type{descr[1], 0};
  if (descr.drop_front(2).getAsInteger(10, type.bytes))
    return std::nullopt;
  static constexpr std::pair<char, const char *> known[] = {{'f', "248"}, {'i', "1248"}, {'u', "1248"}, {'b', "1"}, {'V', "2"}};
  for (auto [kind, sizes] : known)
    if (type.kind == kind && type.bytes < 10 && strchr(sizes, '0' + type.bytes) && type.bytes > 0)
      return type;
  if (type.kind == 'c' && (type.bytes == 8 || type.bytes == 16))
    return type;
  return std::nullopt;
}

/// Copies `from` (column-major where `fortran`) to row-major, reversing the bytes of each scalar where `swap`.
static void convert(const NpyArray &array, const uint8_t *from, bool fortran, bool swap, uint8_t *to) {
  int64_t n = array.numElements(), bytes = array.type.bytes;
  int64_t scalar = array.type.kind == 'c' ? bytes / 2 : bytes;
  SmallVector<int64_t, 6> index(array.shape.size(), 0), strides(array.shape.size());
  int64_t stride = 1;
  for (size_t d = 0; d < strides.size(); ++d) {
    strides[d] = stride;
    stride *= array.shape[d];
  }
  int64_t source = 0;
  for (int64_t i = 0; i < n; ++i) {
    const uint8_t *element = from + (fortran ? source : i) * bytes;
    for (int64_t b = 0; b < bytes; ++b) {
      int64_t inScalar = b % scalar;
      to[i * bytes + b] = element[swap ? b - inScalar + scalar - 1 - inScalar : b];
    }
    for (size_t d = index.size(); d-- > 0;) {
      source += strides[d];
      if (++index[d] < array.shape[d])
        break;
      source -= strides[d] * array.shape[d];
      index[d] = 0;
    }
  }
}

Expected<NpyArray> parseNpy(ArrayRef<uint8_t> file, StringRef name, std::shared_ptr<const void> owner) {
  auto fail = [&](const Twine &what) -> Error {
    return createStringError(inconvertibleErrorCode(), "'" + name + "': " + what);
  };
  StringRef text(reinterpret_cast<const char *>(file.data()), file.size());
  if (!text.starts_with(kMagic) || file.size() < 10)
    return fail("not an .npy file");
  int major = file[6];
  size_t begin = major == 1 ? 10 : 12;
  if (major < 1 || major > 3)
    return fail("has .npy version " + Twine(major) + " but 1, 2 and 3 are known");
  if (file.size() < begin)
    return fail("ends inside its header");
  size_t length = file[8] | file[9] << 8;
  if (major > 1)
    length |= static_cast<size_t>(file[10]) << 16 | static_cast<size_t>(file[11]) << 24;
  if (length > file.size() - begin || length > kMaxHeader)
    return fail("has a header of " + Twine(length) + " bytes but the file has " + Twine(file.size()));
  HeaderParser header(text.substr(begin, length));
  if (const char *error = header.parse())
    return fail(error);
  NpyArray array;
  bool isBigEndian = false;
  std::optional<NpyType> type = parseDescr(*header.descr, isBigEndian);
  if (!type) {
    // Bytes of a file go into a message only when they can be read there.
    bool isWord = header.descr->size() <= 16 && llvm::all_of(*header.descr, llvm::isPrint);
    return fail("has elements of type '" + (isWord ? *header.descr : StringRef("?")) + "', which cannot be read");
  }
  array.type = *type;
  array.shape = header.shape;
  // Overflow is judged without the zeros, so that no product of some sizes overflows later either.
  int64_t bytes = type->bytes;
  bool isEmpty = false;
  for (int64_t size : array.shape) {
    isEmpty |= size == 0;
    if (size != 0 && MulOverflow(bytes, size, bytes))
      return fail("has a shape of too many elements");
  }
  if (isEmpty)
    bytes = 0;
  if (static_cast<uint64_t>(bytes) > file.size() - begin - length)
    return fail("has " + Twine(file.size() - begin - length) + " bytes of data but its shape needs " + Twine(bytes));
  ArrayRef<uint8_t> data = file.slice(begin + length, bytes);
  bool swap = isBigEndian && type->bytes > 1;
  bool fortran = *header.fortran && array.shape.size() > 1;
  if (!swap && !fortran) {
    array.bytes = data;
    array.owner = std::move(owner);
    return array;
  }
  auto copy = std::make_shared<std::vector<uint8_t>>(bytes);
  convert(array, data.data(), fortran, swap, copy->data());
  array.bytes = *copy;
  array.owner = copy;
  return array;
}

Expected<NpyArray> readNpy(StringRef path) {
  ErrorOr<std::unique_ptr<MemoryBuffer>> buffer =
      MemoryBuffer::getFile(path, /*IsText=*/false, /*RequiresNullTerminator=*/false);
  if (!buffer)
    return createStringError(buffer.getError(), "'" + path + "': " + buffer.getError().message());
  std::shared_ptr<MemoryBuffer> owner = std::move(*buffer);
  return parseNpy(ArrayRef(reinterpret_cast<const uint8_t *>(owner->getBufferStart()), owner->getBufferSize()), path,
                  owner);
}

std::string makeNpy(NpyType type, ArrayRef<int64_t> shape, ArrayRef<uint8_t> bytes) {
  std::string header = "{'descr': '";
  header += type.bytes == 1 || type.kind == 'V' ? '|' : '<';
  header += type.str() + "', 'fortran_order': False, 'shape': (";
  for (int64_t size : shape)
    header += std::to_string(size) + ",";
  header += "), }";
  // Data begins at a multiple of 64; the header ends with a newline.
  header.append(63 - (10 + header.size()) % 64, ' ');
  header += '\n';
  std::string file = (kMagic + StringRef("\x01\x00", 2)).str();
  file += static_cast<char>(header.size() & 255);
  file += static_cast<char>(header.size() >> 8);
  file += header;
  file.append(reinterpret_cast<const char *>(bytes.data()), bytes.size());
  return file;
}

Error writeNpy(StringRef path, NpyType type, ArrayRef<int64_t> shape, ArrayRef<uint8_t> bytes) {
  auto wrap = [&](Error error) -> Error {
    return createStringError(inconvertibleErrorCode(), "cannot write '" + path + "': " + toString(std::move(error)));
  };
  Expected<sys::fs::TempFile> temp =
      sys::fs::TempFile::create(path + ".%%%%%%%%.tmp", sys::fs::all_read | sys::fs::owner_write);
  if (!temp)
    return wrap(temp.takeError());
  std::string file = makeNpy(type, shape, bytes);
  raw_fd_ostream out(temp->FD, /*shouldClose=*/false);
  out << file;
  out.flush();
  if (std::error_code error = out.error()) {
    out.clear_error();
    return wrap(joinErrors(errorCodeToError(error), temp->discard()));
  }
  if (Error error = temp->keep(path))
    return wrap(std::move(error));
  return Error::success();
}

std::optional<NpyType> npyTypeOf(mlir::Type elementType) {
  if (auto complex = dyn_cast<mlir::ComplexType>(elementType)) {
    if (complex.getElementType().isF32() || complex.getElementType().isF64())
      return NpyType{'c', complex.getElementType().isF32() ? 8 : 16};
    return std::nullopt;
  }
  if (elementType.isF16() || elementType.isF32() || elementType.isF64())
    return NpyType{'f', static_cast<int>(elementType.getIntOrFloatBitWidth() / 8)};
  if (elementType.isBF16())
    return NpyType{'u', 2};
  if (isa<mlir::FloatType>(elementType) && elementType.getIntOrFloatBitWidth() <= 8)
    return NpyType{'u', 1};
  if (elementType.isInteger(1))
    return NpyType{'b', 1};
  if (isa<mlir::IndexType>(elementType))
    return NpyType{'i', 8};
  if (isa<mlir::IntegerType>(elementType)) {
    unsigned width = elementType.getIntOrFloatBitWidth();
    if (width <= 8 || width == 16 || width == 32 || width == 64)
      return NpyType{'i', static_cast<int>(width <= 8 ? 1 : width / 8)};
  }
  return std::nullopt;
}

bool npyTypeFits(NpyType type, mlir::Type elementType) {
  std::optional<NpyType> own = npyTypeOf(elementType);
  if (!own)
    return false;
  if (type == *own)
    return true;
  if (own->kind == 'i')
    return type.kind == 'u' && type.bytes == own->bytes;
  return elementType.isBF16() && type == NpyType{'V', 2};
}

} // namespace tenon
