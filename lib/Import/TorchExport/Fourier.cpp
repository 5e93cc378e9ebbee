// Discrete Fourier transforms as contractions with matrices of cosines and sines, one dimension after the other.
#include "Converter.h"

using namespace mlir;
using tenon::graph::Dims;

namespace tenon::torch_export {

namespace {
/// Real and imaginary parts; a null imaginary part is zero.
struct Complex {
  Tensor re, im;
};
} // namespace

static ScalarType partOf(ScalarType type) {
  return type == ScalarType::ComplexDouble || type == ScalarType::Double ? ScalarType::Double : ScalarType::Float;
}

static Complex split(Op &op, Tensor x) {
  if (!isComplex(x.dtype))
    return {op.convert(x, partOf(x.dtype)), {}};
  ScalarType part = partOf(x.dtype);
  auto take = [&](bool isReal) {
    return op.map(
        part, part, {Operand::raw(x)},
        [&](Scalars &s, ValueRange v) { return isReal ? s.make<complex::ReOp>(v[0]) : s.make<complex::ImOp>(v[0]); },
        part);
  };
  return {take(true), take(false)};
}

static Tensor join(Op &op, Complex x, ScalarType type) {
  return op.map(
      type, type, {Operand::raw(x.re), Operand::raw(x.im)},
      [&](Scalars &s, ValueRange v) -> Value {
        return complex::CreateOp::create(s.b, s.loc, toType(type, op.context()), v[0], v[1]);
      },
      type);
}

/// cos or sin of 2 pi j k / n at row k and column j. The product is reduced modulo n first, so that the angle is exact.
static Tensor waves(Op &op, ScalarType type, AffineExpr rows, AffineExpr columns, AffineExpr n, bool isSine) {
  return op.generate(
      type, ScalarType::Double, {rows, columns},
      [&](Scalars &s, ValueRange) -> Value {
        Scalars ints(s.b, s.loc, ScalarType::Long);
        Value product = ints.fmod(ints.mul(op.index(ints, 0), op.index(ints, 1)), op.sizeValue(ints, n));
        Value turn = s.div(s.convert(product, ScalarType::Long, ScalarType::Double), op.sizeValue(s, n));
        Value angle = s.mul(turn, s.number(2 * M_PI));
        return isSine ? s.make<math::SinOp>(angle) : s.make<math::CosOp>(angle);
      },
      ScalarType::Double);
}

static Tensor along(Op &op, Tensor x, Tensor matrix, int64_t dim) {
  if (!x)
    return {};
  std::string spec = StringRef("abcdefghij").take_front(x.rank()).str(), result = spec;
  std::string matrixSpec = {'z', spec[dim]};
  result[dim] = 'z';
  return op.contract(x, spec, matrix, matrixSpec, result);
}

static Tensor combine(Op &op, Tensor l, Tensor r, double factor) {
  if (!l || !r)
    return l;
  return op.map(l.dtype, l.dtype, {l, r},
                [&](Scalars &s, ValueRange v) { return factor > 0 ? s.add(v[0], v[1]) : s.sub(v[0], v[1]); });
}

/// One dimension: sum over j of x[j] * exp(-+ 2 pi i j k / n), for the first `count` k.
static Complex transform(Op &op, Complex x, int64_t dim, AffineExpr count, bool isForward) {
  ScalarType type = x.re.dtype;
  AffineExpr n = x.re.dim(dim);
  Tensor cosine = waves(op, type, count, n, n, false), sine = waves(op, type, count, n, n, true);
  double sign = isForward ? 1 : -1;
  Tensor re = combine(op, along(op, x.re, cosine, dim), along(op, x.im, sine, dim), sign);
  Tensor im = along(op, x.re, sine, dim);
  if (x.im)
    im = combine(op, along(op, x.im, cosine, dim), im, -sign);
  else if (isForward)
    im = op.map(type, type, {im}, [](Scalars &s, ValueRange v) { return s.neg(v[0]); });
  return {re, im};
}

/// 0: as it is, 1: divided by the root of the number of elements, 2: by that number.
static Tensor scaled(Op &op, Tensor x, int64_t normalization, AffineExpr count) {
  if (!x || normalization == 0)
    return x;
  return op.map(x.dtype, x.dtype, {x}, [&](Scalars &s, ValueRange v) {
    Value n = op.sizeValue(s, count);
    return s.div(v[0], normalization == 1 ? s.make<math::SqrtOp>(n) : n);
  });
}

static LogicalResult convertFft(Op &op, bool givesReal) {
  Tensor x = op.tensor("self");
  int64_t normalization = op.integer("normalization", 0);
  if (op.isBad() || x.rank() < 1 || x.rank() > 10)
    return op.isBad() ? failure() : op.unsupported("of rank 0, or above 10");
  SmallVector<int64_t> dims = op.integers("dim");
  for (int64_t &dim : dims)
    dim = op.wrapDim(dim, x.rank());
  bool isForward = op.flag("forward", true) && !givesReal;
  bool isOneSided = op.flag("onesided", false);
  if (op.isBad() || dims.empty())
    return op.isBad() ? failure() : op.finish(x);
  Complex value = split(op, x);
  AffineExpr count = op.constant(1);
  int64_t last = dims.back();
  if (givesReal) {
    // The missing half is the conjugate of the half that is there: element n - k of every other dimension's mirror.
    AffineExpr n = op.size("last_dim_size");
    for (int64_t dim : ArrayRef(dims).drop_back()) {
      count = count * value.re.dim(dim);
      value = transform(op, value, dim, value.re.dim(dim), false);
    }
    count = graph::normalize(count * n);
    // x[j] = re[0] + sum over 0 < k < n/2 of 2 (re[k] cos - im[k] sin) + re[n/2] cos(pi j) when n is even.
    ScalarType type = value.re.dtype;
    AffineExpr half = value.re.dim(last);
    auto weighed = [&](bool isSine) {
      Tensor wave = waves(op, type, n, half, n, isSine);
      return op.map(type, type, {wave}, [&](Scalars &s, ValueRange v) {
        Scalars ints(s.b, s.loc, ScalarType::Long);
        Value k = op.index(ints, 1), size = op.sizeValue(ints, n);
        Value isSingle = ints.either(
            ints.compare(Compare::Eq, k, ints.integer(0)),
            ints.compare(Compare::Eq, ints.mul(k, ints.integer(2)), size));
        return s.mul(v[0], s.select(isSingle, s.number(1), s.number(2)));
      });
    };
    Tensor re = along(op, value.re, weighed(false), last), im = along(op, value.im, weighed(true), last);
    Tensor y = combine(op, re, im, -1);
    return op.finish(op.convert(scaled(op, y, normalization, count), op.resultDtype()));
  }
  for (int64_t dim : dims)
    count = count * value.re.dim(dim);
  count = graph::normalize(count);
  for (int64_t dim : llvm::reverse(dims)) {
    AffineExpr n = value.re.dim(dim);
    AffineExpr kept = isOneSided && dim == last ? graph::normalize(n.floorDiv(2) + 1) : n;
    value = transform(op, value, dim, kept, isForward);
    if (!value.re || !value.im)
      return failure();
  }
  value = {scaled(op, value.re, normalization, count), scaled(op, value.im, normalization, count)};
  return op.finish(join(op, value, op.resultDtype()));
}

void populateFourier(ConverterTable &t) {
  t["aten._fft_r2c"] = t["aten._fft_c2c"] = [](Op &op) { return convertFft(op, false); };
  t["aten._fft_c2r"] = [](Op &op) { return convertFft(op, true); };
}

} // namespace tenon::torch_export
