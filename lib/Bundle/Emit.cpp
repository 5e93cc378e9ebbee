//===- Emit.cpp - LLVM modules to machine code ----------------------------===//
#include "tenon/Bundle/Emit.h"
#include "Machine.h"
#include "SplitMasks.h"
#include "llvm/Analysis/TargetLibraryInfo.h"
#include "llvm/Bitcode/BitcodeReader.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/TargetParser/X86TargetParser.h"
#include <mutex>

using namespace llvm;
using namespace tenon;

extern const unsigned char tenonBuiltins[];
extern const unsigned long tenonBuiltinsBytes;

// The targets that we generate code for, of all that LLVM may hold.
#define TENON_LLVM_TARGETS(X) X(X86) X(NVPTX) X(AMDGPU)

extern "C" {
#define TENON_DECLARE(NAME)                                                                                            \
  void LLVMInitialize##NAME##TargetInfo();                                                                             \
  void LLVMInitialize##NAME##Target();                                                                                 \
  void LLVMInitialize##NAME##TargetMC();                                                                               \
  void LLVMInitialize##NAME##AsmPrinter();
TENON_LLVM_TARGETS(TENON_DECLARE)
void LLVMInitializeX86AsmParser();
}

static void initializeTargets() {
  static std::once_flag once;
  std::call_once(once, [] {
#define TENON_INITIALIZE(NAME)                                                                                         \
  LLVMInitialize##NAME##TargetInfo();                                                                                  \
  LLVMInitialize##NAME##Target();                                                                                      \
  LLVMInitialize##NAME##TargetMC();                                                                                    \
  LLVMInitialize##NAME##AsmPrinter();
    TENON_LLVM_TARGETS(TENON_INITIALIZE)
    LLVMInitializeX86AsmParser();
  });
}

Expected<std::unique_ptr<TargetMachine>> tenon::makeMachine(const Machine &machine, int optLevel) {
  initializeTargets();
  std::string error;
  Triple triple(machine.triple);
  const Target *target = TargetRegistry::lookupTarget(triple, error);
  if (!target)
    return createStringError("cannot generate code for '" + machine.triple + "': " + error);
  TargetOptions options;
  options.FunctionSections = true;
  options.DataSections = true;
  options.UseInitArray = true; // code that runs at load time must be seen, to be refused
  auto level = CodeGenOpt::getLevel(optLevel).value_or(CodeGenOptLevel::Default);
  std::optional<CodeModel::Model> model;
  if (triple.isX86())
    model = CodeModel::Small;
  std::unique_ptr<TargetMachine> made(
      target->createTargetMachine(triple, machine.cpu, machine.features, options, Reloc::PIC_, model, level));
  if (!made)
    return createStringError("cannot generate code for processor '" + machine.cpu + "'");
  return made;
}

/// What every function of an image has in common.
static void setAttributes(Module &module, target::CPUAttr cpu) {
  for (Function &function : module) {
    function.addFnAttr(Attribute::NoUnwind);
    for (StringRef name : {"target-cpu", "target-features", "tune-cpu", "frame-pointer", "stack-protector-buffer-size"})
      function.removeFnAttr(name);
    function.removeFnAttr(Attribute::UWTable);
    if (function.isDeclaration())
      continue;
    function.addFnAttr("target-cpu", cpu.getCpu());
    if (!cpu.getFeatures().empty())
      function.addFnAttr("target-features", cpu.getFeatures());
    function.addFnAttr("frame-pointer", "none");
  }
}

void tenon::optimize(Module &module, TargetMachine &machine, StringRef pipeline) {
  LoopAnalysisManager loops;
  FunctionAnalysisManager functions;
  CGSCCAnalysisManager sccs;
  ModuleAnalysisManager modules;
  PassBuilder builder(&machine);
  // There is no C library: nothing may be recognised as, or turned into, a call into one, but for what we bring.
  functions.registerPass([&] {
    TargetLibraryInfoImpl library(machine.getTargetTriple());
    library.disableAllFunctions();
    if (machine.getTargetTriple().isX86())
      for (LibFunc known : {LibFunc_memcpy, LibFunc_memmove, LibFunc_memset, LibFunc_memcmp, LibFunc_bcmp})
        library.setAvailable(known);
    return TargetLibraryAnalysis(library);
  });
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(sccs);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, sccs, modules);
  ModulePassManager passes;
  cantFail(builder.parsePassPipeline(passes, pipeline), "the pipeline is spelled right");
  passes.run(module, modules);
}

Expected<std::string> tenon::writeCode(Module &module, TargetMachine &machine, CodeGenFileType kind) {
  SmallString<0> bytes;
  raw_svector_ostream stream(bytes);
  legacy::PassManager passes;
  if (machine.addPassesToEmitFile(passes, stream, nullptr, kind))
    return createStringError("target '" + machine.getTargetTriple().str() + "' cannot write this kind of file");
  passes.run(module);
  return std::string(bytes);
}

void tenon::describe(Module &module, const TargetMachine &machine) {
  module.setTargetTriple(machine.getTargetTriple());
  module.setDataLayout(machine.createDataLayout());
  // Nothing of the machine that compiles may reach the file.
  module.setModuleIdentifier("tenon");
  module.setSourceFileName("tenon");
}

static Expected<std::string> emit(Module &module, target::CPUAttr cpu, const EmitOptions &options,
                                  std::optional<CodeGenFileType> kind) {
  Machine description{cpu.getTriple().str(), cpu.getCpu().str(), cpu.getFeatures().str()};
  Expected<std::unique_ptr<TargetMachine>> machine = makeMachine(description, options.optLevel);
  if (!machine)
    return machine.takeError();
  describe(module, **machine);
  setAttributes(module, cpu);
  if (options.optLevel > 0)
    optimize(module, **machine, kKernelPasses);
  if (cpu.getVectorBits() >= 256) // below, there are no masked instructions
    splitMaskedAccesses(module, cpu.getVectorBits());
  if (kind)
    return writeCode(module, **machine, *kind);
  std::string text;
  raw_string_ostream stream(text);
  module.print(stream, nullptr);
  return text;
}

Expected<std::string> tenon::emitObject(Module &module, target::CPUAttr cpu, const EmitOptions &options) {
  return emit(module, cpu, options, CodeGenFileType::ObjectFile);
}
Expected<std::string> tenon::emitAssembly(Module &module, target::CPUAttr cpu, const EmitOptions &options) {
  return emit(module, cpu, options, CodeGenFileType::AssemblyFile);
}
Expected<std::string> tenon::emitLLVM(Module &module, target::CPUAttr cpu, const EmitOptions &options) {
  return emit(module, cpu, options, std::nullopt);
}

Expected<std::string> tenon::emitBuiltins(target::CPUAttr cpu) {
  LLVMContext context;
  StringRef bitcode(reinterpret_cast<const char *>(tenonBuiltins), tenonBuiltinsBytes);
  Expected<std::unique_ptr<Module>> module = parseBitcodeFile(MemoryBufferRef(bitcode, "builtins"), context);
  if (!module)
    return module.takeError();
  return emitObject(**module, cpu, {});
}

std::vector<std::string> tenon::requiredFeatures(target::CPUAttr cpu) {
  SmallVector<StringRef> names;
  if (Triple(cpu.getTriple()).isX86())
    X86::getFeaturesForCPU(cpu.getCpu(), names);
  std::vector<std::string> features;
  SmallVector<StringRef> extra;
  cpu.getFeatures().split(extra, ',', -1, /*KeepEmpty=*/false);
  for (StringRef name : extra)
    if (name.consume_front("+"))
      names.push_back(name);
  for (StringRef name : names)
    // Choices of the code generator, not of the machine.
    if (!name.starts_with("prefer-") && !name.starts_with("tuning-"))
      features.push_back(name.str());
  llvm::sort(features);
  features.erase(std::unique(features.begin(), features.end()), features.end());
  return features;
}
