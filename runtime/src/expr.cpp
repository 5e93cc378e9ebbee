// Size expressions; see expr.h.
#include "expr.h"

namespace tenon::rt {

const char *validateExpr(const int64_t *code, uint64_t words, uint32_t symbolCount, Expr &expr) {
  if (words == 0)
    return "is empty";
  if (words > TN_DIM_MAX_WORDS)
    return "is longer than 1024 words";
  uint32_t depth = 0;
  for (uint64_t i = 0; i < words; ++i) {
    int64_t op = code[i];
    if (op == TN_DIM_CONST || op == TN_DIM_SYMBOL) {
      if (++i == words)
        return "ends before an operand";
      if (op == TN_DIM_SYMBOL && (code[i] < 0 || code[i] >= symbolCount))
        return "names a symbol that is not declared before it";
      if (++depth > TN_DIM_MAX_STACK)
        return "needs more than 32 values on its stack";
    } else if (op >= TN_DIM_ADD && op <= TN_DIM_MAX) {
      if (depth < 2)
        return "has an operation with less than two operands";
      --depth;
    } else {
      return "has an unknown operation";
    }
  }
  if (depth != 1)
    return "leaves more than one value";
  expr.code = code;
  expr.words = static_cast<uint32_t>(words);
  if (words == 2 && code[0] == TN_DIM_CONST && code[1] >= 0)
    expr.fixed = code[1];
  if (words == 2 && code[0] == TN_DIM_SYMBOL)
    expr.symbol = static_cast<int32_t>(code[1]);
  return nullptr;
}

static EvalResult applyOp(int64_t op, int64_t a, int64_t b, int64_t &value) {
  switch (op) {
  case TN_DIM_ADD:
    return __builtin_add_overflow(a, b, &value) ? EvalResult::Overflow : EvalResult::Ok;
  case TN_DIM_MUL:
    return __builtin_mul_overflow(a, b, &value) ? EvalResult::Overflow : EvalResult::Ok;
  case TN_DIM_MIN:
    return value = a < b ? a : b, EvalResult::Ok;
  case TN_DIM_MAX:
    return value = a > b ? a : b, EvalResult::Ok;
  }
  // A positive divisor only: INT64_MIN / -1 cannot happen, and a size divided by less has no meaning.
  if (b <= 0)
    return EvalResult::BadDivisor;
  int64_t quotient = a / b, rest = a % b;
  if (op == TN_DIM_FLOORDIV)
    value = quotient - (rest < 0 ? 1 : 0);
  else if (op == TN_DIM_CEILDIV)
    value = quotient + (rest > 0 ? 1 : 0);
  else
    value = rest < 0 ? rest + b : rest;
  return EvalResult::Ok;
}

EvalResult evaluateCode(const int64_t *code, uint32_t words, const int64_t *symbols, int64_t &value) {
  int64_t stack[TN_DIM_MAX_STACK];
  uint32_t depth = 0;
  for (uint32_t i = 0; i < words; ++i) {
    int64_t op = code[i];
    if (op == TN_DIM_CONST) {
      stack[depth++] = code[++i];
    } else if (op == TN_DIM_SYMBOL) {
      stack[depth++] = symbols[code[++i]];
    } else {
      int64_t result = 0;
      if (EvalResult status = applyOp(op, stack[depth - 2], stack[depth - 1], result); status != EvalResult::Ok)
        return status;
      stack[--depth - 1] = result;
    }
  }
  value = stack[0];
  return EvalResult::Ok;
}

namespace {
struct Printer {
  const int64_t *code;
  // Per operation: the words where its operands' last operations are; filled by one forward scan.
  uint16_t right[TN_DIM_MAX_WORDS]; // instruction word of the right operand
  uint16_t left[TN_DIM_MAX_WORDS];
  const char *(*name)(const void *, uint32_t);
  const void *context;
  TextBuffer &text;

  // `tight` = printed as an operand of *. Depth is bounded by the text: it stops when the buffer is full.
  void print(uint32_t at, bool tight, unsigned depth) {
    if (text.used + 1 >= text.capacity || depth > TN_DIM_MAX_WORDS)
      return;
    switch (code[at]) {
    case TN_DIM_CONST:
      return text.add("%lld", static_cast<long long>(code[at + 1]));
    case TN_DIM_SYMBOL:
      return text.add("%s", name(context, static_cast<uint32_t>(code[at + 1])));
    case TN_DIM_ADD:
      text.add("%s", tight ? "(" : "");
      print(left[at], false, depth + 1);
      text.add(" + ");
      print(right[at], false, depth + 1);
      return text.add("%s", tight ? ")" : "");
    case TN_DIM_MUL:
      print(left[at], true, depth + 1);
      text.add("*");
      return print(right[at], true, depth + 1);
    }
    static const char *const calls[] = {"floordiv(", "ceildiv(", "mod(", "min(", "max("};
    text.add("%s", calls[code[at] - TN_DIM_FLOORDIV]);
    print(left[at], false, depth + 1);
    text.add(", ");
    print(right[at], false, depth + 1);
    text.add(")");
  }
};
} // namespace

void printExpr(const Expr &expr, const char *(*name)(const void *context, uint32_t symbol), const void *context,
               TextBuffer &text) {
  Printer printer{expr.code, {}, {}, name, context, text};
  uint16_t stack[TN_DIM_MAX_STACK];
  uint32_t depth = 0;
  for (uint32_t i = 0; i < expr.words; ++i) {
    auto at = static_cast<uint16_t>(i);
    if (expr.code[i] == TN_DIM_CONST || expr.code[i] == TN_DIM_SYMBOL) {
      ++i;
    } else {
      printer.right[at] = stack[--depth];
      printer.left[at] = stack[--depth];
    }
    stack[depth++] = at;
  }
  printer.print(stack[0], false, 0);
}

} // namespace tenon::rt
