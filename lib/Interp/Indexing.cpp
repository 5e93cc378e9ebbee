//===- Indexing.cpp - gather and scatter ----------------------------------===//
#include "Evaluate.h"

using namespace mlir;

namespace tenon::interp {

namespace {
/// Finds, for points of one shape, the element of `data` that coordinates name.
class Coordinates {
public:
  Coordinates(Frame &frame, ArrayRef<int64_t> dataShape, ValueRange indices, ArrayAttr maps, ArrayRef<int64_t> coords)
      : dataShape(dataShape), coords(coords), dataStrides(rowMajorStrides(dataShape)) {
    for (auto [value, map] : llvm::zip(indices, maps.getAsRange<AffineMapAttr>())) {
      tensors.push_back(&frame.get(value));
      strides.push_back(stridesThroughMap(map.getValue(), tensors.back()->shape));
    }
  }

  /// Offset of the element for point `i`; an error at `op` when a coordinate is out of range.
  FailureOr<int64_t> locate(Operation *op, ArrayRef<int64_t> i) const {
    int64_t offset = 0;
    for (auto [d, coord] : llvm::enumerate(coords)) {
      int64_t at;
      if (coord >= 0) {
        at = i[coord];
      } else {
        const Shape &stride = strides[-coord - 1];
        int64_t from = 0;
        for (auto [s, k] : llvm::zip(stride, i))
          from += s * k;
        at = tensors[-coord - 1]->ints()[from];
      }
      if (at < 0 || at >= dataShape[d])
        return op->emitOpError() << "index " << at << " is out of range for dimension " << d << " of size "
                                 << dataShape[d] << ", at point [" << i << "]";
      offset += at * dataStrides[d];
    }
    return offset;
  }

private:
  ArrayRef<int64_t> dataShape, coords;
  Shape dataStrides;
  SmallVector<const Tensor *> tensors;
  SmallVector<Shape> strides;
};
} // namespace

/// The sizes that an indexing map reads must be there.
static LogicalResult checkIndexShapes(Operation *op, ValueRange indices, ArrayAttr maps, ArrayRef<int64_t> points,
                                      Frame &frame) {
  for (auto [k, value, attr] : llvm::enumerate(indices, maps.getAsRange<AffineMapAttr>()))
    for (auto [d, expr] : llvm::enumerate(attr.getValue().getResults())) {
      int64_t size = frame.get(value).shape[d];
      auto dim = dyn_cast<AffineDimExpr>(expr);
      if (size != (dim ? points[dim.getPosition()] : 1))
        return op->emitOpError() << "index tensor " << k << " has size " << size << " along dimension " << d
                                 << ", which does not fit the shape [" << points << "]";
    }
  return success();
}

static Results evaluateGather(graph::GatherOp op, Frame &frame) {
  const Tensor &data = frame.get(op.getData());
  FailureOr<Tensor> result = frame.make(op, op.getType());
  if (failed(result) || failed(checkIndexShapes(op, op.getIndices(), op.getIndexingMaps(), result->shape, frame)))
    return failure();
  Coordinates coordinates(frame, data.shape, op.getIndices(), op.getIndexingMaps(), op.getCoords());
  bool ok = true;
  result->visitMut([&](auto &to) {
    using T = typename std::decay_t<decltype(to)>::value_type;
    const std::vector<T> &from = data.as<T>();
    int64_t next = 0;
    forEachIndex(result->shape, [&](ArrayRef<int64_t> i) {
      if (!ok)
        return;
      FailureOr<int64_t> at = coordinates.locate(op, i);
      ok = succeeded(at);
      if (ok)
        to[next++] = from[*at];
    });
  });
  if (!ok)
    return failure();
  return SmallVector<Tensor, 2>{*result};
}

template <typename T> static T combine(graph::ScatterKind kind, T old, T update) {
  if (kind == graph::ScatterKind::Set)
    return update;
  if (kind == graph::ScatterKind::Sum) {
    if constexpr (std::is_same_v<T, int64_t>)
      return static_cast<int64_t>(static_cast<uint64_t>(old) + static_cast<uint64_t>(update));
    return old + update;
  }
  if (kind == graph::ScatterKind::Prod) {
    if constexpr (std::is_same_v<T, int64_t>)
      return static_cast<int64_t>(static_cast<uint64_t>(old) * static_cast<uint64_t>(update));
    return old * update;
  }
  bool isMax = kind == graph::ScatterKind::Max;
  if constexpr (std::is_same_v<T, double>)
    return isMax ? maxOf(old, update) : minOf(old, update);
  if constexpr (std::is_same_v<T, int64_t>)
    return isMax ? std::max(old, update) : std::min(old, update);
  return old;
}

static Results evaluateScatter(graph::ScatterOp op, Frame &frame) {
  const Tensor &updates = frame.get(op.getUpdates());
  Tensor result = frame.get(op.getDest()).clone();
  graph::ScatterKind kind = op.getKind();
  if (result.form() == Form::Complex && (kind == graph::ScatterKind::Max || kind == graph::ScatterKind::Min))
    return op.emitOpError("cannot order complex numbers");
  if (failed(checkIndexShapes(op, op.getIndices(), op.getIndexingMaps(), updates.shape, frame)))
    return failure();
  Coordinates coordinates(frame, result.shape, op.getIndices(), op.getIndexingMaps(), op.getCoords());
  bool ok = true;
  result.visitMut([&](auto &to) {
    using T = typename std::decay_t<decltype(to)>::value_type;
    const std::vector<T> &from = updates.as<T>();
    int64_t next = 0;
    forEachIndex(updates.shape, [&](ArrayRef<int64_t> i) {
      if (!ok)
        return;
      FailureOr<int64_t> at = coordinates.locate(op, i);
      ok = succeeded(at);
      if (ok)
        to[*at] = combine<T>(kind, to[*at], from[next++]);
    });
  });
  if (!ok)
    return failure();
  result.roundToElementType();
  return SmallVector<Tensor, 2>{result};
}

static Results evaluateNonzero(graph::NonzeroOp op, Frame &frame) {
  const Tensor &input = frame.get(op.getInput());
  std::vector<int64_t> rows;
  int64_t next = 0, count = 0;
  forEachIndex(input.shape, [&](ArrayRef<int64_t> i) {
    if (input.ints()[next++] == 0)
      return;
    rows.insert(rows.end(), i.begin(), i.end());
    ++count;
  });
  // The size that the result's type names is known from here on; graph.define_size checks it.
  unsigned symbol = cast<AffineSymbolExpr>(graph::getDim(op.getPositions().getType(), 0)).getPosition();
  if (frame.symbols.size() <= symbol)
    frame.symbols.resize(symbol + 1);
  frame.symbols[symbol] = count;
  Type i64 = IntegerType::get(op.getContext(), 64);
  FailureOr<Tensor> positions = frame.make(op, i64, {count, input.rank()});
  if (failed(positions))
    return failure();
  positions->mut<int64_t>() = std::move(rows);
  Tensor number(i64, {});
  number.mut<int64_t>()[0] = count;
  return SmallVector<Tensor, 2>{*positions, number};
}

Results evaluateIndexing(Operation *op, Frame &frame) {
  if (auto nonzero = dyn_cast<graph::NonzeroOp>(op))
    return evaluateNonzero(nonzero, frame);
  if (auto gather = dyn_cast<graph::GatherOp>(op))
    return evaluateGather(gather, frame);
  return evaluateScatter(cast<graph::ScatterOp>(op), frame);
}

} // namespace tenon::interp
