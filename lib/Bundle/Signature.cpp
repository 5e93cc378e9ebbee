//===- Signature.cpp - plans to the tables of the file header -------------===//
#include "Signature.h"
#include "tenon/Conversion/PlanToRt.h"
#include "tenon/format.h"

using namespace mlir;
using namespace tenon;
using flatbuffers::FlatBufferBuilder;
using flatbuffers::Offset;

file::DType tenon::dtypeOf(Type element, bool isUnsigned) {
  using file::DType;
  if (auto complex = dyn_cast<ComplexType>(element))
    return complex.getElementType().isF32() ? DType::C64 : complex.getElementType().isF64() ? DType::C128 : DType::None;
  if (element.isF64())
    return DType::F64;
  if (element.isF32())
    return DType::F32;
  if (element.isF16())
    return DType::F16;
  if (element.isBF16())
    return DType::BF16;
  if (isa<Float8E4M3FNType>(element))
    return DType::F8E4M3FN;
  if (isa<Float8E5M2Type>(element))
    return DType::F8E5M2;
  if (isa<Float8E4M3FNUZType>(element))
    return DType::F8E4M3FNUZ;
  if (isa<Float8E5M2FNUZType>(element))
    return DType::F8E5M2FNUZ;
  if (isa<Float8E8M0FNUType>(element))
    return DType::F8E8M0FNU;
  if (auto integer = dyn_cast<IntegerType>(element)) {
    isUnsigned |= integer.isUnsigned();
    switch (integer.getWidth()) {
    case 1:
      return DType::Bool;
    case 8:
      return isUnsigned ? DType::U8 : DType::I8;
    case 16:
      return isUnsigned ? DType::U16 : DType::I16;
    case 32:
      return isUnsigned ? DType::U32 : DType::I32;
    case 64:
      return isUnsigned ? DType::U64 : DType::I64;
    default:
      break;
    }
  }
  return DType::None;
}

static void encode(AffineExpr expr, std::vector<int64_t> &code) {
  if (auto constant = dyn_cast<AffineConstantExpr>(expr)) {
    code.insert(code.end(), {TN_DIM_CONST, constant.getValue()});
    return;
  }
  if (auto symbol = dyn_cast<AffineSymbolExpr>(expr)) {
    code.insert(code.end(), {TN_DIM_SYMBOL, static_cast<int64_t>(symbol.getPosition())});
    return;
  }
  auto binary = cast<AffineBinaryOpExpr>(expr);
  encode(binary.getLHS(), code);
  encode(binary.getRHS(), code);
  switch (expr.getKind()) {
  case AffineExprKind::Add:
    return code.push_back(TN_DIM_ADD);
  case AffineExprKind::Mul:
    return code.push_back(TN_DIM_MUL);
  case AffineExprKind::FloorDiv:
    return code.push_back(TN_DIM_FLOORDIV);
  case AffineExprKind::CeilDiv:
    return code.push_back(TN_DIM_CEILDIV);
  default:
    return code.push_back(TN_DIM_MOD);
  }
}

Offset<file::Dim> tenon::writeDim(FlatBufferBuilder &builder, AffineExpr expr) {
  std::vector<int64_t> code;
  encode(expr, code);
  return file::CreateDimDirect(builder, &code);
}

std::string tenon::describeLocation(Location location) {
  std::string result;
  location->walk([&](Location inner) {
    if (auto at = dyn_cast<FileLineColLoc>(inner)) {
      result = (at.getFilename().getValue() + ":" + Twine(at.getLine())).str();
      return WalkResult::interrupt();
    }
    if (auto name = dyn_cast<NameLoc>(inner); name && result.empty())
      result = name.getName().str();
    return WalkResult::advance();
  });
  return result;
}

static std::vector<Offset<file::Tensor>> writePorts(FlatBufferBuilder &builder, ArrayAttr ports, const char *fallback) {
  std::vector<Offset<file::Tensor>> tensors;
  for (auto [i, attribute] : llvm::enumerate(ports)) {
    auto port = cast<DictionaryAttr>(attribute);
    auto type = cast<RankedTensorType>(cast<TypeAttr>(port.get("type")).getValue());
    auto text = [&](StringRef key) {
      auto value = port.getAs<StringAttr>(key);
      return value ? value.getValue().str() : std::string();
    };
    std::string name = text("graph.name"), path = text("graph.path");
    if (name.empty())
      name = fallback + std::to_string(i);
    auto role = llvm::StringSwitch<file::TensorRole>(text("graph.role"))
                    .Case("parameter", file::TensorRole::Parameter)
                    .Case("buffer", file::TensorRole::Buffer)
                    .Case("gradient", file::TensorRole::Gradient)
                    .Case("optimizer", file::TensorRole::Optimizer)
                    .Case("loss", file::TensorRole::Loss)
                    .Case("auxiliary", file::TensorRole::Auxiliary)
                    .Default(file::TensorRole::User);
    graph::Dims sizes = graph::getDims(type);
    Type element = type.getElementType();
    if (port.contains(graph::kComplexPair)) {
      element = ComplexType::get(element);
      sizes.pop_back();
    }
    std::vector<Offset<file::Dim>> dims;
    for (AffineExpr dim : sizes)
      dims.push_back(writeDim(builder, dim));
    tensors.push_back(file::CreateTensorDirect(builder, name.c_str(),
                                               dtypeOf(element, port.contains("graph.unsigned")), &dims, role, false, path.empty() ? nullptr : path.c_str()));
  }
  return tensors;
}

Offset<file::Entry> tenon::writeEntry(FlatBufferBuilder &builder, plan::FuncOp func,
                                      const llvm::StringMap<uint32_t> &stateIndex) {
  std::vector<Offset<file::Symbol>> symbols;
  for (Attribute attribute : func.getSymbols()) {
    auto symbol = cast<graph::SymbolAttr>(attribute);
    Offset<file::Dim> bound;
    if (symbol.isFound())
      bound = writeDim(builder, symbol.getBound().getExprs()[0]);
    symbols.push_back(file::CreateSymbolDirect(builder, symbol.getName().str().c_str(), symbol.getMin(),
                                               symbol.getMax(), /*multiple_of=*/1, bound));
  }
  auto inputs = writePorts(builder, func.getInputs(), "input"),
       outputs = writePorts(builder, func.getOutputs(), "output");
  auto indices = [&](ArrayAttr names) {
    std::vector<uint32_t> list;
    for (Attribute name : names)
      list.push_back(stateIndex.lookup(cast<FlatSymbolRefAttr>(name).getValue()));
    return list;
  };
  std::vector<uint32_t> read = indices(func.getStatesRead()), written = indices(func.getStatesWritten());
  std::string origin = describeLocation(func.getLoc());
  return file::CreateEntryDirect(builder, func.getSymName().str().c_str(), &symbols, &inputs, &outputs, &read, &written,
                                 origin.c_str());
}

Offset<file::VariantEntry> tenon::writeVariantEntry(FlatBufferBuilder &builder, plan::FuncOp func,
                                                      const BundleVariant &variant) {
  llvm::StringMap<uint64_t> addressOf;
  for (const ImageFunction &function : variant.functions)
    addressOf[function.name] = function.address;
  // Kernels in the order of their first call.
  llvm::MapVector<StringRef, std::pair<plan::CallOp, uint32_t>> calls;
  func.walk([&](plan::CallOp call) {
    auto [it, fresh] = calls.insert({call.getCallee(), {call, 0}});
    ++it->second.second;
  });
  std::vector<Offset<file::Kernel>> kernels;
  for (auto &[name, use] : calls) {
    auto [call, count] = use;
    AffineExpr moved = getAffineConstantExpr(0, func.getContext());
    for (Value buffer : llvm::concat<Value>(llvm::to_vector(call.getInputs()), llvm::to_vector(call.getOutputs())))
      moved = moved + plan::bufferBytes(buffer);
    Offset<file::Dim> flops = call.getWork() ? writeDim(builder, call.getWork()->getValue()) : Offset<file::Dim>();
    kernels.push_back(file::CreateKernelDirect(builder, name.str().c_str(), flops,
                                               writeDim(builder, graph::normalize(moved)),
                                               variant.codeBytes.lookup(kernelSymbol(name)),
                                               describeLocation(call.getLoc()).c_str(), count, /*hash=*/0,
                                               addressOf.lookup(kernelSymbol(name)), call->hasAttr(kDeviceKernelAttr)));
  }
  int64_t arena = 0, scratch = 0;
  bool isArenaFixed = true, isScratchFixed = true;
  func.walk([&](Operation *op) {
    if (auto alloc = dyn_cast<plan::AllocOp>(op)) {
      if (alloc.getOffset())
        arena = std::max<int64_t>(
            arena, llvm::alignTo(*alloc.getOffset() + *alloc.getBytes().getConstant(), plan::kBufferAlign));
      else
        isArenaFixed = false;
    } else if (auto call = dyn_cast<plan::CallOp>(op)) {
      if (std::optional<int64_t> bytes = call.getScratchBytes().getConstant())
        scratch = std::max(scratch, *bytes);
      else
        isScratchFixed = false;
    }
  });
  auto fixed = [&](bool isFixed, int64_t bytes) {
    return isFixed ? writeDim(builder, getAffineConstantExpr(bytes, func.getContext())) : Offset<file::Dim>();
  };
  Offset<file::Dim> arenaDim = fixed(isArenaFixed, arena), scratchDim = fixed(isScratchFixed, scratch);
  return file::CreateVariantEntryDirect(builder, &kernels, arenaDim, scratchDim, variant.codeBytes.lookup("host"));
}
