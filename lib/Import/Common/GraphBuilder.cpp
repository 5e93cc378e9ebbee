// Ways to build graph ops from tensors; every one infers its result's type.
#include "GraphBuilder.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

using namespace mlir;
using tenon::graph::Dims;

namespace tenon::frontend {

SmallVector<int64_t> upTo(int64_t count) { return llvm::to_vector(llvm::seq<int64_t>(0, count)); }

ScalarType resultType(ArrayRef<Operand> operands) {
  ScalarType ofDims = ScalarType::Unknown, ofZeroDim = ofDims, ofNumbers = ofDims;
  for (const Operand &operand : operands) {
    if (operand.number || operand.isWrapped) {
      ScalarType kind = operand.dtype();
      kind = isComplex(kind) ? ScalarType::ComplexFloat : isFloating(kind) ? ScalarType::Float : kind;
      ofNumbers = promoteTypes(ofNumbers, kind);
    } else if (operand.tensor) {
      ScalarType &category = operand.tensor.rank() > 0 ? ofDims : ofZeroDim;
      category = promoteTypes(category, operand.tensor.dtype);
    }
  }
  auto combine = [](ScalarType higher, ScalarType lower) {
    if (higher == ScalarType::Unknown || lower == ScalarType::Unknown || isComplex(higher))
      return higher == ScalarType::Unknown ? lower : higher;
    if (isFloating(higher)) {
      if (!isComplex(lower))
        return higher;
      return higher == ScalarType::Double ? ScalarType::ComplexDouble : ScalarType::ComplexFloat;
    }
    if (higher == ScalarType::Bool || isFloating(lower) || isComplex(lower))
      return promoteTypes(higher, lower);
    return higher;
  };
  return combine(combine(ofDims, ofZeroDim), ofNumbers);
}

/// A region in the making belongs to no operation yet.
bool GraphBuilder::isInRegion() const {
  return !isa_and_nonnull<func::FuncOp>(b.getInsertionBlock()->getParentOp());
}

//===----------------------------------------------------------------------===//
// Sizes
//===----------------------------------------------------------------------===//

Dims GraphBuilder::constants(ArrayRef<int64_t> values) const {
  Dims result;
  for (int64_t value : values)
    result.push_back(constant(value));
  return result;
}

static std::string str(AffineExpr expr) {
  std::string text;
  llvm::raw_string_ostream(text) << expr;
  return text;
}

Tensor GraphBuilder::withDims(Tensor x, ArrayRef<AffineExpr> want) {
  if (!x)
    return {};
  graph::Dims have = x.dims();
  if (have.size() != want.size())
    return errorTensor("meets rank " + Twine(have.size()) + " where " + Twine(want.size()) + " is needed");
  if (llvm::equal(have, want))
    return x;
  for (auto [i, h, w] : llvm::enumerate(have, want)) {
    std::optional<int64_t> hv = symbols.hint(h), wv = symbols.hint(w);
    if (hv && wv && *hv != *wv)
      return errorTensor("meets size " + str(h) + " of dimension " + Twine(i) + " where " + str(w) + " is needed");
  }
  auto type = graph::makeTensorType(want, x.type().getElementType());
  if (type == x.type())
    return x;
  return {graph::AssertDimOp::create(b, loc, type, x.value), x.dtype};
}

int64_t GraphBuilder::wrapDim(int64_t dim, int64_t rank) {
  int64_t span = std::max<int64_t>(rank, 1);
  if (dim < -span || dim >= span) {
    (void)error("has dimension " + Twine(dim) + ", which is out of range for rank " + Twine(rank));
    return 0;
  }
  return dim < 0 ? dim + span : dim;
}

std::optional<bool> GraphBuilder::isLessEqual(AffineExpr l, AffineExpr r) const {
  return symbols.isLessEqual(l, r);
}

std::optional<Dims> GraphBuilder::broadcastDims(ArrayRef<Dims> shapes) {
  size_t rank = 0;
  for (const Dims &shape : shapes)
    rank = std::max(rank, shape.size());
  Dims result(rank, constant(1));
  for (const Dims &shape : shapes)
    for (auto [i, size] : llvm::enumerate(shape)) {
      AffineExpr &have = result[rank - shape.size() + i];
      if (size == have || graph::asConstant(size) == 1)
        continue;
      if (graph::asConstant(have) == 1) {
        have = size;
        continue;
      }
      std::optional<int64_t> h = symbols.hint(have), s = symbols.hint(size);
      if (h && s && *h != *s) {
        std::string text;
        llvm::raw_string_ostream(text) << "has operands of sizes " << have << " and " << size
                                       << ", which do not broadcast";
        (void)error(text);
        return std::nullopt;
      }
      if (graph::asConstant(size))
        have = size;
    }
  return result;
}

//===----------------------------------------------------------------------===//
// Elementwise
//===----------------------------------------------------------------------===//

/// The tensors among `operands` with their maps from `dims`.
SmallVector<AffineMap> GraphBuilder::indexMaps(ArrayRef<Operand> operands, ArrayRef<AffineExpr> dims,
                                     SmallVectorImpl<Value> &values) {
  SmallVector<AffineMap> maps;
  for (const Operand &operand : operands) {
    if (!operand.tensor)
      continue;
    Dims want = operand.tensor.dims();
    SmallVector<AffineExpr> results;
    for (auto [k, size] : llvm::enumerate(want)) {
      int64_t d = operand.dims ? (*operand.dims)[k] : static_cast<int64_t>(k + dims.size() - want.size());
      if (d < 0 || d >= static_cast<int64_t>(dims.size())) {
        (void)error("has an operand of too high a rank");
        return {};
      }
      bool isUnit = graph::asConstant(size) == 1 && dims[d] != size;
      results.push_back(isUnit ? constant(0) : getAffineDimExpr(d, context()));
      size = isUnit ? size : dims[d];
    }
    Tensor tensor = withDims(operand.tensor, want);
    if (!tensor)
      return {};
    values.push_back(tensor.value);
    maps.push_back(AffineMap::get(dims.size(), 0, results, context()));
  }
  return maps;
}

Value GraphBuilder::sizeValue(Scalars &s, AffineExpr expr) {
  Value value;
  if (std::optional<int64_t> known = graph::asConstant(expr))
    value = arith::ConstantOp::create(s.b, s.loc, s.b.getI64IntegerAttr(*known));
  else
    value = graph::SizeValueOp::create(s.b, s.loc, s.b.getI64Type(),
                                       graph::DimsAttr::get(context(), {graph::normalize(expr)}));
  return s.convert(value, ScalarType::Long, s.type);
}

Value GraphBuilder::index(Scalars &s, int64_t dim) {
  Value value = graph::IndexOp::create(s.b, s.loc, s.b.getI64Type(), s.b.getI64IntegerAttr(dim));
  return s.convert(value, ScalarType::Long, s.type);
}

static Value materialize(GraphBuilder &op, Scalars &s, const Number &number) {
  if (number.expr)
    return op.sizeValue(s, number.expr);
  if (number.kind == ScalarType::ComplexDouble && s.isComplexNumber()) {
    auto part = cast<ComplexType>(s.mlirType).getElementType();
    return complex::ConstantOp::create(
        s.b, s.loc, s.mlirType,
        s.b.getArrayAttr({s.b.getFloatAttr(part, number.real.real()), s.b.getFloatAttr(part, number.real.imag())}));
  }
  return number.kind == ScalarType::Double ? s.number(number.real.real()) : s.integer(number.integer);
}

/// Whether a number of type `from` would lose its imaginary part. Being true is a question that has an answer.
static bool dropsImaginary(ScalarType from, ScalarType to) {
  return isComplex(from) && !isComplex(to) && to != ScalarType::Bool;
}

/// Whether all code that reads complex numbers in the region is code for complex numbers.
static bool takesComplex(graph::MapOp op) {
  return llvm::all_of(*op.getBlock(), [](Operation &inner) {
    bool readsComplex = llvm::any_of(inner.getOperandTypes(), [](Type type) { return isa<ComplexType>(type); });
    return !readsComplex || isa<complex::ComplexDialect>(inner.getDialect()) || isa<arith::SelectOp, graph::YieldOp>(inner);
  });
}

Tensor GraphBuilder::map(ScalarType result, ScalarType compute, ArrayRef<Operand> operands, Body body, ScalarType gives,
               std::optional<Dims> shape) {
  if (bad || llvm::any_of(operands, [](const Operand &o) { return o.isNull(); }))
    return {};
  if (!toType(result, context()) || !toType(compute, context()))
    return unsupportedTensor("on elements of " + nameOf(toType(result, context()) ? compute : result));
  SmallVector<Dims> shapes;
  for (const Operand &operand : operands)
    if (operand.tensor && !operand.dims)
      shapes.push_back(operand.tensor.dims());
  std::optional<Dims> dims = shape ? shape : broadcastDims(shapes);
  if (!dims)
    return {};
  SmallVector<Value> values;
  SmallVector<AffineMap> maps = indexMaps(operands, *dims, values);
  if (bad)
    return {};
  ScalarType work = computeType(compute);
  gives = gives == ScalarType::Unknown ? work : gives;
  for (const Operand &operand : operands)
    if (operand.tensor && !operand.isRaw && dropsImaginary(operand.tensor.dtype, work))
      return unsupportedTensor("on complex numbers");
  if (dropsImaginary(gives, result))
    return unsupportedTensor("on complex numbers");
  auto type = graph::makeTensorType(*dims, toType(result, context()));
  auto op = graph::MapOp::build(b, loc, type, values, maps,
                                [&](OpBuilder &builder, Location where, ValueRange args) -> SmallVector<Value> {
                                  Scalars s(builder, where, work);
                                  SmallVector<Value> scalars;
                                  unsigned next = 0;
                                  for (const Operand &operand : operands)
                                    if (operand.number)
                                      scalars.push_back(materialize(*this, s, *operand.number));
                                    else if (operand.isRaw)
                                      scalars.push_back(args[next++]);
                                    else
                                      scalars.push_back(s.convert(args[next++], operand.tensor.dtype, work));
                                  Value value = body(s, scalars);
                                  return {s.convert(value, gives, result)};
                                });
  if (!takesComplex(op)) {
    op.erase();
    return unsupportedTensor("on complex numbers");
  }
  return {op.getResult(0), result};
}

Tensor GraphBuilder::generate(ScalarType result, ScalarType compute, ArrayRef<AffineExpr> dims, Body body, ScalarType gives) {
  return map(result, compute, {}, body, gives, Dims(dims));
}

Tensor GraphBuilder::convert(Tensor x, ScalarType to) {
  if (!x || x.dtype == to)
    return x;
  bool isPlain = !isSmallFloat(x.dtype) && !isSmallFloat(to) && !subByteBits(to);
  if (isPlain && toType(x.dtype, context()) == toType(to, context()))
    return {x.value, to}; // int8 and uint8 differ only in what is said about them
  if (dropsImaginary(x.dtype, to))
    return unsupportedTensor("on complex numbers");
  // The region must see the source type: a conversion from a wide integer through float32 would lose bits.
  if (!toType(to, context()))
    return unsupportedTensor("to elements of " + nameOf(to));
  Dims dims = x.dims();
  SmallVector<Value> values;
  SmallVector<AffineMap> maps = indexMaps({x}, dims, values);
  auto type = graph::makeTensorType(dims, toType(to, context()));
  auto op = graph::MapOp::build(b, loc, type, values, maps,
                                [&](OpBuilder &builder, Location where, ValueRange args) -> SmallVector<Value> {
                                  return {Scalars(builder, where, to).convert(args[0], x.dtype, to)};
                                });
  return {op.getResult(0), to};
}

Tensor GraphBuilder::full(ArrayRef<AffineExpr> dims, ScalarType dtype, double value) {
  if (!toType(dtype, context()))
    return unsupportedTensor("on elements of " + nameOf(dtype));
  auto type = graph::makeTensorType(dims, toType(dtype, context()));
  if (!type.hasStaticShape() || isComplex(dtype) || isSmallFloat(dtype))
    return generate(dtype, dtype, dims, [&](Scalars &s, ValueRange) { return s.number(value); });
  Attribute element;
  if (isFloating(dtype))
    element = b.getFloatAttr(type.getElementType(), value);
  else if (dtype == ScalarType::Bool)
    element = b.getBoolAttr(value != 0);
  else
    element = b.getIntegerAttr(
        type.getElementType(),
        APInt(64, static_cast<uint64_t>(static_cast<int64_t>(value))).trunc(type.getElementTypeBitWidth()));
  return {graph::ConstantOp::create(b, loc, type, DenseElementsAttr::get(type, element)), dtype};
}

//===----------------------------------------------------------------------===//
// Layout
//===----------------------------------------------------------------------===//

Tensor GraphBuilder::reshape(Tensor x, ArrayRef<AffineExpr> wanted) {
  if (!x)
    return {};
  Dims dims;
  for (AffineExpr dim : wanted)
    dims.push_back(graph::normalize(dim));
  if (llvm::equal(x.dims(), dims))
    return x;
  AffineExpr have = graph::numElements(x.value.getType()), want = graph::product(dims, context());
  if (have != want) {
    // Equal only by a condition that the exporter relied on: claim it, on the flat tensor.
    auto flat = graph::makeTensorType({have}, x.type().getElementType());
    x = withDims({graph::ReshapeOp::create(b, loc, flat, x.value), x.dtype}, {want});
    if (!x)
      return {};
  }
  return {graph::ReshapeOp::create(b, loc, graph::makeTensorType(dims, x.type().getElementType()), x.value), x.dtype};
}

Tensor GraphBuilder::permute(Tensor x, ArrayRef<int64_t> order) {
  if (!x || llvm::equal(order, llvm::seq<int64_t>(0, order.size())))
    return x;
  return {graph::PermuteOp::create(b, loc, x.value, order), x.dtype};
}

Tensor GraphBuilder::transpose(Tensor x, int64_t i, int64_t j) {
  if (!x || x.rank() < 2)
    return x;
  SmallVector<int64_t> order = upTo(x.rank());
  std::swap(order[i], order[j]);
  return permute(x, order);
}

Tensor GraphBuilder::broadcast(Tensor x, ArrayRef<AffineExpr> dims) {
  if (!x)
    return {};
  Dims want = x.dims();
  if (want.size() > dims.size())
    return errorTensor("broadcasts rank " + Twine(want.size()) + " to rank " + Twine(dims.size()));
  SmallVector<int64_t> places;
  for (auto [i, size] : llvm::enumerate(want)) {
    places.push_back(dims.size() - want.size() + i);
    if (graph::asConstant(size) != 1)
      size = dims[places.back()];
  }
  x = withDims(x, want);
  if (!x || llvm::equal(want, dims))
    return x;
  auto type = graph::makeTensorType(dims, x.type().getElementType());
  return {graph::BroadcastOp::create(b, loc, type, x.value, places), x.dtype};
}

Tensor GraphBuilder::unsqueeze(Tensor x, int64_t dim) {
  if (!x)
    return {};
  Dims dims = x.dims();
  dims.insert(dims.begin() + dim, constant(1));
  return reshape(x, dims);
}

Tensor GraphBuilder::squeeze(Tensor x, ArrayRef<int64_t> which) {
  if (!x)
    return {};
  Dims dims;
  for (auto [i, size] : llvm::enumerate(x.dims()))
    if (!llvm::is_contained(which, static_cast<int64_t>(i)) || graph::asConstant(size) != 1)
      dims.push_back(size);
  return reshape(x, dims);
}

Tensor GraphBuilder::flatten(Tensor x, int64_t first, int64_t last) {
  if (!x || first == last)
    return x;
  if (x.rank() == 0)
    return reshape(x, {constant(1)});
  Dims have = x.dims(), dims(have.begin(), have.begin() + first);
  dims.push_back(graph::product(ArrayRef(have).slice(first, last - first + 1), context()));
  dims.append(have.begin() + last + 1, have.end());
  return reshape(x, dims);
}

Tensor GraphBuilder::slice(Tensor x, int64_t dim, AffineExpr offset, AffineExpr size, int64_t step) {
  if (!x)
    return {};
  Dims dims = x.dims(), offsets(dims.size(), constant(0));
  if (dims[dim] == size && graph::asConstant(offset) == 0 && step == 1)
    return x;
  SmallVector<int64_t> strides(dims.size(), 1);
  dims[dim] = graph::normalize(size);
  offsets[dim] = graph::normalize(offset);
  strides[dim] = step;
  auto type = graph::makeTensorType(dims, x.type().getElementType());
  return {graph::SliceOp::create(b, loc, type, x.value, graph::DimsAttr::get(context(), offsets), strides), x.dtype};
}

Tensor GraphBuilder::select(Tensor x, int64_t dim, AffineExpr index) {
  Tensor one = slice(x, dim, index, constant(1));
  return one ? squeeze(one, {dim}) : one;
}

Tensor GraphBuilder::insertSlice(Tensor source, Tensor dest, int64_t dim, AffineExpr offset, int64_t step) {
  if (!source || !dest)
    return {};
  Dims offsets(dest.rank(), constant(0));
  SmallVector<int64_t> strides(dest.rank(), 1);
  offsets[dim] = graph::normalize(offset);
  strides[dim] = step;
  return {graph::InsertSliceOp::create(b, loc, dest.type(), source.value, dest.value,
                                       graph::DimsAttr::get(context(), offsets), strides),
          dest.dtype};
}

Tensor GraphBuilder::concat(ArrayRef<Tensor> parts, int64_t dim) {
  if (parts.empty() || llvm::any_of(parts, [](const Tensor &t) { return !t; }))
    return {};
  if (parts.size() == 1)
    return parts[0];
  Dims dims = parts[0].dims();
  AffineExpr total = constant(0);
  SmallVector<Value> values;
  for (Tensor part : parts) {
    Dims want = dims;
    if (part.rank() != static_cast<int64_t>(dims.size()))
      return errorTensor("joins tensors of different rank");
    want[dim] = part.dim(dim);
    total = total + want[dim];
    Tensor same = withDims(part, want);
    if (!same)
      return {};
    values.push_back(same.value);
  }
  dims[dim] = graph::normalize(total);
  auto type = graph::makeTensorType(dims, parts[0].type().getElementType());
  return {graph::ConcatOp::create(b, loc, type, values, b.getI64IntegerAttr(dim)), parts[0].dtype};
}

Tensor GraphBuilder::pad(Tensor x, ArrayRef<AffineExpr> low, ArrayRef<AffineExpr> high, double value) {
  if (!x)
    return {};
  Dims dims = x.dims();
  bool isNothing = true;
  for (auto [dim, l, h] : llvm::zip(dims, low, high)) {
    dim = graph::normalize(dim + l + h);
    isNothing &= graph::asConstant(l) == 0 && graph::asConstant(h) == 0;
  }
  if (isNothing)
    return x;
  Type element = x.type().getElementType();
  TypedAttr fill =
      isa<FloatType>(element)   ? TypedAttr(b.getFloatAttr(element, value))
      : element.isInteger(1) ? TypedAttr(b.getBoolAttr(value != 0))
      : isa<IntegerType>(element)
          ? TypedAttr(b.getIntegerAttr(
                element,
                APInt(64, static_cast<uint64_t>(static_cast<int64_t>(value))).trunc(element.getIntOrFloatBitWidth())))
          : TypedAttr();
  if (!fill) { // complex numbers: from parts, one dimension after the other
    for (int64_t d = 0; d < x.rank(); ++d) {
      Tensors parts;
      for (AffineExpr size : {low[d], AffineExpr(), high[d]}) {
        Dims part = x.dims();
        if (size)
          part[d] = size;
        if (!size || graph::asConstant(size) != 0)
          parts.push_back(size ? full(part, x.dtype, value) : x);
      }
      x = concat(parts, d);
      if (!x)
        return {};
    }
    return x;
  }
  return {graph::PadOp::create(b, loc, graph::makeTensorType(dims, element), x.value,
                               graph::DimsAttr::get(context(), low), graph::DimsAttr::get(context(), high), fill),
          x.dtype};
}

Tensor GraphBuilder::reverse(Tensor x, ArrayRef<int64_t> dims) {
  if (!x || dims.empty() || x.rank() == 0)
    return x;
  return {graph::ReverseOp::create(b, loc, x.value.getType(), x.value, dims), x.dtype};
}

//===----------------------------------------------------------------------===//
// Reductions and products
//===----------------------------------------------------------------------===//

Tensor GraphBuilder::reduce(graph::ReduceKind kind, Tensor x, ArrayRef<int64_t> which) {
  if (!x || which.empty() || x.rank() == 0)
    return x;
  Dims dims;
  for (auto [i, size] : llvm::enumerate(x.dims()))
    if (!llvm::is_contained(which, static_cast<int64_t>(i)))
      dims.push_back(size);
  auto type = graph::makeTensorType(dims, x.type().getElementType());
  return {graph::ReduceOp::create(b, loc, type, kind, x.value, which), x.dtype};
}

Tensor GraphBuilder::argReduce(graph::ReduceKind kind, Tensor x, int64_t dim) {
  if (!x)
    return {};
  Dims dims = x.dims();
  dims.erase(dims.begin() + dim);
  return {graph::ArgReduceOp::create(b, loc, graph::makeTensorType(dims, b.getI64Type()),
                                     graph::ReduceKindAttr::get(context(), kind), x.value, b.getI64IntegerAttr(dim)),
          ScalarType::Long};
}

std::pair<Tensor, Tensor> GraphBuilder::sort(Tensor x, int64_t dim, bool descending) {
  if (!x)
    return {};
  if (x.rank() == 0)
    return {x, scalar(ScalarType::Long, 0)};
  // The op compares signed numbers.
  bool flips = x.dtype == ScalarType::UInt64;
  auto flip = [&](Tensor t) {
    return map(t.dtype, t.dtype, {t}, [](Scalars &s, ValueRange v) {
      return s.make<arith::XOrIOp>(v[0], s.integer(std::numeric_limits<int64_t>::min()));
    });
  };
  Tensor wide = flips ? flip(x) : isUnsigned(x.dtype) ? convert(x, ScalarType::Long) : x;
  if (!wide)
    return {};
  auto op = graph::SortOp::create(b, loc, wide.type(), graph::withElementType(wide.type(), b.getI64Type()), wide.value,
                                  b.getI64IntegerAttr(dim), descending ? b.getUnitAttr() : UnitAttr());
  Tensor values{op.getValues(), wide.dtype};
  return {flips ? flip(values) : convert(values, x.dtype), {op.getIndices(), ScalarType::Long}};
}

Tensor GraphBuilder::cumulate(graph::ReduceKind kind, Tensor x, int64_t dim) {
  if (!x || x.rank() == 0)
    return x;
  return {graph::CumulateOp::create(b, loc, kind, x.value, dim), x.dtype};
}

Tensor GraphBuilder::contract(Tensor l, StringRef lSpec, Tensor r, StringRef rSpec, StringRef resultSpec) {
  if (!l || !r)
    return {};
  if (static_cast<size_t>(l.rank()) != lSpec.size() || static_cast<size_t>(r.rank()) != rSpec.size())
    return errorTensor("has operands of ranks " + Twine(l.rank()) + " and " + Twine(r.rank()) + " where " +
                       Twine(lSpec.size()) + " and " + Twine(rSpec.size()) + " are needed");
  // The verifier wants every dimension twice: sum beforehand what only one operand has.
  auto sumOwn = [&](Tensor x, StringRef spec, StringRef other, std::string &kept) {
    SmallVector<int64_t> own;
    for (auto [i, letter] : llvm::enumerate(spec))
      if (other.contains(letter) || resultSpec.contains(letter))
        kept.push_back(letter);
      else
        own.push_back(i);
    return reduce(graph::ReduceKind::Sum, x, own);
  };
  std::string lKept, rKept;
  l = sumOwn(l, lSpec, rSpec, lKept);
  r = sumOwn(r, rSpec, lSpec, rKept);
  std::string letters = resultSpec.str();
  for (char letter : lKept)
    if (letters.find(letter) == std::string::npos)
      letters.push_back(letter);
  llvm::SmallDenseMap<char, AffineExpr> sizes;
  for (auto [x, spec] : {std::pair(&l, &lKept), std::pair(&r, &rKept)}) {
    Dims dims = x->dims();
    for (auto [letter, dim] : llvm::zip(*spec, dims)) {
      auto [it, fresh] = sizes.try_emplace(letter, dim);
      dim = it->second;
    }
    *x = withDims(*x, dims);
    if (!*x)
      return {};
  }
  Dims dims;
  for (char letter : resultSpec)
    dims.push_back(sizes.lookup(letter));
  auto toMap = [&](StringRef spec) {
    SmallVector<AffineExpr> results;
    for (char letter : spec)
      results.push_back(getAffineDimExpr(letters.find(letter), context()));
    return AffineMap::get(letters.size(), 0, results, context());
  };
  auto type = graph::makeTensorType(dims, l.type().getElementType());
  return {graph::ContractOp::create(b, loc, type, l.value, r.value,
                                    b.getAffineMapArrayAttr({toMap(lKept), toMap(rKept), toMap(resultSpec)})),
          l.dtype};
}

//===----------------------------------------------------------------------===//
// Indexing
//===----------------------------------------------------------------------===//

/// Index tensors as i64, unless they are of i32 or i64 already.
static SmallVector<Operand> asIndices(GraphBuilder &builder, ArrayRef<Operand> indices) {
  SmallVector<Operand> result(indices);
  for (Operand &index : result)
    if (index.tensor && index.tensor.dtype != ScalarType::Int && index.tensor.dtype != ScalarType::Long)
      index.tensor = builder.convert(index.tensor, ScalarType::Long);
  return result;
}

Tensor GraphBuilder::gather(Tensor data, ArrayRef<Operand> indices, ArrayRef<int64_t> coords, ArrayRef<AffineExpr> dims) {
  if (!data || bad)
    return {};
  SmallVector<Value> values;
  SmallVector<AffineMap> maps = indexMaps(asIndices(*this, indices), dims, values);
  if (bad)
    return {};
  auto type = graph::makeTensorType(dims, data.type().getElementType());
  return {graph::GatherOp::create(b, loc, type, data.value, values, b.getAffineMapArrayAttr(maps), coords), data.dtype};
}

Tensor GraphBuilder::scatter(graph::ScatterKind kind, Tensor updates, Tensor dest, ArrayRef<Operand> indices,
                   ArrayRef<int64_t> coords) {
  if (!updates || !dest || bad)
    return {};
  // Truth values combine as 0 and 1: a sum is true where one of its terms is.
  if (dest.dtype == ScalarType::Bool && kind != graph::ScatterKind::Set) {
    kind = kind == graph::ScatterKind::Sum ? graph::ScatterKind::Max : kind;
    Tensor result = scatter(kind, convert(updates, ScalarType::Byte), convert(dest, ScalarType::Byte), indices, coords);
    return convert(result, ScalarType::Bool);
  }
  SmallVector<Value> values;
  SmallVector<AffineMap> maps = indexMaps(asIndices(*this, indices), updates.dims(), values);
  if (bad)
    return {};
  return {graph::ScatterOp::create(b, loc, dest.type(), updates.value, dest.value, values,
                                   b.getAffineMapArrayAttr(maps), coords, kind),
          dest.dtype};
}

std::string GraphBuilder::freeSymbol(StringRef name) const {
  std::string free = name.str();
  for (unsigned i = 0; free.empty() || symbols.isDeclared(free); ++i)
    free = (name.empty() ? "found" : name.str() + ".") + std::to_string(i);
  return free;
}

AffineExpr GraphBuilder::defineSize(Tensor value, int64_t min, int64_t max, AffineExpr bound, StringRef name) {
  if (!value || bad)
    return {};
  unsigned position = symbols.declareFound(freeSymbol(name), min, max, bound);
  AffineExpr expr = getAffineSymbolExpr(position, context());
  graph::DefineSizeOp::create(b, loc, value.value, graph::DimsAttr::get(context(), {expr}));
  return expr;
}

Tensor GraphBuilder::nonzero(Tensor mask, StringRef name) {
  if (!mask || bad)
    return {};
  // The largest size comes from the bound, the smallest is none: what an exporter assumes is not checked here.
  AffineExpr bound = graph::numElements(mask.value.getType());
  unsigned position = symbols.declareFound(freeSymbol(name), 0, SizeRanges::kMaxSize, bound);
  AffineExpr count = getAffineSymbolExpr(position, context());
  auto type = graph::makeTensorType({count, constant(mask.rank())}, b.getI64Type());
  auto found = graph::NonzeroOp::create(b, loc, type, RankedTensorType::get({}, b.getI64Type()), mask.value);
  graph::DefineSizeOp::create(b, loc, found.getCount(), graph::DimsAttr::get(context(), {count}));
  return {found.getPositions(), ScalarType::Long};
}

//===----------------------------------------------------------------------===//
// Loops
//===----------------------------------------------------------------------===//

Tensors GraphBuilder::scan(ArrayRef<Tensor> carry, ArrayRef<Tensor> xs, ArrayRef<Tensor> captures, ScanStep step,
                           bool isReverse) {
  auto isNull = [](const Tensor &t) { return !t; };
  if (bad || xs.empty() || llvm::any_of(carry, isNull) || llvm::any_of(xs, isNull) || llvm::any_of(captures, isNull))
    return {};
  auto valuesOf = [](ArrayRef<Tensor> tensors) {
    SmallVector<Value> values;
    for (const Tensor &t : tensors)
      values.push_back(t.value);
    return values;
  };
  // The body is built first, since it decides the types of the results.
  auto body = std::make_unique<Region>();
  Block *block = &body->emplaceBlock();
  auto argument = [&](const Tensor &of, Type type) { return Tensor{block->addArgument(type, loc), of.dtype}; };
  Tensors state, now, outside, next;
  for (const Tensor &t : carry)
    state.push_back(argument(t, t.type()));
  for (const Tensor &t : xs)
    now.push_back(argument(t, graph::makeTensorType(ArrayRef(t.dims()).drop_front(), t.type().getElementType())));
  for (const Tensor &t : captures)
    outside.push_back(argument(t, t.type()));
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(block);
    next = step(state, now, outside);
    if (next.size() < carry.size() || llvm::any_of(next, isNull) || bad)
      return {};
    graph::YieldOp::create(b, loc, valuesOf(next));
  }
  SmallVector<Type> types;
  for (auto [i, t] : llvm::enumerate(next)) {
    Dims dims = t.dims();
    if (i >= carry.size())
      dims.insert(dims.begin(), xs[0].dim(0));
    types.push_back(i < carry.size() ? Type(carry[i].type()) : graph::makeTensorType(dims, t.type().getElementType()));
  }
  auto op = graph::ScanOp::create(b, loc, types, valuesOf(carry), valuesOf(xs), valuesOf(captures),
                                  isReverse ? b.getUnitAttr() : UnitAttr());
  op.getBody().takeBody(*body);
  Tensors results;
  for (auto [t, value] : llvm::zip(next, op.getResults()))
    results.push_back({value, t.dtype});
  return results;
}

/// Whether a map gives positions that count from 0, such as an arange, or comes from bools.
static bool isNeverNegative(Value value) {
  if (auto op = value.getDefiningOp<graph::ArgReduceOp>())
    return true;
  if (auto op = value.getDefiningOp<graph::SortOp>())
    return value == op.getIndices();
  if (isa_and_nonnull<graph::ReshapeOp, graph::PermuteOp, graph::BroadcastOp, graph::SliceOp, graph::AssertDimOp>(
          value.getDefiningOp()))
    return isNeverNegative(value.getDefiningOp()->getOperand(0));
  if (auto constant = value.getDefiningOp<graph::ConstantOp>())
    if (auto dense = dyn_cast<DenseIntElementsAttr>(constant.getValue()))
      return llvm::none_of(dense.getValues<APInt>(), [](const APInt &v) { return v.isNegative(); });
  auto map = value.getDefiningOp<graph::MapOp>();
  if (!map || map.getNumResults() != 1)
    return false;
  Value yielded = map.getBlock()->getTerminator()->getOperand(0);
  while (auto narrowed = yielded.getDefiningOp<arith::TruncIOp>()) // positions fit into the type they are given
    yielded = narrowed.getIn();
  return isa_and_nonnull<graph::IndexOp, arith::ExtUIOp>(yielded.getDefiningOp());
}

Tensor GraphBuilder::wrapIndices(Tensor indices, AffineExpr size) {
  if (!indices)
    return {};
  if (isNeverNegative(indices.value) && (indices.dtype == ScalarType::Long || indices.dtype == ScalarType::Int))
    return indices;
  if (!isIntegral(indices.dtype))
    return unsupportedTensor("with an index of " + nameOf(indices.dtype));
  if (isUnsigned(indices.dtype))
    return convert(indices, ScalarType::Long);
  return map(ScalarType::Long, ScalarType::Long, {indices}, [&](Scalars &s, ValueRange x) {
    return s.select(s.compare(Compare::Lt, x[0], s.integer(0)), s.add(x[0], sizeValue(s, size)), x[0]);
  });
}

} // namespace tenon::frontend
