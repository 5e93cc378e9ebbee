// What a converter of one operator sees: the node, its arguments by schema name, ways to build graph ops, and a place
// for the results. One file per family of operators holds the converters; `populate…` puts them into the table.
#ifndef TENON_IMPORT_TORCHEXPORT_CONVERTER_H
#define TENON_IMPORT_TORCHEXPORT_CONVERTER_H

#include "Sizes.h"
#include "lib/Import/Common/Random.h"
#include "tenon/Import/TorchExport/Importer.h"
#include "llvm/ADT/StringSet.h"

namespace tenon::torch_export {

class Op;
using Convert = std::function<mlir::LogicalResult(Op &)>;
/// By operator name without "aten." of its overload ("aten.add"), or by the whole name, which goes first.
using ConverterTable = llvm::StringMap<Convert>;

void populateElementwise(ConverterTable &table);
void populateActivation(ConverterTable &table);
void populateLayout(ConverterTable &table);
void populateSlicing(ConverterTable &table);
void populatePadding(ConverterTable &table);
void populateCreation(ConverterTable &table);
void populateReduction(ConverterTable &table);
void populateNorm(ConverterTable &table);
void populateContract(ConverterTable &table);
void populateConvolution(ConverterTable &table);
void populatePooling(ConverterTable &table);
void populateAttention(ConverterTable &table);
void populateIndexing(ConverterTable &table);
void populateRecurrent(ConverterTable &table);
void populateControl(ConverterTable &table);
void populateVarlen(ConverterTable &table);
void populateVmap(ConverterTable &table);
void populateResampling(ConverterTable &table);
void populateFourier(ConverterTable &table);
void populateGradients(ConverterTable &table);
void populatePointwiseGradients(ConverterTable &table);
void populateFound(ConverterTable &table);
void populateFlex(ConverterTable &table);
void populateDistance(ConverterTable &table);
void populateLinearAlgebra(ConverterTable &table);
void populateSelection(ConverterTable &table);
void populateSpecial(ConverterTable &table);
void populateRandom(ConverterTable &table);
void populateSignal(ConverterTable &table);
void populateMarginLosses(ConverterTable &table);
void populateStatistics(ConverterTable &table);
void populateComposites(ConverterTable &table);
void populateSpecialIntegrals(ConverterTable &table);
void populateOrthogonal(ConverterTable &table);
const ConverterTable &converterTable();
/// Whether every element of the operator's result depends on the elements at its place alone.
bool isElementwise(llvm::StringRef op);

/// Position i as often as `repeats[i]` says, `length` numbers in all.
Tensor repeatedPositions(Op &op, Tensor repeats, mlir::AffineExpr length);
/// torch.matmul
Tensor matmul(Op &op, Tensor l, Tensor r);

/// Whether an argument is a number that comes from data and is no size; slices and elements at such places.
bool isFromData(Op &op, llvm::StringRef name);
mlir::LogicalResult convertFoundSlice(Op &op);
mlir::LogicalResult convertFoundSelect(Op &op);

/// A view's two directions: from its base to it, and from base and new view to the new base. `backward` is null where a
/// view cannot be written through.
struct ViewFunctions {
  std::function<Tensor(Op &, Tensor base)> forward;
  std::function<Tensor(Op &, Tensor base, Tensor view)> backward;
};

/// Names to values in one graph. In programs that write in place a value may be a view of another one; then writes go
/// through to the base, and reads see them.
class Environment {
public:
  explicit Environment(bool tracksViews) : tracksViews(tracksViews) {}

  void bind(llvm::StringRef name, Tensor tensor);
  void bindView(llvm::StringRef name, llvm::StringRef base, Tensor tensor, ViewFunctions functions);
  /// A result that could not be made; users of it are skipped.
  void poison(llvm::StringRef name) { poisoned.insert(name); }
  bool isPoisoned(llvm::StringRef name) const { return poisoned.contains(name); }
  bool has(llvm::StringRef name) const { return slots.contains(name); }

  /// The current value; null when there is none under that name. `op` builds what a changed base asks for.
  Tensor read(Op &op, llvm::StringRef name);
  /// Gives `name` a new value and carries it to its base. False when a view on the way cannot be written through.
  bool write(Op &op, llvm::StringRef name, Tensor tensor);
  /// Whether `name` was written to after it was bound.
  bool isWritten(llvm::StringRef name) const;

  /// Values inside vmap: before the `own` dimensions that the program shows, they have one for each level of nesting.
  void markBatched(llvm::StringRef name, int64_t own = 0) { batched[name] = own; }
  bool isBatched(llvm::StringRef name) const { return batched.contains(name); }
  int64_t ownRank(llvm::StringRef name) const { return batched.lookup(name); }

  void bindNumber(llvm::StringRef name, Number number) { numbers[name] = number; }
  const Number *number(llvm::StringRef name) const;

  const bool tracksViews;

private:
  struct Slot {
    Tensor tensor;
    std::string base; ///< empty: owns its elements
    ViewFunctions functions;
    unsigned version = 0, baseVersion = 0;
  };
  llvm::StringMap<Slot> slots;
  llvm::StringMap<Number> numbers;
  llvm::StringSet<> poisoned;
  llvm::StringMap<int64_t> batched; ///< and how many dimensions of their own they have
};

class GraphImporter;

class Op : public GraphBuilder {
public:
  Op(GraphImporter &importer, const Node &node, mlir::OpBuilder &builder, mlir::Location loc);

  GraphImporter &importer;
  const Node &node;
  /// Inside vmap, where some operand has hidden dimensions (see Vmap.cpp), or a plain one of rank 1 or more was read.
  bool isBatched = false, readsPlain = false;
  int64_t levels = 0; ///< of the nest, when `isBatched`
  bool isInPlace = false; ///< the trailing underscore of the operator's name was dropped

  //===--------------------------------------------------------------------===//
  // Arguments, by schema name. One that is missing without a default, or is of a wrong kind, is reported and makes
  // the conversion fail; the value given back is then harmless.
  //===--------------------------------------------------------------------===//
  bool has(llvm::StringRef name) const { return !node.arg(name).isMissingOrNone(); }
  Tensor tensor(llvm::StringRef name);
  /// By the value's name in the graph; null when there is no such tensor.
  Tensor readValue(llvm::StringRef value);
  Tensor optionalTensor(llvm::StringRef name);
  Tensors tensors(llvm::StringRef name);
  /// With nulls where the list has None.
  Tensors optionalTensors(llvm::StringRef name);
  Operand operand(llvm::StringRef name);
  Operand operandOr(llvm::StringRef name, Number byDefault);
  int64_t integer(llvm::StringRef name, std::optional<int64_t> byDefault = std::nullopt);
  double number(llvm::StringRef name, std::optional<double> byDefault = std::nullopt);
  bool flag(llvm::StringRef name, std::optional<bool> byDefault = std::nullopt);
  llvm::StringRef string(llvm::StringRef name, std::optional<llvm::StringRef> byDefault = std::nullopt);
  ScalarType dtype(llvm::StringRef name, ScalarType byDefault);
  mlir::AffineExpr size(llvm::StringRef name, mlir::AffineExpr byDefault = {});
  graph::Dims sizes(llvm::StringRef name);
  llvm::SmallVector<int64_t> integers(llvm::StringRef name,
                                      std::optional<llvm::SmallVector<int64_t>> byDefault = std::nullopt);
  /// As `integers`; a list of one, or a default that is empty, becomes `count` equal entries.
  llvm::SmallVector<int64_t> integersOf(llvm::StringRef name, size_t count, int64_t byDefault);
  /// A dimension, counted from the end when negative.
  int64_t dim(llvm::StringRef name, int64_t rank, std::optional<int64_t> byDefault = std::nullopt);
  /// Dimensions, sorted and without repetition; all of them when missing or empty.
  llvm::SmallVector<int64_t> dims(llvm::StringRef name, int64_t rank);

  //===--------------------------------------------------------------------===//
  // Results
  //===--------------------------------------------------------------------===//
  /// Element type that the exporter recorded for result `i`.
  ScalarType resultDtype(unsigned i = 0) const;
  /// Sizes that the exporter recorded for result `i`; an expression is null where it has none.
  std::optional<graph::Dims> resultDims(unsigned i = 0) const;
  const TensorMeta *resultMeta(unsigned i = 0) const;
  bool isUsed(unsigned i) const;
  /// Sizes and strides that the exporter recorded for a tensor argument; null when there are none.
  const TensorMeta *argumentMeta(llvm::StringRef name) const;
  /// Whether a tensor argument lies in memory row-major and without gaps, so that a new shape of it is a view.
  bool isRowMajor(llvm::StringRef name) const;
  mlir::LogicalResult finish(llvm::ArrayRef<Tensor> results);
  mlir::LogicalResult finish(Tensor result) { return finish(llvm::ArrayRef<Tensor>(result)); }
  /// Result `i` is a view of argument `base`, made by `functions.forward`.
  mlir::LogicalResult finishView(llvm::StringRef base, llvm::ArrayRef<ViewFunctions> functions);
  mlir::LogicalResult finishView(llvm::StringRef base, ViewFunctions functions) {
    return finishView(base, llvm::ArrayRef(functions));
  }
  /// The result is the argument itself.
  mlir::LogicalResult finishAlias(llvm::StringRef base);

  /// Coordinates of the true elements, a row each; null when `mask` is. Their number becomes the symbol that the
  /// exporter recorded as the first size of result `of` that is not known yet, else one of its own.
  Tensor nonzero(Tensor mask, unsigned of = 0);

  /// A number (i64 of rank 0) becomes the size that the exporter recorded as the first unknown one of result `of`. Null,
  /// and reported, where nothing bounds it.
  mlir::AffineExpr foundSize(Tensor value, unsigned of = 0);

  /// Of the program's random numbers. Null, and reported, under vmap.
  RandomSource randomSource();

  mlir::LogicalResult error(const llvm::Twine &text) override;
  using GraphBuilder::unsupported;
  mlir::LogicalResult unsupported(const llvm::Twine &reason, const llvm::Twine &wayOut) override;

private:
  template <typename T> T get(llvm::StringRef name, std::optional<T> byDefault, llvm::StringRef what);
  mlir::AffineExpr toExpr(const SymIntArg &arg, llvm::StringRef name);
  std::optional<Number> toNumber(const Argument &arg);
  mlir::FailureOr<Tensor> checkResult(Tensor tensor, unsigned i);
  int64_t largestOwnRank();
  mlir::LogicalResult finishBatched(llvm::ArrayRef<Tensor> results);
  bool isAlias = false;
};

} // namespace tenon::torch_export
#endif
