//===- Cumulate.cpp - running combinations, with their epilogue -----------===//
// A unit of work is a block of a line, or of as many neighbouring lines as there are lanes when the dimension is not the
// innermost one: those go in their order, all at once. Within one line lanes combine as a tree.
#include "Kernels.h"
#include "Lines.h"
#include "MicroKernel.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::cpu;
using namespace tenon::graph;

namespace {
class CumulateKernel {
public:
  CumulateKernel(Emitter &e, CumulateOp root);
  LogicalResult emit();

private:
  Point at(Evaluator &ev, ArrayRef<Value> positions, AffineExpr position);
  Value neutral(int64_t lanes);
  Value carried(ArrayRef<Value> positions, Value mask, int64_t lanes);
  Value scanLanes(Value value);
  Value element(Evaluator &ev, const Point &point);
  void store(Evaluator &ev, const Point &point, Value sum, Value mask);
  void emitInOrder(ArrayRef<Value> positions, Value mask, int64_t lanes);
  void emitAlongLine(ArrayRef<Value> positions);

  Emitter &e;
  CumulateOp root;
  ReduceKind kind;
  Type stored, accumulator;
  AffineExpr length;
  Lines lines; ///< blocks are a dimension of their own, before the one within a block
  LogicalResult status = success();
};
} // namespace

/// Blocks, and elements of one, in place of the dimension.
static Dims withBlocks(CumulateOp root) {
  Dims sizes = getDims(root.getType());
  AffineExpr length = sizes[root.getDim()];
  AffineExpr one = getAffineConstantExpr(1, root.getContext());
  std::optional<uint64_t> block = root.getBlock();
  sizes[root.getDim()] = block ? normalize(length.ceilDiv(*block)) : one;
  sizes.insert(sizes.begin() + root.getDim() + 1, block ? one * *block : length);
  return sizes;
}

CumulateKernel::CumulateKernel(Emitter &e, CumulateOp root)
    : e(e), root(root), kind(root.getKind()), stored(getElementTypeOrSelf(root.getType())),
      accumulator(accumulatorFor(stored)), length(getDim(root.getType(), root.getDim())),
      lines(withBlocks(root), root.getDim() + 1) {}

/// The point at `position` of the line whose block `positions` name.
Point CumulateKernel::at(Evaluator &ev, ArrayRef<Value> positions, AffineExpr position) {
  Point point = lines.bind(ev, positions, ev.lanes > 1 && !lines.lanesAlongLine);
  point[root.getDim()] = asConstant(length) == 1 ? getAffineConstantExpr(0, root.getContext()) : position;
  return point;
}

/// What changes nothing; a sum's is -0.
Value CumulateKernel::neutral(int64_t lanes) {
  TypedAttr value = e.identity(kind, accumulator);
  if (kind == ReduceKind::Sum && isa<FloatType>(accumulator))
    value = e.b.getFloatAttr(accumulator, -0.0);
  return lanes == 1 ? e.constant(value) : e.splat(e.constant(value), lanes);
}

/// What the blocks before this one come to.
Value CumulateKernel::carried(ArrayRef<Value> positions, Value mask, int64_t lanes) {
  Value none = neutral(lanes);
  if (!root.getCarries())
    return none;
  Value block = positions[root.getDim()], one = e.i64(1);
  return e.loop(e.i64(0), e.min(block, one), one, ValueRange{none}, [&](Value, ValueRange) {
    Evaluator ev(e, lanes);
    ev.mask = mask;
    AffineExpr before = ev.bind(e.sub(block, one), getDim(root.getCarries().getType(), root.getDim()));
    Value carry = ev.vectorAt(root.getCarries(), at(ev, positions, before));
    if (!carry)
      status = failure();
    return SmallVector<Value>{carry ? toAccumulator(e, carry, accumulator) : none};
  })[0];
}

/// Each lane with those before it.
Value CumulateKernel::scanLanes(Value value) {
  Value none = neutral(e.vl);
  for (int64_t distance = 1; distance < e.vl; distance *= 2) {
    SmallVector<int64_t> order;
    for (int64_t lane = 0; lane < e.vl; ++lane)
      order.push_back(lane < distance ? lane : e.vl + lane - distance);
    value = e.combine(kind, vector::ShuffleOp::create(e.b, e.loc, none, value, order), value);
  }
  return value;
}

Value CumulateKernel::element(Evaluator &ev, const Point &point) {
  Value value = ev.vectorAt(root.getInput(), point);
  if (!value) {
    status = failure();
    return neutral(ev.lanes);
  }
  return toAccumulator(e, value, accumulator);
}

void CumulateKernel::store(Evaluator &ev, const Point &point, Value sum, Value mask) {
  if (succeeded(status) &&
      failed(emitEpilogue(ev, root.getResult(), {{point, fromAccumulator(e, sum, stored), mask, {}}})))
    status = failure();
}

/// One element after the other, in one line or in a vector of lines.
void CumulateKernel::emitInOrder(ArrayRef<Value> positions, Value mask, int64_t lanes) {
  Value begin = e.mul(positions[root.getDim()], e.size(lines.length));
  Value end = e.min(e.add(begin, e.size(lines.length)), e.size(length));
  e.loop(begin, end, e.i64(1), ValueRange{carried(positions, mask, lanes)}, [&](Value position, ValueRange sums) {
    Evaluator ev(e, lanes);
    ev.mask = mask;
    Point point = at(ev, positions, ev.bind(position, length));
    Value sum = e.combine(kind, sums[0], element(ev, point));
    store(ev, point, sum, mask);
    return SmallVector<Value>{sum};
  });
}

/// One line, lanes along it.
void CumulateKernel::emitAlongLine(ArrayRef<Value> positions) {
  Value begin = e.mul(positions[root.getDim()], e.size(lines.length)), step = e.i64(e.vl);
  Value end = e.min(e.add(begin, e.size(lines.length)), e.size(length));
  auto turn = [&](Value position, ValueRange sums, Value mask) -> SmallVector<Value> {
    Evaluator ev(e, e.vl);
    ev.mask = mask;
    Point point = at(ev, positions, ev.bind(position, length, e.vl, /*isLane=*/true));
    Value scanned = scanLanes(element(ev, point)), sum = e.combine(kind, sums[0], scanned);
    store(ev, point, sum, mask);
    // The next carry: the last lane of `sum`, where a second combination is not dearer than waiting for the first.
    Value from = kind == ReduceKind::LogSumExp ? sum : scanned;
    Value last = e.splat(vector::ExtractOp::create(e.b, e.loc, from, ArrayRef<int64_t>{e.vl - 1}), e.vl);
    return {kind == ReduceKind::LogSumExp ? last : e.combine(kind, sums[0], last)};
  };
  Value whole = e.add(begin, e.mul(e.divFloor(e.sub(end, begin), step), step));
  SmallVector<Value> sums =
      e.loop(begin, whole, step, ValueRange{carried(positions, {}, e.vl)},
             [&](Value position, ValueRange carry) { return turn(position, carry, {}); });
  e.loop(whole, end, step, sums,
         [&](Value position, ValueRange carry) { return turn(position, carry, e.tailMask(position, end, e.vl)); });
}

LogicalResult CumulateKernel::emit() {
  int64_t work = kind == ReduceKind::LogSumExp ? 40 : 2;
  lines.schedule(e, numElements(root.getType()) * work, getAffineConstantExpr(0, root.getContext()));
  if (asConstant(length) == 0)
    return status;
  // Products of floats keep their order: a tree could overflow where the running product is zero.
  bool isTree = kind != ReduceKind::Prod || !isa<FloatType>(accumulator);
  lines.forEach(e, e.tileBegin, e.tileEnd, [&](ArrayRef<Value> positions, Value mask) {
    if (lines.lanesAlongLine && isTree)
      emitAlongLine(positions);
    else
      emitInOrder(positions, mask, lines.lanesAlongLine ? 1 : e.vl);
  });
  return status;
}

LogicalResult tenon::cpu::emitCumulate(Emitter &e, CumulateOp root) { return CumulateKernel(e, root).emit(); }
