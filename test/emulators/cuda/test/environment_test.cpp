// What the environment asks for. cuInit reads it once, so each case has a process of its own; this file is linked first, so that
// none of them inherits a driver that has begun.
#include "cuda.h"

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sys/wait.h>
#include <unistd.h>

static const std::string addOne = "ld.global.u32 %r1, [%o];\nadd.u32 %r1, %r1, 1;\nst.global.u32 [%o], %r1;\n";
using Words = std::vector<uint32_t>;

/// Runs `body` with a variable set; its result is the process's.
template <typename F> static int inChild(const char *name, const char *value, F body) {
  pid_t child = fork();
  if (child == 0) {
    setenv(name, value, 1);
    std::_Exit(body());
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(the_environment_chooses_the_machine) {
  CHECK_EQ(inChild("TN_EMULATED_CUDA_DEVICES", "0", [] { return cuInit(0) == 100; }), 1);
  CHECK_EQ(inChild("TN_EMULATED_CUDA_DEVICES", "3", [] {
             int count = 0;
             cuInit(0), cuDeviceGetCount(&count);
             return count;
           }), 3);
  CHECK_EQ(inChild("TN_EMULATED_CUDA_SM", "80", [] {
             int major = 0, minor = 1;
             cuInit(0), cuDeviceGetAttribute(&major, 75, 0), cuDeviceGetAttribute(&minor, 76, 0);
             return major * 10 + minor;
           }), 80);
  CHECK_EQ(inChild("TN_EMULATED_CUDA_MEMORY", "100000", [] {
             beginTest();
             CUdeviceptr first = 0, second = 0;
             return cuMemAlloc_v2(&first, 60000) * 10 + cuMemAlloc_v2(&second, 60000);
           }), 2);
  CHECK_EQ(inChild("TN_EMULATED_CUDA_LOSE", "2", [] {
             beginTest();
             Program program(kernel(1, addOne));
             Buffer<uint32_t> buffer(Words(32, 0));
             int first = program.run(1, 32, {buffer.address}), second = program.run(1, 32, {buffer.address});
             return first == 0 && second == 719 && cuCtxSynchronize() == 719;
           }), 1);
  for (const char *order : {"late", "early", "others"})
    CHECK_EQ(inChild("TN_EMULATED_CUDA_ORDER", order, [] {
               beginTest();
               Program program(kernel(1, addOne));
               Buffer<uint32_t> buffer(Words(32, 0));
               void *first = nullptr, *second = nullptr;
               cuStreamCreate(&first, 1), cuStreamCreate(&second, 1);
               std::vector<uint64_t> arguments = {buffer.address};
               program.launch(1, 32, arguments, 0, first);
               bool isDone = tn_emulator_statistics("kernels") == 1;
               cuStreamSynchronize(second);
               return isDone ? 1 : tn_emulator_statistics("kernels") == 1 ? 2 : 0;
             }), *order == 'l' ? 0 : *order == 'e' ? 1 : 2);
  // Two warps at the same words, with a barrier between and without: the order of the warps alone would not show it.
  for (bool backward : {false, true})
    for (bool barrier : {false, true})
      CHECK_EQ(inChild("TN_EMULATED_CUDA_RACES", "1", [=] {
                 beginTest();
                 std::string write = "st.shared.u32 [word], %t;\n", read = "ld.shared.u32 %r1, [word];\nst.global.u32 [%o], %r1;\n";
                 Program program(kernel(1, "setp.lt.u32 %p1, %t, 32;\n@" + std::string(backward ? "!" : "") + "%p1 bra READ;\n" + write +
                                               (barrier ? "bar.sync 0;\n" : "") + "bra END;\nREAD:\n" + (barrier ? "bar.sync 0;\n" : "") +
                                               read + "END:\n", ".shared .b32 word;\n"));
                 Buffer<uint32_t> buffer(Words(64, 0));
                 return program.run(1, 64, {buffer.address}) == (barrier ? 0 : 719);
               }), 1);
  std::string path = "emulator-report-" + std::to_string(getpid());
  CHECK_EQ(inChild("TN_EMULATED_CUDA_REPORT", path.c_str(), [] {
             beginTest();
             Program program(kernel(1, addOne));
             Buffer<uint32_t> buffer(Words(64, 0));
             program.run(2, 32, {buffer.address});
             std::exit(0);
             return 0;
           }), 0);
  std::ifstream report(path);
  std::string text((std::istreambuf_iterator<char>(report)), std::istreambuf_iterator<char>());
  CHECK_CONTAINS(text, "launches 1\n");
  CHECK_CONTAINS(text, "blocks 2\n");
  CHECK_CONTAINS(text, "bytes-to-device 256\n");
  std::remove(path.c_str());
}
