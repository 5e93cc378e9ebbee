//===- AssignOffsets.cpp - gives every buffer of the arena its place ------===//
#include "dialects/Plan/Transforms/Lifetimes.h"
#include "dialects/Plan/Transforms/Passes.h"
#include "llvm/ADT/BitVector.h"

namespace tenon::plan {
#define GEN_PASS_DEF_ASSIGNOFFSETSPASS
#include "dialects/Plan/Transforms/Passes.h.inc"
} // namespace tenon::plan

using namespace mlir;
using namespace tenon;
using namespace tenon::plan;

namespace {
/// A buffer to place: its aligned size (at the sample, when sizes are symbolic) and when it lives.
struct Item {
  int64_t bytes;
  int64_t first, last;
  bool overlaps(const Item &other) const { return first <= other.last && other.first <= last; }
  bool lives() const { return first <= last; }
};

struct Packing {
  SmallVector<int64_t> offsets;
  int64_t bytes = std::numeric_limits<int64_t>::max();
};
} // namespace

/// Places items in the given order, each into the smallest gap that holds it between those that live with it.
static Packing packInOrder(ArrayRef<Item> items, ArrayRef<unsigned> order) {
  Packing packing;
  packing.offsets.assign(items.size(), 0);
  packing.bytes = 0;
  SmallVector<unsigned> placed; // by offset
  for (unsigned i : order) {
    const Item &item = items[i];
    int64_t end = 0, best = -1, bestGap = std::numeric_limits<int64_t>::max();
    for (unsigned p : placed) {
      if (!items[p].overlaps(item))
        continue;
      int64_t gap = packing.offsets[p] - end;
      if (gap >= item.bytes && gap < bestGap) {
        best = end;
        bestGap = gap;
      }
      end = std::max(end, packing.offsets[p] + items[p].bytes);
    }
    int64_t offset = best >= 0 ? best : end;
    packing.offsets[i] = offset;
    packing.bytes = std::max(packing.bytes, offset + item.bytes);
    auto at = llvm::upper_bound(placed, offset, [&](int64_t o, unsigned p) { return o < packing.offsets[p]; });
    placed.insert(at, i);
  }
  return packing;
}

/// Most bytes that live at once.
static int64_t maxLive(ArrayRef<Item> items) {
  SmallVector<std::pair<int64_t, int64_t>> changes;
  for (const Item &item : items)
    if (item.lives()) {
      changes.emplace_back(item.first, item.bytes);
      changes.emplace_back(item.last + 1, -item.bytes);
    }
  llvm::sort(changes); // at equal events the frees (negative) come first
  int64_t live = 0, most = 0;
  for (auto [event, change] : changes)
    most = std::max(most, live += change);
  return most;
}

/// The best of several greedy orders; stops at the first that reaches the lower bound.
static Packing pack(ArrayRef<Item> items, int64_t lowerBound) {
  auto length = [&](unsigned i) { return items[i].last - items[i].first; };
  auto area = [&](unsigned i) { return static_cast<double>(items[i].bytes) * (length(i) + 1); };
  using Less = std::function<bool(unsigned, unsigned)>;
  const Less orders[] = {
      [&](unsigned a, unsigned b) { return items[a].bytes > items[b].bytes; },
      [&](unsigned a, unsigned b) { return area(a) > area(b); },
      [&](unsigned a, unsigned b) { return length(a) > length(b); },
      [&](unsigned a, unsigned b) { return items[a].first < items[b].first; },
      [&](unsigned a, unsigned b) { return items[a].last > items[b].last; },
  };
  SmallVector<unsigned> all;
  for (auto [i, item] : llvm::enumerate(items))
    if (item.lives())
      all.push_back(i);
  Packing best;
  for (const Less &less : orders) {
    SmallVector<unsigned> order = all;
    std::stable_sort(order.begin(), order.end(), less);
    Packing packing = packInOrder(items, order);
    if (packing.bytes < best.bytes)
      best = packing;
    if (best.bytes <= lowerBound)
      break;
  }
  return best;
}

/// Sizes at which symbolic buffers are compared: each symbol at its maximum, but not beyond what real calls use.
static SmallVector<int64_t> sampleSymbols(FuncOp func) {
  constexpr int64_t kTypical = 1024;
  SmallVector<int64_t> values;
  for (auto [min, max] : symbolRanges(func))
    values.push_back(std::clamp(std::min(max, kTypical), std::max<int64_t>(min, 1), std::max<int64_t>(max, 1)));
  return values;
}

int64_t tenon::plan::assignOffsets(FuncOp func, int64_t *liveBytes) {
  SmallVector<Lifetime> lifetimes = computeLifetimes(func);
  bool isStatic = llvm::all_of(lifetimes, [](Lifetime &l) { return l.alloc.getBytes().getConstant().has_value(); });
  SmallVector<int64_t> sample = sampleSymbols(func);
  SmallVector<Item> items;
  for (Lifetime &l : lifetimes) {
    int64_t bytes = graph::evaluate(l.alloc.getBytes().getValue(), sample).value_or(int64_t(1) << 32);
    bytes = llvm::alignTo(std::clamp<int64_t>(bytes, isStatic ? 0 : 1, int64_t(1) << 48), kBufferAlign);
    items.push_back({bytes, l.first, l.last});
  }
  int64_t lowerBound = maxLive(items);
  if (liveBytes)
    *liveBytes = lowerBound;
  Packing packing = pack(items, lowerBound);
  if (packing.offsets.empty())
    packing.bytes = 0;
  Builder builder(func.getContext());
  if (isStatic) {
    for (auto [l, offset] : llvm::zip(lifetimes, packing.offsets)) {
      l.alloc.setOffset(offset);
      l.alloc.removeBelowAttr();
    }
    return packing.bytes;
  }

  // Symbolic: keep of the packing at the sample only who lies below whom; those sets hold at any sizes. An edge that
  // follows from others is left out.
  SmallVector<unsigned> byOffset;
  for (unsigned i = 0; i < items.size(); ++i)
    byOffset.push_back(i);
  std::stable_sort(byOffset.begin(), byOffset.end(),
                   [&](unsigned a, unsigned b) { return packing.offsets[a] < packing.offsets[b]; });
  std::vector<llvm::BitVector> reach(items.size(), llvm::BitVector(items.size()));
  for (auto [rank, i] : llvm::enumerate(byOffset)) {
    SmallVector<int64_t> below;
    if (items[i].lives())
      for (size_t r = rank; r-- > 0;) {
        unsigned p = byOffset[r];
        if (!items[p].lives() || !items[p].overlaps(items[i]) || reach[i].test(p))
          continue;
        below.push_back(lifetimes[p].alloc.getId());
        reach[i].set(p);
        reach[i] |= reach[p];
      }
    llvm::sort(below);
    lifetimes[i].alloc.setBelow(below);
    lifetimes[i].alloc.removeOffsetAttr();
  }
  return -1;
}

namespace {
struct AssignOffsetsPass final : tenon::plan::impl::AssignOffsetsPassBase<AssignOffsetsPass> {
  void runOnOperation() override {
    for (auto func : getOperation().getOps<FuncOp>()) {
      int64_t live = 0;
      int64_t bytes = assignOffsets(func, &live);
      buffers += std::distance(func.getBody().getOps<AllocOp>().begin(), func.getBody().getOps<AllocOp>().end());
      if (bytes >= 0) {
        arenaBytes += bytes;
        liveBytes += live;
      }
    }
  }
};
} // namespace
