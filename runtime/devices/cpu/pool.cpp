// The built-in thread pool; see pool.h for the idea.
#include "pool.h"

#include "fpmode.h"

#include <climits>
#include <csignal>
#include <ctime>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace tenon::rt {

// Long enough to bridge the serial pieces between two regions of a call, short enough that an idle process and an
// oversubscribed machine do not notice.
static constexpr int64_t workerSpinNanoseconds = 50'000;
static constexpr int64_t callerSpinNanoseconds = 20'000;
static constexpr uint32_t slotCount = 64;

// PoolSlot::word, low to high: workers running, workers joined so far, workers wanted, open, caller sleeps,
// generation. One compare-and-swap on it decides whether a worker may look at the region at all.
static constexpr uint64_t oneRunning = 1, oneJoined = 1u << 10, oneWanted = 1u << 20;
static constexpr uint64_t fieldMask = 1023;
static constexpr uint64_t openBit = 1u << 30, waitingBit = 1u << 31;
static uint32_t runningOf(uint64_t word) { return word & fieldMask; }
static uint32_t joinedOf(uint64_t word) { return (word >> 10) & fieldMask; }
static uint32_t wantedOf(uint64_t word) { return (word >> 20) & fieldMask; }

struct PoolSlot {
  alignas(64) std::atomic<uint64_t> word;
  std::atomic<uint32_t> taken;
  Region region;
};

namespace {
enum WorkerState : uint32_t { Searching = 0, Sleeping = 1, Working = 2 };

struct alignas(64) Worker {
  std::atomic<uint32_t> state; // futex word while Sleeping
};

struct Pool {
  PoolSlot slots[slotCount];
  Worker workers[maxThreads];
  alignas(64) std::atomic<uint32_t> slotsUsed;   // slots with a greater index were never taken
  std::atomic<uint32_t> workersStarted;
  alignas(64) std::atomic<int32_t> sleepers;
  pthread_mutex_t startMutex;
};
} // namespace

static int64_t nowNanoseconds() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return int64_t(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

static void futexWait(void *word, uint32_t expected) {
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, nullptr, nullptr, 0);
}
static void futexWake(void *word) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0); }

// Mapped on first use and never given back: workers live as long as the process.
static Pool *pool() {
  static std::atomic<Pool *> instance{nullptr};
  Pool *current = instance.load(std::memory_order_acquire);
  if (current)
    return current;
  void *memory = mmap(nullptr, sizeof(Pool), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    return nullptr;
  auto *fresh = static_cast<Pool *>(memory); // zero pages are a valid Pool
  pthread_mutex_init(&fresh->startMutex, nullptr);
  if (instance.compare_exchange_strong(current, fresh, std::memory_order_acq_rel))
    return fresh;
  munmap(memory, sizeof(Pool));
  return current;
}

void Region::start(RangeFn rangeFn, void *rangeContext, int64_t tileCount, uint32_t threads) {
  fn = rangeFn;
  context = rangeContext;
  tiles = tileCount;
  // Eight pieces per thread: small enough to even out a slow core, large enough that claiming costs nothing.
  int64_t pieces = int64_t(threads) * 8;
  chunk = tileCount <= pieces ? 1 : tileCount / pieces;
  failResult = 0;
  next.store(0, std::memory_order_relaxed);
}

void Region::work(uint32_t worker) {
  for (;;) {
    int64_t begin = next.fetch_add(chunk, std::memory_order_relaxed);
    if (begin >= tiles)
      return;
    int64_t end = tiles - begin < chunk ? tiles : begin + chunk;
    int32_t result = fn(context, begin, end, worker);
    if (result == 0)
      continue;
    next.store(tiles, std::memory_order_relaxed); // nothing above can matter any more
    while (failLock.exchange(1, std::memory_order_acquire))
      spinPause();
    if (failResult == 0 || begin < failBegin) {
      failResult = result;
      failBegin = begin;
    }
    failLock.store(0, std::memory_order_release);
    return;
  }
}

// Wakes up to two sleepers if fewer than `wanted` workers are looking for work. Woken workers wake further ones,
// so that a caller on a large machine does not pay one system call per thread.
static void wakeFor(Pool &pool, uint32_t wanted) {
  if (pool.sleepers.load(std::memory_order_seq_cst) <= 0)
    return;
  uint32_t started = pool.workersStarted.load(std::memory_order_acquire), searching = 0;
  for (uint32_t i = 0; i < started && searching < wanted; ++i)
    searching += pool.workers[i].state.load(std::memory_order_relaxed) == Searching;
  uint32_t wakes = wanted - searching < 2 ? wanted - searching : 2;
  for (uint32_t i = 0; i < started && wakes; ++i) { // lowest first, so that the same few stay awake
    uint32_t expected = Sleeping;
    auto &state = pool.workers[i].state;
    if (state.load(std::memory_order_relaxed) != Sleeping ||
        !state.compare_exchange_strong(expected, Searching, std::memory_order_acq_rel))
      continue;
    pool.sleepers.fetch_sub(1, std::memory_order_relaxed);
    futexWake(&state);
    --wakes;
  }
}

// Joins a slot that is open and wants workers; the worker's index in it, or 0.
static uint32_t tryJoin(PoolSlot &slot, std::memory_order order) {
  uint64_t word = slot.word.load(order);
  while ((word & openBit) && joinedOf(word) < wantedOf(word))
    if (slot.word.compare_exchange_weak(word, word + oneJoined + oneRunning, std::memory_order_acq_rel, order))
      return joinedOf(word) + 1;
  return 0;
}

static void leave(PoolSlot &slot) {
  uint64_t before = slot.word.fetch_sub(oneRunning, std::memory_order_acq_rel);
  // The slot may already serve another region here; a wake that nobody needs is harmless.
  if (runningOf(before) == 1 && (before & waitingBit))
    futexWake(&slot.word);
}

// Joins and works in the first slot that wants help, beginning where work was found last.
static bool serveOne(Pool &pool, Worker &self, uint32_t &lastSlot, bool wakeOthers, std::memory_order order) {
  uint32_t used = pool.slotsUsed.load(order);
  for (uint32_t i = 0; i < used; ++i) {
    uint32_t at = lastSlot + i < used ? lastSlot + i : lastSlot + i - used;
    PoolSlot &slot = pool.slots[at];
    uint32_t index = tryJoin(slot, order);
    if (index == 0)
      continue;
    lastSlot = at;
    self.state.store(Working, std::memory_order_relaxed);
    if (wakeOthers) {
      uint64_t word = slot.word.load(std::memory_order_relaxed);
      if (wantedOf(word) > joinedOf(word))
        wakeFor(pool, wantedOf(word) - joinedOf(word));
    }
    slot.region.work(index);
    leave(slot);
    self.state.store(Searching, std::memory_order_relaxed);
    return true;
  }
  return false;
}

static void *workerMain(void *argument) {
  Pool &pool = *::tenon::rt::pool();
  auto number = static_cast<uint32_t>(reinterpret_cast<uintptr_t>(argument));
  Worker &self = pool.workers[number];
  uint32_t lastSlot = 0;
  bool justWoken = false;
  setDefaultFpMode();
  for (;;) {
    int64_t deadline = nowNanoseconds() + workerSpinNanoseconds;
    bool worked = false;
    do {
      for (int i = 0; i < 16 && !worked; ++i) {
        worked = serveOne(pool, self, lastSlot, justWoken, std::memory_order_acquire);
        if (!worked)
          spinPause();
      }
    } while (!worked && nowNanoseconds() < deadline);
    if (worked) {
      justWoken = false;
      continue;
    }
    // Announce, then look once more: either this sees the region, or who opened it sees the announcement.
    self.state.store(Sleeping, std::memory_order_seq_cst);
    pool.sleepers.fetch_add(1, std::memory_order_seq_cst);
    bool open = false;
    uint32_t used = pool.slotsUsed.load(std::memory_order_seq_cst);
    for (uint32_t i = 0; i < used && !open; ++i) {
      uint64_t word = pool.slots[i].word.load(std::memory_order_seq_cst);
      open = (word & openBit) && joinedOf(word) < wantedOf(word);
    }
    if (open) {
      uint32_t expected = Sleeping;
      if (self.state.compare_exchange_strong(expected, Searching, std::memory_order_acq_rel))
        pool.sleepers.fetch_sub(1, std::memory_order_relaxed);
      continue;
    }
    while (self.state.load(std::memory_order_acquire) == Sleeping)
      futexWait(&self.state, Sleeping);
    justWoken = true;
  }
  return nullptr;
}

void poolStart(uint32_t threads) {
  Pool *shared = pool();
  if (!shared || threads <= 1)
    return;
  uint32_t wanted = threads - 1 < maxThreads ? threads - 1 : maxThreads;
  if (shared->workersStarted.load(std::memory_order_acquire) >= wanted)
    return;
  pthread_mutex_lock(&shared->startMutex);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, size_t(512) << 10); // kernels' frames are at most 16 KiB
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before); // the process's signals are not for workers
  uint32_t started = shared->workersStarted.load(std::memory_order_relaxed);
  for (; started < wanted; ++started) {
    pthread_t thread;
    if (pthread_create(&thread, &attributes, workerMain, reinterpret_cast<void *>(uintptr_t(started))) != 0)
      break; // fewer threads are slower, not wrong
    shared->workersStarted.store(started + 1, std::memory_order_release);
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_attr_destroy(&attributes);
  pthread_mutex_unlock(&shared->startMutex);
}

PoolSlot *poolAcquireSlot() {
  Pool *shared = pool();
  if (!shared)
    return nullptr;
  for (uint32_t i = 0; i < slotCount; ++i) {
    PoolSlot &slot = shared->slots[i];
    if (slot.taken.load(std::memory_order_relaxed) || slot.taken.exchange(1, std::memory_order_acquire))
      continue;
    uint32_t used = shared->slotsUsed.load(std::memory_order_relaxed);
    while (used <= i && !shared->slotsUsed.compare_exchange_weak(used, i + 1, std::memory_order_seq_cst)) {
    }
    return &slot;
  }
  return nullptr;
}

void poolReleaseSlot(PoolSlot *slot) { slot->taken.store(0, std::memory_order_release); }

// Waits for the workers that joined; new ones cannot, the slot is closed.
static void waitForJoined(PoolSlot &slot) {
  int64_t deadline = 0;
  for (;;) {
    for (int i = 0; i < 64; ++i) {
      if (runningOf(slot.word.load(std::memory_order_acquire)) == 0)
        return;
      spinPause();
    }
    int64_t now = nowNanoseconds();
    if (deadline == 0)
      deadline = now + callerSpinNanoseconds;
    else if (now > deadline)
      break;
  }
  // A worker was probably put aside in the middle of a tile; give it this core.
  uint64_t word = slot.word.fetch_or(waitingBit, std::memory_order_acq_rel) | waitingBit;
  while (runningOf(word) != 0) {
    futexWait(&slot.word, static_cast<uint32_t>(word)); // the futex is the low half
    word = slot.word.load(std::memory_order_acquire);
  }
}

int32_t poolRun(PoolSlot *slot, uint32_t threads, RangeFn fn, void *context, int64_t tiles) {
  Region &region = slot->region;
  uint32_t wanted = tiles < threads ? static_cast<uint32_t>(tiles) - 1 : threads - 1;
  region.start(fn, context, tiles, wanted + 1);
  uint64_t generation = (slot->word.load(std::memory_order_relaxed) | 0xffffffffu) + 1;
  slot->word.store(generation | openBit | wanted * oneWanted, std::memory_order_seq_cst);
  wakeFor(*pool(), wanted);
  region.work(0);
  // All tiles are claimed: close, then wait for those that still run theirs.
  if (runningOf(slot->word.fetch_and(~openBit, std::memory_order_acq_rel)) != 0)
    waitForJoined(*slot);
  return region.failResult;
}

} // namespace tenon::rt
