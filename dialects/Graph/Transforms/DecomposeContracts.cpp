//===- DecomposeContracts.cpp - rare contractions as product and sum ------===//
#include "dialects/Graph/Transforms/Passes.h"

using namespace mlir;

namespace tenon::graph {
#define GEN_PASS_DEF_DECOMPOSECONTRACTSPASS
#include "dialects/Graph/Transforms/Passes.h.inc"
} // namespace tenon::graph

using namespace tenon;
using namespace tenon::graph;

namespace {
struct DecomposeContract final : OpRewritePattern<ContractOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(ContractOp op, PatternRewriter &rewriter) const override {
    unsigned rank = op.getMap(0).getNumDims();
    SmallVector<bool> in[3];
    SmallVector<AffineExpr> sizes(rank);
    Value tensors[] = {op.getLhs(), op.getRhs(), op.getResult()};
    for (int i = 0; i < 3; ++i) {
      in[i].assign(rank, false);
      for (auto [d, expr] : llvm::enumerate(op.getMap(i).getResults())) {
        unsigned position = cast<AffineDimExpr>(expr).getPosition();
        in[i][position] = true;
        sizes[position] = getDim(tensors[i].getType(), d);
      }
    }
    SmallVector<unsigned> left, right, summed;
    for (unsigned d = 0; d < rank; ++d) {
      if (!in[2][d])
        summed.push_back(d);
      else if (in[0][d] && !in[1][d])
        left.push_back(d);
      else if (in[1][d] && !in[0][d])
        right.push_back(d);
    }
    // The innermost dimension of the result that one operand alone has is the columns'.
    std::optional<bool> columnsOnLeft;
    for (AffineExpr expr : op.getMap(2).getResults()) {
      unsigned d = cast<AffineDimExpr>(expr).getPosition();
      if (in[0][d] != in[1][d])
        columnsOnLeft = in[0][d];
    }
    bool innermostIsColumn = false;
    if (op.getMap(2).getNumResults() > 0) {
      unsigned d = cast<AffineDimExpr>(op.getMap(2).getResults().back()).getPosition();
      innermostIsColumn = in[0][d] != in[1][d];
    }
    unsigned columns = !columnsOnLeft ? 0 : *columnsOnLeft ? left.size() : right.size();
    if (summed.size() == 1 && columns == 1 && innermostIsColumn)
      return rewriter.notifyMatchFailure(op, "runs as it is");

    // Iteration space: the result's dimensions, then the summed ones.
    SmallVector<AffineExpr> position(rank);
    Dims full;
    for (AffineExpr expr : op.getMap(2).getResults()) {
      unsigned d = cast<AffineDimExpr>(expr).getPosition();
      position[d] = rewriter.getAffineDimExpr(full.size());
      full.push_back(sizes[d]);
    }
    SmallVector<int64_t> dims;
    for (unsigned d : summed) {
      position[d] = rewriter.getAffineDimExpr(full.size());
      dims.push_back(full.size());
      full.push_back(sizes[d]);
    }
    Type element = getElementTypeOrSelf(op.getType());
    Type accumulate = element.isF16() || element.isBF16() ? Type(rewriter.getF32Type()) : element;
    SmallVector<AffineMap> maps;
    for (int i = 0; i < 2; ++i)
      maps.push_back(op.getMap(i).replaceDimsAndSymbols(position, {}, full.size(), 0));
    auto convert = [](OpBuilder &b, Location loc, Value v, Type type) -> Value {
      if (v.getType() == type)
        return v;
      bool widen = v.getType().getIntOrFloatBitWidth() < type.getIntOrFloatBitWidth();
      if (isa<FloatType>(type))
        return widen ? arith::ExtFOp::create(b, loc, type, v).getResult()
                     : arith::TruncFOp::create(b, loc, type, v).getResult();
      return widen ? arith::ExtSIOp::create(b, loc, type, v).getResult()
                   : arith::TruncIOp::create(b, loc, type, v).getResult();
    };
    Location loc = op.getLoc();
    Value product = MapOp::build(rewriter, loc, makeTensorType(full, accumulate), {op.getLhs(), op.getRhs()}, maps,
                                 [&](OpBuilder &b, Location loc, ValueRange args) -> SmallVector<Value> {
                                   Value x = convert(b, loc, args[0], accumulate), y = convert(b, loc, args[1], accumulate);
                                   if (isa<FloatType>(accumulate))
                                     return {arith::MulFOp::create(b, loc, x, y)};
                                   return {arith::MulIOp::create(b, loc, x, y)};
                                 })
                        .getResult(0);
    if (!dims.empty())
      product = ReduceOp::create(rewriter, loc, withElementType(op.getType(), accumulate), ReduceKind::Sum, product, dims);
    if (accumulate != element) {
      AffineMap identity = rewriter.getMultiDimIdentityMap(op.getMap(2).getNumResults());
      product = MapOp::build(rewriter, loc, op.getType(), product, identity,
                             [&](OpBuilder &b, Location loc, ValueRange args) -> SmallVector<Value> {
                               return {convert(b, loc, args[0], element)};
                             })
                    .getResult(0);
    }
    rewriter.replaceOp(op, product);
    return success();
  }
};

struct DecomposeContractsPass final : graph::impl::DecomposeContractsPassBase<DecomposeContractsPass> {
  using DecomposeContractsPassBase::DecomposeContractsPassBase;
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<DecomposeContract>(&getContext());
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};
} // namespace
