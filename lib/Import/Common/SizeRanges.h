// Symbolic sizes of the function that is made: their names, ranges and the values that an example had.
#ifndef TENON_IMPORT_COMMON_SIZERANGES_H
#define TENON_IMPORT_COMMON_SIZERANGES_H

#include "dialects/Graph/IR/GraphDialect.h"
#include "llvm/ADT/StringMap.h"

namespace tenon::frontend {

/// The symbols s0, s1, … of the function, what they are called in the model, and their ranges.
class SizeRanges {
public:
  explicit SizeRanges(mlir::MLIRContext *context) : context(context) {}

  /// The symbol of that name; declared with this range when it is new.
  mlir::AffineExpr declare(llvm::StringRef name, int64_t low = 0, int64_t high = kMaxSize);
  /// Declares a symbol whose value the call finds: at most `bound`, over the symbols before it. Its position.
  unsigned declareFound(llvm::StringRef name, int64_t min, int64_t max, mlir::AffineExpr bound);
  bool isDeclared(llvm::StringRef name) const { return positions.contains(name); }
  /// Notes what an example input had for a symbol, for checks.
  void noteHint(llvm::StringRef symbol, int64_t value);

  /// Value of `expr` at the example, where all hints are known.
  std::optional<int64_t> hint(mlir::AffineExpr expr) const;
  /// Whether a <= b for all sizes; none when it is not known. An exporter may assume sizes of 2 and more, but its
  /// programs run with 0 and 1 too: where an answer needs that assumption, the symbols' declared ranges begin higher
  /// for it.
  std::optional<bool> isLessEqual(mlir::AffineExpr a, mlir::AffineExpr b);

  /// An expression that `expr` does not exceed, without symbols that a call finds; null when none is known.
  mlir::AffineExpr boundOf(mlir::AffineExpr expr) const;

  mlir::ArrayAttr toAttr() const;
  bool empty() const { return names.empty(); }

  static constexpr int64_t kMaxSize = int64_t(1) << 31;
  /// torch specializes sizes 0 and 1 while tracing and so never notes a smaller bound than this.
  static constexpr int64_t kAssumedMin = 2;

protected:
  std::optional<bool> isLessEqual(mlir::AffineExpr a, mlir::AffineExpr b, int64_t floor) const;

  mlir::MLIRContext *context;
  llvm::SmallVector<std::string> names;
  llvm::SmallVector<std::pair<int64_t, int64_t>> ranges; ///< as the model says
  llvm::SmallVector<int64_t> floors;                     ///< at least this size is assumed, 0 … 2
  llvm::SmallVector<mlir::AffineExpr> bounds;            ///< of symbols that a call finds; null for the others
  llvm::StringMap<unsigned> positions;
  llvm::StringMap<int64_t> hints;
};

} // namespace tenon::frontend
#endif
