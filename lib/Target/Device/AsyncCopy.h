// Copies of 16 bytes from global to shared memory that run by themselves (`cp.async` of PTX), while the thread goes on.
#ifndef TENON_LIB_TARGET_DEVICE_ASYNCCOPY_H
#define TENON_LIB_TARGET_DEVICE_ASYNCCOPY_H

#include "Emitter.h"

namespace tenon::device {

/// A vector of 16 bytes that is as it lies in memory, or zeros where a condition does not hold.
class AsyncCopy {
public:
  static bool isFor(target::GPUAttr device) {
    return device && device.getApi() == target::DeviceApi::CUDA && device.getMatrix() == target::MatrixUnit::Mma;
  }
  /// Of a value that was read just now; the load itself has no use then, and goes. nullopt when it is computed.
  static std::optional<AsyncCopy> find(Emitter &e, mlir::Value value);

  /// Copies it to an address in shared memory, a multiple of 16.
  void start(Emitter &e, mlir::Value address) const;
  /// Makes a group of the thread's copies since the last one, if any.
  static void commit(Emitter &e);
  /// Waits until no more than so many of the thread's groups are under way. Other threads see the copies behind a barrier.
  static void await(Emitter &e, int64_t left);

private:
  mlir::LLVM::LoadOp load;
  mlir::Value condition; ///< null: it always holds
};

} // namespace tenon::device
#endif
