// What this machine can do at most, measured.
#include "Peaks.h"
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

namespace tenon::driver {

// Twelve independent sums hide the latency of a multiply-add at two a cycle; the compiler may not fold them.
template <int Width> using Vector = float __attribute__((vector_size(Width * 4)));

#define TENON_FMA_LOOP(name, features, width)                                                                          \
  __attribute__((target(features), noinline)) static float name(int64_t steps) {                                       \
    Vector<width> sums[12], a = {}, b = {};                                                                            \
    for (int i = 0; i < 12; ++i)                                                                                       \
      sums[i] = Vector<width>{} + static_cast<float>(i);                                                               \
    a += 0.999f, b += 0.001f;                                                                                          \
    for (int64_t s = 0; s < steps; ++s) {                                                                              \
      asm volatile("" : "+v"(a), "+v"(b));                                                                             \
      _Pragma("clang loop unroll(full)") for (int i = 0; i < 12; ++i)                                                  \
          sums[i] = __builtin_elementwise_fma(sums[i], a, b);                                                          \
    }                                                                                                                  \
    Vector<width> all = sums[0];                                                                                       \
    for (int i = 1; i < 12; ++i)                                                                                       \
      all += sums[i];                                                                                                  \
    return all[0];                                                                                                     \
  }
TENON_FMA_LOOP(fma512, "avx512f", 16)
TENON_FMA_LOOP(fma256, "avx2,fma", 8)
#undef TENON_FMA_LOOP

/// Runs `work` on `threads` threads at once and gives the seconds until all are done.
static double timeTogether(unsigned threads, const std::function<void(unsigned)> &work) {
  std::atomic<unsigned> ready = 0;
  std::vector<std::thread> others;
  auto start = std::chrono::steady_clock::now();
  auto body = [&](unsigned index) {
    ++ready;
    while (ready < threads)
      std::this_thread::yield();
    if (index == 0)
      start = std::chrono::steady_clock::now();
    work(index);
  };
  for (unsigned i = 1; i < threads; ++i)
    others.emplace_back(body, i);
  body(0);
  for (std::thread &other : others)
    other.join();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

Peaks measurePeaks(unsigned threads) {
  Peaks peaks;
  threads = std::max(threads, 1u);
  std::atomic<float> sink = 0;
  __builtin_cpu_init();
  int width = __builtin_cpu_supports("avx512f") ? 16 : __builtin_cpu_supports("fma") ? 8 : 0;
  constexpr int64_t steps = 1'000'000;
  for (int attempt = 0; width && attempt < 24; ++attempt) {
    double seconds = timeTogether(threads, [&](unsigned) { sink = width == 16 ? fma512(steps) : fma256(steps); });
    peaks.gigaflops = std::max(peaks.gigaflops, 2.0 * width * 12 * steps * threads / seconds * 1e-9);
  }
  constexpr size_t bytes = size_t(96) << 20; // of each thread: larger than its part of any cache
  std::vector<std::unique_ptr<uint64_t[]>> buffers;
  for (unsigned i = 0; i < threads; ++i) {
    buffers.push_back(std::make_unique_for_overwrite<uint64_t[]>(bytes / 8));
    std::memset(buffers.back().get(), 1, bytes);
  }
  std::atomic<uint64_t> total = 0;
  for (int attempt = 0; attempt < 8; ++attempt) {
    double seconds = timeTogether(threads, [&](unsigned index) {
      uint64_t sum = 0;
      for (size_t i = 0; i < bytes / 8; ++i)
        sum += buffers[index][i];
      total += sum;
    });
    peaks.gigabytes = std::max(peaks.gigabytes, static_cast<double>(bytes) * threads / seconds * 1e-9);
  }
  return peaks;
}

} // namespace tenon::driver
