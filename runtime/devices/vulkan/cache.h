// Kernels as the driver compiled them, kept for the process and, when the user names a folder, between processes.
#ifndef TENON_RUNTIME_DEVICES_VULKAN_CACHE_H
#define TENON_RUNTIME_DEVICES_VULKAN_CACHE_H

#include <vulkan/vulkan_core.h>

namespace tenon::rt::vulkan {

/// What a driver gave earlier for a device like this; null: nothing. The caller frees it with `free`.
void *recall(const VkPhysicalDeviceProperties &device, const char *folder, size_t &bytes);
/// Keeps it, in `folder` too unless that is null. A folder that cannot be written to is as one that nobody named.
void remember(const VkPhysicalDeviceProperties &device, const char *folder, const void *data, size_t bytes);
/// Whether these are bytes that a driver for this device and of this version gave.
bool isFor(const VkPhysicalDeviceProperties &device, const void *data, size_t bytes);

} // namespace tenon::rt::vulkan
#endif
