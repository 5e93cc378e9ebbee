// Values that follow from constants: evaluated while importing when somebody needs their elements (sizes, axes, conditions).
#include "Importer.h"
#include "mlir/IR/IRMapping.h"
#include "tenon/Interp/Interpreter.h"

using namespace mlir;

namespace tenon::onnx_import {

/// Larger tensors are not made on the way.
static constexpr int64_t kMaxElements = 4 * kMaxKnown;
/// Longer computations are left to the run.
static constexpr size_t kMaxOps = 512;

static bool isSmall(Type type) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  return tensor && tensor.hasStaticShape() && tensor.getNumElements() <= kMaxElements;
}

/// An operation that can be computed alone: small static tensors, no symbols, no loops of unknown length.
static bool isComputable(Operation *op) {
  if (!isa<graph::GraphDialect>(op->getDialect()) || !isPure(op) ||
      isa<graph::SizeOp, graph::UseWeightOp, graph::WhileOp, graph::AttentionOp>(op))
    return false;
  if (!llvm::all_of(op->getResultTypes(), isSmall) || !llvm::all_of(op->getOperandTypes(), isSmall))
    return false;
  bool usesSymbols = false;
  op->walk([&](graph::SizeValueOp) { usesSymbols = true; });
  return !usesSymbols;
}

bool Importer::isConstant(Value value) {
  // Without recursion: a model may be one long chain.
  SmallVector<Value> stack{value};
  while (!stack.empty()) {
    Operation *op = stack.back().getDefiningOp();
    if (!op || constantOps.contains(op)) {
      stack.pop_back();
      continue;
    }
    bool isComplete = true, result = isComputable(op);
    for (Value operand : result ? op->getOperands() : OperandRange(op->getOperands().take_front(0))) {
      Operation *source = operand.getDefiningOp();
      auto known = source ? constantOps.find(source) : constantOps.end();
      if (source && known == constantOps.end()) {
        stack.push_back(operand);
        isComplete = false;
      } else {
        result &= source && known->second;
      }
    }
    if (isComplete) {
      constantOps[op] = result;
      stack.pop_back();
    }
  }
  Operation *op = value.getDefiningOp();
  return op && constantOps.lookup(op);
}

/// The operations that `value` is made of, in an order in which they can run. Empty when they are too many.
static SmallVector<Operation *> slice(Value value) {
  SmallVector<Operation *> order;
  llvm::SmallDenseSet<Operation *> seen;
  SmallVector<std::pair<Operation *, unsigned>> stack{{value.getDefiningOp(), 0}};
  seen.insert(value.getDefiningOp());
  while (!stack.empty()) {
    auto &[op, next] = stack.back();
    if (next == op->getNumOperands()) {
      order.push_back(op);
      stack.pop_back();
      continue;
    }
    Operation *source = op->getOperand(next++).getDefiningOp();
    if (seen.insert(source).second)
      stack.push_back({source, 0});
    if (seen.size() > kMaxOps)
      return {};
  }
  return order;
}

KnownRef Importer::evaluate(const Tensor &tensor) {
  RankedTensorType type = tensor.type();
  if (!type.hasStaticShape() || type.getNumElements() > kMaxKnown || isSmallFloat(tensor.dtype) ||
      isComplex(tensor.dtype))
    return nullptr;
  auto known = std::make_shared<Known>();
  known->shape.assign(type.getShape().begin(), type.getShape().end());
  known->dtype = tensor.dtype;
  if (type.getNumElements() == 0)
    return known;
  if (!isConstant(tensor.value))
    return nullptr;
  auto key = std::pair(tensor.value.getAsOpaquePointer(), tensor.dtype);
  if (auto it = evaluated.find(key); it != evaluated.end())
    return it->second;
  evaluated[key] = nullptr;
  SmallVector<Operation *> ops = slice(tensor.value);
  if (ops.empty())
    return nullptr;
  OwningOpRef<ModuleOp> scratch = ModuleOp::create(fileLocation());
  OpBuilder builder(context);
  builder.setInsertionPointToEnd(scratch->getBody());
  auto alone = func::FuncOp::create(builder, fileLocation(), "known", builder.getFunctionType({}, type));
  builder.setInsertionPointToStart(alone.addEntryBlock());
  IRMapping mapping;
  for (Operation *op : ops)
    builder.clone(*op, mapping);
  func::ReturnOp::create(builder, fileLocation(), mapping.lookup(tensor.value));
  // What goes wrong here goes wrong when the model runs, if it ever comes there.
  ScopedDiagnosticHandler silence(context, [](Diagnostic &) { return success(); });
  interp::Interpreter interpreter(*scratch);
  FailureOr<std::vector<interp::Tensor>> values = interpreter.run("known", {});
  if (mlir::failed(values))
    return nullptr;
  const interp::Tensor &value = values->front();
  unsigned width = type.getElementType().isInteger() ? type.getElementTypeBitWidth() : 0;
  if (value.form() == interp::Form::Int) {
    bool isUnsignedType = isUnsigned(tensor.dtype) && tensor.dtype != ScalarType::Bool;
    for (int64_t element : value.ints())
      known->ints.push_back(getAffineConstantExpr(
          isUnsignedType ? static_cast<int64_t>(interp::asUnsigned(element, width)) : element, context));
  } else {
    known->reals.assign(value.floats().begin(), value.floats().end());
  }
  if (known->isInteger() != (value.form() == interp::Form::Int))
    return nullptr;
  return evaluated[key] = known;
}

void Importer::forgetConstants() {
  constantOps.clear();
  evaluated.clear();
}

} // namespace tenon::onnx_import
