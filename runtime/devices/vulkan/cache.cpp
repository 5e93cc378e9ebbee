#include "loader.h"
#include "cache.h"
#include "../../src/hash.h"

#include <cstdio>
#include <cstdlib>
#include <sys/stat.h>
#include <unistd.h>

namespace tenon::rt::vulkan {

static constexpr size_t kMostBytes = size_t(1) << 30;

bool isFor(const VkPhysicalDeviceProperties &device, const void *data, size_t bytes) {
  VkPipelineCacheHeaderVersionOne header;
  if (bytes < sizeof(header))
    return false;
  memcpy(&header, data, sizeof(header));
  return header.headerSize >= sizeof(header) && header.headerSize <= bytes &&
         header.headerVersion == VK_PIPELINE_CACHE_HEADER_VERSION_ONE && header.vendorID == device.vendorID &&
         header.deviceID == device.deviceID && memcmp(header.pipelineCacheUUID, device.pipelineCacheUUID, VK_UUID_SIZE) == 0;
}

//===----------------------------------------------------------------------===//
// The process's
//===----------------------------------------------------------------------===//

namespace {
struct Blob {
  void *data; ///< begins with the header that says what it is for
  size_t bytes;
};
} // namespace

static std::atomic<uint32_t> lock;
static Blob blobs[8];

static Blob *findBlob(const VkPhysicalDeviceProperties &device) {
  for (Blob &blob : blobs)
    if (blob.data && isFor(device, blob.data, blob.bytes))
      return &blob;
  return nullptr;
}

static void *copyOf(const void *data, size_t bytes) {
  void *copy = malloc(bytes);
  return copy ? memcpy(copy, data, bytes) : nullptr;
}

static void keep(const VkPhysicalDeviceProperties &device, const void *data, size_t bytes) {
  void *copy = copyOf(data, bytes);
  if (!copy)
    return;
  SpinLock held(lock);
  Blob *place = findBlob(device);
  for (Blob &blob : blobs)
    if (!place && !blob.data)
      place = &blob;
  if (!place) { // of more kinds of devices than one machine has
    free(copy);
    return;
  }
  free(place->data);
  *place = {copy, bytes};
}

//===----------------------------------------------------------------------===//
// Files: 8 bytes of XXH3, then the driver's
//===----------------------------------------------------------------------===//

static bool pathOf(const VkPhysicalDeviceProperties &device, const char *folder, char *path, size_t room) {
  TextBuffer text(path, room);
  text.add("%s/vulkan-%08x-%08x-", folder, device.vendorID, device.deviceID);
  for (uint8_t byte : device.pipelineCacheUUID)
    text.add("%02x", byte);
  text.add(".cache");
  return text.used + 1 < room;
}

static void *readFile(const VkPhysicalDeviceProperties &device, const char *folder, size_t &bytes) {
  char path[1024];
  if (!pathOf(device, folder, path, sizeof(path)))
    return nullptr;
  FILE *file = fopen(path, "rb");
  if (!file)
    return nullptr;
  struct stat info;
  uint64_t hash = 0;
  uint8_t *data = nullptr;
  if (fstat(fileno(file), &info) == 0 && info.st_size > static_cast<off_t>(sizeof(hash)) &&
      static_cast<size_t>(info.st_size) < kMostBytes && fread(&hash, sizeof(hash), 1, file) == 1) {
    bytes = static_cast<size_t>(info.st_size) - sizeof(hash);
    data = static_cast<uint8_t *>(malloc(bytes));
    // What is damaged, or of another driver, is as good as nothing.
    if (data && (fread(data, 1, bytes, file) != bytes || hash64(data, bytes) != hash || !isFor(device, data, bytes))) {
      free(data);
      data = nullptr;
    }
  }
  fclose(file);
  return data;
}

static void writeFile(const VkPhysicalDeviceProperties &device, const char *folder, const void *data, size_t bytes) {
  static std::atomic<uint32_t> count;
  char path[1024], fresh[1024 + 40];
  if (!pathOf(device, folder, path, sizeof(path)))
    return;
  (void)mkdir(folder, 0777);
  TextBuffer(fresh, sizeof(fresh)).add("%s.%ld.%u", path, static_cast<long>(getpid()), count.fetch_add(1));
  FILE *file = fopen(fresh, "wb");
  if (!file)
    return;
  uint64_t hash = hash64(data, bytes);
  bool isGood = fwrite(&hash, sizeof(hash), 1, file) == 1 && fwrite(data, 1, bytes, file) == bytes;
  isGood &= fclose(file) == 0;
  if (!isGood || rename(fresh, path) != 0) // readers see all of it, or what was there
    (void)unlink(fresh);
}

//===----------------------------------------------------------------------===//
// Both
//===----------------------------------------------------------------------===//

void *recall(const VkPhysicalDeviceProperties &device, const char *folder, size_t &bytes) {
  {
    SpinLock held(lock);
    if (Blob *blob = findBlob(device)) {
      bytes = blob->bytes;
      return copyOf(blob->data, blob->bytes);
    }
  }
  return folder ? readFile(device, folder, bytes) : nullptr;
}

void remember(const VkPhysicalDeviceProperties &device, const char *folder, const void *data, size_t bytes) {
  if (!isFor(device, data, bytes))
    return;
  keep(device, data, bytes);
  if (folder)
    writeFile(device, folder, data, bytes);
}

} // namespace tenon::rt::vulkan
