// Rotary embeddings of positions.
#include "Attention.h"

using namespace mlir;
using tenon::graph::Dims;

namespace tenon::onnx_import {

Tensor rotate(Op &op, Tensor x, Tensor cosines, Tensor sines, int64_t width, bool isInterleaved) {
  if (!x || !cosines || !sines)
    return {};
  std::optional<int64_t> size = graph::asConstant(x.dim(3));
  if (!size || width < 2 || width % 2 || width > *size)
    return op.errorTensor("rotates " + Twine(width) + " elements of each head");
  ScalarType type = x.dtype, work = computeType(type);
  int64_t half = width / 2;
  Tensor part = op.slice(x, 3, op.constant(0), op.constant(width));
  // [B, H, S, half] twice: the elements of each pair.
  auto member = [&](int64_t which) {
    return isInterleaved ? op.slice(part, 3, op.constant(which), op.constant(half), 2)
                         : op.slice(part, 3, op.constant(which * half), op.constant(half));
  };
  Tensor first = member(0), second = member(1);
  auto turn = [&](bool isFirst) -> Tensor {
    Operand c(cosines, {0, 2, 3}), n(sines, {0, 2, 3});
    return op.map(type, work, {first, second, c, n}, [&](Scalars &s, ValueRange v) {
      return isFirst ? s.sub(s.mul(v[2], v[0]), s.mul(v[3], v[1])) : s.add(s.mul(v[3], v[0]), s.mul(v[2], v[1]));
    });
  };
  Tensor real = turn(true), imaginary = turn(false);
  if (!real || !imaginary)
    return {};
  Tensor turned = isInterleaved ? op.flatten(op.concat({op.unsqueeze(real, 4), op.unsqueeze(imaginary, 4)}, 4), 3, 4)
                                : op.concat({real, imaginary}, 3);
  if (width == *size)
    return turned;
  return op.concat({turned, op.slice(x, 3, op.constant(width), op.constant(*size - width))}, 3);
}

/// Caches at the positions: [B, S, half] from a table [positions, half].
static Tensor lookUp(Op &op, Tensor cache, Tensor positions) { return op.take(cache, positions, 0); }

static LogicalResult convertRotaryEmbedding(Op &op) {
  Tensor x = op.tensor(0), cosines = op.tensor(1), sines = op.tensor(2), positions = op.optionalTensor(3);
  if (op.isBad())
    return failure();
  int64_t rank = x.rank();
  if (rank != 3 && rank != 4)
    return op.error("needs an input of rank 3 or 4");
  Tensor heads = rank == 3 ? splitHeads(op, x, op.integer("num_heads", 0)) : x;
  if (!heads)
    return failure();
  if (positions) {
    cosines = lookUp(op, cosines, positions);
    sines = lookUp(op, sines, positions);
  }
  if (op.isBad() || cosines.rank() != 3 || sines.rank() != 3)
    return op.isBad() ? failure() : op.error("needs caches that fit its positions");
  int64_t width = op.integer("rotary_embedding_dim", 0);
  if (width == 0)
    width = graph::asConstant(heads.dim(3)).value_or(0);
  Tensor result = rotate(op, heads, cosines, sines, width, op.integer("interleaved", 0) != 0);
  return op.finish(rank == 3 ? joinHeads(op, result) : result);
}

/// com.microsoft: positions come before the caches, and may be one start for all.
static LogicalResult convertMicrosoftRotary(Op &op) {
  Tensor x = op.tensor(0), positions = op.tensor(1), cosines = op.tensor(2), sines = op.tensor(3);
  if (op.isBad())
    return failure();
  int64_t rank = x.rank(), heads = op.integer("num_heads", 0), width = op.integer("rotary_embedding_dim", 0);
  if (rank != 3 && rank != 4)
    return op.error("needs an input of rank 3 or 4");
  if (rank == 3 && heads == 0) {
    std::optional<int64_t> half = graph::asConstant(cosines.dim(1)), hidden = graph::asConstant(x.dim(2));
    if (!half || !hidden || *half == 0)
      return op.unsupported("over symbolic widths of heads");
    heads = *hidden / (2 * *half);
  }
  Tensor split = rank == 3 ? splitHeads(op, x, heads) : x;
  if (!split)
    return failure();
  if (positions.rank() <= 1) {
    // One start: positions are start, start + 1, …
    Tensor start = op.reshape(op.convert(positions, ScalarType::Long), {});
    positions = op.map(
        ScalarType::Long, ScalarType::Long, {start},
        [&](Scalars &s, ValueRange v) { return s.add(v[0], op.index(s, 1)); }, ScalarType::Unknown,
        Dims{op.constant(1), split.dim(2)});
  }
  if (width == 0)
    width = 2 * graph::asConstant(cosines.dim(1)).value_or(0);
  Tensor result = rotate(op, split, lookUp(op, cosines, positions), lookUp(op, sines, positions), width,
                         op.integer("interleaved", 0) != 0);
  return op.finish(rank == 3 ? joinHeads(op, result) : result);
}

void populateRotary(ConverterTable &t) {
  t["RotaryEmbedding"] = convertRotaryEmbedding;
  t["com.microsoft.RotaryEmbedding"] = convertMicrosoftRotary;
}

} // namespace tenon::onnx_import
