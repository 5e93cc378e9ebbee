// Memory of a program's inputs and outputs, and its way from and to .npy.
#include "Program.h"
#include "llvm/Support/MathExtras.h"
#include <cstdlib>
#include <cstring>

namespace tenon::driver {

static bool isFourBits(tn_dtype_t dtype) { return dtype == TN_I4 || dtype == TN_U4 || dtype == TN_F4E2M1FN; }

std::optional<NpyType> npyTypeFor(tn_dtype_t dtype) {
  switch (dtype) {
  case TN_F64:
    return NpyType{'f', 8};
  case TN_F32:
    return NpyType{'f', 4};
  case TN_F16:
    return NpyType{'f', 2};
  case TN_I64:
    return NpyType{'i', 8};
  case TN_I32:
    return NpyType{'i', 4};
  case TN_I16:
    return NpyType{'i', 2};
  case TN_I8:
    return NpyType{'i', 1};
  case TN_U64:
    return NpyType{'u', 8};
  case TN_U32:
    return NpyType{'u', 4};
  case TN_U16:
  case TN_BF16:
    return NpyType{'u', 2};
  case TN_BOOL:
    return NpyType{'b', 1};
  case TN_C64:
    return NpyType{'c', 8};
  case TN_C128:
    return NpyType{'c', 16};
  case TN_DTYPE_NONE:
  case TN_DTYPE_INT_:
    return std::nullopt;
  default: // u8, the 8-bit floats, and four bits in a byte of their own
    return NpyType{'u', 1};
  }
}

int64_t TensorBuffer::elements() const {
  int64_t count = 1;
  for (int64_t dim : dims)
    count *= dim;
  return count;
}

llvm::Error TensorBuffer::allocate(llvm::StringRef name) {
  auto tooLarge = [&] {
    return llvm::createStringError(llvm::inconvertibleErrorCode(), "'" + name + "' is too large for this machine");
  };
  int64_t count = 1;
  for (int64_t dim : dims)
    if (dim < 0 || llvm::MulOverflow(count, dim, count))
      return tooLarge();
  size_t width = isFourBits(dtype) ? 1 : tn_dtype_bytes(dtype);
  int64_t wanted;
  if (llvm::MulOverflow<int64_t>(count, width, wanted) || wanted > (int64_t(1) << 46))
    return tooLarge();
  byteCount = isFourBits(dtype) ? (wanted + 1) / 2 : wanted;
  size_t rounded = llvm::alignTo(std::max<size_t>(byteCount, 1), 64);
  memory = static_cast<uint8_t *>(std::aligned_alloc(64, rounded));
  if (!memory)
    return tooLarge();
  std::memset(memory, 0, rounded);
  owner = std::shared_ptr<const void>(memory, [](const void *m) { std::free(const_cast<void *>(m)); });
  return llvm::Error::success();
}

llvm::Error TensorBuffer::hold(NpyArray array, tn_dtype_t as) {
  dtype = as;
  dims.assign(array.shape.begin(), array.shape.end());
  if (isFourBits(dtype)) { // one element per byte in the file, two in memory, the first in the low bits
    if (llvm::Error error = allocate("input"))
      return error;
    for (size_t i = 0; i < array.bytes.size(); ++i)
      memory[i / 2] |= (array.bytes[i] & 15) << (i % 2 * 4);
    return llvm::Error::success();
  }
  size_t align = std::max(1, std::min(array.type.bytes, 16));
  if (reinterpret_cast<uintptr_t>(array.bytes.data()) % align == 0) {
    memory = const_cast<uint8_t *>(array.bytes.data()); // inputs are only read
    byteCount = array.bytes.size();
    owner = array.owner;
    return llvm::Error::success();
  }
  if (llvm::Error error = allocate("input"))
    return error;
  std::memcpy(memory, array.bytes.data(), std::min(byteCount, array.bytes.size()));
  return llvm::Error::success();
}

llvm::Error TensorBuffer::write(llvm::StringRef path) const {
  std::optional<NpyType> type = npyTypeFor(dtype);
  if (!type)
    return llvm::createStringError(llvm::inconvertibleErrorCode(), path + ": .npy has no type for this output");
  int64_t count = elements();
  if (!isFourBits(dtype))
    return writeNpy(path, *type, dims, llvm::ArrayRef<uint8_t>(memory, count * type->bytes));
  std::vector<uint8_t> wide(count);
  for (int64_t i = 0; i < count; ++i)
    wide[i] = memory[i / 2] >> (i % 2 * 4) & 15;
  return writeNpy(path, *type, dims, wide);
}

} // namespace tenon::driver
