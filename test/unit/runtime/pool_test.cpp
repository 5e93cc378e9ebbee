// Threads: many sessions at once, bit-identical results, pools of the caller.
#include "helpers.h"

#include <atomic>
#include <thread>

using artifact::Options;

static std::vector<float> expectedSum(size_t n) {
  std::vector<float> result(n);
  for (size_t i = 0; i < n; ++i)
    result[i] = float(i) * 0.25f + float(i % 13);
  return result;
}

TEST(sessions_at_once) {
  Opened opened;
  std::atomic<int> bad{0};
  std::vector<std::thread> callers;
  for (int t = 0; t < 6; ++t)
    callers.emplace_back([&, t] {
      tn_session_options_t options = {};
      options.struct_bytes = sizeof(options);
      options.threads = 1 + unsigned(t) % 4;
      options.flags = TN_SESSION_EXACT_THREADS;
      tenon::Error error;
      tenon::Session session = opened.program.createSession(error, &options);
      size_t n = 5000 + 997 * size_t(t);
      Floats x(TN_F32, {int64_t(n)}), y(TN_F32, {int64_t(n)}), out(TN_F32, {int64_t(n)});
      for (size_t i = 0; i < n; ++i)
        x.values[i] = float(i) * 0.25f, y.values[i] = float(i % 13);
      std::vector<float> expected = expectedSum(n);
      for (int round = 0; round < 300; ++round) {
        std::fill(out.values.begin(), out.values.end(), -1.0f);
        if (callEntry(session, artifact::Add, {x, y}, {out}, error) != TN_OK || out.values != expected)
          ++bad;
      }
    });
  for (std::thread &caller : callers)
    caller.join();
  CHECK_EQ(bad.load(), 0);
}

TEST(every_tile_exactly_once) {
  Opened opened;
  tenon::Error error;
  for (uint32_t threads : {1u, 2u, 3u, 4u, 8u}) {
    tn_session_options_t options = {};
    options.struct_bytes = sizeof(options);
    options.threads = threads;
    options.flags = TN_SESSION_EXACT_THREADS;
    tenon::Session session = opened.program.createSession(error, &options);
    for (int64_t tiles : {1, 2, 7, 64, 1001}) {
      Longs what(TN_I64, {3}), ticks(TN_I64, {tiles}), like(TN_I64, {tiles});
      what.values = {200, tiles, 3};
      CHECK_EQ(callEntry(session, artifact::Regions, {what, like}, {ticks}, error), TN_OK);
      CHECK(ticks.values == std::vector<int64_t>(size_t(tiles), 200));
    }
  }
}

// Workers that fall asleep between calls must wake, and calls must not wait for those that do not.
TEST(sleep_and_wake) {
  Opened opened;
  tenon::Error error;
  tn_session_options_t options = {};
  options.struct_bytes = sizeof(options);
  options.threads = 4;
  options.flags = TN_SESSION_EXACT_THREADS;
  tenon::Session session = opened.program.createSession(error, &options);
  Longs what(TN_I64, {3}), ticks(TN_I64, {64}), like(TN_I64, {64});
  what.values = {3, 64, 100};
  for (int i = 0; i < 300; ++i) {
    std::this_thread::sleep_for(std::chrono::microseconds(i % 3 * 100));
    CHECK_EQ(callEntry(session, artifact::Regions, {what, like}, {ticks}, error), TN_OK);
    CHECK(ticks.values == std::vector<int64_t>(64, 3));
  }
}

namespace {
struct ForeignPool {
  int regions = 0;
  static void runInOrder(void *user, uint32_t count, void (*work)(void *, uint32_t), void *arg) {
    ++static_cast<ForeignPool *>(user)->regions;
    for (uint32_t i = count; i-- > 0;)
      work(arg, i);
  }
  static void runThreads(void *user, uint32_t count, void (*work)(void *, uint32_t), void *arg) {
    ++static_cast<ForeignPool *>(user)->regions;
    std::vector<std::thread> threads;
    for (uint32_t i = 0; i < count; ++i)
      threads.emplace_back(work, arg, i);
    for (std::thread &thread : threads)
      thread.join();
  }
  static void runNothing(void *, uint32_t, void (*)(void *, uint32_t), void *) {}
};
} // namespace

TEST(pool_of_the_caller) {
  Opened opened;
  tenon::Error error;
  for (auto run : {ForeignPool::runInOrder, ForeignPool::runThreads, ForeignPool::runNothing}) {
    ForeignPool foreign;
    tn_pool_t pool = {sizeof(pool), 3, &foreign, run};
    tn_session_options_t options = {};
    options.struct_bytes = sizeof(options);
    options.pool = &pool;
    tenon::Session session = opened.program.createSession(error, &options);
    CHECK_EQ(tn_session_threads(session.get()), 3u);
    Longs what(TN_I64, {3}), ticks(TN_I64, {100}), like(TN_I64, {100});
    what.values = {20, 100, 3};
    CHECK_EQ(callEntry(session, artifact::Regions, {what, like}, {ticks}, error), TN_OK);
    CHECK(ticks.values == std::vector<int64_t>(100, 20));
    CHECK(run == ForeignPool::runNothing || foreign.regions == 20);
  }
}

TEST(hardware_threads) {
  CHECK(tn_hardware_threads() >= 1);
  Opened opened;
  tenon::Error error;
  tn_session_options_t options = {};
  options.struct_bytes = sizeof(options);
  options.threads = 10000;
  tenon::Session session = opened.program.createSession(error, &options);
  CHECK_EQ(tn_session_threads(session.get()), tn_hardware_threads());
}

TEST(large_constants_are_checked_in_parallel) {
  Options options;
  options.extraConstants = 20 << 20;
  std::vector<uint8_t> file = artifact::build(options);
  CHECK_EQ(Opened(file).status, TN_OK);
  file[65536 + (17 << 20)] ^= 1;
  Opened bad(file);
  CHECK_EQ(bad.status, TN_BAD_FILE);
  CHECK_CONTAINS(bad.error.message(), "MiB 17 of segment 0");
}
