// Contractions and convolutions with what feeds them and their epilogues.
#include "../Kernels/Spatial.h"
#include "Product.h"
#include "tenon/Target/CPU/LayoutChoice.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::device;
using namespace tenon::graph;
using kernels::EpilogueElement;

static Point constantPoint(unsigned rank, MLIRContext *context) {
  return Point(rank, getAffineConstantExpr(0, context));
}

/// Columns that are stored at once: 16 bytes of sums, where the innermost columns are a multiple of that and `point`, an element
/// of the root with the columns as lanes, ends up beside its neighbours.
static int64_t chooseStoreLanes(Emitter &e, Value root, AffineExpr innermost, function_ref<Point(Evaluator &)> point) {
  static constexpr int64_t kLanes = 4;
  std::optional<int64_t> size = innermost ? asConstant(innermost) : std::nullopt;
  bool hasVectors = e.device && e.device.getApi() != target::DeviceApi::Vulkan;
  if (!size || *size % kLanes != 0 || !hasVectors)
    return 1;
  Evaluator ev(e, kLanes);
  return kernels::storesNeighbours(ev, root, point(ev)) ? kLanes : 1;
}

//===----------------------------------------------------------------------===//
// Contractions
//===----------------------------------------------------------------------===//

LogicalResult device::emitContract(Emitter &e, ContractOp root) {
  MLIRContext *context = root.getContext();
  cpu::ContractShape shape = cpu::ContractShape::analyze(root);
  auto sizesOf = [&](ArrayRef<unsigned> dims) {
    Dims sizes;
    for (unsigned dim : dims)
      sizes.push_back(shape.sizes[dim]);
    return sizes;
  };
  Dims batch = sizesOf(shape.batch), m = sizesOf(shape.m), n = sizesOf(shape.n), k = sizesOf(shape.k);
  unsigned rank = root.getMap(0).getNumDims();
  /// Iteration dimensions bound to the parts of flat positions.
  auto bind = [&](Evaluator &ev, Point &at, ArrayRef<unsigned> dims, Value flat, ArrayRef<AffineExpr> sizes,
                  bool hasLanes = false) {
    for (auto [dim, index] : llvm::zip(dims, kernels::bindPoint(ev, kernels::delinearize(e, flat, sizes), sizes, hasLanes)))
      at[dim] = index;
  };
  auto read = [&](unsigned operand, Value batchFlat, ArrayRef<unsigned> dims, ArrayRef<AffineExpr> sizes, Value flat,
                  Value depth, int64_t lanes) -> Value {
    Evaluator ev(e, lanes);
    Point at = constantPoint(rank, context);
    bind(ev, at, shape.batch, batchFlat, batch);
    bind(ev, at, dims, flat, sizes);
    bind(ev, at, shape.k, depth, k, /*hasLanes=*/true);
    return ev.vectorAt(root->getOperand(operand), applyMap(root.getMap(operand), at));
  };
  Type element = getElementTypeOrSelf(root.getType());
  Product p;
  p.batches = product(batch, context);
  p.rows = product(m, context);
  p.columns = product(n, context);
  p.depth = product(k, context);
  p.accumulator = kernels::accumulatorFor(element);
  p.operandA = getElementTypeOrSelf(root->getOperand(shape.a).getType());
  p.operandB = getElementTypeOrSelf(root->getOperand(shape.b).getType());
  p.depthParts = k.empty() ? Dims{p.depth} : k;
  p.a = [&](Value b, Value row, Value depth, int64_t lanes) { return read(shape.a, b, shape.m, m, row, depth, lanes); };
  p.b = [&](Value b, Value depth, Value column, int64_t lanes) {
    return read(shape.b, b, shape.n, n, column, depth, lanes);
  };
  auto strided = [&](unsigned operand, ArrayRef<unsigned> lines) {
    return StridedMatrix::find(e, root->getOperand(operand), root.getMap(operand), shape.sizes, shape.batch, lines, shape.k);
  };
  p.stridedA = strided(shape.a, shape.m);
  p.stridedB = strided(shape.b, shape.n);
  p.storeLanes = chooseStoreLanes(e, root.getResult(), n.empty() ? AffineExpr() : n.back(), [&](Evaluator &ev) {
    Point at;
    for (auto [dim, size] : llvm::enumerate(shape.sizes))
      at.push_back(ev.bind({}, size, 1, /*isLane=*/dim == shape.n.back()));
    return applyMap(root.getMap(2), at);
  });
  p.store = [&](ArrayRef<Product::Sum> sums, int64_t lanes) {
    Evaluator ev(e, lanes);
    SmallVector<EpilogueElement> elements;
    for (const Product::Sum &sum : sums) {
      Point at = constantPoint(rank, context);
      bind(ev, at, shape.batch, sum.batch, batch);
      bind(ev, at, shape.m, sum.row, m);
      bind(ev, at, shape.n, sum.column, n, /*hasLanes=*/lanes > 1);
      elements.push_back(
          {applyMap(root.getMap(2), at), kernels::fromAccumulator(e, sum.value, element), {}, sum.isInside});
    }
    return kernels::emitEpilogue(ev, root.getResult(), elements);
  };
  e.begin(p.threads(e));
  return p.emit(e);
}

//===----------------------------------------------------------------------===//
// Convolutions
//===----------------------------------------------------------------------===//

/// A product for each group: rows are the result's pixels, the depth is taps times channels.
LogicalResult device::emitConv(Emitter &e, ConvOp root) {
  MLIRContext *context = root.getContext();
  kernels::Spatial spatial(root);
  if (failed(spatial.check(root)))
    return failure();
  Dims in = getDims(root.getInput().getType()), out = getDims(root.getType()), filter = getDims(root.getFilter().getType());
  int64_t groups = root.getGroups(), taps = spatial.taps();
  std::optional<int64_t> results = asConstant(filter[0]), channels = asConstant(filter[1]);
  if (!results || !channels)
    return root.emitOpError("has a number of channels that is not known when it is compiled");
  Dims pixels(ArrayRef(out).drop_back()), tapSizes;
  for (int64_t size : spatial.window)
    tapSizes.push_back(getAffineConstantExpr(size, context));
  int64_t columns = *results / groups;
  Type element = getElementTypeOrSelf(root.getType());
  Product p;
  p.batches = getAffineConstantExpr(groups, context);
  p.rows = product(pixels, context);
  p.columns = getAffineConstantExpr(columns, context);
  p.depth = getAffineConstantExpr(taps * *channels, context);
  p.accumulator = kernels::accumulatorFor(element);
  auto split = [&](Value k) { return std::pair(e.divFloor(k, e.i64(*channels)), e.rem(k, e.i64(*channels))); };
  p.operandA = getElementTypeOrSelf(root.getInput().getType());
  p.operandB = getElementTypeOrSelf(root.getFilter().getType());
  p.depthParts = {p.depth, getAffineConstantExpr(*channels, context)};
  p.a = [&](Value group, Value row, Value k, int64_t lanes) -> Value {
    auto [tap, channel] = split(k);
    SmallVector<Value> pixel = kernels::delinearize(e, row, pixels), at = kernels::delinearize(e, tap, tapSizes);
    SmallVector<Value> position{pixel[0]};
    Value isInside;
    for (unsigned d = 0; d < spatial.rank(); ++d) {
      Value place = spatial.padded(e, d, pixel[d + 1], at[d]);
      if (Value isElement = spatial.isElement(e, d, place))
        isInside = isInside ? arith::AndIOp::create(e.b, e.loc, isInside, isElement).getResult() : isElement;
      position.push_back(e.divFloor(place, e.i64(spatial.inputDilation[d])));
    }
    position.push_back(e.add(e.mul(group, e.i64(*channels)), channel));
    if (isInside)
      for (Value &place : MutableArrayRef(position).slice(1, spatial.rank()))
        place = e.select(isInside, place, e.i64(0));
    Evaluator ev(e, lanes);
    Value value = ev.vectorAt(root.getInput(), kernels::bindPoint(ev, position, in, /*hasLanes=*/true));
    return value && isInside ? e.select(isInside, value, e.zeros(value.getType())) : value;
  };
  p.b = [&](Value group, Value k, Value column, int64_t lanes) -> Value {
    auto [tap, channel] = split(k);
    SmallVector<Value> position{e.add(e.mul(group, e.i64(columns)), column), channel};
    position.append(kernels::delinearize(e, tap, tapSizes));
    Evaluator ev(e, lanes);
    // The filter is [column, channel, tap…]: channels are the lanes.
    Point at = kernels::bindPoint(ev, position, filter);
    if (lanes > 1) {
      auto dim = cast<AffineDimExpr>(at[1]).getPosition();
      ev.setDim(dim, {channel, lanes, /*isLane=*/true, {}, filter[1]});
    }
    return ev.vectorAt(root.getFilter(), at);
  };
  p.storeLanes = chooseStoreLanes(e, root.getResult(), p.columns, [&](Evaluator &ev) {
    Point at;
    for (auto [i, size] : llvm::enumerate(out))
      at.push_back(ev.bind({}, size, 1, /*isLane=*/i + 1 == out.size()));
    return at;
  });
  p.store = [&](ArrayRef<Product::Sum> sums, int64_t lanes) {
    Evaluator ev(e, lanes);
    SmallVector<EpilogueElement> elements;
    for (const Product::Sum &sum : sums) {
      SmallVector<Value> place = kernels::delinearize(e, sum.row, pixels);
      place.push_back(e.add(e.mul(sum.batch, e.i64(columns)), sum.column));
      elements.push_back({kernels::bindPoint(ev, place, out, /*hasLanes=*/lanes > 1), kernels::fromAccumulator(e, sum.value, element), {}, sum.isInside});
    }
    return kernels::emitEpilogue(ev, root.getResult(), elements);
  };
  e.begin(p.threads(e));
  return p.emit(e);
}
