// Devices with streams: NVIDIA's driver and AMD's HIP, whose functions differ in little but their names. Header-free: what
// is called is declared here, and found in the driver's library when a program wants it.
#ifndef TENON_RUNTIME_DEVICES_STREAMS_STREAMS_H
#define TENON_RUNTIME_DEVICES_STREAMS_STREAMS_H

#include "../device.h"

#include <cstddef>

namespace tenon::rt {

/// Functions with the same parameters in both. X(member, result and parameters, CUDA's name, HIP's name).
#define TN_STREAM_FUNCTIONS(X)                                                                                         \
  X(init, int (*)(unsigned), "cuInit", "hipInit")                                                                      \
  X(countDevices, int (*)(int *), "cuDeviceGetCount", "hipGetDeviceCount")                                             \
  X(getDevice, int (*)(int *, int), "cuDeviceGet", "hipDeviceGet")                                                     \
  X(getName, int (*)(char *, int, int), "cuDeviceGetName", "hipDeviceGetName")                                         \
  X(getMemoryInfo, int (*)(size_t *, size_t *), "cuMemGetInfo_v2", "hipMemGetInfo")                                    \
  X(allocate, int (*)(uint64_t *, size_t), "cuMemAlloc_v2", "hipMalloc")                                               \
  X(release, int (*)(uint64_t), "cuMemFree_v2", "hipFree")                                                             \
  X(allocateHost, int (*)(void **, size_t, unsigned), "cuMemHostAlloc", "hipHostMalloc")                               \
  X(releaseHost, int (*)(void *), "cuMemFreeHost", "hipHostFree")                                                      \
  X(getHostAddress, int (*)(uint64_t *, void *, unsigned), "cuMemHostGetDevicePointer_v2", "hipHostGetDevicePointer")  \
  X(unloadModule, int (*)(void *), "cuModuleUnload", "hipModuleUnload")                                                \
  X(findKernel, int (*)(void **, void *, const char *), "cuModuleGetFunction", "hipModuleGetFunction")                 \
  X(setKernelAttribute, int (*)(void *, int, int), "cuFuncSetAttribute", "hipFuncSetAttribute")                        \
  X(launch,                                                                                                            \
    int (*)(void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void *, void **, void **),   \
    "cuLaunchKernel", "hipModuleLaunchKernel")                                                                         \
  X(copyToDevice, int (*)(uint64_t, const void *, size_t, void *), "cuMemcpyHtoDAsync_v2", "hipMemcpyHtoDAsync")       \
  X(copyToHost, int (*)(void *, uint64_t, size_t, void *), "cuMemcpyDtoHAsync_v2", "hipMemcpyDtoHAsync")               \
  X(copyOnDevice, int (*)(uint64_t, uint64_t, size_t, void *), "cuMemcpyDtoDAsync_v2", "hipMemcpyDtoDAsync")           \
  X(createStream, int (*)(void **, unsigned), "cuStreamCreate", "hipStreamCreateWithFlags")                            \
  X(destroyStream, int (*)(void *), "cuStreamDestroy_v2", "hipStreamDestroy")                                          \
  X(awaitStream, int (*)(void *), "cuStreamSynchronize", "hipStreamSynchronize")                                       \
  X(createEvent, int (*)(void **, unsigned), "cuEventCreate", "hipEventCreateWithFlags")                               \
  X(destroyEvent, int (*)(void *), "cuEventDestroy_v2", "hipEventDestroy")                                             \
  X(recordEvent, int (*)(void *, void *), "cuEventRecord", "hipEventRecord")                                           \
  X(awaitEvent, int (*)(void *), "cuEventSynchronize", "hipEventSynchronize")                                          \
  X(followEvent, int (*)(void *, void *, unsigned), "cuStreamWaitEvent", "hipStreamWaitEvent")                         \
  X(beginCapture, int (*)(void *, int), "cuStreamBeginCapture_v2", "hipStreamBeginCapture")                            \
  X(endCapture, int (*)(void *, void **), "cuStreamEndCapture", "hipStreamEndCapture")                                 \
  X(instantiate, int (*)(void **, void *, unsigned long long), "cuGraphInstantiateWithFlags",                          \
    "hipGraphInstantiateWithFlags")                                                                                    \
  X(launchGraph, int (*)(void *, void *), "cuGraphLaunch", "hipGraphLaunch")                                           \
  X(destroyGraph, int (*)(void *), "cuGraphDestroy", "hipGraphDestroy")                                                \
  X(destroyInstance, int (*)(void *), "cuGraphExecDestroy", "hipGraphExecDestroy")

/// A driver, opened once for the process and kept: threads of its own may outlive every program.
struct StreamDriver {
  const char *vendor;        ///< for messages
  char why[160];             ///< it cannot be used; empty: it can
  uintptr_t endOfParameters; ///< of a launch
#define TN_STREAM_MEMBER(MEMBER, TYPE, CUDA, HIP) decltype(static_cast<TYPE>(nullptr)) MEMBER;
  TN_STREAM_FUNCTIONS(TN_STREAM_MEMBER)
#undef TN_STREAM_MEMBER

  // What differs; set by the vendor's file.
  /// Describes a tensor for copies of tiles: rows of 128 bytes, swizzled. `strides` in bytes, of all dimensions but the first.
  /// Null: the driver's devices have no such copies.
  int (*encodeMap)(void *map, uint32_t elementBytes, uint32_t rank, uint64_t address, const uint64_t *sizes, const uint64_t *strides,
                   const uint32_t *tile);
  const char *(*nameError)(int code);
  /// The thread works with the device from here on; `before` is for `leave`.
  int (*enter)(void *context, int device, void **before);
  void (*leave)(void *before);
  int (*openContext)(int device, void **context);
  void (*closeContext)(int device);
  /// Loads code whose form the driver takes; `log` gets what its compiler says.
  int (*loadModule)(void **module, const void *code, char *log, unsigned logBytes);
  /// Whether code for `arch` runs on the device.
  bool (*runs)(int device, const char *arch);
  /// Codes with a meaning to us.
  bool (*isWrongCode)(int code);
  bool (*isOutOfMemory)(int code);
};

/// Functions of a driver's library by their names, remembering the first that is missing.
struct DriverLibrary {
  void *handle;
  const char *missing = nullptr;
  /// `older`: another name of the same function, for when there is none of this one.
  template <typename T> void find(T &function, const char *name, const char *older = nullptr) {
    void *found = findSymbol(name, older);
    memcpy(&function, &found, sizeof(found));
  }

private:
  void *findSymbol(const char *name, const char *older);
};

// The functions of a DeviceKind but for those that open a driver.
struct StreamFunctions {
  static bool isHere(const StreamDriver &driver, const char *arch, uint32_t index, TextBuffer *why);
  static tn_status_t open(const StreamDriver &driver, uint32_t index, void **device, tn_error_t *error);
  static void close(void *device);
  static tn_status_t allocate(void *device, uint64_t bytes, bool onHost, DeviceMemory *memory, tn_error_t *error);
  static void release(void *device, DeviceMemory *memory);
  static tn_status_t load(void *device, file::DeviceFormat format, const uint8_t *code, uint64_t bytes, void **module,
                          tn_error_t *error);
  static void unload(void *device, void *module);
  static tn_status_t find(void *device, void *module, const file::DeviceKernel &which, void **kernel, tn_error_t *error);
  static void forget(void *device, void *kernel);
  static tn_status_t openQueue(void *device, void **queue, tn_error_t *error);
  static void closeQueue(void *device, void *queue);
  static tn_status_t launch(void *queue, void *kernel, const Launch &launch, tn_error_t *error);
  static tn_status_t copy(void *queue, Lane lane, const DeviceMemory *dest, uint64_t destOffset, const DeviceMemory *source,
                          uint64_t sourceOffset, uint64_t bytes, tn_error_t *error);
  static tn_status_t finish(void *queue, tn_error_t *error);
  static tn_status_t mark(void *queue, Lane lane, uint32_t number, tn_error_t *error);
  static tn_status_t follow(void *queue, Lane lane, uint32_t number, tn_error_t *error);
  static tn_status_t await(void *queue, uint32_t number, tn_error_t *error);
  static tn_status_t record(void *queue, tn_error_t *error);
  static tn_status_t endRecord(void *queue, void **recording, tn_error_t *error);
  static tn_status_t replay(void *queue, void *recording, tn_error_t *error);
  static void dropRecord(void *device, void *recording);
};

/// The table of a kind; `theDriver` opens its driver when it is first asked for.
template <const StreamDriver &(*theDriver)()> constexpr DeviceKind streamKind(const char *name) {
  using S = StreamFunctions;
  return {name,
          /*takesSlots=*/true,
          [](const VariantCode &code, uint32_t index, TextBuffer *why) { return S::isHere(theDriver(), code.arch, index, why); },
          [](const VariantCode &, uint32_t index, void **device, tn_error_t *error) {
            return S::open(theDriver(), index, device, error);
          },
          S::close, S::allocate, S::release, S::load, S::unload, S::find, S::forget, S::openQueue, S::closeQueue, S::launch,
          S::copy, S::finish, S::mark, S::follow, S::await, S::record, S::endRecord, S::replay, S::dropRecord};
}

} // namespace tenon::rt
#endif
