// Reading and writing at positions that are data: graph.gather and graph.scatter.
#include "Converter.h"

using namespace mlir;
using tenon::graph::Dims;
using tenon::graph::ScatterKind;

namespace tenon::torch_export {

/// An index of rank 0 stands for one of one element.
static Tensor asVector(Op &op, Tensor index) {
  return index && index.rank() == 0 ? op.reshape(index, {op.constant(1)}) : index;
}

static LogicalResult convertEmbedding(Op &op) {
  Tensor table = op.tensor("weight"), indices = op.tensor("indices");
  if (op.isBad() || table.rank() != 2)
    return op.isBad() ? failure() : op.error("needs a table of rank 2");
  Dims dims = indices.dims();
  int64_t last = dims.size();
  dims.push_back(table.dim(1));
  return op.finish(op.gather(table, {Operand(indices, upTo(last))}, {-1, last}, dims));
}

static LogicalResult convertIndexSelect(Op &op) {
  Tensor x = op.tensor("self"), index = asVector(op, op.tensor("index"));
  if (op.isBad())
    return failure();
  if (x.rank() == 0)
    return op.finish(x);
  int64_t dim = op.dim("dim", x.rank());
  Dims dims = x.dims();
  dims[dim] = index.dim(0);
  SmallVector<int64_t> coords = upTo(x.rank());
  coords[dim] = -1;
  return op.finish(op.gather(x, {Operand(index, dim)}, coords, dims));
}

static LogicalResult convertGather(Op &op) {
  Tensor x = op.tensor("self"), index = op.tensor("index");
  if (op.isBad())
    return failure();
  if (x.rank() == 0 || index.rank() == 0)
    return x.rank() == 0 ? op.finish(op.reshape(op.broadcast(x, index.dims()), index.dims()))
                         : op.finish(op.gather(x, {index}, {-1}, {}));
  int64_t dim = op.dim("dim", x.rank());
  SmallVector<int64_t> coords = upTo(x.rank());
  coords[dim] = -1;
  return op.finish(op.gather(x, {index}, coords, index.dims()));
}

static LogicalResult convertTakeAlongDim(Op &op) {
  Tensor x = op.tensor("self"), index = op.tensor("indices");
  if (op.isBad())
    return failure();
  if (!op.has("dim")) {
    x = op.flatten(x, 0, x.rank() - 1);
    index = op.flatten(index, 0, index.rank() - 1);
    return op.finish(op.gather(x, {op.wrapIndices(index, x.dim(0))}, {-1}, index.dims()));
  }
  int64_t dim = op.dim("dim", x.rank());
  Dims own = x.dims(), wanted = index.dims();
  own[dim] = wanted[dim] = op.constant(1);
  std::optional<Dims> common = op.broadcastDims({own, wanted});
  if (!common)
    return failure();
  Dims xDims = *common, indexDims = *common;
  xDims[dim] = x.dim(dim);
  indexDims[dim] = index.dim(dim);
  SmallVector<int64_t> coords = upTo(x.rank());
  coords[dim] = -1;
  index = op.wrapIndices(op.broadcast(index, indexDims), xDims[dim]);
  return op.finish(op.gather(op.broadcast(x, xDims), {index}, coords, indexDims));
}

static LogicalResult convertTake(Op &op) {
  Tensor x = op.tensor("self"), index = op.tensor("index");
  if (op.isBad())
    return failure();
  Tensor flat = x.rank() == 0 ? asVector(op, x) : op.flatten(x, 0, x.rank() - 1);
  return op.finish(op.gather(flat, {op.wrapIndices(index, flat.dim(0))}, {-1}, index.dims()));
}

//===----------------------------------------------------------------------===//
// x[i, :, j] and x[i, :, j] = v
//===----------------------------------------------------------------------===//

namespace {
/// Advanced indexing in the terms of graph.gather.
struct Advanced {
  SmallVector<Operand> indices;
  SmallVector<int64_t> coords;
  Dims dims; ///< of the result of reading
};
} // namespace

static bool isMask(const Tensor &index) {
  return index && (index.dtype == ScalarType::Bool || index.dtype == ScalarType::Byte);
}

static std::optional<Advanced> readIndices(Op &op, Tensor x, Tensors indices) {
  if (op.isBad() || !x)
    return std::nullopt;
  // A mask stands for the coordinates of its true elements.
  for (size_t i = 0; i < indices.size(); ++i) {
    if (!isMask(indices[i]))
      continue;
    int64_t width = indices[i].rank();
    Tensor positions = op.nonzero(op.convert(indices[i], ScalarType::Bool));
    Tensors columns;
    for (int64_t k = 0; k < width; ++k)
      columns.push_back(op.select(positions, 1, op.constant(k)));
    if (width == 0 || llvm::any_of(columns, [](const Tensor &t) { return !t; })) {
      (void)op.unsupported("with a mask of rank 0");
      return std::nullopt;
    }
    indices.erase(indices.begin() + i);
    indices.insert(indices.begin() + i, columns.begin(), columns.end());
  }
  int64_t rank = x.rank();
  if (static_cast<int64_t>(indices.size()) > rank) {
    (void)op.error("has more indices than dimensions");
    return std::nullopt;
  }
  indices.resize(rank);
  SmallVector<Dims> shapes;
  SmallVector<int64_t> used;
  for (auto [d, index] : llvm::enumerate(indices))
    if (index) {
      shapes.push_back(index.dims());
      used.push_back(d);
    }
  std::optional<Dims> common = op.broadcastDims(shapes);
  if (!common)
    return std::nullopt;
  // The common shape replaces the indexed dimensions where they are neighbours, else it comes first.
  bool areNeighbours = !used.empty() && used.back() - used.front() + 1 == static_cast<int64_t>(used.size());
  int64_t place = areNeighbours ? used.front() : 0, width = common->size();
  Advanced result;
  result.coords.assign(rank, 0);
  for (int64_t d = 0; d < rank; ++d) {
    if (static_cast<int64_t>(result.dims.size()) == place && (areNeighbours ? d == place : d == 0))
      result.dims.append(common->begin(), common->end());
    if (indices[d])
      continue;
    result.coords[d] = result.dims.size();
    result.dims.push_back(x.dim(d));
  }
  for (int64_t d : used) {
    SmallVector<int64_t> along;
    int64_t own = indices[d].rank();
    for (int64_t k = 0; k < own; ++k)
      along.push_back(place + width - own + k);
    result.coords[d] = -static_cast<int64_t>(result.indices.size()) - 1;
    result.indices.push_back(Operand(op.wrapIndices(indices[d], x.dim(d)), along));
    if (!result.indices.back().tensor)
      return std::nullopt;
  }
  return result;
}

static LogicalResult convertIndex(Op &op) {
  Tensor x = op.tensor("self");
  std::optional<Advanced> advanced = readIndices(op, x, op.optionalTensors("indices"));
  if (!advanced)
    return failure();
  return op.finish(advanced->indices.empty() ? x : op.gather(x, advanced->indices, advanced->coords, advanced->dims));
}

/// x[mask] = v with one value: a choice.
static LogicalResult fillByMask(Op &op, Tensor x, ArrayRef<Tensor> indices, Tensor values) {
  SmallVector<int64_t> along;
  Tensor mask;
  int64_t d = 0;
  for (const Tensor &index : indices) {
    for (int64_t k = 0; index && k < index.rank(); ++k)
      along.push_back(d + k);
    d += index ? index.rank() : 1;
    if (index)
      mask = op.convert(index, ScalarType::Bool);
  }
  Operand condition(mask, along);
  condition.isRaw = true;
  values = op.reshape(values, {});
  return op.finish(op.map(x.dtype, x.dtype, {x, condition, values},
                          [](Scalars &s, ValueRange v) { return s.select(v[1], v[2], v[0]); }));
}

static LogicalResult convertIndexPut(Op &op) {
  Tensor x = op.tensor("self"), values = op.tensor("values");
  Tensors indices = op.optionalTensors("indices");
  if (op.isBad())
    return failure();
  bool isFill = graph::asConstant(graph::numElements(values.value.getType())) == 1 && !op.flag("accumulate", false);
  if (llvm::count_if(indices, isMask) == 1 && isFill && llvm::count_if(indices, [](const Tensor &t) { return !!t; }) == 1)
    return fillByMask(op, x, indices, values);
  std::optional<Advanced> advanced = readIndices(op, x, indices);
  if (!advanced)
    return failure();
  Tensor updates = op.broadcast(op.convert(values, x.dtype), advanced->dims);
  ScatterKind kind = op.flag("accumulate", false) ? ScatterKind::Sum : ScatterKind::Set;
  return op.finish(op.scatter(kind, updates, x, advanced->indices, advanced->coords));
}

//===----------------------------------------------------------------------===//
// Scatter along one dimension
//===----------------------------------------------------------------------===//

static std::optional<ScatterKind> scatterKind(StringRef name) {
  return llvm::StringSwitch<std::optional<ScatterKind>>(name)
      .Cases({"add", "sum"}, ScatterKind::Sum)
      .Cases({"multiply", "prod"}, ScatterKind::Prod)
      .Case("amax", ScatterKind::Max)
      .Case("amin", ScatterKind::Min)
      .Default(std::nullopt);
}

/// The float that leaves every other one as it is.
static double identityOf(ScatterKind kind) {
  double infinity = std::numeric_limits<double>::infinity();
  switch (kind) {
  case ScatterKind::Prod:
    return 1;
  case ScatterKind::Max:
    return -infinity;
  case ScatterKind::Min:
    return infinity;
  default:
    return 0;
  }
}

namespace {
struct ScatterHow {
  ScatterKind kind;
  bool countsSelf = true; ///< the old elements belong to what is combined
  bool isMean = false;
};
} // namespace

/// `updates` put into x along `dim`; the index has their shape.
static Tensor scatterAlong(Op &op, Tensor x, Tensor index, Tensor updates, int64_t dim, ScatterHow how) {
  if (op.isBad())
    return {};
  SmallVector<int64_t> coords = upTo(x.rank());
  coords[dim] = -1;
  ScatterKind kind = how.kind;
  Tensor ones = op.full(index.dims(), x.dtype, 1);
  Tensor start = x;
  if (!how.countsSelf) { // begin with any of the updates where that changes nothing, for all types
    bool isExtreme = kind == ScatterKind::Max || kind == ScatterKind::Min;
    Tensor first = isExtreme ? updates : op.full(index.dims(), x.dtype, identityOf(kind));
    start = op.scatter(ScatterKind::Set, first, x, {index}, coords);
  }
  Tensor result = op.scatter(kind, updates, start, {index}, coords);
  if (!how.isMean)
    return result;
  Tensor count = op.full(x.dims(), x.dtype, 1);
  if (!how.countsSelf)
    count = op.scatter(ScatterKind::Set, op.full(index.dims(), x.dtype, 0), count, {index}, coords);
  count = op.scatter(ScatterKind::Sum, ones, count, {index}, coords);
  return op.map(x.dtype, x.dtype, {result, count}, [](Scalars &s, ValueRange v) {
    Value divisor = s.max(v[1], s.integer(1));
    return s.isFloat() ? s.div(v[0], divisor) : s.floorDiv(v[0], divisor);
  });
}

static LogicalResult convertScatter(Op &op, ScatterHow how) {
  Tensor x = op.tensor("self"), index = op.tensor("index");
  if (op.isBad())
    return failure();
  bool hasSource = op.has("src");
  Tensor updates = hasSource ? op.convert(op.tensor("src"), x.dtype) : Tensor();
  int64_t dim = op.dim("dim", x.rank());
  if (x.rank() == 0) {
    x = asVector(op, x);
    updates = hasSource ? asVector(op, updates) : updates;
  }
  index = asVector(op, index);
  if (hasSource) { // only as much as the index covers
    Dims have = updates.dims(), want = index.dims();
    for (int64_t d = 0; d < updates.rank(); ++d)
      if (have[d] != want[d])
        updates = op.slice(updates, d, op.constant(0), want[d]);
  } else {
    updates = op.map(
        x.dtype, x.dtype, {op.operand("value")}, [](Scalars &, ValueRange v) { return v[0]; }, ScalarType::Unknown,
        index.dims());
  }
  Tensor result = scatterAlong(op, x, index, updates, dim, how);
  return op.finish(result ? op.reshape(result, *op.resultDims()) : result);
}

/// How a reduction's name combines; reported when it is not known.
static std::optional<ScatterHow> readHow(Op &op, StringRef name) {
  bool isMean = name == "mean";
  std::optional<ScatterKind> kind = isMean ? ScatterKind::Sum : scatterKind(name);
  if (!kind) {
    (void)op.error("has a reduction '" + name + "' that is not known");
    return std::nullopt;
  }
  return ScatterHow{*kind, op.flag("include_self", true), isMean};
}

static LogicalResult convertScatterByName(Op &op) {
  StringRef name = op.string("reduce", StringRef());
  if (name.empty())
    return convertScatter(op, {ScatterKind::Set});
  std::optional<ScatterHow> how = readHow(op, name);
  return how ? convertScatter(op, *how) : failure();
}

/// Whole slices along one dimension, combined.
static LogicalResult convertIndexReduce(Op &op) {
  Tensor x = op.tensor("self"), index = asVector(op, op.tensor("index")), source = op.tensor("source");
  std::optional<ScatterHow> how = readHow(op, op.string("reduce"));
  if (op.isBad() || !how)
    return failure();
  int64_t dim = op.dim("dim", x.rank());
  bool isScalar = x.rank() == 0;
  x = asVector(op, x);
  source = asVector(op, op.convert(source, x.dtype));
  Dims column(x.rank(), op.constant(1));
  column[dim] = index.dim(0);
  Tensor wide = op.broadcast(op.reshape(index, column), source.dims());
  Tensor result = wide ? scatterAlong(op, x, wide, source, dim, *how) : Tensor();
  return op.finish(isScalar ? op.reshape(result, {}) : result);
}

/// Elements of the flat tensor.
static LogicalResult convertPut(Op &op) {
  Tensor x = op.tensor("self"), index = op.tensor("index"), source = op.tensor("source");
  if (op.isBad())
    return failure();
  auto flat = [&](Tensor t) { return t ? op.reshape(t, {graph::numElements(t.value.getType())}) : t; };
  Tensor elements = flat(x), places = op.wrapIndices(flat(op.convert(index, ScalarType::Long)), elements.dim(0));
  ScatterKind kind = op.flag("accumulate", false) ? ScatterKind::Sum : ScatterKind::Set;
  Tensor result = op.scatter(kind, flat(op.convert(source, x.dtype)), elements, {places}, {-1});
  return op.finish(op.reshape(result, x.dims()));
}

/// index_add, index_copy, index_fill: whole slices along one dimension.
static LogicalResult convertIndexWrite(Op &op, ScatterKind kind) {
  Tensor x = op.tensor("self"), index = asVector(op, op.tensor("index"));
  if (op.isBad())
    return failure();
  int64_t dim = op.dim("dim", x.rank());
  bool isScalar = x.rank() == 0;
  x = asVector(op, x);
  Dims dims = x.dims();
  dims[dim] = index.dim(0);
  Tensor updates;
  if (op.has("source")) {
    updates = op.convert(op.tensor("source"), x.dtype);
    updates = updates && updates.rank() < x.rank() ? op.reshape(updates, dims) : op.withDims(updates, dims);
    Operand alpha = op.operandOr("alpha", Number::of(int64_t(1)));
    if (!alpha.number || !alpha.number->isConstant() || alpha.number->asDouble() != 1)
      updates = op.map(x.dtype, x.dtype, {updates, alpha}, [](Scalars &s, ValueRange v) { return s.mul(v[0], v[1]); });
  } else {
    updates = op.map(
        x.dtype, x.dtype, {op.operand("value")}, [](Scalars &, ValueRange v) { return v[0]; }, ScalarType::Unknown,
        dims);
  }
  SmallVector<int64_t> coords = upTo(x.rank());
  coords[dim] = -1;
  Tensor result = op.scatter(kind, updates, x, {Operand(index, dim)}, coords);
  return op.finish(isScalar ? op.reshape(result, {}) : result);
}

/// The elements of `source` in order go to the places where the mask holds: place k reads as many as there are before.
static LogicalResult convertMaskedScatter(Op &op) {
  Tensor x = op.tensor("self"), mask = op.tensor("mask"), source = op.tensor("source");
  if (op.isBad())
    return failure();
  std::optional<Dims> common = op.broadcastDims({x.dims(), mask.dims()});
  if (!common)
    return failure();
  Dims dims = *common;
  x = op.broadcast(x, dims);
  Tensor flatMask = op.broadcast(op.convert(mask, ScalarType::Bool), dims);
  if (!flatMask)
    return failure();
  flatMask = x.rank() == 0 ? asVector(op, flatMask) : op.flatten(flatMask, 0, x.rank() - 1);
  Tensor ones = op.convert(flatMask, ScalarType::Long);
  Tensor count = op.cumulate(graph::ReduceKind::Sum, ones, 0);
  Tensor place = op.map(ScalarType::Long, ScalarType::Long, {count},
                        [](Scalars &s, ValueRange v) { return s.max(s.sub(v[0], s.integer(1)), s.integer(0)); });
  Tensor flatSource = source.rank() == 0 ? asVector(op, source) : op.flatten(source, 0, source.rank() - 1);
  if (graph::asConstant(flatSource.dim(0)) == 0)
    return op.finish(x);
  // Places behind the last one that is written may count past the end of the source.
  AffineExpr last = graph::normalize(flatSource.dim(0) - 1);
  place = op.map(ScalarType::Long, ScalarType::Long, {place},
                 [&](Scalars &s, ValueRange v) { return s.min(v[0], op.sizeValue(s, last)); });
  Tensor values = op.reshape(op.gather(flatSource, {place}, {-1}, flatMask.dims()), dims);
  Tensor condition = op.reshape(flatMask, dims);
  return op.finish(op.map(x.dtype, x.dtype, {x, Operand::raw(condition), values},
                          [](Scalars &s, ValueRange v) { return s.select(v[1], v[2], v[0]); }));
}

//===----------------------------------------------------------------------===//
// Searches
//===----------------------------------------------------------------------===//

static LogicalResult convertIsin(Op &op) {
  Operand x = op.operand("elements"), tests = op.operand("test_elements");
  bool isInverted = op.flag("invert", false);
  if (op.isBad() || !x.tensor || !tests.tensor)
    return op.isBad() ? failure() : op.unsupported("of numbers");
  Dims dims = x.tensor.dims();
  int64_t rank = dims.size();
  Tensor flat =
      tests.tensor.rank() == 0 ? asVector(op, tests.tensor) : op.flatten(tests.tensor, 0, tests.tensor.rank() - 1);
  dims.push_back(flat.dim(0));
  ScalarType type = resultType({x, tests});
  x.dims = upTo(rank);
  Tensor equal = op.map(
      ScalarType::Bool, type, {x, Operand(flat, rank)},
      [](Scalars &s, ValueRange v) { return s.compare(Compare::Eq, v[0], v[1]); }, ScalarType::Bool, dims);
  Tensor found = op.reduce(graph::ReduceKind::Any, equal, {rank});
  if (isInverted)
    found =
        op.map(ScalarType::Bool, ScalarType::Bool, {found}, [](Scalars &s, ValueRange v) { return s.negate(v[0]); });
  return op.finish(found);
}

//===----------------------------------------------------------------------===//
// Bags
//===----------------------------------------------------------------------===//

/// Sums, means or maxima of rows between offsets: each row is added to the bag that it belongs to.
static LogicalResult convertEmbeddingBag(Op &op) {
  Tensor table = op.tensor("weight"), indices = op.tensor("indices"), offsets = op.tensor("offsets"),
         weights = op.optionalTensor("per_sample_weights");
  int64_t mode = op.integer("mode", 0), padding = op.integer("padding_idx", -1);
  if (op.isBad())
    return failure();
  if (indices.rank() != 1 || offsets.rank() != 1)
    return op.unsupported("with indices of a rank other than 1");
  AffineExpr count = indices.dim(0), bags = offsets.dim(0);
  if (op.flag("include_last_offset", false))
    bags = graph::normalize(bags - 1);
  // Index i lies in the last bag that begins at or before i.
  Tensor begins = op.map(
      ScalarType::Long, ScalarType::Long, {Operand(offsets, {1})},
      [&](Scalars &s, ValueRange v) { return s.compare(Compare::Le, v[0], op.index(s, 0)); }, ScalarType::Bool,
      Dims{count, offsets.dim(0)});
  Tensor bag =
      op.map(ScalarType::Long, ScalarType::Long, {op.reduce(graph::ReduceKind::Sum, begins, {1})},
             [&](Scalars &s, ValueRange v) {
               return s.max(s.min(s.sub(v[0], s.integer(1)), s.sub(op.sizeValue(s, bags), s.integer(1))), s.integer(0));
             });
  Tensor rows = op.gather(table, {Operand(indices, {0})}, {-1, 1}, {count, table.dim(1)});
  ScalarType type = table.dtype;
  if (weights)
    rows =
        op.map(type, type, {rows, Operand(weights, {0})}, [](Scalars &s, ValueRange v) { return s.mul(v[0], v[1]); });
  constexpr int64_t kMean = 1, kMax = 2;
  Dims shape{bags, table.dim(1)};
  ScatterKind kind = mode == kMax ? ScatterKind::Max : ScatterKind::Sum;
  Tensor counted = op.full({count}, type, 1);
  if (padding >= 0) { // such an index is not there
    Tensor counts = op.map(
        ScalarType::Bool, ScalarType::Long, {indices},
        [&](Scalars &s, ValueRange v) { return s.compare(Compare::Ne, v[0], s.integer(padding)); }, ScalarType::Bool);
    Operand isThere(counts, {0});
    isThere.isRaw = true;
    rows = op.map(type, type, {rows, isThere}, [&](Scalars &s, ValueRange v) {
      return s.select(v[1], v[0], s.number(identityOf(kind)));
    });
    counted = op.convert(counts, type);
  }
  Tensor start = op.full(shape, type, identityOf(kind));
  Tensor result = op.scatter(kind, rows, start, {Operand(bag, {0})}, {-1, 1});
  Tensor size = op.scatter(ScatterKind::Sum, counted, op.full({bags}, type, 0), {bag}, {-1});
  if (mode != 0)
    result = op.map(type, type, {result, Operand(size, {0})}, [&](Scalars &s, ValueRange v) {
      if (mode == kMean)
        return s.div(v[0], s.max(v[1], s.number(1)));
      return s.select(s.compare(Compare::Gt, v[1], s.number(0)), v[0], s.number(0)); // an empty bag gives zeros
    });
  return op.finish({result, Tensor(), Tensor(), Tensor()});
}

void populateIndexing(ConverterTable &t) {
  t["aten.embedding"] = convertEmbedding;
  t["aten.embedding_bag"] = t["aten._embedding_bag"] = t["aten._embedding_bag_forward_only"] = convertEmbeddingBag;
  t["aten.index_select"] = convertIndexSelect;
  t["aten.gather"] = convertGather;
  t["aten.take_along_dim"] = convertTakeAlongDim;
  t["aten.take"] = convertTake;
  t["aten.index"] = t["aten._unsafe_index"] = convertIndex;
  t["aten.index_put"] = t["aten._unsafe_index_put"] = convertIndexPut;
  t["aten.scatter"] = t["aten.scatter_reduce"] = convertScatterByName;
  t["aten.scatter_add"] = [](Op &op) { return convertScatter(op, {ScatterKind::Sum}); };
  t["aten.index_reduce"] = convertIndexReduce;
  t["aten.put"] = convertPut;
  t["aten.index_add"] = [](Op &op) { return convertIndexWrite(op, ScatterKind::Sum); };
  t["aten.index_copy"] = t["aten.index_fill"] = [](Op &op) { return convertIndexWrite(op, ScatterKind::Set); };
  t["aten.masked_scatter"] = convertMaskedScatter;
  t["aten.isin"] = convertIsin;
}

} // namespace tenon::torch_export
