//===- Sort.cpp - stable order along one dimension ------------------------===//
// An element becomes an integer that orders like it, with its position below: no two are alike, so the order of equals
// needs no care. Runs of eight go through a sorting network, then runs merge without branches.
#include "Kernels.h"
#include "Lines.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::cpu;
using namespace tenon::graph;

static constexpr int64_t kRun = 8;
static constexpr std::pair<int, int> kNetwork[] = {{0, 2}, {1, 3}, {4, 6}, {5, 7}, {0, 4}, {1, 5}, {2, 6},
                                                   {3, 7}, {0, 1}, {2, 3}, {4, 5}, {6, 7}, {2, 4}, {3, 5},
                                                   {1, 4}, {3, 6}, {1, 2}, {3, 4}, {5, 6}};

namespace {
class SortKernel {
public:
  SortKernel(Emitter &e, SortOp root) : e(e), root(root), lines(getDims(root.getInput().getType()), root.getDim()) {}
  LogicalResult emit();

private:
  Value wordOf(Value element, Value position);
  void emitLine(ArrayRef<Value> positions);
  void fillRuns(ArrayRef<Value> positions);
  void sortRuns();
  Value mergeRuns();
  void store(ArrayRef<Value> positions, Value sorted);
  IntegerType bits(unsigned width) { return e.b.getIntegerType(width); }
  Value integer(unsigned width, APInt value) { return e.constant(e.b.getIntegerAttr(bits(width), value)); }

  Emitter &e;
  SortOp root;
  Lines lines;
  IntegerType word; ///< key in the upper half, position in the lower one
  unsigned half = 32;
  Value length, padded, front, back; ///< padded to whole runs; two buffers of words
  LogicalResult status = success();
};
} // namespace

/// The element as an unsigned key in the upper half of a word, its position in the lower half.
Value SortKernel::wordOf(Value element, Value position) {
  Type type = element.getType();
  Value key;
  if (auto floatType = dyn_cast<FloatType>(type)) {
    if (floatType.getWidth() < 32) {
      type = e.b.getF32Type();
      element = arith::ExtFOp::create(e.b, e.loc, type, element);
    }
    Value zero = e.zeros(type);
    Value isNaN = arith::CmpFOp::create(e.b, e.loc, arith::CmpFPredicate::UNO, element, element);
    Value isZero = arith::CmpFOp::create(e.b, e.loc, arith::CmpFPredicate::OEQ, element, zero);
    element = e.select(isZero, zero, element); // zeros of both signs are equal
    Value raw = arith::BitcastOp::create(e.b, e.loc, bits(half), element);
    // Negative numbers order the other way round.
    Value sign = arith::ShRSIOp::create(e.b, e.loc, raw, integer(half, APInt(half, half - 1)));
    Value flip = arith::OrIOp::create(e.b, e.loc, sign, integer(half, APInt::getSignMask(half)));
    key = arith::XOrIOp::create(e.b, e.loc, raw, flip);
    key = e.select(isNaN, integer(half, APInt::getAllOnes(half)), key);
  } else if (type.isInteger(1)) {
    key = arith::ExtUIOp::create(e.b, e.loc, bits(half), element);
  } else {
    key = type.getIntOrFloatBitWidth() < half ? arith::ExtSIOp::create(e.b, e.loc, bits(half), element).getResult()
                                              : element;
    key = arith::XOrIOp::create(e.b, e.loc, key, integer(half, APInt::getSignMask(half)));
  }
  if (root.getDescending())
    key = arith::XOrIOp::create(e.b, e.loc, key, integer(half, APInt::getAllOnes(half)));
  unsigned width = word.getWidth();
  Value upper = arith::ShLIOp::create(e.b, e.loc, arith::ExtUIOp::create(e.b, e.loc, word, key),
                                      integer(width, APInt(width, half)));
  Value lower = width == 64 ? position : arith::ExtUIOp::create(e.b, e.loc, word, position).getResult();
  return arith::OrIOp::create(e.b, e.loc, upper, lower);
}

void SortKernel::fillRuns(ArrayRef<Value> positions) {
  e.loop(e.i64(0), length, e.i64(1), [&](Value position) {
    Evaluator ev(e, 1);
    Point point = lines.at(lines.bind(ev, positions, false), ev.bind(position, lines.length));
    Value element = ev.at(root.getInput(), point);
    if (!element) {
      status = failure();
      return;
    }
    e.storeScalar(front, word, position, wordOf(element, position));
  });
  // What fills the last run comes after everything.
  e.loop(length, padded, e.i64(1), [&](Value position) {
    e.storeScalar(front, word, position, integer(word.getWidth(), APInt::getAllOnes(word.getWidth())));
  });
}

void SortKernel::sortRuns() {
  e.loop(e.i64(0), padded, e.i64(kRun), [&](Value run) {
    SmallVector<Value> words;
    for (int64_t i = 0; i < kRun; ++i)
      words.push_back(e.loadScalar(front, word, e.add(run, e.i64(i))));
    for (auto [i, j] : kNetwork) {
      Value isInOrder = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::ult, words[i], words[j]);
      Value low = e.select(isInOrder, words[i], words[j]), high = e.select(isInOrder, words[j], words[i]);
      words[i] = low, words[j] = high;
    }
    for (int64_t i = 0; i < kRun; ++i)
      e.storeScalar(front, word, e.add(run, e.i64(i)), words[i]);
  });
}

/// Merges runs of doubling width from one buffer into the other; returns the one that holds the end.
Value SortKernel::mergeRuns() {
  Type pointer = front.getType(), i64 = e.b.getI64Type();
  SmallVector<Type> types{i64, pointer, pointer};
  auto loop = scf::WhileOp::create(e.b, e.loc, types, ValueRange{e.i64(kRun), front, back});
  OpBuilder::InsertionGuard guard(e.b);
  SmallVector<Location> locs(3, e.loc);
  Block *before = e.b.createBlock(&loop.getBefore(), {}, types, locs);
  scf::ConditionOp::create(e.b, e.loc, e.less(before->getArgument(0), padded), before->getArguments());
  Block *after = e.b.createBlock(&loop.getAfter(), {}, types, locs);
  Value width = after->getArgument(0), from = after->getArgument(1), to = after->getArgument(2);
  Value pair = e.mul(width, e.i64(2)), lastWord = e.sub(padded, e.i64(1));
  e.loop(e.i64(0), padded, pair, [&](Value begin) {
    Value middle = e.min(e.add(begin, width), padded), end = e.min(e.add(begin, pair), padded);
    e.loop(begin, end, e.i64(1), ValueRange{begin, middle}, [&](Value place, ValueRange carried) {
      Value left = e.loadScalar(from, word, e.min(carried[0], lastWord));
      Value right = e.loadScalar(from, word, e.min(carried[1], lastWord));
      Value isLess = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::ult, left, right);
      Value rightEnds = arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::sge, carried[1], end);
      Value takesLeft = arith::AndIOp::create(e.b, e.loc, isLess, e.less(carried[0], middle));
      takesLeft = arith::OrIOp::create(e.b, e.loc, takesLeft, rightEnds);
      e.storeScalar(to, word, place, e.select(takesLeft, left, right));
      Value step = arith::ExtUIOp::create(e.b, e.loc, i64, takesLeft);
      return SmallVector<Value>{e.add(carried[0], step), e.add(carried[1], e.sub(e.i64(1), step))};
    });
  });
  scf::YieldOp::create(e.b, e.loc, ValueRange{pair, to, from});
  return loop.getResult(1);
}

void SortKernel::store(ArrayRef<Value> positions, Value sorted) {
  e.loop(e.i64(0), length, e.i64(1), [&](Value place) {
    Value found = e.loadScalar(sorted, word, place), position;
    if (word.getWidth() == 64)
      position = arith::AndIOp::create(e.b, e.loc, found, integer(64, APInt(64, 0xffffffffu)));
    else
      position = arith::TruncIOp::create(e.b, e.loc, e.b.getI64Type(), found);
    Evaluator ev(e, 1);
    Point kept = lines.bind(ev, positions, false);
    Point to = lines.at(kept, ev.bind(place, lines.length)), from = lines.at(kept, ev.bind(position, lines.length));
    Value value;
    if (!root.getValues().use_empty()) {
      value = ev.at(root.getInput(), from);
      if (!value) {
        status = failure();
        return;
      }
    }
    ev.bindValue(root.getValues(), [value](const Point &) { return value; });
    ev.bindValue(root.getIndices(), [position](const Point &) { return position; });
    IndexSimplifier simple = ev.simplifier();
    for (auto [number, result] : llvm::enumerate(resultsOf(e.kernel))) {
      std::optional<Point> point = pushToResult(root.getValues(), result, to, simple);
      if (!point)
        point = pushToResult(root.getIndices(), result, to, simple);
      Value stored = point ? ev.at(result, *point) : Value();
      if (!stored) {
        status = e.kernel.emitOpError() << "has result " << number
                                        << " that does not follow its sort element by element";
        return;
      }
      ev.store(e.outputPointer(number), cast<RankedTensorType>(result.getType()), *point, stored);
    }
  });
}

void SortKernel::emitLine(ArrayRef<Value> positions) {
  fillRuns(positions);
  if (failed(status))
    return;
  sortRuns();
  store(positions, mergeRuns());
}

LogicalResult SortKernel::emit() {
  Type element = getElementTypeOrSelf(root.getInput().getType());
  half = element.getIntOrFloatBitWidth() <= 32 ? 32 : 64;
  word = bits(2 * half);
  lines.lanesAlongLine = true; // line by line, wherever it lies
  AffineExpr buffer = normalize(lines.length.ceilDiv(kRun) * kRun * (word.getWidth() / 8));
  int64_t levels = llvm::Log2_64_Ceil(std::max<int64_t>(2, asConstant(lines.length).value_or(1024)));
  lines.schedule(e, numElements(root.getInput().getType()) * (6 * levels + 10), buffer * 2);
  length = e.size(lines.length);
  padded = e.mul(e.divFloor(e.add(length, e.i64(kRun - 1)), e.i64(kRun)), e.i64(kRun));
  front = e.scratch;
  back = e.offsetPointer(e.scratch, e.b.getI8Type(), e.size(buffer));
  lines.forEach(e, e.tileBegin, e.tileEnd, [&](ArrayRef<Value> positions, Value) {
    if (succeeded(status))
      emitLine(positions);
  });
  return status;
}

LogicalResult tenon::cpu::emitSort(Emitter &e, SortOp root) { return SortKernel(e, root).emit(); }
