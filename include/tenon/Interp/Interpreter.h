//===- Interpreter.h - reference executor of the graph dialect ------------===//
// Evaluates functions of the graph dialect directly, op by op, as the .td files describe them. It shares with the
// compiler the parser, the types and the verifiers, and nothing of the lowering: it is the oracle that tests compare with.
#ifndef TENON_INTERP_INTERPRETER_H
#define TENON_INTERP_INTERPRETER_H

#include "dialects/Graph/IR/GraphDialect.h"
#include "tenon/Interp/Tensor.h"
#include "tenon/Support/WeightData.h"
#include <functional>

namespace tenon::interp {

/// Gives the bytes of a weight, in its element type, little endian.
using WeightProvider = std::function<llvm::Expected<WeightBytes>(graph::WeightOp)>;
/// The bytes that `store` has; the store must outlive the provider.
WeightProvider makeWeightProvider(WeightStore &store);

/// How far outputs move when inputs move by one unit in the last place.
struct Conditioning {
  /// Largest |changed - reference| / |reference| of any element (infinite where a reference of 0 changed, or where one
  /// of the two is not finite and the other differs).
  double elementwise = 0;
  /// Largest |changed - reference| over the largest finite |reference| of the tensor.
  double normwise = 0;
  /// Elements of an integer or i1 output that changed, at most, in one run.
  int64_t flips = 0;
};

/// Numbers: inside one op floats are f64 and complex numbers pairs of f64; each result is rounded to its element type
/// (in the region of `graph.map`, each scalar op's result to that op's type). Integers wrap at their width. What arith
/// calls undefined is an error where it stops a machine (division by zero), and otherwise: a float converted to an
/// integer that cannot hold it gives the low bits of the truncated value, or of -2^63 where i64 cannot hold it either;
/// a shift by the width or more gives 0, or the sign for `shrsi`.
///
/// Errors are diagnostics at the op; nothing in a verified module can crash the interpreter, short of exhausting the
/// stack through recursion or memory below `maxElements`.
class Interpreter {
public:
  explicit Interpreter(mlir::ModuleOp module, WeightProvider weights = {});

  /// Largest tensor that may be made, in elements; a larger one is an error.
  int64_t maxElements = int64_t(1) << 28;
  /// Most steps of one `graph.while`; more is an error.
  int64_t maxSteps = int64_t(1) << 20;

  /// Calls function `entry`. Sizes bind its symbols; `symbols` gives values to those that no input shows, by position
  /// (-1: not given). Checks every size against its expression and range. Emits the reason when it fails.
  mlir::FailureOr<std::vector<Tensor>> run(llvm::StringRef entry, llvm::ArrayRef<Tensor> inputs,
                                           llvm::ArrayRef<int64_t> symbols = {});

  /// Runs `entry` as it is and `runs` times with every element of every float and complex input moved by one unit in
  /// the last place of its type, up or down as `seed` says (zeros, infinities and NaN stay); one result per output.
  mlir::FailureOr<std::vector<Conditioning>> measureConditioning(llvm::StringRef entry, llvm::ArrayRef<Tensor> inputs,
                                                                 int64_t runs, uint64_t seed = 0,
                                                                 llvm::ArrayRef<int64_t> symbols = {});

  /// The value of a `graph.weight`; read once, then kept.
  mlir::FailureOr<Tensor> weight(graph::WeightOp op, mlir::Operation *user);
  /// The value a variable starts with.
  mlir::FailureOr<Tensor> initialValue(graph::VariableOp op);

  mlir::FailureOr<std::vector<Tensor>> call(mlir::func::FuncOp function, llvm::ArrayRef<Tensor> inputs,
                                            llvm::ArrayRef<int64_t> symbols, mlir::Location caller);
  mlir::ModuleOp getModule() const { return module; }

private:
  mlir::ModuleOp module;
  WeightProvider weights;
  llvm::DenseMap<mlir::Operation *, Tensor> weightCache;
  int callDepth = 0;
};

/// The shape that `type` has for these symbol values; nullopt where a size is unknown, negative or overflows.
std::optional<Shape> evaluateShape(mlir::RankedTensorType type, llvm::ArrayRef<std::optional<int64_t>> symbols);
/// Elements uniform as in a `seed` weight of this name (floats in [-1, 1), integers in [-4, 4]).
Tensor makeRandom(mlir::Type elementType, llvm::ArrayRef<int64_t> shape, llvm::StringRef name);

} // namespace tenon::interp
#endif
