//===- AttentionFewRows.cpp - scores of few rows, keys along the lanes ----===//
// A step of decoding has one row for each head: with rows along the lanes most of a vector would be idle. Here scores are
// [rows][keys]. K is transposed in registers, so that a score adds its products in the same order as with many rows, and so
// do the sums of weights: a row's bits do not depend on which way it went.
#include "AttentionKernel.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::cpu;
using namespace tenon::graph;

/// Columns of K that are transposed at once: 128 bits of f32, so that no shuffle crosses them.
static constexpr int64_t kColumns = 4;

Value AttentionKernel::scoresOfRow(Value row) {
  // Keys are stored two vectors at once.
  return isFew ? at(scores, e.mul(row, e.i64(llvm::alignTo(keyBlock, 2 * vl)))) : at(scores, row);
}

/// Columns `d` … of `vl` rows of K, each as a vector with a key in each lane. `keyRows` point to the rows.
SmallVector<Value> AttentionKernel::transposeKeys(ArrayRef<Value> keyRows, Value d, Value mask) {
  Type element = getElementTypeOrSelf(root.getKey().getType());
  SmallVector<Value> rows;
  for (int64_t j = 0; j < kColumns; ++j) {
    // Row j of each group of four, side by side.
    SmallVector<Value> parts;
    for (int64_t group = 0; group < vl; group += kColumns)
      parts.push_back(e.loadVector(keyRows[group + j], element, d, kColumns, mask));
    while (parts.size() > 1) {
      SmallVector<Value> joined;
      for (size_t i = 0; i < parts.size(); i += 2) {
        int64_t lanes = 2 * cast<VectorType>(parts[i].getType()).getNumElements();
        SmallVector<int64_t> order = llvm::to_vector(llvm::seq<int64_t>(0, lanes));
        joined.push_back(vector::ShuffleOp::create(e.b, e.loc, parts[i], parts[i + 1], order));
      }
      parts = joined;
    }
    rows.push_back(toAccumulator(e, parts[0], accumulator));
  }
  // Within each group, lanes `from` of two rows in turn.
  auto pick = [&](Value a, Value b, ArrayRef<int64_t> from) -> Value {
    SmallVector<int64_t> order;
    for (int64_t group = 0; group < vl; group += kColumns)
      for (int64_t lane : from)
        order.push_back(lane < kColumns ? group + lane : vl + group + lane - kColumns);
    return vector::ShuffleOp::create(e.b, e.loc, a, b, order);
  };
  Value low01 = pick(rows[0], rows[1], {0, 4, 1, 5}), high01 = pick(rows[0], rows[1], {2, 6, 3, 7});
  Value low23 = pick(rows[2], rows[3], {0, 4, 1, 5}), high23 = pick(rows[2], rows[3], {2, 6, 3, 7});
  return {pick(low01, low23, {0, 1, 4, 5}), pick(low01, low23, {2, 3, 6, 7}), pick(high01, high23, {0, 1, 4, 5}),
          pick(high01, high23, {2, 3, 6, 7})};
}

/// A vector of keys' scores of one row after the region, the mask and the causal order; null after an error.
Value AttentionKernel::maskKeys(Evaluator &ev, Value score, const Point &point, bool isMasked) {
  if (root.hasBody()) {
    for (auto [argument, capture] : llvm::zip(root.getBody().front().getArguments().drop_front(), root.getCaptures()))
      ev.bindValue(argument, [&ev, capture](const Point &at) { return ev.at(capture, at); });
    ev.bindValue(root.getBody().front().getArgument(0), [score](const Point &) { return score; });
    Value changed = ev.vectorAt(root.getYieldedScore(), point);
    Value keep = isMasked && changed && root.getYieldedKeep() ? ev.vectorAt(root.getYieldedKeep(), point) : Value();
    if (!changed || (isMasked && root.getYieldedKeep() && !keep))
      return {};
    score = keep ? e.select(keep, changed, infinity()) : changed;
  }
  if (root.getMask()) {
    Value mask = ev.vectorAt(root.getMask(), applyMap(*root.getMaskMap(), point));
    if (!mask)
      return {};
    if (getElementTypeOrSelf(mask.getType()).isInteger(1))
      score = e.select(mask, score, infinity());
    else
      score = arith::AddFOp::create(e.b, e.loc, score, toAccumulator(e, mask, accumulator));
  }
  if (isMasked && root.getCausal() && !rowsAreHeads) {
    Value keyPlaces = arith::AddIOp::create(e.b, e.loc, e.splat(ev.index(point[3]), vl), e.iota(vl));
    Value isLater = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::sgt, keyPlaces,
                                          e.splat(ev.index(point[2]), vl));
    score = e.select(isLater, infinity(), score);
  }
  return score;
}

/// Scores of the block's keys for rows `row` …, and the largest of each.
void AttentionKernel::emitFewScores(Value row, int64_t rows, bool isMasked) {
  // Few chains of sums wait for each other: two vectors of keys at once.
  int64_t vectorsOfKeys = rows <= 2 ? 2 : 1, depthFixed = *asConstant(depth);
  Type element = getElementTypeOrSelf(root.getKey().getType());
  Value lastKey = e.sub(keyCount, e.i64(1)), block = e.i64(rowBlock), end = e.i64(depthFixed);
  SmallVector<Value> best(rows, infinity());
  best = e.loop(e.i64(0), keyCount, e.i64(vectorsOfKeys * vl), best, [&](Value key, ValueRange carried) {
    SmallVector<Value> keyRows;
    for (int64_t i = 0; i < vectorsOfKeys * vl; ++i) {
      Value index = e.min(e.add(key, e.i64(i)), lastKey);
      index = keyBuffer ? index : e.add(keyBegin, index);
      keyRows.push_back(e.offsetPointer(keyPlane->pointer, element, e.mul(index, keyPlane->major)));
    }
    auto step = [&](Value d, ValueRange before, int64_t columns, Value mask) {
      SmallVector<Value> sums(before);
      for (int64_t v = 0; v < vectorsOfKeys; ++v) {
        SmallVector<Value> square = transposeKeys(ArrayRef(keyRows).slice(v * vl, vl), d, mask);
        for (int64_t i = 0; i < columns; ++i)
          for (int64_t r = 0; r < rows; ++r) {
            Value place = e.add(e.mul(e.add(d, e.i64(i)), block), e.add(row, e.i64(r)));
            Value query = e.splat(e.loadScalar(queryBuffer, accumulator, place), vl);
            sums[v * rows + r] = e.fma(square[i], query, sums[v * rows + r]);
          }
      }
      return sums;
    };
    int64_t rest = depthFixed % kColumns;
    SmallVector<Value> sums(vectorsOfKeys * rows, e.zeros(wide()));
    sums = e.loop(e.i64(0), e.i64(depthFixed - rest), e.i64(kColumns), sums,
                  [&](Value d, ValueRange before) { return step(d, before, kColumns, {}); });
    if (rest)
      sums = step(e.i64(depthFixed - rest), sums, rest, e.tailMask(e.i64(depthFixed - rest), end, kColumns));
    SmallVector<Value> next(carried);
    for (int64_t v = 0; v < vectorsOfKeys; ++v) {
      Value first = e.add(key, e.i64(v * vl));
      Evaluator ev(e, vl);
      ev.mask = e.tailMask(first, keyCount, vl);
      AffineExpr batchIndex = bindOne(ev, batch, batches);
      AffineExpr keyIndex = bindOne(ev, e.add(keyBegin, first), keys, 1, /*isLane=*/true);
      for (int64_t r = 0; r < rows; ++r) {
        Value place = e.add(row, e.i64(r));
        AffineExpr headIndex, queryIndex;
        bindRows(ev, e.add(rowBegin, place), false, headIndex, queryIndex);
        Value score = maskKeys(ev, sums[v * rows + r], {batchIndex, headIndex, queryIndex, keyIndex}, isMasked);
        if (!score) {
          status = failure();
          return SmallVector<Value>(carried);
        }
        // What lies past the last key weighs nothing.
        score = ev.mask ? e.select(ev.mask, score, infinity()) : score;
        e.storeVector(scoresOfRow(place), accumulator, first, score);
        Value isMore = arith::CmpFOp::create(e.b, e.loc, arith::CmpFPredicate::OGT, score, next[r]);
        next[r] = e.select(isMore, score, next[r]);
      }
    }
    return next;
  });
  for (auto [r, value] : llvm::enumerate(best))
    e.storeScalar(blockMaxima, accumulator, e.add(row, e.i64(r)), e.reduceLanes(ReduceKind::Max, value));
}

/// Turns the scores of a row into weights, relative to the largest score so far.
void AttentionKernel::emitFewSoftmax(Value row) {
  auto load = [&](Value array) { return e.splat(e.loadScalar(array, accumulator, row), vl); };
  auto lane = [&](Value vector, int64_t i) -> Value {
    return vector::ExtractOp::create(e.b, e.loc, vector, ArrayRef<int64_t>{i});
  };
  Value most = load(blockMaxima), before, factor;
  if (!isSingleBlock) {
    before = load(maxima);
    most = e.select(arith::CmpFOp::create(e.b, e.loc, arith::CmpFPredicate::OGT, most, before), most, before);
    e.storeScalar(maxima, accumulator, row, lane(most, 0));
  }
  // Without any key yet the base is 0: -inf minus -inf would be NaN.
  Value isNone = arith::CmpFOp::create(e.b, e.loc, arith::CmpFPredicate::OEQ, most, infinity());
  Value base = e.select(isNone, e.zeros(wide()), most);
  if (!isSingleBlock) {
    factor = lane(math::ExpOp::create(e.b, e.loc, arith::SubFOp::create(e.b, e.loc, before, base)), 0);
    e.storeScalar(factors, accumulator, row, factor);
  }
  Value line = scoresOfRow(row), none = e.zeros(accumulator);
  Value total = e.loop(e.i64(0), keyCount, e.i64(vl), ValueRange{none}, [&](Value key, ValueRange carried) {
    Value score = e.loadVector(line, accumulator, key, vl);
    Value weight = math::ExpOp::create(e.b, e.loc, arith::SubFOp::create(e.b, e.loc, score, base));
    e.storeVector(line, accumulator, key, weight);
    Value sum = carried[0];
    for (int64_t i = 0; i < vl; ++i)
      sum = arith::AddFOp::create(e.b, e.loc, sum, lane(weight, i));
    return SmallVector<Value>{sum};
  })[0];
  if (!isSingleBlock) {
    Value old = arith::MulFOp::create(e.b, e.loc, e.loadScalar(sums, accumulator, row), factor);
    total = arith::AddFOp::create(e.b, e.loc, old, total);
  }
  e.storeScalar(sums, accumulator, row, total);
}

/// Scores and weights of a block of keys.
void AttentionKernel::emitFewWeights(Value isWhole) {
  std::optional<int64_t> fixed = asConstant(rowsTotal);
  auto allScores = [&](bool isMasked) {
    if (fixed)
      emitFewScores(e.i64(0), *fixed, isMasked);
    else
      e.loop(e.i64(0), rowCount, e.i64(1), [&](Value row) { emitFewScores(row, 1, isMasked); });
  };
  if (isWhole)
    e.ifElse(isWhole, [&] { allScores(false); }, [&] { allScores(true); });
  else
    allScores(true);
  e.loop(e.i64(0), rowCount, e.i64(1), [&](Value row) { emitFewSoftmax(row); });
}
