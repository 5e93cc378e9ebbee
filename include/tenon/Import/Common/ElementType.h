// Element types of the models that are read. They tell unsigned from signed integers, which MLIR types do not.
#ifndef TENON_IMPORT_COMMON_ELEMENTTYPE_H
#define TENON_IMPORT_COMMON_ELEMENTTYPE_H

#include "llvm/ADT/StringRef.h"
#include <cstdint>

namespace tenon::frontend {

/// Element types, numbered as in files of torch.export (not as in c10).
enum class ScalarType : uint8_t {
  Unknown = 0,
  Byte = 1,
  Char = 2,
  Short = 3,
  Int = 4,
  Long = 5,
  Half = 6,
  Float = 7,
  Double = 8,
  ComplexHalf = 9,
  ComplexFloat = 10,
  ComplexDouble = 11,
  Bool = 12,
  BFloat16 = 13,
  UInt16 = 28,
  Float8E4M3FN = 29,
  Float8E5M2 = 30,
  Float8E4M3FNUZ = 31,
  Float8E5M2FNUZ = 32,
  Float8E8M0FNU = 33,
  UInt32 = 34,
  UInt64 = 35,
  // Not in files of torch.export.
  Int4 = 64,
  UInt4,
  Int2,
  UInt2,
  Float4E2M1FN,
  Float6E2M3FN,
  Float6E3M2FN,
};
/// Bytes of one element in a stored tensor; 0 for Unknown. Types of less than a byte take one.
unsigned bytesOf(ScalarType type);
/// torch's name, e.g. "float32".
llvm::StringRef nameOf(ScalarType type);

} // namespace tenon::frontend
#endif
