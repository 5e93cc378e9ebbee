// tenon bench: how long a call takes.
#include "Profile.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/JSON.h"
#include <algorithm>
#include <chrono>
#include <numeric>

namespace tenon::driver {

/// Milliseconds of `calls` calls after a warm-up; by time when `calls` is 0.
static llvm::Expected<std::vector<double>> measure(Program &program, std::vector<TensorBuffer> &inputs,
                                                   std::vector<TensorBuffer> &outputs, const BenchCommand &command,
                                                  llvm::ArrayRef<int64_t> symbols, std::optional<Profile> &profile) {
  using Clock = std::chrono::steady_clock;
  auto milliseconds = [](Clock::duration d) { return std::chrono::duration<double, std::milli>(d).count(); };
  std::vector<llvm::SmallVector<int64_t, 6>> bounds; // a call overwrites the sizes that the data decide
  for (TensorBuffer &output : outputs)
    bounds.push_back(output.dims);
  auto callOnce = [&]() -> llvm::Expected<double> {
    for (auto [output, dims] : llvm::zip(outputs, bounds))
      output.dims = dims;
    Clock::time_point start = Clock::now();
    if (llvm::Error error = program.call(inputs, outputs))
      return std::move(error);
    return milliseconds(Clock::now() - start);
  };
  Clock::time_point start = Clock::now();
  double warmUp = std::min(300.0, command.seconds * 300);
  for (unsigned i = 0; i < 3 || (i < 1000 && milliseconds(Clock::now() - start) < warmUp); ++i) {
    llvm::Expected<double> time = callOnce();
    if (!time)
      return time.takeError();
    if (i == 0 && *time > 1000)
      break;
  }
  std::vector<double> times;
  std::unique_ptr<Sampler> sampler;
  if (command.profile) {
    llvm::Expected<std::unique_ptr<Sampler>> started = Sampler::start(program, symbols);
    if (!started)
      return started.takeError();
    sampler = std::move(*started);
  }
  start = Clock::now();
  while (command.calls ? times.size() < command.calls
                       : times.size() < 5 || milliseconds(Clock::now() - start) < command.seconds * 1000) {
    llvm::Expected<double> time = callOnce();
    if (!time)
      return time.takeError();
    times.push_back(*time);
    if (times.size() >= 10'000'000)
      break;
  }
  if (sampler) {
    llvm::Expected<Profile> found = sampler->finish(times.size(), milliseconds(Clock::now() - start));
    if (!found)
      return found.takeError();
    profile = std::move(*found);
  }
  return times;
}

int bench(const BenchCommand &command) {
  Program program;
  if (llvm::Error error = program.open(command.file, command.variant, command.device, command.cache, command.threads))
    return fail(std::move(error));
  if (llvm::Error error = program.chooseEntry(command.entry))
    return fail(std::move(error));
  auto inputs = program.makeInputs(command, /*inventMissing=*/true);
  if (!inputs)
    return fail(inputs.takeError());
  auto symbols = program.bind(*inputs);
  if (!symbols)
    return fail(symbols.takeError());
  auto outputs = program.makeOutputs(*inputs);
  if (!outputs)
    return fail(outputs.takeError());
  if (llvm::Error error = program.startSession(command.threads))
    return fail(std::move(error));
  std::optional<Profile> profile;
  auto times = measure(program, *inputs, *outputs, command, *symbols, profile);
  if (!times)
    return fail(times.takeError());

  std::vector<double> &sorted = *times;
  std::sort(sorted.begin(), sorted.end());
  double mean = std::accumulate(sorted.begin(), sorted.end(), 0.0) / static_cast<double>(sorted.size());
  double median = sorted.size() % 2 ? sorted[sorted.size() / 2]
                                    : (sorted[sorted.size() / 2 - 1] + sorted[sorted.size() / 2]) / 2;
  double p95 = sorted[std::min(sorted.size() - 1, sorted.size() * 95 / 100)];
  uint32_t threads = tn_session_threads(program.sessionHandle());
  tn_memory_needs_t memory = {};
  memory.struct_bytes = sizeof memory;
  tn_session_memory(program.sessionHandle(), &memory);
  tn_program_info_t info = {};
  info.struct_bytes = sizeof info;
  tn_program_info(program.handle(), &info);
  tn_variant_info_t variant = {};
  variant.struct_bytes = sizeof variant;
  tn_error_t failure = TN_ERROR_INIT;
  if (tn_variant_info(program.handle(), info.variant, &variant, &failure) != TN_OK)
    return fail(failure.message);

  if (!command.json) {
    llvm::outs() << program.where() << ": min " << formatNumber(sorted.front()) << " ms, median "
                 << formatNumber(median) << " ms, mean " << formatNumber(mean) << " ms, 95% " << formatNumber(p95)
                 << " ms (" << sorted.size() << " calls, " << threads << (threads == 1 ? " thread, " : " threads, ")
                 << variant.name << ", arena " << formatBytes(memory.arena_bytes) << ")\n";
    if (profile)
      printProfile(*profile, llvm::outs());
    return Done;
  }
  llvm::json::OStream json(llvm::outs());
  json.object([&] {
    json.attribute("min_ms", sorted.front());
    json.attribute("median_ms", median);
    json.attribute("mean_ms", mean);
    json.attribute("p95_ms", p95);
    json.attribute("calls", sorted.size());
    json.attribute("threads", threads);
    json.attribute("variant", variant.name);
    json.attribute("entry", program.entryName());
    json.attribute("arena_bytes", memory.arena_bytes);
    json.attribute("scratch_bytes", memory.scratch_bytes);
    json.attribute("state_bytes", memory.state_bytes);
    json.attribute("constants_bytes", memory.constants_bytes);
    json.attributeObject("inputs", [&] {
      for (auto [slot, input] : llvm::zip(program.inputs(), *inputs))
        json.attributeArray(slot.name, [&] {
          for (int64_t dim : input.dims)
            json.value(dim);
        });
    });
    if (profile)
      writeProfile(*profile, json);
  });
  llvm::outs() << "\n";
  return Done;
}

} // namespace tenon::driver
