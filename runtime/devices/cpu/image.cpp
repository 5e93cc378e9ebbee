// The ELF64 loader; see image.h. Everything the file says is checked before it is used: a damaged image that has
// the right hash by accident (or a bug of the compiler) is refused, not run.
#include "image.h"

#include <cerrno>
#include <cstring>
#include <elf.h>
#include <sys/mman.h>
#include <unistd.h>

namespace tenon::rt {

#ifndef DT_RELR
#define DT_RELRSZ 35
#define DT_RELR 36
#define DT_RELRENT 37
#endif

#if defined(__x86_64__)
static constexpr uint16_t hostMachine = EM_X86_64;
static constexpr uint32_t relativeRelocation = R_X86_64_RELATIVE;
#elif defined(__aarch64__)
static constexpr uint16_t hostMachine = EM_AARCH64;
static constexpr uint32_t relativeRelocation = R_AARCH64_RELATIVE;
#else
static constexpr uint16_t hostMachine = EM_NONE;
static constexpr uint32_t relativeRelocation = 0;
#endif

static constexpr uint64_t maxSpan = uint64_t(1) << 31; // code models assume that an image is smaller
static constexpr uint32_t maxSegments = 16;

namespace {
class Loader {
public:
  Loader(const ImageSource &source, LoadedImage &loaded, tn_error_t *error)
      : source(source), loaded(loaded), error(error), page(static_cast<uint64_t>(sysconf(_SC_PAGESIZE))) {}

  tn_status_t run(uint32_t entryCount, uint32_t tableBytes);

private:
  tn_status_t refuse(const char *what) {
    return TN_FAIL(error, TN_BAD_FILE, "%s: image %s", source.label, what);
  }
  tn_status_t refuseSystem(const char *what) {
    return TN_FAIL(error, TN_IO, "%s: %s failed for the image: %s", source.label, what, strerror(errno));
  }
  tn_status_t readHeaders();
  tn_status_t checkLoad(const Elf64_Phdr &load);
  tn_status_t mapSegments();
  tn_status_t mapSegment(const Elf64_Phdr &load);
  tn_status_t readDynamic();
  tn_status_t relocate();
  tn_status_t relocateWord(uint64_t at, bool isRelr, uint64_t addend);
  tn_status_t countSymbols(uint64_t &count);
  tn_status_t countGnuSymbols(uint64_t &count);
  tn_status_t findImage(uint64_t &address);
  tn_status_t protect();
  tn_status_t checkImage(uint64_t address, uint32_t entryCount, uint32_t tableBytes);

  uint64_t roundDown(uint64_t value) const { return value & ~(page - 1); }
  uint64_t roundUp(uint64_t value) const { return (value + page - 1) & ~(page - 1); }
  /// The loaded segment that holds [at, at + bytes) and has all of `flags`; nullptr when none does.
  const Elf64_Phdr *segmentOf(uint64_t at, uint64_t bytes, uint32_t flags) const {
    for (uint32_t i = 0; i < loadCount; ++i)
      if ((loads[i].p_flags & flags) == flags && at >= loads[i].p_vaddr && bytes <= loads[i].p_memsz &&
          at - loads[i].p_vaddr <= loads[i].p_memsz - bytes)
        return &loads[i];
    return nullptr;
  }
  uint8_t *memory(uint64_t at) const { return static_cast<uint8_t *>(loaded.base) + at; }
  /// A readable array inside the image, or nullptr.
  template <typename T> const T *array(uint64_t at, uint64_t count) const {
    if (at % alignof(T) != 0 || count > maxSpan / sizeof(T) || !segmentOf(at, count * sizeof(T), PF_R))
      return nullptr;
    return reinterpret_cast<const T *>(memory(at));
  }
  /// Address of a pointer found in the image as an offset into it; false when it points elsewhere.
  bool offsetOf(const void *pointer, uint64_t &at) const {
    auto address = reinterpret_cast<uintptr_t>(pointer), base = reinterpret_cast<uintptr_t>(loaded.base);
    at = address - base;
    return address >= base && at < loaded.span;
  }

  const ImageSource &source;
  LoadedImage &loaded;
  tn_error_t *error;
  uint64_t page;
  Elf64_Phdr loads[maxSegments];
  uint32_t loadCount = 0;
  Elf64_Phdr dynamic = {}, relro = {};
  uint64_t hash = 0, gnuHash = 0, symbols = 0, strings = 0, stringBytes = 0;
  uint64_t rela = 0, relaBytes = 0, relr = 0, relrBytes = 0;
};
} // namespace

tn_status_t Loader::checkLoad(const Elf64_Phdr &load) {
  if (load.p_filesz > load.p_memsz || load.p_offset > source.byteCount ||
      load.p_filesz > source.byteCount - load.p_offset)
    return refuse("has a segment outside the file");
  if (load.p_vaddr > maxSpan || load.p_memsz > maxSpan - load.p_vaddr || load.p_memsz == 0)
    return refuse("has a segment with an impossible address range");
  if ((load.p_vaddr - load.p_offset) % page != 0)
    return refuse("has a segment that cannot be mapped with this page size");
  if ((load.p_flags & PF_W) && (load.p_flags & PF_X))
    return refuse("has a segment that is writable and executable");
  if (!(load.p_flags & PF_R))
    return refuse("has a segment that is not readable");
  if (loadCount == maxSegments)
    return refuse("has more than 16 loaded segments");
  if (loadCount && roundDown(load.p_vaddr) < roundUp(loads[loadCount - 1].p_vaddr + loads[loadCount - 1].p_memsz))
    return refuse("has segments that share a page or are not in order");
  loads[loadCount++] = load;
  return TN_OK;
}

tn_status_t Loader::readHeaders() {
  Elf64_Ehdr header;
  if (source.byteCount < sizeof(header))
    return refuse("is smaller than an ELF header");
  memcpy(&header, source.bytes, sizeof(header));
  if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 ||
      header.e_ident[EI_DATA] != ELFDATA2LSB || header.e_type != ET_DYN)
    return refuse("is not a little-endian 64-bit shared ELF object");
  if (header.e_machine != hostMachine)
    return TN_FAIL(error, TN_BAD_FILE, "%s: image is for ELF machine %u but this one is %u", source.label,
                   header.e_machine, hostMachine);
  if (header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phnum == 0 || header.e_phnum > 64 ||
      header.e_phoff > source.byteCount || header.e_phnum * sizeof(Elf64_Phdr) > source.byteCount - header.e_phoff)
    return refuse("has program headers outside the file");
  for (uint32_t i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment;
    memcpy(&segment, source.bytes + header.e_phoff + i * sizeof(segment), sizeof(segment));
    if (segment.p_type == PT_TLS || segment.p_type == PT_INTERP)
      return refuse("needs a thread-local segment or an interpreter, which images may not");
    if (segment.p_type == PT_DYNAMIC)
      dynamic = segment;
    if (segment.p_type == PT_GNU_RELRO)
      relro = segment;
    if (segment.p_type != PT_LOAD || segment.p_memsz == 0)
      continue;
    if (tn_status_t status = checkLoad(segment))
      return status;
  }
  if (loadCount == 0 || dynamic.p_memsz == 0)
    return refuse("has no loaded or no dynamic segment");
  return TN_OK;
}

tn_status_t Loader::mapSegment(const Elf64_Phdr &load) {
  uint64_t start = roundDown(load.p_vaddr), end = roundUp(load.p_vaddr + load.p_memsz);
  uint64_t fileEnd = load.p_vaddr + load.p_filesz;
  bool writable = load.p_flags & PF_W;
  // Straight from the file when pages line up, so that processes share the code; else a copy.
  bool fromFile = source.file >= 0 && source.fileOffset % page == 0 && load.p_filesz != 0;
  if (!fromFile) {
    if (mprotect(memory(start), end - start, PROT_READ | PROT_WRITE) != 0)
      return refuseSystem("mprotect");
    memcpy(memory(load.p_vaddr), source.bytes + load.p_offset, load.p_filesz);
    if (!writable && mprotect(memory(start), end - start, PROT_READ) != 0)
      return refuseSystem("mprotect");
    return TN_OK;
  }
  uint64_t mapEnd = roundUp(fileEnd);
  bool zeroTail = load.p_memsz > load.p_filesz && fileEnd < mapEnd;
  int protection = writable || zeroTail ? PROT_READ | PROT_WRITE : PROT_READ;
  auto offset = static_cast<off_t>(source.fileOffset + roundDown(load.p_offset));
  if (mmap(memory(start), mapEnd - start, protection, MAP_PRIVATE | MAP_FIXED, source.file, offset) == MAP_FAILED)
    return refuseSystem("mmap");
  if (zeroTail) {
    memset(memory(fileEnd), 0, mapEnd - fileEnd);
    if (!writable && mprotect(memory(start), mapEnd - start, PROT_READ) != 0)
      return refuseSystem("mprotect");
  }
  if (mapEnd < end && mprotect(memory(mapEnd), end - mapEnd, writable ? PROT_READ | PROT_WRITE : PROT_READ) != 0)
    return refuseSystem("mprotect");
  return TN_OK;
}

tn_status_t Loader::mapSegments() {
  loaded.span = roundUp(loads[loadCount - 1].p_vaddr + loads[loadCount - 1].p_memsz);
  void *base = mmap(nullptr, loaded.span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED)
    return refuseSystem("mmap");
  loaded.base = base;
  for (uint32_t i = 0; i < loadCount; ++i)
    if (tn_status_t status = mapSegment(loads[i]))
      return status;
  return TN_OK;
}

tn_status_t Loader::readDynamic() {
  uint64_t count = dynamic.p_memsz / sizeof(Elf64_Dyn);
  const auto *entries = array<Elf64_Dyn>(dynamic.p_vaddr, count);
  if (!entries)
    return refuse("has a dynamic segment outside its memory");
  for (uint64_t i = 0; i < count && entries[i].d_tag != DT_NULL; ++i) {
    uint64_t value = entries[i].d_un.d_val;
    switch (entries[i].d_tag) {
    case DT_HASH: hash = value; break;
    case DT_GNU_HASH: gnuHash = value; break;
    case DT_SYMTAB: symbols = value; break;
    case DT_STRTAB: strings = value; break;
    case DT_STRSZ: stringBytes = value; break;
    case DT_RELA: rela = value; break;
    case DT_RELASZ: relaBytes = value; break;
    case DT_RELR: relr = value; break;
    case DT_RELRSZ: relrBytes = value; break;
    case DT_SYMENT:
      if (value != sizeof(Elf64_Sym))
        return refuse("has symbols of an unknown size");
      break;
    case DT_RELAENT:
      if (value != sizeof(Elf64_Rela))
        return refuse("has relocations of an unknown size");
      break;
    case DT_RELRENT:
      if (value != sizeof(uint64_t))
        return refuse("has packed relocations of an unknown size");
      break;
    case DT_NEEDED: return refuse("needs another library, which images may not");
    case DT_TEXTREL: return refuse("has text relocations, which images may not");
    case DT_FLAGS:
      if (value & (DF_TEXTREL | DF_STATIC_TLS))
        return refuse("has text relocations or thread-local data, which images may not");
      break;
    case DT_REL:
    case DT_JMPREL:
    case DT_PLTRELSZ:
    case DT_INIT:
    case DT_FINI:
    case DT_INIT_ARRAY:
    case DT_FINI_ARRAY: return refuse("has lazy relocations or code that runs at load time, which images may not");
    default: break;
    }
  }
  return TN_OK;
}

// Adds the base to one 8-byte word; `addend` is the word's value with RELA, and read from it with RELR.
tn_status_t Loader::relocateWord(uint64_t at, bool isRelr, uint64_t addend) {
  if (at % sizeof(uint64_t) != 0 || !segmentOf(at, sizeof(uint64_t), PF_R | PF_W))
    return refuse("has a relocation outside its writable memory");
  auto *word = reinterpret_cast<uint64_t *>(memory(at));
  uint64_t target = isRelr ? *word : addend;
  if (target > loaded.span)
    return refuse("has a relocation that points outside of it");
  *word = reinterpret_cast<uintptr_t>(loaded.base) + target;
  return TN_OK;
}

tn_status_t Loader::relocate() {
  const auto *relocations = array<Elf64_Rela>(rela, relaBytes / sizeof(Elf64_Rela));
  if (relaBytes && (!relocations || relaBytes % sizeof(Elf64_Rela) != 0))
    return refuse("has relocations outside its memory");
  for (uint64_t i = 0; i < relaBytes / sizeof(Elf64_Rela); ++i) {
    Elf64_Rela relocation = relocations[i];
    if (ELF64_R_TYPE(relocation.r_info) == 0)
      continue;
    if (ELF64_R_TYPE(relocation.r_info) != relativeRelocation || ELF64_R_SYM(relocation.r_info) != 0)
      return refuse("has a relocation that is not relative");
    if (tn_status_t status = relocateWord(relocation.r_offset, false, static_cast<uint64_t>(relocation.r_addend)))
      return status;
  }
  const auto *packed = array<uint64_t>(relr, relrBytes / sizeof(uint64_t));
  if (relrBytes && (!packed || relrBytes % sizeof(uint64_t) != 0))
    return refuse("has packed relocations outside its memory");
  uint64_t where = 0; // next word that a bitmap speaks of
  for (uint64_t i = 0; i < relrBytes / sizeof(uint64_t); ++i) {
    uint64_t entry = packed[i];
    if (!(entry & 1)) {
      if (tn_status_t status = relocateWord(entry, true, 0))
        return status;
      where = entry + sizeof(uint64_t);
      continue;
    }
    for (uint64_t bit = 0; bit < 63; ++bit)
      if (entry >> (bit + 1) & 1)
        if (tn_status_t status = relocateWord(where + bit * sizeof(uint64_t), true, 0))
          return status;
    where += 63 * sizeof(uint64_t);
  }
  return TN_OK;
}

// DT_GNU_HASH does not say how many symbols there are: the end of the chain of the last bucket does.
tn_status_t Loader::countGnuSymbols(uint64_t &count) {
  const auto *head = array<uint32_t>(gnuHash, 4);
  if (!head)
    return refuse("has a hash table outside its memory");
  uint64_t bucketCount = head[0], first = head[1], bloomWords = head[2];
  uint64_t buckets = gnuHash + 16 + bloomWords * 8, chains = buckets + bucketCount * 4;
  const auto *bucket = array<uint32_t>(buckets, bucketCount);
  if (!bucket)
    return refuse("has a hash table outside its memory");
  uint64_t last = 0;
  for (uint64_t i = 0; i < bucketCount; ++i)
    last = bucket[i] > last ? bucket[i] : last;
  count = first;
  if (last < first)
    return TN_OK;
  for (uint64_t i = last;; ++i) {
    const auto *chain = array<uint32_t>(chains + (i - first) * 4, 1);
    if (!chain)
      return refuse("has a hash table outside its memory");
    count = i + 1;
    if (*chain & 1)
      return TN_OK;
  }
}

tn_status_t Loader::countSymbols(uint64_t &count) {
  if (hash == 0 && gnuHash == 0)
    return refuse("has no symbol hash table");
  if (hash == 0)
    return countGnuSymbols(count);
  const auto *head = array<uint32_t>(hash, 2);
  if (!head)
    return refuse("has a hash table outside its memory");
  count = head[1];
  return TN_OK;
}

tn_status_t Loader::findImage(uint64_t &address) {
  uint64_t count = 0;
  if (tn_status_t status = countSymbols(count))
    return status;
  const auto *table = array<Elf64_Sym>(symbols, count);
  const auto *names = array<char>(strings, stringBytes);
  if (!table || !names || stringBytes == 0 || names[stringBytes - 1] != 0)
    return refuse("has a symbol table outside its memory");
  bool found = false;
  for (uint64_t i = 1; i < count; ++i) {
    const Elf64_Sym &symbol = table[i];
    if (symbol.st_name >= stringBytes)
      return refuse("has a symbol name outside its memory");
    const char *name = names + symbol.st_name;
    if (symbol.st_shndx == SHN_UNDEF)
      return TN_FAIL(error, TN_BAD_FILE, "%s: image uses symbol '%.64s' but images may use none from outside",
                     source.label, name);
    if (ELF64_ST_TYPE(symbol.st_info) == STT_GNU_IFUNC || ELF64_ST_TYPE(symbol.st_info) == STT_TLS)
      return refuse("has an indirect function or thread-local data, which images may not");
    if (strcmp(name, "tn_image") == 0) {
      address = symbol.st_value;
      found = true;
    }
  }
  return found ? TN_OK : refuse("does not export tn_image");
}

tn_status_t Loader::protect() {
  if (relro.p_memsz) {
    if (!segmentOf(relro.p_vaddr, 1, PF_W) || relro.p_memsz > maxSpan)
      return refuse("has a read-only-after-relocation range outside its memory");
    // The rest of its last page may hold ordinary data; the linker pads the range so that it does not.
    uint64_t start = roundDown(relro.p_vaddr), end = roundDown(relro.p_vaddr + relro.p_memsz);
    const Elf64_Phdr *segment = segmentOf(relro.p_vaddr, 1, PF_W);
    uint64_t segmentEnd = roundUp(segment->p_vaddr + segment->p_memsz);
    end = end < segmentEnd ? end : segmentEnd;
    if (end > start && mprotect(memory(start), end - start, PROT_READ) != 0)
      return refuseSystem("mprotect");
  }
  for (uint32_t i = 0; i < loadCount; ++i) {
    if (!(loads[i].p_flags & PF_X))
      continue;
    uint64_t start = roundDown(loads[i].p_vaddr), end = roundUp(loads[i].p_vaddr + loads[i].p_memsz);
    __builtin___clear_cache(reinterpret_cast<char *>(memory(start)), reinterpret_cast<char *>(memory(end)));
    if (mprotect(memory(start), end - start, PROT_READ | PROT_EXEC) != 0)
      return refuseSystem("mprotect");
  }
  return TN_OK;
}

tn_status_t Loader::checkImage(uint64_t address, uint32_t entryCount, uint32_t tableBytes) {
  const auto *image = reinterpret_cast<const tn_image *>(array<uint64_t>(address, sizeof(tn_image) / 8));
  if (!image || image->struct_bytes < sizeof(tn_image))
    return refuse("has a tn_image outside its memory or too small");
  if (image->abi_major != TN_ABI_MAJOR || image->abi_minor_needed > TN_ABI_MINOR)
    return TN_FAIL(error, TN_BAD_VERSION, "%s: image needs ABI %u.%u but this runtime has %u.%u", source.label,
                   image->abi_major, image->abi_minor_needed, TN_ABI_MAJOR, TN_ABI_MINOR);
  if (image->table_bytes_needed > tableBytes)
    return TN_FAIL(error, TN_BAD_VERSION, "%s: image needs a table of %u bytes but this runtime has %u", source.label,
                   image->table_bytes_needed, tableBytes);
  if (image->entry_count != entryCount)
    return TN_FAIL(error, TN_BAD_FILE, "%s: image has %u entries but the header has %u", source.label,
                   image->entry_count, entryCount);
  uint64_t at = 0;
  if (entryCount && (!offsetOf(image->entries, at) ||
                     !array<uint64_t>(at, entryCount * uint64_t(sizeof(tn_image_entry) / sizeof(uint64_t)))))
    return refuse("has a table of entries outside its memory");
  for (uint32_t i = 0; i < entryCount; ++i) {
    const tn_image_entry &entry = image->entries[i];
    const void *functions[] = {reinterpret_cast<const void *>(entry.run),
                               reinterpret_cast<const void *>(entry.arena_bytes),
                               reinterpret_cast<const void *>(entry.scratch_bytes)};
    for (const void *function : functions)
      if (!offsetOf(function, at) || !segmentOf(at, 1, PF_X))
        return refuse("has an entry whose code is outside its executable memory");
  }
  loaded.image = image;
  return TN_OK;
}

tn_status_t Loader::run(uint32_t entryCount, uint32_t tableBytes) {
  if (tn_status_t status = readHeaders())
    return status;
  if (tn_status_t status = mapSegments())
    return status;
  if (tn_status_t status = readDynamic())
    return status;
  if (tn_status_t status = relocate())
    return status;
  uint64_t address = 0;
  if (tn_status_t status = findImage(address))
    return status;
  if (tn_status_t status = checkImage(address, entryCount, tableBytes))
    return status;
  return protect(); // last: nothing is executable before all checks
}

tn_status_t loadImage(const ImageSource &source, uint32_t entryCount, uint32_t tableBytes, LoadedImage &loaded,
                      tn_error_t *error) {
  Loader loader(source, loaded, error);
  tn_status_t status = loader.run(entryCount, tableBytes);
  if (status != TN_OK)
    unloadImage(loaded);
  return status;
}

void unloadImage(LoadedImage &loaded) {
  if (loaded.base)
    munmap(loaded.base, loaded.span);
  loaded = LoadedImage();
}

} // namespace tenon::rt
