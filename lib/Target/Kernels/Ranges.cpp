//===- Ranges.cpp - what a region's values can be in a block -----===//
#include "Ranges.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::kernels;
using namespace tenon::graph;

/// 64-bit integers from here on may have wrapped around; sums of two below do not. As an end of a range it means that
/// there is no bound.
static constexpr int64_t kLargest = int64_t(1) << 61;
/// Factors and divisors that are worth following.
static constexpr int64_t kLargestFactor = int64_t(1) << 31;

Value RangeAnalysis::boolean(bool value) { return e.constant(e.b.getIntegerAttr(e.b.getI1Type(), value)); }

AffineExpr RangeAnalysis::bind(Interval range, AffineExpr size) {
  dims.push_back(range);
  sizes.push_back(size);
  return getAffineDimExpr(dims.size() - 1, e.b.getContext());
}

static bool isFunctionOf(ArrayRef<AffineExpr> point, AffineExpr dim) {
  unsigned position = cast<AffineDimExpr>(dim).getPosition();
  return llvm::any_of(point, [&](AffineExpr expr) { return expr.isFunctionOfDim(position); });
}

void RangeAnalysis::rebind(AffineExpr dim, Interval range) {
  dims[cast<AffineDimExpr>(dim).getPosition()] = range;
  for (auto it = known.begin(); it != known.end();)
    it = isFunctionOf(it->second.point, dim) ? known.erase(it) : std::next(it);
}

Interval RangeAnalysis::top(Type type) {
  if (type.isInteger(1))
    return {boolean(false), boolean(true)};
  if (!type.isIntOrIndex())
    return {};
  unsigned bits = type.isIndex() ? 64 : type.getIntOrFloatBitWidth();
  if (bits > 32)
    return {e.i64(-kLargest), e.i64(kLargest)};
  return {e.i64(llvm::minIntN(bits)), e.i64(llvm::maxIntN(bits))};
}

Interval RangeAnalysis::inType(Type type, Value low, Value high) {
  Interval all = top(type);
  bool isWide = type.isIndex() || type.getIntOrFloatBitWidth() > 32;
  auto compare = [&](arith::CmpIPredicate predicate, Value l, Value r) -> Value {
    return arith::CmpIOp::create(e.b, e.loc, predicate, l, r);
  };
  Value fits = arith::AndIOp::create(
      e.b, e.loc, compare(isWide ? arith::CmpIPredicate::sgt : arith::CmpIPredicate::sge, low, all.low),
      compare(isWide ? arith::CmpIPredicate::slt : arith::CmpIPredicate::sle, high, all.high));
  return {e.select(fits, low, all.low), e.select(fits, high, all.high)};
}

/// Index expressions are sizes and positions: they do not wrap around, and divisors are positive.
Interval RangeAnalysis::ofIndex(AffineExpr expr) {
  if (auto c = dyn_cast<AffineConstantExpr>(expr)) {
    Value value = e.i64(c.getValue());
    return {value, value};
  }
  if (auto d = dyn_cast<AffineDimExpr>(expr))
    return dims[d.getPosition()];
  if (isa<AffineSymbolExpr>(expr)) {
    Value value = e.size(expr);
    return {value, value};
  }
  auto binary = cast<AffineBinaryOpExpr>(expr);
  Interval l = ofIndex(binary.getLHS()), r = ofIndex(binary.getRHS());
  if (!l.isKnown() || !r.isKnown())
    return {};
  bool isPoint = l.isPoint() && r.isPoint();
  auto both = [&](auto fn) -> Interval {
    Value low = fn(l.low, r.low);
    return {low, isPoint ? low : fn(l.high, r.high)};
  };
  auto divided = [&](Interval x) -> Interval {
    Value low = e.divFloor(x.low, r.low);
    return {low, x.isPoint() ? low : e.divFloor(x.high, r.low)};
  };
  switch (expr.getKind()) {
  case AffineExprKind::Add:
    return both([&](Value a, Value b) { return e.add(a, b); });
  case AffineExprKind::Mul: {
    if (!r.isPoint())
      return {};
    Value low = e.mul(l.low, r.low);
    if (l.isPoint())
      return {low, low};
    Value high = e.mul(l.high, r.low);
    return {e.min(low, high), e.max(low, high)};
  }
  case AffineExprKind::FloorDiv:
    return r.isPoint() ? divided(l) : Interval();
  case AffineExprKind::CeilDiv: {
    if (!r.isPoint())
      return {};
    Value more = e.sub(r.low, e.i64(1)), low = e.add(l.low, more);
    return divided({low, l.isPoint() ? low : e.add(l.high, more)});
  }
  case AffineExprKind::Mod: {
    if (!r.isPoint())
      return {};
    // Within one period it is a difference.
    Interval period = divided(l);
    Value base = e.mul(period.low, r.low), low = e.sub(l.low, base);
    if (l.isPoint())
      return {low, low};
    Value isOne = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::eq, period.low, period.high);
    return {e.select(isOne, low, e.i64(0)), e.select(isOne, e.sub(l.high, base), e.sub(r.low, e.i64(1)))};
  }
  default:
    return {};
  }
}

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

Interval RangeAnalysis::of(Value value, Point point) {
  IndexSimplifier simple = simplifier();
  Key key{value.getAsOpaquePointer(), {}};
  for (AffineExpr &index : point) {
    index = simple.simplify(index);
    key.second.push_back(index.getAsOpaquePointer());
  }
  if (auto it = known.find(key); it != known.end())
    return it->second.range;
  Interval result;
  auto argument = dyn_cast<BlockArgument>(value);
  if (argument) {
    if (Value outside = outer.lookup(value))
      result = of(outside, point);
    else if (isa<kernel::FuncOp>(argument.getOwner()->getParentOp()))
      result = ofMemory(e.inputPointer(argument.getArgNumber()), cast<RankedTensorType>(value.getType()), point);
  } else {
    Operation *op = value.getDefiningOp();
    if (auto moved = pullThrough(op, point, simple))
      result = of(moved->first, moved->second);
    else if (auto map = dyn_cast<MapOp>(op))
      result = ofMap(map, cast<OpResult>(value), point);
    else if (auto gather = dyn_cast<GatherOp>(op))
      result = ofGather(gather, point);
    else if (auto constant = dyn_cast<ConstantOp>(op)) {
      auto splat = dyn_cast<SplatElementsAttr>(constant.getValue());
      if (splat && splat.getElementType().isInteger(1)) {
        Value bit = boolean(splat.getSplatValue<bool>());
        result = {bit, bit};
      } else if (splat && splat.getElementType().isSignlessInteger()) {
        Value number = e.i64(splat.getSplatValue<APInt>().getSExtValue());
        result = {number, number};
      }
    }
  }
  if (!result.isKnown())
    result = top(getElementTypeOrSelf(value.getType()));
  known[key] = {result, point};
  return result;
}

void RangeAnalysis::prepare(Value value, Point point, AffineExpr dim) {
  IndexSimplifier simple = simplifier();
  for (AffineExpr &index : point)
    index = simple.simplify(index);
  if (!isFunctionOf(point, dim)) {
    // Only what reads memory is dear; arithmetic on its own is hoisted by any compiler.
    if (!isa<FloatType>(getElementTypeOrSelf(value.getType())))
      (void)of(value, point);
    return;
  }
  if (isa<BlockArgument>(value)) {
    if (Value outside = outer.lookup(value))
      prepare(outside, point, dim);
    return;
  }
  Operation *op = value.getDefiningOp();
  if (auto moved = pullThrough(op, point, simple))
    return prepare(moved->first, moved->second, dim);
  if (auto map = dyn_cast<MapOp>(op)) {
    for (auto [i, input] : llvm::enumerate(map.getInputs()))
      prepare(input, applyMap(map.getMap(i), point), dim);
  } else if (auto gather = dyn_cast<GatherOp>(op)) {
    for (auto [i, input] : llvm::enumerate(gather.getIndices()))
      prepare(input, applyMap(cast<AffineMapAttr>(gather.getIndexingMaps()[i]).getValue(), point), dim);
  }
}

Interval RangeAnalysis::ofMap(MapOp op, OpResult result, const Point &point) {
  DenseMap<Value, Interval> values;
  for (auto [i, input] : llvm::enumerate(op.getInputs()))
    values[op.getBlock()->getArgument(i)] = of(input, applyMap(op.getMap(i), point));
  for (Operation &inner : op.getBlock()->without_terminator()) {
    if (auto index = dyn_cast<IndexOp>(inner)) {
      values[index.getResult()] = ofIndex(simplifier().simplify(point[index.getDim()]));
      continue;
    }
    if (auto size = dyn_cast<SizeValueOp>(inner)) {
      Value known = e.size(size.getExpr().getExprs()[0]);
      values[size.getResult()] = {known, known};
      continue;
    }
    SmallVector<Interval> operands;
    for (Value operand : inner.getOperands()) {
      Interval range = values.lookup(operand);
      operands.push_back(range.isKnown() ? range : top(operand.getType()));
    }
    for (Value made : inner.getResults()) {
      Interval range = inner.getNumResults() == 1 ? ofScalar(&inner, operands) : Interval();
      values[made] = range.isKnown() ? range : top(made.getType());
    }
  }
  return values.lookup(op.getBlock()->getTerminator()->getOperand(result.getResultNumber()));
}

Interval RangeAnalysis::ofScalar(Operation *op, ArrayRef<Interval> x) {
  Type type = op->getResult(0).getType();
  if (!type.isIntOrIndex())
    return {};
  OpBuilder &b = e.b;
  Location loc = e.loc;
  auto compare = [&](arith::CmpIPredicate predicate, Value l, Value r) -> Value {
    return arith::CmpIOp::create(b, loc, predicate, l, r);
  };
  auto invert = [&](Value bit) -> Value { return arith::XOrIOp::create(b, loc, bit, boolean(true)); };
  auto conjoin = [&](Value l, Value r) -> Value { return arith::AndIOp::create(b, loc, l, r); };
  auto disjoin = [&](Value l, Value r) -> Value { return arith::OrIOp::create(b, loc, l, r); };
    bool isBool = type.isInteger(1);
  /// A result of operands without a bound has none; narrower types have bounds by nature.
  auto ifBounded = [&](ArrayRef<Interval> operands, Interval result) -> Interval {
    if (type.isIntOrIndex() && !type.isIndex() && type.getIntOrFloatBitWidth() <= 32)
      return result;
    Interval all = top(type);
    Value isBounded;
    for (const Interval &operand : operands)
      for (Value bit : {compare(arith::CmpIPredicate::sgt, operand.low, all.low),
                        compare(arith::CmpIPredicate::slt, operand.high, all.high)})
        isBounded = isBounded ? conjoin(isBounded, bit) : bit;
    return {e.select(isBounded, result.low, all.low), e.select(isBounded, result.high, all.high)};
  };
  /// A number known now, for factors and divisors.
  auto fixed = [&](unsigned i) -> std::optional<int64_t> {
    APInt value;
    if (!x[i].isPoint() || !matchPattern(x[i].low, m_ConstantInt(&value)) || value.getBitWidth() != 64)
      return std::nullopt;
    int64_t number = value.getSExtValue();
    return std::abs(number) <= kLargestFactor ? std::optional(number) : std::nullopt;
  };
  return llvm::TypeSwitch<Operation *, Interval>(op)
      .Case([&](arith::ConstantOp constant) -> Interval {
        auto value = dyn_cast<IntegerAttr>(constant.getValue());
        if (!value)
          return {};
        if (!isBool && std::abs(value.getValue().getSExtValue() / 2) >= kLargest / 2)
          return {};
        Value known = isBool ? boolean(!value.getValue().isZero()) : e.i64(value.getValue().getSExtValue());
        return {known, known};
      })
      .Case([&](arith::AddIOp) -> Interval {
        if (isBool)
          return {};
        return ifBounded(x, inType(type, e.add(x[0].low, x[1].low), e.add(x[0].high, x[1].high)));
      })
      .Case([&](arith::SubIOp) -> Interval {
        if (isBool)
          return {};
        return ifBounded(x, inType(type, e.sub(x[0].low, x[1].high), e.sub(x[0].high, x[1].low)));
      })
      .Case([&](arith::MulIOp) -> Interval {
        unsigned factorAt = fixed(1) ? 1 : 0;
        std::optional<int64_t> factor = fixed(factorAt);
        if (!factor || isBool)
          return {};
        const Interval &other = x[1 - factorAt];
        // Within these bounds the product is exact.
        Value most = e.i64(kLargest / std::max<int64_t>(1, std::abs(*factor))), by = e.i64(*factor);
        Value fits = conjoin(compare(arith::CmpIPredicate::sge, other.low, e.sub(e.i64(0), most)),
                             compare(arith::CmpIPredicate::sle, other.high, most));
        Value low = e.mul(*factor < 0 ? other.high : other.low, by), high = e.mul(*factor < 0 ? other.low : other.high, by);
        Interval all = top(type);
        return ifBounded(other, inType(type, e.select(fits, low, all.low), e.select(fits, high, all.high)));
      })
      .Case<arith::FloorDivSIOp, arith::DivSIOp, arith::DivUIOp>([&](Operation *inner) -> Interval {
        std::optional<int64_t> divisor = fixed(1);
        if (!divisor || *divisor <= 0 || isBool)
          return {};
        Value by = e.i64(*divisor);
        auto divide = [&](Value value) -> Value {
          Value quotient = arith::DivSIOp::create(b, loc, value, by);
          if (!isa<arith::FloorDivSIOp>(inner))
            return quotient;
          Value isBelow = compare(arith::CmpIPredicate::slt, value, e.mul(quotient, by));
          return e.select(isBelow, e.sub(quotient, e.i64(1)), quotient);
        };
        Interval result = ifBounded(x[0], {divide(x[0].low), divide(x[0].high)});
        if (!isa<arith::DivUIOp>(inner))
          return result;
        Value isPositive = compare(arith::CmpIPredicate::sge, x[0].low, e.i64(0));
        Interval all = top(type);
        return {e.select(isPositive, result.low, all.low), e.select(isPositive, result.high, all.high)};
      })
      .Case<arith::RemSIOp, arith::RemUIOp>([&](Operation *) -> Interval {
        std::optional<int64_t> divisor = fixed(1);
        if (!divisor || *divisor <= 0 || isBool)
          return {};
        Value by = e.i64(*divisor), first = arith::DivSIOp::create(b, loc, x[0].low, by);
        // A rest of the unsigned value of a negative number is anything below the divisor: also within these bounds.
        Value isOne = conjoin(compare(arith::CmpIPredicate::sge, x[0].low, e.i64(0)),
                              compare(arith::CmpIPredicate::eq, first, arith::DivSIOp::create(b, loc, x[0].high, by)));
        Value base = e.mul(first, by);
        Value low = e.i64(1 - *divisor), high = e.i64(*divisor - 1);
        return {e.select(isOne, e.sub(x[0].low, base), low), e.select(isOne, e.sub(x[0].high, base), high)};
      })
      .Case<arith::MaxSIOp, arith::MinSIOp>([&](Operation *inner) -> Interval {
        if (isBool)
          return {};
        bool isMax = isa<arith::MaxSIOp>(inner);
        return {isMax ? e.max(x[0].low, x[1].low) : e.min(x[0].low, x[1].low),
                isMax ? e.max(x[0].high, x[1].high) : e.min(x[0].high, x[1].high)};
      })
      .Case([&](arith::AndIOp) -> Interval {
        return isBool ? Interval{conjoin(x[0].low, x[1].low), conjoin(x[0].high, x[1].high)} : Interval();
      })
      .Case([&](arith::OrIOp) -> Interval {
        return isBool ? Interval{disjoin(x[0].low, x[1].low), disjoin(x[0].high, x[1].high)} : Interval();
      })
      .Case([&](arith::XOrIOp) -> Interval {
        if (!isBool)
          return {};
        // One is always true and the other never; or they may differ.
        Value always = disjoin(conjoin(x[0].low, invert(x[1].high)), conjoin(x[1].low, invert(x[0].high)));
        Value never = disjoin(conjoin(x[0].low, x[1].low), conjoin(invert(x[0].high), invert(x[1].high)));
        return {always, invert(never)};
      })
      .Case([&](arith::CmpIOp cmp) -> Interval {
        if (cmp.getLhs().getType().isInteger(1))
          return {};
        using P = arith::CmpIPredicate;
        const Interval &l = x[0], &r = x[1];
        auto less = [&](const Interval &l, const Interval &r, P strict) -> Interval {
          return {compare(strict, l.high, r.low), compare(strict, l.low, r.high)};
        };
        auto equal = [&]() -> Interval {
          Value isPoint = conjoin(compare(P::eq, l.low, l.high), compare(P::eq, r.low, r.high));
          return {conjoin(isPoint, compare(P::eq, l.low, r.low)),
                  conjoin(compare(P::sle, l.low, r.high), compare(P::sle, r.low, l.high))};
        };
        switch (cmp.getPredicate()) {
        case P::slt:
          return less(l, r, P::slt);
        case P::sle:
          return less(l, r, P::sle);
        case P::sgt:
          return less(r, l, P::slt);
        case P::sge:
          return less(r, l, P::sle);
        case P::eq:
          return equal();
        case P::ne: {
          Interval is = equal();
          return {invert(is.high), invert(is.low)};
        }
        default:
          return {};
        }
      })
      .Case([&](arith::SelectOp) -> Interval {
        if (isBool) {
          Value yes = x[0].low, no = invert(x[0].high);
          auto choose = [&](Value a, Value c, Value mixed) { return e.select(yes, a, e.select(no, c, mixed)); };
          return {choose(x[1].low, x[2].low, conjoin(x[1].low, x[2].low)),
                  choose(x[1].high, x[2].high, disjoin(x[1].high, x[2].high))};
        }
        Value yes = x[0].low, no = invert(x[0].high);
        return {e.select(yes, x[1].low, e.select(no, x[2].low, e.min(x[1].low, x[2].low))),
                e.select(yes, x[1].high, e.select(no, x[2].high, e.max(x[1].high, x[2].high)))};
      })
      .Case<arith::ExtSIOp, arith::ExtUIOp>([&](Operation *inner) -> Interval {
        if (inner->getOperand(0).getType().isInteger(1)) {
          if (isa<arith::ExtSIOp>(inner))
            return {};
          return {arith::ExtUIOp::create(b, loc, b.getI64Type(), x[0].low),
                  arith::ExtUIOp::create(b, loc, b.getI64Type(), x[0].high)};
        }
        if (isa<arith::ExtSIOp>(inner))
          return x[0];
        return {};
      })
      .Case([&](arith::TruncIOp) -> Interval { return isBool ? Interval() : inType(type, x[0].low, x[0].high); })
      .Case([&](arith::IndexCastOp) -> Interval { return x[0]; })
      .Default([](Operation *) { return Interval(); });
}

//===----------------------------------------------------------------------===//
// Data
//===----------------------------------------------------------------------===//

std::optional<Point> RangeAnalysis::gatherPoint(GatherOp op, const Point &point) {
  Dims limits = getDims(op.getData().getType());
  Point inner;
  for (auto [i, coord] : llvm::enumerate(op.getCoords())) {
    if (coord >= 0) {
      inner.push_back(point[coord]);
      continue;
    }
    unsigned number = -coord - 1;
    Interval range = of(op.getIndices()[number], applyMap(cast<AffineMapAttr>(op.getIndexingMaps()[number]).getValue(), point));
    if (!range.isKnown())
      return std::nullopt;
    // Positions outside are read as 0.
    Value zero = e.i64(0), last = e.max(e.sub(e.size(limits[i]), e.i64(1)), zero);
    Interval inside{e.min(e.max(range.low, zero), last), {}};
    inside.high = range.isPoint() ? inside.low : e.max(e.min(range.high, last), inside.low);
    Value reaches = arith::OrIOp::create(e.b, e.loc,
                                         arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::slt, range.low, zero),
                                         arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::sgt, range.high, last));
    inside.low = e.select(reaches, zero, inside.low);
    if (range.isPoint())
      inside.high = inside.low;
    inner.push_back(bind(inside, limits[i]));
  }
  return inner;
}

Interval RangeAnalysis::ofGather(GatherOp op, const Point &point) {
  std::optional<Point> inner = gatherPoint(op, point);
  return inner ? of(op.getData(), *inner) : Interval();
}

/// Smallest and largest element of a box.
Interval RangeAnalysis::ofMemory(Value pointer, RankedTensorType type, const Point &point) {
  Type element = type.getElementType();
  bool isBool = element.isInteger(1);
  if (!element.isIntOrIndex())
    return {};
  Dims sizes = getDims(type);
  SmallVector<Interval> sides;
  SmallVector<unsigned> longer;
  for (auto [i, index] : llvm::enumerate(point)) {
    sides.push_back(ofIndex(index));
    if (!sides.back().isKnown())
      return {};
    if (!sides.back().isPoint())
      longer.push_back(i);
  }
  // Row-major offset of the box's corner, and the steps along its sides.
  Value corner = e.i64(0);
  SmallVector<Value> strides(sizes.size());
  Value stride = e.i64(1);
  for (size_t i = sizes.size(); i-- > 0;) {
    strides[i] = stride;
    corner = e.add(corner, e.mul(sides[i].low, stride));
    stride = e.mul(stride, e.size(sizes[i]));
  }
  Type stored = storageType(element);
  auto widen = [&](Value value) -> Value {
    if (stored.isInteger(64))
      return value;
    Type wide = e.b.getI64Type();
    if (auto vector = dyn_cast<VectorType>(value.getType()))
      wide = e.vectorOf(wide, vector.getNumElements());
    if (isBool)
      return arith::ExtUIOp::create(e.b, e.loc, wide, value);
    return arith::ExtSIOp::create(e.b, e.loc, wide, value);
  };
  auto finish = [&](Value low, Value high) -> Interval {
    if (!isBool)
      return inType(element, low, high);
    Value zero = e.i64(0);
    return {arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::ne, low, zero),
            arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::ne, high, zero)};
  };
  auto scalarAt = [&](Value index) {
    return LLVM::LoadOp::create(e.b, e.loc, stored, e.offsetPointer(pointer, element, index), storageBytes(element));
  };
  if (longer.empty()) {
    Value value = widen(scalarAt(corner));
    if (!isBool)
      return inType(element, value, value);
    Value bit = finish(value, value).low;
    return {bit, bit};
  }
  // The longer side that lies closest in memory is the inner one.
  unsigned inner = longer.back();
  auto countOf = [&](unsigned side) { return e.add(e.sub(sides[side].high, sides[side].low), e.i64(1)); };
  bool isDense = inner + 1 == sizes.size();
  int64_t lanes = e.vl;
  auto combineBoth = [&](ValueRange have, Value value) -> SmallVector<Value> {
    return {e.combine(ReduceKind::Min, have[0], value), e.combine(ReduceKind::Max, have[1], value)};
  };
  auto line = [&](Value begin, ValueRange have) -> SmallVector<Value> {
    Value count = countOf(inner), done = e.i64(0);
    SmallVector<Value> best(have);
    if (isDense && lanes > 1) {
      Value step = e.i64(lanes);
      Value whole = e.mul(e.divFloor(count, step), step);
      Type vector = e.vectorOf(stored, lanes);
      SmallVector<Value> init;
      TypedAttr ends[] = {e.identity(ReduceKind::Min, stored), e.identity(ReduceKind::Max, stored)};
      if (isBool) // bytes of 0 and 1
        ends[0] = e.b.getIntegerAttr(stored, 1), ends[1] = e.b.getIntegerAttr(stored, 0);
      for (TypedAttr end : ends)
        init.push_back(e.splat(e.constant(end), lanes));
      SmallVector<Value> wide = e.loop(done, whole, step, init, [&](Value i, ValueRange carried) {
        Value loaded = LLVM::LoadOp::create(e.b, e.loc, vector, e.offsetPointer(pointer, element, e.add(begin, i)),
                                            storageBytes(element));
        return combineBoth(carried, loaded);
      });
      best[0] = e.combine(ReduceKind::Min, best[0], widen(e.reduceLanes(ReduceKind::Min, wide[0])));
      best[1] = e.combine(ReduceKind::Max, best[1], widen(e.reduceLanes(ReduceKind::Max, wide[1])));
      done = whole;
    }
    return e.loop(done, count, e.i64(1), best, [&](Value i, ValueRange carried) {
      return combineBoth(carried, widen(scalarAt(e.add(begin, e.mul(i, strides[inner])))));
    });
  };
  SmallVector<Value> init{e.i64(std::numeric_limits<int64_t>::max()), e.i64(std::numeric_limits<int64_t>::min())};
  if (isBool)
    init = {e.i64(1), e.i64(0)};
  std::function<SmallVector<Value>(size_t, Value, ValueRange)> box = [&](size_t side, Value begin, ValueRange have) {
    if (side + 1 == longer.size())
      return line(begin, have);
    return e.loop(e.i64(0), countOf(longer[side]), e.i64(1), have, [&](Value i, ValueRange carried) {
      return box(side + 1, e.add(begin, e.mul(i, strides[longer[side]])), carried);
    });
  };
  SmallVector<Value> ends = box(0, corner, init);
  return finish(ends[0], ends[1]);
}
