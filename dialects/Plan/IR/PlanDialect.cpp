//===- PlanDialect.cpp - the plan dialect ---------------------------------===//
#include "dialects/Plan/IR/PlanDialect.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::plan;

//===----------------------------------------------------------------------===//
// Expressions
//===----------------------------------------------------------------------===//

/// Parses an expression over s0, s1, … and d0, d1, ….
static ParseResult parseExprValue(AsmParser &parser, ExprAttr &result) {
  constexpr unsigned kSymbols = 256, kDims = 16;
  MLIRContext *context = parser.getContext();
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (unsigned i = 0; i < kSymbols; ++i)
      all.push_back("s" + std::to_string(i));
    for (unsigned i = 0; i < kDims; ++i)
      all.push_back("d" + std::to_string(i));
    return all;
  }();
  SmallVector<std::pair<StringRef, AffineExpr>> known;
  for (unsigned i = 0; i < kSymbols; ++i)
    known.emplace_back(names[i], getAffineSymbolExpr(i, context));
  for (unsigned i = 0; i < kDims; ++i)
    known.emplace_back(names[kSymbols + i], getAffineDimExpr(i, context));
  AffineExpr expr;
  if (parser.parseAffineExpr(known, expr))
    return failure();
  result = makeExpr(expr);
  return success();
}

static ParseResult parseExpr(OpAsmParser &parser, ExprAttr &result) { return parseExprValue(parser, result); }
static void printExpr(OpAsmPrinter &printer, Operation *, ExprAttr expr) { printer << expr.getValue(); }

Attribute ExprAttr::parse(AsmParser &parser, Type) {
  ExprAttr result;
  if (parser.parseLess() || parseExprValue(parser, result) || parser.parseGreater())
    return {};
  return result;
}

void ExprAttr::print(AsmPrinter &printer) const {
  printer << "<";
  getValue().print(printer.getStream());
  printer << ">";
}

#include "dialects/Plan/IR/PlanDialect.cpp.inc"
#define GET_TYPEDEF_CLASSES
#include "dialects/Plan/IR/PlanTypes.cpp.inc"
#define GET_ATTRDEF_CLASSES
#include "dialects/Plan/IR/PlanAttrs.cpp.inc"
#define GET_OP_CLASSES
#include "dialects/Plan/IR/PlanOps.cpp.inc"

void PlanDialect::initialize() {
  addTypes<
#define GET_TYPEDEF_LIST
#include "dialects/Plan/IR/PlanTypes.cpp.inc"
      >();
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialects/Plan/IR/PlanAttrs.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialects/Plan/IR/PlanOps.cpp.inc"
      >();
}

//===----------------------------------------------------------------------===//
// Helpers
//===----------------------------------------------------------------------===//

ExprAttr tenon::plan::makeExpr(AffineExpr value) { return ExprAttr::get(value.getContext(), graph::normalize(value)); }

ExprAttr tenon::plan::makeExpr(MLIRContext *context, int64_t value) {
  return ExprAttr::get(context, getAffineConstantExpr(value, context));
}

int64_t tenon::plan::elementBytes(Type elementType) {
  if (auto complex = dyn_cast<ComplexType>(elementType))
    return 2 * elementBytes(complex.getElementType());
  return llvm::divideCeil(elementType.getIntOrFloatBitWidth(), 8);
}

AffineExpr tenon::plan::byteSize(Type tensor) {
  return graph::normalize(graph::numElements(tensor) * elementBytes(cast<RankedTensorType>(tensor).getElementType()));
}

AffineExpr tenon::plan::alignUp(AffineExpr expr) {
  if (std::optional<int64_t> value = graph::asConstant(expr))
    return getAffineConstantExpr(llvm::alignTo(*value, kBufferAlign), expr.getContext());
  return expr.ceilDiv(kBufferAlign) * kBufferAlign;
}

SmallVector<std::pair<int64_t, int64_t>> tenon::plan::symbolRanges(FuncOp func) {
  SmallVector<std::pair<int64_t, int64_t>> ranges;
  for (Attribute attribute : func.getSymbols()) {
    auto symbol = cast<graph::SymbolAttr>(attribute);
    ranges.emplace_back(symbol.getMin(), symbol.getMax());
  }
  return ranges;
}

AffineExpr tenon::plan::bufferBytes(Value buffer) {
  return TypeSwitch<Operation *, AffineExpr>(buffer.getDefiningOp())
      .Case<InputOp, OutputOp, StateOp, WeightOp, AllocOp, ViewOp>([](auto op) { return op.getBytes().getValue(); })
      .Case([](ChooseOp op) { return bufferBytes(op.getZero()); });
}

/// The least and the largest value of `expr`, as expressions.
static std::pair<AffineExpr, AffineExpr> bounds(AffineExpr expr, ArrayAttr symbols) {
  MLIRContext *context = expr.getContext();
  if (auto symbol = dyn_cast<AffineSymbolExpr>(expr)) {
    auto declared = symbol.getPosition() < symbols.size()
                        ? cast<graph::SymbolAttr>(symbols[symbol.getPosition()])
                        : graph::SymbolAttr();
    bool isFound = declared && declared.isFound();
    return {isFound ? getAffineConstantExpr(declared.getMin(), context) : expr, expr};
  }
  auto binary = dyn_cast<AffineBinaryOpExpr>(expr);
  if (!binary)
    return {expr, expr};
  auto [leastL, mostL] = bounds(binary.getLHS(), symbols);
  auto [leastR, mostR] = bounds(binary.getRHS(), symbols);
  if (leastL == mostL && leastR == mostR)
    return {expr, expr};
  switch (expr.getKind()) {
  case AffineExprKind::Add:
    return {leastL + leastR, mostL + mostR};
  case AffineExprKind::Mul: // factors are sizes; a constant one, the last, may be negative
    if (graph::asConstant(mostR).value_or(0) < 0)
      return {mostL * mostR, leastL * mostR};
    return {leastL * leastR, mostL * mostR};
  case AffineExprKind::FloorDiv:
    return {leastL.floorDiv(mostR), mostL.floorDiv(leastR)};
  case AffineExprKind::CeilDiv:
    return {leastL.ceilDiv(mostR), mostL.ceilDiv(leastR)};
  default:
    return {getAffineConstantExpr(0, context), mostR - 1};
  }
}

AffineExpr tenon::plan::boundAbove(AffineExpr expr, ArrayAttr symbols) {
  return graph::normalize(bounds(graph::normalize(expr), symbols).second);
}

//===----------------------------------------------------------------------===//
// Verifiers
//===----------------------------------------------------------------------===//

LogicalResult ConstantOp::verify() {
  if (getOffset() % kBufferAlign != 0 || getBytes() < 0)
    return emitOpError() << "offset " << getOffset() << " is not a multiple of " << kBufferAlign;
  if (getWeight().has_value() == getValue().has_value())
    return emitOpError("needs either 'weight' or 'value'");
  return success();
}

LogicalResult CallOp::verify() {
  std::optional<ArrayRef<int64_t>> pairs = getAlias();
  if (!pairs)
    return success();
  if (pairs->size() % 2 != 0)
    return emitOpError("'alias' holds pairs but has an odd number of elements");
  for (size_t i = 0; i < pairs->size(); i += 2)
    if ((*pairs)[i] < 0 || (*pairs)[i] >= static_cast<int64_t>(getInputs().size()) || (*pairs)[i + 1] < 0 ||
        (*pairs)[i + 1] >= static_cast<int64_t>(getOutputs().size()))
      return emitOpError() << "'alias' pair (" << (*pairs)[i] << ", " << (*pairs)[i + 1] << ") is out of range";
  return success();
}

LogicalResult TogetherOp::verify() {
  Block &body = getBody().front(); // (C1)
  if (llvm::range_size(body) < 2 || !llvm::all_of(body, [](Operation &op) { return isa<CallOp>(op); }))
    return emitOpError("needs two calls or more, and nothing else");
  return success();
}

LogicalResult WhileOp::verify() {
  auto tests = getCondition().front().getOps<TestOp>(); // (C1)
  if (!llvm::hasSingleElement(tests) || !isa<TestOp>(getCondition().front().back()))
    return emitOpError("condition must end in its one 'plan.test'");
  return success();
}
