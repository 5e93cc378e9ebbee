// ai.onnx.ml: trees, label encoders and small steps of classical models, on numbers.
#include "Importer.h"

using namespace mlir;
using tenon::graph::Dims;
using tenon::graph::ReduceKind;

namespace tenon::onnx_import {

//===----------------------------------------------------------------------===//
// Single steps
//===----------------------------------------------------------------------===//

static LogicalResult convertBinarizer(Op &op) {
  double threshold = op.real("threshold", 0.0);
  return op.finish(op.unary(op.tensor(0), [&](Scalars &s, Value v) {
    return s.select(s.compare(Compare::Gt, v, s.number(threshold)), s.number(1), s.number(0));
  }));
}

static LogicalResult convertArrayFeatureExtractor(Op &op) {
  Tensor x = op.tensor(0), at = op.tensor(1);
  if (op.isBad())
    return failure();
  if (x.rank() == 0)
    return op.error("has a scalar as its input");
  bool isVector = x.rank() == 1;
  Tensor flat = at.rank() == 0 ? op.unsqueeze(at, 0) : op.flatten(at, 0, at.rank() - 1);
  Tensor y = op.take(x, flat, x.rank() - 1);
  return op.finish(isVector ? op.unsqueeze(y, 0) : y);
}

/// (x - offset) * scale, with one number or one per feature.
static LogicalResult convertScaler(Op &op) {
  Tensor x = op.tensor(0);
  std::vector<double> offset = op.realList("offset"), scale = op.realList("scale");
  if (!x || offset.size() != scale.size() || offset.empty())
    return x ? op.error("has offsets and scales of different number") : failure();
  auto vector = [&](ArrayRef<double> values) {
    int64_t count = values.size();
    return count == 1 ? op.scalar(ScalarType::Float, values[0]) : op.constantTensor({count}, ScalarType::Float, values);
  };
  return op.finish(op.map(ScalarType::Float, ScalarType::Float, {x, vector(offset), vector(scale)},
                          [](Scalars &s, ValueRange v) { return s.mul(s.sub(v[0], v[1]), v[2]); }));
}

static LogicalResult convertNormalizer(Op &op) {
  Tensor x = op.tensor(0);
  std::string norm = op.text("norm", StringRef("MAX"));
  if (!x || (norm != "MAX" && norm != "L1" && norm != "L2"))
    return x ? op.error("has norm '" + norm + "', which is unknown") : failure();
  if (x.rank() == 0)
    return op.error("has a scalar as its input");
  int64_t dim = x.rank() - 1;
  x = op.convert(x, ScalarType::Float);
  Tensor size = op.unary(x, [&](Scalars &s, Value v) { return norm == "L2" ? s.mul(v, v) : norm == "L1" ? s.abs(v) : v; });
  size = op.reduceDims(norm == "MAX" ? ReduceKind::Max : ReduceKind::Sum, size, {dim}, true);
  return op.finish(op.binary(x, size, [&](Scalars &s, Value v, Value n) {
    n = norm == "L2" ? s.make<math::SqrtOp>(n) : n;
    return s.div(v, s.select(s.compare(Compare::Eq, n, s.number(0)), s.number(1), n));
  }));
}

static LogicalResult convertLinearRegressor(Op &op) {
  Tensor x = op.tensor(0);
  std::vector<double> weights = op.realList("coefficients"), bias = op.realList("intercepts");
  int64_t targets = op.integer("targets", 1);
  if (!x)
    return failure();
  if (op.text("post_transform", StringRef("NONE")) != "NONE")
    return op.unsupported("with a transform of its results");
  int64_t features = targets > 0 ? weights.size() / targets : 0;
  bool fits = features > 0 && static_cast<size_t>(features * targets) == weights.size() &&
              (bias.empty() || static_cast<int64_t>(bias.size()) == targets);
  if (x.rank() != 2 || !fits)
    return op.error("has coefficients that do not fit its input");
  Tensor y = op.contract(op.convert(x, ScalarType::Float), "nf", op.constantTensor({targets, features}, ScalarType::Float, weights),
                         "tf", "nt");
  return op.finish(bias.empty() ? y : op.add(y, op.constantTensor({targets}, ScalarType::Float, bias)));
}

//===----------------------------------------------------------------------===//
// LabelEncoder
//===----------------------------------------------------------------------===//

/// One of the lists of keys or of values, as a vector; null when none is of numbers.
static Tensor readList(Op &op, StringRef prefix) {
  if (const onnx::AttributeProto *list = op.attribute((prefix + "_tensor").str()))
    return op.importTensor(list->t());
  if (op.hasAttribute((prefix + "_int64s").str())) {
    SmallVector<int64_t> values = op.integerList((prefix + "_int64s").str());
    return op.constantTensor({static_cast<int64_t>(values.size())}, values);
  }
  if (op.hasAttribute((prefix + "_floats").str())) {
    std::vector<double> values = op.realList((prefix + "_floats").str());
    return op.constantTensor({static_cast<int64_t>(values.size())}, ScalarType::Float, values);
  }
  return {};
}

static LogicalResult convertLabelEncoder(Op &op) {
  Tensor x = op.tensor(0);
  if (!x)
    return failure();
  Tensor keys = readList(op, "keys"), values = readList(op, "values");
  if (op.isBad())
    return failure();
  if (!keys || !values)
    return op.unsupported("on strings");
  if (keys.rank() != 1 || values.rank() != 1 || keys.dim(0) != values.dim(0))
    return op.error("has keys and values of different number");
  Tensor other;
  if (const onnx::AttributeProto *given = op.attribute("default_tensor"))
    other = op.reshape(op.importTensor(given->t()), {});
  else if (values.dtype == ScalarType::Long)
    other = op.scalar(ScalarType::Long, static_cast<double>(op.integer("default_int64", -1)));
  else
    other = op.scalar(values.dtype, op.real("default_float", -0.0));
  Dims dims = x.dims();
  dims.push_back(keys.dim(0));
  ScalarType type = computeType(x.dtype);
  Tensor isKey = op.map(
      ScalarType::Bool, type, {Operand(x, upTo(x.rank())), Operand(keys, {x.rank()})},
      [](Scalars &s, ValueRange v) {
        Value same = s.compare(Compare::Eq, v[0], v[1]);
        return s.isFloat() ? s.either(same, s.both(s.isNan(v[0]), s.isNan(v[1]))) : same;
      },
      ScalarType::Bool, dims);
  Tensor at = op.argReduce(ReduceKind::Max, op.convert(isKey, ScalarType::Int), x.rank());
  return op.finish(op.where(op.reduce(ReduceKind::Any, isKey, {x.rank()}), op.take(values, at, 0),
                            op.convert(other, values.dtype)));
}

//===----------------------------------------------------------------------===//
// TreeEnsemble
//===----------------------------------------------------------------------===//

namespace {
enum Mode { LessEqual, Less, GreaterEqual, Greater, Equal, NotEqual, Member };

/// Nodes of all trees; leaf i is node `size + i`.
struct Forest {
  std::vector<double> splits, weights, members, memberOwners;
  std::vector<int64_t> modes;
  SmallVector<int64_t> features, yes, no, missing, targets, roots;
  int64_t size = 0, depth = 0;
};
} // namespace

/// Numbers of a small tensor in an attribute.
static std::vector<double> numbersOf(Op &op, StringRef name) {
  const onnx::AttributeProto *attribute = op.attribute(name);
  if (!attribute)
    return {};
  llvm::Expected<TensorData> data = op.importer.file.tensor(attribute->t());
  if (!data)
    return (void)op.error("has an attribute '" + name + "': " + llvm::toString(data.takeError())), std::vector<double>();
  std::vector<double> values;
  for (int64_t i = 0; i < data->numElements(); ++i) {
    const uint8_t *at = data->bytes.data() + i * bytesOf(data->dtype);
    float single = 0;
    double wide = 0;
    if (data->dtype == ScalarType::Float)
      memcpy(&single, at, 4), wide = single;
    else if (data->dtype == ScalarType::Double)
      memcpy(&wide, at, 8);
    else if (data->dtype == ScalarType::Byte)
      wide = *at;
    else
      return (void)op.unsupported("with numbers of " + nameOf(data->dtype)), std::vector<double>();
    values.push_back(wide);
  }
  return values;
}

/// The longest way from node `node` to a leaf; -1 when it is longer than `limit`.
static int64_t depthOf(const Forest &f, int64_t node, int64_t limit, llvm::DenseMap<int64_t, int64_t> &known) {
  if (node >= f.size)
    return 0;
  if (auto it = known.find(node); it != known.end())
    return it->second <= limit ? it->second : -1;
  if (limit == 0)
    return -1;
  int64_t yes = depthOf(f, f.yes[node], limit - 1, known), no = yes < 0 ? -1 : depthOf(f, f.no[node], limit - 1, known);
  return no < 0 ? -1 : known[node] = 1 + std::max(yes, no);
}

static std::optional<Forest> readForest(Op &op) {
  Forest f;
  constexpr int64_t deepest = 64;
  f.splits = numbersOf(op, "nodes_splits");
  f.weights = numbersOf(op, "leaf_weights");
  std::vector<double> members = numbersOf(op, "membership_values");
  for (double mode : numbersOf(op, "nodes_modes"))
    f.modes.push_back(static_cast<int64_t>(mode));
  f.size = f.modes.size();
  f.features = op.integersOf("nodes_featureids", f.size, 0);
  f.missing = op.integersOf("nodes_missing_value_tracks_true", f.size, 0);
  f.yes = op.integersOf("nodes_truenodeids", f.size, 0), f.no = op.integersOf("nodes_falsenodeids", f.size, 0);
  f.roots = op.integerList("tree_roots");
  int64_t leaves = f.weights.size();
  f.targets = op.integersOf("leaf_targetids", leaves, 0);
  SmallVector<int64_t> yesLeaf = op.integersOf("nodes_trueleafs", f.size, 0),
                       noLeaf = op.integersOf("nodes_falseleafs", f.size, 0);
  if (op.isBad())
    return std::nullopt;
  bool fits = f.size > 0 && leaves > 0 && static_cast<int64_t>(f.splits.size()) == f.size && !f.roots.empty();
  auto isBelow = [](int64_t v, int64_t limit) { return v >= 0 && v < limit; };
  for (int64_t i = 0; fits && i < f.size; ++i) {
    fits = isBelow(f.yes[i], yesLeaf[i] ? leaves : f.size) && isBelow(f.no[i], noLeaf[i] ? leaves : f.size) &&
           isBelow(f.modes[i], Member + 1) && f.features[i] >= 0;
    f.yes[i] += yesLeaf[i] ? f.size : 0;
    f.no[i] += noLeaf[i] ? f.size : 0;
  }
  for (int64_t root : f.roots)
    fits = fits && isBelow(root, f.size);
  if (!fits)
    return (void)op.error("has nodes that do not fit together"), std::nullopt;
  // Members stand in the order of the nodes that ask for them, with a NaN after each set.
  size_t next = 0;
  for (int64_t i = 0; i < f.size; ++i)
    for (; f.modes[i] == Member && next < members.size(); ++next) {
      if (std::isnan(members[next])) {
        ++next;
        break;
      }
      f.members.push_back(members[next]);
      f.memberOwners.push_back(static_cast<double>(i));
    }
  llvm::DenseMap<int64_t, int64_t> known;
  for (int64_t root : f.roots) {
    int64_t depth = depthOf(f, root, deepest, known);
    if (depth < 0)
      return (void)op.unsupported("with trees that are deeper than " + Twine(deepest)), std::nullopt;
    f.depth = std::max(f.depth, depth);
  }
  return f;
}

/// All trees go down together: one node per sample and tree.
static LogicalResult convertTreeEnsemble(Op &op) {
  Tensor x = op.tensor(0);
  std::optional<Forest> f = x ? readForest(op) : std::nullopt;
  if (!f)
    return failure();
  int64_t targets = op.integer("n_targets", 1), how = op.integer("aggregate_function", 1),
          post = op.integer("post_transform", 0);
  if (x.rank() != 2 || targets < 1 || how < 0 || how > 3)
    return op.error("has an input of rank " + Twine(x.rank()) + ", targets or an aggregation that it does not take");
  if (post > 2)
    return op.unsupported("with post_transform " + Twine(post));
  ScalarType type = x.dtype, work = computeType(type);
  auto integers = [&](ArrayRef<int64_t> values) { return op.constantTensor({static_cast<int64_t>(values.size())}, values); };
  auto reals = [&](ArrayRef<double> values) {
    return op.constantTensor({static_cast<int64_t>(values.size())}, work, values);
  };
  x = op.convert(x, work);
  int64_t last = f->size - 1, trees = f->roots.size();
  Dims dims{x.dim(0), op.constant(trees)};
  Tensor features = integers(f->features), splits = reals(f->splits), modes = integers(f->modes),
         yes = integers(f->yes), no = integers(f->no), missing = integers(f->missing);
  Tensor now = op.broadcast(integers(f->roots), dims);
  for (int64_t step = 0; step < f->depth && now; ++step) {
    // A leaf reads any node and stays.
    Tensor at = op.unary(now, [&](Scalars &s, Value v) { return s.min(v, s.integer(last)); });
    Tensor value = op.gather(x, {op.take(features, at, 0)}, {0, -1}, dims);
    Tensor isMember = op.full({}, ScalarType::Bool, 0);
    if (!f->members.empty()) {
      Dims wide = dims;
      wide.push_back(op.constant(f->members.size()));
      Tensor matches = op.map(
          ScalarType::Bool, work,
          {Operand(value, {0, 1}), Operand(reals(f->members), {2}), Operand(op.convert(at, ScalarType::Double), {0, 1}),
           Operand(op.constantTensor({static_cast<int64_t>(f->members.size())}, ScalarType::Double, f->memberOwners), {2})},
          [](Scalars &s, ValueRange v) {
            return s.both(s.compare(Compare::Eq, v[0], v[1]), s.compare(Compare::Eq, v[2], v[3]));
          },
          ScalarType::Bool, wide);
      isMember = op.reduce(ReduceKind::Any, matches, {2});
    }
    auto raw = [](Tensor t) { return Operand::raw(t); };
    now = op.map(
        ScalarType::Long, work,
        {value, op.take(splits, at, 0), raw(op.take(modes, at, 0)), raw(op.take(yes, at, 0)), raw(op.take(no, at, 0)),
         raw(op.take(missing, at, 0)), raw(isMember), raw(now)},
        [&](Scalars &s, ValueRange v) {
          Scalars ints(s.b, s.loc, ScalarType::Long);
          static constexpr Compare table[] = {Compare::Le, Compare::Lt, Compare::Ge, Compare::Gt, Compare::Eq, Compare::Ne};
          Value goes = v[6];
          for (int64_t mode = LessEqual; mode < Member; ++mode)
            goes = s.select(ints.compare(Compare::Eq, v[2], ints.integer(mode)), s.compare(table[mode], v[0], v[1]), goes);
          Value isMissing = s.both(s.isNan(v[0]), ints.compare(Compare::Ne, v[5], ints.integer(0)));
          Value next = s.select(s.either(goes, isMissing), v[3], v[4]);
          return s.select(ints.compare(Compare::Ge, v[7], ints.integer(f->size)), v[7], next);
        },
        ScalarType::Long);
  }
  Tensor leaf = op.unary(now, [&](Scalars &s, Value v) { return s.max(s.sub(v, s.integer(f->size)), s.integer(0)); });
  Tensor weight = op.take(reals(f->weights), leaf, 0), target = op.take(integers(f->targets), leaf, 0);
  if (!weight || !target)
    return failure();
  double infinity = std::numeric_limits<double>::infinity(), none = how == 2 ? infinity : how == 3 ? -infinity : 0;
  Dims wide = dims;
  wide.push_back(op.constant(targets));
  Operand owner(target, {0, 1});
  owner.isRaw = true;
  Tensor each = op.map(
      work, work, {Operand(weight, {0, 1}), owner},
      [&](Scalars &s, ValueRange v) {
        Scalars ints(s.b, s.loc, ScalarType::Long);
        return s.select(ints.compare(Compare::Eq, v[1], op.index(ints, 2)), v[0], s.number(none));
      },
      ScalarType::Unknown, wide);
  Tensor y = op.reduce(how == 2 ? ReduceKind::Min : how == 3 ? ReduceKind::Max : ReduceKind::Sum, each, {1});
  if (how == 0)
    y = op.scale(y, 1.0 / static_cast<double>(trees));
  if (how > 1) // a target that no tree names
    y = op.unary(y, [&](Scalars &s, Value v) {
      return s.select(s.compare(Compare::Eq, v, s.number(none)), s.number(0), v);
    });
  if (post == 1)
    y = op.softmax(y, 1);
  if (post == 2)
    y = op.unary(y, [](Scalars &s, Value v) { return s.sigmoid(v); });
  return op.finish(op.convert(y, type));
}

void populateMl(ConverterTable &t) {
  t["ai.onnx.ml.Binarizer"] = convertBinarizer;
  t["ai.onnx.ml.ArrayFeatureExtractor"] = convertArrayFeatureExtractor;
  t["ai.onnx.ml.Scaler"] = convertScaler;
  t["ai.onnx.ml.Normalizer"] = convertNormalizer;
  t["ai.onnx.ml.LinearRegressor"] = convertLinearRegressor;
  t["ai.onnx.ml.LabelEncoder"] = convertLabelEncoder;
  t["ai.onnx.ml.TreeEnsemble"] = convertTreeEnsemble;
}

} // namespace tenon::onnx_import
