//===- Transposed.cpp - maps that read along one dimension, write along another --===//
// The result's innermost dimension `across` is read in steps, another one, `along`, element by element: a change of
// layout with what is computed on the way. Lanes run along `along`, so that loads are whole vectors; squares of vectors
// are transposed in registers, so that stores are too.
#include "Kernels.h"
#include "Transpose.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::cpu;
using namespace tenon::graph;

/// Elements of a tile of the grid.
static constexpr int64_t kTileElements = 8192;

namespace {
struct Dimensions {
  unsigned along, across;
};

class TransposedKernel {
public:
  TransposedKernel(Emitter &e, Value result, Dimensions dims)
      : e(e), result(result), type(cast<RankedTensorType>(result.getType())), sizes(getDims(type)), along(dims.along),
        across(dims.across) {}
  LogicalResult emit(int64_t workPerPoint);

private:
  Value valueAt(ArrayRef<Value> outer, Value first, Value position, Value mask);
  void storeRow(ArrayRef<Value> outer, Value row, Value first, Value vector, Value mask);
  void emitSquare(ArrayRef<Value> outer, Value first, Value column);
  void emitStrip(ArrayRef<Value> outer, Value first);

  Emitter &e;
  Value result;
  RankedTensorType type;
  Dims sizes;
  unsigned along, across;
  LogicalResult status = success();
};
} // namespace

/// Addresses that `value` at `point` is computed from; false when they are not known without running the kernel.
static bool collectAddresses(Value value, Point point, const IndexSimplifier &simplifier,
                             SmallVectorImpl<AffineExpr> &addresses) {
  Operation *op = value.getDefiningOp();
  if (!op) {
    addresses.push_back(simplifier.simplify(linearize(point, getDims(value.getType()), value.getContext())));
    return true;
  }
  if (auto moved = pullThrough(op, point, simplifier))
    return collectAddresses(moved->first, moved->second, simplifier, addresses);
  if (isa<ConstantOp>(op))
    return true;
  auto map = dyn_cast<MapOp>(op);
  if (!map)
    return false;
  for (auto [i, input] : llvm::enumerate(map.getInputs()))
    if (!collectAddresses(input, applyMap(map.getMap(i), point), simplifier, addresses))
      return false;
  return true;
}

/// By how much an address grows along a loop dimension; nullopt when that is not the same everywhere.
static std::optional<int64_t> strideAlong(AffineExpr address, unsigned dim) {
  MLIRContext *context = address.getContext();
  AffineExpr d = getAffineDimExpr(dim, context), zero = getAffineConstantExpr(0, context);
  AffineExpr offset = normalize(address.replace(d, zero));
  AffineExpr stride = normalize(address.replace(d, getAffineConstantExpr(1, context)) - offset);
  if (stride.isFunctionOfDim(dim) || normalize(address - offset - stride * d) != zero)
    return std::nullopt;
  return asConstant(stride).value_or(INT64_MAX); // symbolic: some step
}

/// Whether the kernel is better computed with lanes along another dimension than its innermost one.
static std::optional<Dimensions> findDimensions(Value result, int64_t lanes) {
  auto type = cast<RankedTensorType>(result.getType());
  Type element = type.getElementType();
  if (!element.isIntOrFloat() || storageBytes(element) != 4)
    return std::nullopt;
  Dims sizes = getDims(type);
  int64_t across = -1;
  for (auto [i, size] : llvm::enumerate(sizes))
    if (asConstant(size) != 1)
      across = i;
  if (across < 1)
    return std::nullopt;
  IndexSimplifier simplifier(sizes);
  SmallVector<AffineExpr> addresses;
  if (!collectAddresses(result, identityPoint(sizes.size(), type.getContext()), simplifier, addresses))
    return std::nullopt;
  auto isEven = [&](AffineExpr address, unsigned dim) {
    std::optional<int64_t> stride = strideAlong(address, dim);
    return stride == 0 || stride == 1;
  };
  if (llvm::all_of(addresses, [&](AffineExpr address) { return isEven(address, across); }))
    return std::nullopt;
  for (int64_t along = across - 1; along >= 0; --along) {
    std::optional<int64_t> size = asConstant(sizes[along]);
    if ((size && *size < lanes) || !llvm::all_of(addresses, [&](AffineExpr address) { return isEven(address, along); }))
      continue;
    return Dimensions{static_cast<unsigned>(along), static_cast<unsigned>(across)};
  }
  return std::nullopt;
}

/// The result at `position` of `across`, for the lanes from `first` on along `along`.
Value TransposedKernel::valueAt(ArrayRef<Value> outer, Value first, Value position, Value mask) {
  Evaluator ev(e, e.vl);
  ev.mask = mask;
  Point point;
  for (unsigned d = 0; d < sizes.size(); ++d) {
    if (d == along)
      point.push_back(ev.bind(first, sizes[d], e.vl, /*isLane=*/true));
    else if (asConstant(sizes[d]) == 1)
      point.push_back(getAffineConstantExpr(0, e.b.getContext()));
    else
      point.push_back(ev.bind(d == across ? position : outer[d], sizes[d]));
  }
  Value value = ev.vectorAt(result, point);
  if (!value)
    status = failure();
  return value;
}

/// Elements from `first` on along `across`, at `row` of `along`.
void TransposedKernel::storeRow(ArrayRef<Value> outer, Value row, Value first, Value vector, Value mask) {
  Evaluator ev(e, e.vl);
  ev.mask = mask;
  Point point;
  for (unsigned d = 0; d < sizes.size(); ++d) {
    if (d == across)
      point.push_back(ev.bind(first, sizes[d], e.vl, /*isLane=*/true));
    else if (asConstant(sizes[d]) == 1)
      point.push_back(getAffineConstantExpr(0, e.b.getContext()));
    else
      point.push_back(ev.bind(d == along ? row : outer[d], sizes[d]));
  }
  ev.store(e.outputPointer(0), type, point, vector);
}

/// vl x vl elements; rows and columns past the end repeat the last one, and are not stored.
void TransposedKernel::emitSquare(ArrayRef<Value> outer, Value first, Value column) {
  Value rowEnd = e.size(sizes[along]), columnEnd = e.size(sizes[across]), last = e.sub(columnEnd, e.i64(1));
  auto isWhole = [&](unsigned dim) {
    std::optional<int64_t> size = asConstant(sizes[dim]);
    return size && *size % e.vl == 0;
  };
  Value rowMask = isWhole(along) ? Value() : e.tailMask(first, rowEnd, e.vl);
  Value columnMask = isWhole(across) ? Value() : e.tailMask(column, columnEnd, e.vl);
  SmallVector<Value> values;
  for (int64_t i = 0; i < e.vl; ++i) {
    Value position = e.add(column, e.i64(i));
    values.push_back(valueAt(outer, first, columnMask ? e.min(position, last) : position, rowMask));
    if (failed(status))
      return;
  }
  for (auto [i, vector] : llvm::enumerate(transpose(e, values))) {
    Value row = e.add(first, e.i64(i));
    if (rowMask)
      e.ifThen(e.less(row, rowEnd), [&] { storeRow(outer, row, column, vector, columnMask); });
    else
      storeRow(outer, row, column, vector, columnMask);
  }
}

/// All of a short `across` for vl elements of `along`: lane by lane where they end, else as whole vectors when the two
/// are neighbours.
void TransposedKernel::emitStrip(ArrayRef<Value> outer, Value first) {
  int64_t count = *asConstant(sizes[across]);
  Value rowEnd = e.size(sizes[along]);
  SmallVector<Value> values;
  std::optional<int64_t> rows = asConstant(sizes[along]);
  Value mask = rows && *rows % e.vl == 0 ? Value() : e.tailMask(first, rowEnd, e.vl);
  for (int64_t i = 0; i < count && succeeded(status); ++i)
    values.push_back(valueAt(outer, first, e.i64(i), mask));
  if (failed(status))
    return;
  Evaluator ev(e, 1);
  Point origin;
  for (unsigned d = 0; d < sizes.size(); ++d)
    origin.push_back(asConstant(sizes[d]) == 1 || d == across ? getAffineConstantExpr(0, e.b.getContext())
                                                              : ev.bind(d == along ? first : outer[d], sizes[d]));
  Value base = e.offsetPointer(
      e.outputPointer(0), type.getElementType(),
      ev.index(ev.simplifier().simplify(linearize(origin, sizes, e.b.getContext()))));
  auto whole = [&] {
    // Output vector o holds elements o * vl … of [vl][count]: taken from the values one after the other.
    for (int64_t o = 0; o < count; ++o) {
      Value packed = values[0];
      for (int64_t i = 0; i < count; ++i) {
        SmallVector<int64_t> order;
        for (int64_t lane = 0; lane < e.vl; ++lane) {
          int64_t flat = o * e.vl + lane;
          order.push_back(flat % count == i ? (i == 0 ? 0 : e.vl) + flat / count : i == 0 ? flat / count : lane);
        }
        packed = vector::ShuffleOp::create(e.b, e.loc, packed, i == 0 ? packed : values[i], order);
      }
      e.storeVector(base, type.getElementType(), e.i64(o * e.vl), packed);
    }
  };
  auto single = [&] {
    for (int64_t lane = 0; lane < e.vl; ++lane)
      e.ifThen(e.less(e.add(first, e.i64(lane)), rowEnd), [&] {
        for (int64_t i = 0; i < count; ++i) {
          Value element = vector::ExtractOp::create(e.b, e.loc, values[i], ArrayRef<int64_t>{lane});
          e.storeScalar(base, type.getElementType(), e.i64(lane * count + i), element);
        }
      });
  };
  if (!mask)
    return whole();
  e.ifElse(e.less(e.add(first, e.i64(e.vl - 1)), rowEnd), whole, single);
}

LogicalResult TransposedKernel::emit(int64_t workPerPoint) {
  MLIRContext *context = e.b.getContext();
  // Blocks of vl along `along`, by all other dimensions but `across`.
  Dims outerSizes;
  for (auto [d, size] : llvm::enumerate(sizes))
    if (d != across)
      outerSizes.push_back(d == along ? normalize(size.ceilDiv(e.vl)) : size);
  AffineExpr strips = product(outerSizes, context);
  std::optional<int64_t> width = asConstant(sizes[across]);
  int64_t perTile = std::max<int64_t>(1, kTileElements / (e.vl * width.value_or(256)));
  setSchedule(e, normalize(strips.ceilDiv(perTile)), getAffineConstantExpr(0, context),
              numElements(type) * (workPerPoint + 1));
  bool isShort = width && *width < e.vl && across == along + 1;
  Value count = e.size(strips);
  e.loop(e.tileBegin, e.tileEnd, e.i64(1), [&](Value tile) {
    Value begin = e.mul(tile, e.i64(perTile)), end = e.min(e.add(begin, e.i64(perTile)), count);
    e.loop(begin, end, e.i64(1), [&](Value strip) {
      SmallVector<Value> positions = delinearize(e, strip, outerSizes), outer;
      for (unsigned d = 0, i = 0; d < sizes.size(); ++d)
        outer.push_back(d == across ? Value() : positions[i++]);
      Value first = e.mul(outer[along], e.i64(e.vl));
      if (isShort)
        return emitStrip(outer, first);
      e.loop(e.i64(0), e.size(sizes[across]), e.i64(e.vl), [&](Value column) { emitSquare(outer, first, column); });
    });
  });
  return status;
}

std::optional<LogicalResult> tenon::cpu::emitTransposed(Emitter &e, int64_t workPerPoint) {
  OperandRange results = resultsOf(e.kernel);
  if (results.size() != 1)
    return std::nullopt;
  std::optional<Dimensions> dims = findDimensions(results[0], e.vl);
  if (!dims)
    return std::nullopt;
  return TransposedKernel(e, results[0], *dims).emit(workPerPoint);
}
