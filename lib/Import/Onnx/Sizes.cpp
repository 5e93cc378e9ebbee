// Arithmetic of sizes: operators on small integer tensors whose elements are known while importing, so that shapes that a
// model computes from shapes stay expressions.
#include "Op.h"

using namespace mlir;

namespace tenon::onnx_import {

void addFolds(ConverterTable &t, const std::map<std::string, Fold> &folds) {
  for (auto &[name, fold] : folds)
    t[name] = [fold = fold, convert = t[name]](Op &op) -> LogicalResult {
      if (KnownRef known = fold(op))
        return op.finish(known);
      return op.isBad() ? failure() : convert(op);
    };
}

static std::shared_ptr<Known> like(const Known &known, SmallVector<AffineExpr> ints, SmallVector<int64_t> shape) {
  auto result = std::make_shared<Known>();
  result->dtype = known.dtype;
  result->ints = std::move(ints);
  result->shape = std::move(shape);
  return result;
}

static KnownRef integersOf(Op &op, unsigned i) {
  KnownRef value = op.known(i);
  return value && value->isInteger() && value->shape.size() <= 1 ? value : nullptr;
}

/// Of vectors and scalars of one signed type. Constants are computed in 64 bits, so that only those types take part.
static Fold binary(std::function<AffineExpr(AffineExpr, AffineExpr)> body) {
  return [body](Op &op) -> KnownRef {
    KnownRef l = integersOf(op, 0), r = integersOf(op, 1);
    if (op.numInputs() != 2 || !l || !r || l->dtype != ScalarType::Long || r->dtype != ScalarType::Long)
      return nullptr;
    size_t n = std::max(l->size(), r->size());
    if ((l->size() != n && l->size() != 1) || (r->size() != n && r->size() != 1) || l->size() == 0 || r->size() == 0)
      return nullptr;
    SmallVector<AffineExpr> ints;
    for (size_t k = 0; k < n; ++k) {
      AffineExpr value = body(l->ints[l->size() == 1 ? 0 : k], r->ints[r->size() == 1 ? 0 : k]);
      if (!value)
        return nullptr;
      ints.push_back(graph::normalize(value));
    }
    return like(*l, ints, l->shape.size() >= r->shape.size() ? (l->size() == n ? l->shape : r->shape) : r->shape);
  };
}

static KnownRef foldGather(Op &op) {
  KnownRef data = integersOf(op, 0);
  std::optional<SmallVector<int64_t>> at = op.integers(1);
  KnownRef places = integersOf(op, 1);
  if (!data || !at || !places || data->shape.size() != 1)
    return nullptr;
  SmallVector<AffineExpr> ints;
  for (int64_t i : *at) {
    i = i < 0 ? i + static_cast<int64_t>(data->size()) : i;
    if (i < 0 || i >= static_cast<int64_t>(data->size()))
      return nullptr;
    ints.push_back(data->ints[i]);
  }
  return like(*data, ints, places->shape);
}

static KnownRef foldConcat(Op &op) {
  SmallVector<AffineExpr> ints;
  KnownRef first;
  for (unsigned i = 0; i < op.numInputs(); ++i) {
    KnownRef part = integersOf(op, i);
    if (!part || part->shape.size() != 1)
      return nullptr;
    first = first ? first : part;
    ints.append(part->ints);
  }
  int64_t count = ints.size();
  return first && count <= kMaxKnown ? like(*first, ints, {count}) : nullptr;
}

static KnownRef foldSlice(Op &op) {
  KnownRef data = integersOf(op, 0);
  if (!data || data->shape.size() != 1 || op.version < 10)
    return nullptr;
  auto begin = op.integers(1), end = op.integers(2);
  std::optional<SmallVector<int64_t>> steps = op.has(4) ? op.integers(4) : SmallVector<int64_t>{1};
  if (!begin || !end || !steps || begin->size() != 1 || end->size() != 1 || steps->size() != 1 || (*steps)[0] < 1)
    return nullptr;
  int64_t n = data->size();
  auto clamp = [&](int64_t v) { return std::clamp<int64_t>(v < 0 ? v + n : v, 0, n); };
  SmallVector<AffineExpr> ints;
  for (int64_t i = clamp((*begin)[0]); i < clamp((*end)[0]); i += (*steps)[0])
    ints.push_back(data->ints[i]);
  int64_t count = ints.size();
  return like(*data, ints, {count});
}

/// Operators that change a scalar to a vector of one element, or back.
static KnownRef foldUnsqueeze(Op &op) {
  KnownRef data = integersOf(op, 0);
  std::optional<SmallVector<int64_t>> axes = op.version < 13 ? op.integerList("axes") : op.integers(1);
  return data && data->shape.empty() && axes && axes->size() == 1 ? like(*data, data->ints, {1}) : nullptr;
}

static KnownRef foldSqueeze(Op &op) {
  KnownRef data = integersOf(op, 0);
  return data && data->shape.size() == 1 && data->size() == 1 ? like(*data, data->ints, {}) : nullptr;
}

static KnownRef foldCast(Op &op) {
  KnownRef data = integersOf(op, 0);
  ScalarType to = op.dtype("to", ScalarType::Unknown);
  // Sizes are at most 2^31 and so keep their value in 64 bits only.
  return data && to == ScalarType::Long && data->dtype != ScalarType::UInt64
             ? [&] { auto r = like(*data, data->ints, data->shape); r->dtype = to; return KnownRef(r); }()
             : nullptr;
}

void populateArithmeticOfSizes(ConverterTable &t) {
  auto constant = [](AffineExpr e) { return graph::asConstant(e); };
  auto isSmall = [constant](AffineExpr e) {
    return !constant(e) || (*constant(e) > -(int64_t(1) << 31) && *constant(e) < (int64_t(1) << 31));
  };
  std::map<std::string, Fold> folds;
  folds["Add"] = binary([=](AffineExpr l, AffineExpr r) { return isSmall(l) && isSmall(r) ? l + r : AffineExpr(); });
  folds["Sub"] = binary([=](AffineExpr l, AffineExpr r) { return isSmall(l) && isSmall(r) ? l - r : AffineExpr(); });
  folds["Mul"] = binary([=](AffineExpr l, AffineExpr r) { return isSmall(l) && isSmall(r) ? l * r : AffineExpr(); });
  folds["Div"] = binary([=](AffineExpr l, AffineExpr r) -> AffineExpr {
    std::optional<int64_t> n = constant(l), d = constant(r);
    if (!d || *d <= 0)
      return {};
    if (n)
      return getAffineConstantExpr(*n / *d, l.getContext());
    // Rounded towards zero; a sum with negative terms may be below it.
    return isa<AffineSymbolExpr>(l) ? l.floorDiv(r) : AffineExpr();
  });
  folds["Gather"] = foldGather;
  folds["Concat"] = foldConcat;
  folds["Slice"] = foldSlice;
  folds["Unsqueeze"] = foldUnsqueeze;
  folds["Squeeze"] = foldSqueeze;
  folds["Cast"] = foldCast;
  addFolds(t, folds);
}

} // namespace tenon::onnx_import
