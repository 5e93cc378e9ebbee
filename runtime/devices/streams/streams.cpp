#include "streams.h"
#include "../../src/expr.h"
#include "tenon/abi.h"

#include <cstdlib>
#include <dlfcn.h>

namespace tenon::rt {

/// Of a launch, all together.
static constexpr size_t kParameterBytes = 4096;
/// By how many marks a queue's list grows.
static constexpr uint32_t kMoreMarks = 32;
/// A flag of streams.
static constexpr unsigned kApartFromDefault = 1;

namespace {
struct StreamDevice {
  const StreamDriver *driver;
  void *context;
  int number;
  char name[100];
};

/// Bits stand for lanes.
struct StreamQueue {
  StreamDevice *device;
  void *streams[kLanes]; ///< those for copies are made when they are first used
  void **marks;          ///< events; null: not made yet
  uint32_t markCount;
  void *fork, *join;   ///< events: the start of a recording, the end of a lane in it
  uint32_t busy;       ///< told something since `finish`
  uint32_t recorded;   ///< told something by the recording at hand
  bool isRecording;
};

struct StreamKernel {
  void *function;
  uint32_t threads, shared;
  const file::DeviceKernel *maps; ///< as the file has it; null: none
};

/// While it lives, the thread works with the device.
class Entered {
public:
  explicit Entered(const StreamDevice &d) : driver(*d.driver), code(driver.enter(d.context, d.number, &before)) {}
  Entered(const Entered &) = delete;
  ~Entered() {
    if (code == 0)
      driver.leave(before);
  }
  const StreamDriver &driver;
  void *before = nullptr;
  int code;
};
} // namespace

void *DriverLibrary::findSymbol(const char *name, const char *older) {
  void *found = dlsym(handle, name);
  if (!found && older)
    found = dlsym(handle, older);
  if (!found && !missing)
    missing = name;
  return found;
}

static tn_status_t check(const StreamDevice &d, int code, const char *what, tn_error_t *error) {
  if (code == 0)
    return TN_OK;
  const char *name = d.driver->nameError(code);
  return TN_FAIL(error, d.driver->isOutOfMemory(code) ? TN_NO_MEMORY : TN_INTERNAL, "device '%s' cannot %s: %s (%d)", d.name,
                 what, name ? name : "an unknown error", code);
}

//===----------------------------------------------------------------------===//
// Devices
//===----------------------------------------------------------------------===//

bool StreamFunctions::isHere(const StreamDriver &driver, const char *arch, uint32_t index, TextBuffer *why) {
  if (driver.why[0]) {
    if (why)
      why->add("%s", driver.why);
    return false;
  }
  // That there are not so many is said when it is opened.
  int count = 0, device = 0;
  bool isFound = driver.countDevices(&count) == 0 && count > 0 &&
                 driver.getDevice(&device, static_cast<int>(index) < count ? static_cast<int>(index) : 0) == 0;
  if (isFound && (!arch || driver.runs(device, arch)))
    return true;
  if (why)
    why->add(isFound ? "a device of %s that runs code for %s" : "a device of %s", driver.vendor, arch);
  return false;
}

tn_status_t StreamFunctions::open(const StreamDriver &driver, uint32_t index, void **device, tn_error_t *error) {
  int count = 0;
  if (driver.why[0])
    return TN_FAIL(error, TN_BAD_CPU, "program needs %s", driver.why);
  (void)driver.countDevices(&count);
  if (static_cast<int>(index) >= count)
    return TN_FAIL(error, TN_BAD_ARGUMENT, "there is no device number %u of %s", index, driver.vendor);
  auto *d = static_cast<StreamDevice *>(calloc(1, sizeof(StreamDevice)));
  if (!d)
    return TN_FAIL(error, TN_NO_MEMORY, "no memory for a device's tables");
  d->driver = &driver;
  int code = driver.getDevice(&d->number, static_cast<int>(index));
  if (!code)
    code = driver.getName(d->name, sizeof(d->name), d->number);
  if (!code)
    code = driver.openContext(d->number, &d->context);
  if (tn_status_t status = check(*d, code, "be opened", error)) {
    free(d);
    return status;
  }
  *device = d;
  return TN_OK;
}

void StreamFunctions::close(void *device) {
  auto *d = static_cast<StreamDevice *>(device);
  d->driver->closeContext(d->number);
  free(d);
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

tn_status_t StreamFunctions::allocate(void *device, uint64_t bytes, bool onHost, DeviceMemory *memory, tn_error_t *error) {
  auto &d = *static_cast<StreamDevice *>(device);
  *memory = {};
  Entered here(d);
  int code = here.code;
  if (!code && onHost) {
    void *host = nullptr;
    code = here.driver.allocateHost(&host, bytes, /*flags: mapped, for all contexts=*/3);
    if (!code && (code = here.driver.getHostAddress(&memory->address, host, 0)))
      (void)here.driver.releaseHost(host);
    memory->host = code ? nullptr : static_cast<uint8_t *>(host);
  } else if (!code) {
    code = here.driver.allocate(&memory->address, bytes);
  }
  if (!code) {
    memory->bytes = bytes;
    return TN_OK;
  }
  *memory = {};
  size_t available = 0, total = 0;
  if (!d.driver->isOutOfMemory(code) || here.driver.getMemoryInfo(&available, &total))
    return check(d, code, "allocate memory", error);
  return TN_FAIL(error, TN_NO_MEMORY, "device '%s' has no %llu bytes of memory: %llu of %llu are free", d.name,
                 static_cast<unsigned long long>(bytes), static_cast<unsigned long long>(available),
                 static_cast<unsigned long long>(total));
}

void StreamFunctions::release(void *device, DeviceMemory *memory) {
  if (!memory->address)
    return;
  Entered here(*static_cast<StreamDevice *>(device));
  if (memory->host)
    (void)here.driver.releaseHost(memory->host);
  else
    (void)here.driver.release(memory->address);
  *memory = {};
}

//===----------------------------------------------------------------------===//
// Code
//===----------------------------------------------------------------------===//

tn_status_t StreamFunctions::load(void *device, file::DeviceFormat format, const uint8_t *code, uint64_t, void **module,
                                  tn_error_t *error) {
  auto &d = *static_cast<StreamDevice *>(device);
  if (format == file::DeviceFormat::SPIRV)
    return TN_FAIL(error, TN_BAD_CPU, "device '%s' does not take SPIR-V", d.name);
  Entered here(d);
  char log[400] = "";
  int failed = here.code ? here.code : here.driver.loadModule(module, code, log, sizeof(log));
  if (!failed)
    return TN_OK;
  const char *name = d.driver->nameError(failed);
  return TN_FAIL(error, d.driver->isWrongCode(failed) ? TN_BAD_CPU : TN_INTERNAL, "device '%s' cannot load kernels: %s (%d) %s",
                 d.name, name ? name : "an unknown error", failed, log);
}

void StreamFunctions::unload(void *device, void *module) {
  Entered here(*static_cast<StreamDevice *>(device));
  (void)here.driver.unloadModule(module);
}

tn_status_t StreamFunctions::find(void *device, void *module, const file::DeviceKernel &which, void **kernel,
                                  tn_error_t *error) {
  auto &d = *static_cast<StreamDevice *>(device);
  auto *k = static_cast<StreamKernel *>(malloc(sizeof(StreamKernel)));
  if (!k)
    return TN_FAIL(error, TN_NO_MEMORY, "no memory for a kernel's table");
  Entered here(d);
  k->threads = which.threads();
  k->shared = which.shared();
  k->maps = which.maps() ? &which : nullptr;
  if (k->maps && !d.driver->encodeMap) {
    free(k);
    return TN_FAIL(error, TN_BAD_FILE, "kernel '%s' copies tiles, which device '%s' cannot", which.name()->c_str(), d.name);
  }
  int code = here.code ? here.code : here.driver.findKernel(&k->function, module, which.name()->c_str());
  if (!code && k->shared)
    code = here.driver.setKernelAttribute(k->function, /*most shared memory of a launch=*/8, static_cast<int>(k->shared));
  if (code) {
    free(k);
    return check(d, code, "find a kernel", error);
  }
  *kernel = k;
  return TN_OK;
}

void StreamFunctions::forget(void *, void *kernel) { free(kernel); }

//===----------------------------------------------------------------------===//
// Queues
//===----------------------------------------------------------------------===//

tn_status_t StreamFunctions::openQueue(void *device, void **queue, tn_error_t *error) {
  auto &d = *static_cast<StreamDevice *>(device);
  auto *q = static_cast<StreamQueue *>(calloc(1, sizeof(StreamQueue)));
  if (!q)
    return TN_FAIL(error, TN_NO_MEMORY, "no memory for a device's queue");
  q->device = &d;
  Entered here(d);
  if (int code = here.code ? here.code : here.driver.createStream(&q->streams[kCompute], kApartFromDefault)) {
    free(q);
    return check(d, code, "make a stream", error);
  }
  *queue = q;
  return TN_OK;
}

void StreamFunctions::closeQueue(void *, void *queue) {
  auto *q = static_cast<StreamQueue *>(queue);
  {
    Entered here(*q->device);
    for (void *stream : q->streams)
      if (stream)
        (void)here.driver.destroyStream(stream);
    for (void *event : {q->fork, q->join})
      if (event)
        (void)here.driver.destroyEvent(event);
    for (uint32_t i = 0; i < q->markCount; ++i)
      if (q->marks[i])
        (void)here.driver.destroyEvent(q->marks[i]);
  }
  free(q->marks);
  free(q);
}

static int makeEvent(const Entered &here, void *&event) {
  return event ? 0 : here.driver.createEvent(&event, /*without times=*/2);
}

/// The lane's stream. In a recording, what it is told first waits for nothing but the recording's start.
static int useLane(const Entered &here, StreamQueue &q, Lane lane, void *&stream) {
  int code = here.code;
  if (!code && !q.streams[lane])
    code = here.driver.createStream(&q.streams[lane], kApartFromDefault);
  stream = q.streams[lane];
  if (!code && q.isRecording && lane != kCompute && !(q.recorded & 1u << lane))
    code = here.driver.followEvent(stream, q.fork, 0);
  if (!code && q.isRecording)
    q.recorded |= 1u << lane;
  else if (!code)
    q.busy |= 1u << lane;
  return code;
}

/// Describes the tensors of a launch, behind its slots.
static tn_status_t encodeMaps(const Entered &here, const StreamDevice &d, const file::DeviceKernel &kernel, const uint64_t *slots,
                              uint8_t *to, tn_error_t *error) {
  for (const file::TensorMap *map : *kernel.maps()) {
    uint64_t sizes[kMostMapDims], strides[kMostMapDims];
    uint32_t rank = map->sizes()->size();
    for (uint32_t i = 0; i < rank; ++i) {
      const auto *size = map->sizes()->Get(i)->code(), *stride = map->strides()->Get(i)->code();
      const auto *symbols = reinterpret_cast<const int64_t *>(slots);
      int64_t count = 0, step = 0;
      if (evaluateCode(size->data(), size->size(), symbols, count) != EvalResult::Ok ||
          evaluateCode(stride->data(), stride->size(), symbols, step) != EvalResult::Ok || count < 0 || step < 0)
        return TN_FAIL(error, TN_TOO_LARGE, "kernel '%s' has a tensor that is too large", kernel.name()->c_str());
      sizes[i] = count ? static_cast<uint64_t>(count) : 1; // of an empty tensor nothing is read
      if (i > 0)
        strides[i - 1] = static_cast<uint64_t>(step) * map->element_bytes();
    }
    int code = here.driver.encodeMap(to, map->element_bytes(), rank, slots[map->slot()] + map->offset(), sizes, strides,
                                     map->tile()->data());
    if (code)
      return check(d, code, "describe a tensor", error);
    to += TN_TENSOR_MAP_BYTES;
  }
  return TN_OK;
}

tn_status_t StreamFunctions::launch(void *queue, void *kernel, const Launch &launch, tn_error_t *error) {
  auto &q = *static_cast<StreamQueue *>(queue);
  auto &k = *static_cast<StreamKernel *>(kernel);
  // { groups, report, slots }, as lib/Target/LLVMGPU declares them; descriptions of tensors make the slots' block an aligned one.
  alignas(TN_TENSOR_MAP_ALIGN) uint64_t block[kParameterBytes / sizeof(uint64_t)]; // only what is passed is written
  block[0] = static_cast<uint64_t>(launch.groups), block[1] = launch.report;
  uint64_t *slots = block + (k.maps ? TN_TENSOR_MAP_ALIGN / sizeof(uint64_t) : 2);
  uint32_t count = launch.slots ? launch.count : 1;
  if (launch.slots)
    memcpy(slots, launch.slots, count * sizeof(uint64_t));
  else
    slots[0] = launch.address;
  if (launch.slots && !count)
    slots[count++] = 0; // kernels have one slot at least
  uint8_t *end = reinterpret_cast<uint8_t *>(slots + count);
  Entered here(*q.device);
  if (k.maps && here.code == 0) {
    end = reinterpret_cast<uint8_t *>(slots) + TN_DEVICE_MAPS_AT(k.maps->slots());
    if (tn_status_t status = encodeMaps(here, *q.device, *k.maps, slots, end, error))
      return status;
    end += k.maps->maps()->size() * TN_TENSOR_MAP_BYTES;
  }
  size_t bytes = static_cast<size_t>(end - reinterpret_cast<uint8_t *>(block));
  auto mark = [](uintptr_t number) { return reinterpret_cast<void *>(number); };
  void *extra[] = {mark(1), block, mark(2), &bytes, mark(q.device->driver->endOfParameters)};
  // Two dimensions when there are too many; groups beyond the last one do nothing.
  uint64_t groups = static_cast<uint64_t>(launch.groups), across = groups < TN_DEVICE_GROUPS ? groups : TN_DEVICE_GROUPS,
           down = (groups + across - 1) / across;
  if (down > 65535)
    return TN_FAIL(error, TN_TOO_LARGE, "%llu workgroups are more than the device '%s' runs at once",
                   static_cast<unsigned long long>(groups), q.device->name);
  int code = here.code ? here.code
                       : here.driver.launch(k.function, static_cast<unsigned>(across), static_cast<unsigned>(down), 1,
                                            k.threads, 1, 1, k.shared, q.streams[kCompute], nullptr, extra);
  return check(*q.device, code, "start a kernel", error);
}

tn_status_t StreamFunctions::copy(void *queue, Lane lane, const DeviceMemory *dest, uint64_t destOffset,
                                  const DeviceMemory *source, uint64_t sourceOffset, uint64_t bytes, tn_error_t *error) {
  auto &q = *static_cast<StreamQueue *>(queue);
  Entered here(*q.device);
  void *stream = nullptr;
  int code = useLane(here, q, lane, stream);
  if (code)
    return check(*q.device, code, "copy memory", error);
  if (dest->host && !source->host)
    code = here.driver.copyToHost(dest->host + destOffset, source->address + sourceOffset, bytes, stream);
  else if (source->host && !dest->host)
    code = here.driver.copyToDevice(dest->address + destOffset, source->host + sourceOffset, bytes, stream);
  else
    code = here.driver.copyOnDevice(dest->address + destOffset, source->address + sourceOffset, bytes, stream);
  return check(*q.device, code, "copy memory", error);
}

tn_status_t StreamFunctions::finish(void *queue, tn_error_t *error) {
  auto &q = *static_cast<StreamQueue *>(queue);
  Entered here(*q.device);
  // All of them, also when one says that it failed. The first one is always asked: it knows of a device that is lost.
  int failed = here.code;
  for (uint32_t lane = 0; lane < kLanes && !here.code; ++lane)
    if (lane == kCompute || (q.busy & 1u << lane))
      if (int code = here.driver.awaitStream(q.streams[lane]); code && !failed)
        failed = code;
  q.busy = 0;
  return check(*q.device, failed, "run kernels", error);
}

//===----------------------------------------------------------------------===//
// Order between lanes
//===----------------------------------------------------------------------===//

tn_status_t StreamFunctions::mark(void *queue, Lane lane, uint32_t number, tn_error_t *error) {
  auto &q = *static_cast<StreamQueue *>(queue);
  if (number >= q.markCount) {
    uint32_t count = number + kMoreMarks;
    auto *marks = static_cast<void **>(realloc(q.marks, count * sizeof(void *)));
    if (!marks)
      return TN_FAIL(error, TN_NO_MEMORY, "no memory for a device's queue");
    memset(marks + q.markCount, 0, (count - q.markCount) * sizeof(void *));
    q.marks = marks;
    q.markCount = count;
  }
  Entered here(*q.device);
  void *stream = nullptr;
  int code = useLane(here, q, lane, stream);
  if (!code)
    code = makeEvent(here, q.marks[number]);
  return check(*q.device, code ? code : here.driver.recordEvent(q.marks[number], stream), "order copies", error);
}

tn_status_t StreamFunctions::follow(void *queue, Lane lane, uint32_t number, tn_error_t *error) {
  auto &q = *static_cast<StreamQueue *>(queue);
  Entered here(*q.device);
  void *stream = nullptr;
  int code = useLane(here, q, lane, stream);
  return check(*q.device, code ? code : here.driver.followEvent(stream, q.marks[number], 0), "order copies", error);
}

tn_status_t StreamFunctions::await(void *queue, uint32_t number, tn_error_t *error) {
  auto &q = *static_cast<StreamQueue *>(queue);
  Entered here(*q.device);
  return check(*q.device, here.code ? here.code : here.driver.awaitEvent(q.marks[number]), "run kernels", error);
}

//===----------------------------------------------------------------------===//
// Recordings: graphs captured from the streams
//===----------------------------------------------------------------------===//

tn_status_t StreamFunctions::record(void *queue, tn_error_t *error) {
  auto &q = *static_cast<StreamQueue *>(queue);
  Entered here(*q.device);
  int code = here.code;
  for (void **event : {&q.fork, &q.join})
    if (!code)
      code = makeEvent(here, *event);
  if (!code)
    code = here.driver.beginCapture(q.streams[kCompute], /*of this thread alone=*/1);
  q.isRecording = !code;
  q.recorded = 0;
  if (!code)
    code = here.driver.recordEvent(q.fork, q.streams[kCompute]);
  return check(*q.device, code, "capture a stream", error);
}

tn_status_t StreamFunctions::endRecord(void *queue, void **recording, tn_error_t *error) {
  auto &q = *static_cast<StreamQueue *>(queue);
  if (!q.isRecording) // it could not begin
    return TN_OK;
  Entered here(*q.device);
  void *graph = nullptr;
  int code = here.code;
  for (uint32_t lane = 1; lane < kLanes && !code; ++lane)
    if (q.recorded & 1u << lane)
      if (!(code = here.driver.recordEvent(q.join, q.streams[lane])))
        code = here.driver.followEvent(q.streams[kCompute], q.join, 0);
  q.isRecording = false;
  int ended = here.code ? here.code : here.driver.endCapture(q.streams[kCompute], &graph); // whatever went wrong
  code = code ? code : ended;
  if (!code && recording)
    code = here.driver.instantiate(recording, graph, 0);
  if (graph)
    (void)here.driver.destroyGraph(graph);
  return check(*q.device, code, "capture a stream", error);
}

tn_status_t StreamFunctions::replay(void *queue, void *recording, tn_error_t *error) {
  auto &q = *static_cast<StreamQueue *>(queue);
  Entered here(*q.device);
  return check(*q.device, here.code ? here.code : here.driver.launchGraph(recording, q.streams[kCompute]), "start a graph", error);
}

void StreamFunctions::dropRecord(void *device, void *recording) {
  Entered here(*static_cast<StreamDevice *>(device));
  (void)here.driver.destroyInstance(recording);
}

} // namespace tenon::rt
