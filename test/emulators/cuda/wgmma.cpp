// wgmma: products of four warps, whose operands are in shared memory. They are done when they are waited for; until then the
// accumulators hold NaN.
//
// Each warp has 16 of the 64 rows: its accumulators are those of mma for tiles of 8 columns side by side, and A in registers is
// as for mma too. Matrices in shared memory are read by descriptors: in units of 16 bytes bits 0-13 say where they begin, 16-29 and
// 32-45 are two distances, bits 62-63 are the swizzling (1: 128 bytes, 2: 64, 3: 32).
#include "driver.h"
#include "elements.h"
#include "lanes.h"
#include "tensormap.h"

namespace tenon::emulator {

namespace {

constexpr int kWarpRows = 16;

/// What a statement says, in Instruction::list: the header, then accumulators, then registers of A.
enum Header : uint32_t { kColumns, kDescriptorA, kDescriptorB, kScale, kScaleFlip, kNegateA, kNegateB, kTransposedA, kTransposedB, kResults, kHeaderWords };

/// A matrix in shared memory: element (row, k) where row is of A's rows or B's columns.
struct SharedMatrix {
  uint32_t begin, leading, stride;
  int swizzle; ///< as TensorMap says it
  bool transposed;

  SharedMatrix(uint64_t descriptor, bool transposed)
      : begin(static_cast<uint32_t>(descriptor & 0x3fff) << 4), leading(static_cast<uint32_t>(descriptor >> 16 & 0x3fff) << 4),
        stride(static_cast<uint32_t>(descriptor >> 32 & 0x3fff) << 4), swizzle((4 - static_cast<int>(descriptor >> 62)) & 3),
        transposed(transposed) {}

  /// Byte offset of an element; `bytes` of one. Rows of cores are 16 bytes, or as long as the swizzling.
  uint32_t at(uint32_t row, uint32_t k, uint32_t bytes) const {
    uint32_t span = 16u << swizzle, place;
    if (!transposed) {
      uint32_t inRow = k * bytes;
      place = row % 8 * span + row / 8 * stride + (swizzle ? inRow : inRow / 16 * leading + inRow % 16);
    } else {
      // Rows vary fastest: pieces of 16 bytes of them lie side by side as far as the swizzling goes.
      uint32_t inRow = row * bytes, piece = inRow / 16, pieces = span / 16;
      uint32_t acrossPieces = piece % pieces * 16 + piece / pieces * (swizzle ? leading : stride);
      place = acrossPieces + inRow % 16 + k % 8 * span + k / 8 * (swizzle ? stride : leading);
    }
    return swizzled(begin + place, swizzle);
  }
};

} // namespace

/// Reads rows x depth elements as to[k][row]; false: some are outside of shared memory. Descriptors place pieces of 16 bytes.
template <typename E> static bool readMatrix(const Warp &w, const SharedMatrix &matrix, int firstRow, int rows, int depth, typename E::Number *to) {
  constexpr int size = sizeof(typename E::Stored), inPiece = 16 / size;
  const std::vector<uint8_t> &shared = w.block->shared;
  const int alongRow = matrix.transposed ? inPiece : 1, alongDepth = matrix.transposed ? 1 : inPiece;
  for (int row = 0; row < rows; row += alongRow)
    for (int k = 0; k < depth; k += alongDepth) {
      uint32_t offset = matrix.at(static_cast<uint32_t>(firstRow + row), static_cast<uint32_t>(k), size);
      if (offset < kReservedShared || offset + 16 > shared.size())
        return false;
      typename E::Stored piece[inPiece];
      std::memcpy(piece, shared.data() + offset, sizeof(piece));
      for (int e = 0; e < inPiece; ++e) {
        int atRow = matrix.transposed ? row + e : row, atDepth = matrix.transposed ? k : k + e;
        to[atDepth * rows + atRow] = E::get(piece[e]);
      }
    }
  return true;
}

/// Does one product.
template <typename EA, typename EB, bool halfResult> static void multiply(Warp &w, const PendingProduct &product) {
  using T = typename EA::Number;
  const Instruction &i = *product.instruction;
  const uint32_t *header = i.list, *results = header + kHeaderWords, *aRegisters = results + header[kResults];
  const int columns = static_cast<int>(header[kColumns]), warp = static_cast<int>(w.index % 4);
  constexpr int p = kInWord<EA>, depth = 8 * p;
  std::vector<T> a(size_t(depth) * kWarpRows), b(size_t(depth) * size_t(columns)), sums(size_t(kWarpRows) * size_t(columns));
  bool good = readMatrix<EB>(w, {product.b, header[kTransposedB] != 0}, 0, columns, depth, b.data());
  if (header[kDescriptorA]) {
    good &= readMatrix<EA>(w, {product.a, header[kTransposedA] != 0}, warp * kWarpRows, kWarpRows, depth, a.data());
  } else {
    for (int r = 0; r < 4; ++r)
      for (int row = 0; row < 8; ++row)
        for (int k = 0; k < 4 * p; ++k)
          a[size_t((4 * p * (r / 2) + k) * kWarpRows + row + 8 * (r % 2))] =
              EA::get(w.at<typename EA::Stored>(aRegisters[r])[row * 4 * p + k]);
  }
  if (!good)
    return w.fault(i, kIllegalAddress, "matrix of a descriptor is outside of shared memory");
  auto word = [&](int index, int lane) {
    return product.saved.empty() ? w.at<uint32_t>(results[index])[lane] : product.saved[size_t(index) * kLanes + size_t(lane)];
  };
  auto forAll = [&](auto f) {
    for (int tile = 0; tile < columns / 8; ++tile)
      for (int e = 0; e < 4; ++e)
        for (int lane = 0; lane < kLanes; ++lane)
          f(tile * 4 + e, lane, sums[size_t((lane / 4 + 8 * (e / 2)) * columns + tile * 8 + 2 * (lane % 4) + e % 2)]);
  };
  if (product.accumulates)
    forAll([&](int index, int lane, T &sum) {
      if constexpr (halfResult)
        sum = F16::get(static_cast<uint16_t>(word(index / 2, lane) >> (16 * (index % 2))));
      else
        sum = bitsAs<T>(word(index, lane));
    });
  const bool negate = header[kNegateA] != header[kNegateB];
  for (int row = 0; row < kWarpRows; ++row) {
    T *to = sums.data() + size_t(row) * size_t(columns);
    for (int k = 0; k < depth; ++k) {
      T left = a[size_t(k * kWarpRows + row)];
      left = negate ? -left : left;
      const T *right = b.data() + size_t(k) * size_t(columns);
      for (int n = 0; n < columns; ++n)
        to[n] = multiplyAdd(left, right[n], to[n]);
    }
  }
  forAll([&](int index, int lane, T &sum) {
    if constexpr (halfResult) {
      uint32_t *dest = &w.at<uint32_t>(results[index / 2])[lane];
      uint32_t half = F16::put(sum);
      *dest = index % 2 ? (*dest & 0xffffu) | half << 16 : (*dest & 0xffff0000u) | half;
    } else {
      w.at<T>(results[index])[lane] = sum;
    }
  });
}

/// A product's function is in Instruction::immediate.
using Multiply = void (*)(Warp &, const PendingProduct &);

static bool needWarpgroup(Warp &w, const Instruction &i) {
  if (!w.gather(i, w.live))
    return false;
  if (w.mask == kAllLanes && w.index / 4 * 4 + 4 <= w.block->warps.size())
    return true;
  w.fault(i, kLaunchFailed, "instruction that four whole warps must execute");
  return false;
}

static void issueProduct(Warp &w, const Instruction &i) {
  if (!needWarpgroup(w, i))
    return;
  if (!w.productFence)
    return w.fault(i, kLaunchFailed, "product before any wgmma.fence");
  const uint32_t *header = i.list, *results = header + kHeaderWords;
  PendingProduct product = {&i, w.productGroups, 0, w.at<uint64_t>(header[kDescriptorB])[0], true, {}};
  if (header[kDescriptorA])
    product.a = w.at<uint64_t>(header[kDescriptorA])[0];
  Mask scale = *w.at<Mask>(header[kScale]) ^ header[kScaleFlip];
  bool same = scale == 0 || scale == kAllLanes;
  for (int lane = 1; lane < kLanes; ++lane)
    same &= w.at<uint64_t>(header[kDescriptorB])[lane] == product.b &&
            (!header[kDescriptorA] || w.at<uint64_t>(header[kDescriptorA])[lane] == product.a);
  if (!same)
    return w.fault(i, kLaunchFailed, "descriptor or scale differs between lanes");
  for (uint64_t descriptor : {product.a, product.b})
    if (descriptor >> 49 & 7)
      return w.fault(i, kLaunchFailed, "base offset of a descriptor is not emulated");
  product.accumulates = scale != 0;
  bool chained = false;
  for (const PendingProduct &other : w.products)
    chained |= other.instruction->list[kHeaderWords] == results[0];
  if (!chained)
    for (uint32_t r = 0; r < header[kResults]; ++r) {
      auto *words = w.at<uint32_t>(results[r]);
      product.saved.insert(product.saved.end(), words, words + kLanes);
      std::memset(words, kUnwritten, 4 * kLanes);
    }
  w.products.push_back(std::move(product));
  ++w.counts.wgmma;
}

static void fenceProducts(Warp &w, const Instruction &i) {
  if (needWarpgroup(w, i))
    w.productFence = true;
}

static void commitProducts(Warp &w, const Instruction &i) {
  if (needWarpgroup(w, i))
    ++w.productGroups;
}

static void waitProducts(Warp &w, const Instruction &i) {
  if (!needWarpgroup(w, i))
    return;
  size_t done = 0;
  for (; done < w.products.size() && w.stop != Stop::Fault; ++done) {
    const PendingProduct &product = w.products[done];
    if (int64_t(product.group) + i.immediate >= int64_t(w.productGroups))
      break;
    reinterpret_cast<Multiply>(product.instruction->immediate)(w, product);
  }
  // What is chained to products that are done finds its accumulators in registers: they are NaN again until it is done too.
  w.products.erase(w.products.begin(), w.products.begin() + static_cast<ptrdiff_t>(done));
  for (size_t k = 0; k < w.products.size() && w.stop != Stop::Fault; ++k) {
    PendingProduct &product = w.products[k];
    const uint32_t *header = product.instruction->list, *results = header + kHeaderWords;
    bool first = product.saved.empty();
    for (size_t before = 0; before < k; ++before)
      first &= w.products[before].instruction->list[kHeaderWords] != results[0];
    for (uint32_t r = 0; first && r < header[kResults]; ++r) {
      auto *words = w.at<uint32_t>(results[r]);
      product.saved.insert(product.saved.end(), words, words + kLanes);
      std::memset(words, kUnwritten, 4 * kLanes);
    }
  }
}

//===----------------------------------------------------------------------===//
// Decoding
//===----------------------------------------------------------------------===//

template <typename A, typename B> static Multiply byResult(Type result) {
  if constexpr (std::is_same_v<typename A::Number, float>)
    return result == Type::F32 ? multiply<A, B, false> : result == Type::F16 ? multiply<A, B, true> : nullptr;
  else
    return result == Type::S32 ? multiply<A, B, false> : nullptr;
}

static Multiply productOf(Type result, Type a, Type b) {
  if (a == Type::F16 && b == a)
    return byResult<Halves, Halves>(result);
  if (a == Type::BF16 && b == a)
    return result == Type::F32 ? byResult<Brains, Brains>(result) : nullptr;
  if (a == Type::TF32 && b == a)
    return result == Type::F32 ? byResult<Tensors, Tensors>(result) : nullptr;
  if (a == Type::S8 && b == a)
    return byResult<Bytes<int8_t>, Bytes<int8_t>>(result);
  if (a == Type::U8 && b == a)
    return byResult<Bytes<uint8_t>, Bytes<uint8_t>>(result);
  if (a == Type::E4M3)
    return b == a ? byResult<Quarters<true>, Quarters<true>>(result)
           : b == Type::E5M2 ? byResult<Quarters<true>, Quarters<false>>(result) : nullptr;
  if (a == Type::E5M2)
    return b == a ? byResult<Quarters<false>, Quarters<false>>(result)
           : b == Type::E4M3 ? byResult<Quarters<false>, Quarters<true>>(result) : nullptr;
  return nullptr;
}

/// "m64n128k16": 128, if the depth is right.
static uint32_t takeShape(Modifiers &m, uint32_t depth) {
  for (uint32_t columns = 8; columns <= 256; columns += 8)
    if (m.take("m64n" + std::to_string(columns) + "k" + std::to_string(depth)))
      return columns;
  m.fail("shape is not emulated");
}

static void decodeProduct(Decoder &d, const Statement &s, Modifiers &m) {
  Type result = m.takeType(), a = m.takeType(), b = m.takeType();
  m.take("satfinite");
  uint32_t depth = 256 / bitsOf(a), columns = takeShape(m, depth);
  bool isHalf = bitsOf(a) == 16, isInteger = result == Type::S32;
  bool fromRegisters = s.operands.size() > 1 && s.operands[1].kind == Operand::Vector;
  uint32_t resultCount = columns / 8 * (result == Type::F16 ? 2 : 4);
  // d, a, b, scale-d; then signs of a and b but for integers; then transpositions for halves.
  size_t signs = isInteger ? 0 : 2, transpositions = isHalf ? (fromRegisters ? 1 : 2) : 0;
  d.expectOperands(4 + signs + transpositions);
  if (s.operands[0].parts.size() != resultCount || (fromRegisters && s.operands[1].parts.size() != 4))
    d.fail("has another number of registers");
  std::vector<uint32_t> list(kHeaderWords);
  list[kColumns] = columns;
  list[kResults] = resultCount;
  for (const Operand &part : s.operands[0].parts)
    list.push_back(d.dest(part, 32));
  if (fromRegisters)
    for (const Operand &part : s.operands[1].parts)
      list.push_back(d.source(part, 32));
  else
    list[kDescriptorA] = d.source(s.operands[1], 64);
  list[kDescriptorB] = d.source(s.operands[2], 64);
  list[kScale] = d.predicate(s.operands[3], list[kScaleFlip]);
  size_t at = 4;
  if (signs) {
    for (uint32_t word : {kNegateA, kNegateB}) {
      int64_t sign = d.integer(s.operands[at++], -1, 1);
      if (sign == 0)
        d.fail("sign of an operand is neither 1 nor -1");
      list[word] = sign < 0;
    }
  }
  if (transpositions == 2)
    list[kTransposedA] = static_cast<uint32_t>(d.integer(s.operands[at++], 0, 1));
  if (transpositions)
    list[kTransposedB] = static_cast<uint32_t>(d.integer(s.operands[at], 0, 1));
  Multiply multiply = productOf(result, a, b);
  if (!multiply)
    d.fail("not emulated for these types");
  const uint32_t *all = d.list(std::move(list));
  Instruction &made = d.add(issueProduct);
  made.list = all, made.immediate = reinterpret_cast<int64_t>(multiply);
}

static void decodeWgmma(Decoder &d, const Statement &s, Modifiers &m) {
  d.require(90, 80, true);
  int what = m.takeOneOf({"mma_async", "fence", "commit_group", "wait_group"});
  if (what < 0 || !m.take("sync") || !m.take("aligned"))
    d.fail("this form is not emulated");
  switch (what) {
  case 0:
    return decodeProduct(d, s, m);
  case 1:
    d.add(fenceProducts);
    return;
  case 2:
    d.add(commitProducts);
    return;
  default:
    d.expectOperands(1);
    int64_t pending = d.integer(s.operands[0], 0, 7);
    d.add(waitProducts).immediate = pending;
  }
}

void addWarpgroupProducts(DecoderTable &table) { table["wgmma"] = decodeWgmma; }

} // namespace tenon::emulator
