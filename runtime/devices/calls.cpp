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

static void dropRecording(DeviceSession &s, Recording &r) {
  if (r.handle)
    s.kind->dropRecord(s.device, r.handle);
  r.handle = nullptr;
}

void dropRecordings(DeviceSession &s) {
  for (uint32_t i = 0; s.recordings && i < s.entryCount; ++i) {
    dropRecording(s, s.recordings[i]);
    free(s.recordings[i].key);
  }
  free(s.recordings);
}

/// Ends the recording and runs what it has.
static tn_status_t runRecording(DeviceSession &s, tn_error_t *error) {
  Recording &r = *s.recorder;
  s.recorder = nullptr;
  if (tn_status_t status = s.kind->endRecord(s.queue, &r.handle, error))
    return status;
  return s.kind->replay(s.queue, r.handle, error);
}

/// The host needs what the queue has done: calls of this kind cannot be kept.
static tn_status_t giveUpRecording(DeviceSession &s) {
  if (!s.recorder)
    return TN_OK;
  Recording &r = *s.recorder;
  r.isImpossible = true;
  tn_status_t status = runRecording(s, &s.error);
  if (!status)
    status = s.kind->finish(s.queue, &s.error);
  dropRecording(s, r);
  return status;
}

/// Waits for all that was told; the ring is free then.
static tn_status_t drain(DeviceSession &s) {
  if (tn_status_t status = giveUpRecording(s))
    return status;
  tn_status_t status = s.kind->finish(s.queue, &s.error);
  s.ringUsed = TN_BUFFER_ALIGN;
  return status;
}

/// Copies bytes to where the device finds them until the queue is done: at offset `at` of the ring.
static tn_status_t keepInRing(DeviceSession &s, const void *from, uint64_t bytes, uint64_t &at) {
  if (tn_status_t status = giveUpRecording(s))
    return status;
  if (s.ringUsed + bytes > s.ring.bytes)
    if (tn_status_t status = drain(s))
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
  Launch launch = {args, kernel.slots, 0, tiles, s.ring.address};
  if (!s.kind->takesSlots || kernel.slots > TN_DEVICE_SLOTS) {
    uint64_t bytes = kernel.slots * sizeof(uint64_t), at = 0;
    if (bytes > kRingBytes / 2)
      return stopLost(s);
    if (tn_status_t status = keepInRing(s, args, bytes, at))
      return stop(s, status);
    launch.slots = nullptr;
    launch.address = s.ring.address + at;
  }
  return stop(s, s.kind->launch(s.queue, kernel.handle, launch, &s.error));
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
  return stop(s, s.kind->copy(s.queue, to, destOffset, from, sourceOffset, static_cast<uint64_t>(bytes), &s.error));
}

static int32_t tableStore(tn_frame *frame, uint64_t dest, int64_t value) {
  auto &session = *static_cast<tn_session *>(frame->session);
  DeviceSession &s = sessionOf(session);
  uint64_t offset = 0;
  const DeviceMemory *to = findMemory(session, dest, offset);
  if (!to)
    return stopLost(s);
  uint64_t at = 0;
  if (tn_status_t status = keepInRing(s, &value, sizeof(value), at))
    return stop(s, status);
  return stop(s, s.kind->copy(s.queue, to, offset, &s.ring, at, sizeof(value), &s.error));
}

static int32_t tableLoad(tn_frame *frame, uint64_t source, int64_t bytes, int64_t *value) {
  auto &session = *static_cast<tn_session *>(frame->session);
  DeviceSession &s = sessionOf(session);
  uint64_t offset = 0;
  const DeviceMemory *from = findMemory(session, source, offset);
  if (!from)
    return stopLost(s);
  if (tn_status_t status = drain(s))
    return stop(s, status);
  *value = 0;
  return stop(s, download(s, *from, offset, value, static_cast<uint64_t>(bytes), &s.error));
}

static constexpr uint32_t kMaxSlots = 1536; // 12 KiB: what an image's frame may hold

static int32_t tableVisit(tn_frame *frame, tn_kernel_fn fn, const uint64_t *args, uint32_t slots, uint32_t operands,
                          uint32_t inputs, const int64_t *bytes, int64_t tiles, int64_t scratchBytes) {
  auto &session = *static_cast<tn_session *>(frame->session);
  DeviceSession &s = sessionOf(session);
  if (slots > kMaxSlots || operands > slots)
    return stopLost(s);
  if (tn_status_t status = drain(s))
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
  return status ? stop(s, status) : result;
}

const DeviceFunctions deviceFunctions = {tableLaunch, tableCopy, tableStore, tableLoad, tableVisit};

//===----------------------------------------------------------------------===//
// Calls
//===----------------------------------------------------------------------===//

static uint64_t portBytes(const TensorEntry &tensor, const tn_tensor_t &given) {
  uint64_t bytes = 0;
  (void)tensorBytes(tensor.dtype, given.dims, given.rank, bytes); // fits: the shape was checked
  return bytes;
}

static uint64_t padded(uint64_t bytes) { return (bytes + TN_BUFFER_ALIGN - 1) & ~uint64_t(TN_BUFFER_ALIGN - 1); }

/// Moves tensors between the caller's memory and the ports, all at once: what the CPU cannot reach goes through memory at
/// the same offsets that the device's copies read and write.
static tn_status_t sendInput(DeviceSession &s, uint64_t at, const void *from, uint64_t bytes, tn_error_t *error) {
  if (!bytes)
    return TN_OK;
  if (s.ports.host) {
    memcpy(s.ports.host + at, from, bytes);
    return TN_OK;
  }
  memcpy(s.staging.host + at, from, bytes);
  return s.kind->copy(s.queue, &s.ports, at, &s.staging, at, bytes, error);
}

/// Sizes and addresses: two calls with the same ask the same of the queue, unless it is asked what it found.
static void fillKey(tn_session &session, const EntryPoint &entry, uint64_t *key) {
  const DeviceSession &s = sessionOf(session);
  *key++ = s.arena.address;
  *key++ = s.states.address;
  for (uint32_t i = 0; i < entry.symbolCount; ++i)
    *key++ = static_cast<uint64_t>(session.symbols[i]);
  for (uint32_t i = 0; i < entry.inputCount; ++i)
    *key++ = reinterpret_cast<uint64_t>(session.inputs[i]);
  for (uint32_t i = 0; i < entry.outputCount; ++i)
    *key++ = reinterpret_cast<uint64_t>(session.outputs[i]);
}

/// Runs the entry's recording if it is of such a call, and says so in `isDone`; the second call of a kind is recorded.
static tn_status_t useRecording(tn_session &session, const EntryPoint &entry, tn_frame &frame, bool &isDone,
                                tn_error_t *error) {
  DeviceSession &s = sessionOf(session);
  s.recorder = nullptr;
  if (!s.recordings)
    return TN_OK;
  Recording &r = s.recordings[&entry - session.program->entries];
  uint32_t count = 2 + entry.symbolCount + entry.inputCount + entry.outputCount;
  bool isFirst = !r.key;
  if (isFirst)
    r.key = static_cast<uint64_t *>(malloc(2 * count * sizeof(uint64_t)));
  if (!r.key)
    return TN_OK; // it runs all the same
  uint64_t *key = r.key + count;
  fillKey(session, entry, key);
  if (isFirst || memcmp(key, r.key, count * sizeof(uint64_t)) != 0) {
    memcpy(r.key, key, count * sizeof(uint64_t));
    r.isImpossible = false;
    dropRecording(s, r);
    return TN_OK;
  }
  if (r.handle) {
    isDone = true;
    frame.state_phase = r.statePhase;
    return s.kind->replay(s.queue, r.handle, error);
  }
  if (r.isImpossible)
    return TN_OK;
  s.recorder = &r;
  return s.kind->record(s.queue, error);
}

tn_status_t deviceBeginCall(tn_session &session, const EntryPoint &entry, tn_frame &frame, const tn_tensor_t *inputs,
                            const tn_tensor_t *outputs, bool &isDone, tn_error_t *error) {
  DeviceSession &s = sessionOf(session);
  s.status = TN_OK;
  s.error = {};
  s.error.struct_bytes = sizeof(s.error);
  uint64_t total = TN_BUFFER_ALIGN; // a little more than nothing, so that empty tensors have an address
  for (uint32_t i = 0; i < entry.inputCount; ++i)
    if (!isAbsent(entry.inputs[i], inputs[i]))
      total += padded(portBytes(entry.inputs[i], inputs[i]));
  for (uint32_t i = 0; i < entry.outputCount; ++i)
    total += padded(portBytes(entry.outputs[i], outputs[i]));
  if (tn_status_t status = grow(s, s.ports, total, false, error))
    return status;
  if (!s.ports.host)
    if (tn_status_t status = grow(s, s.staging, total, true, error))
      return status;
  uint64_t at = 0;
  for (uint32_t i = 0; i < entry.inputCount; ++i) {
    if (isAbsent(entry.inputs[i], inputs[i])) {
      session.inputs[i] = nullptr;
      continue;
    }
    uint64_t bytes = portBytes(entry.inputs[i], inputs[i]);
    if (tn_status_t status = sendInput(s, at, inputs[i].data, bytes, error))
      return status;
    session.inputs[i] = reinterpret_cast<void *>(s.ports.address + at);
    at += padded(bytes);
  }
  for (uint32_t i = 0; i < entry.outputCount; ++i) {
    session.outputs[i] = reinterpret_cast<void *>(s.ports.address + at);
    at += padded(portBytes(entry.outputs[i], outputs[i]));
  }
  Report none = {UINT32_MAX, 0, 0, 0};
  memcpy(s.ring.host, &none, sizeof(none));
  s.ringUsed = TN_BUFFER_ALIGN;
  frame.arena = reinterpret_cast<uint8_t *>(s.arena.address);
  frame.constants = reinterpret_cast<const uint8_t *>(programOf(*session.program).constants.address);
  return useRecording(session, entry, frame, isDone, error);
}

/// Results to the caller's memory, after everything is done.
static tn_status_t receiveOutputs(tn_session &session, const EntryPoint &entry, const tn_tensor_t *outputs, tn_error_t *error) {
  DeviceSession &s = sessionOf(session);
  auto offsetOf = [&](uint32_t i) { return reinterpret_cast<uint64_t>(session.outputs[i]) - s.ports.address; };
  const DeviceMemory &from = s.ports.host ? s.ports : s.staging;
  if (!s.ports.host)
    for (uint32_t i = 0; i < entry.outputCount; ++i)
      if (uint64_t bytes = portBytes(entry.outputs[i], outputs[i]))
        if (tn_status_t status = s.kind->copy(s.queue, &s.staging, offsetOf(i), &s.ports, offsetOf(i), bytes, error))
          return status;
  if (tn_status_t status = s.kind->finish(s.queue, error))
    return status;
  for (uint32_t i = 0; i < entry.outputCount; ++i)
    if (uint64_t bytes = portBytes(entry.outputs[i], outputs[i]))
      memcpy(outputs[i].data, from.host + offsetOf(i), bytes);
  return TN_OK;
}

tn_status_t deviceEndCall(tn_session &session, const EntryPoint &entry, const tn_frame &frame, const tn_tensor_t *outputs,
                          int32_t &result, tn_error_t *error) {
  DeviceSession &s = sessionOf(session);
  Recording *recorded = s.recorder;
  if (recorded) {
    recorded->statePhase = frame.state_phase;
    tn_status_t status = runRecording(s, &s.error);
    if (!s.status)
      s.status = status;
  }
  if (!s.status)
    s.status = receiveOutputs(session, entry, outputs, &s.error);
  else
    (void)s.kind->finish(s.queue, nullptr);
  if (recorded && (s.status || result)) // it may have ended early
    dropRecording(s, *recorded);
  if (s.status)
    return TN_FAIL(error, s.status, "%s: entry '%s': %s", session.program->label, entry.name, s.error.message);
  Report report;
  memcpy(&report, s.ring.host, sizeof(report));
  if (result == 0 && report.site != UINT32_MAX) {
    recordFailure(session, report.site, report.a, report.b, false);
    result = static_cast<int32_t>(report.site + 1);
  }
  return TN_OK;
}

} // namespace tenon::rt
