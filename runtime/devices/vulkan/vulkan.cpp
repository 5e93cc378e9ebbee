// Vulkan 1.2: memory is reached by address, so that kernels take their arguments from memory as they do on the CPU.
// The loader is opened when a program wants it.
#include "loader.h"

#include "../../src/program.h"
#include "../device.h"
#include "cache.h"

#include <cstdlib>
#include <new>

namespace tenon::rt {

using namespace vulkan;

#define TN_VK_DEVICE(X)                                                                                                \
  X(DestroyDevice) X(GetDeviceQueue) X(CreateBuffer) X(DestroyBuffer) X(GetBufferMemoryRequirements) X(AllocateMemory) \
  X(FreeMemory) X(BindBufferMemory) X(MapMemory) X(GetBufferDeviceAddress) X(CreateShaderModule)                       \
  X(DestroyShaderModule) X(CreatePipelineLayout) X(DestroyPipelineLayout) X(CreateComputePipelines)                    \
  X(DestroyPipeline) X(CreateCommandPool) X(DestroyCommandPool) X(AllocateCommandBuffers) X(BeginCommandBuffer)        \
  X(EndCommandBuffer) X(ResetCommandBuffer) X(CmdBindPipeline) X(CmdPushConstants) X(CmdDispatch)                      \
  X(CmdPipelineBarrier) X(CmdCopyBuffer) X(QueueSubmit) X(CreateFence) X(DestroyFence) X(WaitForFences) X(ResetFences) \
  X(CreatePipelineCache) X(DestroyPipelineCache) X(GetPipelineCacheData)

namespace {
struct VulkanDevice {
  TN_VK_DEVICE(TN_VK_MEMBER)
  Physical physical;
  VkPhysicalDeviceMemoryProperties memory;
  VkDevice device;
  VkQueue queue;
  VkPipelineLayout layout;
  VkPipelineCache cache;
  char *cacheFolder;             ///< null: the cache is the process's only
  std::atomic<uint32_t> unsaved; ///< pipelines that are not in what was kept of the cache
  std::atomic<uint32_t> lock;    ///< a VkQueue is one thread's at a time

  const char *name() const { return physical.properties.deviceName; }
};

struct VulkanModule {
  VkShaderModule shader;
  bool hasMatrices;
};

struct VulkanQueue {
  VulkanDevice *device;
  VkCommandPool pool;
  VkCommandBuffer commands;
  VkFence fence;
  bool isRecording;
};

/// What kernels get: docs/devices.md.
struct PushConstants {
  uint64_t args, groups, report;
};
} // namespace

//===----------------------------------------------------------------------===//
// Devices
//===----------------------------------------------------------------------===//

/// What all modules of a variant ask for; false when one is damaged.
static bool needsOf(const VariantCode &code, Needs &needs) {
  if (!code.table)
    return true;
  for (const file::DeviceModule *module : *code.table->modules())
    for (const file::DeviceCode *form : *module->codes())
      if (form->offset() > code.bytes || form->bytes() > code.bytes - form->offset() || form->offset() % 4 ||
          !addNeeds(reinterpret_cast<const uint32_t *>(code.code + form->offset()), form->bytes() / 4, needs))
        return false;
  return true;
}

static bool isHere(const VariantCode &code, uint32_t index, TextBuffer *why) {
  const Loader *l = findLoader(why);
  Physical physical;
  Needs needs;
  if (!l || !findPhysical(*l, index, physical, why))
    return false;
  if (!needsOf(code, needs) || !listMissing(needs, physical.has, nullptr))
    return true; // a damaged one is refused when it is opened
  if (why) {
    listMissing(needs, physical.has, why);
    why->add(" on Vulkan device '%s'", physical.properties.deviceName);
  }
  return false;
}

static void keepCache(VulkanDevice &d) {
  if (!d.cache || !d.unsaved.exchange(0))
    return;
  size_t bytes = 0;
  if (d.GetPipelineCacheData(d.device, d.cache, &bytes, nullptr) != VK_SUCCESS || bytes == 0)
    return;
  void *data = malloc(bytes);
  if (data && d.GetPipelineCacheData(d.device, d.cache, &bytes, data) == VK_SUCCESS)
    remember(d.physical.properties, d.cacheFolder, data, bytes);
  free(data);
}

/// Without a cache all works, if slower.
static void openCache(VulkanDevice &d, const char *folder) {
  d.cacheFolder = folder && *folder ? strdup(folder) : nullptr;
  size_t bytes = 0;
  void *data = recall(d.physical.properties, d.cacheFolder, bytes);
  VkPipelineCacheCreateInfo info = {};
  info.sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO;
  info.initialDataSize = data ? bytes : 0;
  info.pInitialData = data;
  if (d.CreatePipelineCache(d.device, &info, nullptr, &d.cache) != VK_SUCCESS)
    d.cache = VK_NULL_HANDLE;
  free(data);
}

static void closeDevice(void *handle) {
  auto *d = static_cast<VulkanDevice *>(handle);
  if (d->device && d->DestroyDevice) {
    keepCache(*d);
    if (d->cache)
      d->DestroyPipelineCache(d->device, d->cache, nullptr);
    if (d->layout)
      d->DestroyPipelineLayout(d->device, d->layout, nullptr);
    d->DestroyDevice(d->device, nullptr);
  }
  free(d->cacheFolder);
  free(d);
}

static tn_status_t startDevice(VulkanDevice &d, const VariantCode &code, uint32_t index, tn_error_t *error) {
  char buffer[400];
  TextBuffer why(buffer, sizeof(buffer));
  const Loader *l = findLoader(&why);
  if (!l || !findPhysical(*l, index, d.physical, &why))
    return TN_FAIL(error, TN_BAD_CPU, "program needs %s", buffer);
  Needs needs;
  if (!needsOf(code, needs))
    return TN_FAIL(error, TN_BAD_FILE, "a module of device kernels is no SPIR-V");
  if (listMissing(needs, d.physical.has, &why))
    return TN_FAIL(error, TN_BAD_CPU, "Vulkan device '%s' lacks %s", d.name(), buffer);
  l->GetPhysicalDeviceMemoryProperties(d.physical.handle, &d.memory);
  DeviceRequest request(needs.features);
  float priority = 1;
  VkDeviceQueueCreateInfo queue = {};
  queue.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO;
  queue.queueFamilyIndex = d.physical.family;
  queue.queueCount = 1;
  queue.pQueuePriorities = &priority;
  VkDeviceCreateInfo info = {};
  info.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO;
  info.pNext = &request.base;
  info.queueCreateInfoCount = 1;
  info.pQueueCreateInfos = &queue;
  info.enabledExtensionCount = request.extensionCount;
  info.ppEnabledExtensionNames = request.extensions;
  if (tn_status_t status = check(l->CreateDevice(d.physical.handle, &info, nullptr, &d.device), "open a device", error))
    return status;
  bool good = true;
#define TN_VK_LOAD_DEVICE(NAME)                                                                                        \
  d.NAME = reinterpret_cast<PFN_vk##NAME>(l->GetDeviceProcAddr(d.device, "vk" #NAME));                                 \
  good &= d.NAME != nullptr;
  TN_VK_DEVICE(TN_VK_LOAD_DEVICE)
  if (!good)
    return TN_FAIL(error, TN_INTERNAL, "Vulkan's driver lacks functions of version 1.2");
  d.GetDeviceQueue(d.device, d.physical.family, 0, &d.queue);
  openCache(d, code.cache);
  VkPushConstantRange range = {VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof(PushConstants)};
  VkPipelineLayoutCreateInfo layout = {};
  layout.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO;
  layout.pushConstantRangeCount = 1;
  layout.pPushConstantRanges = &range;
  return check(d.CreatePipelineLayout(d.device, &layout, nullptr, &d.layout), "make a layout", error);
}

static tn_status_t openDevice(const VariantCode &code, uint32_t index, void **device, tn_error_t *error) {
  void *memory = calloc(1, sizeof(VulkanDevice));
  if (!memory)
    return TN_FAIL(error, TN_NO_MEMORY, "no memory for a Vulkan device's tables");
  auto *d = new (memory) VulkanDevice();
  tn_status_t status = startDevice(*d, code, index, error);
  if (status) {
    closeDevice(d);
    return status;
  }
  *device = d;
  return TN_OK;
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

/// Memory that both reach when there is such, unless a test asks for memory that the CPU does not reach.
static uint32_t chooseMemory(const VulkanDevice &d, uint32_t allowed, bool onHost) {
  const VkMemoryPropertyFlags local = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT,
                              host = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
  const VkMemoryPropertyFlags wishes[2][3] = {{local | host, local, 0}, {host | VK_MEMORY_PROPERTY_HOST_CACHED_BIT, host, host}};
  for (VkMemoryPropertyFlags wish : wishes[onHost])
    for (uint32_t i = 0; i < d.memory.memoryTypeCount; ++i)
      if ((allowed >> i & 1) && (d.memory.memoryTypes[i].propertyFlags & wish) == wish)
        return i;
  return UINT32_MAX;
}

static void releaseMemory(void *handle, DeviceMemory *memory) {
  auto &d = *static_cast<VulkanDevice *>(handle);
  if (memory->handle[0])
    d.DestroyBuffer(d.device, reinterpret_cast<VkBuffer>(memory->handle[0]), nullptr);
  if (memory->handle[1])
    d.FreeMemory(d.device, reinterpret_cast<VkDeviceMemory>(memory->handle[1]), nullptr);
  *memory = {};
}

static tn_status_t fillMemory(VulkanDevice &d, uint64_t bytes, bool onHost, DeviceMemory &memory, tn_error_t *error) {
  const auto wanted = static_cast<unsigned long long>(bytes);
  if (bytes > d.physical.largestAllocation)
    return TN_FAIL(error, TN_NO_MEMORY, "Vulkan device '%s' has no %llu bytes of memory in one piece: its limit is %llu "
                   "(maxMemoryAllocationSize)", d.name(), wanted, static_cast<unsigned long long>(d.physical.largestAllocation));
  VkBufferCreateInfo info = {};
  info.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO;
  info.size = bytes;
  info.usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
               VK_BUFFER_USAGE_TRANSFER_DST_BIT | VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT;
  VkBuffer buffer;
  if (VkResult result = d.CreateBuffer(d.device, &info, nullptr, &buffer))
    return TN_FAIL(error, TN_NO_MEMORY, "Vulkan device '%s' makes no buffer of %llu bytes: %s", d.name(), wanted, nameOf(result));
  memory.handle[0] = buffer;
  VkMemoryRequirements needs;
  d.GetBufferMemoryRequirements(d.device, buffer, &needs);
  VkMemoryAllocateFlagsInfo flags = {};
  flags.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO;
  flags.flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT;
  VkMemoryAllocateInfo allocate = {};
  allocate.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO;
  allocate.pNext = &flags;
  allocate.allocationSize = needs.size;
  allocate.memoryTypeIndex = chooseMemory(d, needs.memoryTypeBits, onHost);
  VkDeviceMemory block;
  VkResult result = allocate.memoryTypeIndex == UINT32_MAX ? VK_ERROR_OUT_OF_DEVICE_MEMORY
                                                           : d.AllocateMemory(d.device, &allocate, nullptr, &block);
  if (result) {
    VkDeviceSize largest = 0;
    for (uint32_t i = 0; i < d.memory.memoryHeapCount; ++i)
      largest = d.memory.memoryHeaps[i].size > largest ? d.memory.memoryHeaps[i].size : largest;
    return TN_FAIL(error, TN_NO_MEMORY, "Vulkan device '%s' has no %llu bytes of memory: %s (its largest heap has %llu)",
                   d.name(), wanted, nameOf(result), static_cast<unsigned long long>(largest));
  }
  memory.handle[1] = block;
  if (VkResult bound = d.BindBufferMemory(d.device, buffer, block, 0))
    return check(bound, "bind memory", error);
  bool isVisible = d.memory.memoryTypes[allocate.memoryTypeIndex].propertyFlags & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT;
  const char *test = getenv("TENON_TEST_DEVICE_MEMORY"); // as on a device whose memory the CPU does not reach
  if (isVisible && (onHost || !test))
    if (VkResult mapped = d.MapMemory(d.device, block, 0, VK_WHOLE_SIZE, 0, reinterpret_cast<void **>(&memory.host)))
      return check(mapped, "map memory", error);
  VkBufferDeviceAddressInfo address = {};
  address.sType = VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO;
  address.buffer = buffer;
  memory.address = d.GetBufferDeviceAddress(d.device, &address);
  memory.bytes = bytes;
  return TN_OK;
}

static tn_status_t allocateMemory(void *handle, uint64_t bytes, bool onHost, DeviceMemory *memory, tn_error_t *error) {
  *memory = {};
  tn_status_t status = fillMemory(*static_cast<VulkanDevice *>(handle), bytes, onHost, *memory, error);
  if (status)
    releaseMemory(handle, memory);
  return status;
}

//===----------------------------------------------------------------------===//
// Kernels
//===----------------------------------------------------------------------===//

static tn_status_t loadModule(void *handle, file::DeviceFormat format, const uint8_t *code, uint64_t bytes, void **loaded,
                              tn_error_t *error) {
  auto &d = *static_cast<VulkanDevice *>(handle);
  Needs needs;
  if (format != file::DeviceFormat::SPIRV || !addNeeds(reinterpret_cast<const uint32_t *>(code), bytes / 4, needs))
    return TN_FAIL(error, TN_BAD_CPU, "Vulkan takes SPIR-V only");
  auto *module = static_cast<VulkanModule *>(calloc(1, sizeof(VulkanModule)));
  if (!module)
    return TN_FAIL(error, TN_NO_MEMORY, "no memory for a Vulkan module");
  module->hasMatrices = needs.features.has(Feature::Matrices);
  VkShaderModuleCreateInfo info = {};
  info.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO;
  info.codeSize = bytes;
  info.pCode = reinterpret_cast<const uint32_t *>(code);
  if (VkResult result = d.CreateShaderModule(d.device, &info, nullptr, &module->shader)) {
    free(module);
    return check(result, "load a kernel", error);
  }
  *loaded = module;
  return TN_OK;
}

static void unloadModule(void *handle, void *loaded) {
  auto &d = *static_cast<VulkanDevice *>(handle);
  auto *module = static_cast<VulkanModule *>(loaded);
  d.DestroyShaderModule(d.device, module->shader, nullptr);
  free(module);
}

static tn_status_t findKernel(void *handle, void *loaded, const file::DeviceKernel &which, void **kernel, tn_error_t *error) {
  auto &d = *static_cast<VulkanDevice *>(handle);
  const auto &module = *static_cast<const VulkanModule *>(loaded);
  VkComputePipelineCreateInfo pipeline = {};
  pipeline.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO;
  pipeline.layout = d.layout;
  pipeline.stage.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO;
  pipeline.stage.stage = VK_SHADER_STAGE_COMPUTE_BIT;
  pipeline.stage.module = module.shader;
  const char *name = which.name()->c_str();
  pipeline.stage.pName = name;
  VkPipelineShaderStageRequiredSubgroupSizeCreateInfo subgroup = {};
  subgroup.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO;
  subgroup.requiredSubgroupSize = kMatrixSubgroup;
  if (module.hasMatrices) {
    pipeline.stage.pNext = &subgroup;
    pipeline.stage.flags = VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT;
  }
  VkPipeline made;
  VkResult result = d.CreateComputePipelines(d.device, d.cache, 1, &pipeline, nullptr, &made);
  if (result)
    return TN_FAIL(error, result == VK_ERROR_OUT_OF_DEVICE_MEMORY || result == VK_ERROR_OUT_OF_HOST_MEMORY ? TN_NO_MEMORY : TN_INTERNAL,
                   "Vulkan cannot compile kernel '%s': %s (%d)", name, nameOf(result), static_cast<int>(result));
  d.unsaved.store(1);
  *kernel = made;
  return TN_OK;
}

static void forgetKernel(void *handle, void *kernel) {
  auto &d = *static_cast<VulkanDevice *>(handle);
  d.DestroyPipeline(d.device, reinterpret_cast<VkPipeline>(kernel), nullptr);
}

//===----------------------------------------------------------------------===//
// Queues
//===----------------------------------------------------------------------===//

static void closeQueue(void *, void *handle) {
  auto *q = static_cast<VulkanQueue *>(handle);
  VulkanDevice &d = *q->device;
  if (q->fence)
    d.DestroyFence(d.device, q->fence, nullptr);
  if (q->pool)
    d.DestroyCommandPool(d.device, q->pool, nullptr);
  free(q);
}

static tn_status_t openQueue(void *handle, void **queue, tn_error_t *error) {
  auto &d = *static_cast<VulkanDevice *>(handle);
  auto *q = static_cast<VulkanQueue *>(calloc(1, sizeof(VulkanQueue)));
  if (!q)
    return TN_FAIL(error, TN_NO_MEMORY, "no memory for a Vulkan queue");
  q->device = &d;
  keepCache(d); // before a session opens its queue, all kernels are there
  VkCommandPoolCreateInfo pool = {};
  pool.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO;
  pool.flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT;
  pool.queueFamilyIndex = d.physical.family;
  VkFenceCreateInfo fence = {};
  fence.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO;
  VkCommandBufferAllocateInfo commands = {};
  commands.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO;
  commands.commandBufferCount = 1;
  VkResult result = d.CreateCommandPool(d.device, &pool, nullptr, &q->pool);
  commands.commandPool = q->pool;
  if (!result)
    result = d.AllocateCommandBuffers(d.device, &commands, &q->commands);
  if (!result)
    result = d.CreateFence(d.device, &fence, nullptr, &q->fence);
  if (result) {
    closeQueue(&d, q);
    return check(result, "make a queue", error);
  }
  *queue = q;
  return TN_OK;
}

/// Whatever is told next sees what was told before.
static tn_status_t startCommand(VulkanQueue &q, tn_error_t *error) {
  VulkanDevice &d = *q.device;
  if (!q.isRecording) {
    VkCommandBufferBeginInfo info = {};
    info.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO;
    info.flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT;
    if (VkResult result = d.BeginCommandBuffer(q.commands, &info))
      return check(result, "begin commands", error);
    q.isRecording = true;
    return TN_OK;
  }
  VkMemoryBarrier barrier = {};
  barrier.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER;
  barrier.srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT;
  barrier.dstAccessMask = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_READ_BIT |
                          VK_ACCESS_TRANSFER_WRITE_BIT;
  const VkPipelineStageFlags stages = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT;
  d.CmdPipelineBarrier(q.commands, stages, stages, 0, 1, &barrier, 0, nullptr, 0, nullptr);
  return TN_OK;
}

static tn_status_t launchKernel(void *handle, void *kernel, const Launch &launch, tn_error_t *error) {
  auto &q = *static_cast<VulkanQueue *>(handle);
  VulkanDevice &d = *q.device;
  if (tn_status_t status = startCommand(q, error))
    return status;
  // In two dimensions when one does not hold them; groups beyond the last one do nothing.
  uint64_t most = d.physical.properties.limits.maxComputeWorkGroupCount[0], count = static_cast<uint64_t>(launch.groups);
  uint64_t across = count < most ? count : most, down = (count + across - 1) / across;
  if (down > d.physical.properties.limits.maxComputeWorkGroupCount[1])
    return TN_FAIL(error, TN_TOO_LARGE, "%llu workgroups are more than the device '%s' runs at once",
                   static_cast<unsigned long long>(count), d.name());
  PushConstants constants = {launch.address, count, launch.report};
  d.CmdBindPipeline(q.commands, VK_PIPELINE_BIND_POINT_COMPUTE, reinterpret_cast<VkPipeline>(kernel));
  d.CmdPushConstants(q.commands, d.layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof(constants), &constants);
  d.CmdDispatch(q.commands, static_cast<uint32_t>(across), static_cast<uint32_t>(down), 1);
  return TN_OK;
}

static tn_status_t copyMemory(void *handle, Lane, const DeviceMemory *dest, uint64_t destOffset, const DeviceMemory *source,
                              uint64_t sourceOffset, uint64_t bytes, tn_error_t *error) {
  auto &q = *static_cast<VulkanQueue *>(handle);
  if (tn_status_t status = startCommand(q, error))
    return status;
  VkBufferCopy region = {sourceOffset, destOffset, bytes};
  q.device->CmdCopyBuffer(q.commands, reinterpret_cast<VkBuffer>(source->handle[0]),
                          reinterpret_cast<VkBuffer>(dest->handle[0]), 1, &region);
  return TN_OK;
}

static tn_status_t finishQueue(void *handle, tn_error_t *error) {
  auto &q = *static_cast<VulkanQueue *>(handle);
  VulkanDevice &d = *q.device;
  if (!q.isRecording)
    return TN_OK;
  q.isRecording = false;
  VkMemoryBarrier barrier = {};
  barrier.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER;
  barrier.srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT;
  barrier.dstAccessMask = VK_ACCESS_HOST_READ_BIT | VK_ACCESS_HOST_WRITE_BIT;
  d.CmdPipelineBarrier(q.commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT,
                       VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &barrier, 0, nullptr, 0, nullptr);
  VkResult result = d.EndCommandBuffer(q.commands);
  if (!result) {
    VkSubmitInfo submit = {};
    submit.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO;
    submit.commandBufferCount = 1;
    submit.pCommandBuffers = &q.commands;
    {
      SpinLock held(d.lock);
      result = d.QueueSubmit(d.queue, 1, &submit, q.fence);
    }
    if (!result)
      result = d.WaitForFences(d.device, 1, &q.fence, VK_TRUE, UINT64_MAX);
    (void)d.ResetFences(d.device, 1, &q.fence);
  }
  (void)d.ResetCommandBuffer(q.commands, 0);
  return check(result, "run kernels", error);
}

const DeviceKind vulkanDevice = {
    "vulkan",   /*takesSlots=*/false, isHere,     openDevice,   closeDevice, allocateMemory, releaseMemory, loadModule, unloadModule,
    findKernel, forgetKernel,         openQueue,  closeQueue,   launchKernel, copyMemory,    finishQueue,   nullptr,    nullptr,
    nullptr,    nullptr,              nullptr,    nullptr,      nullptr};

} // namespace tenon::rt
