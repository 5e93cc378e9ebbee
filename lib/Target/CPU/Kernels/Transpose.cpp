//===- Transpose.cpp - squares of vectors, transposed in registers --------===//
#include "Transpose.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::cpu;

/// Swaps ever smaller blocks off the diagonal: the shuffles stay inside 128 bits but for the largest blocks.
SmallVector<Value> tenon::cpu::transpose(Emitter &e, ArrayRef<Value> rows) {
  SmallVector<Value> square(rows);
  int64_t n = square.size();
  for (int64_t block = n / 2; block > 0; block /= 2) {
    SmallVector<int64_t> low, high; // of two rows, one after the other
    for (int64_t lane = 0; lane < n; ++lane) {
      bool isLow = lane / block % 2 == 0;
      low.push_back(isLow ? lane : n + lane - block);
      high.push_back(isLow ? lane + block : n + lane);
    }
    for (int64_t i = 0; i < n; ++i) {
      if (i / block % 2 != 0)
        continue;
      Value a = square[i], c = square[i + block];
      square[i] = vector::ShuffleOp::create(e.b, e.loc, a, c, low);
      square[i + block] = vector::ShuffleOp::create(e.b, e.loc, a, c, high);
    }
  }
  return square;
}
