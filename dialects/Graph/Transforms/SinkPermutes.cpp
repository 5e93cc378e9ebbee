//===- SinkPermutes.cpp - permutes move towards the results ---------------===//
#include "dialects/Graph/Transforms/Passes.h"

using namespace mlir;

namespace tenon::graph {
#define GEN_PASS_DEF_SINKPERMUTESPASS
#include "dialects/Graph/Transforms/Passes.h.inc"
} // namespace tenon::graph

using namespace tenon;
using namespace tenon::graph;

static SmallVector<int64_t> inverse(ArrayRef<int64_t> order) {
  SmallVector<int64_t> result(order.size());
  for (auto [i, dim] : llvm::enumerate(order))
    result[dim] = i;
  return result;
}

namespace {
/// A map whose full-size inputs are all permuted iterates in the order of the first of them; its result is permuted.
struct SinkPermuteBelowMap final : OpRewritePattern<MapOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(MapOp op, PatternRewriter &rewriter) const override {
    unsigned rank = op.getRank();
    std::optional<unsigned> chosen;
    for (auto [i, input] : llvm::enumerate(op.getInputs())) {
      AffineMap map = op.getMap(i);
      if (!map.isPermutation() || map.getNumResults() != rank)
        continue;
      if (map.isIdentity())
        return rewriter.notifyMatchFailure(op, "reads a full-size input in order");
      if (!chosen)
        chosen = i;
    }
    if (!chosen)
      return rewriter.notifyMatchFailure(op, "no full-size input is permuted");
    // New dimension j is the one that the chosen input has at j.
    AffineMap access = op.getMap(*chosen);
    SmallVector<int64_t> order; // new dim j = old dim order[j]
    for (AffineExpr expr : access.getResults())
      order.push_back(cast<AffineDimExpr>(expr).getPosition());
    SmallVector<int64_t> back = inverse(order); // old dim i = new dim back[i]
    SmallVector<AffineExpr> replacement;
    for (int64_t dim : back)
      replacement.push_back(rewriter.getAffineDimExpr(dim));
    SmallVector<AffineMap> maps;
    for (AffineMap map : op.getIndexingMaps().getAsValueRange<AffineMapAttr>())
      maps.push_back(map.replaceDimsAndSymbols(replacement, {}, rank, 0));
    SmallVector<Type> types;
    for (Type type : op.getResultTypes()) {
      Dims have = getDims(type), dims;
      for (int64_t dim : order)
        dims.push_back(have[dim]);
      types.push_back(makeTensorType(dims, getElementTypeOrSelf(type)));
    }
    auto fresh = MapOp::create(rewriter, op.getLoc(), types, op.getInputs(), rewriter.getAffineMapArrayAttr(maps));
    rewriter.inlineRegionBefore(op.getBody(), fresh.getBody(), fresh.getBody().end());
    if (fresh.getBody().getBlocks().size() > 1)
      rewriter.eraseBlock(&fresh.getBody().front());
    fresh.getBody().walk([&](IndexOp index) { index.setDim(back[index.getDim()]); });
    SmallVector<Value> results;
    for (Value result : fresh.getResults())
      results.push_back(PermuteOp::create(rewriter, op.getLoc(), result, back));
    rewriter.replaceOp(op, results);
    return success();
  }
};

/// A permute that keeps the order of the sizes that are not 1 moves nothing.
struct UnitPermuteToReshape final : OpRewritePattern<PermuteOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(PermuteOp op, PatternRewriter &rewriter) const override {
    Dims sizes = getDims(op.getInput().getType());
    int64_t last = -1;
    for (int64_t dim : op.getOrder()) {
      if (asConstant(sizes[dim]) == 1)
        continue;
      if (dim < last)
        return rewriter.notifyMatchFailure(op, "moves elements");
      last = dim;
    }
    rewriter.replaceOpWithNewOp<ReshapeOp>(op, op.getType(), op.getInput());
    return success();
  }
};

/// contract(permute(x)) -> contract(x) with the movement in the indexing map.
struct AbsorbPermuteIntoContract final : OpRewritePattern<ContractOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(ContractOp op, PatternRewriter &rewriter) const override {
    SmallVector<AffineMap> maps{op.getMap(0), op.getMap(1), op.getMap(2)};
    Value operands[] = {op.getLhs(), op.getRhs()};
    bool changed = false;
    for (auto [i, operand] : llvm::enumerate(operands)) {
      auto permute = operand.getDefiningOp<PermuteOp>();
      if (!permute)
        continue;
      SmallVector<AffineExpr> results(maps[i].getNumResults());
      for (auto [j, dim] : llvm::enumerate(permute.getOrder()))
        results[dim] = maps[i].getResult(j);
      maps[i] = AffineMap::get(maps[i].getNumDims(), 0, results, op.getContext());
      operand = permute.getInput();
      changed = true;
    }
    if (!changed)
      return rewriter.notifyMatchFailure(op, "no operand is a permute");
    rewriter.replaceOpWithNewOp<ContractOp>(op, op.getType(), operands[0], operands[1],
                                            rewriter.getAffineMapArrayAttr(maps));
    return success();
  }
};

/// contract(broadcast(x)) -> contract(x) where x is repeated along a dimension that the other operand has as well: it
/// is then one of the other operand alone, and a batch of products becomes a single one.
struct AbsorbBroadcastIntoContract final : OpRewritePattern<ContractOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(ContractOp op, PatternRewriter &rewriter) const override {
    for (unsigned i : {0u, 1u}) {
      auto broadcast = op->getOperand(i).getDefiningOp<BroadcastOp>();
      if (!broadcast)
        continue;
      Dims in = getDims(broadcast.getInput().getType()), out = getDims(broadcast.getType());
      SmallVector<AffineExpr> kept(out.size()); // of x, by dimension of the broadcast
      for (auto [size, dim] : llvm::zip(in, broadcast.getDims()))
        if (size == out[dim])
          kept[dim] = size;
      auto isIn = [&](unsigned number, AffineExpr dim) { return llvm::is_contained(op.getMap(number).getResults(), dim); };
      // The other operand gets dimensions of its own; it can have many only when it is not the one of the columns.
      ArrayRef<AffineExpr> order = op.getMap(2).getResults();
      bool fits = !order.empty() && isIn(i, order.back()) && !isIn(1 - i, order.back());
      SmallVector<AffineExpr> results;
      for (auto [dim, expr] : llvm::enumerate(op.getMap(i).getResults())) {
        if (kept[dim])
          results.push_back(expr);
        else
          fits &= isIn(1 - i, expr) && isIn(2, expr);
      }
      if (!fits)
        continue;
      Dims sizes;
      for (AffineExpr size : kept)
        if (size)
          sizes.push_back(size);
      Value source = broadcast.getInput();
      Type type = makeTensorType(sizes, getElementTypeOrSelf(source.getType()));
      if (source.getType() != type)
        source = ReshapeOp::create(rewriter, op.getLoc(), type, source);
      SmallVector<AffineMap> maps{op.getMap(0), op.getMap(1), op.getMap(2)};
      maps[i] = AffineMap::get(maps[i].getNumDims(), 0, results, op.getContext());
      rewriter.replaceOpWithNewOp<ContractOp>(op, op.getType(), i == 0 ? source : op.getLhs(),
                                              i == 1 ? source : op.getRhs(), rewriter.getAffineMapArrayAttr(maps));
      return success();
    }
    return rewriter.notifyMatchFailure(op, "no operand is a broadcast that can be left out");
  }
};

/// reduce(permute(x)) -> permute(reduce(x)).
struct SinkPermuteBelowReduce final : OpRewritePattern<ReduceOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(ReduceOp op, PatternRewriter &rewriter) const override {
    auto permute = op.getInput().getDefiningOp<PermuteOp>();
    if (!permute)
      return rewriter.notifyMatchFailure(op, "input is not a permute");
    ArrayRef<int64_t> order = permute.getOrder();
    SmallVector<int64_t> dims;
    for (int64_t dim : op.getDims())
      dims.push_back(order[dim]);
    llvm::sort(dims);
    // Kept dimensions of x in their own order, and where the result wants them.
    Dims sizes = getDims(permute.getInput().getType()), keptSizes;
    SmallVector<int64_t> kept, wanted;
    for (int64_t dim = 0; dim < static_cast<int64_t>(sizes.size()); ++dim)
      if (!llvm::is_contained(dims, dim)) {
        kept.push_back(dim);
        keptSizes.push_back(sizes[dim]);
      }
    for (auto [i, dim] : llvm::enumerate(order))
      if (!llvm::is_contained(op.getDims(), static_cast<int64_t>(i)))
        wanted.push_back(llvm::find(kept, dim) - kept.begin());
    Value result = ReduceOp::create(rewriter, op.getLoc(), makeTensorType(keptSizes, getElementTypeOrSelf(op.getType())),
                                    op.getKind(), permute.getInput(), dims);
    rewriter.replaceOpWithNewOp<PermuteOp>(op, result, wanted);
    return success();
  }
};

/// concat(permute(x), permute(y)) -> permute(concat(x, y)) for one order.
struct SinkPermuteBelowConcat final : OpRewritePattern<ConcatOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(ConcatOp op, PatternRewriter &rewriter) const override {
    ArrayRef<int64_t> order;
    SmallVector<Value> inputs;
    for (Value input : op.getInputs()) {
      auto permute = input.getDefiningOp<PermuteOp>();
      if (!permute || (!order.empty() && permute.getOrder() != order))
        return rewriter.notifyMatchFailure(op, "inputs are not permuted alike");
      order = permute.getOrder();
      inputs.push_back(permute.getInput());
    }
    Dims have = getDims(op.getType()), dims(have.size());
    for (auto [i, dim] : llvm::enumerate(order))
      dims[dim] = have[i];
    Value result = ConcatOp::create(rewriter, op.getLoc(), makeTensorType(dims, getElementTypeOrSelf(op.getType())),
                                    inputs, order[op.getDim()]);
    rewriter.replaceOpWithNewOp<PermuteOp>(op, result, order);
    return success();
  }
};

/// pad(permute(x)) -> permute(pad(x)).
struct SinkPermuteBelowPad final : OpRewritePattern<PadOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(PadOp op, PatternRewriter &rewriter) const override {
    auto permute = op.getInput().getDefiningOp<PermuteOp>();
    if (!permute)
      return rewriter.notifyMatchFailure(op, "input is not a permute");
    ArrayRef<int64_t> order = permute.getOrder();
    Dims have = getDims(op.getType());
    SmallVector<AffineExpr> dims(have.size()), low(have.size()), high(have.size());
    for (auto [i, dim] : llvm::enumerate(order)) {
      dims[dim] = have[i];
      low[dim] = op.getLow().getExprs()[i];
      high[dim] = op.getHigh().getExprs()[i];
    }
    Value result = PadOp::create(rewriter, op.getLoc(), makeTensorType(dims, getElementTypeOrSelf(op.getType())),
                                 permute.getInput(), DimsAttr::get(op.getContext(), low),
                                 DimsAttr::get(op.getContext(), high), op.getValue());
    rewriter.replaceOpWithNewOp<PermuteOp>(op, result, order);
    return success();
  }
};

struct SinkPermutesPass final : graph::impl::SinkPermutesPassBase<SinkPermutesPass> {
  using SinkPermutesPassBase::SinkPermutesPassBase;
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<SinkPermuteBelowMap, UnitPermuteToReshape, AbsorbPermuteIntoContract, AbsorbBroadcastIntoContract, SinkPermuteBelowReduce,
                 SinkPermuteBelowConcat, SinkPermuteBelowPad>(&getContext());
    MapOp::getCanonicalizationPatterns(patterns, &getContext()); // a map that absorbs a permute may then be sunk below
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};
} // namespace
