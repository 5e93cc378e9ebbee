//===- PrepareOperands.cpp - operands in an order that roots can read -----===//
#include "PrepareOperands.h"
#include "tenon/Target/CPU/LayoutChoice.h"
#include "tenon/Target/Device/LowerKernels.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::graph;

/// An op that a kernel can read through.
static bool isView(Operation *op) {
  return isa<PermuteOp, ReshapeOp, BroadcastOp, SliceOp, ReverseOp>(op) && !op->hasAttr(kMaterialize);
}

/// The address of `value` at `point` in the buffer behind the views before it.
static AffineExpr addressOf(Value value, Point point, const IndexSimplifier &simplifier) {
  while (Operation *op = value.getDefiningOp()) {
    Operation *source = skipReshapes(value).getDefiningOp();
    if (!isView(op) || !source || !isView(source))
      break; // the rest of the way, if any, leaves addresses as they are
    auto moved = pullThrough(op, point, simplifier);
    value = moved->first;
    point = moved->second;
  }
  return simplifier.simplify(linearize(point, getDims(value.getType()), value.getContext()));
}

/// Step of `address` along loop dimension `dim`; null when the steps differ.
static AffineExpr strideAlong(AffineExpr address, unsigned dim) {
  MLIRContext *context = address.getContext();
  AffineExpr d = getAffineDimExpr(dim, context), zero = getAffineConstantExpr(0, context);
  AffineExpr offset = normalize(address.replace(d, zero));
  AffineExpr stride = normalize(address.replace(d, getAffineConstantExpr(1, context)) - offset);
  if (stride.isFunctionOfDim(dim) || normalize(address - offset - stride * d) != zero)
    return {};
  return stride;
}

/// The op nearest to `value` that moves elements, or null.
static Operation *nearestMove(Value value) {
  while (Operation *op = value.getDefiningOp()) {
    if (!isView(op))
      return nullptr;
    if (!isa<ReshapeOp>(op))
      return op;
    value = op->getOperand(0);
  }
  return nullptr;
}

namespace {
struct OperandNeeds {
  SmallVector<unsigned> uniform; ///< iteration dimensions along which steps must be uniform
  std::optional<unsigned> dense; ///< one along which the step must be 1
};
} // namespace

static bool isReadable(Value value, AffineMap map, ArrayRef<AffineExpr> sizes, const OperandNeeds &needs) {
  IndexSimplifier simplifier(sizes);
  Point point = applyMap(map, identityPoint(sizes.size(), value.getContext()));
  AffineExpr address = addressOf(value, point, simplifier);
  for (unsigned dim : needs.uniform)
    if (!strideAlong(address, dim))
      return false;
  if (!needs.dense)
    return true;
  AffineExpr stride = strideAlong(address, *needs.dense);
  return stride && (asConstant(stride) == 1 || asConstant(sizes[*needs.dense]) == 1);
}

/// What an operand is read through belongs to it alone: a view that others make a buffer of would be read from that.
static void ownViews(OpOperand *use) {
  while (Operation *def = use->get().getDefiningOp()) {
    if (!isView(def))
      return;
    if (!def->hasOneUse()) {
      OpBuilder builder(def->getContext());
      builder.setInsertionPointAfter(def);
      def = builder.clone(*def);
      use->set(def->getResult(0));
    }
    use = &def->getOpOperand(0);
  }
}

/// Makes operand `number` of `op`, read through `map`, readable. Returns the map to read it with from now on.
static AffineMap makeReadable(Operation *op, unsigned number, AffineMap map, ArrayRef<AffineExpr> sizes,
                              const OperandNeeds &needs) {
  while (!isReadable(op->getOperand(number), map, sizes, needs)) {
    if (Operation *move = nearestMove(op->getOperand(number))) {
      move->setAttr(kMaterialize, UnitAttr::get(op->getContext()));
      continue;
    }
    if (!needs.dense)
      return map; // its own buffer, and yet not uniform: the generator reports it
    // The dense dimension goes last.
    OpBuilder builder(op);
    int64_t dense = -1;
    SmallVector<int64_t> order;
    for (auto [i, expr] : llvm::enumerate(map.getResults())) {
      if (auto d = dyn_cast<AffineDimExpr>(expr); d && d.getPosition() == *needs.dense)
        dense = i;
      else
        order.push_back(i);
    }
    if (dense < 0 || dense == static_cast<int64_t>(map.getNumResults()) - 1)
      return map;
    order.push_back(dense);
    auto permute = PermuteOp::create(builder, op->getLoc(), op->getOperand(number), order);
    permute->setAttr(kMaterialize, builder.getUnitAttr());
    op->setOperand(number, permute);
    SmallVector<AffineExpr> results;
    for (int64_t i : order)
      results.push_back(map.getResult(i));
    map = AffineMap::get(map.getNumDims(), 0, results, op->getContext());
  }
  ownViews(&op->getOpOperand(number));
  return map;
}

/// Kernels that read an operand by its address cannot make it inside: a constant before it, through views or not, becomes
/// a buffer. (Constants of more than a few numbers are weights, but splats and small ones are none.)
static void storeConstant(Operation *op, unsigned number) {
  OpOperand *use = &op->getOpOperand(number);
  while (Operation *def = use->get().getDefiningOp()) {
    if (isa<ConstantOp>(def)) {
      OpBuilder builder(def->getContext());
      builder.setInsertionPointAfter(def);
      auto type = cast<RankedTensorType>(use->get().getType());
      auto copy = MapOp::build(builder, def->getLoc(), type, use->get(),
                               AffineMap::getMultiDimIdentityMap(type.getRank(), def->getContext()),
                               [](OpBuilder &, Location, ValueRange args) { return SmallVector<Value>{args[0]}; });
      return use->set(copy.getResult(0));
    }
    if (!isa<PermuteOp, ReshapeOp, BroadcastOp, SliceOp, ReverseOp, AssertDimOp>(def))
      return;
    use = &def->getOpOperand(0);
  }
}

static void prepareContract(ContractOp op) {
  storeConstant(op, 0);
  storeConstant(op, 1);
  cpu::ContractShape shape = cpu::ContractShape::analyze(op);
  ArrayRef<AffineExpr> sizes = shape.sizes;
  Value tensors[] = {op.getLhs(), op.getRhs()};
  unsigned summed = shape.k.empty() ? 0 : shape.k[0], columns = shape.n.empty() ? 0 : shape.n[0];
  SmallVector<AffineMap> maps{op.getMap(0), op.getMap(1), op.getMap(2)};
  target::GPUAttr device = target::getDevice(op->getParentOfType<ModuleOp>());
  for (unsigned i : {0u, 1u}) {
    bool isB = i == shape.b;
    device::DepthOrder order = device::chooseDepthOrder(op, i, device);
    if ((isB || order != device::DepthOrder::Any) && tensors[i].getDefiningOp<UseWeightOp>())
      continue; // stored the way the kernel wants it
    OperandNeeds needs{{summed}, isB ? std::optional<unsigned>(columns) : std::nullopt};
    if (order != device::DepthOrder::Any && !shape.k.empty()) {
      ArrayRef<unsigned> lines = isB ? shape.n : shape.m;
      if (order == device::DepthOrder::Either && !lines.empty() && isReadable(tensors[i], maps[i], sizes, {{}, lines.back()}))
        continue;
      needs = {{}, shape.k.back()};
    }
    maps[i] = makeReadable(op, i, maps[i], sizes, needs);
  }
  OpBuilder builder(op);
  op.setIndexingMapsAttr(builder.getAffineMapArrayAttr(maps));
}

static void prepareAttention(AttentionOp op) {
  MLIRContext *context = op.getContext();
  for (unsigned i : {0u, 1u, 2u}) {
    storeConstant(op, i);
    Dims sizes = getDims(op->getOperand(i).getType());
    OperandNeeds needs{{3}, i == 2 ? std::optional<unsigned>(3) : std::nullopt};
    makeReadable(op, i, AffineMap::getMultiDimIdentityMap(4, context), sizes, needs);
  }
}

/// Lanes run along channels, which come last.
static void prepareWindow(ReduceWindowOp op) {
  Dims sizes = getDims(op.getInput().getType());
  unsigned last = sizes.size() - 1;
  makeReadable(op, 0, AffineMap::getMultiDimIdentityMap(sizes.size(), op.getContext()), sizes, {{last}, last});
}

/// Channels last means just that in memory: an input that is moved on the way is moved into a buffer.
static void prepareConv(ConvOp op) {
  storeConstant(op, 0);
  storeConstant(op, 1);
  Dims sizes = getDims(op.getInput().getType());
  IndexSimplifier simplifier(sizes);
  Point point = identityPoint(sizes.size(), op->getContext());
  AffineExpr inOrder = linearize(point, sizes, op->getContext());
  while (addressOf(op.getInput(), point, simplifier) != inOrder) {
    Operation *move = nearestMove(op.getInput());
    if (!move)
      return; // only reshapes are left: those keep the order
    move->setAttr(kMaterialize, UnitAttr::get(op->getContext()));
  }
}

/// A region names the weights it reads itself, so that its kernels can have them in the layout they want.
static void sinkWeights(Operation *op) {
  MutableOperandRange captures = getCaptures(op);
  for (unsigned i = captures.size(); i-- > 0;) {
    Operation *def = captures[i].get().getDefiningOp();
    if (!def || !isa<UseWeightOp, ConstantOp>(def))
      continue;
    for (Region &region : op->getRegions()) {
      Block &block = region.front();
      BlockArgument argument = block.getArgument(block.getNumArguments() - captures.size() + i);
      if (!argument.use_empty())
        argument.replaceAllUsesWith(OpBuilder::atBlockBegin(&block).clone(*def)->getResult(0));
    }
    eraseCapture(op, i);
    captures = getCaptures(op);
  }
}

/// Whether the value is one that is updated over and over: a variable, what a loop carries, or an update of such.
static bool isUpdated(Value value) {
  if (auto argument = dyn_cast<BlockArgument>(value)) {
    auto function = dyn_cast<func::FuncOp>(argument.getOwner()->getParentOp());
    return !function || function.getArgAttr(argument.getArgNumber(), "graph.state");
  }
  return isa<ScatterOp>(value.getDefiningOp());
}

/// A part written into such a value is a scatter: that can work in the value's own buffer, and writes only the part.
static void writeInPlace(InsertSliceOp op) {
  if (!isUpdated(op.getDest()))
    return;
  OpBuilder builder(op);
  Dims sizes = getDims(op.getSource().getType());
  SmallVector<Value> positions;
  SmallVector<AffineMap> maps;
  SmallVector<int64_t> coords;
  for (auto [d, size, offset, stride] : llvm::enumerate(sizes, op.getOffsets().getExprs(), op.getStrides())) {
    if (asConstant(offset) == 0 && stride == 1) {
      coords.push_back(d);
      continue;
    }
    auto body = [&](OpBuilder &b, Location loc, ValueRange) {
      Type i64 = b.getI64Type();
      Value i = IndexOp::create(b, loc, i64, b.getI64IntegerAttr(0));
      Value step = arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(stride));
      Value first = SizeValueOp::create(b, loc, i64, DimsAttr::get(b.getContext(), {offset}));
      return SmallVector<Value>{arith::AddIOp::create(b, loc, arith::MulIOp::create(b, loc, i, step), first)};
    };
    auto map = MapOp::build(builder, op.getLoc(), makeTensorType({size}, builder.getI64Type()), {}, {}, body);
    positions.push_back(map.getResult(0));
    maps.push_back(AffineMap::get(sizes.size(), 0, getAffineDimExpr(d, op.getContext())));
    coords.push_back(-static_cast<int64_t>(positions.size()));
  }
  auto scatter = ScatterOp::create(builder, op.getLoc(), op.getType(), op.getSource(), op.getDest(), positions,
                                   builder.getAffineMapArrayAttr(maps), coords, ScatterKind::Set);
  op.getResult().replaceAllUsesWith(scatter.getResult());
  op.erase();
}

void tenon::prepareOperands(Block &block) {
  for (Operation &op : llvm::make_early_inc_range(block)) {
    if (isControlFlow(&op))
      sinkWeights(&op);
    else if (auto insert = dyn_cast<InsertSliceOp>(op))
      writeInPlace(insert);
    else if (auto contract = dyn_cast<ContractOp>(op))
      prepareContract(contract);
    else if (auto attention = dyn_cast<AttentionOp>(op))
      prepareAttention(attention);
    else if (auto window = dyn_cast<ReduceWindowOp>(op))
      prepareWindow(window);
    else if (auto conv = dyn_cast<ConvOp>(op))
      prepareConv(conv);
  }
}
