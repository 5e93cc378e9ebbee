// Tensors made from numbers and sizes.
#include "Converter.h"

using namespace mlir;
using tenon::graph::Dims;

namespace tenon::torch_export {

static Dims shapeOf(Op &op) {
  if (op.has("size"))
    return op.sizes("size");
  Tensor like = op.tensor("self");
  return like ? like.dims() : Dims();
}

static LogicalResult finishFilled(Op &op, const Dims &dims, const Operand &value) {
  if (op.isBad() || value.isNull())
    return failure();
  ScalarType type = op.resultDtype();
  if (value.number && value.number->isConstant() && value.number->kind != ScalarType::ComplexDouble) {
    // i64 values beyond 2^53 would not survive as double.
    if (value.number->kind != ScalarType::Long || std::abs(value.number->integer) < (int64_t(1) << 53))
      return op.finish(op.full(dims, type, value.number->asDouble()));
  }
  return op.finish(
      op.map(type, type, {value}, [](Scalars &, ValueRange v) { return v[0]; }, ScalarType::Unknown, dims));
}

static LogicalResult convertFull(Op &op) { return finishFilled(op, shapeOf(op), op.operand("fill_value")); }

static Convert filled(double value) {
  return [value](Op &op) { return finishFilled(op, shapeOf(op), Number::of(value)); };
}

static LogicalResult convertScalarTensor(Op &op) {
  return finishFilled(op, {}, op.operand(op.has("s") ? "s" : "scalar"));
}

static LogicalResult convertArange(Op &op) {
  ScalarType type = op.resultDtype();
  Operand start = op.operandOr("start", Number::of(int64_t(0))), step = op.operandOr("step", Number::of(int64_t(1)));
  Operand end = op.operand("end");
  std::optional<Dims> dims = op.resultDims();
  if (op.isBad() || !dims || dims->size() != 1)
    return op.isBad() ? failure() : op.error("needs a recorded size");
  if (!(*dims)[0]) {
    if (!start.number || !step.number || !end.number)
      return op.unsupported("with a length that is known only when the model runs");
    auto asExpr = [&](const Operand &o) { return o.number->expr ? o.number->expr : op.constant(o.number->integer); };
    std::optional<int64_t> by = graph::asConstant(asExpr(step));
    if (!by || *by < 1 ||
        llvm::any_of(
            ArrayRef<Operand>{start, end, step}, [](const Operand &o) { return o.number->kind == ScalarType::Double; }))
      return op.unsupported("with a length that is no expression of sizes");
    (*dims)[0] = graph::normalize((asExpr(end) - asExpr(start)).ceilDiv(*by));
  }
  auto is = [](const Operand &o, double value) {
    return o.number && o.number->isConstant() && o.number->asDouble() == value;
  };
  // Computed in double where torch does: float32 steps would add up rounding errors.
  ScalarType work = isFloating(type) ? ScalarType::Double : ScalarType::Long;
  return op.finish(op.map(
      type, work, {start, step},
      [&](Scalars &s, ValueRange v) {
        Value i = op.index(s, 0);
        i = is(step, 1) ? i : s.mul(i, v[1]);
        return is(start, 0) ? i : s.add(v[0], i);
      },
      ScalarType::Unknown, *dims));
}

/// linspace, and the powers of a base with such exponents.
static LogicalResult convertLinspace(Op &op) {
  bool isPower = op.node.op().starts_with("aten.logspace");
  double base = isPower ? op.number("base", 10.0) : 0;
  ScalarType type = op.resultDtype();
  Operand start = op.operand("start"), end = op.operand("end");
  AffineExpr steps = op.size("steps");
  if (op.isBad())
    return failure();
  ScalarType work = isFloating(type) && !isPower ? type : ScalarType::Double;
  return op.finish(op.map(
      type, work, {start, end},
      [&](Scalars &s, ValueRange v) {
        Value i = op.index(s, 0), n = op.sizeValue(s, steps), one = s.number(1);
        Value step = s.div(s.sub(v[1], v[0]), s.max(s.sub(n, one), one));
        // From both ends towards the middle, as torch does.
        Value low = s.add(v[0], s.mul(step, i));
        Value high = s.sub(v[1], s.mul(step, s.sub(s.sub(n, one), i)));
        Value y = s.select(s.compare(Compare::Lt, s.mul(i, s.number(2)), s.sub(n, one)), low,
                           s.select(s.compare(Compare::Eq, n, one), v[0], high));
        return isPower ? s.make<math::PowFOp>(s.number(base), y) : y;
      },
      ScalarType::Unknown, Dims{steps}));
}

static LogicalResult convertEye(Op &op) {
  AffineExpr rows = op.size("n"), columns = op.size("m", rows);
  if (op.isBad())
    return failure();
  return op.finish(op.generate(
      op.resultDtype(), ScalarType::Long, {rows, columns},
      [&](Scalars &s, ValueRange) { return s.compare(Compare::Eq, op.index(s, 0), op.index(s, 1)); },
      ScalarType::Bool));
}

/// Keeps what lies on one side of a diagonal.
static Convert triangle(bool isLower) {
  return [isLower](Op &op) {
    Tensor x = op.tensor("self");
    if (!x || x.rank() < 2)
      return op.isBad() ? failure() : op.error("needs a matrix");
    int64_t diagonal = op.integer("diagonal", 0), rank = x.rank();
    return op.finish(op.map(x.dtype, x.dtype, {x}, [&](Scalars &s, ValueRange v) {
      Scalars ints(s.b, s.loc, ScalarType::Long);
      Value distance = ints.sub(op.index(ints, rank - 1), op.index(ints, rank - 2));
      Value keeps = ints.compare(isLower ? Compare::Le : Compare::Ge, distance, ints.integer(diagonal));
      return s.select(keeps, v[0], s.number(0));
    }));
  };
}

/// Row and column numbers of a triangle of a static matrix, row after row.
static Convert triangleIndices(bool isLower) {
  return [isLower](Op &op) {
    int64_t rows = op.integer("row"), columns = op.integer("col"), offset = op.integer("offset", 0);
    constexpr int64_t kMaxSide = 1 << 15;
    if (op.isBad() || rows < 0 || columns < 0 || rows > kMaxSide || columns > kMaxSide)
      return op.isBad() ? failure() : op.unsupported("of a large matrix");
    int64_t count = 0;
    for (int64_t i = 0; i < rows; ++i) {
      int64_t left = std::clamp<int64_t>(i + offset + (isLower ? 1 : 0), 0, columns);
      count += isLower ? left : columns - left;
    }
    // Of each row: the first column, and how many there are.
    auto perRow = [&](bool wantsCount) {
      return op.generate(ScalarType::Long, ScalarType::Long, {op.constant(rows)}, [&](Scalars &s, ValueRange) {
        Value i = op.index(s, 0), zero = s.integer(0), most = s.integer(columns);
        Value left = s.max(s.min(s.add(i, s.integer(offset + (isLower ? 1 : 0))), most), zero);
        if (wantsCount)
          return isLower ? left : s.sub(most, left);
        return isLower ? zero : left;
      });
    };
    if (count == 0)
      return op.finish(op.full({op.constant(2), op.constant(0)}, op.resultDtype(), 0));
    Tensor counts = perRow(true), row = repeatedPositions(op, counts, op.constant(count));
    Tensor ends = op.cumulate(graph::ReduceKind::Sum, counts, 0);
    auto ofRow = [&](Tensor t) { return op.gather(t, {row}, {-1}, {op.constant(count)}); };
    Tensor column = op.map(
        ScalarType::Long, ScalarType::Long, {ofRow(ends), ofRow(counts), ofRow(perRow(false))},
        [&](Scalars &s, ValueRange v) {
          Value begin = s.sub(v[0], v[1]); // of the row, among all
          return s.add(v[2], s.sub(op.index(s, 0), begin));
        });
    if (op.isBad())
      return failure();
    return op.finish(op.convert(op.concat({op.unsqueeze(row, 0), op.unsqueeze(column, 0)}, 0), op.resultDtype()));
  };
}

static LogicalResult convertMeshgrid(Op &op) {
  Tensors inputs = op.tensors("tensors");
  bool isXY = op.string("indexing", StringRef("ij")) == "xy" && inputs.size() > 1;
  Dims dims;
  for (const Tensor &input : inputs)
    dims.push_back(input.rank() == 0 ? op.constant(1) : input.dim(0));
  Tensors results;
  if (isXY)
    std::swap(dims[0], dims[1]);
  for (auto [i, input] : llvm::enumerate(inputs)) {
    int64_t at = isXY && i < 2 ? 1 - i : i;
    Dims wide(dims.size(), op.constant(1));
    wide[at] = dims[at];
    results.push_back(op.broadcast(op.reshape(input, wide), dims));
  }
  return op.finish(results);
}

static LogicalResult convertOneHot(Op &op) {
  Tensor x = op.tensor("self");
  int64_t classes = op.integer("num_classes", -1);
  if (!x || classes < 1)
    return op.isBad() ? failure() : op.unsupported("without a number of classes");
  Dims dims = x.dims();
  int64_t last = dims.size();
  dims.push_back(op.constant(classes));
  Operand from(x, upTo(last));
  return op.finish(op.map(
      ScalarType::Long, ScalarType::Long, {from},
      [&](Scalars &s, ValueRange v) { return s.compare(Compare::Eq, v[0], op.index(s, last)); }, ScalarType::Bool,
      dims));
}

void populateCreation(ConverterTable &t) {
  for (StringRef suffix : {"", "_like"})
    for (StringRef prefix : {"aten.", "aten.new_"}) {
      if (prefix == "aten.new_" && suffix == "_like")
        continue;
      t[(prefix + "zeros" + suffix).str()] = filled(0);
      t[(prefix + "ones" + suffix).str()] = filled(1);
      t[(prefix + "empty" + suffix).str()] = filled(0);
      t[(prefix + "full" + suffix).str()] = convertFull;
    }
  t["aten.empty_strided"] = t["aten.empty_permuted"] = t["aten.new_empty_strided"] = filled(0);
  t["aten.scalar_tensor"] = convertScalarTensor;
  t["aten.arange"] = convertArange;
  t["aten.linspace"] = t["aten.logspace"] = convertLinspace;
  t["aten.eye"] = convertEye;
  t["aten.tril"] = triangle(true);
  t["aten.triu"] = triangle(false);
  t["aten.tril_indices"] = triangleIndices(true);
  t["aten.triu_indices"] = triangleIndices(false);
  t["aten.meshgrid"] = convertMeshgrid;
  t["aten.one_hot"] = convertOneHot;
}

} // namespace tenon::torch_export
