// Contractions and convolutions with what feeds them and their epilogues.
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
  auto bind = [&](Evaluator &ev, Point &at, ArrayRef<unsigned> dims, Value flat, ArrayRef<AffineExpr> sizes) {
    for (auto [dim, index] : llvm::zip(dims, kernels::bindPoint(ev, kernels::delinearize(e, flat, sizes), sizes)))
      at[dim] = index;
  };
  auto read = [&](unsigned operand, Value batchFlat, ArrayRef<unsigned> dims, ArrayRef<AffineExpr> sizes, Value flat,
                  Value depth) -> Value {
    Evaluator ev(e, 1);
    Point at = constantPoint(rank, context);
    bind(ev, at, shape.batch, batchFlat, batch);
    bind(ev, at, dims, flat, sizes);
    bind(ev, at, shape.k, depth, k);
    return ev.at(root->getOperand(operand), applyMap(root.getMap(operand), at));
  };
  Type element = getElementTypeOrSelf(root.getType());
  Product p;
  p.batches = product(batch, context);
  p.rows = product(m, context);
  p.columns = product(n, context);
  p.depth = product(k, context);
  p.elementA = getElementTypeOrSelf(root->getOperand(shape.a).getType());
  p.elementB = getElementTypeOrSelf(root->getOperand(shape.b).getType());
  p.accumulator = kernels::accumulatorFor(element);
  p.a = [&](Value b, Value row, Value depth) { return read(shape.a, b, shape.m, m, row, depth); };
  p.b = [&](Value b, Value depth, Value column) { return read(shape.b, b, shape.n, n, column, depth); };
  p.store = [&](ArrayRef<Product::Sum> sums) {
    Evaluator ev(e, 1);
    SmallVector<EpilogueElement> elements;
    for (const Product::Sum &sum : sums) {
      Point at = constantPoint(rank, context);
      bind(ev, at, shape.batch, sum.batch, batch);
      bind(ev, at, shape.m, sum.row, m);
      bind(ev, at, shape.n, sum.column, n);
      elements.push_back(
          {applyMap(root.getMap(2), at), kernels::fromAccumulator(e, sum.value, element), {}, sum.isInside});
    }
    return kernels::emitEpilogue(ev, root.getResult(), elements);
  };
  e.begin(p.threads());
  return p.emit(e);
}

//===----------------------------------------------------------------------===//
// Convolutions
//===----------------------------------------------------------------------===//

/// A product for each group: rows are the result's pixels, the depth is taps times channels.
LogicalResult device::emitConv(Emitter &e, ConvOp root) {
  MLIRContext *context = root.getContext();
  Dims in = getDims(root.getInput().getType()), out = getDims(root.getType()), filter = getDims(root.getFilter().getType());
  unsigned spatial = in.size() - 2;
  int64_t groups = root.getGroups(), taps = 1;
  SmallVector<int64_t> window;
  for (AffineExpr size : ArrayRef(filter).drop_front(2)) {
    std::optional<int64_t> known = asConstant(size);
    if (!known)
      return root.emitOpError("has a window whose size is not known when it is compiled");
    window.push_back(*known);
    taps *= *known;
  }
  std::optional<int64_t> results = asConstant(filter[0]), channels = asConstant(filter[1]);
  if (!results || !channels)
    return root.emitOpError("has a number of channels that is not known when it is compiled");
  Dims pixels(ArrayRef(out).drop_back()), tapSizes;
  for (int64_t size : window)
    tapSizes.push_back(getAffineConstantExpr(size, context));
  int64_t columns = *results / groups;
  Type element = getElementTypeOrSelf(root.getType());
  Product p;
  p.batches = getAffineConstantExpr(groups, context);
  p.rows = product(pixels, context);
  p.columns = getAffineConstantExpr(columns, context);
  p.depth = getAffineConstantExpr(taps * *channels, context);
  p.elementA = getElementTypeOrSelf(root.getInput().getType());
  p.elementB = getElementTypeOrSelf(root.getFilter().getType());
  p.accumulator = kernels::accumulatorFor(element);
  auto split = [&](Value k) { return std::pair(e.divFloor(k, e.i64(*channels)), e.rem(k, e.i64(*channels))); };
  p.a = [&](Value group, Value row, Value k) -> Value {
    auto [tap, channel] = split(k);
    SmallVector<Value> pixel = kernels::delinearize(e, row, pixels), at = kernels::delinearize(e, tap, tapSizes);
    SmallVector<Value> position{pixel[0]};
    Value isInside;
    auto both = [&](Value condition) {
      isInside = isInside ? arith::AndIOp::create(e.b, e.loc, isInside, condition).getResult() : condition;
    };
    for (unsigned d = 0; d < spatial; ++d) {
      int64_t spread = root.getInputDilation()[d];
      Value place = e.add(e.mul(pixel[d + 1], e.i64(root.getStrides()[d])), e.mul(at[d], e.i64(root.getDilations()[d])));
      place = e.sub(place, e.i64(root.getLow()[d]));
      bool mayLeave = root.getLow()[d] > 0 || root.getHigh()[d] > 0;
      if (mayLeave || spread > 1) {
        // Unsigned: what is below 0 is far beyond the end.
        Value size = e.size(normalize((in[d + 1] - 1) * spread + 1));
        both(arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::ult, place, size));
      }
      if (spread > 1) {
        Value rest = arith::RemUIOp::create(e.b, e.loc, place, e.i64(spread));
        both(arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::eq, rest, e.i64(0)));
        place = e.divFloor(place, e.i64(spread));
      }
      position.push_back(place);
    }
    position.push_back(e.add(e.mul(group, e.i64(*channels)), channel));
    if (isInside)
      for (Value &place : MutableArrayRef(position).slice(1, spatial))
        place = e.select(isInside, place, e.i64(0));
    Evaluator ev(e, 1);
    Value value = ev.at(root.getInput(), kernels::bindPoint(ev, position, in));
    return value && isInside ? e.select(isInside, value, e.zeros(value.getType())) : value;
  };
  p.b = [&](Value group, Value k, Value column) -> Value {
    auto [tap, channel] = split(k);
    SmallVector<Value> position{e.add(e.mul(group, e.i64(columns)), column), channel};
    position.append(kernels::delinearize(e, tap, tapSizes));
    Evaluator ev(e, 1);
    return ev.at(root.getFilter(), kernels::bindPoint(ev, position, filter));
  };
  p.store = [&](ArrayRef<Product::Sum> sums) {
    Evaluator ev(e, 1);
    SmallVector<EpilogueElement> elements;
    for (const Product::Sum &sum : sums) {
      SmallVector<Value> place = kernels::delinearize(e, sum.row, pixels);
      place.push_back(e.add(e.mul(sum.batch, e.i64(columns)), sum.column));
      elements.push_back({kernels::bindPoint(ev, place, out), kernels::fromAccumulator(e, sum.value, element), {}, sum.isInside});
    }
    return kernels::emitEpilogue(ev, root.getResult(), elements);
  };
  e.begin(p.threads());
  return p.emit(e);
}
