// LU, Cholesky, QR, eigenvalues and singular values as loops over columns or over rotations.
#include "Matrices.h"
#include "Reduction.h"

using namespace mlir;
using tenon::graph::Dims;
using tenon::graph::ReduceKind;

namespace tenon::torch_export {

Tensors repeatSteps(Op &op, AffineExpr count, ArrayRef<Tensor> carry, ArrayRef<Tensor> captures, bool reverse,
                    llvm::function_ref<Tensors(Tensor, ArrayRef<Tensor>, ArrayRef<Tensor>)> body) {
  if (graph::asConstant(count) == 0)
    return Tensors(carry.begin(), carry.end());
  Tensor numbers = op.generate(kLong, kLong, {count}, [&](Scalars &s, ValueRange) { return op.index(s, 0); });
  Tensors last = op.scan(
      carry, numbers, captures,
      [&](ArrayRef<Tensor> state, ArrayRef<Tensor> now, ArrayRef<Tensor> outside) {
        Tensors next = body(now[0], state, outside);
        for (auto [value, before] : llvm::zip(next, state))
          value = op.withDims(value, before.dims());
        return next;
      },
      reverse);
  last.resize(carry.size()); // null tensors when something was reported
  return last;
}

//===----------------------------------------------------------------------===//
// Parts of matrices
//===----------------------------------------------------------------------===//

/// An index of rank 0, the same for all.
static Operand everywhere(Tensor k) { return Operand(k, SmallVector<int64_t>()); }

Tensor columnOf(Op &op, Tensor a, Tensor k) {
  return op.gather(a, {everywhere(k)}, {0, 1, -1}, {a.dim(0), a.dim(1)});
}
Tensor rowOf(Op &op, Tensor a, Tensor k) {
  return op.gather(a, {everywhere(k)}, {0, -1, 1}, {a.dim(0), a.dim(2)});
}
/// Element k of each vector of a batch.
Tensor entryOf(Op &op, Tensor v, Tensor k) { return op.gather(v, {everywhere(k)}, {0, -1}, {v.dim(0)}); }

Tensor diagonalOf(Op &op, Tensor a) {
  if (!a)
    return {};
  AffineExpr n = op.isLessEqual(a.dim(1), a.dim(2)).value_or(true) ? a.dim(1) : a.dim(2);
  Tensor at = op.generate(kLong, kLong, {n}, [&](Scalars &s, ValueRange) { return op.index(s, 0); });
  return op.gather(a, {Operand(at, {1})}, {0, -1, -1}, {a.dim(0), n});
}

Tensor takeRows(Op &op, Tensor a, Tensor positions) {
  return !a || !positions ? Tensor()
                          : op.gather(a, {Operand(positions, {0, 1})}, {0, -1, 2},
                                      {a.dim(0), positions.dim(1), a.dim(2)});
}

Tensor unitMatrices(Op &op, AffineExpr batch, AffineExpr n) {
  return op.generate(
      kWork, kLong, {batch, n, n},
      [&](Scalars &s, ValueRange) { return s.compare(Compare::Eq, op.index(s, 1), op.index(s, 2)); }, ScalarType::Bool);
}

Tensor triangleOf(Op &op, Tensor a, bool isLower, bool hasUnitDiagonal) {
  return op.map(kWork, kWork, {a}, [&](Scalars &s, ValueRange v) {
    Scalars ints(s.b, s.loc, kLong);
    Value i = op.index(ints, 1), j = op.index(ints, 2);
    Value x = hasUnitDiagonal ? s.select(ints.compare(Compare::Eq, i, j), s.number(1), v[0]) : v[0];
    return s.select(ints.compare(isLower ? Compare::Le : Compare::Ge, j, i), x, s.number(0));
  });
}

static AffineExpr smaller(Op &op, AffineExpr a, AffineExpr b) {
  if (op.isLessEqual(a, b).value_or(false))
    return a;
  if (op.isLessEqual(b, a).value_or(false))
    return b;
  (void)op.unsupported("of a matrix of which it is not known whether it is wide or tall");
  return a;
}

//===----------------------------------------------------------------------===//
// LU
//===----------------------------------------------------------------------===//

/// Position i, with k and p exchanged.
static Tensor exchange(Op &op, Tensor p, Tensor k, AffineExpr rows) {
  return op.map(
      kLong, kLong, {Operand(p, {0}), everywhere(k)},
      [&](Scalars &s, ValueRange v) {
        Value i = op.index(s, 1);
        return s.select(s.compare(Compare::Eq, i, v[1]), v[0],
                        s.select(s.compare(Compare::Eq, i, v[0]), v[1], i));
      },
      ScalarType::Unknown, Dims{p.dim(0), rows});
}

static Tensor counted(Op &op, AffineExpr batch, AffineExpr n) {
  return op.generate(kLong, kLong, {batch, n}, [&](Scalars &s, ValueRange) { return op.index(s, 1); });
}

static Tensor reorder(Op &op, Tensor order, Tensor positions) {
  return op.gather(order, {Operand(positions, {0, 1})}, {0, -1}, positions.dims());
}

Tensor orderOfPivots(Op &op, Tensor pivots, AffineExpr rows) {
  if (!pivots)
    return {};
  return repeatSteps(op, pivots.dim(1), {counted(op, pivots.dim(0), rows)}, {pivots}, false,
                     [&](Tensor k, ArrayRef<Tensor> carry, ArrayRef<Tensor> captures) -> Tensors {
                       return {reorder(op, carry[0], exchange(op, entryOf(op, captures[0], k), k, rows))};
                     })[0];
}

LuFactors factorLu(Op &op, Tensor a) {
  if (!a)
    return {};
  AffineExpr batch = a.dim(0), rows = a.dim(1), steps = smaller(op, rows, a.dim(2));
  auto step = [&](Tensor k, ArrayRef<Tensor> carry, ArrayRef<Tensor>) -> Tensors {
    Tensor lu = carry[0];
    Tensor sizes = op.map(kWork, kWork, {columnOf(op, lu, k), Operand::raw(k)}, [&](Scalars &s, ValueRange v) {
      Scalars ints(s.b, s.loc, kLong);
      return s.select(ints.compare(Compare::Lt, op.index(ints, 1), v[1]), s.number(-1), s.abs(v[0]));
    });
    Tensor p = op.argReduce(ReduceKind::Max, sizes, 1);
    if (!p)
      return Tensors(4);
    Tensor positions = exchange(op, p, k, rows);
    lu = takeRows(op, lu, positions);
    Tensor below = columnOf(op, lu, k), pivot = entryOf(op, below, k);
    Tensor next = op.map(
        kWork, kWork,
        {lu, Operand(below, {0, 1}), Operand(rowOf(op, lu, k), {0, 2}), Operand(pivot, {0}), Operand::raw(k)},
        [&](Scalars &s, ValueRange v) {
          Scalars ints(s.b, s.loc, kLong);
          Value i = op.index(ints, 1), j = op.index(ints, 2), zero = s.number(0);
          Value factor = s.select(s.compare(Compare::Eq, v[3], zero), v[1], s.div(v[1], v[3]));
          Value inner = s.select(ints.compare(Compare::Gt, j, v[4]), s.sub(v[0], s.mul(factor, v[2])), v[0]);
          Value updated = s.select(ints.compare(Compare::Eq, j, v[4]), factor, inner);
          return s.select(ints.compare(Compare::Gt, i, v[4]), updated, v[0]);
        });
    Tensor pivots = op.map(kLong, kLong, {carry[2], Operand(p, {0}), everywhere(k)}, [&](Scalars &s, ValueRange v) {
      return s.select(s.compare(Compare::Eq, op.index(s, 1), v[2]), v[1], v[0]);
    });
    Tensor sign = op.map(kWork, kWork, {carry[3], Operand::raw(p), Operand::raw(k)}, [&](Scalars &s, ValueRange v) {
      return s.select(Scalars(s.b, s.loc, kLong).compare(Compare::Eq, v[1], v[2]), v[0], s.neg(v[0]));
    });
    return {next, reorder(op, carry[1], positions), pivots, sign};
  };
  Tensors start{a, counted(op, batch, rows), op.full({batch, steps}, kLong, 0), op.full({batch}, kWork, 1)};
  Tensors results = repeatSteps(op, steps, start, {}, false, step);
  return {results[0], results[1], results[2], results[3]};
}

Tensor solveTriangular(Op &op, Tensor t, Tensor b, bool isUpper, bool isUnit) {
  if (!t || !b)
    return {};
  auto step = [&](Tensor k, ArrayRef<Tensor> carry, ArrayRef<Tensor> captures) -> Tensors {
    Tensor beside = columnOf(op, captures[0], k);
    return {op.map(kWork, kWork,
                   {carry[0], Operand(rowOf(op, carry[0], k), {0, 2}), Operand(beside, {0, 1}),
                    Operand(entryOf(op, beside, k), {0}), Operand::raw(k)},
                   [&](Scalars &s, ValueRange v) {
                     Scalars ints(s.b, s.loc, kLong);
                     Value i = op.index(ints, 1), y = isUnit ? v[1] : s.div(v[1], v[3]);
                     Value rest = s.select(ints.compare(isUpper ? Compare::Lt : Compare::Gt, i, v[4]),
                                           s.sub(v[0], s.mul(v[2], y)), v[0]);
                     return s.select(ints.compare(Compare::Eq, i, v[4]), y, rest);
                   })};
  };
  return repeatSteps(op, t.dim(1), {b}, {t}, isUpper, step)[0];
}

//===----------------------------------------------------------------------===//
// Cholesky, QR
//===----------------------------------------------------------------------===//

std::pair<Tensor, Tensor> factorCholesky(Op &op, Tensor a) {
  if (!a)
    return {};
  auto step = [&](Tensor k, ArrayRef<Tensor> carry, ArrayRef<Tensor>) -> Tensors {
    Tensor c = columnOf(op, carry[0], k), pivot = entryOf(op, c, k);
    Tensor next = op.map(
        kWork, kWork, {carry[0], Operand(c, {0, 1}), Operand(c, {0, 2}), Operand(pivot, {0}), Operand::raw(k)},
        [&](Scalars &s, ValueRange v) {
          Scalars ints(s.b, s.loc, kLong);
          Value i = op.index(ints, 1), j = op.index(ints, 2), root = s.make<math::SqrtOp>(v[3]);
          Value below = ints.compare(Compare::Gt, i, v[4]);
          Value inner = s.both(below, ints.compare(Compare::Gt, j, v[4]));
          Value inColumn = s.select(below, s.div(v[1], root),
                                    s.select(ints.compare(Compare::Eq, i, v[4]), root, v[0]));
          return s.select(inner, s.sub(v[0], s.div(s.mul(v[1], v[2]), v[3])),
                          s.select(ints.compare(Compare::Eq, j, v[4]), inColumn, v[0]));
        });
    Tensor info = op.map(kLong, kLong, {carry[1], Operand::raw(pivot), everywhere(k)}, [&](Scalars &s, ValueRange v) {
      Scalars f(s.b, s.loc, kWork);
      Value isGood = f.compare(Compare::Gt, v[1], f.number(0));
      Value isFirst = s.both(s.compare(Compare::Eq, v[0], s.integer(0)), s.negate(isGood));
      return s.select(isFirst, s.add(v[2], s.integer(1)), v[0]);
    });
    return {next, info};
  };
  Tensors results = repeatSteps(op, a.dim(1), {a, op.full({a.dim(0)}, kLong, 0)}, {}, false, step);
  return {triangleOf(op, results[0], true), results[1]};
}

/// x - factor * v w^T, per matrix
static Tensor subtractOuter(Op &op, Tensor x, Tensor factor, Tensor v, Tensor w) {
  return op.map(kWork, kWork, {x, Operand(factor, {0}), Operand(v, {0, 1}), Operand(w, {0, 2})},
                [](Scalars &s, ValueRange a) { return s.sub(a[0], s.mul(a[1], s.mul(a[2], a[3]))); });
}

std::pair<Tensor, Tensor> factorQr(Op &op, Tensor a) {
  if (!a)
    return {};
  AffineExpr batch = a.dim(0), rows = a.dim(1);
  auto step = [&](Tensor k, ArrayRef<Tensor> carry, ArrayRef<Tensor>) -> Tensors {
    Tensor q = carry[0], r = carry[1], c = columnOf(op, r, k), pivot = entryOf(op, c, k);
    Tensor squares = op.map(kWork, kWork, {c, Operand::raw(k)}, [&](Scalars &s, ValueRange v) {
      Scalars ints(s.b, s.loc, kLong);
      return s.select(ints.compare(Compare::Gt, op.index(ints, 1), v[1]), s.mul(v[0], v[0]), s.number(0));
    });
    Tensor below = op.reduce(ReduceKind::Sum, squares, {1});
    // The pivot becomes -sign(pivot) * norm, except where nothing is to be cleared.
    Tensor lead = op.map(kWork, kWork, {pivot, below}, [](Scalars &s, ValueRange v) {
      Value norm = s.make<math::SqrtOp>(s.add(s.mul(v[0], v[0]), v[1]));
      return s.add(v[0], s.make<math::CopySignOp>(norm, v[0]));
    });
    Tensor factor = op.map(kWork, kWork, {lead, below}, [](Scalars &s, ValueRange v) {
      Value twice = s.div(s.number(2), s.add(s.mul(v[0], v[0]), v[1]));
      return s.select(s.compare(Compare::Eq, v[1], s.number(0)), s.number(0), twice);
    });
    Tensor v = op.map(kWork, kWork, {c, Operand(lead, {0}), Operand::raw(k)}, [&](Scalars &s, ValueRange x) {
      Scalars ints(s.b, s.loc, kLong);
      Value i = op.index(ints, 1);
      return s.select(ints.compare(Compare::Eq, i, x[2]), x[1],
                      s.select(ints.compare(Compare::Gt, i, x[2]), x[0], s.number(0)));
    });
    if (!v)
      return Tensors(2);
    Tensor ofR = op.contract(v, "bi", r, "bij", "bj"), ofQ = op.contract(q, "bij", v, "bj", "bi");
    return {subtractOuter(op, q, factor, ofQ, v), subtractOuter(op, r, factor, v, ofR)};
  };
  Tensors results = repeatSteps(op, smaller(op, rows, a.dim(2)), {unitMatrices(op, batch, rows), a}, {}, false, step);
  return {results[0], triangleOf(op, results[1], false)};
}

//===----------------------------------------------------------------------===//
// Rotations: Jacobi's methods
//===----------------------------------------------------------------------===//

namespace {
/// Disjoint rotations, one for each pair of rows that meet in a step of a tournament.
struct Rotations {
  Tensor partners;       ///< [n]
  Tensor cosines, sines; ///< [batch, n], seen from each row
};
} // namespace

/// So many rounds through all pairs reach the precision of f64 for every size that is practical.
static constexpr int64_t kSweeps = 14;

static AffineExpr tournamentSize(AffineExpr n) { return graph::normalize(n.ceilDiv(2) * 2); }

static AffineExpr rotationSteps(Op &op, AffineExpr n) {
  AffineExpr rounds = graph::normalize(tournamentSize(n) - 1);
  return graph::asConstant(n).value_or(2) < 2 ? op.constant(0) : graph::normalize(rounds * kSweeps);
}

/// Whom row i meets in step k; itself when the number of rows is odd and it has no partner.
static Tensor partnersOf(Op &op, Tensor k, AffineExpr n) {
  return op.map(
      kLong, kLong, {everywhere(k)},
      [&](Scalars &s, ValueRange v) {
        Value i = op.index(s, 0), last = s.sub(op.sizeValue(s, tournamentSize(n)), s.integer(1));
        Value round = s.fmod(v[0], last), twice = s.mul(round, s.integer(2));
        Value j = s.fmod(s.add(s.sub(twice, i), last), last);
        j = s.select(s.compare(Compare::Eq, j, i), last, j);
        j = s.select(s.compare(Compare::Eq, i, last), round, j);
        return s.select(s.compare(Compare::Lt, j, op.sizeValue(s, n)), j, i);
      },
      ScalarType::Unknown, Dims{n});
}

/// Rotations after which the products between partners are 0; `squares` and `products` are those of each row with itself
/// and with its partner.
static Rotations rotationsFor(Op &op, Tensor partners, Tensor squares, Tensor products) {
  Tensor others = op.gather(squares, {Operand(partners, {1})}, {0, -1}, squares.dims());
  Operand partner(partners, {1});
  partner.isRaw = true;
  Tensor tangents = op.map(kWork, kWork, {squares, others, products, partner}, [&](Scalars &s, ValueRange v) {
    Scalars ints(s.b, s.loc, kLong);
    Value i = op.index(ints, 1), zero = s.number(0), one = s.number(1);
    Value cotangent = s.div(s.sub(v[1], v[0]), s.mul(v[2], s.number(2)));
    Value size = s.abs(cotangent);
    Value t = s.div(one, s.add(size, s.make<math::SqrtOp>(s.add(one, s.mul(size, size)))));
    Value isFirst = ints.compare(Compare::Lt, i, v[3]);
    Value isPositive = s.select(s.compare(Compare::Eq, cotangent, zero), isFirst, s.compare(Compare::Gt, cotangent, zero));
    Value isIdle = s.either(s.compare(Compare::Eq, v[2], zero), ints.compare(Compare::Eq, i, v[3]));
    return s.select(isIdle, zero, s.select(isPositive, t, s.neg(t)));
  });
  Tensor cosines = op.map(kWork, kWork, {tangents}, [](Scalars &s, ValueRange v) {
    return s.div(s.number(1), s.make<math::SqrtOp>(s.add(s.number(1), s.mul(v[0], v[0]))));
  });
  Tensor sines = op.map(kWork, kWork, {tangents, cosines}, [](Scalars &s, ValueRange v) { return s.mul(v[0], v[1]); });
  return {partners, cosines, sines};
}

/// c x_i - s x_partner along dimension `dim` of [batch, rows, columns].
static Tensor rotate(Op &op, const Rotations &r, Tensor x, int64_t dim) {
  SmallVector<int64_t> coords{0, 1, 2};
  coords[dim] = -1;
  Tensor other = op.gather(x, {Operand(r.partners, {dim})}, coords, x.dims());
  return op.map(kWork, kWork, {x, other, Operand(r.cosines, {0, dim}), Operand(r.sines, {0, dim})},
                [](Scalars &s, ValueRange v) { return s.sub(s.mul(v[2], v[0]), s.mul(v[3], v[1])); });
}

std::pair<Tensor, Tensor> solveSymmetric(Op &op, Tensor a) {
  if (!a)
    return {};
  AffineExpr batch = a.dim(0), n = a.dim(1);
  // Both triangles from the lower one.
  Tensor mirrored = op.transpose(a, 1, 2);
  a = op.map(kWork, kWork, {a, mirrored}, [&](Scalars &s, ValueRange v) {
    Scalars ints(s.b, s.loc, kLong);
    return s.select(ints.compare(Compare::Ge, op.index(ints, 1), op.index(ints, 2)), v[0], v[1]);
  });
  auto step = [&](Tensor k, ArrayRef<Tensor> carry, ArrayRef<Tensor>) -> Tensors {
    Tensor partners = partnersOf(op, k, n);
    Tensor products = op.gather(carry[0], {Operand(partners, {1})}, {0, 1, -1}, {batch, n});
    Rotations r = rotationsFor(op, partners, diagonalOf(op, carry[0]), products);
    return {rotate(op, r, rotate(op, r, carry[0], 1), 2), rotate(op, r, carry[1], 1)};
  };
  Tensors results = repeatSteps(op, rotationSteps(op, n), {a, unitMatrices(op, batch, n)}, {}, false, step);
  auto [values, order] = op.sort(diagonalOf(op, results[0]), 1, false);
  return {values, op.transpose(takeRows(op, results[1], order), 1, 2)};
}

SvdFactors factorSvd(Op &op, Tensor a, bool isFull) {
  if (!a)
    return {};
  AffineExpr batch = a.dim(0), n = smaller(op, a.dim(1), a.dim(2));
  bool isTall = n == a.dim(2);
  // The shorter dimension's vectors become rows, which are rotated until they are orthogonal.
  Tensor vectors = isTall ? op.transpose(a, 1, 2) : a;
  auto step = [&](Tensor k, ArrayRef<Tensor> carry, ArrayRef<Tensor>) -> Tensors {
    Tensor x = carry[0], partners = partnersOf(op, k, n);
    Tensor other = op.gather(x, {Operand(partners, {1})}, {0, -1, 2}, x.dims());
    auto sum = [&](Tensor y) {
      return op.reduce(ReduceKind::Sum,
                       op.map(kWork, kWork, {x, y}, [](Scalars &s, ValueRange v) { return s.mul(v[0], v[1]); }), {2});
    };
    Rotations r = rotationsFor(op, partners, sum(x), sum(other));
    return {rotate(op, r, x, 1), rotate(op, r, carry[1], 1)};
  };
  Tensors results = repeatSteps(op, rotationSteps(op, n), {vectors, unitMatrices(op, batch, n)}, {}, false, step);
  Tensor squares = op.reduce(
      ReduceKind::Sum,
      op.map(kWork, kWork, {results[0]}, [](Scalars &s, ValueRange v) { return s.mul(v[0], v[0]); }), {2});
  auto [sorted, order] = op.sort(squares, 1, true);
  Tensor values = op.map(kWork, kWork, {sorted}, [](Scalars &s, ValueRange v) { return s.make<math::SqrtOp>(v[0]); });
  Tensor rotations = takeRows(op, results[1], order); // [n, n]
  // A QR factorization normalizes the others, and completes them where singular values are 0.
  auto [q, r] = factorQr(op, op.transpose(takeRows(op, results[0], order), 1, 2));
  if (!q || !rotations)
    return {};
  Tensor diagonal = diagonalOf(op, r);
  Tensor first = op.map(kWork, kWork, {op.slice(q, 2, op.constant(0), n), Operand(diagonal, {0, 2})},
                        [](Scalars &s, ValueRange v) { return s.mul(v[0], s.make<math::CopySignOp>(s.number(1), v[1])); });
  Tensor vectorsOut = first;
  AffineExpr more = graph::normalize(q.dim(2) - n);
  if (isFull && graph::asConstant(more) != 0)
    vectorsOut = op.concat({first, op.slice(q, 2, n, more)}, 2);
  return isTall ? SvdFactors{vectorsOut, values, rotations}
                : SvdFactors{op.transpose(rotations, 1, 2), values, op.transpose(vectorsOut, 1, 2)};
}

} // namespace tenon::torch_export
