//===- EntryWriter.h - writes the plan of one entry -----------------------===//
// KernelToPlan.cpp has what concerns straight code, WriteControl.cpp what concerns regions.
#ifndef TENON_LIB_CONVERSION_KERNELTOPLAN_ENTRYWRITER_H
#define TENON_LIB_CONVERSION_KERNELTOPLAN_ENTRYWRITER_H

#include "PlanBlocks.h"
#include "tenon/Conversion/KernelToPlan.h"

namespace tenon {

/// Where a value lives: a buffer, or a constant that has none yet, because its layout depends on who reads it.
struct Place {
  mlir::Value buffer;
  mlir::Operation *constant = nullptr;
  mlir::RankedTensorType type; // of the constant as its reader sees it
};

/// What lasts across entries: constants, variables, error sites.
struct ModuleState {
  mlir::ModuleOp module;
  mlir::SymbolTable symbols;
  mlir::OpBuilder builder; // where constants and variables go
  WeightKeyFn weightKey;
  llvm::StringMap<plan::ConstantOp> constants;
  int64_t constantBytes = 0;
  llvm::SmallVector<mlir::Attribute> sites;
  int copiedStates = 0, copies = 0, reused = 0;

  ModuleState(mlir::ModuleOp module, const WeightKeyFn &weightKey)
      : module(module), symbols(module), builder(mlir::OpBuilder::atBlockBegin(module.getBody())),
        weightKey(weightKey) {}

  plan::ConstantOp getConstant(mlir::Operation *source, mlir::RankedTensorType type, kernel::LayoutAttr layout);
  int32_t addSite(int32_t code, llvm::StringRef message, mlir::Location place);
};

/// Writes one entry.
class EntryWriter {
public:
  EntryWriter(ModuleState &state, mlir::func::FuncOp func) : state(state), func(func), builder(func.getContext()) {}
  mlir::LogicalResult run();

private:
  ModuleState &state;
  mlir::func::FuncOp func;
  mlir::OpBuilder builder;
  plan::FuncOp out;
  mlir::Block *top = nullptr;
  int64_t nextId = 0;
  bool ok = true;
  llvm::StringMap<mlir::Value> weights; // constant -> its address
  llvm::DenseMap<std::pair<int, int64_t>, mlir::Value> ports;

  struct Scope {
    const BlockPlan *plan;
    explicit Scope(const BlockPlan *plan) : plan(plan) {}
    llvm::DenseMap<mlir::Value, Place> places;     // of roots whose place is given
    llvm::DenseMap<int, mlir::Value> classBuffers; // of the others
    /// Buffers of classes that are not in the arena.
    std::function<mlir::Value(const BlockPlan::Class &, mlir::Location)> home;
  };

  mlir::AffineExpr constant(int64_t value) { return getAffineConstantExpr(value, func.getContext()); }
  mlir::Value alloc(mlir::Location loc, mlir::AffineExpr bytes) {
    bytes = plan::boundAbove(bytes, out.getSymbols());
    return plan::AllocOp::create(builder, loc, builder.getType<plan::BufferType>(), nextId++, plan::makeExpr(bytes),
                                 nullptr, nullptr);
  }
  mlir::Value view(mlir::Location loc, mlir::Value buffer, mlir::AffineExpr offset, mlir::AffineExpr bytes) {
    return plan::ViewOp::create(builder, loc, builder.getType<plan::BufferType>(), buffer, plan::makeExpr(offset),
                                plan::makeExpr(bytes));
  }
  mlir::Value choose(mlir::Location loc, mlir::AffineExpr condition, mlir::Value zero, mlir::Value other) {
    return plan::ChooseOp::create(builder, loc, builder.getType<plan::BufferType>(), plan::makeExpr(condition), zero,
                                  other);
  }
  void copy(mlir::Location loc, mlir::Value source, mlir::Value dest, mlir::AffineExpr bytes) {
    if (graph::asConstant(graph::normalize(bytes)) == 0)
      return;
    plan::CopyOp::create(builder, loc, source, dest, plan::makeExpr(bytes));
    ++state.copies;
  }
  template <typename Op> mlir::Value port(mlir::Location loc, int kind, int64_t index, mlir::AffineExpr bytes) {
    mlir::Value &value = ports[{kind, index}];
    if (!value) {
      mlir::OpBuilder::InsertionGuard guard(builder);
      builder.setInsertionPointToStart(top);
      value = Op::create(builder, loc, builder.getType<plan::BufferType>(), index, plan::makeExpr(bytes));
    }
    return value;
  }
  mlir::Value statePort(mlir::Location loc, llvm::StringRef name, int64_t argument, mlir::AffineExpr bytes) {
    mlir::Value &value = ports[{2, argument}];
    if (!value) {
      mlir::OpBuilder::InsertionGuard guard(builder);
      builder.setInsertionPointToStart(top);
      value = plan::StateOp::create(builder, loc, builder.getType<plan::BufferType>(),
                                    mlir::FlatSymbolRefAttr::get(func.getContext(), name), plan::makeExpr(bytes));
    }
    return value;
  }
  mlir::Value weightBuffer(mlir::Location loc, plan::ConstantOp constantOp) {
    mlir::Value &value = weights[constantOp.getSymName()];
    if (!value) {
      mlir::OpBuilder::InsertionGuard guard(builder);
      builder.setInsertionPointToStart(top);
      value = plan::WeightOp::create(builder, loc, builder.getType<plan::BufferType>(),
                                     mlir::FlatSymbolRefAttr::get(func.getContext(), constantOp.getSymName()),
                                     plan::makeExpr(constant(constantOp.getBytes())));
    }
    return value;
  }

  Place placeOf(Scope &scope, mlir::Value value);
  mlir::Value bufferOf(Scope &scope, mlir::Value value, mlir::Location loc);
  void writeBlock(Scope &scope, mlir::Block &block, unsigned depth);
  void writeCall(Scope &scope, kernel::CallOp call);
  void writeScan(Scope &scope, graph::ScanOp scan, unsigned depth);
  void writeCond(Scope &scope, graph::CondOp cond, unsigned depth);
  void writeWhile(Scope &scope, graph::WhileOp loop, unsigned depth);
  void writeDefineSize(Scope &scope, graph::DefineSizeOp op);
  void copyInitial(mlir::Location loc, mlir::Value init, mlir::Value final, mlir::AffineExpr bytes,
                   mlir::AffineExpr needed);
  void bindCaptures(Scope &scope, mlir::Operation *op, Scope &inner, mlir::Block &block);
  void writeChecks(graph::AssertDimOp op);
};

} // namespace tenon
#endif
