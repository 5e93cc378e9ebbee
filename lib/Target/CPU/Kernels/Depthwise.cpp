#include "Kernels.h"
using namespace mlir;
LogicalResult tenon::cpu::emitDepthwise(Emitter &e, graph::ConvOp root) { return root.emitOpError("has no CPU kernel"); }
