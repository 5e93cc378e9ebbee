//===- TargetDialect.cpp - typed descriptions of machines -----------------===//
#include "dialects/Target/IR/TargetDialect.h"
#include "llvm/TargetParser/Host.h"

using namespace mlir;
using namespace tenon::target;

#include "dialects/Target/IR/TargetDialect.cpp.inc"
#define GET_ATTRDEF_CLASSES
#include "dialects/Target/IR/TargetAttrs.cpp.inc"

void TargetDialect::initialize() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialects/Target/IR/TargetAttrs.cpp.inc"
      >();
}

CPUAttr tenon::target::getTarget(ModuleOp module) { return module->getAttrOfType<CPUAttr>("target.cpu"); }

static constexpr const char *kTriple = "x86_64-unknown-linux-gnu";

CPUAttr tenon::target::lookupCPU(MLIRContext *context, StringRef level, std::string &error) {
  // Cache sizes of a typical server core of each level.
  if (level == "x86-64-v2")
    return CPUAttr::get(context, level, kTriple, level, "", 128, 16, false, false, 32 << 10, 256 << 10);
  if (level == "x86-64-v3")
    return CPUAttr::get(context, level, kTriple, level, "", 256, 16, true, true, 32 << 10, 512 << 10);
  if (level == "x86-64-v4")
    return CPUAttr::get(context, level, kTriple, level, "-prefer-256-bit", 512, 32, true, true, 32 << 10, 1 << 20);
  if (level == "host") {
    auto features = llvm::sys::getHostCPUFeatures();
    bool v4 = features.lookup("avx512f") && features.lookup("avx512vl") && features.lookup("avx512bw") &&
              features.lookup("avx512dq") && features.lookup("avx512cd");
    bool v3 = features.lookup("avx2") && features.lookup("fma") && features.lookup("f16c") && features.lookup("bmi2");
    bool v2 = features.lookup("sse4.2") && features.lookup("popcnt");
    if (v2)
      return lookupCPU(context, v4 ? "x86-64-v4" : v3 ? "x86-64-v3" : "x86-64-v2", error);
    error = "this machine is below x86-64-v2";
    return {};
  }
  error = ("CPU level '" + level + "' is unknown; known are host, x86-64-v2, x86-64-v3 and x86-64-v4").str();
  return {};
}
