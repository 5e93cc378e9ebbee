// See machine.h: how a warp runs, branches, calls, and reaches memory.
#include "driver.h"
#include "machine.h"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstring>

namespace tenon::emulator {

/// Registers that one warp may use in all its frames, and local memory of one lane.
static constexpr size_t kMaxRegisterBytes = size_t(64) << 20;
static constexpr uint32_t kMaxLocalBytes = 512 * 1024;
/// Backward branches of a warp before the others have their turn.
static constexpr uint32_t kSlice = 1 << 20;

//===----------------------------------------------------------------------===//
// Frames
//===----------------------------------------------------------------------===//

void Warp::begin(Block &of, uint32_t number, Mask lanes) {
  block = &of;
  index = number;
  live = active = lanes;
  groups.clear();
  frames.clear();
  copies.clear();
  products.clear();
  productGroups = 0;
  productFence = false;
  copySerial = 0;
  std::memset(storeGroups, 0, sizeof(storeGroups));
  std::memset(copyGroups, 0, sizeof(copyGroups));
  cached = {};
  stop = Stop::None;
  slice = kSlice;
  pc = 0;
  limit = UINT32_MAX;
  pushFrame(of.launch->request.kernel->entry, 0);
}

void Warp::pushFrame(const Function &function, uint32_t localOffset) {
  uint32_t begin = 0;
  if (!frames.empty())
    begin = frames.back().registers + frames.back().function->registerBytes;
  size_t bytes = size_t(begin) + function.registerBytes;
  if (!registers || registerMemory.size() < bytes + 64) {
    std::vector<uint8_t> larger(bytes + bytes / 2 + 64, kUnwritten);
    auto *aligned = reinterpret_cast<uint8_t *>((reinterpret_cast<uintptr_t>(larger.data()) + 63) & ~uintptr_t(63));
    if (registers)
      std::memcpy(aligned, registers, begin);
    registerMemory = std::move(larger);
    registers = aligned;
  }
  uint32_t needed = localOffset + function.localBytes;
  if (needed > localBytes) {
    uint32_t stride = std::max(needed, localBytes * 2);
    std::vector<uint8_t> larger(size_t(stride) * kLanes, kUnwritten);
    for (unsigned lane = 0; lane < kLanes && localBytes; ++lane)
      std::memcpy(larger.data() + size_t(stride) * lane, localMemory.data() + size_t(localBytes) * lane, localBytes);
    localMemory = std::move(larger);
    localBytes = stride;
  }
  Frame frame;
  frame.function = &function;
  frame.call = nullptr;
  frame.registers = begin;
  frame.local = localOffset;
  frames.push_back(std::move(frame));
  enterFrame(frames.back());
  initializeSpecials(function);
}

void Warp::enterFrame(const Frame &frame) {
  base[0] = registers + frame.registers;
  base[1] = const_cast<uint8_t *>(frame.function->constants.data());
  code = frame.function->code.data();
  localBase = frame.local;
}

void Warp::initializeSpecials(const Function &function) {
  const LaunchRequest &request = block->launch->request;
  const uint32_t *size = request.block;
  for (auto [special, operand] : function.specials) {
    auto *to = at<uint32_t>(operand);
    uint32_t same = 0;
    switch (special) {
    case SpecialRegister::TidX:
    case SpecialRegister::TidY:
    case SpecialRegister::TidZ:
      for (uint32_t lane = 0; lane < kLanes; ++lane) {
        uint32_t thread = index * kLanes + lane;
        to[lane] = special == SpecialRegister::TidX   ? thread % size[0]
                   : special == SpecialRegister::TidY ? thread / size[0] % size[1]
                                                      : thread / size[0] / size[1];
      }
      continue;
    case SpecialRegister::LaneId:
      for (uint32_t lane = 0; lane < kLanes; ++lane)
        to[lane] = lane;
      continue;
    case SpecialRegister::LaneMaskEq:
    case SpecialRegister::LaneMaskLt:
    case SpecialRegister::LaneMaskLe:
    case SpecialRegister::LaneMaskGt:
    case SpecialRegister::LaneMaskGe:
      for (uint32_t lane = 0; lane < kLanes; ++lane) {
        uint32_t equal = 1u << lane, less = equal - 1;
        to[lane] = special == SpecialRegister::LaneMaskEq   ? equal
                   : special == SpecialRegister::LaneMaskLt ? less
                   : special == SpecialRegister::LaneMaskLe ? less | equal
                   : special == SpecialRegister::LaneMaskGt ? ~(less | equal)
                                                            : ~less;
      }
      continue;
    case SpecialRegister::NtidX:
    case SpecialRegister::NtidY:
    case SpecialRegister::NtidZ:
      same = size[static_cast<int>(special) - static_cast<int>(SpecialRegister::NtidX)];
      break;
    case SpecialRegister::CtaidX:
    case SpecialRegister::CtaidY:
    case SpecialRegister::CtaidZ:
      same = block->index[static_cast<int>(special) - static_cast<int>(SpecialRegister::CtaidX)];
      break;
    case SpecialRegister::NctaidX:
    case SpecialRegister::NctaidY:
    case SpecialRegister::NctaidZ:
      same = request.grid[static_cast<int>(special) - static_cast<int>(SpecialRegister::NctaidX)];
      break;
    case SpecialRegister::WarpId:
      same = index;
      break;
    case SpecialRegister::NwarpId:
      same = static_cast<uint32_t>(block->warps.size());
      break;
    case SpecialRegister::SmId:
      same = block->processor();
      break;
    case SpecialRegister::NsmId:
      same = block->launch->processors;
      break;
    case SpecialRegister::DynamicSharedBytes:
      same = request.dynamicShared;
      break;
    case SpecialRegister::TotalSharedBytes:
      same = block->launch->sharedBytes;
      break;
    case SpecialRegister::One:
      same = 1;
      break;
    case SpecialRegister::GridId:
    case SpecialRegister::Zero:
      break;
    }
    for (uint32_t lane = 0; lane < kLanes; ++lane)
      to[lane] = same;
  }
}

void Warp::call(const Instruction &instruction, const CallPlan &plan) {
  const Frame &caller = frames.back();
  uint32_t callerLocal = localBase;
  uint32_t offset = (caller.local + caller.function->localBytes + 15) & ~15u;
  if (caller.registers > kMaxRegisterBytes || offset + plan.callee->localBytes > kMaxLocalBytes)
    return fault(instruction, kLaunchFailed, "calls are nested too deeply");
  Mask callMask = mask, other = active & ~mask;
  uint32_t returnPc = pc;
  std::vector<Group> callerGroups = std::move(groups);
  groups.clear();
  pushFrame(*plan.callee, offset);
  Frame &frame = frames.back();
  frame.call = &plan;
  frame.returnPc = returnPc;
  frame.callMask = callMask;
  frame.otherActive = other;
  frame.callerGroups = std::move(callerGroups);
  for (const CallPlan::Move &move : plan.arguments)
    for (int lane = 0; lane < kLanes; ++lane)
      if (callMask >> lane & 1)
        std::memcpy(local(lane, offset + move.callee), local(lane, callerLocal + move.caller), move.bytes);
  active = callMask;
  pc = 0;
  limit = UINT32_MAX;
}

/// All lanes of the frame have returned or left the kernel.
void Warp::finishFrame() {
  Frame done = std::move(frames.back());
  frames.pop_back();
  if (!done.call) {
    stop = Stop::Done;
    return;
  }
  const Frame &caller = frames.back();
  for (const CallPlan::Move &move : done.call->results)
    for (int lane = 0; lane < kLanes; ++lane)
      if (done.callMask >> lane & 1)
        std::memcpy(local(lane, caller.local + move.caller), local(lane, done.local + move.callee), move.bytes);
  enterFrame(caller);
  groups = std::move(done.callerGroups);
  for (Group &group : groups)
    group.mask &= live;
  std::erase_if(groups, [](const Group &group) { return group.mask == 0; });
  active = (done.callMask | done.otherActive) & live;
  pc = done.returnPc;
  if (active)
    groups.push_back({pc, active, false});
  pickGroup();
}

//===----------------------------------------------------------------------===//
// Control flow
//===----------------------------------------------------------------------===//

void Warp::run() {
  stop = Stop::None;
  uint64_t executed = 0;
  do {
    if (pc >= limit) [[unlikely]] {
      groups.push_back({pc, active, false});
      pickGroup();
    }
    const Instruction &instruction = code[pc++];
    Mask lanes = active & (*at<Mask>(instruction.guard) ^ instruction.guardFlip);
    ++executed;
    if (lanes) [[likely]] {
      mask = lanes;
      instruction.run(*this, instruction);
    }
  } while (stop == Stop::None);
  counts.instructions += executed;
}

/// Makes the group at the lowest place the current one, with all that stand there.
void Warp::pickGroup() {
  uint32_t lowest = UINT32_MAX;
  for (const Group &group : groups)
    if (!group.parked)
      lowest = std::min(lowest, group.pc);
  if (lowest == UINT32_MAX) {
    if (groups.empty())
      return finishFrame();
    // Only parked groups are left: the lanes that they wait for are gone or wait elsewhere.
    const Group &group = groups.front();
    std::string others;
    for (const Group &other : groups)
      if (&other != &group)
        others += ", others wait at line " + std::to_string(code[other.pc].line);
    active = group.mask;
    pc = group.pc;
    return fault(code[pc], kLaunchFailed, "lanes that this instruction needs never come here" + others);
  }
  active = 0;
  limit = UINT32_MAX;
  for (size_t i = 0; i < groups.size();) {
    if (groups[i].pc == lowest) {
      active |= groups[i].mask;
      groups[i] = groups.back();
      groups.pop_back();
      continue;
    }
    if (!groups[i].parked)
      limit = std::min(limit, groups[i].pc);
    ++i;
  }
  pc = lowest;
}

void Warp::branch(uint32_t target) {
  if (target < pc && --slice == 0) {
    slice = kSlice;
    stop = Stop::Yield;
  }
  Mask rest = active & ~mask;
  if (!rest) {
    pc = target;
    return;
  }
  groups.push_back({target, mask, false});
  groups.push_back({pc, rest, false});
  pickGroup();
}

void Warp::scatter(const uint32_t *targets) {
  if (Mask rest = active & ~mask)
    groups.push_back({pc, rest, false});
  for (int lane = 0; lane < kLanes; ++lane)
    if (mask >> lane & 1)
      groups.push_back({targets[lane], 1u << lane, false});
  pickGroup();
}

void Warp::leave() {
  live &= ~mask;
  ret();
}

void Warp::ret() {
  if (frames.size() == 1)
    live &= ~mask;
  active &= ~mask;
  if (!active)
    pickGroup();
}

bool Warp::gather(const Instruction &, Mask needed) {
  if ((active & needed) == needed)
    return true;
  uint32_t here = pc - 1;
  for (size_t i = 0; i < groups.size();) {
    if (groups[i].pc != here) {
      ++i;
      continue;
    }
    active |= groups[i].mask;
    groups[i] = groups.back();
    groups.pop_back();
  }
  // Run the instruction again: its guard may be true for those that were added; or wait for the others.
  groups.push_back({here, active, (active & needed) != needed});
  pickGroup();
  return false;
}

void Warp::yieldAgain() {
  --pc;
  stop = Stop::Yield;
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

void Warp::addresses(const Instruction &instruction, uint64_t *to) const {
  auto offset = static_cast<uint64_t>(instruction.immediate);
  if (instruction.wideBase) {
    const auto *from = at<uint64_t>(instruction.a);
    TN_LANES
    for (int lane = 0; lane < kLanes; ++lane)
      to[lane] = from[lane] + offset;
  } else {
    const auto *from = at<uint32_t>(instruction.a);
    TN_LANES
    for (int lane = 0; lane < kLanes; ++lane)
      to[lane] = uint32_t(from[lane] + uint32_t(offset));
  }
}

uint8_t *Warp::resolve(Space space, uint64_t address, uint32_t bytes, int lane) {
  if (space == Space::Generic) {
    if (address - kSharedWindow < kSmallWindowBytes) {
      space = Space::Shared;
      address -= kSharedWindow;
    } else if (address - kLocalWindow < kSmallWindowBytes) {
      space = Space::Local;
      address -= kLocalWindow;
    }
  }
  auto within = [&](uint64_t offset, uint64_t size) { return offset <= size && size - offset >= bytes; };
  switch (space) {
  case Space::Shared:
    return address >= kReservedShared && within(address, block->shared.size()) ? block->shared.data() + address : nullptr;
  case Space::Local:
    return within(address, frames.back().local + frames.back().function->localBytes) ? local(lane, address) : nullptr;
  case Space::Param:
  case Space::Generic:
    if (address - kParamWindow < kSmallWindowBytes) {
      const std::vector<uint8_t> &parameters = block->launch->request.parameters;
      address -= kParamWindow;
      return within(address, parameters.size()) ? const_cast<uint8_t *>(parameters.data()) + address : nullptr;
    }
    if (space == Space::Param)
      return nullptr;
    [[fallthrough]];
  default:
    if (address - cached.begin >= cached.bytes) {
      const Range *range = block->launch->memory.find(address);
      if (!range)
        return nullptr;
      cached = *range;
    }
    return within(address - cached.begin, cached.bytes) ? cached.host + (address - cached.begin) : nullptr;
  }
}

static std::string spaceName(Space space) {
  switch (space) {
  case Space::Shared:
    return "shared";
  case Space::Local:
    return "local";
  case Space::Param:
    return "param";
  case Space::Const:
    return "const";
  default:
    return "global";
  }
}

/// The block's shared memory as addresses from `window` on.
Range Warp::sharedRange(uint64_t window) const {
  return {window + kReservedShared, block->shared.size() - kReservedShared, block->shared.data() + kReservedShared};
}

/// Whether all lanes of the mask access aligned bytes within a range; `to` gets their host addresses.
bool Warp::areWithin(const Range &range, const uint64_t *from, uint32_t bytes, uint8_t **to) const {
  const uint64_t last = range.bytes - bytes, misaligned = bytes - 1, begin = range.begin;
  const auto host = reinterpret_cast<uint64_t>(range.host);
  uint64_t bad = 0, addresses[kLanes];
  TN_LANES
  for (int lane = 0; lane < kLanes; ++lane) {
    uint64_t offset = from[lane] - begin, wrong = (offset > last ? ~uint64_t(0) : 0) | (from[lane] & misaligned);
    bad |= mask >> lane & 1 ? wrong : 0;
    addresses[lane] = host + offset;
  }
  std::memcpy(to, addresses, sizeof(addresses));
  return !bad;
}

bool Warp::translate(const Instruction &instruction, Space space, const uint64_t *from, uint32_t bytes, uint8_t **to) {
  // One comparison for all lanes shows most accesses to be good: first with the range of the last one, then with that of the
  // first lane.
  if (space != Space::Local && space != Space::Param) {
    Range range = space == Space::Shared ? sharedRange(0) : cached;
    for (int attempt = 0; attempt < 2; ++attempt) {
      if (range.bytes >= bytes && areWithin(range, from, bytes, to)) [[likely]]
        return true;
      uint64_t first = from[std::countr_zero(mask)];
      if (space == Space::Shared)
        break;
      if (space == Space::Generic && first - kSharedWindow < kSmallWindowBytes) {
        range = sharedRange(kSharedWindow);
      } else {
        const Range *found = block->launch->memory.find(first);
        if (!found)
          break;
        range = cached = *found;
      }
    }
  }
  for (int lane = 0; lane < kLanes; ++lane) {
    if (!(mask >> lane & 1))
      continue;
    char text[96];
    if (from[lane] % bytes) {
      std::snprintf(text, sizeof(text), "address 0x%llx is not aligned to %u bytes",
                    static_cast<unsigned long long>(from[lane]), bytes);
      fault(instruction, kMisalignedAddress, text, lane);
      return false;
    }
    to[lane] = resolve(space, from[lane], bytes, lane);
    if (!to[lane]) {
      std::snprintf(text, sizeof(text), "%u bytes at address 0x%llx are outside of %s memory", bytes,
                    static_cast<unsigned long long>(from[lane]), spaceName(space).c_str());
      fault(instruction, kIllegalAddress, text, lane);
      return false;
    }
  }
  return true;
}

/// As above, straight from the register with the addresses.
template <typename T>
bool Warp::areWithin(const Instruction &instruction, const Range &range, uint32_t bytes, uint8_t **to) const {
  const T *base = at<T>(instruction.a);
  const T offset = static_cast<T>(instruction.immediate);
  const uint64_t last = range.bytes - bytes, misaligned = bytes - 1, begin = range.begin;
  const uint64_t toHost = reinterpret_cast<uint64_t>(range.host) - begin;
  uint64_t bad = 0, made[kLanes];
  TN_LANES
  for (int lane = 0; lane < kLanes; ++lane) {
    uint64_t address = static_cast<T>(base[lane] + offset);
    uint64_t wrong = (address - begin > last ? ~uint64_t(0) : 0) | (address & misaligned);
    bad |= mask >> lane & 1 ? wrong : 0;
    made[lane] = address + toHost;
  }
  std::memcpy(to, made, sizeof(made));
  return !bad;
}

/// `Lanes`: it is not that simple.
template <typename T> Spread Warp::reachTogether(const Instruction &instruction, Space space, uint32_t bytes, uint8_t **to) {
  const T *base = at<T>(instruction.a);
  const T first = base[0], step = static_cast<T>(bytes);
  T notSame = 0, notSteps = 0;
  TN_LANES
  for (int lane = 0; lane < kLanes; ++lane) {
    notSame |= base[lane] ^ first;
    notSteps |= base[lane] ^ static_cast<T>(first + static_cast<T>(lane) * step);
  }
  if (notSame && notSteps)
    return Spread::Lanes;
  uint64_t address = static_cast<T>(first + static_cast<T>(instruction.immediate));
  to[0] = address % bytes ? nullptr : resolve(space, address, notSame ? bytes * kLanes : bytes, 0);
  return !to[0] ? Spread::Lanes : notSame ? Spread::Steps : Spread::Same;
}

Spread Warp::reach(const Instruction &instruction, Space space, uint32_t bytes, uint8_t **to) {
  // Lanes' local memories do not lie side by side.
  if (mask == kAllLanes && space != Space::Local &&
      !(space == Space::Generic && at<uint64_t>(instruction.a)[0] + uint64_t(instruction.immediate) - kLocalWindow < kSmallWindowBytes)) {
    Spread spread = instruction.wideBase ? reachTogether<uint64_t>(instruction, space, bytes, to)
                                         : reachTogether<uint32_t>(instruction, space, bytes, to);
    if (spread != Spread::Lanes)
      return spread;
  }
  // Then the range of the last access, for all lanes at once.
  if (space == Space::Shared || space == Space::Global || space == Space::Generic) {
    Range range = space == Space::Shared ? sharedRange(0) : cached;
    if (range.bytes >= bytes && (instruction.wideBase ? areWithin<uint64_t>(instruction, range, bytes, to)
                                                      : areWithin<uint32_t>(instruction, range, bytes, to)))
      return Spread::Lanes;
  }
  uint64_t from[kLanes];
  addresses(instruction, from);
  return translate(instruction, space, from, bytes, to) ? Spread::Lanes : Spread::Fault;
}

bool Warp::noteAccess(const Instruction &instruction, Mask lanes, uint8_t *const *places, uint32_t bytes, bool isWrite) {
  const uint32_t now = block->interval;
  for (int lane = 0; lane < kLanes; ++lane) {
    auto offset = static_cast<uint64_t>(places[lane] - block->shared.data());
    if (!(lanes >> lane & 1) || offset >= block->shared.size())
      continue;
    for (uint64_t word = offset / 4; word <= (offset + bytes - 1) / 4; ++word) {
      WordUse &use = block->uses[word];
      const bool wasWritten = use.written == now && use.writer != index, wasRead = use.read == now && use.reader != index;
      if (wasWritten || (isWrite && wasRead)) {
        uint16_t other = wasWritten ? use.writer : use.reader;
        fault(instruction, kLaunchFailed,
              std::string("race: ") + (isWrite ? "writes" : "reads") + " shared memory at " + std::to_string(word * 4) + ", which " +
                  (other == WordUse::kSeveral ? "other warps" : "warp " + std::to_string(other)) + (wasWritten ? " wrote" : " read") +
                  " since the last barrier",
              lane);
        return false;
      }
      if (isWrite) {
        use.written = now, use.writer = static_cast<uint16_t>(index);
      } else {
        use.reader = use.read == now && use.reader != index ? WordUse::kSeveral : static_cast<uint16_t>(index);
        use.read = now;
      }
    }
  }
  return true;
}

void Warp::fault(const Instruction &instruction, int code, const std::string &what, int lane) {
  stop = Stop::Fault;
  Launch &launch = *block->launch;
  const uint32_t *size = launch.request.block;
  uint32_t thread = index * kLanes + static_cast<uint32_t>(lane >= 0 ? lane : std::countr_zero(active | 1u << 31));
  char place[256];
  std::snprintf(place, sizeof(place), "kernel '%s', line %u, block (%u, %u, %u), thread (%u, %u, %u): ",
                launch.request.kernel->name.c_str(), instruction.line, block->index[0], block->index[1], block->index[2],
                thread % size[0], thread / size[0] % size[1], thread / size[0] / size[1]);
  std::lock_guard lock(launch.mutex);
  if (launch.stopped.exchange(true))
    return;
  launch.fault = {code, place + what};
  std::fprintf(stderr, "emulated CUDA: %s\n", launch.fault.message.c_str());
}

} // namespace tenon::emulator
