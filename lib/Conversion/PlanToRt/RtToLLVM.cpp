//===- RtToLLVM.cpp - calls -> LLVM's dialect -----------------------------===//
// Structured control flow becomes branches first; then a call that can fail can leave the function from anywhere.
#include "dialects/Target/IR/TargetDialect.h"
#include "dialects/Rt/IR/RtDialect.h"
#include "mlir/Conversion/ArithToLLVM/ArithToLLVM.h"
#include "mlir/Conversion/ControlFlowToLLVM/ControlFlowToLLVM.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Conversion/SCFToControlFlow/SCFToControlFlow.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlowOps.h"
#include "tenon/Conversion/PlanToRt.h"
#include "tenon/abi.h"

namespace tenon {
#define GEN_PASS_DEF_CONVERTRTTOLLVMPASS
#include "lib/Conversion/PlanToRt/Passes.h.inc"
} // namespace tenon

using namespace mlir;
using namespace tenon;
using rt::AbiStruct;

/// Bytes of stack that the argument slots of an entry may take; frames are at most 16 KiB.
static constexpr int64_t kMaxSlotBytes = 12 << 10;

namespace {
class FuncLowering {
public:
  FuncLowering(rt::FuncOp func, ModuleOp module)
      : func(func), module(module), builder(func.getContext()), pointer(LLVM::LLVMPointerType::get(func.getContext())) {
    symbolCount = func->getAttrOfType<IntegerAttr>("symbols").getInt();
    if (auto found = func->getAttrOfType<DenseI64ArrayAttr>("found_symbols"))
      foundSymbols.append(found.asArrayRef().begin(), found.asArrayRef().end());
  }
  LogicalResult run();

private:
  rt::FuncOp func;
  ModuleOp module;
  OpBuilder builder;
  Type pointer;
  int64_t symbolCount;
  SmallVector<int64_t> foundSymbols;
  Value frame, slots;
  bool isDevice = false;
  Block *failure = nullptr; // returns its argument

  Value i64(Location loc, int64_t value) {
    return LLVM::ConstantOp::create(builder, loc, builder.getI64Type(), builder.getI64IntegerAttr(value));
  }
  Value load(Location loc, Type type, Value address) { return LLVM::LoadOp::create(builder, loc, type, address); }
  Value fieldAddress(Location loc, AbiStruct which, Value base, StringRef name) {
    return LLVM::GEPOp::create(builder, loc, pointer, rt::getAbiStruct(builder.getContext(), which), base,
                               ArrayRef<LLVM::GEPArg>{0, rt::getAbiField(which, name)});
  }
  Value loadField(Location loc, StringRef name) {
    return load(loc, pointer, fieldAddress(loc, AbiStruct::tn_frame, frame, name));
  }
  Value slot(Location loc, Value base, int64_t index) {
    return LLVM::GEPOp::create(builder, loc, pointer, builder.getI64Type(), base,
                               ArrayRef<LLVM::GEPArg>{static_cast<int32_t>(index)});
  }
  Value symbol(Location loc, int64_t index, bool isFound = false) {
    Value symbols = func.getRole() == "run" ? loadField(loc, isFound ? "found_symbols" : "symbols") : frame;
    return load(loc, builder.getI64Type(), slot(loc, symbols, index));
  }
  void leaveOnFailure(Operation *op, Value status);
  void writeSlots(Location loc, int64_t first, ValueRange operands, int32_t site);
  void callParallel(Operation *op, LLVM::LLVMFuncOp kernel, Value tiles, Value scratch);
  void callTable(Operation *op, StringRef function, ValueRange arguments);
  Value readDevice(Operation *op, Value address, int64_t bytes);
  LogicalResult lowerDevice(Operation *op);
  int64_t slotsOf(int64_t operands) const { return operands + symbolCount + 1; }
  void lowerTogether(rt::TogetherOp op);
  LogicalResult lower(Operation *op);
};
} // namespace

static LLVM::LLVMFuncOp declareKernel(ModuleOp module, StringRef kernel) {
  std::string name = kernelSymbol(kernel);
  if (auto known = module.lookupSymbol<LLVM::LLVMFuncOp>(name))
    return known;
  MLIRContext *context = module.getContext();
  OpBuilder builder = OpBuilder::atBlockEnd(module.getBody());
  Type pointer = LLVM::LLVMPointerType::get(context), i64 = builder.getI64Type();
  auto type = LLVM::LLVMFunctionType::get(builder.getI32Type(), {pointer, pointer, i64, i64, pointer});
  auto func = LLVM::LLVMFuncOp::create(builder, module.getLoc(), name, type);
  func.setVisibility_(LLVM::Visibility::Hidden);
  func.setDsoLocal(true);
  return func;
}

void FuncLowering::leaveOnFailure(Operation *op, Value status) {
  Location loc = op->getLoc();
  Block *block = op->getBlock(), *rest = block->splitBlock(op->getNextNode());
  builder.setInsertionPointToEnd(block);
  Value zero = LLVM::ConstantOp::create(builder, loc, builder.getI32Type(), builder.getI32IntegerAttr(0));
  Value failed = LLVM::ICmpOp::create(builder, loc, LLVM::ICmpPredicate::ne, status, zero);
  LLVM::CondBrOp::create(builder, loc, failed, failure, ValueRange{status}, rest, ValueRange{},
                         std::make_pair(1u, 1000u));
}

/// The arguments of a kernel, from slot `first` on.
void FuncLowering::writeSlots(Location loc, int64_t first, ValueRange operands, int32_t site) {
  for (auto [i, operand] : llvm::enumerate(operands))
    LLVM::StoreOp::create(builder, loc, operand, slot(loc, slots, first + i));
  first += operands.size();
  for (int64_t s = 0; s < symbolCount; ++s)
    LLVM::StoreOp::create(builder, loc, symbol(loc, s, llvm::is_contained(foundSymbols, s)), slot(loc, slots, first + s));
  LLVM::StoreOp::create(builder, loc, i64(loc, site), slot(loc, slots, first + symbolCount));
}

/// A kernel whose grid is that of several, one behind the other. Its first arguments are their numbers of tiles;
/// `firstSlots` says where the arguments of each begin.
static LLVM::LLVMFuncOp getTrampoline(ModuleOp module, ArrayAttr kernels, ArrayRef<int64_t> firstSlots) {
  std::string name = "together";
  for (auto [kernel, first] : llvm::zip(kernels.getAsRange<FlatSymbolRefAttr>(), firstSlots))
    name += (".." + kernel.getValue() + "." + Twine(first)).str();
  if (auto known = module.lookupSymbol<LLVM::LLVMFuncOp>(name))
    return known;
  SmallVector<LLVM::LLVMFuncOp> callees;
  for (auto kernel : kernels.getAsRange<FlatSymbolRefAttr>())
    callees.push_back(declareKernel(module, kernel.getValue()));
  Location loc = module.getLoc();
  OpBuilder b = OpBuilder::atBlockEnd(module.getBody());
  auto func = LLVM::LLVMFuncOp::create(b, loc, name, callees.front().getFunctionType(), LLVM::Linkage::Internal);
  func.setDsoLocal(true);
  Block *block = func.addEntryBlock(b);
  Value frame = block->getArgument(0), args = block->getArgument(1), begin = block->getArgument(2),
        end = block->getArgument(3), scratch = block->getArgument(4);
  Type i64 = b.getI64Type(), i32 = b.getI32Type(), pointer = args.getType();
  b.setInsertionPointToStart(block);
  Value done = LLVM::ConstantOp::create(b, loc, i32, b.getI32IntegerAttr(0));
  Value base = LLVM::ConstantOp::create(b, loc, i64, b.getI64IntegerAttr(0));
  Block *leave = b.createBlock(&func.getBody(), func.getBody().end(), {i32}, {loc});
  LLVM::ReturnOp::create(b, loc, leave->getArgument(0));
  b.setInsertionPointToEnd(block);
  auto slot = [&](int64_t index) {
    return LLVM::GEPOp::create(b, loc, pointer, i64, args, ArrayRef<LLVM::GEPArg>{static_cast<int32_t>(index)});
  };
  for (auto [i, callee] : llvm::enumerate(callees)) {
    Value next = LLVM::AddOp::create(b, loc, base, LLVM::LoadOp::create(b, loc, i64, slot(i)));
    Value low = LLVM::SMaxOp::create(b, loc, begin, base), high = LLVM::SMinOp::create(b, loc, end, next);
    Value hasTiles = LLVM::ICmpOp::create(b, loc, LLVM::ICmpPredicate::slt, low, high);
    Block *here = b.getInsertionBlock(), *run = b.createBlock(leave), *rest = b.createBlock(leave);
    b.setInsertionPointToEnd(here);
    LLVM::CondBrOp::create(b, loc, hasTiles, run, rest);
    b.setInsertionPointToEnd(run);
    Value status = LLVM::CallOp::create(b, loc, callee,
                                        ValueRange{frame, slot(firstSlots[i]), LLVM::SubOp::create(b, loc, low, base),
                                                   LLVM::SubOp::create(b, loc, high, base), scratch})
                       .getResult();
    Value failed = LLVM::ICmpOp::create(b, loc, LLVM::ICmpPredicate::ne, status, done);
    LLVM::CondBrOp::create(b, loc, failed, leave, ValueRange{status}, rest, ValueRange{}, std::make_pair(1u, 1000u));
    b.setInsertionPointToEnd(rest);
    base = next;
  }
  LLVM::BrOp::create(b, loc, ValueRange{done}, leave);
  return func;
}

void FuncLowering::lowerTogether(rt::TogetherOp op) {
  Location loc = op.getLoc();
  OperandRange operands = op.getOperands_();
  SmallVector<int64_t> firstSlots;
  int64_t next = op.getTiles().size();
  for (auto [i, tiles] : llvm::enumerate(op.getTiles()))
    LLVM::StoreOp::create(builder, loc, tiles, slot(loc, slots, i));
  for (auto [count, site] : llvm::zip(op.getCounts(), op.getSites())) {
    firstSlots.push_back(next);
    writeSlots(loc, next, operands.take_front(count), site);
    operands = operands.drop_front(count);
    next += slotsOf(count);
  }
  Value sum = op.getTiles().front();
  for (Value tiles : op.getTiles().drop_front())
    sum = LLVM::AddOp::create(builder, loc, sum, tiles);
  callParallel(op, getTrampoline(module, op.getKernels(), firstSlots), sum, op.getScratch());
}

/// Calls a function of the runtime's table with the frame and `arguments`, and leaves when it fails.
void FuncLowering::callTable(Operation *op, StringRef function, ValueRange arguments) {
  Location loc = op->getLoc();
  SmallVector<Value> operands{
      load(loc, pointer, fieldAddress(loc, AbiStruct::tn_rt_table, loadField(loc, "rt"), function)), frame};
  llvm::append_range(operands, arguments);
  auto type =
      LLVM::LLVMFunctionType::get(builder.getI32Type(), llvm::to_vector(ValueRange(operands).drop_front().getTypes()));
  leaveOnFailure(op, LLVM::CallOp::create(builder, loc, type, operands).getResult());
}

/// Hands a kernel to the runtime's threads.
void FuncLowering::callParallel(Operation *op, LLVM::LLVMFuncOp kernel, Value tiles, Value scratch) {
  Value address = LLVM::AddressOfOp::create(builder, op->getLoc(), kernel);
  callTable(op, "parallel", ValueRange{address, slots, tiles, scratch});
}

//===----------------------------------------------------------------------===//
// Memory of a device
//===----------------------------------------------------------------------===//

/// A number in a device's memory, once all before is done. Stands in the block behind `op` afterwards.
Value FuncLowering::readDevice(Operation *op, Value address, int64_t bytes) {
  Location loc = op->getLoc();
  callTable(op, "load", ValueRange{address, i64(loc, bytes), slots});
  builder.setInsertionPointToStart(op->getBlock()->getTerminator()->getSuccessor(1));
  return load(loc, builder.getI64Type(), slots);
}

/// Ops that touch buffers, where those are a device's.
LogicalResult FuncLowering::lowerDevice(Operation *op) {
  Location loc = op->getLoc();
  auto i32 = [&](int64_t value) {
    return LLVM::ConstantOp::create(builder, loc, builder.getI32Type(), builder.getI32IntegerAttr(value)).getResult();
  };
  if (auto launch = dyn_cast<rt::LaunchOp>(op)) {
    writeSlots(loc, 0, launch.getOperands_(), launch.getSite());
    callTable(op, "launch",
              ValueRange{i32(launch.getKernel()), slots, i32(slotsOf(launch.getOperands_().size())), launch.getTiles()});
  } else if (auto visit = dyn_cast<rt::VisitOp>(op)) {
    int64_t operands = visit.getOperands_().size(), count = slotsOf(operands);
    writeSlots(loc, 0, visit.getOperands_(), visit.getSite());
    for (auto [i, bytes] : llvm::enumerate(visit.getBytes()))
      LLVM::StoreOp::create(builder, loc, bytes, slot(loc, slots, count + i));
    Value kernel = LLVM::AddressOfOp::create(builder, loc, declareKernel(module, visit.getKernel()));
    callTable(op, "visit",
              ValueRange{kernel, slots, i32(count), i32(operands), i32(visit.getInputs()), slot(loc, slots, count),
                         visit.getTiles(), visit.getScratch()});
  } else if (auto copy = dyn_cast<rt::CopyOp>(op)) {
    callTable(op, "copy", ValueRange{copy.getDest(), copy.getSource(), copy.getBytes()});
  } else if (auto store = dyn_cast<rt::StoreOp>(op)) {
    callTable(op, "store", ValueRange{store.getDest(), store.getValue()});
  } else if (auto number = dyn_cast<rt::LoadOp>(op)) {
    number.getResult().replaceAllUsesWith(readDevice(op, number.getSource(), 8));
  } else if (auto test = dyn_cast<rt::TestOp>(op)) {
    Value value = readDevice(op, test.getSource(), 1);
    test.getResult().replaceAllUsesWith(
        LLVM::ICmpOp::create(builder, loc, LLVM::ICmpPredicate::ne, value, i64(loc, 0)));
  } else {
    return mlir::failure();
  }
  op->erase();
  return success();
}

LogicalResult FuncLowering::lower(Operation *op) {
  Location loc = op->getLoc();
  builder.setInsertionPoint(op);
  if (isDevice && succeeded(lowerDevice(op)))
    return success();
  auto replace = [&](Value value) {
    op->getResult(0).replaceAllUsesWith(value);
    op->erase();
  };
  auto port = [&](StringRef field, int64_t index) {
    replace(load(loc, pointer, slot(loc, loadField(loc, field), index)));
  };
  if (auto input = dyn_cast<rt::InputOp>(op)) {
    port("inputs", input.getIndex());
  } else if (auto output = dyn_cast<rt::OutputOp>(op)) {
    port("outputs", output.getIndex());
  } else if (auto state = dyn_cast<rt::StateOp>(op)) {
    port("states", state.getIndex());
  } else if (isa<rt::ArenaOp>(op)) {
    replace(loadField(loc, "arena"));
  } else if (isa<rt::ConstantsOp>(op)) {
    replace(loadField(loc, "constants"));
  } else if (auto s = dyn_cast<rt::SymbolOp>(op)) {
    replace(symbol(loc, s.getIndex(), s.getFound()));
  } else if (auto found = dyn_cast<rt::FoundOp>(op)) {
    LLVM::StoreOp::create(builder, loc, found.getValue(),
                          slot(loc, loadField(loc, "found_symbols"), found.getIndex()));
    op->erase();
  } else if (auto number = dyn_cast<rt::LoadOp>(op)) {
    replace(load(loc, builder.getI64Type(), number.getSource()));
  } else if (auto test = dyn_cast<rt::TestOp>(op)) {
    Value zero = LLVM::ConstantOp::create(builder, loc, builder.getI8Type(), builder.getI8IntegerAttr(0));
    replace(LLVM::ICmpOp::create(builder, loc, LLVM::ICmpPredicate::ne,
                                 load(loc, builder.getI8Type(), test.getSource()), zero));
  } else if (auto offset = dyn_cast<rt::OffsetOp>(op)) {
    replace(LLVM::GEPOp::create(builder, loc, pointer, builder.getI8Type(), offset.getBase(),
                                ArrayRef<LLVM::GEPArg>{offset.getBytes()}));
  } else if (auto copy = dyn_cast<rt::CopyOp>(op)) {
    LLVM::MemcpyOp::create(builder, loc, copy.getDest(), copy.getSource(), copy.getBytes(), /*isVolatile=*/false);
    op->erase();
  } else if (auto store = dyn_cast<rt::StoreOp>(op)) {
    LLVM::StoreOp::create(builder, loc, store.getValue(), store.getDest());
    op->erase();
  } else if (auto phase = dyn_cast<rt::StatePhaseOp>(op)) {
    Value value = LLVM::ConstantOp::create(builder, loc, builder.getI32Type(), phase.getPhaseAttr());
    LLVM::StoreOp::create(builder, loc, value, fieldAddress(loc, AbiStruct::tn_frame, frame, "state_phase"));
    op->erase();
  } else if (auto run = dyn_cast<rt::RunOp>(op)) {
    writeSlots(loc, 0, run.getOperands_(), run.getSite());
    auto call = LLVM::CallOp::create(builder, loc, declareKernel(module, run.getKernel()),
                                     ValueRange{frame, slots, i64(loc, 0), run.getTiles(), run.getScratch()});
    leaveOnFailure(op, call.getResult());
    op->erase();
  } else if (auto parallel = dyn_cast<rt::ParallelOp>(op)) {
    writeSlots(loc, 0, parallel.getOperands_(), parallel.getSite());
    callParallel(op, declareKernel(module, parallel.getKernel()), parallel.getTiles(), parallel.getScratch());
    op->erase();
  } else if (auto together = dyn_cast<rt::TogetherOp>(op)) {
    lowerTogether(together);
    op->erase();
  } else if (auto fail = dyn_cast<rt::FailOp>(op)) {
    Value callee = load(loc, pointer, fieldAddress(loc, AbiStruct::tn_rt_table, loadField(loc, "rt"), "fail"));
    auto type = LLVM::LLVMFunctionType::get(
        builder.getI32Type(), {pointer, builder.getI32Type(), builder.getI64Type(), builder.getI64Type()});
    Value site = LLVM::ConstantOp::create(builder, loc, builder.getI32Type(), fail.getSiteAttr());
    auto call = LLVM::CallOp::create(builder, loc, type, ValueRange{callee, frame, site, fail.getA(), fail.getB()});
    leaveOnFailure(op, call.getResult());
    op->erase();
  } else if (auto ret = dyn_cast<rt::ReturnOp>(op)) {
    LLVM::ReturnOp::create(builder, loc, ret.getValue());
    op->erase();
  }
  return success();
}

LogicalResult FuncLowering::run() {
  Location loc = func.getLoc();
  bool isRun = func.getRole() == "run";
  isDevice = func->hasAttr("device");
  int64_t slotCount = 0;
  func.walk([&](Operation *op) {
    if (isa<rt::RunOp, rt::ParallelOp>(op))
      slotCount = std::max(slotCount, slotsOf(op->getNumOperands() - 2));
    if (auto launch = dyn_cast<rt::LaunchOp>(op))
      slotCount = std::max(slotCount, slotsOf(launch.getOperands_().size()));
    if (auto visit = dyn_cast<rt::VisitOp>(op)) // and the operands' sizes behind
      slotCount = std::max<int64_t>(slotCount, slotsOf(visit.getOperands_().size()) + visit.getBytes().size());
    if (isa<rt::LoadOp, rt::TestOp>(op))
      slotCount = std::max<int64_t>(slotCount, 1);
    if (auto together = dyn_cast<rt::TogetherOp>(op)) {
      int64_t sum = together.getTiles().size();
      for (int64_t count : together.getCounts())
        sum += slotsOf(count);
      slotCount = std::max(slotCount, sum);
    }
  });
  if (slotCount * 8 > kMaxSlotBytes)
    return func.emitError() << "a kernel takes " << slotCount << " arguments and symbols but " << kMaxSlotBytes / 8
                            << " are possible";
  builder.setInsertionPoint(func);
  Type result = isRun ? builder.getI32Type() : builder.getI64Type();
  auto target = LLVM::LLVMFuncOp::create(builder, loc, func.getSymName(),
                                         LLVM::LLVMFunctionType::get(result, {pointer}), LLVM::Linkage::Internal);
  target.setDsoLocal(true);
  target.getBody().takeBody(func.getBody());
  Block &entry = target.getBody().front();
  frame = entry.getArgument(0);
  SmallVector<Operation *> ops;
  target.walk([&](Operation *op) {
    if (op->getName().getDialectNamespace() == "rt")
      ops.push_back(op);
  });
  if (slotCount) {
    builder.setInsertionPointToStart(&entry);
    slots = LLVM::AllocaOp::create(builder, loc, pointer, builder.getI64Type(), i64(loc, slotCount), /*alignment=*/16);
  }
  if (isRun) {
    failure = new Block;
    target.getBody().push_back(failure);
    Value status = failure->addArgument(builder.getI32Type(), loc);
    builder.setInsertionPointToEnd(failure);
    LLVM::ReturnOp::create(builder, loc, status);
  }
  for (Operation *op : ops)
    if (failed(lower(op)))
      return mlir::failure();
  func.erase();
  return success();
}

/// The exported table.
static void writeImage(rt::ImageOp image, ModuleOp module) {
  Location loc = image.getLoc();
  MLIRContext *context = module.getContext();
  OpBuilder builder(image);
  Type pointer = LLVM::LLVMPointerType::get(context);
  LLVM::LLVMStructType entryType = rt::getAbiStruct(context, AbiStruct::tn_image_entry);
  LLVM::LLVMStructType imageType = rt::getAbiStruct(context, AbiStruct::tn_image);
  uint32_t count = image.getFunctions().size() / 3;
  auto tableType = LLVM::LLVMArrayType::get(entryType, count);
  auto addGlobal = [&](Type type, StringRef name, LLVM::Linkage linkage) {
    auto global = LLVM::GlobalOp::create(builder, loc, type, /*isConstant=*/true, linkage, name, Attribute(), 8);
    global.getInitializerRegion().emplaceBlock();
    return global;
  };
  auto insert = [&](OpBuilder &b, Value into, Value value, ArrayRef<int64_t> at) {
    return LLVM::InsertValueOp::create(b, loc, into, value, at).getResult();
  };
  LLVM::GlobalOp table;
  if (count) {
    table = addGlobal(tableType, "tn_image_entries", LLVM::Linkage::Internal);
    table.setDsoLocal(true);
    OpBuilder b = OpBuilder::atBlockEnd(&table.getInitializerRegion().front());
    Value value = LLVM::UndefOp::create(b, loc, tableType);
    for (auto [i, name] : llvm::enumerate(image.getFunctions())) {
      Value function = LLVM::AddressOfOp::create(b, loc, pointer, cast<FlatSymbolRefAttr>(name));
      value = insert(b, value, function, {static_cast<int64_t>(i / 3), static_cast<int64_t>(i % 3)});
    }
    LLVM::ReturnOp::create(b, loc, value);
  }
  auto global = addGlobal(imageType, "tn_image", LLVM::Linkage::External);
  OpBuilder b = OpBuilder::atBlockEnd(&global.getInitializerRegion().front());
  auto number = [&](int bits, int64_t value) {
    return LLVM::ConstantOp::create(b, loc, b.getIntegerType(bits), b.getIntegerAttr(b.getIntegerType(bits), value));
  };
  Value value = LLVM::UndefOp::create(b, loc, imageType);
  auto set = [&](StringRef name, Value field) {
    value = insert(b, value, field, {rt::getAbiField(AbiStruct::tn_image, name)});
  };
  set("struct_bytes", number(32, sizeof(tn_image)));
  set("abi_major", number(16, TN_ABI_MAJOR));
  // Older runtimes do for images that use nothing newer: the functions for devices came with minor 1.
  bool isDevice = target::getDevice(module) != nullptr;
  set("abi_minor_needed", number(16, isDevice ? 1 : 0));
  set("table_bytes_needed", number(32, isDevice ? sizeof(tn_rt_table) : offsetof(tn_rt_table, launch)));
  set("entry_count", number(32, count));
  set("entries",
      table ? LLVM::AddressOfOp::create(b, loc, table).getResult() : LLVM::ZeroOp::create(b, loc, pointer).getResult());
  LLVM::ReturnOp::create(b, loc, value);
  image.erase();
}

namespace {
struct ConvertRtToLLVMPass final : tenon::impl::ConvertRtToLLVMPassBase<ConvertRtToLLVMPass> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    MLIRContext *context = &getContext();
    {
      RewritePatternSet patterns(context);
      populateSCFToControlFlowConversionPatterns(patterns);
      ConversionTarget target(*context);
      target.addIllegalOp<scf::ForOp, scf::IfOp, scf::WhileOp>();
      target.markUnknownOpDynamicallyLegal([](Operation *) { return true; });
      FrozenRewritePatternSet frozen(std::move(patterns));
      for (auto func : module.getOps<rt::FuncOp>())
        if (failed(applyPartialConversion(func, target, frozen)))
          return signalPassFailure();
    }
    for (auto func : llvm::make_early_inc_range(module.getOps<rt::FuncOp>()))
      if (failed(FuncLowering(func, module).run()))
        return signalPassFailure();
    for (auto image : llvm::make_early_inc_range(module.getOps<rt::ImageOp>()))
      writeImage(image, module);

    LLVMTypeConverter converter(context);
    RewritePatternSet patterns(context);
    arith::populateArithToLLVMConversionPatterns(converter, patterns);
    cf::populateControlFlowToLLVMConversionPatterns(converter, patterns);
    ConversionTarget target(*context);
    target.addIllegalDialect<arith::ArithDialect, cf::ControlFlowDialect>();
    target.markUnknownOpDynamicallyLegal([](Operation *) { return true; });
    FrozenRewritePatternSet frozen(std::move(patterns));
    for (auto func : module.getOps<LLVM::LLVMFuncOp>())
      if (failed(applyPartialConversion(func, target, frozen)))
        return signalPassFailure();
  }
};
} // namespace
