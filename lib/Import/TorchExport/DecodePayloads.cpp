// Decodes the tables of stored tensors and checks that every element lies inside its archive entry.
#include "Decode.h"
#include "llvm/Support/MathExtras.h"

using namespace llvm;

namespace tenon::torch_export {

static bool readStatic(const Cursor &c, ArrayRef<SymInt> from, std::vector<int64_t> &out) {
  for (const SymInt &value : from) {
    if (!value.isStatic() || value.value < 0)
      return c.fail("must hold known numbers that are not negative");
    out.push_back(value.value);
  }
  return true;
}

/// Bytes up to the end of the last element, or none when that does not fit 64 bits.
static std::optional<uint64_t> bytesSpanned(const Payload &payload) {
  int64_t elements = 1, last = payload.storageOffset;
  bool isEmpty = false;
  for (size_t i = 0; i < payload.sizes.size(); ++i) {
    int64_t size = payload.sizes[i], reach;
    isEmpty |= size == 0;
    if (MulOverflow(elements, std::max<int64_t>(size, 1), elements))
      return std::nullopt;
    if (size > 1 && (MulOverflow(size - 1, payload.strides[i], reach) || AddOverflow(last, reach, last)))
      return std::nullopt;
  }
  int64_t bytes;
  if (MulOverflow(elements, int64_t(16), bytes) || last == INT64_MAX ||
      MulOverflow(last + 1, static_cast<int64_t>(bytesOf(payload.dtype)), bytes))
    return std::nullopt;
  return isEmpty ? 0 : static_cast<uint64_t>(bytes);
}

static bool readTensorPayload(const Cursor &c, const Cursor &metaCursor, Payload &out, SymExprCache &cache) {
  TensorMeta meta;
  if (!readTensorMeta(metaCursor, meta, cache))
    return false;
  Cursor sizes = metaCursor["sizes"], strides = metaCursor["strides"], offset = metaCursor["storage_offset"];
  out.hasMeta = true;
  out.dtype = meta.dtype;
  if (out.usesPickle) // reported only if the graph uses it: its bytes are not a plain tensor
    return true;
  if (meta.layout != Layout::Strided)
    return c.fail("is sparse, which cannot be imported");
  if (meta.dtype == ScalarType::Unknown)
    return c.fail("has an unknown element type");
  if (!readStatic(sizes, meta.sizes, out.sizes) || !readStatic(strides, meta.strides, out.strides))
    return false;
  if (!meta.storageOffset.isStatic() || meta.storageOffset.value < 0)
    return offset.fail("must be a known number that is not negative");
  out.storageOffset = meta.storageOffset.value;
  std::optional<uint64_t> bytes = bytesSpanned(out);
  if (!bytes)
    return metaCursor.fail("describes more than 2^63 bytes");
  if (*bytes > out.storage.size())
    return c.fail("needs " + Twine(*bytes) + " bytes but entry '" + out.entry + "' has " + Twine(out.storage.size()));
  return true;
}

bool readPayloads(const Cursor &c, StringRef folder, const ZipReader &zip, SymExprCache &cache,
                  StringMap<Payload> &out) {
  Cursor config = c["config"];
  return c.isObject() && config.forEachMember([&](const Cursor &item) {
    Cursor pathName = item["path_name"], isParameter = item["is_param"], usesPickle = item["use_pickle"],
           meta = item["tensor_meta"];
    Payload &payload = out[item.name()];
    payload.name = item.name();
    if (!item.isObject() || !pathName.read(payload.pathName) || !isParameter.read(payload.isParameter) ||
        !usesPickle.read(payload.usesPickle))
      return false;
    const ZipEntry *entry = zip.find((folder + "/" + payload.pathName).str());
    if (!entry)
      return pathName.fail("names '" + payload.pathName + "' but the archive has no entry '" + folder + "/" +
                           payload.pathName + "'");
    payload.entry = entry->name;
    payload.fileOffset = entry->offset;
    payload.storage = zip.contents(*entry);
    if (meta.isMissingOrNull())
      return payload.usesPickle || meta.expected("an object");
    return readTensorPayload(item, meta, payload, cache);
  });
}

} // namespace tenon::torch_export
