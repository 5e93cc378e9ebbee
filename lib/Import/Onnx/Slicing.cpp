// Slice and Split, and what others need to read a part of a tensor.
#include "Slicing.h"

using namespace mlir;
using tenon::graph::Dims;

namespace tenon::onnx_import {

Tensor readAt(Op &op, Tensor x, int64_t dim, AffineExpr size, ArrayRef<Operand> operands,
                     llvm::function_ref<Value(Scalars &, Value, ValueRange)> body) {
  Tensor positions = op.map(
      ScalarType::Long, ScalarType::Long, operands,
      [&](Scalars &s, ValueRange v) { return body(s, op.index(s, 0), v); }, ScalarType::Unknown, Dims{size});
  if (!positions || !x)
    return {};
  Dims dims = x.dims();
  dims[dim] = size;
  SmallVector<int64_t> coords = upTo(x.rank());
  coords[dim] = -1;
  return op.gather(x, {Operand(positions, {dim})}, coords, dims);
}

/// One dimension with known numbers. Null when a symbolic size hides where the slice ends.
static Tensor sliceStatic(Op &op, Tensor x, int64_t dim, AffineExpr begin, AffineExpr end, int64_t step) {
  AffineExpr size = x.dim(dim), zero = op.constant(0);
  auto clamp = [&](AffineExpr value, AffineExpr low, AffineExpr high) -> AffineExpr {
    std::optional<int64_t> number = graph::asConstant(value);
    if (number && *number < 0)
      value = graph::normalize(size + *number);
    if (number && *number > SizeRanges::kMaxSize)
      return high;
    if (number && *number < -SizeRanges::kMaxSize)
      return low;
    std::optional<bool> isLow = op.isLessEqual(value, low);
    if (isLow.value_or(false))
      return low;
    std::optional<bool> isHigh = op.isLessEqual(high, value);
    if (isHigh.value_or(false))
      return high;
    // A start like -1 of a symbolic size: not below 0 unless the tensor is empty.
    bool isAbove = (isLow && !*isLow) || (number && *number < 0) || op.isLessEqual(low, value).value_or(false);
    bool isBelow = (isHigh && !*isHigh) || op.isLessEqual(value, high).value_or(false);
    return isAbove && isBelow ? value : AffineExpr();
  };
  if (step > 0) {
    begin = clamp(begin, zero, size);
    end = clamp(end, zero, size);
    if (!begin || !end)
      return op.unsupportedTensor("whose end may lie inside or outside of a symbolic size");
    if (op.isLessEqual(end, begin).value_or(false))
      return op.slice(x, dim, zero, zero);
    return op.slice(x, dim, begin, graph::normalize((end - begin).ceilDiv(step)), step);
  }
  AffineExpr last = graph::normalize(size - 1), before = op.constant(-1);
  std::optional<int64_t> endNumber = graph::asConstant(end);
  begin = clamp(begin, before, last);
  // An end below -size means: up to the first element.
  end = clamp(end, before, last);
  if (endNumber && graph::asConstant(size) && *endNumber < 0 && *endNumber + *graph::asConstant(size) < 0)
    end = before;
  if (!begin || !end)
    return op.unsupportedTensor("whose end may lie inside or outside of a symbolic size");
  AffineExpr count = graph::normalize((begin - end).ceilDiv(-step));
  if (op.isLessEqual(begin, end).value_or(false))
    return op.slice(x, dim, zero, zero);
  if (step == -1 && begin == last && end == before)
    return op.reverse(x, {dim});
  return readAt(op, x, dim, count, {}, [&](Scalars &s, Value i, ValueRange) {
    return s.add(op.sizeValue(s, begin), s.mul(i, s.integer(step)));
  });
}

namespace {
/// What the starts, ends, axes and steps that are inputs say about one dimension, in the code of an element.
struct RunTimeSlice {
  Value begin, end, step;
};
} // namespace

/// `v` has start, end, step and axis of each slice that may be along dimension `d` of `rank`, whose size is `n`.
static RunTimeSlice readSlice(Scalars &s, ValueRange v, Value n, int64_t d, int64_t rank) {
  Value zero = s.integer(0), one = s.integer(1);
  RunTimeSlice slice{zero, n, one};
  for (size_t k = 0; k + 3 < v.size(); k += 4) {
    Value isThis = s.either(s.compare(Compare::Eq, v[k + 3], s.integer(d)),
                            s.compare(Compare::Eq, v[k + 3], s.integer(d - rank)));
    slice.begin = s.select(isThis, v[k], slice.begin);
    slice.end = s.select(isThis, v[k + 1], slice.end);
    slice.step = s.select(isThis, v[k + 2], slice.step);
  }
  Value isDown = s.compare(Compare::Lt, slice.step, zero), last = s.sub(n, one);
  auto clamp = [&](Value x) {
    x = s.select(s.compare(Compare::Lt, x, zero), s.add(x, n), x);
    return s.select(isDown, s.min(s.max(x, s.integer(-1)), last), s.min(s.max(x, zero), n));
  };
  slice.begin = clamp(slice.begin);
  slice.end = clamp(slice.end);
  return slice;
}

/// How many elements it takes.
static Value countOf(Scalars &s, const RunTimeSlice &slice) {
  Value zero = s.integer(0), isDown = s.compare(Compare::Lt, slice.step, zero);
  Value span = s.select(isDown, s.sub(slice.begin, slice.end), s.sub(slice.end, slice.begin));
  Value stride = s.max(s.abs(slice.step), s.integer(1));
  return s.max(s.floorDiv(s.add(span, s.sub(stride, s.integer(1))), stride), zero);
}

/// Starts, ends, axes or steps known only when the model runs. How many elements are taken is what the model declares, which
/// is checked, or else a size that the call finds: at most the dimension's own.
static LogicalResult sliceDynamic(Op &op, Tensor x, std::optional<SmallVector<int64_t>> axes, Tensor starts, Tensor ends,
                                  Tensor axesTensor, Tensor steps) {
  std::optional<int64_t> count = starts.rank() == 1 ? graph::asConstant(starts.dim(0)) : std::nullopt;
  if (!count)
    return op.unsupported("with a symbolic number of axes");
  std::optional<Dims> declared = op.declaredDims(0);
  if (declared && declared->size() != static_cast<size_t>(x.rank()))
    return op.error("gives rank " + Twine(x.rank()) + " but is declared with rank " + Twine(declared->size()));
  for (int64_t d = 0; d < x.rank(); ++d) {
    if (axes && !llvm::is_contained(*axes, d))
      continue;
    SmallVector<Operand> operands;
    auto number = [&](Tensor from, int64_t k, int64_t otherwise) {
      return from ? Operand(op.select(from, 0, op.constant(k))) : Operand(Number::of(otherwise));
    };
    for (int64_t k = 0; k < *count; ++k)
      if (!axes || (*axes)[k] == d)
        operands.append({number(starts, k, 0), number(ends, k, 0), number(steps, k, 1),
                         axes ? Operand(Number::of(d)) : number(axesTensor, k, 0)});
    AffineExpr size = x.dim(d);
    Tensor found = op.map(
        ScalarType::Long, ScalarType::Long, operands,
        [&](Scalars &s, ValueRange v) { return countOf(s, readSlice(s, v, op.sizeValue(s, size), d, x.rank())); },
        ScalarType::Unknown, Dims{});
    AffineExpr taken = declared ? (*declared)[d] : AffineExpr();
    if (taken)
      claimSize(op, found, taken);
    else
      taken = op.defineSize(found, 0, SizeRanges::kMaxSize, size);
    if (op.isBad() || !taken)
      return failure();
    x = readAt(op, x, d, taken, operands, [&](Scalars &s, Value i, ValueRange v) {
      RunTimeSlice slice = readSlice(s, v, op.sizeValue(s, size), d, x.rank());
      return s.add(slice.begin, s.mul(i, slice.step));
    });
    if (!x)
      return failure();
  }
  return op.finish(x);
}

static LogicalResult convertSlice(Op &op) {
  Tensor x = op.tensor(0);
  if (!x)
    return failure();
  std::optional<Dims> starts, ends;
  std::optional<SmallVector<int64_t>> axes, steps;
  if (op.version < 10) {
    starts = op.constants(op.integerList("starts"));
    ends = op.constants(op.integerList("ends"));
    if (op.hasAttribute("axes"))
      axes = op.integerList("axes");
  } else {
    starts = op.sizes(1), ends = op.sizes(2);
    axes = op.integers(3), steps = op.integers(4);
  }
  bool hasAxes = op.version >= 10 && op.has(3), hasSteps = op.version >= 10 && op.has(4);
  auto normalizeAxes = [&](size_t count) {
    if (!axes && !hasAxes)
      axes = upTo(count);
    if (axes)
      for (int64_t &axis : *axes)
        axis = op.wrapDim(axis, x.rank());
  };
  if (!starts || !ends || (hasAxes && !axes) || (hasSteps && !steps)) {
    Tensor begin = op.tensor(1), end = op.tensor(2), axesTensor = op.optionalTensor(3), stepTensor = op.optionalTensor(4);
    if (op.isBad())
      return failure();
    if (begin.rank() != 1 || end.rank() != 1 || begin.dim(0) != end.dim(0))
      return op.error("has starts and ends that are no vectors of one length");
    normalizeAxes(graph::asConstant(begin.dim(0)).value_or(0));
    return sliceDynamic(op, x, axes, begin, end, axesTensor, stepTensor);
  }
  normalizeAxes(starts->size());
  if (!steps)
    steps = SmallVector<int64_t>(starts->size(), 1);
  if (starts->size() != ends->size() || axes->size() != starts->size() || steps->size() != starts->size())
    return op.error("has starts, ends, axes and steps of different number");
  for (size_t i = 0; i < axes->size() && !op.isBad(); ++i) {
    if ((*steps)[i] == 0)
      return op.error("has a step of 0");
    x = sliceStatic(op, x, (*axes)[i], (*starts)[i], (*ends)[i], (*steps)[i]);
    if (!x)
      return failure();
  }
  return op.finish(x);
}

static LogicalResult convertSplit(Op &op) {
  Tensor x = op.tensor(0);
  if (!x)
    return failure();
  int64_t dim = op.dim("axis", x.rank(), 0), count = op.numOutputs();
  AffineExpr size = x.dim(dim);
  Dims parts;
  bool isGiven = op.version < 13 ? op.hasAttribute("split") : op.has(1);
  if (isGiven) {
    std::optional<Dims> sizes = op.version < 13 ? op.constants(op.integerList("split")) : op.sizes(1);
    for (int64_t i = 0; !sizes && i < count; ++i) {
      std::optional<Dims> declared = op.declaredDims(i);
      if (declared && declared->size() == static_cast<size_t>(x.rank()) && (*declared)[dim])
        parts.push_back((*declared)[dim]);
    }
    if (!sizes && parts.size() == op.numOutputs()) {
      claimShape(op, op.tensor(1), parts);
    } else {
      sizes = sizes ? sizes : foundParts(op, op.tensor(1), size);
      if (!sizes)
        return failure();
      parts = *sizes;
    }
  } else {
    count = op.integer("num_outputs", count);
    AffineExpr part = graph::normalize(size.ceilDiv(std::max<int64_t>(count, 1)));
    if (graph::asConstant(graph::normalize(size % std::max<int64_t>(count, 1))) == 0)
      part = graph::normalize(size.floorDiv(std::max<int64_t>(count, 1)));
    parts.assign(count, part);
    if (count > 0)
      parts.back() = graph::normalize(size - part * (count - 1));
  }
  if (parts.size() < op.numOutputs())
    return op.error("has " + Twine(op.numOutputs()) + " results but splits into " + Twine(parts.size()));
  Tensors results;
  AffineExpr offset = op.constant(0);
  for (AffineExpr part : parts) {
    if (graph::asConstant(part).value_or(0) < 0)
      return op.error("has a part of negative size");
    results.push_back(op.slice(x, dim, offset, part));
    offset = graph::normalize(offset + part);
  }
  if (std::optional<int64_t> total = graph::asConstant(graph::normalize(offset - size)); total && *total != 0)
    return op.error("has parts that do not add up to the size that is split");
  return op.finish(results);
}

std::optional<Dims> foundParts(Op &op, Tensor parts, AffineExpr total) {
  std::optional<int64_t> count = parts && parts.rank() == 1 ? graph::asConstant(parts.dim(0)) : std::nullopt;
  if (!count) {
    if (!op.isBad())
      (void)op.unsupported("into parts whose number is known only when the model runs");
    return std::nullopt;
  }
  parts = op.convert(parts, ScalarType::Long);
  Dims sizes;
  // What is left must never be negative, and nothing in the end: then every part lies inside.
  Tensor sum = op.reduce(graph::ReduceKind::Sum, parts, {0});
  Tensor left = op.unary(sum, [&](Scalars &s, Value v) { return s.sub(op.sizeValue(s, total), v); });
  claimSize(op, left, op.constant(0));
  for (int64_t k = 0; k < *count; ++k)
    sizes.push_back(op.defineSize(op.select(parts, 0, op.constant(k)), 0, SizeRanges::kMaxSize, total));
  return op.isBad() ? std::nullopt : std::optional(sizes);
}

void populateSlicing(ConverterTable &t) {
  t["Slice"] = convertSlice;
  t["Split"] = convertSplit;
}

} // namespace tenon::onnx_import
