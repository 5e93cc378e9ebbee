//===- SplitScans.cpp - long running combinations in blocks ---------------===//
#include "dialects/Graph/Transforms/Passes.h"

using namespace mlir;

namespace tenon::graph {
#define GEN_PASS_DEF_SPLITSCANSPASS
#include "dialects/Graph/Transforms/Passes.h.inc"
} // namespace tenon::graph

using namespace tenon;
using namespace tenon::graph;

/// Elements of a block: enough that totals and carries cost little, few enough that lines of ten thousands have several.
static constexpr int64_t kBlock = 1024;

/// `input` in the type that sums are kept in.
static Value widened(PatternRewriter &rewriter, Value input) {
  Type element = getElementTypeOrSelf(input.getType());
  if (!element.isF16() && !element.isBF16())
    return input;
  Type wide = rewriter.getF32Type();
  RankedTensorType type = withElementType(input.getType(), wide);
  return MapOp::build(rewriter, input.getLoc(), type, input, rewriter.getMultiDimIdentityMap(type.getRank()),
                      [&](OpBuilder &b, Location loc, ValueRange args) -> SmallVector<Value> {
                        return {arith::ExtFOp::create(b, loc, wide, args[0])};
                      })
      .getResult(0);
}

/// Whether the line may have more than one block.
static bool isLong(CumulateOp op) {
  AffineExpr length = getDim(op.getType(), op.getDim());
  if (std::optional<int64_t> known = asConstant(length))
    return *known > kBlock;
  auto function = op->getParentOfType<func::FuncOp>();
  auto symbols = function ? function->getAttrOfType<ArrayAttr>("graph.symbols") : ArrayAttr();
  if (!symbols)
    return true;
  SmallVector<std::pair<int64_t, int64_t>> ranges;
  for (SymbolAttr symbol : symbols.getAsRange<SymbolAttr>())
    ranges.emplace_back(symbol.getMin(), symbol.getMax());
  auto range = rangeOf(length, ranges);
  return !range || range->second > kBlock;
}

/// Gives the op blocks; the running combination of their totals is `carries`.
static CumulateOp split(CumulateOp op, PatternRewriter &rewriter) {
  int64_t dim = op.getDim();
  rewriter.setInsertionPoint(op);
  Location loc = op.getLoc();
  Value totals = op.getInput();
  Type element = getElementTypeOrSelf(totals.getType());
  AffineExpr blocks = normalize(getDim(op.getType(), dim).floorDiv(kBlock));
  Dims whole = getDims(op.getType());
  whole[dim] = normalize(blocks * kBlock);
  if (whole != getDims(op.getType())) {
    Dims origin(whole.size(), rewriter.getAffineConstantExpr(0));
    totals = SliceOp::create(rewriter, loc, makeTensorType(whole, element), totals,
                             DimsAttr::get(op.getContext(), origin),
                             rewriter.getDenseI64ArrayAttr(SmallVector<int64_t>(whole.size(), 1)));
  }
  Dims reduced = whole;
  reduced[dim] = blocks;
  Dims split = reduced;
  split.insert(split.begin() + dim + 1, rewriter.getAffineConstantExpr(kBlock));
  totals = widened(rewriter, ReshapeOp::create(rewriter, loc, makeTensorType(split, element), totals));
  totals = ReduceOp::create(rewriter, loc, makeTensorType(reduced, getElementTypeOrSelf(totals.getType())), op.getKind(),
                            totals, dim + 1);
  auto carries = CumulateOp::create(rewriter, loc, op.getKind(), totals, dim);
  rewriter.modifyOpInPlace(op, [&] {
    op.setBlock(kBlock);
    op.getCarriesMutable().assign(carries.getResult());
  });
  return carries;
}

namespace {
struct SplitScansPass final : graph::impl::SplitScansPassBase<SplitScansPass> {
  using SplitScansPassBase::SplitScansPassBase;
  void runOnOperation() override {
    SmallVector<CumulateOp> scans;
    getOperation()->walk([&](CumulateOp op) {
      bool multipliesFloats = op.getKind() == ReduceKind::Prod && isa<FloatType>(getElementTypeOrSelf(op.getType()));
      if (!op.getBlock() && !multipliesFloats && isLong(op))
        scans.push_back(op);
    });
    PatternRewriter rewriter(&getContext());
    while (!scans.empty()) {
      CumulateOp carries = split(scans.pop_back_val(), rewriter);
      // Of a symbolic line the totals count as few: a level more would cost every call something.
      if (asConstant(getDim(carries.getType(), carries.getDim())) && isLong(carries))
        scans.push_back(carries);
    }
  }
};
} // namespace
