//===- LowerKernels.cpp - kernel bodies become loops, then LLVM -----------===//
#include "tenon/Target/CPU/LowerKernels.h"
#include "../../Kernels/Shapes.h"
#include "Kernels.h"
#include "tenon/Target/CPU/Passes.h"
#include "mlir/Conversion/ArithToLLVM/ArithToLLVM.h"
#include "mlir/Conversion/ControlFlowToLLVM/ControlFlowToLLVM.h"
#include "mlir/Conversion/FuncToLLVM/ConvertFuncToLLVMPass.h"
#include "mlir/Conversion/MathToLLVM/MathToLLVM.h"
#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "mlir/Dialect/UB/IR/UBOps.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::cpu;

static LogicalResult emitKernel(Emitter &e) {
  FailureOr<kernels::KernelKind> kind = kernels::KernelKind::find(e.kernel);
  if (failed(kind))
    return failure();
  if (!kind->root)
    return kind->hasReduction ? emitRows(e) : emitPointwise(e);
  return llvm::TypeSwitch<Operation *, LogicalResult>(kind->root)
      .Case([&](graph::ContractOp op) { return emitContract(e, op); })
      .Case([&](graph::ConvOp op) { return emitConv(e, op); })
      .Case([&](graph::ReduceWindowOp op) { return emitWindow(e, op); })
      .Case([&](graph::AttentionOp op) { return emitAttention(e, op); })
      .Case([&](graph::ArgReduceOp op) { return emitArgReduce(e, op); })
      .Case([&](graph::CumulateOp op) { return emitCumulate(e, op); })
      .Case([&](graph::SortOp op) { return emitSort(e, op); })
      .Case([&](graph::ScatterOp op) { return emitScatter(e, op); })
      .Case([&](graph::NonzeroOp op) { return emitNonzero(e, op); })
      .Default([&](Operation *op) { return op->emitOpError("has no CPU kernel"); });
}

LogicalResult tenon::cpu::emitKernels(ModuleOp module, ModuleOp into, target::CPUAttr target) {
  LogicalResult status = success();
  for (kernel::FuncOp kernel : module.getOps<kernel::FuncOp>()) {
    OpBuilder builder(module.getContext());
    Emitter emitter(builder, kernel, target);
    func::FuncOp function = emitter.begin(into);
    if (failed(emitKernel(emitter))) {
      status = failure();
      function.erase();
      continue;
    }
    emitter.finish();
  }
  return status;
}

void tenon::cpu::buildKernelToLLVMPipeline(OpPassManager &pm, bool hasFMA, bool hasF16C) {
  OpPassManager &functions = pm.nest<func::FuncOp>();
  functions.addPass(createCSEPass()); // addresses are written once per use
  // Before control flow is flattened: rare cases of some functions are scf.if ops.
  ExpandMathPassOptions mathOptions;
  mathOptions.hasFMA = hasFMA;
  functions.addPass(createExpandMathPass(mathOptions));
  ConvertHalfTypesPassOptions halfOptions;
  halfOptions.hasF16C = hasF16C;
  functions.addPass(createConvertHalfTypesPass(halfOptions));
  functions.addPass(createSCFToControlFlowPass());
  ConvertVectorToLLVMPassOptions vectorOptions;
  pm.addPass(createConvertVectorToLLVMPass(vectorOptions));
  pm.addPass(createConvertMathToLLVMPass());
  pm.addPass(createArithToLLVMConversionPass());
  pm.addPass(createConvertControlFlowToLLVMPass());
  pm.addPass(createConvertFuncToLLVMPass());
  pm.addPass(createReconcileUnrealizedCastsPass());
}

namespace {
struct EmitKernelsPass final : PassWrapper<EmitKernelsPass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(EmitKernelsPass)
  StringRef getArgument() const override { return "tenon-cpu-emit-kernels"; }
  StringRef getDescription() const override { return "Writes the loops of every kernel for the module's CPU target."; }
  void getDependentDialects(DialectRegistry &registry) const override {
    registry.insert<arith::ArithDialect, math::MathDialect, scf::SCFDialect, vector::VectorDialect, LLVM::LLVMDialect,
                    func::FuncDialect>();
  }
  void runOnOperation() override {
    ModuleOp module = getOperation();
    target::CPUAttr target = target::getTarget(module);
    if (!target) {
      module.emitError("has no 'target.cpu'");
      return signalPassFailure();
    }
    if (failed(emitKernels(module, module, target)))
      signalPassFailure();
  }
};

struct KernelsToLLVMPass final : PassWrapper<KernelsToLLVMPass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(KernelsToLLVMPass)
  StringRef getArgument() const override { return "tenon-cpu-kernels-to-llvm"; }
  StringRef getDescription() const override { return "Brings the loops of kernels to the LLVM dialect."; }
  void getDependentDialects(DialectRegistry &registry) const override {
    OpPassManager pm(ModuleOp::getOperationName());
    buildKernelToLLVMPipeline(pm, /*hasFMA=*/true, /*hasF16C=*/true);
    pm.getDependentDialects(registry);
  }
  void runOnOperation() override {
    target::CPUAttr target = target::getTarget(getOperation());
    if (!target) {
      getOperation().emitError("has no 'target.cpu'");
      return signalPassFailure();
    }
    OpPassManager pm(ModuleOp::getOperationName());
    buildKernelToLLVMPipeline(pm, target.getHasFMA(), target.getHasF16C());
    if (failed(runPipeline(pm, getOperation())))
      signalPassFailure();
  }
};
} // namespace

void tenon::cpu::registerLowerKernelsPasses() {
  PassRegistration<EmitKernelsPass>();
  PassRegistration<KernelsToLLVMPass>();
}
