//===- GraphDialect.cpp - registration, attributes, discardable attributes -===//
#include "dialects/Graph/IR/GraphDialect.h"

using namespace mlir;
using namespace tenon::graph;

#include "dialects/Graph/IR/GraphDialect.cpp.inc"
#include "dialects/Graph/IR/GraphEnums.cpp.inc"
#define GET_ATTRDEF_CLASSES
#include "dialects/Graph/IR/GraphAttrs.cpp.inc"

void GraphDialect::initialize() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialects/Graph/IR/GraphAttrs.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialects/Graph/IR/GraphOps.cpp.inc"
      >();
}

Operation *GraphDialect::materializeConstant(OpBuilder &builder, Attribute value, Type type, Location loc) {
  if (isa<ElementsAttr>(value) && isa<RankedTensorType>(type))
    return ConstantOp::create(builder, loc, type, cast<ElementsAttr>(value));
  return arith::ConstantOp::materialize(builder, value, type, loc);
}

//===----------------------------------------------------------------------===//
// #graph.dims<[s0 * 2, 384]>
//===----------------------------------------------------------------------===//

/// Symbols that a textual expression may name; more than any model declares.
static constexpr unsigned kMaxTextualSymbols = 256;

Attribute DimsAttr::parse(AsmParser &parser, Type) {
  MLIRContext *context = parser.getContext();
  // Names must outlive the parse; they are the same for every attribute.
  static const std::vector<std::string> names = [] {
    std::vector<std::string> result;
    for (unsigned i = 0; i < kMaxTextualSymbols; ++i)
      result.push_back("s" + std::to_string(i));
    return result;
  }();
  SmallVector<std::pair<StringRef, AffineExpr>> symbols;
  for (unsigned i = 0; i < kMaxTextualSymbols; ++i)
    symbols.emplace_back(names[i], getAffineSymbolExpr(i, context));
  SmallVector<AffineExpr> exprs;
  auto parseOne = [&]() -> ParseResult {
    AffineExpr expr;
    if (parser.parseAffineExpr(symbols, expr))
      return failure();
    exprs.push_back(normalize(expr));
    return success();
  };
  if (parser.parseLess() || parser.parseCommaSeparatedList(AsmParser::Delimiter::Square, parseOne) ||
      parser.parseGreater())
    return {};
  return DimsAttr::get(context, exprs);
}

void DimsAttr::print(AsmPrinter &printer) const {
  printer << "<[";
  llvm::interleaveComma(getExprs(), printer, [&](AffineExpr expr) { printer.getStream() << expr; });
  printer << "]>";
}

LogicalResult DimsAttr::verifyEncoding(ArrayRef<int64_t> shape, Type,
                                       function_ref<InFlightDiagnostic()> emitError) const {
  if (shape.size() != getExprs().size())
    return emitError() << "tensor has rank " << shape.size() << " but '#graph.dims' has " << getExprs().size()
                       << " sizes";
  for (auto [i, size, expr] : llvm::enumerate(shape, getExprs())) {
    std::optional<int64_t> value = asConstant(expr);
    if (ShapedType::isDynamic(size) ? value.has_value() : value != size)
      return emitError() << "dimension " << i << " of the tensor and of '#graph.dims' disagree";
  }
  return success();
}

LogicalResult SymbolAttr::verify(function_ref<InFlightDiagnostic()> emitError, StringRef name, int64_t min,
                                 int64_t max, DimsAttr) {
  if (min < 0 || max < min)
    return emitError() << "symbol '" << name << "' has range [" << min << ", " << max
                       << "] but needs 0 <= min <= max";
  return success();
}

LogicalResult WeightSourceAttr::verify(function_ref<InFlightDiagnostic()> emitError, StringRef kind, StringRef,
                                       int64_t offset, int64_t length, FloatAttr) {
  if (!llvm::is_contained({"file", "splat", "seed", "owned"}, kind))
    return emitError() << "weight source is '" << kind << "' but must be file, splat, seed or owned";
  if (offset < 0 || length < 0)
    return emitError() << "weight source has a negative offset or length";
  return success();
}

//===----------------------------------------------------------------------===//
// Discardable attributes
//===----------------------------------------------------------------------===//

static void forEachSymbol(ArrayRef<AffineExpr> exprs, function_ref<void(unsigned)> fn) {
  for (AffineExpr expr : exprs)
    expr.walk([&](AffineExpr e) {
      if (auto symbol = dyn_cast<AffineSymbolExpr>(e))
        fn(symbol.getPosition());
    });
}

void tenon::graph::forEachSymbol(Type type, function_ref<void(unsigned)> fn) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  if (!tensor)
    return;
  auto dims = dyn_cast_or_null<DimsAttr>(tensor.getEncoding());
  if (dims)
    ::forEachSymbol(dims.getExprs(), fn);
}

void tenon::graph::forEachSymbol(Operation *op, function_ref<void(unsigned)> fn) {
  op->walk([&](Operation *inner) {
    if (isa<DefineSizeOp>(inner))
      return;
    for (NamedAttribute attribute : inner->getAttrs())
      if (auto dims = dyn_cast<DimsAttr>(attribute.getValue()))
        ::forEachSymbol(dims.getExprs(), fn);
    if (!isa<NonzeroOp>(inner)) // it counts before there is a size
      for (Type type : inner->getResultTypes())
        forEachSymbol(type, fn);
    for (Region &region : inner->getRegions())
      for (Block &block : region)
        for (Type type : block.getArgumentTypes())
          forEachSymbol(type, fn);
  });
}

/// Symbols with a bound get their values from one op each, the others from inputs.
static LogicalResult checkFoundSymbols(Operation *op, ArrayAttr symbols) {
  SmallVector<DefineSizeOp> definitions(symbols.size()); // none for a symbol of a region that is gone
  for (auto [i, attribute] : llvm::enumerate(symbols)) {
    DimsAttr bound = cast<SymbolAttr>(attribute).getBound();
    if (!bound)
      continue;
    bool isEarlier = bound.getExprs().size() == 1;
    ::forEachSymbol(bound.getExprs(), [&](unsigned position) { isEarlier &= position < i; });
    if (!isEarlier)
      return op->emitError() << "bound " << bound << " of symbol s" << i
                             << " must be one expression over the symbols before it";
  }
  WalkResult result = op->walk([&](DefineSizeOp define) { // (C3)
    unsigned position = define.getSymbol();
    if (position >= symbols.size() || !cast<SymbolAttr>(symbols[position]).isFound()) {
      define.emitOpError() << "gives a value to s" << position << ", which has no bound in 'graph.symbols'";
      return WalkResult::interrupt();
    }
    if (definitions[position]) {
      InFlightDiagnostic diag = define.emitOpError() << "gives a value to s" << position << ", which has one";
      diag.attachNote(definitions[position].getLoc()) << "given here";
      return WalkResult::interrupt();
    }
    definitions[position] = define;
    return WalkResult::advance();
  });
  return failure(result.wasInterrupted());
}

LogicalResult GraphDialect::verifyOperationAttribute(Operation *op, NamedAttribute attribute) {
  if (attribute.getName() != "graph.symbols")
    return success();
  auto symbols = dyn_cast<ArrayAttr>(attribute.getValue());
  if (!symbols || !llvm::all_of(symbols, llvm::IsaPred<SymbolAttr>))
    return op->emitError("'graph.symbols' must be an array of '#graph.symbol'");
  std::optional<unsigned> tooLarge;
  auto check = [&](unsigned position) {
    if (position >= symbols.size())
      tooLarge = position;
  };
  op->walk([&](Operation *inner) {
    for (Type type : inner->getResultTypes())
      forEachSymbol(type, check);
    for (Region &region : inner->getRegions())
      for (Block &block : region)
        for (Type type : block.getArgumentTypes())
          forEachSymbol(type, check);
  });
  if (tooLarge)
    return op->emitError() << "size uses symbol s" << *tooLarge << " but 'graph.symbols' declares " << symbols.size();
  return checkFoundSymbols(op, symbols);
}

LogicalResult GraphDialect::verifyRegionArgAttribute(Operation *op, unsigned, unsigned argIndex,
                                                     NamedAttribute attribute) {
  if (attribute.getName() == "graph.state") {
    auto symbol = dyn_cast<FlatSymbolRefAttr>(attribute.getValue());
    if (!symbol || !SymbolTable::lookupNearestSymbolFrom<VariableOp>(op, symbol))
      return op->emitError() << "'graph.state' of argument " << argIndex << " must name a 'graph.variable'";
  }
  return success();
}
