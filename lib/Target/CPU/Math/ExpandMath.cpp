// One pattern per math op, and the pass that applies them in one walk. The functions themselves are in Math*.cpp.
#include "MathEmitter.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Transforms/WalkPatternRewriteDriver.h"
#include "tenon/Target/CPU/MathFunctions.h"
#include "tenon/Target/CPU/Passes.h"
#include <limits>

using namespace mlir;

namespace tenon::cpu {
#define GEN_PASS_DEF_EXPANDMATHPASS
#include "tenon/Target/CPU/Passes.h.inc"

/// A scalar or fixed-size vector of f16, bf16, f32 or f64.
static bool isSupportedFloat(Type type) {
  auto vector = dyn_cast<VectorType>(type);
  if (isa<ShapedType>(type) && (!vector || vector.isScalable()))
    return false;
  return getElementTypeOrSelf(type).isF16() || getElementTypeOrSelf(type).isBF16() ||
         getElementTypeOrSelf(type).isF32() || getElementTypeOrSelf(type).isF64();
}

/// The operand as f32 or f64.
static Float widen(MathEmitter &e, Value v) {
  if (getElementTypeOrSelf(v.getType()).getIntOrFloatBitWidth() >= 32)
    return e.wrap(v);
  return e.wrap(arith::ExtFOp::create(e.builder(), e.loc(), e.floatType(32), v));
}

static Value narrow(Float result, Type type) {
  if (result.v.getType() == type)
    return result.v;
  return arith::TruncFOp::create(result.e->builder(), result.e->loc(), type, result.v);
}

namespace {
using Unary = Float (*)(Float);
using Binary = Float (*)(Float, Float);

template <typename Op> struct ExpandFloatOp : OpRewritePattern<Op> {
  ExpandFloatOp(MLIRContext *context, bool hasFMA) : OpRewritePattern<Op>(context), hasFMA(hasFMA) {}
  bool hasFMA;

  LogicalResult matchAndRewrite(Op op, PatternRewriter &rewriter) const final {
    if (!isSupportedFloat(op->getOperand(0).getType()))
      return rewriter.notifyMatchFailure(op, "not a scalar or fixed-size vector of floats");
    MathEmitter e(rewriter, op.getLoc(), op->getOperand(0).getType(), hasFMA);
    return expand(op, e, rewriter);
  }
  virtual LogicalResult expand(Op op, MathEmitter &e, PatternRewriter &rewriter) const = 0;
};

template <typename Op> struct ExpandUnary final : ExpandFloatOp<Op> {
  ExpandUnary(MLIRContext *context, bool hasFMA, Unary function)
      : ExpandFloatOp<Op>(context, hasFMA), function(function) {}
  Unary function;
  LogicalResult expand(Op op, MathEmitter &e, PatternRewriter &rewriter) const final {
    rewriter.replaceOp(op, narrow(function(widen(e, op.getOperand())), op.getType()));
    return success();
  }
};

template <typename Op> struct ExpandBinary final : ExpandFloatOp<Op> {
  ExpandBinary(MLIRContext *context, bool hasFMA, Binary function)
      : ExpandFloatOp<Op>(context, hasFMA), function(function) {}
  Binary function;
  LogicalResult expand(Op op, MathEmitter &e, PatternRewriter &rewriter) const final {
    Float result = function(widen(e, op.getLhs()), widen(e, op.getRhs()));
    rewriter.replaceOp(op, narrow(result, op.getType()));
    return success();
  }
};

/// Ops that are instructions on f32 and f64 but not on f16 and bf16.
template <typename Op> struct WidenUnary final : OpRewritePattern<Op> {
  using OpRewritePattern<Op>::OpRewritePattern;
  LogicalResult matchAndRewrite(Op op, PatternRewriter &rewriter) const final {
    Type type = op.getType();
    if (!isSupportedFloat(type) || getElementTypeOrSelf(type).getIntOrFloatBitWidth() != 16)
      return rewriter.notifyMatchFailure(op, "has instructions as it is");
    MathEmitter e(rewriter, op.getLoc(), type, /*hasFMA=*/false);
    Value result = Op::create(rewriter, op.getLoc(), widen(e, op.getOperand()).v);
    rewriter.replaceOp(op, narrow(e.wrap(result), type));
    return success();
  }
};

struct ExpandSincos final : ExpandFloatOp<math::SincosOp> {
  using ExpandFloatOp::ExpandFloatOp;
  LogicalResult expand(math::SincosOp op, MathEmitter &e, PatternRewriter &rewriter) const final {
    auto [sine, cosine] = fn::sincos(widen(e, op.getOperand()));
    rewriter.replaceOp(op, {narrow(sine, op.getSin().getType()), narrow(cosine, op.getCos().getType())});
    return success();
  }
};
} // namespace

/// The number that every lane of a constant has.
static std::optional<double> splatFloat(Value v) {
  Attribute attribute;
  if (!matchPattern(v, m_Constant(&attribute)))
    return std::nullopt;
  if (auto number = dyn_cast<FloatAttr>(attribute))
    return number.getValueAsDouble();
  if (auto numbers = dyn_cast<SplatElementsAttr>(attribute))
    return numbers.getSplatValue<FloatAttr>().getValueAsDouble();
  return std::nullopt;
}

static std::optional<int64_t> splatInt(Value v) {
  APInt number;
  if (matchPattern(v, m_ConstantInt(&number)) && number.getSignificantBits() <= 64)
    return number.getSExtValue();
  return std::nullopt;
}

/// x^n without a logarithm for the exponents that models use; the products round at most twice.
static std::optional<Float> powConstant(Float x, double n) {
  if (n == 0.0)
    return literal(x, 1.0);
  if (n == 1.0)
    return x;
  if (n == 2.0)
    return x * x;
  if (n == 3.0)
    return x * x * x;
  if (n == -1.0)
    return 1.0 / x;
  if (n == 0.5) {
    // pow(-0, 1/2) is +0 and pow(-inf, 1/2) is +inf, unlike sqrt.
    constexpr double inf = std::numeric_limits<double>::infinity();
    return select(x == -inf, inf, sqrt(x + 0.0));
  }
  return std::nullopt;
}

namespace {
struct ExpandPow final : ExpandFloatOp<math::PowFOp> {
  using ExpandFloatOp::ExpandFloatOp;
  LogicalResult expand(math::PowFOp op, MathEmitter &e, PatternRewriter &rewriter) const final {
    Float x = widen(e, op.getLhs());
    std::optional<Float> result;
    if (std::optional<double> n = splatFloat(op.getRhs()))
      result = powConstant(x, *n);
    if (!result)
      result = fn::pow(x, widen(e, op.getRhs()));
    rewriter.replaceOp(op, narrow(*result, op.getType()));
    return success();
  }
};

struct ExpandFPowI final : ExpandFloatOp<math::FPowIOp> {
  using ExpandFloatOp::ExpandFloatOp;
  LogicalResult expand(math::FPowIOp op, MathEmitter &e, PatternRewriter &rewriter) const final {
    Float x = widen(e, op.getLhs());
    std::optional<Float> result;
    if (std::optional<int64_t> n = splatInt(op.getRhs()))
      result = powConstant(x, double(*n));
    if (!result)
      result = fn::powInt(x, e.wrapInt(op.getRhs()));
    rewriter.replaceOp(op, narrow(*result, op.getType()));
    return success();
  }
};

struct ExpandIPowI final : OpRewritePattern<math::IPowIOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(math::IPowIOp op, PatternRewriter &rewriter) const final {
    Type type = op.getType();
    auto vector = dyn_cast<VectorType>(type);
    if ((isa<ShapedType>(type) && (!vector || vector.isScalable())) || !getElementTypeOrSelf(type).isInteger())
      return rewriter.notifyMatchFailure(op, "not a scalar or fixed-size vector of integers");
    MathEmitter e(rewriter, op.getLoc(), type, /*hasFMA=*/false);
    Int x = e.wrapInt(op.getLhs());
    std::optional<int64_t> n = splatInt(op.getRhs());
    if (n && *n >= 0 && *n <= 16) {
      Int result = *n & 1 ? x : literal(x, 1);
      for (Int power = x; *n >>= 1;) {
        power = power * power;
        if (*n & 1)
          result = result * power;
      }
      rewriter.replaceOp(op, result.v);
      return success();
    }
    rewriter.replaceOp(op, fn::powInt(x, e.wrapInt(op.getRhs())).v);
    return success();
  }
};

/// As torch.clamp: NaN stays NaN.
struct ExpandClamp final : ExpandFloatOp<math::ClampFOp> {
  using ExpandFloatOp::ExpandFloatOp;
  LogicalResult expand(math::ClampFOp op, MathEmitter &e, PatternRewriter &rewriter) const final {
    Float x = e.wrap(op.getValue()), low = e.wrap(op.getMin()), high = e.wrap(op.getMax());
    Float y = select(x < low, low, x);
    rewriter.replaceOp(op, select(y > high, high, y).v);
    return success();
  }
};

template <typename Op> struct ExpandClass final : ExpandFloatOp<Op> {
  using ExpandFloatOp<Op>::ExpandFloatOp;
  LogicalResult expand(Op op, MathEmitter &e, PatternRewriter &rewriter) const final {
    Value operand = op.getOperand();
    auto type = cast<FloatType>(getElementTypeOrSelf(operand.getType()));
    Type words = e.intType(type.getWidth());
    Int bits = e.wrapInt(arith::BitcastOp::create(rewriter, op.getLoc(), words, operand));
    Int size = bits & ((uint64_t(1) << (type.getWidth() - 1)) - 1);
    const llvm::fltSemantics &format = type.getFloatSemantics();
    uint64_t infinity = APFloat::getInf(format).bitcastToAPInt().getZExtValue();
    Bool result;
    if constexpr (std::is_same_v<Op, math::IsNaNOp>)
      result = lessUnsigned(literal(size, infinity), size);
    else if constexpr (std::is_same_v<Op, math::IsInfOp>)
      result = size == infinity;
    else if constexpr (std::is_same_v<Op, math::IsFiniteOp>)
      result = lessUnsigned(size, infinity);
    else {
      uint64_t least = APFloat::getSmallestNormalized(format).bitcastToAPInt().getZExtValue();
      result = lessUnsigned(size - least, infinity - least);
    }
    rewriter.replaceOp(op, result.v);
    return success();
  }
};
} // namespace

static Float rsqrt(Float x) { return 1.0 / sqrt(x); }

void populateExpandMathPatterns(RewritePatternSet &patterns, const ExpandMathOptions &options) {
  MLIRContext *context = patterns.getContext();
  bool fma = options.hasFMA;
  patterns.add<ExpandUnary<math::ExpOp>>(context, fma, fn::exp);
  patterns.add<ExpandUnary<math::Exp2Op>>(context, fma, fn::exp2);
  patterns.add<ExpandUnary<math::ExpM1Op>>(context, fma, fn::expm1);
  patterns.add<ExpandUnary<math::LogOp>>(context, fma, fn::log);
  patterns.add<ExpandUnary<math::Log2Op>>(context, fma, fn::log2);
  patterns.add<ExpandUnary<math::Log10Op>>(context, fma, fn::log10);
  patterns.add<ExpandUnary<math::Log1pOp>>(context, fma, fn::log1p);
  patterns.add<ExpandUnary<math::TanhOp>>(context, fma, fn::tanh);
  patterns.add<ExpandUnary<math::SinhOp>>(context, fma, fn::sinh);
  patterns.add<ExpandUnary<math::CoshOp>>(context, fma, fn::cosh);
  patterns.add<ExpandUnary<math::AsinhOp>>(context, fma, fn::asinh);
  patterns.add<ExpandUnary<math::AcoshOp>>(context, fma, fn::acosh);
  patterns.add<ExpandUnary<math::AtanhOp>>(context, fma, fn::atanh);
  patterns.add<ExpandUnary<math::SinOp>>(context, fma, fn::sin);
  patterns.add<ExpandUnary<math::CosOp>>(context, fma, fn::cos);
  patterns.add<ExpandUnary<math::TanOp>>(context, fma, fn::tan);
  patterns.add<ExpandSincos>(context, fma);
  patterns.add<ExpandUnary<math::AsinOp>>(context, fma, fn::asin);
  patterns.add<ExpandUnary<math::AcosOp>>(context, fma, fn::acos);
  patterns.add<ExpandUnary<math::AtanOp>>(context, fma, fn::atan);
  patterns.add<ExpandBinary<math::Atan2Op>>(context, fma, fn::atan2);
  patterns.add<ExpandUnary<math::ErfOp>>(context, fma, fn::erf);
  patterns.add<ExpandUnary<math::ErfcOp>>(context, fma, fn::erfc);
  patterns.add<ExpandUnary<math::CbrtOp>>(context, fma, fn::cbrt);
  patterns.add<ExpandUnary<math::RoundOp>>(context, fma, fn::roundHalfAway);
  patterns.add<ExpandBinary<arith::RemFOp>>(context, fma, fn::fmod);
  patterns.add<ExpandPow, ExpandFPowI>(context, fma);
  patterns.add<ExpandIPowI>(context);
  patterns.add<ExpandClamp>(context, fma);
  patterns.add<ExpandClass<math::IsNaNOp>, ExpandClass<math::IsInfOp>, ExpandClass<math::IsFiniteOp>,
               ExpandClass<math::IsNormalOp>>(context, fma);
  patterns.add<ExpandUnary<math::RsqrtOp>>(context, fma, rsqrt);
  patterns.add<WidenUnary<math::SqrtOp>, WidenUnary<math::CeilOp>, WidenUnary<math::FloorOp>, WidenUnary<math::TruncOp>,
               WidenUnary<math::RoundEvenOp>>(context);
}

namespace {
struct ExpandMathPass final : impl::ExpandMathPassBase<ExpandMathPass> {
  using ExpandMathPassBase::ExpandMathPassBase;

  LogicalResult initialize(MLIRContext *context) override {
    RewritePatternSet set(context);
    populateExpandMathPatterns(set, {hasFMA});
    patterns = FrozenRewritePatternSet(std::move(set));
    return success();
  }
  void runOnOperation() override { walkAndApplyPatterns(getOperation(), patterns); }

  FrozenRewritePatternSet patterns;
};
} // namespace

} // namespace tenon::cpu
