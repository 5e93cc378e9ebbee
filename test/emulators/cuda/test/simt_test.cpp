// Threads: branches, loops, calls, barriers, shared memory, shuffles, votes, atomics.
#include "cuda.h"

#include <numeric>

using Words = std::vector<uint32_t>;

/// Runs a kernel with the buffer as its first parameter, and gives what is in it then.
static Words runWords(const std::string &body, unsigned grid, unsigned block, size_t count, const std::string &declarations = "",
                      unsigned shared = 0) {
  beginTest();
  Program program(kernel(1, body, declarations));
  CHECK_EQ(program.status, 0);
  Buffer<uint32_t> buffer(Words(count, 0));
  CHECK_EQ(program.run(grid, block, {buffer.address}, shared), 0);
  return buffer.read();
}

TEST(lanes_take_both_sides_of_a_branch) {
  Words got = runWords("and.b32 %r1, %t, 1;\nsetp.eq.u32 %p1, %r1, 0;\n@%p1 bra EVEN;\nadd.u32 %r2, %t, 1000;\nbra DONE;\n"
                       "EVEN:\nmul.lo.u32 %r2, %t, 3;\nDONE:\nadd.u32 %r2, %r2, 7;\nst.global.u32 [%o], %r2;\n",
                       2, 48, 96);
  for (uint32_t i = 0; i < 96; ++i)
    CHECK_EQ(got[i], (i % 48 % 2 ? i % 48 + 1000 : i % 48 * 3) + 7);
}

TEST(lanes_leave_a_loop_one_by_one) {
  // Sum of 0 .. t, with an inner branch, and lanes that leave the kernel early.
  Words got = runWords("setp.gt.u32 %p2, %t, 60;\n@%p2 exit;\nmov.u32 %r1, 0;\nmov.u32 %r2, 0;\nL:\nadd.u32 %r2, %r2, %r1;\n"
                       "add.u32 %r1, %r1, 1;\nsetp.le.u32 %p1, %r1, %t;\n@%p1 bra L;\nst.global.u32 [%o], %r2;\n",
                       1, 64, 64);
  for (uint32_t i = 0; i < 64; ++i)
    CHECK_EQ(got[i], i > 60 ? 0 : i * (i + 1) / 2);
}

TEST(lanes_meet_again_after_a_block_that_was_moved_away) {
  // The join stands before one of the sides, so that the lowest place is not where lanes meet: the shuffle waits.
  Words got = runWords("setp.lt.u32 %p1, %t, 5;\n@%p1 bra COLD;\nmov.u32 %r1, %t;\nJOIN:\n"
                       "shfl.sync.bfly.b32 %r2, %r1, 1, 31, -1;\nst.global.u32 [%o], %r2;\nret;\n"
                       "COLD:\nadd.u32 %r1, %t, 100;\nbra JOIN;\n",
                       1, 32, 32);
  for (uint32_t i = 0; i < 32; ++i)
    CHECK_EQ(got[i], (i ^ 1) < 5 ? (i ^ 1) + 100 : (i ^ 1));
}

TEST(branches_by_a_table) {
  Words got = runWords("and.b32 %r1, %t, 3;\nT: .branchtargets A, B, C, D;\nbrx.idx %r1, T;\n"
                       "A:\nmov.u32 %r2, 10;\nbra E;\nB:\nmov.u32 %r2, 20;\nbra E;\nC:\nmov.u32 %r2, 30;\nbra E;\nD:\nmov.u32 %r2, 40;\n"
                       "E:\nst.global.u32 [%o], %r2;\n",
                       1, 32, 32);
  for (uint32_t i = 0; i < 32; ++i)
    CHECK_EQ(got[i], (i % 4 + 1) * 10);
}

TEST(functions_call_themselves_and_others) {
  // Factorial, in the lanes that are not masked; locals of a caller stay.
  const char *factorial = R"(
.func (.param .b32 result) factorial(.param .b32 n)
{
  .reg .pred %p<2>;
  .reg .b32 %r<6>;
  ld.param.b32 %r1, [n];
  mov.u32 %r4, 1;
  setp.le.u32 %p1, %r1, 1;
  @%p1 bra DONE;
  sub.u32 %r2, %r1, 1;
  { .param .b32 a; .param .b32 r;
    st.param.b32 [a], %r2;
    call.uni (r), factorial, (a);
    ld.param.b32 %r3, [r]; }
  mul.lo.u32 %r4, %r3, %r1;
DONE:
  st.param.b32 [result], %r4;
  ret;
})";
  Words got = runWords("{ .param .b32 a; .param .b32 r;\nand.b32 %r1, %t, 7;\nst.param.b32 [a], %r1;\nmov.u32 %r2, 77;\n"
                       "setp.ne.u32 %p3, %r1, 4;\n@%p3 call (r), factorial, (a);\nld.param.b32 %r3, [r]; }\n@%p3 mov.u32 %r2, %r3;\n"
                       "st.global.u32 [%o], %r2;\n",
                       1, 40, 40, factorial);
  for (uint32_t i = 0; i < 40; ++i) {
    uint32_t want = 1;
    for (uint32_t k = 2; k <= i % 8; ++k)
      want *= k;
    CHECK_EQ(got[i], i % 8 == 4 ? 77 : want);
  }
}

TEST(local_memory_is_each_lane_s_own) {
  Words got = runWords(".local .align 8 .b8 depot[64];\n.reg .b64 %sp;\nmov.u64 %sp, depot;\ncvta.local.u64 %rd1, %sp;\n"
                       "and.b32 %r1, %t, 7;\nmul.wide.u32 %rd2, %r1, 8;\nadd.u64 %rd3, %rd1, %rd2;\nst.u32 [%rd3], %t;\n"
                       "add.u64 %rd4, %sp, %rd2;\nld.local.u32 %r2, [%rd4];\nst.global.u32 [%o], %r2;\n",
                       1, 64, 64);
  for (uint32_t i = 0; i < 64; ++i)
    CHECK_EQ(got[i], i);
}

TEST(a_block_reverses_through_shared_memory) {
  Words got = runWords("mov.u64 %rd1, tile;\nmul.wide.u32 %rd2, %t, 4;\nadd.u64 %rd3, %rd1, %rd2;\nst.shared.u32 [%rd3], %g;\n"
                       "bar.sync 0;\nsub.u32 %r1, 127, %t;\nmul.wide.u32 %rd4, %r1, 4;\nadd.u64 %rd5, %rd1, %rd4;\n"
                       "ld.shared.u32 %r2, [%rd5];\nst.global.u32 [%o], %r2;\n",
                       3, 128, 384, ".shared .align 16 .b8 tile[512];");
  for (uint32_t i = 0; i < 384; ++i)
    CHECK_EQ(got[i], i / 128 * 128 + 127 - i % 128);
}

TEST(a_missing_barrier_shows) {
  // The same without bar.sync reads what was not written yet.
  Words got = runWords("mov.u64 %rd1, tile;\nmul.wide.u32 %rd2, %t, 4;\nadd.u64 %rd3, %rd1, %rd2;\nst.shared.u32 [%rd3], %g;\n"
                       "sub.u32 %r1, 127, %t;\nmul.wide.u32 %rd4, %r1, 4;\nadd.u64 %rd5, %rd1, %rd4;\n"
                       "ld.shared.u32 %r2, [%rd5];\nst.global.u32 [%o], %r2;\n",
                       1, 128, 128, ".shared .align 16 .b8 tile[512];");
  CHECK_EQ(got[0], 0xffffffffu);
}

TEST(dynamic_shared_memory_follows_the_static) {
  Words got = runWords("mov.u64 %rd1, fixed;\nmov.u64 %rd2, open;\nsub.u64 %rd3, %rd2, %rd1;\ncvt.u32.u64 %r1, %rd3;\n"
                       "mov.u32 %r2, %dynamic_smem_size;\nmad.lo.u32 %r3, %r1, 1000, %r2;\nst.shared.u32 [open+124], %r3;\n"
                       "ld.shared.u32 %r4, [%rd2+124];\nst.global.u32 [%o], %r4;\n",
                       1, 32, 32, ".shared .align 4 .b8 fixed[12];\n.extern .shared .align 16 .b8 open[];", 128);
  CHECK_EQ(got[0], 16u * 1000 + 128);
}

TEST(named_barriers_for_part_of_a_block) {
  // Warps 0 and 1 meet at barrier 1, warp 2 only arrives there.
  Words got = runWords("shr.u32 %r1, %t, 5;\nsetp.eq.u32 %p1, %r1, 2;\n@%p1 bra PRODUCE;\nbar.sync 1, 96;\n"
                       "ld.shared.u32 %r3, [word];\nst.global.u32 [%o], %r3;\nret;\n"
                       "PRODUCE:\nst.shared.u32 [word], 55;\nbar.arrive 1, 96;\nst.global.u32 [%o], 1;\n",
                       1, 96, 96, ".shared .align 4 .b32 word;");
  CHECK_EQ(got[0], 55u);
  CHECK_EQ(got[63], 55u);
  CHECK_EQ(got[95], 1u);
}

/// Runs what must fail with `want`.
static void expectFailure(const std::string &body, unsigned block, int want, const std::string &declarations = "") {
  beginTest();
  Program program(kernel(1, body, declarations));
  CHECK_EQ(program.status, 0);
  Buffer<uint32_t> buffer(Words(256, 0));
  CHECK_EQ(program.run(1, block, {buffer.address}), want);
  CUdeviceptr unused;
  CHECK_EQ(cuMemAlloc_v2(&unused, 4), want); // sticky
  cuDevicePrimaryCtxReset_v2(0);
}

TEST(deadlocks_are_reported) {
  expectFailure("setp.lt.u32 %p1, %t, 32;\n@%p1 bra A;\nbar.sync 1;\nret;\nA:\nbar.sync 0;\n", 64, 719);
  // Not all lanes of a warp come to the barrier.
  expectFailure("setp.lt.u32 %p1, %t, 16;\n@%p1 bra A;\nbar.sync 1;\nret;\nA:\nbar.sync 0;\n", 32, 719);
  // A lane that the mask names has left.
  expectFailure("setp.eq.u32 %p1, %t, 3;\n@%p1 exit;\nshfl.sync.idx.b32 %r1, %t, 0, 31, -1;\n", 32, 719);
  // 64 threads are waited for, 32 are there.
  expectFailure("bar.sync 2, 64;\n", 32, 719);
  expectFailure("trap;\n", 32, 719);
}

TEST(threads_that_left_do_not_hold_up_a_barrier) {
  Words got = runWords("setp.ge.u32 %p1, %t, 32;\n@%p1 exit;\nbar.sync 0;\nst.global.u32 [%o], 9;\n", 1, 96, 96);
  CHECK_EQ(got[31], 9u);
  CHECK_EQ(got[32], 0u);
}

TEST(shuffles) {
  auto shuffled = [](const std::string &mode, uint32_t b, uint32_t c) {
    return runWords("add.u32 %r1, %t, 100;\nshfl.sync." + mode + ".b32 %r2|%p1, %r1, " + std::to_string(b) + ", " +
                        std::to_string(c) + ", 0xffffffff;\nselp.u32 %r3, 1000, 0, %p1;\nadd.u32 %r2, %r2, %r3;\nst.global.u32 [%o], %r2;\n",
                    1, 32, 32);
  };
  auto check = [](const Words &got, auto from) {
    for (int i = 0; i < 32; ++i) {
      int lane = from(i);
      CHECK_EQ(got[size_t(i)], lane < 0 ? uint32_t(i) + 100 : uint32_t(lane) + 1100);
    }
  };
  check(shuffled("up", 3, 0), [](int i) { return i >= 3 ? i - 3 : -1; });
  check(shuffled("down", 5, 31), [](int i) { return i + 5 < 32 ? i + 5 : -1; });
  check(shuffled("bfly", 16, 31), [](int i) { return i ^ 16; });
  check(shuffled("idx", 7, 31), [](int) { return 7; });
  // Segments of eight lanes: c has the mask of the segment in its upper byte.
  uint32_t segments = (32 - 8) << 8;
  check(shuffled("idx", 2, segments | 31), [](int i) { return i / 8 * 8 + 2; });
  check(shuffled("up", 1, segments), [](int i) { return i % 8 >= 1 ? i - 1 : -1; });
  check(shuffled("down", 1, segments | 7), [](int i) { return i % 8 < 7 ? i + 1 : -1; });
}

TEST(names_hold_in_their_block) {
  std::string block = "{ .reg .u32 %x; .param .b32 a; .param .b32 r;\nmov.u32 %x, 5;\nst.param.b32 [a], %t;\ncall.uni (r), same, (a);\n"
                      "ld.param.b32 %r3, [r];\nadd.u32 %r1, %r1, %r3;\nL:\nadd.u32 %r1, %r1, 1;\nsub.u32 %x, %x, 1;\n"
                      "setp.ne.u32 %p1, %x, 0;\n@%p1 bra L;\n}\n";
  Words got = runWords("mov.u32 %r1, 0;\n" + block + block + "{ .param .b64 a;\nst.param.b64 [a], %a0; }\nst.global.u32 [%o], %r1;\n", 1, 32, 32,
                       ".func (.param .b32 out) same(.param .b32 in)\n{\n.reg .b32 %r<2>;\nld.param.b32 %r1, [in];\n"
                       "st.param.b32 [out], %r1;\nret;\n}\n");
  for (uint32_t i = 0; i < 32; ++i)
    CHECK_EQ(got[i], 10 + 2 * i);
}

TEST(votes_matches_and_reductions) {
  Words got = runWords("setp.lt.u32 %p1, %t, 12;\nvote.sync.ballot.b32 %r1, %p1, -1;\nvote.sync.any.pred %p2, %p1, -1;\n"
                       "vote.sync.all.pred %p3, %p1, -1;\nselp.u32 %r2, 1, 0, %p2;\nselp.u32 %r3, 2, 0, %p3;\nor.b32 %r2, %r2, %r3;\n"
                       "redux.sync.add.u32 %r4, %t, -1;\nredux.sync.max.s32 %r5, %t, -1;\nshr.u32 %r6, %t, 3;\n"
                       "match.any.sync.b32 %r7, %r6, -1;\nelect.sync %r8|%p4, -1;\nselp.u32 %r9, 1, 0, %p4;\n"
                       "mul.wide.u32 %rd1, %t, 28;\nadd.u64 %rd1, %rd1, %a0;\nst.global.u32 [%rd1], %r1;\nst.global.u32 [%rd1+4], %r2;\n"
                       "st.global.u32 [%rd1+8], %r4;\nst.global.u32 [%rd1+12], %r5;\nst.global.u32 [%rd1+16], %r7;\n"
                       "st.global.u32 [%rd1+20], %r8;\nst.global.u32 [%rd1+24], %r9;\n",
                       1, 32, 32 * 7);
  for (uint32_t i = 0; i < 32; ++i) {
    const uint32_t *row = got.data() + i * 7;
    CHECK_EQ(row[0], (1u << 12) - 1);
    CHECK_EQ(row[1], 1u);
    CHECK_EQ(row[2], 31u * 16);
    CHECK_EQ(row[3], 31u);
    CHECK_EQ(row[4], 0xffu << (i / 8 * 8));
    CHECK_EQ(row[5], 0u);
    CHECK_EQ(row[6], uint32_t(i == 0));
  }
}

TEST(atomics_in_global_memory) {
  beginTest();
  Program program(kernel(1, "atom.global.add.u32 %r1, [%a0], 1;\nred.global.add.f32 [%a0+4], 0f3F000000;\n"
                            "red.global.max.s32 [%a0+8], %g;\natom.global.inc.u32 %r2, [%a0+12], 6;\n"
                            "atom.global.or.b32 %r3, [%a0+16], %g;\nred.global.add.f64 [%a0+24], 0d3FD0000000000000;\n"
                            "TRY:\nld.global.u32 %r4, [%a0+32];\nadd.u32 %r5, %r4, 2;\natom.global.cas.b32 %r6, [%a0+32], %r4, %r5;\n"
                            "setp.ne.u32 %p1, %r6, %r4;\n@%p1 bra TRY;\n"));
  CHECK_EQ(program.status, 0);
  Buffer<uint32_t> buffer(Words(16, 0));
  CHECK_EQ(program.run(50, 64, {buffer.address}), 0);
  Words got = buffer.read();
  float sum;
  double wide;
  std::memcpy(&sum, &got[1], 4);
  std::memcpy(&wide, &got[6], 8);
  CHECK_EQ(got[0], 3200u);
  CHECK_EQ(sum, 1600.0f);
  CHECK_EQ(got[2], 3199u);
  CHECK_EQ(got[3], 3200u % 7);
  CHECK_EQ(got[4], 4095u);
  CHECK_EQ(wide, 800.0);
  CHECK_EQ(got[8], 6400u);
}

TEST(atomics_in_shared_memory_and_pairs) {
  Words got = runWords("setp.eq.u32 %p1, %t, 0;\n@%p1 st.shared.u32 [sum], 0;\n@%p1 st.shared.u32 [sum+4], 0;\nbar.sync 0;\n"
                       "red.shared.add.u32 [sum], %t;\nmov.b32 %r5, 0x3C003800;\n" // 1.0 above 0.5
                       "atom.shared.add.noftz.f16x2 %r6, [sum+4], %r5;\nbar.sync 0;\nld.shared.u32 %r1, [sum];\nld.shared.u32 %r2, [sum+4];\n"
                       "@%p1 st.global.u32 [%a0], %r1;\n@%p1 st.global.u32 [%a0+4], %r2;\n",
                       1, 96, 2, ".shared .align 8 .b8 sum[8];");
  CHECK_EQ(got[0], 96u * 95 / 2);
  CHECK_EQ(got[1], 0x56005200u); // 96 above 48
}

TEST(special_registers) {
  beginTest();
  Program program(kernel(1, "mov.u32 %r1, %tid.y;\nmov.u32 %r2, %tid.z;\nmov.u32 %r3, %ctaid.y;\nmov.u32 %r4, %laneid;\n"
                            "mov.u32 %r5, %warpid;\nmov.u32 %r6, %nctaid.y;\nmov.u32 %r7, %ntid.z;\n"
                            "mad.lo.u32 %r8, %r1, 4, %t;\nmad.lo.u32 %r8, %r2, 24, %r8;\nmul.lo.u32 %r9, %r3, 48;\nadd.u32 %r9, %r9, %r8;\n"
                            "mul.wide.u32 %rd1, %r9, 4;\nadd.u64 %rd1, %rd1, %a0;\nshl.b32 %r4, %r4, 8;\nor.b32 %r8, %r8, %r4;\n"
                            "shl.b32 %r5, %r5, 16;\nor.b32 %r8, %r8, %r5;\nshl.b32 %r6, %r6, 20;\nor.b32 %r8, %r8, %r6;\n"
                            "shl.b32 %r7, %r7, 24;\nor.b32 %r8, %r8, %r7;\nst.global.u32 [%rd1], %r8;\n"));
  CHECK_EQ(program.status, 0);
  Buffer<uint32_t> buffer(Words(96, 0));
  std::vector<uint64_t> arguments = {buffer.address};
  void *pointers[] = {arguments.data()};
  CHECK_EQ(cuLaunchKernel(program.kernel, 1, 2, 1, 4, 6, 2, 0, nullptr, pointers, nullptr), 0);
  CHECK_EQ(cuCtxSynchronize(), 0);
  Words got = buffer.read();
  for (uint32_t i = 0; i < 96; ++i) {
    uint32_t thread = i % 48;
    CHECK_EQ(got[i], thread | thread % 32 << 8 | thread / 32 << 16 | 2u << 20 | 2u << 24);
  }
}

TEST(module_variables_have_their_initial_values) {
  Words got = runWords("and.b32 %r1, %t, 3;\nmov.u64 %rd1, table;\nmul.wide.u32 %rd2, %r1, 4;\nadd.u64 %rd1, %rd1, %rd2;\n"
                       "ld.const.u32 %r2, [%rd1];\nld.global.u64 %rd3, [link];\nld.u32 %r3, [%rd3];\nadd.u32 %r2, %r2, %r3;\n"
                       "st.global.u32 [%o], %r2;\n",
                       1, 32, 32,
                       ".const .align 4 .b32 table[4] = {5, -6, 0x10, 8};\n.global .align 4 .b8 bytes[8] = {1, 0, 0, 0, 2};\n"
                       ".global .align 8 .u64 link = generic(bytes)+4;");
  const int32_t table[] = {5, -6, 16, 8};
  for (uint32_t i = 0; i < 32; ++i)
    CHECK_EQ(int32_t(got[i]), table[i % 4] + 2);
}
