//===- Steps.cpp - reductions, products, lookups of random modules --------===//
#include "GeneratorSteps.h"

namespace tenon::fuzz {

void Generator::reduce() {
  const Item *found = pickIf([](const Item &x) { return x.rank() >= 1; });
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
  using graph::ReduceKind;
  static constexpr ReduceKind kinds[] = {ReduceKind::Sum, ReduceKind::Max, ReduceKind::Min, ReduceKind::Prod};
  ReduceKind kind = x.isMask() ? chance(50) ? ReduceKind::Any : ReduceKind::All : kinds[below(4)];
  // Products stay near 1 only where no factor is above it.
  if (kind == ReduceKind::Prod && (!x.isFloat() || x.bound > 1))
    kind = ReduceKind::Sum;
  double count = static_cast<double>(elements(x.dims())) / std::max<int64_t>(1, elements(rest));
  bool isExact = kind == ReduceKind::Max || kind == ReduceKind::Min || !x.isFloat();
  Item result{graph::ReduceOp::create(b, loc, typeOf(rest, x.element()), kind, x.value, which), x.isExact && isExact,
              x.bound};
  if (kind == ReduceKind::Sum) {
    result.bound = x.bound * count;
    if (x.isFloat())
      result = scaled(result, 1 / std::max(1.0, count));
  } else if ((kind == ReduceKind::Max || kind == ReduceKind::Min) &&
             !llvm::all_of(which, [&](int64_t i) { return fixed(x.dims()[i]).value_or(0) > 0; })) {
    return; // the identity of an empty maximum is infinite
  }
  items.push_back(result);
}

void Generator::argReduce() {
  const Item *found = pickIf([](const Item &x) { return x.isOrdered() && x.rank() >= 1; });
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
  const Item *found = pickIf([](const Item &x) { return x.rank() >= 1 && !x.isMask(); });
  if (!found)
    return;
  Item x = *found;
  using graph::ReduceKind;
  int64_t along = below(x.rank());
  static constexpr ReduceKind kinds[] = {ReduceKind::Sum, ReduceKind::Sum, ReduceKind::Max, ReduceKind::Min,
                                         ReduceKind::Prod, ReduceKind::LogSumExp};
  ReduceKind kind = kinds[below(6)];
  if ((kind == ReduceKind::Prod && (!x.isFloat() || x.bound > 1)) || (kind == ReduceKind::LogSumExp && !x.isFloat()))
    kind = ReduceKind::Sum;
  bool isExact = kind == ReduceKind::Max || kind == ReduceKind::Min || !x.isFloat();
  auto op = graph::CumulateOp::create(b, loc, kind, x.value, along);
  Item result{op, x.isExact && isExact, x.bound};
  if (std::optional<int64_t> n = fixed(x.dims()[along]); n && *n > 1 && chance(30)) {
    // In blocks, each with any carry: some of the elements.
    int64_t block = 1 + below(*n);
    Dims dims = x.dims();
    dims[along] = constant(*n / block);
    op.setBlock(block);
    op.getCarriesMutable().assign(graph::SliceOp::create(b, loc, typeOf(dims, x.element()), x.value,
                                                         graph::DimsAttr::get(context, Dims(x.rank(), constant(0))),
                                                         SmallVector<int64_t>(x.rank(), 1)));
    op->moveAfter(op.getCarries().getDefiningOp());
  }
  if (kind == ReduceKind::Sum)
    result.bound *= static_cast<double>(elements({x.dims()[along]}));
  if (kind == ReduceKind::LogSumExp)
    result.bound += 8; // more than the logarithm of how many there are
  items.push_back(kind == ReduceKind::Sum && x.isFloat() ? scaled(result, 0.125) : result);
}

void Generator::sort() {
  const Item *found = pickIf([](const Item &x) { return x.isOrdered() && x.rank() >= 1; });
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

/// Any product of two tensors: each dimension of the first is summed, shared or its own; orders are free.
void Generator::einsum() {
  const Item *found = pickIf([](const Item &x) {
    return (x.element().isF32() || x.element().isF64()) && x.rank() >= 1 && x.rank() <= 4 && x.bound <= 64;
  });
  if (!found)
    return;
  Item x = *found;
  int64_t rank = x.rank(), more = below(3);
  Dims dims = x.dims();
  for (int64_t i = 0; i < more; ++i)
    dims.push_back(constant(size()));
  SmallVector<int64_t> second, result;
  double count = 1;
  for (int64_t i = 0; i < rank + more; ++i) {
    int64_t role = i >= rank ? 2 : below(3); // 0: summed, 1: shared, 2: of one operand
    if (role == 0)
      count *= static_cast<double>(elements({dims[i]}));
    else
      result.push_back(i);
    if (role != 2 || i >= rank)
      second.push_back(i);
  }
  std::shuffle(second.begin(), second.end(), random);
  if (chance(40))
    std::shuffle(result.begin(), result.end(), random);
  auto sizesOf = [&](ArrayRef<int64_t> list) {
    return llvm::map_to_vector(list, [&](int64_t i) { return dims[i]; });
  };
  auto toMap = [&](ArrayRef<int64_t> list) {
    return AffineMap::get(rank + more, 0,
                          llvm::map_to_vector(list, [&](int64_t i) { return getAffineDimExpr(i, context); }), context);
  };
  Dims other = sizesOf(second), made = sizesOf(result);
  if (elements(other) > 20000 || elements(made) > 20000 || elements(dims) > 1000000)
    return;
  Type element = x.element();
  Value y = wave(other, element, 0.7);
  SmallVector<int64_t> first = llvm::to_vector(llvm::seq<int64_t>(0, rank));
  Value value = graph::ContractOp::create(b, loc, typeOf(made, element), x.value, y,
                                          b.getAffineMapArrayAttr({toMap(first), toMap(second), toMap(result)}));
  items.push_back(scaled({value, false, x.bound * count}, 1 / std::max(1.0, count)));
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
  int64_t groups = chance(60) ? 1 : *channels % 2 == 0 && chance(40) ? *channels / 2 : *channels;
  int64_t perGroup = *channels / groups, outputs = groups == 1 ? size() : groups * (1 + below(2));
  bool isTransposed = chance(25);
  SmallVector<int64_t> strides, low, high, dilations, spread;
  Dims filter{constant(outputs), constant(perGroup)}, result{dims[0]};
  int64_t taps = perGroup;
  for (int64_t d = 0; d < spatial; ++d) {
    AffineExpr n = dims[d + 1];
    int64_t window = 1 + below(3);
    spread.push_back(isTransposed ? 1 + below(3) : 1);
    if (spread.back() > 1) {
      if (!fixed(n) || *fixed(n) < 1)
        return;
      n = graph::normalize((n - 1) * spread.back() + 1);
    }
    strides.push_back(isTransposed ? 1 : 1 + below(2));
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
  Value value = graph::ConvOp::create(b, loc, typeOf(result, b.getF32Type()), x.value, weight(filter, 1),
                                      b.getDenseI64ArrayAttr(strides), b.getDenseI64ArrayAttr(low),
                                      b.getDenseI64ArrayAttr(high), b.getDenseI64ArrayAttr(dilations),
                                      b.getDenseI64ArrayAttr(spread), b.getI64IntegerAttr(groups));
  items.push_back(scaled({value, false, x.bound * taps}, 1.0 / taps));
}

void Generator::pool() {
  const Item *found = pickFloat(3, 4);
  if (!found)
    return;
  Item x = *found;
  Dims dims = x.dims();
  SmallVector<int64_t> window(x.rank(), 1), strides(x.rank(), 1), low(x.rank(), 0), dilations(x.rank(), 1);
  double taps = 1;
  for (int64_t d = 1; d + 1 < x.rank(); ++d) {
    std::optional<int64_t> n = fixed(dims[d]);
    if (!n || *n < 3)
      return;
    window[d] = 1 + below(3);
    strides[d] = 1 + below(2);
    dilations[d] = *n >= 5 && chance(20) ? 2 : 1;
    low[d] = below(dilations[d] == 1 ? window[d] : 1); // every window has a tap inside
    dims[d] = constant((*n + low[d] - (window[d] - 1) * dilations[d] - 1) / strides[d] + 1);
    taps *= static_cast<double>(window[d]);
  }
  using graph::ReduceKind;
  static constexpr ReduceKind kinds[] = {ReduceKind::Max, ReduceKind::Sum, ReduceKind::Min, ReduceKind::Prod};
  ReduceKind kind = kinds[below(4)];
  if (kind == ReduceKind::Prod && x.bound > 1)
    kind = ReduceKind::Max;
  Value value =
      graph::ReduceWindowOp::create(b, loc, typeOf(dims, x.element()), graph::ReduceKindAttr::get(context, kind),
                                    x.value, b.getDenseI64ArrayAttr(window), b.getDenseI64ArrayAttr(strides),
                                    b.getDenseI64ArrayAttr(low), b.getDenseI64ArrayAttr(dilations));
  add(value, x.isExact && (kind == ReduceKind::Max || kind == ReduceKind::Min),
      kind == ReduceKind::Sum ? taps * x.bound : x.bound);
}

/// Positions below `count` of some shape, from a tensor of exact numbers.
Value Generator::positionsBelow(const Item &from, int64_t count, Type type) {
  return map(from.dims(), type, from.value, identity(from.rank()), [&](OpBuilder &bb, ValueRange v) -> Value {
    Value times = arith::MulFOp::create(bb, loc, math::AbsFOp::create(bb, loc, v[0]), number(bb, from.element(), 8));
    Value whole = arith::FPToSIOp::create(bb, loc, type, times);
    return arith::RemSIOp::create(bb, loc, whole,
                                  arith::ConstantOp::create(bb, loc, bb.getIntegerAttr(type, count)));
  });
}

/// Elements along one dimension, each place with positions of its own, as `take_along_dim` has it; or, with two tensors of
/// positions, as indexing with arrays has it.
void Generator::take() {
  const Item *found = pickIf([](const Item &x) { return x.rank() >= 1 && x.rank() <= 4; });
  if (!found)
    return;
  Item x = *found;
  Dims dims = x.dims();
  int64_t along = below(x.rank());
  std::optional<int64_t> count = fixed(dims[along]);
  if (!count || *count < 1)
    return;
  Type type = chance(70) ? b.getI64Type() : b.getI32Type();
  if (x.rank() >= 2 && along >= 1 && fixed(dims[0]).value_or(0) >= 1 && chance(40)) {
    // Two dimensions at positions of one shape, which comes first; the others follow.
    const Item *from = pickIf([](const Item &c) { return c.isFloat() && c.isExact && c.rank() <= 2; });
    if (!from)
      return;
    Item source = *from;
    SmallVector<int64_t> coords;
    Dims made = source.dims();
    for (int64_t i = 0; i < x.rank(); ++i) {
      coords.push_back(i == 0 ? -1 : i == along ? -2 : static_cast<int64_t>(made.size()));
      if (i != 0 && i != along)
        made.push_back(dims[i]);
    }
    if (elements(made) > 50000)
      return;
    SmallVector<AffineExpr> reads;
    for (int64_t i = 0; i < source.rank(); ++i)
      reads.push_back(getAffineDimExpr(i, context));
    auto read = AffineMap::get(made.size(), 0, reads, context);
    Value rows = positionsBelow(source, *fixed(dims[0]), type), columns = positionsBelow(source, *count, type);
    add(graph::GatherOp::create(b, loc, typeOf(made, x.element()), x.value, ValueRange{rows, columns},
                                b.getAffineMapArrayAttr({read, read}), coords),
        x.isExact, x.bound);
    return;
  }
  // A map of places makes the positions: exact tensors of just the right shape are rare.
  Dims made = dims;
  made[along] = constant(size());
  if (elements(made) > 50000)
    return;
  Value positions = map(made, type, {}, {}, [&](OpBuilder &bb, ValueRange) -> Value {
    Value sum;
    for (int64_t d = 0; d < static_cast<int64_t>(made.size()); ++d) {
      Value i = graph::IndexOp::create(bb, loc, bb.getI64Type(), d);
      i = arith::MulIOp::create(bb, loc, i, arith::ConstantOp::create(bb, loc, bb.getI64IntegerAttr(3 + 2 * d)));
      sum = sum ? Value(arith::AddIOp::create(bb, loc, sum, i)) : i;
    }
    Value rest = arith::RemSIOp::create(bb, loc, sum, arith::ConstantOp::create(bb, loc, bb.getI64IntegerAttr(*count)));
    return type.isInteger(64) ? rest : Value(arith::TruncIOp::create(bb, loc, type, rest));
  });
  SmallVector<int64_t> coords = llvm::to_vector(llvm::seq<int64_t>(0, x.rank()));
  coords[along] = -1;
  add(graph::GatherOp::create(b, loc, typeOf(made, x.element()), x.value, positions,
                              b.getAffineMapArrayAttr(identity(x.rank())), coords),
      x.isExact, x.bound);
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
  Value positions = positionsBelow(from, rows, b.getI64Type());
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

/// Rows of one tensor combined with those of another of the same width, at positions in rising order modulo its length.
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
  using graph::ScatterKind;
  static constexpr ScatterKind kinds[] = {ScatterKind::Set, ScatterKind::Sum, ScatterKind::Max, ScatterKind::Min,
                                          ScatterKind::Prod};
  ScatterKind kind = kinds[below(5)];
  Value updates = map(some, b.getF32Type(), {}, {}, [&](OpBuilder &bb, ValueRange) -> Value {
    Value i = graph::IndexOp::create(bb, loc, bb.getI64Type(), static_cast<int64_t>(0));
    Value f = arith::SIToFPOp::create(bb, loc, bb.getF32Type(), i);
    return kind == ScatterKind::Prod ? math::SinOp::create(bb, loc, f) : f;
  });
  int64_t factor = 1 + below(5);
  Value positions = map({some[0]}, b.getI64Type(), {}, {}, [&](OpBuilder &bb, ValueRange) -> Value {
    Value i = graph::IndexOp::create(bb, loc, bb.getI64Type(), static_cast<int64_t>(0));
    Value times = arith::MulIOp::create(bb, loc, i, arith::ConstantOp::create(bb, loc, bb.getI64IntegerAttr(factor)));
    return arith::RemSIOp::create(bb, loc, times, arith::ConstantOp::create(bb, loc, bb.getI64IntegerAttr(rows)));
  });
  auto read = AffineMap::get(2, 0, {getAffineDimExpr(0, context)}, context);
  add(graph::ScatterOp::create(b, loc, dest.type(), updates, dest.value, positions, b.getAffineMapArrayAttr(read),
                               ArrayRef<int64_t>({-1, 1}), kind),
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
  Value k = wave(keys, b.getF32Type(), 0.7), v = wave(keys, b.getF32Type(), 0.3);
  // An axis of keys that is empty gives NaN, in both, which is right but hides what follows.
  if (!causal && !fixed(keys[2]))
    return;
  // A mask of numbers or of i1, for all heads and batches; rows without keys are zero then.
  Value mask;
  AffineMapAttr maskMap;
  if (!causal && chance(40)) {
    Dims rows{dims[2], keys[2]};
    bool isBits = chance(50);
    mask = isBits ? map(rows, b.getI1Type(), {}, {},
                        [&](OpBuilder &bb, ValueRange) -> Value {
                          Value s = graph::IndexOp::create(bb, loc, bb.getI64Type(), static_cast<int64_t>(0));
                          Value t = graph::IndexOp::create(bb, loc, bb.getI64Type(), static_cast<int64_t>(1));
                          auto c = [&](int64_t n) { return arith::ConstantOp::create(bb, loc, bb.getI64IntegerAttr(n)); };
                          Value sum = arith::AddIOp::create(bb, loc, arith::MulIOp::create(bb, loc, s, c(3)), t);
                          Value rest = arith::RemSIOp::create(bb, loc, sum, c(4));
                          return arith::CmpIOp::create(bb, loc, arith::CmpIPredicate::ne, rest, c(0));
                        })
                  : wave(rows, b.getF32Type(), 0.9);
    maskMap = AffineMapAttr::get(AffineMap::get(4, 0, {getAffineDimExpr(2, context), getAffineDimExpr(3, context)}, context));
  }
  add(graph::AttentionOp::create(b, loc, q.type(), q.value, k, v, mask, b.getF64FloatAttr(0.25),
                                 causal ? b.getUnitAttr() : UnitAttr(), mask ? b.getUnitAttr() : UnitAttr(), maskMap),
      false, 1);
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

} // namespace tenon::fuzz
