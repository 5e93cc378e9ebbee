// Products by four warps together. One warp copies tiles of both operands to shared memory, as many blocks of the depth ahead as
// there is room for; the others multiply them where they lie.
#include "Product.h"
#include "Warpgroup.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::device;
using namespace tenon::graph;

/// Warpgroups that multiply, and rows of a tile of the result.
static constexpr int64_t kGroups = 2, kRows = kGroups * kWarpgroupRows;
static constexpr int64_t kWarp = 32, kThreadsOfProduct = kGroups * kWarpgroup + kWarp;
/// Blocks of the depth that are in shared memory at a time, at most.
static constexpr int64_t kMostStages = 6;
/// Tiles in a column that are computed one after the other, so that those that run together share what they read.
static constexpr int64_t kTogether = 8;

/// Columns of a tile: many when there are enough tiles then for the processors of a large device; 0 when there are too few anyway.
static int64_t columnsFor(const Product &p) {
  auto isMore = [](AffineExpr size, int64_t than) { return !asConstant(size) || *asConstant(size) > than; };
  if (!isMore(p.rows, kWarpgroupRows) || !isMore(p.columns, 64))
    return 0;
  if (isMore(p.columns, 128) && p.countTiles(kRows, 256) >= kProcessors)
    return 256;
  return p.countTiles(kRows, 128) >= kProcessors / 2 ? 128 : 0;
}

namespace {
/// The code of one kernel.
class WarpgroupProduct {
public:
  WarpgroupProduct(Emitter &e, const Product &p)
      : e(e), p(p), columns(columnsFor(p)), unit(p.a.type), blockDepth(kSwizzleBytes / unit.bytes()) {}
  LogicalResult emit();

private:
  /// One operand: its tile is `lines` rows of A or columns of B, and a block of the depth.
  struct Side {
    const StridedMatrix *matrix;
    int64_t lines, offset; ///< bytes, in a stage
    Value map;
    bool alongLines() const { return !matrix->isAlongDepth(); }
  };
  Side makeSide(const StridedMatrix &matrix, int64_t lines, int64_t offset);
  /// Where a stage's tile of the operand is, `line` lines and so many bytes from its beginning.
  Value tileAt(const Side &side, Value stage, Value bytes);
  void copyBlock(const Side &side, Value stage, Value line, Value begin);
  void copyAll();
  SmallVector<Value> multiplyAll(ValueRange zeros);

  int64_t stageBytes() const { return (a.lines + b.lines) * kSwizzleBytes; }
  /// Of the loop's turn: which stage, and how often it was used before, odd or even.
  Value stageOf(Value turn) { return e.rem(turn, e.i64(stages)); }
  Value roundOf(Value turn) { return e.rem(e.divFloor(turn, e.i64(stages)), e.i64(2)); }
  Value isFilled(Value stage) { return stage; }
  Value isEmpty(Value stage) { return e.add(stage, e.i64(stages)); }

  Emitter &e;
  const Product &p;
  int64_t columns;
  WarpgroupUnit unit;
  int64_t blockDepth, stages = 0;
  Side a, b;
  Value memory, batch, rowBegin, columnBegin, turns, warp, lane;
  std::optional<PhaseBarriers> barriers; ///< of each stage: it is filled; it is empty
};
} // namespace

WarpgroupProduct::Side WarpgroupProduct::makeSide(const StridedMatrix &matrix, int64_t lines, int64_t offset) {
  Emitter::TensorMap map{matrix.argument, matrix.offset * unit.bytes(), unit.bytes(), {}, {}, {}};
  const StridedMatrix::Extent *extents[] = {&matrix.depth, &matrix.lines};
  int64_t tile[] = {blockDepth, lines};
  bool alongLines = !matrix.isAlongDepth();
  if (alongLines) {
    std::swap(extents[0], extents[1]);
    tile[0] = blockDepth, tile[1] = blockDepth; // of lines, then of the depth
  }
  for (int i : {0, 1}) {
    map.sizes.push_back(extents[i]->size);
    map.strides.push_back(extents[i]->stride);
    map.tile.push_back(tile[i]);
  }
  for (const StridedMatrix::Extent &extent : llvm::reverse(matrix.batch)) {
    map.sizes.push_back(extent.size);
    map.strides.push_back(extent.stride);
    map.tile.push_back(1);
  }
  return {&matrix, lines, offset, e.tensorMap(map)};
}

Value WarpgroupProduct::tileAt(const Side &side, Value stage, Value bytes) {
  Value at = e.add(e.add(e.mul(stage, e.i64(stageBytes())), e.i64(side.offset)), bytes);
  return e.sharedAddress(memory, e.divFloor(at, e.i64(4)));
}

void WarpgroupProduct::copyBlock(const Side &side, Value stage, Value line, Value begin) {
  SmallVector<Value> outer;
  if (!side.matrix->batch.empty()) {
    SmallVector<AffineExpr> sizes;
    for (const StridedMatrix::Extent &extent : side.matrix->batch)
      sizes.push_back(extent.size);
    outer = kernels::delinearize(e, batch, sizes);
  }
  Value filled = barriers->address(isFilled(stage));
  auto copy = [&](ArrayRef<Value> at, int64_t bytes) {
    SmallVector<Value> place(at);
    place.append(outer.rbegin(), outer.rend());
    copyTile(e, side.map, place, tileAt(side, stage, e.i64(bytes)), filled);
  };
  if (!side.alongLines())
    return copy({begin, line}, 0);
  for (int64_t group = 0; group < side.lines; group += blockDepth)
    copy({e.add(line, e.i64(group)), begin}, group * kSwizzleBytes);
}

/// What the first thread of the last warp does.
void WarpgroupProduct::copyAll() {
  e.loop(e.i64(0), turns, e.i64(1), [&](Value turn) {
    Value stage = stageOf(turn), begin = e.mul(turn, e.i64(blockDepth));
    barriers->wait(isEmpty(stage), arith::XOrIOp::create(e.b, e.loc, roundOf(turn), e.i64(1))); // the first round does not wait
    barriers->expect(isFilled(stage), stageBytes());
    copyBlock(a, stage, rowBegin, begin);
    copyBlock(b, stage, columnBegin, begin);
  });
}

SmallVector<Value> WarpgroupProduct::multiplyAll(ValueRange zeros) {
  Value group = e.divFloor(warp, e.i64(kWarpgroup / kWarp));
  // A group's rows of A: eight by eight of them, or the groups of lines it is made of.
  Value ownA = e.mul(group, e.i64(kWarpgroupRows * kSwizzleBytes));
  Value isFirst = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::eq, e.rem(e.thread, e.i64(kWarpgroup)), e.i64(0));
  SmallVector<Value> sums = e.loop(e.i64(0), turns, e.i64(1), zeros, [&](Value turn, ValueRange carried) {
    Value stage = stageOf(turn);
    barriers->wait(isFilled(stage), roundOf(turn));
    SmallVector<Value> next(carried);
    beginProducts(e);
    Value left = tileAt(a, stage, ownA), right = tileAt(b, stage, e.i64(0));
    for (int64_t step = 0; step < blockDepth / unit.depth(); ++step)
      next = unit.multiply(e, unit.describe(e, left, step, a.alongLines(), blockDepth),
                           unit.describe(e, right, step, b.alongLines(), blockDepth), a.alongLines(), b.alongLines(), next);
    commitProducts(e);
    next = awaitProducts(e, 1, next); // those of the turn before: its stage is empty
    Value before = e.add(turn, e.i64(stages - 1));
    e.ifThen(arith::AndIOp::create(e.b, e.loc, isFirst, e.less(e.i64(0), turn)), [&] { barriers->arrive(isEmpty(stageOf(before))); });
    return next;
  });
  return awaitProducts(e, 0, sums);
}

LogicalResult WarpgroupProduct::emit() {
  MLIRContext *context = e.b.getContext();
  AffineExpr rowTiles = normalize(p.rows.ceilDiv(kRows)), columnTiles = normalize(p.columns.ceilDiv(columns));
  kernels::setSchedule(e, normalize(p.batches * rowTiles * columnTiles), getAffineConstantExpr(0, context),
                       p.batches * p.rows * p.columns * p.depth * 2);
  // Neighbouring workgroups go down a few tiles, then to the right.
  Value across = e.size(columnTiles), down = e.size(rowTiles);
  Value ofProduct = e.mul(across, down), inProduct = e.rem(e.group, ofProduct);
  batch = e.divFloor(e.group, ofProduct);
  Value ofBand = e.mul(across, e.i64(kTogether)), top = e.mul(e.divFloor(inProduct, ofBand), e.i64(kTogether));
  Value height = e.min(e.sub(down, top), e.i64(kTogether)), inBand = e.rem(inProduct, ofBand);
  rowBegin = e.mul(e.add(top, e.rem(inBand, height)), e.i64(kRows));
  columnBegin = e.mul(e.divFloor(inBand, height), e.i64(columns));
  turns = e.divFloor(e.add(e.size(p.depth), e.i64(blockDepth - 1)), e.i64(blockDepth));
  warp = sameInWarp(e, e.divFloor(e.thread, e.i64(kWarp)));
  lane = e.rem(e.thread, e.i64(kWarp));

  a = makeSide(*p.a.strided, kRows, 0);
  b = makeSide(*p.b.strided, columns, kRows * kSwizzleBytes);
  static constexpr int64_t kOther = 1024; // barriers, and what a driver keeps for itself
  stages = std::min(kMostStages, (e.device.getSharedBytes() - kOther - kTileAlign) / stageBytes());
  int64_t pitch = columns + 4; // other banks for the next row
  assert(stages >= 2 && kRows * pitch * 4 <= stages * stageBytes() && "there is room for blocks, and for the sums behind them");
  memory = e.shared(e.b.getF32Type(), stages * stageBytes() / 4, kTileAlign);
  barriers.emplace(e, 2 * stages);
  e.ifThen(arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::eq, e.thread, e.i64(0)), [&] {
    for (int64_t i = 0; i < stages; ++i) {
      barriers->initialize(i, 1);
      barriers->initialize(stages + i, kGroups);
    }
    PhaseBarriers::publish(e);
  });
  e.barrier();

  SmallVector<Value> zeros(columns / 2, e.zeros(e.b.getF32Type()));
  SmallVector<Type> types(zeros.size(), e.b.getF32Type());
  Value multiplies = e.less(warp, e.i64(kGroups * kWarpgroup / kWarp));
  auto choice = scf::IfOp::create(e.b, e.loc, types, multiplies, /*withElseRegion=*/true);
  {
    OpBuilder::InsertionGuard guard(e.b);
    e.b.setInsertionPointToStart(choice.thenBlock());
    scf::YieldOp::create(e.b, e.loc, multiplyAll(zeros));
    e.b.setInsertionPointToStart(choice.elseBlock());
    e.ifThen(arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::eq, lane, e.i64(0)), [&] { copyAll(); });
    scf::YieldOp::create(e.b, e.loc, zeros);
  }
  e.barrier(); // all blocks are read: the sums go where they were

  e.ifThen(multiplies, [&] {
    Value row = e.add(e.mul(warp, e.i64(16)), e.divFloor(lane, e.i64(4))), column = e.mul(e.rem(lane, e.i64(4)), e.i64(2));
    for (int64_t i = 0; i < columns / 2; i += 2) {
      Value at = e.add(e.mul(e.add(row, e.i64(i / 2 % 2 * 8)), e.i64(pitch)), e.add(column, e.i64(i / 4 * 8)));
      e.storeSharedVector(memory, at, vector::FromElementsOp::create(e.b, e.loc, VectorType::get(2, e.b.getF32Type()),
                                                                     ValueRange{choice.getResult(i), choice.getResult(i + 1)}));
    }
  });
  e.barrier();
  return p.storeStrip(e, {memory, pitch, kRows, columns, batch, rowBegin, columnBegin});
}

bool Product::hasWarpgroups(const Emitter &e) const {
  WarpgroupUnit unit(a.type);
  auto isGood = [&](const std::optional<StridedMatrix> &matrix) {
    return matrix && (matrix->isAlongDepth() || (matrix->isAlongLines() && unit.takesLines())) &&
           matrix->isAligned(16 / unit.bytes()) && matrix->batch.size() <= 3;
  };
  return WarpgroupUnit::isFor(e.device, a.type) && a.type == b.type && accumulator.isF32() && isGood(a.strided) &&
         isGood(b.strided) && columnsFor(*this) && Emitter::hasRoomForMaps(e.kernel, 2);
}

int64_t Product::warpgroupThreads(const Emitter &) const { return kThreadsOfProduct; }

LogicalResult Product::emitWarpgroups(Emitter &e) const { return WarpgroupProduct(e, *this).emit(); }
