// See machine.h: launches and blocks. Warps are in warp.cpp.
#include "machine.h"

#include "driver.h"

#include <cstdio>
#include <cstring>
#include <thread>

namespace tenon::emulator {

void Counts::add(const Counts &other) {
  blocks += other.blocks;
  instructions += other.instructions;
  mma += other.mma;
  wgmma += other.wgmma;
  asyncCopies += other.asyncCopies;
  tensorCopies += other.tensorCopies;
  barriers += other.barriers;
}

//===----------------------------------------------------------------------===//
// Blocks
//===----------------------------------------------------------------------===//

void Block::prepare(Launch &of) {
  launch = &of;
  const uint32_t *size = of.request.block;
  threads = size[0] * size[1] * size[2];
  warps.resize((threads + kLanes - 1) / kLanes);
  blocked.resize(warps.size());
  shared.resize(of.sharedBytes);
  if (of.checkRaces)
    uses.resize((of.sharedBytes + 3) / 4);
}

void Block::finishStores() {
  for (const PendingStore &store : stores)
    for (const PendingStore::Piece &piece : store.pieces)
      std::memcpy(piece.dest, shared.data() + piece.source, piece.bytes);
}

/// Lets warps go whose barrier all have reached. Warps that have left the kernel count as arrived where all threads are meant.
bool Block::releaseBarriers() {
  bool any = false;
  for (Barrier &barrier : barriers) {
    if (barrier.waiting.empty() && barrier.arrived == 0)
      continue;
    uint32_t needed = barrier.threads;
    if (!needed)
      for (const Warp &warp : warps)
        needed += warp.stop == Stop::Done ? 0 : kLanes;
    if (barrier.arrived < needed)
      continue;
    for (uint32_t warp : barrier.waiting)
      blocked[warp] = false;
    barrier = {};
    ++interval;
    ++counts.barriers;
    any = true;
  }
  return any;
}

void Block::reportDeadlock() {
  std::string text = "deadlock:";
  for (const Warp &warp : warps) {
    if (warp.stop == Stop::Done)
      continue;
    uint32_t line = warp.code[warp.pc ? warp.pc - 1 : 0].line;
    text += " warp " + std::to_string(warp.index) + " waits at line " + std::to_string(line);
    if (warp.stop == Stop::Barrier)
      text += " (barrier " + std::to_string(warp.barrier.id) + ")";
    text += ";";
  }
  text += " what they wait for cannot come";
  for (Warp &warp : warps)
    if (warp.stop != Stop::Done)
      return warp.fault(warp.code[warp.pc ? warp.pc - 1 : 0], kLaunchFailed, text);
}

void Block::run(uint64_t of) {
  number = of;
  const uint32_t *grid = launch->request.grid;
  index[0] = static_cast<uint32_t>(of % grid[0]);
  index[1] = static_cast<uint32_t>(of / grid[0] % grid[1]);
  index[2] = static_cast<uint32_t>(of / grid[0] / grid[1]);
  std::memset(shared.data(), kUnwritten, shared.size());
  std::fill(uses.begin(), uses.end(), WordUse());
  interval = 1;
  tensorCopies.clear();
  stores.clear();
  copyArrivals.clear();
  for (Barrier &barrier : barriers)
    barrier = {};
  for (uint32_t i = 0; i < warps.size(); ++i) {
    uint32_t lanes = std::min<uint32_t>(threads - i * kLanes, kLanes);
    warps[i].begin(*this, i, lanes == kLanes ? kAllLanes : (1u << lanes) - 1);
    blocked[i] = false;
  }
  // The order of the warps turns round after each round, so that a missing barrier shows whichever way it matters.
  bool backward = number & 1;
  uint32_t idleRounds = 0;
  for (bool busy = true; busy; backward = !backward) {
    busy = false;
    bool ran = false, progress = false;
    for (size_t k = 0; k < warps.size(); ++k) {
      size_t i = backward ? warps.size() - 1 - k : k;
      Warp &warp = warps[i];
      if (warp.stop == Stop::Done)
        continue;
      busy = true;
      if (blocked[i])
        continue;
      ran = true;
      uint64_t before = warp.counts.instructions;
      warp.run();
      if (warp.stop == Stop::Fault || launch->stopped.load(std::memory_order_relaxed))
        return;
      // A warp that only asks again whether it may go on executes a handful of instructions.
      progress |= warp.stop != Stop::Yield || warp.counts.instructions - before > 64;
      if (warp.stop == Stop::Barrier) {
        Barrier &barrier = barriers[warp.barrier.id];
        if (barrier.arrived && barrier.threads != warp.barrier.threads)
          return warp.fault(warp.code[warp.pc - 1], kLaunchFailed, "barrier with another number of threads");
        barrier.threads = warp.barrier.threads;
        barrier.arrived += kLanes;
        if (!warp.barrier.arriveOnly) {
          blocked[i] = true;
          barrier.waiting.push_back(static_cast<uint32_t>(i));
        }
        if (barrier.threads && barrier.arrived >= barrier.threads)
          releaseBarriers();
      }
    }
    bool released = releaseBarriers();
    idleRounds = progress ? 0 : idleRounds + 1;
    if (busy && !released && (!ran || idleRounds > 100000))
      return reportDeadlock();
  }
  finishStores();
  ++counts.blocks;
  for (Warp &warp : warps) {
    counts.add(warp.counts);
    warp.counts = {};
  }
}

//===----------------------------------------------------------------------===//
// Launches
//===----------------------------------------------------------------------===//

Fault runLaunch(const LaunchRequest &request, const MemoryView &memory, uint32_t processors, bool checkRaces, Counts &counts) {
  const Kernel &kernel = *request.kernel;
  Launch launch = {request, memory, processors, kReservedShared + kernel.staticShared + request.dynamicShared,
                   checkRaces, {}, {}, {}};
  uint64_t blocks = uint64_t(request.grid[0]) * request.grid[1] * request.grid[2];
  std::atomic<uint64_t> next{0};
  std::mutex countsMutex;
  auto work = [&] {
    Block block;
    block.prepare(launch);
    for (uint64_t i; !launch.stopped.load(std::memory_order_relaxed) && (i = next.fetch_add(1)) < blocks;)
      block.run(i);
    std::lock_guard lock(countsMutex);
    counts.add(block.counts);
  };
  uint64_t helpers = std::min<uint64_t>(std::max(1u, std::thread::hardware_concurrency()), blocks) - 1;
  std::vector<std::thread> threads;
  for (uint64_t i = 0; i < helpers; ++i)
    threads.emplace_back(work);
  work();
  for (std::thread &thread : threads)
    thread.join();
  return launch.fault;
}

} // namespace tenon::emulator
