// State of one import: the program's values, symbols and weights, and the module in the making.
#ifndef TENON_IMPORT_TORCHEXPORT_GRAPHIMPORTER_H
#define TENON_IMPORT_TORCHEXPORT_GRAPHIMPORTER_H

#include "../Common/Function.h"
#include "Converter.h"
#include "llvm/ADT/StringSet.h"

namespace tenon::torch_export {

/// What all graphs of a program share.
struct ImportState {
  ImportState(const ExportedProgram &program, llvm::StringRef path, mlir::MLIRContext *context)
      : program(program), path(path), context(context), symbols(context) {}

  const ExportedProgram &program;
  llvm::StringRef path;
  mlir::MLIRContext *context;
  SizeSymbols symbols;
  /// Integers and floats that come from data (symbols u0, zuf0, …): tensors of rank 0 in the main graph.
  llvm::StringMap<Tensor> unbacked;
  /// Symbols that are sizes of tensors, and conditions that the exporter checks.
  llvm::StringSet<> sizeNames;
  std::vector<SymExprRef> asserted;
  std::map<std::string, UnsupportedUse> unsupported; ///< by operator and reason
  RandomState random;
  bool failed = false;

  void addUnsupported(const Node &node, const llvm::Twine &reason, const llvm::Twine &wayOut);
  mlir::Location locate(const Node &node) const;
  mlir::Location fileLocation() const;
};

/// Converts the nodes of one graph into one block.
class GraphImporter {
public:
  GraphImporter(ImportState &state, const Graph &graph, mlir::OpBuilder &builder);

  ImportState &state;
  const Graph &graph;
  mlir::OpBuilder &b;
  Environment values;

  /// Converts every node. Failures are in `state`.
  void importNodes();
  /// Whether some node, or the graph's output, reads `name`.
  bool isUsed(llvm::StringRef name) const { return used.contains(name); }
  /// The tensors that an argument names, for outputs of graphs.
  Tensor readTensor(llvm::StringRef name, mlir::Location loc);
  /// An output of the graph as a tensor; numbers get rank 0. Null when it has no value that is known here.
  Tensor readOutput(Op &op, const Argument &output);
  /// A Python number that an argument names, as a tensor of rank 0; null when it is not known.
  Tensor readNumber(Op &op, const Argument &argument);
  /// Gives a number that comes from data, an output of `node`, its value.
  void bindNumber(const Argument &output, Op &op, Tensor value);
  /// The condition as a tensor of rank 0 and type Bool; null when it has parts that are not known.
  Tensor evaluateCondition(const Node &node, const SymExpr &expr);

private:
  void importNode(const Node &node);
  bool importNumberNode(const Node &node);
  void importIntegerResult(const Node &node, llvm::StringRef name);
  void importFloatResult(const Node &node, llvm::StringRef name);
  Tensor evaluateNumber(const Node &node, const SymExpr &expr, ScalarType type);
  bool importItem(const Node &node);
  bool defineSize(Op &op, const SymExpr &symbol, llvm::StringRef name, Tensor value);
  llvm::StringSet<> used;
};

/// Reports every operator of the graph, and of graphs in it, that has no converter.
void collectUnsupported(ImportState &state, const Graph &graph);
/// Notes which symbols of the graph, and of graphs in it, are sizes, and what is asserted about them.
void collectSizes(ImportState &state, const Graph &graph);
/// Whether the graph has operators that write in place.
bool writesInPlace(const Graph &graph);
/// The converter of an operator; null when there is none. Drops the underscore of an in-place operator.
const Convert *findConverter(llvm::StringRef op, bool &isInPlace);
bool isNumberOperator(llvm::StringRef op);
/// Whether some operator of the graph, or of graphs in it, draws random numbers.
bool drawsNumbers(const Graph &graph);
/// Whether `node` is inside a vmap each of whose elements draws numbers of its own.
bool isInNestOfDifferentNumbers(const Graph &graph, const Node &node);
/// Operators without effect on results: asserts and hints.
bool isDropped(llvm::StringRef op);

/// Weights, buffers and constants as symbols of the module, made when first used.
class WeightTable {
public:
  WeightTable(ImportState &state, mlir::ModuleOp module) : state(state), module(module) {}
  /// The value of a parameter, buffer or constant at the builder's place.
  Tensor use(mlir::OpBuilder &b, mlir::Location loc, const InputSpec &input);
  /// A variable with that initial value: its symbol.
  mlir::FlatSymbolRefAttr variable(mlir::Location loc, const InputSpec &input);
  SymbolNames &symbolNames() { return names; }

private:
  mlir::FlatSymbolRefAttr weight(mlir::Location loc, llvm::StringRef name, mlir::RankedTensorType type,
                                 const Payload &payload, int64_t firstElement);
  ImportState &state;
  mlir::ModuleOp module;
  llvm::StringMap<mlir::FlatSymbolRefAttr> byContent;
  SymbolNames names;
};

} // namespace tenon::torch_export
#endif
