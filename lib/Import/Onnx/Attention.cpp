// Attention: one graph.attention where only its result is wanted, the plain formula where scores are.
#include "Attention.h"
#include "Importer.h"

using namespace mlir;
using tenon::graph::Dims;
using tenon::graph::ReduceKind;

namespace tenon::onnx_import {

Tensor splitHeads(Op &op, Tensor x, int64_t heads) {
  if (!x || heads < 1)
    return x ? op.errorTensor("needs a positive number of heads") : x;
  std::optional<int64_t> width = graph::asConstant(x.dim(2));
  if (!width || *width % heads)
    return op.errorTensor("has a last dimension that " + Twine(heads) + " heads do not divide");
  return op.permute(op.reshape(x, {x.dim(0), x.dim(1), op.constant(heads), op.constant(*width / heads)}), {0, 2, 1, 3});
}

Tensor joinHeads(Op &op, Tensor x) { return x ? op.flatten(op.permute(x, {0, 2, 1, 3}), 2, 3) : x; }

/// The mask with rank 4 and as many keys as there are.
static Tensor completeMask(Op &op, Tensor mask, AffineExpr keys) {
  if (!mask || mask.rank() == 0 || mask.rank() > 4)
    return mask ? op.errorTensor("has a mask of rank " + Twine(mask.rank())) : mask;
  while (mask && mask.rank() < 4)
    mask = op.unsqueeze(mask, 0);
  std::optional<int64_t> missing = graph::asConstant(graph::normalize(keys - mask.dim(3)));
  if (missing && *missing > 0) {
    Dims low(4, op.constant(0)), high = low;
    high[3] = op.constant(*missing);
    mask = op.pad(mask, low, high, mask.dtype == ScalarType::Bool ? 0 : -std::numeric_limits<double>::infinity());
  }
  return mask;
}

/// Which keys take part by their positions, at all points of `dims` [B, H, S, T]. `offsets` and `lengths` are the spec's,
/// or what stands for them in a region.
static Tensor keepByPosition(Op &op, const AttentionSpec &spec, Tensor offsets, Tensor lengths, ArrayRef<AffineExpr> dims) {
  SmallVector<Operand> operands;
  for (Tensor tensor : {offsets, lengths})
    if (tensor)
      operands.push_back(Operand(tensor, {0}));
  return op.map(
      ScalarType::Bool, ScalarType::Long, operands,
      [&](Scalars &s, ValueRange v) {
        Value key = op.index(s, 3), at = op.index(s, 2), keep = s.boolean(true);
        if (offsets)
          at = s.add(at, v[0]);
        else if (spec.offset)
          at = s.add(at, op.sizeValue(s, spec.offset));
        auto require = [&](Compare how, Value l, Value r) { keep = s.both(keep, s.compare(how, l, r)); };
        if (spec.isCausal)
          require(Compare::Le, key, at);
        if (spec.left >= 0)
          require(Compare::Le, s.sub(at, key), s.integer(spec.left));
        if (spec.right >= 0)
          require(Compare::Le, s.sub(key, at), s.integer(spec.right));
        if (lengths)
          require(Compare::Lt, key, v.back());
        return keep;
      },
      ScalarType::Bool, Dims(dims));
}

static bool looksAtPositions(const AttentionSpec &spec) {
  return spec.isCausal || spec.left >= 0 || spec.right >= 0 || spec.lengths;
}

static Tensor softcap(Op &op, Tensor scores, double cap) {
  if (cap == 0)
    return scores;
  return op.unary(scores, [&](Scalars &s, Value v) {
    return s.mul(s.make<math::TanhOp>(s.div(v, s.number(cap))), s.number(cap));
  });
}

/// Step by step.
static std::pair<Tensor, Tensor> byFormula(Op &op, AttentionSpec spec, ScoreStage stage) {
  ScalarType type = spec.query.dtype, work = computeType(type);
  Tensor q = op.convert(spec.query, work), k = op.convert(spec.key, work), v = op.convert(spec.value, work);
  std::optional<int64_t> heads = graph::asConstant(q.dim(1)), groups = graph::asConstant(k.dim(1));
  Dims dims = q.dims();
  dims[3] = k.dim(2);
  Dims grouped = {q.dim(0), k.dim(1), op.constant(*heads / *groups), q.dim(2), q.dim(3)};
  Tensor scores = op.contract(op.scale(op.reshape(q, grouped), spec.scale), "bgrsd", k, "bgtd", "bgrst");
  scores = op.reshape(scores, dims);
  Tensor shown = stage == ScoreStage::Products ? scores : Tensor();
  scores = softcap(op, scores, spec.softcap);
  if (stage == ScoreStage::Capped)
    shown = scores;
  // What takes no part is chosen away, not added: its score may be infinite or NaN.
  double infinity = std::numeric_limits<double>::infinity();
  auto drop = [&](Tensor keep) {
    scores = op.map(work, work, {scores, Operand::raw(keep)},
                    [&](Scalars &s, ValueRange x) { return s.select(x[1], x[0], s.number(-infinity)); });
  };
  if (spec.mask && spec.mask.dtype == ScalarType::Bool)
    drop(spec.mask);
  else if (spec.mask)
    scores = op.map(work, work, {scores, op.convert(spec.mask, work)}, [&](Scalars &s, ValueRange x) {
      return s.select(s.compare(Compare::Eq, x[1], s.number(-infinity)), x[1], s.add(x[0], x[1]));
    });
  if (looksAtPositions(spec)) {
    Dims points{spec.offsets || spec.lengths ? dims[0] : op.constant(1), op.constant(1), dims[2], dims[3]};
    drop(keepByPosition(op, spec, spec.offsets, spec.lengths, points));
  }
  if (stage == ScoreStage::Biased)
    shown = scores;
  Tensor largest = op.reduceDims(ReduceKind::Max, scores, {3}, true);
  Tensor powers = op.binary(scores, largest, [&](Scalars &s, Value x, Value top) {
    Value none = s.compare(Compare::Eq, top, s.number(-infinity));
    return s.select(none, s.number(0), s.make<math::ExpOp>(s.sub(x, top)));
  });
  Tensor sum = op.reduceDims(ReduceKind::Sum, powers, {3}, true);
  Tensor weights = op.binary(powers, sum, [&](Scalars &s, Value x, Value total) {
    return s.select(s.compare(Compare::Eq, total, s.number(0)), x, s.div(x, total));
  });
  if (stage == ScoreStage::Weights)
    shown = weights;
  grouped[4] = dims[3];
  Tensor result = op.contract(op.reshape(weights, grouped), "bgrst", v, "bgte", "bgrse");
  if (!result)
    return {};
  dims[3] = v.dim(3);
  return {op.convert(op.reshape(result, dims), type), op.convert(shown, type)};
}

static AffineMapAttr mapOfMask(Op &op, Tensor &mask, ArrayRef<AffineExpr> point) {
  Dims want = mask.dims();
  SmallVector<AffineExpr> results;
  for (auto [i, size] : llvm::enumerate(want)) {
    bool isUnit = graph::asConstant(size) == 1 && point[i] != size;
    results.push_back(isUnit ? op.constant(0) : getAffineDimExpr(i, op.context()));
    size = isUnit ? size : point[i];
  }
  mask = op.withDims(mask, want);
  return AffineMapAttr::get(AffineMap::get(4, 0, results, op.context()));
}

std::pair<Tensor, Tensor> buildAttention(Op &op, AttentionSpec spec, ScoreStage stage) {
  Tensor &q = spec.query, &k = spec.key, &v = spec.value;
  if (op.isBad() || !q || !k || !v)
    return {};
  if (q.rank() != 4 || k.rank() != 4 || v.rank() != 4)
    return (void)op.error("has query, key and value of different ranks"), std::pair<Tensor, Tensor>();
  ScalarType type = q.dtype;
  k = op.convert(k, type), v = op.convert(v, type);
  Dims keyDims = k.dims(), valueDims = v.dims();
  keyDims[0] = valueDims[0] = q.dim(0);
  keyDims[3] = q.dim(3);
  valueDims[1] = keyDims[1], valueDims[2] = keyDims[2];
  k = op.withDims(k, keyDims), v = op.withDims(v, valueDims);
  std::optional<int64_t> heads = graph::asConstant(q.dim(1)), groups = graph::asConstant(keyDims[1]);
  if (!heads || !groups || *groups == 0 || *heads % *groups)
    return op.isBad() ? std::pair<Tensor, Tensor>()
                      : ((void)op.error("has numbers of heads that do not divide"), std::pair<Tensor, Tensor>());
  if (spec.mask)
    spec.mask = completeMask(op, spec.mask, keyDims[2]);
  for (Tensor *perBatch : {&spec.offsets, &spec.lengths})
    if (*perBatch)
      *perBatch = op.withDims(op.convert(*perBatch, ScalarType::Long), {q.dim(0)});
  if (op.isBad())
    return {};
  if (stage != ScoreStage::None)
    return byFormula(op, spec, stage);

  Dims point = q.dims(), dims = q.dims();
  point[3] = keyDims[2];
  dims[3] = valueDims[3];
  AffineMapAttr maskMap;
  if (spec.mask) {
    if (spec.mask.dtype != ScalarType::Bool)
      spec.mask = op.convert(spec.mask, type);
    maskMap = mapOfMask(op, spec.mask, point);
    if (!spec.mask)
      return {};
  }
  OpBuilder &b = op.b;
  bool isAtTop = !spec.offsets && (!spec.offset || graph::asConstant(spec.offset) == 0);
  bool isPlainCausal = spec.isCausal && isAtTop && spec.left < 0 && spec.right < 0 && !spec.lengths;
  bool hasRegion = spec.softcap != 0 || (looksAtPositions(spec) && !isPlainCausal);
  SmallVector<Value> captures;
  for (Tensor tensor : {spec.offsets, spec.lengths})
    if (hasRegion && tensor)
      captures.push_back(tensor.value);
  auto attention = graph::AttentionOp::create(
      b, op.loc, graph::makeTensorType(dims, q.type().getElementType()), q.value, k.value, v.value,
      spec.mask ? spec.mask.value : Value(), captures, b.getF64FloatAttr(spec.scale),
      isPlainCausal ? b.getUnitAttr() : UnitAttr(), b.getUnitAttr(), maskMap);
  if (hasRegion) {
    OpBuilder::InsertionGuard guard(b);
    Block *block = b.createBlock(&attention.getBody());
    ScalarType working = type == ScalarType::Double ? ScalarType::Double : ScalarType::Float;
    Tensor scores{block->addArgument(attention.getScoreType(), op.loc), working};
    Tensor inside[2];
    for (auto [own, outside] : llvm::zip(inside, std::initializer_list<Tensor>{spec.offsets, spec.lengths}))
      if (outside)
        own = {block->addArgument(outside.value.getType(), op.loc), ScalarType::Long};
    SmallVector<Value> values{softcap(op, scores, spec.softcap).value};
    if (looksAtPositions(spec) && !isPlainCausal)
      values.push_back(keepByPosition(op, spec, inside[0], inside[1], point).value);
    if (op.isBad() || llvm::is_contained(values, Value()))
      return {};
    graph::YieldOp::create(b, op.loc, values);
  }
  return {Tensor{attention.getResult(), type}, Tensor()};
}

//===----------------------------------------------------------------------===//
// ai.onnx
//===----------------------------------------------------------------------===//

static LogicalResult convertAttention(Op &op) {
  AttentionSpec spec;
  spec.query = op.tensor(0), spec.key = op.tensor(1), spec.value = op.tensor(2);
  spec.mask = op.optionalTensor(3);
  Tensor pastKey = op.optionalTensor(4), pastValue = op.optionalTensor(5), lengths = op.optionalTensor(6);
  if (op.isBad())
    return failure();
  int64_t rank = spec.query.rank();
  if ((rank != 3 && rank != 4) || spec.key.rank() != rank || spec.value.rank() != rank)
    return op.error("needs query, key and value of rank 3 or of rank 4");
  if (rank == 3) {
    int64_t heads = op.integer("q_num_heads"), groups = op.integer("kv_num_heads");
    spec.query = splitHeads(op, spec.query, heads);
    spec.key = splitHeads(op, spec.key, groups);
    spec.value = splitHeads(op, spec.value, groups);
  }
  if (op.isBad())
    return failure();
  if (static_cast<bool>(pastKey) != static_cast<bool>(pastValue))
    return op.error("has only one of the past key and the past value");
  spec.isCausal = op.integer("is_causal", 0) != 0;
  spec.left = op.integer("left_window_size", -1), spec.right = op.integer("right_window_size", -1);
  spec.softcap = op.real("softcap", 0.0);
  if (pastKey) {
    spec.offset = pastKey.dim(2);
    spec.key = op.concat({pastKey, spec.key}, 2);
    spec.value = op.concat({pastValue, spec.value}, 2);
  } else if (lengths) {
    AffineExpr queries = spec.query.dim(2);
    if (spec.isCausal || spec.left >= 0 || spec.right >= 0)
      spec.offsets = op.unary(op.convert(lengths, ScalarType::Long),
                              [&](Scalars &s, Value v) { return s.sub(v, op.sizeValue(s, queries)); });
  }
  spec.lengths = lengths;
  std::optional<int64_t> width = graph::asConstant(spec.query.dim(3));
  if (!width && !op.hasAttribute("scale"))
    return op.unsupported("over a symbolic head size");
  spec.scale = op.real("scale", 1 / std::sqrt(static_cast<double>(std::max<int64_t>(width.value_or(1), 1))));
  constexpr ScoreStage stages[] = {ScoreStage::Products, ScoreStage::Capped, ScoreStage::Biased, ScoreStage::Weights};
  int64_t mode = op.integer("qk_matmul_output_mode", 0);
  if (mode < 0 || mode > 3)
    return op.error("has the unknown qk_matmul_output_mode " + Twine(mode));
  auto [result, scores] = buildAttention(op, spec, op.isUsed(3) ? stages[mode] : ScoreStage::None);
  if (rank == 3)
    result = joinHeads(op, result);
  return op.finish({result, spec.key, spec.value, scores});
}

/// The preview's attention with functions on scores and on weights.
static LogicalResult convertFlexAttention(Op &op) {
  Tensor q = op.tensor(0), k = op.tensor(1), v = op.tensor(2);
  if (op.isBad())
    return failure();
  if (q.rank() != 4 || k.rank() != 4 || v.rank() != 4)
    return op.error("needs query, key and value of rank 4");
  std::optional<int64_t> heads = graph::asConstant(q.dim(1)), groups = graph::asConstant(k.dim(1)),
                         width = graph::asConstant(q.dim(3));
  if (!heads || !groups || *groups == 0 || *heads % *groups || (!width && !op.hasAttribute("scale")))
    return op.unsupported("over symbolic numbers or widths of heads, or numbers that do not divide");
  double scale = op.real("scale", 1 / std::sqrt(static_cast<double>(std::max<int64_t>(width.value_or(1), 1))));
  ScalarType type = v.dtype, work = op.dtype("softmax_precision", computeType(q.dtype));
  work = computeType(work);
  q = op.convert(q, work), k = op.convert(k, work), v = op.convert(v, work);
  Dims dims = q.dims();
  dims[3] = k.dim(2);
  Dims grouped = {q.dim(0), k.dim(1), op.constant(*heads / *groups), q.dim(2), q.dim(3)};
  Tensor scores = op.contract(op.scale(op.reshape(q, grouped), scale), "bgrsd", k, "bgtd", "bgrst");
  auto apply = [&](StringRef name, Tensor x) -> Tensor {
    const onnx::AttributeProto *attribute = op.attribute(name);
    if (!attribute || !x)
      return x;
    auto given = op.importer.importGraph(op, attribute->g(), Datum{.tensor = x});
    if (!given || given->size() != 1)
      return given ? op.errorTensor("has a function that does not give one result") : op.unsupportedTensor("with a function that cannot be imported");
    Tensor result = op.convert(op.materialize(given->front()), work);
    return result ? op.broadcast(result, x.dims()) : result;
  };
  scores = apply("score_mod", op.reshape(scores, dims));
  Tensor weights = apply("prob_mod", op.softmax(scores, 3));
  grouped[4] = dims[3];
  Tensor result = op.contract(op.reshape(weights, grouped), "bgrst", v, "bgte", "bgrse");
  dims[3] = v.dim(3);
  return op.finish(op.convert(op.reshape(result, dims), type));
}

void populateAttention(ConverterTable &t) {
  t["Attention"] = convertAttention;
  t["ai.onnx.preview.FlexAttention"] = convertFlexAttention;
}

} // namespace tenon::onnx_import
