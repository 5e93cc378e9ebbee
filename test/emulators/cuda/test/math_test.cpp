// Arithmetic and conversions against formulas of their own.
#include "cuda.h"

#include <cmath>
#include <functional>
#include <limits>
#include <random>

using Words = std::vector<uint32_t>;

/// Runs `body` for each word of the input (in %r1, and as a float in %f1); it leaves its result in %r2.
static Words mapWords(const std::string &body, Words input, const char *target = "sm_90") {
  beginTest();
  size_t count = input.size();
  input.resize((count + 31) / 32 * 32);
  Program program(kernel(2, "mul.wide.u32 %rd1, %g, 4;\nadd.u64 %rd1, %rd1, %a1;\nld.global.b32 %r1, [%rd1];\nmov.b32 %f1, %r1;\n" + body +
                            "\nst.global.b32 [%o], %r2;\n"), target);
  CHECK_EQ(program.status, 0);
  Buffer<uint32_t> in(input), out(input.size());
  CHECK_EQ(program.run(unsigned(input.size() / 32), 32, {out.address, in.address}), 0);
  Words got = out.read();
  got.resize(count);
  return got;
}

static uint32_t bitsOf(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return bits;
}
static float floatOf(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

/// Floats of all sizes, with borders of the small types among them.
static Words manyFloats() {
  Words made;
  std::mt19937 random(3);
  for (int i = 0; i < 2000; ++i)
    made.push_back(random());
  for (int i = 0; i < 4000; ++i)
    made.push_back(bitsOf(std::ldexp(float(random() % 8192) / 4096.0f, int(random() % 60) - 35) * (random() & 1 ? 1 : -1)));
  for (float value : {0.0f, -0.0f, 1.0f, 65504.0f, 65519.99f, 65520.0f, 448.0f, 464.0f, 465.0f, 57344.0f, 61440.0f, 1e-8f, 0.5f, 1.5f, 2.5f,
                      -0.5f, -1.5f, -2.5f, 3e9f, -3e9f, 2147483648.0f, 0.0009765625f, INFINITY, -INFINITY, NAN})
    made.push_back(bitsOf(value));
  return made;
}

/// The value nearest to `value` among all that `decode` makes of 0 .. count-1, ties to the even code: by searching.
static uint32_t nearest(double value, const std::vector<double> &all) {
  double magnitude = std::fabs(value);
  auto after = std::lower_bound(all.begin(), all.end(), magnitude);
  auto above = size_t(after - all.begin());
  if (above == all.size())
    above = all.size() - 1;
  size_t below = above && all[above] > magnitude ? above - 1 : above;
  double up = all[above] - magnitude, down = magnitude - all[below];
  size_t chosen = up < down || (up == down && above % 2 == 0) ? above : below;
  return uint32_t(chosen);
}

static std::vector<double> valuesOf(int exponentBits, int fractionBits, uint32_t largest) {
  std::vector<double> all;
  int bias = (1 << (exponentBits - 1)) - 1;
  for (uint32_t bits = 0; bits <= largest; ++bits) {
    int exponent = int(bits >> fractionBits);
    double fraction = bits & ((1u << fractionBits) - 1), one = double(1u << fractionBits);
    all.push_back(exponent ? std::ldexp(fraction + one, exponent - bias - fractionBits) : std::ldexp(fraction, 1 - bias - fractionBits));
  }
  return all;
}

/// Compares a conversion with the search. `all` has one value more than the type, where it becomes infinite.
static void checkRounding(const char *what, const std::string &body, const std::vector<double> &all, int bits, bool finite, uint32_t nan) {
  Words input = manyFloats(), got = mapWords(body, input);
  int shown = 0;
  for (size_t i = 0; i < input.size(); ++i) {
    double value = floatOf(input[i]);
    uint32_t want = nearest(value, all);
    if (finite && want == all.size() - 1)
      want = uint32_t(all.size() - 2);
    want |= std::signbit(value) ? 1u << (bits - 1) : 0;
    bool isNan = value != value;
    if (isNan ? (got[i] & nan) != nan : got[i] != want) {
      if (shown++ < 5)
        check::failure(__FILE__, __LINE__, std::string(what) + " of " + std::to_string(value) + " is " + std::to_string(got[i]) +
                                               ", not " + std::to_string(want));
    }
  }
}

TEST(floats_become_small_floats) {
  auto half = valuesOf(5, 10, 0x7c00), brain = valuesOf(8, 7, 0x7f80), e4m3 = valuesOf(4, 3, 0x7f), e5m2 = valuesOf(5, 2, 0x7c);
  checkRounding("f16", "cvt.rn.f16.f32 %h1, %f1;\ncvt.u32.u16 %r2, %h1;", half, 16, false, 0x7fff);
  checkRounding("bf16", "cvt.rn.bf16.f32 %h1, %f1;\ncvt.u32.u16 %r2, %h1;", brain, 16, false, 0x7fff);
  checkRounding("f16 satfinite", "cvt.rn.satfinite.f16.f32 %h1, %f1;\ncvt.u32.u16 %r2, %h1;", half, 16, true, 0x7fff);
  checkRounding("f16x2, below", "cvt.rn.f16x2.f32 %r3, 0f3F800000, %f1;\nand.b32 %r2, %r3, 0xffff;", half, 16, false, 0x7fff);
  checkRounding("bf16x2, above", "cvt.rn.bf16x2.f32 %r3, %f1, 0f3F800000;\nshr.u32 %r2, %r3, 16;", brain, 16, false, 0x7fff);
  checkRounding("e4m3", "cvt.rn.satfinite.e4m3x2.f32 %h1, 0f3F800000, %f1;\ncvt.u32.u16 %r3, %h1;\nand.b32 %r2, %r3, 255;", e4m3, 8, true, 0x7f);
  checkRounding("e5m2", "cvt.rn.satfinite.e5m2x2.f32 %h1, %f1, 0f3F800000;\ncvt.u32.u16 %r3, %h1;\nshr.u32 %r2, %r3, 8;", e5m2, 8, true, 0x7c);
  // Through double: rounded once.
  checkRounding("f16 of f64", "cvt.f64.f32 %d1, %f1;\ncvt.rn.f16.f64 %h1, %d1;\ncvt.u32.u16 %r2, %h1;", half, 16, false, 0x7fff);
}

TEST(small_floats_become_floats) {
  Words all(65536);
  for (uint32_t i = 0; i < 65536; ++i)
    all[i] = i;
  Words half = mapWords("cvt.u16.u32 %h1, %r1;\ncvt.f32.f16 %f2, %h1;\nmov.b32 %r2, %f2;", all);
  Words brain = mapWords("cvt.u16.u32 %h1, %r1;\ncvt.f32.bf16 %f2, %h1;\nmov.b32 %r2, %f2;", all);
  Words quarter = mapWords("cvt.u16.u32 %h1, %r1;\ncvt.rn.f16x2.e4m3x2 %r3, %h1;\nshr.u32 %r4, %r3, 16;\ncvt.u16.u32 %h2, %r4;\n"
                           "cvt.f32.f16 %f2, %h2;\nmov.b32 %r2, %f2;", all);
  auto halves = valuesOf(5, 10, 0x7c00), quarters = valuesOf(4, 3, 0x7f);
  for (uint32_t i = 0; i < 65536; ++i) {
    uint32_t magnitude = i & 0x7fff;
    if (magnitude < 0x7c00)
      CHECK_EQ(floatOf(half[i]), float(i & 0x8000 ? -halves[magnitude] : halves[magnitude]));
    CHECK_EQ(brain[i], i << 16);
    uint32_t byte = i >> 8;
    if ((byte & 0x7f) != 0x7f)
      CHECK_EQ(floatOf(quarter[i]), float(byte & 0x80 ? -quarters[byte & 0x7f] : quarters[byte & 0x7f]));
  }
}

TEST(floats_become_integers) {
  Words input = manyFloats();
  auto check = [&](const std::string &rounding, const std::string &type, double (*round)(double), double low, double high) {
    Words got = mapWords("cvt." + rounding + "." + type + ".f32 %r2, %f1;", input);
    for (size_t i = 0; i < input.size(); ++i) {
      double value = floatOf(input[i]);
      double want = value != value ? 0 : std::min(std::max(round(value), low), high);
      double have = low < 0 ? double(int32_t(got[i])) : double(got[i]);
      CHECK_EQ(have, want);
    }
  };
  auto nearestEven = [](double value) { return std::nearbyint(value); };
  auto truncate = [](double value) { return std::trunc(value); };
  auto floor = [](double value) { return std::floor(value); };
  auto ceil = [](double value) { return std::ceil(value); };
  check("rni", "s32", nearestEven, INT32_MIN, INT32_MAX);
  check("rzi", "s32", truncate, INT32_MIN, INT32_MAX);
  check("rmi", "s32", floor, INT32_MIN, INT32_MAX);
  check("rpi", "u32", ceil, 0, UINT32_MAX);
  Words bytes = mapWords("cvt.rzi.s8.f32 %r2, %f1;", {bitsOf(300), bitsOf(-300), bitsOf(-5.5)});
  CHECK_EQ(int32_t(bytes[0]), 127);
  CHECK_EQ(int32_t(bytes[1]), -128);
  CHECK_EQ(int32_t(bytes[2]), -5);
}

TEST(integers_become_floats_and_change_their_width) {
  Words input = {0, 1, 0xffffffff, 0x80000000, 16777217, 0x7fffffff, 0x12345680, 0xff80, 200};
  Words s = mapWords("cvt.rn.f32.s32 %f2, %r1;\nmov.b32 %r2, %f2;", input), u = mapWords("cvt.rn.f32.u32 %f2, %r1;\nmov.b32 %r2, %f2;", input);
  Words up = mapWords("cvt.rp.f32.u32 %f2, %r1;\nmov.b32 %r2, %f2;", input), signs = mapWords("cvt.s32.s8 %r2, %r1;", input);
  Words clamped = mapWords("cvt.sat.u8.s32 %r2, %r1;", input), packed = mapWords("cvt.pack.sat.s8.s32.b32 %r2, %r1, 5, 0;", input);
  for (size_t i = 0; i < input.size(); ++i) {
    CHECK_EQ(floatOf(s[i]), float(int32_t(input[i])));
    CHECK_EQ(floatOf(u[i]), float(input[i]));
    CHECK(double(floatOf(up[i])) >= double(input[i]));
    CHECK_EQ(int32_t(signs[i]), int32_t(int8_t(input[i])));
    auto value = int32_t(input[i]);
    CHECK_EQ(clamped[i], uint32_t(value < 0 ? 0 : value > 255 ? 255 : value));
    CHECK_EQ(packed[i] & 0xffff, uint32_t(uint8_t(int8_t(value < -128 ? -128 : value > 127 ? 127 : value))) << 8 | 5);
  }
}

TEST(float_arithmetic) {
  Words input = manyFloats();
  auto check = [&](const std::string &body, const std::function<float(float)> &want) {
    Words got = mapWords(body + "\nmov.b32 %r2, %f2;", input);
    for (size_t i = 0; i < input.size(); ++i) {
      float expected = want(floatOf(input[i])), have = floatOf(got[i]);
      if (expected != expected ? have == have : bitsOf(expected) != got[i]) {
        check::failure(__FILE__, __LINE__, body + " of " + std::to_string(floatOf(input[i])) + " is " + std::to_string(have) + ", not " + std::to_string(expected));
        return;
      }
    }
  };
  check("add.rn.f32 %f2, %f1, 0f3DCCCCCD;", [](float x) { return x + 0.1f; });
  check("mul.f32 %f2, %f1, %f1;", [](float x) { return x * x; });
  check("fma.rn.f32 %f2, %f1, %f1, %f1;", [](float x) { return std::fma(x, x, x); });
  check("div.rn.f32 %f2, 0f40400000, %f1;", [](float x) { return 3.0f / x; });
  check("sqrt.rn.f32 %f2, %f1;", [](float x) { return std::sqrt(x); });
  check("min.f32 %f2, %f1, 0f3F800000;", [](float x) { return x < 1 ? x : 1.0f; });
  check("max.NaN.f32 %f2, %f1, 0f3F800000;", [](float x) { return x != x ? x : x > 1 ? x : 1.0f; });
  check("add.sat.f32 %f2, %f1, %f1;", [](float x) { return x + x > 1 ? 1.0f : x + x > 0 ? x + x : 0.0f; });
  check("mul.ftz.f32 %f2, %f1, 0f3F800000;", [](float x) { return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.0f, x) : x; });
  check("neg.f32 %f2, %f1;", [](float x) { return -x; });
  check("abs.f32 %f2, %f1;", [](float x) { return std::fabs(x); });
  check("cvt.rmi.f32.f32 %f2, %f1;", [](float x) { return std::floor(x); });
  check("ex2.approx.f32 %f2, %f1;", [](float x) { return std::exp2(x); });
  check("copysign.f32 %f2, %f1, 0f40000000;", [](float x) { return std::copysign(2.0f, x); });
  check("setp.gt.f32 %p1, %f1, 0f3F800000;\nselp.f32 %f2, %f1, 0f40000000, %p1;", [](float x) { return x > 1 ? x : 2.0f; });
  check("setp.leu.f32 %p1, %f1, 0f3F800000;\nselp.f32 %f2, %f1, 0f40000000, !%p1;", [](float x) { return !(x > 1) ? 2.0f : x; });
  check("testp.subnormal.f32 %p1, %f1;\nselp.f32 %f2, 0f3F800000, 0f00000000, %p1;", [](float x) { return std::fpclassify(x) == FP_SUBNORMAL ? 1.0f : 0.0f; });
}

TEST(directed_roundings_enclose_the_exact_result) {
  Words input = manyFloats();
  for (const char *what : {"add", "mul"}) {
    std::string name = what;
    auto run = [&](const char *mode) { return mapWords(name + "." + mode + ".f32 %f2, %f1, 0f3DCCCCCD;\nmov.b32 %r2, %f2;", input); };
    Words down = run("rm"), up = run("rp"), zero = run("rz"), near = run("rn");
    for (size_t i = 0; i < input.size(); ++i) {
      float d = floatOf(down[i]), u = floatOf(up[i]), z = floatOf(zero[i]), n = floatOf(near[i]);
      if (n != n || std::isinf(n))
        continue;
      CHECK(d <= n && n <= u);
      CHECK(d == u || std::nextafter(d, INFINITY) == u);
      CHECK_EQ(z, n > 0 ? d : u);
    }
  }
}

TEST(halves_are_rounded_once) {
  // a * b + c in f16 with all of a, some b and c, against an exact sum and the search.
  auto all = valuesOf(5, 10, 0x7c00);
  std::mt19937 random(5);
  Words input(8000);
  for (uint32_t &word : input)
    word = random() & 0xfbfffbff; // two halves, no NaN
  Words got = mapWords("mov.b32 {%h1, %h2}, %r1;\nxor.b16 %h3, %h2, 0x1234;\nand.b16 %h3, %h3, 0x8bff;\nfma.rn.f16 %h4, %h1, %h2, %h3;\n"
                       "cvt.u32.u16 %r3, %h3;\ncvt.u32.u16 %r2, %h4;\nshl.b32 %r3, %r3, 16;\nor.b32 %r2, %r2, %r3;", input);
  auto value = [&](uint32_t bits) { return (bits & 0x8000 ? -1.0L : 1.0L) * (long double)(all[bits & 0x7fff]); };
  int wrong = 0;
  for (size_t i = 0; i < input.size(); ++i) {
    if ((input[i] & 0x7c00) == 0x7c00 || (input[i] >> 16 & 0x7c00) == 0x7c00)
      continue;
    // Exact within 64 bits of long double for these exponents.
    long double exact = value(input[i] & 0xffff) * value(input[i] >> 16) + value(got[i] >> 16);
    long double magnitude = exact < 0 ? -exact : exact;
    auto above = size_t(std::lower_bound(all.begin(), all.end(), magnitude, [](double x, long double y) { return (long double)x < y; }) - all.begin());
    above = std::min(above, all.size() - 1);
    size_t below = above && (long double)all[above] > magnitude ? above - 1 : above;
    long double up = all[above] - magnitude, down = magnitude - all[below];
    size_t want = up < down || (up == down && above % 2 == 0) ? above : below;
    wrong += (got[i] & 0x7fff) != want;
  }
  CHECK_EQ(wrong, 0);
  Words pair = mapWords("mul.rn.f16x2 %r2, %r1, %r1;", {0x40003e00, 0xc5003c00}); // 2 above 1.5, -5 above 1
  CHECK_EQ(pair[0], 0x44004080u);
  CHECK_EQ(pair[1], 0x4e403c00u);
  Words brain = mapWords("add.rn.bf16x2 %r2, %r1, %r1;", {0x3f804049});
  CHECK_EQ(brain[0], 0x400040c9u);
}

TEST(integer_arithmetic_and_bits) {
  Words input = {0, 1, 5, 31, 32, 0x80000000, 0xffffffff, 0x12345678, 0xdeadbeef, 1000003};
  auto check = [&](const std::string &body, const std::function<uint32_t(uint32_t)> &want) {
    Words got = mapWords(body, input);
    for (size_t i = 0; i < input.size(); ++i)
      if (got[i] != want(input[i]))
        check::failure(__FILE__, __LINE__, body + " of " + std::to_string(input[i]) + " is " + std::to_string(got[i]) + ", not " + std::to_string(want(input[i])));
  };
  using U = uint32_t;
  using S = int32_t;
  check("mul.hi.u32 %r2, %r1, %r1;", [](U x) { return U(uint64_t(x) * x >> 32); });
  check("mul.hi.s32 %r2, %r1, 1000003;", [](U x) { return U(int64_t(S(x)) * 1000003 >> 32); });
  check("mul.wide.s32 %rd1, %r1, -7;\nshr.s64 %rd2, %rd1, 5;\ncvt.u32.u64 %r2, %rd2;", [](U x) { return U(int64_t(S(x)) * -7 >> 5); });
  check("mad.lo.s32 %r2, %r1, %r1, %r1;", [](U x) { return x * x + x; });
  check("div.s32 %r2, %r1, -3;", [](U x) { return U(S(x) / -3); });
  check("rem.u32 %r2, %r1, 10;", [](U x) { return x % 10; });
  check("add.sat.s32 %r2, %r1, 2147483647;", [](U x) { return U(std::min<int64_t>(int64_t(S(x)) + INT32_MAX, INT32_MAX)); });
  check("min.s32 %r2, %r1, 7;", [](U x) { return U(std::min(S(x), 7)); });
  check("shl.b32 %r2, 3, %r1;", [](U x) { return x < 32 ? 3u << x : 0; });
  check("shr.s32 %r2, -5, %r1;", [](U x) { return U(-5 >> std::min(x, 31u)); });
  check("shf.l.wrap.b32 %r2, %r1, %r1, 8;", [](U x) { return x << 8 | x >> 24; });
  check("lop3.b32 %r2, %r1, 0xff00ff00, 0x0f0f0f0f, 0x96;", [](U x) { return x ^ 0xff00ff00 ^ 0x0f0f0f0f; });
  check("lop3.b32 %r2, %r1, 0xff00ff00, 0x0f0f0f0f, 0xca;", [](U x) { return (x & 0xff00ff00) | (~x & 0x0f0f0f0f); });
  check("bfe.u32 %r2, %r1, 4, 8;", [](U x) { return x >> 4 & 255; });
  check("bfe.s32 %r2, %r1, 28, 8;", [](U x) { return U(S(x) >> 28); });
  check("bfi.b32 %r2, 0x2a, %r1, 8, 6;", [](U x) { return (x & ~0x3f00u) | 0x2a00; });
  check("clz.b32 %r2, %r1;", [](U x) { return x ? U(__builtin_clz(x)) : 32; });
  check("popc.b32 %r2, %r1;", [](U x) { return U(__builtin_popcount(x)); });
  check("bfind.u32 %r2, %r1;", [](U x) { return x ? 31 - U(__builtin_clz(x)) : ~0u; });
  check("brev.b32 %r2, %r1;", [](U x) { U y = 0; for (int i = 0; i < 32; ++i) y |= (x >> i & 1) << (31 - i); return y; });
  check("prmt.b32 %r2, %r1, 0x44332211, 0x5c10;", [](U x) { return (x & 0xffff) | 0x22000000; });
  check("dp4a.s32.s32 %r2, %r1, %r1, 9;", [](U x) { S sum = 9; for (int i = 0; i < 4; ++i) sum += S(int8_t(x >> 8 * i)) * S(int8_t(x >> 8 * i)); return U(sum); });
  check("setp.lt.s32 %p1, %r1, 6;\nsetp.gt.and.u32 %p2|%p3, %r1, 0, %p1;\nselp.u32 %r2, 1, 0, %p2;\n@%p3 add.u32 %r2, %r2, 2;",
        [](U x) { return S(x) < 6 ? x > 0 ? 1u : 2u : 0u; });
  check("cvt.u64.u32 %rd1, %r1;\nshl.b64 %rd2, %rd1, 32;\nor.b64 %rd3, %rd2, 77;\nmov.b64 {_, %r2}, %rd3;", [](U x) { return x; });
  check("add.cc.u32 %r3, %r1, 0xffffffff;\naddc.u32 %r2, 10, 20;", [](U x) { return x ? 31 : 30; });
  check("mov.b32 %r3, 0;\nmin.s16x2 %r2, %r1, %r3;", [](U x) { return (x & 0x8000 ? x & 0xffff : 0) | (x & 0x80000000 ? x & 0xffff0000 : 0); });
}
