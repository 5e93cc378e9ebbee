// What NVIDIA's sm_90a has beyond subgroups: barriers in shared memory that count bytes, copies of tiles of tensors, and products
// of four warps whose operands lie in shared memory.
#ifndef TENON_LIB_TARGET_DEVICE_WARPGROUP_H
#define TENON_LIB_TARGET_DEVICE_WARPGROUP_H

#include "Emitter.h"

namespace tenon::device {

/// Threads that multiply together, and rows of their result.
inline constexpr int64_t kWarpgroup = 128, kWarpgroupRows = 64;
/// Bytes of a row of a tile in shared memory: pieces of 16 are mixed with the row's number, so that rows that are read together
/// lie in different banks. Tiles begin at multiples of eight rows.
inline constexpr int64_t kSwizzleBytes = 128, kTileAlign = 8 * kSwizzleBytes;

/// Barriers in shared memory, 8 bytes each. A phase ends when so many threads have arrived and all bytes that were announced are
/// there; phases count 0, 1, 0, …
class PhaseBarriers {
public:
  PhaseBarriers(Emitter &e, int64_t count);
  /// By one thread, before all others' first use; `publish` after the last one.
  void initialize(int64_t number, int64_t arrivals);
  static void publish(Emitter &e);
  mlir::Value address(mlir::Value number);
  void arrive(mlir::Value number);
  /// Arrives, and announces bytes that copies will bring.
  void expect(mlir::Value number, int64_t bytes);
  /// Until the phase of this parity (0 or 1, i64) has ended.
  void wait(mlir::Value number, mlir::Value parity);

private:
  Emitter &e;
  mlir::Value memory;
};

/// Asks for the tile at `at` (the dimension of neighbours first) of the tensor of `map`; its bytes arrive at a barrier.
void copyTile(Emitter &e, mlir::Value map, mlir::ArrayRef<mlir::Value> at, mlir::Value dest, mlir::Value barrier);

/// Sums [64, columns] += A [64, depth] * B [depth, columns]; a thread's sums are columns / 2 numbers, which says how many
/// columns there are, placed as MatrixUnit's are for tiles of 16 x 8 side by side. They may be touched again behind `awaitProducts`.
class WarpgroupUnit {
public:
  /// Whether the device multiplies such operands.
  static bool isFor(target::GPUAttr device, mlir::Type operand);
  explicit WarpgroupUnit(mlir::Type operand) : operand(operand) {}
  /// Depth of one instruction, which is 32 bytes.
  int64_t depth() const { return 32 / bytes(); }
  int64_t bytes() const;
  /// Whether operands may lie with their lines as neighbours.
  bool takesLines() const { return bytes() == 2; }

  /// A tile of `lines` rows or columns by kSwizzleBytes of depth (or, along lines, groups of kSwizzleBytes of lines by
  /// `blockDepth`), from `address` on; `step` counts instructions along the depth.
  mlir::Value describe(Emitter &e, mlir::Value address, int64_t step, bool alongLines, int64_t blockDepth) const;
  llvm::SmallVector<mlir::Value> multiply(Emitter &e, mlir::Value a, mlir::Value b, bool alongLinesA, bool alongLinesB,
                                          mlir::ValueRange sums) const;

private:
  mlir::Type operand;
};
/// Around products: before the first one and whenever their sums were touched, behind the last one of a group, and until at most
/// so many groups are left.
void beginProducts(Emitter &e);
void commitProducts(Emitter &e);
llvm::SmallVector<mlir::Value> awaitProducts(Emitter &e, int64_t left, mlir::ValueRange sums);

/// The same in all threads of a warp, and known to be: what the first one has.
mlir::Value sameInWarp(Emitter &e, mlir::Value value);

} // namespace tenon::device
#endif
