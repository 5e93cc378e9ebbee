//===- MicroKernel.cpp - the register tile of every product ---------------===//
#include "MicroKernel.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::cpu;

/// Steps of k in one turn of the loop.
static constexpr int64_t kUnroll = 4;

TileShape TileShape::choose(target::CPUAttr target, std::optional<int64_t> m) {
  // 16 registers: 6 x 2 sums, 2 of B, 1 of A. 32 registers: 6 x 4 sums, 4 of B.
  int64_t sums = target.getVectorRegisters() >= 32 ? 24 : 12, rows = 6;
  if (!m || *m >= rows)
    return {rows, sums / rows};
  // Few rows: more vectors, so that enough sums are in flight to hide the latency of an addition.
  rows = std::max<int64_t>(1, *m);
  int64_t vectors = sums / rows;
  vectors = vectors >= 8 ? 8 : vectors >= 4 ? 4 : 2;
  return {rows, vectors};
}

SmallVector<Value> MicroKernel::emit(Emitter &e, Value count, ValueRange sums) const {
  auto oneStep = [&](Value k, SmallVector<Value> acc) {
    SmallVector<Value> right;
    Value offsetB = e.mul(k, strideB), offsetA = e.mul(k, strideA);
    for (auto [i, pointer] : llvm::enumerate(b)) {
      Value mask = masks.empty() ? Value() : masks[i];
      right.push_back(toAccumulator(e, e.loadVector(pointer, elementB, offsetB, lanes, mask), accumulator));
    }
    for (auto [r, pointer] : llvm::enumerate(a)) {
      Value left = toAccumulator(e, e.loadScalar(pointer, elementA, offsetA), accumulator);
      left = e.splat(left, lanes);
      for (size_t v = 0; v < b.size(); ++v) {
        Value &sum = acc[r * b.size() + v];
        if (isa<FloatType>(accumulator))
          sum = e.fma(left, right[v], sum);
        else
          sum = arith::AddIOp::create(e.b, e.loc, sum, arith::MulIOp::create(e.b, e.loc, left, right[v]));
      }
    }
    return acc;
  };
  Value unroll = e.i64(kUnroll), unrolledEnd = e.mul(e.divFloor(count, unroll), unroll);
  SmallVector<Value> acc = e.loop(e.i64(0), unrolledEnd, unroll, sums, [&](Value k, ValueRange carried) {
    SmallVector<Value> acc(carried);
    if (ahead)
      LLVM::Prefetch::create(e.b, e.loc, e.offsetPointer(ahead, elementB, e.mul(k, e.i64(kUnroll))), /*rw=*/0,
                             /*hint=*/2, /*cache=*/1); // to L2
    for (int64_t u = 0; u < kUnroll; ++u)
      acc = oneStep(e.add(k, e.i64(u)), acc);
    return acc;
  });
  APInt constant;
  if (matchPattern(count, m_ConstantInt(&constant)) && constant.getSExtValue() % kUnroll == 0)
    return acc;
  return e.loop(unrolledEnd, count, e.i64(1), acc,
                [&](Value k, ValueRange carried) { return oneStep(k, SmallVector<Value>(carried)); });
}
