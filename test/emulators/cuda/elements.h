// How operands of matrix products lie in words of 32 bits.
#ifndef TENON_TEST_EMULATORS_CUDA_ELEMENTS_H
#define TENON_TEST_EMULATORS_CUDA_ELEMENTS_H

#include "lanes.h"
#include "rounding.h"

namespace tenon::emulator {

struct Halves {
  using Number = float;
  static constexpr int kInWord = 2;
  static float get(uint32_t word, int k) { return F16::get(static_cast<uint16_t>(word >> (16 * k))); }
};

struct Brains {
  using Number = float;
  static constexpr int kInWord = 2;
  static float get(uint32_t word, int k) { return BF16::get(static_cast<uint16_t>(word >> (16 * k))); }
};

/// TF32: the lower 13 bits of a float do not count.
struct Tensors {
  using Number = float;
  static constexpr int kInWord = 1;
  static float get(uint32_t word, int) { return F32::get(word & ~0x1fffu); }
};

template <typename T> struct Bytes {
  using Number = int32_t;
  static constexpr int kInWord = 4;
  static int32_t get(uint32_t word, int k) { return static_cast<T>(word >> (8 * k)); }
};

/// Floats of 8 bits, by a table.
template <bool isE4M3> struct Quarters {
  using Number = float;
  static constexpr int kInWord = 4;
  static float get(uint32_t word, int k) { return table[word >> (8 * k) & 0xff]; }

private:
  struct Table {
    float values[256];
    Table() {
      for (uint32_t bits = 0; bits < 256; ++bits)
        values[bits] = static_cast<float>(decodeSmall(bits, isE4M3 ? kE4M3 : kE5M2));
    }
    float operator[](size_t bits) const { return values[bits]; }
  };
  inline static const Table table;
};

} // namespace tenon::emulator
#endif
