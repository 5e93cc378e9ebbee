//===- Host.cpp - from ordered kernels to the host program ----------------===//
#include "tenon/Pipelines/Host.h"
#include "dialects/Plan/Transforms/Lifetimes.h"
#include "dialects/Rt/IR/RtDialect.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "tenon/Conversion/PlanToRt.h"
#include "llvm/IR/Module.h"

using namespace mlir;
using namespace tenon;

LogicalResult tenon::buildPlan(ModuleOp module, const WeightKeyFn &weightKey) {
  module.getContext()->loadDialect<plan::PlanDialect>();
  if (failed(convertKernelToPlan(module, weightKey)))
    return failure();
  bool ok = true;
  for (auto func : module.getOps<plan::FuncOp>()) {
    plan::groupCalls(func);
    plan::assignOffsets(func);
    ok &= succeeded(plan::verifyMemory(func));
  }
  return success(ok);
}

FailureOr<std::string> tenon::compileHost(ModuleOp module, HostOutput output) {
  target::CPUAttr cpu = target::getTarget(module);
  if (!cpu)
    return module.emitError("module has no 'target.cpu'");
  MLIRContext *context = module.getContext();
  context
      ->loadDialect<rt::RtDialect, LLVM::LLVMDialect, cf::ControlFlowDialect, scf::SCFDialect, arith::ArithDialect>();
  // Only the plans and what they name: kernels may be large, and stay where they are.
  OwningOpRef<ModuleOp> host = ModuleOp::create(module.getLoc());
  OpBuilder builder = OpBuilder::atBlockEnd(host->getBody());
  for (Operation &op : *module.getBody())
    if (isa<plan::FuncOp, plan::ConstantOp, plan::VariableOp>(op))
      builder.clone(op);
  PassManager passes(context, ModuleOp::getOperationName());
  passes.addPass(createConvertPlanToRtPass());
  if (failed(passes.run(*host)))
    return failure();
  for (Operation &op : llvm::make_early_inc_range(*host->getBody()))
    if (isa<plan::FuncOp, plan::ConstantOp, plan::VariableOp>(op))
      op.erase();
  PassManager lower(context, ModuleOp::getOperationName());
  lower.addPass(createConvertRtToLLVMPass());
  if (failed(lower.run(*host)))
    return failure();

  DialectRegistry registry;
  registerBuiltinDialectTranslation(registry);
  registerLLVMDialectTranslation(registry);
  context->appendDialectRegistry(registry);
  llvm::LLVMContext llvmContext;
  std::unique_ptr<llvm::Module> llvmModule = translateModuleToLLVMIR(*host, llvmContext, "tenon");
  if (!llvmModule)
    return module.emitError("host program cannot be turned into LLVM IR");
  llvm::Expected<std::string> result = output == HostOutput::Object     ? emitObject(*llvmModule, cpu)
                                       : output == HostOutput::Assembly ? emitAssembly(*llvmModule, cpu)
                                                                        : emitLLVM(*llvmModule, cpu);
  if (!result)
    return module.emitError() << llvm::toString(result.takeError());
  return std::move(*result);
}
