// Branches, calls, ends, barriers of blocks and warps.
#include "driver.h"
#include "lanes.h"

namespace tenon::emulator {

static void branch(Warp &w, const Instruction &i) { w.branch(static_cast<uint32_t>(i.immediate)); }

static void decodeBranch(Decoder &d, const Statement &s, Modifiers &m) {
  m.take("uni");
  d.expectOperands(1);
  d.target(s.operands[0], d.add(branch));
}

static void branchByIndex(Warp &w, const Instruction &i) {
  const uint32_t *index = w.at<uint32_t>(i.a);
  uint32_t targets[kLanes] = {};
  bool good = true;
  forLanes(w.mask, [&](int lane) {
    if (good && index[lane] >= i.count) {
      w.fault(i, kLaunchFailed, "index " + std::to_string(index[lane]) + " is outside of the table of branches", lane);
      good = false;
    } else if (good) {
      targets[lane] = i.list[index[lane]];
    }
  });
  if (good)
    w.scatter(targets);
}

static void decodeBranchByIndex(Decoder &d, const Statement &s, Modifiers &m) {
  m.take("uni");
  if (!m.take("idx"))
    d.fail("exists with '.idx' only");
  d.expectOperands(2);
  const std::vector<std::string> *labels = d.targetList(s.operands[1].name);
  if (!labels)
    d.fail("'" + s.operands[1].name + "' is not a table of branches");
  std::vector<uint32_t> targets;
  for (const std::string &label : *labels)
    targets.push_back(d.targetOf(label));
  uint32_t index = d.source(s.operands[0], 32);
  auto count = static_cast<uint16_t>(targets.size());
  const uint32_t *list = d.list(std::move(targets));
  Instruction &made = d.add(branchByIndex);
  made.a = index, made.list = list, made.count = count, made.option = 0xff;
}

static void callFunction(Warp &w, const Instruction &i) { w.call(i, *reinterpret_cast<const CallPlan *>(i.immediate)); }

static void decodeCall(Decoder &d, const Statement &s, Modifiers &m) {
  m.take("uni");
  const CallPlan *plan = d.call(s);
  d.add(callFunction).immediate = reinterpret_cast<int64_t>(plan);
}

static void returnFrom(Warp &w, const Instruction &) { w.ret(); }
static void exitKernel(Warp &w, const Instruction &) { w.leave(); }
static void trap(Warp &w, const Instruction &i) { w.fault(i, kLaunchFailed, "trap"); }

static void decodeReturn(Decoder &d, const Statement &, Modifiers &m) {
  m.take("uni");
  d.add(returnFrom);
}
static void decodeExit(Decoder &d, const Statement &, Modifiers &) { d.add(exitKernel); }
static void decodeTrap(Decoder &d, const Statement &, Modifiers &) { d.add(trap); }

static void nothing(Warp &, const Instruction &) {}
static void decodeNothing(Decoder &d, const Statement &, Modifiers &m) {
  while (!m.rest().empty())
    m.take(std::string(m.rest()));
  d.add(nothing);
}

static void sleep(Warp &w, const Instruction &) { w.stop = Stop::Yield; }
static void decodeSleep(Decoder &d, const Statement &, Modifiers &m) {
  m.takeType();
  d.add(sleep);
}

//===----------------------------------------------------------------------===//
// Barriers
//===----------------------------------------------------------------------===//

/// a: the barrier, b: the number of threads (count & 1: there is one), option: only arrive.
static void blockBarrier(Warp &w, const Instruction &i) {
  if (!w.gather(i, w.live))
    return;
  if (w.mask != w.live)
    return w.fault(i, kLaunchFailed, "barrier that not all lanes of a warp execute");
  int first = std::countr_zero(w.mask);
  uint32_t id = w.at<uint32_t>(i.a)[first], threads = i.count & 1 ? w.at<uint32_t>(i.b)[first] : 0;
  bool same = true;
  forLanes(w.mask, [&](int lane) {
    same &= w.at<uint32_t>(i.a)[lane] == id && (!(i.count & 1) || w.at<uint32_t>(i.b)[lane] == threads);
  });
  if (!same || id > 15 || threads % kLanes || ((i.count & 1) && (threads == 0 || threads > w.block->warps.size() * kLanes)))
    return w.fault(i, kLaunchFailed, "barrier " + std::to_string(id) + " for " + std::to_string(threads) +
                                         " threads: not one number for all lanes, or one that cannot be");
  w.barrier = {id, threads, i.option != 0};
  w.stop = Stop::Barrier;
}

static void decodeBarrier(Decoder &d, const Statement &s, Modifiers &m) {
  m.take("cta");
  int what = m.takeOneOf({"sync", "arrive"});
  m.take("aligned"); // lanes of a warp meet in either case
  if (what < 0)
    d.fail("exists here as sync and arrive only");
  d.expectOperands(1, 2);
  bool counted = s.operands.size() == 2;
  if (what == 1 && !counted)
    d.fail("lacks the number of threads");
  uint32_t id = d.source(s.operands[0], 32), threads = counted ? d.source(s.operands[1], 32) : 0;
  Instruction &made = d.add(blockBarrier);
  made.a = id, made.b = threads, made.count = counted, made.option = static_cast<uint8_t>(what);
}

static void warpBarrier(Warp &w, const Instruction &i) {
  Mask needed = w.at<uint32_t>(i.a)[std::countr_zero(w.mask)];
  if (w.gather(i, needed) && (w.mask & ~needed))
    w.fault(i, kLaunchFailed, "lane executes a barrier whose mask does not name it", std::countr_zero(w.mask & ~needed));
}

static void decodeBar(Decoder &d, const Statement &s, Modifiers &m) {
  if (!m.take("warp"))
    return decodeBarrier(d, s, m);
  if (!m.take("sync"))
    d.fail("exists here as sync only");
  d.expectOperands(1);
  uint32_t mask = d.source(s.operands[0], 32);
  d.add(warpBarrier).a = mask;
}

/// Barriers of clusters: a block is its own cluster.
static void clusterBarrier(Warp &w, const Instruction &i) {
  if (!w.gather(i, w.live))
    return;
  w.barrier = {15, 0, i.option != 0};
  if (!i.option)
    w.stop = Stop::Barrier;
}
static void decodeBarrierOrCluster(Decoder &d, const Statement &s, Modifiers &m) {
  if (!m.take("cluster"))
    return decodeBarrier(d, s, m);
  d.require(90, 78);
  // arrive does nothing, wait is a barrier of all: stronger than what is asked for only by what must hold anyway.
  int what = m.takeOneOf({"wait", "arrive"});
  m.takeMemoryQualifiers();
  m.take("aligned");
  if (what < 0)
    d.fail("neither arrives nor waits");
  d.expectOperands(0);
  (void)s;
  d.add(clusterBarrier).option = static_cast<uint8_t>(what);
}

void addControl(DecoderTable &table) {
  table["bra"] = decodeBranch;
  table["brx"] = decodeBranchByIndex;
  table["call"] = decodeCall;
  table["ret"] = decodeReturn;
  table["exit"] = decodeExit;
  table["trap"] = decodeTrap;
  table["bar"] = decodeBar;
  table["barrier"] = decodeBarrierOrCluster;
  table["nanosleep"] = decodeSleep;
  table["setmaxnreg"] = decodeNothing;
  table["griddepcontrol"] = decodeNothing;
  table["brkpt"] = decodeTrap;
}

} // namespace tenon::emulator
