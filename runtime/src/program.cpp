// Opening and closing artifacts: mapping, the order of the checks, choice of the variant, tables for fast calls.
#include "device.h"

#include "../devices/cpu/features.h"
#include "../devices/cpu/pool.h"
#include "hash.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace tenon::rt {

static uint32_t missingFeatures(const file::Variant &variant, TextBuffer *text) {
  uint32_t missing = 0;
  for (uint32_t i = 0; i < sizeOf(variant.features()); ++i) {
    const char *feature = variant.features()->Get(i)->c_str();
    if (hostHasFeature(feature))
      continue;
    if (text)
      text->add("%s%s", missing ? ", " : "", feature);
    ++missing;
  }
  return missing;
}

// Whether a variant is for a device ("vulkan:1"); all are for none.
static bool isFor(const file::Variant &variant, const char *device) {
  if (!TN_WITH_DEVICES || !device)
    return true;
  const char *kind = variant.device() ? variant.device()->c_str() : "cpu";
  size_t length = strlen(kind);
  return strncmp(kind, device, length) == 0 && (device[length] == 0 || device[length] == ':');
}

// All variants and what each lacks, for the refusal.
static void listVariants(const tn_program &program, const char *device, TextBuffer &text) {
  for (uint32_t i = 0; i < sizeOf(program.header->variants()); ++i) {
    const file::Variant &variant = *program.header->variants()->Get(i);
    text.add("%s'%s' ", i ? "; " : "", variant.name()->c_str());
    if (strcmp(variant.arch()->c_str(), hostArch()) != 0) {
      text.add("is for %s", variant.arch()->c_str());
      continue;
    }
    if (!isFor(variant, device)) {
      text.add("is not for %s", device);
      continue;
    }
    text.add("lacks ");
    if (missingFeatures(variant, &text) == 0 && deviceIsHere(program, variant, &text))
      text.add("nothing");
  }
}

static bool runsHere(const tn_program &program, const file::Variant &variant) {
  return strcmp(variant.arch()->c_str(), hostArch()) == 0 && missingFeatures(variant, nullptr) == 0 &&
         deviceIsHere(program, variant, nullptr);
}

// Of those that run here, or are asked for, the first in the file; of several for the CPU the one with the most features.
static tn_status_t chooseVariant(tn_program &program, const char *wanted, const char *device, tn_error_t *error) {
  char buffer[800];
  TextBuffer list(buffer, sizeof(buffer));
  bool known = false;
  uint32_t mostFeatures = 0;
  for (uint32_t i = 0; i < sizeOf(program.header->variants()); ++i) {
    const file::Variant &variant = *program.header->variants()->Get(i);
    if (wanted && strcmp(wanted, variant.name()->c_str()) != 0)
      continue;
    known = true;
    // Asked last: whether a device is here takes its driver to tell.
    bool isBetter = program.variant == TN_NO_INDEX || (!variant.device() && mostFeatures < sizeOf(variant.features()));
    if (!isBetter || !isFor(variant, device) || !runsHere(program, variant))
      continue;
    program.variant = i;
    mostFeatures = variant.device() ? UINT32_MAX : sizeOf(variant.features());
  }
  if (program.variant != TN_NO_INDEX)
    return TN_OK;
  if (wanted && !known) {
    for (uint32_t i = 0; i < sizeOf(program.header->variants()); ++i)
      list.add("%s%s", i ? ", " : "", program.header->variants()->Get(i)->name()->c_str());
    return TN_FAIL(error, TN_BAD_ARGUMENT, "%s: variant '%s' is not in the file but one of these was needed: %s",
                   program.label, wanted, buffer);
  }
  listVariants(program, device, list);
  return TN_FAIL(error, TN_BAD_CPU, "%s: no %svariant runs on this %s CPU: %s", program.label,
                 wanted ? "asked-for " : "", hostArch(), buffer);
}

namespace {
/// Two passes over the header with the same code: first it counts, then it hands out.
class TableBuilder {
public:
  TableBuilder(const tn_program &program, uint8_t *memory) : header(*program.header), memory(memory) {}

  EntryPoint *build() {
    auto *entries = take<EntryPoint>(sizeOf(header.entries()));
    for (uint32_t i = 0; i < sizeOf(header.entries()); ++i)
      buildEntry(*header.entries()->Get(i), entries ? entries + i : nullptr);
    return entries;
  }
  uint64_t used = 0;

private:
  template <typename T> T *take(uint64_t count) {
    static_assert(alignof(T) <= 8);
    uint64_t at = used;
    used += count * sizeof(T);
    return memory ? reinterpret_cast<T *>(memory + at) : nullptr;
  }

  TensorEntry *buildTensors(const flatbuffers::Vector<flatbuffers::Offset<file::Tensor>> *tensors,
                            uint32_t symbolCount) {
    auto *result = take<TensorEntry>(sizeOf(tensors));
    for (uint32_t i = 0; i < sizeOf(tensors); ++i) {
      const file::Tensor &tensor = *tensors->Get(i);
      uint32_t rank = sizeOf(tensor.dims());
      Expr *dims = take<Expr>(rank);
      if (!result)
        continue;
      result[i] = {tensor.name()->c_str(), &tensor,          dims, rank, static_cast<tn_dtype_t>(tensor.dtype()),
                   tensor.optional()};
      for (uint32_t d = 0; d < rank; ++d) {
        dims[d] = Expr();
        const auto *code = tensor.dims()->Get(d)->code();
        (void)validateExpr(code->data(), code->size(), symbolCount, dims[d]); // was checked with the header
      }
    }
    return result;
  }

  void buildEntry(const file::Entry &source, EntryPoint *entry) {
    uint32_t symbolCount = sizeOf(source.symbols());
    auto *symbols = take<SymbolEntry>(symbolCount);
    bool finds = false;
    for (uint32_t i = 0; symbols && i < symbolCount; ++i) {
      const file::Symbol &symbol = *source.symbols()->Get(i);
      symbols[i] = {symbol.name()->c_str(), symbol.min(),   symbol.max(),
                    symbol.multiple_of(),   symbol.initial_hint(), Expr()};
      if (const file::Dim *bound = symbol.bound())
        (void)validateExpr(bound->code()->data(), bound->code()->size(), i, symbols[i].bound);
      finds |= symbols[i].isFound();
    }
    TensorEntry *inputs = buildTensors(source.inputs(), symbolCount);
    TensorEntry *outputs = buildTensors(source.outputs(), symbolCount);
    if (entry)
      *entry = {source.name()->c_str(),
                &source,
                inputs,
                outputs,
                symbols,
                sizeOf(source.inputs()),
                sizeOf(source.outputs()),
                symbolCount,
                sizeOf(source.states_written()) != 0,
                finds};
  }

  const file::Header &header;
  uint8_t *memory;
};
} // namespace

// Memory of all states together, and a hash of what they are: a saved block fits only the same states.
static bool measureStates(tn_program &program) {
  uint64_t total = 0, hash = 0;
  for (uint32_t i = 0; i < sizeOf(program.header->states()); ++i) {
    const file::State &state = *program.header->states()->Get(i);
    uint64_t aligned = 0;
    if (!alignUp(state.bytes(), TN_BUFFER_ALIGN, aligned) || __builtin_add_overflow(total, aligned, &total) ||
        total > INT64_MAX)
      return false;
    const char *layout = textOf(state.layout());
    uint64_t parts[] = {hash,
                        hash64(state.name()->c_str(), state.name()->size()),
                        static_cast<uint64_t>(state.dtype()),
                        hash64(state.dims() ? static_cast<const void *>(state.dims()->data()) : "",
                               sizeOf(state.dims()) * sizeof(int64_t)),
                        state.bytes(),
                        hash64(layout, strlen(layout)),
                        state.persistent()};
    hash = hash64(parts, sizeof(parts));
  }
  program.stateBytes = total;
  program.signatureHash = hash;
  return true;
}

static tn_status_t loadVariant(tn_program &program, const tn_open_options_t &options, int file, tn_error_t *error) {
  if (tn_status_t status = chooseVariant(program, options.variant, options.device, error))
    return status;
  const file::Variant &variant = *program.header->variants()->Get(program.variant);
  bool needsConstants = variant.constants_segment() >= 0;
  // States' initial values may be in another constants segment than the variant's: check all that can be read.
  for (uint32_t i = 0; i < sizeOf(program.header->segments()); ++i) {
    bool read = needsConstants && static_cast<uint32_t>(variant.constants_segment()) == i;
    for (uint32_t s = 0; s < sizeOf(program.header->states()); ++s)
      read |= program.header->states()->Get(s)->initial_segment() == static_cast<int32_t>(i);
    if (read && !(options.flags & TN_OPEN_SKIP_CONSTANTS_CHECK))
      if (tn_status_t status = checkConstants(program, i, options.threads, error))
        return status;
  }
  if (needsConstants) {
    const file::Segment &segment = *program.header->segments()->Get(static_cast<uint32_t>(variant.constants_segment()));
    program.constants = program.file + segment.offset();
    program.constantsBytes = segment.bytes();
  }
  const file::Segment &segment = *program.header->segments()->Get(variant.image_segment());
  ImageSource source{program.file + segment.offset(), segment.bytes(), file, segment.offset(), program.label};
  if (tn_status_t status = loadImage(source, program.entryCount, runtimeTable()->struct_bytes, program.image, error))
    return status;
  return deviceOpen(program, options.cache, error);
}

static void destroy(tn_program *program) {
  deviceClose(*program);
  unloadImage(program->image);
  if (program->ownsMapping)
    munmap(const_cast<uint8_t *>(program->file), program->fileBytes);
  tn_allocator_t allocator = program->allocator;
  release(allocator, program, program->selfBytes, TN_BUFFER_ALIGN);
}

// Everything after the bytes are there. `file` is a descriptor to map code from, or -1.
static tn_status_t openBytes(tn_program &start, const tn_open_options_t &options, int file, tn_program_t **result,
                             tn_error_t *error) {
  if (tn_status_t status = checkPrefix(start, error))
    return status;
  if (tn_status_t status = checkSegments(start, error))
    return status;
  if (tn_status_t status = checkHeader(start, error))
    return status;
  if (!measureStates(start))
    return TN_FAIL(error, TN_TOO_LARGE, "%s: states together do not fit 63 bits", start.label);
  TableBuilder counter(start, nullptr);
  counter.build();
  uint64_t headBytes = 0;
  (void)alignUp(sizeof(tn_program), TN_BUFFER_ALIGN, headBytes);
  start.selfBytes = headBytes + counter.used;
  void *memory = allocate(start.allocator, start.selfBytes, TN_BUFFER_ALIGN);
  if (!memory)
    return TN_FAIL(error, TN_NO_MEMORY, "%s: allocator has no %llu bytes for the program's tables", start.label,
                   static_cast<unsigned long long>(start.selfBytes));
  TableBuilder builder(start, static_cast<uint8_t *>(memory) + headBytes);
  start.entries = builder.build();
  start.entryCount = sizeOf(start.header->entries());
  auto *program = static_cast<tn_program *>(memcpy(memory, &start, sizeof(start)));
  if (!(options.flags & TN_OPEN_METADATA)) {
    if (tn_status_t status = loadVariant(*program, options, file, error)) {
      program->ownsMapping = false; // the caller unmaps what it mapped
      destroy(program);
      return status;
    }
  }
  *result = program;
  return TN_OK;
}

static tn_status_t startProgram(const tn_open_options_t *given, tn_open_options_t &options, tn_program &program,
                                const char *label, tn_error_t *error) {
  options = readStruct(given);
  memset(static_cast<void *>(&program), 0, sizeof(program));
  program.allocator = options.allocator ? readStruct(options.allocator) : defaultAllocator();
  if (!program.allocator.alloc || !program.allocator.free)
    return TN_FAIL(error, TN_BAD_ARGUMENT, "allocator has no alloc or free function but needs both");
  program.variant = TN_NO_INDEX;
  const char *number = TN_WITH_DEVICES && options.device ? strchr(options.device, ':') : nullptr;
  for (; number && number[1] >= '0' && number[1] <= '9'; ++number)
    program.deviceIndex = program.deviceIndex * 10 + static_cast<uint32_t>(number[1] - '0');
  const char *slash = strrchr(label, '/');
  TextBuffer(program.label, sizeof(program.label)).add("%s", slash && slash[1] ? slash + 1 : label);
  return TN_OK;
}

} // namespace tenon::rt

using namespace tenon::rt;

tn_status_t tn_program_open_memory(const void *file, size_t fileBytes, const tn_open_options_t *given,
                                   tn_program_t **program, tn_error_t *error) {
  if (!program || !file)
    return TN_FAIL(error, TN_BAD_ARGUMENT, "tn_program_open_memory got a null pointer but needs file and program");
  *program = nullptr;
  if (reinterpret_cast<uintptr_t>(file) % TN_BUFFER_ALIGN != 0)
    return TN_FAIL(error, TN_BAD_ALIGNMENT, "memory of the program is at %p but must be 64-byte aligned", file);
  tn_open_options_t options;
  tn_program start;
  if (tn_status_t status = startProgram(given, options, start, "memory", error))
    return status;
  start.file = static_cast<const uint8_t *>(file);
  start.fileBytes = fileBytes;
  return openBytes(start, options, -1, program, error);
}

static tn_status_t openFile(const char *path, tn_program &start, const tn_open_options_t &options,
                            tn_program_t **program, int file, tn_error_t *error) {
  struct stat info;
  if (fstat(file, &info) != 0)
    return TN_FAIL(error, TN_IO, "%s: cannot be examined: %s", path, strerror(errno));
  if (!S_ISREG(info.st_mode))
    return TN_FAIL(error, TN_IO, "%s: is not a regular file but only those can be mapped", path);
  if (info.st_size < TN_PREFIX_BYTES)
    return TN_FAIL(error, TN_BAD_FILE, "%s: file has %lld bytes but an artifact has at least 64", start.label,
                   static_cast<long long>(info.st_size));
  start.fileBytes = static_cast<uint64_t>(info.st_size);
  void *memory = mmap(nullptr, start.fileBytes, PROT_READ, MAP_PRIVATE, file, 0);
  if (memory == MAP_FAILED)
    return TN_FAIL(error, TN_IO, "%s: cannot be mapped: %s", path, strerror(errno));
  start.file = static_cast<const uint8_t *>(memory);
  start.ownsMapping = true;
  tn_status_t status = openBytes(start, options, file, program, error);
  if (status != TN_OK)
    munmap(memory, start.fileBytes);
  return status;
}

tn_status_t tn_program_open(const char *path, const tn_open_options_t *given, tn_program_t **program,
                            tn_error_t *error) {
  if (!program || !path)
    return TN_FAIL(error, TN_BAD_ARGUMENT, "tn_program_open got a null pointer but needs path and program");
  *program = nullptr;
  tn_open_options_t options;
  tn_program start;
  if (tn_status_t status = startProgram(given, options, start, path, error))
    return status;
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0)
    return TN_FAIL(error, TN_IO, "%s: cannot be opened: %s", path, strerror(errno));
  tn_status_t status = openFile(path, start, options, program, file, error);
  close(file);
  return status;
}

void tn_program_close(tn_program_t *program) {
  if (program)
    destroy(program);
}

tn_status_t tn_variant_info(const tn_program_t *program, uint32_t index, tn_variant_info_t *info, tn_error_t *error) {
  if (!program || !info || index >= sizeOf(program->header->variants()))
    return TN_FAIL(error, TN_BAD_ARGUMENT, "variant %u is not in the program", index);
  const tenon::file::Variant &variant = *program->header->variants()->Get(index);
  tn_variant_info_t result = {};
  result.name = variant.name()->c_str();
  result.arch = variant.arch()->c_str();
  result.features = sizeOf(variant.features());
  result.image_segment = variant.image_segment();
  result.constants_segment =
      variant.constants_segment() < 0 ? TN_NO_INDEX : static_cast<uint32_t>(variant.constants_segment());
  result.abi_major = variant.abi_major();
  result.abi_minor_needed = variant.abi_minor_needed();
  result.runs_here = runsHere(*program, variant);
  result.device = variant.device() ? variant.device()->c_str() : "cpu";
  result.device_segment = static_cast<uint32_t>(variant.device_segment()); // -1 is TN_NO_INDEX
  writeStruct(info, result);
  return TN_OK;
}
