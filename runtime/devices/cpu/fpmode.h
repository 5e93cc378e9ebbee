// The floating-point mode kernels run in: round to nearest, no flush-to-zero, no traps.
#ifndef TENON_RUNTIME_DEVICES_CPU_FPMODE_H
#define TENON_RUNTIME_DEVICES_CPU_FPMODE_H

#include <cstdint>

namespace tenon::rt {

#if defined(__x86_64__)
inline uint64_t readFpMode() { return __builtin_ia32_stmxcsr(); }
inline void writeFpMode(uint64_t mode) { __builtin_ia32_ldmxcsr(static_cast<unsigned>(mode)); }
constexpr uint64_t defaultFpMode = 0x1f80;
constexpr uint64_t fpModeBits = 0xffc0; // without the sticky exception flags
#elif defined(__aarch64__)
inline uint64_t readFpMode() {
  uint64_t mode;
  asm volatile("mrs %0, fpcr" : "=r"(mode));
  return mode;
}
inline void writeFpMode(uint64_t mode) { asm volatile("msr fpcr, %0" ::"r"(mode)); }
constexpr uint64_t defaultFpMode = 0;
constexpr uint64_t fpModeBits = ~uint64_t(0);
#else
inline uint64_t readFpMode() { return 0; }
inline void writeFpMode(uint64_t) {}
constexpr uint64_t defaultFpMode = 0, fpModeBits = 0;
#endif

inline void setDefaultFpMode() { writeFpMode(defaultFpMode); }

/// Default mode for a scope; writes only when the caller's differs, since that drains the pipeline.
class FpModeScope {
public:
  FpModeScope() : before(readFpMode()) {
    if ((before & fpModeBits) != (defaultFpMode & fpModeBits))
      setDefaultFpMode();
  }
  ~FpModeScope() {
    if ((before & fpModeBits) != (defaultFpMode & fpModeBits))
      writeFpMode(before);
  }
  FpModeScope(const FpModeScope &) = delete;
  FpModeScope &operator=(const FpModeScope &) = delete;

private:
  uint64_t before;
};

} // namespace tenon::rt
#endif
