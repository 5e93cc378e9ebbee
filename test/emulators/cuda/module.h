// A loaded module: its variables in device memory, its kernels decoded.
#ifndef TENON_TEST_EMULATORS_CUDA_MODULE_H
#define TENON_TEST_EMULATORS_CUDA_MODULE_H

#include "memory.h"
#include "program.h"
#include "text.h"

namespace tenon::emulator {

/// What a module needs to know of the GPU it is loaded for.
struct GpuLimits {
  uint32_t sm = 90; ///< compute capability times ten
  uint32_t sharedPerBlock = 48 * 1024, sharedOptIn = 0, sharedPerProcessor = 0;
  uint32_t processors = 16;
};

struct Module {
  struct Global {
    uint64_t address, bytes;
  };
  uint32_t version = 0; ///< of PTX, times ten
  std::map<std::string, std::shared_ptr<const Kernel>> kernels;
  std::map<std::string, Global> globals;
};

/// Reads and decodes PTX, and puts its variables into `memory`. Throws TextError; `code` is the CUresult that fits.
struct LoadError {
  int code;
  std::string log;
};
std::shared_ptr<Module> loadModule(std::string_view text, const GpuLimits &limits, Memory &memory);

} // namespace tenon::emulator
#endif
