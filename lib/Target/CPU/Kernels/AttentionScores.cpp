//===- AttentionScores.cpp - scores of a block of keys and their softmax --===//
#include "AttentionKernel.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::cpu;
using namespace tenon::graph;

/// The mask of a vector of rows at key `key` of the block: a scalar or vector of the accumulator's type or of i1.
Value AttentionKernel::maskAt(Evaluator &ev, AffineExpr headIndex, AffineExpr queryIndex, AffineExpr keyIndex, Value key,
                              Value lane) {
  if (packsMask) {
    Value value = e.loadVector(maskBuffer, accumulator, e.add(e.mul(key, e.i64(rowBlock)), lane), vl);
    if (!getElementTypeOrSelf(root.getMask().getType()).isInteger(1))
      return value;
    return arith::CmpFOp::create(e.b, e.loc, arith::CmpFPredicate::UNE, value, splatConstant(0));
  }
  AffineExpr batchIndex = bindOne(ev, batch, batches);
  Value value =
      ev.vectorAt(root.getMask(), applyMap(*root.getMaskMap(), {batchIndex, headIndex, queryIndex, keyIndex}));
  if (!value) {
    status = failure();
    return {};
  }
  return getElementTypeOrSelf(value.getType()).isInteger(1) ? value : toAccumulator(e, value, accumulator);
}

/// A vector of scores after the region, the mask and the causal order; null after an error. Without `isMasked` every
/// row keeps every key of the block.
Value AttentionKernel::maskScore(Evaluator &ev, Value score, const Point &point, Value key, Value lane, bool isMasked) {
  if (root.hasBody()) {
    ev.bindValue(root.getBody().front().getArgument(0), [score](const Point &) { return score; });
    Value changed = ev.vectorAt(root.getYieldedScore(), point);
    Value keep = isMasked && changed && root.getYieldedKeep() ? ev.vectorAt(root.getYieldedKeep(), point) : Value();
    if (!changed || (isMasked && root.getYieldedKeep() && !keep)) {
      status = failure();
      return {};
    }
    score = keep ? e.select(keep, changed, infinity()) : changed;
  }
  if (root.getMask()) {
    Value mask = maskAt(ev, point[1], point[2], point[3], key, lane);
    if (!mask)
      return {};
    if (getElementTypeOrSelf(mask.getType()).isInteger(1))
      score = e.select(mask, score, infinity());
    else
      score = arith::AddFOp::create(e.b, e.loc, score, mask);
  }
  if (isMasked && root.getCausal() && !rowsAreHeads) {
    Value positions = arith::AddIOp::create(e.b, e.loc, e.splat(ev.index(point[2]), vl), e.iota(vl));
    Value isLater = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::sgt,
                                          e.splat(ev.index(point[3]), vl), positions);
    score = e.select(isLater, infinity(), score);
  }
  return score;
}

/// Scores of the block's keys for groups of `count` vectors of rows, lanes `begin` to `end`, and the largest of each
/// row. The rows of K that a register tile reads stay in L1 for all groups.
void AttentionKernel::emitScores(Value begin, Value end, int64_t count, int64_t keysPerTile, bool isMasked) {
  Type elementK = getElementTypeOrSelf(root.getKey().getType());
  Value block = e.i64(rowBlock), lastKey = e.sub(keyCount, e.i64(1));
  bool readsRows = (root.getMask() && !packsMask) || root.hasBody();
  e.loop(e.i64(0), keyCount, e.i64(keysPerTile), [&](Value key) {
    MicroKernel micro{vl, accumulator, elementK, accumulator, keyPlane->minor, block, {}, {}, {}};
    SmallVector<Value> tileKeys;
    for (int64_t i = 0; i < keysPerTile; ++i) {
      // Past the end the last key is computed again: nothing needs to know.
      tileKeys.push_back(e.min(e.add(key, e.i64(i)), lastKey));
      Value row = keyBuffer ? tileKeys.back() : e.add(keyBegin, tileKeys.back());
      micro.a.push_back(e.offsetPointer(keyPlane->pointer, elementK, e.mul(row, keyPlane->major)));
    }
    e.loop(begin, end, e.i64(count * vl), [&](Value lane) {
      micro.b.clear();
      for (int64_t v = 0; v < count; ++v)
        micro.b.push_back(at(queryBuffer, e.add(lane, e.i64(v * vl))));
      SmallVector<Value> zero(keysPerTile * count, e.zeros(wide()));
      SmallVector<Value> products = micro.emit(e, e.size(depth), zero);

      Evaluator ev(e, vl);
      if (root.hasBody())
        for (auto [argument, capture] : llvm::zip(root.getBody().front().getArguments().drop_front(), root.getCaptures()))
          ev.bindValue(argument, [&ev, capture](const Point &point) { return ev.at(capture, point); });
      SmallVector<AffineExpr> keyIndices;
      for (int64_t i = 0; i < keysPerTile; ++i)
        keyIndices.push_back(bindOne(ev, e.add(keyBegin, tileKeys[i]), keys));
      AffineExpr batchIndex = bindOne(ev, batch, batches);
      for (int64_t v = 0; v < count; ++v) {
        Value column = e.add(lane, e.i64(v * vl)), row = e.add(rowBegin, column);
        Value best = e.loadVector(blockMaxima, accumulator, column, vl);
        ev.mask = readsRows ? e.tailMask(column, rowCount, vl) : Value();
        AffineExpr headIndex, queryIndex;
        bindRows(ev, row, true, headIndex, queryIndex);
        for (int64_t i = 0; i < keysPerTile; ++i) {
          Value score = maskScore(ev, products[i * count + v], {batchIndex, headIndex, queryIndex, keyIndices[i]},
                                  tileKeys[i], column, isMasked);
          if (!score)
            return;
          e.storeVector(scores, accumulator, e.add(e.mul(e.add(key, e.i64(i)), block), column), score);
          // A NaN need not win here: it makes the sum NaN.
          Value isMore = arith::CmpFOp::create(e.b, e.loc, arith::CmpFPredicate::OGT, score, best);
          best = e.select(isMore, score, best);
        }
        e.storeVector(blockMaxima, accumulator, column, best);
      }
    });
  });
}

/// Turns scores into weights, relative to the largest score so far.
void AttentionKernel::emitSoftmax(Value lane, int64_t count) {
  Value block = e.i64(rowBlock);
  SmallVector<Value> base, scale, init;
  for (int64_t v = 0; v < count; ++v) {
    Value column = e.add(lane, e.i64(v * vl)), before;
    Value most = e.loadVector(blockMaxima, accumulator, column, vl);
    if (!isSingleBlock) {
      before = e.loadVector(maxima, accumulator, column, vl);
      Value isMore = arith::CmpFOp::create(e.b, e.loc, arith::CmpFPredicate::OGT, most, before);
      most = e.select(isMore, most, before);
      e.storeVector(maxima, accumulator, column, most);
    }
    // Without any key yet the base is 0: -inf minus -inf would be NaN.
    Value isNone = arith::CmpFOp::create(e.b, e.loc, arith::CmpFPredicate::OEQ, most, infinity());
    base.push_back(e.select(isNone, e.zeros(wide()), most));
    init.push_back(e.zeros(wide()));
    if (!isSingleBlock) {
      Value factor = math::ExpOp::create(e.b, e.loc, arith::SubFOp::create(e.b, e.loc, before, base[v]));
      e.storeVector(factors, accumulator, column, factor);
      scale.push_back(factor);
    }
  }
  SmallVector<Value> added = e.loop(e.i64(0), keyCount, e.i64(1), init, [&](Value key, ValueRange carried) {
    SmallVector<Value> next;
    for (int64_t v = 0; v < count; ++v) {
      Value index = e.add(e.mul(key, block), e.add(lane, e.i64(v * vl)));
      Value score = e.loadVector(scores, accumulator, index, vl);
      Value weight = math::ExpOp::create(e.b, e.loc, arith::SubFOp::create(e.b, e.loc, score, base[v]));
      e.storeVector(scores, accumulator, index, weight);
      next.push_back(arith::AddFOp::create(e.b, e.loc, carried[v], weight));
    }
    return next;
  });
  for (int64_t v = 0; v < count; ++v) {
    Value column = e.add(lane, e.i64(v * vl)), total = added[v];
    if (!isSingleBlock) {
      Value before = e.loadVector(sums, accumulator, column, vl);
      total = arith::AddFOp::create(e.b, e.loc, arith::MulFOp::create(e.b, e.loc, before, scale[v]), total);
    }
    e.storeVector(sums, accumulator, column, total);
  }
}
