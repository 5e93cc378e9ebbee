// See module.h.
#include "module.h"

#include "decode.h"
#include "driver.h"

#include <algorithm>
#include <cstring>
#include <set>

namespace tenon::emulator {

/// Names that a function mentions, and those of all that it calls.
static void collectNames(const ModuleText &module, const FunctionText &function, std::set<std::string> &names) {
  std::vector<const Operand *> rest;
  for (const Statement &statement : function.statements)
    for (const Operand &operand : statement.operands)
      rest.push_back(&operand);
  while (!rest.empty()) {
    const Operand &operand = *rest.back();
    rest.pop_back();
    for (const Operand &part : operand.parts)
      rest.push_back(&part);
    if (operand.name.empty() || !names.insert(operand.name).second)
      continue;
    for (const FunctionText &other : module.functions)
      if (other.name == operand.name && other.hasBody)
        collectNames(module, other, names);
  }
}

/// Shared memory of a kernel: the variables that it uses, then, at the end of them, the one whose size comes with the launch.
static uint32_t layOutShared(const ModuleText &module, const std::set<std::string> &names, SymbolTable &symbols) {
  uint32_t at = kReservedShared, openAlign = 16;
  std::vector<const Variable *> open;
  auto put = [&](const Variable &variable) {
    if (variable.space != Space::Shared || !names.count(variable.name))
      return;
    if (variable.bytes == 0) {
      open.push_back(&variable);
      openAlign = std::max(openAlign, variable.align);
      return;
    }
    at = (at + variable.align - 1) / variable.align * variable.align;
    symbols.shared[variable.name] = at;
    at += static_cast<uint32_t>(variable.bytes);
  };
  for (const Variable &variable : module.variables)
    put(variable);
  for (const FunctionText &function : module.functions)
    for (const Variable &variable : function.variables)
      put(variable);
  if (!open.empty())
    at = (at + openAlign - 1) / openAlign * openAlign;
  for (const Variable *variable : open)
    symbols.shared[variable->name] = at;
  return at - kReservedShared;
}

static void checkTarget(const ModuleText &text, const GpuLimits &limits) {
  uint32_t sm = text.sm;
  const std::string &suffix = text.suffix;
  if (suffix != "" && suffix != "a" && suffix != "f")
    throw LoadError{kInvalidPtx, "target '" + text.target + "' does not exist"};
  bool fits = suffix == "" ? sm <= limits.sm
              : suffix == "a" ? sm == limits.sm
                              : sm <= limits.sm && sm / 10 == limits.sm / 10;
  std::string gpu = "sm_" + std::to_string(limits.sm);
  if (sm > limits.sm)
    throw LoadError{kInvalidPtx, "target " + text.target + " is newer than this GPU, " + gpu};
  if (!fits)
    throw LoadError{kNoBinaryForGpu, "target " + text.target + " is not for this GPU, " + gpu};
}

static void placeGlobals(const ModuleText &text, Memory &memory, SymbolTable &symbols, Module &module) {
  for (const Variable &variable : text.variables) {
    if (variable.space == Space::Shared)
      continue;
    if (variable.isExtern)
      throw TextError{variable.line, "variable '" + variable.name + "' is not defined"};
    uint64_t bytes = std::max<uint64_t>(variable.bytes, 1), address = memory.allocate(bytes);
    if (!address)
      throw LoadError{kOutOfMemory, "no memory for variable '" + variable.name + "'"};
    symbols.globals[variable.name] = address;
    module.globals[variable.name] = {address, variable.bytes};
  }
  MemoryView view;
  memory.addTo(view);
  for (const Variable &variable : text.variables) {
    if (variable.space == Space::Shared || variable.bytes == 0)
      continue;
    uint8_t *to = view.reach(symbols.globals[variable.name], variable.bytes);
    if (variable.initial.empty())
      std::memset(to, 0, variable.bytes);
    else
      std::memcpy(to, variable.initial.data(), variable.bytes);
    for (const Variable::Relocation &relocation : variable.relocations) {
      auto found = symbols.globals.find(relocation.symbol);
      if (found == symbols.globals.end())
        throw TextError{variable.line, "'" + relocation.symbol + "' in an initial value is not a global variable"};
      uint64_t value = found->second + static_cast<uint64_t>(relocation.addend);
      std::memcpy(to + relocation.at, &value, 8);
    }
  }
}

static void decodeKernels(const ModuleText &text, const GpuLimits &limits, SymbolTable &symbols, Module &module) {
  for (const FunctionText &function : text.functions) {
    if (!function.isEntry)
      continue;
    std::set<std::string> names;
    collectNames(text, function, names);
    symbols.shared.clear();
    uint32_t shared = layOutShared(text, names, symbols);
    if (shared > limits.sharedPerBlock)
      throw TextError{function.line, "entry '" + function.name + "' uses " + std::to_string(shared) +
                                         " bytes of shared memory, more than " + std::to_string(limits.sharedPerBlock)};
    std::unique_ptr<Kernel> kernel = decodeKernel(function, symbols);
    kernel->staticShared = shared;
    kernel->maxDynamicShared = limits.sharedPerBlock - shared;
    module.kernels[function.name] = std::move(kernel);
  }
}

std::shared_ptr<Module> loadModule(std::string_view image, const GpuLimits &limits, Memory &memory) {
  auto module = std::make_shared<Module>();
  try {
    ModuleText text = parseModule(image);
    module->version = text.major * 10 + text.minor;
    checkTarget(text, limits);
    SymbolTable symbols = {&text, {}, {}};
    placeGlobals(text, memory, symbols, *module);
    decodeKernels(text, limits, symbols, *module);
  } catch (const TextError &error) {
    for (auto &[name, global] : module->globals)
      memory.release(global.address);
    throw LoadError{kInvalidPtx, "line " + std::to_string(error.line) + ": " + error.message};
  } catch (const LoadError &) {
    for (auto &[name, global] : module->globals)
      memory.release(global.address);
    throw;
  }
  return module;
}

} // namespace tenon::emulator
