// Symbolic sizes of an exported program as AffineExpr over the symbols of the function that is made.
#ifndef TENON_IMPORT_TORCHEXPORT_SIZES_H
#define TENON_IMPORT_TORCHEXPORT_SIZES_H

#include "dialects/Graph/IR/GraphDialect.h"
#include "tenon/Import/TorchExport/Program.h"

namespace tenon::torch_export {

/// The symbols s0, s1, … of the function, what they are called in the program, and their ranges.
class SizeSymbols {
public:
  explicit SizeSymbols(mlir::MLIRContext *context) : context(context) {}

  /// Declares every symbol of `expr` that is new. `ranges` is the program's.
  void declare(const SymExpr &expr, const std::map<std::string, Range> &ranges);
  /// Declares a symbol whose value the call finds: at most `bound`, over the symbols before it. Its position.
  unsigned declareFound(llvm::StringRef name, int64_t min, int64_t max, mlir::AffineExpr bound);
  bool isDeclared(llvm::StringRef name) const { return positions.contains(name); }
  /// Notes what the exporter's example inputs had for a symbol, for checks.
  void noteHint(llvm::StringRef symbol, int64_t value);

  /// The size as an expression; null with a reason in `why` when it has none.
  mlir::AffineExpr toExpr(const SymInt &size, std::string *why = nullptr) const;
  mlir::AffineExpr toExpr(const SymExpr &expr, std::string *why = nullptr) const;

  /// Value of `expr` at the exporter's example, where all hints are known.
  std::optional<int64_t> hint(mlir::AffineExpr expr) const;
  /// Whether a <= b for all sizes; none when it is not known. The exporter assumes sizes of 2 and more, but its
  /// programs run with 0 and 1 too: where an answer needs that assumption, the symbols' declared ranges begin higher
  /// for it.
  std::optional<bool> isLessEqual(mlir::AffineExpr a, mlir::AffineExpr b);

  mlir::ArrayAttr toAttr() const;
  bool empty() const { return names.empty(); }

  static constexpr int64_t kMaxSize = int64_t(1) << 31;

private:
  /// numerator / denominator, so that fractions inside sums survive until they are rounded.
  struct Fraction {
    mlir::AffineExpr numerator;
    int64_t denominator = 1;
  };
  std::optional<Fraction> convert(const SymExpr &expr, std::string *why) const;
  std::optional<Fraction> convertSum(const SymExpr &expr, std::string *why) const;
  std::optional<Fraction> convertProduct(const SymExpr &expr, std::string *why) const;
  std::optional<bool> isLessEqual(mlir::AffineExpr a, mlir::AffineExpr b, int64_t floor) const;
  std::optional<Fraction> convertExtremum(const SymExpr &expr, std::string *why) const;

  mlir::MLIRContext *context;
  llvm::SmallVector<std::string> names;
  llvm::SmallVector<std::pair<int64_t, int64_t>> ranges; ///< as the exporter says
  llvm::SmallVector<int64_t> floors;                     ///< at least this size is assumed, 0 … 2
  llvm::SmallVector<mlir::AffineExpr> bounds;            ///< of symbols that a call finds; null for the others
  llvm::StringMap<unsigned> positions;
  llvm::StringMap<int64_t> hints;
};

} // namespace tenon::torch_export
#endif
