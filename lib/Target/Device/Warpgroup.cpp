// Forms and descriptors are those of NVIDIA's PTX ISA 8.0 ("Asynchronous Warpgroup Level Matrix Instructions", "mbarrier",
// "cp.async.bulk.tensor").
#include "Warpgroup.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::device;

/// Results that are values of one type; `text` names them $0, $1, … and then the operands.
static SmallVector<Value> assembly(Emitter &e, const Twine &text, const Twine &constraints, ValueRange operands, ArrayRef<Type> results = {}) {
  Type type;
  if (results.size() == 1)
    type = results[0];
  else if (!results.empty())
    type = LLVM::LLVMStructType::getLiteral(e.b.getContext(), results);
  auto op = LLVM::InlineAsmOp::create(e.b, e.loc, type ? TypeRange(type) : TypeRange(), operands, text.str(), constraints.str(),
                                      /*has_side_effects=*/true, /*is_align_stack=*/false, LLVM::TailCallKind::None,
                                      /*asm_dialect=*/{}, /*operand_attrs=*/{});
  SmallVector<Value> values;
  if (results.size() == 1)
    values.push_back(op.getResult(0));
  for (size_t i = 0; results.size() > 1 && i < results.size(); ++i)
    values.push_back(LLVM::ExtractValueOp::create(e.b, e.loc, op.getResult(0), i));
  return values;
}

static Value narrow(Emitter &e, Value value) { return arith::TruncIOp::create(e.b, e.loc, e.b.getI32Type(), value); }

/// An address in shared memory as instructions take it: 32 bits from its beginning.
static Value sharedWord(Emitter &e, Value pointer) { return narrow(e, LLVM::PtrToIntOp::create(e.b, e.loc, e.b.getI64Type(), pointer)); }

Value device::sameInWarp(Emitter &e, Value value) {
  Value first = assembly(e, "shfl.sync.idx.b32 $0, $1, 0, 31, -1;", "=r,r", narrow(e, value), e.b.getI32Type())[0];
  return arith::ExtUIOp::create(e.b, e.loc, e.b.getI64Type(), first);
}

//===----------------------------------------------------------------------===//
// Barriers and copies
//===----------------------------------------------------------------------===//

PhaseBarriers::PhaseBarriers(Emitter &e, int64_t count) : e(e), memory(e.shared(e.b.getI64Type(), count)) {}

Value PhaseBarriers::address(Value number) { return sharedWord(e, e.sharedAddress(memory, number)); }

void PhaseBarriers::initialize(int64_t number, int64_t arrivals) {
  assembly(e, "mbarrier.init.shared::cta.b64 [$0], " + Twine(arrivals) + ";", "r,~{memory}", address(e.i64(number)));
}

void PhaseBarriers::publish(Emitter &e) { assembly(e, "fence.proxy.async.shared::cta;", "~{memory}", {}); }

void PhaseBarriers::arrive(Value number) { assembly(e, "mbarrier.arrive.shared::cta.b64 _, [$0];", "r,~{memory}", address(number)); }

void PhaseBarriers::expect(Value number, int64_t bytes) {
  assembly(e, "mbarrier.arrive.expect_tx.shared::cta.b64 _, [$0], " + Twine(bytes) + ";", "r,~{memory}", address(number));
}

void PhaseBarriers::wait(Value number, Value parity) {
  Value where = address(number), phase = narrow(e, parity);
  // The instruction gives up after a while.
  auto loop = scf::WhileOp::create(e.b, e.loc, TypeRange(), ValueRange());
  OpBuilder::InsertionGuard guard(e.b);
  e.b.createBlock(&loop.getBefore());
  Type i32 = e.b.getI32Type();
  Value isDone = assembly(e, "{ .reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [$1], $2; selp.b32 $0, 1, 0, p; }",
                          "=r,r,r,~{memory}", {where, phase}, i32)[0];
  Value zero = arith::ConstantOp::create(e.b, e.loc, e.b.getI32IntegerAttr(0));
  scf::ConditionOp::create(e.b, e.loc, arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::eq, isDone, zero), ValueRange());
  e.b.createBlock(&loop.getAfter());
  scf::YieldOp::create(e.b, e.loc);
}

void device::copyTile(Emitter &e, Value map, ArrayRef<Value> at, Value dest, Value barrier) {
  SmallVector<Value> operands{sharedWord(e, dest), map, barrier};
  std::string text, constraints = "r,l,r";
  for (auto [i, position] : llvm::enumerate(at)) {
    text += (i ? ", $" : "$") + std::to_string(3 + i);
    constraints += ",r";
    operands.push_back(narrow(e, position));
  }
  assembly(e, "cp.async.bulk.tensor." + Twine(at.size()) + "d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [$0], [$1, {" +
                  text + "}], [$2];",
           constraints + ",~{memory}", operands);
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

/// As instructions call the type; null: they do not know it. Of f32 they take as many bits as TF32 has.
static const char *nameOf(Type operand) {
  return operand.isF32() ? "tf32" : operand.isF16() ? "f16" : operand.isBF16() ? "bf16" : isa<Float8E4M3FNType>(operand) ? "e4m3" : isa<Float8E5M2Type>(operand) ? "e5m2" : nullptr;
}

bool WarpgroupUnit::isFor(target::GPUAttr device, Type operand) {
  return device && device.getHasWarpgroups() && nameOf(operand) && (!operand.isF32() || device.getUsesTF32());
}

int64_t WarpgroupUnit::bytes() const { return operand.getIntOrFloatBitWidth() / 8; }

Value WarpgroupUnit::describe(Emitter &e, Value address, int64_t step, bool alongLines, int64_t blockDepth) const {
  // In units of 16 bytes: where it begins, and two distances. Along the depth one of them is that of eight lines, the other has no
  // meaning. Along lines they are those of groups of lines, and of eight places of the depth.
  int64_t offset = alongLines ? step * depth() * kSwizzleBytes : step * 32;
  int64_t leading = alongLines ? blockDepth * kSwizzleBytes : 16, stride = kTileAlign;
  uint64_t fixed = uint64_t(leading / 16) << 16 | uint64_t(stride / 16) << 32 | uint64_t(1) << 62;
  Value begin = e.divFloor(e.add(arith::ExtUIOp::create(e.b, e.loc, e.b.getI64Type(), sharedWord(e, address)), e.i64(offset)), e.i64(16));
  begin = arith::AndIOp::create(e.b, e.loc, begin, e.i64(0x3fff));
  return arith::OrIOp::create(e.b, e.loc, begin, e.i64(static_cast<int64_t>(fixed)));
}

/// "$0, $1, …", and what is in the registers before.
static std::string registersOf(size_t count) {
  std::string text;
  for (size_t i = 0; i < count; ++i)
    text += (i ? ", $" : "$") + std::to_string(i);
  return text;
}
static std::string tied(size_t count) {
  std::string outputs, inputs;
  for (size_t i = 0; i < count; ++i) {
    outputs += i ? ",=f" : "=f";
    inputs += "," + std::to_string(i);
  }
  return outputs + inputs;
}

SmallVector<Value> WarpgroupUnit::multiply(Emitter &e, Value a, Value b, bool alongLinesA, bool alongLinesB, ValueRange sums) const {
  size_t count = sums.size();
  std::string type = nameOf(operand), first = std::to_string(2 * count), second = std::to_string(2 * count + 1);
  std::string text = "{ .reg .pred p; setp.eq.u32 p, 1, 1; wgmma.mma_async.sync.aligned.m64n" + std::to_string(2 * count) + "k" +
                     std::to_string(depth()) + ".f32." + type + "." + type + " {" + registersOf(count) + "}, $" + first + ", $" + second +
                     ", p, 1, 1";
  if (takesLines())
    text += std::string(alongLinesA ? ", 1" : ", 0") + (alongLinesB ? ", 1" : ", 0");
  SmallVector<Value> operands(sums);
  operands.append({a, b});
  return assembly(e, text + "; }", tied(count) + ",l,l,~{memory}", operands, SmallVector<Type>(sums.getTypes()));
}

void device::beginProducts(Emitter &e) { assembly(e, "wgmma.fence.sync.aligned;", "~{memory}", {}); }
void device::commitProducts(Emitter &e) { assembly(e, "wgmma.commit_group.sync.aligned;", "~{memory}", {}); }
SmallVector<Value> device::awaitProducts(Emitter &e, int64_t left, ValueRange sums) {
  return assembly(e, "wgmma.wait_group.sync.aligned " + Twine(left) + ";", tied(sums.size()) + ",~{memory}", sums,
                  SmallVector<Type>(sums.getTypes()));
}
