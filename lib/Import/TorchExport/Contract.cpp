// Matrix products: everything that is one graph.contract.
#include "Converter.h"

using namespace mlir;
using tenon::graph::Dims;

namespace tenon::torch_export {

static Tensor addTo(Op &op, Tensor product, Operand bias) {
  return op.map(product.dtype, product.dtype, {product, bias},
                [](Scalars &s, ValueRange v) { return s.add(v[0], v[1]); });
}

/// x @ weight.T over the last dimension of x; leading dimensions become one.
Tensor linear(Op &op, Tensor x, Tensor weight) {
  if (!x || !weight)
    return {};
  if (x.rank() == 1)
    return op.contract(x, "k", weight, "nk", "n");
  if (x.rank() == 2)
    return op.contract(x, "mk", weight, "nk", "mn");
  Dims dims = x.dims();
  Tensor product = op.contract(op.flatten(x, 0, x.rank() - 2), "mk", weight, "nk", "mn");
  dims.back() = weight.dim(0);
  return op.reshape(product, dims);
}

static LogicalResult convertLinear(Op &op) {
  Tensor x = op.tensor("input"), weight = op.tensor("weight"), bias = op.optionalTensor("bias");
  if (op.isBad())
    return failure();
  if (weight.rank() == 1)
    return op.finish(op.contract(x, StringRef("abcdefgk").take_back(x.rank()), weight, "k",
                                 StringRef("abcdefg").take_back(x.rank() - 1)));
  if (!bias)
    return op.finish(linear(op, x, weight));
  // The bias is added before the reshape back, next to the contraction.
  Dims dims = x.dims();
  Tensor flat = x.rank() > 2 ? op.flatten(x, 0, x.rank() - 2) : x;
  Tensor product = linear(op, flat, weight);
  if (!product)
    return failure();
  Tensor y = addTo(op, product, bias);
  dims.back() = weight.dim(0);
  return op.finish(op.reshape(y, dims));
}

/// torch.matmul of any ranks.
Tensor matmul(Op &op, Tensor l, Tensor r) {
  if (!l || !r)
    return {};
  if (l.rank() == 0 || r.rank() == 0)
    return op.errorTensor("multiplies a tensor of rank 0");
  if (l.rank() == 1 && r.rank() == 1)
    return op.contract(l, "k", r, "k", "");
  if (l.rank() <= 2 && r.rank() <= 2)
    return op.contract(l, l.rank() == 1 ? "k" : "mk", r, r.rank() == 1 ? "k" : "kn",
                       l.rank() == 1   ? "n"
                       : r.rank() == 1 ? "m"
                                       : "mn");
  if (r.rank() <= 2) { // the batch belongs to the left alone: one large product
    Dims dims = l.dims();
    dims.pop_back();
    if (r.rank() == 2)
      dims.push_back(r.dim(1));
    Tensor flat = op.flatten(l, 0, l.rank() - 2);
    return op.reshape(op.contract(flat, "mk", r, r.rank() == 2 ? "kn" : "k", r.rank() == 2 ? "mn" : "m"), dims);
  }
  // Batches broadcast; a batch size of 1 is dropped from its operand instead of being repeated.
  static constexpr StringLiteral kBatch = "abcdefghij";
  int64_t lBatch = std::max<int64_t>(l.rank() - 2, 0), rBatch = std::max<int64_t>(r.rank() - 2, 0);
  int64_t batch = std::max(lBatch, rBatch);
  if (batch > static_cast<int64_t>(kBatch.size()))
    return op.unsupportedTensor("of a rank above 12");
  Dims lDims = l.dims(), rDims = r.dims();
  Dims lLead(lDims.begin(), lDims.begin() + lBatch), rLead(rDims.begin(), rDims.begin() + rBatch);
  std::optional<Dims> lead = op.broadcastDims({lLead, rLead});
  if (!lead)
    return {};
  auto specOf = [&](Tensor &x, int64_t own, StringRef tail) {
    std::string spec;
    SmallVector<int64_t> unit;
    Dims dims = x.dims();
    for (int64_t i = 0; i < own; ++i) {
      if (graph::asConstant(dims[i]) == 1 && graph::asConstant((*lead)[batch - own + i]) != 1)
        unit.push_back(i);
      else
        spec.push_back(kBatch[batch - own + i]);
    }
    x = op.squeeze(x, unit);
    return spec + tail.str();
  };
  StringRef lTail = l.rank() == 1 ? "k" : "mk", rTail = r.rank() == 1 ? "k" : "kn";
  std::string result = kBatch.take_front(batch).str() + (l.rank() == 1 ? "" : "m") + (r.rank() == 1 ? "" : "n");
  std::string lSpec = specOf(l, lBatch, lTail), rSpec = specOf(r, rBatch, rTail);
  return op.contract(l, lSpec, r, rSpec, result);
}

/// beta * self + alpha * product
static LogicalResult finishAdded(Op &op, Tensor product) {
  Operand self = op.tensor("self"), beta = op.operandOr("beta", Number::of(int64_t(1))),
          alpha = op.operandOr("alpha", Number::of(int64_t(1)));
  if (!product || op.isBad())
    return failure();
  auto isConstant = [](const Operand &o, double value) {
    return o.number && o.number->isConstant() && o.number->asDouble() == value;
  };
  ScalarType type = product.dtype;
  if (isConstant(beta, 0))
    return op.finish(op.map(type, type, {product, alpha}, [](Scalars &s, ValueRange v) { return s.mul(v[0], v[1]); }));
  return op.finish(op.map(type, type, {self, product, beta, alpha}, [&](Scalars &s, ValueRange v) {
    Value l = isConstant(beta, 1) ? v[0] : s.mul(v[0], v[2]);
    Value r = isConstant(alpha, 1) ? v[1] : s.mul(v[1], v[3]);
    return s.add(r, l);
  }));
}

static Convert product(StringRef l, StringRef r, StringRef result, StringRef lName, StringRef rName) {
  return [=](Op &op) { return op.finish(op.contract(op.tensor(lName), l, op.tensor(rName), r, result)); };
}

static Convert addedProduct(StringRef l, StringRef r, StringRef result, StringRef lName, StringRef rName) {
  return [=](Op &op) { return finishAdded(op, op.contract(op.tensor(lName), l, op.tensor(rName), r, result)); };
}

//===----------------------------------------------------------------------===//
// Einsum
//===----------------------------------------------------------------------===//

/// The elements whose coordinates along every dimension with one letter are equal: "iij" -> "ij".
static Tensor takeDiagonals(Op &op, Tensor x, std::string &spec) {
  std::string unique;
  Dims dims;
  SmallVector<int64_t> coords;
  SmallVector<Operand> indices;
  for (auto [i, letter] : llvm::enumerate(spec)) {
    size_t at = unique.find(letter);
    if (at == std::string::npos) {
      coords.push_back(unique.size());
      unique.push_back(letter);
      dims.push_back(x.dim(i));
      continue;
    }
    Tensor ramp = op.generate(ScalarType::Long, ScalarType::Long, {x.dim(i)},
                              [&](Scalars &s, ValueRange) { return op.index(s, 0); });
    indices.push_back(Operand(ramp, {static_cast<int64_t>(at)}));
    coords.push_back(-static_cast<int64_t>(indices.size()));
  }
  if (unique.size() == spec.size())
    return x;
  spec = unique;
  return op.gather(x, indices, coords, dims);
}

/// Contracts operands from left to right; a dimension is summed as soon as nobody further needs it.
static Tensor einsum(Op &op, Tensors operands, SmallVector<std::string> specs, const std::string &result) {
  for (auto [x, spec] : llvm::zip(operands, specs)) {
    x = takeDiagonals(op, x, spec);
    if (!x)
      return {};
  }
  Tensor sum = operands[0];
  std::string spec = specs[0];
  for (size_t i = 1; i < operands.size(); ++i) {
    // Sizes of 1 that stand against others are dropped.
    for (auto [x, own, other, theirs] :
         {std::tuple(&sum, &spec, &operands[i], &specs[i]), std::tuple(&operands[i], &specs[i], &sum, &spec)})
      for (size_t d = 0; d < own->size(); ++d) {
        size_t at = theirs->find((*own)[d]);
        if (at != std::string::npos && graph::asConstant(x->dim(d)) == 1 && graph::asConstant(other->dim(at)) != 1) {
          *x = op.squeeze(*x, {static_cast<int64_t>(d)});
          own->erase(d--, 1);
        }
      }
    std::string later = result, kept;
    for (size_t j = i + 1; j < specs.size(); ++j)
      later += specs[j];
    for (char letter : spec + specs[i])
      if (later.find(letter) != std::string::npos && kept.find(letter) == std::string::npos)
        kept.push_back(letter);
    if (i + 1 == operands.size())
      kept = result;
    sum = op.contract(sum, spec, operands[i], specs[i], kept);
    if (!sum)
      return {};
    spec = kept;
  }
  SmallVector<int64_t> summed, order;
  std::string left;
  for (auto [d, letter] : llvm::enumerate(spec))
    if (result.find(letter) == std::string::npos)
      summed.push_back(d);
    else
      left.push_back(letter);
  sum = op.reduce(graph::ReduceKind::Sum, sum, summed);
  for (char letter : result)
    order.push_back(left.find(letter));
  return op.permute(sum, order);
}

static LogicalResult convertEinsum(Op &op) {
  std::string equation;
  for (char c : op.string("equation"))
    if (c != ' ')
      equation.push_back(c);
  Tensors operands = op.tensors("tensors");
  if (op.isBad())
    return failure();
  auto [inputs, arrowResult] = StringRef(equation).split("->");
  SmallVector<StringRef> parts;
  inputs.split(parts, ',');
  if (parts.size() != operands.size())
    return op.error("has " + Twine(operands.size()) + " operands for the equation '" + equation + "'");
  // An ellipsis stands for dimensions at the right end of those of the widest one: uppercase digits of our own.
  static constexpr StringLiteral kEllipsis = "0123456789";
  int64_t wide = 0;
  SmallVector<int64_t> widths;
  for (auto [part, x] : llvm::zip(parts, operands)) {
    int64_t letters = part.size() - (part.contains("...") ? 3 : 0), width = x.rank() - letters;
    if (width < 0 || (width > 0 && !part.contains("...")) || width > static_cast<int64_t>(kEllipsis.size()))
      return op.error("equation '" + equation + "' does not fit the ranks of the operands");
    widths.push_back(width);
    wide = std::max(wide, width);
  }
  SmallVector<std::string> specs;
  for (auto [part, width] : llvm::zip(parts, widths)) {
    auto [before, after] = part.split("...");
    specs.push_back((before + kEllipsis.take_front(wide).take_back(width) + after).str());
  }
  std::string result;
  if (StringRef(equation).contains("->")) {
    auto [before, after] = arrowResult.split("...");
    bool hasEllipsis = arrowResult.contains("...");
    result = (before + (hasEllipsis ? kEllipsis.take_front(wide) : StringRef()) + after).str();
  } else { // letters that occur once, in alphabetical order
    result = kEllipsis.take_front(wide).str();
    std::string all = llvm::join(specs, "");
    for (char letter = 'A'; letter <= 'z'; ++letter)
      if (llvm::count(all, letter) == 1)
        result.push_back(letter);
  }
  std::string all = llvm::join(specs, "");
  for (char letter : result)
    if (all.find(letter) == std::string::npos || llvm::count(result, letter) != 1)
      return op.error("equation '" + equation + "' has a result that its operands do not give");
  return op.finish(einsum(op, operands, specs, result));
}

/// Three factors over common dimensions, of which each lacks some, summed over others.
static LogicalResult convertTrilinear(Op &op) {
  Tensors operands{op.tensor("i1"), op.tensor("i2"), op.tensor("i3")};
  SmallVector<int64_t> lacks[] = {op.integers("expand1"), op.integers("expand2"), op.integers("expand3")};
  SmallVector<int64_t> summed = op.integers("sumdim");
  if (op.isBad())
    return failure();
  int64_t rank = operands[0].rank() + lacks[0].size();
  static constexpr StringLiteral kLetters = "abcdefghijklm";
  if (rank > static_cast<int64_t>(kLetters.size()))
    return op.unsupported("of so many dimensions");
  SmallVector<std::string> specs(3);
  std::string result;
  for (int64_t d = 0; d < rank; ++d) {
    for (unsigned i = 0; i < 3; ++i)
      if (!llvm::is_contained(lacks[i], d))
        specs[i].push_back(kLetters[d]);
    if (!llvm::is_contained(summed, d))
      result.push_back(kLetters[d]);
  }
  for (unsigned i = 0; i < 3; ++i)
    if (specs[i].size() != static_cast<size_t>(operands[i].rank()))
      return op.error("has operands whose ranks do not fit");
  return op.finish(einsum(op, operands, specs, result));
}

/// dims_self of the one with dims_other of the other.
/// Itself where it is real.
static Tensor conjugateOf(Op &op, Tensor x) {
  if (!x || !isComplex(x.dtype))
    return x;
  return op.map(x.dtype, x.dtype, {x}, [](Scalars &s, ValueRange v) { return s.make<complex::ConjOp>(v[0]); });
}

static LogicalResult convertTensordot(Op &op) {
  Tensor l = op.tensor("self"), r = op.tensor("other");
  SmallVector<int64_t> lDims = op.integers("dims_self"), rDims = op.integers("dims_other");
  if (op.isBad() || lDims.size() != rDims.size() || l.rank() + r.rank() > 20)
    return op.isBad() ? failure() : op.error("has lists of dimensions that do not fit");
  std::string lSpec, rSpec, result;
  for (int64_t d = 0; d < l.rank(); ++d)
    lSpec.push_back(static_cast<char>('a' + d));
  for (int64_t d = 0; d < r.rank(); ++d)
    rSpec.push_back(static_cast<char>('A' + d));
  std::string inner;
  for (auto [a, b] : llvm::zip(lDims, rDims)) {
    int64_t i = op.wrapDim(a, l.rank()), j = op.wrapDim(b, r.rank());
    if (op.isBad())
      return failure();
    // A size of 1 meets any other: the other operand's elements are summed.
    AffineExpr one = op.constant(1);
    if (l.dim(i) == one || r.dim(j) == one) {
      Dims wide = l.dims();
      wide[i] = r.dim(j);
      l = l.dim(i) == one ? op.broadcast(l, wide) : l;
      wide = r.dims();
      wide[j] = l.dim(i);
      r = r.dim(j) == one ? op.broadcast(r, wide) : r;
    }
    rSpec[j] = lSpec[i];
    inner.push_back(lSpec[i]);
  }
  for (char letter : lSpec + rSpec)
    if (inner.find(letter) == std::string::npos)
      result.push_back(letter);
  return op.finish(op.contract(l, lSpec, r, rSpec, result));
}

//===----------------------------------------------------------------------===//
// Integers and relatives
//===----------------------------------------------------------------------===//

/// int8 x int8 -> int32: the operands are widened, the contraction is of i32.
static LogicalResult convertIntMm(Op &op) {
  Tensor l = op.convert(op.tensor("self"), ScalarType::Int), r = op.convert(op.tensor("mat2"), ScalarType::Int);
  return op.finish(op.contract(l, "mk", r, "kn", "mn"));
}

/// Weights of int8 with one factor per row.
static LogicalResult convertInt8PackMm(Op &op) {
  Tensor x = op.tensor("self"), weight = op.tensor("mat2"), scales = op.tensor("scales");
  ScalarType type = op.resultDtype(), work = computeType(type);
  Tensor product = op.contract(op.convert(x, work), "mk", op.convert(weight, work), "nk", "mn");
  return op.finish(op.map(type, work, {product, scales}, [](Scalars &s, ValueRange v) { return s.mul(v[0], v[1]); }));
}

static LogicalResult convertBilinear(Op &op) {
  Tensor l = op.tensor("input1"), r = op.tensor("input2"), weight = op.tensor("weight"),
         bias = op.optionalTensor("bias");
  if (op.isBad() || l.rank() < 1 || r.rank() < 1)
    return failure();
  Dims dims = l.dims();
  dims.back() = weight.dim(0);
  Tensor a = op.reshape(
      l, {graph::normalize(graph::numElements(l.value.getType()).floorDiv(l.dim(l.rank() - 1))), l.dim(l.rank() - 1)});
  Tensor b = op.reshape(
      r, {graph::normalize(graph::numElements(r.value.getType()).floorDiv(r.dim(r.rank() - 1))), r.dim(r.rank() - 1)});
  Tensor half = op.contract(a, "mi", weight, "oij", "moj");
  Tensor y = op.contract(half, "moj", b, "mj", "mo");
  if (y && bias)
    y = addTo(op, y, bias);
  return op.finish(op.reshape(y, dims));
}

void populateContract(ConverterTable &t) {
  t["aten.linear"] = convertLinear;
  t["aten.matmul"] = [](Op &op) { return op.finish(matmul(op, op.tensor("self"), op.tensor("other"))); };
  t["aten.__matmul__"] = t["aten.matmul"];
  t["aten.mm"] = product("mk", "kn", "mn", "self", "mat2");
  t["aten.bmm"] = product("bmk", "bkn", "bmn", "self", "mat2");
  t["aten.mv"] = product("mk", "k", "m", "self", "vec");
  t["aten.dot"] = product("k", "k", "", "self", "tensor");
  t["aten.vdot"] = [](Op &op) {
    Tensor l = op.tensor("self"), r = op.tensor("other");
    return op.isBad() ? failure() : op.finish(op.contract(conjugateOf(op, l), "k", r, "k", ""));
  };
  t["aten.linalg_vecdot"] = [](Op &op) -> LogicalResult {
    Tensor l = op.tensor("x"), r = op.tensor("y");
    std::optional<Dims> shape = op.isBad() ? std::nullopt : op.broadcastDims({l.dims(), r.dims()});
    if (!shape)
      return failure();
    int64_t dim = op.dim("dim", shape->size(), -1);
    Tensor product = op.map(l.dtype, l.dtype, {op.broadcast(conjugateOf(op, l), *shape), op.broadcast(r, *shape)},
                            [](Scalars &s, ValueRange v) { return s.mul(v[0], v[1]); });
    return op.isBad() ? failure() : op.finish(op.reduce(graph::ReduceKind::Sum, product, {dim}));
  };
  t["aten.chain_matmul"] = t["aten.linalg_multi_dot"] = [](Op &op) -> LogicalResult {
    Tensors factors = op.tensors(op.node.op().contains("chain") ? "matrices" : "tensors");
    if (op.isBad() || factors.empty())
      return op.isBad() ? failure() : op.error("needs a matrix");
    Tensor product = factors[0];
    for (Tensor factor : ArrayRef(factors).drop_front())
      product = matmul(op, product, factor);
    return op.finish(product);
  };
  t["aten.inner"] = [](Op &op) {
    Tensor l = op.tensor("self"), r = op.tensor("other");
    if (op.isBad())
      return failure();
    if (l.rank() == 0 || r.rank() == 0)
      return op.finish(op.map(l.dtype, l.dtype, {l, r}, [](Scalars &s, ValueRange v) { return s.mul(v[0], v[1]); }));
    if (l.rank() + r.rank() > 20)
      return op.unsupported("of rank above 20");
    std::string a = StringRef("abcdefghijklmnopqrst").take_front(l.rank() - 1).str();
    std::string b = StringRef("ABCDEFGHIJKLMNOPQRST").take_front(r.rank() - 1).str();
    return op.finish(op.contract(l, a + "z", r, b + "z", a + b));
  };
  t["aten.outer"] = t["aten.ger"] = [](Op &op) {
    Tensor l = op.tensor("self"), r = op.tensor("vec2");
    if (op.isBad())
      return failure();
    ScalarType type = op.resultDtype();
    return op.finish(op.map(
        type, type, {Operand(l, {0}), Operand(r, {1})}, [](Scalars &s, ValueRange v) { return s.mul(v[0], v[1]); },
        ScalarType::Unknown, Dims{l.dim(0), r.dim(0)}));
  };
  t["aten.addmm"] = addedProduct("mk", "kn", "mn", "mat1", "mat2");
  t["aten.addmv"] = addedProduct("mk", "k", "m", "mat", "vec");
  t["aten.baddbmm"] = addedProduct("bmk", "bkn", "bmn", "batch1", "batch2");
  t["aten.addbmm"] = addedProduct("bmk", "bkn", "mn", "batch1", "batch2");
  t["aten.einsum"] = convertEinsum;
  t["aten._trilinear"] = convertTrilinear;
  t["aten.tensordot"] = convertTensordot;
  t["aten.linalg_matmul"] = t["aten.matmul"];
  t["aten.addr"] = [](Op &op) {
    Tensor l = op.tensor("vec1"), r = op.tensor("vec2");
    if (op.isBad())
      return failure();
    return finishAdded(op, op.map(
                               l.dtype, l.dtype, {Operand(l, {0}), Operand(r, {1})},
                               [](Scalars &s, ValueRange v) { return s.mul(v[0], v[1]); }, ScalarType::Unknown,
                               Dims{l.dim(0), r.dim(0)}));
  };
  t["aten._weight_int8pack_mm"] = convertInt8PackMm;
  t["aten._int_mm"] = convertIntMm;
  t["aten.bilinear"] = convertBilinear;
}

} // namespace tenon::torch_export
