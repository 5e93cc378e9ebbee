//===- PlanBlocks.cpp - which values of a block share memory --------------===//
// Values that may share one buffer form a class. Classes grow by merging, and two merge when no member of one is still
// needed when a member of the other is written. Scan bodies are planned first: whether a carry can be updated in place
// decides whether the scan's result may share the initial value's buffer.
#include "PlanBlocks.h"

using namespace mlir;
using namespace tenon;

namespace {
class BlockPlanner {
public:
  BlockPlanner(SymbolTable &symbols) : symbols(symbols), plan(std::make_unique<BlockPlan>()) {}

  FailureOr<std::unique_ptr<BlockPlan>> planEntryBlock(Block &block, const EntryShape &shape);
  FailureOr<std::unique_ptr<BlockPlan>> planScanBody(graph::ScanOp scan);

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
  LogicalResult collect(Block &block);
  bool mayAlias(Operation *op, Value operandRoot, Value result) const;
  bool canMerge(int a, int b) const;
  bool tryMerge(int a, int b);
  void mergeOperandsWithResults();
  bool isProduced(Value value) { return plan->get(value).def > 0; }
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
    } else if (auto scan = dyn_cast<graph::ScanOp>(op)) {
      if (scan.getXs().empty() && scan.getResults().size() == scan.getCarry().size()) {
        op.emitError("'graph.scan' without xs and stacked results has no length");
        ok = false;
        continue;
      }
      FailureOr<std::unique_ptr<BlockPlan>> body = BlockPlanner(symbols).planScanBody(scan);
      if (failed(body)) {
        ok = false;
        continue;
      }
      for (Value operand : scan->getOperands())
        use(operand, number);
      for (auto [i, result] : llvm::enumerate(scan.getResults()))
        if (i < (*body)->carries.size() && (*body)->carries[i].kind == CarryPlan::Unchanged)
          plan->roots[result] = plan->root(scan.getCarry()[i]);
        else
          track(result, number, Home::Arena);
      plan->bodies[&op] = std::move(*body);
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
  if (isa<graph::ScanOp>(op)) {
    const BlockPlan &body = *plan->bodies.find(op)->second;
    return static_cast<unsigned>(position) == index && index < body.carries.size() &&
           body.carries[index].kind == CarryPlan::InPlace;
  }
  return false;
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
    if (!isa<kernel::CallOp, graph::ScanOp>(op))
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

FailureOr<std::unique_ptr<BlockPlan>> BlockPlanner::planScanBody(graph::ScanOp scan) {
  Block &block = scan.getBody().front();
  unsigned carryCount = scan.getCarry().size();
  for (BlockArgument argument : block.getArguments())
    track(argument, 0, Home::ReadOnly);
  if (failed(collect(block)))
    return failure();
  auto yielded = cast<graph::YieldOp>(block.getTerminator()).getValues();
  for (Value value : yielded)
    use(value, end);
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
  return std::move(plan);
}

FailureOr<std::unique_ptr<BlockPlan>> tenon::planEntry(func::FuncOp func, const EntryShape &shape,
                                                       SymbolTable &symbols) {
  return BlockPlanner(symbols).planEntryBlock(func.getBody().front(), shape);
}
