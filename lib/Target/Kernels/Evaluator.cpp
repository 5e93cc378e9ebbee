//===- Evaluator.cpp - graph values at a point ----------------------------===//
#include "Emitter.h"
#include <numeric>

using namespace mlir;
using namespace tenon;
using namespace tenon::kernels;
using namespace tenon::graph;

AffineExpr Evaluator::bind(Value value, AffineExpr size, int64_t align, bool isLane) {
  dims.push_back({value, align, isLane, {}, size});
  return getAffineDimExpr(dims.size() - 1, e.b.getContext());
}

void Evaluator::setDim(unsigned dim, Dim info) {
  if (dims.size() <= dim)
    dims.resize(dim + 1);
  dims[dim] = info;
}

void Evaluator::scope(function_ref<void()> body) {
  scopes.emplace_back();
  size_t depth = scopes.size();
  body();
  assert(scopes.size() == depth && "scopes nest");
  (void)depth;
  scopes.pop_back();
}

IndexSimplifier Evaluator::simplifier() const {
  SmallVector<AffineExpr> sizes;
  for (const Dim &dim : dims)
    sizes.push_back(dim.size);
  return IndexSimplifier(sizes);
}

int64_t Evaluator::alignOf(AffineExpr expr) {
  if (auto c = dyn_cast<AffineConstantExpr>(expr))
    return c.getValue() == 0 ? int64_t(1) << 30 : std::abs(c.getValue());
  if (auto d = dyn_cast<AffineDimExpr>(expr))
    return dims[d.getPosition()].align;
  if (isa<AffineSymbolExpr>(expr))
    return 1;
  auto binary = cast<AffineBinaryOpExpr>(expr);
  int64_t l = alignOf(binary.getLHS()), r = alignOf(binary.getRHS());
  switch (expr.getKind()) {
  case AffineExprKind::Add:
  case AffineExprKind::Mod:
    return std::gcd(l, r);
  case AffineExprKind::Mul:
    return std::min<int64_t>(l, 1 << 15) * std::min<int64_t>(r, 1 << 15);
  case AffineExprKind::FloorDiv:
    if (auto c = asConstant(binary.getRHS()); c && l % *c == 0)
      return l / *c;
    return 1;
  default:
    return 1;
  }
}

std::optional<int64_t> Evaluator::laneStride(AffineExpr expr) {
  if (lanes == 1 || isa<AffineConstantExpr, AffineSymbolExpr>(expr))
    return 0;
  if (auto d = dyn_cast<AffineDimExpr>(expr)) {
    const Dim &dim = dims[d.getPosition()];
    if (dim.perLane)
      return std::nullopt;
    return dim.isLane ? 1 : 0;
  }
  auto binary = cast<AffineBinaryOpExpr>(expr);
  std::optional<int64_t> l = laneStride(binary.getLHS()), r = laneStride(binary.getRHS());
  if (!l || !r)
    return std::nullopt;
  if (*l == 0 && *r == 0)
    return 0;
  switch (expr.getKind()) {
  case AffineExprKind::Add:
    return *l + *r;
  case AffineExprKind::Mul:
    if (auto c = asConstant(binary.getRHS()))
      return *l * *c;
    return std::nullopt;
  case AffineExprKind::FloorDiv:
  case AffineExprKind::Mod:
    // A block of lanes that starts at a multiple of `lanes` does not cross a multiple of the divisor.
    if (auto c = asConstant(binary.getRHS());
        c && *r == 0 && *l == 1 && *c % lanes == 0 && alignOf(binary.getLHS()) % lanes == 0)
      return expr.getKind() == AffineExprKind::Mod ? 1 : 0;
    return std::nullopt;
  default:
    return std::nullopt;
  }
}

bool Evaluator::mayBeNegative(AffineExpr expr) {
  bool hasMinus = false; // dimensions and sizes are not negative
  expr.walk([&](AffineExpr part) {
    auto constant = dyn_cast<AffineConstantExpr>(part);
    hasMinus |= constant && constant.getValue() < 0;
  });
  return hasMinus && !simplifier().isBetween(expr, normalize(expr + 1));
}

/// Quotient or remainder, rounded down as in affine expressions. Unsigned division is faster and does where `l` is not
/// negative.
Value Evaluator::divide(AffineExprKind kind, AffineExpr dividend, Value l, Value r) {
  bool isRemainder = kind == AffineExprKind::Mod;
  bool isVector = isa<VectorType>(l.getType());
  if (kind == AffineExprKind::CeilDiv && isVector) {
    Value less = arith::SubIOp::create(e.b, e.loc, r, e.splat(e.i64(1), lanes));
    l = arith::AddIOp::create(e.b, e.loc, l, less);
  } else if (kind == AffineExprKind::CeilDiv) {
    l = e.add(l, e.sub(r, e.i64(1)));
  }
  if (!mayBeNegative(dividend)) {
    if (!isVector)
      return isRemainder ? e.rem(l, r) : e.divFloor(l, r);
    return isRemainder ? arith::RemUIOp::create(e.b, e.loc, l, r).getResult()
                       : arith::DivUIOp::create(e.b, e.loc, l, r).getResult();
  }
  Value zero = e.i64(0);
  if (isVector)
    zero = e.splat(zero, lanes);
  Value rest = arith::RemSIOp::create(e.b, e.loc, l, r);
  Value isBelow = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::slt, rest, zero);
  if (isRemainder)
    return arith::SelectOp::create(e.b, e.loc, isBelow, arith::AddIOp::create(e.b, e.loc, rest, r), rest);
  Value quotient = arith::DivSIOp::create(e.b, e.loc, l, r);
  return arith::AddIOp::create(e.b, e.loc, quotient, arith::ExtSIOp::create(e.b, e.loc, quotient.getType(), isBelow));
}

Value Evaluator::index(AffineExpr expr) {
  if (auto c = dyn_cast<AffineConstantExpr>(expr))
    return e.i64(c.getValue());
  if (auto d = dyn_cast<AffineDimExpr>(expr))
    return dims[d.getPosition()].value;
  for (Scope &scope : llvm::reverse(scopes))
    if (Value value = scope.indices.lookup(expr))
      return value;
  Value result;
  if (isa<AffineSymbolExpr>(expr)) {
    result = e.size(expr);
  } else {
    auto binary = cast<AffineBinaryOpExpr>(expr);
    Value l = index(binary.getLHS()), r = index(binary.getRHS());
    switch (expr.getKind()) {
    case AffineExprKind::Add:
      result = e.add(l, r);
      break;
    case AffineExprKind::Mul:
      result = e.mul(l, r);
      break;
    default:
      result = divide(expr.getKind(), binary.getLHS(), l, r);
    }
  }
  scopes.back().indices[expr] = result;
  return result;
}

Value Evaluator::toVector(Value value) {
  if (lanes == 1 || isa<VectorType>(value.getType()))
    return value;
  for (Scope &scope : llvm::reverse(scopes))
    if (Value vector = scope.splats.lookup(value))
      return vector;
  Value vector = e.splat(value, lanes);
  scopes.back().splats[value] = vector;
  return vector;
}

Value Evaluator::lanesOf(AffineExpr expr) {
  std::optional<int64_t> stride = laneStride(expr);
  if (stride == 0)
    return index(expr);
  for (Scope &scope : llvm::reverse(scopes))
    if (Value value = scope.lanes.lookup(expr))
      return value;
  Value result;
  if (stride) {
    Value steps = e.iota(lanes);
    if (*stride != 1)
      steps = arith::MulIOp::create(e.b, e.loc, steps, e.splat(e.i64(*stride), lanes));
    result = arith::AddIOp::create(e.b, e.loc, toVector(index(expr)), steps);
  } else if (auto d = dyn_cast<AffineDimExpr>(expr)) {
    result = dims[d.getPosition()].perLane;
  } else {
    auto binary = cast<AffineBinaryOpExpr>(expr);
    Value l = toVector(lanesOf(binary.getLHS())), r = toVector(lanesOf(binary.getRHS()));
    switch (expr.getKind()) {
    case AffineExprKind::Add:
      result = arith::AddIOp::create(e.b, e.loc, l, r);
      break;
    case AffineExprKind::Mul:
      result = arith::MulIOp::create(e.b, e.loc, l, r);
      break;
    default:
      result = divide(expr.getKind(), binary.getLHS(), l, r);
    }
  }
  scopes.back().lanes[expr] = result;
  return result;
}

//===----------------------------------------------------------------------===//
// Conditions
//===----------------------------------------------------------------------===//

Value Evaluator::both(Value a, Value b) {
  if (!a || !b)
    return a ? a : b;
  if (isa<VectorType>(a.getType()) != isa<VectorType>(b.getType()))
    a = toVector(a), b = toVector(b);
  return arith::AndIOp::create(e.b, e.loc, a, b);
}

Value Evaluator::isWithin(AffineExpr expr, AffineExpr lo, AffineExpr hi) {
  IndexSimplifier simple = simplifier();
  expr = simple.simplify(expr);
  Value result;
  auto compare = [&](arith::CmpIPredicate predicate, AffineExpr bound) {
    Value l = lanesOf(expr), r = index(bound);
    if (isa<VectorType>(l.getType()))
      r = toVector(r);
    result = both(result, arith::CmpIOp::create(e.b, e.loc, predicate, l, r));
  };
  AffineExpr zero = getAffineConstantExpr(0, expr.getContext());
  bool lowHolds = lo == zero && simple.isBetween(expr, normalize(expr + 1));
  if (!lowHolds)
    compare(arith::CmpIPredicate::sge, lo);
  if (!simple.isBetween(expr, hi))
    compare(arith::CmpIPredicate::slt, hi);
  return result;
}

Value Evaluator::guarded(Value condition, function_ref<Value()> body) {
  if (!condition)
    return body();
  Value savedMask = mask, savedUniform = uniform;
  if (isa<VectorType>(condition.getType()))
    mask = both(mask, condition);
  else
    uniform = both(uniform, condition);
  Value result;
  scope([&] { result = body(); }); // a load made under a condition is not the same as one without
  mask = savedMask;
  uniform = savedUniform;
  return result;
}

void Evaluator::add(Inside &inside, Value condition) {
  if (!condition)
    return;
  Value &part = isa<VectorType>(condition.getType()) ? inside.lanes : inside.scalar;
  part = both(part, condition);
}

Value Evaluator::guarded(const Inside &inside, function_ref<Value()> body) {
  return guarded(inside.scalar, [&] { return guarded(inside.lanes, body); });
}

Value Evaluator::selectValue(Value condition, Value a, Value b) {
  bool wide = isa<VectorType>(a.getType()) || isa<VectorType>(b.getType()) || isa<VectorType>(condition.getType());
  if (wide)
    a = toVector(a), b = toVector(b), condition = toVector(condition);
  return e.select(condition, a, b);
}

//===----------------------------------------------------------------------===//
// Loads and stores
//===----------------------------------------------------------------------===//

Value Evaluator::load(Value pointer, RankedTensorType type, const Point &point) {
  return loadAt(pointer, type.getElementType(), linearize(point, getDims(type), e.b.getContext()), mayBeEmpty(type));
}

bool Evaluator::mayBeEmpty(RankedTensorType type) {
  return llvm::any_of(getDims(type), [&](AffineExpr size) { return mayBeNegative(normalize(size - 1)); });
}

/// Place of an element of a constant that is stored in a layout.
static AffineExpr addressIn(kernel::LayoutAttr layout, const Point &point, ArrayRef<AffineExpr> sizes,
                            MLIRContext *context) {
  Point columns, depths;
  Dims columnSizes, depthSizes;
  for (auto [i, dim] : llvm::enumerate(layout.getOrder())) {
    bool isColumn = static_cast<int64_t>(i) < layout.getN();
    (isColumn ? columns : depths).push_back(point[dim]);
    (isColumn ? columnSizes : depthSizes).push_back(sizes[dim]);
  }
  AffineExpr column = linearize(columns, columnSizes, context), depth = linearize(depths, depthSizes, context);
  AffineExpr depthCount = product(depthSizes, context);
  int64_t width = layout.getWidth();
  if (width == 0)
    return column * depthCount + depth;
  AffineExpr own = normalize(product(columnSizes, context).floorDiv(layout.getGroups()));
  AffineExpr panel = column.floorDiv(width);
  if (layout.getGroups() != 1) {
    panel = column.floorDiv(own) * own.ceilDiv(width) + (column % own).floorDiv(width);
    column = column % own;
  }
  return (panel * depthCount + depth) * width + column % width;
}

Value Evaluator::loadArgument(BlockArgument argument, const Point &point) {
  auto type = cast<RankedTensorType>(argument.getType());
  Value pointer = e.inputPointer(argument.getArgNumber());
  kernel::LayoutAttr layout = e.kernel.getLayout(argument.getArgNumber());
  if (!layout)
    return load(pointer, type, point);
  return loadAt(pointer, type.getElementType(), addressIn(layout, point, getDims(type), e.b.getContext()),
                mayBeEmpty(type));
}

Value Evaluator::loadAt(Value pointer, Type element, AffineExpr address, bool mayBeEmpty) {
  address = simplifier().simplify(address);
  std::optional<int64_t> stride = laneStride(address);
  if (stride == 0) {
    Value at = index(address);
    if (uniform && mayBeEmpty) { // what surrounds an empty tensor, as padding does, is evaluated
      auto read = scf::IfOp::create(
          e.b, e.loc, uniform,
          [&](OpBuilder &b, Location loc) { scf::YieldOp::create(b, loc, e.loadScalar(pointer, element, at)); },
          [&](OpBuilder &b, Location loc) { scf::YieldOp::create(b, loc, e.zeros(element)); });
      return read.getResult(0);
    }
    if (uniform)
      at = e.select(uniform, at, e.i64(0)); // element 0 exists
    return e.loadScalar(pointer, element, at);
  }
  Value lanesOn = mask;
  if (uniform)
    lanesOn = both(lanesOn, toVector(uniform));
  if (stride == 1)
    return e.loadVector(pointer, element, index(address), lanes, lanesOn, alignOf(address));
  if (stride == -1) {
    Value reversed;
    SmallVector<int64_t> order;
    for (int64_t i = 0; i < lanes; ++i)
      order.push_back(lanes - 1 - i);
    if (lanesOn)
      lanesOn = vector::ShuffleOp::create(e.b, e.loc, lanesOn, lanesOn, order);
    reversed = e.loadVector(pointer, element, e.sub(index(address), e.i64(lanes - 1)), lanes, lanesOn);
    return vector::ShuffleOp::create(e.b, e.loc, reversed, reversed, order);
  }
  return e.gather(pointer, element, lanesOf(address), lanesOn);
}

void Evaluator::store(Value pointer, RankedTensorType type, const Point &point, Value value) {
  AffineExpr address = simplifier().simplify(linearize(point, getDims(type), e.b.getContext()));
  Type element = type.getElementType();
  if (lanes == 1) {
    e.storeScalar(pointer, element, index(address), value);
    return;
  }
  value = toVector(value);
  if (laneStride(address) == 1)
    e.storeVector(pointer, element, index(address), value, mask, alignOf(address));
  else
    e.scatter(pointer, element, toVector(lanesOf(address)), value, mask);
}

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

bool Evaluator::canEvaluate(Operation *op) {
  if (auto constant = dyn_cast<ConstantOp>(op))
    return isa<SplatElementsAttr>(constant.getValue());
  return isa<MapOp, PermuteOp, ReshapeOp, BroadcastOp, SliceOp, ReverseOp, AssertDimOp, PadOp, ConcatOp, InsertSliceOp,
             GatherOp, SizeOp>(op);
}

Value Evaluator::vectorAt(Value value, const Point &point) {
  Value result = at(value, point);
  return result ? toVector(result) : result;
}

Value Evaluator::at(Value value, Point point) {
  IndexSimplifier simple = simplifier();
  Key key{value.getAsOpaquePointer(), {}};
  for (AffineExpr &index : point) {
    index = simple.simplify(index);
    key.second.push_back(index.getAsOpaquePointer());
  }
  for (Scope &scope : llvm::reverse(scopes))
    if (auto it = scope.values.find(key); it != scope.values.end())
      return it->second;
  auto bound = bounds.find(value);
  Value result = bound != bounds.end() ? bound->second(point) : compute(value, point);
  if (result)
    scopes.back().values[key] = result;
  return result;
}

Value Evaluator::compute(Value value, const Point &point) {
  // Memory is read in the shape at hand, whatever shape it was made in.
  for (Value source = value;;) {
    if (Value pointer = buffers.lookup(source))
      return load(pointer, cast<RankedTensorType>(value.getType()), point);
    if (auto argument = dyn_cast<BlockArgument>(source)) {
      if (source == value)
        return loadArgument(argument, point);
      if (e.kernel.getLayout(argument.getArgNumber()))
        break; // in panels: the address follows from the shape it was packed in
      return load(e.inputPointer(argument.getArgNumber()), cast<RankedTensorType>(value.getType()), point);
    }
    if (!isa<ReshapeOp, AssertDimOp>(source.getDefiningOp()) || bounds.contains(source.getDefiningOp()->getOperand(0)))
      break;
    source = source.getDefiningOp()->getOperand(0);
  }
  Operation *op = value.getDefiningOp();
  if (auto moved = pullThrough(op, point, simplifier()))
    return at(moved->first, moved->second);
  return llvm::TypeSwitch<Operation *, Value>(op)
      .Case([&](MapOp map) -> Value {
        SmallVector<Value> results = computeMap(map, point);
        if (results.empty())
          return {};
        // All results of a map are known at once.
        Key key{nullptr, {}};
        for (AffineExpr index : point)
          key.second.push_back(index.getAsOpaquePointer());
        for (auto [result, computed] : llvm::zip(map.getResults(), results)) {
          key.first = Value(result).getAsOpaquePointer();
          if (!bounds.contains(result))
            scopes.back().values[key] = computed;
        }
        return results[cast<OpResult>(value).getResultNumber()];
      })
      .Case([&](ConstantOp constant) -> Value {
        auto splat = cast<SplatElementsAttr>(constant.getValue());
        return e.constant(cast<TypedAttr>(splat.getSplatValue<Attribute>()));
      })
      .Case([&](SizeOp size) -> Value {
        ArrayRef<AffineExpr> exprs = size.getExprs().getExprs();
        Value result = e.size(exprs[0]);
        Value position = point.empty() ? Value() : lanesOf(point[0]);
        for (unsigned i = 1; i < exprs.size(); ++i) {
          Value here = e.i64(i);
          if (isa<VectorType>(position.getType()))
            here = toVector(here);
          Value isHere = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::eq, position, here);
          result = selectValue(isHere, e.size(exprs[i]), result);
        }
        return result;
      })
      .Case([&](PadOp pad) { return computePad(pad, point); })
      .Case([&](ConcatOp concat) { return computeConcat(concat, point); })
      .Case([&](InsertSliceOp insert) { return computeInsertSlice(insert, point); })
      .Case([&](GatherOp gather) { return computeGather(gather, point); })
      .Default([&](Operation *) -> Value {
        op->emitOpError("cannot be evaluated point by point inside a kernel");
        return {};
      });
}

SmallVector<Value> Evaluator::computeMap(MapOp op, const Point &point) {
  DenseMap<Value, Value> values;
  for (auto [i, input] : llvm::enumerate(op.getInputs())) {
    Value value = at(input, applyMap(op.getMap(i), point));
    if (!value)
      return {};
    values[op.getBlock()->getArgument(i)] = value;
  }
  for (Operation &inner : op.getBlock()->without_terminator()) {
    if (auto index = dyn_cast<IndexOp>(inner)) {
      values[index.getResult()] = lanesOf(point[index.getDim()]);
      continue;
    }
    if (auto size = dyn_cast<SizeValueOp>(inner)) {
      values[size.getResult()] = e.size(size.getExpr().getExprs()[0]);
      continue;
    }
    SmallVector<Value> operands;
    bool isWide = false;
    for (Value operand : inner.getOperands()) {
      operands.push_back(values.lookup(operand));
      isWide |= isa<VectorType>(operands.back().getType());
    }
    SmallVector<Type> types;
    for (Type type : inner.getResultTypes())
      types.push_back(isWide ? Type(e.vectorOf(type, lanes)) : type);
    if (isWide)
      for (Value &operand : operands)
        operand = toVector(operand);
    OperationState state(e.loc, inner.getName(), operands, types, inner.getAttrs());
    state.propertiesAttr = inner.getPropertiesAsAttribute();
    Operation *clone = e.b.create(state);
    for (auto [from, to] : llvm::zip(inner.getResults(), clone->getResults()))
      values[from] = to;
  }
  SmallVector<Value> results;
  for (Value value : cast<YieldOp>(op.getBlock()->getTerminator()).getValues())
    results.push_back(values.lookup(value));
  return results;
}

Value Evaluator::computePad(PadOp op, const Point &point) {
  Dims in = getDims(op.getInput().getType());
  Point inner;
  Inside inside;
  AffineExpr zero = getAffineConstantExpr(0, op.getContext());
  for (auto [index, low, size] : llvm::zip(point, op.getLow().getExprs(), in)) {
    inner.push_back(normalize(index - low));
    if (asConstant(low) != 0 || getDim(op.getType(), inner.size() - 1) != size)
      add(inside, isWithin(inner.back(), zero, size));
  }
  Value padding = e.constant(op.getValue());
  Value value = guarded(inside, [&] { return at(op.getInput(), inner); }), isInside = both(inside.scalar, inside.lanes);
  if (!value || !isInside)
    return value;
  return selectValue(isInside, value, padding);
}

Value Evaluator::computeConcat(ConcatOp op, const Point &point) {
  unsigned dim = op.getDim();
  AffineExpr begin = getAffineConstantExpr(0, op.getContext());
  Value result;
  for (auto [i, input] : llvm::enumerate(op.getInputs())) {
    AffineExpr end = normalize(begin + getDim(input.getType(), dim));
    Point inner(point);
    inner[dim] = normalize(point[dim] - begin);
    Value inside = isWithin(point[dim], begin, end);
    Value value = guarded(inside, [&] { return at(input, inner); });
    if (!value)
      return {};
    result = !result || !inside ? value : selectValue(inside, value, result);
    if (!inside)
      break;
    begin = end;
  }
  return result;
}

Value Evaluator::computeInsertSlice(InsertSliceOp op, const Point &point) {
  Dims counts = getDims(op.getSource().getType());
  AffineExpr zero = getAffineConstantExpr(0, op.getContext());
  Point inner;
  Inside inside;
  for (auto [index, offset, stride, count] : llvm::zip(point, op.getOffsets().getExprs(), op.getStrides(), counts)) {
    AffineExpr moved = normalize(index - offset);
    if (stride == 1) {
      inner.push_back(moved);
      add(inside, isWithin(moved, zero, count));
      continue;
    }
    // Positions between the steps belong to dest: moved must be a multiple of the stride.
    add(inside, isWithin(moved, zero, normalize(count * stride)));
    Value rest = guarded(inside, [&] { return lanesOf(moved % stride); });
    Value none = isa<VectorType>(rest.getType()) ? e.zeros(rest.getType()) : e.i64(0);
    add(inside, arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::eq, rest, none));
    inner.push_back(moved.floorDiv(stride));
  }
  Value source = guarded(inside, [&] { return at(op.getSource(), inner); }), isInside = both(inside.scalar, inside.lanes);
  if (!source || !isInside)
    return source;
  Value dest = at(op.getDest(), point);
  return dest ? selectValue(isInside, source, dest) : dest;
}

Value Evaluator::computeGather(GatherOp op, const Point &point) {
  Dims sizes = getDims(op.getData().getType());
  Point inner;
  Inside inside;
  for (auto [i, coord] : llvm::enumerate(op.getCoords())) {
    if (coord >= 0) {
      inner.push_back(point[coord]);
      continue;
    }
    unsigned number = -coord - 1;
    AffineMap map = cast<AffineMapAttr>(op.getIndexingMaps()[number]).getValue();
    Value position = at(op.getIndices()[number], applyMap(map, point));
    if (!position)
      return {};
    Type wide = e.b.getI64Type();
    if (auto vector = dyn_cast<VectorType>(position.getType()))
      wide = e.vectorOf(wide, vector.getNumElements());
    if (position.getType() != wide)
      position = arith::ExtSIOp::create(e.b, e.loc, wide, position);
    // An index outside is reported, and read as 0 so that nothing else is touched.
    Value limit = e.size(sizes[i]), bad;
    Value zero = e.i64(0);
    if (isa<VectorType>(wide)) {
      bad = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::uge, position, e.splat(limit, lanes));
      if (mask)
        bad = both(bad, mask);
      if (uniform)
        bad = both(bad, toVector(uniform));
      position = e.select(bad, e.splat(zero, lanes), position);
    } else {
      bad = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::uge, position, limit);
      position = e.select(bad, zero, position);
      if (uniform)
        bad = both(bad, uniform);
    }
    if (auto site = op->getAttrOfType<IntegerAttr>("site")) {
      Value any = isa<VectorType>(wide) ? e.reduceLanes(ReduceKind::Any, bad) : bad;
      e.fail(any, site.getInt(), limit, e.i64(i));
    }
    Dim dim;
    if (isa<VectorType>(wide))
      dim.perLane = position;
    else
      dim.value = position;
    dims.push_back(dim);
    inner.push_back(getAffineDimExpr(dims.size() - 1, op.getContext()));
    if (mayBeEmpty(op.getData().getType())) // then there is no element 0 either
      add(inside, arith::XOrIOp::create(e.b, e.loc, bad, e.constant(cast<TypedAttr>(e.b.getOneAttr(bad.getType())))));
  }
  return guarded(inside, [&] { return at(op.getData(), inner); });
}
