// A kind of device: one table of functions. Each kind is a folder beside this file; `devices.cpp` lists them.
#ifndef TENON_RUNTIME_DEVICES_DEVICE_H
#define TENON_RUNTIME_DEVICES_DEVICE_H

#include "../src/error.h"
#include "device_generated.h"

namespace tenon::rt {

/// Dimensions of a tensor that tiles are copied from.
constexpr uint32_t kMostMapDims = 5;

/// A piece of a device's memory, or of the CPU's that the device reaches.
struct DeviceMemory {
  uint64_t address, bytes; ///< as kernels see it
  uint8_t *host;           ///< the same bytes for the CPU; null when it cannot reach them
  void *handle[2];         ///< the kind's own
};

/// What a launch passes to all threads.
struct Launch {
  const uint64_t *slots; ///< null: they lie in memory that the device reaches, at `address`
  uint32_t count;
  uint64_t address;
  int64_t groups;
  uint64_t report;
};

/// What a variant has for a device: what it asks of one may be in the code itself.
struct VariantCode {
  const char *arch;                 ///< null: of any
  const file::DeviceProgram *table; ///< null: it has no kernels
  const uint8_t *code;              ///< where the table's offsets count from
  uint64_t bytes;
  const char *cache; ///< folder for what drivers compile; null: none
};

/// What a queue is told goes along one of these. Kernels go along the first; the others are for copies that go on meanwhile.
enum Lane : uint32_t { kCompute, kUp, kDown, kLanes };

/// All functions may be called by several threads at once, each with queues of its own. What a lane is told runs in order,
/// and at the latest when `finish` is called. Failures give a status and a message that names what the driver said.
struct DeviceKind {
  const char *name; ///< as in file::Variant::device
  /// Whether launches take slots by value, up to TN_DEVICE_SLOTS.
  bool takesSlots;
  /// Whether there is a device for the code, the `index`-th of its kind; if not, `why`.
  bool (*isHere)(const VariantCode &code, uint32_t index, TextBuffer *why);
  tn_status_t (*open)(const VariantCode &code, uint32_t index, void **device, tn_error_t *error);
  void (*close)(void *device);
  tn_status_t (*allocate)(void *device, uint64_t bytes, bool onHost, DeviceMemory *memory, tn_error_t *error);
  void (*release)(void *device, DeviceMemory *memory);
  /// TN_BAD_CPU: the driver does not take code of this form; another may do.
  tn_status_t (*load)(void *device, file::DeviceFormat format, const uint8_t *code, uint64_t bytes, void **module,
                      tn_error_t *error);
  void (*unload)(void *device, void *module);
  /// A kernel of a module.
  tn_status_t (*find)(void *device, void *module, const file::DeviceKernel &which, void **kernel, tn_error_t *error);
  void (*forget)(void *device, void *kernel);
  tn_status_t (*openQueue)(void *device, void **queue, tn_error_t *error);
  void (*closeQueue)(void *device, void *queue);
  tn_status_t (*launch)(void *queue, void *kernel, const Launch &launch, tn_error_t *error);
  tn_status_t (*copy)(void *queue, Lane lane, const DeviceMemory *dest, uint64_t destOffset, const DeviceMemory *source,
                      uint64_t sourceOffset, uint64_t bytes, tn_error_t *error);
  /// Starts what all lanes were told, and waits for it.
  tn_status_t (*finish)(void *queue, tn_error_t *error);

  /// Order between lanes; all null when queues have the first one only. `mark` gives a number to all that a lane was told so
  /// far, in place of what had the number before. What is told to a lane after `follow` waits for that, and so does `await`.
  tn_status_t (*mark)(void *queue, Lane lane, uint32_t number, tn_error_t *error);
  tn_status_t (*follow)(void *queue, Lane lane, uint32_t number, tn_error_t *error);
  tn_status_t (*await)(void *queue, uint32_t number, tn_error_t *error);

  /// Keeping what a queue is told, to tell it again at once; all null when the kind cannot. Between `record` and
  /// `endRecord` nothing runs, whatever the lane; `endRecord` gives what `replay` takes, null `recording` throws it away. A
  /// replay is told to the first lane, and is done when all that it has is done.
  tn_status_t (*record)(void *queue, tn_error_t *error);
  tn_status_t (*endRecord)(void *queue, void **recording, tn_error_t *error);
  tn_status_t (*replay)(void *queue, void *recording, tn_error_t *error);
  void (*dropRecord)(void *device, void *recording);
};

extern const DeviceKind cudaDevice, rocmDevice, vulkanDevice;

} // namespace tenon::rt
#endif
