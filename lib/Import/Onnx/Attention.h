// Scaled dot-product attention with everything that ONNX operators hang on it.
#ifndef TENON_IMPORT_ONNX_ATTENTION_H
#define TENON_IMPORT_ONNX_ATTENTION_H

#include "Op.h"

namespace tenon::onnx_import {

/// One attention. Query s stands at position s + offset among the keys.
struct AttentionSpec {
  Tensor query, key, value; ///< [B, H, S, D], [B, G, T, D], [B, G, T, E]; H a multiple of G
  Tensor mask;              ///< bool (true: takes part) or added to scores; broadcasts to [B, H, S, T], may end early
  double scale = 1;
  double softcap = 0; ///< 0: none
  bool isCausal = false;
  mlir::AffineExpr offset; ///< null: 0
  Tensor offsets;          ///< [B] integers in place of `offset`
  Tensor lengths;          ///< [B] integers: keys from there on take no part
  int64_t left = -1, right = -1; ///< how far keys may lie from the query; -1: no limit
};

/// What the model wants to see of the scores.
enum class ScoreStage { None, Products, Capped, Biased, Weights };

/// [B, H, S, E] in the query's type, and, unless `stage` is None, scores [B, H, S, T] in that type.
std::pair<Tensor, Tensor> buildAttention(Op &op, AttentionSpec spec, ScoreStage stage);

/// [B, S, H * D] to [B, H, S, D] and back.
Tensor splitHeads(Op &op, Tensor x, int64_t heads);
Tensor joinHeads(Op &op, Tensor x);
/// Pairs of elements of [B, H, S, D] turned by angles; caches [B or 1, S, R / 2] for the first R elements.
Tensor rotate(Op &op, Tensor x, Tensor cosines, Tensor sines, int64_t width, bool isInterleaved);

} // namespace tenon::onnx_import
#endif
