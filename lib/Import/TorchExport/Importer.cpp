// From an exported program to a module: signature, symbols, state, results.
#include "GraphImporter.h"
#include "mlir/IR/Verifier.h"
#include "tenon/Import/TorchExport/Pt2Archive.h"

using namespace mlir;
using tenon::graph::Dims;

namespace tenon::torch_export {

namespace {
class ProgramImporter {
public:
  ProgramImporter(ImportState &state, const ImportOptions &options)
      : state(state), program(state.program), options(options), module(ModuleOp::create(state.fileLocation())),
        b(state.context), weights(state, *module) {}

  FailureOr<OwningOpRef<ModuleOp>> run();

private:
  void declareSymbols();
  void makeFunction();
  void bindInput(const InputSpec &input, Block *block);
  void bindUserInput(const InputSpec &input);
  void addResult(Tensor tensor, StringAttr name, ArrayRef<NamedAttribute> attributes);
  void addUserResult(const OutputSpec &output, unsigned position, GraphImporter &graph);
  void addState(const InputSpec &input, Tensor tensor);
  void addResults(GraphImporter &graph);

  ImportState &state;
  const ExportedProgram &program;
  const ImportOptions &options;
  OwningOpRef<ModuleOp> module;
  OpBuilder b;
  WeightTable weights;
  func::FuncOp function;
  GraphImporter *main = nullptr;
  llvm::StringMap<Value> initialValues; ///< of buffers and parameters: what use_weight gave
  FunctionParts parts;
};
} // namespace

void ProgramImporter::declareSymbols() {
  auto visit = [&](const SymInt &size) {
    if (size.isStatic())
      return;
    state.symbols.declare(*size.expr, program.ranges);
    if (size.expr->isSymbol() && size.hint)
      state.symbols.noteHint(size.expr->name, *size.hint);
  };
  for (const InputSpec &input : program.inputs) {
    if (input.kind != InputSpec::Kind::UserInput)
      continue;
    if (const TensorMeta *meta = program.graph.tensor(input.value))
      for (const SymInt &size : meta->sizes)
        visit(size);
    else if (const SymInt *number = program.graph.symInt(input.value))
      visit(*number);
  }
}

void ProgramImporter::makeFunction() {
  b.setInsertionPointToEnd(module->getBody());
  function = func::FuncOp::create(b, state.fileLocation(), options.entry, b.getFunctionType({}, {}));
  b.setInsertionPointToEnd(function.addEntryBlock());
}

void ProgramImporter::bindUserInput(const InputSpec &input) {
  Location loc =
      NameLoc::get(b.getStringAttr(input.userName.empty() ? input.value.str() : input.userName), state.fileLocation());
  Block *block = &function.getBody().front();
  NamedAttribute name = b.getNamedAttr("graph.name", b.getStringAttr(input.userName));
  auto addArgument = [&](Type type, ArrayRef<NamedAttribute> attributes) {
    parts.argAttrs.push_back(b.getDictionaryAttr(attributes));
    return block->addArgument(type, loc);
  };
  if (const TensorMeta *meta = program.graph.tensor(input.value); meta && input.arg.as<TensorArg>()) {
    Dims dims;
    std::string why;
    for (const SymInt &size : meta->sizes)
      dims.push_back(state.symbols.toExpr(size, &why));
    Type element = toType(meta->dtype, state.context);
    if (!element || llvm::is_contained(dims, AffineExpr())) {
      state.failed = true;
      emitError(loc) << "input '" << input.userName << "' "
                     << (element ? "has a size that is not supported: " + why
                                 : "holds elements of " + nameOf(meta->dtype).str() + ", which is not supported");
      return;
    }
    SmallVector<NamedAttribute> attributes{name};
    if (isUnsigned(meta->dtype) && isIntegral(meta->dtype))
      attributes.push_back(b.getNamedAttr("graph.unsigned", b.getUnitAttr()));
    main->values.bind(input.value, {addArgument(graph::makeTensorType(dims, element), attributes), meta->dtype});
    return;
  }
  if (auto *sym = input.arg.getIf<SymIntArg>(); sym && !sym->isStatic()) {
    const SymInt *meta = program.graph.symInt(input.value);
    AffineExpr expr = meta ? state.symbols.toExpr(*meta) : AffineExpr();
    if (!expr) {
      state.failed = true;
      emitError(loc) << "input '" << input.userName << "' is a symbolic integer without an expression";
      return;
    }
    NamedAttribute value = b.getNamedAttr("graph.value", graph::DimsAttr::get(state.context, {expr}));
    addArgument(RankedTensorType::get({}, b.getI64Type()), {name, value});
    Number number;
    number.expr = expr;
    main->values.bindNumber(input.value, number);
    return;
  }
  if (auto *sym = input.arg.getIf<SymFloatArg>(); sym && !sym->isStatic()) {
    Value value = addArgument(RankedTensorType::get({}, b.getF64Type()), {name});
    main->values.bind(input.value, {value, ScalarType::Double});
  }
  // Everything else is a constant that the exporter has put into the graph.
}

void ProgramImporter::bindInput(const InputSpec &input, Block *block) {
  switch (input.kind) {
  case InputSpec::Kind::UserInput:
    return bindUserInput(input);
  case InputSpec::Kind::Parameter:
  case InputSpec::Kind::Buffer:
  case InputSpec::Kind::TensorConstant: {
    if (!main->isUsed(input.value))
      return;
    Location loc = NameLoc::get(b.getStringAttr(input.target), state.fileLocation());
    Tensor tensor = weights.use(b, loc, input);
    if (!tensor)
      return main->values.poison(input.value);
    initialValues[input.value] = tensor.value;
    main->values.bind(input.value, tensor);
    return;
  }
  default:
    return; // tokens, Python constants and objects: whoever uses one is unsupported
  }
}

void ProgramImporter::addResult(Tensor tensor, StringAttr name, ArrayRef<NamedAttribute> attributes) {
  SmallVector<NamedAttribute> all(attributes);
  if (name)
    all.push_back(b.getNamedAttr("graph.name", name));
  if (isUnsigned(tensor.dtype) && isIntegral(tensor.dtype))
    all.push_back(b.getNamedAttr("graph.unsigned", b.getUnitAttr()));
  parts.results.push_back(tensor.value);
  parts.resultAttrs.push_back(b.getDictionaryAttr(all));
}

void ProgramImporter::addUserResult(const OutputSpec &output, unsigned position, GraphImporter &graph) {
  StringAttr name = b.getStringAttr(output.userName.empty() ? "out" + std::to_string(position) : output.userName);
  Location loc = NameLoc::get(name, state.fileLocation());
  static const Node none;
  Op op(graph, none, b, loc);
  const Argument &arg = output.arg;
  if (auto tensor = arg.as<TensorArg>()) {
    if (Tensor value = graph.readTensor(tensor->name, loc))
      addResult(value, name, {});
    return;
  }
  if (auto *sym = arg.getIf<SymIntArg>(); sym && !sym->isStatic()) {
    if (const Number *number = graph.values.number(sym->name)) {
      AffineExpr expr = number->expr ? number->expr : op.constant(number->integer);
      Value size = graph::SizeOp::create(b, loc, RankedTensorType::get({}, b.getI64Type()),
                                         graph::DimsAttr::get(state.context, {expr}));
      addResult({size, ScalarType::Long}, name, {});
    }
    return;
  }
  if (auto *sym = arg.getIf<SymFloatArg>(); sym && !sym->isStatic()) {
    if (Tensor value = graph.readTensor(sym->name, loc))
      addResult(value, name, {});
    return;
  }
  if (arg.kind() == Argument::Kind::Bool)
    return addResult(op.scalar(ScalarType::Bool, *arg.getIf<bool>()), name, {});
  if (std::optional<int64_t> value = arg.as<int64_t>())
    return addResult(op.scalar(ScalarType::Long, static_cast<double>(*value)), name, {});
  if (std::optional<double> value = arg.as<double>())
    return addResult(op.scalar(ScalarType::Double, *value), name, {});
}

/// A buffer or parameter that ends with another value than it began with.
void ProgramImporter::addState(const InputSpec &input, Tensor tensor) {
  if (!tensor)
    return;
  Location loc = NameLoc::get(b.getStringAttr(input.target), state.fileLocation());
  FlatSymbolRefAttr variable = weights.variable(loc, input);
  if (!variable)
    return;
  NamedAttribute attribute = b.getNamedAttr("graph.state", variable);
  NamedAttribute name = b.getNamedAttr("graph.name", b.getStringAttr(input.target));
  Value argument = function.getBody().front().addArgument(tensor.value.getType(), loc);
  parts.argAttrs.push_back(b.getDictionaryAttr({attribute, name}));
  if (Value initial = initialValues.lookup(input.value)) {
    if (initial.getType() != argument.getType()) {
      state.failed = true;
      emitError(loc) << "buffer '" << input.target << "' changes its type";
      return;
    }
    initial.replaceAllUsesWith(argument);
    if (tensor.value == initial)
      tensor.value = argument;
    for (Value &result : parts.results)
      if (result == initial)
        result = argument;
    initial.getDefiningOp()->erase();
    initialValues.erase(input.value);
  }
  addResult(tensor, b.getStringAttr(input.target), attribute);
}

void ProgramImporter::addResults(GraphImporter &graph) {
  using Kind = OutputSpec::Kind;
  llvm::StringSet<> done;
  auto inputFor = [&](StringRef target) -> const InputSpec * {
    for (const InputSpec &input : program.inputs)
      if (input.kind != InputSpec::Kind::UserInput && input.target == target)
        return &input;
    return nullptr;
  };
  auto read = [&](const Argument &arg) {
    auto tensor = arg.as<TensorArg>();
    return tensor ? graph.readTensor(tensor->name, state.fileLocation()) : Tensor();
  };
  auto addMutated = [&](const InputSpec &input, Tensor value) {
    if (value && done.insert(input.value).second)
      addResult(value, b.getStringAttr(input.userName + ".updated"),
                b.getNamedAttr("graph.updates", b.getStringAttr(input.userName)));
  };
  for (auto [i, output] : llvm::enumerate(program.outputs))
    switch (output.kind) {
    case Kind::UserOutput:
    case Kind::Loss:
    case Kind::GradientToParameter:
    case Kind::GradientToUserInput:
      addUserResult(output, i, graph);
      break;
    default:
      break;
    }
  for (const OutputSpec &output : program.outputs)
    if (output.kind == Kind::UserInputMutation)
      if (const InputSpec *input = program.findInput(output.target))
        addMutated(*input, read(output.arg));
  for (const InputSpec &input : program.inputs)
    if (input.kind == InputSpec::Kind::UserInput && graph.values.isWritten(input.value))
      addMutated(input, graph.readTensor(input.value, state.fileLocation()));
  for (const OutputSpec &output : program.outputs)
    if (output.kind == Kind::BufferMutation || output.kind == Kind::ParameterMutation)
      if (const InputSpec *input = inputFor(output.target); input && done.insert(input->value).second)
        addState(*input, read(output.arg));
  for (const InputSpec &input : program.inputs)
    if (input.kind != InputSpec::Kind::UserInput && graph.values.isWritten(input.value) &&
        done.insert(input.value).second)
      addState(input, graph.readTensor(input.value, state.fileLocation()));
  static const Node none;
  Op op(graph, none, b, state.fileLocation());
  state.random.finish(op);
}

FailureOr<OwningOpRef<ModuleOp>> ProgramImporter::run() {
  collectUnsupported(state, program.graph);
  collectSizes(state, program.graph);
  declareSymbols();
  makeFunction();
  state.random.attach(function, parts, weights.symbolNames());
  GraphImporter graph(state, program.graph, b);
  main = &graph;
  for (const InputSpec &input : program.inputs)
    bindInput(input, &function.getBody().front());
  if (!state.failed)
    graph.importNodes();
  // Errors are reported even where something is unsupported; a missing result has a cause that was reported.
  if (!state.unsupported.empty())
    reportUnsupported(state.fileLocation(), state.unsupported);
  if (!state.unsupported.empty() || state.failed)
    return failure();
  addResults(graph);
  if (state.failed)
    return failure();
  finishFunction(b, function, parts, state.symbols, state.fileLocation());
  if (failed(verify(*module)))
    return failure();
  return std::move(module);
}

FailureOr<OwningOpRef<ModuleOp>> importTorchExport(const ExportedProgram &program, StringRef path, MLIRContext *context,
                                                   const ImportOptions &options, ImportReport *report) {
  context->loadDialect<graph::GraphDialect, arith::ArithDialect, math::MathDialect, complex::ComplexDialect,
                       func::FuncDialect>();
  ImportState state(program, path, context);
  FailureOr<OwningOpRef<ModuleOp>> module = ProgramImporter(state, options).run();
  if (report && !state.failed)
    for (auto &[key, use] : state.unsupported)
      report->unsupported.push_back(use);
  return module;
}

FailureOr<OwningOpRef<ModuleOp>> importTorchExport(StringRef path, MLIRContext *context, const ImportOptions &options,
                                                   ImportReport *report) {
  OpenOptions open;
  open.model = options.model;
  std::unique_ptr<Pt2Archive> archive = Pt2Archive::open(path, context, open);
  if (!archive)
    return failure();
  return importTorchExport(archive->program(), path, context, options, report);
}

} // namespace tenon::torch_export
