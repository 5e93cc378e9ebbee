// cvt: between all types, with all roundings; pairs of small floats.
#include "lanes.h"
#include "rounding.h"

#include <limits>

namespace tenon::emulator {
namespace {

/// A conversion as its statement says it.
struct Conversion {
  Type to = Type::None, from = Type::None;
  int integerRounding = -1; ///< rni rzi rmi rpi
  int rounding = -1;        ///< rn rz rm rp rna
  bool flush = false, saturate = false, finite = false, relu = false;
};

} // namespace

//===----------------------------------------------------------------------===//
// Integers to integers
//===----------------------------------------------------------------------===//

template <typename To, typename From> static To clampTo(From value) {
  if (std::is_signed_v<From> && value < 0) {
    if (!std::is_signed_v<To>)
      return 0;
    return static_cast<int64_t>(value) < static_cast<int64_t>(std::numeric_limits<To>::min())
               ? std::numeric_limits<To>::min()
               : static_cast<To>(value);
  }
  return static_cast<uint64_t>(value) > static_cast<uint64_t>(std::numeric_limits<To>::max())
             ? std::numeric_limits<To>::max()
             : static_cast<To>(value);
}

/// `count`: bits of the source's register; registers may be wider than the types.
template <typename To, typename From, typename Dest, typename Source> static void resize(Warp &w, const Instruction &i) {
  const Source *a = w.at<Source>(i.a);
  using Wide = std::conditional_t<std::is_signed_v<To>, std::make_signed_t<Dest>, Dest>;
  if (i.option)
    setLanes(w.mask, w.at<Dest>(i.dest),
             [=](int lane) { return static_cast<Dest>(static_cast<Wide>(clampTo<To>(static_cast<From>(a[lane])))); });
  else
    setLanes(w.mask, w.at<Dest>(i.dest), [=](int lane) {
      return static_cast<Dest>(static_cast<Wide>(static_cast<To>(static_cast<From>(a[lane]))));
    });
}

template <typename To, typename From, typename Dest> static Handler resizeHandler(uint32_t sourceBits) {
  if constexpr (sizeof(Dest) < sizeof(To)) {
    return nullptr;
  } else {
    switch (sourceBits) {
    case 16:
      if constexpr (sizeof(From) <= 2)
        return resize<To, From, Dest, uint16_t>;
      return nullptr;
    case 32:
      if constexpr (sizeof(From) <= 4)
        return resize<To, From, Dest, uint32_t>;
      return nullptr;
    case 64:
      return resize<To, From, Dest, uint64_t>;
    default:
      return nullptr;
    }
  }
}

static void integerToInteger(Decoder &d, const Statement &s, const Conversion &c) {
  uint32_t destBits = 0, sourceBits = 0;
  uint32_t dest = d.wideDest(s.operands[0], bitsOf(c.to), destBits);
  uint32_t source = d.wideSource(s.operands[1], bitsOf(c.from), sourceBits);
  Handler handler = forInteger(c.to, [&]<typename To>() -> Handler {
    return forInteger(c.from, [&]<typename From>() -> Handler {
      switch (destBits) {
      case 16:
        return resizeHandler<To, From, uint16_t>(sourceBits);
      case 32:
        return resizeHandler<To, From, uint32_t>(sourceBits);
      case 64:
        return resizeHandler<To, From, uint64_t>(sourceBits);
      default:
        return nullptr;
      }
    });
  });
  Instruction &made = d.add(handler);
  made.dest = dest, made.a = source, made.option = c.saturate;
}

//===----------------------------------------------------------------------===//
// Between floats and integers
//===----------------------------------------------------------------------===//

static double roundToInteger(double value, int how) {
  switch (how) {
  case 0:
    return __builtin_roundeven(value);
  case 1:
    return std::trunc(value);
  case 2:
    return std::floor(value);
  default:
    return std::ceil(value);
  }
}

template <typename To> static To toInteger(double value) {
  if (value != value)
    return 0;
  if (value <= static_cast<double>(std::numeric_limits<To>::min()))
    return std::numeric_limits<To>::min();
  if (value >= static_cast<double>(std::numeric_limits<To>::max()))
    return std::numeric_limits<To>::max();
  return static_cast<To>(value);
}

/// option: the rounding; a narrow result fills its register.
template <typename To, typename N, typename Dest> static void floatToInteger(Warp &w, const Instruction &i) {
  const auto *a = w.at<typename N::Bits>(i.a);
  Dest *dest = w.at<Dest>(i.dest);
  using Wide = std::conditional_t<std::is_signed_v<To>, std::make_signed_t<Dest>, Dest>;
  forLanes(w.mask, [=](int lane) {
    dest[lane] = static_cast<Dest>(static_cast<Wide>(toInteger<To>(roundToInteger(double(N::get(a[lane])), i.option))));
  });
}

template <typename To, typename N> static Handler floatToIntegerHandler(uint32_t destBits) {
  if (destBits < sizeof(To) * 8)
    return nullptr;
  if constexpr (sizeof(To) <= 2)
    if (destBits == 16)
      return floatToInteger<To, N, uint16_t>;
  if constexpr (sizeof(To) <= 4)
    if (destBits == 32)
      return floatToInteger<To, N, uint32_t>;
  return destBits == 64 ? floatToInteger<To, N, uint64_t> : Handler();
}

static void floatToInteger(Decoder &d, const Statement &s, const Conversion &c) {
  if (c.integerRounding < 0)
    d.fail("says no rounding to an integer");
  uint32_t destBits = 0, dest = d.wideDest(s.operands[0], bitsOf(c.to), destBits);
  uint32_t source = d.sourceOf(s.operands[1], c.from);
  Handler handler = forInteger(c.to, [&]<typename To>() -> Handler {
    switch (c.from) {
    case Type::F16:
      return floatToIntegerHandler<To, F16>(destBits);
    case Type::BF16:
      return floatToIntegerHandler<To, BF16>(destBits);
    case Type::F32:
      return c.flush ? floatToIntegerHandler<To, Flushed<F32>>(destBits) : floatToIntegerHandler<To, F32>(destBits);
    case Type::F64:
      return floatToIntegerHandler<To, F64>(destBits);
    default:
      return nullptr;
    }
  });
  Instruction &made = d.add(handler);
  made.dest = dest, made.a = source, made.option = static_cast<uint8_t>(c.integerRounding);
}

static SmallFormat formatOf(Type type) {
  switch (type) {
  case Type::F16:
  case Type::F16x2:
    return kF16;
  case Type::BF16:
  case Type::BF16x2:
    return kBF16;
  case Type::TF32:
    return kTF32;
  case Type::E4M3x2:
    return kE4M3;
  case Type::E5M2x2:
    return kE5M2;
  default:
    return kF32;
  }
}

/// The nearest float to an integer, or as `rounding` says. A 64-bit integer is cut to 53 bits with a sticky last place first,
/// so that it is rounded once.
template <typename From> static double exactEnough(From value, bool toDouble) {
  if (sizeof(From) < 8 || toDouble)
    return static_cast<double>(value);
  bool negative = std::is_signed_v<From> && value < 0;
  uint64_t magnitude = negative ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  if (magnitude >> 53) {
    int drop = 64 - std::countl_zero(magnitude) - 53;
    uint64_t rest = magnitude & ((uint64_t(1) << drop) - 1);
    magnitude = (magnitude >> drop | (rest ? 1 : 0)) << drop;
  }
  double result = static_cast<double>(magnitude);
  return negative ? -result : result;
}

/// option: the rounding; count: 1 where the result is within [0, 1].
template <typename To, typename From, typename Source> static void integerToFloat(Warp &w, const Instruction &i) {
  const Source *a = w.at<Source>(i.a);
  auto *dest = w.at<typename To::Bits>(i.dest);
  auto rounding = static_cast<Rounding>(i.option);
  if constexpr (std::is_same_v<To, F32> && sizeof(From) < 8)
    if (rounding == Rounding::Nearest)
      return setLanes(w.mask, dest, [=](int lane) { return F32::put(static_cast<float>(static_cast<From>(a[lane]))); });
  forLanes(w.mask, [=](int lane) {
    From value = static_cast<From>(a[lane]);
    if constexpr (std::is_same_v<To, F64>) {
      // 64-bit integers to double round to nearest; the other modes are for smaller ones only, which are exact.
      dest[lane] = F64::put(static_cast<double>(value));
    } else {
      SmallFormat format = std::is_same_v<To, F16> ? kF16 : std::is_same_v<To, BF16> ? kBF16 : kF32;
      dest[lane] = static_cast<typename To::Bits>(encodeSmall(exactEnough(value, false), format, rounding));
    }
  });
}

template <typename To, typename From> static Handler integerToFloatHandler(uint32_t sourceBits) {
  if constexpr (sizeof(From) <= 2)
    if (sourceBits == 16)
      return integerToFloat<To, From, uint16_t>;
  if constexpr (sizeof(From) <= 4)
    if (sourceBits == 32)
      return integerToFloat<To, From, uint32_t>;
  return sourceBits == 64 ? integerToFloat<To, From, uint64_t> : Handler();
}

static void integerToFloat(Decoder &d, const Statement &s, const Conversion &c) {
  if (c.rounding < 0)
    d.fail("says no rounding");
  if (c.saturate || (c.to == Type::F64 && c.rounding > 0 && bitsOf(c.from) == 64))
    d.fail("not emulated with this rounding or '.sat'");
  uint32_t sourceBits = 0, source = d.wideSource(s.operands[1], bitsOf(c.from), sourceBits);
  uint32_t dest = d.dest(s.operands[0], bitsOf(c.to));
  Handler handler = forInteger(c.from, [&]<typename From>() -> Handler {
    switch (c.to) {
    case Type::F16:
      return integerToFloatHandler<F16, From>(sourceBits);
    case Type::BF16:
      return integerToFloatHandler<BF16, From>(sourceBits);
    case Type::F32:
      return integerToFloatHandler<F32, From>(sourceBits);
    case Type::F64:
      return integerToFloatHandler<F64, From>(sourceBits);
    default:
      return nullptr;
    }
  });
  Instruction &made = d.add(handler);
  made.dest = dest, made.a = source, made.option = static_cast<uint8_t>(c.rounding);
}

//===----------------------------------------------------------------------===//
// Floats to floats
//===----------------------------------------------------------------------===//

/// Exact, or rounded to nearest by the host.
template <typename To, typename From> static void refloat(Warp &w, const Instruction &i) {
  const auto *a = w.at<typename From::Bits>(i.a);
  setLanes(w.mask, w.at<typename To::Bits>(i.dest),
           [=](int lane) { return To::put(static_cast<typename To::Wide>(From::get(a[lane]))); });
}

static double saturated(double value) { return value > 1 ? 1 : value > 0 ? value : 0; }

/// The general way: option has the rounding; immediate: 1 integer rounding + 1, << 4 flush, << 5 saturate, << 6 finite, << 7 relu;
/// count: the target's type.
template <typename From> static double prepared(typename From::Bits bits, int64_t how) {
  double value = how & 16 ? Flushed<F32>::get(F32::put(static_cast<float>(From::get(bits)))) : double(From::get(bits));
  if (how & 15)
    value = value - value == 0 ? roundToInteger(value, int(how & 15) - 1) : value;
  if (how & 32)
    value = saturated(value);
  if (how & 128)
    value = value < 0 ? 0 : value;
  return value;
}

template <typename From> static void refloatSlowly(Warp &w, const Instruction &i) {
  const auto *a = w.at<typename From::Bits>(i.a);
  auto type = static_cast<Type>(i.count);
  auto rounding = static_cast<Rounding>(i.option);
  forLanes(w.mask, [=](int lane) {
    double value = prepared<From>(a[lane], i.immediate);
    if (type == Type::F64) {
      w.at<uint64_t>(i.dest)[lane] = F64::put(value);
      return;
    }
    uint32_t bits = encodeSmall(value, formatOf(type), rounding, i.immediate & 64);
    if (type == Type::F32) {
      if (value != value)
        bits = F32::put(static_cast<float>(value));
      w.at<uint32_t>(i.dest)[lane] = i.immediate & 16 ? Flushed<F32>::flush(bits) : bits;
    } else if (type == Type::TF32) {
      w.at<uint32_t>(i.dest)[lane] = bits << 13;
    } else {
      w.at<uint16_t>(i.dest)[lane] = static_cast<uint16_t>(bits);
    }
  });
}

template <typename From> static Handler quickHandler(Type to) {
  switch (to) {
  case Type::F16:
    // A double would be rounded twice.
    if constexpr (!std::is_same_v<From, F64>)
      return refloat<F16, From>;
    return refloatSlowly<F64>;
  case Type::BF16:
    if constexpr (!std::is_same_v<From, F64>)
      return refloat<BF16, From>;
    return refloatSlowly<F64>;
  case Type::F32:
    return refloat<F32, From>;
  case Type::F64:
    return refloat<F64, From>;
  default:
    return refloatSlowly<From>;
  }
}

template <typename F> static Handler forFloat(Type type, F f) {
  switch (type) {
  case Type::F16:
    return f.template operator()<F16>();
  case Type::BF16:
    return f.template operator()<BF16>();
  case Type::F32:
    return f.template operator()<F32>();
  case Type::F64:
    return f.template operator()<F64>();
  default:
    return nullptr;
  }
}

static int64_t wayOf(const Conversion &c) {
  return (c.integerRounding + 1) | (c.flush ? 16 : 0) | (c.saturate ? 32 : 0) | (c.finite ? 64 : 0) | (c.relu ? 128 : 0);
}

static void floatToFloat(Decoder &d, const Statement &s, const Conversion &c) {
  bool quick = c.integerRounding < 0 && c.rounding <= 0 && !c.flush && !c.saturate && !c.finite && !c.relu;
  bool narrows = c.to == Type::TF32 || bitsOf(c.to) < bitsOf(c.from) || (bitsOf(c.to) == 16 && c.to != c.from);
  if (narrows && c.rounding < 0)
    d.fail("says no rounding");
  uint32_t dest = d.dest(s.operands[0], bitsOf(c.to)), source = d.sourceOf(s.operands[1], c.from);
  Handler handler = forFloat(c.from, [&]<typename From>() -> Handler {
    return quick ? quickHandler<From>(c.to) : refloatSlowly<From>;
  });
  Instruction &made = d.add(handler);
  made.dest = dest, made.a = source, made.option = static_cast<uint8_t>(std::max(c.rounding, 0));
  made.count = static_cast<uint16_t>(c.to), made.immediate = wayOf(c);
}

//===----------------------------------------------------------------------===//
// Pairs
//===----------------------------------------------------------------------===//

/// Two floats to a pair of halves, the first above: the way most code takes.
template <typename N> static void joinHalves(Warp &w, const Instruction &i) {
  const uint32_t *a = w.at<uint32_t>(i.a), *b = w.at<uint32_t>(i.b);
  setLanes(w.mask, w.at<uint32_t>(i.dest),
           [=](int lane) { return Pair<N>::join(N::put(F32::get(b[lane])), N::put(F32::get(a[lane]))); });
}

/// Two floats to a pair of any small type.
static void joinPair(Warp &w, const Instruction &i) {
  const uint32_t *a = w.at<uint32_t>(i.a), *b = w.at<uint32_t>(i.b);
  auto type = static_cast<Type>(i.count);
  SmallFormat format = formatOf(type);
  auto rounding = static_cast<Rounding>(i.option);
  forLanes(w.mask, [=](int lane) {
    uint32_t high = encodeSmall(prepared<F32>(a[lane], i.immediate), format, rounding, i.immediate & 64);
    uint32_t low = encodeSmall(prepared<F32>(b[lane], i.immediate), format, rounding, i.immediate & 64);
    if (bitsOf(type) == 16)
      w.at<uint16_t>(i.dest)[lane] = static_cast<uint16_t>(high << 8 | low);
    else
      w.at<uint32_t>(i.dest)[lane] = high << 16 | low;
  });
}

/// Pairs of halves to pairs of bytes.
template <typename N> static void shrinkPair(Warp &w, const Instruction &i) {
  const uint32_t *a = w.at<uint32_t>(i.a);
  SmallFormat format = formatOf(static_cast<Type>(i.count));
  forLanes(w.mask, [=](int lane) {
    uint32_t low = encodeSmall(prepared<N>(Pair<N>::low(a[lane]), i.immediate), format, Rounding::Nearest, true);
    uint32_t high = encodeSmall(prepared<N>(Pair<N>::high(a[lane]), i.immediate), format, Rounding::Nearest, true);
    w.at<uint16_t>(i.dest)[lane] = static_cast<uint16_t>(high << 8 | low);
  });
}

/// Pairs of bytes to pairs of halves.
template <typename N> static void growPair(Warp &w, const Instruction &i) {
  const uint16_t *a = w.at<uint16_t>(i.a);
  SmallFormat format = formatOf(static_cast<Type>(i.count));
  bool relu = i.immediate & 128;
  uint32_t *dest = w.at<uint32_t>(i.dest);
  forLanes(w.mask, [=](int lane) {
    double low = decodeSmall(a[lane] & 0xffu, format), high = decodeSmall(a[lane] >> 8, format);
    if (relu)
      low = low < 0 ? 0 : low, high = high < 0 ? 0 : high;
    dest[lane] = Pair<N>::join(N::put(static_cast<float>(low)), N::put(static_cast<float>(high)));
  });
}

static void decodePairConversion(Decoder &d, const Statement &s, const Conversion &c) {
  bool toBytes = c.to == Type::E4M3x2 || c.to == Type::E5M2x2, fromBytes = c.from == Type::E4M3x2 || c.from == Type::E5M2x2;
  if (toBytes && !c.finite)
    d.fail("lacks '.satfinite'");
  uint32_t dest = d.dest(s.operands[0], bitsOf(c.to)), a = 0, b = 0;
  Handler handler = nullptr;
  Type format = c.to;
  if (c.from == Type::F32) {
    d.expectOperands(3);
    a = d.sourceOf(s.operands[1], Type::F32), b = d.sourceOf(s.operands[2], Type::F32);
    bool quick = c.rounding == 0 && !c.finite && !c.relu && !toBytes;
    handler = quick ? (c.to == Type::F16x2 ? joinHalves<F16> : joinHalves<BF16>) : joinPair;
  } else {
    d.expectOperands(2);
    a = d.source(s.operands[1], c.from);
    if (toBytes) {
      handler = c.from == Type::F16x2 ? shrinkPair<F16> : c.from == Type::BF16x2 ? shrinkPair<BF16> : nullptr;
    } else if (fromBytes) {
      handler = c.to == Type::F16x2 ? growPair<F16> : nullptr;
      format = c.from;
    }
  }
  if (c.rounding < 0 || c.integerRounding >= 0)
    d.fail("says no rounding that is emulated");
  Instruction &made = d.add(handler);
  made.dest = dest, made.a = a, made.b = b, made.option = static_cast<uint8_t>(c.rounding);
  made.count = static_cast<uint16_t>(format), made.immediate = wayOf(c);
}

//===----------------------------------------------------------------------===//
// cvt.pack
//===----------------------------------------------------------------------===//

/// Two integers, made small, above the places of c that stay.
template <typename To, typename From> static void packSaturated(Warp &w, const Instruction &i) {
  const From *a = w.at<From>(i.a), *b = w.at<From>(i.b);
  const uint32_t *c = w.at<uint32_t>(i.c);
  setLanes(w.mask, w.at<uint32_t>(i.dest), [=](int lane) {
    constexpr int bits = sizeof(To) * 8;
    using U = std::make_unsigned_t<To>;
    uint32_t low = static_cast<U>(clampTo<To>(b[lane])), high = static_cast<U>(clampTo<To>(a[lane]));
    uint32_t both = high << bits | low;
    return bits == 16 ? both : c[lane] << 16 | both;
  });
}

static void decodeCvtPack(Decoder &d, const Statement &s, Modifiers &m) {
  if (!m.take("sat"))
    d.fail("lacks '.sat'");
  Type to = m.takeType(), from = m.takeType();
  bool hasRest = m.takeTypeIfAny().has_value();
  bool isByte = bitsOf(to) == 8;
  if (from != Type::S32 || isByte != hasRest)
    d.fail("not emulated for this type");
  d.expectOperands(isByte ? 4 : 3);
  uint32_t dest = d.dest(s.operands[0], 32), a = d.source(s.operands[1], 32), b = d.source(s.operands[2], 32),
           c = isByte ? d.source(s.operands[3], 32) : 0;
  Instruction &made = d.add(to == Type::U8    ? packSaturated<uint8_t, int32_t>
                            : to == Type::S8  ? packSaturated<int8_t, int32_t>
                            : to == Type::U16 ? packSaturated<uint16_t, int32_t>
                            : to == Type::S16 ? packSaturated<int16_t, int32_t>
                                              : nullptr);
  made.dest = dest, made.a = a, made.b = b, made.c = c;
}

static void decodeCvt(Decoder &d, const Statement &s, Modifiers &m) {
  if (m.take("pack"))
    return decodeCvtPack(d, s, m);
  Conversion c;
  c.integerRounding = m.takeOneOf({"rni", "rzi", "rmi", "rpi"});
  c.rounding = m.takeOneOf({"rn", "rz", "rm", "rp", "rna"});
  c.flush = m.take("ftz");
  c.finite = m.take("satfinite");
  c.saturate = m.take("sat");
  c.relu = m.take("relu");
  c.to = m.takeType(), c.from = m.takeType();
  for (Type type : {c.to, c.from}) {
    if (type == Type::E4M3x2 || type == Type::E5M2x2)
      d.require(89, 81);
    if (type == Type::BF16 || type == Type::BF16x2 || type == Type::TF32)
      d.require(80, 70);
  }
  if ((c.to == Type::BF16 && c.from != Type::F32) || (c.from == Type::BF16 && c.to != Type::F32))
    d.require(90, 78);
  auto isPair = [](Type type) {
    return type == Type::F16x2 || type == Type::BF16x2 || type == Type::E4M3x2 || type == Type::E5M2x2;
  };
  if (isPair(c.to))
    return decodePairConversion(d, s, c);
  d.expectOperands(2);
  if (isInteger(c.to) && isInteger(c.from))
    return integerToInteger(d, s, c);
  if (isInteger(c.to))
    return floatToInteger(d, s, c);
  if (isInteger(c.from))
    return integerToFloat(d, s, c);
  floatToFloat(d, s, c);
}

void addConversions(DecoderTable &table) { table["cvt"] = decodeCvt; }

} // namespace tenon::emulator
