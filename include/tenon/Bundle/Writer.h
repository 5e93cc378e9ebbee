//===- Writer.h - the .tenon file -----------------------------------------===//
#ifndef TENON_BUNDLE_WRITER_H
#define TENON_BUNDLE_WRITER_H

#include "dialects/Target/IR/TargetDialect.h"
#include "tenon/Bundle/Link.h"
#include "tenon/Bundle/Pack.h"
#include "llvm/ADT/StringMap.h"

namespace tenon {

/// What a device runs, as the file keeps it.
struct DeviceCode {
  uint8_t format; ///< file::DeviceFormat
  std::string bytes;
};
/// A tensor that tiles are copied from, the dimension of neighbours first; what lies in slot i of a launch is symbol i.
struct DeviceTensorMap {
  uint32_t slot;                 ///< that has its buffer
  uint64_t offset;               ///< bytes from there on
  uint32_t elementBytes;
  mlir::AffineMap sizes, strides; ///< elements
  std::vector<uint32_t> tile;
};
struct DeviceKernel {
  std::string name;
  uint32_t module;         ///< index into DeviceProgram::modules
  uint32_t threads, slots; ///< of a workgroup; parameters of 8 bytes
  uint32_t shared;         ///< bytes of shared memory that a launch has to ask for
  uint64_t codeBytes;      ///< in its most portable form
  std::vector<DeviceTensorMap> maps;
};
struct DeviceProgram {
  std::vector<std::vector<DeviceCode>> modules; ///< each in several forms, the preferred one first
  std::vector<DeviceKernel> kernels;            ///< as launches number them
};

/// One way to run the program.
struct BundleVariant {
  mlir::ModuleOp plan; // has plan.func, plan.constant, plan.variable, plan.sites, and the weights they name
  target::CPUAttr cpu;
  std::string image; // what linkImage gave
  llvm::StringMap<uint64_t> codeBytes; // by symbol of the kernel, and of "host", for `tenon inspect`
  std::vector<ImageFunction> functions = {}; // of the image, for profilers; may be empty
  target::GPUAttr device = {};               // null: the CPU
  DeviceProgram deviceProgram = {};
};

struct BundleOptions {
  std::string path;
  std::string modelName;
  std::string producer = "tenon";
  /// In order of preference among equals. Entries, states and symbols are those of the first.
  std::vector<BundleVariant> variants;
  WeightStore *weights = nullptr;
  std::vector<std::pair<std::string, std::string>> metadata;
};

/// Writes the file: complete under its name or not at all. The same inputs give the same bytes.
llvm::Error writeBundle(const BundleOptions &options);

} // namespace tenon
#endif
