// Reads the table of a zip file whose entries are stored without compression, as PyTorch writes them.
#ifndef TENON_IMPORT_TORCHEXPORT_ZIPREADER_H
#define TENON_IMPORT_TORCHEXPORT_ZIPREADER_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include <cstdint>
#include <vector>

namespace tenon::torch_export {

/// One entry. The name is whatever bytes the file has ("../x" is a name like any other) and points into the file.
struct ZipEntry {
  llvm::StringRef name;
  uint64_t offset = 0; ///< of the payload in the file
  uint64_t size = 0;   ///< of the payload
  uint32_t crc = 0;    ///< as the file claims
};

/// The table of contents of a zip file in memory. Copies nothing: the bytes must outlive it.
class ZipReader {
public:
  ZipReader() = default;

  /// Reads the central directory, ZIP64 included, and checks every entry against its local header. Fails on anything
  /// out of range, on entries that are compressed, encrypted, named twice or overlap each other. Reads no payload.
  static llvm::Expected<ZipReader> read(llvm::ArrayRef<uint8_t> bytes);

  llvm::ArrayRef<ZipEntry> entries() const { return table; }
  /// Null when there is none.
  const ZipEntry *find(llvm::StringRef name) const;
  llvm::ArrayRef<uint8_t> contents(const ZipEntry &entry) const { return file.slice(entry.offset, entry.size); }
  /// Reads the whole payload; writers may leave the checksum out, so a mismatch alone does not prove damage.
  bool crcMatches(const ZipEntry &entry) const;

private:
  llvm::ArrayRef<uint8_t> file;
  std::vector<ZipEntry> table;
  llvm::StringMap<size_t> byName;
};

} // namespace tenon::torch_export
#endif
