//===- Generator.cpp - random modules of the graph dialect ----------------===//
#include "Generator.h"
#include "dialects/Graph/IR/GraphDialect.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Builders.h"
#include <random>

using namespace mlir;
using namespace tenon;
using graph::Dims;
using fuzz::Recipe;

namespace {
/// A tensor of the program. `isExact`: made from inputs by ops that do not round, so that comparing or truncating its
/// elements has one right answer. `bound`: no element is larger.
struct Item {
  Value value;
  bool isExact = false;
  double bound = 1;

  RankedTensorType type() const { return cast<RankedTensorType>(value.getType()); }
  int64_t rank() const { return type().getRank(); }
  Dims dims() const { return graph::getDims(value.getType()); }
  Type element() const { return type().getElementType(); }
  bool isFloat() const { return isa<FloatType>(element()); }
};

class Generator {
public:
  Generator(MLIRContext *context, const Recipe &recipe)
      : context(context), b(context), loc(UnknownLoc::get(context)), recipe(recipe) {}
  OwningOpRef<ModuleOp> run();

private:
  // ---- choices
  int64_t below(int64_t n) { return n <= 1 ? 0 : static_cast<int64_t>(random() % static_cast<uint64_t>(n)); }
  bool chance(int percent) { return below(100) < percent; }
  int64_t size() {
    static constexpr int64_t favourites[] = {1, 2, 3, 4, 7, 8, 13, 16, 17};
    return chance(70) ? std::min(recipe.maxSize, favourites[below(std::size(favourites))]) : 1 + below(recipe.maxSize);
  }
  AffineExpr constant(int64_t value) { return getAffineConstantExpr(value, context); }
  Dims shape(int64_t rank) {
    Dims dims;
    for (int64_t i = 0; i < rank; ++i)
      dims.push_back(isSymbolic && chance(25) ? getAffineSymbolExpr(0, context) : constant(size()));
    return dims;
  }
  const Item &pick() { return items[items.size() - 1 - std::min<int64_t>(below(items.size()), below(items.size()))]; }
  template <typename Test> const Item *pickIf(Test test) {
    for (int attempt = 0; attempt < 12; ++attempt)
      if (const Item &item = pick(); test(item))
        return &item;
    return nullptr;
  }
  const Item *pickFloat(int64_t minRank = 0, int64_t maxRank = 6) {
    return pickIf([&](const Item &x) { return x.isFloat() && x.rank() >= minRank && x.rank() <= maxRank; });
  }
  static std::optional<int64_t> fixed(AffineExpr e) { return graph::asConstant(e); }
  /// The number of elements at most, symbols being at their largest.
  static int64_t elements(const Dims &dims) {
    int64_t n = 1;
    for (AffineExpr dim : dims)
      n *= graph::rangeOf(dim, {{0, 64}}).value_or(std::pair<int64_t, int64_t>{0, 1 << 20}).second;
    return n;
  }
  void add(Value value, bool isExact, double bound) { items.push_back({value, isExact, bound}); }
  RankedTensorType typeOf(const Dims &dims, Type element) { return graph::makeTensorType(dims, element); }

  // ---- steps: each adds items, or nothing when it finds no operands
  void input(Type element);
  void unary();
  void binary();
  void compareAndSelect();
  void cast();
  void softmax();
  void permute();
  void reshape();
  void slice();
  void pad();
  void concat();
  void reverse();
  void insertSlice();
  void broadcast();
  void reduce();
  void argReduce();
  void cumulate();
  void sort();
  void contract();
  void convolve();
  void pool();
  void gather();
  void scatter();
  void attention();

  Value weight(const Dims &dims, double bound);
  Item scaled(const Item &x, double factor);
  using Body = llvm::function_ref<Value(OpBuilder &, ValueRange)>;
  Value map(const Dims &dims, Type element, ArrayRef<Value> inputs, ArrayRef<AffineMap> maps, Body body) {
    return graph::MapOp::build(b, loc, typeOf(dims, element), inputs, maps,
                               [&](OpBuilder &builder, Location, ValueRange args) -> SmallVector<Value> {
                                 return {body(builder, args)};
                               })
        .getResult(0);
  }
  Value number(OpBuilder &builder, Type type, double value) {
    return arith::ConstantOp::create(builder, loc, builder.getFloatAttr(type, value));
  }
  AffineMap identity(int64_t rank) { return AffineMap::getMultiDimIdentityMap(rank, context); }

  MLIRContext *context;
  OpBuilder b;
  Location loc;
  const Recipe &recipe;
  std::mt19937_64 random;
  bool isSymbolic = false;
  ModuleOp module;
  func::FuncOp function;
  unsigned weights = 0;
  std::vector<Item> items;
};
} // namespace

void Generator::input(Type element) {
  Dims dims = shape(below(5));
  while (elements(dims) > 40000)
    dims.pop_back();
  unsigned number = function.getNumArguments();
  (void)function.insertArgument(
      number, typeOf(dims, element),
      b.getDictionaryAttr(b.getNamedAttr("graph.name", b.getStringAttr("x" + std::to_string(number)))), loc);
  add(function.getArgument(number), true, 1);
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
    y = {weight({dims.back()}, 1), false, 1};
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
                                   &Generator::cast,     &Generator::argReduce,   &Generator::sort};
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

OwningOpRef<ModuleOp> fuzz::generate(MLIRContext *context, const Recipe &recipe) {
  return Generator(context, recipe).run();
}
