//===- RaiseAttention.cpp - attention that an exporter took apart ---------===//
// Two products with a softmax between them become one graph.attention; what happens to the scores becomes its region.
// How regions are brought into the form that kernels like is in AttentionRegions.cpp.
#include "AttentionRegions.h"
#include "dialects/Graph/Transforms/Passes.h"

using namespace mlir;

namespace tenon::graph {
#define GEN_PASS_DEF_RAISEATTENTIONPASS
#include "dialects/Graph/Transforms/Passes.h.inc"
} // namespace tenon::graph

using namespace tenon;
using namespace tenon::graph;

//===----------------------------------------------------------------------===//
// Softmax
//===----------------------------------------------------------------------===//

/// The map that makes `value`, when it makes nothing else.
static MapOp mapOf(Value value) {
  auto map = value.getDefiningOp<MapOp>();
  return map && map->getNumResults() == 1 ? map : MapOp();
}

static Value yieldOf(MapOp map) { return map.getBlock()->getTerminator()->getOperand(0); }

/// The input behind a scalar that is an argument of the map, read element by element.
static Value readInOrder(MapOp map, Value scalar) {
  auto argument = dyn_cast<BlockArgument>(scalar);
  return argument && map.getMap(argument.getArgNumber()).isIdentity() ? map.getInputs()[argument.getArgNumber()]
                                                                      : Value();
}

static Value skipConversions(Value scalar) {
  while (Operation *op = scalar.getDefiningOp()) {
    if (!isa<arith::ExtFOp, arith::TruncFOp>(op))
      break;
    scalar = op->getOperand(0);
  }
  return scalar;
}

/// Through maps that change the float type alone.
static Value skipConversionMaps(Value value) {
  while (MapOp map = mapOf(value)) {
    Value input = readInOrder(map, skipConversions(yieldOf(map)));
    if (!input)
      break;
    value = input;
  }
  return value;
}

/// The value behind reshapes that add or drop sizes of 1.
static Value skipUnitReshapes(Value value) {
  auto squeezed = [](Type type) {
    Dims result;
    for (AffineExpr size : getDims(type))
      if (asConstant(size) != 1)
        result.push_back(size);
    return result;
  };
  while (auto reshape = value.getDefiningOp<ReshapeOp>()) {
    if (squeezed(reshape.getInput().getType()) != squeezed(reshape.getType()))
      break;
    value = reshape.getInput();
  }
  return value;
}

/// The reduction over the last dimension that an argument of `map` is, read once for each row of it.
static ReduceOp rowReduction(MapOp map, Value scalar, ReduceKind kind) {
  auto argument = dyn_cast<BlockArgument>(scalar);
  if (!argument)
    return {};
  AffineMap reads = map.getMap(argument.getArgNumber());
  unsigned rank = map.getRank();
  // d0, d1, … and then perhaps 0 for the last dimension.
  unsigned next = 0;
  for (AffineExpr expr : reads.getResults()) {
    bool isNext = expr == getAffineDimExpr(next, map.getContext()) && next + 1 < rank;
    if (!isNext && asConstant(expr) != 0)
      return {};
    ++next;
  }
  auto reduce = skipUnitReshapes(map.getInputs()[argument.getArgNumber()]).getDefiningOp<ReduceOp>();
  bool isRow = reduce && reduce.getKind() == kind && reduce.getDims().size() == 1 &&
               reduce.getDims()[0] == static_cast<int64_t>(rank) - 1 && (next == rank || next + 1 == rank);
  return isRow ? reduce : ReduceOp();
}

static bool isMinusInfinity(Value scalar) {
  APFloat value(0.0);
  return matchPattern(scalar, m_ConstantFloat(&value)) && value.isInfinity() && value.isNegative();
}

/// Whether `condition` says, for each row, that all of `scores` are -inf.
static bool saysThatNoneIsLeft(Value condition, Value scores) {
  bool isNegated = false, isReduced = false, isAny = false;
  bool isNegatedInside = false;
  while (true) {
    condition = skipUnitReshapes(condition);
    if (auto reduce = condition.getDefiningOp<ReduceOp>()) {
      int64_t last = getDims(reduce.getInput().getType()).size() - 1;
      if (isReduced || reduce.getDims() != ArrayRef<int64_t>{last})
        return false;
      isReduced = true;
      isAny = reduce.getKind() == ReduceKind::Any;
      if (!isAny && reduce.getKind() != ReduceKind::All)
        return false;
      condition = reduce.getInput();
      continue;
    }
    MapOp map = mapOf(condition);
    if (!map)
      return false;
    Value scalar = yieldOf(map);
    while (Operation *op = scalar.getDefiningOp()) {
      if (auto invert = dyn_cast<arith::XOrIOp>(op); invert && matchPattern(invert.getRhs(), m_One())) {
        (isReduced ? isNegatedInside : isNegated) ^= true;
        scalar = invert.getLhs();
        continue;
      }
      auto compare = dyn_cast<arith::CmpFOp>(op);
      if (!compare || !isMinusInfinity(compare.getRhs()) || !isReduced)
        return false;
      bool isEqual = compare.getPredicate() == arith::CmpFPredicate::OEQ;
      if (!isEqual && compare.getPredicate() != arith::CmpFPredicate::UNE)
        return false;
      // No score differs from -inf; or all are equal to it.
      bool differs = isEqual == isNegatedInside;
      Value compared = readInOrder(map, skipConversions(compare.getLhs()));
      return compared && skipConversionMaps(compared) == skipConversionMaps(scores) &&
             (isAny ? differs && isNegated : !differs && !isNegated);
    }
    condition = readInOrder(map, scalar);
    if (!condition)
      return false;
  }
}

namespace {
struct Softmax {
  Value scores;
  bool zeroesMaskedRows = false;
};
} // namespace

/// The softmax over the last dimension that `value` is.
static std::optional<Softmax> matchSoftmax(Value value) {
  Softmax result;
  Value condition;
  value = skipConversionMaps(value);
  MapOp map = mapOf(value);
  if (!map)
    return std::nullopt;
  if (auto select = yieldOf(map).getDefiningOp<arith::SelectOp>()) {
    auto row = dyn_cast<BlockArgument>(select.getCondition());
    if (!row || !matchPattern(select.getTrueValue(), m_AnyZeroFloat()))
      return std::nullopt;
    // Read at (…, 0), so a row has one answer.
    AffineMap reads = map.getMap(row.getArgNumber());
    for (auto [i, expr] : llvm::enumerate(reads.getResults()))
      if (i + 1 == map.getRank() ? asConstant(expr) != 0
                                 : expr != getAffineDimExpr(i, map.getContext()) && asConstant(expr) != 0)
        return std::nullopt;
    condition = map.getInputs()[row.getArgNumber()];
    value = readInOrder(map, skipConversions(select.getFalseValue()));
    if (!value)
      return std::nullopt;
    map = mapOf(skipConversionMaps(value));
    if (!map)
      return std::nullopt;
  }
  auto quotient = skipConversions(yieldOf(map)).getDefiningOp<arith::DivFOp>();
  if (!quotient)
    return std::nullopt;
  Value exponentials = readInOrder(map, quotient.getLhs());
  ReduceOp sum = rowReduction(map, quotient.getRhs(), ReduceKind::Sum);
  if (!exponentials || !sum || sum.getInput() != exponentials)
    return std::nullopt;
  MapOp shifted = mapOf(exponentials);
  auto exp = shifted ? yieldOf(shifted).getDefiningOp<math::ExpOp>() : math::ExpOp();
  auto difference = exp ? exp.getOperand().getDefiningOp<arith::SubFOp>() : arith::SubFOp();
  if (!difference)
    return std::nullopt;
  result.scores = readInOrder(shifted, skipConversions(difference.getLhs()));
  ReduceOp largest = rowReduction(shifted, skipConversions(difference.getRhs()), ReduceKind::Max);
  if (!result.scores || !largest || skipConversionMaps(largest.getInput()) != skipConversionMaps(result.scores))
    return std::nullopt;
  if (condition) {
    if (!saysThatNoneIsLeft(condition, result.scores))
      return std::nullopt;
    result.zeroesMaskedRows = true;
  }
  return result;
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

namespace {
/// A contraction as rows times columns for each of some leading dimensions. Dimensions are those of its maps.
struct Product {
  ContractOp op;
  SmallVector<unsigned> leads; ///< in the result's order
  unsigned row = 0, column = 0, summed = 0;
  unsigned rowOperand = 0; ///< which operand has the rows
  static std::optional<Product> analyze(ContractOp op);
  static std::optional<Product> ofWeights(ContractOp op, unsigned operand);
  AffineExpr sizeOf(unsigned dim) const;
  unsigned columnOperand() const { return 1 - rowOperand; }
};
} // namespace

static bool has(AffineMap map, unsigned dim) { return map.isFunctionOfDim(dim); }

AffineExpr Product::sizeOf(unsigned dim) const {
  ContractOp contract = op;
  for (unsigned i : {0u, 1u})
    for (auto [place, expr] : llvm::enumerate(contract.getMap(i).getResults()))
      if (cast<AffineDimExpr>(expr).getPosition() == dim)
        return getDim(contract->getOperand(i).getType(), place);
  return {};
}

/// The result's last two dimensions must be rows and columns.
std::optional<Product> Product::analyze(ContractOp op) {
  Product result;
  result.op = op;
  AffineMap out = op.getMap(2);
  unsigned rank = out.getNumResults();
  if (rank < 2)
    return std::nullopt;
  SmallVector<unsigned> dims;
  for (AffineExpr expr : out.getResults())
    dims.push_back(cast<AffineDimExpr>(expr).getPosition());
  result.row = dims[rank - 2];
  result.column = dims[rank - 1];
  result.leads.assign(dims.begin(), dims.end() - 2);
  unsigned summed = 0;
  for (unsigned d = 0; d < out.getNumDims(); ++d)
    if (!has(out, d)) {
      result.summed = d;
      ++summed;
    }
  if (summed != 1)
    return std::nullopt;
  for (unsigned i : {0u, 1u})
    if (has(op.getMap(i), result.row) && !has(op.getMap(1 - i), result.row) && has(op.getMap(1 - i), result.column) &&
        !has(op.getMap(i), result.column)) {
      result.rowOperand = i;
      return result;
    }
  return std::nullopt;
}

/// Operand `operand` has the leading dimensions, rows and then what is summed; the result may be in any order.
std::optional<Product> Product::ofWeights(ContractOp op, unsigned operand) {
  Product result;
  result.op = op;
  result.rowOperand = operand;
  AffineMap reads = op.getMap(operand), other = op.getMap(1 - operand), out = op.getMap(2);
  SmallVector<unsigned> dims;
  for (AffineExpr expr : reads.getResults())
    dims.push_back(cast<AffineDimExpr>(expr).getPosition());
  if (dims.size() < 2 || out.getNumResults() != dims.size())
    return std::nullopt;
  result.summed = dims.pop_back_val();
  result.row = dims.pop_back_val();
  result.leads.assign(dims.begin(), dims.end());
  bool fits = !has(out, result.summed) && has(other, result.summed) && has(out, result.row) &&
              !has(other, result.row) && llvm::all_of(result.leads, [&](unsigned dim) { return has(out, dim); });
  if (!fits)
    return std::nullopt;
  for (AffineExpr expr : out.getResults())
    if (unsigned dim = cast<AffineDimExpr>(expr).getPosition(); !has(reads, dim))
      result.column = dim; // the only one: the result has as many as the weights, and one of those is summed
  return result;
}

namespace {
/// An operand of attention while it is found: `value`, of rank 4, with its dimensions in another order.
struct Operand {
  Value value;
  SmallVector<int64_t> order; ///< dimension i of the operand is order[i] of the value
  double scale = 1;
};

class Raiser {
public:
  Raiser(ContractOp last, PatternRewriter &rewriter) : last(last), rewriter(rewriter) {}
  LogicalResult run();

private:
  ContractOp findScores(Value value, unsigned depth = 0);
  void chooseLeads(Value from);
  Operand makeOperand(const Product &product, unsigned operand, unsigned row, unsigned column, bool takesScale);
  void peel(Operand &operand, bool takesScale);
  Value ungroup(Operand &operand);
  Value finish(const Operand &operand);
  Value reshape(Value value, ArrayRef<AffineExpr> dims);
  Value permute(Value value, ArrayRef<int64_t> order);
  void buildRegion(AttentionOp attention, Value scores);

  ContractOp last;
  PatternRewriter &rewriter;
  AffineExpr batches, heads, rows, keys;
  SmallVector<Operation *> chain; ///< from the softmax to the first product
};
} // namespace

Value Raiser::reshape(Value value, ArrayRef<AffineExpr> dims) {
  while (auto inner = value.getDefiningOp<ReshapeOp>())
    value = inner.getInput();
  Type type = makeTensorType(dims, getElementTypeOrSelf(value.getType()));
  return type == value.getType() ? value : ReshapeOp::create(rewriter, last.getLoc(), type, value).getResult();
}

Value Raiser::permute(Value value, ArrayRef<int64_t> order) {
  if (llvm::equal(order, llvm::seq<int64_t>(0, order.size())))
    return value;
  return PermuteOp::create(rewriter, last.getLoc(), value, order);
}

/// The first product, on the way back from the softmax through elementwise work and reshapes of leading dimensions.
ContractOp Raiser::findScores(Value value, unsigned depth) {
  Operation *op = value.getDefiningOp();
  if (!op || depth > 24)
    return {};
  if (auto contract = dyn_cast<ContractOp>(op))
    return contract;
  auto endsAlike = [&](Value other) {
    Dims a = getDims(value.getType()), b = getDims(other.getType());
    return a.size() >= 2 && b.size() >= 2 && ArrayRef(a).take_back(2) == ArrayRef(b).take_back(2);
  };
  if (auto move = dyn_cast<ReshapeOp>(op)) {
    ContractOp found = endsAlike(move.getInput()) ? findScores(move.getInput(), depth + 1) : ContractOp();
    if (found)
      chain.push_back(op);
    return found;
  }
  MapOp map = mapOf(value);
  if (!map)
    return {};
  for (auto [i, input] : llvm::enumerate(map.getInputs()))
    if (map.getMap(i).isIdentity())
      if (ContractOp found = findScores(input, depth + 1)) {
        chain.push_back(op);
        return found;
      }
  return {};
}

/// The leading dimensions as batch and heads: as some value of rank 4 on the way has them.
void Raiser::chooseLeads(Value from) {
  SmallVector<Value> values{from};
  for (Operation *op : chain)
    values.push_back(op->getResult(0));
  Dims dims = getDims(from.getType());
  for (Value value : values)
    if (getDims(value.getType()).size() == 4)
      dims = getDims(value.getType());
  ArrayRef<AffineExpr> leads = ArrayRef(dims).drop_back(2);
  heads = leads.empty() || dims.size() == 3 ? rewriter.getAffineConstantExpr(1) : leads.back();
  batches = dims.size() == 3 ? leads[0]
            : leads.empty()  ? rewriter.getAffineConstantExpr(1)
                             : normalize(product(leads.drop_back(), rewriter.getContext()));
}

/// Movement and constant factors before an operand become part of how it is read.
void Raiser::peel(Operand &operand, bool takesScale) {
  while (true) {
    auto compose = [&](ArrayRef<int64_t> inner) {
      for (int64_t &dim : operand.order)
        dim = inner[dim];
    };
    if (auto move = operand.value.getDefiningOp<PermuteOp>()) {
      compose(move.getOrder());
      operand.value = move.getInput();
      continue;
    }
    MapOp map = takesScale ? mapOf(operand.value) : MapOp();
    if (!map || map.getInputs().size() != 1 || !map.getMap(0).isPermutation() || !map->hasOneUse() ||
        getElementTypeOrSelf(map.getInputs()[0].getType()) != getElementTypeOrSelf(map.getResult(0).getType()))
      return;
    Operation *op = yieldOf(map).getDefiningOp();
    APFloat factor(0.0);
    if (!op || !isa<arith::MulFOp, arith::DivFOp>(op) || !isa<BlockArgument>(op->getOperand(0)) ||
        !matchPattern(op->getOperand(1), m_ConstantFloat(&factor)) || !factor.isFiniteNonZero())
      return;
    bool lossy = false;
    factor.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven, &lossy);
    operand.scale *= isa<arith::MulFOp>(op) ? factor.convertToDouble() : 1 / factor.convertToDouble();
    // The map reads its input at map(i): dimension j of the input is the result's dimension at place j.
    SmallVector<int64_t> inner(4);
    for (auto [j, expr] : llvm::enumerate(map.getMap(0).getResults()))
      inner[cast<AffineDimExpr>(expr).getPosition()] = j;
    compose(inner);
    operand.value = map.getInputs()[0];
  }
}

/// Operand `number` as [B, H, rows, columns].
Operand Raiser::makeOperand(const Product &product, unsigned number, unsigned row, unsigned column, bool takesScale) {
  ContractOp contract = product.op;
  Value value = contract->getOperand(number);
  AffineMap map = contract.getMap(number);
  SmallVector<unsigned> have;
  for (AffineExpr expr : map.getResults())
    have.push_back(cast<AffineDimExpr>(expr).getPosition());
  SmallVector<unsigned> want(product.leads);
  want.append({row, column});
  SmallVector<int64_t> order;
  Dims full;
  SmallVector<int64_t> places;
  for (auto [i, dim] : llvm::enumerate(want)) {
    full.push_back(product.sizeOf(dim));
    auto at = llvm::find(have, dim);
    if (at == have.end())
      continue; // the other operand alone has it: repeated here
    order.push_back(at - have.begin());
    places.push_back(i);
  }
  unsigned count = product.leads.size();
  // Leading dimensions first: what follows then folds into what came before.
  bool leadsInPlace = order.size() == want.size();
  for (unsigned i = 0; i < count && leadsInPlace; ++i)
    leadsInPlace = order[i] == static_cast<int64_t>(i);
  Operand result;
  if (!leadsInPlace) {
    value = permute(value, order);
    if (order.size() != want.size())
      value = BroadcastOp::create(rewriter, last.getLoc(), makeTensorType(full, getElementTypeOrSelf(value.getType())),
                                  value, places);
    order = {};
    for (unsigned i = 0; i < want.size(); ++i)
      order.push_back(i);
  }
  Dims dims = getDims(value.getType());
  result.value = reshape(value, {batches, heads, dims[count], dims[count + 1]});
  bool isSwapped = order[count] != static_cast<int64_t>(count);
  result.order = {0, 1, isSwapped ? 3 : 2, isSwapped ? 2 : 3};
  peel(result, takesScale);
  return result;
}

/// Key or value heads that were repeated for several query heads: the operand with each of them once, or null.
Value Raiser::ungroup(Operand &operand) {
  auto merged = operand.value.getDefiningOp<ReshapeOp>();
  auto repeated = merged ? merged.getInput().getDefiningOp<BroadcastOp>() : BroadcastOp();
  if (!repeated || operand.order[0] != 0 || operand.order[1] != 1)
    return {};
  Dims out = getDims(repeated.getType()), in = getDims(repeated.getInput().getType()), flat = getDims(merged.getType());
  bool fits = out.size() == 5 && in.size() == 5 && asConstant(in[2]) == 1 && asConstant(in[1]) && asConstant(out[2]) &&
              in[0] == out[0] && in[1] == out[1] && in[3] == out[3] && in[4] == out[4] && out[0] == flat[0] &&
              out[3] == flat[2] && out[4] == flat[3];
  return fits ? reshape(repeated.getInput(), {in[0], in[1], in[3], in[4]}) : Value();
}

Value Raiser::finish(const Operand &operand) { return permute(operand.value, operand.order); }

/// Everything between the product and the softmax, on the region's scores.
void Raiser::buildRegion(AttentionOp attention, Value scores) {
  if (chain.empty())
    return;
  RegionBuilder region(attention, rewriter);
  Value value = region.convert(region.scores(), getElementTypeOrSelf(scores.getType()));
  region.map(scores, region.reshape(value, getDims(scores.getType())));
  for (Operation *op : chain)
    region.place(op);
  Value result = region.lookup(chain.back()->getResult(0));
  result = region.convert(result, attention.getScoreType().getElementType());
  region.yield({region.reshape(result, getDims(attention.getScoreType()))});
}

LogicalResult Raiser::run() {
  std::optional<Product> second;
  std::optional<Softmax> softmax;
  for (unsigned i : {0u, 1u}) {
    second = Product::ofWeights(last, i);
    Value weights = last->getOperand(i);
    if (auto merged = weights.getDefiningOp<ReshapeOp>(); merged && merged->hasOneUse()) {
      Dims a = getDims(merged.getType()), b = getDims(merged.getInput().getType());
      if (b.size() < 2 || ArrayRef(a).take_back(2) != ArrayRef(b).take_back(2))
        continue; // rows or keys are merged
      weights = merged.getInput();
    }
    if (second && weights.hasOneUse() && (softmax = matchSoftmax(weights)))
      break;
  }
  if (!softmax)
    return rewriter.notifyMatchFailure(last, "no softmax of its own before it");
  ContractOp firstOp = findScores(softmax->scores);
  std::optional<Product> first = firstOp ? Product::analyze(firstOp) : std::nullopt;
  if (!first)
    return rewriter.notifyMatchFailure(last, "no product before the softmax");
  Type element = getElementTypeOrSelf(firstOp.getLhs().getType());
  for (Value value :
       {firstOp.getLhs(), firstOp.getRhs(), last.getLhs(), last.getRhs(), firstOp.getResult(), last.getResult()})
    if (getElementTypeOrSelf(value.getType()) != element || !isa<FloatType>(element))
      return rewriter.notifyMatchFailure(last, "element types differ");
  rows = first->sizeOf(first->row);
  keys = first->sizeOf(first->column);
  if (rows != second->sizeOf(second->row) || keys != second->sizeOf(second->summed))
    return rewriter.notifyMatchFailure(last, "sizes differ");
  chooseLeads(softmax->scores);
  // Reshapes of leading dimensions may only merge and split them.
  auto leadCount = [&](const Product &product) {
    Dims dims;
    for (unsigned dim : product.leads)
      dims.push_back(product.sizeOf(dim));
    return normalize(graph::product(dims, rewriter.getContext()));
  };
  AffineExpr count = normalize(batches * heads);
  if (leadCount(*first) != count || leadCount(*second) != count)
    return rewriter.notifyMatchFailure(last, "leading dimensions differ");

  rewriter.setInsertionPoint(last);
  Operand query = makeOperand(*first, first->rowOperand, first->row, first->summed, true);
  Operand key = makeOperand(*first, first->columnOperand(), first->column, first->summed, true);
  Operand value = makeOperand(*second, second->columnOperand(), second->summed, second->column, false);
  if (Value k = ungroup(key), v = ungroup(value); k && v && getDim(k.getType(), 1) == getDim(v.getType(), 1)) {
    key.value = k;
    value.value = v;
  }
  Value q = finish(query), k = finish(key), v = finish(value);
  Dims dims{batches, heads, rows, getDim(v.getType(), 3)};
  auto unit = [&](bool on) { return on ? rewriter.getUnitAttr() : UnitAttr(); };
  auto attention = AttentionOp::create(rewriter, last.getLoc(), makeTensorType(dims, element), q, k, v, Value(),
                                       rewriter.getF64FloatAttr(query.scale * key.scale), UnitAttr(),
                                       unit(softmax->zeroesMaskedRows), AffineMapAttr());
  buildRegion(attention, firstOp.getResult());
  Dims result;
  SmallVector<unsigned> have(second->leads);
  have.append({second->row, second->column});
  for (unsigned dim : have)
    result.push_back(second->sizeOf(dim));
  SmallVector<int64_t> order;
  for (AffineExpr expr : last.getMap(2).getResults())
    order.push_back(llvm::find(have, cast<AffineDimExpr>(expr).getPosition()) - have.begin());
  rewriter.setInsertionPointAfter(attention);
  rewriter.replaceOp(last, permute(reshape(attention.getResult(), result), order));
  return success();
}

namespace {
/// contract(softmax(f(contract(q, k))), v) -> attention(q, k, v) with f as its region.
struct RaiseSoftmaxBetweenProducts final : OpRewritePattern<ContractOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(ContractOp op, PatternRewriter &rewriter) const override {
    return Raiser(op, rewriter).run();
  }
};

struct RaiseAttentionPass final : graph::impl::RaiseAttentionPassBase<RaiseAttentionPass> {
  using RaiseAttentionPassBase::RaiseAttentionPassBase;
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<RaiseSoftmaxBetweenProducts>(&getContext());
    populateAttentionRegionPatterns(patterns);
    for (RegisteredOperationName name : getContext().getRegisteredOperations())
      if (name.getDialectNamespace() == "graph")
        name.getCanonicalizationPatterns(patterns, &getContext());
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};
} // namespace
