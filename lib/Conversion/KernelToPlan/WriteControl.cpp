//===- WriteControl.cpp - loops and branches of a plan --------------------===//
#include "EntryWriter.h"

using namespace mlir;
using namespace tenon;

/// Copies a loop's first value to where its last one belongs, `bytes` times `needed` (0 or 1). Inside another loop the
/// value may be there already, but not at that loop's first step.
void EntryWriter::copyInitial(Location loc, Value init, Value final, AffineExpr bytes, AffineExpr needed) {
  for (auto either = init.getDefiningOp<plan::ChooseOp>(); either && either.getOther() == final;
       either = init.getDefiningOp<plan::ChooseOp>()) {
    needed = needed * constant(1).floorDiv(either.getCondition().getValue() + 1);
    init = either.getZero();
  }
  if (final != init)
    copy(loc, init, final, bytes * needed);
}

void EntryWriter::bindCaptures(Scope &scope, Operation *op, Scope &inner, Block &block) {
  OperandRange captures = graph::getCaptures(op);
  unsigned first = block.getNumArguments() - captures.size();
  for (auto [i, capture] : llvm::enumerate(captures))
    inner.places[block.getArgument(first + i)] = placeOf(scope, capture);
}

void EntryWriter::writeScan(Scope &scope, graph::ScanOp scan, unsigned depth) {
  Location loc = scan.getLoc();
  const BlockPlan &body = scope.plan->body(scan.getBody());
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
    copyInitial(loc, inits[c], finals[c], bytes, isEmpty);
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
  bindCaptures(scope, scan, inner, block);
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
  for (auto [j, value] : llvm::enumerate(yielded.drop_front(carryCount)))
    if (!body.hasHome(value, Home::Stack, j))
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

void EntryWriter::writeCond(Scope &scope, graph::CondOp cond, unsigned depth) {
  Location loc = cond.getLoc();
  SmallVector<Value> results;
  for (Value result : cond.getResults())
    results.push_back(bufferOf(scope, result, loc));
  auto branch = plan::IfOp::create(builder, loc, bufferOf(scope, cond.getPredicate(), loc));
  OpBuilder::InsertionGuard guard(builder);
  for (auto [from, to] : {std::pair(&cond.getThenBody(), &branch.getThenBody()),
                          std::pair(&cond.getElseBody(), &branch.getElseBody())}) {
    builder.setInsertionPointToStart(&to->emplaceBlock());
    const BlockPlan &body = scope.plan->body(*from);
    Block &block = from->front();
    Scope inner(&body);
    bindCaptures(scope, cond, inner, block);
    inner.home = [&](const BlockPlan::Class &cls, Location) { return results[cls.index]; };
    writeBlock(inner, block, depth);
    for (auto [j, value] : llvm::enumerate(block.getTerminator()->getOperands()))
      if (!body.isProduced(value) || !(body.hasHome(value, Home::Result, j) || body.hasHome(value, Home::InPlace, j)))
        copyInitial(loc, bufferOf(inner, value, loc), results[j], plan::byteSize(value.getType()), constant(1));
  }
}

void EntryWriter::writeWhile(Scope &scope, graph::WhileOp loop, unsigned depth) {
  Location loc = loop.getLoc();
  const BlockPlan &conditionPlan = scope.plan->body(loop.getCondition()), &bodyPlan = scope.plan->body(loop.getBody());
  Block &condition = loop.getCondition().front(), &body = loop.getBody().front();
  unsigned carryCount = loop.getCarry().size();
  AffineExpr step = getAffineDimExpr(depth, func.getContext()), parity = step % 2;
  SmallVector<Value> inits(carryCount), finals(carryCount), temps(carryCount);
  auto bytesOf = [&](unsigned c) { return plan::byteSize(loop.getCarry()[c].getType()); };
  for (unsigned c = 0; c < carryCount; ++c) {
    CarryPlan::Kind kind = bodyPlan.carries[c].kind;
    if (kind == CarryPlan::Unchanged)
      continue;
    inits[c] = bufferOf(scope, loop.getCarry()[c], loc);
    finals[c] = bufferOf(scope, loop.getResults()[c], loc);
    if (kind != CarryPlan::InPlace)
      temps[c] = alloc(loc, bytesOf(c));
  }
  auto steps = plan::WhileOp::create(builder, loc);
  OpBuilder::InsertionGuard guard(builder);
  // Where the carried values are after an even number of steps, and after an odd one.
  auto bind = [&](Scope &inner, Block &block) {
    for (unsigned c = 0; c < carryCount; ++c) {
      if (!finals[c]) {
        inner.places[block.getArgument(c)] = placeOf(scope, loop.getCarry()[c]);
        continue;
      }
      Value current = inits[c] == finals[c] ? finals[c] : choose(loc, step, inits[c], finals[c]);
      if (temps[c])
        current = choose(loc, parity, current, temps[c]);
      inner.places[block.getArgument(c)] = {current, nullptr, {}};
    }
    bindCaptures(scope, loop, inner, block);
  };

  builder.setInsertionPointToStart(&steps.getCondition().emplaceBlock());
  Scope before(&conditionPlan);
  bind(before, condition);
  writeBlock(before, condition, depth + 1);
  plan::TestOp::create(builder, loc, bufferOf(before, condition.getTerminator()->getOperand(0), loc));

  builder.setInsertionPointToStart(&steps.getBody().emplaceBlock());
  Scope inner(&bodyPlan);
  bind(inner, body);
  SmallVector<Value> next(carryCount);
  for (unsigned c = 0; c < carryCount; ++c)
    if (finals[c])
      next[c] = temps[c] ? choose(loc, parity, temps[c], finals[c]) : finals[c];
  inner.home = [&](const BlockPlan::Class &cls, Location) { return next[cls.index]; };
  writeBlock(inner, body, depth + 1);
  for (auto [c, value] : llvm::enumerate(body.getTerminator()->getOperands()))
    if (bodyPlan.carries[c].kind == CarryPlan::PingPongCopy)
      copy(loc, bufferOf(inner, value, loc), next[c], bytesOf(c));

  builder.setInsertionPointToStart(&steps.getExit().emplaceBlock());
  for (unsigned c = 0; c < carryCount; ++c) {
    if (!finals[c])
      continue;
    copyInitial(loc, inits[c], finals[c], bytesOf(c), constant(1).floorDiv(step + 1));
    if (temps[c])
      copy(loc, temps[c], finals[c], bytesOf(c) * parity);
  }
}

void EntryWriter::writeDefineSize(Scope &scope, graph::DefineSizeOp op) {
  auto symbol = cast<graph::SymbolAttr>(out.getSymbols()[op.getSymbol()]);
  std::string message = "size '" + symbol.getName().str() + "' is {0} but must be in " +
                        std::to_string(symbol.getMin()) + " .. {1}";
  int32_t site = state.addSite(/*TN_OUT_OF_RANGE*/ 9, message, op.getLoc());
  plan::DefineSizeOp::create(builder, op.getLoc(), op.getSymbol(), bufferOf(scope, op.getValue(), op.getLoc()),
                             symbol.getMin(), symbol.getMax(), plan::makeExpr(symbol.getBound().getExprs()[0]), site);
}
