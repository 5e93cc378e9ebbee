// mma, ldmatrix and cp.async against plain products. Layouts are written here a second time, as tables of the ISA give them.
#include "cuda.h"

#include <cmath>
#include <functional>
#include <random>

namespace {

float fromHalf(uint16_t bits) {
  int exponent = bits >> 10 & 31, fraction = bits & 1023;
  float value = exponent ? std::ldexp(float(fraction + 1024), exponent - 25) : std::ldexp(float(fraction), -24);
  return bits & 0x8000 ? -value : value;
}
float fromBrain(uint16_t bits) {
  uint32_t wide = uint32_t(bits) << 16;
  float value;
  std::memcpy(&value, &wide, 4);
  return value;
}
float fromWord(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}
float fromE4M3(uint8_t bits) {
  int exponent = bits >> 3 & 15, fraction = bits & 7;
  float value = exponent ? std::ldexp(float(fraction + 8), exponent - 10) : std::ldexp(float(fraction), -9);
  return bits & 0x80 ? -value : value;
}
float fromE5M2(uint8_t bits) {
  int exponent = bits >> 2 & 31, fraction = bits & 3;
  float value = exponent ? std::ldexp(float(fraction + 4), exponent - 17) : std::ldexp(float(fraction), -16);
  return bits & 0x80 ? -value : value;
}

/// One kind of product: bits of an element, depth, what an element means.
struct Kind {
  const char *types; ///< .d.a.b.c
  int bits, depth;
  std::function<double(uint32_t)> value;
  std::function<uint32_t(std::mt19937 &)> random;
  const char *target = "sm_80";
};

} // namespace

static void checkProduct(const Kind &kind) {
  const int inWord = 32 / kind.bits, depth = kind.depth;
  const int aCount = 16 * depth / 32 / inWord, bCount = 8 * depth / 32 / inWord;
  const std::string types = kind.types;
  const bool halfResult = types.rfind(".f16", 0) == 0, integers = types.rfind(".s32", 0) == 0;
  const int cCount = halfResult ? 2 : 4;
  std::mt19937 random(7);
  std::vector<std::vector<uint32_t>> a(16, std::vector<uint32_t>(size_t(depth))), b(size_t(depth), std::vector<uint32_t>(8));
  for (auto &row : a)
    for (uint32_t &element : row)
      element = kind.random(random);
  for (auto &row : b)
    for (uint32_t &element : row)
      element = kind.random(random);
  auto cAt = [&](int row, int column) { return double((row * 5 + column * 3) % 7 - 3); };
  // What each lane holds, register by register: A, B, then C.
  const size_t words = size_t(aCount + bCount + cCount);
  std::vector<uint32_t> input(32 * words);
  auto put = [&](int lane, int reg, int place, int bits, uint32_t value) {
    input[size_t(lane) * words + size_t(reg)] |= value << (place * bits);
  };
  for (int lane = 0; lane < 32; ++lane) {
    int group = lane >> 2, inGroup = lane & 3;
    for (int i = 0; i < aCount * inWord; ++i) {
      int half = 4 * inWord; // columns that the first two registers cover
      int row = i / inWord % 2 == 0 ? group : group + 8;
      int column = inGroup * inWord + i % inWord + (i < 2 * inWord ? 0 : half);
      put(lane, i / inWord, i % inWord, kind.bits, a[size_t(row)][size_t(column)]);
    }
    for (int i = 0; i < bCount * inWord; ++i) {
      int row = inGroup * inWord + i % inWord + (i < inWord ? 0 : 4 * inWord);
      put(lane, aCount + i / inWord, i % inWord, kind.bits, b[size_t(row)][size_t(group)]);
    }
    for (int i = 0; i < 4; ++i) {
      double value = cAt(i < 2 ? group : group + 8, inGroup * 2 + (i & 1));
      uint32_t bits;
      if (integers) {
        bits = uint32_t(int32_t(value));
      } else if (halfResult) {
        static const uint16_t halves[] = {0xc200, 0xc000, 0xbc00, 0, 0x3c00, 0x4000, 0x4200}; // -3 .. 3
        bits = halves[int(value) + 3];
      } else {
        float single = float(value);
        std::memcpy(&bits, &single, 4);
      }
      if (halfResult)
        put(lane, aCount + bCount + i / 2, i % 2, 16, bits);
      else
        put(lane, aCount + bCount + i, 0, 32, bits);
    }
  }
  auto list = [](const char *prefix, int from, int count) {
    std::string text = "{";
    for (int i = 0; i < count; ++i)
      text += std::string(i ? ", " : "") + prefix + std::to_string(from + i);
    return text + "}";
  };
  std::string body = "mul.wide.u32 %rd1, %t, " + std::to_string(words * 4) + ";\nadd.u64 %rd1, %rd1, %a0;\n";
  for (size_t i = 0; i < words; ++i)
    body += "ld.global.b32 %r" + std::to_string(20 + i) + ", [%rd1+" + std::to_string(4 * i) + "];\n";
  bool floats = !integers && !halfResult;
  int cFrom = 20 + aCount + bCount;
  std::string c = list(floats ? "%f" : "%r", cFrom, cCount), d = list(floats ? "%f" : "%r", 60, cCount);
  if (floats)
    for (int i = 0; i < cCount; ++i)
      body += "mov.b32 %f" + std::to_string(cFrom + i) + ", %r" + std::to_string(cFrom + i) + ";\n";
  body += "mma.sync.aligned.m16n8k" + std::to_string(depth) + ".row.col" + types + " " + d + ", " + list("%r", 20, aCount) + ", " +
          (bCount == 1 ? "{%r" + std::to_string(20 + aCount) + "}" : list("%r", 20 + aCount, bCount)) + ", " + c + ";\n";
  body += "mul.wide.u32 %rd2, %t, " + std::to_string(cCount * 4) + ";\nadd.u64 %rd2, %rd2, %a1;\n";
  for (int i = 0; i < cCount; ++i)
    body += std::string("st.global.b32 [%rd2+") + std::to_string(4 * i) + "], " + (floats ? "%f" : "%r") + std::to_string(60 + i) + ";\n";
  beginTest();
  Program program(kernel(2, body), kind.target);
  CHECK_EQ(program.status, 0);
  Buffer<uint32_t> in(input), out(size_t(32 * cCount));
  CHECK_EQ(program.run(1, 32, {in.address, out.address}), 0);
  std::vector<uint32_t> got = out.read();
  double worst = 0, largest = 0;
  for (int row = 0; row < 16; ++row)
    for (int column = 0; column < 8; ++column) {
      double want = cAt(row, column);
      for (int k = 0; k < depth; ++k)
        want += kind.value(a[size_t(row)][size_t(k)]) * kind.value(b[size_t(k)][size_t(column)]);
      int lane = row % 8 * 4 + column / 2, element = row / 8 * 2 + column % 2;
      double have;
      if (halfResult)
        have = fromHalf(uint16_t(got[size_t(lane * 2 + element / 2)] >> (16 * (element % 2))));
      else if (integers)
        have = int32_t(got[size_t(lane * 4 + element)]);
      else
        have = fromWord(got[size_t(lane * 4 + element)]);
      worst = std::max(worst, std::fabs(have - want));
      largest = std::max(largest, std::fabs(want));
    }
  double allowed = integers ? 0 : halfResult ? largest / 1024 : largest * 1e-6;
  if (!(worst <= allowed))
    check::failure(__FILE__, __LINE__, types + " depth " + std::to_string(depth) + ": differs by " + std::to_string(worst));
}

TEST(products_of_matrices) {
  auto half = [](std::mt19937 &r) { return uint32_t((r() & 0x83ff) | (12 + r() % 4) << 10); };
  auto brain = [](std::mt19937 &r) { return uint32_t((r() & 0x807f) | (124 + r() % 4) << 7); };
  auto tensor = [](std::mt19937 &r) { return uint32_t((r() & 0x807fe000) | (124 + r() % 4) << 23); };
  auto byte = [](std::mt19937 &r) { return uint32_t(r() & 0xff); };
  auto quarter = [](std::mt19937 &r) { return uint32_t(r() & 0xbf); }; // no NaN, no infinity
  auto halfValue = [](uint32_t bits) { return double(fromHalf(uint16_t(bits))); };
  auto brainValue = [](uint32_t bits) { return double(fromBrain(uint16_t(bits))); };
  auto tensorValue = [](uint32_t bits) { return double(fromWord(bits)); };
  for (int depth : {8, 16}) {
    checkProduct({".f32.f16.f16.f32", 16, depth, halfValue, half});
    checkProduct({".f16.f16.f16.f16", 16, depth, halfValue, half});
    checkProduct({".f32.bf16.bf16.f32", 16, depth, brainValue, brain});
    checkProduct({".f32.tf32.tf32.f32", 32, depth / 2, tensorValue, tensor});
    checkProduct({".s32.s8.s8.s32", 8, depth * 2, [](uint32_t bits) { return double(int8_t(bits)); }, byte});
    checkProduct({".s32.u8.u8.s32", 8, depth * 2, [](uint32_t bits) { return double(bits); }, byte});
  }
  checkProduct({".f32.e4m3.e4m3.f32", 8, 32, [](uint32_t bits) { return double(fromE4M3(uint8_t(bits))); }, quarter, "sm_89"});
  checkProduct({".f32.e5m2.e5m2.f32", 8, 32, [](uint32_t bits) { return double(fromE5M2(uint8_t(bits))); }, quarter, "sm_89"});
}

TEST(tf32_does_not_see_the_lower_bits) {
  beginTest();
  // 1 + 2^-20 counts as 1: each product is 1, and there are 4 of them.
  Program program(kernel(1, "mov.b32 %r1, 0x3f800008;\nmov.f32 %f1, 0f00000000;\n"
                            "mma.sync.aligned.m16n8k4.row.col.f32.tf32.tf32.f32 {%f2, %f3, %f4, %f5}, {%r1, %r1}, {%r1}, {%f1, %f1, %f1, %f1};\n"
                            "st.global.f32 [%o], %f2;\n"));
  CHECK_EQ(program.status, 0);
  Buffer<float> out(32);
  CHECK_EQ(program.run(1, 32, {out.address}), 0);
  CHECK_EQ(out.at(9), 4.0f);
}

TEST(products_need_a_whole_warp) {
  beginTest();
  Program program(kernel(1, "setp.lt.u32 %p1, %t, 31;\n@%p1 mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%f2, %f3, %f4, %f5}, "
                            "{%r1, %r1}, {%r1}, {%f1, %f1, %f1, %f1};\n"));
  Buffer<float> out(32);
  CHECK_EQ(program.run(1, 32, {out.address}), 719);
  beginTest();
}

/// Halves in shared memory at 16-byte rows; element = 64 * matrix + 8 * row + column.
static std::vector<uint32_t> loadMatrices(int count, bool transposed) {
  beginTest();
  std::string body = "mov.u64 %rd1, tile;\nmul.wide.u32 %rd2, %t, 16;\nadd.u64 %rd1, %rd1, %rd2;\nshl.b32 %r1, %t, 3;\n";
  for (int i = 0; i < 8; ++i)
    body += "add.u32 %r2, %r1, " + std::to_string(i) + ";\ncvt.u16.u32 %h1, %r2;\nst.shared.u16 [%rd1+" + std::to_string(2 * i) + "], %h1;\n";
  std::string values = count == 4 ? "{%r10, %r11, %r12, %r13}" : count == 2 ? "{%r10, %r11}" : "{%r10}";
  body += "bar.sync 0;\nldmatrix.sync.aligned.m8n8.x" + std::to_string(count) + (transposed ? ".trans" : "") + ".shared.b16 " + values +
          ", [%rd1];\nmul.wide.u32 %rd3, %t, " + std::to_string(4 * count) + ";\nadd.u64 %rd3, %rd3, %a0;\n";
  for (int i = 0; i < count; ++i)
    body += "st.global.u32 [%rd3+" + std::to_string(4 * i) + "], %r1" + std::to_string(i) + ";\n";
  Program program(kernel(1, body, ".shared .align 16 .b8 tile[512];"));
  CHECK_EQ(program.status, 0);
  Buffer<uint32_t> out(size_t(32 * count));
  CHECK_EQ(program.run(1, 32, {out.address}), 0);
  return out.read();
}

TEST(matrices_are_loaded_as_fragments) {
  for (int count : {1, 2, 4})
    for (bool transposed : {false, true}) {
      std::vector<uint32_t> got = loadMatrices(count, transposed);
      for (int lane = 0; lane < 32; ++lane)
        for (int matrix = 0; matrix < count; ++matrix) {
          uint32_t word = got[size_t(lane * count + matrix)];
          for (int element = 0; element < 2; ++element) {
            int row = lane / 4, column = lane % 4 * 2 + element;
            if (transposed)
              std::swap(row, column);
            CHECK_EQ(word >> (16 * element) & 0xffff, uint32_t(64 * matrix + 8 * row + column));
          }
        }
    }
}

TEST(matrices_are_stored_and_transposed) {
  beginTest();
  // stmatrix undoes ldmatrix; movmatrix transposes a fragment.
  Program program(kernel(1, "mov.u64 %rd1, tile;\nmul.wide.u32 %rd2, %t, 4;\nadd.u64 %rd2, %rd1, %rd2;\nst.shared.u32 [%rd2], %t;\n"
                            "and.b32 %r1, %t, 7;\nmul.wide.u32 %rd3, %r1, 16;\nadd.u64 %rd3, %rd1, %rd3;\nbar.sync 0;\n"
                            "ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r2}, [%rd3];\nmovmatrix.sync.aligned.m8n8.trans.b16 %r3, %r2;\n"
                            "bar.sync 0;\nstmatrix.sync.aligned.m8n8.x1.trans.shared.b16 [%rd3], {%r3};\nbar.sync 0;\n"
                            "ld.shared.u32 %r4, [%rd2];\nst.global.u32 [%o], %r4;\n",
                         ".shared .align 16 .b8 tile[128];"), "sm_90");
  CHECK_EQ(program.status, 0);
  Buffer<uint32_t> out(32);
  CHECK_EQ(program.run(1, 32, {out.address}), 0);
  for (uint32_t i = 0; i < 32; ++i)
    CHECK_EQ(out.at(i), i);
}

/// Copies 16 bytes a lane with cp.async, then does `wait`, and reads.
static std::vector<uint32_t> copyAsync(const std::string &wait, const std::string &size = "16") {
  beginTest();
  Program program(kernel(2, "mov.u64 %rd1, tile;\nmul.wide.u32 %rd2, %t, 16;\nadd.u64 %rd1, %rd1, %rd2;\nadd.u64 %rd3, %a1, %rd2;\n"
                            "mov.u32 %r9, 5;\ncp.async.cg.shared.global [%rd1], [%rd3], " + size + ";\ncp.async.commit_group;\n"
                            "cp.async.ca.shared.global [%rd1+512], [%rd3], 8;\ncp.async.commit_group;\n" + wait +
                            "ld.shared.u32 %r1, [%rd1+4];\nld.shared.u32 %r2, [%rd1+516];\nadd.u64 %rd4, %a0, %rd2;\n"
                            "st.global.v2.u32 [%rd4], {%r1, %r2};\n",
                         ".shared .align 16 .b8 tile[1024];"));
  CHECK_EQ(program.status, 0);
  std::vector<uint32_t> source(128);
  for (uint32_t i = 0; i < 128; ++i)
    source[i] = i + 0x01010100;
  Buffer<uint32_t> in(source), out(128);
  CHECK_EQ(program.run(1, 32, {out.address, in.address}), 0);
  return out.read();
}

TEST(asynchronous_copies_land_when_they_are_waited_for) {
  std::vector<uint32_t> got = copyAsync("cp.async.wait_all;\n");
  CHECK_EQ(got[4 * 7], 4u * 7 + 1 + 0x01010100);
  CHECK_EQ(got[4 * 7 + 1], 4u * 7 + 1 + 0x01010100);
  got = copyAsync("cp.async.wait_group 1;\n");
  CHECK_EQ(got[4 * 7], 4u * 7 + 1 + 0x01010100);
  CHECK_EQ(got[4 * 7 + 1], 0xffffffffu);
  got = copyAsync("cp.async.wait_group 0;\n");
  CHECK_EQ(got[4 * 7 + 1], 4u * 7 + 1 + 0x01010100);
  got = copyAsync("");
  CHECK_EQ(got[4 * 7], 0xffffffffu);
  // Only five bytes are read; the others become zero.
  got = copyAsync("cp.async.wait_all;\n", "16, %r9");
  CHECK_EQ(got[4 * 7], (4u * 7 + 1) & 0xff);
}
