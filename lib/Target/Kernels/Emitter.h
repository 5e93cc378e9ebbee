//===- Emitter.h - building blocks of kernels -----------------------------===//
// Loops, addresses, loads and stores, and the evaluation of graph values at a point: what the kernel generators of every
// target are made of. Buffers are bare pointers, indices are i64.
#ifndef TENON_LIB_TARGET_KERNELS_EMITTER_H
#define TENON_LIB_TARGET_KERNELS_EMITTER_H

#include "dialects/Graph/Analysis/Access.h"
#include "dialects/Kernel/IR/KernelDialect.h"
#include <map>

namespace tenon::kernels {

using graph::Point;

/// Element type in memory: a bool is a byte.
mlir::Type storageType(mlir::Type element);
int64_t storageBytes(mlir::Type element);

/// Where the code of one kernel is written, and what it knows. A target adds how the function begins and ends.
class Emitter {
public:
  /// `vl`: f32 lanes of a native vector, 1 where threads are the lanes.
  Emitter(mlir::OpBuilder &builder, kernel::FuncOp kernel, int64_t vl, bool hasFMA)
      : b(builder), loc(kernel.getLoc()), kernel(kernel), vl(vl), hasFMA(hasFMA) {}
  virtual ~Emitter() = default;

  mlir::OpBuilder &b;
  mlir::Location loc;
  kernel::FuncOp kernel;
  int64_t vl;
  bool hasFMA;
  int64_t bufferAlign = 1; ///< bytes that the address of every buffer is a multiple of

  // -- scalars ------------------------------------------------------------------------------------------------------
  mlir::Value i64(int64_t value);
  mlir::Value constant(mlir::TypedAttr value);
  mlir::Value add(mlir::Value a, mlir::Value b);
  mlir::Value sub(mlir::Value a, mlir::Value b);
  mlir::Value mul(mlir::Value a, mlir::Value b);
  mlir::Value divFloor(mlir::Value a, mlir::Value b); ///< of values that are not negative
  mlir::Value rem(mlir::Value a, mlir::Value b);      ///< of values that are not negative
  mlir::Value min(mlir::Value a, mlir::Value b);
  mlir::Value max(mlir::Value a, mlir::Value b);
  mlir::Value less(mlir::Value a, mlir::Value b); ///< signed
  mlir::Value select(mlir::Value c, mlir::Value a, mlir::Value b);
  /// A symbol expression (no loop dimensions), evaluated at the kernel's entry.
  mlir::Value size(mlir::AffineExpr expr);

  // -- control ------------------------------------------------------------------------------------------------------
  using Body = llvm::function_ref<llvm::SmallVector<mlir::Value>(mlir::Value iv, mlir::ValueRange carried)>;
  /// for (iv = lo; iv < hi; iv += step), carrying values.
  llvm::SmallVector<mlir::Value> loop(mlir::Value lo, mlir::Value hi, mlir::Value step, mlir::ValueRange init, Body body);
  void loop(mlir::Value lo, mlir::Value hi, mlir::Value step, llvm::function_ref<void(mlir::Value)> body);
  void ifThen(mlir::Value condition, llvm::function_ref<void()> body);
  void ifElse(mlir::Value condition, llvm::function_ref<void()> body, llvm::function_ref<void()> otherwise);

  // -- memory -------------------------------------------------------------------------------------------------------
  /// Pointer of a kernel argument, or of the buffer of result `i` of its return.
  mlir::Value inputPointer(unsigned argument) { return inputs[argument]; }
  mlir::Value outputPointer(unsigned result) { return outputs[result]; }
  mlir::Value offsetPointer(mlir::Value pointer, mlir::Type element, mlir::Value index);
  mlir::Value loadScalar(mlir::Value pointer, mlir::Type element, mlir::Value index);
  void storeScalar(mlir::Value pointer, mlir::Type element, mlir::Value index, mlir::Value value);
  /// Pointers kept in memory, 8 bytes each.
  mlir::Value loadPointer(mlir::Value pointer, mlir::Value index);
  void storePointer(mlir::Value pointer, mlir::Value index, mlir::Value value);
  /// `lanes` elements from `index` on; with a mask, masked-off lanes are not touched and read as zero. `index` is a
  /// multiple of `align`.
  mlir::Value loadVector(mlir::Value pointer, mlir::Type element, mlir::Value index, int64_t lanes, mlir::Value mask = {},
                         int64_t align = 1);
  void storeVector(mlir::Value pointer, mlir::Type element, mlir::Value index, mlir::Value value, mlir::Value mask = {},
                   int64_t align = 1);
  /// Elements at a vector of indices.
  mlir::Value gather(mlir::Value pointer, mlir::Type element, mlir::Value indices, mlir::Value mask);
  void scatter(mlir::Value pointer, mlir::Type element, mlir::Value indices, mlir::Value value, mlir::Value mask);

  // -- vectors ------------------------------------------------------------------------------------------------------
  mlir::VectorType vectorOf(mlir::Type element, int64_t lanes) { return mlir::VectorType::get(lanes, element); }
  mlir::Value splat(mlir::Value scalar, int64_t lanes);
  mlir::Value zeros(mlir::Type type);
  mlir::Value iota(int64_t lanes); ///< 0, 1, 2, … as i64
  /// Lanes `k` with base + k < limit; null when `base + lanes <= limit` is known to hold.
  mlir::Value tailMask(mlir::Value base, mlir::Value limit, int64_t lanes);
  mlir::Value fma(mlir::Value a, mlir::Value b, mlir::Value c);
  mlir::Value combine(graph::ReduceKind kind, mlir::Value a, mlir::Value b);
  mlir::TypedAttr identity(graph::ReduceKind kind, mlir::Type element);
  mlir::Value reduceLanes(graph::ReduceKind kind, mlir::Value vector);

  /// Reports site `site` of the kernel with two numbers; the kernel goes on (with a safe value) and returns the error.
  virtual void fail(mlir::Value condition, unsigned site, mlir::Value a, mlir::Value bb) = 0;

protected:
  /// Reads what a call passes from `args`, 8 bytes each: addresses of inputs, of outputs, the symbols' values, and, when
  /// the kernel has error sites, the number of its first. Returns how many slots a call passes.
  int64_t loadArguments(mlir::Value args);

  llvm::SmallVector<mlir::Value> inputs, outputs, symbols;
  mlir::Value siteBase; ///< null without error sites

private:
  /// Bytes that the address of an element is a multiple of.
  int64_t alignBytes(mlir::Type element, int64_t align) const;

  llvm::DenseMap<mlir::AffineExpr, mlir::Value> sizes;
};

/// Results of the kernel, as its return names them.
mlir::OperandRange resultsOf(kernel::FuncOp kernel);
/// Sets `tiles`, `scratch` and `work` of the kernel.
void setSchedule(Emitter &e, mlir::AffineExpr tiles, mlir::AffineExpr scratchBytes, mlir::AffineExpr work);
/// Arithmetic of one point: ops in map regions and element moves.
int64_t workPerPoint(kernel::FuncOp kernel);
/// Splits a flat index into positions along `sizes`; positions of static size 1 are 0.
llvm::SmallVector<mlir::Value> delinearize(Emitter &e, mlir::Value flat, llvm::ArrayRef<mlir::AffineExpr> sizes);

/// Code for an expression over loop dimensions and for graph values at a point. Loop dimensions are bound to values;
/// at most one of them, the lane dimension, advances by one from lane to lane.
class Evaluator {
public:
  Evaluator(Emitter &emitter, int64_t lanes) : e(emitter), lanes(lanes) { scopes.emplace_back(); }

  Emitter &e;
  int64_t lanes; ///< 1 evaluates scalars

  struct Dim {
    mlir::Value value;      ///< at lane 0
    int64_t align = 1;      ///< known divisor of `value`
    bool isLane = false;
    mlir::Value perLane;    ///< vector of i64, for positions that are data
    mlir::AffineExpr size;  ///< exclusive bound, if known
  };
  /// Binds the next loop dimension; returns its expression.
  mlir::AffineExpr bind(mlir::Value value, mlir::AffineExpr size, int64_t align = 1, bool isLane = false);
  void setDim(unsigned dim, Dim info);
  unsigned numDims() const { return dims.size(); }

  /// What a value is, instead of being computed: an accumulator, a cached row.
  using Bound = std::function<mlir::Value(const Point &)>;
  void bindValue(mlir::Value value, Bound bound) { bounds[value] = std::move(bound); }
  /// Memory that holds a kernel argument or a cached value, row-major.
  void bindBuffer(mlir::Value value, mlir::Value pointer) { buffers[value] = pointer; }

  /// Only these lanes matter; null: all.
  mlir::Value mask;

  /// Code emitted inside `body` is not reused outside of it.
  void scope(llvm::function_ref<void()> body);

  /// Value at lane 0 of an index expression, as i64.
  mlir::Value index(mlir::AffineExpr expr);
  bool mayBeNegative(mlir::AffineExpr expr);
  mlir::Value divide(mlir::AffineExprKind kind, mlir::AffineExpr dividend, mlir::Value l, mlir::Value r);
  /// By how much the expression grows from lane to lane, when that is a constant.
  std::optional<int64_t> laneStride(mlir::AffineExpr expr);
  /// The expression's value: a scalar when it is the same in all lanes, else a vector of i64.
  mlir::Value lanesOf(mlir::AffineExpr expr);

  /// `value` at `point`: a scalar when all lanes agree, else a vector. Null after an error was reported.
  mlir::Value at(mlir::Value value, Point point);
  /// The same, always a vector of `lanes` (or a scalar when lanes is 1).
  mlir::Value vectorAt(mlir::Value value, const Point &point);
  mlir::Value toVector(mlir::Value value);

  /// `value` from its operands, even where it is bound.
  mlir::Value compute(mlir::Value value, const Point &point);
  mlir::Value load(mlir::Value pointer, mlir::RankedTensorType type, const Point &point);
  /// An argument of the kernel, in whatever layout it is stored.
  mlir::Value loadArgument(mlir::BlockArgument argument, const Point &point);
  mlir::Value loadAt(mlir::Value pointer, mlir::Type element, mlir::AffineExpr address, bool mayBeEmpty);
  /// Whether it is not known that the tensor has an element.
  bool mayBeEmpty(mlir::RankedTensorType type);
  void store(mlir::Value pointer, mlir::RankedTensorType type, const Point &point, mlir::Value value);

  graph::IndexSimplifier simplifier() const;
  /// Whether a value can be evaluated at a point at all: what kernel formation may fuse.
  static bool canEvaluate(mlir::Operation *op);

private:
  int64_t alignOf(mlir::AffineExpr expr);
  llvm::SmallVector<mlir::Value> computeMap(graph::MapOp op, const Point &point);
  mlir::Value computePad(graph::PadOp op, const Point &point);
  mlir::Value computeConcat(graph::ConcatOp op, const Point &point);
  mlir::Value computeInsertSlice(graph::InsertSliceOp op, const Point &point);
  mlir::Value computeGather(graph::GatherOp op, const Point &point);
  /// lo <= expr < hi, in as few comparisons as possible; null when always true.
  mlir::Value isWithin(mlir::AffineExpr expr, mlir::AffineExpr lo, mlir::AffineExpr hi);
  mlir::Value both(mlir::Value a, mlir::Value b);
  mlir::Value selectValue(mlir::Value condition, mlir::Value a, mlir::Value b);
  /// Evaluates under an additional condition: no memory is touched where it is false.
  mlir::Value guarded(mlir::Value condition, llvm::function_ref<mlir::Value()> body);
  /// A condition in two parts: what all lanes share must stay apart, since it alone guards what all lanes read together.
  struct Inside {
    mlir::Value scalar, lanes;
  };
  void add(Inside &inside, mlir::Value condition);
  mlir::Value guarded(const Inside &inside, llvm::function_ref<mlir::Value()> body);

  using Key = std::pair<const void *, std::vector<const void *>>;
  struct Scope {
    std::map<Key, mlir::Value> values;
    llvm::DenseMap<mlir::AffineExpr, mlir::Value> indices, lanes;
    llvm::DenseMap<mlir::Value, mlir::Value> splats;
  };
  llvm::SmallVector<Dim> dims;
  std::vector<Scope> scopes;
  llvm::DenseMap<mlir::Value, Bound> bounds;
  llvm::DenseMap<mlir::Value, mlir::Value> buffers;
  mlir::Value uniform; ///< scalar condition under which memory may be touched; null: always
};

/// Binds one loop dimension for each of `sizes` to `positions`; sizes of 1 become the constant 0. `hasLanes`: the last is the
/// lane dimension, whose position is a multiple of the lanes.
Point bindPoint(Evaluator &ev, llvm::ArrayRef<mlir::Value> positions, llvm::ArrayRef<mlir::AffineExpr> sizes,
                bool hasLanes = false);

/// Type in which products and sums of these elements are kept.
mlir::Type accumulatorFor(mlir::Type element);
/// A value converted between an element type and its accumulator type; scalars and vectors.
mlir::Value toAccumulator(Emitter &e, mlir::Value value, mlir::Type accumulator);
mlir::Value fromAccumulator(Emitter &e, mlir::Value value, mlir::Type element);

} // namespace tenon::kernels
#endif
