// Reductions, running sums and orders along dimensions.
#include "Reduction.h"

using namespace mlir;
using tenon::graph::Dims;
using tenon::graph::ReduceKind;

namespace tenon::torch_export {

Tensor finishDims(Op &op, Tensor x, ArrayRef<int64_t> reduced, int64_t rank, bool keepsDims) {
  if (!x || !keepsDims)
    return x;
  Dims dims = x.dims();
  for (int64_t d : reduced)
    dims.insert(dims.begin() + std::min<int64_t>(d, dims.size()), op.constant(1));
  (void)rank;
  return op.reshape(x, dims);
}

/// Number of elements along `dims`, as a number for bodies.
static Number countOf(Op &op, Tensor x, ArrayRef<int64_t> dims) {
  Dims sizes = x.dims(), chosen;
  for (int64_t d : dims)
    if (x.rank() > 0)
      chosen.push_back(sizes[d]);
  AffineExpr count = graph::product(chosen, op.context());
  if (std::optional<int64_t> known = graph::asConstant(count))
    return Number::of(*known);
  Number number;
  number.expr = count;
  return number;
}

Tensor meanOver(Op &op, Tensor x, ArrayRef<int64_t> dims) {
  if (!x)
    return {};
  Number count = countOf(op, x, dims);
  Tensor sum = op.reduce(ReduceKind::Sum, x, dims);
  return op.map(x.dtype, x.dtype, {sum, count}, [](Scalars &s, ValueRange v) { return s.div(v[0], v[1]); });
}

SmallVector<int64_t> keptDims(int64_t rank, ArrayRef<int64_t> reduced) {
  SmallVector<int64_t> kept;
  for (int64_t d = 0; d < rank; ++d)
    if (!llvm::is_contained(reduced, d))
      kept.push_back(d);
  return kept;
}

static bool keepsDims(Op &op) { return op.flag("keepdim", false); }

//===----------------------------------------------------------------------===//
// Sums and their relatives
//===----------------------------------------------------------------------===//

static Convert convertReduce(ReduceKind kind) {
  return [kind](Op &op) {
    Tensor x = op.tensor("self");
    if (!x)
      return failure();
    SmallVector<int64_t> dims = op.dims("dim", x.rank());
    // Half floats are summed in float32 and rounded once.
    ScalarType type = op.resultDtype(), work = computeType(type);
    Tensor result = op.reduce(kind, op.convert(x, work), dims);
    return op.finish(op.convert(finishDims(op, result, dims, x.rank(), keepsDims(op)), type));
  };
}

static LogicalResult convertMean(Op &op) {
  Tensor x = op.tensor("self");
  if (!x)
    return failure();
  SmallVector<int64_t> dims = op.dims("dim", x.rank());
  ScalarType type = op.resultDtype(), work = computeType(type);
  Tensor mean = meanOver(op, op.convert(x, work), dims);
  return op.finish(op.convert(finishDims(op, mean, dims, x.rank(), keepsDims(op)), type));
}

static Convert convertExtremum(ReduceKind kind) {
  return [kind](Op &op) {
    Tensor x = op.tensor("self");
    if (!x)
      return failure();
    SmallVector<int64_t> dims = op.dims("dim", x.rank());
    if (isUnsigned(x.dtype)) { // the reduction compares signed integers
      Tensor wide = op.convert(x, ScalarType::Long);
      Tensor result = finishDims(op, op.reduce(kind, wide, dims), dims, x.rank(), keepsDims(op));
      return op.finish(op.convert(result, x.dtype));
    }
    return op.finish(finishDims(op, op.reduce(kind, x, dims), dims, x.rank(), keepsDims(op)));
  };
}

/// values and positions along one dimension
static Convert convertExtremumWithIndex(ReduceKind kind) {
  return [kind](Op &op) {
    Tensor x = op.tensor("self");
    if (!x)
      return failure();
    int64_t dim = op.dim("dim", x.rank());
    Tensor values = x, positions;
    if (x.rank() == 0) {
      positions = op.isUsed(1) ? op.scalar(ScalarType::Long, 0) : Tensor();
    } else {
      Tensor wide = isUnsigned(x.dtype) ? op.convert(x, ScalarType::Long) : x;
      values = finishDims(op, op.convert(op.reduce(kind, wide, {dim}), x.dtype), {dim}, x.rank(), keepsDims(op));
      if (op.isUsed(1))
        positions = finishDims(op, op.argReduce(kind, wide, dim), {dim}, x.rank(), keepsDims(op));
    }
    return op.finish({values, positions});
  };
}

static Convert convertArgExtremum(ReduceKind kind) {
  return [kind](Op &op) {
    Tensor x = op.tensor("self");
    if (!x)
      return failure();
    if (isUnsigned(x.dtype))
      x = op.convert(x, ScalarType::Long);
    int64_t rank = x.rank();
    if (rank == 0)
      return op.finish(op.scalar(ScalarType::Long, 0));
    if (op.has("dim")) {
      int64_t dim = op.dim("dim", rank);
      return op.finish(finishDims(op, op.argReduce(kind, x, dim), {dim}, rank, keepsDims(op)));
    }
    Tensor flat = op.flatten(x, 0, rank - 1);
    Tensor result = op.argReduce(kind, flat, 0);
    return op.finish(keepsDims(op) ? op.reshape(result, Dims(rank, op.constant(1))) : result);
  };
}

static Convert convertLogical(ReduceKind kind) {
  return [kind](Op &op) {
    Tensor x = op.tensor("self");
    if (!x)
      return failure();
    SmallVector<int64_t> dims = op.dims("dim", x.rank());
    Tensor result = op.reduce(kind, op.convert(x, ScalarType::Bool), dims);
    return op.finish(op.convert(finishDims(op, result, dims, x.rank(), keepsDims(op)), op.resultDtype()));
  };
}

static LogicalResult convertAminmax(Op &op) {
  Tensor x = op.tensor("self");
  if (!x)
    return failure();
  SmallVector<int64_t> dims = op.dims("dim", x.rank());
  bool keeps = keepsDims(op);
  return op.finish({finishDims(op, op.reduce(ReduceKind::Min, x, dims), dims, x.rank(), keeps),
                    finishDims(op, op.reduce(ReduceKind::Max, x, dims), dims, x.rank(), keeps)});
}

static LogicalResult convertCountNonzero(Op &op) {
  Tensor x = op.tensor("self");
  if (!x)
    return failure();
  SmallVector<int64_t> dims = op.dims("dim", x.rank());
  return op.finish(op.reduce(ReduceKind::Sum, op.convert(op.convert(x, ScalarType::Bool), ScalarType::Long), dims));
}

//===----------------------------------------------------------------------===//
// Variance and norms
//===----------------------------------------------------------------------===//

std::pair<Tensor, Tensor> meanAndVariance(Op &op, Tensor x, ArrayRef<int64_t> dims, double correction) {
  Tensor mean = meanOver(op, x, dims);
  if (!mean)
    return {};
  SmallVector<int64_t> kept = keptDims(x.rank(), dims);
  Tensor squares = op.map(x.dtype, x.dtype, {x, Operand(mean, kept)}, [](Scalars &s, ValueRange v) {
    Value d = s.sub(v[0], v[1]);
    return s.mul(d, d);
  });
  Number count = countOf(op, x, dims);
  Tensor sum = op.reduce(ReduceKind::Sum, squares, dims);
  Tensor variance = op.map(x.dtype, x.dtype, {sum, count}, [&](Scalars &s, ValueRange v) {
    Value divisor = v[1];
    if (correction != 0)
      divisor = s.max(s.sub(divisor, s.number(correction)), s.number(0));
    return s.div(v[0], divisor);
  });
  return {mean, variance};
}

/// var, std, var_mean, std_mean
static Convert convertVariance(bool isDeviation, bool givesMean) {
  return [=](Op &op) {
    Tensor x = op.tensor("self");
    if (!x)
      return failure();
    SmallVector<int64_t> dims = op.dims("dim", x.rank());
    double correction = op.has("correction") ? op.number("correction") : op.flag("unbiased", true) ? 1.0 : 0.0;
    ScalarType type = op.resultDtype();
    auto [mean, result] = meanAndVariance(op, op.convert(x, computeType(type)), dims, correction);
    if (isDeviation)
      result = op.map(result.dtype, result.dtype, {result},
                      [](Scalars &s, ValueRange v) { return s.make<math::SqrtOp>(v[0]); });
    auto finish = [&](Tensor t) { return op.convert(finishDims(op, t, dims, x.rank(), keepsDims(op)), type); };
    result = finish(result);
    return givesMean ? op.finish({result, finish(mean)}) : op.finish(result);
  };
}

Tensor normOver(Op &op, Tensor x, double order, ArrayRef<int64_t> dims) {
  if (!x)
    return {};
  ScalarType type = x.dtype;
  auto mapped = [&](Tensor t, auto body) {
    return op.map(type, type, {t}, [&](Scalars &s, ValueRange v) -> Value { return body(s, v[0]); });
  };
  auto absolute = [](Scalars &s, Value v) { return s.abs(v); };
  if (std::isinf(order))
    return op.reduce(order > 0 ? ReduceKind::Max : ReduceKind::Min, mapped(x, absolute), dims);
  if (order == 0)
    return op.reduce(
        ReduceKind::Sum,
        mapped(x, [](Scalars &s,
                     Value v) { return s.select(s.compare(Compare::Ne, v, s.number(0)), s.number(1), s.number(0)); }),
        dims);
  if (order == 1)
    return op.reduce(ReduceKind::Sum, mapped(x, absolute), dims);
  Tensor powers = mapped(x, [&](Scalars &s, Value v) { return s.power(order == 2 ? v : s.abs(v), order); });
  return mapped(op.reduce(ReduceKind::Sum, powers, dims), [&](Scalars &s, Value v) { return s.power(v, 1 / order); });
}

static LogicalResult convertNorm(Op &op) {
  StringRef name = op.has("self") ? "self" : "x";
  Tensor x = op.tensor(name);
  if (!x)
    return failure();
  double order = op.has("ord") ? op.number("ord") : op.has("p") ? op.number("p") : 2.0;
  SmallVector<int64_t> dims = op.dims("dim", x.rank());
  ScalarType type = op.resultDtype();
  if (isComplex(x.dtype)) {
    ScalarType part = x.dtype == ScalarType::ComplexDouble ? ScalarType::Double : ScalarType::Float;
    x = op.map(
        part, x.dtype, {x}, [](Scalars &s, ValueRange v) { return s.make<complex::AbsOp>(v[0]); }, part);
  }
  Tensor result = normOver(op, op.convert(x, computeType(type)), order, dims);
  return op.finish(op.convert(finishDims(op, result, dims, x.rank(), keepsDims(op)), type));
}

/// linalg_norm without an order is that of the elements; with one and two dimensions it would be a matrix norm.
static LogicalResult convertLinalgNorm(Op &op) {
  Tensor x = op.tensor("self");
  if (!x)
    return failure();
  size_t dims = op.has("dim") ? op.integers("dim").size() : x.rank();
  if (op.node.arg("ord").kind() == Argument::Kind::String || (op.has("ord") && dims != 1))
    return op.unsupported("as a norm of matrices");
  return convertNorm(op);
}

/// || x1 - x2 + eps || along the last dimension
static LogicalResult convertPairwiseDistance(Op &op) {
  Tensor a = op.tensor("x1"), b = op.tensor("x2");
  double p = op.number("p", 2.0), eps = op.number("eps", 1e-6);
  ScalarType type = op.resultDtype(), work = computeType(type);
  Tensor difference =
      op.map(work, work, {a, b}, [&](Scalars &s, ValueRange v) { return s.add(s.sub(v[0], v[1]), s.number(eps)); });
  if (!difference || difference.rank() == 0)
    return op.isBad() ? failure() : op.error("needs a dimension");
  int64_t last = difference.rank() - 1;
  Tensor norm = normOver(op, difference, p, {last});
  return op.finish(op.convert(finishDims(op, norm, {last}, last + 1, keepsDims(op)), type));
}

/// nansum and nanmean
static Convert withoutNans(bool isMean) {
  return [isMean](Op &op) {
    Tensor x = op.tensor("self");
    if (!x)
      return failure();
    SmallVector<int64_t> dims = op.dims("dim", x.rank());
    ScalarType type = op.resultDtype(), work = computeType(type);
    Tensor kept =
        op.map(work, work, {x}, [](Scalars &s, ValueRange v) { return s.select(s.isNan(v[0]), s.number(0), v[0]); });
    Tensor sum = op.reduce(ReduceKind::Sum, kept, dims);
    if (isMean) {
      Tensor ones = op.map(work, work, {x},
                           [](Scalars &s, ValueRange v) { return s.select(s.isNan(v[0]), s.number(0), s.number(1)); });
      sum = op.map(work, work, {sum, op.reduce(ReduceKind::Sum, ones, dims)},
                   [](Scalars &s, ValueRange v) { return s.div(v[0], v[1]); });
    }
    return op.finish(op.convert(finishDims(op, sum, dims, x.rank(), keepsDims(op)), type));
  };
}

static LogicalResult convertLogSumExp(Op &op) {
  Tensor x = op.tensor("self");
  if (!x)
    return failure();
  SmallVector<int64_t> dims = op.dims("dim", x.rank());
  ScalarType type = op.resultDtype(), work = computeType(type);
  x = op.convert(x, work);
  Tensor max = op.reduce(ReduceKind::Max, x, dims);
  // An infinite maximum would give NaN by inf - inf.
  Tensor shift = op.map(work, work, {max}, [](Scalars &s, ValueRange v) {
    Value infinite = s.compare(Compare::Eq, s.abs(v[0]), s.number(std::numeric_limits<double>::infinity()));
    return s.select(infinite, s.number(0), v[0]);
  });
  if (!shift)
    return failure();
  Tensor exps = op.map(work, work, {x, Operand(shift, keptDims(x.rank(), dims))},
                       [](Scalars &s, ValueRange v) { return s.make<math::ExpOp>(s.sub(v[0], v[1])); });
  Tensor sum = op.reduce(ReduceKind::Sum, exps, dims);
  Tensor result =
      op.map(work, work, {sum, shift}, [](Scalars &s, ValueRange v) { return s.add(s.make<math::LogOp>(v[0]), v[1]); });
  return op.finish(op.convert(finishDims(op, result, dims, x.rank(), keepsDims(op)), type));
}

//===----------------------------------------------------------------------===//
// Running combinations and orders
//===----------------------------------------------------------------------===//

static Convert convertCumulate(ReduceKind kind) {
  return [kind](Op &op) {
    Tensor x = op.tensor("self");
    if (!x)
      return failure();
    int64_t dim = op.dim("dim", x.rank());
    ScalarType type = op.resultDtype(), work = computeType(type);
    return op.finish(op.convert(op.cumulate(kind, op.convert(x, work), dim), type));
  };
}

static LogicalResult convertSort(Op &op) {
  Tensor x = op.tensor("self");
  if (!x)
    return failure();
  int64_t dim = op.dim("dim", x.rank(), -1);
  auto [values, positions] = op.sort(x, dim, op.flag("descending", false));
  if (op.node.op().starts_with("aten.argsort"))
    return op.finish(positions);
  return op.finish({values, positions});
}

static LogicalResult convertTopk(Op &op) {
  Tensor x = op.tensor("self");
  AffineExpr k = op.size("k");
  if (!x)
    return failure();
  int64_t dim = op.dim("dim", x.rank(), -1);
  auto [values, positions] = op.sort(x, dim, op.flag("largest", true));
  if (x.rank() == 0)
    return op.finish({values, positions});
  return op.finish({op.slice(values, dim, op.constant(0), k), op.slice(positions, dim, op.constant(0), k)});
}

/// The k-th smallest.
static LogicalResult convertKth(Op &op) {
  Tensor x = op.tensor("self");
  if (!x)
    return failure();
  if (x.rank() == 0)
    return op.finish({x, op.scalar(ScalarType::Long, 0)});
  int64_t dim = op.dim("dim", x.rank(), -1);
  AffineExpr k = op.size("k") - 1;
  auto [values, positions] = op.sort(x, dim, false);
  bool keeps = keepsDims(op);
  auto take = [&](Tensor t) { return keeps ? op.slice(t, dim, k, op.constant(1)) : op.select(t, dim, k); };
  return op.finish({take(values), take(positions)});
}

void populateReduction(ConverterTable &t) {
  t["aten.sum"] = convertReduce(ReduceKind::Sum);
  t["aten.prod"] = convertReduce(ReduceKind::Prod);
  t["aten.mean"] = convertMean;
  t["aten.amax"] = t["aten.max.default"] = convertExtremum(ReduceKind::Max);
  t["aten.amin"] = t["aten.min.default"] = convertExtremum(ReduceKind::Min);
  t["aten.max.dim"] = convertExtremumWithIndex(ReduceKind::Max);
  t["aten.min.dim"] = convertExtremumWithIndex(ReduceKind::Min);
  t["aten.argmax"] = convertArgExtremum(ReduceKind::Max);
  t["aten.argmin"] = convertArgExtremum(ReduceKind::Min);
  t["aten.aminmax"] = convertAminmax;
  t["aten.any"] = convertLogical(ReduceKind::Any);
  t["aten.all"] = t["aten._is_all_true"] = convertLogical(ReduceKind::All);
  t["aten._is_any_true"] = convertLogical(ReduceKind::Any);
  t["aten.count_nonzero"] = convertCountNonzero;
  t["aten.var"] = convertVariance(false, false);
  t["aten.std"] = convertVariance(true, false);
  t["aten.var_mean"] = convertVariance(false, true);
  t["aten.std_mean"] = convertVariance(true, true);
  t["aten.linalg_vector_norm"] = t["aten.norm"] = convertNorm;
  t["aten.frobenius_norm"] = convertNorm;
  t["aten.linalg_norm"] = convertLinalgNorm;
  t["aten.pairwise_distance"] = convertPairwiseDistance;
  t["aten.nansum"] = withoutNans(false);
  t["aten.nanmean"] = withoutNans(true);
  t["aten.logsumexp"] = t["aten.special_logsumexp"] = convertLogSumExp;
  t["aten.cumsum"] = convertCumulate(ReduceKind::Sum);
  t["aten.cumprod"] = convertCumulate(ReduceKind::Prod);
  t["aten.sort"] = t["aten.argsort"] = convertSort;
  t["aten.topk"] = convertTopk;
  t["aten.kthvalue"] = convertKth;
}

} // namespace tenon::torch_export
