// Instructions by which the threads of a subgroup multiply small matrices together.
#ifndef TENON_LIB_TARGET_DEVICE_MATRIXUNIT_H
#define TENON_LIB_TARGET_DEVICE_MATRIXUNIT_H

#include "Emitter.h"

namespace tenon::device {

/// C[m, n] += A[m, k] * B[k, n], with the elements of all three dealt out among the lanes of a subgroup. Operands are f16 or
/// bf16, C is f32.
class MatrixUnit {
public:
  /// Whether the device has one for operands of this type (a device that is null has none).
  static bool isFor(target::GPUAttr device, mlir::Type operand);
  MatrixUnit(target::GPUAttr device, mlir::Type operand);

  int64_t m, n, k;

  /// Neighbours along k that a lane holds, of one row of A or one column of B.
  struct Run {
    mlir::Value line, depth;
    int64_t length;
  };
  llvm::SmallVector<Run> runsOfA(Emitter &e, mlir::Value lane) const;
  llvm::SmallVector<Run> runsOfB(Emitter &e, mlir::Value lane) const;
  /// Where the elements of C are that a lane holds.
  llvm::SmallVector<std::pair<mlir::Value, mlir::Value>> placesOfC(Emitter &e, mlir::Value lane) const;
  /// Elements of C of a lane; they are a vector.
  int64_t countOfC() const;

  /// The lane's share of A * B + c, from its runs.
  mlir::Value multiply(Emitter &e, llvm::ArrayRef<mlir::Value> a, llvm::ArrayRef<mlir::Value> b, mlir::Value c) const;

private:
  target::MatrixUnit kind;
  mlir::Type operand;
};

} // namespace tenon::device
#endif
