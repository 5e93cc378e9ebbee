// Attention by matrix units. A workgroup has 64 rows of the query, 16 for each subgroup, and goes through the keys a block at a
// time: scores in shared memory, a running softmax with several lanes for a row, weights back into the matrix unit. No score
// leaves the workgroup; blocks behind the last row of a causal mask are not read. What is summed for a row, and in which
// order, depends on the number of keys alone: blocks that are masked for it add zeros.
#include "Attention.h"
#include "MatrixUnit.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::device;
using namespace tenon::graph;

/// Rows of a workgroup, keys of a block, and neighbours that are moved together where the device has long vectors.
static constexpr int64_t kRows = 64, kKeys = 32, kChunk = 8;
/// Elements between lines in shared memory beyond their length, so that lines begin in other banks.
static constexpr int64_t kPad = 8;
/// Scores are f32: so many beyond a block.
static constexpr int64_t kScorePitch = kKeys + 4;
/// With fewer rows most of a tile would be empty.
static constexpr int64_t kFewRows = 16;

static int64_t sharedBytes(int64_t depth, int64_t columns) {
  return 2 * (kKeys * (depth + kPad) + columns * (kKeys + kPad) + kRows * (kKeys + kPad)) + 4 * (kRows * kScorePitch + kRows);
}

bool device::hasMatrixAttention(const Emitter &e, AttentionOp root) {
  Type element = getElementTypeOrSelf(root.getQuery().getType());
  if (!MatrixUnit::isFor(e.device, element) || element.isF32() || getElementTypeOrSelf(root.getKey().getType()) != element ||
      getElementTypeOrSelf(root.getValue().getType()) != element)
    return false;
  std::optional<int64_t> rows = asConstant(getDim(root.getQuery().getType(), 2)),
                         depth = asConstant(getDim(root.getQuery().getType(), 3)),
                         columns = asConstant(getDim(root.getValue().getType(), 3));
  return depth && columns && *depth % 16 == 0 && *columns % 16 == 0 && sharedBytes(*depth, *columns) <= e.device.getSharedBytes() &&
         rows.value_or(kRows) >= kFewRows;
}

namespace {
class MatrixAttention : AttentionScores {
public:
  MatrixAttention(Emitter &e, AttentionOp root)
      : AttentionScores(e, root), element(getElementTypeOrSelf(root.getQuery().getType())), unit(e.device, element),
        subgroup(MatrixUnit::lanesOf(e.device)), chunk(unit.isOpaque() ? 1 : kChunk) {}
  LogicalResult emit();

private:
  /// A matrix in shared memory whose lines are `pitch` elements apart.
  struct Block {
    Value memory;
    int64_t pitch;
  };
  /// Adds the products of a fragment and the lines of a block, whose depth begins at `at`.
  void multiply(ArrayRef<Value> left, const Block &right, int64_t at, MutableArrayRef<Value> sums);
  void loadQuery();
  void loadQueryOpaque();
  void scaleOpaque(MutableArrayRef<Value> sums);
  void bringKeys(Value begin);
  void bringValues(Value begin);
  void writeScores();
  /// The softmax of a block for this thread's row: largest score and sum of weights so far.
  SmallVector<Value> weigh(Value begin, ValueRange state);
  SmallVector<Value> addValues(ValueRange sums);
  LogicalResult store(ArrayRef<Value> sums, Value total);
  void bring(Value source, Value begin, int64_t length, function_ref<void(Value key, Value column, Value values)> put);
  /// Combines the lanes that share a row.
  Value combineRow(ReduceKind kind, Value value);

  Type element;
  MatrixUnit unit;
  int64_t subgroup, chunk, depth = 0, columns = 0, lanesPerRow = 0;
  Block keys, values, weights, scores;
  Value rowMemory; ///< a number for each row
  Value lane, tileRow, ownRow, part; ///< first row of the subgroup in the tile; this thread's row there, and share of its keys
  SmallVector<MatrixUnit::Run> runsA;
  MatrixUnit::Places places;
  SmallVector<SmallVector<Value>> query; ///< its fragments, for each step of the depth
  LogicalResult status = success();
};
} // namespace

void MatrixAttention::multiply(ArrayRef<Value> left, const Block &right, int64_t at, MutableArrayRef<Value> sums) {
  int64_t perLoad = MatrixUnit::kLines / unit.n;
  for (int64_t j = 0, n = sums.size(); j < n; j += perLoad)
    for (auto [i, part] : llvm::enumerate(unit.loadB(e, right.memory, lane, linesFrom(e, right.pitch, e.i64(j * unit.n), at), right.pitch)))
      sums[j + i] = unit.multiply(e, left, part, sums[j + i]);
}

/// Each lane reads what it holds, once; rows outside repeat the last one.
void MatrixAttention::loadQuery() {
  if (unit.isOpaque())
    return loadQueryOpaque();
  for (int64_t k = 0; k < depth; k += unit.k) {
    SmallVector<Value> parts;
    for (const MatrixUnit::Run &run : runsA) {
      Evaluator ev(e, run.length);
      Value row = e.min(e.add(rowBegin, e.add(tileRow, run.line)), e.sub(rowEnd, e.i64(1)));
      AffineExpr column = ev.bind(e.add(e.i64(k), run.depth), querySizes[3], run.length, /*isLane=*/true);
      Value value = ev.vectorAt(root.getQuery(), {bind(ev, batch, querySizes[0]), bind(ev, head, querySizes[1]),
                                                  bind(ev, row, querySizes[2]), column});
      if (!value)
        return void(status = failure());
      parts.push_back(value);
    }
    query.push_back(std::move(parts));
  }
}

/// Through the memory of the weights, so many columns at a time.
void MatrixAttention::loadQueryOpaque() {
  for (int64_t first = 0; first < depth && succeeded(status); first += kKeys) {
    int64_t count = std::min(kKeys, depth - first);
    e.loop(e.thread, e.i64(kRows * count), e.i64(e.threads), [&](Value index) {
      Value line = e.divFloor(index, e.i64(count)), column = e.rem(index, e.i64(count));
      Value row = e.min(e.add(rowBegin, line), e.sub(rowEnd, e.i64(1)));
      Evaluator ev(e, 1);
      Value value = ev.vectorAt(root.getQuery(), {bind(ev, batch, querySizes[0]), bind(ev, head, querySizes[1]),
                                                  bind(ev, row, querySizes[2]), bind(ev, e.add(e.i64(first), column), querySizes[3])});
      if (!value)
        return void(status = failure());
      e.storeShared(weights.memory, e.add(e.mul(line, e.i64(weights.pitch)), column), value);
    });
    e.barrier();
    for (int64_t k = 0; k < count; k += unit.k)
      query.push_back(unit.loadA(e, weights.memory, lane, linesFrom(e, weights.pitch, tileRow, k), weights.pitch));
    e.barrier();
  }
}

/// A block of keys or values; beyond the last key the last one again.
void MatrixAttention::bring(Value source, Value begin, int64_t length,
                            function_ref<void(Value key, Value column, Value values)> put) {
  // Neighbouring threads have neighbouring keys where values are put across, else neighbouring chunks of a key.
  bool isAcross = source == root.getValue();
  int64_t chunks = length / chunk;
  AffineExpr size = getDim(source.getType(), 3);
  e.loop(e.thread, e.i64(kKeys * chunks), e.i64(e.threads), [&](Value index) {
    Value key = isAcross ? e.rem(index, e.i64(kKeys)) : e.divFloor(index, e.i64(chunks));
    Value column = e.mul(isAcross ? e.divFloor(index, e.i64(kKeys)) : e.rem(index, e.i64(chunks)), e.i64(chunk));
    Evaluator ev(e, chunk);
    Value at = e.min(e.add(begin, key), e.sub(keyEnd, e.i64(1)));
    Point point{bind(ev, batch, keySizes[0]), bind(ev, keyHead, keySizes[1]), bind(ev, at, keySizes[2]),
                ev.bind(column, size, chunk, /*isLane=*/true)};
    Value read = ev.vectorAt(source, point);
    if (!read)
      return void(status = failure());
    put(key, column, read);
  });
}

void MatrixAttention::bringKeys(Value begin) {
  bring(root.getKey(), begin, depth, [&](Value key, Value column, Value read) {
    Value at = e.add(e.mul(key, e.i64(keys.pitch)), column);
    chunk == 1 ? e.storeShared(keys.memory, at, read) : e.storeSharedVector(keys.memory, at, read);
  });
}

/// Lines are columns, so that keys are neighbours.
void MatrixAttention::bringValues(Value begin) {
  bring(root.getValue(), begin, columns, [&](Value key, Value column, Value read) {
    for (int64_t i = 0; i < chunk; ++i)
      e.storeShared(values.memory, e.add(e.mul(e.add(column, e.i64(i)), e.i64(values.pitch)), key),
                    chunk == 1 ? read : vector::ExtractOp::create(e.b, e.loc, read, i).getResult());
  });
}

void MatrixAttention::writeScores() {
  SmallVector<Value> sums(kKeys / unit.n, unit.zeroC(e));
  for (auto [step, left] : llvm::enumerate(query))
    multiply(left, keys, step * unit.k, sums);
  for (auto [j, sum] : llvm::enumerate(sums))
    unit.storeC(e, sum, places, scores.memory, scores.pitch, tileRow, e.i64(j * unit.n));
}

Value MatrixAttention::combineRow(ReduceKind kind, Value value) {
  for (int64_t mask = 1; mask < lanesPerRow; mask *= 2) {
    Value other = e.shuffle(value, e.i64(mask));
    value = kind == ReduceKind::Max ? larger(value, other) : addf(value, other);
  }
  return value;
}

SmallVector<Value> MatrixAttention::weigh(Value begin, ValueRange state) {
  Value row = e.min(e.add(rowBegin, ownRow), e.sub(rowEnd, e.i64(1))), scale = number(root.getScale().convertToDouble());
  Value line = e.mul(ownRow, e.i64(scores.pitch)), step = e.i64(lanesPerRow), end = e.i64(kKeys);
  Value most = e.loop(part, end, step, infinity, [&](Value i, ValueRange carried) -> SmallVector<Value> {
    Value key = e.add(begin, i), isKey = e.less(key, keyEnd), index = e.add(line, i);
    Value score = masked(mul(e.loadShared(scores.memory, index), scale), row, e.select(isKey, key, begin));
    if (!score) {
      status = failure();
      return {carried[0]};
    }
    score = e.select(isKey, score, infinity);
    e.storeShared(scores.memory, index, score);
    return {larger(carried[0], score)};
  })[0];
  most = larger(state[0], combineRow(ReduceKind::Max, most));
  Value base = baseOf(most), factor = exp(sub(state[0], base));
  Value sum = e.loop(part, end, step, number(0), [&](Value i, ValueRange carried) -> SmallVector<Value> {
    Value weight = exp(sub(e.loadShared(scores.memory, e.add(line, i)), base));
    e.storeShared(weights.memory, e.add(e.mul(ownRow, e.i64(weights.pitch)), i), kernels::fromAccumulator(e, weight, element));
    return {addf(carried[0], weight)};
  })[0];
  sum = addf(mul(state[1], factor), combineRow(ReduceKind::Sum, sum));
  e.storeShared(rowMemory, ownRow, factor); // all lanes of a row the same
  return {most, sum};
}

/// Multiplies the rows by what is in `rowMemory`, through the memory of the scores.
void MatrixAttention::scaleOpaque(MutableArrayRef<Value> sums) {
  for (int64_t first = 0; first < columns; first += kKeys) {
    int64_t count = std::min(kKeys, columns - first);
    auto strip = sums.slice(first / unit.n, count / unit.n);
    for (auto [j, sum] : llvm::enumerate(strip))
      unit.storeC(e, sum, places, scores.memory, scores.pitch, tileRow, e.i64(j * unit.n));
    e.barrier();
    e.loop(e.thread, e.i64(kRows * count), e.i64(e.threads), [&](Value index) {
      Value line = e.divFloor(index, e.i64(count)), at = e.add(e.mul(line, e.i64(scores.pitch)), e.rem(index, e.i64(count)));
      e.storeShared(scores.memory, at, mul(e.loadShared(scores.memory, at), e.loadShared(rowMemory, line)));
    });
    e.barrier();
    for (auto [j, sum] : llvm::enumerate(strip))
      sum = unit.loadC(e, scores.memory, scores.pitch, tileRow, e.i64(j * unit.n));
    e.barrier();
  }
}

/// What came before is brought to the new base first.
SmallVector<Value> MatrixAttention::addValues(ValueRange sums) {
  SmallVector<Value> factors, next(sums);
  if (unit.isOpaque()) {
    scaleOpaque(next);
  } else {
    for (auto &place : places)
      factors.push_back(e.loadShared(rowMemory, e.add(tileRow, place.first)));
    Value factor = vector::FromElementsOp::create(e.b, e.loc, cast<VectorType>(sums[0].getType()), factors);
    for (Value &sum : next)
      sum = mul(sum, factor);
  }
  for (int64_t k = 0; k < kKeys; k += unit.k)
    multiply(unit.loadA(e, weights.memory, lane, linesFrom(e, weights.pitch, tileRow, k), weights.pitch), values, k, next);
  return next;
}

/// A strip of columns at a time through the memory of the scores, so that neighbouring threads store neighbours.
LogicalResult MatrixAttention::store(ArrayRef<Value> sums, Value total) {
  e.storeShared(rowMemory, ownRow, inverseOf(total));
  for (int64_t first = 0; first < columns && succeeded(status); first += kKeys) {
    int64_t count = std::min(kKeys, columns - first);
    for (int64_t j = 0; j < count / unit.n; ++j)
      unit.storeC(e, sums[first / unit.n + j], places, scores.memory, scores.pitch, tileRow, e.i64(j * unit.n));
    e.barrier();
    e.loop(e.thread, e.i64(kRows * count), e.i64(e.threads), [&](Value index) {
      Value tileLine = e.divFloor(index, e.i64(count)), column = e.rem(index, e.i64(count));
      Value sum = e.loadShared(scores.memory, e.add(e.mul(tileLine, e.i64(scores.pitch)), column));
      Value result = mul(sum, e.loadShared(rowMemory, tileLine)), row = e.add(rowBegin, tileLine);
      Value isInside = e.less(row, rowEnd);
      Evaluator ev(e, 1);
      Point point{bind(ev, batch, querySizes[0]), bind(ev, head, querySizes[1]),
                  bind(ev, e.min(row, e.sub(rowEnd, e.i64(1))), querySizes[2]), bind(ev, e.add(e.i64(first), column), width)};
      if (failed(kernels::emitEpilogue(ev, root.getResult(),
                                       {{point, kernels::fromAccumulator(e, result, getElementTypeOrSelf(root.getType())), {}, isInside}})))
        status = failure();
    });
    e.barrier();
  }
  return status;
}

LogicalResult MatrixAttention::emit() {
  if (failed(analyze()))
    return failure();
  depth = *asConstant(querySizes[3]), columns = *asConstant(width);
  e.begin(kRows / unit.m * subgroup);
  placeRows(kRows);
  Emitter::Subgroup own = e.findSubgroup();
  lane = own.lane;
  tileRow = e.mul(own.number, e.i64(unit.m));
  lanesPerRow = subgroup / unit.m;
  ownRow = e.add(tileRow, e.divFloor(lane, e.i64(lanesPerRow))), part = e.rem(lane, e.i64(lanesPerRow));
  if (!unit.isOpaque())
    runsA = unit.runsOfA(e, lane), places = unit.placesOfC(e, lane);
  keys = {e.shared(element, kKeys * (depth + kPad)), depth + kPad};
  values = {e.shared(element, columns * (kKeys + kPad)), kKeys + kPad};
  weights = {e.shared(element, kRows * (kKeys + kPad)), kKeys + kPad};
  scores = {e.shared(accumulator, kRows * kScorePitch), kScorePitch};
  rowMemory = e.shared(accumulator, kRows);
  loadQuery();

  SmallVector<Value> state{infinity, number(0)}; // largest score and sum of weights of this thread's row; then the result
  state.append(columns / unit.n, unit.zeroC(e));
  auto addBlock = [&](Value begin, ValueRange carried) {
    bringKeys(begin);
    bringValues(begin);
    if (failed(status))
      return SmallVector<Value>(carried);
    e.barrier();
    writeScores();
    e.barrier();
    SmallVector<Value> next = weigh(begin, carried.take_front(2));
    e.barrier();
    llvm::append_range(next, addValues(carried.drop_front(2)));
    e.barrier(); // before the block is replaced
    return next;
  };
  state = forBlocks(kKeys, state, addBlock);
  return failed(status) ? status : store(ArrayRef(state).drop_front(2), state[1]);
}

LogicalResult device::emitMatrixAttention(Emitter &e, AttentionOp root) { return MatrixAttention(e, root).emit(); }
