//===- tenon-fuzz.cpp - random graphs: interpreter against compiled code --===//
// Each seed makes a module of the graph dialect, which the reference interpreter evaluates in f64 and the compiler
// turns into a program that runs with 1 and 3 threads. What differs, fails to compile or fails to run is made smaller
// by leaving out steps of its recipe, and printed.
#include "Generator.h"
#include "dialects/Graph/IR/GraphDialect.h"
#include "lib/Driver/Model.h"
#include "lib/Driver/Program.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Verifier.h"
#include "tenon/Interp/Interpreter.h"
#include "tenon/Pipelines/Compile.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/InitLLVM.h"
#include <CLI/CLI.hpp>
#include <chrono>
#include <cmath>
#include <random>

using namespace mlir;
using namespace tenon;

namespace {
/// The command line. LLVM's parser would not do: the linker that compiling calls resets its options.
struct Settings {
  uint64_t firstSeed = 1;
  unsigned count = 100, steps = 10, maxFailures = 10;
  std::string level = "host";
  bool printOnly = false, keepsSize = false;

  void addTo(CLI::App &app);
};
} // namespace

void Settings::addTo(CLI::App &app) {
  app.add_option("--seed", firstSeed, "First seed");
  app.add_option("--count", count, "Number of seeds");
  app.add_option("--steps", steps, "Most steps of one graph")->check(CLI::PositiveNumber);
  app.add_option("--target", level, "CPU level to compile for");
  app.add_flag("--print", printOnly, "Print the module of the first seed and do nothing else");
  app.add_flag("--no-shrink", keepsSize, "Report failures as they are");
  app.add_option("--max-failures", maxFailures, "Stop after so many");
}

namespace {
/// Rounding differs along different ways through a graph, and errors grow from op to op: 1e-4 of the largest value, the
/// tolerance of the conformance suites.
constexpr double tolerance = 1e-4;

struct Outcome {
  std::string kind, message; ///< kind is empty when all agrees
};

/// Collects diagnostics instead of printing them.
class Collector {
public:
  explicit Collector(MLIRContext *context)
      : handler(context, [this](Diagnostic &diagnostic) {
          if (diagnostic.getSeverity() == DiagnosticSeverity::Error && text.size() < 2000)
            text += (text.empty() ? "" : "; ") + diagnostic.str();
          return success();
        }) {}
  std::string text;

private:
  ScopedDiagnosticHandler handler;
};

class TemporaryFile {
public:
  TemporaryFile() { (void)llvm::sys::fs::createTemporaryFile("tenon-fuzz", "tenon", path); }
  ~TemporaryFile() { llvm::sys::fs::remove(path); }
  SmallString<128> path;
};
} // namespace

/// Multiples of 1/8 in [-1, 1], integers in [-8, 8]: comparing, sorting and truncating them has one right answer.
static interp::Tensor makeInput(RankedTensorType type, ArrayRef<int64_t> shape, uint64_t seed) {
  interp::Tensor tensor(type.getElementType(), shape);
  std::mt19937_64 random(seed);
  if (tensor.form() == interp::Form::Int) {
    for (int64_t &value : tensor.mut<int64_t>())
      value = static_cast<int64_t>(random() % 17) - 8;
    return tensor;
  }
  for (double &value : tensor.mut<double>())
    value = (static_cast<double>(random() % 17) - 8) / 8;
  return tensor;
}

static std::string compare(const interp::Tensor &got, const interp::Tensor &want) {
  if (got.shape != want.shape)
    return "the shape differs";
  if (want.form() == interp::Form::Int) {
    for (auto [i, pair] : llvm::enumerate(llvm::zip(got.ints(), want.ints())))
      if (std::get<0>(pair) != std::get<1>(pair))
        return llvm::formatv("element {0} is {1}, the interpreter says {2}", i, std::get<0>(pair), std::get<1>(pair));
    return "";
  }
  double scale = 1e-2; // numbers near 1 may cancel: their roundings are left
  for (double value : want.floats())
    if (std::isfinite(value))
      scale = std::max(scale, std::fabs(value));
  for (auto [i, pair] : llvm::enumerate(llvm::zip(got.floats(), want.floats()))) {
    auto [a, b] = pair;
    bool isSame = std::isnan(b) ? std::isnan(a) : std::isinf(b) ? a == b : std::fabs(a - b) <= tolerance * scale;
    if (!isSame)
      return llvm::formatv("element {0} is {1}, the interpreter says {2} (largest value {3})", i, a, b, scale);
  }
  return "";
}

static llvm::Expected<std::vector<interp::Tensor>> execute(driver::Program &program, func::FuncOp function,
                                                           ArrayRef<interp::Tensor> inputs,
                                                           ArrayRef<interp::Tensor> shapes) {
  auto prepare = [](const interp::Tensor &tensor, tn_dtype_t dtype) -> llvm::Expected<driver::TensorBuffer> {
    driver::TensorBuffer buffer;
    buffer.dtype = dtype;
    buffer.dims.assign(tensor.shape.begin(), tensor.shape.end());
    if (llvm::Error error = buffer.allocate("tensor"))
      return error;
    std::vector<uint8_t> bytes = tensor.toBytes();
    std::memcpy(buffer.data(), bytes.data(), std::min(bytes.size(), buffer.bytes()));
    return buffer;
  };
  std::vector<driver::TensorBuffer> in, out;
  for (auto [tensor, slot] : llvm::zip(inputs, program.inputs())) {
    auto buffer = prepare(tensor, slot.dtype);
    if (!buffer)
      return buffer.takeError();
    in.push_back(std::move(*buffer));
  }
  auto made = program.makeOutputs(in);
  if (!made)
    return made.takeError();
  out = std::move(*made);
  for (driver::TensorBuffer &buffer : out) // what is not written must show
    std::memset(buffer.data(), 0x7f, buffer.bytes());
  if (llvm::Error error = program.call(in, out))
    return error;
  std::vector<interp::Tensor> results;
  for (auto [buffer, type] : llvm::zip(out, function.getResultTypes())) {
    auto tensor = interp::Tensor::fromBytes(cast<RankedTensorType>(type).getElementType(), buffer.dims,
                                            {buffer.data(), buffer.bytes()});
    if (!tensor)
      return tensor.takeError();
    results.push_back(*tensor);
  }
  return results;
}

static Outcome check(MLIRContext *context, const fuzz::Recipe &recipe, const std::string &level) {
  Collector collector(context);
  OwningOpRef<ModuleOp> module = fuzz::generate(context, recipe);
  if (failed(verify(*module)))
    return {"generator", collector.text};
  auto function = module->lookupSymbol<func::FuncOp>("main");
  WeightStore weights;
  // Sizes: one, two and a larger number of a symbol, each through the same program.
  std::vector<int64_t> sizes{-1};
  if (function->hasAttr("graph.symbols"))
    sizes = {1, static_cast<int64_t>(2 + recipe.seed % 30), 0};
  TemporaryFile file;
  OwningOpRef<ModuleOp> copy = module->clone();
  CompileOptions options;
  options.output = file.path.str().str();
  options.threads = 1;
  options.targets = {{level}};
  if (failed(compile(*copy, weights, options)))
    return {"compile", collector.text};
  interp::Interpreter interpreter(*module, interp::makeWeightProvider(weights));
  for (int64_t size : sizes) {
    std::vector<interp::Tensor> inputs;
    for (auto [i, type] : llvm::enumerate(function.getArgumentTypes())) {
      auto shape = interp::evaluateShape(cast<RankedTensorType>(type), {size < 0 ? std::nullopt : std::optional(size)});
      inputs.push_back(makeInput(cast<RankedTensorType>(type), *shape, recipe.seed * 31 + i));
    }
    std::string at = size < 0 ? "" : " with s0 = " + std::to_string(size);
    std::vector<int64_t> symbols;
    if (size >= 0)
      symbols.push_back(size);
    auto want = interpreter.run("main", inputs, symbols);
    if (failed(want))
      return {"interpreter", collector.text + at};
    std::vector<interp::Tensor> first;
    for (unsigned threads : {1u, 3u}) {
      driver::Program program;
      auto attempt = [&]() -> llvm::Expected<std::vector<interp::Tensor>> {
        if (llvm::Error error = program.open(options.output, "", "", threads))
          return error;
        if (llvm::Error error = program.chooseEntry("main"))
          return error;
        if (llvm::Error error = program.startSession(threads))
          return error;
        return execute(program, function, inputs, *want);
      };
      auto got = attempt();
      if (!got)
        return {"run", llvm::toString(got.takeError()) + at};
      for (auto [i, pair] : llvm::enumerate(llvm::zip(*got, *want)))
        if (std::string text = compare(std::get<0>(pair), std::get<1>(pair)); !text.empty())
          return {"differs", "output " + std::to_string(i) + at + ": " + text};
      if (threads == 1) {
        first = std::move(*got);
        continue;
      }
      for (auto [i, pair] : llvm::enumerate(llvm::zip(*got, first)))
        if (std::get<0>(pair).toBytes() != std::get<1>(pair).toBytes())
          return {"threads", "output " + std::to_string(i) + at + ": other bits with 3 threads than with 1"};
    }
  }
  return {};
}

/// Leaves out steps, then lowers the sizes, as long as the same kind of failure stays.
static fuzz::Recipe shrink(MLIRContext *context, fuzz::Recipe recipe, const std::string &kind, const std::string &level) {
  auto stillFails = [&](const fuzz::Recipe &candidate) { return check(context, candidate, level).kind == kind; };
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t i = recipe.steps.size(); i-- > 0;) {
      fuzz::Recipe candidate = recipe;
      candidate.steps.erase(candidate.steps.begin() + i);
      if (stillFails(candidate)) {
        recipe = std::move(candidate);
        changed = true;
      }
    }
  }
  for (int64_t size : {2, 4, 8}) {
    fuzz::Recipe candidate = recipe;
    candidate.maxSize = size;
    if (stillFails(candidate))
      return candidate;
  }
  return recipe;
}

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  CLI::App app("Random graphs through the interpreter and through compiled code");
  Settings settings;
  settings.addTo(app);
  CLI11_PARSE(app, argc, argv);
  driver::Context owner(1);
  MLIRContext *context = owner.get();
  unsigned failures = 0, done = 0;
  auto begin = std::chrono::steady_clock::now();
  for (uint64_t seed = settings.firstSeed;
       seed < settings.firstSeed + settings.count && failures < settings.maxFailures; ++seed, ++done) {
    fuzz::Recipe recipe;
    recipe.seed = seed;
    unsigned steps = 1 + static_cast<unsigned>(std::mt19937_64(seed)() % settings.steps);
    for (unsigned i = 0; i < steps; ++i)
      recipe.steps.push_back(i);
    if (settings.printOnly) {
      fuzz::generate(context, recipe)->print(llvm::outs());
      return 0;
    }
    Outcome outcome = check(context, recipe, settings.level);
    if (outcome.kind.empty())
      continue;
    ++failures;
    if (!settings.keepsSize) {
      recipe = shrink(context, recipe, outcome.kind, settings.level);
      outcome = check(context, recipe, settings.level);
    }
    llvm::outs() << "seed " << seed << ": " << outcome.kind << ": " << outcome.message << "\n";
    fuzz::generate(context, recipe)->print(llvm::outs());
    llvm::outs() << "\n";
    llvm::outs().flush();
  }
  double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  llvm::outs() << done << " graphs, " << failures << " failures, " << llvm::format("%.1f", seconds) << " s\n";
  return failures != 0;
}
