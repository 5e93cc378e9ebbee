//===- Pointwise.cpp - kernels without a reduction ------------------------===//
#include "Kernels.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::cpu;
using namespace tenon::graph;

/// Elements that one tile should hold: enough to hide the cost of handing it out, few enough to balance.
static constexpr int64_t kTileElements = 8192;
/// What a symbolic size is taken for when tiles are shaped.
static constexpr int64_t kTypicalSize = 256;

LogicalResult tenon::cpu::emitPointwise(Emitter &e) {
  if (std::optional<LogicalResult> status = emitTransposed(e, workPerPoint(e.kernel)))
    return *status;
  OperandRange results = resultsOf(e.kernel);
  MLIRContext *context = e.b.getContext();
  Dims sizes = getDims(results[0].getType());
  for (Value result : results)
    if (getDims(result.getType()) != sizes)
      return e.kernel.emitOpError("has results of different shapes but no reduction");

  // The lane dimension is the innermost one that is not 1.
  int64_t lane = -1;
  for (auto [i, size] : llvm::enumerate(sizes))
    if (asConstant(size) != 1)
      lane = i;
  AffineExpr one = getAffineConstantExpr(1, context);
  AffineExpr inner = lane < 0 ? one : sizes[lane];
  Dims outerSizes(ArrayRef(sizes).take_front(std::max<int64_t>(lane, 0)));
  AffineExpr rows = product(outerSizes, context);
  int64_t typical = asConstant(inner).value_or(kTypicalSize);
  int64_t columnBlock = typical <= 2 * kTileElements && asConstant(inner) ? std::max<int64_t>(typical, 1) : kTileElements;
  int64_t rowBlock = std::max<int64_t>(1, kTileElements / std::max<int64_t>(typical, 1));
  AffineExpr columnTiles = normalize(inner.ceilDiv(columnBlock));
  setSchedule(e, rows.ceilDiv(rowBlock) * columnTiles, getAffineConstantExpr(0, context),
              numElements(results[0].getType()) * workPerPoint(e.kernel));

  auto evaluate = [&](Evaluator &ev, ArrayRef<Value> outer, Value column, bool isVector) -> LogicalResult {
    Point point = bindPoint(ev, outer, outerSizes);
    if (lane >= 0)
      point.push_back(ev.bind(column, inner, isVector ? e.vl : 1, isVector));
    point.resize(sizes.size(), getAffineConstantExpr(0, context));
    // All values first: a result may alias an input.
    SmallVector<Value> values;
    for (Value result : results) {
      values.push_back(ev.at(result, point));
      if (!values.back())
        return failure();
    }
    for (auto [i, result, value] : llvm::enumerate(results, values))
      ev.store(e.outputPointer(i), cast<RankedTensorType>(result.getType()), point, value);
    return success();
  };

  LogicalResult status = success();
  Value rowCount = e.size(rows), width = e.size(inner), tilesAcross = e.size(columnTiles);
  e.loop(e.tileBegin, e.tileEnd, e.i64(1), [&](Value tile) {
    Value rowTile = e.divFloor(tile, tilesAcross), columnTile = e.rem(tile, tilesAcross);
    Value rowBegin = e.mul(rowTile, e.i64(rowBlock));
    Value rowEnd = e.min(e.add(rowBegin, e.i64(rowBlock)), rowCount);
    Value columnBegin = e.mul(columnTile, e.i64(columnBlock));
    Value columnEnd = e.min(e.add(columnBegin, e.i64(columnBlock)), width);
    e.loop(rowBegin, rowEnd, e.i64(1), [&](Value row) {
      SmallVector<Value> outer = delinearize(e, row, outerSizes);
      if (lane < 0 || asConstant(inner) == 1) {
        Evaluator ev(e, 1);
        status = evaluate(ev, outer, columnBegin, false);
        return;
      }
      Value step = e.i64(e.vl);
      Value whole = e.add(columnBegin, e.mul(e.divFloor(e.sub(columnEnd, columnBegin), step), step));
      e.loop(columnBegin, whole, step, [&](Value column) {
        Evaluator ev(e, e.vl);
        status = evaluate(ev, outer, column, true);
      });
      if (failed(status) || (asConstant(inner) && *asConstant(inner) % e.vl == 0))
        return;
      e.ifThen(e.less(whole, columnEnd), [&] {
        Evaluator ev(e, e.vl);
        ev.mask = e.tailMask(whole, columnEnd, e.vl);
        status = evaluate(ev, outer, whole, true);
      });
    });
  });
  return status;
}
