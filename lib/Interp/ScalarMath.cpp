//===- ScalarMath.cpp - ops of math and complex on blocks of scalars ------===//
#include "Scalar.h"
#include "mlir/Dialect/Complex/IR/Complex.h"
#include "llvm/ADT/bit.h"
#include <cmath>

using namespace mlir;

namespace tenon::interp {

/// base^exponent; a negative exponent gives the truncated quotient 1 / base^-exponent, and 0 for base 0.
static int64_t powerOf(int64_t base, int64_t exponent) {
  if (exponent < 0)
    return base == 1 ? 1 : base == -1 ? (exponent % 2 ? -1 : 1) : 0;
  uint64_t result = 1, factor = base;
  for (; exponent > 0; exponent >>= 1, factor *= factor)
    if (exponent & 1)
      result *= factor;
  return result;
}

/// A float in, an i1 out.
template <typename Fn> static Step makeTest(Operation *op, Registers &r, Fn fn) {
  Register *a = r[op->getOperand(0)].get(), *out = r[op->getResult(0)].get();
  if (a->f.empty() || out->i.empty())
    return {};
  return [=](int64_t n) -> const char * {
    for (int64_t k = 0; k < n; ++k)
      out->i[k] = fn(a->f[k]);
    return nullptr;
  };
}

/// Three floats.
template <typename Fn> static Step makeTernary(Operation *op, Registers &r, Fn fn) {
  Register *a = r[op->getOperand(0)].get(), *b = r[op->getOperand(1)].get(), *c = r[op->getOperand(2)].get();
  Register *out = r[op->getResult(0)].get();
  if (a->f.empty() || out->f.empty())
    return {};
  return [=](int64_t n) -> const char * {
    for (int64_t k = 0; k < n; ++k)
      out->f[k] = fn(a->f[k], b->f[k], c->f[k]);
    out->round(n);
    return nullptr;
  };
}

/// Whether `value` is a normal number of `type`.
static bool isNormal(double value, FloatType type) {
  const llvm::fltSemantics &semantics = type.getFloatSemantics();
  return std::isfinite(value) && value != 0 && std::ilogb(value) >= APFloat::semanticsMinExponent(semantics);
}

static Step makeIntegerMathStep(Operation *op, Registers &r) {
  return TypeSwitch<Operation *, Step>(op)
      .Case([&](math::AbsIOp) {
        return unaryInt(op, r, [](int64_t a, unsigned w) -> int64_t { return a < 0 ? -uint64_t(a) : a; });
      })
      .Case([&](math::CountLeadingZerosOp) {
        return unaryInt(op, r, [](int64_t a, unsigned w) -> int64_t { return llvm::countl_zero(asUnsigned(a, w)) - (64 - int(w)); });
      })
      .Case([&](math::CountTrailingZerosOp) {
        return unaryInt(op, r, [](int64_t a, unsigned w) -> int64_t {
          return a == 0 ? w : llvm::countr_zero(asUnsigned(a, w));
        });
      })
      .Case([&](math::CtPopOp) {
        return unaryInt(op, r, [](int64_t a, unsigned w) -> int64_t { return llvm::popcount(asUnsigned(a, w)); });
      })
      .Case([&](math::IPowIOp) { return binarySigned(op, r, powerOf); })
      .Case([&](math::FPowIOp o) -> Step {
        Register *a = r[o.getLhs()].get(), *b = r[o.getRhs()].get(), *out = r[o].get();
        if (a->f.empty() || b->i.empty())
          return {};
        unsigned width = intWidth(b->type);
        return [=](int64_t n) -> const char * {
          for (int64_t k = 0; k < n; ++k)
            out->f[k] = std::pow(a->f[k], static_cast<double>(asSigned(b->i[k], width)));
          out->round(n);
          return nullptr;
        };
      })
      .Default([](Operation *) { return Step(); });
}

Step makeMathStep(Operation *op, Registers &r) {
  // The cast picks the overload for double.
  auto unary = [&](double (*fn)(double)) { return unaryFloat(op, r, fn); };
  return TypeSwitch<Operation *, Step>(op)
      .Case([&](math::AbsFOp) { return unary(std::fabs); })
      .Case([&](math::AcosOp) { return unary(std::acos); })
      .Case([&](math::AcoshOp) { return unary(std::acosh); })
      .Case([&](math::AsinOp) { return unary(std::asin); })
      .Case([&](math::AsinhOp) { return unary(std::asinh); })
      .Case([&](math::AtanOp) { return unary(std::atan); })
      .Case([&](math::AtanhOp) { return unary(std::atanh); })
      .Case([&](math::CbrtOp) { return unary(std::cbrt); })
      .Case([&](math::CeilOp) { return unary(std::ceil); })
      .Case([&](math::CosOp) { return unary(std::cos); })
      .Case([&](math::CoshOp) { return unary(std::cosh); })
      .Case([&](math::SinOp) { return unary(std::sin); })
      .Case([&](math::SinhOp) { return unary(std::sinh); })
      .Case([&](math::TanOp) { return unary(std::tan); })
      .Case([&](math::TanhOp) { return unary(std::tanh); })
      .Case([&](math::ErfOp) { return unary(std::erf); })
      .Case([&](math::ErfcOp) { return unary(std::erfc); })
      .Case([&](math::ExpOp) { return unary(std::exp); })
      .Case([&](math::Exp2Op) { return unary(std::exp2); })
      .Case([&](math::ExpM1Op) { return unary(std::expm1); })
      .Case([&](math::FloorOp) { return unary(std::floor); })
      .Case([&](math::LogOp) { return unary(std::log); })
      .Case([&](math::Log10Op) { return unary(std::log10); })
      .Case([&](math::Log1pOp) { return unary(std::log1p); })
      .Case([&](math::Log2Op) { return unary(std::log2); })
      .Case([&](math::RoundOp) { return unary(std::round); })
      .Case([&](math::RoundEvenOp) { return unary(std::nearbyint); })
      .Case([&](math::TruncOp) { return unary(std::trunc); })
      .Case([&](math::SqrtOp) { return unary(std::sqrt); })
      .Case([&](math::RsqrtOp) { return unaryFloat(op, r, [](double a) { return 1 / std::sqrt(a); }); })
      .Case([&](math::Atan2Op) { return binaryFloat(op, r, [](double a, double b) { return std::atan2(a, b); }); })
      .Case([&](math::CopySignOp) { return binaryFloat(op, r, [](double a, double b) { return std::copysign(a, b); }); })
      .Case([&](math::PowFOp) { return binaryFloat(op, r, [](double a, double b) { return std::pow(a, b); }); })
      .Case([&](math::FmaOp) { return makeTernary(op, r, [](double a, double b, double c) { return std::fma(a, b, c); }); })
      .Case([&](math::ClampFOp) {
        return makeTernary(op, r, [](double a, double low, double high) { return minOf(maxOf(a, low), high); });
      })
      .Case([&](math::SincosOp o) -> Step {
        Register *a = r[o.getOperand()].get(), *sin = r[o.getSin()].get(), *cos = r[o.getCos()].get();
        if (a->f.empty())
          return {};
        return [=](int64_t n) -> const char * {
          for (int64_t k = 0; k < n; ++k) {
            sin->f[k] = std::sin(a->f[k]);
            cos->f[k] = std::cos(a->f[k]);
          }
          sin->round(n);
          cos->round(n);
          return nullptr;
        };
      })
      .Case([&](math::IsFiniteOp) { return makeTest(op, r, [](double a) { return std::isfinite(a); }); })
      .Case([&](math::IsInfOp) { return makeTest(op, r, [](double a) { return std::isinf(a); }); })
      .Case([&](math::IsNaNOp) { return makeTest(op, r, [](double a) { return std::isnan(a); }); })
      .Case([&](math::IsNormalOp o) -> Step {
        auto type = dyn_cast<FloatType>(o.getOperand().getType());
        return type ? makeTest(op, r, [type](double a) { return isNormal(a, type); }) : Step();
      })
      .Default([&](Operation *o) { return makeIntegerMathStep(o, r); });
}

//===----------------------------------------------------------------------===//
// complex
//===----------------------------------------------------------------------===//

static double toDouble(APFloat number) {
  bool losesInfo;
  number.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven, &losesInfo);
  return number.convertToDouble();
}

/// From a complex number to a float.
template <typename Fn> static Step makePart(Operation *op, Registers &r, Fn fn) {
  Register *a = r[op->getOperand(0)].get(), *out = r[op->getResult(0)].get();
  if (a->c.empty() || out->f.empty())
    return {};
  return [=](int64_t n) -> const char * {
    for (int64_t k = 0; k < n; ++k)
      out->f[k] = fn(a->c[k]);
    out->round(n);
    return nullptr;
  };
}

static Step makeComplexTest(Operation *op, Registers &r, bool equal) {
  Register *a = r[op->getOperand(0)].get(), *b = r[op->getOperand(1)].get(), *out = r[op->getResult(0)].get();
  if (a->c.empty() || out->i.empty())
    return {};
  return [=](int64_t n) -> const char * {
    for (int64_t k = 0; k < n; ++k)
      out->i[k] = (a->c[k] == b->c[k]) == equal;
    return nullptr;
  };
}

/// log(1 + z), exact for small z.
static Complex log1p(Complex z) {
  double re = z.real(), im = z.imag();
  return {0.5 * std::log1p(re * (2 + re) + im * im), std::atan2(im, 1 + re)};
}
/// exp(z) - 1, exact for small z.
static Complex expm1(Complex z) {
  double e = std::expm1(z.real()), s = std::sin(z.imag() / 2);
  return {e - 2 * (e + 1) * s * s, (e + 1) * std::sin(z.imag())};
}
static Complex sign(Complex z) { return z == Complex(0) ? z : z / std::abs(z); }
/// -i * log((x + i*y) / sqrt(x^2 + y^2)), the complex continuation of atan2(y, x).
static Complex atan2(Complex y, Complex x) {
  return Complex(0, -1) * std::log((x + Complex(0, 1) * y) / std::sqrt(x * x + y * y));
}

Step makeComplexStep(Operation *op, Registers &r) {
  auto unary = [&](auto fn) { return unaryComplex(op, r, fn); };
  auto binary = [&](auto fn) { return binaryComplex(op, r, fn); };
  return TypeSwitch<Operation *, Step>(op)
      .Case([&](complex::ConstantOp o) -> Step {
        Register *out = r[o].get();
        auto parts = o.getValue();
        auto re = dyn_cast<FloatAttr>(parts[0]), im = dyn_cast<FloatAttr>(parts[1]);
        if (!re || !im || out->c.empty())
          return {};
        llvm::fill(out->c, Complex(toDouble(re.getValue()), toDouble(im.getValue())));
        return [](int64_t) -> const char * { return nullptr; };
      })
      .Case([&](complex::CreateOp o) -> Step {
        Register *a = r[o.getReal()].get(), *b = r[o.getImaginary()].get(), *out = r[o].get();
        if (a->f.empty() || out->c.empty())
          return {};
        return [=](int64_t n) -> const char * {
          for (int64_t k = 0; k < n; ++k)
            out->c[k] = Complex(a->f[k], b->f[k]);
          return nullptr;
        };
      })
      .Case([&](complex::ReOp) { return makePart(op, r, [](Complex z) { return z.real(); }); })
      .Case([&](complex::ImOp) { return makePart(op, r, [](Complex z) { return z.imag(); }); })
      .Case([&](complex::AbsOp) { return makePart(op, r, [](Complex z) { return std::abs(z); }); })
      .Case([&](complex::AngleOp) { return makePart(op, r, [](Complex z) { return std::arg(z); }); })
      .Case([&](complex::EqualOp) { return makeComplexTest(op, r, true); })
      .Case([&](complex::NotEqualOp) { return makeComplexTest(op, r, false); })
      .Case([&](complex::AddOp) { return binary([](Complex a, Complex b) { return a + b; }); })
      .Case([&](complex::SubOp) { return binary([](Complex a, Complex b) { return a - b; }); })
      .Case([&](complex::MulOp) { return binary([](Complex a, Complex b) { return a * b; }); })
      .Case([&](complex::DivOp) { return binary([](Complex a, Complex b) { return a / b; }); })
      .Case([&](complex::PowOp) { return binary([](Complex a, Complex b) { return std::pow(a, b); }); })
      .Case([&](complex::Atan2Op) { return binary(atan2); })
      .Case([&](complex::PowiOp o) -> Step {
        Register *a = r[o.getLhs()].get(), *b = r[o.getRhs()].get(), *out = r[o].get();
        if (a->c.empty() || b->i.empty())
          return {};
        unsigned width = intWidth(b->type);
        return [=](int64_t n) -> const char * {
          for (int64_t k = 0; k < n; ++k) {
            int64_t exponent = asSigned(b->i[k], width);
            Complex power(1), factor = a->c[k];
            for (uint64_t e = exponent < 0 ? -uint64_t(exponent) : exponent; e > 0; e >>= 1, factor *= factor)
              if (e & 1)
                power *= factor;
            out->c[k] = exponent < 0 ? Complex(1) / power : power;
          }
          out->round(n);
          return nullptr;
        };
      })
      .Case([&](complex::NegOp) { return unary([](Complex z) { return -z; }); })
      .Case([&](complex::ConjOp) { return unary([](Complex z) { return std::conj(z); }); })
      .Case([&](complex::ExpOp) { return unary([](Complex z) { return std::exp(z); }); })
      .Case([&](complex::Expm1Op) { return unary(expm1); })
      .Case([&](complex::LogOp) { return unary([](Complex z) { return std::log(z); }); })
      .Case([&](complex::Log1pOp) { return unary(log1p); })
      .Case([&](complex::SqrtOp) { return unary([](Complex z) { return std::sqrt(z); }); })
      .Case([&](complex::RsqrtOp) { return unary([](Complex z) { return Complex(1) / std::sqrt(z); }); })
      .Case([&](complex::SinOp) { return unary([](Complex z) { return std::sin(z); }); })
      .Case([&](complex::CosOp) { return unary([](Complex z) { return std::cos(z); }); })
      .Case([&](complex::TanOp) { return unary([](Complex z) { return std::tan(z); }); })
      .Case([&](complex::TanhOp) { return unary([](Complex z) { return std::tanh(z); }); })
      .Case([&](complex::SignOp) { return unary(sign); })
      .Default([](Operation *) { return Step(); });
}

} // namespace tenon::interp
