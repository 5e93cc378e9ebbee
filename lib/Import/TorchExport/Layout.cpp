// Views and permutations: operators that give the same elements another shape or order.
#include "Converter.h"

using namespace mlir;
using tenon::graph::Dims;

namespace tenon::torch_export {

//===----------------------------------------------------------------------===//
// Shapes
//===----------------------------------------------------------------------===//

static ViewFunctions reshapeTo(Dims dims) {
  return {[dims](Op &op, Tensor base) { return op.reshape(base, dims); },
          [](Op &op, Tensor base, Tensor view) { return base ? op.reshape(view, base.dims()) : Tensor(); }};
}

/// The shape that `sizes`, which may hold one -1, gives to `x`. The exporter's own expressions are preferred.
static Dims resolveSizes(Op &op, Tensor x, Dims sizes, unsigned result = 0) {
  if (std::optional<Dims> recorded = op.resultDims(result))
    if (recorded->size() == sizes.size() && !llvm::is_contained(*recorded, AffineExpr()))
      return *recorded;
  AffineExpr known = op.constant(1);
  int64_t open = -1;
  for (auto [i, size] : llvm::enumerate(sizes))
    if (graph::asConstant(size) == -1)
      open = i;
    else
      known = known * size;
  if (open >= 0) {
    known = graph::normalize(known);
    if (graph::asConstant(known).value_or(1) <= 0) {
      (void)op.error("cannot infer a size of -1 beside a size of 0");
      return sizes;
    }
    sizes[open] = graph::normalize(graph::numElements(x.value.getType()).floorDiv(known));
  }
  return sizes;
}

/// A new shape: a view of the argument, or a copy where torch has to make one.
static LogicalResult finishReshape(Op &op, const Dims &dims, bool mayCopy) {
  if (!mayCopy || op.isRowMajor("self"))
    return op.finishView("self", reshapeTo(dims));
  return op.finish(op.reshape(op.tensor("self"), dims));
}

static LogicalResult convertView(Op &op) {
  Tensor x = op.tensor("self");
  if (op.has("dtype")) { // view.dtype: other bits of the same memory
    ScalarType to = op.dtype("dtype", ScalarType::Unknown);
    if (x && (to == x.dtype || (isIntegral(to) && isIntegral(x.dtype) && bytesOf(to) == bytesOf(x.dtype))))
      return op.finish(op.convert(x, to));
    if (!x || bytesOf(to) != bytesOf(x.dtype))
      return op.unsupported("to a type of another width");
    return op.finish(op.map(
        to, to, {Operand::raw(x)},
        [&](Scalars &s, ValueRange v) -> Value {
          return arith::BitcastOp::create(s.b, s.loc, toType(to, op.context()), v[0]);
        },
        to));
  }
  Dims sizes = op.has("size") ? op.sizes("size") : op.sizes("shape");
  if (op.isBad())
    return failure();
  return finishReshape(op, resolveSizes(op, x, sizes), op.node.op().starts_with("aten.reshape"));
}

static LogicalResult convertViewAs(Op &op) {
  Tensor other = op.tensor("other");
  return other ? finishReshape(op, other.dims(), op.node.op().starts_with("aten.reshape")) : failure();
}

static LogicalResult convertFlatten(Op &op) {
  Tensor x = op.tensor("self");
  if (!x)
    return failure();
  if (x.rank() == 0)
    return op.finishView("self", reshapeTo({op.constant(1)}));
  int64_t first = op.dim("start_dim", x.rank(), 0), last = op.dim("end_dim", x.rank(), -1);
  if (op.isBad() || first > last)
    return op.isBad() ? failure() : op.error("has start_dim after end_dim");
  Dims have = x.dims(), dims(have.begin(), have.begin() + first);
  dims.push_back(graph::product(ArrayRef(have).slice(first, last - first + 1), op.context()));
  dims.append(have.begin() + last + 1, have.end());
  return finishReshape(op, dims, true);
}

static LogicalResult convertUnflatten(Op &op) {
  Tensor x = op.tensor("self");
  Dims sizes = op.sizes("sizes");
  if (!x)
    return failure();
  int64_t dim = op.dim("dim", x.rank());
  Dims have = x.dims(), dims(have.begin(), have.begin() + dim);
  dims.append(sizes.begin(), sizes.end());
  dims.append(have.begin() + dim + 1, have.end());
  return op.isBad() ? failure() : op.finishView("self", reshapeTo(resolveSizes(op, x, dims)));
}

static LogicalResult convertUnsqueeze(Op &op) {
  Tensor x = op.tensor("self");
  if (!x)
    return failure();
  int64_t dim = op.dim("dim", x.rank() + 1);
  Dims dims = x.dims();
  if (op.isBad())
    return failure();
  dims.insert(dims.begin() + dim, op.constant(1));
  return op.finishView("self", reshapeTo(dims));
}

static LogicalResult convertSqueeze(Op &op) {
  Tensor x = op.tensor("self");
  if (!x)
    return failure();
  SmallVector<int64_t> which;
  if (op.has("dim"))
    for (int64_t dim : op.integers("dim"))
      which.push_back(op.wrapDim(dim, x.rank()));
  else
    which = upTo(x.rank());
  Dims dims;
  for (auto [i, size] : llvm::enumerate(x.dims()))
    if (!llvm::is_contained(which, static_cast<int64_t>(i)) || graph::asConstant(size) != 1)
      dims.push_back(size);
  return op.isBad() ? failure() : op.finishView("self", reshapeTo(dims));
}

static LogicalResult convertExpand(Op &op) {
  Tensor x = op.tensor("self");
  Dims sizes;
  if (op.has("other")) {
    Tensor other = op.tensor("other");
    sizes = other ? other.dims() : Dims();
  } else {
    sizes = op.sizes("size");
  }
  if (op.isBad() || sizes.size() < static_cast<size_t>(x.rank()))
    return op.isBad() ? failure() : op.error("expands to a lower rank");
  Dims have = x.dims();
  for (auto [i, size] : llvm::enumerate(have))
    if (AffineExpr &want = sizes[sizes.size() - have.size() + i]; graph::asConstant(want) == -1)
      want = size;
  return op.finishView("self", {[sizes](Op &o, Tensor base) { return o.broadcast(base, sizes); }, nullptr});
}

//===----------------------------------------------------------------------===//
// Orders
//===----------------------------------------------------------------------===//

static LogicalResult finishPermute(Op &op, SmallVector<int64_t> order) {
  if (op.isBad())
    return failure();
  SmallVector<int64_t> back(order.size(), -1);
  for (auto [i, d] : llvm::enumerate(order))
    back[d] = i;
  if (llvm::is_contained(back, -1))
    return op.error("names a dimension twice");
  return op.finishView("self", {[order](Op &o, Tensor base) { return o.permute(base, order); },
                                [back](Op &o, Tensor, Tensor view) { return o.permute(view, back); }});
}

static LogicalResult finishSwap(Op &op, int64_t rank, int64_t a, int64_t b) {
  SmallVector<int64_t> order = upTo(rank);
  if (rank > 0)
    std::swap(order[a], order[b]);
  return finishPermute(op, order);
}

static LogicalResult convertPermute(Op &op) {
  Tensor x = op.tensor("self");
  SmallVector<int64_t> order = op.integers("dims");
  if (!x)
    return failure();
  if (order.size() != static_cast<size_t>(x.rank()))
    return op.error("orders " + Twine(order.size()) + " dimensions of a tensor of rank " + Twine(x.rank()));
  for (int64_t &dim : order)
    dim = op.wrapDim(dim, x.rank());
  return finishPermute(op, order);
}

static LogicalResult convertTranspose(Op &op) {
  Tensor x = op.tensor("self");
  if (!x)
    return failure();
  StringRef first = op.has("axis0") ? "axis0" : "dim0", second = op.has("axis1") ? "axis1" : "dim1";
  int64_t a = op.dim(first, x.rank()), b = op.dim(second, x.rank());
  return finishSwap(op, x.rank(), a, b);
}

/// t, mT, numpy_T, adjoint: the last two dimensions, or all of them reversed.
static Convert convertMatrixTranspose(bool reversesAll) {
  return [reversesAll](Op &op) {
    Tensor x = op.tensor("self");
    if (!x)
      return failure();
    if (reversesAll)
      return finishPermute(op, llvm::to_vector(llvm::reverse(upTo(x.rank()))));
    return x.rank() < 2 ? op.finishAlias("self") : finishSwap(op, x.rank(), x.rank() - 2, x.rank() - 1);
  };
}

static LogicalResult convertMovedim(Op &op) {
  Tensor x = op.tensor("self");
  SmallVector<int64_t> from = op.integers("source"), to = op.integers("destination");
  if (!x || from.size() != to.size())
    return op.isBad() ? failure() : op.error("has sources and destinations of different number");
  SmallVector<int64_t> order(x.rank(), -1);
  for (auto [f, t] : llvm::zip(from, to)) {
    f = op.wrapDim(f, x.rank());
    t = op.wrapDim(t, x.rank());
    if (!op.isBad())
      order[t] = f;
  }
  int64_t next = 0;
  for (int64_t &dim : order) {
    if (dim >= 0)
      continue;
    while (llvm::is_contained(from, next))
      ++next;
    dim = next++;
  }
  return finishPermute(op, order);
}

static LogicalResult convertPixelShuffle(Op &op, bool isShuffle) {
  Tensor x = op.tensor("self");
  int64_t r = op.integer(isShuffle ? "upscale_factor" : "downscale_factor");
  if (!x || x.rank() < 3 || r < 1)
    return op.isBad() ? failure() : op.error("needs a tensor of rank 3 or more and a positive factor");
  int64_t lead = x.rank() - 3;
  Dims dims = x.dims(), split(dims.begin(), dims.begin() + lead), merged = split;
  AffineExpr c = dims[lead], h = dims[lead + 1], w = dims[lead + 2], f = op.constant(r);
  SmallVector<int64_t> order = upTo(lead);
  if (isShuffle) {
    split.append({c.floorDiv(r * r), f, f, h, w});
    order.append({lead, lead + 3, lead + 1, lead + 4, lead + 2});
    merged.append({c.floorDiv(r * r), h * r, w * r});
  } else {
    split.append({c, h.floorDiv(r), f, w.floorDiv(r), f});
    order.append({lead, lead + 2, lead + 4, lead + 1, lead + 3});
    merged.append({c * r * r, h.floorDiv(r), w.floorDiv(r)});
  }
  return op.finish(op.reshape(op.permute(op.reshape(x, split), order), merged));
}

static LogicalResult convertChannelShuffle(Op &op) {
  Tensor x = op.tensor("self");
  int64_t groups = op.integer("groups");
  if (!x || x.rank() < 2 || groups < 1)
    return op.isBad() ? failure() : op.error("needs a tensor of rank 2 or more and a positive number of groups");
  Dims dims = x.dims(), split = dims;
  split[1] = dims[1].floorDiv(groups);
  split.insert(split.begin() + 1, op.constant(groups));
  return op.finish(op.reshape(op.transpose(op.reshape(x, split), 1, 2), dims));
}

//===----------------------------------------------------------------------===//
// Complex numbers as pairs
//===----------------------------------------------------------------------===//

static LogicalResult convertViewAsReal(Op &op) {
  Tensor x = op.tensor("self");
  if (!x || !isComplex(x.dtype))
    return op.isBad() ? failure() : op.error("needs complex numbers");
  ScalarType part = x.dtype == ScalarType::ComplexDouble ? ScalarType::Double : ScalarType::Float;
  auto take = [&](bool isReal) {
    Tensor value = op.map(
        part, part, {Operand::raw(x)},
        [&](Scalars &s, ValueRange v) { return isReal ? s.make<complex::ReOp>(v[0]) : s.make<complex::ImOp>(v[0]); },
        part);
    return value ? op.unsqueeze(value, value.rank()) : value;
  };
  Tensor re = take(true), im = take(false);
  return op.finish(op.concat({re, im}, x.rank()));
}

static LogicalResult finishComplex(Op &op, Tensor re, Tensor im) {
  ScalarType type = op.resultDtype();
  return op.finish(op.map(
      type, type, {Operand::raw(re), Operand::raw(im)},
      [&](Scalars &s, ValueRange v) -> Value {
        return complex::CreateOp::create(s.b, s.loc, toType(type, op.context()), v[0], v[1]);
      },
      type));
}

static LogicalResult convertViewAsComplex(Op &op) {
  Tensor x = op.tensor("self");
  if (!x || x.rank() < 1)
    return op.isBad() ? failure() : op.error("needs a last dimension of size 2");
  int64_t last = x.rank() - 1;
  return finishComplex(op, op.select(x, last, op.constant(0)), op.select(x, last, op.constant(1)));
}

static LogicalResult convertPart(Op &op, bool isReal) {
  Tensor x = op.tensor("self");
  if (x && !isComplex(x.dtype))
    return op.finishAlias("self");
  ScalarType part = op.resultDtype();
  return op.finish(op.map(
      part, part, {Operand::raw(x)},
      [&](Scalars &s, ValueRange v) { return isReal ? s.make<complex::ReOp>(v[0]) : s.make<complex::ImOp>(v[0]); },
      part));
}

static LogicalResult convertPolar(Op &op) {
  Tensor r = op.tensor("abs"), angle = op.tensor("angle");
  ScalarType type = r.dtype;
  auto part = [&](bool isReal) {
    return op.map(type, type, {r, angle}, [&](Scalars &s, ValueRange v) {
      return s.mul(v[0], isReal ? s.make<math::CosOp>(v[1]) : s.make<math::SinOp>(v[1]));
    });
  };
  Tensor re = part(true), im = part(false);
  return finishComplex(op, re, im);
}

void populateLayout(ConverterTable &t) {
  for (StringRef name : {"aten.view", "aten.reshape", "aten._unsafe_view", "aten._reshape_alias", "aten.view_copy",
                         "aten._reshape_copy"})
    t[name] = convertView;
  t["aten.view_as"] = t["aten.reshape_as"] = convertViewAs;
  t["aten.flatten"] = convertFlatten;
  t["aten.ravel"] = convertFlatten;
  t["aten.unflatten"] = convertUnflatten;
  t["aten.unsqueeze"] = t["aten.unsqueeze_copy"] = convertUnsqueeze;
  t["aten.squeeze"] = t["aten.squeeze_copy"] = convertSqueeze;
  t["aten.expand"] = t["aten.expand_as"] = t["aten.broadcast_to"] = t["aten.expand_copy"] = convertExpand;
  t["aten.permute"] = t["aten.permute_copy"] = convertPermute;
  t["aten.transpose"] = t["aten.swapaxes"] = t["aten.swapdims"] = t["aten.transpose_copy"] = convertTranspose;
  t["aten.t"] = t["aten.mT"] = t["aten.t_copy"] = convertMatrixTranspose(false);
  t["aten.numpy_T"] = convertMatrixTranspose(true);
  t["aten.movedim"] = t["aten.moveaxis"] = convertMovedim;
  t["aten.pixel_shuffle"] = [](Op &op) { return convertPixelShuffle(op, true); };
  t["aten.pixel_unshuffle"] = [](Op &op) { return convertPixelShuffle(op, false); };
  t["aten.channel_shuffle"] = t["aten.native_channel_shuffle"] = convertChannelShuffle;
  t["aten.view_as_real"] = convertViewAsReal;
  t["aten.view_as_complex"] = convertViewAsComplex;
  t["aten.complex"] = [](Op &op) { return finishComplex(op, op.tensor("real"), op.tensor("imag")); };
  t["aten.real"] = [](Op &op) { return convertPart(op, true); };
  t["aten.imag"] = [](Op &op) { return convertPart(op, false); };
  t["aten.polar"] = convertPolar;
}

} // namespace tenon::torch_export
