// The machine: launches, blocks, warps. Handlers of instructions see a warp.
#ifndef TENON_TEST_EMULATORS_CUDA_MACHINE_H
#define TENON_TEST_EMULATORS_CUDA_MACHINE_H

#include "memory.h"
#include "program.h"
#include "text.h"

#include <atomic>
#include <cstring>
#include <string>

namespace tenon::emulator {

/// Before a loop over lanes: its operands are the same register or do not overlap. (Unrolled first, it would not be vectorized.)
#if defined(__clang__)
#define TN_LANES _Pragma("clang loop vectorize(assume_safety) unroll(disable)")
#else
#define TN_LANES _Pragma("GCC ivdep")
#endif

using Mask = uint32_t;
constexpr int kLanes = 32;
constexpr Mask kAllLanes = 0xffffffffu;

/// What a program did; added up over all of them.
struct Counts {
  uint64_t blocks = 0, instructions = 0, mma = 0, wgmma = 0, asyncCopies = 0, tensorCopies = 0, barriers = 0;
  void add(const Counts &other);
};

struct LaunchRequest {
  std::shared_ptr<const Kernel> kernel;
  std::shared_ptr<const void> module; ///< what `kernel` points into
  uint32_t grid[3] = {1, 1, 1}, block[3] = {1, 1, 1};
  uint32_t dynamicShared = 0;
  std::vector<uint8_t> parameters;
};

/// Why a launch stopped: a CUresult, 0 if it did not.
struct Fault {
  int code = 0;
  std::string message;
};

/// Runs all blocks, on all threads of the machine. `counts` gets what was done. `checkRaces`: accesses of two warps to a word of
/// shared memory without a barrier between, one of them a write, are a fault.
Fault runLaunch(const LaunchRequest &request, const MemoryView &memory, uint32_t processors, bool checkRaces, Counts &counts);

struct Block;

/// What all blocks of a launch share.
struct Launch {
  const LaunchRequest &request;
  const MemoryView &memory;
  uint32_t processors;
  uint32_t sharedBytes; ///< of a block, with what is reserved
  bool checkRaces;
  std::atomic<bool> stopped{false};
  std::mutex mutex; ///< of `fault`
  Fault fault;
};

/// Copies from global to shared memory that have been issued and have not landed.
struct AsyncCopy {
  uint64_t serial; ///< its number among all of the warp
  uint32_t group; ///< its number among the groups of its lane
  uint32_t dest;  ///< offset in shared memory
  const uint8_t *source;
  uint8_t bytes, sourceBytes; ///< the rest becomes zero
  uint8_t lane;
};

/// An asynchronous product of matrices that has been issued and not been done.
struct PendingProduct {
  const Instruction *instruction;
  uint32_t group;
  uint64_t a, b;               ///< descriptors of operands in shared memory
  bool accumulates;            ///< false: what the accumulators hold does not count
  std::vector<uint32_t> saved; ///< the accumulators, whose registers hold NaN until it is done; empty: another product writes them first
};

/// Lanes that stand at the same place and wait for their turn.
struct Group {
  uint32_t pc;
  Mask mask;
  bool parked; ///< until other lanes come to the same place
};

/// A function in execution by some lanes of a warp.
struct Frame {
  const Function *function;
  const CallPlan *call; ///< null: the kernel
  uint32_t registers;   ///< offset in Warp::registers
  uint32_t local;       ///< offset in a lane's local memory
  // Of the caller, while this frame runs:
  uint32_t returnPc = 0;
  Mask callMask = 0, otherActive = 0;
  std::vector<Group> callerGroups;
};

enum class Stop : uint8_t { None, Barrier, Yield, Done, Fault };

/// What a warp says at a barrier.
struct BarrierWait {
  uint32_t id = 0, threads = 0; ///< 0 threads: all of the block
  bool arriveOnly = false;
};

/// How the addresses of lanes lie.
enum class Spread : uint8_t {
  Fault, ///< some may not be accessed; the launch has stopped
  Lanes, ///< anyhow
  Same,  ///< all lanes are active and have the first one's
  Steps, ///< all lanes are active, side by side
};

/// 32 lanes. Those that stand at the same place run together; the group at the lowest place runs first, so that branches of
/// structured code meet again by themselves.
struct Warp {
  Block *block = nullptr;
  uint8_t *base[2] = {}; ///< registers and constants of the frame
  const Instruction *code = nullptr;
  Mask mask = 0;   ///< lanes of the current instruction
  Mask active = 0; ///< lanes of the current group
  Mask live = 0;   ///< lanes that have not left the kernel
  uint32_t pc = 0;    ///< of the next instruction
  uint32_t limit = 0; ///< the lowest place where another group waits
  Stop stop = Stop::None;
  uint32_t index = 0; ///< in its block
  std::vector<Group> groups; ///< those that wait
  BarrierWait barrier;
  uint32_t slice = 0; ///< backward branches until another warp has its turn

  std::vector<Frame> frames;
  std::vector<uint8_t> registerMemory; ///< frames' registers, aligned by `registers`
  uint8_t *registers = nullptr;
  std::vector<uint8_t> localMemory; ///< lane after lane, `localBytes` each
  uint32_t localBytes = 0;
  uint32_t localBase = 0; ///< of the frame

  Range cached; ///< where the last access to global memory was
  std::vector<AsyncCopy> copies;
  uint64_t copySerial = 0;
  uint32_t copyGroups[kLanes] = {};
  uint32_t storeGroups[kLanes] = {};
  std::vector<PendingProduct> products;
  uint32_t productGroups = 0;
  bool productFence = false; ///< there was a wgmma.fence
  Counts counts;

  /// The elements of an operand.
  template <typename T> T *at(uint32_t operand) const {
    return reinterpret_cast<T *>(base[operand >> 31] + (operand & ~kConstantBit));
  }
  /// Begins the kernel for lanes that exist.
  void begin(Block &of, uint32_t number, Mask lanes);
  void run();

  // Control flow; called by handlers.
  void branch(uint32_t target);
  void leave();
  void call(const Instruction &instruction, const CallPlan &plan);
  void ret();
  /// Continues only when all of `needed` stand here; else the group is parked and the instruction runs again later.
  bool gather(const Instruction &instruction, Mask needed);
  void yieldAgain(); ///< the instruction runs again after the other warps
  /// Splits the current group: each lane of `mask` goes to its own place.
  void scatter(const uint32_t *targets);

  // Memory; called by handlers.
  void addresses(const Instruction &instruction, uint64_t *to) const;
  /// Host addresses of what the lanes of `mask` access; false: there was a fault.
  bool translate(const Instruction &instruction, Space space, const uint64_t *from, uint32_t bytes, uint8_t **to);
  /// Both at once, with a short way for addresses that are all the same or side by side: then only to[0] is set.
  Spread reach(const Instruction &instruction, Space space, uint32_t bytes, uint8_t **to);
  uint8_t *resolve(Space space, uint64_t address, uint32_t bytes, int lane);
  /// Notes accesses to shared memory; false: another warp may be at the same word now, and the launch has stopped.
  bool noteAccess(const Instruction &instruction, Mask lanes, uint8_t *const *places, uint32_t bytes, bool isWrite);
  uint8_t *local(int lane, uint64_t offset) { return localMemory.data() + uint64_t(localBytes) * unsigned(lane) + offset; }

  /// Stops the launch: `code` is the CUresult that all later calls get.
  void fault(const Instruction &instruction, int code, const std::string &what, int lane = -1);

private:
  template <typename T> Spread reachTogether(const Instruction &instruction, Space space, uint32_t bytes, uint8_t **to);
  Range sharedRange(uint64_t window) const;
  template <typename T> bool areWithin(const Instruction &instruction, const Range &range, uint32_t bytes, uint8_t **to) const;
  bool areWithin(const Range &range, const uint64_t *from, uint32_t bytes, uint8_t **to) const;
  void pickGroup();
  void pushFrame(const Function &function, uint32_t localOffset);
  void enterFrame(const Frame &frame);
  void initializeSpecials(const Function &function);
  void finishFrame();
};

/// Lands the cp.async copies of some lanes for which `due(copy)` is true.
template <typename F> void landCopies(Warp &w, Mask lanes, F due);

/// A copy in bulk to shared memory that has been issued; it lands when somebody waits for its mbarrier.
struct PendingTensorCopy {
  struct Piece {
    uint32_t dest, at, bytes; ///< offsets in shared memory and in `data`
  };
  uint32_t barrier; ///< offset of the mbarrier in shared memory
  uint32_t bytes;   ///< that it reports
  std::vector<Piece> pieces;
  std::vector<uint8_t> data;
};

/// A copy in bulk from shared to global memory; it is done when its thread waits for its group, or at the end of the block.
struct PendingStore {
  struct Piece {
    uint8_t *dest;
    uint32_t source, bytes; ///< offset in shared memory
  };
  uint32_t warp, lane, group;
  std::vector<Piece> pieces;
};

/// A thread that arrives at an mbarrier when its copies have landed.
struct CopyArrival {
  uint32_t barrier, warp, lane;
  uint64_t before; ///< copies with a smaller number
};

/// Who was at a word of shared memory, and between which barriers.
struct WordUse {
  static constexpr uint16_t kNobody = 0xffff, kSeveral = 0xfffe;
  uint32_t written = 0, read = 0; ///< intervals
  uint16_t writer = kNobody, reader = kNobody; ///< warps
};

/// A block of threads, run by one thread of the host.
struct Block {
  Launch *launch = nullptr;
  uint32_t index[3] = {};
  uint64_t number = 0;
  uint32_t threads = 0;
  std::vector<Warp> warps;
  std::vector<uint8_t> shared;
  std::vector<PendingTensorCopy> tensorCopies;
  std::vector<PendingStore> stores;
  std::vector<CopyArrival> copyArrivals;
  std::vector<WordUse> uses; ///< of each word of shared memory; empty: races are not looked for
  uint32_t interval = 0;     ///< the number of barriers so far
  Counts counts;

  void prepare(Launch &of);
  void run(uint64_t number);
  uint32_t processor() const { return static_cast<uint32_t>(number % launch->processors); }

private:
  void finishStores();
  bool releaseBarriers();
  void reportDeadlock();
  struct Barrier {
    std::vector<uint32_t> waiting; ///< warps
    uint32_t arrived = 0, threads = 0;
  };
  Barrier barriers[16];
  std::vector<bool> blocked;
};

template <typename F> void landCopies(Warp &w, Mask lanes, F due) {
  std::erase_if(w.copies, [&](const AsyncCopy &copy) {
    if (!(lanes >> copy.lane & 1) || !due(copy))
      return false;
    uint8_t *to = w.block->shared.data() + copy.dest;
    if (copy.sourceBytes)
      std::memcpy(to, copy.source, copy.sourceBytes);
    std::memset(to + copy.sourceBytes, 0, static_cast<size_t>(copy.bytes - copy.sourceBytes));
    return true;
  });
}

} // namespace tenon::emulator
#endif
