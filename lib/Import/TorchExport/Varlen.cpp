// Attention over packed sequences of different lengths (torch.nn.attention.varlen): each query row keeps a range of keys,
// whose ends follow from the cumulative lengths. The ranges are small tensors that the region of one graph.attention reads.
#include "Converter.h"

using namespace mlir;
using tenon::graph::Dims;

namespace tenon::torch_export {

namespace {
/// First key of each query row, and the one after the last.
struct KeyRanges {
  Tensor low, high;
};
/// What one sequence has in keys, for each sequence.
struct KeySequences {
  Tensor starts, counts;
};
} // namespace

/// [T, H, D] as [1, H, T, D].
static Tensor headsFirst(Op &op, Tensor x) { return op.unsqueeze(op.permute(x, {1, 0, 2}), 0); }

/// Pages of a pool in the order of the sequences: [pages, size, H, D] as [sequences * most * size, H, D].
static Tensor collectPages(Op &op, Tensor pool, Tensor table) {
  Dims dims = pool.dims(), tableDims = table.dims();
  table = op.reshape(table, {tableDims[0], tableDims[1], op.constant(1), op.constant(1), op.constant(1)});
  Tensor pages = op.gather(pool, {table}, {-1, 2, 3, 4}, {tableDims[0], tableDims[1], dims[1], dims[2], dims[3]});
  return op.reshape(pages, {graph::normalize(tableDims[0] * tableDims[1] * dims[1]), dims[2], dims[3]});
}

/// Windows count from the diagonal that ends at the last query and the last key of a sequence; -1: no limit.
static KeyRanges makeRanges(Op &op, AffineExpr rows, Tensor offsets, const KeySequences &sequences, int64_t left,
                            int64_t right) {
  AffineExpr count = graph::normalize(offsets.dim(0) - 1);
  Tensor ends = op.slice(offsets, 0, op.constant(1), count);
  auto wide = [&](ArrayRef<Operand> operands, Op::Body body) { return op.map(ScalarType::Long, ScalarType::Long, operands, body); };
  Tensor positions = op.generate(ScalarType::Long, ScalarType::Long, {rows},
                                 [&](Scalars &s, ValueRange) { return op.index(s, 0); });
  // The sequence of a row: how many end before it.
  Tensor passed = wide({op.unsqueeze(positions, 1), op.unsqueeze(ends, 0)}, [&](Scalars &s, ValueRange x) {
    return s.select(s.compare(Compare::Ge, x[0], x[1]), s.integer(1), s.integer(0));
  });
  Tensor sequence = op.reduce(graph::ReduceKind::Sum, passed, {1});
  sequence = wide({sequence}, [&](Scalars &s, ValueRange x) {
    Value last = s.sub(op.sizeValue(s, count), s.integer(1));
    return s.select(s.compare(Compare::Lt, x[0], last), x[0], last);
  });
  auto ofRow = [&](Tensor perSequence) { return op.gather(perSequence, {sequence}, {-1}, {rows}); };
  Tensor end = ofRow(ends), first = ofRow(sequences.starts), keys = ofRow(sequences.counts);
  // The key on the diagonal.
  Tensor diagonal = wide({positions, end, first, keys}, [&](Scalars &s, ValueRange x) {
    return s.sub(s.add(x[2], x[3]), s.sub(x[1], x[0]));
  });
  KeyRanges ranges;
  ranges.low = wide({first, diagonal}, [&](Scalars &s, ValueRange x) {
    if (left < 0)
      return x[0];
    Value limit = s.sub(x[1], s.integer(left));
    return s.select(s.compare(Compare::Lt, x[0], limit), limit, x[0]);
  });
  // Rows behind the last sequence keep nothing.
  ranges.high = wide({positions, end, first, keys, diagonal}, [&](Scalars &s, ValueRange x) {
    Value high = s.select(s.compare(Compare::Lt, x[0], x[1]), s.add(x[2], x[3]), x[2]);
    if (right < 0)
      return high;
    Value limit = s.add(x[4], s.integer(right + 1));
    return s.select(s.compare(Compare::Lt, limit, high), limit, high);
  });
  return ranges;
}

static LogicalResult convertVarlen(Op &op) {
  Tensor query = op.tensor("query"), key = op.tensor("key"), value = op.tensor("value"), offsets = op.tensor("cu_seq_q");
  Tensor keyOffsets = op.optionalTensor("cu_seq_k"), used = op.optionalTensor("seqused_k"),
         table = op.optionalTensor("block_table");
  if (op.isBad())
    return failure();
  if (op.isUsed(1) || op.isUsed(2))
    return op.unsupported("with its log-sum-exp as a result");
  SmallVector<int64_t> window = op.has("window_size") ? op.integers("window_size") : SmallVector<int64_t>{-1, -1};
  if (window.size() != 2 || query.rank() != 3)
    return op.error("has a window or a query of another form");
  int64_t left = window[0], right = op.flag("is_causal", false) ? 0 : window[1];
  std::optional<int64_t> width = graph::asConstant(query.dim(2));
  if (!op.has("scale") && !width)
    return op.unsupported("over a symbolic head size");
  double scale = op.has("scale") ? op.number("scale") : 1 / std::sqrt(static_cast<double>(std::max<int64_t>(*width, 1)));
  offsets = op.convert(offsets, ScalarType::Long);
  KeySequences sequences;
  if (table) {
    if (!used || key.rank() != 4 || value.rank() != 4)
      return op.error("has a block table but no lengths of the sequences, or keys that are no pages");
    // Each sequence has room for all its pages.
    AffineExpr room = graph::normalize(table.dim(1) * key.dim(1));
    sequences.starts = op.generate(ScalarType::Long, ScalarType::Long, {table.dim(0)}, [&](Scalars &s, ValueRange) {
      return s.mul(op.index(s, 0), op.sizeValue(s, room));
    });
    table = op.wrapIndices(table, key.dim(0));
    key = collectPages(op, key, table);
    value = collectPages(op, value, table);
  } else {
    if (!keyOffsets || key.rank() != 3 || value.rank() != 3)
      return op.error("has no offsets of the keys' sequences, or keys of another rank");
    keyOffsets = op.convert(keyOffsets, ScalarType::Long);
    AffineExpr count = graph::normalize(keyOffsets.dim(0) - 1);
    sequences.starts = op.slice(keyOffsets, 0, op.constant(0), count);
    Tensor ends = op.slice(keyOffsets, 0, op.constant(1), count);
    sequences.counts = op.map(ScalarType::Long, ScalarType::Long, {sequences.starts, ends},
                              [](Scalars &s, ValueRange x) { return s.sub(x[1], x[0]); });
  }
  if (used)
    sequences.counts = op.convert(used, ScalarType::Long);
  KeyRanges ranges = makeRanges(op, query.dim(0), offsets, sequences, left, right);
  if (!ranges.low || !ranges.high || op.isBad())
    return op.isBad() ? failure() : op.error("cannot be built");

  Dims resultDims = query.dims(), keyDims = key.dims(), valueDims = value.dims();
  keyDims[2] = query.dim(2);
  valueDims[0] = keyDims[0];
  valueDims[1] = keyDims[1];
  resultDims[2] = valueDims[2];
  Tensor q = headsFirst(op, query), k = headsFirst(op, op.withDims(key, keyDims)), v = headsFirst(op, op.withDims(value, valueDims));
  if (!q || !k || !v)
    return failure();
  OpBuilder &b = op.b;
  Dims dims = q.dims();
  dims[3] = v.dim(3);
  auto attention = graph::AttentionOp::create(b, op.loc, graph::makeTensorType(dims, q.type().getElementType()), q.value,
                                              k.value, v.value, Value(), ValueRange{ranges.low.value, ranges.high.value},
                                              b.getF64FloatAttr(scale), UnitAttr(), b.getUnitAttr(), AffineMapAttr());
  {
    OpBuilder::InsertionGuard guard(b);
    RankedTensorType scoreType = attention.getScoreType();
    Block *block = b.createBlock(&attention.getBody());
    Value scores = block->addArgument(scoreType, op.loc);
    SmallVector<Value> ends;
    for (Value capture : attention.getCaptures())
      ends.push_back(block->addArgument(capture.getType(), op.loc));
    AffineMap ofRow = AffineMap::get(4, 0, b.getAffineDimExpr(2), b.getContext());
    auto keep = graph::MapOp::build(b, op.loc, graph::withElementType(scoreType, b.getI1Type()), ends, {ofRow, ofRow},
                                    [](OpBuilder &b, Location loc, ValueRange x) -> SmallVector<Value> {
                                      Value at = graph::IndexOp::create(b, loc, b.getI64Type(), 3);
                                      Value isIn = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::sge, at, x[0]);
                                      Value isBefore = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, at, x[1]);
                                      return {arith::AndIOp::create(b, loc, isIn, isBefore)};
                                    });
    graph::YieldOp::create(b, op.loc, ValueRange{scores, keep.getResult(0)});
  }
  Tensor out{attention.getResult(), query.dtype};
  Tensors results(std::max<size_t>(op.node.resultNames().size(), 1));
  results[0] = op.permute(op.reshape(out, {dims[1], dims[2], dims[3]}), {1, 0, 2});
  return op.finish(results);
}

void populateVarlen(ConverterTable &t) { t["torch_attn._varlen_attn"] = convertVarlen; }

} // namespace tenon::torch_export
