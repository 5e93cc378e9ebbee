//===- PlanToRt.cpp - buffers and order -> calls --------------------------===//
#include "tenon/Conversion/PlanToRt.h"
#include "dialects/Target/IR/TargetDialect.h"
#include "dialects/Plan/IR/PlanDialect.h"
#include "dialects/Rt/IR/RtDialect.h"
#include "tenon/abi.h"

namespace tenon {
#define GEN_PASS_DEF_CONVERTPLANTORTPASS
#include "lib/Conversion/PlanToRt/Passes.h.inc"
} // namespace tenon

using namespace mlir;
using namespace tenon;

static_assert(plan::kBufferAlign == TN_BUFFER_ALIGN);

namespace {
/// Arithmetic of size expressions as ops on i64. In checked mode it also tracks whether anything overflowed.
class Arithmetic {
public:
  /// `found`: the symbols whose values the call finds; without it they stand for their bounds.
  Arithmetic(OpBuilder &builder, Location loc, bool isChecked, ArrayRef<int64_t> found = {})
      : builder(builder), loc(loc), isChecked(isChecked), found(found) {}

  Value constant(int64_t value) { return arith::ConstantOp::create(builder, loc, builder.getI64IntegerAttr(value)); }
  Value symbol(unsigned index) {
    return rt::SymbolOp::create(builder, loc, builder.getI64Type(), index, llvm::is_contained(found, index));
  }

  Value add(Value a, Value b) {
    return isChecked ? checked<LLVM::SAddWithOverflowOp>(a, b) : arith::AddIOp::create(builder, loc, a, b).getResult();
  }
  Value mul(Value a, Value b) {
    return isChecked ? checked<LLVM::SMulWithOverflowOp>(a, b) : arith::MulIOp::create(builder, loc, a, b).getResult();
  }
  Value min(Value a, Value b) { return arith::MinSIOp::create(builder, loc, a, b); }
  Value max(Value a, Value b) { return arith::MaxSIOp::create(builder, loc, a, b); }
  Value compare(arith::CmpIPredicate predicate, Value a, Value b) {
    return arith::CmpIOp::create(builder, loc, predicate, a, b);
  }
  /// `counters` are the values of d0, d1, ….
  Value expr(AffineExpr e, ArrayRef<Value> counters = {}) {
    if (auto c = dyn_cast<AffineConstantExpr>(e))
      return constant(c.getValue());
    if (auto s = dyn_cast<AffineSymbolExpr>(e))
      return symbol(s.getPosition());
    if (auto d = dyn_cast<AffineDimExpr>(e))
      return counters[d.getPosition()];
    auto binary = cast<AffineBinaryOpExpr>(e);
    Value a = expr(binary.getLHS(), counters), b = expr(binary.getRHS(), counters);
    switch (e.getKind()) {
    case AffineExprKind::Add:
      return add(a, b);
    case AffineExprKind::Mul:
      return mul(a, b);
    default:
      break;
    }
    if (!isa<AffineConstantExpr>(binary.getRHS())) {
      // A divisor that is not positive has no meaning; it must not trap.
      if (isChecked)
        note(compare(arith::CmpIPredicate::slt, b, constant(1)));
      b = max(b, constant(1));
    }
    if (e.getKind() == AffineExprKind::CeilDiv)
      return negate(floorDiv(negate(a), b));
    if (e.getKind() == AffineExprKind::FloorDiv)
      return floorDiv(a, b);
    Value r = arith::RemSIOp::create(builder, loc, a, b);
    Value isNegative = compare(arith::CmpIPredicate::slt, r, constant(0));
    return arith::SelectOp::create(builder, loc, isNegative, arith::AddIOp::create(builder, loc, r, b), r);
  }
  Value alignUp(Value value) {
    Value sum = add(value, constant(plan::kBufferAlign - 1));
    return arith::AndIOp::create(builder, loc, sum, constant(-plan::kBufferAlign));
  }
  /// -1 when anything overflowed or `value` is negative.
  Value orFailure(Value value) {
    note(compare(arith::CmpIPredicate::slt, value, constant(0)));
    return arith::SelectOp::create(builder, loc, failed, constant(-1), value);
  }

private:
  OpBuilder &builder;
  Location loc;
  bool isChecked;
  ArrayRef<int64_t> found;
  Value failed;

  void note(Value flag) { failed = failed ? arith::OrIOp::create(builder, loc, failed, flag).getResult() : flag; }
  template <typename Op> Value checked(Value a, Value b) {
    auto type = LLVM::LLVMStructType::getLiteral(builder.getContext(), {builder.getI64Type(), builder.getI1Type()});
    Value both = Op::create(builder, loc, type, a, b);
    note(LLVM::ExtractValueOp::create(builder, loc, both, ArrayRef<int64_t>{1}));
    return LLVM::ExtractValueOp::create(builder, loc, both, ArrayRef<int64_t>{0});
  }
  Value negate(Value a) { return arith::SubIOp::create(builder, loc, constant(0), a); }
  Value floorDiv(Value a, Value b) {
    Value q = arith::DivSIOp::create(builder, loc, a, b), r = arith::RemSIOp::create(builder, loc, a, b);
    Value isNegative = compare(arith::CmpIPredicate::slt, r, constant(0));
    Value less = arith::SubIOp::create(builder, loc, q, constant(1));
    return arith::SelectOp::create(builder, loc, isNegative, less, q);
  }
};

class FuncWriter {
public:
  FuncWriter(plan::FuncOp func, SymbolTable &symbols, OpBuilder &builder)
      : func(func), builder(builder), loc(func.getLoc()), pointer(LLVM::LLVMPointerType::get(func.getContext())) {
    int64_t next = 0;
    for (auto variable : func->getParentOfType<ModuleOp>().getOps<plan::VariableOp>())
      stateIndex[variable.getSymName()] = next++;
    for (auto constant : func->getParentOfType<ModuleOp>().getOps<plan::ConstantOp>())
      constantOffset[constant.getSymName()] = constant.getOffset();
    func.walk([&](plan::AllocOp alloc) { byId[alloc.getId()] = alloc; });
    isDevice = target::getDevice(func->getParentOfType<ModuleOp>()) != nullptr;
    for (auto [i, attribute] : llvm::enumerate(func.getSymbols()))
      if (cast<graph::SymbolAttr>(attribute).isFound())
        found.push_back(i);
  }

  void run(SmallVectorImpl<Attribute> &functions) {
    functions.push_back(writeFunction("run", [&] { writeRun(); }));
    functions.push_back(writeFunction("arena_bytes", [&] { writeArenaBytes(); }));
    functions.push_back(writeFunction("scratch_bytes", [&] { writeScratchBytes(); }));
  }

private:
  plan::FuncOp func;
  OpBuilder &builder;
  Location loc;
  Type pointer;
  llvm::StringMap<int64_t> stateIndex, constantOffset;
  DenseMap<int64_t, plan::AllocOp> byId;
  DenseMap<int64_t, Value> offsets; // of arena buffers, by id
  DenseMap<Value, Value> addresses;
  SmallVector<Value> counters;
  SmallVector<int64_t> found; // symbols
  Value arena, constants, nullAddress;
  bool changedStates = false, isDevice = false;

  Attribute writeFunction(StringRef role, llvm::function_ref<void()> body) {
    std::string name = (func.getSymName() + "." + role).str();
    auto op = rt::FuncOp::create(builder, loc, name, role);
    op->setAttr("symbols", builder.getI64IntegerAttr(func.getSymbols().size()));
    if (isDevice)
      op->setAttr("device", builder.getUnitAttr());
    if (!found.empty())
      op->setAttr("found_symbols", builder.getDenseI64ArrayAttr(found));
    OpBuilder::InsertionGuard guard(builder);
    Block &block = op.getBody().emplaceBlock();
    block.addArgument(pointer, loc);
    builder.setInsertionPointToStart(&block);
    body();
    return FlatSymbolRefAttr::get(op.getSymNameAttr());
  }

  /// Offset of an arena buffer whose place is symbolic, and of all below it.
  Value offsetOf(plan::AllocOp alloc, Arithmetic &math) {
    if (Value known = offsets.lookup(alloc.getId()))
      return known;
    Value offset;
    for (int64_t id : alloc.getBelow().value_or(ArrayRef<int64_t>())) {
      Value end = endOf(byId.lookup(id), math);
      offset = offset ? math.max(offset, end) : end;
    }
    return offsets[alloc.getId()] = offset ? offset : math.constant(alloc.getOffset().value_or(0));
  }
  Value endOf(plan::AllocOp alloc, Arithmetic &math) {
    Value offset = offsetOf(alloc, math);
    return math.alignUp(math.add(offset, math.expr(alloc.getBytes().getValue())));
  }

  void writeArenaBytes() {
    offsets.clear();
    Arithmetic math(builder, loc, /*isChecked=*/true);
    int64_t fixed = 0;
    Value most;
    llvm::DenseSet<int64_t> covered;
    func.walk([&](plan::AllocOp alloc) {
      for (int64_t id : alloc.getBelow().value_or(ArrayRef<int64_t>()))
        covered.insert(id);
    });
    func.walk([&](plan::AllocOp alloc) {
      if (alloc.getOffset()) {
        fixed = std::max<int64_t>(
            fixed, llvm::alignTo(*alloc.getOffset() + *alloc.getBytes().getConstant(), plan::kBufferAlign));
      } else if (!covered.contains(alloc.getId())) {
        Value end = endOf(alloc, math);
        most = most ? math.max(most, end) : end;
      }
    });
    Value result = math.constant(fixed);
    if (most)
      result = math.orFailure(fixed ? math.max(result, most) : most);
    rt::ReturnOp::create(builder, loc, result);
    offsets.clear();
  }

  void writeScratchBytes() {
    Arithmetic math(builder, loc, /*isChecked=*/true);
    llvm::SetVector<Attribute> sizes;
    func.walk([&](plan::CallOp call) { sizes.insert(call.getScratchBytesAttr()); });
    int64_t fixed = 0;
    Value most;
    for (Attribute attribute : sizes) {
      auto size = cast<plan::ExprAttr>(attribute);
      if (std::optional<int64_t> value = size.getConstant()) {
        fixed = std::max(fixed, *value);
        continue;
      }
      Value bytes = math.expr(size.getValue());
      most = most ? math.max(most, bytes) : bytes;
    }
    Value result = math.constant(fixed);
    if (most)
      result = math.orFailure(math.max(result, most));
    rt::ReturnOp::create(builder, loc, result);
  }

  void writeRun() {
    Arithmetic math(builder, loc, /*isChecked=*/false);
    offsets.clear();
    rt::StatePhaseOp::create(builder, loc, TN_STATES_INTACT);
    arena = rt::ArenaOp::create(builder, loc, pointer);
    constants = rt::ConstantsOp::create(builder, loc, pointer);
    nullAddress = LLVM::ZeroOp::create(builder, loc, pointer);
    // All places first: they depend on the sizes only.
    func.walk([&](plan::AllocOp alloc) {
      if (!alloc.getOffset())
        offsetOf(alloc, math);
    });
    for (Operation &op : func.getBody().front()) {
      if (!changedStates && writesState(&op)) {
        rt::StatePhaseOp::create(builder, loc, TN_STATES_CHANGED);
        changedStates = true;
      }
      write(&op);
    }
    Value zero = arith::ConstantOp::create(builder, loc, builder.getI32IntegerAttr(0));
    rt::ReturnOp::create(builder, loc, zero);
  }

  static bool reachesState(Value buffer) {
    Operation *op = buffer.getDefiningOp();
    if (auto view = dyn_cast<plan::ViewOp>(op))
      return reachesState(view.getBuffer());
    if (auto choose = dyn_cast<plan::ChooseOp>(op))
      return reachesState(choose.getZero()) || reachesState(choose.getOther());
    return isa<plan::StateOp>(op);
  }
  static bool writesState(Operation *root) {
    return root
        ->walk([](Operation *op) {
          bool writes = false;
          if (auto call = dyn_cast<plan::CallOp>(op))
            writes = llvm::any_of(call.getOutputs(), reachesState);
          else if (auto copy = dyn_cast<plan::CopyOp>(op))
            writes = reachesState(copy.getDest());
          else if (auto store = dyn_cast<plan::StoreSizesOp>(op))
            writes = reachesState(store.getDest());
          return writes ? WalkResult::interrupt() : WalkResult::advance();
        })
        .wasInterrupted();
  }

  Value address(Value base, Value offset) {
    APInt value;
    if (matchPattern(offset, m_ConstantInt(&value)) && value.isZero())
      return base;
    return rt::OffsetOp::create(builder, loc, base, offset);
  }

  void write(Operation *op) {
    Arithmetic math(builder, op->getLoc(), /*isChecked=*/false, found);
    auto eval = [&](plan::ExprAttr e) { return math.expr(e.getValue(), counters); };
    loc = op->getLoc();
    if (auto input = dyn_cast<plan::InputOp>(op)) {
      addresses[input] = rt::InputOp::create(builder, loc, pointer, input.getIndex());
    } else if (auto output = dyn_cast<plan::OutputOp>(op)) {
      addresses[output] = rt::OutputOp::create(builder, loc, pointer, output.getIndex());
    } else if (auto state = dyn_cast<plan::StateOp>(op)) {
      addresses[state] = rt::StateOp::create(builder, loc, pointer, stateIndex.lookup(state.getVariable()));
    } else if (auto weight = dyn_cast<plan::WeightOp>(op)) {
      addresses[weight] = address(constants, math.constant(constantOffset.lookup(weight.getConstant())));
    } else if (auto alloc = dyn_cast<plan::AllocOp>(op)) {
      Value offset = alloc.getOffset() ? math.constant(*alloc.getOffset()) : offsets.lookup(alloc.getId());
      addresses[alloc] = address(arena, offset);
    } else if (auto view = dyn_cast<plan::ViewOp>(op)) {
      addresses[view] = address(addresses.lookup(view.getBuffer()), eval(view.getOffset()));
    } else if (auto choose = dyn_cast<plan::ChooseOp>(op)) {
      Value isZero = math.compare(arith::CmpIPredicate::eq, eval(choose.getCondition()), math.constant(0));
      addresses[choose] = arith::SelectOp::create(builder, loc, isZero, addresses.lookup(choose.getZero()),
                                                  addresses.lookup(choose.getOther()));
    } else if (auto call = dyn_cast<plan::CallOp>(op)) {
      writeCall(call, math);
    } else if (auto together = dyn_cast<plan::TogetherOp>(op)) {
      writeTogether(together, math);
    } else if (auto copy = dyn_cast<plan::CopyOp>(op)) {
      rt::CopyOp::create(builder, loc, addresses.lookup(copy.getSource()), addresses.lookup(copy.getDest()),
                         eval(copy.getBytes()));
    } else if (auto store = dyn_cast<plan::StoreSizesOp>(op)) {
      Value dest = addresses.lookup(store.getDest());
      for (auto [i, value] : llvm::enumerate(store.getValues()))
        rt::StoreOp::create(builder, loc, eval(cast<plan::ExprAttr>(value)), address(dest, math.constant(8 * i)));
    } else if (auto check = dyn_cast<plan::CheckOp>(op)) {
      Value a = eval(check.getLhs()), b = eval(check.getRhs());
      auto branch = scf::IfOp::create(builder, loc, math.compare(arith::CmpIPredicate::ne, a, b), /*withElse=*/false);
      OpBuilder::InsertionGuard guard(builder);
      builder.setInsertionPointToStart(&branch.getThenRegion().front());
      rt::FailOp::create(builder, loc, check.getSite(), a, b);
    } else if (auto loop = dyn_cast<plan::LoopOp>(op)) {
      auto forOp = scf::ForOp::create(builder, loc, math.constant(0), eval(loop.getCount()), math.constant(1));
      OpBuilder::InsertionGuard guard(builder);
      builder.setInsertionPointToStart(forOp.getBody());
      writeRegion(loop.getBody(), forOp.getInductionVar());
    } else if (auto branch = dyn_cast<plan::IfOp>(op)) {
      Value isTrue = rt::TestOp::create(builder, loc, builder.getI1Type(), addresses.lookup(branch.getPredicate()));
      auto ifOp = scf::IfOp::create(builder, loc, isTrue, /*withElse=*/true);
      OpBuilder::InsertionGuard guard(builder);
      for (auto [from, to] : {std::pair(&branch.getThenBody(), &ifOp.getThenRegion()),
                              std::pair(&branch.getElseBody(), &ifOp.getElseRegion())}) {
        builder.setInsertionPointToStart(&to->front());
        writeRegion(*from);
      }
    } else if (auto loop = dyn_cast<plan::WhileOp>(op)) {
      writeWhile(loop, math);
    } else if (auto define = dyn_cast<plan::DefineSizeOp>(op)) {
      writeDefineSize(define, math);
    }
  }

  void writeRegion(Region &region, Value counter = {}) {
    if (counter)
      counters.push_back(counter);
    for (Operation &inner : region.front())
      write(&inner);
    if (counter)
      counters.pop_back();
  }

  void writeWhile(plan::WhileOp loop, Arithmetic &math) {
    Type i64 = builder.getI64Type();
    Value zero = math.constant(0);
    auto steps = scf::WhileOp::create(builder, loc, TypeRange{i64}, ValueRange{zero});
    OpBuilder::InsertionGuard guard(builder);
    Block *before = builder.createBlock(&steps.getBefore(), {}, i64, loc);
    writeRegion(loop.getCondition(), before->getArgument(0));
    auto test = cast<plan::TestOp>(loop.getCondition().front().back());
    Value goesOn = rt::TestOp::create(builder, loc, builder.getI1Type(), addresses.lookup(test.getPredicate()));
    scf::ConditionOp::create(builder, loc, goesOn, before->getArgument(0));
    Block *after = builder.createBlock(&steps.getAfter(), {}, i64, loc);
    writeRegion(loop.getBody(), after->getArgument(0));
    Value one = arith::ConstantOp::create(builder, loc, builder.getI64IntegerAttr(1));
    scf::YieldOp::create(builder, loc, arith::AddIOp::create(builder, loc, after->getArgument(0), one).getResult());
    builder.setInsertionPointAfter(steps);
    writeRegion(loop.getExit(), steps.getResult(0));
  }

  void writeDefineSize(plan::DefineSizeOp define, Arithmetic &math) {
    Value value = rt::LoadOp::create(builder, loc, builder.getI64Type(), addresses.lookup(define.getSource()));
    Value most = math.min(math.expr(define.getBound().getValue()), math.constant(define.getMax()));
    Value isBad = arith::OrIOp::create(
        builder, loc, math.compare(arith::CmpIPredicate::slt, value, math.constant(define.getMin())),
        math.compare(arith::CmpIPredicate::sgt, value, most));
    auto branch = scf::IfOp::create(builder, loc, isBad, /*withElse=*/false);
    {
      OpBuilder::InsertionGuard guard(builder);
      builder.setInsertionPointToStart(&branch.getThenRegion().front());
      rt::FailOp::create(builder, loc, define.getSite(), value, most);
    }
    rt::FoundOp::create(builder, loc, define.getSymbol(), value);
  }

  SmallVector<Value> operandsOf(plan::CallOp call) {
    SmallVector<Value> operands;
    for (Value buffer : llvm::concat<Value>(llvm::to_vector(call.getInputs()), llvm::to_vector(call.getOutputs())))
      operands.push_back(addresses.lookup(buffer));
    return operands;
  }

  void runHere(plan::CallOp call, Value tiles) {
    Value scratch = call.getScratch() ? addresses.lookup(call.getScratch()) : nullAddress;
    rt::RunOp::create(builder, loc, call.getCalleeAttr(), operandsOf(call), call.getSiteAttr(), tiles, scratch);
  }

  /// On the threads, unless all of it is too little for that.
  void writeTogether(plan::TogetherOp together, Arithmetic &math) {
    SmallVector<Attribute> kernels;
    SmallVector<Value> operands, tiles;
    SmallVector<int64_t> counts;
    SmallVector<int32_t> sites;
    Value scratch = math.constant(0);
    AffineExpr work = builder.getAffineConstantExpr(0);
    bool isKnown = true;
    for (auto call : together.getBody().getOps<plan::CallOp>()) {
      SmallVector<Value> own = operandsOf(call);
      kernels.push_back(call.getCalleeAttr());
      counts.push_back(own.size());
      sites.push_back(call.getSite());
      tiles.push_back(math.expr(call.getTiles().getValue()));
      operands.append(own);
      scratch = math.max(scratch, math.expr(call.getScratchBytes().getValue()));
      isKnown &= call.getWork().has_value();
      if (isKnown)
        work = graph::normalize(work + call.getWork()->getValue());
    }
    auto runOnThreads = [&] {
      rt::TogetherOp::create(builder, loc, builder.getArrayAttr(kernels), operands, counts, sites, tiles, scratch);
    };
    if (std::optional<int64_t> fixed = graph::asConstant(work); !isKnown || (fixed && *fixed >= plan::kParallelWork))
      return runOnThreads();
    Value isSmall = math.compare(arith::CmpIPredicate::slt, math.expr(work, counters), math.constant(plan::kParallelWork));
    auto branch = scf::IfOp::create(builder, loc, isSmall, /*withElse=*/true);
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(&branch.getThenRegion().front());
    for (auto [i, call] : llvm::enumerate(together.getBody().getOps<plan::CallOp>()))
      runHere(call, tiles[i]);
    builder.setInsertionPointToStart(&branch.getElseRegion().front());
    runOnThreads();
  }

  /// On a device, or on the CPU between what the device does; see `markDeviceCalls`.
  void writeDeviceCall(plan::CallOp call, Arithmetic &math) {
    Value tiles = math.expr(call.getTiles().getValue());
    if (auto kernel = call->getAttrOfType<IntegerAttr>(kDeviceKernelAttr)) {
      rt::LaunchOp::create(builder, loc, kernel, operandsOf(call), call.getSiteAttr(), tiles);
      return;
    }
    SmallVector<Value> bytes;
    for (AffineExpr expr : call->getAttrOfType<graph::DimsAttr>(kOperandBytesAttr).getExprs())
      bytes.push_back(math.expr(expr));
    rt::VisitOp::create(builder, loc, call.getCalleeAttr(), operandsOf(call), bytes,
                        builder.getI32IntegerAttr(call.getInputs().size()), tiles,
                        math.expr(call.getScratchBytes().getValue()), call.getSiteAttr());
  }

  void writeCall(plan::CallOp call, Arithmetic &math) {
    if (isDevice)
      return writeDeviceCall(call, math);
    AffineExpr tilesExpr = call.getTiles().getValue();
    Value tiles = math.expr(tilesExpr);
    auto runOnThreads = [&] {
      rt::ParallelOp::create(builder, loc, call.getCalleeAttr(), operandsOf(call), call.getSiteAttr(), tiles,
                             math.expr(call.getScratchBytes().getValue()));
    };
    // What is known now decides now; the rest is decided by each call.
    std::optional<int64_t> fixedTiles = graph::asConstant(tilesExpr);
    std::optional<int64_t> fixedWork = call.getWork() ? call.getWork()->getConstant() : std::nullopt;
    if (!call.canRunHere())
      return runOnThreads();
    if ((fixedTiles && *fixedTiles <= 1) || (fixedWork && *fixedWork < plan::kParallelWork))
      return runHere(call, tiles);
    bool isBigEnough = !call.getWork() || fixedWork;
    if (fixedTiles && isBigEnough)
      return runOnThreads();
    Value isSmall;
    if (!isBigEnough)
      isSmall = math.compare(arith::CmpIPredicate::slt, math.expr(call.getWork()->getValue()),
                             math.constant(plan::kParallelWork));
    if (!fixedTiles) {
      Value isSingle = math.compare(arith::CmpIPredicate::sle, tiles, math.constant(1));
      isSmall = isSmall ? arith::OrIOp::create(builder, loc, isSmall, isSingle).getResult() : isSingle;
    }
    auto branch = scf::IfOp::create(builder, loc, isSmall, /*withElse=*/true);
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(&branch.getThenRegion().front());
    runHere(call, tiles);
    builder.setInsertionPointToStart(&branch.getElseRegion().front());
    runOnThreads();
  }
};

struct ConvertPlanToRtPass final : tenon::impl::ConvertPlanToRtPassBase<ConvertPlanToRtPass> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    SymbolTable symbols(module);
    OpBuilder builder = OpBuilder::atBlockEnd(module.getBody());
    SmallVector<Attribute> functions;
    for (auto func : llvm::make_early_inc_range(module.getOps<plan::FuncOp>())) {
      bool hasPlaces = true;
      func.walk([&](plan::AllocOp alloc) {
        if (alloc.getOffset() || alloc.getBelow())
          return;
        alloc.emitError() << "buffer " << alloc.getId() << " has no place; run 'tenon-plan-assign-offsets'";
        hasPlaces = false;
      });
      if (!hasPlaces)
        return signalPassFailure();
      FuncWriter(func, symbols, builder).run(functions);
    }
    rt::ImageOp::create(builder, module.getLoc(), builder.getArrayAttr(functions));
  }
};
} // namespace
