// The values that nodes of an exported program take and give: torch's schema 8 `Argument` and what it is made of.
#ifndef TENON_IMPORT_TORCHEXPORT_ARGUMENT_H
#define TENON_IMPORT_TORCHEXPORT_ARGUMENT_H

#include "tenon/Import/Common/ElementType.h"
#include "tenon/Import/TorchExport/SymExpr.h"
#include "llvm/ADT/StringRef.h"
#include <complex>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

namespace tenon::torch_export {
using namespace frontend;

enum class MemoryFormat : uint8_t { Unknown, Contiguous, ChannelsLast, ChannelsLast3d, Preserve };
enum class Layout : uint8_t { Unknown, SparseCoo, SparseCsr, SparseCsc, SparseBsr, SparseBsc, Mkldnn, Strided };

struct Device {
  llvm::StringRef type; ///< "cpu", "cuda", …
  std::optional<int64_t> index;
};

/// A number in metadata: known, or an expression over symbols with the value it had while tracing.
template <typename T> struct Sym {
  T value{};
  SymExprRef expr; ///< null when the value is known
  std::optional<T> hint;
  bool isStatic() const { return !expr; }
};
using SymInt = Sym<int64_t>;
using SymFloat = Sym<double>;
using SymBool = Sym<bool>;

/// A number as an argument: known, or the name of a value of the graph.
template <typename T> struct SymArg {
  llvm::StringRef name; ///< empty when the value is known
  T value{};
  bool isStatic() const { return name.empty(); }
};
using SymIntArg = SymArg<int64_t>;
using SymFloatArg = SymArg<double>;
using SymBoolArg = SymArg<bool>;

struct TensorArg {
  llvm::StringRef name;
};
using OptionalTensorArg = std::optional<TensorArg>;
struct CustomObjArg {
  llvm::StringRef name, className;
};
struct OperatorArg {
  llvm::StringRef name;
};
struct Graph;
struct GraphArg {
  llvm::StringRef name;
  std::shared_ptr<const Graph> graph; ///< never null
};
class Argument;
/// In the order of the file.
struct DictArg {
  std::vector<std::pair<llvm::StringRef, Argument>> entries;
};

/// One argument or result. Strings point into the program that it was read from.
class Argument {
public:
  /// In the order of the alternatives of `Storage`.
  enum class Kind : uint8_t {
    Missing, ///< not in the file: the operator's default holds
    None,
    Tensor,
    Tensors,
    OptionalTensors,
    NestedTensors,
    Int,
    Ints,
    IntLists,
    Float,
    Floats,
    FloatLists,
    Bool,
    Bools,
    String,
    Strings,
    SymInt,
    SymInts,
    SymFloat,
    SymFloats,
    SymBool,
    SymBools,
    ScalarType,
    MemoryFormat,
    Layout,
    Device,
    Graph,
    CustomObj,
    Operator,
    Complex,
    Dict,
  };
  struct NoneValue {};
  using Storage =
      std::variant<std::monostate, NoneValue, TensorArg, std::vector<TensorArg>, std::vector<OptionalTensorArg>,
                   std::vector<std::vector<TensorArg>>, int64_t, std::vector<int64_t>,
                   std::vector<std::vector<int64_t>>, double, std::vector<double>, std::vector<std::vector<double>>,
                   bool, std::vector<bool>, llvm::StringRef, std::vector<llvm::StringRef>, SymIntArg,
                   std::vector<SymIntArg>, SymFloatArg, std::vector<SymFloatArg>, SymBoolArg, std::vector<SymBoolArg>,
                   torch_export::ScalarType, torch_export::MemoryFormat, torch_export::Layout, torch_export::Device,
                   GraphArg, CustomObjArg, OperatorArg, std::complex<double>, DictArg>;

  Argument() = default;
  explicit Argument(Storage storage) : storage(std::move(storage)) {}

  Kind kind() const { return static_cast<Kind>(storage.index()); }
  bool isMissing() const { return kind() == Kind::Missing; }
  bool isNone() const { return kind() == Kind::None; }
  bool isMissingOrNone() const { return isMissing() || isNone(); }
  /// For messages: "a list of integers".
  llvm::StringRef describe() const;

  /// Exactly what the file has, or null.
  template <typename T> const T *getIf() const { return std::get_if<T>(&storage); }

  /// The argument read as a T where that loses nothing: an integer as double, a known symbolic integer as int64_t, a
  /// single integer as a list of one, integers as SymIntArg, an empty list as a list of anything, tensors as optional
  /// tensors. None for anything else, and for missing ones.
  /// T: any alternative of `Storage` except DictArg.
  template <typename T> std::optional<T> as() const {
    if (const T *exact = getIf<T>())
      return *exact;
    return std::nullopt;
  }
  /// `byDefault` when the argument is missing or None, else `as<T>()`: none then means a wrong kind.
  template <typename T> std::optional<T> getOr(T byDefault) const {
    if (isMissingOrNone())
      return byDefault;
    return as<T>();
  }

  /// Calls `visit` with the name of every value used here, whether tensor or symbolic number.
  void forEachValue(llvm::function_ref<void(llvm::StringRef)> visit) const;

private:
  bool isEmptyList() const;
  Storage storage;
};

template <> std::optional<int64_t> Argument::as<int64_t>() const;
template <> std::optional<double> Argument::as<double>() const;
template <> std::optional<bool> Argument::as<bool>() const;
template <> std::optional<std::complex<double>> Argument::as<std::complex<double>>() const;
template <> std::optional<SymIntArg> Argument::as<SymIntArg>() const;
template <> std::optional<SymFloatArg> Argument::as<SymFloatArg>() const;
template <> std::optional<SymBoolArg> Argument::as<SymBoolArg>() const;
template <> std::optional<std::vector<int64_t>> Argument::as<std::vector<int64_t>>() const;
template <> std::optional<std::vector<SymIntArg>> Argument::as<std::vector<SymIntArg>>() const;
template <> std::optional<std::vector<double>> Argument::as<std::vector<double>>() const;
template <> std::optional<std::vector<bool>> Argument::as<std::vector<bool>>() const;
template <> std::optional<std::vector<TensorArg>> Argument::as<std::vector<TensorArg>>() const;
template <> std::optional<std::vector<OptionalTensorArg>> Argument::as<std::vector<OptionalTensorArg>>() const;

} // namespace tenon::torch_export
#endif
