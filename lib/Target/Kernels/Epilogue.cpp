//===- Epilogue.cpp - what products share: addresses and epilogues --------===//
#include "Epilogue.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::kernels;
using namespace tenon::graph;

BlockArgument tenon::kernels::leafOf(Value value) {
  while (Operation *op = value.getDefiningOp()) {
    if (!isa<PermuteOp, ReshapeOp, BroadcastOp, SliceOp, ReverseOp, AssertDimOp>(op))
      return {};
    value = op->getOperand(0);
  }
  return cast<BlockArgument>(value);
}

std::optional<StridedAddress> tenon::kernels::resolveStrided(Evaluator &ev, Value value, Point point, AffineExpr k) {
  auto place = ev.placeOf(value, std::move(point));
  if (!place)
    return std::nullopt;
  IndexSimplifier simple = ev.simplifier();
  MLIRContext *context = k.getContext();
  AffineExpr address = place->second;
  AffineExpr zero = getAffineConstantExpr(0, context), one = getAffineConstantExpr(1, context);
  AffineExpr offset = simple.simplify(normalize(address.replace(k, zero)));
  AffineExpr stride = normalize(address.replace(k, one) - offset);
  if (stride.isFunctionOfDim(cast<AffineDimExpr>(k).getPosition()) ||
      normalize(address - offset - stride * k) != zero)
    return std::nullopt;
  return StridedAddress{offset, stride};
}

LogicalResult tenon::kernels::emitEpilogue(Evaluator &ev, Value root, ArrayRef<EpilogueElement> elements) {
  Emitter &e = ev.e;
  OperandRange results = resultsOf(e.kernel);
  struct Stored {
    unsigned number;
    Point point;
    Value value, mask, condition;
  };
  SmallVector<Stored> stores;
  // Path from the root to each result, to know where an element of the root ends up.
  for (auto [number, result] : llvm::enumerate(results)) {
    for (const EpilogueElement &element : elements) {
      std::optional<Point> point = pushToResult(root, result, element.point, ev.simplifier());
      if (!point)
        return e.kernel.emitOpError() << "has result " << number << " that does not follow its root element by element";
      LogicalResult status = success();
      IndexSimplifier simple = ev.simplifier();
      ev.bindValue(root, [&](const Point &at) -> Value {
        for (auto [have, want] : llvm::zip(at, element.point))
          if (simple.simplify(have) != simple.simplify(want)) {
            status = e.kernel.emitOpError("reads an element of its root other than the one computed");
            return {};
          }
        return element.value;
      });
      ev.mask = element.mask;
      Value value = ev.at(result, *point);
      if (failed(status) || !value)
        return failure();
      stores.push_back({static_cast<unsigned>(number), *point, value, element.mask, element.condition});
    }
  }
  for (const Stored &store : stores) {
    ev.mask = store.mask;
    auto type = cast<RankedTensorType>(results[store.number].getType());
    auto write = [&] { ev.scope([&] { ev.store(e.outputPointer(store.number), type, store.point, store.value); }); };
    if (store.condition)
      e.ifThen(store.condition, write);
    else
      write();
  }
  ev.mask = {};
  return success();
}

bool tenon::kernels::storesNeighbours(Evaluator &ev, Value root, const Point &point) {
  return llvm::all_of(resultsOf(ev.e.kernel), [&](Value result) {
    std::optional<Point> place = pushToResult(root, result, point, ev.simplifier());
    return place && ev.laneStride(ev.simplifier().simplify(linearize(*place, getDims(result.getType()), ev.e.b.getContext()))) == 1;
  });
}
