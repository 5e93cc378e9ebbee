// Pools over windows: maxima with their positions, means, norms; what puts maxima back where they were.
#include "Convolution.h"

using namespace mlir;
using tenon::graph::Dims;
using tenon::graph::ReduceKind;

namespace tenon::onnx_import {

namespace {
/// Windows over dimensions 2, 3, … of an input.
struct Windows : PoolWindows {
  SmallVector<int64_t> high; ///< padding behind the last element
  bool isCeil = false;
};
} // namespace

static std::optional<Windows> readWindows(Op &op, Tensor x) {
  int64_t spatial = x.rank() - 2;
  if (spatial < 1)
    return (void)op.error("has an input of rank " + Twine(x.rank())), std::nullopt;
  Windows w;
  w.size = op.integersOf("kernel_shape", spatial, 0);
  w.strides = op.integersOf("strides", spatial, 1);
  w.dilations = op.integersOf("dilations", spatial, 1);
  w.isCeil = op.integer("ceil_mode", 0) != 0;
  auto isPositive = [](int64_t v) { return v > 0; };
  if (op.isBad())
    return std::nullopt;
  if (!llvm::all_of(w.size, isPositive) || !llvm::all_of(w.strides, isPositive) || !llvm::all_of(w.dilations, isPositive))
    return (void)op.error("has a window, stride or dilation that is not positive"), std::nullopt;
  std::optional<Padding> padding = readPadding(op, x, w.size, w.strides, w.dilations);
  if (!padding)
    return std::nullopt;
  w.low = padding->low;
  w.high = padding->high;
  std::optional<Dims> declared = op.declaredDims();
  for (int64_t i = 0; i < spatial; ++i) {
    int64_t low = w.low[i], high = w.high[i];
    if (low < 0 || high < 0)
      return (void)op.unsupported("with negative padding"), std::nullopt;
    AffineExpr in = x.dim(i + 2), span = in + (low + high - w.reach(i));
    AffineExpr out = graph::normalize((w.isCeil ? span.ceilDiv(w.strides[i]) : span.floorDiv(w.strides[i])) + 1);
    // The last window begins inside the input or the padding before it.
    std::optional<int64_t> n = graph::asConstant(in), count = graph::asConstant(out);
    if (!n && high > w.reach(i))
      return (void)op.unsupported("with padding that is wider than the window over a symbolic size"), std::nullopt;
    if (w.isCeil && w.strides[i] > 1 && n && count && (*count - 1) * w.strides[i] >= *n + low)
      out = op.constant(*count - 1);
    if (w.isCeil && w.strides[i] > 1 && !n && high > 0) {
      bool isDeclared = declared && declared->size() == static_cast<size_t>(x.rank()) && (*declared)[i + 2];
      if (!isDeclared)
        return (void)op.unsupported("with ceil_mode, padding and a stride over a symbolic size"), std::nullopt;
      out = (*declared)[i + 2];
    }
    w.results.push_back(out);
  }
  return w;
}

static Tensor pool(Op &op, ReduceKind kind, Tensor x, const Windows &w) {
  return toChannelsFirst(op, reduceWindows(op, kind, toChannelsLast(op, x), w));
}

//===----------------------------------------------------------------------===//
// Maxima
//===----------------------------------------------------------------------===//

/// Where the maximum of each window lies in the whole input. Inside the planes positions count along the rows, or along
/// the columns.
static Tensor maxPositions(Op &op, Tensor x, const Windows &w, bool countsColumns) {
  return op.unary(largestTaps(op, x, w), [&](Scalars &s, Value tap) {
    Value flat = s.add(s.mul(op.index(s, 0), op.sizeValue(s, x.dim(1))), op.index(s, 1)), plane = s.integer(0);
    int64_t spatial = w.size.size();
    for (int64_t k = 0; k < spatial; ++k) {
      int64_t i = countsColumns ? spatial - 1 - k : k;
      Value size = op.sizeValue(s, x.dim(i + 2));
      plane = s.add(s.mul(plane, size), tapPosition(op, s, w, i, tap));
      flat = s.mul(flat, size);
    }
    return s.add(flat, plane);
  });
}

static LogicalResult convertMaxPool(Op &op) {
  Tensor x = op.tensor(0);
  std::optional<Windows> w = x ? readWindows(op, x) : std::nullopt;
  if (!w)
    return failure();
  ScalarType type = x.dtype;
  if (isUnsigned(type)) // windows compare signed numbers
    x = op.convert(x, bytesOf(type) < 4 ? ScalarType::Int : ScalarType::Long);
  Tensor y = op.convert(pool(op, ReduceKind::Max, x, *w), type);
  Tensor at = op.isUsed(1) ? maxPositions(op, x, *w, op.integer("storage_order", 0) != 0) : Tensor();
  return op.finish({y, at});
}

/// The inverse of a MaxPool: zeros where it had no maximum.
static LogicalResult convertMaxUnpool(Op &op) {
  Tensor x = op.tensor(0), at = op.tensor(1);
  if (op.isBad())
    return failure();
  int64_t spatial = x.rank() - 2;
  SmallVector<int64_t> window = op.integersOf("kernel_shape", spatial, 0), strides = op.integersOf("strides", spatial, 1),
                       pads = op.integersOf("pads", 2 * spatial, 0);
  if (op.isBad())
    return failure();
  Dims dims{x.dim(0), x.dim(1)};
  for (int64_t i = 0; i < spatial; ++i)
    dims.push_back(graph::normalize((x.dim(i + 2) - 1) * strides[i] - pads[i] - pads[spatial + i] + window[i]));
  AffineExpr count = graph::product(dims, op.context());
  Tensor flat = op.scatter(graph::ScatterKind::Set, op.flatten(x, 0, x.rank() - 1), op.full({count}, x.dtype, 0),
                           {op.flatten(at, 0, at.rank() - 1)}, {-1});
  Tensor y = op.reshape(flat, dims);
  if (!op.has(2))
    return op.finish(y);
  std::optional<Dims> want = op.sizes(2);
  if (!want)
    want = op.declaredDimsOr(0, "an input with the shape");
  if (!want || want->size() != dims.size())
    return op.isBad() ? failure() : op.error("has a shape of " + Twine(want->size()) + " numbers");
  for (int64_t d = 0; d < x.rank() && y; ++d) {
    std::optional<int64_t> have = graph::asConstant(dims[d]), wanted = graph::asConstant((*want)[d]);
    if (dims[d] == (*want)[d])
      continue;
    if (!have || !wanted)
      return op.unsupported("with a shape of symbolic sizes");
    Dims low(x.rank(), op.constant(0)), high = low;
    high[d] = op.constant(std::max<int64_t>(*wanted - *have, 0));
    y = op.slice(op.pad(y, low, high, 0), d, op.constant(0), (*want)[d]);
  }
  return op.finish(y);
}

//===----------------------------------------------------------------------===//
// Means and norms
//===----------------------------------------------------------------------===//

/// How many taps of each window along dimension i lie in the input, or in the input with its padding: one number for each
/// result.
static Tensor countTaps(Op &op, Tensor x, const Windows &w, int64_t i, bool countsPadding, ScalarType type) {
  return op.generate(type, ScalarType::Long, {w.results[i]}, [&](Scalars &s, ValueRange) {
    Value begin = s.sub(s.mul(op.index(s, 0), s.integer(w.strides[i])), s.integer(w.low[i]));
    Value low = s.integer(countsPadding ? -w.low[i] : 0);
    Value high = s.add(op.sizeValue(s, x.dim(i + 2)), s.integer(countsPadding ? w.high[i] : 0));
    // The first tap at or behind a position.
    auto tapAt = [&](Value position) {
      Value d = s.integer(w.dilations[i]);
      Value tap = s.floorDiv(s.add(s.sub(position, begin), s.sub(d, s.integer(1))), d);
      return s.min(s.max(tap, s.integer(0)), s.integer(w.size[i]));
    };
    return s.max(s.sub(tapAt(high), tapAt(low)), s.integer(0));
  });
}

static LogicalResult convertAveragePool(Op &op) {
  Tensor x = op.tensor(0);
  std::optional<Windows> w = x ? readWindows(op, x) : std::nullopt;
  if (!w)
    return failure();
  bool countsPadding = op.integer("count_include_pad", 0) != 0;
  ScalarType type = x.dtype, work = computeType(type);
  Tensor sum = pool(op, ReduceKind::Sum, op.convert(x, work), *w);
  auto isZero = [](int64_t p) { return p == 0; };
  bool hasPadding = !llvm::all_of(w->low, isZero) || !llvm::all_of(w->high, isZero);
  if (!w->isCeil && (countsPadding || !hasPadding))
    return op.finish(op.convert(op.scale(sum, 1.0 / static_cast<double>(w->taps())), type));
  SmallVector<Operand> operands{sum};
  for (int64_t i = 0; i < x.rank() - 2; ++i)
    operands.push_back(Operand(countTaps(op, x, *w, i, countsPadding, work), {i + 2}));
  return op.finish(op.map(type, work, operands, [](Scalars &s, ValueRange v) {
    Value count = v[1];
    for (Value along : v.drop_front(2))
      count = s.mul(count, along);
    return s.div(v[0], count);
  }));
}

/// |x| to the power p, and the p-th root of a sum of such.
static Tensor powers(Op &op, Tensor x, int64_t p) {
  return op.unary(x, [&](Scalars &s, Value v) { return s.power(s.abs(v), static_cast<double>(p)); });
}
static Tensor roots(Op &op, Tensor x, int64_t p) {
  return op.unary(x, [&](Scalars &s, Value v) { return p == 1 ? v : s.power(v, 1.0 / static_cast<double>(p)); });
}

static LogicalResult convertLpPool(Op &op, bool isGlobal) {
  Tensor x = op.tensor(0);
  if (!x)
    return failure();
  int64_t p = op.integer("p", 2);
  if (p < 1 || x.rank() < 3)
    return op.error("has p = " + Twine(p) + " or an input of rank " + Twine(x.rank()));
  ScalarType type = x.dtype;
  Tensor raised = powers(op, op.convert(x, computeType(type)), p), sum;
  if (isGlobal) {
    sum = op.reduceDims(ReduceKind::Sum, raised, llvm::to_vector(llvm::seq<int64_t>(2, x.rank())), true);
  } else {
    std::optional<Windows> w = readWindows(op, x);
    sum = w ? pool(op, ReduceKind::Sum, raised, *w) : Tensor();
  }
  return sum ? op.finish(op.convert(roots(op, sum, p), type)) : failure();
}

static LogicalResult convertGlobalPool(Op &op, bool isMax) {
  Tensor x = op.tensor(0);
  if (!x)
    return failure();
  if (x.rank() < 3)
    return op.error("has an input of rank " + Twine(x.rank()));
  SmallVector<int64_t> dims = llvm::to_vector(llvm::seq<int64_t>(2, x.rank()));
  ScalarType type = x.dtype;
  if (isMax)
    return op.finish(op.reduceDims(ReduceKind::Max, x, dims, true));
  return op.finish(op.convert(op.mean(op.convert(x, computeType(type)), dims, true), type));
}

void populatePooling(ConverterTable &t) {
  t["MaxPool"] = convertMaxPool;
  t["MaxUnpool"] = convertMaxUnpool;
  t["AveragePool"] = convertAveragePool;
  t["LpPool"] = [](Op &op) { return convertLpPool(op, false); };
  t["GlobalLpPool"] = [](Op &op) { return convertLpPool(op, true); };
  t["GlobalAveragePool"] = [](Op &op) { return convertGlobalPool(op, false); };
  t["GlobalMaxPool"] = [](Op &op) { return convertGlobalPool(op, true); };
}

} // namespace tenon::onnx_import
