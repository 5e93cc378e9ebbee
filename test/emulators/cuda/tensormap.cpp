// cuTensorMapEncodeTiled.
#include "tensormap.h"

#include "api.h"

#include <cstdio>
#include <cstring>

using namespace tenon::emulator;

TN_CUDA cuTensorMapEncodeTiled(void *map, int type, uint32_t rank, void *address, const uint64_t *sizes,
                               const uint64_t *strides, const uint32_t *box, const uint32_t *elementStrides, int interleave,
                               int swizzle, int promotion, int fill) {
  TN_ENTER
  static constexpr uint8_t elementBytes[] = {1, 2, 4, 4, 8, 8, 2, 4, 8, 2, 4, 4, 4};
  if (type < 0 || type > 12 || rank < 1 || rank > 5 || swizzle < 0 || swizzle > 3 || promotion < 0 || promotion > 3 ||
      fill < 0 || fill > 1 || reinterpret_cast<uintptr_t>(map) % 64 || reinterpret_cast<uintptr_t>(address) % 16)
    return kInvalidValue;
  if (device->limits.sm < 90)
    return kNotSupported;
  TensorMap made;
  made.elementBytes = elementBytes[type];
  made.rank = static_cast<uint8_t>(rank);
  made.address = reinterpret_cast<uint64_t>(address);
  made.swizzle = static_cast<uint8_t>(swizzle);
  made.nanOutside = static_cast<uint8_t>(fill);
  for (uint32_t i = 0; i < rank; ++i) {
    if (sizes[i] == 0 || sizes[i] > uint64_t(1) << 32 || box[i] == 0 || box[i] > 256 || elementStrides[i] < 1 ||
        elementStrides[i] > 8)
      return kInvalidValue;
    if (i > 0 && (strides[i - 1] % 16 || strides[i - 1] >= uint64_t(1) << 40))
      return kInvalidValue;
    if (elementStrides[i] != 1 || interleave != 0) {
      std::fprintf(stderr, "emulated CUDA: tensor maps with strides of elements or interleaving are not emulated\n");
      return kNotSupported;
    }
    made.last[i] = static_cast<uint32_t>(sizes[i] - 1);
    made.box[i] = static_cast<uint16_t>(box[i]);
    if (i > 0)
      made.strides[i - 1] = strides[i - 1];
  }
  uint32_t innerBytes = box[0] * made.elementBytes;
  if (innerBytes % 16 || (swizzle && innerBytes > 16u << swizzle))
    return kInvalidValue;
  std::memcpy(map, &made, sizeof(made));
  return kSuccess;
}
