//===- KernelToPlan.cpp - kernels in order -> buffers and order -----------===//
// The half of the conversion that writes the plan; PlanBlocks decides who shares memory.
#include "tenon/Conversion/KernelToPlan.h"
#include "PlanBlocks.h"

namespace tenon {
#define GEN_PASS_DEF_CONVERTKERNELTOPLANPASS
#include "lib/Conversion/KernelToPlan/Passes.h.inc"
} // namespace tenon

using namespace mlir;
using namespace tenon;

namespace {
/// Where a value lives: a buffer, or a constant that has none yet, because its layout depends on who reads it.
struct Place {
  Value buffer;
  Operation *constant = nullptr;
  RankedTensorType type; // of the constant as its reader sees it
};

/// What lasts across entries: constants, variables, error sites.
struct ModuleState {
  ModuleOp module;
  SymbolTable symbols;
  OpBuilder builder; // where constants and variables go
  WeightKeyFn weightKey;
  llvm::StringMap<plan::ConstantOp> constants;
  int64_t constantBytes = 0;
  SmallVector<Attribute> sites;
  int copiedStates = 0, copies = 0, reused = 0;

  ModuleState(ModuleOp module, const WeightKeyFn &weightKey)
      : module(module), symbols(module), builder(OpBuilder::atBlockBegin(module.getBody())), weightKey(weightKey) {}

  plan::ConstantOp getConstant(Operation *source, RankedTensorType type, kernel::LayoutAttr layout);
  int32_t addSite(int32_t code, StringRef message, Location place);
};

/// Writes one entry.
class EntryWriter {
public:
  EntryWriter(ModuleState &state, func::FuncOp func) : state(state), func(func), builder(func.getContext()) {}
  LogicalResult run();

private:
  ModuleState &state;
  func::FuncOp func;
  OpBuilder builder;
  plan::FuncOp out;
  Block *top = nullptr;
  int64_t nextId = 0;
  bool ok = true;
  llvm::StringMap<Value> weights; // constant -> its address
  DenseMap<std::pair<int, int64_t>, Value> ports;

  struct Scope {
    const BlockPlan *plan;
    explicit Scope(const BlockPlan *plan) : plan(plan) {}
    DenseMap<Value, Place> places;                                 // of roots whose place is given
    DenseMap<int, Value> classBuffers;                             // of the others
    std::function<Value(const BlockPlan::Class &, Location)> home; // buffers of classes that are not in the arena
  };

  AffineExpr constant(int64_t value) { return getAffineConstantExpr(value, func.getContext()); }
  Value alloc(Location loc, AffineExpr bytes) {
    return plan::AllocOp::create(builder, loc, builder.getType<plan::BufferType>(), nextId++, plan::makeExpr(bytes),
                                 nullptr, nullptr);
  }
  Value view(Location loc, Value buffer, AffineExpr offset, AffineExpr bytes) {
    return plan::ViewOp::create(builder, loc, builder.getType<plan::BufferType>(), buffer, plan::makeExpr(offset),
                                plan::makeExpr(bytes));
  }
  Value choose(Location loc, AffineExpr condition, Value zero, Value other) {
    return plan::ChooseOp::create(builder, loc, builder.getType<plan::BufferType>(), plan::makeExpr(condition), zero,
                                  other);
  }
  void copy(Location loc, Value source, Value dest, AffineExpr bytes) {
    if (graph::asConstant(graph::normalize(bytes)) == 0)
      return;
    plan::CopyOp::create(builder, loc, source, dest, plan::makeExpr(bytes));
    ++state.copies;
  }
  template <typename Op> Value port(Location loc, int kind, int64_t index, AffineExpr bytes) {
    Value &value = ports[{kind, index}];
    if (!value) {
      OpBuilder::InsertionGuard guard(builder);
      builder.setInsertionPointToStart(top);
      value = Op::create(builder, loc, builder.getType<plan::BufferType>(), index, plan::makeExpr(bytes));
    }
    return value;
  }
  Value statePort(Location loc, StringRef name, int64_t argument, AffineExpr bytes) {
    Value &value = ports[{2, argument}];
    if (!value) {
      OpBuilder::InsertionGuard guard(builder);
      builder.setInsertionPointToStart(top);
      value = plan::StateOp::create(builder, loc, builder.getType<plan::BufferType>(),
                                    FlatSymbolRefAttr::get(func.getContext(), name), plan::makeExpr(bytes));
    }
    return value;
  }
  Value weightBuffer(Location loc, plan::ConstantOp constantOp) {
    Value &value = weights[constantOp.getSymName()];
    if (!value) {
      OpBuilder::InsertionGuard guard(builder);
      builder.setInsertionPointToStart(top);
      value = plan::WeightOp::create(builder, loc, builder.getType<plan::BufferType>(),
                                     FlatSymbolRefAttr::get(func.getContext(), constantOp.getSymName()),
                                     plan::makeExpr(constant(constantOp.getBytes())));
    }
    return value;
  }

  Place placeOf(Scope &scope, Value value);
  Value bufferOf(Scope &scope, Value value, Location loc);
  void writeBlock(Scope &scope, Block &block, unsigned depth);
  void writeCall(Scope &scope, kernel::CallOp call);
  void writeScan(Scope &scope, graph::ScanOp scan, unsigned depth);
  void writeChecks(graph::AssertDimOp op);
};
} // namespace

//===----------------------------------------------------------------------===//
// Module level
//===----------------------------------------------------------------------===//

static std::string print(Attribute attribute) {
  std::string text;
  llvm::raw_string_ostream(text) << attribute;
  return text;
}

plan::ConstantOp ModuleState::getConstant(Operation *source, RankedTensorType type, kernel::LayoutAttr layout) {
  std::string key;
  graph::WeightOp weight;
  ElementsAttr value;
  if (auto op = dyn_cast<graph::ConstantOp>(source)) {
    value = op.getValue();
    // Equal bytes under another shape are told apart; constants are small.
    key = "value " + print(value);
  } else {
    weight = isa<graph::WeightOp>(source)
                 ? cast<graph::WeightOp>(source)
                 : symbols.lookup<graph::WeightOp>(cast<graph::UseWeightOp>(source).getWeight());
    bool isNamed = weight.getSource().getKind() == "owned" || weight.getSource().getKind() == "seed";
    key = weightKey ? weightKey(weight)
                    : "source " + print(weight.getSource()) + print(weight.getTypeAttr()) +
                          (isNamed ? weight.getSymName().str() : "");
  }
  // A plain layout is the same bytes whatever the shape.
  std::string text;
  llvm::raw_string_ostream(text) << key << " as " << type.getElementType();
  if (layout)
    llvm::raw_string_ostream(text) << type << " in " << layout;
  plan::ConstantOp &entry = constants[text];
  if (entry)
    return entry;
  int64_t bytes = layout ? layout.getBytes(type) : type.getNumElements() * plan::elementBytes(type.getElementType());
  std::string name = "c" + std::to_string(constants.size() - 1);
  while (symbols.lookup(name))
    name += "_";
  entry = plan::ConstantOp::create(builder, source->getLoc(), name, constantBytes, bytes, type,
                                   weight ? FlatSymbolRefAttr::get(weight.getSymNameAttr()) : FlatSymbolRefAttr(),
                                   value, layout);
  constantBytes = llvm::alignTo(constantBytes + bytes, plan::kBufferAlign);
  return entry;
}

/// "model.py:12", or the first name in the location, or nothing.
static std::string describe(Location location) {
  std::string result;
  location->walk([&](Location inner) {
    if (auto file = dyn_cast<FileLineColLoc>(inner)) {
      result = (file.getFilename().getValue() + ":" + Twine(file.getLine())).str();
      return WalkResult::interrupt();
    }
    if (auto name = dyn_cast<NameLoc>(inner); name && result.empty())
      result = name.getName().str();
    return WalkResult::advance();
  });
  return result;
}

int32_t ModuleState::addSite(int32_t code, StringRef message, Location place) {
  sites.push_back(plan::SiteAttr::get(module.getContext(), code, message, describe(place)));
  return sites.size() - 1;
}

//===----------------------------------------------------------------------===//
// Entries
//===----------------------------------------------------------------------===//

Place EntryWriter::placeOf(Scope &scope, Value value) {
  Value root = scope.plan->root(value);
  if (auto it = scope.places.find(root); it != scope.places.end()) {
    Place place = it->second;
    if (place.constant)
      place.type = cast<RankedTensorType>(value.getType());
    return place;
  }
  if (Operation *op = root.getDefiningOp(); op && isa<graph::ConstantOp, graph::UseWeightOp>(op))
    return {{}, op, cast<RankedTensorType>(value.getType())};
  int cls = scope.plan->values[scope.plan->indexOf.lookup(root)].cls;
  Value &buffer = scope.classBuffers[cls];
  if (!buffer) {
    const BlockPlan::Class &c = scope.plan->classes[cls];
    buffer =
        c.home == Home::Arena ? alloc(root.getLoc(), plan::byteSize(root.getType())) : scope.home(c, root.getLoc());
  }
  return {buffer, nullptr, {}};
}

Value EntryWriter::bufferOf(Scope &scope, Value value, Location loc) {
  Place place = placeOf(scope, value);
  return place.buffer ? place.buffer : weightBuffer(loc, state.getConstant(place.constant, place.type, {}));
}

void EntryWriter::writeCall(Scope &scope, kernel::CallOp call) {
  auto callee = state.symbols.lookup<kernel::FuncOp>(call.getCallee());
  SmallVector<Value> inputs, outputs;
  SmallVector<int64_t> alias;
  for (auto [i, input] : llvm::enumerate(call.getInputs())) {
    kernel::LayoutAttr layout = callee.getLayout(i);
    Place place = placeOf(scope, input);
    if (layout && !place.constant) {
      call.emitError() << "operand " << i << " of kernel @" << call.getCallee()
                       << " has a stored layout but is not a constant";
      ok = false;
      return;
    }
    inputs.push_back(place.buffer ? place.buffer
                                  : weightBuffer(call.getLoc(), state.getConstant(place.constant, place.type, layout)));
    if (auto result = callee.getArgAttrOfType<IntegerAttr>(i, "kernel.may_alias"))
      alias.append({static_cast<int64_t>(i), result.getInt()});
  }
  for (Value result : call.getResults())
    outputs.push_back(bufferOf(scope, result, call.getLoc()));

  AffineExpr tiles = callee.getExpr("tiles"), scratch = callee.getExpr("scratch"), work = callee.getExpr("work");
  tiles = tiles ? tiles : constant(1);
  scratch = scratch ? scratch : constant(0);
  Value scratchBuffer;
  std::optional<int64_t> fixedWork = work ? graph::asConstant(work) : std::nullopt;
  bool isAlwaysParallel = graph::asConstant(tiles).value_or(2) > 1;
  isAlwaysParallel &= !work || fixedWork.value_or(0) >= plan::kParallelWork;
  if (!isAlwaysParallel && graph::asConstant(scratch) != 0)
    scratchBuffer = alloc(call.getLoc(), scratch);

  int32_t site = state.sites.size();
  if (auto sites = callee->getAttrOfType<ArrayAttr>("sites"))
    for (Attribute message : sites)
      state.addSite(/*TN_OUT_OF_RANGE*/ 9, cast<StringAttr>(message).getValue(), call.getLoc());
  plan::CallOp::create(builder, call.getLoc(), call.getCallee(), inputs, outputs, scratchBuffer, plan::makeExpr(tiles),
                       work ? plan::makeExpr(work) : plan::ExprAttr(), plan::makeExpr(scratch), site,
                       alias.empty() ? DenseI64ArrayAttr() : builder.getDenseI64ArrayAttr(alias));
}

void EntryWriter::writeChecks(graph::AssertDimOp op) {
  graph::Dims have = graph::getDims(op.getInput().getType()), want = graph::getDims(op.getType());
  for (auto [i, pair] : llvm::enumerate(llvm::zip(have, want))) {
    auto [a, b] = pair;
    if (a == b)
      continue;
    int32_t site = state.addSite(
        /*TN_BAD_SHAPE*/ 7, "dimension " + std::to_string(i) + " has size {0} but must have size {1}", op.getLoc());
    plan::CheckOp::create(builder, op.getLoc(), plan::makeExpr(a), plan::makeExpr(b), site);
  }
}

void EntryWriter::writeScan(Scope &scope, graph::ScanOp scan, unsigned depth) {
  Location loc = scan.getLoc();
  const BlockPlan &body = *scope.plan->bodies.find(scan)->second;
  Block &block = scan.getBody().front();
  unsigned carryCount = scan.getCarry().size();
  bool hasXs = !scan.getXs().empty();
  AffineExpr count = graph::getDim(hasXs ? scan.getXs()[0].getType() : scan.getResults()[carryCount].getType(), 0);
  AffineExpr step = getAffineDimExpr(depth, func.getContext());
  AffineExpr at = scan.getReverse() ? count - 1 - step : step, previous = scan.getReverse() ? count - step : step - 1;
  SmallVector<std::pair<int64_t, int64_t>> ranges;
  for (Attribute symbol : out.getSymbols())
    ranges.emplace_back(cast<graph::SymbolAttr>(symbol).getMin(), cast<graph::SymbolAttr>(symbol).getMax());
  auto countRange = graph::rangeOf(count, ranges);
  bool mayBeEmpty = !countRange || countRange->first < 1;
  // 1 when there is no step at all, else 0.
  AffineExpr isEmpty = mayBeEmpty ? constant(1).floorDiv(count + 1) : constant(0);
  if (graph::asConstant(count) == 0)
    isEmpty = constant(1);

  auto sliceBytes = [&](Value stacked) {
    graph::Dims dims = graph::getDims(stacked.getType());
    return graph::normalize(graph::product(ArrayRef(dims).drop_front(), func.getContext()) *
                            plan::elementBytes(cast<RankedTensorType>(stacked.getType()).getElementType()));
  };
  SmallVector<Value> stacks, finals(carryCount), temps(carryCount), inits(carryCount);
  for (Value result : scan.getResults().drop_front(carryCount))
    stacks.push_back(bufferOf(scope, result, loc));
  for (unsigned c = 0; c < carryCount; ++c) {
    inits[c] = bufferOf(scope, scan.getCarry()[c], loc);
    CarryPlan::Kind kind = body.carries[c].kind;
    AffineExpr bytes = plan::byteSize(scan.getCarry()[c].getType());
    Value result = scan.getResults()[c];
    if (kind == CarryPlan::Unchanged || (kind == CarryPlan::ViaStack && result.use_empty()))
      continue;
    finals[c] = bufferOf(scope, result, loc);
    if (kind == CarryPlan::PingPong || kind == CarryPlan::PingPongCopy)
      temps[c] = graph::asConstant(count) == 1 ? finals[c] : alloc(loc, bytes);
    // The initial value of a scan inside a scan may be in the final buffer already, but not at the outer first step.
    Value init = inits[c];
    AffineExpr needed = isEmpty;
    for (auto either = init.getDefiningOp<plan::ChooseOp>(); either && either.getOther() == finals[c];
         either = init.getDefiningOp<plan::ChooseOp>()) {
      needed = needed * constant(1).floorDiv(either.getCondition().getValue() + 1);
      init = either.getZero();
    }
    if (finals[c] != init)
      copy(loc, init, finals[c], bytes * needed);
  }

  auto loop = plan::LoopOp::create(builder, loc, plan::makeExpr(count));
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(&loop.getBody().emplaceBlock());
  Scope inner(&body);
  AffineExpr parity = (count - 1 - step) % 2; // the last step writes the result's own buffer
  SmallVector<Value> nextHome(carryCount);
  for (unsigned c = 0; c < carryCount; ++c) {
    Value current;
    AffineExpr bytes = plan::byteSize(scan.getCarry()[c].getType());
    switch (body.carries[c].kind) {
    case CarryPlan::Unchanged:
      inner.places[block.getArgument(c)] = placeOf(scope, scan.getCarry()[c]);
      continue;
    case CarryPlan::InPlace:
      current = nextHome[c] = finals[c];
      break;
    case CarryPlan::ViaStack: {
      unsigned j = body.carries[c].stack;
      current = view(loc, stacks[j], previous * sliceBytes(scan.getResults()[carryCount + j]), bytes);
      break;
    }
    case CarryPlan::PingPong:
    case CarryPlan::PingPongCopy:
      current = choose(loc, parity, temps[c], finals[c]);
      nextHome[c] = choose(loc, parity, finals[c], temps[c]);
      break;
    }
    if (graph::asConstant(count) == 1)
      current = inits[c]; // there is no later step
    else if (current != inits[c])
      current = choose(loc, step, inits[c], current);
    inner.places[block.getArgument(c)] = {current, nullptr, {}};
  }
  for (auto [i, xs] : llvm::enumerate(scan.getXs())) {
    AffineExpr bytes = sliceBytes(xs);
    inner.places[block.getArgument(carryCount + i)] = {
        view(loc, bufferOf(scope, xs, loc), at * bytes, bytes), nullptr, {}};
  }
  for (auto [i, capture] : llvm::enumerate(scan.getCaptures()))
    inner.places[block.getArgument(carryCount + scan.getXs().size() + i)] = placeOf(scope, capture);
  SmallVector<Value> slices;
  for (auto [j, stack] : llvm::enumerate(stacks)) {
    AffineExpr bytes = sliceBytes(scan.getResults()[carryCount + j]);
    slices.push_back(view(loc, stack, at * bytes, bytes));
  }
  inner.home = [&](const BlockPlan::Class &cls, Location) {
    return cls.home == Home::Stack ? slices[cls.index] : nextHome[cls.index];
  };
  // A carry that is updated in place: its argument has a given place (the initial value at the first step), and the
  // other members of its class live in the final buffer.
  writeBlock(inner, block, depth + 1);

  auto yielded = cast<graph::YieldOp>(block.getTerminator()).getValues();
  auto homeOf = [&](Value value) -> std::pair<Home, unsigned> {
    Value root = body.root(value);
    auto it = body.indexOf.find(root);
    const BlockPlan::Class &cls = body.classes[body.values[it->second].cls];
    return {cls.home, cls.index};
  };
  for (auto [j, value] : llvm::enumerate(yielded.drop_front(carryCount)))
    if (homeOf(value) != std::pair<Home, unsigned>(Home::Stack, j))
      copy(loc, bufferOf(inner, value, loc), slices[j], sliceBytes(scan.getResults()[carryCount + j]));
  for (unsigned c = 0; c < carryCount; ++c)
    if (body.carries[c].kind == CarryPlan::PingPongCopy)
      copy(loc, bufferOf(inner, yielded[c], loc), nextHome[c], plan::byteSize(scan.getCarry()[c].getType()));

  builder.setInsertionPointAfter(loop);
  for (unsigned c = 0; c < carryCount; ++c) {
    if (body.carries[c].kind != CarryPlan::ViaStack || !finals[c])
      continue;
    unsigned j = body.carries[c].stack;
    AffineExpr bytes = plan::byteSize(scan.getCarry()[c].getType());
    AffineExpr last = scan.getReverse() ? constant(0) : (count - 1) * sliceBytes(scan.getResults()[carryCount + j]);
    copy(loc, view(loc, stacks[j], last, bytes), finals[c], bytes - bytes * isEmpty);
  }
}

void EntryWriter::writeBlock(Scope &scope, Block &block, unsigned depth) {
  for (Operation &op : block) {
    if (auto call = dyn_cast<kernel::CallOp>(op)) {
      writeCall(scope, call);
    } else if (auto scan = dyn_cast<graph::ScanOp>(op)) {
      writeScan(scope, scan, depth);
    } else if (auto check = dyn_cast<graph::AssertDimOp>(op)) {
      writeChecks(check);
    } else if (auto size = dyn_cast<graph::SizeOp>(op)) {
      SmallVector<Attribute> values;
      for (AffineExpr expr : size.getExprs().getExprs())
        values.push_back(plan::makeExpr(expr));
      Value dest = bufferOf(scope, size.getResult(), op.getLoc());
      plan::StoreSizesOp::create(builder, op.getLoc(), builder.getArrayAttr(values), dest);
    }
  }
}

LogicalResult EntryWriter::run() {
  // Which arguments and results are variables, and the position of the others in the signature.
  EntryShape shape;
  SmallVector<Attribute> inputs, outputs, statesRead, statesWritten;
  auto stateOf = [](DictionaryAttr attributes) {
    return attributes ? attributes.getAs<FlatSymbolRefAttr>("graph.state") : FlatSymbolRefAttr();
  };
  auto describePort = [&](Type type, DictionaryAttr attributes) {
    NamedAttrList list(attributes);
    list.set("type", TypeAttr::get(type));
    return list.getDictionary(func.getContext());
  };
  DenseMap<Attribute, unsigned> stateArguments;
  for (unsigned i = 0; i < func.getNumArguments(); ++i) {
    if (FlatSymbolRefAttr variable = stateOf(func.getArgAttrDict(i))) {
      if (!stateArguments.try_emplace(variable, i).second)
        return func.emitError() << "argument " << i << " is " << variable << " but so is argument "
                                << stateArguments[variable];
      shape.arguments.push_back({true, i});
      statesRead.push_back(variable);
    } else {
      shape.arguments.push_back({false, static_cast<unsigned>(inputs.size())});
      inputs.push_back(describePort(func.getArgumentTypes()[i], func.getArgAttrDict(i)));
    }
  }
  for (unsigned i = 0; i < func.getNumResults(); ++i) {
    if (FlatSymbolRefAttr variable = stateOf(func.getResultAttrDict(i))) {
      auto it = stateArguments.find(variable);
      if (it == stateArguments.end() || func.getResultTypes()[i] != func.getArgumentTypes()[it->second])
        return func.emitError() << "result " << i << " is " << variable << " but no argument of its type is";
      if (!shape.stateResult.try_emplace(it->second, i).second)
        return func.emitError() << "two results are " << variable;
      shape.results.push_back({true, it->second});
      statesWritten.push_back(variable);
    } else {
      shape.results.push_back({false, static_cast<unsigned>(outputs.size())});
      outputs.push_back(describePort(func.getResultTypes()[i], func.getResultAttrDict(i)));
    }
  }
  FailureOr<std::unique_ptr<BlockPlan>> planned = planEntry(func, shape, state.symbols);
  if (failed(planned))
    return failure();
  const BlockPlan &plan = **planned;
  state.reused += plan.reused;

  auto symbols = func->getAttrOfType<ArrayAttr>("graph.symbols");
  builder.setInsertionPoint(func);
  Location loc = func.getLoc();
  SmallVector<Attribute> copied;
  for (unsigned i = 0; i < func.getNumArguments(); ++i)
    if (auto it = plan.copiedBecause.find(i); it != plan.copiedBecause.end()) {
      FlatSymbolRefAttr variable = stateOf(func.getArgAttrDict(i));
      copied.push_back(builder.getStringAttr(variable.getValue() + ": " + it->second));
      func.emitRemark() << "variable " << variable << " is copied: " << it->second;
      ++state.copiedStates;
    }
  out = plan::FuncOp::create(builder, loc, func.getSymName(), symbols ? symbols : builder.getArrayAttr({}),
                             builder.getArrayAttr(inputs), builder.getArrayAttr(outputs),
                             builder.getArrayAttr(statesRead), builder.getArrayAttr(statesWritten),
                             copied.empty() ? ArrayAttr() : builder.getArrayAttr(copied));
  top = &out.getBody().emplaceBlock();
  builder.setInsertionPointToStart(top);

  Scope scope(&plan);
  auto variableOf = [&](unsigned argument) { return stateOf(func.getArgAttrDict(argument)).getValue(); };
  auto stateBuffer = [&](unsigned argument) {
    return statePort(loc, variableOf(argument), argument, plan::byteSize(func.getArgumentTypes()[argument]));
  };
  for (auto [argument, slot] : llvm::zip(func.getArguments(), shape.arguments))
    scope.places[argument] = {slot.isState
                                  ? stateBuffer(slot.index)
                                  : port<plan::InputOp>(loc, 0, slot.index, plan::byteSize(argument.getType())),
                              nullptr,
                              {}};
  auto outputBuffer = [&](unsigned index) {
    auto type = cast<TypeAttr>(cast<DictionaryAttr>(outputs[index]).get("type")).getValue();
    return port<plan::OutputOp>(loc, 1, index, plan::byteSize(type));
  };
  scope.home = [&](const BlockPlan::Class &cls, Location) {
    return cls.home == Home::Output ? outputBuffer(cls.index) : stateBuffer(cls.index);
  };
  // From here on, the block's end is where the work goes; addresses go to its start.
  builder.setInsertionPointToEnd(top);
  auto returned = cast<func::ReturnOp>(func.getBody().front().getTerminator()).getOperands();
  auto isProduced = [&](Value value) { return plan.values[plan.indexOf.lookup(plan.root(value))].def > 0; };
  // Results that are arguments or constants: copied first, while variables still hold what they held.
  SmallVector<std::pair<Value, unsigned>> savedStates;
  for (auto [value, slot] : llvm::zip(returned, shape.results)) {
    if (isProduced(value))
      continue;
    AffineExpr bytes = plan::byteSize(value.getType());
    if (!slot.isState) {
      copy(loc, bufferOf(scope, value, loc), outputBuffer(slot.index), bytes);
      continue;
    }
    auto argument = dyn_cast<BlockArgument>(plan.root(value));
    if (argument && argument.getArgNumber() == slot.index)
      continue; // the variable keeps its value
    Value source = bufferOf(scope, value, loc);
    if (argument && shape.arguments[argument.getArgNumber()].isState) {
      // Another variable's old value: that one may be written before the end.
      Value saved = alloc(loc, bytes);
      copy(loc, source, saved, bytes);
      source = saved;
    }
    savedStates.emplace_back(source, slot.index);
  }
  writeBlock(scope, func.getBody().front(), 0);
  for (auto [value, slot] : llvm::zip(returned, shape.results)) {
    if (!isProduced(value))
      continue;
    Value source = bufferOf(scope, value, loc),
          dest = slot.isState ? stateBuffer(slot.index) : outputBuffer(slot.index);
    if (source != dest)
      copy(loc, source, dest, plan::byteSize(value.getType()));
  }
  for (auto [source, argument] : savedStates)
    copy(loc, source, stateBuffer(argument), plan::byteSize(func.getArgumentTypes()[argument]));
  return success(ok);
}

static LogicalResult convert(ModuleState &state) {
  bool ok = true;
  SmallVector<func::FuncOp> entries(state.module.getOps<func::FuncOp>());
  SmallVector<graph::VariableOp> variables(state.module.getOps<graph::VariableOp>());
  for (func::FuncOp func : entries)
    ok &= succeeded(EntryWriter(state, func).run());
  if (!ok)
    return failure();
  for (graph::VariableOp variable : variables) {
    auto type = cast<RankedTensorType>(variable.getType());
    plan::ConstantOp init;
    if (variable.getInit())
      init = state.getConstant(state.symbols.lookup<graph::WeightOp>(*variable.getInit()), type, {});
    OpBuilder builder(variable);
    plan::VariableOp::create(builder, variable.getLoc(), variable.getSymName(),
                             type.getNumElements() * plan::elementBytes(type.getElementType()), type,
                             init ? FlatSymbolRefAttr::get(init.getSymNameAttr()) : FlatSymbolRefAttr(),
                             variable.getPersistent());
    variable.erase();
  }
  for (func::FuncOp func : entries)
    func.erase();
  state.module->setAttr("plan.sites", state.builder.getArrayAttr(state.sites));
  return success();
}

LogicalResult tenon::convertKernelToPlan(ModuleOp module, const WeightKeyFn &weightKey) {
  ModuleState state(module, weightKey);
  return convert(state);
}

namespace {
struct ConvertKernelToPlanPass final : tenon::impl::ConvertKernelToPlanPassBase<ConvertKernelToPlanPass> {
  void runOnOperation() override {
    ModuleState state(getOperation(), {});
    if (failed(convert(state)))
      return signalPassFailure();
    copiedStates += state.copiedStates;
    copies += state.copies;
    reused += state.reused;
  }
};
} // namespace
