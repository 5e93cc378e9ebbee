// Reductions along dimensions, positions of extremes, running sums and products, softmax and its relatives.
#include "Op.h"

using namespace mlir;
using tenon::graph::Dims;
using tenon::graph::ReduceKind;

namespace tenon::onnx_import {

/// A reduction of `x` along known dimensions.
using Reduce = Tensor (*)(Op &op, Tensor x, ArrayRef<int64_t> dims, bool keeps);

/// All sets of dimensions that reduce `x` to the declared sizes.
static std::vector<SmallVector<int64_t>> candidates(Tensor x, ArrayRef<AffineExpr> want, bool keeps, int64_t count) {
  std::vector<SmallVector<int64_t>> result;
  int64_t rank = x.rank();
  for (uint64_t set = 0; rank < 12 && set < (uint64_t(1) << rank); ++set) {
    SmallVector<int64_t> dims;
    Dims left;
    for (int64_t d = 0; d < rank; ++d) {
      bool isReduced = set >> d & 1;
      if (isReduced)
        dims.push_back(d);
      if (keeps || !isReduced)
        left.push_back(isReduced ? getAffineConstantExpr(1, want.empty() ? x.dim(0).getContext() : want[0].getContext())
                                 : x.dim(d));
    }
    if (static_cast<int64_t>(dims.size()) == count && llvm::equal(left, want))
      result.push_back(dims);
  }
  return result;
}

/// The axes come from an input that is known only when the model runs: every set of axes that fits the declared sizes is
/// computed, and the input chooses among them.
static LogicalResult reduceByInput(Op &op, Tensor x, bool keeps, bool isNoop, Reduce reduce) {
  Tensor axes = op.tensor(1);
  std::optional<Dims> want = op.declaredDimsOr(0, "an input with the axes");
  if (!axes || !want)
    return failure();
  std::optional<int64_t> count = graph::asConstant(axes.dim(0));
  if (!count)
    return op.unsupported("with a symbolic number of axes");
  if (*count == 0) {
    if (isNoop)
      return op.finish(reduce(op, x, {}, keeps));
    return op.finish(op.reshape(reduce(op, x, upTo(x.rank()), keeps), *want));
  }
  std::vector<SmallVector<int64_t>> sets = candidates(x, *want, keeps, *count);
  if (sets.empty())
    return op.error("is declared with sizes that no " + Twine(*count) + " axes give");
  if (sets.size() == 1)
    return op.finish(reduce(op, x, sets[0], keeps));
  // The axes as one number with a bit for each.
  SmallVector<Operand> operands;
  for (int64_t k = 0; k < *count; ++k)
    operands.push_back(op.select(axes, 0, op.constant(k)));
  Tensor code = op.map(ScalarType::Long, ScalarType::Long, operands, [&](Scalars &s, ValueRange v) {
    Value bits = s.integer(0), one = s.integer(1);
    for (Value axis : v) {
      Value d = s.select(s.compare(Compare::Lt, axis, s.integer(0)), s.add(axis, s.integer(x.rank())), axis);
      bits = s.make<arith::OrIOp>(bits, s.make<arith::ShLIOp>(one, d));
    }
    return bits;
  });
  SmallVector<std::pair<int64_t, Tensor>> choices;
  for (const SmallVector<int64_t> &dims : sets) {
    int64_t bits = 0;
    for (int64_t d : dims)
      bits |= int64_t(1) << d;
    choices.push_back({bits, reduce(op, x, dims, keeps)});
  }
  return op.finish(op.choose(code, choices));
}

static Convert reduction(Reduce reduce, int64_t inputSince = 18) {
  return [reduce, inputSince](Op &op) -> LogicalResult {
    Tensor x = op.tensor(0);
    if (!x)
      return failure();
    bool keeps = op.integer("keepdims", 1) != 0, isNoop = op.integer("noop_with_empty_axes", 0) != 0;
    SmallVector<int64_t> axes;
    if (op.version >= inputSince && op.has(1)) {
      std::optional<SmallVector<int64_t>> known = op.integers(1);
      if (!known)
        return reduceByInput(op, x, keeps, isNoop, reduce);
      axes = *known;
    } else if (op.version < inputSince) {
      axes = op.integerList("axes");
    }
    for (int64_t &axis : axes)
      axis = op.wrapDim(axis, x.rank());
    llvm::sort(axes);
    axes.erase(llvm::unique(axes), axes.end());
    if (axes.empty() && !isNoop)
      axes = upTo(x.rank());
    if (x.rank() == 0)
      axes.clear();
    return op.isBad() ? failure() : op.finish(reduce(op, x, axes, keeps));
  };
}

static Tensor squares(Op &op, Tensor x) {
  return op.unary(x, [](Scalars &s, Value v) { return s.mul(v, v); });
}

static Tensor sum(Op &op, Tensor x, ArrayRef<int64_t> dims, bool keeps) {
  return op.reduceDims(ReduceKind::Sum, x, dims, keeps);
}

/// In a wider type, with one rounding at the end.
static Tensor widened(Op &op, Tensor x, llvm::function_ref<Tensor(Tensor)> body) {
  ScalarType type = x.dtype, work = computeType(type);
  return op.convert(body(op.convert(x, work)), type);
}

template <ReduceKind kind> static Tensor plain(Op &op, Tensor x, ArrayRef<int64_t> dims, bool keeps) {
  if (!x)
    return {};
  constexpr bool isExtreme = kind == ReduceKind::Max || kind == ReduceKind::Min;
  ScalarType type = x.dtype;
  if (isExtreme && type == ScalarType::Bool)
    return op.reduceDims(kind == ReduceKind::Max ? ReduceKind::Any : ReduceKind::All, x, dims, keeps);
  if (isExtreme && isUnsigned(type)) {
    // Reductions compare signed numbers.
    if (bytesOf(type) < 8)
      return op.convert(op.reduceDims(kind, op.convert(x, ScalarType::Long), dims, keeps), type);
    auto flip = [&](Tensor t) {
      return op.unary(t, [](Scalars &s, Value v) {
        return s.make<arith::XOrIOp>(v, s.integer(std::numeric_limits<int64_t>::min()));
      });
    };
    return flip(op.reduceDims(kind, flip(x), dims, keeps));
  }
  return op.reduceDims(kind, x, dims, keeps);
}

static Tensor meanOf(Op &op, Tensor x, ArrayRef<int64_t> dims, bool keeps) {
  return widened(op, x, [&](Tensor t) { return op.mean(t, dims, keeps); });
}

static Tensor root(Op &op, Tensor x) {
  if (!x || isFloating(x.dtype))
    return op.unary(x, [](Scalars &s, Value v) { return s.make<math::SqrtOp>(v); });
  ScalarType type = x.dtype;
  return op.map(type, ScalarType::Double, {x}, [](Scalars &s, ValueRange v) { return s.make<math::SqrtOp>(v[0]); });
}

static Tensor logarithm(Op &op, Tensor x) {
  if (!x)
    return {};
  ScalarType type = x.dtype, work = isFloating(type) ? type : ScalarType::Double;
  return op.map(type, work, {x}, [](Scalars &s, ValueRange v) { return s.make<math::LogOp>(v[0]); });
}

static Tensor logSumExp(Op &op, Tensor x, ArrayRef<int64_t> dims, bool keeps) {
  ScalarType type = x.dtype, work = isFloating(type) ? computeType(type) : ScalarType::Double;
  Tensor wide = op.convert(x, work);
  Tensor largest = op.reduceDims(ReduceKind::Max, wide, dims, true);
  // Infinities would give inf - inf.
  Tensor base = op.unary(largest, [](Scalars &s, Value v) {
    Value isFinite = s.compare(Compare::Lt, s.abs(v), s.number(std::numeric_limits<double>::infinity()));
    return s.select(isFinite, v, s.number(0));
  });
  Tensor powers = op.binary(wide, base, [](Scalars &s, Value v, Value m) { return s.make<math::ExpOp>(s.sub(v, m)); });
  Tensor total = op.binary(op.reduceDims(ReduceKind::Sum, powers, dims, true), base,
                           [](Scalars &s, Value v, Value m) { return s.add(s.make<math::LogOp>(v), m); });
  if (!keeps && total) {
    Dims kept;
    for (auto [d, size] : llvm::enumerate(total.dims()))
      if (!llvm::is_contained(dims, static_cast<int64_t>(d)))
        kept.push_back(size);
    total = op.reshape(total, kept);
  }
  return op.convert(total, type);
}

static Tensor absolutes(Op &op, Tensor x) {
  return op.unary(x, [](Scalars &s, Value v) { return s.abs(v); });
}

//===----------------------------------------------------------------------===//
// Positions and running combinations
//===----------------------------------------------------------------------===//

static Convert argReduction(ReduceKind kind) {
  return [kind](Op &op) -> LogicalResult {
    Tensor x = op.tensor(0);
    if (!x)
      return failure();
    int64_t dim = op.dim("axis", x.rank(), 0);
    bool keeps = op.integer("keepdims", 1) != 0, isLast = op.integer("select_last_index", 0) != 0;
    if (op.isBad())
      return failure();
    if (isUnsigned(x.dtype))
      x = op.convert(x, bytesOf(x.dtype) < 4 ? ScalarType::Int : ScalarType::Long);
    Dims dims = x.dims();
    AffineExpr size = dims[dim];
    Tensor at = op.argReduce(kind, isLast ? op.reverse(x, {dim}) : x, dim);
    if (isLast)
      at = op.unary(at, [&](Scalars &s, Value v) { return s.sub(op.sizeValue(s, graph::normalize(size - 1)), v); });
    dims[dim] = op.constant(1);
    return op.finish(keeps ? op.reshape(at, dims) : at);
  };
}

static Tensor cumulateAlong(Op &op, ReduceKind kind, Tensor x, int64_t dim, bool isExclusive, bool isReverse) {
  if (isReverse)
    x = op.reverse(x, {dim});
  if (isExclusive && x) {
    Dims low(x.rank(), op.constant(0)), high = low;
    low[dim] = op.constant(1);
    AffineExpr size = x.dim(dim);
    x = op.slice(op.pad(x, low, high, kind == ReduceKind::Prod ? 1 : 0), dim, op.constant(0), size);
  }
  x = op.cumulate(kind, x, dim);
  return isReverse ? op.reverse(x, {dim}) : x;
}

static Convert cumulation(ReduceKind kind) {
  return [kind](Op &op) -> LogicalResult {
    Tensor x = op.tensor(0);
    if (!x)
      return failure();
    bool isExclusive = op.integer("exclusive", 0) != 0, isReverse = op.integer("reverse", 0) != 0;
    if (std::optional<double> axis = op.number(1))
      return op.finish(cumulateAlong(op, kind, x, op.wrapDim(static_cast<int64_t>(*axis), x.rank()), isExclusive,
                                     isReverse));
    Tensor axis = op.reshape(op.convert(op.tensor(1), ScalarType::Long), {});
    if (!axis)
      return failure();
    Tensor wrapped = op.unary(axis, [&](Scalars &s, Value v) {
      return s.select(s.compare(Compare::Lt, v, s.integer(0)), s.add(v, s.integer(x.rank())), v);
    });
    SmallVector<std::pair<int64_t, Tensor>> choices;
    for (int64_t d = 0; d < x.rank(); ++d)
      choices.push_back({d, cumulateAlong(op, kind, x, d, isExclusive, isReverse)});
    return op.finish(op.choose(wrapped, choices));
  };
}

//===----------------------------------------------------------------------===//
// Softmax
//===----------------------------------------------------------------------===//

/// Before version 13 everything from `axis` on was one row.
static LogicalResult convertRows(Op &op, llvm::function_ref<Tensor(Tensor, int64_t)> body) {
  Tensor x = op.tensor(0);
  if (!x)
    return failure();
  if (op.version >= 13)
    return op.finish(body(x, op.dim("axis", x.rank(), -1)));
  int64_t axis = op.dim("axis", x.rank(), 1);
  Dims dims = x.dims();
  Tensor rows = op.reshape(x, {graph::product(ArrayRef(dims).take_front(axis), op.context()),
                               graph::product(ArrayRef(dims).drop_front(axis), op.context())});
  return rows ? op.finish(op.reshape(body(rows, 1), dims)) : failure();
}

static Tensor hardmax(Op &op, Tensor x, int64_t dim) {
  Tensor at = op.unsqueeze(op.argReduce(ReduceKind::Max, x, dim), dim);
  ScalarType type = x.dtype;
  return op.map(type, ScalarType::Long, {Operand::raw(x), at}, [&](Scalars &s, ValueRange v) {
    return s.select(s.compare(Compare::Eq, v[1], op.index(s, dim)), s.integer(1), s.integer(0));
  });
}

void populateReduction(ConverterTable &t) {
  t["ReduceSum"] = reduction(sum, 13);
  t["ReduceMean"] = reduction(meanOf);
  t["ReduceMax"] = reduction(plain<ReduceKind::Max>);
  t["ReduceMin"] = reduction(plain<ReduceKind::Min>);
  t["ReduceProd"] = reduction(plain<ReduceKind::Prod>);
  t["ReduceSumSquare"] = reduction([](Op &op, Tensor x, ArrayRef<int64_t> dims, bool keeps) {
    return widened(op, x, [&](Tensor w) { return sum(op, squares(op, w), dims, keeps); });
  });
  t["ReduceL1"] = reduction([](Op &op, Tensor x, ArrayRef<int64_t> dims, bool keeps) {
    return widened(op, x, [&](Tensor w) { return sum(op, absolutes(op, w), dims, keeps); });
  });
  t["ReduceL2"] = reduction([](Op &op, Tensor x, ArrayRef<int64_t> dims, bool keeps) {
    return widened(op, x, [&](Tensor w) { return root(op, sum(op, squares(op, w), dims, keeps)); });
  });
  t["ReduceLogSum"] = reduction([](Op &op, Tensor x, ArrayRef<int64_t> dims, bool keeps) {
    return widened(op, x, [&](Tensor w) { return logarithm(op, sum(op, w, dims, keeps)); });
  });
  t["ReduceLogSumExp"] = reduction(logSumExp);
  t["ArgMax"] = argReduction(ReduceKind::Max);
  t["ArgMin"] = argReduction(ReduceKind::Min);
  t["CumSum"] = cumulation(ReduceKind::Sum);
  t["CumProd"] = cumulation(ReduceKind::Prod);
  t["Softmax"] = [](Op &op) { return convertRows(op, [&](Tensor x, int64_t d) { return op.softmax(x, d); }); };
  t["LogSoftmax"] = [](Op &op) { return convertRows(op, [&](Tensor x, int64_t d) { return op.softmax(x, d, true); }); };
  t["Hardmax"] = [](Op &op) { return convertRows(op, [&](Tensor x, int64_t d) { return hardmax(op, x, d); }); };
}

} // namespace tenon::onnx_import
