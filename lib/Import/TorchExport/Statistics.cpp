// Quantiles, counts, differences and areas along a dimension.
#include "GraphImporter.h"
#include "Reduction.h"

using namespace mlir;
using tenon::graph::Dims;
using tenon::graph::ReduceKind;

namespace tenon::torch_export {

static constexpr ScalarType kLong = ScalarType::Long;

//===----------------------------------------------------------------------===//
// Quantiles
//===----------------------------------------------------------------------===//

/// quantile and nanquantile: between two neighbours of the sorted line. Results for several q come first.
static Convert quantile(bool skipsNans) {
  return [skipsNans](Op &op) -> LogicalResult {
    Tensor x = op.tensor("self"), q = op.node.arg("q").as<TensorArg>() ? op.tensor("q") : Tensor();
    StringRef mode = op.string("interpolation", StringRef("linear"));
    if (!x)
      return failure();
    bool isWhole = !op.has("dim"), keeps = op.flag("keepdim", false);
    int64_t rank = x.rank(), dim = isWhole ? 0 : op.dim("dim", rank);
    ScalarType type = x.dtype;
    if (!q) // in the type of the elements, as torch's
      q = op.full({}, type, op.number("q"));
    if (op.isBad())
      return failure();
    // The line becomes the last dimension.
    Tensor lines = isWhole || rank == 0 ? op.flatten(x, 0, rank - 1) : x;
    if (lines.rank() > 1) {
      SmallVector<int64_t> order = upTo(lines.rank());
      order.erase(order.begin() + dim);
      order.push_back(dim);
      lines = op.permute(lines, order);
    }
    int64_t last = lines.rank() - 1;
    AffineExpr n = lines.dim(last);
    Tensor sorted = op.sort(lines, last, false).first;
    Tensor numbers = op.map(
        kLong, type, {lines}, [](Scalars &s, ValueRange v) { return s.negate(s.isNan(v[0])); }, ScalarType::Bool);
    numbers = op.convert(op.reduce(ReduceKind::Sum, numbers, {last}), type);
    bool hasList = q.rank() == 1;
    Dims dims = numbers ? numbers.dims() : Dims();
    SmallVector<int64_t> along = upTo(dims.size()), coords = along;
    if (hasList) {
      dims.insert(dims.begin(), q.dim(0));
      for (int64_t &d : along)
        ++d;
      coords = along;
    }
    coords.push_back(-1);
    // A line with something that is no number has its result there, behind all numbers.
    Tensor rank_ = op.map(
        type, type, {Operand(q, hasList ? ArrayRef<int64_t>{0} : ArrayRef<int64_t>{}), Operand(numbers, along)},
        [&](Scalars &s, ValueRange v) {
          Value one = s.number(1), size = op.sizeValue(s, n);
          if (skipsNans)
            return s.max(s.mul(v[0], s.sub(v[1], one)), s.number(0));
          Value end = s.sub(size, one);
          return s.select(s.compare(Compare::Lt, v[1], size), end, s.mul(v[0], end));
        },
        ScalarType::Unknown, dims);
    auto at = [&](bool isUpper) {
      Tensor position = op.map(kLong, type, {rank_}, [&](Scalars &s, ValueRange v) {
        if (mode == "nearest")
          return s.make<math::RoundEvenOp>(v[0]);
        bool up = mode == "higher" || (mode != "lower" && isUpper);
        return up ? s.make<math::CeilOp>(v[0]) : s.make<math::FloorOp>(v[0]);
      });
      return op.gather(sorted, {position}, coords, dims);
    };
    Tensor y = at(false);
    if (mode == "linear" || mode == "midpoint")
      y = op.map(type, type, {y, at(true), rank_}, [&](Scalars &s, ValueRange v) {
        Value weight = mode == "linear" ? s.sub(v[2], s.make<math::FloorOp>(v[2])) : s.number(0.5);
        Value difference = s.sub(v[1], v[0]);
        // As torch.lerp does, exact at both ends.
        Value low = s.add(v[0], s.mul(weight, difference));
        Value high = s.sub(v[1], s.mul(difference, s.sub(s.number(1), weight)));
        Value mixed = s.select(s.compare(Compare::Lt, weight, s.number(0.5)), low, high);
        return s.select(s.compare(Compare::Eq, weight, s.number(0)), v[0], mixed);
      });
    if (!y || !keeps)
      return op.finish(y);
    Dims kept = isWhole ? Dims(rank, op.constant(1)) : x.dims();
    if (!isWhole && rank > 0)
      kept[dim] = op.constant(1);
    if (hasList)
      kept.insert(kept.begin(), q.dim(0));
    return op.finish(op.reshape(y, kept));
  };
}

//===----------------------------------------------------------------------===//
// Counts
//===----------------------------------------------------------------------===//

/// How often each number occurs, or the sum of the weights there; as long as the largest number needs.
static LogicalResult convertBincount(Op &op) {
  Tensor x = op.tensor("self"), weights = op.optionalTensor("weights");
  AffineExpr least = op.size("minlength", op.constant(0));
  ScalarType type = op.resultDtype();
  if (op.isBad())
    return failure();
  x = op.convert(x, kLong);
  Tensor largest = graph::asConstant(x.dim(0)) == 0 ? op.scalar(kLong, -1) : op.reduce(ReduceKind::Max, x, {0});
  Tensor length = op.map(kLong, kLong, {largest}, [&](Scalars &s, ValueRange v) {
    Value size = s.max(s.add(v[0], s.integer(1)), op.sizeValue(s, least));
    Value isEmpty = s.compare(Compare::Eq, op.sizeValue(s, x.dim(0)), s.integer(0));
    return s.select(isEmpty, op.sizeValue(s, least), size);
  });
  AffineExpr size = op.foundSize(length);
  if (!size)
    return failure();
  Tensor updates = weights ? op.convert(weights, type) : op.full(x.dims(), type, 1);
  return op.finish(op.scatter(graph::ScatterKind::Sum, updates, op.full({size}, type, 0), {x}, {-1}));
}

/// Rows of the first `size` true elements; what is missing is `fill_value`.
static LogicalResult convertNonzeroStatic(Op &op) {
  Tensor x = op.tensor("self");
  AffineExpr size = op.size("size");
  int64_t fill = op.integer("fill_value", -1);
  if (op.isBad())
    return failure();
  Dims shape = x.dims();
  AffineExpr count = graph::numElements(x.value.getType());
  Tensor flags = op.convert(op.reshape(op.convert(x, ScalarType::Bool), {count}), kLong);
  Tensor before = op.cumulate(ReduceKind::Sum, flags, 0);
  // What is false, or comes too late, goes to one row behind the last.
  Tensor row = op.map(kLong, kLong, {flags, before}, [&](Scalars &s, ValueRange v) {
    Value at = s.sub(v[1], s.integer(1)), end = op.sizeValue(s, size);
    return s.select(s.compare(Compare::Eq, v[0], s.integer(0)), end, s.min(at, end));
  });
  Tensors columns;
  AffineExpr inner = op.constant(1);
  for (int64_t d = x.rank(); d-- > 0;) {
    Tensor coordinate = op.generate(kLong, kLong, {count}, [&](Scalars &s, ValueRange) {
      Value one = s.integer(1), step = s.max(op.sizeValue(s, inner), one), n = s.max(op.sizeValue(s, shape[d]), one);
      return s.fmod(s.truncDiv(op.index(s, 0), step), n);
    });
    Tensor start = op.full({graph::normalize(size + 1)}, kLong, static_cast<double>(fill));
    Tensor column = op.scatter(graph::ScatterKind::Set, coordinate, start, {row}, {-1});
    columns.insert(columns.begin(), op.unsqueeze(op.slice(column, 0, op.constant(0), size), 1));
    inner = graph::normalize(inner * shape[d]);
  }
  if (columns.empty())
    return op.finish(op.full({size, op.constant(0)}, kLong, 0));
  return op.finish(op.concat(columns, 1));
}

//===----------------------------------------------------------------------===//
// Differences and areas
//===----------------------------------------------------------------------===//

static Tensor combined(Op &op, ScalarType type, ArrayRef<std::pair<Tensor, double>> terms) {
  SmallVector<Operand> operands;
  for (const auto &term : terms)
    operands.push_back(term.first);
  return op.map(type, type, operands, [&](Scalars &s, ValueRange v) {
    Value sum;
    for (auto [i, term] : llvm::enumerate(terms)) {
      Value part = s.mul(v[i], s.number(term.second));
      sum = sum ? s.add(sum, part) : part;
    }
    return sum;
  });
}

/// torch.gradient with steps that are numbers: one result for each dimension.
static LogicalResult convertGradient(Op &op) {
  Tensor x = op.tensor("self");
  int64_t order = op.integer("edge_order", 1);
  StringRef overload = op.node.op();
  if (!x || overload.contains("tensorarray"))
    return op.isBad() ? failure() : op.unsupported("with places that are tensors");
  SmallVector<int64_t> dims;
  if (op.node.arg("dim").as<int64_t>())
    dims.push_back(op.dim("dim", x.rank()));
  else if (op.has("dim"))
    for (int64_t d : op.integers("dim"))
      dims.push_back(op.wrapDim(d, x.rank()));
  if (dims.empty())
    dims = upTo(x.rank());
  SmallVector<double> steps(dims.size(), 1);
  if (overload.contains("scalarrayarray") || overload.contains("scalarrayint")) {
    const Argument &given = op.node.arg("spacing");
    if (auto floats = given.as<std::vector<double>>(); floats && floats->size() == dims.size())
      steps.assign(floats->begin(), floats->end());
    else if (SmallVector<int64_t> ints = op.integers("spacing"); ints.size() == dims.size())
      steps.assign(ints.begin(), ints.end());
    else
      return op.error("has steps and dimensions of different number");
  } else if (op.has("spacing")) {
    steps.assign(dims.size(), op.number("spacing", 1.0));
  }
  if (op.isBad())
    return failure();
  ScalarType type = op.resultDtype();
  Tensors results;
  for (auto [dim, h] : llvm::zip(dims, steps)) {
    AffineExpr n = x.dim(dim);
    auto at = [&](int64_t i) { return op.slice(x, dim, i < 0 ? graph::normalize(n + i) : op.constant(i), op.constant(1)); };
    AffineExpr inner = graph::normalize(n - 2);
    Tensor middle = combined(op, type, {{op.slice(x, dim, op.constant(2), inner), 0.5 / h},
                                        {op.slice(x, dim, op.constant(0), inner), -0.5 / h}});
    Tensor first, last;
    if (order == 1) {
      first = combined(op, type, {{at(1), 1 / h}, {at(0), -1 / h}});
      last = combined(op, type, {{at(-1), 1 / h}, {at(-2), -1 / h}});
    } else {
      first = combined(op, type, {{at(0), -1.5 / h}, {at(1), 2 / h}, {at(2), -0.5 / h}});
      last = combined(op, type, {{at(-1), 1.5 / h}, {at(-2), -2 / h}, {at(-3), 0.5 / h}});
    }
    if (op.isBad())
      return failure();
    results.push_back(op.concat({first, middle, last}, dim));
  }
  return op.finish(results);
}

/// trapezoid, cumulative_trapezoid: means of neighbours times the steps between them.
static Convert trapezoid(bool isCumulative) {
  return [isCumulative](Op &op) -> LogicalResult {
    Tensor y = op.tensor("y"), x = op.optionalTensor("x");
    if (!y)
      return failure();
    int64_t dim = op.dim("dim", y.rank(), -1);
    double step = op.has("dx") ? op.number("dx") : 1;
    ScalarType type = op.resultDtype(), work = computeType(type);
    if (op.isBad() || isComplex(type))
      return op.isBad() ? failure() : op.unsupported("on complex numbers");
    AffineExpr n = y.dim(dim);
    if (graph::asConstant(n) == 0) {
      Dims rest = y.dims();
      rest.erase(rest.begin() + dim);
      return isCumulative ? op.finish(op.convert(y, type)) : op.finish(op.full(rest, type, 0));
    }
    AffineExpr pairs = graph::normalize(n - 1);
    auto neighbours = [&](Tensor t, int64_t d, double sign) -> Tensor {
      Tensor l = op.slice(t, d, op.constant(0), pairs), r = op.slice(t, d, op.constant(1), pairs);
      return op.map(work, work, {l, r}, [&](Scalars &s, ValueRange v) {
        return sign > 0 ? s.add(v[0], v[1]) : s.sub(v[1], v[0]);
      });
    };
    Tensor sums = neighbours(y, dim, 1), widths;
    if (x) { // of one dimension it lies along `dim`
      if (x.rank() == 1)
        widths = op.reshape(neighbours(x, 0, -1), [&] {
          Dims dims(y.rank() - dim, op.constant(1));
          dims[0] = pairs;
          return dims;
        }());
      else
        widths = neighbours(x, x.rank() - (y.rank() - dim), -1);
    }
    SmallVector<Operand> operands{sums};
    if (widths)
      operands.push_back(widths);
    Tensor areas = op.map(work, work, operands, [&](Scalars &s, ValueRange v) {
      Value half = s.mul(v[0], s.number(0.5));
      return s.mul(half, widths ? v[1] : s.number(step));
    });
    if (!areas)
      return failure();
    int64_t at = areas.rank() - (y.rank() - dim);
    return op.finish(op.convert(isCumulative ? op.cumulate(ReduceKind::Sum, areas, at)
                                             : op.reduce(ReduceKind::Sum, areas, {at}), type));
  };
}

/// Where the norm over all other dimensions is above the largest, what lies there is made smaller.
static LogicalResult convertRenorm(Op &op) {
  Tensor x = op.tensor("self");
  double p = op.number("p"), limit = op.number("maxnorm");
  if (op.isBad() || isComplex(x.dtype))
    return op.isBad() ? failure() : op.unsupported("on complex numbers");
  int64_t dim = op.dim("dim", x.rank());
  SmallVector<int64_t> others = upTo(x.rank());
  others.erase(others.begin() + dim);
  ScalarType work = computeType(x.dtype);
  Tensor norm = normOver(op, op.convert(x, work), p, others);
  return op.finish(op.map(x.dtype, work, {x, Operand(norm, dim)}, [&](Scalars &s, ValueRange v) {
    Value factor = s.div(s.number(limit), s.add(v[1], s.number(1e-7)));
    return s.select(s.compare(Compare::Gt, v[1], s.number(limit)), s.mul(v[0], factor), v[0]);
  }));
}

void populateStatistics(ConverterTable &t) {
  t["aten.quantile"] = quantile(false);
  t["aten.nanquantile"] = quantile(true);
  t["aten.bincount"] = convertBincount;
  t["aten.nonzero_static"] = convertNonzeroStatic;
  t["aten.gradient"] = convertGradient;
  t["aten.trapezoid"] = t["aten.trapz"] = trapezoid(false);
  t["aten.cumulative_trapezoid"] = trapezoid(true);
  t["aten.renorm"] = convertRenorm;
}

} // namespace tenon::torch_export
