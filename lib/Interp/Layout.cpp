//===- Layout.cpp - ops that move elements --------------------------------===//
#include "Evaluate.h"
#include "mlir/Dialect/Complex/IR/Complex.h"

using namespace mlir;

namespace tenon::interp {

static Results one(FailureOr<Tensor> tensor) {
  if (failed(tensor))
    return failure();
  return SmallVector<Tensor, 2>{*tensor};
}

Shape stridesThroughMap(AffineMap map, ArrayRef<int64_t> shape) {
  Shape own = rowMajorStrides(shape), result(map.getNumDims(), 0);
  for (auto [i, expr] : llvm::enumerate(map.getResults()))
    if (auto dim = dyn_cast<AffineDimExpr>(expr))
      result[dim.getPosition()] += own[i];
  return result;
}

/// to[i * toStrides + toBase] = from[i * fromStrides + fromBase] for every i of `shape`.
static void copyStrided(ArrayRef<int64_t> shape, const Tensor &from, int64_t fromBase, ArrayRef<int64_t> fromStrides,
                        Tensor &to, int64_t toBase, ArrayRef<int64_t> toStrides) {
  to.visitMut([&](auto &target) {
    using T = typename std::decay_t<decltype(target)>::value_type;
    const auto &source = from.as<T>();
    forEachPoint<2>(shape, {fromStrides, toStrides}, {fromBase, toBase},
                    [&](int64_t f, int64_t t) { target[t] = source[f]; });
  });
}

/// Checks that the part at `offsets` lies in a tensor of shape `whole`; gives base and strides of the part in it.
static LogicalResult locatePart(Operation *op, ArrayRef<int64_t> whole, ArrayRef<int64_t> part,
                                ArrayRef<int64_t> offsets, ArrayRef<int64_t> steps, int64_t &base, Shape &strides) {
  strides = rowMajorStrides(whole);
  base = 0;
  bool isEmpty = llvm::is_contained(part, 0);
  for (auto [d, size, count, offset, step] : llvm::enumerate(whole, part, offsets, steps)) {
    // No product that overflows: (count - 1) * step <= size - 1 - offset.
    bool fits = count == 0 ? offset >= 0 && offset <= size
                           : offset >= 0 && offset < size && (count - 1) <= (size - 1 - offset) / step;
    if (!fits)
      return op->emitOpError() << "takes " << count << " elements from " << offset << " by " << step
                               << " along dimension " << d << " of size " << size;
    if (isEmpty)
      continue;
    base += offset * strides[d];
    strides[d] *= step;
  }
  return success();
}

static Results evaluateSlice(graph::SliceOp op, Frame &frame) {
  const Tensor &input = frame.get(op.getInput());
  FailureOr<Shape> offsets = frame.evaluate(op, op.getOffsets().getExprs());
  FailureOr<Tensor> result = frame.make(op, op.getType());
  int64_t base;
  Shape strides;
  if (failed(offsets) || failed(result) ||
      failed(locatePart(op, input.shape, result->shape, *offsets, op.getStrides(), base, strides)))
    return failure();
  copyStrided(result->shape, input, base, strides, *result, 0, rowMajorStrides(result->shape));
  return one(result);
}

static Results evaluateInsertSlice(graph::InsertSliceOp op, Frame &frame) {
  const Tensor &source = frame.get(op.getSource());
  Tensor result = frame.get(op.getDest()).clone();
  FailureOr<Shape> offsets = frame.evaluate(op, op.getOffsets().getExprs());
  int64_t base;
  Shape strides;
  if (failed(offsets) || failed(locatePart(op, result.shape, source.shape, *offsets, op.getStrides(), base, strides)))
    return failure();
  copyStrided(source.shape, source, 0, rowMajorStrides(source.shape), result, base, strides);
  return one(result);
}

/// Fills a tensor with the number that `value` holds.
static LogicalResult fillWith(Operation *op, Attribute value, Tensor &tensor) {
  auto toDouble = [](APFloat number) {
    bool losesInfo;
    number.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven, &losesInfo);
    return number.convertToDouble();
  };
  if (auto number = dyn_cast<FloatAttr>(value); number && tensor.form() == Form::Float)
    llvm::fill(tensor.mut<double>(), toDouble(number.getValue()));
  else if (auto number = dyn_cast<IntegerAttr>(value); number && tensor.form() == Form::Int)
    llvm::fill(tensor.mut<int64_t>(), number.getValue().getZExtValue());
  else if (auto number = dyn_cast<complex::NumberAttr>(value); number && tensor.form() == Form::Complex)
    llvm::fill(tensor.mut<Complex>(), Complex(toDouble(number.getReal()), toDouble(number.getImag())));
  else
    return op->emitOpError() << "value " << value << " is not a number of " << tensor.elementType;
  tensor.roundToElementType();
  return success();
}

static Results evaluatePad(graph::PadOp op, Frame &frame) {
  const Tensor &input = frame.get(op.getInput());
  FailureOr<Shape> low = frame.evaluate(op, op.getLow().getExprs()), high = frame.evaluate(op, op.getHigh().getExprs());
  if (failed(low) || failed(high))
    return failure();
  Shape shape;
  for (auto [d, size, l, h] : llvm::enumerate(input.shape, *low, *high)) {
    if (l < 0 || h < 0)
      return op.emitOpError() << "pads dimension " << d << " by " << l << " and " << h << ", which must not be negative";
    shape.push_back(l + size + h);
  }
  FailureOr<Tensor> result = frame.make(op, input.elementType, shape);
  if (failed(result))
    return failure();
  if (failed(fillWith(op, op.getValue(), *result)))
    return failure();
  Shape strides = rowMajorStrides(shape);
  int64_t base = 0;
  for (auto [l, stride] : llvm::zip(*low, strides))
    base += l * stride;
  copyStrided(input.shape, input, 0, rowMajorStrides(input.shape), *result, base, strides);
  return one(result);
}

static Results evaluatePermute(graph::PermuteOp op, Frame &frame) {
  const Tensor &input = frame.get(op.getInput());
  Shape own = rowMajorStrides(input.shape), strides, shape;
  for (int64_t dim : op.getOrder()) {
    shape.push_back(input.shape[dim]);
    strides.push_back(own[dim]);
  }
  Tensor result(input.elementType, shape);
  copyStrided(shape, input, 0, strides, result, 0, rowMajorStrides(shape));
  return one(result);
}

static Results evaluateReshape(graph::ReshapeOp op, Frame &frame) {
  const Tensor &input = frame.get(op.getInput());
  FailureOr<Shape> shape = frame.shapeOf(op, op.getType());
  if (failed(shape))
    return failure();
  if (countElements(*shape) != input.size())
    return op.emitOpError() << "gives " << input.size() << " elements the shape [" << *shape << "]";
  return one(input.reshaped(*shape));
}

static Results evaluateBroadcast(graph::BroadcastOp op, Frame &frame) {
  const Tensor &input = frame.get(op.getInput());
  FailureOr<Tensor> result = frame.make(op, op.getType());
  if (failed(result))
    return failure();
  Shape own = rowMajorStrides(input.shape), strides(result->rank(), 0);
  for (auto [i, dim] : llvm::enumerate(op.getDims())) {
    if (input.shape[i] == result->shape[dim])
      strides[dim] = own[i];
    else if (input.shape[i] != 1)
      return op.emitOpError() << "size " << input.shape[i] << " cannot repeat to " << result->shape[dim];
  }
  copyStrided(result->shape, input, 0, strides, *result, 0, rowMajorStrides(result->shape));
  return one(result);
}

static Results evaluateConcat(graph::ConcatOp op, Frame &frame) {
  int64_t dim = op.getDim();
  Shape shape = frame.get(op.getInputs()[0]).shape;
  for (Value v : op.getInputs().drop_front()) {
    const Tensor &input = frame.get(v);
    Shape other = input.shape;
    other[dim] = shape[dim];
    if (other != shape)
      return op.emitOpError() << "joins shapes [" << shape << "] and [" << input.shape << "] along dimension " << dim;
    shape[dim] += input.shape[dim];
  }
  FailureOr<Tensor> result = frame.make(op, frame.get(op.getInputs()[0]).elementType, shape);
  if (failed(result))
    return failure();
  Shape strides = rowMajorStrides(shape);
  int64_t base = 0;
  for (Value v : op.getInputs()) {
    const Tensor &input = frame.get(v);
    copyStrided(input.shape, input, 0, rowMajorStrides(input.shape), *result, base, strides);
    base += input.shape[dim] * strides[dim];
  }
  return one(result);
}

static Results evaluateReverse(graph::ReverseOp op, Frame &frame) {
  const Tensor &input = frame.get(op.getInput());
  Tensor result(input.elementType, input.shape);
  Shape strides = rowMajorStrides(input.shape), back = strides;
  int64_t base = 0;
  for (int64_t dim : op.getDims()) {
    base += (input.shape[dim] - 1) * strides[dim];
    back[dim] = -strides[dim];
  }
  copyStrided(input.shape, input, base, back, result, 0, strides);
  return one(result);
}

static Results evaluateAssertDim(graph::AssertDimOp op, Frame &frame) {
  const Tensor &input = frame.get(op.getInput());
  FailureOr<Shape> want = frame.shapeOf(op, op.getType());
  if (failed(want))
    return failure();
  for (auto [d, have, need] : llvm::enumerate(input.shape, *want))
    if (have != need) {
      std::string claim;
      llvm::raw_string_ostream(claim) << graph::getDim(op.getType(), d);
      return op.emitOpError() << "dimension " << d << " has size " << have << " but is claimed to be " << claim
                              << ", here " << need;
    }
  return one(input);
}

Results evaluateLayout(Operation *op, Frame &frame) {
  return TypeSwitch<Operation *, Results>(op)
      .Case([&](graph::PermuteOp o) { return evaluatePermute(o, frame); })
      .Case([&](graph::ReshapeOp o) { return evaluateReshape(o, frame); })
      .Case([&](graph::BroadcastOp o) { return evaluateBroadcast(o, frame); })
      .Case([&](graph::SliceOp o) { return evaluateSlice(o, frame); })
      .Case([&](graph::InsertSliceOp o) { return evaluateInsertSlice(o, frame); })
      .Case([&](graph::PadOp o) { return evaluatePad(o, frame); })
      .Case([&](graph::ConcatOp o) { return evaluateConcat(o, frame); })
      .Case([&](graph::ReverseOp o) { return evaluateReverse(o, frame); })
      .Case([&](graph::AssertDimOp o) { return evaluateAssertDim(o, frame); })
      .Default([](Operation *o) -> Results { return o->emitOpError("is no layout op"); });
}

} // namespace tenon::interp
