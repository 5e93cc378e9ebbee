// Branches whose results differ in their sizes: they leave as large as they can be, with their size beside them.
#include "GraphBuilder.h"

using namespace mlir;
using tenon::graph::Dims;

namespace tenon::frontend {

namespace {
/// A result in the making.
struct Joined {
  Dims sizes;                                           ///< of what both branches give
  SmallVector<std::pair<int64_t, std::string>> differs; ///< dimensions, and what their sizes are called
};
} // namespace

std::optional<Tensors> GraphBuilder::branch(Tensor condition, MutableArrayRef<Region> regions,
                                            MutableArrayRef<Tensors> given,
                                            function_ref<SmallVector<Value>()> captures, SizeName nameOfSize) {
  if (given[0].size() != given[1].size()) {
    (void)error("has branches that give different results");
    return std::nullopt;
  }
  SmallVector<Joined> joined;
  for (auto [i, left, right] : llvm::enumerate(given[0], given[1])) {
    if (left.dtype != right.dtype)
      (void)error("has branches that give " + nameOf(left.dtype) + " and " + nameOf(right.dtype));
    else if (left.rank() != right.rank())
      (void)unsupported("with branches that give results of different ranks");
    if (bad)
      return std::nullopt;
    Joined &result = joined.emplace_back();
    result.sizes = left.dims();
    for (auto [d, l, r] : llvm::enumerate(left.dims(), right.dims())) {
      std::optional<std::string> name = l == r ? std::nullopt : nameOfSize(i, d);
      if (!name)
        continue;
      AffineExpr a = symbols.boundOf(l), c = symbols.boundOf(r);
      if (!a || !c) {
        (void)unsupported("with branches that give results of sizes without a bound");
        return std::nullopt;
      }
      AffineExpr both = graph::normalize(a + c);
      result.sizes[d] = isLessEqual(a, c) == true ? c : isLessEqual(c, a) == true ? a : both;
      result.differs.push_back({d, *name});
    }
  }
  for (int k = 0; k < 2; ++k) {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToEnd(&regions[k].front());
    SmallVector<Value> yields, sizes;
    for (auto [value, result] : llvm::zip(given[k], joined)) {
      Dims have = value.dims(), low(have.size(), constant(0)), high = low;
      for (auto &[d, name] : result.differs) {
        AffineExpr size = have[d];
        high[d] = graph::normalize(result.sizes[d] - size);
        have[d] = result.sizes[d];
        sizes.push_back(map(ScalarType::Long, ScalarType::Long, {},
                            [&](Scalars &s, ValueRange) { return sizeValue(s, size); }, ScalarType::Long, Dims())
                            .value);
      }
      if (!result.differs.empty())
        value = pad(value, low, high, 0);
      value = withDims(value, result.sizes);
      if (!value)
        return std::nullopt;
      yields.push_back(value.value);
    }
    llvm::append_range(yields, sizes);
    graph::YieldOp::create(b, loc, yields);
  }
  SmallVector<Value> inputs = captures();
  SmallVector<Type> types(regions[0].front().getTerminator()->getOperandTypes());
  auto cond = graph::CondOp::create(b, loc, types, condition.value, inputs);
  cond.getThenBody().takeBody(regions[0]);
  cond.getElseBody().takeBody(regions[1]);
  Tensors results;
  unsigned nextSize = joined.size();
  for (auto [i, result] : llvm::enumerate(joined)) {
    Tensor value{cond.getResult(i), given[0][i].dtype};
    for (auto &[d, name] : result.differs) {
      Tensor size{cond.getResult(nextSize++), ScalarType::Long};
      value = slice(value, d, constant(0), defineSize(size, 0, SizeRanges::kMaxSize, result.sizes[d], name));
    }
    results.push_back(value);
  }
  return results;
}

} // namespace tenon::frontend
