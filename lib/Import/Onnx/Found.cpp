// Results whose sizes depend on data: NonZero, Compress, Unique, NonMaxSuppression.
#include "Op.h"

using namespace mlir;
using tenon::graph::Dims;
using tenon::graph::ReduceKind;

namespace tenon::onnx_import {

static Tensor isTrue(Op &op, Tensor x) { return x && x.dtype != ScalarType::Bool ? op.convert(x, ScalarType::Bool) : x; }

static LogicalResult convertNonZero(Op &op) {
  Tensor x = op.tensor(0);
  if (!x)
    return failure();
  if (x.rank() == 0)
    return op.unsupported("of a scalar");
  return op.finish(op.permute(op.nonzero(isTrue(op, x)), {1, 0}));
}

static LogicalResult convertCompress(Op &op) {
  Tensor x = op.tensor(0), condition = op.tensor(1);
  if (op.isBad())
    return failure();
  if (condition.rank() != 1)
    return op.error("has a condition of rank " + Twine(condition.rank()));
  int64_t dim = 0;
  if (op.hasAttribute("axis"))
    dim = op.dim("axis", x.rank());
  else
    x = x.rank() == 0 ? op.unsqueeze(x, 0) : op.flatten(x, 0, x.rank() - 1);
  Tensor positions = op.nonzero(isTrue(op, condition));
  return positions ? op.finish(op.take(x, op.reshape(positions, {positions.dim(0)}), dim)) : failure();
}

//===----------------------------------------------------------------------===//
// Unique
//===----------------------------------------------------------------------===//

static Tensor iota(Op &op, AffineExpr count) {
  return op.generate(ScalarType::Long, ScalarType::Long, {count}, [&](Scalars &s, ValueRange) { return op.index(s, 0); });
}

/// Positions of the rows of [M, R] in lexicographic order; equal rows stay in order.
static Tensor orderOfRows(Op &op, Tensor rows) {
  std::optional<int64_t> columns = graph::asConstant(rows.dim(1));
  constexpr int64_t most = 256;
  if (!columns || *columns > most)
    return op.unsupportedTensor("along one dimension with more than " + Twine(most) + " elements in a slice");
  Tensor order;
  for (int64_t c = *columns - 1; c >= 0; --c) {
    Tensor column = op.select(rows, 1, op.constant(c));
    if (order)
      column = op.take(column, order, 0);
    Tensor next = op.sort(column, 0, false).second;
    order = order ? op.take(order, next, 0) : next;
  }
  return order ? order : iota(op, rows.dim(0));
}

/// Rows [M, R] that are distinct; a plain vector has R = 1.
static LogicalResult convertUnique(Op &op) {
  Tensor x = op.tensor(0);
  if (!x)
    return failure();
  bool isSorted = op.integer("sorted", 1) != 0, hasAxis = op.hasAttribute("axis");
  int64_t dim = hasAxis ? op.dim("axis", x.rank()) : 0;
  if (op.isBad())
    return failure();
  Dims shape = x.dims();
  SmallVector<int64_t> order{dim};
  for (int64_t d = 0; d < x.rank(); ++d)
    if (d != dim)
      order.push_back(d);
  AffineExpr count = hasAxis ? shape[dim] : graph::numElements(x.value.getType());
  Dims rest;
  for (int64_t d : ArrayRef(order).drop_front())
    rest.push_back(shape[d]);
  AffineExpr width = hasAxis ? graph::product(rest, op.context()) : op.constant(1);
  Tensor rows = op.reshape(hasAxis ? op.permute(x, order) : x, {count, width});
  Tensor byRank = rows ? orderOfRows(op, rows) : Tensor(); // positions in the order of the values
  if (!byRank)
    return failure();
  Tensor ranked = op.take(rows, byRank, 0);
  // A row is new when it differs from the one before it; the first counts as new.
  Tensor before = op.take(ranked, op.generate(ScalarType::Long, ScalarType::Long, {count}, [&](Scalars &s, ValueRange) {
    return s.max(s.sub(op.index(s, 0), s.integer(1)), s.integer(0));
  }), 0);
  if (!ranked || !before)
    return failure();
  Tensor differs = op.map(
      ScalarType::Bool, ranked.dtype, {ranked, before},
      [&](Scalars &s, ValueRange v) {
        Value ne = s.compare(Compare::Ne, v[0], v[1]);
        return s.isFloat() ? s.both(ne, s.negate(s.both(s.isNan(v[0]), s.isNan(v[1])))) : ne; // NaNs are equal here
      },
      ScalarType::Bool);
  Tensor isNew = op.map(ScalarType::Bool, ScalarType::Bool, {op.reduce(ReduceKind::Any, differs, {1})},
                        [&](Scalars &s, ValueRange v) {
                          Scalars ints(s.b, s.loc, ScalarType::Long);
                          return s.either(v[0], ints.compare(Compare::Eq, op.index(ints, 0), ints.integer(0)));
                        });
  Tensor starts = op.nonzero(isNew);
  if (!starts)
    return failure();
  AffineExpr found = starts.dim(0);
  starts = op.reshape(starts, {found});
  Tensor firsts = op.take(byRank, starts, 0); // where each distinct row occurs first
  Tensor end = op.map(ScalarType::Long, ScalarType::Long, {}, [&](Scalars &s, ValueRange) { return op.sizeValue(s, count); },
                      ScalarType::Unknown, Dims{op.constant(1)});
  Tensor next = op.slice(op.concat({starts, end}, 0), 0, op.constant(1), found);
  Tensor counts = op.sub(next, starts);
  Tensor group = op.unary(op.cumulate(ReduceKind::Sum, op.convert(isNew, ScalarType::Long), 0),
                          [](Scalars &s, Value v) { return s.sub(v, s.integer(1)); });
  Tensor inverse = op.scatter(graph::ScatterKind::Set, group, op.full({count}, ScalarType::Long, 0), {byRank}, {-1});
  if (!isSorted) {
    // In the order of the first occurrence instead.
    Tensor perm = op.sort(firsts, 0, false).second;
    Tensor places = op.sort(perm, 0, false).second;
    firsts = op.take(firsts, perm, 0);
    counts = op.take(counts, perm, 0);
    inverse = op.take(places, inverse, 0);
  }
  if (!firsts || !counts || !inverse)
    return failure();
  Tensor y = hasAxis ? op.take(x, firsts, dim) : op.reshape(op.take(rows, firsts, 0), {found});
  return op.finish({y, firsts, inverse, counts});
}

//===----------------------------------------------------------------------===//
// NonMaxSuppression
//===----------------------------------------------------------------------===//

namespace {
/// Corners of boxes.
struct Boxes {
  Tensor top, left, bottom, right;
};
} // namespace

static Boxes corners(Op &op, Tensor boxes, bool isCentered) {
  Tensors c;
  for (int64_t i = 0; i < 4; ++i)
    c.push_back(op.select(boxes, boxes.rank() - 1, op.constant(i)));
  auto low = [](Scalars &s, Value a, Value b) { return s.min(a, b); };
  auto high = [](Scalars &s, Value a, Value b) { return s.max(a, b); };
  auto below = [](Scalars &s, Value a, Value b) { return s.sub(a, s.div(b, s.number(2))); };
  auto above = [](Scalars &s, Value a, Value b) { return s.add(a, s.div(b, s.number(2))); };
  if (isCentered)
    return {op.binary(c[1], c[3], below), op.binary(c[0], c[2], below), op.binary(c[1], c[3], above),
            op.binary(c[0], c[2], above)};
  return {op.binary(c[0], c[2], low), op.binary(c[1], c[3], low), op.binary(c[0], c[2], high), op.binary(c[1], c[3], high)};
}

/// Greedy choice: boxes in the order of their scores; one is taken unless it covers too much of one taken before. A scan
/// over the boxes carries which are taken, so that no matrix of all overlaps is made.
static LogicalResult convertNonMaxSuppression(Op &op) {
  Tensor boxes = op.tensor(0), scores = op.tensor(1);
  if (op.isBad())
    return failure();
  if (boxes.rank() != 3 || scores.rank() != 3 || graph::asConstant(boxes.dim(2)) != 4)
    return op.error("has boxes and scores of ranks " + Twine(boxes.rank()) + " and " + Twine(scores.rank()));
  bool isCentered = op.integer("center_point_box", 0) != 0;
  ScalarType type = boxes.dtype;
  auto parameter = [&](unsigned i, ScalarType as, double byDefault) {
    return op.has(i) ? op.reshape(op.convert(op.tensor(i), as), {}) : op.scalar(as, byDefault);
  };
  Tensor most = parameter(2, ScalarType::Long, 0), overlap = parameter(3, type, 0);
  Tensor least = op.has(4) ? parameter(4, scores.dtype, 0) : Tensor();
  auto [ranked, order] = op.sort(scores, 2, true);
  if (op.isBad() || !ranked || !order)
    return failure();
  Dims dims = ranked.dims(), wide = dims; // [batch, class, box]
  wide.push_back(op.constant(4));
  boxes = op.gather(boxes, {Operand(order, {0, 1, 2})}, {0, -1, 3}, wide);
  Boxes b = boxes ? corners(op, boxes, isCentered) : Boxes();
  Tensor isGood = least ? op.map(ScalarType::Bool, ranked.dtype, {ranked, least},
                                 [](Scalars &s, ValueRange v) { return s.compare(Compare::Gt, v[0], v[1]); },
                                 ScalarType::Bool)
                        : op.full(dims, ScalarType::Bool, 1);
  Tensors whole{b.top, b.left, b.bottom, b.right};
  Tensors slices = whole;
  slices.push_back(isGood);
  for (Tensor &t : slices)
    t = op.permute(t, {2, 0, 1});
  slices.push_back(iota(op, dims[2]));
  Tensors carry{op.full(dims, ScalarType::Bool, 0), op.full({dims[0], dims[1]}, ScalarType::Long, 0)};
  Tensors captures = whole;
  captures.append({most, overlap});
  auto step = [&](ArrayRef<Tensor> state, ArrayRef<Tensor> now, ArrayRef<Tensor> outside) -> Tensors {
    SmallVector<Operand> operands;
    for (unsigned i = 0; i < 4; ++i)
      operands.push_back(outside[i]);
    for (unsigned i = 0; i < 4; ++i)
      operands.push_back(Operand(now[i], {0, 1}));
    operands.push_back(outside[5]);
    operands.push_back(Operand::raw(state[0]));
    Tensor covers = op.map(
        ScalarType::Bool, type, operands,
        [](Scalars &s, ValueRange v) {
          auto side = [&](Value low, Value high) { return s.max(s.sub(high, low), s.number(0)); };
          Value shared = s.mul(side(s.max(v[0], v[4]), s.min(v[2], v[6])), side(s.max(v[1], v[5]), s.min(v[3], v[7])));
          Value one = s.mul(side(v[0], v[2]), side(v[1], v[3])), other = s.mul(side(v[4], v[6]), side(v[5], v[7]));
          Value joint = s.sub(s.add(one, other), shared);
          Value isMore = s.compare(Compare::Gt, s.div(shared, joint), v[8]);
          return s.both(v[9], s.both(s.compare(Compare::Gt, shared, s.number(0)), isMore));
        },
        ScalarType::Bool);
    Tensor isCovered = op.reduce(ReduceKind::Any, covers, {2});
    Tensor taken = op.map(
        ScalarType::Bool, ScalarType::Long, {Operand::raw(isCovered), Operand::raw(now[4]), state[1], outside[4]},
        [](Scalars &s, ValueRange v) {
          return s.both(s.both(v[1], s.negate(v[0])), s.compare(Compare::Lt, v[2], v[3]));
        },
        ScalarType::Bool);
    if (!taken)
      return {};
    Operand here(taken, {0, 1});
    here.isRaw = true;
    Tensor next = op.map(
        ScalarType::Bool, ScalarType::Long, {Operand::raw(state[0]), here, now[5]},
        [&](Scalars &s, ValueRange v) { return s.select(s.compare(Compare::Eq, op.index(s, 2), v[2]), v[1], v[0]); },
        ScalarType::Bool);
    return {next, op.add(state[1], op.convert(taken, ScalarType::Long))};
  };
  Tensors last = op.scan(carry, slices, captures, step);
  Tensor positions = last.empty() ? Tensor() : op.nonzero(last[0]);
  if (!positions)
    return failure();
  AffineExpr found = positions.dim(0);
  SmallVector<Operand> at;
  for (int64_t i = 0; i < 3; ++i)
    at.push_back(op.select(positions, 1, op.constant(i)));
  Tensor box = op.gather(order, at, {-1, -2, -3}, {found});
  Tensor front = op.slice(positions, 1, op.constant(0), op.constant(2));
  return op.finish(op.concat({front, op.unsqueeze(box, 1)}, 1));
}

void populateFound(ConverterTable &t) {
  t["NonZero"] = convertNonZero;
  t["Compress"] = convertCompress;
  t["Unique"] = convertUnique;
  t["NonMaxSuppression"] = convertNonMaxSuppression;
}

} // namespace tenon::onnx_import
