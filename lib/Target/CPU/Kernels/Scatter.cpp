//===- Scatter.cpp - updates at positions that are data -------------------===//
// A dimension of the updates that names a dimension of the result, and that no index depends on, is a window: updates
// at different places in it never meet. Tiles and lanes divide the windows; within them updates come in row-major
// order, so duplicates combine in that order whatever the number of threads. Each tile first copies its part of the
// destination, unless the result lies in the destination's buffer.
#include "Kernels.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::cpu;
using namespace tenon::graph;

/// Positions of the innermost window that a tile takes.
static constexpr int64_t kTileWidth = 512;

namespace {
class ScatterKernel {
public:
  ScatterKernel(Emitter &e, ScatterOp root) : e(e), root(root), context(root.getContext()) {}
  LogicalResult emit();

private:
  void findWindows();
  /// Loops over `dims` of a shape, row-major.
  void nest(ArrayRef<unsigned> dims, const Dims &sizes, SmallVector<Value> &positions, function_ref<void()> body);
  /// Loops over the tile's part of the lane window up to `end`, in vectors; scalars where there is none.
  void forLanes(Value end, function_ref<void(Value position, int64_t lanes, Value mask)> body);
  Point bind(Evaluator &ev, ArrayRef<Value> positions, const Dims &sizes, int64_t lane);
  void copyDest();
  void update();
  void updateAt(ArrayRef<Value> positions);
  Value combine(Value old, Value update);

  Emitter &e;
  ScatterOp root;
  MLIRContext *context;
  Dims destSizes, updateSizes;
  SmallVector<int64_t> windowOf; ///< per dimension of dest: that of updates it is a window of, or -1
  int64_t lane = -1;             ///< dimension of dest along which lanes run
  SmallVector<unsigned> outerWindows, otherDest, indexDims;
  // The tile: positions in dest's windows, and the range of the lane window.
  SmallVector<Value> tilePosition;
  Value laneBegin, laneEnd;
  LogicalResult status = success();
};
} // namespace

void ScatterKernel::findWindows() {
  destSizes = getDims(root.getType());
  updateSizes = getDims(root.getUpdates().getType());
  ArrayRef<int64_t> coords = root.getCoords();
  windowOf.assign(destSizes.size(), -1);
  SmallVector<bool> isWindow(updateSizes.size(), false);
  for (auto [k, coord] : llvm::enumerate(coords)) {
    if (coord < 0 || llvm::count(coords, coord) != 1)
      continue;
    bool isRead = llvm::any_of(root.getIndexingMaps(), [&](Attribute map) {
      return cast<AffineMapAttr>(map).getValue().isFunctionOfDim(coord);
    });
    if (isRead)
      continue;
    windowOf[k] = coord;
    isWindow[coord] = true;
  }
  int64_t inner = -1;
  for (auto [k, size] : llvm::enumerate(destSizes))
    if (asConstant(size) != 1)
      inner = k;
  if (inner >= 0 && windowOf[inner] >= 0)
    lane = inner;
  for (unsigned k = 0; k < destSizes.size(); ++k) {
    if (static_cast<int64_t>(k) == lane)
      continue;
    (windowOf[k] >= 0 ? outerWindows : otherDest).push_back(k);
  }
  for (unsigned d = 0; d < updateSizes.size(); ++d)
    if (!isWindow[d])
      indexDims.push_back(d);
}

void ScatterKernel::nest(ArrayRef<unsigned> dims, const Dims &sizes, SmallVector<Value> &positions,
                         function_ref<void()> body) {
  if (dims.empty())
    return body();
  e.loop(e.i64(0), e.size(sizes[dims[0]]), e.i64(1), [&](Value position) {
    positions[dims[0]] = position;
    nest(dims.drop_front(), sizes, positions, body);
  });
}

void ScatterKernel::forLanes(Value end, function_ref<void(Value, int64_t, Value)> body) {
  if (lane < 0)
    return body({}, 1, {});
  Value step = e.i64(e.vl), whole = e.add(laneBegin, e.mul(e.divFloor(e.sub(end, laneBegin), step), step));
  e.loop(laneBegin, whole, step, [&](Value position) { body(position, e.vl, {}); });
  std::optional<int64_t> fixed = asConstant(destSizes[lane]);
  if (fixed && *fixed % e.vl == 0 && updateSizes[windowOf[lane]] == destSizes[lane])
    return;
  e.ifThen(e.less(whole, end), [&] { body(whole, e.vl, e.tailMask(whole, end, e.vl)); });
}

Point ScatterKernel::bind(Evaluator &ev, ArrayRef<Value> positions, const Dims &sizes, int64_t laneDim) {
  Point point;
  for (auto [i, position, size] : llvm::enumerate(positions, sizes)) {
    bool isLane = static_cast<int64_t>(i) == laneDim && ev.lanes > 1;
    point.push_back(asConstant(size) == 1 ? getAffineConstantExpr(0, context)
                                          : ev.bind(position, size, isLane ? ev.lanes : 1, isLane));
  }
  return point;
}

void ScatterKernel::copyDest() {
  // Dimensions that are no windows are wholly the tile's; the innermost one goes by vectors.
  SmallVector<Value> positions(tilePosition);
  SmallVector<unsigned> outer(otherDest);
  auto copy = [&](int64_t laneDim, Value position, int64_t lanes, Value mask) {
    Evaluator ev(e, lanes);
    ev.mask = mask;
    if (laneDim >= 0)
      positions[laneDim] = position;
    Point point = bind(ev, positions, destSizes, laneDim);
    Value value = ev.at(root.getDest(), point);
    if (value)
      ev.store(e.outputPointer(0), root.getType(), point, value);
    else
      status = failure();
  };
  int64_t inner = lane;
  if (inner < 0)
    for (unsigned k : otherDest)
      if (asConstant(destSizes[k]) != 1)
        inner = k;
  llvm::erase(outer, static_cast<unsigned>(inner));
  nest(outer, destSizes, positions, [&] {
    if (lane >= 0)
      return forLanes(laneEnd, [&](Value position, int64_t lanes, Value mask) { copy(lane, position, lanes, mask); });
    if (inner < 0)
      return copy(-1, {}, 1, {});
    Value end = e.size(destSizes[inner]), step = e.i64(e.vl), whole = e.mul(e.divFloor(end, step), step);
    e.loop(e.i64(0), whole, step, [&](Value position) { copy(inner, position, e.vl, {}); });
    e.loop(whole, end, step, [&](Value position) { copy(inner, position, e.vl, e.tailMask(position, end, e.vl)); });
  });
}

Value ScatterKernel::combine(Value old, Value update) {
  switch (root.getKind()) {
  case ScatterKind::Set:
    return update;
  case ScatterKind::Sum:
    return e.combine(ReduceKind::Sum, old, update);
  case ScatterKind::Prod:
    return e.combine(ReduceKind::Prod, old, update);
  case ScatterKind::Max:
    return e.combine(ReduceKind::Max, old, update);
  case ScatterKind::Min:
    return e.combine(ReduceKind::Min, old, update);
  }
  llvm_unreachable("every kind is handled");
}

/// All updates of the tile's windows at one point of the other dimensions of updates.
void ScatterKernel::updateAt(ArrayRef<Value> positions) {
  SmallVector<Value> dest(tilePosition);
  Value isBad;
  {
    Evaluator ev(e, 1);
    Point point = bind(ev, positions, updateSizes, -1);
    for (auto [k, coord] : llvm::enumerate(root.getCoords())) {
      if (windowOf[k] >= 0)
        continue;
      if (coord >= 0) {
        dest[k] = positions[coord];
        continue;
      }
      unsigned number = -coord - 1;
      AffineMap map = cast<AffineMapAttr>(root.getIndexingMaps()[number]).getValue();
      Value position = ev.at(root.getIndices()[number], applyMap(map, point));
      if (!position) {
        status = failure();
        return;
      }
      if (!position.getType().isInteger(64))
        position = arith::ExtSIOp::create(e.b, e.loc, e.b.getI64Type(), position);
      Value limit = e.size(destSizes[k]);
      Value isOutside = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::uge, position, limit);
      if (auto site = root->getAttrOfType<IntegerAttr>("site"))
        e.fail(isOutside, site.getInt(), limit, e.i64(k));
      isBad = isBad ? arith::OrIOp::create(e.b, e.loc, isBad, isOutside).getResult() : isOutside;
      dest[k] = position;
    }
  }
  auto write = [&] {
    Value end = laneEnd;
    if (lane >= 0 && updateSizes[windowOf[lane]] != destSizes[lane])
      end = e.max(laneBegin, e.min(end, e.size(updateSizes[windowOf[lane]])));
    forLanes(end, [&](Value position, int64_t lanes, Value mask) {
      Evaluator ev(e, lanes);
      ev.mask = mask;
      SmallVector<Value> from(positions), to(dest);
      if (lane >= 0)
        from[windowOf[lane]] = to[lane] = position;
      Value value = ev.vectorAt(root.getUpdates(), bind(ev, from, updateSizes, lane < 0 ? -1 : windowOf[lane]));
      if (!value) {
        status = failure();
        return;
      }
      Point point = bind(ev, to, destSizes, lane);
      Value pointer = e.outputPointer(0);
      if (root.getKind() != ScatterKind::Set)
        value = combine(ev.toVector(ev.load(pointer, root.getType(), point)), value);
      ev.store(pointer, root.getType(), point, value);
    });
  };
  if (!isBad)
    return write();
  e.ifElse(isBad, [] {}, write);
}

void ScatterKernel::update() {
  SmallVector<Value> positions(updateSizes.size(), e.i64(0));
  Value isInside;
  for (unsigned k : outerWindows) {
    positions[windowOf[k]] = tilePosition[k];
    if (updateSizes[windowOf[k]] == destSizes[k])
      continue;
    Value isBelow = e.less(tilePosition[k], e.size(updateSizes[windowOf[k]]));
    isInside = isInside ? arith::AndIOp::create(e.b, e.loc, isInside, isBelow).getResult() : isBelow;
  }
  if (lane >= 0)
    positions[windowOf[lane]] = laneBegin;
  auto all = [&] { nest(indexDims, updateSizes, positions, [&] { updateAt(positions); }); };
  if (isInside)
    e.ifThen(isInside, all);
  else
    all();
}

LogicalResult ScatterKernel::emit() {
  if (resultsOf(e.kernel).size() != 1 || resultsOf(e.kernel)[0] != root.getResult())
    return root.emitOpError("must be the only result of its kernel");
  findWindows();
  Dims outerSizes;
  for (unsigned k : outerWindows)
    outerSizes.push_back(destSizes[k]);
  AffineExpr one = getAffineConstantExpr(1, context), width = lane >= 0 ? destSizes[lane] : one;
  AffineExpr across = normalize(width.ceilDiv(kTileWidth));
  BlockArgument destArgument = dyn_cast<BlockArgument>(root.getDest());
  bool mayAlias = destArgument && e.kernel.getArgAttr(destArgument.getArgNumber(), "kernel.may_alias");
  AffineExpr work = numElements(root.getUpdates().getType()) * 4;
  if (!mayAlias)
    work = work + numElements(root.getType());
  setSchedule(e, product(outerSizes, context) * across, getAffineConstantExpr(0, context), work);

  Value copies; // null: always
  if (mayAlias) {
    Value a = LLVM::PtrToIntOp::create(e.b, e.loc, e.b.getI64Type(), e.inputPointer(destArgument.getArgNumber()));
    Value b = LLVM::PtrToIntOp::create(e.b, e.loc, e.b.getI64Type(), e.outputPointer(0));
    copies = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::ne, a, b);
  }
  Value acrossCount = e.size(across), end = e.size(width);
  e.loop(e.tileBegin, e.tileEnd, e.i64(1), [&](Value tile) {
    laneBegin = e.mul(e.rem(tile, acrossCount), e.i64(kTileWidth));
    laneEnd = e.min(e.add(laneBegin, e.i64(kTileWidth)), end);
    tilePosition.assign(destSizes.size(), e.i64(0));
    for (auto [k, position] : llvm::zip(outerWindows, delinearize(e, e.divFloor(tile, acrossCount), outerSizes)))
      tilePosition[k] = position;
    if (copies)
      e.ifThen(copies, [&] { copyDest(); });
    else
      copyDest();
    if (succeeded(status))
      update();
  });
  return status;
}

LogicalResult tenon::cpu::emitScatter(Emitter &e, ScatterOp root) { return ScatterKernel(e, root).emit(); }
