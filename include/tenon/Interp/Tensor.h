//===- Tensor.h - values of the reference interpreter ---------------------===//
// Tensors as the interpreter holds them: wide numbers that are exact in, or rounded to, their element type.
#ifndef TENON_INTERP_TENSOR_H
#define TENON_INTERP_TENSOR_H

#include "tenon/Support/Npy.h"
#include "mlir/IR/BuiltinAttributeInterfaces.h"
#include "mlir/IR/BuiltinTypes.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/raw_ostream.h"
#include <complex>
#include <memory>
#include <variant>
#include <vector>

namespace tenon::interp {

using Complex = std::complex<double>;
using Floats = std::vector<double>;
using Ints = std::vector<int64_t>;
using Complexes = std::vector<Complex>;
using Shape = llvm::SmallVector<int64_t, 6>;

/// Which of the three wide forms a type is held in.
enum class Form { Float, Int, Complex };
/// nullopt for a type that the interpreter cannot hold.
std::optional<Form> formOf(mlir::Type elementType);

/// An immutable-by-convention tensor, row-major. Copies share their values. Floats are held in f64 and complex numbers in
/// pairs of f64, rounded to the element type; integers as i64, sign-extended from their width, i1 as 0 or 1.
class Tensor {
public:
  Tensor() = default;
  /// Zeros. The type must have a form and the shape a countable number of elements.
  Tensor(mlir::Type elementType, llvm::ArrayRef<int64_t> shape);

  mlir::Type elementType;
  Shape shape;

  int64_t rank() const { return shape.size(); }
  int64_t size() const;
  Form form() const { return static_cast<Form>(values->index()); }
  /// The values; T is double, int64_t or Complex, and must be that of the form.
  template <typename T> const std::vector<T> &as() const { return std::get<std::vector<T>>(*values); }
  /// The values for writing: only by whoever just made the tensor, or cloned it.
  template <typename T> std::vector<T> &mut() { return std::get<std::vector<T>>(*values); }
  const Floats &floats() const { return as<double>(); }
  const Ints &ints() const { return as<int64_t>(); }
  const Complexes &complexes() const { return as<Complex>(); }

  /// A tensor with values of its own.
  Tensor clone() const;
  /// The same values under another shape of as many elements.
  Tensor reshaped(llvm::ArrayRef<int64_t> newShape) const;
  /// Calls `fn` with the vector of values, of whichever form.
  template <typename Fn> void visit(Fn fn) const {
    std::visit([&](const auto &v) { fn(v); }, *values);
  }
  template <typename Fn> void visitMut(Fn fn) {
    std::visit([&](auto &v) { fn(v); }, *values);
  }
  /// Brings every value into the element type: rounds floats, wraps integers.
  void roundToElementType();

  /// From and to the bytes a buffer would hold (little endian, row-major; see `elementBytes`).
  static llvm::Expected<Tensor> fromBytes(mlir::Type elementType, llvm::ArrayRef<int64_t> shape,
                                          llvm::ArrayRef<uint8_t> bytes);
  std::vector<uint8_t> toBytes() const;
  /// From an attribute with all its elements at hand.
  static llvm::Expected<Tensor> fromAttribute(mlir::ElementsAttr attribute);
  /// From an array whose type stands for `elementType`.
  static llvm::Expected<Tensor> fromNpy(mlir::Type elementType, const NpyArray &array);
  /// Writes it as .npy.
  llvm::Error writeNpy(llvm::StringRef path) const;

  /// One line, such as `2x2xf32 [[1, 2], [nan, -0]]`; shortest digits that read back as the same value of the type; at
  /// most `limit` elements, then `...`.
  void print(llvm::raw_ostream &os, int64_t limit = 1000) const;

private:
  std::shared_ptr<std::variant<Floats, Ints, Complexes>> values;
};

/// Number of elements; nullopt on overflow or a negative size.
std::optional<int64_t> countElements(llvm::ArrayRef<int64_t> shape);
/// Row-major strides, in elements.
Shape rowMajorStrides(llvm::ArrayRef<int64_t> shape);

/// Cuts an integer to `width` bits: sign-extended, i1 as 0 or 1.
inline int64_t wrapInt(int64_t value, unsigned width) {
  if (width == 1)
    return value & 1;
  return width >= 64 ? value : static_cast<int64_t>(static_cast<uint64_t>(value) << (64 - width)) >> (64 - width);
}
/// The held value read as signed (true is -1) and as unsigned.
inline int64_t asSigned(int64_t value, unsigned width) { return width == 1 ? -value : value; }
inline uint64_t asUnsigned(int64_t value, unsigned width) {
  return width >= 64 ? value : static_cast<uint64_t>(value) & ((uint64_t(1) << width) - 1);
}
/// Width of an integer or index type.
inline unsigned intWidth(mlir::Type type) {
  return llvm::isa<mlir::IndexType>(type) ? 64 : type.getIntOrFloatBitWidth();
}

} // namespace tenon::interp
#endif
