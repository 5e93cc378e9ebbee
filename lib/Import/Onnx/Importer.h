// State of one import: scopes of values, symbols, weights, and the module in the making.
#ifndef TENON_IMPORT_ONNX_STATE_H
#define TENON_IMPORT_ONNX_STATE_H

#include "Op.h"
#include "lib/Import/Common/Random.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "tenon/Import/Onnx/Importer.h"
#include "tenon/Support/WeightData.h"
#include "llvm/ADT/StringSet.h"

namespace tenon::onnx_import {

/// Names to values in one graph or function. A graph inside a node sees the names around it.
class Scope {
public:
  Scope *outer = nullptr;
  llvm::StringMap<Datum> values;
  /// Types that the graph declares, by value name.
  llvm::StringMap<const onnx::TypeProto *> declared;
  /// In functions: what the caller gives for the attributes.
  llvm::StringMap<const onnx::AttributeProto *> attributes;
  /// Versions of operator sets, by domain.
  llvm::StringMap<int64_t> opsets;
  unsigned depth = 0; ///< of functions in functions
  std::vector<std::shared_ptr<const onnx::TypeProto>> ownedTypes; ///< of `declared` that no graph holds

  const Datum *find(llvm::StringRef name) const;
  const onnx::TypeProto *type(llvm::StringRef name) const;
};

class Importer {
public:
  Importer(ModelFile &file, mlir::MLIRContext *context, const ImportOptions &options);

  ModelFile &file;
  mlir::MLIRContext *context;
  const ImportOptions &options;
  SizeRanges symbols;
  RandomState random;
  std::map<std::string, UnsupportedUse> unsupported; ///< by operator and reason
  bool failed = false;
  mlir::OwningOpRef<mlir::ModuleOp> module;
  mlir::OpBuilder b;

  mlir::FailureOr<mlir::OwningOpRef<mlir::ModuleOp>> run();

  /// Gives the sizes that are declared for one value to the values that must have the same ones.
  void spreadSizes(const google::protobuf::RepeatedPtrField<onnx::NodeProto> &nodes, Scope &scope);
  /// Converts the nodes of a graph whose inputs are bound.
  void importNodes(const google::protobuf::RepeatedPtrField<onnx::NodeProto> &nodes, Scope &scope);
  /// A graph inside a node, with its inputs: its outputs. None when something was reported.
  std::optional<std::vector<Datum>> importGraph(Op &op, const onnx::GraphProto &graph, llvm::ArrayRef<Datum> inputs);
  void declareTypes(const onnx::GraphProto &graph, Scope &scope);
  void bindInitializers(const onnx::GraphProto &graph, Scope &scope);

  mlir::Location fileLocation() const;
  mlir::Location locate(const onnx::NodeProto &node) const;
  void addUnsupported(const onnx::NodeProto &node, const llvm::Twine &reason, const llvm::Twine &wayOut);
  bool hasProblems() const { return failed || !unsupported.empty(); }
  /// Constants stand at the beginning of the function, where everything sees them.
  Tensor constant(const TensorData &data, llvm::StringRef name);
  Tensor stored(const onnx::TensorProto &tensor, mlir::Location loc);
  KnownRef knownOf(const onnx::TensorProto &tensor);
  /// The elements of a small tensor that constants alone decide; null for any other.
  KnownRef evaluate(const Tensor &tensor);
  /// Must be called when operations were erased.
  void forgetConstants();
  /// Sizes in a type; entries are null where there is no symbol of that name.
  std::optional<graph::Dims> dimsOf(const onnx::TypeProto &type) const;

private:
  void importNode(const onnx::NodeProto &node, Scope &scope);
  bool expandFunction(const onnx::NodeProto &node, Scope &scope);
  bool isConstant(mlir::Value value);
  void poisonOutputs(const onnx::NodeProto &node, Scope &scope);
  void bindInput(const onnx::ValueInfoProto &input, Scope &scope);
  void addResult(const onnx::ValueInfoProto &output, Scope &scope);

  mlir::func::FuncOp function;
  FunctionParts parts;
  llvm::StringMap<const onnx::FunctionProto *> functions;
  SymbolNames names;
  llvm::StringMap<mlir::AffineExpr> sizeNames;
  llvm::DenseMap<const onnx::TensorProto *, Tensor> storedTensors;
  llvm::DenseMap<const onnx::TensorProto *, KnownRef> storedKnown;
  llvm::DenseMap<mlir::Operation *, bool> constantOps;
  std::map<std::pair<const void *, ScalarType>, KnownRef> evaluated;
  uint64_t steps = 0; ///< nodes that were converted, with repetitions
};

} // namespace tenon::onnx_import
#endif
