// See barrierobjects.h: the instructions of mbarrier, and the arrival of cp.async.
#include "barrierobjects.h"

#include "driver.h"
#include "lanes.h"

#include <algorithm>

namespace tenon::emulator {

bool BarrierObject::read(const uint8_t *from, BarrierObject &made) {
  uint64_t word;
  std::memcpy(&word, from, 8);
  if (word >> 62 & 1)
    return false;
  made.expected = word & kMost;
  made.missing = word >> 20 & kMost;
  auto bytes = static_cast<uint32_t>(word >> 40 & 0x3fffff);
  made.bytes = static_cast<int32_t>(bytes << 10) >> 10;
  made.parity = word >> 63;
  return made.expected != 0;
}

void BarrierObject::write(uint8_t *to) const {
  uint64_t word = uint64_t(expected) | uint64_t(missing) << 20 | uint64_t(uint32_t(bytes) & 0x3fffff) << 40 |
                  uint64_t(parity) << 63;
  std::memcpy(to, &word, 8);
}

void BarrierObject::settle() {
  if (missing || bytes)
    return;
  parity = !parity;
  missing = expected;
}

bool findBarriers(Warp &w, const Instruction &i, Space space, const uint64_t *addresses, uint8_t **to) {
  if (!w.translate(i, space, addresses, 8, to))
    return false;
  bool good = true;
  forLanes(w.mask, [&](int lane) {
    auto offset = static_cast<uint64_t>(to[lane] - w.block->shared.data());
    if (good && offset >= w.block->shared.size()) {
      w.fault(i, kIllegalAddress, "mbarrier is not in shared memory", lane);
      good = false;
    }
  });
  return good;
}

static uint32_t offsetOf(const Warp &w, const uint8_t *place) { return static_cast<uint32_t>(place - w.block->shared.data()); }

/// The object, or a fault.
static bool readBarrier(Warp &w, const Instruction &i, int lane, const uint8_t *place, BarrierObject &made) {
  if (BarrierObject::read(place, made))
    return true;
  w.fault(i, kLaunchFailed, "mbarrier is not initialized", lane);
  return false;
}

static bool arrive(Warp &w, const Instruction &i, int lane, uint8_t *place, uint32_t count, int32_t bytes) {
  BarrierObject barrier;
  if (!readBarrier(w, i, lane, place, barrier))
    return false;
  if (count > barrier.missing) {
    w.fault(i, kLaunchFailed, "more threads arrive at the mbarrier than it expects", lane);
    return false;
  }
  barrier.missing -= count;
  barrier.bytes += bytes;
  const bool before = barrier.parity;
  barrier.settle();
  w.block->interval += barrier.parity != before;
  barrier.write(place);
  return true;
}

bool landFor(Warp &w, const Instruction &i, uint32_t offset) {
  Block &block = *w.block;
  bool good = true;
  // Copies of tensors and in bulk.
  std::erase_if(block.tensorCopies, [&](const PendingTensorCopy &copy) {
    if (copy.barrier != offset || !good)
      return false;
    for (const PendingTensorCopy::Piece &piece : copy.pieces)
      std::memcpy(block.shared.data() + piece.dest, copy.data.data() + piece.at, piece.bytes);
    BarrierObject barrier;
    uint8_t *place = block.shared.data() + offset;
    if ((good = readBarrier(w, i, -1, place, barrier))) {
      barrier.bytes -= static_cast<int32_t>(copy.bytes);
      barrier.settle();
      barrier.write(place);
    }
    return true;
  });
  // Arrivals that wait for a thread's cp.async.
  std::erase_if(block.copyArrivals, [&](const CopyArrival &arrival) {
    if (arrival.barrier != offset || !good)
      return false;
    Warp &owner = block.warps[arrival.warp];
    landCopies(owner, 1u << arrival.lane, [&](const AsyncCopy &copy) { return copy.serial < arrival.before; });
    good = arrive(w, i, -1, block.shared.data() + offset, 1, 0);
    return true;
  });
  return good;
}

//===----------------------------------------------------------------------===//
// Instructions
//===----------------------------------------------------------------------===//

/// b: the number of threads.
static void initialize(Warp &w, const Instruction &i) {
  uint64_t addresses[kLanes];
  uint8_t *place[kLanes];
  w.addresses(i, addresses);
  if (!findBarriers(w, i, static_cast<Space>(i.option), addresses, place))
    return;
  const uint32_t *count = w.at<uint32_t>(i.b);
  forLanes(w.mask, [&](int lane) {
    BarrierObject barrier;
    barrier.expected = barrier.missing = count[lane];
    if (count[lane] == 0 || count[lane] > BarrierObject::kMost)
      return w.fault(i, kLaunchFailed, "mbarrier for " + std::to_string(count[lane]) + " threads", lane);
    barrier.write(place[lane]);
  });
}

static void invalidate(Warp &w, const Instruction &i) {
  uint64_t addresses[kLanes];
  uint8_t *place[kLanes];
  w.addresses(i, addresses);
  if (findBarriers(w, i, static_cast<Space>(i.option), addresses, place))
    forLanes(w.mask, [&](int lane) { std::memset(place[lane], kUnwritten, 8); });
}

namespace {
enum ArriveForm : uint8_t { kArrive, kArriveDrop, kArriveExpect, kExpectOnly, kCompleteOnly };
} // namespace

/// b: the number of threads or of bytes; list[0]: the form; list[1]: the state + 1.
static void arriveAt(Warp &w, const Instruction &i) {
  uint64_t addresses[kLanes];
  uint8_t *place[kLanes];
  w.addresses(i, addresses);
  if (!findBarriers(w, i, static_cast<Space>(i.option), addresses, place))
    return;
  const uint32_t *b = w.at<uint32_t>(i.b);
  auto form = static_cast<ArriveForm>(i.list[0]);
  forLanes(w.mask, [&](int lane) {
    BarrierObject barrier;
    if (w.stop == Stop::Fault || !readBarrier(w, i, lane, place[lane], barrier))
      return;
    if (i.list[1])
      w.at<uint64_t>(i.list[1] - 1)[lane] = uint64_t(barrier.parity) << 63;
    if (form == kExpectOnly || form == kCompleteOnly) {
      barrier.bytes += form == kExpectOnly ? int32_t(b[lane]) : -int32_t(b[lane]);
      if (form == kCompleteOnly)
        barrier.settle();
      return barrier.write(place[lane]);
    }
    if (form == kArriveDrop) {
      barrier.expected -= std::min(barrier.expected, b[lane]);
      barrier.write(place[lane]);
    }
    bool expects = form == kArriveExpect;
    (void)arrive(w, i, lane, place[lane], expects ? 1 : b[lane], expects ? int32_t(b[lane]) : 0);
  });
}

/// b: the phase: its state, or with count & 1 its parity; option2 in list[0]: the warp may be put to sleep.
static void testWait(Warp &w, const Instruction &i) {
  uint64_t addresses[kLanes];
  uint8_t *place[kLanes];
  w.addresses(i, addresses);
  if (!findBarriers(w, i, static_cast<Space>(i.option), addresses, place))
    return;
  Mask done = 0;
  forLanes(w.mask, [&](int lane) {
    bool phase = i.count & 1 ? w.at<uint32_t>(i.b)[lane] & 1 : w.at<uint64_t>(i.b)[lane] >> 63;
    BarrierObject barrier;
    if (w.stop == Stop::Fault || !readBarrier(w, i, lane, place[lane], barrier))
      return;
    if (barrier.parity == phase) {
      if (!landFor(w, i, offsetOf(w, place[lane])) || !readBarrier(w, i, lane, place[lane], barrier))
        return;
    }
    done |= Mask(barrier.parity != phase) << lane;
  });
  if (w.stop == Stop::Fault)
    return;
  setPredicate(w, i.dest, done);
  if (done != w.mask)
    w.stop = Stop::Yield; // nothing changes before others have run
}

static Space takeBarrierSpace(Modifiers &m) {
  if (m.take("shared::cluster"))
    return Space::Shared;
  Space space = m.takeSpace();
  if (space != Space::Shared && space != Space::Generic)
    m.fail("names a space where no mbarrier is");
  return space;
}

static Instruction &addBarrier(Decoder &d, const Operand &place, Space space, Handler handler) {
  Instruction address;
  d.address(place, space, address);
  Instruction &made = d.add(handler);
  made.a = address.a, made.wideBase = address.wideBase, made.immediate = address.immediate;
  made.option = static_cast<uint8_t>(space);
  return made;
}

static void decodeWait(Decoder &d, const Statement &s, Modifiers &m) {
  bool parity = m.take("parity");
  m.takeMemoryQualifiers();
  Space space = takeBarrierSpace(m);
  if (m.takeType() != Type::B64)
    d.fail("has 64 bits only");
  d.expectOperands(3, 4);
  uint32_t dest = d.dest(s.operands[0], 1), phase = d.source(s.operands[2], parity ? 32 : 64);
  Instruction &made = addBarrier(d, s.operands[1], space, testWait);
  made.dest = dest, made.b = phase, made.count = parity;
}

static void decodeArrival(Decoder &d, const Statement &s, Modifiers &m, ArriveForm form) {
  if (m.take("expect_tx"))
    form = kArriveExpect;
  m.take("noComplete");
  m.takeMemoryQualifiers();
  Space space = takeBarrierSpace(m);
  if (m.takeType() != Type::B64)
    d.fail("has 64 bits only");
  // The state comes first where there is one.
  bool hasState = s.operands[0].kind != Operand::Address;
  size_t at = hasState ? 1 : 0;
  bool hasCount = s.operands.size() > at + 1;
  d.expectOperands(at + 1, at + 2);
  if (form != kArrive && form != kArriveDrop && !hasCount)
    d.fail("lacks the number of bytes");
  uint32_t state = hasState && s.operands[0].kind != Operand::Sink ? d.dest(s.operands[0], 64) + 1 : 0;
  uint32_t count = hasCount ? d.source(s.operands[at + 1], 32) : d.constant(1, 32);
  const uint32_t *list = d.list({form, state});
  Instruction &made = addBarrier(d, s.operands[at], space, arriveAt);
  made.b = count, made.list = list;
}

static void decodeBarrierObject(Decoder &d, const Statement &s, Modifiers &m) {
  d.require(80, 70);
  switch (m.takeOneOf({"init", "inval", "arrive", "arrive_drop", "expect_tx", "complete_tx", "test_wait", "try_wait"})) {
  case 0: {
    Space space = takeBarrierSpace(m);
    if (m.takeType() != Type::B64)
      d.fail("has 64 bits only");
    d.expectOperands(2);
    uint32_t count = d.source(s.operands[1], 32);
    addBarrier(d, s.operands[0], space, initialize).b = count;
    return;
  }
  case 1: {
    Space space = takeBarrierSpace(m);
    if (m.takeType() != Type::B64)
      d.fail("has 64 bits only");
    d.expectOperands(1);
    addBarrier(d, s.operands[0], space, invalidate);
    return;
  }
  case 2:
    return decodeArrival(d, s, m, kArrive);
  case 3:
    return decodeArrival(d, s, m, kArriveDrop);
  case 4:
    d.require(90, 80);
    return decodeArrival(d, s, m, kExpectOnly);
  case 5:
    d.require(90, 80);
    return decodeArrival(d, s, m, kCompleteOnly);
  case 6:
    return decodeWait(d, s, m);
  case 7:
    d.require(90, 78);
    return decodeWait(d, s, m);
  default:
    d.fail("this form is not emulated");
  }
}

/// cp.async.mbarrier.arrive: the thread arrives when its copies so far have landed. count: without ".noinc" one arrival more is expected.
static void arriveAfterCopies(Warp &w, const Instruction &i) {
  uint64_t addresses[kLanes];
  uint8_t *place[kLanes];
  w.addresses(i, addresses);
  if (!findBarriers(w, i, static_cast<Space>(i.option), addresses, place))
    return;
  forLanes(w.mask, [&](int lane) {
    BarrierObject barrier;
    if (w.stop == Stop::Fault || !readBarrier(w, i, lane, place[lane], barrier))
      return;
    if (i.count) {
      ++barrier.missing;
      barrier.write(place[lane]);
    }
    w.block->copyArrivals.push_back({offsetOf(w, place[lane]), w.index, static_cast<uint32_t>(lane), w.copySerial});
  });
}

void decodeCopyArrival(Decoder &d, const Statement &s, Modifiers &m) {
  if (!m.take("arrive"))
    d.fail("does not arrive");
  bool increments = !m.take("noinc");
  Space space = takeBarrierSpace(m);
  if (m.takeType() != Type::B64)
    d.fail("has 64 bits only");
  d.expectOperands(1);
  addBarrier(d, s.operands[0], space, arriveAfterCopies).count = increments;
}

void addBarrierObjects(DecoderTable &table) { table["mbarrier"] = decodeBarrierObject; }

} // namespace tenon::emulator
