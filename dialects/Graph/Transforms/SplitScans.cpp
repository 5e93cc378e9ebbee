//===- SplitScans.cpp - long running combinations in blocks ---------------===//
#include "dialects/Graph/Transforms/Passes.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

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

/// The most elements that the line has; nothing when it may have any number.
static std::optional<int64_t> longest(CumulateOp op) {
  AffineExpr length = getDim(op.getType(), op.getDim());
  if (std::optional<int64_t> known = asConstant(length))
    return known;
  auto function = op->getParentOfType<func::FuncOp>();
  auto symbols = function ? function->getAttrOfType<ArrayAttr>("graph.symbols") : ArrayAttr();
  if (!symbols)
    return std::nullopt;
  SmallVector<std::pair<int64_t, int64_t>> ranges;
  for (SymbolAttr symbol : symbols.getAsRange<SymbolAttr>())
    ranges.emplace_back(symbol.getMin(), symbol.getMax());
  auto range = rangeOf(length, ranges);
  return range ? std::optional(range->second) : std::nullopt;
}

/// Whether the line may have more than one block.
static bool isLong(CumulateOp op) { return longest(op).value_or(kBlock + 1) > kBlock; }

static bool multipliesFloats(CumulateOp op) {
  return op.getKind() == ReduceKind::Prod && isa<FloatType>(getElementTypeOrSelf(op.getType()));
}

/// An elementwise op of several operands of one shape.
static SmallVector<Value> elementwise(PatternRewriter &rewriter, Location loc, ValueRange inputs, ArrayRef<Type> results,
                                      function_ref<SmallVector<Value>(ImplicitLocOpBuilder &, ValueRange)> body) {
  auto shape = cast<RankedTensorType>(inputs[0].getType());
  SmallVector<Type> types;
  for (Type element : results)
    types.push_back(withElementType(shape, element));
  SmallVector<AffineMap> maps(inputs.size(), rewriter.getMultiDimIdentityMap(shape.getRank()));
  auto op = MapOp::build(rewriter, loc, types, inputs, maps, [&](OpBuilder &b, Location at, ValueRange args) {
    ImplicitLocOpBuilder builder(at, b);
    return body(builder, args);
  });
  return SmallVector<Value>(op.getResults());
}

namespace {
/// Numbers as mantissa * 2^exponent: a product of mantissas near 1 neither overflows nor vanishes.
struct Scaled {
  Value mantissa, exponent; ///< f64 in ±[root of 1/2, root of 2), or zero, infinite, not a number; i64
};
} // namespace

static Value constantOf(ImplicitLocOpBuilder &b, double value) {
  return arith::ConstantOp::create(b, b.getF64FloatAttr(value));
}
static Value constantOf(ImplicitLocOpBuilder &b, int64_t value) {
  return arith::ConstantOp::create(b, b.getI64IntegerAttr(value));
}

static Scaled scaledOf(PatternRewriter &rewriter, Location loc, Value x) {
  Type f64 = rewriter.getF64Type(), i64 = rewriter.getI64Type();
  auto results = elementwise(rewriter, loc, x, {f64, i64}, [&](ImplicitLocOpBuilder &b, ValueRange args) {
    auto compare = [&](arith::CmpFPredicate how, Value l, double r) {
      return arith::CmpFOp::create(b, how, l, constantOf(b, r)).getResult();
    };
    auto select = [&](Value c, Value yes, Value no) { return arith::SelectOp::create(b, c, yes, no).getResult(); };
    Value given = args[0].getType() == f64 ? args[0] : arith::ExtFOp::create(b, f64, args[0]).getResult();
    // Numbers below the normal ones are scaled first.
    Value isSmall = compare(arith::CmpFPredicate::OLT, math::AbsFOp::create(b, given), 0x1p-1022);
    Value y = select(isSmall, arith::MulFOp::create(b, given, constantOf(b, 0x1p54)), given);
    Value bits = arith::BitcastOp::create(b, i64, y);
    Value biased = arith::AndIOp::create(b, arith::ShRUIOp::create(b, bits, constantOf(b, int64_t(52))),
                                         constantOf(b, int64_t(0x7FF)));
    Value offset = select(isSmall, constantOf(b, int64_t(1023 + 54)), constantOf(b, int64_t(1023)));
    Value exponent = arith::SubIOp::create(b, biased, offset);
    Value rest = arith::AndIOp::create(b, bits, constantOf(b, static_cast<int64_t>(0x800FFFFFFFFFFFFFull)));
    Value one = arith::OrIOp::create(b, rest, constantOf(b, int64_t(1023) << 52));
    Value mantissa = arith::BitcastOp::create(b, f64, one); // in ±[1, 2)
    Value isUpper = compare(arith::CmpFPredicate::OGE, math::AbsFOp::create(b, mantissa), M_SQRT2);
    mantissa = select(isUpper, arith::MulFOp::create(b, mantissa, constantOf(b, 0.5)), mantissa);
    exponent = arith::AddIOp::create(b, exponent, arith::ExtUIOp::create(b, i64, isUpper));
    Value isPlain = arith::AndIOp::create(
        b, compare(arith::CmpFPredicate::OLT, math::AbsFOp::create(b, given), std::numeric_limits<double>::infinity()),
        compare(arith::CmpFPredicate::ONE, given, 0.0));
    return SmallVector<Value>{select(isPlain, mantissa, given), select(isPlain, exponent, constantOf(b, int64_t(0)))};
  });
  return {results[0], results[1]};
}

/// The numbers themselves, as `element`: infinite or zero only where that type has none such.
static Value valueOf(PatternRewriter &rewriter, Location loc, Scaled x, Type element) {
  return elementwise(rewriter, loc, {x.mantissa, x.exponent}, element, [&](ImplicitLocOpBuilder &b, ValueRange args) {
    Type f64 = b.getF64Type();
    constexpr int64_t kMost = 2200; // beyond this nothing changes any more
    Value exponent = arith::MaxSIOp::create(
        b, arith::MinSIOp::create(b, args[1], constantOf(b, kMost)), constantOf(b, -kMost));
    Value quarter = arith::ShRSIOp::create(b, exponent, constantOf(b, int64_t(2)));
    Value last = arith::SubIOp::create(b, exponent, arith::MulIOp::create(b, quarter, constantOf(b, int64_t(3))));
    Value y = args[0];
    for (Value part : {quarter, quarter, quarter, last}) { // each is a normal number; all lead the same way
      Value bits = arith::ShLIOp::create(b, arith::AddIOp::create(b, part, constantOf(b, int64_t(1023))),
                                         constantOf(b, int64_t(52)));
      y = arith::MulFOp::create(b, y, arith::BitcastOp::create(b, f64, bits));
    }
    return SmallVector<Value>{element == f64 ? y : arith::TruncFOp::create(b, element, y).getResult()};
  })[0];
}

/// Gives the op blocks. Gives the running combinations of their totals.
static SmallVector<CumulateOp> split(CumulateOp op, PatternRewriter &rewriter) {
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
  auto reduce = [&](ReduceKind kind, Value x) -> Value {
    return ReduceOp::create(rewriter, loc, makeTensorType(reduced, getElementTypeOrSelf(x.getType())), kind, x, dim + 1);
  };
  SmallVector<CumulateOp> running;
  Value carries;
  if (multipliesFloats(op)) {
    // A block's product may overflow where the running one does not.
    Scaled parts = scaledOf(rewriter, loc, totals);
    Scaled product = scaledOf(rewriter, loc, reduce(ReduceKind::Prod, parts.mantissa));
    Value exponents = elementwise(rewriter, loc, {product.exponent, reduce(ReduceKind::Sum, parts.exponent)},
                                  rewriter.getI64Type(), [](ImplicitLocOpBuilder &b, ValueRange args) {
                                    return SmallVector<Value>{arith::AddIOp::create(b, args[0], args[1])};
                                  })[0];
    running = {CumulateOp::create(rewriter, loc, ReduceKind::Prod, product.mantissa, dim),
               CumulateOp::create(rewriter, loc, ReduceKind::Sum, exponents, dim)};
    carries = valueOf(rewriter, loc, {running[0], running[1]}, getElementTypeOrSelf(totals.getType()));
  } else {
    running = {CumulateOp::create(rewriter, loc, op.getKind(), reduce(op.getKind(), totals), dim)};
    carries = running[0];
  }
  rewriter.modifyOpInPlace(op, [&] {
    op.setBlock(kBlock);
    op.getCarriesMutable().assign(carries);
  });
  return running;
}

namespace {
struct SplitScansPass final : graph::impl::SplitScansPassBase<SplitScansPass> {
  using SplitScansPassBase::SplitScansPassBase;
  void runOnOperation() override {
    SmallVector<CumulateOp> scans;
    getOperation()->walk([&](CumulateOp op) {
      // The products of mantissas of at most kBlock blocks are numbers for certain.
      std::optional<int64_t> most = longest(op);
      bool isSafe = !multipliesFloats(op) || asConstant(getDim(op.getType(), op.getDim())) ||
                    (most && *most <= kBlock * kBlock);
      if (!op.getBlock() && isSafe && isLong(op))
        scans.push_back(op);
    });
    PatternRewriter rewriter(&getContext());
    while (!scans.empty()) {
      // Of a symbolic line the totals count as few: a level more would cost every call something.
      for (CumulateOp totals : split(scans.pop_back_val(), rewriter))
        if (asConstant(getDim(totals.getType(), totals.getDim())) && isLong(totals))
          scans.push_back(totals);
    }
  }
};
} // namespace
