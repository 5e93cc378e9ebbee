// Attention whose state has a fixed size, and the short causal convolutions that stand before it.
#include "Attention.h"
#include "Control.h"

using namespace mlir;
using tenon::graph::Dims;

namespace tenon::onnx_import {

/// [B, T, H * D] as [T, B, H, D].
static Tensor byStep(Op &op, Tensor x, AffineExpr heads) {
  if (!x)
    return {};
  if (x.rank() != 3)
    return op.errorTensor("needs inputs of rank 3");
  return op.permute(op.reshape(x, {x.dim(0), x.dim(1), heads, graph::normalize(x.dim(2).floorDiv(heads))}), {1, 0, 2, 3});
}

static LogicalResult convertLinearAttention(Op &op) {
  Tensor query = op.tensor(0), key = op.tensor(1), value = op.tensor(2);
  Tensor past = op.optionalTensor(3), decay = op.optionalTensor(4), beta = op.optionalTensor(5);
  int64_t heads = op.integer("q_num_heads"), groups = op.integer("kv_num_heads");
  std::string rule = op.text("update_rule", StringRef("gated_delta"));
  if (op.isBad())
    return failure();
  bool isGated = rule == "gated" || rule == "gated_delta", isDelta = rule == "delta" || rule == "gated_delta";
  if (!isGated && !isDelta && rule != "linear")
    return op.error("has the unknown update_rule '" + rule + "'");
  if (heads < 1 || groups < 1 || heads % groups)
    return op.error("has numbers of heads that do not divide");
  if (isGated != static_cast<bool>(decay) || isDelta != static_cast<bool>(beta))
    return op.error("has inputs that do not fit update_rule '" + rule + "'");
  ScalarType type = query.dtype, work = ScalarType::Float;
  AffineExpr h = op.constant(heads), g = op.constant(groups), r = op.constant(heads / groups);
  Tensor q = byStep(op, op.convert(query, work), h), k = byStep(op, op.convert(key, work), g),
         v = byStep(op, op.convert(value, work), g);
  if (!q || !k || !v)
    return failure();
  Tensors xs{q, k, v};
  if (decay) // one number for each head or for each of its rows
    xs.push_back(byStep(op, op.convert(decay, work), g));
  if (beta)
    xs.push_back(byStep(op, op.convert(beta, work), graph::asConstant(beta.dim(2)) == 1 ? op.constant(1) : g));
  if (op.isBad())
    return failure();
  Dims stateDims{q.dim(1), g, k.dim(3), v.dim(3)};
  Tensor state = past ? op.withDims(op.convert(past, work), stateDims) : op.full(stateDims, work, 0);
  double scale = op.real("scale", 0.0);
  std::optional<int64_t> width = graph::asConstant(q.dim(3));
  if (scale == 0 && !width)
    return op.unsupported("over a symbolic head size");
  if (scale == 0)
    scale = 1 / std::sqrt(static_cast<double>(std::max<int64_t>(*width, 1)));
  if (!state)
    return failure();
  auto body = [&](ArrayRef<Tensor> carried, ArrayRef<Tensor> now) -> Tensors {
    Tensor s = carried[0], written = now[2];
    if (isGated)
      s = op.binary(s, op.unsqueeze(now[3], 3),
                    [](Scalars &e, Value x, Value gate) { return e.mul(x, e.make<math::ExpOp>(gate)); });
    if (isDelta)
      written = op.mul(op.sub(written, op.contract(s, "bhdm", now[1], "bhd", "bhm")), now.back());
    s = op.add(s, op.mul(op.unsqueeze(now[1], 3), op.unsqueeze(written, 2)));
    if (!s)
      return {};
    Tensor asked = op.reshape(now[0], {q.dim(1), g, r, q.dim(3)});
    Tensor read = op.contract(op.scale(asked, scale), "bhrd", s, "bhdm", "bhrm");
    return {s, op.reshape(read, {q.dim(1), h, v.dim(3)})};
  };
  std::optional<Tensors> results = buildScan(op, state, xs, body);
  if (!results)
    return op.isBad() ? failure() : op.error("could not be built");
  Tensor out = op.flatten(op.permute((*results)[1], {1, 0, 2, 3}), 2, 3);
  return op.finish({op.convert(out, type), op.convert((*results)[0], past ? past.dtype : type)});
}

static LogicalResult convertCausalConv(Op &op) {
  Tensor x = op.tensor(0), weight = op.tensor(1), bias = op.optionalTensor(2), past = op.optionalTensor(3);
  if (op.isBad())
    return failure();
  if (x.rank() != 3 || weight.rank() != 3)
    return op.error("needs an input and a filter of rank 3");
  std::optional<int64_t> channels = graph::asConstant(x.dim(1)), window = graph::asConstant(weight.dim(2));
  if (!channels || !window || *window < 1 || graph::asConstant(weight.dim(0)) != *channels)
    return op.unsupported("with a symbolic window or number of channels, or a filter of another number");
  std::string activation = op.text("activation", StringRef("none"));
  if (activation != "none" && activation != "silu" && activation != "swish")
    return op.error("has the unknown activation '" + activation + "'");
  AffineExpr before = op.constant(*window - 1);
  Tensor start = past ? op.withDims(past, {x.dim(0), x.dim(1), before})
                      : op.full({x.dim(0), x.dim(1), before}, x.dtype, 0);
  Tensor padded = *window == 1 ? x : op.concat({start, x}, 2);
  if (!padded)
    return failure();
  auto list = [&](int64_t value) { return op.b.getDenseI64ArrayAttr({value}); };
  Tensor last = op.permute(padded, {0, 2, 1});
  auto resultType = graph::makeTensorType({x.dim(0), x.dim(2), x.dim(1)}, x.type().getElementType());
  Tensor y{graph::ConvOp::create(op.b, op.loc, resultType, last.value, weight.value, list(1), list(0), list(0), list(1),
                                 list(1), op.b.getI64IntegerAttr(*channels)),
           x.dtype};
  if (bias)
    y = op.add(y, bias);
  if (activation != "none")
    y = op.unary(y, [](Scalars &s, Value v) { return s.mul(v, s.sigmoid(v)); });
  return op.finish({op.permute(y, {0, 2, 1}), op.slice(padded, 2, x.dim(2), before)});
}

void populateLinearAttention(ConverterTable &t) {
  t["LinearAttention"] = convertLinearAttention;
  t["CausalConvWithState"] = convertCausalConv;
}

} // namespace tenon::onnx_import
