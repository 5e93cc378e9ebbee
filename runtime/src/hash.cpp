// The only file that includes xxhash: inlining it once keeps the library small.
#include "hash.h"

#define XXH_INLINE_ALL
#define XXH_NO_STDLIB
#define XXH_NO_STREAM
#include <xxhash.h>

namespace tenon::rt {

uint64_t hash64(const void *bytes, size_t count) { return XXH3_64bits(bytes, count); }

Hash128 hash128(const void *bytes, size_t count) {
  XXH128_hash_t hash = XXH3_128bits(bytes, count);
  return {hash.low64, hash.high64};
}

bool allZero(const uint8_t *bytes, size_t count) {
  uint8_t any = 0;
  for (size_t i = 0; i < count; ++i)
    any |= bytes[i];
  return any == 0;
}

} // namespace tenon::rt
