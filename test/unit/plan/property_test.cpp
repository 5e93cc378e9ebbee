//===- property_test.cpp - random programs, planned, against their meaning -===//
// A random entry is evaluated twice: value by value, and by running its plan on bytes in the places the plan chose. A
// kernel is a hash of all its inputs, so that one wrong byte shows. Prints the seed of what fails.
#include "dialects/Plan/Transforms/Lifetimes.h"
#include "random_program.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "tenon/InitAll.h"
#include "tenon/Pipelines/Host.h"
#include <chrono>
#include <cstdio>
#include <cstring>
#include <random>

using namespace mlir;
using namespace tenon;

namespace tenon::plan_test {

using Bytes = std::vector<uint8_t>;

static uint64_t hashBytes(uint64_t h, const uint8_t *bytes, size_t n) {
  for (size_t i = 0; i < n; ++i)
    h = (h ^ bytes[i]) * 0x100000001b3ull + 0x9e37;
  return (h ^ (h >> 29)) * 0xBF58476D1CE4E5B9ull;
}
static Bytes fill(uint64_t seed, int64_t n) {
  Bytes bytes(n);
  for (auto &b : bytes)
    b = (seed = (seed ^ (seed >> 27)) * 0x94D049BB133111EBull + 1) >> 56;
  return bytes;
}
static Bytes runKernel(uint64_t kernel, ArrayRef<Bytes> inputs, unsigned result, int64_t bytes) {
  uint64_t h = kernel * 977 + result;
  for (const Bytes &b : inputs)
    h = hashBytes(h, b.data(), b.size());
  Bytes made = fill(h, bytes);
  if (bytes == 1) // only predicates have one byte
    made[0] &= 1;
  return made;
}
/// Loops of random conditions might never end.
static constexpr int64_t kMaxSteps = 5;

//===----------------------------------------------------------------------===//
// Meaning
//===----------------------------------------------------------------------===//

namespace {
class Evaluator {
public:
  explicit Evaluator(ArrayRef<int64_t> symbols) : symbols(symbols) {}

  std::vector<Bytes> run(const Block &block, std::vector<Bytes> values) {
    values.resize(block.values.size());
    for (const Op &op : block.ops) {
      std::vector<Bytes> inputs;
      for (int v : op.operands)
        inputs.push_back(values[v]);
      if (op.kind == Op::Scan) {
        runScan(block, op, inputs, values);
        continue;
      }
      if (op.kind == Op::Cond || op.kind == Op::While) {
        std::vector<Bytes> results = op.kind == Op::Cond ? runCond(op, inputs) : runWhile(op, inputs);
        for (size_t r = 0; r < op.results.size(); ++r)
          values[op.results[r]] = results[r];
        continue;
      }
      for (size_t r = 0; r < op.results.size(); ++r) {
        int64_t bytes = block.values[op.results[r]].bytes(symbols);
        values[op.results[r]] = op.kind == Op::Call      ? runKernel(op.kernel, inputs, r, bytes)
                                : op.kind == Op::Reshape ? inputs[0]
                                : op.kind == Op::Weight  ? weight(op.symbolName, bytes)
                                                         : constant(bytes);
      }
    }
    std::vector<Bytes> results;
    for (int v : block.results)
      results.push_back(values[v]);
    return results;
  }
  static Bytes weight(StringRef name, int64_t bytes) {
    return fill(hashBytes(7, reinterpret_cast<const uint8_t *>(name.data()), name.size()), bytes);
  }
  static Bytes constant(int64_t bytes) {
    Bytes all(bytes);
    float value = 1.5f;
    for (int64_t i = 0; i < bytes; i += 4)
      std::memcpy(&all[i], &value, 4);
    return all;
  }

private:
  ArrayRef<int64_t> symbols;

  std::vector<Bytes> runCond(const Op &op, const std::vector<Bytes> &inputs) {
    return run(inputs[0][0] ? *op.body : *op.other, std::vector<Bytes>(inputs.begin() + 1, inputs.end()));
  }
  std::vector<Bytes> runWhile(const Op &op, std::vector<Bytes> inputs) {
    for (int64_t step = 0; step < kMaxSteps && run(*op.other, inputs)[0][0]; ++step) {
      std::vector<Bytes> next = run(*op.body, inputs);
      std::copy(next.begin(), next.end(), inputs.begin());
    }
    inputs.resize(op.carries);
    return inputs;
  }

  void runScan(const Block &block, const Op &op, ArrayRef<Bytes> inputs, std::vector<Bytes> &values) {
    int64_t n = op.length.eval(symbols);
    std::vector<Bytes> carried(inputs.begin(), inputs.begin() + op.carries), stacks(op.results.size() - op.carries);
    for (size_t j = 0; j < stacks.size(); ++j)
      stacks[j].resize(block.values[op.results[op.carries + j]].bytes(symbols));
    for (int64_t t = 0; t < n; ++t) {
      int64_t at = op.reverse ? n - 1 - t : t;
      std::vector<Bytes> arguments = carried;
      for (int i = 0; i < op.xs; ++i) {
        const Bytes &whole = inputs[op.carries + i];
        size_t slice = whole.size() / n;
        arguments.emplace_back(whole.begin() + at * slice, whole.begin() + (at + 1) * slice);
      }
      arguments.insert(arguments.end(), inputs.begin() + op.carries + op.xs, inputs.end());
      std::vector<Bytes> results = run(*op.body, arguments);
      for (size_t j = 0; j < stacks.size(); ++j) {
        const Bytes &slice = results[op.carries + j];
        std::copy(slice.begin(), slice.end(), stacks[j].begin() + at * slice.size());
      }
      carried.assign(results.begin(), results.begin() + op.carries);
    }
    for (int c = 0; c < op.carries; ++c)
      values[op.results[c]] = carried[c];
    for (size_t j = 0; j < stacks.size(); ++j)
      values[op.results[op.carries + j]] = stacks[j];
  }
};

/// Runs a plan on bytes.
class Machine {
public:
  Machine(plan::FuncOp func, ArrayRef<int64_t> symbols)
      : func(func), module(func->getParentOfType<ModuleOp>()), symbols(symbols) {
    func.walk([&](plan::AllocOp alloc) { byId[alloc.getId()] = alloc; });
    int64_t arena = 0;
    func.walk([&](plan::AllocOp alloc) { arena = std::max(arena, endOf(alloc)); });
    memory["arena"] = fill(99, arena);
    arenaBytes = arena;
  }
  std::map<std::string, Bytes> memory;
  std::string error;
  int64_t arenaBytes = 0;
  int copies = 0;

  void run() { run(func.getBody().front()); }

private:
  struct Range {
    std::string where;
    int64_t begin, bytes;
    bool operator==(const Range &o) const { return where == o.where && begin == o.begin && bytes == o.bytes; }
    bool overlaps(const Range &o) const {
      return where == o.where && bytes && o.bytes && begin < o.begin + o.bytes && o.begin < begin + bytes;
    }
  };
  plan::FuncOp func;
  ModuleOp module;
  ArrayRef<int64_t> symbols;
  std::vector<int64_t> counters;
  DenseMap<int64_t, plan::AllocOp> byId;
  DenseMap<int64_t, int64_t> offsets;
  DenseMap<Value, Range> ranges;

  int64_t eval(plan::ExprAttr e) { return *graph::evaluate(e.getValue(), symbols, counters); }
  int64_t offsetOf(plan::AllocOp alloc) {
    auto it = offsets.find(alloc.getId());
    if (it != offsets.end())
      return it->second;
    int64_t offset = alloc.getOffset().value_or(0);
    for (int64_t id : alloc.getBelow().value_or(ArrayRef<int64_t>()))
      offset = std::max(offset, endOf(byId[id]));
    return offsets[alloc.getId()] = offset;
  }
  int64_t endOf(plan::AllocOp alloc) { return llvm::alignTo(offsetOf(alloc) + eval(alloc.getBytes()), 64); }

  uint8_t *check(const Range &range) {
    Bytes &bytes = memory[range.where];
    if (range.bytes && (range.begin < 0 || range.begin + range.bytes > static_cast<int64_t>(bytes.size()))) {
      error = "access outside of " + range.where;
      return nullptr;
    }
    return bytes.data() + range.begin;
  }
  Bytes read(const Range &range) {
    uint8_t *p = check(range);
    return p && range.bytes ? Bytes(p, p + range.bytes) : Bytes();
  }
  void write(const Range &range, const Bytes &bytes) {
    if (range.where[0] == 'i' || range.where[0] == 'c')
      error = "write to " + range.where;
    if (uint8_t *p = check(range); p && range.bytes)
      std::memcpy(p, bytes.data(), range.bytes);
  }

  void run(mlir::Block &block) {
    for (Operation &op : block) {
      if (!error.empty())
        return;
      if (auto input = dyn_cast<plan::InputOp>(op))
        ranges[input] = {"in" + std::to_string(input.getIndex()), 0, eval(input.getBytes())};
      else if (auto output = dyn_cast<plan::OutputOp>(op))
        ranges[output] = {"out" + std::to_string(output.getIndex()), 0, eval(output.getBytes())};
      else if (auto state = dyn_cast<plan::StateOp>(op))
        ranges[state] = {"state " + state.getVariable().str(), 0, eval(state.getBytes())};
      else if (auto weight = dyn_cast<plan::WeightOp>(op))
        ranges[weight] = {"constant " + weight.getConstant().str(), 0, eval(weight.getBytes())};
      else if (auto alloc = dyn_cast<plan::AllocOp>(op))
        ranges[alloc] = {"arena", offsetOf(alloc), eval(alloc.getBytes())};
      else if (auto view = dyn_cast<plan::ViewOp>(op))
        ranges[view] = {ranges[view.getBuffer()].where, ranges[view.getBuffer()].begin + eval(view.getOffset()),
                        eval(view.getBytes())};
      else if (auto choose = dyn_cast<plan::ChooseOp>(op))
        ranges[choose] = Range(ranges[eval(choose.getCondition()) == 0 ? choose.getZero() : choose.getOther()]);
      else if (auto copy = dyn_cast<plan::CopyOp>(op))
        runCopy(copy);
      else if (auto call = dyn_cast<plan::CallOp>(op))
        runCall(call);
      else if (auto together = dyn_cast<plan::TogetherOp>(op)) // any order must do: the other way round is one
        for (Operation &call : llvm::reverse(together.getBody().front()))
          runCall(cast<plan::CallOp>(call));
      else if (auto loop = dyn_cast<plan::LoopOp>(op)) {
        counters.push_back(0);
        for (int64_t i = 0, n = eval(loop.getCount()); i < n; ++i) {
          counters.back() = i;
          run(loop.getBody().front());
        }
        counters.pop_back();
      } else if (auto branch = dyn_cast<plan::IfOp>(op)) {
        run((test(branch.getPredicate()) ? branch.getThenBody() : branch.getElseBody()).front());
      } else if (auto loop = dyn_cast<plan::WhileOp>(op)) {
        counters.push_back(0);
        while (true) {
          run(loop.getCondition().front());
          bool goesOn = test(cast<plan::TestOp>(loop.getCondition().front().back()).getPredicate());
          if (!error.empty() || !goesOn || counters.back() >= kMaxSteps)
            break;
          run(loop.getBody().front());
          ++counters.back();
        }
        run(loop.getExit().front());
        counters.pop_back();
      }
    }
  }
  bool test(Value predicate) {
    Bytes byte = read(ranges[predicate]);
    return !byte.empty() && byte[0] != 0;
  }
  void runCopy(plan::CopyOp copy) {
    Range from = ranges[copy.getSource()], to = ranges[copy.getDest()];
    int64_t bytes = eval(copy.getBytes());
    if (bytes > std::max(from.bytes, to.bytes))
      error = "copy of more than the buffers hold";
    from.bytes = to.bytes = bytes;
    if (from.overlaps(to))
      error = "copy within " + from.where;
    write(to, read(from));
    copies += bytes != 0;
  }
  void runCall(plan::CallOp call) {
    std::vector<Bytes> inputs;
    for (Value v : call.getInputs())
      inputs.push_back(read(ranges[v]));
    for (auto [j, out] : llvm::enumerate(call.getOutputs())) {
      for (auto [i, in] : llvm::enumerate(call.getInputs()))
        if (ranges[in].overlaps(ranges[out]) && !(call.mayAlias(i, j) && ranges[in] == ranges[out]))
          error = "call writes over an input";
      for (auto [k, other] : llvm::enumerate(call.getOutputs()))
        if (k != j && ranges[other].overlaps(ranges[out]))
          error = "call writes over an output";
    }
    uint64_t kernel = 0;
    call.getCallee().drop_front().getAsInteger(10, kernel);
    if (call.getScratch()) {
      Range scratch = ranges[call.getScratch()];
      for (Value v : llvm::concat<Value>(llvm::to_vector(call.getInputs()), llvm::to_vector(call.getOutputs())))
        if (ranges[v].overlaps(scratch))
          error = "operand in scratch";
      write(scratch, fill(kernel, scratch.bytes));
    }
    for (auto [j, out] : llvm::enumerate(call.getOutputs()))
      write(ranges[out], runKernel(kernel, inputs, j, ranges[out].bytes));
  }
};
} // namespace

//===----------------------------------------------------------------------===//
// The properties
//===----------------------------------------------------------------------===//

static int reportFailure(uint64_t seed, const Program &program, const std::string &what, ModuleOp module = {}) {
  std::fprintf(stderr, "seed %llu: %s\n%s\n", static_cast<unsigned long long>(seed), what.c_str(),
               program.text.c_str());
  if (module)
    module->dump();
  return 1;
}

static int testProgram(MLIRContext &context, uint64_t seed, bool mutate) {
  Program program = makeProgram(seed);
  OwningOpRef<ModuleOp> module = parseSourceString<ModuleOp>(program.text, &context);
  if (!module)
    return reportFailure(seed, program, "does not parse");
  if (failed(convertKernelToPlan(*module)))
    return reportFailure(seed, program, "cannot be planned");
  auto func = *module->getOps<plan::FuncOp>().begin();
  plan::groupCalls(func);
  plan::assignOffsets(func);
  if (failed(plan::verifyMemory(func)) || failed(verify(*module)))
    return reportFailure(seed, program, "plan is refused", *module);

  const int64_t sizes[][2] = {{5, 3}, {1, 1}, {0, 0}, {2, 0}, {0, 7}, {9, 4}};
  for (const auto &size : sizes) {
    ArrayRef<int64_t> symbols(size);
    Machine machine(func, symbols);
    std::vector<Bytes> arguments;
    int input = 0;
    for (int a = 0; a < program.block.arguments; ++a) {
      arguments.push_back(fill(seed + 31 * a, program.block.values[a].bytes(symbols)));
      int s = program.stateOfArgument[a];
      machine.memory[s < 0 ? "in" + std::to_string(input++) : "state s" + std::to_string(s)] = arguments.back();
    }
    for (auto constant : module->getOps<plan::ConstantOp>())
      machine.memory["constant " + constant.getSymName().str()] =
          constant.getWeight() ? Evaluator::weight(*constant.getWeight(), constant.getBytes())
                               : Evaluator::constant(constant.getBytes());
    int output = 0;
    for (size_t r = 0; r < program.block.results.size(); ++r)
      if (program.stateOfResult[r] < 0)
        machine.memory["out" + std::to_string(output++)] =
            fill(1000 + r, program.block.values[program.block.results[r]].bytes(symbols));
    machine.run();
    if (!machine.error.empty())
      return reportFailure(seed, program, machine.error, *module);
    std::vector<Bytes> wanted = Evaluator(symbols).run(program.block, arguments);
    output = 0;
    for (size_t r = 0; r < wanted.size(); ++r) {
      int s = program.stateOfResult[r];
      std::string where = s < 0 ? "out" + std::to_string(output++) : "state s" + std::to_string(s);
      if (machine.memory[where] != wanted[r])
        return reportFailure(seed, program,
                             "wrong bytes in " + where + " for sizes " + std::to_string(size[0]) + ", " +
                                 std::to_string(size[1]),
                             *module);
    }
  }
  if (!mutate)
    return 0;
  // The verifier must see every way to break the placement: two buffers that live together put into one place.
  SmallVector<plan::Lifetime> lifetimes = plan::computeLifetimes(func);
  for (auto [i, a] : llvm::enumerate(lifetimes))
    for (plan::Lifetime &b : MutableArrayRef(lifetimes).drop_front(i + 1)) {
      if (!a.overlaps(b) || a.alloc.getBytes().getConstant() == 0 || b.alloc.getBytes().getConstant() == 0)
        continue;
      DictionaryAttr before = b.alloc->getAttrDictionary();
      if (b.alloc.getOffset()) {
        b.alloc.setOffset(*a.alloc.getOffset());
      } else {
        // Only a buffer with nothing above it: others may be kept apart by a third between them.
        bool hasUpper = false;
        for (plan::Lifetime &c : lifetimes)
          hasUpper |= llvm::is_contained(c.alloc.getBelow().value_or(ArrayRef<int64_t>()), b.alloc.getId());
        if (hasUpper || !llvm::is_contained(*b.alloc.getBelow(), a.alloc.getId()))
          continue;
        SmallVector<int64_t> below(*b.alloc.getBelow());
        llvm::erase(below, a.alloc.getId());
        b.alloc.setBelow(below);
      }
      ScopedDiagnosticHandler quiet(&context, [](Diagnostic &) { return success(); });
      if (succeeded(plan::verifyMemory(func)))
        return reportFailure(seed, program, "a broken plan is accepted", *module);
      b.alloc->setAttrs(before);
    }
  return 0;
}

/// Random lifetimes without a program around them: quality and speed of the placement.
static int testPlacement(MLIRContext &context) {
  std::mt19937_64 random(7);
  auto random_ = [&](int64_t n) { return static_cast<int64_t>(random() % n); };
  for (int64_t count : {10, 100, 1000}) {
    for (bool symbolic : {false, true}) {
      std::string text = "plan.func @f attributes {symbols = [#graph.symbol<\"a\", 1, 64>]} {\n";
      std::vector<std::vector<int>> die(count + 64);
      for (int64_t i = 0; i < count; ++i) {
        text += "%" + std::to_string(i) + " = plan.alloc " + std::to_string(i) + " bytes(" +
                (symbolic && random_(2) ? "s0 * " : "") + std::to_string(64 + random_(100000)) + ")\n";
        // Touched here and a few events later, as in a network: most die soon, some live long.
        text += "plan.store_sizes [] to %" + std::to_string(i) + "\n";
        die[std::min<int64_t>(count + 63, i + 1 + (random_(8) == 0 ? random_(60) : random_(4)))].push_back(i);
        for (int d : die[i])
          text += "plan.store_sizes [] to %" + std::to_string(d) + "\n";
      }
      for (int64_t i = count; i < count + 64; ++i)
        for (int d : die[i])
          text += "plan.store_sizes [] to %" + std::to_string(d) + "\n";
      text += "}\n";
      OwningOpRef<ModuleOp> module = parseSourceString<ModuleOp>(text, &context);
      if (!module)
        return 1;
      auto func = *module->getOps<plan::FuncOp>().begin();
      auto start = std::chrono::steady_clock::now();
      int64_t live = 0, bytes = plan::assignOffsets(func, &live);
      double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      if (failed(plan::verifyMemory(func)))
        return 1;
      std::printf("placement of %4lld %s buffers: %.1f ms", static_cast<long long>(count),
                  symbolic ? "symbolic" : "constant", seconds * 1e3);
      if (bytes >= 0)
        std::printf(", arena %.3f of the lower bound", static_cast<double>(bytes) / static_cast<double>(live));
      else
        std::printf(", arena %.3f of the lower bound",
                    static_cast<double>(Machine(func, {64}).arenaBytes) / static_cast<double>(live));
      std::printf("\n");
      if (bytes > live + live / 4 || seconds > 2)
        return std::fprintf(stderr, "placement is worse or slower than it was\n"), 1;
    }
  }
  return 0;
}

} // namespace tenon::plan_test

int main(int argc, char **argv) {
  uint64_t first = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1;
  uint64_t count = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 200;
  DialectRegistry registry;
  registerAllDialects(registry);
  MLIRContext context(registry);
  context.loadAllAvailableDialects();
  // Remarks about copied variables are not what is tested here.
  context.getDiagEngine().registerHandler(
      [](Diagnostic &diag) { return success(diag.getSeverity() == DiagnosticSeverity::Remark); });
  for (uint64_t seed = first; seed < first + count; ++seed)
    if (plan_test::testProgram(context, seed, seed % 5 == 0))
      return 1;
  if (plan_test::testPlacement(context))
    return 1;
  std::printf("ok: %llu programs\n", static_cast<unsigned long long>(count));
  return 0;
}
