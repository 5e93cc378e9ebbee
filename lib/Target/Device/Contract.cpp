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
  if (!size || *size % kLanes != 0 || !e.hasVectors())
    return 1;
  Evaluator ev(e, kLanes);
  return kernels::storesNeighbours(ev, root, point(ev)) ? kLanes : 1;
}

/// Whether the next place along `dim` is the next element in memory; nullopt when the value is computed.
static std::optional<bool> advancesByOne(const Evaluator &ev, Value value, const Point &point, AffineExpr dim) {
  auto place = ev.placeOf(value, point);
  if (!place)
    return std::nullopt;
  AffineExpr next = place->second.replace(dim, dim + 1);
  return asConstant(ev.simplifier().simplify(normalize(next - place->second))) == 1;
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
  auto operandOf = [&](unsigned operand, ArrayRef<unsigned> lineDims, const Dims &lines) {
    Product::Operand made;
    Value value = root->getOperand(operand);
    made.read = [&, value, operand, lineDims](Value batchFlat, Value line, Value depth, int64_t lanes, bool alongDepth) -> Value {
      Evaluator ev(e, lanes);
      Point at = constantPoint(rank, context);
      bind(ev, at, shape.batch, batchFlat, batch);
      bind(ev, at, lineDims, line, lines, !alongDepth);
      bind(ev, at, shape.k, depth, k, alongDepth);
      return ev.vectorAt(value, applyMap(root.getMap(operand), at));
    };
    made.type = getElementTypeOrSelf(value.getType());
    made.depthPart = k.empty() ? 1 : asConstant(k.back()).value_or(1);
    made.linePart = lines.empty() ? 1 : asConstant(lines.back()).value_or(1);
    // Of what is computed on the way: activations of a network lie along the depth, weights are given across it.
    made.isAlongDepth = operand == shape.a;
    Evaluator ev(e, 1);
    Point dims;
    for (AffineExpr size : shape.sizes)
      dims.push_back(ev.bind({}, size));
    if (!k.empty())
      if (std::optional<bool> advances = advancesByOne(ev, value, applyMap(root.getMap(operand), dims), dims[shape.k.back()]))
        made.isAlongDepth = *advances;
    made.strided = StridedMatrix::find(e, value, root.getMap(operand), shape.sizes, shape.batch, lineDims, shape.k);
    return made;
  };
  Type element = getElementTypeOrSelf(root.getType());
  Product p;
  p.batches = product(batch, context);
  p.rows = product(m, context);
  p.columns = product(n, context);
  p.depth = product(k, context);
  p.accumulator = kernels::accumulatorFor(element);
  p.a = operandOf(shape.a, shape.m, m);
  p.b = operandOf(shape.b, shape.n, n);
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
  p.hasNeighbouringBatches = groups > 1 && *channels == 1;
  p.a.type = getElementTypeOrSelf(root.getInput().getType());
  p.b.type = getElementTypeOrSelf(root.getFilter().getType());
  p.a.isAlongDepth = *channels > 1;
  p.a.depthPart = p.b.depthPart = *channels;
  p.b.linePart = columns;
  p.a.read = [&](Value group, Value row, Value k, int64_t lanes, bool) -> Value {
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
  /// The filter is [column, channel, tap…].
  static constexpr unsigned kColumn = 0, kChannel = 1;
  p.b.read = [&](Value group, Value column, Value k, int64_t lanes, bool alongDepth) -> Value {
    auto [tap, channel] = split(k);
    SmallVector<Value> position{e.add(e.mul(group, e.i64(columns)), column), channel};
    position.append(kernels::delinearize(e, tap, tapSizes));
    Evaluator ev(e, lanes);
    Point at = kernels::bindPoint(ev, position, filter);
    if (lanes > 1) {
      unsigned along = alongDepth ? kChannel : kColumn;
      ev.setDim(cast<AffineDimExpr>(at[along]).getPosition(), {position[along], lanes, /*isLane=*/true, {}, filter[along]});
    }
    return ev.vectorAt(root.getFilter(), at);
  };
  {
    Evaluator ev(e, 1);
    Point at;
    for (AffineExpr size : filter)
      at.push_back(ev.bind({}, size));
    p.b.isAlongDepth = advancesByOne(ev, root.getFilter(), at, at[kChannel]).value_or(false);
  }
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
