// From an ONNX model to a module: signature, symbols, constants, nodes, functions, results.
#include "Importer.h"
#include "mlir/IR/Verifier.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir;
using tenon::graph::Dims;

namespace tenon::onnx_import {

/// Nodes that an import may convert, counting every step of an unrolled loop.
static constexpr uint64_t kMaxSteps = 1 << 18;
static constexpr unsigned kMaxDepth = 48;

const Datum *Scope::find(StringRef name) const {
  for (const Scope *s = this; s; s = s->outer)
    if (auto it = s->values.find(name); it != s->values.end())
      return &it->second;
  return nullptr;
}

const onnx::TypeProto *Scope::type(StringRef name) const {
  auto it = declared.find(name);
  return it == declared.end() ? nullptr : it->second;
}

Importer::Importer(ModelFile &file, MLIRContext *context, const ImportOptions &options)
    : file(file), context(context), options(options), symbols(context),
      module(ModuleOp::create(FileLineColLoc::get(context, file.path(), 0, 0))), b(context) {}

Location Importer::fileLocation() const { return FileLineColLoc::get(context, file.path(), 0, 0); }

/// A node's name; its operator and first result where it has none.
static std::string nameOf(const onnx::NodeProto &node) {
  if (!node.name().empty())
    return node.name();
  return node.output_size() ? node.op_type() + " -> " + node.output(0) : node.op_type();
}

Location Importer::locate(const onnx::NodeProto &node) const {
  return NameLoc::get(StringAttr::get(context, nameOf(node)), fileLocation());
}

static std::string fullName(const onnx::NodeProto &node) {
  bool isStandard = node.domain().empty() || node.domain() == "ai.onnx";
  return isStandard ? node.op_type() : node.domain() + "." + node.op_type();
}

void Importer::addUnsupported(const onnx::NodeProto &node, const Twine &reason, const Twine &wayOut) {
  std::string op = fullName(node);
  UnsupportedUse &use = unsupported[op + "\n" + reason.str()];
  use.op = op;
  use.reason = reason.str();
  use.wayOut = wayOut.str();
  ++use.count;
  if (use.places.size() < 3)
    use.places.push_back("'" + nameOf(node) + "'");
}

//===----------------------------------------------------------------------===//
// Constants
//===----------------------------------------------------------------------===//

Tensor Importer::constant(const TensorData &data, StringRef name) {
  constexpr size_t maxConstantBytes = 1024;
  Type element = toType(data.dtype, context);
  Location loc = NameLoc::get(StringAttr::get(context, name), fileLocation());
  if (!element) {
    emitError(loc) << "'" << name << "' holds elements of " << frontend::nameOf(data.dtype)
                   << ", which is not supported";
    failed = true;
    return {};
  }
  auto type = RankedTensorType::get(data.dims, element);
  OpBuilder::InsertionGuard guard(b);
  Block *block = &function.getBody().front();
  b.setInsertionPointToStart(block);
  size_t width = bytesOf(data.dtype);
  bool isSplat = !data.bytes.empty() && data.bytes.size() >= width;
  for (size_t i = width; isSplat && i < data.bytes.size(); ++i)
    isSplat = data.bytes[i] == data.bytes[i - width];
  if ((data.bytes.size() <= maxConstantBytes || isSplat) && !isComplex(data.dtype)) {
    ArrayRef<uint8_t> bytes = isSplat ? data.bytes.take_front(width) : data.bytes;
    DenseElementsAttr value;
    if (data.dtype == ScalarType::Bool) {
      SmallVector<bool> values;
      for (uint8_t byte : bytes)
        values.push_back(byte != 0);
      value = type.getNumElements() == 0 ? DenseElementsAttr::get(type, ArrayRef<bool>())
                                         : DenseElementsAttr::get(type, values);
    } else {
      value = DenseElementsAttr::getFromRawBuffer(
          type, ArrayRef(reinterpret_cast<const char *>(bytes.data()), bytes.size()));
    }
    return {graph::ConstantOp::create(b, loc, type, value), data.dtype};
  }
  std::string symbol = names.unique(name);
  bool isInFile = !data.path.empty();
  auto source = graph::WeightSourceAttr::get(context, isInFile ? "file" : "owned", isInFile ? data.path : "",
                                             isInFile ? static_cast<int64_t>(data.offset) : 0,
                                             static_cast<int64_t>(data.bytes.size()), b.getF64FloatAttr(0));
  if (!isInFile && options.weights)
    options.weights->setOwned(symbol, std::vector<uint8_t>(data.bytes.begin(), data.bytes.end()));
  {
    OpBuilder::InsertionGuard inner(b);
    b.setInsertionPoint(function);
    graph::WeightOp::create(b, loc, symbol, type, source);
  }
  return {graph::UseWeightOp::create(b, loc, type, FlatSymbolRefAttr::get(context, symbol)), data.dtype};
}

Tensor Importer::stored(const onnx::TensorProto &tensor, Location loc) {
  Tensor &result = storedTensors[&tensor];
  if (result)
    return result;
  llvm::Expected<TensorData> data = file.tensor(tensor);
  if (!data) {
    failed = true;
    emitError(loc) << llvm::toString(data.takeError());
    return {};
  }
  if (data->isString)
    return {};
  Tensor made = constant(*data, tensor.name().empty() ? "constant" : tensor.name());
  return storedTensors[&tensor] = made;
}

static std::optional<double> readReal(const uint8_t *bytes, ScalarType type) {
  auto as = [&](const llvm::fltSemantics &semantics, unsigned bits) {
    uint64_t raw = 0;
    memcpy(&raw, bytes, bits / 8);
    llvm::APFloat value(semantics, llvm::APInt(bits, raw));
    bool lost;
    value.convert(llvm::APFloat::IEEEdouble(), llvm::APFloat::rmNearestTiesToEven, &lost);
    return value.convertToDouble();
  };
  switch (type) {
  case ScalarType::Double:
    return as(llvm::APFloat::IEEEdouble(), 64);
  case ScalarType::Float:
    return as(llvm::APFloat::IEEEsingle(), 32);
  case ScalarType::Half:
    return as(llvm::APFloat::IEEEhalf(), 16);
  case ScalarType::BFloat16:
    return as(llvm::APFloat::BFloat(), 16);
  default:
    return std::nullopt;
  }
}

KnownRef Importer::knownOf(const onnx::TensorProto &tensor) {
  if (auto it = storedKnown.find(&tensor); it != storedKnown.end())
    return it->second;
  KnownRef &result = storedKnown[&tensor];
  int64_t count = 1;
  for (int64_t dim : tensor.dims())
    if (dim < 0 || (count *= dim) > kMaxKnown)
      return nullptr;
  llvm::Expected<TensorData> data = file.tensor(tensor);
  if (!data) {
    llvm::consumeError(data.takeError()); // whoever builds it reports it
    return nullptr;
  }
  auto known = std::make_shared<Known>();
  known->shape = data->dims;
  known->dtype = data->dtype;
  known->texts = data->texts;
  if (data->isString)
    return result = known;
  unsigned width = bytesOf(data->dtype);
  for (int64_t i = 0; i < count; ++i) {
    const uint8_t *at = data->bytes.data() + i * width;
    if (known->isInteger()) {
      uint64_t raw = 0;
      memcpy(&raw, at, width);
      llvm::APInt value(width * 8, raw);
      bool isUnsignedType = isUnsigned(data->dtype);
      known->ints.push_back(getAffineConstantExpr(
          isUnsignedType ? static_cast<int64_t>(value.getZExtValue()) : value.getSExtValue(), context));
    } else if (std::optional<double> value = readReal(at, data->dtype)) {
      known->reals.push_back(*value);
    } else {
      return nullptr;
    }
  }
  return storedKnown[&tensor] = known;
}

//===----------------------------------------------------------------------===//
// Nodes
//===----------------------------------------------------------------------===//

const ConverterTable &converterTable() {
  static const ConverterTable table = [] {
    ConverterTable t;
    populateElementwise(t);
    populateActivation(t);
    populateLayout(t);
    populateSlicing(t);
    populatePadding(t);
    populateReduction(t);
    populateNorm(t);
    populateContract(t);
    populateConvolution(t);
    populateIndexing(t);
    populateQuantize(t);
    populatePooling(t);
    populateResize(t);
    populateSampling(t);
    populateScatter(t);
    populateFound(t);
    populateSignal(t);
    populateLocalNorm(t);
    populateMl(t);
    populateRefused(t);
    populateControl(t);
    populateSequence(t);
    populateLoss(t);
    populateTraining(t);
    populateAttention(t);
    populateMicrosoftAttention(t);
    populateMicrosoft(t);
    populateMicrosoftQuantize(t);
    populateRotary(t);
    populateLinearAttention(t);
    populateRecurrent(t);
    populateRandom(t);
    populateNgrams(t);
    populateArithmeticOfSizes(t); // goes around converters that stand in the table
    populateChoiceOfSizes(t);
    return t;
  }();
  return table;
}

void Importer::poisonOutputs(const onnx::NodeProto &node, Scope &scope) {
  for (const std::string &output : node.output())
    if (!output.empty())
      scope.values[output] = Datum{.isPoisoned = true};
}

bool Importer::expandFunction(const onnx::NodeProto &node, Scope &scope) {
  auto it = functions.find(node.domain() + ":" + node.op_type() + ":" + node.overload());
  if (it == functions.end())
    return false;
  const onnx::FunctionProto &function = *it->second;
  Scope inner;
  inner.depth = scope.depth + 1;
  if (inner.depth > kMaxDepth) {
    failed = true;
    emitError(locate(node)) << "'" << fullName(node) << "' is a function that calls itself";
    poisonOutputs(node, scope);
    return true;
  }
  for (const onnx::OperatorSetIdProto &opset : function.opset_import())
    inner.opsets[opset.domain() == "ai.onnx" ? "" : opset.domain()] = opset.version();
  for (const onnx::AttributeProto &attribute : function.attribute_proto())
    inner.attributes[attribute.name()] = &attribute;
  for (const onnx::AttributeProto &attribute : node.attribute()) {
    const onnx::AttributeProto *value = &attribute;
    if (!attribute.ref_attr_name().empty()) {
      auto given = scope.attributes.find(attribute.ref_attr_name());
      value = given == scope.attributes.end() ? nullptr : given->second;
    }
    if (value)
      inner.attributes[attribute.name()] = value;
  }
  for (const onnx::ValueInfoProto &value : function.value_info())
    inner.declared[value.name()] = &value.type();
  for (int i = 0; i < function.input_size(); ++i) {
    const Datum *given = i < node.input_size() && !node.input(i).empty() ? scope.find(node.input(i)) : nullptr;
    inner.values[function.input(i)] = given ? *given : Datum{.isNothing = true};
  }
  // What the caller declares about its results holds for the function's.
  for (int i = 0; i < function.output_size() && i < node.output_size(); ++i)
    if (const onnx::TypeProto *type = scope.type(node.output(i)))
      inner.declared[function.output(i)] = type;
  spreadSizes(function.node(), inner);
  importNodes(function.node(), inner);
  for (int i = 0; i < node.output_size(); ++i) {
    if (node.output(i).empty())
      continue;
    const Datum *value = i < function.output_size() ? inner.find(function.output(i)) : nullptr;
    if (!value && !hasProblems()) {
      failed = true;
      emitError(locate(node)) << "function '" << fullName(node) << "' does not give its result " << i;
    }
    scope.values[node.output(i)] = value ? *value : Datum{.isPoisoned = true};
  }
  return true;
}

void Importer::importNode(const onnx::NodeProto &node, Scope &scope) {
  if (++steps > kMaxSteps) {
    if (steps == kMaxSteps + 1)
      addUnsupported(node, "in a loop that is too long to be unrolled", "");
    return poisonOutputs(node, scope);
  }
  if (expandFunction(node, scope))
    return;
  std::string name = fullName(node);
  auto it = converterTable().find(name);
  if (it == converterTable().end()) {
    addUnsupported(node, "", "");
    return poisonOutputs(node, scope);
  }
  for (const std::string &input : node.input())
    if (const Datum *value = input.empty() ? nullptr : scope.find(input); value && value->isPoisoned)
      return poisonOutputs(node, scope);
  int64_t version = 0;
  StringRef domain = node.domain() == "ai.onnx" ? StringRef() : StringRef(node.domain());
  for (const Scope *s = &scope; s && !version; s = s->outer)
    version = s->opsets.lookup(domain);
  if (!version && domain.empty()) {
    failed = true;
    emitError(locate(node)) << "'" << name << "' is used, but the model imports no version of its operator set";
    return poisonOutputs(node, scope);
  }
  Op op(*this, scope, node, version, b, locate(node));
  if (mlir::failed(it->second(op))) {
    if (!hasProblems()) {
      failed = true;
      emitError(locate(node)) << "'" << name << "' could not be converted";
    }
    poisonOutputs(node, scope);
  }
}

void Importer::importNodes(const google::protobuf::RepeatedPtrField<onnx::NodeProto> &nodes, Scope &scope) {
  for (const onnx::NodeProto &node : nodes)
    importNode(node, scope);
}

void Importer::declareTypes(const onnx::GraphProto &graph, Scope &scope) {
  for (const onnx::ValueInfoProto &value : graph.value_info())
    scope.declared[value.name()] = &value.type();
  for (const onnx::ValueInfoProto &value : graph.output())
    scope.declared[value.name()] = &value.type();
}

void Importer::bindInitializers(const onnx::GraphProto &graph, Scope &scope) {
  for (const onnx::TensorProto &tensor : graph.initializer())
    scope.values[tensor.name()] = Datum{.stored = &tensor};
  for (const onnx::SparseTensorProto &tensor : graph.sparse_initializer()) {
    onnx::NodeProto node;
    node.set_op_type("sparse_initializer");
    node.set_name(tensor.values().name());
    addUnsupported(node, "a sparse tensor", "");
    scope.values[tensor.values().name()] = Datum{.isPoisoned = true};
  }
}

std::optional<std::vector<Datum>> Importer::importGraph(Op &op, const onnx::GraphProto &graph,
                                                        ArrayRef<Datum> inputs) {
  Scope inner;
  inner.outer = &op.scope;
  inner.depth = op.scope.depth + 1;
  if (inner.depth > kMaxDepth) {
    (void)op.error("has graphs that are nested too deeply");
    return std::nullopt;
  }
  if (static_cast<size_t>(graph.input_size()) != inputs.size()) {
    (void)op.error("gives " + Twine(inputs.size()) + " values to a graph that takes " + Twine(graph.input_size()));
    return std::nullopt;
  }
  inner.attributes = op.scope.attributes;
  declareTypes(graph, inner);
  bindInitializers(graph, inner);
  for (auto [input, value] : llvm::zip(graph.input(), inputs))
    inner.values[input.name()] = value;
  size_t before = unsupported.size();
  unsigned count = 0, countBefore = 0;
  for (auto &[key, use] : unsupported)
    countBefore += use.count;
  spreadSizes(graph.node(), inner);
  importNodes(graph.node(), inner);
  for (auto &[key, use] : unsupported)
    count += use.count;
  if (failed || unsupported.size() != before || count != countBefore)
    return std::nullopt;
  std::vector<Datum> results;
  for (const onnx::ValueInfoProto &output : graph.output()) {
    const Datum *value = inner.find(output.name());
    if (!value || value->isPoisoned) {
      if (!value)
        (void)op.error("has a graph that does not give its result '" + output.name() + "'");
      return std::nullopt;
    }
    results.push_back(*value);
  }
  return results;
}

//===----------------------------------------------------------------------===//
// Signature
//===----------------------------------------------------------------------===//

std::optional<Dims> Importer::dimsOf(const onnx::TypeProto &type) const {
  if (!type.has_tensor_type() || !type.tensor_type().has_shape())
    return std::nullopt;
  Dims dims;
  for (const onnx::TensorShapeProto::Dimension &dim : type.tensor_type().shape().dim()) {
    if (dim.has_dim_value() && dim.dim_value() >= 0)
      dims.push_back(getAffineConstantExpr(dim.dim_value(), context));
    else
      dims.push_back(dim.has_dim_param() ? sizeNames.lookup(dim.dim_param()) : AffineExpr());
  }
  return dims;
}

static bool isBits(ScalarType type) { return isSmallFloat(type) || subByteBits(type); }

void Importer::bindInput(const onnx::ValueInfoProto &input, Scope &scope) {
  onnx::NodeProto node;
  node.set_op_type("input");
  node.set_name(input.name());
  auto refuse = [&](const Twine &reason) {
    addUnsupported(node, reason, "");
    scope.values[input.name()] = Datum{.isPoisoned = true};
  };
  // Of an optional tensor a model can read the value alone: whoever asks whether it is there is not supported. So calls
  // must give it.
  bool isOptional = input.type().has_optional_type() && input.type().optional_type().elem_type().has_tensor_type();
  const onnx::TypeProto &type = isOptional ? input.type().optional_type().elem_type() : input.type();
  if (!type.has_tensor_type())
    return refuse(input.type().has_sequence_type()   ? "a sequence, whose length is known only when the model runs"
                  : input.type().has_optional_type() ? "an optional, which is known only when the model runs"
                  : input.type().has_sparse_tensor_type() ? "a sparse tensor"
                                                          : "a value that is no tensor");
  const onnx::TypeProto_Tensor &tensor = type.tensor_type();
  ScalarType dtype = toScalarType(tensor.elem_type());
  Type element = toType(dtype, context);
  if (!element)
    return refuse("of elements of " + nameOfDataType(tensor.elem_type()));
  if (!tensor.has_shape())
    return refuse("whose rank the model does not say");
  Dims dims;
  for (const auto &[i, dim] : llvm::enumerate(tensor.shape().dim())) {
    if (dim.has_dim_value() && dim.dim_value() >= 0) {
      dims.push_back(getAffineConstantExpr(dim.dim_value(), context));
      continue;
    }
    std::string name = dim.has_dim_param() && !dim.dim_param().empty() ? dim.dim_param()
                                                                       : input.name() + "." + std::to_string(i);
    AffineExpr &symbol = sizeNames[name];
    if (!symbol)
      symbol = symbols.declare(name);
    dims.push_back(symbol);
  }
  Location loc = NameLoc::get(StringAttr::get(context, input.name()), fileLocation());
  SmallVector<NamedAttribute> attributes{b.getNamedAttr("graph.name", b.getStringAttr(input.name()))};
  if ((isUnsigned(dtype) && dtype != ScalarType::Bool) || isBits(dtype))
    attributes.push_back(b.getNamedAttr("graph.unsigned", b.getUnitAttr()));
  parts.argAttrs.push_back(b.getDictionaryAttr(attributes));
  Value argument = function.getBody().front().addArgument(graph::makeTensorType(dims, element), loc);
  Tensor value{argument, dtype};
  if (subByteBits(dtype)) {
    // Whoever calls may leave anything in the upper bits.
    Op op(*this, scope, node, 0, b, loc);
    value = op.convert(Tensor{argument, ScalarType::Byte}, dtype);
  }
  scope.values[input.name()] = Datum{.tensor = value, .isOptionalInput = isOptional};
}

void Importer::addResult(const onnx::ValueInfoProto &output, Scope &scope) {
  onnx::NodeProto node;
  node.set_op_type("output");
  node.set_name(output.name());
  node.add_input(output.name());
  Location loc = NameLoc::get(StringAttr::get(context, output.name()), fileLocation());
  Op op(*this, scope, node, 0, b, loc);
  const Datum *value = scope.find(output.name());
  if (!value) {
    failed = true;
    emitError(loc) << "the model's result '" << output.name() << "' is given by no node";
    return;
  }
  if (value->isPoisoned)
    return;
  Tensor tensor = op.materialize(*value);
  if (!tensor)
    return;
  ScalarType declared = toScalarType(output.type().tensor_type().elem_type());
  if (declared != ScalarType::Unknown && declared != tensor.dtype) {
    failed = true;
    emitError(loc) << "the model's result '" << output.name() << "' is declared with elements of "
                   << frontend::nameOf(declared) << " but has " << frontend::nameOf(tensor.dtype);
    return;
  }
  if (std::optional<Dims> dims = dimsOf(output.type()); dims && dims->size() == static_cast<size_t>(tensor.rank())) {
    for (auto [d, want] : llvm::enumerate(*dims))
      if (!want || !graph::asConstant(want))
        want = tensor.dim(d);
    tensor = op.withDims(tensor, *dims);
    if (!tensor)
      return;
  }
  SmallVector<NamedAttribute> attributes{b.getNamedAttr("graph.name", b.getStringAttr(output.name()))};
  if ((isUnsigned(tensor.dtype) && tensor.dtype != ScalarType::Bool) || isBits(tensor.dtype))
    attributes.push_back(b.getNamedAttr("graph.unsigned", b.getUnitAttr()));
  parts.results.push_back(tensor.value);
  parts.resultAttrs.push_back(b.getDictionaryAttr(attributes));
}

FailureOr<OwningOpRef<ModuleOp>> Importer::run() {
  const onnx::ModelProto &model = file.model();
  const onnx::GraphProto &graph = model.graph();
  constexpr int64_t oldest = 7, newest = 28;
  Scope scope;
  for (const onnx::OperatorSetIdProto &opset : model.opset_import()) {
    StringRef domain = opset.domain() == "ai.onnx" ? StringRef() : StringRef(opset.domain());
    scope.opsets[domain] = opset.version();
    if (domain.empty() && (opset.version() < 1 || opset.version() > newest)) {
      onnx::NodeProto node;
      node.set_op_type("opset_import");
      addUnsupported(node, "of version " + Twine(opset.version()) + "; " + Twine(oldest) + " to " + Twine(newest) +
                               " are known",
                     "convert the model with onnx.version_converter");
    }
  }
  for (const onnx::FunctionProto &function : model.functions())
    functions[function.domain() + ":" + function.name() + ":" + function.overload()] = &function;
  b.setInsertionPointToEnd(module->getBody());
  function = func::FuncOp::create(b, fileLocation(), options.entry, b.getFunctionType({}, {}));
  b.setInsertionPointToEnd(function.addEntryBlock());
  random.attach(function, parts, names);
  declareTypes(graph, scope);
  bindInitializers(graph, scope);
  llvm::StringSet<> stored;
  for (const onnx::TensorProto &tensor : graph.initializer())
    stored.insert(tensor.name());
  for (const onnx::ValueInfoProto &input : graph.input())
    if (!stored.contains(input.name())) // before version 4 of the format initializers were inputs too
      bindInput(input, scope);
  spreadSizes(graph.node(), scope);
  importNodes(graph.node(), scope);
  if (!failed)
    for (const onnx::ValueInfoProto &output : graph.output())
      addResult(output, scope);
  if (!hasProblems()) {
    onnx::NodeProto node;
    Op op(*this, scope, node, 0, b, fileLocation());
    random.finish(op);
  }
  if (!unsupported.empty())
    reportUnsupported(fileLocation(), unsupported);
  if (hasProblems())
    return failure();
  finishFunction(b, function, parts, symbols, fileLocation());
  if (mlir::failed(verify(*module)))
    return failure();
  return std::move(module);
}

static FailureOr<OwningOpRef<ModuleOp>> importFile(llvm::Expected<std::unique_ptr<ModelFile>> file, StringRef path,
                                               MLIRContext *context, const ImportOptions &options,
                                               ImportReport *report) {
  context->loadDialect<graph::GraphDialect, arith::ArithDialect, math::MathDialect, complex::ComplexDialect,
                       func::FuncDialect>();
  if (!file) {
    emitError(FileLineColLoc::get(context, path, 0, 0)) << llvm::toString(file.takeError());
    return failure();
  }
  Importer importer(**file, context, options);
  FailureOr<OwningOpRef<ModuleOp>> module = importer.run();
  if (report && !importer.failed)
    for (auto &[key, use] : importer.unsupported)
      report->unsupported.push_back(use);
  return module;
}

FailureOr<OwningOpRef<ModuleOp>> importOnnx(StringRef path, MLIRContext *context, const ImportOptions &options,
                                            ImportReport *report) {
  return importFile(ModelFile::open(path), path, context, options, report);
}

FailureOr<OwningOpRef<ModuleOp>> importOnnx(ArrayRef<uint8_t> bytes, StringRef path, MLIRContext *context,
                                            const ImportOptions &options, ImportReport *report) {
  return importFile(ModelFile::read(bytes, path), path, context, options, report);
}

} // namespace tenon::onnx_import
