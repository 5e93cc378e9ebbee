// The code of one element.
#include "Scalars.h"

using namespace mlir;

namespace tenon::frontend {

Type toType(ScalarType type, MLIRContext *context) {
  Builder b(context);
  switch (type) {
  case ScalarType::Byte:
  case ScalarType::Char:
    return b.getI8Type();
  case ScalarType::Short:
  case ScalarType::UInt16:
    return b.getI16Type();
  case ScalarType::Int:
  case ScalarType::UInt32:
    return b.getI32Type();
  case ScalarType::Long:
  case ScalarType::UInt64:
    return b.getI64Type();
  case ScalarType::Half:
    return b.getF16Type();
  case ScalarType::BFloat16:
    return b.getBF16Type();
  case ScalarType::Float:
    return b.getF32Type();
  case ScalarType::Double:
    return b.getF64Type();
  case ScalarType::ComplexFloat:
    return ComplexType::get(b.getF32Type());
  case ScalarType::ComplexDouble:
    return ComplexType::get(b.getF64Type());
  case ScalarType::Bool:
    return b.getI1Type();
  case ScalarType::Int4:
  case ScalarType::UInt4:
  case ScalarType::Int2:
  case ScalarType::UInt2:
  case ScalarType::Float8E4M3FN:
  case ScalarType::Float8E5M2:
  case ScalarType::Float8E4M3FNUZ:
  case ScalarType::Float8E5M2FNUZ:
  case ScalarType::Float8E8M0FNU:
  case ScalarType::Float4E2M1FN:
  case ScalarType::Float6E2M3FN:
  case ScalarType::Float6E3M2FN:
    return b.getI8Type();
  case ScalarType::Unknown:
  case ScalarType::ComplexHalf:
    return {};
  }
  return {};
}

bool isFloating(ScalarType type) {
  switch (type) {
  case ScalarType::Half:
  case ScalarType::BFloat16:
  case ScalarType::Float:
  case ScalarType::Double:
    return true;
  default:
    return isSmallFloat(type);
  }
}

bool isSmallFloat(ScalarType type) {
  switch (type) {
  case ScalarType::Float8E4M3FN:
  case ScalarType::Float8E5M2:
  case ScalarType::Float8E4M3FNUZ:
  case ScalarType::Float8E5M2FNUZ:
  case ScalarType::Float8E8M0FNU:
  case ScalarType::Float4E2M1FN:
  case ScalarType::Float6E2M3FN:
  case ScalarType::Float6E3M2FN:
    return true;
  default:
    return false;
  }
}

unsigned subByteBits(ScalarType type) {
  switch (type) {
  case ScalarType::Int4:
  case ScalarType::UInt4:
    return 4;
  case ScalarType::Int2:
  case ScalarType::UInt2:
    return 2;
  default:
    return 0;
  }
}

bool isComplex(ScalarType type) {
  return type == ScalarType::ComplexHalf || type == ScalarType::ComplexFloat || type == ScalarType::ComplexDouble;
}

bool isIntegral(ScalarType type) {
  return type != ScalarType::Bool && type != ScalarType::Unknown && !isFloating(type) && !isComplex(type);
}

bool isUnsigned(ScalarType type) {
  return type == ScalarType::Byte || type == ScalarType::UInt16 || type == ScalarType::UInt32 ||
         type == ScalarType::UInt64 || type == ScalarType::UInt4 || type == ScalarType::UInt2 ||
         type == ScalarType::Bool;
}

ScalarType promoteTypes(ScalarType a, ScalarType b) {
  if (a == b || b == ScalarType::Unknown)
    return a;
  if (a == ScalarType::Unknown)
    return b;
  if (isComplex(a) || isComplex(b)) {
    bool isDouble = a == ScalarType::ComplexDouble || b == ScalarType::ComplexDouble || a == ScalarType::Double ||
                    b == ScalarType::Double;
    return isDouble ? ScalarType::ComplexDouble : ScalarType::ComplexFloat;
  }
  if (isFloating(a) || isFloating(b)) {
    if (!isFloating(a))
      return b;
    if (!isFloating(b))
      return a;
    if (a == ScalarType::Double || b == ScalarType::Double)
      return ScalarType::Double;
    return ScalarType::Float; // also half with bfloat16
  }
  if (a == ScalarType::Bool)
    return b;
  if (b == ScalarType::Bool)
    return a;
  if (isUnsigned(a) == isUnsigned(b))
    return bytesOf(a) >= bytesOf(b) ? a : b;
  // uint8 with a signed type: the signed one if it is wider, else the next wider signed one.
  ScalarType s = isUnsigned(a) ? b : a, u = isUnsigned(a) ? a : b;
  if (bytesOf(s) > bytesOf(u))
    return s;
  switch (bytesOf(u)) {
  case 1:
    return ScalarType::Short;
  case 2:
    return ScalarType::Int;
  default:
    return ScalarType::Long;
  }
}

ScalarType computeType(ScalarType type) {
  return isFloating(type) && type != ScalarType::Double ? ScalarType::Float : type;
}

Scalars::Scalars(OpBuilder &builder, Location loc, ScalarType type)
    : b(builder), loc(loc), type(type), mlirType(toType(type, builder.getContext())) {}

Value Scalars::number(double value) {
  if (isFloat())
    return arith::ConstantOp::create(b, loc, b.getFloatAttr(mlirType, value));
  if (auto complex = dyn_cast<ComplexType>(mlirType))
    return complex::ConstantOp::create(b, loc, mlirType,
                                       b.getArrayAttr({b.getFloatAttr(complex.getElementType(), value),
                                                       b.getFloatAttr(complex.getElementType(), 0.0)}));
  if (isBool())
    return boolean(value != 0);
  return integer(static_cast<int64_t>(value));
}

Value Scalars::integer(int64_t value) {
  if (isFloat() || isComplexNumber())
    return number(static_cast<double>(value));
  if (isBool())
    return boolean(value != 0);
  unsigned width = mlirType.getIntOrFloatBitWidth();
  return arith::ConstantOp::create(b, loc,
                                   b.getIntegerAttr(mlirType, APInt(64, static_cast<uint64_t>(value)).trunc(width)));
}

Value Scalars::boolean(bool value) { return arith::ConstantOp::create(b, loc, b.getBoolAttr(value)); }

Value Scalars::convert(Value value, ScalarType from, ScalarType to) {
  Type target = toType(to, b.getContext());
  if (from == to || !target)
    return value;
  if (isSmallFloat(from))
    return convert(decodeSmallFloat(value, from), ScalarType::Float, to);
  if (isSmallFloat(to))
    return encodeSmallFloat(convert(value, from, ScalarType::Float), to, /*saturates=*/true);
  if (unsigned bits = subByteBits(to)) {
    // Kept in a byte; the sign is extended, or the upper bits are zero.
    ScalarType byte = isUnsigned(to) ? ScalarType::Byte : ScalarType::Char;
    Value narrow = isFloating(from) ? convert(convert(value, from, ScalarType::Int), ScalarType::Int, byte)
                                    : convert(value, from, byte);
    Value shift = arith::ConstantOp::create(b, loc, b.getI8IntegerAttr(8 - bits));
    Value high = make<arith::ShLIOp>(narrow, shift);
    return isUnsigned(to) ? make<arith::ShRUIOp>(high, shift) : make<arith::ShRSIOp>(high, shift);
  }
  if (isComplex(to)) {
    auto part = cast<ComplexType>(target).getElementType();
    ScalarType partType = part.isF64() ? ScalarType::Double : ScalarType::Float;
    Value re, im;
    if (isComplex(from)) {
      ScalarType fromPart = from == ScalarType::ComplexDouble ? ScalarType::Double : ScalarType::Float;
      re = convert(make<complex::ReOp>(value), fromPart, partType);
      im = convert(make<complex::ImOp>(value), fromPart, partType);
    } else {
      re = convert(value, from, partType);
      im = arith::ConstantOp::create(b, loc, b.getFloatAttr(part, 0.0));
    }
    return complex::CreateOp::create(b, loc, target, re, im);
  }
  if (isComplex(from)) {
    ScalarType part = from == ScalarType::ComplexDouble ? ScalarType::Double : ScalarType::Float;
    if (to == ScalarType::Bool) {
      Value re = convert(make<complex::ReOp>(value), part, to), im = convert(make<complex::ImOp>(value), part, to);
      return make<arith::OrIOp>(re, im);
    }
    return convert(make<complex::ReOp>(value), part, to);
  }
  if (to == ScalarType::Bool) {
    if (isFloating(from)) {
      Value zero = arith::ConstantOp::create(b, loc, b.getFloatAttr(value.getType(), 0.0));
      return make<arith::CmpFOp>(arith::CmpFPredicate::UNE, value, zero);
    }
    Value zero = arith::ConstantOp::create(b, loc, b.getIntegerAttr(value.getType(), 0));
    return make<arith::CmpIOp>(arith::CmpIPredicate::ne, value, zero);
  }
  if (isFloating(from) && isFloating(to)) {
    unsigned have = value.getType().getIntOrFloatBitWidth(), want = target.getIntOrFloatBitWidth();
    if (have < want)
      return arith::ExtFOp::create(b, loc, target, value);
    if (have > want)
      return arith::TruncFOp::create(b, loc, target, value);
    if (value.getType() == target)
      return value;
    Value wide = arith::ExtFOp::create(b, loc, b.getF32Type(), value);
    return arith::TruncFOp::create(b, loc, target, wide);
  }
  if (isFloating(from))
    return isUnsigned(to) ? arith::FPToUIOp::create(b, loc, target, value).getResult()
                          : arith::FPToSIOp::create(b, loc, target, value).getResult();
  if (isFloating(to))
    return isUnsigned(from) ? arith::UIToFPOp::create(b, loc, target, value).getResult()
                            : arith::SIToFPOp::create(b, loc, target, value).getResult();
  unsigned have = value.getType().getIntOrFloatBitWidth(), want = target.getIntOrFloatBitWidth();
  if (have > want)
    return arith::TruncIOp::create(b, loc, target, value);
  if (have == want)
    return value;
  return isUnsigned(from) ? arith::ExtUIOp::create(b, loc, target, value).getResult()
                          : arith::ExtSIOp::create(b, loc, target, value).getResult();
}

Value Scalars::add(Value l, Value r) {
  if (isFloat())
    return make<arith::AddFOp>(l, r);
  if (isComplexNumber())
    return make<complex::AddOp>(l, r);
  return isBool() ? either(l, r) : make<arith::AddIOp>(l, r);
}

Value Scalars::sub(Value l, Value r) {
  if (isFloat())
    return make<arith::SubFOp>(l, r);
  if (isComplexNumber())
    return make<complex::SubOp>(l, r);
  return isBool() ? make<arith::XOrIOp>(l, r) : make<arith::SubIOp>(l, r);
}

Value Scalars::mul(Value l, Value r) {
  if (isFloat())
    return make<arith::MulFOp>(l, r);
  if (isComplexNumber())
    return make<complex::MulOp>(l, r);
  return isBool() ? both(l, r) : make<arith::MulIOp>(l, r);
}

Value Scalars::div(Value l, Value r) {
  if (isComplexNumber())
    return make<complex::DivOp>(l, r);
  return isFloat() ? make<arith::DivFOp>(l, r) : truncDiv(l, r);
}

Value Scalars::neg(Value x) {
  if (isFloat())
    return make<arith::NegFOp>(x);
  if (isComplexNumber())
    return make<complex::NegOp>(x);
  return make<arith::SubIOp>(integer(0), x);
}

Value Scalars::abs(Value x) {
  if (isFloat())
    return make<math::AbsFOp>(x);
  return isUnsigned(type) ? x : make<math::AbsIOp>(x);
}

Value Scalars::max(Value l, Value r) {
  if (isFloat())
    return make<arith::MaximumFOp>(l, r);
  return isUnsigned(type) ? make<arith::MaxUIOp>(l, r) : make<arith::MaxSIOp>(l, r);
}

Value Scalars::min(Value l, Value r) {
  if (isFloat())
    return make<arith::MinimumFOp>(l, r);
  return isUnsigned(type) ? make<arith::MinUIOp>(l, r) : make<arith::MinSIOp>(l, r);
}

Value Scalars::compare(Compare how, Value l, Value r) {
  using F = arith::CmpFPredicate;
  using I = arith::CmpIPredicate;
  if (isFloat()) {
    static constexpr F table[] = {F::OEQ, F::UNE, F::OLT, F::OLE, F::OGT, F::OGE};
    return make<arith::CmpFOp>(table[static_cast<int>(how)], l, r);
  }
  if (isComplexNumber())
    return how == Compare::Eq ? make<complex::EqualOp>(l, r) : make<complex::NotEqualOp>(l, r);
  static constexpr I asSigned[] = {I::eq, I::ne, I::slt, I::sle, I::sgt, I::sge};
  static constexpr I asUnsigned[] = {I::eq, I::ne, I::ult, I::ule, I::ugt, I::uge};
  return make<arith::CmpIOp>((isUnsigned(type) ? asUnsigned : asSigned)[static_cast<int>(how)], l, r);
}

Value Scalars::isNan(Value x) {
  return isFloat() ? make<arith::CmpFOp>(arith::CmpFPredicate::UNO, x, x) : boolean(false);
}

Value Scalars::select(Value condition, Value yes, Value no) { return make<arith::SelectOp>(condition, yes, no); }
Value Scalars::both(Value l, Value r) { return make<arith::AndIOp>(l, r); }
Value Scalars::either(Value l, Value r) { return make<arith::OrIOp>(l, r); }
Value Scalars::negate(Value x) { return make<arith::XOrIOp>(x, boolean(true)); }

Value Scalars::safeDivisor(Value divisor) {
  if (auto constant = divisor.getDefiningOp<arith::ConstantOp>())
    if (auto value = dyn_cast<IntegerAttr>(constant.getValue()))
      if (!value.getValue().isZero() && !value.getValue().isAllOnes())
        return divisor;
  return select(compare(Compare::Eq, divisor, integer(0)), integer(1), divisor);
}

Value Scalars::truncDiv(Value l, Value r) {
  if (isFloat())
    return make<math::TruncOp>(div(l, r));
  Value safe = safeDivisor(r);
  if (isUnsigned(type))
    return make<arith::DivUIOp>(l, safe);
  if (safe == r)
    return make<arith::DivSIOp>(l, r);
  // The least integer divided by -1 traps as well.
  Value isMinusOne = compare(Compare::Eq, r, integer(-1));
  Value quotient = make<arith::DivSIOp>(l, select(isMinusOne, integer(1), safe));
  return select(isMinusOne, neg(l), quotient);
}

Value Scalars::fmod(Value l, Value r) {
  if (isFloat())
    return make<arith::RemFOp>(l, r);
  Value safe = safeDivisor(r);
  if (isUnsigned(type))
    return make<arith::RemUIOp>(l, safe);
  if (safe != r)
    safe = select(compare(Compare::Eq, r, integer(-1)), integer(1), safe); // the remainder is 0 for both
  return make<arith::RemSIOp>(l, safe);
}

Value Scalars::remainder(Value l, Value r) {
  Value rest = fmod(l, r);
  if (isUnsigned(type))
    return rest;
  Value zero = integer(0);
  Value isNegative = compare(Compare::Lt, rest, zero), wantsNegative = compare(Compare::Lt, r, zero);
  Value differs = make<arith::XOrIOp>(isNegative, wantsNegative);
  Value mustShift = both(compare(Compare::Ne, rest, zero), differs);
  return select(mustShift, add(rest, r), rest);
}

Value Scalars::floorDiv(Value l, Value r) {
  if (isUnsigned(type))
    return truncDiv(l, r);
  if (!isFloat()) {
    Value quotient = truncDiv(l, r), rest = fmod(l, r), zero = integer(0);
    Value differs = make<arith::XOrIOp>(compare(Compare::Lt, rest, zero), compare(Compare::Lt, r, zero));
    return select(both(compare(Compare::Ne, rest, zero), differs), sub(quotient, integer(1)), quotient);
  }
  // As CPython: exact where the rounded quotient would not be.
  Value zero = number(0), one = number(1);
  Value rest = make<arith::RemFOp>(l, r);
  Value quotient = div(sub(l, rest), r);
  Value differs = make<arith::XOrIOp>(compare(Compare::Lt, rest, zero), compare(Compare::Lt, r, zero));
  quotient = select(both(compare(Compare::Ne, rest, zero), differs), sub(quotient, one), quotient);
  Value down = make<math::FloorOp>(quotient);
  down = select(compare(Compare::Gt, sub(quotient, down), number(0.5)), add(down, one), down);
  Value plain = div(l, r);
  down = select(compare(Compare::Eq, quotient, zero), make<math::CopySignOp>(zero, plain), down);
  return select(compare(Compare::Eq, r, zero), plain, down);
}

Value Scalars::sigmoid(Value x) {
  // exp(-x) may be infinite, which gives 0 as it should.
  Value e = make<math::ExpOp>(neg(x));
  return div(number(1), add(number(1), e));
}

Value Scalars::power(Value x, double exponent) {
  double magnitude = std::fabs(exponent);
  if (exponent == 0)
    return number(1);
  if (isFloat() && exponent == 0.5)
    return make<math::SqrtOp>(x);
  if (isFloat() && exponent == -0.5)
    return make<math::RsqrtOp>(x);
  bool isSmall = magnitude == std::floor(magnitude) && magnitude <= (isFloat() ? 4 : 64);
  if (isSmall && (isFloat() || exponent > 0)) {
    Value result, square = x;
    for (unsigned n = static_cast<unsigned>(magnitude); n; n >>= 1) {
      if (n & 1)
        result = result ? mul(result, square) : square;
      if (n > 1)
        square = mul(square, square);
    }
    return exponent < 0 ? div(number(1), result) : result;
  }
  if (isFloat())
    return make<math::PowFOp>(x, number(exponent));
  return make<math::IPowIOp>(x, number(exponent));
}

} // namespace tenon::frontend
