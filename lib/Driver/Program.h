// A compiled program as `run` and `bench` use it: opened through the runtime's C API, with inputs from the command line.
#ifndef TENON_LIB_DRIVER_PROGRAM_H
#define TENON_LIB_DRIVER_PROGRAM_H

#include "Report.h"
#include "tenon/Driver/Commands.h"
#include "tenon/Support/Npy.h"
#include "tenon/runtime.h"
#include "llvm/ADT/SmallVector.h"
#include <memory>
#include <optional>

namespace tenon::driver {

/// Names and types of one input or output, as its program says.
struct TensorSlot {
  std::string name;
  tn_dtype_t dtype;
  uint32_t rank;
  bool optional;
};

/// Memory of one tensor, aligned for any vector; with the shape the runtime is given.
class TensorBuffer {
public:
  tn_dtype_t dtype = TN_DTYPE_NONE;
  llvm::SmallVector<int64_t, 6> dims;

  /// Memory of its own, zeroed, for `dims` elements of `dtype`. Fails when that is too much.
  llvm::Error allocate(llvm::StringRef name);
  /// The bytes of an array, copied only when they are not aligned.
  llvm::Error hold(NpyArray array, tn_dtype_t as);
  /// Writes the elements as .npy, whole or not at all.
  llvm::Error write(llvm::StringRef path) const;
  uint8_t *data() const { return memory; }
  size_t bytes() const { return byteCount; }
  int64_t elements() const;
  tn_tensor_t view() { return {memory, dims.data(), static_cast<uint32_t>(dims.size()), dtype}; }

private:
  uint8_t *memory = nullptr;
  size_t byteCount = 0;
  std::shared_ptr<const void> owner;
};

/// An open program, one of its entries, and a session.
class Program {
public:
  Program() = default;
  Program(const Program &) = delete;
  ~Program();

  llvm::Error open(const std::string &file, const std::string &variant, const std::string &device,
                   const std::string &cache, unsigned threads);
  /// Empty: the only entry, or "main".
  llvm::Error chooseEntry(llvm::StringRef name);
  llvm::Error startSession(unsigned threads);
  /// Reads or makes every input that the options give; those that are not given are an error, or random when
  /// `inventMissing`.
  llvm::Expected<std::vector<TensorBuffer>> makeInputs(const ProgramOptions &options, bool inventMissing) const;
  /// Output tensors of the sizes that follow from the inputs.
  llvm::Expected<std::vector<TensorBuffer>> makeOutputs(std::vector<TensorBuffer> &inputs) const;
  /// One call. Outputs whose size the data decide come back with that size.
  llvm::Error call(std::vector<TensorBuffer> &inputs, std::vector<TensorBuffer> &outputs);
  /// Index of the output of that name; an error lists the names there are.
  llvm::Expected<unsigned> findOutput(llvm::StringRef name) const { return find(outputSlots, name, "output"); }
  /// Values of the entry's symbols for these inputs.
  llvm::Expected<std::vector<int64_t>> bind(std::vector<TensorBuffer> &inputs) const;

  tn_program_t *handle() const { return program; }
  tn_session_t *sessionHandle() const { return session; }
  uint32_t entryIndex() const { return entry; }
  const std::string &entryName() const { return name; }
  const std::string &path() const { return file; }
  llvm::ArrayRef<TensorSlot> inputs() const { return inputSlots; }
  llvm::ArrayRef<TensorSlot> outputs() const { return outputSlots; }
  /// "FILE" or "FILE, entry 'NAME'", for messages.
  std::string where() const;

private:
  llvm::Expected<unsigned> find(llvm::ArrayRef<TensorSlot> slots, llvm::StringRef name, llvm::StringRef what) const;
  llvm::Expected<std::vector<std::optional<int64_t>>> parseSymbols(llvm::ArrayRef<std::string> texts) const;
  llvm::Error sizeFromTypes(unsigned input, llvm::ArrayRef<std::optional<int64_t>> symbols, TensorBuffer &buffer) const;
  llvm::Error error(const llvm::Twine &reason) const;

  std::string file, name;
  tn_program_t *program = nullptr;
  tn_session_t *session = nullptr;
  uint32_t entry = 0;
  std::vector<TensorSlot> inputSlots, outputSlots;
  std::vector<tn_symbol_info_t> symbolInfos;
};

/// How a type is written to .npy: bf16 and the small floats as unsigned integers of their width. nullopt: not at all.
std::optional<NpyType> npyTypeFor(tn_dtype_t dtype);

/// The value of a size as the runtime prints it, such as "floordiv(s0 + 1, 2)"; nullopt when a symbol has no value.
std::optional<int64_t> evaluateSize(llvm::StringRef text,
                                    llvm::function_ref<std::optional<int64_t>(llvm::StringRef)> symbol);

} // namespace tenon::driver
#endif
