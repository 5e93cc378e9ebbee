#include "Kernels.h"
using namespace mlir;
LogicalResult tenon::cpu::emitWindow(Emitter &e, graph::ReduceWindowOp root) { return root.emitOpError("has no CPU kernel"); }
