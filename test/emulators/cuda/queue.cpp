// See queue.h.
#include "queue.h"

#include "driver.h"

#include <chrono>

namespace tenon::emulator {

Statistics &statistics() {
  static auto *made = new Statistics; // outlives every object that ends with the program
  return *made;
}

Memory &hostMemory() {
  static auto *made = new Memory(0, uint64_t(1) << 46);
  return *made;
}

std::mutex &stateMutex() {
  static auto *made = new std::mutex;
  return *made;
}

/// Held while work runs: one piece at a time, whatever thread waits for it.
static std::recursive_mutex &workMutex() {
  static auto *made = new std::recursive_mutex;
  return *made;
}

static std::atomic<Order> currentOrder = Order::Late;

static double nowMilliseconds() {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

static void push(Stream &stream, Item item) {
  stream.items.push_back(std::move(item));
  ++stream.issued;
}

static void pushWait(Stream &stream, const std::shared_ptr<Stream> &on) {
  if (on->issued == on->done)
    return;
  Item wait;
  wait.kind = Item::Wait;
  wait.stream = on;
  wait.until = on->issued;
  push(stream, std::move(wait));
}

Order order() { return currentOrder; }
void setOrder(Order order) { currentOrder = order; }

void trace(std::string what) {
  Statistics &s = statistics();
  std::lock_guard lock(s.mutex);
  if (s.traces)
    s.trace.push_back(std::move(what));
}

void capture(Stream &stream, Item item) {
  Capture &into = *stream.capture;
  std::vector<uint32_t> &tips = into.tips[&stream];
  item.after.insert(item.after.end(), tips.begin(), tips.end());
  tips = {static_cast<uint32_t>(into.items.size())};
  into.items.push_back(std::move(item));
}

bool hasUnjoined(const Capture &capture) {
  std::vector<bool> isReached(capture.items.size());
  auto found = capture.tips.find(capture.origin.get());
  if (found != capture.tips.end())
    for (uint32_t tip : found->second)
      isReached[tip] = true;
  for (size_t i = capture.items.size(); i-- > 0;) { // nodes wait for earlier ones only
    if (!isReached[i])
      return true;
    for (uint32_t before : capture.items[i].after)
      isReached[before] = true;
  }
  return false;
}

int enqueue(Stream &stream, Item item) {
  Device &device = *stream.device;
  ++statistics().commands;
  if (stream.capture) {
    if (stream.capture->invalid)
      return kCaptureInvalidated;
    capture(stream, std::move(item));
    return kSuccess;
  }
  if (&stream == device.legacy.get()) {
    // The legacy stream would wait for streams that are captured.
    bool bad = false;
    for (auto &[handle, other] : device.streams)
      if (other->withLegacy && other->capture && other->capture->minds())
        bad = other->capture->invalid = true;
    if (bad)
      return kCaptureImplicit;
    for (auto &[handle, other] : device.streams)
      if (other->withLegacy && !other->capture)
        pushWait(stream, other);
  } else if (stream.withLegacy) {
    pushWait(stream, device.legacy);
  }
  push(stream, std::move(item));
  return kSuccess;
}

bool runOne(const std::shared_ptr<Stream> &stream, uint64_t until) {
  std::lock_guard work(workMutex());
  Item item;
  {
    std::lock_guard lock(stateMutex());
    if (stream->done >= until)
      return true;
    item = std::move(stream->items.front());
    stream->items.pop_front();
  }
  Device &device = *stream->device;
  if (item.kind == Item::Wait) {
    runUntil(item.stream, item.until);
  } else if (item.kind == Item::Record) {
    item.event->milliseconds = nowMilliseconds();
  } else if (!device.sticky) {
    if (Fault fault = item.run(device); fault.code) {
      std::lock_guard lock(stateMutex());
      device.sticky = fault.code;
    }
  }
  std::lock_guard lock(stateMutex());
  ++stream->done;
  return stream->done >= until;
}

int runUntil(const std::shared_ptr<Stream> &stream, uint64_t until) {
  while (!runOne(stream, until))
    ;
  std::lock_guard lock(stateMutex());
  return stream->device->sticky;
}

int runAll(const std::shared_ptr<Stream> &stream) {
  uint64_t until;
  {
    std::lock_guard lock(stateMutex());
    until = stream->issued;
  }
  return runUntil(stream, until);
}

int await(const std::shared_ptr<Stream> &stream, uint64_t until) {
  if (order() == Order::Others) {
    std::vector<std::shared_ptr<Stream>> others;
    {
      std::lock_guard lock(stateMutex());
      for (auto &[handle, other] : stream->device->streams)
        if (other != stream && !other->capture)
          others.push_back(other);
    }
    for (const std::shared_ptr<Stream> &other : others)
      runAll(other);
  }
  return runUntil(stream, until);
}

int runAll(Device &device) {
  std::vector<std::shared_ptr<Stream>> all = {device.legacy};
  {
    std::lock_guard lock(stateMutex());
    for (auto &[handle, stream] : device.streams)
      if (!stream->capture)
        all.push_back(stream);
  }
  for (const std::shared_ptr<Stream> &stream : all)
    runAll(stream);
  std::lock_guard lock(stateMutex());
  return device.sticky;
}

Item graphItem(std::shared_ptr<const Graph> graph) {
  Item made;
  made.kind = Item::Graph;
  made.run = [graph = std::move(graph)](Device &device) {
    const std::vector<Item> &items = graph->items;
    std::vector<std::vector<uint32_t>> followers(items.size());
    std::vector<size_t> missing(items.size());
    std::set<uint32_t> ready;
    for (uint32_t i = 0; i < items.size(); ++i) {
      missing[i] = items[i].after.size();
      for (uint32_t before : items[i].after)
        followers[before].push_back(i);
      if (missing[i] == 0)
        ready.insert(i);
    }
    while (!ready.empty()) {
      auto next = order() == Order::Early ? ready.begin() : std::prev(ready.end());
      uint32_t at = *next;
      ready.erase(next);
      if (items[at].run)
        if (Fault fault = items[at].run(device); fault.code)
          return fault;
      for (uint32_t follower : followers[at])
        if (--missing[follower] == 0)
          ready.insert(follower);
    }
    return Fault();
  };
  return made;
}

MemoryView viewOf(const Device &device) {
  MemoryView view;
  device.memory.addTo(view);
  hostMemory().addTo(view);
  return view;
}

} // namespace tenon::emulator
