// Writes the unit tests' artifact to the path given, an example for tools; with --header only its prefix and header, made for
// segments of zeros: a seed for the fuzzer.
#include "artifact.h"

#include "tenon/format.h"

#include <cstdio>
#include <cstring>

int main(int argc, char **argv) {
  artifact::Options options;
  options.zeroSegments = argc == 3 && std::strcmp(argv[2], "--header") == 0;
  std::vector<uint8_t> bytes = artifact::build(options);
  if (options.zeroSegments) {
    tn_file_prefix prefix;
    std::memcpy(&prefix, bytes.data(), sizeof(prefix));
    bytes.resize(prefix.header_offset + prefix.header_bytes);
  }
  FILE *out = argc == 2 || options.zeroSegments ? std::fopen(argv[1], "wb") : nullptr;
  if (!out || std::fwrite(bytes.data(), 1, bytes.size(), out) != bytes.size() || std::fclose(out) != 0) {
    std::fprintf(stderr, "usage: tenon-make-test-artifact FILE [--header] (FILE must be writable)\n");
    return 1;
  }
  return 0;
}
