// cp.async: copies from global to shared memory that land when they are waited for, not before.
#include "driver.h"
#include "lanes.h"

#include <algorithm>

namespace tenon::emulator {

/// dest in a / immediate, source in b with list[0] as its offset; c: bytes that are read; count: bytes in all.
static void issueCopy(Warp &w, const Instruction &i) {
  uint64_t dest[kLanes], source[kLanes];
  uint8_t *destHost[kLanes], *sourceHost[kLanes] = {};
  w.addresses(i, dest);
  if (!w.translate(i, Space::Shared, dest, i.count, destHost))
    return;
  if (!w.block->uses.empty() && !w.noteAccess(i, w.mask, destHost, i.count, true))
    return;
  const uint64_t *b = w.at<uint64_t>(i.b);
  const uint32_t *read = w.at<uint32_t>(i.c);
  auto offset = static_cast<int64_t>(static_cast<int32_t>(i.list[0]));
  forLanes(w.mask, [&](int lane) { source[lane] = b[lane] + static_cast<uint64_t>(offset); });
  // A copy that reads nothing may have any source.
  Mask all = w.mask;
  Mask reads = testLanes([=](int lane) { return read[lane] != 0; }) & all;
  w.mask = reads;
  bool good = !reads || w.translate(i, Space::Global, source, i.count, sourceHost);
  w.mask = all;
  if (!good)
    return;
  forLanes(all, [&](int lane) {
    AsyncCopy copy;
    copy.serial = w.copySerial;
    copy.group = w.copyGroups[lane];
    copy.dest = static_cast<uint32_t>(destHost[lane] - w.block->shared.data());
    copy.source = sourceHost[lane];
    copy.bytes = static_cast<uint8_t>(i.count);
    copy.sourceBytes = static_cast<uint8_t>(std::min<uint32_t>(read[lane], i.count));
    copy.lane = static_cast<uint8_t>(lane);
    w.copies.push_back(copy);
    // Until it lands, nobody may rely on what is there.
    std::memset(destHost[lane], kUnwritten, i.count);
  });
  ++w.copySerial;
  w.counts.asyncCopies += static_cast<uint64_t>(std::popcount(all));
}

static void commitGroup(Warp &w, const Instruction &) {
  forLanes(w.mask, [&](int lane) { ++w.copyGroups[lane]; });
}

/// immediate: how many of the latest groups may still be under way.
static void waitGroup(Warp &w, const Instruction &i) {
  landCopies(w, w.mask, [&](const AsyncCopy &copy) { return int64_t(copy.group) + i.immediate < int64_t(w.copyGroups[copy.lane]); });
}
static void waitAll(Warp &w, const Instruction &) {
  landCopies(w, w.mask, [](const AsyncCopy &) { return true; });
}

void decodeBulk(Decoder &d, const Statement &s, Modifiers &m);        // bulkcopies.cpp
void decodeCopyArrival(Decoder &d, const Statement &s, Modifiers &m); // barrierobjects.cpp

static void decodeCopy(Decoder &d, const Statement &s, Modifiers &m) {
  if (!m.take("async"))
    d.fail("exists with '.async' only");
  d.require(80, 70);
  if (m.take("bulk"))
    return decodeBulk(d, s, m);
  if (m.take("mbarrier"))
    return decodeCopyArrival(d, s, m);
  if (m.take("commit_group")) {
    d.expectOperands(0);
    d.add(commitGroup);
    return;
  }
  if (m.take("wait_all")) {
    d.expectOperands(0);
    d.add(waitAll);
    return;
  }
  if (m.take("wait_group")) {
    d.expectOperands(1);
    int64_t pending = d.integer(s.operands[0], 0, INT32_MAX);
    d.add(waitGroup).immediate = pending;
    return;
  }
  bool whole = m.take("cg");
  if ((!whole && !m.take("ca")) || !(m.take("shared") || m.take("shared::cta")) || !m.take("global"))
    d.fail("cache or space is not emulated");
  bool hasHint = m.take("L2::cache_hint");
  m.takeMemoryQualifiers();
  d.expectOperands(3, hasHint ? 5 : 4);
  int64_t bytes = d.integer(s.operands[2], 4, 16);
  if ((bytes != 4 && bytes != 8 && bytes != 16) || (whole && bytes != 16))
    d.fail("copies of " + std::to_string(bytes) + " bytes do not exist");
  bool hasRead = s.operands.size() >= (hasHint ? 5u : 4u);
  if (hasRead && d.isRegister(s.operands[3]) && d.bitsOfRegister(s.operands[3]) == 1)
    d.fail("a predicate for the source is not emulated");
  uint32_t read = hasRead ? d.source(s.operands[3], 32) : d.constant(static_cast<uint64_t>(bytes), 32);
  Instruction dest, source;
  d.address(s.operands[0], Space::Shared, dest);
  d.address(s.operands[1], Space::Global, source);
  const uint32_t *list = d.list({static_cast<uint32_t>(static_cast<int32_t>(source.immediate))});
  Instruction &made = d.add(issueCopy);
  made.a = dest.a, made.wideBase = dest.wideBase, made.immediate = dest.immediate;
  made.b = source.a, made.list = list, made.c = read, made.count = static_cast<uint16_t>(bytes);
}

void addAsyncCopies(DecoderTable &table) { table["cp"] = decodeCopy; }

} // namespace tenon::emulator
