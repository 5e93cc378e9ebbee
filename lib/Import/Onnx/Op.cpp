// Inputs, attributes, results and errors of one operator.
#include "Importer.h"

using namespace mlir;
using tenon::graph::Dims;

namespace tenon::onnx_import {

Op::Op(Importer &importer, Scope &scope, const onnx::NodeProto &node, int64_t version, OpBuilder &builder, Location loc)
    : GraphBuilder(importer.symbols, builder, loc), importer(importer), scope(scope), node(node), version(version) {}

LogicalResult Op::error(const Twine &text) {
  if (!bad)
    emitError(loc) << "'" << node.op_type() << "' " << text;
  bad = true;
  importer.failed = true;
  return failure();
}

LogicalResult Op::unsupported(const Twine &reason, const Twine &wayOut) {
  if (!bad)
    importer.addUnsupported(node, reason, wayOut);
  bad = true;
  return failure();
}

//===----------------------------------------------------------------------===//
// Inputs
//===----------------------------------------------------------------------===//

bool Op::has(unsigned i) const {
  if (i >= numInputs() || node.input(i).empty())
    return false;
  const Datum *datum = scope.find(node.input(i));
  return !datum || !datum->isNothing;
}

const Datum *Op::datum(unsigned i) {
  if (i >= numInputs() || node.input(i).empty()) {
    (void)error("needs an input " + Twine(i));
    return nullptr;
  }
  const Datum *datum = scope.find(node.input(i));
  if (!datum)
    (void)error("reads '" + node.input(i) + "', which nothing before it gives");
  return datum;
}

Tensor Op::materialize(const Datum &datum) {
  if (datum.tensor)
    return datum.tensor;
  if (datum.known && datum.known->dtype == ScalarType::Unknown)
    return unsupportedTensor("on strings");
  if (datum.stored)
    return importer.stored(*datum.stored, loc);
  if (datum.known)
    return knownTensor(*datum.known);
  if (datum.sequence)
    return unsupportedTensor("on a sequence where a tensor is expected");
  return unsupportedTensor("on an optional without a value");
}

Tensor Op::importTensor(const onnx::TensorProto &tensor) {
  Tensor result = importer.stored(tensor, loc);
  bad |= !result;
  return result;
}

Tensor Op::tensor(unsigned i) {
  const Datum *value = datum(i);
  if (!value)
    return {};
  Tensor result = materialize(*value);
  if (!result)
    bad = true;
  return result;
}

Tensors Op::tensors(unsigned first) {
  Tensors result;
  for (unsigned i = first; i < numInputs(); ++i)
    result.push_back(tensor(i));
  return bad ? Tensors() : result;
}

KnownRef Op::known(unsigned i) {
  if (!has(i))
    return nullptr;
  const Datum *value = scope.find(node.input(i));
  return value ? known(*value) : nullptr;
}

KnownRef Op::known(const Datum &value) {
  if (value.known || value.stored)
    return value.known ? value.known : importer.knownOf(*value.stored);
  return value.tensor ? importer.evaluate(value.tensor) : nullptr;
}

std::optional<Dims> Op::sizes(unsigned i) {
  KnownRef value = known(i);
  if (!value || !value->isInteger())
    return std::nullopt;
  return Dims(value->ints.begin(), value->ints.end());
}

std::optional<SmallVector<int64_t>> Op::integers(unsigned i) {
  std::optional<Dims> values = sizes(i);
  if (!values)
    return std::nullopt;
  SmallVector<int64_t> result;
  for (AffineExpr value : *values) {
    std::optional<int64_t> constant = graph::asConstant(value);
    if (!constant)
      return std::nullopt;
    result.push_back(*constant);
  }
  return result;
}

std::optional<std::vector<double>> Op::numbers(unsigned i) {
  if (KnownRef value = known(i)) {
    if (!value->isInteger())
      return value->dtype == ScalarType::Unknown ? std::nullopt : std::optional(value->reals);
    std::vector<double> result;
    for (AffineExpr expr : value->ints) {
      std::optional<int64_t> constant = graph::asConstant(expr);
      if (!constant)
        return std::nullopt;
      result.push_back(static_cast<double>(*constant));
    }
    return result;
  }
  return std::nullopt;
}

std::optional<double> Op::number(unsigned i) {
  std::optional<std::vector<double>> values = numbers(i);
  return values && values->size() == 1 ? std::optional<double>((*values)[0]) : std::nullopt;
}

//===----------------------------------------------------------------------===//
// Attributes
//===----------------------------------------------------------------------===//

const onnx::AttributeProto *Op::attribute(StringRef name) const {
  for (const onnx::AttributeProto &attribute : node.attribute())
    if (attribute.name() == name) {
      if (attribute.ref_attr_name().empty())
        return &attribute;
      for (const Scope *s = &scope; s; s = s->outer)
        if (auto it = s->attributes.find(attribute.ref_attr_name()); it != s->attributes.end())
          return it->second;
      return nullptr;
    }
  return nullptr;
}

int64_t Op::integer(StringRef name, std::optional<int64_t> byDefault) {
  const onnx::AttributeProto *found = attribute(name);
  if (!found && !byDefault)
    (void)error("needs an attribute '" + name + "'");
  return found ? found->i() : byDefault.value_or(0);
}

double Op::real(StringRef name, std::optional<double> byDefault) {
  const onnx::AttributeProto *found = attribute(name);
  if (!found && !byDefault)
    (void)error("needs an attribute '" + name + "'");
  return found ? found->f() : byDefault.value_or(0);
}

std::string Op::text(StringRef name, std::optional<StringRef> byDefault) {
  const onnx::AttributeProto *found = attribute(name);
  if (!found && !byDefault)
    (void)error("needs an attribute '" + name + "'");
  return found ? found->s() : byDefault.value_or("").str();
}

SmallVector<int64_t> Op::integerList(StringRef name) {
  const onnx::AttributeProto *found = attribute(name);
  return found ? SmallVector<int64_t>(found->ints().begin(), found->ints().end()) : SmallVector<int64_t>();
}

std::vector<double> Op::realList(StringRef name) {
  const onnx::AttributeProto *found = attribute(name);
  return found ? std::vector<double>(found->floats().begin(), found->floats().end()) : std::vector<double>();
}

std::vector<std::string> Op::textList(StringRef name) {
  const onnx::AttributeProto *found = attribute(name);
  return found ? std::vector<std::string>(found->strings().begin(), found->strings().end())
               : std::vector<std::string>();
}

SmallVector<int64_t> Op::integersOf(StringRef name, size_t count, int64_t byDefault) {
  SmallVector<int64_t> result = integerList(name);
  if (!hasAttribute(name) || result.empty())
    result.assign(count, byDefault);
  if (result.size() != count) {
    (void)error("attribute '" + name + "' has " + Twine(result.size()) + " entries but needs " + Twine(count));
    result.assign(count, byDefault);
  }
  return result;
}

int64_t Op::dim(StringRef name, int64_t rank, std::optional<int64_t> byDefault) {
  return wrapDim(integer(name, byDefault), rank);
}

ScalarType Op::dtype(StringRef name, ScalarType byDefault) {
  const onnx::AttributeProto *found = attribute(name);
  if (!found || found->i() == onnx::TensorProto::UNDEFINED)
    return byDefault;
  ScalarType type = toScalarType(static_cast<int32_t>(found->i()));
  if (type == ScalarType::Unknown)
    (void)unsupported("to elements of " + nameOfDataType(static_cast<int32_t>(found->i())));
  return type;
}

//===----------------------------------------------------------------------===//
// Results
//===----------------------------------------------------------------------===//

bool Op::isUsed(unsigned i) const { return i < numOutputs() && !node.output(i).empty(); }

std::optional<Dims> Op::declaredDims(unsigned i) const {
  if (!isUsed(i))
    return std::nullopt;
  const onnx::TypeProto *type = scope.type(node.output(i));
  return type ? importer.dimsOf(*type) : std::nullopt;
}

std::optional<Dims> Op::declaredDimsOr(unsigned i, const Twine &what) {
  std::optional<Dims> dims = declaredDims(i);
  if (dims && !llvm::is_contained(*dims, AffineExpr()))
    return dims;
  (void)unsupported(what + " decides the size of the result when the model runs",
                    "make it a constant, or declare the result's sizes");
  return std::nullopt;
}

ScalarType Op::declaredType(unsigned i) const {
  const onnx::TypeProto *type = isUsed(i) ? scope.type(node.output(i)) : nullptr;
  return type ? toScalarType(type->tensor_type().elem_type()) : ScalarType::Unknown;
}

LogicalResult Op::finish(ArrayRef<Tensor> results) {
  SmallVector<Datum> all;
  for (const Tensor &tensor : results)
    all.push_back(Datum{.tensor = tensor});
  return finish(all);
}

LogicalResult Op::finish(ArrayRef<Datum> results) {
  if (bad)
    return failure();
  for (unsigned i = 0; i < numOutputs(); ++i) {
    if (!isUsed(i))
      continue;
    if (i >= results.size())
      return unsupported("result " + Twine(i) + " is used");
    if (!results[i])
      return results.size() == 1 || i == 0 ? error("could not be converted")
                                           : unsupported("result " + Twine(i) + " is used");
    scope.values[node.output(i)] = results[i];
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Constants
//===----------------------------------------------------------------------===//

Tensor Op::constantTensor(ArrayRef<int64_t> shape, ScalarType dtype, ArrayRef<double> values) {
  TensorData data;
  data.dims.assign(shape.begin(), shape.end());
  data.dtype = dtype;
  ScalarType wide = dtype == ScalarType::Double ? dtype : ScalarType::Float;
  for (double value : values) {
    uint8_t raw[8] = {};
    float narrow = static_cast<float>(value);
    if (wide == ScalarType::Double)
      memcpy(raw, &value, 8);
    else
      memcpy(raw, &narrow, 4);
    data.owned.insert(data.owned.end(), raw, raw + bytesOf(wide));
  }
  data.dtype = wide;
  data.bytes = data.owned;
  return convert(importer.constant(data, node.op_type()), dtype);
}

Tensor Op::constantTensor(ArrayRef<int64_t> shape, ArrayRef<int64_t> values) {
  TensorData data;
  data.dims.assign(shape.begin(), shape.end());
  data.dtype = ScalarType::Long;
  for (int64_t value : values) {
    uint8_t raw[8];
    memcpy(raw, &value, 8);
    data.owned.insert(data.owned.end(), raw, raw + 8);
  }
  data.bytes = data.owned;
  return importer.constant(data, node.op_type());
}

Tensor Op::knownTensor(const Known &known) {
  if (!known.isInteger())
    return constantTensor(known.shape, known.dtype, known.reals);
  bool isConstant = llvm::all_of(known.ints, [](AffineExpr e) { return graph::asConstant(e).has_value(); });
  if (isConstant) {
    SmallVector<int64_t> values;
    for (AffineExpr e : known.ints)
      values.push_back(*graph::asConstant(e));
    Tensor wide = constantTensor(known.shape, values);
    return convert(wide, known.dtype);
  }
  bool isScalar = known.shape.empty();
  auto type = isScalar ? RankedTensorType::get({}, b.getI64Type())
                       : RankedTensorType::get({static_cast<int64_t>(known.ints.size())}, b.getI64Type());
  Tensor sizes{graph::SizeOp::create(b, loc, type, graph::DimsAttr::get(context(), known.ints)), ScalarType::Long};
  if (known.shape.size() > 1)
    sizes = reshape(sizes, constants(known.shape));
  return convert(sizes, known.dtype);
}

//===----------------------------------------------------------------------===//
// Builders
//===----------------------------------------------------------------------===//

Tensor Op::unary(Tensor x, Unary body) {
  if (!x)
    return {};
  return map(x.dtype, x.dtype, {x}, [&](Scalars &s, ValueRange v) { return body(s, v[0]); });
}

Tensor Op::binary(Tensor l, Tensor r, Binary body) {
  if (!l || !r)
    return {};
  return map(l.dtype, l.dtype, {l, r}, [&](Scalars &s, ValueRange v) { return body(s, v[0], v[1]); });
}

Tensor Op::add(Tensor l, Tensor r) {
  return binary(l, r, [](Scalars &s, Value x, Value y) { return s.add(x, y); });
}
Tensor Op::sub(Tensor l, Tensor r) {
  return binary(l, r, [](Scalars &s, Value x, Value y) { return s.sub(x, y); });
}
Tensor Op::mul(Tensor l, Tensor r) {
  return binary(l, r, [](Scalars &s, Value x, Value y) { return s.mul(x, y); });
}
Tensor Op::div(Tensor l, Tensor r) {
  return binary(l, r, [](Scalars &s, Value x, Value y) { return s.div(x, y); });
}
Tensor Op::scale(Tensor x, double factor) {
  return factor == 1 ? x : unary(x, [&](Scalars &s, Value v) { return s.mul(v, s.number(factor)); });
}

Tensor Op::compare(Compare how, Tensor l, Tensor r) {
  if (!l || !r)
    return {};
  return map(
      ScalarType::Bool, l.dtype, {l, r}, [&](Scalars &s, ValueRange v) { return s.compare(how, v[0], v[1]); },
      ScalarType::Bool);
}

Tensor Op::where(Tensor condition, Tensor yes, Tensor no) {
  if (!condition || !yes || !no)
    return {};
  // Small floats and the like are chosen as the bytes that they are.
  auto plain = [](Tensor t) {
    if (isSmallFloat(t.dtype) || subByteBits(t.dtype))
      t.dtype = ScalarType::Char;
    return t;
  };
  ScalarType type = yes.dtype;
  yes = plain(yes), no = plain(no);
  ScalarType work = yes.dtype;
  Tensor result = map(work, work, {Operand::raw(condition), yes, no},
                      [](Scalars &s, ValueRange v) { return s.select(v[0], v[1], v[2]); });
  result.dtype = type;
  return result;
}

Tensor Op::reduceDims(graph::ReduceKind kind, Tensor x, ArrayRef<int64_t> dims, bool keeps) {
  if (!x)
    return {};
  Dims kept = x.dims();
  for (int64_t d : dims)
    kept[d] = constant(1);
  Tensor result = reduce(kind, x, dims);
  return keeps ? reshape(result, kept) : result;
}

Value Op::count(Scalars &s, Tensor x, ArrayRef<int64_t> dims) {
  AffineExpr size = constant(1);
  for (int64_t d : dims)
    size = size * x.dim(d);
  return sizeValue(s, graph::normalize(size));
}

Tensor Op::mean(Tensor x, ArrayRef<int64_t> dims, bool keeps) {
  Tensor sum = reduceDims(graph::ReduceKind::Sum, x, dims, keeps);
  return unary(sum, [&](Scalars &s, Value v) { return s.div(v, count(s, x, dims)); });
}

Tensor Op::softmax(Tensor x, int64_t dim, bool isLog) {
  if (!x)
    return {};
  ScalarType type = x.dtype;
  x = convert(x, computeType(type));
  Tensor largest = reduceDims(graph::ReduceKind::Max, x, {dim}, true);
  Tensor shifted = sub(x, largest);
  Tensor powers = unary(shifted, [](Scalars &s, Value v) { return s.make<math::ExpOp>(v); });
  Tensor sum = reduceDims(graph::ReduceKind::Sum, powers, {dim}, true);
  Tensor result = isLog ? binary(shifted, sum,
                                 [](Scalars &s, Value v, Value t) { return s.sub(v, s.make<math::LogOp>(t)); })
                        : div(powers, sum);
  return convert(result, type);
}

Tensor Op::matmul(Tensor l, Tensor r) {
  if (!l || !r)
    return {};
  if (l.rank() == 0 || r.rank() == 0)
    return errorTensor("multiplies a scalar");
  bool isRow = l.rank() == 1, isColumn = r.rank() == 1;
  if (isRow)
    l = unsqueeze(l, 0);
  if (isColumn)
    r = unsqueeze(r, 1);
  // Batch dimensions of both: equal ones become batch letters; where one has size 1 it is dropped.
  int64_t lead = std::max(l.rank(), r.rank()) - 2;
  Dims lDims = l.dims(), rDims = r.dims();
  std::optional<Dims> batch = broadcastDims({Dims(lDims.begin(), lDims.end() - 2), Dims(rDims.begin(), rDims.end() - 2)});
  if (!batch)
    return {};
  std::string lSpec, rSpec, spec;
  SmallVector<int64_t> lDrop, rDrop;
  for (int64_t i = 0; i < lead; ++i) {
    char letter = static_cast<char>('a' + i);
    bool isOneOfBoth = false;
    for (auto [x, text, drop, dims] : {std::tuple(&l, &lSpec, &lDrop, &lDims), std::tuple(&r, &rSpec, &rDrop, &rDims)}) {
      int64_t d = i - (lead + 2 - x->rank());
      if (d < 0)
        continue;
      if (graph::asConstant((*dims)[d]) == 1 && graph::asConstant((*batch)[i]) != 1) {
        drop->push_back(d);
        continue;
      }
      text->push_back(letter);
      isOneOfBoth = true;
    }
    if (isOneOfBoth)
      spec.push_back(letter);
  }
  if (lead > 20)
    return unsupportedTensor("on tensors of rank " + Twine(lead + 2));
  l = squeeze(l, lDrop);
  r = squeeze(r, rDrop);
  Tensor result = contract(l, lSpec + "yz", r, rSpec + "zx", spec + "yx");
  if (!result)
    return {};
  Dims dims = *batch;
  if (!isRow)
    dims.push_back(result.dim(result.rank() - 2));
  if (!isColumn)
    dims.push_back(result.dim(result.rank() - 1));
  return reshape(result, dims);
}

std::optional<SmallVector<int64_t>> Op::constantDims(Tensor x, const Twine &what) {
  SmallVector<int64_t> result;
  for (AffineExpr dim : x.dims()) {
    std::optional<int64_t> value = graph::asConstant(dim);
    if (!value) {
      (void)unsupported(what + " of symbolic sizes");
      return std::nullopt;
    }
    result.push_back(*value);
  }
  return result;
}

Tensor Op::take(Tensor data, Tensor indices, int64_t dim) {
  if (!data || !indices)
    return {};
  Tensor wrapped = wrapIndices(indices, data.dim(dim));
  if (!wrapped)
    return {};
  Dims dims = data.dims(), at = wrapped.dims();
  SmallVector<int64_t> coords, places;
  for (int64_t d = 0; d < data.rank(); ++d)
    coords.push_back(d == dim ? -1 : d < dim ? d : d + static_cast<int64_t>(at.size()) - 1);
  for (size_t i = 0; i < at.size(); ++i)
    places.push_back(dim + static_cast<int64_t>(i));
  dims.erase(dims.begin() + dim);
  dims.insert(dims.begin() + dim, at.begin(), at.end());
  return gather(data, {Operand(wrapped, places)}, coords, dims);
}

Tensor Op::choose(Tensor selector, ArrayRef<std::pair<int64_t, Tensor>> choices) {
  if (!selector || choices.empty())
    return {};
  Tensor result = choices.back().second;
  for (auto [value, tensor] : llvm::reverse(choices.drop_back())) {
    if (!tensor || !result)
      return {};
    Tensor isThis = map(
        ScalarType::Bool, selector.dtype, {selector, Number::of(value)},
        [](Scalars &s, ValueRange v) { return s.compare(Compare::Eq, v[0], v[1]); }, ScalarType::Bool);
    result = where(isThis, tensor, withDims(result, tensor.dims()));
  }
  return result;
}

} // namespace tenon::onnx_import
