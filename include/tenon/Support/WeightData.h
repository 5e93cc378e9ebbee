//===- WeightData.h - the bytes of weights, which lie beside the module ---===//
// A WeightStore turns a `graph.weight` into bytes: it maps source files, holds owned results, and makes the bytes of
// `splat` and `seed` weights. It does not pack, convert or fold.
#ifndef TENON_SUPPORT_WEIGHTDATA_H
#define TENON_SUPPORT_WEIGHTDATA_H

#include "mlir/IR/BuiltinTypes.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/Error.h"
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace tenon::graph {
class WeightOp;
}

namespace tenon {

/// Bytes of one element of a tensor in memory: i1 takes one byte (0 or 1), other types their bits rounded up to bytes,
/// complex twice its part. 0 for a type that has no such form.
int64_t elementBytes(mlir::Type elementType);

/// Bytes of a static tensor; an error on overflow, on a dynamic size and on an element type without bytes.
llvm::Expected<int64_t> tensorBytes(mlir::RankedTensorType type);

/// The bytes of one weight, little endian, row-major. They live as long as this object or the store they came from.
class WeightBytes {
public:
  WeightBytes() = default;
  WeightBytes(llvm::ArrayRef<uint8_t> bytes, std::shared_ptr<const void> owner)
      : bytes(bytes), owner(std::move(owner)) {}
  llvm::ArrayRef<uint8_t> get() const { return bytes; }
  size_t size() const { return bytes.size(); }

private:
  llvm::ArrayRef<uint8_t> bytes;
  std::shared_ptr<const void> owner;
};

/// Where the bytes of weights are. Safe to use from several threads at once.
class WeightStore {
public:
  /// Relative paths of `file` sources are looked up in `baseDirectory` (empty: the working directory).
  explicit WeightStore(std::string baseDirectory = {}) : baseDirectory(std::move(baseDirectory)) {}
  WeightStore(const WeightStore &) = delete;
  WeightStore &operator=(const WeightStore &) = delete;

  /// Gives the store the bytes of the `owned` weight `name`; an earlier buffer of that name stays alive for its users.
  void setOwned(llvm::StringRef name, std::vector<uint8_t> bytes);
  /// Forgets an owned buffer.
  void eraseOwned(llvm::StringRef name);

  /// Makes `weight`, which was named `name` in `other`, one of this store: takes its bytes over when `other` owns them,
  /// and makes the path of a file absolute where the stores look in different directories. A weight of a seed keeps its
  /// bytes by owning them when its name is another now.
  llvm::Error adopt(llvm::StringRef name, WeightStore &other, graph::WeightOp weight);

  /// The bytes of `weight`. Files are mapped once and stay mapped; nothing is copied. Fails when a file cannot be
  /// mapped, when the range does not lie in it, when the length is not that of the type, and for an unknown owned name.
  llvm::Expected<WeightBytes> read(graph::WeightOp weight);
  /// XXH3-64 of the weight's bytes, for deduplication and caches.
  llvm::Expected<uint64_t> digest(graph::WeightOp weight);

private:
  llvm::Expected<WeightBytes> mapFile(llvm::StringRef path);

  std::string baseDirectory;
  std::mutex mutex;
  llvm::StringMap<WeightBytes> files; // by path as resolved
  llvm::StringMap<WeightBytes> owned; // by weight name
};

/// Same as `store.read(weight)`.
llvm::Expected<WeightBytes> readWeight(graph::WeightOp weight, WeightStore &store);

/// Element `index` of the seeded sequence `key`, uniform in [0, 1): the SplitMix64 output number `index` of the generator
/// with state `key`, its upper 53 bits as a fraction. Every element can be computed alone.
double seededUniform(uint64_t key, uint64_t index);
/// Key of the sequence that belongs to a name: XXH3-64 of its bytes.
uint64_t seedKey(llvm::StringRef name);

/// Fills `bytes` as a `seed` weight named `name`, elements `first, first + 1, …`. With u = seededUniform(key, i):
/// * floats are (2u - 1) * bound, rounded to nearest even in the element type;
/// * complex elements take their real part from sequence position 2i and the imaginary one from 2i + 1;
/// * integers are floor(u * (2b + 1)) - b with b = floor(|bound|), cut to what the type (signed) holds;
/// * i1 is u >= 0.5.
/// `bytes` must hold a whole number of elements.
void fillSeeded(llvm::StringRef name, double bound, mlir::Type elementType, int64_t first,
                llvm::MutableArrayRef<uint8_t> bytes);
/// Fills `bytes` with `value` in the element type (the real part of a complex one; i1: value != 0).
void fillSplat(double value, mlir::Type elementType, llvm::MutableArrayRef<uint8_t> bytes);

/// Rounds to nearest even in a float type; any MLIR float type up to f64. (f80, f128 and others keep f64.)
double roundToType(double value, mlir::FloatType type);
/// The bits of `value` in `type`, which must be at most 64 bits wide, and back.
uint64_t floatToBits(double value, mlir::FloatType type);
double bitsToFloat(uint64_t bits, mlir::FloatType type);

} // namespace tenon
#endif
