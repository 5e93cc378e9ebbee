//===- tenon-interp.cpp - runs functions of the graph dialect on the reference interpreter ===//
#include "tenon/Interp/Interpreter.h"
#include "mlir/AsmParser/AsmParser.h"
#include "mlir/Dialect/Complex/IR/Complex.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Support/FileUtilities.h"
#include "mlir/Support/ToolUtilities.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/ToolOutputFile.h"

using namespace mlir;
using namespace tenon;
using interp::Tensor;
namespace cl = llvm::cl;

static cl::opt<std::string> modelFile(cl::Positional, cl::desc("<model.mlir>"), cl::init("-"));
static cl::opt<std::string> entryName("entry", cl::desc("Function to run"), cl::init("main"));
static cl::opt<bool> runAll("all", cl::desc("Run every function that takes no inputs, and print what each gives"));
static cl::list<std::string>
    inputTexts("input", cl::desc("One per argument, in order: @FILE.npy, seed:N, splat:VALUE, init (of a state), or an "
                                 "attribute such as 'dense<1.0> : tensor<2xf32>'"));
static cl::list<std::string> outputFiles("output", cl::desc("@FILE.npy, one per result, in order; '-' skips a result"));
static cl::list<std::string> symbolTexts("symbol", cl::desc("sN=VALUE: the size of a symbol that no given input shows"));
static cl::opt<bool> printOutputs("print", cl::desc("Print the results"));
static cl::opt<int64_t> printLimit("print-limit", cl::desc("Most elements printed of one result"), cl::init(1000));
static cl::opt<int64_t> perturbRuns("perturb", cl::desc("Also run N times with inputs moved by one ulp; report how far results move"),
                                    cl::init(0));
static cl::opt<std::string> weightDirectory("weights", cl::desc("Directory that the paths of weights are relative to"));
static cl::opt<int64_t> maxElements("max-elements", cl::desc("Largest tensor, in elements"), cl::init(int64_t(1) << 28));
static cl::opt<bool> verifyDiagnostics("verify-diagnostics", cl::desc("Check errors against expected-* comments"));
static cl::opt<bool> splitInput("split-input-file", cl::desc("Run each part, between lines of // -----, alone"));

static LogicalResult complain(const llvm::Twine &message) {
  llvm::errs() << "tenon-interp: error: " << message << "\n";
  return failure();
}

static LogicalResult parseSymbols(std::vector<int64_t> &symbols) {
  for (StringRef text : symbolTexts) {
    auto [name, value] = text.split('=');
    unsigned position;
    int64_t size;
    if (!name.consume_front("s") || name.getAsInteger(10, position) || position >= 256 ||
        value.getAsInteger(10, size) || size < 0)
      return complain("--symbol=" + text + " is not sN=SIZE");
    if (symbols.size() <= position)
      symbols.resize(position + 1, -1);
    symbols[position] = size;
  }
  return success();
}

/// Shape of an argument for inputs that take theirs from the type.
static FailureOr<interp::Shape> shapeOfArgument(RankedTensorType type, unsigned index, ArrayRef<int64_t> symbols) {
  std::vector<std::optional<int64_t>> known;
  for (int64_t s : symbols)
    known.push_back(s < 0 ? std::nullopt : std::optional(s));
  std::optional<interp::Shape> shape = interp::evaluateShape(type, known);
  std::string text;
  llvm::raw_string_ostream(text) << type;
  std::optional<int64_t> count = shape ? interp::countElements(*shape) : std::nullopt;
  if (!shape)
    return complain("argument " + llvm::Twine(index) + " of type " + text + " needs sizes; give them with --symbol");
  if (!count || *count > maxElements || !interp::formOf(type.getElementType()))
    return complain("argument " + llvm::Twine(index) + " of type " + text + " cannot be made");
  return *shape;
}

static FailureOr<Tensor> makeInput(StringRef text, func::FuncOp function, unsigned index, ArrayRef<int64_t> symbols,
                                   interp::Interpreter &interpreter) {
  auto type = dyn_cast<RankedTensorType>(function.getArgumentTypes()[index]);
  if (!type)
    return complain("argument " + llvm::Twine(index) + " is no tensor");
  if (text.consume_front("@")) {
    llvm::Expected<NpyArray> array = readNpy(text);
    llvm::Expected<Tensor> tensor =
        array ? Tensor::fromNpy(type.getElementType(), *array) : llvm::Expected<Tensor>(array.takeError());
    if (!tensor)
      return complain("input " + llvm::Twine(index) + ": " + llvm::toString(tensor.takeError()));
    return *tensor;
  }
  if (text == "init") {
    auto state = function.getArgAttrOfType<FlatSymbolRefAttr>(index, "graph.state");
    auto variable = state ? SymbolTable::lookupNearestSymbolFrom<graph::VariableOp>(function, state) : nullptr;
    if (!variable)
      return complain("argument " + llvm::Twine(index) + " is not a state");
    return interpreter.initialValue(variable);
  }
  bool isSeed = text.starts_with("seed:"), isSplat = text.starts_with("splat:");
  if (isSeed || isSplat) {
    FailureOr<interp::Shape> shape = shapeOfArgument(type, index, symbols);
    if (failed(shape))
      return failure();
    if (isSeed)
      return interp::makeRandom(type.getElementType(), *shape,
                                "input " + text.substr(5).str() + " " + std::to_string(index));
    double value;
    if (text.drop_front(6).getAsDouble(value))
      return complain("--input=" + text + " has no number");
    std::vector<uint8_t> bytes(*interp::countElements(*shape) * elementBytes(type.getElementType()));
    fillSplat(value, type.getElementType(), bytes);
    return llvm::cantFail(Tensor::fromBytes(type.getElementType(), *shape, bytes));
  }
  auto attribute = dyn_cast_or_null<ElementsAttr>(parseAttribute(text, function.getContext()));
  if (!attribute)
    return complain("--input=" + text + " is not @FILE, seed:N, splat:VALUE, init or an attribute of elements");
  llvm::Expected<Tensor> tensor = Tensor::fromAttribute(attribute);
  if (!tensor)
    return complain("input " + llvm::Twine(index) + ": " + llvm::toString(tensor.takeError()));
  return *tensor;
}

static void printTensors(ArrayRef<Tensor> tensors, llvm::raw_ostream &os) {
  for (auto [i, tensor] : llvm::enumerate(tensors)) {
    os << "#" << i << ": ";
    tensor.print(os, printLimit);
    os << "\n";
  }
}

static LogicalResult runEntry(func::FuncOp function, interp::Interpreter &interpreter, llvm::raw_ostream &os) {
  std::vector<int64_t> symbols;
  if (failed(parseSymbols(symbols)))
    return failure();
  if (inputTexts.size() != function.getNumArguments())
    return complain("'" + function.getSymName() + "' takes " + llvm::Twine(function.getNumArguments()) +
                    " inputs but --input is given " + llvm::Twine(inputTexts.size()) + " times");
  if (outputFiles.size() > function.getNumResults())
    return complain("'" + function.getSymName() + "' gives " + llvm::Twine(function.getNumResults()) +
                    " results but --output is given " + llvm::Twine(outputFiles.size()) + " times");
  std::vector<Tensor> inputs;
  for (auto [i, text] : llvm::enumerate(inputTexts)) {
    FailureOr<Tensor> input = makeInput(text, function, i, symbols, interpreter);
    if (failed(input))
      return failure();
    inputs.push_back(*input);
  }
  FailureOr<std::vector<Tensor>> outputs = interpreter.run(function.getSymName(), inputs, symbols);
  if (failed(outputs))
    return failure();
  for (auto [i, file] : llvm::enumerate(outputFiles)) {
    StringRef path = file;
    path.consume_front("@");
    if (path == "-")
      continue;
    if (llvm::Error error = (*outputs)[i].writeNpy(path))
      return complain("output " + llvm::Twine(i) + ": " + llvm::toString(std::move(error)));
  }
  if (printOutputs)
    printTensors(*outputs, os);
  if (perturbRuns == 0)
    return success();
  auto conditioning = interpreter.measureConditioning(function.getSymName(), inputs, perturbRuns, 0, symbols);
  if (failed(conditioning))
    return failure();
  for (auto [i, c] : llvm::enumerate(*conditioning))
    os << "#" << i << " moves: elementwise " << llvm::format("%.3e", c.elementwise) << ", normwise "
       << llvm::format("%.3e", c.normwise) << ", flips " << c.flips << "\n";
  return success();
}

static LogicalResult runModule(ModuleOp module, llvm::raw_ostream &os) {
  WeightStore store(weightDirectory);
  interp::Interpreter interpreter(module, interp::makeWeightProvider(store));
  interpreter.maxElements = maxElements;
  if (!runAll) {
    auto function = module.lookupSymbol<func::FuncOp>(entryName);
    if (!function)
      return complain("there is no function '" + entryName + "'");
    return runEntry(function, interpreter, os);
  }
  LogicalResult result = success();
  for (func::FuncOp function : module.getOps<func::FuncOp>()) {
    if (function.isPrivate() || function.getNumArguments() != 0)
      continue;
    FailureOr<std::vector<Tensor>> outputs = interpreter.run(function.getSymName(), {});
    if (failed(outputs)) {
      result = failure();
      continue;
    }
    os << "@" << function.getSymName() << "\n";
    printTensors(*outputs, os);
  }
  return result;
}

static LogicalResult runBuffer(std::unique_ptr<llvm::MemoryBuffer> buffer, const DialectRegistry &registry,
                               llvm::raw_ostream &os) {
  MLIRContext context(registry, MLIRContext::Threading::DISABLED);
  context.printOpOnDiagnostic(false);
  llvm::SourceMgr sources;
  sources.AddNewSourceBuffer(std::move(buffer), SMLoc());
  auto work = [&] {
    OwningOpRef<ModuleOp> module = parseSourceFile<ModuleOp>(sources, &context);
    return module ? runModule(*module, os) : failure();
  };
  if (!verifyDiagnostics) {
    SourceMgrDiagnosticHandler handler(sources, &context);
    return work();
  }
  SourceMgrDiagnosticVerifierHandler handler(sources, &context);
  (void)work();
  return handler.verify();
}

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  cl::ParseCommandLineOptions(argc, argv, "runs functions of tenon's graph dialect on the reference interpreter\n");
  DialectRegistry registry;
  registry.insert<arith::ArithDialect, math::MathDialect, complex::ComplexDialect, func::FuncDialect,
                  graph::GraphDialect>();
  std::string error;
  std::unique_ptr<llvm::MemoryBuffer> file = openInputFile(modelFile, &error);
  if (!file)
    return failed(complain(error)) ? EXIT_FAILURE : EXIT_SUCCESS;
  LogicalResult result = splitAndProcessBuffer(
      std::move(file),
      [&](std::unique_ptr<llvm::MemoryBuffer> chunk, llvm::raw_ostream &os) {
        return runBuffer(std::move(chunk), registry, os);
      },
      llvm::outs(), splitInput ? kDefaultSplitMarker : "");
  return failed(result) ? EXIT_FAILURE : EXIT_SUCCESS;
}
