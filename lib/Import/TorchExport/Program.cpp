// Look-ups on a decoded program.
#include "tenon/Import/TorchExport/Program.h"
#include "llvm/ADT/STLExtras.h"

using namespace llvm;

namespace tenon::torch_export {

static const Argument missingArgument;

StringRef Node::op() const {
  StringRef result = target;
  result.consume_front("torch.ops.");
  return result;
}

const Argument &Node::arg(StringRef argName) const {
  for (const NamedArgument &input : inputs)
    if (input.name == argName)
      return input.arg;
  return missingArgument;
}

const Argument &Node::arg(size_t index) const { return index < inputs.size() ? inputs[index].arg : missingArgument; }

SmallVector<StringRef, 4> Node::resultNames() const {
  SmallVector<StringRef, 4> names;
  for (const Argument &output : outputs) {
    size_t before = names.size();
    if (auto *list = output.getIf<std::vector<OptionalTensorArg>>())
      for (const OptionalTensorArg &tensor : *list)
        names.push_back(tensor ? tensor->name : StringRef());
    else
      output.forEachValue([&](StringRef value) { names.push_back(value); });
    if (before == names.size() && output.isNone())
      names.push_back("");
  }
  return names;
}

const TensorMeta *Graph::tensor(StringRef name) const {
  auto it = tensors.find(name);
  return it == tensors.end() ? nullptr : &it->second;
}

const SymInt *Graph::symInt(StringRef name) const {
  auto it = symInts.find(name);
  return it == symInts.end() ? nullptr : &it->second;
}

size_t PyTree::countLeaves() const {
  if (isLeaf())
    return 1;
  size_t leaves = 0;
  for (const PyTree &child : children)
    leaves += child.countLeaves();
  return leaves;
}

int64_t Payload::numElements() const {
  int64_t count = 1;
  for (int64_t size : sizes)
    count *= size; // checked when read
  return count;
}

bool Payload::isContiguous() const {
  int64_t expected = 1;
  for (size_t i = sizes.size(); i-- > 0;) {
    if (sizes[i] == 0)
      return true;
    if (sizes[i] != 1 && strides[i] != expected)
      return false;
    expected *= sizes[i];
  }
  return true;
}

ArrayRef<uint8_t> Payload::contiguousBytes() const {
  assert(isContiguous() && "a view with gaps has no contiguous bytes");
  uint64_t bytes = bytesOf(dtype), count = static_cast<uint64_t>(numElements()) * bytes;
  return count == 0 ? ArrayRef<uint8_t>() : storage.slice(static_cast<uint64_t>(storageOffset) * bytes, count);
}

const Payload *ExportedProgram::payload(const InputSpec &input) const {
  using Kind = InputSpec::Kind;
  if (input.kind != Kind::Parameter && input.kind != Kind::Buffer && input.kind != Kind::TensorConstant)
    return nullptr;
  bool inWeights = input.kind == Kind::Parameter || (input.kind == Kind::Buffer && input.persistent);
  for (const StringMap<Payload> *table : {inWeights ? &weights : &constants, inWeights ? &constants : &weights})
    if (auto it = table->find(input.target); it != table->end())
      return &it->second;
  return nullptr;
}

const InputSpec *ExportedProgram::findInput(StringRef value) const {
  auto it = find_if(inputs, [&](const InputSpec &input) { return input.value == value; });
  return it == inputs.end() ? nullptr : &*it;
}

} // namespace tenon::torch_export
