#include "random_program.h"
#include <random>

using namespace mlir;

namespace tenon::plan_test {

namespace {
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
} // namespace

Program makeProgram(uint64_t seed) { return Generator(seed).make(); }

} // namespace tenon::plan_test
