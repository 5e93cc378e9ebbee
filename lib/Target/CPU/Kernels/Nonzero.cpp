//===- Nonzero.cpp - positions of true elements ---------------------------===//
// One tile, in row-major order: where a row goes depends on all before it.
#include "Kernels.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::cpu;
using namespace tenon::graph;

namespace {
class NonzeroKernel {
public:
  NonzeroKernel(Emitter &e, NonzeroOp root) : e(e), root(root), sizes(getDims(root.getInput().getType())) {}
  LogicalResult emit();

private:
  Value visit(SmallVector<Value> &positions, Value count);
  Value visitElement(ArrayRef<Value> positions, Value count);

  Emitter &e;
  NonzeroOp root;
  Dims sizes;
  Value rows, limit; ///< rows may be null: only the number is wanted
  LogicalResult status = success();
};
} // namespace

/// All elements below `positions`; gives the number of true ones up to there.
Value NonzeroKernel::visit(SmallVector<Value> &positions, Value count) {
  if (positions.size() == sizes.size())
    return visitElement(positions, count);
  AffineExpr size = sizes[positions.size()];
  return e.loop(e.i64(0), e.size(size), e.i64(1), ValueRange{count}, [&](Value position, ValueRange carried) {
    positions.push_back(position);
    SmallVector<Value> next{visit(positions, carried[0])};
    positions.pop_back();
    return next;
  })[0];
}

Value NonzeroKernel::visitElement(ArrayRef<Value> positions, Value count) {
  Evaluator ev(e, 1);
  Value bit = ev.at(root.getInput(), bindPoint(ev, positions, sizes));
  if (!bit) {
    status = failure();
    return count;
  }
  if (rows) {
    // A number beyond the limit is an error that is found later; there is no room for its rows.
    Value fits = arith::AndIOp::create(e.b, e.loc, bit, e.less(count, limit));
    e.ifThen(fits, [&] {
      Value row = e.mul(count, e.i64(sizes.size()));
      for (auto [d, position] : llvm::enumerate(positions))
        e.storeScalar(rows, e.b.getI64Type(), e.add(row, e.i64(d)), position);
    });
  }
  return e.add(count, arith::ExtUIOp::create(e.b, e.loc, e.b.getI64Type(), bit));
}

LogicalResult NonzeroKernel::emit() {
  MLIRContext *context = root.getContext();
  setSchedule(e, getAffineConstantExpr(1, context), getAffineConstantExpr(0, context),
              numElements(root.getInput().getType()) * 4);
  limit = e.size(numElements(root.getInput().getType()));
  if (auto bound = root->getAttrOfType<DimsAttr>("bound"))
    limit = e.min(limit, e.size(bound.getExprs()[0]));
  if (auto max = root->getAttrOfType<IntegerAttr>("limit"))
    limit = e.min(limit, e.i64(max.getInt()));
  Value number;
  for (auto [i, result] : llvm::enumerate(resultsOf(e.kernel))) {
    if (result == root.getPositions())
      rows = e.outputPointer(i);
    else if (result == root.getCount())
      number = e.outputPointer(i);
    else
      return root.emitOpError("shares its kernel with something else");
  }
  SmallVector<Value> positions;
  Value count = visit(positions, e.i64(0));
  if (number)
    e.storeScalar(number, e.b.getI64Type(), e.i64(0), count);
  return status;
}

LogicalResult tenon::cpu::emitNonzero(Emitter &e, NonzeroOp root) { return NonzeroKernel(e, root).emit(); }
