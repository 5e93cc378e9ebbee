//===- SplitMasks.cpp - masked memory accesses of one register --------------===//
#include "SplitMasks.h"
#include "llvm/Analysis/VectorUtils.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/IR/PatternMatch.h"
#include <numeric>

using namespace llvm;
using namespace llvm::PatternMatch;

namespace {
/// One access, part by part.
class Splitter {
public:
  Splitter(IntrinsicInst *access, unsigned lanes) : access(access), lanes(lanes), b(access) {}
  void splitLoad(VectorType *type);
  void splitStore(VectorType *type);

private:
  /// Lanes `first` .. of a vector.
  Value *part(Value *vector, unsigned first) {
    if (isa<PoisonValue>(vector))
      return PoisonValue::get(typeOf(vector));
    if (Value *splat = getSplatValue(vector))
      return b.CreateVectorSplat(lanes, splat);
    SmallVector<int> order(lanes);
    std::iota(order.begin(), order.end(), first);
    return b.CreateShuffleVector(vector, order); // folds constants
  }
  Value *partOfMask(Value *mask, unsigned first);
  FixedVectorType *typeOf(Value *vector) {
    return FixedVectorType::get(cast<VectorType>(vector->getType())->getElementType(), lanes);
  }
  Value *address(Value *pointer, Type *element, unsigned first) { return b.CreateConstInBoundsGEP1_64(element, pointer, first); }
  Align alignment(Align whole, Type *element, unsigned first) {
    return commonAlignment(whole, first * (element->getScalarSizeInBits() / 8));
  }

  IntrinsicInst *access;
  unsigned lanes;
  IRBuilder<> b;
};
} // namespace

/// Goes through logic, so that what is false everywhere in these lanes is seen to be.
Value *Splitter::partOfMask(Value *mask, unsigned first) {
  Value *l, *r, *condition;
  if (match(mask, m_And(m_Value(l), m_Value(r)))) {
    Value *a = partOfMask(l, first), *c = partOfMask(r, first);
    if (match(a, m_Zero()) || match(c, m_AllOnes()))
      return a;
    return match(c, m_Zero()) || match(a, m_AllOnes()) ? c : b.CreateAnd(a, c);
  }
  if (match(mask, m_Select(m_Value(condition), m_Value(l), m_Value(r))) && condition->getType()->isIntegerTy(1)) {
    Value *a = partOfMask(l, first), *c = partOfMask(r, first);
    return a == c ? a : b.CreateSelect(condition, a, c);
  }
  return part(mask, first);
}

void Splitter::splitLoad(VectorType *type) {
  unsigned count = type->getElementCount().getFixedValue();
  Value *pointer = access->getArgOperand(0), *mask = access->getArgOperand(1), *rest = access->getArgOperand(2);
  Align align = access->getParamAlign(0).valueOrOne();
  Type *element = type->getElementType();
  SmallVector<Value *> parts;
  for (unsigned first = 0; first < count; first += lanes) {
    Value *isHere = partOfMask(mask, first), *other = part(rest, first);
    parts.push_back(match(isHere, m_Zero())
                        ? other
                        : b.CreateMaskedLoad(typeOf(rest), address(pointer, element, first),
                                             alignment(align, element, first), isHere, other));
  }
  access->replaceAllUsesWith(concatenateVectors(b, parts));
  access->eraseFromParent();
}

void Splitter::splitStore(VectorType *type) {
  unsigned count = type->getElementCount().getFixedValue();
  Value *value = access->getArgOperand(0), *pointer = access->getArgOperand(1), *mask = access->getArgOperand(2);
  Align align = access->getParamAlign(1).valueOrOne();
  Type *element = type->getElementType();
  for (unsigned first = 0; first < count; first += lanes) {
    Value *isHere = partOfMask(mask, first);
    if (!match(isHere, m_Zero()))
      b.CreateMaskedStore(part(value, first), address(pointer, element, first), alignment(align, element, first), isHere);
  }
  access->eraseFromParent();
}

void tenon::splitMaskedAccesses(Module &module, unsigned registerBits) {
  SmallVector<IntrinsicInst *> accesses;
  for (Function &function : module)
    for (BasicBlock &block : function)
      for (Instruction &instruction : block)
        if (auto *call = dyn_cast<IntrinsicInst>(&instruction))
          if (call->getIntrinsicID() == Intrinsic::masked_load || call->getIntrinsicID() == Intrinsic::masked_store)
            accesses.push_back(call);
  for (IntrinsicInst *access : accesses) {
    bool isLoad = access->getIntrinsicID() == Intrinsic::masked_load;
    auto *type = cast<VectorType>(isLoad ? access->getType() : access->getArgOperand(0)->getType());
    unsigned bits = type->getScalarSizeInBits(), lanes = bits ? registerBits / bits : 0;
    unsigned count = type->getElementCount().getKnownMinValue();
    if (isa<ScalableVectorType>(type) || lanes < 2 || count <= lanes || count % lanes)
      continue;
    Splitter splitter(access, lanes);
    isLoad ? splitter.splitLoad(type) : splitter.splitStore(type);
  }
}
