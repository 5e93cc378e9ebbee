// Derivatives of activation functions and losses: one graph.map each.
#include "Converter.h"

using namespace mlir;
using tenon::graph::Dims;

namespace tenon::torch_export {

//===----------------------------------------------------------------------===//
// Activations
//===----------------------------------------------------------------------===//

/// `body` gets the incoming gradient and the operand `name`; `prepare` reads the numbers of the schema and gives it.
template <typename Prepare> static Convert gradientOf(StringRef name, Prepare prepare, StringRef gradName = "grad_output") {
  return [=](Op &op) {
    Tensor grad = op.tensor(gradName), x = op.tensor(name);
    auto body = prepare(op);
    if (op.isBad())
      return failure();
    return op.finish(op.map(op.resultDtype(), op.resultDtype(), {grad, x},
                            [&](Scalars &s, ValueRange v) -> Value { return body(s, v[0], v[1]); }));
  };
}

using Body = Value (*)(Scalars &, Value, Value);
static Convert plain(StringRef name, Body body) {
  return gradientOf(name, [body](Op &) { return body; });
}

/// `inside` where `condition` holds, else 0.
static Value onlyWhere(Scalars &s, Value condition, Value inside) { return s.select(condition, inside, s.number(0)); }

static Value geluGradient(Scalars &s, Value grad, Value x, bool isTanh) {
  Value one = s.number(1), half = s.number(0.5);
  if (isTanh) {
    constexpr double c = 0.044715;
    double k = std::sqrt(2 / M_PI);
    Value xx = s.mul(x, x);
    Value t = s.make<math::TanhOp>(s.mul(s.number(k), s.mul(x, s.add(one, s.mul(s.number(c), xx)))));
    Value inner = s.mul(s.number(k), s.add(one, s.mul(s.number(3 * c), xx)));
    Value slope = s.mul(s.mul(s.mul(half, x), s.sub(one, s.mul(t, t))), inner);
    return s.mul(grad, s.add(s.mul(half, s.add(one, t)), slope));
  }
  Value cdf = s.mul(half, s.add(one, s.make<math::ErfOp>(s.mul(x, s.number(std::sqrt(0.5))))));
  Value pdf = s.mul(s.number(1 / std::sqrt(2 * M_PI)), s.make<math::ExpOp>(s.mul(s.number(-0.5), s.mul(x, x))));
  return s.mul(grad, s.add(cdf, s.mul(x, pdf)));
}

static LogicalResult convertGluBackward(Op &op) {
  Tensor grad = op.tensor("grad_output"), x = op.tensor("self");
  if (op.isBad())
    return failure();
  int64_t dim = op.dim("dim", x.rank(), -1);
  AffineExpr half = graph::normalize(x.dim(dim).floorDiv(2));
  Tensor value = op.slice(x, dim, op.constant(0), half), gate = op.slice(x, dim, half, half);
  ScalarType type = op.resultDtype();
  Tensor first =
      op.map(type, type, {grad, gate}, [](Scalars &s, ValueRange v) { return s.mul(v[0], s.sigmoid(v[1])); });
  Tensor second = op.map(type, type, {grad, value, gate}, [](Scalars &s, ValueRange v) {
    Value gate = s.sigmoid(v[2]);
    return s.mul(s.mul(v[0], v[1]), s.mul(gate, s.sub(s.number(1), gate)));
  });
  return first && second ? op.finish(op.concat({first, second}, dim)) : failure();
}

static LogicalResult convertPreluBackward(Op &op) {
  Tensor grad = op.tensor("grad_output"), x = op.tensor("self"), weight = op.tensor("weight");
  ScalarType type = op.resultDtype();
  Tensor gradX = op.map(type, type, {grad, x, weight}, [](Scalars &s, ValueRange v) {
    return s.select(s.compare(Compare::Gt, v[1], s.number(0)), v[0], s.mul(v[2], v[0]));
  });
  Tensor gradWeight = op.map(type, type, {grad, x}, [](Scalars &s, ValueRange v) {
    return onlyWhere(s, s.compare(Compare::Le, v[1], s.number(0)), s.mul(v[1], v[0]));
  });
  return op.finish({gradX, gradWeight});
}

static LogicalResult convertDropoutBackward(Op &op) {
  Tensor grad = op.tensor("grad_output"), mask = op.tensor("mask");
  double scale = op.number("scale");
  ScalarType type = op.resultDtype();
  return op.finish(op.map(type, type, {grad, mask},
                          [&](Scalars &s, ValueRange v) { return s.mul(s.mul(v[0], v[1]), s.number(scale)); }));
}

static void populateActivations(ConverterTable &t) {
  t["aten.sigmoid_backward"] = plain(
      "output", [](Scalars &s, Value g, Value y) { return s.mul(g, s.mul(s.sub(s.number(1), y), y)); });
  t["aten.tanh_backward"] =
      plain("output", [](Scalars &s, Value g, Value y) { return s.mul(g, s.sub(s.number(1), s.mul(y, y))); });
  t["aten.silu_backward"] = plain("self", [](Scalars &s, Value g, Value x) {
    Value y = s.sigmoid(x), one = s.number(1);
    return s.mul(s.mul(g, y), s.add(one, s.mul(x, s.sub(one, y))));
  });
  t["aten.mish_backward"] = plain("self", [](Scalars &s, Value g, Value x) {
    Value soft = s.make<math::Log1pOp>(s.make<math::ExpOp>(s.neg(s.abs(x))));
    Value y = s.make<math::TanhOp>(s.add(soft, s.max(x, s.number(0))));
    Value slope = s.mul(s.mul(x, s.sigmoid(x)), s.sub(s.number(1), s.mul(y, y)));
    return s.mul(g, s.add(y, slope));
  });
  t["aten.hardswish_backward"] = plain("self", [](Scalars &s, Value g, Value x) {
    Value middle = s.mul(g, s.add(s.div(x, s.number(3)), s.number(0.5)));
    Value high = s.select(s.compare(Compare::Lt, x, s.number(3)), middle, g);
    return s.select(s.compare(Compare::Le, x, s.number(-3)), s.number(0), high);
  });
  t["aten.hardsigmoid_backward"] = plain("self", [](Scalars &s, Value g, Value x) {
    Value inside = s.both(s.compare(Compare::Gt, x, s.number(-3)), s.compare(Compare::Lt, x, s.number(3)));
    return onlyWhere(s, inside, s.div(g, s.number(6)));
  });
  t["aten.log_sigmoid_backward"] =
      plain("self", [](Scalars &s, Value g, Value x) { return s.mul(g, s.sigmoid(s.neg(x))); });
  t["aten.gelu_backward"] = gradientOf("self", [](Op &op) {
    bool isTanh = op.string("approximate", StringRef("none")) == "tanh";
    return [isTanh](Scalars &s, Value g, Value x) { return geluGradient(s, g, x, isTanh); };
  });
  t["aten.threshold_backward"] = gradientOf("self", [](Op &op) {
    double threshold = op.number("threshold");
    return [=](Scalars &s, Value g, Value x) {
      return s.select(s.compare(Compare::Le, x, s.number(threshold)), s.number(0), g);
    };
  });
  t["aten.leaky_relu_backward"] = gradientOf("self", [](Op &op) {
    double slope = op.number("negative_slope");
    return [=](Scalars &s, Value g, Value x) {
      return s.select(s.compare(Compare::Gt, x, s.number(0)), g, s.mul(g, s.number(slope)));
    };
  });
  t["aten.hardtanh_backward"] = gradientOf("self", [](Op &op) {
    double low = op.number("min_val"), high = op.number("max_val");
    return [=](Scalars &s, Value g, Value x) {
      Value outside = s.either(s.compare(Compare::Le, x, s.number(low)), s.compare(Compare::Ge, x, s.number(high)));
      return s.select(outside, s.number(0), g);
    };
  });
  t["aten.softplus_backward"] = gradientOf("self", [](Op &op) {
    double beta = op.number("beta"), threshold = op.number("threshold");
    return [=](Scalars &s, Value g, Value x) {
      Value scaled = s.mul(x, s.number(beta));
      return s.select(s.compare(Compare::Gt, scaled, s.number(threshold)), g, s.mul(g, s.sigmoid(scaled)));
    };
  });
  t["aten.elu_backward"] = gradientOf("self_or_result", [](Op &op) {
    double alpha = op.number("alpha"), scale = op.number("scale"), input = op.number("input_scale");
    bool isResult = op.flag("is_result");
    return [=](Scalars &s, Value g, Value x) {
      Value low = isResult ? s.mul(s.number(input), s.add(x, s.number(alpha * scale)))
                           : s.mul(s.number(input * alpha * scale), s.make<math::ExpOp>(s.mul(x, s.number(input))));
      return s.mul(g, s.select(s.compare(Compare::Le, x, s.number(0)), low, s.number(scale)));
    };
  });
  auto shrink = [](Op &op) {
    double lambda = op.number("lambd");
    return [=](Scalars &s, Value g, Value x) {
      return s.select(s.compare(Compare::Le, s.abs(x), s.number(lambda)), s.number(0), g);
    };
  };
  t["aten.softshrink_backward"] = gradientOf("self", shrink);
  t["aten.hardshrink_backward"] = gradientOf("self", shrink, "grad_out");
  t["aten.logit_backward"] = gradientOf("self", [](Op &op) {
    double eps = op.has("eps") ? op.number("eps") : -1;
    return [=](Scalars &s, Value g, Value x) {
      double low = eps < 0 ? 0 : eps;
      Value outside = s.either(s.compare(Compare::Lt, x, s.number(low)), s.compare(Compare::Gt, x, s.number(1 - low)));
      Value there = s.number(eps < 0 ? std::numeric_limits<double>::quiet_NaN() : 0);
      return s.select(outside, there, s.div(g, s.mul(x, s.sub(s.number(1), x))));
    };
  });
  t["aten.glu_backward"] = convertGluBackward;
  t["aten._prelu_kernel_backward"] = convertPreluBackward;
  t["aten.native_dropout_backward"] = convertDropoutBackward;
}

//===----------------------------------------------------------------------===//
// Losses
//===----------------------------------------------------------------------===//

constexpr int64_t kMeanOfLosses = 1;

/// `body` gives the slope of one element's loss.
template <typename Prepare> static Convert lossGradient(Prepare prepare) {
  return [=](Op &op) {
    Tensor grad = op.tensor("grad_output"), x = op.tensor("self"), target = op.tensor("target"),
           weight = op.optionalTensor("weight");
    int64_t reduction = op.integer("reduction", kMeanOfLosses);
    auto slope = prepare(op);
    if (op.isBad())
      return failure();
    ScalarType type = op.resultDtype();
    AffineExpr count = graph::numElements(x.value.getType());
    SmallVector<Operand> operands{grad, x, target};
    if (weight)
      operands.push_back(weight);
    return op.finish(op.map(type, type, operands, [&](Scalars &s, ValueRange v) -> Value {
      Value result = s.mul(v[0], slope(s, v[1], v[2]));
      if (weight)
        result = s.mul(result, v[3]);
      return reduction == kMeanOfLosses ? s.div(result, op.sizeValue(s, count)) : result;
    }));
  };
}

static Value signOf(Scalars &s, Value x) {
  Value zero = s.number(0);
  return s.select(s.compare(Compare::Gt, x, zero), s.number(1),
                  s.select(s.compare(Compare::Lt, x, zero), s.number(-1), zero));
}

/// nll_loss_backward: -weight of the class at the target, 0 elsewhere.
static LogicalResult convertNllLossBackward(Op &op) {
  Tensor grad = op.tensor("grad_output"), x = op.tensor("self"), target = op.tensor("target"),
         weight = op.optionalTensor("weight"), total = op.tensor("total_weight");
  int64_t reduction = op.integer("reduction", kMeanOfLosses), ignored = op.integer("ignore_index", -100);
  if (op.isBad() || x.rank() < 1)
    return op.isBad() ? failure() : op.error("needs scores of rank 1 or more");
  int64_t classDim = x.rank() == 1 ? 0 : 1;
  SmallVector<int64_t> others;
  for (int64_t d = 0; d < x.rank(); ++d)
    if (d != classDim)
      others.push_back(d);
  if (target.rank() != static_cast<int64_t>(others.size()))
    target = op.reshape(target, Dims());
  ScalarType type = op.resultDtype();
  Operand where = Operand(op.convert(target, ScalarType::Long), others), incoming(grad);
  where.isRaw = true;
  if (grad.rank() > 0)
    incoming.dims = others;
  SmallVector<Operand> operands{incoming, where, total};
  if (weight)
    operands.push_back(Operand(weight, {classDim}));
  return op.finish(op.map(
      type, type, operands,
      [&](Scalars &s, ValueRange v) -> Value {
        Scalars ints(s.b, s.loc, ScalarType::Long);
        Value isTarget = ints.compare(Compare::Eq, v[1], op.index(ints, classDim));
        isTarget = s.both(isTarget, ints.compare(Compare::Ne, v[1], ints.integer(ignored)));
        Value slope = s.neg(v[0]);
        if (weight)
          slope = s.mul(slope, v[3]);
        if (reduction == kMeanOfLosses)
          slope = s.div(slope, v[2]);
        return s.select(isTarget, slope, s.number(0));
      },
      ScalarType::Unknown, x.dims()));
}

static void populateLosses(ConverterTable &t) {
  t["aten.mse_loss_backward"] = lossGradient([](Op &) {
    return [](Scalars &s, Value x, Value y) { return s.mul(s.number(2), s.sub(x, y)); };
  });
  t["aten.smooth_l1_loss_backward"] = lossGradient([](Op &op) {
    double beta = op.number("beta", 1.0);
    return [=](Scalars &s, Value x, Value y) {
      Value d = s.sub(x, y);
      if (beta == 0)
        return signOf(s, d);
      return s.select(s.compare(Compare::Lt, s.abs(d), s.number(beta)), s.div(d, s.number(beta)), signOf(s, d));
    };
  });
  t["aten.huber_loss_backward"] = lossGradient([](Op &op) {
    double delta = op.number("delta", 1.0);
    return [=](Scalars &s, Value x, Value y) {
      return s.min(s.max(s.sub(x, y), s.number(-delta)), s.number(delta));
    };
  });
  t["aten.binary_cross_entropy_backward"] = lossGradient([](Op &) {
    return [](Scalars &s, Value x, Value y) {
      return s.div(s.sub(x, y), s.max(s.mul(s.sub(s.number(1), x), x), s.number(1e-12)));
    };
  });
  t["aten.nll_loss_backward"] = t["aten.nll_loss2d_backward"] = convertNllLossBackward;
}

void populatePointwiseGradients(ConverterTable &t) {
  populateActivations(t);
  populateLosses(t);
}

} // namespace tenon::torch_export
