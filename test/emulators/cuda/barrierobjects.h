// mbarrier objects: barriers in shared memory that count threads and bytes.
#ifndef TENON_TEST_EMULATORS_CUDA_BARRIEROBJECTS_H
#define TENON_TEST_EMULATORS_CUDA_BARRIEROBJECTS_H

#include "machine.h"

namespace tenon::emulator {

/// A word of 64 bits in shared memory: expected arrivals in bits 0-19, those still missing in 20-39, missing bytes in 40-61 (signed),
/// bit 62 is zero, the parity of the phase in bit 63. Memory that was never initialized has bit 62 set.
struct BarrierObject {
  uint32_t expected = 0, missing = 0;
  int32_t bytes = 0;
  bool parity = false;

  static constexpr uint32_t kMost = (1u << 20) - 1;
  /// False: there is none.
  static bool read(const uint8_t *from, BarrierObject &made);
  void write(uint8_t *to) const;
  /// Begins the next phase when nothing is missing.
  void settle();
};

/// Lands the copies that report to the barrier at `offset` of shared memory. False: there was a fault.
bool landFor(Warp &w, const Instruction &i, uint32_t offset);
/// Offset in shared memory of an mbarrier whose address the lanes have; false: there was a fault.
bool findBarriers(Warp &w, const Instruction &i, Space space, const uint64_t *addresses, uint8_t **to);

} // namespace tenon::emulator
#endif
