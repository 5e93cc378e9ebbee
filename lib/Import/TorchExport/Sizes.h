// Symbolic sizes of an exported program as AffineExpr over the symbols of the function that is made.
#ifndef TENON_IMPORT_TORCHEXPORT_SIZES_H
#define TENON_IMPORT_TORCHEXPORT_SIZES_H

#include "lib/Import/Common/SizeRanges.h"
#include "tenon/Import/TorchExport/Program.h"

namespace tenon::torch_export {

/// Symbols under the names that the exported program has for them.
class SizeSymbols : public SizeRanges {
public:
  using SizeRanges::SizeRanges;

  /// Declares every symbol of `expr` that is new. `ranges` is the program's.
  void declare(const SymExpr &expr, const std::map<std::string, Range> &ranges);

  /// The size as an expression; null with a reason in `why` when it has none.
  mlir::AffineExpr toExpr(const SymInt &size, std::string *why = nullptr) const;
  mlir::AffineExpr toExpr(const SymExpr &expr, std::string *why = nullptr) const;

private:
  /// numerator / denominator, so that fractions inside sums survive until they are rounded.
  struct Fraction {
    mlir::AffineExpr numerator;
    int64_t denominator = 1;
  };
  std::optional<Fraction> convert(const SymExpr &expr, std::string *why) const;
  std::optional<Fraction> convertSum(const SymExpr &expr, std::string *why) const;
  std::optional<Fraction> convertProduct(const SymExpr &expr, std::string *why) const;
  std::optional<Fraction> convertExtremum(const SymExpr &expr, std::string *why) const;
};

} // namespace tenon::torch_export
#endif
