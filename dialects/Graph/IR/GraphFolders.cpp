//===- GraphFolders.cpp - folds, canonical forms, builders ----------------===//
#include "dialects/Graph/IR/GraphDialect.h"

using namespace mlir;
using namespace tenon::graph;

OpFoldResult ConstantOp::fold(FoldAdaptor) { return getValue(); }

OpFoldResult PermuteOp::fold(FoldAdaptor adaptor) {
  if (llvm::equal(getOrder(), llvm::seq<int64_t>(0, getOrder().size())))
    return getInput();
  // permute(permute(x, a), b) -> permute(x, a∘b)
  if (auto inner = getInput().getDefiningOp<PermuteOp>()) {
    SmallVector<int64_t> order;
    for (int64_t dim : getOrder())
      order.push_back(inner.getOrder()[dim]);
    getInputMutable().assign(inner.getInput());
    setOrder(order);
    return getResult();
  }
  if (auto splat = dyn_cast_or_null<SplatElementsAttr>(adaptor.getInput()))
    return splat.resizeSplat(cast<ShapedType>(getType()));
  return {};
}

OpFoldResult ReshapeOp::fold(FoldAdaptor adaptor) {
  if (getInput().getType() == getType())
    return getInput();
  if (auto inner = getInput().getDefiningOp<ReshapeOp>()) {
    getInputMutable().assign(inner.getInput());
    return getResult();
  }
  if (auto dense = dyn_cast_or_null<DenseElementsAttr>(adaptor.getInput()))
    return dense.reshape(cast<ShapedType>(getType()));
  return {};
}

OpFoldResult BroadcastOp::fold(FoldAdaptor adaptor) {
  if (getInput().getType() == getType())
    return getInput();
  if (auto splat = dyn_cast_or_null<SplatElementsAttr>(adaptor.getInput()))
    if (cast<ShapedType>(getType()).hasStaticShape())
      return splat.resizeSplat(cast<ShapedType>(getType()));
  return {};
}

OpFoldResult SliceOp::fold(FoldAdaptor adaptor) {
  bool isWhole = llvm::all_of(getStrides(), [](int64_t s) { return s == 1; }) &&
                 llvm::all_of(getOffsets().getExprs(), [](AffineExpr e) { return asConstant(e) == 0; });
  if (isWhole && getInput().getType() == getType())
    return getInput();
  if (auto splat = dyn_cast_or_null<SplatElementsAttr>(adaptor.getInput()))
    if (cast<ShapedType>(getType()).hasStaticShape())
      return splat.resizeSplat(cast<ShapedType>(getType()));
  return {};
}

OpFoldResult PadOp::fold(FoldAdaptor) {
  // Equal types do not say that nothing is added: low s0 and high -s0 would cancel.
  auto isZero = [](AffineExpr e) { return asConstant(e) == 0; };
  bool addsNothing = llvm::all_of(getLow().getExprs(), isZero) && llvm::all_of(getHigh().getExprs(), isZero);
  return addsNothing && getInput().getType() == getType() ? OpFoldResult(getInput()) : OpFoldResult();
}

OpFoldResult ConcatOp::fold(FoldAdaptor) {
  return getInputs().size() == 1 && getInputs()[0].getType() == getType() ? OpFoldResult(getInputs()[0]) : OpFoldResult();
}

MapOp MapOp::build(OpBuilder &builder, Location loc, TypeRange results, ValueRange inputs, ArrayRef<AffineMap> maps,
                   function_ref<SmallVector<Value>(OpBuilder &, Location, ValueRange)> body) {
  auto op = MapOp::create(builder, loc, results, inputs, builder.getAffineMapArrayAttr(maps));
  OpBuilder::InsertionGuard guard(builder);
  Block *block = op.getBody().empty() ? builder.createBlock(&op.getBody()) : &op.getBody().front();
  for (Value input : inputs)
    block->addArgument(getElementTypeOrSelf(input.getType()), loc);
  builder.setInsertionPointToEnd(block);
  SmallVector<Value> values = body(builder, loc, block->getArguments());
  YieldOp::create(builder, loc, values);
  return op;
}

namespace {
/// map(permute(x)), map(broadcast(x)) -> map(x) with the movement in the indexing map.
struct AbsorbMovementIntoMap final : OpRewritePattern<MapOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(MapOp op, PatternRewriter &rewriter) const override {
    MLIRContext *context = op.getContext();
    SmallVector<Value> inputs(op.getInputs());
    SmallVector<AffineMap> maps(op.getIndexingMaps().getAsValueRange<AffineMapAttr>());
    bool changed = false;
    for (auto [input, map] : llvm::zip(inputs, maps)) {
      if (auto permute = input.getDefiningOp<PermuteOp>()) {
        SmallVector<AffineExpr> results(map.getNumResults());
        for (auto [i, dim] : llvm::enumerate(permute.getOrder()))
          results[dim] = map.getResult(i);
        input = permute.getInput();
        map = AffineMap::get(map.getNumDims(), 0, results, context);
        changed = true;
      } else if (auto broadcast = input.getDefiningOp<BroadcastOp>()) {
        Dims in = getDims(broadcast.getInput().getType()), out = getDims(broadcast.getType());
        SmallVector<AffineExpr> results;
        for (auto [size, dim] : llvm::zip(in, broadcast.getDims()))
          results.push_back(size == out[dim] ? map.getResult(dim) : getAffineConstantExpr(0, context));
        input = broadcast.getInput();
        map = AffineMap::get(map.getNumDims(), 0, results, context);
        changed = true;
      }
    }
    if (!changed)
      return rewriter.notifyMatchFailure(op, "no input is a permute or a broadcast");
    rewriter.modifyOpInPlace(op, [&] {
      op.getInputsMutable().assign(inputs);
      op.setIndexingMapsAttr(rewriter.getAffineMapArrayAttr(maps));
    });
    return success();
  }
};

/// A map's input that is a splat becomes a constant in the body; an input read twice the same way becomes one.
struct SimplifyMapInputs final : OpRewritePattern<MapOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(MapOp op, PatternRewriter &rewriter) const override {
    for (auto [i, input] : llvm::enumerate(op.getInputs())) {
      BlockArgument arg = op.getBlock()->getArgument(i);
      Value replacement;
      SplatElementsAttr splat;
      if (matchPattern(input, m_Constant(&splat))) {
        auto value = dyn_cast<TypedAttr>(splat.getSplatValue<Attribute>());
        if (!value || isa<ComplexType>(value.getType()) || !isa<FloatAttr, IntegerAttr>(value))
          continue;
        rewriter.setInsertionPointToStart(op.getBlock());
        replacement = arith::ConstantOp::create(rewriter, op.getLoc(), value);
      } else if (arg.use_empty()) {
        // Falls through to the erasure below.
      } else {
        for (unsigned j = 0; j < i && !replacement; ++j)
          if (op.getInputs()[j] == input && op.getMap(j) == op.getMap(i))
            replacement = op.getBlock()->getArgument(j);
        if (!replacement)
          continue;
      }
      rewriter.modifyOpInPlace(op, [&] {
        if (replacement)
          rewriter.replaceAllUsesWith(arg, replacement);
        SmallVector<AffineMap> maps(op.getIndexingMaps().getAsValueRange<AffineMapAttr>());
        maps.erase(maps.begin() + i);
        op.getBlock()->eraseArgument(i);
        op.getInputsMutable().erase(i);
        op.setIndexingMapsAttr(rewriter.getAffineMapArrayAttr(maps));
      });
      return success();
    }
    return rewriter.notifyMatchFailure(op, "no input to simplify");
  }
};

/// A map that yields one of its arguments, read in order, is that input.
struct DropIdentityMap final : OpRewritePattern<MapOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(MapOp op, PatternRewriter &rewriter) const override {
    SmallVector<Value> values;
    for (auto [value, result] :
         llvm::zip(cast<YieldOp>(op.getBlock()->getTerminator()).getValues(), op.getResults())) {
      auto arg = dyn_cast<BlockArgument>(value);
      if (!arg || !op.getMap(arg.getArgNumber()).isIdentity() ||
          op.getInputs()[arg.getArgNumber()].getType() != result.getType())
        return rewriter.notifyMatchFailure(op, "computes something");
      values.push_back(op.getInputs()[arg.getArgNumber()]);
    }
    rewriter.replaceOp(op, values);
    return success();
  }
};
} // namespace

void MapOp::getCanonicalizationPatterns(RewritePatternSet &patterns, MLIRContext *context) {
  patterns.add<AbsorbMovementIntoMap, SimplifyMapInputs, DropIdentityMap>(context);
}
