// Roundings other than to nearest, and floats that the host has no type for.
#ifndef TENON_TEST_EMULATORS_CUDA_ROUNDING_H
#define TENON_TEST_EMULATORS_CUDA_ROUNDING_H

#include "program.h"

#include <string_view>

namespace tenon::emulator {

enum class Rounding : uint8_t { Nearest, Zero, Down, Up, NearestAway };

/// A float of at most 32 bits: sign, exponent, fraction.
struct SmallFormat {
  int exponentBits, fractionBits;
  bool hasInfinity; ///< no: the largest exponent holds numbers too, and only the largest pattern is NaN
};
constexpr SmallFormat kF16 = {5, 10, true}, kBF16 = {8, 7, true}, kTF32 = {8, 10, true}, kE5M2 = {5, 2, true},
                      kE4M3 = {4, 3, false}, kF32 = {8, 23, true};

/// `finite`: what is too large becomes the largest number, infinity too. NaN has all bits but the sign set, or
/// for formats with infinity the largest fraction.
uint32_t encodeSmall(double value, SmallFormat format, Rounding rounding, bool finite = false);
double decodeSmall(uint32_t bits, SmallFormat format);

/// Handlers of add, sub, mul, div, fma, mad, sqrt and rcp that round as Instruction::option says (a Rounding).
Handler directedHandler(std::string_view name, bool isDouble);
/// A double to a float.
float narrow(double value, Rounding rounding);

} // namespace tenon::emulator
#endif
