// Symbolic sizes of an exported program as AffineExpr.
#include "Sizes.h"

using namespace mlir;

namespace tenon::torch_export {

void SizeSymbols::declare(const SymExpr &expr, const std::map<std::string, Range> &allRanges) {
  expr.forEachSymbol([&](const SymExpr &symbol) {
    auto [it, fresh] = positions.try_emplace(symbol.name, names.size());
    if (!fresh)
      return;
    names.push_back(symbol.name);
    Range range;
    if (auto found = allRanges.find(symbol.name); found != allRanges.end())
      range = found->second;
    int64_t low = std::clamp<int64_t>(range.min.value_or(0), 0, kMaxSize);
    ranges.emplace_back(low, std::clamp<int64_t>(range.max.value_or(kMaxSize), low, kMaxSize));
    floors.push_back(0);
    bounds.push_back({});
  });
}

unsigned SizeSymbols::declareFound(StringRef name, int64_t min, int64_t max, AffineExpr bound) {
  unsigned position = names.size();
  positions[name] = position;
  names.push_back(name.str());
  int64_t low = std::clamp<int64_t>(min, 0, kMaxSize);
  ranges.emplace_back(low, std::clamp<int64_t>(max, low, kMaxSize));
  floors.push_back(0);
  bounds.push_back(bound);
  return position;
}

void SizeSymbols::noteHint(StringRef symbol, int64_t value) { hints.try_emplace(symbol, value); }

AffineExpr SizeSymbols::toExpr(const SymInt &size, std::string *why) const {
  return size.isStatic() ? getAffineConstantExpr(size.value, context) : toExpr(*size.expr, why);
}

AffineExpr SizeSymbols::toExpr(const SymExpr &expr, std::string *why) const {
  std::optional<Fraction> result = convert(expr, why);
  if (!result)
    return {};
  return graph::normalize(result->denominator == 1 ? result->numerator
                                                   : result->numerator.floorDiv(result->denominator));
}

static std::nullopt_t refuse(std::string *why, const Twine &text) {
  if (why && why->empty())
    *why = text.str();
  return std::nullopt;
}

std::optional<SizeSymbols::Fraction> SizeSymbols::convertSum(const SymExpr &expr, std::string *why) const {
  Fraction sum{getAffineConstantExpr(0, context), 1};
  for (const SymExprRef &operand : expr.operands) {
    std::optional<Fraction> term = convert(*operand, why);
    if (!term)
      return std::nullopt;
    if (term->denominator > kMaxSize || sum.denominator > kMaxSize)
      return refuse(why, "'" + expr.str() + "' has too large fractions");
    sum.numerator = sum.numerator * term->denominator + term->numerator * sum.denominator;
    sum.denominator *= term->denominator;
  }
  return sum;
}

std::optional<SizeSymbols::Fraction> SizeSymbols::convertProduct(const SymExpr &expr, std::string *why) const {
  Fraction product{getAffineConstantExpr(1, context), 1};
  for (const SymExprRef &operand : expr.operands) {
    std::optional<Fraction> factor = convert(*operand, why);
    if (!factor)
      return std::nullopt;
    if (factor->denominator > kMaxSize || product.denominator > kMaxSize)
      return refuse(why, "'" + expr.str() + "' has too large fractions");
    product.numerator = product.numerator * factor->numerator;
    product.denominator *= factor->denominator;
  }
  return product;
}

/// torch specializes sizes 0 and 1 while tracing and so never notes a smaller bound than this.
static constexpr int64_t kAssumedMin = 2;

std::optional<SizeSymbols::Fraction> SizeSymbols::convertExtremum(const SymExpr &expr, std::string *why) const {
  bool isMax = expr.kind == SymExpr::Kind::Max;
  AffineExpr best;
  for (const SymExprRef &operand : expr.operands) {
    AffineExpr value = toExpr(*operand, why);
    if (!value)
      return std::nullopt;
    if (!best) {
      best = value;
      continue;
    }
    std::optional<bool> isBelow = isLessEqual(best, value, kAssumedMin),
                        isAbove = isLessEqual(value, best, kAssumedMin);
    if (isBelow.value_or(false))
      best = isMax ? value : best;
    else if (isAbove.value_or(false))
      best = isMax ? best : value;
    else
      return refuse(why, "'" + expr.str() + "' is the larger or smaller of two sizes whose ranges overlap");
  }
  return Fraction{best, 1};
}

std::optional<SizeSymbols::Fraction> SizeSymbols::convert(const SymExpr &expr, std::string *why) const {
  using Kind = SymExpr::Kind;
  auto operand = [&](unsigned i) -> AffineExpr {
    return i < expr.operands.size() ? toExpr(*expr.operands[i], why) : AffineExpr();
  };
  auto divide = [&](auto combine) -> std::optional<Fraction> {
    AffineExpr l = operand(0), r = operand(1);
    if (!l || !r)
      return std::nullopt;
    if (graph::asConstant(r).value_or(1) <= 0)
      return refuse(why, "'" + expr.str() + "' divides by a number that is not positive");
    return Fraction{combine(l, r), 1};
  };
  switch (expr.kind) {
  case Kind::Integer:
  case Kind::Bool:
    return Fraction{getAffineConstantExpr(expr.value, context), 1};
  case Kind::Rational:
    return Fraction{getAffineConstantExpr(expr.value, context), expr.denominator};
  case Kind::Symbol:
    if (auto it = positions.find(expr.name); it != positions.end())
      return Fraction{getAffineSymbolExpr(it->second, context), 1};
    return refuse(why, "size '" + expr.name + "' is known only when the model runs");
  case Kind::Add:
    return convertSum(expr, why);
  case Kind::Mul:
    return convertProduct(expr, why);
  case Kind::Max:
  case Kind::Min:
    return convertExtremum(expr, why);
  case Kind::Pow: {
    AffineExpr base = operand(0), result = getAffineConstantExpr(1, context);
    if (!base || expr.value < 0)
      return refuse(why, "'" + expr.str() + "' is no integer");
    for (int64_t i = 0; i < expr.value; ++i)
      result = result * base;
    return Fraction{result, 1};
  }
  case Kind::FloorDiv:
    return divide([](AffineExpr l, AffineExpr r) { return l.floorDiv(r); });
  case Kind::CeilDiv:
    return divide([](AffineExpr l, AffineExpr r) { return l.ceilDiv(r); });
  case Kind::Mod:
    return divide([](AffineExpr l, AffineExpr r) { return l % r; });
  case Kind::Floor:
  case Kind::Ceil:
  case Kind::Trunc: {
    if (expr.operands.empty())
      break;
    const SymExpr &inner = *expr.operands[0];
    bool isCeil = expr.kind == Kind::Ceil;
    if (inner.kind == Kind::TrueDiv && inner.operands.size() == 2) {
      AffineExpr l = toExpr(*inner.operands[0], why), r = toExpr(*inner.operands[1], why);
      if (!l || !r || graph::asConstant(r).value_or(1) <= 0)
        return refuse(why, "'" + expr.str() + "' divides by a number that is not positive");
      return Fraction{isCeil ? l.ceilDiv(r) : l.floorDiv(r), 1};
    }
    std::optional<Fraction> value = convert(inner, why);
    if (!value || value->denominator == 1)
      return value;
    return Fraction{
        isCeil ? value->numerator.ceilDiv(value->denominator) : value->numerator.floorDiv(value->denominator), 1};
  }
  default:
    break;
  }
  return refuse(why, "'" + expr.str() + "' is no expression of integers that is supported");
}

std::optional<int64_t> SizeSymbols::hint(AffineExpr expr) const {
  SmallVector<int64_t> values;
  for (const std::string &name : names) {
    auto it = hints.find(name);
    if (it == hints.end())
      return graph::asConstant(expr);
    values.push_back(it->second);
  }
  return graph::evaluate(expr, values);
}

std::optional<bool> SizeSymbols::isLessEqual(AffineExpr a, AffineExpr b, int64_t floor) const {
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

std::optional<bool> SizeSymbols::isLessEqual(AffineExpr a, AffineExpr b) {
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

ArrayAttr SizeSymbols::toAttr() const {
  SmallVector<Attribute> symbols;
  for (auto [name, range, floor, bound] : llvm::zip(names, ranges, floors, bounds)) {
    int64_t min = range.first <= kAssumedMin && !bound ? std::min(range.first, floor) : range.first;
    symbols.push_back(graph::SymbolAttr::get(context, name, min, range.second,
                                             bound ? graph::DimsAttr::get(context, {bound}) : graph::DimsAttr()));
  }
  return ArrayAttr::get(context, symbols);
}

} // namespace tenon::torch_export
