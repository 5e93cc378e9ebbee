// Operators that move elements: shapes, joins, repetition; and those that make tensors from sizes.
#include "Slicing.h"

using namespace mlir;
using tenon::graph::Dims;

namespace tenon::onnx_import {

//===----------------------------------------------------------------------===//
// Shapes
//===----------------------------------------------------------------------===//

static LogicalResult convertReshape(Op &op) {
  Tensor x = op.tensor(0);
  if (!x)
    return failure();
  bool keepsZero = op.integer("allowzero", 0) != 0;
  std::optional<Dims> sizes = op.sizes(1);
  if (!sizes) {
    std::optional<Dims> declared = op.declaredDimsOr(0, "the shape, which is an input,");
    if (declared)
      claimShape(op, op.tensor(1), *declared, [&](Scalars &s, Value v, size_t d) {
        Value size = op.sizeValue(s, (*declared)[d]), isOpen = s.compare(Compare::Eq, v, s.integer(-1));
        if (!keepsZero && static_cast<int64_t>(d) < x.rank())
          v = s.select(s.compare(Compare::Eq, v, s.integer(0)), op.sizeValue(s, x.dim(d)), v);
        return s.select(isOpen, size, v);
      });
    return declared ? op.finish(op.reshape(x, *declared)) : failure();
  }
  AffineExpr known = op.constant(1);
  int64_t open = -1;
  for (auto [i, size] : llvm::enumerate(*sizes)) {
    std::optional<int64_t> value = graph::asConstant(size);
    if (value == 0 && !keepsZero) {
      if (static_cast<int64_t>(i) >= x.rank())
        return op.error("copies size " + Twine(i) + " of a tensor of rank " + Twine(x.rank()));
      size = x.dim(i);
    }
    if (value && *value < -1)
      return op.error("has the size " + Twine(*value));
    if (value == -1) {
      if (open >= 0)
        return op.error("has two sizes of -1");
      open = i;
      continue;
    }
    known = known * size;
  }
  if (open >= 0) {
    known = graph::normalize(known);
    AffineExpr total = graph::numElements(x.value.getType());
    (*sizes)[open] = graph::asConstant(known) == 0 ? op.constant(0) : graph::normalize(total.floorDiv(known));
  }
  return op.finish(op.reshape(x, *sizes));
}

static LogicalResult convertFlatten(Op &op) {
  Tensor x = op.tensor(0);
  if (!x)
    return failure();
  int64_t axis = op.integer("axis", 1);
  if (axis < -x.rank() || axis > x.rank())
    return op.error("has axis " + Twine(axis) + " for rank " + Twine(x.rank()));
  axis = axis < 0 ? axis + x.rank() : axis;
  Dims dims = x.dims();
  return op.finish(op.reshape(x, {graph::product(ArrayRef(dims).take_front(axis), op.context()),
                                  graph::product(ArrayRef(dims).drop_front(axis), op.context())}));
}

/// The axes of Squeeze, Unsqueeze and their like: an attribute before version 13, then an input.
static std::optional<SmallVector<int64_t>> axesOf(Op &op, bool &isGiven) {
  if (op.version < 13) {
    isGiven = op.hasAttribute("axes");
    return op.integerList("axes");
  }
  isGiven = op.has(1);
  return isGiven ? op.integers(1) : SmallVector<int64_t>();
}

static LogicalResult convertSqueeze(Op &op) {
  Tensor x = op.tensor(0);
  bool isGiven;
  std::optional<SmallVector<int64_t>> axes = axesOf(op, isGiven);
  if (!x)
    return failure();
  Dims dims;
  if (!axes) {
    std::optional<Dims> declared = op.declaredDimsOr(0, "an input with the axes");
    return declared ? op.finish(op.reshape(x, *declared)) : failure();
  }
  for (int64_t &axis : *axes)
    axis = op.wrapDim(axis, x.rank());
  for (auto [i, size] : llvm::enumerate(x.dims()))
    if (isGiven ? !llvm::is_contained(*axes, static_cast<int64_t>(i)) : graph::asConstant(size) != 1)
      dims.push_back(size);
  return op.finish(op.reshape(x, dims));
}

static LogicalResult convertUnsqueeze(Op &op) {
  Tensor x = op.tensor(0);
  bool isGiven;
  std::optional<SmallVector<int64_t>> axes = axesOf(op, isGiven);
  if (!x)
    return failure();
  if (!axes) {
    std::optional<Dims> declared = op.declaredDimsOr(0, "an input with the axes");
    return declared ? op.finish(op.reshape(x, *declared)) : failure();
  }
  int64_t rank = x.rank() + static_cast<int64_t>(axes->size());
  for (int64_t &axis : *axes)
    axis = op.wrapDim(axis, rank);
  llvm::sort(*axes);
  if (llvm::unique(*axes) != axes->end())
    return op.error("names an axis twice");
  Dims dims = x.dims();
  for (int64_t axis : *axes)
    dims.insert(dims.begin() + axis, op.constant(1));
  return op.finish(op.reshape(x, dims));
}

static LogicalResult convertTranspose(Op &op) {
  Tensor x = op.tensor(0);
  if (!x)
    return failure();
  SmallVector<int64_t> order = op.integerList("perm");
  if (!op.hasAttribute("perm"))
    order = llvm::to_vector(llvm::reverse(upTo(x.rank())));
  SmallVector<int64_t> sorted;
  for (int64_t &d : order)
    sorted.push_back(d = op.wrapDim(d, x.rank()));
  llvm::sort(sorted);
  if (sorted != upTo(x.rank()))
    return op.error("has a permutation that does not fit rank " + Twine(x.rank()));
  return op.finish(op.permute(x, order));
}

static LogicalResult convertShape(Op &op) {
  Tensor x = op.tensor(0);
  if (!x)
    return failure();
  int64_t rank = x.rank(), begin = op.integer("start", 0), end = op.integer("end", rank);
  auto wrap = [&](int64_t d) { return std::clamp<int64_t>(d < 0 ? d + rank : d, 0, rank); };
  begin = wrap(begin), end = std::max(wrap(end), begin);
  auto known = std::make_shared<Known>();
  known->dtype = ScalarType::Long;
  known->shape = {end - begin};
  for (int64_t d = begin; d < end; ++d)
    known->ints.push_back(x.dim(d));
  return op.finish(known);
}

static LogicalResult convertSize(Op &op) {
  Tensor x = op.tensor(0);
  if (!x)
    return failure();
  auto known = std::make_shared<Known>();
  known->dtype = ScalarType::Long;
  known->ints.push_back(graph::numElements(x.value.getType()));
  return op.finish(known);
}

//===----------------------------------------------------------------------===//
// Joins and repetition
//===----------------------------------------------------------------------===//

static LogicalResult convertConcat(Op &op) {
  Tensors parts = op.tensors();
  if (parts.empty())
    return op.isBad() ? failure() : op.error("joins nothing");
  int64_t dim = op.dim("axis", parts[0].rank());
  return op.isBad() ? failure() : op.finish(op.concat(parts, dim));
}

static LogicalResult convertExpand(Op &op) {
  Tensor x = op.tensor(0);
  if (!x)
    return failure();
  std::optional<Dims> sizes = op.sizes(1);
  if (!sizes) {
    sizes = op.declaredDimsOr(0, "the shape, which is an input,");
    if (sizes)
      claimShape(op, op.tensor(1), *sizes, [&](Scalars &s, Value v, size_t d) {
        return s.select(s.compare(Compare::Eq, v, s.integer(1)), op.sizeValue(s, (*sizes)[d]), v);
      });
  }
  std::optional<Dims> dims = sizes ? op.broadcastDims({x.dims(), *sizes}) : std::nullopt;
  return dims ? op.finish(op.broadcast(x, *dims)) : failure();
}

static LogicalResult convertTile(Op &op) {
  Tensor x = op.tensor(0);
  if (!x)
    return failure();
  std::optional<Dims> repeats = op.sizes(1);
  if (!repeats) {
    std::optional<Dims> dims = op.declaredDimsOr(0, "an input with the repetitions");
    if (!dims || dims->size() != static_cast<size_t>(x.rank()))
      return op.isBad() ? failure() : op.error("is declared with another rank");
    claimShape(op, op.tensor(1), *dims, [own = x.dims(), &op](Scalars &s, Value v, size_t d) {
      return s.mul(v, op.sizeValue(s, own[d]));
    });
    for (int64_t d = 0; d < x.rank() && x; ++d)
      if (AffineExpr size = x.dim(d); size != (*dims)[d])
        x = readAt(op, x, d, (*dims)[d], {},
                   [&](Scalars &s, Value i, ValueRange) { return s.fmod(i, op.sizeValue(s, size)); });
    return op.finish(x);
  }
  if (repeats->size() != static_cast<size_t>(x.rank()))
    return op.error("has " + Twine(repeats->size()) + " repetitions for rank " + Twine(x.rank()));
  for (int64_t d = x.rank() - 1; d >= 0 && x; --d) {
    if (graph::asConstant((*repeats)[d]) == 1)
      continue;
    Dims dims = x.dims();
    dims.insert(dims.begin() + d, (*repeats)[d]);
    x = op.flatten(op.broadcast(op.unsqueeze(x, d), dims), d, d + 1);
  }
  return op.finish(x);
}

//===----------------------------------------------------------------------===//
// Making tensors
//===----------------------------------------------------------------------===//

static LogicalResult convertConstant(Op &op) {
  if (auto *value = op.attribute("value"))
    return op.finish(Datum{.stored = &value->t()});
  auto known = std::make_shared<Known>();
  auto numbers = [&](ArrayRef<int64_t> values, ScalarType type) {
    known->dtype = type;
    for (int64_t value : values)
      known->ints.push_back(op.constant(value));
  };
  if (op.hasAttribute("value_int")) {
    numbers(op.integer("value_int"), ScalarType::Long);
  } else if (op.hasAttribute("value_ints")) {
    numbers(op.integerList("value_ints"), ScalarType::Long);
    known->shape.push_back(known->ints.size());
  } else if (op.hasAttribute("value_float")) {
    known->dtype = ScalarType::Float;
    known->reals = {op.real("value_float")};
  } else if (op.hasAttribute("value_floats")) {
    known->dtype = ScalarType::Float;
    known->reals = op.realList("value_floats");
    known->shape.push_back(known->reals.size());
  } else if (op.hasAttribute("value_string")) {
    known->texts = {op.text("value_string")};
  } else if (op.hasAttribute("value_strings")) {
    known->texts = op.textList("value_strings");
    known->shape.push_back(known->texts.size());
  } else {
    return op.unsupported("of a sparse tensor");
  }
  return op.finish(known);
}

static LogicalResult convertConstantOfShape(Op &op) {
  std::optional<Dims> sizes = op.sizes(0);
  if (!sizes) {
    sizes = op.declaredDimsOr(0, "the shape, which is an input,");
    if (!sizes)
      return failure();
    claimShape(op, op.tensor(0), *sizes);
  }
  auto *value = op.attribute("value");
  if (!value)
    return op.finish(op.full(*sizes, ScalarType::Float, 0));
  Tensor element = op.importTensor(value->t());
  return op.finish(op.broadcast(op.reshape(element, {}), *sizes));
}

static LogicalResult convertRange(Op &op) {
  Tensor start = op.tensor(0), delta = op.tensor(2);
  if (op.isBad())
    return failure();
  std::optional<double> from = op.number(0), to = op.number(1), by = op.number(2);
  std::optional<Dims> first = op.sizes(0), last = op.sizes(1);
  AffineExpr count;
  if (from && to && by && *by != 0) {
    count = op.constant(std::max<int64_t>(0, static_cast<int64_t>(std::ceil((*to - *from) / *by))));
  } else if (first && last && by && *by != 0 && first->size() == 1 && last->size() == 1) {
    int64_t step = static_cast<int64_t>(*by);
    count = graph::normalize(step > 0 ? ((*last)[0] - (*first)[0]).ceilDiv(step)
                                      : ((*first)[0] - (*last)[0]).ceilDiv(-step));
  } else {
    std::optional<Dims> declared = op.declaredDimsOr(0, "an input with a bound");
    if (!declared || declared->size() != 1)
      return op.isBad() ? failure() : op.error("is declared with another rank than 1");
    count = (*declared)[0];
    claimSize(op, op.map(ScalarType::Long, ScalarType::Double, {scalarInput(op, 0), scalarInput(op, 1), scalarInput(op, 2)},
                         [](Scalars &s, ValueRange v) {
                           Value steps = s.make<math::CeilOp>(s.div(s.sub(v[1], v[0]), v[2]));
                           return s.max(steps, s.number(0));
                         }),
              count);
  }
  ScalarType type = start.dtype;
  return op.finish(op.map(
      type, type, {op.reshape(start, {}), op.reshape(delta, {})},
      [&](Scalars &s, ValueRange v) { return s.add(v[0], s.mul(op.index(s, 0), v[1])); }, ScalarType::Unknown,
      Dims{count}));
}

static LogicalResult convertEyeLike(Op &op) {
  Tensor x = op.tensor(0);
  if (!x)
    return failure();
  if (x.rank() != 2)
    return op.error("has an input of rank " + Twine(x.rank()) + " but needs a matrix");
  ScalarType type = op.dtype("dtype", x.dtype);
  int64_t k = op.integer("k", 0);
  return op.finish(op.generate(
      type, ScalarType::Long, x.dims(),
      [&](Scalars &s, ValueRange) {
        return s.compare(Compare::Eq, s.add(op.index(s, 0), s.integer(k)), op.index(s, 1));
      },
      ScalarType::Bool));
}

static LogicalResult convertTrilu(Op &op) {
  Tensor x = op.tensor(0), k = op.optionalTensor(1);
  if (!x || op.isBad())
    return failure();
  if (x.rank() < 2)
    return op.error("has an input of rank " + Twine(x.rank()) + " but needs matrices");
  bool isUpper = op.integer("upper", 1) != 0;
  ScalarType type = x.dtype;
  Operand shift = k ? Operand(op.reshape(k, {})) : Operand(Number::of(int64_t(0)));
  shift.isRaw = static_cast<bool>(k);
  return op.finish(op.map(type, type, {x, shift}, [&](Scalars &s, ValueRange v) {
    Scalars i(s.b, s.loc, ScalarType::Long);
    Value row = op.index(i, x.rank() - 2), column = op.index(i, x.rank() - 1);
    Value diagonal = i.add(row, k ? v[1] : i.integer(0));
    return s.select(i.compare(isUpper ? Compare::Ge : Compare::Le, column, diagonal), v[0], s.integer(0));
  }));
}

//===----------------------------------------------------------------------===//
// Blocks
//===----------------------------------------------------------------------===//

static LogicalResult convertDepthToSpace(Op &op) {
  Tensor x = op.tensor(0);
  int64_t block = op.integer("blocksize");
  if (!x || op.isBad())
    return failure();
  if (x.rank() != 4 || block < 1)
    return op.error("needs a tensor of rank 4 and a positive block size");
  Dims d = x.dims();
  AffineExpr n = op.constant(block), channels = graph::normalize(d[1].floorDiv(block * block));
  bool isColumnFirst = op.text("mode", StringRef("DCR")) == "CRD";
  Tensor split = isColumnFirst ? op.reshape(x, {d[0], channels, n, n, d[2], d[3]})
                               : op.reshape(x, {d[0], n, n, channels, d[2], d[3]});
  Tensor moved = isColumnFirst ? op.permute(split, {0, 1, 4, 2, 5, 3}) : op.permute(split, {0, 3, 4, 1, 5, 2});
  return op.finish(op.reshape(moved, {d[0], channels, d[2] * block, d[3] * block}));
}

static LogicalResult convertSpaceToDepth(Op &op) {
  Tensor x = op.tensor(0);
  int64_t block = op.integer("blocksize");
  if (!x || op.isBad())
    return failure();
  if (x.rank() != 4 || block < 1)
    return op.error("needs a tensor of rank 4 and a positive block size");
  Dims d = x.dims();
  AffineExpr n = op.constant(block), h = graph::normalize(d[2].floorDiv(block)), w = graph::normalize(d[3].floorDiv(block));
  bool isColumnFirst = op.text("mode", StringRef("DCR")) == "CRD";
  Tensor split = op.reshape(x, {d[0], d[1], h, n, w, n});
  Tensor moved = isColumnFirst ? op.permute(split, {0, 1, 3, 5, 2, 4}) : op.permute(split, {0, 3, 5, 1, 2, 4});
  return op.finish(op.reshape(moved, {d[0], d[1] * (block * block), h, w}));
}

static LogicalResult convertIdentity(Op &op) {
  const Datum *value = op.datum(0);
  return value ? op.finish(*value) : failure();
}

void populateLayout(ConverterTable &t) {
  t["Identity"] = convertIdentity;
  t["Reshape"] = convertReshape;
  t["Flatten"] = convertFlatten;
  t["Squeeze"] = convertSqueeze;
  t["Unsqueeze"] = convertUnsqueeze;
  t["Transpose"] = convertTranspose;
  t["Shape"] = convertShape;
  t["Size"] = convertSize;
  t["Concat"] = convertConcat;
  t["Expand"] = convertExpand;
  t["Tile"] = convertTile;
  t["Constant"] = convertConstant;
  t["ConstantOfShape"] = convertConstantOfShape;
  t["Range"] = convertRange;
  t["EyeLike"] = convertEyeLike;
  t["Trilu"] = convertTrilu;
  t["DepthToSpace"] = convertDepthToSpace;
  t["SpaceToDepth"] = convertSpaceToDepth;
}

} // namespace tenon::onnx_import
