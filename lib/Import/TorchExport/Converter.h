// What a converter of one operator sees: the node, its arguments by schema name, ways to build graph ops, and a place
// for the results. One file per family of operators holds the converters; `populate…` puts them into the table.
#ifndef TENON_IMPORT_TORCHEXPORT_CONVERTER_H
#define TENON_IMPORT_TORCHEXPORT_CONVERTER_H

#include "Scalars.h"
#include "Sizes.h"
#include "tenon/Import/TorchExport/Importer.h"
#include "llvm/ADT/StringSet.h"

namespace tenon::torch_export {

/// A tensor value with its PyTorch element type (signless MLIR types do not tell uint8 from int8). May be null: every
/// builder below takes a null tensor for "an error was reported" and gives null back.
struct Tensor {
  mlir::Value value;
  ScalarType dtype = ScalarType::Unknown;

  explicit operator bool() const { return static_cast<bool>(value); }
  mlir::RankedTensorType type() const { return mlir::cast<mlir::RankedTensorType>(value.getType()); }
  int64_t rank() const { return type().getRank(); }
  graph::Dims dims() const { return graph::getDims(value.getType()); }
  mlir::AffineExpr dim(int64_t i) const { return graph::getDim(value.getType(), i); }
};
using Tensors = llvm::SmallVector<Tensor, 4>;

/// A Python number; `expr` when it is a symbolic integer.
struct Number {
  ScalarType kind = ScalarType::Long; ///< Bool, Long, Double or ComplexDouble
  int64_t integer = 0;
  std::complex<double> real;
  mlir::AffineExpr expr;

  static Number of(double value) { return {ScalarType::Double, 0, value, {}}; }
  static Number of(int64_t value) { return {ScalarType::Long, value, static_cast<double>(value), {}}; }
  bool isConstant() const { return !expr; }
  double asDouble() const { return kind == ScalarType::Double ? real.real() : static_cast<double>(integer); }
};

/// What an elementwise operator reads: a tensor or a number. `dims[k]` is the result's dimension that the tensor's
/// dimension k goes along; without it dimensions are aligned at the right, as PyTorch does.
struct Operand {
  Tensor tensor;
  std::optional<Number> number;
  std::optional<llvm::SmallVector<int64_t>> dims;
  bool isWrapped = false; ///< a tensor of rank 0 that stands for a Python number
  bool isRaw = false;     ///< the body gets the tensor's own type: a condition, an integer beside floats

  Operand() = default;
  Operand(Tensor tensor) : tensor(tensor) {}
  Operand(Number number) : number(number) {}
  Operand(Tensor tensor, llvm::ArrayRef<int64_t> dims)
      : tensor(tensor), dims(llvm::SmallVector<int64_t>(dims.begin(), dims.end())) {}
  static Operand raw(Tensor tensor) {
    Operand operand(tensor);
    operand.isRaw = true;
    return operand;
  }
  bool isNull() const { return !number && !tensor; }
  ScalarType dtype() const { return number ? number->kind : tensor.dtype; }
};

/// 0, 1, … count - 1
llvm::SmallVector<int64_t> upTo(int64_t count);

/// torch.result_type.
ScalarType resultType(llvm::ArrayRef<Operand> operands);

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
const ConverterTable &converterTable();

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

  /// Values inside vmap: their dimensions are the levels of nesting, and more than the program shows.
  void markBatched(llvm::StringRef name) { batched.insert(name); }
  bool isBatched(llvm::StringRef name) const { return batched.contains(name); }

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
  llvm::StringSet<> poisoned, batched;
};

class GraphImporter;

class Op {
public:
  Op(GraphImporter &importer, const Node &node, mlir::OpBuilder &builder, mlir::Location loc);

  GraphImporter &importer;
  const Node &node;
  mlir::OpBuilder &b;
  mlir::Location loc;
  /// Inside vmap, where some operand has hidden dimensions (see Vmap.cpp), or a plain one of rank 1 or more was read.
  bool isBatched = false, readsPlain = false;
  bool isInPlace = false; ///< the trailing underscore of the operator's name was dropped
  mlir::MLIRContext *context() const { return b.getContext(); }

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
  int64_t wrapDim(int64_t dim, int64_t rank);
  bool isBad() const { return bad; }

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

  //===--------------------------------------------------------------------===//
  // Errors
  //===--------------------------------------------------------------------===//
  /// The file has something that the operator does not take. Gives null and failure.
  mlir::LogicalResult error(const llvm::Twine &text);
  Tensor errorTensor(const llvm::Twine &text) { return (void)error(text), Tensor(); }
  /// A use of the operator that tenon does not know; collected, with others, for one report.
  mlir::LogicalResult unsupported(const llvm::Twine &reason, const llvm::Twine &wayOut = "");
  Tensor unsupportedTensor(const llvm::Twine &reason) { return (void)unsupported(reason), Tensor(); }

  //===--------------------------------------------------------------------===//
  // Sizes
  //===--------------------------------------------------------------------===//
  mlir::AffineExpr constant(int64_t value) const { return mlir::getAffineConstantExpr(value, context()); }
  graph::Dims constants(llvm::ArrayRef<int64_t> values) const;
  std::optional<bool> isLessEqual(mlir::AffineExpr a, mlir::AffineExpr b) const;
  /// Claims that `x` has the sizes `want`: nothing when they are the same expressions, an error when they cannot be.
  Tensor withDims(Tensor x, llvm::ArrayRef<mlir::AffineExpr> want);
  /// Broadcasts shapes; null when they do not fit.
  std::optional<graph::Dims> broadcastDims(llvm::ArrayRef<graph::Dims> shapes);

  //===--------------------------------------------------------------------===//
  // Builders
  //===--------------------------------------------------------------------===//
  using Body = llvm::function_ref<mlir::Value(Scalars &, mlir::ValueRange)>;
  /// `body` at every point of the broadcast shape, computed in `computeType(compute)`; what it gives is of type `gives`
  /// (by default that same type) and is converted to `result`.
  Tensor map(ScalarType result, ScalarType compute, llvm::ArrayRef<Operand> operands, Body body,
             ScalarType gives = ScalarType::Unknown, std::optional<graph::Dims> shape = std::nullopt);
  /// A tensor made from positions: `body` gets the indices (i64) of the element.
  Tensor generate(ScalarType result, ScalarType compute, llvm::ArrayRef<mlir::AffineExpr> dims, Body body,
                  ScalarType gives = ScalarType::Unknown);
  /// Inside a body: the position along a dimension, the value of an expression.
  mlir::Value index(Scalars &s, int64_t dim);
  mlir::Value sizeValue(Scalars &s, mlir::AffineExpr expr);
  Tensor convert(Tensor x, ScalarType to);
  /// A constant filled with one value.
  Tensor full(llvm::ArrayRef<mlir::AffineExpr> dims, ScalarType dtype, double value);
  Tensor scalar(ScalarType dtype, double value) { return full({}, dtype, value); }

  Tensor reshape(Tensor x, llvm::ArrayRef<mlir::AffineExpr> dims);
  Tensor permute(Tensor x, llvm::ArrayRef<int64_t> order);
  Tensor transpose(Tensor x, int64_t a, int64_t b);
  /// To a shape of the same or higher rank, aligned at the right.
  Tensor broadcast(Tensor x, llvm::ArrayRef<mlir::AffineExpr> dims);
  Tensor unsqueeze(Tensor x, int64_t dim);
  Tensor squeeze(Tensor x, llvm::ArrayRef<int64_t> dims);
  /// Merges dimensions first … last into one.
  Tensor flatten(Tensor x, int64_t first, int64_t last);
  Tensor slice(Tensor x, int64_t dim, mlir::AffineExpr offset, mlir::AffineExpr size, int64_t step = 1);
  /// Slice of size 1 along `dim`, which is dropped.
  Tensor select(Tensor x, int64_t dim, mlir::AffineExpr index);
  Tensor insertSlice(Tensor source, Tensor dest, int64_t dim, mlir::AffineExpr offset, int64_t step = 1);
  Tensor concat(llvm::ArrayRef<Tensor> parts, int64_t dim);
  Tensor pad(Tensor x, llvm::ArrayRef<mlir::AffineExpr> low, llvm::ArrayRef<mlir::AffineExpr> high, double value);
  Tensor reverse(Tensor x, llvm::ArrayRef<int64_t> dims);
  /// `dims` in rising order.
  Tensor reduce(graph::ReduceKind kind, Tensor x, llvm::ArrayRef<int64_t> dims);
  /// Running combination along one dimension.
  Tensor cumulate(graph::ReduceKind kind, Tensor x, int64_t dim);
  Tensor argReduce(graph::ReduceKind kind, Tensor x, int64_t dim);
  /// Sum of products, written as for einsum: contract(x, "mk", w, "nk", "mn"). Dimensions that only one operand has
  /// and the result lacks are summed first.
  Tensor contract(Tensor l, llvm::StringRef lSpec, Tensor r, llvm::StringRef rSpec, llvm::StringRef resultSpec);
  /// `coords` and index maps as in graph.gather: `dimsOf[i]` are the result dimensions along which index i lies.
  Tensor gather(Tensor data, llvm::ArrayRef<Operand> indices, llvm::ArrayRef<int64_t> coords,
                llvm::ArrayRef<mlir::AffineExpr> dims);
  Tensor scatter(graph::ScatterKind kind, Tensor updates, Tensor dest, llvm::ArrayRef<Operand> indices,
                 llvm::ArrayRef<int64_t> coords);
  /// Coordinates of the true elements, a row each; null when `mask` is. Their number becomes the symbol that the
  /// exporter recorded as the first size of result `of` that is not known yet, else one of its own.
  Tensor nonzero(Tensor mask, unsigned of = 0);
  /// i64 indices with negative ones counted from the end of a dimension of that size, unless they cannot be negative.
  Tensor wrapIndices(Tensor indices, mlir::AffineExpr size);

private:
  template <typename T> T get(llvm::StringRef name, std::optional<T> byDefault, llvm::StringRef what);
  mlir::AffineExpr toExpr(const SymIntArg &arg, llvm::StringRef name);
  std::optional<Number> toNumber(const Argument &arg);
  mlir::FailureOr<Tensor> checkResult(Tensor tensor, unsigned i);
  llvm::SmallVector<mlir::AffineMap> indexMaps(llvm::ArrayRef<Operand> operands, llvm::ArrayRef<mlir::AffineExpr> dims,
                                               llvm::SmallVectorImpl<mlir::Value> &values);
  mlir::LogicalResult finishBatched(llvm::ArrayRef<Tensor> results);
  bool bad = false, isAlias = false;
};

} // namespace tenon::torch_export
#endif
