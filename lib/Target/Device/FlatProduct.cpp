// Products of few rows or few columns, which read every element of the larger operand once: its lines are dealt out to threads,
// and several of them share the depth of a line.
#include "Product.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::device;
using namespace tenon::graph;

/// Rows, or columns, up to which a thread has all of them.
static constexpr int64_t kFewRows = 8, kFewColumns = 7;

static bool isFew(AffineExpr size, int64_t most) { return asConstant(size) && *asConstant(size) <= most; }

bool Product::isFlat() const {
  return isFew(rows, kFewRows) || isFew(columns, kFewColumns);
}

namespace {
/// Who has what of the larger operand: a workgroup has so many of its `lines`, and so many `parts` share the depth of each, reading
/// so many neighbours along it at once. It is B where there are few rows, else A.
struct Share {
  bool hasFewRows;
  int64_t lines, parts, lanes;
  int64_t threads() const { return lines * parts; }
};

/// The code of one kernel. The larger operand has many lines, the other one a few.
class FlatProduct {
public:
  FlatProduct(Emitter &e, const Product &p, Share share)
      : e(e), p(p), share(share), large(share.hasFewRows ? p.b : p.a), small(share.hasFewRows ? p.a : p.b),
        few(*asConstant(share.hasFewRows ? p.rows : p.columns)) {}
  LogicalResult emit();

private:
  Value read(const Product::Operand &operand, Value batch, Value line, Value k);
  Value placeOf(int64_t i, Value ofPart);
  void combineParts();

  Emitter &e;
  const Product &p;
  Share share;
  const Product::Operand &large, &small;
  int64_t few;
  Value line, part, memory;
  SmallVector<Value> sums;
};
} // namespace

/// Neighbours are read together: along the depth by the threads of a line, across lines by those of a part.
static Share shareFor(const Emitter &e, const Product &p) {
  bool hasFewRows = isFew(p.rows, kFewRows);
  const Product::Operand &large = hasFewRows ? p.b : p.a, &small = hasFewRows ? p.a : p.b;
  int64_t lanes = large.isAlongDepth && small.depthPart % large.lanes(e) == 0 ? large.lanes(e) : 1;
  static constexpr int64_t kUnknown = 256;
  int64_t steps = asConstant(p.depth).value_or(kUnknown * lanes) / lanes;
  auto split = [&](int64_t leastSteps, int64_t most) {
    return static_cast<int64_t>(llvm::bit_floor(static_cast<uint64_t>(std::clamp<int64_t>(steps / leastSteps, 1, most))));
  };
  int64_t parts = large.isAlongDepth ? split(2, 32) : split(8, 16);
  return {hasFewRows, std::max<int64_t>(kThreads / parts, large.isAlongDepth ? 1 : 16), parts, lanes};
}

Value FlatProduct::read(const Product::Operand &operand, Value batch, Value at, Value k) {
  Value value = operand.read(batch, at, k, share.lanes, /*alongDepth=*/true);
  return value ? kernels::toAccumulator(e, value, p.accumulator) : value;
}

Value FlatProduct::placeOf(int64_t i, Value ofPart) {
  return e.add(e.mul(e.add(e.mul(ofPart, e.i64(few)), e.i64(i)), e.i64(share.lines)), line);
}

/// Pairs of parts, pairs of those pairs, …: the sums are in the memory of each line's first thread.
void FlatProduct::combineParts() {
  memory = e.shared(p.accumulator, few * share.threads());
  for (int64_t i = 0; i < few; ++i)
    e.storeShared(memory, placeOf(i, part), sums[i]);
  for (int64_t half = share.parts / 2; half >= 1; half /= 2) {
    e.barrier();
    e.ifThen(e.less(part, e.i64(half)), [&] {
      for (int64_t i = 0; i < few; ++i) {
        Value own = e.loadShared(memory, placeOf(i, part)), other = e.loadShared(memory, placeOf(i, e.add(part, e.i64(half))));
        e.storeShared(memory, placeOf(i, part), e.combine(ReduceKind::Sum, own, other));
      }
    });
  }
}

LogicalResult FlatProduct::emit() {
  AffineExpr many = share.hasFewRows ? p.columns : p.rows, count = normalize(p.batches * many);
  kernels::setSchedule(e, normalize(count.ceilDiv(share.lines)), getAffineConstantExpr(0, count.getContext()),
                       count * few * p.depth * 2);
  if (large.isAlongDepth) {
    line = e.divFloor(e.thread, e.i64(share.parts)), part = e.rem(e.thread, e.i64(share.parts));
  } else {
    line = e.rem(e.thread, e.i64(share.lines)), part = e.divFloor(e.thread, e.i64(share.lines));
  }
  // Lines outside repeat the last one: what is computed from them is not stored.
  Value flat = e.add(e.mul(e.group, e.i64(share.lines)), line), isInside = e.less(flat, e.size(count));
  flat = e.min(flat, e.sub(e.size(count), e.i64(1)));
  Dims order{p.batches, many};
  if (p.hasNeighbouringBatches)
    std::swap(order[0], order[1]);
  SmallVector<Value> place = kernels::delinearize(e, flat, order);
  if (p.hasNeighbouringBatches)
    std::swap(place[0], place[1]);
  Type type = share.lanes == 1 ? p.accumulator : Type(e.vectorOf(p.accumulator, share.lanes));
  LogicalResult status = success();
  sums = e.loop(e.mul(part, e.i64(share.lanes)), e.size(p.depth), e.i64(share.parts * share.lanes), SmallVector<Value>(few, e.zeros(type)),
                [&](Value k, ValueRange carried) {
    SmallVector<Value> next(carried);
    Value own = read(large, place[0], place[1], k);
    for (int64_t i = 0; i < few && succeeded(status); ++i) {
      Value other = own ? read(small, place[0], e.i64(i), k) : Value();
      if (!other)
        status = failure();
      else
        next[i] = multiplyAdd(e, own, other, next[i]);
    }
    return next;
  });
  if (failed(status))
    return status;
  if (share.lanes > 1)
    for (Value &sum : sums)
      sum = e.reduceLanes(ReduceKind::Sum, sum);
  if (share.parts > 1) {
    combineParts();
    Value isFirst = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::eq, part, e.i64(0));
    isInside = arith::AndIOp::create(e.b, e.loc, isInside, isFirst);
  }
  e.ifThen(isInside, [&] {
    SmallVector<Product::Sum> results;
    for (auto [i, sum] : llvm::enumerate(sums)) {
      if (share.parts > 1)
        sum = e.loadShared(memory, placeOf(i, part));
      Value row = share.hasFewRows ? e.i64(i) : place[1], column = share.hasFewRows ? place[1] : e.i64(i);
      results.push_back({place[0], row, column, sum, {}});
    }
    status = p.store(results, 1);
  });
  return status;
}

int64_t Product::flatThreads(const Emitter &e) const { return shareFor(e, *this).threads(); }

LogicalResult Product::emitFlat(Emitter &e) const { return FlatProduct(e, *this, shareFor(e, *this)).emit(); }
