// Normalizations by the size of neighbouring elements: LRN, LpNormalization, MeanVarianceNormalization.
#include "Op.h"

using namespace mlir;
using tenon::graph::Dims;
using tenon::graph::ReduceKind;

namespace tenon::onnx_import {

/// x / (bias + alpha / size * sum of squares of `size` channels)^beta
static LogicalResult convertLrn(Op &op) {
  Tensor x = op.tensor(0);
  int64_t size = op.integer("size");
  double alpha = op.real("alpha", 1e-4), beta = op.real("beta", 0.75), bias = op.real("bias", 1.0);
  if (op.isBad())
    return failure();
  constexpr int64_t most = 64;
  if (x.rank() < 2 || size < 1)
    return op.error("has an input of rank " + Twine(x.rank()) + " or a size that is not positive");
  if (size > most)
    return op.unsupported("over more than " + Twine(most) + " channels");
  ScalarType type = x.dtype, work = computeType(type);
  x = op.convert(x, work);
  Dims low(x.rank(), op.constant(0)), high = low;
  low[1] = op.constant((size - 1) / 2), high[1] = op.constant(size / 2);
  Tensor padded = op.pad(x, low, high, 0);
  SmallVector<Operand> operands{x};
  for (int64_t k = 0; k < size; ++k)
    operands.push_back(op.slice(padded, 1, op.constant(k), x.dim(1)));
  return op.finish(op.map(type, work, operands, [&](Scalars &s, ValueRange v) {
    Value sum;
    for (Value neighbour : v.drop_front()) {
      Value square = s.mul(neighbour, neighbour);
      sum = sum ? s.add(sum, square) : square;
    }
    Value base = s.add(s.number(bias), s.mul(s.number(alpha / static_cast<double>(size)), sum));
    return s.div(v[0], s.power(base, beta));
  }));
}

/// x / its norm along one dimension; zeros stay.
static LogicalResult convertLpNorm(Op &op) {
  Tensor x = op.tensor(0);
  int64_t p = op.integer("p", 2);
  if (!x)
    return failure();
  int64_t dim = op.dim("axis", x.rank(), -1);
  if (op.isBad() || (p != 1 && p != 2))
    return op.isBad() ? failure() : op.error("has p = " + Twine(p) + ", which is neither 1 nor 2");
  ScalarType type = x.dtype;
  x = op.convert(x, computeType(type));
  Tensor size = op.reduceDims(
      ReduceKind::Sum, op.unary(x, [&](Scalars &s, Value v) { return p == 1 ? s.abs(v) : s.mul(v, v); }), {dim}, true);
  return op.finish(op.convert(op.binary(x, size,
                                        [&](Scalars &s, Value v, Value n) {
                                          Value isZero = s.compare(Compare::Eq, n, s.number(0));
                                          Value root = p == 1 ? n : s.make<math::SqrtOp>(n);
                                          return s.select(isZero, s.number(0), s.div(v, root));
                                        }),
                              type));
}

static LogicalResult convertMeanVarianceNorm(Op &op) {
  Tensor x = op.tensor(0);
  if (!x)
    return failure();
  SmallVector<int64_t> dims = op.hasAttribute("axes") ? op.integerList("axes") : SmallVector<int64_t>{0, 2, 3};
  for (int64_t &dim : dims)
    dim = op.wrapDim(dim, x.rank());
  llvm::sort(dims);
  dims.erase(llvm::unique(dims), dims.end());
  if (op.isBad())
    return failure();
  ScalarType type = x.dtype;
  x = op.convert(x, computeType(type));
  Tensor centered = op.sub(x, op.mean(x, dims, true));
  Tensor variance = op.mean(op.unary(centered, [](Scalars &s, Value v) { return s.mul(v, v); }), dims, true);
  return op.finish(op.convert(op.binary(centered, variance,
                                        [](Scalars &s, Value v, Value n) {
                                          return s.div(v, s.add(s.make<math::SqrtOp>(n), s.number(1e-9)));
                                        }),
                              type));
}

void populateLocalNorm(ConverterTable &t) {
  t["LRN"] = convertLrn;
  t["LpNormalization"] = convertLpNorm;
  t["MeanVarianceNormalization"] = convertMeanVarianceNorm;
}

} // namespace tenon::onnx_import
