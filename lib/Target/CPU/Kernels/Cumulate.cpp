//===- Cumulate.cpp - running combinations, with their epilogue -----------===//
// Serial along the dimension, in its order; lanes along another one when the dimension is not the innermost.
#include "Kernels.h"
#include "Lines.h"
#include "MicroKernel.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::cpu;
using namespace tenon::graph;

LogicalResult tenon::cpu::emitCumulate(Emitter &e, CumulateOp root) {
  Lines lines(getDims(root.getType()), root.getDim());
  lines.schedule(e, numElements(root.getType()) * 2, getAffineConstantExpr(0, root.getContext()));
  int64_t lanes = lines.lanesAlongLine ? 1 : e.vl;
  Type element = getElementTypeOrSelf(root.getType()), accumulator = accumulatorFor(element);
  LogicalResult status = success();
  if (asConstant(lines.length) == 0)
    return status;
  lines.forEach(e, e.tileBegin, e.tileEnd, [&](ArrayRef<Value> positions, Value mask) {
    // The element at `position` joins the sum, which is the result there.
    auto step = [&](Value position, Value sum) -> Value {
      Evaluator ev(e, lanes);
      ev.mask = mask;
      Point point = lines.at(lines.bind(ev, positions, lanes > 1), ev.bind(position, lines.length));
      Value value = ev.vectorAt(root.getInput(), point);
      if (!value) {
        status = failure();
        return sum;
      }
      value = toAccumulator(e, value, accumulator);
      sum = sum ? e.combine(root.getKind(), sum, value) : value;
      if (failed(emitEpilogue(ev, root.getResult(), {{point, fromAccumulator(e, sum, element), mask, {}}})))
        status = failure();
      return sum;
    };
    Value length = e.size(lines.length);
    e.ifThen(e.less(e.i64(0), length), [&] {
      Value first = step(e.i64(0), {});
      if (failed(status))
        return;
      e.loop(e.i64(1), length, e.i64(1), ValueRange{first},
             [&](Value position, ValueRange carried) { return SmallVector<Value>{step(position, carried[0])}; });
    });
  });
  return status;
}
