// Attention of com.microsoft: packed projections, masks by lengths, caches of padded batches.
#include "Attention.h"

using namespace mlir;
using tenon::graph::Dims;

namespace tenon::onnx_import {

/// Masks of integers, as what is added to scores [B, N, S, T]: 0 where they are not 0, `mask_filter_value` elsewhere.
/// Rank 1: [B] numbers of keys; rank 2: [B, T]; rank 3: [B, S, T].
static Tensor maskOfIntegers(Op &op, Tensor mask, AffineExpr batch, AffineExpr keys, ScalarType type) {
  double filtered = op.real("mask_filter_value", -10000.0);
  if (!mask)
    return {};
  auto choose = [&](Scalars &s, Value keeps) { return s.select(keeps, s.number(0), s.number(filtered)); };
  if (mask.rank() == 1) {
    if (mask.dim(0) != batch)
      return op.unsupportedTensor("with a mask of starts and ends, or of cumulated lengths");
    Tensor lengths = op.convert(mask, ScalarType::Long);
    return op.map(
        type, type, {Operand::raw(op.reshape(lengths, {batch, op.constant(1), op.constant(1), op.constant(1)}))},
        [&](Scalars &s, ValueRange v) {
          Scalars i(s.b, s.loc, ScalarType::Long);
          return choose(s, i.compare(Compare::Lt, op.index(i, 3), v[0]));
        },
        ScalarType::Unknown, Dims{batch, op.constant(1), op.constant(1), keys});
  }
  if (mask.rank() != 2 && mask.rank() != 3)
    return op.unsupportedTensor("with a mask of rank " + Twine(mask.rank()));
  Tensor keeps = op.convert(mask, ScalarType::Bool);
  keeps = op.unsqueeze(keeps, 1);
  if (mask.rank() == 2)
    keeps = op.unsqueeze(keeps, 1);
  return op.map(type, type, {Operand::raw(keeps)}, [&](Scalars &s, ValueRange v) { return choose(s, v[0]); });
}

/// What MultiHeadAttention and Attention have in common once there are heads. Results: output, and scores where used.
static std::pair<Tensor, Tensor> attend(Op &op, Tensor q, Tensor k, Tensor v, Tensor mask, Tensor bias, AffineExpr past,
                                        bool wantsScores) {
  if (op.isBad() || !q || !k || !v)
    return {};
  AttentionSpec spec;
  spec.query = q, spec.key = k, spec.value = v;
  std::optional<int64_t> width = graph::asConstant(q.dim(3));
  double scale = op.real("scale", 0.0);
  if (scale == 0 && !width)
    return (void)op.unsupported("over a symbolic head size"), std::pair<Tensor, Tensor>();
  spec.scale = scale != 0 ? scale : 1 / std::sqrt(static_cast<double>(std::max<int64_t>(*width, 1)));
  if (mask)
    spec.mask = maskOfIntegers(op, mask, q.dim(0), k.dim(2), computeType(q.dtype));
  if (bias)
    spec.mask = spec.mask ? op.add(spec.mask, op.convert(bias, spec.mask.dtype)) : bias;
  if (op.integer("unidirectional", 0) != 0) {
    spec.isCausal = true;
    spec.offset = past;
  }
  return buildAttention(op, spec, wantsScores ? ScoreStage::Products : ScoreStage::None);
}

static Tensor addBias(Op &op, Tensor x, Tensor bias, AffineExpr offset, AffineExpr size) {
  return x && bias ? op.add(x, op.slice(bias, 0, graph::normalize(offset), size)) : x;
}

static LogicalResult convertMultiHeadAttention(Op &op) {
  Tensor query = op.tensor(0), key = op.optionalTensor(1), value = op.optionalTensor(2), bias = op.optionalTensor(3),
         mask = op.optionalTensor(4), added = op.optionalTensor(5), pastKey = op.optionalTensor(6),
         pastValue = op.optionalTensor(7);
  int64_t heads = op.integer("num_heads");
  if (op.isBad())
    return failure();
  if (op.has(8) || op.has(9))
    return op.unsupported("with a cache that is shared with its result");
  Tensor q, k, v;
  auto unpack = [&](Tensor packed, int64_t i) { // [B, S, N, parts, D]
    return op.permute(op.select(packed, 3, op.constant(i)), {0, 2, 1, 3});
  };
  if (query.rank() == 5) {
    if (key || bias)
      return op.unsupported("with packed queries beside keys or a bias");
    q = unpack(query, 0), k = unpack(query, 1), v = unpack(query, 2);
  } else if (query.rank() == 3) {
    AffineExpr hidden = query.dim(2);
    q = splitHeads(op, addBias(op, query, bias, op.constant(0), hidden), heads);
    if (!key)
      return op.error("has a query of rank 3 but no key");
    if (key.rank() == 5) {
      if (bias)
        return op.unsupported("with packed keys and a bias");
      k = unpack(key, 0), v = unpack(key, 1);
    } else if (key.rank() == 4) {
      k = key, v = value;
    } else if (value) {
      AffineExpr valueHidden = value.dim(2);
      k = splitHeads(op, addBias(op, key, bias, hidden, hidden), heads);
      v = splitHeads(op, addBias(op, value, bias, hidden * 2, valueHidden), heads);
    }
  }
  if (op.isBad() || !q || !k || !v)
    return op.isBad() ? failure() : op.error("has a query, key and value that do not fit");
  AffineExpr past;
  if (pastKey && pastValue) {
    past = pastKey.dim(2);
    k = op.concat({pastKey, k}, 2);
    v = op.concat({pastValue, v}, 2);
  }
  auto [result, scores] = attend(op, q, k, v, mask, added, past, op.isUsed(3));
  return op.finish({joinHeads(op, result), k, v, scores});
}

static LogicalResult convertMicrosoftAttention(Op &op) {
  Tensor x = op.tensor(0), weights = op.tensor(1), bias = op.optionalTensor(2), mask = op.optionalTensor(3),
         past = op.optionalTensor(4), added = op.optionalTensor(5);
  int64_t heads = op.integer("num_heads");
  if (op.isBad())
    return failure();
  if (op.has(6) || op.integer("past_present_share_buffer", 0) != 0 || op.integer("do_rotary", 0) != 0)
    return op.unsupported("with a shared cache or with rotary embeddings");
  std::optional<int64_t> all = graph::asConstant(weights.dim(1));
  if (x.rank() != 3 || weights.rank() != 2 || !all)
    return op.unsupported("on weights of symbolic size or an input of a rank other than 3");
  SmallVector<int64_t> widths = op.integersOf("qkv_hidden_sizes", 3, *all / 3);
  if (op.isBad() || widths[0] + widths[1] + widths[2] != *all)
    return op.isBad() ? failure() : op.error("has weights that do not fit its hidden sizes");
  Tensor projected = op.contract(x, "bsi", weights, "io", "bso");
  if (bias)
    projected = op.add(projected, bias);
  Tensor parts[3];
  int64_t offset = 0;
  for (auto [part, width] : llvm::zip(parts, widths)) {
    part = splitHeads(op, op.slice(projected, 2, op.constant(offset), op.constant(width)), heads);
    offset += width;
  }
  AffineExpr before;
  if (past) {
    before = past.dim(3);
    parts[1] = op.concat({op.select(past, 0, op.constant(0)), parts[1]}, 2);
    parts[2] = op.concat({op.select(past, 0, op.constant(1)), parts[2]}, 2);
  }
  Tensor present;
  if (op.isUsed(1))
    present = op.concat({op.unsqueeze(parts[1], 0), op.unsqueeze(parts[2], 0)}, 0);
  auto [result, scores] = attend(op, parts[0], parts[1], parts[2], mask, added, before, false);
  return op.finish({joinHeads(op, result), present});
}

/// A cache [B, G, T, D]: the first past[b] rows of `old`, then `fresh` [B, G, S, D].
static Tensor appendToCache(Op &op, Tensor old, Tensor fresh, Tensor past, AffineExpr length) {
  if (!old)
    return fresh;
  Dims dims = fresh.dims();
  dims[2] = length;
  AffineExpr news = fresh.dim(2), olds = old.dim(2);
  auto positions = [&](bool isFresh) {
    return op.map(
        ScalarType::Long, ScalarType::Long, {Operand(past, {0})},
        [&](Scalars &s, ValueRange v) {
          Value at = isFresh ? s.sub(op.index(s, 1), v[0]) : op.index(s, 1);
          Value last = s.sub(op.sizeValue(s, isFresh ? news : olds), s.integer(1));
          return s.max(s.min(at, last), s.integer(0));
        },
        ScalarType::Unknown, Dims{dims[0], length});
  };
  if (graph::asConstant(olds) == 0)
    return fresh;
  Tensor fromOld = op.gather(old, {Operand(positions(false), {0, 2})}, {0, 1, -1, 3}, dims);
  Tensor fromFresh = op.gather(fresh, {Operand(positions(true), {0, 2})}, {0, 1, -1, 3}, dims);
  return op.map(fresh.dtype, fresh.dtype, {fromOld, fromFresh, Operand::raw(op.reshape(past, {dims[0], op.constant(1), op.constant(1), op.constant(1)}))},
                [&](Scalars &s, ValueRange v) {
                  Scalars i(s.b, s.loc, ScalarType::Long);
                  return s.select(i.compare(Compare::Lt, op.index(i, 2), v[2]), v[0], v[1]);
                });
}

static LogicalResult convertGroupQueryAttention(Op &op) {
  Tensor query = op.tensor(0), key = op.optionalTensor(1), value = op.optionalTensor(2), oldKey = op.optionalTensor(3),
         oldValue = op.optionalTensor(4), lengths = op.tensor(5), cosines = op.optionalTensor(7),
         sines = op.optionalTensor(8), positions = op.optionalTensor(9), added = op.optionalTensor(10);
  int64_t heads = op.integer("num_heads"), groups = op.integer("kv_num_heads");
  if (op.isBad())
    return failure();
  for (unsigned i = 11; i < op.numInputs(); ++i)
    if (op.has(i))
      return op.unsupported("with a head sink, a quantized cache or norms of queries and keys");
  if (op.integer("smooth_softmax", 0) > 0 || op.integer("qk_output", 0) > 0 || op.integer("causal", 1) == 0)
    return op.unsupported("with a smooth softmax, scores as a result or without causality");
  if (heads < 1 || groups < 1 || query.rank() != 3)
    return op.error("needs a query of rank 3 and positive numbers of heads");
  if (!key) { // packed: all heads of queries, then of keys, then of values
    std::optional<int64_t> all = graph::asConstant(query.dim(2));
    if (!all || *all % (heads + 2 * groups))
      return op.error("has a packed query that its heads do not divide");
    int64_t width = *all / (heads + 2 * groups);
    auto part = [&](int64_t from, int64_t count) {
      return op.slice(query, 2, op.constant(from * width), op.constant(count * width));
    };
    key = part(heads, groups), value = part(heads + groups, groups), query = part(0, heads);
  }
  Tensor q = splitHeads(op, query, heads), k = splitHeads(op, key, groups), v = splitHeads(op, value, groups);
  if (!q || !k || !v)
    return failure();
  AffineExpr batch = q.dim(0), fresh = q.dim(2);
  // seqlens_k says how many keys each sequence has in the end, less one.
  Tensor past = op.map(ScalarType::Long, ScalarType::Long, {op.reshape(lengths, {batch})}, [&](Scalars &s, ValueRange x) {
    return s.max(s.sub(s.add(x[0], s.integer(1)), op.sizeValue(s, fresh)), s.integer(0));
  });
  if (op.integer("do_rotary", 0) != 0) {
    if (!positions)
      positions = op.map(
          ScalarType::Long, ScalarType::Long, {Operand(past, {0})},
          [&](Scalars &s, ValueRange x) { return s.add(x[0], op.index(s, 1)); }, ScalarType::Unknown, Dims{batch, fresh});
    if (!cosines || !sines || !positions)
      return op.isBad() ? failure() : op.error("rotates without caches");
    Tensor c = op.take(cosines, positions, 0), n = op.take(sines, positions, 0);
    int64_t width = 2 * graph::asConstant(cosines.dim(1)).value_or(0);
    bool isInterleaved = op.integer("rotary_interleaved", 0) != 0;
    q = rotate(op, q, c, n, width, isInterleaved);
    k = rotate(op, k, c, n, width, isInterleaved);
  }
  AffineExpr total = oldKey ? graph::normalize(oldKey.dim(2) + fresh) : fresh;
  if (std::optional<Dims> declared = op.declaredDims(1); declared && declared->size() == 4 && (*declared)[2])
    total = (*declared)[2];
  if (!q || !k)
    return failure();
  k = appendToCache(op, oldKey, k, past, total);
  v = appendToCache(op, oldValue, v, past, total);
  AttentionSpec spec;
  spec.query = q, spec.key = k, spec.value = v, spec.mask = added;
  spec.isCausal = true;
  spec.offsets = oldKey ? past : Tensor();
  spec.softcap = op.real("softcap", 0.0);
  int64_t window = op.integer("local_window_size", -1);
  spec.left = window > 0 ? window - 1 : -1;
  std::optional<int64_t> width = graph::asConstant(q.dim(3));
  double scale = op.real("scale", 0.0);
  if (scale == 0 && !width)
    return op.unsupported("over a symbolic head size");
  spec.scale = scale != 0 ? scale : 1 / std::sqrt(static_cast<double>(std::max<int64_t>(*width, 1)));
  auto [result, scores] = buildAttention(op, spec, ScoreStage::None);
  return op.finish({joinHeads(op, result), k, v});
}

void populateMicrosoftAttention(ConverterTable &t) {
  t["com.microsoft.MultiHeadAttention"] = convertMultiHeadAttention;
  t["com.microsoft.Attention"] = convertMicrosoftAttention;
  t["com.microsoft.GroupQueryAttention"] = convertGroupQueryAttention;
}

} // namespace tenon::onnx_import
