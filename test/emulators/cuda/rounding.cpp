// See rounding.h. Compiled so that the compiler respects the rounding mode.
#include "rounding.h"

#include "lanes.h"

#include <cfenv>

namespace tenon::emulator {

uint32_t encodeSmall(double value, SmallFormat format, Rounding rounding, bool finite) {
  const int fraction = format.fractionBits, bias = (1 << (format.exponentBits - 1)) - 1;
  const uint32_t sign = std::signbit(value) ? 1u << (format.exponentBits + fraction) : 0;
  const uint32_t allFraction = (1u << fraction) - 1, exponentField = (1u << format.exponentBits) - 1;
  const uint32_t infinity = exponentField << fraction;
  const uint32_t largest = format.hasInfinity ? infinity - 1 : (infinity | allFraction) - 1;
  if (value != value)
    return infinity | allFraction;
  double magnitude = std::fabs(value);
  uint32_t bits;
  if (std::isinf(magnitude)) {
    bits = largest + 1;
  } else if (magnitude == 0) {
    return sign;
  } else {
    int exponent;
    std::frexp(magnitude, &exponent); // magnitude = m * 2^exponent, 0.5 <= m < 1
    exponent = std::max(exponent - 1, 1 - bias);
    double scaled = std::ldexp(magnitude, fraction - exponent); // the places that are kept, before the point
    double whole = std::floor(scaled), rest = scaled - whole;
    bool odd = std::fmod(whole, 2) != 0, up = false;
    switch (rounding) {
    case Rounding::Nearest:
      up = rest > 0.5 || (rest == 0.5 && odd);
      break;
    case Rounding::NearestAway:
      up = rest >= 0.5;
      break;
    case Rounding::Zero:
      break;
    case Rounding::Down:
      up = rest > 0 && sign;
      break;
    case Rounding::Up:
      up = rest > 0 && !sign;
      break;
    }
    double significand = whole + (up ? 1 : 0);
    // A carry runs into the exponent by itself. Too large ones are cut off before they leave the integer.
    int field = exponent + bias - 1;
    if (field > int(exponentField))
      bits = largest + 1;
    else
      bits = static_cast<uint32_t>(std::min(double(field) * double(allFraction + 1) + significand, double(largest) + 1));
    bool canReachInfinity = rounding == Rounding::Nearest || rounding == Rounding::NearestAway ||
                            (rounding == Rounding::Up && !sign) || (rounding == Rounding::Down && sign);
    if (bits > largest && !canReachInfinity)
      bits = largest;
  }
  if (bits > largest && finite)
    bits = largest;
  return sign | bits;
}

double decodeSmall(uint32_t bits, SmallFormat format) {
  const int fraction = format.fractionBits, bias = (1 << (format.exponentBits - 1)) - 1;
  const uint32_t allFraction = (1u << fraction) - 1, exponentField = (1u << format.exponentBits) - 1;
  uint32_t field = bits >> fraction & exponentField, part = bits & allFraction;
  double sign = bits >> (format.exponentBits + fraction) & 1 ? -1.0 : 1.0;
  if (field == exponentField) {
    if (format.hasInfinity)
      return part ? std::numeric_limits<double>::quiet_NaN() : sign * std::numeric_limits<double>::infinity();
    if (part == allFraction)
      return std::numeric_limits<double>::quiet_NaN();
  }
  if (field == 0)
    return sign * std::ldexp(double(part), 1 - bias - fraction);
  return sign * std::ldexp(double(part + allFraction + 1), int(field) - bias - fraction);
}

namespace {

/// The mode for what follows in this scope.
class RoundingScope {
public:
  explicit RoundingScope(Rounding rounding) : before(std::fegetround()) {
    std::fesetround(rounding == Rounding::Zero   ? FE_TOWARDZERO
                    : rounding == Rounding::Down ? FE_DOWNWARD
                    : rounding == Rounding::Up   ? FE_UPWARD
                                                 : FE_TONEAREST);
  }
  ~RoundingScope() { std::fesetround(before); }

private:
  int before;
};

enum class Operation { Add, Sub, Mul, Div, Fma, Sqrt, Rcp };

} // namespace

template <typename T, Operation op> static T directed(T a, T b, T c) {
  switch (op) {
  case Operation::Add:
    return a + b;
  case Operation::Sub:
    return a - b;
  case Operation::Mul:
    return a * b;
  case Operation::Div:
    return a / b;
  case Operation::Fma:
    return std::fma(a, b, c);
  case Operation::Sqrt:
    return std::sqrt(a);
  case Operation::Rcp:
    return 1 / a;
  }
  return 0;
}

template <typename T, Operation op> static void directedOperation(Warp &w, const Instruction &i) {
  RoundingScope scope(static_cast<Rounding>(i.option));
  const T *a = w.at<T>(i.a), *b = w.at<T>(i.b), *c = w.at<T>(i.c);
  volatile T *dest = w.at<T>(i.dest); // nothing may move out of the scope
  forLanes(w.mask, [=](int lane) { dest[lane] = directed<T, op>(a[lane], b[lane], c[lane]); });
}

template <typename T> static Handler directedFor(std::string_view name) {
  if (name == "add")
    return directedOperation<T, Operation::Add>;
  if (name == "sub")
    return directedOperation<T, Operation::Sub>;
  if (name == "mul")
    return directedOperation<T, Operation::Mul>;
  if (name == "div")
    return directedOperation<T, Operation::Div>;
  if (name == "fma" || name == "mad")
    return directedOperation<T, Operation::Fma>;
  if (name == "sqrt")
    return directedOperation<T, Operation::Sqrt>;
  if (name == "rcp")
    return directedOperation<T, Operation::Rcp>;
  return nullptr;
}

Handler directedHandler(std::string_view name, bool isDouble) {
  return isDouble ? directedFor<double>(name) : directedFor<float>(name);
}

float narrow(double value, Rounding rounding) {
  RoundingScope scope(rounding);
  volatile float result = static_cast<float>(value);
  return result;
}

} // namespace tenon::emulator
