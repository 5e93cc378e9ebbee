// cp.async.bulk: copies in bulk and of tiles of tensors. To shared memory they land when somebody waits for their mbarrier; to
// global memory, when their thread waits for their group.
#include "barrierobjects.h"
#include "driver.h"
#include "lanes.h"
#include "tensormap.h"

#include <algorithm>

namespace tenon::emulator {

/// Addresses in Instruction::list, three words each: base, whether it has 64 bits, offset.
static constexpr uint32_t kAddressWords = 3;

static uint64_t addressAt(const Warp &w, const uint32_t *list, int lane) {
  auto offset = static_cast<int64_t>(static_cast<int32_t>(list[2]));
  if (list[1])
    return w.at<uint64_t>(list[0])[lane] + static_cast<uint64_t>(offset);
  return uint32_t(w.at<uint32_t>(list[0])[lane] + uint32_t(offset));
}

static void addAddress(Decoder &d, const Operand &operand, Space space, std::vector<uint32_t> &list) {
  Instruction address;
  d.address(operand, space, address);
  list.insert(list.end(), {address.a, address.wideBase, static_cast<uint32_t>(address.immediate)});
}

/// An offset in shared memory whose `bytes` are there and aligned; false: there was a fault.
static bool sharedOffset(Warp &w, const Instruction &i, int lane, uint64_t address, uint64_t bytes, uint32_t align, uint32_t &offset) {
  if (address - kSharedWindow < kSmallWindowBytes)
    address -= kSharedWindow;
  offset = static_cast<uint32_t>(address);
  if (address % align)
    w.fault(i, kMisalignedAddress, "address in shared memory is not aligned to " + std::to_string(align) + " bytes", lane);
  else if (address < kReservedShared || address > w.block->shared.size() || w.block->shared.size() - address < bytes)
    w.fault(i, kIllegalAddress, std::to_string(bytes) + " bytes are outside of shared memory", lane);
  else
    return true;
  return false;
}

static uint8_t *globalBytes(Warp &w, const Instruction &i, int lane, uint64_t address, uint64_t bytes) {
  uint8_t *host = w.resolve(Space::Global, address, static_cast<uint32_t>(bytes), lane);
  if (!host)
    w.fault(i, kIllegalAddress, std::to_string(bytes) + " bytes of a bulk copy are outside of global memory", lane);
  return host;
}

static void issue(Warp &w, PendingTensorCopy copy) {
  for (const PendingTensorCopy::Piece &piece : copy.pieces)
    std::memset(w.block->shared.data() + piece.dest, kUnwritten, piece.bytes);
  w.block->tensorCopies.push_back(std::move(copy));
  ++w.counts.tensorCopies;
}

//===----------------------------------------------------------------------===//
// Plain bytes
//===----------------------------------------------------------------------===//

/// list: destination, source, mbarrier; b: the number of bytes.
static void loadBulk(Warp &w, const Instruction &i) {
  forLanes(w.mask, [&](int lane) {
    uint32_t bytes = w.at<uint32_t>(i.b)[lane], dest, barrier;
    uint64_t from = addressAt(w, i.list + kAddressWords, lane);
    if (w.stop == Stop::Fault || !sharedOffset(w, i, lane, addressAt(w, i.list, lane), bytes, 16, dest) ||
        !sharedOffset(w, i, lane, addressAt(w, i.list + 2 * kAddressWords, lane), 8, 8, barrier))
      return;
    if (bytes % 16 || from % 16)
      return w.fault(i, kMisalignedAddress, "bulk copy is not of whole pieces of 16 bytes", lane);
    const uint8_t *source = globalBytes(w, i, lane, from, bytes);
    if (source)
      issue(w, {barrier, bytes, {{dest, 0, bytes}}, std::vector<uint8_t>(source, source + bytes)});
  });
}

/// list: destination, source; b: the number of bytes.
static void storeBulk(Warp &w, const Instruction &i) {
  forLanes(w.mask, [&](int lane) {
    uint32_t bytes = w.at<uint32_t>(i.b)[lane], source;
    uint64_t to = addressAt(w, i.list, lane);
    if (w.stop == Stop::Fault || !sharedOffset(w, i, lane, addressAt(w, i.list + kAddressWords, lane), bytes, 16, source))
      return;
    if (bytes % 16 || to % 16)
      return w.fault(i, kMisalignedAddress, "bulk copy is not of whole pieces of 16 bytes", lane);
    if (uint8_t *dest = globalBytes(w, i, lane, to, bytes))
      w.block->stores.push_back({w.index, uint32_t(lane), w.storeGroups[lane], {{dest, source, bytes}}});
  });
}

//===----------------------------------------------------------------------===//
// Tiles of tensors
//===----------------------------------------------------------------------===//

/// The description at an address, or null with a fault.
static const TensorMap *findMap(Warp &w, const Instruction &i, int lane, uint64_t address, TensorMap &made) {
  const uint8_t *from = w.resolve(Space::Generic, address, sizeof(TensorMap), lane);
  if (from)
    std::memcpy(&made, from, sizeof(made));
  if (!from || address % 64 || made.magic != TensorMap::kMagic)
    w.fault(i, kIllegalAddress, "there is no tensor map at this address", lane);
  else if (made.rank != i.count)
    w.fault(i, kLaunchFailed, "tensor map has another rank", lane);
  else
    return &made;
  return nullptr;
}

/// Calls f(offset in the tile, address in global memory, elements from there that are in the tensor, elements of the row) for
/// each row of a tile; rows that are outside have no elements.
template <typename F> static void forRows(const TensorMap &map, const int64_t *at, F f) {
  uint32_t rows = 1;
  for (int k = 1; k < map.rank; ++k)
    rows *= map.box[k];
  uint32_t rowBytes = uint32_t(map.box[0]) * map.elementBytes;
  for (uint32_t row = 0; row < rows; ++row) {
    bool inside = true;
    uint64_t address = map.address;
    uint32_t rest = row;
    for (int k = 1; k < map.rank; ++k) {
      int64_t place = at[k] + rest % map.box[k];
      rest /= map.box[k];
      inside &= place >= 0 && place <= int64_t(map.last[k]);
      address += uint64_t(place) * map.strides[k - 1];
    }
    int64_t first = std::max<int64_t>(at[0], 0), end = std::min<int64_t>(at[0] + map.box[0], int64_t(map.last[0]) + 1);
    uint32_t skipped = static_cast<uint32_t>(first - at[0]);
    uint32_t elements = inside && end > first ? static_cast<uint32_t>(end - first) : 0;
    f(row * rowBytes, address + uint64_t(first) * map.elementBytes, skipped, elements);
  }
}

static void readCoordinates(const Warp &w, const Instruction &i, int lane, const uint32_t *list, int64_t *to) {
  for (int k = 0; k < i.count; ++k)
    to[k] = static_cast<int32_t>(w.at<uint32_t>(list[k])[lane]);
}

static uint32_t tileBytes(const TensorMap &map) {
  uint32_t bytes = map.elementBytes;
  for (int k = 0; k < map.rank; ++k)
    bytes *= map.box[k];
  return bytes;
}

/// list: destination, map, mbarrier, coordinates; count: the rank.
static void loadTile(Warp &w, const Instruction &i) {
  forLanes(w.mask, [&](int lane) {
    TensorMap map;
    uint32_t dest, barrier;
    int64_t at[5];
    if (w.stop == Stop::Fault || !findMap(w, i, lane, addressAt(w, i.list + kAddressWords, lane), map))
      return;
    uint32_t bytes = tileBytes(map);
    if (!sharedOffset(w, i, lane, addressAt(w, i.list, lane), bytes, 128, dest) ||
        !sharedOffset(w, i, lane, addressAt(w, i.list + 2 * kAddressWords, lane), 8, 8, barrier))
      return;
    readCoordinates(w, i, lane, i.list + 3 * kAddressWords, at);
    PendingTensorCopy copy = {barrier, bytes, {}, std::vector<uint8_t>(bytes, map.nanOutside ? kUnwritten : 0)};
    forRows(map, at, [&](uint32_t offset, uint64_t address, uint32_t skipped, uint32_t elements) {
      if (!elements || w.stop == Stop::Fault)
        return;
      uint32_t size = elements * map.elementBytes;
      if (const uint8_t *source = globalBytes(w, i, lane, address, size))
        std::memcpy(copy.data.data() + offset + skipped * map.elementBytes, source, size);
    });
    if (w.stop == Stop::Fault)
      return;
    for (uint32_t k = 0; k < bytes; k += 16)
      copy.pieces.push_back({swizzled(dest + k, map.swizzle), k, std::min(16u, bytes - k)});
    issue(w, std::move(copy));
  });
}

/// list: map, source, coordinates; count: the rank.
static void storeTile(Warp &w, const Instruction &i) {
  forLanes(w.mask, [&](int lane) {
    TensorMap map;
    uint32_t source;
    int64_t at[5];
    if (w.stop == Stop::Fault || !findMap(w, i, lane, addressAt(w, i.list, lane), map) ||
        !sharedOffset(w, i, lane, addressAt(w, i.list + kAddressWords, lane), tileBytes(map), 128, source))
      return;
    readCoordinates(w, i, lane, i.list + 2 * kAddressWords, at);
    PendingStore store = {w.index, uint32_t(lane), w.storeGroups[lane], {}};
    forRows(map, at, [&](uint32_t offset, uint64_t address, uint32_t skipped, uint32_t elements) {
      // In pieces that do not cross 16 bytes of shared memory.
      uint32_t size = elements * map.elementBytes, from = source + offset + skipped * map.elementBytes;
      uint8_t *dest = size && w.stop != Stop::Fault ? globalBytes(w, i, lane, address, size) : nullptr;
      for (uint32_t done = 0; dest && done < size;) {
        uint32_t part = std::min(16 - (from + done) % 16, size - done);
        store.pieces.push_back({dest + done, swizzled(from + done, map.swizzle), part});
        done += part;
      }
    });
    if (w.stop != Stop::Fault)
      w.block->stores.push_back(std::move(store));
    ++w.counts.tensorCopies;
  });
}

//===----------------------------------------------------------------------===//
// Groups of stores
//===----------------------------------------------------------------------===//

static void commitStores(Warp &w, const Instruction &) {
  forLanes(w.mask, [&](int lane) { ++w.storeGroups[lane]; });
}

static void waitStores(Warp &w, const Instruction &i) {
  std::erase_if(w.block->stores, [&](const PendingStore &store) {
    if (store.warp != w.index || !(w.mask >> store.lane & 1) || int64_t(store.group) + i.immediate >= int64_t(w.storeGroups[store.lane]))
      return false;
    for (const PendingStore::Piece &piece : store.pieces)
      std::memcpy(piece.dest, w.block->shared.data() + piece.source, piece.bytes);
    return true;
  });
}

//===----------------------------------------------------------------------===//
// Decoding
//===----------------------------------------------------------------------===//

static void addCoordinates(Decoder &d, const Operand &place, int rank, std::vector<uint32_t> &list) {
  if (place.parts.size() != 1 || place.parts[0].parts.size() != size_t(rank))
    d.fail("lacks " + std::to_string(rank) + " coordinates");
  for (const Operand &coordinate : place.parts[0].parts)
    list.push_back(d.source(coordinate, 32));
}

void decodeBulk(Decoder &d, const Statement &s, Modifiers &m) {
  d.require(90, 80);
  if (m.take("commit_group")) {
    d.expectOperands(0);
    d.add(commitStores);
    return;
  }
  if (m.take("wait_group")) {
    m.take("read");
    d.expectOperands(1);
    int64_t pending = d.integer(s.operands[0], 0, INT32_MAX);
    d.add(waitStores).immediate = pending;
    return;
  }
  bool isTensor = m.take("tensor"), isStore = m.take("bulk_group");
  int rank = isTensor ? m.takeOneOf({"1d", "2d", "3d", "4d", "5d"}) + 1 : 0;
  if (isTensor && rank == 0)
    d.fail("names no rank");
  m.take("tile");
  bool hasHint = m.take("L2::cache_hint");
  bool shared = m.take("shared::cluster");
  shared |= m.take("shared::cta");
  if (!isStore && !m.take("mbarrier::complete_tx::bytes"))
    d.fail("this form is not emulated");
  if (!shared || !m.take("global"))
    d.fail("copies between these spaces are not emulated");
  std::vector<uint32_t> list;
  size_t operands = isTensor ? (isStore ? 2 : 3) : isStore ? 3 : 4;
  d.expectOperands(operands + (hasHint ? 1 : 0));
  uint32_t bytes = 0;
  if (isTensor) {
    const Operand &map = s.operands[isStore ? 0 : 1];
    if (!isStore)
      addAddress(d, s.operands[0], Space::Shared, list);
    addAddress(d, map, Space::Generic, list);
    addAddress(d, s.operands[isStore ? 1 : 2], Space::Shared, list);
    addCoordinates(d, map, rank, list);
  } else {
    addAddress(d, s.operands[0], isStore ? Space::Global : Space::Shared, list);
    addAddress(d, s.operands[1], isStore ? Space::Shared : Space::Global, list);
    bytes = d.source(s.operands[2], 32);
    if (!isStore)
      addAddress(d, s.operands[3], Space::Shared, list);
  }
  const uint32_t *all = d.list(std::move(list));
  Instruction &made = d.add(isTensor ? (isStore ? storeTile : loadTile) : isStore ? storeBulk : loadBulk);
  made.list = all, made.b = bytes, made.count = static_cast<uint16_t>(rank);
}

} // namespace tenon::emulator
