//===- Interpreter.cpp - calls, symbols, weights and the order of ops -----===//
#include "Evaluate.h"
#include "llvm/Support/MathExtras.h"
#include <cmath>

using namespace mlir;

namespace tenon::interp {

static constexpr int kMaxCallDepth = 200;

WeightProvider makeWeightProvider(WeightStore &store) {
  return [&store](graph::WeightOp op) { return store.read(op); };
}

static std::string str(AffineExpr expr) {
  std::string text;
  llvm::raw_string_ostream(text) << expr;
  return text;
}

//===----------------------------------------------------------------------===//
// Symbols
//===----------------------------------------------------------------------===//

namespace {
/// value = scale * symbol + offset, or an error.
struct Linear {
  int64_t scale, offset;
  std::optional<unsigned> symbol;
};
} // namespace

/// The form of an expression that is linear in at most one unknown symbol.
static std::optional<Linear> toLinear(AffineExpr expr, ArrayRef<std::optional<int64_t>> symbols) {
  if (auto constant = dyn_cast<AffineConstantExpr>(expr))
    return Linear{0, constant.getValue(), std::nullopt};
  if (auto symbol = dyn_cast<AffineSymbolExpr>(expr)) {
    if (symbol.getPosition() >= symbols.size())
      return std::nullopt;
    if (std::optional<int64_t> value = symbols[symbol.getPosition()])
      return Linear{0, *value, std::nullopt};
    return Linear{1, 0, symbol.getPosition()};
  }
  auto binary = dyn_cast<AffineBinaryOpExpr>(expr);
  if (!binary)
    return std::nullopt;
  std::optional<Linear> l = toLinear(binary.getLHS(), symbols), r = toLinear(binary.getRHS(), symbols);
  if (!l || !r)
    return std::nullopt;
  Linear out{0, 0, l->symbol ? l->symbol : r->symbol};
  if (expr.getKind() == AffineExprKind::Add) {
    if (l->symbol && r->symbol && *l->symbol != *r->symbol)
      return std::nullopt;
    if (llvm::AddOverflow(l->scale, r->scale, out.scale) || llvm::AddOverflow(l->offset, r->offset, out.offset))
      return std::nullopt;
    return out;
  }
  if (expr.getKind() == AffineExprKind::Mul) {
    if (l->symbol && r->symbol)
      return std::nullopt;
    int64_t factor = l->symbol ? r->offset : l->offset;
    Linear &other = l->symbol ? *l : *r;
    if (llvm::MulOverflow(other.scale, factor, out.scale) || llvm::MulOverflow(other.offset, factor, out.offset))
      return std::nullopt;
    return out;
  }
  if (l->symbol || r->symbol)
    return std::nullopt;
  AffineExpr folded = getAffineBinaryOpExpr(expr.getKind(), getAffineConstantExpr(l->offset, expr.getContext()),
                                            getAffineConstantExpr(r->offset, expr.getContext()));
  std::optional<int64_t> value = graph::evaluate(folded, {});
  return value ? std::optional(Linear{0, *value, std::nullopt}) : std::nullopt;
}

/// Gives the one unknown symbol of `expr` the value that makes it `size`; true when it did.
static bool solve(AffineExpr expr, int64_t size, std::vector<std::optional<int64_t>> &symbols) {
  std::optional<Linear> linear = toLinear(expr, symbols);
  if (!linear || !linear->symbol || linear->scale == 0)
    return false;
  int64_t rest;
  if (llvm::SubOverflow(size, linear->offset, rest) || rest % linear->scale != 0)
    return false;
  symbols[*linear->symbol] = rest / linear->scale;
  return true;
}

static std::optional<int64_t> evaluateExpr(AffineExpr expr, ArrayRef<std::optional<int64_t>> symbols) {
  std::vector<int64_t> known;
  bool missing = false;
  for (std::optional<int64_t> s : symbols)
    known.push_back(s.value_or(0));
  expr.walk([&](AffineExpr e) {
    if (auto symbol = dyn_cast<AffineSymbolExpr>(e))
      missing |= symbol.getPosition() >= symbols.size() || !symbols[symbol.getPosition()];
  });
  return missing ? std::nullopt : graph::evaluate(expr, known);
}

std::optional<Shape> evaluateShape(RankedTensorType type, ArrayRef<std::optional<int64_t>> symbols) {
  Shape shape;
  if (!type.hasStaticShape() && !isa_and_nonnull<graph::DimsAttr>(type.getEncoding()))
    return std::nullopt;
  for (AffineExpr expr : graph::getDims(type)) {
    std::optional<int64_t> size = evaluateExpr(expr, symbols);
    if (!size || *size < 0)
      return std::nullopt;
    shape.push_back(*size);
  }
  return shape;
}

//===----------------------------------------------------------------------===//
// Frame
//===----------------------------------------------------------------------===//

FailureOr<int64_t> Frame::evaluate(Operation *op, AffineExpr expr) const {
  if (std::optional<int64_t> value = evaluateExpr(expr, symbols))
    return *value;
  return op->emitOpError() << "size " << str(expr) << " has no value here";
}

FailureOr<Shape> Frame::evaluate(Operation *op, ArrayRef<AffineExpr> exprs) const {
  Shape values;
  for (AffineExpr expr : exprs) {
    FailureOr<int64_t> value = evaluate(op, expr);
    if (failed(value))
      return failure();
    values.push_back(*value);
  }
  return values;
}

FailureOr<Shape> Frame::shapeOf(Operation *op, Type type) const {
  auto tensor = dyn_cast<RankedTensorType>(type);
  if (!tensor || (!tensor.hasStaticShape() && !isa_and_nonnull<graph::DimsAttr>(tensor.getEncoding())))
    return op->emitOpError() << "type " << type << " is not a tensor of known sizes";
  FailureOr<Shape> shape = evaluate(op, graph::getDims(tensor));
  if (succeeded(shape))
    for (auto [size, expr] : llvm::zip(*shape, graph::getDims(tensor)))
      if (size < 0)
        return op->emitOpError() << "size " << str(expr) << " is " << size;
  return shape;
}

FailureOr<Tensor> Frame::make(Operation *op, Type elementType, ArrayRef<int64_t> shape) const {
  if (!formOf(elementType))
    return op->emitOpError() << "elements of " << elementType << " cannot be interpreted";
  std::optional<int64_t> n = countElements(shape);
  if (!n || *n > interpreter.maxElements)
    return op->emitOpError() << "makes a tensor of shape [" << shape << "] but at most " << interpreter.maxElements
                             << " elements are allowed";
  return Tensor(elementType, shape);
}

FailureOr<Tensor> Frame::make(Operation *op, Type type) const {
  FailureOr<Shape> shape = shapeOf(op, type);
  if (failed(shape))
    return failure();
  return make(op, getElementTypeOrSelf(type), *shape);
}

//===----------------------------------------------------------------------===//
// Blocks
//===----------------------------------------------------------------------===//

static Results one(FailureOr<Tensor> tensor) {
  if (failed(tensor))
    return failure();
  return SmallVector<Tensor, 2>{*tensor};
}

/// Takes slice `i` of the first dimension.
static Tensor takeSlice(const Tensor &tensor, int64_t i) {
  Tensor result(tensor.elementType, ArrayRef(tensor.shape).drop_front());
  int64_t n = result.size();
  result.visitMut([&](auto &to) {
    using T = typename std::decay_t<decltype(to)>::value_type;
    std::copy_n(tensor.as<T>().begin() + i * n, n, to.begin());
  });
  return result;
}

static void putSlice(Tensor &tensor, int64_t i, const Tensor &slice) {
  int64_t n = slice.size();
  tensor.visitMut([&](auto &to) {
    using T = typename std::decay_t<decltype(to)>::value_type;
    std::copy_n(slice.as<T>().begin(), n, to.begin() + i * n);
  });
}

static Results evaluateScan(graph::ScanOp op, Frame &frame) {
  SmallVector<Tensor, 4> carried;
  for (Value v : op.getCarry())
    carried.push_back(frame.get(v));
  std::optional<int64_t> length;
  auto agree = [&](int64_t n) { return !length || *length == n; };
  for (Value x : op.getXs()) {
    int64_t n = frame.get(x).shape[0];
    if (!agree(n))
      return op.emitOpError() << "has xs of lengths " << *length << " and " << n;
    length = n;
  }
  SmallVector<Tensor, 4> stacks;
  for (Value result : op.getResults().drop_front(op.getCarry().size())) {
    FailureOr<Tensor> stack = frame.make(op, result.getType());
    if (failed(stack))
      return failure();
    if (!agree(stack->shape[0]))
      return op.emitOpError() << "has xs of length " << *length << " but stacks " << stack->shape[0];
    length = stack->shape[0];
    stacks.push_back(*stack);
  }
  Block &body = op.getBody().front();
  for (int64_t step = 0; step < length.value_or(0); ++step) {
    int64_t i = op.getReverse() ? *length - 1 - step : step;
    unsigned arg = 0;
    for (const Tensor &t : carried)
      frame.values[body.getArgument(arg++)] = t;
    for (Value x : op.getXs())
      frame.values[body.getArgument(arg++)] = takeSlice(frame.get(x), i);
    for (Value c : op.getCaptures()) {
      Tensor captured = frame.get(c);
      frame.values[body.getArgument(arg++)] = captured;
    }
    Results yielded = evaluateBlock(body, frame);
    if (failed(yielded))
      return failure();
    for (auto [i, t] : llvm::enumerate(carried))
      t = (*yielded)[i];
    for (auto [k, stack] : llvm::enumerate(stacks))
      putSlice(stack, i, (*yielded)[carried.size() + k]);
  }
  SmallVector<Tensor, 2> results(carried.begin(), carried.end());
  results.append(stacks.begin(), stacks.end());
  return results;
}

/// Binds the captures, the last arguments of a region, to their values outside.
static void bindCaptures(Operation *op, Block &block, Frame &frame) {
  OperandRange captures = graph::getCaptures(op);
  unsigned first = block.getNumArguments() - captures.size();
  SmallVector<Tensor> values; // all are read before any is bound: binding may move what `get` refers to
  for (Value v : captures)
    values.push_back(frame.get(v));
  for (auto [i, value] : llvm::enumerate(values))
    frame.values[block.getArgument(first + i)] = value;
}

static Results evaluateCond(graph::CondOp op, Frame &frame) {
  bool isTrue = frame.get(op.getPredicate()).ints()[0] != 0;
  Block &block = (isTrue ? op.getThenBody() : op.getElseBody()).front();
  bindCaptures(op, block, frame);
  return evaluateBlock(block, frame);
}

static Results evaluateWhile(graph::WhileOp op, Frame &frame) {
  SmallVector<Tensor, 2> carried;
  for (Value v : op.getCarry())
    carried.push_back(frame.get(v));
  Block &condition = op.getCondition().front(), &body = op.getBody().front();
  for (int64_t step = 0;; ++step) {
    for (Block *block : {&condition, &body}) {
      for (auto [i, value] : llvm::enumerate(carried))
        frame.values[block->getArgument(i)] = value;
      bindCaptures(op, *block, frame);
      Results yielded = evaluateBlock(*block, frame);
      if (failed(yielded))
        return failure();
      if (block == &body)
        carried = *yielded;
      else if ((*yielded)[0].ints()[0] == 0)
        return carried;
    }
    if (step >= frame.interpreter.maxSteps)
      return op.emitOpError() << "runs more than " << frame.interpreter.maxSteps << " steps";
  }
}

static Results evaluateDefineSize(graph::DefineSizeOp op, Frame &frame) {
  int64_t value = frame.get(op.getValue()).ints()[0];
  unsigned position = op.getSymbol();
  if (frame.symbols.size() <= position)
    frame.symbols.resize(position + 1);
  frame.symbols[position] = std::nullopt;
  auto symbols = op->getParentOfType<func::FuncOp>()->getAttrOfType<ArrayAttr>("graph.symbols");
  if (symbols && position < symbols.size()) {
    auto symbol = cast<graph::SymbolAttr>(symbols[position]);
    int64_t most = symbol.getMax();
    if (symbol.getBound()) {
      FailureOr<int64_t> bound = frame.evaluate(op, symbol.getBound().getExprs()[0]);
      if (failed(bound))
        return failure();
      most = std::min(most, *bound);
    }
    if (value < symbol.getMin() || value > most)
      return op.emitOpError() << "gives " << value << " to s" << position << " ('" << symbol.getName()
                              << "') but it must be in [" << symbol.getMin() << ", " << most << "]";
  }
  frame.symbols[position] = value;
  return SmallVector<Tensor, 2>();
}

static Results evaluateSize(graph::SizeOp op, Frame &frame) {
  FailureOr<Shape> sizes = frame.evaluate(op, op.getExprs().getExprs());
  FailureOr<Tensor> result = frame.make(op, op.getType());
  if (failed(sizes) || failed(result))
    return failure();
  llvm::copy(*sizes, result->mut<int64_t>().begin());
  return one(result);
}

static Results evaluateCall(func::CallOp op, Frame &frame) {
  auto callee = SymbolTable::lookupNearestSymbolFrom<func::FuncOp>(op, op.getCalleeAttr());
  if (!callee)
    return op.emitOpError() << "calls " << op.getCalleeAttr() << ", which is no function";
  SmallVector<Tensor> inputs;
  for (Value v : op.getOperands())
    inputs.push_back(frame.get(v));
  FailureOr<std::vector<Tensor>> outputs = frame.interpreter.call(callee, inputs, {}, op.getLoc());
  if (failed(outputs))
    return failure();
  return SmallVector<Tensor, 2>(outputs->begin(), outputs->end());
}

static Results evaluateOp(Operation *op, Frame &frame) {
  return TypeSwitch<Operation *, Results>(op)
      .Case([&](graph::MapOp map) { return evaluateMap(map, frame); })
      .Case([&](graph::ConstantOp constant) -> Results {
        llvm::Expected<Tensor> value = Tensor::fromAttribute(constant.getValue());
        if (!value)
          return constant.emitOpError() << llvm::toString(value.takeError());
        return one(*value);
      })
      .Case([&](graph::UseWeightOp use) -> Results {
        auto weight = SymbolTable::lookupNearestSymbolFrom<graph::WeightOp>(use, use.getWeightAttr());
        if (!weight)
          return use.emitOpError() << use.getWeightAttr() << " is not a 'graph.weight'";
        return one(frame.interpreter.weight(weight, use));
      })
      .Case([&](graph::SizeOp size) { return evaluateSize(size, frame); })
      .Case([&](graph::ScanOp scan) { return evaluateScan(scan, frame); })
      .Case([&](graph::CondOp cond) { return evaluateCond(cond, frame); })
      .Case([&](graph::WhileOp loop) { return evaluateWhile(loop, frame); })
      .Case([&](graph::DefineSizeOp define) { return evaluateDefineSize(define, frame); })
      .Case([&](func::CallOp call) { return evaluateCall(call, frame); })
      .Case<graph::PermuteOp, graph::ReshapeOp, graph::BroadcastOp, graph::SliceOp, graph::InsertSliceOp, graph::PadOp,
            graph::ConcatOp, graph::ReverseOp, graph::AssertDimOp>([&](auto o) { return evaluateLayout(o, frame); })
      .Case<graph::GatherOp, graph::ScatterOp, graph::NonzeroOp>([&](auto o) { return evaluateIndexing(o, frame); })
      .Case<graph::ReduceOp, graph::ArgReduceOp, graph::ReduceWindowOp, graph::CumulateOp, graph::SortOp>(
          [&](auto o) { return evaluateReduction(o, frame); })
      .Case<graph::ContractOp, graph::ConvOp, graph::AttentionOp>([&](auto o) { return evaluateProduct(o, frame); })
      .Default([](Operation *o) -> Results { return o->emitOpError("cannot be interpreted"); });
}

/// Every result must have the shape and element type that its type says.
static LogicalResult checkResult(Operation *op, const Tensor &tensor, Type type, Frame &frame) {
  FailureOr<Shape> want = frame.shapeOf(op, type);
  if (failed(want))
    return failure();
  if (tensor.elementType != getElementTypeOrSelf(type) || tensor.shape != *want)
    return op->emitOpError() << "gives a tensor of shape [" << tensor.shape << "] of " << tensor.elementType
                             << " but its type " << type << " means [" << *want << "]";
  return success();
}

Results evaluateBlock(Block &block, Frame &frame) {
  for (Operation &op : block.without_terminator()) {
    Results results = evaluateOp(&op, frame);
    if (failed(results))
      return failure();
    for (auto [tensor, value] : llvm::zip_equal(*results, op.getResults())) {
      if (failed(checkResult(&op, tensor, value.getType(), frame)))
        return failure();
      frame.values[value] = tensor;
    }
  }
  SmallVector<Tensor, 2> results;
  for (Value v : block.getTerminator()->getOperands())
    results.push_back(frame.get(v));
  // Values of this block die here: a loop's body does not keep the memory of its last pass.
  for (Operation &op : block)
    for (Value v : op.getResults())
      frame.values.erase(v);
  return results;
}

//===----------------------------------------------------------------------===//
// Functions
//===----------------------------------------------------------------------===//

Interpreter::Interpreter(ModuleOp module, WeightProvider weights) : module(module), weights(std::move(weights)) {}

FailureOr<Tensor> Interpreter::weight(graph::WeightOp op, Operation *user) {
  auto cached = weightCache.find(op);
  if (cached != weightCache.end())
    return cached->second;
  auto type = cast<RankedTensorType>(op.getType());
  std::optional<int64_t> n = countElements(type.getShape());
  if (!n || *n > maxElements)
    return user->emitOpError() << "uses a weight of " << type << " but at most " << maxElements
                               << " elements are allowed";
  if (!weights)
    return user->emitOpError() << "uses weight '" << op.getSymName() << "' but there is no source of weights";
  llvm::Expected<WeightBytes> bytes = weights(op);
  if (!bytes)
    return user->emitOpError() << "has no value: " << llvm::toString(bytes.takeError());
  llvm::Expected<Tensor> tensor = Tensor::fromBytes(type.getElementType(), type.getShape(), bytes->get());
  if (!tensor)
    return user->emitOpError() << "has no value: " << llvm::toString(tensor.takeError());
  return weightCache[op] = *tensor;
}

FailureOr<Tensor> Interpreter::initialValue(graph::VariableOp op) {
  auto type = cast<RankedTensorType>(op.getType());
  if (FlatSymbolRefAttr init = op.getInitAttr()) {
    auto source = SymbolTable::lookupNearestSymbolFrom<graph::WeightOp>(op, init);
    if (!source || source.getType() != type)
      return op.emitOpError() << "init " << init << " is not a 'graph.weight' of " << type;
    return weight(source, op);
  }
  std::optional<int64_t> n = countElements(type.getShape());
  if (!formOf(type.getElementType()) || !n || *n > maxElements)
    return op.emitOpError() << "of " << type << " cannot be held";
  return Tensor(type.getElementType(), type.getShape());
}

/// Binds the symbols of `function` to the sizes of `inputs`, and checks every size.
static LogicalResult bindSymbols(func::FuncOp function, ArrayRef<Tensor> inputs, Frame &frame, Location caller) {
  auto declared = function->getAttrOfType<ArrayAttr>("graph.symbols");
  if (frame.symbols.size() < (declared ? declared.size() : 0))
    frame.symbols.resize(declared.size());
  SmallVector<graph::Dims> dims;
  for (auto [i, type, input] : llvm::enumerate(function.getArgumentTypes(), inputs)) {
    auto tensor = dyn_cast<RankedTensorType>(type);
    if (!tensor || (!tensor.hasStaticShape() && !isa_and_nonnull<graph::DimsAttr>(tensor.getEncoding())))
      return function.emitOpError() << "argument " << i << " of type " << type << " is not a tensor of known sizes";
    if (input.elementType != tensor.getElementType() || input.rank() != tensor.getRank())
      return emitError(caller) << "'" << function.getSymName() << "' takes " << type << " as argument " << i
                               << " but is given a tensor of shape [" << input.shape << "] of " << input.elementType;
    dims.push_back(graph::getDims(tensor));
    for (AffineExpr expr : dims.back())
      expr.walk([&](AffineExpr e) {
        if (auto symbol = dyn_cast<AffineSymbolExpr>(e); symbol && symbol.getPosition() >= frame.symbols.size())
          frame.symbols.resize(symbol.getPosition() + 1);
      });
  }
  // Plain symbols first, then whatever has become an equation of one unknown.
  bool changed = true;
  for (bool plain : {true, false})
    for (changed = true; changed;) {
      changed = false;
      for (auto [exprs, input] : llvm::zip(dims, inputs))
        for (auto [expr, size] : llvm::zip(exprs, input.shape))
          if (!plain || isa<AffineSymbolExpr>(expr))
            changed |= solve(expr, size, frame.symbols);
    }
  for (auto [i, exprs, input] : llvm::enumerate(dims, inputs))
    for (auto [d, expr, size] : llvm::enumerate(exprs, input.shape)) {
      std::optional<int64_t> want = evaluateExpr(expr, frame.symbols);
      if (want == size)
        continue;
      InFlightDiagnostic diag = emitError(caller);
      diag << "size " << size << " of dimension " << d << " of argument " << i << " of '" << function.getSymName()
           << "' must be " << str(expr);
      if (want)
        diag << ", here " << *want;
      return diag;
    }
  for (size_t i = 0; declared && i < declared.size(); ++i) {
    auto symbol = dyn_cast<graph::SymbolAttr>(declared[i]);
    if (std::optional<int64_t> value = frame.symbols[i];
        symbol && value && (*value < symbol.getMin() || *value > symbol.getMax()))
      return emitError(caller) << "size " << *value << " of symbol s" << i << " ('" << symbol.getName()
                               << "') is not in its range [" << symbol.getMin() << ", " << symbol.getMax() << "]";
  }
  return success();
}

FailureOr<std::vector<Tensor>> Interpreter::call(func::FuncOp function, ArrayRef<Tensor> inputs,
                                                 ArrayRef<int64_t> symbols, Location caller) {
  if (function.isExternal() || !function.getBody().hasOneBlock())
    return function.emitOpError("must have a body of one block to be interpreted");
  if (inputs.size() != function.getNumArguments())
    return emitError(caller) << "'" << function.getSymName() << "' takes " << function.getNumArguments()
                             << " inputs but is given " << inputs.size();
  if (callDepth >= kMaxCallDepth)
    return emitError(caller) << "calls are nested " << kMaxCallDepth << " deep";
  Frame frame(*this);
  for (int64_t s : symbols)
    frame.symbols.push_back(s < 0 ? std::nullopt : std::optional(s));
  if (failed(bindSymbols(function, inputs, frame, caller)))
    return failure();
  for (auto [arg, input] : llvm::zip(function.getArguments(), inputs))
    frame.values[arg] = input;
  ++callDepth;
  Results results = evaluateBlock(function.getBody().front(), frame);
  --callDepth;
  if (failed(results))
    return failure();
  return std::vector<Tensor>(results->begin(), results->end());
}

FailureOr<std::vector<Tensor>> Interpreter::run(StringRef entry, ArrayRef<Tensor> inputs, ArrayRef<int64_t> symbols) {
  auto function = module.lookupSymbol<func::FuncOp>(entry);
  if (!function)
    return module.emitError() << "there is no function '" << entry << "'";
  return call(function, inputs, symbols, function.getLoc());
}

} // namespace tenon::interp
