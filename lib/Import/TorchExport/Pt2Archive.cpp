// Puts the parts together: finds the model in the archive, reads its JSON, checks what belongs together.
#include "tenon/Import/TorchExport/Pt2Archive.h"
#include "Decode.h"
#include "llvm/ADT/StringExtras.h"

using namespace llvm;

namespace tenon::torch_export {

constexpr int64_t kSchemaMajor = 8;

std::string ReadError::str() const {
  std::string text = file;
  for (const std::string &part : {entry, path})
    if (!part.empty())
      text += ": " + part;
  return text + ": " + reason;
}

namespace {
/// Reads one archive; reports through `errors`.
class ArchiveReader {
public:
  ArchiveReader(const ZipReader &zip, ErrorSink &errors) : zip(zip), errors(errors) {}

  /// Finds the folder and the model.
  bool locate(StringRef wanted);
  bool readProgram(ExportedProgram &out);

  std::string root; // with '/' at its end
  std::string model;

private:
  bool fail(StringRef entry, const Twine &reason) {
    errors.report(entry, "", reason);
    return false;
  }
  StringRef text(const ZipEntry &entry) { return toStringRef(zip.contents(entry)); }
  bool expectText(StringRef name, StringRef value);
  bool checkVersion(const Cursor &c, ExportedProgram &out);
  bool readRest(const Cursor &c, ExportedProgram &out);
  bool readTable(StringRef kind, StringMap<Payload> &out, ExportedProgram &program);
  bool checkPayloads(const Cursor &c, const ExportedProgram &program);

  const ZipReader &zip;
  ErrorSink &errors;
  SymExprCache cache;
};
} // namespace

bool ArchiveReader::locate(StringRef wanted) {
  SmallVector<StringRef> found;
  for (const ZipEntry &entry : zip.entries()) {
    StringRef name = entry.name;
    if (name.ends_with("/archive_format") && name.count('/') == 1)
      root = name.drop_back(StringRef("archive_format").size()).str();
  }
  if (root.empty()) {
    for (const ZipEntry &entry : zip.entries()) {
      if (entry.name.ends_with("serialized_exported_program.json"))
        return fail("", "is a .pt2 file of torch before 2.8, which has another layout; save it with a newer torch");
      if (entry.name.ends_with("/data.pkl") || entry.name == "data.pkl")
        return fail("", "holds a pickled or TorchScript model but must come from torch.export.save");
    }
    return fail("", "is a zip file but no .pt2 file: it has no entry 'archive_format'");
  }
  for (const ZipEntry &entry : zip.entries()) {
    StringRef name = entry.name;
    if (name.consume_front(root) && name.consume_front("models/") && name.consume_back(".json") && !name.empty())
      found.push_back(name);
  }
  if (found.empty())
    return fail("", "holds no exported program: it has no entry '" + root + "models/*.json'");
  if (!wanted.empty() && !is_contained(found, wanted))
    return fail("", "has no model '" + wanted + "' but has " + join(found, ", "));
  if (wanted.empty() && found.size() > 1)
    return fail("", "holds " + Twine(found.size()) + " models: " + join(found, ", ") + "; name one");
  model = wanted.empty() ? found[0].str() : wanted.str();
  // A file without byteorder is of an older minor version, which wrote little-endian only.
  bool isPt2 = expectText("archive_format", "pt2");
  return expectText("byteorder", "little") && isPt2;
}

bool ArchiveReader::expectText(StringRef name, StringRef value) {
  const ZipEntry *entry = zip.find(root + name.str());
  if (!entry || text(*entry).trim() == value)
    return true;
  return fail(entry->name, "is '" + text(*entry).take_front(32) + "' but must be '" + value + "'");
}

bool ArchiveReader::checkVersion(const Cursor &c, ExportedProgram &out) {
  Cursor version = c["schema_version"];
  Cursor major = version["major"], minor = version["minor"];
  if (!c.isObject() || !major.read(out.schemaMajor) || !minor.read(out.schemaMinor))
    return false;
  if (out.schemaMajor == kSchemaMajor)
    return true;
  return version.fail("is " + Twine(out.schemaMajor) + "." + Twine(out.schemaMinor) +
                      " but this reader knows major version " + Twine(kSchemaMajor) +
                      "; save the model with a torch that writes it, such as 2.13");
}

/// A bound beyond 64 bits bounds nothing that can exist.
static bool readBound(const Cursor &c, std::optional<int64_t> &out) {
  using Kind = json::Value::Kind;
  if (c.isMissingOrNull() || c.get().kind() == Kind::BigInt ||
      (c.get().kind() == Kind::String && c.get().string().ends_with("Infinity")))
    return true;
  out.emplace();
  return c.read(*out);
}

bool ArchiveReader::readRest(const Cursor &c, ExportedProgram &out) {
  Cursor ranges = c["range_constraints"], opsets = c["opset_version"], torchVersion = c["torch_version"],
         verifiers = c["verifiers"], guards = c["guards_code"];
  bool good = ranges.forEachMember([&](const Cursor &range) {
    Cursor min = range["min_val"], max = range["max_val"];
    Range &value = out.ranges[range.name().str()];
    if (!range.isObject() || !readBound(min, value.min) || !readBound(max, value.max))
      return false;
    return !value.min || !value.max || *value.min <= *value.max ||
           range.fail("has minimum " + Twine(*value.min) + " above maximum " + Twine(*value.max));
  });
  if (!opsets.isMissingOrNull())
    good &= opsets.forEachMember([&](const Cursor &opset) { return opset.read(out.opsets[opset.name()]); });
  if (!torchVersion.isMissingOrNull())
    good &= torchVersion.read(out.torchVersion);
  std::vector<StringRef> names;
  if (!verifiers.isMissingOrNull())
    good &= verifiers.readList(names);
  out.isDecomposed = is_contained(names, "ATEN");
  if (!guards.isMissingOrNull())
    good &= guards.readList(out.guards);
  return good;
}

bool ArchiveReader::readTable(StringRef kind, StringMap<Payload> &out, ExportedProgram &program) {
  std::string folder = root + "data/" + kind.str();
  const ZipEntry *entry = zip.find(folder + "/" + model + "_" + kind.str() + "_config.json");
  if (!entry)
    return true; // whether something is missing is found out by those who need it
  BumpPtrAllocator nodes;
  Expected<json::Value> json = json::parse(text(*entry), nodes, program.arena);
  if (!json)
    return fail(entry->name, toString(json.takeError()));
  return readPayloads(Cursor(*json, entry->name, errors), folder, zip, cache, out);
}

bool ArchiveReader::checkPayloads(const Cursor &c, const ExportedProgram &program) {
  Cursor graphModule = c["graph_module"];
  Cursor signature = graphModule["signature"];
  Cursor specs = signature["input_specs"];
  size_t i = 0;
  return specs.forEach([&](const Cursor &spec) {
    using Kind = InputSpec::Kind;
    const InputSpec &input = program.inputs[i++];
    if (input.kind != Kind::Parameter && input.kind != Kind::Buffer && input.kind != Kind::TensorConstant)
      return true;
    const Payload *payload = program.payload(input);
    if (!payload)
      return spec.fail("'" + input.target + "' has no stored value in the archive");
    if (payload->usesPickle)
      return spec.fail("'" + input.target +
                       "' is stored as a Python pickle (a tensor subclass), which is not read; "
                       "convert it to plain tensors before export");
    const TensorMeta *meta = program.graph.tensor(input.value);
    if (!meta || !payload->hasMeta)
      return spec.fail("'" + input.target + "' has no tensor metadata");
    bool isSame = meta->dtype == payload->dtype && meta->sizes.size() == payload->sizes.size();
    for (size_t d = 0; isSame && d < meta->sizes.size(); ++d)
      isSame = meta->sizes[d].isStatic() && meta->sizes[d].value == payload->sizes[d];
    return isSame || spec.fail("'" + input.target + "' is stored with another type or shape than the graph says");
  });
}

bool ArchiveReader::readProgram(ExportedProgram &out) {
  const ZipEntry *entry = zip.find(root + "models/" + model + ".json");
  BumpPtrAllocator nodes;
  // from_node is the history of a node in the exporter: half of the file, of no use here.
  Expected<json::Value> json = json::parse(text(*entry), nodes, out.arena, /*skip=*/"from_node");
  if (!json)
    return fail(entry->name, toString(json.takeError()));
  Cursor c(*json, entry->name, errors);
  if (!checkVersion(c, out))
    return false;
  Cursor graphModule = c["graph_module"];
  Cursor graph = graphModule["graph"], signature = graphModule["signature"];
  bool good = readGraph(graph, out.graph, cache);
  good = good && readSignature(signature, out, cache);
  good &= readRest(c, out);
  good &= readTable("weights", out.weights, out);
  good &= readTable("constants", out.constants, out);
  good = good && readCallGraph(graphModule, out);
  return good && checkPayloads(c, out);
}

std::unique_ptr<Pt2Archive> Pt2Archive::read(ArrayRef<uint8_t> bytes, StringRef name, ReadErrorHandler onError,
                                             OpenOptions options) {
  ErrorSink errors(name, onError);
  Expected<ZipReader> zip = ZipReader::read(bytes);
  if (!zip) {
    errors.report("", zip.takeError());
    return nullptr;
  }
  auto archive = std::make_unique<Pt2Archive>();
  archive->zipReader = std::move(*zip);
  ArchiveReader reader(archive->zipReader, errors);
  bool good = reader.locate(options.model) && reader.readProgram(archive->exported);
  if (errors.errors() > ErrorSink::kMaxErrors)
    onError({name.str(), "", "", std::to_string(errors.errors() - ErrorSink::kMaxErrors) + " more errors"});
  assert(good != errors.failed() && "a failure must be reported");
  if (!good || errors.failed())
    return nullptr;
  archive->model = std::move(reader.model);
  return archive;
}

std::unique_ptr<Pt2Archive> Pt2Archive::open(StringRef path, ReadErrorHandler onError, OpenOptions options) {
  Expected<std::shared_ptr<const MappedFile>> file = MappedFile::open(path);
  if (!file) {
    onError({path.str(), "", "", "cannot be read: " + toString(file.takeError())});
    return nullptr;
  }
  std::unique_ptr<Pt2Archive> archive = read((*file)->bytes(), path, onError, options);
  if (archive)
    archive->mapped = std::move(*file);
  return archive;
}

} // namespace tenon::torch_export
