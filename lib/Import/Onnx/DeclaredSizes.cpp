// What a model declares about the sizes of one value, for all values that must have the same ones.
#include "Importer.h"

using namespace mlir;

namespace tenon::onnx_import {

static const llvm::StringSet<> &unaryOps() {
  static const llvm::StringSet<> names{
      "Abs",  "Acos",     "Acosh",      "Asin",       "Asinh", "Atan",     "Atanh",    "BitwiseNot", "Cast",    "CastLike",
      "Ceil", "Clip",     "Cos",        "Cosh",       "Elu",   "Erf",      "Exp",      "Floor",      "Identity", "IsInf",
      "IsNaN", "LeakyRelu", "Log",      "LogSoftmax", "Neg",   "Not",      "Reciprocal", "Relu",     "Round",   "Sigmoid",
      "Sign", "Sin",      "Sinh",       "Softmax",    "Softplus", "Sqrt",  "Tan",      "Tanh"};
  return names;
}

static const llvm::StringSet<> &binaryOps() {
  static const llvm::StringSet<> names{"Add", "Sub",  "Mul",     "Div",            "Pow",         "Mod", "And", "Or",
                                       "Xor", "Less", "Greater", "GreaterOrEqual", "LessOrEqual", "Equal"};
  return names;
}

namespace {
/// Names in classes of equal sizes, and which names are scalars.
class SizeClasses {
public:
  explicit SizeClasses(const Scope &scope) : scope(scope) {}

  StringRef find(StringRef name) {
    auto it = parents.find(name);
    while (it != parents.end() && it->second != name) {
      name = it->second;
      it = parents.find(name);
    }
    return name;
  }
  void join(StringRef a, StringRef b) {
    a = find(parents.try_emplace(a, a.str()).first->getKey());
    b = find(parents.try_emplace(b, b.str()).first->getKey());
    parents[a] = b.str();
  }
  bool isScalar(StringRef name) const {
    if (scalars.contains(name))
      return true;
    const Datum *value = scope.find(name);
    return value && ((value->tensor && value->tensor.rank() == 0) || (value->known && value->known->shape.empty()) ||
                     (value->stored && value->stored->dims_size() == 0));
  }
  void visit(const onnx::NodeProto &node);

  llvm::StringMap<std::string> parents;
  llvm::StringSet<> scalars;

private:
  const Scope &scope;
};
} // namespace

void SizeClasses::visit(const onnx::NodeProto &node) {
  if (node.output_size() == 0 || (!node.domain().empty() && node.domain() != "ai.onnx"))
    return;
  StringRef result = node.output(0), type = node.op_type();
  if (type == "Constant") {
    for (const onnx::AttributeProto &attribute : node.attribute())
      if (attribute.name() == "value_int" || attribute.name() == "value_float" ||
          (attribute.name() == "value" && attribute.t().dims_size() == 0))
        scalars.insert(result);
  } else if (unaryOps().contains(type) && node.input_size() > 0) {
    if (isScalar(node.input(0)))
      scalars.insert(result);
    else
      join(result, node.input(0));
  } else if (binaryOps().contains(type) && node.input_size() == 2) {
    StringRef l = node.input(0), r = node.input(1);
    if (isScalar(l) && isScalar(r))
      scalars.insert(result);
    else if (isScalar(r) || find(l) == find(r))
      join(result, l);
    else if (isScalar(l))
      join(result, r);
  }
}

void Importer::spreadSizes(const google::protobuf::RepeatedPtrField<onnx::NodeProto> &nodes, Scope &scope) {
  SizeClasses classes(scope);
  for (const onnx::NodeProto &node : nodes)
    classes.visit(node);
  llvm::StringMap<const onnx::TypeProto *> types;
  for (auto &entry : classes.parents) {
    const onnx::TypeProto *type = scope.type(entry.getKey());
    std::optional<graph::Dims> dims = type ? dimsOf(*type) : std::nullopt;
    if (dims && !llvm::is_contained(*dims, AffineExpr()))
      types[classes.find(entry.getKey())] = type;
  }
  for (auto &entry : classes.parents) {
    const onnx::TypeProto *type = types.lookup(classes.find(entry.getKey()));
    if (!type || scope.type(entry.getKey()))
      continue;
    auto copy = std::make_shared<onnx::TypeProto>(*type);
    copy->mutable_tensor_type()->clear_elem_type(); // sizes alone
    scope.declared[entry.getKey()] = copy.get();
    scope.ownedTypes.push_back(std::move(copy));
  }
}

} // namespace tenon::onnx_import
