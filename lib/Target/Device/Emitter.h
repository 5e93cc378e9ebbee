//===- Emitter.h - where the code of a kernel for a device is written -----===//
// A kernel for a device is a function of one thread of one workgroup. Tiles of the schedule are workgroups. Threads of a
// workgroup share memory and meet at barriers, and those of a subgroup see each other's values. What else a device has is in
// its `#target.gpu`.
#ifndef TENON_LIB_TARGET_DEVICE_EMITTER_H
#define TENON_LIB_TARGET_DEVICE_EMITTER_H

#include "../Kernels/Epilogue.h"
#include "dialects/Target/IR/TargetDialect.h"

namespace tenon::device {

using kernels::Evaluator;
using kernels::Point;

/// Attributes of a device function: threads of a workgroup, and slots of 8 bytes behind `args`.
inline constexpr llvm::StringLiteral kThreadsAttr = "device.threads";
inline constexpr llvm::StringLiteral kSlotsAttr = "device.slots";
/// Descriptions of tensors that lie behind the slots, for copies of tiles: dictionaries as `Emitter::tensorMap` writes them.
inline constexpr llvm::StringLiteral kMapsAttr = "device.maps";
/// Memory space of what a workgroup shares.
inline constexpr int64_t kSharedSpace = 3;
/// Bytes that its pieces, and all buffers, are aligned to.
inline constexpr int64_t kSharedAlign = 16, kBufferAlign = 64;

class Emitter final : public kernels::Emitter {
public:
  /// `device` null: nothing is known of it.
  Emitter(mlir::OpBuilder &builder, kernel::FuncOp kernel, mlir::ModuleOp into, target::GPUAttr device)
      : kernels::Emitter(builder, kernel, 1, /*hasFMA=*/true), device(device), module(into) {
    bufferAlign = kBufferAlign;
  }

  target::GPUAttr device;
  /// Whether neighbours in memory can be moved as a vector: SPIR-V has none in memory that was declared as scalars.
  bool hasVectors() const { return device && device.getApi() != target::DeviceApi::Vulkan; }

  /// Makes `func.func @tn_kernel_<name>(args, group, thread, report)` for workgroups of so many threads, and stands in its
  /// body; `finish` closes it.
  void begin(int64_t threads);
  void finish();
  /// Writes what is known of the failure of lowest site to `report`: { u32 site, u32, i64 a, i64 b }; docs/devices.md.
  void fail(mlir::Value condition, unsigned site, mlir::Value a, mlir::Value b) override;

  int64_t threads = 0;
  mlir::Value group, thread; ///< i64

  // -- shared memory --------------------------------------------------------------------------------------------------
  mlir::Value shared(mlir::Type element, int64_t count, int64_t align = kSharedAlign);
  mlir::Value loadShared(mlir::Value memory, mlir::Value index);
  void storeShared(mlir::Value memory, mlir::Value index, mlir::Value value);
  /// Neighbours; `index` is a multiple of their number.
  mlir::Value loadSharedVector(mlir::Value memory, mlir::Value index, int64_t lanes);
  void storeSharedVector(mlir::Value memory, mlir::Value index, mlir::Value vector);
  /// Where an element lies, as a pointer.
  mlir::Value sharedAddress(mlir::Value memory, mlir::Value index);
  /// What threads wrote before is seen by all behind it. Must be reached by all threads of a workgroup.
  void barrier();
  // -- tensors that tiles are copied from -----------------------------------------------------------------------------
  /// Dimensions of a tensor in an argument, the one of neighbours first, and of the tile that one copy brings.
  struct TensorMap {
    mlir::BlockArgument argument;
    int64_t offset, elementBytes;                          ///< bytes
    llvm::SmallVector<mlir::AffineExpr> sizes, strides;    ///< elements
    llvm::SmallVector<int64_t> tile;
  };
  /// Whether a launch can pass so many of them.
  static bool hasRoomForMaps(kernel::FuncOp kernel, int64_t count);
  /// Pointer of what a launch passes for it.
  mlir::Value tensorMap(const TensorMap &map);

  // -- subgroups: threads that run in step ----------------------------------------------------------------------------
  struct Subgroup {
    mlir::Value size, number, lane; ///< i64; which of the workgroup's it is, and which thread of it
  };
  Subgroup findSubgroup();
  /// What the lane has whose number differs in the bits of `mask`. `value` has 32 or 64 bits.
  mlir::Value shuffle(mlir::Value value, mlir::Value mask);
  /// The combination of one value of each thread, in an order that depends on the subgroups' size alone; the same in all
  /// threads. `memory` has room for one value of each. Two barriers stand in it.
  mlir::Value combineThreads(graph::ReduceKind kind, mlir::Value value, mlir::Value memory);

  mlir::func::FuncOp function; ///< null before `begin`

private:
  mlir::ModuleOp module;
  mlir::Value args, report;
  llvm::SmallVector<mlir::Attribute> maps;
  unsigned sharedCount = 0;
};

/// Moves the body of a device function, all but its end, to where `b` stands, for groups below `groups` only: a grid of two
/// dimensions may have more of them than there are tiles. `arguments` stand for the function's.
void guardBody(mlir::OpBuilder &b, mlir::Block &body, mlir::Value groups, llvm::ArrayRef<mlir::Value> arguments);

/// Threads for what has one element for each thread.
inline constexpr int64_t kThreads = 128;
/// Processors of a large device: with fewer tiles some have nothing to do. Symbolic sizes count as many.
inline constexpr int64_t kProcessors = 96, kManyElements = 1024;

/// Each writes the body of one kernel and sets its `tiles`, `scratch` and `work`.
mlir::LogicalResult emitPointwise(Emitter &e);
mlir::LogicalResult emitRows(Emitter &e);
mlir::LogicalResult emitContract(Emitter &e, graph::ContractOp root);
mlir::LogicalResult emitConv(Emitter &e, graph::ConvOp root);
mlir::LogicalResult emitWindow(Emitter &e, graph::ReduceWindowOp root);
mlir::LogicalResult emitAttention(Emitter &e, graph::AttentionOp root);
mlir::LogicalResult emitArgReduce(Emitter &e, graph::ArgReduceOp root);
mlir::LogicalResult emitCumulate(Emitter &e, graph::CumulateOp root);

} // namespace tenon::device
#endif
