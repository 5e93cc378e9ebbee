//===- Freeze.cpp - what depends on constants alone -----------------------===//
#include "Freeze.h"
#include "tenon/Interp/Interpreter.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::graph;

/// The interpreter is exact and slow: results beyond this are computed at run time.
static constexpr int64_t kMaxElements = int64_t(1) << 23;
/// A result much larger than what it is made of would only swell the file.
static constexpr int64_t kMaxGrowth = 4;
static constexpr int64_t kSmallElements = 1 << 16;
/// Largest constant that stays an attribute, in bytes; see graph.constant.
static constexpr int64_t kMaxConstantBytes = 1024;

static int64_t elementsOf(TypeRange types) {
  int64_t total = 0;
  for (Type type : types)
    total += cast<RankedTensorType>(type).getNumElements();
  return total;
}

/// Whether `op` may be computed now, given that its operands are constant.
static bool isWorthFreezing(Operation *op) {
  if (!isa<GraphDialect>(op->getDialect()) || op->getNumResults() == 0 || !isPure(op) || isa<SizeOp>(op))
    return false;
  bool isStatic = llvm::all_of(op->getResultTypes(), [](Type type) {
    auto tensor = dyn_cast<RankedTensorType>(type);
    return tensor && tensor.hasStaticShape();
  });
  if (!isStatic)
    return false;
  bool usesSymbols = false;
  op->walk([&](SizeValueOp) { usesSymbols = true; });
  if (usesSymbols)
    return false;
  int64_t made = elementsOf(op->getResultTypes()), read = elementsOf(op->getOperandTypes());
  return made <= kMaxElements && read <= kMaxElements && (made <= kSmallElements || made <= kMaxGrowth * read);
}

LogicalResult tenon::freezeConstants(ModuleOp module, WeightStore &store) {
  SymbolTable symbols(module);
  SmallVector<func::FuncOp> functions(module.getOps<func::FuncOp>());
  for (func::FuncOp function : functions) {
    if (function.isExternal())
      continue;
    // Constant ops, in program order, and those of them that others read.
    llvm::SetVector<Operation *> constant;
    for (Operation &op : function.getBody().front()) {
      bool isSource = isa<UseWeightOp, ConstantOp>(op);
      bool isConstant = !op.hasTrait<OpTrait::IsTerminator>() && isWorthFreezing(&op) &&
                        llvm::all_of(op.getOperands(), [&](Value operand) {
                          return operand.getDefiningOp() && constant.contains(operand.getDefiningOp());
                        });
      if (isSource || isConstant)
        constant.insert(&op);
    }
    // What reads a broadcast can read what it repeats: nothing is gained by writing it out.
    auto isForOthers = [&](Operation *op) {
      return isa<BroadcastOp>(op) && llvm::none_of(op->getUsers(), [&](Operation *user) { return constant.contains(user); });
    };
    for (Operation *op : llvm::to_vector(llvm::reverse(constant.getArrayRef())))
      if (isForOthers(op))
        constant.remove(op);
    SmallVector<Value> wanted;
    for (Operation *op : constant) {
      if (isa<UseWeightOp, ConstantOp>(op))
        continue;
      for (Value result : op->getResults())
        if (llvm::any_of(result.getUsers(), [&](Operation *user) { return !constant.contains(user); }))
          wanted.push_back(result);
    }
    if (wanted.empty())
      continue;
    // A function of just these, for the interpreter.
    OpBuilder builder(module.getContext());
    builder.setInsertionPointToEnd(module.getBody());
    auto frozen = func::FuncOp::create(builder, function.getLoc(), "__frozen",
                                       builder.getFunctionType({}, ValueRange(wanted).getTypes()));
    builder.setInsertionPointToStart(frozen.addEntryBlock());
    IRMapping mapping;
    for (Operation *op : constant)
      builder.clone(*op, mapping);
    SmallVector<Value> results;
    for (Value value : wanted)
      results.push_back(mapping.lookup(value));
    func::ReturnOp::create(builder, function.getLoc(), results);
    for (Operation &op : llvm::make_early_inc_range(llvm::reverse(frozen.getBody().front())))
      if (isOpTriviallyDead(&op))
        op.erase();
    interp::Interpreter interpreter(module, interp::makeWeightProvider(store));
    FailureOr<std::vector<interp::Tensor>> values = interpreter.run("__frozen", {});
    frozen.erase();
    if (failed(values))
      return failure();
    for (auto [value, tensor] : llvm::zip(wanted, *values)) {
      auto type = cast<RankedTensorType>(value.getType());
      std::vector<uint8_t> bytes = tensor.toBytes();
      builder.setInsertionPointAfterValue(value);
      Value replacement;
      bool isByteSized = type.getElementType().isIntOrFloat() && type.getElementTypeBitWidth() % 8 == 0;
      if (isByteSized && static_cast<int64_t>(bytes.size()) <= kMaxConstantBytes) {
        auto attribute = DenseElementsAttr::getFromRawBuffer(
            type, ArrayRef(reinterpret_cast<const char *>(bytes.data()), bytes.size()));
        replacement = ConstantOp::create(builder, value.getLoc(), type, attribute);
      } else {
        OpBuilder top(module.getContext());
        top.setInsertionPointToStart(module.getBody());
        auto source = WeightSourceAttr::get(module.getContext(), "owned", "", 0, bytes.size(), top.getF64FloatAttr(0));
        auto weight = WeightOp::create(top, value.getLoc(), "frozen", type, source);
        symbols.insert(weight);
        store.setOwned(weight.getSymName(), std::move(bytes));
        replacement = UseWeightOp::create(builder, value.getLoc(), type, weight.getSymName());
      }
      value.replaceUsesWithIf(replacement, [&](OpOperand &use) { return !constant.contains(use.getOwner()); });
    }
    for (Operation *op : llvm::reverse(constant))
      if (isOpTriviallyDead(op))
        op->erase();
  }
  return success();
}
