// Random entries of the kernel dialect with control flow, state, aliases and symbolic sizes, to plan and to run.
#ifndef TENON_TEST_PLAN_RANDOM_PROGRAM_H
#define TENON_TEST_PLAN_RANDOM_PROGRAM_H

#include "mlir/Support/LLVM.h"
#include "llvm/ADT/STLExtras.h"
#include <memory>
#include <string>
#include <vector>

using llvm::ArrayRef;

namespace tenon::plan_test {

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

/// The same seed gives the same program.
Program makeProgram(uint64_t seed);

} // namespace tenon::plan_test
#endif
