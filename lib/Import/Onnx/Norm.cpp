// Normalizations: a statistic over some dimensions, then scale and shift.
#include "Op.h"

using namespace mlir;
using tenon::graph::Dims;

namespace tenon::onnx_import {

/// (x - mean) / sqrt(variance + epsilon) over `dims`, in x's type; the statistics too when asked for.
static Tensor standardize(Op &op, Tensor x, ArrayRef<int64_t> dims, double epsilon, Tensor *meanOut = nullptr,
                          Tensor *inverseOut = nullptr) {
  Tensor mean = op.mean(x, dims, true), centered = op.sub(x, mean);
  Tensor variance = op.mean(op.unary(centered, [](Scalars &s, Value v) { return s.mul(v, v); }), dims, true);
  Tensor inverse = op.unary(
      variance, [&](Scalars &s, Value v) { return s.div(s.number(1), s.make<math::SqrtOp>(s.add(v, s.number(epsilon)))); });
  if (meanOut)
    *meanOut = mean, *inverseOut = inverse;
  return op.mul(centered, inverse);
}

static LogicalResult convertLayerNorm(Op &op) {
  Tensor x = op.tensor(0), scale = op.tensor(1), bias = op.optionalTensor(2);
  if (op.isBad())
    return failure();
  ScalarType type = x.dtype, work = computeType(type);
  int64_t axis = op.dim("axis", x.rank(), -1);
  SmallVector<int64_t> dims = llvm::to_vector(llvm::seq<int64_t>(axis, x.rank()));
  Tensor mean, inverse;
  Tensor y = standardize(op, op.convert(x, work), dims, op.real("epsilon", 1e-5), &mean, &inverse);
  y = op.mul(y, op.convert(scale, work));
  if (bias)
    y = op.add(y, op.convert(bias, work));
  return op.finish({op.convert(y, type), mean, inverse});
}

static LogicalResult convertRmsNorm(Op &op) {
  Tensor x = op.tensor(0), scale = op.tensor(1);
  if (op.isBad())
    return failure();
  ScalarType type = x.dtype, work = computeType(type);
  int64_t axis = op.dim("axis", x.rank(), -1);
  SmallVector<int64_t> dims = llvm::to_vector(llvm::seq<int64_t>(axis, x.rank()));
  double epsilon = op.real("epsilon", 1e-5);
  Tensor wide = op.convert(x, work);
  Tensor mean = op.mean(op.unary(wide, [](Scalars &s, Value v) { return s.mul(v, v); }), dims, true);
  Tensor y = op.binary(wide, mean, [&](Scalars &s, Value v, Value m) {
    return s.div(v, s.make<math::SqrtOp>(s.add(m, s.number(epsilon))));
  });
  return op.finish(op.convert(op.mul(y, op.convert(scale, work)), type));
}

/// x * scale + bias with one of each per channel (dimension 1).
static Tensor perChannel(Op &op, Tensor x, Tensor scale, Tensor bias) {
  if (!x || !scale || !bias)
    return {};
  return op.map(x.dtype, x.dtype, {x, Operand(scale, {1}), Operand(bias, {1})},
                [](Scalars &s, ValueRange v) { return s.add(s.mul(v[0], v[1]), v[2]); });
}

static LogicalResult convertInstanceNorm(Op &op) {
  Tensor x = op.tensor(0), scale = op.tensor(1), bias = op.tensor(2);
  if (op.isBad())
    return failure();
  if (x.rank() < 3)
    return op.error("has an input of rank " + Twine(x.rank()));
  ScalarType type = x.dtype, work = computeType(type);
  SmallVector<int64_t> dims = llvm::to_vector(llvm::seq<int64_t>(2, x.rank()));
  Tensor y = standardize(op, op.convert(x, work), dims, op.real("epsilon", 1e-5));
  return op.finish(op.convert(perChannel(op, y, op.convert(scale, work), op.convert(bias, work)), type));
}

static LogicalResult convertBatchNorm(Op &op) {
  Tensor x = op.tensor(0), scale = op.tensor(1), bias = op.tensor(2), mean = op.tensor(3), variance = op.tensor(4);
  if (op.isBad())
    return failure();
  if (x.rank() < 2)
    return op.error("has an input of rank " + Twine(x.rank()));
  ScalarType type = x.dtype, work = computeType(type);
  double epsilon = op.real("epsilon", 1e-5);
  Tensor runningMean, runningVariance;
  if (op.integer("training_mode", 0) != 0) {
    // The batch's own statistics, and old ones that move towards them.
    double momentum = op.real("momentum", 0.9);
    SmallVector<int64_t> dims = upTo(x.rank());
    dims.erase(dims.begin() + 1);
    Tensor wide = op.convert(x, work), own = op.mean(wide, dims, false);
    Tensor centered = op.map(work, work, {wide, Operand(own, {1})},
                             [](Scalars &s, ValueRange v) { return s.sub(v[0], v[1]); });
    Tensor spread = op.mean(op.unary(centered, [](Scalars &s, Value v) { return s.mul(v, v); }), dims, false);
    auto moved = [&](Tensor old, Tensor now) {
      Tensor result = op.binary(op.convert(old, work), now, [&](Scalars &s, Value o, Value n) {
        return s.add(s.mul(o, s.number(momentum)), s.mul(n, s.number(1 - momentum)));
      });
      return op.convert(result, old.dtype);
    };
    runningMean = moved(mean, own), runningVariance = moved(variance, spread);
    mean = own, variance = spread;
  }
  Tensor factor = op.binary(op.convert(scale, work), op.convert(variance, work), [&](Scalars &s, Value f, Value v) {
    return s.div(f, s.make<math::SqrtOp>(s.add(v, s.number(epsilon))));
  });
  Tensor shift = op.sub(op.convert(bias, work), op.mul(op.convert(mean, work), factor));
  Tensor y = op.convert(perChannel(op, op.convert(x, work), factor, shift), type);
  return op.finish({y, runningMean, runningVariance});
}

static LogicalResult convertGroupNorm(Op &op) {
  Tensor x = op.tensor(0), scale = op.tensor(1), bias = op.tensor(2);
  int64_t groups = op.integer("num_groups");
  if (op.isBad())
    return failure();
  if (op.version < 21)
    return op.unsupported("of version 18", "convert the model to opset 21 or newer");
  std::optional<int64_t> channels = x.rank() >= 2 ? graph::asConstant(x.dim(1)) : std::nullopt;
  if (!channels || groups < 1 || *channels % groups != 0)
    return op.error("has channels that do not fit " + Twine(groups) + " groups");
  ScalarType type = x.dtype, work = computeType(type);
  Dims dims = x.dims(), split = dims;
  split[1] = op.constant(*channels / groups);
  split.insert(split.begin() + 1, op.constant(groups));
  Tensor wide = op.reshape(op.convert(x, work), split);
  SmallVector<int64_t> rest = llvm::to_vector(llvm::seq<int64_t>(2, static_cast<int64_t>(split.size())));
  Tensor y = op.reshape(standardize(op, wide, rest, op.real("epsilon", 1e-5)), dims);
  return op.finish(op.convert(perChannel(op, y, op.convert(scale, work), op.convert(bias, work)), type));
}

void populateNorm(ConverterTable &t) {
  t["LayerNormalization"] = convertLayerNorm;
  t["RMSNormalization"] = convertRmsNorm;
  t["InstanceNormalization"] = convertInstanceNorm;
  t["BatchNormalization"] = convertBatchNorm;
  t["GroupNormalization"] = convertGroupNorm;
}

} // namespace tenon::onnx_import
