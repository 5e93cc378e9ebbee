//===- PlanBlocks.h - which values of a block share memory ----------------===//
// The analysis half of the conversion: it changes nothing. A block is the body of an entry, of a loop or of a branch.
#ifndef TENON_LIB_CONVERSION_KERNELTOPLAN_PLANBLOCKS_H
#define TENON_LIB_CONVERSION_KERNELTOPLAN_PLANBLOCKS_H

#include "dialects/Kernel/IR/KernelDialect.h"
#include "dialects/Plan/IR/PlanDialect.h"

namespace tenon {

/// What the memory of a class of values is.
enum class Home {
  Arena,    // a buffer of the arena
  ReadOnly, // an input, a constant, a capture, a slice: its place is given and is never written
  Output,   // the caller's result `index`
  State,    // the variable of argument `index`
  InPlace,  // loop body: carry `index` is updated in its one buffer; branch: a capture becomes result `index`
  PingPong, // loop body: carry `index` alternates between two buffers
  Stack,    // scan body: the slice of stacked result `index`
  Result    // branch: result `index`
};

/// How a loop hands carry `i` from one step to the next.
struct CarryPlan {
  enum Kind { Unchanged, InPlace, ViaStack, PingPong, PingPongCopy } kind;
  unsigned stack = 0; // ViaStack
};

struct BlockPlan {
  static constexpr int kForever = std::numeric_limits<int>::max();
  struct Class {
    Home home = Home::Arena;
    unsigned index = 0;
    llvm::SmallVector<int, 2> members;
  };
  struct Tracked {
    mlir::Value value;
    int cls;
    int def;  // number of the op that makes it, 0 for arguments
    int last; // number of the last op that reads it
  };
  std::vector<Tracked> values;
  std::vector<Class> classes;
  llvm::DenseMap<mlir::Value, int> indexOf;       // of roots
  llvm::DenseMap<mlir::Value, mlir::Value> roots; // views -> what they view
  llvm::DenseMap<mlir::Operation *, int> numbers;
  std::vector<mlir::Operation *> ops; // by number; [0] is null

  llvm::DenseMap<unsigned, std::string> copiedBecause; // entries: why a variable is updated by a copy, by argument
  std::vector<CarryPlan> carries;                      // loop bodies
  llvm::DenseMap<mlir::Block *, std::unique_ptr<BlockPlan>> bodies; // of regions in this block
  // Of ops with regions: for each result the operand whose buffer it may take over, or -1.
  llvm::DenseMap<mlir::Operation *, llvm::SmallVector<int>> takesOver;
  int reused = 0;

  const BlockPlan &body(mlir::Region &region) const { return *bodies.find(&region.front())->second; }
  bool isProduced(mlir::Value value) const { return values[indexOf.lookup(root(value))].def > 0; }
  bool hasHome(mlir::Value value, Home home, unsigned index) const {
    const Class &cls = classes[values[indexOf.lookup(root(value))].cls];
    return cls.home == home && cls.index == index;
  }

  mlir::Value root(mlir::Value value) const {
    auto it = roots.find(value);
    return it == roots.end() ? value : it->second;
  }
  Tracked &get(mlir::Value value) { return values[indexOf.lookup(root(value))]; }
  Class &classOf(mlir::Value value) { return classes[get(value).cls]; }
};

/// What an entry's arguments and results are: the index of its variable's argument, or of the caller's tensor.
struct EntryShape {
  struct Slot {
    bool isState;
    unsigned index; // among the inputs or outputs; for states among all arguments
  };
  llvm::SmallVector<Slot> arguments, results;
  llvm::DenseMap<unsigned, unsigned> stateResult; // argument -> result
};

/// Plans the body of an entry. Reports every op that may not be there.
mlir::FailureOr<std::unique_ptr<BlockPlan>> planEntry(mlir::func::FuncOp func, const EntryShape &shape,
                                                      mlir::SymbolTable &symbols);

} // namespace tenon
#endif
