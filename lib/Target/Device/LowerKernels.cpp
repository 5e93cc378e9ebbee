#include "tenon/Target/Device/LowerKernels.h"
#include "Emitter.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Pass/Pass.h"

using namespace mlir;
using namespace tenon;

/// As on the CPU a kernel has at most one op that is neither a map, a movement nor a reduction. Null for a kernel that
/// devices have no code for.
static std::function<LogicalResult(device::Emitter &)> findGenerator(kernel::FuncOp kernel) {
  Operation *root = nullptr;
  bool hasReduction = false;
  for (Operation &op : kernel.getBody().front().without_terminator()) {
    hasReduction |= isa<graph::ReduceOp>(op);
    if (isa<graph::ReduceOp>(op) || kernels::Evaluator::canEvaluate(&op))
      continue;
    if (root)
      return {};
    root = &op;
  }
  if (!root)
    return hasReduction ? device::emitRows : device::emitPointwise;
  if (hasReduction)
    return {};
  using Generator = std::function<LogicalResult(device::Emitter &)>;
  return llvm::TypeSwitch<Operation *, Generator>(root)
      .Case([](graph::ContractOp op) { return [=](device::Emitter &e) { return emitContract(e, op); }; })
      .Case([](graph::ConvOp op) { return [=](device::Emitter &e) { return emitConv(e, op); }; })
      .Case([](graph::ReduceWindowOp op) { return [=](device::Emitter &e) { return emitWindow(e, op); }; })
      .Case([](graph::AttentionOp op) { return [=](device::Emitter &e) { return emitAttention(e, op); }; })
      .Case([](graph::ArgReduceOp op) { return [=](device::Emitter &e) { return emitArgReduce(e, op); }; })
      .Case([](graph::CumulateOp op) { return [=](device::Emitter &e) { return emitCumulate(e, op); }; })
      .Default([](Operation *) { return Generator(); });
}

LogicalResult device::emitKernels(ModuleOp module, ModuleOp into, SmallVectorImpl<kernel::FuncOp> &left) {
  MLIRContext *context = module.getContext();
  context->loadDialect<arith::ArithDialect, func::FuncDialect, LLVM::LLVMDialect, math::MathDialect, scf::SCFDialect,
                       memref::MemRefDialect, mlir::gpu::GPUDialect>();
  LogicalResult status = success();
  for (kernel::FuncOp kernel : module.getOps<kernel::FuncOp>()) {
    auto generate = findGenerator(kernel);
    if (!generate) {
      left.push_back(kernel);
      continue;
    }
    OpBuilder builder(context);
    device::Emitter emitter(builder, kernel, into);
    if (failed(generate(emitter))) {
      status = failure();
      if (emitter.function)
        emitter.function.erase();
      continue;
    }
    emitter.finish();
    kernel->setAttr("device", builder.getUnitAttr());
  }
  return status;
}

namespace {
struct EmitDeviceKernelsPass final : PassWrapper<EmitDeviceKernelsPass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(EmitDeviceKernelsPass)
  StringRef getArgument() const override { return "tenon-device-emit-kernels"; }
  StringRef getDescription() const override { return "Writes every kernel that devices run as a function of one thread."; }
  void getDependentDialects(DialectRegistry &registry) const override {
    registry.insert<arith::ArithDialect, func::FuncDialect, LLVM::LLVMDialect, math::MathDialect, scf::SCFDialect,
                    memref::MemRefDialect, mlir::gpu::GPUDialect>();
  }
  void runOnOperation() override {
    SmallVector<kernel::FuncOp> left;
    if (failed(device::emitKernels(getOperation(), getOperation(), left)))
      return signalPassFailure();
    for (kernel::FuncOp kernel : left)
      kernel.emitRemark("runs on the CPU");
  }
};
} // namespace

void device::registerDevicePasses() { PassRegistration<EmitDeviceKernelsPass>(); }
