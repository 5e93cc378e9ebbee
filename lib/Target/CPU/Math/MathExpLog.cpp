// Exponentials and logarithms. The reductions are those of Cody & Waite, Software Manual for the Elementary Functions,
// and of Muller, Elementary Functions (3rd ed., chapter 11); the polynomials are our own.
#include "Coefficients.h"
#include "MathEmitter.h"
#include <cmath>
#include <limits>

using namespace mlir;

namespace tenon::cpu {
using namespace coefficients;

static constexpr double kInf = std::numeric_limits<double>::infinity();
static constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

/// value * 2^n for a value near 1 and any n the caller's clamp allows; `low` marks lanes whose result may be denormal.
/// One integer addition to the exponent, and where `low`, one multiplication that rounds into the denormals.
static Float scaleNearOne(Float value, Int word, Bool low) {
  bool single = width(value) == 32;
  unsigned mantissa = single ? 23 : 52;
  uint64_t lift = single ? 64 : 128;
  Int exponent = word << mantissa;
  exponent = exponent + select(low, literal(exponent, lift << mantissa), literal(exponent, 0));
  Float scaled = fromBits(bitsOf(value) + exponent);
  Float down = select(low, literal(value, std::ldexp(1.0, -int(lift))), literal(value, 1.0));
  return scaled * down;
}

/// x = n*ln(2) + r, |r| <= ln(2)/2.
static std::pair<Nearest, Float> reduceExp(Float x) {
  Nearest n = nearest(x * 1.4426950408889634);
  ArrayRef<double> ln2 = width(x) == 32 ? ArrayRef<double>(kLn2F32) : ArrayRef<double>(kLn2F64);
  Float r = msub(n.value, ln2[0], x);
  return {n, msub(n.value, ln2[1], r)};
}

namespace fn {

Float expScaled(Float x, int shift, Float *tail) {
  bool single = width(x) == 32;
  double ln2 = 0.6931471805599453;
  double lowest = single ? -104.5 : -746.0;
  double highest = (single ? 88.72283935546875 : 709.782712893384);
  double normal = (single ? -86.5 : -707.0);
  // Below `lowest` the result is zero; nothing overflows an intermediate up to `highest` + shift*ln(2).
  Float clamped = select(x < lowest, lowest, x);
  auto [n, r] = reduceExp(clamped);
  if (tail)
    r = r + *tail;
  Float p = single ? polynomial(kExpF32, r) : polynomial(kExpF64, r);
  // Without fma, the order with one more operation keeps a product from being rounded next to the result.
  Float y = x.e->hasFMA() ? mad(mad(p, r, 1.0), r, 1.0) : mad(r * r, p, r) + 1.0;
  Int word = shift ? n.word - uint64_t(shift) : n.word;
  y = scaleNearOne(y, word, clamped < normal + shift * ln2);
  // Also passes NaN on.
  return select(x <= highest + shift * ln2, y, x + kInf);
}

Float exp(Float x) { return expScaled(x, 0); }

Float exp2(Float x) {
  bool single = width(x) == 32;
  double lowest = single ? -151.0 : -1076.0;
  Float clamped = select(x < lowest, lowest, x);
  Nearest n = nearest(clamped);
  Float r = clamped - n.value;
  ArrayRef<double> c = single ? ArrayRef<double>(kExp2F32) : kExp2F64;
  Float y = x.e->hasFMA() ? mad(polynomial(c, r), r, 1.0) : mad(r * r, polynomial(c.drop_front(), r), r * c[0]) + 1.0;
  y = scaleNearOne(y, n.word, clamped < (single ? -125.0 : -1021.0));
  return select(x < (single ? 128.0 : 1024.0), y, x + kInf);
}

Float expm1Scaled(Float x, int shift) {
  bool single = width(x) == 32;
  double lowest = single ? -20.0 : -40.0;
  double highest = (single ? 88.72283935546875 : 709.782712893384) + shift * 0.6931471805599453;
  Float clamped = select(x < lowest, lowest, x);
  auto [n, r] = reduceExp(clamped);
  Float p = single ? polynomial(kExpm1F32, r) : polynomial(kExpm1F64, r);
  Float small = mad(r * r, p, r);
  // Half of the scale, so that 2^128 is never formed.
  int down = shift + 1;
  unsigned mantissa = single ? 23 : 52;
  uint64_t bias = (single ? 127 : 1023) - down;
  Float scale = fromBits((n.word + bias) << mantissa);
  Float y = mad(scale, small, scale - std::ldexp(1.0, -down)) * 2.0;
  y = select(abs(x) < (single ? 0x1p-25 : 0x1p-54), x * std::ldexp(1.0, -shift), y);
  return select(x <= highest, y, x + kInf);
}

Float expm1(Float x) { return expm1Scaled(x, 0); }

} // namespace fn

namespace {
/// x = 2^exponent * (1 + f), f in [sqrt(1/2)-1, sqrt(2)-1].
struct LogParts {
  Float exponent, f;
};
} // namespace

static LogParts splitLog(Float x) {
  bool single = width(x) == 32;
  unsigned mantissa = single ? 23 : 52;
  uint64_t rootHalf = single ? 0x3f3504f3u : 0x3fe6a09e667f3bcdull;
  Bool denormal = x < (single ? 0x1p-126 : 0x1p-1022);
  double lift = single ? 25.0 : 54.0;
  Float normal = select(denormal, x * std::ldexp(1.0, int(lift)), x);
  Int word = bitsOf(normal) - rootHalf;
  Int fraction = (word & ((uint64_t(1) << mantissa) - 1)) + rootHalf;
  Float exponent;
  if (single) {
    exponent = toFloat(shiftRightSigned(word, mantissa), 32);
  } else {
    // No vector conversion of i64 before AVX-512: 1.5*2^52 + e is a float whose low bits are e.
    Int e = shiftRightSigned(word, mantissa) + 0x4338000000000000ull;
    exponent = fromBits(e) - 6755399441055744.0;
  }
  exponent = exponent - select(denormal, literal(x, lift), literal(x, 0.0));
  return {exponent, fromBits(fraction) - 1.0};
}

/// log(1+f) - (f - f*f/2), and -f*f/2, in the interval of splitLog.
static std::pair<Float, Float> logTail(Float f) {
  Float halfSquare = f * f * 0.5;
  if (width(f) == 32)
    return {polynomial(kLogF32, f) * (f * f) * f, halfSquare};
  // log(1+f) = 2 atanh(s) with s = f/(2+f), rewritten so that f and f*f/2 stay exact.
  Float s = f / (f + 2.0);
  Float z = s * s;
  return {s * mad(polynomial(kLogF64, z), z, halfSquare), halfSquare};
}

/// Zero, negative, infinite and NaN arguments.
static Float fixLog(Float x, Float y) {
  y = select(x < kInf, y, x);
  y = select(x == 0.0, -kInf, y);
  return select(x < 0.0, kNan, y);
}

/// exponent*scale + log(1+f), with scale in two parts.
static Float addExponent(Float exponent, ArrayRef<double> scale, Float f) {
  auto [tail, halfSquare] = logTail(f);
  Float low = mad(exponent, scale[1], tail);
  return mad(exponent, scale[0], f - (halfSquare - low));
}

namespace fn {

Float log(Float x) {
  LogParts parts = splitLog(x);
  return fixLog(x, addExponent(parts.exponent, width(x) == 32 ? ArrayRef<double>(kLn2F32) : kLn2F64, parts.f));
}

/// exponent*base + log(1+f)*factor: the logarithm of the fraction is carried as an exact head of few bits and a tail.
static Float logBase(Float x, double factor, ArrayRef<double> base) {
  bool single = width(x) == 32;
  LogParts parts = splitLog(x);
  auto [tail, halfSquare] = logTail(parts.f);
  Float head = parts.f - halfSquare;
  // Keep half of the bits in the head: its product with the short factor is exact.
  head = fromBits(bitsOf(head) & (single ? 0xfffff000u : 0xffffffff00000000ull));
  Float rest = ((parts.f - head) - halfSquare) + tail;
  double shortFactor = single ? std::ldexp(std::nearbyint(std::ldexp(factor, 11)), -11)
                              : std::ldexp(std::nearbyint(std::ldexp(factor, 21)), -21);
  Float low = mad(rest, literal(x, factor), head * (factor - shortFactor));
  if (base.size() > 1)
    low = mad(parts.exponent, base[1], low);
  Pair high = fastTwoSum(parts.exponent * base[0], head * shortFactor);
  // The exponent is zero or larger than the rest, so the sum is exact in either case.
  return fixLog(x, high.high + (high.low + low));
}

Float log2(Float x) {
  double one[] = {1.0};
  return logBase(x, 1.4426950408889634, one);
}

Float log10(Float x) {
  return logBase(x, 0.4342944819032518, width(x) == 32 ? ArrayRef<double>(kLog10Of2F32) : kLog10Of2F64);
}

Float log1p(Float x) {
  bool single = width(x) == 32;
  unsigned mantissa = single ? 23 : 52;
  // The exponent comes from 1+x rounded, the fraction from x itself: 2^-e*x + (2^-e - 1) loses nothing.
  Float sum = x + 1.0;
  LogParts parts = splitLog(sum);
  Int word = bitsOf(sum) - (single ? 0x3f3504f3u : 0x3fe6a09e667f3bcdull);
  Int keep = word & ~((uint64_t(1) << mantissa) - 1);
  Float scale = fromBits((single ? 0x3f800000u : 0x3ff0000000000000ull) - keep);
  Float f = mad(scale, x, scale - 1.0);
  f = select(x < (single ? 0x1p40 : 0x1p80), f, parts.f);
  Float y = addExponent(parts.exponent, single ? ArrayRef<double>(kLn2F32) : kLn2F64, f);
  y = select(abs(x) < (single ? 0x1p-25 : 0x1p-54), x, y);
  y = select(x < kInf, y, x);
  y = select(x == -1.0, -kInf, y);
  return select(x < -1.0, kNan, y);
}

} // namespace fn
} // namespace tenon::cpu
