#include "Product.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::device;
using namespace tenon::graph;

/// Threads along each side of a tile, and elements of each side that a thread has.
static constexpr int64_t kSide = 16, kOwn = 4, kTile = kSide * kOwn;
/// Depth of the blocks in shared memory.
static constexpr int64_t kBlock = 16;
/// With fewer rows each thread has a column, and nothing is shared.
static constexpr int64_t kFewRows = 4, kFewColumns = 8;

bool Product::isFlat() const {
  std::optional<int64_t> m = asConstant(rows), n = asConstant(columns);
  return (m && *m <= kFewRows) || (n && *n < kFewColumns);
}

int64_t Product::threads(const Emitter &e) const {
  if (isFlat())
    return kThreads;
  if (hasWarpgroups(e))
    return warpgroupThreads(e);
  return hasMatrixUnit(e) ? matrixThreads(e) : kSide * kSide;
}

static Value multiplyAdd(device::Emitter &e, Value a, Value b, Value sum) {
  if (isa<FloatType>(sum.getType()))
    return e.fma(a, b, sum);
  return arith::AddIOp::create(e.b, e.loc, sum, arith::MulIOp::create(e.b, e.loc, a, b));
}

/// One element of the result for each thread.
LogicalResult Product::emitFlat(Emitter &e) const {
  MLIRContext *context = rows.getContext();
  AffineExpr count = batches * rows * columns;
  kernels::setSchedule(e, normalize(count.ceilDiv(e.threads)), getAffineConstantExpr(0, context), count * depth * 2);
  LogicalResult status = success();
  Value flat = e.add(e.mul(e.group, e.i64(e.threads)), e.thread);
  e.ifThen(e.less(flat, e.size(normalize(count))), [&] {
    SmallVector<Value> place = kernels::delinearize(e, flat, {batches, rows, columns});
    Value zero = e.zeros(accumulator);
    Value sum = e.loop(e.i64(0), e.size(depth), e.i64(1), ValueRange{zero}, [&](Value k, ValueRange carried) {
      Value left = a(place[0], place[1], k, 1), right = b(place[0], k, place[2], 1);
      if (!left || !right) {
        status = failure();
        return SmallVector<Value>(carried);
      }
      return SmallVector<Value>{multiplyAdd(e, kernels::toAccumulator(e, left, accumulator),
                                            kernels::toAccumulator(e, right, accumulator), carried[0])};
    })[0];
    if (succeeded(status))
      status = store({{place[0], place[1], place[2], sum, {}}}, 1);
  });
  return status;
}

LogicalResult Product::storeStrip(Emitter &e, const Strip &strip) const {
  LogicalResult status = success();
  Value one = e.i64(1), rowEnd = e.size(rows), columnEnd = e.size(columns);
  int64_t across = strip.columns / storeLanes;
  e.loop(e.thread, e.i64(strip.rows * across), e.i64(e.threads), [&](Value index) {
    Value stripRow = e.divFloor(index, e.i64(across)), stripColumn = e.mul(e.rem(index, e.i64(across)), e.i64(storeLanes));
    Value at = e.add(e.mul(stripRow, e.i64(strip.pitch)), stripColumn);
    Value sum = storeLanes == 1 ? e.loadShared(strip.memory, at) : e.loadSharedVector(strip.memory, at, storeLanes);
    Value row = e.add(strip.row, stripRow), column = e.add(strip.column, stripColumn);
    Value isInside = arith::AndIOp::create(e.b, e.loc, e.less(row, rowEnd), e.less(column, columnEnd));
    // The epilogue reads other tensors there too: places outside become the last one.
    Value lastRow = e.sub(rowEnd, one), lastColumn = e.sub(columnEnd, e.i64(storeLanes));
    if (failed(store({{strip.batch, e.min(row, lastRow), e.min(column, lastColumn), sum, isInside}}, storeLanes)))
      status = failure();
  });
  return status;
}

LogicalResult Product::emit(Emitter &e) const {
  if (isFlat())
    return emitFlat(e);
  if (hasWarpgroups(e))
    return emitWarpgroups(e);
  if (hasMatrixUnit(e))
    return emitMatrix(e);
  MLIRContext *context = rows.getContext();
  AffineExpr rowTiles = normalize(rows.ceilDiv(kTile)), columnTiles = normalize(columns.ceilDiv(kTile));
  kernels::setSchedule(e, normalize(batches * rowTiles * columnTiles), getAffineConstantExpr(0, context),
                       batches * rows * columns * depth * 2);
  LogicalResult status = success();
  Value across = e.size(columnTiles), down = e.size(rowTiles);
  Value columnTile = e.rem(e.group, across), rest = e.divFloor(e.group, across);
  Value rowTile = e.rem(rest, down), batch = e.divFloor(rest, down);
  Value rowBegin = e.mul(rowTile, e.i64(kTile)), columnBegin = e.mul(columnTile, e.i64(kTile));
  Value rowEnd = e.size(rows), columnEnd = e.size(columns), depthEnd = e.size(depth), one = e.i64(1);
  Value sharedA = e.shared(accumulator, kTile * kBlock), sharedB = e.shared(accumulator, kBlock * kTile);
  // Columns of neighbouring threads lie side by side, so that loads and stores of a workgroup do too.
  Value x = e.rem(e.thread, e.i64(kSide)), y = e.divFloor(e.thread, e.i64(kSide));

  SmallVector<Value> sums(kOwn * kOwn, e.zeros(accumulator));
  sums = e.loop(e.i64(0), depthEnd, e.i64(kBlock), sums, [&](Value begin, ValueRange carried) {
    Value count = e.min(e.sub(depthEnd, begin), e.i64(kBlock)), last = e.sub(depthEnd, one);
    for (int64_t i = 0; i < kTile * kBlock / e.threads && succeeded(status); ++i) {
      Value index = e.add(e.thread, e.i64(i * e.threads));
      auto clamp = [&](Value at, Value end) { return e.min(at, e.sub(end, one)); };
      // Places outside repeat the last one: what is computed from them is not stored, or not read.
      Value row = e.divFloor(index, e.i64(kBlock)), k = e.rem(index, e.i64(kBlock));
      Value left = a(batch, clamp(e.add(rowBegin, row), rowEnd), e.min(e.add(begin, k), last), 1);
      Value depthB = e.divFloor(index, e.i64(kTile)), column = e.rem(index, e.i64(kTile));
      Value right = b(batch, e.min(e.add(begin, depthB), last), clamp(e.add(columnBegin, column), columnEnd), 1);
      if (!left || !right) {
        status = failure();
        break;
      }
      e.storeShared(sharedA, e.add(e.mul(k, e.i64(kTile)), row), kernels::toAccumulator(e, left, accumulator));
      e.storeShared(sharedB, index, kernels::toAccumulator(e, right, accumulator));
    }
    e.barrier();
    std::optional<int64_t> fixed = asConstant(depth);
    auto step = [&](Value k, ValueRange acc) {
      SmallVector<Value> left, right, next(acc);
      Value base = e.mul(k, e.i64(kTile));
      for (int64_t i = 0; i < kOwn; ++i) {
        left.push_back(e.loadShared(sharedA, e.add(base, e.add(y, e.i64(i * kSide)))));
        right.push_back(e.loadShared(sharedB, e.add(base, e.add(x, e.i64(i * kSide)))));
      }
      for (int64_t i = 0; i < kOwn; ++i)
        for (int64_t j = 0; j < kOwn; ++j)
          next[i * kOwn + j] = multiplyAdd(e, left[i], right[j], next[i * kOwn + j]);
      return next;
    };
    SmallVector<Value> next(carried);
    if (fixed && *fixed % kBlock == 0) {
      for (int64_t k = 0; k < kBlock; ++k)
        next = step(e.i64(k), next);
    } else {
      next = e.loop(e.i64(0), count, one, carried, step);
    }
    e.barrier();
    return next;
  });
  if (failed(status))
    return status;
  SmallVector<Sum> results;
  for (int64_t i = 0; i < kOwn; ++i)
    for (int64_t j = 0; j < kOwn; ++j) {
      Value row = e.add(rowBegin, e.add(y, e.i64(i * kSide))), column = e.add(columnBegin, e.add(x, e.i64(j * kSide)));
      Value isInside = arith::AndIOp::create(e.b, e.loc, e.less(row, rowEnd), e.less(column, columnEnd));
      // The epilogue reads other tensors there too: places outside become the last one.
      results.push_back({batch, e.min(row, e.sub(rowEnd, one)), e.min(column, e.sub(columnEnd, one)),
                         sums[i * kOwn + j], isInside});
    }
  return store(results, 1);
}
