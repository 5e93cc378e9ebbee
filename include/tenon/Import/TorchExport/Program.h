// An exported PyTorch program (`torch.export`, schema 8) as plain data, decoded and checked but not interpreted.
#ifndef TENON_IMPORT_TORCHEXPORT_PROGRAM_H
#define TENON_IMPORT_TORCHEXPORT_PROGRAM_H

#include "tenon/Import/TorchExport/Argument.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/Allocator.h"
#include <map>
#include <string>

namespace tenon::torch_export {

/// Type and place of a tensor.
struct TensorMeta {
  ScalarType dtype = ScalarType::Unknown;
  std::vector<SymInt> sizes, strides; ///< equally many; strides count elements
  SymInt storageOffset;
  Layout layout = Layout::Unknown;
  Device device;
  bool requiresGrad = false;
};

/// An argument of a node; higher-order operators leave the names of positional ones empty.
struct NamedArgument {
  llvm::StringRef name;
  Argument arg;
  bool isKeyword = false;
};

/// Where a node comes from in the user's Python.
struct Origin {
  llvm::StringRef file;          ///< empty when no frame is the model's own
  unsigned line = 0;             ///< from 1
  llvm::StringRef function;      ///< e.g. "forward"
  llvm::StringRef modulePath;    ///< e.g. "bert.encoder.layer.3.attention"; empty for the model itself
  llvm::StringRef moduleType;    ///< e.g. "torch.nn.modules.linear.Linear"
  llvm::StringRef torchFunction; ///< what the user called, e.g. "builtin_function_or_method.linear"
};

struct Node {
  llvm::StringRef target; ///< "torch.ops.aten.linear.default", "_operator.add", "torch.ops.higher_order.cond"
  llvm::StringRef name;   ///< of the fx node; may be empty in files of older minor versions
  std::vector<NamedArgument> inputs;
  std::vector<Argument> outputs;
  std::optional<bool> isHopSingleTensorReturn;
  Origin origin;

  /// `target` without "torch.ops.": "aten.linear.default".
  llvm::StringRef op() const;
  /// Argument of that name; a `Missing` one when the file leaves it to the operator's default.
  const Argument &arg(llvm::StringRef argName) const;
  /// Argument at that place; a `Missing` one behind the last.
  const Argument &arg(size_t index) const;
  bool has(llvm::StringRef argName) const { return !arg(argName).isMissing(); }
  /// Names of all results, lists opened; a result that is None has an empty name.
  llvm::SmallVector<llvm::StringRef, 4> resultNames() const;
};

/// A graph in topological order. Every name used in it is an input of it or a result of an earlier node.
struct Graph {
  std::vector<Argument> inputs, outputs;
  std::vector<Node> nodes;
  llvm::StringMap<TensorMeta> tensors; ///< has every tensor that is an input or a result
  llvm::StringMap<SymInt> symInts;
  llvm::StringMap<SymFloat> symFloats;
  llvm::StringMap<SymBool> symBools;
  llvm::StringMap<CustomObjArg> customObjs;
  bool isSingleTensorReturn = false;

  /// Null when there is none.
  const TensorMeta *tensor(llvm::StringRef name) const;
  const SymInt *symInt(llvm::StringRef name) const;
};

struct InputSpec {
  enum class Kind : uint8_t { UserInput, Parameter, Buffer, TensorConstant, CustomObj, Token, Constant };
  Kind kind = Kind::UserInput;
  llvm::StringRef value;  ///< name of the graph's input; of a Constant, of its argument
  llvm::StringRef target; ///< name in the model: parameter, buffer, constant, custom object
  Argument arg;           ///< UserInput: tensor, number or None. Constant: the value
  bool persistent = true; ///< of a Buffer
  std::string userName;   ///< UserInput and Constant: as a user would write it: "mask", "kv[0].k"
};

struct OutputSpec {
  enum class Kind : uint8_t {
    UserOutput,
    Loss,
    BufferMutation,
    ParameterMutation,
    GradientToParameter,
    GradientToUserInput,
    UserInputMutation,
    Token
  };
  Kind kind = Kind::UserOutput;
  Argument arg;
  llvm::StringRef target; ///< buffer, parameter or graph input meant
  std::string userName;   ///< UserOutput: "logits", "out[1].k"
};

/// How Python nests arguments or results.
struct PyTree {
  llvm::StringRef type;          ///< e.g. "builtins.dict"; empty for a leaf
  std::vector<std::string> keys; ///< one per child where the type has names, else empty
  std::vector<PyTree> children;
  bool isLeaf() const { return type.empty(); }
  size_t countLeaves() const;
};

/// A stored tensor: weight, buffer or constant. Several may share `storage` (tied weights, views).
struct Payload {
  llvm::StringRef name;     ///< in the model
  llvm::StringRef pathName; ///< in the archive's folder, e.g. "weight_3": equal for tied weights
  llvm::StringRef entry;    ///< the archive entry, e.g. "model/data/weights/weight_3"
  bool isParameter = false, usesPickle = false;
  bool hasMeta = false; ///< false for pickled custom objects
  ScalarType dtype = ScalarType::Unknown;
  std::vector<int64_t> sizes, strides; ///< in elements; none negative
  int64_t storageOffset = 0;           ///< in elements
  uint64_t fileOffset = 0;             ///< of `storage` in the file
  llvm::ArrayRef<uint8_t> storage;     ///< the whole entry; every element of the view is inside (checked)

  int64_t numElements() const;
  /// Row-major without gaps: then its bytes are `contiguousBytes()`.
  bool isContiguous() const;
  llvm::ArrayRef<uint8_t> contiguousBytes() const;
};

/// Both ends inclusive; none = unbounded.
struct Range {
  std::optional<int64_t> min, max;
};

/// Everything that `torch.export.save` wrote, except sample inputs. Strings and bytes live as long as the
/// `Pt2Archive` it belongs to.
struct ExportedProgram {
  Graph graph;
  std::vector<InputSpec> inputs;   ///< as graph.inputs, one each
  std::vector<OutputSpec> outputs; ///< as graph.outputs, one each
  PyTree inputTree, outputTree;    ///< inputTree: a tuple of (tuple of args, dict of kwargs), or empty if not recorded
  llvm::StringMap<Payload> weights, constants;
  std::map<std::string, Range> ranges;  ///< by symbol
  std::vector<llvm::StringRef> guards;  ///< Python conditions that the exporter relied on
  std::vector<llvm::StringRef> modules; ///< paths of the model's submodules
  llvm::StringMap<int64_t> opsets;      ///< "aten" -> 10
  llvm::StringRef torchVersion;
  int64_t schemaMajor = 0, schemaMinor = 0;
  bool isDecomposed = false; ///< `run_decompositions()` was called: core ATen only

  /// The bytes behind a Parameter, Buffer or TensorConstant (checked to exist); null for other inputs.
  const Payload *payload(const InputSpec &input) const;
  const InputSpec *findInput(llvm::StringRef value) const;

  llvm::BumpPtrAllocator arena; ///< owns the strings
};

} // namespace tenon::torch_export
#endif
