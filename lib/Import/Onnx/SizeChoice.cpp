// Choices among sizes: comparisons and selections whose outcome the ranges of symbols decide, so that their results stay
// expressions. Arithmetic is in Sizes.cpp.
#include "Op.h"

using namespace mlir;

namespace tenon::onnx_import {

static KnownRef integersOf(Op &op, unsigned i) {
  KnownRef value = op.known(i);
  return value && value->isInteger() && value->shape.size() <= 1 && value->size() > 0 ? value : nullptr;
}

/// Element `k` of a vector, or of a scalar that is repeated.
static AffineExpr element(const Known &known, size_t k) { return known.ints[known.size() == 1 ? 0 : k]; }

/// The common length of what broadcasts; 0 when it does not.
static size_t commonSize(ArrayRef<KnownRef> parts) {
  size_t count = 1;
  for (const KnownRef &part : parts)
    count = std::max(count, part->size());
  return llvm::all_of(parts, [&](const KnownRef &part) { return part->size() == 1 || part->size() == count; }) ? count
                                                                                                            : 0;
}

static std::shared_ptr<Known> makeKnown(ScalarType dtype, ArrayRef<KnownRef> parts, size_t count) {
  auto result = std::make_shared<Known>();
  result->dtype = dtype;
  bool isScalar = llvm::all_of(parts, [](const KnownRef &part) { return part->shape.empty(); });
  if (!isScalar)
    result->shape.push_back(count);
  return result;
}

static KnownRef foldEqual(Op &op) {
  KnownRef l = integersOf(op, 0), r = integersOf(op, 1);
  if (!l || !r || l->dtype != r->dtype || l->dtype == ScalarType::UInt64)
    return nullptr;
  size_t count = commonSize({l, r});
  auto result = makeKnown(ScalarType::Bool, {l, r}, count);
  for (size_t k = 0; k < count; ++k) {
    AffineExpr a = element(*l, k), b = element(*r, k);
    std::optional<int64_t> difference = graph::asConstant(graph::normalize(a - b));
    bool isApart = op.isLessEqual(graph::normalize(a + 1), b).value_or(false) ||
                   op.isLessEqual(graph::normalize(b + 1), a).value_or(false);
    if (!difference && !isApart)
      return nullptr;
    result->ints.push_back(op.constant(difference == 0 ? 1 : 0));
  }
  return count ? result : nullptr;
}

static KnownRef foldWhere(Op &op) {
  KnownRef condition = integersOf(op, 0), yes = integersOf(op, 1), no = integersOf(op, 2);
  if (!condition || !yes || !no || yes->dtype != no->dtype)
    return nullptr;
  size_t count = commonSize({condition, yes, no});
  auto result = makeKnown(yes->dtype, {condition, yes, no}, count);
  for (size_t k = 0; k < count; ++k) {
    std::optional<int64_t> chosen = graph::asConstant(element(*condition, k));
    if (!chosen)
      return nullptr;
    result->ints.push_back(element(*chosen ? *yes : *no, k));
  }
  return count ? result : nullptr;
}

/// Between a scalar and a vector of one element, or of a vector to itself.
static KnownRef foldReshape(Op &op) {
  KnownRef data = integersOf(op, 0);
  std::optional<SmallVector<int64_t>> sizes = op.integers(1);
  if (!data || !sizes || sizes->size() > 1)
    return nullptr;
  bool fits = sizes->empty() ? data->size() == 1 : (*sizes)[0] == -1 || (*sizes)[0] == static_cast<int64_t>(data->size());
  if (!fits)
    return nullptr;
  auto result = std::make_shared<Known>(*data);
  result->shape.clear();
  if (!sizes->empty())
    result->shape.push_back(data->size());
  return result;
}

void populateChoiceOfSizes(ConverterTable &t) {
  std::map<std::string, Fold> folds{{"Equal", foldEqual}, {"Where", foldWhere}, {"Reshape", foldReshape}};
  addFolds(t, folds);
}

} // namespace tenon::onnx_import
