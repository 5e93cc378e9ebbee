//===- Lifetimes.cpp - when the buffers of a plan live --------------------===//
#include "dialects/Plan/Transforms/Lifetimes.h"

using namespace mlir;
using namespace tenon::plan;

void tenon::plan::addRoots(Value buffer, SmallVectorImpl<Value> &roots) {
  Operation *op = buffer.getDefiningOp();
  if (auto view = dyn_cast<ViewOp>(op))
    return addRoots(view.getBuffer(), roots);
  if (auto choose = dyn_cast<ChooseOp>(op)) {
    addRoots(choose.getZero(), roots);
    return addRoots(choose.getOther(), roots);
  }
  roots.push_back(buffer);
}

bool tenon::plan::isSameRoot(Value a, Value b) {
  Operation *x = a.getDefiningOp(), *y = b.getDefiningOp();
  return x == y ||
         (x->getName() == y->getName() && !isa<AllocOp>(x) && x->getAttrDictionary() == y->getAttrDictionary());
}

SmallVector<Lifetime> tenon::plan::computeLifetimes(FuncOp func) {
  // Events: the number of an op, and of the last op inside it.
  DenseMap<Operation *, std::pair<int64_t, int64_t>> events;
  int64_t next = 0;
  auto number = [&](auto &self, Block &block) -> void {
    for (Operation &op : block) {
      int64_t first = next++;
      for (Region &region : op.getRegions())
        for (Block &inner : region)
          self(self, inner);
      events[&op] = {first, next - 1};
    }
  };
  number(number, func.getBody().front());

  SmallVector<Lifetime> lifetimes;
  func.walk<WalkOrder::PreOrder>([&](AllocOp alloc) {
    Lifetime lifetime{alloc, std::numeric_limits<int64_t>::max(), -1};
    SmallVector<Value> work{alloc.getResult()};
    while (!work.empty()) {
      for (Operation *user : work.pop_back_val().getUsers()) {
        if (isa<ViewOp, ChooseOp>(user)) {
          work.push_back(user->getResult(0));
          continue;
        }
        // A use inside a loop that the buffer was made outside of lasts for the whole loop.
        auto [first, last] = events.lookup(alloc->getBlock()->findAncestorOpInBlock(*user));
        lifetime.first = std::min(lifetime.first, first);
        lifetime.last = std::max(lifetime.last, last);
      }
    }
    lifetimes.push_back(lifetime);
  });
  return lifetimes;
}
