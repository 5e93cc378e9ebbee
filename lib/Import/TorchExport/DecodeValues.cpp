// Decodes the small parts: numbers, symbolic numbers, tensor metadata, arguments. Also what cursors print.
#include "Decode.h"
#include "llvm/ADT/StringSwitch.h"
#include <cmath>
#include <limits>

using namespace llvm;

namespace tenon::torch_export {

std::string Cursor::path() const {
  if (!parent)
    return "";
  std::string text = parent->path();
  if (!key.empty())
    return text.empty() ? key.str() : text + "." + key.str();
  bool isItem = parent->value && parent->value->kind() == json::Value::Kind::Array;
  return isItem ? text + "[" + std::to_string(index) + "]" : text + ".\"\"";
}

bool Cursor::read(double &out) const {
  using Kind = json::Value::Kind;
  Kind kind = value ? value->kind() : Kind::Null;
  switch (kind) {
  case Kind::Float:
    out = value->number();
    return true;
  case Kind::Int:
    out = static_cast<double>(value->integer());
    return true;
  case Kind::BigInt:
    if (!value->string().getAsDouble(out))
      return true;
    break;
  case Kind::String:
    if (value->string() == "Infinity" || value->string() == "-Infinity" || value->string() == "NaN") {
      out =
          value->string() == "NaN" ? std::numeric_limits<double>::quiet_NaN() : std::numeric_limits<double>::infinity();
      if (value->string().starts_with("-"))
        out = -out;
      return true;
    }
    break;
  default:
    break;
  }
  return expected("a number");
}

bool SymExprCache::read(const Cursor &c, SymExprRef &out) {
  StringRef text;
  if (!c.read(text))
    return false;
  auto [it, isNew] = known.try_emplace(text);
  if (isNew) {
    Expected<SymExprRef> parsed = parseSymExpr(text);
    if (!parsed) {
      known.erase(it);
      return c.fail(toString(parsed.takeError()));
    }
    it->second = std::move(*parsed);
  }
  out = it->second;
  return true;
}

/// `as_expr` or the plain member. Constant expressions become plain.
template <typename T> static bool readSym(const Cursor &c, Sym<T> &out, StringRef plain, SymExprCache &cache) {
  return c.readUnion([&](const Cursor &u) {
    if (u.name() == plain)
      return u.read(out.value);
    if (u.name() != "as_expr")
      return c.fail("has '" + u.name() + "' but must have 'as_expr' or '" + plain + "'");
    Cursor text = u["expr_str"];
    SymExprRef expr;
    if (!u.isObject() || !cache.read(text, expr))
      return false;
    Cursor hint = u["hint"];
    if (!hint.isMissingOrNull()) {
      Cursor value = hint[plain];
      if (value.exists() && value.get().kind() != json::Value::Kind::BigInt) { // a huge hint is of no use
        out.hint.emplace();
        if (!value.read(*out.hint))
          return false;
      }
    }
    bool isPlain = std::is_same_v<T, int64_t> ? expr->isInteger()
                   : std::is_same_v<T, bool>  ? expr->kind == SymExpr::Kind::Bool
                                              : false;
    if (isPlain)
      out.value = static_cast<T>(expr->value);
    else
      out.expr = std::move(expr);
    return true;
  });
}

bool readSymInt(const Cursor &c, SymInt &out, SymExprCache &cache) { return readSym(c, out, "as_int", cache); }
bool readSymFloat(const Cursor &c, SymFloat &out, SymExprCache &cache) { return readSym(c, out, "as_float", cache); }
bool readSymBool(const Cursor &c, SymBool &out, SymExprCache &cache) { return readSym(c, out, "as_bool", cache); }

static bool readScalarType(const Cursor &c, ScalarType &out) {
  int64_t number;
  if (!c.read(number))
    return false;
  if (!(number >= 0 && number <= 13) && !(number >= 28 && number <= 35))
    return c.fail("is " + Twine(number) + " which is no element type of schema 8");
  out = static_cast<ScalarType>(number);
  return true;
}

template <typename E> static bool readEnum(const Cursor &c, E &out, E last, StringRef what) {
  int64_t number;
  if (!c.read(number))
    return false;
  if (number < 0 || number > static_cast<int64_t>(last))
    return c.fail("is " + Twine(number) + " which is no " + what + " of schema 8");
  out = static_cast<E>(number);
  return true;
}

static bool readDevice(const Cursor &c, Device &out) {
  Cursor type = c["type"], index = c["index"];
  if (!c.isObject() || !type.read(out.type))
    return false;
  if (index.isMissingOrNull())
    return true;
  out.index.emplace();
  return index.read(*out.index);
}

bool readTensorMeta(const Cursor &c, TensorMeta &out, SymExprCache &cache) {
  if (!c.isObject())
    return false;
  Cursor dtype = c["dtype"], sizes = c["sizes"], strides = c["strides"], offset = c["storage_offset"];
  Cursor layout = c["layout"], device = c["device"], grad = c["requires_grad"];
  auto item = [&](const Cursor &size, SymInt &value) { return readSymInt(size, value, cache); };
  bool good = readScalarType(dtype, out.dtype);
  good &= sizes.readList(out.sizes, item);
  good &= strides.readList(out.strides, item);
  good &= readSymInt(offset, out.storageOffset, cache);
  good &= readEnum(layout, out.layout, Layout::Strided, "layout");
  good &= readDevice(device, out.device);
  good &= grad.read(out.requiresGrad);
  if (!good)
    return false;
  if (out.layout == Layout::Strided && out.sizes.size() != out.strides.size())
    return c.fail("has " + Twine(out.sizes.size()) + " sizes but " + Twine(out.strides.size()) + " strides");
  bool isNegative = any_of(out.sizes, [](const SymInt &size) { return size.isStatic() && size.value < 0; });
  return !isNegative || sizes.fail("has a negative size");
}

//===-- arguments -----------------------------------------------------------------------------------------------===//

static bool readName(const Cursor &c, StringRef &out) {
  if (!c.read(out))
    return false;
  return !out.empty() || c.fail("is an empty name");
}

static bool readTensor(const Cursor &c, TensorArg &out) {
  Cursor name = c["name"];
  return c.isObject() && readName(name, out.name);
}

static bool readOptionalTensor(const Cursor &c, OptionalTensorArg &out) {
  return c.readUnion([&](const Cursor &u) {
    if (u.name() == "as_none")
      return true;
    if (u.name() != "as_tensor")
      return c.fail("has '" + u.name() + "' but must have 'as_tensor' or 'as_none'");
    out.emplace();
    return readTensor(u, *out);
  });
}

template <typename T> static bool readSymArg(const Cursor &c, SymArg<T> &out, StringRef plain) {
  return c.readUnion([&](const Cursor &u) {
    if (u.name() == "as_name")
      return readName(u, out.name);
    if (u.name() != plain)
      return c.fail("has '" + u.name() + "' but must have 'as_name' or '" + plain + "'");
    return u.read(out.value);
  });
}
static bool readSymIntArg(const Cursor &c, SymIntArg &out) { return readSymArg(c, out, "as_int"); }
static bool readSymFloatArg(const Cursor &c, SymFloatArg &out) { return readSymArg(c, out, "as_float"); }
static bool readSymBoolArg(const Cursor &c, SymBoolArg &out) { return readSymArg(c, out, "as_bool"); }

bool readCustomObj(const Cursor &c, CustomObjArg &out) {
  Cursor name = c["name"], type = c["class_fqn"];
  return c.isObject() && readName(name, out.name) && type.read(out.className);
}

static bool readComplex(const Cursor &c, std::complex<double> &out) {
  Cursor real = c["real"], imaginary = c["imag"];
  double re = 0, im = 0;
  if (!c.isObject() || !real.read(re) || !imaginary.read(im))
    return false;
  out = {re, im};
  return true;
}

static bool readGraphArg(const Cursor &c, GraphArg &out, SymExprCache &cache) {
  Cursor name = c["name"], body = c["graph"];
  if (!c.isObject() || !name.read(out.name))
    return false;
  auto graph = std::make_shared<Graph>();
  bool good = readGraph(body, *graph, cache);
  out.graph = std::move(graph);
  return good;
}

static bool readDict(const Cursor &c, DictArg &out, SymExprCache &cache) {
  return c.forEachMember([&](const Cursor &member) {
    out.entries.emplace_back(member.name(), Argument());
    return readArgument(member, out.entries.back().second, cache);
  });
}

template <typename T, typename F> static bool readAs(const Cursor &c, Argument &out, F &&readValue) {
  T value{};
  bool good = readValue(c, value);
  out = Argument(Argument::Storage(std::in_place_type<T>, std::move(value)));
  return good;
}
template <typename T> static bool readPlain(const Cursor &c, Argument &out) {
  return readAs<T>(c, out, [](const Cursor &v, T &value) { return v.read(value); });
}
template <typename T> static bool readPlainList(const Cursor &c, Argument &out) {
  return readAs<std::vector<T>>(c, out, [](const Cursor &v, std::vector<T> &list) { return v.readList(list); });
}
template <typename T, typename F> static bool readListAs(const Cursor &c, Argument &out, F &&readItem) {
  return readAs<std::vector<T>>(c, out,
                                [&](const Cursor &v, std::vector<T> &list) { return v.readList(list, readItem); });
}
template <typename T> static bool readLists(const Cursor &c, Argument &out) {
  return readListAs<std::vector<T>>(c, out, [](const Cursor &v, std::vector<T> &list) { return v.readList(list); });
}

/// `as_optional_tensor` has no kind of its own: it becomes a tensor or None.
static bool readTensorOrNone(const Cursor &c, Argument &out) {
  OptionalTensorArg tensor;
  bool good = readOptionalTensor(c, tensor);
  out = tensor ? Argument(*tensor) : Argument(Argument::NoneValue());
  return good;
}

/// `u` is the only member of the union; its name is the kind.
static bool readKind(const Cursor &u, Argument &out, SymExprCache &cache) {
  using Kind = Argument::Kind;
  auto kind = StringSwitch<Kind>(u.name())
                  .Case("as_none", Kind::None)
                  .Case("as_tensor", Kind::Tensor)
                  .Case("as_tensors", Kind::Tensors)
                  .Case("as_optional_tensors", Kind::OptionalTensors)
                  .Case("as_nested_tensors", Kind::NestedTensors)
                  .Case("as_int", Kind::Int)
                  .Case("as_ints", Kind::Ints)
                  .Case("as_int_lists", Kind::IntLists)
                  .Case("as_float", Kind::Float)
                  .Case("as_floats", Kind::Floats)
                  .Case("as_float_lists", Kind::FloatLists)
                  .Case("as_bool", Kind::Bool)
                  .Case("as_bools", Kind::Bools)
                  .Case("as_string", Kind::String)
                  .Case("as_strings", Kind::Strings)
                  .Case("as_sym_int", Kind::SymInt)
                  .Case("as_sym_ints", Kind::SymInts)
                  .Case("as_sym_float", Kind::SymFloat)
                  .Case("as_sym_floats", Kind::SymFloats)
                  .Case("as_sym_bool", Kind::SymBool)
                  .Case("as_sym_bools", Kind::SymBools)
                  .Case("as_scalar_type", Kind::ScalarType)
                  .Case("as_memory_format", Kind::MemoryFormat)
                  .Case("as_layout", Kind::Layout)
                  .Case("as_device", Kind::Device)
                  .Case("as_graph", Kind::Graph)
                  .Case("as_custom_obj", Kind::CustomObj)
                  .Case("as_operator", Kind::Operator)
                  .Case("as_complex", Kind::Complex)
                  .Case("as_string_to_argument", Kind::Dict)
                  .Default(Kind::Missing);
  switch (kind) {
  case Kind::Missing:
    if (u.name() != "as_optional_tensor")
      return u.fail("is an argument of unknown kind '" + u.name() + "'");
    return readTensorOrNone(u, out);
  case Kind::None:
    out = Argument(Argument::NoneValue());
    return true;
  case Kind::Tensor:
    return readAs<TensorArg>(u, out, readTensor);
  case Kind::Tensors:
    return readListAs<TensorArg>(u, out, readTensor);
  case Kind::OptionalTensors:
    return readListAs<OptionalTensorArg>(u, out, readOptionalTensor);
  case Kind::NestedTensors:
    return readListAs<std::vector<TensorArg>>(
        u, out, [](const Cursor &v, std::vector<TensorArg> &list) { return v.readList(list, readTensor); });
  case Kind::Int:
    return readPlain<int64_t>(u, out);
  case Kind::Ints:
    return readPlainList<int64_t>(u, out);
  case Kind::IntLists:
    return readLists<int64_t>(u, out);
  case Kind::Float:
    return readPlain<double>(u, out);
  case Kind::Floats:
    return readPlainList<double>(u, out);
  case Kind::FloatLists:
    return readLists<double>(u, out);
  case Kind::Bool:
    return readPlain<bool>(u, out);
  case Kind::Bools:
    return readPlainList<bool>(u, out);
  case Kind::String:
    return readPlain<StringRef>(u, out);
  case Kind::Strings:
    return readPlainList<StringRef>(u, out);
  case Kind::SymInt:
    return readAs<SymIntArg>(u, out, readSymIntArg);
  case Kind::SymInts:
    return readListAs<SymIntArg>(u, out, readSymIntArg);
  case Kind::SymFloat:
    return readAs<SymFloatArg>(u, out, readSymFloatArg);
  case Kind::SymFloats:
    return readListAs<SymFloatArg>(u, out, readSymFloatArg);
  case Kind::SymBool:
    return readAs<SymBoolArg>(u, out, readSymBoolArg);
  case Kind::SymBools:
    return readListAs<SymBoolArg>(u, out, readSymBoolArg);
  case Kind::ScalarType:
    return readAs<ScalarType>(u, out, readScalarType);
  case Kind::MemoryFormat:
    return readAs<MemoryFormat>(u, out, [](const Cursor &c, MemoryFormat &value) {
      return readEnum(c, value, MemoryFormat::Preserve, "memory format");
    });
  case Kind::Layout:
    return readAs<Layout>(u, out,
                          [](const Cursor &c, Layout &value) { return readEnum(c, value, Layout::Strided, "layout"); });
  case Kind::Device:
    return readAs<Device>(u, out, readDevice);
  case Kind::Graph:
    return readAs<GraphArg>(u, out, [&](const Cursor &c, GraphArg &value) { return readGraphArg(c, value, cache); });
  case Kind::CustomObj:
    return readAs<CustomObjArg>(u, out, readCustomObj);
  case Kind::Operator:
    return readAs<OperatorArg>(u, out, [](const Cursor &c, OperatorArg &value) { return c.read(value.name); });
  case Kind::Complex:
    return readAs<std::complex<double>>(u, out, readComplex);
  case Kind::Dict:
    return readAs<DictArg>(u, out, [&](const Cursor &c, DictArg &value) { return readDict(c, value, cache); });
  }
  return false;
}

bool readArgument(const Cursor &c, Argument &out, SymExprCache &cache) {
  return c.readUnion([&](const Cursor &u) { return readKind(u, out, cache); });
}

} // namespace tenon::torch_export
