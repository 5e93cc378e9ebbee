// Attention by lanes, where no matrix unit is of use: a few rows of the query (a step of a decoder has one), or operands that it does
// not take. A few neighbouring lanes have a key at a time, each a piece of its depth; they keep a softmax of their own over the keys
// that they had, and the columns of the result that lie as their piece does. All meet once, at the end. So that there is no barrier on
// the way, and everything is read in whole lines. Which lanes have which keys depends on the number of keys alone.
#include "Attention.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::device;
using namespace tenon::graph;

/// Keys that a lane has under way, and most rows of a workgroup.
static constexpr int64_t kAhead = 4, kRows = 4;

namespace {
class LaneAttention : AttentionScores {
public:
  LaneAttention(Emitter &e, AttentionOp root) : AttentionScores(e, root) {}
  LogicalResult emit();

private:
  /// The lane's pieces of a line: of `source` at `line`, as vectors of the accumulator.
  SmallVector<Value> read(Value source, Value headAt, Value line, int64_t length);
  /// Where the lane's `i`-th piece begins; pieces beyond `length` read the last one.
  Value pieceAt(int64_t i, int64_t length) {
    return e.min(e.mul(e.add(part, e.i64(i * lanes)), e.i64(pieceSize)), e.i64(length - pieceSize));
  }
  int64_t countPieces(int64_t length) const { return llvm::divideCeil(length, lanes * pieceSize); }
  Value zeroBeyond(Value piece, int64_t i, int64_t length);
  /// Another few keys: largest score, sum of weights and pieces of the result for each row.
  SmallVector<Value> addKeys(Value begin, ValueRange state);
  LogicalResult store(ArrayRef<Value> state);
  int64_t stateSize() const { return 2 + countPieces(columns); }

  int64_t depth = 0, columns = 0, rows = 0;
  int64_t pieceSize = 1;         ///< elements of a piece
  int64_t lanes = 1, groups = 0; ///< that have a key together, and so many times in a workgroup
  Value part, group;
  SmallVector<SmallVector<Value>> query; ///< pieces of each row, scaled
  LogicalResult status = success();
};
} // namespace

SmallVector<Value> LaneAttention::read(Value source, Value headAt, Value line, int64_t length) {
  Dims sizes = getDims(source.getType());
  SmallVector<Value> pieces;
  for (int64_t i = 0; i < countPieces(length); ++i) {
    Evaluator ev(e, pieceSize);
    Value value = ev.vectorAt(source, {bind(ev, batch, sizes[0]), bind(ev, headAt, sizes[1]), bind(ev, line, sizes[2]),
                                       ev.bind(pieceAt(i, length), sizes[3], pieceSize, /*isLane=*/pieceSize > 1)});
    if (!value) {
      status = failure();
      return {};
    }
    pieces.push_back(value);
  }
  return pieces;
}

Value LaneAttention::zeroBeyond(Value piece, int64_t i, int64_t length) {
  if ((i + 1) * lanes * pieceSize <= length)
    return piece;
  Value isInside = e.less(e.mul(e.add(part, e.i64(i * lanes)), e.i64(pieceSize)), e.i64(length));
  return e.select(isInside, piece, e.zeros(piece.getType()));
}

SmallVector<Value> LaneAttention::addKeys(Value begin, ValueRange carried) {
  SmallVector<Value> state(carried);
  // Everything is asked for first.
  SmallVector<Value> places, isKey;
  SmallVector<SmallVector<Value>> keys, values;
  for (int64_t u = 0; u < kAhead && succeeded(status); ++u) {
    Value key = e.add(begin, e.add(e.i64(u * groups), group));
    isKey.push_back(e.less(key, end));
    places.push_back(e.min(key, e.sub(keyEnd, e.i64(1))));
    keys.push_back(read(root.getKey(), keyHead, places.back(), depth));
    values.push_back(read(root.getValue(), keyHead, places.back(), columns));
  }
  if (failed(status))
    return state;
  for (auto *side : {&keys, &values})
    for (auto &pieces : *side)
      for (Value &piece : pieces)
        piece = kernels::toAccumulator(e, piece, accumulator);
  for (int64_t r = 0; r < rows; ++r) {
    Value row = e.min(e.add(rowBegin, e.i64(r)), e.sub(rowEnd, e.i64(1)));
    MutableArrayRef<Value> own = MutableArrayRef(state).slice(r * stateSize(), stateSize());
    SmallVector<Value> scores;
    Value most = own[0];
    for (int64_t u = 0; u < kAhead; ++u) {
      Value products;
      for (auto [ofQuery, ofKey] : llvm::zip(query[r], keys[u]))
        products = products ? e.fma(ofQuery, ofKey, products) : mul(ofQuery, ofKey);
      Value score = e.reduceLanes(ReduceKind::Sum, products);
      for (int64_t mask = 1; mask < lanes; mask *= 2)
        score = addf(score, e.shuffle(score, e.i64(mask)));
      score = masked(score, row, places[u]);
      if (!score) {
        status = failure();
        return state;
      }
      scores.push_back(e.select(isKey[u], score, infinity));
      most = larger(most, scores.back());
    }
    Value base = baseOf(most), factor = weightOf(sub(own[0], base));
    own[0] = most;
    auto times = [&](Value vector, Value number) { return mul(vector, pieceSize == 1 ? number : e.splat(number, pieceSize)); };
    for (Value &value : own.drop_front())
      value = isa<VectorType>(value.getType()) ? times(value, factor) : mul(value, factor);
    for (int64_t u = 0; u < kAhead; ++u) {
      Value weight = weightOf(sub(scores[u], base));
      own[1] = addf(own[1], weight);
      for (auto [i, piece] : llvm::enumerate(values[u]))
        own[2 + i] = e.fma(pieceSize == 1 ? weight : e.splat(weight, pieceSize), piece, own[2 + i]);
    }
  }
  return state;
}

/// Row by row: each group's softmax to shared memory, and every column by one thread.
LogicalResult LaneAttention::store(ArrayRef<Value> state) {
  Value mosts = e.shared(accumulator, groups), sums = e.shared(accumulator, groups), results = e.shared(accumulator, groups * columns);
  for (int64_t r = 0; r < rows && succeeded(status); ++r) {
    ArrayRef<Value> own = state.slice(r * stateSize(), stateSize());
    e.ifThen(arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::eq, part, e.i64(0)), [&] {
      e.storeShared(mosts, group, own[0]);
      e.storeShared(sums, group, own[1]);
    });
    for (int64_t i = 0; i < countPieces(columns); ++i) {
      Value first = e.mul(e.add(part, e.i64(i * lanes)), e.i64(pieceSize));
      auto put = [&] {
        Value at = e.add(e.mul(group, e.i64(columns)), first);
        pieceSize == 1 ? e.storeShared(results, at, own[2 + i]) : e.storeSharedVector(results, at, own[2 + i]);
      };
      if ((i + 1) * lanes * pieceSize <= columns)
        put();
      else
        e.ifThen(e.less(first, e.i64(columns)), put);
    }
    e.barrier();
    e.loop(e.thread, e.i64(columns), e.i64(e.threads), [&](Value column) {
      Value most = e.loop(e.i64(0), e.i64(groups), e.i64(1), infinity, [&](Value g, ValueRange before) -> SmallVector<Value> {
        return {larger(before[0], e.loadShared(mosts, g))};
      })[0];
      Value base = baseOf(most);
      SmallVector<Value> total = e.loop(e.i64(0), e.i64(groups), e.i64(1), ValueRange{number(0), number(0)},
                                        [&](Value g, ValueRange before) -> SmallVector<Value> {
        Value weight = weightOf(sub(e.loadShared(mosts, g), base));
        Value result = e.loadShared(results, e.add(e.mul(g, e.i64(columns)), column));
        return {e.fma(weight, e.loadShared(sums, g), before[0]), e.fma(weight, result, before[1])};
      });
      Value row = e.add(rowBegin, e.i64(r)), isInside = r == 0 ? Value() : e.less(row, rowEnd);
      Evaluator ev(e, 1);
      Point point{bind(ev, batch, querySizes[0]), bind(ev, head, querySizes[1]),
                  bind(ev, e.min(row, e.sub(rowEnd, e.i64(1))), querySizes[2]), bind(ev, column, width)};
      Value value = kernels::fromAccumulator(e, mul(total[1], inverseOf(total[0])), getElementTypeOrSelf(root.getType()));
      if (failed(kernels::emitEpilogue(ev, root.getResult(), {{point, value, {}, isInside}})))
        status = failure();
    });
    if (r + 1 < rows)
      e.barrier(); // before the next row is written there
  }
  return status;
}

LogicalResult LaneAttention::emit() {
  if (failed(analyze()))
    return failure();
  depth = *asConstant(querySizes[3]), columns = *asConstant(width);
  // Pieces of 16 bytes, if both lengths are made of such.
  int64_t bytes = kernels::storageBytes(getElementTypeOrSelf(root.getQuery().getType()));
  for (pieceSize = std::max<int64_t>(16 / bytes, 1); depth % pieceSize != 0 || columns % pieceSize != 0;)
    pieceSize /= 2;
  static constexpr int64_t kMostLanes = 32, kManyKeys = 256, kThreadsOfMany = 256;
  lanes = std::min<int64_t>(kMostLanes, llvm::bit_ceil(static_cast<uint64_t>(std::max(depth, columns) / pieceSize)));
  e.begin(asConstant(keySizes[2]).value_or(kManyKeys) < kManyKeys ? kThreads : kThreadsOfMany);
  groups = e.threads / lanes;
  rows = std::min(kRows, asConstant(querySizes[2]).value_or(kRows));
  placeRows(rows);
  part = e.rem(e.thread, e.i64(lanes)), group = e.divFloor(e.thread, e.i64(lanes));
  Value scale = number(root.getScale().convertToDouble());
  for (int64_t r = 0; r < rows && succeeded(status); ++r) {
    SmallVector<Value> pieces = read(root.getQuery(), head, e.min(e.add(rowBegin, e.i64(r)), e.sub(rowEnd, e.i64(1))), depth);
    for (auto [i, piece] : llvm::enumerate(pieces)) {
      piece = mul(kernels::toAccumulator(e, piece, accumulator), pieceSize == 1 ? scale : e.splat(scale, pieceSize));
      piece = zeroBeyond(piece, i, depth);
    }
    query.push_back(std::move(pieces));
  }
  if (failed(status))
    return failure();
  Type piece = pieceSize == 1 ? accumulator : Type(e.vectorOf(accumulator, pieceSize));
  SmallVector<Value> state;
  for (int64_t r = 0; r < rows; ++r) {
    llvm::append_range(state, ArrayRef<Value>{infinity, number(0)});
    state.append(countPieces(columns), e.zeros(piece));
  }
  state = forBlocks(groups * kAhead, state, [&](Value begin, ValueRange carried) { return addKeys(begin, carried); });
  return failed(status) ? failure() : store(state);
}

bool device::hasLaneAttention(const Emitter &e) { return e.device && e.device.getSubgroup() && e.hasVectors(); }

LogicalResult device::emitLaneAttention(Emitter &e, AttentionOp root) { return LaneAttention(e, root).emit(); }
