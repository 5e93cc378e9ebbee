//===- Depthwise.cpp - convolutions with one filter for each channel ------===//
// Nothing is summed over channels: lanes run along them, and a few pixels of a row go together so that they share the
// filter's vectors and what they read of the input. Bound by memory, so the input is read in place: rows outside the
// image, and the taps of pixels at its sides, are read from zeros.
#include "Epilogue.h"
#include "Kernels.h"
#include "LayoutChoice.h"
#include "MicroKernel.h"
#include "Spatial.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::cpu;
using namespace tenon::graph;

/// Elements of the result that a tile of the grid should hold.
static constexpr int64_t kTileElements = 32768;
/// Pixels that go together.
static constexpr int64_t kPixels = 4;
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
  LogicalResult emitPixels(ArrayRef<Value> row, Value x, int64_t count);
  LogicalResult emitSidePixel(ArrayRef<Value> row, Value x);
  LogicalResult store(ArrayRef<Value> row, Value x, Value channel, Value mask, ValueRange sums);
  LogicalResult eachChannels(function_ref<LogicalResult(Value channel, Value mask)> body);
  Value multiplyAdd(Value x, Value w, Value sum);
  Value load(Value pointer, Type element, Value index, Value mask);

  Emitter &e;
  ConvOp root;
  MLIRContext *context;
  Spatial spatial;
  Value input, filter, zeroRow, slots;
  Type elementA, elementB, accumulator;
  int64_t channels, taps, outerTaps, sideTaps, last;
  SmallVector<Value> outerIn; ///< sizes of the input's batch and spatial dimensions but the last
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

LogicalResult DepthwiseKernel::store(ArrayRef<Value> row, Value x, Value channel, Value mask, ValueRange sums) {
  Evaluator ev(e, e.vl);
  SmallVector<AffineExpr> outer{getDim(root.getType(), 0)};
  outer.append(spatial.out.begin(), spatial.out.end() - 1);
  Point point = bindPoint(ev, row, outer);
  AffineExpr lane = ev.bind(channel, getAffineConstantExpr(channels, context), e.vl, /*isLane=*/true);
  SmallVector<EpilogueElement> elements;
  for (auto [i, sum] : llvm::enumerate(sums)) {
    Point at(point);
    at.push_back(asConstant(spatial.out[last]) == 1 ? getAffineConstantExpr(0, context)
                                                    : ev.bind(e.add(x, e.i64(i)), spatial.out[last]));
    at.push_back(lane);
    elements.push_back({at, fromAccumulator(e, sum, getElementTypeOrSelf(root.getType())), mask, {}});
  }
  return emitEpilogue(ev, root.getResult(), elements);
}

/// `count` pixels from `x` on, all of whose taps are inside along the last dimension.
LogicalResult DepthwiseKernel::emitPixels(ArrayRef<Value> row, Value x, int64_t count) {
  int64_t step = spatial.strides[last] * channels, tapStep = spatial.dilations[last] * channels;
  // Where each row of taps begins: row of the image, or zeros.
  Value first = spatial.padded(e, last, x, e.i64(0)), width = e.size(spatial.in[last]);
  SmallVector<Value> starts;
  bool isUnrolled = taps <= kUnrolledTaps;
  std::function<void(unsigned, Value, Value, Value)> nest = [&](unsigned d, Value tap, Value position, Value inside) {
    if (d == last) {
      Value pointer = e.offsetPointer(input, elementA, e.mul(e.add(e.mul(position, width), first), e.i64(channels)));
      if (inside)
        pointer = e.select(inside, pointer, zeroRow);
      if (isUnrolled)
        starts.push_back(pointer);
      else
        e.storePointer(slots, tap, pointer);
      return;
    }
    auto one = [&](Value w) {
      Value at = spatial.padded(e, d, row[d + 1], w);
      Value isHere = spatial.isElement(e, d, at);
      if (inside && isHere)
        isHere = arith::AndIOp::create(e.b, e.loc, inside, isHere);
      nest(d + 1, e.add(e.mul(tap, e.i64(spatial.window[d])), w), e.add(e.mul(position, e.size(spatial.in[d])), at),
           isHere ? isHere : inside);
    };
    if (!isUnrolled)
      return e.loop(e.i64(0), e.i64(spatial.window[d]), e.i64(1), one);
    for (int64_t w = 0; w < spatial.window[d]; ++w)
      one(e.i64(w));
  };
  nest(0, e.i64(0), row[0], {});

  return eachChannels([&](Value channel, Value mask) {
    SmallVector<Value> sums(count, e.zeros(e.vectorOf(accumulator, e.vl)));
    auto rowOfTaps = [&](Value start, Value tap, SmallVector<Value> sums) {
      // Pixels share what they read: elements by their distance from the row's start.
      std::map<int64_t, Value> elements;
      for (int64_t w = 0; w < sideTaps; ++w) {
        Value index = e.add(e.mul(e.add(tap, e.i64(w)), e.i64(channels)), channel);
        Value weight = load(filter, elementB, index, mask);
        for (int64_t i = 0; i < count; ++i) {
          Value &element = elements[i * step + w * tapStep];
          if (!element)
            element = load(start, elementA, e.add(channel, e.i64(i * step + w * tapStep)), mask);
          sums[i] = multiplyAdd(element, weight, sums[i]);
        }
      }
      return sums;
    };
    if (isUnrolled) {
      for (auto [i, start] : llvm::enumerate(starts))
        sums = rowOfTaps(start, e.i64(i * sideTaps), sums);
    } else {
      sums = e.loop(e.i64(0), e.i64(outerTaps), e.i64(1), sums, [&](Value t, ValueRange carried) {
        return rowOfTaps(e.loadPointer(slots, t), e.mul(t, e.i64(sideTaps)), SmallVector<Value>(carried));
      });
    }
    return store(row, x, channel, mask, sums);
  });
}

/// One pixel, any of whose taps may be outside.
LogicalResult DepthwiseKernel::emitSidePixel(ArrayRef<Value> row, Value x) {
  SmallVector<Value> pixel(row);
  pixel.push_back(x);
  spatial.forEachTap(e, pixel, [&](Value tap, Value position, Value isInside) {
    Value pointer = e.offsetPointer(input, elementA, e.mul(position, e.i64(channels)));
    e.storePointer(slots, tap, isInside ? e.select(isInside, pointer, zeroRow) : pointer);
  });
  SmallVector<Value> pointers;
  if (taps <= 9)
    for (int64_t t = 0; t < taps; ++t)
      pointers.push_back(e.loadPointer(slots, e.i64(t)));
  return eachChannels([&](Value channel, Value mask) {
    SmallVector<Value> sum{e.zeros(e.vectorOf(accumulator, e.vl))};
    auto one = [&](Value pointer, Value tap, Value sum) {
      Value weight = load(filter, elementB, e.add(e.mul(tap, e.i64(channels)), channel), mask);
      return multiplyAdd(load(pointer, elementA, channel, mask), weight, sum);
    };
    for (auto [t, pointer] : llvm::enumerate(pointers))
      sum[0] = one(pointer, e.i64(t), sum[0]);
    if (pointers.empty())
      sum = e.loop(e.i64(0), e.i64(taps), e.i64(1), sum, [&](Value tap, ValueRange carried) {
        return SmallVector<Value>{one(e.loadPointer(slots, tap), tap, carried[0])};
      });
    return store(row, x, channel, mask, sum);
  });
}

/// Pixels [begin, end) of a row: sides one by one, what is between them in groups.
LogicalResult DepthwiseKernel::emitRow(ArrayRef<Value> row, Value begin, Value end) {
  // Pixels low <= x < high have all taps inside.
  int64_t stride = spatial.strides[last], pad = spatial.low[last], reach = (sideTaps - 1) * spatial.dilations[last];
  Value low = e.i64(std::max<int64_t>(0, (pad + stride - 1) / stride));
  // x * stride - pad + reach < size; numerator raised so that it is not negative.
  Value room = e.max(e.add(e.size(spatial.in[last]), e.i64(pad - reach + stride - 1)), e.i64(0));
  Value high = e.divFloor(room, e.i64(stride));
  low = e.min(e.max(low, begin), end);
  high = e.max(e.min(high, end), low);
  LogicalResult status = success();
  auto side = [&](Value from, Value to) {
    e.loop(from, to, e.i64(1), [&](Value x) {
      if (succeeded(status))
        status = emitSidePixel(row, x);
    });
  };
  Value group = e.i64(kPixels);
  Value wholeEnd = e.add(low, e.mul(e.divFloor(e.sub(high, low), group), group));
  side(begin, low);
  e.loop(low, wholeEnd, group, [&](Value x) {
    if (succeeded(status))
      status = emitPixels(row, x, kPixels);
  });
  // What is left of the middle goes like a side.
  side(wholeEnd, end);
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
  outerTaps = taps / std::max<int64_t>(1, sideTaps);
  elementA = getElementTypeOrSelf(root.getInput().getType());
  elementB = getElementTypeOrSelf(root.getFilter().getType());
  accumulator = accumulatorFor(getElementTypeOrSelf(root.getType()));

  int64_t scratchBytes = 0;
  auto take = [&](int64_t bytes) {
    Value pointer = e.offsetPointer(e.scratch, e.b.getI8Type(), e.i64(scratchBytes));
    scratchBytes += llvm::alignTo(bytes + 64, 64);
    return pointer;
  };
  // Zeros as far as a group of pixels reads.
  int64_t reach = (kPixels - 1) * spatial.strides[last] + (sideTaps - 1) * spatial.dilations[last] + 1;
  zeroRow = take((reach * channels + e.vl) * storageBytes(elementA));
  slots = take(taps * 8);
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
  int64_t part = llvm::alignTo(std::max<int64_t>(kTileElements / std::max<int64_t>(channels, 1), 2 * kPixels), kPixels);
  int64_t typical = std::min(part, std::max<int64_t>(1, asConstant(width).value_or(part)));
  int64_t rowBlock = asConstant(width) ? std::max<int64_t>(1, kTileElements / (typical * channels)) : 1;
  AffineExpr parts = normalize(width.ceilDiv(part));
  setSchedule(e, normalize(rows.ceilDiv(rowBlock)) * parts, getAffineConstantExpr(scratchBytes, context),
              rows * width * (2 * taps * channels));

  Value zero = e.zeros(e.vectorOf(elementA, e.vl));
  e.loop(e.i64(0), e.i64(reach * channels), e.i64(e.vl), [&](Value i) { e.storeVector(zeroRow, elementA, i, zero); });
  if (!layout)
    packFilter();
  LogicalResult status = success();
  Value rowCount = e.size(rows), across = e.size(parts), pixels = e.size(width);
  e.loop(e.tileBegin, e.tileEnd, e.i64(1), [&](Value tile) {
    Value begin = e.mul(e.divFloor(tile, across), e.i64(rowBlock)), from = e.mul(e.rem(tile, across), e.i64(part));
    Value end = e.min(e.add(begin, e.i64(rowBlock)), rowCount), to = e.min(e.add(from, e.i64(part)), pixels);
    e.loop(begin, end, e.i64(1), [&](Value row) { status = emitRow(delinearize(e, row, rowSizes), from, to); });
  });
  return status;
}

LogicalResult tenon::cpu::emitDepthwise(Emitter &e, ConvOp root) { return DepthwiseKernel(e, root).emit(); }
