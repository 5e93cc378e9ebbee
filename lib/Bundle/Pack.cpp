//===- Pack.cpp - constants into the layouts of their kernels -------------===//
#include "tenon/Bundle/Pack.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/Parallel.h"
#include <cstring>

using namespace mlir;
using namespace tenon;
using llvm::ArrayRef;
using llvm::Error;
using llvm::Expected;
using llvm::MutableArrayRef;

/// Offsets, in elements of the row-major source, of all points of some dimensions in row-major order.
static std::vector<int64_t> offsetsOf(RankedTensorType type, ArrayRef<int64_t> dims) {
  SmallVector<int64_t> strides(type.getRank(), 1);
  for (int64_t d = type.getRank() - 2; d >= 0; --d)
    strides[d] = strides[d + 1] * type.getDimSize(d + 1);
  std::vector<int64_t> offsets{0};
  for (int64_t d : dims) {
    std::vector<int64_t> next;
    next.reserve(offsets.size() * type.getDimSize(d));
    for (int64_t base : offsets)
      for (int64_t i = 0; i < type.getDimSize(d); ++i)
        next.push_back(base + i * strides[d]);
    offsets = std::move(next);
  }
  return offsets;
}

static bool isContiguous(ArrayRef<int64_t> offsets) {
  for (size_t i = 1; i < offsets.size(); ++i)
    if (offsets[i] != static_cast<int64_t>(i))
      return false;
  return true;
}

namespace {
/// The source as a matrix: element (n, k) is at nAt[n] + kAt[k].
template <typename T> struct Matrix {
  const T *source;
  ArrayRef<int64_t> nAt, kAt;
  bool isKContiguous, isNContiguous;

  /// Writes columns [k0, k1) of the panel of rows [n0, n0 + rows): dest[k][j], j < width, zeros from `rows` on.
  void pack(int64_t n0, int64_t rows, int64_t width, int64_t k0, int64_t k1, T *dest) const {
    if (isNContiguous && rows == width) {
      for (int64_t k = k0; k < k1; ++k)
        std::memcpy(dest + (k - k0) * width, source + nAt[n0] + kAt[k], width * sizeof(T));
      return;
    }
    if (isKContiguous && rows == width && width % 8 == 0) {
      for (int64_t j = 0; j < width; j += 8)
        packEightRows(n0 + j, k0, k1, dest + j, width);
      return;
    }
    for (int64_t k = k0; k < k1; ++k) {
      T *to = dest + (k - k0) * width;
      for (int64_t j = 0; j < rows; ++j)
        to[j] = source[nAt[n0 + j] + kAt[k]];
      std::fill(to + rows, to + width, T());
    }
  }

  /// Transposes eight rows at a time; the compiler keeps the eight streams in registers.
  void packEightRows(int64_t n, int64_t k0, int64_t k1, T *dest, int64_t width) const {
    const T *rows[8];
    for (int j = 0; j < 8; ++j)
      rows[j] = source + nAt[n + j];
    for (int64_t k = k0; k < k1; ++k) {
      T *to = dest + (k - k0) * width;
      for (int j = 0; j < 8; ++j)
        to[j] = rows[j][k];
    }
  }
};
} // namespace

template <typename T>
static void packAs(ArrayRef<uint8_t> sourceBytes, RankedTensorType type, kernel::LayoutAttr layout,
                   uint8_t *destBytes) {
  ArrayRef<int64_t> order = layout.getOrder();
  std::vector<int64_t> nAt = offsetsOf(type, order.take_front(layout.getN()));
  std::vector<int64_t> kAt = offsetsOf(type, order.drop_front(layout.getN()));
  Matrix<T> matrix{reinterpret_cast<const T *>(sourceBytes.data()), nAt, kAt, isContiguous(kAt), isContiguous(nAt)};
  T *dest = reinterpret_cast<T *>(destBytes);
  int64_t n = nAt.size(), k = kAt.size(), width = layout.getWidth();
  if (n == 0 || k == 0)
    return;
  constexpr int64_t kBlockBytes = 1 << 18;
  if (width == 0) {
    // Row by row: a panel of width 1 of each row is the row itself.
    int64_t rows = std::max<int64_t>(1, kBlockBytes / (k * sizeof(T)));
    llvm::parallelFor(0, llvm::divideCeil(n, rows), [&](size_t block) {
      for (int64_t i = block * rows; i < std::min<int64_t>(n, (block + 1) * rows); ++i) {
        T *to = dest + i * k;
        if (matrix.isKContiguous)
          std::memcpy(to, matrix.source + nAt[i], k * sizeof(T));
        else
          for (int64_t j = 0; j < k; ++j)
            to[j] = matrix.source[nAt[i] + kAt[j]];
      }
    });
    return;
  }
  int64_t groupRows = n / layout.getGroups(), panels = llvm::divideCeil(groupRows, width);
  int64_t kBlock = std::max<int64_t>(1, kBlockBytes / (width * sizeof(T)));
  int64_t kBlocks = llvm::divideCeil(k, kBlock);
  llvm::parallelFor(0, layout.getGroups() * panels * kBlocks, [&](size_t index) {
    int64_t block = index % kBlocks, panel = index / kBlocks % panels, group = index / kBlocks / panels;
    int64_t first = group * groupRows + panel * width, rows = std::min(width, groupRows - panel * width);
    int64_t k0 = block * kBlock, k1 = std::min(k, k0 + kBlock);
    matrix.pack(first, rows, width, k0, k1, dest + ((group * panels + panel) * k + k0) * width);
  });
}

void tenon::packConstant(ArrayRef<uint8_t> source, RankedTensorType type, kernel::LayoutAttr layout,
                         MutableArrayRef<uint8_t> dest) {
  if (!layout) {
    assert(source.size() == dest.size() && "a plain constant has its tensor's size");
    constexpr size_t kBlock = 4 << 20;
    llvm::parallelFor(0, llvm::divideCeil(source.size(), kBlock), [&](size_t i) {
      size_t at = i * kBlock;
      std::memcpy(dest.data() + at, source.data() + at, std::min(kBlock, source.size() - at));
    });
    return;
  }
  switch (plan::elementBytes(type.getElementType())) {
  case 1:
    return packAs<uint8_t>(source, type, layout, dest.data());
  case 2:
    return packAs<uint16_t>(source, type, layout, dest.data());
  case 4:
    return packAs<uint32_t>(source, type, layout, dest.data());
  case 8:
    return packAs<uint64_t>(source, type, layout, dest.data());
  case 16:
    return packAs<std::array<uint64_t, 2>>(source, type, layout, dest.data());
  default:
    llvm_unreachable("element of an unknown size");
  }
}

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

static void storeBits(const llvm::APInt &bits, int64_t bytes, std::vector<uint8_t> &to) {
  uint64_t value = bits.zextOrTrunc(64).getZExtValue();
  for (int64_t i = 0; i < bytes; ++i)
    to.push_back(static_cast<uint8_t>(value >> (8 * i)));
}

std::vector<uint8_t> tenon::constantBytes(ElementsAttr value) {
  auto type = cast<RankedTensorType>(value.getType());
  Type element = type.getElementType();
  std::vector<uint8_t> bytes;
  if (auto complex = dyn_cast<ComplexType>(element)) {
    int64_t part = plan::elementBytes(complex.getElementType());
    if (isa<FloatType>(complex.getElementType()))
      for (std::complex<APFloat> v : value.getValues<std::complex<APFloat>>()) {
        storeBits(v.real().bitcastToAPInt(), part, bytes);
        storeBits(v.imag().bitcastToAPInt(), part, bytes);
      }
    else
      for (std::complex<APInt> v : value.getValues<std::complex<APInt>>()) {
        storeBits(v.real(), part, bytes);
        storeBits(v.imag(), part, bytes);
      }
    return bytes;
  }
  int64_t size = plan::elementBytes(element);
  if (isa<FloatType>(element))
    for (const APFloat &v : value.getValues<APFloat>())
      storeBits(v.bitcastToAPInt(), size, bytes);
  else
    for (const APInt &v : value.getValues<APInt>())
      storeBits(v, size, bytes);
  return bytes;
}

//===----------------------------------------------------------------------===//
// The segment
//===----------------------------------------------------------------------===//

int64_t tenon::constantsSegmentBytes(ModuleOp module) {
  int64_t bytes = 0;
  for (auto constant : module.getOps<plan::ConstantOp>())
    bytes = std::max<int64_t>(bytes, constant.getOffset() + constant.getBytes());
  return llvm::alignTo(bytes, plan::kBufferAlign);
}

Error tenon::packConstants(ModuleOp module, WeightStore &weights, MutableArrayRef<uint8_t> segment) {
  SymbolTable symbols(module);
  for (auto constant : module.getOps<plan::ConstantOp>()) {
    auto type = cast<RankedTensorType>(constant.getType());
    auto layout = dyn_cast_or_null<kernel::LayoutAttr>(constant.getLayoutAttr());
    WeightBytes bytes;
    if (constant.getValue()) {
      auto data = std::make_shared<std::vector<uint8_t>>(constantBytes(*constant.getValue()));
      bytes = WeightBytes(*data, data);
    } else {
      auto weight = symbols.lookup<graph::WeightOp>(*constant.getWeight());
      if (!weight)
        return llvm::createStringError("constant @" + constant.getSymName() + " names weight @" +
                                       *constant.getWeight() + ", which is not there");
      Expected<WeightBytes> read = weights.read(weight);
      if (!read)
        return read.takeError();
      bytes = *read;
    }
    int64_t want = type.getNumElements() * plan::elementBytes(type.getElementType());
    if (static_cast<int64_t>(bytes.size()) != want)
      return llvm::createStringError("constant @" + constant.getSymName() + " has " + Twine(bytes.size()) +
                                     " bytes but its type needs " + Twine(want));
    packConstant(bytes.get(), type, layout, segment.slice(constant.getOffset(), constant.getBytes()));
  }
  return Error::success();
}
