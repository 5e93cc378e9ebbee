//===- WorkFolder.cpp - tools that read and write files -------------------===//
#include "Machine.h"
#include "lld/Common/CommonLinkerContext.h"
#include "lld/Common/Driver.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include <mutex>

LLD_HAS_DRIVER(elf)

using namespace llvm;
using namespace tenon;

static Error fail(const Twine &message) { return createStringError(inconvertibleErrorCode(), message); }

Expected<WorkFolder> WorkFolder::make(StringRef purpose) {
  SmallString<128> path;
  if (std::error_code error = sys::fs::createUniqueDirectory("tenon-" + purpose, path))
    return fail("cannot make a temporary folder: " + error.message());
  sys::fs::setPermissions(path, sys::fs::owner_all);
  return WorkFolder(path.str().str());
}

WorkFolder::~WorkFolder() {
  if (!path.empty())
    sys::fs::remove_directories(path);
}

std::string WorkFolder::place(const Twine &name) const {
  SmallString<128> result(path);
  sys::path::append(result, name);
  return result.str().str();
}

Expected<std::string> WorkFolder::write(const Twine &name, StringRef bytes) const {
  std::string file = place(name);
  std::error_code error;
  raw_fd_ostream stream(file, error);
  if (!error)
    stream << bytes;
  stream.flush();
  if (error || stream.error())
    return fail("cannot write '" + file + "': " + (error ? error : stream.error()).message());
  return file;
}

Expected<std::string> WorkFolder::read(const Twine &name) const {
  ErrorOr<std::unique_ptr<MemoryBuffer>> file =
      MemoryBuffer::getFile(place(name), /*IsText=*/false, /*RequiresNullTerminator=*/false);
  if (!file)
    return fail("cannot read '" + name + "': " + file.getError().message());
  return (*file)->getBuffer().str();
}

std::string WorkFolder::clean(StringRef messages) const {
  std::string text = messages.trim().str();
  for (size_t at; (at = text.find(path)) != std::string::npos;)
    text.erase(at, path.size() + 1);
  return text;
}

Error tenon::runLLD(ArrayRef<std::string> arguments, const WorkFolder &folder) {
  SmallVector<const char *> pointers{"ld.lld"};
  for (const std::string &argument : arguments)
    pointers.push_back(argument.c_str());
  std::string messages;
  static std::mutex mutex; // lld has global state
  std::lock_guard lock(mutex);
  raw_string_ostream stream(messages);
  lld::Result result = lld::lldMain(pointers, stream, stream, {{lld::Gnu, &lld::elf::link}});
  lld::CommonLinkerContext::destroy();
  return result.retCode ? fail("cannot link the image:\n" + folder.clean(messages)) : Error::success();
}
