// What the files with functions of CUDA's driver interface share: its types, and how a call finds its device.
#ifndef TENON_TEST_EMULATORS_CUDA_API_H
#define TENON_TEST_EMULATORS_CUDA_API_H

#include "driver.h"
#include "queue.h"

extern "C" {
using CUresult = int;
using CUdevice = int;
using CUdeviceptr = unsigned long long;
using CUcontext = void *;
using CUmodule = void *;
using CUfunction = void *;
using CUstream = void *;
using CUevent = void *;
using CUgraph = void *;
using CUgraphExec = void *;
}

#define TN_CUDA extern "C" __attribute__((visibility("default"))) CUresult

namespace tenon::emulator {

/// The device of the calling thread's context; null with the reason in `result`.
Device *currentDevice(int &result);
/// The stream that a handle names: the legacy one for null. Null with the reason in `result`.
std::shared_ptr<Stream> findStream(Device &device, CUstream handle, int &result);
/// True while some stream is captured in a way that forbids calls like allocations; such a call spoils the capture.
bool spoilsCapture(Device &device);
/// Makes a launch of what the parameters say, after checking them. `item` runs it.
int makeLaunch(Device &device, const FunctionHandle &function, const uint32_t grid[3], const uint32_t block[3],
               uint32_t sharedBytes, void **parameters, void **extra, Item &item);

} // namespace tenon::emulator

namespace tenon::emulator {
/// The end of a call: what it told runs now if that is the order.
struct Settle {
  Device &device;
  ~Settle() {
    if (order() == Order::Early)
      runAll(device);
  }
};
} // namespace tenon::emulator

/// Begins most functions: `device` is the calling thread's.
#define TN_ENTER                                                                                                       \
  int result = kSuccess;                                                                                               \
  Device *device = currentDevice(result);                                                                              \
  if (!device)                                                                                                         \
    return result;                                                                                                     \
  tenon::emulator::Settle settle{*device};

#endif
