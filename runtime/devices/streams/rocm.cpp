// AMD: the HIP runtime, of whichever ROCm is installed.
#include "streams.h"

#include <dlfcn.h>
#include <pthread.h>

namespace tenon::rt {

namespace {
struct Extra {
  const char *(*getErrorName)(int);
  int (*getCurrent)(int *);
  int (*setCurrent)(int);
  int (*loadModule)(void **, const void *);
  int (*getProperties)(void *, int);
};
} // namespace

static StreamDriver driver;
static Extra extra;

// Of hip_runtime_api.h, which is not needed to build.
static constexpr int kErrorOutOfMemory = 2, kErrorInvalidImage = 200, kErrorNoBinary = 209;

/// The processor's name stands somewhere in the properties, whose layout differs between releases.
static bool runs(int device, const char *arch) {
  static constexpr size_t kBytes = 16384; // several times what any release writes
  static char properties[kBytes];
  static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&mutex);
  memset(properties, 0, kBytes);
  bool isSame = false;
  size_t length = strlen(arch);
  if (extra.getProperties(properties, device) == 0)
    for (size_t i = 256; i + length < kBytes && !isSame; ++i) // behind the device's name
      isSame = memcmp(properties + i, arch, length) == 0 && (properties[i + length] == 0 || properties[i + length] == ':');
  pthread_mutex_unlock(&mutex);
  return isSame;
}

static void openDriver() {
  TextBuffer why(driver.why, sizeof(driver.why));
  driver.vendor = "AMD";
  DriverLibrary library = {};
  for (const char *name : {"libamdhip64.so.7", "libamdhip64.so.6", "libamdhip64.so.5", "libamdhip64.so"})
    if (!library.handle)
      library.handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (!library.handle) {
    why.add("AMD's HIP (libamdhip64.so is not installed)");
    return;
  }
#define TN_FIND(MEMBER, TYPE, CUDA, HIP) library.find(driver.MEMBER, HIP);
  TN_STREAM_FUNCTIONS(TN_FIND)
  library.find(extra.getErrorName, "hipGetErrorName");
  library.find(extra.getCurrent, "hipGetDevice");
  library.find(extra.setCurrent, "hipSetDevice");
  library.find(extra.loadModule, "hipModuleLoadData");
  library.find(extra.getProperties, "hipGetDevicePropertiesR0600", "hipGetDeviceProperties");
  if (library.missing) {
    why.add("AMD's HIP of ROCm 5.4 or later (this one has no %s)", library.missing);
    return;
  }
  if (int code = driver.init(0)) {
    why.add("a device of AMD (hipInit: %s)", extra.getErrorName(code));
    return;
  }
  driver.endOfParameters = 3;
  driver.nameError = extra.getErrorName;
  driver.enter = [](void *, int device, void **before) {
    int current = 0;
    if (int code = extra.getCurrent(&current))
      return code;
    *before = reinterpret_cast<void *>(static_cast<uintptr_t>(current));
    return extra.setCurrent(device);
  };
  driver.leave = [](void *before) { (void)extra.setCurrent(static_cast<int>(reinterpret_cast<uintptr_t>(before))); };
  driver.openContext = [](int, void **) { return 0; };
  driver.closeContext = [](int) {};
  driver.loadModule = [](void **module, const void *code, char *, unsigned) { return extra.loadModule(module, code); };
  driver.runs = runs;
  driver.isWrongCode = [](int code) { return code == kErrorNoBinary || code == kErrorInvalidImage; };
  driver.isOutOfMemory = [](int code) { return code == kErrorOutOfMemory; };
}

static const StreamDriver &theDriver() {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, openDriver);
  return driver;
}

const DeviceKind rocmDevice = streamKind<theDriver>("rocm");

} // namespace tenon::rt
