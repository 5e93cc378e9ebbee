// flex_attention in the form that the Python package writes (python/tenon/flex.py): one graph.attention whose region is
// the score and mask functions. They are imported as inside four nested vmaps (see Vmap.cpp): positions of batch, head,
// query and key are tensors of rank 4 with one long dimension each.
#include "GraphImporter.h"

using namespace mlir;
using tenon::graph::Dims;

namespace tenon::torch_export {

namespace {
/// One of the two functions: its graph and what it captures.
struct Function {
  const Graph *graph = nullptr;
  Tensors tensors;                                       ///< captured
  SmallVector<std::pair<StringRef, Number>> numbers;     ///< captured, by the graph's name
  SmallVector<StringRef> names;                          ///< of the captured tensors in the graph
};
} // namespace

/// Reads the captures, a list of tensors or of sizes; `first` inputs of the graph come before them.
static LogicalResult readFunction(Op &op, size_t graphAt, size_t capturesAt, size_t first, Function &function) {
  auto *graph = op.node.arg(graphAt).getIf<GraphArg>();
  if (!graph)
    return op.error("needs a graph where " + op.node.arg(graphAt).describe() + " stands");
  function.graph = graph->graph.get();
  const Argument &captures = op.node.arg(capturesAt);
  ArrayRef<Argument> inputs = function.graph->inputs;
  if (inputs.size() < first)
    return op.error("has a function with too few inputs");
  inputs = inputs.drop_front(first);
  size_t used = 0;
  auto nameOf = [&](size_t i) -> StringRef {
    if (auto tensor = inputs[i].as<TensorArg>())
      return tensor->name;
    auto *sym = inputs[i].getIf<SymIntArg>();
    return sym && !sym->isStatic() ? StringRef(sym->name) : StringRef();
  };
  if (auto tensors = captures.as<std::vector<TensorArg>>()) {
    for (const TensorArg &tensor : *tensors) {
      if (used == inputs.size())
        return op.error("captures more than a function takes");
      function.names.push_back(nameOf(used++));
      function.tensors.push_back(op.readValue(tensor.name));
      if (!function.tensors.back())
        return op.error("captures '" + tensor.name + "', which is no tensor here");
    }
  } else if (auto sizes = captures.as<std::vector<SymIntArg>>()) {
    for (const SymIntArg &size : *sizes) {
      if (used == inputs.size())
        return op.error("captures more than a function takes");
      StringRef name = nameOf(used++);
      if (size.isStatic())
        function.numbers.push_back({name, Number::of(size.value)});
      else if (const Number *number = op.importer.values.number(size.name))
        function.numbers.push_back({name, *number});
      else
        return op.unsupported("with a captured number that is known only when the model runs");
    }
  } else if (!captures.isMissingOrNone()) {
    return op.unsupported("with captures that are " + captures.describe());
  }
  return used == inputs.size() ? success() : op.error("captures less than a function takes");
}

/// The function's result at the builder's place, of the scores' rank. `leading` are its first inputs.
static Tensor inlineFunction(Op &op, const Function &function, ArrayRef<Tensor> leading, ArrayRef<Tensor> captured) {
  ImportState &state = op.importer.state;
  size_t before = state.unsupported.size();
  GraphImporter inner(state, *function.graph, op.b);
  for (auto [input, tensor] : llvm::zip(function.graph->inputs, leading)) {
    auto name = input.as<TensorArg>();
    if (!name)
      return op.errorTensor("has a function whose input is " + input.describe());
    inner.values.bind(name->name, tensor);
    inner.values.markBatched(name->name);
  }
  for (auto [name, tensor] : llvm::zip(function.names, captured))
    inner.values.bind(name, tensor);
  for (auto [name, number] : function.numbers)
    if (!name.empty())
      inner.values.bindNumber(name, number);
  inner.importNodes();
  if (state.failed || state.unsupported.size() != before)
    return {};
  auto name = function.graph->outputs.size() == 1 ? function.graph->outputs[0].as<TensorArg>() : std::nullopt;
  Tensor result = name ? inner.readTensor(name->name, op.loc) : Tensor();
  return result ? result : op.unsupportedTensor("with a function that gives something else than one tensor");
}

static LogicalResult convertFlexAttention(Op &op) {
  auto read = [&](size_t i) -> Tensor {
    auto name = op.node.arg(i).as<TensorArg>();
    return name ? op.readValue(name->name) : Tensor();
  };
  Tensor query = read(0), key = read(1), value = read(2);
  std::optional<double> scale = op.node.arg(5).as<double>();
  if (!query || !key || !value || !scale || query.rank() != 4 || key.rank() != 4 || value.rank() != 4)
    return op.error("is not in the form that tenon's Python package writes");
  Function score, mask;
  if (failed(readFunction(op, 3, 6, 5, score)) || failed(readFunction(op, 4, 7, 4, mask)))
    return failure();
  for (unsigned i = 1; i < 3; ++i)
    if (op.isUsed(i))
      return op.unsupported("with its log-sum-exp or largest scores as results");
  // Keys and values of one batch may serve all queries' batches.
  for (Tensor *x : {&key, &value}) {
    Dims dims = x->dims();
    dims[0] = query.dim(0);
    *x = op.broadcast(*x, dims);
  }
  Dims keyDims = key.dims(), valueDims = value.dims();
  keyDims[3] = query.dim(3);
  valueDims[1] = keyDims[1];
  valueDims[2] = keyDims[2];
  key = op.withDims(key, keyDims);
  value = op.withDims(value, valueDims);
  if (!key || !value || op.isBad())
    return failure();
  std::optional<int64_t> heads = graph::asConstant(query.dim(1)), groups = graph::asConstant(keyDims[1]);
  if (query.dim(1) != keyDims[1] && (!heads || !groups || *groups == 0 || *heads % *groups))
    return op.unsupported("with numbers of heads that do not divide");

  Dims dims = query.dims();
  dims[3] = value.dim(3);
  SmallVector<Value> captures;
  for (const Tensors &tensors : {score.tensors, mask.tensors})
    for (Tensor tensor : tensors)
      captures.push_back(tensor.value);
  OpBuilder &b = op.b;
  auto attention = graph::AttentionOp::create(
      b, op.loc, graph::makeTensorType(dims, query.type().getElementType()), query.value, key.value, value.value, Value(),
      captures, b.getF64FloatAttr(*scale), UnitAttr(), b.getUnitAttr(), AffineMapAttr());
  Tensor yielded[2];
  {
    OpBuilder::InsertionGuard guard(b);
    Block *block = b.createBlock(&attention.getBody());
    RankedTensorType scoreType = attention.getScoreType();
    Dims full = graph::getDims(scoreType);
    ScalarType working = query.dtype == ScalarType::Double ? ScalarType::Double : ScalarType::Float;
    Tensor scores{block->addArgument(scoreType, op.loc), working};
    auto bindCaptures = [&](const Function &function) {
      Tensors inside;
      for (Tensor tensor : function.tensors)
        inside.push_back({block->addArgument(tensor.value.getType(), op.loc), tensor.dtype});
      return inside;
    };
    Tensors scoreCaptures = bindCaptures(score), maskCaptures = bindCaptures(mask);
    Tensors positions;
    for (unsigned d = 0; d < 4; ++d) {
      Dims shape(4, op.constant(1));
      shape[d] = full[d];
      positions.push_back(op.generate(ScalarType::Int, ScalarType::Int, shape,
                                      [&](Scalars &s, ValueRange) { return op.index(s, d); }));
    }
    Tensors leading{scores};
    llvm::append_range(leading, positions);
    yielded[0] = inlineFunction(op, score, leading, scoreCaptures);
    yielded[1] = inlineFunction(op, mask, positions, maskCaptures);
    ScalarType wanted[] = {working, ScalarType::Bool};
    SmallVector<Value> values;
    for (auto [tensor, dtype] : llvm::zip(yielded, wanted)) {
      Tensor result = tensor ? op.broadcast(op.convert(tensor, dtype), full) : Tensor();
      values.push_back(result ? result.value : Value());
    }
    if (llvm::is_contained(values, Value())) {
      attention.erase();
      return op.isBad() || op.importer.state.failed || !op.importer.state.unsupported.empty()
                 ? failure()
                 : op.error("has a function that cannot be imported");
    }
    graph::YieldOp::create(b, op.loc, values);
  }
  for (Operation &inner : attention.getBody().front().without_terminator())
    if (isa<graph::ReduceOp, graph::ContractOp, graph::ScatterOp, graph::CumulateOp, graph::SortOp, graph::ArgReduceOp>(inner)) {
      attention.erase();
      return op.unsupported("with a function that is not elementwise");
    }
  Tensors results(std::max<size_t>(op.node.resultNames().size(), 1));
  results[0] = {attention.getResult(), query.dtype};
  return op.finish(results);
}

void populateFlex(ConverterTable &t) { t["higher_order.flex_attention"] = convertFlexAttention; }

} // namespace tenon::torch_export
