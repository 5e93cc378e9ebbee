// Places of elements are those of NVIDIA's PTX ISA ("Matrix Fragments for mma.m16n8k16") and of AMD's instruction set
// architectures of CDNA 2, RDNA 3 and RDNA 4.
#include "MatrixUnit.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::device;
using Kind = target::MatrixUnit;

bool MatrixUnit::isFor(target::GPUAttr device, Type operand) {
  if (!device || device.getMatrix() == Kind::None)
    return false;
  if (operand.isF32())
    return device.getUsesTF32();
  return operand.isF16() || (operand.isBF16() && device.getMatrix() != Kind::Cooperative);
}

int64_t MatrixUnit::lanesOf(target::GPUAttr device) {
  static constexpr int64_t kCooperative = 32; // what the runtime asks the driver for
  return device.getMatrix() == Kind::Cooperative ? kCooperative : device.getSubgroup();
}

MatrixUnit::MatrixUnit(target::GPUAttr device, Type operand)
    : m(16), n(device.getMatrix() == Kind::Mma ? 8 : 16), k(256 / operand.getIntOrFloatBitWidth()), chunk(k / 2), kind(device.getMatrix()), operand(operand) {}

/// Line and share of the depth of a lane, where a lane holds one line.
static std::pair<Value, Value> lineOf(Emitter &e, Value lane) { return {e.rem(lane, e.i64(16)), e.divFloor(lane, e.i64(16))}; }

SmallVector<MatrixUnit::Run> MatrixUnit::runsOfB(Emitter &e, Value lane) const {
  if (kind == Kind::Mma) {
    Value line = e.divFloor(lane, e.i64(4)), depth = e.mul(e.rem(lane, e.i64(4)), e.i64(2));
    return {{line, depth, 2}, {line, e.add(depth, e.i64(8)), 2}};
  }
  auto [line, part] = lineOf(e, lane);
  if (kind == Kind::Wmma11) // both halves of the lanes hold the same
    return {{line, e.i64(0), 8}, {line, e.i64(8), 8}};
  int64_t length = kind == Kind::Mfma ? 4 : 8;
  return {{line, e.mul(part, e.i64(length)), length}};
}

SmallVector<MatrixUnit::Run> MatrixUnit::runsOfA(Emitter &e, Value lane) const {
  SmallVector<Run> runs = runsOfB(e, lane);
  if (kind != Kind::Mma)
    return runs;
  // Twice as many rows as B has columns.
  auto below = [&](Run run) { return Run{e.add(run.line, e.i64(8)), run.depth, run.length}; };
  return {runs[0], below(runs[0]), runs[1], below(runs[1])};
}

/// A whole matrix by all lanes; its lines are rows of A, or columns of B.
static Value loadCooperative(Emitter &e, StringRef use, Type element, Value memory, Value at, int64_t pitch, bool isAcross) {
  auto type = mlir::gpu::MMAMatrixType::get({16, 16}, element, use);
  Value index = arith::IndexCastOp::create(e.b, e.loc, e.b.getIndexType(), at);
  return mlir::gpu::SubgroupMmaLoadMatrixOp::create(e.b, e.loc, type, memory, ValueRange{index}, e.b.getIndexAttr(pitch),
                                                    isAcross ? e.b.getUnitAttr() : UnitAttr());
}

/// Four matrices of eight rows of 16 bytes by one instruction: every lane says where one of the rows begins, and gets 4 bytes of
/// each: two neighbours, or one number that is rounded to TF32.
static SmallVector<Value> loadMatrices(Emitter &e, Value address, Type operand, bool isAcross = false) {
  Type i32 = e.b.getI32Type();
  auto result = LLVM::LLVMStructType::getLiteral(e.b.getContext(), {i32, i32, i32, i32});
  StringRef name = isAcross ? "llvm.nvvm.ldmatrix.sync.aligned.m8n8.x4.trans.b16.p3" : "llvm.nvvm.ldmatrix.sync.aligned.m8n8.x4.b16.p3";
  Value all = LLVM::CallIntrinsicOp::create(e.b, e.loc, result, e.b.getStringAttr(name), ValueRange{address}).getResult(0);
  SmallVector<Value> parts;
  for (int64_t i = 0; i < 4; ++i) {
    Value part = LLVM::ExtractValueOp::create(e.b, e.loc, all, i);
    if (operand.isF32()) {
      part = LLVM::BitcastOp::create(e.b, e.loc, operand, part);
      part = LLVM::CallIntrinsicOp::create(e.b, e.loc, i32, e.b.getStringAttr("llvm.nvvm.f2tf32.rna"), ValueRange{part}).getResult(0);
    } else {
      part = LLVM::BitcastOp::create(e.b, e.loc, VectorType::get(2, operand), part);
    }
    parts.push_back(part);
  }
  return parts;
}

MatrixUnit::Fragment MatrixUnit::loadA(Emitter &e, Value memory, Value lane, Place place, int64_t pitch) const {
  if (isOpaque())
    return {loadCooperative(e, "AOp", operand, memory, place(e.i64(0), e.i64(0)), pitch, /*isAcross=*/false)};
  if (kind == Kind::Mma) // rows 0 to 7, then 8 to 15, of the first half of k, then of the second
    return loadMatrices(e, e.sharedAddress(memory, place(e.rem(lane, e.i64(16)), e.mul(e.divFloor(lane, e.i64(16)), e.i64(chunk)))),
                        operand);
  Fragment parts;
  for (const Run &run : runsOfA(e, lane))
    parts.push_back(e.loadSharedVector(memory, place(run.line, run.depth), run.length));
  return parts;
}

SmallVector<MatrixUnit::Fragment> MatrixUnit::loadB(Emitter &e, Value memory, Value lane, Place place, int64_t pitch) const {
  if (isOpaque())
    return {{loadCooperative(e, "BOp", operand, memory, place(e.i64(0), e.i64(0)), pitch, /*isAcross=*/true)}};
  if (kind == Kind::Mma) { // two of them: both halves of k, then of the next eight columns
    Value number = e.divFloor(lane, e.i64(8));
    Value line = e.add(e.mul(e.divFloor(number, e.i64(2)), e.i64(8)), e.rem(lane, e.i64(8)));
    Fragment parts = loadMatrices(e, e.sharedAddress(memory, place(line, e.mul(e.rem(number, e.i64(2)), e.i64(chunk)))), operand);
    return {{parts[0], parts[1]}, {parts[2], parts[3]}};
  }
  Fragment parts;
  for (const Run &run : runsOfB(e, lane))
    parts.push_back(e.loadSharedVector(memory, place(run.line, run.depth), run.length));
  return {parts};
}

SmallVector<MatrixUnit::Fragment> MatrixUnit::loadAcross(Emitter &e, Value memory, Value lane, Place place) const {
  assert(kind == Kind::Mma && operand.getIntOrFloatBitWidth() == 16 && "others do not turn what they load");
  Value number = e.divFloor(lane, e.i64(8));
  Value depth = e.add(e.mul(e.rem(number, e.i64(2)), e.i64(8)), e.rem(lane, e.i64(8))), column = e.mul(e.divFloor(number, e.i64(2)), e.i64(8));
  Fragment parts = loadMatrices(e, e.sharedAddress(memory, place(depth, column)), operand, /*isAcross=*/true);
  return {{parts[0], parts[1]}, {parts[2], parts[3]}};
}

MatrixUnit::Fragment MatrixUnit::asA(Emitter &e, Value left, Value right) const {
  assert(kind == Kind::Mma && "places of others differ");
  Fragment parts;
  for (Value sums : {left, right})
    for (int64_t i = 0; i < 4; i += 2) {
      Value pair[] = {vector::ExtractOp::create(e.b, e.loc, sums, i), vector::ExtractOp::create(e.b, e.loc, sums, i + 1)};
      Value both = vector::FromElementsOp::create(e.b, e.loc, VectorType::get(2, e.b.getF32Type()), pair);
      parts.push_back(kernels::fromAccumulator(e, both, operand));
    }
  return parts;
}

int64_t MatrixUnit::countOfC() const { return kind == Kind::Mma || kind == Kind::Mfma ? 4 : 8; }

MatrixUnit::Places MatrixUnit::placesOfC(Emitter &e, Value lane) const {
  Places places;
  if (kind == Kind::Mma) {
    Value row = e.divFloor(lane, e.i64(4)), column = e.mul(e.rem(lane, e.i64(4)), e.i64(2));
    for (int64_t i = 0; i < 4; ++i)
      places.emplace_back(e.add(row, e.i64(i / 2 * 8)), e.add(column, e.i64(i % 2)));
    return places;
  }
  auto [column, part] = lineOf(e, lane);
  int64_t count = countOfC();
  for (int64_t i = 0; i < count; ++i)
    places.emplace_back(kind == Kind::Wmma11 ? e.add(e.i64(2 * i), part) : e.add(e.mul(part, e.i64(count)), e.i64(i)), column);
  return places;
}

void MatrixUnit::storeC(Emitter &e, Value sums, const Places &places, Value memory, int64_t pitch, Value row, Value column) const {
  if (isOpaque()) {
    Value index = arith::IndexCastOp::create(e.b, e.loc, e.b.getIndexType(), e.add(e.mul(row, e.i64(pitch)), column));
    mlir::gpu::SubgroupMmaStoreMatrixOp::create(e.b, e.loc, sums, memory, ValueRange{index}, e.b.getIndexAttr(pitch), UnitAttr());
    return;
  }
  for (auto [i, place] : llvm::enumerate(places))
    e.storeShared(memory, e.add(e.mul(e.add(row, place.first), e.i64(pitch)), e.add(column, place.second)),
                  vector::ExtractOp::create(e.b, e.loc, sums, static_cast<int64_t>(i)));
}

Value MatrixUnit::loadC(Emitter &e, Value memory, int64_t pitch, Value row, Value column) const {
  assert(isOpaque() && "others know what they hold");
  return loadCooperative(e, "COp", e.b.getF32Type(), memory, e.add(e.mul(row, e.i64(pitch)), column), pitch, /*isAcross=*/false);
}

Value MatrixUnit::zeroC(Emitter &e) const {
  Type f32 = e.b.getF32Type();
  if (!isOpaque())
    return e.zeros(VectorType::get(countOfC(), f32));
  return mlir::gpu::SubgroupMmaConstantMatrixOp::create(e.b, e.loc, mlir::gpu::MMAMatrixType::get({m, n}, f32, "COp"), e.zeros(f32));
}

/// Bit patterns where instructions take bf16 as such.
static Value asBits(Emitter &e, Value vector, Type element, int64_t count) {
  return LLVM::BitcastOp::create(e.b, e.loc, count == 1 ? element : Type(VectorType::get(count, element)), vector);
}

Value MatrixUnit::multiply(Emitter &e, ArrayRef<Value> a, ArrayRef<Value> b, Value c) const {
  if (isOpaque())
    return mlir::gpu::SubgroupMmaComputeOp::create(e.b, e.loc, c.getType(), a[0], b[0], c, UnitAttr(), UnitAttr());
  MLIRContext *context = e.b.getContext();
  Type f32 = e.b.getF32Type(), i32 = e.b.getI32Type(), i16 = e.b.getIntegerType(16);
  bool isBF16 = operand.isBF16();
  auto call = [&](StringRef name, Type result, ValueRange operands) {
    return LLVM::CallIntrinsicOp::create(e.b, e.loc, result, e.b.getStringAttr(name), operands).getResult(0);
  };
  SmallVector<Value> operands;
  if (kind == Kind::Mma) {
    for (Value run : llvm::concat<const Value>(a, b))
      operands.push_back(isBF16 ? asBits(e, run, i32, 1) : run); // of TF32 it is bits already
    for (int64_t i = 0; i < 4; ++i)
      operands.push_back(vector::ExtractOp::create(e.b, e.loc, c, i));
    StringRef name = isBF16            ? "llvm.nvvm.mma.m16n8k16.row.col.bf16"
                     : operand.isF32() ? "llvm.nvvm.mma.m16n8k8.row.col.tf32"
                                       : "llvm.nvvm.mma.m16n8k16.row.col.f32.f32";
    Value sums = call(name,
                      LLVM::LLVMStructType::getLiteral(context, {f32, f32, f32, f32}), operands);
    SmallVector<Value> parts;
    for (int64_t i = 0; i < 4; ++i)
      parts.push_back(LLVM::ExtractValueOp::create(e.b, e.loc, sums, i));
    return vector::FromElementsOp::create(e.b, e.loc, c.getType(), parts);
  }
  auto whole = [&](ArrayRef<Value> runs) {
    Value all = runs[0];
    if (runs.size() == 2)
      all = vector::ShuffleOp::create(e.b, e.loc, runs[0], runs[1], llvm::to_vector(llvm::seq<int64_t>(0, 16)));
    return isBF16 ? asBits(e, all, i16, cast<VectorType>(all.getType()).getNumElements()) : all;
  };
  operands = {whole(a), whole(b), c};
  if (kind == Kind::Mfma) {
    Value zero = LLVM::ConstantOp::create(e.b, e.loc, e.b.getI32IntegerAttr(0)); // no broadcasts
    operands.append(3, zero);
    return call(isBF16 ? "llvm.amdgcn.mfma.f32.16x16x16bf16.1k" : "llvm.amdgcn.mfma.f32.16x16x16f16", c.getType(), operands);
  }
  std::string lanes = kind == Kind::Wmma11 ? "16" : "8";
  return call(isBF16 ? "llvm.amdgcn.wmma.f32.16x16x16.bf16.v8f32.v" + lanes + "i16"
                     : "llvm.amdgcn.wmma.f32.16x16x16.f16.v8f32.v" + lanes + "f16",
              c.getType(), operands);
}
