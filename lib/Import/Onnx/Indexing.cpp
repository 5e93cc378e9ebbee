// Reading elements at positions that are data.
#include "Op.h"

using namespace mlir;
using tenon::graph::Dims;

namespace tenon::onnx_import {

static LogicalResult convertGather(Op &op) {
  Tensor data = op.tensor(0), indices = op.tensor(1);
  if (op.isBad())
    return failure();
  return op.finish(op.take(data, indices, op.dim("axis", data.rank(), 0)));
}

static LogicalResult convertGatherElements(Op &op) {
  Tensor data = op.tensor(0), indices = op.tensor(1);
  if (op.isBad())
    return failure();
  if (data.rank() != indices.rank())
    return op.error("has data and indices of different rank");
  int64_t dim = op.dim("axis", data.rank(), 0);
  Tensor at = op.wrapIndices(indices, data.dim(dim));
  if (!at)
    return failure();
  SmallVector<int64_t> coords = upTo(data.rank());
  coords[dim] = -1;
  return op.finish(op.gather(data, {Operand(at, upTo(data.rank()))}, coords, at.dims()));
}

void populateIndexing(ConverterTable &t) {
  t["Gather"] = convertGather;
  t["GatherElements"] = convertGatherElements;
}

} // namespace tenon::onnx_import
