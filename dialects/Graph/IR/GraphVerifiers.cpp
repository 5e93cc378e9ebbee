//===- GraphVerifiers.cpp - what ODS cannot say; (Cn) refers to the .td ---===//
#include "dialects/Graph/IR/GraphChecks.h"

using namespace mlir;
using namespace tenon::graph;

static std::string str(AffineExpr expr) {
  std::string text;
  llvm::raw_string_ostream(text) << expr;
  return text;
}
static Type elementType(Value value) { return getElementTypeOrSelf(value.getType()); }
static int64_t rankOf(Value value) { return cast<RankedTensorType>(value.getType()).getRank(); }

LogicalResult tenon::graph::checkSizesAreKnown(Operation *op) {
  SmallVector<Type> types(op->getOperandTypes());
  llvm::append_range(types, op->getResultTypes());
  for (Type type : types)
    if (auto tensor = dyn_cast<RankedTensorType>(type))
      if (!tensor.hasStaticShape() && !isa_and_nonnull<DimsAttr>(tensor.getEncoding()))
        return op->emitOpError() << "type " << type << " has a dynamic size without an expression; write #graph.dims";
  return success();
}

static LogicalResult checkSameElementType(Operation *op, Value a, Value b) {
  if (elementType(a) != elementType(b))
    return op->emitOpError() << "element types " << elementType(a) << " and " << elementType(b) << " must be the same";
  return success();
}

LogicalResult tenon::graph::checkDims(Operation *op, Value value, ArrayRef<AffineExpr> want) {
  Dims have = getDims(value.getType());
  if (have.size() != want.size())
    return op->emitOpError() << "result has rank " << have.size() << " but needs " << want.size();
  for (auto [i, h, w] : llvm::enumerate(have, want))
    if (h != normalize(w))
      return op->emitOpError() << "result size " << str(h) << " of dimension " << i << " must be " << str(normalize(w));
  return success();
}

static LogicalResult checkDistinctDims(Operation *op, ArrayRef<int64_t> dims, int64_t rank, bool rising) {
  llvm::SmallDenseSet<int64_t> seen;
  for (auto [i, dim] : llvm::enumerate(dims)) {
    if (dim < 0 || dim >= rank)
      return op->emitOpError() << "dimension " << dim << " is out of range for rank " << rank;
    if (!seen.insert(dim).second)
      return op->emitOpError() << "dims [" << dims << "] names dimension " << dim << " twice";
    if (rising && i > 0 && dims[i - 1] > dim)
      return op->emitOpError() << "dims [" << dims << "] must rise";
  }
  return success();
}

/// Indexing maps from `rank` dimensions to the tensors' ones: each result a dimension or, where `allowZero`, 0.
static LogicalResult checkMaps(Operation *op, ArrayAttr maps, ValueRange tensors, int64_t rank,
                               ArrayRef<AffineExpr> sizes) {
  if (maps.size() != tensors.size())
    return op->emitOpError() << "has " << maps.size() << " indexing maps but " << tensors.size() << " tensors";
  for (auto [i, attr, tensor] : llvm::enumerate(maps, tensors)) {
    AffineMap map = cast<AffineMapAttr>(attr).getValue();
    if (map.getNumDims() != rank || map.getNumSymbols() != 0 || map.getNumResults() != rankOf(tensor))
      return op->emitOpError() << "indexing map " << i << " must go from " << rank << " dimensions to "
                               << rankOf(tensor);
    for (auto [d, expr] : llvm::enumerate(map.getResults())) {
      AffineExpr size = getDim(tensor.getType(), d);
      if (auto dim = dyn_cast<AffineDimExpr>(expr)) {
        if (!sizes.empty() && size != sizes[dim.getPosition()])
          return op->emitOpError() << "indexing map " << i << " reads size " << str(size) << " along dimension "
                                   << dim.getPosition() << " of size " << str(sizes[dim.getPosition()]);
      } else if (expr != getAffineConstantExpr(0, op->getContext()) || asConstant(size) != 1) {
        return op->emitOpError() << "indexing map " << i << " must use dimensions, or 0 for a size of 1";
      }
    }
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Structure
//===----------------------------------------------------------------------===//

LogicalResult WeightOp::verify() {
  auto type = dyn_cast<RankedTensorType>(getType()); // (C1)
  if (!type || !type.hasStaticShape())
    return emitOpError() << "type " << getType() << " must be a static tensor";
  return success();
}

LogicalResult UseWeightOp::verifySymbolUses(SymbolTableCollection &symbols) {
  auto weight = symbols.lookupNearestSymbolFrom<WeightOp>(*this, getWeightAttr()); // (C1)
  if (!weight)
    return emitOpError() << getWeightAttr() << " is not a 'graph.weight'";
  if (weight.getType() != getType())
    return emitOpError() << "type " << getType() << " must be the weight's " << weight.getType();
  return success();
}

LogicalResult VariableOp::verify() {
  auto type = dyn_cast<RankedTensorType>(getType()); // (C1)
  if (!type || !type.hasStaticShape())
    return emitOpError() << "type " << getType() << " must be a static tensor";
  return success();
}

LogicalResult ConstantOp::verify() {
  constexpr int64_t kMaxBytes = 1024;
  auto dense = dyn_cast<DenseElementsAttr>(getValue()); // (C1)
  if (dense && !dense.isSplat() && static_cast<int64_t>(dense.getRawData().size()) > kMaxBytes)
    return emitOpError() << "holds " << dense.getRawData().size() << " bytes but at most " << kMaxBytes
                         << " are allowed; use 'graph.weight'";
  return success();
}

LogicalResult SizeOp::verify() {
  auto type = cast<RankedTensorType>(getType()); // (C1)
  int64_t n = getExprs().getExprs().size();
  if (!type.getElementType().isInteger(64) || type.getRank() > 1 || type.getNumElements() != n)
    return emitOpError() << "of " << n << " expressions must give an i64 tensor of " << n << " elements";
  return success();
}

LogicalResult DefineSizeOp::verify() {
  bool isSymbol = getExpr().getExprs().size() == 1 && isa<AffineSymbolExpr>(getExpr().getExprs()[0]); // (C1)
  if (!isSymbol)
    return emitOpError() << "gives a value to " << getExpr() << " but must to one symbol";
  auto type = getValue().getType();
  if (!type.hasStaticShape() || type.getNumElements() != 1 || !type.getElementType().isInteger(64)) // (C2)
    return emitOpError() << "value is " << type << " but must be one i64";
  return success();
}

LogicalResult SizeValueOp::verify() {
  if (getExpr().getExprs().size() != 1) // (C1)
    return emitOpError("must have one expression");
  return success();
}

//===----------------------------------------------------------------------===//
// Elementwise
//===----------------------------------------------------------------------===//

LogicalResult MapOp::verify() {
  if (failed(checkSizesAreKnown(*this)))
    return failure();
  if (getResults().empty())
    return emitOpError("needs a result");
  Dims sizes = getDims(getResult(0).getType());
  for (Value result : getResults()) // (C3)
    if (failed(checkDims(*this, result, sizes)))
      return failure();
  if (failed(checkMaps(*this, getIndexingMaps(), getInputs(), sizes.size(), sizes))) // (C1) (C2)
    return failure();
  Block *block = getBlock();
  if (block->getNumArguments() != getInputs().size())
    return emitOpError() << "body takes " << block->getNumArguments() << " values but there are "
                         << getInputs().size() << " inputs";
  for (auto [arg, input] : llvm::zip(block->getArguments(), getInputs())) // (C3)
    if (arg.getType() != elementType(input))
      return emitOpError() << "body takes " << arg.getType() << " for an input of " << elementType(input);
  auto yield = cast<YieldOp>(block->getTerminator());
  if (yield.getValues().size() != getResults().size())
    return emitOpError() << "body yields " << yield.getValues().size() << " values but there are "
                         << getResults().size() << " results";
  for (auto [value, result] : llvm::zip(yield.getValues(), getResults()))
    if (value.getType() != elementType(result))
      return emitOpError() << "body yields " << value.getType() << " for a result of " << elementType(result);
  for (Operation &op : *block) { // (C4)
    bool isScalar = isa<IndexOp, SizeValueOp, YieldOp>(op) ||
                    (op.getNumRegions() == 0 &&
                     llvm::is_contained({"arith", "math", "complex"}, op.getName().getDialectNamespace()));
    if (!isScalar)
      return emitOpError() << "body holds '" << op.getName() << "' but only scalar ops of arith, math and complex may be there";
    if (auto index = dyn_cast<IndexOp>(op); index && (index.getDim() < 0 || index.getDim() >= getRank()))
      return index.emitOpError() << "dimension " << index.getDim() << " is out of range for rank " << getRank();
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Layout
//===----------------------------------------------------------------------===//

/// (C1) of graph.permute.
static LogicalResult checkIsPermutation(std::optional<Location> location, ArrayRef<int64_t> order, int64_t rank) {
  if (static_cast<int64_t>(order.size()) != rank)
    return emitOptionalError(location, "'graph.permute' order [", order, "] has ", order.size(),
                             " entries but the input has rank ", rank);
  llvm::SmallDenseSet<int64_t> seen;
  for (int64_t dim : order) {
    if (dim < 0 || dim >= rank)
      return emitOptionalError(location, "'graph.permute' order [", order, "] names dimension ", dim,
                               " but the input has rank ", rank);
    if (!seen.insert(dim).second)
      return emitOptionalError(location, "'graph.permute' order [", order, "] names dimension ", dim, " twice");
  }
  return success();
}

LogicalResult PermuteOp::inferReturnTypes(MLIRContext *, std::optional<Location> location, ValueRange operands,
                                          DictionaryAttr attributes, OpaqueProperties properties, RegionRange regions,
                                          SmallVectorImpl<Type> &types) {
  PermuteOpAdaptor adaptor(operands, attributes, properties, regions);
  auto input = dyn_cast<RankedTensorType>(operands[0].getType());
  if (!input)
    return emitOptionalError(location, "'graph.permute' needs a ranked tensor");
  if (failed(checkIsPermutation(location, adaptor.getOrder(), input.getRank())))
    return failure();
  Dims have = getDims(input), dims;
  for (int64_t dim : adaptor.getOrder())
    dims.push_back(have[dim]);
  types.push_back(makeTensorType(dims, input.getElementType()));
  return success();
}
LogicalResult PermuteOp::verify() { return checkSizesAreKnown(*this); }

LogicalResult ReshapeOp::verify() {
  if (failed(checkSizesAreKnown(*this)) || failed(checkSameElementType(*this, getInput(), getResult())))
    return failure();
  AffineExpr have = numElements(getInput().getType()), want = numElements(getType());
  if (have != want) // (C1)
    return emitOpError() << "input has " << str(have) << " elements but the result " << str(want);
  return success();
}

LogicalResult BroadcastOp::verify() {
  if (failed(checkSizesAreKnown(*this)) || failed(checkSameElementType(*this, getInput(), getResult())) ||
      failed(checkDistinctDims(*this, getDims(), rankOf(getResult()), /*rising=*/true))) // (C1)
    return failure();
  Dims in = graph::getDims(getInput().getType()), out = graph::getDims(getType());
  if (in.size() != getDims().size())
    return emitOpError() << "names " << getDims().size() << " dims but the input has rank " << in.size();
  for (auto [size, dim] : llvm::zip(in, getDims()))
    if (size != out[dim] && asConstant(size) != 1) // (C2)
      return emitOpError() << "size " << str(size) << " cannot repeat to " << str(out[dim]);
  return success();
}

/// (C1) (C2) of graph.slice, which graph.insert_slice shares.
static LogicalResult checkSlice(Operation *op, Type whole, Type part, ArrayRef<AffineExpr> offsets,
                                ArrayRef<int64_t> strides) {
  Dims sizes = getDims(whole), counts = getDims(part);
  if (sizes.size() != counts.size() || offsets.size() != sizes.size() || strides.size() != sizes.size())
    return op->emitOpError() << "needs one offset, stride and size for each of " << sizes.size() << " dimensions";
  for (auto [i, size, count, offset, stride] : llvm::enumerate(sizes, counts, offsets, strides)) {
    if (stride < 1)
      return op->emitOpError() << "stride " << stride << " of dimension " << i << " must be positive";
    std::optional<int64_t> n = asConstant(size), c = asConstant(count), o = asConstant(offset);
    if (o && *o < 0)
      return op->emitOpError() << "offset " << *o << " of dimension " << i << " is negative";
    if (n && c && o && *c > 0 && *o + (*c - 1) * stride >= *n)
      return op->emitOpError() << "dimension " << i << " reaches element " << *o + (*c - 1) * stride << " of " << *n;
  }
  return success();
}

LogicalResult SliceOp::verify() {
  if (failed(checkSizesAreKnown(*this)) || failed(checkSameElementType(*this, getInput(), getResult())))
    return failure();
  return checkSlice(*this, getInput().getType(), getType(), getOffsets().getExprs(), getStrides());
}

LogicalResult InsertSliceOp::verify() {
  if (failed(checkSizesAreKnown(*this)) || failed(checkSameElementType(*this, getSource(), getResult())))
    return failure();
  return checkSlice(*this, getType(), getSource().getType(), getOffsets().getExprs(), getStrides());
}

LogicalResult PadOp::verify() {
  if (failed(checkSizesAreKnown(*this)) || failed(checkSameElementType(*this, getInput(), getResult())))
    return failure();
  Dims in = graph::getDims(getInput().getType()), want;
  ArrayRef<AffineExpr> low = getLow().getExprs(), high = getHigh().getExprs();
  if (low.size() != in.size() || high.size() != in.size()) // (C1)
    return emitOpError() << "needs " << in.size() << " low and high paddings";
  for (auto [l, size, h] : llvm::zip(low, in, high)) {
    if (asConstant(l).value_or(0) < 0 || asConstant(h).value_or(0) < 0)
      return emitOpError("has a negative padding; use 'graph.slice'");
    want.push_back(l + size + h);
  }
  if (getValue().getType() != elementType(getInput())) // (C2)
    return emitOpError() << "value is " << getValue().getType() << " but the elements are " << elementType(getInput());
  return checkDims(*this, getResult(), want);
}

LogicalResult ConcatOp::verify() {
  if (failed(checkSizesAreKnown(*this)))
    return failure();
  Dims want = graph::getDims(getType());
  int64_t dim = getDim();
  if (getInputs().empty() || dim < 0 || dim >= static_cast<int64_t>(want.size()))
    return emitOpError() << "dim " << dim << " is out of range, or there are no inputs";
  AffineExpr total = getAffineConstantExpr(0, getContext());
  for (Value input : getInputs()) { // (C1)
    Dims dims = graph::getDims(input.getType());
    if (dims.size() != want.size() || failed(checkSameElementType(*this, input, getResult())))
      return emitOpError() << "input of type " << input.getType() << " does not fit " << getType();
    for (auto [i, d] : llvm::enumerate(dims))
      if (static_cast<int64_t>(i) != dim && d != want[i])
        return emitOpError() << "input size " << str(d) << " of dimension " << i << " must be " << str(want[i]);
    total = total + dims[dim];
  }
  want[dim] = total;
  return checkDims(*this, getResult(), want);
}

LogicalResult ReverseOp::verify() {
  return failure(failed(checkSizesAreKnown(*this)) ||
                 failed(checkDistinctDims(*this, getDims(), rankOf(getInput()), /*rising=*/false)));
}

LogicalResult AssertDimOp::verify() {
  if (rankOf(getInput()) != rankOf(getResult()))
    return emitOpError("must keep the rank");
  return failure(failed(checkSizesAreKnown(*this)) || failed(checkSameElementType(*this, getInput(), getResult())));
}

//===----------------------------------------------------------------------===//
// Indexing
//===----------------------------------------------------------------------===//

/// (C1) (C2) of graph.gather and graph.scatter: coordinates of `data` from `rank` dimensions and the index tensors.
static LogicalResult checkCoords(Operation *op, Value data, ValueRange indices, ArrayAttr maps, ArrayRef<int64_t> coords,
                                 Value points) {
  if (static_cast<int64_t>(coords.size()) != rankOf(data))
    return op->emitOpError() << "has " << coords.size() << " coords but the data has rank " << rankOf(data);
  for (int64_t coord : coords)
    if (coord >= rankOf(points) || ~coord >= static_cast<int64_t>(indices.size())) // ~coord is -coord - 1
      return op->emitOpError() << "coordinate " << coord << " names no dimension and no index tensor";
  for (Value index : indices)
    if (!elementType(index).isInteger(64) && !elementType(index).isInteger(32))
      return op->emitOpError() << "index tensor is of " << elementType(index) << " but must be i64 or i32";
  return checkMaps(op, maps, indices, rankOf(points), getDims(points.getType()));
}

LogicalResult GatherOp::verify() {
  if (failed(checkSizesAreKnown(*this)) || failed(checkSameElementType(*this, getData(), getResult())))
    return failure();
  if (failed(checkCoords(*this, getData(), getIndices(), getIndexingMaps(), getCoords(), getResult())))
    return failure();
  Dims data = getDims(getData().getType()), points = getDims(getType());
  for (auto [d, coord] : llvm::enumerate(getCoords())) { // (C3)
    if (coord < 0)
      continue;
    std::optional<int64_t> size = asConstant(data[d]), reads = asConstant(points[coord]);
    if (size && reads && *reads > *size)
      return emitOpError() << "reads " << *reads << " elements along dimension " << d << " of size " << *size;
  }
  return success();
}

LogicalResult ScatterOp::verify() {
  if (failed(checkSizesAreKnown(*this)) || failed(checkSameElementType(*this, getUpdates(), getDest())))
    return failure();
  return checkCoords(*this, getDest(), getIndices(), getIndexingMaps(), getCoords(), getUpdates());
}

LogicalResult NonzeroOp::verify() {
  if (failed(checkSizesAreKnown(*this)))
    return failure();
  auto type = cast<RankedTensorType>(getPositions().getType());
  if (!elementType(getInput()).isInteger(1) || !type.getElementType().isInteger(64)) // (C1)
    return emitOpError() << "takes " << elementType(getInput()) << " and gives " << type.getElementType()
                         << " but must take i1 and give i64";
  if (type.getRank() != 2 || !isa<AffineSymbolExpr>(getDim(type, 0)) || // (C2)
      asConstant(getDim(type, 1)) != rankOf(getInput()))
    return emitOpError() << "positions are " << type << " but must be one row of " << rankOf(getInput())
                         << " for each of a symbol's number";
  return success();
}

//===----------------------------------------------------------------------===//
// Reductions
//===----------------------------------------------------------------------===//

static Dims without(ArrayRef<AffineExpr> dims, ArrayRef<int64_t> removed) {
  Dims result;
  for (auto [i, dim] : llvm::enumerate(dims))
    if (!llvm::is_contained(removed, static_cast<int64_t>(i)))
      result.push_back(dim);
  return result;
}

static LogicalResult checkKindFits(Operation *op, ReduceKind kind, Type element) {
  bool isLogical = kind == ReduceKind::Any || kind == ReduceKind::All;
  if (isLogical && !element.isInteger(1))
    return op->emitOpError() << stringifyReduceKind(kind) << " needs i1, not " << element;
  if (kind == ReduceKind::LogSumExp && !isa<FloatType>(element))
    return op->emitOpError() << stringifyReduceKind(kind) << " needs floats, not " << element;
  return success();
}

LogicalResult ReduceOp::verify() {
  if (failed(checkSizesAreKnown(*this)) || failed(checkSameElementType(*this, getInput(), getResult())) || // (C2)
      failed(checkDistinctDims(*this, getDims(), rankOf(getInput()), /*rising=*/true)))                     // (C1)
    return failure();
  if (failed(checkKindFits(*this, getKind(), elementType(getInput()))))
    return failure();
  return checkDims(*this, getResult(), without(graph::getDims(getInput().getType()), getDims()));
}

LogicalResult ArgReduceOp::verify() {
  if (failed(checkSizesAreKnown(*this)))
    return failure();
  if (getKind() != ReduceKind::Max && getKind() != ReduceKind::Min) // (C1)
    return emitOpError() << "kind must be max or min, not " << stringifyReduceKind(getKind());
  if (!elementType(getResult()).isInteger(64))
    return emitOpError("gives i64 positions");
  int64_t dim = getDim();
  if (failed(checkDistinctDims(*this, dim, rankOf(getInput()), true)))
    return failure();
  return checkDims(*this, getResult(), without(graph::getDims(getInput().getType()), dim));
}

LogicalResult ReduceWindowOp::verify() {
  if (failed(checkSizesAreKnown(*this)) || failed(checkSameElementType(*this, getInput(), getResult())))
    return failure();
  size_t rank = rankOf(getInput());
  if (getWindow().size() != rank || getStrides().size() != rank || getLow().size() != rank ||
      getDilations().size() != rank || rankOf(getResult()) != static_cast<int64_t>(rank)) // (C1)
    return emitOpError() << "needs " << rank << " windows, strides, lows and dilations";
  for (auto list : {getWindow(), getStrides(), getDilations()})
    for (int64_t v : list)
      if (v < 1)
        return emitOpError("window, strides and dilations must be positive");
  for (int64_t v : getLow())
    if (v < 0)
      return emitOpError("low must not be negative");
  if (getKind() > ReduceKind::Min) // (C2)
    return emitOpError("kind must be sum, prod, max or min");
  return success();
}

LogicalResult CumulateOp::verify() {
  if (failed(checkSizesAreKnown(*this)) ||
      failed(checkDistinctDims(*this, static_cast<int64_t>(getDim()), rankOf(getInput()), true)) || // (C1)
      failed(checkKindFits(*this, getKind(), elementType(getInput()))))
    return failure();
  if (getBlock().has_value() != static_cast<bool>(getCarries())) // (C2)
    return emitOpError("has only one of a block's size and carries");
  if (!getBlock())
    return success();
  int64_t block = *getBlock();
  if (block < 1)
    return emitOpError() << "block must be positive, not " << block;
  Type element = elementType(getInput()), carried = elementType(getCarries());
  if (carried != element && !((element.isF16() || element.isBF16()) && carried.isF32()))
    return emitOpError() << "carries of " << carried << " do not fit elements of " << element;
  Dims dims = graph::getDims(getInput().getType());
  dims[getDim()] = normalize(dims[getDim()].floorDiv(block));
  if (graph::getDims(getCarries().getType()) != dims)
    return emitOpError("needs a carry for each whole block of each line");
  return success();
}

LogicalResult SortOp::verify() {
  if (failed(checkSizesAreKnown(*this)) ||
      failed(checkDistinctDims(*this, static_cast<int64_t>(getDim()), rankOf(getInput()), true))) // (C1)
    return failure();
  if (!elementType(getIndices()).isInteger(64))
    return emitOpError("indices must be i64");
  return checkDims(*this, getIndices(), graph::getDims(getInput().getType()));
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

LogicalResult ContractOp::verify() {
  if (failed(checkSizesAreKnown(*this)))
    return failure();
  if (getIndexingMaps().size() != 3) // (C1)
    return emitOpError() << "needs 3 indexing maps, has " << getIndexingMaps().size();
  unsigned rank = getMap(0).getNumDims();
  SmallVector<AffineExpr> sizes(rank);
  SmallVector<unsigned> uses(rank, 0);
  Value tensors[] = {getLhs(), getRhs(), getResult()};
  for (auto [i, tensor] : llvm::enumerate(tensors)) {
    AffineMap map = getMap(i);
    if (map.getNumDims() != rank || !map.isProjectedPermutation() || map.getNumResults() != rankOf(tensor))
      return emitOpError() << "indexing map " << i << " must be a projected permutation of " << rank
                           << " dimensions to " << rankOf(tensor);
    for (auto [d, expr] : llvm::enumerate(map.getResults())) {
      unsigned position = cast<AffineDimExpr>(expr).getPosition();
      AffineExpr size = getDim(tensor.getType(), d);
      if (sizes[position] && sizes[position] != size) // (C2)
        return emitOpError() << "iteration dimension " << position << " has sizes " << str(sizes[position]) << " and "
                             << str(size);
      sizes[position] = size;
      ++uses[position];
    }
  }
  for (auto [d, n] : llvm::enumerate(uses))
    if (n < 2)
      return emitOpError() << "iteration dimension " << d << " must occur in at least two operands or the result";
  return success();
}

LogicalResult ConvOp::verify() {
  if (failed(checkSizesAreKnown(*this)))
    return failure();
  int64_t rank = rankOf(getInput()), spatial = rank - 2;
  if (spatial < 1 || rankOf(getFilter()) != rank || rankOf(getResult()) != rank)
    return emitOpError("needs an input, filter and result of one rank, at least 3");
  for (auto list : {getStrides(), getLow(), getHigh(), getDilations(), getInputDilation()})
    if (static_cast<int64_t>(list.size()) != spatial) // (C1)
      return emitOpError() << "needs " << spatial << " strides, lows, highs, dilations and input dilations";
  for (auto list : {getStrides(), getDilations(), getInputDilation()})
    for (int64_t v : list)
      if (v < 1)
        return emitOpError("strides and dilations must be positive");
  Dims in = getDims(getInput().getType()), filter = getDims(getFilter().getType()), want{in[0]};
  std::optional<int64_t> c = asConstant(in[rank - 1]), fc = asConstant(filter[1]), o = asConstant(filter[0]);
  int64_t groups = getGroups();
  if (!c || !fc || !o || groups < 1 || *c != *fc * groups || *o % groups != 0) // (C2)
    return emitOpError() << "channels of input and filter do not fit " << groups << " groups";
  for (int64_t i = 0; i < spatial; ++i) {
    AffineExpr padded = (in[i + 1] - 1) * getInputDilation()[i] + 1 + getLow()[i] + getHigh()[i];
    want.push_back((padded - (filter[i + 2] - 1) * getDilations()[i] - 1).floorDiv(getStrides()[i]) + 1);
  }
  want.push_back(filter[0]);
  return checkDims(*this, getResult(), want);
}

RankedTensorType AttentionOp::getScoreType() {
  Dims q = getDims(getQuery().getType());
  Type element = elementType(getQuery());
  if (element.isF16() || element.isBF16())
    element = Float32Type::get(getContext());
  return makeTensorType({q[0], q[1], q[2], getDim(getKey().getType(), 2)}, element);
}

Value AttentionOp::getYieldedScore() {
  return hasBody() ? getBody().front().getTerminator()->getOperand(0) : Value();
}

Value AttentionOp::getYieldedKeep() {
  if (!hasBody() || getBody().front().getTerminator()->getNumOperands() < 2)
    return {};
  return getBody().front().getTerminator()->getOperand(1);
}

void AttentionOp::build(OpBuilder &builder, OperationState &state, Type result, Value query, Value key, Value value,
                        Value mask, FloatAttr scale, UnitAttr causal, UnitAttr zeroMaskedRows, AffineMapAttr maskMap) {
  build(builder, state, result, query, key, value, mask, ValueRange(), scale, causal, zeroMaskedRows, maskMap);
}

static LogicalResult verifyAttentionBody(AttentionOp op) {
  Block &block = op.getBody().front();
  SmallVector<Type> takes{op.getScoreType()};
  llvm::append_range(takes, op.getCaptures().getTypes());
  if (TypeRange(takes) != TypeRange(block.getArgumentTypes())) // (C3)
    return op.emitOpError() << "has a region that does not take the scores, " << takes[0] << ", and the captures";
  auto yield = dyn_cast<YieldOp>(block.getTerminator());
  SmallVector<Type> wants{takes[0], withElementType(takes[0], IntegerType::get(op.getContext(), 1))};
  if (!yield || yield.getValues().empty() || yield.getValues().size() > 2 ||
      TypeRange(yield.getValues()) != TypeRange(wants).take_front(yield.getValues().size()))
    return op.emitOpError("has a region that does not yield scores and perhaps an i1 tensor of their shape");
  for (Operation &inner : block.without_terminator()) // (C4)
    if (!isa<MapOp, GatherOp, ConstantOp, SizeOp, PermuteOp, ReshapeOp, BroadcastOp, SliceOp, ReverseOp, PadOp, ConcatOp,
             AssertDimOp>(inner))
      return inner.emitOpError("is not allowed in the region of an attention");
  return success();
}

LogicalResult AttentionOp::verify() {
  if (failed(checkSizesAreKnown(*this)))
    return failure();
  for (Value v : {getQuery(), getKey(), getValue(), getResult()})
    if (rankOf(v) != 4) // (C1)
      return emitOpError("works on tensors of rank 4");
  Dims q = getDims(getQuery().getType()), k = getDims(getKey().getType()), v = getDims(getValue().getType());
  std::optional<int64_t> heads = asConstant(q[1]), groups = asConstant(k[1]);
  if (q[0] != k[0] || k[0] != v[0] || k[1] != v[1] || k[2] != v[2] || q[3] != k[3])
    return emitOpError("has query, key and value of sizes that do not fit");
  if (q[1] != k[1] && (!heads || !groups || *groups == 0 || *heads % *groups != 0))
    return emitOpError("needs a number of query heads that is a multiple of the key heads");
  if (getMask()) { // (C2)
    if (!getMaskMap())
      return emitOpError("has a mask but no 'mask_map'");
    if (!elementType(getMask()).isInteger(1) && elementType(getMask()) != elementType(getQuery()))
      return emitOpError() << "has a mask of " << elementType(getMask());
    if (failed(checkMaps(*this, ArrayAttr::get(getContext(), getMaskMapAttr()),
                         getMask(), 4, {q[0], q[1], q[2], k[2]})))
      return failure();
  }
  if (hasBody() && failed(verifyAttentionBody(*this)))
    return failure();
  if (!hasBody() && !getCaptures().empty()) // (C3)
    return emitOpError("has captures but no region");
  return checkDims(*this, getResult(), {q[0], q[1], q[2], v[3]});
}
