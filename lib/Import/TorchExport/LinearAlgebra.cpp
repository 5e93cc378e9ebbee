// torch.linalg: solving, factorizations, determinants. Everything is computed in float64 and rounded at the end. Checks that
// a matrix can be inverted are left out, as assertions are: results of a singular one are not finite.
#include "Fourier.h"
#include "Matrices.h"
#include "Reduction.h"

using namespace mlir;
using tenon::graph::Dims;
using tenon::graph::ReduceKind;

namespace tenon::torch_export {

Tensor matrixArgument(Op &op, StringRef name) {
  Tensor a = op.tensor(name);
  if (!a)
    return {};
  if (a.rank() < 2)
    return op.errorTensor("needs a matrix");
  if (isComplex(a.dtype))
    return op.unsupportedTensor("on elements of " + nameOf(a.dtype));
  return a;
}

Batches batchesOf(Op &op, Tensor a, int64_t kept) { return Batches(op, ArrayRef(a.dims()).drop_back(kept)); }

/// No errors were found.
static Tensor noErrors(Op &op, const Batches &batches) { return op.full(batches.leading, ScalarType::Int, 0); }

Tensor transposed(Op &op, Tensor x) { return x ? op.transpose(x, x.rank() - 2, x.rank() - 1) : x; }

/// LAPACK's pivots, counted from 1.
static Tensor asPivots(Op &op, const Batches &batches, Tensor pivots) {
  return batches.out(op.map(ScalarType::Int, kLong, {pivots},
                            [](Scalars &s, ValueRange v) { return s.add(v[0], s.integer(1)); }),
                     ScalarType::Int);
}

static Tensor fromPivots(Op &op, const Batches &batches, Tensor pivots) {
  return op.map(kLong, kLong, {batches.in(pivots, 1, kLong)},
                [](Scalars &s, ValueRange v) { return s.sub(v[0], s.integer(1)); });
}

/// Per matrix 0, or which diagonal element of U is the first that is 0.
static Tensor singularity(Op &op, const Batches &batches, Tensor lu) {
  Tensor diagonal = diagonalOf(op, lu);
  if (!diagonal)
    return {};
  AffineExpr n = diagonal.dim(1);
  Tensor where = op.map(kLong, kWork, {diagonal}, [&](Scalars &s, ValueRange v) {
    Scalars ints(s.b, s.loc, kLong);
    Value far = op.sizeValue(ints, graph::normalize(n + 1));
    Value at = s.select(s.compare(Compare::Eq, v[0], s.number(0)), ints.add(op.index(ints, 1), ints.integer(1)), far);
    return at;
  }, kLong);
  Tensor first = op.reduce(ReduceKind::Min, where, {1});
  return batches.out(op.map(ScalarType::Int, kLong, {first}, [&](Scalars &s, ValueRange v) {
    return s.select(s.compare(Compare::Le, v[0], op.sizeValue(s, n)), v[0], s.integer(0));
  }), ScalarType::Int);
}

//===----------------------------------------------------------------------===//
// LU
//===----------------------------------------------------------------------===//

static bool hasPivots(Op &op) {
  if (op.flag("pivot", true))
    return true;
  (void)op.unsupported("without pivots");
  return false;
}

static LogicalResult convertLuFactor(Op &op) {
  Tensor a = matrixArgument(op, op.has("A") ? "A" : "self");
  if (op.isBad() || !hasPivots(op))
    return failure();
  Batches batches = batchesOf(op, a);
  LuFactors f = factorLu(op, batches.matrix(a));
  return op.finish({batches.out(f.lu, a.dtype), asPivots(op, batches, f.pivots), singularity(op, batches, f.lu)});
}

/// P, L and U from both factors in one matrix and the order of the rows.
static Tensors unpackLu(Op &op, const Batches &batches, Tensor lu, Tensor order, ScalarType type) {
  if (!lu || !order)
    return Tensors(3);
  AffineExpr rows = lu.dim(1), columns = lu.dim(2);
  AffineExpr n = op.isLessEqual(rows, columns).value_or(true) ? rows : columns;
  Tensor p = op.map(
      kWork, kLong, {Operand(order, {0, 2})},
      [&](Scalars &s, ValueRange v) { return s.compare(Compare::Eq, v[0], op.index(s, 1)); }, ScalarType::Bool,
      Dims{lu.dim(0), rows, rows});
  Tensor l = op.slice(lu, 2, op.constant(0), n), u = op.slice(lu, 1, op.constant(0), n);
  return {batches.out(p, type), batches.out(triangleOf(op, l, true, true), type),
          batches.out(triangleOf(op, u, false), type)};
}

static LogicalResult convertLu(Op &op) {
  Tensor a = matrixArgument(op, "A");
  if (op.isBad() || !hasPivots(op))
    return failure();
  Batches batches = batchesOf(op, a);
  LuFactors f = factorLu(op, batches.matrix(a));
  return op.finish(unpackLu(op, batches, f.lu, f.order, a.dtype));
}

static LogicalResult convertLuUnpack(Op &op) {
  Tensor lu = matrixArgument(op, "LU_data"), pivots = op.tensor("LU_pivots");
  if (op.isBad())
    return failure();
  Batches batches = batchesOf(op, lu);
  Tensor order = orderOfPivots(op, fromPivots(op, batches, pivots), lu.dim(lu.rank() - 2));
  Tensors results = unpackLu(op, batches, batches.matrix(lu), order, lu.dtype);
  Tensor nothing = op.full({op.constant(0)}, lu.dtype, 0);
  if (!op.flag("unpack_pivots", true))
    results[0] = nothing;
  if (!op.flag("unpack_data", true))
    results[1] = results[2] = nothing;
  return op.finish(results);
}

/// The order that undoes `order`.
static Tensor inverseOrder(Op &op, Tensor order) {
  Tensor at = op.generate(kLong, kLong, order.dims(), [&](Scalars &s, ValueRange) { return op.index(s, 1); });
  return op.scatter(graph::ScatterKind::Set, at, op.full(order.dims(), kLong, 0), {Operand(order, {0, 1})}, {0, -1});
}

/// X with A X = B for A of these factors; with A^T = U^T L^T P, of A^T X = B.
static Tensor solveLu(Op &op, Tensor lu, Tensor order, Tensor b, bool isTransposed = false) {
  if (!lu || !order)
    return {};
  if (!isTransposed)
    return solveTriangular(op, lu, solveTriangular(op, lu, takeRows(op, b, order), false, true), true, false);
  Tensor t = transposed(op, lu);
  Tensor x = solveTriangular(op, t, solveTriangular(op, t, b, false, false), true, true);
  return takeRows(op, x, inverseOrder(op, order));
}

static LogicalResult convertLuSolve(Op &op) {
  bool isOld = op.node.op().starts_with("aten.lu_solve");
  Tensor lu = matrixArgument(op, isOld ? "LU_data" : "LU"), b = matrixArgument(op, isOld ? "self" : "B");
  Tensor pivots = op.tensor(isOld ? "LU_pivots" : "pivots");
  if (op.isBad())
    return failure();
  bool isLeft = op.flag("left", true), isAdjoint = op.flag("adjoint", false);
  std::optional<Dims> leading = op.broadcastDims({batchesOf(op, lu).leading, batchesOf(op, b).leading});
  if (!leading)
    return failure();
  Batches batches(op, *leading);
  Tensor factors = batches.matrix(lu), right = batches.matrix(b);
  Tensor order = orderOfPivots(op, fromPivots(op, batches, pivots), lu.dim(lu.rank() - 1));
  if (!order || !factors)
    return failure();
  // X A = B is A^T X^T = B^T.
  if (!isLeft)
    right = transposed(op, right);
  Tensor x = solveLu(op, factors, order, right, isAdjoint == isLeft);
  return op.finish(batches.out(isLeft ? x : transposed(op, x), b.dtype));
}

Tensor inverseOf(Op &op, Tensor a) {
  LuFactors f = factorLu(op, a);
  return a ? solveLu(op, f.lu, f.order, unitMatrices(op, a.dim(0), a.dim(1))) : Tensor();
}

/// The real matrix [[re, -im], [im, re]] for a complex one: products and inverses of the ones are those of the others.
static Tensor asReal(Op &op, Complex a) {
  if (!a.re || !a.im)
    return {};
  int64_t last = a.re.rank() - 1;
  Tensor minus = op.map(a.im.dtype, a.im.dtype, {a.im}, [](Scalars &s, ValueRange v) { return s.neg(v[0]); });
  return op.concat({op.concat({a.re, minus}, last), op.concat({a.im, a.re}, last)}, last - 1);
}

/// A complex matrix from [re; im], rows above rows.
static Tensor fromParts(Op &op, Tensor x, ScalarType type) {
  if (!x)
    return {};
  int64_t rows = x.rank() - 2;
  AffineExpr half = graph::normalize(x.dim(rows).floorDiv(2));
  ScalarType part = type == ScalarType::ComplexDouble ? ScalarType::Double : ScalarType::Float;
  x = op.convert(x, part);
  return joinComplex(op, {op.slice(x, rows, op.constant(0), half), op.slice(x, rows, half, half)}, type);
}

/// inv and solve of complex matrices, by a real system of twice the size.
static LogicalResult solveComplex(Op &op, Tensor a, Tensor b) {
  if (a.rank() < 2 || (b && !op.flag("left", true)))
    return a.rank() < 2 ? op.error("needs a matrix") : op.unsupported("from the right, on complex numbers");
  Batches own = batchesOf(op, a);
  Tensor matrix = asReal(op, splitComplex(op, a));
  LuFactors f = factorLu(op, own.matrix(matrix));
  if (!f.lu)
    return failure();
  Tensor x;
  if (!b) {
    Tensor units = unitMatrices(op, own.batch, matrix.dim(matrix.rank() - 1));
    units = op.slice(units, 2, op.constant(0), a.dim(a.rank() - 1));
    x = fromParts(op, own.out(solveLu(op, f.lu, f.order, units), kWork), a.dtype);
    return op.node.resultNames().size() == 1 ? op.finish(x) : op.finish({x, noErrors(op, own)});
  }
  bool isVector = b.rank() == 1 ||
                  (b.rank() + 1 == a.rank() && llvm::equal(b.dims(), ArrayRef(a.dims()).drop_back()));
  Complex parts = splitComplex(op, op.convert(isVector ? op.unsqueeze(b, b.rank()) : b, a.dtype));
  if (!parts.re)
    return failure();
  Tensor right = op.concat({parts.re, parts.im}, parts.re.rank() - 2);
  std::optional<Dims> leading = op.broadcastDims({own.leading, batchesOf(op, right).leading});
  if (!leading)
    return failure();
  Batches batches(op, *leading);
  Tensor lu = batches.in(own.out(f.lu, kWork), 2, kWork), order = batches.in(own.out(f.order, kLong), 1, kLong);
  x = fromParts(op, batches.out(solveLu(op, lu, order, batches.matrix(right)), kWork), a.dtype);
  if (isVector && x)
    x = op.reshape(x, ArrayRef(x.dims()).drop_back());
  if (op.node.resultNames().size() == 1)
    return op.finish(x);
  Tensors results(op.node.resultNames().size());
  results[0] = x;
  results.back() = noErrors(op, own);
  return op.finish(results);
}

static LogicalResult convertInverse(Op &op) {
  if (Tensor a = op.tensor(op.has("A") ? "A" : "self"); a && isComplex(a.dtype))
    return solveComplex(op, a, {});
  Tensor a = matrixArgument(op, op.has("A") ? "A" : "self");
  if (op.isBad())
    return failure();
  Batches batches = batchesOf(op, a);
  Tensor inverse = batches.out(inverseOf(op, batches.matrix(a)), a.dtype);
  return op.node.resultNames().size() == 1 ? op.finish(inverse) : op.finish({inverse, noErrors(op, batches)});
}

/// A X = B, or X A = B. B may be vectors where it has one dimension less than A, or the shape of A's first ones.
static LogicalResult convertSolve(Op &op) {
  if (Tensor a = op.tensor("A"), b = op.tensor("B"); a && b && isComplex(a.dtype))
    return solveComplex(op, a, b);
  Tensor a = matrixArgument(op, "A"), b = op.tensor("B");
  if (op.isBad())
    return failure();
  bool isLeft = op.flag("left", true);
  bool isVector = b.rank() == 1 || (b.rank() + 1 == a.rank() &&
                                    llvm::equal(b.dims(), ArrayRef(a.dims()).drop_back()));
  Tensor right = isVector ? op.unsqueeze(b, b.rank()) : b;
  std::optional<Dims> leading = op.broadcastDims({batchesOf(op, a).leading, batchesOf(op, right).leading});
  if (!leading)
    return failure();
  // Factored once for each matrix there is, whatever it meets.
  Batches batches(op, *leading), own = batchesOf(op, a);
  LuFactors f = factorLu(op, own.matrix(a));
  Tensor lu = own.out(f.lu, kWork), order = own.out(f.order, kLong), columns = batches.matrix(right);
  bool isTransposed = !isLeft && !isVector;
  if (isTransposed)
    columns = transposed(op, columns);
  Tensor x = solveLu(op, batches.in(lu, 2, kWork), batches.in(order, 1, kLong), columns, isTransposed);
  x = batches.out(isTransposed ? transposed(op, x) : x, b.dtype);
  if (isVector && x)
    x = op.reshape(x, ArrayRef(x.dims()).drop_back());
  if (op.node.resultNames().size() == 1)
    return op.finish(x);
  if (op.node.op().starts_with("aten.linalg_solve_ex"))
    return op.finish({x, singularity(op, own, f.lu)});
  return op.finish({x, op.convert(lu, a.dtype), asPivots(op, own, f.pivots), singularity(op, own, f.lu)});
}

/// det, slogdet: with the factors as further results.
static Convert determinant(bool isLogarithm) {
  return [isLogarithm](Op &op) -> LogicalResult {
    Tensor a = matrixArgument(op, op.has("A") ? "A" : "self");
    if (op.isBad())
      return failure();
    Batches batches = batchesOf(op, a);
    LuFactors f = factorLu(op, batches.matrix(a));
    Tensor diagonal = diagonalOf(op, f.lu);
    Tensor lu = batches.out(f.lu, a.dtype), pivots = asPivots(op, batches, f.pivots);
    auto mapped = [&](auto body) {
      return op.map(kWork, kWork, {diagonal}, [&](Scalars &s, ValueRange v) -> Value { return body(s, v[0]); });
    };
    auto times = [](Scalars &s, ValueRange v) { return s.mul(v[0], v[1]); };
    auto multiplied = [&](Tensor x) {
      return batches.out(op.map(kWork, kWork, {op.reduce(ReduceKind::Prod, x, {1}), f.sign}, times), a.dtype);
    };
    if (!isLogarithm) {
      Tensor det = multiplied(diagonal);
      return op.node.resultNames().size() == 1 ? op.finish(det) : op.finish({det, lu, pivots});
    }
    Tensor sign = multiplied(mapped([](Scalars &s, Value x) {
      Value isZero = s.compare(Compare::Eq, x, s.number(0));
      return s.select(isZero, x, s.make<math::CopySignOp>(s.number(1), x));
    }));
    Tensor logs = mapped([](Scalars &s, Value x) { return s.make<math::LogOp>(s.abs(x)); });
    Tensor sum = batches.out(op.reduce(ReduceKind::Sum, logs, {1}), a.dtype);
    return op.finish({sign, sum, lu, pivots});
  };
}

//===----------------------------------------------------------------------===//
// Triangles
//===----------------------------------------------------------------------===//

/// T X = B, or X T = B.
static LogicalResult finishTriangular(Op &op, Tensor t, Tensor b, bool isUpper, bool isUnit, bool isTransposed,
                                      bool isLeft, bool givesCopy) {
  if (op.isBad())
    return failure();
  std::optional<Dims> leading = op.broadcastDims({batchesOf(op, t).leading, batchesOf(op, b).leading});
  if (!leading)
    return failure();
  Batches batches(op, *leading);
  Tensor matrix = batches.matrix(t), right = batches.matrix(b);
  if (isTransposed == isLeft) {
    matrix = transposed(op, matrix);
    isUpper = !isUpper;
  }
  if (!isLeft)
    right = transposed(op, right);
  Tensor x = solveTriangular(op, matrix, right, isUpper, isUnit);
  x = batches.out(isLeft ? x : transposed(op, x), b.dtype);
  if (!givesCopy)
    return op.finish(x);
  Dims dims = batches.leading;
  dims.append({t.dim(t.rank() - 2), t.dim(t.rank() - 1)});
  return op.finish({x, op.broadcast(t, dims)});
}

static LogicalResult convertSolveTriangular(Op &op) {
  Tensor a = matrixArgument(op, "self"), b = matrixArgument(op, "B");
  return finishTriangular(op, a, b, op.flag("upper"), op.flag("unitriangular", false), false, op.flag("left", true),
                          false);
}

static LogicalResult convertTriangularSolve(Op &op) {
  Tensor b = matrixArgument(op, "self"), a = matrixArgument(op, "A");
  return finishTriangular(op, a, b, op.flag("upper", true), op.flag("unitriangular", false),
                          op.flag("transpose", false), true, true);
}

/// cholesky and linalg_cholesky_ex
static LogicalResult convertCholesky(Op &op) {
  Tensor a = matrixArgument(op, "self");
  if (op.isBad())
    return failure();
  bool isUpper = op.flag("upper", false);
  Batches batches = batchesOf(op, a);
  Tensor matrix = batches.matrix(a);
  auto [factor, info] = factorCholesky(op, isUpper ? transposed(op, matrix) : matrix);
  Tensor result = batches.out(isUpper ? transposed(op, factor) : factor, a.dtype);
  return op.node.resultNames().size() == 1 ? op.finish(result) : op.finish({result, batches.out(info, ScalarType::Int)});
}

/// A X = B where a triangular factor of A is given; without B the inverse of A.
static LogicalResult convertCholeskySolve(Op &op) {
  bool isInverse = op.node.op().starts_with("aten.cholesky_inverse");
  Tensor factor = matrixArgument(op, isInverse ? "self" : "input2"), b;
  if (!isInverse)
    b = matrixArgument(op, "self");
  if (op.isBad())
    return failure();
  SmallVector<Dims> shapes{batchesOf(op, factor).leading};
  if (b)
    shapes.push_back(batchesOf(op, b).leading);
  std::optional<Dims> leading = op.broadcastDims(shapes);
  if (!leading)
    return failure();
  Batches batches(op, *leading);
  Tensor lower = batches.matrix(factor);
  if (op.flag("upper", false))
    lower = transposed(op, lower);
  if (!lower)
    return failure();
  Tensor right = b ? batches.matrix(b) : unitMatrices(op, batches.batch, lower.dim(1));
  Tensor x = solveTriangular(op, transposed(op, lower), solveTriangular(op, lower, right, false, false), true, false);
  return op.finish(batches.out(x, factor.dtype));
}

//===----------------------------------------------------------------------===//
// Orthogonal factors
//===----------------------------------------------------------------------===//

static LogicalResult convertQr(Op &op) {
  bool isOld = op.node.op().starts_with("aten.qr");
  Tensor a = matrixArgument(op, isOld ? "self" : "A");
  StringRef mode = isOld ? (op.flag("some", true) ? "reduced" : "complete") : op.string("mode", StringRef("reduced"));
  if (op.isBad())
    return failure();
  Batches batches = batchesOf(op, a);
  auto [q, r] = factorQr(op, batches.matrix(a));
  if (!q || !r)
    return failure();
  AffineExpr rows = a.dim(a.rank() - 2), columns = a.dim(a.rank() - 1);
  bool isTall = !op.isLessEqual(rows, columns).value_or(false);
  if (mode != "complete" && isTall) {
    q = op.slice(q, 2, op.constant(0), columns);
    r = op.slice(r, 1, op.constant(0), columns);
  }
  Tensor none = op.full({op.constant(0)}, a.dtype, 0);
  return op.finish({mode == "r" ? none : batches.out(q, a.dtype), batches.out(r, a.dtype)});
}

static LogicalResult convertSymmetric(Op &op) {
  bool isValues = op.node.op().starts_with("aten.linalg_eigvalsh");
  Tensor a = matrixArgument(op, op.has("A") ? "A" : "self");
  if (op.isBad())
    return failure();
  Batches batches = batchesOf(op, a);
  Tensor matrix = batches.matrix(a);
  if (op.string("UPLO", StringRef("L")).starts_with_insensitive("u"))
    matrix = transposed(op, matrix);
  auto [values, vectors] = solveSymmetric(op, matrix);
  if (isValues)
    return op.finish(batches.out(values, a.dtype));
  bool wantsVectors = op.flag("compute_v", true);
  return op.finish({batches.out(values, a.dtype),
                    wantsVectors ? batches.out(vectors, a.dtype) : op.full({op.constant(0)}, a.dtype, 0)});
}

static LogicalResult convertSvd(Op &op) {
  bool isOld = op.node.op().starts_with("aten.svd");
  Tensor a = matrixArgument(op, isOld ? "self" : "A");
  if (op.isBad())
    return failure();
  Batches batches = batchesOf(op, a);
  bool isComposite = op.node.op().starts_with("aten.linalg_svd");
  bool isValues = op.node.op().starts_with("aten.linalg_svdvals");
  SvdFactors f = factorSvd(op, batches.matrix(a), !isValues && (isOld ? !op.flag("some", true) : op.flag("full_matrices", isComposite)));
  Tensor none = op.full({op.constant(0)}, a.dtype, 0), values = batches.out(f.values, a.dtype);
  if (isValues)
    return op.finish(values);
  if (isOld) { // gives V, and zeros for what is not computed
    Tensor u = batches.out(f.u, a.dtype), v = batches.out(transposed(op, f.vh), a.dtype);
    if (!u || !v)
      return failure();
    bool wants = op.flag("compute_uv", true);
    return op.finish({wants ? u : op.full(u.dims(), a.dtype, 0), values, wants ? v : op.full(v.dims(), a.dtype, 0)});
  }
  if (!op.flag("compute_uv", true))
    return op.finish({none, values, none});
  return op.finish({batches.out(f.u, a.dtype), values, batches.out(f.vh, a.dtype)});
}

/// V diag(1 / s) U^T, where singular values below the tolerances count as 0.
static LogicalResult convertPseudoInverse(Op &op) {
  Tensor a = matrixArgument(op, "self");
  if (op.isBad())
    return failure();
  AffineExpr rows = a.dim(a.rank() - 2), columns = a.dim(a.rank() - 1);
  AffineExpr larger = op.isLessEqual(rows, columns).value_or(false) ? columns : rows;
  double epsilon = a.dtype == ScalarType::Double ? 0x1p-52 : 0x1p-23;
  bool isOld = op.node.op().starts_with("aten.pinverse");
  bool hasAbsolute = op.has("atol"), hasRelative = isOld || op.has("rtol");
  Operand absolute = op.operandOr("atol", Number::of(0.0)), relative = op.operandOr(isOld ? "rcond" : "rtol", Number::of(isOld ? 1e-15 : 0.0));
  Batches batches = batchesOf(op, a);
  auto perMatrix = [&](Operand o) {
    return o.tensor ? Operand(batches.in(o.tensor, 0, kWork), ArrayRef<int64_t>{0}) : o;
  };
  Tensor matrix = batches.matrix(a);
  if (op.flag("hermitian", false)) // the lower triangle says what the upper one is
    matrix = op.map(kWork, kWork, {matrix, transposed(op, matrix)}, [&](Scalars &s, ValueRange v) {
      Scalars ints(s.b, s.loc, kLong);
      return s.select(ints.compare(Compare::Ge, op.index(ints, 1), op.index(ints, 2)), v[0], v[1]);
    });
  SvdFactors f = factorSvd(op, matrix, false);
  if (!f.u || !f.vh)
    return failure();
  Tensor largest = op.reduce(ReduceKind::Max, f.values, {1});
  Tensor inverted = op.map(
      kWork, kWork, {f.values, Operand(largest, {0}), perMatrix(absolute), perMatrix(relative)},
      [&](Scalars &s, ValueRange v) {
        Value ratio = hasRelative ? v[3] : s.mul(op.sizeValue(s, larger), s.number(epsilon));
        // A given absolute tolerance above 0 stands alone.
        if (!hasRelative && hasAbsolute)
          ratio = s.select(s.compare(Compare::Gt, v[2], s.number(0)), s.number(0), ratio);
        Value limit = s.max(v[2], s.mul(ratio, v[1]));
        return s.select(s.compare(Compare::Gt, v[0], limit), s.div(s.number(1), v[0]), s.number(0));
      });
  Tensor scaled = op.map(kWork, kWork, {f.vh, Operand(inverted, {0, 1})},
                         [](Scalars &s, ValueRange v) { return s.mul(v[0], v[1]); });
  return op.finish(batches.out(op.contract(scaled, "bkn", f.u, "bmk", "bnm"), a.dtype));
}

void populateLinearAlgebra(ConverterTable &t) {
  t["aten.linalg_lu_factor_ex"] = t["aten.linalg_lu_factor"] = t["aten._lu_with_info"] = convertLuFactor;
  t["aten.linalg_lu"] = convertLu;
  t["aten.lu_unpack"] = convertLuUnpack;
  t["aten.linalg_lu_solve"] = t["aten.lu_solve"] = convertLuSolve;
  t["aten.linalg_inv_ex"] = t["aten.linalg_inv"] = t["aten.inverse"] = convertInverse;
  t["aten._linalg_solve_ex"] = t["aten.linalg_solve"] = t["aten.linalg_solve_ex"] = convertSolve;
  t["aten._linalg_det"] = t["aten.linalg_det"] = t["aten.det"] = determinant(false);
  t["aten._linalg_slogdet"] = t["aten.linalg_slogdet"] = t["aten.slogdet"] = determinant(true);
  t["aten.linalg_solve_triangular"] = convertSolveTriangular;
  t["aten.triangular_solve"] = convertTriangularSolve;
  t["aten.cholesky"] = t["aten.linalg_cholesky_ex"] = t["aten.linalg_cholesky"] = convertCholesky;
  t["aten.cholesky_solve"] = t["aten.cholesky_inverse"] = convertCholeskySolve;
  t["aten.linalg_qr"] = t["aten.qr"] = convertQr;
  t["aten._linalg_eigh"] = t["aten.linalg_eigh"] = t["aten.linalg_eigvalsh"] = convertSymmetric;
  t["aten._linalg_svd"] = t["aten.linalg_svd"] = t["aten.linalg_svdvals"] = t["aten.svd"] = convertSvd;
  t["aten.linalg_pinv"] = t["aten.pinverse"] = convertPseudoInverse;
}

} // namespace tenon::torch_export
