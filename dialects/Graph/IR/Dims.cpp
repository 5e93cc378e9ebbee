//===- Dims.cpp - sizes as expressions ------------------------------------===//
#include "dialects/Graph/IR/GraphDialect.h"
#include "llvm/Support/MathExtras.h"
#include <map>

using namespace mlir;

namespace tenon::graph {

Dims getDims(Type type) {
  auto tensor = cast<RankedTensorType>(type);
  if (auto dims = dyn_cast_or_null<DimsAttr>(tensor.getEncoding()))
    return Dims(dims.getExprs());
  Dims result;
  for (int64_t size : tensor.getShape())
    result.push_back(getAffineConstantExpr(size, type.getContext()));
  return result;
}

AffineExpr getDim(Type type, int64_t dim) { return getDims(type)[dim]; }

std::optional<int64_t> asConstant(AffineExpr expr) {
  if (auto constant = dyn_cast<AffineConstantExpr>(expr))
    return constant.getValue();
  return std::nullopt;
}

RankedTensorType makeTensorType(ArrayRef<AffineExpr> dims, Type elementType) {
  SmallVector<int64_t> shape;
  Dims normal;
  bool isStatic = true;
  for (AffineExpr dim : dims) {
    normal.push_back(normalize(dim));
    std::optional<int64_t> value = asConstant(normal.back());
    shape.push_back(value.value_or(ShapedType::kDynamic));
    isStatic &= value.has_value();
  }
  if (isStatic)
    return RankedTensorType::get(shape, elementType);
  return RankedTensorType::get(shape, elementType, DimsAttr::get(elementType.getContext(), normal));
}

RankedTensorType makeTensorType(ArrayRef<int64_t> dims, Type elementType) {
  return RankedTensorType::get(dims, elementType);
}

RankedTensorType withElementType(Type type, Type elementType) {
  auto tensor = cast<RankedTensorType>(type);
  return RankedTensorType::get(tensor.getShape(), elementType, tensor.getEncoding());
}

AffineExpr product(ArrayRef<AffineExpr> dims, MLIRContext *context) {
  AffineExpr result = getAffineConstantExpr(1, context);
  for (AffineExpr dim : dims)
    result = result * dim;
  return normalize(result);
}

Dims squeezed(ArrayRef<AffineExpr> dims) {
  Dims result;
  for (AffineExpr dim : dims)
    if (asConstant(dim) != 1)
      result.push_back(dim);
  return result;
}

AffineExpr numElements(Type type) { return product(getDims(type), type.getContext()); }

namespace {
/// A polynomial over atoms (symbols, dimensions, and divisions that do not simplify): monomial -> coefficient.
/// A monomial is the sorted list of its atoms. This is the normal form behind `normalize`.
struct Polynomial {
  struct Less {
    static int rank(AffineExpr e) {
      return isa<AffineDimExpr>(e) ? 0 : isa<AffineSymbolExpr>(e) ? 1 : 2;
    }
    /// A total order that does not depend on addresses, so that output is the same in every run.
    static int compare(AffineExpr a, AffineExpr b) {
      if (a == b)
        return 0;
      if (a.getKind() != b.getKind())
        return rank(a) != rank(b) ? (rank(a) < rank(b) ? -1 : 1) : (a.getKind() < b.getKind() ? -1 : 1);
      if (auto d = dyn_cast<AffineDimExpr>(a))
        return d.getPosition() < cast<AffineDimExpr>(b).getPosition() ? -1 : 1;
      if (auto s = dyn_cast<AffineSymbolExpr>(a))
        return s.getPosition() < cast<AffineSymbolExpr>(b).getPosition() ? -1 : 1;
      if (auto c = dyn_cast<AffineConstantExpr>(a))
        return c.getValue() < cast<AffineConstantExpr>(b).getValue() ? -1 : 1;
      auto x = cast<AffineBinaryOpExpr>(a), y = cast<AffineBinaryOpExpr>(b);
      if (int left = compare(x.getLHS(), y.getLHS()))
        return left;
      return compare(x.getRHS(), y.getRHS());
    }
    bool operator()(const std::vector<AffineExpr> &a, const std::vector<AffineExpr> &b) const {
      // Higher degree first, the constant last.
      if (a.size() != b.size())
        return a.size() > b.size();
      for (auto [x, y] : llvm::zip(a, b))
        if (int c = compare(x, y))
          return c < 0;
      return false;
    }
  };
  std::map<std::vector<AffineExpr>, int64_t, Less> terms;

  void add(const std::vector<AffineExpr> &monomial, int64_t coefficient) {
    if (coefficient == 0)
      return;
    auto [it, fresh] = terms.try_emplace(monomial, coefficient);
    if (!fresh && (it->second += coefficient) == 0)
      terms.erase(it);
  }

  AffineExpr toExpr(MLIRContext *context) const {
    AffineExpr sum;
    for (auto &[monomial, coefficient] : terms) {
      AffineExpr term;
      for (AffineExpr atom : monomial)
        term = term ? term * atom : atom;
      if (!term)
        term = getAffineConstantExpr(coefficient, context);
      else if (coefficient != 1)
        term = term * coefficient;
      sum = sum ? sum + term : term;
    }
    return sum ? sum : getAffineConstantExpr(0, context);
  }
};
} // namespace

static Polynomial toPolynomial(AffineExpr expr);

/// Quotient of polynomials when `divisor` is a single monomial that divides every term; nullopt otherwise.
static std::optional<Polynomial> divideExactly(const Polynomial &value, const Polynomial &divisor) {
  if (divisor.terms.size() != 1)
    return std::nullopt;
  auto &[monomial, coefficient] = *divisor.terms.begin();
  Polynomial result;
  for (auto &[atoms, c] : value.terms) {
    if (c % coefficient != 0)
      return std::nullopt;
    std::vector<AffineExpr> rest = atoms;
    for (AffineExpr atom : monomial) {
      auto it = llvm::find(rest, atom);
      if (it == rest.end())
        return std::nullopt;
      rest.erase(it);
    }
    result.add(rest, c / coefficient);
  }
  return result;
}

static Polynomial toPolynomial(AffineExpr expr) {
  Polynomial result;
  if (auto constant = dyn_cast<AffineConstantExpr>(expr)) {
    result.add({}, constant.getValue());
    return result;
  }
  auto binary = dyn_cast<AffineBinaryOpExpr>(expr);
  if (!binary) {
    result.add({expr}, 1);
    return result;
  }
  Polynomial lhs = toPolynomial(binary.getLHS()), rhs = toPolynomial(binary.getRHS());
  switch (binary.getKind()) {
  case AffineExprKind::Add:
    result = lhs;
    for (auto &[monomial, c] : rhs.terms)
      result.add(monomial, c);
    return result;
  case AffineExprKind::Mul:
    for (auto &[a, ca] : lhs.terms)
      for (auto &[b, cb] : rhs.terms) {
        std::vector<AffineExpr> both = a;
        both.insert(both.end(), b.begin(), b.end());
        llvm::sort(both, [](AffineExpr x, AffineExpr y) { return Polynomial::Less::compare(x, y) < 0; });
        result.add(both, ca * cb);
      }
    return result;
  default:
    break;
  }
  MLIRContext *context = expr.getContext();
  if (std::optional<Polynomial> exact = divideExactly(lhs, rhs))
    return expr.getKind() == AffineExprKind::Mod ? Polynomial() : *exact;
  AffineExpr l = lhs.toExpr(context), r = rhs.toExpr(context);
  AffineExpr folded = expr.getKind() == AffineExprKind::Mod        ? l % r
                      : expr.getKind() == AffineExprKind::FloorDiv ? l.floorDiv(r)
                                                                   : l.ceilDiv(r);
  if (auto constant = dyn_cast<AffineConstantExpr>(folded))
    result.add({}, constant.getValue());
  else if (folded == expr || !isa<AffineBinaryOpExpr>(folded) ||
           cast<AffineBinaryOpExpr>(folded).getKind() == expr.getKind())
    result.add({folded}, 1);
  else
    return toPolynomial(folded);
  return result;
}

AffineExpr normalize(AffineExpr expr) {
  if (isa<AffineConstantExpr, AffineSymbolExpr, AffineDimExpr>(expr))
    return expr;
  return toPolynomial(expr).toExpr(expr.getContext());
}

std::optional<int64_t> evaluate(AffineExpr expr, ArrayRef<int64_t> symbols, ArrayRef<int64_t> dims) {
  if (auto c = dyn_cast<AffineConstantExpr>(expr))
    return c.getValue();
  if (auto s = dyn_cast<AffineSymbolExpr>(expr))
    return s.getPosition() < symbols.size() ? std::optional<int64_t>(symbols[s.getPosition()]) : std::nullopt;
  if (auto d = dyn_cast<AffineDimExpr>(expr))
    return d.getPosition() < dims.size() ? std::optional<int64_t>(dims[d.getPosition()]) : std::nullopt;
  auto binary = cast<AffineBinaryOpExpr>(expr);
  std::optional<int64_t> l = evaluate(binary.getLHS(), symbols, dims), r = evaluate(binary.getRHS(), symbols, dims);
  if (!l || !r)
    return std::nullopt;
  int64_t out;
  switch (expr.getKind()) {
  case AffineExprKind::Add:
    return llvm::AddOverflow(*l, *r, out) ? std::nullopt : std::optional<int64_t>(out);
  case AffineExprKind::Mul:
    return llvm::MulOverflow(*l, *r, out) ? std::nullopt : std::optional<int64_t>(out);
  default:
    break;
  }
  if (*r <= 0)
    return std::nullopt;
  if (expr.getKind() == AffineExprKind::Mod)
    return llvm::mod(*l, *r);
  return expr.getKind() == AffineExprKind::FloorDiv ? llvm::divideFloorSigned(*l, *r) : llvm::divideCeilSigned(*l, *r);
}

std::optional<std::pair<int64_t, int64_t>> rangeOf(AffineExpr expr, ArrayRef<std::pair<int64_t, int64_t>> symbols) {
  using Range = std::pair<int64_t, int64_t>;
  if (auto c = dyn_cast<AffineConstantExpr>(expr))
    return Range(c.getValue(), c.getValue());
  if (auto s = dyn_cast<AffineSymbolExpr>(expr))
    return s.getPosition() < symbols.size() ? std::optional<Range>(symbols[s.getPosition()]) : std::nullopt;
  auto binary = dyn_cast<AffineBinaryOpExpr>(expr);
  if (!binary)
    return std::nullopt;
  std::optional<Range> l = rangeOf(binary.getLHS(), symbols), r = rangeOf(binary.getRHS(), symbols);
  if (!l || !r)
    return std::nullopt;
  if (expr.getKind() == AffineExprKind::Mod) {
    if (r->first <= 0)
      return std::nullopt;
    return Range(0, r->second - 1);
  }
  // Every other operation is monotonic in each argument on a sign-definite divisor: the corners bound it.
  std::optional<Range> result;
  for (int64_t a : {l->first, l->second})
    for (int64_t b : {r->first, r->second}) {
      std::optional<int64_t> v;
      int64_t out;
      if (expr.getKind() == AffineExprKind::Add)
        v = llvm::AddOverflow(a, b, out) ? std::nullopt : std::optional<int64_t>(out);
      else if (expr.getKind() == AffineExprKind::Mul)
        v = llvm::MulOverflow(a, b, out) ? std::nullopt : std::optional<int64_t>(out);
      else if (b > 0)
        v = expr.getKind() == AffineExprKind::FloorDiv ? llvm::divideFloorSigned(a, b) : llvm::divideCeilSigned(a, b);
      if (!v)
        return std::nullopt;
      result = result ? Range(std::min(result->first, *v), std::max(result->second, *v)) : Range(*v, *v);
    }
  return result;
}

} // namespace tenon::graph
