// Convolutions of ONNX, transposed ones too, and Col2Im.
#include "Convolution.h"
#include <numeric>

using namespace mlir;
using tenon::graph::Dims;

namespace tenon::onnx_import {

std::optional<Padding> readPadding(Op &op, Tensor x, ArrayRef<int64_t> window, ArrayRef<int64_t> strides,
                                   ArrayRef<int64_t> dilations) {
  size_t spatial = window.size();
  std::string how = op.text("auto_pad", StringRef("NOTSET"));
  Padding result{SmallVector<int64_t>(spatial, 0), SmallVector<int64_t>(spatial, 0)};
  if (how == "VALID")
    return result;
  if (how == "NOTSET" || how.empty()) {
    SmallVector<int64_t> pads = op.integersOf("pads", 2 * spatial, 0);
    if (op.isBad())
      return std::nullopt;
    result.low.assign(pads.begin(), pads.begin() + spatial);
    result.high.assign(pads.begin() + spatial, pads.end());
    return result;
  }
  if (how != "SAME_UPPER" && how != "SAME_LOWER")
    return (void)op.error("has auto_pad '" + how + "', which is unknown"), std::nullopt;
  for (size_t i = 0; i < spatial; ++i) {
    int64_t reach = (window[i] - 1) * dilations[i] + 1, total = reach - 1;
    if (strides[i] != 1) {
      std::optional<int64_t> size = graph::asConstant(x.dim(i + 2));
      if (!size)
        return (void)op.unsupported("with auto_pad and a stride over a symbolic size"), std::nullopt;
      int64_t count = (*size + strides[i] - 1) / strides[i];
      total = std::max<int64_t>((count - 1) * strides[i] + reach - *size, 0);
    }
    int64_t half = total / 2;
    result.low[i] = how == "SAME_UPPER" ? half : total - half;
    result.high[i] = total - result.low[i];
  }
  return result;
}

Tensor convolution(Op &op, Tensor x, Tensor filter, Tensor bias) {
  if (!x || !filter)
    return {};
  int64_t spatial = filter.rank() - 2, groups = op.integer("group", 1);
  if (spatial < 1 || x.rank() != filter.rank())
    return op.errorTensor("has an input and a filter of ranks " + Twine(x.rank()) + " and " + Twine(filter.rank()));
  SmallVector<int64_t> window;
  for (AffineExpr size : ArrayRef(filter.dims()).drop_front(2))
    window.push_back(graph::asConstant(size).value_or(0));
  SmallVector<int64_t> strides = op.integersOf("strides", spatial, 1), dilations = op.integersOf("dilations", spatial, 1);
  if (op.isBad())
    return {};
  auto isPositive = [](int64_t v) { return v > 0; };
  if (!llvm::all_of(window, isPositive) || !llvm::all_of(strides, isPositive) || !llvm::all_of(dilations, isPositive))
    return op.unsupportedTensor("with a window, stride or dilation that is symbolic or not positive");
  std::optional<Padding> padding = readPadding(op, x, window, strides, dilations);
  if (!padding)
    return {};
  return convolve(op, x, filter, bias,
                  {strides, padding->low, padding->high, dilations, SmallVector<int64_t>(spatial, 1), groups});
}

static LogicalResult convertConv(Op &op) {
  Tensor x = op.tensor(0), filter = op.tensor(1), bias = op.optionalTensor(2);
  return op.isBad() ? failure() : op.finish(convolution(op, x, filter, bias));
}

//===----------------------------------------------------------------------===//
// Transposed
//===----------------------------------------------------------------------===//

static LogicalResult convertConvTranspose(Op &op) {
  Tensor x = op.tensor(0), filter = op.tensor(1), bias = op.optionalTensor(2);
  if (op.isBad())
    return failure();
  int64_t spatial = filter.rank() - 2, groups = op.integer("group", 1);
  if (spatial < 1 || x.rank() != filter.rank())
    return op.error("has an input and a filter of ranks " + Twine(x.rank()) + " and " + Twine(filter.rank()));
  SmallVector<int64_t> window, strides = op.integersOf("strides", spatial, 1),
                               dilations = op.integersOf("dilations", spatial, 1),
                               extra = op.integersOf("output_padding", spatial, 0), pads = op.integersOf("pads", 2 * spatial, 0),
                               wanted = op.integerList("output_shape");
  for (AffineExpr size : ArrayRef(filter.dims()).drop_front(2))
    window.push_back(graph::asConstant(size).value_or(0));
  auto isPositive = [](int64_t v) { return v > 0; };
  if (op.isBad())
    return failure();
  if (!llvm::all_of(window, isPositive) || !llvm::all_of(strides, isPositive) || !llvm::all_of(dilations, isPositive))
    return op.unsupported("with a window, stride or dilation that is symbolic or not positive");
  std::optional<int64_t> channels = graph::asConstant(x.dim(1)), own = graph::asConstant(filter.dim(0)),
                         each = graph::asConstant(filter.dim(1));
  if (!channels || !own || !each || groups < 1 || *channels != *own || *channels % groups != 0)
    return op.error("has an input and a filter whose channels do not fit " + Twine(groups) + " groups");
  std::string how = op.text("auto_pad", StringRef("NOTSET"));
  bool isSame = how == "SAME_UPPER" || how == "SAME_LOWER";
  // Some models give the whole shape.
  if (static_cast<int64_t>(wanted.size()) == spatial + 2)
    wanted.erase(wanted.begin(), wanted.begin() + 2);
  if (!wanted.empty() && static_cast<int64_t>(wanted.size()) != spatial)
    return op.error("has an output_shape of " + Twine(wanted.size()) + " numbers");
  ConvGeometry g{SmallVector<int64_t>(spatial, 1), {}, {}, dilations, strides, groups};
  for (int64_t i = 0; i < spatial; ++i) {
    int64_t reach = (window[i] - 1) * dilations[i], before = how == "VALID" ? 0 : pads[i],
            after = how == "VALID" ? 0 : pads[spatial + i];
    AffineExpr in = x.dim(i + 2), natural = graph::normalize((in - 1) * strides[i] + (extra[i] + reach + 1));
    if (isSame || !wanted.empty()) {
      // Padding is what is left over.
      AffineExpr left = wanted.empty() ? graph::normalize(natural - in * strides[i]) : graph::normalize(natural - wanted[i]);
      std::optional<int64_t> total = graph::asConstant(left);
      if (!total)
        return op.unsupported("with an output_shape over a symbolic size");
      int64_t cut = std::max<int64_t>(*total, 0);
      before = how == "SAME_UPPER" ? cut / 2 : cut - cut / 2;
      after = *total - before;
    }
    g.low.push_back(reach - before);
    g.high.push_back(reach - after + extra[i]);
  }
  return op.finish(convolve(op, x, transposeFilter(op, filter, groups), bias, g));
}

//===----------------------------------------------------------------------===//
// Col2Im
//===----------------------------------------------------------------------===//

namespace {
/// Columns of blocks that are added up to an image.
struct Blocks {
  SmallVector<int64_t> image, block, counts, strides, dilations, pads;
};
} // namespace

static Tensor addBlocks(Op &op, Tensor x, int64_t channels, const Blocks &g) {
  int64_t spatial = g.image.size();
  Dims split{x.dim(0), op.constant(channels)}, padded = split;
  SmallVector<Operand> indices;
  SmallVector<int64_t> coords{0, 1};
  for (int64_t size : g.block)
    split.push_back(op.constant(size));
  for (int64_t i = 0; i < spatial; ++i) {
    split.push_back(op.constant(g.counts[i]));
    padded.push_back(op.constant(g.image[i] + g.pads[i] + g.pads[spatial + i]));
    Tensor at = op.generate(ScalarType::Long, ScalarType::Long, {op.constant(g.block[i]), op.constant(g.counts[i])},
                            [&](Scalars &s, ValueRange) {
                              return s.add(s.mul(op.index(s, 0), s.integer(g.dilations[i])),
                                           s.mul(op.index(s, 1), s.integer(g.strides[i])));
                            });
    indices.push_back(Operand(at, {i + 2, i + 2 + spatial}));
    coords.push_back(-i - 1);
  }
  Tensor y = op.scatter(graph::ScatterKind::Sum, op.reshape(x, split), op.full(padded, x.dtype, 0), indices, coords);
  for (int64_t i = 0; i < spatial && y; ++i)
    y = op.slice(y, i + 2, op.constant(g.pads[i]), op.constant(g.image[i]));
  return y;
}

static LogicalResult convertCol2Im(Op &op) {
  Tensor x = op.tensor(0);
  if (!x)
    return failure();
  std::optional<SmallVector<int64_t>> image = op.integers(1), block = op.integers(2);
  std::optional<int64_t> rows = x.rank() == 3 ? graph::asConstant(x.dim(1)) : std::nullopt,
                         columns = x.rank() == 3 ? graph::asConstant(x.dim(2)) : std::nullopt;
  if (!rows || !columns)
    return op.unsupported("of another rank than 3 or with symbolic blocks");
  if (!image) {
    std::optional<Dims> declared = op.declaredDimsOr(0, "an input with the image's shape");
    if (!declared || declared->size() < 3)
      return op.isBad() ? failure() : op.error("is declared with rank " + Twine(declared->size()));
    image = SmallVector<int64_t>();
    for (AffineExpr size : ArrayRef(*declared).drop_front(2))
      image->push_back(graph::asConstant(size).value_or(-1));
  }
  int64_t spatial = image->size();
  Blocks g{*image, {}, {}, op.integersOf("strides", spatial, 1), op.integersOf("dilations", spatial, 1),
           op.integersOf("pads", 2 * spatial, 0)};
  if (op.isBad() || llvm::is_contained(*image, -1))
    return op.isBad() ? failure() : op.unsupported("to an image of symbolic sizes");
  auto fits = [&](ArrayRef<int64_t> sizes) {
    int64_t taps = 1, places = 1;
    g.counts.clear();
    for (int64_t i = 0; i < spatial; ++i) {
      int64_t span = g.image[i] + g.pads[i] + g.pads[spatial + i] - g.dilations[i] * (sizes[i] - 1) - 1;
      taps *= sizes[i];
      g.counts.push_back(span < 0 ? 0 : span / g.strides[i] + 1);
      places *= g.counts.back();
    }
    g.block.assign(sizes.begin(), sizes.end());
    return taps > 0 && *rows % taps == 0 && places == *columns;
  };
  if (block) {
    if (static_cast<int64_t>(block->size()) != spatial || !fits(*block))
      return op.error("has blocks that do not fit its image");
    return op.finish(addBlocks(op, x, *rows / std::accumulate(block->begin(), block->end(), int64_t(1), std::multiplies<>()), g));
  }
  // The blocks are known only when the model runs: all that fit are computed, and the input chooses.
  std::optional<Dims> declared = op.declaredDims();
  std::optional<int64_t> channels = declared && declared->size() > 2 ? graph::asConstant((*declared)[1]) : std::nullopt;
  Tensor given = op.tensor(2);
  if (!channels || *channels < 1 || *rows % *channels != 0 || !given)
    return op.isBad() ? failure() : op.unsupported("with blocks that are known only when the model runs");
  int64_t taps = *rows / *channels, radix = taps + 1;
  SmallVector<std::pair<int64_t, Tensor>> choices;
  SmallVector<int64_t> sizes(spatial, 1);
  auto visit = [&](auto &&self, int64_t i, int64_t left, int64_t code) -> void {
    if (i == spatial) {
      if (left == 1 && fits(sizes))
        choices.push_back({code, addBlocks(op, x, *channels, g)});
      return;
    }
    for (int64_t size = 1; size <= left; ++size)
      if (left % size == 0) {
        sizes[i] = size;
        self(self, i + 1, left / size, code * radix + size);
      }
  };
  visit(visit, 0, taps, 0);
  if (choices.empty())
    return op.error("is declared with sizes that no blocks give");
  SmallVector<Operand> each;
  for (int64_t i = 0; i < spatial; ++i)
    each.push_back(op.select(given, 0, op.constant(i)));
  Tensor code = op.map(ScalarType::Long, ScalarType::Long, each, [&](Scalars &s, ValueRange v) {
    Value sum = s.integer(0);
    for (Value size : v)
      sum = s.add(s.mul(sum, s.integer(radix)), size);
    return sum;
  });
  return op.finish(op.choose(code, choices));
}

void populateConvolution(ConverterTable &t) {
  t["Conv"] = convertConv;
  t["ConvTranspose"] = convertConvTranspose;
  t["Col2Im"] = convertCol2Im;
}

} // namespace tenon::onnx_import
