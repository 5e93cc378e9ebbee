// See artifact.h.
#include "artifact.h"

#include "tenon/format.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <tenon_generated.h>
#define XXH_INLINE_ALL
#include <unistd.h>
#include <xxhash.h>

namespace artifact {

namespace file = tenon::file;
using flatbuffers::FlatBufferBuilder;
using flatbuffers::Offset;

Bytes::Bytes(const std::vector<uint8_t> &from) : data(nullptr), size(from.size()) {
  void *memory = nullptr;
  if (posix_memalign(&memory, 64, size ? size : 1) != 0)
    abort();
  data = static_cast<uint8_t *>(memory);
  if (size)
    memcpy(data, from.data(), size);
}
Bytes::~Bytes() { free(data); }

std::vector<uint8_t> readFile(const std::string &path) {
  std::vector<uint8_t> bytes;
  FILE *in = fopen(path.c_str(), "rb");
  if (!in) {
    fprintf(stderr, "%s: cannot be read\n", path.c_str());
    abort();
  }
  uint8_t buffer[65536];
  for (size_t count; (count = fread(buffer, 1, sizeof(buffer), in)) > 0;)
    bytes.insert(bytes.end(), buffer, buffer + count);
  fclose(in);
  return bytes;
}

std::string temporaryFile(const std::vector<uint8_t> &bytes) {
  static int number = 0;
  std::string path = std::string(TEST_IMAGE_DIR) + "/test-" + std::to_string(getpid()) + "-" +
                     std::to_string(number++) + ".tenon";
  FILE *out = fopen(path.c_str(), "wb");
  if (!out || fwrite(bytes.data(), 1, bytes.size(), out) != bytes.size())
    abort();
  fclose(out);
  return path;
}

float weightAt(int k, int j) { return static_cast<float>((k * 7 + j * 3) % 11 - 5) * 0.25f; }

static const char *hostArch() {
#if defined(__x86_64__)
  return "x86_64";
#else
  return "aarch64";
#endif
}

namespace {
/// Makes the header; sizes of the segments are known, so their place is fixed after the header's size is.
class HeaderBuilder {
public:
  HeaderBuilder(const Options &options) : options(options) {}
  std::vector<uint8_t> build(const std::vector<uint8_t> &image, const std::vector<uint8_t> &constants,
                             uint64_t firstSegment);

private:
  Offset<file::Dim> dim(std::vector<int64_t> code) { return file::CreateDim(fbb, fbb.CreateVector(code)); }
  Offset<file::Dim> fixed(int64_t value) { return dim({TN_DIM_CONST, value}); }
  Offset<file::Dim> symbolDim(int64_t index) { return dim({TN_DIM_SYMBOL, index}); }
  Offset<file::Tensor> tensor(const char *name, file::DType dtype, const std::vector<Offset<file::Dim>> &dims,
                              bool optional = false) {
    return file::CreateTensorDirect(fbb, name, dtype, &dims, file::TensorRole::User, optional);
  }
  Offset<file::Symbol> symbol(const char *name, int64_t min, int64_t max, int64_t multiple = 1,
                              Offset<file::Dim> bound = 0) {
    return file::CreateSymbolDirect(fbb, name, min, max, multiple, bound);
  }
  Offset<file::Entry> entry(const char *name, std::vector<Offset<file::Symbol>> symbols,
                            std::vector<Offset<file::Tensor>> inputs, std::vector<Offset<file::Tensor>> outputs,
                            std::vector<uint32_t> written = {}) {
    return file::CreateEntryDirect(fbb, name, &symbols, &inputs, &outputs, nullptr, &written);
  }
  std::vector<Offset<file::Entry>> entries();
  Offset<file::Variant> variant(const std::string &name, const std::vector<std::string> &features);
  std::vector<Offset<file::Segment>> segments(const std::vector<uint8_t> &image,
                                              const std::vector<uint8_t> &constants, uint64_t first);

  const Options &options;
  FlatBufferBuilder fbb;
};
} // namespace

std::vector<Offset<file::Entry>> HeaderBuilder::entries() {
  using file::DType;
  std::vector<Offset<file::Entry>> result;
  int64_t first = options.badSymbol >= 0 ? options.badSymbol : 0;
  result.push_back(entry("add", {symbol("n", 0, 1 << 20)},
                         {tensor("x", DType::F32, {symbolDim(first)}), tensor("y", DType::F32, {symbolDim(0)})},
                         {tensor("sum", DType::F32, {symbolDim(0)})}));
  result.push_back(entry("matmul", {symbol("m", 1, INT64_MAX, 1)}, {tensor("a", DType::F32, {symbolDim(0), fixed(16)})},
                         {tensor("c", DType::F32, {symbolDim(0), fixed(8)})}));
  result.push_back(entry("count", {}, {tensor("step", DType::I64, {})}, {tensor("total", DType::I64, {})}, {0}));
  result.push_back(entry("pick", {symbol("rows", 1, 1000), symbol("n", 1, 100000)},
                         {tensor("table", DType::F32, {symbolDim(0)}), tensor("index", DType::I64, {symbolDim(1)})},
                         {tensor("picked", DType::F32, {symbolDim(1)})}));
  result.push_back(entry("compress", {symbol("n", 0, 1000), symbol("found", 0, 1000, 1, symbolDim(0))},
                         {tensor("x", DType::F32, {symbolDim(0)})}, {tensor("kept", DType::F32, {symbolDim(1)})}));
  result.push_back(entry("regions", {symbol("n", 0, 1 << 20)}, {tensor("what", DType::I64, {fixed(3)}), tensor("like", DType::I64, {symbolDim(0)})},
                         {tensor("ticks", DType::I64, {symbolDim(0)})}));
  // 2*n + 1; and a size that overflows for large n.
  result.push_back(entry("derived", {symbol("n", 0, INT64_MAX, 2)},
                         {tensor("x", DType::F32,
                                 {symbolDim(0), dim({TN_DIM_CONST, 2, TN_DIM_SYMBOL, 0, TN_DIM_MUL, TN_DIM_CONST, 1,
                                                     TN_DIM_ADD})}),
                          tensor("y", DType::F32, {fixed(1)}, true)},
                         {tensor("sum", DType::F32, {})}));
  result.push_back(entry("greedy", {}, {}, {}));
  for (uint32_t i = 0; i < options.extraEntries; ++i)
    result.push_back(entry("extra", {}, {}, {}));
  return result;
}

Offset<file::Variant> HeaderBuilder::variant(const std::string &name, const std::vector<std::string> &features) {
  std::vector<Offset<flatbuffers::String>> names;
  for (const std::string &feature : features)
    names.push_back(fbb.CreateString(feature));
  std::vector<Offset<file::ErrorSite>> sites = {
      file::CreateErrorSiteDirect(fbb, TN_OUT_OF_RANGE, "index {0} is not below {1}", "model.py:12"),
      file::CreateErrorSiteDirect(fbb, TN_DATA_ERROR, "step is {0}")};
  std::vector<Offset<file::VariantEntry>> how;
  for (uint32_t i = 0; i < EntryCount + options.extraEntries; ++i) {
    std::vector<Offset<file::Kernel>> kernels;
    if (i == Matmul)
      kernels.push_back(file::CreateKernelDirect(
          fbb, "matmul_kernel", dim({TN_DIM_SYMBOL, 0, TN_DIM_CONST, 256, TN_DIM_MUL}), fixed(512), 100, "model.py:3"));
    how.push_back(file::CreateVariantEntryDirect(fbb, &kernels));
  }
  return file::CreateVariantDirect(fbb, name.c_str(), options.arch.empty() ? hostArch() : options.arch.c_str(), &names,
                                   1 + options.badSegment, 0, 1, 0, &sites, &how);
}

std::vector<Offset<file::Segment>> HeaderBuilder::segments(const std::vector<uint8_t> &image,
                                                           const std::vector<uint8_t> &constants, uint64_t first) {
  std::vector<uint64_t> hashes;
  for (uint64_t at = 0; at < constants.size(); at += TN_CONSTANTS_CHUNK_BYTES)
    hashes.push_back(XXH3_64bits(constants.data() + at, std::min<uint64_t>(TN_CONSTANTS_CHUNK_BYTES,
                                                                           constants.size() - at)));
  uint64_t second = (first + constants.size() + TN_SEGMENT_ALIGN - 1) & ~uint64_t(TN_SEGMENT_ALIGN - 1);
  if (options.overlappingSegments)
    second = first;
  return {file::CreateSegmentDirect(fbb, file::SegmentKind::Constants, first, constants.size(), TN_SEGMENT_ALIGN, 0,
                                    &hashes),
          file::CreateSegment(fbb, file::SegmentKind::Image, second, image.size(), TN_SEGMENT_ALIGN,
                              XXH3_64bits(image.data(), image.size()))};
}

std::vector<uint8_t> HeaderBuilder::build(const std::vector<uint8_t> &image, const std::vector<uint8_t> &constants,
                                          uint64_t firstSegment) {
  auto segmentList = segments(image, constants, firstSegment);
  std::vector<Offset<file::Variant>> variants = {variant("first", options.features)};
  for (size_t i = 0; i < options.more.size(); ++i)
    variants.push_back(variant("more" + std::to_string(i), options.more[i]));
  auto entryList = entries();
  std::vector<int64_t> one = {1}, four = {4}, matrix = {16, 8};
  std::vector<Offset<file::State>> states = {
      file::CreateStateDirect(fbb, "counter", file::DType::I64, &one, 8),
      file::CreateStateDirect(fbb, "start", file::DType::F32, &four, 16, true, 0,
                              options.badState ? constants.size() - 8 : 0),
      file::CreateStateDirect(fbb, "volatile", file::DType::U8, &four, 4, false)};
  std::vector<Offset<file::Weight>> weights = {
      file::CreateWeightDirect(fbb, "w", file::DType::F32, &matrix, 0, 0, 512)};
  std::vector<Offset<file::KeyValue>> metadata = {file::CreateKeyValueDirect(fbb, "author", "tests")};
  auto root = file::CreateHeaderDirect(fbb, TN_FORMAT_MAJOR, TN_FORMAT_MINOR, "unit test", "tests", &segmentList,
                                       &variants, &entryList, &states, &weights, &metadata);
  file::FinishHeaderBuffer(fbb, root);
  return std::vector<uint8_t>(fbb.GetBufferPointer(), fbb.GetBufferPointer() + fbb.GetSize());
}

void rehash(std::vector<uint8_t> &bytes, bool header) {
  tn_file_prefix prefix;
  memcpy(&prefix, bytes.data(), sizeof(prefix));
  if (header) {
    XXH128_hash_t hash = XXH3_128bits(bytes.data() + prefix.header_offset, prefix.header_bytes);
    prefix.header_hash_low = hash.low64;
    prefix.header_hash_high = hash.high64;
  }
  memcpy(bytes.data(), &prefix, sizeof(prefix));
  prefix.prefix_hash = XXH3_64bits(bytes.data(), TN_PREFIX_HASHED_BYTES);
  memcpy(bytes.data(), &prefix, sizeof(prefix));
}

std::vector<uint8_t> build(const Options &options) {
  std::vector<uint8_t> image = readFile(std::string(TEST_IMAGE_DIR) + "/" + options.image);
  std::vector<uint8_t> constants(512 + options.extraConstants);
  for (int k = 0; k < 16; ++k)
    for (int j = 0; j < 8; ++j) {
      float value = weightAt(k, j);
      memcpy(constants.data() + (k * 8 + j) * 4, &value, 4);
    }
  for (size_t i = 512; i < constants.size(); ++i)
    constants[i] = static_cast<uint8_t>(i * 131 >> 3);
  if (options.zeroSegments) {
    image.assign(4096, 0);
    constants.assign(constants.size(), 0);
  }
  // Twice: the header's size decides where the first segment is, but not the other way round.
  uint64_t first = TN_SEGMENT_ALIGN;
  std::vector<uint8_t> header = HeaderBuilder(options).build(image, constants, first);
  if (header.size() + TN_PREFIX_BYTES > first)
    abort();
  std::vector<uint8_t> bytes(first);
  memcpy(bytes.data() + TN_PREFIX_BYTES, header.data(), header.size());
  bytes.insert(bytes.end(), constants.begin(), constants.end());
  bytes.resize((bytes.size() + TN_SEGMENT_ALIGN - 1) & ~size_t(TN_SEGMENT_ALIGN - 1));
  bytes.insert(bytes.end(), image.begin(), image.end());
  tn_file_prefix prefix = {};
  memcpy(prefix.magic, TN_FORMAT_MAGIC, TN_FORMAT_MAGIC_BYTES);
  prefix.format_major = TN_FORMAT_MAJOR;
  prefix.format_minor = TN_FORMAT_MINOR;
  prefix.header_offset = TN_PREFIX_BYTES;
  prefix.header_bytes = header.size();
  prefix.file_bytes = bytes.size();
  memcpy(bytes.data(), &prefix, sizeof(prefix));
  rehash(bytes, true);
  return bytes;
}

} // namespace artifact
