//===- GroupCalls.cpp - siblings that run at the same time ----------------===//
// Kernels that read the same value (the projections of an attention, a gate beside what it gates, a shortcut beside a
// block) become one run on the threads: one wait instead of several, and no thread idles while a small one ends.
#include "dialects/Plan/Transforms/Lifetimes.h"
#include "dialects/Plan/Transforms/Passes.h"

namespace tenon::plan {
#define GEN_PASS_DEF_GROUPCALLSPASS
#include "dialects/Plan/Transforms/Passes.h.inc"
} // namespace tenon::plan

using namespace mlir;
using namespace tenon;
using namespace tenon::plan;

/// How many other steps a call may be moved over, and how many calls run together.
static constexpr unsigned kMostBetween = 8, kMostTogether = 8;

namespace {
/// What a step reads and writes, by root buffers.
struct Accesses {
  SmallVector<Value, 8> reads, writes;
  explicit Accesses(Operation *op) {
    if (auto call = dyn_cast<CallOp>(op)) {
      for (Value value : call.getInputs())
        addRoots(value, reads);
      for (Value value : call.getOutputs())
        addRoots(value, writes);
      if (call.getScratch())
        addRoots(call.getScratch(), writes);
    } else if (auto copy = dyn_cast<CopyOp>(op)) {
      addRoots(copy.getSource(), reads);
      addRoots(copy.getDest(), writes);
    } else if (auto store = dyn_cast<StoreSizesOp>(op)) {
      addRoots(store.getDest(), writes);
    }
  }
  bool isIndependentOf(const Accesses &other) const {
    return areApart(writes, other.writes) && areApart(writes, other.reads) && areApart(reads, other.writes);
  }

private:
  static bool areApart(ArrayRef<Value> a, ArrayRef<Value> b) {
    return llvm::none_of(a, [&](Value x) { return llvm::any_of(b, [&](Value y) { return isSameRoot(x, y); }); });
  }
};
} // namespace

static bool areSiblings(CallOp a, CallOp b) {
  auto isData = [](Value buffer) {
    SmallVector<Value, 8> roots;
    addRoots(buffer, roots);
    return llvm::none_of(roots, [](Value root) { return isa<WeightOp>(root.getDefiningOp()); });
  };
  return llvm::any_of(a.getInputs(), [&](Value x) {
    return isData(x) && llvm::any_of(b.getInputs(), [&](Value y) { return x == y || isSameRoot(x, y); });
  });
}

/// Whether threads are worth waking for all of them together.
static bool isWorthWaking(ArrayRef<CallOp> calls) {
  int64_t sum = 0;
  for (CallOp call : calls) {
    std::optional<int64_t> work = call.getWork() ? call.getWork()->getConstant() : std::nullopt;
    if (!work)
      return true; // each run decides
    sum += *work;
  }
  return sum >= kParallelWork;
}

/// Brings what `op` names, and is made behind `place` in its block, before it. All of it is pure, or declares memory.
static void hoistOperands(Operation *op, Operation *place) {
  for (Value operand : op->getOperands()) {
    Operation *def = operand.getDefiningOp();
    if (def->getBlock() != place->getBlock() || def->isBeforeInBlock(place))
      continue;
    hoistOperands(def, place);
    def->moveBefore(place);
  }
}

static void groupFrom(CallOp first) {
  if (!first.canRunHere()) // a small group need not wake others
    return;
  SmallVector<CallOp> group{first};
  SmallVector<Accesses> grouped{Accesses(first)}, between;
  for (Operation *op = first->getNextNode(); op; op = op->getNextNode()) {
    if (isa<InputOp, OutputOp, StateOp, WeightOp, AllocOp, ViewOp, ChooseOp>(op))
      continue;
    if (!isa<CallOp, CopyOp, StoreSizesOp>(op) || between.size() == kMostBetween || group.size() == kMostTogether)
      break;
    Accesses accesses(op);
    auto isApart = [&](const Accesses &other) { return accesses.isIndependentOf(other); };
    auto call = dyn_cast<CallOp>(op);
    if (call && call.canRunHere() && areSiblings(first, call) && llvm::all_of(grouped, isApart) &&
        llvm::all_of(between, isApart)) {
      group.push_back(call);
      grouped.push_back(std::move(accesses));
    } else {
      between.push_back(std::move(accesses));
    }
  }
  if (group.size() < 2 || !isWorthWaking(group))
    return;
  for (CallOp call : group)
    hoistOperands(call, first);
  OpBuilder builder(first);
  auto together = TogetherOp::create(builder, first.getLoc());
  Block *body = builder.createBlock(&together.getBody());
  for (CallOp call : group)
    call->moveBefore(body, body->end());
}

void tenon::plan::groupCalls(FuncOp func) {
  SmallVector<CallOp> calls;
  func.walk([&](CallOp call) { calls.push_back(call); });
  for (CallOp call : calls)
    if (!isa<TogetherOp>(call->getParentOp()))
      groupFrom(call);
}

namespace {
struct GroupCallsPass final : tenon::plan::impl::GroupCallsPassBase<GroupCallsPass> {
  void runOnOperation() override {
    for (auto func : getOperation().getOps<FuncOp>())
      groupCalls(func);
  }
};
} // namespace
