// XXH3 of memory, and checks of zero padding.
#ifndef TENON_RUNTIME_SRC_HASH_H
#define TENON_RUNTIME_SRC_HASH_H

#include <cstddef>
#include <cstdint>

namespace tenon::rt {

struct Hash128 {
  uint64_t low, high;
};

uint64_t hash64(const void *bytes, size_t count);
Hash128 hash128(const void *bytes, size_t count);
bool allZero(const uint8_t *bytes, size_t count);

} // namespace tenon::rt
#endif
