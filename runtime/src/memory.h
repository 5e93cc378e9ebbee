// Where the runtime's memory comes from: the caller's allocator or the C library.
#ifndef TENON_RUNTIME_SRC_MEMORY_H
#define TENON_RUNTIME_SRC_MEMORY_H

#include "tenon/runtime.h"

namespace tenon::rt {

/// The C library's, with huge pages for large blocks.
const tn_allocator_t &defaultAllocator();

inline void *allocate(const tn_allocator_t &allocator, size_t bytes, size_t align) {
  return allocator.alloc(allocator.user, bytes, align);
}
inline void release(const tn_allocator_t &allocator, void *memory, size_t bytes, size_t align) {
  if (memory)
    allocator.free(allocator.user, memory, bytes, align);
}

/// Rounds up to a power of two; false when the result does not fit 63 bits.
inline bool alignUp(uint64_t value, uint64_t align, uint64_t &result) {
  result = (value + align - 1) & ~(align - 1);
  return value <= INT64_MAX && result <= INT64_MAX;
}

} // namespace tenon::rt
#endif
