// Products by matrix units: both operands go through shared memory, a block of the depth ahead of what is multiplied.
#include "MatrixUnit.h"
#include "Product.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::device;
using namespace tenon::graph;

/// Depth of a block in shared memory, and neighbours along it that lie together there.
static constexpr int64_t kBlock = 32, kChunk = 8;

namespace {
/// A tile of the result, and the part of it that a subgroup has.
struct Tiles {
  int64_t rows, columns, subgroup, down, across;
  int64_t threads() const { return subgroup * down * across; }
  int64_t ownRows() const { return rows / down; }
  int64_t ownColumns() const { return columns / across; }
};
} // namespace

/// Large tiles when there are enough of them for the processors of a large device.
static Tiles tilesFor(const Emitter &e, const Product &p) {
  static constexpr int64_t kProcessors = 96, kManyRows = 1024;
  int64_t subgroup = e.device.getSubgroup();
  auto size = [](AffineExpr expr) { return asConstant(expr).value_or(kManyRows); };
  int64_t count = size(p.batches) * llvm::divideCeil(size(p.rows), 128) * llvm::divideCeil(size(p.columns), 128);
  bool isLarge = count >= kProcessors && size(p.rows) > 64 && size(p.columns) > 64;
  if (isLarge)
    return {128, 128, subgroup, 2, 256 / subgroup / 2};
  return {64, 64, subgroup, 2, 128 / subgroup / 2};
}

bool Product::hasMatrixUnit(const Emitter &e) const {
  return operandA == operandB && accumulator.isF32() && MatrixUnit::isFor(e.device, operandA);
}

int64_t Product::matrixThreads(const Emitter &e) const { return tilesFor(e, *this).threads(); }

namespace {
/// The code of one kernel.
class MatrixProduct {
public:
  MatrixProduct(Emitter &e, const Product &p)
      : e(e), p(p), unit(e.device, p.operandA), tiles(tilesFor(e, p)),
        lanes(asConstant(p.depthParts.back()).value_or(1) % kChunk == 0 ? kChunk : 1) {}
  LogicalResult emit();

private:
  struct Side {
    int64_t lines; ///< rows of A or columns of B of a tile
    Value shared;  ///< two blocks, [line][depth] with chunks in another order for each pair of lines
    std::function<Value(Value line, Value k)> read;
  };

  /// What a thread brings of a block, to be stored when the one before is no longer read.
  SmallVector<Value> fetch(const Side &side, Value begin);
  void put(const Side &side, Value half, ArrayRef<Value> values);
  /// Offset of an element in a block. Neighbours in a chunk stay neighbours; the chunks of lines that are read together lie
  /// in different banks.
  Value offsetOf(Value line, Value k);
  SmallVector<Value> fragments(const Side &side, Value half, Value first, int64_t k, ArrayRef<MatrixUnit::Run> runs);
  SmallVector<Value> multiplyBlock(Value half, ValueRange sums);
  LogicalResult storeTile(ArrayRef<Value> sums);

  Emitter &e;
  const Product &p;
  MatrixUnit unit;
  Tiles tiles;
  int64_t lanes;
  Side a, b;
  Value batch, rowBegin, columnBegin, rowEnd, columnEnd, depthEnd;
  Value lane, subgroupRow, subgroupColumn; ///< where the subgroup's part begins in the tile
  SmallVector<MatrixUnit::Run> runsA, runsB;
  bool failed = false;
};
} // namespace

Value MatrixProduct::offsetOf(Value line, Value k) {
  Value chunk = e.divFloor(k, e.i64(kChunk)), pair = e.rem(e.divFloor(line, e.i64(2)), e.i64(kBlock / kChunk));
  Value moved = arith::XOrIOp::create(e.b, e.loc, chunk, pair);
  return e.add(e.add(e.mul(line, e.i64(kBlock)), e.mul(moved, e.i64(kChunk))), e.rem(k, e.i64(kChunk)));
}

SmallVector<Value> MatrixProduct::fetch(const Side &side, Value begin) {
  std::optional<int64_t> depth = asConstant(p.depth);
  bool isWhole = depth && *depth % kBlock == 0;
  SmallVector<Value> values;
  for (int64_t i = 0; i < side.lines * kBlock / lanes / tiles.threads() && !failed; ++i) {
    Value index = e.add(e.thread, e.i64(i * tiles.threads()));
    Value line = e.divFloor(index, e.i64(kBlock / lanes)), k = e.mul(e.rem(index, e.i64(kBlock / lanes)), e.i64(lanes));
    Value at = e.add(begin, k), isInside;
    if (!isWhole) { // beyond the end there must be zeros
      isInside = e.less(at, depthEnd);
      at = e.select(isInside, at, e.i64(0));
    }
    Value value = side.read(line, at);
    if (!value) {
      failed = true;
      return {};
    }
    values.push_back(isInside ? e.select(isInside, value, e.zeros(value.getType())) : value);
  }
  return values;
}

void MatrixProduct::put(const Side &side, Value half, ArrayRef<Value> values) {
  Value base = e.mul(half, e.i64(side.lines * kBlock));
  for (auto [i, value] : llvm::enumerate(values)) {
    Value index = e.add(e.thread, e.i64(i * tiles.threads()));
    Value line = e.divFloor(index, e.i64(kBlock / lanes)), k = e.mul(e.rem(index, e.i64(kBlock / lanes)), e.i64(lanes));
    Value at = e.add(base, offsetOf(line, k));
    if (lanes == 1)
      e.storeShared(side.shared, at, value);
    else
      e.storeSharedVector(side.shared, at, value);
  }
}

SmallVector<Value> MatrixProduct::fragments(const Side &side, Value half, Value first, int64_t k, ArrayRef<MatrixUnit::Run> runs) {
  SmallVector<Value> parts;
  Value base = e.mul(half, e.i64(side.lines * kBlock));
  for (const MatrixUnit::Run &run : runs) {
    Value at = e.add(base, offsetOf(e.add(first, run.line), e.add(e.i64(k), run.depth)));
    parts.push_back(e.loadSharedVector(side.shared, at, run.length));
  }
  return parts;
}

SmallVector<Value> MatrixProduct::multiplyBlock(Value half, ValueRange sums) {
  SmallVector<Value> next(sums);
  int64_t rows = tiles.ownRows() / unit.m, columns = tiles.ownColumns() / unit.n;
  for (int64_t k = 0; k < kBlock; k += unit.k) {
    SmallVector<SmallVector<Value>> left, right;
    for (int64_t i = 0; i < rows; ++i)
      left.push_back(fragments(a, half, e.add(subgroupRow, e.i64(i * unit.m)), k, runsA));
    for (int64_t j = 0; j < columns; ++j)
      right.push_back(fragments(b, half, e.add(subgroupColumn, e.i64(j * unit.n)), k, runsB));
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < columns; ++j)
        next[i * columns + j] = unit.multiply(e, left[i], right[j], next[i * columns + j]);
  }
  return next;
}

/// Through shared memory, as many rows at a time as the unit has, so that the epilogue is written once and neighbouring
/// threads store neighbours.
LogicalResult MatrixProduct::storeTile(ArrayRef<Value> sums) {
  int64_t pitch = tiles.columns + 4; // other banks for the next row
  Value strip = e.shared(p.accumulator, unit.m * pitch);
  int64_t columns = tiles.ownColumns() / unit.n, perSubgroup = tiles.ownRows() / unit.m;
  auto places = unit.placesOfC(e, lane);
  LogicalResult status = success();
  e.loop(e.i64(0), e.i64(tiles.rows / unit.m), e.i64(1), [&](Value number) {
    Value own = e.sub(e.mul(number, e.i64(unit.m)), subgroupRow);
    for (int64_t i = 0; i < perSubgroup; ++i) {
      Value isOurs = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::eq, own, e.i64(i * unit.m));
      e.ifThen(isOurs, [&] {
        for (int64_t j = 0; j < columns; ++j)
          for (auto [part, place] : llvm::enumerate(places)) {
            Value column = e.add(subgroupColumn, e.add(e.i64(j * unit.n), place.second));
            e.storeShared(strip, e.add(e.mul(place.first, e.i64(pitch)), column),
                          vector::ExtractOp::create(e.b, e.loc, sums[i * columns + j], static_cast<int64_t>(part)));
          }
      });
    }
    e.barrier();
    e.loop(e.thread, e.i64(unit.m * tiles.columns), e.i64(tiles.threads()), [&](Value index) {
      Value stripRow = e.divFloor(index, e.i64(tiles.columns)), tileColumn = e.rem(index, e.i64(tiles.columns));
      Value sum = e.loadShared(strip, e.add(e.mul(stripRow, e.i64(pitch)), tileColumn));
      Value row = e.add(rowBegin, e.add(e.mul(number, e.i64(unit.m)), stripRow)), column = e.add(columnBegin, tileColumn);
      Value isInside = arith::AndIOp::create(e.b, e.loc, e.less(row, rowEnd), e.less(column, columnEnd));
      // The epilogue reads other tensors there too: places outside become the last one.
      Value one = e.i64(1);
      if (::mlir::failed(p.store({{batch, e.min(row, e.sub(rowEnd, one)), e.min(column, e.sub(columnEnd, one)), sum, isInside}})))
        status = failure();
    });
    e.barrier();
  });
  return status;
}

LogicalResult MatrixProduct::emit() {
  MLIRContext *context = e.b.getContext();
  AffineExpr rowTiles = normalize(p.rows.ceilDiv(tiles.rows)), columnTiles = normalize(p.columns.ceilDiv(tiles.columns));
  kernels::setSchedule(e, normalize(p.batches * rowTiles * columnTiles), getAffineConstantExpr(0, context),
                       p.batches * p.rows * p.columns * p.depth * 2);
  Value across = e.size(columnTiles), down = e.size(rowTiles);
  Value rest = e.divFloor(e.group, across);
  batch = e.divFloor(rest, down);
  rowBegin = e.mul(e.rem(rest, down), e.i64(tiles.rows));
  columnBegin = e.mul(e.rem(e.group, across), e.i64(tiles.columns));
  rowEnd = e.size(p.rows), columnEnd = e.size(p.columns), depthEnd = e.size(p.depth);
  lane = e.rem(e.thread, e.i64(tiles.subgroup));
  Value subgroup = e.divFloor(e.thread, e.i64(tiles.subgroup));
  subgroupRow = e.mul(e.rem(subgroup, e.i64(tiles.down)), e.i64(tiles.ownRows()));
  subgroupColumn = e.mul(e.divFloor(subgroup, e.i64(tiles.down)), e.i64(tiles.ownColumns()));
  runsA = unit.runsOfA(e, lane);
  runsB = unit.runsOfB(e, lane);
  // Lines outside repeat the last one: what is computed from them is not stored.
  auto inside = [&](Value begin, Value line, Value end) { return e.min(e.add(begin, line), e.sub(end, e.i64(1))); };
  a = {tiles.rows, e.shared(p.operandA, 2 * tiles.rows * kBlock),
       [&](Value line, Value k) { return p.a(batch, inside(rowBegin, line, rowEnd), k, lanes); }};
  b = {tiles.columns, e.shared(p.operandB, 2 * tiles.columns * kBlock),
       [&](Value line, Value k) { return p.b(batch, k, inside(columnBegin, line, columnEnd), lanes); }};

  SmallVector<Value> carried((tiles.ownRows() / unit.m) * (tiles.ownColumns() / unit.n),
                             e.zeros(VectorType::get(unit.countOfC(), p.accumulator)));
  size_t sums = carried.size();
  SmallVector<Value> first = fetch(a, e.i64(0));
  size_t fetched = first.size();
  llvm::append_range(carried, first);
  llvm::append_range(carried, fetch(b, e.i64(0)));
  if (failed)
    return failure();
  Value block = e.i64(kBlock);
  carried = e.loop(e.i64(0), depthEnd, block, carried, [&](Value begin, ValueRange values) {
    SmallVector<Value> held(values);
    Value half = e.rem(e.divFloor(begin, block), e.i64(2));
    put(a, half, ArrayRef(held).slice(sums, fetched));
    put(b, half, ArrayRef(held).drop_front(sums + fetched));
    e.barrier(); // the other half is free again behind the next one
    Value next = e.add(begin, block);
    next = e.select(e.less(next, depthEnd), next, begin);
    SmallVector<Value> ahead = fetch(a, next);
    llvm::append_range(ahead, fetch(b, next));
    SmallVector<Value> result = multiplyBlock(half, ValueRange(held).take_front(sums));
    llvm::append_range(result, ahead);
    return failed ? held : result;
  });
  if (failed)
    return failure();
  return storeTile(ArrayRef(carried).take_front(sums));
}

LogicalResult Product::emitMatrix(Emitter &e) const { return MatrixProduct(e, *this).emit(); }
