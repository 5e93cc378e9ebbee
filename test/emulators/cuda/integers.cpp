// Arithmetic of integers.
#include "lanes.h"

namespace tenon::emulator {
namespace {

template <typename T> using Unsigned = std::make_unsigned_t<T>;
template <typename T>
using Twice = std::conditional_t<
    sizeof(T) == 8, std::conditional_t<std::is_signed_v<T>, __int128, unsigned __int128>,
    std::conditional_t<sizeof(T) == 4, std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>,
                       std::conditional_t<std::is_signed_v<T>, int32_t, uint32_t>>>;

struct Add {
  template <typename T> static T apply(T a, T b) { return static_cast<T>(Unsigned<T>(a) + Unsigned<T>(b)); }
};
struct Sub {
  template <typename T> static T apply(T a, T b) { return static_cast<T>(Unsigned<T>(a) - Unsigned<T>(b)); }
};
struct MulLow {
  template <typename T> static T apply(T a, T b) { return static_cast<T>(uint64_t(a) * uint64_t(b)); }
};
struct MulHigh {
  template <typename T> static T apply(T a, T b) {
    return static_cast<T>((static_cast<Twice<T>>(a) * static_cast<Twice<T>>(b)) >> (sizeof(T) * 8));
  }
};
struct MadLow {
  template <typename T> static T apply(T a, T b, T c) { return Add::apply(MulLow::apply(a, b), c); }
};
struct MadHigh {
  template <typename T> static T apply(T a, T b, T c) { return Add::apply(MulHigh::apply(a, b), c); }
};
/// Of zero divisors the ISA says nothing; all bits are set, as the hardware does.
struct Div {
  template <typename T> static T apply(T a, T b) {
    if (b == 0)
      return static_cast<T>(-1);
    if (std::is_signed_v<T> && b == T(-1))
      return Sub::apply(T(0), a);
    return static_cast<T>(a / b);
  }
};
struct Rem {
  template <typename T> static T apply(T a, T b) {
    if (b == 0)
      return a;
    if (std::is_signed_v<T> && b == T(-1))
      return 0;
    return static_cast<T>(a % b);
  }
};
struct Min {
  template <typename T> static T apply(T a, T b) { return a < b ? a : b; }
};
struct Max {
  template <typename T> static T apply(T a, T b) { return a > b ? a : b; }
};
struct Abs {
  template <typename T> static T apply(T a) { return a < 0 ? Sub::apply(T(0), a) : a; }
};
struct Neg {
  template <typename T> static T apply(T a) { return Sub::apply(T(0), a); }
};
struct AddSaturated {
  static int32_t apply(int32_t a, int32_t b) {
    int64_t sum = int64_t(a) + b;
    return static_cast<int32_t>(sum > INT32_MAX ? INT32_MAX : sum < INT32_MIN ? INT32_MIN : sum);
  }
};
struct SubSaturated {
  static int32_t apply(int32_t a, int32_t b) {
    int64_t difference = int64_t(a) - b;
    return static_cast<int32_t>(difference > INT32_MAX ? INT32_MAX : difference < INT32_MIN ? INT32_MIN : difference);
  }
};
struct Relu {
  template <typename T> static T apply(T a) { return a > 0 ? a : T(0); }
};
template <typename Op> struct WithRelu {
  template <typename T> static T apply(T a, T b) { return Relu::apply(Op::apply(a, b)); }
};
struct Sad {
  template <typename T> static T apply(T a, T b, T c) { return Add::apply(c, a < b ? Sub::apply(b, a) : Sub::apply(a, b)); }
};

} // namespace

template <typename T> static void mulWide(Warp &w, const Instruction &i) {
  const T *a = w.at<T>(i.a), *b = w.at<T>(i.b);
  setLanes(w.mask, w.at<Twice<T>>(i.dest), [=](int lane) { return static_cast<Twice<T>>(a[lane]) * static_cast<Twice<T>>(b[lane]); });
}
template <typename T> static void madWide(Warp &w, const Instruction &i) {
  using Wide = Twice<T>;
  const T *a = w.at<T>(i.a), *b = w.at<T>(i.b);
  const Wide *c = w.at<Wide>(i.c);
  setLanes(w.mask, w.at<Wide>(i.dest),
           [=](int lane) { return Add::apply<Wide>(static_cast<Wide>(a[lane]) * static_cast<Wide>(b[lane]), c[lane]); });
}

static void place(Decoder &d, const Statement &s, Type type, Handler handler) {
  d.expectOperands(s.operands.size() == 4 ? 4 : s.operands.size() == 3 ? 3 : 2);
  uint32_t places[4] = {d.dest(s.operands[0], bitsOf(type))};
  for (size_t i = 1; i < s.operands.size(); ++i)
    places[i] = d.source(s.operands[i], type);
  Instruction &made = d.add(handler);
  made.dest = places[0], made.a = places[1], made.b = places[2], made.c = places[3];
}

template <typename Op> static Handler binaryOf(Type type) {
  if (type == Type::U16x2)
    return binaryHandler<Pair<Int<uint16_t>>, Op>;
  if (type == Type::S16x2)
    return binaryHandler<Pair<Int<int16_t>>, Op>;
  return forInteger(type, []<typename T>() -> Handler { return binaryHandler<Int<T>, Op>; });
}
template <typename Op> static Handler ternaryOf(Type type) {
  return forInteger(type, []<typename T>() -> Handler { return ternaryHandler<Int<T>, Op>; });
}
template <typename Op> static Handler unaryOf(Type type) {
  return forInteger(type, []<typename T>() -> Handler { return unaryHandler<Int<T>, Op>; });
}
/// Division costs more than the other lanes are worth.
template <typename T, typename Op> static void slowBinary(Warp &w, const Instruction &i) {
  const T *a = w.at<T>(i.a), *b = w.at<T>(i.b);
  T *dest = w.at<T>(i.dest);
  forLanes(w.mask, [=](int lane) { dest[lane] = Op::apply(a[lane], b[lane]); });
}

//===----------------------------------------------------------------------===//
// Carries
//===----------------------------------------------------------------------===//

/// add / sub with `option` & 1: the carry comes in, & 2: it goes out. The carry is in operand c.
template <typename T, bool isSub> static void addCarry(Warp &w, const Instruction &i) {
  const T *a = w.at<T>(i.a), *b = w.at<T>(i.b);
  T *dest = w.at<T>(i.dest);
  Mask carry = i.option & 1 ? *w.at<Mask>(i.c) : 0, out = 0;
  forLanes(w.mask, [&](int lane) {
    T in = carry >> lane & 1, left = a[lane], right = b[lane];
    T result = isSub ? left - right - in : left + right + in;
    bool overflow = isSub ? left < right || (left == right && in) : result < left || (result == left && in && right);
    out |= Mask(overflow) << lane;
    dest[lane] = result;
  });
  if (i.option & 2)
    setPredicate(w, i.c, out);
}

static void decodeCarry(Decoder &d, const Statement &s, Type type, bool isSub, bool carryIn, bool carryOut) {
  d.expectOperands(3);
  uint32_t bits = bitsOf(type);
  uint32_t dest = d.dest(s.operands[0], bits), a = d.source(s.operands[1], bits), b = d.source(s.operands[2], bits);
  Handler handler = bits == 32   ? (isSub ? addCarry<uint32_t, true> : addCarry<uint32_t, false>)
                    : bits == 64 ? (isSub ? addCarry<uint64_t, true> : addCarry<uint64_t, false>)
                                 : Handler();
  Instruction &made = d.add(handler);
  made.dest = dest, made.a = a, made.b = b, made.c = d.carry();
  made.option = static_cast<uint8_t>((carryIn ? 1 : 0) | (carryOut ? 2 : 0));
}

static void decodeAddCarry(Decoder &d, const Statement &s, Modifiers &m) {
  bool out = m.take("cc");
  decodeCarry(d, s, m.takeType(), false, true, out);
}
static void decodeSubCarry(Decoder &d, const Statement &s, Modifiers &m) {
  bool out = m.take("cc");
  decodeCarry(d, s, m.takeType(), true, true, out);
}

//===----------------------------------------------------------------------===//
// Products of bytes
//===----------------------------------------------------------------------===//

template <typename A, typename B> static void dp4a(Warp &w, const Instruction &i) {
  const uint32_t *a = w.at<uint32_t>(i.a), *b = w.at<uint32_t>(i.b), *c = w.at<uint32_t>(i.c);
  setLanes(w.mask, w.at<uint32_t>(i.dest), [=](int lane) {
    uint32_t sum = c[lane];
    for (int k = 0; k < 4; ++k)
      sum += uint32_t(int32_t(static_cast<A>(a[lane] >> (8 * k))) * int32_t(static_cast<B>(b[lane] >> (8 * k))));
    return sum;
  });
}

static void decodeDp4a(Decoder &d, const Statement &s, Modifiers &m) {
  bool a = isSigned(m.takeType()), b = isSigned(m.takeType());
  place(d, s, Type::B32,
        a ? (b ? dp4a<int8_t, int8_t> : dp4a<int8_t, uint8_t>) : (b ? dp4a<uint8_t, int8_t> : dp4a<uint8_t, uint8_t>));
}

//===----------------------------------------------------------------------===//
// Decoding; add, mul, ... of floats are in floats.cpp, which asks here for the others
//===----------------------------------------------------------------------===//

void decodeIntegerArithmetic(Decoder &d, const Statement &s, Modifiers &m, Type type) {
  const std::string &name = m.name();
  bool saturate = m.take("sat");
  bool isPair = type == Type::U16x2 || type == Type::S16x2;
  if (isPair)
    d.require(90, 80);
  for (const Operand &operand : s.operands)
    if (isPair && operand.kind == Operand::Integer)
      d.fail("a number is not a pair");
  if (name == "add" || name == "sub") {
    bool isSub = name == "sub";
    if (m.take("cc"))
      return decodeCarry(d, s, type, isSub, false, true);
    if (saturate)
      return place(d, s, type,
                   type != Type::S32 ? nullptr
                   : isSub           ? binaryHandler<Int<int32_t>, SubSaturated>
                                     : binaryHandler<Int<int32_t>, AddSaturated>);
    return place(d, s, type, isSub ? binaryOf<Sub>(type) : binaryOf<Add>(type));
  }
  if (saturate)
    d.fail("'.sat' is not emulated here");
  if (name == "mul" || name == "mad") {
    bool isMad = name == "mad";
    int part = m.takeOneOf({"lo", "hi", "wide"});
    if (part < 0)
      d.fail("says neither lo nor hi nor wide");
    if (part == 2) {
      uint32_t bits = bitsOf(type);
      d.expectOperands(isMad ? 4 : 3);
      uint32_t dest = d.dest(s.operands[0], bits * 2), a = d.source(s.operands[1], bits),
               b = d.source(s.operands[2], bits), c = isMad ? d.source(s.operands[3], bits * 2) : 0;
      Handler handler = nullptr;
      if (type == Type::U16)
        handler = isMad ? madWide<uint16_t> : mulWide<uint16_t>;
      else if (type == Type::S16)
        handler = isMad ? madWide<int16_t> : mulWide<int16_t>;
      else if (type == Type::U32)
        handler = isMad ? madWide<uint32_t> : mulWide<uint32_t>;
      else if (type == Type::S32)
        handler = isMad ? madWide<int32_t> : mulWide<int32_t>;
      Instruction &made = d.add(handler);
      made.dest = dest, made.a = a, made.b = b, made.c = c;
      return;
    }
    if (isMad)
      return place(d, s, type, part ? ternaryOf<MadHigh>(type) : ternaryOf<MadLow>(type));
    return place(d, s, type, part ? binaryOf<MulHigh>(type) : binaryOf<MulLow>(type));
  }
  if (name == "div")
    return place(d, s, type, forInteger(type, []<typename T>() -> Handler { return slowBinary<T, Div>; }));
  bool relu = m.take("relu");
  if (name == "min")
    return place(d, s, type, relu ? binaryOf<WithRelu<Min>>(type) : binaryOf<Min>(type));
  if (name == "max")
    return place(d, s, type, relu ? binaryOf<WithRelu<Max>>(type) : binaryOf<Max>(type));
  if (relu)
    d.fail("'.relu' is not emulated here");
  if (name == "abs")
    return place(d, s, type, unaryOf<Abs>(type));
  if (name == "neg")
    return place(d, s, type, unaryOf<Neg>(type));
  d.fail("not emulated for this type");
}

static void decodeRem(Decoder &d, const Statement &s, Modifiers &m) {
  Type type = m.takeType();
  place(d, s, type, forInteger(type, []<typename T>() -> Handler { return slowBinary<T, Rem>; }));
}
static void decodeSad(Decoder &d, const Statement &s, Modifiers &m) {
  Type type = m.takeType();
  place(d, s, type, ternaryOf<Sad>(type));
}

void addIntegers(DecoderTable &table) {
  table["rem"] = decodeRem;
  table["sad"] = decodeSad;
  table["addc"] = decodeAddCarry;
  table["subc"] = decodeSubCarry;
  table["dp4a"] = decodeDp4a;
}

} // namespace tenon::emulator
