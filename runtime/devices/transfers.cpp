// What goes over the bus around and during a call: when inputs and results are copied, and what is recorded of it.
#include "../src/shapes.h"
#include "session.h"

#include <cstdlib>

namespace tenon::rt {

/// Neighbours go together up to `kLotBytes`. From `kLargeBytes` on a tensor goes in pieces, so that the CPU copies one
/// while another is on the bus.
static constexpr uint64_t kLotBytes = 256 << 10, kLargeBytes = 1 << 20, kMostPieces = 64;

// Numbers of marks: the inputs so far, the kernels so far, and from `kPieces` on those of large results' pieces.
static constexpr uint32_t kSent = 0, kTold = 1, kPieces = 2;

static uint64_t padded(uint64_t bytes) { return (bytes + TN_BUFFER_ALIGN - 1) & ~uint64_t(TN_BUFFER_ALIGN - 1); }

static uint64_t portBytes(const TensorEntry &tensor, const tn_tensor_t &given) {
  uint64_t bytes = 0;
  (void)tensorBytes(tensor.dtype, given.dims, given.rank, bytes); // fits: the shape was checked
  return bytes;
}

//===----------------------------------------------------------------------===//
// Lots
//===----------------------------------------------------------------------===//

static bool isInput(const DeviceSession &s, uint32_t lot) { return lot < s.inputLots; }
static bool isLarge(const DeviceSession &s, const Lot &lot) { return s.overlaps && lot.bytes >= kLargeBytes; }

static uint64_t pieceBytes(const Lot &lot) {
  uint64_t pieces = (lot.bytes + kLargeBytes - 1) / kLargeBytes;
  return kLargeBytes * ((pieces + kMostPieces - 1) / kMostPieces);
}

/// Calls `f(offset, bytes)` for each piece of a large lot until one fails.
template <typename F> static tn_status_t forPieces(const Lot &lot, F f) {
  uint64_t piece = pieceBytes(lot);
  tn_status_t status = TN_OK;
  for (uint64_t at = 0; at < lot.bytes && !status; at += piece)
    status = f(at, lot.bytes - at < piece ? lot.bytes - at : piece);
  return status;
}

/// Puts a tensor of `bytes` behind the last one.
static void place(DeviceSession &s, uint32_t index, bool isFirst, uint64_t at, uint64_t bytes) {
  Lot *last = isFirst || !s.lotCount ? nullptr : &s.lots[s.lotCount - 1];
  if (last && at + bytes - last->at <= kLotBytes) {
    last->bytes = at + bytes - last->at;
    last->count = index + 1 - last->first;
    return;
  }
  s.lots[s.lotCount] = {};
  Lot &lot = s.lots[s.lotCount++];
  lot.at = at;
  lot.bytes = bytes;
  lot.first = index;
  lot.count = 1;
}

tn_status_t planTransfers(tn_session &session, const EntryPoint &entry, const tn_tensor_t *inputs,
                          const tn_tensor_t *outputs, tn_error_t *error) {
  DeviceSession &s = sessionOf(session);
  s.entry = &entry;
  s.inputs = inputs;
  s.outputs = outputs;
  s.lotCount = s.departedCount = s.command = 0;
  s.markCount = kPieces;
  uint64_t at = 0;
  // Offsets first: the memory may move.
  for (uint32_t i = 0; i < entry.inputCount; ++i) {
    uint64_t bytes = isAbsent(entry.inputs[i], inputs[i]) ? 0 : portBytes(entry.inputs[i], inputs[i]);
    if (bytes)
      place(s, i, s.lotCount == 0, at, bytes);
    session.inputs[i] = reinterpret_cast<void *>(at);
    at += padded(bytes);
  }
  s.inputLots = s.lotCount;
  for (uint32_t i = 0; i < entry.outputCount; ++i) {
    uint64_t bytes = portBytes(entry.outputs[i], outputs[i]);
    if (bytes)
      place(s, i, s.lotCount == s.inputLots, at, bytes);
    session.outputs[i] = reinterpret_cast<void *>(at);
    at += padded(bytes);
  }
  at += TN_BUFFER_ALIGN; // a little more than nothing, so that empty tensors have an address
  if (tn_status_t status = grow(s, s.ports, at, false, error))
    return status;
  if (!s.ports.host)
    if (tn_status_t status = grow(s, s.staging, at, true, error))
      return status;
  for (uint32_t i = 0; i < entry.inputCount; ++i)
    session.inputs[i] = isAbsent(entry.inputs[i], inputs[i])
                            ? nullptr
                            : reinterpret_cast<void *>(s.ports.address + reinterpret_cast<uint64_t>(session.inputs[i]));
  for (uint32_t i = 0; i < entry.outputCount; ++i)
    session.outputs[i] = reinterpret_cast<void *>(s.ports.address + reinterpret_cast<uint64_t>(session.outputs[i]));
  s.overlaps = false;
  // A small lot each way would be waited for anyhow; in one lane it takes fewer calls of the driver.
  if (s.kind->mark && !s.ports.host)
    for (uint32_t i = 0; i < s.lotCount; ++i)
      s.overlaps |= (i > 0 && i != s.inputLots) || s.lots[i].bytes > kLotBytes;
  return TN_OK;
}

/// Copies a lot's tensors between the caller's memory and the half of the way that the CPU reaches.
static void copyTensors(tn_session &session, uint32_t index) {
  DeviceSession &s = sessionOf(session);
  const Lot &lot = s.lots[index];
  const EntryPoint &entry = *s.entry;
  uint8_t *half = s.ports.host ? s.ports.host : s.staging.host;
  bool isIn = isInput(s, index);
  for (uint32_t i = lot.first; i < lot.first + lot.count; ++i) {
    void *port = isIn ? session.inputs[i] : session.outputs[i];
    uint64_t bytes = !port  ? 0
                     : isIn ? portBytes(entry.inputs[i], s.inputs[i])
                            : portBytes(entry.outputs[i], s.outputs[i]);
    uint8_t *here = half + (reinterpret_cast<uint64_t>(port) - s.ports.address);
    if (bytes && isIn)
      memcpy(here, s.inputs[i].data, bytes);
    else if (bytes)
      memcpy(s.outputs[i].data, here, bytes);
  }
}

//===----------------------------------------------------------------------===//
// Recordings
//===----------------------------------------------------------------------===//

tn_status_t resumeRecording(DeviceSession &s) {
  if (!s.recorder || s.isOpen)
    return TN_OK;
  s.isOpen = true;
  return s.kind->record(s.queue, &s.error);
}

static void addStep(DeviceSession &s, Step::Kind kind, uint32_t lot, void *handle = nullptr) {
  Recording &r = *s.recorder;
  r.steps[r.stepCount++] = {kind, lot, handle};
}

/// Ends the graph at hand, and starts it: what is told next is not in it.
static tn_status_t cut(DeviceSession &s) {
  if (!s.recorder || !s.isOpen)
    return TN_OK;
  s.isOpen = false;
  void *handle = nullptr;
  if (tn_status_t status = s.kind->endRecord(s.queue, &handle, &s.error))
    return status;
  addStep(s, Step::Start, 0, handle);
  return s.kind->replay(s.queue, handle, &s.error);
}

void dropSteps(DeviceSession &s, Recording &r) {
  for (uint32_t i = 0; i < r.stepCount; ++i)
    if (r.steps[i].kind == Step::Start)
      s.kind->dropRecord(s.device, r.steps[i].handle);
  r.stepCount = 0;
  r.isWhole = false;
}

void dropRecordings(DeviceSession &s) {
  for (uint32_t i = 0; s.recordings && i < s.entryCount; ++i) {
    dropSteps(s, s.recordings[i]);
    free(s.recordings[i].key);
    free(s.recordings[i].steps);
  }
  free(s.recordings);
}

tn_status_t giveUpRecording(DeviceSession &s) {
  if (!s.recorder)
    return TN_OK;
  tn_status_t status = cut(s);
  Recording &r = *s.recorder;
  s.recorder = nullptr;
  r.isImpossible = true;
  if (!status)
    status = s.kind->finish(s.queue, &s.error); // before its graphs go
  dropSteps(s, r);
  return status;
}

void abandon(DeviceSession &s) {
  if (s.recorder && s.isOpen)
    (void)s.kind->endRecord(s.queue, nullptr, nullptr);
  (void)s.kind->finish(s.queue, nullptr);
  if (s.recorder)
    dropSteps(s, *s.recorder);
  s.recorder = nullptr;
  s.isOpen = false;
}

//===----------------------------------------------------------------------===//
// Inputs
//===----------------------------------------------------------------------===//

static tn_status_t copyUp(DeviceSession &s, Lane lane, uint64_t at, uint64_t bytes) {
  return s.kind->copy(s.queue, lane, &s.ports, at, &s.staging, at, bytes, &s.error);
}

/// What kernels are told next finds what was sent.
static tn_status_t awaitSent(DeviceSession &s) {
  if (tn_status_t status = s.kind->mark(s.queue, kUp, kSent, &s.error))
    return status;
  return s.kind->follow(s.queue, kCompute, kSent, &s.error);
}

static tn_status_t sendLarge(tn_session &session, uint32_t index) {
  DeviceSession &s = sessionOf(session);
  const Lot &lot = s.lots[index]; // one tensor
  const auto *from = static_cast<const uint8_t *>(s.inputs[lot.first].data);
  tn_status_t status = forPieces(lot, [&](uint64_t at, uint64_t bytes) {
    memcpy(s.staging.host + lot.at + at, from + at, bytes);
    return copyUp(s, kUp, lot.at + at, bytes);
  });
  return status ? status : awaitSent(s);
}

static tn_status_t send(tn_session &session, uint32_t index) {
  DeviceSession &s = sessionOf(session);
  Lot &lot = s.lots[index];
  lot.state = Lot::Moves;
  if (isLarge(s, lot)) {
    if (tn_status_t status = cut(s))
      return status;
    if (s.recorder)
      addStep(s, Step::Arrive, index);
    return sendLarge(session, index);
  }
  copyTensors(session, index);
  if (s.ports.host)
    return TN_OK;
  if (tn_status_t status = resumeRecording(s))
    return status;
  if (s.recorder)
    addStep(s, Step::Fill, index);
  tn_status_t status = copyUp(s, s.overlaps ? kUp : kCompute, lot.at, lot.bytes);
  return status || !s.overlaps ? status : awaitSent(s);
}

tn_status_t sendInputs(tn_session &session) {
  DeviceSession &s = sessionOf(session);
  tn_status_t status = TN_OK;
  for (uint32_t i = 0; i < s.inputLots && !status; ++i)
    if (s.lots[i].state == Lot::Waits)
      status = send(session, i);
  return status;
}

//===----------------------------------------------------------------------===//
// Results
//===----------------------------------------------------------------------===//

static tn_status_t copyDown(DeviceSession &s, Lane lane, uint64_t at, uint64_t bytes) {
  return s.kind->copy(s.queue, lane, &s.staging, at, &s.ports, at, bytes, &s.error);
}

/// What goes down from here on is what the kernels leave that were told.
static tn_status_t awaitTold(DeviceSession &s) {
  if (tn_status_t status = s.kind->mark(s.queue, kCompute, kTold, &s.error))
    return status;
  return s.kind->follow(s.queue, kDown, kTold, &s.error);
}

static tn_status_t fetchLarge(DeviceSession &s, uint32_t index) {
  Lot &lot = s.lots[index];
  bool isListed = false;
  for (uint32_t i = 0; i < s.departedCount; ++i)
    isListed |= s.departed[i] == index;
  if (!isListed)
    s.departed[s.departedCount++] = index;
  lot.mark = s.markCount;
  lot.state = Lot::Moves;
  if (tn_status_t status = awaitTold(s))
    return status;
  return forPieces(lot, [&](uint64_t at, uint64_t bytes) {
    if (tn_status_t status = copyDown(s, kDown, lot.at + at, bytes))
      return status;
    return s.kind->mark(s.queue, kDown, s.markCount++, &s.error);
  });
}

static tn_status_t fetch(DeviceSession &s, uint32_t index) {
  Lot &lot = s.lots[index];
  lot.state = Lot::Moves;
  if (s.ports.host)
    return TN_OK;
  if (isLarge(s, lot)) {
    if (tn_status_t status = cut(s))
      return status;
    if (s.recorder)
      addStep(s, Step::Depart, index);
    return fetchLarge(s, index);
  }
  if (tn_status_t status = resumeRecording(s))
    return status;
  if (s.overlaps)
    if (tn_status_t status = awaitTold(s))
      return status;
  return copyDown(s, s.overlaps ? kDown : kCompute, lot.at, lot.bytes);
}

tn_status_t tellResults(tn_session &session) {
  DeviceSession &s = sessionOf(session);
  for (bool large : {false, true}) // small ones are in the last graph
    for (uint32_t i = s.inputLots; i < s.lotCount; ++i)
      if (s.lots[i].state == Lot::Waits && isLarge(s, s.lots[i]) == large)
        if (tn_status_t status = fetch(s, i))
          return status;
  return cut(s);
}

tn_status_t receive(tn_session &session) {
  DeviceSession &s = sessionOf(session);
  for (uint32_t i = 0; i < s.departedCount; ++i) {
    Lot &lot = s.lots[s.departed[i]];
    if (lot.state != Lot::Moves)
      continue;
    uint32_t mark = lot.mark;
    auto *to = static_cast<uint8_t *>(s.outputs[lot.first].data);
    tn_status_t status = forPieces(lot, [&](uint64_t at, uint64_t bytes) {
      if (tn_status_t failed = s.kind->await(s.queue, mark++, &s.error))
        return failed;
      memcpy(to + at, s.staging.host + lot.at + at, bytes);
      return TN_OK;
    });
    if (status)
      return status;
    lot.state = Lot::Came;
  }
  if (tn_status_t status = s.kind->finish(s.queue, &s.error))
    return status;
  for (uint32_t i = s.inputLots; i < s.lotCount; ++i)
    if (s.lots[i].state == Lot::Moves) {
      copyTensors(session, i);
      s.lots[i].state = Lot::Came;
    }
  return TN_OK;
}

//===----------------------------------------------------------------------===//
// Commands
//===----------------------------------------------------------------------===//

/// The lot that an address lies in; s.lotCount: none.
static uint32_t findLot(const DeviceSession &s, uint64_t address) {
  uint64_t offset = address - s.ports.address;
  if (offset >= s.ports.bytes)
    return s.lotCount;
  uint32_t low = 0, high = s.lotCount; // the last one that begins there or before
  while (low < high) {
    uint32_t middle = (low + high) / 2;
    if (s.lots[middle].at <= offset)
      low = middle + 1;
    else
      high = middle;
  }
  return low ? low - 1 : s.lotCount;
}

tn_status_t beforeCommand(tn_session &session, const uint64_t *addresses, uint32_t count) {
  DeviceSession &s = sessionOf(session);
  ++s.command;
  for (uint32_t i = 0; s.overlaps && i < count; ++i) {
    uint32_t index = findLot(s, addresses[i]);
    if (index == s.lotCount)
      continue;
    Lot &lot = s.lots[index];
    lot.lastUse = s.command;
    if (!isInput(s, index))
      lot.state = Lot::Waits; // if it went already, it goes again
    else if (lot.state == Lot::Waits)
      if (tn_status_t status = send(session, index))
        return status;
  }
  return TN_OK;
}

tn_status_t afterCommand(tn_session &session) {
  DeviceSession &s = sessionOf(session);
  for (uint32_t i = s.inputLots; s.overlaps && i < s.lotCount; ++i)
    if (s.lots[i].dueAfter == s.command && s.lots[i].state == Lot::Waits)
      if (tn_status_t status = fetch(s, i))
        return status;
  return TN_OK;
}

tn_status_t replay(tn_session &session, const Recording &r) {
  DeviceSession &s = sessionOf(session);
  tn_status_t status = TN_OK;
  for (uint32_t i = s.inputLots; i < s.lotCount; ++i)
    s.lots[i].state = Lot::Moves; // by one of the steps
  for (uint32_t i = 0; i < r.stepCount && !status; ++i) {
    const Step &step = r.steps[i];
    switch (step.kind) {
    case Step::Fill:
      copyTensors(session, step.lot);
      break;
    case Step::Start:
      status = s.kind->replay(s.queue, step.handle, &s.error);
      break;
    case Step::Arrive:
      status = sendLarge(session, step.lot);
      break;
    case Step::Depart:
      status = fetchLarge(s, step.lot);
      break;
    }
  }
  return status;
}

} // namespace tenon::rt
