#include "Random.h"

using namespace mlir;
using tenon::graph::Dims;

namespace tenon::frontend {

//===----------------------------------------------------------------------===//
// Seeds
//===----------------------------------------------------------------------===//

RandomSource RandomSource::fixed(GraphBuilder &op, uint32_t seed) {
  return {op.scalar(ScalarType::Long, seed), op.scalar(ScalarType::Long, 0), 0};
}

void RandomState::attach(func::FuncOp func, FunctionParts &itsParts, SymbolNames &symbolNames) {
  function = func;
  parts = &itsParts;
  names = &symbolNames;
}

RandomSource RandomState::next(GraphBuilder &op) {
  auto [seed, call] = here(op);
  return seed ? RandomSource{seed, call, streams++} : RandomSource();
}

std::pair<Tensor, Tensor> RandomState::here(GraphBuilder &op) {
  if (op.isBad())
    return {};
  if (region)
    return *region;
  if (op.isInRegion()) {
    (void)op.unsupported("in a branch or in a loop", "draw the random numbers outside and pass them in");
    return {};
  }
  if (!value) {
    auto type = RankedTensorType::get({2}, op.b.getI64Type());
    OpBuilder top(function);
    std::string symbol = names->unique("random_state");
    graph::VariableOp::create(top, function.getLoc(), symbol, type, FlatSymbolRefAttr(), /*persistent=*/true);
    variable = FlatSymbolRefAttr::get(op.context(), symbol);
    parts->argAttrs.push_back(op.b.getDictionaryAttr({op.b.getNamedAttr("graph.state", variable),
                                                      op.b.getNamedAttr("graph.name", op.b.getStringAttr("random_state"))}));
    value = {function.getBody().front().addArgument(type, function.getLoc()), ScalarType::Long};
  }
  return {op.select(value, 0, op.constant(0)), op.select(value, 0, op.constant(1))};
}

Tensor seedOfTurn(GraphBuilder &op, Tensor seed, Tensor turn) {
  return op.map(ScalarType::Long, ScalarType::Long, {seed, turn}, [](Scalars &s, ValueRange v) {
    auto number = [&](uint64_t x) { return s.integer(static_cast<int64_t>(x)); };
    auto fold = [&](Value x, int64_t shift) {
      return s.make<arith::XOrIOp>(x, s.make<arith::ShRUIOp>(x, s.integer(shift)));
    };
    Value x = s.add(v[0], s.mul(s.add(v[1], s.integer(1)), number(0x9E3779B97F4A7C15)));
    x = s.mul(fold(x, 30), number(0xBF58476D1CE4E5B9));
    x = s.mul(fold(x, 27), number(0x94D049BB133111EB));
    return fold(x, 31);
  });
}

void RandomState::finish(GraphBuilder &op) {
  if (!value)
    return;
  Tensor next = op.map(ScalarType::Long, ScalarType::Long, {value},
                       [&](Scalars &s, ValueRange v) { return s.add(v[0], op.index(s, 0)); });
  parts->results.push_back(next.value);
  parts->resultAttrs.push_back(op.b.getDictionaryAttr({op.b.getNamedAttr("graph.state", variable),
                                                       op.b.getNamedAttr("graph.name", op.b.getStringAttr("random_state"))}));
}

//===----------------------------------------------------------------------===//
// Numbers
//===----------------------------------------------------------------------===//

Draws::Draws(GraphBuilder &op, Scalars &s, ValueRange state, int64_t stream, const Dims &dims, unsigned bits)
    : s(s), ints(s.b, s.loc, ScalarType::Long), bits(bits) {
  Value position = ints.integer(0);
  for (auto [d, size] : llvm::enumerate(dims))
    position = ints.add(ints.mul(position, op.sizeValue(ints, size)), op.index(ints, d));
  Value call = state[1];
  // The upper half of the call number shares a word with the stream, which is small.
  words[0] = low(position);
  words[1] = shr(position, 32);
  words[2] = low(ints.make<arith::XOrIOp>(shl(shr(call, 32), 16), ints.integer(stream)));
  words[3] = low(call);
  Value keys[2] = {low(state[0]), shr(state[0], 32)};
  constexpr int64_t multipliers[] = {0xD2511F53, 0xCD9E8D57}, steps[] = {0x9E3779B9, 0xBB67AE85};
  for (int round = 0; round < 10; ++round) {
    Value first = ints.mul(words[0], ints.integer(multipliers[0]));
    Value second = ints.mul(words[2], ints.integer(multipliers[1]));
    Value next[4] = {mix(shr(second, 32), words[1], keys[0]), low(second), mix(shr(first, 32), words[3], keys[1]),
                     low(first)};
    std::copy(next, next + 4, words);
    for (int k = 0; k < 2; ++k)
      keys[k] = low(ints.add(keys[k], ints.integer(steps[k])));
  }
}

Value Draws::fraction(Value x, unsigned count) {
  // What fits an i32 goes through it: vectors convert that at once.
  Value number = count < 32 ? s.convert(ints.convert(x, ScalarType::Long, ScalarType::Int), ScalarType::Int, s.type)
                            : s.convert(x, ScalarType::Long, s.type);
  return s.mul(number, s.number(std::ldexp(1.0, -static_cast<int>(count))));
}

Value Draws::uniform() { return bits <= 32 ? fraction(shr(words[0], 32 - bits), bits) : fraction(shr(wide(), 63 - bits), bits); }

Value Draws::positive() {
  constexpr unsigned kFine = 31;
  if (bits > 32)
    return s.sub(s.number(1), uniform());
  return fraction(ints.make<arith::OrIOp>(shr(words[0], 32 - kFine), ints.integer(1)), kFine);
}

/// Box and Muller: the second number of a pair is not used.
Value Draws::normal() {
  Value radius = s.make<math::SqrtOp>(s.mul(s.number(-2), s.make<math::LogOp>(positive())));
  Value turn = bits > 32 ? fraction(shr(words[2], 0), 32) : fraction(shr(words[1], 8), 24);
  return s.mul(radius, s.make<math::CosOp>(s.mul(turn, s.number(2 * M_PI))));
}

unsigned fractionBits(ScalarType type) {
  switch (type) {
  case ScalarType::BFloat16:
    return 8;
  case ScalarType::Half:
    return 11;
  case ScalarType::Double:
    return 53;
  default:
    return 24;
  }
}

Tensor draw(GraphBuilder &op, const RandomSource &source, ScalarType type, const Dims &dims, ArrayRef<Operand> operands,
            DrawBody body, ScalarType gives) {
  if (op.isBad() || !source.seed || !source.call)
    return {};
  SmallVector<Operand> all{Operand::raw(source.seed), Operand::raw(source.call)};
  all.append(operands.begin(), operands.end());
  ScalarType compute = isFloating(type) ? type : ScalarType::Float;
  return op.map(
      type, compute, all,
      [&](Scalars &s, ValueRange v) {
        Draws draws(op, s, v.take_front(2), source.stream, dims, fractionBits(type));
        return body(draws, v.drop_front(2));
      },
      gives, dims);
}

//===----------------------------------------------------------------------===//
// Chances
//===----------------------------------------------------------------------===//

Tensor drawKept(GraphBuilder &op, const RandomSource &source, const Dims &dims, Operand p) {
  return draw(
      op, source, ScalarType::Bool, dims, {p},
      [](Draws &d, ValueRange v) { return d.s.compare(Compare::Ge, d.uniform(), v[0]); }, ScalarType::Bool);
}

Tensor drawPositions(GraphBuilder &op, const RandomSource &source, Tensor weights, AffineExpr count) {
  if (!weights)
    return {};
  ScalarType type = weights.dtype;
  int64_t last = weights.rank() - 1;
  Dims dims = weights.dims();
  AffineExpr classes = dims[last];
  dims[last] = count;
  Tensor sums = op.cumulate(graph::ReduceKind::Sum, weights, last);
  Tensor total = op.slice(sums, last, graph::normalize(classes - 1), op.constant(1));
  if (!total)
    return {};
  Tensor points = draw(op, source, type, dims, {total}, [](Draws &d, ValueRange v) { return d.s.mul(d.uniform(), v[0]); });
  Dims wide = dims;
  wide.push_back(classes);
  SmallVector<int64_t> ofPoints = upTo(dims.size()), ofSums = ofPoints;
  ofSums[last] = dims.size();
  Tensor below = op.map(
      ScalarType::Long, type, {Operand(sums, ofSums), Operand(points, ofPoints)},
      [](Scalars &s, ValueRange v) { return s.compare(Compare::Le, v[0], v[1]); }, ScalarType::Bool, wide);
  return op.reduce(graph::ReduceKind::Sum, below, {static_cast<int64_t>(dims.size())});
}

} // namespace tenon::frontend
