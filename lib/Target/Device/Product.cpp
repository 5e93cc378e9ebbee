#include "Product.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::device;
using namespace tenon::graph;

int64_t Product::Operand::lanes(const Emitter &e) const {
  if (!e.hasVectors())
    return 1;
  int64_t most = std::max<int64_t>(16 / kernels::storageBytes(type), 1), part = isAlongDepth ? depthPart : linePart;
  return part % most == 0 ? most : 1;
}

int64_t Product::countTiles(int64_t tileRows, int64_t tileColumns) const {
  auto size = [](AffineExpr expr) { return asConstant(expr).value_or(kManyElements); };
  return size(batches) * llvm::divideCeil(size(rows), tileRows) * llvm::divideCeil(size(columns), tileColumns);
}

Value device::multiplyAdd(Emitter &e, Value a, Value b, Value sum) {
  if (isa<FloatType>(getElementTypeOrSelf(sum.getType())))
    return e.fma(a, b, sum);
  return arith::AddIOp::create(e.b, e.loc, sum, arith::MulIOp::create(e.b, e.loc, a, b));
}

LogicalResult Product::storeStrip(Emitter &e, const Strip &strip) const {
  LogicalResult status = success();
  Value one = e.i64(1), rowEnd = e.size(rows), columnEnd = e.size(columns);
  int64_t across = strip.columns / storeLanes;
  e.loop(e.thread, e.i64(strip.rows * across), e.i64(e.threads), [&](Value index) {
    Value stripRow = e.divFloor(index, e.i64(across)), stripColumn = e.mul(e.rem(index, e.i64(across)), e.i64(storeLanes));
    Value sum;
    for (int64_t part = 0; part < strip.parts; ++part) {
      Value at = e.add(e.mul(e.add(stripRow, e.i64(part * strip.rows)), e.i64(strip.pitch)), stripColumn);
      Value value = storeLanes == 1 ? e.loadShared(strip.memory, at) : e.loadSharedVector(strip.memory, at, storeLanes);
      sum = sum ? e.combine(ReduceKind::Sum, sum, value) : value;
    }
    Value row = e.add(strip.row, e.mul(stripRow, e.i64(strip.rowStep))), column = e.add(strip.column, stripColumn);
    Value isInside = arith::AndIOp::create(e.b, e.loc, e.less(row, rowEnd), e.less(column, columnEnd));
    // The epilogue reads other tensors there too: places outside become the last one.
    Value lastRow = e.sub(rowEnd, one), lastColumn = e.sub(columnEnd, e.i64(storeLanes));
    if (failed(store({{strip.batch, e.min(row, lastRow), e.min(column, lastColumn), sum, isInside}}, storeLanes)))
      status = failure();
  });
  return status;
}

int64_t Product::threads(const Emitter &e) const {
  if (isFlat())
    return flatThreads(e);
  if (hasWarpgroups(e))
    return warpgroupThreads(e);
  return hasMatrixUnit(e) ? matrixThreads(e) : tiledThreads(e);
}

LogicalResult Product::emit(Emitter &e) const {
  auto isSmall = [](Type type) { return isa<FloatType>(type) && type.getIntOrFloatBitWidth() < 16; };
  if ((isSmall(a.type) || isSmall(b.type)) && (isFlat() || !hasWarpgroups(e)))
    return e.kernel.emitOpError("multiplies floats of 8 bits, which warpgroups alone do (sm_90a), in large products of rows that begin at "
                                "multiples of 16 bytes");
  if (isFlat())
    return emitFlat(e);
  if (hasWarpgroups(e))
    return emitWarpgroups(e);
  return hasMatrixUnit(e) ? emitMatrix(e) : emitTiled(e);
}
