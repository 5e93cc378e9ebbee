//===- DeviceCode.h - what a device's driver is given ---------------------===//
#ifndef TENON_LIB_PIPELINES_DEVICECODE_H
#define TENON_LIB_PIPELINES_DEVICECODE_H

#include "tenon/Bundle/Writer.h"

namespace tenon {

/// Code of the functions of one thread in `functions`, which are used up: SPIR-V modules, PTX with a cubin where ptxas is
/// there, or a code object. `threads` of the compiler; 0: as many as there are processors.
mlir::LogicalResult writeDeviceProgram(mlir::ModuleOp functions, target::GPUAttr device, unsigned threads,
                                       DeviceProgram &program);

} // namespace tenon
#endif
