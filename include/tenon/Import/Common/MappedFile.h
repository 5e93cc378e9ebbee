// A file's bytes in memory, mapped and not copied.
#ifndef TENON_IMPORT_COMMON_MAPPEDFILE_H
#define TENON_IMPORT_COMMON_MAPPEDFILE_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/FileSystem.h"
#include <memory>
#include <string>

namespace tenon {

/// A read-only mapping of a whole file. `bytes()` lives as long as the object. Whoever truncates the file on disk
/// meanwhile takes the bytes away: nothing here protects from that.
class MappedFile {
public:
  /// Fails when the file cannot be opened, is not a regular file or does not fit the address space.
  static llvm::Expected<std::shared_ptr<const MappedFile>> open(llvm::StringRef path);

  llvm::StringRef path() const { return filePath; }
  llvm::ArrayRef<uint8_t> bytes() const;

private:
  std::string filePath;
  llvm::sys::fs::mapped_file_region region; // not valid for an empty file
};

} // namespace tenon
#endif
