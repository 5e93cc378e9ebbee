//===- Commands.h - what the subcommands of `tenon` do --------------------===//
// One struct of options and one function per subcommand; tools/tenon fills the structs from the command line. Functions
// print to stdout what was asked for and to stderr what went wrong, and return the exit status of the process.
#ifndef TENON_DRIVER_COMMANDS_H
#define TENON_DRIVER_COMMANDS_H

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tenon::driver {

/// Exit statuses; scripts rely on them.
enum ExitStatus { Done = 0, Failed = 1, Unsupported = 3 };

struct CompileCommand {
  std::string model, output;
  std::vector<std::string> targets; ///< as written: "cpu", "cpu:portable", "cpu:x86-64-v3"
  std::string emit = "tenon", stopAfter;
  std::vector<std::string> dumpIR;
  unsigned threads = 0; ///< 0: all processors
  /// "NAME", of the model's entry, or "NAME=MODEL" for each of several
  std::vector<std::string> entries;
  bool quiet = false, timing = false;
};
int compile(const CompileCommand &command);

struct CheckCommand {
  std::string model;
  std::vector<std::string> symbols; ///< NAME=SIZE, for the figures
  unsigned threads = 0;
  bool json = false;
};
/// Everything in a model that is not supported, or makes it slow, at once; and what it will need.
int check(const CheckCommand &command);

/// What `run` and `bench` share.
struct ProgramOptions {
  std::string file, entry, variant, device, cache;
  /// "[NAME=]@FILE.npy", "[NAME=]random[:SEED]" or "[NAME=]splat:VALUE"
  std::vector<std::string> inputs;
  /// "s0=8": sizes for inputs that no file gives
  std::vector<std::string> symbols;
  unsigned threads = 0; ///< 0: all processors
};

struct RunCommand : ProgramOptions {
  std::vector<std::string> outputs;  ///< "[NAME=]@FILE.npy"
  std::string loadState, saveState; ///< files of the variables' values, before and after the call
  std::optional<uint64_t> seed;     ///< of random numbers
};
int run(const RunCommand &command);

struct BenchCommand : ProgramOptions {
  bool json = false;
  bool profile = false; ///< also how much of the time each kernel takes
  uint64_t calls = 0;   ///< 0: as many as `seconds` needs
  double seconds = 1.0; ///< at least
};
int bench(const BenchCommand &command);

struct InspectCommand {
  std::string file;
  bool json = false;
};
int inspect(const InspectCommand &command);

struct ExtractCommand {
  std::string model, kernel, output;
  std::string entry = "main", target = "cpu";
  std::vector<std::string> symbols; ///< sizes to fix, "s0=8"
  bool list = false;                ///< print the names of all kernels
};
/// Writes one kernel of a model as a module that stands alone.
int extract(const ExtractCommand &command);

struct KernelCommand {
  std::string file, target = "cpu";
  unsigned threads = 1;
  bool json = false;
  double seconds = 0.5;
  double tolerance = 0; ///< 0: by the type
  uint64_t seed = 0;
};
/// Time, share of the machine's peaks, spills and code size of a kernel that `extract` wrote.
int benchKernel(const KernelCommand &command);
/// Compares such a kernel with the reference interpreter.
int verifyKernel(const KernelCommand &command);

int version(bool json);

} // namespace tenon::driver
#endif
