//===- Link.cpp - objects to an image -------------------------------------===//
#include "tenon/Bundle/Link.h"
#include "lld/Common/CommonLinkerContext.h"
#include "lld/Common/Driver.h"
#include "tenon/Bundle/Emit.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/Object/ELF.h"
#include "llvm/Object/ELFObjectFile.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include <mutex>

LLD_HAS_DRIVER(elf)

using namespace llvm;
using namespace tenon;

static Error fail(const Twine &message) { return createStringError(inconvertibleErrorCode(), message); }

/// Runs lld on files in a folder of its own, which is removed again.
static Expected<std::string> runLinker(ArrayRef<ObjectInput> objects, target::CPUAttr cpu,
                                       ArrayRef<const char *> options) {
  SmallString<128> folder;
  if (std::error_code error = sys::fs::createUniqueDirectory("tenon-link", folder))
    return fail("cannot make a temporary folder: " + error.message());
  sys::fs::setPermissions(folder, sys::fs::owner_all);
  scope_exit cleanUp([&] { sys::fs::remove_directories(folder); });
  std::vector<std::string> arguments{"ld.lld"};
  for (const char *option : options)
    arguments.push_back(option);
  auto addFile = [&](const Twine &name, StringRef bytes) -> Error {
    SmallString<128> path(folder);
    sys::path::append(path, name);
    std::error_code error;
    raw_fd_ostream stream(path, error);
    if (!error)
      stream << bytes;
    stream.flush();
    if (error || stream.error())
      return fail("cannot write '" + path + "': " + (error ? error : stream.error()).message());
    arguments.push_back(path.str().str());
    return Error::success();
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
  SmallString<128> output(folder);
  sys::path::append(output, "image");
  arguments.push_back("-o");
  arguments.push_back(output.str().str());
  SmallVector<const char *> pointers;
  for (const std::string &argument : arguments)
    pointers.push_back(argument.c_str());

  std::string messages;
  {
    static std::mutex mutex; // lld has global state
    std::lock_guard lock(mutex);
    raw_string_ostream stream(messages);
    lld::Result result = lld::lldMain(pointers, stream, stream, {{lld::Gnu, &lld::elf::link}});
    lld::CommonLinkerContext::destroy();
    if (result.retCode != 0) {
      std::string text = StringRef(messages).trim().str();
      for (size_t at; (at = text.find(folder.c_str())) != std::string::npos;)
        text.erase(at, folder.size() + 1);
      return fail("cannot link the image:\n" + text);
    }
  }
  ErrorOr<std::unique_ptr<MemoryBuffer>> image =
      MemoryBuffer::getFile(output, /*IsText=*/false, /*RequiresNullTerminator=*/false);
  if (!image)
    return fail("cannot read the linked image: " + image.getError().message());
  return (*image)->getBuffer().str();
}

Expected<std::string> tenon::linkImage(ArrayRef<ObjectInput> objects, target::CPUAttr cpu, const LinkOptions &options) {
  SmallVector<const char *> arguments{"-shared", "--no-undefined", "--gc-sections", "--hash-style=gnu",
                                      "--build-id=none", "--threads=1", "--fatal-warnings", "--error-limit=0",
                                      // No code that shares a page with data, at any page size; nothing resolved late.
                                      "-z", "separate-code", "-z", "max-page-size=65536", "-z", "noexecstack", "-z",
                                      "text", "-z", "now"};
  if (!options.keepSymbols)
    arguments.push_back("--strip-all");
  Expected<std::string> image = runLinker(objects, cpu, arguments);
  if (!image)
    return image;
  if (Error error = verifyImage(*image))
    return error;
  return image;
}

Expected<std::string> tenon::linkRelocatable(ArrayRef<ObjectInput> objects, target::CPUAttr cpu) {
  return runLinker(objects, cpu, {"-r", "--threads=1"});
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
