// Calls: results, every refusal, states, memory.
#include "helpers.h"

#include <atomic>
#include <cstdlib>
#include <thread>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

using artifact::Options;

namespace {
/// Counts what the runtime takes from it, and can run dry.
struct CountingAllocator {
  tn_allocator_t table = {sizeof(tn_allocator_t), this, take, give};
  std::atomic<int> taken{0}, live{0};
  std::atomic<size_t> limit{SIZE_MAX};
  static void *take(void *user, size_t bytes, size_t align) {
    auto &self = *static_cast<CountingAllocator *>(user);
    if (bytes > self.limit)
      return nullptr;
    ++self.taken, ++self.live;
    return std::aligned_alloc(align, (bytes + align - 1) / align * align);
  }
  static void give(void *user, void *memory, size_t, size_t) {
    --static_cast<CountingAllocator *>(user)->live;
    std::free(memory);
  }
};

struct Fixture {
  explicit Fixture(tn_session_options_t options = {}) {
    options.struct_bytes = sizeof(options);
    session = opened.program.createSession(error, &options);
    CHECK(bool(session));
  }
  Opened opened;
  tenon::Error error;
  tenon::Session session;
  tn_status_t call(uint32_t entry, std::vector<tn_tensor_t> inputs, std::vector<tn_tensor_t> outputs) {
    return callEntry(session, entry, std::move(inputs), std::move(outputs), error);
  }
};
} // namespace

TEST(add_any_size) {
  Fixture f;
  for (int64_t n : {0, 1, 63, 64, 65, 1000, 100003}) {
    Floats x(TN_F32, {n}), y(TN_F32, {n}), out(TN_F32, {n}, -1);
    for (size_t i = 0; i < size_t(n); ++i)
      x.values[i] = float(i), y.values[i] = 0.5f;
    CHECK_EQ(f.call(artifact::Add, {x, y}, {out}), TN_OK);
    bool good = true;
    for (size_t i = 0; i < size_t(n); ++i)
      good &= out.values[i] == float(i) + 0.5f;
    CHECK(good);
  }
}

TEST(matmul_with_constants) {
  Fixture f;
  Floats a(TN_F32, {5, 16}), c(TN_F32, {5, 8});
  for (size_t i = 0; i < a.values.size(); ++i)
    a.values[i] = float(int(i % 7) - 3);
  CHECK_EQ(f.call(artifact::Matmul, {a}, {c}), TN_OK);
  bool good = true;
  for (int i = 0; i < 5; ++i)
    for (int j = 0; j < 8; ++j) {
      float sum = 0;
      for (int k = 0; k < 16; ++k)
        sum += a.values[size_t(i * 16 + k)] * artifact::weightAt(k, j);
      good &= c.values[size_t(i * 8 + j)] == sum;
    }
  CHECK(good);
}

TEST(refusals_before_code_runs) {
  Fixture f;
  Floats x(TN_F32, {4}), y(TN_F32, {4}), z(TN_F32, {5}), out(TN_F32, {4}), wide(TN_F32, {4, 1});
  Longs longs(TN_I64, {4});
  CHECK_EQ(f.call(artifact::Add, {x}, {out}), TN_BAD_COUNT);
  CHECK_EQ(f.call(artifact::Add, {x, y}, {}), TN_BAD_COUNT);
  CHECK_EQ(f.call(artifact::Add, {x, longs}, {out}), TN_BAD_TYPE);
  CHECK_CONTAINS(f.error.message(), "memory: entry 'add': input 'y' is i64 but must be f32");
  CHECK_EQ(f.call(artifact::Add, {x, wide}, {out}), TN_BAD_SHAPE);
  CHECK_EQ(f.call(artifact::Add, {x, z}, {out}), TN_BAD_SHAPE);
  CHECK_CONTAINS(f.error.message(), "input 'y' dimension 0 is 5 but must equal dimension 0 of input 'x', which is 4");
  CHECK_EQ(f.call(artifact::Add, {x, y}, {z}), TN_BAD_SHAPE);
  CHECK_CONTAINS(f.error.message(), "output 'sum' dimension 0 is 5 but must be n = 4");
  tn_tensor_t bad = x;
  bad.dtype = static_cast<tn_dtype_t>(99);
  CHECK_EQ(f.call(artifact::Add, {bad, y}, {out}), TN_BAD_TYPE);
  bad = x;
  bad.dims = nullptr;
  CHECK_EQ(f.call(artifact::Add, {bad, y}, {out}), TN_BAD_ARGUMENT);
  bad = x;
  bad.data = nullptr;
  CHECK_EQ(f.call(artifact::Add, {bad, y}, {out}), TN_BAD_ARGUMENT);
  bad = x;
  bad.data = reinterpret_cast<char *>(x.values.data()) + 2;
  CHECK_EQ(f.call(artifact::Add, {bad, y}, {out}), TN_BAD_ALIGNMENT);
  int64_t negative = -1;
  bad = x;
  bad.dims = &negative;
  CHECK_EQ(f.call(artifact::Add, {bad, y}, {out}), TN_BAD_SHAPE);
  CHECK_EQ(f.call(999, {}, {}), TN_BAD_ARGUMENT);
  CHECK_EQ(tn_session_call(f.session.get(), artifact::Add, nullptr, 2, nullptr, 1, nullptr), TN_BAD_ARGUMENT);
}

TEST(ranges_and_sizes_that_do_not_fit) {
  Fixture f;
  int64_t large = (int64_t(1) << 20) + 1;
  tn_tensor_t x = {&large, &large, 1, TN_F32};
  CHECK_EQ(f.call(artifact::Add, {x, x}, {x}), TN_OUT_OF_RANGE);
  CHECK_CONTAINS(f.error.message(), "input 'x' dimension 0: size 'n' is 1048577 but must be 0 to 1048576");
  int64_t huge[2] = {int64_t(1) << 60, 16};
  tn_tensor_t a = {huge, huge, 2, TN_F32};
  CHECK_EQ(f.call(artifact::Matmul, {a}, {a}), TN_TOO_LARGE);
  tn_memory_needs_t needs = {};
  needs.struct_bytes = sizeof(needs);
  int64_t rows = int64_t(1) << 55;
  CHECK_EQ(tn_entry_needs(f.opened.program.get(), artifact::Matmul, &rows, 1, 1, &needs, f.error), TN_TOO_LARGE);
  rows = 100;
  CHECK_EQ(tn_entry_needs(f.opened.program.get(), artifact::Matmul, &rows, 1, 1, &needs, f.error), TN_OK);
  CHECK_EQ(needs.arena_bytes, uint64_t(3200));
  CHECK_EQ(needs.scratch_bytes, uint64_t(64));
  rows = 0;
  CHECK_EQ(tn_entry_needs(f.opened.program.get(), artifact::Matmul, &rows, 1, 1, &needs, f.error), TN_OUT_OF_RANGE);
  // n * (2n + 1) elements overflow in the expression of a dimension.
  int64_t dims[2] = {INT64_MAX / 2 + 3, 0};
  tn_tensor_t d = {nullptr, dims, 2, TN_F32}, none = {};
  int64_t symbol = 0;
  std::vector<tn_tensor_t> inputs = {d, none};
  tn_status_t status = tn_entry_bind(f.opened.program.get(), artifact::Derived, inputs.data(), 2, &symbol, 1, f.error);
  CHECK_EQ(status, TN_TOO_LARGE);
}

TEST(derived_sizes_and_optional_inputs) {
  Fixture f;
  Floats x(TN_F32, {2, 5}, 2), y(TN_F32, {1}), sum(TN_F32, {});
  tn_tensor_t none = {};
  CHECK_EQ(f.call(artifact::Derived, {x, none}, {sum}), TN_OK);
  CHECK_EQ(sum.values[0], 10.0f);
  CHECK_EQ(f.call(artifact::Derived, {x, y}, {sum}), TN_OK);
  CHECK_EQ(sum.values[0], 1010.0f);
  Floats wrong(TN_F32, {2, 6});
  CHECK_EQ(f.call(artifact::Derived, {wrong, none}, {sum}), TN_BAD_SHAPE);
  CHECK_CONTAINS(f.error.message(), "input 'x' dimension 1 is 6 but must be 2*n + 1 = 5");
  Floats odd(TN_F32, {3, 7});
  CHECK_EQ(f.call(artifact::Derived, {odd, none}, {sum}), TN_OUT_OF_RANGE);
  CHECK_CONTAINS(f.error.message(), "must be a multiple of 2");
  CHECK_EQ(f.call(artifact::Add, {none, none}, {sum}), TN_BAD_TYPE);
}

TEST(aliases) {
  Fixture f;
  std::vector<float> memory(100);
  int64_t n = 10;
  auto at = [&](size_t offset) { return tn_tensor_t{memory.data() + offset, &n, 1, TN_F32}; };
  CHECK_EQ(f.call(artifact::Add, {at(0), at(10)}, {at(20)}), TN_OK);
  CHECK_EQ(f.call(artifact::Add, {at(0), at(0)}, {at(10)}), TN_OK); // inputs may overlap
  CHECK_EQ(f.call(artifact::Add, {at(0), at(10)}, {at(0)}), TN_BAD_ALIAS);
  CHECK_EQ(f.call(artifact::Add, {at(0), at(10)}, {at(19)}), TN_BAD_ALIAS);
  CHECK_CONTAINS(f.error.message(), "output 'sum' overlaps input 'y'");
  CHECK_EQ(f.call(artifact::Add, {at(30), at(11)}, {at(20)}), TN_BAD_ALIAS);
}

TEST(data_errors_name_the_place) {
  for (uint32_t threads : {1u, 4u}) {
    tn_session_options_t options = {};
    options.threads = threads;
    options.flags = TN_SESSION_EXACT_THREADS;
    Fixture f(options);
    CHECK_EQ(tn_session_threads(f.session.get()), threads);
    Floats table(TN_F32, {10}, 1), out(TN_F32, {5000});
    Longs index(TN_I64, {5000}, 3);
    CHECK_EQ(f.call(artifact::Pick, {table, index}, {out}), TN_OK);
    for (int round = 0; round < 200; ++round) {
      for (size_t i = 700; i < 5000; ++i)
        index.values[i] = int64_t(1000 + i);
      CHECK_EQ(f.call(artifact::Pick, {table, index}, {out}), TN_OUT_OF_RANGE);
      // The lowest failing tile, whatever the number of threads.
      CHECK_CONTAINS(f.error.message(), "entry 'pick': index 1700 is not below 10 (model.py:12)");
    }
  }
}

TEST(states) {
  Fixture f;
  Longs step(TN_I64, {}, 5), total(TN_I64, {});
  for (int i = 1; i <= 3; ++i) {
    CHECK_EQ(f.call(artifact::Count, {step}, {total}), TN_OK);
    CHECK_EQ(total.values[0], int64_t(5 * i));
  }
  float start[4];
  CHECK_EQ(tn_session_state_read(f.session.get(), 1, start, sizeof(start), f.error), TN_OK);
  CHECK_EQ(start[1], artifact::weightAt(0, 1));
  CHECK_EQ(tn_session_state_read(f.session.get(), 1, start, 4, f.error), TN_BAD_SHAPE);
  CHECK_EQ(tn_session_state_read(f.session.get(), 9, start, 4, f.error), TN_BAD_ARGUMENT);
  int64_t value = 100;
  CHECK_EQ(tn_session_state_write(f.session.get(), 0, &value, 8, f.error), TN_OK);
  std::vector<uint8_t> saved(tn_session_save_bytes(f.session.get()));
  CHECK_EQ(tn_session_save(f.session.get(), saved.data(), saved.size(), f.error), TN_OK);
  // Fails before the first write: the states are whole.
  step.values[0] = -1;
  CHECK_EQ(f.call(artifact::Count, {step}, {total}), TN_DATA_ERROR);
  step.values[0] = 1;
  CHECK_EQ(f.call(artifact::Count, {step}, {total}), TN_OK);
  CHECK_EQ(total.values[0], int64_t(101));
  // Fails after it: lost until restored or reset.
  step.values[0] = -2;
  CHECK_EQ(f.call(artifact::Count, {step}, {total}), TN_DATA_ERROR);
  CHECK_CONTAINS(f.error.message(), "step is -2; the states are lost");
  step.values[0] = 1;
  CHECK_EQ(f.call(artifact::Count, {step}, {total}), TN_STATE_LOST);
  CHECK_EQ(tn_session_save(f.session.get(), saved.data(), saved.size(), f.error), TN_STATE_LOST);
  std::vector<uint8_t> bad = saved;
  bad[70] ^= 1;
  CHECK_EQ(tn_session_restore(f.session.get(), bad.data(), bad.size(), f.error), TN_BAD_FILE);
  CHECK_EQ(tn_session_restore(f.session.get(), saved.data(), 64, f.error), TN_BAD_FILE);
  CHECK_EQ(f.call(artifact::Count, {step}, {total}), TN_STATE_LOST);
  CHECK_EQ(tn_session_restore(f.session.get(), saved.data(), saved.size(), f.error), TN_OK);
  CHECK_EQ(f.call(artifact::Count, {step}, {total}), TN_OK);
  CHECK_EQ(total.values[0], int64_t(101));
  CHECK_EQ(tn_session_reset(f.session.get(), f.error), TN_OK);
  CHECK_EQ(f.call(artifact::Count, {step}, {total}), TN_OK);
  CHECK_EQ(total.values[0], int64_t(1));
}

TEST(data_dependent_sizes) {
  Fixture f;
  Floats x(TN_F32, {6}), kept(TN_F32, {6});
  x.values = {1, 0, 2, 0, 0, 3};
  std::vector<tn_tensor_t> in = {x}, out = {kept};
  CHECK_EQ(f.session.call(artifact::Compress, in, out, f.error), TN_OK);
  CHECK_EQ(kept.dims[0], int64_t(3));
  CHECK_EQ(kept.values[2], 3.0f);
  CHECK_EQ(f.session.call(artifact::Compress, in, out, f.error), TN_BAD_SHAPE); // room must be stated again
  int64_t dims[1];
  tn_tensor_t shape = {nullptr, dims, 1, TN_DTYPE_NONE};
  CHECK_EQ(tn_entry_output_shapes(f.opened.program.get(), artifact::Compress, in.data(), 1, &shape, 1, f.error), TN_OK);
  CHECK_EQ(dims[0], int64_t(6));
  CHECK_EQ(int(shape.dtype), int(TN_F32));
}

TEST(no_allocation_in_steady_state) {
  CountingAllocator allocator;
  tn_session_options_t options = {};
  options.allocator = &allocator.table;
  options.threads = 4;
  options.flags = TN_SESSION_EXACT_THREADS;
  {
    Fixture f(options);
    Floats a(TN_F32, {300, 16}, 1), c(TN_F32, {300, 8});
    CHECK_EQ(f.call(artifact::Matmul, {a}, {c}), TN_OK);
    int before = allocator.taken;
    for (int i = 0; i < 100; ++i)
      CHECK_EQ(f.call(artifact::Matmul, {a}, {c}), TN_OK);
    CHECK_EQ(allocator.taken.load(), before);
    Floats small(TN_F32, {3, 16}, 1), cSmall(TN_F32, {3, 8});
    CHECK_EQ(f.call(artifact::Matmul, {small}, {cSmall}), TN_OK);
    CHECK_EQ(allocator.taken.load(), before);
    allocator.limit = 1000;
    Floats big(TN_F32, {3000, 16}, 1), cBig(TN_F32, {3000, 8});
    CHECK_EQ(f.call(artifact::Matmul, {big}, {cBig}), TN_NO_MEMORY);
    allocator.limit = SIZE_MAX;
    CHECK_EQ(f.call(artifact::Matmul, {a}, {c}), TN_OK); // and the session still works
  }
  CHECK_EQ(allocator.live.load(), 0);
}

TEST(fixed_memory) {
  int64_t rows = 100;
  tn_reserve_t reserve = {artifact::Matmul, 1, &rows};
  tn_session_options_t options = {};
  options.flags = TN_SESSION_FIXED_MEMORY;
  options.threads = 1;
  options.reserves = &reserve;
  options.reserve_count = 1;
  Fixture f(options);
  Floats a(TN_F32, {100, 16}, 1), c(TN_F32, {100, 8}), a2(TN_F32, {200, 16}, 1), c2(TN_F32, {200, 8});
  CHECK_EQ(f.call(artifact::Matmul, {a}, {c}), TN_OK);
  CHECK_EQ(f.call(artifact::Matmul, {a2}, {c2}), TN_NEEDS_MEMORY);
  CHECK_CONTAINS(f.error.message(), "arena of 6400");
  CHECK_EQ(f.call(artifact::Matmul, {a}, {c}), TN_OK);
  tn_session_options_t limited = {};
  limited.memory_limit = 5000;
  limited.threads = 1;
  Fixture g(limited);
  CHECK_EQ(g.call(artifact::Matmul, {a}, {c}), TN_OK);
  CHECK_EQ(g.call(artifact::Matmul, {a2}, {c2}), TN_NEEDS_MEMORY);
  rows = 0;
  options.struct_bytes = sizeof(options);
  tenon::Error error;
  CHECK(!f.opened.program.createSession(error, &options));
  CHECK_EQ(error.status(), TN_OUT_OF_RANGE);
}

TEST(broken_abi) {
  Fixture f;
  CHECK_EQ(f.call(artifact::Greedy, {}, {}), TN_INTERNAL);
}

TEST(busy) {
  tn_session_options_t options = {};
  options.threads = 1;
  Fixture f(options);
  Longs what(TN_I64, {3}), ticks(TN_I64, {1}), like(TN_I64, {1});
  what.values = {1, 1, 50'000'000};
  std::atomic<bool> done{false};
  std::thread slow([&] {
    tn_status_t status;
    do
      status = f.call(artifact::Regions, {what, like}, {ticks});
    while (status == TN_BUSY); // the reset below came first
    CHECK_EQ(status, TN_OK);
    done = true;
  });
  bool busy = false;
  while (!done && !busy) {
    tenon::Error error;
    busy = tn_session_reset(f.session.get(), error) == TN_BUSY;
  }
  slow.join();
  CHECK(busy);
}

#if defined(__x86_64__)
TEST(float_mode) {
  Fixture f;
  unsigned before = _mm_getcsr();
  _mm_setcsr(before | 0x8040); // flush-to-zero, denormals-are-zero
  Floats x(TN_F32, {2, 5}), sum(TN_F32, {});
  x.values[0] = 4e-40f;
  tn_tensor_t none = {};
  CHECK_EQ(f.call(artifact::Derived, {x, none}, {sum}), TN_OK);
  CHECK((_mm_getcsr() & 0x8040) == 0x8040);
  _mm_setcsr(before);
  uint32_t bits;
  memcpy(&bits, sum.values.data(), 4);
  CHECK(bits != 0);
}
#endif

TEST(struct_bytes_of_an_older_caller) {
  Fixture f;
  tn_program_info_t info;
  memset(&info, 0xee, sizeof(info));
  info.struct_bytes = 8; // knows nothing behind the format's version
  tn_program_info(f.opened.program.get(), &info);
  CHECK_EQ(info.format_major, uint16_t(1));
  CHECK_EQ(info.entries, 0xeeeeeeeeu);
  struct {
    uint32_t struct_bytes;
    tn_status_t status;
    char message[12];
  } small = {sizeof(small), TN_OK, {}};
  CHECK_EQ(tn_session_call(f.session.get(), 999, nullptr, 0, nullptr, 0, reinterpret_cast<tn_error_t *>(&small)),
           TN_BAD_ARGUMENT);
  CHECK_EQ(strlen(small.message), size_t(11));
}
