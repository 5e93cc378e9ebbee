// Sizes and names of element types.
#include "tenon/Import/Common/ElementType.h"

using namespace llvm;

namespace tenon::frontend {

unsigned bytesOf(ScalarType type) {
  switch (type) {
  case ScalarType::Unknown:
    return 0;
  case ScalarType::Byte:
  case ScalarType::Char:
  case ScalarType::Bool:
  case ScalarType::Float8E4M3FN:
  case ScalarType::Float8E5M2:
  case ScalarType::Float8E4M3FNUZ:
  case ScalarType::Float8E5M2FNUZ:
  case ScalarType::Float8E8M0FNU:
  case ScalarType::Int4:
  case ScalarType::UInt4:
  case ScalarType::Int2:
  case ScalarType::UInt2:
  case ScalarType::Float4E2M1FN:
  case ScalarType::Float6E2M3FN:
  case ScalarType::Float6E3M2FN:
    return 1;
  case ScalarType::Short:
  case ScalarType::UInt16:
  case ScalarType::Half:
  case ScalarType::BFloat16:
    return 2;
  case ScalarType::Int:
  case ScalarType::UInt32:
  case ScalarType::Float:
  case ScalarType::ComplexHalf:
    return 4;
  case ScalarType::Long:
  case ScalarType::UInt64:
  case ScalarType::Double:
  case ScalarType::ComplexFloat:
    return 8;
  case ScalarType::ComplexDouble:
    return 16;
  }
  return 0;
}

StringRef nameOf(ScalarType type) {
  switch (type) {
  case ScalarType::Unknown:
    return "unknown";
  case ScalarType::Byte:
    return "uint8";
  case ScalarType::Char:
    return "int8";
  case ScalarType::Short:
    return "int16";
  case ScalarType::Int:
    return "int32";
  case ScalarType::Long:
    return "int64";
  case ScalarType::Half:
    return "float16";
  case ScalarType::Float:
    return "float32";
  case ScalarType::Double:
    return "float64";
  case ScalarType::ComplexHalf:
    return "complex32";
  case ScalarType::ComplexFloat:
    return "complex64";
  case ScalarType::ComplexDouble:
    return "complex128";
  case ScalarType::Bool:
    return "bool";
  case ScalarType::BFloat16:
    return "bfloat16";
  case ScalarType::UInt16:
    return "uint16";
  case ScalarType::Float8E4M3FN:
    return "float8_e4m3fn";
  case ScalarType::Float8E5M2:
    return "float8_e5m2";
  case ScalarType::Float8E4M3FNUZ:
    return "float8_e4m3fnuz";
  case ScalarType::Float8E5M2FNUZ:
    return "float8_e5m2fnuz";
  case ScalarType::Float8E8M0FNU:
    return "float8_e8m0fnu";
  case ScalarType::UInt32:
    return "uint32";
  case ScalarType::UInt64:
    return "uint64";
  case ScalarType::Int4:
    return "int4";
  case ScalarType::UInt4:
    return "uint4";
  case ScalarType::Int2:
    return "int2";
  case ScalarType::UInt2:
    return "uint2";
  case ScalarType::Float4E2M1FN:
    return "float4_e2m1fn";
  case ScalarType::Float6E2M3FN:
    return "float6_e2m3fn";
  case ScalarType::Float6E3M2FN:
    return "float6_e3m2fn";
  }
  return "unknown";
}

} // namespace tenon::frontend
