// Arithmetic of floats, rounded to nearest; other roundings are in rounding.cpp.
#include "lanes.h"
#include "rounding.h"

#include <limits>

namespace tenon::emulator {

void decodeIntegerArithmetic(Decoder &d, const Statement &s, Modifiers &m, Type type); // integers.cpp

namespace {

struct Add {
  template <typename T> static T apply(T a, T b) { return a + b; }
};
struct Sub {
  template <typename T> static T apply(T a, T b) { return a - b; }
};
struct Mul {
  template <typename T> static T apply(T a, T b) { return a * b; }
};
struct Div {
  template <typename T> static T apply(T a, T b) { return a / b; }
};
struct Fma {
  static float apply(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
  static double apply(double a, double b, double c) { return __builtin_fma(a, b, c); }
};
/// a * b + c for halves, rounded once. In double the product is exact; the sum, and then the float, are rounded to odd: when the
/// result is inexact, its last place is 1. The rounding to a half that follows is then as if there had been only that one.
struct FmaOnce {
  /// `near` is the rounded value; it and the exact one differ by `error`.
  template <typename Bits, typename T> static T toOdd(T near, T error) {
    auto bits = bitsAs<Bits>(near);
    bool away = (error < 0) == (near < 0); // from zero
    bool inexact = (error < 0 || error > 0) && !(bits & 1);
    return inexact ? bitsAs<T>(away ? bits + 1 : bits - 1) : near;
  }
  static float apply(float a, float b, float c) {
    double product = double(a) * double(b), addend = c, near = product + addend;
    double back = near - product, error = (product - (near - back)) + (addend - back);
    double sum = toOdd<uint64_t>(near, error);
    auto single = static_cast<float>(sum);
    return toOdd<uint32_t>(single, static_cast<float>(sum - double(single)));
  }
};

/// A number that is not NaN wins over NaN; -0 is less than +0.
template <bool isMax, bool keepNan> struct MinMax {
  template <typename T> static T apply(T a, T b) {
    T x = a, y = b;
    bool aLess = x < y || (x == y && std::signbit(x) && !std::signbit(y));
    T chosen = aLess != isMax ? x : y;
    if (keepNan)
      return x != x || y != y ? std::numeric_limits<T>::quiet_NaN() : chosen;
    return x != x ? y : y != y ? x : chosen;
  }
  template <typename T> static T apply(T a, T b, T c) { return apply(apply(a, b), c); }
};
template <typename Op> struct WithRelu {
  template <typename... T> static auto apply(T... a) {
    auto value = Op::apply(a...);
    return value > 0 || value != value ? value : decltype(value)(0);
  }
};

struct Abs {
  template <typename T> static T apply(T a) { return a < 0 ? T(-a) : a == 0 ? T(0) : a; }
};
struct Neg {
  template <typename T> static T apply(T a) { return -a; }
};
struct Sqrt {
  static float apply(float a) { return __builtin_sqrtf(a); }
  static double apply(double a) { return __builtin_sqrt(a); }
};
struct Rcp {
  template <typename T> static T apply(T a) { return 1 / a; }
};
struct Rsqrt {
  static float apply(float a) { return static_cast<float>(1 / __builtin_sqrt(double(a))); }
  static double apply(double a) { return 1 / __builtin_sqrt(a); }
};
struct Ex2 {
  static float apply(float a) { return std::exp2(a); }
};
struct Lg2 {
  static float apply(float a) { return std::log2(a); }
};
struct Sin {
  static float apply(float a) { return std::sin(a); }
};
struct Cos {
  static float apply(float a) { return std::cos(a); }
};
/// The hardware's tanh is good to about 11 bits, and so is this one.
struct Tanh {
  static float apply(float a) {
    auto bits = bitsAs<uint32_t>(std::tanh(a));
    return bitsAs<float>((bits + 0x800u) & ~0xfffu);
  }
};

} // namespace

//===----------------------------------------------------------------------===//
// Handlers by type
//===----------------------------------------------------------------------===//

template <typename N, typename Op, int arity> static Handler handlerOf() {
  if constexpr (arity == 1)
    return unaryHandler<N, Op>;
  else if constexpr (arity == 2)
    return binaryHandler<N, Op>;
  else
    return ternaryHandler<N, Op>;
}

template <typename N, typename Op, int arity> static Handler finish(bool flush, bool saturate) {
  if (saturate)
    return flush ? handlerOf<Saturated<Flushed<N>>, Op, arity>() : handlerOf<Saturated<N>, Op, arity>();
  return flush ? handlerOf<Flushed<N>, Op, arity>() : handlerOf<N, Op, arity>();
}

template <typename N, typename Op, int arity> static Handler finishPair(bool flush, bool saturate) {
  if (saturate)
    return flush ? handlerOf<Pair<Saturated<Flushed<N>>>, Op, arity>() : handlerOf<Pair<Saturated<N>>, Op, arity>();
  return flush ? handlerOf<Pair<Flushed<N>>, Op, arity>() : handlerOf<Pair<N>, Op, arity>();
}

template <typename Op, int arity> static Handler floatHandler(Type type, bool flush, bool saturate) {
  switch (type) {
  case Type::F32:
    return finish<F32, Op, arity>(flush, saturate);
  case Type::F32x2:
    return saturate ? nullptr : finishPair<F32, Op, arity>(flush, false);
  case Type::F64:
    return flush || saturate ? nullptr : handlerOf<F64, Op, arity>();
  case Type::F16:
    return finish<F16, Op, arity>(flush, saturate);
  case Type::F16x2:
    return finishPair<F16, Op, arity>(flush, saturate);
  case Type::BF16:
    return flush || saturate ? nullptr : handlerOf<BF16, Op, arity>();
  case Type::BF16x2:
    return flush || saturate ? nullptr : handlerOf<Pair<BF16>, Op, arity>();
  default:
    return nullptr;
  }
}

//===----------------------------------------------------------------------===//
// Decoding
//===----------------------------------------------------------------------===//

static void place(Decoder &d, const Statement &s, Type type, Handler handler, size_t arity, uint8_t option = 0) {
  d.expectOperands(arity + 1);
  uint32_t places[4] = {d.dest(s.operands[0], bitsOf(type))};
  for (size_t i = 1; i <= arity; ++i)
    places[i] = d.sourceOf(s.operands[i], type);
  Instruction &made = d.add(handler);
  made.dest = places[0], made.a = places[1], made.b = places[2], made.c = places[3], made.option = option;
}

static bool isFloatArithmetic(Type type) {
  return type == Type::F32 || type == Type::F64 || type == Type::F16 || type == Type::F16x2 || type == Type::BF16 ||
         type == Type::BF16x2 || type == Type::F32x2;
}

/// add, sub, mul, mad, fma, div, min, max, abs, neg of any type.
static void decodeArithmetic(Decoder &d, const Statement &s, Modifiers &m) {
  const std::string &name = m.name();
  Type type = m.takeType();
  if (!isFloatArithmetic(type))
    return decodeIntegerArithmetic(d, s, m, type);
  bool isBrain = type == Type::BF16 || type == Type::BF16x2;
  bool isSign = name == "min" || name == "max" || name == "abs" || name == "neg" || name == "fma";
  if (isBrain)
    d.require(isSign ? 80 : 90, isSign ? 70 : 78);
  if (type == Type::F32x2)
    d.require(100, 86);
  bool flush = m.take("ftz"), saturate = m.take("sat");
  int rounding = m.takeOneOf({"rn", "rz", "rm", "rp"});
  if (rounding > 0) {
    if (saturate || flush || (type != Type::F32 && type != Type::F64))
      d.fail("not emulated with this rounding");
    bool isTernary = name == "fma" || name == "mad";
    Handler handler = directedHandler(name, type == Type::F64);
    return place(d, s, type, handler, isTernary ? 3 : 2, static_cast<uint8_t>(rounding));
  }
  if (name == "add")
    return place(d, s, type, floatHandler<Add, 2>(type, flush, saturate), 2);
  if (name == "sub")
    return place(d, s, type, floatHandler<Sub, 2>(type, flush, saturate), 2);
  if (name == "mul")
    return place(d, s, type, floatHandler<Mul, 2>(type, flush, saturate), 2);
  if (name == "fma" || name == "mad") {
    bool relu = m.take("relu"), isHalf = bitsOf(type) == 16 || type == Type::F16x2 || type == Type::BF16x2;
    if (isHalf)
      return place(d, s, type, relu ? floatHandler<WithRelu<FmaOnce>, 3>(type, flush, saturate) : floatHandler<FmaOnce, 3>(type, flush, saturate), 3);
    if (relu)
      d.fail("'.relu' is not emulated here");
    Handler handler = type == Type::F64     ? ternaryHandler<F64, Fma>
                      : type == Type::F32x2 ? finishPair<F32, Fma, 3>(flush, false)
                                            : finish<F32, Fma, 3>(flush, saturate);
    return place(d, s, type, handler, 3);
  }
  if (name == "div") {
    m.takeOneOf({"approx", "full"});
    return place(d, s, type, type == Type::F32 || type == Type::F64 ? floatHandler<Div, 2>(type, flush, saturate) : nullptr, 2);
  }
  if (saturate || rounding == 0)
    d.fail("'.sat' or '.rn' is not emulated here");
  if (name == "min" || name == "max") {
    bool keepNan = m.take("NaN"), isMax = name == "max";
    if (bitsOf(type) == 16 || type == Type::F16x2 || keepNan)
      d.require(80, 70);
    if (s.operands.size() == 4) {
      d.require(100, 88);
      Handler handler = type != Type::F32 ? nullptr
                        : keepNan ? (isMax ? finish<F32, MinMax<true, true>, 3>(flush, false)
                                           : finish<F32, MinMax<false, true>, 3>(flush, false))
                                  : (isMax ? finish<F32, MinMax<true, false>, 3>(flush, false)
                                           : finish<F32, MinMax<false, false>, 3>(flush, false));
      return place(d, s, type, handler, 3);
    }
    Handler handler = keepNan ? (isMax ? floatHandler<MinMax<true, true>, 2>(type, flush, false)
                                       : floatHandler<MinMax<false, true>, 2>(type, flush, false))
                              : (isMax ? floatHandler<MinMax<true, false>, 2>(type, flush, false)
                                       : floatHandler<MinMax<false, false>, 2>(type, flush, false));
    return place(d, s, type, handler, 2);
  }
  if (name == "abs")
    return place(d, s, type, floatHandler<Abs, 1>(type, flush, false), 1);
  return place(d, s, type, floatHandler<Neg, 1>(type, flush, false), 1);
}

/// sqrt and rcp: correctly rounded under every name.
static void decodeRoot(Decoder &d, const Statement &s, Modifiers &m) {
  bool flush = m.take("ftz");
  m.take("approx");
  int rounding = m.takeOneOf({"rn", "rz", "rm", "rp"});
  Type type = m.takeType();
  if (type != Type::F32 && type != Type::F64)
    d.fail("not emulated for this type");
  if (rounding > 0) {
    if (flush)
      d.fail("not emulated with this rounding");
    return place(d, s, type, directedHandler(m.name(), type == Type::F64), 1, static_cast<uint8_t>(rounding));
  }
  bool isRoot = m.name() == "sqrt";
  place(d, s, type, isRoot ? floatHandler<Sqrt, 1>(type, flush, false) : floatHandler<Rcp, 1>(type, flush, false), 1);
}

static void decodeRsqrt(Decoder &d, const Statement &s, Modifiers &m) {
  bool flush = m.take("ftz");
  if (!m.take("approx"))
    d.fail("exists as approx only");
  Type type = m.takeType();
  place(d, s, type, type == Type::F32 || type == Type::F64 ? floatHandler<Rsqrt, 1>(type, flush, false) : nullptr, 1);
}

/// ex2, lg2, sin, cos, tanh.
template <typename Op> static void decodeFunction(Decoder &d, const Statement &s, Modifiers &m) {
  bool flush = m.take("ftz");
  if (!m.take("approx"))
    d.fail("exists as approx only");
  Type type = m.takeType();
  bool halves = m.name() == "ex2" || m.name() == "tanh";
  if (m.name() == "tanh" || type == Type::F16 || type == Type::F16x2)
    d.require(75, 70);
  if (type == Type::BF16 || type == Type::BF16x2)
    d.require(90, 78);
  Handler handler = nullptr;
  if (type == Type::F32)
    handler = flush ? slowUnaryHandler<Flushed<F32>, Op> : slowUnaryHandler<F32, Op>;
  else if (halves && type == Type::F16)
    handler = slowUnaryHandler<F16, Op>;
  else if (halves && type == Type::F16x2)
    handler = slowUnaryHandler<Pair<F16>, Op>;
  else if (halves && type == Type::BF16)
    handler = slowUnaryHandler<BF16, Op>;
  else if (halves && type == Type::BF16x2)
    handler = slowUnaryHandler<Pair<BF16>, Op>;
  place(d, s, type, handler, 1);
}

//===----------------------------------------------------------------------===//
// Signs and classes
//===----------------------------------------------------------------------===//

/// a gives the sign, b the rest.
template <typename T> static void copySign(Warp &w, const Instruction &i) {
  constexpr T sign = T(1) << (sizeof(T) * 8 - 1);
  const T *a = w.at<T>(i.a), *b = w.at<T>(i.b);
  setLanes(w.mask, w.at<T>(i.dest), [=](int lane) { return T((a[lane] & sign) | (b[lane] & ~sign)); });
}

static void decodeCopySign(Decoder &d, const Statement &s, Modifiers &m) {
  Type type = m.takeType();
  place(d, s, type, type == Type::F32 ? copySign<uint32_t> : type == Type::F64 ? copySign<uint64_t> : nullptr, 2);
}

/// option: finite, infinite, number, notanumber, normal, subnormal.
template <typename N> static void testClass(Warp &w, const Instruction &i) {
  const auto *a = w.at<typename N::Bits>(i.a);
  setPredicate(w, i.dest, testLanes([=](int lane) {
                 int kind = std::fpclassify(N::get(a[lane]));
                 switch (i.option) {
                 case 0:
                   return kind != FP_INFINITE && kind != FP_NAN;
                 case 1:
                   return kind == FP_INFINITE;
                 case 2:
                   return kind != FP_NAN;
                 case 3:
                   return kind == FP_NAN;
                 case 4:
                   return kind == FP_NORMAL;
                 default:
                   return kind == FP_SUBNORMAL;
                 }
               }));
}

static void decodeTestp(Decoder &d, const Statement &s, Modifiers &m) {
  int which = m.takeOneOf({"finite", "infinite", "number", "notanumber", "normal", "subnormal"});
  Type type = m.takeType();
  if (which < 0)
    d.fail("names no class");
  d.expectOperands(2);
  uint32_t dest = d.dest(s.operands[0], 1), a = d.sourceOf(s.operands[1], type);
  Instruction &made = d.add(type == Type::F32 ? testClass<F32> : type == Type::F64 ? testClass<F64> : nullptr);
  made.dest = dest, made.a = a, made.option = static_cast<uint8_t>(which);
}

void addFloats(DecoderTable &table) {
  for (const char *name : {"add", "sub", "mul", "mad", "fma", "div", "min", "max", "abs", "neg"})
    table[name] = decodeArithmetic;
  table["sqrt"] = decodeRoot;
  table["rcp"] = decodeRoot;
  table["rsqrt"] = decodeRsqrt;
  table["ex2"] = decodeFunction<Ex2>;
  table["lg2"] = decodeFunction<Lg2>;
  table["sin"] = decodeFunction<Sin>;
  table["cos"] = decodeFunction<Cos>;
  table["tanh"] = decodeFunction<Tanh>;
  table["copysign"] = decodeCopySign;
  table["testp"] = decodeTestp;
}

} // namespace tenon::emulator
