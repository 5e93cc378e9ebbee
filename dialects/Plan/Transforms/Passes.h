//===- Passes.h - passes on the plan dialect ------------------------------===//
#ifndef TENON_DIALECTS_PLAN_TRANSFORMS_PASSES_H
#define TENON_DIALECTS_PLAN_TRANSFORMS_PASSES_H

#include "dialects/Plan/IR/PlanDialect.h"

namespace tenon::plan {
#define GEN_PASS_DECL
#include "dialects/Plan/Transforms/Passes.h.inc"
#define GEN_PASS_REGISTRATION
#include "dialects/Plan/Transforms/Passes.h.inc"
} // namespace tenon::plan
#endif
