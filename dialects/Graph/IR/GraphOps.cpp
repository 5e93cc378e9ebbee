//===- GraphOps.cpp - ODS-generated op definitions ------------------------===//
// Nothing but generated code: compiled once, apart from the verifiers, because it is the slowest to compile.
#include "dialects/Graph/IR/GraphDialect.h"
#include "dialects/Graph/IR/GraphParsing.h"

using namespace mlir;
using namespace tenon::graph;

#define GET_OP_CLASSES
#include "dialects/Graph/IR/GraphOps.cpp.inc"
