// Reflections as LAPACK keeps them, functions of square matrices, and what is counted or measured of matrices.
#include "Matrices.h"
#include "Reduction.h"

using namespace mlir;
using tenon::graph::Dims;
using tenon::graph::ReduceKind;

namespace tenon::torch_export {

/// The shorter dimension; null, and reported, when that is not known.
static AffineExpr shorter(Op &op, AffineExpr a, AffineExpr b) {
  if (op.isLessEqual(a, b).value_or(false))
    return a;
  if (op.isLessEqual(b, a).value_or(false))
    return b;
  (void)op.unsupported("of a matrix of which it is not known whether it is wide or tall");
  return {};
}

/// x - factor * v w^T, per matrix
static Tensor reflect(Op &op, Tensor x, Tensor factor, Tensor v, Tensor w) {
  return op.map(kWork, kWork, {x, Operand(factor, {0}), Operand(v, {0, 1}), Operand(w, {0, 2})},
                [](Scalars &s, ValueRange a) { return s.sub(a[0], s.mul(a[1], s.mul(a[2], a[3]))); });
}

//===----------------------------------------------------------------------===//
// Reflections
//===----------------------------------------------------------------------===//

/// R with the vectors of the reflections below its diagonal, without their leading 1, and the reflections' factors.
static LogicalResult convertGeqrf(Op &op) {
  Tensor a = matrixArgument(op, "self");
  AffineExpr steps = op.isBad() ? AffineExpr() : shorter(op, a.dim(a.rank() - 2), a.dim(a.rank() - 1));
  if (!steps)
    return failure();
  Batches batches = batchesOf(op, a);
  auto step = [&](Tensor k, ArrayRef<Tensor> carry, ArrayRef<Tensor>) -> Tensors {
    Tensor r = carry[0], c = columnOf(op, r, k), pivot = entryOf(op, c, k);
    Tensor squares = op.map(kWork, kWork, {c, Operand::raw(k)}, [&](Scalars &s, ValueRange v) {
      Scalars ints(s.b, s.loc, kLong);
      return s.select(ints.compare(Compare::Gt, op.index(ints, 1), v[1]), s.mul(v[0], v[0]), s.number(0));
    });
    if (!squares)
      return Tensors(2);
    Tensor below = op.reduce(ReduceKind::Sum, squares, {1});
    // -sign(pivot) * norm comes to the diagonal; nothing happens where nothing is to be cleared.
    Tensor diagonal = op.map(kWork, kWork, {pivot, below}, [](Scalars &s, ValueRange v) {
      Value norm = s.make<math::SqrtOp>(s.add(s.mul(v[0], v[0]), v[1]));
      return s.select(s.compare(Compare::Eq, v[1], s.number(0)), v[0], s.neg(s.make<math::CopySignOp>(norm, v[0])));
    });
    Tensor factor = op.map(kWork, kWork, {diagonal, pivot, below}, [](Scalars &s, ValueRange v) {
      return s.select(s.compare(Compare::Eq, v[2], s.number(0)), s.number(0), s.div(s.sub(v[0], v[1]), v[0]));
    });
    Tensor v = op.map(
        kWork, kWork, {c, Operand(pivot, {0}), Operand(diagonal, {0}), Operand(below, {0}), Operand::raw(k)},
        [&](Scalars &s, ValueRange x) {
          Scalars ints(s.b, s.loc, kLong);
          Value i = op.index(ints, 1), isIdle = s.compare(Compare::Eq, x[3], s.number(0));
          Value rest = s.select(isIdle, s.number(0), s.div(x[0], s.sub(x[1], x[2])));
          return s.select(ints.compare(Compare::Eq, i, x[4]), s.number(1),
                          s.select(ints.compare(Compare::Gt, i, x[4]), rest, s.number(0)));
        });
    if (!v || !factor)
      return Tensors(2);
    Tensor next = reflect(op, r, factor, v, op.contract(v, "bi", r, "bij", "bj"));
    // Columns before k keep their vectors, and column k gets its own.
    next = op.map(kWork, kWork, {next, r, Operand(v, {0, 1}), Operand(diagonal, {0}), Operand::raw(k)},
                  [&](Scalars &s, ValueRange x) {
                    Scalars ints(s.b, s.loc, kLong);
                    Value i = op.index(ints, 1), j = op.index(ints, 2);
                    Value own = s.select(ints.compare(Compare::Eq, i, x[4]), x[3],
                                         s.select(ints.compare(Compare::Gt, i, x[4]), x[2], x[1]));
                    return s.select(ints.compare(Compare::Lt, j, x[4]), x[1],
                                    s.select(ints.compare(Compare::Eq, j, x[4]), own, x[0]));
                  });
    Tensor factors = op.map(kWork, kWork, {carry[1], Operand(factor, {0}), Operand::raw(k)},
                            [&](Scalars &s, ValueRange x) {
                              Scalars ints(s.b, s.loc, kLong);
                              return s.select(ints.compare(Compare::Eq, op.index(ints, 1), x[2]), x[1], x[0]);
                            });
    return {next, factors};
  };
  Tensors results = repeatSteps(op, steps, {batches.matrix(a), op.full({batches.batch, steps}, kWork, 0)}, {}, false, step);
  return op.finish({batches.out(results[0], a.dtype), batches.out(results[1], a.dtype)});
}

/// Q C, or Q^T C, for the product Q of reflections that lie in the columns of `a` below its diagonal.
static Tensor applyReflections(Op &op, Tensor a, Tensor factors, Tensor c, bool isTransposed) {
  if (!a || !factors || !c)
    return {};
  auto step = [&](Tensor k, ArrayRef<Tensor> carry, ArrayRef<Tensor> captures) -> Tensors {
    Tensor v = op.map(kWork, kWork, {columnOf(op, captures[0], k), Operand::raw(k)}, [&](Scalars &s, ValueRange x) {
      Scalars ints(s.b, s.loc, kLong);
      Value i = op.index(ints, 1);
      return s.select(ints.compare(Compare::Eq, i, x[1]), s.number(1),
                      s.select(ints.compare(Compare::Gt, i, x[1]), x[0], s.number(0)));
    });
    if (!v)
      return Tensors(1);
    return {reflect(op, carry[0], entryOf(op, captures[1], k), v, op.contract(v, "bi", carry[0], "bij", "bj"))};
  };
  return repeatSteps(op, factors.dim(1), {c}, {a, factors}, !isTransposed, step)[0];
}

/// linalg_householder_product: the first columns of Q.
static LogicalResult convertHouseholderProduct(Op &op) {
  bool isOld = op.node.op().starts_with("aten.orgqr");
  Tensor a = matrixArgument(op, isOld ? "self" : "input"), factors = op.tensor(isOld ? "input2" : "tau");
  if (op.isBad())
    return failure();
  Batches batches = batchesOf(op, a);
  AffineExpr rows = a.dim(a.rank() - 2), columns = a.dim(a.rank() - 1);
  Tensor start = op.slice(unitMatrices(op, batches.batch, rows), 2, op.constant(0), columns);
  Tensor q = applyReflections(op, batches.matrix(a), batches.in(factors, 1, kWork), start, false);
  return op.finish(batches.out(q, a.dtype));
}

/// Q C, Q^T C, C Q or C Q^T.
static LogicalResult convertOrmqr(Op &op) {
  Tensor a = matrixArgument(op, "self"), factors = op.tensor("input2"), c = matrixArgument(op, "input3");
  bool isLeft = op.flag("left", true), isTransposed = op.flag("transpose", false);
  if (op.isBad())
    return failure();
  Batches batches = batchesOf(op, c);
  Tensor matrix = batches.matrix(c);
  // C Q is (Q^T C^T)^T.
  Tensor y = applyReflections(op, batches.matrix(a), batches.in(factors, 1, kWork),
                              isLeft ? matrix : transposed(op, matrix), isTransposed == isLeft);
  return op.finish(batches.out(isLeft ? y : transposed(op, y), c.dtype));
}

//===----------------------------------------------------------------------===//
// Functions of square matrices
//===----------------------------------------------------------------------===//

static Tensor product(Op &op, Tensor a, Tensor b) { return a && b ? op.contract(a, "bij", b, "bjk", "bik") : Tensor(); }

/// e^A: the power series of A / 2^n, whose norm is below 1/2, squared n times.
static LogicalResult convertMatrixExponential(Op &op) {
  Tensor given = matrixArgument(op, "self");
  if (op.isBad())
    return failure();
  constexpr int64_t kTerms = 14, kMostSquares = 32;
  Batches batches = batchesOf(op, given);
  Tensor a = batches.matrix(given);
  Tensor sizes = op.map(kWork, kWork, {a}, [](Scalars &s, ValueRange v) { return s.abs(v[0]); });
  if (!sizes)
    return failure();
  if (graph::asConstant(a.dim(1)) == 0)
    return op.finish(given);
  Tensor norm = op.reduce(ReduceKind::Max, op.reduce(ReduceKind::Sum, sizes, {2}), {1});
  Tensor squares = op.map(kLong, kWork, {norm}, [&](Scalars &s, ValueRange v) {
    Value n = s.make<math::CeilOp>(s.make<math::Log2Op>(s.mul(s.max(v[0], s.number(0.25)), s.number(2))));
    return s.min(s.max(n, s.number(0)), s.number(kMostSquares));
  });
  Tensor units = unitMatrices(op, batches.batch, a.dim(1)), sum = units;
  Tensor scaled = op.map(kWork, kWork, {a, Operand(squares, {0})}, [](Scalars &s, ValueRange v) {
    Scalars ints(s.b, s.loc, kLong);
    Value n = s.convert(v[1], kWork, kLong);
    Value bits = ints.make<arith::ShLIOp>(ints.sub(ints.integer(1023), n), ints.integer(52));
    return s.mul(v[0], s.make<arith::BitcastOp>(s.mlirType, bits));
  });
  for (int64_t k = kTerms; k >= 1; --k)
    sum = op.map(kWork, kWork, {units, product(op, scaled, sum)}, [&](Scalars &s, ValueRange v) {
      return s.add(v[0], s.mul(v[1], s.number(1.0 / static_cast<double>(k))));
    });
  Tensor y = repeatSteps(op, op.constant(kMostSquares), {sum}, {squares}, false,
                         [&](Tensor k, ArrayRef<Tensor> carry, ArrayRef<Tensor> captures) -> Tensors {
                           Operand count(captures[0], {0});
                           count.isRaw = true;
                           return {op.map(kWork, kWork, {carry[0], product(op, carry[0], carry[0]), count, Operand::raw(k)},
                                          [&](Scalars &s, ValueRange v) {
                                            Scalars ints(s.b, s.loc, kLong);
                                            return s.select(ints.compare(Compare::Lt, v[3], v[2]), v[1], v[0]);
                                          })};
                         })[0];
  return op.finish(batches.out(y, given.dtype));
}

/// A^n by squaring; of a negative n the inverse's.
static LogicalResult convertMatrixPower(Op &op) {
  Tensor a = matrixArgument(op, "self");
  int64_t n = op.integer("n");
  if (op.isBad() || n > 4096 || n < -4096)
    return op.isBad() ? failure() : op.unsupported("with a large exponent");
  Batches batches = batchesOf(op, a);
  Tensor base = batches.matrix(a), result;
  if (n < 0)
    base = inverseOf(op, base);
  for (uint64_t rest = n < 0 ? -n : n; rest && base; rest >>= 1) {
    if (rest & 1)
      result = result ? product(op, result, base) : base;
    if (rest > 1)
      base = product(op, base, base);
  }
  if (n == 0)
    result = unitMatrices(op, batches.batch, a.dim(a.rank() - 1));
  return op.finish(batches.out(result, a.dtype));
}

static LogicalResult convertLogDeterminant(Op &op) {
  Tensor a = matrixArgument(op, "self");
  if (op.isBad())
    return failure();
  Batches batches = batchesOf(op, a);
  LuFactors f = factorLu(op, batches.matrix(a));
  Tensor diagonal = diagonalOf(op, f.lu);
  if (!diagonal)
    return failure();
  Tensor signs = op.map(kWork, kWork, {diagonal}, [](Scalars &s, ValueRange v) {
    return s.make<math::CopySignOp>(s.number(1), v[0]);
  });
  Tensor logs = op.map(kWork, kWork, {diagonal}, [](Scalars &s, ValueRange v) {
    return s.make<math::LogOp>(s.abs(v[0]));
  });
  Tensor y = op.map(kWork, kWork, {op.reduce(ReduceKind::Sum, logs, {1}), op.reduce(ReduceKind::Prod, signs, {1}), f.sign},
                    [](Scalars &s, ValueRange v) {
                      Value isNegative = s.compare(Compare::Lt, s.mul(v[1], v[2]), s.number(0));
                      Value isZero = s.compare(Compare::Eq, v[0], s.number(-std::numeric_limits<double>::infinity()));
                      return s.select(s.both(isNegative, s.negate(isZero)), s.number(std::nan("")), v[0]);
                    });
  return op.finish(batches.out(y, a.dtype));
}

/// A tensor as the matrix of its first `first` dimensions by the others.
static Tensor asMatrix(Op &op, Tensor x, int64_t first) {
  Dims dims = x.dims();
  AffineExpr rows = graph::product(ArrayRef(dims).take_front(first), op.context());
  AffineExpr columns = graph::product(ArrayRef(dims).drop_front(first), op.context());
  return op.reshape(op.convert(x, kWork), {op.constant(1), rows, columns});
}

static LogicalResult convertTensorInverse(Op &op) {
  Tensor a = op.tensor("self");
  int64_t first = op.integer("ind", 2);
  if (op.isBad() || first < 1 || first >= a.rank() || isComplex(a.dtype))
    return op.isBad() ? failure() : op.unsupported("of this form");
  Dims dims = a.dims(), result(dims.begin() + first, dims.end());
  result.append(dims.begin(), dims.begin() + first);
  Tensor matrix = asMatrix(op, a, first);
  if (matrix)
    matrix = op.withDims(matrix, {matrix.dim(0), matrix.dim(1), matrix.dim(1)});
  return op.finish(op.convert(op.reshape(inverseOf(op, matrix), result), a.dtype));
}

static LogicalResult convertTensorSolve(Op &op) {
  Tensor a = op.tensor("self"), b = op.tensor("other");
  if (op.isBad() || isComplex(a.dtype))
    return op.isBad() ? failure() : op.unsupported("on complex numbers");
  if (op.has("dims")) { // these come last
    SmallVector<int64_t> order = upTo(a.rank()), moved;
    for (int64_t d : op.integers("dims"))
      moved.push_back(op.wrapDim(d, a.rank()));
    llvm::erase_if(order, [&](int64_t d) { return llvm::is_contained(moved, d); });
    order.append(moved);
    a = op.permute(a, order);
  }
  if (op.isBad() || b.rank() > a.rank())
    return op.isBad() ? failure() : op.error("has a right side of too many dimensions");
  Dims dims = a.dims(), result(dims.begin() + b.rank(), dims.end());
  Tensor matrix = asMatrix(op, a, b.rank());
  matrix = op.withDims(matrix, {matrix.dim(0), matrix.dim(1), matrix.dim(1)});
  Tensor x = product(op, inverseOf(op, matrix), asMatrix(op, b, b.rank()));
  return op.finish(op.convert(op.reshape(x, result), a.dtype));
}

/// Powers of each element, 0 to n - 1.
static LogicalResult convertVandermonde(Op &op) {
  Tensor x = op.tensor("x");
  if (!x || x.rank() < 1 || isComplex(x.dtype))
    return op.isBad() ? failure() : op.unsupported("of this form");
  ScalarType type = op.resultDtype(), work = computeType(type);
  std::optional<int64_t> count = op.has("N") ? op.integer("N") : graph::asConstant(x.dim(x.rank() - 1));
  if (op.isBad() || !count || *count < 1 || *count > 1024)
    return op.isBad() ? failure() : op.unsupported("of a symbolic number of powers");
  Dims dims = x.dims();
  dims.push_back(op.constant(*count));
  int64_t last = dims.size() - 1;
  Tensor factors = op.map(
      work, work, {Operand(x, upTo(last))},
      [&](Scalars &s, ValueRange v) {
        Scalars ints(s.b, s.loc, kLong);
        return s.select(ints.compare(Compare::Eq, op.index(ints, last), ints.integer(0)), s.number(1), v[0]);
      },
      ScalarType::Unknown, dims);
  return op.finish(op.convert(op.cumulate(ReduceKind::Prod, factors, last), type));
}

//===----------------------------------------------------------------------===//
// Norms and ranks
//===----------------------------------------------------------------------===//

/// Norms of [batch, rows, columns]; `order` as torch names them.
static Tensor matrixNorm(Op &op, Tensor a, StringRef name, double order) {
  if (!a)
    return {};
  if (name == "fro")
    return normOver(op, a, 2, {1, 2});
  if (name == "nuc" || std::fabs(order) == 2) {
    Tensor values = factorSvd(op, a, false).values;
    if (!values)
      return {};
    return op.reduce(name == "nuc" ? ReduceKind::Sum : order > 0 ? ReduceKind::Max : ReduceKind::Min, values, {1});
  }
  bool isRows = std::isinf(order);
  if (!isRows && std::fabs(order) != 1)
    return op.errorTensor("has an order that matrices have not");
  Tensor sizes = op.map(a.dtype, a.dtype, {a}, [](Scalars &s, ValueRange v) { return s.abs(v[0]); });
  return op.reduce(order > 0 ? ReduceKind::Max : ReduceKind::Min, op.reduce(ReduceKind::Sum, sizes, {isRows ? 2 : 1}), {1});
}

static LogicalResult convertMatrixNorm(Op &op) {
  Tensor a = matrixArgument(op, op.has("self") ? "self" : "A");
  if (op.isBad())
    return failure();
  StringRef name = op.node.op().ends_with("str_ord") ? op.string("ord", StringRef("fro")) : StringRef("");
  double order = name.empty() ? op.number("ord") : 0;
  SmallVector<int64_t> dims = op.integers("dim", SmallVector<int64_t>{-2, -1});
  bool keeps = op.flag("keepdim", false);
  int64_t rank = a.rank();
  for (int64_t &d : dims)
    d = op.wrapDim(d, rank);
  if (op.isBad() || dims.size() != 2 || dims[0] == dims[1])
    return op.isBad() ? failure() : op.error("needs two dimensions");
  SmallVector<int64_t> arrangement = upTo(rank), sorted = dims;
  llvm::sort(sorted);
  llvm::erase_if(arrangement, [&](int64_t d) { return llvm::is_contained(dims, d); });
  arrangement.append(dims);
  Tensor matrices = op.permute(a, arrangement);
  Batches batches = batchesOf(op, matrices);
  Tensor norm = batches.out(matrixNorm(op, batches.matrix(matrices), name, order), op.resultDtype());
  return norm ? op.finish(finishDims(op, norm, sorted, rank, keeps)) : failure();
}

static LogicalResult convertCondition(Op &op) {
  Tensor a = matrixArgument(op, "self");
  if (op.isBad())
    return failure();
  StringRef name = op.node.op().ends_with("p_str") ? op.string("p") : StringRef("");
  double order = name.empty() && op.has("p") ? op.number("p") : 2;
  Batches batches = batchesOf(op, a);
  Tensor matrix = batches.matrix(a), first, second;
  bool isSpectral = name.empty() && std::fabs(order) == 2;
  if (isSpectral) {
    Tensor values = factorSvd(op, matrix, false).values;
    if (!values)
      return failure();
    first = op.reduce(order > 0 ? ReduceKind::Max : ReduceKind::Min, values, {1});
    second = op.reduce(order > 0 ? ReduceKind::Min : ReduceKind::Max, values, {1});
  } else {
    first = matrixNorm(op, matrix, name, order);
    second = matrixNorm(op, inverseOf(op, matrix), name, order);
  }
  Tensor y = op.map(kWork, kWork, {first, second}, [&](Scalars &s, ValueRange v) {
    return isSpectral ? s.div(v[0], v[1]) : s.mul(v[0], v[1]);
  });
  return op.finish(batches.out(y, op.resultDtype()));
}

/// How many singular values are above the tolerances.
static LogicalResult convertMatrixRank(Op &op) {
  bool isPlain = op.has("self");
  Tensor a = matrixArgument(op, isPlain ? "self" : "input");
  if (op.isBad())
    return failure();
  AffineExpr rows = a.dim(a.rank() - 2), columns = a.dim(a.rank() - 1);
  AffineExpr larger = op.isLessEqual(rows, columns).value_or(false) ? columns : rows;
  bool isHermitian = op.flag("hermitian", false);
  Batches batches = batchesOf(op, a);
  Tensor matrix = batches.matrix(a);
  Tensor values = isHermitian ? solveSymmetric(op, matrix).first : factorSvd(op, matrix, false).values;
  values = op.map(kWork, kWork, {values}, [](Scalars &s, ValueRange v) { return s.abs(v[0]); });
  if (!values)
    return failure();
  Tensor largest = op.reduce(ReduceKind::Max, values, {1});
  // One given tolerance is absolute.
  StringRef absoluteName = op.has("tol") ? "tol" : "atol";
  bool hasAbsolute = op.has(absoluteName), hasRelative = op.has("rtol");
  auto perMatrix = [&](StringRef name) -> Operand {
    Operand o = op.operandOr(name, Number::of(0.0));
    return o.tensor ? Operand(batches.in(o.tensor, 0, kWork), ArrayRef<int64_t>{0}) : o;
  };
  double epsilon = a.dtype == ScalarType::Double ? 0x1p-52 : 0x1p-23;
  Tensor isCounted = op.map(
      kLong, kWork, {values, Operand(largest, {0}), perMatrix(absoluteName), perMatrix("rtol")},
      [&](Scalars &s, ValueRange v) {
        Value ratio = hasRelative ? v[3] : s.mul(op.sizeValue(s, larger), s.number(epsilon));
        if (!hasRelative && hasAbsolute)
          ratio = op.has("tol") ? s.number(0) : s.select(s.compare(Compare::Gt, v[2], s.number(0)), s.number(0), ratio);
        return s.compare(Compare::Gt, v[0], s.max(v[2], s.mul(ratio, v[1])));
      },
      ScalarType::Bool);
  return isCounted ? op.finish(batches.out(op.reduce(ReduceKind::Sum, isCounted, {1}), kLong)) : failure();
}

void populateOrthogonal(ConverterTable &t) {
  t["aten.geqrf"] = convertGeqrf;
  t["aten.linalg_householder_product"] = t["aten.orgqr"] = convertHouseholderProduct;
  t["aten.ormqr"] = convertOrmqr;
  t["aten.matrix_exp"] = t["aten.linalg_matrix_exp"] = convertMatrixExponential;
  t["aten.linalg_matrix_power"] = t["aten.matrix_power"] = convertMatrixPower;
  t["aten.logdet"] = convertLogDeterminant;
  t["aten.linalg_tensorinv"] = convertTensorInverse;
  t["aten.linalg_tensorsolve"] = convertTensorSolve;
  t["aten.linalg_vander"] = convertVandermonde;
  t["aten.linalg_matrix_norm"] = convertMatrixNorm;
  t["aten.linalg_cond"] = convertCondition;
  t["aten.linalg_matrix_rank"] = convertMatrixRank;
}

} // namespace tenon::torch_export
