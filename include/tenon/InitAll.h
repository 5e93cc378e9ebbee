//===- InitAll.h - all registration, explicit -----------------------------===//
#ifndef TENON_INITALL_H
#define TENON_INITALL_H

#include "dialects/Graph/IR/GraphDialect.h"
#include "dialects/Graph/Transforms/Passes.h"
#include "dialects/Kernel/IR/KernelDialect.h"
#include "dialects/Plan/IR/PlanDialect.h"
#include "dialects/Plan/Transforms/Passes.h"
#include "dialects/Rt/IR/RtDialect.h"
#include "dialects/Target/IR/TargetDialect.h"
#include "mlir/Dialect/Complex/IR/Complex.h"
#include "mlir/Transforms/Passes.h"
#include "tenon/Conversion/GraphToKernel.h"
#include "tenon/Conversion/KernelToPlan.h"
#include "tenon/Conversion/PlanToRt.h"
#include "tenon/Target/CPU/LowerKernels.h"
#include "tenon/Target/CPU/Passes.h"
#include "tenon/Target/Device/LowerKernels.h"
#include "tenon/Target/LLVMGPU/Lower.h"
#include "tenon/Target/SPIRV/Serialize.h"

namespace tenon {

inline void registerAllDialects(mlir::DialectRegistry &registry) {
  registry.insert<mlir::arith::ArithDialect, mlir::math::MathDialect, mlir::complex::ComplexDialect,
                  mlir::func::FuncDialect, mlir::scf::SCFDialect, mlir::vector::VectorDialect,
                  mlir::LLVM::LLVMDialect, graph::GraphDialect, kernel::KernelDialect,
                  plan::PlanDialect,
                  rt::RtDialect,
                  target::TargetDialect>();
}

inline void registerAllPasses() {
  mlir::registerCanonicalizerPass();
  mlir::registerCSEPass();
  mlir::registerSymbolDCEPass();
  cpu::registerLowerKernelsPasses();
  cpu::registerCPUTargetPasses();
  device::registerDevicePasses();
  llvmgpu::registerLLVMGPUPasses();
  spirv::registerSPIRVPasses();
  registerConvertGraphToKernelPass();
  graph::registerGraphPasses();
  registerConvertKernelToPlanPass();
  plan::registerGroupCallsPass();
  plan::registerAssignOffsetsPass();
  plan::registerVerifyMemoryPass();
  registerConvertPlanToRtPass();
  registerConvertRtToLLVMPass();
}

} // namespace tenon
#endif
