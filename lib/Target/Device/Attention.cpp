// Scaled dot-product attention with a running softmax, on devices of whose subgroups nothing is known: a workgroup has one row of the
// query; its threads take a key each of a block for the scores, then a column each of the values. The order of operations depends on
// the number of keys alone.
#include "Attention.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::device;
using namespace tenon::graph;

/// Threads of a workgroup, and keys of a block.
static constexpr int64_t kKeys = 64;

//===----------------------------------------------------------------------===//
// Scores
//===----------------------------------------------------------------------===//

LogicalResult AttentionScores::analyze() {
  querySizes = getDims(root.getQuery().getType());
  keySizes = getDims(root.getKey().getType());
  width = getDim(root.getValue().getType(), 3);
  if (!asConstant(querySizes[3]) || !asConstant(width))
    return root.emitOpError("has heads whose size is not known when it is compiled");
  accumulator = kernels::accumulatorFor(getElementTypeOrSelf(root.getQuery().getType()));
  if (!isa<FloatType>(accumulator))
    return root.emitOpError("is of integers");
  return success();
}

void AttentionScores::placeRows(int64_t count) {
  rowCount = count;
  AffineExpr tiles = normalize(querySizes[2].ceilDiv(count)), heads = querySizes[0] * querySizes[1];
  int64_t perPair = 2 * (*asConstant(querySizes[3]) + *asConstant(width)) + 20;
  kernels::setSchedule(e, normalize(heads * tiles), getAffineConstantExpr(0, context),
                       normalize(heads * querySizes[2] * keySizes[2] * perPair));
  SmallVector<Value> place = kernels::delinearize(e, e.group, {querySizes[0], querySizes[1], tiles});
  batch = place[0], head = place[1], keyHead = place[1];
  if (querySizes[1] != keySizes[1])
    keyHead = e.divFloor(head, e.i64(*asConstant(querySizes[1]) / *asConstant(keySizes[1])));
  infinity = e.constant(e.identity(ReduceKind::Max, accumulator));
  // Those that see the most keys begin first.
  Value tile = root.getCausal() ? e.sub(e.size(normalize(tiles - 1)), place[2]) : place[2];
  rowBegin = e.mul(tile, e.i64(count)), rowEnd = e.size(querySizes[2]), keyEnd = e.size(keySizes[2]);
  end = root.getCausal() ? e.min(keyEnd, e.add(rowBegin, e.i64(count))) : keyEnd;
}

Value AttentionScores::masked(Value score, Value row, Value key) {
  Evaluator ev(e, 1);
  Point point{bind(ev, batch, querySizes[0]), bind(ev, head, querySizes[1]), bind(ev, row, querySizes[2]),
              bind(ev, key, keySizes[2])};
  if (root.hasBody()) {
    Block &body = root.getBody().front();
    for (auto [argument, capture] : llvm::zip(body.getArguments().drop_front(), root.getCaptures())) {
      Value source = capture;
      ev.bindValue(argument, [&ev, source](const Point &at) { return ev.at(source, at); });
    }
    Value plain = score;
    ev.bindValue(body.getArgument(0), [plain](const Point &) { return plain; });
    score = ev.at(root.getYieldedScore(), point);
    Value keep = root.getYieldedKeep();
    Value keeps = keep ? ev.at(keep, point) : Value();
    if (!score || (keep && !keeps))
      return {};
    if (keeps)
      score = e.select(keeps, score, infinity);
  }
  if (Value mask = root.getMask()) {
    Value value = ev.at(mask, applyMap(*root.getMaskMap(), point));
    if (!value)
      return {};
    if (value.getType().isInteger(1))
      score = e.select(value, score, infinity);
    else
      score = arith::AddFOp::create(e.b, e.loc, score, kernels::toAccumulator(e, value, accumulator));
  }
  if (root.getCausal())
    score = e.select(e.less(row, key), infinity, score);
  return score;
}

Value AttentionScores::inverseOf(Value sum) {
  Value inverse = arith::DivFOp::create(e.b, e.loc, number(1), sum), isNone;
  if (root.getZeroMaskedRows())
    isNone = arith::CmpFOp::create(e.b, e.loc, arith::CmpFPredicate::OEQ, sum, number(0));
  else if (!asConstant(keySizes[2])) // without any key at all the formula sums nothing
    isNone = e.less(e.size(keySizes[2]), e.i64(1));
  return isNone ? e.select(isNone, number(0), inverse) : inverse;
}

Value AttentionScores::baseOf(Value most) {
  Value isNone = arith::CmpFOp::create(e.b, e.loc, arith::CmpFPredicate::OEQ, most, infinity);
  return e.select(isNone, number(0), most);
}

Value AttentionScores::larger(Value a, Value b) {
  return e.select(arith::CmpFOp::create(e.b, e.loc, arith::CmpFPredicate::OGT, a, b), a, b);
}

void AttentionScores::prepareRanges() {
  Value keep = root.hasBody() ? root.getYieldedKeep() : Value();
  if (!keep || asConstant(keySizes[2]) == 1)
    return;
  ranges.emplace(e);
  Value lastRow = rowCount == 1 ? rowBegin : e.sub(e.min(e.add(rowBegin, e.i64(rowCount)), rowEnd), e.i64(1));
  auto bindRange = [&](kernels::Interval range, AffineExpr size) {
    return asConstant(size) == 1 ? getAffineConstantExpr(0, context) : ranges->bind(range, size);
  };
  rangePoint = {bindRange({batch, batch}, querySizes[0]), bindRange({head, head}, querySizes[1]),
                bindRange({rowBegin, lastRow}, querySizes[2]), bindRange({e.i64(0), e.i64(0)}, keySizes[2])};
  for (auto [argument, capture] : llvm::zip(root.getBody().front().getArguments().drop_front(), root.getCaptures()))
    ranges->bindValue(argument, capture);
  ranges->prepare(keep, rangePoint, rangePoint.back());
}

Value AttentionScores::keepsAny(Value firstKey, Value lastKey) {
  if (!ranges)
    return {};
  ranges->rebind(rangePoint.back(), {firstKey, lastKey});
  return ranges->of(root.getYieldedKeep(), rangePoint).high;
}

SmallVector<Value> AttentionScores::where(Value condition, ValueRange carried, function_ref<SmallVector<Value>()> body) {
  if (!condition)
    return body();
  auto choice = scf::IfOp::create(e.b, e.loc, carried.getTypes(), condition, /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(e.b);
  e.b.setInsertionPointToStart(choice.thenBlock());
  scf::YieldOp::create(e.b, e.loc, body());
  e.b.setInsertionPointToStart(choice.elseBlock());
  scf::YieldOp::create(e.b, e.loc, carried);
  return choice.getResults();
}

SmallVector<Value> AttentionScores::forBlocks(int64_t keys, ValueRange init, Emitter::Body body) {
  prepareRanges();
  if (!ranges)
    return e.loop(e.i64(0), end, e.i64(keys), init, body);
  return e.loop(e.i64(0), end, e.i64(keys), init, [&](Value begin, ValueRange carried) {
    Value last = e.sub(e.min(e.add(begin, e.i64(keys)), end), e.i64(1));
    return where(keepsAny(begin, last), carried, [&] { return body(begin, carried); });
  });
}

Value AttentionScores::exp2(Value x) {
  bool isCUDA = e.device.getApi() == target::DeviceApi::CUDA;
  auto name = e.b.getStringAttr(isCUDA ? "llvm.nvvm.ex2.approx.ftz.f" : "llvm.amdgcn.exp2");
  return LLVM::CallIntrinsicOp::create(e.b, e.loc, x.getType(), name, ValueRange{x}).getResult(0);
}

Value AttentionScores::weightOf(Value x) {
  return accumulator.isF32() ? exp2(mul(x, number(llvm::numbers::log2e))) : exp(x);
}

//===----------------------------------------------------------------------===//
// One row of the query for each workgroup
//===----------------------------------------------------------------------===//

namespace {
class AttentionKernel : AttentionScores {
public:
  AttentionKernel(device::Emitter &e, AttentionOp root) : AttentionScores(e, root) {}
  LogicalResult emit();

private:
  Value scoreOf(Value key);

  Value queryMemory;
  LogicalResult status = success();
};
} // namespace

/// The score of a key, of which the row lies in shared memory.
Value AttentionKernel::scoreOf(Value key) {
  Value product = e.loop(e.i64(0), e.size(keySizes[3]), e.i64(1), ValueRange{number(0)},
                         [&](Value d, ValueRange carried) {
    Evaluator ev(e, 1);
    Point at{bind(ev, batch, keySizes[0]), bind(ev, keyHead, keySizes[1]), bind(ev, key, keySizes[2]),
             bind(ev, d, keySizes[3])};
    Value value = ev.at(root.getKey(), at);
    if (!value) {
      status = failure();
      return SmallVector<Value>(carried);
    }
    return SmallVector<Value>{
        e.fma(e.loadShared(queryMemory, d), kernels::toAccumulator(e, value, accumulator), carried[0])};
  })[0];
  if (failed(status))
    return product;
  Value score = masked(product, rowBegin, key);
  if (!score)
    status = failure();
  return score;
}

LogicalResult AttentionKernel::emit() {
  if (failed(analyze()))
    return failure();
  std::optional<int64_t> depthCount = asConstant(querySizes[3]), columnCount = asConstant(width);
  e.begin(kKeys);
  placeRows(1);
  queryMemory = e.shared(accumulator, *depthCount);
  Value weights = e.shared(accumulator, kKeys), memory = e.shared(accumulator, kKeys);
  Value scale = number(root.getScale().convertToDouble()), zero = e.i64(0), one = e.i64(1);
  e.loop(e.thread, e.i64(*depthCount), e.i64(kKeys), [&](Value d) {
    Evaluator ev(e, 1);
    Value value = ev.at(root.getQuery(), {bind(ev, batch, querySizes[0]), bind(ev, head, querySizes[1]),
                                          bind(ev, rowBegin, querySizes[2]), bind(ev, d, querySizes[3])});
    if (!value)
      return void(status = failure());
    e.storeShared(queryMemory, d, mul(kernels::toAccumulator(e, value, accumulator), scale));
  });
  e.barrier();
  if (failed(status))
    return status;

  // Columns of the result that this thread has.
  int64_t own = llvm::divideCeil(*columnCount, kKeys);
  SmallVector<Value> state{infinity, number(0)}; // largest score, sum of weights, columns
  state.append(own, number(0));
  auto addBlock = [&](Value begin, ValueRange carried) {
    Value key = e.add(begin, e.thread), isKey = e.less(key, end);
    Value score = scoreOf(e.select(isKey, key, begin));
    if (failed(status))
      return SmallVector<Value>(carried);
    score = e.select(isKey, score, infinity);
    Value most = e.combineThreads(ReduceKind::Max, score, memory);
    most = larger(carried[0], most);
    Value base = baseOf(most), factor = exp(sub(carried[0], base));
    Value weight = e.select(isKey, exp(sub(score, base)), number(0));
    e.storeShared(weights, e.thread, weight); // a barrier stands in the sum
    Value sum = e.combineThreads(ReduceKind::Sum, weight, memory);
    SmallVector<Value> next{most, arith::AddFOp::create(e.b, e.loc, mul(carried[1], factor), sum)};
    Value count = e.min(e.sub(end, begin), e.i64(kKeys));
    for (int64_t i = 0; i < own; ++i) {
      Value column = e.min(e.add(e.thread, e.i64(i * kKeys)), e.i64(*columnCount - 1));
      next.push_back(e.loop(zero, count, one, ValueRange{mul(carried[2 + i], factor)}, [&](Value k, ValueRange acc) {
        Evaluator ev(e, 1);
        Value value = ev.at(root.getValue(), {bind(ev, batch, keySizes[0]), bind(ev, keyHead, keySizes[1]),
                                              bind(ev, e.add(begin, k), keySizes[2]), bind(ev, column, width)});
        if (!value) {
          status = failure();
          return SmallVector<Value>(acc);
        }
        return SmallVector<Value>{e.fma(e.loadShared(weights, k), kernels::toAccumulator(e, value, accumulator), acc[0])};
      })[0]);
    }
    e.barrier(); // before the weights are written again
    return next;
  };
  state = forBlocks(kKeys, state, addBlock);
  if (failed(status))
    return status;
  Value inverse = inverseOf(state[1]);
  Evaluator ev(e, 1);
  SmallVector<kernels::EpilogueElement> elements;
  for (int64_t i = 0; i < own; ++i) {
    Value column = e.add(e.thread, e.i64(i * kKeys));
    Value isInside = (i + 1) * kKeys <= *columnCount ? Value() : e.less(column, e.i64(*columnCount));
    if (isInside)
      column = e.min(column, e.i64(*columnCount - 1));
    elements.push_back({{bind(ev, batch, querySizes[0]), bind(ev, head, querySizes[1]), bind(ev, rowBegin, querySizes[2]),
                         bind(ev, column, width)},
                        kernels::fromAccumulator(e, mul(state[2 + i], inverse), getElementTypeOrSelf(root.getType())),
                        {},
                        isInside});
  }
  return kernels::emitEpilogue(ev, root.getResult(), elements);
}

LogicalResult device::emitAttention(Emitter &e, AttentionOp root) {
  if (hasWarpAttention(e, root))
    return emitWarpAttention(e, root);
  if (hasMatrixAttention(e, root))
    return emitMatrixAttention(e, root);
  return hasLaneAttention(e) ? emitLaneAttention(e, root) : AttentionKernel(e, root).emit();
}
