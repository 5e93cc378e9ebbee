// What images ask of a device, and what is done around a call.
#include "../src/shapes.h"
#include "session.h"

#include <cstdlib>

namespace tenon::rt {

//===----------------------------------------------------------------------===//
// What images call
//===----------------------------------------------------------------------===//

/// The memory an address lies in, with its offset there; null when an image is wrong.
static const DeviceMemory *findMemory(tn_session &session, uint64_t address, uint64_t &offset) {
  DeviceSession &s = sessionOf(session);
  for (const DeviceMemory *memory : {&s.arena, &s.ports, &s.states, &programOf(*session.program).constants}) {
    offset = address - memory->address;
    if (memory->bytes && address >= memory->address && offset < memory->bytes)
      return memory;
  }
  return nullptr;
}

/// What stops the image: its cause is reported when the call ends.
static int32_t stop(DeviceSession &s, tn_status_t status) {
  if (status && !s.status)
    s.status = status;
  return status ? INT32_MAX : 0;
}

static int32_t stopLost(DeviceSession &s) {
  return stop(s, TN_FAIL(&s.error, TN_INTERNAL, "image names an address outside its memory"));
}

/// Waits for all that was told; the ring and the staging memory are free then.
static tn_status_t drain(tn_session &session) {
  DeviceSession &s = sessionOf(session);
  if (tn_status_t status = giveUpRecording(s))
    return status;
  s.ringUsed = TN_BUFFER_ALIGN;
  return receive(session);
}

/// Copies bytes to where the device finds them until the queue is done: at offset `at` of the ring.
static tn_status_t keepInRing(tn_session &session, const void *from, uint64_t bytes, uint64_t &at) {
  DeviceSession &s = sessionOf(session);
  if (tn_status_t status = giveUpRecording(s))
    return status;
  if (s.ringUsed + bytes > s.ring.bytes)
    if (tn_status_t status = drain(session))
      return status;
  at = s.ringUsed;
  memcpy(s.ring.host + at, from, bytes);
  s.ringUsed += bytes;
  return TN_OK;
}

static int32_t tableLaunch(tn_frame *frame, uint32_t number, const uint64_t *args, uint32_t slots, int64_t tiles) {
  auto &session = *static_cast<tn_session *>(frame->session);
  DeviceSession &s = sessionOf(session);
  const DeviceProgram &p = programOf(*session.program);
  if (tiles <= 0)
    return 0;
  if (number >= p.kernelCount || slots < p.kernels[number].slots)
    return stopLost(s);
  const Kernel &kernel = p.kernels[number];
  if (tn_status_t status = beforeCommand(session, args, kernel.slots))
    return stop(s, status);
  Launch launch = {args, kernel.slots, 0, tiles, s.ring.address};
  if (!s.kind->takesSlots || kernel.slots > TN_DEVICE_SLOTS) {
    uint64_t bytes = kernel.slots * sizeof(uint64_t), at = 0;
    if (bytes > kRingBytes / 2)
      return stopLost(s);
    if (tn_status_t status = keepInRing(session, args, bytes, at))
      return stop(s, status);
    launch.slots = nullptr;
    launch.address = s.ring.address + at;
  }
  tn_status_t status = resumeRecording(s);
  if (!status)
    status = s.kind->launch(s.queue, kernel.handle, launch, &s.error);
  return stop(s, status ? status : afterCommand(session));
}

static int32_t tableCopy(tn_frame *frame, uint64_t dest, uint64_t source, int64_t bytes) {
  auto &session = *static_cast<tn_session *>(frame->session);
  DeviceSession &s = sessionOf(session);
  if (bytes <= 0)
    return 0;
  uint64_t destOffset = 0, sourceOffset = 0;
  const DeviceMemory *to = findMemory(session, dest, destOffset), *from = findMemory(session, source, sourceOffset);
  if (!to || !from)
    return stopLost(s);
  const uint64_t both[] = {dest, source};
  tn_status_t status = beforeCommand(session, both, 2);
  if (!status)
    status = resumeRecording(s);
  if (!status)
    status = s.kind->copy(s.queue, kCompute, to, destOffset, from, sourceOffset, static_cast<uint64_t>(bytes), &s.error);
  return stop(s, status ? status : afterCommand(session));
}

static int32_t tableStore(tn_frame *frame, uint64_t dest, int64_t value) {
  auto &session = *static_cast<tn_session *>(frame->session);
  DeviceSession &s = sessionOf(session);
  uint64_t offset = 0;
  const DeviceMemory *to = findMemory(session, dest, offset);
  if (!to)
    return stopLost(s);
  uint64_t at = 0;
  tn_status_t status = beforeCommand(session, &dest, 1);
  if (!status)
    status = keepInRing(session, &value, sizeof(value), at);
  if (!status)
    status = s.kind->copy(s.queue, kCompute, to, offset, &s.ring, at, sizeof(value), &s.error);
  return stop(s, status ? status : afterCommand(session));
}

static int32_t tableLoad(tn_frame *frame, uint64_t source, int64_t bytes, int64_t *value) {
  auto &session = *static_cast<tn_session *>(frame->session);
  DeviceSession &s = sessionOf(session);
  uint64_t offset = 0;
  const DeviceMemory *from = findMemory(session, source, offset);
  if (!from)
    return stopLost(s);
  *value = 0;
  tn_status_t status = beforeCommand(session, &source, 1);
  if (!status)
    status = drain(session);
  if (!status)
    status = download(s, *from, offset, value, static_cast<uint64_t>(bytes), &s.error);
  return stop(s, status ? status : afterCommand(session));
}

static constexpr uint32_t kMaxSlots = 1536; // 12 KiB: what an image's frame may hold

static int32_t tableVisit(tn_frame *frame, tn_kernel_fn fn, const uint64_t *args, uint32_t slots, uint32_t operands,
                          uint32_t inputs, const int64_t *bytes, int64_t tiles, int64_t scratchBytes) {
  auto &session = *static_cast<tn_session *>(frame->session);
  DeviceSession &s = sessionOf(session);
  if (slots > kMaxSlots || operands > slots)
    return stopLost(s);
  if (tn_status_t status = beforeCommand(session, args, operands))
    return stop(s, status);
  if (tn_status_t status = drain(session))
    return stop(s, status);
  uint64_t here[kMaxSlots];
  memcpy(here, args, slots * sizeof(uint64_t));
  // Operands that the CPU cannot reach come into one block, and results go back.
  uint64_t total = 0;
  for (uint32_t i = 0; i < operands; ++i) {
    uint64_t offset = 0;
    const DeviceMemory *memory = args[i] ? findMemory(session, args[i], offset) : nullptr;
    if (memory && !memory->host)
      total += (static_cast<uint64_t>(bytes[i]) + TN_BUFFER_ALIGN - 1) & ~uint64_t(TN_BUFFER_ALIGN - 1);
  }
  auto *block = total ? static_cast<uint8_t *>(aligned_alloc(TN_BUFFER_ALIGN, total)) : nullptr;
  if (total && !block)
    return stop(s, TN_FAIL(&s.error, TN_NO_MEMORY, "no %llu bytes for a kernel that runs on the CPU",
                           static_cast<unsigned long long>(total)));
  tn_status_t status = TN_OK;
  uint64_t used = 0;
  for (uint32_t i = 0; i < operands && !status; ++i) {
    uint64_t offset = 0;
    const DeviceMemory *memory = args[i] ? findMemory(session, args[i], offset) : nullptr;
    if (!memory) {
      here[i] = 0; // an absent input, or an empty tensor
      continue;
    }
    uint8_t *at = memory->host ? memory->host + offset : block + used;
    here[i] = reinterpret_cast<uint64_t>(at);
    if (memory->host)
      continue;
    used += (static_cast<uint64_t>(bytes[i]) + TN_BUFFER_ALIGN - 1) & ~uint64_t(TN_BUFFER_ALIGN - 1);
    // Results too: a kernel may leave part of one as it is.
    status = download(s, *memory, offset, at, static_cast<uint64_t>(bytes[i]), &s.error);
  }
  int32_t result = status ? stop(s, status) : tableParallel(frame, fn, here, tiles, scratchBytes);
  for (uint32_t i = inputs; i < operands && !status && result == 0; ++i) {
    uint64_t offset = 0;
    const DeviceMemory *memory = args[i] ? findMemory(session, args[i], offset) : nullptr;
    if (memory && !memory->host)
      status = upload(s, *memory, offset, reinterpret_cast<void *>(here[i]), static_cast<uint64_t>(bytes[i]), &s.error);
  }
  free(block);
  if (!status && result == 0)
    status = afterCommand(session);
  return status ? stop(s, status) : result;
}

const DeviceFunctions deviceFunctions = {tableLaunch, tableCopy, tableStore, tableLoad, tableVisit};

//===----------------------------------------------------------------------===//
// Calls
//===----------------------------------------------------------------------===//

/// Numbers of a key that every entry has.
static constexpr uint32_t kKeyHead = 4;

/// Sizes and addresses: two calls with the same ask the same of the queue, unless it is asked what it found.
static void fillKey(tn_session &session, const EntryPoint &entry, uint64_t *key) {
  const DeviceSession &s = sessionOf(session);
  for (const DeviceMemory *memory : {&s.arena, &s.states, &s.ports, &s.staging})
    *key++ = memory->address;
  for (uint32_t i = 0; i < entry.symbolCount; ++i)
    *key++ = static_cast<uint64_t>(session.symbols[i]);
  for (uint32_t i = 0; i < entry.inputCount; ++i)
    *key++ = reinterpret_cast<uint64_t>(session.inputs[i]);
  for (uint32_t i = 0; i < entry.outputCount; ++i)
    *key++ = reinterpret_cast<uint64_t>(session.outputs[i]);
}

/// Starts a recording, if there is memory for what is remembered.
static void startRecording(DeviceSession &s, Recording &r) {
  uint32_t limit = 4 * s.lotCount + 4; // a step for a lot, again for a result that went too early, and a graph between any two
  if (limit > r.stepLimit) {
    auto *steps = static_cast<Step *>(realloc(r.steps, limit * sizeof(Step)));
    if (!steps)
      return;
    r.steps = steps;
    r.stepLimit = limit;
  }
  s.recorder = &r;
}

/// Whether the call can be a replay. The first call of its kind finds out which results are ready when, the second is recorded.
static bool useRecording(tn_session &session, const EntryPoint &entry) {
  DeviceSession &s = sessionOf(session);
  if (!s.recordings)
    return false;
  Recording &r = s.recordings[&entry - session.program->entries];
  uint32_t count = kKeyHead + entry.symbolCount + entry.inputCount + entry.outputCount;
  bool isFirst = !r.key;
  if (isFirst) {
    r.key = static_cast<uint64_t *>(calloc(1, 2 * count * sizeof(uint64_t) + entry.outputCount * sizeof(uint32_t)));
    r.dueAfter = reinterpret_cast<uint32_t *>(r.key + 2 * count);
  }
  if (!r.key)
    return false; // it runs all the same
  uint64_t *key = r.key + count;
  fillKey(session, entry, key);
  if (isFirst || memcmp(key, r.key, count * sizeof(uint64_t)) != 0) {
    memcpy(r.key, key, count * sizeof(uint64_t));
    memset(r.dueAfter, 0, entry.outputCount * sizeof(uint32_t));
    r.isImpossible = false;
    dropSteps(s, r);
    return false;
  }
  for (uint32_t i = s.inputLots; i < s.lotCount; ++i)
    s.lots[i].dueAfter = r.dueAfter[i - s.inputLots];
  if (!r.isWhole && !r.isImpossible)
    startRecording(s, r);
  return r.isWhole;
}

/// What went wrong in the call at hand.
static tn_status_t failCall(tn_session &session, const EntryPoint &entry, tn_status_t status, tn_error_t *error) {
  DeviceSession &s = sessionOf(session);
  abandon(s);
  return TN_FAIL(error, status, "%s: entry '%s': %s", session.program->label, entry.name, s.error.message);
}

tn_status_t deviceBeginCall(tn_session &session, const EntryPoint &entry, tn_frame &frame, const tn_tensor_t *inputs,
                            const tn_tensor_t *outputs, bool &isDone, tn_error_t *error) {
  DeviceSession &s = sessionOf(session);
  s.status = TN_OK;
  s.error = {};
  s.error.struct_bytes = sizeof(s.error);
  if (tn_status_t status = planTransfers(session, entry, inputs, outputs, error))
    return status;
  Report none = {UINT32_MAX, 0, 0, 0};
  memcpy(s.ring.host, &none, sizeof(none));
  s.ringUsed = TN_BUFFER_ALIGN;
  frame.arena = reinterpret_cast<uint8_t *>(s.arena.address);
  frame.constants = reinterpret_cast<const uint8_t *>(programOf(*session.program).constants.address);
  isDone = useRecording(session, entry);
  tn_status_t status = TN_OK;
  if (isDone) {
    const Recording &r = s.recordings[&entry - session.program->entries];
    frame.state_phase = r.statePhase;
    status = replay(session, r);
  } else if (!s.overlaps) {
    status = sendInputs(session);
  }
  return status ? failCall(session, entry, status, error) : TN_OK;
}

tn_status_t deviceEndCall(tn_session &session, const EntryPoint &entry, const tn_frame &frame, int32_t &result,
                          tn_error_t *error) {
  DeviceSession &s = sessionOf(session);
  if (!s.status && result == 0)
    s.status = tellResults(session);
  if (!s.status && result == 0)
    s.status = receive(session);
  if (s.status)
    return failCall(session, entry, s.status, error);
  if (result != 0) {
    abandon(s);
    return TN_OK;
  }
  if (s.recorder) {
    s.recorder->statePhase = frame.state_phase;
    s.recorder->isWhole = true;
    s.recorder = nullptr;
  }
  if (s.recordings && s.command) // not a replay
    for (uint32_t i = s.inputLots; i < s.lotCount; ++i)
      if (Recording &r = s.recordings[&entry - session.program->entries]; r.key)
        r.dueAfter[i - s.inputLots] = s.lots[i].lastUse;
  Report report;
  memcpy(&report, s.ring.host, sizeof(report));
  if (report.site != UINT32_MAX) {
    recordFailure(session, report.site, report.a, report.b, false);
    result = static_cast<int32_t>(report.site + 1);
  }
  return TN_OK;
}

} // namespace tenon::rt
