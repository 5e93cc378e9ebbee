// Vulkan's loader, its one instance in the process, and the devices that it finds.
#ifndef TENON_RUNTIME_DEVICES_VULKAN_LOADER_H
#define TENON_RUNTIME_DEVICES_VULKAN_LOADER_H

#define VK_NO_PROTOTYPES
#include "needs.h"

#include <vulkan/vulkan.h>

#include <atomic>

namespace tenon::rt::vulkan {

#define TN_VK_GLOBAL(X) X(CreateInstance) X(EnumerateInstanceVersion)
#define TN_VK_INSTANCE(X)                                                                                              \
  X(DestroyInstance) X(EnumeratePhysicalDevices) X(GetPhysicalDeviceProperties) X(GetPhysicalDeviceProperties2)       \
  X(GetPhysicalDeviceFeatures2) X(EnumerateDeviceExtensionProperties) X(GetPhysicalDeviceMemoryProperties)             \
  X(GetPhysicalDeviceQueueFamilyProperties) X(CreateDevice) X(GetDeviceProcAddr)

#define TN_VK_MEMBER(NAME) PFN_vk##NAME NAME;

/// What is asked for before there is a device.
struct Loader {
  void *library;
  PFN_vkGetInstanceProcAddr getInstanceProcAddr;
  TN_VK_GLOBAL(TN_VK_MEMBER)
  TN_VK_INSTANCE(TN_VK_MEMBER)
  VkInstance instance;
};

/// A lock that is held for a short time.
class SpinLock {
public:
  explicit SpinLock(std::atomic<uint32_t> &word) : word(word) {
    while (word.exchange(1, std::memory_order_acquire)) {
    }
  }
  ~SpinLock() { word.store(0, std::memory_order_release); }
  SpinLock(const SpinLock &) = delete;

private:
  std::atomic<uint32_t> &word;
};

/// "VK_ERROR_DEVICE_LOST"; "an unknown error".
const char *nameOf(VkResult result);
/// TN_OK, or what the driver said: "Vulkan cannot `what`: …".
tn_status_t check(VkResult result, const char *what, tn_error_t *error);

/// The process's instance, which is made when it is first asked for and stays; null: there is none, and why. A later call
/// tries again.
const Loader *findLoader(TextBuffer *why);

/// A device and what it has.
struct Physical {
  VkPhysicalDevice handle;
  VkPhysicalDeviceProperties properties;
  uint32_t family; ///< of queues that compute
  uint64_t largestAllocation;
  Needs has;
};

/// The `index`-th device that has what all kernels need; real GPUs stand before others. False: there is none, and why.
bool findPhysical(const Loader &l, uint32_t index, Physical &found, TextBuffer *why);

/// Features and extensions to open a device with; it must stay where it is.
struct DeviceRequest {
  DeviceRequest(const FeatureSet &wanted);
  DeviceRequest(const DeviceRequest &) = delete;
  VkPhysicalDeviceFeatures2 base;
  const char *extensions[2];
  uint32_t extensionCount;

private:
  VkPhysicalDeviceVulkan11Features v11;
  VkPhysicalDeviceVulkan12Features v12;
  VkPhysicalDeviceSubgroupSizeControlFeatures sizes;
  struct {
    VkStructureType sType;
    void *pNext;
    VkBool32 cooperativeMatrix, cooperativeMatrixRobustBufferAccess;
  } matrices;
};

/// Lanes of a subgroup in kernels with cooperative matrices.
constexpr uint32_t kMatrixSubgroup = 32;

} // namespace tenon::rt::vulkan
#endif
