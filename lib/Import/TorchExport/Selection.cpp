// Order statistics and counts: medians, modes, histograms, searches, running extrema with their positions.
#include "Reduction.h"

using namespace mlir;
using tenon::graph::Dims;
using tenon::graph::ReduceKind;

namespace tenon::torch_export {

static constexpr ScalarType kLong = ScalarType::Long;

/// x at one position along `dim`, given for each of the others. The result keeps the dimension with size 1 when asked to.
static Tensor takeAlong(Op &op, Tensor x, Tensor position, int64_t dim, bool keeps) {
  if (!x || !position)
    return {};
  Dims rest = x.dims();
  rest.erase(rest.begin() + dim);
  SmallVector<int64_t> coords;
  for (int64_t d = 0; d < x.rank(); ++d)
    coords.push_back(d == dim ? -1 : d < dim ? d : d - 1);
  Tensor taken = op.gather(x, {position}, coords, rest);
  return keeps ? op.unsqueeze(taken, dim) : taken;
}

/// The lower median, or a NaN where there is one; nanmedian looks at numbers only.
static LogicalResult convertMedian(Op &op, bool skipsNans) {
  Tensor x = op.tensor("self");
  if (!x)
    return failure();
  bool isWhole = !op.has("dim");
  if (x.rank() == 0)
    return op.finish(isWhole ? Tensors{x} : Tensors{x, op.scalar(kLong, 0)});
  if (isWhole)
    x = op.flatten(x, 0, x.rank() - 1);
  int64_t dim = isWhole ? 0 : op.dim("dim", x.rank());
  if (op.isBad())
    return failure();
  if (isWhole && graph::asConstant(x.dim(0)) == 0)
    return op.finish(op.scalar(x.dtype, std::nan("")));
  AffineExpr n = x.dim(dim);
  Tensor numbers = op.reduce(
      ReduceKind::Sum,
      op.map(
          kLong, computeType(x.dtype), {x}, [](Scalars &s, ValueRange v) { return s.negate(s.isNan(v[0])); },
          ScalarType::Bool),
      {dim});
  Tensor position = op.map(kLong, kLong, {numbers}, [&](Scalars &s, ValueRange v) {
    Value one = s.integer(1), last = s.max(s.sub(v[0], one), s.integer(0));
    Value middle = s.make<arith::ShRSIOp>(last, one);
    // NaN are behind all numbers: the first of them is the result.
    return skipsNans ? middle : s.select(s.compare(Compare::Lt, v[0], op.sizeValue(s, n)), v[0], middle);
  });
  auto [values, positions] = op.sort(x, dim, false);
  bool keeps = !isWhole && op.flag("keepdim", false);
  Tensor value = takeAlong(op, values, position, dim, keeps);
  return isWhole ? op.finish(value) : op.finish({value, takeAlong(op, positions, position, dim, keeps)});
}

/// The most frequent value, the smallest of several, and where it stands last.
static LogicalResult convertMode(Op &op) {
  Tensor x = op.tensor("self");
  if (!x)
    return failure();
  if (x.rank() == 0)
    return op.finish({x, op.scalar(kLong, 0)});
  int64_t rank = x.rank(), dim = op.dim("dim", rank, -1);
  bool keeps = op.flag("keepdim", false);
  auto [values, order] = op.sort(x, dim, false);
  if (!values)
    return failure();
  SmallVector<int64_t> own = upTo(rank), other = own;
  other[dim] = rank;
  Dims pairs = values.dims();
  pairs.push_back(pairs[dim]);
  Tensor equal = op.map(
      kLong, computeType(x.dtype), {Operand(values, own), Operand(values, other)},
      [](Scalars &s, ValueRange v) { return s.compare(Compare::Eq, v[0], v[1]); }, ScalarType::Bool, pairs);
  Tensor counts = op.reduce(ReduceKind::Sum, equal, {rank}), most = op.reduce(ReduceKind::Max, counts, {dim});
  Tensor first = op.argReduce(ReduceKind::Max, counts, dim);
  Tensor last = op.map(kLong, kLong, {first, most}, [](Scalars &s, ValueRange v) {
    return s.add(v[0], s.max(s.sub(v[1], s.integer(1)), s.integer(0)));
  });
  return op.finish({takeAlong(op, values, first, dim, keeps), takeAlong(op, order, last, dim, keeps)});
}

/// cummax, cummin: of equals the last one counts.
static Convert runningExtremum(ReduceKind kind) {
  return [kind](Op &op) {
    Tensor x = op.tensor("self");
    if (!x)
      return failure();
    int64_t dim = op.dim("dim", x.rank());
    if (x.rank() == 0)
      return op.finish({x, op.scalar(kLong, 0)});
    Tensor wide = isUnsigned(x.dtype) ? op.convert(x, kLong) : op.convert(x, computeType(x.dtype));
    Tensor values = op.cumulate(kind, wide, dim);
    Tensor candidates;
    if (op.isUsed(1))
      candidates = op.map(
          kLong, wide.dtype, {wide, values},
          [&](Scalars &s, ValueRange v) {
            Scalars ints(s.b, s.loc, kLong);
            Value isNew = s.either(s.compare(Compare::Eq, v[0], v[1]), s.isNan(v[0]));
            return s.select(isNew, op.index(ints, dim), ints.integer(0));
          },
          kLong);
    return op.finish({op.convert(values, x.dtype),
                      op.isUsed(1) ? op.cumulate(ReduceKind::Max, candidates, dim) : Tensor()});
  };
}

/// Logarithm of the running sum of exponentials.
static LogicalResult convertLogCumSumExp(Op &op) {
  Tensor x = op.tensor("self");
  if (!x)
    return failure();
  if (isComplex(x.dtype))
    return op.unsupported("on complex numbers");
  Tensor sums = op.cumulate(ReduceKind::LogSumExp, op.convert(x, computeType(x.dtype)), op.dim("dim", x.rank()));
  return op.finish(op.convert(sums, x.dtype));
}

//===----------------------------------------------------------------------===//
// Counts
//===----------------------------------------------------------------------===//

/// Numbers between two bounds in bins of equal width; without bounds between the least and the largest.
static LogicalResult convertHistc(Op &op) {
  Tensor x = op.tensor("self");
  int64_t bins = op.integer("bins", 100);
  double low = op.number("min", 0.0), high = op.number("max", 0.0);
  if (op.isBad() || bins < 1)
    return op.isBad() ? failure() : op.error("needs at least one bin");
  ScalarType type = computeType(x.dtype);
  if (!isFloating(type))
    type = ScalarType::Double;
  AffineExpr count = graph::numElements(x.value.getType());
  Tensor flat = op.convert(op.reshape(x, {count}), type);
  Tensor start = op.full({op.constant(bins)}, type, 0);
  if (graph::asConstant(count) == 0)
    return op.finish(op.convert(start, x.dtype));
  Operand least = Number::of(low), most = Number::of(high);
  if (low == high) {
    auto bound = [&](ReduceKind kind) { return op.reduce(kind, flat, {0}); };
    Tensor a = bound(ReduceKind::Min), b = bound(ReduceKind::Max);
    auto widened = [&](double by) {
      return op.map(type, type, {a, b, by < 0 ? a : b}, [&](Scalars &s, ValueRange v) {
        return s.select(s.compare(Compare::Eq, v[0], v[1]), s.add(v[2], s.number(by)), v[2]);
      });
    };
    if (low == 0 && high == 0) {
      least = widened(-1);
      most = widened(1);
    } else {
      least = Number::of(low - 1);
      most = Number::of(high + 1);
    }
  }
  Tensor isInside = op.map(
      type, type, {flat, least, most},
      [](Scalars &s, ValueRange v) {
        return s.both(s.compare(Compare::Ge, v[0], v[1]), s.compare(Compare::Le, v[0], v[2]));
      },
      ScalarType::Bool);
  Tensor bin = op.map(kLong, type, {flat, least, most}, [&](Scalars &s, ValueRange v) {
    Value place = s.div(s.mul(s.sub(v[0], v[1]), s.integer(bins)), s.sub(v[2], v[1]));
    Value inRange = s.min(s.max(place, s.number(0)), s.integer(bins - 1));
    return s.select(s.isNan(place), s.number(0), inRange);
  });
  return op.finish(op.convert(op.scatter(graph::ScatterKind::Sum, isInside, start, {bin}, {-1}), x.dtype));
}

/// How many of the boundaries lie below each value, or at it: a sum over comparisons.
static LogicalResult convertSearch(Op &op) {
  bool isSearch = op.node.op().starts_with("aten.searchsorted");
  Tensor boundaries = op.tensor(isSearch ? "sorted_sequence" : "boundaries");
  Operand values = op.operand("self");
  bool isRight = op.flag("right", false) || op.string("side", StringRef("left")) == "right";
  if (op.isBad() || boundaries.rank() < 1)
    return op.isBad() ? failure() : op.error("needs boundaries");
  int64_t last = boundaries.rank() - 1;
  if (Tensor sorter = op.optionalTensor("sorter")) {
    SmallVector<int64_t> coords = upTo(last + 1);
    coords[last] = -1;
    boundaries = op.gather(boundaries, {sorter}, coords, boundaries.dims());
  }
  Dims dims = values.tensor ? values.tensor.dims() : Dims();
  int64_t rank = dims.size();
  if (op.isBad() || (last > 0 && rank != last + 1))
    return op.isBad() ? failure() : op.error("needs values of the boundaries' rank");
  ScalarType type = resultType({boundaries, values});
  if (values.tensor)
    values.dims = upTo(rank);
  SmallVector<int64_t> along = upTo(last);
  along.push_back(rank);
  dims.push_back(boundaries.dim(last));
  // A value that is no number lies behind all.
  Tensor below = op.map(
      kLong, type, {values, Operand(boundaries, along)},
      [&](Scalars &s, ValueRange v) {
        Value isBelow = isRight ? s.negate(s.compare(Compare::Gt, v[1], v[0])) : s.compare(Compare::Lt, v[1], v[0]);
        return isRight ? isBelow : s.either(isBelow, s.both(s.isNan(v[0]), s.negate(s.isNan(v[1]))));
      },
      ScalarType::Bool, dims);
  return op.finish(op.convert(op.reduce(ReduceKind::Sum, below, {rank}), op.resultDtype()));
}

void populateSelection(ConverterTable &t) {
  t["aten.median"] = [](Op &op) { return convertMedian(op, false); };
  t["aten.nanmedian"] = [](Op &op) { return convertMedian(op, true); };
  t["aten.mode"] = convertMode;
  t["aten.cummax"] = runningExtremum(ReduceKind::Max);
  t["aten.cummin"] = runningExtremum(ReduceKind::Min);
  t["aten.logcumsumexp"] = convertLogCumSumExp;
  t["aten.histc"] = convertHistc;
  t["aten.bucketize"] = t["aten.searchsorted"] = convertSearch;
}

} // namespace tenon::torch_export
