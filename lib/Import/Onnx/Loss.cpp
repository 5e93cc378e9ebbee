// Losses of classification.
#include "Op.h"

using namespace mlir;
using tenon::graph::Dims;
using tenon::graph::ReduceKind;

namespace tenon::onnx_import {

/// The loss of logarithms of probabilities [N, C, d…] for targets [N, d…], in the type of `logs` (a wide one).
static Tensor negativeLogLikelihood(Op &op, Tensor logs, Tensor target, Tensor weight) {
  std::string reduction = op.text("reduction", StringRef("mean"));
  if (reduction != "mean" && reduction != "sum" && reduction != "none")
    return op.errorTensor("has the unknown reduction '" + reduction + "'");
  if (logs.rank() < 2 || target.rank() != logs.rank() - 1 || (weight && weight.rank() != 1))
    return op.errorTensor("has inputs whose ranks do not fit");
  ScalarType type = logs.dtype;
  Dims dims = logs.dims();
  dims.erase(dims.begin() + 1);
  target = op.withDims(op.convert(target, ScalarType::Long), dims);
  if (!target)
    return {};
  bool hasIgnored = op.hasAttribute("ignore_index");
  int64_t ignored = op.integer("ignore_index", 0);
  AffineExpr classes = logs.dim(1);
  // An ignored target may be out of range: it reads class 0 and weighs nothing.
  Tensor at = op.map(ScalarType::Long, ScalarType::Long, {target}, [&](Scalars &s, ValueRange v) {
    Value index = s.select(s.compare(Compare::Lt, v[0], s.integer(0)), s.add(v[0], op.sizeValue(s, classes)), v[0]);
    return hasIgnored ? s.select(s.compare(Compare::Eq, v[0], s.integer(ignored)), s.integer(0), index) : index;
  });
  SmallVector<int64_t> coords{0, -1};
  for (int64_t d = 1; d < target.rank(); ++d)
    coords.push_back(d);
  Tensor picked = op.gather(logs, {Operand(at, upTo(target.rank()))}, coords, dims);
  Tensor weights;
  if (weight)
    weights = op.take(op.convert(weight, type), at, 0);
  else if (hasIgnored && reduction == "mean")
    weights = op.full(dims, type, 1);
  if (hasIgnored && weights)
    weights = op.map(type, type, {weights, Operand::raw(target)}, [&](Scalars &s, ValueRange v) {
      Scalars i(s.b, s.loc, ScalarType::Long);
      return s.select(i.compare(Compare::Eq, v[1], i.integer(ignored)), s.number(0), v[0]);
    });
  Tensor loss = op.map(type, type, {picked, Operand::raw(target)}, [&](Scalars &s, ValueRange v) {
    Scalars i(s.b, s.loc, ScalarType::Long);
    Value negated = s.neg(v[0]);
    return hasIgnored ? s.select(i.compare(Compare::Eq, v[1], i.integer(ignored)), s.number(0), negated) : negated;
  });
  if (weights)
    loss = op.mul(loss, weights);
  if (!loss || reduction == "none")
    return loss;
  SmallVector<int64_t> all = upTo(loss.rank());
  if (reduction == "mean" && !weights)
    return op.mean(loss, all, false);
  Tensor sum = op.reduceDims(ReduceKind::Sum, loss, all, false);
  return reduction == "sum" ? sum : op.div(sum, op.reduceDims(ReduceKind::Sum, weights, all, false));
}

static LogicalResult convertNegativeLogLikelihood(Op &op) {
  Tensor logs = op.tensor(0), target = op.tensor(1), weight = op.optionalTensor(2);
  if (op.isBad())
    return failure();
  ScalarType type = logs.dtype;
  return op.finish(op.convert(negativeLogLikelihood(op, op.convert(logs, computeType(type)), target, weight), type));
}

static LogicalResult convertSoftmaxCrossEntropy(Op &op) {
  Tensor scores = op.tensor(0), target = op.tensor(1), weight = op.optionalTensor(2);
  if (op.isBad())
    return failure();
  if (scores.rank() < 2)
    return op.error("has scores of rank " + Twine(scores.rank()));
  ScalarType type = scores.dtype;
  Tensor logs = op.softmax(op.convert(scores, computeType(type)), 1, true);
  Tensor loss = op.convert(negativeLogLikelihood(op, logs, target, weight), type);
  return op.finish({loss, op.convert(logs, type)});
}

void populateLoss(ConverterTable &t) {
  t["NegativeLogLikelihoodLoss"] = convertNegativeLogLikelihood;
  t["SoftmaxCrossEntropyLoss"] = convertSoftmaxCrossEntropy;
}

} // namespace tenon::onnx_import
