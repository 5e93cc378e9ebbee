// Random operators. A seed that the model gives is that operator's own, the same in every call; the others draw from the
// session's seed (Common/Random.h).
#include "Importer.h"

using namespace mlir;
using tenon::graph::Dims;

namespace tenon::onnx_import {

static RandomSource sourceOf(Op &op) {
  const onnx::AttributeProto *seed = op.attribute("seed");
  if (!seed)
    return op.importer.random.next(op);
  if (seed->type() == onnx::AttributeProto::INT) // of Dropout
    return RandomSource::fixed(op, static_cast<uint32_t>(seed->i()));
  float number = seed->f();
  uint32_t bits;
  memcpy(&bits, &number, sizeof(bits));
  return RandomSource::fixed(op, bits);
}

namespace {
enum class Distribution { Normal, Uniform };
} // namespace

/// RandomNormal and RandomUniform: of a shape that is an attribute, or of that of the input.
static Convert convertDistribution(Distribution kind, bool isLike) {
  return [=](Op &op) -> LogicalResult {
    ScalarType type = ScalarType::Float;
    Dims dims;
    if (isLike) {
      // Only the input's type is read, so that it may hold anything.
      Tensor x = op.tensor(0);
      if (!x)
        return failure();
      dims = x.dims();
      type = x.dtype;
    } else {
      if (!op.hasAttribute("shape"))
        return op.error("needs an attribute 'shape'");
      dims = op.constants(op.integerList("shape"));
    }
    type = op.dtype("dtype", type);
    if (op.isBad())
      return failure();
    if (!isFloating(type))
      return op.unsupported("of elements of " + nameOf(type));
    bool isNormal = kind == Distribution::Normal;
    double first = op.real(isNormal ? "mean" : "low", 0.0), second = op.real(isNormal ? "scale" : "high", 1.0);
    return op.finish(draw(op, sourceOf(op), type, dims, {}, [&](Draws &d, ValueRange) {
      Value unit = isNormal ? d.normal() : d.uniform();
      double factor = isNormal ? second : second - first;
      return d.s.add(d.s.number(first), d.s.mul(unit, d.s.number(factor)));
    }));
  };
}

static LogicalResult convertBernoulli(Op &op) {
  Tensor p = op.tensor(0);
  if (!p)
    return failure();
  ScalarType type = op.dtype("dtype", p.dtype);
  Tensor fails = drawKept(op, sourceOf(op), p.dims(), p);
  Tensor holds = op.unary(fails, [](Scalars &s, Value v) { return s.negate(v); });
  return op.finish(op.convert(holds, type));
}

/// The input has logarithms of weights.
static LogicalResult convertMultinomial(Op &op) {
  Tensor logs = op.tensor(0);
  if (!logs)
    return failure();
  if (logs.rank() != 2)
    return op.error("needs a matrix but has rank " + Twine(logs.rank()));
  int64_t count = op.integer("sample_size", 1);
  if (count < 0)
    return op.error("draws " + Twine(count) + " samples");
  Tensor weights = op.softmax(op.convert(logs, computeType(logs.dtype)), 1);
  Tensor positions = drawPositions(op, sourceOf(op), weights, op.constant(count));
  return op.finish(op.convert(positions, op.dtype("dtype", ScalarType::Int)));
}

/// Ratio and mode are inputs, which may be known only when the model runs: in inference the ratio is 0, which drops nothing
/// and scales by 1.
static LogicalResult convertDropout(Op &op) {
  Tensor x = op.tensor(0);
  if (!x)
    return failure();
  bool mayTrain = op.version >= 12 && op.has(2) && op.number(2) != 0.0;
  std::optional<double> ratio = op.version < 12 ? op.real("ratio", 0.5) : op.has(1) ? op.number(1) : 0.5;
  if (!mayTrain || ratio == 0.0) {
    ScalarType maskType = op.version < 10 ? x.dtype : ScalarType::Bool;
    return op.finish({x, op.isUsed(1) ? op.full(x.dims(), maskType, 1) : Tensor()});
  }
  if (ratio && !(*ratio > 0 && *ratio <= 1))
    return op.error("has ratio " + std::to_string(*ratio) + " but needs one from 0 to 1");
  ScalarType type = computeType(x.dtype);
  Tensor p = ratio ? op.scalar(type, *ratio) : op.reshape(op.convert(op.tensor(1), type), {});
  if (!op.number(2)) // the mode is data
    p = op.where(op.reshape(op.convert(op.tensor(2), ScalarType::Bool), {}), p, op.scalar(type, 0));
  Tensor mask = drawKept(op, sourceOf(op), x.dims(), p);
  if (!mask)
    return failure();
  Tensor y = op.map(x.dtype, x.dtype, {x, Operand::raw(mask), p}, [](Scalars &s, ValueRange v) {
    return s.select(v[1], s.mul(v[0], s.div(s.number(1), s.sub(s.number(1), v[2]))), s.number(0));
  });
  return op.finish({y, mask});
}

void populateRandom(ConverterTable &t) {
  t["RandomNormal"] = convertDistribution(Distribution::Normal, false);
  t["RandomNormalLike"] = convertDistribution(Distribution::Normal, true);
  t["RandomUniform"] = convertDistribution(Distribution::Uniform, false);
  t["RandomUniformLike"] = convertDistribution(Distribution::Uniform, true);
  t["Bernoulli"] = convertBernoulli;
  t["Multinomial"] = convertMultinomial;
  t["Dropout"] = convertDropout;
}

} // namespace tenon::onnx_import
