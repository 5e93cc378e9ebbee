//===- ArgReduce.cpp - positions of extremes, with their epilogue ---------===//
// The first of equals wins, a NaN before all. Lanes run along the dimension itself when it is the innermost one, else
// along the innermost kept one.
#include "Kernels.h"
#include "Lines.h"
#include "MicroKernel.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::cpu;
using namespace tenon::graph;

namespace {
/// A candidate or champion: its value and its position.
struct Entry {
  Value value, position;
};

class ArgReduceKernel {
public:
  ArgReduceKernel(Emitter &e, ArgReduceOp root)
      : e(e), root(root), lines(getDims(root.getInput().getType()), root.getDim()),
        isMax(root.getKind() == ReduceKind::Max) {}
  LogicalResult emit();

private:
  Value isOrdered(Value value);
  Value beats(Value candidate, Value champion);
  Entry better(Entry champion, Entry candidate);
  Entry acrossLanes(Entry champion);
  Value element(Evaluator &ev, const Point &point);
  void emitLine(ArrayRef<Value> positions);
  void emitLines(ArrayRef<Value> positions, Value mask);

  Emitter &e;
  ArgReduceOp root;
  Lines lines;
  bool isMax;
  LogicalResult status = success();
};
} // namespace

/// Not a NaN; null where every value is.
Value ArgReduceKernel::isOrdered(Value value) {
  if (!isa<FloatType>(getElementTypeOrSelf(value.getType())))
    return {};
  return arith::CmpFOp::create(e.b, e.loc, arith::CmpFPredicate::ORD, value, value);
}

/// Whether a later candidate takes the champion's place.
Value ArgReduceKernel::beats(Value candidate, Value champion) {
  Type element = getElementTypeOrSelf(candidate.getType());
  if (isa<FloatType>(element)) {
    auto predicate = isMax ? arith::CmpFPredicate::UGT : arith::CmpFPredicate::ULT;
    Value isMore = arith::CmpFOp::create(e.b, e.loc, predicate, candidate, champion);
    return arith::AndIOp::create(e.b, e.loc, isMore, isOrdered(champion));
  }
  auto predicate = element.isInteger(1) ? (isMax ? arith::CmpIPredicate::ugt : arith::CmpIPredicate::ult)
                                        : (isMax ? arith::CmpIPredicate::sgt : arith::CmpIPredicate::slt);
  return arith::CmpIOp::create(e.b, e.loc, predicate, candidate, champion);
}

Entry ArgReduceKernel::better(Entry champion, Entry candidate) {
  Value wins = beats(candidate.value, champion.value);
  return {e.select(wins, candidate.value, champion.value), e.select(wins, candidate.position, champion.position)};
}

/// The champion of all lanes: positions decide between equals.
Entry ArgReduceKernel::acrossLanes(Entry champion) {
  auto lane = [&](Value vector, int64_t i) -> Value {
    return vector::ExtractOp::create(e.b, e.loc, vector, ArrayRef<int64_t>{i});
  };
  Entry best{lane(champion.value, 0), lane(champion.position, 0)};
  for (int64_t i = 1; i < e.vl; ++i) {
    Entry other{lane(champion.value, i), lane(champion.position, i)};
    Value wins = beats(other.value, best.value), loses = beats(best.value, other.value);
    // Neither: they are the same, or both NaN.
    Value isFirst = e.less(other.position, best.position);
    Value one = arith::ConstantIntOp::create(e.b, e.loc, 1, 1);
    Value isSame = arith::XOrIOp::create(e.b, e.loc, arith::OrIOp::create(e.b, e.loc, wins, loses), one);
    wins = arith::OrIOp::create(e.b, e.loc, wins, arith::AndIOp::create(e.b, e.loc, isSame, isFirst));
    best = {e.select(wins, other.value, best.value), e.select(wins, other.position, best.position)};
  }
  return best;
}

Value ArgReduceKernel::element(Evaluator &ev, const Point &point) {
  Value value = ev.vectorAt(root.getInput(), point);
  if (!value) {
    status = failure();
    return e.zeros(e.vectorOf(getElementTypeOrSelf(root.getInput().getType()), e.vl));
  }
  if (getElementTypeOrSelf(value.getType()).isF16() || getElementTypeOrSelf(value.getType()).isBF16())
    value = toAccumulator(e, value, e.b.getF32Type());
  return value;
}

/// One line, lanes along it. All lanes begin with the line's first element, which each may keep.
void ArgReduceKernel::emitLine(ArrayRef<Value> positions) {
  Value length = e.size(lines.length), zero = e.i64(0), step = e.i64(e.vl);
  Value first;
  {
    Evaluator ev(e, e.vl);
    Point point = lines.bind(ev, positions, false);
    first = element(ev, lines.at(point, getAffineConstantExpr(0, root.getContext())));
  }
  Value start = e.zeros(e.vectorOf(e.b.getI64Type(), e.vl));
  auto turn = [&](Value at, ValueRange carried, Value mask) -> SmallVector<Value> {
    Evaluator ev(e, e.vl);
    ev.mask = mask;
    Point point = lines.bind(ev, positions, false);
    Value value = element(ev, lines.at(point, ev.bind(at, lines.length, e.vl, /*isLane=*/true)));
    if (mask)
      value = e.select(mask, value, carried[0]);
    Value position = arith::AddIOp::create(e.b, e.loc, e.splat(at, e.vl), e.iota(e.vl));
    Entry best = better({carried[0], carried[1]}, {value, position});
    return {best.value, best.position};
  };
  Value whole = e.mul(e.divFloor(length, step), step);
  SmallVector<Value> found =
      e.loop(zero, whole, step, {first, start}, [&](Value at, ValueRange carried) { return turn(at, carried, {}); });
  found = e.loop(whole, length, step, found,
                 [&](Value at, ValueRange carried) { return turn(at, carried, e.tailMask(at, length, e.vl)); });
  if (failed(status))
    return;
  Entry best = acrossLanes({found[0], found[1]});
  Evaluator ev(e, 1);
  Point point = lines.bind(ev, positions, false);
  if (failed(emitEpilogue(ev, root.getResult(), {{point, best.position, {}, {}}})))
    status = failure();
}

/// As many lines as lanes, next to each other.
void ArgReduceKernel::emitLines(ArrayRef<Value> positions, Value mask) {
  auto elementAt = [&](Value at) {
    Evaluator ev(e, e.vl);
    ev.mask = mask;
    Point point = lines.bind(ev, positions, true);
    return element(ev, lines.at(point, ev.bind(at, lines.length)));
  };
  SmallVector<Value> init{elementAt(e.i64(0)), e.zeros(e.vectorOf(e.b.getI64Type(), e.vl))};
  SmallVector<Value> found =
      e.loop(e.i64(1), e.size(lines.length), e.i64(1), init, [&](Value at, ValueRange carried) -> SmallVector<Value> {
        Entry best = better({carried[0], carried[1]}, {elementAt(at), e.splat(at, e.vl)});
        return {best.value, best.position};
      });
  if (failed(status))
    return;
  Evaluator ev(e, e.vl);
  Point point = lines.bind(ev, positions, true);
  if (failed(emitEpilogue(ev, root.getResult(), {{point, found[1], mask, {}}})))
    status = failure();
}

LogicalResult ArgReduceKernel::emit() {
  lines.schedule(e, numElements(root.getInput().getType()) * 4, getAffineConstantExpr(0, root.getContext()));
  // An empty line has no position; a result of such lines is not written.
  Value isEmpty = e.less(e.size(lines.length), e.i64(1));
  Value tileEnd = asConstant(lines.length) ? e.tileEnd : e.select(isEmpty, e.tileBegin, e.tileEnd);
  if (asConstant(lines.length) == 0)
    return success();
  lines.forEach(e, e.tileBegin, tileEnd, [&](ArrayRef<Value> positions, Value mask) {
    if (failed(status))
      return;
    if (lines.lanesAlongLine)
      emitLine(positions);
    else
      emitLines(positions, mask);
  });
  return status;
}

LogicalResult tenon::cpu::emitArgReduce(Emitter &e, ArgReduceOp root) { return ArgReduceKernel(e, root).emit(); }
