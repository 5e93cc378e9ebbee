// bf16 and f16 by way of f32: arithmetic is widened, conversions become integer code. Math functions are in
// ExpandMath.cpp.
#include "MathEmitter.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Transforms/WalkPatternRewriteDriver.h"
#include "tenon/Target/CPU/MathFunctions.h"
#include "tenon/Target/CPU/Passes.h"

using namespace mlir;

namespace tenon::cpu {
#define GEN_PASS_DEF_CONVERTHALFTYPESPASS
#include "tenon/Target/CPU/Passes.h.inc"

static bool isHalf(Type type) {
  auto vector = dyn_cast<VectorType>(type);
  if (isa<ShapedType>(type) && (!vector || vector.isScalable()))
    return false;
  return getElementTypeOrSelf(type).isF16() || getElementTypeOrSelf(type).isBF16();
}

static Int halfBits(MathEmitter &e, Value v) {
  return e.wrapInt(arith::BitcastOp::create(e.builder(), e.loc(), e.intType(16), v));
}

static Value fromHalfBits(Int bits, Type type) {
  return arith::BitcastOp::create(bits.e->builder(), bits.e->loc(), type, truncate(bits, 16).v);
}

/// Exact. `v` is bf16 or f16, the result f32.
static Value widenHalf(OpBuilder &b, Location loc, Value v, const ConvertHalfTypesOptions &options) {
  MathEmitter e(b, loc, v.getType(), /*hasFMA=*/false);
  bool isF16 = getElementTypeOrSelf(v.getType()).isF16();
  if (isF16 && options.hasF16C)
    return arith::ExtFOp::create(b, loc, e.floatType(32), v);
  Int bits = extendUnsigned(halfBits(e, v), 32);
  if (!isF16)
    return fromBits(bits << 16).v;
  // Move the fields into place; a multiplication corrects the exponent and normalises denormals.
  Int size = bits & 0x7fff;
  Int moved = size << 13;
  Int finite = bitsOf(fromBits(moved) * 0x1p112);
  Int word = select(lessUnsigned(size, 0x7c00), finite, moved | 0x7f800000);
  return fromBits(word | ((bits & 0x8000) << 16)).v;
}

/// To nearest even; NaN stays NaN and becomes quiet. `v` is f32, `type` its bf16 or f16 counterpart.
static Value narrowToHalf(OpBuilder &b, Location loc, Value v, Type type, const ConvertHalfTypesOptions &options) {
  MathEmitter e(b, loc, type, /*hasFMA=*/false);
  bool isF16 = getElementTypeOrSelf(type).isF16();
  if (isF16 ? options.hasF16C : options.hasBF16)
    return arith::TruncFOp::create(b, loc, type, v);
  Float x = e.wrap(v);
  Int bits = bitsOf(x);
  if (!isF16) {
    Int high = shiftRight(bits, 16);
    Int rounded = shiftRight(bits + ((high & 1) + 0x7fff), 16);
    return fromHalfBits(select(isNan(x), high | 0x40, rounded), type);
  }
  Int size = bits & 0x7fffffff;
  Int sign = shiftRight(bits & 0x80000000u, 16);
  // Normal: rebase the exponent and round at bit 13; a carry may reach infinity, which is right.
  Int normal = shiftRight(size + ((shiftRight(size, 13) & 1) + (0xfffull - (112ull << 23))), 13);
  // Denormal: adding 1/2 leaves exactly the bits that f16 has, rounded.
  Int denormal = bitsOf(fromBits(size) + 0.5) - 0x3f000000;
  Int word = select(lessUnsigned(size, 0x38800000), denormal, normal);
  word = select(lessUnsigned(size, 0x47800000), word, literal(word, 0x7c00));
  word = select(isNan(x), (shiftRight(size, 13) & 0x3ff) | 0x7e00, word);
  return fromHalfBits(word | sign, type);
}

namespace {
struct ConvertExtF final : OpRewritePattern<arith::ExtFOp> {
  ConvertExtF(MLIRContext *context, ConvertHalfTypesOptions options) : OpRewritePattern(context), options(options) {}
  ConvertHalfTypesOptions options;
  LogicalResult matchAndRewrite(arith::ExtFOp op, PatternRewriter &rewriter) const final {
    if (!isHalf(op.getIn().getType()))
      return rewriter.notifyMatchFailure(op, "not from bf16 or f16");
    Type element = getElementTypeOrSelf(op.getType());
    if (element.isF32() && options.hasF16C && getElementTypeOrSelf(op.getIn().getType()).isF16())
      return rewriter.notifyMatchFailure(op, "the target has an instruction");
    Value wide = widenHalf(rewriter, op.getLoc(), op.getIn(), options);
    if (!element.isF32())
      wide = arith::ExtFOp::create(rewriter, op.getLoc(), op.getType(), wide);
    rewriter.replaceOp(op, wide);
    return success();
  }
};

struct ConvertTruncF final : OpRewritePattern<arith::TruncFOp> {
  ConvertTruncF(MLIRContext *context, ConvertHalfTypesOptions options) : OpRewritePattern(context), options(options) {}
  ConvertHalfTypesOptions options;
  LogicalResult matchAndRewrite(arith::TruncFOp op, PatternRewriter &rewriter) const final {
    if (!isHalf(op.getType()))
      return rewriter.notifyMatchFailure(op, "not to bf16 or f16");
    bool fromF32 = getElementTypeOrSelf(op.getIn().getType()).isF32();
    if (fromF32 && (getElementTypeOrSelf(op.getType()).isF16() ? options.hasF16C : options.hasBF16))
      return rewriter.notifyMatchFailure(op, "the target has an instruction");
    Value v = op.getIn();
    // From f64 by way of f32, as PyTorch does.
    if (!fromF32) {
      MathEmitter e(rewriter, op.getLoc(), v.getType(), /*hasFMA=*/false);
      v = arith::TruncFOp::create(rewriter, op.getLoc(), e.floatType(32), v);
    }
    rewriter.replaceOp(op, narrowToHalf(rewriter, op.getLoc(), v, op.getType(), options));
    return success();
  }
};

/// Sign operations keep NaN as it is, so they stay in the integers.
template <typename Op> struct ConvertSign final : OpRewritePattern<Op> {
  using OpRewritePattern<Op>::OpRewritePattern;
  LogicalResult matchAndRewrite(Op op, PatternRewriter &rewriter) const final {
    Type type = op.getType();
    if (!isHalf(type))
      return rewriter.notifyMatchFailure(op, "not on bf16 or f16");
    MathEmitter e(rewriter, op.getLoc(), type, /*hasFMA=*/false);
    Int bits = halfBits(e, op->getOperand(0));
    Int word;
    if constexpr (std::is_same_v<Op, arith::NegFOp>)
      word = bits ^ 0x8000;
    else if constexpr (std::is_same_v<Op, math::AbsFOp>)
      word = bits & 0x7fff;
    else
      word = (bits & 0x7fff) | (halfBits(e, op->getOperand(1)) & 0x8000);
    rewriter.replaceOp(op, fromHalfBits(word, type));
    return success();
  }
};

/// Any other op that computes on bf16 or f16 computes on f32 instead and rounds its results.
struct ComputeInF32 final : RewritePattern {
  ComputeInF32(MLIRContext *context, ConvertHalfTypesOptions options)
      : RewritePattern(MatchAnyOpTypeTag(), /*benefit=*/0, context), options(options) {}
  ConvertHalfTypesOptions options;

  static bool computes(Operation *op) {
    if (isa<arith::ConstantOp, arith::SelectOp, arith::BitcastOp, arith::ExtFOp, arith::TruncFOp>(op))
      return false;
    return isa_and_present<arith::ArithDialect, math::MathDialect>(op->getDialect()) ||
           isa<vector::FMAOp, vector::ReductionOp, vector::MultiDimReductionOp>(op);
  }

  LogicalResult matchAndRewrite(Operation *op, PatternRewriter &rewriter) const final {
    if (!computes(op))
      return rewriter.notifyMatchFailure(op, "does not compute");
    if (llvm::none_of(op->getOperandTypes(), isHalf) && llvm::none_of(op->getResultTypes(), isHalf))
      return rewriter.notifyMatchFailure(op, "has no bf16 or f16");
    Location loc = op->getLoc();
    auto toF32 = [&](Type type) { return isHalf(type) ? MathEmitter(rewriter, loc, type, false).floatType(32) : type; };
    OperationState state(loc, op->getName());
    for (Value operand : op->getOperands())
      state.operands.push_back(isHalf(operand.getType()) ? widenHalf(rewriter, loc, operand, options) : operand);
    for (Type type : op->getResultTypes())
      state.types.push_back(toF32(type));
    state.attributes = llvm::to_vector(op->getDiscardableAttrs());
    state.propertiesAttr = op->getPropertiesAsAttribute();
    Operation *wide = rewriter.create(state);
    SmallVector<Value> results;
    for (auto [result, type] : llvm::zip(wide->getResults(), op->getResultTypes()))
      results.push_back(isHalf(type) ? narrowToHalf(rewriter, loc, result, type, options) : result);
    rewriter.replaceOp(op, results);
    return success();
  }
};
} // namespace

void populateConvertHalfTypesPatterns(RewritePatternSet &patterns, const ConvertHalfTypesOptions &options) {
  patterns.add<ConvertExtF, ConvertTruncF, ComputeInF32>(patterns.getContext(), options);
  patterns.add<ConvertSign<arith::NegFOp>, ConvertSign<math::AbsFOp>, ConvertSign<math::CopySignOp>>(
      patterns.getContext());
}

namespace {
struct ConvertHalfTypesPass final : impl::ConvertHalfTypesPassBase<ConvertHalfTypesPass> {
  using ConvertHalfTypesPassBase::ConvertHalfTypesPassBase;

  LogicalResult initialize(MLIRContext *context) override {
    RewritePatternSet set(context);
    populateConvertHalfTypesPatterns(set, {hasF16C, hasBF16});
    patterns = FrozenRewritePatternSet(std::move(set));
    return success();
  }
  void runOnOperation() override { walkAndApplyPatterns(getOperation(), patterns); }

  FrozenRewritePatternSet patterns;
};
} // namespace

} // namespace tenon::cpu
