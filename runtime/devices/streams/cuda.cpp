// NVIDIA: the driver API. Its toolkit is not needed.
#include "streams.h"

#include <cstdlib>
#include <dlfcn.h>
#include <pthread.h>

namespace tenon::rt {

namespace {
struct Extra {
  int (*getAttribute)(int *, int, int);
  int (*getErrorName)(int, const char **);
  int (*retainContext)(void **, int);
  int (*releaseContext)(int);
  int (*pushContext)(void *);
  int (*popContext)(void **);
  int (*loadModule)(void **, const void *, unsigned, int *, void **);
  int (*encodeTiled)(void *, int, uint32_t, void *, const uint64_t *, const uint64_t *, const uint32_t *, const uint32_t *, int, int,
                     int, int);
};
} // namespace

static StreamDriver driver;
static Extra extra;

// Of cuda.h, which is not needed to build.
static constexpr int kErrorOutOfMemory = 2, kErrorNoBinary = 209, kErrorInvalidPTX = 218, kErrorUnsupportedPTX = 222;
static constexpr int kMajor = 75, kMinor = 76;               // CUdevice_attribute
static constexpr int kUInt8 = 0, kUInt16 = 1, kUInt32 = 2;   // CUtensorMapDataType
static constexpr int kSwizzle128 = 3, kPromote256 = 3;       // CUtensorMapSwizzle, CUtensorMapL2promotion
static constexpr int kErrorLog = 5, kErrorLogBytes = 6;      // CUjit_option

static const char *nameError(int code) {
  const char *name = nullptr;
  return extra.getErrorName(code, &name) ? nullptr : name;
}

static int loadModule(void **module, const void *code, char *log, unsigned logBytes) {
  int options[] = {kErrorLog, kErrorLogBytes};
  void *values[] = {log, reinterpret_cast<void *>(static_cast<uintptr_t>(logBytes))};
  return extra.loadModule(module, code, 2, options, values);
}

static int encodeMap(void *map, uint32_t elementBytes, uint32_t rank, uint64_t address, const uint64_t *sizes,
                     const uint64_t *strides, const uint32_t *tile) {
  const uint32_t steps[] = {1, 1, 1, 1, 1};
  int type = elementBytes == 1 ? kUInt8 : elementBytes == 2 ? kUInt16 : kUInt32;
  return extra.encodeTiled(map, type, rank, reinterpret_cast<void *>(static_cast<uintptr_t>(address)), sizes, strides, tile, steps,
                           /*interleaved: no*/ 0, kSwizzle128, kPromote256, /*outside: zeros*/ 0);
}

/// "sm_80" runs on what came later too, "sm_90a" on that very capability.
static bool runs(int device, const char *arch) {
  int major = 0, minor = 0;
  if (strncmp(arch, "sm_", 3) != 0 || extra.getAttribute(&major, kMajor, device) || extra.getAttribute(&minor, kMinor, device))
    return false;
  char *end = nullptr;
  long wanted = strtol(arch + 3, &end, 10), have = major * 10 + minor;
  return *end == 'a' ? have == wanted : have >= wanted;
}

static void openDriver() {
  TextBuffer why(driver.why, sizeof(driver.why));
  driver.vendor = "NVIDIA";
  DriverLibrary library = {dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL)};
  if (!library.handle) {
    why.add("NVIDIA's driver (libcuda.so.1 is not installed)");
    return;
  }
#define TN_FIND(MEMBER, TYPE, CUDA, HIP) library.find(driver.MEMBER, CUDA);
  TN_STREAM_FUNCTIONS(TN_FIND)
  library.find(extra.getAttribute, "cuDeviceGetAttribute");
  library.find(extra.getErrorName, "cuGetErrorName");
  library.find(extra.retainContext, "cuDevicePrimaryCtxRetain");
  library.find(extra.releaseContext, "cuDevicePrimaryCtxRelease_v2");
  library.find(extra.pushContext, "cuCtxPushCurrent_v2");
  library.find(extra.popContext, "cuCtxPopCurrent_v2");
  library.find(extra.loadModule, "cuModuleLoadDataEx");
  library.find(extra.encodeTiled, "cuTensorMapEncodeTiled");
  if (library.missing) {
    why.add("NVIDIA's driver of CUDA 12 or later (this one has no %s)", library.missing);
    return;
  }
  if (int code = driver.init(0)) {
    const char *name = nameError(code);
    why.add("a device of NVIDIA (cuInit: %s)", name ? name : "an unknown error");
    return;
  }
  driver.nameError = nameError;
  driver.enter = [](void *context, int, void **) { return extra.pushContext(context); };
  driver.leave = [](void *) {
    void *popped = nullptr;
    (void)extra.popContext(&popped);
  };
  driver.openContext = [](int device, void **context) { return extra.retainContext(context, device); };
  driver.closeContext = [](int device) { (void)extra.releaseContext(device); };
  driver.loadModule = loadModule;
  driver.encodeMap = encodeMap;
  driver.runs = runs;
  driver.isWrongCode = [](int code) {
    return code == kErrorNoBinary || code == kErrorInvalidPTX || code == kErrorUnsupportedPTX;
  };
  driver.isOutOfMemory = [](int code) { return code == kErrorOutOfMemory; };
}

static const StreamDriver &theDriver() {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, openDriver);
  return driver;
}

const DeviceKind cudaDevice = streamKind<theDriver>("cuda");

} // namespace tenon::rt
