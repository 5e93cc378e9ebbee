// Writes the unit tests' artifact to the path given: a seed for the fuzzer, an example for tools.
#include "artifact.h"

#include <cstdio>

int main(int argc, char **argv) {
  std::vector<uint8_t> bytes = artifact::build();
  FILE *out = argc == 2 ? std::fopen(argv[1], "wb") : nullptr;
  if (!out || std::fwrite(bytes.data(), 1, bytes.size(), out) != bytes.size() || std::fclose(out) != 0) {
    std::fprintf(stderr, "usage: tenon-make-test-artifact FILE (which must be writable)\n");
    return 1;
  }
  return 0;
}
