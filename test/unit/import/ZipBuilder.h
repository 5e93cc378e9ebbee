// Writes small zip files in memory, correct or damaged on purpose.
#ifndef TENON_TEST_UNIT_IMPORT_ZIPBUILDER_H
#define TENON_TEST_UNIT_IMPORT_ZIPBUILDER_H

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

struct ZipBuilder {
  bool zip64 = false;          ///< sizes and offsets in ZIP64 fields
  bool dataDescriptor = false; ///< sizes in the central directory only, as PyTorch writes them
  uint16_t method = 0, flags = 0;
  std::string localNameInstead, comment;
  bool overlap = false; ///< every entry claims the place of the first

  std::string build(const std::vector<std::pair<std::string, std::string>> &entries) const {
    std::string out, directory;
    for (const auto &[name, data] : entries) {
      uint64_t header = overlap ? 0 : out.size();
      const std::string &localName = localNameInstead.empty() ? name : localNameInstead;
      uint16_t allFlags = flags | (dataDescriptor ? 8 : 0);
      put(out, 0x04034b50, 4), put(out, 45, 2), put(out, allFlags, 2), put(out, method, 2), put(out, 0, 4);
      put(out, 0, 4), put(out, dataDescriptor ? 0 : data.size(), 4), put(out, dataDescriptor ? 0 : data.size(), 4);
      put(out, localName.size(), 2), put(out, 0, 2);
      out += localName + data;
      if (dataDescriptor)
        put(out, 0x08074b50, 4), put(out, 0, 4), put(out, data.size(), 4), put(out, data.size(), 4);
      put(directory, 0x02014b50, 4), put(directory, 45, 2), put(directory, 45, 2), put(directory, allFlags, 2);
      put(directory, method, 2), put(directory, 0, 4), put(directory, 0, 4);
      put(directory, zip64 ? ~0ull : data.size(), 4), put(directory, zip64 ? ~0ull : data.size(), 4);
      put(directory, name.size(), 2), put(directory, zip64 ? 28 : 0, 2), put(directory, 0, 2);
      put(directory, 0, 2), put(directory, 0, 2), put(directory, 0, 4), put(directory, zip64 ? ~0ull : header, 4);
      directory += name;
      if (zip64)
        put(directory, 1, 2), put(directory, 24, 2), put(directory, data.size(), 8), put(directory, data.size(), 8),
            put(directory, header, 8);
    }
    uint64_t at = out.size(), n = entries.size();
    out += directory;
    if (zip64) {
      uint64_t record = out.size();
      put(out, 0x06064b50, 4), put(out, 44, 8), put(out, 45, 2), put(out, 45, 2), put(out, 0, 4), put(out, 0, 4);
      put(out, n, 8), put(out, n, 8), put(out, directory.size(), 8), put(out, at, 8);
      put(out, 0x07064b50, 4), put(out, 0, 4), put(out, record, 8), put(out, 1, 4);
    }
    put(out, 0x06054b50, 4), put(out, 0, 2), put(out, 0, 2);
    put(out, zip64 ? ~0ull : n, 2), put(out, zip64 ? ~0ull : n, 2);
    put(out, zip64 ? ~0ull : directory.size(), 4), put(out, zip64 ? ~0ull : at, 4), put(out, comment.size(), 2);
    return out + comment;
  }

  static void put(std::string &out, uint64_t value, unsigned bytes) {
    for (unsigned i = 0; i < bytes; ++i)
      out += static_cast<char>(value >> (8 * i));
  }
};

#endif
