// What SPIR-V modules ask of a device, as their own words say it, and which of it a device lacks. Nothing here calls Vulkan.
#ifndef TENON_RUNTIME_DEVICES_VULKAN_NEEDS_H
#define TENON_RUNTIME_DEVICES_VULKAN_NEEDS_H

#include "../../src/error.h"

namespace tenon::rt::vulkan {

/// Each is a capability of SPIR-V: X(name, number, what Vulkan calls the feature).
#define TN_VULKAN_FEATURES(X)                                                                                          \
  X(Float16, 9, "shaderFloat16")                                                                                       \
  X(Float64, 10, "shaderFloat64")                                                                                      \
  X(Int64, 11, "shaderInt64")                                                                                          \
  X(Int16, 22, "shaderInt16")                                                                                          \
  X(Int8, 39, "shaderInt8")                                                                                            \
  X(Subgroups, 61, "subgroups in compute shaders")                                                                     \
  X(Shuffles, 65, "subgroup shuffles")                                                                                 \
  X(Storage16, 4433, "storageBuffer16BitAccess")                                                                       \
  X(Storage8, 4448, "storageBuffer8BitAccess")                                                                         \
  X(FloatControls, 4466, "shaderSignedZeroInfNanPreserveFloat32")                                                      \
  X(MemoryModel, 5345, "vulkanMemoryModel")                                                                            \
  X(Addresses, 5347, "bufferDeviceAddress")                                                                            \
  X(Matrices, 6022, "cooperative matrices of 16 x 16 x 16 half floats in subgroups of 32 (VK_KHR_cooperative_matrix, "  \
                    "VK_EXT_subgroup_size_control)")

enum class Feature : uint32_t {
#define TN_VULKAN_FEATURE(NAME, NUMBER, TEXT) NAME,
  TN_VULKAN_FEATURES(TN_VULKAN_FEATURE)
#undef TN_VULKAN_FEATURE
  Count
};

/// A set of features.
struct FeatureSet {
  uint32_t bits = 0;
  bool has(Feature feature) const { return bits >> static_cast<uint32_t>(feature) & 1; }
  void add(Feature feature, bool isThere = true) { bits |= static_cast<uint32_t>(isThere) << static_cast<uint32_t>(feature); }
};

/// Features, and the largest workgroup and shared memory of any kernel; of a device: what it has of them.
struct Needs {
  FeatureSet features;
  uint32_t unknown = 0; ///< a capability that is not in the list; 0: none
  uint64_t threads = 0, sharedBytes = 0;
};

/// Adds what a module asks for. False: these are not words of SPIR-V that a module of kernels begins with.
bool addNeeds(const uint32_t *words, uint64_t count, Needs &needs);

/// Writes what `has` lacks of `needs`, by the names of Vulkan, separated by commas; false: nothing.
bool listMissing(const Needs &needs, const Needs &has, TextBuffer *text);

} // namespace tenon::rt::vulkan
#endif
