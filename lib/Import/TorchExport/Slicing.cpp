// Parts of tensors and their assembly: slices, splits, concatenation, repetition.
#include "GraphImporter.h"

using namespace mlir;
using tenon::graph::Dims;

namespace tenon::torch_export {

//===----------------------------------------------------------------------===//
// Slices
//===----------------------------------------------------------------------===//

static ViewFunctions sliceView(int64_t dim, AffineExpr offset, AffineExpr size, int64_t step = 1) {
  return {[=](Op &op, Tensor base) { return op.slice(base, dim, offset, size, step); },
          [=](Op &op, Tensor base, Tensor view) { return op.insertSlice(view, base, dim, offset, step); }};
}

static ViewFunctions selectView(int64_t dim, AffineExpr index) {
  return {[=](Op &op, Tensor base) { return op.select(base, dim, index); },
          [=](Op &op, Tensor base, Tensor view) {
            return op.insertSlice(view ? op.unsqueeze(view, dim) : view, base, dim, index);
          }};
}

/// A bound of a Python slice, brought into 0 … size. What no range proves is taken as the exporter's condition.
static AffineExpr clampBound(Op &op, AffineExpr bound, AffineExpr size) {
  AffineExpr zero = op.constant(0);
  if (op.isLessEqual(bound, op.constant(-1)).value_or(false))
    bound = graph::normalize(size + bound);
  if (op.isLessEqual(bound, zero).value_or(false))
    return zero;
  return op.isLessEqual(size, bound).value_or(false) ? size : bound;
}

namespace {
struct SliceRange {
  int64_t dim = 0, step = 1;
  AffineExpr offset, size;
};
} // namespace

/// dim, start, end and step of slice and its relatives; `recorded` is the size along `dim` that the exporter noted.
static std::optional<SliceRange> readSlice(Op &op, Tensor x, std::optional<Dims> recorded) {
  SliceRange range;
  if (!x || x.rank() == 0)
    return (void)(op.isBad() || failed(op.error("slices a tensor of rank 0"))), std::nullopt;
  range.dim = op.dim("dim", x.rank(), 0);
  range.step = op.integer("step", 1);
  AffineExpr size = x.dim(range.dim);
  AffineExpr start = clampBound(op, op.size("start", op.constant(0)), size);
  AffineExpr end = clampBound(op, op.size("end", op.constant(std::numeric_limits<int64_t>::max())), size);
  if (op.isBad() || range.step < 1)
    return (void)(op.isBad() || failed(op.error("has a step that is not positive"))), std::nullopt;
  range.offset = start;
  range.size = graph::normalize(range.step == 1 ? end - start : (end - start).ceilDiv(range.step));
  if (op.isLessEqual(end, start).value_or(false))
    range.size = op.constant(0);
  if (recorded && (*recorded)[range.dim])
    range.size = (*recorded)[range.dim];
  if (graph::asConstant(range.size) == 0)
    range.offset = op.constant(0); // an offset behind the end would not verify
  // Asked for its effect: sizes for which the slice would reach behind the end leave the declared ranges.
  (void)op.isLessEqual(graph::normalize(range.offset + (range.size - 1) * range.step + 1), size);
  return range;
}

static LogicalResult convertSlice(Op &op) {
  if (isFromData(op, "start") || isFromData(op, "end"))
    return convertFoundSlice(op);
  Tensor x = op.tensor("self");
  std::optional<Dims> recorded = op.resultDims();
  if (x && recorded && recorded->size() != static_cast<size_t>(x.rank()))
    recorded.reset();
  std::optional<SliceRange> range = readSlice(op, x, recorded);
  return range ? op.finishView("self", sliceView(range->dim, range->offset, range->size, range->step)) : failure();
}

static AffineExpr readIndex(Op &op, StringRef name, AffineExpr size) {
  AffineExpr index = op.size(name);
  return op.isLessEqual(index, op.constant(-1)).value_or(false) ? graph::normalize(size + index) : index;
}

static LogicalResult convertSelect(Op &op) {
  if (isFromData(op, "index"))
    return convertFoundSelect(op);
  Tensor x = op.tensor("self");
  if (!x)
    return failure();
  int64_t dim = op.dim("dim", x.rank());
  if (op.isBad() || x.rank() == 0)
    return op.isBad() ? failure() : op.error("selects from a tensor of rank 0");
  AffineExpr index = readIndex(op, "index", x.dim(dim));
  return op.isBad() ? failure() : op.finishView("self", selectView(dim, index));
}

static LogicalResult convertNarrow(Op &op) {
  Tensor x = op.tensor("self");
  if (!x || x.rank() == 0)
    return op.isBad() ? failure() : op.error("narrows a tensor of rank 0");
  int64_t dim = op.dim("dim", x.rank());
  if (op.isBad())
    return failure();
  AffineExpr start = readIndex(op, "start", x.dim(dim)), length = op.size("length");
  return op.isBad() ? failure() : op.finishView("self", sliceView(dim, start, length));
}

static LogicalResult convertSliceScatter(Op &op) {
  Tensor x = op.tensor("self"), source = op.tensor("src");
  std::optional<SliceRange> range = readSlice(op, x, source ? std::optional<Dims>(source.dims()) : std::nullopt);
  if (!range || !source)
    return failure();
  Dims part = x.dims();
  part[range->dim] = range->size;
  source = op.broadcast(op.convert(source, x.dtype), part);
  return op.finish(op.insertSlice(source, x, range->dim, range->offset, range->step));
}

static LogicalResult convertSelectScatter(Op &op) {
  Tensor x = op.tensor("self"), source = op.tensor("src");
  if (!x || !source)
    return failure();
  int64_t dim = op.dim("dim", x.rank());
  AffineExpr index = readIndex(op, "index", x.dim(dim));
  return op.finish(op.insertSlice(op.unsqueeze(op.convert(source, x.dtype), dim), x, dim, index));
}

//===----------------------------------------------------------------------===//
// Splits
//===----------------------------------------------------------------------===//

static LogicalResult finishParts(Op &op, int64_t dim, ArrayRef<AffineExpr> sizes) {
  SmallVector<ViewFunctions> views;
  AffineExpr offset = op.constant(0);
  for (AffineExpr size : sizes) {
    views.push_back(sliceView(dim, graph::normalize(offset), size));
    offset = offset + size;
  }
  return op.isBad() ? failure() : op.finishView("self", views);
}

/// As many parts as the exporter recorded; the last may be smaller.
static LogicalResult finishEqualParts(Op &op, Tensor x, int64_t dim, AffineExpr size) {
  size_t count = op.node.resultNames().size();
  SmallVector<AffineExpr> sizes(count, size);
  if (count)
    sizes.back() = graph::normalize(x.dim(dim) - size * static_cast<int64_t>(count - 1));
  return finishParts(op, dim, sizes);
}

static LogicalResult convertSplit(Op &op) {
  Tensor x = op.tensor("self");
  if (!x)
    return failure();
  int64_t dim = op.dim("dim", x.rank(), 0);
  StringRef name = op.has("split_size") ? "split_size" : "split_sizes";
  if (name == "split_sizes" ||
      op.node.arg(name).as<std::vector<SymIntArg>>().value_or(std::vector<SymIntArg>()).size() > 1)
    return finishParts(op, dim, op.sizes(name));
  return finishEqualParts(op, x, dim, op.size(name));
}

static LogicalResult convertChunk(Op &op) {
  Tensor x = op.tensor("self");
  int64_t chunks = op.integer("chunks");
  if (!x || chunks < 1)
    return op.isBad() ? failure() : op.error("needs a positive number of chunks");
  int64_t dim = op.dim("dim", x.rank(), 0);
  return finishEqualParts(op, x, dim, graph::normalize(x.dim(dim).ceilDiv(chunks)));
}

static LogicalResult convertTensorSplit(Op &op) {
  Tensor x = op.tensor("self");
  if (!x)
    return failure();
  StringRef name = op.node.op(); // hsplit, vsplit, dsplit name their dimension
  int64_t fixed = name.starts_with("aten.dsplit") ? 2 : name.starts_with("aten.hsplit") && x.rank() > 1 ? 1 : 0;
  int64_t dim = op.dim("dim", x.rank(), fixed);
  if (op.isBad())
    return failure();
  if (op.has("tensor_indices_or_sections"))
    return op.unsupported("at places that are a tensor", "split at places that are numbers");
  AffineExpr size = x.dim(dim);
  SmallVector<AffineExpr> sizes;
  if (op.has("sections")) {
    int64_t sections = op.integer("sections");
    if (sections < 1)
      return op.error("needs a positive number of sections");
    for (int64_t i = 0; i < sections; ++i) // the first ones are larger by one where it does not divide
      sizes.push_back(graph::normalize((size + (sections - 1 - i)).floorDiv(sections)));
  } else {
    AffineExpr last = op.constant(0);
    for (AffineExpr bound : op.sizes("indices")) {
      bound = clampBound(op, bound, size);
      sizes.push_back(graph::normalize(bound - last));
      last = bound;
    }
    sizes.push_back(graph::normalize(size - last));
  }
  return finishParts(op, dim, sizes);
}

static LogicalResult convertUnbind(Op &op) {
  Tensor x = op.tensor("self");
  if (!x)
    return failure();
  int64_t dim = op.dim("dim", x.rank(), 0);
  SmallVector<ViewFunctions> views;
  for (size_t i = 0, e = op.node.resultNames().size(); i < e; ++i)
    views.push_back(selectView(dim, op.constant(i)));
  return op.isBad() ? failure() : op.finishView("self", views);
}

//===----------------------------------------------------------------------===//
// Joins
//===----------------------------------------------------------------------===//

static LogicalResult convertCat(Op &op) {
  Tensors parts = op.tensors("tensors");
  if (op.isBad() || parts.empty())
    return op.isBad() ? failure() : op.error("joins nothing");
  // Old habit of torch: an empty tensor of rank 1 fits everything.
  bool hasOthers = llvm::any_of(parts, [](const Tensor &t) { return t.rank() != 1; });
  llvm::erase_if(parts,
                 [&](const Tensor &t) { return hasOthers && t.rank() == 1 && graph::asConstant(t.dim(0)) == 0; });
  for (Tensor &part : parts)
    part = op.convert(part, op.resultDtype());
  int64_t dim = op.dim("dim", parts[0].rank(), 0);
  return op.finish(op.concat(parts, dim));
}

static LogicalResult convertStack(Op &op) {
  Tensors parts = op.tensors("tensors");
  if (op.isBad() || parts.empty())
    return op.isBad() ? failure() : op.error("stacks nothing");
  int64_t dim = op.dim("dim", parts[0].rank() + 1, 0);
  for (Tensor &part : parts)
    part = op.unsqueeze(op.convert(part, op.resultDtype()), dim);
  return op.finish(op.concat(parts, dim));
}

/// hstack, vstack, dstack, column_stack: parts get dimensions until they have as many as it takes.
static Convert stackAlong(int64_t dim, int64_t minRank, bool appends) {
  return [=](Op &op) {
    Tensors parts = op.tensors("tensors");
    if (op.isBad() || parts.empty())
      return op.isBad() ? failure() : op.error("stacks nothing");
    int64_t at = dim;
    for (Tensor &part : parts) {
      part = op.convert(part, op.resultDtype());
      if (minRank == 1 && part && part.rank() <= 1)
        at = 0; // hstack of vectors
      while (part && part.rank() < minRank)
        part = op.unsqueeze(part, appends || part.rank() >= 2 ? part.rank() : 0);
    }
    return op.isBad() ? failure() : op.finish(op.concat(parts, at));
  };
}

static LogicalResult convertRot90(Op &op) {
  Tensor x = op.tensor("self");
  int64_t turns = ((op.integer("k", 1) % 4) + 4) % 4;
  SmallVector<int64_t> dims = op.integers("dims", SmallVector<int64_t>{0, 1});
  if (!x || dims.size() != 2)
    return op.isBad() ? failure() : op.error("needs two dimensions");
  int64_t a = op.wrapDim(dims[0], x.rank()), b = op.wrapDim(dims[1], x.rank());
  if (turns == 2)
    return op.finish(op.reverse(x, {a, b}));
  if (turns == 1)
    return op.finish(op.transpose(op.reverse(x, {b}), a, b));
  return op.finish(turns == 0 ? x : op.reverse(op.transpose(x, a, b), {b}));
}

static LogicalResult convertBroadcastTensors(Op &op) {
  Tensors parts = op.tensors("tensors");
  SmallVector<Dims> shapes;
  for (const Tensor &part : parts)
    shapes.push_back(part.dims());
  std::optional<Dims> dims = op.isBad() ? std::nullopt : op.broadcastDims(shapes);
  if (!dims)
    return failure();
  for (Tensor &part : parts)
    part = op.broadcast(part, *dims);
  return op.finish(parts);
}

/// Products of all pairs of elements, block by block.
static LogicalResult convertKron(Op &op) {
  Tensor l = op.tensor("self"), r = op.tensor("other");
  if (op.isBad())
    return failure();
  while (l && l.rank() < r.rank())
    l = op.unsqueeze(l, 0);
  while (r && r.rank() < l.rank())
    r = op.unsqueeze(r, 0);
  SmallVector<int64_t> even, odd;
  Dims dims, merged;
  for (int64_t d = 0; d < l.rank(); ++d) {
    even.push_back(2 * d);
    odd.push_back(2 * d + 1);
    dims.append({l.dim(d), r.dim(d)});
    merged.push_back(l.dim(d) * r.dim(d));
  }
  ScalarType type = op.resultDtype();
  Tensor product = op.map(
      type, type, {Operand(l, even), Operand(r, odd)}, [](Scalars &s, ValueRange v) { return s.mul(v[0], v[1]); },
      ScalarType::Unknown, dims);
  return op.finish(op.reshape(product, merged));
}

/// l[1] * r[2] - l[2] * r[1] and its turns.
static LogicalResult convertCross(Op &op) {
  Tensor l = op.tensor("self"), r = op.tensor("other");
  if (op.isBad())
    return failure();
  std::optional<Dims> dims = op.broadcastDims({l.dims(), r.dims()});
  if (!dims)
    return failure();
  int64_t dim = -1;
  if (op.has("dim") || op.node.op().starts_with("aten.linalg_cross"))
    dim = op.dim("dim", dims->size(), -1);
  for (size_t d = 0; dim < 0 && d < dims->size(); ++d)
    if (graph::asConstant((*dims)[d]) == 3)
      dim = d;
  if (dim < 0 || graph::asConstant((*dims)[dim]) != 3)
    return op.error("needs a dimension of size 3");
  auto turned = [&](Tensor x, int64_t by) {
    x = op.broadcast(x, *dims);
    return op.concat(
        {op.slice(x, dim, op.constant(by), op.constant(3 - by)), op.slice(x, dim, op.constant(0), op.constant(by))},
        dim);
  };
  ScalarType type = op.resultDtype();
  return op.finish(op.map(type, type, {turned(l, 1), turned(r, 2), turned(l, 2), turned(r, 1)},
                          [](Scalars &s, ValueRange v) { return s.sub(s.mul(v[0], v[1]), s.mul(v[2], v[3])); }));
}

static LogicalResult convertRepeat(Op &op) {
  Tensor x = op.tensor("self");
  Dims counts = op.sizes(op.has("dims") ? "dims" : "repeats");
  if (!x)
    return failure();
  Dims dims = x.dims();
  while (counts.size() < dims.size())
    counts.insert(counts.begin(), op.constant(1)); // tile
  while (dims.size() < counts.size())
    dims.insert(dims.begin(), op.constant(1));
  // [a, b] repeated [m, n] times is [1, a, 1, b] broadcast to [m, a, n, b].
  Dims wide, full, merged;
  for (auto [size, count] : llvm::zip(dims, counts)) {
    if (graph::asConstant(count) != 1 && graph::asConstant(size) != 1) {
      wide.push_back(op.constant(1));
      full.push_back(count);
    }
    wide.push_back(size);
    full.push_back(graph::asConstant(size) == 1 ? count : size);
    merged.push_back(size * count);
  }
  return op.finish(op.reshape(op.broadcast(op.reshape(x, wide), full), merged));
}

/// Position i as often as `repeats[i]` says: it is the number of runs that end at or before each place.
Tensor repeatedPositions(Op &op, Tensor repeats, AffineExpr length) {
  Tensor ends = op.cumulate(graph::ReduceKind::Sum, op.convert(repeats, ScalarType::Long), 0);
  if (!ends)
    return {};
  Tensor isBehind = op.map(
      ScalarType::Long, ScalarType::Long, {Operand(ends, {1})},
      [&](Scalars &s, ValueRange v) { return s.compare(Compare::Le, v[0], op.index(s, 0)); }, ScalarType::Bool,
      Dims{length, ends.dim(0)});
  return op.reduce(graph::ReduceKind::Sum, isBehind, {1});
}

/// repeat_interleave(repeats), whose length is given or depends on data.
static LogicalResult convertRepeatedPositions(Op &op) {
  Tensor repeats = op.tensor("repeats");
  if (!repeats)
    return failure();
  std::optional<Dims> dims = op.resultDims();
  AffineExpr length = op.has("output_size") ? op.size("output_size") : dims ? (*dims)[0] : AffineExpr();
  if (!length && !op.isBad())
    length = op.foundSize(op.reduce(graph::ReduceKind::Sum, op.convert(repeats, ScalarType::Long), {0}));
  if (op.isBad() || !length)
    return failure();
  return op.finish(op.convert(repeatedPositions(op, repeats, length), op.resultDtype()));
}

/// How often is a tensor of one number for each position, or for all.
static LogicalResult repeatByTensor(Op &op, Tensor x, int64_t dim) {
  Tensor repeats = op.tensor("repeats");
  std::optional<Dims> recorded = op.resultDims();
  if (op.isBad() || !recorded)
    return failure();
  repeats = op.broadcast(op.convert(repeats, ScalarType::Long), {x.dim(dim)});
  AffineExpr length = op.has("output_size") ? op.size("output_size") : (*recorded)[dim];
  if (!length)
    length = op.foundSize(op.reduce(graph::ReduceKind::Sum, repeats, {0}));
  if (op.isBad() || !length)
    return failure();
  Dims dims = x.dims();
  dims[dim] = length;
  SmallVector<int64_t> coords = upTo(x.rank());
  coords[dim] = -1;
  return op.finish(op.gather(x, {Operand(repeatedPositions(op, repeats, length), dim)}, coords, dims));
}

static LogicalResult convertRepeatInterleave(Op &op) {
  if (!op.has("self"))
    return convertRepeatedPositions(op);
  Tensor x = op.tensor("self");
  if (!x)
    return failure();
  if (!op.has("dim"))
    x = op.flatten(x, 0, x.rank() - 1);
  int64_t dim = op.has("dim") ? op.dim("dim", x.rank()) : 0;
  if (op.node.arg("repeats").as<TensorArg>())
    return repeatByTensor(op, x, dim);
  AffineExpr count = op.size("repeats");
  Dims dims = x.dims(), wide = dims, full, merged = dims;
  wide.insert(wide.begin() + dim + 1, op.constant(1));
  full = wide;
  full[dim + 1] = count;
  merged[dim] = dims[dim] * count;
  return op.finish(op.reshape(op.broadcast(op.reshape(x, wide), full), merged));
}

//===----------------------------------------------------------------------===//
// Orders along a dimension
//===----------------------------------------------------------------------===//

/// Differences of neighbours, n times.
static LogicalResult convertDiff(Op &op) {
  Tensor x = op.tensor("self"), before = op.optionalTensor("prepend"), after = op.optionalTensor("append");
  if (!x || x.rank() == 0)
    return op.isBad() ? failure() : op.error("needs a dimension");
  int64_t dim = op.dim("dim", x.rank(), -1), count = op.integer("n", 1);
  Tensors parts;
  for (const Tensor &part : {before, x, after})
    if (part)
      parts.push_back(op.convert(part, x.dtype));
  x = op.concat(parts, dim);
  for (int64_t i = 0; i < count && x; ++i) {
    AffineExpr rest = graph::normalize(x.dim(dim) - 1);
    if (op.isLessEqual(rest, op.constant(-1)).value_or(false))
      break; // nothing is left
    Tensor next = op.slice(x, dim, op.constant(1), rest), last = op.slice(x, dim, op.constant(0), rest);
    x = op.map(x.dtype, x.dtype, {next, last}, [](Scalars &s, ValueRange v) { return s.sub(v[0], v[1]); });
  }
  return op.finish(x);
}

static LogicalResult convertFlip(Op &op) {
  Tensor x = op.tensor("self");
  if (!x)
    return failure();
  SmallVector<int64_t> dims;
  for (int64_t dim : op.has("dims") ? op.integers("dims") : SmallVector<int64_t>())
    dims.push_back(op.wrapDim(dim, x.rank()));
  if (op.node.op().starts_with("aten.fliplr"))
    dims = {1};
  if (op.node.op().starts_with("aten.flipud"))
    dims = {0};
  return op.finish(op.reverse(x, dims));
}

static LogicalResult convertRoll(Op &op) {
  Tensor x = op.tensor("self");
  Dims shifts = op.sizes("shifts");
  SmallVector<int64_t> dims = op.integers("dims", SmallVector<int64_t>());
  if (!x)
    return failure();
  Dims shape = x.dims();
  bool isFlat = dims.empty();
  if (isFlat) {
    x = op.flatten(x, 0, x.rank() - 1);
    dims = {0};
  }
  if (shifts.size() != dims.size())
    return op.error("has shifts and dims of different number");
  for (auto [shift, given] : llvm::zip(shifts, dims)) {
    int64_t dim = op.wrapDim(given, x.rank());
    if (!x || op.isBad())
      return failure();
    AffineExpr size = x.dim(dim), zero = op.constant(0);
    if (graph::asConstant(size) == 0 || graph::asConstant(shift) == 0)
      continue;
    // The last `back` elements come first.
    AffineExpr back = graph::normalize(shift % size);
    if (!graph::asConstant(size) && graph::asConstant(shift)) {
      int64_t s = *graph::asConstant(shift);
      if (!op.isLessEqual(op.constant(std::abs(s)), size).value_or(false))
        return op.unsupported("by more than a symbolic size may be");
      back = s >= 0 ? op.constant(s) : size + s;
    }
    if (graph::asConstant(back) == 0)
      continue;
    AffineExpr front = graph::normalize(size - back);
    x = op.concat({op.slice(x, dim, front, back), op.slice(x, dim, zero, front)}, dim);
  }
  return op.finish(isFlat ? op.reshape(x, shape) : x);
}

//===----------------------------------------------------------------------===//
// Strides
//===----------------------------------------------------------------------===//

/// The diagonal as a gather at two equal coordinates.
static Tensor diagonal(Op &op, Tensor x, int64_t offset, int64_t a, int64_t b) {
  AffineExpr rows = graph::normalize(x.dim(a) + std::min<int64_t>(offset, 0));
  AffineExpr columns = graph::normalize(x.dim(b) - std::max<int64_t>(offset, 0));
  AffineExpr length = op.isLessEqual(rows, columns).value_or(true) ? rows : columns;
  if (op.isLessEqual(length, op.constant(0)).value_or(false))
    length = op.constant(0);
  auto ramp = [&](int64_t start) {
    return op.generate(ScalarType::Long, ScalarType::Long, {length},
                       [&](Scalars &s, ValueRange) { return s.add(op.index(s, 0), s.integer(start)); });
  };
  Dims dims;
  SmallVector<int64_t> coords(x.rank());
  for (int64_t i = 0; i < x.rank(); ++i)
    if (i != a && i != b) {
      coords[i] = dims.size();
      dims.push_back(x.dim(i));
    }
  int64_t last = dims.size();
  dims.push_back(length);
  coords[a] = -1;
  coords[b] = -2;
  Operand row(ramp(std::max<int64_t>(-offset, 0)), {last}), column(ramp(std::max<int64_t>(offset, 0)), {last});
  return op.gather(x, {row, column}, coords, dims);
}

static LogicalResult convertDiagonal(Op &op) {
  bool isLinalg = op.node.op().starts_with("aten.linalg_diagonal");
  Tensor x = op.tensor(isLinalg ? "A" : "self");
  if (!x)
    return failure();
  int64_t offset = op.integer("offset", 0);
  int64_t a = op.dim("dim1", x.rank(), isLinalg ? -2 : 0), b = op.dim("dim2", x.rank(), isLinalg ? -1 : 1);
  if (op.isBad() || a == b)
    return op.isBad() ? failure() : op.error("names one dimension twice");
  return op.finish(diagonal(op, x, offset, a, b));
}

/// A matrix that is zero but for a diagonal, along two new dimensions at the end.
static Tensor embedDiagonal(Op &op, Tensor x, int64_t offset) {
  int64_t last = x.rank() - 1;
  Dims low(x.rank(), op.constant(0)), high = low;
  (offset < 0 ? low : high)[last] = op.constant(std::abs(offset));
  x = op.pad(x, low, high, 0);
  if (!x)
    return {};
  Dims dims = x.dims();
  dims.push_back(dims.back());
  return op.map(
      x.dtype, x.dtype, {Operand(x, upTo(x.rank()))},
      [&](Scalars &s, ValueRange v) {
        Scalars ints(s.b, s.loc, ScalarType::Long);
        Value distance = ints.sub(op.index(ints, last + 1), op.index(ints, last));
        return s.select(ints.compare(Compare::Eq, distance, ints.integer(offset)), v[0], s.number(0));
      },
      ScalarType::Unknown, dims);
}

static LogicalResult convertDiagEmbed(Op &op) {
  Tensor x = op.tensor("self");
  if (!x || x.rank() == 0)
    return op.isBad() ? failure() : op.error("needs a dimension");
  int64_t rank = x.rank() + 1, offset = op.integer("offset", 0);
  int64_t a = op.dim("dim1", rank, -2), b = op.dim("dim2", rank, -1);
  if (op.isBad() || a == b)
    return op.isBad() ? failure() : op.error("names one dimension twice");
  SmallVector<int64_t> order;
  for (int64_t d = 0, next = 0; d < rank; ++d)
    order.push_back(d == a ? rank - 2 : d == b ? rank - 1 : next++);
  return op.finish(op.permute(embedDiagonal(op, x, offset), order));
}

static LogicalResult convertDiag(Op &op) {
  Tensor x = op.tensor("self");
  int64_t offset = op.integer("diagonal", 0);
  if (!x || x.rank() < 1 || x.rank() > 2)
    return op.isBad() ? failure() : op.error("needs a vector or a matrix");
  return op.finish(x.rank() == 1 ? embedDiagonal(op, x, offset) : diagonal(op, x, offset, 0, 1));
}

static LogicalResult convertTrace(Op &op) {
  Tensor x = op.tensor("self");
  if (!x || x.rank() != 2)
    return op.isBad() ? failure() : op.error("needs a matrix");
  return op.finish(op.reduce(graph::ReduceKind::Sum, op.convert(diagonal(op, x, 0, 0, 1), op.resultDtype()), {0}));
}

/// Patches of an image as columns, and their sum back to an image: where each element of a patch lies.
static LogicalResult convertPatches(Op &op, bool isToColumns) {
  Tensor x = op.tensor("self");
  SmallVector<int64_t> window = op.integersOf("kernel_size", 2, 1), dilation = op.integersOf("dilation", 2, 1),
                       padding = op.integersOf("padding", 2, 0), stride = op.integersOf("stride", 2, 1);
  if (op.isBad())
    return failure();
  bool isSingle = x.rank() == (isToColumns ? 3 : 2);
  if (isSingle)
    x = op.unsqueeze(x, 0);
  if (!x || x.rank() != (isToColumns ? 4 : 3))
    return op.error("has an input of the wrong rank");
  Dims image = isToColumns ? Dims{x.dim(2), x.dim(3)} : op.sizes("output_size");
  if (op.isBad() || image.size() != 2)
    return failure();
  Dims blocks;
  SmallVector<Operand> positions;
  for (int64_t i = 0; i < 2; ++i) {
    blocks.push_back(
        graph::normalize((image[i] + 2 * padding[i] - dilation[i] * (window[i] - 1) - 1).floorDiv(stride[i]) + 1));
    Tensor at = op.generate(
        ScalarType::Long, ScalarType::Long, {op.constant(window[i]), blocks[i]}, [&](Scalars &s, ValueRange) {
          return s.add(s.mul(op.index(s, 0), s.integer(dilation[i])), s.mul(op.index(s, 1), s.integer(stride[i])));
        });
    positions.push_back(Operand(at, {2 + i, 4 + i}));
  }
  Dims zero(4, op.constant(0)), around{zero[0], zero[0], op.constant(padding[0]), op.constant(padding[1])};
  AffineExpr taps = op.constant(window[0] * window[1]), count = blocks[0] * blocks[1];
  if (isToColumns) {
    Tensor padded = op.pad(x, around, around, 0);
    Dims dims{x.dim(0), x.dim(1), op.constant(window[0]), op.constant(window[1]), blocks[0], blocks[1]};
    Tensor y = op.reshape(op.gather(padded, positions, {0, 1, -1, -2}, dims), {x.dim(0), x.dim(1) * taps, count});
    return op.finish(isSingle ? op.squeeze(y, {0}) : y);
  }
  AffineExpr channels = x.dim(1).floorDiv(window[0] * window[1]);
  Tensor updates =
      op.reshape(x, {x.dim(0), channels, op.constant(window[0]), op.constant(window[1]), blocks[0], blocks[1]});
  Tensor start = op.full({x.dim(0), channels, image[0] + 2 * padding[0], image[1] + 2 * padding[1]}, x.dtype, 0);
  Tensor y = op.scatter(graph::ScatterKind::Sum, updates, start, positions, {0, 1, -1, -2});
  y = op.slice(op.slice(y, 2, around[2], image[0]), 3, around[3], image[1]);
  return op.finish(isSingle ? op.squeeze(y, {0}) : y);
}

/// A diagonal written: its elements are the last dimension of the source.
static LogicalResult convertDiagonalScatter(Op &op) {
  Tensor x = op.tensor("self"), source = op.tensor("src");
  if (op.isBad() || x.rank() < 2)
    return op.isBad() ? failure() : op.error("needs a matrix");
  int64_t rank = x.rank(), offset = op.integer("offset", 0), row = op.dim("dim1", rank, 0), column = op.dim("dim2", rank, 1);
  if (op.isBad())
    return failure();
  auto positions = [&](int64_t from) {
    return Operand(op.generate(ScalarType::Long, ScalarType::Long, {source.dim(rank - 2)},
                               [&](Scalars &s, ValueRange) { return s.add(op.index(s, 0), s.integer(from)); }),
                   ArrayRef<int64_t>{rank - 2});
  };
  SmallVector<int64_t> coords;
  int64_t next = 0;
  for (int64_t d = 0; d < rank; ++d)
    coords.push_back(d == row ? -1 : d == column ? -2 : next++);
  return op.finish(op.scatter(graph::ScatterKind::Set, op.convert(source, x.dtype), x,
                              {positions(std::max<int64_t>(0, -offset)), positions(std::max<int64_t>(0, offset))},
                              coords));
}

/// Windows of `size` along a dimension, `step` apart, as a new last dimension.
static LogicalResult convertUnfold(Op &op) {
  Tensor x = op.tensor("self");
  if (!x)
    return failure();
  int64_t dim = op.dim("dimension", x.rank()), size = op.integer("size"), step = op.integer("step");
  if (op.isBad() || step < 1)
    return op.isBad() ? failure() : op.error("needs a positive step");
  if (x.rank() == 0) // one window, of one element or none
    return op.finish(op.slice(op.reshape(x, {op.constant(1)}), 0, op.constant(0), op.constant(size)));
  Dims dims = x.dims();
  dims[dim] = graph::normalize((dims[dim] - size).floorDiv(step) + 1);
  dims.push_back(op.constant(size));
  int64_t last = x.rank();
  Tensor position =
      op.generate(ScalarType::Long, ScalarType::Long, {dims[dim], dims[last]}, [&](Scalars &s, ValueRange) {
        return s.add(s.mul(op.index(s, 0), s.integer(step)), op.index(s, 1));
      });
  SmallVector<int64_t> coords = upTo(x.rank());
  coords[dim] = -1;
  return op.finish(op.gather(x, {Operand(position, {dim, last})}, coords, dims));
}

/// Dimensions from the widest stride to the narrowest; none when there are gaps, overlaps or unknown strides.
static std::optional<SmallVector<int64_t>> memoryOrder(Op &op, const Dims &sizes, const Dims &strides) {
  SmallVector<int64_t> units, order;
  for (int64_t d : upTo(sizes.size()))
    if (!sizes[d] || !strides[d])
      return std::nullopt;
    else
      (graph::asConstant(sizes[d]) == 1 ? units : order).push_back(d); // where a size is 1 its stride says nothing
  auto hint = [&](int64_t d) { return op.importer.state.symbols.hint(strides[d]).value_or(0); };
  llvm::sort(order, [&](int64_t a, int64_t b) { return std::pair(-hint(a), a) < std::pair(-hint(b), b); });
  AffineExpr expected = op.constant(1);
  for (int64_t d : llvm::reverse(order)) {
    if (strides[d] != expected)
      return std::nullopt;
    expected = graph::normalize(expected * sizes[d]);
  }
  units.append(order);
  return units;
}

/// Views of memory by strides, read from the base in its own row-major order.
static LogicalResult convertAsStrided(Op &op) {
  Tensor x = op.tensor("self");
  Dims sizes = op.sizes("size"), strides = op.sizes("stride");
  AffineExpr offset = op.size("storage_offset", op.constant(0));
  const TensorMeta *meta = op.argumentMeta("self");
  if (op.isBad() || !meta || strides.size() != sizes.size())
    return op.isBad() ? failure() : op.error("has sizes and strides of different number");
  // The base's elements lie in memory by its strides; only an order without gaps is known here.
  Dims baseStrides;
  for (const SymInt &stride : meta->strides)
    baseStrides.push_back(op.importer.state.symbols.toExpr(stride));
  std::optional<SmallVector<int64_t>> order = memoryOrder(op, x.dims(), baseStrides);
  if (!order || !meta->storageOffset.isStatic() || meta->storageOffset.value != 0)
    return op.unsupported("on a base with gaps in memory, or an offset");
  Tensor memory = op.permute(x, *order);
  // A view without gaps of the same size is a permutation of another shape.
  std::optional<SmallVector<int64_t>> viewOrder = memoryOrder(op, sizes, strides);
  bool isWhole = graph::product(sizes, op.context()) == graph::numElements(x.value.getType());
  if (viewOrder && isWhole && graph::asConstant(offset) == 0) {
    Dims stored;
    SmallVector<int64_t> back(viewOrder->size());
    for (auto [i, d] : llvm::enumerate(*viewOrder)) {
      stored.push_back(sizes[d]);
      back[d] = i;
    }
    return op.finish(op.permute(op.reshape(memory, stored), back));
  }
  Tensor flat = op.flatten(memory, 0, memory.rank() - 1);
  if (flat.rank() == 0)
    flat = op.reshape(flat, {op.constant(1)});
  Tensor position = op.generate(ScalarType::Long, ScalarType::Long, sizes, [&](Scalars &s, ValueRange) {
    Value sum = op.sizeValue(s, offset);
    for (auto [d, stride] : llvm::enumerate(strides))
      sum = s.add(sum, s.mul(op.index(s, d), op.sizeValue(s, stride)));
    return sum;
  });
  return op.finish(op.gather(flat, {position}, {-1}, sizes));
}

void populateSlicing(ConverterTable &t) {
  t["aten.slice"] = t["aten.slice_copy"] = convertSlice;
  t["aten.select"] = t["aten.select_copy"] = convertSelect;
  t["aten.narrow"] = t["aten.narrow_copy"] = convertNarrow;
  t["aten.slice_scatter"] = convertSliceScatter;
  t["aten.select_scatter"] = convertSelectScatter;
  t["aten.split"] = t["aten.split_with_sizes"] = t["aten.split_copy"] = t["aten.split_with_sizes_copy"] = convertSplit;
  t["aten.chunk"] = convertChunk;
  t["aten.tensor_split"] = t["aten.hsplit"] = t["aten.vsplit"] = t["aten.dsplit"] = convertTensorSplit;
  t["aten.unbind"] = t["aten.unbind_copy"] = convertUnbind;
  t["aten.cat"] = t["aten.concat"] = t["aten.concatenate"] = convertCat;
  t["aten.stack"] = convertStack;
  t["aten.repeat"] = t["aten.tile"] = convertRepeat;
  t["aten.repeat_interleave"] = convertRepeatInterleave;
  t["aten.flip"] = t["aten.fliplr"] = t["aten.flipud"] = convertFlip;
  t["aten.hstack"] = stackAlong(1, 1, false);
  t["aten.vstack"] = stackAlong(0, 2, false);
  t["aten.row_stack"] = stackAlong(0, 2, false);
  t["aten.dstack"] = stackAlong(2, 3, false);
  t["aten.column_stack"] = stackAlong(1, 2, true);
  t["aten.rot90"] = convertRot90;
  t["aten.broadcast_tensors"] = convertBroadcastTensors;
  t["aten.kron"] = convertKron;
  t["aten.cross"] = t["aten.linalg_cross"] = convertCross;
  t["aten.unsafe_split"] = t["aten.unsafe_split_with_sizes"] = convertSplit;
  t["aten.unsafe_chunk"] = convertChunk;
  t["aten.diag"] = convertDiag;
  t["aten.diag_embed"] = convertDiagEmbed;
  t["aten.trace"] = convertTrace;
  t["aten.im2col"] = [](Op &op) { return convertPatches(op, true); };
  t["aten.col2im"] = [](Op &op) { return convertPatches(op, false); };
  t["aten.roll"] = convertRoll;
  t["aten.diff"] = convertDiff;
  t["aten.diagonal"] = t["aten.diagonal_copy"] = t["aten.linalg_diagonal"] = convertDiagonal;
  t["aten.diagonal_scatter"] = convertDiagonalScatter;
  t["aten.unfold"] = t["aten.unfold_copy"] = convertUnfold;
  t["aten.as_strided"] = t["aten.as_strided_copy"] = convertAsStrided;
}

} // namespace tenon::torch_export
