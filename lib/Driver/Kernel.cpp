// tenon bench and tenon verify of a kernel that stands alone.
#include "Model.h"
#include "Peaks.h"
#include "Program.h"
#include "Report.h"
#include "Targets.h"
#include "tenon/Bundle/Link.h"
#include "tenon/Driver/Commands.h"
#include "tenon/Interp/Interpreter.h"
#include "tenon/Pipelines/Compile.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Regex.h"
#include <chrono>

using namespace mlir;

namespace tenon::driver {

namespace {
/// A kernel's module, compiled for one target into files that go away with it.
class KernelFile {
public:
  explicit KernelFile(const KernelCommand &command)
      : command(command), context(1), diagnostics(context.get(), command.file) {}
  ~KernelFile() {
    for (const std::string &path : temporary)
      llvm::sys::fs::remove(path);
  }

  /// Reads the module; `Done` or an exit status.
  int load();
  /// Compiles to a temporary file of that kind.
  llvm::Expected<std::string> build(EmitKind emit);
  /// Opens the program, with a session, and makes seeded inputs.
  llvm::Error open(Program &program, std::vector<TensorBuffer> &inputs, std::vector<TensorBuffer> &outputs);
  Model &getModel() { return model; }
  MLIRContext *getContext() { return context.get(); }
  func::FuncOp getMain() { return model.module->lookupSymbol<func::FuncOp>("main"); }

private:
  const KernelCommand &command;
  Context context;
  DiagnosticPrinter diagnostics;
  Model model;
  std::string level;
  std::vector<std::string> temporary;
};
} // namespace

static llvm::Error makeError(const llvm::Twine &text) {
  return llvm::createStringError(llvm::inconvertibleErrorCode(), text);
}

int KernelFile::load() {
  llvm::Expected<std::vector<CompileTarget>> levels = parseTargets(context.get(), {command.target});
  if (!levels)
    return fail(levels.takeError());
  level = levels->front().level;
  if (int status = loadModel(command.file, "main", context.get(), model))
    return status;
  if (!getMain())
    return fail(command.file + ": there is no function 'main'");
  return Done;
}

llvm::Expected<std::string> KernelFile::build(EmitKind emit) {
  SmallString<128> path;
  if (std::error_code code = llvm::sys::fs::createTemporaryFile("tenon-kernel", "out", path))
    return makeError("cannot make a temporary file: " + code.message());
  temporary.push_back(path.str().str());
  CompileOptions options;
  options.output = temporary.back();
  options.emit = emit;
  options.targets = {{level}};
  options.threads = 1;
  OwningOpRef<ModuleOp> copy = model.module->clone();
  if (failed(compile(*copy, *model.weights, options)))
    return makeError("cannot compile '" + command.file + "'");
  return temporary.back();
}

llvm::Error KernelFile::open(Program &program, std::vector<TensorBuffer> &inputs, std::vector<TensorBuffer> &outputs) {
  llvm::Expected<std::string> path = build(EmitKind::Bundle);
  if (!path)
    return path.takeError();
  if (llvm::Error error = program.open(*path, "", "", "", command.threads))
    return error;
  if (llvm::Error error = program.chooseEntry("main"))
    return error;
  if (llvm::Error error = program.startSession(command.threads))
    return error;
  ProgramOptions options;
  auto symbols = getMain()->getAttrOfType<ArrayAttr>("graph.symbols");
  auto sizes = getMain()->getAttrOfType<DenseI64ArrayAttr>("tenon.sizes");
  if (symbols && sizes)
    for (auto [symbol, size] : llvm::zip(symbols, sizes.asArrayRef()))
      options.symbols.push_back((cast<graph::SymbolAttr>(symbol).getName() + "=" + llvm::Twine(size)).str());
  for (const TensorSlot &slot : program.inputs())
    options.inputs.push_back(slot.name + "=random:" + std::to_string(command.seed));
  auto made = program.makeInputs(options, /*inventMissing=*/true);
  if (!made)
    return made.takeError();
  inputs = std::move(*made);
  auto results = program.makeOutputs(inputs);
  if (!results)
    return results.takeError();
  outputs = std::move(*results);
  return llvm::Error::success();
}

// ---- bench --------------------------------------------------------------------------------------------------------

/// Loads from the stack in the kernels' assembly: what did not fit in registers.
struct Spills {
  unsigned vector = 0, scalar = 0;
};

static Spills countSpills(StringRef assembly) {
  Spills spills;
  llvm::Regex isVector("^[[:space:]]v?[a-z0-9]+[[:space:]]+-?[0-9]*\\(%r[sb]p\\), .*%[xyz]mm");
  llvm::Regex isScalar("^[[:space:]](mov|add|sub|cmp|imul|lea)[a-z]*[[:space:]]+-?[0-9]*\\(%r[sb]p\\), %");
  bool isInKernel = false;
  while (!assembly.empty()) {
    StringRef line;
    std::tie(line, assembly) = assembly.split('\n');
    if (line.ends_with(":") && !line.starts_with("."))
      isInKernel = line.starts_with("tn_kernel");
    if (!isInKernel || !line.contains("(%r"))
      continue;
    if (isVector.match(line))
      ++spills.vector;
    else if (isScalar.match(line) && !line.trim().starts_with("lea"))
      ++spills.scalar;
  }
  return spills;
}

int benchKernel(const KernelCommand &command) {
  KernelFile file(command);
  if (int status = file.load())
    return status;
  Program program;
  std::vector<TensorBuffer> inputs, outputs;
  if (llvm::Error error = file.open(program, inputs, outputs))
    return fail(std::move(error));
  auto symbols = program.bind(inputs);
  if (!symbols)
    return fail(symbols.takeError());

  using Clock = std::chrono::steady_clock;
  std::vector<double> times;
  Clock::time_point begin = Clock::now();
  auto elapsed = [&] { return std::chrono::duration<double>(Clock::now() - begin).count(); };
  for (unsigned calls = 0; times.size() < 5 || elapsed() < command.seconds * 1.2; ++calls) {
    Clock::time_point start = Clock::now();
    if (llvm::Error error = program.call(inputs, outputs))
      return fail(std::move(error));
    double time = std::chrono::duration<double>(Clock::now() - start).count();
    if (calls >= 2 && elapsed() > command.seconds * 0.2) // warm
      times.push_back(time);
  }
  llvm::sort(times);

  int64_t flops = 0, bytes = 0;
  unsigned kernels = tn_kernel_count(program.handle(), 0, 0);
  for (unsigned k = 0; k < kernels; ++k) {
    tn_kernel_info_t info = {};
    info.struct_bytes = sizeof info;
    tn_error_t failure = TN_ERROR_INIT;
    if (tn_kernel_info(program.handle(), 0, 0, k, symbols->data(), symbols->size(), &info, &failure) != TN_OK)
      return fail(failure.message);
    flops += std::max<int64_t>(info.flops, 0);
    bytes += std::max<int64_t>(info.bytes_moved, 0);
  }
  llvm::Expected<std::string> assemblyPath = file.build(EmitKind::Assembly);
  if (!assemblyPath)
    return fail(assemblyPath.takeError());
  auto assembly = llvm::MemoryBuffer::getFile(*assemblyPath);
  if (!assembly)
    return fail(*assemblyPath + ": " + assembly.getError().message());
  Spills spills = countSpills((*assembly)->getBuffer());
  llvm::Expected<std::string> objectPath = file.build(EmitKind::Object);
  if (!objectPath)
    return fail(objectPath.takeError());
  auto object = llvm::MemoryBuffer::getFile(*objectPath, /*IsText=*/false, /*RequiresNullTerminator=*/false);
  if (!object)
    return fail(makeError("cannot read " + *objectPath + ": " + object.getError().message()));
  llvm::Expected<uint64_t> code = countCode((*object)->getBuffer(), "tn_kernel");
  if (!code)
    return fail(code.takeError());
  Peaks peaks = measurePeaks(command.threads);
  double best = times.front(), gigaflops = flops / best * 1e-9, gigabytes = bytes / best * 1e-9;

  if (!command.json) {
    llvm::outs() << command.file << ": min " << formatNumber(best * 1e3) << " ms, median "
                 << formatNumber(times[times.size() / 2] * 1e3) << " ms (" << times.size() << " calls, "
                 << command.threads << (command.threads == 1 ? " thread, " : " threads, ") << kernels
                 << (kernels == 1 ? " kernel)\n" : " kernels)\n");
    if (flops)
      llvm::outs() << "  " << formatNumber(gigaflops) << " Gflop/s, " << formatNumber(100 * gigaflops / peaks.gigaflops)
                   << " % of " << formatNumber(peaks.gigaflops) << " measured\n";
    if (bytes)
      llvm::outs() << "  " << formatNumber(gigabytes) << " GB/s, " << formatNumber(100 * gigabytes / peaks.gigabytes)
                   << " % of " << formatNumber(peaks.gigabytes) << " read from memory\n";
    llvm::outs() << "  " << *code << " bytes of code; loads from the stack: " << spills.vector << " of vectors, "
                 << spills.scalar << " of scalars\n";
    return Done;
  }
  llvm::json::OStream json(llvm::outs());
  json.object([&] {
    json.attribute("min_ms", best * 1e3);
    json.attribute("median_ms", times[times.size() / 2] * 1e3);
    json.attribute("calls", times.size());
    json.attribute("threads", command.threads);
    json.attribute("kernels", kernels);
    json.attribute("flops", flops);
    json.attribute("bytes_moved", bytes);
    json.attribute("gflops", gigaflops);
    json.attribute("peak_gflops", peaks.gigaflops);
    json.attribute("gbps", gigabytes);
    json.attribute("peak_gbps", peaks.gigabytes);
    json.attribute("vector_reloads", spills.vector);
    json.attribute("scalar_reloads", spills.scalar);
    json.attribute("code_bytes", *code);
  });
  llvm::outs() << "\n";
  return Done;
}

// ---- verify -------------------------------------------------------------------------------------------------------

/// Largest difference over the largest value, or infinity where one is not finite and the other differs.
static double differenceOf(const interp::Tensor &got, const interp::Tensor &want) {
  if (want.form() == interp::Form::Int) {
    int64_t wrong = 0;
    for (auto [a, b] : llvm::zip(got.ints(), want.ints()))
      wrong += a != b;
    return wrong ? std::numeric_limits<double>::infinity() : 0;
  }
  std::vector<double> a, b;
  if (want.form() == interp::Form::Complex) {
    for (auto [x, y] : llvm::zip(got.complexes(), want.complexes())) {
      a.insert(a.end(), {x.real(), x.imag()});
      b.insert(b.end(), {y.real(), y.imag()});
    }
  } else {
    a = got.floats(), b = want.floats();
  }
  double largest = 0, scale = 0;
  for (auto [x, y] : llvm::zip(a, b)) {
    if (!std::isfinite(x) || !std::isfinite(y)) {
      if (x != y && !(std::isnan(x) && std::isnan(y)))
        return std::numeric_limits<double>::infinity();
      continue;
    }
    largest = std::max(largest, std::fabs(x - y)), scale = std::max(scale, std::fabs(y));
  }
  return scale > 0 ? largest / scale : largest;
}

static double toleranceOf(Type elementType) {
  if (auto complex = dyn_cast<ComplexType>(elementType))
    elementType = complex.getElementType();
  if (elementType.isF64())
    return 1e-12;
  if (elementType.isF32())
    return 2e-6;
  return isa<FloatType>(elementType) ? 1e-2 : 0;
}

int verifyKernel(const KernelCommand &command) {
  KernelFile file(command);
  if (int status = file.load())
    return status;
  Program program;
  std::vector<TensorBuffer> inputs, outputs;
  if (llvm::Error error = file.open(program, inputs, outputs))
    return fail(std::move(error));
  if (llvm::Error error = program.call(inputs, outputs))
    return fail(std::move(error));
  func::FuncOp main = file.getMain();
  auto toTensor = [](const TensorBuffer &buffer, Type type) {
    return interp::Tensor::fromBytes(cast<RankedTensorType>(type).getElementType(), buffer.dims,
                                     {buffer.data(), buffer.bytes()});
  };
  std::vector<interp::Tensor> arguments;
  for (auto [buffer, type] : llvm::zip(inputs, main.getArgumentTypes())) {
    llvm::Expected<interp::Tensor> tensor = toTensor(buffer, type);
    if (!tensor)
      return fail(tensor.takeError());
    arguments.push_back(*tensor);
  }
  interp::Interpreter interpreter(*file.getModel().module, interp::makeWeightProvider(*file.getModel().weights));
  auto sizes = main->getAttrOfType<DenseI64ArrayAttr>("tenon.sizes");
  FailureOr<std::vector<interp::Tensor>> expected =
      interpreter.run("main", arguments, sizes ? sizes.asArrayRef() : ArrayRef<int64_t>());
  if (failed(expected))
    return Failed;
  bool isGood = true;
  for (auto [i, want] : llvm::enumerate(*expected)) {
    llvm::Expected<interp::Tensor> got = toTensor(outputs[i], main.getResultTypes()[i]);
    if (!got)
      return fail(got.takeError());
    if (got->shape != want.shape)
      return fail(command.file + ": output " + llvm::Twine(i) + " has another shape than the interpreter gives");
    double difference = differenceOf(*got, want);
    double limit = command.tolerance > 0 ? command.tolerance : toleranceOf(want.elementType);
    isGood &= difference <= limit;
    llvm::outs() << command.file << ": output " << i << ": largest difference " << llvm::format("%.3g", difference)
                 << " of the largest value, " << (difference <= limit ? "within " : "more than ")
                 << llvm::format("%.3g\n", limit);
  }
  return isGood ? static_cast<int>(Done) : fail(command.file + ": differs from the interpreter");
}

} // namespace tenon::driver
