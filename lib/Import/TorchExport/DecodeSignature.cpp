// Decodes the signature: what each input and output of the graph is for, and its name in the user's Python.
#include "Decode.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/ADT/StringSwitch.h"

using namespace llvm;

namespace tenon::torch_export {

static bool readArgName(const Cursor &c, StringRef &out) {
  Cursor name = c["name"];
  return c.isObject() && name.read(out);
}

static bool readConstant(const Cursor &c, Argument &out) {
  return c.readUnion([&](const Cursor &u) {
    auto read = [&](auto value) {
      bool good = u.read(value);
      out = Argument(Argument::Storage(value));
      return good;
    };
    if (u.name() == "as_none") {
      out = Argument(Argument::NoneValue());
      return true;
    }
    if (u.name() == "as_int")
      return read(int64_t(0));
    if (u.name() == "as_float")
      return read(0.0);
    if (u.name() == "as_bool")
      return read(false);
    if (u.name() == "as_string")
      return read(StringRef());
    return u.fail("is a constant of unknown kind '" + u.name() + "'");
  });
}

/// The name of the only value in a user's input or output, or "" for plain numbers and None.
static StringRef valueName(const Argument &arg) {
  StringRef name;
  if (auto *object = arg.getIf<CustomObjArg>())
    return object->name;
  arg.forEachValue([&](StringRef value) { name = value; });
  return name;
}

static bool readInputSpec(const Cursor &c, InputSpec &out, SymExprCache &cache) {
  return c.readUnion([&](const Cursor &u) {
    using Kind = InputSpec::Kind;
    auto kind = StringSwitch<std::optional<Kind>>(u.name())
                    .Case("user_input", Kind::UserInput)
                    .Case("parameter", Kind::Parameter)
                    .Case("buffer", Kind::Buffer)
                    .Case("tensor_constant", Kind::TensorConstant)
                    .Case("custom_obj", Kind::CustomObj)
                    .Case("token", Kind::Token)
                    .Case("constant_input", Kind::Constant)
                    .Default(std::nullopt);
    if (!kind)
      return u.fail("is an input of unknown kind '" + u.name() + "'");
    out.kind = *kind;
    if (!u.isObject())
      return false;
    Cursor arg = u["arg"];
    auto named = [&](StringRef key) {
      Cursor target = u[key];
      bool good = readArgName(arg, out.value);
      return target.read(out.target) && good;
    };
    switch (*kind) {
    case Kind::UserInput:
      if (!readArgument(arg, out.arg, cache))
        return false;
      out.value = valueName(out.arg);
      return true;
    case Kind::Parameter:
      return named("parameter_name");
    case Kind::Buffer: {
      Cursor persistent = u["persistent"];
      return named("buffer_name") && persistent.read(out.persistent);
    }
    case Kind::TensorConstant:
      return named("tensor_constant_name");
    case Kind::CustomObj:
      return named("custom_obj_name");
    case Kind::Token:
      return readArgName(arg, out.value);
    case Kind::Constant: {
      Cursor name = u["name"], value = u["value"];
      return name.read(out.value) && readConstant(value, out.arg);
    }
    }
    return false;
  });
}

static bool readOutputSpec(const Cursor &c, OutputSpec &out, SymExprCache &cache) {
  return c.readUnion([&](const Cursor &u) {
    using Kind = OutputSpec::Kind;
    auto kind = StringSwitch<std::optional<Kind>>(u.name())
                    .Case("user_output", Kind::UserOutput)
                    .Case("loss_output", Kind::Loss)
                    .Case("buffer_mutation", Kind::BufferMutation)
                    .Case("parameter_mutation", Kind::ParameterMutation)
                    .Case("gradient_to_parameter", Kind::GradientToParameter)
                    .Case("gradient_to_user_input", Kind::GradientToUserInput)
                    .Case("user_input_mutation", Kind::UserInputMutation)
                    .Case("token", Kind::Token)
                    .Default(std::nullopt);
    if (!kind)
      return u.fail("is an output of unknown kind '" + u.name() + "'");
    out.kind = *kind;
    if (!u.isObject())
      return false;
    Cursor arg = u["arg"];
    if (*kind == Kind::UserOutput)
      return readArgument(arg, out.arg, cache);
    TensorArg tensor;
    if (!readArgName(arg, tensor.name))
      return false;
    out.arg = Argument(tensor);
    StringRef key = *kind == Kind::BufferMutation                                            ? "buffer_name"
                    : *kind == Kind::ParameterMutation || *kind == Kind::GradientToParameter ? "parameter_name"
                    : *kind == Kind::GradientToUserInput || *kind == Kind::UserInputMutation ? "user_input_name"
                                                                                             : "";
    if (key.empty())
      return true;
    Cursor target = u[key];
    return target.read(out.target);
  });
}

static bool checkInputs(const Cursor &specs, const ExportedProgram &program) {
  if (program.inputs.size() != program.graph.inputs.size())
    return specs.fail("has " + Twine(program.inputs.size()) + " inputs but the graph has " +
                      Twine(program.graph.inputs.size()));
  StringSet<> names;
  size_t i = 0;
  return specs.forEach([&](const Cursor &c) {
    const InputSpec &spec = program.inputs[i];
    StringRef inGraph = valueName(program.graph.inputs[i++]);
    if (!spec.value.empty() && !inGraph.empty() && spec.value != inGraph)
      return c.fail("is for '" + spec.value + "' but the graph's input there is '" + inGraph + "'");
    return spec.value.empty() || names.insert(spec.value).second ||
           c.fail("names the input '" + spec.value + "' a second time");
  });
}

static bool checkOutputs(const Cursor &specs, const ExportedProgram &program) {
  using In = InputSpec::Kind;
  using Out = OutputSpec::Kind;
  if (program.outputs.size() != program.graph.outputs.size())
    return specs.fail("has " + Twine(program.outputs.size()) + " outputs but the graph has " +
                      Twine(program.graph.outputs.size()));
  StringSet<> parameters, buffers, userInputs;
  for (const InputSpec &input : program.inputs) {
    if (input.kind == In::Parameter)
      parameters.insert(input.target);
    else if (input.kind == In::Buffer)
      buffers.insert(input.target);
    else if (input.kind == In::UserInput || input.kind == In::Constant)
      userInputs.insert(input.value);
  }
  size_t i = 0;
  return specs.forEach([&](const Cursor &c) {
    const OutputSpec &spec = program.outputs[i];
    StringRef inGraph = valueName(program.graph.outputs[i++]), value = valueName(spec.arg);
    if (value != inGraph)
      return c.fail("is for '" + value + "' but the graph's output there is '" + inGraph + "'");
    switch (spec.kind) {
    case Out::BufferMutation:
      return buffers.contains(spec.target) || c.fail("changes '" + spec.target + "' which is no buffer");
    case Out::ParameterMutation:
    case Out::GradientToParameter:
      return parameters.contains(spec.target) || c.fail("refers to '" + spec.target + "' which is no parameter");
    case Out::GradientToUserInput:
    case Out::UserInputMutation:
      return userInputs.contains(spec.target) || c.fail("refers to '" + spec.target + "' which is no user input");
    default:
      return true;
    }
  });
}

bool readSignature(const Cursor &c, ExportedProgram &out, SymExprCache &cache) {
  if (!c.isObject())
    return false;
  Cursor inputs = c["input_specs"], outputs = c["output_specs"];
  bool good = inputs.readList(out.inputs,
                              [&](const Cursor &spec, InputSpec &value) { return readInputSpec(spec, value, cache); });
  good &= outputs.readList(out.outputs,
                           [&](const Cursor &spec, OutputSpec &value) { return readOutputSpec(spec, value, cache); });
  if (!good)
    return false;
  good = checkInputs(inputs, out);
  return checkOutputs(outputs, out) && good;
}

//===-- names from the nesting of inputs and outputs ------------------------------------------------------------===//

/// The first array in `value` with `count` texts or numbers: containers write their keys in various wrappings.
static const json::Value *findKeys(const json::Value &value, size_t count, unsigned depth = 0) {
  using Kind = json::Value::Kind;
  if (depth > 4)
    return nullptr;
  if (value.kind() == Kind::Array) {
    bool isList = value.array().size() == count && all_of(value.array(), [](const json::Value &key) {
                    return key.kind() == Kind::String || key.kind() == Kind::Int;
                  });
    if (isList)
      return &value;
    for (const json::Value &item : value.array())
      if (const json::Value *found = findKeys(item, count, depth + 1))
        return found;
  }
  if (value.kind() == Kind::Object)
    for (const json::Member &member : value.members())
      if (const json::Value *found = findKeys(member.value, count, depth + 1))
        return found;
  return nullptr;
}

/// `[3]`, `.key` or `["any text"]`.
static std::string quoteKey(const json::Value &key) {
  if (key.kind() == json::Value::Kind::Int)
    return "[" + std::to_string(key.integer()) + "]";
  StringRef text = key.string();
  bool isWord = !text.empty() && !isDigit(text[0]) && all_of(text, [](char c) { return isAlnum(c) || c == '_'; });
  return isWord ? "." + text.str() : "[\"" + text.str() + "\"]";
}

namespace {
/// Reads the texts `in_spec` and `out_spec`, which hold JSON again.
class TreeReader {
public:
  TreeReader(ExportedProgram &program, StringMap<const json::Value *> namedTuples)
      : program(program), namedTuples(std::move(namedTuples)) {}

  bool read(const Cursor &c, PyTree &out) {
    StringRef text;
    if (!c.read(text))
      return false;
    Expected<json::Value> parsed = json::parse(text, nodes, program.arena);
    if (!parsed)
      return c.fail(toString(parsed.takeError()));
    using Kind = json::Value::Kind;
    if (parsed->kind() != Kind::Array || parsed->array().size() != 2 || parsed->array()[0].kind() != Kind::Int)
      return c.fail("must hold a version and a tree");
    if (int64_t version = parsed->array()[0].integer(); version != 1)
      return c.fail("has tree version " + Twine(version) + " but this reader knows version 1");
    return readNode(c, parsed->array()[1], out);
  }

private:
  bool readNode(const Cursor &c, const json::Value &value, PyTree &out) {
    using Kind = json::Value::Kind;
    if (value.kind() != Kind::Object)
      return c.fail("has a tree node that is " + value.describe());
    const json::Value *type = value.find("type"), *children = value.find("children_spec"),
                      *context = value.find("context");
    if (!type || !children || children->kind() != Kind::Array)
      return c.fail("has a tree node without type or children_spec");
    if (type->kind() == Kind::Null)
      return children->array().empty() || c.fail("has a leaf with children");
    if (type->kind() != Kind::String || type->string().empty())
      return c.fail("has a tree node whose type is " + type->describe());
    out.type = type->string();
    for (const json::Value &child : children->array())
      if (!readNode(c, child, out.children.emplace_back()))
        return false;
    bool isSequence = out.type == "builtins.tuple" || out.type == "builtins.list" || out.type == "collections.deque";
    if (isSequence || !context || context->kind() != Kind::String || out.children.empty())
      return true;
    // What we cannot read here costs readable names only.
    Expected<json::Value> parsed = json::parse(context->string(), nodes, program.arena);
    if (!parsed) {
      consumeError(parsed.takeError());
      return true;
    }
    const json::Value *keys = findKeys(*parsed, out.children.size());
    if (out.type == "collections.namedtuple" && parsed->kind() == Kind::String) {
      auto it = namedTuples.find(parsed->string());
      keys = it == namedTuples.end() ? nullptr : findKeys(*it->second, out.children.size());
    }
    if (keys)
      for (const json::Value &key : keys->array())
        out.keys.push_back(quoteKey(key));
    return true;
  }

  ExportedProgram &program;
  StringMap<const json::Value *> namedTuples;
  BumpPtrAllocator nodes;
};
} // namespace

static void nameLeaves(const PyTree &tree, const std::string &name, std::vector<std::string> &out) {
  if (tree.isLeaf()) {
    out.push_back(name);
    return;
  }
  for (size_t i = 0; i < tree.children.size(); ++i)
    nameLeaves(tree.children[i], name + (tree.keys.empty() ? "[" + std::to_string(i) + "]" : tree.keys[i]), out);
}

static void nameInputs(ExportedProgram &program, ArrayRef<StringRef> argNames) {
  std::vector<std::string> names;
  const PyTree &tree = program.inputTree;
  bool isCall = tree.children.size() == 2; // (args, kwargs)
  if (isCall) {
    const PyTree &args = tree.children[0], &kwargs = tree.children[1];
    for (size_t i = 0; i < args.children.size(); ++i)
      nameLeaves(args.children[i], i < argNames.size() ? argNames[i].str() : "arg" + std::to_string(i), names);
    for (size_t i = 0; i < kwargs.children.size(); ++i)
      nameLeaves(kwargs.children[i],
                 i < kwargs.keys.size() ? StringRef(kwargs.keys[i]).ltrim('.').str() : "kwarg" + std::to_string(i),
                 names);
  }
  std::vector<InputSpec *> users;
  for (InputSpec &input : program.inputs)
    if (input.kind == InputSpec::Kind::UserInput || input.kind == InputSpec::Kind::Constant)
      users.push_back(&input);
  bool isUsable = isCall && names.size() == users.size();
  for (size_t i = 0; i < users.size(); ++i)
    users[i]->userName = isUsable                  ? names[i]
                         : users[i]->value.empty() ? "in" + std::to_string(i)
                                                   : users[i]->value.str();
}

static void nameOutputs(ExportedProgram &program) {
  std::vector<std::string> names;
  const PyTree &tree = program.outputTree;
  if (tree.isLeaf())
    names.push_back("out");
  for (size_t i = 0; i < tree.children.size(); ++i)
    nameLeaves(tree.children[i],
               tree.keys.empty() ? "out" + std::to_string(i) : StringRef(tree.keys[i]).ltrim('.').str(), names);
  std::vector<OutputSpec *> users;
  for (OutputSpec &output : program.outputs)
    if (output.kind == OutputSpec::Kind::UserOutput || output.kind == OutputSpec::Kind::Loss)
      users.push_back(&output);
  for (size_t i = 0; i < users.size(); ++i)
    users[i]->userName = names.size() == users.size() ? names[i] : "out" + std::to_string(i);
}

bool readCallGraph(const Cursor &graphModule, ExportedProgram &out) {
  Cursor entries = graphModule["module_call_graph"], tuples = graphModule["treespec_namedtuple_fields"];
  StringMap<const json::Value *> namedTuples;
  if (!tuples.isMissingOrNull() && !tuples.forEachMember([&](const Cursor &tuple) {
        namedTuples[tuple.name()] = &tuple.get();
        return true;
      }))
    return false;
  TreeReader trees(out, std::move(namedTuples));
  std::vector<StringRef> argNames;
  bool good = entries.forEach([&](const Cursor &entry) {
    Cursor fqn = entry["fqn"], signature = entry["signature"];
    StringRef path;
    if (!entry.isObject() || !fqn.read(path))
      return false;
    if (!path.empty()) {
      out.modules.push_back(path);
      return true;
    }
    if (signature.isMissingOrNull())
      return true;
    Cursor in = signature["in_spec"], result = signature["out_spec"], names = signature["forward_arg_names"];
    out.inputTree = {};
    out.outputTree = {};
    argNames.clear();
    bool entryGood = signature.isObject() && trees.read(in, out.inputTree);
    entryGood = entryGood && trees.read(result, out.outputTree);
    if (!names.isMissingOrNull())
      entryGood &= names.readList(argNames);
    return entryGood;
  });
  nameInputs(out, argNames);
  nameOutputs(out);
  return good;
}

} // namespace tenon::torch_export
