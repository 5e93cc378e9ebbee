//===- VerifyMemory.cpp - proves a memory plan ----------------------------===//
#include "dialects/Plan/Transforms/Lifetimes.h"
#include "dialects/Plan/Transforms/Passes.h"

namespace tenon::plan {
#define GEN_PASS_DEF_VERIFYMEMORYPASS
#include "dialects/Plan/Transforms/Passes.h.inc"
} // namespace tenon::plan

using namespace mlir;
using namespace tenon;
using namespace tenon::plan;

namespace {
/// Bytes of a root buffer.
struct Part {
  AffineExpr offset, bytes;
};

/// One way to reach bytes: from a root buffer, through views, each part of the one before, under the outcomes of
/// choices.
struct Extent {
  Value root;
  SmallVector<Part, 3> parts;                       // the last is what is reached
  SmallVector<std::pair<AffineExpr, bool>, 2> path; // condition, whether it is 0
};

class Verifier {
public:
  explicit Verifier(FuncOp func) : func(func), ranges(symbolRanges(func)) {}

  LogicalResult run() {
    checkPlaces();
    func.walk([&](Operation *op) {
      if (auto call = dyn_cast<CallOp>(op))
        checkCall(call);
      else if (auto copy = dyn_cast<CopyOp>(op))
        checkCopy(copy);
      else if (auto store = dyn_cast<StoreSizesOp>(op))
        checkWritable(op, store.getDest());
      else if (auto together = dyn_cast<TogetherOp>(op))
        checkTogether(together);
    });
    return success(ok);
  }

private:
  FuncOp func;
  SmallVector<std::pair<int64_t, int64_t>> ranges;
  bool ok = true;

  InFlightDiagnostic fail(Operation *op) {
    ok = false;
    return op->emitError();
  }

  /// (V1)
  void checkPlaces() {
    SmallVector<Lifetime> lifetimes = computeLifetimes(func);
    DenseMap<int64_t, Lifetime *> byId;
    for (Lifetime &l : lifetimes)
      if (!byId.try_emplace(l.alloc.getId(), &l).second)
        fail(l.alloc) << "buffer " << l.alloc.getId() << " is declared twice";
    for (Lifetime &l : lifetimes) {
      if (!l.alloc.getOffset() && !l.alloc.getBelow())
        fail(l.alloc) << "buffer " << l.alloc.getId() << " has no place; run 'tenon-plan-assign-offsets'";
      if (l.alloc.getOffset() && (!l.alloc.getBytes().getConstant() || *l.alloc.getOffset() % kBufferAlign != 0 ||
                                  static_cast<int64_t>(*l.alloc.getOffset()) < 0))
        fail(l.alloc) << "buffer " << l.alloc.getId() << " at offset " << *l.alloc.getOffset()
                      << " needs a constant size and an offset that is a multiple of " << kBufferAlign;
      for (int64_t id : l.alloc.getBelow().value_or(ArrayRef<int64_t>()))
        if (!byId.contains(id))
          fail(l.alloc) << "buffer " << l.alloc.getId() << " lies above buffer " << id << ", which does not exist";
    }
    if (!ok)
      return;
    // Transitive closure of `below`, memoized; finds cycles.
    DenseMap<int64_t, llvm::DenseSet<int64_t>> closure;
    llvm::DenseSet<int64_t> active;
    auto close = [&](auto &self, int64_t id) -> const llvm::DenseSet<int64_t> & {
      if (auto it = closure.find(id); it != closure.end())
        return it->second;
      llvm::DenseSet<int64_t> all;
      if (!active.insert(id).second) {
        fail(byId[id]->alloc) << "buffer " << id << " lies above itself";
        return closure[id];
      }
      for (int64_t p : byId[id]->alloc.getBelow().value_or(ArrayRef<int64_t>())) {
        all.insert(p);
        const llvm::DenseSet<int64_t> &deeper = self(self, p);
        all.insert(deeper.begin(), deeper.end());
      }
      return closure[id] = std::move(all);
    };
    for (auto [i, a] : llvm::enumerate(lifetimes))
      for (Lifetime &b : MutableArrayRef(lifetimes).drop_front(i + 1)) {
        if (!a.overlaps(b))
          continue;
        std::optional<int64_t> aSize = a.alloc.getBytes().getConstant(), bSize = b.alloc.getBytes().getConstant();
        if (aSize == 0 || bSize == 0)
          continue;
        if (a.alloc.getOffset() && b.alloc.getOffset()) {
          int64_t x = *a.alloc.getOffset(), y = *b.alloc.getOffset();
          if (x < y + *bSize && y < x + *aSize) {
            InFlightDiagnostic diag = fail(b.alloc) << "buffer " << b.alloc.getId() << " overlaps buffer "
                                                    << a.alloc.getId() << ", which lives at the same time";
            diag.attachNote(a.alloc.getLoc()) << "the other buffer";
          }
          continue;
        }
        if (!close(close, a.alloc.getId()).contains(b.alloc.getId()) &&
            !close(close, b.alloc.getId()).contains(a.alloc.getId())) {
          InFlightDiagnostic diag = fail(b.alloc) << "buffer " << b.alloc.getId() << " and buffer " << a.alloc.getId()
                                                  << " live at the same time but neither lies below the other";
          diag.attachNote(a.alloc.getLoc()) << "the other buffer";
        }
      }
  }

  SmallVector<Extent> extentsOf(Value buffer) {
    Operation *op = buffer.getDefiningOp();
    if (auto view = dyn_cast<ViewOp>(op)) {
      SmallVector<Extent> extents = extentsOf(view.getBuffer());
      for (Extent &e : extents) {
        AffineExpr offset = graph::normalize(e.parts.back().offset + view.getOffset().getValue());
        e.parts.push_back({offset, view.getBytes().getValue()});
      }
      return extents;
    }
    if (auto choose = dyn_cast<ChooseOp>(op)) {
      SmallVector<Extent> extents = extentsOf(choose.getZero()), other = extentsOf(choose.getOther());
      for (Extent &e : extents)
        e.path.emplace_back(choose.getCondition().getValue(), true);
      for (Extent &e : other)
        e.path.emplace_back(choose.getCondition().getValue(), false);
      extents.append(other);
      return extents;
    }
    return {{buffer, {{getAffineConstantExpr(0, func.getContext()), bufferBytes(buffer)}}, {}}};
  }

  bool isNeverNegative(AffineExpr expr) {
    // Loop counters are replaced by one more symbol each, of range [0, max].
    SmallVector<AffineExpr> dims;
    SmallVector<std::pair<int64_t, int64_t>> all = ranges;
    for (unsigned i = 0; i < 16; ++i) {
      dims.push_back(getAffineSymbolExpr(all.size(), func.getContext()));
      all.emplace_back(0, int64_t(1) << 40);
    }
    std::optional<std::pair<int64_t, int64_t>> range = graph::rangeOf(expr.replaceDims(dims), all);
    return range && range->first >= 0;
  }

  bool areDisjoint(const Extent &a, const Extent &b) {
    if (!isSameRoot(a.root, b.root))
      return true;
    for (auto [condition, isZero] : a.path)
      for (auto [other, otherIsZero] : b.path)
        if (condition == other && isZero != otherIsZero)
          return true;
    // Slices of slices: it is enough that any two of the parts they lie in are disjoint.
    for (const Part &x : a.parts)
      for (const Part &y : b.parts)
        if (areDisjoint(x, y))
          return true;
    return false;
  }
  bool areDisjoint(const Part &a, const Part &b) {
    AffineExpr difference = graph::normalize(b.offset - a.offset);
    return isNeverNegative(graph::normalize(difference - a.bytes)) ||
           isNeverNegative(graph::normalize(-difference - b.bytes)) || isZero(a.bytes) || isZero(b.bytes);
  }
  static bool isZero(AffineExpr expr) { return graph::asConstant(expr) == 0; }

  bool areDisjoint(Value a, Value b) {
    for (const Extent &x : extentsOf(a))
      for (const Extent &y : extentsOf(b))
        if (!areDisjoint(x, y))
          return false;
    return true;
  }

  /// Where the two overlap at all they are the same bytes.
  bool areEqualOrDisjoint(Value a, Value b) {
    for (const Extent &x : extentsOf(a))
      for (const Extent &y : extentsOf(b))
        if (!areDisjoint(x, y) && !(isSameRoot(x.root, y.root) && x.parts.back().offset == y.parts.back().offset &&
                                    x.parts.back().bytes == y.parts.back().bytes))
          return false;
    return true;
  }

  /// (V3)
  void checkWritable(Operation *op, Value buffer) {
    for (const Extent &e : extentsOf(buffer))
      if (isa<InputOp, WeightOp>(e.root.getDefiningOp()))
        fail(op).append("writes ", isa<InputOp>(e.root.getDefiningOp()) ? "an input" : "a constant");
  }

  /// (V2)
  void checkCall(CallOp call) {
    for (auto [j, out] : llvm::enumerate(call.getOutputs())) {
      checkWritable(call, out);
      for (auto [i, in] : llvm::enumerate(call.getInputs()))
        if (call.mayAlias(i, j) ? !areEqualOrDisjoint(in, out) : !areDisjoint(in, out))
          fail(call) << "call of " << call.getCalleeAttr() << " writes output " << j << " over input " << i;
      for (auto [other, buffer] : llvm::enumerate(call.getOutputs()))
        if (other < j && !areDisjoint(buffer, out))
          fail(call) << "call of " << call.getCalleeAttr() << " writes output " << j << " over output " << other;
    }
    if (!call.getScratch())
      return;
    for (Value buffer : llvm::concat<Value>(llvm::to_vector(call.getInputs()), llvm::to_vector(call.getOutputs())))
      if (!areDisjoint(buffer, call.getScratch()))
        fail(call) << "call of " << call.getCalleeAttr() << " has operands in its scratch";
  }

  /// (V4)
  void checkTogether(TogetherOp together) {
    for (auto call : together.getBody().getOps<CallOp>()) {
      SmallVector<Value> written(call.getOutputs());
      if (call.getScratch())
        written.push_back(call.getScratch());
      for (auto other : together.getBody().getOps<CallOp>())
        if (other != call)
          for (Value buffer : other.getOperands())
            if (!llvm::all_of(written, [&](Value out) { return areDisjoint(buffer, out); }))
              fail(call) << "call of " << call.getCalleeAttr() << " writes what " << other.getCalleeAttr()
                         << ", which runs at the same time, touches";
    }
  }

  void checkCopy(CopyOp copy) {
    checkWritable(copy, copy.getDest());
    if (!areDisjoint(copy.getSource(), copy.getDest()))
      fail(copy) << "copies between buffers that overlap";
  }
};

struct VerifyMemoryPass final : tenon::plan::impl::VerifyMemoryPassBase<VerifyMemoryPass> {
  void runOnOperation() override {
    for (auto func : getOperation().getOps<FuncOp>())
      if (failed(verifyMemory(func)))
        signalPassFailure();
  }
};
} // namespace

LogicalResult tenon::plan::verifyMemory(FuncOp func) { return Verifier(func).run(); }
