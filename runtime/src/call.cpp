// One call: checks, memory, running the image, and what the image calls back.
#include "../devices/cpu/fpmode.h"
#include "device.h"
#include "shapes.h"

#include <algorithm>

namespace tenon::rt {

static unsigned long long wide(uint64_t value) { return value; }

// ---- called by images -------------------------------------------------------------------------------------------

namespace {
/// Where this thread is inside a region; for fail() and to refuse nesting.
struct CurrentRange {
  int64_t tile;
  bool inside;
};

struct KernelRegion {
  tn_frame *frame;
  tn_kernel_fn fn;
  const uint64_t *args;
  tn_session *session;
};
} // namespace

static thread_local CurrentRange currentRange = {0, false};

TN_CALLS_IMAGE static int32_t runRange(void *context, int64_t begin, int64_t end, uint32_t worker) {
  const auto &region = *static_cast<const KernelRegion *>(context);
  currentRange = {begin, true};
  int32_t result = region.fn(region.frame, region.args, begin, end,
                             region.session->scratch.memory + worker * region.session->scratchStride);
  currentRange = {0, false};
  return result;
}

void recordFailure(tn_session &session, uint32_t site, int64_t a, int64_t b, bool internal) {
  Failure &failure = session.failure;
  while (failure.lock.exchange(1, std::memory_order_acquire))
    spinPause();
  int64_t tile = currentRange.inside ? currentRange.tile : 0;
  if (!failure.set || (failure.region == session.region && tile < failure.tile)) {
    failure.set = true;
    failure.internal = internal;
    failure.site = site;
    failure.region = session.region;
    failure.tile = tile;
    failure.a = a;
    failure.b = b;
  }
  failure.lock.store(0, std::memory_order_release);
}

static int32_t tableFail(tn_frame *frame, uint32_t site, int64_t a, int64_t b) {
  recordFailure(*static_cast<tn_session *>(frame->session), site, a, b, false);
  return static_cast<int32_t>(site + 1);
}

// The user's pool gives threads; the tiles are still claimed here, so it cannot run one twice or forget one.
namespace {
struct ForeignRegion {
  Region region;
  static void work(void *argument, uint32_t index) {
    FpModeScope mode;
    static_cast<ForeignRegion *>(argument)->region.work(index);
  }
};
} // namespace

int32_t tableParallel(tn_frame *frame, tn_kernel_fn fn, const uint64_t *args, int64_t tiles, int64_t scratchBytes) {
  auto &session = *static_cast<tn_session *>(frame->session);
  if (tiles <= 0)
    return 0;
  if (currentRange.inside || scratchBytes > static_cast<int64_t>(session.scratchStride)) {
    recordFailure(session, 0, scratchBytes, static_cast<int64_t>(session.scratchStride), true);
    return INT32_MAX;
  }
  ++session.region;
  KernelRegion region{frame, fn, args, &session};
  int32_t result = 0;
  if (session.threads > 1 && tiles > 1 && session.pool.run) {
    ForeignRegion foreign;
    uint32_t threads = tiles < session.threads ? static_cast<uint32_t>(tiles) : session.threads;
    foreign.region.start(runRange, &region, tiles, threads);
    session.pool.run(session.pool.user, threads, ForeignRegion::work, &foreign);
    foreign.region.work(0); // whatever a pool left undone
    result = foreign.region.failResult;
  } else if (session.threads > 1 && tiles > 1 && (session.slot || (session.slot = poolAcquireSlot()))) {
    result = poolRun(session.slot, session.threads, runRange, &region, tiles);
  } else {
    result = runRange(&region, 0, tiles, 0);
  }
  ++session.region;
  return result;
}

const tn_rt_table *runtimeTable() {
#if TN_WITH_DEVICES
  static const tn_rt_table table = {sizeof(tn_rt_table),     TN_ABI_MINOR,
                                    tableParallel,           tableFail,
                                    deviceFunctions.launch,  deviceFunctions.copy,
                                    deviceFunctions.store,   deviceFunctions.load,
                                    deviceFunctions.visit};
#else
  static const tn_rt_table table = {offsetof(tn_rt_table, launch), 0, tableParallel, tableFail};
#endif
  return &table;
}

// ---- checks of the caller's memory ------------------------------------------------------------------------------

namespace {
class Call {
public:
  Call(tn_session &session, uint32_t index, const tn_tensor_t *inputs, tn_tensor_t *outputs, tn_error_t *error)
      : session(session), program(*session.program), entry(program.entries[index]), index(index), inputs(inputs),
        outputs(outputs), error(error) {}

  tn_status_t run(uint32_t inputCount, uint32_t outputCount);

private:
  tn_status_t checkData(const char *side, const TensorEntry &tensor, const tn_tensor_t &given, Interval &where);
  tn_status_t gatherData();
  tn_status_t checkInputOverlap(uint32_t input, const Interval &where, uint32_t count);
  tn_status_t checkStateOverlap(const Interval &output);
  tn_status_t prepareMemory();
  tn_status_t execute();
  tn_status_t describeFailure(int32_t result, bool stateLost);
  tn_status_t storeFoundShapes();

  tn_session &session;
  const tn_program &program;
  const EntryPoint &entry;
  uint32_t index;
  const tn_tensor_t *inputs;
  tn_tensor_t *outputs;
  tn_error_t *error;
};
} // namespace

tn_status_t Call::checkData(const char *side, const TensorEntry &tensor, const tn_tensor_t &given, Interval &where) {
  uint64_t bytes = 0;
  (void)tensorBytes(tensor.dtype, given.dims, given.rank, bytes); // fits: the shape was checked
  auto address = reinterpret_cast<uintptr_t>(given.data);
  where.begin = address;
  where.end = address + bytes;
  if (bytes == 0)
    return TN_OK;
  if (!given.data || where.end < where.begin)
    return TN_FAIL(error, TN_BAD_ARGUMENT, "%s: entry '%s': %s '%s' has data %p but needs %llu bytes", program.label,
                   entry.name, side, tensor.name, given.data, wide(bytes));
  size_t element = tn_dtype_bytes(tensor.dtype), align = element > 8 ? 8 : element == 0 ? 1 : element;
  if (address % align != 0)
    return TN_FAIL(error, TN_BAD_ALIGNMENT, "%s: entry '%s': %s '%s' is at %p but must be %zu-byte aligned",
                   program.label, entry.name, side, tensor.name, given.data, align);
  return TN_OK;
}

// `session.intervals` holds `count` outputs, apart and sorted.
tn_status_t Call::checkInputOverlap(uint32_t input, const Interval &where, uint32_t count) {
  const Interval *end = session.intervals + count;
  const Interval *at = std::lower_bound(session.intervals, const_cast<Interval *>(end), where.begin,
                                        [](const Interval &interval, uintptr_t begin) { return interval.end <= begin; });
  if (at == end || at->begin >= where.end)
    return TN_OK;
  return TN_FAIL(error, TN_BAD_ALIAS, "%s: entry '%s': output '%s' overlaps input '%s' but must not", program.label,
                 entry.name, entry.outputs[at->index].name, entry.inputs[input].name);
}

tn_status_t Call::checkStateOverlap(const Interval &output) {
  if (isOnDevice(program))
    return TN_OK;
  auto begin = reinterpret_cast<uintptr_t>(session.stateMemory);
  if (output.end <= begin || output.begin >= begin + program.stateBytes)
    return TN_OK;
  return TN_FAIL(error, TN_BAD_ALIAS, "%s: entry '%s': output '%s' overlaps the session's states but must not",
                 program.label, entry.name, entry.outputs[output.index].name);
}

// Shell's: outputs are few, and std::sort is 2 % of the library.
static void sortByBegin(Interval *intervals, uint32_t count) {
  static const uint32_t gaps[] = {1750, 701, 301, 132, 57, 23, 10, 4, 1};
  for (uint32_t gap : gaps)
    for (uint32_t i = gap; i < count; ++i) {
      Interval moved = intervals[i];
      uint32_t at = i;
      for (; at >= gap && moved.begin < intervals[at - gap].begin; at -= gap)
        intervals[at] = intervals[at - gap];
      intervals[at] = moved;
    }
}

tn_status_t Call::gatherData() {
  uint32_t count = 0;
  for (uint32_t i = 0; i < entry.outputCount; ++i) {
    Interval &where = session.intervals[count];
    if (tn_status_t status = checkData("output", entry.outputs[i], outputs[i], where))
      return status;
    session.outputs[i] = outputs[i].data;
    where.index = i;
    count += where.end != where.begin;
  }
  sortByBegin(session.intervals, count);
  for (uint32_t i = 0; i < count; ++i) {
    if (i && session.intervals[i].begin < session.intervals[i - 1].end)
      return TN_FAIL(error, TN_BAD_ALIAS, "%s: entry '%s': output '%s' overlaps output '%s' but must not",
                     program.label, entry.name, entry.outputs[session.intervals[i].index].name,
                     entry.outputs[session.intervals[i - 1].index].name);
    if (tn_status_t status = checkStateOverlap(session.intervals[i]))
      return status;
  }
  for (uint32_t i = 0; i < entry.inputCount; ++i) {
    if (isAbsent(entry.inputs[i], inputs[i])) {
      session.inputs[i] = nullptr;
      continue;
    }
    Interval where;
    if (tn_status_t status = checkData("input", entry.inputs[i], inputs[i], where))
      return status;
    session.inputs[i] = inputs[i].data;
    if (where.end != where.begin)
      if (tn_status_t status = checkInputOverlap(i, where, count))
        return status;
  }
  return TN_OK;
}

// ---- memory -----------------------------------------------------------------------------------------------------

TN_CALLS_IMAGE tn_status_t imageNeeds(const tn_program &program, uint32_t index, const int64_t *symbols,
                                      uint64_t &arena, uint64_t &scratchStride, tn_error_t *error) {
  const tn_image_entry &image = program.image.image->entries[index];
  int64_t arenaBytes = image.arena_bytes(symbols), scratchBytes = image.scratch_bytes(symbols);
  if (arenaBytes < 0 || scratchBytes < 0 || scratchBytes > INT64_MAX / int64_t(2 * maxThreads) ||
      !alignUp(static_cast<uint64_t>(arenaBytes), TN_BUFFER_ALIGN, arena))
    return TN_FAIL(error, TN_TOO_LARGE, "%s: entry '%s': memory for these sizes does not fit 63 bits", program.label,
                   program.entries[index].name);
  (void)alignUp(static_cast<uint64_t>(scratchBytes), TN_BUFFER_ALIGN, scratchStride);
  return TN_OK;
}

// Contents are not kept: nothing in the arena outlives a call.
static tn_status_t grow(tn_session &session, Block &block, uint64_t bytes, const char *what, tn_error_t *error) {
  if (bytes <= block.bytes)
    return TN_OK;
  release(session.allocator, block.memory, block.bytes, TN_BUFFER_ALIGN);
  block = {nullptr, 0};
  block.memory = static_cast<uint8_t *>(allocate(session.allocator, bytes, TN_BUFFER_ALIGN));
  if (!block.memory)
    return TN_FAIL(error, TN_NO_MEMORY, "%s: allocator has no %llu bytes for the %s", session.program->label,
                   wide(bytes), what);
  block.bytes = bytes;
  return TN_OK;
}

tn_status_t reserveMemory(tn_session &session, uint64_t arena, uint64_t scratchStride, bool mayGrow,
                          tn_error_t *error) {
  uint64_t scratch = scratchStride * session.threads; // fits: see imageNeeds
  if (arena <= session.arena.bytes && scratch <= session.scratch.bytes)
    return TN_OK;
  uint64_t total = arena + scratch;
  if (total < arena || (session.memoryLimit && total > session.memoryLimit))
    return TN_FAIL(error, TN_NEEDS_MEMORY, "%s: call needs %llu bytes (arena %llu, scratch %llu) but the limit is %llu",
                   session.program->label, wide(total), wide(arena), wide(scratch), wide(session.memoryLimit));
  if (!mayGrow)
    return TN_FAIL(error, TN_NEEDS_MEMORY,
                   "%s: call needs an arena of %llu and scratch of %llu bytes but the session has %llu and %llu fixed",
                   session.program->label, wide(arena), wide(scratch), wide(session.arena.bytes),
                   wide(session.scratch.bytes));
  if (tn_status_t status = isOnDevice(*session.program) ? deviceReserve(session, arena, error)
                                                        : grow(session, session.arena, arena, "arena", error))
    return status;
  return grow(session, session.scratch, scratch, "scratch", error);
}

tn_status_t Call::prepareMemory() {
  size_t symbolBytes = entry.symbolCount * sizeof(int64_t);
  if (session.lastEntry == index && (symbolBytes == 0 || memcmp(session.symbols, session.lastSymbols, symbolBytes) == 0))
    return TN_OK;
  session.lastEntry = TN_NO_INDEX; // until all of this succeeded
  if (tn_status_t status =
          imageNeeds(program, index, session.symbols, session.arenaBytes, session.scratchStride, error))
    return status;
  if (tn_status_t status = reserveMemory(session, session.arenaBytes, session.scratchStride,
                                         !(session.flags & TN_SESSION_FIXED_MEMORY), error))
    return status;
  if (symbolBytes)
    memcpy(session.lastSymbols, session.symbols, symbolBytes);
  session.lastEntry = index;
  return TN_OK;
}

// ---- running ----------------------------------------------------------------------------------------------------

static void expandTemplate(const char *message, int64_t a, int64_t b, TextBuffer &text) {
  while (*message) {
    bool first = strncmp(message, "{0}", 3) == 0, second = strncmp(message, "{1}", 3) == 0;
    if (first || second) {
      text.add("%lld", static_cast<long long>(first ? a : b));
      message += 3;
      continue;
    }
    size_t plain = 1 + strcspn(message + 1, "{");
    text.add("%.*s", static_cast<int>(plain), message);
    message += plain;
  }
}

tn_status_t Call::describeFailure(int32_t result, bool stateLost) {
  const Failure &failure = session.failure;
  const char *lost = stateLost ? "; the states are lost until a reset or restore" : "";
  if (failure.set && failure.internal)
    return TN_FAIL(error, TN_INTERNAL,
                   "%s: entry '%s': image asked for a nested region or %lld bytes of scratch but declared %lld%s",
                   program.label, entry.name, static_cast<long long>(failure.a), static_cast<long long>(failure.b),
                   lost);
  const auto *sites = program.header->variants()->Get(program.variant)->error_sites();
  uint32_t site = failure.set ? failure.site : static_cast<uint32_t>(result) - 1;
  if (site >= sizeOf(sites))
    return TN_FAIL(error, TN_INTERNAL, "%s: entry '%s': image failed with site %u but has %u sites%s", program.label,
                   entry.name, site, sizeOf(sites), lost);
  const file::ErrorSite &where = *sites->Get(site);
  char buffer[700];
  TextBuffer text(buffer, sizeof(buffer));
  expandTemplate(where.message()->c_str(), failure.a, failure.b, text);
  if (where.place())
    text.add(" (%s)", where.place()->c_str());
  bool known = where.code() > TN_OK && where.code() <= TN_INTERNAL;
  return TN_FAIL(error, known ? static_cast<tn_status_t>(where.code()) : TN_DATA_ERROR, "%s: entry '%s': %s%s",
                 program.label, entry.name, buffer, lost);
}

tn_status_t Call::storeFoundShapes() {
  for (uint32_t i = 0; i < entry.symbolCount; ++i) {
    if (!entry.symbols[i].isFound())
      continue;
    if (session.found[i] < 0 || session.found[i] > session.symbols[i])
      return TN_FAIL(error, TN_INTERNAL, "%s: entry '%s': image found %lld for size '%s' but its bound is %lld",
                     program.label, entry.name, static_cast<long long>(session.found[i]), entry.symbols[i].name,
                     static_cast<long long>(session.symbols[i]));
  }
  for (uint32_t i = 0; i < entry.outputCount; ++i)
    for (uint32_t d = 0; d < entry.outputs[i].rank; ++d)
      if (tn_status_t status = evaluateDim(program, entry, "output", entry.outputs[i], d, session.found,
                                           outputs[i].dims[d], error))
        return status;
  return TN_OK;
}

TN_CALLS_IMAGE tn_status_t Call::execute() {
  tn_frame frame = {};
  frame.struct_bytes = sizeof(frame);
  frame.rt = runtimeTable();
  frame.session = &session;
  frame.arena = session.arena.memory;
  frame.constants = program.constants;
  frame.inputs = session.inputs;
  frame.outputs = session.outputs;
  frame.states = session.states;
  frame.symbols = session.symbols;
  frame.found_symbols = session.found;
  if (entry.findsSymbols)
    memcpy(session.found, session.symbols, entry.symbolCount * sizeof(int64_t));
  session.failure.set = false;
  session.region = 0;
  bool isDone = false;
  if (isOnDevice(program))
    if (tn_status_t status = deviceBeginCall(session, entry, frame, inputs, outputs, isDone, error))
      return status;
  int32_t result = 0;
  if (!isDone) {
    FpModeScope mode;
    result = program.image.image->entries[index].run(&frame);
  }
  if (session.slot) {
    poolReleaseSlot(session.slot);
    session.slot = nullptr;
  }
  if (isOnDevice(program))
    if (tn_status_t status = deviceEndCall(session, entry, frame, result, error)) {
      session.stateLost |= entry.writesStates && frame.state_phase != TN_STATES_INTACT;
      return status;
    }
  if (result == 0)
    return entry.findsSymbols ? storeFoundShapes() : TN_OK;
  session.stateLost |= entry.writesStates && frame.state_phase != TN_STATES_INTACT;
  return describeFailure(result, session.stateLost);
}

tn_status_t Call::run(uint32_t inputCount, uint32_t outputCount) {
  if (session.stateLost)
    return TN_FAIL(error, TN_STATE_LOST,
                   "%s: entry '%s': states were left half-updated by a failed call but must be whole; reset or restore "
                   "the session",
                   program.label, entry.name);
  if (tn_status_t status = bindInputs(program, entry, inputs, inputCount, session.symbols, error))
    return status;
  if (tn_status_t status = checkOutputs(program, entry, outputs, outputCount, session.symbols, error))
    return status;
  if (tn_status_t status = gatherData())
    return status;
  if (tn_status_t status = prepareMemory())
    return status;
  return execute();
}

} // namespace tenon::rt

using namespace tenon::rt;

tn_status_t tn_session_call(tn_session_t *session, uint32_t entry, const tn_tensor_t *inputs, uint32_t inputCount,
                            tn_tensor_t *outputs, uint32_t outputCount, tn_error_t *error) {
  if (!session)
    return TN_FAIL(error, TN_BAD_ARGUMENT, "session is null but an open one was needed");
  if (tn_status_t status = checkEntryIndex(session->program, entry, error))
    return status;
  SessionLock lock(*session);
  if (tn_status_t status = lock.check(error))
    return status;
  return Call(*session, entry, inputs, outputs, error).run(inputCount, outputCount);
}
