// Symbolic sizes of an exported program as AffineExpr.
#include "Sizes.h"

using namespace mlir;

namespace tenon::torch_export {

void SizeSymbols::declare(const SymExpr &expr, const std::map<std::string, Range> &allRanges) {
  expr.forEachSymbol([&](const SymExpr &symbol) {
    if (positions.contains(symbol.name))
      return;
    Range range;
    if (auto found = allRanges.find(symbol.name); found != allRanges.end())
      range = found->second;
    int64_t low = std::clamp<int64_t>(range.min.value_or(0), 0, kMaxSize);
    SizeRanges::declare(symbol.name, low, std::clamp<int64_t>(range.max.value_or(kMaxSize), low, kMaxSize));
  });
}

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
    std::optional<bool> isBelow = SizeRanges::isLessEqual(best, value, kAssumedMin),
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

} // namespace tenon::torch_export
