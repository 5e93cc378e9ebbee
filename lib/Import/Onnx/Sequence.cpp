// Sequences and optionals. Both exist while importing only: their lengths are known, their elements are ordinary values.
#include "Importer.h"
#include "Slicing.h"

using namespace mlir;
using tenon::graph::Dims;

namespace tenon::onnx_import {

using Elements = std::vector<Datum>;

static Datum sequenceOf(Elements elements) {
  return Datum{.sequence = std::make_shared<const Elements>(std::move(elements))};
}

static const Elements *readSequence(Op &op, unsigned i) {
  const Datum *value = op.datum(i);
  if (!value || !value->sequence) {
    if (value)
      (void)op.error("needs a sequence as its input " + Twine(i));
    return nullptr;
  }
  return value->sequence.get();
}

/// A position that is known, from the end when negative; reports it otherwise. `count` positions are valid.
static std::optional<int64_t> readPosition(Op &op, unsigned i, int64_t length, int64_t count) {
  std::optional<SmallVector<int64_t>> at = op.integers(i);
  if (!at || at->size() != 1) {
    (void)op.unsupported("with a position that is known only when the model runs");
    return std::nullopt;
  }
  int64_t position = (*at)[0] < 0 ? (*at)[0] + length : (*at)[0];
  if (position < 0 || position >= count) {
    (void)op.error("names position " + Twine((*at)[0]) + " of a sequence of length " + Twine(length));
    return std::nullopt;
  }
  return position;
}

static LogicalResult convertConstruct(Op &op) {
  Elements elements;
  for (unsigned i = 0; i < op.numInputs(); ++i) {
    const Datum *value = op.datum(i);
    if (!value)
      return failure();
    elements.push_back(*value);
  }
  return op.finish(sequenceOf(std::move(elements)));
}

static LogicalResult convertAt(Op &op) {
  const Elements *elements = readSequence(op, 0);
  if (!elements)
    return failure();
  int64_t length = elements->size();
  if (op.integers(1)) {
    std::optional<int64_t> position = readPosition(op, 1, length, length);
    return position ? op.finish((*elements)[*position]) : failure();
  }
  // Elements of one type: the position chooses among them.
  Tensor position = op.tensor(1);
  if (!position || elements->empty())
    return op.isBad() ? failure() : op.error("reads from an empty sequence");
  SmallVector<std::pair<int64_t, Tensor>> choices;
  for (auto [i, element] : llvm::enumerate(*elements)) {
    choices.push_back({static_cast<int64_t>(i), op.materialize(element)});
    if (!choices.back().second)
      return failure();
    if (choices.back().second.value.getType() != choices[0].second.value.getType())
      return op.unsupported("with a position that is known only when the model runs");
  }
  return op.finish(op.choose(op.wrapIndices(op.reshape(position, {}), op.constant(length)), choices));
}

static LogicalResult convertInsert(Op &op) {
  const Elements *elements = readSequence(op, 0);
  const Datum *value = op.datum(1);
  if (!elements || !value)
    return failure();
  Elements result = *elements;
  int64_t length = result.size();
  std::optional<int64_t> position = op.has(2) ? readPosition(op, 2, length, length + 1) : length;
  if (!position)
    return failure();
  result.insert(result.begin() + *position, *value);
  return op.finish(sequenceOf(std::move(result)));
}

static LogicalResult convertErase(Op &op) {
  const Elements *elements = readSequence(op, 0);
  if (!elements)
    return failure();
  Elements result = *elements;
  int64_t length = result.size();
  std::optional<int64_t> position = op.has(1) ? readPosition(op, 1, length, length) : length - 1;
  if (!position)
    return failure();
  if (length == 0)
    return op.error("erases from an empty sequence");
  result.erase(result.begin() + *position);
  return op.finish(sequenceOf(std::move(result)));
}

static LogicalResult convertLength(Op &op) {
  const Elements *elements = readSequence(op, 0);
  if (!elements)
    return failure();
  auto known = std::make_shared<Known>();
  known->dtype = ScalarType::Long;
  known->ints.push_back(op.constant(elements->size()));
  return op.finish(known);
}

static LogicalResult convertSplitToSequence(Op &op) {
  Tensor x = op.tensor(0);
  if (!x)
    return failure();
  int64_t dim = op.dim("axis", x.rank(), 0);
  if (op.isBad())
    return failure();
  AffineExpr whole = x.dim(dim);
  std::optional<int64_t> size = graph::asConstant(whole);
  Dims parts;
  bool keeps = op.has(1) || op.integer("keepdims", 1) != 0;
  KnownRef split = op.known(1);
  std::optional<SmallVector<int64_t>> sizes = op.integers(1);
  if (op.has(1) && !sizes) {
    std::optional<Dims> found = foundParts(op, op.tensor(1), whole);
    if (!found)
      return failure();
    parts = *found;
  } else if (op.has(1) && !split->shape.empty()) {
    parts = op.constants(*sizes);
  } else {
    int64_t step = sizes ? (*sizes)[0] : 1;
    if (!size)
      return op.unsupported("along a symbolic size into parts of one size", "say how large each part is");
    if (step < 1)
      return op.error("splits into parts of size " + Twine(step));
    for (int64_t at = 0; at < *size; at += step)
      parts.push_back(op.constant(std::min(step, *size - at)));
  }
  AffineExpr offset = op.constant(0);
  SmallVector<AffineExpr> offsets;
  for (AffineExpr part : parts) {
    if (graph::asConstant(part).value_or(0) < 0)
      return op.error("has a part of negative size");
    offsets.push_back(offset);
    offset = graph::normalize(offset + part);
  }
  bool isFound = op.has(1) && !sizes; // what is found was checked
  if (std::optional<int64_t> left = graph::asConstant(graph::normalize(whole - offset)); left && *left != 0)
    return op.error("has parts that do not add up to the size that is split");
  Dims dims = x.dims();
  dims[dim] = offset;
  x = isFound ? x : op.withDims(x, dims);
  Elements elements;
  for (auto [part, at] : llvm::zip(parts, offsets)) {
    Tensor piece = op.slice(x, dim, at, part);
    elements.push_back(Datum{.tensor = keeps ? piece : op.squeeze(piece, {dim})});
  }
  return op.isBad() ? failure() : op.finish(sequenceOf(std::move(elements)));
}

static LogicalResult convertConcatFromSequence(Op &op) {
  const Elements *elements = readSequence(op, 0);
  if (!elements)
    return failure();
  if (elements->empty())
    return op.error("joins nothing");
  bool isNew = op.integer("new_axis", 0) != 0;
  Tensors parts;
  for (const Datum &element : *elements) {
    parts.push_back(op.materialize(element));
    if (!parts.back())
      return failure();
  }
  int64_t dim = op.dim("axis", parts[0].rank() + (isNew ? 1 : 0));
  if (op.isBad())
    return failure();
  if (isNew)
    for (Tensor &part : parts)
      part = op.unsqueeze(part, dim);
  return op.finish(op.concat(parts, dim));
}

static LogicalResult convertMap(Op &op) {
  const Elements *first = readSequence(op, 0);
  const onnx::AttributeProto *body = op.attribute("body");
  if (!first || !body || !body->has_g())
    return op.isBad() ? failure() : op.error("needs a graph 'body'");
  SmallVector<Elements> results(op.numOutputs());
  for (size_t k = 0; k < first->size(); ++k) {
    std::vector<Datum> inputs;
    for (unsigned i = 0; i < op.numInputs(); ++i) {
      const Datum *value = op.datum(i);
      if (!value)
        return failure();
      if (value->sequence && value->sequence->size() != first->size())
        return op.error("has sequences of different length");
      inputs.push_back(value->sequence ? (*value->sequence)[k] : *value);
    }
    auto given = op.importer.importGraph(op, body->g(), inputs);
    if (!given)
      return failure();
    if (given->size() < results.size())
      return op.error("has a body that gives too little");
    for (auto [result, value] : llvm::zip(results, *given))
      result.push_back(value);
  }
  SmallVector<Datum> all;
  for (Elements &result : results)
    all.push_back(sequenceOf(std::move(result)));
  return op.finish(ArrayRef<Datum>(all));
}

static LogicalResult convertOptional(Op &op) {
  if (op.numInputs() == 0 || !op.has(0))
    return op.finish(Datum{.isNothing = true});
  Datum value = *op.datum(0);
  value.isOptionalInput = false;
  return op.finish(value);
}

static LogicalResult convertOptionalGetElement(Op &op) {
  const Datum *value = op.datum(0);
  if (!value)
    return failure();
  if (value->isNothing)
    return op.error("reads an optional that has no value");
  Datum result = *value;
  result.isOptionalInput = false;
  return op.finish(result);
}

static LogicalResult convertOptionalHasElement(Op &op) {
  if (const Datum *value = op.numInputs() > 0 && op.has(0) ? op.datum(0) : nullptr; value && value->isOptionalInput)
    return op.unsupported("of an input that may be missing", "make a model for each case");
  auto known = std::make_shared<Known>();
  known->dtype = ScalarType::Bool;
  known->ints.push_back(op.constant(op.numInputs() > 0 && op.has(0)));
  return op.finish(known);
}

void populateSequence(ConverterTable &t) {
  t["SequenceEmpty"] = [](Op &op) { return op.finish(sequenceOf({})); };
  t["SequenceConstruct"] = convertConstruct;
  t["SequenceAt"] = convertAt;
  t["SequenceInsert"] = convertInsert;
  t["SequenceErase"] = convertErase;
  t["SequenceLength"] = convertLength;
  t["SplitToSequence"] = convertSplitToSequence;
  t["ConcatFromSequence"] = convertConcatFromSequence;
  t["SequenceMap"] = convertMap;
  t["Optional"] = convertOptional;
  t["OptionalGetElement"] = convertOptionalGetElement;
  t["OptionalHasElement"] = convertOptionalHasElement;
}

} // namespace tenon::onnx_import
