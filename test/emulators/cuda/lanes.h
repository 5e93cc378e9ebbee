// How handlers go over the lanes of a warp, and how they read types.
#ifndef TENON_TEST_EMULATORS_CUDA_LANES_H
#define TENON_TEST_EMULATORS_CUDA_LANES_H

#include "decode.h"
#include "machine.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <type_traits>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace tenon::emulator {

/// dest[lane] = value(lane) for the lanes of `mask`. `value` is evaluated for all lanes and must be good for any input.
template <typename T, typename F> inline void setLanes(Mask mask, T *dest, F value) {
  if (mask == kAllLanes) [[likely]] {
    TN_LANES
    for (int lane = 0; lane < kLanes; ++lane)
      dest[lane] = value(lane);
    return;
  }
  TN_LANES
  for (int lane = 0; lane < kLanes; ++lane) {
    T made = value(lane);
    dest[lane] = mask >> lane & 1 ? made : dest[lane];
  }
}

/// Calls `f` for each lane of `mask`, one after another.
template <typename F> inline void forLanes(Mask mask, F f) {
  for (Mask rest = mask; rest; rest &= rest - 1)
    f(std::countr_zero(rest));
}

/// The mask of the lanes whose word is not zero.
inline Mask packLanes(const uint32_t *words) {
#if defined(__AVX2__)
  Mask result = 0;
  for (int i = 0; i < 4; ++i) {
    __m256i part = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(words) + i);
    __m256i zero = _mm256_cmpeq_epi32(part, _mm256_setzero_si256());
    result |= (~static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(zero))) & 0xffu) << (8 * i);
  }
  return result;
#else
  Mask result = 0;
  for (int lane = 0; lane < kLanes; ++lane)
    result |= Mask(words[lane] != 0) << lane;
  return result;
#endif
}

/// The mask of the lanes for which `test(lane)` is true.
template <typename F> inline Mask testLanes(F test) {
  alignas(64) uint32_t words[kLanes];
  TN_LANES
  for (int lane = 0; lane < kLanes; ++lane)
    words[lane] = test(lane) ? ~0u : 0;
  return packLanes(words);
}

inline void setPredicate(Warp &w, uint32_t operand, Mask value) {
  Mask *to = w.at<Mask>(operand);
  *to = (*to & ~w.mask) | (value & w.mask);
}

template <typename To, typename From> inline To bitsAs(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof(to));
  return to;
}

//===----------------------------------------------------------------------===//
// Floats: what a register holds (Bits), and the type that stands for it in arithmetic (Wide)
//===----------------------------------------------------------------------===//

struct F32 {
  using Bits = uint32_t;
  using Wide = float;
  static float get(uint32_t bits) { return bitsAs<float>(bits); }
  static uint32_t put(float value) { return bitsAs<uint32_t>(value); }
};

struct F64 {
  using Bits = uint64_t;
  using Wide = double;
  static double get(uint64_t bits) { return bitsAs<double>(bits); }
  static uint64_t put(double value) { return bitsAs<uint64_t>(value); }
};

struct F16 {
  using Bits = uint16_t;
  using Wide = float;
  static float get(uint16_t bits) { return static_cast<float>(bitsAs<_Float16>(bits)); }
  static uint16_t put(float value) {
    auto bits = bitsAs<uint16_t>(static_cast<_Float16>(value));
    return value != value ? uint16_t(0x7fff) : bits;
  }
};

struct BF16 {
  using Bits = uint16_t;
  using Wide = float;
  static float get(uint16_t bits) { return bitsAs<float>(static_cast<uint32_t>(bits) << 16); }
  static uint16_t put(float value) {
    auto bits = bitsAs<uint32_t>(value);
    uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1)) >> 16;
    return static_cast<uint16_t>(value != value ? 0x7fffu : rounded);
  }
};

/// Subnormal numbers are zero, as operands and as results.
template <typename N> struct Flushed {
  using Bits = typename N::Bits;
  using Wide = typename N::Wide;
  static constexpr Bits kExponent = sizeof(Bits) == 2 ? Bits(std::is_same_v<N, F16> ? 0x7c00 : 0x7f80)
                                                      : Bits(0x7f800000);
  static constexpr Bits kSign = Bits(Bits(1) << (sizeof(Bits) * 8 - 1));
  static Bits flush(Bits bits) { return bits & kExponent ? bits : Bits(bits & kSign); }
  static Wide get(Bits bits) { return N::get(flush(bits)); }
  static Bits put(Wide value) { return flush(N::put(value)); }
};

/// Results are within [0, 1], and 0 for NaN.
template <typename N> struct Saturated {
  using Bits = typename N::Bits;
  using Wide = typename N::Wide;
  static Wide get(Bits bits) { return N::get(bits); }
  static Bits put(Wide value) { return N::put(value > 1 ? Wide(1) : value > 0 ? value : Wide(0)); }
};

/// Two numbers in one register.
template <typename N> struct Pair {
  using Half = typename N::Bits;
  using Bits = std::conditional_t<sizeof(Half) == 2, uint32_t, uint64_t>;
  static constexpr int kShift = sizeof(Half) * 8;
  static Half low(Bits bits) { return static_cast<Half>(bits); }
  static Half high(Bits bits) { return static_cast<Half>(bits >> kShift); }
  static Bits join(Half low, Half high) {
    using Plain = std::make_unsigned_t<Half>; // no sign may run into the other half
    return static_cast<Bits>(static_cast<Plain>(low)) | static_cast<Bits>(static_cast<Plain>(high)) << kShift;
  }
};

/// Op::apply on what registers hold.
template <typename N, typename Op> struct Apply {
  template <typename... T> static typename N::Bits on(T... bits) { return N::put(Op::apply(N::get(bits)...)); }
};
template <typename N, typename Op> struct Apply<Pair<N>, Op> {
  using P = Pair<N>;
  template <typename... T> static typename P::Bits on(T... bits) {
    return P::join(Apply<N, Op>::on(P::low(bits)...), Apply<N, Op>::on(P::high(bits)...));
  }
};

template <typename N, typename Op> void unaryHandler(Warp &w, const Instruction &i) {
  using Bits = typename N::Bits;
  const Bits *a = w.at<Bits>(i.a);
  setLanes(w.mask, w.at<Bits>(i.dest), [=](int lane) { return Apply<N, Op>::on(a[lane]); });
}
template <typename N, typename Op> void binaryHandler(Warp &w, const Instruction &i) {
  using Bits = typename N::Bits;
  const Bits *a = w.at<Bits>(i.a), *b = w.at<Bits>(i.b);
  setLanes(w.mask, w.at<Bits>(i.dest), [=](int lane) { return Apply<N, Op>::on(a[lane], b[lane]); });
}
template <typename N, typename Op> void ternaryHandler(Warp &w, const Instruction &i) {
  using Bits = typename N::Bits;
  const Bits *a = w.at<Bits>(i.a), *b = w.at<Bits>(i.b), *c = w.at<Bits>(i.c);
  setLanes(w.mask, w.at<Bits>(i.dest), [=](int lane) { return Apply<N, Op>::on(a[lane], b[lane], c[lane]); });
}
/// For library functions: only the lanes of the mask are evaluated.
template <typename N, typename Op> void slowUnaryHandler(Warp &w, const Instruction &i) {
  using Bits = typename N::Bits;
  const Bits *a = w.at<Bits>(i.a);
  Bits *dest = w.at<Bits>(i.dest);
  forLanes(w.mask, [=](int lane) { dest[lane] = Apply<N, Op>::on(a[lane]); });
}

/// Integers as they are.
template <typename T> struct Int {
  using Bits = T;
  using Wide = T;
  static T get(T bits) { return bits; }
  static T put(T value) { return value; }
};

/// Calls f<uint8_t>() etc. for an integer type; null for other types. `b` types count as unsigned.
template <typename F> Handler forInteger(Type type, F f) {
  switch (type) {
  case Type::B8:
  case Type::U8:
    return f.template operator()<uint8_t>();
  case Type::B16:
  case Type::U16:
    return f.template operator()<uint16_t>();
  case Type::B32:
  case Type::U32:
    return f.template operator()<uint32_t>();
  case Type::B64:
  case Type::U64:
    return f.template operator()<uint64_t>();
  case Type::S8:
    return f.template operator()<int8_t>();
  case Type::S16:
    return f.template operator()<int16_t>();
  case Type::S32:
    return f.template operator()<int32_t>();
  case Type::S64:
    return f.template operator()<int64_t>();
  default:
    return nullptr;
  }
}

} // namespace tenon::emulator
#endif
