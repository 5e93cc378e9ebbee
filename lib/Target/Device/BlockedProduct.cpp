#include "BlockedProduct.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::device;
using namespace tenon::graph;

void BlockedProduct::placeTile() {
  AffineExpr rowTiles = normalize(p.rows.ceilDiv(rows)), columnTiles = normalize(p.columns.ceilDiv(columns));
  kernels::setSchedule(e, normalize(p.batches * rowTiles * columnTiles), getAffineConstantExpr(0, e.b.getContext()),
                       p.batches * p.rows * p.columns * p.depth * 2);
  Value across = e.size(columnTiles), down = e.size(rowTiles);
  Value rest = e.divFloor(e.group, across);
  batch = e.divFloor(rest, down);
  depthEnd = e.size(p.depth);
  a = {&p.a, e.mul(e.rem(rest, down), e.i64(rows)), e.size(p.rows), rows, 1, p.a.isAlongDepth, {}};
  b = {&p.b, e.mul(e.rem(e.group, across), e.i64(columns)), e.size(p.columns), columns, 1, p.b.isAlongDepth, {}};
}

void BlockedProduct::forOwn(const Side &side, function_ref<void(int64_t, Value, Value)> body) {
  int64_t runs = side.lines * block / side.lanes;
  assert(runs % e.threads == 0 && "all threads bring the same share");
  for (int64_t i = 0; i < runs / e.threads && !failed; ++i) {
    Value index = e.add(e.thread, e.i64(i * e.threads)), lanes = e.i64(side.lanes);
    int64_t across = (side.alongDepth ? block : side.lines) / side.lanes;
    Value outer = e.divFloor(index, e.i64(across)), inner = e.mul(e.rem(index, e.i64(across)), lanes);
    body(i, side.alongDepth ? outer : inner, side.alongDepth ? inner : outer);
  }
}

Value BlockedProduct::readAt(const Side &side, Value line, Value k, Value begin) {
  std::optional<int64_t> depth = asConstant(p.depth);
  Value at = e.add(begin, k), isInside;
  if (!depth || *depth % block != 0) {
    isInside = e.less(at, depthEnd);
    at = e.select(isInside, at, e.i64(0));
  }
  // Lines outside repeat the last ones: what is computed from them is not stored.
  Value last = e.sub(side.end, e.i64(side.alongDepth ? 1 : side.lanes));
  Value value = side.operand->read(batch, e.min(e.add(side.begin, line), last), at, side.lanes, side.alongDepth);
  failed |= !value;
  return value && isInside ? e.select(isInside, value, e.zeros(value.getType())) : value;
}

SmallVector<Value> BlockedProduct::fetch(const Side &side, Value begin) {
  SmallVector<Value> values;
  forOwn(side, [&](int64_t, Value line, Value k) { values.push_back(readAt(side, line, k, begin)); });
  return values;
}

void BlockedProduct::putAll(const Side &side, Value stage, ArrayRef<Value> values) {
  Value base = stageOf(side, stage);
  if (!failed)
    forOwn(side, [&](int64_t i, Value line, Value k) { put(side, base, line, k, values[i]); });
}

// What is ahead is read and written in the same turn: LLVM would take values carried over to the next one for loads that may as
// well be done there.
SmallVector<Value> BlockedProduct::runThroughRegisters(SmallVector<Value> sums) {
  share(2);
  putAll(a, e.i64(0), fetch(a, e.i64(0)));
  putAll(b, e.i64(0), fetch(b, e.i64(0)));
  e.barrier();
  Value step = e.i64(block);
  return e.loop(e.i64(0), depthEnd, step, sums, [&](Value begin, ValueRange carried) {
    Value half = e.rem(e.divFloor(begin, step), e.i64(2)), next = e.add(begin, step);
    next = e.select(e.less(next, depthEnd), next, begin);
    SmallVector<Value> ofA = fetch(a, next), ofB = fetch(b, next);
    SmallVector<Value> result = multiplyBlock(half, carried);
    if (failed)
      return SmallVector<Value>(carried);
    Value other = e.sub(e.i64(1), half);
    putAll(a, other, ofA);
    putAll(b, other, ofB);
    e.barrier();
    return result;
  });
}
