//===- RtDialect.cpp - the rt dialect and its view of abi.h ---------------===//
#include "dialects/Rt/IR/RtDialect.h"
#include "tenon/abi.h"
#include <cstddef>

using namespace mlir;
using namespace tenon::rt;

#include "dialects/Rt/IR/RtDialect.cpp.inc"
#define GET_OP_CLASSES
#include "dialects/Rt/IR/RtOps.cpp.inc"

void RtDialect::initialize() {
  addOperations<
#define GET_OP_LIST
#include "dialects/Rt/IR/RtOps.cpp.inc"
      >();
}

namespace {
enum Kind { I16 = 2, I32 = 4, I64 = 8, Ptr = 9 };
constexpr size_t sizeOf(Kind kind) { return kind == Ptr ? 8 : kind; }

struct Field {
  AbiStruct where;
  std::string_view name;
  Kind kind;
  size_t offset; // in abi.h
};

constexpr Field kFields[] = {
#define TN_FIELD(STRUCT, FIELD, KIND) {AbiStruct::STRUCT, #FIELD, KIND, offsetof(STRUCT, FIELD)},
#include "dialects/Rt/IR/Abi.def"
};

#define TN_FIELD(STRUCT, FIELD, KIND)                                                                                  \
  static_assert(sizeof(std::declval<STRUCT>().FIELD) == sizeOf(KIND), #STRUCT "." #FIELD " has another size in "       \
                                                                                         "abi.h");
#include "dialects/Rt/IR/Abi.def"

/// End of a struct whose fields lie one after the other, each aligned to its size; 0 when a field is elsewhere.
constexpr size_t endOf(AbiStruct which) {
  size_t at = 0;
  for (const Field &field : kFields) {
    if (field.where != which)
      continue;
    at = (at + sizeOf(field.kind) - 1) / sizeOf(field.kind) * sizeOf(field.kind);
    if (at != field.offset)
      return 0;
    at += sizeOf(field.kind);
  }
  return at;
}
static_assert(endOf(AbiStruct::tn_rt_table) == sizeof(tn_rt_table), "Abi.def differs from abi.h");
static_assert(endOf(AbiStruct::tn_frame) == sizeof(tn_frame), "Abi.def differs from abi.h");
static_assert(endOf(AbiStruct::tn_image_entry) == sizeof(tn_image_entry), "Abi.def differs from abi.h");
static_assert(endOf(AbiStruct::tn_image) == sizeof(tn_image), "Abi.def differs from abi.h");
} // namespace

LLVM::LLVMStructType tenon::rt::getAbiStruct(MLIRContext *context, AbiStruct which) {
  SmallVector<Type> types;
  for (const Field &field : kFields)
    if (field.where == which)
      types.push_back(field.kind == Ptr ? Type(LLVM::LLVMPointerType::get(context))
                                        : Type(IntegerType::get(context, 8 * sizeOf(field.kind))));
  return LLVM::LLVMStructType::getLiteral(context, types);
}

int32_t tenon::rt::getAbiField(AbiStruct which, StringRef name) {
  int32_t index = 0;
  for (const Field &field : kFields) {
    if (field.where != which)
      continue;
    if (name == StringRef(field.name.data(), field.name.size()))
      return index;
    ++index;
  }
  llvm_unreachable("no such field in Abi.def");
}
