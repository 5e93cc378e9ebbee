// Operators with graphs inside: cond, while_loop, scan and map.
#include "GraphImporter.h"

using namespace mlir;
using tenon::graph::Dims;

namespace tenon::torch_export {

/// Lists of tensors and numbers as arguments of a higher-order operator; positional, without names.
static bool readOperands(Op &op, const Argument &arg, SmallVectorImpl<Argument> &out) {
  if (arg.isMissingOrNone())
    return true;
  if (auto tensors = arg.as<std::vector<TensorArg>>()) {
    for (const TensorArg &tensor : *tensors)
      out.push_back(Argument(tensor));
    return true;
  }
  if (auto sizes = arg.as<std::vector<SymIntArg>>()) {
    for (const SymIntArg &size : *sizes)
      out.push_back(Argument(size));
    return true;
  }
  (void)op.unsupported("with an operand that is " + arg.describe());
  return false;
}

static const Graph *readGraph(Op &op, const Argument &arg) {
  if (auto *graph = arg.getIf<GraphArg>())
    return graph->graph.get();
  (void)op.error("needs a graph where " + arg.describe() + " stands");
  return nullptr;
}

/// Tensors, sizes, and numbers that come from data (tensors of rank 0).
static std::optional<SmallVector<Operand>> readAll(Op &op, ArrayRef<Argument> arguments) {
  SmallVector<Operand> result;
  for (const Argument &argument : arguments) {
    Operand value;
    auto *sym = argument.getIf<SymIntArg>();
    auto *tensor = argument.getIf<TensorArg>(); // lists of both name sizes like tensors
    const Number *number = sym && !sym->isStatic() ? op.importer.values.number(sym->name)
                           : tensor                ? op.importer.values.number(tensor->name)
                                                   : nullptr;
    if (sym && sym->isStatic())
      value = Number::of(sym->value);
    else if (number)
      value = *number;
    else
      value = op.importer.readOutput(op, argument);
    if (value.isNull()) {
      (void)op.unsupported("with an operand whose value is not known");
      return std::nullopt;
    }
    result.push_back(value);
  }
  return result;
}

static bool hasFailed(Op &op, size_t unsupportedBefore) {
  return op.isBad() || op.importer.state.failed || op.importer.state.unsupported.size() != unsupportedBefore;
}

/// What `graph` gives, built at the builder's place. `inputs` are bound to the graph's inputs in order.
static std::optional<Tensors> inlineGraph(Op &op, const Graph &graph, ArrayRef<Operand> inputs) {
  ImportState &state = op.importer.state;
  size_t before = state.unsupported.size();
  GraphImporter inner(state, graph, op.b);
  if (graph.inputs.size() != inputs.size()) {
    (void)op.error("gives " + Twine(inputs.size()) + " operands to a graph that takes " + Twine(graph.inputs.size()));
    return std::nullopt;
  }
  for (auto [input, value] : llvm::zip(graph.inputs, inputs)) {
    if (auto tensor = input.as<TensorArg>())
      inner.values.bind(tensor->name, value.tensor);
    else if (auto *sym = input.getIf<SymIntArg>(); sym && !sym->isStatic() && value.number)
      inner.values.bindNumber(sym->name, *value.number);
    else if (value.tensor)
      inner.bindNumber(input, op, value.tensor);
  }
  inner.importNodes();
  if (hasFailed(op, before))
    return std::nullopt;
  Tensors results;
  for (const Argument &output : graph.outputs) {
    Tensor value = inner.readOutput(op, output);
    if (!value) {
      if (!hasFailed(op, before))
        (void)op.unsupported("with a result that is " + output.describe());
      return std::nullopt;
    }
    results.push_back(value);
  }
  return results;
}

/// What an operator hands to its graphs so that they can draw random numbers.
struct RandomOperands {
  /// Nothing when no graph draws any. `isGood` is false when they draw but must not, which is reported.
  RandomOperands(Op &op, ArrayRef<const Graph *> graphs) {
    if (llvm::none_of(graphs, [](const Graph *graph) { return drawsNumbers(*graph); }))
      return;
    auto [seed, call] = op.importer.state.random.here(op);
    isGood = static_cast<bool>(seed);
    if (isGood)
      values = {seed.value, call.value};
  }
  explicit operator bool() const { return !values.empty(); }
  SmallVector<Value> values;
  bool isGood = true;
};

namespace {
/// A region in the making: an argument for each tensor that it takes.
class RegionBuilder {
public:
  explicit RegionBuilder(Op &op)
      : op(op), guard(op.b), unbacked(op.importer.state.unbacked), random(op.importer.state.random.enter({})) {
    block = new Block();
    region.push_back(block);
    op.b.setInsertionPointToStart(block);
    // Numbers from data are values of the block outside; those that come in are bound anew.
    op.importer.state.unbacked.clear();
  }
  ~RegionBuilder() {
    op.importer.state.unbacked = std::move(unbacked);
    op.importer.state.random.enter(random);
  }

  /// Inside, `operand` as of type `type`; a size is the same inside and outside.
  void take(const Operand &operand, Type type) {
    inputs.push_back(operand.tensor ? Operand(Tensor{block->addArgument(type, op.loc), operand.tensor.dtype}) : operand);
  }
  void take(const Operand &operand) { take(operand, operand.tensor ? operand.tensor.value.getType() : Type()); }
  /// One number that the graph does not see.
  Tensor takeHidden() { return {block->addArgument(RankedTensorType::get({}, op.b.getI64Type()), op.loc), ScalarType::Long}; }
  /// Seed and call number, for the random operators inside; they differ from turn to turn of a loop.
  void takeRandom(Tensor turn = {}) {
    Tensor seed = takeHidden(), call = takeHidden();
    op.importer.state.random.enter({{turn ? seedOfTurn(op, seed, turn) : seed, call}});
  }
  std::optional<Tensors> import(const Graph &graph) { return inlineGraph(op, graph, inputs); }
  void yield(ArrayRef<Tensor> results) {
    SmallVector<Value> values;
    for (const Tensor &result : results)
      values.push_back(result.value);
    graph::YieldOp::create(op.b, op.loc, values);
  }

  Region region;

private:
  Op &op;
  OpBuilder::InsertionGuard guard;
  llvm::StringMap<Tensor> unbacked;
  RandomState::Place random;
  Block *block;
  SmallVector<Operand> inputs;
};
} // namespace

/// The tensors among `operands`, then `more`.
static SmallVector<Value> tensorsOf(ArrayRef<Operand> operands, ArrayRef<Value> more = {}) {
  SmallVector<Value> values;
  for (const Operand &operand : operands)
    if (operand.tensor)
      values.push_back(operand.tensor.value);
  llvm::append_range(values, more);
  return values;
}

/// Results of the operator: tensors, and numbers that come from data.
static LogicalResult finishMixed(Op &op, ArrayRef<Tensor> results) {
  if (failed(op.finish(results)))
    return failure();
  unsigned next = 0;
  for (const Argument &output : op.node.outputs) {
    bool isNumber = output.kind() == Argument::Kind::SymInt || output.kind() == Argument::Kind::SymFloat ||
                    output.kind() == Argument::Kind::SymBool;
    if (isNumber && next < results.size())
      op.importer.bindNumber(output, op, results[next]);
    next += isNumber ? 1 : 0;
    if (!isNumber)
      output.forEachValue([&](StringRef) { ++next; });
  }
  return success();
}

/// `value` as what a loop carries: the type it began with.
static Tensor asCarried(Op &op, Tensor value, const Tensor &initial) {
  Tensor result = op.withDims(value, initial.dims());
  if (result && result.value.getType() != initial.value.getType()) {
    (void)op.unsupported("with a carried value that changes its type");
    return {};
  }
  return result;
}

/// A loop over the first dimension of `xs`. The body takes carried values, slices, captures, and gives carried values
/// and slices of the results.
static LogicalResult buildScan(Op &op, const Graph &body, ArrayRef<Operand> carry, ArrayRef<Operand> xs,
                               ArrayRef<Operand> captures) {
  if (xs.empty() || llvm::any_of(xs, [](const Operand &x) { return !x.tensor || x.tensor.rank() == 0; }) ||
      llvm::any_of(carry, [](const Operand &x) { return !x.tensor; }))
    return op.unsupported("over nothing");
  AffineExpr length = xs[0].tensor.dim(0);
  SmallVector<Type> types;
  RandomOperands random(op, &body);
  if (!random.isGood)
    return failure();
  SmallVector<Value> turns;
  if (random)
    turns.push_back(op.generate(ScalarType::Long, ScalarType::Long, length, [&](Scalars &s, ValueRange) {
                        return op.index(s, 0);
                      }).value);
  // The body comes first: it says what is stacked.
  Tensors results;
  Region region;
  {
    RegionBuilder inside(op);
    for (const Operand &x : carry)
      inside.take(x);
    for (const Operand &x : xs)
      inside.take(x, graph::makeTensorType(ArrayRef(x.tensor.dims()).drop_front(), x.tensor.type().getElementType()));
    Tensor turn = random ? inside.takeHidden() : Tensor();
    for (const Operand &x : captures)
      inside.take(x);
    if (random)
      inside.takeRandom(turn);
    std::optional<Tensors> given = inside.import(body);
    if (!given)
      return failure();
    if (given->size() < carry.size())
      return op.error("has a body that gives too little");
    for (auto [i, value] : llvm::enumerate(*given)) {
      if (i < carry.size() && !(value = asCarried(op, value, carry[i].tensor)))
        return failure();
      Dims sizes = value.dims();
      if (i >= carry.size())
        sizes.insert(sizes.begin(), length);
      types.push_back(graph::makeTensorType(sizes, value.type().getElementType()));
      results.push_back(value);
    }
    inside.yield(*given);
    region.takeBody(inside.region);
  }
  auto scan = graph::ScanOp::create(op.b, op.loc, types, tensorsOf(carry), tensorsOf(xs, turns),
                                    tensorsOf(captures, random.values), UnitAttr());
  scan.getBody().takeBody(region);
  for (auto [result, value] : llvm::zip(results, scan.getResults()))
    result.value = value;
  return op.finish(results);
}

static LogicalResult convertScan(Op &op) {
  const Graph *body = readGraph(op, op.node.arg(size_t(0)));
  SmallVector<Argument> init, xs, captures;
  if (!body || !readOperands(op, op.node.arg(1), init) || !readOperands(op, op.node.arg(2), xs) ||
      !readOperands(op, op.node.arg(3), captures))
    return failure();
  auto a = readAll(op, init), b = readAll(op, xs), c = readAll(op, captures);
  return a && b && c ? buildScan(op, *body, *a, *b, *c) : failure();
}

static LogicalResult convertMap(Op &op) {
  const Graph *body = readGraph(op, op.node.arg(size_t(0)));
  SmallVector<Argument> xs, captures;
  if (!body || !readOperands(op, op.node.arg(1), xs) || !readOperands(op, op.node.arg(2), captures))
    return failure();
  auto a = readAll(op, xs), b = readAll(op, captures);
  return a && b ? buildScan(op, *body, {}, *a, *b) : failure();
}

static LogicalResult convertCond(Op &op) {
  const Graph *graphs[] = {readGraph(op, op.node.arg(1)), readGraph(op, op.node.arg(2))};
  SmallVector<Argument> arguments;
  if (!graphs[0] || !graphs[1] || !readOperands(op, op.node.arg(3), arguments))
    return failure();
  const Argument &predicate = op.node.arg(size_t(0));
  auto inputs = readAll(op, arguments);
  if (!inputs)
    return failure();
  if (std::optional<bool> known = predicate.as<bool>()) {
    std::optional<Tensors> results = inlineGraph(op, *graphs[*known ? 0 : 1], *inputs);
    return results ? finishMixed(op, *results) : failure();
  }
  Tensor condition = op.importer.readOutput(op, predicate);
  if (!condition)
    return op.unsupported("on a condition that is not known");
  condition = op.reshape(op.convert(condition, ScalarType::Bool), {});
  if (!condition)
    return failure();
  RandomOperands random(op, graphs);
  if (!random.isGood)
    return failure();
  Region regions[2];
  Tensors given[2];
  for (int i = 0; i < 2; ++i) {
    RegionBuilder inside(op);
    for (const Operand &x : *inputs)
      inside.take(x);
    if (random)
      inside.takeRandom();
    std::optional<Tensors> results = inside.import(*graphs[i]);
    if (!results)
      return failure();
    given[i] = std::move(*results);
    regions[i].takeBody(inside.region);
  }
  // A size that the branches do not share has a name of its own behind them.
  auto nameOfSize = [&](unsigned i, int64_t d) -> std::optional<std::string> {
    const TensorMeta *meta = op.resultMeta(i);
    const SymInt *size = meta && d < static_cast<int64_t>(meta->sizes.size()) ? &meta->sizes[d] : nullptr;
    if (size && size->expr && size->expr->isSymbol() && !op.importer.state.symbols.isDeclared(size->expr->name))
      return size->expr->name;
    return std::nullopt;
  };
  std::optional<Tensors> results =
      op.branch(condition, regions, given, [&] { return tensorsOf(*inputs, random.values); }, nameOfSize);
  return results ? finishMixed(op, *results) : failure();
}

static LogicalResult convertWhile(Op &op) {
  const Graph *condition = readGraph(op, op.node.arg(size_t(0))), *body = readGraph(op, op.node.arg(1));
  SmallVector<Argument> first, rest;
  if (!condition || !body || !readOperands(op, op.node.arg(2), first) || !readOperands(op, op.node.arg(3), rest))
    return failure();
  SmallVector<Operand> carry;
  for (const Argument &argument : first) // numbers are carried as tensors
    carry.push_back(op.importer.readOutput(op, argument));
  if (llvm::any_of(carry, [](const Operand &x) { return x.isNull(); }))
    return op.unsupported("with an operand whose value is not known");
  auto captures = readAll(op, rest);
  if (!captures)
    return failure();
  Region regions[2];
  const Graph *graphs[] = {condition, body};
  RandomOperands random(op, graphs);
  if (!random.isGood)
    return failure();
  for (auto [graph, region] : llvm::zip(graphs, regions)) {
    RegionBuilder inside(op);
    for (const Operand &x : carry)
      inside.take(x);
    Tensor turn = random ? inside.takeHidden() : Tensor();
    for (const Operand &x : *captures)
      inside.take(x);
    if (random)
      inside.takeRandom(turn);
    std::optional<Tensors> given = inside.import(*graph);
    if (!given)
      return failure();
    if (given->size() != (graph == condition ? 1 : carry.size()))
      return op.error("has a body that gives " + Twine(given->size()) + " values");
    for (auto [i, value] : llvm::enumerate(*given)) {
      value = graph == condition ? op.reshape(op.convert(value, ScalarType::Bool), {})
                                 : asCarried(op, value, carry[i].tensor);
      if (!value)
        return failure();
    }
    if (random && graph == body)
      given->push_back(op.map(ScalarType::Long, ScalarType::Long, {turn},
                              [](Scalars &s, ValueRange v) { return s.add(v[0], s.integer(1)); }));
    inside.yield(*given);
    region.takeBody(inside.region);
  }
  SmallVector<Value> initial = tensorsOf(carry);
  if (random) // the number of the turn
    initial.push_back(op.scalar(ScalarType::Long, 0).value);
  auto loop = graph::WhileOp::create(op.b, op.loc, ValueRange(initial).getTypes(), initial,
                                     tensorsOf(*captures, random.values));
  loop.getCondition().takeBody(regions[0]);
  loop.getBody().takeBody(regions[1]);
  Tensors results;
  for (auto [value, start] : llvm::zip(loop.getResults(), carry))
    results.push_back({value, start.tensor.dtype});
  return finishMixed(op, results);
}

/// An operator with side effects, of which only assertions are known: they are left out.
static LogicalResult convertWithEffects(Op &op) {
  auto *wrapped = op.node.arg(1).getIf<OperatorArg>();
  StringRef name = wrapped ? StringRef(wrapped->name) : StringRef();
  name.consume_front("torch.ops.");
  if (!isDropped(name))
    return op.unsupported(name.empty() ? Twine() : "of '" + name + "'");
  for (StringRef result : op.node.resultNames())
    op.importer.values.poison(result);
  return success();
}

void populateControl(ConverterTable &t) {
  t["higher_order.with_effects"] = convertWithEffects;
  t["higher_order.scan"] = convertScan;
  t["higher_order.map_impl"] = t["higher_order.map"] = convertMap;
  t["higher_order.cond"] = convertCond;
  t["higher_order.while_loop"] = convertWhile;
}

} // namespace tenon::torch_export
