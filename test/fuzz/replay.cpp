// Every file of the folders named on the command line through a fuzz target, without a fuzzer: the inputs that fuzzing
// found worth keeping, and those that once broke something. Ends well when nothing crashes and something was there.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv) {
  unsigned count = 0;
  for (int i = 1; i < argc; ++i)
    for (const auto &entry : std::filesystem::directory_iterator(argv[i])) {
      if (!entry.is_regular_file())
        continue;
      std::fprintf(stderr, "%s\n", entry.path().c_str()); // the last line names the culprit
      std::ifstream file(entry.path(), std::ios::binary);
      std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
      LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t *>(bytes.data()), bytes.size());
      ++count;
    }
  std::fprintf(stderr, "%u inputs\n", count);
  return count == 0;
}
