// The default allocator.
#include "memory.h"

#include <cstdlib>
#include <sys/mman.h>

namespace tenon::rt {

static constexpr size_t hugePageBytes = size_t(2) << 20;

static void *libcAlloc(void *, size_t bytes, size_t align) {
  // A large arena touched at random costs a TLB miss per 4 KiB page without this.
  bool huge = bytes >= 2 * hugePageBytes;
  void *memory = nullptr;
  if (posix_memalign(&memory, huge ? hugePageBytes : (align < sizeof(void *) ? sizeof(void *) : align), bytes) != 0)
    return nullptr;
#ifdef MADV_HUGEPAGE
  if (huge)
    (void)madvise(memory, bytes & ~(hugePageBytes - 1), MADV_HUGEPAGE); // only advice: failing changes nothing
#endif
  return memory;
}

static void libcFree(void *, void *memory, size_t, size_t) { free(memory); }

const tn_allocator_t &defaultAllocator() {
  static const tn_allocator_t allocator = {sizeof(tn_allocator_t), nullptr, libcAlloc, libcFree};
  return allocator;
}

} // namespace tenon::rt
