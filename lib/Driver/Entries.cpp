// Several models in one file: an entry each, with the weights and the variables that they share.
#include "Model.h"
#include "dialects/Graph/IR/GraphDialect.h"
#include "tenon/Driver/Commands.h"
#include "mlir/IR/AttrTypeSubElements.h"
#include "mlir/IR/SymbolTable.h"

using namespace mlir;

namespace tenon::driver {

namespace {
class Merger {
public:
  Merger(Model &into, Model &from) : into(into), from(from), symbols(*into.module) {}
  int run();

private:
  LogicalResult addWeight(graph::WeightOp weight);
  LogicalResult addVariable(graph::VariableOp variable);
  LogicalResult addFunction(func::FuncOp function);
  /// The uint64_t that stands for a weight's bytes, or nothing after an error.
  std::optional<uint64_t> digest(graph::WeightOp weight, WeightStore &store);

  Model &into, &from;
  SymbolTable symbols;
  llvm::StringMap<std::string> renamed; ///< symbols of `from`
};
} // namespace

std::optional<uint64_t> Merger::digest(graph::WeightOp weight, WeightStore &store) {
  llvm::Expected<uint64_t> value = store.digest(weight);
  if (value)
    return *value;
  weight.emitError() << llvm::toString(value.takeError());
  return std::nullopt;
}

/// One that has the same type and bytes as a weight of the same name is that weight; packing finds the other equal ones.
LogicalResult Merger::addWeight(graph::WeightOp weight) {
  std::string name = weight.getSymName().str();
  auto known = symbols.lookup<graph::WeightOp>(name);
  if (known && known.getType() == weight.getType()) {
    std::optional<uint64_t> a = digest(known, *into.weights), b = digest(weight, *from.weights);
    if (!a || !b)
      return failure();
    if (*a == *b) {
      renamed[name] = name;
      weight.erase();
      return success();
    }
  }
  weight->remove();
  symbols.insert(weight, into.module->getBody()->begin()); // may give it another name
  renamed[name] = weight.getSymName().str();
  if (llvm::Error error = into.weights->adopt(name, *from.weights, weight))
    return weight.emitError() << llvm::toString(std::move(error));
  return success();
}

/// A variable is one for all entries that name it; they must agree on what it is.
LogicalResult Merger::addVariable(graph::VariableOp variable) {
  std::string name = variable.getSymName().str();
  if (FlatSymbolRefAttr init = variable.getInitAttr())
    variable.setInitAttr(FlatSymbolRefAttr::get(init.getContext(), renamed.lookup(init.getValue())));
  auto known = symbols.lookup<graph::VariableOp>(name);
  if (!known) {
    variable->remove();
    symbols.insert(variable, into.module->getBody()->begin());
    renamed[name] = variable.getSymName().str();
    return success();
  }
  if (known.getType() != variable.getType())
    return variable.emitError() << "variable '" << name << "' is " << variable.getType() << " but " << known.getType()
                                << " in another entry";
  if (known.getInitAttr() != variable.getInitAttr())
    return variable.emitError() << "variable '" << name << "' begins with other values than in another entry";
  if (variable.getPersistent())
    known.setPersistent(true);
  renamed[name] = name;
  variable.erase();
  return success();
}

LogicalResult Merger::addFunction(func::FuncOp function) {
  if (symbols.lookup(function.getSymName()))
    return function.emitError() << "there are two entries of the name '" << function.getSymName() << "'";
  AttrTypeReplacer replacer;
  replacer.addReplacement([&](FlatSymbolRefAttr symbol) -> std::optional<Attribute> {
    auto it = renamed.find(symbol.getValue());
    return it == renamed.end() ? std::nullopt
                               : std::optional<Attribute>(FlatSymbolRefAttr::get(symbol.getContext(), it->second));
  });
  replacer.recursivelyReplaceElementsIn(function);
  function->remove();
  symbols.insert(function, into.module->getBody()->end());
  return success();
}

int Merger::run() {
  Block *body = from.module->getBody();
  for (auto weight : llvm::make_early_inc_range(body->getOps<graph::WeightOp>()))
    if (failed(addWeight(weight)))
      return Failed;
  for (auto variable : llvm::make_early_inc_range(body->getOps<graph::VariableOp>()))
    if (failed(addVariable(variable)))
      return Failed;
  for (auto function : llvm::make_early_inc_range(body->getOps<func::FuncOp>()))
    if (failed(addFunction(function)))
      return Failed;
  return Done;
}

/// A buffer that one entry updates is a variable for those, too, that only read it.
static void readVariables(ModuleOp module) {
  llvm::DenseMap<Attribute, graph::VariableOp> byInit;
  for (auto variable : module.getOps<graph::VariableOp>())
    if (variable.getInit())
      byInit[variable.getInitAttr()] = variable;
  for (auto function : module.getOps<func::FuncOp>()) {
    if (function.isExternal())
      continue;
    for (auto use : llvm::make_early_inc_range(function.getBody().front().getOps<graph::UseWeightOp>())) {
      graph::VariableOp variable = byInit.lookup(use.getWeightAttr());
      if (!variable || variable.getType() != use.getType())
        continue;
      auto symbol = FlatSymbolRefAttr::get(variable.getSymNameAttr());
      BlockArgument argument;
      for (unsigned i = 0; i < function.getNumArguments(); ++i)
        if (function.getArgAttr(i, "graph.state") == symbol)
          argument = function.getArgument(i);
      if (!argument) {
        unsigned index = function.getNumArguments();
        Builder builder(module.getContext());
        NamedAttribute attributes[] = {
            builder.getNamedAttr("graph.name", builder.getStringAttr(use.getWeight())),
            builder.getNamedAttr("graph.state", symbol)};
        if (failed(function.insertArgument(index, use.getType(), builder.getDictionaryAttr(attributes), use.getLoc())))
          continue;
        argument = function.getArgument(index);
      }
      use.getResult().replaceAllUsesWith(argument);
      use.erase();
    }
  }
}

/// Gives the one function of a module that is not of torch.export the entry's name.
static int nameEntry(const EntrySource &entry, Model &model) {
  auto functions = model.module->getOps<func::FuncOp>();
  if (model.module->lookupSymbol<func::FuncOp>(entry.name))
    return Done;
  if (!llvm::hasSingleElement(functions)) {
    model.module->emitError() << "has several functions but none is named '" << entry.name << "'";
    return Failed;
  }
  (*functions.begin()).setSymName(entry.name);
  return Done;
}

int loadEntries(llvm::ArrayRef<EntrySource> entries, MLIRContext *context, Model &model) {
  for (const EntrySource &entry : entries) {
    Model next;
    if (int status = loadModel(entry.path, entry.name, context, next)) {
      model.unsupported = std::move(next.unsupported);
      return status;
    }
    if (int status = nameEntry(entry, next))
      return status;
    if (!model.module) {
      model = std::move(next);
      continue;
    }
    if (int status = Merger(model, next).run())
      return status;
  }
  readVariables(*model.module);
  return Done;
}

} // namespace tenon::driver
