// Arithmetic, comparison, logic and conversion, element by element: one graph.map each.
#include "Converter.h"

using namespace mlir;

namespace tenon::torch_export {

using Unary = Value (*)(Scalars &, Value);
using Binary = Value (*)(Scalars &, Value, Value);

/// f(self), computed in the type of the result. `ofComplex` is for complex numbers; without it they are unsupported.
static Convert unary(Unary body, Unary ofComplex = nullptr) {
  return [body, ofComplex](Op &op) {
    Tensor x = op.tensor("self");
    if (x && isComplex(x.dtype)) {
      if (!ofComplex)
        return op.unsupported("on complex numbers");
      ScalarType type = op.resultDtype();
      return op.finish(op.map(type, x.dtype, {x}, [&](Scalars &s, ValueRange v) { return ofComplex(s, v[0]); }, type));
    }
    return op.finish(
        op.map(op.resultDtype(), op.resultDtype(), {x}, [&](Scalars &s, ValueRange v) { return body(s, v[0]); }));
  };
}

template <typename OpT> static Convert mathUnary() {
  return unary([](Scalars &s, Value x) { return s.make<OpT>(x); });
}

template <typename OpT, typename ComplexOpT> static Convert mathUnary() {
  return unary([](Scalars &s, Value x) { return s.make<OpT>(x); },
               [](Scalars &s, Value x) { return s.make<ComplexOpT>(x); });
}

/// f(self) -> bool, computed in the type of the operand.
static Convert predicate(Unary body) {
  return [body](Op &op) {
    Tensor x = op.tensor("self");
    return op.finish(op.map(
        ScalarType::Bool, x.dtype, {x}, [&](Scalars &s, ValueRange v) { return body(s, v[0]); }, ScalarType::Bool));
  };
}

/// Type of the computation: the result's, or of operands where the result is bool but the operands are not.
static Convert binary(Binary body) {
  return [body](Op &op) {
    Operand l = op.operand("self"), r = op.operand("other");
    ScalarType result = op.resultDtype();
    return op.finish(op.map(result, result, {l, r}, [&](Scalars &s, ValueRange v) { return body(s, v[0], v[1]); }));
  };
}

static Convert comparison(Compare how) {
  return [how](Op &op) {
    Operand l = op.operand("self"), r = op.operand("other");
    ScalarType type = resultType({l, r});
    return op.finish(op.map(
        ScalarType::Bool, type, {l, r}, [&](Scalars &s, ValueRange v) { return s.compare(how, v[0], v[1]); },
        ScalarType::Bool));
  };
}

/// On truth values of the operands.
static Convert logical(Binary body) {
  return [body](Op &op) {
    Operand l = op.operand("self"), r = op.operand("other");
    if (l.isNull() || r.isNull())
      return failure();
    if (l.tensor)
      l.tensor = op.convert(l.tensor, ScalarType::Bool);
    if (r.tensor)
      r.tensor = op.convert(r.tensor, ScalarType::Bool);
    return op.finish(op.map(ScalarType::Bool, ScalarType::Bool, {l, r},
                            [&](Scalars &s, ValueRange v) { return body(s, v[0], v[1]); }));
  };
}

//===----------------------------------------------------------------------===//
// Sums and products
//===----------------------------------------------------------------------===//

/// self + alpha * other, or the other way round.
static LogicalResult convertAddSub(Op &op, bool isSub, bool isReversed) {
  Operand l = op.operand("self"), r = op.operand("other");
  Number alpha = Number::of(int64_t(1));
  if (op.has("alpha"))
    if (Operand given = op.operand("alpha"); given.number)
      alpha = *given.number;
  if (isReversed)
    std::swap(l, r);
  ScalarType type = op.resultDtype();
  bool isOne = alpha.isConstant() && alpha.asDouble() == 1;
  return op.finish(op.map(type, type, {l, r}, [&](Scalars &s, ValueRange v) {
    Value right = v[1];
    if (!isOne)
      right = s.mul(right, alpha.expr ? op.sizeValue(s, alpha.expr) : s.number(alpha.asDouble()));
    return isSub ? s.sub(v[0], right) : s.add(v[0], right);
  }));
}

static LogicalResult convertDiv(Op &op) {
  Operand l = op.operand("self"), r = op.operand("other");
  StringRef mode = op.string("rounding_mode", StringRef());
  ScalarType type = op.resultDtype();
  return op.finish(op.map(type, type, {l, r}, [&](Scalars &s, ValueRange v) {
    if (mode == "floor")
      return s.floorDiv(v[0], v[1]);
    if (mode != "trunc")
      return s.div(v[0], v[1]);
    // PyTorch rounds the quotient of half floats to their type before it cuts it off.
    bool isHalf = s.isFloat() && s.type != type;
    return isHalf ? s.make<math::TruncOp>(s.convert(s.convert(s.div(v[0], v[1]), s.type, type), type, s.type))
                  : s.truncDiv(v[0], v[1]);
  }));
}

/// self + value * tensor1 (* or /) tensor2
static LogicalResult convertAddProduct(Op &op, bool divides) {
  Tensor self = op.tensor("self"), l = op.tensor("tensor1"), r = op.tensor("tensor2");
  Operand value = op.operandOr("value", Number::of(int64_t(1)));
  ScalarType type = op.resultDtype();
  bool isOne = value.number && value.number->isConstant() && value.number->asDouble() == 1;
  return op.finish(op.map(type, type, {self, l, r, value}, [&](Scalars &s, ValueRange v) {
    Value scaled = isOne ? v[1] : s.mul(v[3], v[1]);
    return s.add(v[0], divides ? s.div(scaled, v[2]) : s.mul(scaled, v[2]));
  }));
}

static LogicalResult convertLerp(Op &op) {
  Operand from = op.operand("self"), to = op.operand("end"), weight = op.operand("weight");
  ScalarType type = op.resultDtype();
  return op.finish(op.map(type, type, {from, to, weight}, [&](Scalars &s, ValueRange v) {
    Value difference = s.sub(v[1], v[0]);
    Value low = s.add(v[0], s.mul(v[2], difference));
    Value high = s.sub(v[1], s.mul(difference, s.sub(s.number(1), v[2])));
    return s.select(s.compare(Compare::Lt, s.abs(v[2]), s.number(0.5)), low, high);
  }));
}

static LogicalResult convertPow(Op &op) {
  Operand base = op.operand("self"), exponent = op.operand("exponent");
  ScalarType type = op.resultDtype();
  if (exponent.number && exponent.number->isConstant()) {
    double power = exponent.number->asDouble();
    return op.finish(op.map(type, type, {base}, [&](Scalars &s, ValueRange v) { return s.power(v[0], power); }));
  }
  if (base.number && base.number->isConstant() && base.number->asDouble() == 2 && isFloating(type))
    return op.finish(
        op.map(type, type, {exponent}, [&](Scalars &s, ValueRange v) { return s.make<math::Exp2Op>(v[0]); }));
  return op.finish(op.map(type, type, {base, exponent}, [&](Scalars &s, ValueRange v) {
    return s.isFloat() ? s.make<math::PowFOp>(v[0], v[1]) : s.make<math::IPowIOp>(v[0], v[1]);
  }));
}

//===----------------------------------------------------------------------===//
// Choice
//===----------------------------------------------------------------------===//

static LogicalResult convertWhere(Op &op) {
  Tensor condition = op.convert(op.tensor("condition"), ScalarType::Bool);
  Operand yes = op.operand("self"), no = op.operand("other");
  ScalarType type = op.resultDtype();
  return op.finish(op.map(type, type, {Operand::raw(condition), yes, no},
                          [](Scalars &s, ValueRange v) { return s.select(v[0], v[1], v[2]); }));
}

static LogicalResult convertMaskedFill(Op &op) {
  Tensor self = op.tensor("self"), mask = op.convert(op.tensor("mask"), ScalarType::Bool);
  Operand value = op.operand("value");
  ScalarType type = self.dtype;
  return op.finish(op.map(type, type, {self, Operand::raw(mask), value},
                          [](Scalars &s, ValueRange v) { return s.select(v[1], v[2], v[0]); }));
}

static LogicalResult convertClamp(Op &op) {
  Tensor x = op.tensor("self");
  SmallVector<Operand> operands{x};
  for (StringRef name : {"min", "max"})
    if (op.has(name))
      operands.push_back(op.operand(name));
  bool hasMin = op.has("min"), hasMax = op.has("max");
  ScalarType type = op.resultDtype();
  return op.finish(op.map(type, type, operands, [&](Scalars &s, ValueRange v) {
    Value result = v[0];
    if (hasMin)
      result = s.max(result, v[1]);
    if (hasMax)
      result = s.min(result, v[hasMin ? 2 : 1]);
    return result;
  }));
}

static Convert clampOneSide(StringRef name, bool isMin) {
  return [name, isMin](Op &op) {
    Tensor x = op.tensor("self");
    Operand bound = op.operand(name);
    ScalarType type = op.resultDtype();
    return op.finish(op.map(type, type, {x, bound},
                            [&](Scalars &s, ValueRange v) { return isMin ? s.max(v[0], v[1]) : s.min(v[0], v[1]); }));
  };
}

//===----------------------------------------------------------------------===//
// Rounding and special values
//===----------------------------------------------------------------------===//

static LogicalResult convertRound(Op &op) {
  Tensor x = op.tensor("self");
  int64_t decimals = op.integer("decimals", 0);
  double scale = std::pow(10.0, static_cast<double>(std::abs(decimals)));
  return op.finish(op.map(op.resultDtype(), op.resultDtype(), {x}, [&](Scalars &s, ValueRange v) -> Value {
    if (!s.isFloat())
      return v[0];
    if (decimals == 0)
      return s.make<math::RoundEvenOp>(v[0]);
    Value factor = s.number(scale);
    Value scaled = decimals > 0 ? s.mul(v[0], factor) : s.div(v[0], factor);
    Value rounded = s.make<math::RoundEvenOp>(scaled);
    return decimals > 0 ? s.div(rounded, factor) : s.mul(rounded, factor);
  }));
}

/// Rounding of integers changes nothing.
template <typename OpT> static Convert rounding() {
  return unary([](Scalars &s, Value x) { return s.isFloat() ? s.make<OpT>(x) : x; });
}

static Value sign(Scalars &s, Value x) {
  Value zero = s.number(0), one = s.number(1);
  if (s.isBool())
    return x;
  Value positive = s.select(s.compare(Compare::Gt, x, zero), one, zero);
  if (isUnsigned(s.type))
    return positive;
  return s.sub(positive, s.select(s.compare(Compare::Lt, x, zero), one, zero));
}

static LogicalResult convertNanToNum(Op &op) {
  Tensor x = op.tensor("self");
  ScalarType type = op.resultDtype();
  const llvm::fltSemantics *semantics = nullptr;
  if (auto element = dyn_cast_or_null<FloatType>(toType(type, op.context())))
    semantics = &element.getFloatSemantics();
  if (!semantics)
    return op.finish(x);
  bool loses;
  APFloat largest = APFloat::getLargest(*semantics);
  largest.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven, &loses);
  double nan = op.number("nan", 0.0), high = op.number("posinf", largest.convertToDouble()),
         low = op.number("neginf", -largest.convertToDouble());
  return op.finish(op.map(type, type, {x}, [&](Scalars &s, ValueRange v) {
    double infinity = std::numeric_limits<double>::infinity();
    Value result = s.select(s.compare(Compare::Eq, v[0], s.number(infinity)), s.number(high), v[0]);
    result = s.select(s.compare(Compare::Eq, v[0], s.number(-infinity)), s.number(low), result);
    return s.select(s.isNan(v[0]), s.number(nan), result);
  }));
}

static Value logAddExp(Scalars &s, Value l, Value r, bool isBase2) {
  Value high = s.max(l, r), low = s.min(l, r);
  Value difference = s.sub(low, high);
  Value sum = isBase2 ? s.make<math::Log2Op>(s.add(s.number(1), s.make<math::Exp2Op>(difference)))
                      : s.make<math::Log1pOp>(s.make<math::ExpOp>(difference));
  // Equal infinities would give NaN.
  return s.select(s.compare(Compare::Eq, l, r), s.add(high, s.number(isBase2 ? 1.0 : std::log(2.0))), s.add(high, sum));
}

static LogicalResult convertLogit(Op &op) {
  Tensor x = op.tensor("self");
  bool hasEps = op.has("eps");
  double eps = op.number("eps", 0.0);
  return op.finish(op.map(op.resultDtype(), op.resultDtype(), {x}, [&](Scalars &s, ValueRange v) {
    Value z = hasEps ? s.min(s.max(v[0], s.number(eps)), s.number(1 - eps)) : v[0];
    return s.make<math::LogOp>(s.div(z, s.sub(s.number(1), z)));
  }));
}

static LogicalResult convertHeaviside(Op &op) {
  Tensor x = op.tensor("self"), values = op.tensor("values");
  ScalarType type = op.resultDtype();
  return op.finish(op.map(type, type, {x, values}, [&](Scalars &s, ValueRange v) {
    Value step = s.select(s.compare(Compare::Lt, v[0], s.number(0)), s.number(0), s.number(1));
    return s.select(s.compare(Compare::Eq, v[0], s.number(0)), v[1], step);
  }));
}

//===----------------------------------------------------------------------===//
// Conversion
//===----------------------------------------------------------------------===//

/// A copy, perhaps of another type; the tensor itself where torch gives that.
static LogicalResult convertTo(Op &op) {
  StringRef name = op.has("self") ? "self" : "input";
  Tensor x = op.tensor(name);
  ScalarType type = op.resultDtype();
  bool mustCopy = op.node.op().starts_with("aten._to_copy") || op.node.op().starts_with("aten.clone") ||
                  op.node.op().starts_with("aten.lift_fresh_copy") ||
                  op.node.op().starts_with("aten.alias_copy") || op.flag("copy", false);
  if (x && type == x.dtype && !mustCopy)
    return op.finishAlias(name);
  if (x && isComplex(x.dtype) && !isComplex(type) && type != ScalarType::Bool) { // the real part, as torch warns
    ScalarType part = x.dtype == ScalarType::ComplexDouble ? ScalarType::Double : ScalarType::Float;
    x = op.map(
        part, x.dtype, {x}, [](Scalars &s, ValueRange v) { return s.make<complex::ReOp>(v[0]); }, part);
  }
  return op.finish(op.convert(x, type));
}

static LogicalResult convertCopy(Op &op) {
  Tensor self = op.tensor("self"), source = op.tensor("src");
  if (!self || !source)
    return failure();
  return op.finish(op.broadcast(op.convert(source, self.dtype), self.dims()));
}

static LogicalResult convertFill(Op &op) {
  Tensor self = op.tensor("self");
  Operand value = op.operand("value");
  if (!self)
    return failure();
  return op.finish(op.map(
      self.dtype, self.dtype, {value}, [](Scalars &, ValueRange v) { return v[0]; }, ScalarType::Unknown, self.dims()));
}

//===----------------------------------------------------------------------===//
// Tables
//===----------------------------------------------------------------------===//

static void populateUnary(ConverterTable &t) {
  t["aten.exp"] = mathUnary<math::ExpOp, complex::ExpOp>();
  t["aten.exp2"] = mathUnary<math::Exp2Op>();
  t["aten.expm1"] = mathUnary<math::ExpM1Op, complex::Expm1Op>();
  t["aten.log"] = mathUnary<math::LogOp, complex::LogOp>();
  t["aten.log2"] = mathUnary<math::Log2Op>();
  t["aten.log10"] = mathUnary<math::Log10Op>();
  t["aten.log1p"] = mathUnary<math::Log1pOp, complex::Log1pOp>();
  t["aten.sqrt"] = mathUnary<math::SqrtOp, complex::SqrtOp>();
  t["aten.rsqrt"] = mathUnary<math::RsqrtOp, complex::RsqrtOp>();
  t["aten.sin"] = mathUnary<math::SinOp, complex::SinOp>();
  t["aten.cos"] = mathUnary<math::CosOp, complex::CosOp>();
  t["aten.tan"] = mathUnary<math::TanOp>();
  t["aten.asin"] = t["aten.arcsin"] = mathUnary<math::AsinOp>();
  t["aten.acos"] = t["aten.arccos"] = mathUnary<math::AcosOp>();
  t["aten.atan"] = t["aten.arctan"] = mathUnary<math::AtanOp>();
  t["aten.sinh"] = mathUnary<math::SinhOp>();
  t["aten.cosh"] = mathUnary<math::CoshOp>();
  t["aten.tanh"] = mathUnary<math::TanhOp, complex::TanhOp>();
  t["aten.asinh"] = t["aten.arcsinh"] = mathUnary<math::AsinhOp>();
  t["aten.acosh"] = t["aten.arccosh"] = mathUnary<math::AcoshOp>();
  t["aten.atanh"] = t["aten.arctanh"] = mathUnary<math::AtanhOp>();
  t["aten.erf"] = t["aten.special_erf"] = mathUnary<math::ErfOp>();
  t["aten.erfc"] = t["aten.special_erfc"] = mathUnary<math::ErfcOp>();
  t["aten.ceil"] = rounding<math::CeilOp>();
  t["aten.floor"] = rounding<math::FloorOp>();
  t["aten.trunc"] = t["aten.fix"] = rounding<math::TruncOp>();
  t["aten.frac"] = unary([](Scalars &s, Value x) { return s.sub(x, s.make<math::TruncOp>(x)); });
  t["aten.neg"] = t["aten.negative"] =
      unary([](Scalars &s, Value x) { return s.neg(x); }, [](Scalars &s, Value x) { return s.neg(x); });
  t["aten.abs"] = t["aten.absolute"] = unary([](Scalars &s, Value x) { return s.abs(x); },
                                             [](Scalars &s, Value x) { return s.make<complex::AbsOp>(x); });
  auto square = [](Scalars &s, Value x) { return s.mul(x, x); };
  t["aten.square"] = unary(square, square);
  auto reciprocal = [](Scalars &s, Value x) { return s.div(s.number(1), x); };
  t["aten.reciprocal"] = unary(reciprocal, reciprocal);
  auto conjugate = [](Scalars &s, Value x) { return s.make<complex::ConjOp>(x); };
  auto itself = [](Scalars &, Value x) { return x; };
  t["aten.conj"] = t["aten._conj"] = t["aten.conj_physical"] = t["aten._conj_physical"] = unary(itself, conjugate);
  t["aten.angle"] = unary(
      [](Scalars &s, Value x) {
        return s.select(s.compare(Compare::Lt, x, s.number(0)), s.number(M_PI), s.select(s.isNan(x), x, s.number(0)));
      },
      [](Scalars &s, Value x) { return s.make<complex::AngleOp>(x); });
  t["aten.sign"] = unary(sign);
  t["aten.sgn"] = unary(sign, [](Scalars &s, Value x) -> Value {
    Scalars part(s.b, s.loc, s.type == ScalarType::ComplexDouble ? ScalarType::Double : ScalarType::Float);
    Value size = s.make<complex::AbsOp>(x), zero = part.number(0), isZero = part.compare(Compare::Eq, size, zero);
    auto scaled = [&](Value y) { return part.select(isZero, zero, part.div(y, size)); };
    return complex::CreateOp::create(s.b, s.loc, s.mlirType, scaled(s.make<complex::ReOp>(x)),
                                     scaled(s.make<complex::ImOp>(x)));
  });
  t["aten.positive"] = unary(itself, itself);
  t["aten.deg2rad"] = unary([](Scalars &s, Value x) { return s.mul(x, s.number(M_PI / 180)); });
  t["aten.rad2deg"] = unary([](Scalars &s, Value x) { return s.mul(x, s.number(180 / M_PI)); });
  t["aten.bitwise_not"] = unary([](Scalars &s, Value x) { return s.make<arith::XOrIOp>(x, s.integer(-1)); });
  t["aten.logical_not"] = [](Op &op) {
    Tensor x = op.convert(op.tensor("self"), ScalarType::Bool);
    return op.finish(
        op.map(ScalarType::Bool, ScalarType::Bool, {x}, [](Scalars &s, ValueRange v) { return s.negate(v[0]); }));
  };
  t["aten.isnan"] = predicate([](Scalars &s, Value x) { return s.isNan(x); });
  t["aten.isinf"] = predicate([](Scalars &s, Value x) {
    return s.isFloat() ? s.compare(Compare::Eq, s.abs(x), s.number(std::numeric_limits<double>::infinity()))
                       : s.boolean(false);
  });
  t["aten.isfinite"] = predicate([](Scalars &s, Value x) {
    return s.isFloat() ? s.compare(Compare::Lt, s.abs(x), s.number(std::numeric_limits<double>::infinity()))
                       : s.boolean(true);
  });
  t["aten.isposinf"] = predicate([](Scalars &s, Value x) {
    return s.isFloat() ? s.compare(Compare::Eq, x, s.number(std::numeric_limits<double>::infinity()))
                       : s.boolean(false);
  });
  t["aten.isneginf"] = predicate([](Scalars &s, Value x) {
    return s.isFloat() ? s.compare(Compare::Eq, x, s.number(-std::numeric_limits<double>::infinity()))
                       : s.boolean(false);
  });
  t["aten.signbit"] = predicate([](Scalars &s, Value x) {
    if (!s.isFloat())
      return isUnsigned(s.type) ? s.boolean(false) : s.compare(Compare::Lt, x, s.integer(0));
    return s.compare(Compare::Lt, s.make<math::CopySignOp>(s.number(1), x), s.number(0));
  });
  t["aten.round"] = convertRound;
  t["aten.nan_to_num"] = convertNanToNum;
  t["aten.logit"] = t["aten.special_logit"] = convertLogit;
}

static void populateBinary(ConverterTable &t) {
  t["aten.add"] = t["aten.__add__"] = [](Op &op) { return convertAddSub(op, false, false); };
  t["aten.sub"] = t["aten.subtract"] = [](Op &op) { return convertAddSub(op, true, false); };
  t["aten.rsub"] = [](Op &op) { return convertAddSub(op, true, true); };
  t["aten.mul"] = t["aten.multiply"] = binary([](Scalars &s, Value l, Value r) { return s.mul(l, r); });
  t["aten.div"] = t["aten.divide"] = t["aten.true_divide"] = convertDiv;
  t["aten.floor_divide"] = binary([](Scalars &s, Value l, Value r) { return s.floorDiv(l, r); });
  t["aten.remainder"] = binary([](Scalars &s, Value l, Value r) { return s.remainder(l, r); });
  t["aten.fmod"] = binary([](Scalars &s, Value l, Value r) { return s.fmod(l, r); });
  t["aten.maximum"] = binary([](Scalars &s, Value l, Value r) { return s.max(l, r); });
  t["aten.minimum"] = binary([](Scalars &s, Value l, Value r) { return s.min(l, r); });
  t["aten.max.other"] = t["aten.maximum"];
  t["aten.min.other"] = t["aten.minimum"];
  t["aten.fmax"] =
      binary([](Scalars &s, Value l, Value r) { return s.isFloat() ? s.make<arith::MaxNumFOp>(l, r) : s.max(l, r); });
  t["aten.fmin"] =
      binary([](Scalars &s, Value l, Value r) { return s.isFloat() ? s.make<arith::MinNumFOp>(l, r) : s.min(l, r); });
  t["aten.atan2"] = t["aten.arctan2"] =
      binary([](Scalars &s, Value l, Value r) { return s.make<math::Atan2Op>(l, r); });
  t["aten.copysign"] = binary([](Scalars &s, Value l, Value r) { return s.make<math::CopySignOp>(l, r); });
  t["aten.hypot"] =
      binary([](Scalars &s, Value l, Value r) { return s.make<math::SqrtOp>(s.add(s.mul(l, l), s.mul(r, r))); });
  t["aten.logaddexp"] = binary([](Scalars &s, Value l, Value r) { return logAddExp(s, l, r, false); });
  t["aten.logaddexp2"] = binary([](Scalars &s, Value l, Value r) { return logAddExp(s, l, r, true); });
  t["aten.xlogy"] = t["aten.special_xlogy"] = binary([](Scalars &s, Value l, Value r) {
    Value product = s.mul(l, s.make<math::LogOp>(r));
    product = s.select(s.compare(Compare::Eq, l, s.number(0)), s.number(0), product);
    return s.select(s.isNan(r), r, product);
  });
  t["aten.bitwise_and"] = t["aten.__and__"] =
      binary([](Scalars &s, Value l, Value r) { return s.make<arith::AndIOp>(l, r); });
  t["aten.bitwise_or"] = t["aten.__or__"] =
      binary([](Scalars &s, Value l, Value r) { return s.make<arith::OrIOp>(l, r); });
  t["aten.bitwise_xor"] = t["aten.__xor__"] =
      binary([](Scalars &s, Value l, Value r) { return s.make<arith::XOrIOp>(l, r); });
  t["aten.bitwise_left_shift"] = t["aten.__lshift__"] =
      binary([](Scalars &s, Value l, Value r) { return s.make<arith::ShLIOp>(l, r); });
  t["aten.bitwise_right_shift"] = t["aten.__rshift__"] = binary([](Scalars &s, Value l, Value r) {
    return isUnsigned(s.type) ? s.make<arith::ShRUIOp>(l, r) : s.make<arith::ShRSIOp>(l, r);
  });
  t["aten.logical_and"] = logical([](Scalars &s, Value l, Value r) { return s.both(l, r); });
  t["aten.logical_or"] = logical([](Scalars &s, Value l, Value r) { return s.either(l, r); });
  t["aten.logical_xor"] = logical([](Scalars &s, Value l, Value r) { return s.make<arith::XOrIOp>(l, r); });
  t["aten.eq"] = comparison(Compare::Eq);
  t["aten.ne"] = t["aten.not_equal"] = comparison(Compare::Ne);
  t["aten.lt"] = t["aten.less"] = comparison(Compare::Lt);
  t["aten.le"] = t["aten.less_equal"] = comparison(Compare::Le);
  t["aten.gt"] = t["aten.greater"] = comparison(Compare::Gt);
  t["aten.ge"] = t["aten.greater_equal"] = comparison(Compare::Ge);
  t["aten.pow"] = t["aten.float_power"] = convertPow;
  t["aten.ldexp"] = binary(
      [](Scalars &s, Value l, Value r) { return s.mul(l, s.make<math::PowFOp>(s.number(2), r)); });
  t["aten.heaviside"] = convertHeaviside;
}

void populateElementwise(ConverterTable &t) {
  populateUnary(t);
  populateBinary(t);
  t["aten.addcmul"] = [](Op &op) { return convertAddProduct(op, false); };
  t["aten.addcdiv"] = [](Op &op) { return convertAddProduct(op, true); };
  t["aten.lerp"] = convertLerp;
  t["aten.where"] = convertWhere;
  t["aten.masked_fill"] = convertMaskedFill;
  t["aten.clamp"] = t["aten.clip"] = convertClamp;
  t["aten.clamp_min"] = clampOneSide("min", true);
  t["aten.clamp_max"] = clampOneSide("max", false);
  for (StringRef name : {"aten.to", "aten._to_copy", "aten.clone", "aten.alias_copy", "aten.lift_fresh_copy", "aten.type_as", "aten.float",
                         "aten.double", "aten.half", "aten.long", "aten.int", "aten.bool"})
    t[name] = convertTo;
  t["aten.contiguous"] = [](Op &op) {
    if (op.isRowMajor("self"))
      return op.finishAlias("self");
    return op.finish(op.tensor("self"));
  };
  for (StringRef name : {"aten.detach", "aten.alias", "aten.lift_fresh", "aten.lift", "aten.detach_",
                         "aten.resolve_conj", "aten.resolve_neg"})
    t[name] = [](Op &op) { return op.finishAlias("self"); };
  t["aten.copy"] = convertCopy;
  t["aten.fill"] = convertFill;
  t["aten.zero"] = [](Op &op) {
    Tensor self = op.tensor("self");
    return self ? op.finish(op.full(self.dims(), self.dtype, 0)) : failure();
  };
}

} // namespace tenon::torch_export
