// Reading an argument as the type its user wants, and the tables of element types.
#include "tenon/Import/TorchExport/Argument.h"
#include "tenon/Import/TorchExport/Program.h"

using namespace llvm;

namespace tenon::torch_export {

static_assert(std::variant_size_v<Argument::Storage> == static_cast<size_t>(Argument::Kind::Dict) + 1);

StringRef Argument::describe() const {
  static constexpr StringLiteral names[] = {"nothing",
                                            "None",
                                            "a tensor",
                                            "a list of tensors",
                                            "a list of optional tensors",
                                            "lists of tensors",
                                            "an integer",
                                            "a list of integers",
                                            "lists of integers",
                                            "a float",
                                            "a list of floats",
                                            "lists of floats",
                                            "a bool",
                                            "a list of bools",
                                            "a string",
                                            "a list of strings",
                                            "a symbolic integer",
                                            "a list of symbolic integers",
                                            "a symbolic float",
                                            "a list of symbolic floats",
                                            "a symbolic bool",
                                            "a list of symbolic bools",
                                            "an element type",
                                            "a memory format",
                                            "a layout",
                                            "a device",
                                            "a graph",
                                            "a custom object",
                                            "an operator",
                                            "a complex number",
                                            "a dictionary"};
  static_assert(std::size(names) == std::variant_size_v<Storage>);
  return names[storage.index()];
}

bool Argument::isEmptyList() const {
  return std::visit(
      [](const auto &value) {
        if constexpr (requires {
                        value.empty();
                        value.push_back(value.front());
                      })
          return value.empty();
        else
          return false;
      },
      storage);
}

template <> std::optional<int64_t> Argument::as<int64_t>() const {
  if (auto *value = getIf<int64_t>())
    return *value;
  if (auto *sym = getIf<SymIntArg>(); sym && sym->isStatic())
    return sym->value;
  return std::nullopt;
}

template <> std::optional<double> Argument::as<double>() const {
  if (auto *value = getIf<double>())
    return *value;
  if (auto *sym = getIf<SymFloatArg>(); sym && sym->isStatic())
    return sym->value;
  if (std::optional<int64_t> value = as<int64_t>())
    return static_cast<double>(*value);
  return std::nullopt;
}

template <> std::optional<bool> Argument::as<bool>() const {
  if (auto *value = getIf<bool>())
    return *value;
  if (auto *sym = getIf<SymBoolArg>(); sym && sym->isStatic())
    return sym->value;
  return std::nullopt;
}

template <> std::optional<std::complex<double>> Argument::as<std::complex<double>>() const {
  if (auto *value = getIf<std::complex<double>>())
    return *value;
  if (std::optional<double> value = as<double>())
    return std::complex<double>(*value, 0);
  return std::nullopt;
}

template <> std::optional<SymIntArg> Argument::as<SymIntArg>() const {
  if (auto *sym = getIf<SymIntArg>())
    return *sym;
  if (auto *value = getIf<int64_t>())
    return SymIntArg{{}, *value};
  return std::nullopt;
}

template <> std::optional<SymFloatArg> Argument::as<SymFloatArg>() const {
  if (auto *sym = getIf<SymFloatArg>())
    return *sym;
  if (std::optional<double> value = as<double>())
    return SymFloatArg{{}, *value};
  return std::nullopt;
}

template <> std::optional<SymBoolArg> Argument::as<SymBoolArg>() const {
  if (auto *sym = getIf<SymBoolArg>())
    return *sym;
  if (auto *value = getIf<bool>())
    return SymBoolArg{{}, *value};
  return std::nullopt;
}

template <> std::optional<std::vector<SymIntArg>> Argument::as<std::vector<SymIntArg>>() const {
  if (auto *syms = getIf<std::vector<SymIntArg>>())
    return *syms;
  std::vector<SymIntArg> result;
  if (auto *values = getIf<std::vector<int64_t>>()) {
    for (int64_t value : *values)
      result.push_back({{}, value});
    return result;
  }
  if (std::optional<SymIntArg> single = as<SymIntArg>())
    return std::vector<SymIntArg>{*single};
  if (isEmptyList())
    return result;
  return std::nullopt;
}

template <> std::optional<std::vector<int64_t>> Argument::as<std::vector<int64_t>>() const {
  if (auto *values = getIf<std::vector<int64_t>>())
    return *values;
  std::optional<std::vector<SymIntArg>> syms = as<std::vector<SymIntArg>>();
  if (!syms)
    return std::nullopt;
  std::vector<int64_t> result;
  for (const SymIntArg &sym : *syms) {
    if (!sym.isStatic())
      return std::nullopt;
    result.push_back(sym.value);
  }
  return result;
}

template <> std::optional<std::vector<double>> Argument::as<std::vector<double>>() const {
  if (auto *values = getIf<std::vector<double>>())
    return *values;
  if (auto *integers = getIf<std::vector<int64_t>>())
    return std::vector<double>(integers->begin(), integers->end());
  if (auto *single = getIf<double>())
    return std::vector<double>{*single};
  if (isEmptyList())
    return std::vector<double>();
  auto *syms = getIf<std::vector<SymFloatArg>>();
  if (!syms)
    return std::nullopt;
  std::vector<double> result;
  for (const SymFloatArg &sym : *syms) {
    if (!sym.isStatic())
      return std::nullopt;
    result.push_back(sym.value);
  }
  return result;
}

template <> std::optional<std::vector<bool>> Argument::as<std::vector<bool>>() const {
  if (auto *values = getIf<std::vector<bool>>())
    return *values;
  if (isEmptyList())
    return std::vector<bool>();
  return std::nullopt;
}

template <> std::optional<std::vector<TensorArg>> Argument::as<std::vector<TensorArg>>() const {
  if (auto *tensors = getIf<std::vector<TensorArg>>())
    return *tensors;
  if (isEmptyList())
    return std::vector<TensorArg>();
  return std::nullopt;
}

template <> std::optional<std::vector<OptionalTensorArg>> Argument::as<std::vector<OptionalTensorArg>>() const {
  if (auto *tensors = getIf<std::vector<OptionalTensorArg>>())
    return *tensors;
  if (std::optional<std::vector<TensorArg>> all = as<std::vector<TensorArg>>())
    return std::vector<OptionalTensorArg>(all->begin(), all->end());
  return std::nullopt;
}

void Argument::forEachValue(function_ref<void(StringRef)> visit) const {
  auto visitSym = [&](const auto &sym) {
    if (!sym.isStatic())
      visit(sym.name);
  };
  switch (kind()) {
  case Kind::Tensor:
    return visit(getIf<TensorArg>()->name);
  case Kind::Tensors:
    for (const TensorArg &tensor : *getIf<std::vector<TensorArg>>())
      visit(tensor.name);
    return;
  case Kind::OptionalTensors:
    for (const OptionalTensorArg &tensor : *getIf<std::vector<OptionalTensorArg>>())
      if (tensor)
        visit(tensor->name);
    return;
  case Kind::NestedTensors:
    for (const std::vector<TensorArg> &list : *getIf<std::vector<std::vector<TensorArg>>>())
      for (const TensorArg &tensor : list)
        visit(tensor.name);
    return;
  case Kind::SymInt:
    return visitSym(*getIf<SymIntArg>());
  case Kind::SymFloat:
    return visitSym(*getIf<SymFloatArg>());
  case Kind::SymBool:
    return visitSym(*getIf<SymBoolArg>());
  case Kind::SymInts:
    llvm::for_each(*getIf<std::vector<SymIntArg>>(), visitSym);
    return;
  case Kind::SymFloats:
    llvm::for_each(*getIf<std::vector<SymFloatArg>>(), visitSym);
    return;
  case Kind::SymBools:
    llvm::for_each(*getIf<std::vector<SymBoolArg>>(), visitSym);
    return;
  case Kind::Dict:
    for (const auto &[key, value] : getIf<DictArg>()->entries)
      value.forEachValue(visit);
    return;
  default:
    return;
  }
}

} // namespace tenon::torch_export
