// Opens arbitrary bytes as an artifact, metadata only, and reads everything `tenon inspect` reads.
// The hashes would stop a fuzzer at the door, so they are made right first where there is a prefix to hold them. Segments,
// which nothing here reads, may be left out: the file is filled up with zeros to the length in its prefix, within reason, so
// that a seed is a few KB.
#include "tenon/format.h"
#include "tenon/runtime.h"

#include <cstdlib>
#include <cstring>
#include <initializer_list>
#define XXH_INLINE_ALL
#include <xxhash.h>

/// The length that the prefix says.
static size_t fullSize(const uint8_t *data, size_t size) {
  constexpr uint64_t kMost = 1 << 20;
  tn_file_prefix prefix;
  if (size < sizeof(prefix))
    return size;
  memcpy(&prefix, data, sizeof(prefix));
  return prefix.file_bytes > size && prefix.file_bytes <= kMost ? prefix.file_bytes : size;
}

static void repairHashes(uint8_t *bytes, size_t size) {
  tn_file_prefix prefix;
  if (size < sizeof(prefix))
    return;
  memcpy(&prefix, bytes, sizeof(prefix));
  prefix.file_bytes = size;
  if (prefix.header_offset <= size && prefix.header_bytes <= size - prefix.header_offset) {
    XXH128_hash_t hash = XXH3_128bits(bytes + prefix.header_offset, prefix.header_bytes);
    prefix.header_hash_low = hash.low64;
    prefix.header_hash_high = hash.high64;
  }
  prefix.prefix_hash = XXH3_64bits(&prefix, TN_PREFIX_HASHED_BYTES);
  memcpy(bytes, &prefix, sizeof(prefix));
}

template <typename Info> static Info sized() {
  Info info = {};
  info.struct_bytes = sizeof(info);
  return info;
}

static void inspectEntry(const tn_program_t *program, uint32_t entry, uint32_t variants) {
  auto info = sized<tn_entry_info_t>();
  if (tn_entry_info(program, entry, &info, nullptr) != TN_OK)
    abort();
  char text[256];
  for (tn_side_t side : {TN_INPUT, TN_OUTPUT})
    for (uint32_t i = 0; i < (side == TN_INPUT ? info.inputs : info.outputs); ++i) {
      auto tensor = sized<tn_tensor_info_t>();
      if (tn_tensor_info(program, entry, side, i, &tensor, nullptr) != TN_OK)
        abort();
      for (uint32_t d = 0; d < tensor.rank; ++d)
        (void)tn_tensor_dim(program, entry, side, i, d, nullptr, text, sizeof(text), nullptr);
    }
  for (uint32_t i = 0; i < info.symbols; ++i) {
    auto symbol = sized<tn_symbol_info_t>();
    (void)tn_symbol_info(program, entry, i, &symbol, nullptr);
  }
  int64_t symbols[TN_MAX_SYMBOLS] = {3, 5, 7};
  for (uint32_t v = 0; v < variants; ++v)
    for (uint32_t k = 0; k < tn_kernel_count(program, v, entry); ++k) {
      auto kernel = sized<tn_kernel_info_t>();
      (void)tn_kernel_info(program, v, entry, k, symbols, info.symbols, &kernel, nullptr);
    }
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t given) {
  void *memory = nullptr;
  size_t size = fullSize(data, given);
  if (posix_memalign(&memory, 64, size + 1) != 0)
    return 0;
  auto *bytes = static_cast<uint8_t *>(memory);
  memcpy(bytes, data, given);
  memset(bytes + given, 0, size - given);
  repairHashes(bytes, size);
  tn_open_options_t options = {};
  options.struct_bytes = sizeof(options);
  options.flags = TN_OPEN_METADATA;
  tn_program_t *program = nullptr;
  tn_error_t error = TN_ERROR_INIT;
  if (tn_program_open_memory(bytes, size, &options, &program, &error) == TN_OK) {
    auto info = sized<tn_program_info_t>();
    tn_program_info(program, &info);
    for (uint32_t i = 0; i < info.entries; ++i)
      inspectEntry(program, i, info.variants);
    for (uint32_t i = 0; i < info.states; ++i) {
      auto state = sized<tn_state_info_t>();
      (void)tn_state_info(program, i, &state, nullptr);
    }
    for (uint32_t i = 0; i < info.weights; ++i) {
      auto weight = sized<tn_weight_info_t>();
      (void)tn_weight_info(program, i, &weight, nullptr);
    }
    for (uint32_t i = 0; i < info.variants; ++i) {
      auto variant = sized<tn_variant_info_t>();
      (void)tn_variant_info(program, i, &variant, nullptr);
    }
    (void)tn_metadata_find(program, "author");
    tn_program_close(program);
  }
  free(memory);
  return 0;
}
