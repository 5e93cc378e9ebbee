// Distances between vectors: norms of differences.
#include "Converter.h"
#include "Reduction.h"

using namespace mlir;
using tenon::graph::Dims;

namespace tenon::torch_export {

/// || l - r || along the last dimension, in the order `p`; 0 for vectors without elements.
static Tensor distance(Op &op, Tensor l, Tensor r, double p) {
  ScalarType type = resultType({l, r}), work = computeType(type);
  Tensor difference = op.map(work, work, {l, r}, [](Scalars &s, ValueRange v) { return s.sub(v[0], v[1]); });
  if (!difference)
    return {};
  int64_t last = difference.rank() - 1;
  if (graph::asConstant(difference.dim(last)) == 0)
    return op.full(ArrayRef(difference.dims()).drop_back(), type, 0);
  return op.convert(normOver(op, difference, p, {last}), type);
}

/// Between the rows of two matrices, in batches.
static LogicalResult convertCdist(Op &op) {
  Tensor a = op.tensor("x1"), b = op.tensor("x2");
  double p = op.number("p", 2.0);
  if (op.isBad() || a.rank() < 2 || b.rank() < 2)
    return op.isBad() ? failure() : op.error("needs matrices");
  return op.finish(distance(op, op.unsqueeze(a, a.rank() - 1), op.unsqueeze(b, b.rank() - 2), p));
}

/// Between all pairs of rows of one matrix: (0, 1), (0, 2), … (1, 2), …
static LogicalResult convertPdist(Op &op) {
  Tensor x = op.tensor("self");
  double p = op.number("p", 2.0);
  if (op.isBad() || x.rank() != 2)
    return op.isBad() ? failure() : op.error("needs a matrix");
  AffineExpr n = x.dim(0), count = graph::normalize((n * (n - 1)).floorDiv(2));
  if (std::optional<Dims> recorded = op.resultDims(); recorded && (*recorded)[0])
    count = (*recorded)[0];
  // Row of pair k: a root gives it, but for rounding.
  Tensor first = op.generate(ScalarType::Long, ScalarType::Long, {count}, [&](Scalars &s, ValueRange) {
    Scalars f(s.b, s.loc, ScalarType::Double);
    Value k = op.index(s, 0), size = op.sizeValue(s, n);
    Value b = f.sub(f.mul(op.sizeValue(f, n), f.number(2)), f.number(1));
    Value root = f.make<math::SqrtOp>(f.max(f.sub(f.mul(b, b), f.mul(op.index(f, 0), f.number(8))), f.number(0)));
    Value row = s.convert(f.mul(f.sub(b, root), f.number(0.5)), ScalarType::Double, ScalarType::Long);
    auto begin = [&](Value i) { // pairs before those of row i
      Value twice = s.mul(i, s.sub(s.sub(s.mul(size, s.integer(2)), i), s.integer(1)));
      return s.make<arith::ShRSIOp>(twice, s.integer(1));
    };
    row = s.select(s.compare(Compare::Gt, begin(row), k), s.sub(row, s.integer(1)), row);
    Value next = s.add(row, s.integer(1));
    return s.select(s.compare(Compare::Le, begin(next), k), next, row);
  });
  Tensor second = op.map(ScalarType::Long, ScalarType::Long, {first}, [&](Scalars &s, ValueRange v) {
    Value size = op.sizeValue(s, n);
    Value twice = s.mul(v[0], s.sub(s.sub(s.mul(size, s.integer(2)), v[0]), s.integer(1)));
    Value place = s.sub(op.index(s, 0), s.make<arith::ShRSIOp>(twice, s.integer(1)));
    return s.add(s.add(v[0], place), s.integer(1));
  });
  auto rows = [&](Tensor at) { return op.gather(x, {Operand(at, {0})}, {-1, 1}, {count, x.dim(1)}); };
  return op.finish(distance(op, rows(first), rows(second), p));
}

/// The norm of the difference of two tensors, all elements together.
static LogicalResult convertDist(Op &op) {
  Tensor a = op.tensor("self"), b = op.tensor("other");
  double p = op.number("p", 2.0);
  if (op.isBad())
    return failure();
  std::optional<Dims> dims = op.broadcastDims({a.dims(), b.dims()});
  if (!dims)
    return failure();
  AffineExpr count = graph::product(*dims, op.context());
  auto flat = [&](Tensor x) { return op.reshape(op.broadcast(x, *dims), {count}); };
  return op.finish(distance(op, flat(a), flat(b), p));
}

void populateDistance(ConverterTable &t) {
  t["aten.cdist"] = t["aten._cdist_forward"] = convertCdist;
  t["aten.pdist"] = t["aten._pdist_forward"] = convertPdist;
  t["aten.dist"] = convertDist;
}

} // namespace tenon::torch_export
