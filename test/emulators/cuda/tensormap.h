// Descriptions of tensors for copies of tiles, and the swizzling of shared memory.
#ifndef TENON_TEST_EMULATORS_CUDA_TENSORMAP_H
#define TENON_TEST_EMULATORS_CUDA_TENSORMAP_H

#include <cstdint>

namespace tenon::emulator {

/// The 128 bytes of a CUtensorMap, in a layout of our own.
struct TensorMap {
  static constexpr uint64_t kMagic = 0x70616d726f736e74;
  uint64_t magic = kMagic;
  uint64_t address = 0;
  uint64_t strides[4] = {};  ///< bytes, of dimensions 1 and above
  uint32_t last[5] = {};     ///< sizes less one; dimension 0 varies fastest
  uint16_t box[5] = {};      ///< elements of a tile
  uint8_t elementBytes = 0, rank = 0;
  uint8_t swizzle = 0;       ///< 0: none; 1, 2, 3: within 32, 64, 128 bytes
  uint8_t nanOutside = 0;    ///< elements outside of the tensor are NaN, not zero
  uint8_t unused[42] = {};
};
static_assert(sizeof(TensorMap) == 128);

/// Where a byte of shared memory lies: the place of its 16 bytes is mixed with the number of the row of 128.
inline uint32_t swizzled(uint32_t address, int swizzle) {
  static constexpr uint32_t masks[4] = {0, 0x10, 0x30, 0x70};
  return address ^ (address >> 3 & masks[swizzle]);
}

} // namespace tenon::emulator
#endif
