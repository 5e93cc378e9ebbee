// Discrete Fourier transforms as contractions with matrices of cosines and sines, one dimension after the other.
#include "Fourier.h"

using namespace mlir;
using tenon::graph::Dims;

namespace tenon::torch_export {

static ScalarType partOf(ScalarType type) {
  return type == ScalarType::ComplexDouble || type == ScalarType::Double ? ScalarType::Double : ScalarType::Float;
}

Complex splitComplex(Op &op, Tensor x) {
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

Tensor joinComplex(Op &op, Complex x, ScalarType type) {
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

Complex transformComplex(Op &op, Tensor x, ArrayRef<int64_t> dims, int64_t normalization, bool isForward,
                         bool isOneSided) {
  if (!x)
    return {};
  Complex value = splitComplex(op, x);
  AffineExpr count = op.constant(1);
  for (int64_t dim : dims)
    count = count * x.dim(dim);
  count = graph::normalize(count);
  for (int64_t dim : llvm::reverse(dims)) {
    AffineExpr n = value.re.dim(dim);
    AffineExpr kept = isOneSided && dim == dims.back() ? graph::normalize(n.floorDiv(2) + 1) : n;
    value = transform(op, value, dim, kept, isForward);
    if (!value.re || !value.im)
      return {};
  }
  return {scaled(op, value.re, normalization, count), scaled(op, value.im, normalization, count)};
}

Tensor transformToReal(Op &op, Tensor x, ArrayRef<int64_t> dims, int64_t normalization, AffineExpr n, bool isForward) {
  if (!x)
    return {};
  int64_t last = dims.back();
  Complex value = splitComplex(op, x);
  AffineExpr count = n;
  for (int64_t dim : dims.drop_back()) {
    count = count * value.re.dim(dim);
    value = transform(op, value, dim, value.re.dim(dim), isForward);
    if (!value.re)
      return {};
  }
  // x[j] = re[0] + sum over 0 < k < n/2 of 2 (re[k] cos - im[k] sin) + re[n/2] cos(pi j) when n is even.
  ScalarType type = value.re.dtype;
  AffineExpr half = value.re.dim(last);
  auto weighed = [&](bool isSine) {
    Tensor wave = waves(op, type, n, half, n, isSine);
    return op.map(type, type, {wave}, [&](Scalars &s, ValueRange v) {
      Scalars ints(s.b, s.loc, ScalarType::Long);
      Value k = op.index(ints, 1), size = op.sizeValue(ints, n);
      Value isSingle = ints.either(ints.compare(Compare::Eq, k, ints.integer(0)),
                                   ints.compare(Compare::Eq, ints.mul(k, ints.integer(2)), size));
      return s.mul(v[0], s.select(isSingle, s.number(1), s.number(2)));
    });
  };
  Tensor re = along(op, value.re, weighed(false), last), im = along(op, value.im, weighed(true), last);
  // Forward is the same of the conjugate.
  return scaled(op, combine(op, re, im, isForward ? 1 : -1), normalization, graph::normalize(count));
}

static LogicalResult finishComplex(Op &op, Complex value) {
  return op.finish(joinComplex(op, value, op.resultDtype()));
}
static LogicalResult finishReal(Op &op, Tensor x) { return op.finish(op.convert(x, op.resultDtype())); }

/// _fft_r2c, _fft_c2c, _fft_c2r
static LogicalResult convertCore(Op &op, bool givesReal) {
  Tensor x = op.tensor("self");
  int64_t normalization = op.integer("normalization", 0);
  SmallVector<int64_t> dims = op.integers("dim");
  if (op.isBad() || x.rank() < 1 || x.rank() > 10)
    return op.isBad() ? failure() : op.unsupported("of rank 0, or above 10");
  for (int64_t &dim : dims)
    dim = op.wrapDim(dim, x.rank());
  if (op.isBad() || dims.empty())
    return op.isBad() ? failure() : op.finish(x);
  if (givesReal) {
    AffineExpr n = op.size("last_dim_size");
    return op.isBad() ? failure() : finishReal(op, transformToReal(op, x, dims, normalization, n, false));
  }
  return finishComplex(op, transformComplex(op, x, dims, normalization, op.flag("forward", true),
                                            op.flag("onesided", false)));
}

/// Cut or filled with zeros to `size` along `dim`.
static Tensor resized(Op &op, Tensor x, int64_t dim, AffineExpr size) {
  if (!x || x.dim(dim) == size)
    return x;
  if (op.isLessEqual(size, x.dim(dim)).value_or(false))
    return op.slice(x, dim, op.constant(0), size);
  Dims low(x.rank(), op.constant(0)), high = low;
  high[dim] = graph::normalize(size - x.dim(dim));
  return op.pad(x, low, high, 0);
}

enum class Kind { Complex, RealToHalf, HalfToReal };

/// torch.fft.*: with sizes, dimensions and a named normalization. `defaultDims` 0 stands for all.
static Convert composite(Kind kind, bool isForward, int64_t defaultDims) {
  return [=](Op &op) -> LogicalResult {
    Tensor x = op.tensor("self");
    if (!x || x.rank() < std::max<int64_t>(defaultDims, 1) || x.rank() > 10)
      return op.isBad() ? failure() : op.unsupported("of rank 0, or above 10");
    StringRef norm = op.string("norm", StringRef("backward")), sizeName = op.has("s") ? "s" : "n";
    Dims sizes = op.has(sizeName) ? op.sizes(sizeName) : Dims();
    SmallVector<int64_t> dims = op.integers("dim", SmallVector<int64_t>());
    int64_t rank = x.rank();
    if (dims.empty()) {
      int64_t count = !sizes.empty() ? static_cast<int64_t>(sizes.size()) : defaultDims ? defaultDims : rank;
      for (int64_t d = rank - count; d < rank; ++d)
        dims.push_back(d);
    }
    for (int64_t &dim : dims)
      dim = op.wrapDim(dim, rank);
    if (op.isBad() || (!sizes.empty() && sizes.size() != dims.size()))
      return op.isBad() ? failure() : op.error("has sizes and dimensions of different number");
    AffineExpr n = graph::normalize((x.dim(dims.back()) - 1) * 2);
    for (auto [i, size] : llvm::enumerate(sizes)) {
      if (graph::asConstant(size) == -1)
        continue;
      bool isHalf = kind == Kind::HalfToReal && i + 1 == sizes.size();
      n = isHalf ? size : n;
      if (isComplex(x.dtype) &&
          !op.isLessEqual(isHalf ? graph::normalize(size.floorDiv(2) + 1) : size, x.dim(dims[i])).value_or(false))
        return op.unsupported("of more complex elements than there are");
      x = resized(op, x, dims[i], isHalf ? graph::normalize(size.floorDiv(2) + 1) : size);
    }
    int64_t normalization = norm == "ortho" ? 1 : (norm == "forward") == isForward ? 2 : 0;
    if (kind == Kind::HalfToReal)
      return finishReal(op, transformToReal(op, x, dims, normalization, n, isForward));
    return finishComplex(op, transformComplex(op, x, dims, normalization, isForward, kind == Kind::RealToHalf));
  };
}

void populateFourier(ConverterTable &t) {
  t["aten._fft_r2c"] = t["aten._fft_c2c"] = [](Op &op) { return convertCore(op, false); };
  t["aten._fft_c2r"] = [](Op &op) { return convertCore(op, true); };
  for (auto [suffix, dims] : {std::pair("", 1), std::pair("2", 2), std::pair("n", 0)}) {
    t[std::string("aten.fft_fft") + suffix] = composite(Kind::Complex, true, dims);
    t[std::string("aten.fft_ifft") + suffix] = composite(Kind::Complex, false, dims);
    t[std::string("aten.fft_rfft") + suffix] = composite(Kind::RealToHalf, true, dims);
    t[std::string("aten.fft_irfft") + suffix] = composite(Kind::HalfToReal, false, dims);
    t[std::string("aten.fft_hfft") + suffix] = composite(Kind::HalfToReal, true, dims);
    t[std::string("aten.fft_ihfft") + suffix] = composite(Kind::RealToHalf, false, dims);
  }
}

} // namespace tenon::torch_export
