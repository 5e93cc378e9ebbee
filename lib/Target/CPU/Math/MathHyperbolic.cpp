// Hyperbolic functions and their inverses.
#include "Coefficients.h"
#include "MathEmitter.h"
#include <limits>

using namespace mlir;

namespace tenon::cpu {
using namespace coefficients;

static constexpr double kLn2 = 0.6931471805599453;

namespace fn {

Float tanh(Float x) {
  // tanh(x) = expm1(2x) / (expm1(2x) + 2)
  bool single = width(x) == 32;
  double top = single ? 10.0 : 20.0;
  Float size = abs(x);
  size = select(size > top, top, size);
  if (!single) {
    Float e = expm1(size + size);
    return copySign(e / (e + 2.0), x);
  }
  // The same with the reduction written out: 2|x| = n*ln(2) + r, no special cases, n in 0..29.
  Nearest n = nearest(size * (2.0 / kLn2));
  Float r = msub(n.value, kLn2F32[0], size + size);
  r = msub(n.value, kLn2F32[1], r);
  Float small = mad(r * r, polynomial(kExpm1F32, r), r);
  Float scale = fromBits((n.word + 127) << 23);
  Float e = mad(scale, small, scale - 1.0);
  return copySign(e / (e + 2.0), x);
}

Float sinh(Float x) {
  // With q = expm1(|x|)/4: sinh(|x|) = 2q + 2q/(4q+1).
  Float size = abs(x);
  Float q = expm1Scaled(size, 2);
  Float half = q + q;
  Float y = half + half / (half + half + 1.0);
  y = select(half < (width(x) == 32 ? 0x1p126 : 0x1p1022), y, half);
  return copySign(y, x);
}

Float cosh(Float x) {
  // With q = exp(|x|)/4: cosh(x) = 2q + 1/(8q).
  Float q = expScaled(abs(x), 2);
  return q + q + 0.125 / q;
}

Float asinh(Float x) {
  // log(a + sqrt(a*a+1)) = log1p(a + a*a/(1 + sqrt(a*a+1))), and log(2a) for large a.
  Float size = abs(x);
  Bool large = size > (width(x) == 32 ? 0x1p28 : 0x1p54);
  Float square = size * size;
  Float small = size + square / (sqrt(square + 1.0) + 1.0);
  Float y = log1p(select(large, size, small));
  return copySign(select(large, y + kLn2, y), x);
}

Float acosh(Float x) {
  // With t = x-1: log1p(t + sqrt(2t + t*t)), and log(2x) for large x.
  Bool large = x > (width(x) == 32 ? 0x1p28 : 0x1p54);
  Float t = x - 1.0;
  Float small = t + sqrt(mad(t, t, t + t));
  Float y = log1p(select(large, x, small));
  y = select(large, y + kLn2, y);
  return select(x < 1.0, std::numeric_limits<double>::quiet_NaN(), y);
}

Float atanh(Float x) {
  // log1p(2a / (1-a)) / 2
  Float size = abs(x);
  return copySign(log1p((size + size) / (1.0 - size)) * 0.5, x);
}

} // namespace fn
} // namespace tenon::cpu
