//===- RtDialect.h - the rt dialect ---------------------------------------===//
// Calls into the runtime's binary interface. See docs/dialects/rt.md.
#ifndef TENON_DIALECTS_RT_IR_RTDIALECT_H
#define TENON_DIALECTS_RT_IR_RTDIALECT_H

#include "tenon/Support/Pch.h"

#include "dialects/Rt/IR/RtDialect.h.inc"
#define GET_OP_CLASSES
#include "dialects/Rt/IR/RtOps.h.inc"

namespace tenon::rt {

/// The structs of abi.h.
enum class AbiStruct { tn_rt_table, tn_frame, tn_image_entry, tn_image };
/// The LLVM type of a struct, with its fields in order.
mlir::LLVM::LLVMStructType getAbiStruct(mlir::MLIRContext *context, AbiStruct which);
/// Position of a field; asserts that there is one.
int32_t getAbiField(AbiStruct which, llvm::StringRef field);

} // namespace tenon::rt
#endif
