// Operators that exported graphs keep and that are others put together: shapes of one tensor, joins of several, comparisons,
// parts of numbers.
#include "Converter.h"

using namespace mlir;
using tenon::graph::Dims;
using tenon::graph::ReduceKind;

namespace tenon::torch_export {

static constexpr ScalarType kLong = ScalarType::Long;

//===----------------------------------------------------------------------===//
// Shapes
//===----------------------------------------------------------------------===//

static ViewFunctions reshapeView(Dims to) {
  return {[to](Op &op, Tensor x) { return op.reshape(x, to); },
          [](Op &op, Tensor base, Tensor view) { return op.reshape(view, base.dims()); }};
}

/// Of rank `rank` at least; the new dimensions are where torch puts them.
static Dims atLeast(Op &op, Tensor x, int64_t rank) {
  Dims dims = x.dims();
  if (rank == 3 && x.rank() == 1)
    dims.insert(dims.begin(), op.constant(1));
  while (static_cast<int64_t>(dims.size()) < rank)
    dims.insert(rank == 3 && x.rank() > 0 ? dims.end() : dims.begin(), op.constant(1));
  return dims;
}

static Convert atLeast(int64_t rank) {
  return [rank](Op &op) -> LogicalResult {
    if (!op.has("self")) {
      Tensors results;
      for (Tensor x : op.tensors("tensors"))
        results.push_back(op.reshape(x, atLeast(op, x, rank)));
      return op.finish(results);
    }
    Tensor x = op.tensor("self");
    return x ? op.finishView("self", reshapeView(atLeast(op, x, rank))) : failure();
  };
}

/// The conjugate of a matrix's transpose.
static LogicalResult convertAdjoint(Op &op) {
  Tensor x = op.tensor("self");
  if (!x || x.rank() < 2)
    return x ? op.finishAlias("self") : failure();
  int64_t last = x.rank() - 1;
  if (!isComplex(x.dtype)) {
    auto swap = [last](Op &op, Tensor t) { return op.transpose(t, last - 1, last); };
    return op.finishView("self", {swap, [swap](Op &op, Tensor, Tensor view) { return swap(op, view); }});
  }
  return op.finish(op.transpose(op.map(x.dtype, x.dtype, {x},
                                       [](Scalars &s, ValueRange v) { return s.make<complex::ConjOp>(v[0]); }),
                                last - 1, last));
}

static LogicalResult convertSumToSize(Op &op) {
  Tensor x = op.tensor("self");
  Dims to = op.sizes("size");
  if (op.isBad() || static_cast<int64_t>(to.size()) > x.rank())
    return op.isBad() ? failure() : op.error("has more dimensions than the tensor");
  SmallVector<int64_t> summed;
  int64_t lead = x.rank() - static_cast<int64_t>(to.size());
  for (int64_t d = 0; d < x.rank(); ++d)
    if (d < lead || (graph::asConstant(to[d - lead]) == 1 && graph::asConstant(x.dim(d)) != 1))
      summed.push_back(d);
  ScalarType type = x.dtype;
  Tensor y = summed.empty() ? x : op.convert(op.reduce(ReduceKind::Sum, op.convert(x, computeType(type)), summed), type);
  return op.finish(op.reshape(y, to));
}

/// `self` with what lies at places by size, stride and offset replaced.
static LogicalResult convertAsStridedScatter(Op &op) {
  Tensor x = op.tensor("self"), source = op.tensor("src");
  Dims sizes = op.sizes("size"), strides = op.sizes("stride");
  AffineExpr offset = op.size("storage_offset", op.constant(0));
  if (op.isBad() || !op.isRowMajor("self"))
    return op.isBad() ? failure() : op.unsupported("on a tensor with gaps in memory");
  Dims shape = x.dims();
  Tensor flat = op.reshape(x, {graph::numElements(x.value.getType())});
  Tensor position = op.generate(kLong, kLong, sizes, [&](Scalars &s, ValueRange) {
    Value at = op.sizeValue(s, offset);
    for (auto [d, stride] : llvm::enumerate(strides))
      at = s.add(at, s.mul(op.index(s, d), op.sizeValue(s, stride)));
    return at;
  });
  AffineExpr count = graph::product(sizes, op.context());
  return op.finish(op.reshape(op.scatter(graph::ScatterKind::Set, op.reshape(op.convert(source, x.dtype), {count}), flat,
                                         {op.reshape(position, {count})}, {-1}),
                              shape));
}

/// The elements on one diagonal of a matrix that is 0 elsewhere.
static LogicalResult convertDiagonalFlat(Op &op) {
  Tensor x = op.tensor("self");
  int64_t offset = op.integer("offset", 0);
  if (op.isBad())
    return failure();
  AffineExpr count = graph::numElements(x.value.getType()), size = graph::normalize(count + std::abs(offset));
  Dims low{op.constant(std::max<int64_t>(-offset, 0))}, high{op.constant(std::max<int64_t>(offset, 0))};
  Tensor rows = op.pad(op.reshape(x, {count}), low, high, 0);
  return op.finish(op.map(
      x.dtype, x.dtype, {Operand(rows, {0})},
      [&](Scalars &s, ValueRange v) {
        Scalars ints(s.b, s.loc, kLong);
        Value distance = ints.sub(op.index(ints, 1), op.index(ints, 0));
        return s.select(ints.compare(Compare::Eq, distance, ints.integer(offset)), v[0], s.number(0));
      },
      ScalarType::Unknown, Dims{size, size}));
}

//===----------------------------------------------------------------------===//
// Joins
//===----------------------------------------------------------------------===//

static LogicalResult convertBlockDiagonal(Op &op) {
  Tensors parts = op.tensors("tensors");
  if (op.isBad())
    return failure();
  ScalarType type = op.resultDtype();
  AffineExpr zero = op.constant(0), rows = zero, columns = zero;
  for (Tensor &part : parts) {
    part = op.convert(part, type);
    part = part.rank() == 2 ? part : op.reshape(part, {op.constant(1), graph::numElements(part.value.getType())});
    rows = graph::normalize(rows + part.dim(0));
    columns = graph::normalize(columns + part.dim(1));
  }
  Tensors wide;
  AffineExpr before = zero;
  for (Tensor part : parts) {
    AffineExpr behind = graph::normalize(columns - before - part.dim(1));
    wide.push_back(op.pad(part, {zero, before}, {zero, behind}, 0));
    before = graph::normalize(before + part.dim(1));
  }
  if (wide.empty())
    return op.finish(op.full({op.constant(1), zero}, type, 0));
  return op.isBad() ? failure() : op.finish(op.concat(wide, 0));
}

/// Every combination of one element of each vector, a row each.
static LogicalResult convertCartesianProduct(Op &op) {
  Tensors vectors = op.tensors("tensors");
  if (op.isBad() || vectors.empty())
    return op.isBad() ? failure() : op.error("needs a vector");
  if (vectors.size() == 1)
    return op.finish(vectors[0]);
  Dims dims;
  for (Tensor v : vectors)
    dims.push_back(v.rank() == 0 ? op.constant(1) : v.dim(0));
  Tensors columns;
  AffineExpr count = graph::product(dims, op.context());
  for (auto [i, v] : llvm::enumerate(vectors)) {
    Dims wide(dims.size(), op.constant(1));
    wide[i] = dims[i];
    columns.push_back(op.reshape(op.broadcast(op.reshape(v, wide), dims), {count, op.constant(1)}));
  }
  return op.finish(op.concat(columns, 1));
}

//===----------------------------------------------------------------------===//
// Comparisons, numbers in parts
//===----------------------------------------------------------------------===//

static LogicalResult convertIsClose(Op &op) {
  Tensor a = op.tensor("self"), b = op.tensor("other");
  double relative = op.number("rtol", 1e-5), absolute = op.number("atol", 1e-8);
  bool equalsNan = op.flag("equal_nan", false);
  if (op.isBad() || isComplex(a.dtype))
    return op.isBad() ? failure() : op.unsupported("on complex numbers");
  ScalarType type = computeType(resultType({a, b}));
  type = isFloating(type) ? type : ScalarType::Double;
  return op.finish(op.map(
      ScalarType::Bool, type, {a, b},
      [&](Scalars &s, ValueRange v) {
        Value isSame = s.compare(Compare::Eq, v[0], v[1]);
        if (equalsNan)
          isSame = s.either(isSame, s.both(s.isNan(v[0]), s.isNan(v[1])));
        Value distance = s.abs(s.sub(v[0], v[1]));
        Value limit = s.add(s.number(absolute), s.mul(s.number(relative), s.abs(v[1])));
        Value isFinite = s.compare(Compare::Lt, distance, s.number(std::numeric_limits<double>::infinity()));
        return s.either(isSame, s.both(isFinite, s.compare(Compare::Le, distance, limit)));
      },
      ScalarType::Bool));
}

static LogicalResult convertIsReal(Op &op) {
  Tensor x = op.tensor("self");
  if (!x || !isComplex(x.dtype))
    return x ? op.finish(op.full(x.dims(), ScalarType::Bool, 1)) : failure();
  ScalarType part = x.dtype == ScalarType::ComplexDouble ? ScalarType::Double : ScalarType::Float;
  return op.finish(op.map(
      ScalarType::Bool, part, {Operand::raw(x)},
      [](Scalars &s, ValueRange v) { return s.compare(Compare::Eq, s.make<complex::ImOp>(v[0]), s.number(0)); },
      ScalarType::Bool));
}

/// x = mantissa * 2^exponent with 1/2 <= |mantissa| < 1, from the bits of a float64.
static LogicalResult convertFrexp(Op &op) {
  Tensor x = op.tensor("self");
  if (!x)
    return failure();
  auto split = [&](bool wantsExponent) {
    return op.map(
        wantsExponent ? kLong : x.dtype, ScalarType::Double, {x},
        [&](Scalars &s, ValueRange v) -> Value {
          Scalars ints(s.b, s.loc, kLong);
          auto bitsOf = [&](Value y) { return s.make<arith::BitcastOp>(ints.mlirType, y); };
          auto exponentOf = [&](Value y) {
            return ints.make<arith::AndIOp>(ints.make<arith::ShRUIOp>(bitsOf(y), ints.integer(52)), ints.integer(0x7FF));
          };
          // Numbers below the normal ones are scaled first.
          Value isSmall = s.compare(Compare::Lt, s.abs(v[0]), s.number(0x1p-1022));
          Value y = s.select(isSmall, s.mul(v[0], s.number(0x1p54)), v[0]);
          Value infinite = s.number(std::numeric_limits<double>::infinity());
          Value isPlain = s.both(s.compare(Compare::Lt, s.abs(v[0]), infinite), s.compare(Compare::Ne, v[0], s.number(0)));
          if (wantsExponent) {
            Value e = ints.sub(exponentOf(y), ints.select(isSmall, ints.integer(1022 + 54), ints.integer(1022)));
            return ints.select(isPlain, e, ints.integer(0));
          }
          Value rest = ints.make<arith::AndIOp>(bitsOf(y), ints.integer(static_cast<int64_t>(0x800FFFFFFFFFFFFFull)));
          Value bits = ints.make<arith::OrIOp>(rest, ints.integer(int64_t(1022) << 52));
          return s.select(isPlain, s.make<arith::BitcastOp>(s.mlirType, bits), v[0]);
        },
        wantsExponent ? kLong : ScalarType::Unknown);
  };
  return op.finish({split(false), op.convert(split(true), op.resultDtype(1))});
}

/// The float next to one, in the direction of another.
static LogicalResult convertNextAfter(Op &op) {
  Tensor x = op.tensor("self"), y = op.tensor("other");
  ScalarType type = op.resultDtype();
  if (op.isBad() || (type != ScalarType::Float && type != ScalarType::Double))
    return op.isBad() ? failure() : op.unsupported("on elements of " + nameOf(type));
  ScalarType bitType = type == ScalarType::Float ? ScalarType::Int : kLong;
  return op.finish(op.map(type, type, {x, y}, [&](Scalars &s, ValueRange v) -> Value {
    Scalars ints(s.b, s.loc, bitType);
    Value zero = s.number(0), bits = s.make<arith::BitcastOp>(ints.mlirType, v[0]), one = ints.integer(1);
    Value isUp = s.compare(Compare::Gt, v[1], v[0]), isNegative = s.compare(Compare::Lt, v[0], zero);
    // Away from 0 the bits grow.
    Value grows = s.make<arith::XOrIOp>(isUp, isNegative);
    Value next = s.make<arith::BitcastOp>(s.mlirType, ints.select(grows, ints.add(bits, one), ints.sub(bits, one)));
    Value least = s.make<math::CopySignOp>(s.make<arith::BitcastOp>(s.mlirType, one), v[1]);
    next = s.select(s.compare(Compare::Eq, v[0], zero), least, next);
    next = s.select(s.compare(Compare::Eq, v[0], v[1]), v[1], next);
    return s.select(s.isNan(v[0]), v[0], s.select(s.isNan(v[1]), v[1], next));
  }));
}

//===----------------------------------------------------------------------===//
// Positions
//===----------------------------------------------------------------------===//

static LogicalResult convertMaxUnpool(Op &op) {
  Tensor x = op.tensor("self"), places = op.tensor("indices");
  Dims out = op.sizes("output_size");
  if (op.isBad())
    return failure();
  int64_t spatial = out.size(), lead = x.rank() - spatial;
  if (lead < 1 || lead > 2)
    return op.error("has an input of rank " + Twine(x.rank()));
  Dims dims = x.dims(), outer(dims.begin(), dims.begin() + lead), whole = outer;
  AffineExpr planes = graph::product(outer, op.context()), plane = graph::product(out, op.context());
  AffineExpr own = graph::product(ArrayRef(dims).drop_front(lead), op.context());
  whole.append(out.begin(), out.end());
  Tensor row = op.generate(kLong, kLong, {planes, own}, [&](Scalars &s, ValueRange) { return op.index(s, 0); });
  Tensor y = op.scatter(graph::ScatterKind::Set, op.reshape(x, {planes, own}), op.full({planes, plane}, x.dtype, 0),
                        {row, op.reshape(places, {planes, own})}, {-1, -2});
  return op.finish(op.reshape(y, whole));
}

/// Where the mask is true, what lies at the indices, which may be anything elsewhere; a fill value there.
static LogicalResult convertMaskedIndex(Op &op) {
  Tensor x = op.tensor("self"), mask = op.tensor("mask");
  Tensors indices = op.optionalTensors("indices");
  Operand fill = op.operandOr("fill", Number::of(0.0));
  if (op.isBad())
    return failure();
  SmallVector<Dims> shapes{mask.dims()};
  for (const Tensor &index : indices) {
    if (!index)
      return op.unsupported("with dimensions that are taken whole");
    shapes.push_back(index.dims());
  }
  std::optional<Dims> shape = op.broadcastDims(shapes);
  if (!shape)
    return failure();
  SmallVector<Operand> safe;
  SmallVector<int64_t> coords;
  for (auto [d, index] : llvm::enumerate(indices)) {
    AffineExpr size = x.dim(d);
    Tensor wrapped = op.map(kLong, kLong, {index, Operand::raw(mask)}, [&](Scalars &s, ValueRange v) {
      Value n = op.sizeValue(s, size);
      Value at = s.select(s.compare(Compare::Lt, v[0], s.integer(0)), s.add(v[0], n), v[0]);
      return s.select(v[1], at, s.integer(0));
    });
    safe.push_back(op.broadcast(wrapped, *shape));
    coords.push_back(-static_cast<int64_t>(d) - 1);
  }
  Dims result = *shape;
  for (int64_t d = indices.size(); d < x.rank(); ++d) {
    coords.push_back(result.size());
    result.push_back(x.dim(d));
  }
  SmallVector<int64_t> along = upTo(shape->size());
  for (Operand &index : safe)
    index.dims = along;
  Operand condition(op.broadcast(mask, *shape), along);
  condition.isRaw = true;
  return op.finish(op.map(x.dtype, x.dtype, {op.gather(x, safe, coords, result), condition, fill},
                          [](Scalars &s, ValueRange v) { return s.select(v[1], v[0], v[2]); }));
}

void populateComposites(ConverterTable &t) {
  t["aten.atleast_1d"] = atLeast(1);
  t["aten.atleast_2d"] = atLeast(2);
  t["aten.atleast_3d"] = atLeast(3);
  t["aten.matrix_H"] = t["aten.mH"] = t["aten.adjoint"] = convertAdjoint;
  t["aten.sum_to_size"] = convertSumToSize;
  t["aten.as_strided_scatter"] = convertAsStridedScatter;
  t["aten.diagflat"] = convertDiagonalFlat;
  t["aten.block_diag"] = convertBlockDiagonal;
  t["aten.cartesian_prod"] = convertCartesianProduct;
  t["aten.isclose"] = convertIsClose;
  t["aten.isreal"] = convertIsReal;
  t["aten.frexp"] = convertFrexp;
  t["aten.nextafter"] = convertNextAfter;
  t["aten.max_unpool2d"] = t["aten.max_unpool3d"] = convertMaxUnpool;
  t["aten._unsafe_masked_index"] = convertMaskedIndex;
  t["aten.msort"] = [](Op &op) {
    Tensor x = op.tensor("self");
    return !x ? failure() : op.finish(x.rank() == 0 ? x : op.sort(x, 0, false).first);
  };
}

} // namespace tenon::torch_export
