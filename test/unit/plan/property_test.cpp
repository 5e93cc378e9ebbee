//===- property_test.cpp - random programs, planned, against their meaning -===//
// A random entry is evaluated twice: value by value, and by running its plan on bytes in the places the plan chose. A
// kernel is a hash of all its inputs, so that one wrong byte shows. Prints the seed of what fails.
#include "dialects/Plan/Transforms/Lifetimes.h"
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
// Programs
//===----------------------------------------------------------------------===//

namespace {
struct Size { // c, or c * s<symbol>
  int64_t c;
  int symbol = -1;
  int64_t eval(ArrayRef<int64_t> s) const { return symbol < 0 ? c : c * s[symbol]; }
  std::string text() const {
    return symbol < 0 ? std::to_string(c) : "s" + std::to_string(symbol) + " * " + std::to_string(c);
  }
  bool operator==(const Size &o) const { return c == o.c && symbol == o.symbol; }
};
struct Shape {
  std::vector<Size> dims;
  bool isPredicate = false;
  int64_t bytes(ArrayRef<int64_t> s) const {
    int64_t n = isPredicate ? 1 : 4;
    for (const Size &d : dims)
      n *= d.eval(s);
    return n;
  }
  bool isStatic() const {
    return llvm::all_of(dims, [](const Size &d) { return d.symbol < 0; });
  }
  std::string text() const {
    std::string t = "tensor<", list;
    for (const Size &d : dims) {
      t += (d.symbol < 0 ? std::to_string(d.c) : "?") + "x";
      list += (list.empty() ? "" : ", ") + d.text();
    }
    return t + (isPredicate ? "i1" : "f32") + (isStatic() ? "" : ", #graph.dims<[" + list + "]>") + ">";
  }
  bool operator==(const Shape &o) const { return dims == o.dims && isPredicate == o.isPredicate; }
};

struct Block;
struct Op {
  enum Kind { Call, Reshape, Constant, Weight, Scan, Cond, While } kind;
  std::vector<int> operands, results; // values of the block
  uint64_t kernel = 0;
  std::vector<std::pair<int, int>> alias;
  std::string symbolName;
  // Scan
  int carries = 0, xs = 0;
  bool reverse = false;
  Size length{0};
  std::shared_ptr<Block> body;
  std::shared_ptr<Block> other; // Cond: else; While: the condition
};
struct Block {
  std::vector<Shape> values;
  int arguments = 0;
  std::vector<Op> ops;
  std::vector<int> results;
};
struct Program {
  Block block;
  std::vector<int> stateOfArgument, stateOfResult; // -1: the caller's
  std::vector<Shape> states;
  std::string kernels, weights;
  std::string text;
};

class Generator {
public:
  explicit Generator(uint64_t seed) : random(seed) {
    symbolic = pick(3) != 0;
    for (int i = 0, n = 2 + pick(3); i < n; ++i)
      shapes.push_back(someShape());
  }

  Program make() {
    Program program;
    Block &block = program.block;
    int stateCount = pick(3);
    for (int s = 0; s < stateCount; ++s) {
      Shape shape;
      do
        shape = pick(2) ? anyOf(shapes) : Shape{{Size{1 + pick(40)}}};
      while (!shape.isStatic() && (shape = Shape{{Size{7}}}, false));
      program.states.push_back(shape);
      shapes.push_back(shape);
    }
    int inputs = 1 + pick(3);
    for (int i = 0; i < inputs; ++i) {
      block.values.push_back(anyOf(shapes));
      program.stateOfArgument.push_back(-1);
    }
    for (int s = 0; s < stateCount; ++s) {
      block.values.push_back(program.states[s]);
      program.stateOfArgument.push_back(s);
    }
    block.arguments = block.values.size();
    fillBlock(block, 3 + pick(14), 0);
    // Results: new values of variables, most of them late values of that shape; then anything, repeats included.
    for (int s = 0; s < stateCount; ++s) {
      if (pick(5) == 0)
        continue;
      int value = valueOf(block, program.states[s]);
      block.results.push_back(value);
      program.stateOfResult.push_back(s);
    }
    for (int i = 0, n = 1 + pick(4); i < n; ++i) {
      block.results.push_back(pick(block.values.size()));
      program.stateOfResult.push_back(-1);
    }
    print(program);
    return program;
  }

private:
  std::mt19937_64 random;
  bool symbolic;
  std::vector<Shape> shapes;
  std::string kernels, weights;
  int nextKernel = 0, nextWeight = 0;

  int pick(int n) { return n <= 1 ? 0 : static_cast<int>(random() % n); }
  template <typename T> const T &anyOf(const std::vector<T> &list) { return list[pick(list.size())]; }

  Shape someShape() {
    Shape shape;
    for (int i = 0, n = pick(3); i < n; ++i)
      shape.dims.push_back(symbolic && pick(2) ? Size{1 + pick(3), pick(2)} : Size{pick(8) == 0 ? 0 : 1 + pick(20)});
    return shape;
  }

  /// A value of a shape, rather a late one; made if there is none.
  int valueOf(Block &block, Shape shape) {
    for (int tries = 0; tries < 8 && !block.values.empty(); ++tries) {
      int from = pick(2) ? std::max<int>(0, block.values.size() - 4) : 0;
      int v = from + pick(block.values.size() - from);
      if (block.values[v] == shape)
        return v;
    }
    for (int v = block.values.size() - 1; v >= 0; --v)
      if (block.values[v] == shape && pick(4))
        return v;
    return addCall(block, {shape});
  }

  int addCall(Block &block, std::vector<Shape> results) {
    Op op{Op::Call};
    op.kernel = ++nextKernel;
    for (int i = 0, n = pick(4); i < n && !block.values.empty(); ++i) {
      int from = pick(3) ? std::max<int>(0, block.values.size() - 5) : 0;
      op.operands.push_back(from + pick(block.values.size() - from));
    }
    int first = block.values.size();
    for (const Shape &shape : results) {
      op.results.push_back(block.values.size());
      block.values.push_back(shape);
    }
    for (size_t r = 0; r < results.size(); ++r)
      for (size_t i = 0; i < op.operands.size(); ++i)
        if (block.values[op.operands[i]] == results[r] && pick(3) &&
            llvm::none_of(op.alias, [&](auto p) { return p.first == static_cast<int>(i); })) {
          op.alias.push_back({i, r});
          break;
        }
    block.ops.push_back(op);
    return first;
  }

  void addScan(Block &block, int depth) {
    Op op{Op::Scan};
    op.reverse = pick(2);
    op.length = symbolic && pick(2) ? Size{1, pick(2)} : Size{pick(5)};
    op.carries = pick(4);
    op.xs = pick(3);
    op.body = std::make_shared<Block>();
    Block &body = *op.body;
    std::vector<Shape> carried;
    for (int c = 0; c < op.carries; ++c) {
      carried.push_back(anyOf(shapes));
      op.operands.push_back(valueOf(block, carried[c]));
      body.values.push_back(carried[c]);
    }
    for (int i = 0; i < op.xs; ++i) {
      Shape slice = anyOf(shapes), whole = slice;
      whole.dims.insert(whole.dims.begin(), op.length);
      op.operands.push_back(valueOf(block, whole));
      body.values.push_back(slice);
    }
    for (int i = 0, n = pick(3); i < n && !block.values.empty(); ++i) {
      op.operands.push_back(pick(block.values.size()));
      body.values.push_back(block.values[op.operands.back()]);
    }
    body.arguments = body.values.size();
    fillBlock(body, 1 + pick(5), depth + 1);
    for (int c = 0; c < op.carries; ++c)
      body.results.push_back(valueOf(body, carried[c]));
    int stacks = (op.xs == 0 || op.carries == 0) + pick(3);
    for (int j = 0; j < stacks; ++j)
      body.results.push_back(!body.results.empty() && pick(3) == 0 ? anyOf(body.results) : pick(body.values.size()));
    for (size_t r = 0; r < body.results.size(); ++r) {
      Shape shape = body.values[body.results[r]];
      if (static_cast<int>(r) >= op.carries)
        shape.dims.insert(shape.dims.begin(), op.length);
      op.results.push_back(block.values.size());
      block.values.push_back(shape);
    }
    block.ops.push_back(op);
  }

  /// The captures of an op and what its regions see of them; rather such as have one of these shapes.
  void addCaptures(Block &block, Op &op, ArrayRef<Shape> rather) {
    for (const Shape &shape : rather)
      if (pick(3))
        op.operands.push_back(valueOf(block, shape));
    for (int i = 0, n = pick(3); i < n && !block.values.empty(); ++i)
      op.operands.push_back(pick(block.values.size()));
  }
  std::shared_ptr<Block> makeRegion(const Block &outside, ArrayRef<int> arguments, ArrayRef<Shape> results, int count,
                                    int depth) {
    auto region = std::make_shared<Block>();
    for (int v : arguments)
      region->values.push_back(outside.values[v]);
    region->arguments = arguments.size();
    fillBlock(*region, count, depth + 1);
    for (const Shape &shape : results)
      region->results.push_back(valueOf(*region, shape));
    return region;
  }
  void addResults(Block &block, Op &op, ArrayRef<Shape> shapes) {
    for (const Shape &shape : shapes) {
      op.results.push_back(block.values.size());
      block.values.push_back(shape);
    }
    block.ops.push_back(op);
  }

  void addCond(Block &block, int depth) {
    Op op{Op::Cond};
    std::vector<Shape> results;
    for (int i = 0, n = pick(4); i < n; ++i)
      results.push_back(anyOf(shapes));
    op.operands.push_back(valueOf(block, Shape{{}, true}));
    addCaptures(block, op, results);
    ArrayRef<int> captures = ArrayRef(op.operands).drop_front();
    op.body = makeRegion(block, captures, results, pick(4), depth);
    op.other = makeRegion(block, captures, results, pick(4), depth);
    addResults(block, op, results);
  }

  void addWhile(Block &block, int depth) {
    Op op{Op::While};
    op.carries = pick(4);
    std::vector<Shape> carried;
    for (int c = 0; c < op.carries; ++c) {
      carried.push_back(anyOf(shapes));
      op.operands.push_back(valueOf(block, carried[c]));
    }
    addCaptures(block, op, {});
    op.body = makeRegion(block, op.operands, carried, 1 + pick(4), depth);
    op.other = makeRegion(block, op.operands, {Shape{{}, true}}, pick(3), depth);
    addResults(block, op, carried);
  }

  void fillBlock(Block &block, int count, int depth) {
    for (int i = 0; i < count || block.values.empty(); ++i) {
      int what = pick(12);
      if (what == 0) {
        Op op{pick(2) ? Op::Constant : Op::Weight};
        Shape shape;
        shape.dims = {Size{1 + pick(9)}};
        op.results = {static_cast<int>(block.values.size())};
        op.symbolName = "w" + std::to_string(op.kind == Op::Weight ? nextWeight++ : 0);
        if (op.kind == Op::Weight)
          weights += "graph.weight @" + op.symbolName + " : " + shape.text() +
                     " from #graph.source<\"owned\", \"\", 0, 0, 0.0 : f64>\n";
        block.values.push_back(shape);
        block.ops.push_back(op);
      } else if (what == 1 && !block.values.empty()) {
        Op op{Op::Reshape};
        op.operands = {pick(block.values.size())};
        Shape shape = block.values[op.operands[0]];
        shape.dims.push_back(Size{1});
        if (pick(2) && shape.dims.size() > 1 && shape.dims[0] == Size{1})
          shape.dims.erase(shape.dims.begin());
        if (shape.dims.size() > 4)
          continue;
        op.results = {static_cast<int>(block.values.size())};
        block.values.push_back(shape);
        block.ops.push_back(op);
      } else if (what <= 3 && depth < 2) {
        addScan(block, depth);
      } else if (what == 4 && depth < 3) {
        addCond(block, depth);
      } else if (what == 5 && depth < 2) {
        addWhile(block, depth);
      } else {
        std::vector<Shape> results{anyOf(shapes)};
        if (pick(4) == 0)
          results.push_back(anyOf(shapes));
        addCall(block, results);
      }
    }
  }

  std::string types(const Block &block, ArrayRef<int> values) {
    std::string t;
    for (int v : values)
      t += (t.empty() ? "" : ", ") + block.values[v].text();
    return t;
  }

  void printBlock(const Block &block, const std::string &prefix, std::string &out) {
    auto name = [&](int v) { return "%" + prefix + std::to_string(v); };
    auto names = [&](ArrayRef<int> values) {
      std::string t;
      for (int v : values)
        t += (t.empty() ? "" : ", ") + name(v);
      return t;
    };
    for (const Op &op : block.ops) {
      std::string results = names(op.results);
      switch (op.kind) {
      case Op::Call: {
        std::string kernel = "k" + std::to_string(op.kernel), arguments;
        for (size_t i = 0; i < op.operands.size(); ++i) {
          arguments += (i ? ", " : "") + block.values[op.operands[i]].text();
          for (auto [in, result] : op.alias)
            if (in == static_cast<int>(i))
              arguments += " {kernel.may_alias = " + std::to_string(result) + " : i64}";
        }
        kernels += "kernel.func private @" + kernel + "(" + arguments + ") -> (" + types(block, op.results) +
                   ") attributes {scratch = #graph.dims<[" + (symbolic && pick(2) ? "s0 * 8" : "100") + "]>}\n";
        out += results + " = kernel.call @" + kernel + "(" + names(op.operands) + ") : (" + types(block, op.operands) +
               ") -> (" + types(block, op.results) + ")\n";
        break;
      }
      case Op::Reshape:
        out += results + " = graph.reshape " + names(op.operands) + " : " + types(block, op.operands) + " -> " +
               types(block, op.results) + "\n";
        break;
      case Op::Constant:
        out += results + " = graph.constant dense<1.5> : " + types(block, op.results) + "\n";
        break;
      case Op::Weight:
        out += results + " = graph.use_weight @" + op.symbolName + " : " + types(block, op.results) + "\n";
        break;
      case Op::Scan: {
        ArrayRef<int> all(op.operands), carry = all.take_front(op.carries), xs = all.slice(op.carries, op.xs),
                                        captures = all.drop_front(op.carries + op.xs);
        auto group = [&](ArrayRef<int> values) {
          return values.empty() ? std::string("()") : "(" + names(values) + " : " + types(block, values) + ")";
        };
        std::string inner = prefix + std::to_string(op.results.empty() ? 0 : op.results[0]) + "_", arguments;
        for (int a = 0; a < op.body->arguments; ++a)
          arguments += (a ? ", %" : "%") + inner + std::to_string(a) + ": " + op.body->values[a].text();
        out += results + " = graph.scan " + (op.reverse ? "reverse " : "") + "carry" + group(carry) + " xs" +
               group(xs) + " captures" + group(captures) + " -> (" + types(block, op.results) + ") {\n^bb0(" +
               arguments + "):\n";
        printBlock(*op.body, inner, out);
        std::string yielded;
        for (int v : op.body->results)
          yielded += (yielded.empty() ? "%" : ", %") + inner + std::to_string(v);
        out += "graph.yield " + yielded + " : " + types(*op.body, op.body->results) + "\n}\n";
        break;
      }
      case Op::Cond:
      case Op::While: {
        ArrayRef<int> all(op.operands), carry = all.take_front(op.carries);
        auto group = [&](ArrayRef<int> values) {
          return values.empty() ? std::string("()") : "(" + names(values) + " : " + types(block, values) + ")";
        };
        std::string inner = prefix + std::to_string(block.values.size()) + "_" + std::to_string(&op - &block.ops[0]);
        std::string first, second;
        printRegion(op.kind == Op::Cond ? *op.body : *op.other, inner + "a", first);
        printRegion(op.kind == Op::Cond ? *op.other : *op.body, inner + "b", second);
        out += results.empty() ? "" : results + " = ";
        if (op.kind == Op::Cond)
          out += "graph.cond " + name(op.operands[0]) + " captures" + group(all.drop_front()) +
                 (op.results.empty() ? "" : " -> (" + types(block, op.results) + ")") + " then " + first + " else " +
                 second + "\n";
        else
          out += "graph.while carry" + group(carry) + " captures" + group(all.drop_front(op.carries)) + first + " do " +
                 second + "\n";
        break;
      }
      }
    }
  }

  void printRegion(const Block &region, const std::string &inner, std::string &out) {
    std::string arguments, yielded;
    for (int a = 0; a < region.arguments; ++a)
      arguments += (a ? ", %" : "%") + inner + std::to_string(a) + ": " + region.values[a].text();
    out += "{\n^bb0" + (arguments.empty() ? "" : "(" + arguments + ")") + ":\n";
    printBlock(region, inner, out);
    for (int v : region.results)
      yielded += (yielded.empty() ? " %" : ", %") + inner + std::to_string(v);
    out += "graph.yield" + yielded + (yielded.empty() ? "" : " : " + types(region, region.results)) + "\n}";
  }

  void print(Program &program) {
    std::string body, arguments, results, values;
    Block &block = program.block;
    printBlock(block, "v", body);
    for (int a = 0; a < block.arguments; ++a) {
      int s = program.stateOfArgument[a];
      arguments += (a ? ", %v" : "%v") + std::to_string(a) + ": " + block.values[a].text() +
                   (s < 0 ? "" : " {graph.state = @s" + std::to_string(s) + "}");
    }
    for (size_t r = 0; r < block.results.size(); ++r) {
      int s = program.stateOfResult[r];
      results += (r ? ", " : "") + block.values[block.results[r]].text() +
                 (s < 0 ? "" : " {graph.state = @s" + std::to_string(s) + "}");
      values += (r ? ", %v" : "%v") + std::to_string(block.results[r]);
    }
    program.text = weights;
    for (size_t s = 0; s < program.states.size(); ++s)
      program.text += "graph.variable @s" + std::to_string(s) + " : " + program.states[s].text() + "\n";
    program.text += kernels + "func.func @main(" + arguments + ") -> (" + results +
                    ") attributes {graph.symbols = [#graph.symbol<\"a\", 0, 64>, #graph.symbol<\"b\", 0, 64>]} {\n" +
                    body + "return " + values + " : " + types(block, block.results) + "\n}\n";
  }
};

//===----------------------------------------------------------------------===//
// Meaning
//===----------------------------------------------------------------------===//

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
  Program program = Generator(seed).make();
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
    if (testProgram(context, seed, seed % 5 == 0))
      return 1;
  if (testPlacement(context))
    return 1;
  std::printf("ok: %llu programs\n", static_cast<unsigned long long>(count));
  return 0;
}
