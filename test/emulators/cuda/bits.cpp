// Logic, shifts, and fields of bits.
#include "lanes.h"

namespace tenon::emulator {
namespace {

struct And {
  template <typename T> static T apply(T a, T b) { return a & b; }
};
struct Or {
  template <typename T> static T apply(T a, T b) { return a | b; }
};
struct Xor {
  template <typename T> static T apply(T a, T b) { return a ^ b; }
};
struct Not {
  template <typename T> static T apply(T a) { return static_cast<T>(~a); }
};
struct Cnot {
  template <typename T> static T apply(T a) { return a == 0; }
};

} // namespace

//===----------------------------------------------------------------------===//
// Logic
//===----------------------------------------------------------------------===//

/// Predicates; `immediate` holds the flips of a (bit 0) and b (bit 1). option: 0 and, 1 or, 2 xor, 3 not.
static void predicateLogic(Warp &w, const Instruction &i) {
  Mask a = *w.at<Mask>(i.a) ^ (i.immediate & 1 ? ~0u : 0), b = *w.at<Mask>(i.b) ^ (i.immediate & 2 ? ~0u : 0);
  setPredicate(w, i.dest, i.option == 0 ? a & b : i.option == 1 ? a | b : i.option == 2 ? a ^ b : ~a);
}

template <typename Op> static void decodeLogic(Decoder &d, const Statement &s, Modifiers &m, uint8_t which) {
  Type type = m.takeType();
  d.expectOperands(3);
  if (type == Type::Pred) {
    uint32_t flipA = 0, flipB = 0, dest = d.dest(s.operands[0], 1);
    uint32_t a = d.predicate(s.operands[1], flipA), b = d.predicate(s.operands[2], flipB);
    Instruction &made = d.add(predicateLogic);
    made.dest = dest, made.a = a, made.b = b, made.option = which;
    made.immediate = (flipA ? 1 : 0) | (flipB ? 2 : 0);
    return;
  }
  uint32_t dest = d.dest(s.operands[0], bitsOf(type)), a = d.source(s.operands[1], type), b = d.source(s.operands[2], type);
  Instruction &made = d.add(forInteger(type, []<typename T>() -> Handler { return binaryHandler<Int<T>, Op>; }));
  made.dest = dest, made.a = a, made.b = b;
}
static void decodeAnd(Decoder &d, const Statement &s, Modifiers &m) { decodeLogic<And>(d, s, m, 0); }
static void decodeOr(Decoder &d, const Statement &s, Modifiers &m) { decodeLogic<Or>(d, s, m, 1); }
static void decodeXor(Decoder &d, const Statement &s, Modifiers &m) { decodeLogic<Xor>(d, s, m, 2); }

static void decodeNot(Decoder &d, const Statement &s, Modifiers &m) {
  bool isCnot = m.name() == "cnot";
  Type type = m.takeType();
  d.expectOperands(2);
  if (type == Type::Pred) {
    uint32_t flip = 0, dest = d.dest(s.operands[0], 1), a = d.predicate(s.operands[1], flip);
    Instruction &made = d.add(predicateLogic);
    made.dest = dest, made.a = made.b = a, made.option = 3, made.immediate = flip ? 1 : 0;
    return;
  }
  uint32_t dest = d.dest(s.operands[0], bitsOf(type)), a = d.source(s.operands[1], type);
  Instruction &made = d.add(forInteger(type, [=]<typename T>() -> Handler {
    return isCnot ? unaryHandler<Int<T>, Cnot> : unaryHandler<Int<T>, Not>;
  }));
  made.dest = dest, made.a = a;
}

/// Any function of three bits: `immediate` is its table of truth.
static void lop3(Warp &w, const Instruction &i) {
  const uint32_t *a = w.at<uint32_t>(i.a), *b = w.at<uint32_t>(i.b), *c = w.at<uint32_t>(i.c);
  uint32_t rows[8];
  for (int row = 0; row < 8; ++row)
    rows[row] = i.immediate >> row & 1 ? ~0u : 0;
  setLanes(w.mask, w.at<uint32_t>(i.dest), [=](int lane) {
    uint32_t x = a[lane], y = b[lane], z = c[lane];
    return (rows[0] & ~x & ~y & ~z) | (rows[1] & ~x & ~y & z) | (rows[2] & ~x & y & ~z) | (rows[3] & ~x & y & z) |
           (rows[4] & x & ~y & ~z) | (rows[5] & x & ~y & z) | (rows[6] & x & y & ~z) | (rows[7] & x & y & z);
  });
}

static void decodeLop3(Decoder &d, const Statement &s, Modifiers &m) {
  if (bitsOf(m.takeType()) != 32)
    d.fail("has 32 bits only");
  d.expectOperands(5);
  uint32_t dest = d.dest(s.operands[0], 32), a = d.source(s.operands[1], 32), b = d.source(s.operands[2], 32),
           c = d.source(s.operands[3], 32);
  int64_t rows = d.integer(s.operands[4], 0, 255);
  Instruction &made = d.add(lop3);
  made.dest = dest, made.a = a, made.b = b, made.c = c, made.immediate = rows;
}

//===----------------------------------------------------------------------===//
// Shifts
//===----------------------------------------------------------------------===//

/// Counts beyond the width act as the width.
template <typename T, bool left> static void shift(Warp &w, const Instruction &i) {
  const T *a = w.at<T>(i.a);
  const uint32_t *b = w.at<uint32_t>(i.b);
  constexpr uint32_t width = sizeof(T) * 8;
  setLanes(w.mask, w.at<T>(i.dest), [=](int lane) {
    uint32_t count = b[lane] < width ? b[lane] : width - 1;
    T shifted = left ? static_cast<T>(std::make_unsigned_t<T>(a[lane]) << count) : static_cast<T>(a[lane] >> count);
    return b[lane] < width || (!left && std::is_signed_v<T>) ? shifted : T(0);
  });
}

static void decodeShift(Decoder &d, const Statement &s, Modifiers &m) {
  bool left = m.name() == "shl";
  Type type = m.takeType();
  d.expectOperands(3);
  uint32_t dest = d.dest(s.operands[0], bitsOf(type)), a = d.source(s.operands[1], type), b = d.source(s.operands[2], 32);
  Instruction &made = d.add(forInteger(type, [=]<typename T>() -> Handler {
    return sizeof(T) == 1 ? nullptr : left ? shift<T, true> : shift<T, false>;
  }));
  made.dest = dest, made.a = a, made.b = b;
}

/// Two registers side by side; option 1: left, 2: counts wrap.
static void funnelShift(Warp &w, const Instruction &i) {
  const uint32_t *a = w.at<uint32_t>(i.a), *b = w.at<uint32_t>(i.b), *c = w.at<uint32_t>(i.c);
  bool left = i.option & 1, wrap = i.option & 2;
  setLanes(w.mask, w.at<uint32_t>(i.dest), [=](int lane) {
    uint32_t count = wrap ? c[lane] & 31 : c[lane] < 32 ? c[lane] : 32;
    uint64_t both = uint64_t(b[lane]) << 32 | a[lane];
    return static_cast<uint32_t>(left ? (both << count) >> 32 : both >> count);
  });
}

static void decodeFunnelShift(Decoder &d, const Statement &s, Modifiers &m) {
  int left = m.takeOneOf({"r", "l"}), wrap = m.takeOneOf({"clamp", "wrap"});
  if (left < 0 || wrap < 0 || bitsOf(m.takeType()) != 32)
    d.fail("lacks a direction, a mode, or 32 bits");
  d.expectOperands(4);
  uint32_t dest = d.dest(s.operands[0], 32), a = d.source(s.operands[1], 32), b = d.source(s.operands[2], 32),
           c = d.source(s.operands[3], 32);
  Instruction &made = d.add(funnelShift);
  made.dest = dest, made.a = a, made.b = b, made.c = c, made.option = static_cast<uint8_t>(left | wrap << 1);
}

//===----------------------------------------------------------------------===//
// Fields and counts
//===----------------------------------------------------------------------===//

template <typename T> static void extractField(Warp &w, const Instruction &i) {
  using U = std::make_unsigned_t<T>;
  const T *a = w.at<T>(i.a);
  const uint32_t *b = w.at<uint32_t>(i.b), *c = w.at<uint32_t>(i.c);
  T *dest = w.at<T>(i.dest);
  constexpr uint32_t last = sizeof(T) * 8 - 1;
  forLanes(w.mask, [=](int lane) {
    uint32_t from = b[lane] & 0xff, length = c[lane] & 0xff;
    U value = static_cast<U>(a[lane]);
    bool sign = false;
    if (std::is_signed_v<T> && length)
      sign = value >> std::min(from + length - 1, last) & 1;
    U result = 0;
    for (uint32_t k = 0; k <= last; ++k) {
      bool bit = k < length && from + k <= last ? value >> (from + k) & 1 : sign;
      result |= U(bit) << k;
    }
    dest[lane] = static_cast<T>(result);
  });
}

template <typename T> static void insertField(Warp &w, const Instruction &i) {
  const T *a = w.at<T>(i.a), *b = w.at<T>(i.b);
  const uint32_t *c = w.at<uint32_t>(i.c), *e = w.at<uint32_t>(i.list[0]);
  setLanes(w.mask, w.at<T>(i.dest), [=](int lane) {
    constexpr uint32_t width = sizeof(T) * 8;
    uint32_t from = c[lane] & 0xff, length = e[lane] & 0xff;
    T field = length >= width ? T(~T(0)) : T((T(1) << length) - 1);
    T place = from >= width ? T(0) : T(field << from);
    T value = from >= width ? T(0) : T(a[lane] << from);
    return static_cast<T>((value & place) | (b[lane] & ~place));
  });
}

static void decodeBfe(Decoder &d, const Statement &s, Modifiers &m) {
  Type type = m.takeType();
  d.expectOperands(4);
  uint32_t dest = d.dest(s.operands[0], bitsOf(type)), a = d.source(s.operands[1], type), b = d.source(s.operands[2], 32),
           c = d.source(s.operands[3], 32);
  Instruction &made = d.add(type == Type::U32   ? extractField<uint32_t>
                            : type == Type::S32 ? extractField<int32_t>
                            : type == Type::U64 ? extractField<uint64_t>
                            : type == Type::S64 ? extractField<int64_t>
                                                : nullptr);
  made.dest = dest, made.a = a, made.b = b, made.c = c;
}

static void decodeBfi(Decoder &d, const Statement &s, Modifiers &m) {
  uint32_t bits = bitsOf(m.takeType());
  d.expectOperands(5);
  uint32_t dest = d.dest(s.operands[0], bits), a = d.source(s.operands[1], bits), b = d.source(s.operands[2], bits),
           c = d.source(s.operands[3], 32);
  const uint32_t *list = d.list({d.source(s.operands[4], 32)});
  Instruction &made = d.add(bits == 32 ? insertField<uint32_t> : bits == 64 ? insertField<uint64_t> : nullptr);
  made.dest = dest, made.a = a, made.b = b, made.c = c, made.list = list;
}

/// option: 0 clz, 1 popc, 2 bfind, 3 bfind.shiftamt.
template <typename T> static void countBits(Warp &w, const Instruction &i) {
  using U = std::make_unsigned_t<T>;
  const T *a = w.at<T>(i.a);
  uint32_t *dest = w.at<uint32_t>(i.dest);
  constexpr uint32_t last = sizeof(T) * 8 - 1;
  forLanes(w.mask, [=](int lane) {
    U value = static_cast<U>(a[lane]);
    if (i.option == 0) {
      dest[lane] = static_cast<uint32_t>(std::countl_zero(value));
    } else if (i.option == 1) {
      dest[lane] = static_cast<uint32_t>(std::popcount(value));
    } else {
      if (std::is_signed_v<T> && a[lane] < 0)
        value = ~value;
      uint32_t place = value ? last - static_cast<uint32_t>(std::countl_zero(value)) : ~0u;
      dest[lane] = i.option == 3 && place != ~0u ? last - place : place;
    }
  });
}

static void decodeCount(Decoder &d, const Statement &s, Modifiers &m) {
  uint8_t which = m.name() == "clz" ? 0 : m.name() == "popc" ? 1 : m.take("shiftamt") ? 3 : 2;
  Type type = m.takeType();
  d.expectOperands(2);
  uint32_t dest = d.dest(s.operands[0], 32), a = d.source(s.operands[1], type);
  Instruction &made = d.add(forInteger(type, []<typename T>() -> Handler {
    if constexpr (sizeof(T) >= 4)
      return countBits<T>;
    return nullptr;
  }));
  made.dest = dest, made.a = a, made.option = which;
}

template <typename T> static void reverseBits(Warp &w, const Instruction &i) {
  const T *a = w.at<T>(i.a);
  T *dest = w.at<T>(i.dest);
  forLanes(w.mask, [=](int lane) {
    T result = 0;
    for (uint32_t k = 0; k < sizeof(T) * 8; ++k)
      result |= T(a[lane] >> k & 1) << (sizeof(T) * 8 - 1 - k);
    dest[lane] = result;
  });
}

static void decodeReverse(Decoder &d, const Statement &s, Modifiers &m) {
  uint32_t bits = bitsOf(m.takeType());
  d.expectOperands(2);
  uint32_t dest = d.dest(s.operands[0], bits), a = d.source(s.operands[1], bits);
  Instruction &made = d.add(bits == 32 ? reverseBits<uint32_t> : bits == 64 ? reverseBits<uint64_t> : nullptr);
  made.dest = dest, made.a = a;
}

/// Bytes chosen out of eight. option: the mode, 0 for the general one.
static void permuteBytes(Warp &w, const Instruction &i) {
  const uint32_t *a = w.at<uint32_t>(i.a), *b = w.at<uint32_t>(i.b), *c = w.at<uint32_t>(i.c);
  uint32_t *dest = w.at<uint32_t>(i.dest);
  forLanes(w.mask, [=](int lane) {
    uint64_t bytes = uint64_t(b[lane]) << 32 | a[lane];
    uint32_t selector = c[lane], result = 0, from = selector & 3;
    for (uint32_t k = 0; k < 4; ++k) {
      uint32_t which = selector >> (4 * k) & 15;
      switch (i.option) {
      case 1: // f4e
        which = from + k;
        break;
      case 2: // b4e
        which = (8 + from - k) & 7;
        break;
      case 3: // rc8
        which = from;
        break;
      case 4: // ecl
        which = std::max(from, k);
        break;
      case 5: // ecr
        which = std::min(from, k);
        break;
      case 6: // rc16
        which = (from & 1) * 2 + (k & 1);
        break;
      }
      auto byte = static_cast<uint8_t>(bytes >> (8 * (which & 7)));
      if (i.option == 0 && which & 8)
        byte = byte & 0x80 ? 0xff : 0;
      result |= uint32_t(byte) << (8 * k);
    }
    dest[lane] = result;
  });
}

static void decodePermute(Decoder &d, const Statement &s, Modifiers &m) {
  if (bitsOf(m.takeType()) != 32)
    d.fail("has 32 bits only");
  int mode = m.takeOneOf({"f4e", "b4e", "rc8", "ecl", "ecr", "rc16"});
  d.expectOperands(4);
  uint32_t dest = d.dest(s.operands[0], 32), a = d.source(s.operands[1], 32), b = d.source(s.operands[2], 32),
           c = d.source(s.operands[3], 32);
  Instruction &made = d.add(permuteBytes);
  made.dest = dest, made.a = a, made.b = b, made.c = c, made.option = static_cast<uint8_t>(mode + 1);
}

void addBits(DecoderTable &table) {
  table["and"] = decodeAnd;
  table["or"] = decodeOr;
  table["xor"] = decodeXor;
  table["not"] = decodeNot;
  table["cnot"] = decodeNot;
  table["lop3"] = decodeLop3;
  table["shl"] = decodeShift;
  table["shr"] = decodeShift;
  table["shf"] = decodeFunnelShift;
  table["bfe"] = decodeBfe;
  table["bfi"] = decodeBfi;
  table["clz"] = decodeCount;
  table["popc"] = decodeCount;
  table["bfind"] = decodeCount;
  table["brev"] = decodeReverse;
  table["prmt"] = decodePermute;
}

} // namespace tenon::emulator
