// Elements of the operands of matrix products.
#ifndef TENON_TEST_EMULATORS_CUDA_ELEMENTS_H
#define TENON_TEST_EMULATORS_CUDA_ELEMENTS_H

#include "lanes.h"
#include "rounding.h"

namespace tenon::emulator {

struct Halves {
  using Number = float;
  using Stored = uint16_t;
  static float get(uint16_t bits) { return F16::get(bits); }
};

struct Brains {
  using Number = float;
  using Stored = uint16_t;
  static float get(uint16_t bits) { return BF16::get(bits); }
};

/// TF32: the lower 13 bits of a float do not count.
struct Tensors {
  using Number = float;
  using Stored = uint32_t;
  static float get(uint32_t bits) { return F32::get(bits & ~0x1fffu); }
};

template <typename T> struct Bytes {
  using Number = int32_t;
  using Stored = uint8_t;
  static int32_t get(uint8_t bits) { return static_cast<T>(bits); }
};

/// Floats of 8 bits, by a table.
template <bool isE4M3> struct Quarters {
  using Number = float;
  using Stored = uint8_t;
  static float get(uint8_t bits) { return table.values[bits]; }

private:
  struct Table {
    float values[256];
    Table() {
      for (uint32_t bits = 0; bits < 256; ++bits)
        values[bits] = static_cast<float>(decodeSmall(bits, isE4M3 ? kE4M3 : kE5M2));
    }
  };
  inline static const Table table;
};

/// How many elements are in a word of 32 bits.
template <typename E> constexpr int kInWord = 4 / int(sizeof(typename E::Stored));

/// a * b + sum.
template <typename T> inline T multiplyAdd(T a, T b, T sum) {
  if constexpr (std::is_same_v<T, float>)
    return __builtin_fmaf(a, b, sum);
  else
    return static_cast<T>(uint32_t(sum) + uint32_t(a) * uint32_t(b));
}

} // namespace tenon::emulator
#endif
