//===- Npy.h - reading and writing .npy files -----------------------------===//
// Arrays in numpy's file format, versions 1 to 3. Every byte of a file is untrusted.
#ifndef TENON_SUPPORT_NPY_H
#define TENON_SUPPORT_NPY_H

#include "mlir/IR/BuiltinTypes.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/Support/Error.h"
#include <memory>
#include <string>

namespace tenon {

/// Element type of an .npy array. `kind` is numpy's letter: f float, i signed, u unsigned, b bool, c complex,
/// V raw bytes (two of them: bf16).
struct NpyType {
  char kind = 'f';
  int bytes = 4;
  bool operator==(const NpyType &) const = default;
  /// Such as "f4".
  std::string str() const { return kind + std::to_string(bytes); }
};

/// An array in memory: row-major, little endian. `bytes` points into `owner` (a mapped file or a converted copy).
struct NpyArray {
  NpyType type;
  llvm::SmallVector<int64_t, 6> shape;
  llvm::ArrayRef<uint8_t> bytes;
  std::shared_ptr<const void> owner;

  int64_t numElements() const;
};

/// Reads an array out of a file's content, which `owner` keeps alive and which may be unaligned; copies only what is
/// in Fortran order or big endian. Errors begin with `name`. Fails on anything that is not a whole, known array.
llvm::Expected<NpyArray> parseNpy(llvm::ArrayRef<uint8_t> file, llvm::StringRef name,
                                  std::shared_ptr<const void> owner = nullptr);
/// Maps and reads a file.
llvm::Expected<NpyArray> readNpy(llvm::StringRef path);

/// The content of an .npy file (version 1, C order) for row-major little-endian `bytes`. `bytes` must have the size that
/// type and shape say.
std::string makeNpy(NpyType type, llvm::ArrayRef<int64_t> shape, llvm::ArrayRef<uint8_t> bytes);
/// Writes a file whole or not at all: a temporary beside `path`, then a rename.
llvm::Error writeNpy(llvm::StringRef path, NpyType type, llvm::ArrayRef<int64_t> shape, llvm::ArrayRef<uint8_t> bytes);

/// The type under which tensors of `elementType` are written: bf16 as u2, other small floats as u1, i1 as bool.
/// nullopt where .npy has none.
std::optional<NpyType> npyTypeOf(mlir::Type elementType);
/// Whether an array of `type` may stand for a tensor of `elementType` bit for bit: the type written, or an unsigned one
/// of the same size for an integer, or u2 or V2 for bf16, or bool for i1.
bool npyTypeFits(NpyType type, mlir::Type elementType);

} // namespace tenon
#endif
