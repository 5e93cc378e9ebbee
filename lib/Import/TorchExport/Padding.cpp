// Padding with a constant, or with elements of the tensor itself.
#include "Converter.h"

using namespace mlir;
using tenon::graph::Dims;

namespace tenon::torch_export {

namespace {
enum class Mode { Reflect, Replicate, Circular };
} // namespace

/// low and high padding by dimension, from torch's list that begins with the last dimension.
static bool readPadding(Op &op, StringRef name, Tensor x, Dims &low, Dims &high) {
  Dims pads = op.sizes(name);
  if (op.isBad() || !x)
    return false;
  if (pads.size() % 2 != 0 || pads.size() / 2 > static_cast<size_t>(x.rank())) {
    (void)op.error("has " + Twine(pads.size()) + " paddings for rank " + Twine(x.rank()));
    return false;
  }
  low.assign(x.rank(), op.constant(0));
  high = low;
  for (size_t i = 0; i < pads.size() / 2; ++i) {
    low[x.rank() - 1 - i] = pads[2 * i];
    high[x.rank() - 1 - i] = pads[2 * i + 1];
  }
  return true;
}

/// Cuts off what constant paddings below 0 say, which become 0.
static Tensor crop(Op &op, Tensor x, Dims &low, Dims &high) {
  for (int64_t d = 0; x && d < x.rank(); ++d) {
    std::optional<int64_t> l = graph::asConstant(low[d]), h = graph::asConstant(high[d]);
    int64_t before = l ? std::max<int64_t>(-*l, 0) : 0, after = h ? std::max<int64_t>(-*h, 0) : 0;
    if (before == 0 && after == 0)
      continue;
    x = op.slice(x, d, op.constant(before), graph::normalize(x.dim(d) - before - after));
    if (before)
      low[d] = op.constant(0);
    if (after)
      high[d] = op.constant(0);
  }
  return x;
}

static LogicalResult padConstant(Op &op) {
  Tensor x = op.tensor("self");
  Dims low, high;
  if (!readPadding(op, "pad", x, low, high))
    return failure();
  Operand value = op.operandOr("value", Number::of(0.0));
  if (!value.number || !value.number->isConstant())
    return op.unsupported("with a value that is no constant");
  x = crop(op, x, low, high);
  return op.finish(op.pad(x, low, high, value.number->asDouble()));
}

/// Every padded dimension is read at positions computed from the result's.
static LogicalResult padFromInside(Op &op, Mode mode, StringRef name) {
  Tensor x = op.tensor("self");
  Dims low, high;
  if (!readPadding(op, name, x, low, high))
    return failure();
  if (mode == Mode::Circular) // the other modes count from the ends of the whole tensor
    x = crop(op, x, low, high);
  if (!x)
    return failure();
  Dims dims = x.dims();
  SmallVector<Operand> indices;
  SmallVector<int64_t> coords = upTo(x.rank());
  for (int64_t d = 0; d < x.rank(); ++d) {
    if (graph::asConstant(low[d]) == 0 && graph::asConstant(high[d]) == 0)
      continue;
    AffineExpr size = x.dim(d);
    dims[d] = graph::normalize(size + low[d] + high[d]);
    Tensor position = op.generate(ScalarType::Long, ScalarType::Long, {dims[d]}, [&](Scalars &s, ValueRange) {
      Value at = s.sub(op.index(s, 0), op.sizeValue(s, low[d]));
      Value n = op.sizeValue(s, size), last = s.sub(n, s.integer(1));
      switch (mode) {
      case Mode::Reflect:
        return s.sub(last, s.abs(s.sub(last, s.abs(at))));
      case Mode::Replicate:
        return s.min(s.max(at, s.integer(0)), last);
      case Mode::Circular:
        return s.remainder(at, n);
      }
      return at;
    });
    indices.push_back(Operand(position, {d}));
    coords[d] = -static_cast<int64_t>(indices.size());
  }
  return op.finish(indices.empty() ? x : op.gather(x, indices, coords, dims));
}

static LogicalResult convertPad(Op &op) {
  StringRef mode = op.string("mode", StringRef("constant"));
  if (mode == "constant")
    return padConstant(op);
  if (mode == "reflect")
    return padFromInside(op, Mode::Reflect, "pad");
  if (mode == "replicate")
    return padFromInside(op, Mode::Replicate, "pad");
  if (mode == "circular")
    return padFromInside(op, Mode::Circular, "pad");
  return op.error("has a mode '" + mode + "' that is not known");
}

void populatePadding(ConverterTable &t) {
  t["aten.pad"] = convertPad;
  t["aten.constant_pad_nd"] = padConstant;
  t["aten._pad_circular"] = [](Op &op) { return padFromInside(op, Mode::Circular, "pad"); };
  for (StringRef d : {"1d", "2d", "3d"}) {
    t[("aten.reflection_pad" + d).str()] = [](Op &op) { return padFromInside(op, Mode::Reflect, "padding"); };
    t[("aten.replication_pad" + d).str()] = [](Op &op) { return padFromInside(op, Mode::Replicate, "padding"); };
  }
}

} // namespace tenon::torch_export
