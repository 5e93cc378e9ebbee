// Floats of 8 bits and less: their bits to and from float32, in integer arithmetic.
#include "Scalars.h"

using namespace mlir;

namespace tenon::frontend {

namespace {
/// A sign, exponent and mantissa, and what the codes at the end mean.
struct Format {
  int bits, mantissa, bias;
  int largest;            ///< magnitude of the largest number
  int infinity = -1;      ///< magnitude that means infinity
  int nan = -1;           ///< magnitude from which on it is NaN
  bool isUnsignedZero = false; ///< no negative zero: its code is the NaN
};
} // namespace

static Format formatOf(ScalarType type) {
  switch (type) {
  case ScalarType::Float8E4M3FN:
    return {8, 3, 7, 0x7e, -1, 0x7f};
  case ScalarType::Float8E5M2:
    return {8, 2, 15, 0x7b, 0x7c, 0x7d};
  case ScalarType::Float8E4M3FNUZ:
    return {8, 3, 8, 0x7f, -1, -1, true};
  case ScalarType::Float8E5M2FNUZ:
    return {8, 2, 16, 0x7f, -1, -1, true};
  case ScalarType::Float6E2M3FN:
    return {6, 3, 1, 0x1f};
  case ScalarType::Float6E3M2FN:
    return {6, 2, 3, 0x1f};
  default:
    return {4, 1, 1, 0x7}; // Float4E2M1FN
  }
}

Value Scalars::decodeSmallFloat(Value bits, ScalarType from) {
  Scalars i(b, loc, ScalarType::Int), f(b, loc, ScalarType::Float);
  Value code = i.make<arith::ExtUIOp>(b.getI32Type(), bits);
  auto asFloat = [&](Value v) -> Value { return arith::BitcastOp::create(b, loc, b.getF32Type(), v); };
  Value nan = f.number(std::numeric_limits<double>::quiet_NaN());
  if (from == ScalarType::Float8E8M0FNU) {
    Value power = i.make<arith::ShLIOp>(code, i.integer(23));
    power = i.select(i.compare(Compare::Eq, code, i.integer(0)), i.integer(0x400000), power);
    return f.select(i.compare(Compare::Eq, code, i.integer(255)), nan, asFloat(power));
  }
  Format format = formatOf(from);
  int sign = 1 << (format.bits - 1);
  // The magnitude in the place of a float32's exponent and mantissa is off by a power of two, for subnormals as well.
  Value magnitude = i.make<arith::AndIOp>(code, i.integer(sign - 1));
  Value placed = asFloat(i.make<arith::ShLIOp>(magnitude, i.integer(23 - format.mantissa)));
  Value value = f.mul(placed, f.number(std::ldexp(1.0, 127 - format.bias)));
  Value isNegative = i.compare(Compare::Ne, i.make<arith::AndIOp>(code, i.integer(sign)), i.integer(0));
  if (format.infinity >= 0)
    value = f.select(i.compare(Compare::Eq, magnitude, i.integer(format.infinity)),
                     f.number(std::numeric_limits<double>::infinity()), value);
  value = f.select(isNegative, f.neg(value), value);
  if (format.nan >= 0)
    value = f.select(i.compare(Compare::Ge, magnitude, i.integer(format.nan)), nan, value);
  if (format.isUnsignedZero)
    value = f.select(i.compare(Compare::Eq, code, i.integer(sign)), nan, value);
  return value;
}

Value Scalars::encodeSmallFloat(Value value, ScalarType to, bool saturates, PowerRounding rounding) {
  Scalars i(b, loc, ScalarType::Int), f(b, loc, ScalarType::Float);
  Value bits = arith::BitcastOp::create(b, loc, b.getI32Type(), value);
  Value magnitude = i.make<arith::AndIOp>(bits, i.integer(0x7fffffff));
  auto asByte = [&](Value v) -> Value { return arith::TruncIOp::create(b, loc, b.getI8Type(), v); };
  if (to == ScalarType::Float8E8M0FNU) {
    // A power of two: the exponent, one more where the mantissa is large enough.
    Value exponent = i.make<arith::ShRUIOp>(magnitude, i.integer(23));
    Value rest = i.make<arith::AndIOp>(magnitude, i.integer(0x7fffff));
    if (rounding != PowerRounding::Down) {
      // Below the least normal number half is not enough: the code 0 stands for an odd multiple.
      Value isUp = i.compare(Compare::Gt, rest, i.integer(0));
      if (rounding == PowerRounding::Nearest) {
        Value least = i.select(i.compare(Compare::Eq, exponent, i.integer(0)), i.integer(0x400001), i.integer(0x400000));
        isUp = i.compare(Compare::Ge, rest, least);
      }
      exponent = i.add(exponent, i.select(isUp, i.integer(1), i.integer(0)));
      if (saturates)
        exponent = i.min(exponent, i.integer(254));
    }
    Value isSpecial = i.compare(Compare::Ge, magnitude, i.integer(0x7f800000));
    return asByte(i.select(isSpecial, i.integer(255), exponent));
  }
  Format format = formatOf(to);
  int shift = 23 - format.mantissa, sign = 1 << (format.bits - 1);
  // Normal results: the exponent is moved and the mantissa rounded to even. Subnormal ones: a sum whose last place is
  // the format's step does the rounding.
  Value moved = i.sub(magnitude, i.integer(int64_t(127 - format.bias) << 23));
  Value last = i.make<arith::AndIOp>(i.make<arith::ShRSIOp>(moved, i.integer(shift)), i.integer(1));
  Value normal =
      i.make<arith::ShRSIOp>(i.add(i.add(moved, i.integer((1 << (shift - 1)) - 1)), last), i.integer(shift));
  double anchor = std::ldexp(1.0, 1 - format.bias - format.mantissa + 23);
  Value absolute = arith::BitcastOp::create(b, loc, b.getF32Type(), magnitude);
  Value sum = arith::BitcastOp::create(b, loc, b.getI32Type(), f.add(absolute, f.number(anchor)));
  Value anchorBits = arith::BitcastOp::create(b, loc, b.getI32Type(), f.number(anchor));
  Value isSmall = f.compare(Compare::Lt, absolute, f.number(std::ldexp(1.0, 1 - format.bias)));
  Value code = i.select(isSmall, i.sub(sum, anchorBits), normal);
  bool hasNan = format.isUnsignedZero || format.nan >= 0;
  int nan = format.nan >= 0 ? 0x7f : -1;
  int beyond = saturates || !hasNan ? format.largest : format.infinity >= 0 ? format.infinity : nan;
  Value isBeyond = i.compare(Compare::Gt, code, i.integer(format.largest));
  Value isNegative = i.compare(Compare::Lt, bits, i.integer(0));
  Value low = i.select(isBeyond, i.integer(beyond < 0 ? 0 : beyond), code);
  Value whole = i.select(isNegative, i.make<arith::OrIOp>(low, i.integer(sign)), low);
  if (format.isUnsignedZero) {
    whole = i.select(i.compare(Compare::Eq, low, i.integer(0)), i.integer(0), whole);
    if (!saturates)
      whole = i.select(isBeyond, i.integer(sign), whole);
    whole = i.select(f.isNan(value), i.integer(sign), whole);
  } else {
    // A format without a NaN gets a zero of the other sign, as in ml_dtypes.
    Value none = hasNan ? i.integer(nan) : i.select(isNegative, i.integer(0), i.integer(sign));
    whole = i.select(f.isNan(value), none, whole);
  }
  return asByte(whole);
}

} // namespace tenon::frontend
