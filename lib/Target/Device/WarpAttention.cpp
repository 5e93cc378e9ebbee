// Attention by `mma`, after FlashAttention-2 (Dao, 2023): a warp keeps its rows' scores, weights and results in registers, since what
// a lane has of a product's sums is what it gives of the next one's operand. Keys and values go through shared memory, a block ahead
// of what is multiplied. What is summed for a row, and in which order, depends on the number of keys alone: blocks that are masked for
// it add zeros.
#include "AsyncCopy.h"
#include "Attention.h"
#include "MatrixUnit.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::device;
using namespace tenon::graph;

/// Warps of a workgroup, and rows that an instruction multiplies.
static constexpr int64_t kWarps = 4, kUnit = 16;
/// Blocks in shared memory.
static constexpr int64_t kStages = 2;
/// Elements that are moved together, and by which lines in shared memory are longer, so that they begin in other banks.
static constexpr int64_t kChunk = 8, kPad = kChunk;
/// With fewer rows most of a tile would be empty.
static constexpr int64_t kFewRows = 16;

namespace {
/// Rows of a warp in units, and keys of a block.
struct Tiling {
  int64_t units, keys;
  int64_t rows() const { return kWarps * kUnit * units; }
};

class WarpAttention : AttentionScores {
public:
  WarpAttention(Emitter &e, AttentionOp root, Tiling tiling)
      : AttentionScores(e, root), tiling(tiling), element(getElementTypeOrSelf(root.getQuery().getType())),
        unit(e.device, element) {}
  LogicalResult emit();

private:
  /// What is the same for the rows of a slot: each lane has two rows of a unit.
  int64_t slots() const { return 2 * tiling.units; }
  Value rowOf(int64_t slot);

  /// Lines of `source` from `begin` on, to lines from `to` on; beyond the last line that one again.
  void bring(Value source, Value memory, int64_t pitch, int64_t lines, Value begin, Value end, Value headAt, Value to);
  /// Where a block's lines are.
  Value stageOf(Value begin) { return e.mul(e.rem(e.divFloor(begin, e.i64(tiling.keys)), e.i64(kStages)), e.i64(tiling.keys)); }
  void bringBlock(Value begin) {
    bring(root.getKey(), keys, depth + kPad, tiling.keys, begin, keyEnd, keyHead, stageOf(begin));
    bring(root.getValue(), values, columns + kPad, tiling.keys, begin, keyEnd, keyHead, stageOf(begin));
  }

  using Sums = SmallVector<SmallVector<Value>>; ///< of each unit, for eight columns each
  Sums multiplyKeys(Value stage);
  /// Scores under masks, to the base 2 without `factor`. `isChecked`: some keys may be hidden or none.
  void mask(Sums &scores, Value begin, bool isChecked);
  /// Weights as operands, for each unit of rows and of keys; what was summed before is brought to the new base.
  using Weights = SmallVector<SmallVector<MatrixUnit::Fragment>>;
  Weights weigh(Sums scores, SmallVectorImpl<Value> &state);
  void addValues(Value stage, const Weights &weights, SmallVectorImpl<Value> &state);
  SmallVector<Value> runBlocks(Value begin, Value end, ValueRange state, bool isChecked);
  LogicalResult store(ArrayRef<Value> state);

  Value most(Value a, Value b) { return arith::MaxNumFOp::create(e.b, e.loc, a, b); }
  /// Combines the four lanes that share a row.
  Value combineLanes(Value value, function_ref<Value(Value, Value)> combine);

  Tiling tiling;
  Type element;
  MatrixUnit unit;
  int64_t depth = 0, columns = 0;
  /// Whether a block may have a key that is kept; null: it cannot be told.
  Value keepsOf(Value begin) { return keepsAny(begin, e.sub(e.min(e.add(begin, e.i64(tiling.keys)), keyEnd), e.i64(1))); }

  bool isKept = false;    ///< it can be told, and is the last of what is carried from block to block
  bool hasScores = false; ///< scores are computed further: a score function, a mask
  double factor = 1;      ///< from sums of products to exponents of 2
  Value queries, keys, values; ///< shared memory
  Value lane, warpRow;
  LogicalResult status = success();
};
} // namespace

static int64_t sharedBytes(const Tiling &tiling, int64_t depth, int64_t columns) {
  return 2 * (tiling.rows() * (std::max(depth, columns) + kPad) + kStages * tiling.keys * (depth + columns + 2 * kPad));
}

/// Nullopt when the device, the types or the sizes are not those that it is made for.
static std::optional<Tiling> tilingFor(const Emitter &e, AttentionOp root) {
  static constexpr int64_t kWidest = 256;
  Type element = getElementTypeOrSelf(root.getQuery().getType());
  auto isSame = [&](Value value) { return getElementTypeOrSelf(value.getType()) == element; };
  Dims sizes = getDims(root.getQuery().getType());
  std::optional<int64_t> rows = asConstant(sizes[2]), depth = asConstant(sizes[3]),
                         columns = asConstant(getDim(root.getValue().getType(), 3));
  if (!AsyncCopy::isFor(e.device) || !MatrixUnit::isFor(e.device, element) || element.isF32() || !isSame(root.getKey()) ||
      !isSame(root.getValue()) || !isSame(root.getResult()) || !depth || !columns || *depth % 16 != 0 || *columns % 16 != 0 ||
      *depth > kWidest || *columns > kWidest || rows.value_or(kManyElements) < kFewRows || root.getScale().convertToDouble() <= 0)
    return std::nullopt;
  // More keys, or rows, of wide heads would not fit into registers.
  bool isWide = std::max(*depth, *columns) > 64, isVeryWide = std::max(*depth, *columns) > 128;
  int64_t heads = asConstant(sizes[0]).value_or(kManyElements) * asConstant(sizes[1]).value_or(kManyElements);
  bool isLarge = !isVeryWide && !root.hasBody() && !root.getMask() && rows.value_or(kManyElements) > 64 &&
                 heads * llvm::divideCeil(rows.value_or(kManyElements), 128) >= kProcessors;
  for (Tiling tiling{isLarge ? 2 : 1, isWide ? 32 : 64}; tiling.keys >= 16; tiling.keys /= 2)
    if (sharedBytes(tiling, *depth, *columns) <= e.device.getSharedBytes())
      return tiling;
  return std::nullopt;
}

Value WarpAttention::rowOf(int64_t slot) {
  Value line = e.add(e.i64(slot / 2 * kUnit + slot % 2 * 8), e.divFloor(lane, e.i64(4)));
  return e.add(e.add(rowBegin, warpRow), line);
}

Value WarpAttention::combineLanes(Value value, function_ref<Value(Value, Value)> combine) {
  for (int64_t mask : {1, 2})
    value = combine(value, e.shuffle(value, e.i64(mask)));
  return value;
}

//===----------------------------------------------------------------------===//
// Blocks
//===----------------------------------------------------------------------===//

void WarpAttention::bring(Value source, Value memory, int64_t pitch, int64_t lines, Value begin, Value lineEnd, Value headAt,
                          Value to) {
  int64_t chunks = (pitch - kPad) / kChunk, total = lines * chunks;
  Dims sizes = getDims(source.getType());
  auto bringOne = [&](Value from, Value line, Value chunk) { // where it is in memory, and in the block
    Value column = e.mul(chunk, e.i64(kChunk)), place = e.add(e.mul(line, e.i64(pitch)), column);
    Evaluator ev(e, kChunk);
    Value at = e.min(from, e.sub(lineEnd, e.i64(1)));
    Value read = ev.vectorAt(source, {bind(ev, batch, sizes[0]), bind(ev, headAt, sizes[1]), bind(ev, at, sizes[2]),
                                      ev.bind(column, sizes[3], kChunk, /*isLane=*/true)});
    if (!read)
      return void(status = failure());
    if (std::optional<AsyncCopy> copy = AsyncCopy::find(e, read))
      copy->start(e, e.sharedAddress(memory, place));
    else
      e.storeSharedVector(memory, place, read);
  };
  if (e.threads % chunks != 0 || total % e.threads != 0)
    return e.loop(e.thread, e.i64(total), e.i64(e.threads), [&](Value index) {
      Value line = e.divFloor(index, e.i64(chunks));
      bringOne(e.add(begin, line), e.add(to, line), e.rem(index, e.i64(chunks)));
    });
  // A thread's lines are so far apart that little has to be known of each.
  Value line = e.divFloor(e.thread, e.i64(chunks)), chunk = e.rem(e.thread, e.i64(chunks)), first = e.add(begin, line);
  for (int64_t i = 0; i < lines && succeeded(status); i += e.threads / chunks)
    bringOne(e.add(first, e.i64(i)), e.add(e.add(to, line), e.i64(i)), chunk);
}

WarpAttention::Sums WarpAttention::multiplyKeys(Value stage) {
  Sums scores(tiling.units, SmallVector<Value>(tiling.keys / unit.n, unit.zeroC(e)));
  int64_t pitch = depth + kPad;
  for (int64_t k = 0; k < depth; k += unit.k) {
    SmallVector<MatrixUnit::Fragment> left;
    for (int64_t i = 0; i < tiling.units; ++i)
      left.push_back(unit.loadA(e, queries, lane, linesFrom(e, pitch, e.add(warpRow, e.i64(i * kUnit)), k), pitch));
    for (int64_t key = 0; key < tiling.keys; key += MatrixUnit::kLines)
      for (auto [j, right] : llvm::enumerate(unit.loadB(e, keys, lane, linesFrom(e, pitch, e.add(stage, e.i64(key)), k), pitch)))
        for (int64_t i = 0; i < tiling.units; ++i) {
          Value &sum = scores[i][key / unit.n + j];
          sum = unit.multiply(e, left[i], right, sum);
        }
  }
  return scores;
}

void WarpAttention::mask(Sums &scores, Value begin, bool isChecked) {
  if (!hasScores && !isChecked)
    return;
  Value scale = number(root.getScale().convertToDouble()), toBase2 = number(llvm::numbers::log2e);
  // The lane's keys begin here, and so many from there on are seen: one small comparison for each score.
  Value first = e.add(begin, e.mul(e.rem(lane, e.i64(4)), e.i64(2)));
  auto limitFrom = [&](Value keyLimit) {
    Value count = e.min(e.max(e.sub(keyLimit, first), e.i64(0)), e.i64(tiling.keys));
    return arith::TruncIOp::create(e.b, e.loc, e.b.getI32Type(), count).getResult();
  };
  SmallVector<Value> rows, limits;
  for (int64_t slot = 0; slot < slots(); ++slot) {
    rows.push_back(rowOf(slot));
    bool isCausal = root.getCausal() && !hasScores;
    limits.push_back(limitFrom(isCausal ? e.min(keyEnd, e.add(rows.back(), e.i64(1))) : keyEnd));
    // Rows outside are none, but masks may be read there.
    rows.back() = e.min(rows.back(), e.sub(rowEnd, e.i64(1)));
  }
  for (auto [i, sums] : llvm::enumerate(scores))
    for (auto [t, sum] : llvm::enumerate(sums)) {
      SmallVector<Value> elements;
      for (int64_t c = 0; c < 4; ++c) {
        int64_t slot = 2 * i + c / 2, offset = t * unit.n + c % 2;
        Value score = vector::ExtractOp::create(e.b, e.loc, sum, c), isSeen;
        if (isChecked) {
          Value at = arith::ConstantOp::create(e.b, e.loc, e.b.getI32IntegerAttr(offset));
          isSeen = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::slt, at, limits[slot]);
        }
        if (hasScores) {
          Value key = e.add(first, e.i64(offset));
          score = masked(mul(score, scale), rows[slot], isSeen ? e.select(isSeen, key, begin) : key);
          if (!score)
            return void(status = failure());
          score = mul(score, toBase2);
        }
        elements.push_back(isSeen ? e.select(isSeen, score, infinity) : score);
      }
      sum = vector::FromElementsOp::create(e.b, e.loc, cast<VectorType>(sum.getType()), elements);
    }
}

WarpAttention::Weights WarpAttention::weigh(Sums scores, SmallVectorImpl<Value> &state) {
  SmallVector<Value> bases, factors;
  auto elementOf = [&](Value sums, int64_t c) { return vector::ExtractOp::create(e.b, e.loc, sums, c).getResult(); };
  for (int64_t slot = 0; slot < slots(); ++slot) {
    Value largest;
    for (Value sums : scores[slot / 2])
      for (int64_t c : {0, 1}) {
        Value score = elementOf(sums, slot % 2 * 2 + c);
        largest = largest ? most(largest, score) : score;
      }
    largest = combineLanes(largest, [&](Value a, Value b) { return most(a, b); });
    Value before = state[2 * slot], now = most(before, factor == 1 ? largest : mul(largest, number(factor)));
    bases.push_back(sub(number(0), baseOf(now)));
    factors.push_back(exp2(addf(before, bases.back())));
    state[2 * slot] = now;
    state[2 * slot + 1] = mul(state[2 * slot + 1], factors.back());
  }
  for (auto [i, sums] : llvm::enumerate(scores))
    for (Value &sum : sums) {
      SmallVector<Value> elements;
      for (int64_t c = 0; c < 4; ++c) {
        int64_t slot = 2 * i + c / 2;
        Value score = elementOf(sum, c);
        Value weight = exp2(factor == 1 ? addf(score, bases[slot]) : e.fma(score, number(factor), bases[slot]));
        state[2 * slot + 1] = addf(state[2 * slot + 1], weight); // of this lane's keys
        elements.push_back(weight);
      }
      sum = vector::FromElementsOp::create(e.b, e.loc, cast<VectorType>(sum.getType()), elements);
    }
  MutableArrayRef<Value> results = MutableArrayRef(state).drop_front(2 * slots());
  int64_t perUnit = columns / unit.n;
  for (int64_t i = 0; i < tiling.units; ++i) {
    Value both[] = {factors[2 * i], factors[2 * i], factors[2 * i + 1], factors[2 * i + 1]};
    Value by = vector::FromElementsOp::create(e.b, e.loc, VectorType::get(4, accumulator), both);
    for (Value &sum : results.slice(i * perUnit, perUnit))
      sum = mul(sum, by);
  }
  Weights weights(tiling.units);
  for (auto [i, sums] : llvm::enumerate(scores))
    for (size_t t = 0; t < sums.size(); t += unit.k / unit.n)
      weights[i].push_back(unit.asA(e, sums[t], sums[t + 1]));
  return weights;
}

void WarpAttention::addValues(Value stage, const Weights &weights, SmallVectorImpl<Value> &state) {
  MutableArrayRef<Value> results = MutableArrayRef(state).drop_front(2 * slots());
  int64_t perUnit = columns / unit.n;
  for (int64_t key = 0; key < tiling.keys; key += unit.k) {
    for (int64_t column = 0; column < columns; column += MatrixUnit::kLines) {
      auto places = linesFrom(e, columns + kPad, e.add(stage, e.i64(key)), column);
      for (auto [j, right] : llvm::enumerate(unit.loadAcross(e, values, lane, places)))
        for (int64_t i = 0; i < tiling.units; ++i) {
          Value &sum = results[i * perUnit + column / unit.n + j];
          sum = unit.multiply(e, weights[i][key / unit.k], right, sum);
        }
    }
  }
}

SmallVector<Value> WarpAttention::runBlocks(Value begin, Value blockEnd, ValueRange init, bool isChecked) {
  return e.loop(begin, blockEnd, e.i64(tiling.keys), init, [&](Value at, ValueRange carried) {
    SmallVector<Value> state(carried);
    AsyncCopy::await(e, 0);
    e.barrier(); // the block is there, and the one before is read
    Value next = e.add(at, e.i64(tiling.keys)), stage = stageOf(at);
    Value isNeeded = isKept ? state.pop_back_val() : Value(), isNextNeeded = isNeeded ? keepsOf(next) : Value();
    Value isNext = e.less(next, end);
    if (isNextNeeded)
      isNext = arith::AndIOp::create(e.b, e.loc, isNext, isNextNeeded);
    e.ifThen(isNext, [&] { bringBlock(next); });
    AsyncCopy::commit(e);
    state = where(isNeeded, state, [&] {
      SmallVector<Value> sums(state);
      Sums scores = multiplyKeys(stage);
      mask(scores, at, isChecked);
      if (succeeded(status)) {
        Weights weights = weigh(std::move(scores), sums);
        addValues(stage, weights, sums);
      }
      return sums;
    });
    if (isNextNeeded)
      state.push_back(isNextNeeded);
    return state;
  });
}

//===----------------------------------------------------------------------===//
// Kernels
//===----------------------------------------------------------------------===//

/// Through the memory of the query, so that neighbouring threads store neighbours.
LogicalResult WarpAttention::store(ArrayRef<Value> state) {
  int64_t pitch = columns + kPad, perUnit = columns / unit.n;
  for (int64_t slot = 0; slot < slots(); ++slot) {
    Value inverse = inverseOf(combineLanes(state[2 * slot + 1], [&](Value a, Value b) { return addf(a, b); }));
    Value line = e.mul(e.sub(rowOf(slot), rowBegin), e.i64(pitch));
    for (int64_t t = 0; t < perUnit; ++t) {
      Value sums = state[2 * slots() + slot / 2 * perUnit + t];
      SmallVector<Value> pair;
      for (int64_t c : {0, 1})
        pair.push_back(mul(vector::ExtractOp::create(e.b, e.loc, sums, slot % 2 * 2 + c), inverse));
      Value both = vector::FromElementsOp::create(e.b, e.loc, VectorType::get(2, accumulator), pair);
      Value column = e.add(e.i64(t * unit.n), e.mul(e.rem(lane, e.i64(4)), e.i64(2)));
      e.storeSharedVector(queries, e.add(line, column), kernels::fromAccumulator(e, both, element));
    }
  }
  e.barrier();
  auto pointAt = [&](Evaluator &ev, Value row, Value column) -> Point {
    return {bind(ev, batch, querySizes[0]), bind(ev, head, querySizes[1]), bind(ev, row, querySizes[2]),
            ev.bind(column, width, ev.lanes, /*isLane=*/ev.lanes > 1)};
  };
  int64_t lanes = kChunk;
  {
    Evaluator ev(e, lanes);
    if (!kernels::storesNeighbours(ev, root.getResult(), pointAt(ev, e.i64(0), e.i64(0))))
      lanes = 1;
  }
  e.loop(e.thread, e.i64(tiling.rows() * columns / lanes), e.i64(e.threads), [&](Value index) {
    Value line = e.divFloor(index, e.i64(columns / lanes)), column = e.mul(e.rem(index, e.i64(columns / lanes)), e.i64(lanes));
    Value at = e.add(e.mul(line, e.i64(pitch)), column), row = e.add(rowBegin, line);
    Value result = lanes == 1 ? e.loadShared(queries, at) : e.loadSharedVector(queries, at, lanes);
    Evaluator ev(e, lanes);
    Point point = pointAt(ev, e.min(row, e.sub(rowEnd, e.i64(1))), column);
    if (failed(kernels::emitEpilogue(ev, root.getResult(), {{point, result, {}, e.less(row, rowEnd)}})))
      status = failure();
  });
  return status;
}

LogicalResult WarpAttention::emit() {
  if (failed(analyze()))
    return failure();
  depth = *asConstant(querySizes[3]), columns = *asConstant(width);
  hasScores = root.hasBody() || root.getMask();
  factor = hasScores ? 1 : root.getScale().convertToDouble() * llvm::numbers::log2e;
  placeRows(tiling.rows());
  Emitter::Subgroup own = e.findSubgroup();
  lane = own.lane;
  warpRow = e.mul(own.number, e.i64(kUnit * tiling.units));
  queries = e.shared(element, tiling.rows() * (std::max(depth, columns) + kPad));
  keys = e.shared(element, kStages * tiling.keys * (depth + kPad));
  values = e.shared(element, kStages * tiling.keys * (columns + kPad));

  prepareRanges();
  Value isFirstNeeded = keepsOf(e.i64(0)), isFirst = e.less(e.i64(0), end);
  isKept = static_cast<bool>(isFirstNeeded);
  if (isKept)
    isFirst = arith::AndIOp::create(e.b, e.loc, isFirst, isFirstNeeded);
  bring(root.getQuery(), queries, depth + kPad, tiling.rows(), rowBegin, rowEnd, head, e.i64(0));
  e.ifThen(isFirst, [&] { bringBlock(e.i64(0)); });
  AsyncCopy::commit(e);
  if (failed(status))
    return failure();
  SmallVector<Value> state;
  for (int64_t slot = 0; slot < slots(); ++slot)
    llvm::append_range(state, ArrayRef<Value>{infinity, number(0)}); // largest score, and sum of weights
  state.append(tiling.units * columns / unit.n, unit.zeroC(e));
  if (isKept)
    state.push_back(isFirstNeeded);
  // Blocks whose keys all rows see, then the others.
  std::optional<int64_t> count = asConstant(keySizes[2]);
  bool isWhole = count && *count % tiling.keys == 0 && (!root.getCausal() || hasScores);
  Value seen = root.getCausal() && !hasScores ? e.min(keyEnd, e.add(rowBegin, e.i64(1))) : keyEnd;
  Value whole = isWhole ? keyEnd : e.mul(e.divFloor(seen, e.i64(tiling.keys)), e.i64(tiling.keys));
  if (root.getCausal())
    whole = e.min(whole, end);
  state = runBlocks(e.i64(0), whole, state, /*isChecked=*/false);
  if (!isWhole && succeeded(status))
    state = runBlocks(whole, end, state, /*isChecked=*/true);
  AsyncCopy::await(e, 0);
  e.barrier(); // the query is read
  return failed(status) ? failure() : store(state);
}

bool device::hasWarpAttention(const Emitter &e, AttentionOp root) { return tilingFor(e, root).has_value(); }

LogicalResult device::emitWarpAttention(Emitter &e, AttentionOp root) {
  e.begin(kWarps * 32);
  return WarpAttention(e, root, *tilingFor(e, root)).emit();
}
