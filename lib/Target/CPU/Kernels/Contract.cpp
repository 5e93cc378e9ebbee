//===- Contract.cpp - contractions with prologue and epilogue -------------===//
#include "Kernels.h"
#include "MicroKernel.h"
#include "tenon/Target/CPU/LayoutChoice.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::cpu;
using namespace tenon::graph;

/// Rows of a tile: a block of A that stays in L2 while the panels of B pass.
static constexpr int64_t kTileRows = 96;

ContractShape ContractShape::analyze(ContractOp op) {
  ContractShape shape;
  unsigned rank = op.getMap(0).getNumDims();
  SmallVector<bool> in[3];
  SmallVector<AffineExpr> sizes(rank);
  Value tensors[] = {op.getLhs(), op.getRhs(), op.getResult()};
  for (int i = 0; i < 3; ++i) {
    in[i].assign(rank, false);
    for (auto [d, expr] : llvm::enumerate(op.getMap(i).getResults())) {
      unsigned position = cast<AffineDimExpr>(expr).getPosition();
      in[i][position] = true;
      sizes[position] = getDim(tensors[i].getType(), d);
    }
  }
  // Lanes run along the result's innermost dimension that is not 1 and that one operand alone has, unless that operand
  // has another one beside it; this operand is B.
  bool swapped = false;
  for (AffineExpr expr : op.getMap(2).getResults()) {
    unsigned position = cast<AffineDimExpr>(expr).getPosition();
    if (asConstant(sizes[position]) == 1 && in[0][position] != in[1][position])
      continue;
    swapped = in[0][position] && !in[1][position];
  }
  unsigned free[2] = {0, 0};
  for (unsigned d = 0; d < rank; ++d)
    for (unsigned i : {0u, 1u})
      free[i] += in[2][d] && in[i][d] && !in[1 - i][d];
  if (free[swapped ? 0 : 1] != 1 && free[swapped ? 1 : 0] == 1)
    swapped = !swapped;
  shape.a = swapped ? 1 : 0;
  shape.b = swapped ? 0 : 1;
  for (unsigned d = 0; d < rank; ++d) {
    if (in[0][d] && in[1][d] && in[2][d])
      shape.batch.push_back(d);
    else if (in[shape.a][d] && in[2][d])
      shape.m.push_back(d);
    else if (in[shape.b][d] && in[2][d])
      shape.n.push_back(d);
    else
      shape.k.push_back(d);
  }
  shape.sizes.assign(sizes.begin(), sizes.end());
  return shape;
}

namespace {
class ContractKernel {
public:
  ContractKernel(Emitter &e, ContractOp root) : e(e), root(root), context(root.getContext()) {}
  LogicalResult emit();

private:
  LogicalResult emitBlock(Value batchFlat, Value row, int64_t rows, Value rowLimit, Value column, bool isMasked);
  LogicalResult fillRows(Value batchFlat, Value rowEnd);
  void bindBatch(Evaluator &ev, Value batchFlat, SmallVectorImpl<AffineExpr> &iteration);
  SmallVector<AffineExpr> bindRow(Evaluator &ev, Value flat);
  Value rowsOperand() { return root->getOperand(shape.a); }
  Point pointOf(unsigned operand, ArrayRef<AffineExpr> iteration);

  Emitter &e;
  ContractOp root;
  MLIRContext *context;
  ContractShape shape;
  TileShape tile;
  Dims batchSizes, rowSizes;
  AffineExpr columnSize, depthSize;
  kernel::LayoutAttr layout;
  Value aPointer, bPointer;
  bool hasPrologue = false; ///< the rows of a tile are computed into scratch, [rows][depth]
  Value blockBegin;         ///< the first of them
  Type elementA, elementB, accumulator;
};
} // namespace

Point ContractKernel::pointOf(unsigned operand, ArrayRef<AffineExpr> iteration) {
  return applyMap(root.getMap(operand), iteration);
}

void ContractKernel::bindBatch(Evaluator &ev, Value batchFlat, SmallVectorImpl<AffineExpr> &iteration) {
  for (auto [dim, position] : llvm::zip(shape.batch, delinearize(e, batchFlat, batchSizes)))
    if (asConstant(shape.sizes[dim]) != 1)
      iteration[dim] = ev.bind(position, shape.sizes[dim]);
}

/// Positions along the dimensions of rows.
SmallVector<AffineExpr> ContractKernel::bindRow(Evaluator &ev, Value flat) {
  SmallVector<AffineExpr> points;
  for (auto [dim, position] : llvm::zip(shape.m, delinearize(e, flat, rowSizes)))
    points.push_back(asConstant(shape.sizes[dim]) == 1 ? getAffineConstantExpr(0, context)
                                                       : ev.bind(position, shape.sizes[dim]));
  return points;
}

/// Computes the rows from `blockBegin` to `rowEnd` into scratch.
LogicalResult ContractKernel::fillRows(Value batchFlat, Value rowEnd) {
  LogicalResult status = success();
  Value depth = e.size(depthSize), step = e.i64(e.vl), whole = e.mul(e.divFloor(depth, step), step);
  e.loop(blockBegin, rowEnd, e.i64(1), [&](Value row) {
    auto fill = [&](Value k, Value mask) {
      Evaluator ev(e, e.vl);
      ev.mask = mask;
      SmallVector<AffineExpr> at(root.getMap(0).getNumDims(), getAffineConstantExpr(0, context));
      bindBatch(ev, batchFlat, at);
      for (auto [dim, index] : llvm::zip(shape.m, bindRow(ev, row)))
        at[dim] = index;
      at[shape.k[0]] = ev.bind(k, depthSize, e.vl, /*isLane=*/true);
      Value value = ev.vectorAt(rowsOperand(), pointOf(shape.a, at));
      if (!value) {
        status = failure();
        return;
      }
      e.storeVector(e.scratch, elementA, e.add(e.mul(e.sub(row, blockBegin), depth), k), value, mask);
    };
    e.loop(e.i64(0), whole, step, [&](Value k) { fill(k, {}); });
    if (asConstant(depthSize).value_or(1) % e.vl != 0)
      e.loop(whole, depth, step, [&](Value k) { fill(k, e.tailMask(k, depth, e.vl)); });
  });
  return status;
}

/// One register tile: `rows` rows from `row` on against one group of vectors from `column` on. With a limit, rows from
/// it on are computed but not stored.
LogicalResult ContractKernel::emitBlock(Value batchFlat, Value row, int64_t rows, Value rowLimit, Value column,
                                        bool isMasked) {
  Evaluator ev(e, e.vl);
  unsigned rank = root.getMap(0).getNumDims();
  SmallVector<AffineExpr> iteration(rank, getAffineConstantExpr(0, context));
  bindBatch(ev, batchFlat, iteration);

  // The rows' and the vectors' own loop dimensions.
  SmallVector<SmallVector<AffineExpr>> rowPoints;
  SmallVector<Value> rowIsIn, flats;
  for (int64_t r = 0; r < rows; ++r) {
    Value flat = e.add(row, e.i64(r));
    if (rowLimit) {
      Value isIn = e.less(flat, rowLimit);
      rowIsIn.push_back(isIn);
      flat = e.select(isIn, flat, row);
    }
    flats.push_back(flat);
    rowPoints.push_back(bindRow(ev, flat));
  }
  Value width = e.size(columnSize);
  SmallVector<AffineExpr> columnPoints;
  SmallVector<Value> masks, columns;
  for (int64_t v = 0; v < tile.vectors; ++v) {
    columns.push_back(e.add(column, e.i64(v * e.vl)));
    columnPoints.push_back(ev.bind(columns.back(), columnSize, e.vl, /*isLane=*/true));
    masks.push_back(isMasked ? e.tailMask(columns.back(), width, e.vl) : Value());
  }

  MicroKernel micro{e.vl, accumulator, elementA, elementB, {}, {}, {}, {}, {}};
  // A: the address of a row, and its stride along k.
  unsigned kDim = shape.k[0];
  AffineExpr kIndex = ev.bind(e.i64(0), depthSize);
  for (int64_t r = 0; r < rows; ++r) {
    if (hasPrologue) {
      micro.a.push_back(e.offsetPointer(aPointer, elementA, e.mul(e.sub(flats[r], blockBegin), e.size(depthSize))));
      micro.strideA = e.i64(1);
      continue;
    }
    SmallVector<AffineExpr> at(iteration);
    for (auto [dim, index] : llvm::zip(shape.m, rowPoints[r]))
      at[dim] = index;
    at[kDim] = kIndex;
    std::optional<StridedAddress> address = resolveStrided(ev, rowsOperand(), pointOf(shape.a, at), kIndex);
    if (!address)
      return root.emitOpError("reads its rows in steps that are not uniform");
    micro.a.push_back(e.offsetPointer(aPointer, elementA, ev.index(address->offset)));
    micro.strideA = ev.index(address->stride);
  }
  if (layout) {
    Value panels = e.size(columnSize.ceilDiv(layout.getWidth())), panelWidth = e.i64(layout.getWidth());
    Value panelStride = e.mul(e.size(depthSize), panelWidth);
    Value batchOffset = e.mul(batchFlat, e.mul(panels, panelStride));
    Value lastPanel = e.sub(panels, e.i64(1));
    for (Value start : columns) {
      // A group may reach past the last panel: it then reads that one again, and stores nothing of it.
      Value panel = e.divFloor(start, panelWidth);
      if (isMasked)
        panel = e.min(panel, lastPanel);
      Value offset = e.add(e.add(batchOffset, e.mul(panel, panelStride)), e.rem(start, panelWidth));
      micro.b.push_back(e.offsetPointer(bPointer, elementB, offset));
    }
    micro.strideB = panelWidth;
  } else {
    for (int64_t v = 0; v < tile.vectors; ++v) {
      SmallVector<AffineExpr> at(iteration);
      at[shape.n[0]] = columnPoints[v];
      at[kDim] = kIndex;
      std::optional<StridedAddress> address =
          resolveStrided(ev, shape.b == 0 ? root.getLhs() : root.getRhs(), pointOf(shape.b, at), kIndex);
      if (!address || (ev.laneStride(address->offset) != 1 && asConstant(columnSize) != 1))
        return root.emitOpError("reads its columns in steps that are not uniform");
      micro.b.push_back(e.offsetPointer(bPointer, elementB, ev.index(address->offset)));
      micro.strideB = ev.index(address->stride);
    }
    if (isMasked)
      micro.masks = masks;
  }
  SmallVector<Value> zero(rows * tile.vectors, e.zeros(e.vectorOf(accumulator, e.vl)));
  SmallVector<Value> sums = micro.emit(e, e.size(depthSize), zero);

  SmallVector<EpilogueElement> elements;
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t v = 0; v < tile.vectors; ++v) {
      SmallVector<AffineExpr> at(iteration);
      for (auto [dim, index] : llvm::zip(shape.m, rowPoints[r]))
        at[dim] = index;
      at[shape.n[0]] = columnPoints[v];
      Value sum = fromAccumulator(e, sums[r * tile.vectors + v], getElementTypeOrSelf(root.getType()));
      elements.push_back({pointOf(2, at), sum, masks[v], rowLimit ? rowIsIn[r] : Value()});
    }
  return emitEpilogue(ev, root.getResult(), elements);
}

LogicalResult ContractKernel::emit() {
  shape = ContractShape::analyze(root);
  if (shape.n.size() != 1 || shape.k.size() != 1)
    return root.emitOpError("needs one summed dimension and one of columns to run as a kernel");
  columnSize = shape.sizes[shape.n[0]];
  depthSize = shape.sizes[shape.k[0]];
  for (unsigned dim : shape.batch)
    batchSizes.push_back(shape.sizes[dim]);
  for (unsigned dim : shape.m)
    rowSizes.push_back(shape.sizes[dim]);
  AffineExpr batches = product(batchSizes, context), rows = product(rowSizes, context);
  Value a = rowsOperand(), bb = root->getOperand(shape.b);
  elementA = getElementTypeOrSelf(a.getType());
  elementB = getElementTypeOrSelf(bb.getType());
  accumulator = accumulatorFor(getElementTypeOrSelf(root.getType()));
  for (Type type : {elementA, elementB})
    if (isa<FloatType>(type) && type.getIntOrFloatBitWidth() < 16)
      return root.emitOpError("multiplies floats of 8 bits, which processors do not");
  BlockArgument leafA = leafOf(a), leafB = leafOf(bb);
  if (!leafB)
    return root.emitOpError("has columns that are computed inside the kernel");
  hasPrologue = !leafA;
  aPointer = hasPrologue ? e.scratch : e.inputPointer(leafA.getArgNumber());
  bPointer = e.inputPointer(leafB.getArgNumber());
  layout = e.kernel.getLayout(leafB.getArgNumber());
  tile = TileShape::choose(e.target, asConstant(rows));

  int64_t group = tile.vectors * e.vl;
  // Columns of a tile: whole groups, fewer for few columns.
  int64_t tileColumns = std::max(group, kTileColumns / group * group);
  if (std::optional<int64_t> m = asConstant(rows); m && *m <= 2)
    tileColumns = 2 * tileColumns; // vectors times matrices: longer streams
  AffineExpr rowTiles = normalize(rows.ceilDiv(kTileRows)), columnTiles = normalize(columnSize.ceilDiv(tileColumns));
  int64_t blockMost = llvm::alignTo(std::min(asConstant(rows).value_or(kTileRows), kTileRows), tile.rows);
  AffineExpr scratch = depthSize * (hasPrologue ? blockMost * storageBytes(elementA) : 0);
  setSchedule(e, batches * rowTiles * columnTiles, normalize(scratch),
              2 * batches * rows * columnSize * depthSize);

  Value rowCount = e.size(rows), width = e.size(columnSize);
  // Row blocks of equal size, in whole register tiles.
  Value rowTileCount = e.size(rowTiles), columnTileCount = e.size(columnTiles), mr = e.i64(tile.rows);
  Value blockRows = e.divFloor(e.add(rowCount, e.sub(rowTileCount, e.i64(1))), e.max(rowTileCount, e.i64(1)));
  blockRows = e.mul(e.divFloor(e.add(blockRows, e.sub(mr, e.i64(1))), mr), mr);

  LogicalResult status = success();
  auto rowsOf = [&](Value batch, Value rowBegin, Value rowEnd, Value column, bool isMasked) {
    std::optional<int64_t> fixed = asConstant(rows);
    Value wholeEnd = e.add(rowBegin, e.mul(e.divFloor(e.sub(rowEnd, rowBegin), mr), mr));
    e.loop(rowBegin, wholeEnd, mr, [&](Value row) {
      if (succeeded(status))
        status = emitBlock(batch, row, tile.rows, {}, column, isMasked);
    });
    if (failed(status) || (fixed && *fixed % tile.rows == 0))
      return;
    e.ifThen(e.less(wholeEnd, rowEnd), [&] {
      if (fixed) // the remainder is known: a tile of just so many rows
        status = emitBlock(batch, wholeEnd, *fixed % tile.rows, {}, column, isMasked);
      else
        status = emitBlock(batch, wholeEnd, tile.rows, rowEnd, column, isMasked);
    });
  };
  e.loop(e.tileBegin, e.tileEnd, e.i64(1), [&](Value index) {
    // Column tiles innermost: neighbours share rows of A.
    Value columnTile = e.rem(index, columnTileCount), rest = e.divFloor(index, columnTileCount);
    Value rowTile = e.rem(rest, rowTileCount), batch = e.divFloor(rest, rowTileCount);
    Value rowBegin = e.mul(rowTile, blockRows), rowEnd = e.min(e.add(rowBegin, blockRows), rowCount);
    rowBegin = e.min(rowBegin, rowCount);
    blockBegin = rowBegin;
    if (hasPrologue && failed(fillRows(batch, rowEnd))) {
      status = failure();
      return;
    }
    Value columnBegin = e.mul(columnTile, e.i64(tileColumns));
    Value columnEnd = e.min(e.add(columnBegin, e.i64(tileColumns)), width), groupStep = e.i64(group);
    Value wholeEnd = e.add(columnBegin, e.mul(e.divFloor(e.sub(columnEnd, columnBegin), groupStep), groupStep));
    e.loop(columnBegin, wholeEnd, groupStep,
           [&](Value column) { rowsOf(batch, rowBegin, rowEnd, column, false); });
    std::optional<int64_t> fixed = asConstant(columnSize);
    if (failed(status) || (fixed && *fixed % group == 0))
      return;
    e.ifThen(e.less(wholeEnd, columnEnd), [&] { rowsOf(batch, rowBegin, rowEnd, wholeEnd, true); });
  });
  return status;
}

LogicalResult tenon::cpu::emitContract(Emitter &e, ContractOp root) { return ContractKernel(e, root).emit(); }
