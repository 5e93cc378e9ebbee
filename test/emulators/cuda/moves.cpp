// mov, cvta, isspacep: values and addresses that move as they are.
#include "lanes.h"

#include <chrono>

namespace tenon::emulator {

template <typename T> static void move(Warp &w, const Instruction &i) {
  const T *a = w.at<T>(i.a);
  setLanes(w.mask, w.at<T>(i.dest), [=](int lane) { return a[lane]; });
}

static void movePredicate(Warp &w, const Instruction &i) { setPredicate(w, i.dest, *w.at<Mask>(i.a) ^ Mask(i.immediate)); }

/// The address of something in the frame's local memory.
static void moveLocalAddress(Warp &w, const Instruction &i) {
  uint64_t address = w.localBase + static_cast<uint64_t>(i.immediate);
  setLanes(w.mask, w.at<uint64_t>(i.dest), [=](int) { return address; });
}

template <typename T> static void moveClock(Warp &w, const Instruction &i) {
  auto now = static_cast<T>(
      i.option ? static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch() / std::chrono::nanoseconds(1))
               : static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1)));
  setLanes(w.mask, w.at<T>(i.dest), [=](int) { return now; });
}

/// {parts} to a register.
template <typename Whole, typename Part> static void pack(Warp &w, const Instruction &i) {
  constexpr int count = sizeof(Whole) / sizeof(Part);
  Whole made[kLanes] = {};
  for (int k = 0; k < count; ++k) {
    const Part *part = w.at<Part>(i.list[k]);
    for (int lane = 0; lane < kLanes; ++lane)
      made[lane] |= static_cast<Whole>(static_cast<Whole>(part[lane]) << (k * int(sizeof(Part)) * 8));
  }
  const Whole *from = made;
  setLanes(w.mask, w.at<Whole>(i.dest), [=](int lane) { return from[lane]; });
}

/// A register to {parts}.
template <typename Whole, typename Part> static void unpack(Warp &w, const Instruction &i) {
  constexpr int count = sizeof(Whole) / sizeof(Part);
  const Whole *a = w.at<Whole>(i.a);
  for (int k = 0; k < count; ++k)
    setLanes(w.mask, w.at<Part>(i.list[k]),
             [=](int lane) { return static_cast<Part>(a[lane] >> (k * int(sizeof(Part)) * 8)); });
}

template <typename Part> static Handler packHandler(uint32_t whole, bool isPack) {
  switch (whole) {
  case 16:
    if constexpr (sizeof(Part) < 2)
      return isPack ? pack<uint16_t, Part> : unpack<uint16_t, Part>;
    break;
  case 32:
    if constexpr (sizeof(Part) < 4)
      return isPack ? pack<uint32_t, Part> : unpack<uint32_t, Part>;
    break;
  case 64:
    if constexpr (sizeof(Part) < 8)
      return isPack ? pack<uint64_t, Part> : unpack<uint64_t, Part>;
    break;
  }
  return nullptr;
}

static void decodePack(Decoder &d, const Statement &s, uint32_t bits) {
  bool isPack = s.operands[1].kind == Operand::Vector;
  const std::vector<Operand> &parts = (isPack ? s.operands[1] : s.operands[0]).parts;
  uint32_t part = parts.empty() ? 0 : bits / static_cast<uint32_t>(parts.size());
  if (part * parts.size() != bits)
    d.fail("vector does not fill the register");
  Handler handler = part == 8    ? packHandler<uint8_t>(bits, isPack)
                    : part == 16 ? packHandler<uint16_t>(bits, isPack)
                    : part == 32 ? packHandler<uint32_t>(bits, isPack)
                                 : nullptr;
  std::vector<uint32_t> places;
  for (const Operand &element : parts)
    places.push_back(isPack ? d.source(element, part) : d.dest(element, part));
  uint32_t whole = isPack ? d.dest(s.operands[0], bits) : d.source(s.operands[1], bits);
  const uint32_t *list = d.list(std::move(places));
  Instruction &made = d.add(handler);
  made.list = list;
  (isPack ? made.dest : made.a) = whole;
}

static Handler moveHandler(uint32_t bits) {
  return bits == 8 ? move<uint8_t> : bits == 16 ? move<uint16_t> : bits == 32 ? move<uint32_t> : move<uint64_t>;
}

static void decodeMove(Decoder &d, const Statement &s, Modifiers &m) {
  Type type = m.takeType();
  uint32_t bits = bitsOf(type);
  d.expectOperands(2);
  const Operand &to = s.operands[0], &from = s.operands[1];
  if (type == Type::Pred) {
    uint32_t flip = 0, place = d.predicate(from, flip), dest = d.dest(to, 1);
    Instruction &made = d.add(movePredicate);
    made.dest = dest, made.a = place, made.immediate = flip;
    return;
  }
  if (bits > 64)
    d.fail("128 bits are not emulated");
  if (from.kind == Operand::Vector || to.kind == Operand::Vector)
    return decodePack(d, s, bits);
  if (from.kind == Operand::Special &&
      (from.name == "%clock" || from.name == "%clock64" || from.name == "%globaltimer" || from.name == "%clock_hi")) {
    uint32_t dest = d.dest(to, bits);
    Instruction &made = d.add(bits == 64 ? moveClock<uint64_t> : bits == 32 ? moveClock<uint32_t> : nullptr);
    made.dest = dest, made.option = from.name == "%globaltimer";
    return;
  }
  if (from.kind == Operand::Symbol)
    if (std::optional<uint32_t> offset = d.localOffset(from.name)) {
      uint32_t dest = d.dest(to, 64);
      Instruction &made = d.add(moveLocalAddress);
      made.dest = dest, made.immediate = *offset + from.value;
      return;
    }
  uint32_t source = d.sourceOf(from, type), dest = d.dest(to, bits);
  Instruction &made = d.add(moveHandler(bits));
  made.dest = dest, made.a = source;
}

//===----------------------------------------------------------------------===//
// Address spaces
//===----------------------------------------------------------------------===//

static void addWindow(Warp &w, const Instruction &i) {
  const uint64_t *a = w.at<uint64_t>(i.a);
  auto window = static_cast<uint64_t>(i.immediate);
  setLanes(w.mask, w.at<uint64_t>(i.dest), [=](int lane) { return a[lane] + window; });
}

static uint64_t windowOf(Space space) {
  return space == Space::Shared ? kSharedWindow : space == Space::Local ? kLocalWindow : 0;
}

static Space takeNamedSpace(Modifiers &m) {
  if (m.take("shared::cluster"))
    return Space::Shared;
  Space space = m.takeSpace();
  if (space == Space::Generic)
    m.fail("names no space");
  return space;
}

static void decodeCvta(Decoder &d, const Statement &s, Modifiers &m) {
  bool to = m.take("to");
  uint64_t window = windowOf(takeNamedSpace(m));
  if (bitsOf(m.takeType()) != 64)
    m.fail("is emulated for 64 bits only");
  d.expectOperands(2);
  const Operand &from = s.operands[1];
  std::optional<uint32_t> offset = from.kind == Operand::Symbol ? d.localOffset(from.name) : std::nullopt;
  uint32_t dest = d.dest(s.operands[0], 64), source = offset ? 0 : d.source(from, 64);
  if (offset) {
    Instruction &made = d.add(moveLocalAddress);
    made.dest = dest, made.immediate = *offset + from.value;
    source = dest;
  }
  Instruction &made = d.add(addWindow);
  made.dest = dest, made.a = source;
  made.immediate = static_cast<int64_t>(to ? 0 - window : window);
}

static void isInSpace(Warp &w, const Instruction &i) {
  const uint64_t *a = w.at<uint64_t>(i.a);
  auto space = static_cast<Space>(i.option);
  setPredicate(w, i.dest, testLanes([=](int lane) {
                 bool shared = a[lane] - kSharedWindow < kSmallWindowBytes;
                 bool local = a[lane] - kLocalWindow < kSmallWindowBytes;
                 bool param = a[lane] - kParamWindow < kSmallWindowBytes;
                 return space == Space::Shared  ? shared
                        : space == Space::Local ? local
                        : space == Space::Param ? param
                                                : !shared && !local && !param;
               }));
}

static void decodeIsspacep(Decoder &d, const Statement &s, Modifiers &m) {
  Space space = takeNamedSpace(m);
  d.expectOperands(2);
  uint32_t dest = d.dest(s.operands[0], 1), source = d.source(s.operands[1], 64);
  Instruction &made = d.add(isInSpace);
  made.dest = dest, made.a = source, made.option = static_cast<uint8_t>(space);
}

/// mapa: with one block in a cluster, a shared address is its own.
static void decodeMapa(Decoder &d, const Statement &s, Modifiers &m) {
  d.require(90, 78);
  m.take("shared::cluster");
  uint32_t bits = bitsOf(m.takeType());
  d.expectOperands(3);
  d.source(s.operands[2], 32);
  uint32_t dest = d.dest(s.operands[0], bits), source = d.source(s.operands[1], bits);
  Instruction &made = d.add(moveHandler(bits));
  made.dest = dest, made.a = source;
}

void addMoves(DecoderTable &table) {
  table["mov"] = decodeMove;
  table["cvta"] = decodeCvta;
  table["isspacep"] = decodeIsspacep;
  table["mapa"] = decodeMapa;
}

} // namespace tenon::emulator
