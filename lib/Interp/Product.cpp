//===- Product.cpp - contraction, convolution, attention ------------------===//
#include "Evaluate.h"
#include <cmath>

using namespace mlir;

namespace tenon::interp {

static Results one(FailureOr<Tensor> tensor) {
  if (failed(tensor))
    return failure();
  return SmallVector<Tensor, 2>{*tensor};
}

static int64_t wrapAdd(int64_t a, int64_t b) { return static_cast<uint64_t>(a) + static_cast<uint64_t>(b); }
static int64_t wrapMul(int64_t a, int64_t b) { return static_cast<uint64_t>(a) * static_cast<uint64_t>(b); }
static void addProduct(double &sum, double a, double b) { sum += a * b; }
static void addProduct(Complex &sum, Complex a, Complex b) { sum += a * b; }
static void addProduct(int64_t &sum, int64_t a, int64_t b) { sum = wrapAdd(sum, wrapMul(a, b)); }

/// The same values in the form of a product's result: integers may become floats, reals complex.
static FailureOr<Tensor> toForm(Operation *op, const Tensor &tensor, Type elementType) {
  Form form = *formOf(elementType);
  if (tensor.form() == form)
    return tensor;
  if (static_cast<int>(tensor.form() == Form::Complex) || form == Form::Int)
    return op->emitOpError() << "cannot give " << elementType << " from " << tensor.elementType;
  Type wide = Float64Type::get(op->getContext());
  Tensor result(form == Form::Float ? wide : Type(ComplexType::get(wide)), tensor.shape);
  result.visitMut([&](auto &to) {
    using T = typename std::decay_t<decltype(to)>::value_type;
    tensor.visit([&](const auto &from) {
      if constexpr (!std::is_same_v<T, int64_t> && !std::is_same_v<std::decay_t<decltype(from)>, Complexes>)
        for (auto [t, f] : llvm::zip(to, from))
          t = static_cast<double>(f);
    });
  });
  return result;
}

//===----------------------------------------------------------------------===//
// contract
//===----------------------------------------------------------------------===//

static Results evaluateContract(graph::ContractOp op, Frame &frame) {
  Type elementType = getElementTypeOrSelf(op.getType());
  if (!formOf(elementType))
    return op.emitOpError() << "elements of " << elementType << " cannot be interpreted";
  FailureOr<Tensor> lhs = toForm(op, frame.get(op.getLhs()), elementType);
  FailureOr<Tensor> rhs = toForm(op, frame.get(op.getRhs()), elementType);
  if (failed(lhs) || failed(rhs))
    return failure();
  AffineMap maps[] = {op.getMap(0), op.getMap(1), op.getMap(2)};
  int64_t rank = maps[0].getNumDims();
  // Sizes of the iteration space, from the operands.
  Shape sizes(rank, -1);
  for (auto [map, tensor] : {std::pair(maps[0], &*lhs), std::pair(maps[1], &*rhs)})
    for (auto [d, expr] : llvm::enumerate(map.getResults())) {
      int64_t &size = sizes[cast<AffineDimExpr>(expr).getPosition()];
      if (size >= 0 && size != tensor->shape[d])
        return op.emitOpError() << "iteration dimension " << cast<AffineDimExpr>(expr).getPosition() << " has sizes "
                                << size << " and " << tensor->shape[d];
      size = tensor->shape[d];
    }
  Shape shape;
  SmallVector<bool> isKept(rank, false);
  Shape outer, inner;
  std::array<Shape, 2> outerStrides, innerStrides;
  Shape strides[] = {stridesThroughMap(maps[0], lhs->shape), stridesThroughMap(maps[1], rhs->shape)};
  auto addTo = [&](Shape &loops, std::array<Shape, 2> &loopStrides, int64_t dim) {
    loops.push_back(sizes[dim]);
    for (int k : {0, 1})
      loopStrides[k].push_back(strides[k][dim]);
  };
  for (AffineExpr expr : maps[2].getResults()) {
    int64_t dim = cast<AffineDimExpr>(expr).getPosition();
    isKept[dim] = true;
    shape.push_back(sizes[dim]);
    addTo(outer, outerStrides, dim);
  }
  for (int64_t dim = 0; dim < rank; ++dim)
    if (!isKept[dim])
      addTo(inner, innerStrides, dim);
  // The innermost summed dimension is a plain loop.
  int64_t n = 1, stepL = 0, stepR = 0;
  if (!inner.empty()) {
    n = inner.pop_back_val();
    stepL = innerStrides[0].pop_back_val();
    stepR = innerStrides[1].pop_back_val();
  }
  FailureOr<Tensor> result = frame.make(op, elementType, shape);
  if (failed(result))
    return failure();
  result->visitMut([&](auto &to) {
    using T = typename std::decay_t<decltype(to)>::value_type;
    const T *l = lhs->as<T>().data(), *r = rhs->as<T>().data();
    int64_t next = 0;
    forEachPoint<2>(outer, {outerStrides[0], outerStrides[1]}, {0, 0}, [&](int64_t baseL, int64_t baseR) {
      T sum = T(0);
      forEachPoint<2>(inner, {innerStrides[0], innerStrides[1]}, {baseL, baseR}, [&](int64_t offsetL, int64_t offsetR) {
        for (int64_t k = 0; k < n; ++k)
          addProduct(sum, l[offsetL + k * stepL], r[offsetR + k * stepR]);
      });
      to[next++] = sum;
    });
  });
  result->roundToElementType();
  return one(result);
}

//===----------------------------------------------------------------------===//
// conv
//===----------------------------------------------------------------------===//

static Results evaluateConv(graph::ConvOp op, Frame &frame) {
  Type elementType = getElementTypeOrSelf(op.getType());
  if (!formOf(elementType))
    return op.emitOpError() << "elements of " << elementType << " cannot be interpreted";
  FailureOr<Tensor> input = toForm(op, frame.get(op.getInput()), elementType);
  FailureOr<Tensor> filter = toForm(op, frame.get(op.getFilter()), elementType);
  if (failed(input) || failed(filter))
    return failure();
  int64_t spatial = input->rank() - 2, groups = op.getGroups();
  int64_t channels = filter->shape[1], filters = filter->shape[0];
  if (input->shape.back() != channels * groups || filters % groups != 0)
    return op.emitOpError() << "has " << input->shape.back() << " channels and " << filters << " filters of "
                            << channels << " channels in " << groups << " groups";
  Shape shape{input->shape[0]}, window(ArrayRef(filter->shape).drop_front(2));
  for (int64_t d = 0; d < spatial; ++d) {
    int64_t padded = (input->shape[d + 1] - 1) * op.getInputDilation()[d] + 1 + op.getLow()[d] + op.getHigh()[d];
    int64_t reach = (window[d] - 1) * op.getDilations()[d] + 1;
    shape.push_back(llvm::divideFloorSigned(padded - reach, op.getStrides()[d]) + 1);
    if (shape.back() < 0)
      return op.emitOpError() << "window of " << reach << " does not fit the padded size " << padded
                              << " of spatial dimension " << d;
  }
  Shape places(shape);
  shape.push_back(filters);
  FailureOr<Tensor> result = frame.make(op, elementType, shape);
  if (failed(result))
    return failure();
  Shape inputStrides = rowMajorStrides(input->shape), filterStrides = rowMajorStrides(filter->shape);
  result->visitMut([&](auto &to) {
    using T = typename std::decay_t<decltype(to)>::value_type;
    const T *x = input->as<T>().data(), *w = filter->as<T>().data();
    std::vector<T> sums(filters);
    int64_t next = 0;
    forEachIndex(places, [&](ArrayRef<int64_t> p) {
      llvm::fill(sums, T(0));
      forEachIndex(window, [&](ArrayRef<int64_t> k) {
        int64_t from = p[0] * inputStrides[0], tap = 0;
        for (int64_t d = 0; d < spatial; ++d) {
          int64_t at = p[d + 1] * op.getStrides()[d] + k[d] * op.getDilations()[d] - op.getLow()[d];
          int64_t dilation = op.getInputDilation()[d];
          // Zeros of the padding, and between dilated neighbours, add nothing.
          if (at < 0 || at % dilation != 0 || at / dilation >= input->shape[d + 1])
            return;
          from += at / dilation * inputStrides[d + 1];
          tap += k[d] * filterStrides[d + 2];
        }
        for (int64_t o = 0; o < filters; ++o) {
          const T *values = x + from + o / (filters / groups) * channels;
          const T *taps = w + o * filterStrides[0] + tap;
          for (int64_t c = 0; c < channels; ++c)
            addProduct(sums[o], values[c], taps[c * filterStrides[1]]);
        }
      });
      for (const T &sum : sums)
        to[next++] = sum;
    });
  });
  result->roundToElementType();
  return one(result);
}

//===----------------------------------------------------------------------===//
// attention
//===----------------------------------------------------------------------===//

static Results evaluateAttention(graph::AttentionOp op, Frame &frame) {
  const Tensor &q = frame.get(op.getQuery()), &k = frame.get(op.getKey()), &v = frame.get(op.getValue());
  for (const Tensor *t : {&q, &k, &v})
    if (t->form() != Form::Float)
      return op.emitOpError() << "does not work on " << t->elementType;
  int64_t batch = q.shape[0], heads = q.shape[1], rows = q.shape[2], depth = q.shape[3];
  int64_t groups = k.shape[1], keys = k.shape[2], width = v.shape[3];
  if (k.shape[0] != batch || v.shape[0] != batch || v.shape[1] != groups || v.shape[2] != keys || k.shape[3] != depth ||
      (heads != groups && (groups == 0 || heads % groups != 0)))
    return op.emitOpError() << "has query [" << q.shape << "], key [" << k.shape << "] and value [" << v.shape
                            << "], which do not fit";
  const Tensor *mask = op.getMask() ? &frame.get(op.getMask()) : nullptr;
  Shape maskStrides(4, 0);
  if (mask) {
    AffineMap map = *op.getMaskMap();
    maskStrides = stridesThroughMap(map, mask->shape);
    int64_t points[] = {batch, heads, rows, keys};
    for (auto [d, expr] : llvm::enumerate(map.getResults())) {
      auto dim = dyn_cast<AffineDimExpr>(expr);
      if (mask->shape[d] != (dim ? points[dim.getPosition()] : 1))
        return op.emitOpError() << "has a mask of shape [" << mask->shape << "], which does not fit";
    }
    if (mask->form() == Form::Complex || (mask->form() == Form::Int && !mask->elementType.isInteger(1)))
      return op.emitOpError() << "has a mask of " << mask->elementType;
  }
  FailureOr<Tensor> result = frame.make(op, getElementTypeOrSelf(op.getType()), {batch, heads, rows, width});
  if (failed(result))
    return failure();
  if (result->form() != Form::Float)
    return op.emitOpError() << "cannot give " << result->elementType;
  double scale = op.getScale().convertToDouble(), infinity = std::numeric_limits<double>::infinity();
  Shape rowShape{batch, heads, rows};
  auto scoreAt = [&](ArrayRef<int64_t> p, int64_t t) {
    const double *query = q.floats().data() + ((p[0] * heads + p[1]) * rows + p[2]) * depth;
    const double *key = k.floats().data() + ((p[0] * groups + p[1] / (heads / groups)) * keys + t) * depth;
    double sum = 0;
    for (int64_t d = 0; d < depth; ++d)
      sum += query[d] * key[d];
    return sum * scale;
  };
  // The region works on all scores at once.
  std::optional<Tensor> changed, keep;
  if (op.hasBody()) {
    FailureOr<Tensor> all = frame.make(op, op.getScoreType());
    if (failed(all))
      return failure();
    double *next = all->mut<double>().data();
    forEachIndex(rowShape, [&](ArrayRef<int64_t> p) {
      for (int64_t t = 0; t < keys; ++t)
        *next++ = scoreAt(p, t);
    });
    Block &body = op.getBody().front();
    frame.values[body.getArgument(0)] = *all;
    for (auto [argument, capture] : llvm::zip(body.getArguments().drop_front(), op.getCaptures())) {
      Tensor captured = frame.get(capture);
      frame.values[argument] = captured;
    }
    Results yielded = evaluateBlock(body, frame);
    if (failed(yielded))
      return failure();
    changed = (*yielded)[0];
    if (yielded->size() > 1)
      keep = (*yielded)[1];
  }
  std::vector<double> scores(keys);
  std::vector<char> isLeft(keys);
  double *to = result->mut<double>().data();
  forEachIndex(rowShape, [&](ArrayRef<int64_t> p) {
    const double *value = v.floats().data() + (p[0] * groups + p[1] / (heads / groups)) * keys * width;
    double largest = -infinity;
    for (int64_t t = 0; t < keys; ++t) {
      isLeft[t] = !(op.getCausal() && t > p[2]);
      int64_t place = ((p[0] * heads + p[1]) * rows + p[2]) * keys + t;
      double sum = changed ? changed->floats()[place] : scoreAt(p, t);
      if (keep)
        isLeft[t] &= keep->ints()[place] != 0;
      if (mask) {
        int64_t at = p[0] * maskStrides[0] + p[1] * maskStrides[1] + p[2] * maskStrides[2] + t * maskStrides[3];
        if (mask->form() == Form::Int)
          isLeft[t] &= mask->ints()[at] != 0;
        else
          sum += mask->floats()[at];
      }
      scores[t] = sum;
      if (isLeft[t])
        largest = maxOf(largest, sum);
    }
    double total = 0;
    for (int64_t t = 0; t < keys; ++t)
      total += isLeft[t] ? std::exp(scores[t] - largest) : 0;
    // Scores of -inf alone leave no key either. A sum over no keys at all is zero in the plain formula, too.
    bool isZero = keys == 0 || (op.getZeroMaskedRows() && largest == -infinity);
    for (int64_t e = 0; e < width; ++e) {
      double sum = 0;
      for (int64_t t = 0; t < keys && !isZero; ++t)
        if (isLeft[t])
          sum += std::exp(scores[t] - largest) * value[t * width + e];
      *to++ = isZero ? 0 : sum / total;
    }
  });
  result->roundToElementType();
  return one(result);
}

Results evaluateProduct(Operation *op, Frame &frame) {
  return TypeSwitch<Operation *, Results>(op)
      .Case([&](graph::ContractOp o) { return evaluateContract(o, frame); })
      .Case([&](graph::ConvOp o) { return evaluateConv(o, frame); })
      .Case([&](graph::AttentionOp o) { return evaluateAttention(o, frame); })
      .Default([](Operation *o) -> Results { return o->emitOpError("is no product"); });
}

} // namespace tenon::interp
