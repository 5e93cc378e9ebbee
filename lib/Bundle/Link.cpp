//===- Link.cpp - objects to an image -------------------------------------===//
#include "tenon/Bundle/Link.h"
#include "Machine.h"
#include "llvm/Object/ELF.h"
#include "llvm/Object/ELFObjectFile.h"

using namespace llvm;
using namespace tenon;

static Error fail(const Twine &message) { return createStringError(inconvertibleErrorCode(), message); }

/// Links the objects once for each of `runs`, its options.
static Expected<std::vector<std::string>> runLinker(ArrayRef<ObjectInput> objects, target::CPUAttr cpu,
                                                    ArrayRef<std::vector<std::string>> runs) {
  Expected<WorkFolder> folder = WorkFolder::make("link");
  if (!folder)
    return folder.takeError();
  std::vector<std::string> files;
  auto addFile = [&](const Twine &name, StringRef bytes) -> Error {
    Expected<std::string> file = folder->write(name, bytes);
    if (file)
      files.push_back(std::move(*file));
    return file.takeError();
  };
  for (auto [i, object] : llvm::enumerate(objects)) {
    std::string safe = object.name;
    for (char &c : safe)
      if (!isAlnum(c) && c != '_' && c != '.')
        c = '-';
    if (Error error = addFile(Twine(i) + "-" + StringRef(safe).take_front(100) + ".o", object.bytes))
      return error;
  }
  Expected<std::string> builtins = emitBuiltins(cpu);
  if (!builtins)
    return builtins.takeError();
  if (Error error = addFile("builtins.o", *builtins))
    return error;
  std::vector<std::string> images;
  for (std::vector<std::string> arguments : runs) {
    llvm::append_range(arguments, files);
    arguments.insert(arguments.end(), {"-o", folder->place("image")});
    if (Error error = runLLD(arguments, *folder))
      return error;
    Expected<std::string> image = folder->read("image");
    if (!image)
      return image.takeError();
    images.push_back(std::move(*image));
  }
  return images;
}

/// Functions that are not exported too; the image must have its symbol table.
static Error listFunctions(StringRef image, std::vector<ImageFunction> &functions) {
  auto file = object::ELFFile<object::ELF64LE>::create(image);
  if (!file)
    return file.takeError();
  auto sections = file->sections();
  if (!sections)
    return sections.takeError();
  for (const auto &section : *sections) {
    if (section.sh_type != llvm::ELF::SHT_SYMTAB)
      continue;
    auto symbols = file->symbols(&section);
    auto names = file->getStringTableForSymtab(section);
    if (!symbols)
      return symbols.takeError();
    if (!names)
      return names.takeError();
    for (const auto &symbol : *symbols) {
      if (symbol.getType() != llvm::ELF::STT_FUNC)
        continue;
      auto name = symbol.getName(*names);
      if (!name)
        return name.takeError();
      functions.push_back({name->str(), symbol.st_value, symbol.st_size});
    }
  }
  return Error::success();
}

Expected<std::string> tenon::linkImage(ArrayRef<ObjectInput> objects, target::CPUAttr cpu, const LinkOptions &options) {
  std::vector<std::string> arguments{"-shared", "--no-undefined", "--gc-sections", "--hash-style=gnu",
                                      "--build-id=none", "--threads=1", "--fatal-warnings", "--error-limit=0",
                                      // No code that shares a page with data, at any page size; nothing resolved late.
                                      "-z", "separate-code", "-z", "max-page-size=65536", "-z", "noexecstack", "-z",
                                      "text", "-z", "now"};
  std::vector<std::vector<std::string>> runs{arguments};
  if (!options.keepSymbols)
    runs.back().push_back("--strip-all");
  if (options.functions)
    runs.push_back(arguments); // the symbol table comes after everything that is loaded: addresses are the same
  Expected<std::vector<std::string>> images = runLinker(objects, cpu, runs);
  if (!images)
    return images.takeError();
  if (Error error = verifyImage(images->front()))
    return error;
  if (options.functions)
    if (Error error = listFunctions(images->back(), *options.functions))
      return error;
  return std::move(images->front());
}

Expected<std::string> tenon::linkRelocatable(ArrayRef<ObjectInput> objects, target::CPUAttr cpu) {
  std::vector<std::string> arguments{"-r", "--threads=1"};
  Expected<std::vector<std::string>> images = runLinker(objects, cpu, arguments);
  if (!images)
    return images.takeError();
  return std::move(images->front());
}

Expected<uint64_t> tenon::countCode(StringRef object, StringRef prefix) {
  auto file = llvm::object::ObjectFile::createObjectFile(MemoryBufferRef(object, "object"));
  if (!file)
    return file.takeError();
  auto *elf = dyn_cast<llvm::object::ELFObjectFileBase>(file->get());
  if (!elf)
    return fail("an object is no ELF file");
  uint64_t bytes = 0;
  for (llvm::object::ELFSymbolRef symbol : elf->symbols()) {
    Expected<StringRef> name = symbol.getName();
    if (!name)
      return name.takeError();
    if (symbol.getELFType() == llvm::ELF::STT_FUNC && name->starts_with(prefix))
      bytes += symbol.getSize();
  }
  return bytes;
}

Error tenon::verifyImage(StringRef image) {
  using Format = object::ELF64LE;
  auto file = object::ELFFile<Format>::create(image);
  if (!file)
    return file.takeError();
  std::vector<std::string> findings;
  auto headers = file->program_headers();
  if (!headers)
    return headers.takeError();
  for (const auto &header : *headers) {
    if (header.p_type == llvm::ELF::PT_TLS)
      findings.push_back("it has thread-local data");
    if (header.p_type == llvm::ELF::PT_INTERP)
      findings.push_back("it needs an interpreter");
    if (header.p_type == llvm::ELF::PT_LOAD && (header.p_flags & llvm::ELF::PF_W) && (header.p_flags & llvm::ELF::PF_X))
      findings.push_back("a segment is writable and executable");
  }
  auto dynamic = file->dynamicEntries();
  if (!dynamic)
    return dynamic.takeError();
  for (const auto &entry : *dynamic) {
    switch (entry.d_tag) {
    case llvm::ELF::DT_NEEDED:
      findings.push_back("it needs another library");
      break;
    case llvm::ELF::DT_TEXTREL:
      findings.push_back("it has relocations in read-only memory");
      break;
    case llvm::ELF::DT_INIT:
    case llvm::ELF::DT_FINI:
    case llvm::ELF::DT_INIT_ARRAY:
    case llvm::ELF::DT_FINI_ARRAY:
      findings.push_back("it has code that runs at load time");
      break;
    case llvm::ELF::DT_JMPREL:
      findings.push_back("it has a procedure linkage table");
      break;
    default:
      break;
    }
  }
  uint32_t relative = file->getRelativeRelocationType();
  auto sections = file->sections();
  if (!sections)
    return sections.takeError();
  bool exportsImage = false;
  for (const auto &section : *sections) {
    if (section.sh_type == llvm::ELF::SHT_RELA) {
      auto relocations = file->relas(section);
      if (!relocations)
        return relocations.takeError();
      for (const auto &relocation : *relocations)
        if (relocation.getType(false) != relative)
          findings.push_back("it has a relocation of type " + std::to_string(relocation.getType(false)));
    }
    if (section.sh_type != llvm::ELF::SHT_DYNSYM)
      continue;
    auto symbols = file->symbols(&section);
    auto names = file->getStringTableForSymtab(section);
    if (!symbols)
      return symbols.takeError();
    if (!names)
      return names.takeError();
    for (const auto &symbol : symbols->drop_front()) {
      auto name = symbol.getName(*names);
      if (!name)
        return name.takeError();
      if (symbol.isUndefined())
        findings.push_back("it uses symbol '" + name->str() + "' from outside");
      else if (*name == "tn_image")
        exportsImage = true;
      else
        findings.push_back("it exports symbol '" + name->str() + "'");
      if (symbol.getType() == llvm::ELF::STT_GNU_IFUNC || symbol.getType() == llvm::ELF::STT_TLS)
        findings.push_back("symbol '" + name->str() + "' is an indirect function or thread-local");
    }
  }
  if (!exportsImage)
    findings.push_back("it does not export tn_image");
  if (findings.empty())
    return Error::success();
  return fail("image cannot be loaded: " + llvm::join(findings, "; "));
}
