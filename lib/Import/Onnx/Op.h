// What a converter of one operator sees: the node, its inputs and attributes, ways to build graph ops, and a place for the
// results. One file per family of operators holds the converters; `populate…` puts them into the table.
#ifndef TENON_IMPORT_ONNX_OP_H
#define TENON_IMPORT_ONNX_OP_H

#include "ModelFile.h"
#include "lib/Import/Common/GraphBuilder.h"
#include "tenon/Import/Common/Report.h"

namespace tenon::onnx_import {

/// A small tensor whose elements are known while importing; integers may be expressions of symbolic sizes.
struct Known {
  llvm::SmallVector<int64_t> shape;
  ScalarType dtype = ScalarType::Unknown;   ///< Unknown: strings
  llvm::SmallVector<mlir::AffineExpr> ints; ///< of integers and bools
  std::vector<double> reals;                ///< of floats
  std::vector<std::string> texts;           ///< of strings

  bool isInteger() const { return dtype == ScalarType::Bool || isIntegral(dtype); }
  size_t size() const { return isInteger() ? ints.size() : dtype == ScalarType::Unknown ? texts.size() : reals.size(); }
};
using KnownRef = std::shared_ptr<const Known>;
/// Larger tensors are not tracked.
constexpr int64_t kMaxKnown = 1024;

/// A value of the model: a tensor that is computed, one that is known, one that is stored, a sequence, or nothing.
struct Datum {
  Tensor tensor = {}; ///< null until somebody asks for it when it is known or stored
  KnownRef known = nullptr;
  const onnx::TensorProto *stored = nullptr;
  std::shared_ptr<const std::vector<Datum>> sequence = nullptr;
  bool isNothing = false;  ///< an optional without a value
  bool isOptionalInput = false; ///< an optional that the caller gives: nobody may ask whether it has a value
  bool isPoisoned = false; ///< what should have given it was reported

  bool isTensor() const { return tensor || known || stored; }
  explicit operator bool() const { return isTensor() || sequence || isNothing || isPoisoned; }
};

class Op;
class Importer;
class Scope;
using Convert = std::function<mlir::LogicalResult(Op &)>;
/// By operator name ("Add"), with its domain in front when that is not the standard one ("com.microsoft.Gelu").
using ConverterTable = llvm::StringMap<Convert>;
/// The result of an operator whose inputs are known while importing; null when it has to be computed.
using Fold = std::function<KnownRef(Op &)>;
/// Puts folds in front of the converters of the same names.
void addFolds(ConverterTable &table, const std::map<std::string, Fold> &folds);

void populateElementwise(ConverterTable &table);
void populateActivation(ConverterTable &table);
void populateArithmeticOfSizes(ConverterTable &table);
void populateLayout(ConverterTable &table);
void populateSlicing(ConverterTable &table);
void populatePadding(ConverterTable &table);
void populateReduction(ConverterTable &table);
void populateNorm(ConverterTable &table);
void populateContract(ConverterTable &table);
void populateConvolution(ConverterTable &table);
void populateIndexing(ConverterTable &table);
void populateQuantize(ConverterTable &table);
void populatePooling(ConverterTable &table);
void populateResize(ConverterTable &table);
void populateSampling(ConverterTable &table);
void populateScatter(ConverterTable &table);
void populateFound(ConverterTable &table);
void populateSignal(ConverterTable &table);
void populateLocalNorm(ConverterTable &table);
void populateMl(ConverterTable &table);
void populateRefused(ConverterTable &table);
void populateControl(ConverterTable &table);
void populateSequence(ConverterTable &table);
void populateLoss(ConverterTable &table);
void populateTraining(ConverterTable &table);
void populateAttention(ConverterTable &table);
void populateMicrosoftAttention(ConverterTable &table);
void populateMicrosoft(ConverterTable &table);
void populateMicrosoftQuantize(ConverterTable &table);
void populateChoiceOfSizes(ConverterTable &table);
void populateRotary(ConverterTable &table);
void populateLinearAttention(ConverterTable &table);
void populateRecurrent(ConverterTable &table);
void populateRandom(ConverterTable &table);
void populateNgrams(ConverterTable &table);
const ConverterTable &converterTable();

class Op : public GraphBuilder {
public:
  Op(Importer &importer, Scope &scope, const onnx::NodeProto &node, int64_t version, mlir::OpBuilder &builder,
     mlir::Location loc);

  Importer &importer;
  Scope &scope;
  const onnx::NodeProto &node;
  const int64_t version; ///< of the operator set that the node is from

  //===--------------------------------------------------------------------===//
  // Inputs, by position
  //===--------------------------------------------------------------------===//
  unsigned numInputs() const { return node.input_size(); }
  /// Whether the input is given (an empty name is a missing one).
  bool has(unsigned i) const;
  const Datum *datum(unsigned i);
  Tensor tensor(unsigned i);
  /// Null when it is missing.
  Tensor optionalTensor(unsigned i) { return has(i) ? tensor(i) : Tensor(); }
  /// All inputs from `first` on.
  Tensors tensors(unsigned first = 0);
  /// Elements, where they are known while importing; null otherwise.
  KnownRef known(unsigned i);
  KnownRef known(const Datum &value);
  /// Integers of the input, where they are known.
  std::optional<graph::Dims> sizes(unsigned i);
  std::optional<llvm::SmallVector<int64_t>> integers(unsigned i);
  std::optional<double> number(unsigned i);
  /// A constant of any length as numbers.
  std::optional<std::vector<double>> numbers(unsigned i);
  /// A tensor of the file, built.
  Tensor importTensor(const onnx::TensorProto &tensor);
  /// Turns any value that is a tensor into one that is built.
  Tensor materialize(const Datum &datum);

  //===--------------------------------------------------------------------===//
  // Attributes, by name
  //===--------------------------------------------------------------------===//
  const onnx::AttributeProto *attribute(llvm::StringRef name) const;
  bool hasAttribute(llvm::StringRef name) const { return attribute(name) != nullptr; }
  int64_t integer(llvm::StringRef name, std::optional<int64_t> byDefault = std::nullopt);
  double real(llvm::StringRef name, std::optional<double> byDefault = std::nullopt);
  std::string text(llvm::StringRef name, std::optional<llvm::StringRef> byDefault = std::nullopt);
  /// Empty when it is missing.
  llvm::SmallVector<int64_t> integerList(llvm::StringRef name);
  std::vector<double> realList(llvm::StringRef name);
  std::vector<std::string> textList(llvm::StringRef name);
  /// As `integerList`; `count` equal entries when it is missing. An error when it has another length.
  llvm::SmallVector<int64_t> integersOf(llvm::StringRef name, size_t count, int64_t byDefault);
  /// A dimension, counted from the end when negative.
  int64_t dim(llvm::StringRef name, int64_t rank, std::optional<int64_t> byDefault = std::nullopt);
  /// The element type that attribute `name` (a TensorProto.DataType) names.
  ScalarType dtype(llvm::StringRef name, ScalarType byDefault);

  //===--------------------------------------------------------------------===//
  // Results
  //===--------------------------------------------------------------------===//
  unsigned numOutputs() const { return node.output_size(); }
  /// Whether result `i` has a name.
  bool isUsed(unsigned i) const;
  /// What the model says about the sizes of result `i`; an entry is null where it says nothing.
  std::optional<graph::Dims> declaredDims(unsigned i = 0) const;
  /// The same, all of them known. Reports the model as unsupported otherwise: `what` decides the size when it runs.
  std::optional<graph::Dims> declaredDimsOr(unsigned i, const llvm::Twine &what);
  ScalarType declaredType(unsigned i = 0) const;
  mlir::LogicalResult finish(llvm::ArrayRef<Tensor> results);
  mlir::LogicalResult finish(Tensor result) { return finish(llvm::ArrayRef<Tensor>(result)); }
  mlir::LogicalResult finish(llvm::ArrayRef<Datum> results);
  mlir::LogicalResult finish(const Datum &result) { return finish(llvm::ArrayRef<Datum>(result)); }
  mlir::LogicalResult finish(KnownRef result) { return finish(Datum{.known = std::move(result)}); }

  mlir::LogicalResult error(const llvm::Twine &text) override;
  using GraphBuilder::unsupported;
  mlir::LogicalResult unsupported(const llvm::Twine &reason, const llvm::Twine &wayOut) override;

  //===--------------------------------------------------------------------===//
  // Builders
  //===--------------------------------------------------------------------===//
  Tensor knownTensor(const Known &known);
  /// A tensor of constants, row-major.
  Tensor constantTensor(llvm::ArrayRef<int64_t> shape, ScalarType dtype, llvm::ArrayRef<double> values);
  Tensor constantTensor(llvm::ArrayRef<int64_t> shape, llvm::ArrayRef<int64_t> values);
  using Unary = llvm::function_ref<mlir::Value(Scalars &, mlir::Value)>;
  using Binary = llvm::function_ref<mlir::Value(Scalars &, mlir::Value, mlir::Value)>;
  /// One operand, or two that broadcast, computed in the first one's type.
  Tensor unary(Tensor x, Unary body);
  Tensor binary(Tensor l, Tensor r, Binary body);
  Tensor add(Tensor l, Tensor r);
  Tensor sub(Tensor l, Tensor r);
  Tensor mul(Tensor l, Tensor r);
  Tensor div(Tensor l, Tensor r);
  Tensor scale(Tensor x, double factor);
  Tensor compare(Compare how, Tensor l, Tensor r);
  Tensor where(Tensor condition, Tensor yes, Tensor no);
  /// Reduced dimensions stay with size 1 when `keeps`.
  Tensor reduceDims(graph::ReduceKind kind, Tensor x, llvm::ArrayRef<int64_t> dims, bool keeps);
  Tensor mean(Tensor x, llvm::ArrayRef<int64_t> dims, bool keeps);
  /// Number of elements along `dims` inside a body.
  mlir::Value count(Scalars &s, Tensor x, llvm::ArrayRef<int64_t> dims);
  Tensor softmax(Tensor x, int64_t dim, bool isLog = false);
  /// numpy's matmul, with batch dimensions that broadcast.
  Tensor matmul(Tensor l, Tensor r);
  /// Sizes that are constants; reports the model as unsupported otherwise.
  std::optional<llvm::SmallVector<int64_t>> constantDims(Tensor x, const llvm::Twine &what);
  /// `data` at positions `indices` (any integers, negative ones from the end) along `dim`; index dimensions take its place.
  Tensor take(Tensor data, Tensor indices, int64_t dim);
  /// The results that the tensor has for each choice, where a scalar of run time says which; all must agree in type.
  Tensor choose(Tensor selector, llvm::ArrayRef<std::pair<int64_t, Tensor>> choices);
};

} // namespace tenon::onnx_import
#endif
