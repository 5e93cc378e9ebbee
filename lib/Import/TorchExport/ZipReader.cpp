// The zip container: end record, ZIP64 record, central directory, local headers. No payload is interpreted here.
#include "tenon/Import/TorchExport/ZipReader.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/CRC.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/FormatVariadic.h"
#include <optional>

using namespace llvm;

namespace tenon::torch_export {

namespace {
constexpr uint32_t kEndSignature = 0x06054b50, kEnd64Signature = 0x06064b50, kLocator64Signature = 0x07064b50;
constexpr uint32_t kCentralSignature = 0x02014b50, kLocalSignature = 0x04034b50;
constexpr uint64_t kEndBytes = 22, kEnd64Bytes = 56, kLocator64Bytes = 20, kCentralBytes = 46, kLocalBytes = 30;
constexpr uint32_t kNone32 = 0xffffffff;
constexpr uint16_t kNone16 = 0xffff;

/// Where the central directory is.
struct Directory {
  uint64_t entries, offset, bytes;
  uint64_t limit; // first byte after which it may not reach
};
} // namespace

template <typename... Ts> static Error bad(const char *format, Ts &&...values) {
  return createStringError(std::make_error_code(std::errc::invalid_argument),
                           formatv(format, std::forward<Ts>(values)...).str());
}

static uint16_t read16(ArrayRef<uint8_t> b, uint64_t at) { return support::endian::read16le(b.data() + at); }
static uint32_t read32(ArrayRef<uint8_t> b, uint64_t at) { return support::endian::read32le(b.data() + at); }
static uint64_t read64(ArrayRef<uint8_t> b, uint64_t at) { return support::endian::read64le(b.data() + at); }
static bool fits(uint64_t offset, uint64_t bytes, uint64_t limit) { return offset <= limit && bytes <= limit - offset; }

/// The end record is the last one whose comment ends exactly with the file.
static std::optional<uint64_t> findEnd(ArrayRef<uint8_t> file) {
  if (file.size() < kEndBytes)
    return std::nullopt;
  uint64_t last = file.size() - kEndBytes, first = last > kNone16 ? last - kNone16 : 0;
  for (uint64_t at = last + 1; at-- > first;)
    if (read32(file, at) == kEndSignature && at + kEndBytes + read16(file, at + 20) == file.size())
      return at;
  return std::nullopt;
}

static Expected<Directory> findDirectory(ArrayRef<uint8_t> file) {
  std::optional<uint64_t> end = findEnd(file);
  if (!end)
    return bad("not a zip file: no end record in {0} bytes; the file may be cut off", file.size());
  if (read16(file, *end + 4) != 0 || read16(file, *end + 6) != 0 || read16(file, *end + 8) != read16(file, *end + 10))
    return bad("the zip file is one part of several");
  Directory d{read16(file, *end + 10), read32(file, *end + 16), read32(file, *end + 12), *end};
  if (d.entries != kNone16 && d.offset != kNone32 && d.bytes != kNone32)
    return d;
  if (*end < kLocator64Bytes || read32(file, *end - kLocator64Bytes) != kLocator64Signature)
    return bad("the zip end record refers to a ZIP64 record but there is none");
  uint64_t locator = *end - kLocator64Bytes, record = read64(file, locator + 8);
  if (!fits(record, kEnd64Bytes, locator) || read32(file, record) != kEnd64Signature)
    return bad("the ZIP64 end record at {0} is out of range or damaged", record);
  if (read32(file, record + 16) != 0 || read32(file, record + 20) != 0 ||
      read64(file, record + 24) != read64(file, record + 32))
    return bad("the zip file is one part of several");
  return Directory{read64(file, record + 32), read64(file, record + 48), read64(file, record + 40), record};
}

/// Replaces the fields that are all ones by their 64-bit values from the extra field.
static Error readZip64Extra(ArrayRef<uint8_t> extra, StringRef name, MutableArrayRef<uint64_t *> fields) {
  if (none_of(fields, [](uint64_t *f) { return *f == kNone32; }))
    return Error::success();
  for (uint64_t at = 0; at + 4 <= extra.size();) {
    uint64_t id = read16(extra, at), bytes = read16(extra, at + 2);
    if (!fits(at + 4, bytes, extra.size()))
      return bad("zip entry '{0}' has a damaged extra field", name);
    if (id == 1) {
      uint64_t from = at + 4, to = from + bytes;
      for (uint64_t *field : fields) {
        if (*field != kNone32)
          continue;
        if (!fits(from, 8, to))
          return bad("zip entry '{0}' has a ZIP64 field of only {1} bytes", name, bytes);
        *field = read64(extra, from);
        from += 8;
      }
      return Error::success();
    }
    at += 4 + bytes;
  }
  return bad("zip entry '{0}' needs a ZIP64 field but has none", name);
}

/// Finds the payload by the local header at `header`, which must agree with the central one.
static Error readLocalHeader(ArrayRef<uint8_t> file, uint64_t header, uint64_t limit, ZipEntry &entry) {
  if (!fits(header, kLocalBytes, limit) || read32(file, header) != kLocalSignature)
    return bad("zip entry '{0}' has no local header at {1}", entry.name, header);
  uint64_t nameBytes = read16(file, header + 26), extraBytes = read16(file, header + 28);
  if (!fits(header + kLocalBytes, nameBytes + extraBytes, limit))
    return bad("zip entry '{0}' has a local header that runs out of the file", entry.name);
  StringRef localName(reinterpret_cast<const char *>(file.data()) + header + kLocalBytes, nameBytes);
  if (localName != entry.name)
    return bad("zip entry '{0}' is named '{1}' in its local header", entry.name, localName);
  if ((read16(file, header + 6) & 1) || read16(file, header + 8) != 0)
    return bad("zip entry '{0}' is compressed or encrypted in its local header only", entry.name);
  entry.offset = header + kLocalBytes + nameBytes + extraBytes;
  if (!fits(entry.offset, entry.size, limit))
    return bad("zip entry '{0}' has {1} bytes at {2} but its space ends at {3}", entry.name, entry.size, entry.offset,
               limit);
  return Error::success();
}

Expected<ZipReader> ZipReader::read(ArrayRef<uint8_t> bytes) {
  Expected<Directory> found = findDirectory(bytes);
  if (!found)
    return found.takeError();
  Directory d = *found;
  if (!fits(d.offset, d.bytes, d.limit))
    return bad("the zip directory of {0} bytes at {1} is out of range", d.bytes, d.offset);
  if (d.entries > d.bytes / kCentralBytes)
    return bad("the zip directory of {0} bytes is too small for {1} entries", d.bytes, d.entries);

  ZipReader zip;
  zip.file = bytes;
  zip.table.reserve(d.entries);
  std::vector<std::pair<uint64_t, size_t>> extents; // start of local header, entry
  uint64_t at = d.offset, directoryEnd = d.offset + d.bytes;
  for (uint64_t i = 0; i < d.entries; ++i) {
    if (!fits(at, kCentralBytes, directoryEnd) || read32(bytes, at) != kCentralSignature)
      return bad("entry {0} of the zip directory is damaged", i);
    uint16_t flags = read16(bytes, at + 8), method = read16(bytes, at + 10);
    uint64_t nameBytes = read16(bytes, at + 28), extraBytes = read16(bytes, at + 30);
    uint64_t variable = nameBytes + extraBytes + read16(bytes, at + 32);
    if (!fits(at + kCentralBytes, variable, directoryEnd))
      return bad("entry {0} of the zip directory runs out of it", i);
    ZipEntry entry;
    entry.name = StringRef(reinterpret_cast<const char *>(bytes.data()) + at + kCentralBytes, nameBytes);
    entry.crc = read32(bytes, at + 16);
    uint64_t stored = read32(bytes, at + 20), header = read32(bytes, at + 42);
    entry.size = read32(bytes, at + 24);
    uint64_t *fields[] = {&entry.size, &stored, &header};
    if (Error e = readZip64Extra(bytes.slice(at + kCentralBytes + nameBytes, extraBytes), entry.name, fields))
      return e;
    if (flags & 1)
      return bad("zip entry '{0}' is encrypted", entry.name);
    if (method != 0 || stored != entry.size)
      return bad("zip entry '{0}' is compressed (method {1}) but must be stored; write the file with "
                 "torch.export.save",
                 entry.name, method);
    if (Error e = readLocalHeader(bytes, header, d.offset, entry))
      return e;
    if (!zip.byName.try_emplace(entry.name, zip.table.size()).second)
      return bad("zip entry '{0}' occurs twice", entry.name);
    extents.emplace_back(header, zip.table.size());
    zip.table.push_back(entry);
    at += kCentralBytes + variable;
  }
  if (at != directoryEnd)
    return bad("the zip directory has {0} bytes after its last entry", directoryEnd - at);
  llvm::sort(extents);
  for (size_t i = 1; i < extents.size(); ++i) {
    const ZipEntry &before = zip.table[extents[i - 1].second];
    if (before.offset + before.size > extents[i].first)
      return bad("zip entries '{0}' and '{1}' overlap", before.name, zip.table[extents[i].second].name);
  }
  return zip;
}

const ZipEntry *ZipReader::find(StringRef name) const {
  auto it = byName.find(name);
  return it == byName.end() ? nullptr : &table[it->second];
}

bool ZipReader::crcMatches(const ZipEntry &entry) const { return crc32(contents(entry)) == entry.crc; }

} // namespace tenon::torch_export
