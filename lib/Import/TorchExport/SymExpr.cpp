// Parser, evaluator and printer of symbolic sizes. Simplification belongs to the graph dialect, not here.
#include "tenon/Import/TorchExport/SymExpr.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MathExtras.h"
#include <cmath>
#include <limits>
#include <numeric>

using namespace llvm;

namespace tenon::torch_export {

using Kind = SymExpr::Kind;

namespace {

constexpr unsigned kMaxDepth = 100;

/// A function of sympy or torch that means one of our kinds.
struct Function {
  Kind kind;
  unsigned minOperands, maxOperands;
};

/// Recursive descent; on failure `error` is set and null is returned.
class Parser {
public:
  explicit Parser(StringRef text) : text(text) {}

  Expected<SymExprRef> run() {
    SymExprRef result = parse(0);
    skipSpace();
    if (result && at != text.size())
      result = fail("text after the end of the expression");
    if (!result)
      return createStringError(std::make_error_code(std::errc::invalid_argument), error);
    return result;
  }

private:
  SymExprRef fail(const Twine &reason) {
    if (error.empty())
      error = formatv("symbolic expression, character {0}: {1}", at + 1, reason.str()).str();
    return nullptr;
  }
  void skipSpace() {
    while (at < text.size() && isSpace(text[at]))
      ++at;
  }
  bool eat(char c) {
    skipSpace();
    if (at >= text.size() || text[at] != c)
      return false;
    ++at;
    return true;
  }
  StringRef word() {
    skipSpace();
    StringRef w = text.drop_front(at).take_while([](char c) { return isAlnum(c) || c == '_' || c == '.'; });
    at += w.size();
    return w;
  }
  bool number(int64_t &value) {
    skipSpace();
    size_t start = at;
    if (at < text.size() && text[at] == '-')
      ++at;
    at += text.drop_front(at).take_while(isDigit).size();
    if (!text.slice(start, at).getAsInteger(10, value))
      return true;
    fail("expected an integer of at most 64 bits");
    return false;
  }
  bool quoted(StringRef &value) {
    skipSpace();
    if (at >= text.size() || (text[at] != '\'' && text[at] != '"')) {
      fail("expected a quoted string");
      return false;
    }
    size_t end = text.find(text[at], at + 1);
    if (end == StringRef::npos) {
      fail("string without end");
      return false;
    }
    value = text.slice(at + 1, end);
    at = end + 1;
    return true;
  }

  static std::shared_ptr<SymExpr> make(Kind kind, int64_t value = 0) {
    auto e = std::make_shared<SymExpr>();
    e->kind = kind;
    e->value = value;
    return e;
  }
  static std::shared_ptr<SymExpr> unsupported(const Twine &name) {
    auto e = make(Kind::Unsupported);
    e->name = name.str();
    return e;
  }

  SymExprRef parse(unsigned depth);
  SymExprRef parseSymbol();
  SymExprRef parseRational();
  SymExprRef parseFloat(StringRef digits);
  SymExprRef parseOperands(StringRef function, unsigned depth);

  StringRef text;
  size_t at = 0;
  std::string error;
};

} // namespace

static std::optional<Function> findFunction(StringRef name) {
  constexpr unsigned many = std::numeric_limits<unsigned>::max();
  return StringSwitch<std::optional<Function>>(name)
      .Case("Add", Function{Kind::Add, 1, many})
      .Case("Mul", Function{Kind::Mul, 1, many})
      .Case("Max", Function{Kind::Max, 1, many})
      .Case("Min", Function{Kind::Min, 1, many})
      .Cases({"Pow", "PowByNatural"}, Function{Kind::Pow, 2, 2})
      .Cases({"FloorDiv", "CleanDiv"}, Function{Kind::FloorDiv, 2, 2})
      .Case("CeilDiv", Function{Kind::CeilDiv, 2, 2})
      .Cases({"Mod", "PythonMod"}, Function{Kind::Mod, 2, 2})
      .Cases({"IntTrueDiv", "FloatTrueDiv"}, Function{Kind::TrueDiv, 2, 2})
      .Cases({"floor", "FloorToInt"}, Function{Kind::Floor, 1, 1})
      .Cases({"ceiling", "CeilToInt"}, Function{Kind::Ceil, 1, 1})
      .Case("TruncToInt", Function{Kind::Trunc, 1, 1})
      .Case("Abs", Function{Kind::Abs, 1, 1})
      .Cases({"Equality", "Eq"}, Function{Kind::Eq, 2, 2})
      .Cases({"Unequality", "Ne"}, Function{Kind::Ne, 2, 2})
      .Cases({"StrictLessThan", "Lt"}, Function{Kind::Lt, 2, 2})
      .Cases({"LessThan", "Le"}, Function{Kind::Le, 2, 2})
      .Cases({"StrictGreaterThan", "Gt"}, Function{Kind::Gt, 2, 2})
      .Cases({"GreaterThan", "Ge"}, Function{Kind::Ge, 2, 2})
      .Case("And", Function{Kind::And, 1, many})
      .Case("Or", Function{Kind::Or, 1, many})
      .Case("Not", Function{Kind::Not, 1, 1})
      .Default(std::nullopt);
}

SymExprRef Parser::parse(unsigned depth) {
  if (depth > kMaxDepth)
    return fail("nested more than " + Twine(kMaxDepth) + " deep");
  skipSpace();
  if (at < text.size() && text[at] == '-' && at + 1 < text.size() && !isDigit(text[at + 1])) {
    ++at;
    SymExprRef operand = parse(depth + 1);
    if (!operand)
      return nullptr;
    if (operand->kind == Kind::Infinity)
      return make(Kind::Infinity, -operand->value);
    auto product = make(Kind::Mul);
    product->operands = {make(Kind::Integer, -1), operand};
    return product;
  }
  if (at < text.size() && (isDigit(text[at]) || text[at] == '-')) {
    int64_t value;
    return number(value) ? make(Kind::Integer, value) : nullptr;
  }
  StringRef name = word();
  if (name.empty())
    return fail(at < text.size() ? "expected an expression" : "the text ends where an expression should be");
  if (name == "true" || name == "True" || name == "false" || name == "False")
    return make(Kind::Bool, name.lower() == "true");
  if (!eat('(')) {
    if (name == "oo" || name == "int_oo")
      return make(Kind::Infinity, 1);
    return unsupported(name);
  }
  if (name == "Symbol" || name == "Dummy")
    return parseSymbol();
  if (name == "Rational")
    return parseRational();
  if (name == "Integer") {
    int64_t value;
    if (!number(value))
      return nullptr;
    return eat(')') ? make(Kind::Integer, value) : fail("expected ')'");
  }
  if (name == "Float") {
    StringRef digits;
    if (!quoted(digits))
      return nullptr;
    size_t end = text.find(')', at);
    if (end == StringRef::npos)
      return fail("expected ')'");
    at = end + 1;
    return parseFloat(digits);
  }
  return parseOperands(name, depth);
}

SymExprRef Parser::parseSymbol() {
  StringRef name;
  if (!quoted(name))
    return nullptr;
  if (name.empty())
    return fail("a symbol without a name");
  auto symbol = make(Kind::Symbol);
  symbol->name = name.str();
  while (eat(',')) {
    StringRef property = word();
    if (property.empty() || !eat('='))
      return fail("expected an assumption like positive=True");
    bool holds = word() == "True";
    if (property == "positive")
      symbol->positive = holds;
    else if (property == "nonnegative")
      symbol->nonnegative = holds;
    else if (property == "integer")
      symbol->integer = holds;
  }
  return eat(')') ? symbol : fail("expected ')'");
}

SymExprRef Parser::parseRational() {
  int64_t numerator, denominator;
  if (!number(numerator))
    return nullptr;
  if (!eat(','))
    return fail("expected ','");
  if (!number(denominator))
    return nullptr;
  if (denominator <= 0 || numerator == std::numeric_limits<int64_t>::min())
    return fail("a rational number out of range");
  if (!eat(')'))
    return fail("expected ')'");
  int64_t divisor = std::gcd(numerator, denominator);
  auto e = make(denominator == divisor ? Kind::Integer : Kind::Rational, numerator / divisor);
  e->denominator = denominator / divisor;
  return e;
}

/// Whether `value * s`, as Python computes it, and `num * s / den` have the same whole part for all sizes s up to 2^24.
static bool roundsAlike(double value, int64_t num, int64_t den) {
  constexpr int64_t kMaxSize = int64_t(1) << 24;
  // What is no whole number is further from one than rounding goes; what is one must be met exactly.
  if (num > kMaxSize)
    return false;
  for (int64_t whole = num, size = den; size <= kMaxSize; size += den, whole += num)
    if (value * static_cast<double>(size) != static_cast<double>(whole))
      return false;
  return true;
}

/// A float as the fraction with the least denominator that is rounded to it.
SymExprRef Parser::parseFloat(StringRef digits) {
  double value;
  constexpr int64_t kMaxDenominator = int64_t(1) << 20;
  if (digits.getAsDouble(value) || !std::isfinite(value) || value < 0 || value > static_cast<double>(kMaxDenominator))
    return unsupported("Float(" + digits + ")");
  // Continued fractions.
  int64_t num = 1, den = 0, lastNum = 0, lastDen = 1;
  for (double rest = value; den <= kMaxDenominator && num <= (int64_t(1) << 40);) {
    auto whole = static_cast<int64_t>(std::floor(rest));
    lastNum = std::exchange(num, whole * num + lastNum);
    lastDen = std::exchange(den, whole * den + lastDen);
    if (den <= kMaxDenominator && static_cast<double>(num) / static_cast<double>(den) == value) {
      if (!roundsAlike(value, num, den))
        break;
      auto e = make(den == 1 ? Kind::Integer : Kind::Rational, num);
      e->denominator = den;
      return e;
    }
    double fraction = rest - static_cast<double>(whole);
    if (fraction < 1e-12)
      break;
    rest = 1 / fraction;
  }
  return unsupported("Float(" + digits + ")");
}

SymExprRef Parser::parseOperands(StringRef name, unsigned depth) {
  SmallVector<SymExprRef, 2> operands;
  bool hasKeyword = false;
  if (!eat(')')) {
    do {
      size_t before = at;
      if (!word().empty() && eat('=')) // a keyword such as evaluate=False
        hasKeyword = true;
      else
        at = before;
      SymExprRef operand = parse(depth + 1);
      if (!operand)
        return nullptr;
      operands.push_back(std::move(operand));
    } while (eat(','));
    if (!eat(')'))
      return fail("expected ',' or ')'");
  }
  if (operands.empty())
    if (name == "IntInfinity" || name == "NegativeIntInfinity" || name == "Infinity" || name == "NegativeInfinity")
      return make(Kind::Infinity, name.starts_with("Negative") ? -1 : 1);
  if (name == "ModularIndexing" && operands.size() == 3) {
    auto quotient = make(Kind::FloorDiv), rest = make(Kind::Mod);
    quotient->operands = {operands[0], operands[1]};
    rest->operands = {quotient, operands[2]};
    return rest;
  }
  if (name == "ToFloat" && operands.size() == 1 && !hasKeyword)
    return operands[0];
  std::optional<Function> function = findFunction(name);
  if (!function || hasKeyword) {
    auto e = unsupported(name);
    e->operands = std::move(operands);
    return e;
  }
  if (operands.size() < function->minOperands || operands.size() > function->maxOperands)
    return fail("'" + name + "' with " + Twine(operands.size()) + " operands");
  auto e = make(function->kind);
  if (e->kind == Kind::Pow) {
    if (!operands[1]->isInteger() || operands[1]->value < -4 || operands[1]->value > 16) {
      e = unsupported(name);
    } else {
      e->value = operands[1]->value;
      operands.pop_back();
    }
  }
  e->operands = std::move(operands);
  return e;
}

Expected<SymExprRef> parseSymExpr(StringRef text) { return Parser(text).run(); }

//===-- evaluation ----------------------------------------------------------------------------------------------===//

namespace {
/// num / den with den > 0, in lowest terms.
struct Fraction {
  int64_t num = 0, den = 1;
};
using MaybeFraction = std::optional<Fraction>;
} // namespace

static MaybeFraction normalise(int64_t num, int64_t den) {
  constexpr int64_t min = std::numeric_limits<int64_t>::min();
  if (den == 1)
    return Fraction{num, 1};
  if (den == 0 || num == min || den == min)
    return std::nullopt;
  int64_t divisor = std::gcd(num, den) * (den < 0 ? -1 : 1);
  return Fraction{num / divisor, den / divisor};
}
static MaybeFraction add(Fraction a, Fraction b) {
  int64_t left, right, num, den;
  if (MulOverflow(a.num, b.den, left) || MulOverflow(b.num, a.den, right) || AddOverflow(left, right, num) ||
      MulOverflow(a.den, b.den, den))
    return std::nullopt;
  return normalise(num, den);
}
static MaybeFraction multiply(Fraction a, Fraction b) {
  int64_t num, den;
  if (MulOverflow(a.num, b.num, num) || MulOverflow(a.den, b.den, den))
    return std::nullopt;
  return normalise(num, den);
}
static MaybeFraction divide(Fraction a, Fraction b) {
  int64_t num, den;
  if (b.num == 0 || MulOverflow(a.num, b.den, num) || MulOverflow(a.den, b.num, den))
    return std::nullopt;
  if (den == -1) // normalise would refuse the smallest numerator only
    return num == std::numeric_limits<int64_t>::min() ? std::nullopt : MaybeFraction(Fraction{-num, 1});
  return normalise(num, den);
}
static int64_t floorOf(Fraction a) { return a.num / a.den - (a.num % a.den < 0); }
static int64_t ceilOf(Fraction a) { return a.num / a.den + (a.num % a.den > 0); }
static std::optional<int> compare(Fraction a, Fraction b) {
  int64_t left, right;
  if (MulOverflow(a.num, b.den, left) || MulOverflow(b.num, a.den, right))
    return std::nullopt;
  return left < right ? -1 : left > right;
}

static MaybeFraction evaluateFraction(const SymExpr &e, function_ref<std::optional<int64_t>(StringRef)> symbol) {
  switch (e.kind) {
  case Kind::Integer:
  case Kind::Bool:
  case Kind::Rational:
    return Fraction{e.value, e.denominator};
  case Kind::Symbol:
    if (std::optional<int64_t> value = symbol(e.name))
      return Fraction{*value, 1};
    return std::nullopt;
  case Kind::Infinity:
  case Kind::Unsupported:
    return std::nullopt;
  default:
    break;
  }
  SmallVector<Fraction, 4> v;
  for (const SymExprRef &operand : e.operands) {
    MaybeFraction value = evaluateFraction(*operand, symbol);
    if (!value)
      return std::nullopt;
    v.push_back(*value);
  }
  MaybeFraction result = v[0];
  auto boolean = [](bool b) { return Fraction{b, 1}; };
  switch (e.kind) {
  case Kind::Add:
  case Kind::Mul:
    for (size_t i = 1; result && i < v.size(); ++i)
      result = e.kind == Kind::Add ? add(*result, v[i]) : multiply(*result, v[i]);
    return result;
  case Kind::Max:
  case Kind::Min:
    for (size_t i = 1; i < v.size(); ++i) {
      std::optional<int> order = compare(v[i], *result);
      if (!order)
        return std::nullopt;
      if (e.kind == Kind::Max ? *order > 0 : *order < 0)
        result = v[i];
    }
    return result;
  case Kind::Pow:
    result = Fraction{1, 1};
    for (int64_t i = 0; result && i < (e.value < 0 ? -e.value : e.value); ++i)
      result = e.value < 0 ? divide(*result, v[0]) : multiply(*result, v[0]);
    return result;
  case Kind::TrueDiv:
    return divide(v[0], v[1]);
  case Kind::FloorDiv:
  case Kind::CeilDiv:
    if ((result = divide(v[0], v[1])))
      result = Fraction{e.kind == Kind::FloorDiv ? floorOf(*result) : ceilOf(*result), 1};
    return result;
  case Kind::Mod: {
    MaybeFraction quotient = divide(v[0], v[1]);
    MaybeFraction product = quotient ? multiply({floorOf(*quotient), 1}, v[1]) : std::nullopt;
    MaybeFraction negative = product ? multiply({-1, 1}, *product) : std::nullopt;
    return negative ? add(v[0], *negative) : std::nullopt;
  }
  case Kind::Floor:
    return Fraction{floorOf(v[0]), 1};
  case Kind::Ceil:
    return Fraction{ceilOf(v[0]), 1};
  case Kind::Trunc:
    return Fraction{v[0].num / v[0].den, 1};
  case Kind::Abs:
    return v[0].num < 0 ? multiply({-1, 1}, v[0]) : v[0];
  case Kind::Not:
    return boolean(v[0].num == 0);
  case Kind::And:
    return boolean(all_of(v, [](Fraction f) { return f.num != 0; }));
  case Kind::Or:
    return boolean(any_of(v, [](Fraction f) { return f.num != 0; }));
  default:
    break;
  }
  std::optional<int> order = compare(v[0], v[1]);
  if (!order)
    return std::nullopt;
  switch (e.kind) {
  case Kind::Eq:
    return boolean(*order == 0);
  case Kind::Ne:
    return boolean(*order != 0);
  case Kind::Lt:
    return boolean(*order < 0);
  case Kind::Le:
    return boolean(*order <= 0);
  case Kind::Gt:
    return boolean(*order > 0);
  default:
    return boolean(*order >= 0);
  }
}

std::optional<int64_t> SymExpr::evaluate(function_ref<std::optional<int64_t>(StringRef)> symbol) const {
  MaybeFraction result = evaluateFraction(*this, symbol);
  if (!result || result->den != 1)
    return std::nullopt;
  return result->num;
}

const SymExpr *SymExpr::findUnsupported() const {
  if (kind == Kind::Unsupported)
    return this;
  for (const SymExprRef &operand : operands)
    if (const SymExpr *found = operand->findUnsupported())
      return found;
  return nullptr;
}

void SymExpr::forEachSymbol(function_ref<void(const SymExpr &)> visit) const {
  if (kind == Kind::Symbol)
    visit(*this);
  for (const SymExprRef &operand : operands)
    operand->forEachSymbol(visit);
}

/// The sign between operands, or null for what prints as a call.
static const char *infixOf(Kind kind) {
  switch (kind) {
  case Kind::Add:
    return " + ";
  case Kind::Mul:
    return "*";
  case Kind::FloorDiv:
    return " // ";
  case Kind::TrueDiv:
    return " / ";
  case Kind::Mod:
    return " % ";
  case Kind::Eq:
    return " == ";
  case Kind::Ne:
    return " != ";
  case Kind::Lt:
    return " < ";
  case Kind::Le:
    return " <= ";
  case Kind::Gt:
    return " > ";
  case Kind::Ge:
    return " >= ";
  case Kind::And:
    return " and ";
  case Kind::Or:
    return " or ";
  default:
    return nullptr;
  }
}

std::string SymExpr::str() const {
  auto nested = [](const SymExpr &e) { return infixOf(e.kind) ? "(" + e.str() + ")" : e.str(); };
  auto list = [&](StringRef separator, auto print) {
    return llvm::join(llvm::map_range(operands, [&](const SymExprRef &o) { return print(*o); }), separator);
  };
  switch (kind) {
  case Kind::Integer:
    return itostr(value);
  case Kind::Bool:
    return value ? "True" : "False";
  case Kind::Rational:
    return itostr(value) + "/" + itostr(denominator);
  case Kind::Infinity:
    return value < 0 ? "-oo" : "oo";
  case Kind::Symbol:
    return name;
  case Kind::Pow:
    return nested(*operands[0]) + "**" + itostr(value);
  default:
    break;
  }
  if (const char *infix = infixOf(kind))
    return list(infix,
                [&](const SymExpr &e) { return kind == Kind::Add && e.kind == Kind::Mul ? e.str() : nested(e); });
  std::string function = kind == Kind::Max       ? "max"
                         : kind == Kind::Min     ? "min"
                         : kind == Kind::CeilDiv ? "ceildiv"
                         : kind == Kind::Floor   ? "floor"
                         : kind == Kind::Ceil    ? "ceil"
                         : kind == Kind::Trunc   ? "trunc"
                         : kind == Kind::Abs     ? "abs"
                         : kind == Kind::Not     ? "not"
                                                 : name;
  if (kind == Kind::Unsupported && operands.empty())
    return function;
  return function + "(" + list(", ", [](const SymExpr &e) { return e.str(); }) + ")";
}

} // namespace tenon::torch_export
