// A tiny test frame: TEST(name) { CHECK(...); CHECK_EQ(a, b); } and one runAll().
#ifndef TENON_TEST_UNIT_RUNTIME_CHECK_H
#define TENON_TEST_UNIT_RUNTIME_CHECK_H

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

namespace check {

struct Test {
  const char *name;
  void (*run)();
};
inline std::vector<Test> &tests() {
  static std::vector<Test> all;
  return all;
}
inline bool failed = false;
struct Register {
  Register(const char *name, void (*run)()) { tests().push_back({name, run}); }
};

inline void failure(const char *file, int line, const std::string &text) {
  failed = true;
  std::printf("  %s:%d: %s\n", file, line, text.c_str());
}
inline std::string show(const char *value) { return value; }
inline std::string show(const std::string &value) { return value; }
template <typename T> std::string show(const T &value) { return std::to_string(value); }

/// Runs the tests whose name contains `filter`; the number that failed.
inline int runAll(const char *filter) {
  int good = 0, bad = 0;
  for (const Test &test : tests()) {
    if (filter && !std::strstr(test.name, filter))
      continue;
    failed = false;
    test.run();
    std::printf("%s %s\n", failed ? "FAIL" : "ok  ", test.name);
    std::fflush(stdout);
    (failed ? bad : good)++;
  }
  std::printf("%d passed, %d failed\n", good, bad);
  return bad;
}

} // namespace check

#define TEST(name)                                                                                                     \
  static void test_##name();                                                                                           \
  static check::Register register_##name(#name, test_##name);                                                          \
  static void test_##name()
#define CHECK(condition)                                                                                               \
  do {                                                                                                                 \
    if (!(condition))                                                                                                  \
      check::failure(__FILE__, __LINE__, "not true: " #condition);                                                     \
  } while (0)
#define CHECK_EQ(a, b)                                                                                                 \
  do {                                                                                                                 \
    auto &&left = (a);                                                                                                 \
    auto &&right = (b);                                                                                                \
    if (!(left == right))                                                                                              \
      check::failure(__FILE__, __LINE__, #a " is " + check::show(left) + " but must be " + check::show(right));        \
  } while (0)
#define CHECK_CONTAINS(text, part)                                                                                     \
  do {                                                                                                                 \
    if (std::string(text).find(part) == std::string::npos)                                                             \
      check::failure(__FILE__, __LINE__, "'" + std::string(text) + "' does not contain '" part "'");                   \
  } while (0)
#endif
