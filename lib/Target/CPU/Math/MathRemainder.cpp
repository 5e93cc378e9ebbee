// What loops or rounds: fmod, integer powers, round half away from zero.
#include "MathEmitter.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include <limits>

using namespace mlir;

namespace tenon::cpu {

static constexpr double kInf = std::numeric_limits<double>::infinity();
static constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

/// while (any lane of goOn(values)) values = step(values)
static SmallVector<Value> loopWhileAny(MathEmitter *e, ArrayRef<Value> start, llvm::function_ref<Bool(ValueRange)> goOn,
                                       llvm::function_ref<SmallVector<Value>(ValueRange)> step) {
  OpBuilder &b = e->builder();
  auto loop = scf::WhileOp::create(
      b, e->loc(), TypeRange(ValueRange(start)), start,
      [&](OpBuilder &, Location loc, ValueRange values) {
        Value any = e->anyLane(goOn(values));
        scf::ConditionOp::create(b, loc, any, values);
      },
      [&](OpBuilder &, Location loc, ValueRange values) {
        SmallVector<Value> next = step(values);
        scf::YieldOp::create(b, loc, next);
      });
  return SmallVector<Value>(loop.getResults());
}

/// f32 in f64: quotients of up to 28 bits are taken off exactly, so one round nearly always suffices.
static Float fmodSingle(Float x, Float y) {
  MathEmitter *e = x.e;
  Float divisor = extend(y);
  Int divisorField = shiftRight(bitsOf(divisor), 52);
  Float rest = extend(x);
  SmallVector<Value> done = loopWhileAny(
      e, {rest.v}, [&](ValueRange values) { return e->wrap(values[0]) >= divisor; },
      [&](ValueRange values) -> SmallVector<Value> {
        Float r = e->wrap(values[0]);
        // divisor * 2^max(0, exponent(r) - exponent(divisor) - 27)
        Int gap = (shiftRight(bitsOf(r), 52) - divisorField) - 27;
        Int lift = select(lessSigned(gap, literal(gap, 0)), literal(gap, 0), gap);
        Float scaled = fromBits(bitsOf(divisor) + (lift << 52));
        // The product and the difference have at most 53 bits. The quotient may be one too large.
        r = r - trunc(r / scaled) * scaled;
        return {select(r < 0.0, r + scaled, r).v};
      });
  return round(e->wrap(done[0]), 32);
}

/// Long division of the significands, 11 bits a round.
static Float fmodDouble(Float x, Float y) {
  MathEmitter *e = x.e;
  Int one = e->constantInt(64, 1), zero = e->constantInt(64, 0);
  auto split = [&](Float value) -> std::pair<Int, Int> {
    Int bits = bitsOf(value), field = shiftRight(bits, 52);
    Bool denormal = field == 0;
    Int significand = (bits & 0xfffffffffffffull) | select(denormal, zero, e->constantInt(64, 1ull << 52));
    return {significand, select(denormal, one, field)};
  };
  auto [significandX, fieldX] = split(x);
  auto [divisor, fieldY] = split(y);
  auto modulo = [&](Int a) -> Int { return {e, arith::RemUIOp::create(e->builder(), e->loc(), a.v, divisor.v)}; };
  Int left = fieldX - fieldY;
  SmallVector<Value> done = loopWhileAny(
      e, {significandX.v, left.v}, [&](ValueRange values) { return lessSigned(zero, e->wrapInt(values[1])); },
      [&](ValueRange values) -> SmallVector<Value> {
        Int r = e->wrapInt(values[0]), count = e->wrapInt(values[1]);
        Bool more = lessSigned(zero, count);
        Int most = e->constantInt(64, 11);
        Int step = select(more, select(lessSigned(count, most), count, most), zero);
        return {shiftLeft(modulo(r), step).v, (count - step).v};
      });
  Int r = modulo(e->wrapInt(done[0]));
  Float scale = fromBits(fieldY << 52);
  return select(x < y, x, toFloat(r, 64) * 0x1p-52 * scale);
}

namespace fn {

Float fmod(Float x, Float y) {
  Float a = abs(x), b = abs(y);
  Bool valid = (a < kInf) & (b > 0.0);
  Bool ordinary = valid & (b < kInf);
  Float dividend = select(ordinary, a, 0.0), divisor = select(ordinary, b, 1.0);
  Float r = width(x) == 32 ? fmodSingle(dividend, divisor) : fmodDouble(dividend, divisor);
  r = select(ordinary, r, a);
  return copySign(select(valid, r, kNan), x);
}

Int powInt(Int x, Int n) {
  // Square and multiply; a negative power of anything but 1 and -1 is 0.
  MathEmitter *e = x.e;
  Int one = literal(x, 1), zero = literal(x, 0);
  Bool negative = lessSigned(n, zero);
  Int magnitude = select(negative, zero - n, n);
  SmallVector<Value> done = loopWhileAny(
      e, {one.v, x.v, magnitude.v}, [&](ValueRange values) { return !(e->wrapInt(values[2]) == 0); },
      [&](ValueRange values) -> SmallVector<Value> {
        Int result = e->wrapInt(values[0]), power = e->wrapInt(values[1]), rest = e->wrapInt(values[2]);
        Bool odd = !((rest & 1) == 0);
        return {select(odd, result * power, result).v, (power * power).v, shiftRight(rest, 1).v};
      });
  Int result = e->wrapInt(done[0]);
  Bool unit = (x == 1) | (x == ~uint64_t(0));
  return select(negative & !unit, zero, result);
}

Float roundHalfAway(Float x) {
  Float whole = trunc(x);
  Float more = select(abs(x - whole) >= 0.5, literal(x, 1.0), literal(x, 0.0));
  // Towards the sign of x, which a zero result keeps.
  return copySign(whole + copySign(more, x), x);
}

} // namespace fn
} // namespace tenon::cpu
