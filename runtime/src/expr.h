// Size expressions: validation, evaluation and text of the postfix programs in the header (table Dim).
#ifndef TENON_RUNTIME_SRC_EXPR_H
#define TENON_RUNTIME_SRC_EXPR_H

#include "error.h"
#include "tenon/format.h"

namespace tenon::rt {

/// A validated expression. `fixed` is >= 0 when it is a constant; `symbol` is >= 0 when it is one plain symbol.
struct Expr {
  const int64_t *code = nullptr;
  uint32_t words = 0;
  int32_t symbol = -1;
  int64_t fixed = -1;
};

enum class EvalResult { Ok, Overflow, BadDivisor };

/// Checks opcodes, operands, stack and length; nullptr when valid, else what is wrong.
const char *validateExpr(const int64_t *code, uint64_t words, uint32_t symbolCount, Expr &expr);

/// `symbols` must have as many values as validateExpr was told.
EvalResult evaluateCode(const int64_t *code, uint32_t words, const int64_t *symbols, int64_t &value);

inline EvalResult evaluate(const Expr &expr, const int64_t *symbols, int64_t &value) {
  if (expr.fixed >= 0)
    return value = expr.fixed, EvalResult::Ok;
  if (expr.symbol >= 0)
    return value = symbols[expr.symbol], EvalResult::Ok;
  return evaluateCode(expr.code, expr.words, symbols, value);
}

/// "s0 * 2 + 1", with parentheses only where needed; `name(context, i)` gives a symbol's name.
void printExpr(const Expr &expr, const char *(*name)(const void *context, uint32_t symbol), const void *context,
               TextBuffer &text);

} // namespace tenon::rt
#endif
