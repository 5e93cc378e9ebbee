// Kernels without a sum: one element for each thread. Pools, and running combinations along lines, too.
#include "Emitter.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::device;
using namespace tenon::graph;

/// `body` at each of `count` places, one for each thread.
static void forEachThread(device::Emitter &e, AffineExpr count, AffineExpr work, function_ref<void(Value)> body) {
  e.begin(kThreads);
  kernels::setSchedule(e, normalize(count.ceilDiv(e.threads)), getAffineConstantExpr(0, count.getContext()), work);
  Value flat = e.add(e.mul(e.group, e.i64(e.threads)), e.thread);
  e.ifThen(e.less(flat, e.size(count)), [&] { body(flat); });
}

LogicalResult device::emitPointwise(Emitter &e) {
  OperandRange results = kernels::resultsOf(e.kernel);
  Dims sizes = getDims(results[0].getType());
  for (Value result : results)
    if (getDims(result.getType()) != sizes)
      return e.kernel.emitOpError("has results of different shapes but no reduction");
  AffineExpr count = numElements(results[0].getType());
  LogicalResult status = success();
  forEachThread(e, count, count * kernels::workPerPoint(e.kernel), [&](Value flat) {
    Evaluator ev(e, 1);
    Point point = kernels::bindPoint(ev, kernels::delinearize(e, flat, sizes), sizes);
    // All values first: a result may alias an input.
    SmallVector<Value> values;
    for (Value result : results) {
      values.push_back(ev.at(result, point));
      if (!values.back()) {
        status = failure();
        return;
      }
    }
    for (auto [i, result, value] : llvm::enumerate(results, values))
      ev.store(e.outputPointer(i), cast<RankedTensorType>(result.getType()), point, value);
  });
  return status;
}

//===----------------------------------------------------------------------===//
// Pools
//===----------------------------------------------------------------------===//

LogicalResult device::emitWindow(Emitter &e, ReduceWindowOp root) {
  Dims in = getDims(root.getInput().getType()), out = getDims(root.getType());
  Type element = getElementTypeOrSelf(root.getType()), accumulator = kernels::accumulatorFor(element);
  AffineExpr count = numElements(root.getType());
  int64_t taps = 1;
  for (int64_t size : root.getWindow())
    taps *= size;
  LogicalResult status = success();
  forEachThread(e, count, count * taps, [&](Value flat) {
    SmallVector<Value> place = kernels::delinearize(e, flat, out);
    std::function<Value(unsigned, SmallVector<Value>, Value)> nest = [&](unsigned d, SmallVector<Value> position,
                                                                         Value sum) -> Value {
      if (failed(status))
        return sum;
      if (d == out.size()) {
        Evaluator ev(e, 1);
        Value value = ev.at(root.getInput(), kernels::bindPoint(ev, position, in));
        if (!value) {
          status = failure();
          return sum;
        }
        return e.combine(root.getKind(), sum, kernels::toAccumulator(e, value, accumulator));
      }
      Value first = e.sub(e.mul(place[d], e.i64(root.getStrides()[d])), e.i64(root.getLow()[d]));
      auto at = [&](Value w, Value sum) {
        SmallVector<Value> next(position);
        next.push_back(e.add(first, e.mul(w, e.i64(root.getDilations()[d]))));
        return nest(d + 1, next, sum);
      };
      if (root.getWindow()[d] == 1 && root.getLow()[d] == 0 && root.getStrides()[d] == 1 && in[d] == out[d])
        return at(e.i64(0), sum);
      // first + w * dilation >= 0, and < size.
      Value size = e.size(in[d]), zero = e.i64(0), step = e.i64(root.getDilations()[d]),
            more = e.i64(root.getDilations()[d] - 1);
      Value begin = e.divFloor(e.add(e.max(e.sub(zero, first), zero), more), step);
      Value end = e.min(e.divFloor(e.add(e.max(e.sub(size, first), zero), more), step), e.i64(root.getWindow()[d]));
      return e.loop(begin, end, e.i64(1), sum, [&](Value w, ValueRange carried) {
        return SmallVector<Value>{at(w, carried[0])};
      })[0];
    };
    Value sum = nest(0, {}, e.constant(e.identity(root.getKind(), accumulator)));
    if (failed(status))
      return;
    Evaluator ev(e, 1);
    Point point = kernels::bindPoint(ev, place, out);
    status = kernels::emitEpilogue(ev, root.getResult(), {{point, kernels::fromAccumulator(e, sum, element), {}, {}}});
  });
  return status;
}

//===----------------------------------------------------------------------===//
// Lines: one for each thread
//===----------------------------------------------------------------------===//

namespace {
/// A tensor as lines along one dimension.
struct Lines {
  Lines(Dims sizes, int64_t dim) : dim(dim), length(sizes[dim]), kept(sizes) { kept.erase(kept.begin() + dim); }
  Point at(const Point &line, AffineExpr position) const {
    Point point(line);
    point.insert(point.begin() + dim, position);
    return point;
  }
  int64_t dim;
  AffineExpr length;
  Dims kept;
};
} // namespace

/// A thread has a block of a line.
LogicalResult device::emitCumulate(Emitter &e, CumulateOp root) {
  Lines lines(getDims(root.getType()), root.getDim());
  Type element = getElementTypeOrSelf(root.getType()), accumulator = kernels::accumulatorFor(element);
  MLIRContext *context = root.getContext();
  AffineExpr block = lines.length;
  Dims units = lines.kept;
  if (root.getBlock()) {
    block = getAffineConstantExpr(*root.getBlock(), context);
    units.push_back(normalize(lines.length.ceilDiv(block)));
  }
  LogicalResult status = success();
  forEachThread(e, product(units, context), numElements(root.getType()) * 2, [&](Value flat) {
    SmallVector<Value> place = kernels::delinearize(e, flat, units);
    Value number = root.getBlock() ? place.pop_back_val() : e.i64(0);
    Value begin = e.mul(number, e.size(block)), end = e.min(e.add(begin, e.size(block)), e.size(lines.length));
    SmallVector<Value> start{e.constant(e.identity(root.getKind(), accumulator))};
    if (root.getCarries())
      start = e.loop(e.i64(0), e.min(number, e.i64(1)), e.i64(1), start, [&](Value, ValueRange carried) {
        Evaluator ev(e, 1);
        Point line = kernels::bindPoint(ev, place, lines.kept);
        AffineExpr before = ev.bind(e.sub(number, e.i64(1)), getDim(root.getCarries().getType(), root.getDim()));
        Value carry = ev.at(root.getCarries(), lines.at(line, before));
        if (!carry)
          status = failure();
        return SmallVector<Value>{carry ? kernels::toAccumulator(e, carry, accumulator) : carried[0]};
      });
    e.loop(begin, end, e.i64(1), start, [&](Value position, ValueRange carried) {
      Evaluator ev(e, 1);
      Point line = kernels::bindPoint(ev, place, lines.kept);
      Point point = lines.at(line, ev.bind(position, lines.length));
      Value value = ev.at(root.getInput(), point);
      if (!value) {
        status = failure();
        return SmallVector<Value>(carried);
      }
      Value sum = e.combine(root.getKind(), carried[0], kernels::toAccumulator(e, value, accumulator));
      if (failed(kernels::emitEpilogue(ev, root.getResult(), {{point, kernels::fromAccumulator(e, sum, element), {}, {}}})))
        status = failure();
      return SmallVector<Value>{sum};
    });
  });
  return status;
}

/// The first of equals wins, a NaN before all.
LogicalResult device::emitArgReduce(Emitter &e, ArgReduceOp root) {
  Lines lines(getDims(root.getInput().getType()), root.getDim());
  MLIRContext *context = root.getContext();
  bool isMax = root.getKind() == ReduceKind::Max;
  LogicalResult status = success();
  forEachThread(e, product(lines.kept, context), numElements(root.getInput().getType()) * 2, [&](Value flat) {
    SmallVector<Value> place = kernels::delinearize(e, flat, lines.kept);
    auto read = [&](Value position) -> Value {
      Evaluator ev(e, 1);
      Point line = kernels::bindPoint(ev, place, lines.kept);
      Value value = ev.at(root.getInput(), lines.at(line, ev.bind(position, lines.length)));
      if (!value) {
        status = failure();
        return e.zeros(getElementTypeOrSelf(root.getInput().getType()));
      }
      return kernels::toAccumulator(e, value, kernels::accumulatorFor(value.getType()));
    };
    Value zero = e.i64(0);
    SmallVector<Value> best = e.loop(e.i64(1), e.size(lines.length), e.i64(1), ValueRange{read(zero), zero},
                                     [&](Value position, ValueRange carried) {
      Value value = read(position), isMore;
      if (isa<FloatType>(value.getType())) {
        isMore = arith::CmpFOp::create(e.b, e.loc, isMax ? arith::CmpFPredicate::UGT : arith::CmpFPredicate::ULT, value,
                                       carried[0]);
        Value isOrdered = arith::CmpFOp::create(e.b, e.loc, arith::CmpFPredicate::ORD, carried[0], carried[0]);
        isMore = arith::AndIOp::create(e.b, e.loc, isMore, isOrdered);
      } else {
        bool isBool = value.getType().isInteger(1);
        auto more = isBool ? (isMax ? arith::CmpIPredicate::ugt : arith::CmpIPredicate::ult)
                           : (isMax ? arith::CmpIPredicate::sgt : arith::CmpIPredicate::slt);
        isMore = arith::CmpIOp::create(e.b, e.loc, more, value, carried[0]);
      }
      return SmallVector<Value>{e.select(isMore, value, carried[0]), e.select(isMore, position, carried[1])};
    });
    if (failed(status))
      return;
    Evaluator ev(e, 1);
    Dims out = getDims(root.getType());
    Point line = kernels::bindPoint(ev, place, lines.kept);
    Point point = out.size() == lines.kept.size() ? line : lines.at(line, getAffineConstantExpr(0, context));
    status = kernels::emitEpilogue(ev, root.getResult(), {{point, best[1], {}, {}}});
  });
  return status;
}
