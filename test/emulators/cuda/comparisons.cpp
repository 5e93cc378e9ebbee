// setp, set, selp, slct.
#include "lanes.h"

namespace tenon::emulator {
namespace {

enum class Test : uint8_t { Eq, Ne, Lt, Le, Gt, Ge, Equ, Neu, Ltu, Leu, Gtu, Geu, Num, Nan };

template <Test test, typename T> bool compare(T a, T b) {
  bool unordered = a != a || b != b;
  switch (test) {
  case Test::Eq:
    return a == b;
  case Test::Ne:
    return !unordered && a != b;
  case Test::Lt:
    return a < b;
  case Test::Le:
    return a <= b;
  case Test::Gt:
    return a > b;
  case Test::Ge:
    return a >= b;
  case Test::Equ:
    return unordered || a == b;
  case Test::Neu:
    return a != b;
  case Test::Ltu:
    return !(a >= b);
  case Test::Leu:
    return !(a > b);
  case Test::Gtu:
    return !(a <= b);
  case Test::Geu:
    return !(a < b);
  case Test::Num:
    return !unordered;
  case Test::Nan:
    return unordered;
  }
  return false;
}

/// What a comparison's result is combined with.
enum Combination : uint8_t { kAlone, kAnd, kOr, kXor };

} // namespace

static Mask combined(const Warp &w, const Instruction &i, Mask result) {
  if (i.option == kAlone)
    return result;
  Mask other = *w.at<Mask>(i.c) ^ Mask(i.immediate);
  return i.option == kAnd ? result & other : i.option == kOr ? result | other : result ^ other;
}

/// list[0]: the second result, which combines the opposite.
static void finish(Warp &w, const Instruction &i, Mask result) {
  Mask second = i.list ? combined(w, i, ~result) : 0;
  setPredicate(w, i.dest, combined(w, i, result));
  if (i.list)
    setPredicate(w, i.list[0], second);
}

template <typename N, Test test> static void setPredicateOf(Warp &w, const Instruction &i) {
  const auto *a = w.at<typename N::Bits>(i.a), *b = w.at<typename N::Bits>(i.b);
  finish(w, i, testLanes([=](int lane) { return compare<test>(N::get(a[lane]), N::get(b[lane])); }));
}

/// Halves in pairs: a result for the lower ones, and one for the upper ones.
template <typename N, Test test> static void setPredicatesOfPair(Warp &w, const Instruction &i) {
  const uint32_t *a = w.at<uint32_t>(i.a), *b = w.at<uint32_t>(i.b);
  using P = Pair<N>;
  Mask low = testLanes([=](int lane) { return compare<test>(N::get(P::low(a[lane])), N::get(P::low(b[lane]))); });
  Mask high = testLanes([=](int lane) { return compare<test>(N::get(P::high(a[lane])), N::get(P::high(b[lane]))); });
  low = combined(w, i, low), high = combined(w, i, high);
  setPredicate(w, i.dest, low);
  if (i.list)
    setPredicate(w, i.list[0], high);
}

/// set: all bits, or 1.0, where true. `count`: bits of the result; option as above; list[1]: the value for true.
template <typename N, Test test> static void setValueOf(Warp &w, const Instruction &i) {
  const auto *a = w.at<typename N::Bits>(i.a), *b = w.at<typename N::Bits>(i.b);
  Mask result = testLanes([=](int lane) { return compare<test>(N::get(a[lane]), N::get(b[lane])); });
  result = combined(w, i, result);
  uint32_t value = i.list[1];
  setLanes(w.mask, w.at<uint32_t>(i.dest), [=](int lane) { return result >> lane & 1 ? value : 0u; });
}

namespace {
enum class Form { Predicate, Value };
} // namespace

template <typename N, Test test> static Handler formHandler(Form form) {
  return form == Form::Value ? setValueOf<N, test> : setPredicateOf<N, test>;
}
template <typename N> struct IsPair : std::false_type {};
template <typename N> struct IsPair<Pair<N>> : std::true_type {};

template <typename N> static Handler testHandler(Test test, Form form) {
  auto pick = [&]<Test which>() -> Handler {
    if constexpr (IsPair<N>::value)
      return nullptr;
    else
      return formHandler<N, which>(form);
  };
  switch (test) {
  case Test::Eq:
    return pick.template operator()<Test::Eq>();
  case Test::Ne:
    return pick.template operator()<Test::Ne>();
  case Test::Lt:
    return pick.template operator()<Test::Lt>();
  case Test::Le:
    return pick.template operator()<Test::Le>();
  case Test::Gt:
    return pick.template operator()<Test::Gt>();
  case Test::Ge:
    return pick.template operator()<Test::Ge>();
  default:
    break;
  }
  if constexpr (std::is_floating_point_v<typename N::Wide>) {
    switch (test) {
    case Test::Equ:
      return pick.template operator()<Test::Equ>();
    case Test::Neu:
      return pick.template operator()<Test::Neu>();
    case Test::Ltu:
      return pick.template operator()<Test::Ltu>();
    case Test::Leu:
      return pick.template operator()<Test::Leu>();
    case Test::Gtu:
      return pick.template operator()<Test::Gtu>();
    case Test::Geu:
      return pick.template operator()<Test::Geu>();
    case Test::Num:
      return pick.template operator()<Test::Num>();
    case Test::Nan:
      return pick.template operator()<Test::Nan>();
    default:
      break;
    }
  }
  return nullptr;
}

template <typename N> static Handler pairHandler(Test test) {
  switch (test) {
  case Test::Eq:
    return setPredicatesOfPair<N, Test::Eq>;
  case Test::Ne:
    return setPredicatesOfPair<N, Test::Ne>;
  case Test::Lt:
    return setPredicatesOfPair<N, Test::Lt>;
  case Test::Le:
    return setPredicatesOfPair<N, Test::Le>;
  case Test::Gt:
    return setPredicatesOfPair<N, Test::Gt>;
  case Test::Ge:
    return setPredicatesOfPair<N, Test::Ge>;
  case Test::Equ:
    return setPredicatesOfPair<N, Test::Equ>;
  case Test::Neu:
    return setPredicatesOfPair<N, Test::Neu>;
  case Test::Ltu:
    return setPredicatesOfPair<N, Test::Ltu>;
  case Test::Leu:
    return setPredicatesOfPair<N, Test::Leu>;
  case Test::Gtu:
    return setPredicatesOfPair<N, Test::Gtu>;
  case Test::Geu:
    return setPredicatesOfPair<N, Test::Geu>;
  case Test::Num:
    return setPredicatesOfPair<N, Test::Num>;
  case Test::Nan:
    return setPredicatesOfPair<N, Test::Nan>;
  }
  return nullptr;
}

static Handler handlerFor(Type type, Test test, bool flush, Form form) {
  switch (type) {
  case Type::F32:
    return flush ? testHandler<Flushed<F32>>(test, form) : testHandler<F32>(test, form);
  case Type::F64:
    return testHandler<F64>(test, form);
  case Type::F16:
    return flush ? testHandler<Flushed<F16>>(test, form) : testHandler<F16>(test, form);
  case Type::BF16:
    return testHandler<BF16>(test, form);
  case Type::F16x2:
    return form == Form::Predicate && !flush ? pairHandler<F16>(test) : nullptr;
  case Type::BF16x2:
    return form == Form::Predicate && !flush ? pairHandler<BF16>(test) : nullptr;
  default:
    return forInteger(type, [=]<typename T>() -> Handler { return testHandler<Int<T>>(test, form); });
  }
}

static Test takeTest(Modifiers &m) {
  int test = m.takeOneOf({"eq", "ne", "lt", "le", "gt", "ge", "equ", "neu", "ltu", "leu", "gtu", "geu", "num", "nan"});
  if (test >= 0)
    return static_cast<Test>(test);
  test = m.takeOneOf({"lo", "ls", "hi", "hs"}); // less, less or same, higher, higher or same, of unsigned numbers
  if (test < 0)
    m.fail("names no comparison");
  return static_cast<Test>(static_cast<int>(Test::Lt) + test);
}

static void decodeSet(Decoder &d, const Statement &s, Modifiers &m) {
  bool isPredicate = m.name() == "setp";
  Test test = takeTest(m);
  auto combination = static_cast<uint8_t>(m.takeOneOf({"and", "or", "xor"}) + 1);
  bool flush = m.take("ftz");
  Type result = isPredicate ? Type::Pred : m.takeType(), type = m.takeType();
  d.expectOperands(combination ? 4 : 3);
  if (!isPredicate && result != Type::U32 && result != Type::S32 && result != Type::F32)
    d.fail("not emulated for this type");
  uint32_t dest = d.dest(s.operands[0], bitsOf(result)), second = 0, flip = 0;
  bool hasSecond = !s.operands[0].parts.empty();
  if (hasSecond)
    second = d.dest(s.operands[0].parts[0], 1);
  uint32_t a = d.sourceOf(s.operands[1], type), b = d.sourceOf(s.operands[2], type);
  uint32_t c = combination ? d.predicate(s.operands[3], flip) : 0;
  const uint32_t *list = nullptr;
  if (hasSecond || !isPredicate)
    list = d.list({second, result == Type::F32 ? 0x3f800000u : ~0u});
  Instruction &made = d.add(handlerFor(type, test, flush, isPredicate ? Form::Predicate : Form::Value));
  made.dest = dest, made.a = a, made.b = b, made.c = c, made.list = list;
  made.option = combination, made.immediate = flip;
}

//===----------------------------------------------------------------------===//
// Choices
//===----------------------------------------------------------------------===//

template <typename T> static void select(Warp &w, const Instruction &i) {
  const T *a = w.at<T>(i.a), *b = w.at<T>(i.b);
  Mask choice = *w.at<Mask>(i.c) ^ Mask(i.immediate);
  setLanes(w.mask, w.at<T>(i.dest), [=](int lane) { return choice >> lane & 1 ? a[lane] : b[lane]; });
}

static void decodeSelect(Decoder &d, const Statement &s, Modifiers &m) {
  Type type = m.takeType();
  uint32_t bits = bitsOf(type), flip = 0;
  d.expectOperands(4);
  uint32_t dest = d.dest(s.operands[0], bits), a = d.sourceOf(s.operands[1], type), b = d.sourceOf(s.operands[2], type),
           c = d.predicate(s.operands[3], flip);
  Instruction &made = d.add(bits == 16   ? select<uint16_t>
                            : bits == 32 ? select<uint32_t>
                            : bits == 64 ? select<uint64_t>
                                         : nullptr);
  made.dest = dest, made.a = a, made.b = b, made.c = c, made.immediate = flip;
}

/// a where c >= 0.
template <typename T, typename C> static void selectBySign(Warp &w, const Instruction &i) {
  const T *a = w.at<T>(i.a), *b = w.at<T>(i.b);
  const C *c = w.at<C>(i.c);
  setLanes(w.mask, w.at<T>(i.dest), [=](int lane) { return c[lane] >= 0 ? a[lane] : b[lane]; });
}

static void decodeSlct(Decoder &d, const Statement &s, Modifiers &m) {
  m.take("ftz");
  Type type = m.takeType(), condition = m.takeType();
  if (condition != Type::S32 && condition != Type::F32)
    d.fail("not emulated for this type");
  bool isFloat = condition == Type::F32;
  d.expectOperands(4);
  uint32_t bits = bitsOf(type), dest = d.dest(s.operands[0], bits), a = d.sourceOf(s.operands[1], type),
           b = d.sourceOf(s.operands[2], type), c = d.sourceOf(s.operands[3], condition);
  Instruction &made =
      d.add(bits == 32   ? (isFloat ? selectBySign<uint32_t, float> : selectBySign<uint32_t, int32_t>)
            : bits == 64 ? (isFloat ? selectBySign<uint64_t, float> : selectBySign<uint64_t, int32_t>)
                         : Handler());
  made.dest = dest, made.a = a, made.b = b, made.c = c;
}

void addComparisons(DecoderTable &table) {
  table["setp"] = decodeSet;
  table["set"] = decodeSet;
  table["selp"] = decodeSelect;
  table["slct"] = decodeSlct;
}

} // namespace tenon::emulator
