// The driver's interface: errors, streams, events, graphs, memory that is checked.
#include "cuda.h"

#include <thread>

static const std::string addOne = "ld.global.u32 %r1, [%o];\nadd.u32 %r1, %r1, 1;\nst.global.u32 [%o], %r1;\n";
using Words = std::vector<uint32_t>;

TEST(work_waits_for_a_synchronization) {
  beginTest();
  Program program(kernel(1, addOne));
  void *stream = nullptr, *pinned = nullptr;
  CHECK_EQ(cuStreamCreate(&stream, 1), 0);
  CHECK_EQ(cuMemHostAlloc(&pinned, 128, 0), 0);
  auto *words = static_cast<uint32_t *>(pinned);
  for (uint32_t i = 0; i < 32; ++i)
    words[i] = i;
  CUdeviceptr address = 0;
  CHECK_EQ(cuMemHostGetDevicePointer_v2(&address, pinned, 0), 0);
  CHECK_EQ(address, reinterpret_cast<CUdeviceptr>(pinned));
  std::vector<uint64_t> arguments = {address};
  CHECK_EQ(program.launch(1, 32, arguments, 0, stream), 0);
  CHECK_EQ(words[5], 5u); // not yet
  CHECK_EQ(cuStreamQuery(stream), 600);
  CHECK_EQ(cuStreamSynchronize(stream), 0);
  CHECK_EQ(words[5], 6u);
  CHECK_EQ(cuStreamQuery(stream), 0);
  CHECK_EQ(cuMemFreeHost(pinned), 0);
  CHECK_EQ(cuStreamDestroy_v2(stream), 0);
  CHECK_EQ(cuStreamSynchronize(stream), 400);
}

TEST(events_order_streams) {
  beginTest();
  Program add(kernel(1, addOne)), twice(kernel(1, "ld.global.u32 %r1, [%o];\nshl.b32 %r1, %r1, 1;\nst.global.u32 [%o], %r1;\n"));
  Buffer<uint32_t> buffer(Words(32, 3));
  void *first = nullptr, *second = nullptr, *event = nullptr, *end = nullptr;
  cuStreamCreate(&first, 1), cuStreamCreate(&second, 1), cuEventCreate(&event, 0), cuEventCreate(&end, 0);
  std::vector<uint64_t> arguments = {buffer.address};
  CHECK_EQ(add.launch(1, 32, arguments, 0, first), 0);
  CHECK_EQ(cuEventRecord(event, first), 0);
  CHECK_EQ(cuStreamWaitEvent(second, event, 0), 0);
  CHECK_EQ(twice.launch(1, 32, arguments, 0, second), 0);
  CHECK_EQ(cuEventRecord(end, second), 0);
  CHECK_EQ(cuEventQuery(end), 600);
  float milliseconds = -1;
  CHECK_EQ(cuEventElapsedTime(&milliseconds, event, end), 600);
  CHECK_EQ(cuEventSynchronize(end), 0);
  CHECK_EQ(cuEventElapsedTime(&milliseconds, event, end), 0);
  CHECK(milliseconds >= 0);
  CHECK_EQ(buffer.at(0), 8u);
  cuEventDestroy_v2(event), cuEventDestroy_v2(end), cuStreamDestroy_v2(first), cuStreamDestroy_v2(second);
}

TEST(the_legacy_stream_waits_for_others) {
  beginTest();
  Program add(kernel(1, addOne));
  Buffer<uint32_t> buffer(Words(32, 0));
  void *with = nullptr, *without = nullptr;
  cuStreamCreate(&with, 0), cuStreamCreate(&without, 1);
  std::vector<uint64_t> arguments = {buffer.address};
  CHECK_EQ(add.launch(1, 32, arguments, 0, with), 0);
  CHECK_EQ(add.launch(1, 32, arguments, 0, without), 0);
  CHECK_EQ(buffer.at(0), 1u); // a copy in the legacy stream: after one of them
  CHECK_EQ(cuCtxSynchronize(), 0);
  CHECK_EQ(buffer.at(0), 2u);
  cuStreamDestroy_v2(with), cuStreamDestroy_v2(without);
}

TEST(a_captured_stream_becomes_a_graph) {
  beginTest();
  Program add(kernel(1, addOne));
  Buffer<uint32_t> buffer(Words(32, 0));
  void *stream = nullptr, *graph = nullptr, *executable = nullptr;
  cuStreamCreate(&stream, 1);
  std::vector<uint64_t> arguments = {buffer.address};
  CHECK_EQ(cuStreamBeginCapture_v2(stream, 0), 0);
  CHECK_EQ(add.launch(1, 32, arguments, 0, stream), 0);
  CHECK_EQ(add.launch(1, 32, arguments, 0, stream), 0);
  arguments[0] = 0; // what was given is kept
  CHECK_EQ(cuStreamEndCapture(stream, &graph), 0);
  CHECK_EQ(cuGraphInstantiateWithFlags(&executable, graph, 0), 0);
  CHECK_EQ(cuStreamSynchronize(stream), 0);
  CHECK_EQ(buffer.at(0), 0u);
  unsigned long long before = tn_emulator_statistics("graph-launches");
  for (int i = 0; i < 3; ++i)
    CHECK_EQ(cuGraphLaunch(executable, stream), 0);
  CHECK_EQ(cuStreamSynchronize(stream), 0);
  CHECK_EQ(buffer.at(31), 6u);
  CHECK_EQ(tn_emulator_statistics("graph-launches") - before, 3ull);
  // An update with the same kernels and another buffer.
  Buffer<uint32_t> other(Words(32, 10));
  void *changed = nullptr;
  arguments[0] = other.address;
  CHECK_EQ(cuStreamBeginCapture_v2(stream, 0), 0);
  add.launch(1, 32, arguments, 0, stream), add.launch(1, 32, arguments, 0, stream);
  CHECK_EQ(cuStreamEndCapture(stream, &changed), 0);
  struct {
    int result;
    void *nodes[2];
  } info;
  CHECK_EQ(cuGraphExecUpdate_v2(executable, changed, &info), 0);
  CHECK_EQ(cuGraphLaunch(executable, stream), 0);
  CHECK_EQ(cuStreamSynchronize(stream), 0);
  CHECK_EQ(other.at(0), 12u);
  CHECK_EQ(cuGraphDestroy(graph), 0);
  CHECK_EQ(cuGraphDestroy(changed), 0);
  CHECK_EQ(cuGraphExecDestroy(executable), 0);
  cuStreamDestroy_v2(stream);
}

TEST(captures_are_spoiled_by_what_cannot_be_recorded) {
  beginTest();
  void *stream = nullptr, *graph = nullptr;
  cuStreamCreate(&stream, 1);
  CHECK_EQ(cuStreamBeginCapture_v2(stream, 0), 0);
  CHECK_EQ(cuStreamSynchronize(stream), 900);
  CHECK_EQ(cuStreamEndCapture(stream, &graph), 901);
  CHECK_EQ(cuStreamBeginCapture_v2(stream, 0), 0);
  CUdeviceptr address;
  CHECK_EQ(cuMemAlloc_v2(&address, 16), 900);
  CHECK_EQ(cuStreamEndCapture(stream, &graph), 901);
  // Of another thread's calls only a capture for all threads knows.
  for (int mode : {0, 1, 2}) {
    CHECK_EQ(cuStreamBeginCapture_v2(stream, mode), 0);
    int status = -1;
    void *context = nullptr;
    cuCtxGetCurrent(&context);
    std::thread([&] {
      cuCtxSetCurrent(context);
      CUdeviceptr memory = 0;
      status = cuMemAlloc_v2(&memory, 16);
    }).join();
    CHECK_EQ(status, mode == 0 ? 900 : 0);
    CHECK_EQ(cuStreamEndCapture(stream, &graph), mode == 0 ? 901 : 0);
  }
  // Work of another stream that is never waited for.
  Program add(kernel(1, addOne));
  Buffer<uint32_t> buffer(Words(32, 0));
  void *other = nullptr, *event = nullptr, *back = nullptr;
  cuStreamCreate(&other, 1), cuEventCreate(&event, 2), cuEventCreate(&back, 2);
  std::vector<uint64_t> arguments = {buffer.address};
  CHECK_EQ(cuStreamBeginCapture_v2(stream, 0), 0);
  cuEventRecord(event, stream), cuStreamWaitEvent(other, event, 0);
  add.launch(1, 32, arguments, 0, other);
  CHECK_EQ(cuStreamEndCapture(stream, &graph), 904);
  CHECK_EQ(cuStreamBeginCapture_v2(stream, 0), 0);
  cuEventRecord(event, stream), cuStreamWaitEvent(other, event, 0);
  add.launch(1, 32, arguments, 0, other);
  cuEventRecord(back, other), cuStreamWaitEvent(stream, back, 0);
  CHECK_EQ(cuStreamEndCapture(stream, &graph), 0);
  cuGraphDestroy(graph), cuEventDestroy_v2(event), cuEventDestroy_v2(back), cuStreamDestroy_v2(stream), cuStreamDestroy_v2(other);
}

TEST(accesses_outside_of_memory_are_errors_that_stay) {
  for (const char *body : {"st.global.u32 [%o+4], 1;\n", "ld.global.u32 %r1, [%a0+-4];\n", "mov.u64 %rd1, 0;\nld.global.u32 %r1, [%rd1];\n",
                           "atom.global.add.u32 %r1, [%o+400], 1;\n", "mov.u32 %r1, 0;\nld.shared.u32 %r1, [%r1];\n", "mov.u32 %r1, 2000;\nld.shared.u32 %r1, [%r1];\n"}) {
    beginTest();
    Program program(kernel(1, body));
    Buffer<uint32_t> buffer(Words(32, 0));
    CHECK_EQ(program.run(1, 32, {buffer.address}), 700);
    CHECK_EQ(cuCtxSynchronize(), 700);
    void *stream;
    CHECK_EQ(cuStreamCreate(&stream, 0), 700);
  }
  beginTest();
  Program program(kernel(1, "ld.global.v2.u32 {%r1, %r2}, [%a0+4];\n"));
  Buffer<uint32_t> buffer(Words(32, 0));
  CHECK_EQ(program.run(1, 32, {buffer.address}), 716);
  // Freed memory is outside too.
  beginTest();
  Program late(kernel(1, addOne));
  CUdeviceptr address = 0;
  cuMemAlloc_v2(&address, 128);
  cuMemFree_v2(address);
  CHECK_EQ(late.run(1, 32, {address}), 700);
  beginTest();
}

TEST(memory_that_nobody_wrote_is_nan) {
  beginTest();
  Buffer<uint32_t> buffer(8);
  CHECK_EQ(buffer.at(3), 0xffffffffu);
  Words host(2);
  CHECK_EQ(cuMemcpyDtoH_v2(host.data(), buffer.address + 28, 8), 1); // past the end
  CHECK_EQ(cuMemcpyHtoD_v2(buffer.address - 4, host.data(), 4), 1);
}

TEST(memory_runs_out) {
  beginTest();
  size_t free = 0, total = 0;
  CHECK_EQ(cuMemGetInfo_v2(&free, &total), 0);
  CUdeviceptr address = 0;
  CHECK_EQ(cuMemAlloc_v2(&address, total + 1), 2);
  Buffer<uint8_t> buffer(1000);
  size_t less = 0;
  cuMemGetInfo_v2(&less, &total);
  CHECK_EQ(free - less, size_t(1000));
}

static std::string loadError(const std::string &text, int &status) {
  char log[256] = "";
  int options[] = {5, 6};
  void *values[] = {log, reinterpret_cast<void *>(sizeof(log))};
  void *module = nullptr;
  status = cuModuleLoadDataEx(&module, text.c_str(), 2, options, values);
  return log;
}

TEST(ptx_that_cannot_be_run_is_refused) {
  beginTest();
  int status;
  std::string log = loadError(".version 8.0\n.target sm_80\n.address_size 64\n" + kernel(1, "frobnicate.f32 %f1, %f2;\n"), status);
  CHECK_EQ(status, 218);
  CHECK_CONTAINS(log, "frobnicate");
  log = loadError(".version 8.0\n.target sm_80\n.address_size 64\n" + kernel(1, "add.rn.frob.f32 %f1, %f2, %f3;\n"), status);
  CHECK_EQ(status, 218);
  CHECK_CONTAINS(log, "frob");
  log = loadError(".version 8.0\n.target sm_80\n.address_size 64\n" + kernel(1, "add.u32 %r1, %r2, %rd3;\n"), status);
  CHECK_CONTAINS(log, "has 64 bits, not 32");
  log = loadError(".version 8.0\n.target sm_80\n.address_size 64\n" + kernel(1, "bra NOWHERE;\n"), status);
  CHECK_CONTAINS(log, "NOWHERE");
  log = loadError(".version 8.0\n.target sm_75\n.address_size 64\n" + kernel(1, "redux.sync.add.u32 %r1, %t, -1;\n"), status);
  CHECK_CONTAINS(log, "needs target sm_80, not sm_75");
  log = loadError(".version 6.3\n.target sm_80\n.address_size 64\n" + kernel(1, "redux.sync.add.u32 %r1, %t, -1;\n"), status);
  CHECK_CONTAINS(log, "needs PTX version 7.0");
  loadError(".version 8.0\n.target sm_100\n.address_size 64\n", status);
  CHECK_EQ(status, 218);
  loadError(".version 8.0\n.target sm_80a\n.address_size 64\n", status);
  CHECK_EQ(status, 209);
  loadError("\x7f" "ELF", status);
  CHECK_EQ(status, 209);
  loadError(".version 8.0\n.target sm_80\n.address_size 64\n" + kernel(1, "st.shared.u32 [large], 1;\n", ".shared .b8 large[49156];"), status);
  CHECK_EQ(status, 218);
}

TEST(launches_are_checked) {
  beginTest();
  Program program(kernel(1, addOne));
  Buffer<uint32_t> buffer(Words(32, 0));
  std::vector<uint64_t> arguments = {buffer.address};
  CHECK_EQ(program.launch(0, 32, arguments, 0, nullptr), 1);
  CHECK_EQ(program.launch(1, 1025, arguments, 0, nullptr), 1);
  CHECK_EQ(program.launch(1, 32, arguments, 48 * 1024 + 1, nullptr), 1);
  CHECK_EQ(cuFuncSetAttribute(program.kernel, 8, 1 << 20), 1);
  CHECK_EQ(cuFuncSetAttribute(program.kernel, 8, 100 * 1024), 0);
  CHECK_EQ(program.launch(1, 32, arguments, 100 * 1024, nullptr), 0);
  // The other way to give parameters.
  size_t bytes = 8;
  void *extra[] = {reinterpret_cast<void *>(1), arguments.data(), reinterpret_cast<void *>(2), &bytes, nullptr};
  CHECK_EQ(cuLaunchKernel(program.kernel, 1, 1, 1, 32, 1, 1, 0, nullptr, nullptr, extra), 0);
  CHECK_EQ(buffer.at(0), 2u);
}
