// Making and closing sessions, their memory and their states.
#include "device.h"

#include "hash.h"
#include "shapes.h"

#include <new>
#include <type_traits>

namespace tenon::rt {

// In call.cpp.
tn_status_t imageNeeds(const tn_program &program, uint32_t index, const int64_t *symbols, uint64_t &arena,
                       uint64_t &scratchStride, tn_error_t *error);
tn_status_t reserveMemory(tn_session &session, uint64_t arena, uint64_t scratchStride, bool mayGrow,
                          tn_error_t *error);

static constexpr char saveMagic[8] = {'T', 'N', 'S', 'T', 'A', 'T', 'E', 1};

namespace {
/// The head of a saved block.
struct SaveHead {
  char magic[8];
  uint64_t signature;    // of the program's states
  uint64_t payloadBytes;
  uint64_t payloadHash;  // XXH3-64
  uint64_t reserved[4];
};
static_assert(sizeof(SaveHead) == TN_BUFFER_ALIGN);
} // namespace

static const file::State &stateAt(const tn_program &program, uint32_t index) {
  return *program.header->states()->Get(index);
}

static uint64_t paddedStateBytes(const file::State &state) {
  return (state.bytes() + TN_BUFFER_ALIGN - 1) & ~uint64_t(TN_BUFFER_ALIGN - 1); // fits: measured at open
}

static uint32_t resolveThreads(const tn_session_options_t &options, const tn_pool_t &pool) {
  uint32_t limit = pool.run ? pool.threads : hardwareThreads();
  limit = limit < 1 ? 1 : limit;
  uint32_t threads = options.threads ? options.threads : limit;
  if (!(options.flags & TN_SESSION_EXACT_THREADS) && threads > limit)
    threads = limit;
  return threads < maxThreads ? threads : maxThreads;
}

// `from` null writes zeros.
static tn_status_t writeState(tn_session &session, uint32_t index, const void *from) {
  uint64_t bytes = stateAt(*session.program, index).bytes();
  if (bytes == 0)
    return TN_OK;
  if (isOnDevice(*session.program))
    return deviceWriteState(session, index, from, bytes);
  if (from)
    memcpy(session.states[index], from, bytes);
  else
    memset(session.states[index], 0, bytes);
  return TN_OK;
}

static tn_status_t readState(tn_session &session, uint32_t index, void *to) {
  uint64_t bytes = stateAt(*session.program, index).bytes();
  if (bytes == 0)
    return TN_OK;
  if (isOnDevice(*session.program))
    return deviceReadState(session, index, to, bytes);
  memcpy(to, session.states[index], bytes);
  return TN_OK;
}

static tn_status_t setInitialState(tn_session &session, uint32_t index) {
  const tn_program &program = *session.program;
  const file::State &state = stateAt(program, index);
  if (state.initial_segment() < 0)
    return writeState(session, index, nullptr);
  const file::Segment &segment = *program.header->segments()->Get(static_cast<uint32_t>(state.initial_segment()));
  return writeState(session, index, program.file + segment.offset() + state.initial_offset());
}

static tn_status_t setInitialStates(tn_session &session) {
  for (uint32_t i = 0; i < sizeOf(session.program->header->states()); ++i)
    if (tn_status_t status = setInitialState(session, i))
      return status;
  session.stateLost = false;
  return TN_OK;
}

// The session and its tables are one block; the same code counts and hands out.
static uint64_t layOut(const tn_program &program, tn_session *session) {
  uint32_t inputs = 0, outputs = 0, symbols = 0, states = sizeOf(program.header->states());
  for (uint32_t i = 0; i < program.entryCount; ++i) {
    const EntryPoint &entry = program.entries[i];
    inputs = entry.inputCount > inputs ? entry.inputCount : inputs;
    outputs = entry.outputCount > outputs ? entry.outputCount : outputs;
    symbols = entry.symbolCount > symbols ? entry.symbolCount : symbols;
  }
  uint64_t at = sizeof(tn_session);
  auto take = [&](auto *&pointer, uint64_t count) {
    if (session)
      pointer = reinterpret_cast<std::remove_reference_t<decltype(pointer)>>(reinterpret_cast<uint8_t *>(session) + at);
    at += count * sizeof(*pointer);
  };
  tn_session none;
  tn_session &target = session ? *session : none;
  take(target.symbols, symbols);
  take(target.lastSymbols, symbols);
  take(target.found, symbols);
  take(target.states, states);
  take(target.inputs, inputs);
  take(target.outputs, outputs);
  take(target.intervals, outputs + 1); // gatherData writes one past the last non-empty output
  return at;
}

static tn_status_t reserveFor(tn_session &session, uint32_t entry, const int64_t *symbols, tn_error_t *error) {
  uint64_t arena = 0, scratch = 0;
  if (tn_status_t status = imageNeeds(*session.program, entry, symbols, arena, scratch, error))
    return status;
  return reserveMemory(session, arena, scratch, true, error);
}

static tn_status_t reserveAll(tn_session &session, const tn_session_options_t &options, tn_error_t *error) {
  const tn_program &program = *session.program;
  for (uint32_t i = 0; i < options.reserve_count; ++i) {
    const tn_reserve_t &reserve = options.reserves[i];
    if (tn_status_t status = checkEntryIndex(&program, reserve.entry, error))
      return status;
    if (tn_status_t status = checkSymbolValues(program, program.entries[reserve.entry], reserve.symbols,
                                               reserve.symbol_count, error))
      return status;
    if (tn_status_t status = reserveFor(session, reserve.entry, reserve.symbols, error))
      return status;
  }
  // Entries without symbols need no hint.
  for (uint32_t i = 0; i < program.entryCount; ++i)
    if ((options.flags & TN_SESSION_FIXED_MEMORY) && program.entries[i].symbolCount == 0)
      if (tn_status_t status = reserveFor(session, i, session.symbols, error))
        return status;
  return TN_OK;
}

static void destroy(tn_session *session) {
  tn_allocator_t allocator = session->allocator;
  deviceCloseSession(*session);
  release(allocator, session->arena.memory, session->arena.bytes, TN_BUFFER_ALIGN);
  release(allocator, session->scratch.memory, session->scratch.bytes, TN_BUFFER_ALIGN);
  release(allocator, session->stateMemory, session->program->stateBytes, TN_BUFFER_ALIGN);
  release(allocator, session, session->selfBytes, TN_BUFFER_ALIGN);
}

static tn_status_t fillSession(tn_session &session, const tn_session_options_t &options, tn_error_t *error) {
  const tn_program &program = *session.program;
  if (isOnDevice(program)) {
    if (tn_status_t status = deviceOpenSession(session, error))
      return status;
  } else if (program.stateBytes) {
    session.stateMemory = static_cast<uint8_t *>(allocate(session.allocator, program.stateBytes, TN_BUFFER_ALIGN));
    if (!session.stateMemory)
      return TN_FAIL(error, TN_NO_MEMORY, "%s: allocator has no %llu bytes for the states", program.label,
                     static_cast<unsigned long long>(program.stateBytes));
  }
  uint64_t at = 0;
  for (uint32_t i = 0; i < sizeOf(program.header->states()); ++i) {
    session.states[i] = session.stateMemory + at;
    at += paddedStateBytes(stateAt(program, i));
  }
  if (tn_status_t status = setInitialStates(session))
    return TN_FAIL(error, status, "%s: states cannot be written", program.label);
  if (tn_status_t status = reserveAll(session, options, error))
    return status;
  if (!session.pool.run)
    poolStart(session.threads);
  return TN_OK;
}

static tn_status_t checkState(const tn_session *session, uint32_t state, const void *bytes, size_t byteCount,
                              tn_error_t *error) {
  if (!session || (!bytes && byteCount))
    return TN_FAIL(error, TN_BAD_ARGUMENT, "session or bytes are null but were needed");
  const tn_program &program = *session->program;
  if (state >= sizeOf(program.header->states()))
    return TN_FAIL(error, TN_BAD_ARGUMENT, "%s: state %u is asked for but the program has %u", program.label, state,
                   sizeOf(program.header->states()));
  if (byteCount != stateAt(program, state).bytes())
    return TN_FAIL(error, TN_BAD_SHAPE, "%s: state '%s' has %llu bytes but %zu were given", program.label,
                   stateAt(program, state).name()->c_str(),
                   static_cast<unsigned long long>(stateAt(program, state).bytes()), byteCount);
  return TN_OK;
}

} // namespace tenon::rt

using namespace tenon::rt;

tn_status_t tn_session_create(const tn_program_t *program, const tn_session_options_t *given, tn_session_t **result,
                              tn_error_t *error) {
  if (!program || !result)
    return TN_FAIL(error, TN_BAD_ARGUMENT, "tn_session_create got a null pointer but needs program and session");
  *result = nullptr;
  if (!program->image.image)
    return TN_FAIL(error, TN_BAD_ARGUMENT, "%s: program was opened with TN_OPEN_METADATA but must be able to run",
                   program->label);
  tn_session_options_t options = readStruct(given);
  tn_allocator_t allocator = options.allocator ? readStruct(options.allocator) : program->allocator;
  if (!allocator.alloc || !allocator.free || (options.reserve_count && !options.reserves))
    return TN_FAIL(error, TN_BAD_ARGUMENT, "allocator without alloc or free, or reserves NULL with a count");
  uint64_t bytes = layOut(*program, nullptr);
  void *memory = allocate(allocator, bytes, TN_BUFFER_ALIGN);
  if (!memory)
    return TN_FAIL(error, TN_NO_MEMORY, "%s: allocator has no %llu bytes for a session", program->label,
                   static_cast<unsigned long long>(bytes));
  memset(memory, 0, bytes);
  auto *session = new (memory) tn_session();
  session->program = program;
  session->allocator = allocator;
  session->selfBytes = bytes;
  session->pool = readStruct(options.pool);
  session->threads = resolveThreads(options, session->pool);
  session->flags = options.flags;
  session->memoryLimit = options.memory_limit;
  session->lastEntry = TN_NO_INDEX;
  layOut(*program, session);
  if (tn_status_t status = fillSession(*session, options, error)) {
    destroy(session);
    return status;
  }
  *result = session;
  return TN_OK;
}

void tn_session_close(tn_session_t *session) {
  if (session)
    destroy(session);
}

tn_status_t tn_session_reset(tn_session_t *session, tn_error_t *error) {
  if (!session)
    return TN_FAIL(error, TN_BAD_ARGUMENT, "session is null but an open one was needed");
  SessionLock lock(*session);
  if (tn_status_t status = lock.check(error))
    return status;
  return setInitialStates(*session);
}

tn_status_t tn_session_state_read(tn_session_t *session, uint32_t state, void *bytes, size_t byteCount,
                                  tn_error_t *error) {
  if (tn_status_t status = checkState(session, state, bytes, byteCount, error))
    return status;
  SessionLock lock(*session);
  if (tn_status_t status = lock.check(error))
    return status;
  return readState(*session, state, bytes);
}

tn_status_t tn_session_state_write(tn_session_t *session, uint32_t state, const void *bytes, size_t byteCount,
                                   tn_error_t *error) {
  if (tn_status_t status = checkState(session, state, bytes, byteCount, error))
    return status;
  SessionLock lock(*session);
  if (tn_status_t status = lock.check(error))
    return status;
  return writeState(*session, state, bytes);
}

size_t tn_session_save_bytes(const tn_session_t *session) {
  if (!session)
    return 0;
  size_t bytes = sizeof(SaveHead);
  for (uint32_t i = 0; i < sizeOf(session->program->header->states()); ++i)
    if (stateAt(*session->program, i).persistent())
      bytes += paddedStateBytes(stateAt(*session->program, i));
  return bytes;
}

tn_status_t tn_session_save(tn_session_t *session, void *block, size_t blockBytes, tn_error_t *error) {
  if (!session || !block)
    return TN_FAIL(error, TN_BAD_ARGUMENT, "session or block are null but were needed");
  const tn_program &program = *session->program;
  size_t needed = tn_session_save_bytes(session);
  if (blockBytes != needed)
    return TN_FAIL(error, TN_BAD_ARGUMENT, "%s: saved states take %zu bytes but the block has %zu", program.label,
                   needed, blockBytes);
  SessionLock lock(*session);
  if (tn_status_t status = lock.check(error))
    return status;
  if (session->stateLost)
    return TN_FAIL(error, TN_STATE_LOST, "%s: states are half-updated but only whole ones can be saved", program.label);
  auto *at = static_cast<uint8_t *>(block) + sizeof(SaveHead);
  for (uint32_t i = 0; i < sizeOf(program.header->states()); ++i) {
    const tenon::file::State &state = stateAt(program, i);
    if (!state.persistent() || state.bytes() == 0)
      continue;
    if (tn_status_t status = readState(*session, i, at))
      return status;
    memset(at + state.bytes(), 0, paddedStateBytes(state) - state.bytes());
    at += paddedStateBytes(state);
  }
  SaveHead head = {};
  memcpy(head.magic, saveMagic, sizeof(saveMagic));
  head.signature = program.signatureHash;
  head.payloadBytes = needed - sizeof(SaveHead);
  head.payloadHash = hash64(static_cast<uint8_t *>(block) + sizeof(SaveHead), head.payloadBytes);
  memcpy(block, &head, sizeof(head));
  return TN_OK;
}

tn_status_t tn_session_restore(tn_session_t *session, const void *block, size_t blockBytes, tn_error_t *error) {
  if (!session || !block)
    return TN_FAIL(error, TN_BAD_ARGUMENT, "session or block are null but were needed");
  const tn_program &program = *session->program;
  SaveHead head;
  size_t needed = tn_session_save_bytes(session);
  if (blockBytes < sizeof(head))
    return TN_FAIL(error, TN_BAD_FILE, "%s: block of states has %zu bytes but needs %zu", program.label, blockBytes,
                   needed);
  memcpy(&head, block, sizeof(head));
  const auto *at = static_cast<const uint8_t *>(block) + sizeof(SaveHead);
  if (memcmp(head.magic, saveMagic, sizeof(saveMagic)) != 0 || head.signature != program.signatureHash ||
      blockBytes != needed || head.payloadBytes != needed - sizeof(SaveHead))
    return TN_FAIL(error, TN_BAD_FILE, "%s: block of states is of another program or of no program", program.label);
  if (hash64(at, head.payloadBytes) != head.payloadHash)
    return TN_FAIL(error, TN_BAD_FILE, "%s: block of states is damaged: its hash differs", program.label);
  SessionLock lock(*session);
  if (tn_status_t status = lock.check(error))
    return status;
  for (uint32_t i = 0; i < sizeOf(program.header->states()); ++i) {
    const tenon::file::State &state = stateAt(program, i);
    if (tn_status_t status = state.persistent() ? writeState(*session, i, at) : setInitialState(*session, i))
      return status;
    at += state.persistent() ? paddedStateBytes(state) : 0;
  }
  session->stateLost = false;
  return TN_OK;
}

uint32_t tn_session_threads(const tn_session_t *session) { return session ? session->threads : 0; }

void tn_session_memory(const tn_session_t *session, tn_memory_needs_t *held) {
  if (!session || !held)
    return;
  tn_memory_needs_t result = {};
  result.threads = session->threads;
  result.arena_bytes = session->arena.bytes;
  result.scratch_bytes = session->scratch.bytes;
  result.state_bytes = session->program->stateBytes;
  result.session_bytes = session->selfBytes;
  result.constants_bytes = session->program->constantsBytes;
  writeStruct(held, result);
}

tn_status_t tn_entry_needs(const tn_program_t *program, uint32_t entry, const int64_t *symbols, uint32_t symbolCount,
                           uint32_t threads, tn_memory_needs_t *needs, tn_error_t *error) {
  if (tn_status_t status = checkEntryIndex(program, entry, error))
    return status;
  if (!needs || !program->image.image)
    return TN_FAIL(error, TN_BAD_ARGUMENT, "%s: needs is null or the program was opened with TN_OPEN_METADATA",
                   program->label);
  if (tn_status_t status = checkSymbolValues(*program, program->entries[entry], symbols, symbolCount, error))
    return status;
  tn_memory_needs_t result = {};
  uint64_t scratchStride = 0;
  if (tn_status_t status = imageNeeds(*program, entry, symbols, result.arena_bytes, scratchStride, error))
    return status;
  tn_session_options_t options = {};
  options.threads = threads;
  result.threads = resolveThreads(options, tn_pool_t());
  result.scratch_bytes = scratchStride * result.threads;
  result.state_bytes = program->stateBytes;
  result.session_bytes = layOut(*program, nullptr);
  result.constants_bytes = program->constantsBytes;
  writeStruct(needs, result);
  return TN_OK;
}
