include "mlir/Pass/PassBase.td"

def ConvertKernelToPlanPass : Pass<"tenon-convert-kernel-to-plan", "::mlir::ModuleOp"> {
  let summary = "Decides in which buffer every value of an entry lives.";
  let description = [{
    Why: from here on nothing is a tensor; the host program only computes addresses and calls.

    Requires: entries (`func.func`) of `kernel.call`, `graph.scan`, `graph.cond` and `graph.while` over such
    bodies, `graph.reshape`, `graph.assert_dim`, `graph.define_size`, `graph.constant`, `graph.use_weight`, `graph.size` and `return`.
    Guarantees: each entry is a `plan.func`. Results are written into the caller's tensors, variables are updated in
    place; where that is not possible there is a `plan.copy`, and for a variable a remark with the reason.

    ```mlir
    %0 = kernel.call @k(%x, %w) : (tensor<2x8xf32>, tensor<4x8xf32>) -> tensor<2x4xf32>
    return %0 : tensor<2x4xf32>
    // becomes
    %0 = plan.input 0 bytes(64)
    %1 = plan.weight @c0 bytes(512)
    %2 = plan.output 0 bytes(32)
    plan.call @k ins(%0, %1) outs(%2) tiles(1) work(64) scratch_bytes(0)
    ```
  }];
  let dependentDialects = ["::tenon::plan::PlanDialect"];
  let statistics = [
    Statistic<"copiedStates", "copied-states", "Variables that are updated by a copy">,
    Statistic<"copies", "copies", "Copy steps">,
    Statistic<"reused", "reused", "Results that share the buffer of an operand">];
}
