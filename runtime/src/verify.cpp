// The generated FlatBuffers verifier, in a file of its own: it runs once per open and is built for size.
#include "program.h"

namespace tenon::rt {

bool isValidHeader(const uint8_t *header, uint64_t bytes) {
  // Shared sub-tables are visited once per reference, hence more visits than the header has tables.
  uint64_t maxTables = bytes * 4 + 1000;
  flatbuffers::Verifier verifier(header, bytes, 64,
                                 maxTables < UINT32_MAX ? static_cast<uint32_t>(maxTables) : UINT32_MAX);
  return file::VerifyHeaderBuffer(verifier);
}

} // namespace tenon::rt
