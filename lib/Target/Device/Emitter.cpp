#include "Emitter.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "tenon/abi.h"

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
  args = block->getArgument(0);
  group = block->getArgument(1);
  thread = block->getArgument(2);
  report = block->getArgument(3);
  loadArguments(args);
  function->setAttr(kSlotsAttr, b.getI64IntegerAttr(kernels::countSlots(kernel)));
}

void device::Emitter::finish() {
  if (!maps.empty())
    function->setAttr(kMapsAttr, b.getArrayAttr(maps));
  func::ReturnOp::create(b, loc);
}

void device::guardBody(OpBuilder &b, Block &body, Value groups, ArrayRef<Value> arguments) {
  Location loc = body.getParentOp()->getLoc();
  Value isTile = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, arguments[1], groups);
  Block *inside = scf::IfOp::create(b, loc, isTile, /*withElseRegion=*/false).thenBlock();
  for (auto [from, to] : llvm::zip(body.getArguments(), arguments))
    from.replaceAllUsesWith(to);
  inside->getOperations().splice(inside->getTerminator()->getIterator(), body.getOperations(), body.begin(),
                                 body.getTerminator()->getIterator());
}

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

Value device::Emitter::shared(Type element, int64_t count, int64_t align) {
  auto type = MemRefType::get({count}, element, AffineMap(), b.getI64IntegerAttr(kSharedSpace));
  std::string name = (function.getSymName() + ".shared" + Twine(sharedCount++)).str();
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPoint(function);
    memref::GlobalOp::create(b, loc, name, b.getStringAttr("private"), type, Attribute(), /*constant=*/false,
                             b.getI64IntegerAttr(align));
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
Value device::Emitter::sharedAddress(Value memory, Value index) {
  Value base = memref::ExtractAlignedPointerAsIndexOp::create(b, loc, memory);
  Type pointer = LLVM::LLVMPointerType::get(b.getContext(), kSharedSpace);
  base = LLVM::IntToPtrOp::create(b, loc, pointer, arith::IndexCastOp::create(b, loc, b.getI64Type(), base).getResult());
  return LLVM::GEPOp::create(b, loc, pointer, cast<MemRefType>(memory.getType()).getElementType(), base, ArrayRef<LLVM::GEPArg>{index});
}
void device::Emitter::barrier() { mlir::gpu::BarrierOp::create(b, loc); }

//===----------------------------------------------------------------------===//
// Tensor maps
//===----------------------------------------------------------------------===//

bool device::Emitter::hasRoomForMaps(kernel::FuncOp kernel, int64_t count) {
  int64_t slots = kernels::countSlots(kernel);
  return TN_DEVICE_MAPS_AT(slots) + count * TN_TENSOR_MAP_BYTES <= int64_t(TN_DEVICE_SLOTS * sizeof(uint64_t)) - TN_TENSOR_MAP_ALIGN;
}

Value device::Emitter::tensorMap(const TensorMap &map) {
  int64_t slots = kernels::countSlots(kernel);
  unsigned symbolsAt = kernel.getNumArguments() + kernel.getFunctionType().getNumResults();
  // What a launch finds in slot i is symbol i.
  auto overSlots = [&](ArrayRef<AffineExpr> exprs) {
    SmallVector<AffineExpr> moved;
    for (AffineExpr expr : exprs)
      moved.push_back(expr.shiftSymbols(slots, symbolsAt));
    return AffineMapAttr::get(AffineMap::get(0, slots, moved, b.getContext()));
  };
  int64_t offset = TN_DEVICE_MAPS_AT(slots) + maps.size() * TN_TENSOR_MAP_BYTES;
  maps.push_back(b.getDictionaryAttr({b.getNamedAttr("slot", b.getI64IntegerAttr(map.argument.getArgNumber())),
                                      b.getNamedAttr("offset", b.getI64IntegerAttr(map.offset)),
                                      b.getNamedAttr("element_bytes", b.getI64IntegerAttr(map.elementBytes)),
                                      b.getNamedAttr("sizes", overSlots(map.sizes)), b.getNamedAttr("strides", overSlots(map.strides)),
                                      b.getNamedAttr("tile", b.getDenseI64ArrayAttr(map.tile))}));
  return LLVM::GEPOp::create(b, loc, args.getType(), b.getI8Type(), args, ArrayRef<LLVM::GEPArg>{static_cast<int32_t>(offset)});
}

//===----------------------------------------------------------------------===//
// Subgroups
//===----------------------------------------------------------------------===//

Value device::Emitter::shuffle(Value value, Value mask) {
  Value mask32 = arith::TruncIOp::create(b, loc, b.getI32Type(), mask);
  Value all = arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(device && device.getSubgroup() ? device.getSubgroup() : 1));
  return mlir::gpu::ShuffleOp::create(b, loc, value, mask32, all, mlir::gpu::ShuffleMode::XOR).getShuffleResult();
}

device::Emitter::Subgroup device::Emitter::findSubgroup() {
  if (int64_t size = device ? device.getSubgroup() : 0)
    return {i64(size), divFloor(thread, i64(size)), rem(thread, i64(size))};
  auto wide = [&](Value index) { return arith::IndexCastOp::create(b, loc, b.getI64Type(), index).getResult(); };
  return {wide(mlir::gpu::SubgroupSizeOp::create(b, loc, IntegerAttr())), wide(mlir::gpu::SubgroupIdOp::create(b, loc, IntegerAttr())),
          wide(mlir::gpu::LaneIdOp::create(b, loc, IntegerAttr()))};
}

Value device::Emitter::combineThreads(graph::ReduceKind kind, Value value, Value memory) {
  Type type = value.getType();
  bool isBool = type.isInteger(1); // neither shuffles nor shared memory have bits
  auto widen = [&](Value v) { return isBool ? arith::ExtUIOp::create(b, loc, b.getI32Type(), v).getResult() : v; };
  auto narrow = [&](Value v) { return isBool ? arith::TruncIOp::create(b, loc, type, v).getResult() : v; };
  // Pairs of lanes, pairs of those pairs, …: a + b is b + a to the bit, so that all lanes have the same.
  Subgroup subgroup = findSubgroup();
  if (int64_t size = device ? device.getSubgroup() : 0) {
    for (int64_t half = size / 2; half >= 1; half /= 2)
      value = combine(kind, value, narrow(shuffle(widen(value), i64(half))));
  } else {
    static constexpr int64_t kLargestLog2 = 7;
    value = loop(i64(0), i64(kLargestLog2), i64(1), value, [&](Value step, ValueRange carried) -> SmallVector<Value> {
      Value half = arith::ShRUIOp::create(b, loc, subgroup.size, add(step, i64(1)));
      Value both = combine(kind, carried[0], narrow(shuffle(widen(carried[0]), half)));
      return {select(less(i64(0), half), both, carried[0])};
    })[0];
  }
  ifThen(arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, subgroup.lane, i64(0)),
         [&] { storeShared(memory, subgroup.number, widen(value)); });
  barrier();
  Value result = narrow(loadShared(memory, i64(0)));
  result = loop(i64(1), divFloor(i64(threads), subgroup.size), i64(1), result, [&](Value i, ValueRange carried) -> SmallVector<Value> {
    return {combine(kind, carried[0], narrow(loadShared(memory, i)))};
  })[0];
  barrier(); // before the memory is used again
  return result;
}
