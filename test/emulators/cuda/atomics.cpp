// atom and red, in global and shared memory.
#include "lanes.h"
#include "rounding.h"

#include <atomic>

namespace tenon::emulator {
namespace {

enum Operation : uint8_t { kAdd, kMin, kMax, kInc, kDec, kAnd, kOr, kXor, kExch, kCas };

template <typename N> struct Number {
  using Bits = typename N::Bits;
  static Bits combine(Operation op, Bits old, Bits b, Bits c) {
    switch (op) {
    case kAdd:
      return N::put(N::get(old) + N::get(b));
    case kMin:
      return N::get(b) < N::get(old) ? b : old;
    case kMax:
      return N::get(b) > N::get(old) ? b : old;
    default:
      (void)c;
      return b;
    }
  }
};
template <typename N> struct Number<Pair<N>> {
  using Bits = typename Pair<N>::Bits;
  static Bits combine(Operation op, Bits old, Bits b, Bits c) {
    using P = Pair<N>;
    return P::join(Number<N>::combine(op, P::low(old), P::low(b), P::low(c)),
                   Number<N>::combine(op, P::high(old), P::high(b), P::high(c)));
  }
};
template <typename T> struct Number<Int<T>> {
  using Bits = T;
  static T combine(Operation op, T old, T b, T c) {
    using U = std::make_unsigned_t<T>;
    switch (op) {
    case kAdd:
      return static_cast<T>(U(old) + U(b));
    case kMin:
      return b < old ? b : old;
    case kMax:
      return b > old ? b : old;
    case kInc:
      return old >= b ? T(0) : T(old + 1);
    case kDec:
      return old == 0 || old > b ? b : T(old - 1);
    case kAnd:
      return old & b;
    case kOr:
      return old | b;
    case kXor:
      return old ^ b;
    case kExch:
      return b;
    case kCas:
      return old == b ? c : old;
    }
    return old;
  }
};

} // namespace

/// count: the space; list[0]: the result + 1, if any. Blocks run on several threads, so the memory is changed atomically.
template <typename N> static void atomic(Warp &w, const Instruction &i) {
  using Bits = typename Number<N>::Bits;
  using Word = std::conditional_t<sizeof(Bits) == 2, uint16_t, std::conditional_t<sizeof(Bits) == 4, uint32_t, uint64_t>>;
  uint64_t from[kLanes];
  uint8_t *to[kLanes];
  w.addresses(i, from);
  if (!w.translate(i, static_cast<Space>(i.count), from, sizeof(Bits), to))
    return;
  const Bits *b = w.at<Bits>(i.b), *c = w.at<Bits>(i.c);
  Bits *dest = i.list[0] ? w.at<Bits>(i.list[0] - 1) : nullptr;
  auto op = static_cast<Operation>(i.option);
  forLanes(w.mask, [&](int lane) {
    std::atomic_ref<Word> place(*reinterpret_cast<Word *>(to[lane]));
    Word old = place.load(std::memory_order_relaxed);
    Bits left = b[lane], right = c[lane];
    while (!place.compare_exchange_weak(old, bitsAs<Word>(Number<N>::combine(op, bitsAs<Bits>(old), left, right))))
      ;
    if (dest)
      dest[lane] = bitsAs<Bits>(old);
  });
}

static Handler handlerFor(Type type, int op) {
  bool floats = op == kAdd || op == kMin || op == kMax;
  switch (type) {
  case Type::F32:
    return op == kAdd ? atomic<F32> : Handler();
  case Type::F64:
    return op == kAdd ? atomic<F64> : Handler();
  case Type::F16:
    return floats ? atomic<F16> : Handler();
  case Type::F16x2:
    return floats ? atomic<Pair<F16>> : Handler();
  case Type::BF16:
    return floats ? atomic<BF16> : Handler();
  case Type::BF16x2:
    return floats ? atomic<Pair<BF16>> : Handler();
  case Type::B16:
    return op == kCas || op == kExch ? atomic<Int<uint16_t>> : Handler();
  case Type::B32:
  case Type::U32:
    return atomic<Int<uint32_t>>;
  case Type::S32:
    return atomic<Int<int32_t>>;
  case Type::B64:
  case Type::U64:
    return atomic<Int<uint64_t>>;
  case Type::S64:
    return atomic<Int<int64_t>>;
  default:
    return nullptr;
  }
}

static void decodeAtomic(Decoder &d, const Statement &s, Modifiers &m) {
  bool hasResult = m.name() == "atom";
  Space space = m.takeSpace();
  if (m.take("shared::cluster"))
    space = Space::Shared;
  int op = m.takeOneOf({"add", "min", "max", "inc", "dec", "and", "or", "xor", "exch", "cas"});
  if (op < 0)
    d.fail("names no operation");
  m.takeMemoryQualifiers();
  Type type = m.takeType();
  uint32_t bits = bitsOf(type);
  if (type == Type::BF16 || type == Type::BF16x2)
    d.require(90, 78);
  size_t first = hasResult ? 1 : 0, values = op == kCas ? 2 : 1;
  d.expectOperands(first + 1 + values);
  uint32_t dest = hasResult && s.operands[0].kind != Operand::Sink ? d.dest(s.operands[0], bits) + 1 : 0;
  uint32_t b = d.sourceOf(s.operands[first + 1], type), c = op == kCas ? d.sourceOf(s.operands[first + 2], type) : 0;
  Instruction address;
  d.address(s.operands[first], space, address);
  const uint32_t *list = d.list({dest});
  Instruction &made = d.add(handlerFor(type, op));
  made.a = address.a, made.wideBase = address.wideBase, made.immediate = address.immediate;
  made.b = b, made.c = c, made.list = list, made.count = static_cast<uint16_t>(space);
  made.option = static_cast<uint8_t>(op);
}

void addAtomics(DecoderTable &table) {
  table["atom"] = decodeAtomic;
  table["red"] = decodeAtomic;
}

} // namespace tenon::emulator
