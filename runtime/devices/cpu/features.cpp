// CPU features; see features.h.
#include "features.h"

#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace tenon::rt {

#if defined(__x86_64__)
const char *hostArch() { return "x86_64"; }

namespace {
// Register file that the bit is in.
enum Source : uint8_t { Always, L1C, L1D, L7B, L7C, L7D, L71A, L71D, LD1A, X1C, X1D, X8B, L14B, L19B };
// What the system must save for the feature to be usable (bits of XCR0).
enum Save : uint8_t { None, Ymm, Zmm, Tile };
struct Feature {
  char name[20];
  Source source;
  uint8_t bit;
  Save save;
};
} // namespace

static const Feature features[] = {
    {"64bit", Always, 0, None},         {"cx8", L1D, 8, None},
    {"cmov", L1D, 15, None},            {"mmx", L1D, 23, None},
    {"fxsr", L1D, 24, None},            {"sse", L1D, 25, None},
    {"sse2", L1D, 26, None},            {"x87", L1D, 0, None},
    {"sse3", L1C, 0, None},             {"pclmul", L1C, 1, None},
    {"ssse3", L1C, 9, None},            {"fma", L1C, 12, Ymm},
    {"cx16", L1C, 13, None},            {"sse4.1", L1C, 19, None},
    {"sse4.2", L1C, 20, None},          {"crc32", L1C, 20, None},
    {"movbe", L1C, 22, None},           {"popcnt", L1C, 23, None},
    {"aes", L1C, 25, None},             {"xsave", L1C, 27, None},
    {"avx", L1C, 28, Ymm},              {"f16c", L1C, 29, Ymm},
    {"rdrnd", L1C, 30, None},           {"fsgsbase", L7B, 0, None},
    {"bmi", L7B, 3, None},              {"avx2", L7B, 5, Ymm},
    {"bmi2", L7B, 8, None},             {"invpcid", L7B, 10, None},
    {"avx512f", L7B, 16, Zmm},          {"avx512dq", L7B, 17, Zmm},
    {"rdseed", L7B, 18, None},          {"adx", L7B, 19, None},
    {"avx512ifma", L7B, 21, Zmm},       {"clflushopt", L7B, 23, None},
    {"clwb", L7B, 24, None},            {"avx512cd", L7B, 28, Zmm},
    {"sha", L7B, 29, None},             {"avx512bw", L7B, 30, Zmm},
    {"avx512vl", L7B, 31, Zmm},         {"avx512vbmi", L7C, 1, Zmm},
    {"pku", L7C, 4, None},              {"waitpkg", L7C, 5, None},
    {"avx512vbmi2", L7C, 6, Zmm},       {"shstk", L7C, 7, None},
    {"gfni", L7C, 8, None},             {"vaes", L7C, 9, Ymm},
    {"vpclmulqdq", L7C, 10, Ymm},       {"avx512vnni", L7C, 11, Zmm},
    {"avx512bitalg", L7C, 12, Zmm},     {"avx512vpopcntdq", L7C, 14, Zmm},
    {"rdpid", L7C, 22, None},           {"cldemote", L7C, 25, None},
    {"movdiri", L7C, 27, None},         {"movdir64b", L7C, 28, None},
    {"enqcmd", L7C, 29, None},          {"uintr", L7D, 5, None},
    {"avx512vp2intersect", L7D, 8, Zmm}, {"serialize", L7D, 14, None},
    {"tsxldtrk", L7D, 16, None},        {"pconfig", L7D, 18, None},
    {"amx-bf16", L7D, 22, Tile},        {"avx512fp16", L7D, 23, Zmm},
    {"amx-tile", L7D, 24, Tile},        {"amx-int8", L7D, 25, Tile},
    {"sha512", L71A, 0, Ymm},           {"sm3", L71A, 1, Ymm},
    {"sm4", L71A, 2, Ymm},              {"avxvnni", L71A, 4, Ymm},
    {"avx512bf16", L71A, 5, Zmm},       {"cmpccxadd", L71A, 7, None},
    {"amx-fp16", L71A, 21, Tile},       {"hreset", L71A, 22, None},
    {"avxifma", L71A, 23, Ymm},         {"avxvnniint8", L71D, 4, Ymm},
    {"avxneconvert", L71D, 5, Ymm},     {"amx-complex", L71D, 8, Tile},
    {"avxvnniint16", L71D, 10, Ymm},    {"prefetchi", L71D, 14, None},
    {"xsaveopt", LD1A, 0, None},        {"xsavec", LD1A, 1, None},
    {"xsaves", LD1A, 3, None},          {"sahf", X1C, 0, None},
    {"lzcnt", X1C, 5, None},            {"sse4a", X1C, 6, None},
    {"prfchw", X1C, 8, None},           {"xop", X1C, 11, Ymm},
    {"lwp", X1C, 15, None},             {"fma4", X1C, 16, Ymm},
    {"tbm", X1C, 21, None},             {"mwaitx", X1C, 29, None},
    {"clzero", X8B, 0, None},           {"rdpru", X8B, 4, None},
    {"wbnoinvd", X8B, 9, None},         {"ptwrite", L14B, 4, None},
    {"kl", L7C, 23, None},              {"widekl", L19B, 2, None}};

static uint32_t xcr0() {
  uint32_t low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

static uint32_t registerOf(Source source) {
  uint32_t a = 0, b = 0, c = 0, d = 0;
  switch (source) {
  case Always:
    return 1;
  case L1C:
  case L1D:
    __get_cpuid(1, &a, &b, &c, &d);
    return source == L1C ? c : d;
  case L7B:
  case L7C:
  case L7D:
    __get_cpuid_count(7, 0, &a, &b, &c, &d);
    return source == L7B ? b : source == L7C ? c : d;
  case L71A:
  case L71D:
    __get_cpuid_count(7, 0, &a, &b, &c, &d);
    if (a < 1) // leaf 7 says how many subleaves it has
      return 0;
    __get_cpuid_count(7, 1, &a, &b, &c, &d);
    return source == L71A ? a : d;
  case LD1A:
    __get_cpuid_count(0xd, 1, &a, &b, &c, &d);
    return a;
  case X1C:
  case X1D:
    __get_cpuid(0x80000001, &a, &b, &c, &d);
    return source == X1C ? c : d;
  case X8B:
    __get_cpuid(0x80000008, &a, &b, &c, &d);
    return b;
  case L14B:
    __get_cpuid_count(0x14, 0, &a, &b, &c, &d);
    return b;
  case L19B:
    __get_cpuid_count(0x19, 0, &a, &b, &c, &d);
    return b;
  }
  return 0;
}

bool hostHasFeature(const char *name) {
  for (const Feature &feature : features) {
    if (strcmp(feature.name, name) != 0)
      continue;
    if (!(registerOf(feature.source) >> feature.bit & 1))
      return false;
    if (feature.save == None)
      return true;
    if (!(registerOf(L1C) >> 27 & 1)) // OSXSAVE: without it xgetbv faults
      return false;
    uint32_t need = feature.save == Ymm ? 0x6 : feature.save == Zmm ? 0xe6 : 0x60000;
    if ((xcr0() & need) != need)
      return false;
    // Linux gives the tile registers only to a process that asks (ARCH_REQ_XCOMP_PERM for XTILEDATA).
    return feature.save != Tile || syscall(SYS_arch_prctl, 0x1023, 18) == 0;
  }
  return false;
}

#elif defined(__aarch64__)
const char *hostArch() { return "aarch64"; }

bool hostHasFeature(const char *name) {
  struct Bit {
    const char *name;
    unsigned long word, bit;
  };
  static const Bit bits[] = {{"fp-armv8", AT_HWCAP, 0},  {"neon", AT_HWCAP, 1},     {"aes", AT_HWCAP, 3},
                             {"sha2", AT_HWCAP, 6},      {"crc", AT_HWCAP, 7},      {"lse", AT_HWCAP, 8},
                             {"fullfp16", AT_HWCAP, 10}, {"rdm", AT_HWCAP, 12},     {"complxnum", AT_HWCAP, 14},
                             {"dotprod", AT_HWCAP, 20},  {"sve", AT_HWCAP, 22},     {"fp16fml", AT_HWCAP, 23},
                             {"sve2", AT_HWCAP2, 1},     {"i8mm", AT_HWCAP2, 13},   {"bf16", AT_HWCAP2, 14}};
  for (const Bit &bit : bits)
    if (strcmp(bit.name, name) == 0)
      return getauxval(bit.word) >> bit.bit & 1;
  return false;
}
#else
const char *hostArch() { return "unknown"; }
bool hostHasFeature(const char *) { return false; }
#endif

} // namespace tenon::rt
