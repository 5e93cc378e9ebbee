#include "StridedMatrix.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::device;
using namespace tenon::graph;

/// Neighbouring dimensions that are one: rows that follow each other without a gap.
static SmallVector<StridedMatrix::Extent> join(ArrayRef<StridedMatrix::Extent> extents) {
  SmallVector<StridedMatrix::Extent> joined;
  for (const StridedMatrix::Extent &extent : llvm::reverse(extents)) {
    if (asConstant(extent.size) == 1)
      continue;
    if (!joined.empty() && normalize(joined.back().size * joined.back().stride) == extent.stride)
      joined.back().size = normalize(joined.back().size * extent.size);
    else
      joined.push_back(extent);
  }
  return {joined.rbegin(), joined.rend()};
}

std::optional<StridedMatrix> StridedMatrix::find(Emitter &e, Value operand, AffineMap map, ArrayRef<AffineExpr> sizes,
                                                 ArrayRef<unsigned> batch, ArrayRef<unsigned> lines, ArrayRef<unsigned> depth) {
  MLIRContext *context = map.getContext();
  AffineExpr zero = getAffineConstantExpr(0, context), one = getAffineConstantExpr(1, context);
  Evaluator ev(e, 1);
  Point dims;
  for (AffineExpr size : sizes)
    dims.push_back(ev.bind({}, size));
  auto place = ev.placeOf(operand, applyMap(map, dims));
  if (!place)
    return std::nullopt;
  Point origin(dims.size(), zero);
  auto addressAt = [&](const Point &point) { return normalize(place->second.replaceDimsAndSymbols(point, {})); };
  AffineExpr first = addressAt(origin), left = place->second - first;
  SmallVector<AffineExpr> strides;
  for (auto [i, dim] : llvm::enumerate(dims)) {
    Point next = origin;
    next[i] = one;
    strides.push_back(normalize(addressAt(next) - first));
    left = left - dim * strides.back();
  }
  std::optional<int64_t> offset = asConstant(first);
  if (!offset || normalize(left) != zero)
    return std::nullopt;
  auto extentsOf = [&](ArrayRef<unsigned> which) {
    SmallVector<Extent> extents;
    for (unsigned dim : which)
      extents.push_back({sizes[dim], strides[dim]});
    return join(extents);
  };
  SmallVector<Extent> outer = extentsOf(batch), across = extentsOf(lines), along = extentsOf(depth);
  if (across.size() != 1 || along.size() != 1)
    return std::nullopt;
  return StridedMatrix{place->first, *offset, outer, across[0], along[0]};
}

bool StridedMatrix::isAligned(int64_t elements) const {
  auto isMultiple = [&](AffineExpr stride) { return stride.getLargestKnownDivisor() % elements == 0; };
  return offset % elements == 0 && llvm::all_of(batch, [&](const Extent &extent) { return isMultiple(extent.stride); }) &&
         (isAlongDepth() || isMultiple(depth.stride)) && (isAlongLines() || isMultiple(lines.stride));
}
