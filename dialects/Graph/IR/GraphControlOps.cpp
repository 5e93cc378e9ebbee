//===- GraphControlOps.cpp - control flow: verifiers, canonical forms -----===//
#include "dialects/Graph/IR/GraphChecks.h"

using namespace mlir;
using namespace tenon::graph;

bool tenon::graph::isControlFlow(Operation *op) { return isa<CondOp, ScanOp, WhileOp>(op); }

MutableOperandRange tenon::graph::getCaptures(Operation *op) {
  return TypeSwitch<Operation *, MutableOperandRange>(op).Case<CondOp, ScanOp, WhileOp>(
      [](auto o) { return o.getCapturesMutable(); });
}

void tenon::graph::eraseCapture(Operation *op, unsigned index) {
  MutableOperandRange captures = getCaptures(op);
  unsigned count = captures.size();
  for (Region &region : op->getRegions()) {
    Block &block = region.front();
    block.eraseArgument(block.getNumArguments() - count + index);
  }
  captures.erase(index);
}

//===----------------------------------------------------------------------===//
// Verifiers
//===----------------------------------------------------------------------===//

LogicalResult ScanOp::verify() {
  if (failed(checkSizesAreKnown(*this)))
    return failure();
  SmallVector<Type> takes, yields;
  AffineExpr length;
  auto sliceOf = [&](Type type) -> Type {
    Dims dims = getDims(type);
    if (dims.empty() || (length && length != dims[0]))
      return {};
    length = dims[0];
    return makeTensorType(ArrayRef(dims).drop_front(), getElementTypeOrSelf(type));
  };
  for (Type type : getCarry().getTypes()) {
    takes.push_back(type);
    yields.push_back(type);
  }
  for (Type type : getXs().getTypes())
    takes.push_back(sliceOf(type));
  for (Type type : getCaptures().getTypes())
    takes.push_back(type);
  if (getResults().size() < getCarry().size())
    return emitOpError("must give back every carried value");
  for (Type type : getResults().drop_front(getCarry().size()).getTypes())
    yields.push_back(sliceOf(type));
  if (llvm::is_contained(takes, Type()) || llvm::is_contained(yields, Type())) // (C2)
    return emitOpError("has xs or stacked results that differ in length");
  if (!length)
    return emitOpError("has neither xs nor stacked results, so no length");
  if (TypeRange(takes) != TypeRange(getBody().front().getArgumentTypes())) // (C1)
    return emitOpError("has a body that does not take the carried values, the slices and the captures");
  if (TypeRange(yields) != TypeRange(getBody().front().getTerminator()->getOperandTypes())) // (C2)
    return emitOpError("has a body that does not yield the carried values and the stacked slices");
  for (auto [carried, result] : llvm::zip(getCarry(), getResults()))
    if (carried.getType() != result.getType())
      return emitOpError("must keep the types of carried values");
  return success();
}

static LogicalResult checkRegion(Operation *op, StringRef name, Region &region, TypeRange takes, TypeRange yields) {
  auto text = [](TypeRange types) {
    std::string result;
    llvm::raw_string_ostream stream(result);
    llvm::interleaveComma(types, stream);
    return result;
  };
  if (takes != TypeRange(region.front().getArgumentTypes()))
    return op->emitOpError() << name << " takes (" << text(region.front().getArgumentTypes()) << ") but must take ("
                             << text(takes) << ")";
  TypeRange given = region.front().getTerminator()->getOperandTypes();
  if (yields != given)
    return op->emitOpError() << name << " yields (" << text(given) << ") but must yield (" << text(yields) << ")";
  return success();
}

LogicalResult CondOp::verify() {
  if (failed(checkSizesAreKnown(*this)))
    return failure();
  TypeRange takes = getCaptures().getTypes(), yields = getResultTypes();
  return success(succeeded(checkRegion(*this, "then", getThenBody(), takes, yields)) && // (C1) (C2)
                 succeeded(checkRegion(*this, "else", getElseBody(), takes, yields)));
}

LogicalResult WhileOp::verify() {
  if (failed(checkSizesAreKnown(*this)))
    return failure();
  SmallVector<Type> takes(getCarry().getTypes());
  llvm::append_range(takes, getCaptures().getTypes());
  Type predicate = RankedTensorType::get({}, IntegerType::get(getContext(), 1));
  return success(succeeded(checkRegion(*this, "condition", getCondition(), takes, predicate)) && // (C1) (C2)
                 succeeded(checkRegion(*this, "body", getBody(), takes, getCarry().getTypes())));
}

//===----------------------------------------------------------------------===//
// Canonical forms
//===----------------------------------------------------------------------===//

namespace {
/// Captures that no region reads go, those that come twice become one, and constants are made inside.
template <typename OpT> struct SimplifyCaptures final : OpRewritePattern<OpT> {
  using OpRewritePattern<OpT>::OpRewritePattern;
  LogicalResult matchAndRewrite(OpT op, PatternRewriter &rewriter) const override {
    ValueRange captures = op.getCaptures();
    unsigned count = captures.size();
    auto argument = [&](Region &region, unsigned i) {
      Block &block = region.front();
      return block.getArgument(block.getNumArguments() - count + i);
    };
    for (unsigned i = 0; i < count; ++i) {
      bool isRead = llvm::any_of(op->getRegions(), [&](Region &region) { return !argument(region, i).use_empty(); });
      auto first = llvm::find(captures, captures[i]);
      unsigned same = first - captures.begin();
      Operation *def = captures[i].getDefiningOp();
      bool isCheap = def && isa<ConstantOp, SizeOp>(def);
      if (isRead && same == i && !isCheap)
        continue;
      rewriter.modifyOpInPlace(op, [&] {
        for (Region &region : op->getRegions()) {
          BlockArgument arg = argument(region, i);
          if (arg.use_empty())
            continue;
          if (same != i) {
            rewriter.replaceAllUsesWith(arg, argument(region, same));
          } else {
            OpBuilder::InsertionGuard guard(rewriter);
            rewriter.setInsertionPointToStart(&region.front());
            rewriter.replaceAllUsesWith(arg, rewriter.clone(*def)->getResult(0));
          }
        }
        eraseCapture(op, i);
      });
      return success();
    }
    return rewriter.notifyMatchFailure(op, "every capture is read, once, and not constant");
  }
};

/// A cond whose predicate is known is the region that it chooses.
struct InlineKnownCond final : OpRewritePattern<CondOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(CondOp op, PatternRewriter &rewriter) const override {
    DenseElementsAttr value;
    if (!matchPattern(op.getPredicate(), m_Constant(&value)))
      return rewriter.notifyMatchFailure(op, "the predicate is not known");
    Block *block = &(value.getSplatValue<bool>() ? op.getThenBody() : op.getElseBody()).front();
    Operation *yield = block->getTerminator();
    SmallVector<Value> captures(op.getCaptures());
    rewriter.inlineBlockBefore(block, op, captures);
    rewriter.replaceOp(op, yield->getOperands());
    rewriter.eraseOp(yield);
    return success();
  }
};

/// Results that nobody reads, or that are one capture in both regions, go.
struct DropCondResults final : OpRewritePattern<CondOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(CondOp op, PatternRewriter &rewriter) const override {
    Operation *yields[] = {op.getThenBody().front().getTerminator(), op.getElseBody().front().getTerminator()};
    llvm::BitVector drop(op.getNumResults());
    for (OpResult result : op->getResults()) {
      unsigned i = result.getResultNumber();
      auto a = dyn_cast<BlockArgument>(yields[0]->getOperand(i)), b = dyn_cast<BlockArgument>(yields[1]->getOperand(i));
      if (a && b && a.getArgNumber() == b.getArgNumber())
        rewriter.replaceAllUsesWith(result, op.getCaptures()[a.getArgNumber()]);
      if (result.use_empty())
        drop.set(i);
    }
    if (drop.none())
      return rewriter.notifyMatchFailure(op, "every result is read and computed");
    SmallVector<Type> types;
    for (OpResult result : op->getResults())
      if (!drop.test(result.getResultNumber()))
        types.push_back(result.getType());
    for (Operation *yield : yields)
      rewriter.modifyOpInPlace(yield, [&] { yield->eraseOperands(drop); });
    auto fresh = CondOp::create(rewriter, op.getLoc(), types, op.getPredicate(), op.getCaptures());
    fresh.getThenBody().takeBody(op.getThenBody());
    fresh.getElseBody().takeBody(op.getElseBody());
    unsigned next = 0;
    for (OpResult result : op->getResults())
      if (!drop.test(result.getResultNumber()))
        rewriter.replaceAllUsesWith(result, fresh.getResult(next++));
    rewriter.eraseOp(op);
    return success();
  }
};

/// A value that the body passes on as it is, is a capture.
struct CaptureUnchangedCarry final : OpRewritePattern<WhileOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(WhileOp op, PatternRewriter &rewriter) const override {
    Block &body = op.getBody().front(), &condition = op.getCondition().front();
    Operation *yield = body.getTerminator();
    unsigned count = op.getCarry().size();
    for (unsigned i = 0; i < count; ++i) {
      if (yield->getOperand(i) != body.getArgument(i))
        continue;
      Value initial = op.getCarry()[i];
      SmallVector<Value> carry(op.getCarry()), captures(op.getCaptures());
      carry.erase(carry.begin() + i);
      captures.push_back(initial);
      rewriter.modifyOpInPlace(yield, [&] { yield->eraseOperand(i); });
      for (Block *block : {&body, &condition}) {
        Value moved = block->addArgument(initial.getType(), initial.getLoc());
        rewriter.replaceAllUsesWith(block->getArgument(i), moved);
        block->eraseArgument(i);
      }
      auto fresh = WhileOp::create(rewriter, op.getLoc(), ValueRange(carry).getTypes(), carry, captures);
      fresh.getCondition().takeBody(op.getCondition());
      fresh.getBody().takeBody(op.getBody());
      SmallVector<Value> results(fresh.getResults());
      results.insert(results.begin() + i, initial);
      rewriter.replaceOp(op, results);
      return success();
    }
    return rewriter.notifyMatchFailure(op, "every carried value changes");
  }
};
} // namespace

void ScanOp::getCanonicalizationPatterns(RewritePatternSet &patterns, MLIRContext *context) {
  patterns.add<SimplifyCaptures<ScanOp>>(context);
}
void CondOp::getCanonicalizationPatterns(RewritePatternSet &patterns, MLIRContext *context) {
  patterns.add<InlineKnownCond, DropCondResults, SimplifyCaptures<CondOp>>(context);
}
void WhileOp::getCanonicalizationPatterns(RewritePatternSet &patterns, MLIRContext *context) {
  patterns.add<CaptureUnchangedCarry, SimplifyCaptures<WhileOp>>(context);
}
