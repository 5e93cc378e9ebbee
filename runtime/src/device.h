// Where the core of the runtime meets devices: programs whose buffers are all in a device's memory. A runtime for CPUs only
// has none of it, and takes variants for devices for ones that do not run here.
#ifndef TENON_RUNTIME_SRC_DEVICE_H
#define TENON_RUNTIME_SRC_DEVICE_H

#include "session.h"

namespace tenon::rt {

#if TN_WITH_DEVICES

/// Whether the variant's device, of the number that the program was opened with, is here; if not, the reason.
bool deviceIsHere(const tn_program &program, const file::Variant &variant, TextBuffer *why);
/// Constants and kernels of a program whose variant is for a device. `cache`: as in tn_open_options_t.
tn_status_t deviceOpen(tn_program &program, const char *cache, tn_error_t *error);
void deviceClose(tn_program &program);
/// The session's half: a queue, and memory for states.
tn_status_t deviceOpenSession(tn_session &session, tn_error_t *error);
void deviceCloseSession(tn_session &session);
tn_status_t deviceReserve(tn_session &session, uint64_t arenaBytes, tn_error_t *error);
/// Bytes of a state to or from the CPU's memory; `from` null writes zeros.
tn_status_t deviceReadState(tn_session &session, uint32_t state, void *to, uint64_t bytes);
tn_status_t deviceWriteState(tn_session &session, uint32_t state, const void *from, uint64_t bytes);
/// Before the image runs: the frame's addresses, and inputs unless they follow when they are needed; the tensors are those of
/// the call until its end. `isDone`: the image need not run, since the device repeats what it was told by an earlier call. After:
/// waits, results, and failures of kernels, which replace the image's result.
tn_status_t deviceBeginCall(tn_session &session, const EntryPoint &entry, tn_frame &frame, const tn_tensor_t *inputs,
                            const tn_tensor_t *outputs, bool &isDone, tn_error_t *error);
tn_status_t deviceEndCall(tn_session &session, const EntryPoint &entry, const tn_frame &frame, int32_t &result,
                          tn_error_t *error);

#else

inline bool deviceIsHere(const tn_program &, const file::Variant &variant, TextBuffer *) { return !variant.device(); }
inline tn_status_t deviceOpen(tn_program &, const char *, tn_error_t *) { return TN_OK; }
inline void deviceClose(tn_program &) {}
inline tn_status_t deviceOpenSession(tn_session &, tn_error_t *) { return TN_OK; }
inline void deviceCloseSession(tn_session &) {}
inline tn_status_t deviceReserve(tn_session &, uint64_t, tn_error_t *) { return TN_OK; }
inline tn_status_t deviceReadState(tn_session &, uint32_t, void *, uint64_t) { return TN_OK; }
inline tn_status_t deviceWriteState(tn_session &, uint32_t, const void *, uint64_t) { return TN_OK; }
inline tn_status_t deviceBeginCall(tn_session &, const EntryPoint &, tn_frame &, const tn_tensor_t *, const tn_tensor_t *,
                                   bool &, tn_error_t *) {
  return TN_OK;
}
inline tn_status_t deviceEndCall(tn_session &, const EntryPoint &, const tn_frame &, int32_t &, tn_error_t *) {
  return TN_OK;
}

#endif

/// Whether the variant in use is for a device.
inline bool isOnDevice(const tn_program &program) { return TN_WITH_DEVICES && program.device; }

// In call.cpp: what images call, for devices too.
int32_t tableParallel(tn_frame *frame, tn_kernel_fn fn, const uint64_t *args, int64_t tiles, int64_t scratchBytes);
void recordFailure(tn_session &session, uint32_t site, int64_t a, int64_t b, bool internal);

} // namespace tenon::rt
#endif
