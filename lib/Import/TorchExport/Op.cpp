// Arguments, results and errors of one operator.
#include "GraphImporter.h"

using namespace mlir;

namespace tenon::torch_export {

Op::Op(GraphImporter &importer, const Node &node, OpBuilder &builder, Location loc)
    : GraphBuilder(importer.state.symbols, builder, loc), importer(importer), node(node) {}

//===----------------------------------------------------------------------===//
// Errors
//===----------------------------------------------------------------------===//

LogicalResult Op::error(const Twine &text) {
  if (!bad)
    emitError(loc) << "'" << node.op() << "' " << text;
  bad = true;
  importer.state.failed = true;
  return failure();
}

LogicalResult Op::unsupported(const Twine &reason, const Twine &wayOut) {
  bad = true;
  importer.state.addUnsupported(node, reason, wayOut);
  return failure();
}

RandomSource Op::randomSource() {
  if (!isBatched && !isInNestOfDifferentNumbers(importer.graph, node))
    return importer.state.random.next(*this);
  (void)unsupported("under vmap", "call run_decompositions() on the exported program");
  return {};
}

//===----------------------------------------------------------------------===//
// Arguments
//===----------------------------------------------------------------------===//

template <typename T> T Op::get(StringRef name, std::optional<T> byDefault, StringRef what) {
  const Argument &arg = node.arg(name);
  if (arg.isMissingOrNone()) {
    if (!byDefault)
      (void)error("needs an argument '" + name + "', " + what);
    return byDefault.value_or(T{});
  }
  if (std::optional<T> value = arg.as<T>())
    return *value;
  (void)error("argument '" + name + "' is " + arg.describe() + " but must be " + what);
  return byDefault.value_or(T{});
}

Tensor Op::readValue(StringRef value) {
  Tensor result = importer.values.read(*this, value);
  if (!importer.values.isBatched(value)) {
    readsPlain |= result && result.rank() > 0;
    return result;
  }
  isBatched = true;
  if (!result)
    return result;
  // Dimensions of size 1 before its own ones bring the levels of all operands to the same place.
  int64_t own = importer.values.ownRank(value);
  levels = result.rank() - own;
  if (int64_t missing = isElementwise(node.op()) ? largestOwnRank() - own : 0; missing > 0) {
    graph::Dims dims = result.dims();
    dims.insert(dims.begin() + levels, missing, constant(1));
    return reshape(result, dims);
  }
  return result;
}

/// The most dimensions that an operand shows to the program.
int64_t Op::largestOwnRank() {
  int64_t largest = 0;
  for (const NamedArgument &input : node.inputs)
    if (std::optional<TensorArg> tensor = input.arg.as<TensorArg>()) {
      Tensor value = importer.values.read(*this, tensor->name);
      bool isHidden = importer.values.isBatched(tensor->name);
      largest = std::max(largest, isHidden ? importer.values.ownRank(tensor->name) : value ? value.rank() : 0);
    }
  return largest;
}

Tensor Op::tensor(StringRef name) {
  const Argument &arg = node.arg(name);
  std::optional<TensorArg> tensor = arg.as<TensorArg>();
  if (!tensor)
    return errorTensor("argument '" + name + "' is " + arg.describe() + " but must be a tensor");
  Tensor value = readValue(tensor->name);
  return value ? value : errorTensor("reads '" + tensor->name + "', which is no tensor here");
}

Tensor Op::optionalTensor(StringRef name) { return has(name) ? tensor(name) : Tensor(); }

Tensors Op::optionalTensors(StringRef name) {
  Tensors result;
  for (const OptionalTensorArg &arg : get<std::vector<OptionalTensorArg>>(name, std::nullopt, "a list of tensors")) {
    result.push_back(arg ? readValue(arg->name) : Tensor());
    if (arg && !result.back())
      (void)error("reads '" + arg->name + "', which is no tensor here");
  }
  return result;
}

Tensors Op::tensors(StringRef name) {
  Tensors result = optionalTensors(name);
  if (llvm::any_of(result, [](const Tensor &t) { return !t; }))
    (void)error("argument '" + name + "' has None in a list of tensors");
  return bad ? Tensors() : result;
}

std::optional<Number> Op::toNumber(const Argument &arg) {
  switch (arg.kind()) {
  case Argument::Kind::Bool:
    return Number{ScalarType::Bool, *arg.getIf<bool>(), static_cast<double>(*arg.getIf<bool>()), {}};
  case Argument::Kind::Int:
    return Number::of(*arg.getIf<int64_t>());
  case Argument::Kind::Float:
    return Number::of(*arg.getIf<double>());
  case Argument::Kind::Complex:
    return Number{ScalarType::ComplexDouble, 0, *arg.getIf<std::complex<double>>(), {}};
  case Argument::Kind::SymInt: {
    const SymIntArg &sym = *arg.getIf<SymIntArg>();
    if (sym.isStatic())
      return Number::of(sym.value);
    if (const Number *number = importer.values.number(sym.name))
      return *number;
    return std::nullopt;
  }
  case Argument::Kind::SymFloat: {
    const SymFloatArg &sym = *arg.getIf<SymFloatArg>();
    return sym.isStatic() ? std::optional<Number>(Number::of(sym.value)) : std::nullopt;
  }
  case Argument::Kind::SymBool: {
    const SymBoolArg &sym = *arg.getIf<SymBoolArg>();
    if (sym.isStatic())
      return Number{ScalarType::Bool, sym.value, static_cast<double>(sym.value), {}};
    if (const Number *number = importer.values.number(sym.name))
      return *number;
    return std::nullopt;
  }
  default:
    return std::nullopt;
  }
}

Operand Op::operand(StringRef name) {
  const Argument &arg = node.arg(name);
  if (arg.as<TensorArg>())
    return tensor(name);
  if (std::optional<Number> number = toNumber(arg))
    return *number;
  StringRef symbol;
  if (auto *sym = arg.getIf<SymFloatArg>())
    symbol = sym->name;
  if (auto *sym = arg.getIf<SymIntArg>())
    symbol = sym->name;
  if (!symbol.empty())
    if (Operand value = importer.values.read(*this, symbol); !value.isNull()) {
      value.isWrapped = true;
      return value;
    }
  return errorTensor("argument '" + name + "' is " + arg.describe() + " but must be a tensor or a number");
}

Operand Op::operandOr(StringRef name, Number byDefault) { return has(name) ? operand(name) : Operand(byDefault); }

int64_t Op::integer(StringRef name, std::optional<int64_t> byDefault) {
  if (auto *sym = node.arg(name).getIf<SymIntArg>(); sym && !sym->isStatic()) {
    AffineExpr expr = toExpr(*sym, name);
    if (std::optional<int64_t> value = expr ? graph::asConstant(expr) : std::nullopt)
      return *value;
    (void)unsupported("argument '" + name + "' depends on a symbolic size");
    return byDefault.value_or(0);
  }
  return get<int64_t>(name, byDefault, "an integer");
}

double Op::number(StringRef name, std::optional<double> byDefault) {
  const Argument &arg = node.arg(name);
  if (std::optional<Number> value = toNumber(arg); value && value->isConstant())
    return value->asDouble();
  return get<double>(name, byDefault, "a number");
}

bool Op::flag(StringRef name, std::optional<bool> byDefault) { return get<bool>(name, byDefault, "a bool"); }

StringRef Op::string(StringRef name, std::optional<StringRef> byDefault) {
  return get<StringRef>(name, byDefault, "a string");
}

ScalarType Op::dtype(StringRef name, ScalarType byDefault) { return get<ScalarType>(name, byDefault, "a dtype"); }

AffineExpr Op::toExpr(const SymIntArg &arg, StringRef name) {
  if (arg.isStatic())
    return constant(arg.value);
  const Number *number = importer.values.number(arg.name);
  if (number && number->kind != ScalarType::Double)
    return number->expr ? number->expr : constant(number->integer);
  (void)unsupported("argument '" + name + "' is a size that is known only when the model runs");
  return {};
}

AffineExpr Op::size(StringRef name, AffineExpr byDefault) {
  if (byDefault && !has(name))
    return byDefault;
  AffineExpr result = toExpr(get<SymIntArg>(name, std::nullopt, "an integer"), name);
  return result ? result : constant(0);
}

graph::Dims Op::sizes(StringRef name) {
  graph::Dims result;
  for (const SymIntArg &arg : get<std::vector<SymIntArg>>(name, std::nullopt, "a list of sizes")) {
    AffineExpr expr = toExpr(arg, name);
    result.push_back(expr ? expr : constant(0));
  }
  return result;
}

SmallVector<int64_t> Op::integers(StringRef name, std::optional<SmallVector<int64_t>> byDefault) {
  if (byDefault && !has(name))
    return *byDefault;
  if (node.arg(name).getIf<std::vector<SymIntArg>>() || node.arg(name).getIf<SymIntArg>()) {
    SmallVector<int64_t> result;
    for (AffineExpr expr : sizes(name)) {
      std::optional<int64_t> value = graph::asConstant(expr);
      if (!value)
        (void)unsupported("argument '" + name + "' depends on a symbolic size");
      result.push_back(value.value_or(0));
    }
    return result;
  }
  auto values = get<std::vector<int64_t>>(name, std::nullopt, "a list of integers");
  return SmallVector<int64_t>(values.begin(), values.end());
}

SmallVector<int64_t> Op::integersOf(StringRef name, size_t count, int64_t byDefault) {
  SmallVector<int64_t> result = integers(name, SmallVector<int64_t>());
  if (result.empty())
    result.assign(count, byDefault);
  if (result.size() == 1)
    result.assign(count, result[0]);
  if (result.size() != count) {
    (void)error("argument '" + name + "' has " + Twine(result.size()) + " entries but needs " + Twine(count));
    result.assign(count, byDefault);
  }
  return result;
}

int64_t Op::dim(StringRef name, int64_t rank, std::optional<int64_t> byDefault) {
  return wrapDim(integer(name, byDefault), rank);
}

SmallVector<int64_t> Op::dims(StringRef name, int64_t rank) {
  SmallVector<int64_t> result;
  for (int64_t dim : integers(name, SmallVector<int64_t>()))
    if (rank > 0)
      result.push_back(wrapDim(dim, rank));
  if (result.empty())
    result.append(upTo(rank));
  llvm::sort(result);
  result.erase(llvm::unique(result), result.end());
  return result;
}

//===----------------------------------------------------------------------===//
// Results
//===----------------------------------------------------------------------===//

const TensorMeta *Op::resultMeta(unsigned i) const {
  auto names = node.resultNames();
  return i < names.size() ? importer.graph.tensor(names[i]) : nullptr;
}

ScalarType Op::resultDtype(unsigned i) const {
  const TensorMeta *meta = resultMeta(i);
  return meta ? meta->dtype : ScalarType::Unknown;
}

std::optional<graph::Dims> Op::resultDims(unsigned i) const {
  const TensorMeta *meta = resultMeta(i);
  if (!meta)
    return std::nullopt;
  graph::Dims dims;
  for (const SymInt &size : meta->sizes)
    dims.push_back(importer.state.symbols.toExpr(size));
  return dims;
}

const TensorMeta *Op::argumentMeta(StringRef name) const {
  std::optional<TensorArg> tensor = node.arg(name).as<TensorArg>();
  return tensor ? importer.graph.tensor(tensor->name) : nullptr;
}

bool Op::isRowMajor(StringRef name) const {
  const TensorMeta *meta = argumentMeta(name);
  if (!meta)
    return false;
  AffineExpr expected = constant(1);
  for (size_t i = meta->sizes.size(); i-- > 0;) {
    AffineExpr size = importer.state.symbols.toExpr(meta->sizes[i]);
    AffineExpr stride = importer.state.symbols.toExpr(meta->strides[i]);
    if (!size || !stride)
      return false;
    if (graph::asConstant(size) == 1)
      continue;
    if (stride != expected)
      return false;
    expected = graph::normalize(expected * size);
  }
  return true;
}

bool Op::isUsed(unsigned i) const {
  auto names = node.resultNames();
  return i < names.size() && importer.isUsed(names[i]);
}

/// Compares with what the exporter recorded, whose expressions win.
FailureOr<Tensor> Op::checkResult(Tensor tensor, unsigned i) {
  const TensorMeta *meta = resultMeta(i);
  if (!meta)
    return tensor;
  Type wantElement = toType(meta->dtype, context());
  if (wantElement != tensor.type().getElementType()) {
    std::string have;
    llvm::raw_string_ostream(have) << tensor.type().getElementType();
    return error("gives elements of " + have + " but the exporter recorded " + nameOf(meta->dtype));
  }
  tensor.dtype = meta->dtype;
  if (meta->sizes.size() != static_cast<size_t>(tensor.rank()))
    return error("gives rank " + Twine(tensor.rank()) + " but the exporter recorded " + Twine(meta->sizes.size()));
  graph::Dims want = tensor.dims();
  for (auto [d, size] : llvm::enumerate(meta->sizes))
    if (AffineExpr expr = importer.state.symbols.toExpr(size))
      want[d] = expr;
  Tensor checked = withDims(tensor, want);
  if (!checked)
    return failure();
  return checked;
}

LogicalResult Op::finish(ArrayRef<Tensor> results) {
  if (bad)
    return failure();
  auto names = node.resultNames();
  if (isBatched)
    return finishBatched(results);
  if (isInPlace) {
    if (results.size() != 1 || node.inputs.empty() || !results[0])
      return unsupported("writes in place to several tensors");
    auto self = node.inputs[0].arg.as<TensorArg>();
    if (!self)
      return error("writes in place to what is no tensor");
    Tensor old = importer.values.read(*this, self->name);
    Tensor value = old ? broadcast(convert(results[0], old.dtype), old.dims()) : Tensor();
    if (!value)
      return failure();
    if (!importer.values.write(*this, self->name, value))
      return bad ? failure() : unsupported("writes through a view that is not supported");
    if (!names.empty() && !names[0].empty() && names[0] != self->name)
      importer.values.bindView(names[0], self->name, value,
                               {[](Op &, Tensor base) { return base; }, [](Op &, Tensor, Tensor v) { return v; }});
    return success();
  }
  for (auto [i, name] : llvm::enumerate(names)) {
    if (name.empty())
      continue;
    if (i >= results.size() || !results[i].value) {
      // A converter may leave out what nobody reads.
      if (!importer.isUsed(name)) {
        importer.values.poison(name);
        continue;
      }
      return unsupported("result " + Twine(i) + " is used");
    }
    FailureOr<Tensor> checked = checkResult(results[i], i);
    if (failed(checked))
      return failure();
    importer.values.bind(name, *checked);
  }
  return success();
}

LogicalResult Op::finishBatched(ArrayRef<Tensor> results) {
  bool isPointwise = isElementwise(node.op());
  bool isIndexing = node.op().starts_with("aten.index.");
  if (isInPlace || results.size() != 1 || (!isPointwise && (largestOwnRank() > 0) && !(isIndexing && readsPlain)))
    return unsupported("of this form inside vmap", "call run_decompositions() on the exported program");
  if (!results[0])
    return error("could not be converted");
  for (StringRef name : node.resultNames()) {
    importer.values.bind(name, results[0]);
    if (results[0].rank() > 0)
      importer.values.markBatched(name, isPointwise ? results[0].rank() - levels : 0);
  }
  return success();
}

LogicalResult Op::finishView(StringRef base, ArrayRef<ViewFunctions> functions) {
  Tensor from = tensor(base);
  if (bad)
    return failure();
  if (isBatched)
    return functions.size() == 1 && importer.values.isBatched(node.arg(base).as<TensorArg>()->name) && isAlias
               ? finishBatched(from)
               : unsupported("inside vmap", "call run_decompositions() on the exported program");
  if (!importer.values.tracksViews || isInPlace) {
    Tensors results;
    for (const ViewFunctions &view : functions) {
      results.push_back(view.forward(*this, from));
      if (!results.back())
        return bad ? failure() : error("cannot be built");
    }
    return isInPlace ? unsupported("changes a tensor's shape in place", "use the form without underscore")
                     : finish(results);
  }
  StringRef baseName = node.arg(base).as<TensorArg>()->name;
  auto names = node.resultNames();
  for (auto [name, i] : llvm::zip(names, llvm::seq<size_t>(0, names.size()))) {
    if (name.empty() || i >= functions.size())
      continue;
    Tensor value = functions[i].forward(*this, from);
    if (!value)
      return bad ? failure() : error("cannot be built");
    FailureOr<Tensor> checked = checkResult(value, i);
    if (failed(checked))
      return failure();
    importer.values.bindView(name, baseName, *checked, functions[i]);
  }
  return success();
}

LogicalResult Op::finishAlias(StringRef base) {
  isInPlace = false; // `detach_` and its like change nothing
  isAlias = true;
  return finishView(base, {[](Op &, Tensor x) { return x; }, [](Op &, Tensor, Tensor v) { return v; }});
}

} // namespace tenon::torch_export
