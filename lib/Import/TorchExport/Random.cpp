// Random operators of torch; how numbers are drawn is in Common/Random.h.
#include "GraphImporter.h"
#include "Reduction.h"

using namespace mlir;
using tenon::graph::Dims;

namespace tenon::torch_export {

/// As `frontend::draw`, from the session's seed.
static Tensor draw(Op &op, ScalarType type, const Dims &dims, ArrayRef<Operand> operands, DrawBody body,
                   ScalarType gives = ScalarType::Unknown) {
  return frontend::draw(op, op.randomSource(), type, dims, operands, body, gives);
}

/// Shape and element type of the result: as recorded, as `size` says, or as `self` has them.
static Dims shapeOf(Op &op) {
  if (op.has("size"))
    return op.sizes("size");
  Tensor self = op.tensor(op.has("input") ? "input" : "self");
  return self ? self.dims() : Dims();
}

static ScalarType typeOf(Op &op) {
  if (ScalarType type = op.resultDtype(); type != ScalarType::Unknown)
    return type;
  Tensor self = op.tensor("self");
  return self ? self.dtype : ScalarType::Unknown;
}

/// A number for each element, made of up to two parameters of the distribution.
static Convert distribution(std::function<Value(Draws &, ValueRange)> body,
                            SmallVector<std::pair<const char *, double>> parameters = {}) {
  return [=](Op &op) -> LogicalResult {
    ScalarType type = typeOf(op);
    Dims dims = shapeOf(op);
    SmallVector<Operand> operands;
    for (auto [name, value] : parameters)
      operands.push_back(op.operandOr(name, Number::of(value)));
    if (op.isBad())
      return failure();
    if (!isFloating(type) && type != ScalarType::Long && type != ScalarType::Int)
      return op.unsupported("on elements of " + nameOf(type));
    return op.finish(draw(op, type, dims, operands, body));
  };
}

/// normal(mean, std): numbers or tensors, which broadcast.
static LogicalResult convertNormal(Op &op) {
  Operand mean = op.operandOr("mean", Number::of(0.0)), deviation = op.operandOr("std", Number::of(1.0));
  if (op.isBad())
    return failure();
  Dims dims;
  if (op.has("self") || op.has("size")) {
    dims = shapeOf(op);
  } else {
    SmallVector<Dims> shapes;
    for (const Operand &operand : {mean, deviation})
      if (operand.tensor)
        shapes.push_back(operand.tensor.dims());
    std::optional<Dims> common = op.broadcastDims(shapes);
    if (!common)
      return failure();
    dims = *common;
  }
  return op.finish(draw(op, typeOf(op), dims, {mean, deviation}, [](Draws &d, ValueRange v) {
    return d.s.add(v[0], d.s.mul(d.normal(), v[1]));
  }));
}

//===----------------------------------------------------------------------===//
// Integers
//===----------------------------------------------------------------------===//

/// Whole numbers in low .. high - 1.
static Tensor integers(Op &op, ScalarType type, const Dims &dims, Operand low, Operand high) {
  if (op.isBad() || !low.number || !high.number)
    return op.isBad() ? Tensor() : op.unsupportedTensor("with bounds that are tensors");
  auto expr = [&](const Operand &o) { return o.number->expr ? o.number->expr : op.constant(o.number->integer); };
  AffineExpr least = expr(low);
  // The difference may wrap around: all of i64 has one number too many, and one bit less is what is drawn.
  AffineExpr span;
  std::optional<int64_t> a = graph::asConstant(least), b = graph::asConstant(expr(high)), count;
  if (a && b) {
    int64_t difference;
    bool wraps = __builtin_sub_overflow(*b, *a, &difference);
    count = wraps ? std::numeric_limits<int64_t>::max() : difference;
    if (*count < 1)
      return op.errorTensor("has no number between its bounds");
    span = op.constant(*count);
  } else {
    span = graph::normalize(expr(high) - least);
  }
  bool isNarrow = count && *count <= (int64_t(1) << 32);
  return draw(
      op, type, dims, {},
      [&](Draws &d, ValueRange) {
        Scalars &ints = d.ints;
        Value n = op.sizeValue(ints, span);
        Value offset = isNarrow ? ints.make<arith::ShRUIOp>(ints.mul(d.word(0), n), ints.integer(32))
                                : ints.fmod(d.wide(), n);
        return ints.add(op.sizeValue(ints, least), offset);
      },
      ScalarType::Long);
}

static LogicalResult convertRandint(Op &op) {
  Operand low = op.operandOr("low", Number::of(int64_t(0))), high = op.operand("high");
  return op.finish(integers(op, typeOf(op), shapeOf(op), low, high));
}

/// random_: over all that the type holds exactly, unless told otherwise.
static LogicalResult convertRandom(Op &op) {
  ScalarType type = typeOf(op);
  int64_t most = isFloating(type) ? (int64_t(1) << fractionBits(type)) : 0;
  if (isIntegral(type)) {
    unsigned width = bytesOf(type) * 8 - (isUnsigned(type) ? 0 : 1);
    most = width >= 63 ? std::numeric_limits<int64_t>::max() : (int64_t(1) << width) - 1;
  }
  most = type == ScalarType::Bool ? 1 : most;
  int64_t end = most == std::numeric_limits<int64_t>::max() ? most : most + 1;
  Operand low = op.operandOr("from", Number::of(int64_t(0))), high = op.operandOr("to", Number::of(end));
  return op.finish(integers(op, type, shapeOf(op), low, high));
}

/// The order of random keys.
static LogicalResult convertRandperm(Op &op) {
  AffineExpr n = op.size("n");
  if (op.isBad())
    return failure();
  Tensor keys = draw(
      op, ScalarType::Long, {n}, {}, [](Draws &d, ValueRange) { return d.wide(); }, ScalarType::Long);
  return keys ? op.finish(op.convert(op.sort(keys, 0, false).second, op.resultDtype())) : failure();
}

//===----------------------------------------------------------------------===//
// Chances
//===----------------------------------------------------------------------===//

static LogicalResult convertBernoulli(Op &op) {
  Operand p = op.has("p") ? op.operand("p") : op.operand("self");
  ScalarType type = typeOf(op);
  Dims dims = shapeOf(op);
  if (op.isBad())
    return failure();
  // Drawn as float32 at least: 8 bits are too few for a chance of 0.001.
  Tensor result = draw(
      op, ScalarType::Bool, dims, {p}, [](Draws &d, ValueRange v) { return d.s.compare(Compare::Lt, d.uniform(), v[0]); },
      ScalarType::Bool);
  return op.finish(op.convert(result, type));
}

/// `forFeatures`: whole channels are dropped. `isAlpha`: what is dropped saturates, and mean and variance stay as they were.
static Tensor dropped(Op &op, Tensor x, double p, bool forFeatures, bool isAlpha, Tensor &mask) {
  Dims dims = x.dims();
  for (int64_t d = 2; forFeatures && d < x.rank(); ++d)
    dims[d] = op.constant(1);
  mask = drawKept(op, op.randomSource(), dims, Number::of(p));
  if (!mask)
    return {};
  constexpr double kSaturated = -1.7580993408473766;
  double q = 1 - p;
  double factor = isAlpha ? 1 / std::sqrt(q + kSaturated * kSaturated * q * p) : q == 0 ? 0 : 1 / q;
  factor = std::isfinite(factor) ? factor : 0;
  double low = isAlpha ? kSaturated : 0, shift = isAlpha ? -factor * p * kSaturated : 0;
  return op.map(x.dtype, x.dtype, {x, Operand::raw(mask)}, [&](Scalars &s, ValueRange v) {
    Value y = s.mul(s.select(v[1], v[0], s.number(low)), s.number(factor));
    return isAlpha ? s.add(y, s.number(shift)) : y;
  });
}

static Convert dropout(bool forFeatures, bool isAlpha) {
  return [=](Op &op) -> LogicalResult {
    double p = op.number("p", 0.5);
    if (!op.flag("train", false) || p == 0)
      return op.finishAlias("input");
    Tensor x = op.tensor("input"), mask;
    if (op.isBad())
      return failure();
    if (forFeatures && x.rank() < 2)
      return op.error("needs channels");
    return op.finish(dropped(op, x, p, forFeatures, isAlpha, mask));
  };
}

static LogicalResult convertNativeDropout(Op &op) {
  Tensor x = op.tensor("input"), mask;
  double p = op.number("p", 0.5);
  if (op.isBad())
    return failure();
  if (!op.flag("train", true) || p == 0)
    return op.finish({x, op.full(x.dims(), ScalarType::Bool, 1)});
  Tensor y = dropped(op, x, p, false, false, mask);
  return op.finish({y, mask});
}

/// A slope for each negative element, between two bounds.
static LogicalResult convertRandomRelu(Op &op) {
  Tensor x = op.tensor("self");
  double lower = op.number("lower", 0.125), upper = op.number("upper", 1.0 / 3);
  if (op.isBad())
    return failure();
  bool trains = op.flag("training", false);
  Tensor noise;
  if (trains)
    noise = draw(op, x.dtype, x.dims(), {x}, [&](Draws &d, ValueRange v) {
      Scalars &s = d.s;
      Value slope = s.add(s.number(lower), s.mul(d.uniform(), s.number(upper - lower)));
      return s.select(s.compare(Compare::Le, v[0], s.number(0)), slope, s.number(1));
    });
  else
    noise = op.map(x.dtype, x.dtype, {x}, [&](Scalars &s, ValueRange v) {
      return s.select(s.compare(Compare::Le, v[0], s.number(0)), s.number((lower + upper) / 2), s.number(1));
    });
  Tensor y = op.map(x.dtype, x.dtype, {x, noise}, [](Scalars &s, ValueRange v) { return s.mul(v[0], v[1]); });
  return op.node.resultNames().size() == 1 ? op.finish(y) : op.finish({y, noise});
}

/// Positions drawn with the given weights. Without replacement: the largest of weight / exponential.
static LogicalResult convertMultinomial(Op &op) {
  Tensor weights = op.tensor("self");
  AffineExpr count = op.size("num_samples");
  bool repeats = op.flag("replacement", false);
  if (op.isBad() || weights.rank() < 1 || weights.rank() > 2)
    return op.isBad() ? failure() : op.error("needs a vector or a matrix");
  weights = op.convert(weights, computeType(weights.dtype));
  int64_t last = weights.rank() - 1;
  if (!repeats) {
    Tensor keys = draw(op, weights.dtype, weights.dims(), {weights}, [](Draws &d, ValueRange v) {
      Value time = d.s.neg(d.s.make<math::LogOp>(d.positive()));
      // A chance of 0 never wins, not even against a time of 0.
      return d.s.select(d.s.compare(Compare::Gt, v[0], d.s.number(0)), d.s.div(v[0], time), d.s.number(-1));
    });
    if (!keys)
      return failure();
    return op.finish(op.slice(op.sort(keys, last, true).second, last, op.constant(0), count));
  }
  return op.finish(drawPositions(op, op.randomSource(), weights, count));
}

void populateRandom(ConverterTable &t) {
  auto uniform = [](Draws &d, ValueRange) { return d.uniform(); };
  auto normal = [](Draws &d, ValueRange) { return d.normal(); };
  t["aten.rand"] = t["aten.rand_like"] = distribution(uniform);
  t["aten.randn"] = t["aten.randn_like"] = distribution(normal);
  t["aten.uniform"] = distribution(
      [](Draws &d, ValueRange v) { return d.s.add(v[0], d.s.mul(d.uniform(), d.s.sub(v[1], v[0]))); },
      {{"from", 0}, {"to", 1}});
  t["aten.exponential"] = distribution(
      [](Draws &d, ValueRange v) { return d.s.div(d.s.neg(d.s.make<math::LogOp>(d.positive())), v[0]); },
      {{"lambd", 1}});
  t["aten.cauchy"] = distribution(
      [](Draws &d, ValueRange v) {
        Value angle = d.s.mul(d.s.sub(d.uniform(), d.s.number(0.5)), d.s.number(M_PI));
        return d.s.add(v[0], d.s.mul(v[1], d.s.make<math::TanOp>(angle)));
      },
      {{"median", 0}, {"sigma", 1}});
  t["aten.log_normal"] = distribution(
      [](Draws &d, ValueRange v) { return d.s.make<math::ExpOp>(d.s.add(v[0], d.s.mul(d.normal(), v[1]))); },
      {{"mean", 1}, {"std", 2}});
  t["aten.geometric"] = distribution(
      [](Draws &d, ValueRange v) {
        Value turns = d.s.div(d.s.make<math::LogOp>(d.positive()), d.s.make<math::Log1pOp>(d.s.neg(v[0])));
        return d.s.max(d.s.make<math::CeilOp>(turns), d.s.number(1));
      },
      {{"p", 0.5}});
  t["aten.normal"] = t["aten.normal_functional"] = convertNormal;
  t["aten.randint"] = t["aten.randint_like"] = convertRandint;
  t["aten.random"] = convertRandom;
  t["aten.randperm"] = convertRandperm;
  t["aten.bernoulli"] = convertBernoulli;
  t["aten.dropout"] = dropout(false, false);
  t["aten.feature_dropout"] = dropout(true, false);
  t["aten.alpha_dropout"] = dropout(false, true);
  t["aten.feature_alpha_dropout"] = dropout(true, true);
  t["aten.native_dropout"] = convertNativeDropout;
  t["aten.rrelu"] = t["aten.rrelu_with_noise_functional"] = convertRandomRelu;
  t["aten.multinomial"] = convertMultinomial;
}

} // namespace tenon::torch_export
