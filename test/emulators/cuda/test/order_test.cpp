// Orders of work: which ones a program allows, and that one with a wait too few gets wrong numbers.
#include "cuda.h"

#include <set>

static const std::string addOne = "ld.global.u32 %r1, [%o];\nadd.u32 %r1, %r1, 1;\nst.global.u32 [%o], %r1;\n";
using Words = std::vector<uint32_t>;
static constexpr int kLate = 0, kEarly = 1, kOthers = 2;

namespace {
/// Words that go up, get one more by a kernel, and come down; each in a stream of its own, with or without waits
/// between.
struct Round {
  Round() : add(kernel(1, addOne)), words(Words(32, 100)) {
    for (void **stream : {&compute, &up, &down})
      cuStreamCreate(stream, 1);
    for (void **event : {&forked, &sent, &told, &joined})
      cuEventCreate(event, 2);
    cuMemHostAlloc(&pinned, 256, 0);
    host()[0] = 7;
    host()[32] = 0;
  }
  Round(const Round &) = delete;
  ~Round() {
    tn_emulator_order(kLate);
    for (void *stream : {compute, up, down})
      cuStreamDestroy_v2(stream);
    for (void *event : {forked, sent, told, joined})
      cuEventDestroy_v2(event);
    cuMemFreeHost(pinned);
  }
  uint32_t *host() { return static_cast<uint32_t *>(pinned); }
  static void await(void *stream, void *other, void *event) {
    CHECK_EQ(cuEventRecord(event, other), 0);
    CHECK_EQ(cuStreamWaitEvent(stream, event, 0), 0);
  }
  void tell(bool awaitsInput, bool awaitsKernel) {
    CHECK_EQ(cuMemcpyHtoDAsync_v2(words.address, pinned, 128, up), 0);
    if (awaitsInput)
      await(compute, up, sent);
    std::vector<uint64_t> arguments = {words.address};
    CHECK_EQ(add.launch(1, 32, arguments, 0, compute), 0);
    if (awaitsKernel)
      await(down, compute, told);
    CHECK_EQ(cuMemcpyDtoHAsync_v2(host() + 32, words.address, 128, down), 0);
  }
  uint32_t finish() {
    for (void *stream : {compute, up, down})
      CHECK_EQ(cuStreamSynchronize(stream), 0);
    return host()[32];
  }
  /// The same as one graph; its waits for the inputs and the kernel may be missing, forks and joins are there.
  uint32_t replay(bool awaitsInput, bool awaitsKernel) {
    CHECK_EQ(cuStreamBeginCapture_v2(compute, 1), 0);
    CHECK_EQ(cuEventRecord(forked, compute), 0);
    CHECK_EQ(cuStreamWaitEvent(up, forked, 0), 0);
    CHECK_EQ(cuStreamWaitEvent(down, forked, 0), 0);
    tell(awaitsInput, awaitsKernel);
    await(compute, up, joined);
    await(compute, down, joined);
    void *graph = nullptr, *executable = nullptr;
    CHECK_EQ(cuStreamEndCapture(compute, &graph), 0);
    CHECK_EQ(cuGraphInstantiateWithFlags(&executable, graph, 0), 0);
    CHECK_EQ(cuGraphLaunch(executable, compute), 0);
    uint32_t got = finish();
    cuGraphDestroy(graph), cuGraphExecDestroy(executable);
    return got;
  }
  Program add;
  Buffer<uint32_t> words;
  void *compute = nullptr, *up = nullptr, *down = nullptr, *pinned = nullptr;
  void *forked = nullptr, *sent = nullptr, *told = nullptr, *joined = nullptr;
};
} // namespace

TEST(a_wait_that_is_missing_shows_in_some_order) {
  for (bool captured : {false, true})
    for (int waits = 0; waits < 4; ++waits) {
      std::set<uint32_t> got;
      for (int order : {kLate, kEarly, kOthers}) {
        beginTest();
        Round round;
        tn_emulator_order(order);
        bool input = waits & 1, kernel = waits & 2;
        if (!captured)
          round.tell(input, kernel);
        got.insert(captured ? round.replay(input, kernel) : round.finish());
      }
      CHECK(got.count(8));
      CHECK_EQ(got.size() == 1, waits == 3);
    }
}

TEST(early_work_has_run_when_the_call_ends) {
  beginTest();
  Round round;
  tn_emulator_order(kEarly);
  CHECK_EQ(cuMemcpyHtoDAsync_v2(round.words.address, round.pinned, 128, round.up), 0);
  round.host()[0] = 9; // too late
  CHECK_EQ(cuStreamQuery(round.up), 0);
  CHECK_EQ(round.words.at(0), 7u);
}

TEST(what_runs_is_traced_and_counted) {
  beginTest();
  Round round;
  unsigned long long before = tn_emulator_statistics("commands");
  round.tell(true, true);
  CHECK_EQ(tn_emulator_statistics("commands") - before, 7ull);
  tn_emulator_trace();
  round.finish();
  CHECK_EQ(std::string(tn_emulator_trace()), std::string("to-device 128\nkernel k\nto-host 128\n"));
  tn_emulator_trace();
  CHECK_EQ(std::string(tn_emulator_trace()), std::string());
}

TEST(forks_have_to_be_joined) {
  for (int mistake = 0; mistake < 4; ++mistake) {
    beginTest();
    Round round;
    std::vector<uint64_t> arguments = {round.words.address};
    CHECK_EQ(cuStreamBeginCapture_v2(round.compute, 1), 0);
    Round::await(round.up, round.compute, round.forked);
    if (mistake != 1) // a fork without work
      round.add.launch(1, 32, arguments, 0, round.up);
    if (mistake != 1)
      Round::await(round.compute, round.up, round.joined);
    if (mistake == 2) // work behind the event that was waited for
      round.add.launch(1, 32, arguments, 0, round.up);
    if (mistake == 3) { // it may go by another stream
      round.add.launch(1, 32, arguments, 0, round.up);
      Round::await(round.down, round.up, round.sent);
      Round::await(round.compute, round.down, round.told);
    }
    void *graph = nullptr;
    CHECK_EQ(cuStreamEndCapture(round.compute, &graph), mistake == 1 || mistake == 2 ? 904 : 0);
    // Whatever it gave, nothing is captured from here on; but the event is of the capture.
    CHECK_EQ(cuStreamWaitEvent(round.down, round.forked, 0), 907);
    CHECK_EQ(round.add.launch(1, 32, arguments, 0, round.up), 0);
    CHECK_EQ(cuStreamSynchronize(round.up), 0);
    CHECK_EQ(round.words.at(0), 101u);
    CHECK_EQ(cuEventRecord(round.forked, round.up), 0);
    CHECK_EQ(cuStreamWaitEvent(round.down, round.forked, 0), 0);
    if (graph)
      cuGraphDestroy(graph);
  }
}
