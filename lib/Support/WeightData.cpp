//===- WeightData.cpp - the bytes of weights, which lie beside the module -===//
#include "tenon/Support/WeightData.h"
#include "dialects/Graph/IR/GraphDialect.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/xxhash.h"
#include <bit>
#include <cmath>

using namespace mlir;
using namespace llvm;

namespace tenon {

static Error fail(const Twine &message) { return createStringError(inconvertibleErrorCode(), message); }

int64_t elementBytes(mlir::Type elementType) {
  if (auto complex = dyn_cast<ComplexType>(elementType))
    return 2 * elementBytes(complex.getElementType());
  if (isa<IndexType>(elementType))
    return 8;
  if (!elementType.isIntOrFloat() || elementType.getIntOrFloatBitWidth() > 64)
    return 0;
  return divideCeil(elementType.getIntOrFloatBitWidth(), 8u);
}

Expected<int64_t> tensorBytes(RankedTensorType type) {
  int64_t bytes = elementBytes(type.getElementType());
  std::string text;
  raw_string_ostream(text) << type;
  if (bytes == 0 || !type.hasStaticShape())
    return fail("type " + text + " has no fixed number of bytes");
  for (int64_t size : type.getShape())
    if (MulOverflow(bytes, size, bytes))
      return fail("type " + text + " is too large");
  return bytes;
}

//===----------------------------------------------------------------------===//
// Numbers
//===----------------------------------------------------------------------===//

double bitsToFloat(uint64_t bits, FloatType type) {
  if (type.isF64())
    return std::bit_cast<double>(bits);
  if (type.isF32())
    return std::bit_cast<float>(static_cast<uint32_t>(bits));
  if (type.isBF16())
    return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
  APFloat value(type.getFloatSemantics(), APInt(type.getWidth(), bits, false, /*implicitTrunc=*/true));
  bool losesInfo;
  value.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven, &losesInfo);
  return value.convertToDouble();
}

uint64_t floatToBits(double value, FloatType type) {
  if (type.isF64())
    return std::bit_cast<uint64_t>(value);
  if (type.isF32())
    return std::bit_cast<uint32_t>(static_cast<float>(value));
  APFloat rounded(value);
  bool losesInfo;
  rounded.convert(type.getFloatSemantics(), APFloat::rmNearestTiesToEven, &losesInfo);
  return rounded.bitcastToAPInt().getZExtValue();
}

/// Rounds to a format with `precision` bits of significand, least exponent `emin` and largest finite `max`.
static double roundToFormat(double value, int precision, int emin, double max) {
  if (value == 0 || !std::isfinite(value))
    return value;
  // Adding and subtracting this power of two rounds at the wanted place, in the rounding mode of the machine.
  int exponent = std::max(std::ilogb(value), emin);
  double unit = std::ldexp(1.0, exponent - precision + 1);
  double rounded = std::copysign(std::nearbyint(std::fabs(value) / unit) * unit, value);
  return std::fabs(rounded) > max ? std::copysign(INFINITY, value) : rounded;
}

double roundToType(double value, FloatType type) {
  if (type.isF32())
    return static_cast<float>(value);
  if (type.isF64() || type.getWidth() > 64)
    return value;
  if (type.isF16())
    return roundToFormat(value, 11, -14, 65504.0);
  if (type.isBF16())
    return roundToFormat(value, 8, -126, 0x1.fep127);
  return bitsToFloat(floatToBits(value, type), type);
}

double seededUniform(uint64_t key, uint64_t index) {
  uint64_t z = key + (index + 1) * 0x9E3779B97F4A7C15ull;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  z ^= z >> 31;
  return static_cast<double>(z >> 11) * 0x1p-53;
}

uint64_t seedKey(StringRef name) { return xxh3_64bits(name); }

/// Stores the low `n` bytes of `bits`, little endian.
static void store(uint8_t *to, uint64_t bits, int64_t n) {
  for (int64_t i = 0; i < n; ++i)
    to[i] = static_cast<uint8_t>(bits >> (8 * i));
}

/// A number in [-limit, limit] of an integer type, limit being what the type holds.
static int64_t seededInteger(double u, double bound, unsigned width) {
  double limit = std::ldexp(1.0, static_cast<int>(std::min(width, 53u)) - 1) - 1;
  double b = std::min(std::floor(std::fabs(bound)), limit);
  return static_cast<int64_t>(std::floor(u * (2 * b + 1)) - b);
}

void fillSeeded(StringRef name, double bound, mlir::Type elementType, int64_t first, MutableArrayRef<uint8_t> bytes) {
  uint64_t key = seedKey(name);
  mlir::Type part = elementType;
  int64_t parts = 1;
  if (auto complex = dyn_cast<ComplexType>(elementType)) {
    part = complex.getElementType();
    parts = 2;
  }
  int64_t size = elementBytes(part);
  assert(size > 0 && bytes.size() % (size * parts) == 0 && "not a whole number of elements");
  int64_t count = bytes.size() / size;
  for (int64_t i = 0; i < count; ++i) {
    double u = seededUniform(key, first * parts + i);
    uint64_t bits;
    if (auto type = dyn_cast<FloatType>(part))
      bits = floatToBits((2 * u - 1) * bound, type);
    else if (part.isInteger(1))
      bits = u >= 0.5;
    else
      bits = seededInteger(u, bound, isa<IndexType>(part) ? 64 : part.getIntOrFloatBitWidth());
    store(bytes.data() + i * size, bits, size);
  }
}

void fillSplat(double value, mlir::Type elementType, MutableArrayRef<uint8_t> bytes) {
  auto complex = dyn_cast<ComplexType>(elementType);
  mlir::Type part = complex ? complex.getElementType() : elementType;
  int64_t size = elementBytes(part), step = complex ? 2 * size : size;
  assert(size > 0 && bytes.size() % step == 0 && "not a whole number of elements");
  uint64_t bits;
  if (auto type = dyn_cast<FloatType>(part))
    bits = floatToBits(value, type);
  else if (part.isInteger(1))
    bits = value != 0;
  else
    bits = std::fabs(value) < 0x1p63 ? static_cast<uint64_t>(static_cast<int64_t>(value)) : uint64_t(1) << 63;
  std::fill(bytes.begin(), bytes.end(), 0);
  for (size_t i = 0; i < bytes.size(); i += step)
    store(bytes.data() + i, bits, size);
}

//===----------------------------------------------------------------------===//
// The store
//===----------------------------------------------------------------------===//

void WeightStore::setOwned(StringRef name, std::vector<uint8_t> bytes) {
  auto buffer = std::make_shared<const std::vector<uint8_t>>(std::move(bytes));
  std::lock_guard lock(mutex);
  owned[name] = WeightBytes(*buffer, buffer);
}

void WeightStore::eraseOwned(StringRef name) {
  std::lock_guard lock(mutex);
  owned.erase(name);
}

Error WeightStore::adopt(StringRef name, WeightStore &other, graph::WeightOp weight) {
  graph::WeightSourceAttr source = weight.getSource();
  auto replaceSource = [&](StringRef kind, StringRef path) {
    weight.setSourceAttr(graph::WeightSourceAttr::get(weight.getContext(), kind, path, source.getOffset(),
                                                      source.getLength(), source.getValue()));
  };
  if (source.getKind() == "file") {
    if (sys::path::is_absolute(source.getPath()) || baseDirectory == other.baseDirectory)
      return Error::success();
    SmallString<256> path(other.baseDirectory);
    sys::path::append(path, source.getPath());
    if (std::error_code error = sys::fs::make_absolute(path))
      return fail("cannot find '" + path + "': " + error.message());
    replaceSource("file", path);
    return Error::success();
  }
  std::string now = weight.getSymName().str();
  if (source.getKind() == "splat" || (source.getKind() == "seed" && now == name))
    return Error::success();
  weight.setSymName(name); // the other store knows it by this
  Expected<WeightBytes> bytes = other.read(weight);
  weight.setSymName(now);
  if (!bytes)
    return bytes.takeError();
  setOwned(now, std::vector<uint8_t>(bytes->get().begin(), bytes->get().end()));
  replaceSource("owned", "");
  return Error::success();
}

Expected<WeightBytes> WeightStore::mapFile(StringRef path) {
  SmallString<256> resolved(path);
  if (!baseDirectory.empty() && !sys::path::is_absolute(path)) {
    resolved = baseDirectory;
    sys::path::append(resolved, path);
  }
  std::lock_guard lock(mutex);
  auto found = files.find(resolved);
  if (found != files.end())
    return found->second;
  Expected<sys::fs::file_t> file = sys::fs::openNativeFileForRead(resolved);
  if (!file)
    return joinErrors(fail("cannot open weight file '" + resolved + "'"), file.takeError());
  sys::fs::file_status status;
  std::error_code error = sys::fs::status(*file, status);
  if (!error && status.type() != sys::fs::file_type::regular_file)
    error = std::make_error_code(std::errc::invalid_argument);
  std::shared_ptr<sys::fs::mapped_file_region> region;
  if (!error && status.getSize() > 0)
    region = std::make_shared<sys::fs::mapped_file_region>(*file, sys::fs::mapped_file_region::readonly,
                                                           status.getSize(), 0, error);
  sys::fs::closeFile(*file); // the mapping keeps the file
  if (error)
    return fail("cannot map weight file '" + resolved + "': " + error.message());
  ArrayRef<uint8_t> bytes;
  if (region)
    bytes = ArrayRef(reinterpret_cast<const uint8_t *>(region->const_data()), region->size());
  return files[resolved] = WeightBytes(bytes, region);
}

Expected<WeightBytes> WeightStore::read(graph::WeightOp weight) {
  auto context = [&] { return ("weight '" + weight.getSymName() + "': ").str(); };
  auto type = cast<RankedTensorType>(weight.getType());
  Expected<int64_t> size = tensorBytes(type);
  if (!size)
    return joinErrors(fail(context() + "cannot be read"), size.takeError());
  graph::WeightSourceAttr source = weight.getSource();
  StringRef kind = source.getKind();
  if (kind == "splat" || kind == "seed") {
    auto buffer = std::make_shared<std::vector<uint8_t>>(*size);
    double value = source.getValue().getValueAsDouble();
    if (kind == "splat")
      fillSplat(value, type.getElementType(), *buffer);
    else
      fillSeeded(weight.getSymName(), value, type.getElementType(), 0, *buffer);
    return WeightBytes(*buffer, buffer);
  }
  if (kind == "owned") {
    std::lock_guard lock(mutex);
    auto found = owned.find(weight.getSymName());
    if (found == owned.end())
      return fail(context() + "has source 'owned' but the store holds no bytes for it");
    if (static_cast<int64_t>(found->second.size()) != *size)
      return fail(context() + "has " + Twine(found->second.size()) + " bytes in the store but its type needs " +
                  Twine(*size));
    return found->second;
  }
  if (source.getLength() != *size)
    return fail(context() + "has length " + Twine(source.getLength()) + " but its type needs " + Twine(*size) +
                " bytes");
  Expected<WeightBytes> file = mapFile(source.getPath());
  if (!file)
    return joinErrors(fail(context() + "cannot be read"), file.takeError());
  uint64_t offset = source.getOffset();
  if (offset > file->size() || static_cast<uint64_t>(*size) > file->size() - offset)
    return fail(context() + "is bytes " + Twine(offset) + " .. " + Twine(offset + *size) + " of '" +
                source.getPath() + "' but the file has " + Twine(file->size()));
  return WeightBytes(file->get().slice(offset, *size), std::make_shared<WeightBytes>(*file));
}

Expected<uint64_t> WeightStore::digest(graph::WeightOp weight) {
  Expected<WeightBytes> bytes = read(weight);
  if (!bytes)
    return bytes.takeError();
  return xxh3_64bits(bytes->get());
}

Expected<WeightBytes> readWeight(graph::WeightOp weight, WeightStore &store) { return store.read(weight); }

} // namespace tenon
