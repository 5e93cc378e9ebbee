// Instructions by which the threads of a subgroup multiply small matrices together.
#ifndef TENON_LIB_TARGET_DEVICE_MATRIXUNIT_H
#define TENON_LIB_TARGET_DEVICE_MATRIXUNIT_H

#include "Emitter.h"

namespace tenon::device {

/// C[m, n] += A[m, k] * B[k, n], with the elements of all three dealt out among the lanes of a subgroup. Operands are f16 or
/// bf16, or f32 that is rounded to TF32; C is f32.
class MatrixUnit {
public:
  /// Whether the device has one for operands of this type (a device that is null has none).
  static bool isFor(target::GPUAttr device, mlir::Type operand);
  MatrixUnit(target::GPUAttr device, mlir::Type operand);
  /// Threads that multiply together.
  static int64_t lanesOf(target::GPUAttr device);

  int64_t m, n, k;
  int64_t chunk; ///< elements of an operand in 16 bytes
  /// Whether what a lane holds is the driver's secret: then there are neither runs nor places, a fragment is one value, and
  /// what is in shared memory has one distance between its lines.
  bool isOpaque() const { return kind == target::MatrixUnit::Cooperative; }

  /// Neighbours along k that a lane holds, of one row of A or one column of B.
  struct Run {
    mlir::Value line, depth;
    int64_t length;
  };
  /// Of operands of 16 bits.
  llvm::SmallVector<Run> runsOfA(Emitter &e, mlir::Value lane) const;
  llvm::SmallVector<Run> runsOfB(Emitter &e, mlir::Value lane) const;

  /// What a lane holds of one matrix.
  using Fragment = llvm::SmallVector<mlir::Value>;
  /// The fragments of `kLines` rows of A, which is one, or columns of B, from shared memory; `place` gives the offset of an
  /// element there. The neighbours of a chunk along k lie together, 16-byte aligned. `pitch`: from a line to the
  /// next, where the unit is opaque; else of no account.
  static constexpr int64_t kLines = 16;
  using Place = llvm::function_ref<mlir::Value(mlir::Value line, mlir::Value k)>;
  Fragment loadA(Emitter &e, mlir::Value memory, mlir::Value lane, Place place, int64_t pitch) const;
  llvm::SmallVector<Fragment> loadB(Emitter &e, mlir::Value memory, mlir::Value lane, Place place, int64_t pitch) const;
  /// The same of B whose columns are neighbours in memory: `place` gives the offset of (k, column). Of `mma` only.
  llvm::SmallVector<Fragment> loadAcross(Emitter &e, mlir::Value memory, mlir::Value lane, Place place) const;
  /// What a lane holds of A, 16 rows of the depth of two neighbouring C, is what it holds of those. Of `mma` only.
  Fragment asA(Emitter &e, mlir::Value left, mlir::Value right) const;
  /// Where the elements of C are that a lane holds: row and column.
  using Places = llvm::SmallVector<std::pair<mlir::Value, mlir::Value>>;
  Places placesOfC(Emitter &e, mlir::Value lane) const;
  /// Writes the lane's elements of C to shared memory with rows `pitch` apart, from a row and a column on.
  void storeC(Emitter &e, mlir::Value sums, const Places &places, mlir::Value memory, int64_t pitch, mlir::Value row,
              mlir::Value column) const;
  /// What `storeC` wrote, of an opaque unit.
  mlir::Value loadC(Emitter &e, mlir::Value memory, int64_t pitch, mlir::Value row, mlir::Value column) const;
  /// C of zeros.
  mlir::Value zeroC(Emitter &e) const;

  /// The lane's share of A * B + c, from its runs.
  mlir::Value multiply(Emitter &e, llvm::ArrayRef<mlir::Value> a, llvm::ArrayRef<mlir::Value> b, mlir::Value c) const;

private:
  /// Elements of C of a lane; they are a vector.
  int64_t countOfC() const;

  target::MatrixUnit kind;
  mlir::Type operand;
};

/// Offsets in a block from a line and a depth on; lines are `pitch` apart.
inline auto linesFrom(Emitter &e, int64_t pitch, mlir::Value firstLine, int64_t firstDepth) {
  return [&e, pitch, firstLine, firstDepth](mlir::Value line, mlir::Value depth) {
    return e.add(e.mul(e.add(firstLine, line), e.i64(pitch)), e.add(e.i64(firstDepth), depth));
  };
}

} // namespace tenon::device
#endif
