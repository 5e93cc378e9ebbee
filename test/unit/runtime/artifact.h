// Builds .tenon artifacts around image.c, whole or broken in a chosen way.
#ifndef TENON_TEST_UNIT_RUNTIME_ARTIFACT_H
#define TENON_TEST_UNIT_RUNTIME_ARTIFACT_H

#include "tenon/runtime.h"

#include <cstdint>
#include <string>
#include <vector>

namespace artifact {

/// Indices of the entries in image.c.
enum Entry : uint32_t { Add, Matmul, Count, Pick, Compress, Regions, Derived, Greedy, EntryCount };

/// 64-byte aligned bytes: what tn_program_open_memory wants.
class Bytes {
public:
  explicit Bytes(const std::vector<uint8_t> &from);
  ~Bytes();
  Bytes(const Bytes &) = delete;
  Bytes &operator=(const Bytes &) = delete;
  uint8_t *data;
  size_t size;
};

struct Options {
  std::string image = "image-rela.so";
  std::vector<std::string> features;            // of the only variant
  std::string arch;                             // empty = this machine's
  std::vector<std::vector<std::string>> more;   // further variants with these features
  uint64_t extraConstants = 0;                  // bytes after the weights
  uint32_t extraEntries = 0;                    // entries that the image does not have
  int64_t badSymbol = -1;                       // symbol index put into an expression
  uint32_t badSegment = 0;                      // added to the image segment's index
  bool badState = false;                        // initial value outside the constants
  bool overlappingSegments = false;
  bool zeroSegments = false;                    // code and constants are zeros
};

std::vector<uint8_t> readFile(const std::string &path);
std::vector<uint8_t> build(const Options &options = {});
/// Recomputes the prefix hash, the header hash or both after a test changed bytes.
void rehash(std::vector<uint8_t> &file, bool header);
/// The weight of the matmul: [16, 8].
float weightAt(int k, int j);
/// A path for a temporary file, unique in this process.
std::string temporaryFile(const std::vector<uint8_t> &bytes);

} // namespace artifact
#endif
