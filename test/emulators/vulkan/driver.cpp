// Stands between a program and Vulkan's loader: takes features away, adds cooperative matrices, fails when it is told to, and
// looks at whether a program says what it uses. docs/emulators.md has the variables.
#define VK_NO_PROTOTYPES
#include "words.h"

#include <vulkan/vulkan.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <map>
#include <memory>
#include <mutex>

using namespace emulated;

namespace {
/// Younger than the headers.
constexpr auto kMatrixFeatures = static_cast<VkStructureType>(1000506000);
struct MatrixFeatures {
  VkStructureType sType;
  void *pNext;
  VkBool32 isThere, isRobust;
};
struct MatrixProperties {
  VkStructureType sType;
  void *pNext;
  uint32_t m, n, k, a, b, c, result;
  VkBool32 saturates;
  uint32_t scope;
};

struct Device {
  std::set<uint32_t> capabilities; ///< that its features allow
  bool isLost = false;
};

struct Shader {
  bool hasMatrices;
};

/// What happened, for the report.
struct Counts {
  unsigned instances = 0, devices = 0, modules = 0, matrixModules = 0, pipelines = 0, warmCaches = 0, submits = 0;
  unsigned long long allocated = 0, copied = 0;
};

std::mutex mutex;
Counts counts;
std::map<VkDevice, Device> devices;
std::map<VkShaderModule, Shader> shaders;
std::map<VkQueue, VkDevice> queues;
PFN_vkGetInstanceProcAddr realInstance;
PFN_vkGetDeviceProcAddr realDevice;

const char *order(const char *name) { return std::getenv((std::string("TN_EMULATED_VULKAN_") + name).c_str()); }
bool hasMatrices() { return order("MATRICES") && *order("MATRICES") == '1'; }
bool isHidden(const char *feature) {
  const char *list = order("HIDE");
  return list && (std::string(",") + list + ",").find(std::string(",") + feature + ",") != std::string::npos;
}

struct AtExit {
  ~AtExit() {
    const char *path = order("REPORT");
    FILE *file = path ? std::fopen(path, "w") : nullptr;
    if (!file)
      return;
    std::fprintf(file, "instances %u\ndevices %u\nmodules %u\nmatrixModules %u\npipelines %u\nwarmCaches %u\nsubmits %u\nallocated %llu\ncopied %llu\n",
                 counts.instances, counts.devices, counts.modules, counts.matrixModules, counts.pipelines, counts.warmCaches,
                 counts.submits, counts.allocated, counts.copied);
    std::fclose(file);
  }
} atExit;

/// The real loader, which has the same name: only by its path is it another one.
bool openReal() {
  static void *library = [] {
    const char *chosen = order("LOADER");
    for (const char *path : {chosen, "/usr/lib/x86_64-linux-gnu/libvulkan.so.1", "/usr/lib64/libvulkan.so.1", "/usr/lib/libvulkan.so.1",
                             "/usr/local/lib/libvulkan.so.1"})
      if (void *found = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : nullptr)
        return found;
    return static_cast<void *>(nullptr);
  }();
  if (library && !realInstance)
    realInstance = reinterpret_cast<PFN_vkGetInstanceProcAddr>(dlsym(library, "vkGetInstanceProcAddr"));
  return realInstance;
}

VkInstance theInstance;
template <typename F> F real(const char *name) { return reinterpret_cast<F>(realInstance(theInstance, name)); }
template <typename F> F real(VkDevice device, const char *name) { return reinterpret_cast<F>(realDevice(device, name)); }

VkBaseOutStructure *findIn(void *chain, VkStructureType type) {
  for (auto *each = static_cast<VkBaseOutStructure *>(chain); each; each = each->pNext)
    if (each->sType == type)
      return each;
  return nullptr;
}

/// A feature of Vulkan, the capability that it allows, and where it is asked for.
struct Known {
  const char *name;
  uint32_t capability;
  VkStructureType structure;
  size_t offset;
};
#define TN_BASE(NAME, CAPABILITY)                                                                                      \
  {#NAME, CAPABILITY, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,                                                    \
   offsetof(VkPhysicalDeviceFeatures2, features) + offsetof(VkPhysicalDeviceFeatures, NAME)}
#define TN_V11(NAME, CAPABILITY)                                                                                       \
  {#NAME, CAPABILITY, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES, offsetof(VkPhysicalDeviceVulkan11Features, NAME)}
#define TN_V12(NAME, CAPABILITY)                                                                                       \
  {#NAME, CAPABILITY, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES, offsetof(VkPhysicalDeviceVulkan12Features, NAME)}
const Known known[] = {TN_BASE(shaderFloat64, 10), TN_BASE(shaderInt64, 11), TN_BASE(shaderInt16, 22),
                       TN_V11(storageBuffer16BitAccess, 4433), TN_V12(shaderFloat16, 9), TN_V12(shaderInt8, 39),
                       TN_V12(storageBuffer8BitAccess, 4448), TN_V12(vulkanMemoryModel, 5345), TN_V12(bufferDeviceAddress, 5347)};

VkBool32 *fieldOf(const Known &feature, void *chain) {
  VkBaseOutStructure *structure = findIn(chain, feature.structure);
  return structure ? reinterpret_cast<VkBool32 *>(reinterpret_cast<char *>(structure) + feature.offset) : nullptr;
}

//===----------------------------------------------------------------------===//
// Before there is a device
//===----------------------------------------------------------------------===//

VkResult VKAPI_CALL createInstance(const VkInstanceCreateInfo *info, const VkAllocationCallbacks *allocator, VkInstance *instance) {
  VkResult result = real<PFN_vkCreateInstance>("vkCreateInstance")(info, allocator, instance);
  if (result == VK_SUCCESS) {
    theInstance = *instance;
    ++counts.instances;
  }
  return result;
}

void VKAPI_CALL getFeatures(VkPhysicalDevice device, VkPhysicalDeviceFeatures2 *features) {
  real<PFN_vkGetPhysicalDeviceFeatures2>("vkGetPhysicalDeviceFeatures2")(device, features);
  for (const Known &each : known)
    if (VkBool32 *field = fieldOf(each, features); field && isHidden(each.name))
      *field = VK_FALSE;
  if (hasMatrices())
    if (auto *matrices = reinterpret_cast<MatrixFeatures *>(findIn(features, kMatrixFeatures)))
      matrices->isThere = VK_TRUE;
}

void VKAPI_CALL getProperties(VkPhysicalDevice device, VkPhysicalDeviceProperties2 *properties) {
  real<PFN_vkGetPhysicalDeviceProperties2>("vkGetPhysicalDeviceProperties2")(device, properties);
  if (const char *bytes = order("SHARED"))
    properties->properties.limits.maxComputeSharedMemorySize = static_cast<uint32_t>(std::atoi(bytes));
  if (auto *subgroups = reinterpret_cast<VkPhysicalDeviceSubgroupProperties *>(findIn(properties, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES)))
    if (isHidden("shuffles"))
      subgroups->supportedOperations &= ~static_cast<unsigned>(VK_SUBGROUP_FEATURE_SHUFFLE_BIT);
  if (!hasMatrices())
    return;
  if (auto *sizes = reinterpret_cast<VkPhysicalDeviceSubgroupSizeControlProperties *>(
          findIn(properties, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES))) {
    sizes->minSubgroupSize = sizes->maxSubgroupSize = kSubgroup;
    sizes->requiredSubgroupSizeStages |= VK_SHADER_STAGE_COMPUTE_BIT;
  }
}

VkResult VKAPI_CALL getExtensions(VkPhysicalDevice device, const char *layer, uint32_t *count, VkExtensionProperties *all) {
  uint32_t room = *count;
  VkResult result = real<PFN_vkEnumerateDeviceExtensionProperties>("vkEnumerateDeviceExtensionProperties")(device, layer, count, all);
  if (result != VK_SUCCESS || !hasMatrices())
    return result;
  if (all && *count < room) {
    std::strcpy(all[*count].extensionName, "VK_KHR_cooperative_matrix");
    all[*count].specVersion = 2;
  }
  ++*count;
  return result;
}

VkResult VKAPI_CALL getMatrices(VkPhysicalDevice, uint32_t *count, MatrixProperties *all) {
  if (all && *count)
    all[0] = {all[0].sType, all[0].pNext, 16, 16, 16, 0, 0, 1, 1, VK_FALSE, 3};
  *count = 1;
  return VK_SUCCESS;
}

/// What is asked for is remembered; what the real device does not know is taken out.
VkResult VKAPI_CALL createDevice(VkPhysicalDevice physical, const VkDeviceCreateInfo *given, const VkAllocationCallbacks *allocator, VkDevice *device) {
  VkDeviceCreateInfo info = *given;
  Device made;
  made.capabilities = {0, 1, 4466}; // Shader; Matrix, which it implies; and what is a property, not a feature
  auto subgroups = VkPhysicalDeviceSubgroupProperties();
  subgroups.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES;
  auto properties = VkPhysicalDeviceProperties2();
  properties.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2;
  properties.pNext = &subgroups;
  getProperties(physical, &properties);
  if (subgroups.supportedOperations & VK_SUBGROUP_FEATURE_BASIC_BIT)
    made.capabilities.insert(61);
  if (subgroups.supportedOperations & VK_SUBGROUP_FEATURE_SHUFFLE_BIT)
    made.capabilities.insert(65);
  for (const Known &each : known)
    if (VkBool32 *field = fieldOf(each, const_cast<void *>(info.pNext)); field && *field) {
      if (isHidden(each.name))
        return VK_ERROR_FEATURE_NOT_PRESENT;
      made.capabilities.insert(each.capability);
    }
  std::vector<const char *> extensions;
  bool hasExtension = false;
  for (uint32_t i = 0; i < info.enabledExtensionCount; ++i)
    if (std::strcmp(info.ppEnabledExtensionNames[i], "VK_KHR_cooperative_matrix") == 0)
      hasExtension = true;
    else
      extensions.push_back(info.ppEnabledExtensionNames[i]);
  auto *matrices = reinterpret_cast<MatrixFeatures *>(findIn(const_cast<void *>(info.pNext), kMatrixFeatures));
  if (hasExtension && (!hasMatrices() || !matrices || !matrices->isThere))
    return VK_ERROR_EXTENSION_NOT_PRESENT;
  if (hasExtension)
    made.capabilities.insert(kCooperativeMatrix);
  info.enabledExtensionCount = static_cast<uint32_t>(extensions.size());
  info.ppEnabledExtensionNames = extensions.data();
  VkBaseOutStructure *before = nullptr; // the one that points to it
  for (auto *each = static_cast<VkBaseOutStructure *>(const_cast<void *>(info.pNext)); matrices && each; each = each->pNext)
    if (each->pNext == reinterpret_cast<VkBaseOutStructure *>(matrices))
      before = each;
  if (before)
    before->pNext = reinterpret_cast<VkBaseOutStructure *>(matrices->pNext);
  VkResult result = real<PFN_vkCreateDevice>("vkCreateDevice")(physical, &info, allocator, device);
  if (before)
    before->pNext = reinterpret_cast<VkBaseOutStructure *>(matrices);
  if (result == VK_SUCCESS) {
    std::lock_guard<std::mutex> lock(mutex);
    devices[*device] = made;
    ++counts.devices;
  }
  return result;
}

//===----------------------------------------------------------------------===//
// Devices
//===----------------------------------------------------------------------===//

VkResult complain(const std::string &text) {
  std::fprintf(stderr, "emulated Vulkan: %s\n", text.c_str());
  return VK_ERROR_VALIDATION_FAILED_EXT;
}

void VKAPI_CALL getQueue(VkDevice device, uint32_t family, uint32_t index, VkQueue *queue) {
  real<PFN_vkGetDeviceQueue>(device, "vkGetDeviceQueue")(device, family, index, queue);
  std::lock_guard<std::mutex> lock(mutex);
  queues[*queue] = device;
}

VkResult VKAPI_CALL createShader(VkDevice device, const VkShaderModuleCreateInfo *given, const VkAllocationCallbacks *allocator, VkShaderModule *module) {
  VkShaderModuleCreateInfo info = *given;
  std::set<uint32_t> asked = capabilitiesOf(info.pCode, info.codeSize / 4);
  bool isMatrix = asked.count(kCooperativeMatrix);
  std::lock_guard<std::mutex> lock(mutex);
  for (uint32_t each : asked)
    if (!devices[device].capabilities.count(each))
      return complain("a module declares capability " + std::to_string(each) + ", which no feature of the device allows");
  Words words;
  if (isMatrix) {
    std::string error;
    words = withoutMatrices(info.pCode, info.codeSize / 4, error);
    if (!error.empty())
      return complain(error);
    if (const char *folder = order("DUMP"))
      if (FILE *file = std::fopen((std::string(folder) + "/" + std::to_string(counts.matrixModules) + ".spv").c_str(), "wb")) {
        std::fwrite(words.data(), 4, words.size(), file);
        std::fclose(file);
      }
    info.pCode = words.data();
    info.codeSize = words.size() * 4;
    ++counts.matrixModules;
  }
  ++counts.modules;
  VkResult result = real<PFN_vkCreateShaderModule>(device, "vkCreateShaderModule")(device, &info, allocator, module);
  if (result == VK_SUCCESS)
    shaders[*module] = {isMatrix};
  return result;
}

VkResult VKAPI_CALL createPipelines(VkDevice device, VkPipelineCache cache, uint32_t count, const VkComputePipelineCreateInfo *given,
                                    const VkAllocationCallbacks *allocator, VkPipeline *made) {
  std::vector<VkComputePipelineCreateInfo> infos(given, given + count);
  {
    std::lock_guard<std::mutex> lock(mutex);
    for (auto &info : infos) {
      auto *size = reinterpret_cast<const VkPipelineShaderStageRequiredSubgroupSizeCreateInfo *>(
          findIn(const_cast<void *>(info.stage.pNext), VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO));
      bool isFull = info.stage.flags & VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT;
      if (!shaders[info.stage.module].hasMatrices)
        continue;
      if (!size || size->requiredSubgroupSize != kSubgroup || !isFull)
        return complain("a kernel with matrices does not ask for full subgroups of 32");
      info.stage.pNext = nullptr; // the real device has others
      info.stage.flags = 0;
    }
    counts.pipelines += count;
  }
  return real<PFN_vkCreateComputePipelines>(device, "vkCreateComputePipelines")(device, cache, count, infos.data(), allocator, made);
}

VkResult VKAPI_CALL createCache(VkDevice device, const VkPipelineCacheCreateInfo *info, const VkAllocationCallbacks *allocator, VkPipelineCache *cache) {
  std::lock_guard<std::mutex> lock(mutex);
  counts.warmCaches += info->initialDataSize > 0;
  return real<PFN_vkCreatePipelineCache>(device, "vkCreatePipelineCache")(device, info, allocator, cache);
}

VkResult VKAPI_CALL allocate(VkDevice device, const VkMemoryAllocateInfo *info, const VkAllocationCallbacks *allocator, VkDeviceMemory *memory) {
  std::lock_guard<std::mutex> lock(mutex);
  if (const char *most = order("MEMORY"); most && counts.allocated + info->allocationSize > std::strtoull(most, nullptr, 10))
    return VK_ERROR_OUT_OF_DEVICE_MEMORY;
  VkResult result = real<PFN_vkAllocateMemory>(device, "vkAllocateMemory")(device, info, allocator, memory);
  if (result == VK_SUCCESS)
    counts.allocated += info->allocationSize;
  return result;
}

void VKAPI_CALL copy(VkCommandBuffer commands, VkBuffer from, VkBuffer to, uint32_t count, const VkBufferCopy *regions) {
  VkDevice device;
  {
    std::lock_guard<std::mutex> lock(mutex);
    for (uint32_t i = 0; i < count; ++i)
      counts.copied += regions[i].size;
    device = devices.begin()->first;
  }
  real<PFN_vkCmdCopyBuffer>(device, "vkCmdCopyBuffer")(commands, from, to, count, regions);
}

VkResult VKAPI_CALL submit(VkQueue queue, uint32_t count, const VkSubmitInfo *infos, VkFence fence) {
  VkDevice device;
  {
    std::lock_guard<std::mutex> lock(mutex);
    device = queues[queue];
    ++counts.submits;
    if (const char *which = order("LOSE"); which && counts.submits == static_cast<unsigned>(std::atoi(which)))
      devices[device].isLost = true;
    if (devices[device].isLost)
      return VK_ERROR_DEVICE_LOST;
  }
  return real<PFN_vkQueueSubmit>(device, "vkQueueSubmit")(queue, count, infos, fence);
}

PFN_vkVoidFunction VKAPI_CALL getDeviceFunction(VkDevice device, const char *name) {
  static const std::map<std::string, PFN_vkVoidFunction> own = {
      {"vkGetDeviceQueue", reinterpret_cast<PFN_vkVoidFunction>(getQueue)},
      {"vkCreateShaderModule", reinterpret_cast<PFN_vkVoidFunction>(createShader)},
      {"vkCreateComputePipelines", reinterpret_cast<PFN_vkVoidFunction>(createPipelines)},
      {"vkCreatePipelineCache", reinterpret_cast<PFN_vkVoidFunction>(createCache)},
      {"vkAllocateMemory", reinterpret_cast<PFN_vkVoidFunction>(allocate)},
      {"vkCmdCopyBuffer", reinterpret_cast<PFN_vkVoidFunction>(copy)},
      {"vkQueueSubmit", reinterpret_cast<PFN_vkVoidFunction>(submit)}};
  auto found = own.find(name);
  return found == own.end() ? realDevice(device, name) : found->second;
}
} // namespace

extern "C" __attribute__((visibility("default"))) PFN_vkVoidFunction VKAPI_CALL vkGetInstanceProcAddr(VkInstance instance, const char *name) {
  static const std::map<std::string, PFN_vkVoidFunction> own = {
      {"vkCreateInstance", reinterpret_cast<PFN_vkVoidFunction>(createInstance)},
      {"vkGetPhysicalDeviceFeatures2", reinterpret_cast<PFN_vkVoidFunction>(getFeatures)},
      {"vkGetPhysicalDeviceProperties2", reinterpret_cast<PFN_vkVoidFunction>(getProperties)},
      {"vkEnumerateDeviceExtensionProperties", reinterpret_cast<PFN_vkVoidFunction>(getExtensions)},
      {"vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR", reinterpret_cast<PFN_vkVoidFunction>(getMatrices)},
      {"vkCreateDevice", reinterpret_cast<PFN_vkVoidFunction>(createDevice)},
      {"vkGetDeviceProcAddr", reinterpret_cast<PFN_vkVoidFunction>(getDeviceFunction)}};
  if (!openReal())
    return nullptr;
  if (instance && !realDevice)
    realDevice = reinterpret_cast<PFN_vkGetDeviceProcAddr>(realInstance(instance, "vkGetDeviceProcAddr"));
  auto found = own.find(name);
  return found == own.end() ? realInstance(instance, name) : found->second;
}
