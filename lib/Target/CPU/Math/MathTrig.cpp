// Sine, cosine, tangent. Small arguments are reduced after Cody & Waite, large ones after Payne & Hanek (Radian
// reduction for trigonometric functions, SIGNUM 1983; Muller, Elementary Functions, 3rd ed., section 11.4) in a branch
// that is taken only when a lane needs it.
#include "Coefficients.h"
#include "MathEmitter.h"
#include <cmath>
#include <limits>

using namespace mlir;

namespace tenon::cpu {
using namespace coefficients;

namespace {
/// |x| = n*pi/2 + high + low, |high| <= pi/4 (and a little), n modulo 4. `low` is absent for f32.
struct Reduced {
  Float high;
  std::optional<Float> low;
  Int n;
};
} // namespace

/// The 32-bit windows of 2/pi that start at bit `offset` of the table, with 64 zero bits before it; as 64-bit integers.
static SmallVector<Int> windowOfTwoOverPi(Int offset, unsigned count, unsigned lastIndex) {
  MathEmitter *e = offset.e;
  Int index = shiftRight(offset, 5), shift = offset & 31;
  unsigned levels = llvm::Log2_32_Ceil(lastIndex + 1);
  unsigned need = count + 1 + (1u << levels) - 1;
  SmallVector<Int> words;
  for (unsigned i = 0; i != need; ++i) {
    bool inTable = i >= 2 && i - 2 < std::size(kTwoOverPi);
    words.push_back(e->constantInt(64, inTable ? kTwoOverPi[i - 2] : 0));
  }
  for (unsigned level = levels; level-- != 0;) {
    unsigned step = 1u << level;
    Bool far = !((index & step) == 0);
    unsigned keep = count + 1 + step - 1;
    for (unsigned i = 0; i != keep; ++i)
      words[i] = select(far, words[i + step], words[i]);
    words.resize(keep, words.front());
  }
  SmallVector<Int> window;
  for (unsigned i = 0; i != count; ++i)
    window.push_back(shiftRight(shiftLeft((words[i] << 32) | words[i + 1], shift), 32));
  return window;
}

/// For finite f64 |x| >= 2^10: x*2/pi modulo 4 from 192 bits of 2/pi around the binary point.
static Reduced reducePayneHanek(Float x, unsigned lastIndex) {
  MathEmitter *e = x.e;
  Int bits = bitsOf(x);
  Int mantissa = (bits & 0xfffffffffffffull) | 0x10000000000000ull;
  // x = mantissa * 2^(field - 1075). Bits of 2/pi above 2^-(field-1077) make multiples of 4.
  Int offset = shiftRight(bits, 52) - uint64_t(1075 + 2 - 64);
  SmallVector<Int> window = windowOfTwoOverPi(offset, 6, lastIndex);
  Int low = mantissa & 0xffffffffull, high = shiftRight(mantissa, 32);
  SmallVector<Int> limbs;
  Int carry = e->constantInt(64, 0);
  for (unsigned k = 0; k != 6; ++k) {
    Int product = low * window[5 - k];
    Int sum = (product & 0xffffffffull) + carry;
    if (k != 0)
      sum = sum + high * window[6 - k];
    limbs.push_back(sum & 0xffffffffull);
    carry = shiftRight(sum, 32) + shiftRight(product, 32);
  }
  Int top = (limbs[5] << 32) | limbs[4];
  Int n = shiftRight(top + (uint64_t(1) << 61), 62);
  Int fraction = top - (n << 62);
  // Quarter turns times 2^62, as a sum of two doubles.
  Float t0 = toFloat(shiftRightSigned(fraction, 32), 64) * 0x1p32, t1 = toFloat(fraction & 0xffffffffull, 64);
  Float t2 = toFloat(limbs[3], 64) * 0x1p-32, t3 = toFloat(limbs[2], 64) * 0x1p-64;
  Pair head = fastTwoSum(t0, t1);
  Pair turns = fastTwoSum(head.high, head.low + (t2 + t3));
  Float pi = e->constant(64, kPiOver2F64[0]);
  Pair product = twoProduct(turns.high, pi);
  Float rest = product.low + (turns.high * kPiOver2F64[1] + turns.low * pi);
  Pair r = fastTwoSum(product.high, rest);
  return {r.high * 0x1p-62, r.low * 0x1p-62, n};
}

/// For |x| <= 105414 (f32) or 1.6e6 (f64).
static Reduced reduceCodyWaite(Float x) {
  if (width(x) == 32 && x.e->hasFMA()) {
    Nearest n = nearest(x * 0.6366197723675814);
    // n has 17 bits and x - n*pi/2 no bit below ulp(pi/2): the first step is exact.
    Float r = msub(n.value, kPiOver2F32[0], x);
    r = msub(n.value, kPiOver2F32[1], r);
    r = msub(n.value, kPiOver2F32[2], r);
    return {r, std::nullopt, n.word};
  }
  if (width(x) == 32) {
    Float wide = extend(x);
    Nearest n = nearest(wide * 0.6366197723675814);
    Float r = msub(n.value, kPiOver2ShortF64[0], wide);
    r = msub(n.value, kPiOver2ShortF64[1], r);
    return {round(r, 32), std::nullopt, truncate(n.word, 32)};
  }
  Nearest n = nearest(x * 0.6366197723675814);
  Pair sum;
  Float low;
  if (x.e->hasFMA()) {
    Float r = msub(n.value, kPiOver2F64[0], x);
    Pair second = twoProduct(n.value, literal(x, kPiOver2F64[1]));
    sum = twoSum(r, -second.high);
    low = sum.low - mad(n.value, kPiOver2F64[2], second.low);
  } else {
    Float r = x - n.value * kPiOver2ShortF64[0];
    Pair second = twoSum(r, -(n.value * kPiOver2ShortF64[1]));
    sum = twoSum(second.high, -(n.value * kPiOver2ShortF64[2]));
    low = (second.low + sum.low) - n.value * kPiOver2ShortF64[3];
  }
  Pair r = fastTwoSum(sum.high, low);
  return {r.high, r.low, n.word};
}

/// For |x| of any size, x >= 0; infinities and NaN give a NaN in `high`.
static Reduced reduce(Float x) {
  bool single = width(x) == 32;
  Reduced near = reduceCodyWaite(x);
  Bool far = (x > (single ? 105414.0 : 1647099.0)) & (x < std::numeric_limits<double>::infinity());
  SmallVector<Value> values = {near.high.v, near.n.v};
  if (near.low)
    values.push_back(near.low->v);
  SmallVector<Value> chosen = x.e->ifAny(far, values, [&]() -> SmallVector<Value> {
    Reduced large = reducePayneHanek(single ? extend(x) : x, single ? 4 : 32);
    if (single)
      return {select(far, round(large.high, 32), near.high).v, select(far, truncate(large.n, 32), near.n).v};
    return {select(far, large.high, near.high).v, select(far, large.n, near.n).v, select(far, *large.low, *near.low).v};
  });
  Reduced result = {x.e->wrap(chosen[0]), std::nullopt, x.e->wrapInt(chosen[1])};
  if (near.low)
    result.low = x.e->wrap(chosen[2]);
  return result;
}

/// Sine and cosine of high + low, |high| <= pi/4.
static std::pair<Float, Float> sinCosKernel(const Reduced &r) {
  Float x = r.high, square = x * x;
  bool single = width(x) == 32;
  Float s = polynomial(single ? ArrayRef<double>(kSinF32) : kSinF64, square);
  Float c = polynomial(single ? ArrayRef<double>(kCosF32) : kCosF64, square);
  Float cube = square * x;
  if (!r.low)
    return {mad(cube, s, x), mad(square * square, c, mad(square, -0.5, literal(x, 1.0)))};
  Float half = square * 0.5;
  Float head = 1.0 - half;
  Float sine = x + mad(cube, s, msub(half, 1.0, literal(x, 1.0)) * *r.low);
  Float lost = (1.0 - head) - half;
  Float cosine = head + (lost + mad(square * square, c, -(x * *r.low)));
  return {sine, cosine};
}

static std::pair<Float, Float> sinCosImpl(Float x, bool wantSine, bool wantCosine) {
  unsigned bits = width(x);
  Reduced r = reduce(abs(x));
  auto [s, c] = sinCosKernel(r);
  Bool odd = !((r.n & 1) == 0);
  Float sine, cosine;
  if (wantSine)
    sine = flipSign(select(odd, c, s), signBit(x) ^ ((r.n & 2) << (bits - 2)));
  if (wantCosine)
    cosine = flipSign(select(odd, s, c), ((r.n + 1) & 2) << (bits - 2));
  return {sine, cosine};
}

namespace fn {

Float sin(Float x) { return sinCosImpl(x, true, false).first; }
Float cos(Float x) { return sinCosImpl(x, false, true).second; }
std::pair<Float, Float> sincos(Float x) { return sinCosImpl(x, true, true); }

Float tan(Float x) {
  Reduced r = reduce(abs(x));
  auto [s, c] = sinCosKernel(r);
  Bool odd = !((r.n & 1) == 0);
  Float ratio = select(odd, c, s) / select(odd, s, c);
  return flipSign(ratio, signBit(x) ^ ((r.n & 1) << (width(x) - 1)));
}

} // namespace fn
} // namespace tenon::cpu
