//===- Host.cpp - from ordered kernels to the host program ----------------===//
#include "tenon/Pipelines/Host.h"
#include "dialects/Target/IR/TargetDialect.h"
#include "dialects/Kernel/IR/KernelDialect.h"
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

/// Bytes of a kernel's operand.
static AffineExpr operandBytes(kernel::FuncOp kernel, unsigned operand) {
  bool isInput = operand < kernel.getNumArguments();
  auto type = cast<RankedTensorType>(isInput ? kernel.getArgumentTypes()[operand]
                                             : kernel.getResultTypes()[operand - kernel.getNumArguments()]);
  if (kernel::LayoutAttr layout = isInput ? kernel.getLayout(operand) : kernel::LayoutAttr())
    return getAffineConstantExpr(layout.getBytes(type), kernel.getContext());
  int64_t bits = type.getElementType().isInteger(1) ? 8 : type.getElementTypeBitWidth();
  return graph::normalize(graph::numElements(type) * static_cast<int64_t>(llvm::divideCeil(bits, 8)));
}

/// Tells the calls of a device's module where their kernels run; kernels are numbered in their order.
static void markDeviceCalls(ModuleOp module) {
  llvm::StringMap<std::pair<kernel::FuncOp, int32_t>> kernels;
  int32_t count = 0;
  for (kernel::FuncOp kernel : module.getOps<kernel::FuncOp>())
    kernels[kernel.getSymName()] = {kernel, kernel->hasAttr("device") ? count++ : -1};
  Builder b(module.getContext());
  module.walk([&](plan::CallOp call) {
    auto [kernel, number] = kernels.lookup(call.getCallee());
    if (number >= 0) {
      call->setAttr(kDeviceKernelAttr, b.getI32IntegerAttr(number));
      return;
    }
    SmallVector<AffineExpr> bytes;
    for (unsigned i = 0, n = call.getInputs().size() + call.getOutputs().size(); i < n; ++i)
      bytes.push_back(operandBytes(kernel, i));
    call->setAttr(kOperandBytesAttr, graph::DimsAttr::get(module.getContext(), bytes));
  });
}

LogicalResult tenon::buildPlan(ModuleOp module, const WeightKeyFn &weightKey) {
  module.getContext()->loadDialect<plan::PlanDialect>();
  if (failed(convertKernelToPlan(module, weightKey)))
    return failure();
  bool ok = true, isDevice = target::getDevice(module) != nullptr;
  if (isDevice)
    markDeviceCalls(module);
  for (auto func : module.getOps<plan::FuncOp>()) {
    if (!isDevice)
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
  if (target::GPUAttr device = target::getDevice(module))
    target::setDevice(*host, device);
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
