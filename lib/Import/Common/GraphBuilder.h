// Ways to build ops of the graph dialect from tensors, for importers of every format. Each infers its result's type.
#ifndef TENON_IMPORT_COMMON_GRAPHBUILDER_H
#define TENON_IMPORT_COMMON_GRAPHBUILDER_H

#include "Scalars.h"
#include "SizeRanges.h"
#include <complex>

namespace tenon::frontend {

/// A tensor value with its element type in the model (signless MLIR types do not tell uint8 from int8). May be null: every
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

/// Builds ops at one place for one node of a model.
class GraphBuilder {
public:
  GraphBuilder(SizeRanges &symbols, mlir::OpBuilder &builder, mlir::Location loc)
      : b(builder), loc(loc), symbols(symbols) {}
  virtual ~GraphBuilder() = default;

  mlir::OpBuilder &b;
  mlir::Location loc;
  mlir::MLIRContext *context() const { return b.getContext(); }
  bool isBad() const { return bad; }
  /// Whether what is built goes into a branch or a loop, not into the function itself.
  bool isInRegion() const;

  //===--------------------------------------------------------------------===//
  // Errors
  //===--------------------------------------------------------------------===//
  /// The file has something that the operator does not take. Gives failure; everything built afterwards is null.
  virtual mlir::LogicalResult error(const llvm::Twine &text) = 0;
  Tensor errorTensor(const llvm::Twine &text) { return (void)error(text), Tensor(); }
  /// A use of the operator that tenon does not know; collected, with others, for one report.
  virtual mlir::LogicalResult unsupported(const llvm::Twine &reason, const llvm::Twine &wayOut) = 0;
  mlir::LogicalResult unsupported(const llvm::Twine &reason) { return unsupported(reason, ""); }
  Tensor unsupportedTensor(const llvm::Twine &reason) { return (void)unsupported(reason), Tensor(); }

  //===--------------------------------------------------------------------===//
  // Sizes
  //===--------------------------------------------------------------------===//
  mlir::AffineExpr constant(int64_t value) const { return mlir::getAffineConstantExpr(value, context()); }
  graph::Dims constants(llvm::ArrayRef<int64_t> values) const;
  /// A dimension counted from the end when negative; an error when there is none such. Rank 0 counts as 1.
  int64_t wrapDim(int64_t dim, int64_t rank);
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
  /// A tensor made from positions, which `body` asks `index` for.
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
  /// Merges dimensions first … last into one. A tensor of rank 0 gets one dimension.
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
  /// Values in order along `dim` and where they were; equal ones keep their order.
  std::pair<Tensor, Tensor> sort(Tensor x, int64_t dim, bool descending);
  /// Sum of products, written as for einsum: contract(x, "mk", w, "nk", "mn"). Dimensions that only one operand has
  /// and the result lacks are summed first.
  Tensor contract(Tensor l, llvm::StringRef lSpec, Tensor r, llvm::StringRef rSpec, llvm::StringRef resultSpec);
  /// `coords` and index maps as in graph.gather: `dimsOf[i]` are the result dimensions along which index i lies.
  Tensor gather(Tensor data, llvm::ArrayRef<Operand> indices, llvm::ArrayRef<int64_t> coords,
                llvm::ArrayRef<mlir::AffineExpr> dims);
  Tensor scatter(graph::ScatterKind kind, Tensor updates, Tensor dest, llvm::ArrayRef<Operand> indices,
                 llvm::ArrayRef<int64_t> coords);
  /// Coordinates of the true elements, [n, rank]: n is a new symbol, called `name` when that is free.
  Tensor nonzero(Tensor mask, llvm::StringRef name = "");
  /// A number (i64 of rank 0) becomes a size: a new symbol. When it is not in min … max, or above `bound`, a call reports it.
  mlir::AffineExpr defineSize(Tensor value, int64_t min, int64_t max, mlir::AffineExpr bound, llvm::StringRef name = "");
  /// i64 indices with negative ones counted from the end of a dimension of that size, unless they cannot be negative.
  Tensor wrapIndices(Tensor indices, mlir::AffineExpr size);

  //===--------------------------------------------------------------------===//
  // Branches and loops
  //===--------------------------------------------------------------------===//
  /// What a size that the branches do not agree on is called; nullopt: both claim that it is the same.
  using SizeName = llvm::function_ref<std::optional<std::string>(unsigned result, int64_t dim)>;
  /// graph.cond of two regions, each of which gives `given` and has no terminator yet. Where sizes differ, both give a
  /// result of the larger bound beside its size, which is a new symbol behind the op. `captures` is asked when the
  /// regions are whole. Nothing when something was reported.
  std::optional<Tensors> branch(Tensor condition, llvm::MutableArrayRef<mlir::Region> regions,
                                llvm::MutableArrayRef<Tensors> given,
                                llvm::function_ref<llvm::SmallVector<mlir::Value>()> captures, SizeName nameOfSize);
  using ScanStep = llvm::function_ref<Tensors(llvm::ArrayRef<Tensor> carry, llvm::ArrayRef<Tensor> now,
                                              llvm::ArrayRef<Tensor> captures)>;
  /// graph.scan: `step` gives the next carried values and then one slice for each stacked result. Gives the last carried
  /// values and the stacks; nothing when something was reported.
  Tensors scan(llvm::ArrayRef<Tensor> carry, llvm::ArrayRef<Tensor> xs, llvm::ArrayRef<Tensor> captures, ScanStep step,
               bool isReverse = false);

protected:
  /// `name`, or a name with a number, that no symbol has.
  std::string freeSymbol(llvm::StringRef name) const;
  llvm::SmallVector<mlir::AffineMap> indexMaps(llvm::ArrayRef<Operand> operands, llvm::ArrayRef<mlir::AffineExpr> dims,
                                               llvm::SmallVectorImpl<mlir::Value> &values);
  SizeRanges &symbols;
  bool bad = false;
};

} // namespace tenon::frontend
#endif
