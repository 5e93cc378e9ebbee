// Operators that move elements: shapes, slices, joins, padding, repetition; and those that make tensors from sizes.
#include "Op.h"

using namespace mlir;
using tenon::graph::Dims;

namespace tenon::onnx_import {

//===----------------------------------------------------------------------===//
// Shapes
//===----------------------------------------------------------------------===//

static LogicalResult convertReshape(Op &op) {
  Tensor x = op.tensor(0);
  if (!x)
    return failure();
  std::optional<Dims> sizes = op.sizes(1);
  if (!sizes) {
    std::optional<Dims> declared = op.declaredDimsOr(0, "the shape, which is an input,");
    return declared ? op.finish(op.reshape(x, *declared)) : failure();
  }
  bool keepsZero = op.integer("allowzero", 0) != 0;
  AffineExpr known = op.constant(1);
  int64_t open = -1;
  for (auto [i, size] : llvm::enumerate(*sizes)) {
    std::optional<int64_t> value = graph::asConstant(size);
    if (value == 0 && !keepsZero) {
      if (static_cast<int64_t>(i) >= x.rank())
        return op.error("copies size " + Twine(i) + " of a tensor of rank " + Twine(x.rank()));
      size = x.dim(i);
    }
    if (value && *value < -1)
      return op.error("has the size " + Twine(*value));
    if (value == -1) {
      if (open >= 0)
        return op.error("has two sizes of -1");
      open = i;
      continue;
    }
    known = known * size;
  }
  if (open >= 0) {
    known = graph::normalize(known);
    AffineExpr total = graph::numElements(x.value.getType());
    (*sizes)[open] = graph::asConstant(known) == 0 ? op.constant(0) : graph::normalize(total.floorDiv(known));
  }
  return op.finish(op.reshape(x, *sizes));
}

static LogicalResult convertFlatten(Op &op) {
  Tensor x = op.tensor(0);
  if (!x)
    return failure();
  int64_t axis = op.integer("axis", 1);
  if (axis < -x.rank() || axis > x.rank())
    return op.error("has axis " + Twine(axis) + " for rank " + Twine(x.rank()));
  axis = axis < 0 ? axis + x.rank() : axis;
  Dims dims = x.dims();
  return op.finish(op.reshape(x, {graph::product(ArrayRef(dims).take_front(axis), op.context()),
                                  graph::product(ArrayRef(dims).drop_front(axis), op.context())}));
}

/// The axes of Squeeze, Unsqueeze and their like: an attribute before version 13, then an input.
static std::optional<SmallVector<int64_t>> axesOf(Op &op, bool &isGiven) {
  if (op.version < 13) {
    isGiven = op.hasAttribute("axes");
    return op.integerList("axes");
  }
  isGiven = op.has(1);
  return isGiven ? op.integers(1) : SmallVector<int64_t>();
}

static LogicalResult convertSqueeze(Op &op) {
  Tensor x = op.tensor(0);
  bool isGiven;
  std::optional<SmallVector<int64_t>> axes = axesOf(op, isGiven);
  if (!x)
    return failure();
  Dims dims;
  if (!axes) {
    std::optional<Dims> declared = op.declaredDimsOr(0, "an input with the axes");
    return declared ? op.finish(op.reshape(x, *declared)) : failure();
  }
  for (int64_t &axis : *axes)
    axis = op.wrapDim(axis, x.rank());
  for (auto [i, size] : llvm::enumerate(x.dims()))
    if (isGiven ? !llvm::is_contained(*axes, static_cast<int64_t>(i)) : graph::asConstant(size) != 1)
      dims.push_back(size);
  return op.finish(op.reshape(x, dims));
}

static LogicalResult convertUnsqueeze(Op &op) {
  Tensor x = op.tensor(0);
  bool isGiven;
  std::optional<SmallVector<int64_t>> axes = axesOf(op, isGiven);
  if (!x)
    return failure();
  if (!axes) {
    std::optional<Dims> declared = op.declaredDimsOr(0, "an input with the axes");
    return declared ? op.finish(op.reshape(x, *declared)) : failure();
  }
  int64_t rank = x.rank() + static_cast<int64_t>(axes->size());
  for (int64_t &axis : *axes)
    axis = op.wrapDim(axis, rank);
  llvm::sort(*axes);
  if (llvm::unique(*axes) != axes->end())
    return op.error("names an axis twice");
  Dims dims = x.dims();
  for (int64_t axis : *axes)
    dims.insert(dims.begin() + axis, op.constant(1));
  return op.finish(op.reshape(x, dims));
}

static LogicalResult convertTranspose(Op &op) {
  Tensor x = op.tensor(0);
  if (!x)
    return failure();
  SmallVector<int64_t> order = op.integerList("perm");
  if (!op.hasAttribute("perm"))
    order = llvm::to_vector(llvm::reverse(upTo(x.rank())));
  SmallVector<int64_t> sorted;
  for (int64_t &d : order)
    sorted.push_back(d = op.wrapDim(d, x.rank()));
  llvm::sort(sorted);
  if (sorted != upTo(x.rank()))
    return op.error("has a permutation that does not fit rank " + Twine(x.rank()));
  return op.finish(op.permute(x, order));
}

static LogicalResult convertShape(Op &op) {
  Tensor x = op.tensor(0);
  if (!x)
    return failure();
  int64_t rank = x.rank(), begin = op.integer("start", 0), end = op.integer("end", rank);
  auto wrap = [&](int64_t d) { return std::clamp<int64_t>(d < 0 ? d + rank : d, 0, rank); };
  begin = wrap(begin), end = std::max(wrap(end), begin);
  auto known = std::make_shared<Known>();
  known->dtype = ScalarType::Long;
  known->shape = {end - begin};
  for (int64_t d = begin; d < end; ++d)
    known->ints.push_back(x.dim(d));
  return op.finish(known);
}

static LogicalResult convertSize(Op &op) {
  Tensor x = op.tensor(0);
  if (!x)
    return failure();
  auto known = std::make_shared<Known>();
  known->dtype = ScalarType::Long;
  known->ints.push_back(graph::numElements(x.value.getType()));
  return op.finish(known);
}

//===----------------------------------------------------------------------===//
// Slices
//===----------------------------------------------------------------------===//

/// `x` read along `dim` at positions that a body computes from the position in the result (an i64); `operands` are
/// scalars that it needs.
static Tensor readAt(Op &op, Tensor x, int64_t dim, AffineExpr size, ArrayRef<Operand> operands,
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

/// Starts and steps known only when the model runs: the declared sizes say how many elements are taken.
static LogicalResult sliceDynamic(Op &op, Tensor x, Tensor starts, std::optional<SmallVector<int64_t>> axes,
                                  Tensor axesTensor, Tensor steps) {
  std::optional<Dims> dims = op.declaredDimsOr(0, "an input with starts and ends");
  std::optional<int64_t> count = graph::asConstant(starts.dim(0));
  if (!dims || !count)
    return op.isBad() ? failure() : op.unsupported("with a symbolic number of axes");
  if (dims->size() != static_cast<size_t>(x.rank()))
    return op.error("gives rank " + Twine(x.rank()) + " but is declared with rank " + Twine(dims->size()));
  for (int64_t d = 0; d < x.rank(); ++d) {
    if (axes && !llvm::is_contained(*axes, d))
      continue;
    SmallVector<Operand> operands;
    SmallVector<int64_t> which;
    for (int64_t k = 0; k < *count; ++k) {
      if (axes && (*axes)[k] != d)
        continue;
      operands.push_back(op.select(starts, 0, op.constant(k)));
      operands.push_back(steps ? Operand(op.select(steps, 0, op.constant(k))) : Operand(Number::of(int64_t(1))));
      operands.push_back(axes ? Operand(Number::of(d)) : Operand(op.select(axesTensor, 0, op.constant(k))));
    }
    AffineExpr size = x.dim(d);
    x = readAt(op, x, d, (*dims)[d], operands, [&](Scalars &s, Value i, ValueRange v) {
      Value n = op.sizeValue(s, size), zero = s.integer(0), begin = zero, step = s.integer(1);
      for (size_t k = 0; k + 2 < v.size(); k += 3) {
        Value isThis = s.either(s.compare(Compare::Eq, v[k + 2], s.integer(d)),
                                s.compare(Compare::Eq, v[k + 2], s.integer(d - x.rank())));
        begin = s.select(isThis, v[k], begin);
        step = s.select(isThis, v[k + 1], step);
      }
      begin = s.select(s.compare(Compare::Lt, begin, zero), s.add(begin, n), begin);
      Value last = s.select(s.compare(Compare::Lt, step, zero), s.sub(n, s.integer(1)), n);
      begin = s.min(s.max(begin, zero), last);
      return s.add(begin, s.mul(i, step));
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
    Tensor begin = op.tensor(1), stepTensor = op.optionalTensor(4), axesTensor = op.optionalTensor(3);
    if (op.isBad())
      return failure();
    normalizeAxes(graph::asConstant(begin.dim(0)).value_or(0));
    return sliceDynamic(op, x, begin, axes, axesTensor, stepTensor);
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
      std::optional<Dims> declared = op.declaredDimsOr(i, "an input with the sizes of the parts");
      if (!declared || declared->size() != static_cast<size_t>(x.rank()))
        return op.isBad() ? failure() : op.error("is declared with another rank");
      parts.push_back((*declared)[dim]);
    }
    if (sizes)
      parts = *sizes;
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

static LogicalResult convertConcat(Op &op) {
  Tensors parts = op.tensors();
  if (parts.empty())
    return op.isBad() ? failure() : op.error("joins nothing");
  int64_t dim = op.dim("axis", parts[0].rank());
  return op.isBad() ? failure() : op.finish(op.concat(parts, dim));
}

//===----------------------------------------------------------------------===//
// Repetition
//===----------------------------------------------------------------------===//

static LogicalResult convertExpand(Op &op) {
  Tensor x = op.tensor(0);
  if (!x)
    return failure();
  std::optional<Dims> sizes = op.sizes(1);
  if (!sizes)
    sizes = op.declaredDimsOr(0, "the shape, which is an input,");
  std::optional<Dims> dims = sizes ? op.broadcastDims({x.dims(), *sizes}) : std::nullopt;
  return dims ? op.finish(op.broadcast(x, *dims)) : failure();
}

static LogicalResult convertTile(Op &op) {
  Tensor x = op.tensor(0);
  if (!x)
    return failure();
  std::optional<Dims> repeats = op.sizes(1);
  if (!repeats) {
    std::optional<Dims> dims = op.declaredDimsOr(0, "an input with the repetitions");
    if (!dims || dims->size() != static_cast<size_t>(x.rank()))
      return op.isBad() ? failure() : op.error("is declared with another rank");
    for (int64_t d = 0; d < x.rank() && x; ++d)
      if (AffineExpr size = x.dim(d); size != (*dims)[d])
        x = readAt(op, x, d, (*dims)[d], {},
                   [&](Scalars &s, Value i, ValueRange) { return s.fmod(i, op.sizeValue(s, size)); });
    return op.finish(x);
  }
  if (repeats->size() != static_cast<size_t>(x.rank()))
    return op.error("has " + Twine(repeats->size()) + " repetitions for rank " + Twine(x.rank()));
  for (int64_t d = x.rank() - 1; d >= 0 && x; --d) {
    if (graph::asConstant((*repeats)[d]) == 1)
      continue;
    Dims dims = x.dims();
    dims.insert(dims.begin() + d, (*repeats)[d]);
    x = op.flatten(op.broadcast(op.unsqueeze(x, d), dims), d, d + 1);
  }
  return op.finish(x);
}

//===----------------------------------------------------------------------===//
// Padding
//===----------------------------------------------------------------------===//

/// Padding of one dimension by elements of the tensor itself; `low` is a number or a scalar of run time.
static Tensor padByReading(Op &op, Tensor x, int64_t dim, AffineExpr result, Operand low, StringRef mode) {
  AffineExpr size = x.dim(dim);
  return readAt(op, x, dim, result, {low}, [&](Scalars &s, Value i, ValueRange v) {
    Value at = s.sub(i, v[0]), n = op.sizeValue(s, size), one = s.integer(1), zero = s.integer(0);
    Value last = s.sub(n, one);
    if (mode == "edge" || mode == "constant")
      return s.max(s.min(at, last), zero);
    if (mode == "wrap")
      return s.remainder(at, n);
    // Mirrored at the edges as often as needed.
    Value period = s.max(s.mul(last, s.integer(2)), one);
    Value phase = s.remainder(at, period);
    return s.select(s.compare(Compare::Gt, phase, last), s.sub(period, phase), phase);
  });
}

/// Puts `value` (a scalar) where result positions lie outside of the padded tensor.
static Tensor maskPadding(Op &op, Tensor x, int64_t dim, AffineExpr size, Operand low, Tensor value) {
  ScalarType type = x.dtype;
  Tensor inside = op.map(
      ScalarType::Bool, ScalarType::Long, {low},
      [&](Scalars &s, ValueRange v) {
        Value at = s.sub(op.index(s, 0), v[0]);
        return s.both(s.compare(Compare::Ge, at, s.integer(0)), s.compare(Compare::Lt, at, op.sizeValue(s, size)));
      },
      ScalarType::Bool, Dims{x.dim(dim)});
  if (!inside)
    return {};
  SmallVector<Operand> operands{x, value};
  operands.push_back(Operand::raw(inside));
  operands.back().dims = SmallVector<int64_t>{dim};
  return op.map(type, type, operands, [](Scalars &s, ValueRange v) { return s.select(v[2], v[0], v[1]); });
}

/// For each dimension what is padded before it, when the axes are known only when the model runs.
static Tensors padsByInput(Op &op, int64_t rank) {
  Tensor pads = op.convert(op.tensor(1), ScalarType::Long), axes = op.convert(op.tensor(3), ScalarType::Long);
  std::optional<int64_t> count = axes && axes.rank() == 1 ? graph::asConstant(axes.dim(0)) : std::nullopt;
  if (!pads || !count)
    return op.isBad() ? Tensors() : ((void)op.unsupported("with a symbolic number of axes"), Tensors());
  Tensors result;
  for (int64_t d = 0; d < rank; ++d) {
    SmallVector<Operand> operands;
    for (int64_t k = 0; k < *count; ++k)
      operands.append({op.select(axes, 0, op.constant(k)), op.select(pads, 0, op.constant(k))});
    result.push_back(op.map(
        ScalarType::Long, ScalarType::Long, operands,
        [&](Scalars &s, ValueRange v) {
          Value sum = s.integer(0);
          for (size_t k = 0; k < v.size(); k += 2) {
            Value isHere = s.either(s.compare(Compare::Eq, v[k], s.integer(d)), s.compare(Compare::Eq, v[k], s.integer(d - rank)));
            sum = s.select(isHere, s.add(sum, v[k + 1]), sum);
          }
          return sum;
        },
        ScalarType::Unknown, Dims{}));
  }
  return result;
}

static LogicalResult convertPad(Op &op) {
  Tensor x = op.tensor(0);
  if (!x)
    return failure();
  std::string mode = op.text("mode", StringRef("constant"));
  if (mode != "constant" && mode != "edge" && mode != "reflect" && mode != "wrap")
    return op.unsupported("with mode '" + mode + "'");
  int64_t rank = x.rank();
  SmallVector<int64_t> axes = upTo(rank);
  std::optional<Dims> pads;
  Tensor fill;
  Tensors lows; // what is before each of `axes`, where that is known only when the model runs
  std::optional<double> fillNumber = 0;
  if (op.version < 11) {
    pads = op.constants(op.integerList("pads"));
    fillNumber = op.real("value", 0.0);
  } else {
    pads = op.sizes(1);
    if (op.has(2)) {
      fillNumber = op.number(2);
      fill = op.reshape(op.tensor(2), {});
    }
    if (op.has(3)) {
      std::optional<SmallVector<int64_t>> given = op.integers(3);
      if (given) {
        axes = *given;
        for (int64_t &axis : axes)
          axis = op.wrapDim(axis, rank);
      } else {
        lows = padsByInput(op, rank);
        pads = std::nullopt;
      }
    }
  }
  if (op.isBad())
    return failure();
  if (!fill)
    fill = op.scalar(x.dtype, fillNumber.value_or(0));
  size_t count = axes.size();
  if (pads && pads->size() != 2 * count)
    return op.error("has " + Twine(pads->size()) + " paddings for " + Twine(count) + " axes");
  if (pads) {
    // Negative paddings cut.
    Dims low(rank, op.constant(0)), high = low;
    for (auto [i, axis] : llvm::enumerate(axes)) {
      std::optional<int64_t> l = graph::asConstant((*pads)[i]), h = graph::asConstant((*pads)[i + count]);
      AffineExpr offset = l && *l < 0 ? op.constant(-*l) : op.constant(0);
      AffineExpr cut = graph::normalize(offset + (h && *h < 0 ? op.constant(-*h) : op.constant(0)));
      low[axis] = l && *l < 0 ? op.constant(0) : (*pads)[i];
      high[axis] = h && *h < 0 ? op.constant(0) : (*pads)[i + count];
      x = op.slice(x, axis, offset, graph::normalize(x.dim(axis) - cut));
      if (!x)
        return failure();
    }
    if (mode == "constant" && fillNumber && !isSmallFloat(x.dtype) && !isComplex(x.dtype))
      return op.finish(op.pad(x, low, high, *fillNumber));
    for (int64_t axis : axes) {
      if (graph::asConstant(low[axis]) == 0 && graph::asConstant(high[axis]) == 0)
        continue;
      AffineExpr size = x.dim(axis), result = graph::normalize(low[axis] + size + high[axis]);
      Number before = Number::of(int64_t(0));
      before.expr = low[axis];
      x = padByReading(op, x, axis, result, before, mode);
      if (mode == "constant" && x)
        x = maskPadding(op, x, axis, size, before, fill);
      if (!x)
        return failure();
    }
    return op.finish(x);
  }
  std::optional<Dims> declared = op.declaredDimsOr(0, "an input with the paddings");
  Tensor all = op.convert(op.tensor(1), ScalarType::Long);
  if (!declared || !all || declared->size() != static_cast<size_t>(rank))
    return op.isBad() ? failure() : op.error("is declared with another rank");
  for (size_t i = 0; lows.size() < axes.size(); ++i)
    lows.push_back(op.select(all, 0, op.constant(i)));
  for (auto [axis, low] : llvm::zip(axes, lows)) {
    AffineExpr size = x.dim(axis);
    x = padByReading(op, x, axis, (*declared)[axis], low, mode);
    if (mode == "constant" && x)
      x = maskPadding(op, x, axis, size, low, fill);
    if (!x)
      return failure();
  }
  return op.finish(x);
}

static LogicalResult convertCenterCropPad(Op &op) {
  Tensor x = op.tensor(0);
  if (!x)
    return failure();
  SmallVector<int64_t> axes = op.hasAttribute("axes") ? op.integerList("axes") : upTo(x.rank());
  for (int64_t &axis : axes)
    axis = op.wrapDim(axis, x.rank());
  std::optional<Dims> sizes = op.sizes(1);
  if (!sizes) {
    std::optional<Dims> declared = op.declaredDimsOr(0, "the shape, which is an input,");
    if (!declared || declared->size() != static_cast<size_t>(x.rank()))
      return op.isBad() ? failure() : op.error("is declared with another rank");
    sizes.emplace();
    for (int64_t axis : axes)
      sizes->push_back((*declared)[axis]);
  }
  if (sizes->size() != axes.size())
    return op.error("has " + Twine(sizes->size()) + " sizes for " + Twine(axes.size()) + " axes");
  for (auto [axis, want] : llvm::zip(axes, *sizes)) {
    AffineExpr have = x.dim(axis);
    std::optional<bool> isCut = op.isLessEqual(want, have);
    if (!isCut)
      return op.unsupported("of a symbolic size that may be cut or padded");
    if (*isCut) {
      x = op.slice(x, axis, graph::normalize((have - want).floorDiv(2)), want);
    } else {
      Dims low(x.rank(), op.constant(0)), high = low;
      low[axis] = graph::normalize((want - have).floorDiv(2));
      high[axis] = graph::normalize(want - have - low[axis]);
      x = op.pad(x, low, high, 0);
    }
    if (!x)
      return failure();
  }
  return op.finish(x);
}

//===----------------------------------------------------------------------===//
// Making tensors
//===----------------------------------------------------------------------===//

static LogicalResult convertConstant(Op &op) {
  if (auto *value = op.attribute("value"))
    return op.finish(Datum{.stored = &value->t()});
  auto known = std::make_shared<Known>();
  auto numbers = [&](ArrayRef<int64_t> values, ScalarType type) {
    known->dtype = type;
    for (int64_t value : values)
      known->ints.push_back(op.constant(value));
  };
  if (op.hasAttribute("value_int")) {
    numbers(op.integer("value_int"), ScalarType::Long);
  } else if (op.hasAttribute("value_ints")) {
    numbers(op.integerList("value_ints"), ScalarType::Long);
    known->shape.push_back(known->ints.size());
  } else if (op.hasAttribute("value_float")) {
    known->dtype = ScalarType::Float;
    known->reals = {op.real("value_float")};
  } else if (op.hasAttribute("value_floats")) {
    known->dtype = ScalarType::Float;
    known->reals = op.realList("value_floats");
    known->shape.push_back(known->reals.size());
  } else if (op.hasAttribute("value_string")) {
    known->texts = {op.text("value_string")};
  } else if (op.hasAttribute("value_strings")) {
    known->texts = op.textList("value_strings");
    known->shape.push_back(known->texts.size());
  } else {
    return op.unsupported("of a sparse tensor");
  }
  return op.finish(known);
}

static LogicalResult convertConstantOfShape(Op &op) {
  std::optional<Dims> sizes = op.sizes(0);
  if (!sizes)
    sizes = op.declaredDimsOr(0, "the shape, which is an input,");
  if (!sizes)
    return failure();
  auto *value = op.attribute("value");
  if (!value)
    return op.finish(op.full(*sizes, ScalarType::Float, 0));
  Tensor element = op.importTensor(value->t());
  return op.finish(op.broadcast(op.reshape(element, {}), *sizes));
}

static LogicalResult convertRange(Op &op) {
  Tensor start = op.tensor(0), delta = op.tensor(2);
  if (op.isBad())
    return failure();
  std::optional<double> from = op.number(0), to = op.number(1), by = op.number(2);
  std::optional<Dims> first = op.sizes(0), last = op.sizes(1);
  AffineExpr count;
  if (from && to && by && *by != 0) {
    count = op.constant(std::max<int64_t>(0, static_cast<int64_t>(std::ceil((*to - *from) / *by))));
  } else if (first && last && by && *by != 0 && first->size() == 1 && last->size() == 1) {
    int64_t step = static_cast<int64_t>(*by);
    count = graph::normalize(step > 0 ? ((*last)[0] - (*first)[0]).ceilDiv(step)
                                      : ((*first)[0] - (*last)[0]).ceilDiv(-step));
  } else {
    std::optional<Dims> declared = op.declaredDimsOr(0, "an input with a bound");
    if (!declared || declared->size() != 1)
      return op.isBad() ? failure() : op.error("is declared with another rank than 1");
    count = (*declared)[0];
  }
  ScalarType type = start.dtype;
  return op.finish(op.map(
      type, type, {op.reshape(start, {}), op.reshape(delta, {})},
      [&](Scalars &s, ValueRange v) { return s.add(v[0], s.mul(op.index(s, 0), v[1])); }, ScalarType::Unknown,
      Dims{count}));
}

static LogicalResult convertEyeLike(Op &op) {
  Tensor x = op.tensor(0);
  if (!x)
    return failure();
  if (x.rank() != 2)
    return op.error("has an input of rank " + Twine(x.rank()) + " but needs a matrix");
  ScalarType type = op.dtype("dtype", x.dtype);
  int64_t k = op.integer("k", 0);
  return op.finish(op.generate(
      type, ScalarType::Long, x.dims(),
      [&](Scalars &s, ValueRange) {
        return s.compare(Compare::Eq, s.add(op.index(s, 0), s.integer(k)), op.index(s, 1));
      },
      ScalarType::Bool));
}

static LogicalResult convertTrilu(Op &op) {
  Tensor x = op.tensor(0), k = op.optionalTensor(1);
  if (!x || op.isBad())
    return failure();
  if (x.rank() < 2)
    return op.error("has an input of rank " + Twine(x.rank()) + " but needs matrices");
  bool isUpper = op.integer("upper", 1) != 0;
  ScalarType type = x.dtype;
  Operand shift = k ? Operand(op.reshape(k, {})) : Operand(Number::of(int64_t(0)));
  shift.isRaw = static_cast<bool>(k);
  return op.finish(op.map(type, type, {x, shift}, [&](Scalars &s, ValueRange v) {
    Scalars i(s.b, s.loc, ScalarType::Long);
    Value row = op.index(i, x.rank() - 2), column = op.index(i, x.rank() - 1);
    Value diagonal = i.add(row, k ? v[1] : i.integer(0));
    return s.select(i.compare(isUpper ? Compare::Ge : Compare::Le, column, diagonal), v[0], s.integer(0));
  }));
}

//===----------------------------------------------------------------------===//
// Blocks
//===----------------------------------------------------------------------===//

static LogicalResult convertDepthToSpace(Op &op) {
  Tensor x = op.tensor(0);
  int64_t block = op.integer("blocksize");
  if (!x || op.isBad())
    return failure();
  if (x.rank() != 4 || block < 1)
    return op.error("needs a tensor of rank 4 and a positive block size");
  Dims d = x.dims();
  AffineExpr n = op.constant(block), channels = graph::normalize(d[1].floorDiv(block * block));
  bool isColumnFirst = op.text("mode", StringRef("DCR")) == "CRD";
  Tensor split = isColumnFirst ? op.reshape(x, {d[0], channels, n, n, d[2], d[3]})
                               : op.reshape(x, {d[0], n, n, channels, d[2], d[3]});
  Tensor moved = isColumnFirst ? op.permute(split, {0, 1, 4, 2, 5, 3}) : op.permute(split, {0, 3, 4, 1, 5, 2});
  return op.finish(op.reshape(moved, {d[0], channels, d[2] * block, d[3] * block}));
}

static LogicalResult convertSpaceToDepth(Op &op) {
  Tensor x = op.tensor(0);
  int64_t block = op.integer("blocksize");
  if (!x || op.isBad())
    return failure();
  if (x.rank() != 4 || block < 1)
    return op.error("needs a tensor of rank 4 and a positive block size");
  Dims d = x.dims();
  AffineExpr n = op.constant(block), h = graph::normalize(d[2].floorDiv(block)), w = graph::normalize(d[3].floorDiv(block));
  bool isColumnFirst = op.text("mode", StringRef("DCR")) == "CRD";
  Tensor split = op.reshape(x, {d[0], d[1], h, n, w, n});
  Tensor moved = isColumnFirst ? op.permute(split, {0, 1, 3, 5, 2, 4}) : op.permute(split, {0, 3, 5, 1, 2, 4});
  return op.finish(op.reshape(moved, {d[0], d[1] * (block * block), h, w}));
}

static LogicalResult convertIdentity(Op &op) {
  const Datum *value = op.datum(0);
  return value ? op.finish(*value) : failure();
}

void populateLayout(ConverterTable &t) {
  t["Identity"] = convertIdentity;
  t["Reshape"] = convertReshape;
  t["Flatten"] = convertFlatten;
  t["Squeeze"] = convertSqueeze;
  t["Unsqueeze"] = convertUnsqueeze;
  t["Transpose"] = convertTranspose;
  t["Shape"] = convertShape;
  t["Size"] = convertSize;
  t["Slice"] = convertSlice;
  t["Split"] = convertSplit;
  t["Concat"] = convertConcat;
  t["Expand"] = convertExpand;
  t["Tile"] = convertTile;
  t["Pad"] = convertPad;
  t["CenterCropPad"] = convertCenterCropPad;
  t["Constant"] = convertConstant;
  t["ConstantOfShape"] = convertConstantOfShape;
  t["Range"] = convertRange;
  t["EyeLike"] = convertEyeLike;
  t["Trilu"] = convertTrilu;
  t["DepthToSpace"] = convertDepthToSpace;
  t["SpaceToDepth"] = convertSpaceToDepth;
}

} // namespace tenon::onnx_import
