// mma.sync, ldmatrix, stmatrix, movmatrix.
//
// All fragments of mma have one form. With lane = 4 * group + t and p elements in a register:
//   A, register r: row group + 8 * (r % 2), columns t * p + 4 * p * (r / 2) + 0 .. p-1
//   B, register r: rows t * p + 4 * p * r + 0 .. p-1, column group
//   C, element e: row group + 8 * (e / 2), column 2 * t + e % 2
#include "driver.h"
#include "elements.h"
#include "lanes.h"

namespace tenon::emulator {

static constexpr int kRows = 16, kColumns = 8, kMaxDepth = 32;

static bool needWarp(Warp &w, const Instruction &i) {
  if (!w.gather(i, w.live))
    return false;
  if (w.mask == kAllLanes)
    return true;
  w.fault(i, kLaunchFailed, "instruction that a whole warp must execute");
  return false;
}

//===----------------------------------------------------------------------===//
// mma.sync
//===----------------------------------------------------------------------===//

/// The matrices of one product, as numbers. The elements of a register of A, lane after lane, are a tile of 8 rows with 4 * p columns
/// each; those of B are such a tile of its transposition; two registers of C alternate to make one of 8 columns.
template <typename T> struct Tile {
  alignas(64) T a[kRows][kMaxDepth];
  alignas(64) T b[kMaxDepth][kColumns];
  alignas(64) T c[kRows][kColumns];

  template <typename E, int depth> void readA(const Warp &w, const uint32_t *registers) {
    constexpr int across = 4 * kInWord<E>;
    for (int r = 0; r < 2 * depth / across; ++r) {
      const auto *elements = w.at<typename E::Stored>(registers[r]);
      for (int row = 0; row < 8; ++row)
        for (int k = 0; k < across; ++k)
          a[row + 8 * (r % 2)][across * (r / 2) + k] = E::get(elements[row * across + k]);
    }
  }

  template <typename E, int depth> void readB(const Warp &w, const uint32_t *registers) {
    constexpr int across = 4 * kInWord<E>;
    for (int r = 0; r < depth / across; ++r) {
      const auto *elements = w.at<typename E::Stored>(registers[r]);
      T tile[8 * across];
      for (int i = 0; i < 8 * across; ++i)
        tile[i] = E::get(elements[i]);
      for (int k = 0; k < across; ++k)
        for (int column = 0; column < 8; ++column)
          b[across * r + k][column] = tile[column * across + k];
    }
  }

  template <int depth> void multiply() {
    constexpr int atOnce = 8; // rows whose sums fit in registers
    for (int first = 0; first < kRows; first += atOnce) {
      T sums[atOnce][kColumns];
      std::memcpy(sums, c[first], sizeof(sums));
      for (int k = 0; k < depth; ++k)
        for (int row = 0; row < atOnce; ++row)
          for (int n = 0; n < kColumns; ++n)
            sums[row][n] = multiplyAdd(a[first + row][k], b[k][n], sums[row][n]);
      std::memcpy(c[first], sums, sizeof(sums));
    }
  }
};

/// list: registers of d, a, b, c. EB: elements of B, which may differ from A's for bytes.
template <typename EA, typename EB, int depth, bool halfResult> static void multiply(Warp &w, const Instruction &i) {
  if (!needWarp(w, i))
    return;
  using T = typename EA::Number;
  Tile<T> tile;
  constexpr int p = kInWord<EA>, aCount = depth / (2 * p), bCount = depth / (4 * p);
  constexpr int cCount = halfResult ? 2 : 4;
  const uint32_t *d = i.list, *a = d + cCount, *b = a + aCount, *c = b + bCount;
  tile.template readA<EA, depth>(w, a);
  tile.template readB<EB, depth>(w, b);
  for (int half = 0; half < 2; ++half) {
    T *to = tile.c[8 * half];
    if constexpr (halfResult) {
      const uint16_t *elements = w.at<uint16_t>(c[half]);
      for (int k = 0; k < 64; ++k)
        to[k] = F16::get(elements[k]);
    } else {
      const T *even = w.at<T>(c[2 * half]), *odd = w.at<T>(c[2 * half + 1]);
      for (int lane = 0; lane < kLanes; ++lane)
        to[2 * lane] = even[lane], to[2 * lane + 1] = odd[lane];
    }
  }
  tile.template multiply<depth>();
  for (int half = 0; half < 2; ++half) {
    const T *from = tile.c[8 * half];
    if constexpr (halfResult) {
      uint16_t *elements = w.at<uint16_t>(d[half]);
      for (int k = 0; k < 64; ++k)
        elements[k] = F16::put(from[k]);
    } else {
      T *even = w.at<T>(d[2 * half]), *odd = w.at<T>(d[2 * half + 1]);
      for (int lane = 0; lane < kLanes; ++lane)
        even[lane] = from[2 * lane], odd[lane] = from[2 * lane + 1];
    }
  }
  ++w.counts.mma;
}

template <typename A, typename B, int depth> static Handler byResult(Type result) {
  if constexpr (std::is_same_v<typename A::Number, float>)
    return result == Type::F32 ? multiply<A, B, depth, false> : result == Type::F16 ? multiply<A, B, depth, true> : nullptr;
  else
    return result == Type::S32 ? multiply<A, B, depth, false> : Handler();
}

static Handler productHandler(Type result, Type a, Type b, int depth) {
  if (a == Type::F16 && b == a)
    return depth == 16 ? byResult<Halves, Halves, 16>(result) : depth == 8 ? byResult<Halves, Halves, 8>(result) : nullptr;
  if (a == Type::BF16 && b == a && result == Type::F32)
    return depth == 16  ? byResult<Brains, Brains, 16>(result)
           : depth == 8 ? byResult<Brains, Brains, 8>(result)
                        : nullptr;
  if (a == Type::TF32 && b == a && result == Type::F32)
    return depth == 8 ? byResult<Tensors, Tensors, 8>(result) : depth == 4 ? byResult<Tensors, Tensors, 4>(result) : nullptr;
  auto bytes = [&]<typename A>() -> Handler {
    if (b == Type::S8)
      return depth == 32 ? byResult<A, Bytes<int8_t>, 32>(result) : depth == 16 ? byResult<A, Bytes<int8_t>, 16>(result) : nullptr;
    if (b == Type::U8)
      return depth == 32 ? byResult<A, Bytes<uint8_t>, 32>(result)
             : depth == 16 ? byResult<A, Bytes<uint8_t>, 16>(result)
                           : nullptr;
    return nullptr;
  };
  if (a == Type::S8)
    return bytes.template operator()<Bytes<int8_t>>();
  if (a == Type::U8)
    return bytes.template operator()<Bytes<uint8_t>>();
  auto quarters = [&]<typename A>() -> Handler {
    if (depth != 32 && depth != 16)
      return nullptr;
    if (b == Type::E4M3)
      return depth == 32 ? byResult<A, Quarters<true>, 32>(result) : byResult<A, Quarters<true>, 16>(result);
    if (b == Type::E5M2)
      return depth == 32 ? byResult<A, Quarters<false>, 32>(result) : byResult<A, Quarters<false>, 16>(result);
    return nullptr;
  };
  if (a == Type::E4M3)
    return quarters.template operator()<Quarters<true>>();
  if (a == Type::E5M2)
    return quarters.template operator()<Quarters<false>>();
  return nullptr;
}

static void decodeMma(Decoder &d, const Statement &s, Modifiers &m) {
  if (!m.take("sync"))
    d.fail("exists with '.sync' only");
  m.take("aligned");
  m.take("kind::f8f6f4");
  int shape = m.takeOneOf({"m16n8k4", "m16n8k8", "m16n8k16", "m16n8k32"});
  if (shape < 0 || !m.take("row") || !m.take("col"))
    d.fail("shape or layout is not emulated");
  Type result = m.takeType(), a = m.takeType(), b = m.takeType(), c = m.takeType();
  bool isFp8 = a == Type::E4M3 || a == Type::E5M2;
  d.require(isFp8 ? 89 : shape == 1 && a == Type::F16 ? 75 : 80, isFp8 ? 84 : 70);
  int depth = 4 << shape, inWord = static_cast<int>(32 / bitsOf(a));
  if (c != result || bitsOf(a) != bitsOf(b))
    d.fail("this mixture of types is not emulated");
  d.expectOperands(4);
  size_t results = result == Type::F16 ? 2 : 4;
  size_t counts[4] = {results, size_t(depth / (2 * inWord)), size_t(depth / (4 * inWord)), results};
  std::vector<uint32_t> places;
  for (size_t k = 0; k < 4; ++k) {
    std::vector<Operand> single = {s.operands[k]};
    const std::vector<Operand> &parts = s.operands[k].kind == Operand::Vector ? s.operands[k].parts : single;
    if (parts.size() != counts[k])
      d.fail("operand " + std::to_string(k) + " has " + std::to_string(parts.size()) + " registers, not " +
             std::to_string(counts[k]));
    for (const Operand &part : parts)
      places.push_back(k == 0 ? d.dest(part, 32) : d.source(part, 32));
  }
  const uint32_t *list = d.list(std::move(places));
  d.add(productHandler(result, a, b, depth)).list = list;
}

//===----------------------------------------------------------------------===//
// ldmatrix, stmatrix, movmatrix
//===----------------------------------------------------------------------===//

/// Host addresses of the rows of `count` matrices: lane 8 * matrix + row says where a row is.
static bool rows(Warp &w, const Instruction &i, bool isWrite, uint8_t **to) {
  uint64_t from[kLanes];
  w.addresses(i, from);
  Mask before = w.mask;
  w.mask = i.count == 4 ? kAllLanes : (1u << (8 * i.count)) - 1;
  bool good = w.translate(i, static_cast<Space>(i.option & 15), from, 16, to);
  const Mask lanes = w.mask;
  w.mask = before;
  return good && (w.block->uses.empty() || w.noteAccess(i, lanes, to, 16, isWrite));
}

/// Where a lane's two elements are in a matrix of 8 x 8 halves.
static void place(int lane, int element, bool transposed, int &row, int &column) {
  row = lane / 4, column = 2 * (lane % 4) + element;
  if (transposed)
    std::swap(row, column);
}

static void loadMatrix(Warp &w, const Instruction &i) {
  uint8_t *row[kLanes];
  if (!needWarp(w, i) || !rows(w, i, false, row))
    return;
  bool transposed = i.option & 16;
  uint32_t made[4][kLanes];
  for (int matrix = 0; matrix < i.count; ++matrix)
    for (int lane = 0; lane < kLanes; ++lane) {
      uint16_t element[2];
      for (int e = 0; e < 2; ++e) {
        int r, c;
        place(lane, e, transposed, r, c);
        std::memcpy(&element[e], row[8 * matrix + r] + 2 * c, 2);
      }
      made[matrix][lane] = uint32_t(element[1]) << 16 | element[0];
    }
  for (int matrix = 0; matrix < i.count; ++matrix)
    std::memcpy(w.at<uint32_t>(i.list[matrix]), made[matrix], sizeof(made[matrix]));
}

static void storeMatrix(Warp &w, const Instruction &i) {
  uint8_t *row[kLanes];
  if (!needWarp(w, i) || !rows(w, i, true, row))
    return;
  bool transposed = i.option & 16;
  for (int matrix = 0; matrix < i.count; ++matrix)
    for (int lane = 0; lane < kLanes; ++lane)
      for (int e = 0; e < 2; ++e) {
        int r, c;
        place(lane, e, transposed, r, c);
        auto element = static_cast<uint16_t>(w.at<uint32_t>(i.list[matrix])[lane] >> (16 * e));
        std::memcpy(row[8 * matrix + r] + 2 * c, &element, 2);
      }
}

static void decodeMatrixAccess(Decoder &d, const Statement &s, Modifiers &m) {
  bool isLoad = m.name() == "ldmatrix";
  d.require(isLoad ? 75 : 90, isLoad ? 65 : 78);
  if (!m.take("sync") || !m.take("m8n8"))
    d.fail("lacks '.sync', or the shape is not emulated");
  m.take("aligned");
  int count = m.takeOneOf({"x1", "x2", "x4"});
  bool transposed = m.take("trans");
  Space space = m.takeSpace();
  if (count < 0 || (space != Space::Shared && space != Space::Generic) || m.takeType() != Type::B16)
    d.fail("count, space or type is not emulated");
  d.expectOperands(2);
  const Operand &place = s.operands[isLoad ? 1 : 0], &values = s.operands[isLoad ? 0 : 1];
  std::vector<Operand> single = {values};
  const std::vector<Operand> &parts = values.kind == Operand::Vector ? values.parts : single;
  if (parts.size() != size_t(1) << count)
    d.fail("vector has " + std::to_string(parts.size()) + " registers");
  std::vector<uint32_t> places;
  for (const Operand &part : parts)
    places.push_back(isLoad ? d.dest(part, 32) : d.source(part, 32));
  Instruction address;
  d.address(place, space, address);
  const uint32_t *list = d.list(std::move(places));
  Instruction &made = d.add(isLoad ? loadMatrix : storeMatrix);
  made.a = address.a, made.wideBase = address.wideBase, made.immediate = address.immediate;
  made.list = list, made.count = static_cast<uint16_t>(1 << count);
  made.option = static_cast<uint8_t>(static_cast<int>(space) | (transposed ? 16 : 0));
}

static void moveMatrix(Warp &w, const Instruction &i) {
  if (!needWarp(w, i))
    return;
  uint16_t matrix[8][8];
  const uint32_t *a = w.at<uint32_t>(i.a);
  for (int lane = 0; lane < kLanes; ++lane)
    for (int e = 0; e < 2; ++e)
      matrix[2 * (lane % 4) + e][lane / 4] = static_cast<uint16_t>(a[lane] >> (16 * e));
  uint32_t *dest = w.at<uint32_t>(i.dest);
  for (int lane = 0; lane < kLanes; ++lane)
    dest[lane] = uint32_t(matrix[lane / 4][2 * (lane % 4) + 1]) << 16 | matrix[lane / 4][2 * (lane % 4)];
}

static void decodeMoveMatrix(Decoder &d, const Statement &s, Modifiers &m) {
  d.require(75, 78);
  m.take("aligned");
  if (!m.take("sync") || !m.take("m8n8") || !m.take("trans") || m.takeType() != Type::B16)
    d.fail("this form is not emulated");
  d.expectOperands(2);
  uint32_t dest = d.dest(s.operands[0], 32), a = d.source(s.operands[1], 32);
  Instruction &made = d.add(moveMatrix);
  made.dest = dest, made.a = a;
}

void addMatrices(DecoderTable &table) {
  table["mma"] = decodeMma;
  table["ldmatrix"] = decodeMatrixAccess;
  table["stmatrix"] = decodeMatrixAccess;
  table["movmatrix"] = decodeMoveMatrix;
}

} // namespace tenon::emulator
