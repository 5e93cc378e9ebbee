// Programs and sessions on a device: memory, transfers, launches; the same for every kind.
#include "device.h"
#include "../src/device.h"
#include "../src/shapes.h"

#include <cstdlib>

namespace tenon::rt {

static const DeviceKind *const kinds[] = {&vulkanDevice};

/// Bytes for the arguments of launches that wait in the queue.
static constexpr uint64_t kRingBytes = 1 << 18;
/// What kernels tell of failures: { u32 site, u32, i64 a, i64 b }.
struct Report {
  uint32_t site, unused;
  int64_t a, b;
};

namespace {
struct DeviceProgram {
  const DeviceKind *kind;
  void *device;
  DeviceMemory constants;
  void **kernels;
  uint32_t kernelCount;
};

struct DeviceSession {
  const DeviceKind *kind;
  void *device, *queue;
  DeviceMemory arena, states, ports, ring, staging; ///< `ring` holds the report, then arguments
  uint64_t ringUsed;
  tn_error_t error; ///< of what an image asked for
  tn_status_t status;
};
} // namespace

static DeviceProgram &programOf(const tn_program &program) { return *static_cast<DeviceProgram *>(program.device); }
static DeviceSession &sessionOf(tn_session &session) { return *static_cast<DeviceSession *>(session.device); }

static const DeviceKind *findKind(const file::Variant &variant) {
  for (const DeviceKind *kind : kinds)
    if (strcmp(kind->name, variant.device()->c_str()) == 0)
      return kind;
  return nullptr;
}

bool deviceIsHere(const file::Variant &variant, TextBuffer *why) {
  if (!variant.device())
    return true;
  const DeviceKind *kind = findKind(variant);
  if (!kind && why)
    why->add("this runtime knows no device '%s'", variant.device()->c_str());
  return kind && kind->isHere(why);
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

static tn_status_t grow(DeviceSession &s, DeviceMemory &memory, uint64_t bytes, bool onHost, tn_error_t *error) {
  if (bytes <= memory.bytes)
    return TN_OK;
  s.kind->release(s.device, &memory);
  memory = {};
  return s.kind->allocate(s.device, bytes, onHost, &memory, error);
}

/// Between the CPU's memory and a device's, at once.
static tn_status_t upload(DeviceSession &s, const DeviceMemory &to, uint64_t offset, const void *from, uint64_t bytes,
                          tn_error_t *error) {
  if (bytes == 0)
    return TN_OK;
  if (to.host) {
    if (from)
      memcpy(to.host + offset, from, bytes);
    else
      memset(to.host + offset, 0, bytes);
    return TN_OK;
  }
  if (tn_status_t status = grow(s, s.staging, bytes, true, error))
    return status;
  if (from)
    memcpy(s.staging.host, from, bytes);
  else
    memset(s.staging.host, 0, bytes);
  if (tn_status_t status = s.kind->copy(s.queue, &to, offset, &s.staging, 0, bytes, error))
    return status;
  return s.kind->finish(s.queue, error);
}

static tn_status_t download(DeviceSession &s, const DeviceMemory &from, uint64_t offset, void *to, uint64_t bytes,
                            tn_error_t *error) {
  if (bytes == 0)
    return TN_OK;
  if (!from.host) {
    if (tn_status_t status = grow(s, s.staging, bytes, true, error))
      return status;
    if (tn_status_t status = s.kind->copy(s.queue, &s.staging, 0, &from, offset, bytes, error))
      return status;
    if (tn_status_t status = s.kind->finish(s.queue, error))
      return status;
  }
  memcpy(to, from.host ? from.host + offset : s.staging.host, bytes);
  return TN_OK;
}

//===----------------------------------------------------------------------===//
// Programs
//===----------------------------------------------------------------------===//

static tn_status_t fillProgram(tn_program &program, DeviceProgram &p, tn_error_t *error) {
  const file::Variant &variant = *program.header->variants()->Get(program.variant);
  if (tn_status_t status = p.kind->open(program.deviceIndex, &p.device, error))
    return status;
  if (program.constantsBytes) {
    if (tn_status_t status = p.kind->allocate(p.device, program.constantsBytes, false, &p.constants, error))
      return status;
    DeviceSession s = {};
    s.kind = p.kind;
    s.device = p.device;
    if (tn_status_t status = p.kind->openQueue(p.device, &s.queue, error))
      return status;
    // In pieces, so that the memory they go through stays small.
    tn_status_t status = TN_OK;
    const uint64_t piece = 16 << 20;
    for (uint64_t at = 0; at < program.constantsBytes && status == TN_OK; at += piece) {
      uint64_t rest = program.constantsBytes - at;
      status = upload(s, p.constants, at, program.constants + at, rest < piece ? rest : piece, error);
    }
    p.kind->release(p.device, &s.staging);
    p.kind->closeQueue(p.device, s.queue);
    if (status)
      return status;
  }
  if (variant.device_segment() < 0)
    return TN_OK;
  const file::Segment &segment = *program.header->segments()->Get(static_cast<uint32_t>(variant.device_segment()));
  for (uint32_t i = 0; i < sizeOf(variant.device_kernels()); ++i) {
    const file::DeviceKernel &kernel = *variant.device_kernels()->Get(i);
    if (kernel.offset() > segment.bytes() || kernel.bytes() > segment.bytes() - kernel.offset() || kernel.offset() % 4)
      return TN_FAIL(error, TN_BAD_FILE, "%s: device kernel '%s' lies outside its segment", program.label,
                     kernel.name()->c_str());
    if (tn_status_t status = p.kind->load(p.device, program.file + segment.offset() + kernel.offset(), kernel.bytes(),
                                          kernel.name()->c_str(), &p.kernels[i], error))
      return status;
    ++p.kernelCount;
  }
  return TN_OK;
}

tn_status_t deviceOpen(tn_program &program, tn_error_t *error) {
  const file::Variant &variant = *program.header->variants()->Get(program.variant);
  if (!variant.device())
    return TN_OK;
  size_t count = sizeOf(variant.device_kernels());
  auto *p = static_cast<DeviceProgram *>(calloc(1, sizeof(DeviceProgram) + count * sizeof(void *)));
  if (!p)
    return TN_FAIL(error, TN_NO_MEMORY, "%s: no memory for the tables of a device", program.label);
  p->kind = findKind(variant);
  p->kernels = reinterpret_cast<void **>(p + 1);
  program.device = p;
  return fillProgram(program, *p, error);
}

void deviceClose(tn_program &program) {
  if (!program.device)
    return;
  DeviceProgram &p = programOf(program);
  if (p.device) {
    for (uint32_t i = 0; i < p.kernelCount; ++i)
      p.kind->unload(p.device, p.kernels[i]);
    p.kind->release(p.device, &p.constants);
    p.kind->close(p.device);
  }
  free(&p);
  program.device = nullptr;
}

//===----------------------------------------------------------------------===//
// Sessions
//===----------------------------------------------------------------------===//

tn_status_t deviceOpenSession(tn_session &session, tn_error_t *error) {
  const DeviceProgram &p = programOf(*session.program);
  auto *s = static_cast<DeviceSession *>(calloc(1, sizeof(DeviceSession)));
  if (!s)
    return TN_FAIL(error, TN_NO_MEMORY, "%s: no memory for a device's session", session.program->label);
  session.device = s;
  s->kind = p.kind;
  s->device = p.device;
  if (tn_status_t status = s->kind->openQueue(s->device, &s->queue, error))
    return status;
  if (tn_status_t status = grow(*s, s->ring, kRingBytes, true, error))
    return status;
  if (tn_status_t status = grow(*s, s->states, session.program->stateBytes, false, error))
    return status;
  session.stateMemory = reinterpret_cast<uint8_t *>(s->states.address);
  return TN_OK;
}

void deviceCloseSession(tn_session &session) {
  if (!session.device)
    return;
  DeviceSession &s = sessionOf(session);
  for (DeviceMemory *memory : {&s.arena, &s.states, &s.ports, &s.ring, &s.staging})
    s.kind->release(s.device, memory);
  if (s.queue)
    s.kind->closeQueue(s.device, s.queue);
  free(&s);
  session.device = nullptr;
  session.stateMemory = nullptr;
}

tn_status_t deviceReserve(tn_session &session, uint64_t arenaBytes, tn_error_t *error) {
  DeviceSession &s = sessionOf(session);
  tn_status_t status = grow(s, s.arena, arenaBytes, false, error);
  session.arena.bytes = s.arena.bytes; // what the session says it holds; it has no memory of the CPU's
  return status;
}

static uint64_t stateOffset(tn_session &session, uint32_t state) {
  return reinterpret_cast<uint64_t>(session.states[state]) - sessionOf(session).states.address;
}

tn_status_t deviceReadState(tn_session &session, uint32_t state, void *to, uint64_t bytes) {
  DeviceSession &s = sessionOf(session);
  return download(s, s.states, stateOffset(session, state), to, bytes, nullptr);
}

tn_status_t deviceWriteState(tn_session &session, uint32_t state, const void *from, uint64_t bytes) {
  DeviceSession &s = sessionOf(session);
  return upload(s, s.states, stateOffset(session, state), from, bytes, nullptr);
}

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

/// Waits for all that was told; the ring is free then.
static tn_status_t drain(DeviceSession &s) {
  tn_status_t status = s.kind->finish(s.queue, &s.error);
  s.ringUsed = TN_BUFFER_ALIGN;
  return status;
}

/// Copies bytes to where the device finds them until the queue is done: at offset `at` of the ring.
static tn_status_t keepInRing(DeviceSession &s, const void *from, uint64_t bytes, uint64_t &at) {
  if (s.ringUsed + bytes > s.ring.bytes)
    if (tn_status_t status = drain(s))
      return status;
  at = s.ringUsed;
  memcpy(s.ring.host + at, from, bytes);
  s.ringUsed += bytes;
  return TN_OK;
}

static int32_t tableLaunch(tn_frame *frame, uint32_t kernel, const uint64_t *args, uint32_t slots, int64_t tiles) {
  auto &session = *static_cast<tn_session *>(frame->session);
  DeviceSession &s = sessionOf(session);
  const DeviceProgram &p = programOf(*session.program);
  uint64_t bytes = slots * sizeof(uint64_t);
  if (tiles <= 0)
    return 0;
  if (kernel >= p.kernelCount || bytes > kRingBytes / 2)
    return stopLost(s);
  uint64_t at = 0;
  if (tn_status_t status = keepInRing(s, args, bytes, at))
    return stop(s, status);
  return stop(s, s.kind->launch(s.queue, p.kernels[kernel], s.ring.address + at, tiles, s.ring.address, &s.error));
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

tn_status_t deviceBeginCall(tn_session &session, const EntryPoint &entry, tn_frame &frame, const tn_tensor_t *inputs,
                            const tn_tensor_t *outputs, tn_error_t *error) {
  DeviceSession &s = sessionOf(session);
  s.status = TN_OK;
  s.error = {};
  s.error.struct_bytes = sizeof(s.error);
  uint64_t total = 0;
  for (uint32_t i = 0; i < entry.inputCount; ++i)
    if (!isAbsent(entry.inputs[i], inputs[i]))
      total += padded(portBytes(entry.inputs[i], inputs[i]));
  for (uint32_t i = 0; i < entry.outputCount; ++i)
    total += padded(portBytes(entry.outputs[i], outputs[i]));
  // A little more than nothing, so that empty tensors have an address.
  if (tn_status_t status = grow(s, s.ports, total + TN_BUFFER_ALIGN, false, error))
    return status;
  uint64_t at = 0;
  for (uint32_t i = 0; i < entry.inputCount; ++i) {
    if (isAbsent(entry.inputs[i], inputs[i])) {
      session.inputs[i] = nullptr;
      continue;
    }
    uint64_t bytes = portBytes(entry.inputs[i], inputs[i]);
    if (tn_status_t status = upload(s, s.ports, at, inputs[i].data, bytes, error))
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
  return TN_OK;
}

tn_status_t deviceEndCall(tn_session &session, const EntryPoint &entry, const tn_tensor_t *outputs, int32_t &result,
                          tn_error_t *error) {
  DeviceSession &s = sessionOf(session);
  tn_status_t finished = s.kind->finish(s.queue, &s.error);
  if (!s.status)
    s.status = finished;
  if (s.status)
    return TN_FAIL(error, s.status, "%s: entry '%s': %s", session.program->label, entry.name, s.error.message);
  Report report;
  memcpy(&report, s.ring.host, sizeof(report));
  if (result == 0 && report.site != UINT32_MAX) {
    recordFailure(session, report.site, report.a, report.b, false);
    result = static_cast<int32_t>(report.site + 1);
  }
  for (uint32_t i = 0; i < entry.outputCount && result == 0; ++i) {
    uint64_t offset = reinterpret_cast<uint64_t>(session.outputs[i]) - s.ports.address;
    if (tn_status_t status = download(s, s.ports, offset, outputs[i].data, portBytes(entry.outputs[i], outputs[i]), error))
      return status;
  }
  return TN_OK;
}

} // namespace tenon::rt
