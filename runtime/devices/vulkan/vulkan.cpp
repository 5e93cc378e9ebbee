// Vulkan 1.2: memory is reached by address, so that kernels take their arguments from memory as they do on the CPU.
// The loader is opened when a program wants it.
#define VK_NO_PROTOTYPES
#include "../device.h"

#include <vulkan/vulkan.h>

#include <atomic>
#include <cstdlib>
#include <dlfcn.h>
#include <new>

namespace tenon::rt {

#define TN_VK_GLOBAL(X) X(CreateInstance) X(EnumerateInstanceVersion)
#define TN_VK_INSTANCE(X)                                                                                              \
  X(DestroyInstance) X(EnumeratePhysicalDevices) X(GetPhysicalDeviceProperties) X(GetPhysicalDeviceFeatures2)         \
  X(GetPhysicalDeviceMemoryProperties) X(GetPhysicalDeviceQueueFamilyProperties) X(CreateDevice) X(GetDeviceProcAddr)
#define TN_VK_DEVICE(X)                                                                                                \
  X(DestroyDevice) X(GetDeviceQueue) X(CreateBuffer) X(DestroyBuffer) X(GetBufferMemoryRequirements) X(AllocateMemory) \
  X(FreeMemory) X(BindBufferMemory) X(MapMemory) X(GetBufferDeviceAddress) X(CreateShaderModule)                       \
  X(DestroyShaderModule) X(CreatePipelineLayout) X(DestroyPipelineLayout) X(CreateComputePipelines)                    \
  X(DestroyPipeline) X(CreateCommandPool) X(DestroyCommandPool) X(AllocateCommandBuffers) X(BeginCommandBuffer)        \
  X(EndCommandBuffer) X(ResetCommandBuffer) X(CmdBindPipeline) X(CmdPushConstants) X(CmdDispatch)                      \
  X(CmdPipelineBarrier) X(CmdCopyBuffer) X(QueueSubmit) X(CreateFence) X(DestroyFence) X(WaitForFences) X(ResetFences)

#define TN_VK_MEMBER(NAME) PFN_vk##NAME NAME;

namespace {
struct Loader {
  void *library;
  PFN_vkGetInstanceProcAddr getInstanceProcAddr;
  TN_VK_GLOBAL(TN_VK_MEMBER)
  TN_VK_INSTANCE(TN_VK_MEMBER)
  VkInstance instance;
};

struct VulkanDevice : Loader {
  TN_VK_DEVICE(TN_VK_MEMBER)
  VkPhysicalDevice physical;
  VkPhysicalDeviceProperties properties;
  VkPhysicalDeviceMemoryProperties memory;
  VkDevice device;
  VkQueue queue;
  uint32_t family;
  VkPipelineLayout layout;
  std::atomic<uint32_t> lock; ///< a VkQueue is one thread's at a time
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

static const char *nameOf(VkResult result) {
  switch (result) {
  case VK_ERROR_OUT_OF_HOST_MEMORY: return "VK_ERROR_OUT_OF_HOST_MEMORY";
  case VK_ERROR_OUT_OF_DEVICE_MEMORY: return "VK_ERROR_OUT_OF_DEVICE_MEMORY";
  case VK_ERROR_INITIALIZATION_FAILED: return "VK_ERROR_INITIALIZATION_FAILED";
  case VK_ERROR_DEVICE_LOST: return "VK_ERROR_DEVICE_LOST";
  case VK_ERROR_FEATURE_NOT_PRESENT: return "VK_ERROR_FEATURE_NOT_PRESENT";
  case VK_ERROR_INCOMPATIBLE_DRIVER: return "VK_ERROR_INCOMPATIBLE_DRIVER";
  case VK_ERROR_TOO_MANY_OBJECTS: return "VK_ERROR_TOO_MANY_OBJECTS";
  case VK_ERROR_INVALID_SHADER_NV: return "VK_ERROR_INVALID_SHADER_NV";
  default: return "an unknown error";
  }
}

static tn_status_t check(VkResult result, const char *what, tn_error_t *error) {
  if (result == VK_SUCCESS)
    return TN_OK;
  bool isMemory = result == VK_ERROR_OUT_OF_HOST_MEMORY || result == VK_ERROR_OUT_OF_DEVICE_MEMORY;
  return TN_FAIL(error, isMemory ? TN_NO_MEMORY : TN_INTERNAL, "Vulkan cannot %s: %s (%d)", what, nameOf(result),
                 static_cast<int>(result));
}

//===----------------------------------------------------------------------===//
// The loader
//===----------------------------------------------------------------------===//

static void closeLoader(Loader &l) {
  if (l.instance)
    l.DestroyInstance(l.instance, nullptr);
  if (l.library)
    dlclose(l.library);
  l.instance = nullptr;
  l.library = nullptr;
}

static bool openLoader(Loader &l, TextBuffer *why) {
  l.library = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!l.library) {
    if (why)
      why->add("Vulkan (libvulkan.so.1 is not installed)");
    return false;
  }
  l.getInstanceProcAddr = reinterpret_cast<PFN_vkGetInstanceProcAddr>(dlsym(l.library, "vkGetInstanceProcAddr"));
#define TN_VK_LOAD(NAME)                                                                                               \
  l.NAME = l.getInstanceProcAddr ? reinterpret_cast<PFN_vk##NAME>(l.getInstanceProcAddr(l.instance, "vk" #NAME)) : nullptr; \
  good &= l.NAME != nullptr;
  bool good = true;
  TN_VK_GLOBAL(TN_VK_LOAD)
  uint32_t version = 0;
  if (good && l.EnumerateInstanceVersion(&version) == VK_SUCCESS && version >= VK_API_VERSION_1_2) {
    VkApplicationInfo application = {};
    application.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO;
    application.pEngineName = "tenon";
    application.apiVersion = VK_API_VERSION_1_2;
    VkInstanceCreateInfo info = {};
    info.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO;
    info.pApplicationInfo = &application;
    if (l.CreateInstance(&info, nullptr, &l.instance) == VK_SUCCESS) {
      TN_VK_INSTANCE(TN_VK_LOAD)
      if (good)
        return true;
    }
  }
  if (why)
    why->add("Vulkan 1.2 (its loader or drivers are older, or there is none)");
  closeLoader(l);
  return false;
}

/// Features that every kernel needs, and all that some need and the device has.
struct Features {
  VkPhysicalDeviceFeatures2 base;
  VkPhysicalDeviceVulkan11Features v11;
  VkPhysicalDeviceVulkan12Features v12;

  Features() {
    memset(static_cast<void *>(this), 0, sizeof(*this));
    base.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2;
    v11.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES;
    v12.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES;
    base.pNext = &v11;
    v11.pNext = &v12;
  }
  bool suffice() const { return v12.bufferDeviceAddress && base.features.shaderInt64; }
  /// Of those that `have` lists, the ones that kernels may use.
  void take(const Features &have) {
    v12.bufferDeviceAddress = have.v12.bufferDeviceAddress;
    v12.shaderInt8 = have.v12.shaderInt8;
    v12.shaderFloat16 = have.v12.shaderFloat16;
    v12.storageBuffer8BitAccess = have.v12.storageBuffer8BitAccess;
    v11.storageBuffer16BitAccess = have.v11.storageBuffer16BitAccess;
    base.features.shaderInt64 = have.base.features.shaderInt64;
    base.features.shaderInt16 = have.base.features.shaderInt16;
    base.features.shaderFloat64 = have.base.features.shaderFloat64;
  }
};

static uint32_t findFamily(Loader &l, VkPhysicalDevice device) {
  VkQueueFamilyProperties families[16];
  uint32_t count = 16;
  l.GetPhysicalDeviceQueueFamilyProperties(device, &count, families);
  for (uint32_t i = 0; i < count; ++i)
    if (families[i].queueFlags & VK_QUEUE_COMPUTE_BIT)
      return i;
  return UINT32_MAX;
}

/// The `index`-th device that can run kernels.
static VkPhysicalDevice findDevice(Loader &l, uint32_t index) {
  VkPhysicalDevice devices[16];
  uint32_t count = 16;
  VkResult result = l.EnumeratePhysicalDevices(l.instance, &count, devices);
  for (uint32_t i = 0; (result == VK_SUCCESS || result == VK_INCOMPLETE) && i < count; ++i) {
    VkPhysicalDeviceProperties properties;
    l.GetPhysicalDeviceProperties(devices[i], &properties);
    if (properties.apiVersion < VK_API_VERSION_1_2)
      continue;
    Features have;
    l.GetPhysicalDeviceFeatures2(devices[i], &have.base);
    if (have.suffice() && findFamily(l, devices[i]) != UINT32_MAX && index-- == 0)
      return devices[i];
  }
  return VK_NULL_HANDLE;
}

static bool isHere(const char *, uint32_t, TextBuffer *why) {
  Loader l = {};
  if (!openLoader(l, why))
    return false;
  bool found = findDevice(l, 0) != VK_NULL_HANDLE;
  if (!found && why)
    why->add("a Vulkan device with 64-bit integers and addresses of buffers");
  closeLoader(l);
  return found;
}

//===----------------------------------------------------------------------===//
// Devices
//===----------------------------------------------------------------------===//

static void closeDevice(void *handle) {
  auto *d = static_cast<VulkanDevice *>(handle);
  if (d->device) {
    if (d->layout)
      d->DestroyPipelineLayout(d->device, d->layout, nullptr);
    d->DestroyDevice(d->device, nullptr);
  }
  closeLoader(*d);
  free(d);
}

static tn_status_t startDevice(VulkanDevice &d, uint32_t index, tn_error_t *error) {
  char buffer[200];
  TextBuffer why(buffer, sizeof(buffer));
  if (!openLoader(d, &why))
    return TN_FAIL(error, TN_BAD_CPU, "program needs %s", buffer);
  d.physical = findDevice(d, index);
  if (!d.physical)
    return TN_FAIL(error, TN_BAD_ARGUMENT, "there is no Vulkan device number %u that can run kernels", index);
  d.GetPhysicalDeviceProperties(d.physical, &d.properties);
  d.GetPhysicalDeviceMemoryProperties(d.physical, &d.memory);
  d.family = findFamily(d, d.physical);
  Features have, wanted;
  d.GetPhysicalDeviceFeatures2(d.physical, &have.base);
  wanted.take(have);
  float priority = 1;
  VkDeviceQueueCreateInfo queue = {};
  queue.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO;
  queue.queueFamilyIndex = d.family;
  queue.queueCount = 1;
  queue.pQueuePriorities = &priority;
  VkDeviceCreateInfo info = {};
  info.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO;
  info.pNext = &wanted.base;
  info.queueCreateInfoCount = 1;
  info.pQueueCreateInfos = &queue;
  if (tn_status_t status = check(d.CreateDevice(d.physical, &info, nullptr, &d.device), "open a device", error))
    return status;
  bool good = true;
#define TN_VK_LOAD_DEVICE(NAME)                                                                                        \
  d.NAME = reinterpret_cast<PFN_vk##NAME>(d.GetDeviceProcAddr(d.device, "vk" #NAME));                                  \
  good &= d.NAME != nullptr;
  TN_VK_DEVICE(TN_VK_LOAD_DEVICE)
  if (!good)
    return TN_FAIL(error, TN_INTERNAL, "Vulkan's driver lacks functions of version 1.2");
  d.GetDeviceQueue(d.device, d.family, 0, &d.queue);
  VkPushConstantRange range = {VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof(PushConstants)};
  VkPipelineLayoutCreateInfo layout = {};
  layout.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO;
  layout.pushConstantRangeCount = 1;
  layout.pPushConstantRanges = &range;
  return check(d.CreatePipelineLayout(d.device, &layout, nullptr, &d.layout), "make a layout", error);
}

static tn_status_t openDevice(uint32_t index, void **device, tn_error_t *error) {
  void *memory = calloc(1, sizeof(VulkanDevice));
  if (!memory)
    return TN_FAIL(error, TN_NO_MEMORY, "no memory for a Vulkan device's tables");
  auto *d = new (memory) VulkanDevice();
  tn_status_t status = startDevice(*d, index, error);
  if (status) {
    // Functions that were not loaded are not called: `device` is set before they are needed.
    closeDevice(d);
    return status;
  }
  *device = d;
  return TN_OK;
}

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
  VkBufferCreateInfo info = {};
  info.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO;
  info.size = bytes;
  info.usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
               VK_BUFFER_USAGE_TRANSFER_DST_BIT | VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT;
  VkBuffer buffer;
  if (VkResult result = d.CreateBuffer(d.device, &info, nullptr, &buffer))
    return check(result, "make a buffer", error);
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
  if (result)
    return TN_FAIL(error, TN_NO_MEMORY, "Vulkan device '%s' has no %llu bytes of memory: %s", d.properties.deviceName,
                   static_cast<unsigned long long>(bytes), nameOf(result));
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

static tn_status_t loadModule(void *handle, file::DeviceFormat format, const uint8_t *code, uint64_t bytes, void **loaded,
                              tn_error_t *error) {
  auto &d = *static_cast<VulkanDevice *>(handle);
  if (format != file::DeviceFormat::SPIRV)
    return TN_FAIL(error, TN_BAD_CPU, "Vulkan takes SPIR-V only");
  VkShaderModuleCreateInfo info = {};
  info.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO;
  info.codeSize = bytes;
  info.pCode = reinterpret_cast<const uint32_t *>(code);
  VkShaderModule module;
  if (VkResult result = d.CreateShaderModule(d.device, &info, nullptr, &module))
    return check(result, "load a kernel", error);
  *loaded = module;
  return TN_OK;
}

static void unloadModule(void *handle, void *module) {
  auto &d = *static_cast<VulkanDevice *>(handle);
  d.DestroyShaderModule(d.device, reinterpret_cast<VkShaderModule>(module), nullptr);
}

static tn_status_t findKernel(void *handle, void *module, const char *name, uint32_t, void **kernel, tn_error_t *error) {
  auto &d = *static_cast<VulkanDevice *>(handle);
  VkComputePipelineCreateInfo pipeline = {};
  pipeline.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO;
  pipeline.layout = d.layout;
  pipeline.stage.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO;
  pipeline.stage.stage = VK_SHADER_STAGE_COMPUTE_BIT;
  pipeline.stage.module = reinterpret_cast<VkShaderModule>(module);
  pipeline.stage.pName = name;
  VkPipeline made;
  VkResult result = d.CreateComputePipelines(d.device, VK_NULL_HANDLE, 1, &pipeline, nullptr, &made);
  if (result)
    return TN_FAIL(error, TN_INTERNAL, "Vulkan cannot compile kernel '%s': %s (%d)", name, nameOf(result),
                   static_cast<int>(result));
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
  VkCommandPoolCreateInfo pool = {};
  pool.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO;
  pool.flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT;
  pool.queueFamilyIndex = d.family;
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
  uint64_t most = d.properties.limits.maxComputeWorkGroupCount[0], count = static_cast<uint64_t>(launch.groups);
  uint64_t across = count < most ? count : most, down = (count + across - 1) / across;
  if (down > d.properties.limits.maxComputeWorkGroupCount[1])
    return TN_FAIL(error, TN_TOO_LARGE, "%llu workgroups are more than the device '%s' runs at once",
                   static_cast<unsigned long long>(count), d.properties.deviceName);
  PushConstants constants = {launch.address, count, launch.report};
  d.CmdBindPipeline(q.commands, VK_PIPELINE_BIND_POINT_COMPUTE, reinterpret_cast<VkPipeline>(kernel));
  d.CmdPushConstants(q.commands, d.layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, sizeof(constants), &constants);
  d.CmdDispatch(q.commands, static_cast<uint32_t>(across), static_cast<uint32_t>(down), 1);
  return TN_OK;
}

static tn_status_t copyMemory(void *handle, const DeviceMemory *dest, uint64_t destOffset, const DeviceMemory *source,
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
    while (d.lock.exchange(1, std::memory_order_acquire)) {
    }
    result = d.QueueSubmit(d.queue, 1, &submit, q.fence);
    d.lock.store(0, std::memory_order_release);
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
    nullptr,    nullptr};

} // namespace tenon::rt
