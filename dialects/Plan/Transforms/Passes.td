// Passes on the plan dialect.
include "mlir/Pass/PassBase.td"

def GroupCallsPass : Pass<"tenon-plan-group-calls", "::mlir::ModuleOp"> {
  let summary = "Lets siblings run at the same time.";
  let description = [{
    Why: a projection of few tiles leaves threads idle, and every run on the threads ends in a wait.

    Requires: `plan.func`s whose buffers have no places yet.
    Guarantees: calls that read one value, do not depend on each other and are together worth waking threads for are in
    one `plan.together`; the others stay in their order.

    ```mlir
    plan.call @q ins(%x) outs(%0) …
    plan.call @k ins(%x) outs(%1) …
    // becomes
    plan.together {
      plan.call @q ins(%x) outs(%0) …
      plan.call @k ins(%x) outs(%1) …
    }
    ```
  }];
  let dependentDialects = ["::tenon::plan::PlanDialect"];
}

def AssignOffsetsPass : Pass<"tenon-plan-assign-offsets", "::mlir::ModuleOp"> {
  let summary = "Gives every buffer of the arena its place.";
  let description = [{
    Why: one arena per call, as small as the lifetimes allow, and no allocation at run time.

    Requires: `plan.func`s.
    Guarantees: each `plan.alloc` has `offset` (all sizes of the function are constant) or `below`; buffers that live
    at the same time do not overlap.

    ```mlir
    %0 = plan.alloc 0 bytes(100)
    // becomes
    %0 = plan.alloc 0 bytes(100) {offset = 0}
    ```
  }];
  let dependentDialects = ["::tenon::plan::PlanDialect"];
  let statistics = [
    Statistic<"buffers", "buffers", "Buffers placed in arenas">,
    Statistic<"arenaBytes", "arena-bytes", "Bytes of the arenas whose sizes are constant">,
    Statistic<"liveBytes", "live-bytes", "Bytes that live at once at most: no placement can need less">];
}

def VerifyMemoryPass : Pass<"tenon-plan-verify", "::mlir::ModuleOp"> {
  let summary = "Proves that no two buffers that live at the same time overlap.";
  let description = [{
    Why: a wrong plan gives wrong numbers in ways that no shape check finds.

    Requires: `plan.func`s with places assigned.
    Guarantees: (V1) arena buffers that live together are disjoint: numerically when constant, else because one is in
    the other's transitive `below` set; (V2) what a call or copy writes overlaps nothing that it reads or else writes,
    but for pairs in `alias` that are the same buffer; (V3) inputs and constants are never written; (V4) what a call
    of a `plan.together` writes, no other call of it touches.

    ```mlir
    plan.copy %0 to %0 bytes(4)   // error: overlaps
    ```
  }];
  let dependentDialects = ["::tenon::plan::PlanDialect"];
}
