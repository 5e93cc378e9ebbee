// What a program and a session hold of a device; shared by devices.cpp, transfers.cpp and calls.cpp.
#ifndef TENON_RUNTIME_DEVICES_SESSION_H
#define TENON_RUNTIME_DEVICES_SESSION_H

#include "../src/device.h"
#include "device.h"

namespace tenon::rt {

/// Bytes for the arguments of launches that wait in the queue.
constexpr uint64_t kRingBytes = 1 << 18;

/// What kernels tell of failures: { u32 site, u32, i64 a, i64 b }.
struct Report {
  uint32_t site, unused;
  int64_t a, b;
};

struct Kernel {
  void *handle; ///< the kind's own
  uint32_t slots;
};

struct DeviceProgram {
  const DeviceKind *kind;
  void *device;
  DeviceMemory constants;
  void **modules;
  Kernel *kernels;
  uint32_t moduleCount, kernelCount;
};

/// Tensors of a call that go over the bus together: neighbours in the ports, so many that a copy is worth its while.
/// The CPU's half of the way lies at the same offset of memory that both reach.
struct Lot {
  enum State : uint8_t {
    Waits, ///< an input that is with the caller, or a result that the device still works on
    Moves, ///< its copies were told
    Came   ///< a result that the caller has
  };
  uint64_t at, bytes;
  uint32_t first, count; ///< which inputs, or which results
  uint32_t lastUse;      ///< the number of the last command so far that named it
  uint32_t dueAfter;     ///< a result: of the last one in an earlier call like this; 0: not known
  uint32_t mark;         ///< of the first piece of a large result that moves
  State state;
};

/// What a replay does: one after another.
struct Step {
  enum Kind : uint8_t {
    Fill,  ///< an input to where a graph's copy finds it
    Start, ///< a graph
    Arrive,
    Depart ///< a large input or result, in pieces
  };
  Kind kind;
  uint32_t lot;
  void *handle; ///< Start: the kind's own
};

/// What an entry's last call told the queue, to be told again by a call with the same sizes in the same memory: small
/// tensors' copies are in the graphs with the kernels; before and after copies of large ones there is a new graph.
struct Recording {
  uint64_t *key;      ///< sizes and addresses of the call
  uint32_t *dueAfter; ///< of each lot of results
  Step *steps;
  uint32_t stepCount, stepLimit;
  uint32_t statePhase; ///< as the image left it
  bool isWhole;        ///< a call can be replayed
  bool isImpossible;   ///< the host has to see what the device found
};

struct DeviceSession {
  const DeviceKind *kind;
  void *device, *queue;
  DeviceMemory arena, states, ports, ring, staging; ///< `ring` holds the report, then arguments
  uint64_t ringUsed;
  Recording *recordings; ///< of each entry; null when the kind has none
  Recording *recorder;   ///< what the call at hand is recorded into; null: it is not
  uint32_t entryCount;
  Lot *lots;          ///< of the call at hand, in order of their places: inputs, then results
  uint32_t *departed; ///< large results that move, in the order in which they were told
  uint32_t inputLots, lotCount, departedCount, markCount;
  const EntryPoint *entry;             ///< that is being called
  const tn_tensor_t *inputs, *outputs; ///< the caller's
  uint32_t command;                    ///< number of the last one that the image told
  bool overlaps;                       ///< copies have lanes of their own, each when it is wanted
  bool isOpen;                         ///< the recorder's graph at hand has begun
  tn_error_t error;                    ///< of what an image asked for
  tn_status_t status;
};

inline DeviceProgram &programOf(const tn_program &program) { return *static_cast<DeviceProgram *>(program.device); }
inline DeviceSession &sessionOf(tn_session &session) { return *static_cast<DeviceSession *>(session.device); }

/// Makes the memory at least so large; what it held is lost when it grows.
tn_status_t grow(DeviceSession &s, DeviceMemory &memory, uint64_t bytes, bool onHost, tn_error_t *error);
/// Between the CPU's memory and a device's, at once. `from` null writes zeros.
tn_status_t upload(DeviceSession &s, const DeviceMemory &to, uint64_t offset, const void *from, uint64_t bytes,
                   tn_error_t *error);
tn_status_t download(DeviceSession &s, const DeviceMemory &from, uint64_t offset, void *to, uint64_t bytes,
                     tn_error_t *error);

// In transfers.cpp. Errors of what images ask for are in the session's `error`.
/// Makes the lots of a call, and memory for them.
tn_status_t planTransfers(tn_session &session, const EntryPoint &entry, const tn_tensor_t *inputs,
                          const tn_tensor_t *outputs, tn_error_t *error);
/// Around a command that names these addresses; other numbers may be among them.
tn_status_t beforeCommand(tn_session &session, const uint64_t *addresses, uint32_t count);
tn_status_t afterCommand(tn_session &session);
/// All inputs that the device has not been sent yet.
tn_status_t sendInputs(tn_session &session);
/// Copies of results that were not told yet; ends a recording.
tn_status_t tellResults(tn_session &session);
/// Waits for everything; results that were told are with the caller then.
tn_status_t receive(tn_session &session);
/// After a failure: nothing is being recorded, nothing runs.
void abandon(DeviceSession &s);
tn_status_t replay(tn_session &session, const Recording &recording);
/// What is told next belongs to a graph, if the call is recorded.
tn_status_t resumeRecording(DeviceSession &s);
/// Ends the recording for good, after what it has was told: the host needs to see what the queue has done.
tn_status_t giveUpRecording(DeviceSession &s);
void dropSteps(DeviceSession &s, Recording &r);
void dropRecordings(DeviceSession &s);

} // namespace tenon::rt
#endif
