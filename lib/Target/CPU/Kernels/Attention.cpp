//===- Attention.cpp - scaled dot-product attention with its epilogue -----===//
// One pass over the keys with a running softmax. A tile is a block of query rows that share key and value heads. Query
// rows lie along the lanes: scores are kept transposed, [keys][rows], so that maxima, sums and exponentials need no
// work across lanes, and both products are the register tile of every other product: K times Qᵀ with the scalars read
// from K where it lies, and P times V with V where it lies. The order of operations of one row depends on the number
// of keys alone.
#include "Epilogue.h"
#include "Kernels.h"
#include "MicroKernel.h"
#include "Transpose.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::cpu;
using namespace tenon::graph;

/// Rows of a register tile of P times V, and keys of one of K times Qᵀ.
static constexpr int64_t kTileRows = 6;
/// Keys of a register tile that has a single vector of rows.
static constexpr int64_t kTileKeys = 12;

namespace {
/// A matrix in memory: element (i, j) is at offset + i * major + j * minor of its leaf's buffer.
struct Plane {
  Value pointer;
  Value major, minor;
  bool isContiguous = false; ///< minor is 1
};

class AttentionKernel {
public:
  AttentionKernel(Emitter &e, AttentionOp root) : e(e), root(root), context(root.getContext()), vl(e.vl) {}
  LogicalResult emit();

private:
  void chooseBlocks();
  void layOutScratch();
  /// Binds a row of the tile's heads, alone or with its successors along lanes; returns the row's loop dimension.
  AffineExpr bindRows(Evaluator &ev, Value row, bool isLane, AffineExpr &head, AffineExpr &query);
  AffineExpr bindOne(Evaluator &ev, Value value, AffineExpr size, int64_t align = 1, bool isLane = false);
  std::optional<Plane> resolve(Value value, bool isQuery);
  void emitTile(Value index);
  void packQuery();
  Value packBlock(Value value, Value pointer, AffineExpr columns, Value stride);
  void packMask();
  void emitScores(Value begin, Value end, int64_t vectors, int64_t keysPerTile);
  void emitSoftmax(Value lane, int64_t vectors);
  void emitOutput();
  void emitOutputTile(Value row, int64_t rows, Value rowLimit, Value column, int64_t vectors, bool isMasked);
  void emitFinalRows();
  void forColumns(int64_t vectors, function_ref<void(Value column, int64_t vectors, bool isMasked)> body);
  SmallVector<Value> columnMasks(Value column, int64_t vectors, bool isMasked);
  Value maskAt(Evaluator &ev, AffineExpr head, AffineExpr query, Value key, Value lane);
  Type wide() { return e.vectorOf(accumulator, vl); }
  Value at(Value pointer, Value index) { return e.offsetPointer(pointer, accumulator, index); }
  Value splatConstant(double value) { return e.splat(e.constant(e.b.getFloatAttr(accumulator, value)), vl); }
  Value infinity() { return e.splat(e.constant(e.identity(ReduceKind::Max, accumulator)), vl); }
  Value roundUp(Value value, int64_t step) {
    return e.mul(e.divFloor(e.add(value, e.i64(step - 1)), e.i64(step)), e.i64(step));
  }

  Emitter &e;
  AttentionOp root;
  MLIRContext *context;
  int64_t vl;
  AffineExpr batches, heads, groups, queries, keys, depth, width; ///< B, H, G, S, T, D, E
  int64_t headsPerGroup = 1;
  bool rowsAreHeads = false; ///< one query position: the heads that share K and V are the rows
  AffineExpr rowsTotal;      ///< rows that share a key head and, unless they are heads, a query head
  int64_t vectors = 2;       ///< of a register tile
  int64_t rowBlock = 0, keyBlock = 0;
  bool isSingleBlock = false;
  bool packsMask = false;
  Type accumulator;
  // Scratch.
  Value queryBuffer, scores, outputs, maxima, blockMaxima, sums, factors, maskBuffer, keyBuffer, valueBuffer,
      widthPadded;
  // The tile being emitted.
  Value batch, head, group, rowBegin, rowCount, keyEnd, keyBegin, keyCount;
  std::optional<Plane> queryPlane, keyPlane, valuePlane;
  LogicalResult status = success();
};
} // namespace

AffineExpr AttentionKernel::bindOne(Evaluator &ev, Value value, AffineExpr size, int64_t align, bool isLane) {
  return asConstant(size) == 1 ? getAffineConstantExpr(0, context) : ev.bind(value, size, align, isLane);
}

AffineExpr AttentionKernel::bindRows(Evaluator &ev, Value row, bool isLane, AffineExpr &headIndex,
                                     AffineExpr &queryIndex) {
  int64_t align = isLane ? vl : 1;
  AffineExpr rowIndex = bindOne(ev, row, rowsTotal, align, isLane);
  if (rowsAreHeads) {
    headIndex = bindOne(ev, group, groups) * headsPerGroup + rowIndex;
    queryIndex = getAffineConstantExpr(0, context);
  } else {
    headIndex = bindOne(ev, head, heads);
    queryIndex = rowIndex;
  }
  return rowIndex;
}

/// Splits an address that is linear in a loop dimension.
static std::optional<StridedAddress> splitLinear(AffineExpr address, AffineExpr dim) {
  MLIRContext *context = dim.getContext();
  if (!isa<AffineDimExpr>(dim)) // a size of 1: any stride will do
    return StridedAddress{address, getAffineConstantExpr(1, context)};
  AffineExpr offset = normalize(address.replace(dim, getAffineConstantExpr(0, context)));
  AffineExpr stride = normalize(address.replace(dim, getAffineConstantExpr(1, context)) - offset);
  bool usesDims = false;
  stride.walk([&](AffineExpr expr) { usesDims |= isa<AffineDimExpr>(expr); });
  if (usesDims || normalize(address - offset - stride * dim) != getAffineConstantExpr(0, context))
    return std::nullopt;
  return StridedAddress{offset, stride};
}

/// Follows `value` to its buffer; null when something on the way is computed.
static AffineExpr addressOf(Evaluator &ev, Value value, Point point) {
  IndexSimplifier simple = ev.simplifier();
  while (Operation *op = value.getDefiningOp()) {
    auto moved = pullThrough(op, point, simple);
    if (!moved)
      return {};
    std::tie(value, point) = *moved;
  }
  return simple.simplify(linearize(point, getDims(value.getType()), value.getContext()));
}

/// The matrix of rows (or keys) by columns that this tile reads; nullopt when it is not one.
std::optional<Plane> AttentionKernel::resolve(Value value, bool isQuery) {
  BlockArgument leaf = leafOf(value);
  if (!leaf)
    return std::nullopt;
  Evaluator ev(e, vl);
  AffineExpr headIndex, major, minor = bindOne(ev, e.i64(0), getDim(value.getType(), 3));
  Point point{bindOne(ev, batch, batches)};
  if (isQuery) {
    AffineExpr queryIndex;
    major = bindRows(ev, e.i64(0), false, headIndex, queryIndex);
    point.append({headIndex, queryIndex, minor});
  } else {
    headIndex = bindOne(ev, group, groups);
    major = bindOne(ev, e.i64(0), keys);
    point.append({headIndex, major, minor});
  }
  AffineExpr address = addressOf(ev, value, point);
  if (!address)
    return std::nullopt;
  std::optional<StridedAddress> rows = splitLinear(address, major);
  if (!rows)
    return std::nullopt;
  std::optional<StridedAddress> columns = splitLinear(rows->offset, minor);
  if (!columns)
    return std::nullopt;
  Plane plane;
  plane.pointer = e.offsetPointer(e.inputPointer(leaf.getArgNumber()), getElementTypeOrSelf(value.getType()),
                                  ev.index(columns->offset));
  plane.major = ev.index(rows->stride);
  plane.minor = ev.index(columns->stride);
  plane.isContiguous = asConstant(columns->stride) == 1;
  return plane;
}

/// Block sizes by rule: a register tile's multiples for rows. All keys at once when their scores, K and V stay in half
/// of L2; else so many that their scores and a tile's columns of V stay in L1.
void AttentionKernel::chooseBlocks() {
  vectors = e.target.getVectorRegisters() >= 32 ? 3 : 2;
  // A multiple of both tile heights; more rows where there are many, for K and V then come from far away.
  rowBlock = kTileRows * vl;
  std::optional<int64_t> rows = asConstant(rowsTotal);
  rowBlock *= rows && *rows >= 16 * rowBlock ? 4 : !rows || *rows >= 8 * rowBlock ? 2 : 1;
  if (rows && *rows < rowBlock)
    rowBlock = llvm::alignTo(std::max<int64_t>(*rows, 1), vl);
  int64_t typical = asConstant(depth).value_or(64) + asConstant(width).value_or(64) + kTileRows * vl;
  int64_t most = e.target.getL2Bytes() / 2 / (typical * storageBytes(accumulator));
  isSingleBlock = asConstant(keys) && *asConstant(keys) <= most;
  if (isSingleBlock) {
    keyBlock = llvm::alignTo(std::max<int64_t>(*asConstant(keys), 1), kTileKeys);
    return;
  }
  keyBlock = e.target.getL1Bytes() / ((kTileRows + 2 * vectors) * vl * storageBytes(accumulator));
  keyBlock = std::clamp<int64_t>(keyBlock / kTileKeys * kTileKeys, 4 * kTileKeys, 32 * kTileKeys);
}

void AttentionKernel::layOutScratch() {
  AffineExpr used = getAffineConstantExpr(0, context);
  auto take = [&](AffineExpr elements) {
    Value pointer = e.offsetPointer(e.scratch, e.b.getI8Type(), e.size(used));
    used = normalize(used + (elements * storageBytes(accumulator)).ceilDiv(64) * 64);
    return pointer;
  };
  auto constant = [&](int64_t value) { return getAffineConstantExpr(value, context); };
  AffineExpr columns = normalize(width.ceilDiv(vectors * vl) * (vectors * vl));
  AffineExpr depths = normalize(depth.ceilDiv(vl) * vl);
  widthPadded = e.size(columns);
  queryBuffer = take(depths * rowBlock);
  scores = take(constant((keyBlock + kTileKeys) * rowBlock));
  maxima = take(constant(rowBlock));
  blockMaxima = take(constant(rowBlock));
  sums = take(constant(rowBlock));
  factors = take(constant(rowBlock));
  if (!isSingleBlock)
    outputs = take(columns * rowBlock);
  if (packsMask)
    maskBuffer = take(constant((keyBlock + vl) * rowBlock));
  // Only where K or V cannot be read in place.
  if (!leafOf(root.getKey()) || !keyPlane)
    keyBuffer = take(depths * keyBlock);
  // Rows that lie far apart fall into few sets of the cache; a copy pays when enough rows of the query use it.
  bool packsValue = !valuePlane || !valuePlane->isContiguous;
  if (!packsValue && asConstant(rowsTotal) && rowBlock >= 4 * kTileRows) {
    APInt stride;
    packsValue = !matchPattern(valuePlane->major, m_ConstantInt(&stride)) || stride.getSExtValue() >= 512;
  }
  if (packsValue)
    valueBuffer = take(columns * keyBlock);
  AffineExpr scoresTotal = batches * heads * queries * keys;
  setSchedule(e, batches * (rowsAreHeads ? groups : heads) * rowsTotal.ceilDiv(rowBlock), used,
              scoresTotal * 2 * (depth + width) + scoresTotal * 20);
}

/// Qᵀ times the scale, [depth][rows]. Rows past the last one repeat it.
void AttentionKernel::packQuery() {
  Type element = getElementTypeOrSelf(root.getQuery().getType());
  Value scale = splatConstant(root.getScale().convertToDouble());
  Value depthValue = e.size(depth), block = e.i64(rowBlock), lastRow = e.sub(e.add(rowBegin, rowCount), e.i64(1));
  e.loop(e.i64(0), rowCount, e.i64(vl), [&](Value lane) {
    Value first = e.add(rowBegin, lane);
    if (!queryPlane || !queryPlane->isContiguous) {
      // Row by lane, one column at a time.
      e.loop(e.i64(0), depthValue, e.i64(1), [&](Value d) {
        Evaluator ev(e, vl);
        ev.mask = e.tailMask(lane, rowCount, vl);
        AffineExpr headIndex, queryIndex, batchIndex = bindOne(ev, batch, batches), column = bindOne(ev, d, depth);
        bindRows(ev, first, true, headIndex, queryIndex);
        Value value = ev.vectorAt(root.getQuery(), {batchIndex, headIndex, queryIndex, column});
        if (!value) {
          status = failure();
          return;
        }
        value = arith::MulFOp::create(e.b, e.loc, toAccumulator(e, value, accumulator), scale);
        e.storeVector(at(queryBuffer, e.add(e.mul(d, block), lane)), accumulator, e.i64(0), value);
      });
      return;
    }
    SmallVector<Value> rows;
    for (int64_t i = 0; i < vl; ++i) {
      Value row = e.min(e.add(first, e.i64(i)), lastRow);
      rows.push_back(e.offsetPointer(queryPlane->pointer, element, e.mul(row, queryPlane->major)));
    }
    auto square = [&](Value d, Value mask) {
      SmallVector<Value> values;
      for (Value row : rows) {
        Value value = toAccumulator(e, e.loadVector(row, element, d, vl, mask), accumulator);
        values.push_back(arith::MulFOp::create(e.b, e.loc, value, scale));
      }
      for (auto [i, value] : llvm::enumerate(transpose(e, values))) {
        Value index = e.add(e.mul(e.add(d, e.i64(i)), block), lane);
        e.storeVector(queryBuffer, accumulator, index, value);
      }
    };
    Value step = e.i64(vl), whole = e.mul(e.divFloor(depthValue, step), step);
    e.loop(e.i64(0), whole, step, [&](Value d) { square(d, {}); });
    e.loop(whole, depthValue, step, [&](Value d) { square(d, e.tailMask(d, depthValue, vl)); });
  });
}

/// A block of K or V that does not lie in memory as the register tile wants it, as [keys][stride].
Value AttentionKernel::packBlock(Value value, Value pointer, AffineExpr columns, Value stride) {
  Type element = getElementTypeOrSelf(value.getType());
  Value columnEnd = e.size(columns);
  e.loop(e.i64(0), keyCount, e.i64(1), [&](Value key) {
    auto copy = [&](Value column, Value mask) {
      Evaluator ev(e, vl);
      ev.mask = mask;
      Point point{bindOne(ev, batch, batches), bindOne(ev, group, groups), bindOne(ev, e.add(keyBegin, key), keys),
                  bindOne(ev, column, columns, vl, true)};
      Value loaded = ev.vectorAt(value, point);
      if (!loaded) {
        status = failure();
        return;
      }
      e.storeVector(pointer, element, e.add(e.mul(key, stride), column), loaded, mask);
    };
    Value step = e.i64(vl), whole = e.mul(e.divFloor(columnEnd, step), step);
    e.loop(e.i64(0), whole, step, [&](Value column) { copy(column, {}); });
    e.loop(whole, columnEnd, step, [&](Value column) { copy(column, e.tailMask(column, columnEnd, vl)); });
  });
  return pointer;
}

/// The block's mask as [keys][rows], where it lies the other way round. True is 1.
void AttentionKernel::packMask() {
  Type element = getElementTypeOrSelf(root.getMask().getType());
  Value block = e.i64(rowBlock), lastRow = e.sub(e.add(rowBegin, rowCount), e.i64(1));
  e.loop(e.i64(0), rowCount, e.i64(vl), [&](Value lane) {
    auto square = [&](Value key, Value mask) {
      Evaluator ev(e, vl);
      ev.mask = mask;
      AffineExpr batchIndex = bindOne(ev, batch, batches);
      AffineExpr keyIndex = bindOne(ev, e.add(keyBegin, key), keys, 1, /*isLane=*/true);
      SmallVector<Value> values;
      for (int64_t i = 0; i < vl; ++i) {
        AffineExpr headIndex, queryIndex;
        bindRows(ev, e.min(e.add(e.add(rowBegin, lane), e.i64(i)), lastRow), false, headIndex, queryIndex);
        Value value =
            ev.vectorAt(root.getMask(), applyMap(*root.getMaskMap(), {batchIndex, headIndex, queryIndex, keyIndex}));
        if (!value) {
          status = failure();
          return;
        }
        value = element.isInteger(1) ? e.select(value, splatConstant(1), splatConstant(0))
                                     : toAccumulator(e, value, accumulator);
        values.push_back(value);
      }
      for (auto [i, value] : llvm::enumerate(transpose(e, values)))
        e.storeVector(maskBuffer, accumulator, e.add(e.mul(e.add(key, e.i64(i)), block), lane), value);
    };
    Value step = e.i64(vl), whole = e.mul(e.divFloor(keyCount, step), step);
    e.loop(e.i64(0), whole, step, [&](Value key) { square(key, {}); });
    e.loop(whole, keyCount, step, [&](Value key) { square(key, e.tailMask(key, keyCount, vl)); });
  });
}

/// The mask of a vector of rows at key `key` of the block: a scalar or vector of the accumulator's type or of i1.
Value AttentionKernel::maskAt(Evaluator &ev, AffineExpr headIndex, AffineExpr queryIndex, Value key, Value lane) {
  if (packsMask) {
    Value value = e.loadVector(maskBuffer, accumulator, e.add(e.mul(key, e.i64(rowBlock)), lane), vl);
    if (!getElementTypeOrSelf(root.getMask().getType()).isInteger(1))
      return value;
    return arith::CmpFOp::create(e.b, e.loc, arith::CmpFPredicate::UNE, value, splatConstant(0));
  }
  AffineExpr keyIndex = bindOne(ev, e.add(keyBegin, key), keys), batchIndex = bindOne(ev, batch, batches);
  Value value =
      ev.vectorAt(root.getMask(), applyMap(*root.getMaskMap(), {batchIndex, headIndex, queryIndex, keyIndex}));
  if (!value) {
    status = failure();
    return {};
  }
  return getElementTypeOrSelf(value.getType()).isInteger(1) ? value : toAccumulator(e, value, accumulator);
}

/// Scores of the block's keys for groups of `count` vectors of rows, lanes `begin` to `end`, and the largest of each
/// row. The rows of K that a register tile reads stay in L1 for all groups.
void AttentionKernel::emitScores(Value begin, Value end, int64_t count, int64_t keysPerTile) {
  Type elementK = getElementTypeOrSelf(root.getKey().getType());
  Value block = e.i64(rowBlock), lastKey = e.sub(keyCount, e.i64(1));
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
      for (int64_t v = 0; v < count; ++v) {
        Value column = e.add(lane, e.i64(v * vl)), row = e.add(rowBegin, column);
        Value best = e.loadVector(blockMaxima, accumulator, column, vl);
        ev.mask = root.getMask() && !packsMask ? e.tailMask(column, rowCount, vl) : Value();
        AffineExpr headIndex, queryIndex;
        bindRows(ev, row, true, headIndex, queryIndex);
        Value positions; // of the rows, for the causal order
        if (root.getCausal() && !rowsAreHeads)
          positions = arith::AddIOp::create(e.b, e.loc, e.splat(row, vl), e.iota(vl));
        for (int64_t i = 0; i < keysPerTile; ++i) {
          Value score = products[i * count + v];
          if (root.getMask()) {
            Value mask = maskAt(ev, headIndex, queryIndex, tileKeys[i], column);
            if (!mask)
              return;
            if (getElementTypeOrSelf(mask.getType()).isInteger(1))
              score = e.select(mask, score, infinity());
            else
              score = arith::AddFOp::create(e.b, e.loc, score, mask);
          }
          if (positions) {
            Value isLater = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::sgt,
                                                  e.splat(e.add(keyBegin, tileKeys[i]), vl), positions);
            score = e.select(isLater, infinity(), score);
          }
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

SmallVector<Value> AttentionKernel::columnMasks(Value column, int64_t count, bool isMasked) {
  SmallVector<Value> masks(count);
  for (int64_t v = 0; v < count && isMasked; ++v)
    masks[v] = e.tailMask(e.add(column, e.i64(v * vl)), e.size(width), vl);
  return masks;
}

/// Groups of `count` vectors over the result's columns; the last one masked where they do not fit.
void AttentionKernel::forColumns(int64_t count, function_ref<void(Value, int64_t, bool)> body) {
  Value end = e.size(width), step = e.i64(count * vl), whole = e.mul(e.divFloor(end, step), step);
  e.loop(e.i64(0), whole, step, [&](Value column) { body(column, count, false); });
  std::optional<int64_t> fixed = asConstant(width);
  if (!fixed)
    return e.ifThen(e.less(whole, end), [&] { body(whole, count, true); });
  if (int64_t rest = *fixed % (count * vl))
    body(whole, llvm::divideCeil(rest, vl), rest % vl != 0);
}

/// Rows `row` … of the block times V. With a limit, rows from it on are computed but not stored.
void AttentionKernel::emitOutputTile(Value row, int64_t rows, Value rowLimit, Value column, int64_t count,
                                     bool isMasked) {
  Type elementV = getElementTypeOrSelf(root.getValue().getType());
  SmallVector<Value> masks = columnMasks(column, count, isMasked), rowIndex, rowIsIn, init;
  MicroKernel micro{vl, accumulator, accumulator, elementV, e.i64(rowBlock), valuePlane->major, {}, {}, {}};
  Value valueBegin = valueBuffer ? valuePlane->pointer
                                 : e.offsetPointer(valuePlane->pointer, elementV, e.mul(keyBegin, valuePlane->major));
  for (int64_t v = 0; v < count; ++v)
    micro.b.push_back(e.offsetPointer(valueBegin, elementV, e.add(column, e.i64(v * vl))));
  if (isMasked)
    micro.masks = masks;
  for (int64_t r = 0; r < rows; ++r) {
    Value index = e.add(row, e.i64(r));
    if (rowLimit) {
      rowIsIn.push_back(e.less(index, rowLimit));
      index = e.select(rowIsIn.back(), index, row);
    }
    rowIndex.push_back(index);
    micro.a.push_back(at(scores, index));
    Value factor;
    if (!isSingleBlock)
      factor = e.splat(e.loadScalar(factors, accumulator, index), vl);
    for (int64_t v = 0; v < count; ++v) {
      if (isSingleBlock) {
        init.push_back(e.zeros(wide()));
        continue;
      }
      Value place = e.add(e.mul(e.add(row, e.i64(r)), widthPadded), e.add(column, e.i64(v * vl)));
      init.push_back(arith::MulFOp::create(e.b, e.loc, e.loadVector(outputs, accumulator, place, vl), factor));
    }
  }
  SmallVector<Value> products = micro.emit(e, keyCount, init);
  if (!isSingleBlock) {
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t v = 0; v < count; ++v)
        e.storeVector(outputs, accumulator,
                      e.add(e.mul(e.add(row, e.i64(r)), widthPadded), e.add(column, e.i64(v * vl))),
                      products[r * count + v]);
    return;
  }
  Evaluator ev(e, vl);
  AffineExpr batchIndex = bindOne(ev, batch, batches);
  SmallVector<AffineExpr> columns;
  for (int64_t v = 0; v < count; ++v)
    columns.push_back(bindOne(ev, e.add(column, e.i64(v * vl)), width, vl, true));
  SmallVector<EpilogueElement> elements;
  for (int64_t r = 0; r < rows; ++r) {
    Value inverse = e.splat(e.loadScalar(factors, accumulator, rowIndex[r]), vl);
    AffineExpr headIndex, queryIndex;
    bindRows(ev, e.add(rowBegin, rowIndex[r]), false, headIndex, queryIndex);
    for (int64_t v = 0; v < count; ++v) {
      Value result = arith::MulFOp::create(e.b, e.loc, products[r * count + v], inverse);
      elements.push_back({{batchIndex, headIndex, queryIndex, columns[v]},
                          fromAccumulator(e, result, getElementTypeOrSelf(root.getType())),
                          masks[v],
                          rowLimit ? rowIsIn[r] : Value()});
    }
  }
  if (failed(emitEpilogue(ev, root.getResult(), elements)))
    status = failure();
}

/// The block's weights times its values.
void AttentionKernel::emitOutput() {
  std::optional<int64_t> fixed = asConstant(rowsTotal);
  int64_t tileRows = fixed ? std::clamp<int64_t>(*fixed, 1, kTileRows) : kTileRows;
  int64_t count = tileRows <= 1 ? 4 * vectors : tileRows <= 3 ? 2 * vectors : vectors;
  if (std::optional<int64_t> columns = asConstant(width))
    count = std::min<int64_t>(count, std::max<int64_t>(1, llvm::divideCeil(*columns, vl)));
  else
    count = vectors;
  Value step = e.i64(tileRows), whole = e.mul(e.divFloor(rowCount, step), step);
  auto forRows = [&](int64_t rows, Value row, Value limit) {
    forColumns(count, [&](Value column, int64_t vectors, bool isMasked) {
      if (succeeded(status))
        emitOutputTile(row, rows, limit, column, vectors, isMasked);
    });
  };
  e.loop(e.i64(0), whole, step, [&](Value row) { forRows(tileRows, row, {}); });
  // Blocks are whole register tiles but for the last one, whose rest is known when the rows are.
  if (fixed && *fixed % tileRows == 0)
    return;
  e.ifThen(e.less(whole, rowCount), [&] {
    if (fixed)
      forRows(*fixed % tileRows, whole, {});
    else
      forRows(tileRows, whole, rowCount);
  });
}

/// Results of a tile whose keys came in several blocks.
void AttentionKernel::emitFinalRows() {
  e.loop(e.i64(0), rowCount, e.i64(1), [&](Value row) {
    Value inverse = e.splat(e.loadScalar(factors, accumulator, row), vl);
    forColumns(vectors, [&](Value column, int64_t count, bool isMasked) {
      if (failed(status))
        return;
      Evaluator ev(e, vl);
      SmallVector<Value> masks = columnMasks(column, count, isMasked);
      AffineExpr batchIndex = bindOne(ev, batch, batches), headIndex, queryIndex;
      bindRows(ev, e.add(rowBegin, row), false, headIndex, queryIndex);
      SmallVector<EpilogueElement> elements;
      for (int64_t v = 0; v < count; ++v) {
        Value start = e.add(column, e.i64(v * vl));
        Value value = e.loadVector(outputs, accumulator, e.add(e.mul(row, widthPadded), start), vl);
        value = arith::MulFOp::create(e.b, e.loc, value, inverse);
        elements.push_back({{batchIndex, headIndex, queryIndex, bindOne(ev, start, width, vl, true)},
                            fromAccumulator(e, value, getElementTypeOrSelf(root.getType())),
                            masks[v],
                            {}});
      }
      if (failed(emitEpilogue(ev, root.getResult(), elements)))
        status = failure();
    });
  });
}

void AttentionKernel::emitTile(Value index) {
  Value blocks = e.size(normalize(rowsTotal.ceilDiv(rowBlock))), step = e.i64(vl), zero = e.i64(0);
  Value block = e.rem(index, blocks), rest = e.divFloor(index, blocks);
  if (rowsAreHeads) {
    group = e.rem(rest, e.size(groups));
    batch = e.divFloor(rest, e.size(groups));
  } else {
    head = e.rem(rest, e.size(heads));
    batch = e.divFloor(rest, e.size(heads));
    group = e.divFloor(head, e.i64(headsPerGroup));
  }
  rowBegin = e.mul(block, e.i64(rowBlock));
  rowCount = e.min(e.sub(e.size(rowsTotal), rowBegin), e.i64(rowBlock));
  keyEnd = e.size(keys);
  if (root.getCausal()) // later keys weigh nothing in every row
    keyEnd = e.min(keyEnd, rowsAreHeads ? e.i64(1) : e.add(rowBegin, rowCount));
  queryPlane = resolve(root.getQuery(), true);
  if (!keyBuffer)
    keyPlane = resolve(root.getKey(), false);
  if (!valueBuffer)
    valuePlane = resolve(root.getValue(), false);

  packQuery();
  Value rowsPadded = roundUp(rowCount, vl);
  if (!isSingleBlock) {
    e.loop(zero, rowsPadded, step, [&](Value lane) {
      e.storeVector(maxima, accumulator, lane, infinity());
      e.storeVector(sums, accumulator, lane, e.zeros(wide()));
    });
    Value places = e.mul(e.min(roundUp(rowCount, kTileRows), e.i64(rowBlock)), widthPadded);
    e.loop(zero, places, step, [&](Value place) { e.storeVector(outputs, accumulator, place, e.zeros(wide())); });
  }
  // Inverse of the sums, where the results are about to be made.
  auto invert = [&] {
    e.loop(zero, rowsPadded, step, [&](Value lane) {
      Value sum = e.loadVector(sums, accumulator, lane, vl);
      Value inverse = arith::DivFOp::create(e.b, e.loc, splatConstant(1), sum);
      Value isNone;
      if (root.getZeroMaskedRows())
        isNone = arith::CmpFOp::create(e.b, e.loc, arith::CmpFPredicate::OEQ, sum, e.zeros(wide()));
      else if (!asConstant(keys)) // without any key at all the formula sums nothing
        isNone = e.splat(e.less(e.size(keys), e.i64(1)), vl);
      if (isNone)
        inverse = e.select(isNone, e.zeros(wide()), inverse);
      e.storeVector(factors, accumulator, lane, inverse);
    });
  };
  e.loop(zero, keyEnd, e.i64(keyBlock), [&](Value begin) {
    keyBegin = begin;
    keyCount = e.min(e.sub(keyEnd, begin), e.i64(keyBlock));
    if (keyBuffer) {
      Value stride = e.size(normalize(depth.ceilDiv(vl) * vl));
      keyPlane = Plane{packBlock(root.getKey(), keyBuffer, depth, stride), stride, e.i64(1), true};
    }
    if (valueBuffer)
      valuePlane = Plane{packBlock(root.getValue(), valueBuffer, width, widthPadded), widthPadded, e.i64(1), true};
    if (packsMask)
      packMask();
    // Groups of vectors of rows, then single ones.
    Value groupStep = e.i64(vectors * vl), whole = e.mul(e.divFloor(rowsPadded, groupStep), groupStep);
    std::optional<int64_t> fixed = asConstant(rowsTotal);
    e.loop(zero, rowsPadded, step, [&](Value lane) { e.storeVector(blockMaxima, accumulator, lane, infinity()); });
    if (!fixed || *fixed > vl) {
      emitScores(zero, whole, vectors, kTileRows);
      e.loop(zero, whole, groupStep, [&](Value lane) { emitSoftmax(lane, vectors); });
    }
    bool isEven = fixed && llvm::divideCeil(*fixed % rowBlock, vl) % vectors == 0 && rowBlock / vl % vectors == 0;
    if (!isEven) {
      emitScores(whole, rowsPadded, 1, kTileKeys);
      e.loop(whole, rowsPadded, step, [&](Value lane) { emitSoftmax(lane, 1); });
    }
    if (isSingleBlock)
      invert();
    if (succeeded(status))
      emitOutput();
  });
  if (isSingleBlock || failed(status))
    return;
  invert();
  emitFinalRows();
}

LogicalResult AttentionKernel::emit() {
  Dims query = getDims(root.getQuery().getType()), key = getDims(root.getKey().getType());
  batches = query[0], heads = query[1], queries = query[2], depth = query[3];
  groups = key[1], keys = key[2];
  width = getDim(root.getValue().getType(), 3);
  if (heads != groups)
    headsPerGroup = *asConstant(heads) / *asConstant(groups);
  rowsAreHeads = asConstant(queries) == 1 && asConstant(heads) && asConstant(groups);
  rowsTotal = rowsAreHeads ? getAffineConstantExpr(headsPerGroup, context) : queries;
  accumulator = accumulatorFor(getElementTypeOrSelf(root.getQuery().getType()));
  if (!isa<FloatType>(accumulator))
    return root.emitOpError("works on floats");
  chooseBlocks();
  // What can be read in place decides the scratch; positions are not known yet.
  Value zero = e.i64(0);
  batch = head = group = zero;
  queryPlane = resolve(root.getQuery(), true);
  keyPlane = resolve(root.getKey(), false);
  valuePlane = resolve(root.getValue(), false);
  if (root.getMask()) {
    // Read along keys and transposed, where the rows are not next to each other.
    Evaluator ev(e, vl);
    AffineExpr headIndex, queryIndex, keyIndex = bindOne(ev, zero, keys, 1, true);
    AffineExpr row = bindRows(ev, zero, false, headIndex, queryIndex);
    AffineExpr address =
        addressOf(ev, root.getMask(),
                  applyMap(*root.getMaskMap(), {bindOne(ev, zero, batches), headIndex, queryIndex, keyIndex}));
    if (address && isa<AffineDimExpr>(keyIndex)) {
      std::optional<int64_t> alongKeys = ev.laneStride(address);
      auto rowDim = dyn_cast<AffineDimExpr>(row);
      packsMask = alongKeys == 1 && rowDim && address.isFunctionOfDim(rowDim.getPosition());
    }
  }
  layOutScratch();
  e.loop(e.tileBegin, e.tileEnd, e.i64(1), [&](Value index) { emitTile(index); });
  return status;
}

LogicalResult tenon::cpu::emitAttention(Emitter &e, AttentionOp root) { return AttentionKernel(e, root).emit(); }
