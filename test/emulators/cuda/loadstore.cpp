// ld, st, ldu, prefetch, fences of memory.
#include "lanes.h"

namespace tenon::emulator {

/// More than vectors have.
static constexpr int kMaxElements = 8;

/// Host addresses of all lanes, where only the first is known.
static void spreadOut(Spread spread, uint8_t **places, uint32_t bytes) {
  if (spread == Spread::Same || spread == Spread::Steps)
    for (uint32_t lane = 1; lane < kLanes; ++lane)
      places[lane] = places[0] + (spread == Spread::Steps ? lane * bytes : 0);
}

static bool noteSpread(Warp &w, const Instruction &i, Spread spread, uint8_t **places, uint32_t bytes, bool isWrite) {
  if (spread == Spread::Fault)
    return true;
  spreadOut(spread, places, bytes);
  return w.noteAccess(i, w.mask, places, bytes, isWrite);
}

template <typename M, typename R> static R extended(M value) {
  using Wide = std::conditional_t<std::is_signed_v<M>, std::make_signed_t<R>, R>;
  return static_cast<R>(static_cast<Wide>(value));
}

/// Element k of each lane, where lanes lie side by side.
template <typename M, typename R, int count> static void loadSteps(const uint8_t *from, R *dest, int k) {
  M values[kLanes * count];
  std::memcpy(values, from, sizeof(values));
  TN_LANES
  for (int lane = 0; lane < kLanes; ++lane)
    dest[lane] = extended<M, R>(values[lane * count + k]);
}

/// The same from any place. (Apart, so that addresses are not kept in registers for the next element.)
template <typename M, typename R> [[gnu::noinline]] static void loadLanes(Mask mask, uint8_t *const *from, size_t offset, R *dest) {
  auto one = [&](int lane) {
    M value;
    std::memcpy(&value, from[lane] + offset, sizeof(M));
    dest[lane] = extended<M, R>(value);
  };
  if (mask == kAllLanes)
    for (int lane = 0; lane < kLanes; ++lane)
      one(lane);
  else
    forLanes(mask, one);
}
template <typename M, typename R> [[gnu::noinline]] static void storeLanes(Mask mask, uint8_t *const *to, size_t offset, const R *source) {
  auto one = [&](int lane) {
    M value = static_cast<M>(source[lane]);
    std::memcpy(to[lane] + offset, &value, sizeof(M));
  };
  if (mask == kAllLanes)
    for (int lane = 0; lane < kLanes; ++lane)
      one(lane);
  else
    forLanes(mask, one);
}

/// Four elements of each lane: brought side by side first.
template <typename M, typename R> static void loadFours(Warp &w, const Instruction &i, uint8_t *const *from) {
  M values[kLanes * 4];
  for (int lane = 0; lane < kLanes; ++lane)
    std::memcpy(values + 4 * lane, from[lane], 4 * sizeof(M));
  for (int k = 0; k < 4; ++k) {
    R *dest = w.at<R>(i.list[k]);
    TN_LANES
    for (int lane = 0; lane < kLanes; ++lane)
      dest[lane] = extended<M, R>(values[4 * lane + k]);
  }
}

/// From memory of type M to registers of type R; a signed M is extended with its sign.
template <typename M, typename R> static void load(Warp &w, const Instruction &i) {
  uint8_t *from[kLanes];
  const uint32_t bytes = static_cast<uint32_t>(sizeof(M)) * i.count;
  Spread spread = w.reach(i, static_cast<Space>(i.option), bytes, from);
  if (!w.block->uses.empty() && !noteSpread(w, i, spread, from, bytes, false))
    return;
  for (int k = 0; k < i.count; ++k) {
    R *dest = w.at<R>(i.list[k]);
    const size_t offset = size_t(k) * sizeof(M);
    switch (spread) {
    case Spread::Fault:
      return;
    case Spread::Same: {
      M value;
      std::memcpy(&value, from[0] + offset, sizeof(M));
      R made = extended<M, R>(value);
      for (int lane = 0; lane < kLanes; ++lane)
        dest[lane] = made;
      break;
    }
    case Spread::Steps:
      if (i.count == 1)
        loadSteps<M, R, 1>(from[0], dest, k);
      else if (i.count == 2)
        loadSteps<M, R, 2>(from[0], dest, k);
      else if (i.count == 4)
        loadSteps<M, R, 4>(from[0], dest, k);
      else
        loadSteps<M, R, 8>(from[0], dest, k);
      break;
    case Spread::Lanes:
      if (i.count == 4 && w.mask == kAllLanes)
        return loadFours<M, R>(w, i, from);
      loadLanes<M, R>(w.mask, from, offset, dest);
      break;
    }
  }
}

template <typename M, typename R> static void store(Warp &w, const Instruction &i) {
  uint8_t *to[kLanes];
  const uint32_t bytes = static_cast<uint32_t>(sizeof(M)) * i.count;
  Spread spread = w.reach(i, static_cast<Space>(i.option), bytes, to);
  if (spread == Spread::Fault || (!w.block->uses.empty() && !noteSpread(w, i, spread, to, bytes, true)))
    return;
  if (spread == Spread::Steps && i.count == 1) {
    const R *source = w.at<R>(i.list[0]);
    M values[kLanes];
    TN_LANES
    for (int lane = 0; lane < kLanes; ++lane)
      values[lane] = static_cast<M>(source[lane]);
    std::memcpy(to[0], values, sizeof(values));
    return;
  }
  spreadOut(spread, to, bytes);
  for (int k = 0; k < i.count; ++k)
    storeLanes<M, R>(w.mask, to, size_t(k) * sizeof(M), w.at<R>(i.list[k]));
}

/// A kernel's parameter at a fixed place: the same for all lanes.
template <typename M, typename R> static void loadParameter(Warp &w, const Instruction &i) {
  using Wide = std::conditional_t<std::is_signed_v<M>, std::make_signed_t<R>, R>;
  const std::vector<uint8_t> &parameters = w.block->launch->request.parameters;
  for (int k = 0; k < i.count; ++k) {
    M value;
    std::memcpy(&value, parameters.data() + i.immediate + size_t(k) * sizeof(M), sizeof(M));
    R made = static_cast<R>(static_cast<Wide>(value));
    setLanes(w.mask, w.at<R>(i.list[k]), [=](int) { return made; });
  }
}

/// A variable in the frame's local memory at a fixed place.
template <typename M, typename R> static void loadLocal(Warp &w, const Instruction &i) {
  using Wide = std::conditional_t<std::is_signed_v<M>, std::make_signed_t<R>, R>;
  for (int k = 0; k < i.count; ++k) {
    R *dest = w.at<R>(i.list[k]);
    forLanes(w.mask, [&](int lane) {
      M value;
      std::memcpy(&value, w.local(lane, w.localBase + uint64_t(i.immediate) + size_t(k) * sizeof(M)), sizeof(M));
      dest[lane] = static_cast<R>(static_cast<Wide>(value));
    });
  }
}
template <typename M, typename R> static void storeLocal(Warp &w, const Instruction &i) {
  for (int k = 0; k < i.count; ++k) {
    const R *source = w.at<R>(i.list[k]);
    forLanes(w.mask, [&](int lane) {
      M value = static_cast<M>(source[lane]);
      std::memcpy(w.local(lane, w.localBase + uint64_t(i.immediate) + size_t(k) * sizeof(M)), &value, sizeof(M));
    });
  }
}

namespace {
enum class Access { Load, Store, LoadParameter, LoadLocal, StoreLocal };
} // namespace

template <typename M, typename R> static Handler accessHandler(Access access) {
  if constexpr (sizeof(R) < sizeof(M)) {
    return nullptr;
  } else {
    switch (access) {
    case Access::Load:
      return load<M, R>;
    case Access::Store:
      return store<M, R>;
    case Access::LoadParameter:
      return loadParameter<M, R>;
    case Access::LoadLocal:
      return loadLocal<M, R>;
    case Access::StoreLocal:
      return storeLocal<M, R>;
    }
    return nullptr;
  }
}

static Handler accessHandler(Access access, Type type, uint32_t registerBits) {
  if (isFloat(type))
    type = bitsOf(type) == 16 ? Type::B16 : bitsOf(type) == 32 ? Type::B32 : Type::B64;
  return forInteger(type, [=]<typename M>() -> Handler {
    switch (registerBits) {
    case 8:
      return accessHandler<M, uint8_t>(access);
    case 16:
      return accessHandler<M, uint16_t>(access);
    case 32:
      return accessHandler<M, uint32_t>(access);
    default:
      return accessHandler<M, uint64_t>(access);
    }
  });
}

static void decodeAccess(Decoder &d, const Statement &s, Modifiers &m, bool isLoad) {
  Space space = m.takeSpace();
  m.takeMemoryQualifiers();
  bool hasHint = m.take("L2::cache_hint");
  int vector = m.takeOneOf({"v2", "v4", "v8"});
  size_t count = vector < 0 ? 1 : size_t(2) << vector;
  Type type = m.takeType();
  if (bitsOf(type) > 64 || type == Type::Pred)
    d.fail("not emulated for this type");
  d.expectOperands(2, hasHint ? 3 : 2);
  const Operand &place = s.operands[isLoad ? 1 : 0], &values = s.operands[isLoad ? 0 : 1];
  std::vector<Operand> single = {values};
  const std::vector<Operand> &parts = values.kind == Operand::Vector ? values.parts : single;
  if (bitsOf(type) * count > 128)
    d.require(100, 88);
  if (parts.size() != count || count > kMaxElements)
    d.fail("vector has " + std::to_string(parts.size()) + " elements");
  uint32_t bits = bitsOf(type), registerBits = 0;
  for (const Operand &part : parts)
    if (d.isRegister(part)) {
      if (registerBits && registerBits != d.bitsOfRegister(part))
        d.fail("registers of the vector differ in size");
      registerBits = d.bitsOfRegister(part);
    }
  if (!registerBits)
    registerBits = bits; // numbers only, or results that nobody wants
  if (registerBits < bits)
    d.fail("a register is smaller than what is moved");
  std::vector<uint32_t> places;
  for (const Operand &part : parts) {
    uint32_t actual;
    if (!isLoad && !d.isRegister(part) && registerBits == bits)
      places.push_back(d.sourceOf(part, type));
    else
      places.push_back(isLoad ? d.wideDest(part, registerBits, actual) : d.wideSource(part, registerBits, actual));
  }
  const uint32_t *list = d.list(std::move(places));
  Instruction address;
  Access access = isLoad ? Access::Load : Access::Store;
  std::optional<uint32_t> offset;
  if (!place.hasReg && !place.name.empty() && (space == Space::Param || space == Space::Local)) {
    if ((offset = d.localOffset(place.name)))
      access = isLoad ? Access::LoadLocal : Access::StoreLocal;
    else if (space == Space::Param && isLoad && (offset = d.parameterOffset(place.name)))
      access = Access::LoadParameter;
  }
  if (offset)
    address.immediate = *offset + place.value;
  else
    d.address(place, space, address);
  // The address of a .func's parameter is one of local memory.
  if (space == Space::Param && !offset && !d.functionText().isEntry)
    space = Space::Local;
  if (offset && access == Access::LoadParameter) {
    int64_t end = address.immediate + int64_t(bits / 8 * count);
    if (address.immediate < 0 || end > int64_t(d.parameterBytes()))
      d.fail("parameter has no such bytes");
  } else if (offset) {
    int64_t end = address.immediate + int64_t(bits / 8 * count);
    if (address.immediate < 0 || end > int64_t(d.localBytes()))
      d.fail("variable has no such bytes");
  }
  Instruction &made = d.add(accessHandler(access, type, registerBits));
  made.a = address.a, made.wideBase = address.wideBase, made.immediate = address.immediate;
  made.list = list, made.count = static_cast<uint16_t>(count), made.option = static_cast<uint8_t>(space);
}

static void decodeLoad(Decoder &d, const Statement &s, Modifiers &m) { decodeAccess(d, s, m, true); }
static void decodeStore(Decoder &d, const Statement &s, Modifiers &m) { decodeAccess(d, s, m, false); }

/// Hints: nothing happens.
static void nothing(Warp &, const Instruction &) {}
static void decodeHint(Decoder &d, const Statement &, Modifiers &m) {
  while (!m.rest().empty())
    m.take(std::string(m.rest()));
  d.add(nothing);
}

static void fence(Warp &, const Instruction &) { std::atomic_thread_fence(std::memory_order_seq_cst); }
static void decodeFence(Decoder &d, const Statement &, Modifiers &m) {
  for (std::string_view word : {"proxy", "alias", "async", "async::generic", "tensormap::generic", "generic", "gl", "sc",
                                "acq_rel", "acquire", "release", "cta", "cluster", "gpu", "sys", "async.global",
                                "async.shared::cta", "shared::cta", "shared::cluster", "global", "mbarrier_init",
                                "sync_restrict::shared::cta", "sync_restrict::shared::cluster"})
    m.take(word);
  d.expectOperands(0, 2);
  d.add(fence);
}

void addLoadsAndStores(DecoderTable &table) {
  table["ld"] = decodeLoad;
  table["ldu"] = decodeLoad;
  table["st"] = decodeStore;
  table["prefetch"] = decodeHint;
  table["prefetchu"] = decodeHint;
  table["applypriority"] = decodeHint;
  table["discard"] = decodeHint;
  table["membar"] = decodeFence;
  table["fence"] = decodeFence;
}

} // namespace tenon::emulator
