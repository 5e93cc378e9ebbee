//===- Shapes.cpp - what a kernel is, before code is made of it -----------===//
#include "Shapes.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::kernels;
using namespace tenon::graph;

FailureOr<KernelKind> KernelKind::find(kernel::FuncOp kernel) {
  KernelKind kind;
  for (Operation &op : kernel.getBody().front().without_terminator()) {
    kind.hasReduction |= isa<ReduceOp>(op);
    if (isa<ReduceOp>(op) || Evaluator::canEvaluate(&op))
      continue;
    if (kind.root)
      return op.emitOpError() << "cannot share a kernel with '" << kind.root->getName() << "'";
    kind.root = &op;
  }
  if (kind.root && kind.hasReduction)
    return kind.root->emitOpError("cannot share a kernel with a reduction");
  return kind;
}

FailureOr<RowsShape> RowsShape::analyze(kernel::FuncOp kernel) {
  RowsShape shape;
  kernel.walk([&](ReduceOp op) { shape.reductions.push_back(op); });
  ReduceOp first = shape.reductions.front();
  shape.full = getDims(first.getInput().getType());
  shape.columnDims.assign(first.getDims().begin(), first.getDims().end());
  for (auto [i, size] : llvm::enumerate(shape.full)) {
    (shape.isColumn(i) ? shape.columns : shape.rows).push_back(size);
    if (asConstant(size) != 1)
      shape.isInnermost = shape.isColumn(i);
  }
  for (ReduceOp op : shape.reductions)
    if (getDims(op.getInput().getType()) != shape.full || op.getDims() != first.getDims())
      return kernel.emitOpError("has reductions over different dimensions");
  AffineExpr fullCount = product(shape.full, kernel.getContext()), rowCount = product(shape.rows, kernel.getContext());
  for (auto [i, result] : llvm::enumerate(resultsOf(kernel))) {
    AffineExpr count = numElements(result.getType());
    if (count == rowCount && squeezed(getDims(result.getType())) == squeezed(shape.rows))
      shape.rowResults.push_back({i, result});
    else if (count == fullCount)
      shape.fullResults.push_back({i, result});
    else
      return kernel.emitOpError() << "has a result of type " << result.getType() << " that is neither a row's nor full";
  }
  return shape;
}
