// Evaluates sizes as the runtime prints them: + and * of numbers, symbols and the calls floordiv, ceildiv, mod, min, max.
#include "Program.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/MathExtras.h"

namespace tenon::driver {

namespace {
struct SizeParser {
  llvm::StringRef text;
  llvm::function_ref<std::optional<int64_t>(llvm::StringRef)> symbol;

  bool consume(llvm::StringRef token) {
    text = text.ltrim();
    return text.consume_front(token);
  }

  std::optional<int64_t> sum() {
    std::optional<int64_t> value = product();
    while (value && (text.ltrim().starts_with("+") || text.ltrim().starts_with("-"))) {
      bool minus = !consume("+") && consume("-");
      std::optional<int64_t> other = product();
      if (!other)
        return std::nullopt;
      if (minus ? llvm::SubOverflow(*value, *other, *value) : llvm::AddOverflow(*value, *other, *value))
        return std::nullopt;
    }
    return value;
  }

  std::optional<int64_t> product() {
    std::optional<int64_t> value = atom();
    while (value && consume("*")) {
      std::optional<int64_t> other = atom();
      if (!other || llvm::MulOverflow(*value, *other, *value))
        return std::nullopt;
    }
    return value;
  }

  static std::optional<int64_t> apply(llvm::StringRef name, int64_t a, int64_t b) {
    if (name == "min")
      return std::min(a, b);
    if (name == "max")
      return std::max(a, b);
    if (b <= 0)
      return std::nullopt;
    if (name == "floordiv")
      return llvm::divideFloorSigned(a, b);
    if (name == "ceildiv")
      return llvm::divideCeilSigned(a, b);
    if (name == "mod")
      return llvm::mod(a, b);
    return std::nullopt;
  }

  std::optional<int64_t> atom() {
    if (consume("(")) {
      std::optional<int64_t> value = sum();
      return consume(")") ? value : std::nullopt;
    }
    if (consume("-")) {
      std::optional<int64_t> value = atom();
      return value ? std::optional(-*value) : std::nullopt;
    }
    text = text.ltrim();
    llvm::StringRef word = text.take_while([](char c) { return llvm::isAlnum(c) || c == '_' || c == '.'; });
    text = text.drop_front(word.size());
    int64_t number;
    if (word.empty())
      return std::nullopt;
    if (!word.getAsInteger(10, number))
      return number;
    if (!consume("("))
      return symbol(word);
    std::optional<int64_t> a = sum();
    if (!consume(","))
      return std::nullopt;
    std::optional<int64_t> b = sum();
    return a && b && consume(")") ? apply(word, *a, *b) : std::nullopt;
  }
};
} // namespace

std::optional<int64_t> evaluateSize(llvm::StringRef text,
                                    llvm::function_ref<std::optional<int64_t>(llvm::StringRef)> symbol) {
  SizeParser parser{text, symbol};
  std::optional<int64_t> value = parser.sum();
  return parser.text.trim().empty() ? value : std::nullopt;
}

} // namespace tenon::driver
