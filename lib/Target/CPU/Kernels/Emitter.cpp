//===- Emitter.cpp - where the code of a CPU kernel is written ------------===//
#include "Emitter.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::cpu;

func::FuncOp Emitter::begin(ModuleOp into) {
  MLIRContext *context = b.getContext();
  Type pointer = LLVM::LLVMPointerType::get(context), word = b.getI64Type();
  b.setInsertionPointToEnd(into.getBody());
  auto function = func::FuncOp::create(b, loc, ("tn_kernel_" + kernel.getSymName()).str(),
                                       b.getFunctionType({pointer, pointer, word, word, pointer}, {b.getI32Type()}));
  Block *block = function.addEntryBlock();
  b.setInsertionPointToStart(block);
  frame = block->getArgument(0);
  tileBegin = block->getArgument(2);
  tileEnd = block->getArgument(3);
  scratch = block->getArgument(4);
  // Buffers do not overlap, except where the kernel itself says that they may.
  for (unsigned i : {0u, 1u, 4u})
    function.setArgAttr(i, "llvm.noalias", b.getUnitAttr());
  loadArguments(block->getArgument(1));
  if (siteBase) {
    status = LLVM::AllocaOp::create(b, loc, pointer, b.getI32Type(), i64(1), 4);
    LLVM::StoreOp::create(b, loc, arith::ConstantIntOp::create(b, loc, 0, 32), status, 4);
  }
  return function;
}

void Emitter::finish() {
  Value result = status ? LLVM::LoadOp::create(b, loc, b.getI32Type(), status, 4).getResult()
                        : arith::ConstantIntOp::create(b, loc, 0, 32).getResult();
  func::ReturnOp::create(b, loc, result);
}

void Emitter::fail(Value condition, unsigned site, Value x, Value y) {
  ifThen(condition, [&] {
    // frame->rt is the second word; fail is the second function of its table, after 8 bytes of header.
    Type pointer = LLVM::LLVMPointerType::get(b.getContext());
    Value table = LLVM::LoadOp::create(b, loc, pointer, offsetPointer(frame, b.getI64Type(), i64(1)), 8);
    Value function = LLVM::LoadOp::create(b, loc, pointer, offsetPointer(table, b.getI64Type(), i64(2)), 8);
    Value index = arith::TruncIOp::create(b, loc, b.getI32Type(), add(siteBase, i64(site)));
    auto type = LLVM::LLVMFunctionType::get(b.getI32Type(), {pointer, b.getI32Type(), b.getI64Type(), b.getI64Type()});
    Value result = LLVM::CallOp::create(b, loc, type, ValueRange{function, frame, index, x, y}).getResult();
    LLVM::StoreOp::create(b, loc, result, status, 4);
  });
}
