// How many instructions of a lane the emulator executes in a second of one core, for a kernel of float arithmetic with a loop, one with
// loads and stores, and one of matrix products. Not a test.
#include "cuda.h"

#include <ctime>

static void measure(const char *name, const std::string &body, unsigned grid, unsigned block) {
  Program program(kernel(2, body));
  if (program.status)
    return (void)std::printf("%s: %d\n", name, program.status);
  Buffer<float> buffer(std::vector<float>(1 << 20, 1.0f));
  unsigned long long before = tn_emulator_statistics("warp-instructions");
  std::clock_t start = std::clock();
  int status = program.run(grid, block, {buffer.address, 1000});
  double seconds = double(std::clock() - start) / CLOCKS_PER_SEC; // of all cores together
  double lanes = 32.0 * double(tn_emulator_statistics("warp-instructions") - before);
  std::printf("%-10s status %d: %.0f million lane-instructions per second of a core, %.2f ns per warp-instruction\n", name, status,
              lanes / seconds / 1e6, seconds / (lanes / 32) * 1e9);
}

int main() {
  beginTest();
  std::string loop = "mov.u32 %r1, 0;\nmov.f32 %f1, 0f3F800000;\nmov.f32 %f2, 0f3F000000;\nL:\n";
  std::string end = "add.u32 %r1, %r1, 1;\nsetp.lt.u32 %p1, %r1, 2000;\n@%p1 bra L;\nst.global.f32 [%o], %f1;\n";
  std::string fma;
  for (int i = 0; i < 16; ++i)
    fma += "fma.rn.f32 %f" + std::to_string(3 + i) + ", %f1, %f2, %f" + std::to_string(3 + i) + ";\n";
  measure("fma", loop + fma + end, 64, 128);
  std::string integers;
  for (int i = 0; i < 16; ++i)
    integers += "mad.lo.s32 %r" + std::to_string(3 + i) + ", %r1, %r2, %r" + std::to_string(3 + i) + ";\n";
  measure("mad", loop + integers + end, 64, 128);
  std::string memory;
  for (int i = 0; i < 8; ++i)
    memory += "ld.global.f32 %f3, [%o+" + std::to_string(i * 128) + "];\nst.global.f32 [%o+" + std::to_string(i * 128) + "], %f3;\n";
  measure("ld/st", loop + memory + end, 64, 128);
  std::string vector = "shl.b32 %r9, %t, 4; cvt.u64.u32 %rd1, %r9; add.u64 %rd1, %rd1, %a0;\n";
  std::string wide;
  for (int i = 0; i < 8; ++i)
    wide += "ld.global.v4.f32 {%f3, %f4, %f5, %f6}, [%rd1+" + std::to_string(i * 128) + "];\n";
  measure("ld.v4", vector + loop + wide + end, 64, 128);
  std::string products;
  for (int i = 0; i < 8; ++i)
    products += "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%f10, %f11, %f12, %f13}, {%r20, %r21, %r22, %r23}, "
                "{%r24, %r25}, {%f10, %f11, %f12, %f13};\n";
  measure("mma", loop + products + end, 64, 128);
  std::string shared;
  for (int i = 0; i < 8; ++i)
    shared += "ld.shared.f32 %f3, [%r8+" + std::to_string(i * 128) + "];\n";
  measure("shared", ".shared .align 16 .b8 s[8192];\nmov.u64 %rd5, s; cvt.u32.u64 %r8, %rd5; shl.b32 %r7, %t, 2; add.u32 %r8, %r8, %r7;\n" + loop + shared + end, 64, 128);
  measure("ex2", loop + "ex2.approx.f32 %f3, %f2;\nex2.approx.f32 %f3, %f2;\n" + end, 64, 128);
  return 0;
}
