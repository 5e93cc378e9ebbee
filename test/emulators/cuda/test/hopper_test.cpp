// What came with sm_90: mbarriers, copies of tiles, products of four warps.
#include "cuda.h"

#include <cmath>
#include <random>

namespace {

constexpr const char *kTarget = "sm_90a";

/// Halves whose values are small integers, so that all sums are exact.
struct HalfMatrix {
  int rows, columns;
  std::vector<uint16_t> bits;
  std::vector<float> values;
  HalfMatrix(int rows, int columns, unsigned seed) : rows(rows), columns(columns) {
    std::mt19937 random(seed);
    static const uint16_t halves[] = {0xc200, 0xc000, 0xbc00, 0, 0x3c00, 0x4000, 0x4200}; // -3 .. 3
    for (int i = 0; i < rows * columns; ++i) {
      unsigned which = random() % 7;
      bits.push_back(halves[which]);
      values.push_back(float(which) - 3);
    }
  }
  float at(int row, int column) const { return values[size_t(row * columns + column)]; }
};

/// A tensor map in device memory over a matrix there.
struct Map {
  Buffer<uint16_t> data;
  Buffer<uint8_t> map{128};
  int status;
  Map(const HalfMatrix &matrix, uint32_t boxColumns, uint32_t boxRows, int swizzle) : data(matrix.bits) {
    alignas(64) uint8_t made[128];
    uint64_t sizes[] = {uint64_t(matrix.columns), uint64_t(matrix.rows)}, strides[] = {uint64_t(matrix.columns) * 2};
    uint32_t box[] = {boxColumns, boxRows}, steps[] = {1, 1};
    status = cuTensorMapEncodeTiled(made, 6, 2, reinterpret_cast<void *>(data.address), sizes, strides, box, steps, 0, swizzle, 0, 0);
    CHECK_EQ(cuMemcpyHtoD_v2(map.address, made, 128), 0);
  }
};

std::string number(long long value) { return std::to_string(value); }

/// Declares shared memory and an mbarrier, which thread 0 initializes for one arrival and `bytes` bytes.
std::string begin(int bytes) {
  return "mov.u32 %r90, bar;\nsetp.eq.u32 %p9, %t, 0;\n@%p9 mbarrier.init.shared::cta.b64 [%r90], 1;\nfence.mbarrier_init.release.cluster;\n"
         "bar.sync 0;\n@%p9 mbarrier.arrive.expect_tx.shared::cta.b64 _, [%r90], " + number(bytes) + ";\n";
}
std::string wait(const char *label, int parity = 0) {
  return std::string(label) + ":\nmbarrier.try_wait.parity.shared::cta.b64 %p8, [%r90], " + number(parity) + ";\n@!%p8 bra " + label + ";\n";
}
const char *const kShared = ".extern .shared .align 1024 .b8 tiles[];\n.shared .align 8 .b64 bar;\n";

/// Loads a tile to `offset` of the dynamic shared memory by thread 0; %aN has the map.
std::string loadTile(int map, int offset, const std::string &column, const std::string &row) {
  return "mov.u32 %r91, tiles;\nadd.u32 %r91, %r91, " + number(offset) + ";\nmov.u32 %r92, " + column + ";\nmov.u32 %r93, " + row + ";\n"
         "@%p9 cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%r91], [%a" + number(map) +
         ", {%r92, %r93}], [%r90];\n";
}

} // namespace

TEST(mbarriers_count_threads_in_phases) {
  beginTest();
  // 64 threads arrive twice; after each phase warp 1 reads what warp 0 wrote. The state of the arrival names the phase.
  Program program(kernel(1, "mov.u32 %r90, bar;\nsetp.eq.u32 %p9, %t, 0;\n@%p9 mbarrier.init.shared.b64 [%r90], 64;\nbar.sync 0;\n"
                            "mov.u32 %r5, 0;\nmov.u32 %r6, 0;\nAGAIN:\n@%p9 st.shared.u32 [word], %r5;\n"
                            "mbarrier.arrive.shared.b64 %rd1, [%r90];\nW:\nmbarrier.test_wait.shared.b64 %p1, [%r90], %rd1;\n@!%p1 bra W;\n"
                            "ld.shared.u32 %r7, [word];\nadd.u32 %r6, %r6, %r7;\nmbarrier.arrive.shared.b64 %rd2, [%r90];\n"
                            "V:\nmbarrier.try_wait.shared.b64 %p1, [%r90], %rd2;\n@!%p1 bra V;\nadd.u32 %r5, %r5, 1;\n"
                            "setp.lt.u32 %p2, %r5, 10;\n@%p2 bra AGAIN;\nst.global.u32 [%o], %r6;\n",
                         ".shared .align 8 .b64 bar;\n.shared .align 4 .b32 word;\n"), kTarget);
  CHECK_EQ(program.status, 0);
  Buffer<uint32_t> out(64);
  CHECK_EQ(program.run(1, 64, {out.address}), 0);
  CHECK_EQ(out.at(0), 45u);
  CHECK_EQ(out.at(63), 45u);
}

TEST(mbarriers_that_nobody_completes_are_a_deadlock) {
  beginTest();
  Program program(kernel(1, begin(100) + wait("W")  + "st.global.u32 [%o], 1;\n", ".shared .align 8 .b64 bar;"), kTarget);
  CHECK_EQ(program.status, 0);
  Buffer<uint32_t> out(64);
  CHECK_EQ(program.run(1, 64, {out.address}), 719);
  beginTest();
  Program none(kernel(1, "mov.u32 %r90, bar;\nmbarrier.arrive.shared.b64 _, [%r90];\n", ".shared .align 8 .b64 bar;"), kTarget);
  Buffer<uint32_t> other(64);
  CHECK_EQ(none.run(1, 32, {other.address}), 719); // never initialized
  beginTest();
}

TEST(asynchronous_copies_can_arrive_at_an_mbarrier) {
  beginTest();
  Program program(kernel(2, "mov.u32 %r90, bar;\nsetp.eq.u32 %p9, %t, 0;\n@%p9 mbarrier.init.shared.b64 [%r90], 32;\nbar.sync 0;\n"
                            "mov.u64 %rd1, tile;\nmul.wide.u32 %rd2, %t, 4;\nadd.u64 %rd3, %rd1, %rd2;\nadd.u64 %rd4, %a1, %rd2;\n"
                            "cp.async.ca.shared.global [%rd3], [%rd4], 4;\ncp.async.mbarrier.arrive.noinc.shared.b64 [%r90];\n" + wait("W") +
                            "xor.b32 %r1, %t, 31;\nmul.wide.u32 %rd5, %r1, 4;\nadd.u64 %rd5, %rd5, %rd1;\nld.shared.u32 %r2, [%rd5];\n"
                            "st.global.u32 [%o], %r2;\n",
                         ".shared .align 8 .b64 bar;\n.shared .align 4 .b8 tile[128];\n"), kTarget);
  CHECK_EQ(program.status, 0);
  std::vector<uint32_t> source(32);
  for (uint32_t i = 0; i < 32; ++i)
    source[i] = 3 * i;
  Buffer<uint32_t> out(32), in(source);
  CHECK_EQ(program.run(1, 32, {out.address, in.address}), 0);
  for (uint32_t i = 0; i < 32; ++i)
    CHECK_EQ(out.at(i), 3 * (31 - i));
}

/// Loads an 8 x 64 tile of halves at (column, row) and gives shared memory as it is then.
static std::vector<uint16_t> tile(const HalfMatrix &matrix, int swizzle, int column, int row, bool waits = true) {
  beginTest();
  Map map(matrix, uint32_t(swizzle ? 8 << swizzle : 64), 8, swizzle);
  CHECK_EQ(map.status, 0);
  int bytes = 8 * 2 * (swizzle ? 8 << swizzle : 64);
  Program program(kernel(2, begin(bytes) + loadTile(1, 0, number(column), number(row)) + (waits ? wait("W") : "bar.sync 0;\n") +
                            "mov.u64 %rd1, tiles;\nmul.wide.u32 %rd2, %t, 4;\nadd.u64 %rd1, %rd1, %rd2;\nld.shared.u32 %r1, [%rd1];\n"
                            "st.global.u32 [%o], %r1;\n", kShared), kTarget);
  CHECK_EQ(program.status, 0);
  Buffer<uint32_t> out(256);
  CHECK_EQ(program.run(1, unsigned(bytes / 4), {out.address, map.map.address}, 1024), 0);
  std::vector<uint32_t> words = out.read();
  std::vector<uint16_t> halves(512);
  std::memcpy(halves.data(), words.data(), 1024);
  return halves;
}

TEST(tiles_of_tensors_are_copied) {
  HalfMatrix matrix(20, 80, 1);
  std::vector<uint16_t> got = tile(matrix, 0, 8, 3);
  for (int row = 0; row < 8; ++row)
    for (int column = 0; column < 64; ++column)
      CHECK_EQ(got[size_t(row * 64 + column)], matrix.bits[size_t((row + 3) * 80 + column + 8)]);
  // Outside of the tensor there are zeros.
  got = tile(matrix, 0, 40, -2);
  for (int row = 0; row < 8; ++row)
    for (int column = 0; column < 64; ++column)
      CHECK_EQ(got[size_t(row * 64 + column)], row < 2 || column >= 40 ? 0 : matrix.bits[size_t((row - 2) * 80 + column + 40)]);
  // Swizzled: pieces of 16 bytes change their places within 32, 64 or 128 bytes, from one 128 bytes to the next.
  for (int swizzle : {1, 2, 3}) {
    int columns = 8 << swizzle;
    got = tile(matrix, swizzle, 0, 1);
    for (int row = 0; row < 8; ++row)
      for (int column = 0; column < columns; ++column) {
        int place = row * columns + column, line = place / 64, piece = place / 8 % 8;
        int mixed = line * 64 + ((piece ^ (line & ((1 << swizzle) - 1))) * 8) + place % 8;
        CHECK_EQ(got[size_t(mixed)], matrix.bits[size_t((row + 1) * 80 + column)]);
      }
  }
  got = tile(matrix, 0, 0, 0, false);
  CHECK_EQ(got[5], 0xffff); // nobody waited
}

TEST(tiles_and_bytes_are_stored) {
  beginTest();
  HalfMatrix matrix(16, 64, 2);
  Map map(matrix, 32, 4, 2);
  Program program(kernel(3, "mov.u64 %rd1, tiles;\nmul.wide.u32 %rd2, %t, 4;\nadd.u64 %rd1, %rd1, %rd2;\nst.shared.u32 [%rd1], %t;\n"
                            "fence.proxy.async.shared::cta;\nbar.sync 0;\nsetp.eq.u32 %p9, %t, 0;\nmov.u32 %r91, tiles;\nmov.u32 %r92, 32;\n"
                            "mov.u32 %r93, 14;\n@%p9 cp.async.bulk.tensor.2d.global.shared::cta.bulk_group [%a1, {%r92, %r93}], [%r91];\n"
                            "@%p9 cp.async.bulk.global.shared::cta.bulk_group [%a2], [%r91], 64;\n"
                            "@%p9 cp.async.bulk.commit_group;\n@%p9 cp.async.bulk.wait_group 0;\n", kShared), kTarget);
  CHECK_EQ(program.status, 0);
  Buffer<uint32_t> out(64), plain(16);
  CHECK_EQ(program.run(1, 64, {out.address, map.map.address, plain.address}, 1024), 0);
  std::vector<uint16_t> got = map.data.read();
  for (int row = 0; row < 16; ++row)
    for (int column = 0; column < 64; ++column) {
      uint16_t want = matrix.bits[size_t(row * 64 + column)];
      if (row >= 14 && column >= 32) { // two of the four rows are inside
        int place = (row - 14) * 32 + column - 32, piece = place / 8 % 8, line = place / 64;
        int mixed = line * 64 + (piece ^ (line & 3)) * 8 + place % 8;
        want = mixed % 2 ? 0 : uint16_t(mixed / 2);
      }
      CHECK_EQ(got[size_t(row * 64 + column)], want);
    }
  CHECK_EQ(plain.at(15), 15u);
}

TEST(a_tensor_map_can_be_a_parameter) {
  beginTest();
  HalfMatrix matrix(8, 64, 3);
  Buffer<uint16_t> data(matrix.bits);
  alignas(64) uint8_t map[128];
  uint64_t sizes[] = {64, 8}, strides[] = {128};
  uint32_t box[] = {64, 8}, steps[] = {1, 1};
  CHECK_EQ(cuTensorMapEncodeTiled(map, 6, 2, reinterpret_cast<void *>(data.address), sizes, strides, box, steps, 0, 0, 0, 0), 0);
  CHECK_EQ(cuTensorMapEncodeTiled(map + 8, 6, 2, nullptr, sizes, strides, box, steps, 0, 0, 0, 0), 1); // not aligned
  uint32_t wide[] = {128, 8};
  CHECK_EQ(cuTensorMapEncodeTiled(map, 6, 2, reinterpret_cast<void *>(data.address), sizes, strides, wide, steps, 0, 3, 0, 0), 1);
  CHECK_EQ(cuTensorMapEncodeTiled(map, 6, 2, reinterpret_cast<void *>(data.address), sizes, strides, box, steps, 0, 0, 0, 0), 0);
  std::string text = kernel(1, "mov.b64 %rd8, map;\ncvta.param.u64 %a1, %rd8;\n" + begin(1024) + loadTile(1, 0, "0", "0") + wait("W") +
                            "mov.u64 %rd1, tiles;\nmul.wide.u32 %rd2, %t, 4;\nadd.u64 %rd1, %rd1, %rd2;\nld.shared.u32 %r1, [%rd1];\n"
                            "st.global.u32 [%o], %r1;\n", kShared);
  text.replace(text.find("q0)"), 3, "q0, .param .align 64 .b8 map[128])");
  Program program(text, kTarget);
  CHECK_EQ(program.status, 0);
  Buffer<uint32_t> out(256);
  void *parameters[] = {&out.address, map};
  CHECK_EQ(cuLaunchKernel(program.kernel, 1, 1, 1, 256, 1, 1, 1024, nullptr, parameters, nullptr), 0);
  CHECK_EQ(cuCtxSynchronize(), 0);
  CHECK_EQ(out.at(100) & 0xffff, uint32_t(matrix.bits[200]));
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

static std::string registers(int count) {
  std::string list = "{";
  for (int i = 0; i < count; ++i)
    list += std::string(i ? ", " : "") + "%w" + number(i);
  return list + "}";
}

/// 64 x N = 64 x K by K x N, with tiles that TMA brings. `aOnRows`: A lies with k along its rows (else with m); B likewise.
static void checkProduct(int columns, int depth, int swizzle, bool aOnRows, bool bOnRows, const std::string &after = "wgmma.wait_group.sync.aligned 0;\n",
                         bool expectGood = true) {
  beginTest();
  HalfMatrix a(aOnRows ? 64 : depth, aOnRows ? depth : 64, 4), b(bOnRows ? columns : depth, bOnRows ? depth : columns, 5);
  const int span = 8 << swizzle; // elements in a row of a tile
  auto makeMap = [&](const HalfMatrix &matrix) { return Map(matrix, uint32_t(span), uint32_t(matrix.rows), swizzle); };
  Map mapA = makeMap(a), mapB = makeMap(b);
  CHECK_EQ(mapA.status, 0);
  const int aBytes = a.rows * a.columns * 2, bBytes = b.rows * b.columns * 2;
  std::string body = begin(aBytes + bBytes);
  // Tiles of `span` columns, one after another.
  for (int i = 0; i < a.columns / span; ++i)
    body += loadTile(1, i * span * a.rows * 2, number(i * span), "0");
  for (int i = 0; i < b.columns / span; ++i)
    body += loadTile(2, aBytes + i * span * b.rows * 2, number(i * span), "0");
  body += wait("W");
  body += ".reg .f32 %w<" + number(columns / 2) + ">;\n";
  for (int i = 0; i < columns / 2; ++i)
    body += "mov.f32 %w" + number(i) + ", 0f40A00000;\n"; // 5, which the first product must not see
  body += "setp.ne.u32 %p1, 0, 1;\nsetp.eq.u32 %p2, 0, 1;\nwgmma.fence.sync.aligned;\n";
  auto descriptor = [&](const char *name, int at, const HalfMatrix &matrix, bool onRows, int k) {
    // Eight rows of a tile are `stride` apart; further tiles are `leading` apart when the rows are not along k.
    int rowBytes = span * 2, leading = onRows ? 16 : matrix.rows * rowBytes, stride = 8 * rowBytes;
    int begin = at + (onRows ? k / span * matrix.rows * rowBytes + k % span * 2 : k * rowBytes);
    uint64_t fixed = uint64_t(leading >> 4) << 16 | uint64_t(stride >> 4) << 32 | uint64_t(4 - swizzle) << 62;
    return std::string("mov.u64 %rd10, tiles;\nadd.u64 %rd10, %rd10, ") + number(begin) + ";\nshr.u64 %rd10, %rd10, 4;\nor.b64 " + name +
           ", %rd10, " + std::to_string(fixed) + "U;\n";
  };
  for (int k = 0; k < depth; k += 16) {
    body += descriptor("%rd20", 0, a, aOnRows, k) + descriptor("%rd21", aBytes, b, bOnRows, k);
    body += "wgmma.mma_async.sync.aligned.m64n" + number(columns) + "k16.f32.f16.f16 " + registers(columns / 2) + ", %rd20, %rd21, " +
            (k ? "%p1" : "%p2") + ", 1, " + (k == 16 ? "-1, " : "1, ") + (aOnRows ? "0, " : "1, ") + (bOnRows ? "0" : "1") + ";\n";
  }
  body += "wgmma.commit_group.sync.aligned;\n" + after;
  body += "mul.wide.u32 %rd1, %t, " + number(columns * 2) + ";\nadd.u64 %rd1, %rd1, %a0;\n";
  for (int i = 0; i < columns / 2; ++i)
    body += "st.global.f32 [%rd1+" + number(4 * i) + "], %w" + number(i) + ";\n";
  Program program(kernel(3, body, kShared), kTarget);
  CHECK_EQ(program.status, 0);
  if (program.status)
    return;
  CHECK_EQ(cuFuncSetAttribute(program.kernel, 8, 100 * 1024), 0);
  Buffer<float> out(size_t(64 * columns));
  CHECK_EQ(program.run(1, 128, {out.address, mapA.map.address, mapB.map.address}, 100 * 1024), 0);
  std::vector<float> got = out.read();
  int wrong = 0;
  for (int row = 0; row < 64; ++row)
    for (int column = 0; column < columns; ++column) {
      float want = 0;
      for (int k = 0; k < depth; ++k)
        want += (k / 16 == 1 ? -1.0f : 1.0f) * (aOnRows ? a.at(row, k) : a.at(k, row)) * (bOnRows ? b.at(column, k) : b.at(k, column));
      int lane = row % 8 * 4 + column % 8 / 2, thread = row / 16 * 32 + lane;
      int element = column / 8 * 4 + row % 16 / 8 * 2 + column % 2;
      wrong += got[size_t(thread * columns / 2 + element)] != want;
    }
  CHECK_EQ(wrong == 0, expectGood);
}

TEST(four_warps_multiply_matrices) {
  for (int swizzle : {1, 2, 3}) {
    checkProduct(64, 64, swizzle, true, true);
    checkProduct(128, 64, swizzle, true, false); // B with n along its rows
    checkProduct(64, 64, swizzle, false, true);
    checkProduct(192, 64, swizzle, false, false);
  }
  checkProduct(8, 64, 3, true, true);
  checkProduct(64, 64, 3, true, true, "", false); // nobody waited: NaN
}

TEST(products_without_swizzling_and_with_registers) {
  // A is the identity of 16 columns in registers; B is 16 x 8 without swizzling: two cores of 8 x 16 bytes, 128 bytes apart.
  beginTest();
  Program program(kernel(1, "mov.u64 %rd1, tiles;\nmul.wide.u32 %rd2, %t, 2;\nadd.u64 %rd3, %rd1, %rd2;\ncvt.rn.f16.u32 %h1, %t;\nst.shared.b16 [%rd3], %h1;\n"
                            "bar.sync 0;\n.reg .f32 %w<4>;\nand.b32 %r1, %t, 31;\nshr.u32 %r2, %r1, 2;\nand.b32 %r3, %r1, 3;\nshl.b32 %r4, %r3, 1;\n"
                            // element (row, column) of A is 1 where they are equal: row = r2 (+8), columns r4, r4+1 (+8)
                            "mov.u32 %r10, 0;\nsetp.eq.u32 %p1, %r2, %r4;\n@%p1 mov.u32 %r10, 0x3c00;\nadd.u32 %r5, %r4, 1;\n"
                            "setp.eq.u32 %p1, %r2, %r5;\n@%p1 mov.u32 %r10, 0x3c000000;\nmov.u32 %r11, 0;\nmov.u32 %r12, 0;\nmov.u32 %r13, %r10;\n"
                            "mov.f32 %w0, 0f00000000;\nmov.f32 %w1, 0f00000000;\nmov.f32 %w2, 0f00000000;\nmov.f32 %w3, 0f00000000;\n"
                            "setp.eq.u32 %p2, 0, 0;\nshr.u64 %rd4, %rd1, 4;\nor.b64 %rd4, %rd4, " + number((8LL << 16) | (16LL << 32)) + ";\n"
                            "wgmma.fence.sync.aligned;\n"
                            "wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 {%w0, %w1, %w2, %w3}, {%r10, %r11, %r12, %r13}, %rd4, %p2, 1, 1, 0;\n"
                            "wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;\n"
                            "mul.wide.u32 %rd5, %t, 16;\nadd.u64 %rd5, %rd5, %a0;\nst.global.v4.f32 [%rd5], {%w0, %w1, %w2, %w3};\n", kShared), kTarget);
  CHECK_EQ(program.status, 0);
  Buffer<float> out(512);
  CHECK_EQ(program.run(1, 128, {out.address}, 1024), 0);
  std::vector<float> got = out.read();
  for (int row = 0; row < 16; ++row)
    for (int column = 0; column < 8; ++column)
      for (int warp = 0; warp < 4; ++warp) {
        // B(k, n) is at n * 16 + k % 8 * 2 bytes of core k / 8.
        float want = float(row / 8 * 64 + column * 8 + row % 8);
        CHECK_EQ(got[size_t(warp * 128 + (row % 8 * 4 + column / 2) * 4 + row / 8 * 2 + column % 2)], want);
      }
}
