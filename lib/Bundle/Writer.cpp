//===- Writer.cpp - the .tenon file ---------------------------------------===//
// The header names hashes of what comes after it, but its size does not depend on them: it is built once for its size,
// the constants are packed straight into the mapped file, and it is built again.
#include "tenon/Bundle/Writer.h"
#include "Signature.h"
#include "tenon/Bundle/Emit.h"
#include "device_generated.h"
#include "tenon/abi.h"
#include "tenon/format.h"
#include "llvm/Support/FileOutputBuffer.h"
#include "llvm/Support/Parallel.h"
#include "llvm/TargetParser/Triple.h"
#define XXH_INLINE_ALL
#include "xxhash.h"

using namespace mlir;
using namespace tenon;
using flatbuffers::FlatBufferBuilder;
using flatbuffers::Offset;
using llvm::Error;
using llvm::Expected;

namespace {
struct Segment {
  file::SegmentKind kind = file::SegmentKind::Image;
  uint64_t bytes = 0, offset = 0, hash = 0;
  std::vector<uint64_t> chunkHashes;
  ModuleOp plan = {}; // constants
  std::string image = {}; // code
};

class BundleWriter {
public:
  explicit BundleWriter(const BundleOptions &options) : options(options) {}
  Error run();

private:
  const BundleOptions &options;
  std::vector<Segment> segments;
  std::vector<int> constantsOf, imageOf, deviceOf; // by variant
  llvm::StringMap<uint32_t> stateIndex;

  void collectSegments();
  Error check() const;
  FlatBufferBuilder buildHeader() const;
  std::vector<Offset<file::Variant>> writeVariants(FlatBufferBuilder &builder) const;
  std::vector<Offset<file::State>> writeStates(FlatBufferBuilder &builder) const;
  std::vector<Offset<file::Weight>> writeWeights(FlatBufferBuilder &builder) const;
};
} // namespace

/// What the constants segment of a plan holds; equal text means equal bytes.
static std::string describeConstants(ModuleOp plan) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  SymbolTable symbols(plan);
  for (auto constant : plan.getOps<plan::ConstantOp>()) {
    stream << constant.getOffset() << ' ' << constant.getType() << ' ' << constant.getLayoutAttr() << ' ';
    if (constant.getWeight())
      stream << *constant.getWeight() << ' ' << symbols.lookup<graph::WeightOp>(*constant.getWeight()).getSource();
    else
      stream << *constant.getValue();
    stream << '\n';
  }
  return text;
}

/// The table of a device's kernels, then their code.
static std::string writeDeviceSegment(const DeviceProgram &program) {
  FlatBufferBuilder builder;
  std::vector<Offset<file::DeviceKernel>> kernels;
  for (const DeviceKernel &kernel : program.kernels)
    kernels.push_back(file::CreateDeviceKernelDirect(builder, kernel.name.c_str(), kernel.module, kernel.threads,
                                                     kernel.slots, kernel.shared));
  std::vector<Offset<file::DeviceModule>> modules;
  std::string code;
  for (ArrayRef<DeviceCode> module : program.modules) {
    std::vector<Offset<file::DeviceCode>> codes;
    for (const DeviceCode &form : module) {
      codes.push_back(
          file::CreateDeviceCode(builder, static_cast<file::DeviceFormat>(form.format), code.size(), form.bytes.size()));
      code += form.bytes;
      code.resize(llvm::alignTo(code.size(), TN_BUFFER_ALIGN));
    }
    modules.push_back(file::CreateDeviceModuleDirect(builder, &codes));
  }
  file::FinishSizePrefixedDeviceProgramBuffer(builder, file::CreateDeviceProgramDirect(builder, &kernels, &modules));
  std::string segment(reinterpret_cast<const char *>(builder.GetBufferPointer()), builder.GetSize());
  segment.resize(llvm::alignTo(segment.size(), TN_BUFFER_ALIGN));
  return segment + code;
}

void BundleWriter::collectSegments() {
  llvm::StringMap<int> known;
  for (const BundleVariant &variant : options.variants) {
    int64_t bytes = constantsSegmentBytes(variant.plan);
    if (bytes == 0) {
      constantsOf.push_back(-1);
      continue;
    }
    auto [it, fresh] = known.try_emplace(describeConstants(variant.plan), segments.size());
    if (fresh) {
      Segment segment;
      segment.kind = file::SegmentKind::Constants;
      segment.bytes = bytes;
      segment.plan = variant.plan;
      segment.chunkHashes.resize(llvm::divideCeil(bytes, TN_CONSTANTS_CHUNK_BYTES));
      segments.push_back(std::move(segment));
    }
    constantsOf.push_back(it->second);
  }
  auto add = [&](file::SegmentKind kind, std::string bytes) {
    Segment segment;
    segment.kind = kind;
    segment.bytes = bytes.size();
    segment.hash = XXH3_64bits(bytes.data(), bytes.size());
    segment.image = std::move(bytes);
    segments.push_back(std::move(segment));
    return static_cast<int>(segments.size() - 1);
  };
  for (const BundleVariant &variant : options.variants)
    imageOf.push_back(add(file::SegmentKind::Image, variant.image));
  for (const BundleVariant &variant : options.variants) {
    const DeviceProgram &program = variant.deviceProgram;
    deviceOf.push_back(program.kernels.empty() ? -1 : add(file::SegmentKind::Device, writeDeviceSegment(program)));
  }
}

Error BundleWriter::check() const {
  if (options.variants.empty())
    return llvm::createStringError("cannot write a program without variants");
  auto names = [](ModuleOp plan) {
    std::vector<std::string> list;
    for (auto func : plan.getOps<plan::FuncOp>())
      list.push_back(func.getSymName().str());
    return list;
  };
  ModuleOp first = options.variants[0].plan;
  for (const BundleVariant &variant : options.variants)
    if (names(variant.plan) != names(first))
      return llvm::createStringError("variant '" + variant.cpu.getName() + "' has other entries than variant '" +
                                     options.variants[0].cpu.getName() + "'");
  std::string bad;
  for (auto func : first.getOps<plan::FuncOp>()) {
    auto checkPorts = [&](ArrayAttr ports, StringRef side) {
      for (auto [i, port] : llvm::enumerate(ports)) {
        Type type = cast<TypeAttr>(cast<DictionaryAttr>(port).get("type")).getValue();
        if (dtypeOf(cast<RankedTensorType>(type).getElementType()) == file::DType::None)
          llvm::raw_string_ostream(bad) << side << " " << i << " of entry '" << func.getSymName() << "' is " << type
                                        << ", which a file cannot describe; ";
      }
    };
    checkPorts(func.getInputs(), "input");
    checkPorts(func.getOutputs(), "output");
  }
  for (auto variable : first.getOps<plan::VariableOp>())
    if (dtypeOf(cast<RankedTensorType>(variable.getType()).getElementType()) == file::DType::None)
      bad += ("variable '" + variable.getSymName() + "' has an element type that a file cannot describe; ").str();
  return bad.empty() ? Error::success() : llvm::createStringError(StringRef(bad).drop_back(2));
}

std::vector<Offset<file::Variant>> BundleWriter::writeVariants(FlatBufferBuilder &builder) const {
  std::vector<Offset<file::Variant>> variants;
  for (auto [v, variant] : llvm::enumerate(options.variants)) {
    std::vector<Offset<file::ErrorSite>> sites;
    if (auto list = ModuleOp(variant.plan)->getAttrOfType<ArrayAttr>("plan.sites"))
      for (Attribute attribute : list) {
        auto site = cast<plan::SiteAttr>(attribute);
        std::string place = site.getPlace().str();
        sites.push_back(file::CreateErrorSiteDirect(builder, site.getCode(), site.getMessage().str().c_str(),
                                                    place.empty() ? nullptr : place.c_str()));
      }
    std::vector<Offset<flatbuffers::String>> features;
    for (const std::string &feature : requiredFeatures(variant.cpu))
      features.push_back(builder.CreateString(feature));
    std::vector<Offset<file::VariantEntry>> entries;
    for (auto func : ModuleOp(variant.plan).getOps<plan::FuncOp>())
      entries.push_back(writeVariantEntry(builder, func, variant));
    std::string arch = llvm::Triple::getArchTypeName(llvm::Triple(variant.cpu.getTriple()).getArch()).str();
    bool isDevice = static_cast<bool>(variant.device);
    std::string name = (isDevice ? variant.device.getName() : variant.cpu.getName()).str();
    std::string kind = isDevice ? target::stringifyDeviceApi(variant.device.getApi()).str() : "";
    std::string deviceArch = isDevice ? variant.device.getArch().str() : "";
    variants.push_back(file::CreateVariantDirect(builder, name.c_str(), arch.c_str(), &features, imageOf[v],
                                                 constantsOf[v], TN_ABI_MAJOR, isDevice ? 1 : 0, &sites, &entries,
                                                 isDevice ? kind.c_str() : nullptr, deviceOf[v],
                                                 deviceArch.empty() ? nullptr : deviceArch.c_str()));
  }
  return variants;
}

std::vector<Offset<file::State>> BundleWriter::writeStates(FlatBufferBuilder &builder) const {
  std::vector<Offset<file::State>> states;
  ModuleOp plan = options.variants[0].plan;
  SymbolTable symbols(plan);
  for (auto variable : plan.getOps<plan::VariableOp>()) {
    auto type = cast<RankedTensorType>(variable.getType());
    std::vector<int64_t> dims(type.getShape().begin(), type.getShape().end());
    int segment = -1;
    uint64_t offset = 0;
    if (variable.getInit()) {
      segment = constantsOf[0];
      offset = symbols.lookup<plan::ConstantOp>(*variable.getInit()).getOffset();
    }
    states.push_back(file::CreateStateDirect(builder, variable.getSymName().str().c_str(),
                                             dtypeOf(type.getElementType()), &dims, variable.getBytes(),
                                             variable.getPersistent(), segment, offset));
  }
  return states;
}

std::vector<Offset<file::Weight>> BundleWriter::writeWeights(FlatBufferBuilder &builder) const {
  std::vector<Offset<file::Weight>> weights;
  for (auto [s, segment] : llvm::enumerate(segments)) {
    if (segment.kind != file::SegmentKind::Constants)
      continue;
    for (auto constant : ModuleOp(segment.plan).getOps<plan::ConstantOp>()) {
      if (!constant.getWeight())
        continue;
      auto type = cast<RankedTensorType>(constant.getType());
      std::vector<int64_t> dims(type.getShape().begin(), type.getShape().end());
      std::string layout;
      if (constant.getLayoutAttr())
        llvm::raw_string_ostream(layout) << constant.getLayoutAttr();
      weights.push_back(file::CreateWeightDirect(builder, constant.getWeight()->str().c_str(),
                                                 dtypeOf(type.getElementType()), &dims, s, constant.getOffset(),
                                                 constant.getBytes(), layout.empty() ? nullptr : layout.c_str()));
    }
  }
  return weights;
}

FlatBufferBuilder BundleWriter::buildHeader() const {
  FlatBufferBuilder builder(1 << 16);
  builder.ForceDefaults(true); // a size that does not depend on the values
  std::vector<Offset<file::Segment>> segmentTables;
  for (const Segment &segment : segments)
    segmentTables.push_back(file::CreateSegmentDirect(builder, segment.kind, segment.offset, segment.bytes,
                                                      TN_SEGMENT_ALIGN, segment.hash,
                                                      segment.chunkHashes.empty() ? nullptr : &segment.chunkHashes));
  std::vector<Offset<file::Variant>> variants = writeVariants(builder);
  std::vector<Offset<file::Entry>> entries;
  for (auto func : ModuleOp(options.variants[0].plan).getOps<plan::FuncOp>())
    entries.push_back(writeEntry(builder, func, stateIndex));
  std::vector<Offset<file::State>> states = writeStates(builder);
  std::vector<Offset<file::Weight>> weights = writeWeights(builder);
  std::vector<Offset<file::KeyValue>> metadata;
  for (const auto &[key, value] : options.metadata)
    metadata.push_back(file::CreateKeyValueDirect(builder, key.c_str(), value.c_str()));
  auto header = file::CreateHeaderDirect(builder, TN_FORMAT_MAJOR, TN_FORMAT_MINOR, options.producer.c_str(),
                                         options.modelName.c_str(), &segmentTables, &variants, &entries, &states,
                                         &weights, &metadata);
  file::FinishHeaderBuffer(builder, header);
  return builder;
}

Error BundleWriter::run() {
  if (Error error = check())
    return error;
  for (auto variable : ModuleOp(options.variants[0].plan).getOps<plan::VariableOp>())
    stateIndex.try_emplace(variable.getSymName(), stateIndex.size());
  collectSegments();
  uint64_t headerBytes = buildHeader().GetSize(), end = TN_PREFIX_BYTES + headerBytes;
  for (Segment &segment : segments) {
    segment.offset = llvm::alignTo(end, TN_SEGMENT_ALIGN);
    end = segment.offset + segment.bytes;
  }
  Expected<std::unique_ptr<llvm::FileOutputBuffer>> output = llvm::FileOutputBuffer::create(options.path, end);
  if (!output)
    return output.takeError();
  uint8_t *bytes = (*output)->getBufferStart();
  for (Segment &segment : segments) {
    MutableArrayRef<uint8_t> place(bytes + segment.offset, segment.bytes);
    if (segment.kind != file::SegmentKind::Constants) {
      std::memcpy(place.data(), segment.image.data(), segment.bytes);
      continue;
    }
    if (Error error = packConstants(segment.plan, *options.weights, place))
      return error;
    llvm::parallelFor(0, segment.chunkHashes.size(), [&](size_t i) {
      uint64_t at = i * uint64_t(TN_CONSTANTS_CHUNK_BYTES);
      segment.chunkHashes[i] =
          XXH3_64bits(place.data() + at, std::min<uint64_t>(TN_CONSTANTS_CHUNK_BYTES, segment.bytes - at));
    });
  }
  FlatBufferBuilder header = buildHeader();
  if (header.GetSize() != headerBytes)
    return llvm::createStringError("the header changed its size from " + Twine(headerBytes) + " to " +
                                   Twine(header.GetSize()) + " bytes");
  std::memcpy(bytes + TN_PREFIX_BYTES, header.GetBufferPointer(), headerBytes);
  tn_file_prefix prefix = {};
  std::memcpy(prefix.magic, TN_FORMAT_MAGIC, TN_FORMAT_MAGIC_BYTES);
  prefix.format_major = TN_FORMAT_MAJOR;
  prefix.format_minor = TN_FORMAT_MINOR;
  prefix.header_offset = TN_PREFIX_BYTES;
  prefix.header_bytes = headerBytes;
  prefix.file_bytes = end;
  XXH128_hash_t hash = XXH3_128bits(header.GetBufferPointer(), headerBytes);
  prefix.header_hash_low = hash.low64;
  prefix.header_hash_high = hash.high64;
  prefix.prefix_hash = XXH3_64bits(&prefix, TN_PREFIX_HASHED_BYTES);
  std::memcpy(bytes, &prefix, sizeof(prefix));
  return (*output)->commit();
}

Error tenon::writeBundle(const BundleOptions &options) { return BundleWriter(options).run(); }
