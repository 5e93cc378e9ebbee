//===- Spatial.cpp - windows that slide over an image ---------------------===//
#include "Spatial.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::kernels;
using namespace tenon::graph;

Spatial::Spatial(ConvOp op)
    : strides(op.getStrides()), low(op.getLow()), dilations(op.getDilations()), inputDilation(op.getInputDilation()) {
  Dims input = getDims(op.getInput().getType()), result = getDims(op.getType()),
       filter = getDims(op.getFilter().getType());
  for (size_t i = 1; i + 1 < input.size(); ++i) {
    in.push_back(input[i]);
    out.push_back(result[i]);
    window.push_back(asConstant(filter[i + 1]).value_or(-1));
  }
  for (unsigned d = 0; d < rank(); ++d)
    hasPadding |= low[d] > 0 || op.getHigh()[d] > 0 || inputDilation[d] > 1;
}

LogicalResult Spatial::check(ConvOp op) const {
  if (llvm::is_contained(window, -1))
    return op.emitOpError("has a window whose size is not known when it is compiled");
  return success();
}

int64_t Spatial::taps() const {
  int64_t count = 1;
  for (int64_t w : window)
    count *= w;
  return count;
}

bool Spatial::isPointwise() const {
  for (unsigned d = 0; d < rank(); ++d)
    if (window[d] != 1 || strides[d] != 1 || low[d] != 0 || in[d] != out[d] || inputDilation[d] != 1)
      return false;
  return true;
}

bool Spatial::hasPlainInput() const {
  return llvm::all_of(inputDilation, [](int64_t d) { return d == 1; });
}

BlockArgument Spatial::bufferOf(Value value) { return dyn_cast<BlockArgument>(skipIdleViews(value)); }

Value Spatial::padded(Emitter &e, unsigned d, Value pixel, Value tap) const {
  Value position = e.add(e.mul(pixel, e.i64(strides[d])), e.mul(tap, e.i64(dilations[d])));
  return e.sub(position, e.i64(low[d]));
}

Value Spatial::isElement(Emitter &e, unsigned d, Value padded) const {
  if (!hasPadding)
    return {};
  // Unsigned: what is below 0 is far beyond the end.
  Value size = e.size(normalize(in[d] * inputDilation[d]));
  Value inside = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::ult, padded, size);
  if (inputDilation[d] == 1)
    return inside;
  Value rest = arith::RemUIOp::create(e.b, e.loc, padded, e.i64(inputDilation[d]));
  Value isWhole = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::eq, rest, e.i64(0));
  return arith::AndIOp::create(e.b, e.loc, inside, isWhole);
}

static Value both(Emitter &e, Value a, Value b) {
  if (!a || !b)
    return a ? a : b;
  return arith::AndIOp::create(e.b, e.loc, a, b);
}

void Spatial::forEachTap(Emitter &e, ArrayRef<Value> pixel, Tap body) const {
  std::function<void(unsigned, Value, Value, Value)> nest = [&](unsigned d, Value tap, Value position, Value inside) {
    if (d == rank())
      return body(tap, position, inside);
    e.loop(e.i64(0), e.i64(window[d]), e.i64(1), [&](Value w) {
      Value at = padded(e, d, pixel[d + 1], w);
      Value isHere = both(e, inside, isElement(e, d, at));
      if (inputDilation[d] != 1)
        at = e.divFloor(at, e.i64(inputDilation[d]));
      nest(d + 1, e.add(e.mul(tap, e.i64(window[d])), w), e.add(e.mul(position, e.size(in[d])), at), isHere);
    });
  };
  nest(0, e.i64(0), pixel[0], {});
}

void Spatial::forEachRun(Emitter &e, ArrayRef<Value> pixel, Run body) const {
  unsigned last = rank() - 1;
  // The cut of a run depends on the last dimension only.
  Value size = e.size(in[last]), first = padded(e, last, pixel[last + 1], e.i64(0));
  Value taps = e.i64(window[last]), zero = e.i64(0), lowTap = zero, highTap = taps, whole;
  if (hasPadding) {
    lowTap = e.min(e.max(e.sub(zero, first), zero), taps);
    highTap = e.max(e.min(e.sub(size, first), taps), lowTap);
    whole = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::eq, e.sub(highTap, lowTap), taps);
  }
  std::function<void(unsigned, Value, Value, Value)> nest = [&](unsigned d, Value tap, Value position, Value inside) {
    if (d == last) {
      Value high = inside ? e.select(inside, highTap, lowTap) : highTap;
      return body(e.mul(tap, taps), e.add(e.mul(position, size), e.add(first, lowTap)), both(e, inside, whole), lowTap,
                  high);
    }
    e.loop(zero, e.i64(window[d]), e.i64(1), [&](Value w) {
      Value at = padded(e, d, pixel[d + 1], w);
      nest(d + 1, e.add(e.mul(tap, e.i64(window[d])), w), e.add(e.mul(position, e.size(in[d])), at),
           both(e, inside, isElement(e, d, at)));
    });
  };
  nest(0, zero, pixel[0], {});
}
