//===- Contract.cpp - contractions with their epilogue --------------------===//
#include "Kernels.h"
#include "MicroKernel.h"
#include "Epilogue.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::cpu;
using namespace tenon::graph;

/// Rows and columns of a tile of the grid, at most: what a thread computes in one go.
static constexpr int64_t kTileRows = 144;
static constexpr int64_t kTileColumns = 128;
/// Tiles that a product should have, so that many threads find work, and the multiplications each should have.
static constexpr int64_t kWantedTiles = 32;
static constexpr int64_t kLeastTileWork = int64_t(1) << 18;
/// Steps of k in one pass over a tile: a panel of B of this depth stays in L1 next to the rows of A, and the rows of A
/// in L2 while the panels pass. Longer sums wait in memory for the next pass; the order of their products is the same.
static constexpr int64_t kBlockDepth = 512;

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
  // Lanes run along the result's innermost dimension; the operand that has it is B.
  bool swapped = false;
  for (AffineExpr expr : op.getMap(2).getResults()) {
    unsigned position = cast<AffineDimExpr>(expr).getPosition();
    if (asConstant(sizes[position]) != 1 || in[0][position] != in[1][position])
      swapped = in[0][position] && !in[1][position];
  }
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
  /// One register tile: addresses and the points of its rows and columns.
  struct Block {
    Evaluator ev;
    SmallVector<AffineExpr> iteration;            ///< batch dimensions are set
    SmallVector<SmallVector<AffineExpr>> rows;    ///< for each row, the positions of its dimensions
    SmallVector<Value> rowIsIn;                   ///< with a limit: whether the row is before it
    SmallVector<Value> columns, masks;            ///< first column of each vector; null masks: all lanes
    SmallVector<AffineExpr> columnPoints;
    MicroKernel micro;
  };

  void chooseTiles();
  Value rowOfTile(Value index);
  Point pointOf(unsigned operand, ArrayRef<AffineExpr> iteration) { return applyMap(root.getMap(operand), iteration); }
  void bindBlock(Block &block, Value row, int64_t rows, Value rowLimit, Value column, bool isMasked);
  LogicalResult addressRows(Block &block, AffineExpr kIndex);
  LogicalResult addressColumns(Block &block, AffineExpr kIndex, bool isMasked);
  void addressPanels(Block &block, bool isMasked);
  Value fetchAhead(Block &block, Value index, Value column);
  LogicalResult finish(Block &block, ArrayRef<Value> sums);
  LogicalResult emitBlock(Value index, int64_t rows, Value rowLimit, Value column, bool isMasked);
  LogicalResult emitRowsOf(Value column, bool isMasked);
  LogicalResult emitColumns();

  Emitter &e;
  ContractOp root;
  MLIRContext *context;
  ContractShape shape;
  TileShape tile;
  Dims batchSizes, rowSizes;
  AffineExpr columnSize, depthSize;
  kernel::LayoutAttr layout;
  Value aPointer, bPointer;
  Type elementA, elementB, accumulator;
  AffineExpr rows, rowTiles, rowBlocks, columnTiles; ///< rows; in register tiles; in tiles of the grid
  int64_t tileColumns = 0, tilesPerBlock = 0;
  bool isBalanced = false;   ///< the last register tiles have one row less, so that none is partly empty
  int64_t depthBlock = 0;    ///< steps of k in one pass; 0: all
  bool fetchesAhead = false; ///< B does not stay in L2: its next panel is fetched while one is used
  Value wholeTiles;          ///< register tiles that are not shorter
  // The tile of the grid being emitted.
  Value batch, firstTile, lastTile, columnBegin, columnEnd, kBegin, kCount;
};
} // namespace

/// Tiles by rule, from the shape alone: all rows where they are few, so that B is read once; fewer columns where there
/// would be too few tiles for many threads.
void ContractKernel::chooseTiles() {
  std::optional<int64_t> fixed = asConstant(rows), columns = asConstant(columnSize), depth = asConstant(depthSize);
  tile = TileShape::choose(e.target, fixed);
  if (fixed && *fixed > 0) { // as few register tiles as possible, then rows spread evenly over them
    tile.rows = llvm::divideCeil(*fixed, llvm::divideCeil(*fixed, tile.rows));
    isBalanced = true;
  }
  rowTiles = normalize(rows.ceilDiv(tile.rows));
  tilesPerBlock = std::max<int64_t>(1, kTileRows / tile.rows);
  if (std::optional<int64_t> tiles = asConstant(rowTiles))
    tilesPerBlock = std::max<int64_t>(1, llvm::divideCeil(*tiles, llvm::divideCeil(*tiles, tilesPerBlock)));
  rowBlocks = normalize(rowTiles.ceilDiv(tilesPerBlock));

  int64_t group = tile.vectors * e.vl, most = std::max(group, kTileColumns / group * group);
  tileColumns = most;
  if (columns && depth) {
    int64_t blocks = asConstant(rowBlocks).value_or(1), blockRows = std::clamp<int64_t>(fixed.value_or(kTileRows), 8, kTileRows);
    for (AffineExpr size : batchSizes)
      blocks *= asConstant(size).value_or(1);
    int64_t even = llvm::divideCeil(*columns, std::max<int64_t>(1, kWantedTiles / std::max<int64_t>(1, blocks)));
    int64_t least = kLeastTileWork / (blockRows * std::max<int64_t>(1, *depth));
    tileColumns = std::clamp<int64_t>(llvm::alignTo(std::max<int64_t>({even, least, 1}), group), group, most);
  }
  columnTiles = normalize(columnSize.ceilDiv(tileColumns));

  bool isLarge = layout && depth && (!fixed || *fixed > tile.rows);
  if (isLarge && *depth > kBlockDepth)
    depthBlock = llvm::alignTo(llvm::divideCeil(*depth, llvm::divideCeil(*depth, kBlockDepth)), 4);
  fetchesAhead = isLarge && group == layout.getWidth() && columns &&
                 *columns * *depth * storageBytes(elementB) > e.target.getL2Bytes() / 2;
}

/// First row of register tile `index`.
Value ContractKernel::rowOfTile(Value index) {
  Value row = e.mul(index, e.i64(tile.rows));
  return isBalanced ? e.sub(row, e.max(e.sub(index, wholeTiles), e.i64(0))) : row;
}

/// Binds the loop dimensions of a register tile.
void ContractKernel::bindBlock(Block &block, Value row, int64_t count, Value rowLimit, Value column, bool isMasked) {
  Evaluator &ev = block.ev;
  AffineExpr zero = getAffineConstantExpr(0, context);
  block.iteration.assign(root.getMap(0).getNumDims(), zero);
  for (auto [dim, position] : llvm::zip(shape.batch, delinearize(e, batch, batchSizes)))
    if (asConstant(shape.sizes[dim]) != 1)
      block.iteration[dim] = ev.bind(position, shape.sizes[dim]);
  for (int64_t r = 0; r < count; ++r) {
    Value flat = e.add(row, e.i64(r));
    if (rowLimit) {
      block.rowIsIn.push_back(e.less(flat, rowLimit));
      flat = e.select(block.rowIsIn.back(), flat, row);
    }
    SmallVector<AffineExpr> &points = block.rows.emplace_back();
    for (auto [dim, position] : llvm::zip(shape.m, delinearize(e, flat, rowSizes)))
      points.push_back(asConstant(shape.sizes[dim]) == 1 ? zero : ev.bind(position, shape.sizes[dim]));
  }
  Value width = e.size(columnSize);
  for (int64_t v = 0; v < tile.vectors; ++v) {
    block.columns.push_back(e.add(column, e.i64(v * e.vl)));
    block.columnPoints.push_back(ev.bind(block.columns.back(), columnSize, e.vl, /*isLane=*/true));
    block.masks.push_back(isMasked ? e.tailMask(block.columns.back(), width, e.vl) : Value());
  }
}

/// A: the address of each row, and its stride along k.
LogicalResult ContractKernel::addressRows(Block &block, AffineExpr kIndex) {
  MicroKernel &micro = block.micro;
  for (ArrayRef<AffineExpr> points : block.rows) {
    SmallVector<AffineExpr> at(block.iteration);
    for (auto [dim, index] : llvm::zip(shape.m, points))
      at[dim] = index;
    at[shape.k[0]] = kIndex;
    std::optional<StridedAddress> address =
        resolveStrided(block.ev, shape.a == 0 ? root.getLhs() : root.getRhs(), pointOf(shape.a, at), kIndex);
    if (!address)
      return root.emitOpError("reads its rows in steps that are not uniform");
    micro.strideA = block.ev.index(address->stride);
    micro.a.push_back(e.offsetPointer(aPointer, elementA, block.ev.index(address->offset)));
  }
  return success();
}

/// B where it lies.
LogicalResult ContractKernel::addressColumns(Block &block, AffineExpr kIndex, bool isMasked) {
  MicroKernel &micro = block.micro;
  for (AffineExpr point : block.columnPoints) {
    SmallVector<AffineExpr> at(block.iteration);
    at[shape.n[0]] = point;
    at[shape.k[0]] = kIndex;
    std::optional<StridedAddress> address =
        resolveStrided(block.ev, shape.b == 0 ? root.getLhs() : root.getRhs(), pointOf(shape.b, at), kIndex);
    if (!address || block.ev.laneStride(address->offset) != 1)
      return root.emitOpError("reads its columns in steps that are not uniform");
    micro.strideB = block.ev.index(address->stride);
    micro.b.push_back(e.offsetPointer(bPointer, elementB, block.ev.index(address->offset)));
  }
  if (isMasked)
    micro.masks = block.masks;
  return success();
}

/// B in panels.
void ContractKernel::addressPanels(Block &block, bool isMasked) {
  Value panels = e.size(columnSize.ceilDiv(layout.getWidth())), panelWidth = e.i64(layout.getWidth());
  Value panelStride = e.mul(e.size(depthSize), panelWidth), lastPanel = e.sub(panels, e.i64(1));
  Value batchOffset = e.mul(batch, e.mul(panels, panelStride));
  for (Value start : block.columns) {
    // A group may reach past the last panel: it then reads that one again, and stores nothing of it.
    Value panel = e.divFloor(start, panelWidth);
    if (isMasked)
      panel = e.min(panel, lastPanel);
    Value offset = e.add(e.add(batchOffset, e.mul(panel, panelStride)), e.rem(start, panelWidth));
    block.micro.b.push_back(e.offsetPointer(bPointer, elementB, offset));
  }
  block.micro.strideB = panelWidth;
}

/// Register tiles fetch a quarter each of the panel that is used next, so that it comes in evenly instead of stalling
/// the first of them: that of the next columns; after the tile's last columns, its first ones at the next steps of k;
/// then the next tile's.
Value ContractKernel::fetchAhead(Block &block, Value index, Value column) {
  Value width = e.i64(layout.getWidth()), panelStride = e.mul(e.size(depthSize), width), zero = e.i64(0);
  Value isLastColumn = e.less(e.sub(columnEnd, e.i64(1)), e.add(column, width));
  Value nextTile = e.select(e.less(columnEnd, e.size(columnSize)), panelStride, zero);
  if (depthBlock) {
    Value isLastPass = e.less(e.sub(e.size(depthSize), e.i64(1)), e.add(kBegin, kCount));
    Value back = e.sub(zero, e.mul(e.divFloor(e.sub(column, columnBegin), width), panelStride));
    nextTile = e.select(isLastPass, e.sub(nextTile, e.mul(kBegin, width)), e.add(back, e.mul(kCount, width)));
  }
  Value next = e.select(isLastColumn, nextTile, panelStride);
  Value part = e.rem(e.sub(index, firstTile), e.i64(4)), quarter = e.divFloor(e.mul(kCount, width), e.i64(4));
  return e.offsetPointer(block.micro.b[0], elementB, e.add(next, e.mul(part, quarter)));
}

LogicalResult ContractKernel::finish(Block &block, ArrayRef<Value> sums) {
  SmallVector<EpilogueElement> elements;
  for (auto [r, points] : llvm::enumerate(block.rows))
    for (int64_t v = 0; v < tile.vectors; ++v) {
      SmallVector<AffineExpr> at(block.iteration);
      for (auto [dim, index] : llvm::zip(shape.m, points))
        at[dim] = index;
      at[shape.n[0]] = block.columnPoints[v];
      Value sum = fromAccumulator(e, sums[r * tile.vectors + v], getElementTypeOrSelf(root.getType()));
      elements.push_back({pointOf(2, at), sum, block.masks[v], block.rowIsIn.empty() ? Value() : block.rowIsIn[r]});
    }
  return emitEpilogue(block.ev, root.getResult(), elements);
}

/// Register tile `index` of `count` rows against one group of vectors from `column` on, for the current steps of k.
/// With a limit, rows from it on are computed but not stored.
LogicalResult ContractKernel::emitBlock(Value index, int64_t count, Value rowLimit, Value column, bool isMasked) {
  Block block{Evaluator(e, e.vl), {}, {}, {}, {}, {}, {}, {e.vl, accumulator, elementA, elementB, {}, {}, {}, {}, {}}};
  bindBlock(block, rowOfTile(index), count, rowLimit, column, isMasked);
  AffineExpr kIndex = block.ev.bind(e.i64(0), depthSize);
  if (failed(addressRows(block, kIndex)))
    return failure();
  if (layout)
    addressPanels(block, isMasked);
  else if (failed(addressColumns(block, kIndex, isMasked)))
    return failure();

  MicroKernel &micro = block.micro;
  VectorType wide = e.vectorOf(accumulator, e.vl);
  SmallVector<Value> sums(count * tile.vectors, e.zeros(wide));
  if (!depthBlock) {
    if (fetchesAhead)
      micro.ahead = fetchAhead(block, index, column);
    return finish(block, micro.emit(e, kCount, sums));
  }
  // Addresses are linear in k.
  for (Value &pointer : micro.a)
    pointer = e.offsetPointer(pointer, elementA, e.mul(kBegin, micro.strideA));
  for (Value &pointer : micro.b)
    pointer = e.offsetPointer(pointer, elementB, e.mul(kBegin, micro.strideB));
  if (fetchesAhead)
    micro.ahead = fetchAhead(block, index, column);
  // Sums of earlier steps: in scratch, by group of columns, then register tile.
  Value group = e.divFloor(e.sub(column, columnBegin), e.i64(tile.vectors * e.vl));
  Value place = e.add(e.mul(group, e.i64(tilesPerBlock)), e.sub(index, firstTile));
  Value kept = e.offsetPointer(e.scratch, accumulator, e.mul(place, e.i64(tile.rows * tile.vectors * e.vl)));
  Value isFirst = e.less(kBegin, e.i64(1));
  for (auto [i, sum] : llvm::enumerate(sums))
    sum = e.select(isFirst, sum, e.loadVector(kept, accumulator, e.i64(i * e.vl), e.vl));
  sums = micro.emit(e, kCount, sums);
  LogicalResult status = success();
  e.ifElse(
      e.less(e.add(kBegin, kCount), e.size(depthSize)),
      [&] {
        for (auto [i, sum] : llvm::enumerate(sums))
          e.storeVector(kept, accumulator, e.i64(i * e.vl), sum);
      },
      [&] { status = finish(block, sums); });
  return status;
}

/// All rows of the tile against one group of vectors.
LogicalResult ContractKernel::emitRowsOf(Value column, bool isMasked) {
  LogicalResult status = success();
  Value step = e.i64(1);
  auto tiles = [&](Value from, Value to, int64_t count, Value rowLimit) {
    e.loop(from, to, step, [&](Value index) {
      if (succeeded(status))
        status = emitBlock(index, count, rowLimit, column, isMasked);
    });
  };
  tiles(firstTile, e.min(lastTile, wholeTiles), tile.rows, {});
  std::optional<int64_t> fixed = asConstant(rows);
  if (fixed && *fixed % tile.rows == 0)
    return status;
  if (succeeded(status))
    tiles(e.max(firstTile, wholeTiles), lastTile, isBalanced ? tile.rows - 1 : tile.rows,
          isBalanced ? Value() : e.size(rows));
  return status;
}

/// All columns of the tile.
LogicalResult ContractKernel::emitColumns() {
  LogicalResult status = success();
  Value groupStep = e.i64(tile.vectors * e.vl);
  Value wholeEnd = e.add(columnBegin, e.mul(e.divFloor(e.sub(columnEnd, columnBegin), groupStep), groupStep));
  e.loop(columnBegin, wholeEnd, groupStep, [&](Value column) { status = emitRowsOf(column, false); });
  std::optional<int64_t> fixed = asConstant(columnSize);
  if (failed(status) || (fixed && *fixed % (tile.vectors * e.vl) == 0))
    return status;
  e.ifThen(e.less(wholeEnd, columnEnd), [&] { status = emitRowsOf(wholeEnd, true); });
  return status;
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
  AffineExpr batches = product(batchSizes, context);
  rows = product(rowSizes, context);
  Value a = shape.a == 0 ? root.getLhs() : root.getRhs(), bb = shape.b == 0 ? root.getLhs() : root.getRhs();
  elementA = getElementTypeOrSelf(a.getType());
  elementB = getElementTypeOrSelf(bb.getType());
  accumulator = accumulatorFor(getElementTypeOrSelf(root.getType()));
  BlockArgument leafA = leafOf(a), leafB = leafOf(bb);
  if (!leafA || !leafB)
    return root.emitOpError("has an operand that is computed inside the kernel");
  aPointer = e.inputPointer(leafA.getArgNumber());
  bPointer = e.inputPointer(leafB.getArgNumber());
  layout = e.kernel.getLayout(leafB.getArgNumber());
  chooseTiles();
  int64_t keptBytes = depthBlock ? tileColumns * tilesPerBlock * tile.rows * storageBytes(accumulator) : 0;
  setSchedule(e, batches * rowBlocks * columnTiles, getAffineConstantExpr(keptBytes, context),
              2 * batches * rows * columnSize * depthSize);

  Value rowCount = e.size(rows), width = e.size(columnSize), depth = e.size(depthSize), tileCount = e.size(rowTiles);
  // Balanced: tiles * rows of one - rows of them are one row shorter. Else: the last one may be partly empty.
  wholeTiles = isBalanced ? e.sub(tileCount, e.sub(e.mul(tileCount, e.i64(tile.rows)), rowCount))
                          : e.divFloor(rowCount, e.i64(tile.rows));
  Value columnTileCount = e.size(columnTiles), blockCount = e.size(rowBlocks);
  LogicalResult status = success();
  e.loop(e.tileBegin, e.tileEnd, e.i64(1), [&](Value index) {
    // Column tiles innermost: neighbours share rows of A.
    Value columnTile = e.rem(index, columnTileCount), rest = e.divFloor(index, columnTileCount);
    Value block = e.rem(rest, blockCount);
    batch = e.divFloor(rest, blockCount);
    firstTile = e.mul(block, e.i64(tilesPerBlock));
    lastTile = e.min(e.add(firstTile, e.i64(tilesPerBlock)), tileCount);
    columnBegin = e.mul(columnTile, e.i64(tileColumns));
    columnEnd = e.min(e.add(columnBegin, e.i64(tileColumns)), width);
    kBegin = e.i64(0);
    kCount = depth;
    if (!depthBlock) {
      status = emitColumns();
      return;
    }
    e.loop(e.i64(0), depth, e.i64(depthBlock), [&](Value begin) {
      kBegin = begin;
      kCount = e.min(e.sub(depth, begin), e.i64(depthBlock));
      status = emitColumns();
    });
  });
  return status;
}

LogicalResult tenon::cpu::emitContract(Emitter &e, ContractOp root) { return ContractKernel(e, root).emit(); }
