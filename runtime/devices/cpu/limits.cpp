// How many threads this process may use: CPU affinity and cgroup quota (v2 and v1).
#include "pool.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

namespace tenon::rt {

// Reads a small file; false when there is none.
static bool readSmall(const char *path, char *text, size_t capacity) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0)
    return false;
  ssize_t count = read(file, text, capacity - 1);
  close(file);
  text[count > 0 ? count : 0] = 0;
  return count > 0;
}

static uint32_t affinityThreads() {
  // Machines with more than 1024 CPUs need a larger set.
  unsigned long set[8192 / (8 * sizeof(unsigned long))] = {};
  int bytes = sched_getaffinity(0, sizeof(set), reinterpret_cast<cpu_set_t *>(set)) == 0 ? int(sizeof(set)) : 0;
  uint32_t count = 0;
  for (int i = 0; i < bytes / int(sizeof(set[0])); ++i)
    count += static_cast<uint32_t>(__builtin_popcountl(set[i]));
  return count ? count : 1;
}

static uint32_t quotaToThreads(long long quota, long long period, uint32_t limit) {
  if (quota <= 0 || period <= 0)
    return limit;
  long long threads = (quota + period - 1) / period;
  return threads < limit ? static_cast<uint32_t>(threads < 1 ? 1 : threads) : limit;
}

// Every group up to the root may set a quota; the smallest counts.
static uint32_t groupThreads(const char *mount, char *group, bool unified, uint32_t limit) {
  char path[768], text[128];
  for (;;) {
    long long quota = 0, period = 0;
    if (unified) {
      snprintf(path, sizeof(path), "%s%s/cpu.max", mount, group);
      if (readSmall(path, text, sizeof(text)) && sscanf(text, "%lld %lld", &quota, &period) == 2)
        limit = quotaToThreads(quota, period, limit);
    } else {
      snprintf(path, sizeof(path), "%s%s/cpu.cfs_quota_us", mount, group);
      if (readSmall(path, text, sizeof(text)))
        quota = atoll(text);
      snprintf(path, sizeof(path), "%s%s/cpu.cfs_period_us", mount, group);
      if (quota > 0 && readSmall(path, text, sizeof(text)))
        limit = quotaToThreads(quota, atoll(text), limit);
    }
    char *slash = strrchr(group, '/');
    if (!slash)
      return limit;
    *slash = 0;
  }
}

static uint32_t cgroupThreads(uint32_t limit) {
  char text[4096];
  if (!readSmall("/proc/self/cgroup", text, sizeof(text)))
    return limit;
  for (char *line = text, *next; line && *line; line = next) {
    next = strchr(line, '\n');
    if (next)
      *next++ = 0;
    char *controllers = strchr(line, ':');
    char *group = controllers ? strchr(controllers + 1, ':') : nullptr;
    if (!group)
      continue;
    *group++ = 0;
    ++controllers;
    if (strlen(group) > 500)
      continue;
    if (strcmp(group, "/") == 0)
      *group = 0;
    if (*controllers == 0)
      limit = groupThreads("/sys/fs/cgroup", group, true, limit);
    else if (strcmp(controllers, "cpu") == 0 || strcmp(controllers, "cpu,cpuacct") == 0)
      limit = groupThreads("/sys/fs/cgroup/cpu", group, false, limit);
  }
  return limit;
}

uint32_t hardwareThreads() {
  static std::atomic<uint32_t> known{0};
  uint32_t threads = known.load(std::memory_order_relaxed);
  if (threads == 0) {
    threads = cgroupThreads(affinityThreads());
    threads = threads < maxThreads ? threads : maxThreads;
    known.store(threads, std::memory_order_relaxed);
  }
  return threads;
}

} // namespace tenon::rt

extern "C" uint32_t tn_hardware_threads(void);
extern "C" __attribute__((visibility("default"))) uint32_t tn_hardware_threads(void) {
  return tenon::rt::hardwareThreads();
}
