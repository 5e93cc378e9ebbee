// Softmax, normalizations and losses, written with reductions and maps.
#include "GraphImporter.h"
#include "Reduction.h"

using namespace mlir;
using tenon::graph::Dims;
using tenon::graph::ReduceKind;

namespace tenon::torch_export {

//===----------------------------------------------------------------------===//
// Softmax
//===----------------------------------------------------------------------===//

/// Of a tensor that needs no widening, along one dimension.
static Tensor softmax(Op &op, Tensor x, int64_t dim, bool isLog) {
  if (!x)
    return {};
  ScalarType type = x.dtype;
  SmallVector<int64_t> kept = keptDims(x.rank(), dim);
  Tensor max = op.reduce(ReduceKind::Max, x, {dim});
  if (!max)
    return {};
  auto shiftedExp = [](Scalars &s, ValueRange v) { return s.make<math::ExpOp>(s.sub(v[0], v[1])); };
  Tensor exps = op.map(type, type, {x, Operand(max, kept)}, shiftedExp);
  Tensor sum = op.reduce(ReduceKind::Sum, exps, {dim});
  if (!sum)
    return {};
  if (!isLog)
    return op.map(type, type, {exps, Operand(sum, kept)}, [](Scalars &s, ValueRange v) { return s.div(v[0], v[1]); });
  return op.map(type, type, {x, Operand(max, kept), Operand(sum, kept)},
                [](Scalars &s, ValueRange v) { return s.sub(s.sub(v[0], v[1]), s.make<math::LogOp>(v[2])); });
}

/// `isSafe`: lines of -inf give 0.
static Convert convertSoftmax(bool isLog, bool isMin = false, bool isSafe = false) {
  return [=](Op &op) {
    Tensor x = op.tensor("self");
    if (!x)
      return failure();
    ScalarType type = op.resultDtype(), work = computeType(type);
    int64_t dim = op.dim("dim", x.rank());
    if (op.isBad())
      return failure();
    if (x.rank() == 0)
      return op.finish(op.full({}, type, isLog ? 0 : 1));
    x = op.convert(x, work);
    if (isMin)
      x = op.map(work, work, {x}, [](Scalars &s, ValueRange v) { return s.neg(v[0]); });
    Tensor y = softmax(op, x, dim, isLog);
    if (isSafe) {
      Tensor largest = op.reduce(ReduceKind::Max, x, {dim});
      y = op.map(work, work, {y, Operand(largest, keptDims(x.rank(), dim))}, [](Scalars &s, ValueRange v) {
        Value isEmpty = s.compare(Compare::Eq, v[1], s.number(-std::numeric_limits<double>::infinity()));
        return s.select(isEmpty, s.number(0), v[0]);
      });
    }
    return op.finish(op.convert(y, type));
  };
}

//===----------------------------------------------------------------------===//
// Layer and RMS norm
//===----------------------------------------------------------------------===//

static SmallVector<int64_t> lastDims(int64_t rank, int64_t count) {
  return llvm::to_vector(llvm::seq<int64_t>(std::max<int64_t>(rank - count, 0), rank));
}

/// (x - mean) * rstd * weight + bias in one map; `mean`, weight and bias may be null. `along` says which dimensions of
/// x the mean and rstd lie on, `affineDims` which the weight and bias do.
static Tensor normalize(Op &op, ScalarType result, Tensor x, Tensor mean, Tensor rstd, ArrayRef<int64_t> along,
                        Tensor weight, Tensor bias, ArrayRef<int64_t> affineDims) {
  SmallVector<Operand> operands{x, Operand(rstd, along)};
  if (mean)
    operands.push_back(Operand(mean, along));
  if (weight)
    operands.push_back(Operand(weight, affineDims));
  if (bias)
    operands.push_back(Operand(bias, affineDims));
  return op.map(result, computeType(x.dtype), operands, [&](Scalars &s, ValueRange v) {
    unsigned next = 2;
    Value y = mean ? s.sub(v[0], v[next++]) : v[0];
    y = s.mul(y, v[1]);
    if (weight)
      y = s.mul(y, v[next++]);
    return bias ? s.add(y, v[next]) : y;
  });
}

static Tensor rsqrtOf(Op &op, Tensor variance, double eps) {
  return op.map(variance.dtype, variance.dtype, {variance},
                [&](Scalars &s, ValueRange v) { return s.make<math::RsqrtOp>(s.add(v[0], s.number(eps))); });
}

static LogicalResult convertLayerNorm(Op &op) {
  Tensor x = op.tensor("input"), weight = op.optionalTensor("weight"), bias = op.optionalTensor("bias");
  int64_t count = op.sizes("normalized_shape").size();
  double eps = op.number("eps", 1e-5);
  if (op.isBad() || count > x.rank() || count < 1)
    return op.isBad() ? failure() : op.error("normalizes more dimensions than the input has");
  SmallVector<int64_t> dims = lastDims(x.rank(), count), kept = keptDims(x.rank(), dims);
  ScalarType work = computeType(x.dtype);
  auto [mean, variance] = meanAndVariance(op, op.convert(x, work), dims, 0);
  if (!variance)
    return failure();
  Tensor rstd = rsqrtOf(op, variance, eps);
  Tensor y = normalize(op, op.resultDtype(), x, mean, rstd, kept, weight, bias, dims);
  if (op.node.resultNames().size() == 1)
    return op.finish(y);
  auto statistic = [&](Tensor t, unsigned i) {
    return op.isUsed(i) ? op.convert(finishDims(op, t, dims, x.rank(), true), op.resultDtype(i)) : Tensor();
  };
  return op.finish({y, statistic(mean, 1), statistic(rstd, 2)});
}

static LogicalResult convertRmsNorm(Op &op) {
  Tensor x = op.tensor("input"), weight = op.optionalTensor("weight");
  int64_t count = op.sizes("normalized_shape").size();
  if (op.isBad() || count > x.rank() || count < 1)
    return op.isBad() ? failure() : op.error("normalizes more dimensions than the input has");
  SmallVector<int64_t> dims = lastDims(x.rank(), count), kept = keptDims(x.rank(), dims);
  ScalarType work = computeType(x.dtype);
  double byDefault =
      work == ScalarType::Double ? std::numeric_limits<double>::epsilon() : std::numeric_limits<float>::epsilon();
  double eps = op.number("eps", byDefault);
  Tensor squares = op.map(work, work, {x}, [](Scalars &s, ValueRange v) { return s.mul(v[0], v[0]); });
  Tensor mean = meanOver(op, squares, dims);
  if (!mean)
    return failure();
  Tensor rstd = rsqrtOf(op, mean, eps);
  Tensor y = normalize(op, op.resultDtype(), x, {}, rstd, kept, weight, {}, dims);
  if (op.node.resultNames().size() == 1)
    return op.finish(y);
  Tensor statistic = op.isUsed(1) ? finishDims(op, rstd, dims, x.rank(), true) : Tensor();
  return op.finish({y, statistic});
}

//===----------------------------------------------------------------------===//
// Group, instance and batch norm
//===----------------------------------------------------------------------===//

static LogicalResult convertGroupNorm(Op &op) {
  Tensor x = op.tensor("input"), weight = op.optionalTensor("weight"), bias = op.optionalTensor("bias");
  int64_t groups = op.has("num_groups") ? op.integer("num_groups") : op.integer("group");
  double eps = op.number("eps", 1e-5);
  if (op.isBad() || x.rank() < 2 || groups < 1)
    return op.isBad() ? failure() : op.error("needs an input of rank 2 or more and a positive number of groups");
  ScalarType work = computeType(x.dtype);
  Dims dims = x.dims(), split = dims;
  split[1] = graph::normalize(dims[1].floorDiv(groups));
  split.insert(split.begin() + 1, op.constant(groups));
  Tensor grouped = op.reshape(op.convert(x, work), split);
  SmallVector<int64_t> reduced = llvm::to_vector(llvm::seq<int64_t>(2, split.size()));
  auto [mean, variance] = meanAndVariance(op, grouped, reduced, 0);
  if (!variance)
    return failure();
  Tensor rstd = rsqrtOf(op, variance, eps);
  auto byGroup = [&](Tensor affine) { return affine ? op.reshape(affine, {op.constant(groups), split[2]}) : affine; };
  Tensor y = normalize(op, op.resultDtype(), grouped, mean, rstd, {0, 1}, byGroup(weight), byGroup(bias), {1, 2});
  y = op.reshape(y, dims);
  if (op.node.resultNames().size() == 1)
    return op.finish(y);
  auto statistic = [&](unsigned i, Tensor t) { return op.isUsed(i) ? op.convert(t, op.resultDtype(i)) : Tensor(); };
  return op.finish({y, statistic(1, mean), statistic(2, rstd)});
}

/// (x - mean) * (weight * rsqrt(variance + eps)) + bias with everything per channel; the factor is a tensor of its own,
/// which is folded when the statistics are weights.
static Tensor scaleChannels(Op &op, ScalarType result, Tensor x, Tensor mean, Tensor variance, Tensor weight,
                            Tensor bias, double eps, int64_t channelDim) {
  ScalarType work = computeType(x.dtype);
  SmallVector<Operand> factors{variance};
  if (weight)
    factors.push_back(weight);
  Tensor factor = op.map(work, work, factors, [&](Scalars &s, ValueRange v) {
    Value rstd = s.make<math::RsqrtOp>(s.add(v[0], s.number(eps)));
    return weight ? s.mul(rstd, v[1]) : rstd;
  });
  if (!factor)
    return {};
  SmallVector<Operand> operands{x, Operand(mean, channelDim), Operand(factor, channelDim)};
  if (bias)
    operands.push_back(Operand(bias, channelDim));
  return op.map(result, work, operands, [&](Scalars &s, ValueRange v) {
    Value y = s.mul(s.sub(v[0], v[1]), v[2]);
    return bias ? s.add(y, v[3]) : y;
  });
}

/// Gives an argument that the operator changes its new value.
static bool writeArgument(Op &op, StringRef name, Tensor value) {
  std::optional<TensorArg> argument = op.node.arg(name).as<TensorArg>();
  return argument && value && op.importer.values.write(op, argument->name, value);
}

/// All batch norms: with stored statistics, or with those of the batch, which then may update the stored ones.
static LogicalResult convertBatchNorm(Op &op) {
  StringRef name = op.node.op();
  Tensor x = op.tensor("input"), weight = op.optionalTensor("weight"), bias = op.optionalTensor("bias");
  bool trains = name.contains("no_training") ? false : op.flag("training", true);
  if (op.node.op().starts_with("aten.instance_norm"))
    trains = op.flag("use_input_stats", true);
  double eps = op.number("eps", 1e-5), momentum = op.number("momentum", 0.1);
  Tensor runningMean = op.optionalTensor("running_mean"), runningVar = op.optionalTensor("running_var");
  if (op.isBad() || x.rank() < 2)
    return op.isBad() ? failure() : op.error("needs an input of rank 2 or more");
  ScalarType work = computeType(x.dtype);
  Tensors results;
  if (!trains && runningMean && runningVar) {
    Tensor y = scaleChannels(op, op.resultDtype(), x, runningMean, runningVar, weight, bias, eps, 1);
    results = {y, Tensor(), Tensor(), Tensor(), Tensor()};
    if (op.node.resultNames().size() > 1 && (op.isUsed(1) || op.isUsed(2))) {
      results[1] = op.full({op.constant(0)}, op.resultDtype(1), 0);
      results[2] = op.full({op.constant(0)}, op.resultDtype(2), 0);
    }
    results.resize(op.node.resultNames().size());
    return op.finish(results);
  }
  SmallVector<int64_t> dims{0};
  dims.append(llvm::to_vector(llvm::seq<int64_t>(2, x.rank())));
  auto [mean, variance] = meanAndVariance(op, op.convert(x, work), dims, 0);
  if (!variance)
    return failure();
  Tensor y = scaleChannels(op, op.resultDtype(), x, mean, variance, weight, bias, eps, 1);
  results.push_back(y);
  unsigned count = op.node.resultNames().size();
  bool isFunctional = name.contains("functional");
  bool updates = !isFunctional && runningMean && runningVar;
  if (count > 1)
    results.push_back(op.convert(mean, op.resultDtype(1)));
  if (count > 2)
    results.push_back(op.isUsed(2) ? op.convert(rsqrtOf(op, variance, eps), op.resultDtype(2)) : Tensor());
  if (isFunctional ? count > 3 : updates) {
    Dims sizes = x.dims();
    AffineExpr total = op.constant(1);
    for (int64_t d : dims)
      total = total * sizes[d];
    Number n = Number::of(int64_t(0));
    n.expr = graph::normalize(total);
    auto blend = [&](Tensor old, Tensor now, bool unbiased) {
      return op.map(old.dtype, work, {old, now, n}, [&](Scalars &s, ValueRange v) {
        Value value = v[1];
        if (unbiased)
          value = s.mul(value, s.div(v[2], s.sub(v[2], s.number(1))));
        return s.add(s.mul(v[0], s.number(1 - momentum)), s.mul(value, s.number(momentum)));
      });
    };
    Tensor nextMean = blend(runningMean, mean, false), nextVar = blend(runningVar, variance, true);
    if (isFunctional) {
      results.append({nextMean, nextVar});
    } else if (!writeArgument(op, "running_mean", nextMean) || !writeArgument(op, "running_var", nextVar)) {
      return op.isBad() ? failure() : op.unsupported("with running statistics that are views");
    }
  }
  return op.finish(results);
}

static LogicalResult convertInstanceNorm(Op &op) {
  if (!op.flag("use_input_stats", true))
    return convertBatchNorm(op);
  Tensor x = op.tensor("input"), weight = op.optionalTensor("weight"), bias = op.optionalTensor("bias");
  double eps = op.number("eps", 1e-5);
  if (op.isBad() || x.rank() < 3)
    return op.isBad() ? failure() : op.error("needs an input of rank 3 or more");
  ScalarType work = computeType(x.dtype);
  SmallVector<int64_t> dims = llvm::to_vector(llvm::seq<int64_t>(2, x.rank()));
  auto [mean, variance] = meanAndVariance(op, op.convert(x, work), dims, 0);
  if (!variance)
    return failure();
  return op.finish(normalize(op, op.resultDtype(), x, mean, rsqrtOf(op, variance, eps), {0, 1}, weight, bias, {1}));
}

//===----------------------------------------------------------------------===//
// Norms of vectors
//===----------------------------------------------------------------------===//

/// weight_norm: v * (g / |v|), the norm taken over all dimensions but `dim`.
static LogicalResult convertWeightNorm(Op &op) {
  Tensor v = op.tensor("v"), g = op.tensor("g");
  if (op.isBad())
    return failure();
  int64_t dim = op.dim("dim", v.rank(), 0);
  SmallVector<int64_t> dims;
  for (int64_t d = 0; d < v.rank(); ++d)
    if (d != dim)
      dims.push_back(d);
  Tensor norm = normOver(op, op.convert(v, computeType(v.dtype)), 2, dims);
  if (!norm)
    return failure();
  Tensor y = op.map(v.dtype, v.dtype, {v, g, Operand(norm, dim)},
                    [](Scalars &s, ValueRange x) { return s.mul(x[0], s.div(x[1], x[2])); });
  if (op.node.resultNames().size() == 1)
    return op.finish(y);
  return op.finish(
      {y, op.isUsed(1) ? op.convert(finishDims(op, norm, dims, v.rank(), true), op.resultDtype(1)) : Tensor()});
}

static LogicalResult convertCosineSimilarity(Op &op) {
  Tensor a = op.tensor("x1"), b = op.tensor("x2");
  if (op.isBad())
    return failure();
  int64_t rank = std::max(a.rank(), b.rank());
  int64_t dim = op.dim("dim", rank, 1);
  double eps = op.number("eps", 1e-8);
  ScalarType type = op.resultDtype(), work = computeType(type);
  auto sumOf = [&](Tensor l, Tensor r) {
    Tensor product = op.map(work, work, {l, r}, [](Scalars &s, ValueRange v) { return s.mul(v[0], v[1]); });
    return op.reduce(ReduceKind::Sum, product, {dim});
  };
  std::optional<Dims> shape = op.broadcastDims({a.dims(), b.dims()});
  if (!shape)
    return failure();
  a = op.broadcast(a, *shape);
  b = op.broadcast(b, *shape);
  Tensor dot = sumOf(a, b), aa = sumOf(a, a), bb = sumOf(b, b);
  return op.finish(op.map(type, work, {dot, aa, bb}, [&](Scalars &s, ValueRange v) {
    Value limit = s.number(eps);
    Value na = s.max(s.make<math::SqrtOp>(v[1]), limit), nb = s.max(s.make<math::SqrtOp>(v[2]), limit);
    return s.div(v[0], s.mul(na, nb));
  }));
}

//===----------------------------------------------------------------------===//
// Losses
//===----------------------------------------------------------------------===//

Tensor reduceLoss(Op &op, Tensor loss, int64_t how) {
  if (!loss || how == kNone)
    return loss;
  SmallVector<int64_t> all = upTo(loss.rank());
  ScalarType type = loss.dtype;
  loss = op.convert(loss, computeType(type));
  return op.convert(how == kMean ? meanOver(op, loss, all) : op.reduce(ReduceKind::Sum, loss, all), type);
}

/// Losses of two tensors, element by element.
static Convert pointwiseLoss(Value (*body)(Op &, Scalars &, Value, Value)) {
  return [body](Op &op) {
    Tensor x = op.tensor("self"), y = op.tensor("target");
    ScalarType type = op.resultDtype();
    Tensor loss = op.map(type, type, {x, y}, [&](Scalars &s, ValueRange v) { return body(op, s, v[0], v[1]); });
    return op.finish(reduceLoss(op, loss, op.integer("reduction", kMean)));
  };
}

/// -weight[target] * logProbabilities[target], with classes in dimension 1 (0 when there is no batch). Gives the loss
/// and the total weight.
static std::pair<Tensor, Tensor> negativeLogLikelihood(Op &op, Tensor logs, Tensor target, Tensor weight,
                                                       int64_t reduction, int64_t ignored) {
  int64_t classDim = logs.rank() == 1 ? 0 : 1;
  SmallVector<int64_t> coords;
  Dims dims;
  for (int64_t d = 0; d < logs.rank(); ++d) {
    coords.push_back(d == classDim ? -1 : static_cast<int64_t>(dims.size()));
    if (d != classDim)
      dims.push_back(logs.dim(d));
  }
  ScalarType type = logs.dtype;
  // Positions that are ignored read class 0.
  Tensor safe = op.map(ScalarType::Long, ScalarType::Long, {target}, [&](Scalars &s, ValueRange v) {
    return s.select(s.compare(Compare::Eq, v[0], s.integer(ignored)), s.integer(0), v[0]);
  });
  Tensor picked = op.gather(logs, {safe}, coords, dims);
  Tensor factor = weight ? op.gather(weight, {safe}, {-1}, dims) : op.full(dims, type, 1);
  factor = op.map(type, type, {factor, Operand::raw(target)}, [&](Scalars &s, ValueRange v) {
    Scalars ints(s.b, s.loc, target.dtype);
    return s.select(ints.compare(Compare::Eq, v[1], ints.integer(ignored)), s.number(0), v[0]);
  });
  Tensor losses = op.map(type, type, {picked, factor}, [](Scalars &s, ValueRange v) {
    // An infinite loss at an ignored place must not give NaN.
    return s.select(s.compare(Compare::Eq, v[1], s.number(0)), s.number(0), s.neg(s.mul(v[0], v[1])));
  });
  if (!losses)
    return {};
  SmallVector<int64_t> all = upTo(dims.size());
  Tensor total = op.reduce(ReduceKind::Sum, factor, all);
  if (reduction == kNone)
    return {losses, total};
  Tensor sum = op.reduce(ReduceKind::Sum, losses, all);
  if (reduction == kMean)
    sum = op.map(type, type, {sum, total}, [](Scalars &s, ValueRange v) { return s.div(v[0], v[1]); });
  return {sum, total};
}

static LogicalResult convertNllLoss(Op &op) {
  Tensor x = op.tensor("self"), target = op.tensor("target"), weight = op.optionalTensor("weight");
  if (op.isBad())
    return failure();
  auto [loss, total] =
      negativeLogLikelihood(op, x, target, weight, op.integer("reduction", kMean), op.integer("ignore_index", -100));
  if (op.node.resultNames().size() == 1)
    return op.finish(loss);
  return op.finish({loss, total});
}

static LogicalResult convertCrossEntropy(Op &op) {
  Tensor x = op.tensor("self"), target = op.tensor("target"), weight = op.optionalTensor("weight");
  int64_t reduction = op.integer("reduction", kMean), ignored = op.integer("ignore_index", -100);
  double smoothing = op.number("label_smoothing", 0.0);
  if (op.isBad() || x.rank() < 1)
    return op.isBad() ? failure() : op.error("needs scores of rank 1 or more");
  int64_t classDim = x.rank() == 1 ? 0 : 1;
  ScalarType type = op.resultDtype(), work = computeType(type);
  Tensor logs = softmax(op, op.convert(x, work), classDim, /*isLog=*/true);
  if (weight)
    weight = op.convert(weight, work);
  if (!logs)
    return failure();
  if (isFloating(target.dtype)) { // probabilities of the classes
    std::optional<int64_t> classes = graph::asConstant(x.dim(classDim));
    if (smoothing != 0 && !classes)
      return op.unsupported("with label smoothing over a symbolic number of classes");
    SmallVector<Operand> operands{logs, target};
    if (weight)
      operands.push_back(Operand(weight, classDim));
    Tensor losses = op.map(work, work, operands, [&](Scalars &s, ValueRange v) {
      Value p = v[1];
      if (smoothing != 0)
        p = s.add(s.mul(p, s.number(1 - smoothing)), s.number(smoothing / static_cast<double>(*classes)));
      Value loss = s.neg(s.mul(p, v[0]));
      return weight ? s.mul(loss, v[2]) : loss;
    });
    Tensor loss = op.reduce(ReduceKind::Sum, losses, {classDim});
    return op.finish(op.convert(reduceLoss(op, loss, reduction), type));
  }
  if (smoothing != 0)
    return op.unsupported("with label smoothing");
  auto [loss, total] = negativeLogLikelihood(op, logs, target, weight, reduction, ignored);
  return op.finish(op.convert(loss, type));
}

static LogicalResult convertBinaryCrossEntropy(Op &op, bool withLogits) {
  Tensor x = op.tensor("self"), target = op.tensor("target"), weight = op.optionalTensor("weight");
  Tensor positive = withLogits ? op.optionalTensor("pos_weight") : Tensor();
  ScalarType type = op.resultDtype();
  SmallVector<Operand> operands{x, target};
  for (const Tensor &extra : {weight, positive})
    if (extra)
      operands.push_back(extra);
  Tensor loss = op.map(type, type, operands, [&](Scalars &s, ValueRange v) {
    Value one = s.number(1), result;
    if (withLogits) {
      // log(1 + exp(-|x|)) + max(-x, 0)
      Value tail =
          s.add(s.make<math::Log1pOp>(s.make<math::ExpOp>(s.neg(s.abs(v[0])))), s.max(s.neg(v[0]), s.number(0)));
      if (positive)
        tail = s.mul(tail, s.add(s.mul(s.sub(v[weight ? 3 : 2], one), v[1]), one));
      result = s.add(s.mul(s.sub(one, v[1]), v[0]), tail);
    } else {
      auto log = [&](Value p) { return s.max(s.make<math::LogOp>(p), s.number(-100)); };
      result = s.neg(s.add(s.mul(v[1], log(v[0])), s.mul(s.sub(one, v[1]), log(s.sub(one, v[0])))));
    }
    return weight ? s.mul(result, v[2]) : result;
  });
  return op.finish(reduceLoss(op, loss, op.integer("reduction", kMean)));
}

static void populateLosses(ConverterTable &t) {
  t["aten.mse_loss"] = pointwiseLoss([](Op &, Scalars &s, Value x, Value y) {
    Value d = s.sub(x, y);
    return s.mul(d, d);
  });
  t["aten.l1_loss"] = pointwiseLoss([](Op &, Scalars &s, Value x, Value y) { return s.abs(s.sub(x, y)); });
  t["aten.smooth_l1_loss"] = pointwiseLoss([](Op &op, Scalars &s, Value x, Value y) {
    double beta = op.number("beta", 1.0);
    Value d = s.abs(s.sub(x, y));
    if (beta == 0)
      return d;
    Value near = s.div(s.mul(s.mul(s.number(0.5), d), d), s.number(beta));
    return s.select(s.compare(Compare::Lt, d, s.number(beta)), near, s.sub(d, s.number(0.5 * beta)));
  });
  t["aten.huber_loss"] = pointwiseLoss([](Op &op, Scalars &s, Value x, Value y) {
    double delta = op.number("delta", 1.0);
    Value d = s.abs(s.sub(x, y));
    Value near = s.mul(s.mul(s.number(0.5), d), d);
    Value far = s.mul(s.number(delta), s.sub(d, s.number(0.5 * delta)));
    return s.select(s.compare(Compare::Le, d, s.number(delta)), near, far);
  });
  t["aten.kl_div"] = [](Op &op) {
    Tensor x = op.tensor("self"), y = op.tensor("target");
    bool isLog = op.flag("log_target", false);
    ScalarType type = op.resultDtype();
    Tensor loss = op.map(type, type, {x, y}, [&](Scalars &s, ValueRange v) {
      if (isLog)
        return s.mul(s.make<math::ExpOp>(v[1]), s.sub(v[1], v[0]));
      Value entropy =
          s.select(s.compare(Compare::Eq, v[1], s.number(0)), s.number(0), s.mul(v[1], s.make<math::LogOp>(v[1])));
      return s.sub(entropy, s.mul(v[1], v[0]));
    });
    return op.finish(reduceLoss(op, loss, op.integer("reduction", kMean)));
  };
  t["aten.binary_cross_entropy"] = [](Op &op) { return convertBinaryCrossEntropy(op, false); };
  t["aten.binary_cross_entropy_with_logits"] = [](Op &op) { return convertBinaryCrossEntropy(op, true); };
  t["aten.nll_loss"] = t["aten.nll_loss_nd"] = t["aten.nll_loss_forward"] = t["aten.nll_loss2d"] =
      t["aten.nll_loss2d_forward"] = convertNllLoss;
  t["aten.cross_entropy_loss"] = convertCrossEntropy;
}

void populateNorm(ConverterTable &t) {
  t["aten.softmax"] = t["aten._softmax"] = convertSoftmax(false);
  t["aten._safe_softmax"] = convertSoftmax(false, false, true);
  t["aten.log_softmax"] = t["aten._log_softmax"] = convertSoftmax(true);
  t["aten.layer_norm"] = t["aten.native_layer_norm"] = convertLayerNorm;
  t["aten.rms_norm"] = t["aten._fused_rms_norm"] = convertRmsNorm;
  t["aten.group_norm"] = t["aten.native_group_norm"] = convertGroupNorm;
  t["aten.batch_norm"] = t["aten.native_batch_norm"] = t["aten._native_batch_norm_legit"] =
      t["aten._native_batch_norm_legit_no_training"] = t["aten._native_batch_norm_legit_functional"] =
          t["aten.cudnn_batch_norm"] = t["aten._batch_norm_with_update"] = convertBatchNorm;
  t["aten.instance_norm"] = convertInstanceNorm;
  t["aten._weight_norm"] = t["aten._weight_norm_interface"] = convertWeightNorm;
  t["aten.cosine_similarity"] = convertCosineSimilarity;
  populateLosses(t);
}

} // namespace tenon::torch_export
