//===- Depthwise.cpp - convolutions with one filter for each channel ------===//
// Nothing is summed over channels: lanes run along them, and a few pixels of a row go together so that they share the
// filter's vectors and what they read of the input. Bound by memory, so the input is read in place: rows outside the
// image, and the taps of pixels at its sides, are read from zeros.
#include "Kernels.h"
#include "tenon/Target/CPU/LayoutChoice.h"
#include "MicroKernel.h"
#include "Spatial.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::cpu;
using namespace tenon::graph;

/// Elements of the result that a tile of the grid should hold.
static constexpr int64_t kTileElements = 32768;
/// Pixels that go together, best first: one that divides the row, else the last. With their inputs and a weight they
/// fill 16 registers, and they are enough sums to hide the latency of an addition.
static constexpr int64_t kPixels[] = {7, 8, 6, 5, 4, 6};
/// Up to so many taps are written out; more are looped over.
static constexpr int64_t kUnrolledTaps = 25;

namespace {
class DepthwiseKernel {
public:
  DepthwiseKernel(Emitter &e, ConvOp root) : e(e), root(root), context(root.getContext()), spatial(root) {}
  LogicalResult emit();

private:
  void packFilter();
  LogicalResult emitRow(ArrayRef<Value> row, Value begin, Value end);
  void fillSlots(ArrayRef<Value> row, Value x, int64_t reach);
  LogicalResult emitPixels(ArrayRef<Value> row, Value x, int64_t count, bool isInside, Value limit);
  LogicalResult store(ArrayRef<Value> row, Value x, Value channel, Value mask, Value limit, ValueRange sums);
  LogicalResult eachChannels(function_ref<LogicalResult(Value channel, Value mask)> body);
  Value multiplyAdd(Value x, Value w, Value sum);
  Value load(Value pointer, Type element, Value index, Value mask);

  Emitter &e;
  ConvOp root;
  MLIRContext *context;
  Spatial spatial;
  Value input, filter, zeroRow, slots;
  Type elementA, elementB, accumulator;
  int64_t channels, taps, sideTaps, pixels;
  unsigned last; ///< the spatial dimension whose pixels go together
};
} // namespace

Value DepthwiseKernel::load(Value pointer, Type element, Value index, Value mask) {
  return toAccumulator(e, e.loadVector(pointer, element, index, e.vl, mask), accumulator);
}

Value DepthwiseKernel::multiplyAdd(Value x, Value w, Value sum) {
  if (isa<FloatType>(accumulator))
    return e.fma(x, w, sum);
  return arith::AddIOp::create(e.b, e.loc, sum, arith::MulIOp::create(e.b, e.loc, x, w));
}

/// [window…, C] in scratch, for a filter without layout.
void DepthwiseKernel::packFilter() {
  std::function<void(SmallVector<Value>, Value)> nest = [&](SmallVector<Value> position, Value tap) {
    if (position.size() < spatial.rank()) {
      int64_t size = spatial.window[position.size()];
      e.loop(e.i64(0), e.i64(size), e.i64(1), [&](Value w) {
        SmallVector<Value> next(position);
        next.push_back(w);
        nest(next, e.add(e.mul(tap, e.i64(size)), w));
      });
      return;
    }
    e.loop(e.i64(0), e.i64(channels), e.i64(1), [&](Value c) {
      Evaluator ev(e, 1);
      Point point{ev.bind(c, getAffineConstantExpr(channels, context)), getAffineConstantExpr(0, context)};
      for (auto [w, size] : llvm::zip(position, spatial.window))
        point.push_back(ev.bind(w, getAffineConstantExpr(size, context)));
      if (Value value = ev.at(root.getFilter(), point))
        e.storeScalar(filter, elementB, e.add(e.mul(tap, e.i64(channels)), c), value);
    });
  };
  nest({}, e.i64(0));
}

/// Vectors of channels; the last one under a mask when it is not full.
LogicalResult DepthwiseKernel::eachChannels(function_ref<LogicalResult(Value channel, Value mask)> body) {
  LogicalResult status = success();
  int64_t whole = channels / e.vl * e.vl;
  e.loop(e.i64(0), e.i64(whole), e.i64(e.vl), [&](Value c) { status = body(c, {}); });
  if (whole == channels || failed(status))
    return status;
  SmallVector<bool> lanes;
  for (int64_t i = 0; i < e.vl; ++i)
    lanes.push_back(whole + i < channels);
  return body(e.i64(whole), e.constant(DenseElementsAttr::get(e.vectorOf(e.b.getI1Type(), e.vl), ArrayRef(lanes))));
}

LogicalResult DepthwiseKernel::store(ArrayRef<Value> row, Value x, Value channel, Value mask, Value limit,
                                     ValueRange sums) {
  Evaluator ev(e, e.vl);
  SmallVector<AffineExpr> outer{getDim(root.getType(), 0)};
  outer.append(spatial.out.begin(), spatial.out.end() - 1);
  Point point = bindPoint(ev, row, outer);
  AffineExpr lane = ev.bind(channel, getAffineConstantExpr(channels, context), e.vl, /*isLane=*/true);
  SmallVector<EpilogueElement> elements;
  for (auto [i, sum] : llvm::enumerate(sums)) {
    Point at(point);
    Value index = e.add(x, e.i64(i)), isIn;
    if (limit && i > 0) { // the first pixel stands in for those that are missing, so that nothing else is read
      isIn = e.less(index, limit);
      index = e.select(isIn, index, x);
    }
    at.push_back(asConstant(spatial.out[last]) == 1 ? getAffineConstantExpr(0, context)
                                                    : ev.bind(index, spatial.out[last]));
    at.push_back(lane);
    elements.push_back({at, fromAccumulator(e, sum, getElementTypeOrSelf(root.getType())), mask, isIn});
  }
  return emitEpilogue(ev, root.getResult(), elements);
}

/// slots[outer tap][j]: where the channels of the element `j` to the right of the group's first one are, or zeros.
void DepthwiseKernel::fillSlots(ArrayRef<Value> row, Value x, int64_t reach) {
  Value first = spatial.padded(e, last, x, e.i64(0)), width = e.size(spatial.in[last]);
  std::function<void(unsigned, Value, Value, Value)> nest = [&](unsigned d, Value tap, Value position, Value inside) {
    if (d == last) {
      Value slot = e.offsetPointer(slots, e.b.getI64Type(), e.mul(tap, e.i64(reach + 1)));
      e.loop(e.i64(0), e.i64(reach + 1), e.i64(1), [&](Value j) {
        Value at = e.add(first, j);
        Value isHere = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::ult, at, width);
        if (inside)
          isHere = arith::AndIOp::create(e.b, e.loc, inside, isHere);
        Value pointer = e.offsetPointer(input, elementA, e.mul(e.add(e.mul(position, width), at), e.i64(channels)));
        e.storePointer(slot, j, e.select(isHere, pointer, zeroRow));
      });
      return;
    }
    e.loop(e.i64(0), e.i64(spatial.window[d]), e.i64(1), [&](Value w) {
      Value at = spatial.padded(e, d, row[d + 1], w), isHere = spatial.isElement(e, d, at);
      if (inside && isHere)
        isHere = arith::AndIOp::create(e.b, e.loc, inside, isHere);
      nest(d + 1, e.add(e.mul(tap, e.i64(spatial.window[d])), w), e.add(e.mul(position, e.size(spatial.in[d])), at),
           isHere ? isHere : inside);
    });
  };
  nest(0, e.i64(0), row[0], {});
}

/// `count` pixels from `x` on. Inside, all their taps are elements of the input; else each is looked up. Pixels from
/// `limit` on, if given, are not stored.
LogicalResult DepthwiseKernel::emitPixels(ArrayRef<Value> row, Value x, int64_t count, bool isInside, Value limit) {
  int64_t stride = spatial.strides[last], dilation = spatial.dilations[last];
  int64_t reach = (count - 1) * stride + (sideTaps - 1) * dilation;
  Value base, width = e.size(spatial.in[last]);
  if (isInside) {
    Value position = row[0];
    for (unsigned d = 0; d < last; ++d)
      position = e.add(e.mul(position, e.size(spatial.in[d])), spatial.padded(e, d, row[d + 1], e.i64(0)));
    position = e.add(e.mul(position, width), spatial.padded(e, last, x, e.i64(0)));
    base = e.offsetPointer(input, elementA, e.mul(position, e.i64(channels)));
  } else {
    fillSlots(row, x, reach);
  }
  return eachChannels([&](Value channel, Value mask) {
    // One row of taps along the last dimension. Pixels share what they read: elements by their place in the row.
    auto rowOfTaps = [&](Value tap, Value position, SmallVector<Value> sums) {
      Value start = isInside ? e.offsetPointer(base, elementA, e.mul(e.mul(position, width), e.i64(channels)))
                             : e.offsetPointer(slots, e.b.getI64Type(), e.mul(tap, e.i64(reach + 1)));
      std::map<int64_t, Value> elements;
      for (int64_t w = 0; w < sideTaps; ++w) {
        Value index = e.add(e.mul(e.add(e.mul(tap, e.i64(sideTaps)), e.i64(w)), e.i64(channels)), channel);
        Value weight = load(filter, elementB, index, mask);
        for (int64_t i = 0; i < count; ++i) {
          int64_t at = i * stride + w * dilation;
          Value &element = elements[at];
          if (!element)
            element = isInside ? load(start, elementA, e.add(channel, e.i64(at * channels)), mask)
                               : load(e.loadPointer(start, e.i64(at)), elementA, channel, mask);
          sums[i] = multiplyAdd(element, weight, sums[i]);
        }
      }
      return sums;
    };
    std::function<SmallVector<Value>(unsigned, Value, Value, SmallVector<Value>)> nest =
        [&](unsigned d, Value tap, Value position, SmallVector<Value> sums) -> SmallVector<Value> {
      if (d == last)
        return rowOfTaps(tap, position, sums);
      auto one = [&](Value w, SmallVector<Value> sums) {
        return nest(d + 1, e.add(e.mul(tap, e.i64(spatial.window[d])), w),
                    e.add(e.mul(position, e.size(spatial.in[d])), e.mul(w, e.i64(spatial.dilations[d]))), sums);
      };
      if (taps > kUnrolledTaps)
        return e.loop(e.i64(0), e.i64(spatial.window[d]), e.i64(1), sums,
                      [&](Value w, ValueRange carried) { return one(w, SmallVector<Value>(carried)); });
      for (int64_t w = 0; w < spatial.window[d]; ++w)
        sums = one(e.i64(w), sums);
      return sums;
    };
    SmallVector<Value> sums(count, e.zeros(e.vectorOf(accumulator, e.vl)));
    return store(row, x, channel, mask, limit, nest(0, e.i64(0), e.i64(0), sums));
  });
}

/// Pixels [begin, end) of a row, group by group; `begin` is a multiple of the group.
LogicalResult DepthwiseKernel::emitRow(ArrayRef<Value> row, Value begin, Value end) {
  LogicalResult status = success();
  Value group = e.i64(pixels), zero = e.i64(0);
  Value wholeEnd = e.add(begin, e.mul(e.divFloor(e.sub(end, begin), group), group));
  auto groups = [&](Value from, Value to, bool isInside) {
    e.loop(from, to, group, [&](Value x) {
      if (succeeded(status))
        status = emitPixels(row, x, pixels, isInside, {});
    });
  };
  if (!spatial.hasPadding) {
    groups(begin, wholeEnd, true);
  } else {
    // Pixels low <= x < high have all taps inside along the last dimension; groups of them, when the row has too.
    int64_t stride = spatial.strides[last], pad = spatial.low[last], reach = (sideTaps - 1) * spatial.dilations[last];
    Value low = e.i64(llvm::alignTo(std::max<int64_t>(0, (pad + stride - 1) / stride), pixels));
    // x * stride - pad + reach < size
    Value room = e.max(e.add(e.size(spatial.in[last]), e.i64(pad - reach + stride - 1)), zero);
    Value high = e.mul(e.divFloor(e.divFloor(room, e.i64(stride)), group), group);
    for (unsigned d = 0; d < last; ++d) {
      Value first = spatial.padded(e, d, row[d + 1], zero);
      Value end = e.add(first, e.i64((spatial.window[d] - 1) * spatial.dilations[d]));
      Value isOut =
          arith::OrIOp::create(e.b, e.loc, e.less(first, zero), e.less(e.sub(e.size(spatial.in[d]), e.i64(1)), end));
      high = e.select(isOut, zero, high);
    }
    low = e.min(e.max(low, begin), wholeEnd);
    high = e.max(e.min(high, wholeEnd), low);
    // One loop for both sides: it jumps over the middle.
    Value side = e.sub(wholeEnd, e.sub(high, low));
    groups(low, high, true);
    e.loop(begin, side, group, [&](Value x) {
      x = e.select(e.less(x, low), x, e.add(x, e.sub(high, low)));
      if (succeeded(status))
        status = emitPixels(row, x, pixels, false, {});
    });
  }
  std::optional<int64_t> fixed = asConstant(spatial.out[last]);
  if (failed(status) || (fixed && *fixed % pixels == 0))
    return status;
  e.ifThen(e.less(wholeEnd, end), [&] {
    // What is left at the end of the row.
    bool isKnown = fixed.has_value();
    status = emitPixels(row, wholeEnd, isKnown ? *fixed % pixels : pixels, isKnown && !spatial.hasPadding,
                        isKnown ? Value() : end);
  });
  return status;
}

LogicalResult DepthwiseKernel::emit() {
  if (failed(spatial.check(root)))
    return failure();
  BlockArgument leaf = spatial.bufferOf(root.getInput());
  if (!leaf)
    return root.emitOpError("has an input that is computed inside the kernel");
  input = e.inputPointer(leaf.getArgNumber());
  last = spatial.rank() - 1;
  channels = root.getGroups();
  taps = spatial.taps();
  sideTaps = spatial.window[last];
  std::optional<int64_t> fixedWidth = asConstant(spatial.out[last]);
  pixels = *llvm::find_if(
      kPixels, [&](const int64_t &p) { return &p == std::end(kPixels) - 1 || (fixedWidth && *fixedWidth % p == 0); });
  if (fixedWidth && *fixedWidth > 0)
    pixels = std::min(pixels, *fixedWidth);
  elementA = getElementTypeOrSelf(root.getInput().getType());
  elementB = getElementTypeOrSelf(root.getFilter().getType());
  accumulator = accumulatorFor(getElementTypeOrSelf(root.getType()));

  int64_t scratchBytes = 0;
  auto take = [&](int64_t bytes) {
    Value pointer = e.offsetPointer(e.scratch, e.b.getI8Type(), e.i64(scratchBytes));
    scratchBytes += llvm::alignTo(bytes + 64, 64);
    return pointer;
  };
  zeroRow = take((channels + e.vl) * storageBytes(elementA));
  int64_t reach = (pixels - 1) * spatial.strides[last] + (sideTaps - 1) * spatial.dilations[last];
  slots = take(taps / sideTaps * (reach + 1) * 8);
  kernel::LayoutAttr layout;
  if (auto argument = dyn_cast<BlockArgument>(root.getFilter())) {
    layout = e.kernel.getLayout(argument.getArgNumber());
    if (layout && layout != chooseFilterLayout(root))
      return root.emitOpError() << "needs its filter as " << chooseFilterLayout(root) << " but has it as " << layout;
    filter = e.inputPointer(argument.getArgNumber());
  }
  if (!layout)
    filter = take((taps * channels + e.vl) * storageBytes(elementB));

  // A tile: some rows of the result, or a part of a long one.
  SmallVector<AffineExpr> rowSizes{getDim(root.getType(), 0)};
  rowSizes.append(spatial.out.begin(), spatial.out.end() - 1);
  AffineExpr rows = product(rowSizes, context), width = spatial.out[last];
  int64_t part = llvm::alignTo(std::max<int64_t>(kTileElements / channels, 2 * pixels), pixels);
  int64_t typical = std::min(part, std::max<int64_t>(1, asConstant(width).value_or(part)));
  int64_t rowBlock = asConstant(width) ? std::max<int64_t>(1, kTileElements / (typical * channels)) : 1;
  AffineExpr parts = normalize(width.ceilDiv(part));
  setSchedule(e, normalize(rows.ceilDiv(rowBlock)) * parts, getAffineConstantExpr(scratchBytes, context),
              rows * width * (2 * taps * channels));

  Value zero = e.zeros(e.vectorOf(elementA, e.vl));
  e.loop(e.i64(0), e.i64(channels), e.i64(e.vl), [&](Value i) { e.storeVector(zeroRow, elementA, i, zero); });
  if (!layout)
    packFilter();
  LogicalResult status = success();
  Value rowCount = e.size(rows), across = e.size(parts), rowEnd = e.size(width);
  e.loop(e.tileBegin, e.tileEnd, e.i64(1), [&](Value tile) {
    Value begin = e.mul(e.divFloor(tile, across), e.i64(rowBlock)), from = e.mul(e.rem(tile, across), e.i64(part));
    Value end = e.min(e.add(begin, e.i64(rowBlock)), rowCount), to = e.min(e.add(from, e.i64(part)), rowEnd);
    e.loop(begin, end, e.i64(1), [&](Value row) { status = emitRow(delinearize(e, row, rowSizes), from, to); });
  });
  return status;
}

LogicalResult tenon::cpu::emitDepthwise(Emitter &e, ConvOp root) { return DepthwiseKernel(e, root).emit(); }
