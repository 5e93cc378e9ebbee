//===- Window.cpp - pooling -----------------------------------------------===//
// One accumulator for each result element (lanes along the innermost dimension where no window slides along it, else
// scalars), combined over the window's positions in order. Positions outside the input are skipped by the loops'
// bounds.
#include "Kernels.h"
#include "MicroKernel.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::cpu;
using namespace tenon::graph;

/// Elements of the result that a tile should hold, and what a symbolic size is taken for.
static constexpr int64_t kTileElements = 8192;
static constexpr int64_t kTypicalSize = 256;
/// Vectors that go together: enough to hide the latency of combining.
static constexpr int64_t kVectors = 8;

namespace {
class WindowKernel {
public:
  WindowKernel(Emitter &e, ReduceWindowOp root) : e(e), root(root), context(root.getContext()) {}
  LogicalResult emit();

private:
  /// One position, never outside the input.
  bool isInside(unsigned d);
  LogicalResult emitElements(ArrayRef<Value> outer, ArrayRef<Value> columns, Value mask);

  Emitter &e;
  ReduceWindowOp root;
  MLIRContext *context;
  Dims in, out;
  int64_t lane = -1; ///< dimension of the lanes; -1: scalars
};
} // namespace

bool WindowKernel::isInside(unsigned d) {
  if (root.getWindow()[d] != 1 || root.getLow()[d] != 0)
    return false;
  std::optional<int64_t> size = asConstant(in[d]), count = asConstant(out[d]);
  int64_t stride = root.getStrides()[d];
  return (stride == 1 && in[d] == out[d]) || (size && count && (*count - 1) * stride < *size);
}

/// Result elements at `outer` (all dimensions but the lanes') and at each of `columns`.
LogicalResult WindowKernel::emitElements(ArrayRef<Value> outer, ArrayRef<Value> columns, Value mask) {
  int64_t lanes = lane < 0 ? 1 : e.vl;
  Type element = getElementTypeOrSelf(root.getType()), accumulate = accumulatorFor(element);
  Value start = e.constant(e.identity(root.getKind(), accumulate));
  if (lane >= 0)
    start = e.splat(start, lanes);
  LogicalResult status = success();
  unsigned rank = out.size();

  std::function<SmallVector<Value>(unsigned, SmallVector<Value>, SmallVector<Value>)> nest =
      [&](unsigned d, SmallVector<Value> position, SmallVector<Value> sums) -> SmallVector<Value> {
    if (static_cast<int64_t>(d) == lane || d == rank) {
      if (failed(status))
        return sums;
      for (auto [column, sum] : llvm::zip(columns, sums)) {
        Evaluator ev(e, lanes);
        ev.mask = mask;
        Dims outerIn(ArrayRef(in).take_front(d));
        Point point = bindPoint(ev, position, outerIn);
        if (lane >= 0)
          point.push_back(ev.bind(column, in[lane], e.vl, /*isLane=*/true));
        Value value = ev.vectorAt(root.getInput(), point);
        if (!value) {
          status = failure();
          return sums;
        }
        sum = e.combine(root.getKind(), sum, toAccumulator(e, value, accumulate));
      }
      return sums;
    }
    int64_t window = root.getWindow()[d], stride = root.getStrides()[d], low = root.getLow()[d],
            dilation = root.getDilations()[d];
    Value first = e.sub(e.mul(outer[d], e.i64(stride)), e.i64(low));
    auto at = [&](Value w, SmallVector<Value> sums) {
      SmallVector<Value> next(position);
      next.push_back(e.add(first, e.mul(w, e.i64(dilation))));
      return nest(d + 1, next, sums);
    };
    if (isInside(d))
      return at(e.i64(0), sums);
    // first + w * dilation >= 0, and < size.
    Value size = e.size(in[d]), zero = e.i64(0), step = e.i64(dilation), more = e.i64(dilation - 1);
    Value begin = e.divFloor(e.add(e.max(e.sub(zero, first), zero), more), step);
    Value end = e.min(e.divFloor(e.add(e.max(e.sub(size, first), zero), more), step), e.i64(window));
    return e.loop(begin, end, e.i64(1), sums,
                  [&](Value w, ValueRange carried) { return at(w, SmallVector<Value>(carried)); });
  };
  SmallVector<Value> sums = nest(0, {}, SmallVector<Value>(columns.size(), start));
  if (failed(status))
    return status;

  Evaluator ev(e, lanes);
  Dims outerOut(ArrayRef(out).take_front(lane < 0 ? rank : lane));
  Point point = bindPoint(ev, outer.take_front(outerOut.size()), outerOut);
  SmallVector<EpilogueElement> elements;
  for (auto [column, sum] : llvm::zip(columns, sums)) {
    Point whole(point);
    if (lane >= 0)
      whole.push_back(ev.bind(column, out[lane], e.vl, /*isLane=*/true));
    elements.push_back({whole, fromAccumulator(e, sum, element), mask, {}});
  }
  return emitEpilogue(ev, root.getResult(), elements);
}

LogicalResult WindowKernel::emit() {
  in = getDims(root.getInput().getType());
  out = getDims(root.getType());
  int64_t rank = out.size(), innermost = rank - 1;
  if (rank && root.getWindow()[innermost] == 1 && root.getStrides()[innermost] == 1 && isInside(innermost) &&
      asConstant(out[innermost]) != 1)
    lane = innermost;
  int64_t positions = 1;
  for (int64_t w : root.getWindow())
    positions *= w;
  Dims outerSizes(ArrayRef(out).take_front(lane < 0 ? rank : lane));
  AffineExpr rows = product(outerSizes, context), width = lane < 0 ? getAffineConstantExpr(1, context) : out[lane];
  int64_t typical = std::max<int64_t>(1, asConstant(width).value_or(kTypicalSize));
  int64_t rowBlock = std::max<int64_t>(1, kTileElements / (typical * std::clamp<int64_t>(positions / 4, 1, 64)));
  setSchedule(e, rows.ceilDiv(rowBlock), getAffineConstantExpr(0, context), rows * width * positions);

  LogicalResult status = success();
  Value rowCount = e.size(rows), columnCount = e.size(width);
  e.loop(e.tileBegin, e.tileEnd, e.i64(1), [&](Value tile) {
    Value begin = e.mul(tile, e.i64(rowBlock)), end = e.min(e.add(begin, e.i64(rowBlock)), rowCount);
    e.loop(begin, end, e.i64(1), [&](Value row) {
      SmallVector<Value> outer = delinearize(e, row, outerSizes);
      if (lane < 0) {
        status = emitElements(outer, e.i64(0), {});
        return;
      }
      std::optional<int64_t> fixed = asConstant(width);
      Value wide = e.i64(kVectors * e.vl), narrow = e.i64(e.vl);
      Value wideEnd = e.mul(e.divFloor(columnCount, wide), wide),
            narrowEnd = e.mul(e.divFloor(columnCount, narrow), narrow);
      e.loop(e.i64(0), wideEnd, wide, [&](Value c) {
        SmallVector<Value> columns;
        for (int64_t v = 0; v < kVectors; ++v)
          columns.push_back(e.add(c, e.i64(v * e.vl)));
        status = emitElements(outer, columns, {});
      });
      if (succeeded(status) && !(fixed && *fixed % (kVectors * e.vl) == 0))
        e.loop(wideEnd, narrowEnd, narrow, [&](Value c) {
          if (succeeded(status))
            status = emitElements(outer, c, {});
        });
      if (succeeded(status) && !(fixed && *fixed % e.vl == 0))
        e.ifThen(e.less(narrowEnd, columnCount),
                 [&] { status = emitElements(outer, narrowEnd, e.tailMask(narrowEnd, columnCount, e.vl)); });
    });
  });
  return status;
}

LogicalResult tenon::cpu::emitWindow(Emitter &e, ReduceWindowOp root) { return WindowKernel(e, root).emit(); }
