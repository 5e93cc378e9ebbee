// Steps of optimizers (ai.onnx.preview.training).
#include "Op.h"

using namespace mlir;

namespace tenon::onnx_import {

/// Updates `count` tensors alike. Inputs: rate, step number, then groups of `count` tensors (values, gradients, states…);
/// `body` gets rate and step as numbers, then one element of each group, and gives new values and states, group by group.
static LogicalResult update(Op &op, unsigned numGroups,
                            llvm::function_ref<SmallVector<Value>(Scalars &, ValueRange)> body) {
  if (op.numInputs() < 2 + numGroups || (op.numInputs() - 2) % numGroups != 0)
    return op.error("has " + Twine(op.numInputs()) + " inputs, which are no groups of " + Twine(numGroups));
  unsigned count = (op.numInputs() - 2) / numGroups;
  Tensor rate = op.tensor(0), step = op.tensor(1);
  if (op.isBad())
    return failure();
  rate = op.reshape(rate, {}), step = op.reshape(step, {});
  SmallVector<Tensors> groups(numGroups - 1);
  for (unsigned i = 0; i < count; ++i) {
    Tensors own;
    for (unsigned k = 0; k < numGroups; ++k)
      own.push_back(op.tensor(2 + k * count + i));
    if (op.isBad())
      return failure();
    ScalarType type = own[0].dtype;
    SmallVector<Operand> operands{op.convert(rate, type), op.convert(step, type)};
    llvm::append_range(operands, own);
    for (unsigned result = 0; result + 1 < numGroups; ++result)
      groups[result].push_back(
          op.map(type, type, operands, [&](Scalars &s, ValueRange v) { return body(s, v)[result]; }));
  }
  Tensors results;
  for (const Tensors &group : groups)
    results.append(group);
  return op.finish(results);
}

/// The gradient with that of the penalty on large values.
static Value regularized(Op &op, Scalars &s, Value x, Value gradient) {
  return s.add(s.mul(s.number(op.real("norm_coefficient", 0.0)), x), gradient);
}

static LogicalResult convertAdagrad(Op &op) {
  double decay = op.real("decay_factor", 0.0), epsilon = op.real("epsilon", 0.0);
  return update(op, 3, [&](Scalars &s, ValueRange v) -> SmallVector<Value> {
    Value rate = s.div(v[0], s.add(s.number(1), s.mul(v[1], s.number(decay))));
    Value g = regularized(op, s, v[2], v[3]);
    Value sum = s.add(v[4], s.mul(g, g));
    Value root = s.add(s.make<math::SqrtOp>(sum), s.number(epsilon));
    return {s.sub(v[2], s.div(s.mul(rate, g), root)), sum};
  });
}

static LogicalResult convertAdam(Op &op) {
  double alpha = op.real("alpha", 0.9), beta = op.real("beta", 0.999), epsilon = op.real("epsilon", 0.0);
  double after = op.real("norm_coefficient_post", 0.0);
  return update(op, 4, [&](Scalars &s, ValueRange v) -> SmallVector<Value> {
    Value one = s.number(1), g = regularized(op, s, v[2], v[3]);
    Value mean = s.add(s.mul(s.number(alpha), v[4]), s.mul(s.number(1 - alpha), g));
    Value square = s.add(s.mul(s.number(beta), v[5]), s.mul(s.number(1 - beta), s.mul(g, g)));
    // The first steps' averages lack weight; step 0 is not corrected.
    Value corrected = s.div(
        s.mul(v[0], s.make<math::SqrtOp>(s.sub(one, s.make<math::PowFOp>(s.number(beta), v[1])))),
        s.sub(one, s.make<math::PowFOp>(s.number(alpha), v[1])));
    Value rate = s.select(s.compare(Compare::Gt, v[1], s.number(0)), corrected, v[0]);
    Value root = s.add(s.make<math::SqrtOp>(square), s.number(epsilon));
    Value next = s.sub(v[2], s.mul(rate, s.div(mean, root)));
    return {s.mul(s.number(1 - after), next), mean, square};
  });
}

static LogicalResult convertMomentum(Op &op) {
  double alpha = op.real("alpha"), beta = op.real("beta");
  std::string mode = op.text("mode");
  if (op.isBad() || (mode != "standard" && mode != "nesterov"))
    return op.isBad() ? failure() : op.error("has the unknown mode '" + mode + "'");
  return update(op, 3, [&](Scalars &s, ValueRange v) -> SmallVector<Value> {
    Value g = regularized(op, s, v[2], v[3]);
    Value weight = s.select(s.compare(Compare::Gt, v[1], s.number(0)), s.number(beta), s.number(1));
    Value momentum = s.add(s.mul(s.number(alpha), v[4]), s.mul(weight, g));
    Value direction = mode == "standard" ? momentum : s.add(g, s.mul(s.number(alpha), momentum));
    return {s.sub(v[2], s.mul(v[0], direction)), momentum};
  });
}

void populateTraining(ConverterTable &t) {
  t["ai.onnx.preview.training.Adagrad"] = convertAdagrad;
  t["ai.onnx.preview.training.Adam"] = convertAdam;
  t["ai.onnx.preview.training.Momentum"] = convertMomentum;
}

} // namespace tenon::onnx_import
