// Special functions that are integrals or their inverses: incomplete gamma, modified Bessel, normal distribution. All are
// computed in float64. Nodes of quadratures and coefficients of series are worked out when the code is made.
#include "SpecialFunctions.h"

using namespace mlir;

namespace tenon::torch_export {

static constexpr double kInfinity = std::numeric_limits<double>::infinity();

//===----------------------------------------------------------------------===//
// Incomplete gamma functions
//===----------------------------------------------------------------------===//

namespace {
struct QuadratureNode {
  double place, weight;
};
} // namespace

/// Gauss and Legendre's on [0, 1]: roots by Newton's method on the recurrence.
static std::vector<QuadratureNode> legendreNodes(int n) {
  std::vector<QuadratureNode> nodes;
  for (int i = 0; i < n; ++i) {
    double x = std::cos(M_PI * (i + 0.75) / (n + 0.5)), slope = 1;
    for (int turn = 0; turn < 100; ++turn) {
      double before = 1, now = x;
      for (int k = 2; k <= n; ++k)
        before = std::exchange(now, ((2 * k - 1) * x * now - (k - 1) * before) / k);
      slope = n * (x * now - before) / (x * x - 1);
      x -= now / slope;
    }
    nodes.push_back({(1 - x) / 2, 1 / ((1 - x * x) * slope * slope)});
  }
  return nodes;
}

/// Both incomplete gamma functions, divided by Gamma(a): P for a series where x is small, Q by quadrature of the tail. For
/// large `a` the integrand is a peak around a - 1, and what lies between x and where it has vanished is integrated.
static Value incompleteGamma(Scalars &s, Value a, Value x, bool isUpper) {
  Value zero = s.number(0), one = s.number(1);
  auto exp = [&](Value v) { return s.make<math::ExpOp>(v); };
  auto log = [&](Value v) { return s.make<math::LogOp>(v); };
  Value logX = log(x), scale = logGamma(s, a);

  // P = x^a e^-x / Gamma(a + 1) * (1 + x / (a + 1) * (1 + x / (a + 2) * (…)))
  Value series = one;
  for (int k = 58; k >= 1; --k)
    series = s.add(one, s.mul(s.div(x, s.add(a, s.number(k))), series));
  Value front = exp(s.sub(s.sub(s.mul(a, logX), x), scale));
  Value lowerSeries = s.mul(s.div(front, a), series);

  // Q = x^a e^-x / Gamma(a) * integral over u > 0 of e^(-x u) (1 + u)^(a - 1); beyond x u = 50 is nothing.
  constexpr double kSpan = 50;
  static const std::vector<QuadratureNode> nodes = legendreNodes(20);
  Value tail = zero, power = s.sub(a, one), step = s.div(s.number(kSpan), x);
  for (const QuadratureNode &node : nodes) {
    Value growth = s.mul(power, s.make<math::Log1pOp>(s.mul(step, s.number(node.place))));
    tail = s.add(tail, s.mul(s.number(node.weight), exp(s.sub(growth, s.number(kSpan * node.place)))));
  }
  Value upperTail = s.mul(s.mul(front, step), tail);

  // The peak at m = a - 1, of width sqrt(m): the integral from x to its end on the side where x lies.
  Value m = s.max(power, one), width = s.make<math::SqrtOp>(m), isAbove = s.compare(Compare::Gt, x, m);
  Value far = s.max(s.add(m, s.mul(s.number(12), width)), s.add(x, s.mul(s.number(7), width)));
  Value near = s.max(zero, s.min(s.sub(m, s.mul(s.number(8), width)), s.sub(x, s.mul(s.number(6), width))));
  Value end = s.select(isAbove, far, near), span = s.sub(end, x), logM = log(m), area = zero;
  for (const QuadratureNode &node : nodes) {
    Value t = s.add(x, s.mul(span, s.number(node.place)));
    Value exponent = s.sub(s.mul(m, s.sub(log(t), logM)), s.sub(t, m));
    area = s.add(area, s.mul(s.number(node.weight), exp(exponent)));
  }
  Value peak = exp(s.sub(s.mul(m, s.sub(logM, one)), scale));
  Value beyond = s.mul(s.mul(area, s.abs(span)), peak);

  Value isLarge = s.compare(Compare::Ge, a, s.number(20)), isSeries = s.compare(Compare::Lt, x, s.max(s.add(a, one), s.number(16)));
  Value givesUpper = s.select(isLarge, isAbove, s.negate(isSeries));
  Value part = s.select(isLarge, beyond, s.select(isSeries, lowerSeries, upperTail));
  Value rest = s.sub(one, part);
  Value result = isUpper ? s.select(givesUpper, part, rest) : s.select(givesUpper, rest, part);

  // Ends of the domain.
  Value none = s.number(isUpper ? 1 : 0), all = s.number(isUpper ? 0 : 1), nan = s.number(std::nan(""));
  auto is = [&](Value v, double what) { return s.compare(Compare::Eq, v, s.number(what)); };
  result = s.select(s.either(s.isNan(a), s.isNan(x)), nan, result);
  result = s.select(is(x, 0), none, result);
  result = s.select(is(a, 0), s.select(is(x, 0), nan, all), result);
  result = s.select(is(x, kInfinity), all, result);
  result = s.select(is(a, kInfinity), s.select(is(x, kInfinity), nan, none), result);
  Value isOutside = s.either(s.compare(Compare::Lt, a, zero), s.compare(Compare::Lt, x, zero));
  return s.select(isOutside, nan, result);
}

//===----------------------------------------------------------------------===//
// Modified Bessel functions of the first kind
//===----------------------------------------------------------------------===//

/// I_order(x) e^-|x| for order 0 or 1; its power series up to 20, and beyond its expansion for large x.
static Value scaledBesselI(Scalars &s, Value x, int order) {
  Value size = s.abs(x), square = s.mul(s.mul(size, size), s.number(0.25)), one = s.number(1);
  Value capped = s.min(square, s.number(100)), series = one;
  for (int k = 40; k >= 1; --k)
    series = s.add(one, s.mul(s.div(capped, s.number(k * (k + order))), series));
  if (order == 1)
    series = s.mul(series, s.mul(size, s.number(0.5)));
  Value near = s.mul(series, s.make<math::ExpOp>(s.neg(size)));
  // e^x / sqrt(2 pi x) * sum of (-1)^k a_k / x^k
  double coefficients[24];
  coefficients[0] = 1;
  for (int k = 1; k < 24; ++k)
    coefficients[k] = -coefficients[k - 1] * (4.0 * order * order - (2.0 * k - 1) * (2.0 * k - 1)) / (8.0 * k);
  Value inverse = s.div(one, s.max(size, s.number(20))), sum = s.number(0);
  for (double c : llvm::reverse(coefficients))
    sum = s.add(s.number(c), s.mul(inverse, sum));
  Value far = s.div(sum, s.make<math::SqrtOp>(s.mul(s.number(2 * M_PI), size)));
  Value result = s.select(s.compare(Compare::Lt, size, s.number(20)), near, far);
  return order == 1 ? s.make<math::CopySignOp>(result, x) : result;
}

static Value besselI(Scalars &s, Value x, int order, bool isScaled) {
  Value scaled = scaledBesselI(s, x, order);
  Value result = isScaled ? scaled : s.mul(scaled, s.make<math::ExpOp>(s.abs(x)));
  // At infinity a product of 0 and infinity.
  Value isInfinite = s.compare(Compare::Eq, s.abs(x), s.number(kInfinity));
  Value limit = isScaled ? s.number(0) : order == 1 ? x : s.number(kInfinity);
  return s.select(isInfinite, limit, result);
}

//===----------------------------------------------------------------------===//
// The normal distribution
//===----------------------------------------------------------------------===//

/// y with erfc(y) = t for 0 < t <= 1: an estimate by logarithms, and steps of Halley's method.
static Value inverseErfc(Scalars &s, Value t) {
  constexpr double kShape = 0.147;
  Value two = s.number(2), log = s.make<math::LogOp>(s.mul(t, s.sub(two, t)));
  Value b = s.add(s.number(2 / (M_PI * kShape)), s.mul(log, s.number(0.5)));
  Value root = s.make<math::SqrtOp>(s.sub(s.mul(b, b), s.mul(log, s.number(1 / kShape))));
  Value y = s.make<math::SqrtOp>(s.max(s.sub(root, b), s.number(0)));
  for (int i = 0; i < 4; ++i) {
    Value slope = s.mul(s.number(-2 / std::sqrt(M_PI)), s.make<math::ExpOp>(s.neg(s.mul(y, y))));
    Value step = s.div(s.sub(s.make<math::ErfcOp>(y), t), slope);
    y = s.sub(y, s.div(step, s.add(s.number(1), s.mul(y, step))));
  }
  return y;
}

static Value inverseErf(Scalars &s, Value x) {
  Value size = s.abs(x), one = s.number(1);
  Value square = s.mul(x, x), tiny = s.number(1e-5);
  Value near = s.mul(s.mul(size, s.number(std::sqrt(M_PI) / 2)), s.add(one, s.mul(square, s.number(M_PI / 12))));
  Value far = inverseErfc(s, s.sub(one, s.max(size, tiny)));
  Value y = s.select(s.compare(Compare::Lt, size, tiny), near, far);
  y = s.select(s.compare(Compare::Eq, size, one), s.number(kInfinity), y);
  y = s.select(s.either(s.compare(Compare::Gt, size, one), s.isNan(x)), s.number(std::nan("")), y);
  return s.make<math::CopySignOp>(y, x);
}

/// Where the distribution function is p.
static Value inverseNormal(Scalars &s, Value p) {
  Value isLow = s.compare(Compare::Lt, p, s.number(0.5)), one = s.number(1), two = s.number(2);
  Value t = s.mul(two, s.select(isLow, p, s.sub(one, p)));
  Value y = s.mul(inverseErfc(s, t), s.number(std::sqrt(2.0)));
  y = s.select(s.compare(Compare::Eq, t, s.number(0)), s.number(kInfinity), y);
  y = s.select(isLow, s.neg(y), y);
  Value isOutside = s.either(s.compare(Compare::Lt, p, s.number(0)), s.compare(Compare::Gt, p, one));
  return s.select(s.either(isOutside, s.isNan(p)), s.number(std::nan("")), y);
}

static Value normal(Scalars &s, Value x) {
  return s.mul(s.number(0.5), s.make<math::ErfcOp>(s.mul(x, s.number(-std::sqrt(0.5)))));
}

static Value logNormal(Scalars &s, Value x) {
  Value t = s.mul(x, s.number(-std::sqrt(0.5))), low = s.compare(Compare::Lt, x, s.number(-1));
  Value scaled = scaledErfc(s, s.max(t, s.number(0)));
  Value far = s.sub(s.make<math::LogOp>(s.mul(scaled, s.number(0.5))), s.mul(t, t));
  Value near = s.make<math::Log1pOp>(s.mul(s.number(-0.5), s.make<math::ErfcOp>(s.neg(t))));
  return s.select(low, far, near);
}

//===----------------------------------------------------------------------===//
// Operators
//===----------------------------------------------------------------------===//

template <typename Function> static Convert ofOne(Function function) {
  return [function](Op &op) {
    Tensor x = op.tensor("self");
    return op.finish(op.map(op.resultDtype(), ScalarType::Double, {x},
                            [&](Scalars &s, ValueRange v) { return function(s, v[0]); }));
  };
}

template <typename Function> static Convert ofTwo(Function function) {
  return [function](Op &op) {
    Operand x = op.operand("self"), y = op.operand("other");
    return op.finish(op.map(op.resultDtype(), ScalarType::Double, {x, y},
                            [&](Scalars &s, ValueRange v) { return function(s, v[0], v[1]); }));
  };
}

/// The logarithm of the gamma function of p dimensions.
static LogicalResult convertMultivariateGamma(Op &op) {
  Tensor x = op.tensor("self");
  int64_t p = op.integer("p");
  if (op.isBad() || p < 1 || p > 64)
    return op.isBad() ? failure() : op.unsupported("of that many dimensions");
  return op.finish(op.map(op.resultDtype(), ScalarType::Double, {x}, [&](Scalars &s, ValueRange v) {
    Value sum = s.number(static_cast<double>(p * (p - 1)) / 4 * std::log(M_PI));
    for (int64_t j = 0; j < p; ++j)
      sum = s.add(sum, logGamma(s, s.sub(v[0], s.number(0.5 * static_cast<double>(j)))));
    return sum;
  }));
}

void populateSpecialIntegrals(ConverterTable &t) {
  t["aten.igamma"] = t["aten.special_gammainc"] =
      ofTwo([](Scalars &s, Value a, Value x) { return incompleteGamma(s, a, x, false); });
  t["aten.igammac"] = t["aten.special_gammaincc"] =
      ofTwo([](Scalars &s, Value a, Value x) { return incompleteGamma(s, a, x, true); });
  t["aten.mvlgamma"] = t["aten.special_multigammaln"] = convertMultivariateGamma;
  t["aten.i0"] = t["aten.special_i0"] = t["aten.special_modified_bessel_i0"] =
      ofOne([](Scalars &s, Value x) { return besselI(s, x, 0, false); });
  t["aten.special_i0e"] = ofOne([](Scalars &s, Value x) { return besselI(s, x, 0, true); });
  t["aten.special_i1"] = t["aten.special_modified_bessel_i1"] =
      ofOne([](Scalars &s, Value x) { return besselI(s, x, 1, false); });
  t["aten.special_i1e"] = ofOne([](Scalars &s, Value x) { return besselI(s, x, 1, true); });
  t["aten.erfinv"] = t["aten.special_erfinv"] = ofOne(inverseErf);
  t["aten.special_ndtri"] = ofOne(inverseNormal);
  t["aten.special_ndtr"] = ofOne(normal);
  t["aten.special_log_ndtr"] = ofOne(logNormal);
  t["aten.special_entr"] = ofOne([](Scalars &s, Value x) {
    Value zero = s.number(0), y = s.neg(s.mul(x, s.make<math::LogOp>(x)));
    y = s.select(s.compare(Compare::Lt, x, zero), s.number(-kInfinity), y);
    return s.select(s.compare(Compare::Eq, x, zero), zero, y);
  });
  t["aten.sinc"] = t["aten.special_sinc"] = ofOne([](Scalars &s, Value x) {
    Value angle = s.mul(x, s.number(M_PI));
    return s.select(s.compare(Compare::Eq, x, s.number(0)), s.number(1), s.div(s.make<math::SinOp>(angle), angle));
  });
  t["aten.special_xlog1py"] = ofTwo([](Scalars &s, Value x, Value y) {
    Value product = s.mul(x, s.make<math::Log1pOp>(y));
    product = s.select(s.compare(Compare::Eq, x, s.number(0)), s.number(0), product);
    return s.select(s.isNan(y), y, product);
  });
}

} // namespace tenon::torch_export
