// Special functions, computed in float64 and rounded to the result's type.
#include "SpecialFunctions.h"

using namespace mlir;

namespace tenon::torch_export {

static constexpr double kInfinity = std::numeric_limits<double>::infinity();

static Value fraction(Scalars &s, Value x) { return s.sub(x, s.make<math::FloorOp>(x)); }
static Value isZero(Scalars &s, Value x) { return s.compare(Compare::Eq, x, s.number(0)); }

/// log |Gamma(x)|: the approximation of Lanczos, and the reflection below 1/2.
Value logGamma(Scalars &s, Value x) {
  static constexpr double kCoefficients[] = {
      0.99999999999980993,  676.5203681218851,     -1259.1392167224028,  771.32342877765313, -176.61502916214059,
      12.507343278686905,   -0.13857109526572012,  9.9843695780195716e-6, 1.5056327351493116e-7};
  constexpr double kShift = 7;
  Value one = s.number(1), half = s.number(0.5);
  Value isSmall = s.compare(Compare::Lt, x, half);
  Value z = s.sub(s.select(isSmall, s.sub(one, x), x), one);
  Value sum = s.number(kCoefficients[0]);
  for (int i = 1; i < 9; ++i)
    sum = s.add(sum, s.div(s.number(kCoefficients[i]), s.add(z, s.integer(i))));
  Value t = s.add(z, s.number(kShift + 0.5));
  Value upper = s.sub(s.mul(s.add(z, half), s.make<math::LogOp>(t)), t);
  upper = s.add(upper, s.add(s.number(0.91893853320467274178), s.make<math::LogOp>(sum)));
  // The angle is reduced first, so that whole numbers give exactly 0.
  Value sine = s.make<math::SinOp>(s.mul(s.number(M_PI), fraction(s, x)));
  Value lower = s.sub(s.number(std::log(M_PI)), s.add(s.make<math::LogOp>(s.abs(sine)), upper));
  Value result = s.select(isSmall, lower, upper);
  Value isWhole = s.both(s.compare(Compare::Le, x, s.number(0)), isZero(s, fraction(s, x)));
  Value isInfinite = s.compare(Compare::Eq, s.abs(x), s.number(kInfinity));
  return s.select(s.either(isWhole, isInfinite), s.number(kInfinity), result);
}

/// The derivative of log Gamma: upwards to where its series converges fast.
static Value digamma(Scalars &s, Value x) {
  static constexpr double kSeries[] = {1.0 / 12, -1.0 / 120, 1.0 / 252, -1.0 / 240, 1.0 / 132, -691.0 / 32760, 1.0 / 12};
  Value one = s.number(1), isNegative = s.compare(Compare::Lt, x, s.number(0));
  Value y = s.select(isNegative, s.sub(one, x), x), sum = s.number(0);
  for (int i = 0; i < 10; ++i) {
    Value isSmall = s.compare(Compare::Lt, y, s.number(10));
    sum = s.sub(sum, s.select(isSmall, s.div(one, y), s.number(0)));
    y = s.select(isSmall, s.add(y, one), y);
  }
  Value square = s.div(one, s.mul(y, y)), series = s.number(0);
  for (double c : llvm::reverse(kSeries))
    series = s.mul(square, s.add(s.number(c), series));
  Value result = s.sub(s.sub(s.add(sum, s.make<math::LogOp>(y)), s.div(s.number(0.5), y)), series);
  Value angle = s.mul(s.number(M_PI), fraction(s, x));
  Value reflected = s.sub(result, s.div(s.number(M_PI), s.make<math::TanOp>(angle)));
  result = s.select(isNegative, reflected, result);
  Value isPole = s.both(isNegative, isZero(s, fraction(s, x)));
  result = s.select(isPole, s.number(std::nan("")), result);
  return s.select(isZero(s, x), s.make<math::CopySignOp>(s.number(kInfinity), s.neg(x)), result);
}

/// Hurwitz's zeta function for x > 1 and q > 0: ten terms, and the formula of Euler and Maclaurin for the rest.
static Value zetaAbove(Scalars &s, Value x, Value q) {
  // (2k)! / B(2k)
  static constexpr double kSeries[] = {12.0,
                                       -720.0,
                                       30240.0,
                                       -1209600.0,
                                       47900160.0,
                                       -1.8924375803183791606e9,
                                       7.47242496e10,
                                       -2.950130727918164224e12,
                                       1.1646782814350067249e14,
                                       -4.5979787224074726105e15,
                                       1.8152105401943546773e17,
                                       -7.1661652561756670113e18};
  Value one = s.number(1), zero = s.number(0), minusX = s.neg(x), sum = zero, a = q;
  for (int i = 0; i < 10; ++i) {
    sum = s.add(sum, s.make<math::PowFOp>(a, minusX));
    a = s.add(a, one);
  }
  Value b = s.make<math::PowFOp>(a, minusX);
  sum = s.add(sum, s.add(s.div(s.mul(b, a), s.sub(x, one)), s.mul(b, s.number(0.5))));
  Value factor = one, k = zero;
  for (double c : kSeries) {
    factor = s.mul(factor, s.add(x, k));
    b = s.div(b, a);
    sum = s.add(sum, s.div(s.mul(factor, b), s.number(c)));
    k = s.add(k, one);
    factor = s.mul(factor, s.add(x, k));
    b = s.div(b, a);
    k = s.add(k, one);
  }
  return sum;
}

/// The sum over all whole k of (q + k)^-x is periodic in q, so that what lies below 0 is a difference of sums above it.
static Value zeta(Scalars &s, Value x, Value q) {
  Value one = s.number(1), zero = s.number(0);
  Value isBelow = s.compare(Compare::Lt, q, zero), rest = fraction(s, q);
  Value above = zetaAbove(s, x, s.select(isBelow, rest, q));
  Value mirrored = s.sub(zetaAbove(s, x, s.sub(one, rest)), zetaAbove(s, x, s.sub(one, q)));
  Value isOdd = s.compare(Compare::Ne, fraction(s, s.mul(x, s.number(0.5))), zero);
  Value sum = s.select(isBelow, s.add(above, s.select(isOdd, s.neg(mirrored), mirrored)), above);
  // Beyond where the terms matter the quotients may be infinity by infinity.
  Value isPole = s.both(s.compare(Compare::Le, q, zero), isZero(s, fraction(s, q)));
  Value isUndefined = s.both(s.compare(Compare::Le, q, zero), s.compare(Compare::Ne, x, s.make<math::FloorOp>(x)));
  isUndefined = s.either(isUndefined, s.compare(Compare::Lt, x, one));
  sum = s.select(isPole, s.number(kInfinity), sum);
  sum = s.select(isUndefined, s.number(std::nan("")), sum);
  return s.select(s.compare(Compare::Eq, x, one), s.number(kInfinity), sum);
}

/// exp(x^2) erfc(x), and its series where erfc is too small to be a number.
Value scaledErfc(Scalars &s, Value x) {
  Value square = s.mul(x, x), isLarge = s.compare(Compare::Gt, x, s.number(25));
  Value near = s.mul(s.make<math::ExpOp>(square), s.make<math::ErfcOp>(x));
  Value r = s.div(s.number(0.5), square); // 1 - r + 3 r^2 - 15 r^3
  Value series = s.sub(s.number(1), s.mul(r, s.sub(s.number(1), s.mul(r, s.sub(s.number(3), s.mul(r, s.number(15)))))));
  Value far = s.div(series, s.mul(x, s.number(std::sqrt(M_PI))));
  return s.select(isLarge, far, near);
}

template <typename Function> static Convert ofOne(Function function) {
  return [function](Op &op) {
    Tensor x = op.tensor("self");
    return op.finish(op.map(op.resultDtype(), ScalarType::Double, {x},
                            [&](Scalars &s, ValueRange v) { return function(s, v[0]); }));
  };
}

/// (-1)^(n+1) n! zeta(n + 1, x)
static LogicalResult convertPolygamma(Op &op) {
  int64_t n = op.integer("n");
  Tensor x = op.tensor("self");
  if (op.isBad() || n < 0)
    return op.isBad() ? failure() : op.error("needs an order that is not negative");
  double factor = (n % 2 ? 1 : -1) * std::tgamma(static_cast<double>(n) + 1);
  return op.finish(op.map(op.resultDtype(), ScalarType::Double, {x}, [&](Scalars &s, ValueRange v) {
    return n == 0 ? digamma(s, v[0]) : s.mul(s.number(factor), zeta(s, s.integer(n + 1), v[0]));
  }));
}

static LogicalResult convertZeta(Op &op) {
  Operand x = op.operand("self"), q = op.operand("other");
  return op.finish(op.map(op.resultDtype(), ScalarType::Double, {x, q},
                          [](Scalars &s, ValueRange v) { return zeta(s, v[0], v[1]); }));
}

void populateSpecial(ConverterTable &t) {
  t["aten.lgamma"] = t["aten.special_gammaln"] = ofOne(logGamma);
  t["aten.digamma"] = t["aten.special_digamma"] = t["aten.special_psi"] = ofOne(digamma);
  t["aten.polygamma"] = t["aten.special_polygamma"] = convertPolygamma;
  t["aten.special_zeta"] = convertZeta;
  t["aten.special_erfcx"] = ofOne(scaledErfc);
}

} // namespace tenon::torch_export
