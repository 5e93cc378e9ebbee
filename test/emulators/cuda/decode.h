// From statements to instructions. Each family of instructions has a file, which says how its statements are decoded, with the
// handlers that execute them beside it.
#ifndef TENON_TEST_EMULATORS_CUDA_DECODE_H
#define TENON_TEST_EMULATORS_CUDA_DECODE_H

#include "program.h"
#include "text.h"

#include <map>
#include <optional>

namespace tenon::emulator {

/// Types that instructions name.
enum class Type : uint8_t {
  None, Pred, B8, B16, B32, B64, B128, U8, U16, U32, U64, S8, S16, S32, S64, U16x2, S16x2, F16, F16x2, BF16, BF16x2,
  TF32, F32, F32x2, F64, E4M3, E5M2, E4M3x2, E5M2x2
};
/// None: there is no such type.
Type typeNamed(std::string_view name);
uint32_t bitsOf(Type type);
bool isSigned(Type type);
bool isInteger(Type type); ///< u or s or b, not packed
bool isFloat(Type type);   ///< any that holds fractions

/// An opcode's parts; a decoder takes all that it understands, and what is left is an error.
class Modifiers {
public:
  explicit Modifiers(const Statement &statement);
  const std::string &name() const { return base; }
  bool take(std::string_view modifier);
  /// Takes whichever of the words comes first; its index, or -1.
  int takeOneOf(std::initializer_list<std::string_view> words);
  /// The first type, which must be there.
  Type takeType();
  std::optional<Type> takeTypeIfAny();
  /// State space; Generic if none is named.
  Space takeSpace();
  /// Takes hints of caches and scopes of memory, which change nothing here.
  void takeMemoryQualifiers();
  /// The first that has not been taken; empty if there is none.
  std::string_view rest() const;
  [[noreturn]] void fail(const std::string &what) const;

private:
  const Statement &statement;
  std::string base;
  std::vector<std::string> parts;
};

/// Where names of a module lie; each kernel has its own layout of shared memory.
struct SymbolTable {
  const ModuleText *module;
  std::map<std::string, uint64_t> globals;     ///< addresses of .global and .const variables
  std::map<std::string, uint32_t> shared;      ///< offsets in shared memory
};

class Decoder;
using Decode = void (*)(Decoder &decoder, const Statement &statement, Modifiers &modifiers);
/// Every family adds its instructions by their first word.
using DecoderTable = std::map<std::string, Decode, std::less<>>;
void addMoves(DecoderTable &table);
void addLoadsAndStores(DecoderTable &table);
void addAtomics(DecoderTable &table);
void addIntegers(DecoderTable &table);
void addBits(DecoderTable &table);
void addFloats(DecoderTable &table);
void addComparisons(DecoderTable &table);
void addConversions(DecoderTable &table);
void addControl(DecoderTable &table);
void addWarpOperations(DecoderTable &table);
void addMatrices(DecoderTable &table);
void addAsyncCopies(DecoderTable &table);
void addBarrierObjects(DecoderTable &table);
void addWarpgroupProducts(DecoderTable &table);

/// Decodes one kernel with the functions that it calls. Throws TextError.
std::unique_ptr<Kernel> decodeKernel(const FunctionText &entry, const SymbolTable &symbols);

/// Decodes the statements of one function.
class Decoder {
public:
  Decoder(const FunctionText &text, Function &function, Kernel &kernel, const SymbolTable &symbols);
  void run();

  // For families: operands. A register must have as many bits as asked for; numbers become constants.
  uint32_t source(const Operand &operand, uint32_t bits);
  uint32_t source(const Operand &operand, Type type) { return source(operand, bitsOf(type)); }
  /// `type` says how a literal of a float instruction is to be read.
  uint32_t sourceOf(const Operand &operand, Type type);
  uint32_t dest(const Operand &operand, uint32_t bits);
  /// Any register of at least `bits`; `actual` gets what it has.
  uint32_t wideSource(const Operand &operand, uint32_t bits, uint32_t &actual);
  uint32_t wideDest(const Operand &operand, uint32_t bits, uint32_t &actual);
  /// A predicate; `flip` is ~0 where `!` stands.
  uint32_t predicate(const Operand &operand, uint32_t &flip);
  uint32_t constant(uint64_t value, uint32_t bits);
  uint32_t bitsOfRegister(const Operand &operand) const { return text.registers[operand.reg].bits; }
  bool isRegister(const Operand &operand) const { return operand.kind == Operand::Register; }
  /// Puts an address into `made`: base in `a`, offset in `immediate`. `space` becomes Const for names of global variables
  /// that are read with a generic load, and so on.
  void address(const Operand &operand, Space space, Instruction &made);
  /// Offset of a .param or .local variable in local memory; nothing if `name` is no such variable.
  std::optional<uint32_t> localOffset(const std::string &name) const;
  /// Offset of a kernel's parameter.
  std::optional<uint32_t> parameterOffset(const std::string &name) const;
  uint32_t parameterBytes() const { return kernel.parameterBytes; }
  uint32_t localBytes() const { return function.localBytes; }
  int64_t integer(const Operand &operand, int64_t low, int64_t high);
  const uint32_t *list(std::vector<uint32_t> values);
  /// `label` will be in `immediate`.
  void target(const Operand &operand, Instruction &made);
  uint32_t targetOf(const std::string &label) const;
  const std::vector<std::string> *targetList(const std::string &label) const;
  const CallPlan *call(const Statement &statement);
  void expectOperands(size_t low, size_t high = 0) const;
  uint32_t scratch(uint32_t bits); ///< a register of its own
  uint32_t carry(); ///< the condition code: a predicate

  /// Fails when the module's target or version is older than the instruction. `onlyThere`: the target must end in "a".
  void require(uint32_t sm, uint32_t version = 0, bool onlyThere = false) const;
  Instruction &add(Handler handler);
  [[noreturn]] void fail(const std::string &what) const;
  const FunctionText &functionText() const { return text; }
  const SymbolTable &symbolTable() const { return symbols; }

private:
  uint32_t place(uint32_t bits);
  uint32_t special(const Operand &operand, uint32_t bits);
  void layOutLocals();

  const FunctionText &text;
  Function &function;
  Kernel &kernel;
  const SymbolTable &symbols;
  const Statement *statement = nullptr;
  std::vector<uint32_t> places; ///< of text.registers
  std::map<std::pair<uint32_t, uint64_t>, uint32_t> constants;
  std::map<std::string, uint32_t> specialPlaces;
  std::map<std::string, std::pair<uint32_t, uint32_t>> locals; ///< offset, bytes
  std::map<std::string, uint32_t> parameters;
  std::vector<uint32_t> starts; ///< first instruction of each statement
  std::vector<std::pair<size_t, std::string>> openTargets;
  uint32_t sink[4] = {}, carryPlace = 0;
};

} // namespace tenon::emulator
#endif
