//===- Reduction.cpp - reductions, windows, running combinations, sorts ---===//
#include "Evaluate.h"
#include <cmath>
#include <numeric>

using namespace mlir;

namespace tenon::interp {

double maxOf(double a, double b) {
  if (std::isnan(a) || std::isnan(b))
    return NAN;
  if (a == b)
    return std::signbit(a) ? b : a;
  return a > b ? a : b;
}
double minOf(double a, double b) {
  if (std::isnan(a) || std::isnan(b))
    return NAN;
  if (a == b)
    return std::signbit(a) ? a : b;
  return a < b ? a : b;
}

using graph::ReduceKind;

/// The value that changes nothing. Held i1 values are 0 and 1, and their max and min are or and and.
template <typename T> static T identityOf(ReduceKind kind, Type elementType) {
  if constexpr (std::is_same_v<T, double>) {
    double infinity = std::numeric_limits<double>::infinity();
    if (kind == ReduceKind::Max || kind == ReduceKind::LogSumExp)
      return -infinity;
    return kind == ReduceKind::Prod ? 1 : kind == ReduceKind::Min ? infinity : 0;
  } else if constexpr (std::is_same_v<T, int64_t>) {
    unsigned width = intWidth(elementType);
    int64_t least = width == 1 ? 0 : wrapInt(int64_t(1) << (width - 1), width);
    int64_t largest = width == 1 ? 1 : ~least;
    switch (kind) {
    case ReduceKind::Prod:
    case ReduceKind::All:
      return 1;
    case ReduceKind::Max:
      return least;
    case ReduceKind::Min:
      return largest;
    default:
      return 0;
    }
  } else {
    return kind == ReduceKind::Prod ? T(1) : T(0);
  }
}

template <typename T> static T combine(ReduceKind kind, T a, T b) {
  if constexpr (std::is_same_v<T, int64_t>) {
    uint64_t x = a, y = b;
    switch (kind) {
    case ReduceKind::Sum:
      return x + y;
    case ReduceKind::Prod:
      return x * y;
    case ReduceKind::Max:
      return std::max(a, b);
    case ReduceKind::Min:
      return std::min(a, b);
    case ReduceKind::Any:
      return x | y;
    case ReduceKind::All:
      return x & y;
    case ReduceKind::LogSumExp: // of floats alone
      return 0;
    }
  }
  if (kind == ReduceKind::Sum)
    return a + b;
  if (kind == ReduceKind::Prod)
    return a * b;
  if constexpr (std::is_same_v<T, double>) {
    if (kind == ReduceKind::LogSumExp) {
      double high = maxOf(a, b);
      return std::isfinite(high) ? high + std::log1p(std::exp(minOf(a, b) - high)) : high;
    }
    return kind == ReduceKind::Max ? maxOf(a, b) : minOf(a, b);
  }
  return a;
}

/// Kinds that need an order, or bits, on elements that have it.
static LogicalResult checkKind(Operation *op, ReduceKind kind, const Tensor &input) {
  bool isOrder = kind == ReduceKind::Max || kind == ReduceKind::Min;
  bool isLogical = kind == ReduceKind::Any || kind == ReduceKind::All;
  bool isLogarithm = kind == ReduceKind::LogSumExp;
  if ((isOrder && input.form() == Form::Complex) || (isLogical && input.form() != Form::Int) ||
      (isLogarithm && input.form() != Form::Float))
    return op->emitOpError() << "kind " << graph::stringifyReduceKind(kind) << " does not work on "
                             << input.elementType;
  return success();
}

static Results evaluateReduce(graph::ReduceOp op, Frame &frame) {
  const Tensor &input = frame.get(op.getInput());
  ReduceKind kind = op.getKind();
  if (failed(checkKind(op, kind, input)))
    return failure();
  Shape shape;
  for (auto [d, size] : llvm::enumerate(input.shape))
    if (!llvm::is_contained(op.getDims(), static_cast<int64_t>(d)))
      shape.push_back(size);
  FailureOr<Tensor> result = frame.make(op, input.elementType, shape);
  if (failed(result))
    return failure();
  Shape kept = rowMajorStrides(shape), strides(input.rank(), 0);
  for (size_t d = 0, k = 0; d < strides.size(); ++d)
    if (!llvm::is_contained(op.getDims(), static_cast<int64_t>(d)))
      strides[d] = kept[k++];
  result->visitMut([&](auto &to) {
    using T = typename std::decay_t<decltype(to)>::value_type;
    const std::vector<T> &from = input.as<T>();
    llvm::fill(to, identityOf<T>(kind, input.elementType));
    forEachPoint<2>(input.shape, {rowMajorStrides(input.shape), strides}, {0, 0},
                    [&](int64_t f, int64_t t) { to[t] = combine<T>(kind, to[t], from[f]); });
  });
  result->roundToElementType();
  return SmallVector<Tensor, 2>{*result};
}

/// Calls fn(offset of the first element, stride) for every line along `dim`, in row-major order of the other dimensions.
template <typename Fn> static void forEachLine(const Tensor &tensor, int64_t dim, Fn fn) {
  Shape strides = rowMajorStrides(tensor.shape), rest(tensor.shape), others(strides);
  rest.erase(rest.begin() + dim);
  others.erase(others.begin() + dim);
  forEachPoint<1>(rest, {others}, {0}, [&](int64_t offset) { fn(offset, strides[dim]); });
}

template <typename T> static bool isNaN(T value) {
  if constexpr (std::is_same_v<T, double>)
    return std::isnan(value);
  return false;
}
/// Strict order with NaN above everything.
template <typename T> static bool isLess(T a, T b) {
  if constexpr (std::is_same_v<T, Complex>)
    return false;
  else
    return isNaN(a) ? false : isNaN(b) ? true : a < b;
}

static Results evaluateArgReduce(graph::ArgReduceOp op, Frame &frame) {
  const Tensor &input = frame.get(op.getInput());
  int64_t dim = op.getDim(), n = input.shape[dim];
  bool isMax = op.getKind() == ReduceKind::Max;
  if (failed(checkKind(op, op.getKind(), input)))
    return failure();
  FailureOr<Tensor> result = frame.make(op, op.getType());
  if (failed(result))
    return failure();
  Shape shape = input.shape;
  shape.erase(shape.begin() + dim);
  if (n == 0 && countElements(shape) != 0)
    return op.emitOpError() << "has no position to give: dimension " << dim << " is empty";
  if (shape != result->shape)
    return op.emitOpError() << "gives shape [" << shape << "] but its type means [" << result->shape << "]";
  int64_t next = 0;
  input.visit([&](const auto &from) {
    using T = typename std::decay_t<decltype(from)>::value_type;
    forEachLine(input, dim, [&](int64_t offset, int64_t stride) {
      int64_t best = 0;
      for (int64_t i = 1; i < n; ++i) {
        T candidate = from[offset + i * stride], champion = from[offset + best * stride];
        bool wins = isNaN(champion)   ? false
                    : isNaN(candidate) ? true
                    : isMax            ? isLess<T>(champion, candidate)
                                       : isLess<T>(candidate, champion);
        if (wins)
          best = i;
      }
      result->mut<int64_t>()[next++] = best;
    });
  });
  return SmallVector<Tensor, 2>{*result};
}

static Results evaluateReduceWindow(graph::ReduceWindowOp op, Frame &frame) {
  const Tensor &input = frame.get(op.getInput());
  ReduceKind kind = op.getKind();
  FailureOr<Tensor> result = frame.make(op, op.getType());
  if (failed(result) || failed(checkKind(op, kind, input)))
    return failure();
  Shape strides = rowMajorStrides(input.shape), window(op.getWindow());
  result->visitMut([&](auto &to) {
    using T = typename std::decay_t<decltype(to)>::value_type;
    const std::vector<T> &from = input.as<T>();
    int64_t next = 0;
    forEachIndex(result->shape, [&](ArrayRef<int64_t> i) {
      T sum = identityOf<T>(kind, input.elementType);
      forEachIndex(window, [&](ArrayRef<int64_t> w) {
        int64_t offset = 0;
        for (size_t d = 0; d < w.size(); ++d) {
          int64_t at = i[d] * op.getStrides()[d] - op.getLow()[d] + w[d] * op.getDilations()[d];
          if (at < 0 || at >= input.shape[d])
            return;
          offset += at * strides[d];
        }
        sum = combine<T>(kind, sum, from[offset]);
      });
      to[next++] = sum;
    });
  });
  result->roundToElementType();
  return SmallVector<Tensor, 2>{*result};
}

static Results evaluateCumulate(graph::CumulateOp op, Frame &frame) {
  const Tensor &input = frame.get(op.getInput());
  ReduceKind kind = op.getKind();
  if (failed(checkKind(op, kind, input)))
    return failure();
  Tensor result = input.clone();
  int64_t dim = op.getDim(), size = input.shape[dim], block = op.getBlock().value_or(size);
  const Tensor *carries = op.getCarries() ? &frame.get(op.getCarries()) : nullptr;
  if (size == 0)
    return SmallVector<Tensor, 2>{result};
  result.visitMut([&](auto &values) {
    using T = typename std::decay_t<decltype(values)>::value_type;
    forEachLine(input, dim, [&](int64_t offset, int64_t stride) {
      // The same line of the carries: its outer part is `stride * size` elements long here, `stride * whole blocks` there.
      int64_t carried = offset / (stride * size) * (stride * (size / block)) + offset % stride;
      for (int64_t i = 0; i < size; ++i) {
        T &value = values[offset + i * stride];
        if (i % block != 0)
          value = combine<T>(kind, values[offset + (i - 1) * stride], value);
        else if (i > 0)
          value = combine<T>(kind, carries->as<T>()[carried + (i / block - 1) * stride], value);
      }
    });
  });
  result.roundToElementType();
  return SmallVector<Tensor, 2>{result};
}

static Results evaluateSort(graph::SortOp op, Frame &frame) {
  const Tensor &input = frame.get(op.getInput());
  if (input.form() == Form::Complex)
    return op.emitOpError("cannot order complex numbers");
  Tensor values(input.elementType, input.shape), indices(IntegerType::get(op.getContext(), 64), input.shape);
  int64_t n = input.shape[op.getDim()];
  std::vector<int64_t> order(n);
  input.visit([&](const auto &from) {
    using T = typename std::decay_t<decltype(from)>::value_type;
    forEachLine(input, op.getDim(), [&](int64_t offset, int64_t stride) {
      std::iota(order.begin(), order.end(), 0);
      std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
        T x = from[offset + a * stride], y = from[offset + b * stride];
        if (op.getDescending())
          std::swap(x, y);
        return isLess<T>(x, y) || (!isLess<T>(y, x) && a < b); // equals keep their order
      });
      for (int64_t i = 0; i < n; ++i) {
        values.mut<T>()[offset + i * stride] = from[offset + order[i] * stride];
        indices.mut<int64_t>()[offset + i * stride] = order[i];
      }
    });
  });
  return SmallVector<Tensor, 2>{values, indices};
}

Results evaluateReduction(Operation *op, Frame &frame) {
  return TypeSwitch<Operation *, Results>(op)
      .Case([&](graph::ReduceOp o) { return evaluateReduce(o, frame); })
      .Case([&](graph::ArgReduceOp o) { return evaluateArgReduce(o, frame); })
      .Case([&](graph::ReduceWindowOp o) { return evaluateReduceWindow(o, frame); })
      .Case([&](graph::CumulateOp o) { return evaluateCumulate(o, frame); })
      .Case([&](graph::SortOp o) { return evaluateSort(o, frame); })
      .Default([](Operation *o) -> Results { return o->emitOpError("is no reduction"); });
}

} // namespace tenon::interp
