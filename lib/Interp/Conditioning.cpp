//===- Conditioning.cpp - random tensors, and how outputs follow inputs ---===//
#include "tenon/Interp/Interpreter.h"
#include <cmath>

using namespace mlir;

namespace tenon::interp {

Tensor makeRandom(Type elementType, ArrayRef<int64_t> shape, StringRef name) {
  std::vector<uint8_t> bytes(*countElements(shape) * elementBytes(elementType));
  bool isInt = formOf(elementType) == Form::Int;
  fillSeeded(name, isInt ? 4.0 : 1.0, elementType, 0, bytes);
  return llvm::cantFail(Tensor::fromBytes(elementType, shape, bytes));
}

/// The neighbour of a finite, nonzero value of `type`, away from or toward zero.
static double neighbour(double value, FloatType type, bool up) {
  if (value == 0 || !std::isfinite(value))
    return value;
  uint64_t bits = floatToBits(value, type);
  double moved = bitsToFloat(up ? bits + 1 : bits - 1, type);
  return std::isfinite(moved) ? moved : value;
}

static Tensor perturb(const Tensor &input, uint64_t key) {
  Tensor result = input.clone();
  auto type = dyn_cast<FloatType>(input.elementType);
  if (auto complex = dyn_cast<ComplexType>(input.elementType))
    type = dyn_cast<FloatType>(complex.getElementType());
  if (!type)
    return result;
  uint64_t next = 0;
  auto move = [&](double value) { return neighbour(value, type, seededUniform(key, next++) < 0.5); };
  if (result.form() == Form::Float)
    for (double &v : result.mut<double>())
      v = move(v);
  else
    for (Complex &v : result.mut<Complex>()) {
      double re = move(v.real());
      v = Complex(re, move(v.imag()));
    }
  return result;
}

static void compare(double reference, double changed, double largest, Conditioning &out) {
  if (reference == changed || (std::isnan(reference) && std::isnan(changed)))
    return;
  double distance = std::fabs(changed - reference);
  if (!std::isfinite(distance)) {
    out.elementwise = out.normwise = INFINITY;
    return;
  }
  out.elementwise = std::max(out.elementwise, reference == 0 ? INFINITY : distance / std::fabs(reference));
  out.normwise = std::max(out.normwise, largest == 0 ? INFINITY : distance / largest);
}

static void compare(const Tensor &reference, const Tensor &changed, Conditioning &out) {
  if (reference.form() == Form::Int) {
    int64_t flips = 0;
    for (auto [a, b] : llvm::zip(reference.ints(), changed.ints()))
      flips += a != b;
    out.flips = std::max(out.flips, flips);
    return;
  }
  double largest = 0;
  auto grow = [&](double v) { largest = std::isfinite(v) ? std::max(largest, std::fabs(v)) : largest; };
  if (reference.form() == Form::Float) {
    llvm::for_each(reference.floats(), grow);
    for (auto [a, b] : llvm::zip(reference.floats(), changed.floats()))
      compare(a, b, largest, out);
    return;
  }
  for (Complex v : reference.complexes()) {
    grow(v.real());
    grow(v.imag());
  }
  for (auto [a, b] : llvm::zip(reference.complexes(), changed.complexes())) {
    compare(a.real(), b.real(), largest, out);
    compare(a.imag(), b.imag(), largest, out);
  }
}

FailureOr<std::vector<Conditioning>> Interpreter::measureConditioning(StringRef entry, ArrayRef<Tensor> inputs,
                                                                      int64_t runs, uint64_t seed,
                                                                      ArrayRef<int64_t> symbols) {
  FailureOr<std::vector<Tensor>> reference = run(entry, inputs, symbols);
  if (failed(reference))
    return failure();
  std::vector<Conditioning> result(reference->size());
  for (int64_t i = 0; i < runs; ++i) {
    std::vector<Tensor> moved;
    for (auto [k, input] : llvm::enumerate(inputs))
      moved.push_back(perturb(input, seedKey("perturb " + std::to_string(seed) + " " + std::to_string(i) + " " +
                                             std::to_string(k))));
    FailureOr<std::vector<Tensor>> changed = run(entry, moved, symbols);
    if (failed(changed))
      return failure();
    for (auto [a, b, out] : llvm::zip(*reference, *changed, result)) {
      if (a.shape == b.shape)
        compare(a, b, out);
      else
        out.elementwise = out.normwise = INFINITY;
    }
  }
  return result;
}

} // namespace tenon::interp
