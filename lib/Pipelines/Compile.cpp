//===- Compile.cpp - from a model to a file -------------------------------===//
#include "tenon/Pipelines/Compile.h"
#include "DeviceCode.h"
#include "Freeze.h"
#include "Parts.h"
#include "dialects/Graph/Transforms/Passes.h"
#include "tenon/Bundle/Emit.h"
#include "tenon/Bundle/Link.h"
#include "tenon/Bundle/Writer.h"
#include "device_generated.h"
#include "tenon/Conversion/GraphToKernel.h"
#include "tenon/Conversion/PlanToRt.h"
#include "tenon/Pipelines/Host.h"
#include "tenon/Target/CPU/LowerKernels.h"
#include "tenon/Target/Device/LowerKernels.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/FileOutputBuffer.h"
#include "llvm/Support/FileSystem.h"
#include <chrono>

using namespace mlir;
using namespace tenon;
using target::DeviceApi;

static bool isDeviceCode(EmitKind kind) {
  return kind == EmitKind::SPIRV || kind == EmitKind::PTX || kind == EmitKind::Cubin || kind == EmitKind::CodeObject;
}

static constexpr std::pair<Phase, const char *> kPhases[] = {
    {Phase::Import, "import"},     {Phase::Raise, "raise"}, {Phase::Freeze, "freeze"}, {Phase::Quantize, "quantize"},
    {Phase::Derive, "derive"},     {Phase::Simplify, "simplify"}, {Phase::Form, "form"}, {Phase::Lower, "lower"},
    {Phase::Plan, "plan"},         {Phase::Host, "host"},   {Phase::Package, "package"}};

StringRef tenon::phaseName(Phase phase) { return kPhases[static_cast<int>(phase)].second; }

std::optional<Phase> tenon::parsePhase(StringRef name) {
  for (auto [phase, text] : kPhases)
    if (name == text)
      return phase;
  return std::nullopt;
}

std::string tenon::phaseNames() {
  std::string result;
  for (auto [phase, text] : kPhases)
    result += (result.empty() ? "" : ", ") + std::string(text);
  return result;
}

std::optional<EmitKind> tenon::parseEmitKind(StringRef name) {
  return llvm::StringSwitch<std::optional<EmitKind>>(name)
      .Case("tenon", EmitKind::Bundle)
      .Case("obj", EmitKind::Object)
      .Case("so", EmitKind::SharedObject)
      .Case("mlir", EmitKind::MLIR)
      .Case("llvm", EmitKind::LLVM)
      .Case("asm", EmitKind::Assembly)
      .Case("spirv", EmitKind::SPIRV)
      .Case("ptx", EmitKind::PTX)
      .Case("cubin", EmitKind::Cubin)
      .Case("hsaco", EmitKind::CodeObject)
      .Default(std::nullopt);
}

void tenon::buildGraphPipeline(OpPassManager &pm) {
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  pm.addPass(graph::createSinkPermutesPass());       // changes of layout between convolutions cancel
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  pm.addPass(graph::createDecomposeContractsPass()); // what kernels for products do not take
  pm.addPass(graph::createSplitScansPass());         // so that several threads share a line
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createSymbolDCEPass());                 // weights that freezing has made superfluous
}

namespace {
/// One target of the file: from formed kernels on, each has a module of its own.
struct Variant {
  target::CPUAttr cpu;    ///< of the host code, and of kernels that a device does not run
  target::GPUAttr device; ///< null: the CPU
  OwningOpRef<ModuleOp> module;
  std::vector<std::pair<std::string, std::string>> objects; ///< name, bytes (or text)
  DeviceProgram deviceProgram;
};

class Compilation {
public:
  Compilation(ModuleOp module, WeightStore &weights, const CompileOptions &options, CompileStatistics *statistics)
      : module(module), weights(weights), options(options), statistics(statistics) {}
  LogicalResult run();

private:
  /// Starts a phase; true when the compilation should end before it does anything.
  void begin(Phase phase);
  /// Ends it: times, dumps. True when the output is the IR as it stands.
  bool end(Phase phase, ModuleOp ir);
  LogicalResult runPasses(ModuleOp ir, function_ref<void(OpPassManager &)> build);
  LogicalResult lower(Variant &variant);
  LogicalResult lowerDevice(Variant &variant, ModuleOp loops);
  LogicalResult emitObjects(Variant &variant, ModuleOp loops);
  LogicalResult writeText(StringRef text, std::string path = {});
  LogicalResult writeDeviceCode(const Variant &variant);
  LogicalResult writeIR(ModuleOp ir);
  LogicalResult package(MutableArrayRef<Variant> variants);
  LogicalResult report(llvm::Error error);

  ModuleOp module;
  WeightStore &weights;
  const CompileOptions &options;
  CompileStatistics *statistics;
  std::chrono::steady_clock::time_point started;
};
} // namespace

LogicalResult Compilation::report(llvm::Error error) {
  return module.emitError() << llvm::toString(std::move(error));
}

void Compilation::begin(Phase phase) {
  started = std::chrono::steady_clock::now();
  // Shares of the whole time, from measurements of MiniLM and ResNet-50.
  static constexpr double kShare[] = {0, 0.05, 0.05, 0.1, 0.1, 0.1, 0.15, 0.2, 0.85, 0.87, 0.9};
  if (options.progress)
    options.progress(phase, kShare[static_cast<int>(phase)]);
}

bool Compilation::end(Phase phase, ModuleOp ir) {
  if (statistics)
    statistics->seconds.emplace_back(
        phase, std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count());
  if (llvm::is_contained(options.dumpAfter, phase)) {
    llvm::errs() << "// after " << phaseName(phase) << "\n";
    ir->print(llvm::errs());
  }
  return options.stopAfter == phase;
}

LogicalResult Compilation::writeText(StringRef text, std::string path) {
  if (path.empty())
    path = options.output;
  auto buffer = llvm::FileOutputBuffer::create(path, text.size());
  if (!buffer)
    return module.emitError() << "cannot write '" << path << "': " << llvm::toString(buffer.takeError());
  llvm::copy(text, reinterpret_cast<char *>((*buffer)->getBufferStart()));
  if (llvm::Error error = (*buffer)->commit())
    return module.emitError() << "cannot write '" << path << "': " << llvm::toString(std::move(error));
  return success();
}

/// SPIR-V: a file for each kernel, in a folder. Else one file.
LogicalResult Compilation::writeDeviceCode(const Variant &variant) {
  const DeviceProgram &program = variant.deviceProgram;
  auto writeForm = [&](uint32_t index, file::DeviceFormat format, const std::string &path) -> LogicalResult {
    for (const DeviceCode &code : program.modules[index])
      if (code.format == static_cast<uint8_t>(format))
        return writeText(StringRef(code.bytes).drop_back(format == file::DeviceFormat::PTX), path); // its end
    return module.emitError() << "there is no code of this kind for " << (variant.device ? variant.device.getName() : "cpu")
                              << (format == file::DeviceFormat::Binary ? "; a cubin takes ptxas" : "");
  };
  DeviceApi api = options.emit == EmitKind::SPIRV ? DeviceApi::Vulkan
                  : options.emit == EmitKind::CodeObject ? DeviceApi::ROCm
                                                         : DeviceApi::CUDA;
  if (!variant.device || variant.device.getApi() != api)
    return module.emitError() << "only a target for " << target::stringifyDeviceApi(api) << " can be written as such";
  if (program.modules.empty())
    return module.emitError("the model has no kernels for the device");
  if (api != DeviceApi::Vulkan)
    return writeForm(0, options.emit == EmitKind::PTX ? file::DeviceFormat::PTX : file::DeviceFormat::Binary, options.output);
  if (std::error_code code = llvm::sys::fs::create_directories(options.output))
    return module.emitError() << "cannot make the folder '" << options.output << "': " << code.message();
  for (const DeviceKernel &kernel : program.kernels)
    if (failed(writeForm(kernel.module, file::DeviceFormat::SPIRV, options.output + "/" + kernel.name + ".spv")))
      return failure();
  return success();
}

LogicalResult Compilation::writeIR(ModuleOp ir) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  ir->print(stream, OpPrintingFlags().enableDebugInfo(options.emit == EmitKind::MLIR, /*prettyForm=*/false));
  return writeText(stream.str());
}

LogicalResult Compilation::runPasses(ModuleOp ir, function_ref<void(OpPassManager &)> build) {
  PassManager pm(ir.getContext());
  pm.enableVerifier(false); // phases verify at their ends
  build(pm);
  return pm.run(ir);
}

/// Loops in LLVM's dialect to objects.
LogicalResult Compilation::emitObjects(Variant &variant, ModuleOp loops) {
  size_t before = variant.objects.size();
  LogicalResult status = emitParts(
      loops, options.threads,
      [&](llvm::Module &part) {
        return options.emit == EmitKind::Assembly ? emitAssembly(part, variant.cpu)
               : options.emit == EmitKind::LLVM   ? emitLLVM(part, variant.cpu)
                                                  : emitObject(part, variant.cpu);
      },
      variant.objects);
  if (statistics)
    statistics->kernels = std::max<unsigned>(statistics->kernels, variant.objects.size() - before +
                                                                      variant.deviceProgram.kernels.size());
  return status;
}

/// Kernels that the device runs become its code; the loops of the others go to `loops`.
LogicalResult Compilation::lowerDevice(Variant &variant, ModuleOp loops) {
  OwningOpRef<ModuleOp> threads = ModuleOp::create(module.getLoc());
  SmallVector<kernel::FuncOp> left;
  if (failed(device::emitKernels(*variant.module, *threads, left)))
    return failure();
  OwningOpRef<ModuleOp> rest = ModuleOp::create(module.getLoc());
  for (kernel::FuncOp kernel : left)
    kernel->moveBefore(rest->getBody(), rest->getBody()->end());
  LogicalResult status = cpu::emitKernels(*rest, loops, variant.cpu);
  for (kernel::FuncOp kernel : left)
    kernel->moveBefore(variant.module->getBody(), variant.module->getBody()->end());
  if (failed(status) || options.onPlan)
    return status;
  return writeDeviceProgram(*threads, variant.device, options.threads, variant.deviceProgram);
}

/// Kernels to machine code. The loops are written in one module, then dealt out, so that all processors have work.
LogicalResult Compilation::lower(Variant &variant) {
  module.getContext()
      ->loadDialect<arith::ArithDialect, func::FuncDialect, LLVM::LLVMDialect, math::MathDialect, scf::SCFDialect,
                    vector::VectorDialect>();
  OwningOpRef<ModuleOp> loops = ModuleOp::create(module.getLoc());
  if (failed(variant.device ? lowerDevice(variant, *loops)
                            : cpu::emitKernels(*variant.module, *loops, variant.cpu)))
    return failure();
  if (options.onPlan)
    return success(); // what the kernels need is known now
  if (failed(runPasses(*loops, [&](OpPassManager &pm) {
        cpu::buildKernelToLLVMPipeline(pm, variant.cpu.getHasFMA(), variant.cpu.getHasF16C());
      })))
    return failure();
  return emitObjects(variant, *loops);
}

LogicalResult Compilation::package(MutableArrayRef<Variant> variants) {
  BundleOptions bundle;
  bundle.path = options.output;
  bundle.producer = options.producer;
  bundle.modelName = module.getSymName().value_or("").str();
  bundle.weights = &weights;
  for (Variant &variant : variants) {
    SmallVector<ObjectInput> inputs;
    for (auto &[name, bytes] : variant.objects)
      inputs.push_back({name, bytes});
    if (options.emit == EmitKind::Object) {
      llvm::Expected<std::string> object = linkRelocatable(inputs, variant.cpu);
      return object ? writeText(*object) : report(object.takeError());
    }
    std::vector<ImageFunction> functions;
    llvm::Expected<std::string> image = linkImage(inputs, variant.cpu, {/*keepSymbols=*/false, &functions});
    if (!image)
      return report(image.takeError());
    if (statistics)
      statistics->codeBytes += image->size();
    if (options.emit == EmitKind::SharedObject)
      return writeText(*image);
    bundle.variants.push_back({*variant.module, variant.cpu, std::move(*image), {}, std::move(functions), variant.device,
                               std::move(variant.deviceProgram)});
    const DeviceProgram &program = bundle.variants.back().deviceProgram;
    for (const DeviceKernel &kernel : program.kernels)
      bundle.variants.back().codeBytes[kernel.name] = kernel.codeBytes;
    for (auto &[name, bytes] : variant.objects) {
      llvm::Expected<uint64_t> count = countCode(bytes);
      if (!count)
        return report(count.takeError());
      bundle.variants.back().codeBytes[name] = *count;
    }
  }
  if (llvm::Error error = writeBundle(bundle))
    return report(std::move(error));
  return success();
}

LogicalResult Compilation::run() {
  if (options.stopAfter == Phase::Import)
    return writeIR(module);
  for (Phase phase : {Phase::Raise, Phase::Freeze, Phase::Quantize, Phase::Derive, Phase::Simplify}) {
    begin(phase);
    LogicalResult status = success();
    if (phase == Phase::Raise)
      status = runPasses(module, [](OpPassManager &pm) {
        pm.addPass(createCanonicalizerPass());
        pm.addPass(graph::createSplitComplexPass()); // before freezing, so that parts of weights are weights
        pm.addPass(createCSEPass());
        pm.addPass(graph::createRaiseAttentionPass());
        pm.addPass(createCSEPass());
      });
    else if (phase == Phase::Freeze)
      status = freezeConstants(module, weights);
    else if (phase == Phase::Simplify)
      status = runPasses(module, buildGraphPipeline);
    if (failed(status) || failed(verify(module)))
      return failure();
    if (end(phase, module))
      return writeIR(module);
  }

  // Here the module forks.
  std::vector<CompileTarget> targets = options.targets;
  if (targets.empty())
    targets.push_back({});
  std::vector<Variant> variants;
  for (const CompileTarget &wanted : targets) {
    std::string error;
    target::CPUAttr cpu = target::lookupCPU(module.getContext(), wanted.level, error);
    if (!cpu)
      return module.emitError() << error;
    Variant variant;
    variant.cpu = cpu;
    if (!wanted.device.empty()) {
      variant.device = target::lookupGPU(module.getContext(), wanted.device, error);
      if (!variant.device)
        return module.emitError() << error;
    }
    variant.module = cast<ModuleOp>(module->clone());
    (*variant.module)->setAttr("target.cpu", cpu);
    if (variant.device)
      target::setDevice(*variant.module, variant.device);
    variants.push_back(std::move(variant));
  }
  if (variants.size() > 1 && options.emit != EmitKind::Bundle)
    return module.emitError("only a .tenon file can hold more than one target");
  for (Phase phase : {Phase::Form, Phase::Lower, Phase::Plan, Phase::Host}) {
    begin(phase);
    for (Variant &variant : variants) {
      LogicalResult status = success();
      if (phase == Phase::Form) {
        status = runPasses(*variant.module, [&](OpPassManager &pm) {
          pm.addPass(createConvertGraphToKernelPass());
          if (variant.device)
            pm.addPass(device::createSplitDepthsPass());
        });
      } else if (phase == Phase::Lower) {
        status = lower(variant);
      } else if (phase == Phase::Plan) {
        status = buildPlan(*variant.module, [&](Operation *op) -> std::string {
          llvm::Expected<uint64_t> digest = weights.digest(cast<graph::WeightOp>(op));
          if (digest)
            return std::to_string(*digest);
          llvm::consumeError(digest.takeError()); // packaging reports it
          return cast<graph::WeightOp>(op).getSymName().str();
        });
      } else {
        HostOutput kind = options.emit == EmitKind::Assembly ? HostOutput::Assembly
                          : options.emit == EmitKind::LLVM   ? HostOutput::LLVM
                                                             : HostOutput::Object;
        FailureOr<std::string> host = compileHost(*variant.module, kind);
        status = host;
        if (succeeded(host))
          variant.objects.insert(variant.objects.begin(), {"host", std::move(*host)});
      }
      if (failed(status) || failed(verify(*variant.module)))
        return failure();
    }
    if (phase == Phase::Lower && isDeviceCode(options.emit))
      return writeDeviceCode(variants.front());
    if (phase == Phase::Plan && options.onPlan) {
      options.onPlan(*variants.front().module);
      return success();
    }
    if (end(phase, *variants.front().module) || (phase == Phase::Plan && options.emit == EmitKind::MLIR))
      return writeIR(*variants.front().module);
  }
  if (options.emit == EmitKind::Assembly || options.emit == EmitKind::LLVM) {
    std::string text;
    for (auto &[name, part] : variants.front().objects)
      text += part;
    return writeText(text);
  }
  begin(Phase::Package);
  if (failed(package(variants)))
    return failure();
  end(Phase::Package, module);
  return success();
}

LogicalResult tenon::compile(ModuleOp module, WeightStore &weights, const CompileOptions &options,
                             CompileStatistics *statistics) {
  return Compilation(module, weights, options, statistics).run();
}
