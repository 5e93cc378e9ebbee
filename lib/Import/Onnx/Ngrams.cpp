// TfIdfVectorizer on integers: how often each n-gram of a list occurs.
#include "Op.h"

using namespace mlir;
using tenon::graph::Dims;

namespace tenon::onnx_import {

namespace {
/// The n-grams of one length.
struct Pool {
  int64_t length = 0, count = 0;
  SmallVector<int64_t> items;  ///< row-major [count, length]
  SmallVector<int64_t> places; ///< in the result
};
} // namespace

/// The pools of the lengths that are asked for. None when the attributes do not fit together, which is reported.
static std::optional<SmallVector<Pool>> readPools(Op &op) {
  SmallVector<int64_t> items = op.integerList("pool_int64s"), starts = op.integerList("ngram_counts"),
                       places = op.integerList("ngram_indexes");
  int64_t least = op.integer("min_gram_length"), most = op.integer("max_gram_length"), next = 0;
  SmallVector<Pool> pools;
  for (auto [i, start] : llvm::enumerate(starts)) {
    int64_t end = i + 1 < starts.size() ? starts[i + 1] : static_cast<int64_t>(items.size());
    Pool pool;
    pool.length = static_cast<int64_t>(i) + 1;
    if (start < 0 || end < start || end > static_cast<int64_t>(items.size()) || (end - start) % pool.length != 0)
      return (void)op.error("has n-grams of length " + Twine(pool.length) + " that are not complete"), std::nullopt;
    pool.count = (end - start) / pool.length;
    if (next + pool.count > static_cast<int64_t>(places.size()))
      return (void)op.error("has " + Twine(places.size()) + " indexes for more n-grams"), std::nullopt;
    pool.items.assign(items.begin() + start, items.begin() + end);
    pool.places.assign(places.begin() + next, places.begin() + next + pool.count);
    next += pool.count;
    std::set<std::vector<int64_t>> seen;
    for (int64_t k = 0; k < pool.count; ++k)
      if (auto at = pool.items.begin() + k * pool.length; !seen.insert({at, at + pool.length}).second)
        return (void)op.error("has the same n-gram twice"), std::nullopt;
    if (pool.length >= least && pool.length <= most && pool.count > 0)
      pools.push_back(std::move(pool));
  }
  return pools;
}

/// How often each n-gram of the pool stands in the rows of `x` [rows, columns], with up to `skips` elements left out between
/// two of its own: [rows, count].
static Tensor countMatches(Op &op, Tensor x, const Pool &pool, int64_t skips) {
  int64_t n = pool.length, distances = n == 1 ? 1 : skips + 1; // skipping changes nothing for single elements
  AffineExpr columns = x.dim(1);
  Dims windows{columns, op.constant(distances), op.constant(n)}, dims{x.dim(0), columns, windows[1], windows[2]};
  auto positionOf = [&](Scalars &s, Value start, Value distance, Value k) {
    return s.add(start, s.mul(k, s.add(distance, s.integer(1))));
  };
  Tensor at = op.generate(ScalarType::Long, ScalarType::Long, windows, [&](Scalars &s, ValueRange) {
    Value last = s.sub(op.sizeValue(s, columns), s.integer(1));
    return s.min(positionOf(s, op.index(s, 0), op.index(s, 1), op.index(s, 2)), last);
  });
  Tensor window = op.gather(x, {Operand(at, {1, 2, 3})}, {0, -1}, dims);
  Tensor grams = op.constantTensor({pool.count, n}, pool.items);
  SmallVector<Operand> operands;
  for (int64_t k = 0; k < n; ++k) {
    operands.push_back(Operand(op.select(window, 3, op.constant(k)), {0, 1, 2}));
    operands.push_back(Operand(op.select(grams, 1, op.constant(k)), {3}));
  }
  dims.back() = op.constant(pool.count);
  Tensor matches = op.map(
      ScalarType::Float, ScalarType::Long, operands,
      [&](Scalars &s, ValueRange v) {
        Value last = positionOf(s, op.index(s, 1), op.index(s, 2), s.integer(n - 1));
        Value isMatch = s.compare(Compare::Lt, last, op.sizeValue(s, columns));
        for (size_t k = 0; k < v.size(); k += 2)
          isMatch = s.both(isMatch, s.compare(Compare::Eq, v[k], v[k + 1]));
        return isMatch;
      },
      ScalarType::Bool, dims);
  return op.reduce(graph::ReduceKind::Sum, matches, {1, 2});
}

static LogicalResult convertTfIdf(Op &op) {
  if (op.hasAttribute("pool_strings"))
    return op.unsupported("on strings");
  Tensor x = op.convert(op.tensor(0), ScalarType::Long);
  std::optional<SmallVector<Pool>> pools = readPools(op);
  if (op.isBad() || !pools)
    return failure();
  std::string mode = op.text("mode");
  if (mode != "TF" && mode != "IDF" && mode != "TFIDF")
    return op.error("has mode '" + mode + "', which is unknown");
  if (x.rank() > 2)
    return op.error("has an input of rank " + Twine(x.rank()) + " but needs at most 2");
  int64_t skips = op.integer("max_skip_count"), size = 0;
  for (int64_t place : op.integerList("ngram_indexes")) {
    if (place < 0)
      return op.error("has index " + Twine(place));
    size = std::max(size, place + 1);
  }
  std::vector<double> weights = op.realList("weights");
  if (op.isBad() || skips < 0)
    return op.isBad() ? failure() : op.error("skips " + Twine(skips) + " elements");
  if (!weights.empty() && static_cast<int64_t>(weights.size()) < size)
    return op.error("has " + Twine(weights.size()) + " weights for " + Twine(size) + " results");
  bool isMatrix = x.rank() == 2;
  Tensor rows = isMatrix ? x : op.reshape(x, {op.constant(1), x.rank() == 1 ? x.dim(0) : op.constant(1)});
  Dims dims{rows.dim(0), op.constant(size)};
  Tensor result = op.full(dims, ScalarType::Float, 0);
  for (const Pool &pool : *pools) {
    Tensor places = op.constantTensor({pool.count}, pool.places);
    result = op.scatter(graph::ScatterKind::Sum, countMatches(op, rows, pool, skips), result, {Operand(places, {1})}, {0, -1});
  }
  if (mode == "IDF")
    result = op.unary(result, [](Scalars &s, Value v) { return s.min(v, s.number(1)); });
  if (mode != "TF" && !weights.empty()) {
    weights.resize(size);
    result = op.mul(result, op.constantTensor({size}, ScalarType::Float, weights));
  }
  return op.finish(isMatrix ? result : op.reshape(result, {op.constant(size)}));
}

void populateNgrams(ConverterTable &t) { t["TfIdfVectorizer"] = convertTfIdf; }

} // namespace tenon::onnx_import
