//===- PlanBlocks.cpp - which values of a block share memory --------------===//
// Values that may share one buffer form a class. Classes grow by merging, and two merge when no member of one is still
// needed when a member of the other is written. Regions are planned first: whether a carry or a capture can be updated in
// place decides whether the op's result may share its buffer.
#include "PlanBlocks.h"

using namespace mlir;
using namespace tenon;

namespace {
class BlockPlanner {
public:
  BlockPlanner(SymbolTable &symbols) : symbols(symbols), plan(std::make_unique<BlockPlan>()) {}

  FailureOr<std::unique_ptr<BlockPlan>> planEntryBlock(Block &block, const EntryShape &shape);

private:
  SymbolTable &symbols;
  std::unique_ptr<BlockPlan> plan;
  int end = 0;

  int track(Value value, int def, Home home, unsigned index = 0) {
    int id = plan->values.size();
    plan->values.push_back({value, static_cast<int>(plan->classes.size()), def, def});
    plan->classes.push_back({home, index, {id}});
    plan->indexOf[value] = id;
    return id;
  }
  void use(Value value, int number) {
    int &last = plan->get(value).last;
    last = std::max(last, number);
  }
  LogicalResult begin(Block &block);
  LogicalResult collect(Block &block);
  LogicalResult planLoopBody(Block &block, unsigned carryCount);
  LogicalResult planScan(graph::ScanOp scan);
  LogicalResult planWhile(graph::WhileOp loop);
  LogicalResult planCond(graph::CondOp cond);
  enum class TakeOver { No, Possible, Wanted };
  TakeOver canTakeOver(Block &block, unsigned capture, unsigned result);
  void takeOver(Block &block, unsigned capture, unsigned result);
  void endBranch(Block &block);
  bool mayAlias(Operation *op, Value operandRoot, Value result) const;
  bool canMerge(int a, int b) const;
  bool tryMerge(int a, int b);
  void mergeOperandsWithResults();
  bool isProduced(Value value) const { return plan->isProduced(value); }
  std::string whyNotInPlace(unsigned argument, Value old, Value updated);
};
} // namespace

/// Numbers the ops, finds the roots of views, and records where every root is made and last read.
LogicalResult BlockPlanner::collect(Block &block) {
  bool ok = true;
  plan->ops.push_back(nullptr);
  for (Operation &op : block) {
    int number = plan->ops.size();
    plan->ops.push_back(&op);
    plan->numbers[&op] = number;
    if (isa<graph::ReshapeOp, graph::AssertDimOp>(op)) {
      plan->roots[op.getResult(0)] = plan->root(op.getOperand(0));
    } else if (isa<graph::ConstantOp, graph::UseWeightOp>(op)) {
      track(op.getResult(0), 0, Home::ReadOnly);
    } else if (isa<graph::SizeOp>(op)) {
      track(op.getResult(0), number, Home::Arena);
    } else if (auto call = dyn_cast<kernel::CallOp>(op)) {
      for (Value input : call.getInputs())
        use(input, number);
      for (Value result : call.getResults())
        track(result, number, Home::Arena);
    } else if (auto define = dyn_cast<graph::DefineSizeOp>(op)) {
      use(define.getValue(), number);
    } else if (graph::isControlFlow(&op)) {
      LogicalResult planned = isa<graph::ScanOp>(op)    ? planScan(cast<graph::ScanOp>(op))
                              : isa<graph::WhileOp>(op) ? planWhile(cast<graph::WhileOp>(op))
                                                        : planCond(cast<graph::CondOp>(op));
      if (failed(planned)) {
        ok = false;
        continue;
      }
      for (Value operand : op.getOperands())
        use(operand, number);
      for (Value result : op.getResults())
        if (!plan->roots.contains(result))
          track(result, number, Home::Arena);
    } else if (!op.hasTrait<OpTrait::IsTerminator>()) {
      op.emitError() << "'" << op.getName() << "' is outside of a kernel but must be inside one";
      ok = false;
    }
    // After an error the results still need entries, for the ops that follow.
    if (!ok)
      for (Value result : op.getResults())
        if (!plan->indexOf.contains(plan->root(result)))
          track(result, number, Home::Arena);
  }
  end = plan->ops.size();
  return success(ok);
}

/// True when `op` may write `result` over its operand `root`: allowed, same size, and the operand is read as nothing
/// else.
bool BlockPlanner::mayAlias(Operation *op, Value root, Value result) const {
  unsigned index = cast<OpResult>(result).getResultNumber();
  int position = -1;
  for (auto [i, operand] : llvm::enumerate(op->getOperands())) {
    if (plan->root(operand) != root)
      continue;
    if (position >= 0)
      return false;
    position = i;
  }
  if (position < 0 || plan::byteSize(root.getType()) != plan::byteSize(result.getType()))
    return false;
  if (auto call = dyn_cast<kernel::CallOp>(op)) {
    auto callee = symbols.lookup<kernel::FuncOp>(call.getCallee());
    auto allowed = callee.getArgAttrOfType<IntegerAttr>(position, "kernel.may_alias");
    return allowed && allowed.getInt() == index && !callee.getLayout(position);
  }
  auto it = plan->takesOver.find(op);
  return it != plan->takesOver.end() && it->second[index] == position;
}

bool BlockPlanner::canMerge(int a, int b) const {
  const BlockPlan::Class &x = plan->classes[a], &y = plan->classes[b];
  if (a == b || x.home == Home::ReadOnly || y.home == Home::ReadOnly)
    return false;
  if (x.home != Home::Arena && y.home != Home::Arena)
    return false;
  for (int i : x.members)
    for (int j : y.members) {
      const BlockPlan::Tracked *first = &plan->values[i], *second = &plan->values[j];
      if (first->def > second->def)
        std::swap(first, second);
      if (first->last < second->def)
        continue;
      if (first->last > second->def || first->def == second->def ||
          !mayAlias(plan->ops[second->def], first->value, second->value))
        return false;
    }
  // One buffer, one size.
  return plan::byteSize(plan->values[x.members[0]].value.getType()) ==
         plan::byteSize(plan->values[y.members[0]].value.getType());
}

bool BlockPlanner::tryMerge(int a, int b) {
  if (!canMerge(a, b))
    return false;
  BlockPlan::Class &into = plan->classes[a], &from = plan->classes[b];
  if (into.home == Home::Arena) {
    into.home = from.home;
    into.index = from.index;
  }
  for (int member : from.members) {
    plan->values[member].cls = a;
    into.members.push_back(member);
  }
  from.members.clear();
  return true;
}

void BlockPlanner::mergeOperandsWithResults() {
  for (Operation *op : ArrayRef(plan->ops).drop_front()) {
    if (!isa<kernel::CallOp>(op) && !graph::isControlFlow(op))
      continue;
    for (Value result : op->getResults())
      for (Value operand : op->getOperands()) {
        Value root = plan->root(operand);
        if (plan->root(result) == result && mayAlias(op, root, result) &&
            tryMerge(plan->get(root).cls, plan->get(result).cls))
          ++plan->reused;
      }
  }
}

std::string BlockPlanner::whyNotInPlace(unsigned argument, Value old, Value updated) {
  const BlockPlan::Tracked &before = plan->get(old), &after = plan->get(updated);
  if (before.last > after.def) {
    Operation *reader = plan->ops[before.last];
    std::string text = "the old value is read later, by '" + reader->getName().getStringRef().str() + "'";
    if (auto call = dyn_cast<kernel::CallOp>(reader))
      text += " of @" + call.getCallee().str();
    return text;
  }
  Operation *writer = plan->ops[after.def];
  if (auto call = dyn_cast<kernel::CallOp>(writer))
    return "kernel @" + call.getCallee().str() + " may not write its result over this operand";
  return "the body of '" + writer->getName().getStringRef().str() + "' cannot update the carried value in place";
}

FailureOr<std::unique_ptr<BlockPlan>> BlockPlanner::planEntryBlock(Block &block, const EntryShape &shape) {
  for (auto [argument, slot] : llvm::zip(block.getArguments(), shape.arguments))
    track(argument, 0, slot.isState ? Home::State : Home::ReadOnly, argument.getArgNumber());
  if (failed(collect(block)))
    return failure();
  // What arguments and constants hold is copied to results before any work, so that it does not outlive its buffer.
  auto returned = cast<func::ReturnOp>(block.getTerminator()).getOperands();
  for (Value value : returned)
    if (isProduced(value))
      use(value, end);

  // Variables first: their copies are the expensive ones.
  for (auto [argument, slot] : llvm::zip(block.getArguments(), shape.arguments)) {
    if (!slot.isState)
      continue;
    unsigned number = argument.getArgNumber();
    std::string reason;
    if (auto it = shape.stateResult.find(number); it != shape.stateResult.end()) {
      Value updated = plan->root(returned[it->second]);
      if (updated == argument)
        ; // not updated
      else if (!isProduced(updated))
        reason = "the new value is an argument or a constant";
      else if (plan->classOf(updated).home != Home::Arena)
        reason = "the new value is also that of another variable";
      else if (tryMerge(plan->get(argument).cls, plan->get(updated).cls))
        continue;
      else
        reason = whyNotInPlace(number, argument, updated);
    }
    // Nothing else may be kept in the variable's memory.
    plan->get(argument).last = BlockPlan::kForever;
    if (!reason.empty())
      plan->copiedBecause[number] = reason;
  }
  for (auto [value, slot] : llvm::zip(returned, shape.results)) {
    BlockPlan::Class &cls = plan->classOf(value);
    if (!slot.isState && isProduced(value) && cls.home == Home::Arena) {
      cls.home = Home::Output;
      cls.index = slot.index;
    }
  }
  mergeOperandsWithResults();
  return std::move(plan);
}

/// Starts the plan of a region: arguments have given places, and what is yielded lives to the end.
LogicalResult BlockPlanner::begin(Block &block) {
  for (BlockArgument argument : block.getArguments())
    track(argument, 0, Home::ReadOnly);
  if (failed(collect(block)))
    return failure();
  for (Value value : block.getTerminator()->getOperands())
    use(value, end);
  return success();
}

LogicalResult BlockPlanner::planLoopBody(Block &block, unsigned carryCount) {
  if (failed(begin(block)))
    return failure();
  auto yielded = cast<graph::YieldOp>(block.getTerminator()).getValues();
  for (auto [j, value] : llvm::enumerate(yielded.drop_front(carryCount))) {
    BlockPlan::Class &cls = plan->classOf(value);
    if (isProduced(value) && cls.home == Home::Arena) {
      cls.home = Home::Stack;
      cls.index = j;
    }
  }
  // Home of a carried argument that is not updated in place: somewhere that may not be written.
  for (unsigned c = 0; c < carryCount; ++c) {
    Value old = block.getArgument(c), next = plan->root(yielded[c]);
    BlockPlan::Class &cls = plan->classOf(next);
    CarryPlan carry{CarryPlan::PingPongCopy};
    if (next == old) {
      carry.kind = CarryPlan::Unchanged;
    } else if (isProduced(next) && cls.home == Home::Stack) {
      carry = {CarryPlan::ViaStack, cls.index};
    } else if (isProduced(next) && cls.home == Home::Arena) {
      BlockPlan::Class &oldClass = plan->classOf(old);
      oldClass.home = Home::InPlace;
      oldClass.index = c;
      if (tryMerge(plan->get(old).cls, plan->get(next).cls)) {
        carry.kind = CarryPlan::InPlace;
      } else {
        oldClass.home = Home::ReadOnly;
        carry.kind = CarryPlan::PingPong;
        cls.home = Home::PingPong;
        cls.index = c;
      }
    }
    plan->carries.push_back(carry);
  }
  mergeOperandsWithResults();
  return success();
}

LogicalResult BlockPlanner::planScan(graph::ScanOp scan) {
  if (scan.getXs().empty() && scan.getResults().size() == scan.getCarry().size())
    return scan.emitError("'graph.scan' without xs and stacked results has no length");
  BlockPlanner body(symbols);
  if (failed(body.planLoopBody(scan.getBody().front(), scan.getCarry().size())))
    return failure();
  SmallVector<int> &takesOver = plan->takesOver[scan];
  takesOver.assign(scan.getNumResults(), -1);
  for (auto [i, carry] : llvm::enumerate(body.plan->carries)) {
    if (carry.kind == CarryPlan::Unchanged)
      plan->roots[scan.getResult(i)] = plan->root(scan.getCarry()[i]);
    if (carry.kind == CarryPlan::InPlace)
      takesOver[i] = i;
  }
  plan->bodies[&scan.getBody().front()] = std::move(body.plan);
  return success();
}

LogicalResult BlockPlanner::planWhile(graph::WhileOp loop) {
  BlockPlanner condition(symbols), body(symbols);
  if (failed(condition.begin(loop.getCondition().front())) ||
      failed(body.planLoopBody(loop.getBody().front(), loop.getCarry().size())))
    return failure();
  condition.mergeOperandsWithResults();
  SmallVector<int> &takesOver = plan->takesOver[loop];
  takesOver.assign(loop.getNumResults(), -1);
  // One of two buffers that alternate may be the first value's: it is written when the second step is done with it.
  for (auto [i, carry] : llvm::enumerate(body.plan->carries)) {
    if (carry.kind == CarryPlan::Unchanged)
      plan->roots[loop.getResult(i)] = plan->root(loop.getCarry()[i]);
    else
      takesOver[i] = i;
  }
  plan->bodies[&loop.getCondition().front()] = std::move(condition.plan);
  plan->bodies[&loop.getBody().front()] = std::move(body.plan);
  return success();
}

/// Whether a branch can give `result` in the buffer of `capture`; wanted, where that saves a copy.
BlockPlanner::TakeOver BlockPlanner::canTakeOver(Block &block, unsigned capture, unsigned result) {
  Value old = block.getArgument(capture), next = plan->root(block.getTerminator()->getOperand(result));
  if (next == old)
    return TakeOver::Wanted;
  BlockPlan::Class &oldClass = plan->classOf(old);
  if (!isProduced(next) || plan->classOf(next).home != Home::Arena || oldClass.home != Home::ReadOnly)
    return TakeOver::No;
  oldClass.home = Home::InPlace;
  bool fits = canMerge(plan->get(old).cls, plan->get(next).cls);
  oldClass.home = Home::ReadOnly;
  if (!fits)
    return TakeOver::No;
  return plan->get(old).last == plan->get(next).def ? TakeOver::Wanted : TakeOver::Possible;
}

void BlockPlanner::takeOver(Block &block, unsigned capture, unsigned result) {
  Value old = block.getArgument(capture), next = plan->root(block.getTerminator()->getOperand(result));
  if (next == old)
    return;
  BlockPlan::Class &oldClass = plan->classOf(old);
  oldClass.home = Home::InPlace;
  oldClass.index = result;
  tryMerge(plan->get(old).cls, plan->get(next).cls);
}

/// What the branch makes is made in the results' buffers.
void BlockPlanner::endBranch(Block &block) {
  for (auto [j, value] : llvm::enumerate(block.getTerminator()->getOperands())) {
    BlockPlan::Class &cls = plan->classOf(value);
    if (isProduced(value) && cls.home == Home::Arena) {
      cls.home = Home::Result;
      cls.index = j;
    }
  }
  mergeOperandsWithResults();
}

LogicalResult BlockPlanner::planCond(graph::CondOp cond) {
  BlockPlanner yes(symbols), no(symbols);
  Block &yesBlock = cond.getThenBody().front(), &noBlock = cond.getElseBody().front();
  if (failed(yes.begin(yesBlock)) || failed(no.begin(noBlock)))
    return failure();
  SmallVector<int> &takesOver = plan->takesOver[cond];
  takesOver.assign(cond.getNumResults(), -1);
  llvm::BitVector isTaken(cond.getCaptures().size());
  for (TakeOver least : {TakeOver::Wanted, TakeOver::Possible})
    for (OpResult result : cond->getResults()) {
      unsigned j = result.getResultNumber();
      for (auto [k, capture] : llvm::enumerate(cond.getCaptures())) {
        if (takesOver[j] >= 0 || isTaken.test(k) ||
            plan::byteSize(capture.getType()) != plan::byteSize(result.getType()))
          continue;
        TakeOver a = yes.canTakeOver(yesBlock, k, j), b = no.canTakeOver(noBlock, k, j);
        if (a == TakeOver::No || b == TakeOver::No || std::max(a, b) < least)
          continue;
        yes.takeOver(yesBlock, k, j);
        no.takeOver(noBlock, k, j);
        takesOver[j] = k + 1; // the predicate is operand 0
        isTaken.set(k);
      }
    }
  yes.endBranch(yesBlock);
  no.endBranch(noBlock);
  plan->bodies[&yesBlock] = std::move(yes.plan);
  plan->bodies[&noBlock] = std::move(no.plan);
  return success();
}

FailureOr<std::unique_ptr<BlockPlan>> tenon::planEntry(func::FuncOp func, const EntryShape &shape,
                                                       SymbolTable &symbols) {
  return BlockPlanner(symbols).planEntryBlock(func.getBody().front(), shape);
}
