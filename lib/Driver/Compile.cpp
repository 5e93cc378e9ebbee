// tenon compile: a model to a file.
#include "Model.h"
#include "Report.h"
#include "Targets.h"
#include "tenon/Driver/Commands.h"
#include "tenon/Pipelines/Compile.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Process.h"
#include <chrono>

using namespace mlir;

namespace tenon::driver {

/// Whether the output can be made at all; found out before minutes of work.
static llvm::Error checkOutput(StringRef output, StringRef model) {
  auto error = [](const llvm::Twine &text) { return llvm::createStringError(llvm::inconvertibleErrorCode(), text); };
  if (output.empty())
    return error("no output file is given; use -o FILE");
  if (llvm::sys::fs::is_directory(output))
    return error(output + ": is a directory but a file name was expected");
  if (llvm::sys::fs::equivalent(output, model))
    return error(output + ": is the model itself");
  StringRef directory = llvm::sys::path::parent_path(output);
  if (!directory.empty() && !llvm::sys::fs::is_directory(directory))
    return error(directory + ": there is no such directory");
  return llvm::Error::success();
}

static llvm::Expected<CompileOptions> makeOptions(const CompileCommand &command, MLIRContext *context) {
  auto error = [](const llvm::Twine &text) { return llvm::createStringError(llvm::inconvertibleErrorCode(), text); };
  CompileOptions options;
  options.output = command.output;
  options.threads = command.threads;
  options.producer = "tenon " TENON_VERSION;
  std::optional<EmitKind> emit = parseEmitKind(command.emit);
  if (!emit)
    return error("--emit=" + command.emit + " is not known but should be tenon, obj, so, mlir, llvm, asm, ptx, cubin, hsaco or spirv");
  options.emit = *emit;
  if (!command.stopAfter.empty() && !(options.stopAfter = parsePhase(command.stopAfter)))
    return error("--stop-after=" + command.stopAfter + " is not a phase; the phases are " + phaseNames());
  for (const std::string &name : command.dumpIR) {
    std::optional<Phase> phase = parsePhase(name);
    if (!phase)
      return error("--dump-ir=" + name + " is not a phase; the phases are " + phaseNames());
    options.dumpAfter.push_back(*phase);
  }
  llvm::Expected<std::vector<CompileTarget>> targets = parseTargets(context, command.targets);
  if (!targets)
    return targets.takeError();
  options.targets = std::move(*targets);
  return options;
}

static void printTiming(const CompileStatistics &statistics, double importSeconds) {
  Table table({"phase", "seconds"});
  auto add = [&](StringRef name, double seconds) {
    std::string text;
    llvm::raw_string_ostream(text) << llvm::format("%.3f", seconds);
    table.add({name.str(), text});
  };
  add("import", importSeconds);
  for (auto [phase, seconds] : statistics.seconds)
    if (phase != Phase::Import)
      add(phaseName(phase), seconds);
  table.print(llvm::errs());
}

/// The model's entry, or one for each NAME=MODEL.
static llvm::Expected<std::vector<EntrySource>> parseEntries(const CompileCommand &command) {
  auto error = [](const llvm::Twine &text) { return llvm::createStringError(llvm::inconvertibleErrorCode(), text); };
  std::vector<EntrySource> entries;
  for (StringRef text : command.entries) {
    auto [name, path] = text.split('=');
    bool isNamed = text.contains('=');
    if (name.empty() || (isNamed && path.empty()) || (isNamed ? !command.model.empty() : command.entries.size() > 1))
      return error("--entry=" + text + " is not NAME with a model, and not one of several NAME=MODEL without");
    if (!isNamed && command.model.empty())
      return error("--entry=" + text + " names no model");
    for (const EntrySource &other : entries)
      if (other.name == name)
        return error("--entry=" + text + " is the second entry of that name");
    entries.push_back({name.str(), isNamed ? path.str() : command.model});
  }
  if (entries.empty() && command.model.empty())
    return error("no model is given");
  return entries;
}

int compile(const CompileCommand &command) {
  llvm::Expected<std::vector<EntrySource>> entries = parseEntries(command);
  if (!entries)
    return fail(entries.takeError());
  // Without a name, an entry is what the model says.
  bool isSingle = !command.model.empty();
  std::string title = isSingle ? command.model : entries->front().path;
  for (const EntrySource &entry : *entries)
    if (llvm::Error error = checkOutput(command.output, entry.path))
      return fail(std::move(error));
  if (llvm::Error error = checkOutput(command.output, title))
    return fail(std::move(error));
  Context context(command.threads);
  llvm::Expected<CompileOptions> options = makeOptions(command, context.get());
  if (!options)
    return fail(options.takeError());
  Progress progress(!command.quiet);
  DiagnosticPrinter diagnostics(context.get(), title, &progress);
  options->progress = [&](Phase phase, double share) { progress.show(phaseName(phase), share); };

  auto start = std::chrono::steady_clock::now();
  auto seconds = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); };
  progress.show("import", 0);
  Model model;
  int status = isSingle ? loadModel(command.model, entries->empty() ? "main" : entries->front().name, context.get(), model)
                        : loadEntries(*entries, context.get(), model);
  if (status) {
    progress.clear();
    if (status == Unsupported || diagnostics.errors() != 0)
      llvm::errs() << "tenon: error: cannot compile '" << title << "'"
                   << (status == Unsupported ? ": it uses what is not supported" : "") << "\n";
    return status;
  }
  double importSeconds = seconds();
  CompileStatistics statistics;
  LogicalResult result = compile(*model.module, *model.weights, *options, &statistics);
  progress.clear();
  if (failed(result)) {
    bool isUnsupported = diagnostics.unsupported() != 0;
    llvm::errs() << "tenon: error: cannot compile '" << title << "'"
                 << (isUnsupported ? ": it uses what is not supported" : "") << "\n";
    return isUnsupported ? Unsupported : Failed;
  }
  if (command.timing)
    printTiming(statistics, importSeconds);
  if (!command.quiet && llvm::sys::Process::StandardErrIsDisplayed()) {
    uint64_t bytes = 0;
    (void)llvm::sys::fs::file_size(command.output, bytes);
    llvm::errs() << command.output << ": " << formatBytes(bytes) << ", " << statistics.kernels << " kernels, "
                 << formatBytes(statistics.codeBytes) << " of code, " << llvm::format("%.1f s\n", seconds());
  }
  return Done;
}

} // namespace tenon::driver
