// tenon extract: one kernel of a model as a model of its own, at graph level, with seeded weights.
#include "Model.h"
#include "Report.h"
#include "Targets.h"
#include "dialects/Graph/IR/Dims.h"
#include "dialects/Graph/IR/GraphDialect.h"
#include "dialects/Kernel/IR/KernelDialect.h"
#include "tenon/Driver/Commands.h"
#include "tenon/Pipelines/Compile.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "llvm/Support/FileOutputBuffer.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FileUtilities.h"

using namespace mlir;

namespace tenon::driver {

/// The model after the phase `form`, for one target.
static OwningOpRef<ModuleOp> formKernels(Model &model, const CompileTarget &target) {
  SmallString<128> path;
  if (std::error_code code = llvm::sys::fs::createTemporaryFile("tenon", "mlir", path)) {
    fail("cannot make a temporary file: " + code.message());
    return {};
  }
  llvm::FileRemover remover(path);
  CompileOptions options;
  options.output = path.str().str();
  options.emit = EmitKind::MLIR;
  options.targets = {target};
  options.stopAfter = Phase::Form;
  if (failed(compile(*model.module, *model.weights, options)))
    return {};
  return parseSourceFile<ModuleOp>(path, ParserConfig(model.module->getContext()));
}

/// The first call of `kernel`, and the function it is in.
static kernel::CallOp findCall(ModuleOp module, StringRef kernel) {
  kernel::CallOp found;
  module.walk([&](kernel::CallOp call) {
    if (call.getCallee() != kernel)
      return WalkResult::advance();
    found = call;
    return WalkResult::interrupt();
  });
  return found;
}

/// Ranges of the symbols: those whose size no input shows are fixed to `sizes`.
static ArrayAttr fixSymbols(ArrayAttr symbols, ArrayRef<Type> inputs, ArrayRef<int64_t> sizes) {
  if (!symbols)
    return {};
  MLIRContext *context = symbols.getContext();
  llvm::BitVector isShown(symbols.size());
  for (Type type : inputs)
    for (AffineExpr dim : graph::getDims(type))
      if (auto symbol = dyn_cast<AffineSymbolExpr>(dim); symbol && symbol.getPosition() < isShown.size())
        isShown.set(symbol.getPosition());
  SmallVector<Attribute> result;
  for (auto [i, attribute] : llvm::enumerate(symbols)) {
    auto symbol = cast<graph::SymbolAttr>(attribute);
    result.push_back(isShown[i] ? symbol : graph::SymbolAttr::get(context, symbol.getName(), sizes[i], sizes[i]));
  }
  return ArrayAttr::get(context, result);
}

/// Sizes that were asked for, else a guess inside the symbol's range.
static llvm::Expected<SmallVector<int64_t>> chooseSizes(ArrayAttr symbols, ArrayRef<std::string> asked) {
  SmallVector<int64_t> sizes;
  SmallVector<StringRef> names;
  for (Attribute attribute : symbols ? symbols.getValue() : ArrayRef<Attribute>()) {
    auto symbol = cast<graph::SymbolAttr>(attribute);
    sizes.push_back(std::clamp<int64_t>(8, symbol.getMin(), symbol.getMax()));
    names.push_back(symbol.getName());
  }
  for (StringRef text : asked) {
    auto [name, value] = text.split('=');
    auto found = llvm::find(names, name);
    int64_t size;
    if (found == names.end() || value.getAsInteger(10, size) || size < 0)
      return llvm::createStringError(llvm::inconvertibleErrorCode(),
                                     "--symbol=" + text + " is not NAME=SIZE with a name of " +
                                         (names.empty() ? "none" : llvm::join(names, ", ")));
    sizes[found - names.begin()] = size;
  }
  return sizes;
}

/// A module with one function, `main`, that is the kernel's body; its constants are seeded weights.
static OwningOpRef<ModuleOp> makeAlone(ModuleOp module, kernel::CallOp call, ArrayRef<int64_t> sizes) {
  MLIRContext *context = module.getContext();
  auto callee = module.lookupSymbol<kernel::FuncOp>(call.getCallee());
  auto entry = call->getParentOfType<func::FuncOp>();
  OpBuilder builder(context);
  OwningOpRef<ModuleOp> alone = ModuleOp::create(module.getLoc());
  builder.setInsertionPointToEnd(alone->getBody());

  // Which arguments come from the caller; the others are constants.
  SmallVector<Type> inputTypes;
  std::vector<Operation *> sources;
  for (Value operand : call.getInputs()) {
    Operation *source = operand.getDefiningOp();
    bool isConstant = isa_and_nonnull<graph::UseWeightOp, graph::ConstantOp>(source);
    sources.push_back(isConstant ? source : nullptr);
    if (!isConstant)
      inputTypes.push_back(operand.getType());
  }
  llvm::StringMap<FlatSymbolRefAttr> weights;
  for (Operation *source : sources) {
    auto use = dyn_cast_or_null<graph::UseWeightOp>(source);
    if (!use || weights.count(use.getWeight()))
      continue;
    auto type = cast<RankedTensorType>(use.getType());
    bool isFloat = isa<FloatType, ComplexType>(type.getElementType());
    // Small floats keep long sums near one; integers are zeros, which are valid indices.
    auto weightSource = graph::WeightSourceAttr::get(context, isFloat ? "seed" : "splat", "", 0, 0,
                                                     builder.getF64FloatAttr(isFloat ? 0.125 : 0.0));
    auto weight = graph::WeightOp::create(builder, use.getLoc(), use.getWeight(), type, weightSource);
    weights[use.getWeight()] = FlatSymbolRefAttr::get(weight);
  }

  auto function = func::FuncOp::create(builder, callee.getLoc(), "main",
                                       builder.getFunctionType(inputTypes, callee.getResultTypes()));
  if (ArrayAttr symbols = fixSymbols(entry->getAttrOfType<ArrayAttr>("graph.symbols"), inputTypes, sizes)) {
    function->setAttr("graph.symbols", symbols);
    function->setAttr("tenon.sizes", builder.getDenseI64ArrayAttr(sizes));
  }
  (*alone)->setAttr("tenon.kernel", builder.getStringAttr(call.getCallee()));
  Block *block = function.addEntryBlock();
  builder.setInsertionPointToStart(block);
  IRMapping mapping;
  unsigned next = 0;
  for (auto [source, argument] : llvm::zip(sources, callee.getBody().getArguments())) {
    if (!source)
      mapping.map(argument, block->getArgument(next++));
    else if (auto use = dyn_cast<graph::UseWeightOp>(source))
      mapping.map(argument, graph::UseWeightOp::create(builder, use.getLoc(), use.getType(), weights[use.getWeight()]));
    else
      mapping.map(argument, builder.clone(*source)->getResult(0));
  }
  Block &body = callee.getBody().front();
  for (Operation &op : body.without_terminator())
    builder.clone(op, mapping);
  SmallVector<Value> results;
  for (Value value : body.getTerminator()->getOperands())
    results.push_back(mapping.lookup(value));
  func::ReturnOp::create(builder, body.getTerminator()->getLoc(), results);
  return alone;
}

static llvm::Error writeText(StringRef path, StringRef text) {
  auto buffer = llvm::FileOutputBuffer::create(path, text.size());
  if (!buffer)
    return buffer.takeError();
  llvm::copy(text, reinterpret_cast<char *>((*buffer)->getBufferStart()));
  return (*buffer)->commit();
}

int extract(const ExtractCommand &command) {
  Context context(1);
  llvm::Expected<std::vector<CompileTarget>> levels = parseTargets(context.get(), {command.target});
  if (!levels)
    return fail(levels.takeError());
  DiagnosticPrinter diagnostics(context.get(), command.model);
  Model model;
  if (int status = loadModel(command.model, command.entry, context.get(), model))
    return status;
  OwningOpRef<ModuleOp> formed = formKernels(model, levels->front());
  if (!formed)
    return diagnostics.unsupported() ? Unsupported : Failed;
  std::vector<std::string> names;
  for (auto kernel : formed->getOps<kernel::FuncOp>())
    names.push_back(kernel.getSymName().str());
  if (command.list) {
    for (const std::string &name : names)
      llvm::outs() << name << "\n";
    return Done;
  }
  if (command.kernel.empty() || command.output.empty())
    return fail("extract needs --kernel=NAME and -o FILE, or --list");
  kernel::CallOp call = findCall(*formed, command.kernel);
  if (!call)
    return fail(command.model + ": there is no kernel '" + command.kernel + "'; the kernels are " +
                llvm::join(names, ", "));
  auto symbols = call->getParentOfType<func::FuncOp>()->getAttrOfType<ArrayAttr>("graph.symbols");
  llvm::Expected<SmallVector<int64_t>> sizes = chooseSizes(symbols, command.symbols);
  if (!sizes)
    return fail(sizes.takeError());
  OwningOpRef<ModuleOp> alone = makeAlone(*formed, call, *sizes);
  if (failed(verify(*alone)))
    return fail("kernel '" + command.kernel + "' cannot stand alone");
  std::string text = "// Kernel '" + command.kernel + "', cut out by 'tenon extract'. Bench: tenon bench FILE; check: tenon verify FILE\n";
  llvm::raw_string_ostream os(text);
  alone->print(os);
  if (llvm::Error error = writeText(command.output, os.str()))
    return fail(command.output + ": " + llvm::toString(std::move(error)));
  return Done;
}

} // namespace tenon::driver
