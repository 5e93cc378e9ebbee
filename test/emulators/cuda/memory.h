// Memory of devices, and that of the host which they reach.
#ifndef TENON_TEST_EMULATORS_CUDA_MEMORY_H
#define TENON_TEST_EMULATORS_CUDA_MEMORY_H

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace tenon::emulator {

/// Addresses as kernels see them. No host memory lies in these, so that a host access to device memory fails.
constexpr uint64_t kDeviceWindow = 0x100000000000;       ///< each device has 2^40 addresses
constexpr uint64_t kDeviceStride = uint64_t(1) << 40;
constexpr uint64_t kParamWindow = 0x0d0000000000;
constexpr uint64_t kSharedWindow = 0x0e0000000000;
constexpr uint64_t kLocalWindow = 0x0f0000000000;
constexpr uint64_t kSmallWindowBytes = uint64_t(1) << 32;
/// Shared memory that the system takes before a kernel's.
constexpr uint32_t kReservedShared = 1024;
/// What memory holds that nobody has written: NaN in every float type.
constexpr uint8_t kUnwritten = 0xff;

struct Range {
  uint64_t begin = 0, bytes = 0;
  uint8_t *host = nullptr;
};

/// What is allocated at one moment, in order of address.
struct MemoryView {
  std::vector<Range> ranges;
  std::vector<std::shared_ptr<uint8_t>> owners;
  /// The range that holds `address`, or null.
  const Range *find(uint64_t address) const;
  /// Host bytes of [address, address + bytes), or null when they are not within one range.
  uint8_t *reach(uint64_t address, uint64_t bytes) const;
};

/// One device's memory, or all pinned host memory. Addresses are not given twice, so that a use after a release shows.
class Memory {
public:
  Memory(uint64_t window, uint64_t limit) : next(window), limit(limit) {}
  /// 0: there is not enough.
  uint64_t allocate(uint64_t bytes);
  /// Host memory whose address is the same for kernels.
  uint64_t allocateHost(uint64_t bytes);
  /// False: no block begins at this address.
  bool release(uint64_t address);
  bool holds(uint64_t address) const;
  uint64_t bytesUsed() const;
  uint64_t bytesInAll() const { return limit; }
  void addTo(MemoryView &view) const;

private:
  struct Block {
    Range range;
    std::shared_ptr<uint8_t> owner;
  };
  uint64_t add(uint64_t address, uint64_t bytes, uint64_t hostBytes, std::shared_ptr<uint8_t> owner);
  mutable std::mutex mutex;
  std::vector<Block> blocks; ///< in order of address
  uint64_t next, limit, used = 0;
};

} // namespace tenon::emulator
#endif
