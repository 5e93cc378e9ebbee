//===- Clusters.cpp - which ops run together ------------------------------===//
#include "Clusters.h"
#include "PrepareOperands.h"
#include "tenon/Target/CPU/LayoutChoice.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::graph;

/// Ops that a kernel evaluates point by point, where its result is needed.
static bool isPointwise(Operation *op) {
  return isa<MapOp, PadOp, ConcatOp, InsertSliceOp, GatherOp, PermuteOp, BroadcastOp, SliceOp, ReverseOp>(op);
}

/// Ops that no kernel computes: they decide what runs, or say how large something is.
static bool staysAtEntry(Operation *op) { return isControlFlow(op) || isa<AssertDimOp, DefineSizeOp>(op); }

/// Whether the value leaves the block, or enters a loop, as it is or reshaped: it then needs a buffer.
static bool needsBuffer(Value value) {
  return llvm::any_of(value.getUsers(), [](Operation *user) {
    if (isa<ReshapeOp>(user))
      return needsBuffer(user->getResult(0));
    return user->hasTrait<OpTrait::IsTerminator>() || staysAtEntry(user);
  });
}

SizeDefinitions::SizeDefinitions(Block &block) {
  llvm::SmallDenseMap<unsigned, Operation *> definitions;
  for (Operation &op : block)
    op.walk([&](DefineSizeOp define) { definitions.try_emplace(define.getSymbol(), &op); });
  if (definitions.empty())
    return;
  for (Operation &op : block)
    forEachSymbol(&op, [&](unsigned symbol) {
      Operation *define = definitions.lookup(symbol);
      if (define && define != &op && !llvm::is_contained(needed[&op], define))
        needed[&op].push_back(define);
    });
}

bool tenon::isInlined(Operation *op) {
  if (isa<UseWeightOp, SizeOp, ReshapeOp, ConstantOp>(op))
    return true;
  // Movement that is only an address is free wherever it is read.
  return isa<PermuteOp, BroadcastOp, SliceOp, ReverseOp>(op) && !op->hasAttr(kMaterialize) &&
         !needsBuffer(op->getResult(0));
}

Cluster *Clustering::create(ClusterKind kind, Operation *op) {
  clusters.push_back(std::make_unique<Cluster>());
  Cluster *cluster = clusters.back().get();
  cluster->kind = kind;
  cluster->ops.push_back(op);
  owner[op] = cluster;
  return cluster;
}

void Clustering::producers(Operation *op, SmallPtrSetImpl<Cluster *> &result) {
  SmallVector<Operation *> work{op};
  llvm::SmallPtrSet<Operation *, 16> seen;
  auto visit = [&](Operation *def) {
    if (!def || !seen.insert(def).second)
      return;
    if (Cluster *cluster = clusterOf(def))
      result.insert(cluster);
    else
      work.push_back(def);
  };
  while (!work.empty()) {
    Operation *current = work.pop_back_val();
    for (Operation *define : sizes.of(current))
      visit(define);
    for (Value operand : current->getOperands())
      visit(operand.getDefiningOp());
  }
}

void Clustering::consumers(Value value, SmallVectorImpl<Operation *> &result) {
  SmallVector<Value> work{value};
  llvm::SmallPtrSet<Operation *, 16> seen;
  while (!work.empty()) {
    Value current = work.pop_back_val();
    for (Operation *user : current.getUsers()) {
      if (!seen.insert(user).second)
        continue;
      if (clusterOf(user) || user->hasTrait<OpTrait::IsTerminator>())
        result.push_back(user);
      else
        llvm::append_range(work, user->getResults());
    }
  }
}

/// Whether a path leads from `from` to `to`; with `exceptDirect`, one that passes through another cluster first.
bool Clustering::reaches(Cluster *from, Cluster *to, Cluster *exceptDirect) {
  llvm::SmallPtrSet<Cluster *, 32> seen;
  SmallVector<Cluster *> work;
  auto push = [&](Cluster *cluster, bool isFirst) {
    for (Operation *op : cluster->ops) {
      llvm::SmallPtrSet<Cluster *, 8> before;
      producers(op, before);
      for (Cluster *p : before) {
        if (p == cluster || (isFirst && p == exceptDirect))
          continue;
        if (seen.insert(p).second)
          work.push_back(p);
      }
    }
  };
  push(to, true);
  while (!work.empty()) {
    Cluster *cluster = work.pop_back_val();
    if (cluster == from)
      return true;
    push(cluster, false);
  }
  return false;
}

bool Clustering::canMerge(Cluster *a, Cluster *b) { return !reaches(a, b, a) && !reaches(b, a, b); }

void Clustering::merge(Cluster *a, Cluster *b) {
  for (Operation *op : b->ops)
    owner[op] = a;
  llvm::append_range(a->ops, b->ops);
  llvm::sort(a->ops, [&](Operation *x, Operation *y) { return order[x] < order[y]; });
  b->ops.clear();
}

//===----------------------------------------------------------------------===//
// Epilogues: maps and permutations that follow a root element by element
//===----------------------------------------------------------------------===//

void Clustering::growEpilogues() {
  for (size_t i = 0; i < clusters.size(); ++i) {
    Cluster *cluster = clusters[i].get();
    if (cluster->kind != ClusterKind::Root || cluster->ops.empty() || !cluster->root)
      continue;
    if (isa<SortOp, ScatterOp, NonzeroOp>(cluster->root)) // a scatter works in its result's buffer
      continue;
    Value current = cluster->root->getResult(0);
    while (true) {
      // The one op that reads the value, and what it reads it through.
      SmallVector<Operation *> users;
      consumers(current, users);
      if (users.size() != 1)
        break;
      Operation *user = users[0];
      Cluster *other = clusterOf(user);
      if (!other || other->kind != ClusterKind::Pointwise || other->ops.size() != 1 ||
          !isa<MapOp, PermuteOp>(user) || user->getNumResults() != 1)
        break;
      Dims sizes = getDims(cluster->root->getResult(0).getType());
      IndexSimplifier simplifier(sizes);
      Point point = identityPoint(sizes.size(), block.getParentOp()->getContext());
      auto isOnTheWay = [&](Operation *op) {
        return op == user || clusterOf(op) == cluster || (!clusterOf(op) && isInlined(op));
      };
      std::optional<Point> end =
          pushToResult(cluster->root->getResult(0), user->getResult(0), point, simplifier, isOnTheWay);
      if (!end || !canMerge(cluster, other))
        break;
      // Reading it a second time at another place (x and its transpose) is not an epilogue.
      auto map = dyn_cast<MapOp>(user);
      unsigned reads = 0;
      if (map)
        for (Value input : map.getInputs()) {
          Value source = input;
          while (Operation *def = source.getDefiningOp()) {
            if (clusterOf(def) || def->getNumOperands() != 1)
              break;
            source = def->getOperand(0);
          }
          reads += source == current;
        }
      if (map && reads != 1)
        break;
      merge(cluster, other);
      current = user->getResult(0);
    }
  }
}

//===----------------------------------------------------------------------===//
// Rows: reductions over the same dimensions, with the maps between them
//===----------------------------------------------------------------------===//

bool Clustering::fitsRows(Cluster *rows, Operation *op) {
  auto first = cast<ReduceOp>(rows->root);
  Dims full = getDims(first.getInput().getType());
  if (auto reduce = dyn_cast<ReduceOp>(op))
    return getDims(reduce.getInput().getType()) == full && reduce.getDims() == first.getDims();
  auto map = dyn_cast<MapOp>(op);
  if (!map)
    return false;
  Dims sizes = getDims(map.getResult(0).getType());
  Dims row = getDims(first.getType());
  return sizes == full || squeezed(sizes) == squeezed(row);
}

/// Whether every value of the cluster's reductions that `op` reads is read at the op's own row.
static bool readsItsOwnRow(Operation *op, ArrayRef<Operation *> cluster, ReduceOp first) {
  Dims full = getDims(first.getInput().getType());
  MLIRContext *context = op->getContext();
  IndexSimplifier simplifier(full);
  Point fullPoint = identityPoint(full.size(), context), rowPoint;
  Dims rowSizes;
  for (auto [i, index] : llvm::enumerate(fullPoint)) {
    if (asConstant(full[i]) == 1)
      index = getAffineConstantExpr(0, context);
    if (!llvm::is_contained(first.getDims(), static_cast<int64_t>(i))) {
      rowPoint.push_back(index);
      rowSizes.push_back(full[i]);
    }
  }
  // Where the op stands: at a full point or at a row.
  auto placeOf = [&](Type type) -> std::optional<Point> {
    Dims sizes = getDims(type);
    if (sizes == full)
      return fullPoint;
    if (squeezed(sizes) == squeezed(rowSizes))
      return reshapePoint(rowPoint, rowSizes, sizes, simplifier);
    return std::nullopt;
  };
  std::function<bool(Value, Point)> check = [&](Value value, Point point) -> bool {
    Operation *def = value.getDefiningOp();
    if (!def)
      return true;
    if (llvm::is_contained(cluster, def)) {
      std::optional<Point> place = placeOf(value.getType());
      if (!place)
        return false;
      for (auto [have, want] : llvm::zip(point, *place))
        if (simplifier.simplify(have) != simplifier.simplify(want))
          return false;
      return true;
    }
    if (auto moved = pullThrough(def, point, simplifier))
      return check(moved->first, moved->second);
    return true;
  };
  if (auto reduce = dyn_cast<ReduceOp>(op))
    return check(reduce.getInput(), fullPoint);
  auto map = cast<MapOp>(op);
  std::optional<Point> place = placeOf(map.getResult(0).getType());
  if (!place)
    return false;
  for (auto [i, input] : llvm::enumerate(map.getInputs()))
    if (!check(input, applyMap(map.getMap(i), *place)))
      return false;
  return true;
}

void Clustering::growRows() {
  for (size_t i = 0; i < clusters.size(); ++i) {
    Cluster *rows = clusters[i].get();
    if (rows->kind != ClusterKind::Rows || rows->ops.empty())
      continue;
    auto first = cast<ReduceOp>(rows->root);
    bool changed = true;
    while (changed) {
      changed = false;
      SmallVector<Operation *> candidates;
      for (Operation *op : rows->ops) {
        for (Value result : op->getResults())
          consumers(result, candidates);
        // Producers of full shape.
        llvm::SmallPtrSet<Cluster *, 8> before;
        producers(op, before);
        for (Cluster *p : before)
          if (p != rows && p->kind == ClusterKind::Pointwise)
            llvm::append_range(candidates, p->ops);
      }
      llvm::sort(candidates, [&](Operation *x, Operation *y) { return order.lookup(x) < order.lookup(y); });
      for (Operation *op : candidates) {
        Cluster *other = clusterOf(op);
        if (!other || other == rows || other->ops.size() != 1 ||
            (other->kind != ClusterKind::Pointwise && other->kind != ClusterKind::Rows) || !fitsRows(rows, op))
          continue;
        bool isProducer = false;
        for (Operation *member : rows->ops) {
          llvm::SmallPtrSet<Cluster *, 8> before;
          producers(member, before);
          isProducer |= before.contains(other);
        }
        if (isProducer) {
          // A producer comes along when it is read row by row; one that only others read stays away.
          auto map = dyn_cast<MapOp>(op);
          if (!map || getDims(map.getResult(0).getType()) != getDims(first.getInput().getType()) ||
              map->getNumResults() != 1)
            continue;
        }
        SmallVector<Operation *> members(rows->ops);
        members.push_back(op);
        bool fits = llvm::all_of(members, [&](Operation *member) { return readsItsOwnRow(member, members, first); });
        if (!fits || !canMerge(rows, other))
          continue;
        merge(rows, other);
        changed = true;
        break;
      }
    }
  }
}

//===----------------------------------------------------------------------===//
// Pointwise: a producer that one kernel reads is computed inside it
//===----------------------------------------------------------------------===//

/// Arithmetic that would be repeated for every read.
static unsigned costOf(Operation *op) {
  unsigned cost = 1;
  if (auto map = dyn_cast<MapOp>(op))
    for (Operation &inner : map.getBlock()->without_terminator())
      cost += inner.getName().getDialectNamespace() == "math" ? 8 : 1;
  return cost;
}

/// At how many places the op would be computed for one element of the kernel that reads it. Reads at one place are computed
/// once; every gather reads at a place of its own, so that a chain of sums of gathers grows exponentially.
int64_t Clustering::evaluationsOf(Operation *op) {
  constexpr int64_t kMany = 1 << 16;
  int64_t here = 0, elsewhere = 0;
  SmallVector<Value> work(op->getResults());
  llvm::SmallPtrSet<Operation *, 16> seen;
  while (!work.empty()) {
    Value current = work.pop_back_val();
    for (OpOperand &use : current.getUses()) {
      Operation *user = use.getOwner();
      if (!clusterOf(user)) {
        if (seen.insert(user).second)
          llvm::append_range(work, user->getResults());
        continue;
      }
      int64_t times = evaluations.lookup_or(user, 1);
      auto gather = dyn_cast<GatherOp>(user);
      if (gather && gather.getData() == current)
        elsewhere = std::min(elsewhere + times, kMany);
      else
        here = std::max(here, times);
    }
  }
  return std::max<int64_t>(here + elsewhere, 1);
}

void Clustering::fusePointwise() {
  // From the end: a producer is looked at when all that read it have their place.
  SmallVector<Operation *> ops;
  for (Operation &op : block)
    if (Cluster *cluster = clusterOf(&op); cluster && cluster->kind == ClusterKind::Pointwise)
      ops.push_back(&op);
  for (Operation *op : llvm::reverse(ops)) {
    Cluster *producer = clusterOf(op);
    llvm::SmallPtrSet<Cluster *, 4> readers;
    bool leaves = false;
    SmallVector<Operation *> users;
    for (Value result : op->getResults())
      consumers(result, users);
    for (Operation *user : users) {
      if (Cluster *cluster = clusterOf(user))
        readers.insert(cluster);
      else
        leaves = true;
    }
    readers.erase(producer);
    if (leaves || readers.size() != 1)
      continue;
    Cluster *reader = *readers.begin();
    // Into another pointwise kernel; not where each element would be computed many times over.
    if (reader->kind != ClusterKind::Pointwise)
      continue;
    AffineExpr made = numElements(op->getResult(0).getType());
    AffineExpr used = numElements(reader->ops.back()->getResult(0).getType());
    std::optional<int64_t> madeCount = asConstant(made), usedCount = asConstant(used);
    constexpr int64_t kFewTimes = 2, kManyTimes = 4;
    int64_t times = evaluationsOf(op);
    bool repeats = madeCount && usedCount ? *usedCount * times > kFewTimes * *madeCount : made != used || times > kFewTimes;
    if (repeats && (costOf(op) > 4 || times > kManyTimes))
      continue;
    if (canMerge(producer, reader)) {
      merge(reader, producer);
      evaluations[op] = times;
    }
  }
}

//===----------------------------------------------------------------------===//
// Prologues: maps before the rows of a product
//===----------------------------------------------------------------------===//

/// Whether the cluster is maps that read their inputs in the order of their results.
bool Clustering::isPrologue(Cluster *cluster) {
  for (Operation *op : cluster->ops) {
    auto map = dyn_cast<MapOp>(op);
    if (!map || map->getNumResults() != 1)
      return false;
    for (auto [i, input] : llvm::enumerate(map.getInputs())) {
      int64_t last = -1;
      for (AffineExpr expr : map.getMap(i).getResults()) {
        auto dim = dyn_cast<AffineDimExpr>(expr);
        if (!dim && asConstant(expr) != 0)
          return false;
        if (dim && static_cast<int64_t>(dim.getPosition()) <= last)
          return false;
        last = dim ? dim.getPosition() : last;
      }
      Operation *def = input.getDefiningOp();
      for (; def && !clusterOf(def) && def->getNumOperands() == 1; def = def->getOperand(0).getDefiningOp())
        if (isa<PermuteOp, ReverseOp>(def))
          return false;
    }
  }
  return true;
}

/// Each tile of a product computes its rows first, into a block of its own, when only the product reads them. A tile has
/// all columns, so that nothing is computed twice (measured: with more tiles even a multiplication is dearer than a
/// kernel of its own), and the block fits into the cache beside the panels.
void Clustering::fusePrologues() {
  constexpr int64_t kMostDepth = 1024;
  for (size_t i = 0; i < clusters.size(); ++i) {
    Cluster *product = clusters[i].get();
    auto root = !product->ops.empty() && product->kind == ClusterKind::Root ? dyn_cast<ContractOp>(product->root)
                                                                            : ContractOp();
    if (!root)
      continue;
    cpu::ContractShape shape = cpu::ContractShape::analyze(root);
    if (shape.n.size() != 1 || shape.k.size() != 1 ||
        asConstant(shape.sizes[shape.k[0]]).value_or(kMostDepth + 1) > kMostDepth ||
        asConstant(shape.sizes[shape.n[0]]).value_or(cpu::kTileColumns + 1) > cpu::kTileColumns)
      continue;
    Operation *def = root->getOperand(shape.a).getDefiningOp();
    while (def && isa<ReshapeOp, BroadcastOp>(def) && !clusterOf(def))
      def = def->getOperand(0).getDefiningOp();
    Cluster *before = def ? clusterOf(def) : nullptr;
    if (!before || before->kind != ClusterKind::Pointwise || !isPrologue(before))
      continue;
    SmallVector<Operation *> users;
    consumers(def->getResult(0), users);
    SmallPtrSet<Cluster *, 4> other;
    if (Operation *columns = root->getOperand(shape.b).getDefiningOp()) {
      if (Cluster *cluster = clusterOf(columns))
        other.insert(cluster);
      else
        producers(columns, other);
    }
    if (users.size() != 1 || users[0] != root || other.contains(before) || !canMerge(product, before))
      continue;
    merge(product, before);
  }
}

void Clustering::run() {
  for (auto [i, op] : llvm::enumerate(block))
    order[&op] = i;
  for (Operation &op : block) {
    if (op.hasTrait<OpTrait::IsTerminator>() || isInlined(&op))
      continue;
    if (isPointwise(&op)) {
      create(ClusterKind::Pointwise, &op);
    } else if (isa<ReduceOp>(op)) {
      create(ClusterKind::Rows, &op)->root = &op;
    } else if (staysAtEntry(&op)) {
      create(ClusterKind::Entry, &op);
    } else {
      create(ClusterKind::Root, &op)->root = &op;
    }
  }
  growEpilogues();
  growRows();
  fusePointwise();
  fusePrologues();
}

SmallVector<Cluster *> Clustering::inOrder() {
  SmallVector<Cluster *> result;
  llvm::SmallPtrSet<Cluster *, 32> done;
  std::function<void(Cluster *)> visit = [&](Cluster *cluster) {
    if (!done.insert(cluster).second)
      return;
    for (Operation *op : cluster->ops) {
      llvm::SmallPtrSet<Cluster *, 8> before;
      producers(op, before);
      SmallVector<Cluster *> sorted(before.begin(), before.end());
      llvm::sort(sorted, [&](Cluster *a, Cluster *b) { return order[a->ops.front()] < order[b->ops.front()]; });
      for (Cluster *p : sorted)
        visit(p);
    }
    result.push_back(cluster);
  };
  SmallVector<Cluster *> sorted;
  for (auto &cluster : clusters)
    if (!cluster->ops.empty())
      sorted.push_back(cluster.get());
  llvm::sort(sorted, [&](Cluster *a, Cluster *b) { return order[a->ops.back()] < order[b->ops.back()]; });
  for (Cluster *cluster : sorted)
    visit(cluster);
  return result;
}
