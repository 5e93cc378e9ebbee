//===- TargetDialect.cpp - typed descriptions of machines -----------------===//
#include "dialects/Target/IR/TargetDialect.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace tenon::target;

#include "dialects/Target/IR/TargetDialect.cpp.inc"
#include "dialects/Target/IR/TargetEnums.cpp.inc"
#define GET_ATTRDEF_CLASSES
#include "dialects/Target/IR/TargetAttrs.cpp.inc"

void TargetDialect::initialize() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialects/Target/IR/TargetAttrs.cpp.inc"
      >();
}
