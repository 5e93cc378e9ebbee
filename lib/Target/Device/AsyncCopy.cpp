#include "AsyncCopy.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::device;

static void callNVVM(Emitter &e, StringRef name, ValueRange operands = {}) {
  LLVM::CallIntrinsicOp::create(e.b, e.loc, e.b.getStringAttr(("llvm.nvvm.cp.async." + name).str()), operands);
}

std::optional<AsyncCopy> AsyncCopy::find(Emitter &e, Value value) {
  AsyncCopy copy;
  while (auto select = value.getDefiningOp<arith::SelectOp>()) {
    if (!matchPattern(select.getFalseValue(), m_AnyZeroFloat()))
      return std::nullopt;
    copy.condition = copy.condition ? arith::AndIOp::create(e.b, e.loc, copy.condition, select.getCondition()).getResult()
                                    : select.getCondition();
    value = select.getTrueValue();
  }
  copy.load = value.getDefiningOp<LLVM::LoadOp>();
  auto type = dyn_cast<VectorType>(value.getType());
  if (!copy.load || !type || type.getNumElements() * type.getElementTypeBitWidth() != 128 ||
      copy.load.getAlignment().value_or(1) < 16 || copy.load->getBlock() != e.b.getInsertionBlock())
    return std::nullopt;
  return copy;
}

void AsyncCopy::start(Emitter &e, Value address) const {
  Type global = LLVM::LLVMPointerType::get(e.b.getContext(), 1), i32 = e.b.getI32Type();
  auto bytes = [&](int64_t count) { return LLVM::ConstantOp::create(e.b, e.loc, i32, e.b.getI32IntegerAttr(count)).getResult(); };
  LLVM::LoadOp from = load;
  SmallVector<Value> operands{address, LLVM::AddrSpaceCastOp::create(e.b, e.loc, global, from.getAddr())};
  if (condition) // of what is not read zeros are written
    operands.push_back(e.select(condition, bytes(16), bytes(0)));
  callNVVM(e, condition ? "cg.shared.global.16.s" : "cg.shared.global.16", operands);
}

void AsyncCopy::commit(Emitter &e) { callNVVM(e, "commit.group"); }

void AsyncCopy::await(Emitter &e, int64_t left) {
  Value count = LLVM::ConstantOp::create(e.b, e.loc, e.b.getI32Type(), e.b.getI32IntegerAttr(left));
  callNVVM(e, "wait.group", count);
}
