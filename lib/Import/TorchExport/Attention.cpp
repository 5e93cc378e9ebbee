// Scaled dot-product attention in its spellings: one graph.attention.
#include "Converter.h"

using namespace mlir;
using tenon::graph::Dims;

namespace tenon::torch_export {

/// [..., L, E] as [B, H, L, E]: rank 3 has one head, leading dimensions of higher ranks become one.
static Tensor toRank4(Op &op, Tensor x) {
  if (!x)
    return {};
  while (x && x.rank() < 4)
    x = op.unsqueeze(x, x.rank() == 3 ? 1 : 0);
  return x && x.rank() > 4 ? op.flatten(x, 0, x.rank() - 4) : x;
}

/// The mask as a tensor of rank 4 at most, and how (b, h, s, t) reads it.
static Tensor placeMask(Op &op, Tensor mask, Tensor query, Tensor key, AffineMapAttr &map) {
  int64_t rank = query.rank();
  Dims full = query.dims();
  full.back() = key.dim(key.rank() - 2);
  while (mask && mask.rank() < rank)
    mask = op.unsqueeze(mask, 0);
  if (mask && rank > 4)
    mask = op.broadcast(mask, full);
  mask = toRank4(op, mask);
  if (!mask)
    return {};
  Dims point = toRank4(op, query).dims(), want = mask.dims();
  point[3] = full.back();
  SmallVector<AffineExpr> results;
  for (auto [i, size] : llvm::enumerate(want)) {
    bool isUnit = graph::asConstant(size) == 1 && point[i] != size;
    results.push_back(isUnit ? op.constant(0) : getAffineDimExpr(i, op.context()));
    size = isUnit ? size : point[i];
  }
  map = AffineMapAttr::get(AffineMap::get(4, 0, results, op.context()));
  return op.withDims(mask, want);
}

static LogicalResult convertAttention(Op &op) {
  Tensor query = op.tensor("query"), key = op.tensor("key"), value = op.tensor("value");
  StringRef maskName = op.has("attn_bias") ? "attn_bias" : "attn_mask";
  Tensor mask = op.optionalTensor(maskName);
  bool isCausal = op.flag("is_causal", false);
  if (op.isBad())
    return failure();
  if (op.number("dropout_p", 0.0) != 0)
    return op.unsupported("with dropout", "export the model in eval mode");
  int64_t rank = query.rank();
  if (rank < 2 || key.rank() != rank || value.rank() != rank)
    return op.unsupported("on query, key and value of different ranks");
  std::optional<int64_t> width = graph::asConstant(query.dim(rank - 1));
  if (!op.has("scale") && !width)
    return op.unsupported("over a symbolic head size");
  double scale =
      op.has("scale") ? op.number("scale") : 1 / std::sqrt(static_cast<double>(std::max<int64_t>(*width, 1)));
  // Leading dimensions broadcast, except the heads of grouped attention.
  bool isGrouped = op.flag("enable_gqa", false) && rank >= 3;
  int64_t lead = rank - (isGrouped ? 3 : 2);
  auto leadOf = [&](Tensor x) {
    Dims dims = x.dims();
    return Dims(dims.begin(), dims.begin() + lead);
  };
  std::optional<Dims> common = op.broadcastDims({leadOf(query), leadOf(key), leadOf(value)});
  if (!common)
    return failure();
  for (Tensor *x : {&query, &key, &value}) {
    Dims dims = x->dims();
    std::copy(common->begin(), common->end(), dims.begin());
    *x = op.broadcast(*x, dims);
  }
  if (op.isBad() || !query || !key || !value)
    return failure();
  // Sizes that must agree: keys and values in number, queries and keys in width.
  Dims valueDims = value.dims(), keyDims = key.dims();
  valueDims[rank - 2] = keyDims[rank - 2];
  keyDims[rank - 1] = query.dim(rank - 1);
  if (rank >= 3)
    valueDims[rank - 3] = keyDims[rank - 3];
  key = op.withDims(key, keyDims);
  value = op.withDims(value, valueDims);
  AffineMapAttr maskMap;
  if (mask) {
    if (mask.dtype != ScalarType::Bool)
      mask = op.convert(mask, query.dtype);
    mask = placeMask(op, mask, query, key, maskMap);
    if (!mask)
      return failure();
  }
  Tensor q = toRank4(op, query), k = toRank4(op, key), v = toRank4(op, value);
  if (!q || !k || !v)
    return failure();
  Dims dims = q.dims(), result = query.dims();
  dims[3] = v.dim(3);
  result.back() = dims[3];
  OpBuilder &b = op.b;
  auto unit = [&](bool on) { return on ? b.getUnitAttr() : UnitAttr(); };
  Tensor out{graph::AttentionOp::create(b, op.loc, graph::makeTensorType(dims, q.type().getElementType()), q.value,
                                        k.value, v.value, mask ? mask.value : Value(), b.getF64FloatAttr(scale),
                                        unit(isCausal), unit(mask || isCausal), maskMap),
             query.dtype};
  Tensors results(std::max<size_t>(op.node.resultNames().size(), 1));
  results[0] = op.reshape(out, result);
  return op.finish(results);
}

void populateAttention(ConverterTable &t) {
  for (StringRef name :
       {"aten.scaled_dot_product_attention", "aten._scaled_dot_product_flash_attention_for_cpu",
        "aten._scaled_dot_product_flash_attention", "aten._scaled_dot_product_efficient_attention",
        "aten._scaled_dot_product_attention_math", "aten._scaled_dot_product_cudnn_attention",
        "aten._scaled_dot_product_fused_attention_overrideable", "aten._scaled_dot_product_attention_math_for_mps"})
    t[name] = convertAttention;
}

} // namespace tenon::torch_export
