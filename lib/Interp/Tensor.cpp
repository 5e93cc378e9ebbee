//===- Tensor.cpp - values of the reference interpreter -------------------===//
#include "tenon/Interp/Tensor.h"
#include "tenon/Support/WeightData.h"
#include "mlir/IR/AsmState.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "llvm/Support/MathExtras.h"
#include <charconv>
#include <cmath>

using namespace mlir;

namespace tenon::interp {

static llvm::Error fail(const llvm::Twine &message) {
  return llvm::createStringError(llvm::inconvertibleErrorCode(), message);
}
static std::string str(Type type) {
  std::string text;
  llvm::raw_string_ostream(text) << type;
  return text;
}

std::optional<Form> formOf(Type elementType) {
  if (elementBytes(elementType) == 0)
    return std::nullopt;
  if (auto complex = dyn_cast<ComplexType>(elementType))
    return isa<FloatType>(complex.getElementType()) ? std::optional(Form::Complex) : std::nullopt;
  return isa<FloatType>(elementType) ? Form::Float : Form::Int;
}

std::optional<int64_t> countElements(ArrayRef<int64_t> shape) {
  int64_t n = 1;
  bool isEmpty = false;
  for (int64_t size : shape) {
    if (size < 0)
      return std::nullopt;
    isEmpty |= size == 0;
    if (size != 0 && llvm::MulOverflow(n, size, n))
      return std::nullopt;
  }
  return isEmpty ? 0 : n;
}

Shape rowMajorStrides(ArrayRef<int64_t> shape) {
  Shape strides(shape.size());
  int64_t stride = 1;
  for (size_t d = shape.size(); d-- > 0;) {
    strides[d] = stride;
    stride *= std::max<int64_t>(shape[d], 1);
  }
  return strides;
}

Tensor::Tensor(Type elementType, ArrayRef<int64_t> shape) : elementType(elementType), shape(shape) {
  std::optional<Form> form = formOf(elementType);
  assert(form && "type has no form");
  int64_t n = size();
  if (*form == Form::Float)
    values = std::make_shared<std::variant<Floats, Ints, Complexes>>(Floats(n));
  else if (*form == Form::Int)
    values = std::make_shared<std::variant<Floats, Ints, Complexes>>(Ints(n));
  else
    values = std::make_shared<std::variant<Floats, Ints, Complexes>>(Complexes(n));
}

int64_t Tensor::size() const { return countElements(shape).value_or(0); }

Tensor Tensor::clone() const {
  Tensor copy = *this;
  copy.values = std::make_shared<std::variant<Floats, Ints, Complexes>>(*values);
  return copy;
}

Tensor Tensor::reshaped(ArrayRef<int64_t> newShape) const {
  assert(countElements(newShape) == size() && "reshape changes the number of elements");
  Tensor result = *this;
  result.shape = Shape(newShape);
  return result;
}

void Tensor::roundToElementType() {
  if (form() == Form::Int) {
    unsigned width = intWidth(elementType);
    if (width < 64)
      for (int64_t &v : mut<int64_t>())
        v = wrapInt(v, width);
    return;
  }
  if (auto complex = dyn_cast<ComplexType>(elementType)) {
    auto part = cast<FloatType>(complex.getElementType());
    if (!part.isF64())
      for (Complex &v : mut<Complex>())
        v = Complex(roundToType(v.real(), part), roundToType(v.imag(), part));
    return;
  }
  auto type = cast<FloatType>(elementType);
  if (!type.isF64())
    for (double &v : mut<double>())
      v = roundToType(v, type);
}

//===----------------------------------------------------------------------===//
// Bytes
//===----------------------------------------------------------------------===//

static uint64_t load(const uint8_t *from, int64_t n) {
  uint64_t bits = 0;
  for (int64_t i = 0; i < n; ++i)
    bits |= static_cast<uint64_t>(from[i]) << (8 * i);
  return bits;
}
static void store(uint8_t *to, uint64_t bits, int64_t n) {
  for (int64_t i = 0; i < n; ++i)
    to[i] = static_cast<uint8_t>(bits >> (8 * i));
}

llvm::Expected<Tensor> Tensor::fromBytes(Type elementType, ArrayRef<int64_t> shape, ArrayRef<uint8_t> bytes) {
  std::optional<Form> form = formOf(elementType);
  std::optional<int64_t> n = countElements(shape);
  int64_t size = elementBytes(elementType);
  if (!form || !n)
    return fail("a tensor of " + str(elementType) + " cannot be held");
  if (static_cast<uint64_t>(*n) != bytes.size() / size || bytes.size() % size != 0)
    return fail("a tensor of " + llvm::Twine(*n) + " elements of " + str(elementType) + " does not have " +
                llvm::Twine(bytes.size()) + " bytes");
  Tensor result(elementType, shape);
  const uint8_t *from = bytes.data();
  if (*form == Form::Int) {
    unsigned width = intWidth(elementType);
    for (int64_t &v : result.mut<int64_t>()) {
      uint64_t bits = load(from, size);
      v = width == 1 ? bits != 0 : wrapInt(bits, width);
      from += size;
    }
  } else if (*form == Form::Float) {
    auto type = cast<FloatType>(elementType);
    for (double &v : result.mut<double>()) {
      v = bitsToFloat(load(from, size), type);
      from += size;
    }
  } else {
    auto part = cast<FloatType>(cast<ComplexType>(elementType).getElementType());
    for (Complex &v : result.mut<Complex>()) {
      v = Complex(bitsToFloat(load(from, size / 2), part), bitsToFloat(load(from + size / 2, size / 2), part));
      from += size;
    }
  }
  return result;
}

std::vector<uint8_t> Tensor::toBytes() const {
  int64_t step = elementBytes(elementType);
  std::vector<uint8_t> bytes(size() * step);
  uint8_t *to = bytes.data();
  if (form() == Form::Int) {
    for (int64_t v : ints()) {
      store(to, asUnsigned(v, intWidth(elementType)), step);
      to += step;
    }
  } else if (form() == Form::Float) {
    auto type = cast<FloatType>(elementType);
    for (double v : floats()) {
      store(to, floatToBits(v, type), step);
      to += step;
    }
  } else {
    auto part = cast<FloatType>(cast<ComplexType>(elementType).getElementType());
    for (Complex v : complexes()) {
      store(to, floatToBits(v.real(), part), step / 2);
      store(to + step / 2, floatToBits(v.imag(), part), step / 2);
      to += step;
    }
  }
  return bytes;
}

static double toDouble(APFloat value) {
  bool losesInfo;
  value.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven, &losesInfo);
  return value.convertToDouble();
}

llvm::Expected<Tensor> Tensor::fromAttribute(ElementsAttr attribute) {
  ShapedType type = attribute.getShapedType();
  Type elementType = type.getElementType();
  std::optional<Form> form = formOf(elementType);
  if (!form || !type.hasStaticShape() || !countElements(type.getShape()))
    return fail("a constant of type " + str(type) + " cannot be held");
  if (auto resource = dyn_cast<DenseResourceElementsAttr>(attribute)) {
    AsmResourceBlob *blob = resource.getRawHandle().getBlob();
    if (!blob)
      return fail("the resource '" + resource.getRawHandle().getKey() + "' has no data");
    ArrayRef<char> data = blob->getData();
    return fromBytes(elementType, type.getShape(),
                     ArrayRef(reinterpret_cast<const uint8_t *>(data.data()), data.size()));
  }
  auto dense = dyn_cast<DenseElementsAttr>(attribute);
  if (!dense)
    return fail("a constant of this kind of attribute cannot be read");
  Tensor result(elementType, type.getShape());
  if (*form == Form::Int) {
    unsigned width = intWidth(elementType);
    for (auto [v, bits] : llvm::zip(result.mut<int64_t>(), dense.getValues<APInt>()))
      v = wrapInt(bits.getZExtValue(), width);
  } else if (*form == Form::Float) {
    for (auto [v, value] : llvm::zip(result.mut<double>(), dense.getValues<APFloat>()))
      v = toDouble(value);
  } else {
    for (auto [v, value] : llvm::zip(result.mut<Complex>(), dense.getValues<std::complex<APFloat>>()))
      v = Complex(toDouble(value.real()), toDouble(value.imag()));
  }
  return result;
}

llvm::Expected<Tensor> Tensor::fromNpy(Type elementType, const NpyArray &array) {
  if (!npyTypeFits(array.type, elementType))
    return fail("an array of " + array.type.str() + " cannot stand for a tensor of " + str(elementType));
  return fromBytes(elementType, array.shape, array.bytes);
}

llvm::Error Tensor::writeNpy(llvm::StringRef path) const {
  std::optional<NpyType> type = npyTypeOf(elementType);
  if (!type)
    return fail("elements of " + str(elementType) + " cannot be written as .npy");
  return tenon::writeNpy(path, *type, shape, toBytes());
}

//===----------------------------------------------------------------------===//
// Printing
//===----------------------------------------------------------------------===//

static void printFloat(llvm::raw_ostream &os, double value, FloatType type) {
  if (std::isnan(value)) {
    os << "nan";
    return;
  }
  char buffer[64];
  // Narrower types print as the f32 they equal.
  std::to_chars_result end = type.getWidth() <= 32
                                 ? std::to_chars(buffer, buffer + sizeof(buffer), static_cast<float>(value))
                                 : std::to_chars(buffer, buffer + sizeof(buffer), value);
  os << llvm::StringRef(buffer, end.ptr - buffer);
}

void Tensor::print(llvm::raw_ostream &os, int64_t limit) const {
  for (int64_t size : shape)
    os << size << 'x';
  os << elementType << ' ';
  int64_t printed = 0, next = 0;
  auto printElement = [&](int64_t i) {
    if (form() == Form::Int) {
      os << ints()[i];
    } else if (form() == Form::Float) {
      printFloat(os, floats()[i], cast<FloatType>(elementType));
    } else {
      auto part = cast<FloatType>(cast<ComplexType>(elementType).getElementType());
      os << '(';
      printFloat(os, complexes()[i].real(), part);
      os << ", ";
      printFloat(os, complexes()[i].imag(), part);
      os << ')';
    }
  };
  std::function<void(int64_t)> printDim = [&](int64_t d) {
    if (d == rank()) {
      printElement(next++);
      ++printed;
      return;
    }
    os << '[';
    for (int64_t i = 0; i < shape[d]; ++i) {
      if (i > 0)
        os << ", ";
      if (printed >= limit) {
        os << "...";
        break;
      }
      printDim(d + 1);
    }
    os << ']';
  };
  // A shape such as 1000000x0 has no elements and needs no million brackets.
  if (size() == 0)
    os << "[]";
  else
    printDim(0);
}

} // namespace tenon::interp
