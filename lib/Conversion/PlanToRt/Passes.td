include "mlir/Pass/PassBase.td"

def ConvertPlanToRtPass : Pass<"tenon-convert-plan-to-rt", "::mlir::ModuleOp"> {
  let summary = "Writes the functions that drive the kernels.";
  let description = [{
    Why: the host program is machine code; between two kernels there is nothing but a call.

    Requires: `plan.func`s with places assigned.
    Guarantees: for each, three `rt.func`s, and one `rt.image` that lists all. `plan.func`s stay: package reads
    signatures and figures from them.

    ```mlir
    plan.call @k ins(%0) outs(%1) tiles(4) work(64) scratch_bytes(0)
    // becomes
    rt.run @k(%0, %1) tiles %c4 scratch %null site 0 : !llvm.ptr, !llvm.ptr, !llvm.ptr
    ```
  }];
  let dependentDialects = ["::tenon::rt::RtDialect"];
}

def ConvertRtToLLVMPass : Pass<"tenon-convert-rt-to-llvm", "::mlir::ModuleOp"> {
  let summary = "Turns calls into the runtime into LLVM's dialect, by the layout of abi.h.";
  let description = [{
    Why: from here on LLVM knows the way.

    Requires: `rt.func`s of rt, arith, scf, cf and llvm ops.
    Guarantees: `llvm.func`s, and the global `tn_image`, the one symbol that is visible.

    ```mlir
    %0 = rt.arena : !llvm.ptr
    // becomes
    %p = llvm.getelementptr %frame[0, 4] : (!llvm.ptr) -> !llvm.ptr, !llvm.struct<(…)>
    %0 = llvm.load %p : !llvm.ptr -> !llvm.ptr
    ```
  }];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect", "::mlir::cf::ControlFlowDialect"];
}
