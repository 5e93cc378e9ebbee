// Compiles every math function for this machine, compares it with references over its whole range, and times it.
//   math-accuracy [--only=NAME] [--markdown] [--quick]
// Fails when an error exceeds the bound stated in References.cpp, when a special value is wrong, or when compiled code
// calls a library: the code is linked against nothing.
#include "References.h"
#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlow.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/UB/IR/UBOps.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "mlir/Transforms/Passes.h"
#include "tenon/Target/CPU/Passes.h"
#include "llvm/ExecutionEngine/Orc/LLJIT.h"
#include "llvm/IR/Module.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/TargetParser/Host.h"
#include <chrono>
#include <cmath>
#include <cstring>
#include <random>

using namespace mlir;

static llvm::cl::opt<std::string> only("only", llvm::cl::desc("Test this function only"));
static llvm::cl::opt<bool> markdown("markdown", llvm::cl::desc("Print the table of docs/math.md"));
static llvm::cl::opt<bool> quick("quick", llvm::cl::desc("A tenth of the samples"));
static llvm::cl::opt<bool> printAssembly("print-ir", llvm::cl::desc("Print the optimised LLVM IR"));

static constexpr int kChunk = 4096;
using Kernel = void (*)(const void *, const void *, void *);

namespace {
struct Variant {
  const char *cpu;
  bool fma;
};

/// Compiled code and what keeps it alive.
struct Compiled {
  std::unique_ptr<llvm::orc::LLJIT> jit;
  Kernel run = nullptr;
};
} // namespace

static std::string programText(const MathCase &test, StringRef type, int lanes, StringRef outType) {
  std::string value = lanes ? llvm::formatv("vector<{0}x{1}>", lanes, type).str() : type.str();
  std::string outValue = lanes ? llvm::formatv("vector<{0}x{1}>", lanes, outType).str() : outType.str();
  std::string outMemory = llvm::formatv("memref<{0}x{1}>", kChunk, outType).str();
  std::string memory = llvm::formatv("memref<{0}x{1}>", kChunk, type).str();
  auto load = [&](StringRef name, StringRef from) {
    return lanes ? llvm::formatv("%{0} = vector.load %{1}[%i] : {2}, {3}\n", name, from, memory, value).str()
                 : llvm::formatv("%{0} = memref.load %{1}[%i] : {2}\n", name, from, memory).str();
  };
  std::string text =
      llvm::formatv("func.func @run(%x: {0} {{llvm.noalias}, %y: {0} {{llvm.noalias}, %r: {3} {{llvm.noalias}) {{\n"
                    "%c0 = arith.constant 0 : index\n%n = arith.constant {1} : index\n"
                    "%step = arith.constant {2} : index\nscf.for %i = %c0 to %n step %step {{\n",
                    memory, kChunk, std::max(lanes, 1), outMemory)
          .str();
  text += load("a", "x");
  if (test.operands == 2)
    text += load("b", "y");
  text += llvm::formatv("%v = {0} %a{1} : {2}", test.op, test.operands == 2 ? ", %b" : "", value).str();
  text += type == outType ? "\n" : " to " + outValue + "\n";
  text += lanes ? llvm::formatv("vector.store %v, %r[%i] : {0}, {1}\n", outMemory, outValue).str()
                : llvm::formatv("memref.store %v, %r[%i] : {0}\n", outMemory).str();
  return text + "}\nreturn\n}\n";
}

static std::optional<Compiled> compile(MLIRContext &context, const MathCase &test, StringRef type, int lanes,
                                       const Variant &variant, StringRef outType = "") {
  outType = outType.empty() ? type : outType;
  OwningOpRef<ModuleOp> module = parseSourceString<ModuleOp>(programText(test, type, lanes, outType), &context);
  if (!module)
    return std::nullopt;
  PassManager pm(&context);
  pm.addPass(tenon::cpu::createExpandMathPass({variant.fma}));
  pm.addPass(tenon::cpu::createConvertHalfTypesPass({/*hasF16C=*/variant.fma}));
  pm.addPass(createSCFToControlFlowPass());
  pm.addPass(createConvertVectorToLLVMPass());
  pm.addPass(createConvertMathToLLVMPass());
  pm.addPass(createArithToLLVMConversionPass());
  pm.addPass(createFinalizeMemRefToLLVMConversionPass());
  ConvertFuncToLLVMPassOptions functions;
  functions.useBarePtrCallConv = true;
  pm.addPass(createConvertFuncToLLVMPass(functions));
  pm.addPass(createConvertControlFlowToLLVMPass());
  pm.addPass(createReconcileUnrealizedCastsPass());
  if (failed(pm.run(*module)))
    return std::nullopt;

  auto llvmContext = std::make_unique<llvm::LLVMContext>();
  std::unique_ptr<llvm::Module> code = translateModuleToLLVMIR(*module, *llvmContext);
  if (!code)
    return std::nullopt;
  auto builder = llvm::cantFail(llvm::orc::JITTargetMachineBuilder::detectHost());
  builder.setCPU(variant.cpu);
  builder.getFeatures() = llvm::SubtargetFeatures();
  builder.setCodeGenOptLevel(llvm::CodeGenOptLevel::Default);
  std::unique_ptr<llvm::TargetMachine> machine = llvm::cantFail(builder.createTargetMachine());
  code->setDataLayout(machine->createDataLayout());
  code->setTargetTriple(machine->getTargetTriple());
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager funcs;
  llvm::CGSCCAnalysisManager groups;
  llvm::ModuleAnalysisManager modules;
  llvm::PassBuilder passes(machine.get());
  passes.registerModuleAnalyses(modules);
  passes.registerCGSCCAnalyses(groups);
  passes.registerFunctionAnalyses(funcs);
  passes.registerLoopAnalyses(loops);
  passes.crossRegisterProxies(loops, funcs, groups, modules);
  passes.buildPerModuleDefaultPipeline(llvm::OptimizationLevel::O2).run(*code, modules);
  if (printAssembly)
    code->print(llvm::outs(), nullptr);

  Compiled result;
  // Without the default platform and process symbols a library call is an undefined symbol.
  result.jit = llvm::cantFail(llvm::orc::LLJITBuilder()
                                  .setJITTargetMachineBuilder(builder)
                                  .setLinkProcessSymbolsByDefault(false)
                                  .setPlatformSetUp(llvm::orc::setUpInactivePlatform)
                                  .create());
  llvm::cantFail(result.jit->addIRModule(llvm::orc::ThreadSafeModule(std::move(code), std::move(llvmContext))));
  auto symbol = result.jit->lookup("run");
  if (!symbol) {
    llvm::errs() << test.name << " " << type << ": " << llvm::toString(symbol.takeError()) << "\n";
    return std::nullopt;
  }
  result.run = symbol->toPtr<Kernel>();
  return result;
}

namespace {
/// A binary format: precision, and exponents as in std::numeric_limits.
struct Format {
  int digits, minExponent, maxExponent;
};
} // namespace
static constexpr Format kF16 = {11, -13, 16}, kBF16 = {8, -125, 128};
template <typename T>
static constexpr Format kFormat = {std::numeric_limits<T>::digits, std::numeric_limits<T>::min_exponent,
                                   std::numeric_limits<T>::max_exponent};

/// The error of `got` in units of the last place of the exact value; infinite for a wrong special value.
static double ulpError(long double got, long double exact, Format format) {
  constexpr double kWrong = std::numeric_limits<double>::infinity();
  if (std::isnan(exact) || std::isnan(got))
    return std::isnan(exact) && std::isnan(got) ? 0 : kWrong;
  if (std::isinf(exact))
    return got == exact ? 0 : kWrong;
  if (got == 0 || exact == 0) {
    if (exact == 0)
      return got == 0 && std::signbit(got) == std::signbit(exact) ? 0 : kWrong;
    if (std::signbit(got) != std::signbit(exact))
      return kWrong;
  }
  int exponent = std::max(std::ilogb(exact), format.minExponent - 1);
  long double unit = std::ldexp(1.0L, exponent - format.digits + 1);
  if (std::isinf(got)) {
    if (std::signbit(got) != std::signbit(exact))
      return kWrong;
    long double top = std::ldexp(1.0L, format.maxExponent), last = std::ldexp(1.0L, format.maxExponent - format.digits);
    return std::fabs(exact) >= top ? 0 : double((top - std::fabs(exact)) / last);
  }
  if (std::fabs(exact) > std::ldexp(1.0L, format.maxExponent))
    return kWrong;
  return double(std::fabs(got - exact) / unit);
}

template <typename T> static std::vector<T> specialValues() {
  using Limits = std::numeric_limits<T>;
  std::vector<T> values = {T(0),
                           Limits::denorm_min(),
                           Limits::min(),
                           Limits::max(),
                           Limits::infinity(),
                           Limits::quiet_NaN(),
                           T(1),
                           T(2),
                           T(3),
                           T(0.5),
                           T(1.5),
                           T(2.5),
                           T(10),
                           T(100),
                           T(1e5),
                           T(1e9),
                           T(1e15),
                           T(1e30),
                           T(M_PI),
                           T(M_PI_2),
                           T(M_PI_4),
                           T(355),
                           T(709),
                           T(710),
                           T(88.5),
                           T(89),
                           T(128),
                           T(127),
                           T(149),
                           T(150),
                           T(1024),
                           T(0.1),
                           T(1e-5),
                           T(1e-20),
                           T(1e-40),
                           T(7),
                           T(8388607.5),
                           T(4503599627370495.5),
                           std::nextafter(T(0.5), T(0)),
                           std::nextafter(T(1), T(0)),
                           std::nextafter(T(1), T(2))};
  for (size_t i = 0, n = values.size(); i != n; ++i)
    values.push_back(-values[i]);
  return values;
}

/// Every special value (pair), every exponent, and the usual interval.
template <typename T> static void makeSamples(const MathCase &test, std::vector<T> &x, std::vector<T> &y) {
  using Word = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
  std::vector<T> special = specialValues<T>();
  std::mt19937_64 random(12345);
  std::uniform_real_distribution<double> usual(test.low, test.high);
  size_t count = quick ? 1 << 17 : 1 << 20;
  auto anyBits = [&] { return std::bit_cast<T>(Word(random())); };
  if (test.operands == 1) {
    x = special;
    // Also around the limits of exponentials, and next to the zeros and poles of the circular functions.
    std::uniform_real_distribution<double> limits(sizeof(T) == 4 ? -160 : -1100, sizeof(T) == 4 ? 160 : 1100);
    while (x.size() < count) {
      if (x.size() % 8 == 0)
        x.push_back(T(limits(random)));
      else if (x.size() % 8 == 2)
        x.push_back(T((long double)(random() >> (random() % 56 + 8)) * 1.57079632679489661923132169163975144L));
      else
        x.push_back(x.size() % 2 ? anyBits() : T(usual(random)));
    }
    if (test.name == "log" || test.name == "log2" || test.name == "log10" || test.name == "log1p")
      for (int i = 0; i != 100000; ++i)
        x.push_back(T(1 + (i - 50000) * 1e-6));
    y.assign(x.size(), T(0));
  } else {
    for (T a : special)
      for (T b : special) {
        x.push_back(a);
        y.push_back(b);
      }
    while (x.size() < count) {
      // Powers next to one with large exponents, and of negative numbers.
      if (x.size() % 4 == 1 && test.name == "pow") {
        x.push_back(T(1 + (usual(random) - 10) * 0.02));
        y.push_back(T((usual(random) - 10) * 400));
        continue;
      }
      if (x.size() % 8 == 2 && test.name == "pow") {
        x.push_back(T(-usual(random)));
        y.push_back(T(std::floor(usual(random) * 4 - 40)));
        continue;
      }
      bool wild = x.size() % 4 == 0;
      x.push_back(wild ? anyBits() : T(usual(random)));
      y.push_back(wild ? anyBits() : T(usual(random)));
    }
  }
  size_t padded = (x.size() + kChunk - 1) / kChunk * kChunk;
  x.resize(padded, T(1));
  y.resize(padded, T(1));
}

namespace {
struct Measured {
  double ulp = 0, nanoseconds = 0;
  double worstX = 0, worstY = 0, worstGot = 0;
};
} // namespace

template <typename T> static Measured measure(const MathCase &test, const Compiled &code) {
  Measured result;
  std::vector<T> x, y, r(kChunk);
  makeSamples(test, x, y);
  for (size_t base = 0; base != x.size(); base += kChunk) {
    code.run(&x[base], &y[base], r.data());
    for (int i = 0; i != kChunk; ++i) {
      T a = x[base + i], b = y[base + i];
      long double exact = sizeof(T) == 4 ? (long double)test.inDouble(a, b) : test.inLong(a, b);
      double ulp = ulpError(r[i], exact, kFormat<T>);
      if (ulp > result.ulp)
        result = {ulp, 0, double(a), double(b), double(r[i])};
    }
  }
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> usual(test.low, test.high);
  for (int i = 0; i != kChunk; ++i) {
    x[i] = T(usual(random));
    y[i] = T(usual(random));
  }
  double best = 1e30;
  for (int repeat = 0; repeat != 30; ++repeat) {
    auto start = std::chrono::steady_clock::now();
    code.run(x.data(), y.data(), r.data());
    best = std::min(best, std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count());
  }
  result.nanoseconds = best / kChunk;
  return result;
}

static const llvm::fltSemantics &semantics(bool isF16) {
  return isF16 ? llvm::APFloat::IEEEhalf() : llvm::APFloat::BFloat();
}

static float decodeHalf(uint16_t bits, bool isF16) {
  llvm::APFloat value(semantics(isF16), llvm::APInt(16, bits));
  bool lost;
  value.convert(llvm::APFloat::IEEEsingle(), llvm::APFloat::rmNearestTiesToEven, &lost);
  return value.convertToFloat();
}

/// All 65536 arguments of a function of one; pairs at random for a function of two. Half an ulp is the rounding.
static bool checkHalf(MLIRContext &context, const MathCase &test, bool isF16, const Variant &variant) {
  std::optional<Compiled> code = compile(context, test, isF16 ? "f16" : "bf16", 8, variant);
  if (!code)
    return false;
  std::vector<uint16_t> x(65536), y(65536), r(kChunk);
  std::mt19937_64 random(3);
  for (int i = 0; i != 65536; ++i) {
    x[i] = i;
    y[i] = random();
  }
  for (int base = 0; base != 65536; base += kChunk) {
    code->run(&x[base], &y[base], r.data());
    for (int i = 0; i != kChunk; ++i) {
      double a = decodeHalf(x[base + i], isF16), b = decodeHalf(y[base + i], isF16), got = decodeHalf(r[i], isF16);
      double exact = test.inDouble(a, b);
      if (ulpError(got, exact, isF16 ? kF16 : kBF16) <= 0.505)
        continue;
      printf("%s %s %s: x = %g, y = %g, got %g, exact %.17g  FAILED\n", test.name.c_str(), isF16 ? "f16" : "bf16",
             variant.cpu, a, b, got, exact);
      return false;
    }
  }
  return true;
}

/// f32 to bf16 and f16 on random bits and on the neighbours of ties, against APFloat.
static bool checkRounding(MLIRContext &context, bool isF16, const Variant &variant) {
  MathCase cast = {"truncf", "arith.truncf", 1, nullptr, nullptr, 0, 1, 0, 0};
  std::optional<Compiled> code = compile(context, cast, "f32", 8, variant, isF16 ? "f16" : "bf16");
  if (!code)
    return false;
  std::mt19937_64 random(4);
  std::vector<uint32_t> x(kChunk);
  std::vector<uint16_t> r(kChunk);
  for (int round = 0; round != 100; ++round) {
    for (uint32_t &word : x) {
      word = random();
      if (random() % 2)
        word = std::bit_cast<uint32_t>(decodeHalf(word, isF16)) + (uint32_t(random() % 2) << (isF16 ? 12 : 15)) +
               random() % 3 - 1;
    }
    code->run(x.data(), x.data(), r.data());
    for (int i = 0; i != kChunk; ++i) {
      llvm::APFloat value(std::bit_cast<float>(x[i]));
      bool lost;
      value.convert(semantics(isF16), llvm::APFloat::rmNearestTiesToEven, &lost);
      uint16_t exact = value.bitcastToAPInt().getZExtValue();
      bool sameNan = value.isNaN() && std::isnan(decodeHalf(r[i], isF16));
      if (r[i] == exact || sameNan)
        continue;
      printf("f32 %08x to %s %s: got %04x, exact %04x  FAILED\n", x[i], isF16 ? "f16" : "bf16", variant.cpu, r[i],
             exact);
      return false;
    }
  }
  return true;
}

/// A lane gives the same bits in a scalar, in a wide vector and in one of an odd size.
template <typename T>
static bool checkShapes(MLIRContext &context, const MathCase &test, StringRef type, const Variant &variant) {
  std::vector<T> x, y;
  makeSamples(test, x, y);
  std::vector<T> first(kChunk), other(kChunk);
  bool good = true;
  for (int lanes : {8, 0, 16, 1}) {
    std::optional<Compiled> code = compile(context, test, type, lanes, variant);
    if (!code)
      return false;
    code->run(x.data(), y.data(), lanes == 8 ? first.data() : other.data());
    for (int i = 0; i != kChunk && lanes != 8; ++i)
      if (std::memcmp(&first[i], &other[i], sizeof(T)) && !(std::isnan(first[i]) && std::isnan(other[i]))) {
        printf("%s with %d lanes: x = %g, y = %g: %a, with 8 lanes %a  FAILED\n", test.name.c_str(), lanes,
               double(x[i]), double(y[i]), double(other[i]), double(first[i]));
        good = false;
        break;
      }
  }
  return good;
}

static bool report(const MathCase &test, StringRef type, const Variant &variant, const Measured &m, double bound) {
  bool good = m.ulp <= bound;
  if (markdown)
    llvm::outs() << llvm::formatv("| {0} | {1} | {2} | {3:f2} | {4:f2} | {5:f2} |\n", test.name, type, variant.cpu,
                                  bound, m.ulp, m.nanoseconds);
  else
    llvm::outs() << llvm::formatv("{0,-8} {1} {2,-10} bound {3:f2} measured {4:f3} {5:f2} ns/element{6}\n", test.name,
                                  type, variant.cpu, bound, m.ulp, m.nanoseconds, good ? "" : "  FAILED");
  if (!good)
    fprintf(stdout, "    worst: x = %.17g (%a), y = %.17g, got %.17g, exact %.17g\n", m.worstX, m.worstX, m.worstY,
            m.worstGot, test.inDouble(m.worstX, m.worstY));
  fflush(stdout);
  llvm::outs().flush();
  return good;
}

int main(int argc, char **argv) {
  llvm::cl::ParseCommandLineOptions(argc, argv, "accuracy of tenon's math functions\n");
  llvm::InitializeNativeTarget();
  llvm::InitializeNativeTargetAsmPrinter();
  DialectRegistry registry;
  registry.insert<arith::ArithDialect, cf::ControlFlowDialect, func::FuncDialect, LLVM::LLVMDialect, math::MathDialect,
                  memref::MemRefDialect, scf::SCFDialect, vector::VectorDialect>();
  registerBuiltinDialectTranslation(registry);
  registerLLVMDialectTranslation(registry);
  MLIRContext context(registry, MLIRContext::Threading::DISABLED);

  llvm::StringMap<bool> features = llvm::sys::getHostCPUFeatures();
  std::vector<Variant> variants = {{"x86-64-v2", false}};
  if (features.lookup("fma") && features.lookup("avx2"))
    variants.push_back({"x86-64-v3", true});
  bool good = true;
  for (const MathCase &test : mathCases()) {
    if (!only.empty() && only != test.name)
      continue;
    for (const Variant &variant : variants) {
      if (!std::isnan(test.boundF32)) {
        std::optional<Compiled> code = compile(context, test, "f32", variant.fma ? 8 : 4, variant);
        good &= code && report(test, "f32", variant, measure<float>(test, *code), test.boundF32);
      }
      if (!std::isnan(test.boundF64)) {
        std::optional<Compiled> code = compile(context, test, "f64", variant.fma ? 4 : 2, variant);
        good &= code && report(test, "f64", variant, measure<double>(test, *code), test.boundF64);
      }
      good &= checkHalf(context, test, /*isF16=*/true, variant) & checkHalf(context, test, /*isF16=*/false, variant);
    }
    good &= checkShapes<float>(context, test, "f32", variants.back());
    good &= checkShapes<double>(context, test, "f64", variants.back());
  }
  if (only.empty()) {
    for (const Variant &variant : variants) {
      good &= checkRounding(context, /*isF16=*/true, variant);
      good &= checkRounding(context, /*isF16=*/false, variant);
    }
  }
  return good ? 0 : 1;
}
