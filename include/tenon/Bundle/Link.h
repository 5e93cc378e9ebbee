//===- Link.h - objects to an image ---------------------------------------===//
#ifndef TENON_BUNDLE_LINK_H
#define TENON_BUNDLE_LINK_H

#include "dialects/Target/IR/TargetDialect.h"
#include "llvm/Support/Error.h"

namespace tenon {

/// One input of the linker. `name` is for messages.
struct ObjectInput {
  std::string name;
  llvm::StringRef bytes;
};

struct LinkOptions {
  /// Keep the names of local functions, for profilers and debuggers.
  bool keepSymbols = false;
};

/// Links the host program's and the kernels' objects with the builtins to a freestanding image: an ELF shared object
/// that exports `tn_image`, needs nothing from outside and has only relative relocations. The order of `objects`
/// decides the bytes. Fails on undefined symbols, listing them, and on anything an image may not contain.
llvm::Expected<std::string> linkImage(llvm::ArrayRef<ObjectInput> objects, target::CPUAttr cpu,
                                      const LinkOptions &options = {});

/// Merges the same inputs into one relocatable object, for linking into another program.
llvm::Expected<std::string> linkRelocatable(llvm::ArrayRef<ObjectInput> objects, target::CPUAttr cpu);

/// Bytes of machine code of the functions of an object whose names begin with `prefix`.
llvm::Expected<uint64_t> countCode(llvm::StringRef object, llvm::StringRef prefix = "");

/// What an image may not contain, all findings in one error.
llvm::Error verifyImage(llvm::StringRef image);

} // namespace tenon
#endif
