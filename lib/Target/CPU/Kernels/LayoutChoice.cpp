//===- LayoutChoice.cpp - how constants are stored for their kernels ------===//
#include "tenon/Target/CPU/LayoutChoice.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::cpu;
using namespace tenon::graph;

bool tenon::cpu::isDepthwise(ConvOp op) {
  std::optional<int64_t> c = asConstant(getDim(op.getFilter().getType(), 1)),
                         o = asConstant(getDim(op.getFilter().getType(), 0));
  return op.getGroups() > 1 && c == 1 && o == static_cast<int64_t>(op.getGroups()) &&
         llvm::all_of(op.getInputDilation(), [](int64_t d) { return d == 1; });
}

kernel::LayoutAttr tenon::cpu::chooseFilterLayout(ConvOp op) {
  auto type = cast<RankedTensorType>(op.getFilter().getType());
  if (!type.hasStaticShape())
    return {};
  SmallVector<int64_t> order = llvm::to_vector(llvm::seq<int64_t>(2, type.getRank()));
  if (isDepthwise(op)) {
    order.append({0, 1});
    return kernel::LayoutAttr::get(op.getContext(), order, /*n=*/0, /*groups=*/1, /*width=*/0);
  }
  order.insert(order.begin(), 0);
  order.push_back(1);
  return kernel::LayoutAttr::get(op.getContext(), order, /*n=*/1, op.getGroups(), kPanelWidth);
}

kernel::LayoutAttr tenon::cpu::chooseContractLayout(ContractOp op, unsigned operand) {
  ContractShape shape = ContractShape::analyze(op);
  auto type = cast<RankedTensorType>(op->getOperand(operand).getType());
  if (shape.b != operand || shape.n.size() != 1 || shape.k.size() != 1 || !type.hasStaticShape())
    return {};
  // Panels lie batch by batch, then column by column: [batch…, n, k].
  SmallVector<int64_t> order(type.getRank(), -1);
  int64_t groups = 1;
  for (auto [i, expr] : llvm::enumerate(op.getMap(operand).getResults())) {
    unsigned dim = cast<AffineDimExpr>(expr).getPosition();
    const unsigned *batch = llvm::find(shape.batch, dim);
    if (batch != shape.batch.end()) {
      order[batch - shape.batch.begin()] = i;
      groups *= type.getDimSize(i);
    } else {
      order[dim == shape.n[0] ? type.getRank() - 2 : type.getRank() - 1] = i;
    }
  }
  return kernel::LayoutAttr::get(op.getContext(), order, /*n=*/type.getRank() - 1, groups, kPanelWidth);
}

kernel::LayoutAttr tenon::cpu::chooseLayout(BlockArgument argument) {
  if (!argument.hasOneUse())
    return {};
  OpOperand &use = *argument.use_begin();
  return llvm::TypeSwitch<Operation *, kernel::LayoutAttr>(use.getOwner())
      .Case([&](ContractOp op) { return chooseContractLayout(op, use.getOperandNumber()); })
      .Case([&](ConvOp op) { return use.getOperandNumber() == 1 ? chooseFilterLayout(op) : kernel::LayoutAttr(); })
      .Default([](Operation *) { return kernel::LayoutAttr(); });
}
