// Conversions between element types, quantization, and products of quantized tensors.
#include "Quantize.h"
#include "Convolution.h"

using namespace mlir;
using tenon::graph::Dims;
using tenon::graph::ReduceKind;

namespace tenon::onnx_import {

//===----------------------------------------------------------------------===//
// Conversions
//===----------------------------------------------------------------------===//

namespace {
struct CastOptions {
  bool saturates = true;
  PowerRounding rounding = PowerRounding::Up;
};
} // namespace

static Tensor castTo(Op &op, Tensor x, ScalarType to, const CastOptions &options) {
  if (!x || x.dtype == to)
    return x;
  ScalarType from = x.dtype;
  if (isSmallFloat(to))
    return op.map(
        to, ScalarType::Float, {x},
        [&](Scalars &s, ValueRange v) { return s.encodeSmallFloat(v[0], to, options.saturates, options.rounding); }, to);
  bool isNarrowUnsigned = isUnsigned(to) && isIntegral(to) && bytesOf(to) < 8;
  if (isFloating(from) && isNarrowUnsigned)
    // Through a wider signed type, so that negative numbers wrap around as they do in numpy.
    return op.convert(op.convert(x, ScalarType::Long), to);
  return op.convert(x, to);
}

static CastOptions castOptions(Op &op) {
  CastOptions options;
  options.saturates = op.integer("saturate", 1) != 0;
  std::string rounding = op.text("round_mode", StringRef("up"));
  options.rounding = rounding == "up"     ? PowerRounding::Up
                     : rounding == "down" ? PowerRounding::Down
                                          : PowerRounding::Nearest;
  return options;
}

static LogicalResult convertCast(Op &op) {
  ScalarType to = op.dtype("to", ScalarType::Unknown);
  CastOptions options = castOptions(op);
  if (op.isBad())
    return failure();
  return op.finish(castTo(op, op.tensor(0), to, options));
}

static LogicalResult convertCastLike(Op &op) {
  CastOptions options = castOptions(op);
  Tensor x = op.tensor(0), like = op.tensor(1);
  return like ? op.finish(castTo(op, x, like.dtype, options)) : failure();
}

static unsigned bitsOf(ScalarType type) {
  switch (type) {
  case ScalarType::Float4E2M1FN:
    return 4;
  case ScalarType::Float6E2M3FN:
  case ScalarType::Float6E3M2FN:
    return 6;
  default:
    return subByteBits(type) ? subByteBits(type) : 8 * bytesOf(type);
  }
}

static LogicalResult convertBitCast(Op &op) {
  ScalarType to = op.dtype("to", ScalarType::Unknown);
  Tensor x = op.tensor(0);
  if (!x || op.isBad())
    return failure();
  ScalarType from = x.dtype;
  if (bitsOf(from) != bitsOf(to))
    return op.error("reinterprets elements of " + Twine(bitsOf(from)) + " bits as elements of " + Twine(bitsOf(to)));
  if (isComplex(from) || isComplex(to))
    return op.unsupported("on complex numbers");
  // Bools and numbers of less than a byte are bytes with a rule about their upper bits.
  ScalarType raw = bytesOf(to) == 1 ? ScalarType::Byte : to;
  if (from == ScalarType::Bool)
    x = op.convert(x, ScalarType::Byte);
  else if (bytesOf(from) == 1)
    x.dtype = ScalarType::Byte;
  Type source = toType(x.dtype, op.context()), target = toType(raw, op.context());
  if (source != target)
    x = op.map(
        raw, x.dtype, {Operand::raw(x)},
        [&](Scalars &s, ValueRange v) -> Value { return arith::BitcastOp::create(s.b, s.loc, target, v[0]); }, raw);
  if (subByteBits(to) || to == ScalarType::Bool)
    return op.finish(op.convert(Tensor{x.value, ScalarType::Byte}, to));
  if (to == ScalarType::Float4E2M1FN)
    x = op.convert(Tensor{x.value, ScalarType::Byte}, ScalarType::UInt4);
  return op.finish(Tensor{x.value, to});
}

//===----------------------------------------------------------------------===//
// Quantize, dequantize
//===----------------------------------------------------------------------===//

/// A scale or zero point beside `x`: one number, one per slice along `axis`, or one per block of it.
static Operand besides(Op &op, Tensor parameter, Tensor x, int64_t axis, int64_t block) {
  if (!parameter || !x)
    return {};
  if (parameter.rank() == 0 || (parameter.rank() == 1 && block == 0 && graph::asConstant(parameter.dim(0)) == 1 &&
                                (x.rank() != 1)))
    return op.reshape(parameter, {});
  if (block == 0) {
    if (parameter.rank() != 1) {
      (void)op.error("has a scale of rank " + Twine(parameter.rank()));
      return {};
    }
    if (graph::asConstant(parameter.dim(0)) == 1)
      return op.reshape(parameter, {});
    return Operand(parameter, {axis});
  }
  if (parameter.rank() != x.rank()) {
    (void)op.error("has a scale of rank " + Twine(parameter.rank()) + " for blocks of a tensor of rank " +
                   Twine(x.rank()));
    return {};
  }
  Dims dims = parameter.dims(), repeated = dims;
  dims.insert(dims.begin() + axis + 1, op.constant(1));
  repeated.insert(repeated.begin() + axis + 1, op.constant(block));
  Tensor whole = op.flatten(op.broadcast(op.reshape(parameter, dims), repeated), axis, axis + 1);
  return op.slice(whole, axis, op.constant(0), x.dim(axis));
}

static std::pair<double, double> rangeOf(ScalarType type) {
  unsigned bits = bitsOf(type);
  return isUnsigned(type) ? std::pair(0.0, std::ldexp(1, bits) - 1)
                          : std::pair(-std::ldexp(1, bits - 1), std::ldexp(1, bits - 1) - 1);
}

Tensor quantizeScaled(Op &op, Tensor scaled, Operand zero, ScalarType type, bool saturates) {
  if (isSmallFloat(type)) {
    CastOptions options;
    options.saturates = saturates;
    options.rounding = PowerRounding::Nearest;
    return castTo(op, scaled, type, options);
  }
  auto [low, high] = rangeOf(type);
  SmallVector<Operand> operands{scaled};
  if (!zero.isNull())
    operands.push_back(zero);
  Tensor whole = op.map(ScalarType::Int, ScalarType::Float, operands, [&](Scalars &s, ValueRange v) {
    Value rounded = s.make<math::RoundEvenOp>(v[0]);
    if (v.size() > 1)
      rounded = s.add(rounded, v[1]);
    return s.min(s.max(rounded, s.number(low)), s.number(high));
  });
  return op.convert(whole, type);
}

static LogicalResult convertQuantizeLinear(Op &op) {
  Tensor x = op.tensor(0), scale = op.tensor(1), zero = op.optionalTensor(2);
  if (!x || !scale)
    return failure();
  int64_t axis = x.rank() == 0 ? 0 : op.integer("axis", 1), block = op.integer("block_size", 0);
  // Without a dimension of that number there is one scale for everything.
  bool isOne = scale.rank() == 0 || (scale.rank() == 1 && graph::asConstant(scale.dim(0)) == 1);
  axis = isOne && block == 0 ? 0 : op.wrapDim(axis, x.rank());
  ScalarType type = zero ? zero.dtype : op.dtype("output_dtype", ScalarType::Byte);
  ScalarType precision = op.dtype("precision", isFloating(scale.dtype) ? scale.dtype : ScalarType::Float);
  Operand s = besides(op, scale, x, axis, block), z = zero ? besides(op, zero, x, axis, block) : Operand();
  if (op.isBad())
    return failure();
  if (isSmallFloat(precision))
    precision = ScalarType::Float;
  Tensor scaled = op.map(precision, precision, {x, s}, [](Scalars &b, ValueRange v) { return b.div(v[0], v[1]); });
  return op.finish(quantizeScaled(op, scaled, z, type, op.integer("saturate", 1) != 0));
}

static LogicalResult convertDequantizeLinear(Op &op) {
  Tensor x = op.tensor(0), scale = op.tensor(1), zero = op.optionalTensor(2);
  if (!x || !scale)
    return failure();
  int64_t axis = x.rank() == 0 ? 0 : op.integer("axis", 1), block = op.integer("block_size", 0);
  bool isOne = scale.rank() == 0 || (scale.rank() == 1 && graph::asConstant(scale.dim(0)) == 1);
  axis = isOne && block == 0 ? 0 : op.wrapDim(axis, x.rank());
  ScalarType type = op.dtype("output_dtype", scale.dtype);
  SmallVector<Operand> operands{x, besides(op, scale, x, axis, block)};
  if (zero)
    operands.push_back(besides(op, zero, x, axis, block));
  if (op.isBad())
    return failure();
  ScalarType work = computeType(type);
  if (isIntegral(x.dtype) && zero) {
    // The difference is exact in integers, not always in floats.
    operands[0] = op.map(ScalarType::Int, ScalarType::Int, {operands[0], operands[2]},
                         [](Scalars &b, ValueRange v) { return b.sub(v[0], v[1]); });
    operands.pop_back();
  }
  return op.finish(op.map(type, work, operands, [](Scalars &b, ValueRange v) {
    return b.mul(v.size() > 2 ? b.sub(v[0], v[2]) : v[0], v[1]);
  }));
}

SmallVector<Tensor, 3> quantizeByRange(Op &op, Tensor x) {
  SmallVector<int64_t> all = upTo(x.rank());
  Tensor high = op.reduce(ReduceKind::Max, x, all), low = op.reduce(ReduceKind::Min, x, all);
  high = op.unary(high, [](Scalars &s, Value v) { return s.max(v, s.number(0)); });
  low = op.unary(low, [](Scalars &s, Value v) { return s.min(v, s.number(0)); });
  Tensor scale =
      op.binary(high, low, [](Scalars &s, Value h, Value l) { return s.div(s.sub(h, l), s.number(255)); });
  Tensor zero = op.binary(low, scale, [](Scalars &s, Value l, Value step) {
    Value point = s.make<math::RoundEvenOp>(s.div(s.neg(l), step));
    // All zeros: any zero point does.
    point = s.select(s.isNan(point), s.number(0), point);
    return s.min(s.max(point, s.number(0)), s.number(255));
  });
  return {quantizeScaled(op, op.div(x, scale), zero, ScalarType::Byte, true), scale,
          op.convert(op.convert(zero, ScalarType::Int), ScalarType::Byte)};
}

static LogicalResult convertDynamicQuantizeLinear(Op &op) {
  Tensor x = op.tensor(0);
  return x ? op.finish(quantizeByRange(op, x)) : failure();
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

Tensor centered(Op &op, Tensor x, Tensor zero, int64_t dim) {
  if (!x)
    return {};
  x = op.convert(x, ScalarType::Int);
  if (!zero)
    return x;
  zero = op.convert(zero, ScalarType::Int);
  Operand other = zero;
  if (zero && zero.rank() == 1)
    other = graph::asConstant(zero.dim(0)) == 1 ? Operand(op.reshape(zero, {})) : Operand(zero, {dim});
  return op.map(ScalarType::Int, ScalarType::Int, {x, other},
                [](Scalars &s, ValueRange v) { return s.sub(v[0], v[1]); });
}

static LogicalResult convertMatMulInteger(Op &op) {
  Tensor a = op.tensor(0), b = op.tensor(1);
  if (!a || !b)
    return failure();
  a = centered(op, a, op.optionalTensor(2), std::max<int64_t>(a.rank() - 2, 0));
  b = centered(op, b, op.optionalTensor(3), b.rank() - 1);
  return op.finish(op.matmul(a, b));
}

/// acc * (a's scale * b's scale / y's scale), quantized. Scales of rank 1 lie along the given dimension.
static Tensor requantize(Op &op, Tensor acc, Operand a, Operand b, Tensor scale, Tensor zero) {
  if (!acc || !scale || !zero || a.isNull() || b.isNull())
    return {};
  Tensor scaled =
      op.map(ScalarType::Float, ScalarType::Float, {acc, a, b, op.reshape(scale, {})}, [](Scalars &s, ValueRange v) {
        return s.mul(v[0], s.div(s.mul(v[1], v[2]), v[3]));
      });
  return quantizeScaled(op, scaled, op.reshape(zero, {}), zero.dtype, true);
}

Operand along(Op &op, Tensor scale, int64_t dim) {
  if (!scale)
    return {};
  bool isOne = scale.rank() == 0 || (scale.rank() == 1 && graph::asConstant(scale.dim(0)) == 1);
  return isOne ? Operand(op.reshape(scale, {})) : scale.rank() == 1 ? Operand(scale, {dim}) : Operand(scale);
}

static LogicalResult convertQLinearMatMul(Op &op) {
  Tensor a = op.tensor(0), aScale = op.tensor(1), aZero = op.tensor(2), b = op.tensor(3), bScale = op.tensor(4),
         bZero = op.tensor(5), scale = op.tensor(6), zero = op.tensor(7);
  if (op.isBad() || a.rank() == 0 || b.rank() == 0)
    return op.isBad() ? failure() : op.error("multiplies a scalar");
  Tensor acc = op.matmul(centered(op, a, aZero, std::max<int64_t>(a.rank() - 2, 0)),
                         centered(op, b, bZero, b.rank() - 1));
  if (!acc)
    return failure();
  return op.finish(requantize(op, acc, along(op, aScale, std::max<int64_t>(acc.rank() - 2, 0)),
                              along(op, bScale, acc.rank() - 1), scale, zero));
}

static LogicalResult convertConvInteger(Op &op) {
  Tensor x = op.tensor(0), w = op.tensor(1), xZero = op.optionalTensor(2), wZero = op.optionalTensor(3);
  if (op.isBad())
    return failure();
  // Products of bytes and their sums are exact in float64.
  Tensor y = convolution(op, op.convert(centered(op, x, xZero, 0), ScalarType::Double),
                         op.convert(centered(op, w, wZero, 0), ScalarType::Double), {});
  return op.finish(op.convert(y, ScalarType::Int));
}

static LogicalResult convertQLinearConv(Op &op) {
  Tensor x = op.tensor(0), xScale = op.tensor(1), xZero = op.tensor(2), w = op.tensor(3), wScale = op.tensor(4),
         wZero = op.tensor(5), scale = op.tensor(6), zero = op.tensor(7), bias = op.optionalTensor(8);
  if (op.isBad())
    return failure();
  Tensor acc = convolution(op, op.convert(centered(op, x, xZero, 0), ScalarType::Double),
                           op.convert(centered(op, w, wZero, 0), ScalarType::Double),
                           bias ? op.convert(bias, ScalarType::Double) : Tensor());
  return op.finish(requantize(op, acc, along(op, xScale, 1), along(op, wScale, 1), scale, zero));
}

//===----------------------------------------------------------------------===//
// com.microsoft
//===----------------------------------------------------------------------===//

static Tensor dequantized(Op &op, unsigned first) {
  Tensor x = op.tensor(first), scale = op.tensor(first + 1), zero = op.optionalTensor(first + 2);
  if (!x || !scale)
    return {};
  x = centered(op, x, zero, 0);
  return op.map(ScalarType::Float, ScalarType::Float, {x, op.reshape(scale, {})},
                [](Scalars &s, ValueRange v) { return s.mul(v[0], v[1]); });
}

static Convert quantizedBinary(Value (*body)(Scalars &, Value, Value)) {
  return [body](Op &op) -> LogicalResult {
    Tensor a = dequantized(op, 0), b = dequantized(op, 3), scale = op.tensor(6);
    if (op.isBad())
      return failure();
    Tensor zero = op.has(7) ? op.tensor(7) : op.scalar(op.tensor(0).dtype, 0);
    Tensor sum = op.binary(a, b, body);
    if (!sum || !zero)
      return failure();
    Tensor scaled = op.div(sum, op.reshape(scale, {}));
    return op.finish(quantizeScaled(op, scaled, op.reshape(zero, {}), zero.dtype, true));
  };
}

/// Weights of 4 or 8 bits in blocks along k: A [..., K] times the transpose of B [N, K].
static LogicalResult convertMatMulNBits(Op &op) {
  Tensor a = op.tensor(0), packed = op.tensor(1), scales = op.tensor(2), zeros = op.optionalTensor(3);
  int64_t k = op.integer("K"), n = op.integer("N"), bits = op.integer("bits", 4), block = op.integer("block_size");
  if (op.isBad())
    return failure();
  if (bits != 4 && bits != 8)
    return op.unsupported("with weights of " + Twine(bits) + " bits");
  if (op.has(4) || k < 1 || n < 1 || block < 1)
    return op.unsupported("with reordered groups, or sizes that are not positive");
  int64_t blocks = (k + block - 1) / block;
  auto unpacked = [&](Tensor x, int64_t count) -> Tensor {
    // [N, bytes] to [N, count] numbers.
    x.dtype = ScalarType::Byte;
    AffineExpr bytes = graph::numElements(x.value.getType()).floorDiv(n);
    x = op.reshape(x, {op.constant(n), graph::normalize(bytes)});
    if (bits == 4 && x) {
      Tensor low = op.unary(x, [](Scalars &s, Value v) { return s.make<arith::AndIOp>(v, s.integer(15)); });
      Tensor high = op.unary(x, [](Scalars &s, Value v) { return s.make<arith::ShRUIOp>(v, s.integer(4)); });
      x = op.flatten(op.concat({op.unsqueeze(low, 2), op.unsqueeze(high, 2)}, 2), 1, 2);
    }
    return op.slice(x, 1, op.constant(0), op.constant(count));
  };
  ScalarType work = ScalarType::Float;
  Tensor weights = op.reshape(op.convert(unpacked(packed, blocks * block), work),
                              op.constants({n, blocks, block}));
  Tensor scale = op.reshape(op.convert(scales, work), op.constants({n, blocks, 1}));
  Tensor zero;
  if (zeros)
    zero = op.reshape(isFloating(zeros.dtype) ? op.convert(zeros, work) : op.convert(unpacked(zeros, blocks), work),
                      op.constants({n, blocks, 1}));
  else
    zero = op.scalar(work, std::ldexp(1, static_cast<int>(bits) - 1));
  if (!weights || !scale || !zero)
    return failure();
  weights = op.map(work, work, {weights, zero, scale},
                   [](Scalars &s, ValueRange v) { return s.mul(s.sub(v[0], v[1]), v[2]); });
  weights = op.slice(op.reshape(weights, op.constants({n, blocks * block})), 1, op.constant(0), op.constant(k));
  Tensor y = op.matmul(op.convert(a, work), op.transpose(weights, 0, 1));
  if (op.has(5))
    y = op.add(y, op.convert(op.tensor(5), work));
  return op.finish(op.convert(y, a.dtype));
}

void populateQuantize(ConverterTable &t) {
  t["Cast"] = convertCast;
  t["CastLike"] = convertCastLike;
  t["BitCast"] = convertBitCast;
  t["QuantizeLinear"] = t["com.microsoft.QuantizeLinear"] = convertQuantizeLinear;
  t["DequantizeLinear"] = t["com.microsoft.DequantizeLinear"] = convertDequantizeLinear;
  t["DynamicQuantizeLinear"] = convertDynamicQuantizeLinear;
  t["MatMulInteger"] = convertMatMulInteger;
  t["QLinearMatMul"] = convertQLinearMatMul;
  t["ConvInteger"] = convertConvInteger;
  t["QLinearConv"] = convertQLinearConv;
  t["com.microsoft.QLinearAdd"] = quantizedBinary([](Scalars &s, Value x, Value y) { return s.add(x, y); });
  t["com.microsoft.QLinearMul"] = quantizedBinary([](Scalars &s, Value x, Value y) { return s.mul(x, y); });
  t["com.microsoft.MatMulNBits"] = convertMatMulNBits;
}

} // namespace tenon::onnx_import
