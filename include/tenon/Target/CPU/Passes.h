// Passes generated from Passes.td of this folder, with their registration.
#ifndef TENON_TARGET_CPU_MATHPASSES_H
#define TENON_TARGET_CPU_MATHPASSES_H
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Pass/Pass.h"

namespace tenon::cpu {
#define GEN_PASS_DECL
#include "tenon/Target/CPU/Passes.h.inc"
/// `registerCPUTargetPasses()` registers every pass of Passes.td.
#define GEN_PASS_REGISTRATION
#include "tenon/Target/CPU/Passes.h.inc"
} // namespace tenon::cpu
#endif
