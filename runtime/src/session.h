// A session: one caller's states, arena, scratch and call in flight.
#ifndef TENON_RUNTIME_SRC_SESSION_H
#define TENON_RUNTIME_SRC_SESSION_H

#include "../devices/cpu/pool.h"
#include "program.h"

namespace tenon::rt {

/// Addresses of one tensor of the call, for the overlap checks.
struct Interval {
  uintptr_t begin, end;
  uint32_t index;
};

/// What fail() recorded: the failure of the first region that failed, lowest tile.
struct Failure {
  std::atomic<uint32_t> lock;
  bool set, internal;
  uint32_t site;
  uint64_t region;
  int64_t tile, a, b;
};

/// A block that only grows.
struct Block {
  uint8_t *memory;
  uint64_t bytes;
};

// Only these functions jump into images, whose functions carry no type marks for -fsanitize=function.
#if defined(__clang__)
#define TN_CALLS_IMAGE __attribute__((no_sanitize("function")))
#else
#define TN_CALLS_IMAGE
#endif

} // namespace tenon::rt

struct tn_session {
  const tn_program *program;
  tn_allocator_t allocator;
  tn_pool_t pool; // run == nullptr: the built-in one
  uint64_t selfBytes, memoryLimit;
  uint32_t threads, flags;
  std::atomic<uint32_t> busy;
  bool stateLost;

  tenon::rt::Block arena, scratch;
  uint8_t *stateMemory; ///< of the device when the program is for one, as are `states`
  void *device;         ///< see device.h
  void **states, **inputs, **outputs;
  tenon::rt::Interval *intervals;

  // The sizes of the last call: the same again need no evaluation.
  int64_t *symbols, *lastSymbols, *found;
  uint32_t lastEntry;
  uint64_t arenaBytes, scratchStride;

  // Only during a call.
  tenon::rt::PoolSlot *slot;
  uint64_t region;
  tenon::rt::Failure failure;
};

namespace tenon::rt {
/// Takes the session for one operation; TN_BUSY when another has it.
class SessionLock {
public:
  explicit SessionLock(tn_session &session)
      : session(session), taken(session.busy.exchange(1, std::memory_order_acquire) == 0) {}
  ~SessionLock() {
    if (taken)
      session.busy.store(0, std::memory_order_release);
  }
  SessionLock(const SessionLock &) = delete;
  SessionLock &operator=(const SessionLock &) = delete;
  tn_status_t check(tn_error_t *error) const {
    return taken ? TN_OK
                 : TN_FAIL(error, TN_BUSY, "%s: session runs another call but takes one at a time",
                           session.program->label);
  }

private:
  tn_session &session;
  bool taken;
};
} // namespace tenon::rt
#endif
