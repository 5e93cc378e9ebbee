// Products without a matrix unit: a thread has a few rows and columns of a tile.
#include "BlockedProduct.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::device;
using namespace tenon::graph;

/// Neighbours that are read from shared memory at once.
static constexpr int64_t kVector = 4;

namespace {
/// A tile of the result and how it is dealt out: `side` x `side` threads have `own` x `own` sums each, and `slices` of them
/// share the depth of a block, `depth` each.
struct Tiling {
  int64_t side, own, slices, depth;
  int64_t size() const { return side * own; }
  int64_t threads() const { return side * side * slices; }
};

class TiledProduct final : BlockedProduct {
public:
  TiledProduct(Emitter &e, const Product &p, Tiling tiling)
      : BlockedProduct(e, p, tiling.size(), tiling.size(), tiling.depth * tiling.slices), tiling(tiling),
        vector(e.hasVectors() ? kVector : 1) {}
  LogicalResult emit();

private:
  /// A block is [depth][line]: neighbouring lines lie together, and those of the next depth in other banks.
  int64_t pitch(const Side &side) const { return side.lines + kVector; }
  int64_t stageSize(const Side &side) const override { return block * pitch(side); }
  void share(int64_t stages) override;
  void put(const Side &side, Value base, Value line, Value k, Value neighbours) override;
  SmallVector<Value> multiplyBlock(Value stage, ValueRange sums) override;
  LogicalResult storeTile(ArrayRef<Value> sums);

  /// Of a thread's lines: `vector` neighbours, so many groups of them, the next as far away as all threads' neighbours are.
  SmallVector<Value> loadLines(const Side &side, Value stage, Value k, Value thread);

  Tiling tiling;
  int64_t vector;
  Value x, y, slice;
};
} // namespace

/// Large tiles where there are enough of them; few and small ones share the depth among more threads.
static Tiling tilingFor(const Emitter &e, const Product &p) {
  bool isWide = p.accumulator.getIntOrFloatBitWidth() > 32;
  // Devices of Vulkan may have no more than 16 KiB of shared memory.
  if (!e.hasVectors())
    return isWide ? Tiling{8, 4, 1, 8} : Tiling{16, 4, 1, 8};
  if (!isWide && p.countTiles(128, 128) >= kProcessors)
    return {16, 8, 1, 16};
  return p.countTiles(64, 64) >= kProcessors ? Tiling{16, 4, 1, 16} : Tiling{8, 4, 4, 8};
}

void TiledProduct::share(int64_t stages) {
  a.shared = e.shared(p.accumulator, stages * stageSize(a));
  b.shared = e.shared(p.accumulator, stages * stageSize(b));
}

void TiledProduct::put(const Side &side, Value base, Value line, Value k, Value neighbours) {
  neighbours = kernels::toAccumulator(e, neighbours, p.accumulator);
  auto offsetOf = [&](Value line, Value k) { return e.add(base, e.add(e.mul(k, e.i64(pitch(side))), line)); };
  if (side.lanes == 1)
    return e.storeShared(side.shared, offsetOf(line, k), neighbours);
  if (!side.alongDepth)
    return e.storeSharedVector(side.shared, offsetOf(line, k), neighbours);
  for (int64_t i = 0; i < side.lanes; ++i) {
    Value element = vector::ExtractOp::create(e.b, e.loc, neighbours, ArrayRef<int64_t>{i});
    e.storeShared(side.shared, offsetOf(line, e.add(k, e.i64(i))), element);
  }
}

SmallVector<Value> TiledProduct::loadLines(const Side &side, Value stage, Value k, Value thread) {
  Value row = e.add(stageOf(side, stage), e.add(e.mul(k, e.i64(pitch(side))), e.mul(thread, e.i64(vector))));
  SmallVector<Value> lines;
  for (int64_t group = 0; group < tiling.own / vector; ++group) {
    Value at = e.add(row, e.i64(group * tiling.side * vector));
    if (vector == 1) {
      lines.push_back(e.loadShared(side.shared, at));
      continue;
    }
    Value neighbours = e.loadSharedVector(side.shared, at, vector);
    for (int64_t i = 0; i < vector; ++i)
      lines.push_back(vector::ExtractOp::create(e.b, e.loc, neighbours, ArrayRef<int64_t>{i}));
  }
  return lines;
}

SmallVector<Value> TiledProduct::multiplyBlock(Value stage, ValueRange sums) {
  SmallVector<Value> next(sums);
  Value begin = e.mul(slice, e.i64(tiling.depth));
  for (int64_t k = 0; k < tiling.depth; ++k) {
    Value at = e.add(begin, e.i64(k));
    SmallVector<Value> left = loadLines(a, stage, at, y), right = loadLines(b, stage, at, x);
    for (int64_t i = 0; i < tiling.own; ++i)
      for (int64_t j = 0; j < tiling.own; ++j)
        next[i * tiling.own + j] = multiplyAdd(e, left[i], right[j], next[i * tiling.own + j]);
  }
  return next;
}

/// One row of each thread at a time, through shared memory, so that the epilogue is written once and neighbouring threads store
/// neighbours.
LogicalResult TiledProduct::storeTile(ArrayRef<Value> sums) {
  int64_t stripPitch = columns + kVector;
  Value strip = e.shared(p.accumulator, tiling.slices * tiling.side * stripPitch);
  Value stripRow = e.mul(e.add(e.mul(slice, e.i64(tiling.side)), y), e.i64(stripPitch));
  LogicalResult status = success();
  e.loop(e.i64(0), e.i64(tiling.own), e.i64(1), [&](Value number) {
    for (int64_t i = 0; i < tiling.own; ++i) {
      Value isIt = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::eq, number, e.i64(i));
      e.ifThen(isIt, [&] {
        for (int64_t j = 0; j < tiling.own; j += vector) {
          Value at = e.add(stripRow, e.add(e.i64(j * tiling.side), e.mul(x, e.i64(vector))));
          ArrayRef<Value> own = sums.slice(i * tiling.own + j, vector);
          if (vector == 1)
            e.storeShared(strip, at, own[0]);
          else
            e.storeSharedVector(strip, at, vector::FromElementsOp::create(e.b, e.loc, e.vectorOf(p.accumulator, vector), own));
        }
      });
    }
    e.barrier();
    // A thread's rows are neighbours, in groups of `vector`.
    Value row = e.add(e.mul(e.divFloor(number, e.i64(vector)), e.i64(tiling.side * vector)), e.rem(number, e.i64(vector)));
    if (::mlir::failed(p.storeStrip(e, {strip, stripPitch, tiling.side, columns, batch, e.add(a.begin, row), b.begin,
                                        /*rowStep=*/vector, /*parts=*/tiling.slices})))
      status = failure();
    e.barrier();
  });
  return status;
}

LogicalResult TiledProduct::emit() {
  placeTile();
  for (Side *side : {&a, &b})
    side->lanes = std::min(side->operand->lanes(e), vector);
  int64_t ofSlice = tiling.side * tiling.side;
  Value inSlice = e.rem(e.thread, e.i64(ofSlice));
  slice = e.divFloor(e.thread, e.i64(ofSlice));
  x = e.rem(inSlice, e.i64(tiling.side)), y = e.divFloor(inSlice, e.i64(tiling.side));
  SmallVector<Value> sums = runThroughRegisters(SmallVector<Value>(tiling.own * tiling.own, e.zeros(p.accumulator)));
  return failed ? failure() : storeTile(sums);
}

int64_t Product::tiledThreads(const Emitter &e) const { return tilingFor(e, *this).threads(); }

LogicalResult Product::emitTiled(Emitter &e) const {
  return TiledProduct(e, *this, tilingFor(e, *this)).emit();
}
