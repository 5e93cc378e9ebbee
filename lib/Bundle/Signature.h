//===- Signature.h - plans to the tables of the file header ---------------===//
#ifndef TENON_LIB_BUNDLE_SIGNATURE_H
#define TENON_LIB_BUNDLE_SIGNATURE_H

#include "dialects/Kernel/IR/KernelDialect.h"
#include "dialects/Plan/IR/PlanDialect.h"
#include "tenon/Bundle/Writer.h"
#include "tenon_generated.h"

namespace tenon {

/// An element type as the file names it; None when the file has no name for it. Signedness comes from the attribute
/// `graph.unsigned` of the port.
file::DType dtypeOf(mlir::Type element, bool isUnsigned = false);
flatbuffers::Offset<file::Dim> writeDim(flatbuffers::FlatBufferBuilder &builder, mlir::AffineExpr expr);
flatbuffers::Offset<file::Entry> writeEntry(flatbuffers::FlatBufferBuilder &builder, plan::FuncOp func,
                                            const llvm::StringMap<uint32_t> &stateIndex);
flatbuffers::Offset<file::VariantEntry> writeVariantEntry(flatbuffers::FlatBufferBuilder &builder, plan::FuncOp func,
                                                          const BundleVariant &variant);
/// "model.py:12" or the first name in the location, or "".
std::string describeLocation(mlir::Location location);

} // namespace tenon
#endif
