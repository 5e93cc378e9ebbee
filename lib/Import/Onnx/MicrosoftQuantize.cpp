// Quantized operators of com.microsoft.
#include "Quantize.h"

using namespace mlir;
using tenon::graph::Dims;

namespace tenon::onnx_import {

/// Input `i` with its scale and zero point, which follow it, as float32.
static Tensor dequantizedInput(Op &op, unsigned i) {
  Tensor x = op.tensor(i), scale = op.tensor(i + 1), zero = op.optionalTensor(i + 2);
  if (!x || !scale)
    return {};
  return op.map(ScalarType::Float, ScalarType::Float, {centered(op, x, zero, 0), op.reshape(scale, {})},
                [](Scalars &s, ValueRange v) { return s.mul(v[0], v[1]); });
}

/// `y` in the scale of input `i` and the zero point of the one after it; bytes like `like` where that is missing.
static Tensor quantized(Op &op, Tensor y, unsigned i, ScalarType like) {
  Tensor scale = op.tensor(i), zero = op.optionalTensor(i + 1);
  if (!y || !scale)
    return {};
  Operand shift = zero ? Operand(op.reshape(zero, {})) : Operand();
  return quantizeScaled(op, op.div(y, op.reshape(scale, {})), shift, zero ? zero.dtype : like, true);
}

/// Inputs: x, its scale and zero point, the result's scale and zero point.
static Convert onFloats(Tensor (*body)(Op &, Tensor)) {
  return [body](Op &op) -> LogicalResult {
    Tensor x = dequantizedInput(op, 0);
    if (!x)
      return failure();
    return op.finish(quantized(op, body(op, x), 3, op.tensor(0).dtype));
  };
}

static Tensor leakyRelu(Op &op, Tensor x) {
  double alpha = op.real("alpha", 0.01);
  return op.unary(x, [&](Scalars &s, Value v) {
    return s.select(s.compare(Compare::Lt, v, s.number(0)), s.mul(v, s.number(alpha)), v);
  });
}

static Tensor globalPool(Op &op, Tensor x) {
  if (x.rank() < 3)
    return op.errorTensor("has an input of rank " + Twine(x.rank()));
  bool isLast = op.integer("channels_last", 0) != 0;
  return op.mean(x, llvm::to_vector(llvm::seq<int64_t>(isLast ? 1 : 2, isLast ? x.rank() - 1 : x.rank())), true);
}

static Tensor softmaxOf(Op &op, Tensor x) {
  int64_t dim = op.dim("axis", x.rank(), -1);
  if (op.isBad())
    return {};
  if (op.integer("opset", 13) >= 13)
    return op.softmax(x, dim);
  // Before version 13 over all dimensions from the axis on.
  return op.reshape(op.softmax(op.flatten(x, dim, x.rank() - 1), dim), x.dims());
}

static LogicalResult convertConcat(Op &op) {
  if (op.numInputs() < 5 || op.numInputs() % 3 != 2)
    return op.error("has " + Twine(op.numInputs()) + " inputs");
  Tensors parts;
  for (unsigned i = 2; i < op.numInputs(); i += 3) {
    parts.push_back(dequantizedInput(op, i));
    if (!parts.back())
      return failure();
  }
  int64_t dim = op.dim("axis", parts[0].rank());
  return op.isBad() ? failure() : op.finish(quantized(op, op.concat(parts, dim), 0, op.tensor(2).dtype));
}

static LogicalResult convertGemm(Op &op) {
  Tensor a = op.tensor(0), aScale = op.tensor(1), aZero = op.optionalTensor(2), b = op.tensor(3), bScale = op.tensor(4),
         bZero = op.optionalTensor(5), c = op.optionalTensor(6);
  if (op.isBad())
    return failure();
  if (a.rank() != 2 || b.rank() != 2)
    return op.error("needs matrices");
  bool transA = op.integer("transA", 0) != 0, transB = op.integer("transB", 0) != 0;
  Tensor sum = op.contract(centered(op, a, aZero, 0), transA ? "km" : "mk", centered(op, b, bZero, transB ? 0 : 1),
                           transB ? "nk" : "kn", "mn");
  if (c)
    sum = op.add(sum, op.convert(c, ScalarType::Int));
  if (!sum)
    return failure();
  double alpha = op.real("alpha", 1.0);
  Tensor y = op.map(ScalarType::Float, ScalarType::Float, {sum, op.reshape(aScale, {}), along(op, bScale, 1)},
                    [&](Scalars &s, ValueRange v) {
                      Value factor = s.mul(v[1], v[2]);
                      return s.mul(v[0], alpha == 1 ? factor : s.mul(factor, s.number(alpha)));
                    });
  return op.finish(op.has(7) ? quantized(op, y, 7, a.dtype) : y);
}

/// (a - a0)(b - b0) times both scales, plus a bias.
static Tensor productAsFloat(Op &op, Tensor a, Tensor aScale, Tensor aZero, Tensor b, Tensor bScale, Tensor bZero,
                             Tensor bias) {
  if (op.isBad() || !a || !b || !aScale || !bScale)
    return {};
  if (a.rank() < 2 || b.rank() < 2)
    return op.errorTensor("needs matrices");
  Tensor sum = op.matmul(centered(op, a, aZero, a.rank() - 2), centered(op, b, bZero, b.rank() - 1));
  if (!sum)
    return {};
  Tensor y = op.map(ScalarType::Float, ScalarType::Float,
                    {sum, along(op, aScale, sum.rank() - 2), along(op, bScale, sum.rank() - 1)},
                    [](Scalars &s, ValueRange v) { return s.mul(v[0], s.mul(v[1], v[2])); });
  return bias ? op.add(y, bias) : y;
}

static LogicalResult convertMatMulIntegerToFloat(Op &op) {
  Tensor a = op.tensor(0), b = op.tensor(1), aScale = op.tensor(2), bScale = op.tensor(3);
  return op.finish(productAsFloat(op, a, aScale, op.optionalTensor(4), b, bScale, op.optionalTensor(5),
                                  op.optionalTensor(6)));
}

static LogicalResult convertDynamicQuantizeMatMul(Op &op) {
  Tensor a = op.tensor(0), b = op.tensor(1), bScale = op.tensor(2);
  if (op.isBad())
    return failure();
  SmallVector<Tensor, 3> parts = quantizeByRange(op, a);
  return op.finish(
      productAsFloat(op, parts[0], parts[1], parts[2], b, bScale, op.optionalTensor(3), op.optionalTensor(4)));
}

void populateMicrosoftQuantize(ConverterTable &t) {
  t["com.microsoft.QLinearSigmoid"] =
      onFloats([](Op &op, Tensor x) { return op.unary(x, [](Scalars &s, Value v) { return s.sigmoid(v); }); });
  t["com.microsoft.QLinearLeakyRelu"] = onFloats(leakyRelu);
  t["com.microsoft.QLinearGlobalAveragePool"] = onFloats(globalPool);
  t["com.microsoft.QLinearSoftmax"] = onFloats(softmaxOf);
  t["com.microsoft.QLinearConcat"] = convertConcat;
  t["com.microsoft.QGemm"] = convertGemm;
  t["com.microsoft.MatMulIntegerToFloat"] = convertMatMulIntegerToFloat;
  t["com.microsoft.DynamicQuantizeMatMul"] = convertDynamicQuantizeMatMul;
}

} // namespace tenon::onnx_import
