//===- Access.cpp - how index expressions pass through layout ops ---------===//
#include "dialects/Graph/Analysis/Access.h"

using namespace mlir;

namespace tenon::graph {

static void collectTerms(AffineExpr expr, SmallVectorImpl<AffineExpr> &terms) {
  if (auto binary = dyn_cast<AffineBinaryOpExpr>(expr); binary && binary.getKind() == AffineExprKind::Add) {
    collectTerms(binary.getLHS(), terms);
    collectTerms(binary.getRHS(), terms);
    return;
  }
  terms.push_back(expr);
}

/// `value / divisor` when the division is exact as polynomials; null otherwise.
static AffineExpr divideExactly(AffineExpr value, AffineExpr divisor) {
  if (asConstant(divisor) == 1)
    return value;
  AffineExpr quotient = normalize(value.floorDiv(divisor));
  bool isExact = true;
  quotient.walk([&](AffineExpr e) {
    auto binary = dyn_cast<AffineBinaryOpExpr>(e);
    if (binary && binary.getKind() == AffineExprKind::FloorDiv && normalize(binary.getRHS()) == normalize(divisor) &&
        normalize(binary.getLHS()) == normalize(value))
      isExact = false;
  });
  return isExact && normalize(quotient * divisor) == normalize(value) ? quotient : AffineExpr();
}

/// Whether a polynomial over symbols has no negative coefficient, so that it cannot be negative.
static bool isNotNegative(AffineExpr expr) {
  SmallVector<AffineExpr> terms;
  collectTerms(normalize(expr), terms);
  // A constant may be negative when every symbol term makes up for it; symbols are only known to be >= 0.
  for (AffineExpr term : terms) {
    if (auto c = asConstant(term)) {
      if (*c < 0)
        return false;
      continue;
    }
    bool negative = false;
    term.walk([&](AffineExpr e) {
      if (auto c = asConstant(e); c && *c < 0)
        negative = true;
    });
    if (negative)
      return false;
  }
  return true;
}

bool IndexSimplifier::isBetween(AffineExpr expr, AffineExpr bound) const {
  if (!isNotNegative(expr))
    return false;
  // Every term rises with its dimensions, so the largest value is at their last positions. A size may be 0, but then
  // nothing is ever evaluated.
  bool known = true;
  SmallVector<AffineExpr> last;
  for (AffineExpr size : sizes)
    last.push_back(size ? size - 1 : AffineExpr());
  expr.walk([&](AffineExpr e) {
    if (auto dim = dyn_cast<AffineDimExpr>(e))
      known &= dim.getPosition() < last.size() && last[dim.getPosition()];
    if (auto binary = dyn_cast<AffineBinaryOpExpr>(e))
      known &= binary.getKind() != AffineExprKind::CeilDiv;
  });
  if (!known)
    return false;
  // e mod m is at most m - 1, whatever e is.
  std::function<AffineExpr(AffineExpr)> largest = [&](AffineExpr e) -> AffineExpr {
    if (auto dim = dyn_cast<AffineDimExpr>(e))
      return last[dim.getPosition()];
    auto binary = dyn_cast<AffineBinaryOpExpr>(e);
    if (!binary)
      return e;
    if (binary.getKind() == AffineExprKind::Mod)
      return binary.getRHS() - 1;
    AffineExpr l = largest(binary.getLHS()), r = largest(binary.getRHS());
    return binary.getKind() == AffineExprKind::Add   ? l + r
           : binary.getKind() == AffineExprKind::Mul ? l * r
                                                     : l.floorDiv(r);
  };
  return isNotNegative(normalize(bound - 1 - largest(expr)));
}

AffineExpr IndexSimplifier::simplify(AffineExpr expr) const {
  auto binary = dyn_cast<AffineBinaryOpExpr>(expr);
  if (!binary)
    return expr;
  AffineExpr lhs = simplify(binary.getLHS()), rhs = simplify(binary.getRHS());
  AffineExprKind kind = binary.getKind();
  if (kind == AffineExprKind::Mod || kind == AffineExprKind::FloorDiv) {
    // Split lhs into what rhs divides and a rest; when 0 <= rest < rhs, the rest is the remainder.
    AffineExpr quotient = getAffineConstantExpr(0, expr.getContext()), rest = quotient;
    SmallVector<AffineExpr> terms;
    collectTerms(normalize(lhs), terms);
    for (AffineExpr term : terms) {
      if (AffineExpr q = divideExactly(term, rhs))
        quotient = quotient + q;
      else
        rest = rest + term;
    }
    rest = normalize(rest);
    if (isBetween(rest, rhs))
      return kind == AffineExprKind::Mod ? rest : normalize(quotient);
    if (kind == AffineExprKind::Mod)
      return normalize(rest % rhs); // what rhs divides does not matter
    // (q + e floordiv a) floordiv b = (q * a + e) floordiv (a * b)
    terms.clear();
    collectTerms(rest, terms);
    for (AffineExpr term : terms) {
      auto inner = dyn_cast<AffineBinaryOpExpr>(term);
      if (inner && inner.getKind() == AffineExprKind::FloorDiv && isNotNegative(inner.getRHS())) {
        AffineExpr whole = normalize((rest - inner) * inner.getRHS() + inner.getLHS());
        return normalize(quotient + simplify(whole.floorDiv(normalize(inner.getRHS() * rhs))));
      }
    }
    return normalize(quotient + rest.floorDiv(rhs));
  }
  expr = normalize(kind == AffineExprKind::Add   ? lhs + rhs
                   : kind == AffineExprKind::Mul ? lhs * rhs
                                                 : lhs.ceilDiv(rhs));
  if (kind == AffineExprKind::CeilDiv)
    return expr;
  // a * m * (e floordiv m) + a * (e mod m) = a * e
  SmallVector<AffineExpr> terms;
  collectTerms(expr, terms);
  for (auto [i, term] : llvm::enumerate(terms)) {
    AffineBinaryOpExpr mod = nullptr;
    term.walk([&](AffineExpr e) {
      if (auto b = dyn_cast<AffineBinaryOpExpr>(e); b && b.getKind() == AffineExprKind::Mod)
        mod = b;
    });
    if (!mod)
      continue;
    AffineExpr factor = divideExactly(term, mod);
    if (!factor)
      continue;
    // The partner may be several terms: a * (m + 1) * q is a * m * q + a * q.
    SmallVector<AffineExpr> partner, others;
    collectTerms(normalize(simplify(mod.getLHS().floorDiv(mod.getRHS())) * mod.getRHS() * factor), partner);
    for (auto [k, other] : llvm::enumerate(terms))
      if (k != i)
        others.push_back(normalize(other));
    bool hasAll = llvm::all_of(partner, [&](AffineExpr part) {
      auto it = llvm::find(others, part);
      if (it == others.end())
        return false;
      others.erase(it);
      return true;
    });
    if (!hasAll)
      continue;
    AffineExpr sum = factor * mod.getLHS();
    for (AffineExpr rest : others)
      sum = sum + rest;
    return simplify(normalize(sum));
  }
  return expr;
}

AffineExpr linearize(ArrayRef<AffineExpr> point, ArrayRef<AffineExpr> sizes, MLIRContext *context) {
  AffineExpr offset = getAffineConstantExpr(0, context);
  for (auto [index, size] : llvm::zip(point, sizes))
    offset = offset * size + index;
  return normalize(offset);
}

Point reshapePoint(ArrayRef<AffineExpr> point, ArrayRef<AffineExpr> to, ArrayRef<AffineExpr> from,
                   const IndexSimplifier &simplifier) {
  if (point.empty() && from.empty())
    return {};
  MLIRContext *context = point.empty() ? from[0].getContext() : point[0].getContext();
  Point result(from.size(), getAffineConstantExpr(0, context));
  // Cuts both shapes at the places where the products of the sizes so far are the same.
  size_t i = 0, j = 0;
  while (i < to.size() || j < from.size()) {
    size_t i0 = i, j0 = j;
    AffineExpr a = getAffineConstantExpr(1, context), b = a;
    if (i < to.size())
      a = normalize(a * to[i++]);
    if (j < from.size())
      b = normalize(b * from[j++]);
    while (a != b && (i < to.size() || j < from.size())) {
      // Extend the side that divides the other one, else both.
      bool extendTo = i < to.size() && (j == from.size() || divideExactly(b, a) || asConstant(a) == 1);
      bool extendFrom = j < from.size() && (i == to.size() || divideExactly(a, b) || asConstant(b) == 1);
      if (!extendTo && !extendFrom)
        extendTo = i < to.size(), extendFrom = j < from.size();
      if (extendTo)
        a = normalize(a * to[i++]);
      else if (extendFrom)
        b = normalize(b * from[j++]);
    }
    AffineExpr offset = linearize(point.slice(i0, i - i0), to.slice(i0, i - i0), context);
    offset = simplifier.simplify(offset);
    // Sizes of 1 hold index 0; the first other dimension needs no mod.
    SmallVector<size_t> live;
    for (size_t k = j0; k < j; ++k)
      if (asConstant(from[k]) != 1)
        live.push_back(k);
    AffineExpr stride = getAffineConstantExpr(1, context);
    for (size_t n = live.size(); n-- > 0;) {
      size_t k = live[n];
      AffineExpr index = offset.floorDiv(stride);
      if (n > 0)
        index = index % from[k];
      result[k] = simplifier.simplify(index);
      stride = normalize(stride * from[k]);
    }
  }
  return result;
}

Point applyMap(AffineMap map, ArrayRef<AffineExpr> point) {
  Point result;
  for (AffineExpr expr : map.getResults())
    result.push_back(expr.replaceDims(point));
  return result;
}

Point identityPoint(unsigned rank, MLIRContext *context) {
  Point result;
  for (unsigned i = 0; i < rank; ++i)
    result.push_back(getAffineDimExpr(i, context));
  return result;
}

Value skipReshapes(Value value) {
  while (Operation *op = value.getDefiningOp()) {
    if (!isa<ReshapeOp, AssertDimOp>(op))
      break;
    value = op->getOperand(0);
  }
  return value;
}

std::optional<std::pair<Value, Point>> pullThrough(Operation *op, ArrayRef<AffineExpr> point,
                                                   const IndexSimplifier &simplifier) {
  using Result = std::optional<std::pair<Value, Point>>;
  MLIRContext *context = op->getContext();
  return llvm::TypeSwitch<Operation *, Result>(op)
      .Case([&](PermuteOp permute) -> Result {
        Point in(point.size());
        for (auto [i, dim] : llvm::enumerate(permute.getOrder()))
          in[dim] = point[i];
        return std::pair(permute.getInput(), in);
      })
      .Case([&](ReshapeOp reshape) -> Result {
        return std::pair(reshape.getInput(), reshapePoint(point, getDims(reshape.getType()),
                                                          getDims(reshape.getInput().getType()), simplifier));
      })
      .Case([&](BroadcastOp broadcast) -> Result {
        Dims in = getDims(broadcast.getInput().getType()), out = getDims(broadcast.getType());
        Point result;
        for (auto [size, dim] : llvm::zip(in, broadcast.getDims()))
          result.push_back(size == out[dim] ? point[dim] : getAffineConstantExpr(0, context));
        return std::pair(broadcast.getInput(), result);
      })
      .Case([&](SliceOp slice) -> Result {
        Point in;
        for (auto [index, offset, stride] : llvm::zip(point, slice.getOffsets().getExprs(), slice.getStrides()))
          in.push_back(simplifier.simplify(normalize(index * stride + offset)));
        return std::pair(slice.getInput(), in);
      })
      .Case([&](ReverseOp reverse) -> Result {
        Point in(point);
        Dims sizes = getDims(reverse.getType());
        for (int64_t dim : reverse.getDims())
          in[dim] = normalize(sizes[dim] - 1 - in[dim]);
        return std::pair(reverse.getInput(), in);
      })
      .Case([&](AssertDimOp assertDim) -> Result { return std::pair(assertDim.getInput(), Point(point)); })
      .Default([](Operation *) -> Result { return std::nullopt; });
}

Value skipIdleViews(Value value) {
  value = skipReshapes(value);
  Dims sizes = getDims(value.getType());
  MLIRContext *context = value.getContext();
  IndexSimplifier simplifier(sizes);
  Point point = identityPoint(sizes.size(), context);
  AffineExpr inOrder = linearize(point, sizes, context);
  Value source = value;
  while (Operation *op = source.getDefiningOp()) {
    auto moved = pullThrough(op, point, simplifier);
    if (!moved)
      break;
    std::tie(source, point) = *moved;
    if (simplifier.simplify(linearize(point, getDims(source.getType()), context)) == inOrder)
      return skipIdleViews(source);
  }
  return value;
}

std::optional<Point> pushThrough(Operation *op, unsigned operand, ArrayRef<AffineExpr> point,
                                 const IndexSimplifier &simplifier) {
  using Result = std::optional<Point>;
  return llvm::TypeSwitch<Operation *, Result>(op)
      .Case([&](PermuteOp permute) -> Result {
        Point out;
        for (int64_t dim : permute.getOrder())
          out.push_back(point[dim]);
        return out;
      })
      .Case([&](ReshapeOp reshape) -> Result {
        return reshapePoint(point, getDims(reshape.getInput().getType()), getDims(reshape.getType()), simplifier);
      })
      .Case([&](AssertDimOp) -> Result { return Point(point); })
      .Case([&](MapOp map) -> Result {
        AffineMap access = map.getMap(operand);
        Dims sizes = getDims(map.getResult(0).getType());
        Point out(map.getRank());
        for (auto [expr, index] : llvm::zip(access.getResults(), point))
          if (auto dim = dyn_cast<AffineDimExpr>(expr)) {
            if (out[dim.getPosition()])
              return std::nullopt;
            out[dim.getPosition()] = index;
          }
        for (auto [i, index] : llvm::enumerate(out))
          if (!index) {
            if (asConstant(sizes[i]) != 1)
              return std::nullopt;
            index = getAffineConstantExpr(0, op->getContext());
          }
        return out;
      })
      .Default([](Operation *) -> Result { return std::nullopt; });
}

std::optional<Point> pushToResult(Value root, Value result, ArrayRef<AffineExpr> point,
                                  const IndexSimplifier &simplifier, function_ref<bool(Operation *)> mayCross) {
  // Values that turned out not to come from the root; many ways lead to the same one.
  llvm::SmallDenseSet<Value> deadEnds;
  std::function<std::optional<Point>(Value)> visit = [&](Value value) -> std::optional<Point> {
    if (value == root)
      return Point(point);
    Operation *op = value.getDefiningOp();
    if (!op || !isa<PermuteOp, ReshapeOp, AssertDimOp, MapOp>(op) || (mayCross && !mayCross(op)) ||
        deadEnds.contains(value))
      return std::nullopt;
    for (auto [i, operand] : llvm::enumerate(op->getOperands()))
      if (std::optional<Point> before = visit(operand))
        if (std::optional<Point> after = pushThrough(op, i, *before, simplifier))
          return after;
    deadEnds.insert(value);
    return std::nullopt;
  };
  return visit(result);
}

} // namespace tenon::graph
