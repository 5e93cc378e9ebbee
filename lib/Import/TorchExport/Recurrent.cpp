// LSTM, GRU and plain recurrent networks: one contraction for the inputs of all steps, then a graph.scan.
#include "Converter.h"

using namespace mlir;
using tenon::graph::Dims;

namespace tenon::torch_export {

Tensor linear(Op &op, Tensor x, Tensor weight);

namespace {
enum class Cell { Lstm, Gru, Tanh, Relu };

/// Weights of one layer in one direction; biases may be null.
struct CellWeights {
  Tensor input, hidden, inputBias, hiddenBias;
};
} // namespace

static int64_t gatesOf(Cell cell) { return cell == Cell::Lstm ? 4 : cell == Cell::Gru ? 3 : 1; }

static Tensor add(Op &op, Tensor l, Operand r) {
  return op.map(l.dtype, l.dtype, {l, r}, [](Scalars &s, ValueRange v) { return s.add(v[0], v[1]); });
}

/// One step. `x` is the input's share of the gates, `h` the hidden state; gives the new state (hidden first).
static Tensors step(Op &op, Cell cell, Tensor x, ArrayRef<Tensor> state, Tensor weight, Tensor bias) {
  Tensor h = state[0];
  Tensor recurrent = op.contract(h, "bk", weight, "gk", "bg");
  if (!recurrent)
    return {};
  AffineExpr width = h.dim(1);
  ScalarType type = h.dtype;
  auto gate = [&](Tensor t, int64_t i) { return op.slice(t, 1, graph::normalize(width * i), width); };
  if (cell == Cell::Tanh || cell == Cell::Relu)
    return {op.map(type, type, {x, recurrent}, [&](Scalars &s, ValueRange v) {
      Value sum = s.add(v[0], v[1]);
      return cell == Cell::Tanh ? s.make<math::TanhOp>(sum) : s.max(sum, s.number(0));
    })};
  if (cell == Cell::Lstm) {
    Tensor gates = add(op, x, recurrent);
    if (!gates)
      return {};
    Tensor c =
        op.map(type, type, {gate(gates, 0), gate(gates, 1), gate(gates, 2), state[1]}, [](Scalars &s, ValueRange v) {
          Value kept = s.mul(s.sigmoid(v[1]), v[3]);
          return s.add(kept, s.mul(s.sigmoid(v[0]), s.make<math::TanhOp>(v[2])));
        });
    Tensor next = op.map(type, type, {gate(gates, 3), c},
                         [](Scalars &s, ValueRange v) { return s.mul(s.sigmoid(v[0]), s.make<math::TanhOp>(v[1])); });
    return {next, c};
  }
  // The hidden bias of the candidate is inside the reset gate, so it cannot join the input's share.
  if (bias)
    recurrent = add(op, recurrent, bias);
  if (!recurrent)
    return {};
  return {op.map(type, type,
                 {gate(x, 0), gate(x, 1), gate(x, 2), gate(recurrent, 0), gate(recurrent, 1), gate(recurrent, 2), h},
                 [](Scalars &s, ValueRange v) {
                   Value reset = s.sigmoid(s.add(v[0], v[3])), update = s.sigmoid(s.add(v[1], v[4]));
                   Value candidate = s.make<math::TanhOp>(s.add(v[2], s.mul(reset, v[5])));
                   return s.add(s.mul(s.sub(v[6], candidate), update), candidate);
                 })};
}

/// One layer in one direction over `x` [T, B, I]: all outputs [T, B, H], then the final states.
static Tensors runLayer(Op &op, Cell cell, Tensor x, ArrayRef<Tensor> initial, const CellWeights &w, bool isReverse) {
  Tensor share = linear(op, x, w.input);
  Tensor bias = w.inputBias;
  bool joinsBias = bias && w.hiddenBias && cell != Cell::Gru;
  if (joinsBias)
    bias = add(op, w.inputBias, w.hiddenBias);
  if (share && bias)
    share = add(op, share, bias);
  if (!share)
    return {};
  bool capturesBias = w.hiddenBias && cell == Cell::Gru;
  SmallVector<Value> carry, captures{w.hidden.value};
  SmallVector<Type> results;
  for (const Tensor &state : initial) {
    carry.push_back(state.value);
    results.push_back(state.value.getType());
  }
  if (capturesBias)
    captures.push_back(w.hiddenBias.value);
  Dims stacked = initial[0].dims();
  stacked.insert(stacked.begin(), share.dim(0));
  results.push_back(graph::makeTensorType(stacked, initial[0].type().getElementType()));
  auto scan = graph::ScanOp::create(op.b, op.loc, results, carry, share.value, captures,
                                    isReverse ? op.b.getUnitAttr() : UnitAttr());
  OpBuilder::InsertionGuard guard(op.b);
  Block *block = op.b.createBlock(&scan.getBody());
  auto argument = [&](Type type, ScalarType dtype) { return Tensor{block->addArgument(type, op.loc), dtype}; };
  Tensors state;
  for (const Tensor &s : initial)
    state.push_back(argument(s.value.getType(), s.dtype));
  Tensor now =
      argument(graph::makeTensorType(ArrayRef(share.dims()).drop_front(), share.type().getElementType()), share.dtype);
  Tensor weight = argument(w.hidden.value.getType(), w.hidden.dtype);
  Tensor hiddenBias = capturesBias ? argument(w.hiddenBias.value.getType(), w.hiddenBias.dtype) : Tensor();
  Tensors next = step(op, cell, now, state, weight, hiddenBias);
  if (next.empty() || llvm::any_of(next, [](const Tensor &t) { return !t; }))
    return {};
  SmallVector<Value> yields;
  for (const Tensor &s : next)
    yields.push_back(s.value);
  yields.push_back(next[0].value);
  graph::YieldOp::create(op.b, op.loc, yields);
  Tensors outputs{{scan.getResults().back(), x.dtype}};
  for (size_t i = 0; i < initial.size(); ++i)
    outputs.push_back({scan.getResults()[i], initial[i].dtype});
  return outputs;
}

static Convert recurrent(Cell cell) {
  return [cell](Op &op) -> LogicalResult {
    if (op.has("data") || op.has("batch_sizes"))
      return op.unsupported("on packed sequences", "pass padded sequences");
    Tensor x = op.tensor("input");
    Tensors initial = cell == Cell::Lstm ? op.tensors("hx") : Tensors{op.tensor("hx")};
    Tensors params = op.tensors("params");
    bool hasBiases = op.flag("has_biases"), isBoth = op.flag("bidirectional"), batchFirst = op.flag("batch_first");
    int64_t layers = op.integer("num_layers"), directions = isBoth ? 2 : 1;
    if (op.isBad())
      return failure();
    if (op.flag("train", false) && op.number("dropout", 0.0) != 0)
      return op.unsupported("with dropout", "export the model in eval mode");
    size_t perCell = hasBiases ? 4 : 2;
    if (params.size() != perCell * layers * directions || x.rank() != 3 || initial.empty() ||
        llvm::any_of(initial, [](const Tensor &t) { return t.rank() != 3; }))
      return op.unsupported("with projections, or on inputs of a rank other than 3");
    if (batchFirst)
      x = op.transpose(x, 0, 1);
    SmallVector<Tensors> finals(initial.size());
    for (int64_t layer = 0; layer < layers; ++layer) {
      Tensors halves;
      for (int64_t direction = 0; direction < directions; ++direction) {
        int64_t cellIndex = layer * directions + direction;
        ArrayRef<Tensor> own = ArrayRef(params).slice(cellIndex * perCell, perCell);
        CellWeights w{own[0], own[1], hasBiases ? own[2] : Tensor(), hasBiases ? own[3] : Tensor()};
        if (graph::asConstant(w.hidden.dim(0)) != graph::asConstant(w.hidden.dim(1) * gatesOf(cell)))
          return op.unsupported("with projections");
        Tensors start;
        for (const Tensor &all : initial)
          start.push_back(op.select(all, 0, op.constant(cellIndex)));
        Tensors outputs = runLayer(op, cell, x, start, w, direction == 1);
        if (outputs.empty())
          return op.isBad() ? failure() : op.error("could not be built");
        halves.push_back(outputs[0]);
        for (size_t i = 0; i < finals.size(); ++i)
          finals[i].push_back(op.unsqueeze(outputs[i + 1], 0));
      }
      x = op.concat(halves, 2);
    }
    if (batchFirst)
      x = op.transpose(x, 0, 1);
    Tensors results{x};
    for (const Tensors &states : finals)
      results.push_back(op.concat(states, 0));
    return op.finish(results);
  };
}

/// One step alone.
static Convert singleStep(Cell cell) {
  return [cell](Op &op) -> LogicalResult {
    Tensor x = op.tensor("input");
    Tensors state = cell == Cell::Lstm ? op.tensors("hx") : Tensors{op.tensor("hx")};
    CellWeights w{op.tensor("w_ih"), op.tensor("w_hh"), op.optionalTensor("b_ih"), op.optionalTensor("b_hh")};
    if (op.isBad() || x.rank() != 2 || state.empty() || (cell == Cell::Lstm && state.size() != 2))
      return op.isBad() ? failure() : op.unsupported("on inputs of a rank other than 2");
    Tensor share = linear(op, x, w.input);
    if (share && w.inputBias)
      share = add(op, share, w.inputBias);
    if (share && w.hiddenBias && cell != Cell::Gru)
      share = add(op, share, w.hiddenBias);
    return op.finish(share ? step(op, cell, share, state, w.hidden, w.hiddenBias) : Tensors());
  };
}

void populateRecurrent(ConverterTable &t) {
  t["aten.lstm"] = recurrent(Cell::Lstm);
  t["aten.gru"] = recurrent(Cell::Gru);
  t["aten.rnn_tanh"] = recurrent(Cell::Tanh);
  t["aten.rnn_relu"] = recurrent(Cell::Relu);
  t["aten.lstm_cell"] = singleStep(Cell::Lstm);
  t["aten.gru_cell"] = singleStep(Cell::Gru);
  t["aten.rnn_tanh_cell"] = singleStep(Cell::Tanh);
  t["aten.rnn_relu_cell"] = singleStep(Cell::Relu);
}

} // namespace tenon::torch_export
