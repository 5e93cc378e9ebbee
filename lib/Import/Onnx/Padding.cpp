// Pad and CenterCropPad.
#include "Slicing.h"

using namespace mlir;
using tenon::graph::Dims;

namespace tenon::onnx_import {

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

/// For each dimension what is padded before it, or after it, when the axes are known only when the model runs.
static Tensors padsByInput(Op &op, int64_t rank, bool isAfter) {
  Tensor pads = op.convert(op.tensor(1), ScalarType::Long), axes = op.convert(op.tensor(3), ScalarType::Long);
  std::optional<int64_t> count = axes && axes.rank() == 1 ? graph::asConstant(axes.dim(0)) : std::nullopt;
  if (!pads || !count)
    return op.isBad() ? Tensors() : ((void)op.unsupported("with a symbolic number of axes"), Tensors());
  Tensors result;
  for (int64_t d = 0; d < rank; ++d) {
    SmallVector<Operand> operands;
    for (int64_t k = 0; k < *count; ++k)
      operands.append({op.select(axes, 0, op.constant(k)), op.select(pads, 0, op.constant(isAfter ? *count + k : k))});
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
  Tensors lows, highs; // what is before and after each of `axes`, where that is known only when the model runs
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
        lows = padsByInput(op, rank, false);
        highs = padsByInput(op, rank, true);
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
  for (size_t i = 0; lows.size() < axes.size(); ++i) {
    lows.push_back(op.select(all, 0, op.constant(i)));
    highs.push_back(op.select(all, 0, op.constant(axes.size() + i)));
  }
  for (auto [axis, low, high] : llvm::zip(axes, lows, highs)) {
    AffineExpr size = x.dim(axis);
    claimSize(op, op.binary(low, high, [&](Scalars &s, Value l, Value h) { return s.add(s.add(l, h), op.sizeValue(s, size)); }),
              (*declared)[axis]);
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

void populatePadding(ConverterTable &t) {
  t["Pad"] = convertPad;
  t["CenterCropPad"] = convertCenterCropPad;
}

} // namespace tenon::onnx_import
