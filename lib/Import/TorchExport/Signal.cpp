// Short-time Fourier transforms and windows.
#include "Fourier.h"

using namespace mlir;
using tenon::graph::Dims;

namespace tenon::torch_export {

static constexpr ScalarType kLong = ScalarType::Long;

//===----------------------------------------------------------------------===//
// Windows
//===----------------------------------------------------------------------===//

/// A window by the angle of each position, 0 to 2 pi; a periodic one lacks its last position.
static Convert window(std::function<Value(Op &, Scalars &, Value angle)> body) {
  return [body](Op &op) -> LogicalResult {
    AffineExpr length = op.size("window_length");
    bool isPeriodic = op.flag("periodic", true);
    ScalarType type = op.resultDtype();
    if (op.isBad())
      return failure();
    Tensor y = op.generate(type, ScalarType::Double, {length}, [&](Scalars &s, ValueRange) {
      Value steps = op.sizeValue(s, isPeriodic ? length : graph::normalize(length - 1)), one = s.number(1);
      Scalars ints(s.b, s.loc, kLong);
      Value position = s.convert(op.index(ints, 0), kLong, ScalarType::Double);
      Value angle = s.mul(s.div(position, s.max(steps, one)), s.number(2 * M_PI));
      Value isSingle = s.compare(Compare::Eq, op.sizeValue(s, length), one);
      return s.select(isSingle, one, body(op, s, angle));
    });
    return op.finish(y);
  };
}

static Value cosineOf(Scalars &s, Value angle, double times) {
  return s.make<math::CosOp>(s.mul(angle, s.number(times)));
}

//===----------------------------------------------------------------------===//
// Frames
//===----------------------------------------------------------------------===//

/// What both directions read.
struct Frames {
  int64_t size = 0, hop = 0;
  Tensor window; ///< of `size` elements of type `part`; null: all ones
  ScalarType part = ScalarType::Float;
};

static ScalarType partOf(ScalarType type) {
  return type == ScalarType::Double || type == ScalarType::ComplexDouble ? ScalarType::Double : ScalarType::Float;
}

/// `signal` tells the type.
static Frames readFrames(Op &op, Tensor signal) {
  Frames f;
  f.size = op.integer("n_fft");
  f.hop = op.has("hop_length") ? op.integer("hop_length") : f.size / 4;
  int64_t width = op.has("win_length") ? op.integer("win_length") : f.size;
  f.window = op.optionalTensor("window");
  if (op.isBad())
    return f;
  f.part = partOf(signal.dtype);
  if (f.size < 1 || f.hop < 1 || width < 1 || width > f.size)
    return (void)op.error("has frames, hops or windows that do not fit"), f;
  if (f.window && isComplex(f.window.dtype))
    return (void)op.unsupported("with a complex window"), f;
  if (!f.window && width < f.size)
    f.window = op.full({op.constant(width)}, f.part, 1);
  if (f.window) {
    AffineExpr low = op.constant((f.size - width) / 2), high = op.constant(f.size - width - (f.size - width) / 2);
    f.window = op.pad(op.convert(f.window, f.part), {low}, {high}, 0);
  }
  return f;
}

static Tensor times(Op &op, Tensor x, Operand factor) {
  return op.map(x.dtype, x.dtype, {x, factor}, [](Scalars &s, ValueRange v) { return s.mul(v[0], v[1]); });
}

/// stft(self, n_fft, …): [batch,] frequencies, frames.
static LogicalResult convertStft(Op &op) {
  Tensor x = op.tensor("self");
  if (!x || x.rank() < 1 || x.rank() > 2 || op.flag("center", false) || op.flag("align_to_window", false))
    return op.isBad() ? failure() : op.unsupported("of this form", "call torch.stft, which pads by itself");
  bool isSingle = x.rank() == 1, isReal = !isComplex(x.dtype);
  if (isSingle)
    x = op.unsqueeze(x, 0);
  Frames f = readFrames(op, x);
  if (op.isBad())
    return failure();
  AffineExpr count = graph::normalize((x.dim(1) - f.size).floorDiv(f.hop) + 1), size = op.constant(f.size);
  Tensor position = op.generate(kLong, kLong, {count, size}, [&](Scalars &s, ValueRange) {
    return s.add(s.mul(op.index(s, 0), s.integer(f.hop)), op.index(s, 1));
  });
  Tensor frames = op.gather(x, {Operand(position, {1, 2})}, {0, -1}, {x.dim(0), count, size});
  if (!frames)
    return failure();
  if (f.window && isReal)
    frames = times(op, op.convert(frames, f.part), Operand(f.window, 2));
  else if (f.window)
    frames = times(op, frames, Operand(op.convert(f.window, frames.dtype), 2));
  Complex spectrum = transformComplex(op, frames, {2}, op.flag("normalized", false), true, op.flag("onesided", isReal));
  ScalarType type = op.resultDtype();
  Tensor y;
  if (isComplex(type)) {
    y = joinComplex(op, spectrum, type);
  } else {
    Tensors parts{op.unsqueeze(spectrum.re, 3), op.unsqueeze(spectrum.im, 3)};
    y = op.isBad() ? Tensor() : op.concat(parts, 3);
  }
  if (!y)
    return failure();
  y = op.transpose(y, 1, 2);
  return op.finish(isSingle ? op.squeeze(y, {0}) : y);
}

/// The sum of frames that begin `hop` apart: of each place over the frames that have it. x is [batch, frames, size], or
/// [size] when all frames are the same.
static Tensor overlap(Op &op, Tensor x, AffineExpr frames, const Frames &f, AffineExpr total) {
  if (!x)
    return {};
  bool isSame = x.rank() == 1;
  AffineExpr most = op.constant((f.size + f.hop - 1) / f.hop);
  // Of place p, the o-th frame counted back from the last that begins at or before it.
  auto frameOf = [&](Scalars &s) { return s.sub(s.truncDiv(op.index(s, isSame ? 0 : 1), s.integer(f.hop)),
                                                op.index(s, isSame ? 1 : 2)); };
  auto isThere = [&](Scalars &s, Value frame, Value within) {
    Value inFrames = s.both(s.compare(Compare::Ge, frame, s.integer(0)),
                            s.compare(Compare::Lt, frame, op.sizeValue(s, frames)));
    return s.both(inFrames, s.compare(Compare::Lt, within, s.integer(f.size)));
  };
  auto position = [&](bool wantsFrame) {
    return op.generate(kLong, kLong, {total, most}, [&](Scalars &s, ValueRange) {
      Value p = op.index(s, 0), frame = s.sub(s.truncDiv(p, s.integer(f.hop)), op.index(s, 1));
      Value within = s.sub(p, s.mul(frame, s.integer(f.hop)));
      return s.select(isThere(s, frame, within), wantsFrame ? frame : within, s.integer(0));
    });
  };
  Dims dims = isSame ? Dims{total, most} : Dims{x.dim(0), total, most};
  Tensor parts;
  if (isSame)
    parts = op.gather(x, {position(false)}, {-1}, dims);
  else
    parts = op.gather(x, {Operand(position(true), {1, 2}), Operand(position(false), {1, 2})}, {0, -1, -2}, dims);
  parts = op.map(x.dtype, x.dtype, {parts}, [&](Scalars &s, ValueRange v) {
    Scalars ints(s.b, s.loc, kLong);
    Value p = op.index(ints, isSame ? 0 : 1), frame = frameOf(ints);
    Value within = ints.sub(p, ints.mul(frame, ints.integer(f.hop)));
    return s.select(isThere(ints, frame, within), v[0], s.number(0));
  });
  return parts ? op.reduce(graph::ReduceKind::Sum, parts, {static_cast<int64_t>(dims.size()) - 1}) : Tensor();
}

static LogicalResult convertInverseStft(Op &op) {
  Tensor x = op.tensor("self");
  if (!x || !isComplex(x.dtype) || x.rank() < 2 || x.rank() > 3)
    return op.isBad() ? failure() : op.unsupported("of what is no spectrum of complex numbers");
  bool isSingle = x.rank() == 2;
  if (isSingle)
    x = op.unsqueeze(x, 0);
  Frames f = readFrames(op, x);
  bool isCentered = op.flag("center", true), givesComplex = op.flag("return_complex", false);
  std::optional<int64_t> bins = graph::asConstant(x.dim(1));
  if (op.isBad() || !bins)
    return op.isBad() ? failure() : op.unsupported("of a symbolic number of frequencies");
  bool isOneSided = op.flag("onesided", *bins != f.size);
  if (givesComplex && isOneSided)
    return op.error("gives complex numbers of one half of a spectrum");
  AffineExpr count = x.dim(2), total = graph::normalize((count - 1) * f.hop + f.size);
  int64_t normalization = op.flag("normalized", false) ? 1 : 2;
  Tensor spectrum = op.transpose(x, 1, 2);
  Complex frames;
  if (isOneSided)
    frames.re = transformToReal(op, spectrum, {2}, normalization, op.constant(f.size), false);
  else
    frames = transformComplex(op, spectrum, {2}, normalization, false, false);
  Tensor window = f.window ? f.window : op.full({op.constant(f.size)}, f.part, 1);
  Tensor weight = overlap(op, times(op, window, window), count, f, total);
  // What is asked for: without the padding in front, of the length that is given.
  AffineExpr begin = op.constant(isCentered ? f.size / 2 : 0), rest = graph::normalize(total - begin);
  AffineExpr length = op.has("length") ? op.size("length") : graph::normalize(rest - (isCentered ? f.size / 2 : 0));
  if (op.isBad())
    return failure();
  AffineExpr kept = op.isLessEqual(length, rest).value_or(true) ? length : rest;
  auto assemble = [&](Tensor part) -> Tensor {
    if (!part)
      return {};
    Tensor sum = overlap(op, times(op, part, Operand(window, 2)), count, f, total);
    Tensor y = op.map(f.part, f.part, {sum, Operand(weight, 1)},
                      [](Scalars &s, ValueRange v) { return s.div(v[0], v[1]); });
    y = op.slice(y, 1, begin, kept);
    if (kept != length)
      y = op.pad(y, op.constants({0, 0}), {op.constant(0), graph::normalize(length - kept)}, 0);
    return isSingle && y ? op.squeeze(y, {0}) : y;
  };
  Tensor re = assemble(frames.re);
  if (!givesComplex)
    return op.finish(op.convert(re, op.resultDtype()));
  return op.finish(joinComplex(op, {re, assemble(frames.im)}, op.resultDtype()));
}

//===----------------------------------------------------------------------===//
// Orders of frequencies
//===----------------------------------------------------------------------===//

/// fftshift, ifftshift: the middle comes first, or goes back.
static Convert shift(bool isInverse) {
  return [isInverse](Op &op) -> LogicalResult {
    Tensor x = op.tensor("self");
    if (!x)
      return failure();
    SmallVector<int64_t> dims = op.integers("dim", SmallVector<int64_t>());
    if (dims.empty())
      dims = upTo(x.rank());
    for (int64_t given : dims) {
      int64_t dim = op.wrapDim(given, x.rank());
      if (op.isBad())
        return failure();
      AffineExpr size = x.dim(dim);
      AffineExpr back = graph::normalize(isInverse ? size.ceilDiv(2) : size.floorDiv(2));
      AffineExpr front = graph::normalize(size - back);
      x = op.concat({op.slice(x, dim, front, back), op.slice(x, dim, op.constant(0), front)}, dim);
    }
    return op.finish(x);
  };
}

void populateSignal(ConverterTable &t) {
  t["aten.stft"] = convertStft;
  t["aten.istft"] = convertInverseStft;
  t["aten.hann_window"] = window([](Op &, Scalars &s, Value angle) {
    return s.sub(s.number(0.5), s.mul(s.number(0.5), cosineOf(s, angle, 1)));
  });
  t["aten.hamming_window"] = window([](Op &op, Scalars &s, Value angle) {
    return s.sub(s.number(op.number("alpha", 0.54)), s.mul(s.number(op.number("beta", 0.46)), cosineOf(s, angle, 1)));
  });
  t["aten.blackman_window"] = window([](Op &, Scalars &s, Value angle) {
    Value y = s.sub(s.number(0.42), s.mul(s.number(0.5), cosineOf(s, angle, 1)));
    return s.add(y, s.mul(s.number(0.08), cosineOf(s, angle, 2)));
  });
  t["aten.bartlett_window"] = window([](Op &, Scalars &s, Value angle) {
    return s.sub(s.number(1), s.abs(s.sub(s.number(1), s.mul(angle, s.number(1 / M_PI)))));
  });
  t["aten.fft_fftshift"] = shift(false);
  t["aten.fft_ifftshift"] = shift(true);
}

} // namespace tenon::torch_export
