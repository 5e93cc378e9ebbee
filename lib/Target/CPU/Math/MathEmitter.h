// The small expression language in which the math functions are written, and their declarations; no patterns.
#ifndef TENON_LIB_TARGET_CPU_MATH_MATHEMITTER_H
#define TENON_LIB_TARGET_CPU_MATH_MATHEMITTER_H
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Builders.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include <utility>

namespace tenon::cpu {

class MathEmitter;

/// A float (f32 or f64), an integer, or a truth value: scalars, or vectors of one shape.
struct Float {
  MathEmitter *e = nullptr;
  mlir::Value v;
};
struct Int {
  MathEmitter *e = nullptr;
  mlir::Value v;
};
struct Bool {
  MathEmitter *e = nullptr;
  mlir::Value v;
};

/// Creates ops at one place. Holds no state but where and how; cheap to make, one for each expanded op.
class MathEmitter {
public:
  /// `like` is a scalar or vector type; its shape is the shape of everything built.
  MathEmitter(mlir::OpBuilder &builder, mlir::Location loc, mlir::Type like, bool hasFMA);

  bool hasFMA() const { return fma; }
  mlir::OpBuilder &builder() { return b; }
  mlir::Location loc() const { return where; }

  mlir::Type floatType(unsigned bits);
  mlir::Type intType(unsigned bits);
  mlir::Type shaped(mlir::Type element) const;

  Float wrap(mlir::Value v) { return {this, v}; }
  Int wrapInt(mlir::Value v) { return {this, v}; }
  Bool wrapBool(mlir::Value v) { return {this, v}; }
  Float constant(unsigned bits, double value);
  Int constantInt(unsigned bits, uint64_t value);
  Bool constantBool(bool value);

  /// True (an i1 scalar) when `condition` holds for at least one lane.
  mlir::Value anyLane(Bool condition);
  /// `then()` when any lane of `condition` holds, else `otherwise` (already computed values).
  llvm::SmallVector<mlir::Value> ifAny(Bool condition, llvm::ArrayRef<mlir::Value> otherwise,
                                       llvm::function_ref<llvm::SmallVector<mlir::Value>()> then);

private:
  mlir::OpBuilder &b;
  mlir::Location where;
  mlir::Type shape;
  bool fma;
};

unsigned width(Float a);
unsigned width(Int a);

Float operator+(Float a, Float b);
Float operator-(Float a, Float b);
Float operator*(Float a, Float b);
Float operator/(Float a, Float b);
Float operator-(Float a);
Float operator+(Float a, double b);
Float operator-(Float a, double b);
Float operator-(double a, Float b);
Float operator*(Float a, double b);
Float operator*(double a, Float b);
Float operator/(double a, Float b);
Bool operator<(Float a, Float b);
Bool operator<(Float a, double b);
Bool operator<=(Float a, double b);
Bool operator<=(Float a, Float b);
Bool operator>(Float a, double b);
Bool operator>(Float a, Float b);
Bool operator>=(Float a, double b);
Bool operator>=(Float a, Float b);
Bool operator==(Float a, double b);
Bool operator==(Float a, Float b);
Bool isNan(Float a);

Int operator+(Int a, Int b);
Int operator-(Int a, Int b);
Int operator*(Int a, Int b);
Int operator&(Int a, Int b);
Int operator|(Int a, Int b);
Int operator^(Int a, Int b);
Int operator+(Int a, uint64_t b);
Int operator-(Int a, uint64_t b);
Int operator-(uint64_t a, Int b);
Int operator*(Int a, uint64_t b);
Int operator&(Int a, uint64_t b);
Int operator|(Int a, uint64_t b);
Int operator^(Int a, uint64_t b);
Int operator<<(Int a, unsigned b);
Int shiftLeft(Int a, Int b);
Int shiftRight(Int a, unsigned b);
Int shiftRight(Int a, Int b);
/// Keeps the sign.
Int shiftRightSigned(Int a, unsigned b);
Bool operator==(Int a, uint64_t b);
Bool operator==(Int a, Int b);
Bool lessSigned(Int a, Int b);
Bool lessUnsigned(Int a, Int b);
Bool lessUnsigned(Int a, uint64_t b);

Bool operator&(Bool a, Bool b);
Bool operator|(Bool a, Bool b);
Bool operator^(Bool a, Bool b);
Bool operator!(Bool a);
Float select(Bool c, Float a, Float b);
Float select(Bool c, double a, Float b);
Float select(Bool c, Float a, double b);
Int select(Bool c, Int a, Int b);

/// The bit pattern, and back.
Int bitsOf(Float a);
Float fromBits(Int a);
Float toFloat(Int a, unsigned bits);
/// Truncates towards zero; poison when it does not fit.
Int toInt(Float a, unsigned bits);
Int extendUnsigned(Int a, unsigned bits);
Int extendSigned(Int a, unsigned bits);
Int truncate(Int a, unsigned bits);
Float extend(Float a);
Float round(Float a, unsigned bits);
/// Same width as `like`.
Float literal(Float like, double value);
Int literal(Int like, uint64_t value);

/// a*b + c; rounded once where the target has fma.
Float mad(Float a, Float b, Float c);
Float mad(Float a, Float b, double c);
Float mad(Float a, double b, Float c);
/// c - a*b
Float msub(Float a, double b, Float c);
Float abs(Float a);
Float sqrt(Float a);
Float trunc(Float a);
Float copySign(Float magnitude, Float sign);
/// |a| with the sign bit of `sign` (a word whose top bit counts) toggled.
Float flipSign(Float a, Int sign);
Int signBit(Float a);
/// c[0] + c[1]*x + ...
Float polynomial(llvm::ArrayRef<double> c, Float x);
/// 2^n for a normal result; n as integer of the width of the float.
Float powerOfTwo(Int n);
/// An unevaluated sum of two floats, |low| <= ulp(high)/2.
struct Pair {
  Float high, low;
};
/// a+b exactly, |a| >= |b| or a == 0 (Dekker); any order (Knuth); a*b exactly (fma, or Dekker's split).
Pair fastTwoSum(Float a, Float b);
Pair twoSum(Float a, Float b);
Pair twoProduct(Float a, Float b);

/// Rounds to an integer, to nearest even, for |x| < 2^21 (f32) or 2^50 (f64); `word` has the integer in its low bits.
struct Nearest {
  Float value;
  Int word;
};
Nearest nearest(Float x);

/// The functions; each takes f32 or f64 and returns the same type. Bounds are in docs/math.md.
namespace fn {
Float exp(Float x);
Float exp2(Float x);
Float expm1(Float x);
/// exp(x) * 2^-shift, expm1(x) * 2^-shift without overflow on the way.
Float expScaled(Float x, int shift, Float *tail = nullptr);
Float expm1Scaled(Float x, int shift);
Float log(Float x);
Float log2(Float x);
Float log10(Float x);
Float log1p(Float x);
Float tanh(Float x);
Float sinh(Float x);
Float cosh(Float x);
Float asinh(Float x);
Float acosh(Float x);
Float atanh(Float x);
Float sin(Float x);
Float cos(Float x);
std::pair<Float, Float> sincos(Float x);
Float tan(Float x);
Float asin(Float x);
Float acos(Float x);
Float atan(Float x);
Float atan2(Float y, Float x);
Float erf(Float x);
Float erfc(Float x);
Float cbrt(Float x);
Float pow(Float x, Float y);
/// x^n for an integer of any width.
Float powInt(Float x, Int n);
Int powInt(Int x, Int n);
/// C's fmod: exact, sign of x.
Float fmod(Float x, Float y);
Float roundHalfAway(Float x);
} // namespace fn

} // namespace tenon::cpu
#endif
