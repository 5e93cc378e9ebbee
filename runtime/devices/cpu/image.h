// Loads an image: a freestanding shared ELF object without dependencies, mapped W^X.
#ifndef TENON_RUNTIME_DEVICES_CPU_IMAGE_H
#define TENON_RUNTIME_DEVICES_CPU_IMAGE_H

#include "../../src/error.h"
#include "tenon/abi.h"

namespace tenon::rt {

/// Where an image's bytes are. `bytes` are readable and verified; `file` is the same in a descriptor, or -1.
struct ImageSource {
  const uint8_t *bytes;
  uint64_t byteCount;
  int file;
  uint64_t fileOffset;
  const char *label; // of the file, for messages
};

struct LoadedImage {
  void *base = nullptr; // reserved address range
  uint64_t span = 0;
  const tn_image *image = nullptr;
};

/// Maps, relocates and protects the image and checks its tn_image against this runtime's ABI and `entryCount`.
tn_status_t loadImage(const ImageSource &source, uint32_t entryCount, uint32_t tableBytes, LoadedImage &loaded,
                      tn_error_t *error);
void unloadImage(LoadedImage &loaded);

} // namespace tenon::rt
#endif
