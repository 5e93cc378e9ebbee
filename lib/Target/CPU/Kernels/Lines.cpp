//===- Lines.cpp - work along one dimension -------------------------------===//
#include "Lines.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::cpu;
using namespace tenon::graph;

static constexpr int64_t kTileElements = 8192;
static constexpr int64_t kTypicalSize = 256;

Lines::Lines(Dims sizes, int64_t dim) : dim(dim) {
  length = sizes[dim];
  kept = sizes;
  kept.erase(kept.begin() + dim);
  for (auto [i, size] : llvm::enumerate(kept))
    if (asConstant(size) != 1)
      last = i;
  lanesAlongLine = last < dim; // kept dimensions from `dim` on lie further inside
}

void Lines::schedule(Emitter &e, AffineExpr work, AffineExpr scratchBytes) {
  AffineExpr tiles;
  MLIRContext *context = e.b.getContext();
  if (lanesAlongLine) {
    linesPerTile =
        std::max<int64_t>(1, kTileElements / std::max<int64_t>(1, asConstant(length).value_or(kTypicalSize)));
    tiles = product(kept, context).ceilDiv(linesPerTile);
  } else {
    tiles = product(ArrayRef(kept).take_front(last), context) * kept[last].ceilDiv(e.vl);
  }
  setSchedule(e, tiles, scratchBytes, work);
}

void Lines::forEach(Emitter &e, Value tileBegin, Value tileEnd, function_ref<void(ArrayRef<Value>, Value)> body) const {
  MLIRContext *context = e.b.getContext();
  if (lanesAlongLine) {
    Value count = e.size(product(kept, context)), perTile = e.i64(linesPerTile);
    e.loop(e.min(e.mul(tileBegin, perTile), count), e.min(e.mul(tileEnd, perTile), count), e.i64(1),
           [&](Value line) { body(delinearize(e, line, kept), {}); });
    return;
  }
  Dims outer(ArrayRef(kept).take_front(last));
  Value across = e.size(kept[last].ceilDiv(e.vl)), width = e.size(kept[last]);
  e.loop(tileBegin, tileEnd, e.i64(1), [&](Value tile) {
    Value block = e.mul(e.rem(tile, across), e.i64(e.vl));
    SmallVector<Value> positions = delinearize(e, e.divFloor(tile, across), outer);
    positions.push_back(block);
    positions.resize(kept.size(), e.i64(0));
    std::optional<int64_t> fixed = asConstant(kept[last]);
    body(positions, fixed && *fixed % e.vl == 0 ? Value() : e.tailMask(block, width, e.vl));
  });
}

Point Lines::bind(Evaluator &ev, ArrayRef<Value> positions, bool alongLanes) const {
  Point point;
  for (auto [i, position, size] : llvm::enumerate(positions, kept)) {
    bool isLane = alongLanes && static_cast<int64_t>(i) == last;
    point.push_back(asConstant(size) == 1 ? getAffineConstantExpr(0, ev.e.b.getContext())
                                          : ev.bind(position, size, isLane ? ev.e.vl : 1, isLane));
  }
  return point;
}

Point Lines::at(const Point &keptPoint, AffineExpr position) const {
  Point point(keptPoint);
  point.insert(point.begin() + dim,
               asConstant(length) == 1 ? getAffineConstantExpr(0, position.getContext()) : position);
  return point;
}
