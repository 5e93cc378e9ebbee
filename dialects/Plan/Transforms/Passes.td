// Passes on the plan dialect.
include "mlir/Pass/PassBase.td"

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
    but for pairs in `alias` that are the same buffer; (V3) inputs and constants are never written.

    ```mlir
    plan.copy %0 to %0 bytes(4)   // error: overlaps
    ```
  }];
  let dependentDialects = ["::tenon::plan::PlanDialect"];
}
