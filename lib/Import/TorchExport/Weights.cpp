// Stored tensors as graph.weight (bytes stay in the file) or, when small, as graph.constant.
#include "GraphImporter.h"

using namespace mlir;
using tenon::graph::Dims;

namespace tenon::torch_export {

FlatSymbolRefAttr WeightTable::weight(Location loc, StringRef name, RankedTensorType type, const Payload &payload,
                                      int64_t firstElement) {
  int64_t bytes = type.getNumElements() * bytesOf(payload.dtype);
  int64_t offset = static_cast<int64_t>(payload.fileOffset) + firstElement * bytesOf(payload.dtype);
  std::string key;
  llvm::raw_string_ostream(key) << offset << ' ' << type;
  FlatSymbolRefAttr &known = byContent[key];
  if (known)
    return known;
  OpBuilder b = OpBuilder::atBlockEnd(module.getBody());
  if (Operation *function = module.getBody()->empty() ? nullptr : &module.getBody()->back())
    b.setInsertionPoint(function); // weights stand before the function, in order of use
  auto source = graph::WeightSourceAttr::get(b.getContext(), "file", state.path, offset, bytes, b.getF64FloatAttr(0));
  std::string symbol = names.unique(name);
  graph::WeightOp::create(b, loc, symbol, type, source);
  return known = FlatSymbolRefAttr::get(b.getContext(), symbol);
}

/// Dimensions from the widest stride to the narrowest; none when the view has gaps, overlaps or repeats elements.
static std::optional<SmallVector<int64_t>> storageOrder(const Payload &payload) {
  SmallVector<int64_t> order = upTo(payload.sizes.size());
  llvm::sort(order, [&](int64_t a, int64_t b) {
    return std::pair(-payload.strides[a], a) < std::pair(-payload.strides[b], b);
  });
  int64_t expected = 1;
  for (int64_t d : llvm::reverse(order)) {
    if (payload.sizes[d] == 1)
      continue;
    if (payload.strides[d] != expected)
      return std::nullopt;
    expected *= payload.sizes[d];
  }
  return order;
}

static constexpr int64_t kMaxConstantBytes = 1024;

static bool isSmallConstant(const InputSpec &input, const Payload &payload) {
  if (!payload.isContiguous() || isComplex(payload.dtype) || payload.isParameter)
    return false;
  int64_t bytes = payload.numElements() * bytesOf(payload.dtype);
  return bytes <= kMaxConstantBytes && (input.kind == InputSpec::Kind::TensorConstant || payload.sizes.empty());
}

static DenseElementsAttr readConstant(const Payload &payload, RankedTensorType type) {
  ArrayRef<uint8_t> bytes = payload.contiguousBytes();
  if (payload.dtype != ScalarType::Bool)
    return DenseElementsAttr::getFromRawBuffer(type,
                                               ArrayRef(reinterpret_cast<const char *>(bytes.data()), bytes.size()));
  SmallVector<bool> values;
  for (uint8_t byte : bytes)
    values.push_back(byte != 0);
  return DenseElementsAttr::get(type, values);
}

Tensor WeightTable::use(OpBuilder &b, Location loc, const InputSpec &input) {
  const Payload *payload = state.program.payload(input);
  Type element = payload ? toType(payload->dtype, b.getContext()) : Type();
  if (!element) {
    state.failed = true;
    emitError(loc) << "'" << input.target << "' holds elements of "
                   << (payload ? nameOf(payload->dtype) : StringRef("no type")) << ", which is not supported";
    return {};
  }
  ScalarType dtype = payload->dtype;
  auto type = RankedTensorType::get(payload->sizes, element);
  if (isSmallConstant(input, *payload))
    return {graph::ConstantOp::create(b, loc, type, readConstant(*payload, type)), dtype};
  auto useWhole = [&](RankedTensorType whole, int64_t first) -> Value {
    return graph::UseWeightOp::create(b, loc, whole, weight(loc, input.target, whole, *payload, first));
  };
  if (payload->isContiguous() || payload->numElements() == 0)
    return {useWhole(type, payload->numElements() == 0 ? 0 : payload->storageOffset), dtype};
  if (std::optional<SmallVector<int64_t>> order = storageOrder(*payload)) {
    SmallVector<int64_t> stored, back(order->size());
    for (auto [i, d] : llvm::enumerate(*order)) {
      stored.push_back(payload->sizes[d]);
      back[d] = i;
    }
    Value whole = useWhole(RankedTensorType::get(stored, element), payload->storageOffset);
    return {graph::PermuteOp::create(b, loc, whole, back), dtype};
  }
  // Any other strides: read the flat storage at computed positions, which is folded when weights are frozen.
  int64_t span = 1;
  for (auto [size, stride] : llvm::zip(payload->sizes, payload->strides))
    span += (size - 1) * stride;
  Value flat = useWhole(RankedTensorType::get({span}, element), payload->storageOffset);
  auto positionType = RankedTensorType::get(payload->sizes, b.getI64Type());
  auto positions =
      graph::MapOp::build(b, loc, positionType, {}, {}, [&](OpBuilder &builder, Location where, ValueRange) {
        Scalars s(builder, where, ScalarType::Long);
        Value sum = s.integer(0);
        for (auto [d, stride] : llvm::enumerate(payload->strides)) {
          Value i = graph::IndexOp::create(builder, where, builder.getI64Type(), builder.getI64IntegerAttr(d));
          sum = s.add(sum, s.mul(i, s.integer(stride)));
        }
        return SmallVector<Value>{sum};
      });
  AffineMap map = AffineMap::getMultiDimIdentityMap(payload->sizes.size(), b.getContext());
  return {graph::GatherOp::create(b, loc, type, flat, positions.getResult(0), b.getAffineMapArrayAttr(map),
                                  ArrayRef<int64_t>(-1)),
          dtype};
}

FlatSymbolRefAttr WeightTable::variable(Location loc, const InputSpec &input) {
  const Payload *payload = state.program.payload(input);
  Type element = payload ? toType(payload->dtype, state.context) : Type();
  if (!element || !payload->isContiguous()) {
    state.failed = true;
    emitError(loc) << "buffer '" << input.target << "' changes but is not stored as a plain contiguous tensor";
    return {};
  }
  auto type = RankedTensorType::get(payload->sizes, element);
  FlatSymbolRefAttr init = weight(loc, input.target, type, *payload, payload->storageOffset);
  OpBuilder b = OpBuilder::atBlockEnd(module.getBody());
  b.setInsertionPoint(&module.getBody()->back());
  std::string symbol = names.unique((input.target + ".state").str());
  graph::VariableOp::create(b, loc, symbol, type, init, /*persistent=*/input.persistent);
  return FlatSymbolRefAttr::get(state.context, symbol);
}

} // namespace tenon::torch_export
