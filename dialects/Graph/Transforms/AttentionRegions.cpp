//===- AttentionRegions.cpp - making and simplifying regions of attention -===//
#include "AttentionRegions.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/PatternMatch.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::graph;

/// Ops that one mask may be made of, and scalar ops of one map.
static constexpr unsigned kMaxPlaced = 64;
static constexpr unsigned kMaxFused = 256;

//===----------------------------------------------------------------------===//
// RegionBuilder
//===----------------------------------------------------------------------===//

RegionBuilder::RegionBuilder(AttentionOp attention, OpBuilder &builder) : attention(attention), inside(builder) {
  if (!attention.hasBody()) {
    block = inside.createBlock(&attention.getBody());
    block->addArgument(attention.getScoreType(), attention.getLoc());
    yieldedScore = scores();
    return;
  }
  block = &attention.getBody().front();
  yieldedScore = attention.getYieldedScore();
  yieldedKeep = attention.getYieldedKeep();
  for (auto [argument, capture] : llvm::zip(block->getArguments().drop_front(), attention.getCaptures()))
    mapping.map(capture, argument);
  inside.setInsertionPoint(block->getTerminator());
}

/// Both last dimensions are the scores'.
static bool spansScores(AttentionOp attention, Type type) {
  Dims dims = getDims(type), scores = getDims(attention.getScoreType());
  return dims.size() >= 2 && dims.back() == scores[3] && dims[dims.size() - 2] == scores[2] &&
         asConstant(scores[2]) != 1 && asConstant(scores[3]) != 1;
}

static bool isPlaceable(Operation *op) {
  if (auto constant = dyn_cast<ConstantOp>(op))
    return isa<SplatElementsAttr>(constant.getValue());
  if (auto map = dyn_cast<MapOp>(op)) {
    // A function that is dear would be computed again for every row.
    return map->getNumResults() == 1 &&
           llvm::none_of(*map.getBlock(), [](Operation &inner) { return isa<math::MathDialect>(inner.getDialect()); });
  }
  return isa<ReshapeOp, BroadcastOp, PermuteOp, SliceOp, SizeOp, GatherOp>(op);
}

bool RegionBuilder::isWorthPlacing(AttentionOp attention, Value value) {
  llvm::SetVector<Operation *> ops;
  SmallVector<Value> work{value};
  bool hasLeaves = false;
  while (!work.empty()) {
    Value next = work.pop_back_val();
    Operation *op = next.getDefiningOp();
    if (!op || !isPlaceable(op)) {
      hasLeaves = true;
      if (spansScores(attention, next.getType()))
        return false;
      continue;
    }
    if (!ops.insert(op))
      continue;
    if (ops.size() > kMaxPlaced)
      return false;
    llvm::append_range(work, op->getOperands());
  }
  return !ops.empty() && (!hasLeaves || spansScores(attention, value.getType()));
}

Value RegionBuilder::lookup(Value outside) {
  if (Value known = mapping.lookupOrNull(outside))
    return known;
  if (isWorthPlacing(attention, outside)) {
    place(outside.getDefiningOp());
    return mapping.lookup(outside);
  }
  attention.getCapturesMutable().append(outside);
  Value argument = block->addArgument(outside.getType(), outside.getLoc());
  mapping.map(outside, argument);
  return argument;
}

void RegionBuilder::place(Operation *op) {
  if (op->getNumResults() && mapping.contains(op->getResult(0)))
    return;
  for (Value operand : op->getOperands())
    (void)lookup(operand);
  inside.clone(*op, mapping);
}

Value RegionBuilder::reshape(Value value, ArrayRef<AffineExpr> dims) {
  Type type = makeTensorType(dims, getElementTypeOrSelf(value.getType()));
  return type == value.getType() ? value : ReshapeOp::create(inside, attention.getLoc(), type, value).getResult();
}

Value RegionBuilder::compute(Type element, ValueRange inputs, ArrayRef<AffineMap> maps,
                             function_ref<Value(OpBuilder &, Location, ValueRange)> body) {
  Type type = withElementType(attention.getScoreType(), element);
  return MapOp::build(
             inside, attention.getLoc(), type, inputs, maps,
             [&](OpBuilder &b, Location loc, ValueRange args) -> SmallVector<Value> { return {body(b, loc, args)}; })
      .getResult(0);
}

Value RegionBuilder::convert(Value value, Type element) {
  Type have = getElementTypeOrSelf(value.getType());
  if (have == element)
    return value;
  Type type = withElementType(value.getType(), element);
  AffineMap identity = inside.getMultiDimIdentityMap(cast<RankedTensorType>(type).getRank());
  bool isWider = element.getIntOrFloatBitWidth() > have.getIntOrFloatBitWidth();
  return MapOp::build(inside, attention.getLoc(), type, value, identity,
                      [&](OpBuilder &b, Location loc, ValueRange args) -> SmallVector<Value> {
                        if (isWider)
                          return {arith::ExtFOp::create(b, loc, element, args[0])};
                        return {arith::TruncFOp::create(b, loc, element, args[0])};
                      })
      .getResult(0);
}

void RegionBuilder::yield(ArrayRef<Value> values) {
  if (!block->empty() && isa<YieldOp>(block->back()))
    block->back().setOperands(values);
  else
    YieldOp::create(inside, attention.getLoc(), values);
}

//===----------------------------------------------------------------------===//
// Patterns
//===----------------------------------------------------------------------===//

static bool isMinusInfinity(Value scalar) {
  APFloat value(0.0);
  return matchPattern(scalar, m_ConstantFloat(&value)) && value.isInfinity() && value.isNegative();
}

static Value invert(OpBuilder &b, Location loc, Value bit) {
  return arith::XOrIOp::create(b, loc, bit, arith::ConstantOp::create(b, loc, b.getIntegerAttr(b.getI1Type(), 1)));
}

/// A copy of the scalar ops that `value` needs, at the builder's place.
static Value copyScalar(OpBuilder &b, Value value, IRMapping &mapping) {
  if (Value known = mapping.lookupOrNull(value))
    return known;
  Operation *op = value.getDefiningOp();
  for (Value operand : op->getOperands())
    (void)copyScalar(b, operand, mapping);
  b.clone(*op, mapping);
  return mapping.lookup(value);
}

/// A map with the inputs of `map` that yields what `body` makes of copies of its scalars.
static Value buildMapLike(PatternRewriter &rewriter, MapOp map, Type element, ValueRange moreInputs,
                          ArrayRef<AffineMap> moreMaps,
                          function_ref<Value(OpBuilder &, Location, IRMapping &, ValueRange more)> body) {
  SmallVector<Value> inputs(map.getInputs());
  SmallVector<AffineMap> maps(map.getIndexingMaps().getAsValueRange<AffineMapAttr>());
  llvm::append_range(inputs, moreInputs);
  llvm::append_range(maps, moreMaps);
  size_t own = map.getInputs().size();
  return MapOp::build(rewriter, map.getLoc(), withElementType(map.getResult(0).getType(), element), inputs, maps,
                      [&](OpBuilder &b, Location loc, ValueRange args) -> SmallVector<Value> {
                        IRMapping mapping;
                        for (auto [i, argument] : llvm::enumerate(map.getBlock()->getArguments()))
                          mapping.map(argument, args[i]);
                        return {body(b, loc, mapping, args.drop_front(own))};
                      })
      .getResult(0);
}

static MapOp mapIn(AttentionOp attention, Value value) {
  auto map = value ? value.getDefiningOp<MapOp>() : MapOp();
  return map && map->getNumResults() == 1 && map->getParentOp() == attention ? map : MapOp();
}

static Value yieldOf(MapOp map) { return map.getBlock()->getTerminator()->getOperand(0); }

namespace {
/// A choice between a score and -inf, or a sum with a choice between 0 and -inf.
struct MaskedScore {
  Value score, keep;
  bool isInverted = false;
};
} // namespace

static std::optional<MaskedScore> matchMaskedScore(Value scalar) {
  if (auto select = scalar.getDefiningOp<arith::SelectOp>()) {
    if (isMinusInfinity(select.getFalseValue()))
      return MaskedScore{select.getTrueValue(), select.getCondition(), false};
    if (isMinusInfinity(select.getTrueValue()))
      return MaskedScore{select.getFalseValue(), select.getCondition(), true};
  }
  if (auto add = scalar.getDefiningOp<arith::AddFOp>())
    for (unsigned i : {0u, 1u}) {
      auto select = add->getOperand(i).getDefiningOp<arith::SelectOp>();
      if (!select)
        continue;
      Value other = add->getOperand(1 - i);
      if (matchPattern(select.getTrueValue(), m_AnyZeroFloat()) && isMinusInfinity(select.getFalseValue()))
        return MaskedScore{other, select.getCondition(), false};
      if (matchPattern(select.getFalseValue(), m_AnyZeroFloat()) && isMinusInfinity(select.getTrueValue()))
        return MaskedScore{other, select.getCondition(), true};
    }
  return std::nullopt;
}

namespace {
/// The -inf of a masked score becomes the region's keep.
struct SplitKeepFromScore final : OpRewritePattern<AttentionOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(AttentionOp op, PatternRewriter &rewriter) const override {
    MapOp map = mapIn(op, op.getYieldedScore());
    std::optional<MaskedScore> masked = map ? matchMaskedScore(yieldOf(map)) : std::nullopt;
    if (!masked)
      return rewriter.notifyMatchFailure(op, "no score is -inf");
    Operation *yield = op.getBody().front().getTerminator();
    rewriter.setInsertionPoint(yield);
    Type element = getElementTypeOrSelf(map.getResult(0).getType());
    Value score =
        buildMapLike(rewriter, map, element, {}, {}, [&](OpBuilder &b, Location, IRMapping &mapping, ValueRange) {
          return copyScalar(b, masked->score, mapping);
        });
    SmallVector<Value> before;
    SmallVector<AffineMap> maps;
    if (Value keep = op.getYieldedKeep()) {
      before.push_back(keep);
      maps.push_back(rewriter.getMultiDimIdentityMap(4));
    }
    Value keep = buildMapLike(rewriter, map, rewriter.getI1Type(), before, maps,
                              [&](OpBuilder &b, Location loc, IRMapping &mapping, ValueRange more) {
                                Value bit = copyScalar(b, masked->keep, mapping);
                                if (masked->isInverted)
                                  bit = invert(b, loc, bit);
                                return more.empty() ? bit : arith::AndIOp::create(b, loc, more[0], bit).getResult();
                              });
    rewriter.replaceOpWithNewOp<YieldOp>(yield, ValueRange{score, keep});
    return success();
  }
};

/// A mask that is computed from positions and small tensors is computed in the region.
struct PlaceMaskInRegion final : OpRewritePattern<AttentionOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(AttentionOp op, PatternRewriter &rewriter) const override {
    if (!op.getMask() || !RegionBuilder::isWorthPlacing(op, op.getMask()))
      return rewriter.notifyMatchFailure(op, "no mask that belongs inside");
    Value mask = op.getMask();
    AffineMap reads = *op.getMaskMap();
    AffineMap identity = rewriter.getMultiDimIdentityMap(4);
    rewriter.startOpModification(op);
    RegionBuilder region(op, rewriter);
    Value inside = region.lookup(mask), score = region.score(), keep = region.keep();
    if (getElementTypeOrSelf(mask.getType()).isInteger(1)) {
      SmallVector<Value> inputs{inside};
      SmallVector<AffineMap> maps{reads};
      if (keep) {
        inputs.push_back(keep);
        maps.push_back(identity);
      }
      keep =
          region.compute(rewriter.getI1Type(), inputs, maps, [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
            return keep ? arith::AndIOp::create(b, loc, args[0], args[1]).getResult() : args[0];
          });
    } else {
      Type element = op.getScoreType().getElementType();
      score = region.compute(element, {score, inside}, {identity, reads},
                             [&](OpBuilder &b, Location loc, ValueRange args) -> Value {
                               Value added = args[1];
                               if (added.getType() != element)
                                 added = arith::ExtFOp::create(b, loc, element, added);
                               return arith::AddFOp::create(b, loc, args[0], added);
                             });
    }
    region.yield(keep ? SmallVector<Value>{score, keep} : SmallVector<Value>{score});
    op.getMaskMutable().clear();
    op.removeMaskMapAttr();
    rewriter.finalizeOpModification(op);
    return success();
  }
};

/// A sum with, or a choice by, a captured tensor as large as the scores is the mask operand, which kernels transpose.
struct TakeMaskOutOfRegion final : OpRewritePattern<AttentionOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(AttentionOp op, PatternRewriter &rewriter) const override {
    if (op.getMask() || !op.hasBody())
      return rewriter.notifyMatchFailure(op, "has a mask");
    // The capture that an argument of a map is.
    auto captureOf = [&](MapOp map, Value scalar) -> std::pair<Value, AffineMap> {
      auto argument = dyn_cast<BlockArgument>(scalar);
      if (!argument || argument.getOwner() != map.getBlock())
        return {};
      auto outer = dyn_cast<BlockArgument>(map.getInputs()[argument.getArgNumber()]);
      if (!outer || outer.getArgNumber() == 0 || !spansScores(op, outer.getType()))
        return {};
      return {op.getCaptures()[outer.getArgNumber() - 1], map.getMap(argument.getArgNumber())};
    };
    auto setMask = [&](std::pair<Value, AffineMap> found) {
      rewriter.modifyOpInPlace(op, [&] {
        op.getMaskMutable().assign(found.first);
        op.setMaskMap(found.second);
      });
    };
    Operation *yield = op.getBody().front().getTerminator();
    rewriter.setInsertionPoint(yield);
    if (MapOp map = mapIn(op, op.getYieldedScore()))
      if (auto add = yieldOf(map).getDefiningOp<arith::AddFOp>())
        for (unsigned i : {0u, 1u}) {
          Value scalar = add->getOperand(i);
          if (auto wider = scalar.getDefiningOp<arith::ExtFOp>())
            scalar = wider.getIn();
          auto found = captureOf(map, scalar);
          if (!found.first ||
              getElementTypeOrSelf(found.first.getType()) != getElementTypeOrSelf(op.getQuery().getType()))
            continue;
          Value score = buildMapLike(rewriter, map, getElementTypeOrSelf(map.getResult(0).getType()), {}, {},
                                     [&](OpBuilder &b, Location, IRMapping &mapping, ValueRange) {
                                       return copyScalar(b, add->getOperand(1 - i), mapping);
                                     });
          SmallVector<Value> values(yield->getOperands());
          values[0] = score;
          rewriter.replaceOpWithNewOp<YieldOp>(yield, values);
          setMask(found);
          return success();
        }
    if (MapOp map = mapIn(op, op.getYieldedKeep())) {
      auto found = captureOf(map, yieldOf(map));
      if (found.first) {
        rewriter.replaceOpWithNewOp<YieldOp>(yield, op.getYieldedScore());
        setMask(found);
        return success();
      }
      if (auto conjunction = yieldOf(map).getDefiningOp<arith::AndIOp>())
        for (unsigned i : {0u, 1u}) {
          found = captureOf(map, conjunction->getOperand(i));
          if (!found.first)
            continue;
          Value rest = buildMapLike(rewriter, map, rewriter.getI1Type(), {}, {},
                                    [&](OpBuilder &b, Location, IRMapping &mapping, ValueRange) {
                                      return copyScalar(b, conjunction->getOperand(1 - i), mapping);
                                    });
          rewriter.replaceOpWithNewOp<YieldOp>(yield, ValueRange{op.getYieldedScore(), rest});
          setMask(found);
          return success();
        }
    }
    return rewriter.notifyMatchFailure(op, "no capture is a mask");
  }
};

/// A constant factor of all scores belongs to the scale.
struct FoldFactorIntoScale final : OpRewritePattern<AttentionOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(AttentionOp op, PatternRewriter &rewriter) const override {
    if (!op.hasBody() || !op.getBody().getArgument(0).hasOneUse())
      return rewriter.notifyMatchFailure(op, "scores are read in several places");
    OpOperand &use = *op.getBody().getArgument(0).use_begin();
    auto map = dyn_cast<MapOp>(use.getOwner());
    if (!map)
      return rewriter.notifyMatchFailure(op, "scores are not mapped");
    BlockArgument argument = map.getBlock()->getArgument(use.getOperandNumber());
    if (!argument.hasOneUse())
      return rewriter.notifyMatchFailure(op, "scores are used several times");
    Operation *scaled = *argument.user_begin();
    APFloat factor(0.0);
    if (!isa<arith::MulFOp, arith::DivFOp>(scaled) || scaled->getOperand(0) != argument ||
        !matchPattern(scaled->getOperand(1), m_ConstantFloat(&factor)) || !factor.isFiniteNonZero())
      return rewriter.notifyMatchFailure(op, "scores are not scaled");
    bool lossy = false;
    factor.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven, &lossy);
    double by = isa<arith::MulFOp>(scaled) ? factor.convertToDouble() : 1 / factor.convertToDouble();
    rewriter.modifyOpInPlace(op,
                             [&] { op.setScaleAttr(rewriter.getF64FloatAttr(op.getScale().convertToDouble() * by)); });
    rewriter.replaceOp(scaled, argument);
    return success();
  }
};

/// Captures that nothing reads, twice the same capture, and a region that changes nothing, go.
struct DropFromRegion final : OpRewritePattern<AttentionOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(AttentionOp op, PatternRewriter &rewriter) const override {
    if (!op.hasBody())
      return rewriter.notifyMatchFailure(op, "no region");
    Block &block = op.getBody().front();
    for (unsigned i = 1; i < block.getNumArguments(); ++i) {
      for (unsigned j = 1; j < i; ++j)
        if (op.getCaptures()[i - 1] == op.getCaptures()[j - 1] && !block.getArgument(i).use_empty()) {
          rewriter.replaceAllUsesWith(block.getArgument(i), block.getArgument(j));
          return success();
        }
      if (!block.getArgument(i).use_empty())
        continue;
      rewriter.modifyOpInPlace(op, [&] {
        block.eraseArgument(i);
        op.getCapturesMutable().erase(i - 1);
      });
      return success();
    }
    if (Value keep = op.getYieldedKeep()) {
      SplatElementsAttr splat;
      MapOp map = mapIn(op, keep);
      bool isAlways = (matchPattern(keep, m_Constant(&splat)) && splat.getSplatValue<bool>()) ||
                      (map && matchPattern(yieldOf(map), m_One()));
      if (!isAlways)
        return rewriter.notifyMatchFailure(op, "keeps some keys");
      rewriter.setInsertionPoint(block.getTerminator());
      rewriter.replaceOpWithNewOp<YieldOp>(block.getTerminator(), op.getYieldedScore());
      return success();
    }
    if (op.getYieldedScore() != block.getArgument(0) || !op.getCaptures().empty())
      return rewriter.notifyMatchFailure(op, "changes scores");
    rewriter.modifyOpInPlace(op, [&] { rewriter.eraseBlock(&block); });
    return success();
  }
};

/// The dimensions of a reshape's input for those of its result, where it adds or drops sizes of 1 only.
static std::optional<AffineMap> readThrough(ReshapeOp reshape, AffineMap map) {
  Dims from = getDims(reshape.getInput().getType()), to = getDims(reshape.getType());
  SmallVector<AffineExpr> results;
  size_t j = 0;
  for (AffineExpr size : from) {
    if (asConstant(size) == 1) {
      results.push_back(getAffineConstantExpr(0, map.getContext()));
      continue;
    }
    while (j < to.size() && asConstant(to[j]) == 1)
      ++j;
    if (j == to.size() || to[j] != size)
      return std::nullopt;
    results.push_back(map.getResult(j++));
  }
  while (j < to.size() && asConstant(to[j]) == 1)
    ++j;
  if (j != to.size())
    return std::nullopt;
  return AffineMap::get(map.getNumDims(), 0, results, map.getContext());
}

/// In a region of attention, a map takes in the maps that it reads: scores and keeps then are one expression each.
struct FuseMapsInRegion final : OpRewritePattern<MapOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(MapOp op, PatternRewriter &rewriter) const override {
    if (!isa<AttentionOp>(op->getParentOp()))
      return rewriter.notifyMatchFailure(op, "in no region of attention");
    for (unsigned i = 0; i < op.getInputs().size(); ++i) {
      Value input = op.getInputs()[i];
      AffineMap reads = op.getMap(i);
      if (auto reshape = input.getDefiningOp<ReshapeOp>())
        if (auto through = readThrough(reshape, reads)) {
          input = reshape.getInput();
          reads = *through;
        }
      auto producer = input.getDefiningOp<MapOp>();
      if (!producer || op.getBlock()->getArgument(i).use_empty() ||
          producer.getBlock()->getOperations().size() + op.getBlock()->getOperations().size() > kMaxFused)
        continue;
      unsigned number = cast<OpResult>(input).getResultNumber();
      SmallVector<Value> inputs(op.getInputs());
      SmallVector<AffineMap> maps(op.getIndexingMaps().getAsValueRange<AffineMapAttr>());
      for (auto [j, source] : llvm::enumerate(producer.getInputs())) {
        inputs.push_back(source);
        maps.push_back(producer.getMap(j).compose(reads));
      }
      // What was read here is computed now.
      inputs.erase(inputs.begin() + i);
      maps.erase(maps.begin() + i);
      size_t own = op.getInputs().size() - 1;
      auto fused = MapOp::build(
          rewriter, op.getLoc(), op.getResultTypes(), inputs, maps, [&](OpBuilder &b, Location loc, ValueRange args) {
            IRMapping mapping;
            for (auto [k, argument] : llvm::enumerate(producer.getBlock()->getArguments()))
              mapping.map(argument, args[own + k]);
            for (Operation &inner : producer.getBlock()->without_terminator()) {
              auto index = dyn_cast<IndexOp>(inner);
              if (!index) {
                b.clone(inner, mapping);
                continue;
              }
              auto dim = dyn_cast<AffineDimExpr>(reads.getResult(index.getDim()));
              Value position;
              if (dim)
                position = IndexOp::create(b, loc, b.getI64Type(), b.getI64IntegerAttr(dim.getPosition()));
              else
                position = arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(0));
              mapping.map(index.getResult(), position);
            }
            Value made = mapping.lookup(producer.getBlock()->getTerminator()->getOperand(number));
            for (auto [k, argument] : llvm::enumerate(op.getBlock()->getArguments()))
              mapping.map(argument, k == i ? made : args[k - (k > i)]);
            for (Operation &inner : op.getBlock()->without_terminator())
              b.clone(inner, mapping);
            SmallVector<Value> results;
            for (Value value : op.getBlock()->getTerminator()->getOperands())
              results.push_back(mapping.lookup(value));
            return results;
          });
      rewriter.replaceOp(op, fused.getResults());
      return success();
    }
    return rewriter.notifyMatchFailure(op, "reads no map");
  }
};

/// In a region of attention, an index that is the position along one of the gather's dimensions is that dimension.
struct ReadGatherDirectly final : OpRewritePattern<GatherOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(GatherOp op, PatternRewriter &rewriter) const override {
    if (!isa<AttentionOp>(op->getParentOp()))
      return rewriter.notifyMatchFailure(op, "in no region of attention");
    Dims data = getDims(op.getData().getType()), result = getDims(op.getType());
    SmallVector<int64_t> coords(op.getCoords());
    bool changed = false;
    for (auto [i, coord] : llvm::enumerate(coords)) {
      if (coord >= 0)
        continue;
      unsigned number = -coord - 1;
      Value index = op.getIndices()[number];
      AffineMap reads = cast<AffineMapAttr>(op.getIndexingMaps()[number]).getValue();
      if (auto reshape = index.getDefiningOp<ReshapeOp>())
        if (auto through = readThrough(reshape, reads)) {
          index = reshape.getInput();
          reads = *through;
        }
      auto map = index.getDefiningOp<MapOp>();
      if (!map || map->getNumResults() != 1)
        continue;
      Value scalar = yieldOf(map);
      while (Operation *cast = scalar.getDefiningOp()) {
        if (!isa<arith::TruncIOp, arith::ExtSIOp>(cast))
          break;
        scalar = cast->getOperand(0);
      }
      auto position = scalar.getDefiningOp<IndexOp>();
      AffineDimExpr dim =
          position ? dyn_cast<AffineDimExpr>(reads.getResult(position.getDim())) : AffineDimExpr(nullptr);
      if (!dim)
        continue;
      AffineExpr have = data[i], need = result[dim.getPosition()];
      bool fits = have == need || (asConstant(have) && asConstant(need) && *asConstant(need) <= *asConstant(have));
      if (!fits)
        continue;
      coord = dim.getPosition();
      changed = true;
    }
    if (!changed)
      return rewriter.notifyMatchFailure(op, "no index is a position");
    // Index tensors that are left, numbered anew.
    SmallVector<Value> indices;
    SmallVector<AffineMap> maps;
    for (int64_t &coord : coords)
      if (coord < 0) {
        unsigned number = -coord - 1;
        indices.push_back(op.getIndices()[number]);
        maps.push_back(cast<AffineMapAttr>(op.getIndexingMaps()[number]).getValue());
        coord = -static_cast<int64_t>(indices.size());
      }
    rewriter.replaceOpWithNewOp<GatherOp>(op, op.getType(), op.getData(), indices, rewriter.getAffineMapArrayAttr(maps),
                                          coords);
    return success();
  }
};

/// In a region of attention, a gather that has no index left is movement: a map reads the data itself.
struct ReadMovedDataDirectly final : OpRewritePattern<MapOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(MapOp op, PatternRewriter &rewriter) const override {
    if (!isa<AttentionOp>(op->getParentOp()))
      return rewriter.notifyMatchFailure(op, "in no region of attention");
    for (auto [i, input] : llvm::enumerate(op.getInputs())) {
      auto gather = input.getDefiningOp<GatherOp>();
      if (!gather || !gather.getIndices().empty())
        continue;
      Dims data = getDims(gather.getData().getType()), result = getDims(gather.getType());
      SmallVector<AffineExpr> read;
      bool fits = true;
      for (auto [size, coord] : llvm::zip(data, gather.getCoords())) {
        fits &= size == result[coord];
        read.push_back(op.getMap(i).getResult(coord));
      }
      if (!fits)
        continue;
      SmallVector<Value> inputs(op.getInputs());
      SmallVector<AffineMap> maps(op.getIndexingMaps().getAsValueRange<AffineMapAttr>());
      inputs[i] = gather.getData();
      maps[i] = AffineMap::get(op.getRank(), 0, read, op.getContext());
      rewriter.modifyOpInPlace(op, [&] {
        op.getInputsMutable().assign(inputs);
        op.setIndexingMapsAttr(rewriter.getAffineMapArrayAttr(maps));
      });
      return success();
    }
    return rewriter.notifyMatchFailure(op, "reads no such gather");
  }
};
} // namespace

namespace {
/// Scores are f32 in a region: what was traced with scores of a narrower type need not round in between, as it does not
/// in the fused kernels of FlexAttention.
struct DropRounding final : OpRewritePattern<arith::ExtFOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(arith::ExtFOp op, PatternRewriter &rewriter) const override {
    auto narrowed = op.getIn().getDefiningOp<arith::TruncFOp>();
    if (!narrowed || narrowed.getIn().getType() != op.getType() || !op->getParentOfType<AttentionOp>())
      return failure();
    rewriter.replaceOp(op, narrowed.getIn());
    return success();
  }
};
} // namespace

void tenon::graph::populateAttentionRegionPatterns(RewritePatternSet &patterns) {
  patterns.add<SplitKeepFromScore, DropRounding, PlaceMaskInRegion, TakeMaskOutOfRegion, FoldFactorIntoScale,
               DropFromRegion, FuseMapsInRegion, ReadGatherDirectly, ReadMovedDataDirectly>(patterns.getContext());
}
