//===- Rows.cpp - kernels made of reductions over the same dimensions -----===//
// A row is one point of the kept dimensions, its columns are the reduced ones. Each reduction is a pass over the
// columns; a last pass computes the results of full shape. What several passes need and is dear is kept in scratch.
// The order of additions depends on the row's length alone.
#include "../../Kernels/Shapes.h"
#include "Kernels.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::cpu;
using namespace tenon::graph;

static constexpr int64_t kAccumulators = 4;
static constexpr int64_t kTileElements = 8192;
static constexpr int64_t kTypicalSize = 256;

namespace {
class RowsKernel {
public:
  explicit RowsKernel(Emitter &e) : e(e), context(e.b.getContext()) {}
  LogicalResult emit();

private:
  struct Cached {
    Value pointer;
    bool isComputed = false;
    RankedTensorType type; ///< of the buffer
    bool isOutput = false;
  };

  LogicalResult analyze();
  void chooseCached();
  void emitRow(ArrayRef<Value> rowPositions, Value laneMask);
  void emitPass(function_ref<SmallVector<Value>(Evaluator &, const Point &, ValueRange)> body, SmallVectorImpl<Value> &accumulators,
                bool isReduction);
  void bind(Evaluator &ev);
  Point fullPoint(const Point &row, const Point &columns);

  Emitter &e;
  MLIRContext *context;
  SmallVector<ReduceOp> reductions;
  Dims fullSizes, rowSizes, columnSizes;
  SmallVector<int64_t> columnDims;
  bool lanesAlongColumns = true;
  SmallVector<Value> fullResults, rowResults;
  SmallVector<unsigned> fullResultNumbers, rowResultNumbers;
  llvm::MapVector<Value, Cached> cached;
  // State of the row being emitted.
  SmallVector<Value> rowPositions;
  Value laneMask;
  DenseMap<Value, Value> reduced;
  LogicalResult status = success();
};
} // namespace

LogicalResult RowsKernel::analyze() {
  FailureOr<kernels::RowsShape> shape = kernels::RowsShape::analyze(e.kernel);
  if (failed(shape))
    return failure();
  reductions = shape->reductions;
  fullSizes = shape->full;
  rowSizes = shape->rows;
  columnSizes = shape->columns;
  columnDims = shape->columnDims;
  lanesAlongColumns = shape->isInnermost;
  for (auto [number, result] : shape->rowResults) {
    rowResults.push_back(result);
    rowResultNumbers.push_back(number);
  }
  for (auto [number, result] : shape->fullResults) {
    fullResults.push_back(result);
    fullResultNumbers.push_back(number);
  }
  chooseCached();
  return success();
}

/// A map is kept when several passes need it and it does more than move one value.
void RowsKernel::chooseCached() {
  DenseMap<Operation *, unsigned> passes;
  auto collect = [&](ValueRange roots) {
    llvm::SmallPtrSet<Operation *, 16> seen;
    SmallVector<Value> work(roots);
    while (!work.empty()) {
      Operation *op = work.pop_back_val().getDefiningOp();
      if (!op || isa<ReduceOp>(op) || !seen.insert(op).second)
        continue;
      ++passes[op];
      llvm::append_range(work, op->getOperands());
    }
  };
  for (ReduceOp op : reductions)
    collect(op.getInput());
  collect(fullResults);
  e.kernel.walk([&](MapOp map) {
    if (passes.lookup(map) < 2 || getDims(map.getResult(0).getType()) != fullSizes || map.getNumResults() != 1)
      return;
    bool isDear = map.getInputs().size() > 1;
    for (Operation &op : map.getBlock()->without_terminator())
      isDear |= op.getName().getDialectNamespace() == "math" || isa<arith::DivFOp>(op);
    if (isDear || llvm::is_contained(fullResults, map.getResult(0)))
      cached[map.getResult(0)] = {};
  });
}

Point RowsKernel::fullPoint(const Point &row, const Point &columns) {
  Point point;
  size_t r = 0, c = 0;
  for (size_t i = 0; i < fullSizes.size(); ++i)
    point.push_back(llvm::is_contained(columnDims, static_cast<int64_t>(i)) ? columns[c++] : row[r++]);
  return point;
}

void RowsKernel::bind(Evaluator &ev) {
  for (ReduceOp op : reductions) {
    if (!reduced.contains(op.getResult()))
      continue;
    Value value = reduced[op.getResult()];
    ev.bindValue(op.getResult(), [value](const Point &) { return value; });
  }
}

/// One pass over the columns of a row. `body` is called at a point with the accumulators of that lane group and gives
/// their new values.
void RowsKernel::emitPass(function_ref<SmallVector<Value>(Evaluator &, const Point &, ValueRange)> body,
                          SmallVectorImpl<Value> &accumulators, bool isReduction) {
  auto bindRow = [&](Evaluator &ev) {
    Point row;
    int64_t last = -1;
    for (auto [i, size] : llvm::enumerate(rowSizes))
      if (asConstant(size) != 1)
        last = i;
    for (auto [i, position, size] : llvm::enumerate(rowPositions, rowSizes)) {
      if (asConstant(size) == 1)
        row.push_back(getAffineConstantExpr(0, context));
      else if (!lanesAlongColumns && static_cast<int64_t>(i) == last)
        row.push_back(ev.bind(position, size, e.vl, /*isLane=*/true));
      else
        row.push_back(ev.bind(position, size));
    }
    return row;
  };
  auto step = [&](ArrayRef<Value> columns, Value mask, ValueRange carried) {
    Evaluator ev(e, e.vl);
    ev.mask = lanesAlongColumns ? mask : laneMask;
    bind(ev);
    Point row = bindRow(ev), column;
    int64_t last = -1;
    for (auto [i, size] : llvm::enumerate(columnSizes))
      if (asConstant(size) != 1)
        last = i;
    for (auto [i, position, size] : llvm::enumerate(columns, columnSizes)) {
      if (asConstant(size) == 1)
        column.push_back(getAffineConstantExpr(0, context));
      else if (lanesAlongColumns && static_cast<int64_t>(i) == last)
        column.push_back(ev.bind(position, size, e.vl, /*isLane=*/true));
      else
        column.push_back(ev.bind(position, size));
    }
    Point point = fullPoint(row, column);
    // Column offset in a cached row.
    AffineExpr offset = linearize(column, columnSizes, context);
    for (auto &[value, entry] : cached) {
      Cached *cache = &entry;
      Value v = value;
      Type element = getElementTypeOrSelf(v.getType());
      auto address = [this, offset, &ev]() -> Value {
        Value at = ev.index(offset);
        return lanesAlongColumns ? at : e.mul(at, e.i64(e.vl));
      };
      ev.bindValue(v, [this, cache, v, element, address, &ev](const Point &at) -> Value {
        if (cache->isComputed) {
          if (cache->isOutput)
            return ev.load(cache->pointer, cast<RankedTensorType>(v.getType()), at);
          return e.loadVector(cache->pointer, element, address(), e.vl, ev.mask && lanesAlongColumns ? ev.mask : Value());
        }
        Value value = ev.compute(v, at);
        if (!value)
          return value;
        value = ev.toVector(value);
        if (cache->isOutput)
          ev.store(cache->pointer, cast<RankedTensorType>(v.getType()), at, value);
        else
          e.storeVector(cache->pointer, element, address(), value, ev.mask && lanesAlongColumns ? ev.mask : Value());
        return value;
      });
    }
    return body(ev, point, carried);
  };

  int64_t last = -1;
  for (auto [i, size] : llvm::enumerate(columnSizes))
    if (asConstant(size) != 1)
      last = i;
  Dims outerSizes(ArrayRef(columnSizes).take_front(std::max<int64_t>(last, 0)));
  if (!lanesAlongColumns)
    outerSizes = columnSizes;
  // Nested loops over all columns but the lane dimension.
  std::function<SmallVector<Value>(size_t, SmallVector<Value>, SmallVector<Value>)> nest =
      [&](size_t depth, SmallVector<Value> columns, SmallVector<Value> carried) -> SmallVector<Value> {
    if (depth < outerSizes.size()) {
      return e.loop(e.i64(0), e.size(outerSizes[depth]), e.i64(1), carried, [&](Value iv, ValueRange inner) {
        SmallVector<Value> next(columns);
        next.push_back(iv);
        return nest(depth + 1, next, SmallVector<Value>(inner));
      });
    }
    columns.resize(columnSizes.size(), e.i64(0));
    if (!lanesAlongColumns || last < 0) {
      ArrayRef<Value> all(carried);
      SmallVector<Value> updated = step(columns, last < 0 && lanesAlongColumns ? e.tailMask(e.i64(0), e.i64(1), e.vl) : Value(), all);
      return updated;
    }
    Value width = e.size(columnSizes[last]);
    std::optional<int64_t> fixed = asConstant(columnSizes[last]);
    size_t groups = isReduction ? kAccumulators : 1, perGroup = carried.size() / groups;
    Value wide = e.i64(e.vl * groups), narrow = e.i64(e.vl), zero = e.i64(0);
    Value wideEnd = e.mul(e.divFloor(width, wide), wide), narrowEnd = e.mul(e.divFloor(width, narrow), narrow);
    carried = e.loop(zero, wideEnd, wide, carried, [&](Value iv, ValueRange inner) {
      SmallVector<Value> next;
      for (size_t g = 0; g < groups; ++g) {
        columns[last] = e.add(iv, e.i64(g * e.vl));
        llvm::append_range(next, step(columns, {}, inner.slice(g * perGroup, perGroup)));
      }
      return next;
    });
    auto single = [&](Value iv, ValueRange inner, Value mask) {
      SmallVector<Value> next(inner);
      columns[last] = iv;
      SmallVector<Value> updated = step(columns, mask, inner.take_front(perGroup));
      llvm::copy(updated, next.begin());
      return next;
    };
    if (groups > 1)
      carried = e.loop(wideEnd, narrowEnd, narrow, carried,
                       [&](Value iv, ValueRange inner) { return single(iv, inner, {}); });
    if (!fixed || *fixed % e.vl != 0) {
      // At most one more turn, under a mask.
      carried = e.loop(narrowEnd, width, narrow, carried,
                       [&](Value iv, ValueRange inner) { return single(iv, inner, e.tailMask(iv, width, e.vl)); });
    }
    return carried;
  };
  accumulators = nest(0, {}, SmallVector<Value>(accumulators.begin(), accumulators.end()));
}

void RowsKernel::emitRow(ArrayRef<Value> positions, Value mask) {
  rowPositions.assign(positions.begin(), positions.end());
  laneMask = mask;
  reduced.clear();
  for (auto &[value, entry] : cached)
    entry.isComputed = false;
  auto endPass = [&](ValueRange roots) {
    // What this pass has evaluated is in its cache from now on.
    llvm::SmallPtrSet<Operation *, 16> seen;
    SmallVector<Value> work(roots);
    while (!work.empty()) {
      Value value = work.pop_back_val();
      Operation *op = value.getDefiningOp();
      if (!op || isa<ReduceOp>(op) || !seen.insert(op).second)
        continue;
      if (auto it = cached.find(value); it != cached.end())
        it->second.isComputed = true;
      llvm::append_range(work, op->getOperands());
    }
  };
  for (ReduceOp op : reductions) {
    Type element = getElementTypeOrSelf(op.getType());
    // Half floats accumulate in f32.
    Type accumulate = element.isF16() || element.isBF16() ? Type(e.b.getF32Type()) : element;
    Value start = e.splat(e.constant(e.identity(op.getKind(), accumulate)), e.vl);
    SmallVector<Value> accumulators(lanesAlongColumns ? kAccumulators : 1, start);
    emitPass(
        [&](Evaluator &ev, const Point &point, ValueRange carried) -> SmallVector<Value> {
          Value value = ev.vectorAt(op.getInput(), point);
          if (!value) {
            status = failure();
            return SmallVector<Value>(carried);
          }
          if (accumulate != element)
            value = arith::ExtFOp::create(e.b, e.loc, start.getType(), value);
          if (ev.mask && lanesAlongColumns)
            value = e.select(ev.mask, value, start);
          return {e.combine(op.getKind(), carried[0], value)};
        },
        accumulators, lanesAlongColumns);
    if (failed(status))
      return;
    while (accumulators.size() > 1) {
      SmallVector<Value> halves;
      for (size_t i = 0; i < accumulators.size(); i += 2)
        halves.push_back(e.combine(op.getKind(), accumulators[i], accumulators[i + 1]));
      accumulators = halves;
    }
    Value result = lanesAlongColumns ? e.reduceLanes(op.getKind(), accumulators[0]) : accumulators[0];
    if (accumulate != element) {
      Type rounded = lanesAlongColumns ? element : Type(e.vectorOf(element, e.vl));
      result = arith::TruncFOp::create(e.b, e.loc, rounded, result);
    }
    reduced[op.getResult()] = result;
    endPass(op.getInput());
  }
  if (!fullResults.empty()) {
    SmallVector<Value> none;
    emitPass(
        [&](Evaluator &ev, const Point &point, ValueRange) -> SmallVector<Value> {
          IndexSimplifier simple = ev.simplifier();
          SmallVector<Value> values;
          for (Value result : fullResults) {
            Point at = reshapePoint(point, fullSizes, getDims(result.getType()), simple);
            values.push_back(ev.at(result, at));
            if (!values.back()) {
              status = failure();
              return {};
            }
          }
          for (auto [result, number, value] : llvm::zip(fullResults, fullResultNumbers, values)) {
            if (auto it = cached.find(result); it != cached.end() && it->second.isOutput)
              continue; // written when it was computed
            ev.store(e.outputPointer(number), cast<RankedTensorType>(result.getType()),
                     reshapePoint(point, fullSizes, getDims(result.getType()), simple), value);
          }
          return {};
        },
        none, false);
  }
  for (auto [result, number] : llvm::zip(rowResults, rowResultNumbers)) {
    Evaluator ev(e, lanesAlongColumns ? 1 : e.vl);
    ev.mask = lanesAlongColumns ? Value() : laneMask;
    bind(ev);
    Point row;
    int64_t last = -1;
    for (auto [i, size] : llvm::enumerate(rowSizes))
      if (asConstant(size) != 1)
        last = i;
    for (auto [i, position, size] : llvm::enumerate(rowPositions, rowSizes)) {
      if (asConstant(size) == 1)
        row.push_back(getAffineConstantExpr(0, context));
      else
        row.push_back(ev.bind(position, size, lanesAlongColumns ? 1 : e.vl, !lanesAlongColumns && static_cast<int64_t>(i) == last));
    }
    Point at = reshapePoint(row, rowSizes, getDims(result.getType()), ev.simplifier());
    Value value = ev.at(result, at);
    if (!value) {
      status = failure();
      return;
    }
    ev.store(e.outputPointer(number), cast<RankedTensorType>(result.getType()), at, value);
  }
}

LogicalResult RowsKernel::emit() {
  if (failed(analyze()))
    return failure();
  AffineExpr columns = product(columnSizes, context), rows = product(rowSizes, context);
  // Scratch: one cached row after the other, each aligned.
  AffineExpr scratch = getAffineConstantExpr(0, context);
  for (auto &[value, entry] : cached) {
    auto number = llvm::find(fullResults, value);
    if (number != fullResults.end() && getDims(value.getType()) == fullSizes) {
      entry.isOutput = true;
      entry.pointer = e.outputPointer(fullResultNumbers[number - fullResults.begin()]);
      continue;
    }
    entry.pointer = e.offsetPointer(e.scratch, e.b.getI8Type(), e.size(scratch));
    AffineExpr bytes = columns * storageBytes(getElementTypeOrSelf(value.getType())) * (lanesAlongColumns ? 1 : e.vl);
    // A masked tail may not touch beyond the row, but whole vectors are written where lanes run along rows.
    scratch = normalize(scratch + (bytes + 64).floorDiv(64) * 64);
  }
  int64_t work = 2 * static_cast<int64_t>(reductions.size()) + 1;
  e.kernel.walk([&](MapOp map) {
    for (Operation &op : map.getBlock()->without_terminator())
      work += op.getName().getDialectNamespace() == "math" ? 10 : 1;
  });
  int64_t typical = std::max<int64_t>(1, asConstant(columns).value_or(kTypicalSize));
  AffineExpr totalWork = product(fullSizes, context) * work;
  if (lanesAlongColumns) {
    int64_t rowBlock = std::max<int64_t>(1, kTileElements / typical);
    setSchedule(e, rows.ceilDiv(rowBlock), scratch, totalWork);
    Value rowCount = e.size(rows);
    e.loop(e.tileBegin, e.tileEnd, e.i64(1), [&](Value tile) {
      Value begin = e.mul(tile, e.i64(rowBlock)), end = e.min(e.add(begin, e.i64(rowBlock)), rowCount);
      e.loop(begin, end, e.i64(1), [&](Value row) { emitRow(delinearize(e, row, rowSizes), {}); });
    });
    return status;
  }
  // Lanes along the innermost kept dimension: a tile is a block of them at one outer point.
  int64_t last = -1;
  for (auto [i, size] : llvm::enumerate(rowSizes))
    if (asConstant(size) != 1)
      last = i;
  Dims outerSizes(ArrayRef(rowSizes).take_front(last));
  AffineExpr across = rowSizes[last].ceilDiv(e.vl);
  setSchedule(e, product(outerSizes, context) * across, scratch, totalWork);
  Value lanesAcross = e.size(across), width = e.size(rowSizes[last]);
  e.loop(e.tileBegin, e.tileEnd, e.i64(1), [&](Value tile) {
    Value outer = e.divFloor(tile, lanesAcross), block = e.mul(e.rem(tile, lanesAcross), e.i64(e.vl));
    SmallVector<Value> positions = delinearize(e, outer, outerSizes);
    positions.push_back(block);
    positions.resize(rowSizes.size(), e.i64(0));
    std::optional<int64_t> fixed = asConstant(rowSizes[last]);
    emitRow(positions, fixed && *fixed % e.vl == 0 ? Value() : e.tailMask(block, width, e.vl));
  });
  return status;
}

LogicalResult tenon::cpu::emitRows(Emitter &e) { return RowsKernel(e).emit(); }
