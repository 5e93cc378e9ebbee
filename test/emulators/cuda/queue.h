// Devices, streams, events, graphs. What a stream is told runs when somebody waits for it, not before.
#ifndef TENON_TEST_EMULATORS_CUDA_QUEUE_H
#define TENON_TEST_EMULATORS_CUDA_QUEUE_H

#include "machine.h"
#include "module.h"

#include <deque>
#include <functional>
#include <set>
#include <thread>

namespace tenon::emulator {

struct Device;
struct Stream;
struct Event;

/// Which of the orders that a program allows is taken. A program that forgot to ask for one fails in some of them.
enum class Order : int {
  Late,  ///< a stream's work when somebody waits for it; of a graph what was told last first
  Early, ///< all work at once, in the order in which it was told
  Others ///< as Late, but what waits for nothing in other streams goes before what somebody waits for
};

/// One piece of work. Graphs have them as nodes.
struct Item {
  enum Kind : uint8_t { Kernel, Copy, Set, Graph, Record, Wait };
  Kind kind = Kernel;
  const void *what = nullptr; ///< of a kernel: which, so that an update of a graph can compare
  std::function<Fault(Device &)> run;
  std::shared_ptr<Event> event;   ///< Record
  std::shared_ptr<Stream> stream; ///< Wait: until `until` pieces of this stream are done
  uint64_t until = 0;
  std::vector<uint32_t> after; ///< in a graph: the nodes that it waits for
};

/// Streams that record what they are told instead of keeping it to be run.
struct Capture {
  std::shared_ptr<Stream> origin;
  std::vector<Item> items;
  std::map<const Stream *, std::vector<uint32_t>> tips; ///< what the next node of a stream waits for
  bool invalid = false, ended = false;
  int mode = 0; ///< which threads' calls can spoil it: 0 all, 1 the one that began it, 2 none
  std::thread::id thread;
  /// Whether a call of this thread that cannot be recorded spoils it.
  bool minds() const { return mode == 0 || (mode == 1 && thread == std::this_thread::get_id()); }
};

struct Stream : std::enable_shared_from_this<Stream> {
  Device *device = nullptr;
  bool withLegacy = true; ///< ordered with the legacy stream
  std::deque<Item> items;
  uint64_t issued = 0, done = 0;
  std::shared_ptr<Capture> capture;
};

struct Event {
  Device *device = nullptr;
  bool timed = true;
  std::shared_ptr<Stream> stream; ///< where it was recorded last
  uint64_t position = 0;
  double milliseconds = 0;
  std::shared_ptr<Capture> capture;
  std::vector<uint32_t> tips; ///< recorded in a capture: the nodes that it stands for
};

struct Graph {
  std::vector<Item> items;
};

/// Counts for tests.
struct Statistics {
  std::mutex mutex;
  Counts counts;
  uint64_t launches = 0, kernels = 0, graphLaunches = 0, graphs = 0, modules = 0, synchronizations = 0, allocations = 0;
  uint64_t copies[3] = {}, copiedBytes[3] = {}; ///< to device, to host, on device
  uint64_t leakedBytes = 0;
  std::atomic<uint64_t> commands = 0; ///< what streams were told, captured or not
  std::vector<std::string> trace;     ///< what ran, in order
  bool traces = false;
};
Statistics &statistics();

/// Objects that a handle names; a handle that names none is found out.
template <typename T> class Registry {
public:
  void *add(std::shared_ptr<T> object) {
    void *handle = object.get();
    objects[handle] = std::move(object);
    return handle;
  }
  std::shared_ptr<T> find(const void *handle) const {
    auto found = objects.find(handle);
    return found == objects.end() ? nullptr : found->second;
  }
  bool remove(const void *handle) { return objects.erase(handle) != 0; }
  void clear() { objects.clear(); }
  auto begin() const { return objects.begin(); }
  auto end() const { return objects.end(); }

private:
  std::map<const void *, std::shared_ptr<T>> objects;
};

/// A kernel as the driver hands it out.
struct FunctionHandle {
  std::shared_ptr<Module> module;
  std::shared_ptr<const Kernel> kernel;
  uint32_t maxDynamicShared = 0;
};

struct Device {
  Device(uint32_t index, uint64_t bytes, const GpuLimits &limits)
      : index(index), limits(limits), memory(kDeviceWindow + index * kDeviceStride, bytes),
        legacy(std::make_shared<Stream>()) {
    legacy->device = this;
  }
  uint32_t index;
  GpuLimits limits;
  Memory memory;
  uint32_t retained = 0;
  std::atomic<int> sticky{0}; ///< after an error that ends the context, all calls give it
  std::shared_ptr<Stream> legacy;
  Registry<Stream> streams;
  Registry<Event> events;
  Registry<Graph> graphs, executables;
  Registry<Module> modules;
  Registry<FunctionHandle> functions;
};

/// The host's pinned memory, which all devices reach.
Memory &hostMemory();
/// Guards the lists of all devices. Not held while work runs.
std::mutex &stateMutex();

/// Adds work, in the order that the legacy stream asks for; or records it when the stream is captured. Under the mutex.
/// Gives a CUresult.
int enqueue(Stream &stream, Item item);
/// Adds a node to what the stream's capture records. Under the mutex.
void capture(Stream &stream, Item item);
/// Whether some node of the capture is none that its origin waits for.
bool hasUnjoined(const Capture &capture);
/// Notes that something ran.
void trace(std::string what);
Order order();
void setOrder(Order order);
/// Runs the stream's work up to `until` pieces; what it waits for first. Not under the mutex. Gives a CUresult.
int runUntil(const std::shared_ptr<Stream> &stream, uint64_t until);
int runAll(const std::shared_ptr<Stream> &stream);
int runAll(Device &device);
/// As runUntil for somebody who waits: in an order of `Others` other streams' work goes first.
int await(const std::shared_ptr<Stream> &stream, uint64_t until);
/// Runs one piece if there is one. True: nothing is left up to `until`.
bool runOne(const std::shared_ptr<Stream> &stream, uint64_t until);
/// What a launch of a graph runs.
Item graphItem(std::shared_ptr<const Graph> graph);
/// All that kernels of a device reach now.
MemoryView viewOf(const Device &device);

} // namespace tenon::emulator
#endif
