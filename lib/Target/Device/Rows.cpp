// Reductions over the same dimensions with the maps between them. A row is one point of the kept dimensions. Long rows
// belong to a workgroup, whose threads take columns in turn and combine in a fixed tree; short ones, and those whose
// neighbours lie side by side in memory, to a thread each. The order of additions depends on the row's length alone.
#include "Emitter.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::device;
using namespace tenon::graph;

/// Rows of fewer columns belong to one thread.
static constexpr int64_t kShortRow = 32;

namespace {
class RowsKernel {
public:
  explicit RowsKernel(device::Emitter &e) : e(e), context(e.b.getContext()) {}
  LogicalResult emit();

private:
  LogicalResult analyze();
  void emitRow(ArrayRef<Value> positions);
  Value reduce(ReduceOp op, ArrayRef<Value> positions);
  /// Every column of the row that this thread has.
  SmallVector<Value> forColumns(ValueRange init, device::Emitter::Body body);
  /// The point of the full shape.
  Point bind(Evaluator &ev, ArrayRef<Value> row, Value column);
  void bindReduced(Evaluator &ev);

  device::Emitter &e;
  MLIRContext *context;
  SmallVector<ReduceOp> reductions;
  Dims fullSizes, rowSizes, columnSizes;
  SmallVector<int64_t> columnDims;
  SmallVector<std::pair<unsigned, Value>> fullResults, rowResults;
  DenseMap<Value, Value> reduced;
  DenseMap<Type, Value> memories;
  bool isShared = true; ///< threads share a row
  LogicalResult status = success();
};
} // namespace

static Dims squeezed(ArrayRef<AffineExpr> sizes) {
  Dims result;
  for (AffineExpr size : sizes)
    if (asConstant(size) != 1)
      result.push_back(size);
  return result;
}

LogicalResult RowsKernel::analyze() {
  e.kernel.walk([&](ReduceOp op) { reductions.push_back(op); });
  ReduceOp first = reductions.front();
  fullSizes = getDims(first.getInput().getType());
  columnDims.assign(first.getDims().begin(), first.getDims().end());
  int64_t last = -1;
  for (auto [i, size] : llvm::enumerate(fullSizes)) {
    (llvm::is_contained(columnDims, static_cast<int64_t>(i)) ? columnSizes : rowSizes).push_back(size);
    if (asConstant(size) != 1)
      last = i;
  }
  for (ReduceOp op : reductions)
    if (getDims(op.getInput().getType()) != fullSizes || op.getDims() != first.getDims())
      return e.kernel.emitOpError("has reductions over different dimensions");
  AffineExpr columns = product(columnSizes, context), rows = product(rowSizes, context);
  std::optional<int64_t> width = asConstant(columns);
  bool isInnermost = last < 0 || llvm::is_contained(columnDims, last);
  isShared = isInnermost && (!width || *width >= kShortRow);
  for (auto [i, result] : llvm::enumerate(kernels::resultsOf(e.kernel))) {
    AffineExpr count = numElements(result.getType());
    if (count == rows && squeezed(getDims(result.getType())) == squeezed(rowSizes))
      rowResults.push_back({i, result});
    else if (count == numElements(first.getInput().getType()))
      fullResults.push_back({i, result});
    else
      return e.kernel.emitOpError() << "has a result of type " << result.getType() << " that is neither a row's nor full";
  }
  return success();
}

Point RowsKernel::bind(Evaluator &ev, ArrayRef<Value> row, Value column) {
  SmallVector<Value> columns = kernels::delinearize(e, column, columnSizes);
  Point point;
  size_t r = 0, c = 0;
  for (auto [i, size] : llvm::enumerate(fullSizes)) {
    Value position = llvm::is_contained(columnDims, static_cast<int64_t>(i)) ? columns[c++] : row[r++];
    point.push_back(asConstant(size) == 1 ? getAffineConstantExpr(0, context) : ev.bind(position, size));
  }
  return point;
}

void RowsKernel::bindReduced(Evaluator &ev) {
  for (auto [result, value] : reduced) {
    Value known = value;
    ev.bindValue(result, [known](const Point &) { return known; });
  }
}

SmallVector<Value> RowsKernel::forColumns(ValueRange init, device::Emitter::Body body) {
  Value end = e.size(product(columnSizes, context));
  return isShared ? e.loop(e.thread, end, e.i64(e.threads), init, body) : e.loop(e.i64(0), end, e.i64(1), init, body);
}

Value RowsKernel::reduce(ReduceOp op, ArrayRef<Value> positions) {
  Type element = getElementTypeOrSelf(op.getType()), accumulator = kernels::accumulatorFor(element);
  Value start = e.constant(e.identity(op.getKind(), accumulator));
  Value sum = forColumns(start, [&](Value column, ValueRange carried) {
    Evaluator ev(e, 1);
    bindReduced(ev);
    Value value = ev.at(op.getInput(), bind(ev, positions, column));
    if (!value) {
      status = failure();
      return SmallVector<Value>(carried);
    }
    return SmallVector<Value>{e.combine(op.getKind(), carried[0], kernels::toAccumulator(e, value, accumulator))};
  })[0];
  if (isShared) {
    Type stored = accumulator.isInteger(1) ? Type(e.b.getI32Type()) : accumulator;
    Value &memory = memories[stored];
    if (!memory)
      memory = e.shared(stored, e.threads);
    sum = e.combineThreads(op.getKind(), sum, memory);
  }
  return kernels::fromAccumulator(e, sum, element);
}

void RowsKernel::emitRow(ArrayRef<Value> positions) {
  for (ReduceOp op : reductions) {
    Value value = reduce(op, positions);
    if (failed(status))
      return;
    reduced[op.getResult()] = value;
  }
  if (!fullResults.empty())
    forColumns({}, [&](Value column, ValueRange) -> SmallVector<Value> {
      Evaluator ev(e, 1);
      bindReduced(ev);
      Point point = bind(ev, positions, column);
      IndexSimplifier simple = ev.simplifier();
      SmallVector<Value> values;
      SmallVector<Point> places;
      for (auto [number, result] : fullResults) {
        places.push_back(reshapePoint(point, fullSizes, getDims(result.getType()), simple));
        values.push_back(ev.at(result, places.back()));
        if (!values.back()) {
          status = failure();
          return {};
        }
      }
      for (auto [target, place, value] : llvm::zip(fullResults, places, values))
        ev.store(e.outputPointer(target.first), cast<RankedTensorType>(target.second.getType()), place, value);
      return {};
    });
  if (rowResults.empty())
    return;
  auto store = [&] {
    Evaluator ev(e, 1);
    bindReduced(ev);
    Point row = kernels::bindPoint(ev, positions, rowSizes);
    for (auto [number, result] : rowResults) {
      Point at = reshapePoint(row, rowSizes, getDims(result.getType()), ev.simplifier());
      Value value = ev.at(result, at);
      if (!value) {
        status = failure();
        return;
      }
      ev.store(e.outputPointer(number), cast<RankedTensorType>(result.getType()), at, value);
    }
  };
  if (isShared)
    e.ifThen(arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::eq, e.thread, e.i64(0)), store);
  else
    store();
}

LogicalResult RowsKernel::emit() {
  if (failed(analyze()))
    return failure();
  e.begin(kThreads);
  AffineExpr rows = product(rowSizes, context), none = getAffineConstantExpr(0, context);
  AffineExpr work = product(fullSizes, context) * (kernels::workPerPoint(e.kernel) + 2 * static_cast<int64_t>(reductions.size()));
  if (isShared) {
    kernels::setSchedule(e, rows, none, work);
    emitRow(kernels::delinearize(e, e.group, rowSizes));
    return status;
  }
  kernels::setSchedule(e, normalize(rows.ceilDiv(e.threads)), none, work);
  Value row = e.add(e.mul(e.group, e.i64(e.threads)), e.thread);
  e.ifThen(e.less(row, e.size(rows)), [&] { emitRow(kernels::delinearize(e, row, rowSizes)); });
  return status;
}

LogicalResult device::emitRows(Emitter &e) { return RowsKernel(e).emit(); }
