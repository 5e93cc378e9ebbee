//===- AttentionOperands.cpp - where attention finds and puts its operands -===//
// Addresses of Q, K and V, and the copies of blocks that do not lie as the register tile wants them.
#include "AttentionKernel.h"
#include "Transpose.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::cpu;
using namespace tenon::graph;

AffineExpr AttentionKernel::bindOne(Evaluator &ev, Value value, AffineExpr size, int64_t align, bool isLane) {
  return asConstant(size) == 1 ? getAffineConstantExpr(0, context) : ev.bind(value, size, align, isLane);
}

AffineExpr AttentionKernel::bindRows(Evaluator &ev, Value row, bool isLane, AffineExpr &headIndex,
                                     AffineExpr &queryIndex) {
  int64_t align = isLane ? vl : 1;
  AffineExpr rowIndex = bindOne(ev, row, rowsTotal, align, isLane);
  if (rowsAreHeads) {
    headIndex = bindOne(ev, group, groups) * headsPerGroup + rowIndex;
    queryIndex = getAffineConstantExpr(0, context);
  } else {
    headIndex = bindOne(ev, head, heads);
    queryIndex = rowIndex;
  }
  return rowIndex;
}

/// Splits an address that is linear in a loop dimension.
static std::optional<StridedAddress> splitLinear(AffineExpr address, AffineExpr dim) {
  MLIRContext *context = dim.getContext();
  if (!isa<AffineDimExpr>(dim)) // a size of 1: any stride will do
    return StridedAddress{address, getAffineConstantExpr(1, context)};
  AffineExpr offset = normalize(address.replace(dim, getAffineConstantExpr(0, context)));
  AffineExpr stride = normalize(address.replace(dim, getAffineConstantExpr(1, context)) - offset);
  bool usesDims = false;
  stride.walk([&](AffineExpr expr) { usesDims |= isa<AffineDimExpr>(expr); });
  if (usesDims || normalize(address - offset - stride * dim) != getAffineConstantExpr(0, context))
    return std::nullopt;
  return StridedAddress{offset, stride};
}

AffineExpr tenon::cpu::addressOf(Evaluator &ev, Value value, Point point) {
  IndexSimplifier simple = ev.simplifier();
  while (Operation *op = value.getDefiningOp()) {
    auto moved = pullThrough(op, point, simple);
    if (!moved)
      return {};
    std::tie(value, point) = *moved;
  }
  return simple.simplify(linearize(point, getDims(value.getType()), value.getContext()));
}

/// The matrix of rows (or keys) by columns that this tile reads; nullopt when it is not one.
std::optional<Plane> AttentionKernel::resolve(Value value, bool isQuery) {
  BlockArgument leaf = leafOf(value);
  if (!leaf)
    return std::nullopt;
  Evaluator ev(e, vl);
  AffineExpr headIndex, major, minor = bindOne(ev, e.i64(0), getDim(value.getType(), 3));
  Point point{bindOne(ev, batch, batches)};
  if (isQuery) {
    AffineExpr queryIndex;
    major = bindRows(ev, e.i64(0), false, headIndex, queryIndex);
    point.append({headIndex, queryIndex, minor});
  } else {
    headIndex = bindOne(ev, group, groups);
    major = bindOne(ev, e.i64(0), keys);
    point.append({headIndex, major, minor});
  }
  AffineExpr address = addressOf(ev, value, point);
  if (!address)
    return std::nullopt;
  std::optional<StridedAddress> rows = splitLinear(address, major);
  if (!rows)
    return std::nullopt;
  std::optional<StridedAddress> columns = splitLinear(rows->offset, minor);
  if (!columns)
    return std::nullopt;
  Plane plane;
  plane.pointer = e.offsetPointer(e.inputPointer(leaf.getArgNumber()), getElementTypeOrSelf(value.getType()),
                                  ev.index(columns->offset));
  plane.major = ev.index(rows->stride);
  plane.minor = ev.index(columns->stride);
  plane.isContiguous = asConstant(columns->stride) == 1;
  return plane;
}

/// Qᵀ times the scale, [depth][rows]. Rows past the last one repeat it.
void AttentionKernel::packQuery() {
  Type element = getElementTypeOrSelf(root.getQuery().getType());
  Value scale = splatConstant(root.getScale().convertToDouble());
  Value depthValue = e.size(depth), block = e.i64(rowBlock), lastRow = e.sub(e.add(rowBegin, rowCount), e.i64(1));
  e.loop(e.i64(0), rowCount, e.i64(vl), [&](Value lane) {
    Value first = e.add(rowBegin, lane);
    if (!queryPlane || !queryPlane->isContiguous) {
      // Row by lane, one column at a time.
      e.loop(e.i64(0), depthValue, e.i64(1), [&](Value d) {
        Evaluator ev(e, vl);
        ev.mask = e.tailMask(lane, rowCount, vl);
        AffineExpr headIndex, queryIndex, batchIndex = bindOne(ev, batch, batches), column = bindOne(ev, d, depth);
        bindRows(ev, first, true, headIndex, queryIndex);
        Value value = ev.vectorAt(root.getQuery(), {batchIndex, headIndex, queryIndex, column});
        if (!value) {
          status = failure();
          return;
        }
        value = arith::MulFOp::create(e.b, e.loc, toAccumulator(e, value, accumulator), scale);
        e.storeVector(at(queryBuffer, e.add(e.mul(d, block), lane)), accumulator, e.i64(0), value);
      });
      return;
    }
    SmallVector<Value> rows;
    for (int64_t i = 0; i < vl; ++i) {
      Value row = e.min(e.add(first, e.i64(i)), lastRow);
      rows.push_back(e.offsetPointer(queryPlane->pointer, element, e.mul(row, queryPlane->major)));
    }
    auto square = [&](Value d, Value mask) {
      SmallVector<Value> values;
      for (Value row : rows) {
        Value value = toAccumulator(e, e.loadVector(row, element, d, vl, mask), accumulator);
        values.push_back(arith::MulFOp::create(e.b, e.loc, value, scale));
      }
      for (auto [i, value] : llvm::enumerate(transpose(e, values))) {
        Value index = e.add(e.mul(e.add(d, e.i64(i)), block), lane);
        e.storeVector(queryBuffer, accumulator, index, value);
      }
    };
    Value step = e.i64(vl), whole = e.mul(e.divFloor(depthValue, step), step);
    e.loop(e.i64(0), whole, step, [&](Value d) { square(d, {}); });
    e.loop(whole, depthValue, step, [&](Value d) { square(d, e.tailMask(d, depthValue, vl)); });
  });
}

/// A block of K or V that does not lie in memory as the register tile wants it, as [keys][stride].
Value AttentionKernel::packBlock(Value value, Value pointer, AffineExpr columns, Value stride) {
  Type element = getElementTypeOrSelf(value.getType());
  Value columnEnd = e.size(columns);
  e.loop(e.i64(0), keyCount, e.i64(1), [&](Value key) {
    auto copy = [&](Value column, Value mask) {
      Evaluator ev(e, vl);
      ev.mask = mask;
      Point point{bindOne(ev, batch, batches), bindOne(ev, group, groups), bindOne(ev, e.add(keyBegin, key), keys),
                  bindOne(ev, column, columns, vl, true)};
      Value loaded = ev.vectorAt(value, point);
      if (!loaded) {
        status = failure();
        return;
      }
      e.storeVector(pointer, element, e.add(e.mul(key, stride), column), loaded, mask);
    };
    Value step = e.i64(vl), whole = e.mul(e.divFloor(columnEnd, step), step);
    e.loop(e.i64(0), whole, step, [&](Value column) { copy(column, {}); });
    e.loop(whole, columnEnd, step, [&](Value column) { copy(column, e.tailMask(column, columnEnd, vl)); });
  });
  return pointer;
}

/// The block's mask as [keys][rows], where it lies the other way round. True is 1.
void AttentionKernel::packMask() {
  Type element = getElementTypeOrSelf(root.getMask().getType());
  Value block = e.i64(rowBlock), lastRow = e.sub(e.add(rowBegin, rowCount), e.i64(1));
  e.loop(e.i64(0), rowCount, e.i64(vl), [&](Value lane) {
    auto square = [&](Value key, Value mask) {
      Evaluator ev(e, vl);
      ev.mask = mask;
      AffineExpr batchIndex = bindOne(ev, batch, batches);
      AffineExpr keyIndex = bindOne(ev, e.add(keyBegin, key), keys, 1, /*isLane=*/true);
      SmallVector<Value> values;
      for (int64_t i = 0; i < vl; ++i) {
        AffineExpr headIndex, queryIndex;
        bindRows(ev, e.min(e.add(e.add(rowBegin, lane), e.i64(i)), lastRow), false, headIndex, queryIndex);
        Value value =
            ev.vectorAt(root.getMask(), applyMap(*root.getMaskMap(), {batchIndex, headIndex, queryIndex, keyIndex}));
        if (!value) {
          status = failure();
          return;
        }
        value = element.isInteger(1) ? e.select(value, splatConstant(1), splatConstant(0))
                                     : toAccumulator(e, value, accumulator);
        values.push_back(value);
      }
      for (auto [i, value] : llvm::enumerate(transpose(e, values)))
        e.storeVector(maskBuffer, accumulator, e.add(e.mul(e.add(key, e.i64(i)), block), lane), value);
    };
    Value step = e.i64(vl), whole = e.mul(e.divFloor(keyCount, step), step);
    e.loop(e.i64(0), whole, step, [&](Value key) { square(key, {}); });
    e.loop(whole, keyCount, step, [&](Value key) { square(key, e.tailMask(key, keyCount, vl)); });
  });
}
