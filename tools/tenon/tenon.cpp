//===- tenon.cpp - the command line of tenon ------------------------------===//
#include "tenon/Driver/Commands.h"
#include "CLI/CLI.hpp"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Signals.h"
#include <iostream>

using namespace tenon::driver;

static void addCompile(CLI::App &app, int &status) {
  auto *sub = app.add_subcommand("compile", "Turn a model into a .tenon file");
  auto c = std::make_shared<CompileCommand>();
  sub->add_option("model", c->model, "Model: .pt2 of torch.export, .onnx, or .mlir of the graph dialect");
  sub->add_option("-o,--output", c->output, "File to write")->required();
  sub->add_option("--target", c->targets,
                  "cpu (this machine), cpu:portable, cpu:x86-64-v2, cpu:x86-64-v3, cpu:x86-64-v4; may be repeated")
      ->allow_extra_args(false);
  sub->add_option("--emit", c->emit, "tenon (default), obj, so, mlir, llvm, asm, ptx, cubin, hsaco, or spirv (a folder)");
  sub->add_option("--stop-after", c->stopAfter, "Write the IR after this phase");
  sub->add_option("--dump-ir", c->dumpIR, "Print the IR after this phase; may be repeated")->allow_extra_args(false);
  sub->add_option("--threads", c->threads, "Threads of the compiler; 0: all");
  sub->add_option("--entry", c->entries,
                  "Name of the entry point (default: main); or NAME=MODEL, repeated: several models in one file")
      ->allow_extra_args(false);
  sub->add_flag("--timing", c->timing, "Print how long each phase took");
  sub->add_flag("-q,--quiet", c->quiet, "No progress");
  sub->callback([c, &status] { status = compile(*c); });
}

static void addProgramOptions(CLI::App *sub, ProgramOptions &options) {
  sub->add_option("--input", options.inputs, "[NAME=]@FILE.npy, [NAME=]random[:SEED] or [NAME=]splat:VALUE, in order")
      ->allow_extra_args(false);
  sub->add_option("--symbol,--dim", options.symbols, "NAME=SIZE, for inputs without a file")->allow_extra_args(false);
  sub->add_option("--threads", options.threads, "Threads of the call; 0: all");
  sub->add_option("--entry", options.entry, "Entry point, when there are several");
  sub->add_option("--variant", options.variant, "Variant to use instead of the best for this CPU");
  sub->add_option("--device", options.device, "cpu, cuda, rocm, vulkan, or vulkan:1 for the second one; else the file's first that is here");
  sub->add_option("--cache", options.cache, "Folder where a device's driver keeps what it compiled for the next time");
}

static void addRun(CLI::App &app, int &status) {
  auto *sub = app.add_subcommand("run", "Run a .tenon file once");
  auto c = std::make_shared<RunCommand>();
  sub->add_option("file", c->file, "The .tenon file")->required();
  addProgramOptions(sub, *c);
  sub->add_option("--output", c->outputs, "[NAME=]@FILE.npy, in order; none: print a summary")->allow_extra_args(false);
  sub->add_option("--load-state", c->loadState, "File that an earlier --save-state wrote: what the model's state is");
  sub->add_option("--save-state", c->saveState, "File to write the model's state to, after the call");
  sub->add_option("--seed", c->seed, "Seed of the model's random numbers (default: 0)");
  sub->callback([c, &status] { status = run(*c); });
}

static void addBench(CLI::App &app, int &status) {
  auto *sub = app.add_subcommand("bench", "Measure a .tenon file, or a kernel (.mlir) that 'extract' wrote");
  auto c = std::make_shared<BenchCommand>();
  auto target = std::make_shared<std::string>("cpu");
  sub->add_option("file", c->file, "The .tenon file, or a kernel's .mlir")->required();
  addProgramOptions(sub, *c);
  sub->add_flag("--json", c->json, "Print one JSON object");
  sub->add_flag("--profile", c->profile, "Also show how the time divides among the kernels");
  sub->add_option("--calls", c->calls, "Number of calls (default: as many as --seconds needs)");
  sub->add_option("--seconds", c->seconds, "Time to measure for (default: 1)")->check(CLI::Range(0.0, 3600.0));
  sub->add_option("--target", *target, "For a kernel: what to compile it for");
  sub->callback([c, target, &status] {
    if (!llvm::StringRef(c->file).ends_with(".mlir")) {
      status = bench(*c);
      return;
    }
    KernelCommand kernel;
    kernel.file = c->file;
    kernel.target = *target;
    kernel.threads = c->threads ? c->threads : 1;
    kernel.json = c->json;
    kernel.seconds = c->seconds;
    status = benchKernel(kernel);
  });
}

static void addInspect(CLI::App &app, int &status) {
  auto *sub = app.add_subcommand("inspect", "Show what is in a .tenon file");
  auto c = std::make_shared<InspectCommand>();
  sub->add_option("file", c->file, "The .tenon file")->required();
  sub->add_flag("--json", c->json, "Print one JSON object");
  sub->callback([c, &status] { status = inspect(*c); });
}

static void addCheck(CLI::App &app, int &status) {
  auto *sub = app.add_subcommand("check", "List everything in a model that is not supported or slow, and what it will need");
  auto c = std::make_shared<CheckCommand>();
  sub->add_option("model", c->model, "The model")->required();
  sub->add_option("--symbol,--dim", c->symbols, "NAME=SIZE of a symbolic size, for the figures")->allow_extra_args(false);
  sub->add_option("--threads", c->threads, "Threads of the compiler; 0: all");
  sub->add_flag("--json", c->json, "Print one JSON object");
  sub->callback([c, &status] { status = check(*c); });
}

static void addExtract(CLI::App &app, int &status) {
  auto *sub = app.add_subcommand("extract", "Cut one kernel out of a model");
  auto c = std::make_shared<ExtractCommand>();
  sub->add_option("model", c->model, "The model")->required();
  sub->add_option("--kernel", c->kernel, "Name of the kernel, as 'inspect' shows it");
  sub->add_option("-o,--output", c->output, "The .mlir file to write");
  sub->add_option("--symbol,--dim", c->symbols, "NAME=SIZE, for symbolic sizes")->allow_extra_args(false);
  sub->add_option("--target", c->target, "Target whose kernels are meant (default: cpu)");
  sub->add_flag("--list", c->list, "Print the names of all kernels");
  sub->callback([c, &status] { status = extract(*c); });
}

static void addVerify(CLI::App &app, int &status) {
  auto *sub = app.add_subcommand("verify", "Compare a kernel (.mlir) with the reference interpreter");
  auto c = std::make_shared<KernelCommand>();
  sub->add_option("file", c->file, "The kernel that 'extract' wrote")->required();
  sub->add_option("--target", c->target, "What to compile it for (default: cpu)");
  sub->add_option("--threads", c->threads, "Threads of the call");
  sub->add_option("--tolerance", c->tolerance, "Largest error relative to the largest value (default: by the type)");
  sub->add_option("--seed", c->seed, "Of the inputs");
  sub->add_flag("--json", c->json, "Print one JSON object");
  sub->callback([c, &status] { status = verifyKernel(*c); });
}

int main(int argc, char **argv) {
  llvm::sys::PrintStackTraceOnErrorSignal(argv[0]);
  CLI::App app("tenon: compiles trained models ahead of time, and runs what it compiled");
  app.name("tenon");
  app.require_subcommand(1);
  app.set_version_flag("--version", [] {
    version(/*json=*/false);
    return std::string();
  });
  int status = Done;
  addCompile(app, status);
  addRun(app, status);
  addBench(app, status);
  addInspect(app, status);
  addCheck(app, status);
  addExtract(app, status);
  addVerify(app, status);
  auto *versionCommand = app.add_subcommand("version", "Show what this build is");
  auto versionJson = std::make_shared<bool>(false);
  versionCommand->add_flag("--json", *versionJson, "Print one JSON object");
  versionCommand->callback([versionJson, &status] { status = version(*versionJson); });
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success &done) {
    return app.exit(done);
  } catch (const CLI::ParseError &error) {
    std::cerr << "tenon: error: " << error.what() << "; 'tenon --help' shows what there is\n";
    return Failed;
  }
  return status;
}
