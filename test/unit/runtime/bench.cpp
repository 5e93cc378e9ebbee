// Figures of the runtime: latency of a call and of a parallel region, speed of the constants check.
#include "helpers.h"

#include <chrono>

static double nowMicroseconds() {
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Best of several: other work on the machine only ever adds.
template <typename F> static double best(int rounds, F run) {
  double result = 1e30;
  for (int i = 0; i < rounds; ++i) {
    double start = nowMicroseconds();
    run();
    double took = nowMicroseconds() - start;
    result = took < result ? took : result;
  }
  return result;
}

int main() {
  artifact::Options large;
  large.extraConstants = uint64_t(512) << 20;
  std::vector<uint8_t> file = artifact::build(large);
  tenon::Error error;
  {
    std::string path = artifact::temporaryFile(file);
    for (uint32_t flags : {0u, uint32_t(TN_OPEN_SKIP_CONSTANTS_CHECK)})
      for (uint32_t threads : {1u, tn_hardware_threads()}) {
        tn_open_options_t options = {sizeof(options), flags, nullptr, nullptr, threads};
        double took = best(5, [&] { tenon::Program::open(path.c_str(), error, &options); });
        std::printf("open 512 MiB%s, %u threads: %.1f us%s\n", flags ? ", constants unchecked" : "", threads, took,
                    flags ? "" : (" = " + std::to_string(512.0 / 1024 / (took * 1e-6)) + " GiB/s").c_str());
      }
    std::remove(path.c_str());
  }
  Opened opened;
  for (uint32_t threads : {1u, 2u, 4u}) {
    tn_session_options_t options = {};
    options.struct_bytes = sizeof(options);
    options.threads = threads;
    options.flags = TN_SESSION_EXACT_THREADS;
    tenon::Session session = opened.program.createSession(error, &options);
    Longs what(TN_I64, {3}), ticks(TN_I64, {64}), like(TN_I64, {64});
    auto run = [&](int64_t regions, int64_t tiles, int64_t rounds) {
      what.values = {regions, tiles, rounds};
      return best(50, [&] { (void)callEntry(session, artifact::Regions, {what, like}, {ticks}, error); });
    };
    double none = run(0, 0, 0), two = run(1000, 2, 0), many = run(1000, 64, 0), work = run(1000, 64, 50), heavy = run(20, 64, 5000);
    std::printf("%u threads: call %.2f us; region of 2 empty tiles %.3f us, of 64 empty tiles %.3f us, of 64 tiles with "
                "work %.3f us, of 64 tiles with 100 times that %.1f us\n",
                threads, none, (two - none) / 1000, (many - none) / 1000, (work - none) / 1000, (heavy - none) / 20);
  }
}
