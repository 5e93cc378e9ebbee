//===- GraphParsing.h - custom directives of the assembly formats ---------===//
#ifndef TENON_DIALECTS_GRAPH_IR_GRAPHPARSING_H
#define TENON_DIALECTS_GRAPH_IR_GRAPHPARSING_H

#include "dialects/Graph/IR/GraphDialect.h"

namespace tenon::graph {

template <typename AttrT, typename Enum>
mlir::ParseResult parseBareEnum(mlir::OpAsmParser &parser, AttrT &kind,
                                std::optional<Enum> (*symbolize)(llvm::StringRef), llvm::StringRef what) {
  llvm::StringRef word;
  llvm::SMLoc loc = parser.getCurrentLocation();
  if (parser.parseKeyword(&word))
    return mlir::failure();
  std::optional<Enum> value = symbolize(word);
  if (!value)
    return parser.emitError(loc) << "'" << word << "' is not a " << what;
  kind = AttrT::get(parser.getContext(), *value);
  return mlir::success();
}
inline mlir::ParseResult parseBareReduceKind(mlir::OpAsmParser &parser, ReduceKindAttr &kind) {
  return parseBareEnum<ReduceKindAttr, ReduceKind>(parser, kind, symbolizeReduceKind, "reduction kind");
}
inline void printBareReduceKind(mlir::OpAsmPrinter &printer, mlir::Operation *, ReduceKindAttr kind) {
  printer << stringifyReduceKind(kind.getValue());
}
inline mlir::ParseResult parseBareScatterKind(mlir::OpAsmParser &parser, ScatterKindAttr &kind) {
  return parseBareEnum<ScatterKindAttr, ScatterKind>(parser, kind, symbolizeScatterKind, "scatter kind");
}
inline void printBareScatterKind(mlir::OpAsmPrinter &printer, mlir::Operation *, ScatterKindAttr kind) {
  printer << stringifyScatterKind(kind.getValue());
}

} // namespace tenon::graph
#endif
