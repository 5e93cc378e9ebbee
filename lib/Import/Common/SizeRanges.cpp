// Symbolic sizes and what is known about them.
#include "SizeRanges.h"

using namespace mlir;

namespace tenon::frontend {

AffineExpr SizeRanges::declare(StringRef name, int64_t low, int64_t high) {
  auto [it, fresh] = positions.try_emplace(name, names.size());
  if (fresh) {
    names.push_back(name.str());
    ranges.emplace_back(low, high);
    floors.push_back(0);
    bounds.push_back({});
  }
  return getAffineSymbolExpr(it->second, context);
}

unsigned SizeRanges::declareFound(StringRef name, int64_t min, int64_t max, AffineExpr bound) {
  unsigned position = names.size();
  int64_t low = std::clamp<int64_t>(min, 0, kMaxSize);
  declare(name, low, std::clamp<int64_t>(max, low, kMaxSize));
  bounds[position] = bound;
  return position;
}

void SizeRanges::noteHint(StringRef symbol, int64_t value) { hints.try_emplace(symbol, value); }

std::optional<int64_t> SizeRanges::hint(AffineExpr expr) const {
  SmallVector<int64_t> values;
  for (const std::string &name : names) {
    auto it = hints.find(name);
    if (it == hints.end())
      return graph::asConstant(expr);
    values.push_back(it->second);
  }
  return graph::evaluate(expr, values);
}

std::optional<bool> SizeRanges::isLessEqual(AffineExpr a, AffineExpr b, int64_t floor) const {
  SmallVector<std::pair<int64_t, int64_t>> now = ranges;
  for (auto [range, own, bound] : llvm::zip(now, floors, bounds))
    if (range.first <= kAssumedMin && !bound) // what a call finds may be anything that it is declared to be
      range.first = std::min(range.first, std::max(own, floor));
  std::optional<std::pair<int64_t, int64_t>> range = graph::rangeOf(graph::normalize(b - a), now);
  if (range && range->first >= 0)
    return true;
  if (range && range->second < 0)
    return false;
  // Terms that occur twice may cancel badly in the difference: compare the ranges themselves as well.
  std::optional<std::pair<int64_t, int64_t>> l = graph::rangeOf(a, now), r = graph::rangeOf(b, now);
  if (l && r && l->second <= r->first)
    return true;
  if (l && r && l->first > r->second)
    return false;
  return std::nullopt;
}

std::optional<bool> SizeRanges::isLessEqual(AffineExpr a, AffineExpr b) {
  if (a == b)
    return true;
  for (int64_t floor = 0; floor <= kAssumedMin; ++floor) {
    std::optional<bool> answer = isLessEqual(a, b, floor);
    if (!answer)
      continue;
    for (AffineExpr expr : {a, b})
      expr.walk([&](AffineExpr e) {
        if (auto symbol = dyn_cast<AffineSymbolExpr>(e))
          floors[symbol.getPosition()] = std::max(floors[symbol.getPosition()], floor);
      });
    return answer;
  }
  return std::nullopt;
}

AffineExpr SizeRanges::boundOf(AffineExpr expr) const {
  if (auto symbol = dyn_cast<AffineSymbolExpr>(expr)) {
    AffineExpr bound = bounds[symbol.getPosition()];
    return bound ? boundOf(bound) : expr;
  }
  bool isFound = false;
  expr.walk([&](AffineExpr part) {
    if (auto symbol = dyn_cast<AffineSymbolExpr>(part))
      isFound |= static_cast<bool>(bounds[symbol.getPosition()]);
  });
  if (!isFound)
    return expr;
  // What grows with its operands is bounded by their bounds.
  auto binary = cast<AffineBinaryOpExpr>(expr);
  AffineExpr left = boundOf(binary.getLHS()), right = boundOf(binary.getRHS());
  std::optional<int64_t> factor = graph::asConstant(binary.getRHS());
  if (left && right && expr.getKind() == AffineExprKind::Add)
    return graph::normalize(left + right);
  if (!left || !factor || *factor < 1)
    return {};
  switch (expr.getKind()) {
  case AffineExprKind::Mul:
    return graph::normalize(left * *factor);
  case AffineExprKind::FloorDiv:
    return graph::normalize(left.floorDiv(*factor));
  case AffineExprKind::CeilDiv:
    return graph::normalize(left.ceilDiv(*factor));
  default:
    return {};
  }
}

ArrayAttr SizeRanges::toAttr() const {
  SmallVector<Attribute> symbols;
  for (auto [name, range, floor, bound] : llvm::zip(names, ranges, floors, bounds)) {
    int64_t min = range.first <= kAssumedMin && !bound ? std::min(range.first, floor) : range.first;
    symbols.push_back(graph::SymbolAttr::get(context, name, min, range.second,
                                             bound ? graph::DimsAttr::get(context, {bound}) : graph::DimsAttr()));
  }
  return ArrayAttr::get(context, symbols);
}

} // namespace tenon::frontend
