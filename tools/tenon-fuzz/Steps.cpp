//===- Steps.cpp - reductions, products, lookups of random modules --------===//
#include "GeneratorSteps.h"

namespace tenon::fuzz {

void Generator::reduce() {
  const Item *found = pickFloat(1);
  if (!found)
    return;
  Item x = *found;
  Dims rest;
  SmallVector<int64_t> which;
  for (auto [i, dim] : llvm::enumerate(x.dims()))
    if (chance(50))
      which.push_back(i);
    else
      rest.push_back(dim);
  if (which.empty())
    return;
  static constexpr graph::ReduceKind kinds[] = {graph::ReduceKind::Sum, graph::ReduceKind::Max, graph::ReduceKind::Min};
  graph::ReduceKind kind = kinds[below(3)];
  double count = static_cast<double>(elements(x.dims())) / std::max<int64_t>(1, elements(rest));
  Item result{graph::ReduceOp::create(b, loc, typeOf(rest, x.element()), kind, x.value, which),
              x.isExact && kind != graph::ReduceKind::Sum, x.bound};
  if (kind == graph::ReduceKind::Sum) {
    result.bound = x.bound * count;
    result = scaled(result, 1 / std::max(1.0, count));
  } else if (!llvm::all_of(which, [&](int64_t i) { return fixed(x.dims()[i]).value_or(0) > 0; })) {
    return; // the identity of an empty maximum is infinite
  }
  items.push_back(result);
}

void Generator::argReduce() {
  const Item *found = pickIf([](const Item &x) { return x.isFloat() && x.isExact && x.rank() >= 1; });
  if (!found)
    return;
  Item x = *found;
  int64_t along = below(x.rank());
  Dims dims = x.dims();
  if (fixed(dims[along]).value_or(0) < 1)
    return;
  dims.erase(dims.begin() + along);
  auto kind = graph::ReduceKindAttr::get(context, chance(50) ? graph::ReduceKind::Max : graph::ReduceKind::Min);
  add(graph::ArgReduceOp::create(b, loc, typeOf(dims, b.getI64Type()), kind, x.value, b.getI64IntegerAttr(along)), true,
      64);
}

void Generator::cumulate() {
  const Item *found = pickFloat(1);
  if (!found)
    return;
  Item x = *found;
  int64_t along = below(x.rank());
  graph::ReduceKind kind = chance(60) ? graph::ReduceKind::Sum : graph::ReduceKind::Max;
  Item result{graph::CumulateOp::create(b, loc, x.type(), graph::ReduceKindAttr::get(context, kind), x.value,
                                        b.getI64IntegerAttr(along)),
              x.isExact && kind == graph::ReduceKind::Max, x.bound};
  items.push_back(kind == graph::ReduceKind::Sum ? scaled(result, 0.125) : result);
}

void Generator::sort() {
  const Item *found = pickIf([](const Item &x) { return x.isFloat() && x.isExact && x.rank() >= 1; });
  if (!found)
    return;
  Item x = *found;
  auto op = graph::SortOp::create(b, loc, x.type(), graph::withElementType(x.type(), b.getI64Type()), x.value,
                                  b.getI64IntegerAttr(below(x.rank())), chance(50) ? b.getUnitAttr() : UnitAttr());
  add(op.getValues(), true, x.bound);
  add(op.getIndices(), true, 64);
}

/// x[..., k] with a weight or another value of the program, in some order of dimensions, batched or not.
void Generator::contract() {
  const Item *found = pickIf([](const Item &x) { return x.element().isF32() && x.rank() >= 1 && x.rank() <= 4; });
  if (!found)
    return;
  Item x = *found;
  int64_t rank = x.rank(), along = chance(70) ? rank - 1 : below(rank);
  Dims dims = x.dims();
  int64_t batch = rank >= 2 && along != 0 && chance(30) ? 1 : 0;
  AffineExpr k = dims[along], n = constant(size());
  // Iteration space: x's dimensions, then n.
  SmallVector<AffineExpr> xs, ws, rs;
  Dims wDims, rDims;
  for (int64_t i = 0; i < rank; ++i) {
    xs.push_back(getAffineDimExpr(i, context));
    if (i != along) {
      rs.push_back(xs.back());
      rDims.push_back(dims[i]);
    }
  }
  if (batch) {
    ws.push_back(xs[0]);
    wDims.push_back(dims[0]);
  }
  bool isTransposed = chance(50);
  ws.push_back(isTransposed ? AffineExpr(getAffineDimExpr(rank, context)) : xs[along]);
  wDims.push_back(isTransposed ? n : k);
  ws.push_back(isTransposed ? xs[along] : AffineExpr(getAffineDimExpr(rank, context)));
  wDims.push_back(isTransposed ? k : n);
  rs.push_back(getAffineDimExpr(rank, context));
  rDims.push_back(n);
  if (elements(rDims) > 100000)
    return;
  Value w;
  if (llvm::all_of(wDims, [](AffineExpr e) { return fixed(e).has_value(); }) && chance(60)) {
    w = weight(wDims, 1);
  } else {
    // From the program itself: of the same shape, or a map of positions.
    const Item *other = pickIf([&](const Item &c) { return c.element().isF32() && c.dims() == wDims && c.bound <= 8; });
    w = other ? other->value : map(wDims, b.getF32Type(), {}, {}, [&](OpBuilder &bb, ValueRange) -> Value {
      Value i = graph::IndexOp::create(bb, loc, bb.getI64Type(), static_cast<int64_t>(wDims.size()) - 1);
      Value f = arith::SIToFPOp::create(bb, loc, bb.getF32Type(), i);
      return math::SinOp::create(bb, loc, f);
    });
  }
  auto toMap = [&](ArrayRef<AffineExpr> list) { return AffineMap::get(rank + 1, 0, list, context); };
  Value value = graph::ContractOp::create(b, loc, typeOf(rDims, b.getF32Type()), x.value, w,
                                          b.getAffineMapArrayAttr({toMap(xs), toMap(ws), toMap(rs)}));
  double count = static_cast<double>(elements({k}));
  items.push_back(scaled({value, false, x.bound * 8 * count}, 1 / std::max(1.0, count)));
}

void Generator::convolve() {
  const Item *found = pickIf([](const Item &x) { return x.element().isF32() && x.rank() >= 3 && x.rank() <= 4; });
  Item x;
  if (found) {
    x = *found;
  } else {
    return;
  }
  Dims dims = x.dims();
  int64_t spatial = x.rank() - 2;
  std::optional<int64_t> channels = fixed(dims.back());
  if (!channels || *channels < 1)
    return;
  int64_t groups = chance(60) ? 1 : *channels, perGroup = *channels / groups;
  int64_t outputs = groups == 1 ? size() : groups * (1 + below(2));
  SmallVector<int64_t> strides, low, high, dilations;
  Dims filter{constant(outputs), constant(perGroup)}, result{dims[0]};
  int64_t taps = perGroup;
  for (int64_t d = 0; d < spatial; ++d) {
    AffineExpr n = dims[d + 1];
    int64_t window = 1 + below(3);
    strides.push_back(1 + below(2));
    dilations.push_back(chance(75) ? 1 : 2);
    low.push_back(below(3));
    high.push_back(below(3));
    int64_t reach = (window - 1) * dilations.back() + 1;
    AffineExpr room = n + low.back() + high.back() - reach;
    if (std::optional<int64_t> have = fixed(n);
        have ? *have + low.back() + high.back() < reach : low.back() + high.back() < reach)
      return;
    filter.push_back(constant(window));
    result.push_back(graph::normalize(room.floorDiv(strides.back()) + 1));
    taps *= window;
  }
  result.push_back(constant(outputs));
  if (elements(result) > 60000)
    return;
  SmallVector<int64_t> ones(spatial, 1);
  Value value = graph::ConvOp::create(b, loc, typeOf(result, b.getF32Type()), x.value, weight(filter, 1),
                                      b.getDenseI64ArrayAttr(strides), b.getDenseI64ArrayAttr(low),
                                      b.getDenseI64ArrayAttr(high), b.getDenseI64ArrayAttr(dilations),
                                      b.getDenseI64ArrayAttr(ones), b.getI64IntegerAttr(groups));
  items.push_back(scaled({value, false, x.bound * taps}, 1.0 / taps));
}

void Generator::pool() {
  const Item *found = pickFloat(3, 4);
  if (!found)
    return;
  Item x = *found;
  Dims dims = x.dims();
  SmallVector<int64_t> window(x.rank(), 1), strides(x.rank(), 1), low(x.rank(), 0), dilations(x.rank(), 1);
  for (int64_t d = 1; d + 1 < x.rank(); ++d) {
    std::optional<int64_t> n = fixed(dims[d]);
    if (!n || *n < 3)
      return;
    window[d] = 1 + below(3);
    strides[d] = 1 + below(2);
    low[d] = below(window[d]); // every window has a tap inside
    dims[d] = constant((*n + low[d] - window[d]) / strides[d] + 1);
  }
  graph::ReduceKind kind = chance(50) ? graph::ReduceKind::Max : graph::ReduceKind::Sum;
  Value value =
      graph::ReduceWindowOp::create(b, loc, typeOf(dims, x.element()), graph::ReduceKindAttr::get(context, kind),
                                    x.value, b.getDenseI64ArrayAttr(window), b.getDenseI64ArrayAttr(strides),
                                    b.getDenseI64ArrayAttr(low), b.getDenseI64ArrayAttr(dilations));
  add(value, x.isExact && kind == graph::ReduceKind::Max, 9 * x.bound);
}

/// Rows of a tensor at positions that come from exact numbers.
void Generator::gather() {
  const Item *data = pickFloat(1, 3);
  const Item *source = pickIf([](const Item &x) { return x.isFloat() && x.isExact && x.rank() <= 2; });
  if (!data || !source)
    return;
  Item x = *data, from = *source;
  int64_t rows = fixed(x.dims()[0]).value_or(0);
  if (rows < 1)
    return;
  Value positions =
      map(from.dims(), b.getI64Type(), from.value, identity(from.rank()), [&](OpBuilder &bb, ValueRange v) -> Value {
        Value times =
            arith::MulFOp::create(bb, loc, math::AbsFOp::create(bb, loc, v[0]), number(bb, from.element(), 8));
        Value whole = arith::FPToSIOp::create(bb, loc, bb.getI64Type(), times);
        Value count = arith::ConstantOp::create(bb, loc, bb.getI64IntegerAttr(rows));
        return arith::RemSIOp::create(bb, loc, whole, count);
      });
  Dims dims = from.dims();
  SmallVector<int64_t> coords{-1};
  SmallVector<AffineExpr> reads;
  for (int64_t i = 0; i < from.rank(); ++i)
    reads.push_back(getAffineDimExpr(i, context));
  for (int64_t i = 1; i < x.rank(); ++i) {
    coords.push_back(dims.size());
    dims.push_back(x.dims()[i]);
  }
  if (elements(dims) > 100000)
    return;
  auto read = AffineMap::get(dims.size(), 0, reads, context);
  add(graph::GatherOp::create(b, loc, typeOf(dims, x.element()), x.value, positions, b.getAffineMapArrayAttr(read),
                              coords),
      x.isExact, x.bound);
}

/// Rows of one tensor written or added to another of the same width, at positions in rising order modulo its length.
void Generator::scatter() {
  const Item *found = pickIf([](const Item &x) { return x.element().isF32() && x.rank() == 2; });
  if (!found)
    return;
  Item dest = *found;
  Dims dims = dest.dims();
  int64_t rows = fixed(dims[0]).value_or(0);
  if (rows < 1)
    return;
  Dims some{constant(size()), dims[1]};
  bool adds = chance(50);
  Value updates = map(some, b.getF32Type(), {}, {}, [&](OpBuilder &bb, ValueRange) -> Value {
    Value i = graph::IndexOp::create(bb, loc, bb.getI64Type(), static_cast<int64_t>(0));
    return arith::SIToFPOp::create(bb, loc, bb.getF32Type(), i);
  });
  int64_t factor = 1 + below(5);
  Value positions = map({some[0]}, b.getI64Type(), {}, {}, [&](OpBuilder &bb, ValueRange) -> Value {
    Value i = graph::IndexOp::create(bb, loc, bb.getI64Type(), static_cast<int64_t>(0));
    Value times = arith::MulIOp::create(bb, loc, i, arith::ConstantOp::create(bb, loc, bb.getI64IntegerAttr(factor)));
    return arith::RemSIOp::create(bb, loc, times, arith::ConstantOp::create(bb, loc, bb.getI64IntegerAttr(rows)));
  });
  auto read = AffineMap::get(2, 0, {getAffineDimExpr(0, context)}, context);
  add(graph::ScatterOp::create(b, loc, dest.type(), updates, dest.value, positions, b.getAffineMapArrayAttr(read),
                               ArrayRef<int64_t>({-1, 1}), adds ? graph::ScatterKind::Sum : graph::ScatterKind::Set),
      false, dest.bound + 64 * 20);
}

void Generator::attention() {
  const Item *found = pickIf([](const Item &x) { return x.element().isF32() && x.rank() == 4 && x.bound <= 16; });
  if (!found)
    return;
  Item q = *found;
  Dims dims = q.dims();
  if (!fixed(dims[1]) || !fixed(dims[3]) || *fixed(dims[1]) < 1 || *fixed(dims[3]) < 1)
    return;
  // Keys and values: all heads or one for all, of a length of their own or the query's.
  Dims keys = dims;
  if (chance(40))
    keys[1] = constant(1);
  bool causal = chance(40);
  if (!causal && chance(60))
    keys[2] = constant(size());
  auto wave = [&](double step) {
    return map(keys, b.getF32Type(), {}, {}, [&](OpBuilder &bb, ValueRange) -> Value {
      Value sum;
      for (int64_t d = 0; d < 4; ++d) {
        Value i = graph::IndexOp::create(bb, loc, bb.getI64Type(), d);
        Value f = arith::MulFOp::create(bb, loc, arith::SIToFPOp::create(bb, loc, bb.getF32Type(), i),
                                        number(bb, bb.getF32Type(), step * static_cast<double>(d + 1)));
        sum = sum ? Value(arith::AddFOp::create(bb, loc, sum, f)) : f;
      }
      return math::SinOp::create(bb, loc, sum);
    });
  };
  Value k = wave(0.7), v = wave(0.3);
  auto op = graph::AttentionOp::create(b, loc, q.type(), q.value, k, v, Value(), b.getF64FloatAttr(0.25),
                                       causal ? b.getUnitAttr() : UnitAttr(), UnitAttr(), AffineMapAttr());
  // An axis of keys that is empty gives NaN, in both, which is right but hides what follows.
  if (!causal && !fixed(keys[2]))
    return;
  add(op, false, 1);
}

/// Arithmetic of i64 on two tensors of one shape, or on one and its own elements moved.
void Generator::integers() {
  const Item *found = pickIf([](const Item &x) { return x.element().isInteger(64); });
  if (!found)
    return;
  Item x = *found;
  const Item *other = pickIf([&](const Item &c) { return c.value.getType() == x.value.getType(); });
  Item y = other ? *other : x;
  int64_t kind = below(9), amount = 1 + below(7);
  if (kind == 2 && x.bound * y.bound > 1e12)
    kind = 0;
  Value value = map(x.dims(), x.element(), {x.value, y.value}, {identity(x.rank()), identity(x.rank())},
                    [&](OpBuilder &bb, ValueRange v) -> Value {
                      Value n = arith::ConstantOp::create(bb, loc, bb.getI64IntegerAttr(amount));
                      switch (kind) {
                      case 0:
                        return arith::AddIOp::create(bb, loc, v[0], v[1]);
                      case 1:
                        return arith::SubIOp::create(bb, loc, v[0], v[1]);
                      case 2:
                        return arith::MulIOp::create(bb, loc, v[0], v[1]);
                      case 3:
                        return arith::MaxSIOp::create(bb, loc, v[0], v[1]);
                      case 4:
                        return arith::DivSIOp::create(bb, loc, v[0], n);
                      case 5:
                        return arith::RemSIOp::create(bb, loc, v[0], n);
                      case 6:
                        return arith::XOrIOp::create(bb, loc, v[0], v[1]);
                      case 7:
                        return arith::ShRSIOp::create(bb, loc, v[0], n);
                      default: {
                        Value less = arith::CmpIOp::create(bb, loc, arith::CmpIPredicate::slt, v[0], v[1]);
                        return arith::SelectOp::create(bb, loc, less, v[1], n);
                      }
                      }
                    });
  add(value, true, kind == 2 ? x.bound * y.bound : 2 * (x.bound + y.bound) + 8);
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
    graph::YieldOp::create(b, loc, ValueRange{next, chance(50) ? next : carried});
  }
  add(scan.getResult(0), false, 2 * x.bound + 1);
  add(scan.getResult(1), false, 2 * x.bound + 1);
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
      result = map(x.dims(), x.element(), inside, identity(x.rank()), [&](OpBuilder &bb, ValueRange v) -> Value {
        return arith::AddFOp::create(bb, loc, v[0], number(bb, x.element(), region == &cond.getThenBody() ? 1 : -2));
      });
    graph::YieldOp::create(b, loc, result);
  }
  add(cond.getResult(0), false, x.bound + 2);
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
  Value changed = map(x.dims(), x.element(), {body.getArgument(1), body.getArgument(2)}, {read, read},
                      [&](OpBuilder &bb, ValueRange v) -> Value {
                        Value half = arith::MulFOp::create(bb, loc, v[0], number(bb, x.element(), 0.5));
                        return arith::SubFOp::create(bb, loc, half, v[1]);
                      });
  graph::YieldOp::create(b, loc, ValueRange{next, changed});
  b.setInsertionPointAfter(loop);
  add(loop.getResult(0), true, 64);
  add(loop.getResult(1), false, 2 * x.bound);
}

} // namespace tenon::fuzz
