//===- Map.cpp - graph.map: a scalar region at every point ----------------===//
#include "Scalar.h"
#include <cmath>

using namespace mlir;

namespace tenon::interp {

Register::Register(Type type) : type(type) {
  std::optional<Form> form = formOf(type);
  if (form == Form::Float)
    f.resize(kBlock);
  else if (form == Form::Int)
    i.resize(kBlock);
  else if (form == Form::Complex)
    c.resize(kBlock);
}

void Register::round(int64_t n) {
  if (!i.empty()) {
    unsigned width = intWidth(type);
    for (int64_t k = 0; k < n && width < 64; ++k)
      i[k] = wrapInt(i[k], width);
  } else if (!f.empty()) {
    auto floatType = cast<FloatType>(type);
    if (floatType.isF32())
      for (int64_t k = 0; k < n; ++k)
        f[k] = static_cast<float>(f[k]);
    else if (!floatType.isF64())
      for (int64_t k = 0; k < n; ++k)
        f[k] = roundToType(f[k], floatType);
  } else {
    auto part = cast<FloatType>(cast<ComplexType>(type).getElementType());
    for (int64_t k = 0; k < n && !part.isF64(); ++k)
      c[k] = Complex(roundToType(c[k].real(), part), roundToType(c[k].imag(), part));
  }
}

/// Copies values between a register and a tensor: `fn(k)` is the tensor's offset for point k of the block.
template <typename Fn> static void load(Register &to, const Tensor &from, int64_t n, Fn fn) {
  from.visit([&](const auto &values) {
    using T = typename std::decay_t<decltype(values)>::value_type;
    for (int64_t k = 0; k < n; ++k)
      if constexpr (std::is_same_v<T, double>)
        to.f[k] = values[fn(k)];
      else if constexpr (std::is_same_v<T, int64_t>)
        to.i[k] = values[fn(k)];
      else
        to.c[k] = values[fn(k)];
  });
}
static void save(const Register &from, Tensor &to, int64_t n, int64_t begin) {
  to.visitMut([&](auto &values) {
    using T = typename std::decay_t<decltype(values)>::value_type;
    if constexpr (std::is_same_v<T, double>)
      std::copy_n(from.f.begin(), n, values.begin() + begin);
    else if constexpr (std::is_same_v<T, int64_t>)
      std::copy_n(from.i.begin(), n, values.begin() + begin);
    else
      std::copy_n(from.c.begin(), n, values.begin() + begin);
  });
}

/// Every input must have the sizes that its map reads.
static LogicalResult checkInputShapes(graph::MapOp op, ArrayRef<int64_t> shape, Frame &frame) {
  for (auto [i, input] : llvm::enumerate(op.getInputs())) {
    const Tensor &tensor = frame.get(input);
    for (auto [d, expr] : llvm::enumerate(op.getMap(i).getResults())) {
      auto dim = dyn_cast<AffineDimExpr>(expr);
      int64_t want = dim ? shape[dim.getPosition()] : 1;
      if (tensor.shape[d] != want)
        return op.emitOpError() << "input " << i << " has size " << tensor.shape[d] << " along dimension " << d
                                << " but the result's shape [" << shape << "] needs " << want;
    }
  }
  return success();
}

Results evaluateMap(graph::MapOp op, Frame &frame) {
  SmallVector<Tensor, 2> results;
  for (Value v : op.getResults()) {
    FailureOr<Tensor> result = frame.make(op, v.getType());
    if (failed(result))
      return failure();
    if (!results.empty() && result->shape != results[0].shape)
      return op.emitOpError("has results of different shapes");
    results.push_back(*result);
  }
  Shape shape = results[0].shape;
  if (failed(checkInputShapes(op, shape, frame)))
    return failure();

  Registers registers;
  auto addRegister = [&](Value v) {
    registers[v] = std::make_unique<Register>(v.getType());
    return registers[v].get();
  };
  Block *block = op.getBlock();
  for (BlockArgument arg : block->getArguments())
    addRegister(arg);
  // The first point of the block being worked on, as an index and counted in row-major order.
  int64_t begin = 0;
  std::vector<std::pair<Operation *, Step>> steps;
  for (Operation &inner : block->without_terminator()) {
    for (Value v : inner.getResults()) {
      if (!formOf(v.getType()))
        return inner.emitOpError() << "gives " << v.getType() << ", which cannot be interpreted";
      addRegister(v);
    }
    // A value from outside the region has no register.
    for (Value v : inner.getOperands())
      if (!registers.contains(v))
        return inner.emitOpError("uses a value from outside the region");
    Step step;
    if (auto index = dyn_cast<graph::IndexOp>(inner)) {
      Register *out = registers[index.getResult()].get();
      int64_t stride = rowMajorStrides(shape)[index.getDim()], size = shape[index.getDim()];
      step = [=, &begin](int64_t n) -> const char * {
        for (int64_t k = 0; k < n; ++k)
          out->i[k] = (begin + k) / stride % size;
        return nullptr;
      };
    } else if (auto size = dyn_cast<graph::SizeValueOp>(inner)) {
      FailureOr<int64_t> value = frame.evaluate(size, size.getExpr().getExprs().front());
      if (failed(value))
        return failure();
      llvm::fill(registers[size.getResult()]->i, *value);
      continue;
    } else {
      for (auto make : {makeArithStep, makeMathStep, makeComplexStep})
        if (!step)
          step = make(&inner, registers);
    }
    if (!step)
      return inner.emitOpError("cannot be interpreted");
    steps.emplace_back(&inner, std::move(step));
  }
  for (Value v : block->getTerminator()->getOperands())
    if (!registers.contains(v))
      return op.emitOpError("yields a value from outside the region");

  // Offsets of the block's points in each input.
  SmallVector<Shape> strides;
  for (auto [i, input] : llvm::enumerate(op.getInputs()))
    strides.push_back(stridesThroughMap(op.getMap(i), frame.get(input).shape));
  std::vector<std::vector<int64_t>> offsets(op.getInputs().size(), std::vector<int64_t>(kBlock));
  Shape index(shape.size(), 0);
  int64_t total = results[0].size();
  for (begin = 0; begin < total; begin += kBlock) {
    int64_t n = std::min(kBlock, total - begin);
    for (int64_t k = 0; k < n; ++k) {
      for (auto [offset, stride] : llvm::zip(offsets, strides)) {
        int64_t sum = 0;
        for (size_t d = 0; d < index.size(); ++d)
          sum += index[d] * stride[d];
        offset[k] = sum;
      }
      for (size_t d = index.size(); d-- > 0;) {
        if (++index[d] < shape[d])
          break;
        index[d] = 0;
      }
    }
    for (auto [i, input] : llvm::enumerate(op.getInputs()))
      load(*registers[block->getArgument(i)], frame.get(input), n, [&](int64_t k) { return offsets[i][k]; });
    for (auto &[inner, step] : steps)
      if (const char *reason = step(n))
        return inner->emitOpError() << reason;
    for (auto [v, result] : llvm::zip(block->getTerminator()->getOperands(), results))
      save(*registers[v], result, n, begin);
  }
  return results;
}

} // namespace tenon::interp
