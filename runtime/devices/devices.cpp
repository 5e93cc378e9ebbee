// Devices, programs and sessions on them: memory, code; the same for every kind. What calls do is in calls.cpp.
#include "session.h"
#include "../src/expr.h"
#include "tenon_generated.h"

#include <cstddef>
#include <cstdlib>

namespace tenon::rt {

static const DeviceKind *const kinds[] = {&cudaDevice, &rocmDevice, &vulkanDevice};

static const DeviceKind *findKind(const file::Variant &variant) {
  for (const DeviceKind *kind : kinds)
    if (strcmp(kind->name, variant.device()->c_str()) == 0)
      return kind;
  return nullptr;
}

/// What the variant's segment has.
static tn_status_t readCode(const tn_program &program, const file::Variant &variant, VariantCode &code, tn_error_t *error) {
  code = {};
  code.arch = variant.device_arch() ? variant.device_arch()->c_str() : nullptr;
  if (variant.device_segment() < 0)
    return TN_OK;
  const file::Segment &segment = *program.header->segments()->Get(static_cast<uint32_t>(variant.device_segment()));
  const uint8_t *start = program.file + segment.offset();
  // The table says how long it is; code follows, of which the verifier must not know.
  uint64_t tableBytes = segment.bytes() < sizeof(flatbuffers::uoffset_t) ? 0 : flatbuffers::GetPrefixedSize(start) + sizeof(flatbuffers::uoffset_t);
  flatbuffers::Verifier verifier(start, tableBytes < segment.bytes() ? tableBytes : segment.bytes());
  if (!file::VerifySizePrefixedDeviceProgramBuffer(verifier))
    return TN_FAIL(error, TN_BAD_FILE, "%s: the table of device kernels of variant '%s' is not a valid FlatBuffer",
                   program.label, variant.name()->c_str());
  code.table = file::GetSizePrefixedDeviceProgram(start);
  uint64_t bytes = (tableBytes + TN_BUFFER_ALIGN - 1) & ~uint64_t(TN_BUFFER_ALIGN - 1);
  code.bytes = bytes < segment.bytes() ? segment.bytes() - bytes : 0;
  code.code = start + bytes;
  return TN_OK;
}

bool deviceIsHere(const tn_program &program, const file::Variant &variant, TextBuffer *why) {
  if (!variant.device())
    return true;
  const DeviceKind *kind = findKind(variant);
  if (!kind && why)
    why->add("this runtime knows no device '%s'", variant.device()->c_str());
  VariantCode code;
  if (!kind || readCode(program, variant, code, nullptr) != TN_OK)
    return kind; // what is damaged is refused when it is opened
  return kind->isHere(code, program.deviceIndex, why);
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

/// Says what memory was wanted for.
static tn_status_t addPurpose(tn_status_t status, const char *purpose, tn_error_t *error) {
  if (status && error && error->struct_bytes > offsetof(tn_error_t, message)) {
    char said[sizeof(error->message)];
    TextBuffer(said, sizeof(said)).add("%s", error->message);
    return TN_FAIL(error, status, "%s; it is for %s", said, purpose);
  }
  return status;
}

static const char *purposeOf(const DeviceSession &s, const DeviceMemory &memory) {
  return &memory == &s.arena    ? "intermediate results"
         : &memory == &s.states ? "states"
         : &memory == &s.ports  ? "inputs and results"
                                : "transfers";
}

tn_status_t grow(DeviceSession &s, DeviceMemory &memory, uint64_t bytes, bool onHost, tn_error_t *error) {
  if (bytes <= memory.bytes)
    return TN_OK;
  s.kind->release(s.device, &memory);
  memory = {};
  return addPurpose(s.kind->allocate(s.device, bytes, onHost, &memory, error), purposeOf(s, memory), error);
}

tn_status_t upload(DeviceSession &s, const DeviceMemory &to, uint64_t offset, const void *from, uint64_t bytes,
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
  if (tn_status_t status = s.kind->copy(s.queue, kCompute, &to, offset, &s.staging, 0, bytes, error))
    return status;
  return s.kind->finish(s.queue, error);
}

tn_status_t download(DeviceSession &s, const DeviceMemory &from, uint64_t offset, void *to, uint64_t bytes,
                     tn_error_t *error) {
  if (bytes == 0)
    return TN_OK;
  if (!from.host) {
    if (tn_status_t status = grow(s, s.staging, bytes, true, error))
      return status;
    if (tn_status_t status = s.kind->copy(s.queue, kCompute, &s.staging, 0, &from, offset, bytes, error))
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

/// Constants that the CPU does not reach go through two halves of the staging memory in turns: while one is on the bus, the
/// other is filled.
static tn_status_t uploadInTurns(DeviceSession &s, const DeviceMemory &to, const uint8_t *from, uint64_t bytes, uint64_t piece,
                                 tn_error_t *error) {
  if (tn_status_t status = grow(s, s.staging, 2 * piece, true, error))
    return status;
  uint32_t turn = 0;
  for (uint64_t at = 0; at < bytes; at += piece, ++turn) {
    uint64_t count = bytes - at < piece ? bytes - at : piece, half = turn % 2 * piece;
    tn_status_t status = turn < 2 ? TN_OK : s.kind->await(s.queue, turn % 2, error);
    if (status)
      return status;
    memcpy(s.staging.host + half, from + at, count);
    status = s.kind->copy(s.queue, kUp, &to, at, &s.staging, half, count, error);
    if (!status)
      status = s.kind->mark(s.queue, kUp, turn % 2, error);
    if (status)
      return status;
  }
  return s.kind->finish(s.queue, error);
}

static tn_status_t uploadConstants(const tn_program &program, DeviceProgram &p, tn_error_t *error) {
  if (!program.constantsBytes)
    return TN_OK;
  if (tn_status_t status = p.kind->allocate(p.device, program.constantsBytes, false, &p.constants, error))
    return addPurpose(status, "constants", error);
  DeviceSession s = {};
  s.kind = p.kind;
  s.device = p.device;
  if (tn_status_t status = p.kind->openQueue(p.device, &s.queue, error))
    return status;
  // In pieces, so that the memory they go through stays small.
  tn_status_t status = TN_OK;
  const uint64_t piece = 8 << 20;
  bool inTurns = p.kind->mark && !p.constants.host && program.constantsBytes > piece;
  if (inTurns)
    status = uploadInTurns(s, p.constants, program.constants, program.constantsBytes, piece, error);
  for (uint64_t at = 0; at < program.constantsBytes && status == TN_OK && !inTurns; at += piece) {
    uint64_t rest = program.constantsBytes - at;
    status = upload(s, p.constants, at, program.constants + at, rest < piece ? rest : piece, error);
  }
  if (status)
    (void)p.kind->finish(s.queue, nullptr);
  p.kind->release(p.device, &s.staging);
  p.kind->closeQueue(p.device, s.queue);
  return status;
}

/// Whether launches can describe the tensors that a kernel copies tiles from.
static bool areMapsGood(const file::DeviceKernel &kernel) {
  uint64_t bytes = TN_TENSOR_MAP_ALIGN + TN_DEVICE_MAPS_AT(static_cast<uint64_t>(kernel.slots())) +
                   uint64_t(TN_TENSOR_MAP_BYTES) * sizeOf(kernel.maps());
  if (bytes > TN_DEVICE_SLOTS * sizeof(uint64_t))
    return false;
  for (const file::TensorMap *map : *kernel.maps()) {
    uint32_t rank = map->sizes()->size();
    if (map->slot() >= kernel.slots() || rank < 1 || rank > kMostMapDims || map->strides()->size() != rank || map->tile()->size() != rank)
      return false;
    for (const auto *dims : {map->sizes(), map->strides()})
      for (const file::Dim *dim : *dims) {
        Expr expr;
        if (validateExpr(dim->code()->data(), dim->code()->size(), kernel.slots(), expr))
          return false;
      }
  }
  return true;
}

/// The first of a module's forms that the driver takes.
static tn_status_t loadModule(const tn_program &program, const DeviceProgram &p, const uint8_t *segment, uint64_t bytes,
                              const file::DeviceModule &module, void *&loaded, tn_error_t *error) {
  tn_status_t status = TN_FAIL(error, TN_BAD_FILE, "%s: a module of device kernels has no code", program.label);
  for (const file::DeviceCode *code : *module.codes()) {
    if (code->offset() > bytes || code->bytes() > bytes - code->offset() || code->offset() % 64 || !code->bytes())
      return TN_FAIL(error, TN_BAD_FILE, "%s: code of device kernels lies outside its segment", program.label);
    const uint8_t *start = segment + code->offset();
    if (code->format() == file::DeviceFormat::PTX && start[code->bytes() - 1] != 0)
      return TN_FAIL(error, TN_BAD_FILE, "%s: text of device kernels has no end", program.label);
    status = p.kind->load(p.device, code->format(), start, code->bytes(), &loaded, error);
    if (status != TN_BAD_CPU)
      return status;
  }
  return status;
}

tn_status_t deviceOpen(tn_program &program, const char *cache, tn_error_t *error) {
  const file::Variant &variant = *program.header->variants()->Get(program.variant);
  if (!variant.device())
    return TN_OK;
  VariantCode code;
  if (tn_status_t status = readCode(program, variant, code, error))
    return status;
  code.cache = cache;
  const file::DeviceProgram *table = code.table;
  size_t modules = table ? table->modules()->size() : 0, kernels = table ? table->kernels()->size() : 0;
  auto *p = static_cast<DeviceProgram *>(
      calloc(1, sizeof(DeviceProgram) + modules * sizeof(void *) + kernels * sizeof(Kernel)));
  if (!p)
    return TN_FAIL(error, TN_NO_MEMORY, "%s: no memory for the tables of a device", program.label);
  p->kind = findKind(variant);
  p->modules = reinterpret_cast<void **>(p + 1);
  p->kernels = reinterpret_cast<Kernel *>(p->modules + modules);
  program.device = p;
  if (tn_status_t status = p->kind->open(code, program.deviceIndex, &p->device, error))
    return status;
  if (tn_status_t status = uploadConstants(program, *p, error))
    return status;
  for (uint32_t i = 0; i < modules; ++i, ++p->moduleCount)
    if (tn_status_t status = loadModule(program, *p, code.code, code.bytes, *table->modules()->Get(i), p->modules[i], error))
      return status;
  for (uint32_t i = 0; i < kernels; ++i, ++p->kernelCount) {
    const file::DeviceKernel &kernel = *table->kernels()->Get(i);
    if (kernel.module_() >= modules)
      return TN_FAIL(error, TN_BAD_FILE, "%s: device kernel '%s' is in a module that is not there", program.label,
                     kernel.name()->c_str());
    if (kernel.maps() && !areMapsGood(kernel))
      return TN_FAIL(error, TN_BAD_FILE, "%s: device kernel '%s' describes its tensors wrongly", program.label, kernel.name()->c_str());
    p->kernels[i].slots = kernel.slots();
    if (tn_status_t status = p->kind->find(p->device, p->modules[kernel.module_()], kernel, &p->kernels[i].handle, error))
      return status;
  }
  return TN_OK;
}

void deviceClose(tn_program &program) {
  if (!program.device)
    return;
  DeviceProgram &p = programOf(program);
  if (p.device) {
    for (uint32_t i = 0; i < p.kernelCount; ++i)
      p.kind->forget(p.device, p.kernels[i].handle);
    for (uint32_t i = 0; i < p.moduleCount; ++i)
      p.kind->unload(p.device, p.modules[i]);
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
  s->entryCount = session.program->entryCount;
  uint32_t most = 0;
  for (uint32_t i = 0; i < s->entryCount; ++i) {
    const EntryPoint &entry = session.program->entries[i];
    most = entry.inputCount + entry.outputCount > most ? entry.inputCount + entry.outputCount : most;
  }
  s->lots = static_cast<Lot *>(calloc(most + 1, sizeof(Lot) + sizeof(uint32_t))); // one more: none is no error
  if (!s->lots)
    return TN_FAIL(error, TN_NO_MEMORY, "%s: no memory for a device's session", session.program->label);
  s->departed = reinterpret_cast<uint32_t *>(s->lots + most + 1);
  if (!s->kind->record)
    return TN_OK;
  s->recordings = static_cast<Recording *>(calloc(s->entryCount, sizeof(Recording)));
  return s->recordings ? TN_OK : TN_FAIL(error, TN_NO_MEMORY, "%s: no memory for a device's session", session.program->label);
}

void deviceCloseSession(tn_session &session) {
  if (!session.device)
    return;
  DeviceSession &s = sessionOf(session);
  dropRecordings(s);
  for (DeviceMemory *memory : {&s.arena, &s.states, &s.ports, &s.ring, &s.staging})
    s.kind->release(s.device, memory);
  if (s.queue)
    s.kind->closeQueue(s.device, s.queue);
  free(s.lots);
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

} // namespace tenon::rt
