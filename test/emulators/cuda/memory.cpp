// See memory.h.
#include "memory.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace tenon::emulator {

/// What the driver aligns to.
static constexpr uint64_t kAlign = 512;

const Range *MemoryView::find(uint64_t address) const {
  auto after = std::upper_bound(ranges.begin(), ranges.end(), address,
                                [](uint64_t value, const Range &range) { return value < range.begin; });
  if (after == ranges.begin())
    return nullptr;
  const Range &range = *--after;
  return address - range.begin < range.bytes ? &range : nullptr;
}

uint8_t *MemoryView::reach(uint64_t address, uint64_t bytes) const {
  const Range *range = find(address);
  if (!range || range->bytes - (address - range->begin) < bytes)
    return nullptr;
  return range->host + (address - range->begin);
}

uint64_t Memory::add(uint64_t address, uint64_t bytes, uint64_t hostBytes, std::shared_ptr<uint8_t> owner) {
  std::memset(owner.get(), kUnwritten, hostBytes);
  Block block = {{address, bytes, owner.get()}, std::move(owner)};
  auto place = std::upper_bound(blocks.begin(), blocks.end(), address,
                                [](uint64_t value, const Block &other) { return value < other.range.begin; });
  blocks.insert(place, std::move(block));
  used += bytes;
  return address;
}

uint64_t Memory::allocate(uint64_t bytes) {
  std::lock_guard lock(mutex);
  if (bytes == 0 || bytes > limit - used)
    return 0;
  uint64_t padded = (bytes + kAlign - 1) / kAlign * kAlign;
  auto *host = static_cast<uint8_t *>(std::aligned_alloc(kAlign, padded));
  if (!host)
    return 0;
  uint64_t address = next;
  next += padded + kAlign; // never adjacent: an access past the end is outside of every block
  return add(address, bytes, padded, std::shared_ptr<uint8_t>(host, std::free));
}

uint64_t Memory::allocateHost(uint64_t bytes) {
  std::lock_guard lock(mutex);
  uint64_t padded = (bytes + 4095) / 4096 * 4096;
  auto *host = bytes ? static_cast<uint8_t *>(std::aligned_alloc(4096, padded)) : nullptr;
  if (!host)
    return 0;
  return add(reinterpret_cast<uint64_t>(host), bytes, padded, std::shared_ptr<uint8_t>(host, std::free));
}

bool Memory::release(uint64_t address) {
  std::lock_guard lock(mutex);
  for (size_t i = 0; i < blocks.size(); ++i)
    if (blocks[i].range.begin == address) {
      used -= blocks[i].range.bytes;
      blocks.erase(blocks.begin() + static_cast<ptrdiff_t>(i));
      return true;
    }
  return false;
}

bool Memory::holds(uint64_t address) const {
  std::lock_guard lock(mutex);
  for (const Block &block : blocks)
    if (address - block.range.begin < block.range.bytes)
      return true;
  return false;
}

uint64_t Memory::bytesUsed() const {
  std::lock_guard lock(mutex);
  return used;
}

void Memory::addTo(MemoryView &view) const {
  std::lock_guard lock(mutex);
  for (const Block &block : blocks) {
    view.ranges.push_back(block.range);
    view.owners.push_back(block.owner);
  }
  std::sort(view.ranges.begin(), view.ranges.end(), [](const Range &a, const Range &b) { return a.begin < b.begin; });
}

} // namespace tenon::emulator
