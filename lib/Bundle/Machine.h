//===- Machine.h - what writing code for CPUs and devices has in common ---===//
#ifndef TENON_LIB_BUNDLE_MACHINE_H
#define TENON_LIB_BUNDLE_MACHINE_H

#include "tenon/Bundle/Emit.h"
#include "llvm/Target/TargetMachine.h"

namespace tenon {

struct Machine {
  std::string triple, cpu, features;
};

llvm::Expected<std::unique_ptr<llvm::TargetMachine>> makeMachine(const Machine &machine, int optLevel);
/// Tells the module what it is for; removes names of files.
void describe(llvm::Module &module, const llvm::TargetMachine &machine);
/// Kernels come tiled, unrolled and vectorized. What is left is to clean up addresses and to move them out of loops; LLVM's own
/// vectorizers would only undo the register tiles (loads of neighbouring scalars become one vector, whose lanes then spill).
inline constexpr llvm::StringLiteral kKernelPasses =
    "function<eager-inv>(sroa<modify-cfg>,early-cse<memssa>,simplifycfg,instcombine<no-verify-fixpoint>,"
    "loop-mssa(loop-rotate,licm),early-cse<memssa>,loop(indvars,loop-deletion),"
    "instcombine<no-verify-fixpoint>,gvn,adce,simplifycfg),globaldce";
/// Runs a pipeline of passes by their names, without any library function.
void optimize(llvm::Module &module, llvm::TargetMachine &machine, llvm::StringRef pipeline);
llvm::Expected<std::string> writeCode(llvm::Module &module, llvm::TargetMachine &machine, llvm::CodeGenFileType kind);

/// A folder of its own for the files of a tool, removed again at the end.
class WorkFolder {
public:
  static llvm::Expected<WorkFolder> make(llvm::StringRef purpose);
  WorkFolder(WorkFolder &&other) : path(std::move(other.path)) { other.path.clear(); }
  WorkFolder(const WorkFolder &) = delete;
  ~WorkFolder();

  /// Where a file of this name lies.
  std::string place(const llvm::Twine &name) const;
  /// Writes such a file; returns its place.
  llvm::Expected<std::string> write(const llvm::Twine &name, llvm::StringRef bytes) const;
  llvm::Expected<std::string> read(const llvm::Twine &name) const;
  /// A tool's messages without the folder's own path.
  std::string clean(llvm::StringRef messages) const;

private:
  explicit WorkFolder(std::string path) : path(std::move(path)) {}
  std::string path;
};

/// Runs lld as `ld.lld` in this process.
llvm::Error runLLD(llvm::ArrayRef<std::string> arguments, const WorkFolder &folder);

} // namespace tenon
#endif
