// Writing at positions that are data, and reading at several of them: scatters, GatherND, TopK, OneHot, ReverseSequence.
#include "Sampling.h"

using namespace mlir;
using tenon::graph::Dims;
using tenon::graph::ScatterKind;

namespace tenon::onnx_import {

static std::optional<ScatterKind> readReduction(Op &op, int64_t since) {
  std::string how = op.version >= since ? op.text("reduction", StringRef("none")) : "none";
  auto kind = llvm::StringSwitch<std::optional<ScatterKind>>(how)
                  .Case("none", ScatterKind::Set)
                  .Case("add", ScatterKind::Sum)
                  .Case("mul", ScatterKind::Prod)
                  .Case("max", ScatterKind::Max)
                  .Case("min", ScatterKind::Min)
                  .Default(std::nullopt);
  if (!kind)
    (void)op.error("has reduction '" + how + "', which is unknown");
  return kind;
}

/// graph.scatter compares signed numbers and adds numbers: unsigned ones and bools go through a wider type.
static Tensor scatterInto(Op &op, ScatterKind kind, Tensor updates, Tensor dest, ArrayRef<Operand> indices,
                          ArrayRef<int64_t> coords) {
  if (!updates || !dest)
    return {};
  ScalarType type = dest.dtype;
  if (kind == ScatterKind::Set || !(isUnsigned(type) || subByteBits(type) || isSmallFloat(type)))
    return op.scatter(kind, updates, dest, indices, coords);
  if (type == ScalarType::UInt64 && (kind == ScatterKind::Max || kind == ScatterKind::Min))
    return op.unsupportedTensor("with an extreme of uint64");
  ScalarType wide = isSmallFloat(type) ? ScalarType::Float : ScalarType::Long;
  if (type == ScalarType::UInt64)
    return op.scatter(kind, updates, dest, indices, coords);
  return op.convert(op.scatter(kind, op.convert(updates, wide), op.convert(dest, wide), indices, coords), type);
}

static LogicalResult convertScatterElements(Op &op) {
  Tensor data = op.tensor(0), indices = op.tensor(1), updates = op.tensor(2);
  std::optional<ScatterKind> kind = readReduction(op, 16);
  if (op.isBad() || !kind)
    return failure();
  if (data.rank() != indices.rank() || data.rank() != updates.rank() || data.rank() == 0)
    return op.error("has inputs of ranks " + Twine(data.rank()) + ", " + Twine(indices.rank()) + " and " +
                    Twine(updates.rank()));
  int64_t dim = op.dim("axis", data.rank(), 0);
  Tensor at = op.wrapIndices(indices, data.dim(dim));
  SmallVector<int64_t> coords = upTo(data.rank());
  coords[dim] = -1;
  return op.finish(scatterInto(op, *kind, updates, data, {at}, coords));
}

/// The columns of indices [..., q]: one position in each of q dimensions of `data` from `first` on.
static SmallVector<Operand> readColumns(Op &op, Tensor data, Tensor indices, int64_t first, int64_t count) {
  SmallVector<Operand> columns;
  int64_t last = indices.rank() - 1;
  for (int64_t k = 0; k < count; ++k)
    columns.push_back(
        Operand(op.wrapIndices(op.select(indices, last, op.constant(k)), data.dim(first + k)), upTo(last)));
  return columns;
}

static LogicalResult convertScatterNd(Op &op) {
  Tensor data = op.tensor(0), indices = op.tensor(1), updates = op.tensor(2);
  std::optional<ScatterKind> kind = readReduction(op, 16);
  if (op.isBad() || !kind)
    return failure();
  std::optional<int64_t> depth =
      indices.rank() > 0 ? graph::asConstant(indices.dim(indices.rank() - 1)) : std::nullopt;
  if (!depth || *depth > data.rank() || updates.rank() != indices.rank() - 1 + data.rank() - *depth)
    return op.error("has indices of rank " + Twine(indices.rank()) + " and updates of rank " + Twine(updates.rank()) +
                    " for data of rank " + Twine(data.rank()));
  if (*depth == 0)
    return op.unsupported("with indices of no coordinates");
  int64_t outer = indices.rank() - 1;
  SmallVector<int64_t> coords;
  for (int64_t d = 0; d < data.rank(); ++d)
    coords.push_back(d < *depth ? -d - 1 : outer + d - *depth);
  return op.finish(scatterInto(op, *kind, updates, data, readColumns(op, data, indices, 0, *depth), coords));
}

static LogicalResult convertGatherNd(Op &op) {
  Tensor data = op.tensor(0), indices = op.tensor(1);
  int64_t batch = op.integer("batch_dims", 0);
  if (op.isBad())
    return failure();
  std::optional<int64_t> depth =
      indices.rank() > 0 ? graph::asConstant(indices.dim(indices.rank() - 1)) : std::nullopt;
  if (!depth || batch < 0 || batch >= indices.rank() || batch + *depth > data.rank())
    return op.error("has indices that do not fit data of rank " + Twine(data.rank()));
  Dims dims = indices.dims(), own = data.dims();
  dims.pop_back();
  int64_t outer = dims.size();
  dims.append(own.begin() + batch + *depth, own.end());
  SmallVector<int64_t> coords;
  for (int64_t d = 0; d < data.rank(); ++d)
    coords.push_back(d < batch ? d : d < batch + *depth ? -(d - batch) - 1 : outer + d - batch - *depth);
  return op.finish(op.gather(data, readColumns(op, data, indices, batch, *depth), coords, dims));
}

/// Writes a run of entries into a cache, from a position of its own for each batch on.
static LogicalResult convertTensorScatter(Op &op) {
  Tensor cache = op.tensor(0), update = op.tensor(1), begin = op.optionalTensor(2);
  if (op.isBad())
    return failure();
  if (cache.rank() != update.rank() || cache.rank() < 2)
    return op.error("has a cache and an update of ranks " + Twine(cache.rank()) + " and " + Twine(update.rank()));
  int64_t dim = op.dim("axis", cache.rank(), -2);
  std::string mode = op.text("mode", StringRef("linear"));
  if (op.isBad() || dim == 0 || (mode != "linear" && mode != "circular"))
    return op.isBad() ? failure() : op.error("has mode '" + mode + "' or an axis that it does not take");
  SmallVector<Operand> operands;
  if (begin)
    operands.push_back(Operand(begin, {0}));
  Tensor at = op.map(
      ScalarType::Long, ScalarType::Long, operands,
      [&](Scalars &s, ValueRange v) {
        Value place = op.index(s, 1);
        if (!v.empty())
          place = s.add(place, v[0]);
        return mode == "circular" ? s.remainder(place, op.sizeValue(s, cache.dim(dim))) : place;
      },
      ScalarType::Unknown, Dims{update.dim(0), update.dim(dim)});
  SmallVector<int64_t> coords = upTo(cache.rank());
  coords[dim] = -1;
  return op.finish(op.scatter(ScatterKind::Set, update, cache, {Operand(at, {0, dim})}, coords));
}

//===----------------------------------------------------------------------===//
// Order and selection
//===----------------------------------------------------------------------===//

static LogicalResult convertTopK(Op &op) {
  Tensor x = op.tensor(0);
  if (!x)
    return failure();
  if (x.rank() == 0)
    return op.unsupported("of a scalar");
  int64_t dim = op.dim("axis", x.rank(), -1);
  AffineExpr k;
  if (op.version < 10) {
    k = op.constant(op.integer("k"));
  } else if (std::optional<Dims> known = op.sizes(1); known && known->size() == 1) {
    k = (*known)[0];
  } else {
    std::optional<Dims> declared = op.declaredDimsOr(0, "an input with the number of elements");
    if (!declared || static_cast<int64_t>(declared->size()) != x.rank())
      return op.isBad() ? failure() : op.error("is declared with another rank than its input has");
    k = (*declared)[dim];
    claimSize(op, op.tensor(1), k);
  }
  if (op.isBad())
    return failure();
  auto [values, positions] = op.sort(x, dim, op.version < 11 || op.integer("largest", 1) != 0);
  return op.finish({op.slice(values, dim, op.constant(0), k), op.slice(positions, dim, op.constant(0), k)});
}

static LogicalResult convertOneHot(Op &op) {
  Tensor indices = op.tensor(0), values = op.tensor(2);
  if (op.isBad())
    return failure();
  int64_t dim = op.wrapDim(op.integer("axis", -1), indices.rank() + 1);
  AffineExpr depth;
  if (std::optional<double> known = op.number(1)) {
    depth = op.constant(static_cast<int64_t>(*known));
  } else if (std::optional<Dims> size = op.sizes(1); size && size->size() == 1) {
    depth = (*size)[0];
  } else {
    std::optional<Dims> declared = op.declaredDimsOr(0, "an input with the depth");
    if (!declared || static_cast<int64_t>(declared->size()) != indices.rank() + 1)
      return op.isBad() ? failure() : op.error("is declared with another rank than its input has, and one");
    depth = (*declared)[dim];
    claimSize(op, op.tensor(1), depth);
  }
  if (op.isBad() || values.rank() != 1)
    return op.isBad() ? failure() : op.error("has values of rank " + Twine(values.rank()));
  Dims dims = indices.dims();
  SmallVector<int64_t> along;
  for (int64_t d = 0; d < indices.rank(); ++d)
    along.push_back(d < dim ? d : d + 1);
  dims.insert(dims.begin() + dim, depth);
  // Positions may be floats; those below zero count from the end.
  Tensor isHot = op.map(
      ScalarType::Bool, ScalarType::Long, {Operand(op.convert(indices, ScalarType::Long), along)},
      [&](Scalars &s, ValueRange v) {
        Value wrapped = s.select(s.compare(Compare::Lt, v[0], s.integer(0)), s.add(v[0], op.sizeValue(s, depth)), v[0]);
        return s.compare(Compare::Eq, wrapped, op.index(s, dim));
      },
      ScalarType::Bool, dims);
  return op.finish(op.where(isHot, op.select(values, 0, op.constant(1)), op.select(values, 0, op.constant(0))));
}

static LogicalResult convertReverseSequence(Op &op) {
  Tensor x = op.tensor(0), lengths = op.tensor(1);
  if (op.isBad())
    return failure();
  int64_t batch = op.integer("batch_axis", 1), time = op.integer("time_axis", 0);
  if (x.rank() < 2 || batch == time || batch < 0 || batch > 1 || time < 0 || time > 1 || lengths.rank() != 1)
    return op.error("has axes or lengths that do not fit its input");
  Tensor at = op.map(
      ScalarType::Long, ScalarType::Long, {Operand(lengths, {1})},
      [&](Scalars &s, ValueRange v) {
        Value i = op.index(s, 0), back = s.sub(s.sub(v[0], s.integer(1)), i);
        return s.select(s.compare(Compare::Lt, i, v[0]), back, i);
      },
      ScalarType::Unknown, Dims{x.dim(time), x.dim(batch)});
  SmallVector<int64_t> coords = upTo(x.rank());
  coords[time] = -1;
  return op.finish(op.gather(x, {Operand(at, {time, batch})}, coords, x.dims()));
}

void populateScatter(ConverterTable &t) {
  t["Scatter"] = t["ScatterElements"] = convertScatterElements;
  t["ScatterND"] = convertScatterNd;
  t["GatherND"] = convertGatherNd;
  t["TensorScatter"] = convertTensorScatter;
  t["TopK"] = convertTopK;
  t["OneHot"] = convertOneHot;
  t["ReverseSequence"] = convertReverseSequence;
}

} // namespace tenon::onnx_import
