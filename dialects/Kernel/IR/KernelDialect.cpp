//===- KernelDialect.cpp - the kernel dialect -----------------------------===//
#include "dialects/Kernel/IR/KernelDialect.h"
#include "mlir/Interfaces/FunctionImplementation.h"

using namespace mlir;
using namespace tenon::kernel;

#include "dialects/Kernel/IR/KernelDialect.cpp.inc"
#define GET_ATTRDEF_CLASSES
#include "dialects/Kernel/IR/KernelAttrs.cpp.inc"
#define GET_OP_CLASSES
#include "dialects/Kernel/IR/KernelOps.cpp.inc"

void KernelDialect::initialize() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialects/Kernel/IR/KernelAttrs.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "dialects/Kernel/IR/KernelOps.cpp.inc"
      >();
}

int64_t LayoutAttr::getBytes(RankedTensorType type) const {
  auto complex = dyn_cast<ComplexType>(type.getElementType());
  Type part = complex ? complex.getElementType() : type.getElementType();
  int64_t element = (complex ? 2 : 1) * llvm::divideCeil(part.getIntOrFloatBitWidth(), 8);
  if (getWidth() == 0)
    return type.getNumElements() * element;
  int64_t n = 1, k = 1;
  for (auto [i, dim] : llvm::enumerate(getOrder()))
    (static_cast<int64_t>(i) < getN() ? n : k) *= type.getDimSize(dim);
  return getGroups() * static_cast<int64_t>(llvm::divideCeil(n / getGroups(), getWidth())) * k * getWidth() * element;
}

ParseResult FuncOp::parse(OpAsmParser &parser, OperationState &result) {
  auto buildType = [](Builder &builder, ArrayRef<Type> args, ArrayRef<Type> results,
                      function_interface_impl::VariadicFlag, std::string &) {
    return builder.getFunctionType(args, results);
  };
  return function_interface_impl::parseFunctionOp(parser, result, /*allowVariadic=*/false,
                                                  getFunctionTypeAttrName(result.name), buildType,
                                                  getArgAttrsAttrName(result.name), getResAttrsAttrName(result.name));
}

void FuncOp::print(OpAsmPrinter &printer) {
  function_interface_impl::printFunctionOp(printer, *this, /*isVariadic=*/false, getFunctionTypeAttrName(),
                                           getArgAttrsAttrName(), getResAttrsAttrName());
}

AffineExpr FuncOp::getExpr(StringRef attribute) {
  auto dims = (*this)->getAttrOfType<graph::DimsAttr>(attribute);
  return dims && dims.getExprs().size() == 1 ? dims.getExprs()[0] : AffineExpr();
}

void FuncOp::setExpr(StringRef attribute, AffineExpr expr) {
  (*this)->setAttr(attribute, graph::DimsAttr::get(getContext(), graph::normalize(expr)));
}

LogicalResult CallOp::verifySymbolUses(SymbolTableCollection &symbols) {
  auto callee = symbols.lookupNearestSymbolFrom<FuncOp>(*this, getCalleeAttr());
  if (!callee)
    return emitOpError() << getCalleeAttr() << " is not a 'kernel.func'";
  if (callee.getFunctionType().getInputs() != getInputs().getTypes() ||
      callee.getFunctionType().getResults() != getResultTypes())
    return emitOpError() << "has types " << FunctionType::get(getContext(), getInputs().getTypes(), getResultTypes())
                         << " but the kernel is " << callee.getFunctionType();
  return success();
}
