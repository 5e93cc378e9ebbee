//===- Emitter.h - where the code of a CPU kernel is written --------------===//
#ifndef TENON_LIB_TARGET_CPU_KERNELS_EMITTER_H
#define TENON_LIB_TARGET_CPU_KERNELS_EMITTER_H

#include "../../Kernels/Epilogue.h"
#include "dialects/Target/IR/TargetDialect.h"

namespace tenon::cpu {

using kernels::bindPoint;
using kernels::delinearize;
using kernels::Evaluator;
using kernels::Point;
using kernels::accumulatorFor;
using kernels::emitEpilogue;
using kernels::EpilogueElement;
using kernels::fromAccumulator;
using kernels::leafOf;
using kernels::resolveStrided;
using kernels::resultsOf;
using kernels::setSchedule;
using kernels::storageBytes;
using kernels::storageType;
using kernels::StridedAddress;
using kernels::toAccumulator;
using kernels::workPerPoint;

/// A function over a range of tiles, tn_kernel_fn of abi.h.
class Emitter final : public kernels::Emitter {
public:
  Emitter(mlir::OpBuilder &builder, kernel::FuncOp kernel, target::CPUAttr target)
      : kernels::Emitter(builder, kernel, target.getVectorBits() / 32, target.getHasFMA()), target(target) {}

  /// Makes `func.func @tn_kernel_<name>` and stands in its body; `finish` closes it.
  mlir::func::FuncOp begin(mlir::ModuleOp into);
  void finish();
  void fail(mlir::Value condition, unsigned site, mlir::Value a, mlir::Value bb) override;

  target::CPUAttr target;
  mlir::Value tileBegin, tileEnd, scratch;

private:
  mlir::Value frame;
  mlir::Value status; ///< pointer to the i32 this call returns
};

} // namespace tenon::cpu
#endif
