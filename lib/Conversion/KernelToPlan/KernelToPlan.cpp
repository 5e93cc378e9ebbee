//===- KernelToPlan.cpp - kernels in order -> buffers and order -----------===//
// The half of the conversion that writes the plan; PlanBlocks decides who shares memory.
#include "EntryWriter.h"

namespace tenon {
#define GEN_PASS_DEF_CONVERTKERNELTOPLANPASS
#include "lib/Conversion/KernelToPlan/Passes.h.inc"
} // namespace tenon

using namespace mlir;
using namespace tenon;

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
  scratch = plan::boundAbove(scratch, out.getSymbols());
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

void EntryWriter::writeBlock(Scope &scope, Block &block, unsigned depth) {
  for (Operation &op : block) {
    if (auto call = dyn_cast<kernel::CallOp>(op)) {
      writeCall(scope, call);
    } else if (auto scan = dyn_cast<graph::ScanOp>(op)) {
      writeScan(scope, scan, depth);
    } else if (auto cond = dyn_cast<graph::CondOp>(op)) {
      writeCond(scope, cond, depth);
    } else if (auto loop = dyn_cast<graph::WhileOp>(op)) {
      writeWhile(scope, loop, depth);
    } else if (auto define = dyn_cast<graph::DefineSizeOp>(op)) {
      writeDefineSize(scope, define);
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
