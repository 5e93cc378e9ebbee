//===- Emitter.cpp - building blocks of kernels ---------------------------===//
#include "Emitter.h"

using namespace mlir;
using namespace tenon;
using namespace tenon::kernels;

Type tenon::kernels::storageType(Type element) {
  return element.isInteger(1) ? IntegerType::get(element.getContext(), 8) : element;
}
int64_t tenon::kernels::storageBytes(Type element) { return llvm::divideCeil(element.getIntOrFloatBitWidth(), 8); }

/// How many symbols the kernel's types and ops use: the highest one plus 1.
static unsigned countSymbols(kernel::FuncOp kernel) {
  unsigned count = 0;
  auto look = [&](Attribute attribute) {
    attribute.walk([&](graph::DimsAttr dims) {
      for (AffineExpr expr : dims.getExprs())
        expr.walk([&](AffineExpr e) {
          if (auto symbol = dyn_cast<AffineSymbolExpr>(e))
            count = std::max(count, symbol.getPosition() + 1);
        });
    });
  };
  kernel->walk([&](Operation *op) {
    look(op->getAttrDictionary());
    for (Type type : op->getResultTypes())
      look(TypeAttr::get(type));
    for (Region &region : op->getRegions())
      for (Block &block : region)
        for (Type type : block.getArgumentTypes())
          look(TypeAttr::get(type));
  });
  return count;
}

/// Of those that the kernel knows of and those that all of them are passed.
static int64_t countSymbolSlots(kernel::FuncOp kernel) {
  auto total = kernel->getAttrOfType<IntegerAttr>("symbol_count");
  return total ? total.getInt() : countSymbols(kernel);
}

int64_t tenon::kernels::countSlots(kernel::FuncOp kernel) {
  return kernel.getNumArguments() + kernel.getFunctionType().getNumResults() + countSymbolSlots(kernel) + kernel->hasAttr("sites");
}

void Emitter::loadArguments(Value args) {
  Type pointer = LLVM::LLVMPointerType::get(b.getContext()), word = b.getI64Type();
  int64_t slot = 0;
  auto nextSlot = [&](Type type) {
    Value at = offsetPointer(args, word, i64(slot++));
    return LLVM::LoadOp::create(b, loc, type, at, /*alignment=*/8, false, false, /*isInvariant=*/true).getResult();
  };
  for (unsigned i = 0; i < kernel.getNumArguments(); ++i)
    inputs.push_back(nextSlot(pointer));
  for (unsigned i = 0; i < kernel.getFunctionType().getNumResults(); ++i)
    outputs.push_back(nextSlot(pointer));
  for (unsigned i = 0, n = countSymbols(kernel); i < n; ++i)
    symbols.push_back(nextSlot(word));
  slot += countSymbolSlots(kernel) - static_cast<int64_t>(symbols.size());
  if (kernel->hasAttr("sites"))
    siteBase = nextSlot(word);
}

//===----------------------------------------------------------------------===//
// Scalars
//===----------------------------------------------------------------------===//

Value Emitter::i64(int64_t value) { return arith::ConstantIntOp::create(b, loc, value, 64); }
Value Emitter::constant(TypedAttr value) { return arith::ConstantOp::create(b, loc, value); }

static std::optional<int64_t> known(Value value) {
  APInt constant;
  if (matchPattern(value, m_ConstantInt(&constant)))
    return constant.getSExtValue();
  return std::nullopt;
}

Value Emitter::add(Value x, Value y) {
  if (known(y) == 0)
    return x;
  if (known(x) == 0)
    return y;
  if (known(x) && known(y))
    return i64(*known(x) + *known(y));
  return arith::AddIOp::create(b, loc, x, y, arith::IntegerOverflowFlags::nsw);
}
Value Emitter::sub(Value x, Value y) {
  if (known(y) == 0)
    return x;
  if (known(x) && known(y))
    return i64(*known(x) - *known(y));
  return arith::SubIOp::create(b, loc, x, y, arith::IntegerOverflowFlags::nsw);
}
Value Emitter::mul(Value x, Value y) {
  if (known(y) == 1)
    return x;
  if (known(x) == 1)
    return y;
  if (known(x) && known(y))
    return i64(*known(x) * *known(y));
  return arith::MulIOp::create(b, loc, x, y, arith::IntegerOverflowFlags::nsw);
}
Value Emitter::divFloor(Value x, Value y) {
  if (known(y) == 1)
    return x;
  if (known(x) && known(y) && *known(x) >= 0)
    return i64(*known(x) / *known(y));
  return arith::DivUIOp::create(b, loc, x, y);
}
Value Emitter::rem(Value x, Value y) {
  if (known(y) == 1)
    return i64(0);
  if (known(x) && known(y) && *known(x) >= 0)
    return i64(*known(x) % *known(y));
  return arith::RemUIOp::create(b, loc, x, y);
}
Value Emitter::min(Value x, Value y) {
  if (known(x) && known(y))
    return i64(std::min(*known(x), *known(y)));
  return arith::MinSIOp::create(b, loc, x, y);
}
Value Emitter::max(Value x, Value y) {
  if (known(x) && known(y))
    return i64(std::max(*known(x), *known(y)));
  return arith::MaxSIOp::create(b, loc, x, y);
}
Value Emitter::less(Value x, Value y) { return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, x, y); }
Value Emitter::select(Value c, Value x, Value y) { return arith::SelectOp::create(b, loc, c, x, y); }

Value Emitter::size(AffineExpr expr) {
  if (auto c = dyn_cast<AffineConstantExpr>(expr))
    return i64(c.getValue());
  if (auto s = dyn_cast<AffineSymbolExpr>(expr))
    return symbols[s.getPosition()];
  auto binary = cast<AffineBinaryOpExpr>(expr);
  Value l = size(binary.getLHS()), r = size(binary.getRHS());
  switch (expr.getKind()) {
  case AffineExprKind::Add:
    return add(l, r);
  case AffineExprKind::Mul:
    return mul(l, r);
  case AffineExprKind::Mod:
    return rem(l, r);
  case AffineExprKind::FloorDiv:
    return divFloor(l, r);
  default:
    return divFloor(add(l, sub(r, i64(1))), r);
  }
}

//===----------------------------------------------------------------------===//
// Control
//===----------------------------------------------------------------------===//

SmallVector<Value> Emitter::loop(Value lo, Value hi, Value step, ValueRange init, Body body) {
  std::optional<int64_t> l = known(lo), h = known(hi), s = known(step);
  if (l && h && s && *h - *l <= *s) { // at most one turn
    if (*h <= *l)
      return SmallVector<Value>(init);
    return body(lo, init);
  }
  auto loop = scf::ForOp::create(b, loc, lo, hi, step, init);
  OpBuilder::InsertionGuard guard(b);
  if (init.empty()) { // the builder has put the terminator
    b.setInsertionPointToStart(loop.getBody());
    body(loop.getInductionVar(), {});
    return {};
  }
  b.setInsertionPointToEnd(loop.getBody());
  SmallVector<Value> results = body(loop.getInductionVar(), loop.getRegionIterArgs());
  scf::YieldOp::create(b, loc, results);
  return SmallVector<Value>(loop.getResults());
}

void Emitter::loop(Value lo, Value hi, Value step, function_ref<void(Value)> body) {
  loop(lo, hi, step, ValueRange(), [&](Value iv, ValueRange) {
    body(iv);
    return SmallVector<Value>();
  });
}

void Emitter::ifThen(Value condition, function_ref<void()> body) {
  if (known(condition)) {
    if (*known(condition))
      body();
    return;
  }
  auto op = scf::IfOp::create(b, loc, condition, /*withElseRegion=*/false);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPoint(op.thenBlock()->getTerminator());
  body();
}

void Emitter::ifElse(Value condition, function_ref<void()> body, function_ref<void()> otherwise) {
  auto op = scf::IfOp::create(b, loc, condition, /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPoint(op.thenBlock()->getTerminator());
  body();
  b.setInsertionPoint(op.elseBlock()->getTerminator());
  otherwise();
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

Value Emitter::offsetPointer(Value pointer, Type element, Value index) {
  if (known(index) == 0)
    return pointer;
  return LLVM::GEPOp::create(b, loc, LLVM::LLVMPointerType::get(b.getContext()), storageType(element), pointer,
                             ArrayRef<LLVM::GEPArg>{index}, LLVM::GEPNoWrapFlags::inbounds);
}

Value Emitter::loadScalar(Value pointer, Type element, Value index) {
  Type stored = storageType(element);
  Value value = LLVM::LoadOp::create(b, loc, stored, offsetPointer(pointer, element, index), storageBytes(element));
  if (stored == element)
    return value;
  return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ne, value, arith::ConstantIntOp::create(b, loc, 0, 8));
}

void Emitter::storeScalar(Value pointer, Type element, Value index, Value value) {
  if (storageType(element) != element)
    value = arith::ExtUIOp::create(b, loc, storageType(element), value);
  LLVM::StoreOp::create(b, loc, value, offsetPointer(pointer, element, index), storageBytes(element));
}

Value Emitter::loadPointer(Value pointer, Value index) {
  return LLVM::LoadOp::create(b, loc, LLVM::LLVMPointerType::get(b.getContext()),
                              offsetPointer(pointer, b.getI64Type(), index), /*alignment=*/8);
}

void Emitter::storePointer(Value pointer, Value index, Value value) {
  LLVM::StoreOp::create(b, loc, value, offsetPointer(pointer, b.getI64Type(), index), /*alignment=*/8);
}

/// Type in which masked accesses move an element: LLVM takes masked halves apart and converts each lane by a call.
static Type maskedType(Type element) {
  if (element.isF16() || element.isBF16())
    return IntegerType::get(element.getContext(), 16);
  return storageType(element);
}

/// The value to store for one of `element`: bools are bytes, halves moved under a mask are integers.
static Value toStorage(Emitter &e, Type element, Value value, Type stored) {
  Type type = e.vectorOf(stored, cast<VectorType>(value.getType()).getNumElements());
  if (stored == element)
    return value;
  if (isa<FloatType>(element))
    return arith::BitcastOp::create(e.b, e.loc, type, value);
  return arith::ExtUIOp::create(e.b, e.loc, type, value);
}

/// The reverse.
static Value fromStorage(Emitter &e, Type element, Value value) {
  auto type = cast<VectorType>(value.getType());
  if (type.getElementType() == element)
    return value;
  if (isa<FloatType>(element))
    return arith::BitcastOp::create(e.b, e.loc, e.vectorOf(element, type.getNumElements()), value);
  return arith::CmpIOp::create(e.b, e.loc, arith::CmpIPredicate::ne, value, e.zeros(value.getType()));
}

int64_t Emitter::alignBytes(Type element, int64_t align) const {
  return std::max(storageBytes(element), std::gcd(bufferAlign, storageBytes(element) * align));
}

Value Emitter::loadVector(Value pointer, Type element, Value index, int64_t lanes, Value mask, int64_t align) {
  VectorType type = vectorOf(mask ? maskedType(element) : storageType(element), lanes);
  Value address = offsetPointer(pointer, element, index);
  unsigned bytes = alignBytes(element, align);
  Value value = mask ? LLVM::MaskedLoadOp::create(b, loc, type, address, mask, zeros(type), b.getI32IntegerAttr(bytes))
                           .getResult()
                     : LLVM::LoadOp::create(b, loc, type, address, bytes).getResult();
  return fromStorage(*this, element, value);
}

void Emitter::storeVector(Value pointer, Type element, Value index, Value value, Value mask, int64_t align) {
  value = toStorage(*this, element, value, mask ? maskedType(element) : storageType(element));
  Value address = offsetPointer(pointer, element, index);
  unsigned bytes = alignBytes(element, align);
  if (mask)
    LLVM::MaskedStoreOp::create(b, loc, value, address, mask, b.getI32IntegerAttr(bytes));
  else
    LLVM::StoreOp::create(b, loc, value, address, bytes);
}

static Value pointersAt(Emitter &e, Value pointer, Type element, Value indices) {
  int64_t lanes = cast<VectorType>(indices.getType()).getNumElements();
  Type pointers = VectorType::get(lanes, LLVM::LLVMPointerType::get(e.b.getContext()));
  return LLVM::GEPOp::create(e.b, e.loc, pointers, storageType(element), pointer, ArrayRef<LLVM::GEPArg>{indices});
}

static Value allLanes(Emitter &e, int64_t lanes) {
  return arith::ConstantOp::create(e.b, e.loc, DenseElementsAttr::get(e.vectorOf(e.b.getI1Type(), lanes), true));
}

Value Emitter::gather(Value pointer, Type element, Value indices, Value mask) {
  int64_t lanes = cast<VectorType>(indices.getType()).getNumElements();
  VectorType type = vectorOf(maskedType(element), lanes);
  Value value = LLVM::masked_gather::create(b, loc, type, pointersAt(*this, pointer, element, indices),
                                            mask ? mask : allLanes(*this, lanes), ValueRange{zeros(type)},
                                            b.getI32IntegerAttr(storageBytes(element)));
  return fromStorage(*this, element, value);
}

void Emitter::scatter(Value pointer, Type element, Value indices, Value value, Value mask) {
  int64_t lanes = cast<VectorType>(indices.getType()).getNumElements();
  value = toStorage(*this, element, value, maskedType(element));
  LLVM::masked_scatter::create(b, loc, value, pointersAt(*this, pointer, element, indices),
                               mask ? mask : allLanes(*this, lanes), b.getI32IntegerAttr(storageBytes(element)));
}

//===----------------------------------------------------------------------===//
// Vectors
//===----------------------------------------------------------------------===//

Value Emitter::splat(Value scalar, int64_t lanes) {
  return vector::BroadcastOp::create(b, loc, vectorOf(scalar.getType(), lanes), scalar);
}
Value Emitter::zeros(Type type) { return constant(cast<TypedAttr>(b.getZeroAttr(type))); }

Value Emitter::iota(int64_t lanes) {
  SmallVector<int64_t> values = llvm::to_vector(llvm::seq<int64_t>(0, lanes));
  return constant(DenseElementsAttr::get(vectorOf(b.getI64Type(), lanes), ArrayRef(values)));
}

Value Emitter::tailMask(Value base, Value limit, int64_t lanes) {
  if (known(base) && known(limit) && *known(base) + lanes <= *known(limit))
    return {};
  // 32-bit lanes: as wide as the data the mask is mostly for.
  SmallVector<int32_t> values = llvm::to_vector(llvm::seq<int32_t>(0, lanes));
  Value steps = constant(DenseElementsAttr::get(vectorOf(b.getI32Type(), lanes), ArrayRef(values)));
  Value left = min(sub(limit, base), i64(lanes));
  left = arith::TruncIOp::create(b, loc, b.getI32Type(), left);
  return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, steps, splat(left, lanes));
}

Value Emitter::fma(Value x, Value y, Value z) {
  if (hasFMA)
    return math::FmaOp::create(b, loc, x, y, z);
  return arith::AddFOp::create(b, loc, arith::MulFOp::create(b, loc, x, y), z);
}

Value Emitter::combine(graph::ReduceKind kind, Value x, Value y) {
  bool isFloat = isa<FloatType>(getElementTypeOrSelf(x.getType()));
  switch (kind) {
  case graph::ReduceKind::Sum:
    return isFloat ? arith::AddFOp::create(b, loc, x, y).getResult() : arith::AddIOp::create(b, loc, x, y).getResult();
  case graph::ReduceKind::Prod:
    return isFloat ? arith::MulFOp::create(b, loc, x, y).getResult() : arith::MulIOp::create(b, loc, x, y).getResult();
  case graph::ReduceKind::Max:
  case graph::ReduceKind::Min: {
    bool isMax = kind == graph::ReduceKind::Max;
    if (!isFloat)
      return isMax ? arith::MaxSIOp::create(b, loc, x, y).getResult() : arith::MinSIOp::create(b, loc, x, y).getResult();
    // The larger, or y when either is NaN: one instruction on x86. Then x where that is NaN.
    Value better = arith::CmpFOp::create(b, loc, isMax ? arith::CmpFPredicate::OGT : arith::CmpFPredicate::OLT, x, y);
    Value picked = select(better, x, y);
    Value isNaN = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::UNO, x, x);
    return select(isNaN, x, picked);
  }
  case graph::ReduceKind::Any:
    return arith::OrIOp::create(b, loc, x, y);
  case graph::ReduceKind::All:
    return arith::AndIOp::create(b, loc, x, y);
  case graph::ReduceKind::LogSumExp: {
    // The larger one is taken out, so that nothing overflows; where it is infinite, or no number, it is the result.
    Value high = combine(graph::ReduceKind::Max, x, y), low = combine(graph::ReduceKind::Min, x, y);
    Value ratio = math::ExpOp::create(b, loc, arith::SubFOp::create(b, loc, low, high).getResult());
    Value sum = arith::AddFOp::create(b, loc, high, math::Log1pOp::create(b, loc, ratio).getResult());
    Value difference = arith::SubFOp::create(b, loc, high, high);
    Value isFinite = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::ORD, difference, difference);
    return select(isFinite, sum, high);
  }
  }
  llvm_unreachable("every kind is handled");
}

TypedAttr Emitter::identity(graph::ReduceKind kind, Type element) {
  bool isFloat = isa<FloatType>(element);
  switch (kind) {
  case graph::ReduceKind::Sum:
  case graph::ReduceKind::Any:
    return cast<TypedAttr>(b.getZeroAttr(element));
  case graph::ReduceKind::Prod:
  case graph::ReduceKind::All:
    return cast<TypedAttr>(b.getOneAttr(element));
  default:
    break;
  }
  bool isMax = kind == graph::ReduceKind::Max || kind == graph::ReduceKind::LogSumExp;
  if (isFloat)
    return b.getFloatAttr(element, APFloat::getInf(cast<FloatType>(element).getFloatSemantics(), /*Negative=*/isMax));
  unsigned bits = element.getIntOrFloatBitWidth();
  return b.getIntegerAttr(element, isMax ? APInt::getSignedMinValue(bits) : APInt::getSignedMaxValue(bits));
}

/// A fixed tree: halves combine until one lane is left, the same for every width of machine.
Value Emitter::reduceLanes(graph::ReduceKind kind, Value value) {
  auto type = dyn_cast<VectorType>(value.getType());
  if (!type)
    return value;
  for (int64_t lanes = type.getNumElements(); lanes > 1; lanes /= 2) {
    SmallVector<int64_t> low = llvm::to_vector(llvm::seq<int64_t>(0, lanes / 2));
    SmallVector<int64_t> high = llvm::to_vector(llvm::seq<int64_t>(lanes / 2, lanes));
    Value a = vector::ShuffleOp::create(b, loc, value, value, low), c = vector::ShuffleOp::create(b, loc, value, value, high);
    value = combine(kind, a, c);
  }
  return vector::ExtractOp::create(b, loc, value, ArrayRef<int64_t>{0});
}

//===----------------------------------------------------------------------===//
// Kernels
//===----------------------------------------------------------------------===//

void tenon::kernels::setSchedule(Emitter &e, AffineExpr tiles, AffineExpr scratchBytes, AffineExpr work) {
  e.kernel.setExpr("tiles", tiles);
  e.kernel.setExpr("scratch", scratchBytes);
  e.kernel.setExpr("work", work);
}

OperandRange tenon::kernels::resultsOf(kernel::FuncOp kernel) {
  return cast<kernel::ReturnOp>(kernel.getBody().front().getTerminator()).getValues();
}

SmallVector<Value> tenon::kernels::delinearize(Emitter &e, Value flat, ArrayRef<AffineExpr> sizes) {
  SmallVector<Value> positions(sizes.size());
  int64_t first = -1;
  for (auto [i, size] : llvm::enumerate(sizes))
    if (graph::asConstant(size) != 1) {
      first = i;
      break;
    }
  for (int64_t i = sizes.size() - 1; i >= 0; --i) {
    if (graph::asConstant(sizes[i]) == 1) {
      positions[i] = e.i64(0);
      continue;
    }
    if (i == first) {
      positions[i] = flat;
      continue;
    }
    Value size = e.size(sizes[i]);
    positions[i] = e.rem(flat, size);
    flat = e.divFloor(flat, size);
  }
  return positions;
}

Point tenon::kernels::bindPoint(Evaluator &ev, ArrayRef<Value> positions, ArrayRef<AffineExpr> sizes, bool hasLanes) {
  Point point;
  for (auto [i, position, size] : llvm::enumerate(positions, sizes)) {
    bool isLane = hasLanes && i + 1 == positions.size() && ev.lanes > 1;
    point.push_back(graph::asConstant(size) == 1 ? getAffineConstantExpr(0, ev.e.b.getContext())
                                                 : ev.bind(position, size, isLane ? ev.lanes : 1, isLane));
  }
  return point;
}

int64_t tenon::kernels::workPerPoint(kernel::FuncOp kernel) {
  int64_t work = 1;
  kernel.walk([&](graph::MapOp map) {
    for (Operation &op : map.getBlock()->without_terminator())
      work += op.getName().getDialectNamespace() == "math" ? 10 : 1;
  });
  return work;
}

Type tenon::kernels::accumulatorFor(Type element) {
  if (element.isF16() || element.isBF16())
    return Float32Type::get(element.getContext());
  return element;
}

static Type likeShape(Type shaped, Type element) {
  if (auto vector = dyn_cast<VectorType>(shaped))
    return VectorType::get(vector.getShape(), element);
  return element;
}

Value tenon::kernels::toAccumulator(Emitter &e, Value value, Type accumulator) {
  Type element = getElementTypeOrSelf(value.getType()), wanted = likeShape(value.getType(), accumulator);
  if (element == accumulator)
    return value;
  if (isa<FloatType>(element))
    return arith::ExtFOp::create(e.b, e.loc, wanted, value);
  return arith::ExtSIOp::create(e.b, e.loc, wanted, value);
}

Value tenon::kernels::fromAccumulator(Emitter &e, Value value, Type element) {
  Type have = getElementTypeOrSelf(value.getType()), wanted = likeShape(value.getType(), element);
  if (element == have)
    return value;
  if (isa<FloatType>(element))
    return arith::TruncFOp::create(e.b, e.loc, wanted, value);
  return element.getIntOrFloatBitWidth() > have.getIntOrFloatBitWidth()
             ? arith::ExtSIOp::create(e.b, e.loc, wanted, value).getResult()
             : arith::TruncIOp::create(e.b, e.loc, wanted, value).getResult();
}
