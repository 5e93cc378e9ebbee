// Operators with graphs inside: scan and map become graph.scan; both sides of a cond are computed and one is chosen.
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

/// What a graph inside reads and gives, at the builder's place. `inputs` are bound to the graph's inputs in order.
static std::optional<Tensors> inlineGraph(Op &op, const Graph &graph, ArrayRef<Operand> inputs) {
  ImportState &state = op.importer.state;
  size_t unsupportedBefore = state.unsupported.size();
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
  }
  inner.importNodes();
  Tensors results;
  for (const Argument &output : graph.outputs) {
    auto tensor = output.as<TensorArg>();
    Tensor value = tensor ? inner.readTensor(tensor->name, op.loc) : Tensor();
    if (!value) {
      if (!op.isBad() && !state.failed && state.unsupported.size() == unsupportedBefore)
        (void)op.unsupported("with a result that is " + output.describe());
      return std::nullopt;
    }
    results.push_back(value);
  }
  return results;
}

static bool hasFailed(Op &op, size_t unsupportedBefore) {
  return op.isBad() || op.importer.state.failed || op.importer.state.unsupported.size() != unsupportedBefore;
}

static std::optional<SmallVector<Operand>> readAll(Op &op, ArrayRef<Argument> arguments) {
  SmallVector<Operand> result;
  for (const Argument &argument : arguments) {
    if (auto tensor = argument.as<TensorArg>()) {
      result.push_back(op.importer.values.read(op, tensor->name));
    } else if (auto *sym = argument.getIf<SymIntArg>()) {
      if (sym->isStatic())
        result.push_back(Number::of(sym->value));
      else if (const Number *number = op.importer.values.number(sym->name))
        result.push_back(*number);
    }
    if (result.empty() || result.back().isNull()) {
      (void)op.unsupported("with an operand whose value is not known");
      return std::nullopt;
    }
  }
  return result;
}

/// A loop over the first dimension of `xs`. The body takes carried values, slices, captures, and gives carried values
/// and slices of the results.
static LogicalResult buildScan(Op &op, const Graph &body, ArrayRef<Operand> carry, ArrayRef<Operand> xs,
                               ArrayRef<Operand> captures) {
  if (xs.empty() || llvm::any_of(xs, [](const Operand &x) { return !x.tensor || x.tensor.rank() == 0; }))
    return op.unsupported("over nothing");
  size_t before = op.importer.state.unsupported.size();
  AffineExpr length = xs[0].tensor.dim(0);
  SmallVector<Value> carried, slices, captured;
  SmallVector<Type> types;
  for (const Operand &x : carry)
    carried.push_back(x.tensor.value);
  for (const Operand &x : xs)
    slices.push_back(x.tensor.value);
  for (const Operand &x : captures)
    if (x.tensor)
      captured.push_back(x.tensor.value);
  // The body comes first: it says what is stacked.
  Region region;
  Block *block = new Block();
  region.push_back(block);
  SmallVector<Value> yields;
  {
    OpBuilder::InsertionGuard guard(op.b);
    op.b.setInsertionPointToStart(block);
    auto argument = [&](Type type, ScalarType dtype) { return Tensor{block->addArgument(type, op.loc), dtype}; };
    SmallVector<Operand> states, parts, rest;
    for (const Operand &x : carry)
      states.push_back(argument(x.tensor.value.getType(), x.tensor.dtype));
    for (const Operand &x : xs)
      parts.push_back(
          argument(graph::makeTensorType(ArrayRef(x.tensor.dims()).drop_front(), x.tensor.type().getElementType()),
                   x.tensor.dtype));
    for (const Operand &x : captures)
      rest.push_back(x.tensor ? Operand(argument(x.tensor.value.getType(), x.tensor.dtype)) : x);
    SmallVector<Operand> inputs(states);
    inputs.append(parts);
    inputs.append(rest);
    std::optional<Tensors> results = inlineGraph(op, body, inputs);
    if (!results || hasFailed(op, before) || results->size() < carry.size())
      return op.isBad() || hasFailed(op, before) ? failure() : op.error("has a body that gives too little");
    for (auto [i, result] : llvm::enumerate(*results)) {
      Tensor value = i < carry.size() ? op.withDims(result, carry[i].tensor.dims()) : result;
      if (!value)
        return failure();
      if (i < carry.size() && value.value.getType() != carry[i].tensor.value.getType())
        return op.unsupported("with a carried value that changes its type");
      yields.push_back(value.value);
      if (i < carry.size()) {
        types.push_back(value.value.getType());
        continue;
      }
      Dims stacked = value.dims();
      stacked.insert(stacked.begin(), length);
      types.push_back(graph::makeTensorType(stacked, value.type().getElementType()));
    }
    graph::YieldOp::create(op.b, op.loc, yields);
  }
  auto scan = graph::ScanOp::create(op.b, op.loc, types, carried, slices, captured, UnitAttr());
  scan.getBody().takeBody(region);
  Tensors results;
  for (auto [i, value] : llvm::enumerate(scan.getResults()))
    results.push_back({value, op.resultDtype(i)});
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

/// Both graphs are pure, so computing both and choosing gives what computing one would; it costs the other's time.
static LogicalResult convertCond(Op &op) {
  const Graph *yes = readGraph(op, op.node.arg(1)), *no = readGraph(op, op.node.arg(2));
  SmallVector<Argument> arguments;
  if (!yes || !no || !readOperands(op, op.node.arg(3), arguments))
    return failure();
  size_t before = op.importer.state.unsupported.size();
  const Argument &predicate = op.node.arg(size_t(0));
  auto inputs = readAll(op, arguments);
  if (!inputs)
    return failure();
  if (std::optional<bool> known = predicate.as<bool>()) {
    std::optional<Tensors> results = inlineGraph(op, *known ? *yes : *no, *inputs);
    return results && !hasFailed(op, before) ? op.finish(*results) : failure();
  }
  auto name = predicate.as<TensorArg>();
  Tensor condition = name ? op.importer.values.read(op, name->name) : Tensor();
  if (!condition)
    return op.unsupported("on a condition that depends on sizes");
  condition = op.reshape(op.convert(condition, ScalarType::Bool), {});
  std::optional<Tensors> a = inlineGraph(op, *yes, *inputs), b = inlineGraph(op, *no, *inputs);
  if (!a || !b || hasFailed(op, before) || a->size() != b->size())
    return op.isBad() || hasFailed(op, before) ? failure() : op.error("has branches that give different results");
  Tensors results;
  for (auto [l, r] : llvm::zip(*a, *b))
    results.push_back(op.map(l.dtype, l.dtype, {Operand::raw(condition), l, op.withDims(r, l.dims())},
                             [](Scalars &s, ValueRange v) { return s.select(v[0], v[1], v[2]); }));
  return op.finish(results);
}

void populateControl(ConverterTable &t) {
  t["higher_order.scan"] = convertScan;
  t["higher_order.map_impl"] = t["higher_order.map"] = convertMap;
  t["higher_order.cond"] = convertCond;
}

} // namespace tenon::torch_export
