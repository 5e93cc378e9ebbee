// Operators of com.microsoft that fuse a few standard ones: norms of sums, products with factors, layers with activations.
#include "Convolution.h"

using namespace mlir;
using tenon::graph::Dims;

namespace tenon::onnx_import {

/// Normalizes along the last dimension, in a wide type; without a mean when `isSimple`. The statistics too.
static Tensor normalizeLast(Op &op, Tensor x, bool isSimple, double epsilon, Tensor &mean, Tensor &inverse) {
  if (!x)
    return {};
  int64_t last = x.rank() - 1;
  Tensor centered = x;
  if (!isSimple) {
    mean = op.mean(x, {last}, true);
    centered = op.sub(x, mean);
  }
  Tensor square = op.mean(op.unary(centered, [](Scalars &s, Value v) { return s.mul(v, v); }), {last}, true);
  inverse = op.unary(square, [&](Scalars &s, Value v) {
    return s.div(s.number(1), s.make<math::SqrtOp>(s.add(v, s.number(epsilon))));
  });
  return op.mul(centered, inverse);
}

/// Inputs: input, skip, gamma, beta (unless simple), bias. Results: output, mean, inverse deviation, the sum.
static LogicalResult convertSkipNorm(Op &op, bool isSimple) {
  unsigned biasAt = isSimple ? 3 : 4;
  Tensor x = op.tensor(0), skip = op.tensor(1), gamma = op.tensor(2),
         beta = isSimple ? Tensor() : op.optionalTensor(3), bias = op.optionalTensor(biasAt);
  if (op.isBad())
    return failure();
  ScalarType type = x.dtype, work = computeType(type);
  Tensor sum = op.add(op.convert(x, work), op.convert(skip, work));
  if (bias)
    sum = op.add(sum, op.convert(bias, work));
  Tensor mean, inverse;
  Tensor y = op.mul(normalizeLast(op, sum, isSimple, op.real("epsilon", 1e-12), mean, inverse), op.convert(gamma, work));
  if (beta)
    y = op.add(y, op.convert(beta, work));
  return op.finish({op.convert(y, type), mean, inverse, op.convert(sum, type)});
}

static LogicalResult convertSimplifiedNorm(Op &op) {
  Tensor x = op.tensor(0), scale = op.tensor(1);
  if (op.isBad())
    return failure();
  if (op.dim("axis", x.rank(), -1) != x.rank() - 1)
    return op.isBad() ? failure() : op.unsupported("along more than the last dimension");
  ScalarType type = x.dtype, work = computeType(type);
  Tensor mean, inverse;
  Tensor y = normalizeLast(op, op.convert(x, work), true, op.real("epsilon", 1e-5), mean, inverse);
  return op.finish({op.convert(op.mul(y, op.convert(scale, work)), scale.dtype), inverse});
}

static LogicalResult convertEmbedNorm(Op &op) {
  Tensor ids = op.tensor(0), segments = op.optionalTensor(1), words = op.tensor(2), places = op.tensor(3),
         segmentTable = op.optionalTensor(4), gamma = op.tensor(5), beta = op.optionalTensor(6),
         mask = op.optionalTensor(7), positions = op.optionalTensor(8);
  if (op.isBad())
    return failure();
  ScalarType type = words.dtype, work = computeType(type);
  if (!positions)
    positions = op.generate(ScalarType::Long, ScalarType::Long, {op.constant(1), ids.dim(1)},
                            [&](Scalars &s, ValueRange) { return op.index(s, 1); });
  Tensor sum = op.add(op.convert(op.take(words, ids, 0), work), op.convert(op.take(places, positions, 0), work));
  if (segments && segmentTable)
    sum = op.add(sum, op.convert(op.take(segmentTable, segments, 0), work));
  Tensor mean, inverse;
  Tensor y = op.mul(normalizeLast(op, sum, false, op.real("epsilon", 1e-12), mean, inverse), op.convert(gamma, work));
  if (beta)
    y = op.add(y, op.convert(beta, work));
  Tensor counts;
  if (op.isUsed(1)) // how many elements of each sequence the mask keeps
    counts = mask ? op.reduceDims(graph::ReduceKind::Sum, op.convert(mask, ScalarType::Int), {1}, false)
                  : op.full({ids.dim(0)}, ScalarType::Int, 0);
  return op.finish({op.convert(y, type), counts, op.convert(sum, type)});
}

/// Moves dimension 0, a batch dimension, to where the second last one should be: [b…, m, k] of [m, b…, k].
static Tensor batchSecondLast(Op &op, Tensor x, bool isMoved) {
  if (!x || !isMoved || x.rank() < 3)
    return x;
  SmallVector<int64_t> order;
  for (int64_t d = 1; d + 1 < x.rank(); ++d)
    order.push_back(d);
  order.push_back(0);
  order.push_back(x.rank() - 1);
  return op.permute(x, order);
}

static LogicalResult convertFusedMatMul(Op &op) {
  Tensor l = op.tensor(0), r = op.tensor(1);
  if (op.isBad())
    return failure();
  l = batchSecondLast(op, l, op.integer("transBatchA", 0) != 0);
  r = batchSecondLast(op, r, op.integer("transBatchB", 0) != 0);
  if (op.integer("transA", 0) != 0 && l.rank() > 1)
    l = op.transpose(l, l.rank() - 2, l.rank() - 1);
  if (op.integer("transB", 0) != 0 && r.rank() > 1)
    r = op.transpose(r, r.rank() - 2, r.rank() - 1);
  return op.finish(op.scale(op.matmul(l, r), op.real("alpha", 1.0)));
}

/// The function of attribute `activation`, with its parameters.
static Tensor activate(Op &op, Tensor x, ArrayRef<double> parameters) {
  std::string name = op.text("activation", StringRef(""));
  auto parameter = [&](size_t i, double byDefault) { return i < parameters.size() ? parameters[i] : byDefault; };
  if (name.empty())
    return x;
  if (name != "Relu" && name != "Tanh" && name != "Sigmoid" && name != "LeakyRelu" && name != "Clip" &&
      name != "HardSigmoid")
    return op.unsupportedTensor("with the activation '" + name + "'");
  return op.unary(x, [&](Scalars &s, Value v) -> Value {
    if (name == "Relu")
      return s.max(v, s.number(0));
    if (name == "Tanh")
      return s.make<math::TanhOp>(v);
    if (name == "Sigmoid")
      return s.sigmoid(v);
    if (name == "LeakyRelu")
      return s.select(s.compare(Compare::Lt, v, s.number(0)), s.mul(v, s.number(parameter(0, 0.01))), v);
    if (name == "HardSigmoid") {
      Value line = s.add(s.mul(v, s.number(parameter(0, 0.2))), s.number(parameter(1, 0.5)));
      return s.max(s.min(line, s.number(1)), s.number(0));
    }
    double infinity = std::numeric_limits<double>::infinity();
    return s.min(s.max(v, s.number(parameter(0, -infinity))), s.number(parameter(1, infinity)));
  });
}

static LogicalResult convertFusedConv(Op &op) {
  Tensor x = op.tensor(0), filter = op.tensor(1), bias = op.optionalTensor(2), added = op.optionalTensor(3);
  if (op.isBad())
    return failure();
  Tensor y = convolution(op, x, filter, bias);
  if (added)
    y = op.add(y, added);
  return op.finish(activate(op, y, op.realList("activation_params")));
}

static LogicalResult convertFusedGemm(Op &op) {
  Tensor a = op.tensor(0), b = op.tensor(1), c = op.optionalTensor(2);
  if (op.isBad())
    return failure();
  if (a.rank() != 2 || b.rank() != 2)
    return op.error("needs matrices");
  Tensor y = op.contract(a, op.integer("transA", 0) ? "km" : "mk", b, op.integer("transB", 0) ? "nk" : "kn", "mn");
  y = op.scale(y, op.real("alpha", 1.0));
  if (c)
    y = op.add(y, op.scale(c, op.real("beta", 1.0)));
  std::vector<double> parameters;
  for (StringRef name : {"activation_alpha", "activation_beta"})
    if (op.hasAttribute(name))
      parameters.push_back(op.real(name));
  return op.finish(activate(op, y, parameters));
}

void populateMicrosoft(ConverterTable &t) {
  t["com.microsoft.SkipLayerNormalization"] = [](Op &op) { return convertSkipNorm(op, false); };
  t["com.microsoft.SkipSimplifiedLayerNormalization"] = [](Op &op) { return convertSkipNorm(op, true); };
  t["SimplifiedLayerNormalization"] = t["com.microsoft.SimplifiedLayerNormalization"] = convertSimplifiedNorm;
  t["com.microsoft.EmbedLayerNormalization"] = convertEmbedNorm;
  t["com.microsoft.FusedMatMul"] = convertFusedMatMul;
  t["com.microsoft.FusedConv"] = convertFusedConv;
  t["com.microsoft.FusedGemm"] = convertFusedGemm;
}

} // namespace tenon::onnx_import
