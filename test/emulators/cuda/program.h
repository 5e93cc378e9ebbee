// Decoded programs: what the machine executes.
#ifndef TENON_TEST_EMULATORS_CUDA_PROGRAM_H
#define TENON_TEST_EMULATORS_CUDA_PROGRAM_H

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace tenon::emulator {

struct Warp;
struct Instruction;
struct Function;

/// Executes an instruction for the lanes in `Warp::mask`, which is not empty.
using Handler = void (*)(Warp &, const Instruction &);

/// Where an operand lies: an offset in the warp's registers, or, with this bit, in the function's constants.
/// Each register has 32 elements of its width; a predicate is one word of 32 bits.
constexpr uint32_t kConstantBit = 0x80000000u;

struct Instruction {
  Handler run = nullptr;
  uint32_t guard = 0;     ///< operand: a predicate; all lanes if there is none
  uint32_t guardFlip = 0; ///< ~0: the lanes for which it is false
  uint32_t dest = 0, a = 0, b = 0, c = 0; ///< operands
  const uint32_t *list = nullptr;         ///< more operands
  int64_t immediate = 0;                  ///< offset of an address, target of a branch, ...
  uint32_t line = 0;
  uint16_t count = 0;    ///< elements of `list`, or what the handler wants
  uint8_t option = 0;    ///< what the handler wants
  uint8_t wideBase = 1;  ///< the base of an address has 64 bits
};

enum class SpecialRegister : uint8_t {
  TidX, TidY, TidZ, NtidX, NtidY, NtidZ, CtaidX, CtaidY, CtaidZ, NctaidX, NctaidY, NctaidZ, LaneId, WarpId, NwarpId,
  SmId, NsmId, GridId, LaneMaskEq, LaneMaskLt, LaneMaskLe, LaneMaskGt, LaneMaskGe, DynamicSharedBytes,
  TotalSharedBytes, Zero, One
};

struct Function {
  std::string name;
  std::vector<Instruction> code; ///< ends with a return
  std::vector<uint8_t> constants;
  std::vector<std::unique_ptr<uint32_t[]>> lists;
  std::vector<std::pair<SpecialRegister, uint32_t>> specials; ///< with their registers
  uint32_t registerBytes = 0;
  uint32_t localBytes = 0; ///< per lane: parameters of a .func, variables, arguments of calls
};

/// How a call moves values between two frames; offsets are in bytes of local memory.
struct CallPlan {
  const Function *callee = nullptr;
  struct Move {
    uint32_t caller, callee, bytes;
  };
  std::vector<Move> arguments, results;
};

struct Kernel {
  std::string name;
  Function entry;
  std::vector<std::unique_ptr<Function>> functions;
  std::vector<std::unique_ptr<CallPlan>> calls;
  struct Parameter {
    uint32_t offset, bytes;
  };
  std::vector<Parameter> parameters;
  uint32_t parameterBytes = 0;
  uint32_t staticShared = 0;     ///< without the part that the system reserves
  uint32_t maxThreads = 1024;    ///< of a block
  uint32_t requiredThreads[3] = {0, 0, 0};
  uint32_t maxDynamicShared = 48 * 1024;
  uint32_t registers = 0;        ///< an estimate for attributes
};

} // namespace tenon::emulator
#endif
