// RNN, GRU and LSTM: one contraction for the inputs of all steps, then a scan.
#include "Control.h"

using namespace mlir;
using tenon::graph::Dims;

namespace tenon::onnx_import {

namespace {
enum class Cell { Rnn, Gru, Lstm };

/// A function of the attribute `activations` with its parameters.
struct Activation {
  std::string name;
  double alpha = 0, beta = 0;
};

/// One layer in one direction; what is missing is null.
struct Layer {
  Tensor input, hidden, inputBias, hiddenBias; ///< [G H, I], [G H, H], [G H], [G H]
  Tensor peepholes;                            ///< [3 H]
  Activation functions[3];
  bool isReverse = false;
};
} // namespace

static int64_t gatesOf(Cell cell) { return cell == Cell::Lstm ? 4 : cell == Cell::Gru ? 3 : 1; }
static int64_t functionsOf(Cell cell) { return cell == Cell::Lstm ? 3 : cell == Cell::Gru ? 2 : 1; }

static Value apply(Scalars &s, const Activation &f, Value x) {
  Value alpha = s.number(f.alpha), beta = s.number(f.beta), zero = s.number(0), one = s.number(1);
  auto expMinus1 = [&] { return s.make<math::ExpM1Op>(x); };
  if (f.name == "sigmoid")
    return s.sigmoid(x);
  if (f.name == "tanh")
    return s.make<math::TanhOp>(x);
  if (f.name == "relu")
    return s.max(x, zero);
  if (f.name == "affine")
    return s.add(s.mul(alpha, x), beta);
  if (f.name == "leakyrelu")
    return s.select(s.compare(Compare::Lt, x, zero), s.mul(alpha, x), x);
  if (f.name == "thresholdedrelu")
    return s.select(s.compare(Compare::Gt, x, alpha), x, zero);
  if (f.name == "scaledtanh")
    return s.mul(alpha, s.make<math::TanhOp>(s.mul(beta, x)));
  if (f.name == "hardsigmoid")
    return s.max(s.min(s.add(s.mul(alpha, x), beta), one), zero);
  if (f.name == "elu")
    return s.select(s.compare(Compare::Lt, x, zero), s.mul(alpha, expMinus1()), x);
  if (f.name == "softsign")
    return s.div(x, s.add(one, s.abs(x)));
  // softplus, without overflow
  return s.add(s.max(x, zero), s.make<math::Log1pOp>(s.make<math::ExpOp>(s.neg(s.abs(x)))));
}

/// The functions of all directions, one after the other; nullopt when one is unknown.
static std::optional<std::vector<Activation>> readActivations(Op &op, Cell cell, int64_t directions) {
  static const llvm::StringMap<std::pair<double, double>> defaults{
      {"sigmoid", {0, 0}},   {"tanh", {0, 0}},          {"relu", {0, 0}},     {"affine", {1, 0}},
      {"leakyrelu", {0.01, 0}}, {"thresholdedrelu", {1, 0}}, {"scaledtanh", {1, 1}}, {"hardsigmoid", {0.2, 0.5}},
      {"elu", {1, 0}},       {"softsign", {0, 0}},      {"softplus", {0, 0}}};
  std::vector<std::string> names = op.textList("activations");
  if (names.empty()) {
    std::vector<std::string> own = cell == Cell::Rnn   ? std::vector<std::string>{"Tanh"}
                                   : cell == Cell::Gru ? std::vector<std::string>{"Sigmoid", "Tanh"}
                                                       : std::vector<std::string>{"Sigmoid", "Tanh", "Tanh"};
    for (int64_t d = 0; d < directions; ++d)
      names.insert(names.end(), own.begin(), own.end());
  }
  if (static_cast<int64_t>(names.size()) != directions * functionsOf(cell))
    return (void)op.error("has " + Twine(names.size()) + " activations"), std::nullopt;
  std::vector<double> alphas = op.realList("activation_alpha"), betas = op.realList("activation_beta");
  std::vector<Activation> result;
  size_t nextAlpha = 0, nextBeta = 0;
  for (const std::string &name : names) {
    std::string lower = StringRef(name).lower();
    auto known = defaults.find(lower);
    if (known == defaults.end())
      return (void)op.unsupported("with the activation '" + name + "'"), std::nullopt;
    Activation f{lower, known->second.first, known->second.second};
    // Parameters are listed for those functions alone that have them.
    bool hasAlpha = f.alpha != 0, hasBeta = lower == "affine" || lower == "scaledtanh" || lower == "hardsigmoid";
    if (hasAlpha && nextAlpha < alphas.size())
      f.alpha = alphas[nextAlpha++];
    if (hasBeta && nextBeta < betas.size())
      f.beta = betas[nextBeta++];
    result.push_back(f);
  }
  return result;
}

/// One step. `x` is the input's share of the gates; gives the new state, hidden first.
static Tensors step(Op &op, Cell cell, const Layer &w, Tensor x, ArrayRef<Tensor> state, double clip, bool isCoupled,
                    bool resetsLast) {
  Tensor h = state[0];
  ScalarType type = h.dtype;
  AffineExpr width = h.dim(1);
  auto gate = [&](Tensor t, int64_t i) { return op.slice(t, t.rank() - 1, graph::normalize(width * i), width); };
  auto run = [&](Scalars &s, int f, Value v) {
    if (clip > 0)
      v = s.max(s.min(v, s.number(clip)), s.number(-clip));
    return apply(s, w.functions[f], v);
  };
  if (cell == Cell::Gru) {
    Tensor weights[3];
    for (int i = 0; i < 3; ++i)
      weights[i] = op.slice(w.hidden, 0, graph::normalize(width * i), width);
    auto recurrent = [&](Tensor from, int64_t i) {
      Tensor sum = op.contract(from, "bk", weights[i], "gk", "bg");
      return w.hiddenBias ? op.add(sum, gate(w.hiddenBias, i)) : sum;
    };
    auto sumGate = [&](int64_t i) {
      return op.binary(gate(x, i), recurrent(h, i), [&](Scalars &s, Value l, Value r) { return run(s, 0, s.add(l, r)); });
    };
    Tensor update = sumGate(0), reset = sumGate(1);
    Tensor inner = resetsLast ? op.mul(reset, recurrent(h, 2)) : recurrent(op.mul(reset, h), 2);
    Tensor candidate =
        op.binary(gate(x, 2), inner, [&](Scalars &s, Value l, Value r) { return run(s, 1, s.add(l, r)); });
    return {op.map(type, type, {update, candidate, h}, [](Scalars &s, ValueRange v) {
      return s.add(s.mul(s.sub(s.number(1), v[0]), v[1]), s.mul(v[0], v[2]));
    })};
  }
  Tensor gates = op.add(x, op.contract(h, "bk", w.hidden, "gk", "bg"));
  if (!gates)
    return {};
  if (cell == Cell::Rnn)
    return {op.unary(gates, [&](Scalars &s, Value v) { return run(s, 0, v); })};
  // Gates of the LSTM: input, output, forget, cell; peepholes: input, output, forget.
  Tensor c = state[1];
  auto peep = [&](int64_t i) { return w.peepholes ? gate(w.peepholes, i) : op.full({width}, type, 0); };
  Tensor next = op.map(
      type, type, {gate(gates, 0), gate(gates, 2), gate(gates, 3), c, peep(0), peep(2)}, [&](Scalars &s, ValueRange v) {
        Value in = run(s, 0, s.add(v[0], s.mul(v[4], v[3])));
        Value kept = isCoupled ? s.sub(s.number(1), in) : run(s, 0, s.add(v[1], s.mul(v[5], v[3])));
        return s.add(s.mul(kept, v[3]), s.mul(in, run(s, 1, v[2])));
      });
  Tensor out = op.map(type, type, {gate(gates, 1), next, peep(1)}, [&](Scalars &s, ValueRange v) {
    return s.mul(run(s, 0, s.add(v[0], s.mul(v[2], v[1]))), apply(s, w.functions[2], v[1]));
  });
  return {out, next};
}

/// All outputs [T, B, H] over `x` [T, B, I], then the final states.
static Tensors runLayer(Op &op, Cell cell, const Layer &w, Tensor x, ArrayRef<Tensor> initial, Tensor lengths) {
  Tensor share = op.contract(x, "tbi", w.input, "gi", "tbg");
  if (w.inputBias)
    share = op.add(share, w.inputBias);
  if (w.hiddenBias && cell != Cell::Gru)
    share = op.add(share, w.hiddenBias);
  if (!share)
    return {};
  double clip = op.real("clip", 0.0);
  bool isCoupled = op.integer("input_forget", 0) != 0, resetsLast = op.integer("linear_before_reset", 0) != 0;
  Tensors xs{share};
  if (lengths) // which sequences have an element at the step
    xs.push_back(op.map(
        ScalarType::Bool, ScalarType::Long, {Operand(lengths, {1})},
        [&](Scalars &s, ValueRange v) { return s.compare(Compare::Lt, op.index(s, 0), v[0]); }, ScalarType::Bool,
        Dims{x.dim(0), x.dim(1)}));
  if (op.isBad())
    return {};
  auto body = [&](ArrayRef<Tensor> state, ArrayRef<Tensor> now) -> Tensors {
    Tensors next = step(op, cell, w, now[0], state, clip, isCoupled, resetsLast);
    if (next.empty() || !next[0])
      return {};
    Tensor shown = next[0];
    if (lengths) {
      Tensor isInside = op.unsqueeze(now[1], 1);
      shown = op.where(isInside, shown, op.scalar(shown.dtype, 0));
      for (auto [value, before] : llvm::zip(next, state))
        value = op.where(isInside, value, before);
    }
    next.push_back(shown);
    return next;
  };
  std::optional<Tensors> results = buildScan(op, initial, xs, body, w.isReverse);
  if (!results)
    return {};
  Tensors outputs{results->back()};
  results->pop_back();
  llvm::append_range(outputs, *results);
  return outputs;
}

static LogicalResult convertRecurrent(Op &op, Cell cell) {
  Tensor x = op.tensor(0), input = op.tensor(1), hidden = op.tensor(2), bias = op.optionalTensor(3),
         lengths = op.optionalTensor(4), h0 = op.optionalTensor(5);
  Tensor c0 = cell == Cell::Lstm ? op.optionalTensor(6) : Tensor();
  Tensor peepholes = cell == Cell::Lstm ? op.optionalTensor(7) : Tensor();
  if (op.isBad())
    return failure();
  if (x.rank() != 3 || input.rank() != 3 || hidden.rank() != 3)
    return op.error("needs an input and weights of rank 3");
  std::string direction = op.text("direction", StringRef("forward"));
  int64_t directions = direction == "bidirectional" ? 2 : 1;
  if (directions == 1 && direction != "forward" && direction != "reverse")
    return op.error("has the unknown direction '" + direction + "'");
  auto functions = readActivations(op, cell, directions);
  if (!functions)
    return failure();
  bool isBatchFirst = op.integer("layout", 0) != 0;
  ScalarType type = x.dtype, work = computeType(type);
  for (Tensor *t : {&x, &input, &hidden, &bias, &h0, &c0, &peepholes})
    *t = *t ? op.convert(*t, work) : Tensor();
  if (isBatchFirst) {
    x = op.transpose(x, 0, 1);
    for (Tensor *t : {&h0, &c0})
      *t = *t ? op.transpose(*t, 0, 1) : Tensor();
  }
  AffineExpr width = hidden.dim(2), gates = graph::normalize(width * gatesOf(cell));
  Dims stateDims{x.dim(1), width};
  Tensors outputs;
  SmallVector<Tensors> finals(cell == Cell::Lstm ? 2 : 1);
  for (int64_t d = 0; d < directions; ++d) {
    auto own = [&](Tensor t) { return t ? op.select(t, 0, op.constant(d)) : Tensor(); };
    Layer layer;
    layer.input = own(input), layer.hidden = own(hidden), layer.peepholes = own(peepholes);
    if (bias) {
      layer.inputBias = op.slice(own(bias), 0, op.constant(0), gates);
      layer.hiddenBias = op.slice(own(bias), 0, gates, gates);
    }
    std::copy_n(functions->begin() + d * functionsOf(cell), functionsOf(cell), layer.functions);
    layer.isReverse = d == 1 || direction == "reverse";
    Tensors initial;
    for (Tensor start : {h0, c0})
      if (initial.size() < finals.size())
        initial.push_back(start ? op.withDims(own(start), stateDims) : op.full(stateDims, work, 0));
    if (op.isBad())
      return failure();
    Tensors results = runLayer(op, cell, layer, x, initial, lengths ? op.convert(lengths, ScalarType::Long) : Tensor());
    if (results.size() != finals.size() + 1)
      return op.isBad() ? failure() : op.error("could not be built");
    outputs.push_back(op.unsqueeze(results[0], 1));
    for (size_t i = 0; i < finals.size(); ++i)
      finals[i].push_back(op.unsqueeze(results[i + 1], 0));
  }
  // [T, D, B, H] or [B, T, D, H]
  Tensor all = op.concat(outputs, 1);
  Tensors results{op.convert(isBatchFirst ? op.permute(all, {2, 0, 1, 3}) : all, type)};
  for (const Tensors &states : finals) {
    Tensor state = op.concat(states, 0);
    results.push_back(op.convert(isBatchFirst ? op.transpose(state, 0, 1) : state, type));
  }
  return op.finish(results);
}

void populateRecurrent(ConverterTable &t) {
  t["RNN"] = [](Op &op) { return convertRecurrent(op, Cell::Rnn); };
  t["GRU"] = [](Op &op) { return convertRecurrent(op, Cell::Gru); };
  t["LSTM"] = [](Op &op) { return convertRecurrent(op, Cell::Lstm); };
}

} // namespace tenon::onnx_import
