// Decodes graphs and nodes, and checks that names are defined before they are used.
#include "Decode.h"
#include "llvm/ADT/StringSet.h"

using namespace llvm;

namespace tenon::torch_export {

//===-- origin --------------------------------------------------------------------------------------------------===//

/// True for frames of torch itself and for code without a file.
static bool isInternalFile(StringRef file) {
  if (file.empty() || file.starts_with("<"))
    return true;
  if (file.starts_with("torch/") || file.starts_with("torch\\"))
    return true;
  for (StringRef packages : {"site-packages", "dist-packages"}) {
    size_t at = file.rfind(packages);
    if (at == StringRef::npos)
      continue;
    StringRef rest = file.drop_front(at + packages.size()).ltrim("/\\");
    return rest.starts_with("torch/") || rest.starts_with("torch\\");
  }
  return file.contains("/torch/_dynamo/") || file.contains("/torch/nn/modules/") || file.contains("/torch/fx/");
}

/// Reads `File "x.py", line 3, in forward`.
static bool readFrame(StringRef text, Origin &out) {
  text = text.ltrim();
  if (!text.consume_front("File \""))
    return false;
  auto [file, rest] = text.split("\", line ");
  unsigned line = 0;
  if (rest.consumeInteger(10, line) || isInternalFile(file))
    return false;
  out.file = file;
  out.line = line;
  out.function = rest.consume_front(", in ") ? rest.rtrim() : StringRef();
  return true;
}

Origin readOrigin(StringRef stackTrace, StringRef moduleStack, StringRef torchFunction) {
  Origin out;
  while (!stackTrace.empty()) { // frames go inwards; take the last that counts
    auto [before, last] = stackTrace.rsplit('\n');
    if (before.size() == stackTrace.size()) { // no newline left
      last = before;
      before = "";
    }
    if (readFrame(last, out))
      break;
    stackTrace = before;
  }
  // "key,path,type" for each module inwards; a type may have commas, and key and path end in @n for the n-th call.
  StringRef module = moduleStack;
  size_t separator = StringRef::npos, depth = 0;
  for (size_t i = 0; i < moduleStack.size(); ++i) {
    depth += moduleStack[i] == '[';
    depth -= moduleStack[i] == ']' && depth > 0;
    if (moduleStack[i] == ';' && depth == 0)
      separator = i;
  }
  if (separator != StringRef::npos)
    module = moduleStack.drop_front(separator + 1);
  auto [path, type] = module.split(',').second.split(',');
  if (!path.starts_with("_empty_nn_module_stack")) {
    auto [name, call] = path.rsplit('@');
    unsigned number;
    out.modulePath = !call.empty() && !call.getAsInteger(10, number) ? name : path;
    out.moduleType = type;
  }
  out.torchFunction = torchFunction.split(';').second;
  return out;
}

//===-- nodes and graphs ----------------------------------------------------------------------------------------===//

static bool readText(const Cursor &metadata, StringRef key, StringRef &out) {
  Cursor text = metadata[key];
  return text.isMissingOrNull() || text.read(out);
}

static bool readNode(const Cursor &c, Node &out, SymExprCache &cache) {
  Cursor target = c["target"], inputs = c["inputs"], outputs = c["outputs"], metadata = c["metadata"];
  Cursor single = c["is_hop_single_tensor_return"], name = c["name"];
  if (!c.isObject())
    return false;
  bool good = target.read(out.target);
  if (!name.isMissingOrNull())
    good &= name.read(out.name);
  if (!single.isMissingOrNull()) {
    out.isHopSingleTensorReturn.emplace();
    good &= single.read(*out.isHopSingleTensorReturn);
  }
  good &= inputs.readList(out.inputs, [&](const Cursor &input, NamedArgument &value) {
    Cursor inputName = input["name"], arg = input["arg"], kind = input["kind"];
    int64_t kindNumber = 1;
    if (!input.isObject() || !inputName.read(value.name) || !readArgument(arg, value.arg, cache) ||
        (!kind.isMissingOrNull() && !kind.read(kindNumber)))
      return false;
    value.isKeyword = kindNumber == 2;
    return true;
  });
  good &= outputs.readList(out.outputs,
                           [&](const Cursor &output, Argument &value) { return readArgument(output, value, cache); });
  if (!metadata.isMissingOrNull()) {
    StringRef stackTrace, moduleStack, torchFunction;
    good &= metadata.isObject() && readText(metadata, "stack_trace", stackTrace) &&
            readText(metadata, "nn_module_stack", moduleStack) && readText(metadata, "torch_fn", torchFunction);
    out.origin = readOrigin(stackTrace, moduleStack, torchFunction);
  }
  for (size_t i = 1; good && i < out.inputs.size(); ++i)
    for (size_t j = 0; j < i; ++j)
      if (!out.inputs[i].name.empty() && out.inputs[i].name == out.inputs[j].name)
        return c.fail("has two arguments named '" + out.inputs[i].name + "'");
  return good;
}

/// A table from names to T; a missing one is empty if `isOptional`.
template <typename T, typename F>
static bool readTable(const Cursor &c, StringMap<T> &out, bool isOptional, F &&readItem) {
  if (isOptional && c.isMissingOrNull())
    return true;
  return c.forEachMember([&](const Cursor &item) { return readItem(item, out[item.name()]); });
}

namespace {
/// Checks definitions and uses of one graph in order.
class ScopeChecker {
public:
  explicit ScopeChecker(const Graph &graph) : graph(graph) {}

  bool define(const Cursor &c, const Argument &arg) {
    bool good = true;
    if (auto *object = arg.getIf<CustomObjArg>())
      return defined.insert(object->name).second || c.fail("defines '" + object->name + "' a second time");
    bool isTensor = arg.kind() == Argument::Kind::Tensor || arg.kind() == Argument::Kind::Tensors ||
                    arg.kind() == Argument::Kind::OptionalTensors || arg.kind() == Argument::Kind::NestedTensors;
    arg.forEachValue([&](StringRef name) {
      if (!defined.insert(name).second)
        good &= c.fail("defines '" + name + "' a second time");
      else if (isTensor && !graph.tensors.contains(name))
        good &= c.fail("defines tensor '" + name + "' which has no entry in tensor_values");
      else if (arg.kind() == Argument::Kind::SymInt && !graph.symInts.contains(name))
        good &= c.fail("defines symbolic integer '" + name + "' which has no entry in sym_int_values");
    });
    return good;
  }
  bool use(const Cursor &c, const Argument &arg) {
    bool good = true;
    arg.forEachValue([&](StringRef name) {
      if (!defined.contains(name))
        good &= c.fail("uses '" + name + "' which is no input and no result of an earlier node");
    });
    return good;
  }

private:
  const Graph &graph;
  StringSet<> defined;
};
} // namespace

static bool checkScope(const Cursor &inputs, const Cursor &nodes, const Cursor &outputs, const Graph &graph) {
  ScopeChecker scope(graph);
  size_t i = 0;
  bool good = inputs.forEach([&](const Cursor &c) { return scope.define(c, graph.inputs[i++]); });
  i = 0;
  good &= nodes.forEach([&](const Cursor &c) {
    const Node &node = graph.nodes[i++];
    Cursor args = c["inputs"], results = c["outputs"];
    size_t k = 0;
    bool nodeGood = args.forEach([&](const Cursor &arg) { return scope.use(arg, node.inputs[k++].arg); });
    k = 0;
    return nodeGood & results.forEach([&](const Cursor &result) { return scope.define(result, node.outputs[k++]); });
  });
  i = 0;
  return good & outputs.forEach([&](const Cursor &c) { return scope.use(c, graph.outputs[i++]); });
}

bool readGraph(const Cursor &c, Graph &out, SymExprCache &cache) {
  if (!c.isObject())
    return false;
  Cursor inputs = c["inputs"], outputs = c["outputs"], nodes = c["nodes"], single = c["is_single_tensor_return"];
  Cursor tensors = c["tensor_values"], symInts = c["sym_int_values"], symBools = c["sym_bool_values"],
         symFloats = c["sym_float_values"], objects = c["custom_obj_values"];
  auto argument = [&](const Cursor &arg, Argument &value) { return readArgument(arg, value, cache); };
  bool good = readTable(tensors, out.tensors, false,
                        [&](const Cursor &item, TensorMeta &value) { return readTensorMeta(item, value, cache); });
  good &= readTable(symInts, out.symInts, true,
                    [&](const Cursor &item, SymInt &value) { return readSymInt(item, value, cache); });
  good &= readTable(symBools, out.symBools, true,
                    [&](const Cursor &item, SymBool &value) { return readSymBool(item, value, cache); });
  good &= readTable(symFloats, out.symFloats, true,
                    [&](const Cursor &item, SymFloat &value) { return readSymFloat(item, value, cache); });
  good &= readTable(objects, out.customObjs, true, readCustomObj);
  good &= inputs.readList(out.inputs, argument);
  good &= nodes.readList(out.nodes, [&](const Cursor &node, Node &value) { return readNode(node, value, cache); });
  good &= outputs.readList(out.outputs, argument);
  if (!single.isMissingOrNull())
    good &= single.read(out.isSingleTensorReturn);
  return good && checkScope(inputs, nodes, outputs, out);
}

} // namespace tenon::torch_export
