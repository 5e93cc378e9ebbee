//===- SplitComplex.cpp - complex tensors as pairs of real ones -----------===//
// Every complex value becomes two real ones. What lies in memory outside of the function (inputs, results, weights,
// variables) keeps its bytes, and is a real tensor with one more dimension of 2 at the end.
#include "dialects/Graph/Transforms/Passes.h"
#include "mlir/Conversion/ComplexToStandard/ComplexToStandard.h"
#include "mlir/Dialect/Complex/IR/Complex.h"
#include "mlir/Transforms/DialectConversion.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

using namespace mlir;

namespace tenon::graph {
#define GEN_PASS_DEF_SPLITCOMPLEXPASS
#include "dialects/Graph/Transforms/Passes.h.inc"
} // namespace tenon::graph

using namespace tenon;
using namespace tenon::graph;

static ComplexType complexOf(Type type) {
  auto tensor = dyn_cast<RankedTensorType>(type);
  return tensor ? dyn_cast<ComplexType>(tensor.getElementType()) : ComplexType();
}
static bool hasComplex(TypeRange types) { return llvm::any_of(types, [](Type type) { return complexOf(type); }); }

/// Of one part; other types are themselves.
static Type partType(Type type) {
  ComplexType complex = complexOf(type);
  return complex ? withElementType(type, complex.getElementType()) : type;
}

/// tensor<4xcomplex<f32>> as tensor<4x2xf32>.
static Type pairType(Type type) {
  ComplexType complex = complexOf(type);
  if (!complex)
    return type;
  Dims dims = getDims(type);
  dims.push_back(getAffineConstantExpr(2, type.getContext()));
  return makeTensorType(dims, complex.getElementType());
}

namespace {
struct Parts {
  Value re, im;
};

class Splitter {
public:
  explicit Splitter(ModuleOp module) : module(module), b(module.getContext()) {}
  LogicalResult run();

private:
  LogicalResult splitFunction(func::FuncOp function);
  LogicalResult splitBlock(Block &block);
  LogicalResult splitOp(Operation *op);
  void splitMap(MapOp op);
  LogicalResult splitProduct(Operation *op);
  LogicalResult splitReduction(ReduceOp op);
  LogicalResult splitRegions(Operation *op);
  /// `op` on the real parts, then on the imaginary ones.
  void splitTwice(Operation *op);
  Value onPart(Operation *op, bool isReal);

  Value part(Value value, bool isReal) {
    auto it = parts.find(value);
    return it == parts.end() ? value : isReal ? it->second.re : it->second.im;
  }
  Parts unpack(Value pair, Type complex);
  Value pack(Location loc, Parts value);
  Value combine(Location loc, Value x, Value y, bool adds);
  Parts multiply(Location loc, Parts x, Parts y);
  template <typename T> void expand(ValueRange values, SmallVectorImpl<T> &result);
  void expandTypes(TypeRange types, SmallVectorImpl<Type> &result);

  ModuleOp module;
  OpBuilder b;
  llvm::DenseMap<Value, Parts> parts;
  SmallVector<Operation *> dead; ///< in program order
};
} // namespace

Parts Splitter::unpack(Value pair, Type complex) {
  Location loc = pair.getLoc();
  Dims dims = getDims(complex), one = dims;
  one.push_back(b.getAffineConstantExpr(1));
  auto take = [&](int64_t position) -> Value {
    SmallVector<AffineExpr> offsets(dims.size(), b.getAffineConstantExpr(0));
    offsets.push_back(b.getAffineConstantExpr(position));
    Type element = getElementTypeOrSelf(pair.getType());
    Value slice = SliceOp::create(b, loc, makeTensorType(one, element), pair, DimsAttr::get(b.getContext(), offsets),
                                  SmallVector<int64_t>(one.size(), 1));
    return ReshapeOp::create(b, loc, makeTensorType(dims, element), slice);
  };
  return {take(0), take(1)};
}

Value Splitter::pack(Location loc, Parts value) {
  Dims one = getDims(value.re.getType()), two = one;
  Type element = getElementTypeOrSelf(value.re.getType());
  one.push_back(b.getAffineConstantExpr(1));
  two.push_back(b.getAffineConstantExpr(2));
  Value re = ReshapeOp::create(b, loc, makeTensorType(one, element), value.re);
  Value im = ReshapeOp::create(b, loc, makeTensorType(one, element), value.im);
  return ConcatOp::create(b, loc, makeTensorType(two, element), ValueRange{re, im}, one.size() - 1);
}

Value Splitter::combine(Location loc, Value x, Value y, bool adds) {
  AffineMap identity = b.getMultiDimIdentityMap(cast<RankedTensorType>(x.getType()).getRank());
  return MapOp::build(b, loc, x.getType(), {x, y}, {identity, identity},
                      [&](OpBuilder &b, Location loc, ValueRange v) -> SmallVector<Value> {
                        if (adds)
                          return {arith::AddFOp::create(b, loc, v[0], v[1])};
                        return {arith::SubFOp::create(b, loc, v[0], v[1])};
                      })
      .getResult(0);
}

Parts Splitter::multiply(Location loc, Parts x, Parts y) {
  AffineMap identity = b.getMultiDimIdentityMap(cast<RankedTensorType>(x.re.getType()).getRank());
  auto map = MapOp::build(b, loc, {x.re.getType(), x.re.getType()}, {x.re, x.im, y.re, y.im},
                          SmallVector<AffineMap>(4, identity),
                          [](OpBuilder &b, Location loc, ValueRange v) -> SmallVector<Value> {
                            auto mul = [&](Value l, Value r) -> Value { return arith::MulFOp::create(b, loc, l, r); };
                            return {arith::SubFOp::create(b, loc, mul(v[0], v[2]), mul(v[1], v[3])),
                                    arith::AddFOp::create(b, loc, mul(v[0], v[3]), mul(v[1], v[2]))};
                          });
  return {map.getResult(0), map.getResult(1)};
}

Value Splitter::onPart(Operation *op, bool isReal) {
  OperationState state(op->getLoc(), op->getName());
  for (Value operand : op->getOperands())
    state.operands.push_back(part(operand, isReal));
  for (Type type : op->getResultTypes())
    state.types.push_back(partType(type));
  state.attributes = op->getAttrs();
  state.propertiesAttr = op->getPropertiesAsAttribute();
  return b.create(state)->getResult(0);
}

void Splitter::splitTwice(Operation *op) {
  Value re = onPart(op, true);
  parts[op->getResult(0)] = {re, onPart(op, false)};
}

template <typename T> void Splitter::expand(ValueRange values, SmallVectorImpl<T> &result) {
  for (Value value : values) {
    if (auto it = parts.find(value); it != parts.end())
      result.append({it->second.re, it->second.im});
    else
      result.push_back(value);
  }
}

void Splitter::expandTypes(TypeRange types, SmallVectorImpl<Type> &result) {
  for (Type type : types)
    result.append(complexOf(type) ? 2 : 1, partType(type));
}

/// Inside the body numbers stay complex for now: they are put together where they come in and taken apart at the end.
void Splitter::splitMap(MapOp op) {
  Location loc = op.getLoc();
  SmallVector<Value> inputs;
  SmallVector<AffineMap> maps;
  for (auto [input, map] : llvm::zip(op.getInputs(), op.getIndexingMaps().getAsValueRange<AffineMapAttr>())) {
    expand<Value>(input, inputs);
    maps.resize(inputs.size(), map);
  }
  SmallVector<Type> types;
  expandTypes(op.getResultTypes(), types);
  auto fresh = MapOp::create(b, loc, types, inputs, b.getAffineMapArrayAttr(maps));
  fresh->setDiscardableAttrs(op->getDiscardableAttrDictionary());
  Block *body = fresh.getBody().empty() ? b.createBlock(&fresh.getBody()) : &fresh.getBody().front();
  OpBuilder inner = OpBuilder::atBlockEnd(body);
  for (Value input : inputs)
    body->addArgument(getElementTypeOrSelf(input.getType()), loc);
  IRMapping mapping;
  unsigned next = 0;
  for (BlockArgument argument : op.getBlock()->getArguments()) {
    Value value = body->getArgument(next++);
    if (auto complex = dyn_cast<ComplexType>(argument.getType()))
      value = complex::CreateOp::create(inner, loc, complex, value, body->getArgument(next++));
    mapping.map(argument, value);
  }
  for (Operation &scalar : op.getBlock()->without_terminator()) {
    auto select = dyn_cast<arith::SelectOp>(scalar);
    if (!select || !isa<ComplexType>(select.getType())) {
      inner.clone(scalar, mapping);
      continue;
    }
    Value yes = mapping.lookup(select.getTrueValue()), no = mapping.lookup(select.getFalseValue());
    auto choose = [&](auto take) -> Value {
      return arith::SelectOp::create(inner, loc, mapping.lookup(select.getCondition()), take(yes), take(no));
    };
    Value re = choose([&](Value v) -> Value { return complex::ReOp::create(inner, loc, v); });
    Value im = choose([&](Value v) -> Value { return complex::ImOp::create(inner, loc, v); });
    mapping.map(select.getResult(), complex::CreateOp::create(inner, loc, select.getType(), re, im).getResult());
  }
  SmallVector<Value> yielded;
  for (Value value : op.getBlock()->getTerminator()->getOperands()) {
    value = mapping.lookup(value);
    if (isa<ComplexType>(value.getType())) {
      yielded.push_back(complex::ReOp::create(inner, loc, value));
      yielded.push_back(complex::ImOp::create(inner, loc, value));
    } else {
      yielded.push_back(value);
    }
  }
  YieldOp::create(inner, loc, yielded);
  next = 0;
  for (Value result : op.getResults()) {
    Value value = fresh.getResult(next++);
    if (complexOf(result.getType()))
      parts[result] = {value, fresh.getResult(next++)};
    else
      result.replaceAllUsesWith(value);
  }
}

/// Bilinear ops: four real ones.
LogicalResult Splitter::splitProduct(Operation *op) {
  auto real = [&](bool isLeftReal, bool isRightReal) {
    OperationState state(op->getLoc(), op->getName());
    state.operands = {part(op->getOperand(0), isLeftReal), part(op->getOperand(1), isRightReal)};
    state.types = {partType(op->getResult(0).getType())};
    state.attributes = op->getAttrs();
    state.propertiesAttr = op->getPropertiesAsAttribute();
    return b.create(state)->getResult(0);
  };
  bool left = complexOf(op->getOperand(0).getType()) != nullptr, right = complexOf(op->getOperand(1).getType()) != nullptr;
  Location loc = op->getLoc();
  Value re = real(true, true), im;
  if (left && right) {
    re = combine(loc, re, real(false, false), false);
    im = combine(loc, real(true, false), real(false, true), true);
  } else {
    im = left ? real(false, true) : real(true, false);
  }
  parts[op->getResult(0)] = {re, im};
  return success();
}

LogicalResult Splitter::splitReduction(ReduceOp op) {
  if (op.getKind() == ReduceKind::Sum)
    return splitTwice(op), success();
  if (op.getKind() != ReduceKind::Prod)
    return op.emitOpError("compares complex numbers, which have no order");
  // Halves are multiplied until one slice is left.
  Location loc = op.getLoc();
  Parts value = parts.lookup(op.getInput());
  for (int64_t dim : llvm::reverse(op.getDims())) {
    Dims sizes = getDims(value.re.getType());
    std::optional<int64_t> size = asConstant(sizes[dim]);
    if (!size || *size == 0)
      return op.emitOpError("multiplies complex numbers along a dimension whose size is symbolic or 0, which is not "
                            "supported");
    auto slice = [&](Value x, int64_t offset, int64_t count) -> Value {
      Dims part = getDims(x.getType());
      part[dim] = b.getAffineConstantExpr(count);
      SmallVector<AffineExpr> offsets(part.size(), b.getAffineConstantExpr(0));
      offsets[dim] = b.getAffineConstantExpr(offset);
      return SliceOp::create(b, loc, makeTensorType(part, getElementTypeOrSelf(x.getType())), x,
                             DimsAttr::get(b.getContext(), offsets), SmallVector<int64_t>(part.size(), 1));
    };
    auto both = [&](Parts x, int64_t offset, int64_t count) {
      return Parts{slice(x.re, offset, count), slice(x.im, offset, count)};
    };
    Parts rest;
    for (int64_t n = *size; n > 1; n /= 2) {
      if (n % 2) {
        Parts last = both(value, n - 1, 1);
        rest = rest.re ? multiply(loc, rest, last) : last;
      }
      value = multiply(loc, both(value, 0, n / 2), both(value, n / 2, n / 2));
    }
    if (rest.re)
      value = multiply(loc, value, rest);
    sizes.erase(sizes.begin() + dim);
    Type type = makeTensorType(sizes, getElementTypeOrSelf(value.re.getType()));
    value = {ReshapeOp::create(b, loc, type, value.re), ReshapeOp::create(b, loc, type, value.im)};
  }
  parts[op.getResult()] = value;
  return success();
}

/// Loops and their like: each complex operand, block argument, yielded value and result becomes two neighbours.
LogicalResult Splitter::splitRegions(Operation *op) {
  OperationState state(op->getLoc(), op->getName());
  expand(op->getOperands(), state.operands);
  expandTypes(op->getResultTypes(), state.types);
  NamedAttrList attributes(op->getAttrDictionary());
  if (auto segments = dyn_cast_or_null<DenseI32ArrayAttr>(attributes.get("operandSegmentSizes"))) {
    SmallVector<int32_t> sizes;
    unsigned first = 0;
    for (int32_t count : segments.asArrayRef()) {
      SmallVector<Value> values;
      expand(op->getOperands().slice(first, count), values);
      sizes.push_back(values.size());
      first += count;
    }
    attributes.set("operandSegmentSizes", b.getDenseI32ArrayAttr(sizes));
  }
  state.attributes = attributes;
  for (unsigned i = 0; i < op->getNumRegions(); ++i)
    state.addRegion();
  Operation *fresh = b.create(state);
  for (auto [from, to] : llvm::zip(op->getRegions(), fresh->getRegions())) {
    to.takeBody(from);
    for (Block &block : to) {
      SmallVector<BlockArgument> complex;
      for (unsigned i = 0; i < block.getNumArguments(); ++i) {
        BlockArgument argument = block.getArgument(i);
        if (!complexOf(argument.getType()))
          continue;
        Value re = block.insertArgument(i + 1, partType(argument.getType()), argument.getLoc());
        Value im = block.insertArgument(i + 2, partType(argument.getType()), argument.getLoc());
        parts[argument] = {re, im};
        complex.push_back(argument);
        i += 2;
      }
      OpBuilder::InsertionGuard guard(b);
      size_t before = dead.size();
      if (failed(splitBlock(block)))
        return failure();
      // Here, and not at the end: only then can the complex arguments go.
      for (Operation *inner : llvm::reverse(ArrayRef(dead).drop_front(before)))
        inner->erase();
      dead.truncate(before);
      for (BlockArgument argument : llvm::reverse(complex))
        block.eraseArgument(argument.getArgNumber());
    }
  }
  unsigned next = 0;
  for (Value result : op->getResults()) {
    Value value = fresh->getResult(next++);
    if (complexOf(result.getType()))
      parts[result] = {value, fresh->getResult(next++)};
    else
      result.replaceAllUsesWith(value);
  }
  return success();
}

LogicalResult Splitter::splitOp(Operation *op) {
  if (auto use = dyn_cast<UseWeightOp>(op)) {
    Value pair = UseWeightOp::create(b, op->getLoc(), pairType(use.getType()), use.getWeight());
    parts[use.getResult()] = unpack(pair, use.getType());
    return success();
  }
  if (auto constant = dyn_cast<ConstantOp>(op)) {
    Type part = partType(constant.getType());
    SmallVector<APFloat> re, im;
    auto values = cast<DenseElementsAttr>(constant.getValue());
    if (values.isSplat()) {
      auto value = values.getSplatValue<std::complex<APFloat>>();
      re.push_back(value.real());
      im.push_back(value.imag());
    } else {
      for (std::complex<APFloat> value : values.getValues<std::complex<APFloat>>()) {
        re.push_back(value.real());
        im.push_back(value.imag());
      }
    }
    auto make = [&](ArrayRef<APFloat> numbers) -> Value {
      return ConstantOp::create(b, op->getLoc(), part, DenseElementsAttr::get(cast<ShapedType>(part), numbers));
    };
    parts[constant.getResult()] = {make(re), make(im)};
    return success();
  }
  if (auto map = dyn_cast<MapOp>(op))
    return splitMap(map), success();
  if (isa<ContractOp, ConvOp>(op))
    return splitProduct(op);
  if (auto reduce = dyn_cast<ReduceOp>(op))
    return splitReduction(reduce);
  if (auto pad = dyn_cast<PadOp>(op)) {
    auto number = cast<complex::NumberAttr>(pad.getValue());
    auto padded = [&](bool isReal) -> Value {
      Type type = partType(pad.getType());
      auto value = b.getFloatAttr(getElementTypeOrSelf(type), isReal ? number.getReal() : number.getImag());
      return PadOp::create(b, op->getLoc(), type, part(pad.getInput(), isReal), pad.getLow(), pad.getHigh(), value);
    };
    Value re = padded(true);
    parts[pad.getResult()] = {re, padded(false)};
    return success();
  }
  auto scatter = dyn_cast<ScatterOp>(op);
  auto cumulate = dyn_cast<CumulateOp>(op);
  if (isa<PermuteOp, ReshapeOp, BroadcastOp, SliceOp, InsertSliceOp, ConcatOp, ReverseOp, AssertDimOp, GatherOp>(op) ||
      (scatter && (scatter.getKind() == ScatterKind::Set || scatter.getKind() == ScatterKind::Sum)) ||
      (cumulate && cumulate.getKind() == ReduceKind::Sum))
    return splitTwice(op), success();
  if (op->getNumRegions() > 0)
    return splitRegions(op);
  if (op->hasTrait<OpTrait::IsTerminator>()) {
    SmallVector<Value> operands;
    expand(op->getOperands(), operands);
    op->setOperands(operands);
    return success();
  }
  return op->emitOpError("takes complex numbers, which is not supported");
}

LogicalResult Splitter::splitBlock(Block &block) {
  LogicalResult status = success();
  for (Operation &op : llvm::make_early_inc_range(block)) {
    bool isConcerned = hasComplex(op.getOperandTypes()) || hasComplex(op.getResultTypes());
    if (!isConcerned && !isa<MapOp>(op))
      op.walk([&](Block *inner) { isConcerned |= hasComplex(inner->getArgumentTypes()); });
    if (!isConcerned && op.getNumRegions() > 0 && !isa<MapOp>(op))
      op.walk([&](Operation *inner) { isConcerned |= hasComplex(inner->getResultTypes()); });
    if (!isConcerned)
      continue;
    b.setInsertionPoint(&op);
    if (failed(splitOp(&op)))
      status = failure();
    else if (!op.hasTrait<OpTrait::IsTerminator>())
      dead.push_back(&op);
  }
  return status;
}

LogicalResult Splitter::splitFunction(func::FuncOp function) {
  if (function.isExternal())
    return success();
  Block &entry = function.getBody().front();
  b.setInsertionPointToStart(&entry);
  SmallVector<Type> inputs, results;
  SmallVector<BlockArgument> complex; // they keep their type until nothing asks for it
  for (unsigned i = 0; i < entry.getNumArguments(); ++i) {
    BlockArgument argument = entry.getArgument(i);
    if (complexOf(argument.getType())) {
      function.setArgAttr(inputs.size(), kComplexPair, b.getUnitAttr());
      Value pair = entry.insertArgument(i + 1, pairType(argument.getType()), argument.getLoc());
      parts[argument] = unpack(pair, argument.getType());
      complex.push_back(argument);
      inputs.push_back(pair.getType());
      ++i;
    } else {
      inputs.push_back(argument.getType());
    }
  }
  if (failed(splitBlock(entry)))
    return failure();
  // The function's own results are pairs again.
  auto terminator = cast<func::ReturnOp>(entry.getTerminator());
  b.setInsertionPoint(terminator);
  SmallVector<Value> returned;
  unsigned next = 0;
  for (auto [i, type] : llvm::enumerate(function.getResultTypes())) {
    Value value = terminator.getOperand(next++);
    if (complexOf(type)) {
      function.setResultAttr(i, kComplexPair, b.getUnitAttr());
      value = pack(value.getLoc(), {value, terminator.getOperand(next++)});
    }
    returned.push_back(value);
    results.push_back(value.getType());
  }
  terminator->setOperands(returned);
  function.setFunctionType(b.getFunctionType(inputs, results));
  for (Operation *op : llvm::reverse(dead))
    op->erase();
  for (BlockArgument argument : llvm::reverse(complex))
    entry.eraseArgument(argument.getArgNumber());
  dead.clear();
  parts.clear();
  return success();
}

LogicalResult Splitter::run() {
  for (func::FuncOp function : llvm::to_vector(module.getOps<func::FuncOp>()))
    if (failed(splitFunction(function)))
      return failure();
  for (auto weight : module.getOps<WeightOp>())
    weight.setType(pairType(weight.getType()));
  for (auto variable : module.getOps<VariableOp>())
    variable.setType(pairType(variable.getType()));
  return success();
}

namespace {
struct SplitComplexPass final : graph::impl::SplitComplexPassBase<SplitComplexPass> {
  using SplitComplexPassBase::SplitComplexPassBase;
  void runOnOperation() override {
    ModuleOp module = getOperation();
    if (failed(Splitter(module).run()))
      return signalPassFailure();
    // What is left of complex numbers is inside of maps.
    bool isAny = false;
    module.walk([&](Operation *op) { isAny |= isa<complex::ComplexDialect>(op->getDialect()); });
    if (!isAny)
      return;
    RewritePatternSet patterns(&getContext());
    populateComplexToStandardConversionPatterns(patterns);
    ConversionTarget target(getContext());
    target.addLegalDialect<arith::ArithDialect, math::MathDialect, GraphDialect, func::FuncDialect>();
    target.addIllegalDialect<complex::ComplexDialect>();
    target.addLegalOp<complex::CreateOp, complex::ReOp, complex::ImOp, complex::ConstantOp>();
    if (failed(applyPartialConversion(module, target, std::move(patterns))))
      return signalPassFailure();
    if (failed(applyPatternsGreedily(module, RewritePatternSet(&getContext())))) // folds re(create(a, b))
      return signalPassFailure();
    module.walk([&](Operation *op) {
      if (isa<complex::ComplexDialect>(op->getDialect())) {
        op->emitOpError("is left after complex numbers were split");
        signalPassFailure();
      }
    });
  }
};
} // namespace
