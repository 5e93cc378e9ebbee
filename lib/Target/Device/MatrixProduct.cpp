// Products by matrix units: both operands go through shared memory, a block of the depth ahead of what is multiplied.
#include "AsyncCopy.h"
#include "BlockedProduct.h"
#include "MatrixUnit.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::device;
using namespace tenon::graph;

/// Chunks of a block's depth in shared memory; a chunk is neighbours that lie together there.
static constexpr int64_t kChunks = 4;

namespace {
/// A tile of the result, and the part of it that a subgroup has.
struct Tiles {
  int64_t rows, columns, subgroup, down, across;
  int64_t threads() const { return subgroup * down * across; }
  int64_t ownRows() const { return rows / down; }
  int64_t ownColumns() const { return columns / across; }
};
} // namespace

/// Large tiles when there are enough of them for the processors of a large device, small ones when there are few.
static Tiles tilesFor(const Emitter &e, const Product &p) {
  int64_t subgroup = MatrixUnit::lanesOf(e.device);
  auto isMany = [](AffineExpr size) { return !asConstant(size) || *asConstant(size) > 64; };
  bool isVulkan = e.device.getApi() == target::DeviceApi::Vulkan; // not all of its devices have shared memory for large ones
  if (!isVulkan && p.countTiles(128, 128) >= kProcessors && isMany(p.rows) && isMany(p.columns))
    return {128, 128, subgroup, 2, 256 / subgroup / 2};
  MatrixUnit unit(e.device, p.a.type);
  bool canBeSmall = !unit.isOpaque() && 16 % unit.m == 0 && MatrixUnit::kLines % unit.n == 0 && subgroup == 32;
  if (canBeSmall && p.countTiles(64, 64) < kProcessors / 2)
    return {32, 32, subgroup, 2, 2};
  return {64, 64, subgroup, 2, 128 / subgroup / 2};
}

bool Product::hasMatrixUnit(const Emitter &e) const {
  return a.type == b.type && accumulator.isF32() && MatrixUnit::isFor(e.device, a.type);
}

int64_t Product::matrixThreads(const Emitter &e) const { return tilesFor(e, *this).threads(); }

namespace {
/// The code of one kernel.
class MatrixProduct final : BlockedProduct {
public:
  MatrixProduct(Emitter &e, const Product &p, Tiles tiles)
      : BlockedProduct(e, p, tiles.rows, tiles.columns, kChunks * MatrixUnit(e.device, p.a.type).chunk), unit(e.device, p.a.type),
        tiles(tiles), chunk(unit.chunk), pitch(unit.isOpaque() ? block + chunk : block) {}
  LogicalResult emit();

private:
  /// Offset of an element in a block, [line][depth] with chunks in another order for each pair of lines. Neighbours in a chunk
  /// stay neighbours; the chunks of lines that are read together lie in different banks.
  Value offsetOf(Value line, Value k);
  int64_t stageSize(const Side &side) const override { return side.lines * pitch; }
  void share(int64_t stages) override;
  void put(const Side &side, Value base, Value line, Value k, Value neighbours) override;
  SmallVector<Value> multiplyBlock(Value stage, ValueRange sums) override;
  LogicalResult storeTile(ArrayRef<Value> sums);

  // Past registers: copies run by themselves, several blocks ahead.
  bool canCopy();
  void startCopies(const Side &side, Value stage, Value begin);
  SmallVector<Value> runWithCopies(SmallVector<Value> sums);

  MatrixUnit unit;
  Tiles tiles;
  int64_t chunk; ///< elements
  int64_t pitch; ///< of lines in shared memory
  Value lane, subgroupRow, subgroupColumn; ///< where the subgroup's part begins in the tile
};
} // namespace

Value MatrixProduct::offsetOf(Value line, Value k) {
  if (unit.isOpaque())
    return e.add(e.mul(line, e.i64(pitch)), k);
  Value number = e.divFloor(k, e.i64(chunk)), pair = e.rem(e.divFloor(line, e.i64(2)), e.i64(kChunks));
  Value moved = arith::XOrIOp::create(e.b, e.loc, number, pair);
  return e.add(e.add(e.mul(line, e.i64(block)), e.mul(moved, e.i64(chunk))), e.rem(k, e.i64(chunk)));
}

void MatrixProduct::put(const Side &side, Value base, Value line, Value k, Value neighbours) {
  Value at = e.add(base, offsetOf(line, k));
  if (side.lanes == 1)
    e.storeShared(side.shared, at, neighbours);
  else
    e.storeSharedVector(side.shared, at, neighbours);
}

//===----------------------------------------------------------------------===//
// Past them
//===----------------------------------------------------------------------===//

/// Blocks in shared memory at a time.
static constexpr int64_t kStages = 4;

/// What is written to find out has no use, and goes.
bool MatrixProduct::canCopy() {
  if (!AsyncCopy::isFor(e.device))
    return false;
  return llvm::all_of(ArrayRef<Side *>{&a, &b}, [&](Side *side) {
    if (side->lanes != chunk)
      return false;
    Value value = readAt(*side, e.i64(0), e.i64(0), e.i64(0));
    return value && AsyncCopy::find(e, value);
  });
}

void MatrixProduct::startCopies(const Side &side, Value stage, Value begin) {
  Value base = stageOf(side, stage);
  forOwn(side, [&](int64_t, Value line, Value k) {
    std::optional<AsyncCopy> copy = AsyncCopy::find(e, readAt(side, line, k, begin));
    assert(copy && "every run is read in the same way");
    copy->start(e, e.sharedAddress(side.shared, e.add(base, offsetOf(line, k))));
  });
}

SmallVector<Value> MatrixProduct::runWithCopies(SmallVector<Value> sums) {
  share(kStages);
  Value step = e.i64(block);
  auto start = [&](Value begin) {
    e.ifThen(e.less(begin, depthEnd), [&] {
      Value stage = e.rem(e.divFloor(begin, step), e.i64(kStages));
      startCopies(a, stage, begin);
      startCopies(b, stage, begin);
    });
    AsyncCopy::commit(e); // of nothing, too: groups are counted
  };
  for (int64_t i = 0; i + 1 < kStages; ++i)
    start(e.i64(i * block));
  sums = e.loop(e.i64(0), depthEnd, step, sums, [&](Value begin, ValueRange values) {
    AsyncCopy::await(e, kStages - 2);
    e.barrier(); // everybody's copies are there, and the block before is read
    start(e.add(begin, e.i64((kStages - 1) * block)));
    return multiplyBlock(e.rem(e.divFloor(begin, step), e.i64(kStages)), values);
  });
  return sums;
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

void MatrixProduct::share(int64_t stages) {
  a.shared = e.shared(p.a.type, stages * stageSize(a));
  b.shared = e.shared(p.b.type, stages * stageSize(b));
}

SmallVector<Value> MatrixProduct::multiplyBlock(Value stage, ValueRange sums) {
  SmallVector<Value> next(sums);
  int64_t rows = tiles.ownRows() / unit.m, columns = tiles.ownColumns() / unit.n;
  auto placesIn = [&](const Side &side, Value firstLine, int64_t k) {
    return [this, base = stageOf(side, stage), firstLine, k](Value line, Value depth) {
      return e.add(base, offsetOf(e.add(firstLine, line), e.add(e.i64(k), depth)));
    };
  };
  for (int64_t k = 0; k < block; k += unit.k) {
    SmallVector<MatrixUnit::Fragment> left, right;
    for (int64_t i = 0; i < rows; ++i)
      left.push_back(unit.loadA(e, a.shared, lane, placesIn(a, e.add(subgroupRow, e.i64(i * unit.m)), k), pitch));
    for (int64_t j = 0; j < tiles.ownColumns(); j += MatrixUnit::kLines)
      llvm::append_range(right, unit.loadB(e, b.shared, lane, placesIn(b, e.add(subgroupColumn, e.i64(j)), k), pitch));
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < columns; ++j)
        next[i * columns + j] = unit.multiply(e, left[i], right[j], next[i * columns + j]);
  }
  return next;
}

/// Through shared memory, as many rows at a time as the unit has, so that the epilogue is written once and neighbouring
/// threads store neighbours.
LogicalResult MatrixProduct::storeTile(ArrayRef<Value> sums) {
  int64_t stripPitch = tiles.columns + 4; // other banks for the next row
  Value strip = e.shared(p.accumulator, unit.m * stripPitch);
  int64_t columns = tiles.ownColumns() / unit.n, perSubgroup = tiles.ownRows() / unit.m;
  MatrixUnit::Places places;
  if (!unit.isOpaque())
    places = unit.placesOfC(e, lane);
  LogicalResult status = success();
  e.loop(e.i64(0), e.i64(tiles.rows / unit.m), e.i64(1), [&](Value number) {
    Value own = e.sub(e.mul(number, e.i64(unit.m)), subgroupRow);
    for (int64_t i = 0; i < perSubgroup; ++i) {
      Value isOurs = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::eq, own, e.i64(i * unit.m));
      e.ifThen(isOurs, [&] {
        for (int64_t j = 0; j < columns; ++j)
          unit.storeC(e, sums[i * columns + j], places, strip, stripPitch, e.i64(0), e.add(subgroupColumn, e.i64(j * unit.n)));
      });
    }
    e.barrier();
    if (::mlir::failed(p.storeStrip(e, {strip, stripPitch, unit.m, tiles.columns, batch,
                                        e.add(a.begin, e.mul(number, e.i64(unit.m))), b.begin})))
      status = failure();
    e.barrier();
  });
  return status;
}

LogicalResult MatrixProduct::emit() {
  placeTile();
  Emitter::Subgroup own = e.findSubgroup();
  lane = own.lane;
  Value subgroup = own.number;
  subgroupRow = e.mul(e.rem(subgroup, e.i64(tiles.down)), e.i64(tiles.ownRows()));
  subgroupColumn = e.mul(e.divFloor(subgroup, e.i64(tiles.down)), e.i64(tiles.ownColumns()));
  for (Side *side : {&a, &b}) {
    side->alongDepth = true; // as it lies in shared memory
    side->lanes = !unit.isOpaque() && side->operand->depthPart % chunk == 0 ? chunk : 1;
  }
  SmallVector<Value> sums((tiles.ownRows() / unit.m) * (tiles.ownColumns() / unit.n),
                          unit.zeroC(e));
  bool isCopied = canCopy();
  if (!failed)
    sums = isCopied ? runWithCopies(sums) : runThroughRegisters(sums);
  return failed ? failure() : storeTile(sums);
}

LogicalResult Product::emitMatrix(Emitter &e) const { return MatrixProduct(e, *this, tilesFor(e, *this)).emit(); }
