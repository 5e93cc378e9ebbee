// Products with few tiles and much depth, as several that run at once and a kernel that adds up what they give. A convolution is split
// by channels: parts are groups. Constants stay as they are stored.
#include "../Kernels/Emitter.h"
#include "../Kernels/Shapes.h"
#include "Product.h"
#include "tenon/Target/CPU/LayoutChoice.h"
#include "tenon/Target/Device/LowerKernels.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::graph;

/// Sides of the smallest tiles; depth from which on parts are worth a second kernel, and that a part has at least.
static constexpr int64_t kTile = 32, kDeep = 1024, kLeastDepth = 256;
/// What neighbours along the depth are read together by.
static constexpr int64_t kNeighbours = 8;

/// Parts for all processors of a large device: `inner` is the dimension that is split.
static int64_t choosePartCount(int64_t batches, int64_t rows, int64_t columns, int64_t depth, int64_t inner) {
  if (depth < kDeep || rows <= kNeighbours || columns <= kNeighbours)
    return 1; // few rows or columns: threads share the depth anyway
  int64_t tiles = batches * llvm::divideCeil(rows, kTile) * llvm::divideCeil(columns, kTile);
  int64_t most = std::min(device::kProcessors * 2 / tiles, depth / kLeastDepth);
  for (int64_t parts = llvm::bit_floor(static_cast<uint64_t>(std::max<int64_t>(most, 1))); parts > 1; parts /= 2)
    if (inner % parts == 0 && (inner / parts % kNeighbours == 0 || inner % kNeighbours != 0))
      return parts;
  return 1;
}

static Value reshape(OpBuilder &b, Location loc, Value value, ArrayRef<int64_t> shape) {
  return ReshapeOp::create(b, loc, RankedTensorType::get(shape, getElementTypeOrSelf(value.getType())), value);
}

/// Splits a dimension in two.
static SmallVector<int64_t> splitDim(ArrayRef<int64_t> shape, int64_t dim, int64_t parts) {
  SmallVector<int64_t> split(shape);
  split[dim] /= parts;
  split.insert(split.begin() + dim, parts);
  return split;
}

namespace {
/// The root of a kernel in parts.
struct Split {
  int64_t parts = 1;
  int64_t sumDim = 0; ///< of the parts' results
  /// The parts' product, from the root's operands; its result has the parts in a dimension of their own.
  std::function<Value(OpBuilder &, Value lhs, Value rhs)> build;
};
} // namespace

static Split splitContract(ContractOp op, Type sumType) {
  cpu::ContractShape shape = cpu::ContractShape::analyze(op);
  auto sizeOf = [&](ArrayRef<unsigned> dims) {
    int64_t size = 1;
    for (unsigned dim : dims)
      size *= *asConstant(shape.sizes[dim]);
    return size;
  };
  if (shape.k.empty())
    return {};
  unsigned along = shape.k.back();
  Split split;
  split.parts = choosePartCount(sizeOf(shape.batch), sizeOf(shape.m), sizeOf(shape.n), sizeOf(shape.k), *asConstant(shape.sizes[along]));
  split.build = [=](OpBuilder &b, Value lhs, Value rhs) mutable -> Value {
    unsigned rank = op.getMap(0).getNumDims();
    AffineExpr part = getAffineDimExpr(rank, op.getContext());
    SmallVector<AffineMap> maps;
    SmallVector<Value> operands{lhs, rhs};
    for (auto [i, value] : llvm::enumerate(operands)) {
      SmallVector<AffineExpr> results(op.getMap(i).getResults());
      auto at = llvm::find(results, getAffineDimExpr(along, op.getContext())) - results.begin();
      value = reshape(b, op.getLoc(), value, splitDim(cast<RankedTensorType>(value.getType()).getShape(), at, split.parts));
      results.insert(results.begin() + at, part);
      maps.push_back(AffineMap::get(rank + 1, 0, results, op.getContext()));
    }
    SmallVector<AffineExpr> results{part};
    llvm::append_range(results, op.getMap(2).getResults());
    maps.push_back(AffineMap::get(rank + 1, 0, results, op.getContext()));
    SmallVector<int64_t> sizes{split.parts};
    llvm::append_range(sizes, cast<RankedTensorType>(op.getType()).getShape());
    return ContractOp::create(b, op.getLoc(), RankedTensorType::get(sizes, sumType), operands[0], operands[1],
                              b.getAffineMapArrayAttr(maps));
  };
  return split;
}

static Split splitConv(ConvOp op, Type sumType) {
  auto filter = cast<RankedTensorType>(op.getFilter().getType()), result = cast<RankedTensorType>(op.getType());
  int64_t last = result.getRank() - 1, columns = result.getDimSize(last), channels = filter.getDimSize(1);
  if (op.getGroups() != 1)
    return {};
  Split split;
  split.parts = choosePartCount(1, result.getNumElements() / std::max<int64_t>(columns, 1), columns,
                                filter.getNumElements() / std::max<int64_t>(columns, 1), channels);
  split.sumDim = last;
  split.build = [=](OpBuilder &b, Value input, Value weights) mutable -> Value {
    Location loc = op.getLoc();
    // [column, part, channel, tap…] to [part, column, channel, tap…].
    SmallVector<int64_t> sizes = splitDim(filter.getShape(), 1, split.parts), order = llvm::to_vector(llvm::seq<int64_t>(0, sizes.size()));
    std::swap(order[0], order[1]);
    weights = PermuteOp::create(b, loc, reshape(b, loc, weights, sizes), order);
    sizes.erase(sizes.begin() + 1);
    sizes[0] *= split.parts;
    weights = reshape(b, loc, weights, sizes);
    SmallVector<int64_t> shape(result.getShape());
    shape[last] *= split.parts;
    Value sums = ConvOp::create(b, loc, RankedTensorType::get(shape, sumType), input, weights, op.getStridesAttr(), op.getLowAttr(),
                                op.getHighAttr(), op.getDilationsAttr(), op.getInputDilationAttr(), b.getI64IntegerAttr(split.parts));
    return reshape(b, loc, sums, splitDim(shape, last, split.parts));
  };
  return split;
}

/// Whether what follows the root is elementwise work in its order, as behind a sum.
static bool isSimpleBehind(Operation *root) {
  SmallVector<Operation *> behind{root};
  Dims order = squeezed(getDims(root->getResult(0).getType()));
  for (size_t i = 0; i < behind.size(); ++i)
    for (Operation *user : behind[i]->getUsers()) {
      if (isa<kernel::ReturnOp>(user))
        continue;
      if (!isa<MapOp, ReshapeOp>(user) || squeezed(getDims(user->getResult(0).getType())) != order)
        return false;
      behind.push_back(user);
    }
  return llvm::all_of(kernels::resultsOf(root->getParentOfType<kernel::FuncOp>()),
                      [&](Value result) { return squeezed(getDims(result.getType())) == order; });
}

/// A kernel with those arguments of another that `ops` read, and `extra` ones behind them; `finish` writes it and says what it returns.
static kernel::FuncOp makeKernel(kernel::FuncOp from, StringRef name, ArrayRef<Operation *> ops, ArrayRef<Value> extra,
                                 function_ref<SmallVector<Value>(OpBuilder &, IRMapping &, ValueRange extra)> finish,
                                 SmallVectorImpl<unsigned> &used) {
  OpBuilder b(from);
  Block &body = from.getBody().front();
  for (BlockArgument argument : body.getArguments())
    if (llvm::any_of(ops, [&](Operation *op) { return llvm::is_contained(op->getOperands(), argument); }))
      used.push_back(argument.getArgNumber());
  auto made = kernel::FuncOp::create(b, from.getLoc(), name, b.getFunctionType({}, {}), ArrayAttr(), ArrayAttr());
  Block *block = &made.getBody().emplaceBlock();
  IRMapping mapping;
  for (unsigned number : used)
    mapping.map(body.getArgument(number), block->addArgument(body.getArgument(number).getType(), body.getArgument(number).getLoc()));
  SmallVector<Value> added;
  for (Value value : extra)
    added.push_back(block->addArgument(value.getType(), value.getLoc()));
  b.setInsertionPointToStart(block);
  SmallVector<Value> results = finish(b, mapping, added);
  kernel::ReturnOp::create(b, from.getLoc(), results);
  made.setFunctionType(b.getFunctionType(block->getArgumentTypes(), ValueRange(results).getTypes()));
  for (auto [i, number] : llvm::enumerate(used))
    if (kernel::LayoutAttr layout = from.getLayout(number))
      made.setArgAttr(i, "kernel.layout", layout);
  return made;
}

static void splitKernel(SymbolTable &symbols, kernel::FuncOp kernel, ArrayRef<kernel::CallOp> calls) {
  FailureOr<kernels::KernelKind> kind = kernels::KernelKind::find(kernel);
  if (failed(kind) || !kind->root || kernel->hasAttr("sites") || !isa<ContractOp, ConvOp>(kind->root))
    return;
  Operation *root = kind->root;
  auto isStatic = [](Type type) { return cast<RankedTensorType>(type).hasStaticShape(); };
  if (!llvm::all_of(root->getOperandTypes(), isStatic) || !isStatic(root->getResult(0).getType()) || !isSimpleBehind(root))
    return;
  Type element = getElementTypeOrSelf(root->getResult(0).getType()), sumType = kernels::accumulatorFor(element);
  auto contract = dyn_cast<ContractOp>(root);
  Split split = contract ? splitContract(contract, sumType) : splitConv(cast<ConvOp>(root), sumType);
  if (split.parts == 1)
    return;

  // What the root reads is before it; the rest is what does not lead to it alone.
  llvm::SetVector<Operation *> before, behind;
  std::function<void(Operation *, llvm::SetVector<Operation *> &)> collect = [&](Operation *op, llvm::SetVector<Operation *> &ops) {
    if (ops.contains(op))
      return;
    for (Value operand : op->getOperands())
      if (Operation *def = operand.getDefiningOp(); def && def != root)
        collect(def, ops);
    ops.insert(op);
  };
  collect(root, before);
  before.pop_back(); // the root
  Operation *end = kernel.getBody().front().getTerminator();
  collect(end, behind);
  SmallVector<Operation *> producers(before.begin(), before.end());
  producers.push_back(root);
  SmallVector<unsigned> partInputs, sumInputs;
  kernel::FuncOp parts = makeKernel(kernel, (kernel.getSymName() + "_parts").str(), producers, {},
                                    [&](OpBuilder &b, IRMapping &mapping, ValueRange) -> SmallVector<Value> {
    for (Operation *op : before)
      b.clone(*op, mapping);
    return {split.build(b, mapping.lookup(root->getOperand(0)), mapping.lookup(root->getOperand(1)))};
  }, partInputs);
  symbols.insert(parts);
  Value partial = cast<kernel::ReturnOp>(parts.getBody().front().getTerminator()).getValues()[0];
  kernel::FuncOp sum = makeKernel(kernel, (kernel.getSymName() + "_sum").str(), behind.getArrayRef(), partial,
                                  [&](OpBuilder &b, IRMapping &mapping, ValueRange extra) {
    auto type = cast<RankedTensorType>(root->getResult(0).getType());
    Value total = ReduceOp::create(b, root->getLoc(), RankedTensorType::get(type.getShape(), sumType), ReduceKind::Sum, extra[0],
                                   ArrayRef<int64_t>{split.sumDim});
    if (sumType != element)
      total = MapOp::build(b, root->getLoc(), type, total, b.getMultiDimIdentityMap(type.getRank()),
                           [&](OpBuilder &inner, Location loc, ValueRange args) -> SmallVector<Value> {
                             return {arith::TruncFOp::create(inner, loc, element, args[0])};
                           })
                  .getResult(0);
    mapping.map(root->getResult(0), total);
    for (Operation *op : behind)
      if (op != end)
        b.clone(*op, mapping);
    SmallVector<Value> results;
    for (Value result : end->getOperands())
      results.push_back(mapping.lookup(result));
    return results;
  }, sumInputs);
  symbols.insert(sum);
  for (kernel::CallOp call : calls) {
    OpBuilder b(call);
    auto pick = [&](ArrayRef<unsigned> numbers) {
      SmallVector<Value> inputs;
      for (unsigned number : numbers)
        inputs.push_back(call.getInputs()[number]);
      return inputs;
    };
    auto first = kernel::CallOp::create(b, call.getLoc(), TypeRange(partial.getType()), FlatSymbolRefAttr::get(parts.getSymNameAttr()),
                                        pick(partInputs));
    SmallVector<Value> inputs = pick(sumInputs);
    inputs.push_back(first.getResult(0));
    auto second = kernel::CallOp::create(b, call.getLoc(), call.getResultTypes(), FlatSymbolRefAttr::get(sum.getSymNameAttr()), inputs);
    call.replaceAllUsesWith(second.getResults());
    call.erase();
  }
  symbols.erase(kernel);
}

namespace {
struct SplitDepthsPass final : PassWrapper<SplitDepthsPass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(SplitDepthsPass)
  StringRef getArgument() const override { return "tenon-device-split-depths"; }
  StringRef getDescription() const override { return "Splits products with few tiles and much depth."; }
  void getDependentDialects(DialectRegistry &registry) const override { registry.insert<arith::ArithDialect>(); }
  void runOnOperation() override {
    ModuleOp module = getOperation();
    SymbolTable symbols(module);
    DenseMap<StringAttr, SmallVector<kernel::CallOp>> calls;
    module.walk([&](kernel::CallOp call) { calls[call.getCalleeAttr().getAttr()].push_back(call); });
    for (auto kernel : llvm::to_vector(module.getOps<kernel::FuncOp>()))
      splitKernel(symbols, kernel, calls.lookup(kernel.getSymNameAttr()));
  }
};
} // namespace

std::unique_ptr<Pass> device::createSplitDepthsPass() { return std::make_unique<SplitDepthsPass>(); }
