// Timers that interrupt each thread; the handler stores where it was. Needs no rights and no change of the code.
#include "Profile.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include <algorithm>
#include <atomic>
#include <csignal>
#include <ctime>
#include <elf.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

namespace tenon::driver {

static constexpr long kPeriodNanoseconds = 500'000;
static constexpr size_t kMostSamples = 1 << 20;

namespace {
struct Sample {
  uint64_t address;
  bool isCaller;
};
/// What the handler writes to: it may not allocate.
struct Samples {
  std::vector<Sample> places;
  std::atomic<size_t> used{0};
};
} // namespace

static Samples *active;

static void handleSignal(int, siginfo_t *info, void *context) {
  Samples *samples = active;
  if (!samples)
    return;
  size_t at = samples->used.fetch_add(1, std::memory_order_relaxed);
  if (at >= samples->places.size())
    return;
  uint64_t address = 0;
#if defined(__x86_64__)
  address = static_cast<ucontext_t *>(context)->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
  address = static_cast<ucontext_t *>(context)->uc_mcontext.pc;
#endif
  samples->places[at] = {address, info->si_value.sival_int == 1};
}

/// The image is mapped from the program's file, its code as the only executable part.
llvm::Error Sampler::findImage() {
  auto maps = llvm::MemoryBuffer::getFileAsStream("/proc/self/maps");
  if (!maps)
    return llvm::createStringError("cannot read /proc/self/maps: " + maps.getError().message());
  tn_program_info_t info = {};
  info.struct_bytes = sizeof info;
  tn_program_info(program.handle(), &info);
  tn_variant_info_t variant = {};
  variant.struct_bytes = sizeof variant;
  tn_error_t failure = TN_ERROR_INIT;
  tn_segment_info_t segment = {};
  segment.struct_bytes = sizeof segment;
  if (tn_variant_info(program.handle(), info.variant, &variant, &failure) != TN_OK ||
      tn_segment_info(program.handle(), variant.image_segment, &segment, &failure) != TN_OK)
    return llvm::createStringError(failure.message);
  llvm::SmallString<128> path;
  if (std::error_code error = llvm::sys::fs::real_path(program.path(), path))
    return llvm::createStringError("cannot find '" + program.path() + "': " + error.message());
  llvm::SmallVector<llvm::StringRef> lines;
  (*maps)->getBuffer().split(lines, '\n');
  for (llvm::StringRef line : lines) {
    // begin-end rights offset device inode path
    llvm::SmallVector<llvm::StringRef, 6> fields;
    line.split(fields, ' ', 5, /*KeepEmpty=*/false);
    if (fields.size() < 6 || !fields[1].contains('x') || fields[5].trim() != path)
      continue;
    auto [low, high] = fields[0].split('-');
    uint64_t begin = 0, offset = 0;
    if (low.getAsInteger(16, begin) || high.getAsInteger(16, end) || fields[2].getAsInteger(16, offset))
      continue;
    // The image's headers say how far from its base that part of the file lies.
    auto image = llvm::MemoryBuffer::getFileSlice(path, segment.bytes, segment.offset);
    if (!image)
      return llvm::createStringError("cannot read '" + program.path() + "': " + image.getError().message());
    const char *bytes = (*image)->getBufferStart();
    Elf64_Ehdr header;
    std::memcpy(&header, bytes, sizeof header); // the runtime has checked it all
    for (unsigned i = 0; i < header.e_phnum; ++i) {
      Elf64_Phdr part;
      std::memcpy(&part, bytes + header.e_phoff + i * sizeof part, sizeof part);
      uint64_t inFile = segment.offset + part.p_offset;
      if (part.p_type == PT_LOAD && (part.p_flags & PF_X) && offset <= inFile && inFile - offset < end - begin) {
        base = begin + (inFile - offset) - part.p_vaddr;
        return llvm::Error::success();
      }
    }
  }
  return llvm::createStringError("cannot find the program's code in memory");
}

llvm::Error Sampler::startTimers() {
  struct sigaction action = {};
  action.sa_sigaction = handleSignal;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  if (sigaction(SIGPROF, &action, nullptr) != 0)
    return llvm::createStringError("cannot handle the profiler's signal");
  std::error_code error;
  pid_t self = static_cast<pid_t>(syscall(SYS_gettid));
  for (llvm::sys::fs::directory_iterator it("/proc/self/task", error), last; it != last && !error; it.increment(error)) {
    pid_t thread = 0;
    if (llvm::sys::path::filename(it->path()).getAsInteger(10, thread))
      continue;
    sigevent event = {};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGPROF;
    event.sigev_value.sival_int = thread == self;
#ifdef sigev_notify_thread_id
    event.sigev_notify_thread_id = thread;
#else
    event._sigev_un._tid = thread;
#endif
    timer_t timer;
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0)
      return llvm::createStringError("cannot start the profiler's timer");
    timers.push_back(timer);
    itimerspec period = {{0, kPeriodNanoseconds}, {0, kPeriodNanoseconds}};
    timer_settime(timer, 0, &period, nullptr);
  }
  return llvm::Error::success();
}

void Sampler::stopTimers() {
  for (void *timer : timers)
    timer_delete(static_cast<timer_t>(timer));
  timers.clear();
}

llvm::Expected<std::unique_ptr<Sampler>> Sampler::start(Program &program, llvm::ArrayRef<int64_t> symbols) {
  std::unique_ptr<Sampler> sampler(new Sampler(program, symbols));
  if (llvm::Error error = sampler->findImage())
    return std::move(error);
  // Signals that are still under way may arrive after the sampler is gone: its memory stays.
  if (!active) {
    auto *samples = new Samples;
    samples->places.resize(kMostSamples);
    active = samples;
  }
  active->used = 0;
  if (llvm::Error error = sampler->startTimers())
    return std::move(error);
  return sampler;
}

Sampler::~Sampler() { stopTimers(); }

llvm::Expected<Profile> Sampler::finish(uint64_t runs, double milliseconds) {
  stopTimers();
  Profile profile;
  tn_program_info_t info = {};
  info.struct_bytes = sizeof info;
  tn_program_info(program.handle(), &info);
  struct Range {
    uint64_t begin, end;
    size_t kernel;
  };
  std::vector<Range> ranges;
  for (uint32_t k = 0; k < tn_kernel_count(program.handle(), info.variant, program.entryIndex()); ++k) {
    tn_kernel_info_t kernel = {};
    kernel.struct_bytes = sizeof kernel;
    tn_error_t failure = TN_ERROR_INIT;
    if (tn_kernel_info(program.handle(), info.variant, program.entryIndex(), k, symbols.data(), symbols.size(),
                       &kernel, &failure) != TN_OK)
      return llvm::createStringError(failure.message);
    if (kernel.code_address == 0)
      return llvm::createStringError("'" + program.path() + "' does not say where its kernels are: compile it again");
    ranges.push_back({base + kernel.code_address, base + kernel.code_address + kernel.code_bytes, k});
    KernelShare share;
    share.name = kernel.name;
    share.origin = kernel.origin;
    share.calls = kernel.calls;
    share.flops = kernel.flops;
    share.bytes = kernel.bytes_moved;
    profile.kernels.push_back(std::move(share));
  }
  std::vector<uint64_t> caller(ranges.size()), workers(ranges.size());
  uint64_t inDriver = 0, outside = 0;
  size_t count = std::min(active->used.load(), active->places.size());
  for (size_t i = 0; i < count; ++i) {
    const Sample &sample = active->places[i];
    profile.samples += sample.isCaller;
    auto range = std::find_if(ranges.begin(), ranges.end(), [&](const Range &range) {
      return sample.address >= range.begin && sample.address < range.end;
    });
    if (range != ranges.end())
      ++(sample.isCaller ? caller : workers)[range->kernel];
    else if (sample.isCaller)
      ++(sample.address >= base && sample.address < end ? inDriver : outside);
  }
  if (profile.samples == 0 || runs == 0)
    return llvm::createStringError("no samples were taken: measure for longer (--seconds)");
  double each = milliseconds / static_cast<double>(runs) / static_cast<double>(profile.samples);
  for (auto [i, kernel] : llvm::enumerate(profile.kernels)) {
    kernel.milliseconds = static_cast<double>(caller[i]) * each;
    kernel.workerMilliseconds = static_cast<double>(workers[i]) * each;
  }
  profile.driverMilliseconds = static_cast<double>(inDriver) * each;
  profile.outsideMilliseconds = static_cast<double>(outside) * each;
  llvm::stable_sort(profile.kernels, [](const KernelShare &a, const KernelShare &b) {
    return a.milliseconds + a.workerMilliseconds > b.milliseconds + b.workerMilliseconds;
  });
  return profile;
}

/// Work per second in units of 10^9, over the time that all threads spent in the kernel.
static std::string rate(int64_t perCall, const KernelShare &kernel) {
  double spent = kernel.milliseconds + kernel.workerMilliseconds;
  if (perCall < 0 || spent <= 0)
    return "";
  return formatNumber(static_cast<double>(perCall) * kernel.calls / spent / 1e6);
}

void printProfile(const Profile &profile, llvm::raw_ostream &os) {
  double total = profile.driverMilliseconds + profile.outsideMilliseconds;
  for (const KernelShare &kernel : profile.kernels)
    total += kernel.milliseconds;
  auto share = [&](double milliseconds) {
    std::string text;
    llvm::raw_string_ostream(text) << llvm::format("%.1f%%", 100 * milliseconds / total);
    return text;
  };
  Table table({"kernel", "calls", "ms", "share", "ms of workers", "Gflop/s/thread", "GB/s/thread", "from"});
  for (const KernelShare &kernel : profile.kernels)
    table.add({kernel.name, std::to_string(kernel.calls), formatNumber(kernel.milliseconds), share(kernel.milliseconds),
               formatNumber(kernel.workerMilliseconds), rate(kernel.flops, kernel), rate(kernel.bytes, kernel),
               kernel.origin});
  table.add({"(between kernels)", "", formatNumber(profile.driverMilliseconds), share(profile.driverMilliseconds), "",
             "", "", ""});
  table.add({"(runtime, system, waiting)", "", formatNumber(profile.outsideMilliseconds),
             share(profile.outsideMilliseconds), "", "", "", ""});
  table.print(os);
  os << "  " << profile.samples << " samples of the calling thread\n";
}

void writeProfile(const Profile &profile, llvm::json::OStream &json) {
  json.attributeObject("profile", [&] {
    json.attribute("samples", static_cast<int64_t>(profile.samples));
    json.attribute("between_kernels_ms", profile.driverMilliseconds);
    json.attribute("outside_ms", profile.outsideMilliseconds);
    json.attributeArray("kernels", [&] {
      for (const KernelShare &kernel : profile.kernels)
        json.object([&] {
          json.attribute("name", kernel.name);
          json.attribute("calls", kernel.calls);
          json.attribute("ms", kernel.milliseconds);
          json.attribute("worker_ms", kernel.workerMilliseconds);
          json.attribute("flops", kernel.flops);
          json.attribute("bytes", kernel.bytes);
          json.attribute("origin", kernel.origin);
        });
    });
  });
}

} // namespace tenon::driver
