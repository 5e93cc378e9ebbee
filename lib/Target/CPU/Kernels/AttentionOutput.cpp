//===- AttentionOutput.cpp - weights times values, and the results --------===//
#include "AttentionKernel.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::cpu;
using namespace tenon::graph;

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
  MicroKernel micro{vl, accumulator, accumulator, elementV, e.i64(isFew ? 1 : rowBlock), valuePlane->major, {}, {}, {}};
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
    micro.a.push_back(scoresOfRow(index));
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
  int64_t tileRows = fixed ? std::clamp<int64_t>(*fixed, 1, kTileRows) : isFew ? 1 : kTileRows;
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
  if (tileRows == 1 || (fixed && *fixed % tileRows == 0))
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
