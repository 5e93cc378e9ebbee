//===- PlanBlocks.h - which values of a block share memory ----------------===//
// The analysis half of the conversion: it changes nothing. A block is the body of an entry or of a scan.
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
  InPlace,  // scan body: carry `index` is updated in its one buffer
  PingPong, // scan body: carry `index` alternates between two buffers
  Stack     // scan body: the slice of stacked result `index`
};

/// How a scan hands carry `i` from one step to the next.
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

  // Entries: why a variable is updated by a copy, by argument. Scan bodies: carries, and nested scans' plans.
  llvm::DenseMap<unsigned, std::string> copiedBecause;
  std::vector<CarryPlan> carries;
  llvm::DenseMap<mlir::Operation *, std::unique_ptr<BlockPlan>> bodies;
  int reused = 0;

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
