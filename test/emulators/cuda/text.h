// PTX as it is written: statements, operands, variables. What instructions mean is decode.h's.
#ifndef TENON_TEST_EMULATORS_CUDA_TEXT_H
#define TENON_TEST_EMULATORS_CUDA_TEXT_H

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tenon::emulator {

/// A mistake in PTX text, or something that is not emulated; what() begins with the line.
struct TextError {
  uint32_t line;
  std::string message;
};
[[noreturn]] void failText(uint32_t line, std::string message);

enum class Space : uint8_t { Generic, Global, Shared, Local, Const, Param };

/// Size of a fundamental type by its name (without dot), 0 if there is none; `pred` counts as 1.
uint32_t bitsOfType(std::string_view name);

struct Operand {
  enum Kind : uint8_t { Register, Integer, Float32, Float64, Symbol, Address, Vector, Sink, Special };
  Kind kind = Sink;
  bool negated = false;       ///< `!p`
  uint32_t reg = 0;           ///< Register, Address with a base register: index in FunctionText::registers
  bool hasReg = false;        ///< Address only
  int64_t value = 0;          ///< Integer; bits of a float; offset of an Address or of a Symbol
  std::string name;           ///< Symbol, Special; Address with a base symbol
  std::vector<Operand> parts; ///< Vector: elements; Address: coordinates after the comma; `a|b`: b
};

struct Statement {
  uint32_t line = 0;
  int32_t guard = -1; ///< register, or -1
  bool guardNegated = false;
  std::string opcode;               ///< with modifiers
  std::vector<Operand> operands;    ///< of a call: function, arguments; `results` has what it returns
  std::vector<Operand> results;     ///< of a call
};

struct Variable {
  std::string name;
  Space space = Space::Global;
  bool isExtern = false;
  uint32_t align = 1;
  uint64_t bytes = 0; ///< 0: `name[]`
  uint32_t line = 0;
  std::vector<uint8_t> initial; ///< empty: zeros
  struct Relocation {
    uint64_t at;
    std::string symbol;
    int64_t addend;
  };
  std::vector<Relocation> relocations;
};

struct RegisterText {
  std::string name;
  uint32_t bits; ///< 1: a predicate
};

struct FunctionText {
  std::string name;
  bool isEntry = false, hasBody = false;
  uint32_t line = 0;
  std::vector<Variable> parameters, results, variables;
  std::vector<RegisterText> registers;
  std::vector<Statement> statements;
  std::map<std::string, uint32_t> labels; ///< index of the statement that follows
  std::map<std::string, std::vector<std::string>> targetLists;
  uint32_t maxThreads[3] = {0, 0, 0}, requiredThreads[3] = {0, 0, 0};
};

struct ModuleText {
  uint32_t major = 0, minor = 0;
  std::string target;  ///< "sm_90a"
  uint32_t sm = 0;     ///< 90
  std::string suffix;  ///< "a": for that GPU only; "f": for its family
  std::vector<Variable> variables;
  std::vector<FunctionText> functions;
};

/// Reads a module. Throws TextError.
ModuleText parseModule(std::string_view text);

struct Token {
  enum Kind : uint8_t { End, Word, Integer, Float32, Float64, String, Mark };
  Kind kind = End;
  char mark = 0;
  uint32_t line = 1;
  std::string_view text;
  uint64_t value = 0;
};

/// Cuts text into tokens. A word may hold '.', '$', '%', '_' and "::" (so modifiers stay with their instruction).
class Lexer {
public:
  explicit Lexer(std::string_view text) : text(text) { next(); }
  const Token &peek() const { return token; }
  Token take();
  bool takeMark(char mark);
  bool takeWord(std::string_view word);
  void expectMark(char mark);
  std::string_view expectWord(const char *what);
  uint64_t expectInteger(const char *what);

private:
  void next();
  void skipSpace();
  void number();
  std::string_view text;
  size_t at = 0;
  uint32_t line = 1;
  Token token;
};

} // namespace tenon::emulator
#endif
