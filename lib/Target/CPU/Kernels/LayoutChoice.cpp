//===- LayoutChoice.cpp - how the generators want constants stored --------===//
#include "tenon/Target/CPU/LayoutChoice.h"
#include "Epilogue.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::cpu;
using namespace tenon::graph;

/// B of a contraction: panels along its columns.
static kernel::LayoutAttr contractLayout(ContractOp op, unsigned operand) {
  ContractShape shape = ContractShape::analyze(op);
  if (operand != shape.b || shape.n.size() != 1 || shape.k.size() != 1)
    return {};
  AffineMap map = op.getMap(operand);
  auto positionOf = [&](unsigned dim) -> int64_t {
    for (auto [i, expr] : llvm::enumerate(map.getResults()))
      if (cast<AffineDimExpr>(expr).getPosition() == dim)
        return i;
    llvm_unreachable("every dimension of the role is in the map");
  };
  SmallVector<int64_t> order;
  int64_t groups = 1;
  for (unsigned dim : shape.batch) {
    order.push_back(positionOf(dim));
    groups *= *asConstant(shape.sizes[dim]);
  }
  order.push_back(positionOf(shape.n[0]));
  int64_t n = order.size();
  order.push_back(positionOf(shape.k[0]));
  return kernel::LayoutAttr::get(op.getContext(), order, n, groups, kPanelWidth);
}

kernel::LayoutAttr tenon::cpu::chooseLayout(BlockArgument argument) {
  if (!argument.hasOneUse())
    return {};
  OpOperand &use = *argument.use_begin();
  return llvm::TypeSwitch<Operation *, kernel::LayoutAttr>(use.getOwner())
      .Case([&](ContractOp op) { return contractLayout(op, use.getOperandNumber()); })
      .Default([](Operation *) { return kernel::LayoutAttr(); });
}
