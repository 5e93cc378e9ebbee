// An open artifact: its mapped bytes, its checked header and the tables made from it once, at open.
#ifndef TENON_RUNTIME_SRC_PROGRAM_H
#define TENON_RUNTIME_SRC_PROGRAM_H

#include "../devices/cpu/image.h"
#include "expr.h"
#include "memory.h"

#include <tenon_generated.h>

namespace tenon::rt {

struct TensorEntry {
  const char *name;
  const file::Tensor *source;
  Expr *dims;
  uint32_t rank;
  tn_dtype_t dtype;
  bool optional;
};

struct SymbolEntry {
  const char *name;
  int64_t min, max, multipleOf, hint;
  Expr bound; // words == 0: bound from the inputs' shapes
  bool isFound() const { return bound.words != 0; }
};

struct EntryPoint {
  const char *name;
  const file::Entry *source;
  TensorEntry *inputs, *outputs;
  SymbolEntry *symbols;
  uint32_t inputCount, outputCount, symbolCount;
  bool writesStates, findsSymbols;
};

} // namespace tenon::rt

struct tn_program {
  tn_allocator_t allocator;
  uint64_t selfBytes;   // of this struct and the tables behind it
  const uint8_t *file;  // whole artifact
  uint64_t fileBytes;
  bool ownsMapping;
  char label[96];       // of the file, for messages
  const tenon::file::Header *header;
  tenon::rt::EntryPoint *entries;
  uint32_t entryCount;
  uint32_t variant;     // TN_NO_INDEX with TN_OPEN_METADATA
  const uint8_t *constants;
  uint64_t constantsBytes;
  uint64_t stateBytes;  // of all states, each aligned
  uint64_t signatureHash; // of the states, for tn_session_restore
  tenon::rt::LoadedImage image;
  void *device;         ///< null when the variant in use is for the CPU; see device.h
  uint32_t deviceIndex; ///< which of several
};

namespace tenon::rt {

template <typename Vector> uint32_t sizeOf(const Vector *vector) { return vector ? vector->size() : 0; }
inline const char *textOf(const flatbuffers::String *string) { return string ? string->c_str() : ""; }

/// Bits per element; 0 for an unknown type.
inline uint32_t dtypeBits(tn_dtype_t dtype) {
  return dtype >= TN_I4 && dtype <= TN_F4E2M1FN ? 4 : static_cast<uint32_t>(tn_dtype_bytes(dtype)) * 8;
}

/// Bytes of a C-contiguous tensor; false when they do not fit 63 bits.
bool tensorBytes(tn_dtype_t dtype, const int64_t *dims, uint32_t rank, uint64_t &bytes);

/// Every offset, size, count and reference of a verified FlatBuffer against the rules of docs/format.md.
tn_status_t checkHeader(const tn_program &program, tn_error_t *error);

/// Structure of the FlatBuffer only; the caller made sure of 16 bytes.
bool isValidHeader(const uint8_t *header, uint64_t bytes);

/// Prefix, header hash and FlatBuffers structure; sets program.header.
tn_status_t checkPrefix(tn_program &program, tn_error_t *error);

/// Segments in bounds and apart, zero padding, hashes of images and debug data.
tn_status_t checkSegments(const tn_program &program, tn_error_t *error);

/// The chunked hashes of a constants segment, on up to `threads` threads.
tn_status_t checkConstants(const tn_program &program, uint32_t segment, uint32_t threads, tn_error_t *error);

/// What images for devices call besides; in the order of tn_rt_table.
struct DeviceFunctions {
  decltype(tn_rt_table::launch) launch;
  decltype(tn_rt_table::copy) copy;
  decltype(tn_rt_table::store) store;
  decltype(tn_rt_table::load) load;
  decltype(tn_rt_table::visit) visit;
};
extern const DeviceFunctions deviceFunctions;

/// The table of functions that images call; defined with the session.
const tn_rt_table *runtimeTable();

tn_status_t checkEntryIndex(const tn_program *program, uint32_t entry, tn_error_t *error);

} // namespace tenon::rt
#endif
