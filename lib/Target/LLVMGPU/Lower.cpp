#include "tenon/Target/LLVMGPU/Lower.h"
#include "../Device/Emitter.h"
#include "mlir/Conversion/Passes.h"
#include "mlir/Conversion/ArithToLLVM/ArithToLLVM.h"
#include "mlir/Conversion/ControlFlowToLLVM/ControlFlowToLLVM.h"
#include "mlir/Conversion/FuncToLLVM/ConvertFuncToLLVM.h"
#include "mlir/Conversion/LLVMCommon/ConversionTarget.h"
#include "mlir/Conversion/LLVMCommon/Pattern.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Conversion/MathToLLVM/MathToLLVM.h"
#include "mlir/Conversion/MemRefToLLVM/MemRefToLLVM.h"
#include "mlir/Conversion/VectorToLLVM/ConvertVectorToLLVM.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlow.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/LLVMIR/ROCDLDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/DialectConversion.h"
#include "mlir/Transforms/Passes.h"
#include "tenon/Target/Device/LowerKernels.h"
#include "tenon/abi.h"

using namespace mlir;
using namespace tenon;
using target::DeviceApi;

//===----------------------------------------------------------------------===//
// Entries
//===----------------------------------------------------------------------===//

// Address spaces, the same number for both.
static constexpr unsigned kGlobalSpace = 1;
/// Where AMD's kernels find their parameters.
static constexpr unsigned kConstantSpace = 4;

/// The address as one of global memory, so that instructions for that are chosen.
static Value asGlobal(OpBuilder &b, Location loc, Value pointer) {
  MLIRContext *context = b.getContext();
  Value global = LLVM::AddrSpaceCastOp::create(b, loc, LLVM::LLVMPointerType::get(context, kGlobalSpace), pointer);
  return LLVM::AddrSpaceCastOp::create(b, loc, LLVM::LLVMPointerType::get(context), global);
}

namespace {
/// Which of what a device tells a thread about itself.
enum class Place { GroupX, GroupY, Thread };
} // namespace

static Value placeOf(OpBuilder &b, Location loc, DeviceApi api, Place place) {
  Type i32 = b.getI32Type();
  bool isCUDA = api == DeviceApi::CUDA;
  Value value;
  switch (place) {
  case Place::GroupX:
    value = isCUDA ? NVVM::BlockIdXOp::create(b, loc, i32).getResult() : ROCDL::BlockIdXOp::create(b, loc, i32).getResult();
    break;
  case Place::GroupY:
    value = isCUDA ? NVVM::BlockIdYOp::create(b, loc, i32).getResult() : ROCDL::BlockIdYOp::create(b, loc, i32).getResult();
    break;
  case Place::Thread:
    value = isCUDA ? NVVM::ThreadIdXOp::create(b, loc, i32).getResult() : ROCDL::ThreadIdXOp::create(b, loc, i32).getResult();
    break;
  }
  return arith::ExtUIOp::create(b, loc, b.getI64Type(), value);
}

/// The function's body becomes the kernel's, its arguments what a launch passes.
static void makeEntry(func::FuncOp function, target::GPUAttr device) {
  MLIRContext *context = function.getContext();
  OpBuilder b(context);
  Location loc = function.getLoc();
  DeviceApi api = device.getApi();
  bool isCUDA = api == DeviceApi::CUDA;
  int64_t slots = function->getAttrOfType<IntegerAttr>(device::kSlotsAttr).getInt();
  bool isByValue = slots <= TN_DEVICE_SLOTS;
  Type i64 = b.getI64Type(), pointer = LLVM::LLVMPointerType::get(context);
  Type block = isByValue && !isCUDA ? LLVM::LLVMPointerType::get(context, kConstantSpace) : pointer;
  // What reads through an address that came from memory reads global memory.
  for (auto load : llvm::to_vector(function.getBody().getOps<LLVM::LoadOp>()))
    if (load.getType() == pointer) {
      b.setInsertionPointAfter(load);
      Value global = asGlobal(b, loc, load);
      load.getResult().replaceAllUsesExcept(global, global.getDefiningOp<LLVM::AddrSpaceCastOp>().getArg().getDefiningOp());
    }

  Block &body = function.getBody().front();
  auto *entry = new Block();
  function.getBody().push_front(entry);
  entry->addArguments({i64, pointer, block}, {loc, loc, loc});
  b.setInsertionPointToStart(entry);
  Value args = entry->getArgument(2);
  if (block != pointer)
    args = LLVM::AddrSpaceCastOp::create(b, loc, pointer, args);
  else if (!isByValue)
    args = asGlobal(b, loc, args);
  Value row = arith::MulIOp::create(b, loc, placeOf(b, loc, api, Place::GroupY),
                                    arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(TN_DEVICE_GROUPS)).getResult());
  Value group = arith::AddIOp::create(b, loc, placeOf(b, loc, api, Place::GroupX), row);
  Value arguments[] = {args, group, placeOf(b, loc, api, Place::Thread), asGlobal(b, loc, entry->getArgument(1))};
  device::guardBody(b, body, entry->getArgument(0), arguments);
  body.getTerminator()->moveBefore(entry, entry->end());
  body.erase();
  function.setFunctionType(b.getFunctionType({i64, pointer, block}, {}));
}

/// Tells LLVM what the converted function is.
static void markKernel(LLVM::LLVMFuncOp kernel, target::GPUAttr device) {
  Builder b(kernel.getContext());
  bool isCUDA = device.getApi() == DeviceApi::CUDA;
  int64_t slots = kernel->getAttrOfType<IntegerAttr>(device::kSlotsAttr).getInt();
  int32_t threads = kernel->getAttrOfType<IntegerAttr>(device::kThreadsAttr).getInt();
  auto maps = kernel->getAttrOfType<ArrayAttr>(device::kMapsAttr);
  if (slots <= TN_DEVICE_SLOTS) {
    int64_t words = maps ? (TN_DEVICE_MAPS_AT(slots) + maps.size() * TN_TENSOR_MAP_BYTES) / 8 : std::max<int64_t>(slots, 1);
    auto type = TypeAttr::get(LLVM::LLVMArrayType::get(b.getI64Type(), words));
    kernel.setArgAttr(2, isCUDA ? LLVM::LLVMDialect::getByValAttrName() : LLVM::LLVMDialect::getByRefAttrName(), type);
    kernel.setArgAttr(2, LLVM::LLVMDialect::getAlignAttrName(), b.getI64IntegerAttr(maps ? TN_TENSOR_MAP_ALIGN : 8));
    if (isCUDA)
      kernel.setArgAttr(2, NVVM::NVVMDialect::getGridConstantAttrName(), b.getUnitAttr());
  }
  if (isCUDA) {
    kernel->setAttr(NVVM::NVVMDialect::getKernelFuncAttrName(), b.getUnitAttr());
    kernel->setAttr(NVVM::NVVMDialect::getReqntidAttrName(), b.getDenseI32ArrayAttr({threads, 1, 1}));
    // Of large workgroups two at a time: while one waits for memory the other computes.
    if (threads == 256)
      kernel->setAttr(NVVM::NVVMDialect::getMinctasmAttrName(), b.getI32IntegerAttr(2));
    return;
  }
  kernel->setAttr(ROCDL::ROCDLDialect::getKernelFuncAttrName(), b.getUnitAttr());
  kernel->setAttr(ROCDL::ROCDLDialect::getReqdWorkGroupSizeAttrName(), b.getDenseI32ArrayAttr({threads, 1, 1}));
  kernel->setAttr(ROCDL::ROCDLDialect::getFlatWorkGroupSizeAttrName(),
                  b.getStringAttr(Twine(threads) + "," + Twine(threads)));
}

/// NVIDIA's kernels may declare 48 KiB; of what is beyond they get a piece at launch, in which everything is placed.
static void askForShared(ModuleOp module, LLVM::LLVMFuncOp kernel) {
  static constexpr int64_t kDeclared = 48 << 10, kAlign = 1024;
  SmallVector<LLVM::GlobalOp> pieces;
  DataLayout layout(module);
  int64_t bytes = 0;
  llvm::StringMap<int64_t> offsets;
  for (auto global : module.getOps<LLVM::GlobalOp>()) {
    if (!global.getSymName().starts_with((kernel.getSymName() + ".").str()))
      continue;
    pieces.push_back(global);
    bytes = llvm::alignTo(bytes, global.getAlignment().value_or(device::kSharedAlign));
    offsets[global.getSymName()] = bytes;
    bytes += layout.getTypeSize(global.getType());
  }
  if (bytes <= kDeclared)
    return;
  OpBuilder b(kernel);
  std::string name = (kernel.getSymName() + "$shared").str(); // PTX names have no dots
  auto type = LLVM::LLVMArrayType::get(b.getI8Type(), 0);
  auto memory = LLVM::GlobalOp::create(b, kernel.getLoc(), type, /*isConstant=*/false, LLVM::Linkage::External, name, Attribute(),
                                       kAlign, device::kSharedSpace);
  kernel.walk([&](LLVM::AddressOfOp address) {
    auto offset = offsets.find(address.getGlobalName());
    if (offset == offsets.end())
      return;
    b.setInsertionPoint(address);
    Value base = LLVM::AddressOfOp::create(b, address.getLoc(), memory);
    auto place = LLVM::GEPOp::create(b, address.getLoc(), address.getType(), b.getI8Type(), base,
                                     ArrayRef<LLVM::GEPArg>{static_cast<int32_t>(offset->second)});
    address.replaceAllUsesWith(place.getResult());
    address.erase();
  });
  for (LLVM::GlobalOp piece : pieces)
    piece.erase();
  kernel->setAttr(llvmgpu::kSharedAttr, b.getI64IntegerAttr(bytes));
}

//===----------------------------------------------------------------------===//
// Conversion
//===----------------------------------------------------------------------===//

namespace {
struct ConvertBarrier final : ConvertOpToLLVMPattern<mlir::gpu::BarrierOp> {
  ConvertBarrier(const LLVMTypeConverter &converter, DeviceApi api)
      : ConvertOpToLLVMPattern(converter), api(api) {}
  LogicalResult matchAndRewrite(mlir::gpu::BarrierOp op, OpAdaptor, ConversionPatternRewriter &b) const override {
    if (api == DeviceApi::CUDA)
      b.replaceOpWithNewOp<NVVM::Barrier0Op>(op);
    else
      b.replaceOpWithNewOp<ROCDL::BarrierOp>(op);
    return success();
  }
  DeviceApi api;
};

/// The lane's number in its subgroup, on AMD's devices.
static Value countLane(OpBuilder &b, Location loc) {
  Type i32 = b.getI32Type();
  auto call = [&](StringRef name, ValueRange operands) {
    return LLVM::CallIntrinsicOp::create(b, loc, i32, b.getStringAttr(name), operands).getResult(0);
  };
  Value all = LLVM::ConstantOp::create(b, loc, b.getI32IntegerAttr(-1)), zero = LLVM::ConstantOp::create(b, loc, b.getI32IntegerAttr(0));
  Value low = call("llvm.amdgcn.mbcnt.lo", {all, zero});
  return call("llvm.amdgcn.mbcnt.hi", {all, low});
}

struct ConvertShuffle final : ConvertOpToLLVMPattern<mlir::gpu::ShuffleOp> {
  ConvertShuffle(const LLVMTypeConverter &converter, target::GPUAttr device)
      : ConvertOpToLLVMPattern(converter), device(device) {}

  /// Of 32 bits.
  Value shuffle(OpBuilder &b, Location loc, Value value, Value mask) const {
    Type i32 = b.getI32Type();
    auto constant = [&](int32_t v) { return LLVM::ConstantOp::create(b, loc, b.getI32IntegerAttr(v)).getResult(); };
    if (device.getApi() == DeviceApi::CUDA)
      return NVVM::ShflOp::create(b, loc, i32, constant(-1), value, mask, constant(31), NVVM::ShflKind::bfly, UnitAttr());
    Value lane = LLVM::XOrOp::create(b, loc, countLane(b, loc), mask);
    return ROCDL::DsBpermuteOp::create(b, loc, i32, LLVM::ShlOp::create(b, loc, lane, constant(2)), value);
  }

  LogicalResult matchAndRewrite(mlir::gpu::ShuffleOp op, OpAdaptor operands, ConversionPatternRewriter &b) const override {
    if (op.getMode() != mlir::gpu::ShuffleMode::XOR || !op.getValid().use_empty())
      return failure();
    Location loc = op.getLoc();
    Type type = operands.getValue().getType(), i32 = b.getI32Type();
    int64_t words = type.getIntOrFloatBitWidth() / 32;
    Type parts = words == 1 ? i32 : Type(VectorType::get(words, i32));
    Value bits = LLVM::BitcastOp::create(b, loc, parts, operands.getValue());
    Value result = bits;
    if (words == 1)
      result = shuffle(b, loc, bits, operands.getOffset());
    for (int64_t i = 0; words > 1 && i < words; ++i) {
      Value at = LLVM::ConstantOp::create(b, loc, b.getI32IntegerAttr(i));
      Value part = LLVM::ExtractElementOp::create(b, loc, bits, at);
      result = LLVM::InsertElementOp::create(b, loc, result, shuffle(b, loc, part, operands.getOffset()), at);
    }
    Value always = LLVM::ConstantOp::create(b, loc, b.getI1Type(), b.getBoolAttr(true));
    b.replaceOp(op, {LLVM::BitcastOp::create(b, loc, type, result).getResult(), always});
    return success();
  }
  target::GPUAttr device;
};

/// All of a kernel at once: what one set of patterns leaves, the next would have to look for again.
struct ConvertToLLVMPass final : PassWrapper<ConvertToLLVMPass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(ConvertToLLVMPass)
  explicit ConvertToLLVMPass(target::GPUAttr device) : device(device) {}
  void runOnOperation() override {
    MLIRContext *context = &getContext();
    LowerToLLVMOptions options(context);
    options.overrideIndexBitwidth(64);
    LLVMTypeConverter converter(context, options);
    RewritePatternSet patterns(context);
    patterns.add<ConvertBarrier>(converter, device.getApi());
    patterns.add<ConvertShuffle>(converter, device);
    arith::populateArithToLLVMConversionPatterns(converter, patterns);
    populateMathToLLVMConversionPatterns(converter, patterns);
    cf::populateControlFlowToLLVMConversionPatterns(converter, patterns);
    populateVectorToLLVMConversionPatterns(converter, patterns);
    populateFinalizeMemRefToLLVMConversionPatterns(converter, patterns);
    populateFuncToLLVMConversionPatterns(converter, patterns);
    LLVMConversionTarget target(*context);
    target.addLegalOp<ModuleOp>();
    target.addLegalDialect<NVVM::NVVMDialect, ROCDL::ROCDLDialect>();
    if (failed(applyFullConversion(getOperation(), target, std::move(patterns))))
      signalPassFailure();
  }
  target::GPUAttr device;
};
} // namespace

LogicalResult llvmgpu::lowerKernels(ModuleOp module, target::GPUAttr device) {
  MLIRContext *context = module.getContext();
  context->loadDialect<NVVM::NVVMDialect, ROCDL::ROCDLDialect, cf::ControlFlowDialect>();
  for (auto function : llvm::to_vector(module.getOps<func::FuncOp>()))
    makeEntry(function, device);
  PassManager pm(context);
  pm.nest<func::FuncOp>().addPass(createSCFToControlFlowPass());
  pm.addPass(std::make_unique<ConvertToLLVMPass>(device));
  pm.addPass(createReconcileUnrealizedCastsPass());
  if (failed(pm.run(module)))
    return failure();
  for (auto kernel : module.getOps<LLVM::LLVMFuncOp>())
    if (!kernel.isExternal()) {
      markKernel(kernel, device);
      if (device.getApi() == DeviceApi::CUDA)
        askForShared(module, kernel);
    }
  return success();
}

namespace {
struct LowerKernelsPass final : PassWrapper<LowerKernelsPass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(LowerKernelsPass)
  StringRef getArgument() const override { return "tenon-gpu-lower-kernels"; }
  StringRef getDescription() const override { return "Turns functions of one thread into kernels in LLVM's dialect."; }
  void getDependentDialects(DialectRegistry &registry) const override {
    registry.insert<NVVM::NVVMDialect, ROCDL::ROCDLDialect, cf::ControlFlowDialect, LLVM::LLVMDialect, scf::SCFDialect,
                    arith::ArithDialect, math::MathDialect, vector::VectorDialect>();
  }
  void runOnOperation() override {
    ModuleOp module = getOperation();
    target::GPUAttr device = target::getDevice(module);
    if (!device || device.getApi() == DeviceApi::Vulkan) {
      module.emitError("has no 'target.gpu' of NVIDIA or AMD");
      return signalPassFailure();
    }
    for (auto kernel : llvm::make_early_inc_range(module.getOps<kernel::FuncOp>()))
      kernel.erase(); // what they were is written
    if (failed(device::prepareKernels(module, device)) || failed(llvmgpu::lowerKernels(module, device)))
      signalPassFailure();
  }
};
} // namespace

void llvmgpu::registerLLVMGPUPasses() { PassRegistration<LowerKernelsPass>(); }
