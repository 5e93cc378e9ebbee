// Operators with graphs inside: If, Loop, Scan. What is known while importing is decided there; the rest becomes regions.
#include "Control.h"
#include "Importer.h"
#include "Sampling.h"

using namespace mlir;
using tenon::graph::Dims;

namespace tenon::onnx_import {

/// A loop of a known number of steps is written out up to this many nodes.
static constexpr int64_t kMaxUnrolled = 512;

namespace {
/// A region in the making. It reads values of outside directly until `isolate` makes captures of them.
class RegionBuilder {
public:
  explicit RegionBuilder(Op &op) : op(op), guard(op.b), random(op.importer.random.enter({})) {
    block = new Block();
    region.push_back(block);
    op.b.setInsertionPointToStart(block);
  }
  ~RegionBuilder() { op.importer.random.enter(random); }

  /// Random operators inside draw from here; in a loop from another seed in each turn.
  void drawFrom(RandomState::Place place, Tensor turn = {}) {
    if (place && turn)
      place->first = seedOfTurn(op, place->first, turn);
    op.importer.random.enter(place);
  }
  Datum take(Type type, ScalarType dtype) {
    return Datum{.tensor = Tensor{block->addArgument(type, op.loc), dtype}};
  }
  /// Ends the region with tensors.
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
  RandomState::Place random;
  Block *block;
};
} // namespace

/// Whether something in the graph draws from the session's seed.
static bool drawsNumbers(const onnx::GraphProto &graph) {
  return llvm::any_of(graph.node(), [](const onnx::NodeProto &node) {
    for (const onnx::AttributeProto &attribute : node.attribute())
      if (attribute.has_g() && drawsNumbers(attribute.g()))
        return true;
    StringRef name = node.op_type();
    bool isRandom = name.starts_with("RandomNormal") || name.starts_with("RandomUniform") || name == "Bernoulli" ||
                    name == "Multinomial" || (name == "Dropout" && node.input_size() > 2);
    return isRandom && llvm::none_of(node.attribute(), [](auto &attribute) { return attribute.name() == "seed"; });
  });
}

/// Seed and call number for graphs inside the operator: values of outside, which `isolate` captures. Nothing when no graph
/// draws any, or when that was reported.
static RandomState::Place randomPlace(Op &op, ArrayRef<const onnx::GraphProto *> graphs) {
  if (llvm::none_of(graphs, [](const onnx::GraphProto *graph) { return graph && drawsNumbers(*graph); }))
    return std::nullopt;
  std::pair<Tensor, Tensor> place = op.importer.random.here(op);
  return place.first ? RandomState::Place(place) : std::nullopt;
}

/// Whether `inner` is `region` or lies in it. Region::isAncestor does not take regions that no operation holds yet.
static bool isWithin(Region *inner, Region &region) {
  while (inner && inner != &region) {
    Operation *parent = inner->getParentOp();
    inner = parent ? parent->getParentRegion() : nullptr;
  }
  return inner;
}

/// Makes what the regions read of outside their last arguments; small constants are repeated inside.
static SmallVector<Value> isolate(Op &op, ArrayRef<Region *> regions) {
  llvm::SetVector<Value> captures;
  auto forEachOutside = [&](Region &region, llvm::function_ref<void(OpOperand &)> body) {
    region.walk([&](Operation *inner) {
      for (OpOperand &operand : inner->getOpOperands())
        if (!isWithin(operand.get().getParentRegion(), region))
          body(operand);
    });
  };
  for (Region *region : regions) {
    llvm::DenseMap<Value, Value> copies;
    SmallVector<OpOperand *> constants;
    forEachOutside(*region, [&](OpOperand &operand) {
      if (operand.get().getDefiningOp<graph::ConstantOp>())
        constants.push_back(&operand);
      else
        captures.insert(operand.get());
    });
    OpBuilder inside(op.context());
    inside.setInsertionPointToStart(&region->front());
    for (OpOperand *operand : constants) {
      Value &copy = copies[operand->get()];
      if (!copy)
        copy = inside.clone(*operand->get().getDefiningOp())->getResult(0);
      operand->set(copy);
    }
  }
  for (Region *region : regions) {
    llvm::DenseMap<Value, Value> arguments;
    for (Value value : captures)
      arguments[value] = region->front().addArgument(value.getType(), op.loc);
    forEachOutside(*region, [&](OpOperand &operand) { operand.set(arguments.lookup(operand.get())); });
  }
  op.importer.forgetConstants(); // values have other definitions now
  return captures.takeVector();
}

/// Whether the tensor has a size that the region around the builder's place finds: nothing outside knows it.
static bool hasOwnSize(Op &op, Tensor x) {
  llvm::SmallDenseSet<unsigned> own;
  op.b.getInsertionBlock()->getParent()->walk([&](graph::DefineSizeOp define) { own.insert(define.getSymbol()); });
  return llvm::any_of(x.dims(), [&](AffineExpr size) {
    bool isOwn = false;
    size.walk([&](AffineExpr part) {
      if (auto symbol = dyn_cast<AffineSymbolExpr>(part))
        isOwn |= own.contains(symbol.getPosition());
    });
    return isOwn;
  });
}

/// A result of a graph, as it may leave the region around the builder's place: sizes that are found there are those that the
/// graph declares. Null when something was reported; with `isBranch` a size may stay as it is found.
static Tensor leaving(Op &op, const onnx::ValueInfoProto &output, Tensor x, bool isBranch = false) {
  if (!x || !hasOwnSize(op, x))
    return x;
  std::optional<Dims> declared = op.importer.dimsOf(output.type());
  Dims want = x.dims();
  if (declared && declared->size() == want.size())
    for (auto [size, other] : llvm::zip(want, *declared))
      size = other && !graph::asConstant(size) ? other : size;
  x = op.withDims(x, want);
  if (x && !isBranch && hasOwnSize(op, x))
    return op.unsupportedTensor("with a result whose size is found inside of it when the model runs");
  return x;
}

static const onnx::GraphProto *readGraph(Op &op, StringRef name) {
  const onnx::AttributeProto *attribute = op.attribute(name);
  if (!attribute || !attribute->has_g()) {
    (void)op.error("needs a graph '" + name + "'");
    return nullptr;
  }
  return &attribute->g();
}

/// Whether a value of one element is known, and which it is.
static std::optional<bool> knownBool(Op &op, const Datum &value) {
  KnownRef known = value.isTensor() ? op.known(value) : nullptr;
  if (!known || !known->isInteger() || known->size() != 1)
    return std::nullopt;
  std::optional<int64_t> number = graph::asConstant(known->ints[0]);
  return number ? std::optional<bool>(*number != 0) : std::nullopt;
}

static Datum knownScalar(Op &op, ScalarType dtype, int64_t value) {
  auto known = std::make_shared<Known>();
  known->dtype = dtype;
  known->ints.push_back(op.constant(value));
  return Datum{.known = known};
}

/// A condition as tensor<i1>.
static Tensor predicate(Op &op, Tensor value) { return op.reshape(op.convert(value, ScalarType::Bool), {}); }

//===----------------------------------------------------------------------===//
// If
//===----------------------------------------------------------------------===//

static LogicalResult convertIf(Op &op) {
  const onnx::GraphProto *graphs[] = {readGraph(op, "then_branch"), readGraph(op, "else_branch")};
  const Datum *condition = op.datum(0);
  if (!graphs[0] || !graphs[1] || !condition)
    return failure();
  if (std::optional<bool> known = knownBool(op, *condition)) {
    auto results = op.importer.importGraph(op, *graphs[*known ? 0 : 1], {});
    return results ? op.finish(ArrayRef<Datum>(*results)) : failure();
  }
  Tensor chosen = predicate(op, op.tensor(0));
  if (!chosen)
    return failure();
  Region regions[2];
  RandomState::Place random = randomPlace(op, graphs);
  Tensors given[2];
  for (int i = 0; i < 2; ++i) {
    RegionBuilder inside(op);
    inside.drawFrom(random);
    auto values = op.importer.importGraph(op, *graphs[i], {});
    if (!values)
      return failure();
    for (auto [value, output] : llvm::zip(*values, graphs[i]->output())) {
      if (!value.isTensor())
        return op.unsupported("with a sequence or an optional as its result, on a condition of run time");
      given[i].push_back(leaving(op, output, op.materialize(value), /*isBranch=*/true));
      if (!given[i].back())
        return failure();
    }
    regions[i].takeBody(inside.region);
  }
  std::optional<Tensors> results = op.branch(
      chosen, regions, given, [&] { return isolate(op, {&regions[0], &regions[1]}); },
      [](unsigned, int64_t) { return std::string(); });
  return results ? op.finish(ArrayRef<Tensor>(*results)) : failure();
}

//===----------------------------------------------------------------------===//
// Scan
//===----------------------------------------------------------------------===//

std::optional<Tensors> buildScan(Op &op, ArrayRef<Tensor> carry, ArrayRef<Tensor> xs, AffineExpr length, LoopBody body,
                                 bool isReverse, const onnx::GraphProto *graph) {
  Region region;
  RandomState::Place random = randomPlace(op, graph);
  Tensor turns;
  if (random)
    turns = op.generate(ScalarType::Long, ScalarType::Long, {length}, [&](Scalars &s, ValueRange) { return op.index(s, 0); });
  SmallVector<Type> types;
  Tensors results;
  {
    RegionBuilder inside(op);
    SmallVector<Datum> carried, slices;
    for (const Tensor &x : carry)
      carried.push_back(inside.take(x.value.getType(), x.dtype));
    for (const Tensor &x : xs)
      slices.push_back(inside.take(
          graph::makeTensorType(ArrayRef(x.dims()).drop_front(), x.type().getElementType()), x.dtype));
    if (random)
      inside.drawFrom(random, inside.take(RankedTensorType::get({}, op.b.getI64Type()), ScalarType::Long).tensor);
    std::optional<Tensors> given = body(carried, slices);
    if (!given)
      return std::nullopt;
    for (auto [i, value] : llvm::enumerate(*given)) {
      Dims sizes = value.dims();
      if (i < carry.size()) {
        if (value.rank() != carry[i].rank() || value.dtype != carry[i].dtype)
          return (void)op.unsupported("with a carried value that changes its rank or type"), std::nullopt;
        value = op.withDims(value, carry[i].dims());
        if (!value)
          return std::nullopt;
        sizes = carry[i].dims();
      } else {
        sizes.insert(sizes.begin(), length);
      }
      types.push_back(graph::makeTensorType(sizes, value.type().getElementType()));
      results.push_back(value);
    }
    inside.yield(*given);
    region.takeBody(inside.region);
  }
  SmallVector<Value> captures = isolate(op, {&region}), starts, sliced;
  for (const Tensor &x : carry)
    starts.push_back(x.value);
  for (const Tensor &x : xs)
    sliced.push_back(x.value);
  if (random)
    sliced.push_back(turns.value);
  auto scan = graph::ScanOp::create(op.b, op.loc, types, starts, sliced, captures,
                                    isReverse ? op.b.getUnitAttr() : UnitAttr());
  scan.getBody().takeBody(region);
  for (auto [result, value] : llvm::zip(results, scan.getResults()))
    result.value = value;
  return results;
}

std::optional<Tensors> buildScan(Op &op, ArrayRef<Tensor> carry, ArrayRef<Tensor> xs,
                                 llvm::function_ref<Tensors(ArrayRef<Tensor> carried, ArrayRef<Tensor> slices)> body,
                                 bool isReverse) {
  auto onTensors = [&](ArrayRef<Datum> carried, ArrayRef<Datum> slices) -> std::optional<Tensors> {
    Tensors states, parts;
    for (const Datum &value : carried)
      states.push_back(value.tensor);
    for (const Datum &value : slices)
      parts.push_back(value.tensor);
    Tensors results = body(states, parts);
    bool isComplete = !op.isBad() && !results.empty() && llvm::all_of(results, [](const Tensor &t) { return bool(t); });
    return isComplete ? std::optional(results) : std::nullopt;
  };
  return buildScan(op, carry, xs, xs[0].dim(0), onTensors, isReverse);
}

/// The graph's results as tensors. The first ones are carried: they get the sizes that they had before.
static std::optional<Tensors> importTensors(Op &op, const onnx::GraphProto &graph, ArrayRef<Datum> inputs, size_t numCarried) {
  auto values = op.importer.importGraph(op, graph, inputs);
  if (!values)
    return std::nullopt;
  Tensors results;
  for (auto [i, value, output] : llvm::enumerate(*values, graph.output())) {
    Tensor result = op.materialize(value);
    results.push_back(i < numCarried ? result : leaving(op, output, result));
    if (!results.back())
      return std::nullopt;
  }
  return results;
}

static std::optional<Tensors> scanOnce(Op &op, const onnx::GraphProto &graph, ArrayRef<Tensor> carry, ArrayRef<Tensor> xs) {
  return buildScan(op, carry, xs, xs[0].dim(0), [&](ArrayRef<Datum> carried, ArrayRef<Datum> slices) {
    SmallVector<Datum> inputs(carried);
    llvm::append_range(inputs, slices);
    return importTensors(op, graph, inputs, carried.size());
  }, /*isReverse=*/false, &graph);
}

/// Version 8 has a batch dimension in front of everything: one loop for each of its elements.
static LogicalResult convertScan8(Op &op, const onnx::GraphProto &graph, int64_t numXs) {
  int64_t numStates = static_cast<int64_t>(op.numInputs()) - 1 - numXs;
  if (op.has(0))
    return op.unsupported("with lengths of the sequences");
  if (llvm::any_of(op.integerList("directions"), [](int64_t d) { return d != 0; }))
    return op.unsupported("in reverse, of version 8");
  Tensors inputs = op.tensors(1);
  if (op.isBad() || numStates < 0 || numXs < 1)
    return op.isBad() ? failure() : op.error("has too few inputs");
  std::optional<int64_t> batch = graph::asConstant(inputs[0].dim(0));
  if (!batch || *batch > 64)
    return op.unsupported("of version 8 over a batch that is symbolic or large");
  SmallVector<Tensors> parts;
  for (int64_t i = 0; i < *batch; ++i) {
    Tensors own;
    for (const Tensor &input : inputs)
      own.push_back(op.select(input, 0, op.constant(i)));
    std::optional<Tensors> results =
        scanOnce(op, graph, ArrayRef(own).take_front(numStates), ArrayRef(own).drop_front(numStates));
    if (!results)
      return failure();
    parts.resize(results->size());
    for (auto [part, result] : llvm::zip(parts, *results))
      part.push_back(op.unsqueeze(result, 0));
  }
  Tensors results;
  for (const Tensors &part : parts)
    results.push_back(op.concat(part, 0));
  return op.finish(results);
}

static LogicalResult convertScan(Op &op) {
  const onnx::GraphProto *graph = readGraph(op, "body");
  int64_t numXs = op.integer("num_scan_inputs");
  if (!graph || op.isBad())
    return failure();
  if (op.version < 9)
    return convertScan8(op, *graph, numXs);
  int64_t numStates = static_cast<int64_t>(op.numInputs()) - numXs;
  int64_t numStacks = static_cast<int64_t>(op.numOutputs()) - numStates;
  if (numStates < 0 || numXs < 1 || numStacks < 0)
    return op.error("has too few inputs or results");
  Tensors inputs = op.tensors();
  SmallVector<int64_t> axes = op.integersOf("scan_input_axes", numXs, 0),
                       directions = op.integersOf("scan_input_directions", numXs, 0),
                       stackAxes = op.integersOf("scan_output_axes", numStacks, 0),
                       stackDirections = op.integersOf("scan_output_directions", numStacks, 0);
  if (op.isBad())
    return failure();
  auto moveDim = [&](Tensor x, int64_t from, int64_t to) {
    SmallVector<int64_t> order = upTo(x.rank());
    order.erase(order.begin() + from);
    order.insert(order.begin() + to, from);
    return op.permute(x, order);
  };
  Tensors xs;
  for (int64_t i = 0; i < numXs; ++i) {
    Tensor x = inputs[numStates + i];
    if (x.rank() == 0)
      return op.error("scans a scalar");
    x = moveDim(x, op.wrapDim(axes[i], x.rank()), 0);
    xs.push_back(directions[i] ? op.reverse(x, {0}) : x);
  }
  if (op.isBad())
    return failure();
  std::optional<Tensors> results = scanOnce(op, *graph, ArrayRef(inputs).take_front(numStates), xs);
  if (!results)
    return failure();
  for (int64_t i = 0; i < numStacks && numStates + i < static_cast<int64_t>(results->size()); ++i) {
    Tensor &stack = (*results)[numStates + i];
    if (stackDirections[i])
      stack = op.reverse(stack, {0});
    stack = moveDim(stack, 0, op.wrapDim(stackAxes[i], stack.rank()));
  }
  return op.finish(*results);
}

//===----------------------------------------------------------------------===//
// Loop
//===----------------------------------------------------------------------===//

namespace {
/// The parts of a Loop: trips, condition, carried values; results are carried values, then stacks.
struct Loop {
  const onnx::GraphProto *graph;
  std::vector<Datum> carried;
  int64_t numStacks;
  AffineExpr trips; ///< null when it is known only when the model runs
  bool hasTrips;
  std::optional<bool> condition; ///< at the start; none when it is known only when the model runs
};
} // namespace

/// Joins the slices of each step along a new dimension 0. Without steps the declared sizes tell the type.
static Datum stack(Op &op, ArrayRef<Tensor> slices, const onnx::ValueInfoProto &declared) {
  if (!slices.empty()) {
    Tensors parts;
    for (const Tensor &slice : slices)
      parts.push_back(op.unsqueeze(slice, 0));
    return Datum{.tensor = op.concat(parts, 0)};
  }
  std::optional<Dims> dims = op.importer.dimsOf(declared.type());
  ScalarType dtype = toScalarType(declared.type().tensor_type().elem_type());
  if (!dims || llvm::is_contained(*dims, AffineExpr()) || dtype == ScalarType::Unknown) {
    (void)op.unsupported("without steps, with a stack of unknown sizes");
    return {};
  }
  dims->insert(dims->begin(), op.constant(0));
  return Datum{.tensor = op.full(*dims, dtype, 0)};
}

/// Writes the steps out one after the other. None when the condition turns out to be known only when the model runs.
static LogicalResult unroll(Op &op, Loop &loop, int64_t trips) {
  std::vector<Datum> carried = loop.carried;
  SmallVector<Tensors> stacks(loop.numStacks);
  for (int64_t i = 0; i < trips; ++i) {
    std::vector<Datum> inputs{knownScalar(op, ScalarType::Long, i), knownScalar(op, ScalarType::Bool, 1)};
    inputs.insert(inputs.end(), carried.begin(), carried.end());
    auto results = op.importer.importGraph(op, *loop.graph, inputs);
    if (!results)
      return failure();
    std::optional<bool> goesOn = knownBool(op, (*results)[0]);
    if (!goesOn && i + 1 < trips)
      return op.unsupported("with a condition that is known only when the model runs and values that change their sizes");
    std::copy_n(results->begin() + 1, carried.size(), carried.begin());
    for (int64_t k = 0; k < loop.numStacks; ++k) {
      stacks[k].push_back(op.materialize((*results)[1 + carried.size() + k]));
      if (!stacks[k].back())
        return failure();
    }
    if (goesOn == false)
      break;
  }
  for (int64_t k = 0; k < loop.numStacks; ++k) {
    const onnx::ValueInfoProto &declared = loop.graph->output(1 + loop.carried.size() + k);
    carried.push_back(stack(op, stacks[k], declared));
    if (op.isBad())
      return failure();
  }
  return op.finish(ArrayRef<Datum>(carried));
}

/// Whether the body passes its condition through or gives a constant.
static bool hasFixedCondition(const onnx::GraphProto &graph) {
  StringRef name = graph.output_size() ? StringRef(graph.output(0).name()) : StringRef();
  for (int i = graph.node_size() - 1; i >= 0; --i) {
    const onnx::NodeProto &node = graph.node(i);
    if (node.output_size() == 0 || name != node.output(0))
      continue;
    if (node.op_type() == "Constant")
      return true;
    if (node.input_size() != 1 || (node.op_type() != "Identity" && node.op_type() != "Cast"))
      return false;
    name = node.input(0);
  }
  return graph.input_size() > 1 && (name == graph.input(1).name() ||
                                    llvm::any_of(graph.initializer(), [&](auto &t) { return name == t.name(); }));
}

/// A loop of `length` steps, which stack slices. When the number of trips says the length, the condition must hold in every
/// step; a length that is only declared is checked: the steps that the loop makes are counted.
static LogicalResult loopAsScan(Op &op, Loop &loop, ArrayRef<Tensor> carry, AffineExpr length, bool isDeclared) {
  Tensor positions = op.generate(ScalarType::Long, ScalarType::Long, {length},
                                 [&](Scalars &s, ValueRange) { return op.index(s, 0); });
  // How many of the conditions before the first step and after each one held, up to the first that did not.
  constexpr int64_t kAlways = int64_t(1) << 53;
  Tensor held = op.scalar(ScalarType::Long, loop.condition.value_or(true) ? 1 : 0);
  if (!loop.condition && op.has(1))
    held = op.convert(predicate(op, op.tensor(1)), ScalarType::Long);
  bool isCounted = isDeclared && !hasFixedCondition(*loop.graph);
  Tensors states(carry);
  if (isCounted)
    states.push_back(held);
  std::optional<bool> goesOn;
  auto results = buildScan(
      op, states, positions, length, [&](ArrayRef<Datum> carried, ArrayRef<Datum> slices) -> std::optional<Tensors> {
        std::vector<Datum> inputs{slices[0], knownScalar(op, ScalarType::Bool, 1)};
        inputs.insert(inputs.end(), carried.begin(), carried.begin() + carry.size());
        auto values = op.importer.importGraph(op, *loop.graph, inputs);
        if (!values)
          return std::nullopt;
        goesOn = knownBool(op, (*values)[0]);
        if (!isDeclared && goesOn != true)
          return (void)op.unsupported("with stacked results whose number is known only when the model runs",
                                      "declare the sizes of the results"),
                 std::nullopt;
        Tensors given;
        for (auto [i, value, output] : llvm::enumerate(*values, loop.graph->output())) {
          if (i == 0)
            continue;
          Tensor result = op.materialize(value);
          given.push_back(i <= carry.size() ? result : leaving(op, output, result));
          if (!given.back())
            return std::nullopt;
        }
        if (isCounted) {
          Tensor holds = predicate(op, op.materialize((*values)[0]));
          given.insert(given.begin() + carry.size(),
                       op.map(ScalarType::Long, ScalarType::Long, {carried.back().tensor, slices[0].tensor, Operand::raw(holds)},
                              [](Scalars &s, ValueRange v) {
                                Value isAlive = s.compare(Compare::Gt, v[0], v[1]);
                                return s.select(s.both(isAlive, v[2]), s.add(v[0], s.integer(1)), v[0]);
                              }));
        }
        return given;
      },
      /*isReverse=*/false, loop.graph);
  if (!results)
    return failure();
  if (isCounted) {
    held = (*results)[carry.size()];
    results->erase(results->begin() + carry.size());
  } else if (isDeclared && !goesOn) {
    return op.unsupported("with stacked results and a condition that is known only when the model runs");
  } else if (goesOn == true) {
    held = op.unary(held, [&](Scalars &s, Value v) { return s.mul(v, s.integer(kAlways)); });
  }
  bool isProven = loop.condition == true && goesOn == true && loop.trips && graph::normalize(loop.trips) == length;
  if (isDeclared && !isProven) {
    Tensor trips = loop.hasTrips ? op.reshape(op.convert(op.tensor(0), ScalarType::Long), {})
                                 : op.scalar(ScalarType::Long, static_cast<double>(kAlways));
    claimSize(op, op.binary(held, trips, [](Scalars &s, Value h, Value t) { return s.max(s.min(h, t), s.integer(0)); }),
              length);
  }
  return op.isBad() ? failure() : op.finish(*results);
}

/// For as long as the condition holds and trips are left.
static LogicalResult loopAsWhile(Op &op, Loop &loop, ArrayRef<Tensor> values) {
  Tensors carry{op.scalar(ScalarType::Long, 0),
                loop.condition || !op.has(1) ? op.scalar(ScalarType::Bool, loop.condition.value_or(true))
                                             : predicate(op, op.tensor(1))};
  llvm::append_range(carry, values);
  Tensor trips = loop.hasTrips ? op.reshape(op.convert(op.tensor(0), ScalarType::Long), {}) : Tensor();
  if (op.isBad() || !carry[1])
    return failure();
  Region regions[2];
  RandomState::Place random = randomPlace(op, loop.graph);
  for (int i = 0; i < 2; ++i) {
    RegionBuilder inside(op);
    std::vector<Datum> inputs;
    for (const Tensor &x : carry)
      inputs.push_back(inside.take(x.value.getType(), x.dtype));
    if (i == 0) {
      Tensor goesOn = inputs[1].tensor;
      if (trips)
        goesOn = op.map(
            ScalarType::Bool, ScalarType::Long, {Operand::raw(goesOn), inputs[0].tensor, trips},
            [](Scalars &s, ValueRange v) { return s.both(v[0], s.compare(Compare::Lt, v[1], v[2])); }, ScalarType::Bool);
      if (!goesOn)
        return failure();
      inside.yield(goesOn);
    } else {
      inputs[1] = knownScalar(op, ScalarType::Bool, 1);
      inside.drawFrom(random, inputs[0].tensor);
      Tensor next = op.unary(inputs[0].tensor, [](Scalars &s, Value v) { return s.add(v, s.integer(1)); });
      std::optional<Tensors> given = importTensors(op, *loop.graph, inputs, inputs.size());
      if (!given || given->size() + 1 < carry.size())
        return failure();
      given->resize(carry.size() - 1);
      given->insert(given->begin(), next);
      (*given)[1] = predicate(op, (*given)[1]);
      for (auto [value, start] : llvm::zip(*given, carry)) {
        if (!value)
          return failure();
        if (value.rank() != start.rank() || value.dtype != start.dtype)
          return op.unsupported("with a carried value that changes its rank or type");
        value = op.withDims(value, start.dims());
        if (!value)
          return failure();
      }
      inside.yield(*given);
    }
    regions[i].takeBody(inside.region);
  }
  SmallVector<Value> captures = isolate(op, {&regions[0], &regions[1]}), initial;
  for (const Tensor &x : carry)
    initial.push_back(x.value);
  auto result = graph::WhileOp::create(op.b, op.loc, ValueRange(initial).getTypes(), initial, captures);
  result.getCondition().takeBody(regions[0]);
  result.getBody().takeBody(regions[1]);
  Tensors results;
  for (auto [value, start] : llvm::zip(result.getResults().drop_front(2), values))
    results.push_back({value, start.dtype});
  return op.finish(results);
}

static LogicalResult convertLoop(Op &op) {
  Loop loop;
  loop.graph = readGraph(op, "body");
  if (!loop.graph)
    return failure();
  for (unsigned i = 2; i < op.numInputs(); ++i) {
    const Datum *value = op.datum(i);
    if (!value)
      return failure();
    loop.carried.push_back(*value);
  }
  int64_t numCarried = loop.carried.size();
  loop.numStacks = loop.graph->output_size() - 1 - numCarried;
  if (loop.numStacks < 0 || loop.graph->input_size() != numCarried + 2)
    return op.error("has a body that does not fit its inputs");
  loop.hasTrips = op.has(0);
  if (std::optional<Dims> trips = op.sizes(0); trips && trips->size() == 1)
    loop.trips = (*trips)[0];
  loop.condition = op.has(1) ? knownBool(op, *op.datum(1)) : std::optional(true);
  std::optional<int64_t> count = loop.trips ? graph::asConstant(loop.trips) : std::nullopt;
  bool isEmpty = (count && *count <= 0) || loop.condition == false;
  bool hasSequences = llvm::any_of(loop.carried, [](const Datum &value) { return !value.isTensor(); });
  bool isShort = count && *count <= kMaxUnrolled && *count * std::max(loop.graph->node_size(), 1) <= kMaxUnrolled &&
                 hasFixedCondition(*loop.graph);
  if (isEmpty || (loop.condition && count && (isShort || hasSequences)))
    return unroll(op, loop, isEmpty ? 0 : *count);
  if (hasSequences)
    return op.unsupported("over a sequence or an optional, with a number of steps that is known only when the model runs");
  Tensors carry;
  for (const Datum &value : loop.carried)
    carry.push_back(op.materialize(value));
  if (op.isBad() || llvm::any_of(carry, [](const Tensor &t) { return !t; }))
    return failure();
  if (loop.numStacks == 0)
    return loopAsWhile(op, loop, carry);
  // The number of steps is the stacks' first size, where the model says it.
  for (int64_t k = 0; k < loop.numStacks; ++k)
    if (std::optional<Dims> dims = op.declaredDims(numCarried + k); dims && !dims->empty() && (*dims)[0])
      return loopAsScan(op, loop, carry, (*dims)[0], true);
  if (loop.trips && loop.condition == true)
    return loopAsScan(op, loop, carry, loop.trips, false);
  return op.unsupported("with stacked results whose number is known only when the model runs",
                        "declare the sizes of the results");
}

void populateControl(ConverterTable &t) {
  t["If"] = convertIf;
  t["Loop"] = convertLoop;
  t["Scan"] = convertScan;
}

} // namespace tenon::onnx_import
