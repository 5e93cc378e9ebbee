// Expressions over symbolic sizes, as torch.export writes them (sympy's srepr), in a small tree of our own.
#ifndef TENON_IMPORT_TORCHEXPORT_SYMEXPR_H
#define TENON_IMPORT_TORCHEXPORT_SYMEXPR_H

#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace tenon::torch_export {

struct SymExpr;
using SymExprRef = std::shared_ptr<const SymExpr>;

/// An immutable expression. Its depth is bounded by the parser, so walking it recursively is safe.
struct SymExpr {
  enum class Kind : uint8_t {
    Integer,  ///< value
    Rational, ///< value / denominator, in lowest terms
    Bool,     ///< value is 0 or 1
    Infinity, ///< value is the sign
    Symbol,   ///< name, with positive / nonnegative / integer as declared
    Add,
    Mul,
    Max,
    Min,      ///< these four have one operand or more
    Pow,      ///< operand 0 to the power `value`, -4 … 16
    FloorDiv, ///< rounds down; also CleanDiv, which promises no remainder
    CeilDiv,
    Mod,     ///< sign of the divisor, as in Python; also ModularIndexing
    TrueDiv, ///< gives a fraction (IntTrueDiv)
    Floor,
    Ceil,
    Trunc,
    Abs,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    And,
    Or,
    Not,
    Unsupported, ///< name says what: a function we have no meaning for, or a use of one
  };

  Kind kind = Kind::Integer;
  bool positive = false, nonnegative = false, integer = false;
  int64_t value = 0, denominator = 1;
  std::string name;
  llvm::SmallVector<SymExprRef, 2> operands;

  bool isInteger() const { return kind == Kind::Integer; }
  bool isSymbol() const { return kind == Kind::Symbol; }

  /// The value, booleans as 0 and 1, when `symbol` gives one for every symbol met. None on overflow, on a zero
  /// divisor, when the result is no integer, or when the expression is unsupported.
  std::optional<int64_t> evaluate(llvm::function_ref<std::optional<int64_t>(llvm::StringRef)> symbol) const;

  /// The first unsupported part, to name in an error; null when there is none.
  const SymExpr *findUnsupported() const;

  /// Calls `visit` for each symbol, repeatedly if it occurs repeatedly.
  void forEachSymbol(llvm::function_ref<void(const SymExpr &)> visit) const;

  /// For people: "2*s0 - 1" prints as "2*s0 + -1".
  std::string str() const;
};

/// Parses e.g. `Add(Mul(Integer(2), Symbol('s77', positive=True, integer=True)), Integer(-1))`. Functions that we do
/// not know become `Unsupported`; text that is not srepr, is nested more than 100 deep, or has integers of more than
/// 64 bits is an error that names the position.
llvm::Expected<SymExprRef> parseSymExpr(llvm::StringRef text);

} // namespace tenon::torch_export
#endif
