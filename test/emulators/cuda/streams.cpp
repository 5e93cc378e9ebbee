// CUDA's driver interface: memory, copies, streams, events, graphs.
#include "api.h"

#include <cstring>

using namespace tenon::emulator;

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

TN_CUDA cuMemAlloc_v2(CUdeviceptr *address, size_t bytes) {
  TN_ENTER
  if (!address || bytes == 0)
    return kInvalidValue;
  if (spoilsCapture(*device))
    return kCaptureUnsupported;
  *address = device->memory.allocate(bytes);
  std::lock_guard lock(statistics().mutex);
  ++statistics().allocations;
  return *address ? kSuccess : kOutOfMemory;
}

TN_CUDA cuMemFree_v2(CUdeviceptr address) {
  TN_ENTER
  if (!address)
    return kSuccess;
  if (spoilsCapture(*device))
    return kCaptureUnsupported;
  if ((result = runAll(*device))) // the driver waits for what may use it
    return result;
  return device->memory.release(address) ? kSuccess : kInvalidValue;
}

TN_CUDA cuMemGetInfo_v2(size_t *free, size_t *total) {
  TN_ENTER
  *total = device->memory.bytesInAll();
  *free = *total - device->memory.bytesUsed();
  return kSuccess;
}

TN_CUDA cuMemHostAlloc(void **memory, size_t bytes, unsigned flags) {
  TN_ENTER
  if (!memory || bytes == 0 || flags > 7)
    return kInvalidValue;
  if (spoilsCapture(*device))
    return kCaptureUnsupported;
  *memory = reinterpret_cast<void *>(hostMemory().allocateHost(bytes));
  return *memory ? kSuccess : kOutOfMemory;
}

TN_CUDA cuMemAllocHost_v2(void **memory, size_t bytes) { return cuMemHostAlloc(memory, bytes, 0); }

TN_CUDA cuMemFreeHost(void *memory) {
  TN_ENTER
  if (spoilsCapture(*device))
    return kCaptureUnsupported;
  if ((result = runAll(*device)))
    return result;
  return hostMemory().release(reinterpret_cast<uint64_t>(memory)) ? kSuccess : kInvalidValue;
}

TN_CUDA cuMemHostGetDevicePointer_v2(CUdeviceptr *address, void *memory, unsigned flags) {
  TN_ENTER
  if (flags || !hostMemory().holds(reinterpret_cast<uint64_t>(memory)))
    return kInvalidValue;
  *address = reinterpret_cast<uint64_t>(memory);
  return kSuccess;
}

//===----------------------------------------------------------------------===//
// Copies
//===----------------------------------------------------------------------===//

namespace {
enum Direction { kToDevice, kToHost, kOnDevice };
} // namespace

static void count(Direction direction, uint64_t bytes) {
  static const char *const names[] = {"to-device ", "to-host ", "on-device "};
  trace(names[direction] + std::to_string(bytes));
  std::lock_guard lock(statistics().mutex);
  ++statistics().copies[direction];
  statistics().copiedBytes[direction] += bytes;
}

/// Whether [address, address + bytes) is within one block of device or pinned memory.
static bool isReachable(const Device &device, uint64_t address, uint64_t bytes) {
  return viewOf(device).reach(address, bytes) != nullptr;
}

/// Where bytes are: an address that kernels see, or, for memory that is not pinned, `plain`.
struct Place {
  uint64_t address = 0;
  uint8_t *plain = nullptr;
  uint8_t *reach(const MemoryView &view, uint64_t bytes) const { return plain ? plain : view.reach(address, bytes); }
};

static Place placeOf(void *memory) {
  Place place;
  place.address = reinterpret_cast<uint64_t>(memory);
  if (!hostMemory().holds(place.address))
    place.plain = static_cast<uint8_t *>(memory);
  return place;
}

static Item copyItem(Place to, Place from, uint64_t bytes, Direction direction, std::shared_ptr<std::vector<uint8_t>> staged) {
  Item item;
  item.kind = Item::Copy;
  item.run = [=](Device &device) -> Fault {
    MemoryView view = viewOf(device);
    uint8_t *dest = to.reach(view, bytes);
    const uint8_t *source = staged ? staged->data() : from.reach(view, bytes);
    if (!dest || !source)
      return {kIllegalAddress, "copy of memory that has been released"};
    std::memmove(dest, source, bytes);
    count(direction, bytes);
    return {};
  };
  return item;
}

/// Tells the stream. Memory that is not pinned is read at once when it is a source; for a destination the call waits.
static int copy(Device &device, CUstream handle, Place to, Place from, uint64_t bytes, Direction direction, bool wait) {
  int result = kSuccess;
  std::shared_ptr<Stream> stream;
  {
    std::lock_guard lock(stateMutex());
    if (!(stream = findStream(device, handle, result)))
      return result;
    if (bytes == 0)
      return kSuccess;
    if ((!to.plain && !isReachable(device, to.address, bytes)) || (!from.plain && !isReachable(device, from.address, bytes)))
      return kInvalidValue;
    std::shared_ptr<std::vector<uint8_t>> staged;
    if (from.plain && !stream->capture)
      staged = std::make_shared<std::vector<uint8_t>>(from.plain, from.plain + bytes);
    wait |= to.plain != nullptr && !stream->capture;
    if ((result = enqueue(*stream, copyItem(to, from, bytes, direction, std::move(staged)))))
      return result;
  }
  return wait ? runAll(stream) : kSuccess;
}

static Place onDevice(CUdeviceptr address) {
  Place place;
  place.address = address;
  return place;
}

TN_CUDA cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t bytes, CUstream stream) {
  TN_ENTER
  return copy(*device, stream, onDevice(to), placeOf(const_cast<void *>(from)), bytes, kToDevice, false);
}

TN_CUDA cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t bytes, CUstream stream) {
  TN_ENTER
  return copy(*device, stream, placeOf(to), onDevice(from), bytes, kToHost, false);
}

TN_CUDA cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
  TN_ENTER
  return copy(*device, stream, onDevice(to), onDevice(from), bytes, kOnDevice, false);
}

/// An address of any memory: device memory has a range of addresses of its own.
static bool isDeviceAddress(uint64_t address) { return address - kDeviceWindow < 64 * kDeviceStride; }

TN_CUDA cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
  TN_ENTER
  bool toDevice = isDeviceAddress(to), fromDevice = isDeviceAddress(from);
  Place dest = toDevice ? onDevice(to) : placeOf(reinterpret_cast<void *>(to));
  Place source = fromDevice ? onDevice(from) : placeOf(reinterpret_cast<void *>(from));
  return copy(*device, stream, dest, source, bytes, !toDevice ? kToHost : fromDevice ? kOnDevice : kToDevice, false);
}

TN_CUDA cuMemcpyHtoD_v2(CUdeviceptr to, const void *from, size_t bytes) {
  TN_ENTER
  return copy(*device, nullptr, onDevice(to), placeOf(const_cast<void *>(from)), bytes, kToDevice, true);
}

TN_CUDA cuMemcpyDtoH_v2(void *to, CUdeviceptr from, size_t bytes) {
  TN_ENTER
  return copy(*device, nullptr, placeOf(to), onDevice(from), bytes, kToHost, true);
}

TN_CUDA cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes) {
  TN_ENTER
  return copy(*device, nullptr, onDevice(to), onDevice(from), bytes, kOnDevice, false);
}

template <typename T> static int fill(CUdeviceptr to, T value, size_t elements, CUstream handle) {
  TN_ENTER
  std::lock_guard lock(stateMutex());
  std::shared_ptr<Stream> stream = findStream(*device, handle, result);
  if (!stream)
    return result;
  if (elements == 0)
    return kSuccess;
  if (to % sizeof(T) || !isReachable(*device, to, elements * sizeof(T)))
    return kInvalidValue;
  Item item;
  item.kind = Item::Set;
  item.run = [=](Device &on) -> Fault {
    uint8_t *dest = viewOf(on).reach(to, elements * sizeof(T));
    if (!dest)
      return {kIllegalAddress, "memory that has been released is set"};
    for (size_t i = 0; i < elements; ++i)
      std::memcpy(dest + i * sizeof(T), &value, sizeof(T));
    return {};
  };
  return enqueue(*stream, std::move(item));
}

TN_CUDA cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t bytes, CUstream stream) {
  return fill<uint8_t>(to, value, bytes, stream);
}
TN_CUDA cuMemsetD32Async(CUdeviceptr to, unsigned value, size_t elements, CUstream stream) {
  return fill<uint32_t>(to, value, elements, stream);
}
TN_CUDA cuMemsetD8_v2(CUdeviceptr to, unsigned char value, size_t bytes) { return fill<uint8_t>(to, value, bytes, nullptr); }

//===----------------------------------------------------------------------===//
// Streams
//===----------------------------------------------------------------------===//

namespace tenon::emulator {

std::shared_ptr<Stream> findStream(Device &device, CUstream handle, int &result) {
  // 1 is another name of the legacy stream.
  if (!handle || handle == reinterpret_cast<CUstream>(1))
    return device.legacy;
  std::shared_ptr<Stream> found = device.streams.find(handle);
  result = found ? kSuccess : kInvalidHandle;
  return found;
}

} // namespace tenon::emulator

TN_CUDA cuStreamCreate(CUstream *stream, unsigned flags) {
  TN_ENTER
  if (flags > 1)
    return kInvalidValue;
  auto made = std::make_shared<Stream>();
  made->device = device;
  made->withLegacy = flags == 0;
  std::lock_guard lock(stateMutex());
  *stream = device->streams.add(std::move(made));
  return kSuccess;
}

TN_CUDA cuStreamCreateWithPriority(CUstream *stream, unsigned flags, int) { return cuStreamCreate(stream, flags); }

TN_CUDA cuStreamDestroy_v2(CUstream handle) {
  TN_ENTER
  std::shared_ptr<Stream> stream;
  {
    std::lock_guard lock(stateMutex());
    stream = device->streams.find(handle);
    if (!stream)
      return kInvalidHandle;
    if (stream->capture)
      stream->capture->invalid = true;
  }
  runAll(stream);
  std::lock_guard lock(stateMutex());
  device->streams.remove(handle);
  return kSuccess;
}

/// The stream, when it may be waited for.
static std::shared_ptr<Stream> streamToWaitFor(Device &device, CUstream handle, int &result) {
  std::lock_guard lock(stateMutex());
  std::shared_ptr<Stream> stream = findStream(device, handle, result);
  if (stream && stream->capture) {
    stream->capture->invalid = true;
    result = kCaptureUnsupported;
    return nullptr;
  }
  return stream;
}

TN_CUDA cuStreamSynchronize(CUstream handle) {
  TN_ENTER
  std::shared_ptr<Stream> stream = streamToWaitFor(*device, handle, result);
  if (!stream)
    return result;
  {
    std::lock_guard lock(statistics().mutex);
    ++statistics().synchronizations;
  }
  uint64_t until;
  {
    std::lock_guard lock(stateMutex());
    until = stream->issued;
  }
  return await(stream, until);
}

/// Each question makes some progress, so that asking again and again comes to an end.
TN_CUDA cuStreamQuery(CUstream handle) {
  TN_ENTER
  std::shared_ptr<Stream> stream = streamToWaitFor(*device, handle, result);
  if (!stream)
    return result;
  uint64_t issued;
  {
    std::lock_guard lock(stateMutex());
    issued = stream->issued;
    if (stream->done == issued)
      return device->sticky;
  }
  runOne(stream, issued);
  return device->sticky ? device->sticky.load() : kNotReady;
}

//===----------------------------------------------------------------------===//
// Events
//===----------------------------------------------------------------------===//

TN_CUDA cuEventCreate(CUevent *event, unsigned flags) {
  TN_ENTER
  if (flags > 7)
    return kInvalidValue;
  auto made = std::make_shared<Event>();
  made->device = device;
  made->timed = !(flags & 2);
  std::lock_guard lock(stateMutex());
  *event = device->events.add(std::move(made));
  return kSuccess;
}

TN_CUDA cuEventDestroy_v2(CUevent handle) {
  TN_ENTER
  std::lock_guard lock(stateMutex());
  return device->events.remove(handle) ? kSuccess : kInvalidHandle;
}

TN_CUDA cuEventRecord(CUevent handle, CUstream streamHandle) {
  TN_ENTER
  std::lock_guard lock(stateMutex());
  std::shared_ptr<Event> event = device->events.find(handle);
  std::shared_ptr<Stream> stream = findStream(*device, streamHandle, result);
  if (!event || !stream)
    return kInvalidHandle;
  event->stream = stream;
  event->capture = stream->capture;
  if (stream->capture) {
    event->tips = stream->capture->tips[stream.get()];
    return stream->capture->invalid ? kCaptureInvalidated : kSuccess;
  }
  Item item;
  item.kind = Item::Record;
  item.event = event;
  result = enqueue(*stream, std::move(item));
  event->position = stream->issued;
  return result;
}

TN_CUDA cuStreamWaitEvent(CUstream streamHandle, CUevent handle, unsigned flags) {
  TN_ENTER
  std::lock_guard lock(stateMutex());
  std::shared_ptr<Event> event = device->events.find(handle);
  std::shared_ptr<Stream> stream = findStream(*device, streamHandle, result);
  if (!event || !stream)
    return kInvalidHandle;
  if (flags > 1)
    return kInvalidValue;
  if (!event->stream)
    return kSuccess; // never recorded
  if (event->capture) {
    // The stream becomes part of the capture, or what it waits for is joined.
    if (stream->capture && stream->capture != event->capture)
      return kCaptureIsolation;
    if (event->capture->ended)
      return kCapturedEvent;
    if (event->capture->invalid)
      return kCaptureInvalidated;
    if (stream == device->legacy)
      return kCaptureImplicit;
    stream->capture = event->capture;
    Item join; // a node of its own, so that a fork without any work has to be joined too
    join.kind = Item::Wait;
    join.after = event->tips;
    capture(*stream, std::move(join));
    return kSuccess;
  }
  if (stream->capture) {
    stream->capture->invalid = true;
    return kCaptureIsolation;
  }
  Item item;
  item.kind = Item::Wait;
  item.stream = event->stream;
  item.until = event->position;
  return enqueue(*stream, std::move(item));
}

TN_CUDA cuEventQuery(CUevent handle) {
  TN_ENTER
  std::shared_ptr<Event> event;
  {
    std::lock_guard lock(stateMutex());
    event = device->events.find(handle);
    if (!event)
      return kInvalidHandle;
    if (event->capture)
      return kCaptureUnsupported;
    if (!event->stream || event->stream->done >= event->position)
      return device->sticky;
  }
  runOne(event->stream, event->position);
  return device->sticky ? device->sticky.load() : kNotReady;
}

TN_CUDA cuEventSynchronize(CUevent handle) {
  TN_ENTER
  std::shared_ptr<Event> event;
  {
    std::lock_guard lock(stateMutex());
    event = device->events.find(handle);
    if (!event)
      return kInvalidHandle;
    if (event->capture)
      return kCaptureUnsupported;
    if (!event->stream)
      return kSuccess;
  }
  {
    std::lock_guard lock(statistics().mutex);
    ++statistics().synchronizations;
  }
  return await(event->stream, event->position);
}

TN_CUDA cuEventElapsedTime(float *milliseconds, CUevent startHandle, CUevent endHandle) {
  TN_ENTER
  std::lock_guard lock(stateMutex());
  std::shared_ptr<Event> start = device->events.find(startHandle), end = device->events.find(endHandle);
  if (!start || !end || !start->timed || !end->timed || !start->stream || !end->stream)
    return kInvalidHandle;
  if (start->stream->done < start->position || end->stream->done < end->position)
    return kNotReady;
  *milliseconds = static_cast<float>(end->milliseconds - start->milliseconds);
  return kSuccess;
}

TN_CUDA cuEventElapsedTime_v2(float *milliseconds, CUevent start, CUevent end) {
  return cuEventElapsedTime(milliseconds, start, end);
}

//===----------------------------------------------------------------------===//
// Graphs
//===----------------------------------------------------------------------===//

TN_CUDA cuStreamBeginCapture_v2(CUstream handle, int mode) {
  TN_ENTER
  std::lock_guard lock(stateMutex());
  std::shared_ptr<Stream> stream = findStream(*device, handle, result);
  if (!stream)
    return result;
  if (mode < 0 || mode > 2)
    return kInvalidValue;
  if (stream == device->legacy)
    return kCaptureUnsupported;
  if (stream->capture)
    return 902; // illegal state
  stream->capture = std::make_shared<Capture>();
  stream->capture->origin = stream;
  stream->capture->mode = mode;
  stream->capture->thread = std::this_thread::get_id();
  return kSuccess;
}

TN_CUDA cuStreamIsCapturing(CUstream handle, int *status) {
  TN_ENTER
  std::lock_guard lock(stateMutex());
  std::shared_ptr<Stream> stream = findStream(*device, handle, result);
  if (!stream)
    return result;
  *status = !stream->capture ? 0 : stream->capture->invalid ? 2 : 1;
  return kSuccess;
}

TN_CUDA cuStreamEndCapture(CUstream handle, CUgraph *graph) {
  TN_ENTER
  std::lock_guard lock(stateMutex());
  std::shared_ptr<Stream> stream = findStream(*device, handle, result);
  if (!stream)
    return result;
  *graph = nullptr;
  if (!stream->capture)
    return kCaptureUnmatched;
  std::shared_ptr<Capture> capture = stream->capture;
  if (capture->origin != stream)
    return kCaptureUnmatched;
  for (auto &[name, other] : device->streams)
    if (other->capture == capture)
      other->capture = nullptr;
  capture->ended = true;
  if (capture->invalid)
    return kCaptureInvalidated;
  if (hasUnjoined(*capture))
    return kCaptureUnjoined;
  auto made = std::make_shared<Graph>();
  made->items = std::move(capture->items);
  *graph = device->graphs.add(std::move(made));
  return kSuccess;
}

TN_CUDA cuGraphGetNodes(CUgraph handle, void **nodes, size_t *number) {
  TN_ENTER
  std::lock_guard lock(stateMutex());
  std::shared_ptr<Graph> graph = device->graphs.find(handle);
  if (!graph)
    return kInvalidValue;
  if (nodes)
    return kNotSupported;
  *number = 0;
  for (const Item &item : graph->items)
    *number += item.run != nullptr;
  return kSuccess;
}

TN_CUDA cuGraphInstantiateWithFlags(CUgraphExec *executable, CUgraph handle, unsigned long long) {
  TN_ENTER
  std::lock_guard lock(stateMutex());
  std::shared_ptr<Graph> graph = device->graphs.find(handle);
  if (!graph)
    return kInvalidValue;
  *executable = device->executables.add(std::make_shared<Graph>(*graph));
  std::lock_guard counting(statistics().mutex);
  ++statistics().graphs;
  return kSuccess;
}

TN_CUDA cuGraphUpload(CUgraphExec handle, CUstream) {
  TN_ENTER
  std::lock_guard lock(stateMutex());
  return device->executables.find(handle) ? kSuccess : kInvalidValue;
}

TN_CUDA cuGraphLaunch(CUgraphExec handle, CUstream streamHandle) {
  TN_ENTER
  std::lock_guard lock(stateMutex());
  std::shared_ptr<Graph> graph = device->executables.find(handle);
  std::shared_ptr<Stream> stream = findStream(*device, streamHandle, result);
  if (!graph)
    return kInvalidValue;
  if (!stream)
    return result;
  {
    std::lock_guard counting(statistics().mutex);
    ++statistics().graphLaunches;
  }
  // A copy: the executable may be updated before this runs.
  return enqueue(*stream, graphItem(std::make_shared<const Graph>(*graph)));
}

namespace {
/// CUgraphExecUpdateResultInfo.
struct UpdateResult {
  int result;
  void *node, *fromNode;
};
constexpr int kUpdateTopologyChanged = 2, kUpdateNodeTypeChanged = 3, kUpdateFunctionChanged = 4;
} // namespace

TN_CUDA cuGraphExecUpdate_v2(CUgraphExec executableHandle, CUgraph graphHandle, UpdateResult *info) {
  TN_ENTER
  std::lock_guard lock(stateMutex());
  std::shared_ptr<Graph> executable = device->executables.find(executableHandle), graph = device->graphs.find(graphHandle);
  if (!executable || !graph || !info)
    return kInvalidValue;
  *info = {};
  if (executable->items.size() != graph->items.size())
    info->result = kUpdateTopologyChanged;
  for (size_t i = 0; i < graph->items.size() && !info->result; ++i) {
    const Item &before = executable->items[i], &after = graph->items[i];
    info->result = before.kind != after.kind     ? kUpdateNodeTypeChanged
                   : before.what != after.what   ? kUpdateFunctionChanged
                   : before.after != after.after ? kUpdateTopologyChanged
                                                 : 0;
  }
  if (info->result)
    return kGraphUpdateFailure;
  executable->items = graph->items;
  return kSuccess;
}

TN_CUDA cuGraphDestroy(CUgraph handle) {
  TN_ENTER
  std::lock_guard lock(stateMutex());
  return device->graphs.remove(handle) ? kSuccess : kInvalidValue;
}

TN_CUDA cuGraphExecDestroy(CUgraphExec handle) {
  TN_ENTER
  std::lock_guard lock(stateMutex());
  return device->executables.remove(handle) ? kSuccess : kInvalidValue;
}
