#include "Emitter.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::device;

void device::Emitter::begin(int64_t threadCount) {
  Type pointer = LLVM::LLVMPointerType::get(b.getContext()), word = b.getI64Type();
  threads = threadCount;
  b.setInsertionPointToEnd(module.getBody());
  function = func::FuncOp::create(b, loc, ("tn_kernel_" + kernel.getSymName()).str(),
                                  b.getFunctionType({pointer, word, word, pointer}, {}));
  function->setAttr(kThreadsAttr, b.getI64IntegerAttr(threads));
  Block *block = function.addEntryBlock();
  b.setInsertionPointToStart(block);
  group = block->getArgument(1);
  thread = block->getArgument(2);
  report = block->getArgument(3);
  function->setAttr(kSlotsAttr, b.getI64IntegerAttr(loadArguments(block->getArgument(0))));
}

void device::Emitter::finish() { func::ReturnOp::create(b, loc); }

void device::Emitter::fail(Value condition, unsigned site, Value x, Value y) {
  ifThen(condition, [&] {
    Value number = arith::TruncIOp::create(b, loc, b.getI32Type(), add(siteBase, i64(site)));
    Value before = LLVM::AtomicRMWOp::create(b, loc, LLVM::AtomicBinOp::umin, report, number,
                                             LLVM::AtomicOrdering::monotonic);
    Value isLower = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ult, number, before);
    ifThen(isLower, [&] {
      storeScalar(report, b.getI64Type(), i64(1), x);
      storeScalar(report, b.getI64Type(), i64(2), y);
    });
  });
}

//===----------------------------------------------------------------------===//
// Shared memory
//===----------------------------------------------------------------------===//

Value device::Emitter::shared(Type element, int64_t count) {
  auto type = MemRefType::get({count}, element, AffineMap(), b.getI64IntegerAttr(kSharedSpace));
  std::string name = (function.getSymName() + ".shared" + Twine(sharedCount++)).str();
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPoint(function);
    memref::GlobalOp::create(b, loc, name, b.getStringAttr("private"), type, Attribute(), /*constant=*/false,
                             b.getI64IntegerAttr(kSharedAlign));
  }
  return memref::GetGlobalOp::create(b, loc, type, name);
}

Value device::Emitter::loadShared(Value memory, Value index) {
  return memref::LoadOp::create(b, loc, memory, arith::IndexCastOp::create(b, loc, b.getIndexType(), index).getResult());
}
void device::Emitter::storeShared(Value memory, Value index, Value value) {
  memref::StoreOp::create(b, loc, value, memory,
                          arith::IndexCastOp::create(b, loc, b.getIndexType(), index).getResult());
}
static llvm::MaybeAlign alignOf(VectorType type) {
  return llvm::MaybeAlign(type.getNumElements() * type.getElementTypeBitWidth() / 8);
}
Value device::Emitter::loadSharedVector(Value memory, Value index, int64_t lanes) {
  VectorType type = vectorOf(cast<MemRefType>(memory.getType()).getElementType(), lanes);
  Value at = arith::IndexCastOp::create(b, loc, b.getIndexType(), index);
  return vector::LoadOp::create(b, loc, type, memory, at, /*nontemporal=*/false, alignOf(type));
}
void device::Emitter::storeSharedVector(Value memory, Value index, Value vector) {
  Value at = arith::IndexCastOp::create(b, loc, b.getIndexType(), index);
  vector::StoreOp::create(b, loc, vector, memory, at, /*nontemporal=*/false, alignOf(cast<VectorType>(vector.getType())));
}
void device::Emitter::barrier() { mlir::gpu::BarrierOp::create(b, loc); }

Value device::Emitter::combineThreads(graph::ReduceKind kind, Value value, Value memory) {
  Type type = value.getType();
  bool isBool = type.isInteger(1); // shared memory has no bits
  auto read = [&](Value index) -> Value {
    Value v = loadShared(memory, index);
    return isBool ? arith::TruncIOp::create(b, loc, type, v).getResult() : v;
  };
  auto write = [&](Value index, Value v) {
    storeShared(memory, index, isBool ? arith::ExtUIOp::create(b, loc, b.getI32Type(), v).getResult() : v);
  };
  write(thread, value);
  barrier();
  for (int64_t half = threads / 2; half >= 1; half /= 2) {
    ifThen(less(thread, i64(half)), [&] { write(thread, combine(kind, read(thread), read(add(thread, i64(half))))); });
    barrier();
  }
  Value result = read(i64(0));
  barrier(); // before the memory is used again
  return result;
}
