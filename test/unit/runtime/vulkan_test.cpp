// What SPIR-V asks of a device, and what a device lacks of it: no Vulkan is needed.
#include "../../../runtime/devices/vulkan/needs.h"
#include "check.h"

#include <cstdlib>
#include <vector>

using namespace tenon::rt;
using namespace tenon::rt::vulkan;

namespace {
/// Words of a module, an instruction at a time.
struct Module {
  std::vector<uint32_t> words{0x07230203, 0x00010300, 0, 100, 0};
  Module &add(uint32_t code, std::vector<uint32_t> operands) {
    words.push_back(static_cast<uint32_t>(operands.size() + 1) << 16 | code);
    words.insert(words.end(), operands.begin(), operands.end());
    return *this;
  }
  Module &capability(uint32_t number) { return add(17, {number}); }
  bool read(Needs &needs) const { return addNeeds(words.data(), words.size(), needs); }
};
} // namespace

static std::string missing(const Needs &needs, const Needs &has) {
  char text[400];
  TextBuffer buffer(text, sizeof(text));
  return listMissing(needs, has, &buffer) ? text : "";
}

TEST(vulkan_capabilities_become_features) {
  Needs needs;
  CHECK(Module().capability(1).capability(10).capability(65).read(needs));
  CHECK(Module().capability(4448).capability(6022).read(needs)); // of several modules together
  CHECK(needs.features.has(Feature::Float64));
  CHECK(needs.features.has(Feature::Shuffles));
  CHECK(needs.features.has(Feature::Storage8));
  CHECK(needs.features.has(Feature::Matrices));
  CHECK(!needs.features.has(Feature::Float16));
  CHECK_EQ(needs.unknown, 0u);
}

TEST(vulkan_missing_features_are_named) {
  Needs needs, has;
  CHECK(Module().capability(10).capability(22).capability(4433).read(needs));
  CHECK_EQ(missing(needs, has), std::string("shaderFloat64, shaderInt16, storageBuffer16BitAccess"));
  has.features.add(Feature::Float64);
  has.features.add(Feature::Storage16);
  CHECK_EQ(missing(needs, has), std::string("shaderInt16"));
  has.features.add(Feature::Int16);
  CHECK_EQ(missing(needs, has), std::string(""));
}

TEST(vulkan_unknown_capabilities_are_missing) {
  Needs needs, has;
  CHECK(Module().capability(1).capability(9999).read(needs));
  CHECK(missing(needs, has).find("capability 9999") == 0);
}

TEST(vulkan_sizes_are_measured) {
  // A workgroup of 8 x 32; float[1000] and vec2<f16>[64] in shared memory, an array in a function that does not count.
  Module module;
  module.add(16, {1, 17, 8, 32, 1}).add(22, {2, 32}).add(22, {3, 16}).add(21, {4, 32, 0}).add(43, {4, 5, 1000}).add(43, {4, 6, 64});
  module.add(28, {7, 2, 5}).add(23, {8, 3, 2}).add(28, {9, 8, 6}).add(32, {10, 4, 7}).add(32, {11, 4, 9});
  module.add(59, {10, 12, 4}).add(59, {11, 13, 4}).add(54, {2, 14, 0, 15}).add(59, {10, 16, 4});
  Needs needs, has;
  CHECK(module.read(needs));
  CHECK_EQ(needs.threads, 256u);
  CHECK_EQ(needs.sharedBytes, 4256u);
  has.threads = 128;
  has.sharedBytes = 4096;
  CHECK_EQ(missing(needs, has), std::string("workgroups of 256 threads (it has 128), 4256 bytes of shared memory (it has 4096)"));
  has.threads = 256;
  has.sharedBytes = 4256;
  CHECK_EQ(missing(needs, has), std::string(""));
}

TEST(vulkan_damaged_words_are_refused) {
  Needs needs;
  Module good;
  good.capability(1).add(22, {2, 32});
  for (size_t count = 0; count < 5; ++count)
    CHECK(!addNeeds(good.words.data(), count, needs));
  Module other = good, empty = good, tooLong = good, tooMany = good;
  other.words[0] = 7;
  CHECK(!other.read(needs));
  empty.words[5] = 17; // an instruction of no words
  CHECK(!empty.read(needs));
  tooLong.words.pop_back();
  CHECK(!tooLong.read(needs));
  tooMany.words[3] = 0xffffffff;
  CHECK(!tooMany.read(needs));
  Module beyond; // numbers above the bound are nothing
  beyond.add(22, {5000, 32}).add(28, {5001, 5000, 5002}).add(59, {5001, 1, 4});
  CHECK(beyond.read(needs));
  CHECK_EQ(needs.sharedBytes, 0u);
  // Any word may be anything.
  srand(1);
  for (int i = 0; i < 20000; ++i) {
    Module noise;
    for (int w = 0; w < 20; ++w)
      noise.words.push_back(static_cast<uint32_t>(rand() % 4 ? (rand() % 8) << 16 | rand() % 64 : rand()));
    (void)noise.read(needs);
  }
}
