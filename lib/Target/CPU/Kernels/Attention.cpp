//===- Attention.cpp - scaled dot-product attention with its epilogue -----===//
// One pass over the keys with a running softmax. A tile is a block of query rows that share key and value heads. Query
// rows lie along the lanes: scores are kept transposed, [keys][rows], so that maxima, sums and exponentials need no
// work across lanes, and both products are the register tile of every other product: K times Qᵀ with the scalars read
// from K where it lies, and P times V with V where it lies. The order of operations of one row depends on the number
// of keys alone.
#include "Kernels.h"
#include "../../Kernels/Ranges.h"
#include "AttentionKernel.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::cpu;
using namespace tenon::graph;
using kernels::Interval;
using kernels::RangeAnalysis;

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

/// Inverse of the sums, where the results are about to be made.
void AttentionKernel::emitInverses() {
  e.loop(e.i64(0), rowsPadded, e.i64(vl), [&](Value lane) {
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
}

/// Blocks of keys of which some row keeps one. `isWhole` says that all rows keep all of them; null: not known.
void AttentionKernel::forKeyBlocks(function_ref<void(Value isWhole)> body) {
  Value end = e.size(keys);
  if (root.getCausal()) // later keys weigh nothing in every row
    end = e.min(end, rowsAreHeads ? e.i64(1) : e.add(rowBegin, rowCount));
  if (!isSparse()) {
    e.loop(e.i64(0), end, e.i64(keyBlock), [&](Value begin) {
      keyBegin = begin;
      keyCount = e.min(e.sub(end, begin), e.i64(keyBlock));
      body({});
    });
    return;
  }
  RangeAnalysis ranges(e);
  Point point;
  AffineExpr keyDim;
  Value one = e.i64(1);
  auto upTo = [&](Value begin, Value count) { return Interval{begin, e.sub(e.add(begin, count), one)}; };
  Value keep = root.getYieldedKeep();
  if (keep) {
    Interval headRange{head, head}, rows = upTo(rowBegin, rowCount);
    if (rowsAreHeads)
      headRange = upTo(e.add(e.mul(group, e.i64(headsPerGroup)), rowBegin), rowCount);
    auto bindOrZero = [&](Interval range, AffineExpr size) {
      return asConstant(size) == 1 ? getAffineConstantExpr(0, context) : ranges.bind(range, size);
    };
    point = {bindOrZero({batch, batch}, batches), bindOrZero(headRange, heads),
             bindOrZero(rowsAreHeads ? Interval{e.i64(0), e.i64(0)} : rows, queries)};
    keyDim = bindOrZero({e.i64(0), e.i64(0)}, keys);
    point.push_back(keyDim);
    for (auto [argument, capture] : llvm::zip(root.getBody().front().getArguments().drop_front(), root.getCaptures()))
      ranges.bindValue(argument, capture);
    if (isa<AffineDimExpr>(keyDim))
      ranges.prepare(keep, point, keyDim);
  }
  e.loop(e.i64(0), end, e.i64(keyBlock), [&](Value begin) {
    keyBegin = begin;
    keyCount = e.min(e.sub(end, begin), e.i64(keyBlock));
    Value isWhole, isNeeded;
    if (root.getCausal() && !rowsAreHeads) // the first row reads the last key
      isWhole = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::sle, e.add(begin, keyCount), e.add(rowBegin, one));
    if (keep) {
      if (isa<AffineDimExpr>(keyDim))
        ranges.rebind(keyDim, upTo(begin, keyCount));
      Interval kept = ranges.of(keep, point);
      isNeeded = kept.high;
      isWhole = isWhole ? arith::AndIOp::create(e.b, e.loc, isWhole, kept.low).getResult() : kept.low;
    }
    if (isNeeded && !isSingleBlock)
      e.ifThen(isNeeded, [&] { body(isWhole); });
    else
      body(isWhole);
  });
}

/// Everything that one block of keys adds.
void AttentionKernel::emitBlock(Value isWhole) {
  if (keyBuffer) {
    Value stride = e.size(normalize(depth.ceilDiv(vl) * vl));
    keyPlane = Plane{packBlock(root.getKey(), keyBuffer, depth, stride), stride, e.i64(1), true};
  }
  if (valueBuffer)
    valuePlane = Plane{packBlock(root.getValue(), valueBuffer, width, widthPadded), widthPadded, e.i64(1), true};
  if (isFew)
    emitFewWeights(isWhole);
  else
    emitManyWeights(isWhole);
  if (isSingleBlock)
    emitInverses();
  if (succeeded(status))
    emitOutput();
}

/// Scores and weights of a block of keys, with rows along the lanes.
void AttentionKernel::emitManyWeights(Value isWhole) {
  Value zero = e.i64(0), step = e.i64(vl);
  if (packsMask)
    packMask();
  // Groups of vectors of rows, then single ones.
  Value groupStep = e.i64(vectors * vl), whole = e.mul(e.divFloor(rowsPadded, groupStep), groupStep);
  std::optional<int64_t> fixed = asConstant(rowsTotal);
  bool hasGroups = !fixed || *fixed > vl;
  bool isEven = fixed && llvm::divideCeil(*fixed % rowBlock, vl) % vectors == 0 && rowBlock / vl % vectors == 0;
  e.loop(zero, rowsPadded, step, [&](Value lane) { e.storeVector(blockMaxima, accumulator, lane, infinity()); });
  auto allScores = [&](bool isMasked) {
    if (hasGroups)
      emitScores(zero, whole, vectors, kTileRows, isMasked);
    if (!isEven && succeeded(status))
      emitScores(whole, rowsPadded, 1, kTileKeys, isMasked);
  };
  if (isWhole)
    e.ifElse(isWhole, [&] { allScores(false); }, [&] { allScores(true); });
  else
    allScores(true);
  if (hasGroups)
    e.loop(zero, whole, groupStep, [&](Value lane) { emitSoftmax(lane, vectors); });
  if (!isEven)
    e.loop(whole, rowsPadded, step, [&](Value lane) { emitSoftmax(lane, 1); });
}

void AttentionKernel::emitTile(Value index) {
  Value blocks = e.size(normalize(rowsTotal.ceilDiv(rowBlock)));
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
  rowsPadded = roundUp(rowCount, vl);
  queryPlane = resolve(root.getQuery(), true);
  if (!keyBuffer)
    keyPlane = resolve(root.getKey(), false);
  if (!valueBuffer)
    valuePlane = resolve(root.getValue(), false);

  packQuery();
  std::optional<int64_t> fixed = asConstant(rowsTotal);
  auto emitAs = [&](bool few) {
    isFew = few;
    emitTileRows();
  };
  if (!canBeFew || fixed)
    emitAs(canBeFew && *fixed <= kFewRows);
  else // a model that decodes with the entry that reads prompts
    e.ifElse(e.less(rowCount, e.i64(kFewRowsAtRunTime + 1)), [&] { emitAs(true); }, [&] { emitAs(false); });
}

/// All keys, for the tile's rows.
void AttentionKernel::emitTileRows() {
  Value step = e.i64(vl), zero = e.i64(0);
  if (!isSingleBlock) {
    e.loop(zero, rowsPadded, step, [&](Value lane) {
      e.storeVector(maxima, accumulator, lane, infinity());
      e.storeVector(sums, accumulator, lane, e.zeros(wide()));
    });
    Value rows = isFew ? rowCount : e.min(roundUp(rowCount, kTileRows), e.i64(rowBlock));
    Value places = e.mul(rows, widthPadded);
    e.loop(zero, places, step, [&](Value place) { e.storeVector(outputs, accumulator, place, e.zeros(wide())); });
  }
  forKeyBlocks([&](Value isWhole) { emitBlock(isWhole); });
  if (isSingleBlock || failed(status))
    return;
  emitInverses();
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
  canBeFew = asConstant(depth) && (!keyPlane || keyPlane->isContiguous);
  layOutScratch();
  e.loop(e.tileBegin, e.tileEnd, e.i64(1), [&](Value index) { emitTile(index); });
  return status;
}

LogicalResult tenon::cpu::emitAttention(Emitter &e, AttentionOp root) { return AttentionKernel(e, root).emit(); }
