//===- GraphToKernel.cpp - kernel formation -------------------------------===//
// Clusters of ops become kernel.func ops; equal ones are shared.
#include "tenon/Conversion/GraphToKernel.h"
#include "Clusters.h"
#include "PrepareOperands.h"
#include "tenon/Target/Device/LowerKernels.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::graph;

namespace {
class KernelBuilder {
public:
  KernelBuilder(ModuleOp module) : module(module), symbols(module) { findWantedLayouts(); }

  /// Replaces the ops of `block` by calls of kernels.
  void formBlock(Block &block, unsigned symbolCount);
  void eraseDead(Block &block);

private:
  void findWantedLayouts();
  kernel::LayoutAttr layoutOf(BlockArgument argument, UseWeightOp weight);
  void outline(const Cluster &cluster, Block &block, unsigned symbolCount);
  kernel::FuncOp share(kernel::FuncOp kernel);

  ModuleOp module;
  SymbolTable symbols;
  llvm::StringMap<kernel::FuncOp> known; ///< by printed body
  /// Layouts that products want their weights in, by where the bytes come from.
  llvm::DenseMap<std::pair<Attribute, Type>, kernel::LayoutAttr> wantedLayouts;
};
} // namespace

/// What a kernel is called after: its most telling op.
static StringRef baseName(const Cluster &cluster) {
  if (cluster.kind == ClusterKind::Rows)
    return "rows";
  if (cluster.root)
    return cluster.root->getName().stripDialect();
  return "map";
}

/// Whether an op that is not a member reads the value, straight or through ops that each reader inlines.
static bool isReadOutside(Value value, const llvm::SmallPtrSetImpl<Operation *> &members) {
  return llvm::any_of(value.getUsers(), [&](Operation *user) {
    if (members.contains(user))
      return false;
    if (!isInlined(user))
      return true;
    return llvm::any_of(user->getResults(), [&](Value result) { return isReadOutside(result, members); });
  });
}

/// A weight, or a constant that is no splat, enters a kernel as an argument.
static bool isLeaf(Operation *op) {
  if (isa<UseWeightOp>(op))
    return true;
  auto constant = dyn_cast<ConstantOp>(op);
  return constant && !isa<SplatElementsAttr>(constant.getValue());
}

/// What tells weights apart: two names may stand for the same bytes.
static std::pair<Attribute, Type> originOf(const SymbolTable &symbols, UseWeightOp use) {
  auto weight = symbols.lookup<WeightOp>(use.getWeight());
  return {weight.getSource(), weight.getType()};
}

void KernelBuilder::findWantedLayouts() {
  module.walk([&](ContractOp op) {
    for (OpOperand &operand : op->getOpOperands())
      if (auto weight = operand.get().getDefiningOp<UseWeightOp>())
        if (kernel::LayoutAttr layout = device::chooseContractLayout(op, operand.getOperandNumber(), target::getDevice(module)))
          wantedLayouts.try_emplace(originOf(symbols, weight), layout);
  });
}

/// A table that is looked up by rows and is also a factor of a product (tied embeddings) is stored once, in panels.
kernel::LayoutAttr KernelBuilder::layoutOf(BlockArgument argument, UseWeightOp weight) {
  if (kernel::LayoutAttr layout = device::chooseLayout(argument, target::getDevice(module)))
    return layout;
  bool isTable = llvm::all_of(argument.getUses(), [](OpOperand &use) {
    auto gather = dyn_cast<GatherOp>(use.getOwner());
    return gather && gather.getData() == use.get();
  });
  kernel::LayoutAttr layout = wantedLayouts.lookup(originOf(symbols, weight));
  return isTable && layout && layout.getGroups() == 1 ? layout : kernel::LayoutAttr();
}

kernel::FuncOp KernelBuilder::share(kernel::FuncOp kernel) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  StringAttr name = kernel.getSymNameAttr();
  kernel.setSymName("k");
  kernel->print(stream, OpPrintingFlags().assumeVerified().useLocalScope());
  kernel.setSymNameAttr(name);
  auto [it, isNew] = known.try_emplace(stream.str(), kernel);
  if (isNew) {
    symbols.insert(kernel);
    return kernel;
  }
  kernel.erase();
  return it->second;
}

/// Notes on a nonzero for how many rows there will be room.
static void limitRows(NonzeroOp op, Block &block) {
  Operation *parent = block.getParentOp();
  auto function = isa<func::FuncOp>(parent) ? cast<func::FuncOp>(parent) : parent->getParentOfType<func::FuncOp>();
  auto symbols = function->getAttrOfType<ArrayAttr>("graph.symbols");
  unsigned position = cast<AffineSymbolExpr>(getDim(op.getPositions().getType(), 0)).getPosition();
  auto symbol = symbols && position < symbols.size() ? cast<SymbolAttr>(symbols[position]) : SymbolAttr();
  if (!symbol || !symbol.isFound())
    return;
  Builder builder(op.getContext());
  op->setAttr("bound", symbol.getBound());
  op->setAttr("limit", builder.getI64IntegerAttr(symbol.getMax()));
}

void KernelBuilder::outline(const Cluster &cluster, Block &block, unsigned symbolCount) {
  llvm::SmallPtrSet<Operation *, 16> members(cluster.ops.begin(), cluster.ops.end());
  // Everything the kernel computes: its ops and the inlined ones before them, in program order.
  SmallVector<Operation *> body;
  SmallVector<Value> inputs;
  llvm::SmallPtrSet<Operation *, 16> placed;
  std::function<void(Operation *)> place = [&](Operation *op) {
    if (!placed.insert(op).second)
      return;
    for (Value operand : op->getOperands()) {
      Operation *def = operand.getDefiningOp();
      bool isInside = def && (members.contains(def) || (isInlined(def) && !isLeaf(def)));
      if (isInside)
        place(def);
      else if (!llvm::is_contained(inputs, operand))
        inputs.push_back(operand);
    }
    body.push_back(op);
  };
  for (Operation *op : cluster.ops)
    place(op);
  SmallVector<Value> results;
  SmallVector<Location> locations;
  for (Operation *op : cluster.ops) {
    locations.push_back(op->getLoc());
    for (Value result : op->getResults())
      if (isReadOutside(result, members))
        results.push_back(result);
  }
  if (results.empty())
    return; // dead
  OpBuilder builder(module.getContext());
  Location loc = locations.size() == 1 ? locations[0] : FusedLoc::get(module.getContext(), locations);
  builder.setInsertionPointToStart(module.getBody());
  auto type = builder.getFunctionType(ValueRange(inputs).getTypes(), ValueRange(results).getTypes());
  OperationState state(loc, kernel::FuncOp::getOperationName());
  auto kernel = kernel::FuncOp::create(builder, loc, baseName(cluster), type, ArrayAttr(), ArrayAttr());
  Block *entry = &kernel.getBody().emplaceBlock();
  IRMapping mapping;
  for (Value input : inputs)
    mapping.map(input, entry->addArgument(input.getType(), input.getLoc()));
  builder.setInsertionPointToStart(entry);
  SmallVector<Attribute> sites;
  for (Operation *op : body) {
    Operation *clone = builder.clone(*op, mapping);
    clone->removeAttr(kMaterialize);
    clone->walk([&](Operation *inner) {
      if (!isa<GatherOp, ScatterOp>(inner))
        return;
      inner->setAttr("site", builder.getI64IntegerAttr(sites.size()));
      sites.push_back(builder.getStringAttr("index is outside dimension {1} of size {0}"));
    });
    if (auto nonzero = dyn_cast<NonzeroOp>(clone))
      limitRows(nonzero, block);
  }
  SmallVector<Value> returned;
  for (Value result : results)
    returned.push_back(mapping.lookup(result));
  kernel::ReturnOp::create(builder, loc, returned);
  if (!sites.empty()) {
    kernel->setAttr("sites", builder.getArrayAttr(sites));
    kernel->setAttr("symbol_count", builder.getI64IntegerAttr(symbolCount));
  }
  // Layouts of constants, and what may be written in place.
  for (auto [i, input] : llvm::enumerate(inputs)) {
    auto weight = input.getDefiningOp<UseWeightOp>();
    if (!weight)
      continue;
    if (kernel::LayoutAttr layout = layoutOf(entry->getArgument(i), weight))
      kernel.setArgAttr(i, "kernel.layout", layout);
  }
  for (auto [i, result] : llvm::enumerate(returned))
    if (auto scatter = result.getDefiningOp<ScatterOp>())
      if (auto dest = dyn_cast<BlockArgument>(scatter.getDest()))
        kernel.setArgAttr(dest.getArgNumber(), "kernel.may_alias", builder.getI64IntegerAttr(i));
  kernel = share(kernel);

  builder.setInsertionPoint(block.getTerminator());
  auto call = kernel::CallOp::create(builder, loc, ValueRange(results).getTypes(),
                                     FlatSymbolRefAttr::get(kernel.getSymNameAttr()), inputs);
  for (auto [old, fresh] : llvm::zip(results, call.getResults()))
    old.replaceUsesWithIf(fresh, [&](OpOperand &use) { return !members.contains(use.getOwner()); });
}

void KernelBuilder::eraseDead(Block &block) {
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(block)))
    if (isOpTriviallyDead(&op))
      op.erase();
}

/// Puts every op behind those whose values and sizes it needs, otherwise as it was.
static void sortBlock(Block &block) {
  SizeDefinitions sizes(block);
  llvm::SmallPtrSet<Operation *, 32> placed;
  Operation *end = block.getTerminator();
  SmallVector<Operation *> ops;
  for (Operation &op : block.without_terminator())
    ops.push_back(&op);
  std::function<void(Operation *)> place = [&](Operation *op) {
    if (!op || op->getBlock() != &block || !placed.insert(op).second)
      return;
    if (isInlined(op)) // calls are in order already
      for (Operation *define : sizes.of(op))
        place(define);
    for (Value operand : op->getOperands())
      place(operand.getDefiningOp());
    op->moveBefore(end);
  };
  // What only names bytes or sizes goes where it is first read.
  for (Operation *op : ops)
    if (!isInlined(op))
      place(op);
  for (Operation *op : ops)
    place(op);
}

void KernelBuilder::formBlock(Block &block, unsigned symbolCount) {
  prepareOperands(block);
  for (Operation &op : block)
    if (isControlFlow(&op))
      for (Region &region : op.getRegions())
        formBlock(region.front(), symbolCount);
  Clustering clustering(block);
  clustering.run();
  // Calls are put at the end in order, so each finds its operands already there; entry-level ops move along.
  for (Cluster *cluster : clustering.inOrder()) {
    // What stays at entry level and is read by this cluster (reshapes, weights) comes before it.
    if (cluster->kind == ClusterKind::Entry) {
      Operation *op = cluster->ops.front();
      std::function<void(Operation *)> moveUp = [&](Operation *current) {
        for (Value operand : current->getOperands())
          if (Operation *def = operand.getDefiningOp(); def && def->getBlock() == &block && isInlined(def)) {
            moveUp(def);
          }
        current->moveBefore(block.getTerminator());
      };
      moveUp(op);
      continue;
    }
    outline(*cluster, block, symbolCount);
  }
  // Leaves and views that calls read must come first; dead ops go.
  eraseDead(block);
  sortBlock(block);
}

namespace {
struct ConvertGraphToKernelPass final : PassWrapper<ConvertGraphToKernelPass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(ConvertGraphToKernelPass)
  StringRef getArgument() const override { return "tenon-convert-graph-to-kernel"; }
  StringRef getDescription() const override { return "Groups graph ops into kernels."; }
  void getDependentDialects(DialectRegistry &registry) const override { registry.insert<kernel::KernelDialect>(); }
  void runOnOperation() override {
    ModuleOp module = getOperation();
    KernelBuilder builder(module);
    for (func::FuncOp function : module.getOps<func::FuncOp>()) {
      if (function.isExternal())
        continue;
      auto symbols = function->getAttrOfType<ArrayAttr>("graph.symbols");
      builder.formBlock(function.getBody().front(), symbols ? symbols.size() : 0);
    }
  }
};
} // namespace

std::unique_ptr<Pass> tenon::createConvertGraphToKernelPass() { return std::make_unique<ConvertGraphToKernelPass>(); }
void tenon::registerConvertGraphToKernelPass() { PassRegistration<ConvertGraphToKernelPass>(); }
