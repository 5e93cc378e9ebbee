// What a program and a session hold of a device; shared by devices.cpp and calls.cpp.
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

/// All that an entry's last call told the queue between its inputs' arrival and its results' departure, to be told again at
/// once by a call with the same sizes in the same memory.
struct Recording {
  void *handle;        ///< the kind's own; null: none
  uint64_t *key;       ///< sizes and addresses of the call
  uint32_t statePhase; ///< as the image left it
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
  tn_error_t error; ///< of what an image asked for
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
void dropRecordings(DeviceSession &s);

} // namespace tenon::rt
#endif
