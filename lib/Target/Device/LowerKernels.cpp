#include "tenon/Target/Device/LowerKernels.h"
#include "../Kernels/Shapes.h"
#include "Emitter.h"
#include "MatrixUnit.h"
#include "Warpgroup.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"
#include "tenon/Target/CPU/LayoutChoice.h"
#include "tenon/Target/CPU/Passes.h"

using namespace mlir;
using namespace tenon;

/// Null for a kernel that devices have no code for.
static std::function<LogicalResult(device::Emitter &)> findGenerator(const kernels::KernelKind &kind) {
  if (!kind.root)
    return kind.hasReduction ? device::emitRows : device::emitPointwise;
  using Generator = std::function<LogicalResult(device::Emitter &)>;
  return llvm::TypeSwitch<Operation *, Generator>(kind.root)
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
  target::GPUAttr device = target::getDevice(module);
  context->loadDialect<arith::ArithDialect, func::FuncDialect, LLVM::LLVMDialect, math::MathDialect, scf::SCFDialect,
                       memref::MemRefDialect, mlir::gpu::GPUDialect, vector::VectorDialect>();
  LogicalResult status = success();
  for (kernel::FuncOp kernel : module.getOps<kernel::FuncOp>()) {
    FailureOr<kernels::KernelKind> kind = kernels::KernelKind::find(kernel);
    if (failed(kind)) {
      status = failure();
      continue;
    }
    auto generate = findGenerator(*kind);
    if (!generate) {
      left.push_back(kernel);
      continue;
    }
    OpBuilder builder(context);
    device::Emitter emitter(builder, kernel, into, device);
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

/// Panels are read along the columns; matrix units want the depth.
static kernel::LayoutAttr alongDepth(kernel::LayoutAttr layout, Type type, target::GPUAttr device) {
  if (!layout || layout.getWidth() == 0 || !device::MatrixUnit::isFor(device, getElementTypeOrSelf(type)))
    return layout;
  return kernel::LayoutAttr::get(layout.getContext(), layout.getOrder(), layout.getN(), layout.getGroups(), /*width=*/0);
}

LogicalResult device::prepareKernels(ModuleOp module, target::GPUAttr device) {
  PassManager pm(module.getContext());
  OpPassManager &functions = pm.nest<func::FuncOp>();
  functions.addPass(createCSEPass());
  cpu::ExpandMathPassOptions mathOptions;
  mathOptions.hasFMA = true;
  functions.addPass(cpu::createExpandMathPass(mathOptions));
  cpu::ConvertHalfTypesPassOptions halfOptions;
  halfOptions.hasF16C = true; // all devices convert f16
  halfOptions.hasBF16 = device && device.getHasBF16();
  functions.addPass(cpu::createConvertHalfTypesPass(halfOptions));
  functions.addPass(createCanonicalizerPass());
  functions.addPass(createCSEPass());
  return pm.run(module);
}

kernel::LayoutAttr device::chooseContractLayout(graph::ContractOp op, unsigned operand, target::GPUAttr device) {
  return alongDepth(cpu::chooseContractLayout(op, operand), op->getOperand(operand).getType(), device);
}

kernel::LayoutAttr device::chooseLayout(BlockArgument argument, target::GPUAttr device) {
  return alongDepth(cpu::chooseLayout(argument), argument.getType(), device);
}

/// Matrix units take neighbours along the depth; those of warpgroups take neighbouring lines as well where numbers have 16 bits, if rows
/// of them begin at multiples of 16 bytes.
device::DepthOrder device::chooseDepthOrder(graph::ContractOp op, unsigned operand, target::GPUAttr device) {
  Type type = getElementTypeOrSelf(op.getLhs().getType());
  bool isForWarpgroups = WarpgroupUnit::isFor(device, type);
  if (type != getElementTypeOrSelf(op.getRhs().getType()) || !(isForWarpgroups || MatrixUnit::isFor(device, type)))
    return DepthOrder::Any;
  if (!isForWarpgroups || !WarpgroupUnit(type).takesLines())
    return DepthOrder::Along;
  cpu::ContractShape shape = cpu::ContractShape::analyze(op);
  ArrayRef<unsigned> lines = operand == shape.a ? shape.m : shape.n;
  std::optional<int64_t> size = lines.empty() ? std::nullopt : graph::asConstant(shape.sizes[lines.back()]);
  return size && *size * type.getIntOrFloatBitWidth() % 128 == 0 ? DepthOrder::Either : DepthOrder::Along;
}

namespace {
struct EmitDeviceKernelsPass final : PassWrapper<EmitDeviceKernelsPass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(EmitDeviceKernelsPass)
  StringRef getArgument() const override { return "tenon-device-emit-kernels"; }
  StringRef getDescription() const override { return "Writes every kernel that devices run as a function of one thread."; }
  void getDependentDialects(DialectRegistry &registry) const override {
    registry.insert<arith::ArithDialect, func::FuncDialect, LLVM::LLVMDialect, math::MathDialect, scf::SCFDialect,
                    memref::MemRefDialect, mlir::gpu::GPUDialect, vector::VectorDialect>();
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

void device::registerDevicePasses() {
  PassRegistration<EmitDeviceKernelsPass>();
  registerPass(createSplitDepthsPass);
}
