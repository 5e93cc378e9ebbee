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
    populateResampling(t);
    populateTraining(t);
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

const Convert *findConverter(StringRef op, bool &isInPlace) {
  isInPlace = false;
  const ConverterTable &table = converterTable();
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

bool isDropped(StringRef op) {
  return op.starts_with("aten._assert_") || op.starts_with("aten.sym_constrain_range") ||
         op.starts_with("aten._assert_async") || op.starts_with("aten._functional_assert_async") ||
         op.starts_with("aten._functional_sym_constrain") || op == "aten.sym_is_contiguous.default" ||
         op.starts_with("higher_order._") || op.starts_with("aten._functional_assert") || op == "_assert" ||
         op.starts_with("torch._check");
}

bool isNumberOperator(StringRef op) {
  return op.starts_with("_operator.") || op.starts_with("math.") || op.starts_with("aten.sym_") ||
         op.starts_with("torch.sym_") || op.starts_with("torch.fx.experimental.symbolic_shapes") ||
         op.starts_with("torch.utils._sympy") || op.starts_with("builtins.");
}

bool writesInPlace(const Graph &graph) {
  return llvm::any_of(graph.nodes, [](const Node &node) {
    return isInPlaceName(node.op()) && !node.op().starts_with("aten.detach_");
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
    if (!isDropped(op) && !isNumberOperator(op) && !findConverter(op, isInPlace))
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

/// A symbolic float as the code of one f64.
static Value emitFloat(Op &op, Scalars &s, const SymExpr &expr) {
  using Kind = SymExpr::Kind;
  auto fold = [&](auto combine) -> Value {
    Value result;
    for (const SymExprRef &operand : expr.operands) {
      Value value = emitFloat(op, s, *operand);
      if (!value)
        return {};
      result = result ? combine(result, value) : value;
    }
    return result;
  };
  switch (expr.kind) {
  case Kind::Integer:
    return s.number(static_cast<double>(expr.value));
  case Kind::Rational:
    return s.number(static_cast<double>(expr.value) / static_cast<double>(expr.denominator));
  case Kind::Add:
    return fold([&](Value l, Value r) { return s.add(l, r); });
  case Kind::Mul:
    return fold([&](Value l, Value r) { return s.mul(l, r); });
  case Kind::TrueDiv:
    return fold([&](Value l, Value r) { return s.div(l, r); });
  case Kind::Max:
    return fold([&](Value l, Value r) { return s.max(l, r); });
  case Kind::Min:
    return fold([&](Value l, Value r) { return s.min(l, r); });
  case Kind::Pow: {
    Value base = expr.operands.empty() ? Value() : emitFloat(op, s, *expr.operands[0]);
    return base ? s.power(base, static_cast<double>(expr.value)) : Value();
  }
  default: {
    AffineExpr size = op.importer.state.symbols.toExpr(expr);
    return size ? op.sizeValue(s, size) : Value();
  }
  }
}

/// Nodes that give Python numbers: sizes and arithmetic on them, which the exporter recorded as expressions.
bool GraphImporter::importNumberNode(const Node &node) {
  bool givesNumbers = false;
  for (const Argument &output : node.outputs) {
    if (auto *sym = output.getIf<SymIntArg>(); sym && !sym->isStatic()) {
      givesNumbers = true;
      const SymInt *meta = graph.symInt(sym->name);
      std::string why = "its value is not recorded";
      if (meta)
        why.clear();
      AffineExpr expr = meta ? state.symbols.toExpr(*meta, &why) : AffineExpr();
      if (expr) {
        Number number;
        number.expr = expr;
        if (std::optional<int64_t> known = graph::asConstant(expr))
          number = Number::of(*known);
        values.bindNumber(sym->name, number);
      } else if (isUsed(sym->name)) {
        values.poison(sym->name);
        if (!isNumberOperator(node.op()) || !meta)
          state.addUnsupported(node, why, wayOutFor("aten.item"));
        else
          state.addUnsupported(node, why, "");
      }
    } else if (auto *sym = output.getIf<SymFloatArg>(); sym && !sym->isStatic()) {
      givesNumbers = true;
      auto meta = graph.symFloats.find(sym->name);
      Tensor value;
      if (isUsed(sym->name) && meta != graph.symFloats.end()) {
        Op op(*this, node, b, state.locate(node));
        if (meta->second.isStatic()) {
          values.bindNumber(sym->name, Number::of(meta->second.value));
          continue;
        }
        bool good = true;
        value = op.generate(ScalarType::Double, ScalarType::Double, {}, [&](Scalars &s, ValueRange) {
          Value v = emitFloat(op, s, *meta->second.expr);
          good = static_cast<bool>(v);
          return good ? v : s.number(0);
        });
        if (!good)
          value = {};
      }
      if (value) {
        values.bind(sym->name, value);
      } else if (isUsed(sym->name)) {
        values.poison(sym->name);
        state.addUnsupported(node, "a floating-point number that depends on data or sizes", "");
      }
    } else if (auto *sym = output.getIf<SymBoolArg>(); sym && !sym->isStatic()) {
      givesNumbers = true;
      values.poison(sym->name); // only asserts read it
    }
  }
  return givesNumbers || isNumberOperator(node.op());
}

void GraphImporter::importNode(const Node &node) {
  StringRef op = node.op();
  if (isDropped(op) || importNumberNode(node))
    return;
  bool isPoisoned = false, isInPlace = false;
  for (const NamedArgument &input : node.inputs)
    input.arg.forEachValue([&](StringRef name) { isPoisoned |= values.isPoisoned(name); });
  const Convert *convert = findConverter(op, isInPlace);
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
