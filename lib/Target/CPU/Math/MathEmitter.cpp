// Builds the ops behind the expression language of MathEmitter.h.
#include "MathEmitter.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;

namespace tenon::cpu {

MathEmitter::MathEmitter(OpBuilder &builder, Location loc, Type like, bool hasFMA)
    : b(builder), where(loc), shape(like), fma(hasFMA) {}

Type MathEmitter::shaped(Type element) const {
  if (auto vector = dyn_cast<VectorType>(shape))
    return vector.clone(element);
  return element;
}

Type MathEmitter::floatType(unsigned bits) { return shaped(bits == 32 ? Type(b.getF32Type()) : b.getF64Type()); }
Type MathEmitter::intType(unsigned bits) { return shaped(b.getIntegerType(bits)); }

static Value makeConstant(OpBuilder &b, Location loc, Type type, TypedAttr scalar) {
  if (auto vector = dyn_cast<VectorType>(type))
    scalar = DenseElementsAttr::get(vector, ArrayRef<Attribute>(scalar));
  return arith::ConstantOp::create(b, loc, scalar);
}

Float MathEmitter::constant(unsigned bits, double value) {
  Type type = floatType(bits);
  return wrap(makeConstant(b, where, type, FloatAttr::get(getElementTypeOrSelf(type), value)));
}

Int MathEmitter::constantInt(unsigned bits, uint64_t value) {
  Type type = intType(bits);
  APInt number(bits, value, /*isSigned=*/false, /*implicitTrunc=*/true);
  return wrapInt(makeConstant(b, where, type, IntegerAttr::get(getElementTypeOrSelf(type), number)));
}

Bool MathEmitter::constantBool(bool value) { return wrapBool(constantInt(1, value).v); }

Value MathEmitter::anyLane(Bool condition) {
  auto type = dyn_cast<VectorType>(condition.v.getType());
  if (!type)
    return condition.v;
  Value flat = condition.v;
  if (type.getRank() == 0)
    return vector::ExtractOp::create(b, where, flat, ArrayRef<int64_t>{});
  if (type.getRank() > 1)
    flat = vector::ShapeCastOp::create(b, where, VectorType::get({type.getNumElements()}, b.getI1Type()), flat);
  return vector::ReductionOp::create(b, where, vector::CombiningKind::OR, flat);
}

SmallVector<Value> MathEmitter::ifAny(Bool condition, ArrayRef<Value> otherwise,
                                      llvm::function_ref<SmallVector<Value>()> then) {
  Value any = anyLane(condition);
  auto branch = scf::IfOp::create(b, where, TypeRange(ValueRange(otherwise)), any, /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(branch.thenBlock());
  SmallVector<Value> results = then();
  scf::YieldOp::create(b, where, results);
  b.setInsertionPointToStart(branch.elseBlock());
  scf::YieldOp::create(b, where, otherwise);
  return SmallVector<Value>(branch.getResults());
}

unsigned width(Float a) { return getElementTypeOrSelf(a.v.getType()).getIntOrFloatBitWidth(); }
unsigned width(Int a) { return getElementTypeOrSelf(a.v.getType()).getIntOrFloatBitWidth(); }

Float literal(Float like, double value) { return like.e->constant(width(like), value); }
Int literal(Int like, uint64_t value) { return like.e->constantInt(width(like), value); }

template <typename Op, typename T> static T binary(T a, T b) {
  return {a.e, Op::create(a.e->builder(), a.e->loc(), a.v, b.v)};
}

Float operator+(Float a, Float b) { return binary<arith::AddFOp>(a, b); }
Float operator-(Float a, Float b) { return binary<arith::SubFOp>(a, b); }
Float operator*(Float a, Float b) { return binary<arith::MulFOp>(a, b); }
Float operator/(Float a, Float b) { return binary<arith::DivFOp>(a, b); }
Float operator-(Float a) { return {a.e, arith::NegFOp::create(a.e->builder(), a.e->loc(), a.v)}; }
Float operator+(Float a, double b) { return a + literal(a, b); }
Float operator-(Float a, double b) { return a - literal(a, b); }
Float operator-(double a, Float b) { return literal(b, a) - b; }
Float operator*(Float a, double b) { return a * literal(a, b); }
Float operator*(double a, Float b) { return literal(b, a) * b; }
Float operator/(double a, Float b) { return literal(b, a) / b; }

static Bool compare(arith::CmpFPredicate predicate, Float a, Float b) {
  return {a.e, arith::CmpFOp::create(a.e->builder(), a.e->loc(), predicate, a.v, b.v)};
}
Bool operator<(Float a, Float b) { return compare(arith::CmpFPredicate::OLT, a, b); }
Bool operator<(Float a, double b) { return a < literal(a, b); }
Bool operator<=(Float a, Float b) { return compare(arith::CmpFPredicate::OLE, a, b); }
Bool operator<=(Float a, double b) { return a <= literal(a, b); }
Bool operator>(Float a, Float b) { return compare(arith::CmpFPredicate::OGT, a, b); }
Bool operator>(Float a, double b) { return a > literal(a, b); }
Bool operator>=(Float a, Float b) { return compare(arith::CmpFPredicate::OGE, a, b); }
Bool operator>=(Float a, double b) { return a >= literal(a, b); }
Bool operator==(Float a, Float b) { return compare(arith::CmpFPredicate::OEQ, a, b); }
Bool operator==(Float a, double b) { return a == literal(a, b); }
Bool isNan(Float a) { return compare(arith::CmpFPredicate::UNO, a, a); }

Int operator+(Int a, Int b) { return binary<arith::AddIOp>(a, b); }
Int operator-(Int a, Int b) { return binary<arith::SubIOp>(a, b); }
Int operator*(Int a, Int b) { return binary<arith::MulIOp>(a, b); }
Int operator&(Int a, Int b) { return binary<arith::AndIOp>(a, b); }
Int operator|(Int a, Int b) { return binary<arith::OrIOp>(a, b); }
Int operator^(Int a, Int b) { return binary<arith::XOrIOp>(a, b); }
Int operator+(Int a, uint64_t b) { return a + literal(a, b); }
Int operator-(Int a, uint64_t b) { return a - literal(a, b); }
Int operator-(uint64_t a, Int b) { return literal(b, a) - b; }
Int operator*(Int a, uint64_t b) { return a * literal(a, b); }
Int operator&(Int a, uint64_t b) { return a & literal(a, b); }
Int operator|(Int a, uint64_t b) { return a | literal(a, b); }
Int operator^(Int a, uint64_t b) { return a ^ literal(a, b); }
Int operator<<(Int a, unsigned b) { return shiftLeft(a, literal(a, b)); }
Int shiftLeft(Int a, Int b) { return binary<arith::ShLIOp>(a, b); }
Int shiftRight(Int a, unsigned b) { return shiftRight(a, literal(a, b)); }
Int shiftRight(Int a, Int b) { return binary<arith::ShRUIOp>(a, b); }
Int shiftRightSigned(Int a, unsigned b) { return binary<arith::ShRSIOp>(a, literal(a, b)); }

static Bool compare(arith::CmpIPredicate predicate, Int a, Int b) {
  return {a.e, arith::CmpIOp::create(a.e->builder(), a.e->loc(), predicate, a.v, b.v)};
}
Bool operator==(Int a, Int b) { return compare(arith::CmpIPredicate::eq, a, b); }
Bool operator==(Int a, uint64_t b) { return a == literal(a, b); }
Bool lessSigned(Int a, Int b) { return compare(arith::CmpIPredicate::slt, a, b); }
Bool lessUnsigned(Int a, Int b) { return compare(arith::CmpIPredicate::ult, a, b); }
Bool lessUnsigned(Int a, uint64_t b) { return lessUnsigned(a, literal(a, b)); }

Bool operator&(Bool a, Bool b) { return binary<arith::AndIOp>(a, b); }
Bool operator|(Bool a, Bool b) { return binary<arith::OrIOp>(a, b); }
Bool operator^(Bool a, Bool b) { return binary<arith::XOrIOp>(a, b); }
Bool operator!(Bool a) { return a ^ a.e->constantBool(true); }

static Value selectValue(Bool c, Value a, Value b) {
  return arith::SelectOp::create(c.e->builder(), c.e->loc(), c.v, a, b);
}
Float select(Bool c, Float a, Float b) { return {c.e, selectValue(c, a.v, b.v)}; }
Float select(Bool c, double a, Float b) { return select(c, literal(b, a), b); }
Float select(Bool c, Float a, double b) { return select(c, a, literal(a, b)); }
Int select(Bool c, Int a, Int b) { return {c.e, selectValue(c, a.v, b.v)}; }

template <typename Op> static Value cast(MathEmitter *e, Type type, Value v) {
  return type == v.getType() ? v : Op::create(e->builder(), e->loc(), type, v);
}
Int bitsOf(Float a) { return {a.e, cast<arith::BitcastOp>(a.e, a.e->intType(width(a)), a.v)}; }
Float fromBits(Int a) { return {a.e, cast<arith::BitcastOp>(a.e, a.e->floatType(width(a)), a.v)}; }
Float toFloat(Int a, unsigned bits) { return {a.e, cast<arith::SIToFPOp>(a.e, a.e->floatType(bits), a.v)}; }
Int toInt(Float a, unsigned bits) { return {a.e, cast<arith::FPToSIOp>(a.e, a.e->intType(bits), a.v)}; }
Int extendUnsigned(Int a, unsigned bits) { return {a.e, cast<arith::ExtUIOp>(a.e, a.e->intType(bits), a.v)}; }
Int extendSigned(Int a, unsigned bits) { return {a.e, cast<arith::ExtSIOp>(a.e, a.e->intType(bits), a.v)}; }
Int truncate(Int a, unsigned bits) { return {a.e, cast<arith::TruncIOp>(a.e, a.e->intType(bits), a.v)}; }
Float extend(Float a) { return {a.e, cast<arith::ExtFOp>(a.e, a.e->floatType(64), a.v)}; }
Float round(Float a, unsigned bits) { return {a.e, cast<arith::TruncFOp>(a.e, a.e->floatType(bits), a.v)}; }

Float mad(Float a, Float b, Float c) {
  if (a.e->hasFMA())
    return {a.e, math::FmaOp::create(a.e->builder(), a.e->loc(), a.v, b.v, c.v)};
  return a * b + c;
}
Float mad(Float a, Float b, double c) { return mad(a, b, literal(a, c)); }
Float mad(Float a, double b, Float c) { return mad(a, literal(a, b), c); }
Float msub(Float a, double b, Float c) { return mad(a, literal(a, -b), c); }

static uint64_t signMask(unsigned bits) { return uint64_t(1) << (bits - 1); }
Float abs(Float a) { return {a.e, math::AbsFOp::create(a.e->builder(), a.e->loc(), a.v)}; }
Float sqrt(Float a) { return {a.e, math::SqrtOp::create(a.e->builder(), a.e->loc(), a.v)}; }
Float trunc(Float a) { return {a.e, math::TruncOp::create(a.e->builder(), a.e->loc(), a.v)}; }
Int signBit(Float a) { return bitsOf(a) & signMask(width(a)); }
Float copySign(Float magnitude, Float sign) {
  return {magnitude.e, math::CopySignOp::create(magnitude.e->builder(), magnitude.e->loc(), magnitude.v, sign.v)};
}
Float flipSign(Float a, Int sign) { return fromBits(bitsOf(a) ^ sign); }

Float polynomial(ArrayRef<double> c, Float x) {
  if (c.size() >= 8) {
    // Two chains, in even and odd powers: half the latency for one more multiplication. The constant is added last, for
    // its rounding is the one that shows.
    SmallVector<double> even, odd;
    for (auto [i, value] : llvm::enumerate(c.drop_front()))
      (i % 2 ? odd : even).push_back(value);
    Float square = x * x;
    auto chain = [&](ArrayRef<double> part) {
      Float sum = literal(x, part.back());
      for (double value : llvm::reverse(part.drop_back()))
        sum = mad(sum, square, value);
      return sum;
    };
    return mad(mad(chain(odd), x, chain(even)), x, c.front());
  }
  Float sum = literal(x, c.back());
  for (double value : llvm::reverse(c.drop_back()))
    sum = mad(sum, x, value);
  return sum;
}

Float powerOfTwo(Int n) { return width(n) == 32 ? fromBits((n + 127) << 23) : fromBits((n + 1023) << 52); }

Pair fastTwoSum(Float a, Float b) {
  Float sum = a + b;
  return {sum, b - (sum - a)};
}

Pair twoSum(Float a, Float b) {
  Float sum = a + b;
  Float other = sum - a;
  return {sum, (a - (sum - other)) + (b - other)};
}

Pair twoProduct(Float a, Float b) {
  Float product = a * b;
  if (a.e->hasFMA())
    return {product, mad(a, b, -product)};
  double factor = width(a) == 32 ? 4097.0 : 134217729.0;
  auto split = [&](Float x) -> Pair {
    Float scaled = x * factor;
    Float high = scaled - (scaled - x);
    return {high, x - high};
  };
  Pair x = split(a), y = split(b);
  Float low = ((x.high * y.high - product) + x.high * y.low + x.low * y.high) + x.low * y.low;
  return {product, low};
}

Nearest nearest(Float x) {
  // Adding 1.5 * 2^(p-1) leaves no bits for a fraction, so the sum rounds to an integer that sits in its low bits.
  double magic = width(x) == 32 ? 12582912.0 : 6755399441055744.0;
  Float shifted = x + magic;
  return {shifted - magic, bitsOf(shifted)};
}

} // namespace tenon::cpu
