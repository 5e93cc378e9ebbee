#include "Function.h"

using namespace mlir;

namespace tenon::frontend {

/// Letters, digits, '.', '_' and '$' stand in a symbol without quotes.
std::string SymbolNames::unique(StringRef name) {
  std::string text;
  for (char c : name)
    text.push_back(llvm::isAlnum(c) || c == '.' || c == '_' || c == '$' ? c : '_');
  if (text.empty() || llvm::isDigit(text[0]))
    text = "_" + text;
  std::string unique = text;
  for (unsigned n = 1; !used.insert(unique).second; ++n)
    unique = text + "_" + std::to_string(n);
  return unique;
}

void finishFunction(OpBuilder &b, func::FuncOp function, const FunctionParts &parts, const SizeRanges &symbols,
                    Location loc) {
  func::ReturnOp::create(b, loc, parts.results);
  function.setType(b.getFunctionType(function.getBody().front().getArgumentTypes(), ValueRange(parts.results).getTypes()));
  for (auto [i, attributes] : llvm::enumerate(parts.argAttrs))
    function.setArgAttrs(i, attributes);
  for (auto [i, attributes] : llvm::enumerate(parts.resultAttrs))
    function.setResultAttrs(i, attributes);
  if (!symbols.empty())
    function->setAttr("graph.symbols", symbols.toAttr());
}

} // namespace tenon::frontend
