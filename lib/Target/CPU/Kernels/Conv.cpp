//===- Conv.cpp - convolutions with their epilogue ------------------------===//
// A convolution is a product whose rows are output pixels and whose k runs over taps and channels. Rows go through the
// micro-kernel of contractions; only where it finds them differs:
// * direct: 1x1 windows with stride 1 read the input as a matrix;
// * patch: with few channels, the inputs of a block of pixels are first copied side by side;
// * table: else, a table holds for every tap and pixel of a block where its channels are.
// Positions outside the image are read from zeros, so every element sums the same products in the same order wherever
// it lies. Depthwise convolutions are in Depthwise.cpp.
#include "Kernels.h"
#include "tenon/Target/CPU/LayoutChoice.h"
#include "MicroKernel.h"
#include "Spatial.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::cpu;
using namespace tenon::graph;

/// Rows of a tile of the grid: a block of the input that stays in L2 while the panels of the filter pass.
static constexpr int64_t kTileRows = 96;
/// Below this many channels, pixels are copied: a loop over so few is not worth its start.
static constexpr int64_t kPatchChannels = 16;

namespace {
enum class Reading { Direct, Patch, Table };

class ConvKernel {
public:
  ConvKernel(Emitter &e, ConvOp root) : e(e), root(root), context(root.getContext()), spatial(root) {}
  LogicalResult emit();

private:
  LogicalResult analyze();
  void chooseTile();
  void layScratch();
  void fillZeros();
  void buildTable(Value begin, Value end);
  void buildPatch(Value begin, Value end);
  void packFilter(Value group, Value column, int64_t vectors, int64_t columns);
  LogicalResult emitColumns(Value group, Value block, Value column, int64_t vectors, int64_t columns);
  LogicalResult emitTile(Value group, Value blockBegin, Value row, int64_t rows, bool isLast, Value column,
                         int64_t vectors, int64_t columns);
  Value rowOfTile(Value tile);
  TypedAttr laneMask(int64_t on);

  Emitter &e;
  ConvOp root;
  MLIRContext *context;
  Spatial spatial;
  Reading reading = Reading::Table;
  kernel::LayoutAttr layout;
  Value input, filter; ///< pointers; no filter pointer when it is packed here
  Type elementA, elementB, accumulator;
  int64_t groups, channels, outputs, taps, depth; ///< per group: input channels, output channels, products of a sum
  Dims pixelSizes;                                ///< batch and result's spatial sizes
  AffineExpr pixels;
  int64_t mr = 6, vectors = 2;
  bool fetchesAhead = false; ///< the filter does not stay in L2: its next panel is fetched while one is used
  bool isBalanced = false;   ///< the last tiles have one row less, so that none is partly empty
  AffineExpr rowTiles, rowBlocks;
  Value wholeTiles; ///< row tiles before the shorter ones
  int64_t tilesPerBlock;
  Value zeroRow, table, patch, packed;
  int64_t scratchBytes = 0;
};
} // namespace

LogicalResult ConvKernel::analyze() {
  Dims in = getDims(root.getInput().getType()), window = getDims(root.getFilter().getType());
  if (failed(spatial.check(root)))
    return failure();
  BlockArgument leaf = spatial.bufferOf(root.getInput());
  if (!leaf)
    return root.emitOpError("has an input that is computed inside the kernel");
  input = e.inputPointer(leaf.getArgNumber());
  groups = root.getGroups();
  channels = *asConstant(window[1]);
  outputs = *asConstant(window[0]) / groups;
  taps = spatial.taps();
  depth = taps * channels;
  if (outputs == 0)
    return root.emitOpError("has no output channels");
  elementA = getElementTypeOrSelf(root.getInput().getType());
  elementB = getElementTypeOrSelf(root.getFilter().getType());
  accumulator = accumulatorFor(getElementTypeOrSelf(root.getType()));
  if (auto argument = dyn_cast<BlockArgument>(root.getFilter()))
    if ((layout = e.kernel.getLayout(argument.getArgNumber()))) {
      if (layout != chooseFilterLayout(root))
        return root.emitOpError() << "needs its filter as " << chooseFilterLayout(root) << " but has it as " << layout;
      filter = e.inputPointer(argument.getArgNumber());
    }
  if (spatial.isPointwise())
    reading = Reading::Direct;
  else if (groups == 1 && channels < kPatchChannels && spatial.hasPlainInput())
    reading = Reading::Patch;
  pixelSizes = {in[0]};
  llvm::append_range(pixelSizes, ArrayRef(spatial.out));
  pixels = product(pixelSizes, context);
  return success();
}

void ConvKernel::chooseTile() {
  std::optional<int64_t> fixed = asConstant(pixels);
  TileShape shape = TileShape::choose(e.target, fixed);
  vectors = std::min(shape.vectors, static_cast<int64_t>(llvm::divideCeil(outputs, e.vl)));
  mr = shape.rows;
  if (vectors == 1 && mr == 6)
    mr = 8; // few columns: more rows, so that enough sums are in flight
  if (fixed && *fixed > 0) {
    // As few tiles as possible, then rows spread evenly over them.
    int64_t tiles = llvm::divideCeil(*fixed, mr);
    mr = llvm::divideCeil(*fixed, tiles);
    isBalanced = true;
  } else {
    // tiles >= mr - 1 always leaves a row for each shorter tile.
    isBalanced = static_cast<int64_t>(pixels.getLargestKnownDivisor()) >= mr * (mr - 1);
  }
  rowTiles = normalize(pixels.ceilDiv(mr));
  fetchesAhead = layout && vectors * e.vl == layout.getWidth() &&
                 groups * outputs * depth * storageBytes(elementB) > e.target.getL2Bytes() / 2;
  tilesPerBlock = std::max<int64_t>(1, kTileRows / mr);
  if (std::optional<int64_t> tiles = asConstant(rowTiles))
    tilesPerBlock = std::min(tilesPerBlock, std::max<int64_t>(1, *tiles));
  rowBlocks = normalize(rowTiles.ceilDiv(tilesPerBlock));
}

/// Scratch, all of fixed size: zeros, the table or the patch of a block, a packed group of columns.
void ConvKernel::layScratch() {
  auto take = [&](int64_t bytes) {
    Value pointer = e.offsetPointer(e.scratch, e.b.getI8Type(), e.i64(scratchBytes));
    scratchBytes += llvm::alignTo(bytes + 64, 64);
    return pointer;
  };
  if (reading == Reading::Table) {
    zeroRow = take((groups * channels + e.vl) * storageBytes(elementA));
    table = take(tilesPerBlock * mr * taps * 8);
  }
  if (reading == Reading::Patch)
    patch = take((tilesPerBlock * mr * depth + e.vl) * storageBytes(elementA));
  if (!layout)
    packed = take(depth * vectors * e.vl * storageBytes(elementB));
}

void ConvKernel::fillZeros() {
  Value zero = e.zeros(e.vectorOf(elementA, e.vl));
  e.loop(e.i64(0), e.i64(groups * channels), e.i64(e.vl), [&](Value c) { e.storeVector(zeroRow, elementA, c, zero); });
}

/// Row tile `tile` begins here. All tiles before `wholeTiles` have mr rows, later ones mr - 1.
Value ConvKernel::rowOfTile(Value tile) {
  Value row = e.mul(tile, e.i64(mr));
  return isBalanced ? e.sub(row, e.max(e.sub(tile, wholeTiles), e.i64(0))) : row;
}

/// table[tap][row - begin]: where the channels of that tap of that pixel are.
void ConvKernel::buildTable(Value begin, Value end) {
  Value blockRows = e.i64(tilesPerBlock * mr);
  e.loop(begin, end, e.i64(1), [&](Value row) {
    SmallVector<Value> pixel = delinearize(e, row, pixelSizes);
    Value entry = e.offsetPointer(table, e.b.getI64Type(), e.sub(row, begin));
    spatial.forEachTap(e, pixel, [&](Value tap, Value position, Value isInside) {
      Value pointer = e.offsetPointer(input, elementA, e.mul(position, e.i64(groups * channels)));
      if (isInside)
        pointer = e.select(isInside, pointer, zeroRow);
      e.storePointer(entry, e.mul(tap, blockRows), pointer);
    });
  });
}

/// patch[row - begin][tap][channel], zeros outside the image.
void ConvKernel::buildPatch(Value begin, Value end) {
  // Taps along the last dimension are neighbours in memory, unless dilated: one run, cut where the image ends.
  unsigned last = spatial.rank() - 1;
  bool isRun = spatial.dilations[last] == 1;
  int64_t runTaps = isRun ? spatial.window[last] : 1, run = runTaps * channels;
  Value zero = e.zeros(e.vectorOf(elementA, e.vl)), width = e.i64(channels);
  e.loop(begin, end, e.i64(1), [&](Value row) {
    SmallVector<Value> pixel = delinearize(e, row, pixelSizes);
    Value to = e.offsetPointer(patch, elementA, e.mul(e.sub(row, begin), e.i64(depth)));
    auto copyRun = [&](Value tap, Value position, Value isInside, Value low, Value high) {
      // position: of tap `low` of the run; [low, high): taps inside.
      Value target = e.offsetPointer(to, elementA, e.mul(tap, width));
      Value source = e.offsetPointer(input, elementA, e.mul(position, width));
      auto whole = [&] {
        int64_t at = 0;
        for (; at + e.vl <= run; at += e.vl)
          e.storeVector(target, elementA, e.i64(at), e.loadVector(source, elementA, e.i64(at), e.vl));
        if (at < run && run >= e.vl) { // overlaps the last one
          e.storeVector(target, elementA, e.i64(run - e.vl), e.loadVector(source, elementA, e.i64(run - e.vl), e.vl));
        } else {
          for (; at < run; ++at)
            e.storeScalar(target, elementA, e.i64(at), e.loadScalar(source, elementA, e.i64(at)));
        }
      };
      auto partly = [&] {
        // Whole vectors of zeros: what they touch behind the run is written later.
        for (int64_t at = 0; at < run; at += e.vl)
          e.storeVector(target, elementA, e.i64(at), zero);
        Value first = e.mul(low, width);
        e.loop(first, e.mul(high, width), e.i64(1), [&](Value at) {
          e.storeScalar(target, elementA, at, e.loadScalar(source, elementA, e.sub(at, first)));
        });
      };
      if (isInside)
        e.ifElse(isInside, whole, partly);
      else
        whole();
    };
    if (!isRun) {
      spatial.forEachTap(e, pixel, [&](Value tap, Value position, Value isInside) {
        Value some = isInside ? e.select(isInside, e.i64(1), e.i64(0)) : e.i64(1);
        copyRun(tap, isInside ? e.select(isInside, position, e.i64(0)) : position, isInside, e.i64(0), some);
      });
      return;
    }
    spatial.forEachRun(e, pixel, [&](Value tap, Value position, Value isInside, Value low, Value high) {
      copyRun(tap, position, isInside, low, high);
    });
  });
}

/// Brings a group of columns of a filter that has no layout into the order [tap][channel][column].
void ConvKernel::packFilter(Value group, Value column, int64_t vectors, int64_t columns) {
  int64_t width = vectors * e.vl;
  std::function<void(SmallVector<Value>, Value)> nest = [&](SmallVector<Value> position, Value tap) {
    if (position.size() < spatial.rank()) {
      int64_t size = spatial.window[position.size()];
      e.loop(e.i64(0), e.i64(size), e.i64(1), [&](Value w) {
        SmallVector<Value> next(position);
        next.push_back(w);
        nest(next, e.add(e.mul(tap, e.i64(size)), w));
      });
      return;
    }
    e.loop(e.i64(0), e.i64(channels), e.i64(1), [&](Value c) {
      Value to = e.offsetPointer(packed, elementB, e.mul(e.add(e.mul(tap, e.i64(channels)), c), e.i64(width)));
      for (int64_t v = 0; v < vectors; ++v) {
        Evaluator ev(e, e.vl);
        Value o = e.add(e.mul(group, e.i64(outputs)), e.add(column, e.i64(v * e.vl)));
        Point point{ev.bind(o, getAffineConstantExpr(groups * outputs, context),
                            outputs % e.vl == 0 || groups == 1 ? e.vl : 1, true),
                    ev.bind(c, getAffineConstantExpr(channels, context))};
        for (auto [w, size] : llvm::zip(position, spatial.window))
          point.push_back(ev.bind(w, getAffineConstantExpr(size, context)));
        if (columns < (v + 1) * e.vl)
          ev.mask = e.constant(laneMask(columns - v * e.vl));
        if (Value value = ev.vectorAt(root.getFilter(), point))
          e.storeVector(to, elementB, e.i64(v * e.vl), value);
      }
    });
  };
  nest({}, e.i64(0));
}

TypedAttr ConvKernel::laneMask(int64_t on) {
  SmallVector<bool> lanes;
  for (int64_t i = 0; i < e.vl; ++i)
    lanes.push_back(i < on);
  return DenseElementsAttr::get(e.vectorOf(e.b.getI1Type(), e.vl), ArrayRef(lanes));
}

/// One register tile: `rows` pixels from `row` on against `columns` columns from `column` on. When `isLast`, pixels may
/// be missing: the first one stands in for them, and is not stored again.
LogicalResult ConvKernel::emitTile(Value group, Value blockBegin, Value row, int64_t rows, bool isLast, Value column,
                                   int64_t vectors, int64_t columns) {
  Evaluator ev(e, e.vl);
  SmallVector<Value> flat, isIn(rows);
  for (int64_t r = 0; r < rows; ++r) {
    Value index = e.add(row, e.i64(r));
    if (isLast && r > 0) {
      isIn[r] = e.less(index, e.size(pixels));
      index = e.select(isIn[r], index, row);
    }
    flat.push_back(index);
  }

  MicroKernel micro{e.vl, accumulator, elementA, elementB, e.i64(1), {}, {}, {}, {}};
  // B: columns from `column` on, at k = 0.
  if (layout) {
    int64_t panelWidth = layout.getWidth(), panels = llvm::divideCeil(outputs, panelWidth);
    for (int64_t v = 0; v < vectors; ++v) {
      Value start = column, panel, lane;
      int64_t more = v * e.vl;
      if (this->vectors * e.vl % panelWidth == 0) { // groups begin at panels
        panel = e.add(e.divFloor(start, e.i64(panelWidth)), e.i64(more / panelWidth));
        lane = e.i64(more % panelWidth);
      } else {
        start = e.add(start, e.i64(more));
        panel = e.divFloor(start, e.i64(panelWidth));
        lane = e.rem(start, e.i64(panelWidth));
      }
      panel = e.add(e.mul(group, e.i64(panels)), panel);
      micro.b.push_back(e.offsetPointer(filter, elementB, e.add(e.mul(panel, e.i64(depth * panelWidth)), lane)));
    }
    micro.strideB = e.i64(panelWidth);
  } else {
    for (int64_t v = 0; v < vectors; ++v)
      micro.b.push_back(e.offsetPointer(packed, elementB, e.i64(v * e.vl)));
    micro.strideB = e.i64(vectors * e.vl);
  }

  // Row tiles fetch a quarter each of the next panel (of this one again, when it is the last), so that it comes in
  // evenly instead of stalling the first of them.
  Value ahead;
  if (fetchesAhead) {
    int64_t width = layout.getWidth(), panels = groups * llvm::divideCeil(outputs, width);
    Value next = e.add(e.mul(group, e.i64(panels / groups)), e.add(e.divFloor(column, e.i64(width)), e.i64(1)));
    next = e.select(e.less(next, e.i64(panels)), e.i64(depth * width), e.i64(0));
    Value part = e.rem(e.divFloor(e.sub(row, blockBegin), e.i64(rows)), e.i64(4));
    ahead = e.offsetPointer(micro.b[0], elementB, e.add(next, e.mul(part, e.i64(depth * width / 4))));
  }
  SmallVector<Value> sums(rows * vectors, e.zeros(e.vectorOf(accumulator, e.vl)));
  Value groupOffset = e.mul(group, e.i64(channels));
  if (reading == Reading::Table) {
    SmallVector<Value> entries, start = micro.b;
    for (Value index : flat)
      entries.push_back(e.offsetPointer(table, e.b.getI64Type(), e.sub(index, blockBegin)));
    sums = e.loop(e.i64(0), e.i64(taps), e.i64(1), sums, [&](Value tap, ValueRange carried) {
      micro.a.clear();
      micro.b.clear();
      Value slot = e.mul(tap, e.i64(tilesPerBlock * mr));
      for (Value entry : entries)
        micro.a.push_back(e.offsetPointer(e.loadPointer(entry, slot), elementA, groupOffset));
      Value offset = e.mul(tap, e.mul(e.i64(channels), micro.strideB));
      for (Value pointer : start)
        micro.b.push_back(e.offsetPointer(pointer, elementB, offset));
      if (fetchesAhead)
        micro.ahead = e.offsetPointer(ahead, elementB, e.mul(tap, e.i64(channels * layout.getWidth() / 4)));
      return micro.emit(e, e.i64(channels), carried);
    });
  } else {
    for (Value index : flat) {
      Value offset = reading == Reading::Direct ? e.add(e.mul(index, e.i64(groups * channels)), groupOffset)
                                                : e.mul(e.sub(index, blockBegin), e.i64(depth));
      micro.a.push_back(e.offsetPointer(reading == Reading::Direct ? input : patch, elementA, offset));
    }
    micro.ahead = ahead;
    sums = micro.emit(e, e.i64(depth), sums);
  }

  SmallVector<AffineExpr> columnPoints;
  SmallVector<Value> masks(vectors);
  for (int64_t v = 0; v < vectors; ++v) {
    Value o = e.add(e.mul(group, e.i64(outputs)), e.add(column, e.i64(v * e.vl)));
    int64_t align = groups == 1 || outputs % e.vl == 0 ? e.vl : 1;
    columnPoints.push_back(ev.bind(o, getAffineConstantExpr(groups * outputs, context), align, /*isLane=*/true));
    if (columns < (v + 1) * e.vl)
      masks[v] = e.constant(laneMask(columns - v * e.vl));
  }
  SmallVector<EpilogueElement> elements;
  for (int64_t r = 0; r < rows; ++r) {
    AffineExpr index = asConstant(pixels) == 1 ? getAffineConstantExpr(0, context) : ev.bind(flat[r], pixels);
    Point point = reshapePoint(ArrayRef(index), ArrayRef(pixels), pixelSizes, ev.simplifier());
    for (int64_t v = 0; v < vectors; ++v) {
      Point at(point);
      at.push_back(columnPoints[v]);
      Value sum = fromAccumulator(e, sums[r * vectors + v], getElementTypeOrSelf(root.getType()));
      elements.push_back({at, sum, masks[v], isIn[r]});
    }
  }
  return emitEpilogue(ev, root.getResult(), elements);
}

/// All rows of a block against one group of columns.
LogicalResult ConvKernel::emitColumns(Value group, Value block, Value column, int64_t vectors, int64_t columns) {
  if (!layout)
    packFilter(group, column, vectors, columns);
  Value tileCount = e.size(rowTiles);
  Value begin = e.mul(block, e.i64(tilesPerBlock)), end = e.min(e.add(begin, e.i64(tilesPerBlock)), tileCount);
  Value blockBegin = rowOfTile(begin);
  LogicalResult status = success();
  auto tiles = [&](Value from, Value to, int64_t rows, bool isLast) {
    e.loop(from, to, e.i64(1), [&](Value tile) {
      if (succeeded(status))
        status = emitTile(group, blockBegin, rowOfTile(tile), rows, isLast, column, vectors, columns);
    });
  };
  std::optional<int64_t> fixed = asConstant(pixels);
  tiles(begin, e.min(end, wholeTiles), mr, false);
  if (!(fixed && *fixed % mr == 0) && mr > 1 && succeeded(status))
    tiles(e.max(begin, wholeTiles), end, isBalanced ? mr - 1 : mr, !isBalanced);
  return status;
}

LogicalResult ConvKernel::emit() {
  if (failed(analyze()))
    return failure();
  chooseTile();
  layScratch();
  int64_t groupColumns = vectors * e.vl;
  int64_t tileColumns = std::max(groupColumns, kTileColumns / groupColumns * groupColumns);
  int64_t columnTiles = llvm::divideCeil(outputs, tileColumns);
  setSchedule(e, rowBlocks * (groups * columnTiles), getAffineConstantExpr(scratchBytes, context),
              pixels * (2 * groups * outputs * depth));

  Value count = e.size(pixels), tiles = e.size(rowTiles);
  // Balanced: tiles * mr - count of them are one row shorter. Else: the last one may be partly empty.
  wholeTiles = isBalanced ? e.sub(tiles, e.sub(e.mul(tiles, e.i64(mr)), count)) : e.divFloor(count, e.i64(mr));
  if (reading == Reading::Table)
    fillZeros();
  LogicalResult status = success();
  e.loop(e.tileBegin, e.tileEnd, e.i64(1), ValueRange{e.i64(-1)}, [&](Value index, ValueRange carried) {
    // Columns innermost, then groups: neighbours share a block of pixels, and what was prepared for it.
    Value columnTile = e.rem(index, e.i64(columnTiles)), rest = e.divFloor(index, e.i64(columnTiles));
    Value group = e.rem(rest, e.i64(groups)), block = e.divFloor(rest, e.i64(groups));
    if (reading != Reading::Direct)
      e.ifThen(arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::ne, block, carried[0]), [&] {
        Value begin = e.mul(block, e.i64(tilesPerBlock));
        Value end = rowOfTile(e.min(e.add(begin, e.i64(tilesPerBlock)), tiles));
        begin = rowOfTile(begin);
        end = e.min(end, count);
        reading == Reading::Table ? buildTable(begin, end) : buildPatch(begin, end);
      });
    int64_t wholeColumns = outputs / groupColumns * groupColumns, restColumns = outputs - wholeColumns;
    Value columnBegin = e.mul(columnTile, e.i64(tileColumns)), columnEnd = e.add(columnBegin, e.i64(tileColumns));
    e.loop(columnBegin, e.min(columnEnd, e.i64(wholeColumns)), e.i64(groupColumns), [&](Value column) {
      if (succeeded(status))
        status = emitColumns(group, block, column, vectors, groupColumns);
    });
    if (restColumns && succeeded(status)) {
      auto rest = [&] {
        status = emitColumns(group, block, e.i64(wholeColumns), llvm::divideCeil(restColumns, e.vl), restColumns);
      };
      if (columnTiles == 1)
        rest();
      else
        e.ifThen(e.less(e.i64(wholeColumns), columnEnd), rest);
    }
    return SmallVector<Value>{block};
  });
  return status;
}

LogicalResult tenon::cpu::emitConv(Emitter &e, ConvOp root) {
  return isDepthwise(root) ? emitDepthwise(e, root) : ConvKernel(e, root).emit();
}
