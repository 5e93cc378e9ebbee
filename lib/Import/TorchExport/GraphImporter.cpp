// Nodes of one graph, one after the other; what is unsupported in them.
#include "GraphImporter.h"

using namespace mlir;

namespace tenon::torch_export {

//===----------------------------------------------------------------------===//
// Names of operators
//===----------------------------------------------------------------------===//

const ConverterTable &converterTable() {
  static const ConverterTable table = [] {
    ConverterTable t;
    populateElementwise(t);
    populateActivation(t);
    populateLayout(t);
    populateSlicing(t);
    populatePadding(t);
    populateCreation(t);
    populateReduction(t);
    populateNorm(t);
    populateContract(t);
    populateConvolution(t);
    populatePooling(t);
    populateAttention(t);
    populateIndexing(t);
    populateRecurrent(t);
    populateControl(t);
    populateVarlen(t);
    populateVmap(t);
    populateResampling(t);
    populateFourier(t);
    populateGradients(t);
    populatePointwiseGradients(t);
    populateFound(t);
    populateFlex(t);
    populateDistance(t);
    populateLinearAlgebra(t);
    populateRandom(t);
    populateSignal(t);
    populateMarginLosses(t);
    populateStatistics(t);
    populateComposites(t);
    populateSpecialIntegrals(t);
    populateOrthogonal(t);
    populateSelection(t);
    populateSpecial(t);
    return t;
  }();
  return table;
}

/// "aten.add.Tensor" -> "aten.add"
static StringRef withoutOverload(StringRef op) {
  size_t first = op.find('.'), last = op.rfind('.');
  return first == last ? op : op.substr(0, last);
}

static bool isInPlaceName(StringRef op) {
  StringRef packet = withoutOverload(op);
  return packet.starts_with("aten.") && packet.ends_with("_") && !packet.ends_with("__");
}

static const Convert *findIn(const ConverterTable &table, StringRef op, bool &isInPlace) {
  isInPlace = false;
  StringRef packet = withoutOverload(op);
  for (StringRef key : {op, packet})
    if (auto it = table.find(key); it != table.end())
      return &it->second;
  if (!isInPlaceName(op))
    return nullptr;
  isInPlace = true;
  std::string overload = op.drop_front(packet.size()).str();
  for (const std::string &key : {packet.drop_back().str() + overload, packet.drop_back().str()})
    if (auto it = table.find(key); it != table.end())
      return &it->second;
  return nullptr;
}

const Convert *findConverter(StringRef op, bool &isInPlace) { return findIn(converterTable(), op, isInPlace); }

bool drawsNumbers(const Graph &graph) {
  static const ConverterTable table = [] {
    ConverterTable t;
    populateRandom(t);
    return t;
  }();
  return llvm::any_of(graph.nodes, [](const Node &node) {
    bool isInPlace, trains = true;
    for (StringRef name : {"train", "training"}) // what only training changes draws nothing otherwise
      if (std::optional<bool> flag = node.arg(name).as<bool>())
        trains &= *flag;
    if (trains && findIn(table, node.op(), isInPlace))
      return true;
    return llvm::any_of(node.inputs, [](const NamedArgument &input) {
      auto *inner = input.arg.getIf<GraphArg>();
      return inner && drawsNumbers(*inner->graph);
    });
  });
}

bool isElementwise(StringRef op) {
  static const ConverterTable table = [] {
    ConverterTable t;
    populateElementwise(t);
    return t;
  }();
  return table.contains(op) || table.contains(withoutOverload(op));
}

bool isDropped(StringRef op) {
  return op.starts_with("aten._assert_") || op.starts_with("aten.sym_constrain_range") ||
         op.starts_with("aten._assert_async") || op.starts_with("aten._functional_assert_async") ||
         op.starts_with("aten._functional_sym_constrain") || op.starts_with("aten._linalg_check_errors") || op == "aten.sym_is_contiguous.default" ||
         op.starts_with("higher_order._") || op.starts_with("aten._functional_assert") || op == "_assert" ||
         op.starts_with("torch._check") || op == "torch._functorch.predispatch.lazy_load_decompositions" ||
         op.starts_with("torch._functorch.predispatch._vmap_");
}

bool isNumberOperator(StringRef op) {
  return op.starts_with("_operator.") || op.starts_with("math.") || op.starts_with("aten.sym_") ||
         op.starts_with("torch.sym_") || op.starts_with("torch.fx.experimental.symbolic_shapes") ||
         op.starts_with("torch.utils._sympy") || op.starts_with("builtins.");
}

bool writesInPlace(const Graph &graph) {
  return llvm::any_of(
      graph.nodes, [](const Node &node) {
        bool trainsNorm = node.op().contains("batch_norm") && node.arg("running_mean").as<TensorArg>() &&
                          node.arg("training").as<bool>().value_or(true);
        return trainsNorm || (isInPlaceName(node.op()) && !node.op().starts_with("aten.detach_"));
      });
}

//===----------------------------------------------------------------------===//
// Reports
//===----------------------------------------------------------------------===//

Location ImportState::fileLocation() const { return FileLineColLoc::get(context, path, 0, 0); }

Location ImportState::locate(const Node &node) const {
  std::string name = node.origin.modulePath.str();
  if (!name.empty())
    name += "/";
  name += !node.name.empty() ? node.name.str() : node.op().str();
  Location place = node.origin.file.empty()
                       ? fileLocation()
                       : Location(FileLineColLoc::get(context, node.origin.file, node.origin.line, 0));
  return NameLoc::get(StringAttr::get(context, name), place);
}

void ImportState::addUnsupported(const Node &node, const Twine &reason, const Twine &wayOut) {
  constexpr unsigned kMaxPlaces = 4;
  std::string why = reason.str();
  UnsupportedUse &use = unsupported[node.op().str() + "\n" + why];
  use.op = node.op().str();
  use.reason = why;
  use.wayOut = wayOut.str();
  ++use.count;
  if (use.places.size() >= kMaxPlaces || node.origin.file.empty())
    return;
  std::string place = (node.origin.file + ":" + Twine(node.origin.line)).str();
  if (!node.origin.modulePath.empty())
    place += (" (" + node.origin.modulePath + ")").str();
  if (!llvm::is_contained(use.places, place))
    use.places.push_back(place);
}

static StringRef wayOutFor(StringRef op) {
  if (op.contains("rand") || op.contains("dropout") || op.contains("bernoulli"))
    return "export in eval mode, or pass random numbers in as an input";
  if (op.starts_with("higher_order."))
    return "control flow of this kind is not imported yet; rewrite it with torch.where, or unroll it";
  if (op.contains("item") || op.contains("_local_scalar_dense") || op.contains("nonzero") || op.contains("unique") ||
      op.contains("masked_select"))
    return "the shape or a Python number depends on data; rewrite with masks and fixed sizes";
  if (!op.starts_with("aten.") && !op.starts_with("higher_order."))
    return "custom operators are unknown here; write it with torch operators, or register a decomposition";
  return "call run_decompositions() on the exported program, which may write it with simpler operators";
}

void collectUnsupported(ImportState &state, const Graph &graph) {
  for (const Node &node : graph.nodes) {
    StringRef op = node.op();
    bool isInPlace;
    bool isItem = op.starts_with("aten._local_scalar_dense") || op.starts_with("aten.item");
    if (!isDropped(op) && !isNumberOperator(op) && !isItem && !findConverter(op, isInPlace))
      state.addUnsupported(node, "", wayOutFor(op));
    for (const NamedArgument &input : node.inputs)
      if (auto *inner = input.arg.getIf<GraphArg>())
        collectUnsupported(state, *inner->graph);
  }
}

//===----------------------------------------------------------------------===//
// Nodes
//===----------------------------------------------------------------------===//

GraphImporter::GraphImporter(ImportState &state, const Graph &graph, OpBuilder &builder)
    : state(state), graph(graph), b(builder), values(writesInPlace(graph)) {
  auto use = [&](StringRef name) { used.insert(name); };
  for (const Node &node : graph.nodes)
    for (const NamedArgument &input : node.inputs)
      if (!isDropped(node.op()))
        input.arg.forEachValue(use);
  for (const Argument &output : graph.outputs)
    output.forEachValue(use);
}

Tensor GraphImporter::readTensor(StringRef name, Location loc) {
  static const Node none;
  Op op(*this, none, b, loc);
  return values.read(op, name);
}

namespace {
/// Code of a number that is no size: an expression over sizes and over numbers that come from data.
struct NumberEmitter {
  Op &op;
  Scalars &s;
  const llvm::StringMap<Value> &unbacked;

  Value emit(const SymExpr &expr);

private:
  template <typename Combine> Value fold(const SymExpr &expr, Combine combine) {
    Value result;
    for (const SymExprRef &operand : expr.operands) {
      Value value = emit(*operand);
      if (!value)
        return {};
      result = result ? combine(result, value) : value;
    }
    return result;
  }
};
} // namespace

Value NumberEmitter::emit(const SymExpr &expr) {
  using Kind = SymExpr::Kind;
  if (AffineExpr size = op.importer.state.symbols.toExpr(expr); size && expr.kind != Kind::TrueDiv &&
                                                                expr.kind != Kind::Rational && expr.kind != Kind::Mul &&
                                                                expr.kind != Kind::Add)
    return op.sizeValue(s, size);
  switch (expr.kind) {
  case Kind::Symbol:
    return unbacked.lookup(expr.name);
  case Kind::Rational:
    return s.isFloat() ? s.number(static_cast<double>(expr.value) / static_cast<double>(expr.denominator)) : Value();
  case Kind::Add:
    return fold(expr, [&](Value l, Value r) { return s.add(l, r); });
  case Kind::Mul:
    return fold(expr, [&](Value l, Value r) { return s.mul(l, r); });
  case Kind::TrueDiv:
    return s.isFloat() ? fold(expr, [&](Value l, Value r) { return s.div(l, r); }) : Value();
  case Kind::FloorDiv:
    return fold(expr, [&](Value l, Value r) { return s.floorDiv(l, r); });
  case Kind::Mod:
    return fold(expr, [&](Value l, Value r) { return s.remainder(l, r); });
  case Kind::Max:
    return fold(expr, [&](Value l, Value r) { return s.max(l, r); });
  case Kind::Min:
    return fold(expr, [&](Value l, Value r) { return s.min(l, r); });
  case Kind::Abs: {
    Value x = expr.operands.empty() ? Value() : emit(*expr.operands[0]);
    return x ? s.abs(x) : Value();
  }
  case Kind::Pow: {
    Value base = expr.operands.empty() ? Value() : emit(*expr.operands[0]);
    return base ? s.power(base, static_cast<double>(expr.value)) : Value();
  }
  default:
    return {};
  }
}

/// The number as a tensor of rank 0; null when it has parts that are not known.
Tensor GraphImporter::evaluateNumber(const Node &node, const SymExpr &expr, ScalarType type) {
  Op op(*this, node, b, state.locate(node));
  SmallVector<Operand> operands;
  SmallVector<std::string> names;
  expr.forEachSymbol([&](const SymExpr &symbol) {
    auto it = state.unbacked.find(symbol.name);
    if (it != state.unbacked.end() && !llvm::is_contained(names, symbol.name)) {
      names.push_back(symbol.name);
      operands.push_back(it->second);
    }
  });
  bool good = true;
  Tensor value = op.map(
      type, type, operands,
      [&](Scalars &s, ValueRange v) {
        llvm::StringMap<Value> unbacked;
        for (auto [name, arg] : llvm::zip(names, v))
          unbacked[name] = arg;
        Value result = NumberEmitter{op, s, unbacked}.emit(expr);
        good = static_cast<bool>(result);
        return good ? result : s.number(0);
      },
      ScalarType::Unknown, graph::Dims());
  return good ? value : Tensor();
}

/// A Python number read from a tensor: a value of rank 0, which is no size here.
bool GraphImporter::importItem(const Node &node) {
  if (!node.op().starts_with("aten._local_scalar_dense") && !node.op().starts_with("aten.item"))
    return false;
  Op op(*this, node, b, state.locate(node));
  Tensor x = op.tensor("self");
  if (!x)
    return true;
  x = op.reshape(x, {});
  for (const Argument &output : node.outputs) {
    auto *sym = output.getIf<SymIntArg>();
    const SymInt *meta = sym ? graph.symInt(sym->name) : nullptr;
    if (meta && meta->expr && meta->expr->isSymbol() && state.sizeNames.contains(meta->expr->name) &&
        defineSize(op, *meta->expr, sym->name, op.convert(x, ScalarType::Long)))
      continue;
    bindNumber(output, op, x);
  }
  return true;
}

void GraphImporter::bindNumber(const Argument &output, Op &op, Tensor value) {
  StringRef name;
  const SymExpr *expr = nullptr;
  ScalarType type = ScalarType::Long;
  if (auto *sym = output.getIf<SymIntArg>()) {
    name = sym->name;
    const SymInt *meta = graph.symInt(name);
    expr = meta ? meta->expr.get() : nullptr;
  } else if (auto *sym = output.getIf<SymFloatArg>()) {
    name = sym->name;
    type = ScalarType::Double;
    auto meta = graph.symFloats.find(name);
    expr = meta != graph.symFloats.end() ? meta->second.expr.get() : nullptr;
  } else if (auto *sym = output.getIf<SymBoolArg>()) {
    name = sym->name;
    type = ScalarType::Bool;
  }
  if (name.empty())
    return;
  value = op.convert(value, type);
  values.bind(name, value);
  if (expr && expr->isSymbol())
    state.unbacked[expr->name] = value;
}

Tensor GraphImporter::readNumber(Op &op, const Argument &argument) {
  auto ofNumber = [&](StringRef name) -> Tensor {
    const Number *number = values.number(name);
    if (!number)
      return values.read(op, name);
    if (!number->expr)
      return op.scalar(number->kind, number->asDouble());
    Value size = graph::SizeOp::create(b, op.loc, RankedTensorType::get({}, b.getI64Type()),
                                       graph::DimsAttr::get(state.context, {number->expr}));
    return {size, ScalarType::Long};
  };
  if (auto *sym = argument.getIf<SymIntArg>(); sym && !sym->isStatic())
    return ofNumber(sym->name);
  if (auto *sym = argument.getIf<SymFloatArg>(); sym && !sym->isStatic())
    return ofNumber(sym->name);
  if (auto *sym = argument.getIf<SymBoolArg>(); sym && !sym->isStatic()) {
    if (Tensor value = values.read(op, sym->name))
      return value;
    auto meta = graph.symBools.find(sym->name);
    return meta != graph.symBools.end() && meta->second.expr ? evaluateCondition(op.node, *meta->second.expr) : Tensor();
  }
  if (argument.kind() == Argument::Kind::Bool || argument.kind() == Argument::Kind::SymBool)
    if (std::optional<bool> value = argument.as<bool>())
      return op.scalar(ScalarType::Bool, *value);
  if (std::optional<int64_t> value = argument.as<int64_t>())
    return op.scalar(ScalarType::Long, static_cast<double>(*value));
  if (std::optional<double> value = argument.as<double>())
    return op.scalar(ScalarType::Double, *value);
  return {};
}

Tensor GraphImporter::readOutput(Op &op, const Argument &output) {
  if (auto tensor = output.as<TensorArg>())
    return values.read(op, tensor->name);
  return readNumber(op, output);
}

Tensor GraphImporter::evaluateCondition(const Node &node, const SymExpr &expr) {
  using Kind = SymExpr::Kind;
  Op op(*this, node, b, state.locate(node));
  auto condition = [&](unsigned i) { return evaluateCondition(node, *expr.operands[i]); };
  auto number = [&](unsigned i, ScalarType type) { return evaluateNumber(node, *expr.operands[i], type); };
  auto compare = [&](Compare how) -> Tensor {
    if (expr.operands.size() != 2)
      return {};
    for (ScalarType type : {ScalarType::Long, ScalarType::Double}) {
      Tensor l = number(0, type), r = number(1, type);
      if (l && r)
        return op.map(
            ScalarType::Bool, type, {l, r}, [&](Scalars &s, ValueRange v) { return s.compare(how, v[0], v[1]); },
            ScalarType::Bool);
    }
    return {};
  };
  switch (expr.kind) {
  case Kind::Bool:
    return op.scalar(ScalarType::Bool, static_cast<double>(expr.value));
  case Kind::Symbol:
    return state.unbacked.lookup(expr.name);
  case Kind::Eq:
    return compare(Compare::Eq);
  case Kind::Ne:
    return compare(Compare::Ne);
  case Kind::Lt:
    return compare(Compare::Lt);
  case Kind::Le:
    return compare(Compare::Le);
  case Kind::Gt:
    return compare(Compare::Gt);
  case Kind::Ge:
    return compare(Compare::Ge);
  case Kind::Not: {
    Tensor x = expr.operands.size() == 1 ? condition(0) : Tensor();
    return x ? op.map(ScalarType::Bool, ScalarType::Bool, {x},
                      [](Scalars &s, ValueRange v) { return s.negate(v[0]); })
             : Tensor();
  }
  case Kind::And:
  case Kind::Or: {
    Tensor result;
    for (unsigned i = 0; i < expr.operands.size(); ++i) {
      Tensor next = condition(i);
      if (!next)
        return {};
      result = !result ? next
                       : op.map(ScalarType::Bool, ScalarType::Bool, {result, next}, [&](Scalars &s, ValueRange v) {
                           return expr.kind == Kind::And ? s.both(v[0], v[1]) : s.either(v[0], v[1]);
                         });
    }
    return result;
  }
  default:
    return {};
  }
}

void GraphImporter::importIntegerResult(const Node &node, StringRef name) {
  const SymInt *meta = graph.symInt(name);
  std::string why = meta ? "" : "its value is not recorded";
  if (AffineExpr expr = meta ? state.symbols.toExpr(*meta, &why) : AffineExpr()) {
    Number number;
    number.expr = expr;
    if (std::optional<int64_t> known = graph::asConstant(expr))
      number = Number::of(*known);
    values.bindNumber(name, number);
    return;
  }
  if (!isUsed(name))
    return;
  if (Tensor value = meta ? evaluateNumber(node, *meta->expr, ScalarType::Long) : Tensor())
    return values.bind(name, value);
  values.poison(name);
  state.addUnsupported(node, why, wayOutFor("aten.item"));
}

void GraphImporter::importFloatResult(const Node &node, StringRef name) {
  auto meta = graph.symFloats.find(name);
  if (!isUsed(name) || meta == graph.symFloats.end())
    return values.poison(name);
  if (meta->second.isStatic())
    return values.bindNumber(name, Number::of(meta->second.value));
  if (Tensor value = evaluateNumber(node, *meta->second.expr, ScalarType::Double))
    return values.bind(name, value);
  values.poison(name);
  state.addUnsupported(node, "a number given by '" + meta->second.expr->str() + "'", "");
}

/// Nodes that give Python numbers: sizes and arithmetic on them, which the exporter recorded as expressions.
bool GraphImporter::importNumberNode(const Node &node) {
  if (importItem(node))
    return true;
  if (node.op().starts_with("higher_order."))
    return false;
  bool givesNumbers = false;
  for (const Argument &output : node.outputs) {
    givesNumbers |= output.kind() == Argument::Kind::SymInt || output.kind() == Argument::Kind::SymFloat ||
                    output.kind() == Argument::Kind::SymBool;
    if (auto *sym = output.getIf<SymIntArg>(); sym && !sym->isStatic())
      importIntegerResult(node, sym->name);
    else if (auto *sym = output.getIf<SymFloatArg>(); sym && !sym->isStatic())
      importFloatResult(node, sym->name);
    // A condition has no value until something that is not an assertion reads it.
  }
  return givesNumbers || isNumberOperator(node.op());
}

void GraphImporter::importNode(const Node &node) {
  StringRef op = node.op();
  if (isDropped(op) || importNumberNode(node))
    return;
  bool isPoisoned = false, isInPlace = false;
  auto results = node.resultNames();
  const Convert *convert = findConverter(op, isInPlace);
  if (!isInPlace && !results.empty() && llvm::none_of(results, [&](StringRef name) { return isUsed(name); }))
    return; // nobody sees what it gives
  for (const NamedArgument &input : node.inputs)
    input.arg.forEachValue([&](StringRef name) { isPoisoned |= values.isPoisoned(name); });
  if (isPoisoned || !convert) {
    for (StringRef name : node.resultNames())
      values.poison(name);
    return;
  }
  Op context(*this, node, b, state.locate(node));
  context.isInPlace = isInPlace;
  LogicalResult result = (*convert)(context);
  if (succeeded(result) && !context.isBad())
    return;
  if (!context.isBad())
    (void)context.error("could not be converted");
  for (StringRef name : node.resultNames())
    values.poison(name);
}

void GraphImporter::importNodes() {
  constexpr unsigned kMaxErrors = 20;
  unsigned errors = 0;
  for (const Node &node : graph.nodes) {
    bool before = std::exchange(state.failed, false);
    importNode(node);
    errors += state.failed;
    state.failed |= before;
    if (errors >= kMaxErrors)
      return;
  }
}

} // namespace tenon::torch_export
