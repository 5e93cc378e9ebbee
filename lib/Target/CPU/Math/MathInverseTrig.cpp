// Arc functions. Reductions after Cody & Waite; the polynomials are our own.
#include "Coefficients.h"
#include "MathEmitter.h"
#include <limits>

using namespace mlir;

namespace tenon::cpu {
using namespace coefficients;

static ArrayRef<double> halfPi(Float x) {
  return width(x) == 32 ? ArrayRef<double>(kPiOver2F32) : ArrayRef<double>(kPiOver2F64);
}

/// x + x*z*p(z) for z = x*x.
static Float oddSeries(Float x, Float z, ArrayRef<double> single, ArrayRef<double> twice) {
  return mad(x * z, polynomial(width(x) == 32 ? single : twice, z), x);
}

namespace fn {

Float asin(Float x) {
  Float size = abs(x);
  Bool large = size > 0.5;
  // asin(a) = pi/2 - 2 asin(sqrt((1-a)/2))
  Float z = select(large, (1.0 - size) * 0.5, size * size);
  Float s = select(large, sqrt(z), size);
  Float p = oddSeries(s, z, kAsinF32, kAsinF64);
  ArrayRef<double> pi = halfPi(x);
  Float y = pi[0] - ((p + p) - pi[1]);
  return copySign(select(large, y, p), x);
}

Float acos(Float x) {
  Float size = abs(x);
  Bool large = size > 0.5;
  Float z = select(large, (1.0 - size) * 0.5, size * size);
  Float s = select(large, sqrt(z), x);
  Float p = oddSeries(s, z, kAsinF32, kAsinF64);
  ArrayRef<double> pi = halfPi(x);
  Float middle = pi[0] - (p - pi[1]);
  Float twice = p + p;
  Float far = select(x < 0.0, 2 * pi[0] - (twice - 2 * pi[1]), twice);
  return select(large, far, middle);
}

/// The angle of (x, y) for x, y >= 0, with q = min/max of both, and whether y is the larger.
static Float firstQuadrant(Float q, Bool steep) {
  Float p = oddSeries(q, q * q, kAtanF32, kAtanF64);
  ArrayRef<double> pi = halfPi(q);
  return select(steep, pi[0] - (p - pi[1]), p);
}

Float atan(Float x) {
  Float size = abs(x);
  Bool steep = size > 1.0;
  Float q = select(steep, 1.0 / size, size);
  return copySign(firstQuadrant(q, steep), x);
}

Float atan2(Float y, Float x) {
  Float a = abs(y), b = abs(x);
  Bool steep = a > b;
  Float large = select(steep, a, b), small = select(steep, b, a);
  Float q = small / large;
  q = select(large == 0.0, 0.0, q);
  q = select(small == std::numeric_limits<double>::infinity(), 1.0, q);
  Float p = firstQuadrant(q, steep);
  ArrayRef<double> pi = halfPi(x);
  Float left = 2 * pi[0] - (p - 2 * pi[1]);
  // By the sign bit: a negative zero counts as negative.
  Bool negative = lessSigned(bitsOf(x), literal(bitsOf(x), 0));
  Float angle = copySign(select(negative, left, p), y);
  return select(isNan(x) | isNan(y), x + y, angle);
}

} // namespace fn
} // namespace tenon::cpu
