// Activation functions: one graph.map each.
#include "Op.h"

using namespace mlir;

namespace tenon::onnx_import {

/// A function of one number with the node's attributes, which `prepare` reads.
template <typename Prepare> static Convert activation(Prepare prepare) {
  return [prepare](Op &op) {
    Tensor x = op.tensor(0);
    auto body = prepare(op);
    return op.finish(op.unary(x, [&](Scalars &s, Value v) -> Value { return body(s, v); }));
  };
}

static Convert plain(Value (*body)(Scalars &, Value)) {
  return [body](Op &op) { return op.finish(op.unary(op.tensor(0), body)); };
}

static Value clamp(Scalars &s, Value x, double low, double high) {
  return s.min(s.max(x, s.number(low)), s.number(high));
}

/// log(1 + exp(x)) without an overflow.
static Value softplus(Scalars &s, Value x) {
  Value tail = s.make<math::Log1pOp>(s.make<math::ExpOp>(s.neg(s.abs(x))));
  return s.add(s.max(x, s.number(0)), tail);
}

static Value isPositive(Scalars &s, Value x) { return s.compare(Compare::Gt, x, s.number(0)); }

static Value geluErf(Scalars &s, Value x) {
  Value erf = s.make<math::ErfOp>(s.mul(x, s.number(std::sqrt(0.5))));
  return s.mul(s.mul(x, s.number(0.5)), s.add(s.number(1), erf));
}

static Value geluTanh(Scalars &s, Value x) {
  Value cube = s.mul(s.mul(x, x), x);
  Value inner = s.mul(s.number(std::sqrt(2 / M_PI)), s.add(x, s.mul(s.number(0.044715), cube)));
  return s.mul(s.mul(s.number(0.5), x), s.add(s.number(1), s.make<math::TanhOp>(inner)));
}

static LogicalResult convertBiasGelu(Op &op) {
  bool isFast = op.node.op_type() == "FastGelu";
  Tensor x = op.tensor(0);
  if (op.has(1))
    x = op.add(x, op.tensor(1));
  return op.finish(op.unary(x, [&](Scalars &s, Value v) { return isFast ? geluTanh(s, v) : geluErf(s, v); }));
}

void populateActivation(ConverterTable &t) {
  t["Relu"] = plain([](Scalars &s, Value x) { return s.max(x, s.number(0)); });
  t["Sigmoid"] = plain([](Scalars &s, Value x) { return s.sigmoid(x); });
  t["Softplus"] = plain(softplus);
  t["Softsign"] = plain([](Scalars &s, Value x) { return s.div(x, s.add(s.number(1), s.abs(x))); });
  t["Mish"] = plain([](Scalars &s, Value x) { return s.mul(x, s.make<math::TanhOp>(softplus(s, x))); });
  t["HardSwish"] =
      plain([](Scalars &s, Value x) { return s.mul(x, clamp(s, s.add(s.div(x, s.number(6)), s.number(0.5)), 0, 1)); });
  t["HardSigmoid"] = activation([](Op &op) {
    double alpha = op.real("alpha", 0.2), beta = op.real("beta", 0.5);
    return [=](Scalars &s, Value x) { return clamp(s, s.add(s.mul(x, s.number(alpha)), s.number(beta)), 0, 1); };
  });
  t["LeakyRelu"] = activation([](Op &op) {
    double alpha = op.real("alpha", 0.01);
    return [=](Scalars &s, Value x) { return s.select(isPositive(s, x), x, s.mul(x, s.number(alpha))); };
  });
  t["ThresholdedRelu"] = activation([](Op &op) {
    double alpha = op.real("alpha", 1.0);
    return
        [=](Scalars &s, Value x) { return s.select(s.compare(Compare::Gt, x, s.number(alpha)), x, s.number(0)); };
  });
  t["Elu"] = activation([](Op &op) {
    double alpha = op.real("alpha", 1.0);
    return [=](Scalars &s, Value x) {
      return s.select(isPositive(s, x), x, s.mul(s.make<math::ExpM1Op>(x), s.number(alpha)));
    };
  });
  t["Celu"] = activation([](Op &op) {
    double alpha = op.real("alpha", 1.0);
    return [=](Scalars &s, Value x) {
      Value low = s.mul(s.make<math::ExpM1Op>(s.div(x, s.number(alpha))), s.number(alpha));
      return s.select(isPositive(s, x), x, low);
    };
  });
  t["Selu"] = activation([](Op &op) {
    double alpha = op.real("alpha", 1.67326319217681884765625), gamma = op.real("gamma", 1.05070102214813232421875);
    return [=](Scalars &s, Value x) {
      Value low = s.mul(s.make<math::ExpM1Op>(x), s.number(alpha * gamma));
      return s.select(isPositive(s, x), s.mul(x, s.number(gamma)), low);
    };
  });
  t["Swish"] = activation([](Op &op) {
    double alpha = op.real("alpha", 1.0);
    return [=](Scalars &s, Value x) { return s.mul(x, s.sigmoid(s.mul(x, s.number(alpha)))); };
  });
  t["com.microsoft.QuickGelu"] = activation([](Op &op) {
    double alpha = op.real("alpha", 1.702);
    return [=](Scalars &s, Value x) { return s.mul(x, s.sigmoid(s.mul(x, s.number(alpha)))); };
  });
  t["SwiGLU"] = [](Op &op) {
    double alpha = op.real("alpha", 1.0);
    return op.finish(op.binary(op.tensor(0), op.tensor(1), [&](Scalars &s, Value gate, Value x) {
      return s.mul(s.mul(gate, s.sigmoid(s.mul(gate, s.number(alpha)))), x);
    }));
  };
  t["Shrink"] = activation([](Op &op) {
    double lambda = op.real("lambd", 0.5), bias = op.real("bias", 0.0);
    return [=](Scalars &s, Value x) {
      // Also on integers: there everything is computed in float.
      bool isInteger = !s.isFloat();
      Scalars f(s.b, s.loc, isInteger ? ScalarType::Float : s.type);
      Value v = isInteger ? s.convert(x, s.type, ScalarType::Float) : x;
      Value high = f.select(f.compare(Compare::Gt, v, f.number(lambda)), f.sub(v, f.number(bias)), f.number(0));
      Value result = f.select(f.compare(Compare::Lt, v, f.number(-lambda)), f.add(v, f.number(bias)), high);
      return isInteger ? f.convert(result, ScalarType::Float, s.type) : result;
    };
  });
  t["Gelu"] = activation([](Op &op) {
    bool isTanh = op.text("approximate", StringRef("none")) == "tanh";
    return [isTanh](Scalars &s, Value x) { return isTanh ? geluTanh(s, x) : geluErf(s, x); };
  });
  t["com.microsoft.Gelu"] = plain(geluErf);
  t["com.microsoft.BiasGelu"] = t["com.microsoft.FastGelu"] = convertBiasGelu;
}

} // namespace tenon::onnx_import
