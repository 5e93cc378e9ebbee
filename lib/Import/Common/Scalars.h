// Element types of models in MLIR, and the code of one element: what stands in the region of a graph.map.
#ifndef TENON_IMPORT_COMMON_SCALARS_H
#define TENON_IMPORT_COMMON_SCALARS_H

#include "dialects/Graph/IR/GraphDialect.h"
#include "mlir/Dialect/Complex/IR/Complex.h"
#include "tenon/Import/Common/ElementType.h"

namespace tenon::frontend {

/// Null for types that have none (unknown, complex halves). Floats and integers of less than 16 and 8 bits are i8.
mlir::Type toType(ScalarType type, mlir::MLIRContext *context);
bool isFloating(ScalarType type);
bool isComplex(ScalarType type);
/// Floats of 8 bits and less. They are kept as their bits, in i8, and become float32 in order to compute.
bool isSmallFloat(ScalarType type);
/// 4 or 2 for integers of that many bits, which are kept in i8; 0 for all other types.
unsigned subByteBits(ScalarType type);
/// Integers without bool.
bool isIntegral(ScalarType type);
bool isUnsigned(ScalarType type);
/// torch.promote_types.
ScalarType promoteTypes(ScalarType a, ScalarType b);
/// The type in which elements of `type` are computed: float32 for half floats, else the type itself.
ScalarType computeType(ScalarType type);

/// How a number becomes a power of two (Float8E8M0FNU).
enum class PowerRounding { Nearest, Up, Down };
enum class Compare { Eq, Ne, Lt, Le, Gt, Ge };

/// Builds the code of one element in one type. Operands must be of that type unless said otherwise; half floats have to
/// be widened before (`computeType`).
class Scalars {
public:
  Scalars(mlir::OpBuilder &builder, mlir::Location loc, ScalarType type);

  mlir::OpBuilder &b;
  mlir::Location loc;
  ScalarType type;
  mlir::Type mlirType;

  bool isFloat() const { return isFloating(type); }
  bool isComplexNumber() const { return isComplex(type); }
  bool isBool() const { return type == ScalarType::Bool; }

  mlir::Value number(double value);
  mlir::Value integer(int64_t value);
  mlir::Value boolean(bool value);
  /// `value`, of `from`, as `to`: truncates floats to integers, anything but 0 is true.
  mlir::Value convert(mlir::Value value, ScalarType from, ScalarType to);

  /// Bits (i8) of a small float as float32, and back, to the nearest, ties to even. What is too large becomes the
  /// largest number when `saturates` is set, else infinity or NaN.
  mlir::Value decodeSmallFloat(mlir::Value bits, ScalarType from);
  mlir::Value encodeSmallFloat(mlir::Value value, ScalarType to, bool saturates,
                               PowerRounding rounding = PowerRounding::Nearest);

  mlir::Value add(mlir::Value l, mlir::Value r);
  mlir::Value sub(mlir::Value l, mlir::Value r);
  mlir::Value mul(mlir::Value l, mlir::Value r);
  /// Of floats.
  mlir::Value div(mlir::Value l, mlir::Value r);
  mlir::Value neg(mlir::Value x);
  mlir::Value abs(mlir::Value x);
  /// NaN when an operand is NaN.
  mlir::Value max(mlir::Value l, mlir::Value r);
  mlir::Value min(mlir::Value l, mlir::Value r);
  /// i1. With a NaN only Ne holds.
  mlir::Value compare(Compare how, mlir::Value l, mlir::Value r);
  mlir::Value isNan(mlir::Value x);
  mlir::Value select(mlir::Value condition, mlir::Value yes, mlir::Value no);
  /// Of i1.
  mlir::Value both(mlir::Value l, mlir::Value r);
  mlir::Value either(mlir::Value l, mlir::Value r);
  mlir::Value negate(mlir::Value x);

  /// Rounded down, as Python's //; integers: division by zero gives an unspecified value but no trap.
  mlir::Value floorDiv(mlir::Value l, mlir::Value r);
  mlir::Value truncDiv(mlir::Value l, mlir::Value r);
  /// Sign of the divisor, as Python's %.
  mlir::Value remainder(mlir::Value l, mlir::Value r);
  /// Sign of the dividend, as C's.
  mlir::Value fmod(mlir::Value l, mlir::Value r);
  mlir::Value sigmoid(mlir::Value x);
  /// x to a known power, by multiplications and roots where that is exact.
  mlir::Value power(mlir::Value x, double exponent);

  template <typename OpT, typename... Args> mlir::Value make(Args... args) {
    return OpT::create(b, loc, args...).getResult();
  }

private:
  /// A divisor that does not trap.
  mlir::Value safeDivisor(mlir::Value divisor);
};

} // namespace tenon::frontend
#endif
