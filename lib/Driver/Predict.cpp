// Sums over the calls of a plan.
#include "Predict.h"
#include "dialects/Plan/IR/PlanDialect.h"
#include "tenon/Pipelines/Compile.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/Format.h"

using namespace mlir;

namespace tenon::driver {

/// Shares of a call's arithmetic below which nothing is worth a remark; steps above which a loop is.
static constexpr double kNotableShare = 0.05;
static constexpr int64_t kNotableSteps = 64;

namespace {
class EntryReader {
public:
  EntryReader(plan::FuncOp func, EntryPrediction &result) : func(func), result(result) {}

  llvm::Error chooseSizes(llvm::ArrayRef<std::string> texts, llvm::StringSet<> &known);
  void read();

private:
  struct Use {
    plan::CallOp call;
    double times, operations;
  };

  int64_t eval(AffineExpr expr) {
    SmallVector<int64_t> counters(16, 0);
    return graph::evaluate(expr, sizes, counters).value_or(0);
  }
  void readBlock(Block &block, double times);
  int64_t offsetOf(plan::AllocOp alloc);
  void findSlowPlaces();

  plan::FuncOp func;
  EntryPrediction &result;
  SmallVector<int64_t> sizes;
  llvm::StringSet<> kernels;
  std::vector<Use> uses;
  DenseMap<int64_t, plan::AllocOp> byId;
  DenseMap<int64_t, int64_t> offsets;
};
} // namespace

llvm::Error EntryReader::chooseSizes(llvm::ArrayRef<std::string> texts, llvm::StringSet<> &known) {
  for (auto symbol : func.getSymbols().getAsRange<graph::SymbolAttr>()) {
    StringRef name = symbol.getName();
    known.insert(name);
    int64_t value = std::clamp<int64_t>(std::max<int64_t>(symbol.getMin(), 1), 0, symbol.getMax());
    if (symbol.isFound())
      value = std::min(symbol.getMax(), eval(symbol.getBound().getExprs()[0]));
    for (StringRef text : texts) {
      auto [wanted, number] = text.split('=');
      if (wanted != name)
        continue;
      if (number.getAsInteger(10, value) || value < symbol.getMin() || value > symbol.getMax())
        return llvm::createStringError("--symbol=" + text + " is not " + name + "=SIZE with a size of " +
                                       llvm::Twine(symbol.getMin()) + " to " + llvm::Twine(symbol.getMax()));
    }
    sizes.push_back(value);
    result.sizes.emplace_back(name.str(), value);
  }
  return llvm::Error::success();
}

void EntryReader::readBlock(Block &block, double times) {
  for (Operation &op : block) {
    if (auto call = dyn_cast<plan::CallOp>(op)) {
      double operations = call.getWork() ? times * eval(call.getWork()->getValue()) : 0;
      kernels.insert(call.getCallee());
      uses.push_back({call, times, operations});
      result.operations += operations;
      for (Value buffer : llvm::concat<Value>(llvm::to_vector(call.getInputs()), llvm::to_vector(call.getOutputs())))
        result.movedBytes += times * eval(plan::bufferBytes(buffer));
      result.scratchBytes = std::max(result.scratchBytes, eval(call.getScratchBytes().getValue()));
    } else if (auto copy = dyn_cast<plan::CopyOp>(op)) {
      result.movedBytes += 2 * times * eval(copy.getBytes().getValue());
    } else if (auto loop = dyn_cast<plan::LoopOp>(op)) {
      int64_t steps = eval(loop.getCount().getValue());
      if (steps >= kNotableSteps)
        result.slow.push_back({loop.getLoc(), std::to_string(steps) + " steps run one after another"});
      readBlock(loop.getBody().front(), times * steps);
    } else {
      result.hasUnknownSteps |= isa<plan::WhileOp>(op);
      for (Region &region : op.getRegions()) // of a branch both ways are counted
        readBlock(region.front(), times);
    }
  }
}

int64_t EntryReader::offsetOf(plan::AllocOp alloc) {
  if (alloc.getOffset())
    return *alloc.getOffset();
  if (auto it = offsets.find(alloc.getId()); it != offsets.end())
    return it->second;
  int64_t offset = 0;
  for (int64_t id : alloc.getBelow().value_or(ArrayRef<int64_t>())) {
    plan::AllocOp lower = byId.lookup(id);
    offset = std::max<int64_t>(offset,
                               offsetOf(lower) + llvm::alignTo(eval(lower.getBytes().getValue()), plan::kBufferAlign));
  }
  return offsets[alloc.getId()] = offset;
}

void EntryReader::findSlowPlaces() {
  for (Use &use : uses) {
    bool isNotable =
        use.operations >= kNotableShare * result.operations && use.operations >= use.times * 4 * plan::kParallelWork;
    if (isNotable && eval(use.call.getTiles().getValue()) <= 1 && !isa<plan::TogetherOp>(use.call->getParentOp())) {
      std::string reason;
      llvm::raw_string_ostream(reason) << llvm::format("%.0f", 100 * use.operations / result.operations)
                                       << " % of the arithmetic runs on one thread";
      result.slow.push_back({use.call.getLoc(), reason});
    }
  }
  for (auto text : func.getCopied().value_or(ArrayAttr::get(func.getContext(), {})).getAsRange<StringAttr>()) {
    auto [variable, reason] = text.getValue().split(": ");
    result.slow.push_back({func.getLoc(), ("variable " + variable + " is copied in each call: " + reason).str()});
  }
}

void EntryReader::read() {
  result.name = func.getSymName().str();
  readBlock(func.getBody().front(), 1);
  result.kernels = kernels.size();
  func.walk([&](plan::AllocOp alloc) { byId[alloc.getId()] = alloc; });
  for (auto [id, alloc] : byId)
    result.arenaBytes = std::max<int64_t>(
        result.arenaBytes, offsetOf(alloc) + llvm::alignTo(eval(alloc.getBytes().getValue()), plan::kBufferAlign));
  findSlowPlaces();
}

llvm::Expected<Prediction> predict(Model &model, llvm::ArrayRef<std::string> symbols, unsigned threads) {
  Prediction result;
  llvm::Error error = llvm::Error::success();
  CompileOptions options;
  options.threads = threads;
  options.onPlan = [&](ModuleOp module) {
    llvm::StringSet<> known;
    for (auto func : module.getOps<plan::FuncOp>()) {
      EntryReader reader(func, result.entries.emplace_back());
      if (!error)
        error = reader.chooseSizes(symbols, known);
      if (!error)
        reader.read();
    }
    for (StringRef text : symbols)
      if (!error && !known.contains(text.split('=').first))
        error = llvm::createStringError("--symbol=" + text + " names no size of the model" +
                                        (known.empty() ? "" : ": it has " + llvm::join(known.keys(), ", ")));
    for (auto constant : module.getOps<plan::ConstantOp>())
      result.constantBytes = std::max<int64_t>(result.constantBytes, constant.getOffset() + constant.getBytes());
    for (auto variable : module.getOps<plan::VariableOp>())
      result.stateBytes += llvm::alignTo(variable.getBytes(), plan::kBufferAlign);
  };
  LogicalResult status = compile(*model.module, *model.weights, options);
  if (error)
    return std::move(error);
  if (failed(status))
    return llvm::createStringError("the model cannot be planned");
  return result;
}

} // namespace tenon::driver
