// Arithmetic, comparison, logic and functions of one number, element by element: one graph.map each.
#include "Op.h"

using namespace mlir;

namespace tenon::onnx_import {

using UnaryBody = Value (*)(Scalars &, Value);
using BinaryBody = Value (*)(Scalars &, Value, Value);

static Convert unary(UnaryBody body) {
  return [body](Op &op) { return op.finish(op.unary(op.tensor(0), body)); };
}

template <typename OpT> static Convert mathUnary() {
  return unary([](Scalars &s, Value x) { return s.make<OpT>(x); });
}

/// Functions that leave integers as they are.
template <typename OpT> static Convert rounding() {
  return unary([](Scalars &s, Value x) { return s.isFloat() ? s.make<OpT>(x) : x; });
}

static Convert binary(BinaryBody body) {
  return [body](Op &op) { return op.finish(op.binary(op.tensor(0), op.tensor(1), body)); };
}

static Convert comparison(Compare how) {
  return [how](Op &op) { return op.finish(op.compare(how, op.tensor(0), op.tensor(1))); };
}

/// Any number of inputs, combined one after the other.
static Convert variadic(BinaryBody body, bool isMean = false) {
  return [body, isMean](Op &op) -> LogicalResult {
    Tensors inputs = op.tensors();
    if (inputs.empty())
      return op.isBad() ? failure() : op.error("needs an input");
    ScalarType type = inputs[0].dtype;
    SmallVector<Operand> operands(inputs.begin(), inputs.end());
    double share = 1.0 / static_cast<double>(inputs.size());
    return op.finish(op.map(type, type, operands, [&](Scalars &s, ValueRange v) {
      Value result = v[0];
      for (Value x : v.drop_front())
        result = body(s, result, x);
      return isMean ? s.mul(result, s.number(share)) : result;
    }));
  };
}

static Value sign(Scalars &s, Value x) {
  Value zero = s.integer(0);
  Value below = isUnsigned(s.type) ? zero : s.select(s.compare(Compare::Lt, x, zero), s.integer(-1), x);
  return s.select(s.compare(Compare::Gt, x, zero), s.integer(1), below);
}

//===----------------------------------------------------------------------===//
// Powers and remainders
//===----------------------------------------------------------------------===//

static LogicalResult convertPow(Op &op) {
  Tensor x = op.tensor(0), y = op.tensor(1);
  if (!x || !y)
    return failure();
  ScalarType type = x.dtype;
  if (std::optional<double> exponent = op.number(1); exponent && isFloating(type))
    return op.finish(op.map(type, type, {x, Operand::raw(y)},
                            [&](Scalars &s, ValueRange v) { return s.power(v[0], *exponent); }));
  if (isIntegral(type) && isIntegral(y.dtype)) {
    // By repeated squares, with the bits of the exponent; negative ones give what the reciprocal rounds to.
    unsigned bits = 8 * bytesOf(y.dtype);
    return op.finish(op.map(type, type, {x, Operand::raw(y)}, [&](Scalars &s, ValueRange v) {
      Scalars e(s.b, s.loc, y.dtype);
      Value result = s.integer(1), square = v[0];
      for (unsigned bit = 0; bit < std::min(bits, 6u); ++bit) {
        Value isSet = e.compare(Compare::Ne, e.make<arith::AndIOp>(v[1], e.integer(int64_t(1) << bit)), e.integer(0));
        result = s.select(isSet, s.mul(result, square), result);
        square = s.mul(square, square);
      }
      if (isUnsigned(y.dtype))
        return result;
      Value isOne = s.compare(Compare::Eq, v[0], s.integer(1)), isMinusOne = s.compare(Compare::Eq, v[0], s.integer(-1));
      Value odd = e.compare(Compare::Ne, e.make<arith::AndIOp>(v[1], e.integer(1)), e.integer(0));
      Value ofMinusOne = s.select(odd, s.integer(-1), s.integer(1));
      Value reciprocal = s.select(isOne, s.integer(1), s.select(isMinusOne, ofMinusOne, s.integer(0)));
      return s.select(e.compare(Compare::Lt, v[1], e.integer(0)), reciprocal, result);
    }));
  }
  ScalarType work = type == ScalarType::Double || y.dtype == ScalarType::Double || !isFloating(type)
                        ? ScalarType::Double
                        : ScalarType::Float;
  return op.finish(
      op.map(type, work, {x, y}, [](Scalars &s, ValueRange v) { return s.make<math::PowFOp>(v[0], v[1]); }));
}

static LogicalResult convertMod(Op &op) {
  bool isTruncated = op.integer("fmod", 0) != 0;
  return op.finish(op.binary(op.tensor(0), op.tensor(1), [&](Scalars &s, Value x, Value y) {
    if (isTruncated || !s.isFloat())
      return isTruncated ? s.fmod(x, y) : s.remainder(x, y);
    // The sign of the divisor, also on zeros; an infinite divisor gives itself where the signs differ.
    Value rest = s.fmod(x, y), zero = s.number(0);
    Value differs =
        s.make<arith::XOrIOp>(s.compare(Compare::Lt, rest, zero), s.compare(Compare::Lt, y, zero));
    Value shifted = s.select(s.both(s.compare(Compare::Ne, rest, zero), differs), s.add(rest, y), rest);
    return s.select(s.compare(Compare::Eq, rest, zero), s.make<math::CopySignOp>(zero, y), shifted);
  }));
}

static LogicalResult convertBitShift(Op &op) {
  std::string direction = op.text("direction");
  if (direction != "LEFT" && direction != "RIGHT")
    return op.error("has direction '" + direction + "' but needs LEFT or RIGHT");
  return op.finish(op.binary(op.tensor(0), op.tensor(1), [&](Scalars &s, Value x, Value y) {
    unsigned bits = s.mlirType.getIntOrFloatBitWidth();
    // A negative amount is a large one as an unsigned number.
    Value limit = s.integer(bits - 1);
    Value isFar = s.make<arith::CmpIOp>(arith::CmpIPredicate::ugt, y, limit);
    if (direction == "RIGHT" && !isUnsigned(s.type))
      return s.make<arith::ShRSIOp>(x, s.select(isFar, limit, y));
    Value amount = s.select(isFar, s.integer(0), y);
    Value shifted = direction == "LEFT" ? s.make<arith::ShLIOp>(x, amount) : s.make<arith::ShRUIOp>(x, amount);
    return s.select(isFar, s.integer(0), shifted);
  }));
}

static LogicalResult convertIsInf(Op &op) {
  bool negative = op.integer("detect_negative", 1) != 0, positive = op.integer("detect_positive", 1) != 0;
  Tensor x = op.tensor(0);
  if (!x)
    return failure();
  return op.finish(op.map(
      ScalarType::Bool, x.dtype, {x},
      [&](Scalars &s, ValueRange v) -> Value {
        double infinity = std::numeric_limits<double>::infinity();
        Value result = s.boolean(false);
        if (positive)
          result = s.either(result, s.compare(Compare::Eq, v[0], s.number(infinity)));
        if (negative)
          result = s.either(result, s.compare(Compare::Eq, v[0], s.number(-infinity)));
        return result;
      },
      ScalarType::Bool));
}

static LogicalResult convertClip(Op &op) {
  Tensor x = op.tensor(0), low, high;
  if (!x)
    return failure();
  if (op.version >= 11) {
    low = op.optionalTensor(1);
    high = op.optionalTensor(2);
  } else {
    if (op.hasAttribute("min"))
      low = op.scalar(x.dtype, op.real("min"));
    if (op.hasAttribute("max"))
      high = op.scalar(x.dtype, op.real("max"));
  }
  // A bound may be declared with one element and any rank.
  for (Tensor *bound : {&low, &high})
    if (*bound)
      *bound = op.reshape(*bound, {});
  if (low)
    x = op.binary(x, low, [](Scalars &s, Value v, Value l) { return s.max(v, l); });
  if (high)
    x = op.binary(x, high, [](Scalars &s, Value v, Value h) { return s.min(v, h); });
  return op.finish(x);
}

static LogicalResult convertWhere(Op &op) {
  return op.finish(op.where(op.tensor(0), op.tensor(1), op.tensor(2)));
}

static LogicalResult convertPRelu(Op &op) {
  Tensor x = op.tensor(0), slope = op.tensor(1);
  if (op.isBad())
    return failure();
  // Before version 7 several slopes were one per channel.
  bool isPerChannel = op.version < 7 && slope.rank() == 1 && x.rank() > 1 && graph::asConstant(slope.dim(0)) != 1;
  return op.finish(op.map(x.dtype, x.dtype, {x, isPerChannel ? Operand(slope, {1}) : Operand(slope)},
                          [](Scalars &s, ValueRange v) {
                            return s.select(s.compare(Compare::Lt, v[0], s.number(0)), s.mul(v[0], v[1]), v[0]);
                          }));
}

/// Before version 7 the second operand could lie along dimensions of the first from `axis` on. Only what aligns at the right
/// is read.
static Convert withoutAxis(Convert convert) {
  return [convert = std::move(convert)](Op &op) -> LogicalResult {
    if (op.version < 7 && op.hasAttribute("axis")) {
      Tensor l = op.tensor(0), r = op.tensor(1);
      if (op.isBad())
        return failure();
      if (op.dim("axis", l.rank()) + r.rank() != l.rank())
        return op.unsupported("of version " + Twine(op.version) + " with an axis",
                              "convert the model with onnx.version_converter");
    }
    return convert(op);
  };
}

void populateElementwise(ConverterTable &t) {
  t["Add"] = binary([](Scalars &s, Value x, Value y) { return s.add(x, y); });
  t["Sub"] = binary([](Scalars &s, Value x, Value y) { return s.sub(x, y); });
  t["Mul"] = binary([](Scalars &s, Value x, Value y) { return s.mul(x, y); });
  t["Div"] = binary([](Scalars &s, Value x, Value y) { return s.div(x, y); });
  t["Sum"] = variadic([](Scalars &s, Value x, Value y) { return s.add(x, y); });
  t["Mean"] = variadic([](Scalars &s, Value x, Value y) { return s.add(x, y); }, /*isMean=*/true);
  t["Max"] = variadic([](Scalars &s, Value x, Value y) { return s.max(x, y); });
  t["Min"] = variadic([](Scalars &s, Value x, Value y) { return s.min(x, y); });
  t["Pow"] = convertPow;
  t["Mod"] = convertMod;
  t["And"] = t["BitwiseAnd"] = binary([](Scalars &s, Value x, Value y) { return s.make<arith::AndIOp>(x, y); });
  t["Or"] = t["BitwiseOr"] = binary([](Scalars &s, Value x, Value y) { return s.make<arith::OrIOp>(x, y); });
  t["Xor"] = t["BitwiseXor"] = binary([](Scalars &s, Value x, Value y) { return s.make<arith::XOrIOp>(x, y); });
  t["Not"] = unary([](Scalars &s, Value x) { return s.negate(x); });
  t["BitwiseNot"] = unary([](Scalars &s, Value x) { return s.make<arith::XOrIOp>(x, s.integer(-1)); });
  t["BitShift"] = convertBitShift;
  t["Equal"] = comparison(Compare::Eq);
  t["Less"] = comparison(Compare::Lt);
  t["LessOrEqual"] = comparison(Compare::Le);
  t["Greater"] = comparison(Compare::Gt);
  t["GreaterOrEqual"] = comparison(Compare::Ge);
  for (StringRef name : {"Add", "Sub", "Mul", "Div", "Pow", "And", "Or", "Xor", "Equal", "Less", "Greater"})
    t[name] = withoutAxis(t[name]);
  t["Where"] = convertWhere;
  t["Clip"] = convertClip;
  t["PRelu"] = convertPRelu;
  t["IsInf"] = convertIsInf;
  t["IsNaN"] = [](Op &op) -> LogicalResult {
    Tensor x = op.tensor(0);
    if (!x)
      return failure();
    return op.finish(op.map(
        ScalarType::Bool, x.dtype, {x}, [](Scalars &s, ValueRange v) { return s.isNan(v[0]); }, ScalarType::Bool));
  };
  t["Neg"] = unary([](Scalars &s, Value x) { return s.neg(x); });
  t["Abs"] = unary([](Scalars &s, Value x) { return s.abs(x); });
  t["Sign"] = unary(sign);
  t["Reciprocal"] = unary([](Scalars &s, Value x) { return s.div(s.number(1), x); });
  t["Floor"] = rounding<math::FloorOp>();
  t["Ceil"] = rounding<math::CeilOp>();
  t["Round"] = rounding<math::RoundEvenOp>();
  t["Sqrt"] = mathUnary<math::SqrtOp>();
  t["Exp"] = mathUnary<math::ExpOp>();
  t["Log"] = mathUnary<math::LogOp>();
  t["Sin"] = mathUnary<math::SinOp>();
  t["Cos"] = mathUnary<math::CosOp>();
  t["Tan"] = mathUnary<math::TanOp>();
  t["Asin"] = mathUnary<math::AsinOp>();
  t["Acos"] = mathUnary<math::AcosOp>();
  t["Atan"] = mathUnary<math::AtanOp>();
  t["Sinh"] = mathUnary<math::SinhOp>();
  t["Cosh"] = mathUnary<math::CoshOp>();
  t["Tanh"] = mathUnary<math::TanhOp>();
  t["Asinh"] = mathUnary<math::AsinhOp>();
  t["Acosh"] = mathUnary<math::AcoshOp>();
  t["Atanh"] = mathUnary<math::AtanhOp>();
  t["Erf"] = mathUnary<math::ErfOp>();
}

} // namespace tenon::onnx_import
