//===- GeneratorSteps.h - the state of a module in the making -------------===//
// What the kinds of steps share: Generator.cpp has inputs, elementwise and layout steps,
// ControlSteps.cpp what has regions, Steps.cpp the others.
#ifndef TENON_FUZZ_GENERATORSTEPS_H
#define TENON_FUZZ_GENERATORSTEPS_H

#include "Generator.h"
#include "dialects/Graph/IR/GraphDialect.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Builders.h"
#include <random>

namespace tenon::fuzz {
using namespace mlir;
using graph::Dims;

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
  bool isMask() const { return element().isInteger(1); }
  /// Whether comparing its elements has one right answer.
  bool isOrdered() const { return isExact && !isMask(); }
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
  void einsum();
  void convolve();
  void pool();
  void gather();
  void take();
  void scatter();
  void attention();
  void integers();
  void mask();
  void masks();
  void narrow();
  void places();
  void recur();
  void cell();
  void branch();
  void loop();

  Value predicate(const Item &x, double bound);
  Value changed(Value x, double step);
  Value positionsBelow(const Item &from, int64_t count, Type type);
  Value wave(const Dims &dims, Type element, double step);
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

} // namespace tenon::fuzz
#endif
