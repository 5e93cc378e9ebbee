//===- ControlSteps.cpp - recurrences, branches and loops of random modules ===//
#include "GeneratorSteps.h"

namespace tenon::fuzz {

/// A computation of a tensor of x's shape, where the builder stands: what regions are filled with.
Value Generator::changed(Value x, double step) {
  auto type = cast<RankedTensorType>(x.getType());
  Dims dims = graph::getDims(type);
  int64_t rank = type.getRank(), kind = below(6), along = below(rank);
  Type element = type.getElementType();
  if (rank == 0 || kind == 0)
    return map(dims, element, x, identity(rank), [&](OpBuilder &bb, ValueRange v) -> Value {
      return arith::AddFOp::create(bb, loc, v[0], number(bb, element, step));
    });
  switch (kind) {
  case 1:
    return graph::ReverseOp::create(b, loc, type, x, ArrayRef<int64_t>(along));
  case 2: { // minus the mean along a dimension
    Dims rest = dims;
    rest.erase(rest.begin() + along);
    SmallVector<AffineExpr> reads;
    for (int64_t i = 0; i < rank; ++i)
      if (i != along)
        reads.push_back(getAffineDimExpr(i, context));
    double count = static_cast<double>(std::max<int64_t>(1, elements({dims[along]})));
    Value sum = graph::ReduceOp::create(b, loc, typeOf(rest, element), graph::ReduceKind::Sum, x, ArrayRef<int64_t>(along));
    return map(dims, element, {x, sum}, {identity(rank), AffineMap::get(rank, 0, reads, context)},
               [&](OpBuilder &bb, ValueRange v) -> Value {
                 Value part = arith::MulFOp::create(bb, loc, v[1], number(bb, element, 1 / count));
                 return arith::SubFOp::create(bb, loc, v[0], part);
               });
  }
  case 3: { // times a square matrix along the last dimension
    std::optional<int64_t> n = fixed(dims.back());
    if (!n)
      break;
    Value matrix = map({constant(*n), constant(*n)}, element, {}, {}, [&](OpBuilder &bb, ValueRange) -> Value {
      Value i = graph::IndexOp::create(bb, loc, bb.getI64Type(), static_cast<int64_t>(0));
      Value j = graph::IndexOp::create(bb, loc, bb.getI64Type(), static_cast<int64_t>(1));
      Value both = arith::AddIOp::create(bb, loc, arith::AddIOp::create(bb, loc, i, i), j);
      Value wave = math::SinOp::create(bb, loc, arith::SIToFPOp::create(bb, loc, element, both));
      return arith::MulFOp::create(bb, loc, wave, number(bb, element, 1.0 / static_cast<double>(std::max<int64_t>(1, *n))));
    });
    SmallVector<AffineExpr> left, right{getAffineDimExpr(rank, context), getAffineDimExpr(rank - 1, context)}, out;
    for (int64_t i = 0; i < rank; ++i) {
      left.push_back(getAffineDimExpr(i, context));
      out.push_back(getAffineDimExpr(i == rank - 1 ? rank : i, context));
    }
    auto toMap = [&](ArrayRef<AffineExpr> list) { return AffineMap::get(rank + 1, 0, list, context); };
    return graph::ContractOp::create(b, loc, type, x, matrix,
                                     b.getAffineMapArrayAttr({toMap(left), toMap(right), toMap(out)}));
  }
  case 4: { // the mean of a running sum
    double count = static_cast<double>(std::max<int64_t>(1, elements({dims[along]})));
    Value sums = graph::CumulateOp::create(b, loc, graph::ReduceKind::Sum, x, along);
    return map(dims, element, sums, identity(rank), [&](OpBuilder &bb, ValueRange v) -> Value {
      return arith::MulFOp::create(bb, loc, v[0], number(bb, element, 1 / count));
    });
  }
  default:
    break;
  }
  return map(dims, element, x, identity(rank),
             [&](OpBuilder &bb, ValueRange v) -> Value { return math::TanhOp::create(bb, loc, v[0]); });
}

/// A recurrence over the first dimension: what is carried, and all of its steps.
void Generator::recur() {
  const Item *found = pickIf([](const Item &x) { return x.element().isF32() && x.rank() >= 1 && x.rank() <= 3; });
  if (!found)
    return;
  Item x = *found;
  Dims dims = x.dims(), slice(dims.begin() + 1, dims.end());
  RankedTensorType type = typeOf(slice, x.element());
  Value start = map(slice, x.element(), {}, {},
                    [&](OpBuilder &bb, ValueRange) -> Value { return number(bb, x.element(), 0.25); });
  auto scan = graph::ScanOp::create(b, loc, {type, x.type()}, ValueRange(start), ValueRange(x.value), ValueRange(),
                                    chance(40) ? b.getUnitAttr() : UnitAttr());
  Block &body = scan.getBody().emplaceBlock();
  Value carried = body.addArgument(type, loc), element = body.addArgument(type, loc);
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(&body);
    AffineMap read = identity(slice.size());
    Value next = map(slice, x.element(), {carried, element}, {read, read}, [&](OpBuilder &bb, ValueRange v) -> Value {
      Value half = arith::MulFOp::create(bb, loc, v[0], number(bb, x.element(), 0.5));
      return arith::AddFOp::create(bb, loc, half, v[1]);
    });
    if (chance(30))
      next = changed(next, 0.25);
    graph::YieldOp::create(b, loc, ValueRange{next, chance(50) ? next : carried});
  }
  add(scan.getResult(0), false, 4 * x.bound + 2);
  add(scan.getResult(1), false, 4 * x.bound + 2);
}

/// A cell of a recurrent network: two products, with weights that are captured, and tanh.
void Generator::cell() {
  const Item *found = pickIf([](const Item &x) {
    return x.element().isF32() && x.rank() >= 2 && x.rank() <= 3 && fixed(x.dims().back()) && x.bound <= 64;
  });
  if (!found)
    return;
  Item x = *found;
  Dims dims = x.dims(), slice(dims.begin() + 1, dims.end()), state = slice, stack = dims;
  AffineExpr width = slice.back(), hidden = constant(size());
  state.back() = stack.back() = hidden;
  if (elements(stack) > 20000)
    return;
  RankedTensorType carriedType = typeOf(state, x.element());
  // With larger weights the recurrence would make differences larger from step to step.
  auto weightOf = [&](AffineExpr lines) {
    return weight({lines, hidden}, 1 / static_cast<double>(std::max<int64_t>(1, elements({lines}))));
  };
  Value first = weightOf(width), second = weightOf(hidden);
  Value start = wave(state, x.element(), 0.4);
  auto scan = graph::ScanOp::create(b, loc, {carriedType, typeOf(stack, x.element())}, ValueRange(start),
                                    ValueRange(x.value), ValueRange{first, second},
                                    chance(40) ? b.getUnitAttr() : UnitAttr());
  Block &body = scan.getBody().emplaceBlock();
  for (Type type : {Type(carriedType), Type(typeOf(slice, x.element())), first.getType(), second.getType()})
    body.addArgument(type, loc);
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(&body);
    int64_t rank = slice.size();
    SmallVector<AffineExpr> left, out;
    for (int64_t i = 0; i < rank; ++i) {
      left.push_back(getAffineDimExpr(i, context));
      out.push_back(getAffineDimExpr(i == rank - 1 ? rank : i, context));
    }
    auto toMap = [&](ArrayRef<AffineExpr> list) { return AffineMap::get(rank + 1, 0, list, context); };
    ArrayAttr maps = b.getAffineMapArrayAttr(
        {toMap(left), toMap({getAffineDimExpr(rank - 1, context), getAffineDimExpr(rank, context)}), toMap(out)});
    Value seen = graph::ContractOp::create(b, loc, carriedType, body.getArgument(1), body.getArgument(2), maps);
    Value kept = graph::ContractOp::create(b, loc, carriedType, body.getArgument(0), body.getArgument(3), maps);
    AffineMap read = identity(rank);
    Value next = map(state, x.element(), {seen, kept}, {read, read}, [&](OpBuilder &bb, ValueRange v) -> Value {
      return math::TanhOp::create(bb, loc, arith::AddFOp::create(bb, loc, v[0], v[1]));
    });
    graph::YieldOp::create(b, loc, ValueRange{next, next});
  }
  add(scan.getResult(0), false, 1);
  add(scan.getResult(1), false, 1);
}

/// Whether the largest element of an exact tensor is above a bound.
Value Generator::predicate(const Item &x, double bound) {
  SmallVector<int64_t> all = llvm::to_vector(llvm::seq<int64_t>(0, x.rank()));
  Value top = graph::ReduceOp::create(b, loc, typeOf({}, x.element()), graph::ReduceKind::Max, x.value, all);
  return map({}, b.getI1Type(), top, identity(0), [&](OpBuilder &bb, ValueRange v) -> Value {
    return arith::CmpFOp::create(bb, loc, arith::CmpFPredicate::OGT, v[0], number(bb, x.element(), bound));
  });
}

/// One of two computations of one tensor.
void Generator::branch() {
  const Item *decides = pickIf([](const Item &x) { return x.isFloat() && x.isExact; });
  const Item *found = pickFloat();
  if (!decides || !found)
    return;
  Item x = *found;
  Value condition = predicate(*decides, static_cast<double>(below(7) - 3) / 4);
  auto cond = graph::CondOp::create(b, loc, x.value.getType(), condition, x.value);
  for (Region *region : {&cond.getThenBody(), &cond.getElseBody()}) {
    OpBuilder::InsertionGuard guard(b);
    Block &block = region->emplaceBlock();
    Value inside = block.addArgument(x.value.getType(), loc);
    b.setInsertionPointToStart(&block);
    Value result = inside;
    if (chance(70))
      result = changed(inside, region == &cond.getThenBody() ? 1 : -2);
    graph::YieldOp::create(b, loc, result);
  }
  add(cond.getResult(0), false, 2 * x.bound + 2);
}

/// A loop that counts in a tensor of i64 and changes another one at each step; without a step now and then.
void Generator::loop() {
  const Item *found = pickFloat();
  if (!found)
    return;
  Item x = *found;
  auto countType = typeOf({}, b.getI64Type());
  int64_t first = below(4);
  Value zero = map({}, b.getI64Type(), {}, {}, [&](OpBuilder &bb, ValueRange) -> Value {
    return arith::ConstantOp::create(bb, loc, bb.getI64IntegerAttr(first));
  });
  auto loop = graph::WhileOp::create(b, loc, TypeRange{countType, x.value.getType()}, ValueRange{zero, x.value},
                                     ValueRange{x.value});
  auto enter = [&](Region &region) -> Block & {
    Block &block = region.emplaceBlock();
    for (Type type : {Type(countType), x.value.getType(), x.value.getType()})
      block.addArgument(type, loc);
    b.setInsertionPointToStart(&block);
    return block;
  };
  OpBuilder::InsertionGuard guard(b);
  Block &condition = enter(loop.getCondition());
  Value goesOn = map({}, b.getI1Type(), condition.getArgument(0), identity(0), [&](OpBuilder &bb, ValueRange v) -> Value {
    Value limit = arith::ConstantOp::create(bb, loc, bb.getI64IntegerAttr(3));
    return arith::CmpIOp::create(bb, loc, arith::CmpIPredicate::slt, v[0], limit);
  });
  graph::YieldOp::create(b, loc, goesOn);
  Block &body = enter(loop.getBody());
  Value next = map({}, b.getI64Type(), body.getArgument(0), identity(0), [&](OpBuilder &bb, ValueRange v) -> Value {
    return arith::AddIOp::create(bb, loc, v[0], arith::ConstantOp::create(bb, loc, bb.getI64IntegerAttr(1)));
  });
  AffineMap read = identity(x.rank());
  Value moved = map(x.dims(), x.element(), {body.getArgument(1), body.getArgument(2)}, {read, read},
                      [&](OpBuilder &bb, ValueRange v) -> Value {
                        Value half = arith::MulFOp::create(bb, loc, v[0], number(bb, x.element(), 0.5));
                        return arith::SubFOp::create(bb, loc, half, v[1]);
                      });
  if (chance(50))
    moved = changed(moved, 0.5);
  graph::YieldOp::create(b, loc, ValueRange{next, moved});
  b.setInsertionPointAfter(loop);
  add(loop.getResult(0), true, 64);
  add(loop.getResult(1), false, 64 * x.bound + 8);
}

} // namespace tenon::fuzz
