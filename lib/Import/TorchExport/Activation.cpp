// Activation functions: one graph.map each.
#include "Converter.h"

using namespace mlir;

namespace tenon::torch_export {

using Unary = Value (*)(Scalars &, Value);

static Convert activation(Unary body) {
  return [body](Op &op) {
    Tensor x = op.tensor("self");
    return op.finish(
        op.map(op.resultDtype(), op.resultDtype(), {x}, [&](Scalars &s, ValueRange v) { return body(s, v[0]); }));
  };
}

/// With the numbers of the schema, read by `prepare`.
template <typename Prepare> static Convert withNumbers(Prepare prepare) {
  return [prepare](Op &op) {
    Tensor x = op.tensor("self");
    auto body = prepare(op);
    return op.finish(op.map(op.resultDtype(), op.resultDtype(), {x},
                            [&](Scalars &s, ValueRange v) -> Value { return body(s, v[0]); }));
  };
}

static Value clampTo(Scalars &s, Value x, double low, double high) {
  return s.min(s.max(x, s.number(low)), s.number(high));
}

static Value softplus(Scalars &s, Value x) { return s.make<math::Log1pOp>(s.make<math::ExpOp>(x)); }

static Value logSigmoid(Scalars &s, Value x) { return s.sub(s.min(x, s.number(0)), softplus(s, s.neg(s.abs(x)))); }

static Value geluTanh(Scalars &s, Value x) {
  Value cube = s.mul(s.mul(x, x), x);
  Value inner = s.mul(s.number(std::sqrt(2 / M_PI)), s.add(x, s.mul(s.number(0.044715), cube)));
  return s.mul(s.mul(s.number(0.5), x), s.add(s.number(1), s.make<math::TanhOp>(inner)));
}

static Value geluErf(Scalars &s, Value x) {
  Value erf = s.make<math::ErfOp>(s.mul(x, s.number(std::sqrt(0.5))));
  return s.mul(s.mul(x, s.number(0.5)), s.add(s.number(1), erf));
}

static LogicalResult convertPrelu(Op &op) {
  Tensor x = op.tensor("self"), weight = op.tensor("weight");
  if (!x || !weight)
    return failure();
  ScalarType type = op.resultDtype();
  Operand slope = weight;
  if (weight.rank() == 1 && x.rank() > 1)
    slope = Operand(weight, {1}); // one slope per channel
  else if (weight.rank() == 1)
    slope = Operand(weight, {x.rank() - 1});
  return op.finish(op.map(type, type, {x, slope}, [](Scalars &s, ValueRange v) {
    return s.select(s.compare(Compare::Gt, v[0], s.number(0)), v[0], s.mul(v[1], v[0]));
  }));
}

static LogicalResult convertGlu(Op &op) {
  Tensor x = op.tensor("self");
  if (!x)
    return failure();
  int64_t dim = op.dim("dim", x.rank(), -1);
  AffineExpr half = x.dim(dim).floorDiv(2);
  Tensor value = op.slice(x, dim, op.constant(0), half), gate = op.slice(x, dim, half, half);
  return op.finish(op.map(op.resultDtype(), op.resultDtype(), {value, gate},
                          [](Scalars &s, ValueRange v) { return s.mul(v[0], s.sigmoid(v[1])); }));
}

void populateActivation(ConverterTable &t) {
  t["aten.relu"] = activation([](Scalars &s, Value x) { return s.max(x, s.number(0)); });
  t["aten.relu6"] = activation([](Scalars &s, Value x) { return clampTo(s, x, 0, 6); });
  t["aten.sigmoid"] = t["aten.special_expit"] = activation([](Scalars &s, Value x) { return s.sigmoid(x); });
  t["aten.silu"] =
      activation([](Scalars &s, Value x) { return s.div(x, s.add(s.number(1), s.make<math::ExpOp>(s.neg(x)))); });
  t["aten.mish"] = activation([](Scalars &s, Value x) { return s.mul(x, s.make<math::TanhOp>(softplus(s, x))); });
  t["aten.hardswish"] = activation(
      [](Scalars &s, Value x) { return s.div(s.mul(x, clampTo(s, s.add(x, s.number(3)), 0, 6)), s.number(6)); });
  t["aten.hardsigmoid"] =
      activation([](Scalars &s, Value x) { return s.div(clampTo(s, s.add(x, s.number(3)), 0, 6), s.number(6)); });
  t["aten.log_sigmoid"] = activation(logSigmoid);
  t["aten.log_sigmoid_forward"] = [](Op &op) {
    Tensor x = op.tensor("self");
    return op.finish(
        {op.map(op.resultDtype(), op.resultDtype(), {x}, [](Scalars &s, ValueRange v) { return logSigmoid(s, v[0]); }),
         Tensor()});
  };
  t["aten.softsign"] = activation([](Scalars &s, Value x) { return s.div(x, s.add(s.number(1), s.abs(x))); });
  t["aten.tanhshrink"] = activation([](Scalars &s, Value x) { return s.sub(x, s.make<math::TanhOp>(x)); });
  t["aten.selu"] = activation([](Scalars &s, Value x) {
    constexpr double alpha = 1.6732632423543772848170429916717, scale = 1.0507009873554804934193349852946;
    Value low = s.mul(s.make<math::ExpM1Op>(x), s.number(alpha * scale));
    return s.select(s.compare(Compare::Gt, x, s.number(0)), s.mul(x, s.number(scale)), low);
  });
  t["aten.gelu"] = withNumbers([](Op &op) {
    bool isTanh = op.string("approximate", StringRef("none")) == "tanh";
    return [isTanh](Scalars &s, Value x) { return isTanh ? geluTanh(s, x) : geluErf(s, x); };
  });
  t["aten.hardtanh"] = withNumbers([](Op &op) {
    double low = op.number("min_val", -1.0), high = op.number("max_val", 1.0);
    return [=](Scalars &s, Value x) { return clampTo(s, x, low, high); };
  });
  t["aten.leaky_relu"] = withNumbers([](Op &op) {
    double slope = op.number("negative_slope", 0.01);
    return [=](Scalars &s, Value x) {
      return s.select(s.compare(Compare::Gt, x, s.number(0)), x, s.mul(x, s.number(slope)));
    };
  });
  t["aten.elu"] = withNumbers([](Op &op) {
    double alpha = op.number("alpha", 1.0), scale = op.number("scale", 1.0), input = op.number("input_scale", 1.0);
    return [=](Scalars &s, Value x) {
      Value inner = input == 1 ? x : s.mul(x, s.number(input));
      Value low = s.mul(s.make<math::ExpM1Op>(inner), s.number(alpha * scale));
      return s.select(s.compare(Compare::Gt, x, s.number(0)), scale == 1 ? x : s.mul(x, s.number(scale)), low);
    };
  });
  t["aten.celu"] = withNumbers([](Op &op) {
    double alpha = op.number("alpha", 1.0);
    return [=](Scalars &s, Value x) {
      Value low = s.mul(s.make<math::ExpM1Op>(s.div(x, s.number(alpha))), s.number(alpha));
      return s.select(s.compare(Compare::Gt, x, s.number(0)), x, low);
    };
  });
  t["aten.softplus"] = withNumbers([](Op &op) {
    double beta = op.number("beta", 1.0), threshold = op.number("threshold", 20.0);
    return [=](Scalars &s, Value x) {
      Value scaled = beta == 1 ? x : s.mul(x, s.number(beta));
      Value soft = softplus(s, scaled);
      soft = beta == 1 ? soft : s.div(soft, s.number(beta));
      return s.select(s.compare(Compare::Gt, scaled, s.number(threshold)), x, soft);
    };
  });
  t["aten.threshold"] = withNumbers([](Op &op) {
    double threshold = op.number("threshold"), value = op.number("value");
    return [=](Scalars &s, Value x) {
      return s.select(s.compare(Compare::Le, x, s.number(threshold)), s.number(value), x);
    };
  });
  t["aten.hardshrink"] = withNumbers([](Op &op) {
    double lambda = op.number("lambd", 0.5);
    return [=](Scalars &s, Value x) {
      return s.select(s.compare(Compare::Le, s.abs(x), s.number(lambda)), s.number(0), x);
    };
  });
  t["aten.softshrink"] = withNumbers([](Op &op) {
    double lambda = op.number("lambd", 0.5);
    return [=](Scalars &s, Value x) {
      Value high =
          s.select(s.compare(Compare::Gt, x, s.number(lambda)), s.sub(x, s.number(lambda)), s.mul(x, s.number(0)));
      return s.select(s.compare(Compare::Lt, x, s.number(-lambda)), s.add(x, s.number(lambda)), high);
    };
  });
  t["aten.prelu"] = t["aten._prelu_kernel"] = convertPrelu;
  t["aten.glu"] = convertGlu;
}

} // namespace tenon::torch_export
