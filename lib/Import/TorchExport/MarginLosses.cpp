// Losses that compare scores with margins, and the loss of counts.
#include "Reduction.h"

using namespace mlir;
using tenon::graph::Dims;
using tenon::graph::ReduceKind;

namespace tenon::torch_export {

static constexpr ScalarType kLong = ScalarType::Long;

static LogicalResult finishLoss(Op &op, Tensor loss) {
  return op.isBad() ? failure() : op.finish(op.convert(reduceLoss(op, loss, op.integer("reduction", kMean)), op.resultDtype()));
}

/// max(0, x)
static Value hinge(Scalars &s, Value x) { return s.max(x, s.number(0)); }

/// The target says which input should be the larger one: 1 or -1.
static LogicalResult convertMarginRanking(Op &op) {
  Tensor a = op.tensor("input1"), b = op.tensor("input2"), target = op.tensor("target");
  double margin = op.number("margin", 0.0);
  ScalarType type = op.resultDtype();
  return finishLoss(op, op.map(type, type, {a, b, target}, [&](Scalars &s, ValueRange v) {
    return hinge(s, s.add(s.neg(s.mul(v[2], s.sub(v[0], v[1]))), s.number(margin)));
  }));
}

static LogicalResult convertSoftMargin(Op &op) {
  Tensor x = op.tensor("self"), target = op.tensor("target");
  ScalarType type = op.resultDtype();
  return finishLoss(op, op.map(type, type, {x, target}, [](Scalars &s, ValueRange v) {
    return s.make<math::Log1pOp>(s.make<math::ExpOp>(s.neg(s.mul(v[0], v[1]))));
  }));
}

static LogicalResult convertHingeEmbedding(Op &op) {
  Tensor x = op.tensor("self"), target = op.tensor("target");
  double margin = op.number("margin", 1.0);
  ScalarType type = op.resultDtype();
  return finishLoss(op, op.map(type, type, {x, target}, [&](Scalars &s, ValueRange v) {
    Value far = s.select(s.compare(Compare::Ne, v[1], s.number(1)), hinge(s, s.sub(s.number(margin), v[0])), s.number(0));
    return s.add(far, s.select(s.compare(Compare::Ne, v[1], s.number(-1)), v[0], s.number(0)));
  }));
}

static LogicalResult convertPoisson(Op &op) {
  Tensor x = op.tensor("input"), target = op.tensor("target");
  bool isLog = op.flag("log_input", true), isFull = op.flag("full", false);
  double eps = op.number("eps", 1e-8);
  ScalarType type = op.resultDtype();
  return finishLoss(op, op.map(type, type, {x, target}, [&](Scalars &s, ValueRange v) {
    Value rate = isLog ? s.make<math::ExpOp>(v[0]) : v[0];
    Value logRate = isLog ? v[0] : s.make<math::LogOp>(s.add(v[0], s.number(eps)));
    Value loss = s.sub(rate, s.mul(v[1], logRate));
    if (!isFull)
      return loss;
    Value stirling = s.sub(s.mul(v[1], s.make<math::LogOp>(v[1])), v[1]);
    stirling = s.add(stirling, s.mul(s.number(0.5), s.make<math::LogOp>(s.mul(s.number(2 * M_PI), v[1]))));
    return s.add(loss, s.select(s.compare(Compare::Le, v[1], s.number(1)), s.number(0), stirling));
  }));
}

/// Cosines of rows: near 1 where the target is 1, below the margin where it is -1.
static LogicalResult convertCosineEmbedding(Op &op) {
  Tensor a = op.tensor("input1"), b = op.tensor("input2"), target = op.tensor("target");
  double margin = op.number("margin", 0.0);
  std::optional<Dims> shape = op.isBad() ? std::nullopt : op.broadcastDims({a.dims(), b.dims()});
  if (!shape || static_cast<int64_t>(shape->size()) < target.rank() + 1)
    return op.isBad() ? failure() : op.error("needs rows to compare");
  ScalarType type = op.resultDtype(), work = computeType(type);
  int64_t dim = target.rank() == 0 ? 0 : 1;
  a = op.broadcast(a, *shape);
  b = op.broadcast(b, *shape);
  auto sumOf = [&](Tensor l, Tensor r) -> Tensor {
    Tensor product = op.map(work, work, {l, r}, [](Scalars &s, ValueRange v) { return s.mul(v[0], v[1]); });
    return product ? op.reduce(ReduceKind::Sum, product, {dim}) : Tensor();
  };
  Tensor loss = op.map(type, work, {sumOf(a, b), sumOf(a, a), sumOf(b, b), target}, [&](Scalars &s, ValueRange v) {
    Value tiny = s.number(1e-12);
    Value cosine = s.div(v[0], s.make<math::SqrtOp>(s.mul(s.add(v[1], tiny), s.add(v[2], tiny))));
    Value near = s.sub(s.number(1), cosine), far = hinge(s, s.sub(cosine, s.number(margin)));
    Value isNear = s.compare(Compare::Eq, v[3], s.number(1)), isFar = s.compare(Compare::Eq, v[3], s.number(-1));
    return s.add(s.select(isNear, near, s.number(0)), s.select(isFar, far, s.number(0)));
  });
  return finishLoss(op, loss);
}

/// |a - b + eps| along the last dimension.
static Tensor distance(Op &op, Tensor a, Tensor b, double p, double eps) {
  ScalarType work = computeType(resultType({a, b}));
  Tensor difference = op.map(work, work, {a, b}, [&](Scalars &s, ValueRange v) {
    return s.add(s.sub(v[0], v[1]), s.number(eps));
  });
  return difference ? normOver(op, difference, p, {difference.rank() - 1}) : Tensor();
}

static LogicalResult convertTripletMargin(Op &op) {
  Tensor anchor = op.tensor("anchor"), positive = op.tensor("positive"), negative = op.tensor("negative");
  double margin = op.number("margin", 1.0), p = op.number("p", 2.0), eps = op.number("eps", 1e-6);
  if (op.isBad())
    return failure();
  Tensor near = distance(op, anchor, positive, p, eps), far = distance(op, anchor, negative, p, eps);
  if (op.flag("swap", false)) {
    Tensor other = distance(op, positive, negative, p, eps);
    far = op.map(far.dtype, far.dtype, {far, other}, [](Scalars &s, ValueRange v) { return s.min(v[0], v[1]); });
  }
  if (!near || !far)
    return failure();
  return finishLoss(op, op.map(near.dtype, near.dtype, {near, far}, [&](Scalars &s, ValueRange v) {
    return hinge(s, s.sub(s.add(s.number(margin), v[0]), v[1]));
  }));
}

/// Scores of classes [batch, classes]; a vector becomes a batch of one.
static Tensor withBatch(Op &op, Tensor x, int64_t rank) { return x && x.rank() < rank ? op.unsqueeze(x, 0) : x; }

static LogicalResult convertMultiMargin(Op &op) {
  Tensor x = op.tensor("self"), target = op.tensor("target"), weight = op.optionalTensor("weight");
  double p = op.number("p", 1), margin = op.number("margin", 1);
  if (op.isBad() || x.rank() < 1 || x.rank() > 2)
    return op.isBad() ? failure() : op.unsupported("of a number alone");
  bool isSingle = x.rank() == 1;
  ScalarType work = computeType(x.dtype);
  x = withBatch(op, op.convert(x, work), 2);
  target = op.reshape(target, {x.dim(0)});
  Tensor own = op.gather(x, {Operand(target, {0})}, {0, -1}, {x.dim(0)});
  Tensor losses = op.map(work, work, {x, Operand(own, {0}), [&] {
    Operand o(target, {0});
    o.isRaw = true;
    return o;
  }()}, [&](Scalars &s, ValueRange v) {
    Scalars ints(s.b, s.loc, kLong);
    Value loss = hinge(s, s.add(s.sub(s.number(margin), v[1]), v[0]));
    loss = p == 1 ? loss : s.mul(loss, loss);
    return s.select(ints.compare(Compare::Eq, op.index(ints, 1), v[2]), s.number(0), loss);
  });
  if (!losses)
    return failure();
  Tensor loss = op.reduce(ReduceKind::Sum, losses, {1});
  SmallVector<Operand> operands{loss};
  if (weight)
    operands.push_back(op.gather(op.convert(weight, work), {Operand(target, {0})}, {-1}, {x.dim(0)}));
  loss = op.map(work, work, operands, [&](Scalars &s, ValueRange v) {
    Value mean = s.div(v[0], op.sizeValue(s, x.dim(1)));
    return weight ? s.mul(mean, v[1]) : mean;
  });
  return finishLoss(op, isSingle && loss ? op.squeeze(loss, {0}) : loss);
}

/// Targets are classes up to the first -1; every other class should stay below each of them by 1.
static LogicalResult convertMultilabelMargin(Op &op) {
  Tensor x = op.tensor("self"), target = op.tensor("target");
  if (op.isBad() || x.rank() < 1 || x.rank() > 2)
    return op.isBad() ? failure() : op.unsupported("of a number alone");
  bool isSingle = x.rank() == 1;
  ScalarType work = computeType(x.dtype);
  x = withBatch(op, op.convert(x, work), 2);
  target = withBatch(op, op.convert(target, kLong), 2);
  Tensor least = op.cumulate(ReduceKind::Min, target, 1); // negative from the first -1 on
  Tensor safe = op.map(kLong, kLong, {target, least}, [](Scalars &s, ValueRange v) {
    return s.select(s.compare(Compare::Lt, v[1], s.integer(0)), s.integer(0), v[0]);
  });
  Dims pairs = x.dims();
  pairs.push_back(x.dim(1)); // sample, target, class
  auto raw = [](Tensor t, ArrayRef<int64_t> dims) {
    Operand o(t, dims);
    o.isRaw = true;
    return o;
  };
  Tensor hits = op.map(
      kLong, kLong, {Operand(safe, {0, 1}), Operand(least, {0, 1})},
      [&](Scalars &s, ValueRange v) {
        return s.both(s.compare(Compare::Ge, v[1], s.integer(0)), s.compare(Compare::Eq, v[0], op.index(s, 2)));
      },
      ScalarType::Bool, pairs);
  if (!hits)
    return failure();
  Tensor isTarget = op.reduce(ReduceKind::Max, hits, {1});
  Tensor own = op.gather(x, {Operand(safe, {0, 1})}, {0, -1}, x.dims());
  Tensor losses = op.map(
      work, work, {Operand(own, {0, 1}), Operand(x, {0, 2}), raw(least, {0, 1}), raw(isTarget, {0, 2})},
      [&](Scalars &s, ValueRange v) {
        Scalars ints(s.b, s.loc, kLong);
        Value counts = s.both(ints.compare(Compare::Ge, v[2], ints.integer(0)),
                              ints.compare(Compare::Eq, v[3], ints.integer(0)));
        return s.select(counts, hinge(s, s.add(s.sub(s.number(1), v[0]), v[1])), s.number(0));
      },
      ScalarType::Unknown, pairs);
  if (!losses)
    return failure();
  Tensor loss = op.map(work, work, {op.reduce(ReduceKind::Sum, losses, {1, 2})}, [&](Scalars &s, ValueRange v) {
    return s.div(v[0], op.sizeValue(s, x.dim(1)));
  });
  loss = op.convert(reduceLoss(op, isSingle && loss ? op.squeeze(loss, {0}) : loss, op.integer("reduction", kMean)),
                    op.resultDtype());
  if (op.node.resultNames().size() == 1)
    return op.finish(loss);
  isTarget = op.convert(isTarget, op.resultDtype(1));
  return op.finish({loss, isSingle && isTarget ? op.squeeze(isTarget, {0}) : isTarget});
}

void populateMarginLosses(ConverterTable &t) {
  t["aten.margin_ranking_loss"] = convertMarginRanking;
  t["aten.soft_margin_loss"] = convertSoftMargin;
  t["aten.hinge_embedding_loss"] = convertHingeEmbedding;
  t["aten.poisson_nll_loss"] = convertPoisson;
  t["aten.cosine_embedding_loss"] = convertCosineEmbedding;
  t["aten.triplet_margin_loss"] = convertTripletMargin;
  t["aten.multi_margin_loss"] = convertMultiMargin;
  t["aten.multilabel_margin_loss"] = t["aten.multilabel_margin_loss_forward"] = convertMultilabelMargin;
}

} // namespace tenon::torch_export
