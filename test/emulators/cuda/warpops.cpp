// What lanes of a warp do together: shuffles, votes, matches, reductions.
#include "driver.h"
#include "lanes.h"

namespace tenon::emulator {

/// Waits for the lanes that a mask names. False: not yet, or never.
static bool meet(Warp &w, const Instruction &i, Mask needed) {
  if (!w.gather(i, needed))
    return false;
  Mask wrong = w.mask & ~needed, missing = needed & ~w.mask;
  if (!wrong && !missing)
    return true;
  if (wrong)
    w.fault(i, kLaunchFailed, "lane takes part whose mask does not name it", std::countr_zero(wrong));
  else
    w.fault(i, kLaunchFailed, "lane that the mask names does not take part", std::countr_zero(missing));
  return false;
}

/// The mask operand; lanes may not differ.
static Mask maskOf(Warp &w, uint32_t operand) { return w.at<Mask>(operand)[std::countr_zero(w.mask)]; }

/// option: idx, up, down, bfly; list: the mask, the predicate + 1.
static void shuffle(Warp &w, const Instruction &i) {
  if (!meet(w, i, maskOf(w, i.list[0])))
    return;
  const uint32_t *a = w.at<uint32_t>(i.a), *b = w.at<uint32_t>(i.b), *c = w.at<uint32_t>(i.c);
  uint32_t result[kLanes] = {};
  Mask inRange = 0;
  for (int lane = 0; lane < kLanes; ++lane) {
    if (!(w.mask >> lane & 1))
      continue;
    int offset = b[lane] & 31, clamp = c[lane] & 31, segment = c[lane] >> 8 & 31;
    int high = (lane & segment) | (clamp & ~segment), low = lane & segment, from;
    bool good;
    switch (i.option) {
    case 0:
      from = low | (offset & ~segment);
      good = from <= high;
      break;
    case 1:
      from = lane - offset;
      good = from >= high;
      break;
    case 2:
      from = lane + offset;
      good = from <= high;
      break;
    default:
      from = lane ^ offset;
      good = from <= high;
    }
    if (!good)
      from = lane;
    if (!(w.mask >> from & 1))
      return w.fault(i, kLaunchFailed, "reads lane " + std::to_string(from) + ", which does not take part", lane);
    inRange |= Mask(good) << lane;
    result[lane] = a[from];
  }
  const uint32_t *made = result;
  setLanes(w.mask, w.at<uint32_t>(i.dest), [=](int lane) { return made[lane]; });
  if (i.list[1])
    setPredicate(w, i.list[1] - 1, inRange);
}

static void decodeShuffle(Decoder &d, const Statement &s, Modifiers &m) {
  if (!m.take("sync"))
    d.fail("exists with '.sync' only");
  int mode = m.takeOneOf({"idx", "up", "down", "bfly"});
  if (mode < 0 || bitsOf(m.takeType()) != 32)
    d.fail("names no mode, or has not 32 bits");
  d.expectOperands(5);
  uint32_t dest = d.dest(s.operands[0], 32);
  uint32_t predicate = s.operands[0].parts.empty() ? 0 : d.dest(s.operands[0].parts[0], 1) + 1;
  uint32_t a = d.source(s.operands[1], 32), b = d.source(s.operands[2], 32), c = d.source(s.operands[3], 32);
  const uint32_t *list = d.list({d.source(s.operands[4], 32), predicate});
  Instruction &made = d.add(shuffle);
  made.dest = dest, made.a = a, made.b = b, made.c = c, made.list = list, made.option = static_cast<uint8_t>(mode);
}

/// option: all, any, uni, ballot.
static void vote(Warp &w, const Instruction &i) {
  Mask needed = maskOf(w, i.b);
  if (!meet(w, i, needed))
    return;
  Mask value = (*w.at<Mask>(i.a) ^ Mask(i.immediate)) & w.mask;
  if (i.option == 3)
    return setLanes(w.mask, w.at<uint32_t>(i.dest), [=](int) { return value; });
  bool result = i.option == 0 ? value == w.mask : i.option == 1 ? value != 0 : value == 0 || value == w.mask;
  setPredicate(w, i.dest, result ? ~0u : 0);
}

static void decodeVote(Decoder &d, const Statement &s, Modifiers &m) {
  int mode = m.takeOneOf({"all", "any", "uni", "ballot"});
  if (!m.take("sync") || mode < 0)
    d.fail("lacks '.sync' or a mode");
  m.takeType();
  d.expectOperands(3);
  uint32_t flip = 0, dest = d.dest(s.operands[0], mode == 3 ? 32 : 1), a = d.predicate(s.operands[1], flip),
           mask = d.source(s.operands[2], 32);
  Instruction &made = d.add(vote);
  made.dest = dest, made.a = a, made.b = mask, made.immediate = flip, made.option = static_cast<uint8_t>(mode);
}

static void activeMask(Warp &w, const Instruction &i) {
  Mask mask = w.mask;
  setLanes(w.mask, w.at<uint32_t>(i.dest), [=](int) { return mask; });
}
static void decodeActiveMask(Decoder &d, const Statement &s, Modifiers &m) {
  m.takeType();
  d.expectOperands(1);
  uint32_t dest = d.dest(s.operands[0], 32);
  d.add(activeMask).dest = dest;
}

namespace {
enum Reduction : uint8_t { kAdd, kMin, kMax, kAnd, kOr, kXor };
} // namespace

template <typename T> static void reduce(Warp &w, const Instruction &i) {
  if (!meet(w, i, maskOf(w, i.b)))
    return;
  const T *a = w.at<T>(i.a);
  T result = a[std::countr_zero(w.mask)];
  forLanes(w.mask & (w.mask - 1), [&](int lane) {
    T value = a[lane];
    switch (i.option) {
    case kAdd:
      result = static_cast<T>(uint32_t(result) + uint32_t(value));
      break;
    case kMin:
      result = value < result ? value : result;
      break;
    case kMax:
      result = value > result ? value : result;
      break;
    case kAnd:
      result &= value;
      break;
    case kOr:
      result |= value;
      break;
    default:
      result ^= value;
    }
  });
  setLanes(w.mask, w.at<T>(i.dest), [=](int) { return result; });
}

static void decodeReduce(Decoder &d, const Statement &s, Modifiers &m) {
  d.require(80, 70);
  int what = m.takeOneOf({"add", "min", "max", "and", "or", "xor"});
  if (!m.take("sync") || what < 0)
    d.fail("lacks '.sync' or an operation");
  Type type = m.takeType();
  if (bitsOf(type) != 32 || isFloat(type))
    d.fail("not emulated for this type");
  d.expectOperands(3);
  uint32_t dest = d.dest(s.operands[0], 32), a = d.source(s.operands[1], 32), mask = d.source(s.operands[2], 32);
  Instruction &made = d.add(isSigned(type) ? reduce<int32_t> : reduce<uint32_t>);
  made.dest = dest, made.a = a, made.b = mask, made.option = static_cast<uint8_t>(what);
}

/// option 0: any: the lanes with the same value; 1: all of them or none, list[0]: the predicate + 1.
template <typename T> static void match(Warp &w, const Instruction &i) {
  if (!meet(w, i, maskOf(w, i.b)))
    return;
  const T *a = w.at<T>(i.a);
  uint32_t result[kLanes] = {};
  forLanes(w.mask, [&](int lane) {
    forLanes(w.mask, [&](int other) { result[lane] |= Mask(a[lane] == a[other]) << other; });
    if (i.option && result[lane] != w.mask)
      result[lane] = 0;
  });
  const uint32_t *made = result;
  setLanes(w.mask, w.at<uint32_t>(i.dest), [=](int lane) { return made[lane]; });
  if (i.option && i.list[0])
    setPredicate(w, i.list[0] - 1, testLanes([=](int lane) { return made[lane] != 0; }));
}

static void decodeMatch(Decoder &d, const Statement &s, Modifiers &m) {
  int mode = m.takeOneOf({"any", "all"});
  if (!m.take("sync") || mode < 0)
    d.fail("lacks '.sync' or a mode");
  uint32_t bits = bitsOf(m.takeType());
  d.expectOperands(3);
  uint32_t dest = d.dest(s.operands[0], 32), a = d.source(s.operands[1], bits), mask = d.source(s.operands[2], 32);
  const uint32_t *list = d.list({s.operands[0].parts.empty() ? 0 : d.dest(s.operands[0].parts[0], 1) + 1});
  Instruction &made = d.add(bits == 32 ? match<uint32_t> : bits == 64 ? match<uint64_t> : nullptr);
  made.dest = dest, made.a = a, made.b = mask, made.list = list, made.option = static_cast<uint8_t>(mode);
}

/// One lane of those that the mask names: the lowest.
static void elect(Warp &w, const Instruction &i) {
  if (!meet(w, i, maskOf(w, i.a)))
    return;
  auto leader = static_cast<uint32_t>(std::countr_zero(w.mask));
  setLanes(w.mask, w.at<uint32_t>(i.dest), [=](int) { return leader; });
  setPredicate(w, i.b, 1u << leader);
}
static void decodeElect(Decoder &d, const Statement &s, Modifiers &m) {
  d.require(90, 80);
  if (!m.take("sync"))
    d.fail("exists with '.sync' only");
  d.expectOperands(2);
  if (s.operands[0].parts.empty())
    d.fail("lacks the predicate");
  uint32_t dest = d.dest(s.operands[0], 32), predicate = d.dest(s.operands[0].parts[0], 1),
           mask = d.source(s.operands[1], 32);
  Instruction &made = d.add(elect);
  made.dest = dest, made.a = mask, made.b = predicate;
}

void addWarpOperations(DecoderTable &table) {
  table["shfl"] = decodeShuffle;
  table["vote"] = decodeVote;
  table["activemask"] = decodeActiveMask;
  table["redux"] = decodeReduce;
  table["match"] = decodeMatch;
  table["elect"] = decodeElect;
}

} // namespace tenon::emulator
