#include "loader.h"

#include <cstdlib>
#include <dlfcn.h>

namespace tenon::rt::vulkan {

const char *nameOf(VkResult result) {
#define TN_VK_RESULT(NAME)                                                                                             \
  case NAME:                                                                                                           \
    return #NAME;
  switch (result) {
    TN_VK_RESULT(VK_NOT_READY)
    TN_VK_RESULT(VK_TIMEOUT)
    TN_VK_RESULT(VK_INCOMPLETE)
    TN_VK_RESULT(VK_ERROR_OUT_OF_HOST_MEMORY)
    TN_VK_RESULT(VK_ERROR_OUT_OF_DEVICE_MEMORY)
    TN_VK_RESULT(VK_ERROR_INITIALIZATION_FAILED)
    TN_VK_RESULT(VK_ERROR_DEVICE_LOST)
    TN_VK_RESULT(VK_ERROR_MEMORY_MAP_FAILED)
    TN_VK_RESULT(VK_ERROR_LAYER_NOT_PRESENT)
    TN_VK_RESULT(VK_ERROR_EXTENSION_NOT_PRESENT)
    TN_VK_RESULT(VK_ERROR_FEATURE_NOT_PRESENT)
    TN_VK_RESULT(VK_ERROR_INCOMPATIBLE_DRIVER)
    TN_VK_RESULT(VK_ERROR_TOO_MANY_OBJECTS)
    TN_VK_RESULT(VK_ERROR_FRAGMENTED_POOL)
    TN_VK_RESULT(VK_ERROR_FRAGMENTATION)
    TN_VK_RESULT(VK_ERROR_OUT_OF_POOL_MEMORY)
    TN_VK_RESULT(VK_ERROR_INVALID_EXTERNAL_HANDLE)
    TN_VK_RESULT(VK_ERROR_INVALID_OPAQUE_CAPTURE_ADDRESS)
    TN_VK_RESULT(VK_ERROR_VALIDATION_FAILED_EXT)
    TN_VK_RESULT(VK_ERROR_INVALID_SHADER_NV)
    TN_VK_RESULT(VK_PIPELINE_COMPILE_REQUIRED)
  default:
    return "an unknown error";
  }
}

tn_status_t check(VkResult result, const char *what, tn_error_t *error) {
  if (result == VK_SUCCESS)
    return TN_OK;
  bool isMemory = result == VK_ERROR_OUT_OF_HOST_MEMORY || result == VK_ERROR_OUT_OF_DEVICE_MEMORY;
  return TN_FAIL(error, isMemory ? TN_NO_MEMORY : TN_INTERNAL, "Vulkan cannot %s: %s (%d)", what, nameOf(result),
                 static_cast<int>(result));
}

//===----------------------------------------------------------------------===//
// The instance
//===----------------------------------------------------------------------===//

static void closeLoader(Loader &l) {
  if (l.instance && l.DestroyInstance)
    l.DestroyInstance(l.instance, nullptr);
  if (l.library)
    dlclose(l.library);
  l = {};
}

static void say(TextBuffer *why, const char *what) {
  if (why)
    why->add("%s", what);
}

static bool openLoader(Loader &l, TextBuffer *why) {
  l.library = dlopen("libvulkan.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!l.library) {
    say(why, "Vulkan (libvulkan.so.1 is not installed)");
    return false;
  }
  l.getInstanceProcAddr = reinterpret_cast<PFN_vkGetInstanceProcAddr>(dlsym(l.library, "vkGetInstanceProcAddr"));
  bool isGood = l.getInstanceProcAddr != nullptr;
#define TN_VK_LOAD(NAME)                                                                                               \
  l.NAME = isGood ? reinterpret_cast<PFN_vk##NAME>(l.getInstanceProcAddr(l.instance, "vk" #NAME)) : nullptr;           \
  isGood &= l.NAME != nullptr;
  TN_VK_GLOBAL(TN_VK_LOAD)
  uint32_t version = 0;
  if (!isGood || l.EnumerateInstanceVersion(&version) != VK_SUCCESS || version < VK_API_VERSION_1_2) {
    say(why, "Vulkan 1.2 (its loader is older)");
    return false;
  }
  VkApplicationInfo application = {};
  application.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO;
  application.pEngineName = "tenon";
  application.apiVersion = VK_API_VERSION_1_2;
  VkInstanceCreateInfo info = {};
  info.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO;
  info.pApplicationInfo = &application;
  VkResult result = l.CreateInstance(&info, nullptr, &l.instance);
  if (result != VK_SUCCESS) {
    l.instance = nullptr;
    if (why)
      why->add("a driver of Vulkan (vkCreateInstance: %s (%d))", nameOf(result), static_cast<int>(result));
    return false;
  }
  TN_VK_INSTANCE(TN_VK_LOAD)
  if (!isGood)
    say(why, "Vulkan 1.2 (its loader lacks functions)");
  return isGood;
}

const Loader *findLoader(TextBuffer *why) {
  static std::atomic<uint32_t> lock;
  static Loader loader;
  static bool isOpen;
  SpinLock held(lock);
  if (!isOpen) {
    isOpen = openLoader(loader, why);
    if (!isOpen)
      closeLoader(loader);
  }
  return isOpen ? &loader : nullptr;
}

//===----------------------------------------------------------------------===//
// What devices have
//===----------------------------------------------------------------------===//

// VK_KHR_cooperative_matrix is younger than the headers that we build with.
static constexpr auto kMatrixFeatures = static_cast<VkStructureType>(1000506000), kMatrixProperties = static_cast<VkStructureType>(1000506001);
static constexpr const char *kMatrixExtension = "VK_KHR_cooperative_matrix", *kSizesExtension = "VK_EXT_subgroup_size_control";

namespace {
struct MatrixProperties {
  VkStructureType sType;
  void *pNext;
  uint32_t m, n, k, a, b, c, result; ///< types: 0 is f16, 1 is f32
  VkBool32 saturates;
  uint32_t scope; ///< 3 is a subgroup
};
using GetMatrixProperties = VkResult(VKAPI_PTR *)(VkPhysicalDevice, uint32_t *, MatrixProperties *);
} // namespace

template <typename T> static T structure(VkStructureType type, void *next) {
  T result;
  memset(static_cast<void *>(&result), 0, sizeof(result));
  result.sType = type;
  result.pNext = next;
  return result;
}

static bool hasExtensions(const Loader &l, VkPhysicalDevice device) {
  uint32_t count = 0;
  if (l.EnumerateDeviceExtensionProperties(device, nullptr, &count, nullptr) != VK_SUCCESS || count == 0)
    return false;
  auto *all = static_cast<VkExtensionProperties *>(calloc(count, sizeof(VkExtensionProperties)));
  unsigned found = 0;
  if (all && l.EnumerateDeviceExtensionProperties(device, nullptr, &count, all) == VK_SUCCESS)
    for (uint32_t i = 0; i < count; ++i)
      found += strcmp(all[i].extensionName, kMatrixExtension) == 0 || strcmp(all[i].extensionName, kSizesExtension) == 0;
  free(all);
  return found == 2;
}

/// Products of 16 x 16 x 16 half floats, summed in f32 by subgroups of a size that kernels may ask for.
static bool hasMatrices(const Loader &l, VkPhysicalDevice device) {
  if (!hasExtensions(l, device))
    return false;
  auto get = reinterpret_cast<GetMatrixProperties>(
      l.getInstanceProcAddr(l.instance, "vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR"));
  struct {
    VkStructureType sType;
    void *pNext;
    VkBool32 isThere, isRobust;
  } matrices = {kMatrixFeatures, nullptr, 0, 0};
  auto control = structure<VkPhysicalDeviceSubgroupSizeControlFeatures>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES, &matrices);
  auto features = structure<VkPhysicalDeviceFeatures2>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, &control);
  l.GetPhysicalDeviceFeatures2(device, &features);
  auto sizes = structure<VkPhysicalDeviceSubgroupSizeControlProperties>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES, nullptr);
  auto properties = structure<VkPhysicalDeviceProperties2>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, &sizes);
  l.GetPhysicalDeviceProperties2(device, &properties);
  if (!get || !matrices.isThere || !control.subgroupSizeControl || !control.computeFullSubgroups ||
      !(sizes.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT) || sizes.minSubgroupSize > kMatrixSubgroup ||
      sizes.maxSubgroupSize < kMatrixSubgroup)
    return false;
  uint32_t count = 0;
  if (get(device, &count, nullptr) != VK_SUCCESS || count == 0)
    return false;
  auto *all = static_cast<MatrixProperties *>(calloc(count, sizeof(MatrixProperties)));
  for (uint32_t i = 0; all && i < count; ++i)
    all[i].sType = kMatrixProperties;
  bool isFound = false;
  if (all && get(device, &count, all) == VK_SUCCESS)
    for (uint32_t i = 0; i < count; ++i)
      isFound |= all[i].m == 16 && all[i].n == 16 && all[i].k == 16 && all[i].a == 0 && all[i].b == 0 && all[i].c == 1 &&
                 all[i].result == 1 && all[i].scope == 3;
  free(all);
  return isFound;
}

static uint32_t findFamily(const Loader &l, VkPhysicalDevice device) {
  VkQueueFamilyProperties families[16];
  uint32_t count = 16;
  l.GetPhysicalDeviceQueueFamilyProperties(device, &count, families);
  for (uint32_t i = 0; i < count; ++i)
    if (families[i].queueFlags & VK_QUEUE_COMPUTE_BIT)
      return i;
  return UINT32_MAX;
}

static void describe(const Loader &l, VkPhysicalDevice device, Physical &p) {
  auto v12 = structure<VkPhysicalDeviceVulkan12Features>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES, nullptr);
  auto v11 = structure<VkPhysicalDeviceVulkan11Features>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES, &v12);
  auto base = structure<VkPhysicalDeviceFeatures2>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, &v11);
  l.GetPhysicalDeviceFeatures2(device, &base);
  auto limits = structure<VkPhysicalDeviceMaintenance3Properties>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES, nullptr);
  auto floats = structure<VkPhysicalDeviceFloatControlsProperties>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FLOAT_CONTROLS_PROPERTIES, &limits);
  auto subgroups = structure<VkPhysicalDeviceSubgroupProperties>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES, &floats);
  auto properties = structure<VkPhysicalDeviceProperties2>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, &subgroups);
  l.GetPhysicalDeviceProperties2(device, &properties);
  p.handle = device;
  p.properties = properties.properties;
  p.family = findFamily(l, device);
  p.largestAllocation = limits.maxMemoryAllocationSize;
  Needs &has = p.has;
  has = {};
  bool inKernels = subgroups.supportedStages & VK_SHADER_STAGE_COMPUTE_BIT;
  has.features.add(Feature::Float16, v12.shaderFloat16);
  has.features.add(Feature::Float64, base.features.shaderFloat64);
  has.features.add(Feature::Int64, base.features.shaderInt64);
  has.features.add(Feature::Int16, base.features.shaderInt16);
  has.features.add(Feature::Int8, v12.shaderInt8);
  has.features.add(Feature::Subgroups, inKernels && (subgroups.supportedOperations & VK_SUBGROUP_FEATURE_BASIC_BIT));
  has.features.add(Feature::Shuffles, inKernels && (subgroups.supportedOperations & VK_SUBGROUP_FEATURE_SHUFFLE_BIT));
  has.features.add(Feature::Storage16, v11.storageBuffer16BitAccess);
  has.features.add(Feature::Storage8, v12.storageBuffer8BitAccess);
  // Where there is f64, for both.
  has.features.add(Feature::FloatControls, floats.shaderSignedZeroInfNanPreserveFloat32 &&
                                               (floats.shaderSignedZeroInfNanPreserveFloat64 || !base.features.shaderFloat64));
  has.features.add(Feature::MemoryModel, v12.vulkanMemoryModel);
  has.features.add(Feature::Addresses, v12.bufferDeviceAddress);
  has.features.add(Feature::Matrices, hasMatrices(l, device));
  const VkPhysicalDeviceLimits &most = p.properties.limits;
  has.threads = most.maxComputeWorkGroupInvocations < most.maxComputeWorkGroupSize[0] ? most.maxComputeWorkGroupInvocations
                                                                                      : most.maxComputeWorkGroupSize[0];
  has.sharedBytes = most.maxComputeSharedMemorySize;
}

/// What all kernels are written with.
static bool isUsable(const Physical &p) {
  return p.family != UINT32_MAX && p.has.features.has(Feature::Addresses) && p.has.features.has(Feature::Int64);
}

static unsigned rankOf(VkPhysicalDeviceType type) {
  switch (type) {
  case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU: return 0;
  case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU: return 1;
  case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU: return 2;
  case VK_PHYSICAL_DEVICE_TYPE_CPU: return 4;
  default: return 3;
  }
}

bool findPhysical(const Loader &l, uint32_t index, Physical &found, TextBuffer *why) {
  VkPhysicalDevice devices[16];
  uint32_t count = 16, usable = 0;
  VkResult result = l.EnumeratePhysicalDevices(l.instance, &count, devices);
  if (result != VK_SUCCESS && result != VK_INCOMPLETE) {
    if (why)
      why->add("devices of Vulkan (vkEnumeratePhysicalDevices: %s (%d))", nameOf(result), static_cast<int>(result));
    return false;
  }
  for (unsigned rank = 0; rank <= 4; ++rank)
    for (uint32_t i = 0; i < count; ++i) {
      l.GetPhysicalDeviceProperties(devices[i], &found.properties);
      if (rankOf(found.properties.deviceType) != rank || found.properties.apiVersion < VK_API_VERSION_1_2)
        continue;
      describe(l, devices[i], found);
      if (isUsable(found) && usable++ == index)
        return true;
    }
  if (why && usable)
    why->add("a Vulkan device number %u (there are %u)", index, usable);
  else if (why)
    why->add("a device of Vulkan 1.2 with shaderInt64 and bufferDeviceAddress (there are %u without)", count);
  return false;
}

DeviceRequest::DeviceRequest(const FeatureSet &wanted) : extensionCount(0) {
  v12 = structure<VkPhysicalDeviceVulkan12Features>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES, nullptr);
  v11 = structure<VkPhysicalDeviceVulkan11Features>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES, &v12);
  base = structure<VkPhysicalDeviceFeatures2>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, &v11);
  base.features.shaderInt64 = VK_TRUE;
  v12.bufferDeviceAddress = VK_TRUE;
  v12.shaderInt8 = wanted.has(Feature::Int8);
  v12.shaderFloat16 = wanted.has(Feature::Float16);
  v12.storageBuffer8BitAccess = wanted.has(Feature::Storage8);
  v12.vulkanMemoryModel = wanted.has(Feature::MemoryModel);
  v11.storageBuffer16BitAccess = wanted.has(Feature::Storage16);
  base.features.shaderInt16 = wanted.has(Feature::Int16);
  base.features.shaderFloat64 = wanted.has(Feature::Float64);
  if (!wanted.has(Feature::Matrices))
    return;
  matrices = {kMatrixFeatures, nullptr, VK_TRUE, VK_FALSE};
  sizes = structure<VkPhysicalDeviceSubgroupSizeControlFeatures>(VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES, &matrices);
  sizes.subgroupSizeControl = sizes.computeFullSubgroups = VK_TRUE;
  v12.pNext = &sizes;
  extensions[extensionCount++] = kMatrixExtension;
  extensions[extensionCount++] = kSizesExtension;
}

} // namespace tenon::rt::vulkan
