// Zip corners, symbolic expressions and whole little programs, right and wrong, all built in memory.
#include "ZipBuilder.h"
#include "tenon/Import/TorchExport/Pt2Archive.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/raw_ostream.h"
#include <cmath>

using namespace tenon::torch_export;
using llvm::StringRef;

static unsigned failures = 0;
#define CHECK(condition)                                                                                               \
  do {                                                                                                                 \
    if (!(condition)) {                                                                                                \
      ++failures;                                                                                                      \
      llvm::errs() << __FILE__ << ":" << __LINE__ << ": " #condition "\n";                                             \
    }                                                                                                                  \
  } while (false)

static llvm::ArrayRef<uint8_t> bytesOf(const std::string &s) { return llvm::arrayRefFromStringRef(s); }

/// Its error, or "" for a good file.
static std::string zipError(const std::string &file) {
  llvm::Expected<ZipReader> zip = ZipReader::read(bytesOf(file));
  return zip ? "" : llvm::toString(zip.takeError());
}
static void expectZipError(const std::string &file, StringRef part) {
  std::string error = zipError(file);
  if (!StringRef(error).contains(part)) {
    ++failures;
    llvm::errs() << "expected '" << part << "' but got '" << error << "'\n";
  }
}

//===-- zip -----------------------------------------------------------------------------------------------------===//

static void testZip() {
  std::vector<std::pair<std::string, std::string>> entries = {{"a/b", "hello"}, {"../x", ""}, {"/abs", "123"}};
  for (bool zip64 : {false, true})
    for (bool descriptor : {false, true}) {
      ZipBuilder builder;
      builder.zip64 = zip64;
      builder.dataDescriptor = descriptor;
      std::string file = builder.build(entries);
      auto zip = ZipReader::read(bytesOf(file));
      CHECK(bool(zip));
      if (!zip) {
        llvm::errs() << llvm::toString(zip.takeError()) << "\n";
        continue;
      }
      CHECK(zip->entries().size() == 3);
      for (const auto &[name, data] : entries) {
        const ZipEntry *entry = zip->find(name);
        CHECK(entry && llvm::toStringRef(zip->contents(*entry)) == data);
      }
      CHECK(!zip->find("a"));
      // Cut off anywhere, or with any byte changed, it is refused or read, but never past its end.
      for (size_t n = 0; n < file.size(); ++n)
        CHECK(!zipError(file.substr(0, n)).empty());
      for (size_t i = 0; i < file.size(); ++i)
        for (char c : {'\0', '\1', '\x7f', '\xff'}) {
          std::string changed = file;
          changed[i] = c;
          if (auto other = ZipReader::read(bytesOf(changed)))
            for (const ZipEntry &entry : other->entries())
              CHECK(entry.offset + entry.size <= changed.size());
          else
            llvm::consumeError(other.takeError());
        }
    }
  ZipBuilder plain;
  CHECK(zipError(plain.build({})).empty());
  expectZipError("", "no end record");
  expectZipError(plain.build({{"a", "1"}, {"a", "2"}}), "'a' occurs twice");
  expectZipError(plain.build({{"a", "1"}}) + "x", "no end record");
  ZipBuilder commented;
  commented.comment = "any text";
  CHECK(zipError(commented.build({{"a", "1"}})).empty());
  ZipBuilder overlapping;
  overlapping.overlap = true;
  overlapping.localNameInstead = "a";
  expectZipError(overlapping.build({{"a", "1"}, {"b", "2"}}), "is named 'a' in its local header");
  ZipBuilder renamed;
  renamed.localNameInstead = "b";
  expectZipError(renamed.build({{"a", "1"}}), "is named 'b' in its local header");
  ZipBuilder compressed;
  compressed.method = 8;
  expectZipError(compressed.build({{"a", "1"}}), "is compressed (method 8)");
  ZipBuilder encrypted;
  encrypted.flags = 1;
  expectZipError(encrypted.build({{"a", "1"}}), "is encrypted");

  // The payload of 'a' grows over the header of 'b'.
  std::string file = plain.build({{"a", "1"}, {"b", "2"}});
  size_t central = file.find("PK\1\2");
  file[central + 20] = file[central + 24] = 5;
  expectZipError(file, "'a' and 'b' overlap");
  file[central + 20] = file[central + 24] = '\xf0';
  expectZipError(file, "but its space ends at");
}

//===-- symbolic expressions ------------------------------------------------------------------------------------===//

static void expectExpr(StringRef text, StringRef printed, std::optional<int64_t> value) {
  llvm::Expected<SymExprRef> expr = parseSymExpr(text);
  if (!expr) {
    ++failures;
    llvm::errs() << text << ": " << llvm::toString(expr.takeError()) << "\n";
    return;
  }
  auto symbol = [](StringRef name) -> std::optional<int64_t> {
    if (name == "s0")
      return 7;
    return std::nullopt;
  };
  if ((*expr)->str() != printed || (*expr)->evaluate(symbol) != value) {
    ++failures;
    llvm::errs() << text << " gave " << (*expr)->str() << " = " << (*expr)->evaluate(symbol).value_or(-999) << "\n";
  }
}
static void expectExprError(StringRef text, StringRef part) {
  llvm::Expected<SymExprRef> expr = parseSymExpr(text);
  std::string error = expr ? "" : llvm::toString(expr.takeError());
  if (!StringRef(error).contains(part)) {
    ++failures;
    llvm::errs() << text << ": expected '" << part << "' but got '" << error << "'\n";
  }
}

static void testSymExpr() {
  const std::string s0 = "Symbol('s0', positive=True, integer=True)";
  expectExpr(s0, "s0", 7);
  expectExpr("Add(Mul(Integer(2), " + s0 + "), Integer(-1))", "2*s0 + -1", 13);
  expectExpr("Pow(" + s0 + ", Integer(2))", "s0**2", 49);
  expectExpr("FloorDiv(Mul(Integer(-1), " + s0 + "), Integer(2))", "(-1*s0) // 2", -4);
  expectExpr("CleanDiv(Integer(8), Integer(2))", "8 // 2", 4);
  expectExpr("CeilDiv(" + s0 + ", Integer(2))", "ceildiv(s0, 2)", 4);
  expectExpr("ceiling(Mul(Rational(1, 2), " + s0 + "))", "ceil(1/2*s0)", 4);
  expectExpr("PythonMod(Integer(-1), " + s0 + ")", "-1 % s0", 6);
  expectExpr("ModularIndexing(" + s0 + ", Integer(2), Integer(2))", "(s0 // 2) % 2", 1);
  expectExpr("Max(Integer(1), Min(Integer(3), " + s0 + "))", "max(1, min(3, s0))", 3);
  expectExpr("IntTrueDiv(" + s0 + ", Integer(2))", "s0 / 2", std::nullopt);
  expectExpr("GreaterThan(" + s0 + ", Integer(3))", "s0 >= 3", 1);
  expectExpr("Where(true, " + s0 + ", Integer(0))", "Where(True, s0, 0)", std::nullopt);
  expectExpr("Pow(Integer(2), " + s0 + ")", "Pow(2, s0)", std::nullopt);
  expectExpr("Mod(" + s0 + ", Integer(0))", "s0 % 0", std::nullopt);
  expectExpr("Symbol('u3', integer=True)", "u3", std::nullopt);
  expectExpr("Mul(Integer(9223372036854775807), Integer(2))", "9223372036854775807*2", std::nullopt);
  expectExpr("FloorDiv(Integer(-9223372036854775808), Integer(-1))", "-9223372036854775808 // -1", std::nullopt);
  expectExpr("IntInfinity()", "oo", std::nullopt);
  auto symbol = parseSymExpr(s0);
  CHECK(symbol && (*symbol)->positive && (*symbol)->integer && !(*symbol)->nonnegative);
  auto where = parseSymExpr("Add(Integer(1), Where(true, Integer(1), Integer(2)))");
  CHECK(where && (*where)->findUnsupported() && (*where)->findUnsupported()->name == "Where");

  expectExprError("", "the text ends");
  expectExprError("Add(Integer(1)", "character 15: expected ',' or ')'");
  expectExprError("FloorDiv(Integer(1))", "'FloorDiv' with 1 operands");
  expectExprError("Integer(99999999999999999999)", "at most 64 bits");
  expectExprError("Integer(1) Integer(2)", "text after the end");
  expectExprError("Symbol('s0", "string without end");
  expectExprError("Rational(1, 0)", "out of range");
  std::string deep;
  for (int i = 0; i < 10000; ++i)
    deep += "Add(";
  expectExprError(deep, "nested more than 100 deep");
  std::string good = "Add(Mul(Integer(2), " + s0 + "), Rational(-1, 3))";
  for (size_t n = 4; n < good.size(); ++n) // shorter ones are names of unknown constants
    expectExprError(good.substr(0, n), "character");
}

//===-- programs ------------------------------------------------------------------------------------------------===//

static const char *const kModel = R"json({
 "graph_module": {
  "graph": {
   "inputs": [{"as_tensor": {"name": "p_w"}}, {"as_tensor": {"name": "p_tied"}}, {"as_tensor": {"name": "b"}},
              {"as_tensor": {"name": "x"}}, {"as_tensor": {"name": "kv_k"}}, {"as_int": 3}],
   "outputs": [{"as_tensor": {"name": "add"}}, {"as_tensor": {"name": "linear"}}],
   "nodes": [
    {"target": "torch.ops.aten.sym_size.int", "inputs": [
       {"name": "self", "arg": {"as_tensor": {"name": "x"}}, "kind": 1}, {"name": "dim", "arg": {"as_int": 0}, "kind": 1}],
     "outputs": [{"as_sym_int": {"as_name": "sym"}}], "metadata": {}, "name": "sym"},
    {"target": "torch.ops.aten.linear.default", "inputs": [
       {"name": "input", "arg": {"as_tensor": {"name": "x"}}, "kind": 1},
       {"name": "weight", "arg": {"as_tensor": {"name": "p_w"}}, "kind": 1}],
     "outputs": [{"as_tensor": {"name": "linear"}}],
     "metadata": {"nn_module_stack": "L__self__,,my.Model;L__self__enc.0@1,enc.0@1,torch.nn.modules.linear.Linear",
       "stack_trace": "  File \"/home/me/model.py\", line 12, in forward\n    x = self.enc(x)\n  File \"/env/site-packages/torch/nn/modules/linear.py\", line 125, in forward\n    return F.linear(",
       "torch_fn": "linear_1;builtin_function_or_method.linear", "from_node": "[long]"},
     "name": "linear", "future_field": {"a": [1]}},
    {"target": "torch.ops.aten.add.Tensor", "inputs": [
       {"name": "self", "arg": {"as_tensor": {"name": "b"}}, "kind": 1},
       {"name": "other", "arg": {"as_float": "-Infinity"}, "kind": 1},
       {"name": "sizes", "arg": {"as_sym_ints": [{"as_int": 4}, {"as_name": "sym"}]}, "kind": 2}],
     "outputs": [{"as_tensor": {"name": "add"}}], "metadata": {}}],
   "tensor_values": {"p_w": META, "p_tied": META, "b": META, "add": META, "linear": META, "kv_k": META,
     "x": {"dtype": 7, "sizes": [{"as_expr": {"expr_str": "Symbol('s0', positive=True, integer=True)", "hint": {"as_int": 5}}}, {"as_int": 2}],
       "requires_grad": false, "device": {"type": "cpu", "index": null}, "strides": [{"as_int": 2}, {"as_int": 1}],
       "storage_offset": {"as_int": 0}, "layout": 7}},
   "sym_int_values": {"sym": {"as_expr": {"expr_str": "Symbol('s0', positive=True, integer=True)", "hint": null}}},
   "sym_bool_values": {}, "is_single_tensor_return": false, "custom_obj_values": {}},
  "signature": {
   "input_specs": [{"parameter": {"arg": {"name": "p_w"}, "parameter_name": "w"}},
     {"parameter": {"arg": {"name": "p_tied"}, "parameter_name": "tied"}},
     {"buffer": {"arg": {"name": "b"}, "buffer_name": "state", "persistent": true}},
     {"user_input": {"arg": {"as_tensor": {"name": "x"}}}},
     {"user_input": {"arg": {"as_tensor": {"name": "kv_k"}}}},
     {"constant_input": {"name": "n", "value": {"as_int": 3}}}],
   "output_specs": [{"buffer_mutation": {"arg": {"name": "add"}, "buffer_name": "state"}},
     {"user_output": {"arg": {"as_tensor": {"name": "linear"}}}}]},
  "module_call_graph": [{"fqn": "", "signature": {"inputs": [], "outputs": [],
     "in_spec": "[1, {\"type\": \"builtins.tuple\", \"context\": \"null\", \"children_spec\": [{\"type\": \"builtins.tuple\", \"context\": \"null\", \"children_spec\": [{\"type\": null, \"context\": null, \"children_spec\": []}, {\"type\": \"builtins.list\", \"context\": \"null\", \"children_spec\": [{\"type\": \"builtins.dict\", \"context\": \"[\\\"k\\\"]\", \"children_spec\": [{\"type\": null, \"context\": null, \"children_spec\": []}]}]}]}, {\"type\": \"builtins.dict\", \"context\": \"[\\\"n\\\"]\", \"children_spec\": [{\"type\": null, \"context\": null, \"children_spec\": []}]}]}]",
     "out_spec": "[1, {\"type\": \"builtins.dict\", \"context\": \"[\\\"logits\\\"]\", \"children_spec\": [{\"type\": null, \"context\": null, \"children_spec\": []}]}]",
     "forward_arg_names": ["x", "kv", "n"]}}, {"fqn": "enc.0", "signature": null}],
  "metadata": {}},
 "opset_version": {"aten": 10}, "range_constraints": {"s0": {"min_val": 2, "max_val": null}},
 "schema_version": {"major": 8, "minor": 20}, "verifiers": ["TRAINING"], "torch_version": "2.13.0", "guards_code": []})json";
static const char *const kMeta = R"json({"dtype": 7, "sizes": [{"as_int": 2}, {"as_int": 2}], "requires_grad": false,
  "device": {"type": "cpu", "index": null}, "strides": [{"as_int": 2}, {"as_int": 1}], "storage_offset": {"as_int": 0}, "layout": 7})json";
static const char *const kWeights = R"json({"config": {
  "w": {"path_name": "weight_0", "is_param": true, "use_pickle": false, "tensor_meta": META},
  "tied": {"path_name": "weight_0", "is_param": true, "use_pickle": false, "tensor_meta": META},
  "state": {"path_name": "weight_1", "is_param": false, "use_pickle": false, "tensor_meta": META}}})json";

static std::string replace(std::string text, StringRef from, StringRef to) {
  for (size_t at = 0; (at = text.find(from.data(), at, from.size())) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to.data(), to.size());
  return text;
}

struct Parts {
  std::string model = replace(kModel, "META", kMeta), weights = replace(kWeights, "META", kMeta);
  std::string byteorder = "little";
  std::string build() const {
    return ZipBuilder().build({{"m/models/model.json", model},
                               {"m/data/weights/weight_0", std::string(16, '\1')},
                               {"m/data/weights/weight_1", std::string(16, '\2')},
                               {"m/data/weights/model_weights_config.json", weights},
                               {"m/archive_format", "pt2"},
                               {"m/byteorder", byteorder}});
  }
};

static std::string readErrors(const std::string &file) {
  std::string errors;
  auto archive = Pt2Archive::read(bytesOf(file), "f.pt2", [&](const ReadError &e) { errors += e.str() + "\n"; });
  CHECK(archive == nullptr || errors.empty());
  CHECK(archive != nullptr || !errors.empty());
  return errors;
}
static void expectReadError(const std::string &file, StringRef part) {
  std::string errors = readErrors(file);
  if (!StringRef(errors).contains(part)) {
    ++failures;
    llvm::errs() << "expected '" << part << "' but got '" << errors << "'\n";
  }
}

static void testProgram() {
  std::string file = Parts().build();
  auto archive = Pt2Archive::read(bytesOf(file), "f.pt2", [](const ReadError &e) {
    ++failures;
    llvm::errs() << e.str() << "\n";
  });
  if (!archive)
    return;
  const ExportedProgram &p = archive->program();
  CHECK(p.graph.nodes.size() == 3 && !p.isDecomposed && p.schemaMinor == 20 && p.opsets.lookup("aten") == 10);
  const Node &linear = p.graph.nodes[1];
  CHECK(linear.op() == "aten.linear.default" && linear.resultNames()[0] == "linear");
  CHECK(linear.arg("weight").as<TensorArg>()->name == "p_w");
  CHECK(linear.arg("bias").isMissing() && !linear.has("bias") && linear.arg(7).isMissing());
  CHECK(linear.origin.file == "/home/me/model.py" && linear.origin.line == 12 && linear.origin.function == "forward");
  CHECK(linear.origin.modulePath == "enc.0" && linear.origin.moduleType == "torch.nn.modules.linear.Linear");
  CHECK(linear.origin.torchFunction == "builtin_function_or_method.linear");
  const Node &add = p.graph.nodes[2];
  CHECK(add.arg("alpha").getOr<int64_t>(1) == 1 && std::isinf(*add.arg("other").as<double>()));
  CHECK(!add.arg("other").as<int64_t>() && !add.arg("other").getOr<int64_t>(1));
  auto sizes = add.arg("sizes").as<std::vector<SymIntArg>>();
  CHECK(sizes && sizes->size() == 2 && (*sizes)[0].value == 4 && (*sizes)[1].name == "sym");
  CHECK(!add.arg("sizes").as<std::vector<int64_t>>());
  CHECK(p.graph.tensor("x")->sizes[0].expr->name == "s0" && p.graph.tensor("x")->sizes[0].hint == 5);
  CHECK(p.ranges.at("s0").min == 2 && !p.ranges.at("s0").max);
  CHECK(p.inputs[3].userName == "x" && p.inputs[4].userName == "kv[0].k" && p.inputs[5].userName == "n");
  CHECK(p.inputs[5].kind == InputSpec::Kind::Constant && p.inputs[5].arg.as<int64_t>() == 3);
  CHECK(p.outputs[0].kind == OutputSpec::Kind::BufferMutation && p.outputs[0].target == "state");
  CHECK(p.outputs[1].userName == "logits");
  const Payload *w = p.payload(p.inputs[0]), *tied = p.payload(p.inputs[1]);
  CHECK(w && tied && w->pathName == tied->pathName && w->storage.data() == tied->storage.data());
  CHECK(w->isContiguous() && w->contiguousBytes().size() == 16);
  CHECK(bytesOf(file).data() + w->fileOffset == w->storage.data());
}

static void testProgramErrors() {
  auto model = [](StringRef from, StringRef to) {
    Parts parts;
    std::string changed = replace(parts.model, from, to);
    CHECK(changed != parts.model);
    parts.model = changed;
    return parts.build();
  };
  auto weights = [](StringRef from, StringRef to) {
    Parts parts;
    parts.weights = replace(parts.weights, from, to);
    return parts.build();
  };
  const StringRef where = "f.pt2: m/models/model.json: ";
  expectReadError(model("\"major\": 8", "\"major\": 9"),
                  (where + "schema_version: is 9.20 but this reader knows major version 8").str());
  expectReadError(
      model("\"as_tensor\": {\"name\": \"p_w\"}}, \"kind\"", "\"as_tensor\": {\"name\": \"nope\"}}, \"kind\""),
      (where + "graph_module.graph.nodes[1].inputs[1]: uses 'nope' which is no input").str());
  expectReadError(
      model("\"as_float\": \"-Infinity\"", "\"as_what\": 1"),
      (where + "graph_module.graph.nodes[2].inputs[1].arg.as_what: is an argument of unknown kind 'as_what'").str());
  expectReadError(model("\"as_float\": \"-Infinity\"", "\"as_int\": 99999999999999999999"),
                  "is an integer of more than 64 bits but must be");
  expectReadError(model("\"as_float\": \"-Infinity\"", "\"as_int\": 1, \"as_bool\": true"),
                  "has both 'as_int' and 'as_bool'");
  expectReadError(model("\"target\": \"torch.ops.aten.add.Tensor\", ", ""),
                  "nodes[2].target: is missing but must be a string");
  expectReadError(model("\"expr_str\": \"Symbol", "\"expr_str\": \"(Symbol"),
                  "expr_str: symbolic expression, character 1");
  expectReadError(
      model("\"as_tensor\": {\"name\": \"add\"}}], \"metadata\"", "\"as_tensor\": {\"name\": \"x\"}}], \"metadata\""),
      "defines 'x' a second time");
  expectReadError(model("\"linear\": {\"dtype\"", "\"liner\": {\"dtype\""),
                  "'linear' which has no entry in tensor_values");
  expectReadError(model("\"buffer_name\": \"state\"}", "\"buffer_name\": \"other\"}"),
                  "output_specs[0]: changes 'other' which is no buffer");
  expectReadError(model("\"parameter_name\": \"tied\"", "\"parameter_name\": \"gone\""),
                  "input_specs[1]: 'gone' has no stored value");
  expectReadError(model("\"min_val\": 2", "\"min_val\": 2, \"min_val\": 3"), "key 'min_val' occurs twice");
  expectReadError(model("[1, {\\\"type\\\"", "[2, {\\\"type\\\""), "has tree version 2");
  expectReadError(model("\"dtype\": 7", "\"dtype\": 20"), "dtype: is 20 which is no element type");
  expectReadError(model("}", ""), "not valid JSON");
  expectReadError(weights("\"use_pickle\": false", "\"use_pickle\": true"), "stored as a Python pickle");
  expectReadError(weights("\"storage_offset\": {\"as_int\": 0}", "\"storage_offset\": {\"as_int\": 1}"),
                  "config.w: needs 20 bytes but entry 'm/data/weights/weight_0' has 16");
  expectReadError(weights("\"strides\": [{\"as_int\": 2}", "\"strides\": [{\"as_int\": 9223372036854775807}"),
                  "more than 2^63 bytes");
  expectReadError(weights("\"strides\": [{\"as_int\": 2}", "\"strides\": [{\"as_int\": -2}"), "not negative");
  expectReadError(weights("weight_1", "weight_7"), "has no entry 'm/data/weights/weight_7'");
  expectReadError(weights("\"sizes\": [{\"as_int\": 2}", "\"sizes\": [{\"as_int\": 1}"), "another type or shape");
  Parts big;
  big.byteorder = "big";
  expectReadError(big.build(), "f.pt2: m/byteorder: is 'big' but must be 'little'");
  Parts deep;
  deep.model = std::string(100000, '[');
  expectReadError(deep.build(), "nested more than 256 deep");
  expectReadError(ZipBuilder().build({{"a/data.pkl", ""}}), "must come from torch.export.save");
  expectReadError(ZipBuilder().build({{"serialized_exported_program.json", ""}}), "torch before 2.8");
  expectReadError(ZipBuilder().build({{"m/archive_format", "pt2"}}), "holds no exported program");
  expectReadError(ZipBuilder().build({{"m/archive_format", "pt2"}, {"m/models/a.json", ""}, {"m/models/b.json", ""}}),
                  "holds 2 models: a, b");

  // Several errors at once; and a text cut off anywhere fails with a message.
  std::string many = readErrors(model("\"dtype\": 7", "\"dtype\": \"f32\""));
  CHECK(StringRef(many).count("is a string but must be an integer") >= 7);
  Parts parts;
  for (size_t n = 0; n < parts.model.size(); n += 7) {
    Parts cut;
    cut.model = parts.model.substr(0, n);
    expectReadError(cut.build(), "m/models/model.json: ");
  }
  // Every value replaced by another kind.
  for (const char *value : {"null", "[]", "{}", "-1", "1e300", "\"\""})
    for (size_t at = 0; (at = parts.model.find("\": ", at)) != std::string::npos; at += 3) {
      Parts changed;
      size_t start = at + 3, end = parts.model.find_first_of(",}]{[", start);
      if (end == start)
        continue;
      changed.model.replace(start, end - start, value);
      readErrors(changed.build());
    }
}

int main() {
  testZip();
  testSymExpr();
  testProgram();
  testProgramErrors();
  std::string missing;
  CHECK(!Pt2Archive::open("no/such/file.pt2", [&](const ReadError &e) { missing = e.str(); }));
  CHECK(StringRef(missing).starts_with("no/such/file.pt2: cannot be read"));
  if (failures)
    llvm::errs() << failures << " checks failed\n";
  return failures != 0;
}
