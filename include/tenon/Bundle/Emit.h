//===- Emit.h - LLVM modules to machine code ------------------------------===//
#ifndef TENON_BUNDLE_EMIT_H
#define TENON_BUNDLE_EMIT_H

#include "dialects/Target/IR/TargetDialect.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/Support/Error.h"

namespace llvm {
class Module;
}

namespace tenon {

struct EmitOptions {
  int optLevel = 2; ///< 0: no optimization
};

/// Optimizes `module` for `cpu` and turns it into an ELF object: position independent, small code model, a section for
/// each function, no unwind tables. Thread-safe when each module has a context of its own. The module is changed.
llvm::Expected<std::string> emitObject(llvm::Module &module, target::CPUAttr cpu, const EmitOptions &options = {});
/// The same as assembly text.
llvm::Expected<std::string> emitAssembly(llvm::Module &module, target::CPUAttr cpu, const EmitOptions &options = {});
/// The same as LLVM IR after optimization.
llvm::Expected<std::string> emitLLVM(llvm::Module &module, target::CPUAttr cpu, const EmitOptions &options = {});

/// Optimizes the kernels of `module` for a device of NVIDIA or AMD: PTX text, or an ELF object for `linkCodeObject`.
/// Thread-safe when each module has a context of its own. The module is changed.
llvm::Expected<std::string> emitDevice(llvm::Module &module, target::GPUAttr device, const EmitOptions &options = {});
/// PTX of several modules for one architecture as one module; their names must differ.
std::string joinPTX(llvm::ArrayRef<std::string> parts);
/// The machine code of PTX, by the `ptxas` that TENON_PTXAS names or the PATH has. Empty when there is none, or TENON_PTXAS
/// is empty: drivers compile PTX too.
llvm::Expected<std::string> assemblePTX(llvm::StringRef ptx, target::GPUAttr device);
/// Objects of AMD's kernels as one code object.
llvm::Expected<std::string> linkCodeObject(llvm::ArrayRef<std::string> objects);

/// The builtins that images may use, as an object for `cpu`.
llvm::Expected<std::string> emitBuiltins(target::CPUAttr cpu);

/// Names of all features that code for `cpu` may use, as the file format lists them.
std::vector<std::string> requiredFeatures(target::CPUAttr cpu);

} // namespace tenon
#endif
