//===- Compile.h - from a model to a file ---------------------------------===//
// The phases in order, and the one function that runs them all.
#ifndef TENON_PIPELINES_COMPILE_H
#define TENON_PIPELINES_COMPILE_H

#include "dialects/Target/IR/TargetDialect.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

namespace tenon {

class WeightStore;

/// The phases a model passes through; the names are those of `--stop-after` and `--dump-ir`.
enum class Phase { Import, Raise, Freeze, Quantize, Derive, Simplify, Form, Lower, Plan, Host, Package };
llvm::StringRef phaseName(Phase phase);
std::optional<Phase> parsePhase(llvm::StringRef name);
/// All names, for messages.
std::string phaseNames();

/// What comes out.
enum class EmitKind { Bundle, Object, SharedObject, MLIR, LLVM, Assembly, SPIRV, PTX, Cubin, CodeObject };
std::optional<EmitKind> parseEmitKind(llvm::StringRef name);

/// One way to run the model.
struct CompileTarget {
  std::string level = "host"; ///< of the CPU: `host`, `x86-64-v2`, …
  std::string device = {};    ///< "vulkan", "cuda:sm_80", …; empty: the CPU runs all
};

struct CompileOptions {
  std::string output;                    ///< file to write; written beside and renamed. With EmitKind::SPIRV a folder
  EmitKind emit = EmitKind::Bundle;
  /// Each a variant of the file, in order of preference; empty means the CPU at hand.
  std::vector<CompileTarget> targets;
  unsigned threads = 0;                  ///< of the compiler; 0: as many as there are processors
  std::optional<Phase> stopAfter;        ///< writes the IR after this phase to `output`
  std::vector<Phase> dumpAfter;          ///< prints the IR after these phases to stderr
  /// Called when a phase starts, with its share of the work done so far in 0..1.
  std::function<void(Phase, double)> progress;
  std::string producer = "tenon";
  /// When set, it gets the planned module of the first target, and the compilation ends there: no machine code is made,
  /// nothing is written.
  std::function<void(mlir::ModuleOp)> onPlan = {};
};

struct CompileStatistics {
  std::vector<std::pair<Phase, double>> seconds;
  unsigned kernels = 0;
  int64_t codeBytes = 0, constantBytes = 0;
};

/// Runs all phases after import on `module` and writes the output. Diagnostics go to the context's handler.
mlir::LogicalResult compile(mlir::ModuleOp module, WeightStore &weights, const CompileOptions &options,
                            CompileStatistics *statistics = nullptr);

/// Adds the passes of the phases raise .. simplify, which all targets share.
void buildGraphPipeline(mlir::OpPassManager &pm);

} // namespace tenon
#endif
