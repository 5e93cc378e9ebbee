#include "needs.h"

#include <cstdlib>

namespace tenon::rt::vulkan {

// Numbers of the SPIR-V specification.
enum : uint32_t {
  kMagic = 0x07230203,
  kHeaderWords = 5,
  kOpExecutionMode = 16,
  kOpCapability = 17,
  kOpTypeBool = 20,
  kOpTypeInt = 21,
  kOpTypeFloat = 22,
  kOpTypeVector = 23,
  kOpTypeArray = 28,
  kOpTypeStruct = 30,
  kOpTypePointer = 32,
  kOpConstant = 43,
  kOpFunction = 54,
  kOpVariable = 59,
  kLocalSize = 17,
  kWorkgroup = 4,
  kMatrix = 0, // of small vectors; all shaders have it
  kShader = 1,
  kMostIds = 1 << 22
};

namespace {
/// Sizes of types and values of constants, by id.
class Reader {
public:
  Reader(uint64_t *values, uint32_t bound, Needs &needs) : values(values), bound(bound), needs(needs) {}

  bool read(const uint32_t *words, uint64_t count) {
    for (uint64_t at = kHeaderWords; at < count;) {
      uint32_t length = words[at] >> 16, code = words[at] & 0xffff;
      if (length == 0 || length > count - at)
        return false;
      if (code == kOpFunction) // what is declared stands before
        break;
      if (!take(code, words + at + 1, length - 1))
        return false;
      at += length;
    }
    needs.sharedBytes = needs.sharedBytes > shared ? needs.sharedBytes : shared;
    return true;
  }

private:
  uint64_t of(uint32_t id) const { return id < bound ? values[id] : 0; }
  void set(uint32_t id, uint64_t value) {
    if (id < bound)
      values[id] = value;
  }

  void addCapability(uint32_t number) {
    switch (number) {
    case kMatrix:
    case kShader:
      return;
#define TN_VULKAN_FEATURE(NAME, NUMBER, TEXT)                                                                          \
  case NUMBER:                                                                                                         \
    return needs.features.add(Feature::NAME);
      TN_VULKAN_FEATURES(TN_VULKAN_FEATURE)
#undef TN_VULKAN_FEATURE
    default:
      needs.unknown = number;
    }
  }

  bool take(uint32_t code, const uint32_t *w, uint32_t count) {
    auto needsWords = [&](uint32_t least) { return count >= least; };
    switch (code) {
    case kOpCapability:
      if (!needsWords(1))
        return false;
      addCapability(w[0]);
      return true;
    case kOpExecutionMode:
      if (!needsWords(2) || (w[1] == kLocalSize && !needsWords(5)))
        return false;
      if (w[1] == kLocalSize) {
        uint64_t threads = static_cast<uint64_t>(w[2]) * w[3] * w[4];
        needs.threads = needs.threads > threads ? needs.threads : threads;
      }
      return true;
    case kOpTypeBool:
      if (!needsWords(1))
        return false;
      set(w[0], 4);
      return true;
    case kOpTypeInt:
    case kOpTypeFloat:
      if (!needsWords(2))
        return false;
      set(w[0], w[1] / 8);
      return true;
    case kOpTypeVector:
      if (!needsWords(3))
        return false;
      set(w[0], of(w[1]) * w[2]);
      return true;
    case kOpTypeArray:
      if (!needsWords(3))
        return false;
      set(w[0], of(w[1]) * of(w[2]));
      return true;
    case kOpTypeStruct: {
      if (!needsWords(1))
        return false;
      uint64_t bytes = 0;
      for (uint32_t i = 1; i < count; ++i)
        bytes += of(w[i]);
      set(w[0], bytes);
      return true;
    }
    case kOpTypePointer: // what it points to: variables are of these types
      if (!needsWords(3))
        return false;
      set(w[0], of(w[2]));
      return true;
    case kOpConstant:
      if (!needsWords(3))
        return false;
      set(w[1], w[2]);
      return true;
    case kOpVariable:
      if (!needsWords(3))
        return false;
      if (w[2] == kWorkgroup)
        shared += of(w[0]);
      return true;
    default:
      return true;
    }
  }

  uint64_t *values;
  uint32_t bound;
  Needs &needs;
  uint64_t shared = 0;
};
} // namespace

bool addNeeds(const uint32_t *words, uint64_t count, Needs &needs) {
  if (count < kHeaderWords || words[0] != kMagic || words[3] == 0 || words[3] > kMostIds)
    return false;
  auto *values = static_cast<uint64_t *>(calloc(words[3], sizeof(uint64_t)));
  if (!values)
    return false;
  bool isGood = Reader(values, words[3], needs).read(words, count);
  free(values);
  return isGood;
}

static const char *const kNames[] = {
#define TN_VULKAN_FEATURE(NAME, NUMBER, TEXT) TEXT,
    TN_VULKAN_FEATURES(TN_VULKAN_FEATURE)
#undef TN_VULKAN_FEATURE
};

bool listMissing(const Needs &needs, const Needs &has, TextBuffer *text) {
  bool isAny = false;
  auto begin = [&] {
    if (text)
      text->add("%s", isAny ? ", " : "");
    isAny = true;
    return text;
  };
  for (uint32_t i = 0; i < static_cast<uint32_t>(Feature::Count); ++i)
    if (needs.features.has(Feature(i)) && !has.features.has(Feature(i)) && begin())
      text->add("%s", kNames[i]);
  if (needs.unknown && begin())
    text->add("capability %u of SPIR-V, which this runtime does not know", needs.unknown);
  if (needs.threads > has.threads && begin())
    text->add("workgroups of %llu threads (it has %llu)", static_cast<unsigned long long>(needs.threads),
              static_cast<unsigned long long>(has.threads));
  if (needs.sharedBytes > has.sharedBytes && begin())
    text->add("%llu bytes of shared memory (it has %llu)", static_cast<unsigned long long>(needs.sharedBytes),
              static_cast<unsigned long long>(has.sharedBytes));
  return isAny;
}

} // namespace tenon::rt::vulkan
