// Where the time of calls goes: samples of every thread at a fixed rate, assigned to the kernels of an image.
#ifndef TENON_LIB_DRIVER_PROFILE_H
#define TENON_LIB_DRIVER_PROFILE_H

#include "Program.h"
#include "llvm/Support/JSON.h"

namespace tenon::driver {

/// What one kernel took of the calls that were sampled.
struct KernelShare {
  std::string name, origin;
  uint32_t calls = 0;            ///< per run of the entry
  double milliseconds = 0;       ///< of the calling thread, per run
  double workerMilliseconds = 0; ///< of all other threads together, per run
  int64_t flops = -1, bytes = -1; ///< per call; -1: unknown
};

struct Profile {
  std::vector<KernelShare> kernels; ///< the most expensive first
  double driverMilliseconds = 0;    ///< in the image's code between kernels, per run
  double outsideMilliseconds = 0;   ///< in the runtime, in the system or waiting, per run
  uint64_t samples = 0;             ///< of the calling thread
};

/// Samples the threads of this process from construction to `finish`. Only one can exist at a time.
class Sampler {
public:
  /// `threads` that exist now are sampled, about 2000 times a second each.
  static llvm::Expected<std::unique_ptr<Sampler>> start(Program &program, llvm::ArrayRef<int64_t> symbols);
  ~Sampler();
  /// Stops, and divides by `runs` that took `milliseconds` in all.
  llvm::Expected<Profile> finish(uint64_t runs, double milliseconds);

private:
  Sampler(Program &program, llvm::ArrayRef<int64_t> symbols) : program(program), symbols(symbols) {}
  llvm::Error startTimers();
  void stopTimers();
  llvm::Error findImage();

  Program &program;
  llvm::SmallVector<int64_t> symbols;
  std::vector<void *> timers;
  uint64_t base = 0, end = 0; ///< addresses of the image
};

/// A table for people; fields of the open JSON object for programs.
void printProfile(const Profile &profile, llvm::raw_ostream &os);
void writeProfile(const Profile &profile, llvm::json::OStream &json);

} // namespace tenon::driver
#endif
