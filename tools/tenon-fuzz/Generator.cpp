//===- Generator.cpp - random modules of the graph dialect ----------------===//
#include "GeneratorSteps.h"

namespace tenon::fuzz {

void Generator::input(Type element) {
  Dims dims = shape(below(5));
  while (elements(dims) > 40000)
    dims.pop_back();
  unsigned number = function.getNumArguments();
  (void)function.insertArgument(
      number, typeOf(dims, element),
      b.getDictionaryAttr(b.getNamedAttr("graph.name", b.getStringAttr("x" + std::to_string(number)))), loc);
  add(function.getArgument(number), true, element.isInteger() ? 8 : 1);
}

/// A constant of the program: what contractions pack and what freezing folds.
Value Generator::weight(const Dims &dims, double bound) {
  OpBuilder top = OpBuilder::atBlockBegin(module.getBody());
  RankedTensorType type = typeOf(dims, b.getF32Type());
  std::string name = "w" + std::to_string(weights++);
  auto source = graph::WeightSourceAttr::get(context, "seed", "", 0, 0, b.getF64FloatAttr(bound));
  graph::WeightOp::create(top, loc, name, type, source);
  return graph::UseWeightOp::create(b, loc, type, name);
}

/// x * factor, so that numbers stay near 1.
Item Generator::scaled(const Item &x, double factor) {
  Type element = x.element();
  Value value = map(x.dims(), element, x.value, identity(x.rank()), [&](OpBuilder &builder, ValueRange args) -> Value {
    return arith::MulFOp::create(builder, loc, args[0], number(builder, element, factor));
  });
  return {value, false, x.bound * factor};
}

void Generator::unary() {
  const Item *found = pickFloat();
  if (!found)
    return;
  Item x = *found;
  int64_t kind = below(11);
  Type element = x.element();
  // The result's dimensions in another order now and then: maps read through permutations.
  SmallVector<int64_t> order = llvm::to_vector(llvm::seq<int64_t>(0, x.rank()));
  if (chance(20))
    std::shuffle(order.begin(), order.end(), random);
  Dims dims = x.dims(), result(dims);
  SmallVector<AffineExpr> reads;
  for (auto [i, place] : llvm::enumerate(order)) {
    result[place] = dims[i];
    reads.push_back(getAffineDimExpr(place, context));
  }
  AffineMap read = AffineMap::get(x.rank(), 0, reads, context);
  Value value = map(result, element, x.value, read, [&](OpBuilder &bb, ValueRange args) -> Value {
    Value v = args[0];
    auto constantOf = [&](double c) { return number(bb, element, c); };
    switch (kind) {
    case 0:
      return arith::NegFOp::create(bb, loc, v);
    case 1:
      return math::AbsFOp::create(bb, loc, v);
    case 2:
      return arith::MaximumFOp::create(bb, loc, v, constantOf(0));
    case 3:
      return math::TanhOp::create(bb, loc, v);
    case 4:
      return math::ExpOp::create(bb, loc, arith::NegFOp::create(bb, loc, math::AbsFOp::create(bb, loc, v)));
    case 5:
      return math::ErfOp::create(bb, loc, v);
    case 6:
      return math::SinOp::create(bb, loc, v);
    case 7: // a root far from 0, where it is well conditioned
      return math::SqrtOp::create(bb, loc,
                                  arith::AddFOp::create(bb, loc, math::AbsFOp::create(bb, loc, v), constantOf(0.5)));
    case 8: {
      Value e = math::ExpOp::create(bb, loc, arith::NegFOp::create(bb, loc, v));
      return arith::DivFOp::create(bb, loc, v, arith::AddFOp::create(bb, loc, e, constantOf(1)));
    }
    case 9:
      return math::Log1pOp::create(bb, loc, math::AbsFOp::create(bb, loc, v));
    default:
      return arith::DivFOp::create(bb, loc, constantOf(1),
                                   arith::AddFOp::create(bb, loc, math::AbsFOp::create(bb, loc, v), constantOf(1)));
    }
  });
  add(value, x.isExact && kind <= 2, std::max(1.0, x.bound));
}

/// Operands of one element type; the second may lack leading dimensions or have sizes of 1, as broadcasting allows.
void Generator::binary() {
  const Item *found = pickFloat();
  if (!found)
    return;
  Item x = *found;
  Dims dims = x.dims();
  Item y;
  AffineMap second;
  const Item *other = pickIf([&](const Item &c) {
    if (c.element() != x.element() || c.rank() > x.rank())
      return false;
    Dims have = c.dims();
    for (size_t i = 0; i < have.size(); ++i)
      if (AffineExpr want = dims[dims.size() - have.size() + i]; have[i] != want && fixed(have[i]) != 1)
        return false;
    return true;
  });
  if (other) {
    y = *other;
    SmallVector<AffineExpr> reads;
    Dims have = y.dims();
    for (size_t i = 0; i < have.size(); ++i) {
      size_t at = dims.size() - have.size() + i;
      reads.push_back(have[i] == dims[at] ? getAffineDimExpr(at, context) : constant(0));
    }
    second = AffineMap::get(x.rank(), 0, reads, context);
  } else {
    // A vector of weights along the last dimension, as biases and scales are.
    if (x.rank() == 0 || !fixed(dims.back()) || !x.element().isF32())
      return;
    int64_t n = *fixed(dims.back());
    if (n >= 1 && n <= 32 && chance(40)) {
      SmallVector<float> numbers;
      for (int64_t i = 0; i < n; ++i)
        numbers.push_back(static_cast<float>(below(17) - 8) / 8);
      auto type = RankedTensorType::get({n}, b.getF32Type());
      y = {graph::ConstantOp::create(b, loc, DenseElementsAttr::get(type, ArrayRef<float>(numbers))), false, 1};
    } else {
      y = {weight({dims.back()}, 1), false, 1};
    }
    second = AffineMap::get(x.rank(), 0, {getAffineDimExpr(x.rank() - 1, context)}, context);
  }
  int64_t kind = below(6);
  if (kind == 2 && x.bound * y.bound > 1e3)
    kind = 0;
  Value value = map(
      dims, x.element(), {x.value, y.value}, {identity(x.rank()), second}, [&](OpBuilder &bb, ValueRange v) -> Value {
        switch (kind) {
        case 0:
          return arith::AddFOp::create(bb, loc, v[0], v[1]);
        case 1:
          return arith::SubFOp::create(bb, loc, v[0], v[1]);
        case 2:
          return arith::MulFOp::create(bb, loc, v[0], v[1]);
        case 3:
          return arith::MaximumFOp::create(bb, loc, v[0], v[1]);
        case 4:
          return arith::MinimumFOp::create(bb, loc, v[0], v[1]);
        default: {
          Value divisor =
              arith::AddFOp::create(bb, loc, math::AbsFOp::create(bb, loc, v[1]), number(bb, x.element(), 0.5));
          return arith::DivFOp::create(bb, loc, v[0], divisor);
        }
        }
      });
  bool isExact = x.isExact && y.isExact && (kind == 3 || kind == 4);
  double bound = kind == 2 ? x.bound * y.bound : kind == 5 ? 2 * x.bound : x.bound + y.bound;
  add(value, isExact, bound);
}

/// Sines of positions: a tensor that comes from nowhere.
Value Generator::wave(const Dims &dims, Type element, double step) {
  return map(dims, element, {}, {}, [&](OpBuilder &bb, ValueRange) -> Value {
    Value sum = number(bb, element, 0.5);
    for (int64_t d = 0; d < static_cast<int64_t>(dims.size()); ++d) {
      Value i = graph::IndexOp::create(bb, loc, bb.getI64Type(), d);
      Value f = arith::MulFOp::create(bb, loc, arith::SIToFPOp::create(bb, loc, element, i),
                                      number(bb, element, step * static_cast<double>(d + 1)));
      sum = arith::AddFOp::create(bb, loc, sum, f);
    }
    return math::SinOp::create(bb, loc, sum);
  });
}

/// Where an exact tensor compares with a number, or with itself in another order.
void Generator::mask() {
  const Item *found = pickIf([](const Item &x) { return x.isOrdered(); });
  if (!found)
    return;
  Item x = *found;
  int64_t kind = below(4), threshold = below(5) - 2;
  static constexpr arith::CmpFPredicate floats[] = {arith::CmpFPredicate::OGT, arith::CmpFPredicate::OLE,
                                                    arith::CmpFPredicate::OEQ, arith::CmpFPredicate::UNE};
  static constexpr arith::CmpIPredicate integers[] = {arith::CmpIPredicate::sgt, arith::CmpIPredicate::sle,
                                                      arith::CmpIPredicate::eq, arith::CmpIPredicate::ne};
  Value value = map(x.dims(), b.getI1Type(), x.value, identity(x.rank()), [&](OpBuilder &bb, ValueRange v) -> Value {
    if (x.isFloat())
      return arith::CmpFOp::create(bb, loc, floats[kind], v[0],
                                   number(bb, x.element(), static_cast<double>(threshold) / 4));
    return arith::CmpIOp::create(bb, loc, integers[kind], v[0],
                                 arith::ConstantOp::create(bb, loc, bb.getIntegerAttr(x.element(), threshold)));
  });
  add(value, true, 1);
}

/// Logic on masks, and masks that choose or count.
void Generator::masks() {
  const Item *found = pickIf([](const Item &x) { return x.isMask(); });
  if (!found)
    return;
  Item x = *found;
  AffineMap read = identity(x.rank());
  const Item *other = pickIf([&](const Item &c) { return c.value.getType() == x.value.getType(); });
  Item y = other ? *other : x;
  const Item *numbers = pickIf([&](const Item &c) { return !c.isMask() && c.dims() == x.dims(); });
  switch (below(3)) {
  case 0: {
    int64_t kind = below(3);
    add(map(x.dims(), x.element(), {x.value, y.value}, {read, read},
            [&](OpBuilder &bb, ValueRange v) -> Value {
              if (kind == 0)
                return arith::AndIOp::create(bb, loc, v[0], v[1]);
              if (kind == 1)
                return arith::OrIOp::create(bb, loc, v[0], v[1]);
              Value one = arith::ConstantOp::create(bb, loc, bb.getBoolAttr(true));
              return arith::XOrIOp::create(bb, loc, v[0], arith::XOrIOp::create(bb, loc, v[1], one));
            }),
        true, 1);
    return;
  }
  case 1:
    if (numbers) {
      Item z = *numbers;
      add(map(x.dims(), z.element(), {x.value, z.value}, {read, read},
              [&](OpBuilder &bb, ValueRange v) -> Value {
                Value zero = arith::ConstantOp::create(bb, loc, bb.getZeroAttr(z.element()));
                return arith::SelectOp::create(bb, loc, v[0], v[1], zero);
              }),
          z.isExact, z.bound);
      return;
    }
    [[fallthrough]];
  default:
    if (chance(50))
      add(map(x.dims(), b.getI64Type(), x.value, read,
              [&](OpBuilder &bb, ValueRange v) -> Value {
                return arith::ExtUIOp::create(bb, loc, bb.getI64Type(), v[0]);
              }),
          true, 1);
    else
      add(map(x.dims(), b.getF32Type(), x.value, read,
              [&](OpBuilder &bb, ValueRange v) -> Value {
                return arith::UIToFPOp::create(bb, loc, bb.getF32Type(), v[0]);
              }),
          true, 1);
  }
}

/// Integers cut to fewer bits, with something added there, where it wraps, and widened again.
void Generator::narrow() {
  const Item *found = pickIf([](const Item &x) { return x.element().isInteger(64); });
  if (!found)
    return;
  Item x = *found;
  Type type = chance(40) ? b.getI32Type() : chance(50) ? b.getI16Type() : b.getI8Type();
  int64_t amount = below(100);
  Value value = map(x.dims(), type, x.value, identity(x.rank()), [&](OpBuilder &bb, ValueRange v) -> Value {
    Value cut = arith::TruncIOp::create(bb, loc, type, v[0]);
    return arith::AddIOp::create(bb, loc, cut, arith::ConstantOp::create(bb, loc, bb.getIntegerAttr(type, amount)));
  });
  if (chance(30))
    add(value, true, 128);
  bool isSigned = chance(60);
  add(map(x.dims(), x.element(), value, identity(x.rank()),
          [&](OpBuilder &bb, ValueRange v) -> Value {
            return isSigned ? Value(arith::ExtSIOp::create(bb, loc, x.element(), v[0]))
                            : Value(arith::ExtUIOp::create(bb, loc, x.element(), v[0]));
          }),
      true, std::max(x.bound, 4294967296.0));
}

/// Adds something of each element's position, and of the symbol where there is one.
void Generator::places() {
  const Item *found = pickFloat(1);
  if (!found)
    return;
  Item x = *found;
  int64_t along = below(x.rank());
  bool withSize = isSymbolic && function->hasAttr("graph.symbols") && chance(50);
  add(map(x.dims(), x.element(), x.value, identity(x.rank()),
          [&](OpBuilder &bb, ValueRange v) -> Value {
            Value i = graph::IndexOp::create(bb, loc, bb.getI64Type(), along);
            Value n = arith::ConstantOp::create(bb, loc, bb.getI64IntegerAttr(5));
            Value sum = arith::RemSIOp::create(bb, loc, i, n);
            if (withSize)
              sum = arith::SubIOp::create(
                  bb, loc, sum,
                  graph::SizeValueOp::create(bb, loc, bb.getI64Type(),
                                             graph::DimsAttr::get(context, {getAffineSymbolExpr(0, context)})));
            Value f = arith::SIToFPOp::create(bb, loc, x.element(), sum);
            return arith::AddFOp::create(bb, loc, v[0],
                                         arith::MulFOp::create(bb, loc, f, number(bb, x.element(), 0.125)));
          }),
      false, x.bound + 9);
}

void Generator::compareAndSelect() {
  const Item *found = pickIf([](const Item &x) { return x.isFloat() && x.isExact; });
  if (!found)
    return;
  Item x = *found;
  const Item *other = pickIf([&](const Item &c) { return c.value.getType() == x.value.getType(); });
  Item y = other ? *other : x;
  double threshold = static_cast<double>(below(5) - 2) / 4;
  Value value = map(x.dims(), x.element(), {x.value, y.value}, {identity(x.rank()), identity(x.rank())},
                    [&](OpBuilder &bb, ValueRange v) -> Value {
                      Value is = arith::CmpFOp::create(bb, loc, arith::CmpFPredicate::OGT, v[0],
                                                       number(bb, x.element(), threshold));
                      return arith::SelectOp::create(bb, loc, is, v[1], arith::NegFOp::create(bb, loc, v[0]));
                    });
  add(value, y.isExact, std::max(x.bound, y.bound));
}

void Generator::cast() {
  const Item *found = pickIf([](const Item &x) { return x.isFloat() && x.isExact; });
  if (!found)
    return;
  Item x = *found;
  // To integers and back, or to half precision, where exact numbers stay exact: inputs are multiples of 1/8.
  bool toHalf = chance(40);
  Type element = toHalf ? Type(chance(50) ? b.getF16Type() : b.getBF16Type()) : Type(b.getI64Type());
  Value value = map(x.dims(), element, x.value, identity(x.rank()), [&](OpBuilder &bb, ValueRange v) -> Value {
    if (toHalf)
      return element == v[0].getType() ? v[0]
             : x.element().getIntOrFloatBitWidth() > 16
                 ? Value(arith::TruncFOp::create(bb, loc, element, v[0]))
                 : Value(arith::TruncFOp::create(bb, loc, element,
                                                 arith::ExtFOp::create(bb, loc, bb.getF32Type(), v[0])));
    Value times = arith::MulFOp::create(bb, loc, v[0], number(bb, x.element(), 8));
    return arith::FPToSIOp::create(bb, loc, element, times);
  });
  Type wide = b.getF32Type();
  value = map(x.dims(), wide, value, identity(x.rank()), [&](OpBuilder &bb, ValueRange v) -> Value {
    if (toHalf)
      return arith::ExtFOp::create(bb, loc, wide, v[0]);
    return arith::SIToFPOp::create(bb, loc, wide, v[0]);
  });
  add(value, true, toHalf ? x.bound : 8 * x.bound);
}

void Generator::softmax() {
  const Item *found = pickFloat(1, 4);
  if (!found)
    return;
  Item x = *found;
  int64_t rank = x.rank(), along = chance(70) ? rank - 1 : below(rank);
  Dims dims = x.dims(), rest = dims;
  rest.erase(rest.begin() + along);
  Type element = x.element();
  SmallVector<AffineExpr> reads;
  for (int64_t i = 0; i < rank; ++i)
    if (i != along)
      reads.push_back(getAffineDimExpr(i, context));
  AffineMap read = AffineMap::get(rank, 0, reads, context);
  Value top =
      graph::ReduceOp::create(b, loc, typeOf(rest, element), graph::ReduceKind::Max, x.value, ArrayRef<int64_t>(along));
  Value e = map(dims, element, {x.value, top}, {identity(rank), read}, [&](OpBuilder &bb, ValueRange v) -> Value {
    return math::ExpOp::create(bb, loc, arith::SubFOp::create(bb, loc, v[0], v[1]));
  });
  Value sum =
      graph::ReduceOp::create(b, loc, typeOf(rest, element), graph::ReduceKind::Sum, e, ArrayRef<int64_t>(along));
  add(map(dims, element, {e, sum}, {identity(rank), read},
          [&](OpBuilder &bb, ValueRange v) -> Value { return arith::DivFOp::create(bb, loc, v[0], v[1]); }),
      false, 1);
}

void Generator::permute() {
  const Item *found = pickIf([](const Item &x) { return x.rank() >= 2; });
  if (!found)
    return;
  Item x = *found;
  SmallVector<int64_t> order = llvm::to_vector(llvm::seq<int64_t>(0, x.rank()));
  std::shuffle(order.begin(), order.end(), random);
  add(graph::PermuteOp::create(b, loc, x.value, order), x.isExact, x.bound);
}

/// Merges two neighbours, splits a dimension, or adds one of size 1.
void Generator::reshape() {
  Item x = pick();
  Dims dims = x.dims();
  int64_t kind = below(3);
  if (kind == 0 && x.rank() >= 2) {
    int64_t at = below(x.rank() - 1);
    dims[at] = graph::product({dims[at], dims[at + 1]}, context);
    dims.erase(dims.begin() + at + 1);
  } else if (kind == 1 && x.rank() >= 1) {
    int64_t at = below(x.rank());
    std::optional<int64_t> whole = fixed(dims[at]);
    int64_t part = 2 + below(4);
    if (!whole || *whole % part)
      return;
    dims[at] = constant(*whole / part);
    dims.insert(dims.begin() + at + 1, constant(part));
  } else {
    dims.insert(dims.begin() + below(x.rank() + 1), constant(1));
  }
  if (dims.size() > 6)
    return;
  add(graph::ReshapeOp::create(b, loc, typeOf(dims, x.element()), x.value), x.isExact, x.bound);
}

void Generator::slice() {
  const Item *found = pickIf([](const Item &x) { return x.rank() >= 1; });
  if (!found)
    return;
  Item x = *found;
  Dims dims = x.dims(), offsets(x.rank(), constant(0));
  SmallVector<int64_t> strides(x.rank(), 1);
  for (int64_t i = 0; i < x.rank(); ++i) {
    std::optional<int64_t> n = fixed(dims[i]);
    if (!n || *n < 2 || chance(40))
      continue;
    int64_t offset = below(*n), stride = chance(70) ? 1 : 1 + below(3);
    int64_t most = (*n - offset + stride - 1) / stride;
    offsets[i] = constant(offset);
    strides[i] = stride;
    dims[i] = constant(1 + below(most));
  }
  add(graph::SliceOp::create(b, loc, typeOf(dims, x.element()), x.value, graph::DimsAttr::get(context, offsets),
                             strides),
      x.isExact, x.bound);
}

void Generator::pad() {
  const Item *found = pickFloat(1);
  if (!found)
    return;
  Item x = *found;
  Dims dims = x.dims(), low, high;
  for (AffineExpr &dim : dims) {
    low.push_back(constant(chance(50) ? below(4) : 0));
    high.push_back(constant(chance(50) ? below(4) : 0));
    dim = graph::normalize(dim + low.back() + high.back());
  }
  if (elements(dims) > 100000)
    return;
  TypedAttr fill = b.getFloatAttr(x.element(), chance(70) ? 0.0 : 0.5);
  add(graph::PadOp::create(b, loc, typeOf(dims, x.element()), x.value, graph::DimsAttr::get(context, low),
                           graph::DimsAttr::get(context, high), fill),
      x.isExact, x.bound);
}

void Generator::concat() {
  const Item *found = pickIf([](const Item &x) { return x.rank() >= 1; });
  if (!found)
    return;
  Item x = *found;
  int64_t along = below(x.rank());
  SmallVector<Item> parts{x};
  for (int64_t more = 1 + below(2); more > 0; --more) {
    const Item *other = pickIf([&](const Item &c) {
      if (c.element() != x.element() || c.rank() != x.rank())
        return false;
      Dims have = c.dims(), want = x.dims();
      have[along] = want[along];
      return have == want;
    });
    parts.push_back(other ? *other : x);
  }
  Dims dims = x.dims();
  AffineExpr total = constant(0);
  SmallVector<Value> values;
  bool isExact = true;
  double bound = 0;
  for (const Item &part : parts) {
    total = total + part.dims()[along];
    values.push_back(part.value);
    isExact &= part.isExact;
    bound = std::max(bound, part.bound);
  }
  dims[along] = graph::normalize(total);
  if (elements(dims) > 100000)
    return;
  add(graph::ConcatOp::create(b, loc, typeOf(dims, x.element()), values, b.getI64IntegerAttr(along)), isExact, bound);
}

void Generator::reverse() {
  const Item *found = pickIf([](const Item &x) { return x.rank() >= 1; });
  if (!found)
    return;
  Item x = *found;
  SmallVector<int64_t> dims;
  for (int64_t i = 0; i < x.rank(); ++i)
    if (chance(50))
      dims.push_back(i);
  if (!dims.empty())
    add(graph::ReverseOp::create(b, loc, x.value.getType(), x.value, dims), x.isExact, x.bound);
}

/// A slice of a tensor put into another tensor of the shape it came from.
void Generator::insertSlice() {
  const Item *found = pickFloat(1);
  if (!found)
    return;
  Item dest = *found;
  Dims dims = dest.dims(), offsets(dest.rank(), constant(0));
  int64_t along = below(dest.rank());
  std::optional<int64_t> n = fixed(dims[along]);
  if (!n || *n < 2)
    return;
  int64_t offset = below(*n), length = 1 + below(*n - offset);
  offsets[along] = constant(offset);
  dims[along] = constant(length);
  Item source = dest;
  auto part = graph::SliceOp::create(b, loc, typeOf(dims, dest.element()), dest.value,
                                     graph::DimsAttr::get(context, Dims(dest.rank(), constant(0))),
                                     SmallVector<int64_t>(dest.rank(), 1));
  Value changed = map(dims, dest.element(), part.getResult(), identity(dest.rank()),
                      [&](OpBuilder &bb, ValueRange v) -> Value { return arith::NegFOp::create(bb, loc, v[0]); });
  add(graph::InsertSliceOp::create(b, loc, dest.type(), changed, dest.value, graph::DimsAttr::get(context, offsets),
                                   SmallVector<int64_t>(dest.rank(), 1)),
      dest.isExact, dest.bound);
}

void Generator::broadcast() {
  Item x = pick();
  if (x.rank() > 4)
    return;
  Dims dims;
  SmallVector<int64_t> places;
  for (AffineExpr dim : x.dims()) {
    if (chance(25))
      dims.push_back(constant(size()));
    places.push_back(dims.size());
    dims.push_back(fixed(dim) == 1 && chance(60) ? constant(size()) : dim);
  }
  if (dims.size() < 5 && chance(25))
    dims.push_back(constant(size()));
  if (elements(dims) > 100000)
    return;
  add(graph::BroadcastOp::create(b, loc, typeOf(dims, x.element()), x.value, places), x.isExact, x.bound);
}

OwningOpRef<ModuleOp> Generator::run() {
  auto stream = [&](uint64_t number) {
    random.seed(recipe.seed * 0x9E3779B97F4A7C15ull + number * 0xD1B54A32D192ED03ull + 1);
  };
  OwningOpRef<ModuleOp> owner = ModuleOp::create(loc);
  module = *owner;
  b.setInsertionPointToEnd(module.getBody());
  stream(0);
  isSymbolic = chance(40);
  function = func::FuncOp::create(b, loc, "main", b.getFunctionType({}, {}));
  if (isSymbolic)
    function->setAttr("graph.symbols", b.getArrayAttr(graph::SymbolAttr::get(context, "s0", 0, 64)));
  b.setInsertionPointToStart(function.addEntryBlock());
  for (int64_t i = 2 + below(2); i > 0; --i)
    input(b.getF32Type());
  if (chance(25))
    input(b.getI64Type());
  if (chance(10))
    input(b.getF64Type());
  if (isSymbolic && !llvm::any_of(function.getArgumentTypes(),
                                  [](Type type) { return !cast<RankedTensorType>(type).hasStaticShape(); }))
    function->removeAttr("graph.symbols");
  using Step = void (Generator::*)();
  static constexpr Step steps[] = {&Generator::unary,    &Generator::unary,       &Generator::unary,
                                   &Generator::binary,   &Generator::binary,      &Generator::binary,
                                   &Generator::softmax,  &Generator::permute,     &Generator::reshape,
                                   &Generator::slice,    &Generator::pad,         &Generator::concat,
                                   &Generator::reverse,  &Generator::insertSlice, &Generator::broadcast,
                                   &Generator::reduce,   &Generator::reduce,      &Generator::cumulate,
                                   &Generator::contract, &Generator::contract,    &Generator::contract,
                                   &Generator::convolve, &Generator::pool,        &Generator::attention,
                                   &Generator::gather,   &Generator::scatter,     &Generator::compareAndSelect,
                                   &Generator::cast,     &Generator::argReduce,   &Generator::sort,
                                   &Generator::integers, &Generator::integers,    &Generator::recur,
                                   &Generator::branch,   &Generator::loop,        &Generator::einsum,
                                   &Generator::einsum,   &Generator::take,        &Generator::take,
                                   &Generator::mask,     &Generator::mask,        &Generator::masks,
                                   &Generator::masks,    &Generator::narrow,      &Generator::places,
                                   &Generator::cell};
  for (unsigned number : recipe.steps) {
    stream(number + 1);
    (this->*steps[below(std::size(steps))])();
  }
  SmallVector<Value> results;
  for (const Item &item : items)
    if (item.value.use_empty())
      results.push_back(item.value);
  if (results.empty())
    results.push_back(items.back().value);
  func::ReturnOp::create(b, loc, results);
  SmallVector<Type> types = llvm::to_vector(ValueRange(results).getTypes());
  function.setType(b.getFunctionType(function.getArgumentTypes(), types));
  for (auto [i, type] : llvm::enumerate(types))
    function.setResultAttr(i, "graph.name", b.getStringAttr("y" + std::to_string(i)));
  return owner;
}

OwningOpRef<ModuleOp> generate(MLIRContext *context, const Recipe &recipe) {
  return Generator(context, recipe).run();
}

} // namespace tenon::fuzz
