// Which CPU features, by LLVM name, this machine has and the system lets programs use.
#ifndef TENON_RUNTIME_DEVICES_CPU_FEATURES_H
#define TENON_RUNTIME_DEVICES_CPU_FEATURES_H

namespace tenon::rt {

/// "x86_64", "aarch64": what Variant.arch is compared with.
const char *hostArch();
/// False for an unknown name: a newer artifact may need what this runtime cannot look up.
bool hostHasFeature(const char *name);

} // namespace tenon::rt
#endif
