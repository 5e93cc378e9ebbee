// The built-in thread pool: one per process, shared by all sessions tile by tile, without a lock on the way.
//
// A session that runs a parallel region opens a slot; searching workers join any open slot that still wants
// workers and claim tiles from its counter. The caller takes part from the first moment and waits only for
// workers that have joined, so a worker that the system does not schedule costs nothing.
#ifndef TENON_RUNTIME_DEVICES_CPU_POOL_H
#define TENON_RUNTIME_DEVICES_CPU_POOL_H

#include <atomic>
#include <cstdint>

namespace tenon::rt {

/// Tiles [begin, end) of a region; `worker` < the region's threads, unique among those that run at once.
using RangeFn = int32_t (*)(void *context, int64_t begin, int64_t end, uint32_t worker);

/// What the threads of one region share. Ranges are claimed in ascending order, so when one fails all lower ones
/// have been claimed and will finish: the lowest failing range is known without running the rest.
struct Region {
  RangeFn fn = nullptr;
  void *context = nullptr;
  int64_t tiles = 0;
  int64_t chunk = 1;
  alignas(64) std::atomic<int64_t> next{0};
  std::atomic<uint32_t> failLock{0};
  int32_t failResult = 0;
  int64_t failBegin = 0;

  void start(RangeFn rangeFn, void *rangeContext, int64_t tileCount, uint32_t threads);
  /// Claims and runs ranges until none are left.
  void work(uint32_t worker);
};

/// A place where workers look for a region. Opaque to users.
struct PoolSlot;

/// Makes sure that `threads - 1` workers exist, as far as the system allows.
void poolStart(uint32_t threads);

/// Takes a slot for the length of one call; nullptr when all are taken (then the call runs alone).
PoolSlot *poolAcquireSlot();
void poolReleaseSlot(PoolSlot *slot);

/// Runs [0, tiles) on at most `threads` threads and waits; the result of the lowest range that failed, or 0.
int32_t poolRun(PoolSlot *slot, uint32_t threads, RangeFn fn, void *context, int64_t tiles);

/// min(affinity, cgroup quota), at least 1; found once.
uint32_t hardwareThreads();

constexpr uint32_t maxThreads = 256;

inline void spinPause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

} // namespace tenon::rt
#endif
