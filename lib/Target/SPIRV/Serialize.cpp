// Buffers are addresses of physical storage, so that a kernel's arguments lie in memory as they do on the CPU, and a buffer
// may be of any size and anywhere in an allocation.
#include "tenon/Target/SPIRV/Serialize.h"
#include "../Device/Emitter.h"
#include "mlir/Conversion/ArithToSPIRV/ArithToSPIRV.h"
#include "mlir/Conversion/MathToSPIRV/MathToSPIRV.h"
#include "mlir/Conversion/ReconcileUnrealizedCasts/ReconcileUnrealizedCasts.h"
#include "mlir/Conversion/SCFToSPIRV/SCFToSPIRV.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SPIRV/IR/SPIRVDialect.h"
#include "mlir/Dialect/SPIRV/IR/SPIRVOps.h"
#include "mlir/Dialect/SPIRV/IR/TargetAndABI.h"
#include "mlir/Dialect/SPIRV/Transforms/Passes.h"
#include "mlir/Dialect/SPIRV/Transforms/SPIRVConversion.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Target/SPIRV/Serialization.h"
#include "mlir/Transforms/DialectConversion.h"
#include "mlir/Transforms/Passes.h"
#include "tenon/Target/Device/LowerKernels.h"

using namespace mlir;
namespace spv = mlir::spirv;

//===----------------------------------------------------------------------===//
// Patterns
//===----------------------------------------------------------------------===//

/// A pointer to the place that an address names.
static Value pointerAt(OpBuilder &b, Location loc, Value address, Type element) {
  auto type = spv::PointerType::get(element, spv::StorageClass::PhysicalStorageBuffer);
  return spv::ConvertUToPtrOp::create(b, loc, type, address);
}

static unsigned bytesOf(Type type) { return std::max(1u, type.getIntOrFloatBitWidth() / 8); }

static spv::MemoryAccessAttr aligned(OpBuilder &b) {
  return spv::MemoryAccessAttr::get(b.getContext(), spv::MemoryAccess::Aligned);
}

namespace {
struct ConvertOffset final : OpConversionPattern<LLVM::GEPOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(LLVM::GEPOp op, OpAdaptor operands, ConversionPatternRewriter &b) const override {
    Type element = op.getElemType(), i64 = b.getI64Type();
    int64_t bytes = isa<LLVM::LLVMPointerType>(element) ? 8 : bytesOf(element);
    auto constant = [&](int64_t v) { return spv::ConstantOp::create(b, op.getLoc(), i64, b.getI64IntegerAttr(v)).getResult(); };
    int32_t fixed = op.getRawConstantIndices()[0];
    Value index = fixed == LLVM::GEPOp::kDynamicIndex ? operands.getDynamicIndices()[0] : constant(fixed);
    Value offset = bytes == 1 ? index : spv::IMulOp::create(b, op.getLoc(), index, constant(bytes)).getResult();
    b.replaceOpWithNewOp<spv::IAddOp>(op, operands.getBase(), offset);
    return success();
  }
};

struct ConvertLoad final : OpConversionPattern<LLVM::LoadOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(LLVM::LoadOp op, OpAdaptor operands, ConversionPatternRewriter &b) const override {
    Type type = getTypeConverter()->convertType(op.getType());
    if (!type)
      return failure();
    Value pointer = pointerAt(b, op.getLoc(), operands.getAddr(), type);
    b.replaceOpWithNewOp<spv::LoadOp>(op, type, pointer, aligned(b), b.getI32IntegerAttr(bytesOf(type)));
    return success();
  }
};

struct ConvertStore final : OpConversionPattern<LLVM::StoreOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(LLVM::StoreOp op, OpAdaptor operands, ConversionPatternRewriter &b) const override {
    Type type = operands.getValue().getType();
    Value pointer = pointerAt(b, op.getLoc(), operands.getAddr(), type);
    b.replaceOpWithNewOp<spv::StoreOp>(op, pointer, operands.getValue(), aligned(b), b.getI32IntegerAttr(bytesOf(type)));
    return success();
  }
};

struct ConvertAtomic final : OpConversionPattern<LLVM::AtomicRMWOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(LLVM::AtomicRMWOp op, OpAdaptor operands, ConversionPatternRewriter &b) const override {
    if (op.getBinOp() != LLVM::AtomicBinOp::umin)
      return failure();
    Value pointer = pointerAt(b, op.getLoc(), operands.getPtr(), operands.getVal().getType());
    b.replaceOpWithNewOp<spv::AtomicUMinOp>(op, operands.getVal().getType(), pointer, spv::Scope::Device,
                                            spv::MemorySemantics::None, operands.getVal());
    return success();
  }
};

struct ConvertBarrier final : OpConversionPattern<mlir::gpu::BarrierOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(mlir::gpu::BarrierOp op, OpAdaptor, ConversionPatternRewriter &b) const override {
    b.replaceOpWithNewOp<spv::ControlBarrierOp>(
        op, spv::Scope::Workgroup, spv::Scope::Workgroup,
        spv::MemorySemantics::WorkgroupMemory | spv::MemorySemantics::AcquireRelease);
    return success();
  }
};

/// What lanes of a subgroup have; it asks nothing of where they are.
struct ConvertShuffle final : OpConversionPattern<mlir::gpu::ShuffleOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(mlir::gpu::ShuffleOp op, OpAdaptor operands, ConversionPatternRewriter &b) const override {
    if (op.getMode() != mlir::gpu::ShuffleMode::XOR || !op.getValid().use_empty())
      return failure();
    Value other = spv::GroupNonUniformShuffleXorOp::create(b, op.getLoc(), spv::Scope::Subgroup, operands.getValue(),
                                                           operands.getOffset());
    Value always = spv::ConstantOp::create(b, op.getLoc(), b.getI1Type(), b.getBoolAttr(true));
    b.replaceOp(op, {other, always});
    return success();
  }
};

/// A number that the device tells each thread.
template <typename Op> struct ConvertBuiltin final : OpConversionPattern<Op> {
  ConvertBuiltin(const TypeConverter &converter, MLIRContext *context, StringRef name)
      : OpConversionPattern<Op>(converter, context), name(name) {}
  LogicalResult matchAndRewrite(Op op, typename Op::Adaptor, ConversionPatternRewriter &b) const override {
    auto pointer = spv::PointerType::get(b.getI32Type(), spv::StorageClass::Input);
    Value value = spv::LoadOp::create(b, op.getLoc(), spv::AddressOfOp::create(b, op.getLoc(), pointer, name).getResult());
    b.replaceOpWithNewOp<spv::UConvertOp>(op, b.getI64Type(), value);
    return success();
  }
  StringRef name;
};

/// Shared memory: an array among the module's variables.
struct ConvertShared final : OpConversionPattern<memref::GetGlobalOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(memref::GetGlobalOp op, OpAdaptor, ConversionPatternRewriter &b) const override {
    b.replaceOpWithNewOp<spv::AddressOfOp>(op, getTypeConverter()->convertType(op.getType()), op.getName());
    return success();
  }
};

static Value elementOf(ConversionPatternRewriter &b, Location loc, Value memory, ValueRange indices) {
  return spv::AccessChainOp::create(b, loc, memory, indices);
}

struct ConvertSharedLoad final : OpConversionPattern<memref::LoadOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(memref::LoadOp op, OpAdaptor operands, ConversionPatternRewriter &b) const override {
    b.replaceOpWithNewOp<spv::LoadOp>(op, elementOf(b, op.getLoc(), operands.getMemref(), operands.getIndices()));
    return success();
  }
};

struct ConvertSharedStore final : OpConversionPattern<memref::StoreOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(memref::StoreOp op, OpAdaptor operands, ConversionPatternRewriter &b) const override {
    b.replaceOpWithNewOp<spv::StoreOp>(op, elementOf(b, op.getLoc(), operands.getMemref(), operands.getIndices()),
                                       operands.getValue());
    return success();
  }
};

/// Shaders have no comparison for NaNs.
struct ConvertNanCheck final : OpConversionPattern<arith::CmpFOp> {
  ConvertNanCheck(const TypeConverter &converter, MLIRContext *context)
      : OpConversionPattern(converter, context, /*benefit=*/10) {}
  LogicalResult matchAndRewrite(arith::CmpFOp op, OpAdaptor operands, ConversionPatternRewriter &b) const override {
    bool isOrdered = op.getPredicate() == arith::CmpFPredicate::ORD;
    if (!isOrdered && op.getPredicate() != arith::CmpFPredicate::UNO)
      return failure();
    Location loc = op.getLoc();
    Value isNan = spv::IsNanOp::create(b, loc, operands.getLhs());
    if (operands.getLhs() != operands.getRhs())
      isNan = spv::LogicalOrOp::create(b, loc, isNan, spv::IsNanOp::create(b, loc, operands.getRhs()).getResult());
    if (isOrdered)
      isNan = spv::LogicalNotOp::create(b, loc, isNan);
    b.replaceOp(op, isNan);
    return success();
  }
};

/// Towards zero: up below it, down elsewhere; signs of zeros and NaNs stay.
struct ConvertTrunc final : OpConversionPattern<math::TruncOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(math::TruncOp op, OpAdaptor operands, ConversionPatternRewriter &b) const override {
    Location loc = op.getLoc();
    Value x = operands.getOperand(), zero = spv::ConstantOp::getZero(x.getType(), loc, b);
    Value isBelow = spv::FOrdLessThanOp::create(b, loc, x, zero);
    Value up = spv::GLCeilOp::create(b, loc, x), down = spv::GLFloorOp::create(b, loc, x);
    b.replaceOpWithNewOp<spv::SelectOp>(op, isBelow, up, down);
    return success();
  }
};

/// There is no bf16: its arithmetic is f32's by now, and what is left is bits.
struct ConvertBF16Constant final : OpConversionPattern<arith::ConstantOp> {
  ConvertBF16Constant(const TypeConverter &converter, MLIRContext *context)
      : OpConversionPattern(converter, context, /*benefit=*/10) {}
  LogicalResult matchAndRewrite(arith::ConstantOp op, OpAdaptor, ConversionPatternRewriter &b) const override {
    if (!op.getType().isBF16())
      return failure();
    llvm::APInt bits = cast<FloatAttr>(op.getValue()).getValue().bitcastToAPInt();
    b.replaceOpWithNewOp<spv::ConstantOp>(op, b.getIntegerType(16), b.getIntegerAttr(b.getIntegerType(16), bits));
    return success();
  }
};

struct ConvertBF16Bitcast final : OpConversionPattern<arith::BitcastOp> {
  ConvertBF16Bitcast(const TypeConverter &converter, MLIRContext *context)
      : OpConversionPattern(converter, context, /*benefit=*/10) {}
  LogicalResult matchAndRewrite(arith::BitcastOp op, OpAdaptor operands, ConversionPatternRewriter &b) const override {
    if (operands.getIn().getType() != getTypeConverter()->convertType(op.getType()))
      return failure();
    b.replaceOp(op, operands.getIn());
    return success();
  }
};

/// Accesses of the memory that a workgroup shares; under Vulkan's model of memory only such are seen by other threads.
static spv::MemoryAccessAttr shared(OpBuilder &b) {
  return spv::MemoryAccessAttr::get(b.getContext(), spv::MemoryAccess::NonPrivatePointer);
}

static spv::CooperativeMatrixLayoutKHR layoutOf(bool isAcross) {
  return isAcross ? spv::CooperativeMatrixLayoutKHR::ColumnMajor : spv::CooperativeMatrixLayoutKHR::RowMajor;
}

static Value constant32(OpBuilder &b, Location loc, const llvm::APInt &value) {
  return spv::ConstantOp::create(b, loc, b.getI32Type(), b.getI32IntegerAttr(value.getZExtValue()));
}

struct ConvertMatrixLoad final : OpConversionPattern<mlir::gpu::SubgroupMmaLoadMatrixOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(mlir::gpu::SubgroupMmaLoadMatrixOp op, OpAdaptor operands, ConversionPatternRewriter &b) const override {
    Location loc = op.getLoc();
    Value place = elementOf(b, loc, operands.getSrcMemref(), operands.getIndices());
    b.replaceOpWithNewOp<spv::KHRCooperativeMatrixLoadOp>(op, getTypeConverter()->convertType(op.getType()), place,
                                                          layoutOf(op.getTranspose().value_or(false)),
                                                          constant32(b, loc, op.getLeadDimension()), shared(b), IntegerAttr());
    return success();
  }
};

struct ConvertMatrixStore final : OpConversionPattern<mlir::gpu::SubgroupMmaStoreMatrixOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(mlir::gpu::SubgroupMmaStoreMatrixOp op, OpAdaptor operands, ConversionPatternRewriter &b) const override {
    Location loc = op.getLoc();
    Value place = elementOf(b, loc, operands.getDstMemref(), operands.getIndices());
    b.replaceOpWithNewOp<spv::KHRCooperativeMatrixStoreOp>(op, place, operands.getSrc(), layoutOf(op.getTranspose().value_or(false)),
                                                           constant32(b, loc, op.getLeadDimension()), shared(b), IntegerAttr());
    return success();
  }
};

struct ConvertMatrixProduct final : OpConversionPattern<mlir::gpu::SubgroupMmaComputeOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(mlir::gpu::SubgroupMmaComputeOp op, OpAdaptor operands, ConversionPatternRewriter &b) const override {
    b.replaceOpWithNewOp<spv::KHRCooperativeMatrixMulAddOp>(op, operands.getOpA(), operands.getOpB(), operands.getOpC(),
                                                            spv::CooperativeMatrixOperandsKHRAttr());
    return success();
  }
};

struct ConvertMatrixConstant final : OpConversionPattern<mlir::gpu::SubgroupMmaConstantMatrixOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(mlir::gpu::SubgroupMmaConstantMatrixOp op, OpAdaptor operands, ConversionPatternRewriter &b) const override {
    b.replaceOpWithNewOp<spv::CompositeConstructOp>(op, getTypeConverter()->convertType(op.getType()), operands.getValue());
    return success();
  }
};

struct ConvertReturn final : OpConversionPattern<func::ReturnOp> {
  using OpConversionPattern::OpConversionPattern;
  LogicalResult matchAndRewrite(func::ReturnOp op, OpAdaptor, ConversionPatternRewriter &b) const override {
    b.replaceOpWithNewOp<spv::ReturnOp>(op);
    return success();
  }
};
} // namespace

//===----------------------------------------------------------------------===//
// The module
//===----------------------------------------------------------------------===//

/// Cooperative matrices want the newest SPIR-V, and Vulkan's own model of memory; without them old drivers do.
static spv::TargetEnvAttr targetEnv(MLIRContext *context, bool hasMatrices) {
  using C = spv::Capability;
  using E = spv::Extension;
  SmallVector<C> capabilities{C::Shader, C::Int8, C::Int16, C::Int64, C::Float16, C::Float64, C::PhysicalStorageBufferAddresses,
                              C::StorageBuffer8BitAccess, C::StorageBuffer16BitAccess, C::GroupNonUniform, C::GroupNonUniformShuffle,
                              C::SignedZeroInfNanPreserve};
  SmallVector<E> extensions{E::SPV_KHR_physical_storage_buffer, E::SPV_KHR_storage_buffer_storage_class, E::SPV_KHR_8bit_storage,
                            E::SPV_KHR_16bit_storage, E::SPV_KHR_float_controls};
  if (hasMatrices) {
    capabilities.append({C::CooperativeMatrixKHR, C::VulkanMemoryModel});
    extensions.append({E::SPV_KHR_cooperative_matrix, E::SPV_KHR_vulkan_memory_model});
  }
  auto triple = spv::VerCapExtAttr::get(hasMatrices ? spv::Version::V_1_6 : spv::Version::V_1_3, capabilities, extensions, context);
  return spv::TargetEnvAttr::get(triple, spv::getDefaultResourceLimits(context), spv::ClientAPI::Vulkan,
                                 spv::Vendor::Unknown, spv::DeviceType::Unknown, spv::TargetEnvAttr::kUnknownDeviceID);
}

static bool hasMatrices(func::FuncOp kernel) {
  return kernel.walk([](mlir::gpu::SubgroupMmaComputeOp) { return WalkResult::interrupt(); }).wasInterrupted();
}

/// Elements of 8 and 16 bits in buffers are features of their own, which upstream looks for in other kinds of pointers; and
/// subgroups are one where nothing but their numbers is used.
static void addCapabilities(spv::ModuleOp module) {
  bool has8 = false, has16 = false, hasSubgroups = false;
  for (auto variable : module.getOps<spv::GlobalVariableOp>())
    if (auto builtin = variable->getAttrOfType<StringAttr>(spv::SPIRVDialect::getAttributeName(spv::Decoration::BuiltIn)))
      hasSubgroups |= builtin.getValue().starts_with("Subgroup");
  module.walk([&](spv::ConvertUToPtrOp op) {
    unsigned bits = cast<spv::PointerType>(op.getType()).getPointeeType().getIntOrFloatBitWidth();
    has8 |= bits == 8, has16 |= bits == 16;
  });
  spv::VerCapExtAttr triple = *module.getVceTriple();
  SmallVector<spv::Capability> capabilities(triple.getCapabilities());
  SmallVector<spv::Extension> extensions(triple.getExtensions());
  auto add = [](auto &list, auto value) {
    if (!llvm::is_contained(list, value))
      list.push_back(value);
  };
  if (has8)
    add(capabilities, spv::Capability::StorageBuffer8BitAccess), add(extensions, spv::Extension::SPV_KHR_8bit_storage);
  if (has16)
    add(capabilities, spv::Capability::StorageBuffer16BitAccess), add(extensions, spv::Extension::SPV_KHR_16bit_storage);
  if (hasSubgroups)
    add(capabilities, spv::Capability::GroupNonUniform);
  spv::Version version = hasSubgroups ? std::max(triple.getVersion(), spv::Version::V_1_3) : triple.getVersion();
  module.setVceTripleAttr(spv::VerCapExtAttr::get(version, capabilities, extensions, module.getContext()));
}

/// Drivers take x * 0 for 0, and x / 0 too, unless they are told that NaNs, infinities and signs of zeros count.
static void keepSpecialValues(OpBuilder &b, spv::FuncOp entry) {
  for (unsigned width : {32, 64}) {
    bool isUsed = entry.walk([&](Operation *op) {
      auto hasWidth = [&](Type type) { return isa<FloatType>(type) && type.getIntOrFloatBitWidth() == width; };
      return llvm::any_of(op->getResultTypes(), hasWidth) ? WalkResult::interrupt() : WalkResult::advance();
    }).wasInterrupted();
    if (isUsed)
      spv::ExecutionModeOp::create(b, entry.getLoc(), entry, spv::ExecutionMode::SignedZeroInfNanPreserve, static_cast<int32_t>(width));
  }
}

/// What Vulkan's model of memory wants said.
static void useVulkanMemoryModel(Operation *entry) {
  auto isShared = [](Value pointer) {
    return cast<spv::PointerType>(pointer.getType()).getStorageClass() == spv::StorageClass::Workgroup;
  };
  OpBuilder b(entry->getContext());
  entry->walk([&](Operation *op) {
    if (auto load = dyn_cast<spv::LoadOp>(op); load && isShared(load.getPtr()))
      load.setMemoryAccessAttr(shared(b));
    else if (auto store = dyn_cast<spv::StoreOp>(op); store && isShared(store.getPtr()))
      store.setMemoryAccessAttr(shared(b));
    else if (auto atomic = dyn_cast<spv::AtomicUMinOp>(op)) // that of the device is a feature more
      atomic.setMemoryScope(spv::Scope::QueueFamily);
  });
}

static spv::GlobalVariableOp makeBuiltin(OpBuilder &b, Location loc, StringRef name, spv::BuiltIn which, Type type) {
  return spv::GlobalVariableOp::create(b, loc, spv::PointerType::get(type, spv::StorageClass::Input), name, which);
}

static constexpr StringLiteral kSubgroupSize = "subgroup_size", kSubgroupId = "subgroup_id", kLaneId = "lane_id";

/// The entry point with the function's body inside; its arguments become what the launch passes.
static spv::FuncOp makeEntry(OpBuilder &b, func::FuncOp kernel, spv::ModuleOp module, const TypeConverter &converter, bool isNew) {
  Location loc = kernel.getLoc();
  MLIRContext *context = b.getContext();
  Type i32 = b.getI32Type(), i64 = b.getI64Type(), pointer = LLVM::LLVMPointerType::get(context);
  b.setInsertionPointToStart(module.getBody());
  Type i32x3 = VectorType::get(3, i32);
  spv::GlobalVariableOp groupId = makeBuiltin(b, loc, "group_id", spv::BuiltIn::WorkgroupId, i32x3),
                        groupCount = makeBuiltin(b, loc, "group_count", spv::BuiltIn::NumWorkgroups, i32x3),
                        threadId = makeBuiltin(b, loc, "thread_id", spv::BuiltIn::LocalInvocationId, i32x3);
  SmallVector<spv::GlobalVariableOp> builtins{groupId, groupCount, threadId};
  bool hasSubgroups = false;
  kernel.walk([&](Operation *op) { hasSubgroups |= isa<mlir::gpu::SubgroupSizeOp, mlir::gpu::SubgroupIdOp, mlir::gpu::LaneIdOp>(op); });
  if (hasSubgroups) {
    builtins.push_back(makeBuiltin(b, loc, kSubgroupSize, spv::BuiltIn::SubgroupSize, i32));
    builtins.push_back(makeBuiltin(b, loc, kSubgroupId, spv::BuiltIn::SubgroupId, i32));
    builtins.push_back(makeBuiltin(b, loc, kLaneId, spv::BuiltIn::SubgroupLocalInvocationId, i32));
  }
  auto block = spv::StructType::get({i64, i64, i64}, {0, 8, 16}, {}, {spv::StructType::StructDecorationInfo(spv::Decoration::Block, UnitAttr::get(context))});
  auto launch = spv::GlobalVariableOp::create(b, loc, spv::PointerType::get(block, spv::StorageClass::PushConstant), "launch",
                                              FlatSymbolRefAttr());
  for (auto global : kernel->getParentOfType<ModuleOp>().getOps<memref::GlobalOp>())
    if (global.getSymName().starts_with((kernel.getSymName() + ".").str()))
      spv::GlobalVariableOp::create(b, loc, converter.convertType(global.getType()), global.getSymName(), FlatSymbolRefAttr());
  auto entry = spv::FuncOp::create(b, loc, kernel.getSymName(), b.getFunctionType({}, {}));
  b.setInsertionPointToStart(entry.addEntryBlock());
  auto component = [&](spv::GlobalVariableOp variable, int32_t i) -> Value {
    Value all = spv::LoadOp::create(b, loc, spv::AddressOfOp::create(b, loc, variable).getResult());
    Value one = spv::CompositeExtractOp::create(b, loc, all, ArrayRef<int32_t>{i});
    return spv::UConvertOp::create(b, loc, i64, one);
  };
  auto constant = [&](int32_t i) { return spv::ConstantOp::create(b, loc, i32, b.getI32IntegerAttr(i)).getResult(); };
  Value launchAddress = spv::AddressOfOp::create(b, loc, launch);
  auto field = [&](int32_t i) -> Value {
    return spv::LoadOp::create(b, loc, spv::AccessChainOp::create(b, loc, launchAddress, ValueRange{constant(i)}).getResult());
  };
  auto asPointer = [&](Value address) { return UnrealizedConversionCastOp::create(b, loc, pointer, address).getResult(0); };
  Value group = spv::IAddOp::create(b, loc, component(groupId, 0),
                                    spv::IMulOp::create(b, loc, component(groupId, 1), component(groupCount, 0)));
  Value arguments[] = {asPointer(field(0)), group, component(threadId, 0), asPointer(field(2))};
  tenon::device::guardBody(b, kernel.getBody().front(), field(1), arguments);
  spv::ReturnOp::create(b, loc);
  b.setInsertionPointToEnd(module.getBody());
  SmallVector<Attribute> interface;
  for (auto variable : module.getOps<spv::GlobalVariableOp>()) // from SPIR-V 1.4 on all of them
    if (isNew || llvm::is_contained(builtins, variable))
      interface.push_back(FlatSymbolRefAttr::get(variable));
  spv::EntryPointOp::create(b, loc, spv::ExecutionModel::GLCompute, entry, interface);
  int32_t threads = kernel->getAttrOfType<IntegerAttr>(tenon::device::kThreadsAttr).getInt();
  spv::ExecutionModeOp::create(b, loc, entry, spv::ExecutionMode::LocalSize, {threads, 1, 1});
  return entry;
}

/// Upstream's conversion writes a loop's results at the end of each turn, so that a loop without turns has none. Here such
/// a loop gives what it began with.
static void keepInitialValues(func::FuncOp kernel) {
  kernel.walk([](scf::ForOp loop) {
    OpBuilder b(loop->getContext());
    b.setInsertionPointAfter(loop);
    Value runs;
    for (auto [result, init] : llvm::zip(loop.getResults(), loop.getInitArgs())) {
      if (result.use_empty())
        continue;
      if (!runs)
        runs = arith::CmpIOp::create(b, loop.getLoc(), arith::CmpIPredicate::slt, loop.getLowerBound(), loop.getUpperBound());
      if (isa<mlir::gpu::MMAMatrixType>(result.getType())) { // those are not selected
        auto chosen = scf::IfOp::create(
            b, loop.getLoc(), runs, [&, value = result](OpBuilder &inner, Location loc) { scf::YieldOp::create(inner, loc, ValueRange(value)); },
            [&, value = init](OpBuilder &inner, Location loc) { scf::YieldOp::create(inner, loc, value); });
        result.replaceAllUsesExcept(chosen.getResult(0), chosen.thenYield());
        continue;
      }
      auto chosen = arith::SelectOp::create(b, loop.getLoc(), runs, result, init);
      result.replaceAllUsesExcept(chosen, chosen);
    }
  });
}

FailureOr<OwningOpRef<ModuleOp>> tenon::spirv::convertKernel(func::FuncOp kernel) {
  MLIRContext *context = kernel.getContext();
  context->loadDialect<spv::SPIRVDialect>();
  Location loc = kernel.getLoc();
  bool isNew = hasMatrices(kernel);
  spv::TargetEnvAttr env = targetEnv(context, isNew);
  SPIRVConversionOptions options;
  options.use64bitIndex = true;
  SPIRVTypeConverter converter(env, options);
  converter.addConversion([](LLVM::LLVMPointerType type) { return IntegerType::get(type.getContext(), 64); });
  converter.addConversion([](BFloat16Type type) { return IntegerType::get(type.getContext(), 16); }); // its bits
  converter.addConversion([](MemRefType type) -> Type {
    return spv::PointerType::get(spv::ArrayType::get(type.getElementType(), type.getDimSize(0)), spv::StorageClass::Workgroup);
  });
  converter.addConversion([](mlir::gpu::MMAMatrixType type) -> Type {
    using Use = spv::CooperativeMatrixUseKHR;
    Use use = type.getOperand() == "AOp" ? Use::MatrixA : type.getOperand() == "BOp" ? Use::MatrixB : Use::MatrixAcc;
    return spv::CooperativeMatrixType::get(type.getElementType(), type.getShape()[0], type.getShape()[1], spv::Scope::Subgroup, use);
  });
  OpBuilder b(context);
  keepInitialValues(kernel);
  OwningOpRef<ModuleOp> holder = ModuleOp::create(loc);
  b.setInsertionPointToEnd(holder->getBody());
  auto module = spv::ModuleOp::create(b, loc, spv::AddressingModel::PhysicalStorageBuffer64,
                                      isNew ? spv::MemoryModel::Vulkan : spv::MemoryModel::GLSL450);
  module->setAttr(spv::getTargetEnvAttrName(), env);
  spv::FuncOp entry = makeEntry(b, kernel, module, converter, isNew);

  RewritePatternSet patterns(context);
  patterns.add<ConvertTrunc, ConvertOffset, ConvertLoad, ConvertStore, ConvertAtomic, ConvertBarrier, ConvertShared, ConvertSharedLoad,
               ConvertSharedStore, ConvertNanCheck, ConvertBF16Constant, ConvertBF16Bitcast, ConvertReturn>(converter, context);
  patterns.add<ConvertShuffle, ConvertMatrixLoad, ConvertMatrixStore, ConvertMatrixProduct, ConvertMatrixConstant>(converter, context);
  patterns.add<ConvertBuiltin<mlir::gpu::SubgroupSizeOp>>(converter, context, kSubgroupSize);
  patterns.add<ConvertBuiltin<mlir::gpu::SubgroupIdOp>>(converter, context, kSubgroupId);
  patterns.add<ConvertBuiltin<mlir::gpu::LaneIdOp>>(converter, context, kLaneId);
  arith::populateArithToSPIRVPatterns(converter, patterns);
  populateMathToSPIRVPatterns(converter, patterns);
  ScfToSPIRVContext structured;
  populateSCFToSPIRVPatterns(converter, structured, patterns);
  // Only what the environment has is legal, so that of several patterns the one for shaders is taken.
  std::unique_ptr<SPIRVConversionTarget> target = SPIRVConversionTarget::get(env);
  target->addLegalOp<UnrealizedConversionCastOp>();
  if (failed(applyFullConversion(entry, *target, std::move(patterns))))
    return failure();
  // Drivers may rewrite (a + b) - b as a, and more, unless they are told not to; own math relies on every rounding.
  entry.walk([&](Operation *op) {
    if (isa<spv::FAddOp, spv::FSubOp, spv::FMulOp, spv::FDivOp, spv::FNegateOp, spv::GLFmaOp>(op))
      op->setAttr("no_contraction", UnitAttr::get(context));
  });
  if (isNew)
    useVulkanMemoryModel(entry);
  b.setInsertionPointToEnd(module.getBody());
  keepSpecialValues(b, entry);
  PassManager pm(context);
  pm.addPass(createReconcileUnrealizedCastsPass());
  OpPassManager &inside = pm.nest<spv::ModuleOp>();
  inside.addPass(createCanonicalizerPass());
  inside.addPass(createCSEPass());
  inside.addPass(spv::createSPIRVUpdateVCEPass());
  if (failed(pm.run(*holder)))
    return failure();
  addCapabilities(module);
  return std::move(holder);
}

FailureOr<std::string> tenon::spirv::serializeKernel(func::FuncOp kernel) {
  FailureOr<OwningOpRef<ModuleOp>> holder = convertKernel(kernel);
  SmallVector<uint32_t> words;
  spv::SerializationOptions options;
  options.emitSymbolName = false; // names are for people; the entry point keeps its own
  if (failed(holder) || failed(spv::serialize(*(**holder).getOps<spv::ModuleOp>().begin(), words, options)))
    return failure();
  return std::string(reinterpret_cast<const char *>(words.data()), words.size() * 4);
}

namespace {
struct ConvertKernelsPass final : PassWrapper<ConvertKernelsPass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(ConvertKernelsPass)
  StringRef getArgument() const override { return "tenon-spirv-convert-kernels"; }
  StringRef getDescription() const override { return "Turns functions of one thread into SPIR-V modules."; }
  void getDependentDialects(DialectRegistry &registry) const override {
    registry.insert<spv::SPIRVDialect, LLVM::LLVMDialect, scf::SCFDialect, arith::ArithDialect, math::MathDialect,
                    vector::VectorDialect>();
  }
  void runOnOperation() override {
    ModuleOp module = getOperation();
    if (failed(tenon::device::prepareKernels(module, {})))
      return signalPassFailure();
    for (auto function : llvm::to_vector(module.getOps<func::FuncOp>())) {
      FailureOr<OwningOpRef<ModuleOp>> holder = tenon::spirv::convertKernel(function);
      if (failed(holder))
        return signalPassFailure();
      for (auto made : llvm::to_vector((**holder).getOps<spv::ModuleOp>()))
        made->moveBefore(module.getBody(), module.getBody()->end());
      function.erase();
    }
  }
};
} // namespace

void tenon::spirv::registerSPIRVPasses() { PassRegistration<ConvertKernelsPass>(); }
