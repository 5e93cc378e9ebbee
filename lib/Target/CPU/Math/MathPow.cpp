// Powers and the cube root. powf goes through f64; pow in f64 carries its logarithm as a sum of two doubles (Dekker, A
// floating-point technique for extending the available precision, 1971; Muller, Elementary Functions, 3rd ed., chapter
// 13).
#include "Coefficients.h"
#include "MathEmitter.h"
#include <limits>

using namespace mlir;

namespace tenon::cpu {
using namespace coefficients;

static constexpr double kInf = std::numeric_limits<double>::infinity();
static constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

namespace {
/// x = 2^exponent * (1+f) for finite x > 0 in f64.
struct Split {
  Float exponent, f;
};
} // namespace

static Split splitDouble(Float x, bool mayBeDenormal) {
  Float normal = x;
  Bool denormal;
  if (mayBeDenormal) {
    denormal = x < 0x1p-1022;
    normal = select(denormal, x * 0x1p54, x);
  }
  constexpr uint64_t rootHalf = 0x3fe6a09e667f3bcdull;
  Int word = bitsOf(normal) - rootHalf;
  Int fraction = (word & 0xfffffffffffffull) + rootHalf;
  // As 1.5*2^52 + e: there is no vector conversion of i64 before AVX-512.
  Float exponent = fromBits(shiftRightSigned(word, 52) + 0x4338000000000000ull) - 6755399441055744.0;
  if (mayBeDenormal)
    exponent = exponent - select(denormal, literal(x, 54.0), literal(x, 0.0));
  return {exponent, fromBits(fraction) - 1.0};
}

/// |x|^y rounded to f32 later: x and y are f32 values in f64.
static Float powShort(Float size, Float y) {
  Split parts = splitDouble(size, /*mayBeDenormal=*/false);
  Float s = parts.f / (parts.f + 2.0);
  Float log = mad(s, polynomial(kPowLogF64, s * s), parts.exponent);
  log = select(size == 0.0, -kInf, log);
  log = select(size < kInf, log, size);
  Float t = y * log;
  // Beyond these f32 has only zero and infinity. NaN stays.
  t = select(t < -300.0, -300.0, t);
  t = select(t > 300.0, 300.0, t);
  Nearest n = nearest(t);
  Float p = polynomial(kPowExpF64, t - n.value);
  return p * fromBits((n.word + 1023) << 52);
}

/// |x|^y in f64.
static Float powLong(Float size, Float y) {
  Split parts = splitDouble(size, /*mayBeDenormal=*/true);
  Float f = parts.f, u = f + 2.0;
  // s = f/(2+f) and its error.
  Float s = f / u;
  Pair su = twoProduct(s, u);
  Float sLow = (((f - su.high) - su.low) - s * (f - (u - 2.0))) / u;
  // log = 2s + 2/3 s^3 + s^5 p(s^2)
  Pair square = twoProduct(s, s);
  Float squareLow = square.low + 2.0 * s * sLow;
  Pair cube = twoProduct(s, square.high);
  Float cubeLow = cube.low + (s * squareLow + sLow * square.high);
  Pair third = twoProduct(cube.high, literal(s, kTwoThirdsF64[0]));
  Float thirdLow = third.low + (cube.high * kTwoThirdsF64[1] + cubeLow * kTwoThirdsF64[0]);
  Float tail = cube.high * (square.high * polynomial(kPowTailF64, square.high));
  Pair sum = fastTwoSum(s + s, third.high);
  Float low = sum.low + ((sLow + sLow) + (thirdLow + tail));
  Pair total = fastTwoSum(parts.exponent * kLn2F64[0], sum.high);
  low = total.low + (low + parts.exponent * kLn2F64[1]);
  Pair log = fastTwoSum(total.high, low);
  Float high = select(size == 0.0, -kInf, log.high);
  high = select(size < kInf, high, size);
  // Beyond 2^100 any logarithm but zero overflows; the product's split must not.
  Float factor = select(abs(y) > 0x1p100, copySign(literal(y, 0x1p100), y), y);
  Pair t = twoProduct(factor, high);
  Bool ordinary = abs(t.high) < 1000.0;
  Float tLow = select(ordinary, t.low + factor * log.low, 0.0);
  return fn::expScaled(t.high, 0, &tLow);
}

/// C99's pow from |x|^y: signs and the cases in which that is not what the formula gives.
static Float finishPow(Float x, Float y, Float y64, Float power) {
  // |y| >= 2^53 is even; below, y/2 tells.
  Float half = y64 * 0.5;
  Bool integer = trunc(y64) == y64;
  Bool odd = integer & !(trunc(half) == half);
  Int sign = select(odd, signBit(x), literal(bitsOf(x), 0));
  Float result = fromBits(bitsOf(power) | sign);
  // A finite negative base wants an integer exponent (infinities count as one).
  result = select((x < 0.0) & (x > -kInf) & !integer, kNan, result);
  result = select((x == -1.0) & (abs(y) == kInf), 1.0, result);
  // NaN to the power of zero and one to the power of NaN are one.
  return select((x == 1.0) | (y == 0.0), 1.0, result);
}

namespace fn {

Float pow(Float x, Float y) {
  if (width(x) == 64)
    return finishPow(x, y, y, powLong(abs(x), y));
  Float wide = extend(y);
  return finishPow(x, y, wide, round(powShort(abs(extend(x)), wide), 32));
}

Float powInt(Float x, Int n) {
  Float wide = toFloat(n, 64);
  if (width(x) == 64)
    return finishPow(x, wide, wide, powLong(abs(x), wide));
  return finishPow(x, round(wide, 32), wide, round(powShort(abs(extend(x)), wide), 32));
}

Float cbrt(Float x) {
  bool single = width(x) == 32;
  Float size = abs(x);
  Bool small = size < (single ? 0x1p-100 : 0x1p-960);
  Float a = select(small, size * (single ? 0x1p24 : 0x1p54), size);
  // A third of the exponent and, linearly, of the fraction: within 4 %.
  Int word = single ? bitsOf(a) : truncate(shiftRight(bitsOf(a), 32), 32);
  Int third = {x.e, arith::DivUIOp::create(x.e->builder(), x.e->loc(), word.v, literal(word, 3).v)};
  third = third + (single ? 709958130u : 715094163u);
  Float t = single ? fromBits(third) : fromBits(extendUnsigned(third, 64) << 32);
  // Halley's iteration triples the good digits: t += t*(a - t^3)/(2t^3 + a), all quartered against overflow.
  Float quarter = a * 0.25;
  for (int step = 0, steps = single ? 2 : 3; step != steps; ++step) {
    Float cube = t * t * (t * 0.25);
    t = mad(t, (quarter - cube) / (cube + cube + quarter), t);
  }
  t = select(small, t * (single ? 0x1p-8 : 0x1p-18), t);
  t = select((size > 0.0) & (size < kInf), t, size);
  return copySign(t, x);
}

} // namespace fn
} // namespace tenon::cpu
