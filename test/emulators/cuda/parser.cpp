// See text.h: modules, functions, variables, statements.
#include "text.h"

#include <cstring>
#include <set>

namespace tenon::emulator {

uint32_t bitsOfType(std::string_view name) {
  static const std::map<std::string_view, uint32_t> types = {
      {"pred", 1},     {"b8", 8},       {"u8", 8},       {"s8", 8},       {"b16", 16},    {"u16", 16},
      {"s16", 16},     {"f16", 16},     {"bf16", 16},    {"b32", 32},     {"u32", 32},    {"s32", 32},
      {"f32", 32},     {"f16x2", 32},   {"bf16x2", 32},  {"b64", 64},     {"u64", 64},    {"s64", 64},
      {"f64", 64},     {"b128", 128},   {"tf32", 32},    {"e4m3", 8},     {"e5m2", 8},    {"e4m3x2", 16},
      {"e5m2x2", 16},  {"f32x2", 64},   {"u16x2", 32},   {"s16x2", 32}};
  auto found = types.find(name);
  return found == types.end() ? 0 : found->second;
}

namespace {

class Parser {
public:
  explicit Parser(std::string_view text) : in(text) {}
  ModuleText run();

private:
  using Names = std::map<std::string, uint32_t, std::less<>>;

  void header();
  void topLevel();
  void function(bool isEntry, bool isExtern);
  void parameters(std::vector<Variable> &list);
  void attributes();
  void block();
  void closeBlock(size_t firstStatement, size_t firstVariable, const std::set<std::string> &labels);
  void directive(std::string_view name);
  void registers();
  void statement();
  void call(Statement &made);
  void targets(const std::string &label);
  Variable variable(Space space, bool isExtern);
  void initializer(Variable &made, uint32_t elementBytes, bool isFloat);
  void initialElement(Variable &made, uint64_t &at, uint32_t elementBytes, bool isFloat);
  Operand operand();
  Operand simpleOperand();
  Operand address();
  std::vector<Operand> operandList(char end);
  const uint32_t *findRegister(std::string_view name) const;
  int64_t signedInteger(const char *what);
  void skipLine(uint32_t line);
  void skipSection();

  Lexer in;
  ModuleText module;
  FunctionText *current = nullptr;
  std::vector<Names> scopes;
  std::set<std::string> blockLabels; ///< of the innermost block
  uint32_t blocksClosed = 0;
};

ModuleText Parser::run() {
  header();
  while (in.peek().kind != Token::End)
    topLevel();
  return std::move(module);
}

void Parser::skipLine(uint32_t line) {
  while (in.peek().kind != Token::End && in.peek().line == line)
    in.take();
}

void Parser::skipSection() {
  in.expectWord("section's name");
  in.expectMark('{');
  while (!in.takeMark('}')) {
    if (in.peek().kind == Token::End)
      failText(in.peek().line, "section has no end");
    in.take();
  }
}

void Parser::header() {
  uint32_t line = in.peek().line;
  if (!in.takeWord(".version"))
    failText(line, "module does not begin with .version");
  // "8.3" reads as a float.
  Token version = in.take();
  double value = 0;
  if (version.kind == Token::Float64)
    std::memcpy(&value, &version.value, 8);
  module.major = static_cast<uint32_t>(value);
  module.minor = static_cast<uint32_t>((value - module.major) * 10 + 0.5);
  if (module.major < 6 || module.major > 9)
    failText(line, "PTX version " + std::string(version.text) + " is not emulated");
  if (!in.takeWord(".target"))
    failText(in.peek().line, "module has no .target");
  module.target = in.expectWord("target");
  while (in.takeMark(','))
    in.expectWord("target's option");
  size_t digits = module.target.find_first_of("0123456789");
  if (module.target.rfind("sm_", 0) != 0 || digits != 3)
    failText(line, "target '" + module.target + "' does not exist");
  size_t end = module.target.find_first_not_of("0123456789", digits);
  module.sm = static_cast<uint32_t>(std::stoul(module.target.substr(digits, 4)));
  module.suffix = end == std::string::npos ? "" : module.target.substr(end);
  if (in.takeWord(".address_size") && in.expectInteger("size of an address") != 64)
    failText(line, "only 64-bit addresses are emulated");
}

void Parser::topLevel() {
  Token first = in.take();
  bool isExtern = false;
  while (first.text == ".visible" || first.text == ".extern" || first.text == ".weak" || first.text == ".common") {
    isExtern |= first.text == ".extern";
    first = in.take();
  }
  if (first.text == ".file")
    return skipLine(first.line);
  if (first.text == ".section")
    return skipSection();
  if (first.text == ".pragma") {
    in.take();
    return in.expectMark(';');
  }
  if (first.text == ".func" || first.text == ".entry")
    return function(first.text == ".entry", isExtern);
  static const std::map<std::string_view, Space> spaces = {
      {".global", Space::Global}, {".shared", Space::Shared}, {".const", Space::Const}};
  auto space = spaces.find(first.text);
  if (space == spaces.end())
    failText(first.line, "'" + std::string(first.text) + "' is not emulated at the top of a module");
  do
    module.variables.push_back(variable(space->second, isExtern));
  while (in.takeMark(','));
  in.expectMark(';');
}

//===----------------------------------------------------------------------===//
// Variables
//===----------------------------------------------------------------------===//

int64_t Parser::signedInteger(const char *what) {
  bool negative = in.takeMark('-');
  auto value = static_cast<int64_t>(in.expectInteger(what));
  return negative ? -value : value;
}

void Parser::initialElement(Variable &made, uint64_t &at, uint32_t elementBytes, bool isFloat) {
  uint64_t value = 0;
  const Token &token = in.peek();
  uint32_t line = token.line;
  auto putSymbol = [&](std::string symbol) {
    if (elementBytes != 8)
      failText(line, "address of '" + symbol + "' in an element that does not have 64 bits is not emulated");
    int64_t addend = in.takeMark('+') ? signedInteger("offset") : 0;
    made.relocations.push_back({at, std::move(symbol), addend});
  };
  if (token.kind == Token::Word && token.text == "generic") {
    in.take();
    in.expectMark('(');
    std::string symbol(in.expectWord("variable"));
    in.expectMark(')');
    putSymbol(std::move(symbol));
  } else if (token.kind == Token::Word) {
    putSymbol(std::string(in.take().text));
  } else if (isFloat) {
    bool negative = in.takeMark('-');
    Token number = in.take();
    double wide = 0;
    if (number.kind == Token::Float32) {
      uint32_t bits = static_cast<uint32_t>(number.value);
      float narrow;
      std::memcpy(&narrow, &bits, 4);
      wide = narrow;
    } else if (number.kind == Token::Float64) {
      std::memcpy(&wide, &number.value, 8);
    } else {
      wide = static_cast<double>(number.value);
    }
    wide = negative ? -wide : wide;
    auto narrow = static_cast<float>(wide);
    if (elementBytes == 4)
      std::memcpy(&value, &narrow, 4);
    else
      std::memcpy(&value, &wide, 8);
  } else {
    value = static_cast<uint64_t>(signedInteger("initial value"));
  }
  if (at + elementBytes > made.bytes)
    failText(line, "'" + made.name + "' has more initial values than elements");
  std::memcpy(made.initial.data() + at, &value, elementBytes);
  at += elementBytes;
}

void Parser::initializer(Variable &made, uint32_t elementBytes, bool isFloat) {
  if (made.space == Space::Shared)
    failText(made.line, "shared variable '" + made.name + "' cannot have an initial value");
  made.initial.assign(made.bytes, 0);
  uint64_t at = 0;
  int depth = 0;
  do {
    while (in.takeMark('{'))
      ++depth;
    if (!in.takeMark('}')) {
      initialElement(made, at, elementBytes, isFloat);
    } else {
      --depth; // an empty list
    }
    while (depth > 0 && in.takeMark('}'))
      --depth;
  } while (depth > 0 && in.takeMark(','));
  if (depth != 0)
    failText(made.line, "initial value of '" + made.name + "' has no end");
}

Variable Parser::variable(Space space, bool isExtern) {
  Variable made;
  made.space = space;
  made.isExtern = isExtern;
  made.line = in.peek().line;
  uint32_t elementBytes = 0, vector = 1;
  bool isFloat = false, hasAlign = false;
  while (in.peek().kind == Token::Word && in.peek().text[0] == '.') {
    std::string_view word = in.take().text;
    if (word == ".align") {
      made.align = static_cast<uint32_t>(in.expectInteger("alignment"));
      hasAlign = true;
    } else if (word == ".v2" || word == ".v4") {
      vector = word == ".v2" ? 2 : 4;
    } else if (word == ".ptr" || word == ".global" || word == ".shared" || word == ".const" || word == ".local") {
      // What a pointer parameter points to; its own .align follows.
      while (in.peek().kind == Token::Word && in.peek().text[0] == '.')
        if (in.take().text == ".align")
          in.expectInteger("alignment");
    } else if (word == ".attribute") {
      failText(made.line, ".attribute is not emulated");
    } else if (uint32_t bits = bitsOfType(word.substr(1)); bits >= 8) {
      elementBytes = bits / 8;
      isFloat = word == ".f32" || word == ".f64";
    } else {
      failText(made.line, "'" + std::string(word) + "' is not a type");
    }
  }
  if (!elementBytes)
    failText(made.line, "variable has no type");
  if (!hasAlign)
    made.align = elementBytes * vector;
  made.name = in.expectWord("variable's name");
  uint64_t count = vector;
  bool isOpen = false;
  while (in.takeMark('[')) {
    if (in.takeMark(']')) {
      isOpen = true;
      continue;
    }
    count *= in.expectInteger("size of an array");
    in.expectMark(']');
  }
  made.bytes = isOpen ? 0 : count * elementBytes;
  if (isOpen && !isExtern && space != Space::Param)
    failText(made.line, "array '" + made.name + "' has no size");
  if (in.takeMark('='))
    initializer(made, elementBytes, isFloat);
  return made;
}

//===----------------------------------------------------------------------===//
// Functions
//===----------------------------------------------------------------------===//

void Parser::parameters(std::vector<Variable> &list) {
  if (in.takeMark(')'))
    return;
  do {
    uint32_t line = in.peek().line;
    if (!in.takeWord(".param"))
      failText(line, "only parameters in .param space are emulated");
    list.push_back(variable(Space::Param, false));
  } while (in.takeMark(','));
  in.expectMark(')');
}

void Parser::attributes() {
  auto sizes = [&](uint32_t *to) {
    for (int i = 0; i < 3; ++i) {
      to[i] = i == 0 || in.takeMark(',') ? static_cast<uint32_t>(in.expectInteger("size")) : 1;
    }
  };
  while (in.peek().kind == Token::Word) {
    Token word = in.take();
    uint32_t unused[3];
    if (word.text == ".maxntid")
      sizes(current->maxThreads);
    else if (word.text == ".reqntid")
      sizes(current->requiredThreads);
    else if (word.text == ".minnctapersm" || word.text == ".maxnreg" || word.text == ".maxnctapersm" ||
             word.text == ".maxclusterrank")
      in.expectInteger("count");
    else if (word.text == ".reqnctapercluster") {
      sizes(unused);
      if (unused[0] * unused[1] * unused[2] != 1)
        failText(word.line, "clusters of more than one block are not emulated");
    } else if (word.text == ".pragma") {
      in.take();
      in.expectMark(';');
    } else if (word.text != ".noreturn" && word.text != ".explicitcluster" && word.text != ".blocksareclusters")
      failText(word.line, "'" + std::string(word.text) + "' of a function is not emulated");
  }
}

void Parser::function(bool isEntry, bool isExtern) {
  FunctionText made;
  made.isEntry = isEntry;
  made.line = in.peek().line;
  current = &made;
  if (in.takeMark('('))
    parameters(made.results);
  made.name = in.expectWord("function's name");
  if (in.takeMark('('))
    parameters(made.parameters);
  attributes();
  if (!in.takeMark(';')) {
    made.hasBody = true;
    in.expectMark('{');
    block();
  } else if (!isExtern && isEntry) {
    failText(made.line, "entry '" + made.name + "' has no body");
  }
  current = nullptr;
  // A declaration may come before its function.
  for (FunctionText &other : module.functions)
    if (other.name == made.name) {
      if (made.hasBody && other.hasBody)
        failText(made.line, "function '" + made.name + "' is defined twice");
      if (made.hasBody)
        other = std::move(made);
      return;
    }
  module.functions.push_back(std::move(made));
}

/// Names of labels and variables hold in their block only: gives those of a block that ends a name of their own.
void Parser::closeBlock(size_t firstStatement, size_t firstVariable, const std::set<std::string> &labels) {
  std::set<std::string> names = labels;
  for (size_t i = firstVariable; i < current->variables.size(); ++i)
    if (current->variables[i].space != Space::Shared)
      names.insert(current->variables[i].name);
  if (names.empty())
    return;
  std::string suffix = "@" + std::to_string(++blocksClosed);
  auto rename = [&](auto &self, Operand &operand) -> void {
    if (names.count(operand.name))
      operand.name += suffix;
    for (Operand &part : operand.parts)
      self(self, part);
  };
  for (size_t i = firstStatement; i < current->statements.size(); ++i) {
    for (Operand &operand : current->statements[i].operands)
      rename(rename, operand);
    for (Operand &operand : current->statements[i].results)
      rename(rename, operand);
  }
  for (size_t i = firstVariable; i < current->variables.size(); ++i)
    if (names.count(current->variables[i].name))
      current->variables[i].name += suffix;
  for (auto &[name, list] : current->targetLists)
    for (std::string &label : list)
      if (labels.count(label))
        label += suffix;
  for (const std::string &label : labels) {
    if (auto found = current->labels.extract(label)) {
      found.key() += suffix;
      current->labels.insert(std::move(found));
    }
    if (auto found = current->targetLists.extract(label)) {
      found.key() += suffix;
      current->targetLists.insert(std::move(found));
    }
  }
}

/// What stands between braces; the opening one is taken.
void Parser::block() {
  scopes.emplace_back();
  std::set<std::string> outerLabels;
  std::swap(outerLabels, blockLabels);
  size_t firstStatement = current->statements.size(), firstVariable = current->variables.size();
  while (!in.takeMark('}')) {
    if (in.peek().kind == Token::End)
      failText(in.peek().line, "function has no end");
    if (in.takeMark('{'))
      block();
    else if (in.peek().kind == Token::Word && in.peek().text[0] == '.')
      directive(in.take().text);
    else
      statement();
  }
  scopes.pop_back();
  if (!scopes.empty())
    closeBlock(firstStatement, firstVariable, blockLabels);
  std::swap(outerLabels, blockLabels);
}

void Parser::registers() {
  uint32_t line = in.peek().line;
  std::string_view type = in.expectWord("type");
  uint32_t bits = type[0] == '.' ? bitsOfType(type.substr(1)) : 0;
  if (bits == 0 || bits > 64)
    failText(line, "registers of type '" + std::string(type) + "' are not emulated");
  auto add = [&](std::string name) {
    auto index = static_cast<uint32_t>(current->registers.size());
    current->registers.push_back({name, bits});
    if (!scopes.back().emplace(std::move(name), index).second)
      failText(line, "register '" + current->registers.back().name + "' is declared twice");
  };
  do {
    std::string name(in.expectWord("register"));
    if (in.takeMark('<')) {
      uint64_t count = in.expectInteger("count of registers");
      in.expectMark('>');
      if (count > 1 << 20)
        failText(line, "more than a million registers");
      for (uint64_t i = 0; i < count; ++i)
        add(name + std::to_string(i));
    } else {
      add(std::move(name));
    }
  } while (in.takeMark(','));
  in.expectMark(';');
}

void Parser::directive(std::string_view name) {
  uint32_t line = in.peek().line;
  if (name == ".reg")
    return registers();
  if (name == ".loc")
    return skipLine(line);
  if (name == ".pragma") {
    in.take();
    return in.expectMark(';');
  }
  static const std::map<std::string_view, Space> spaces = {
      {".shared", Space::Shared}, {".local", Space::Local}, {".param", Space::Param}, {".global", Space::Global},
      {".const", Space::Const}};
  auto space = spaces.find(name);
  if (space == spaces.end())
    failText(line, "'" + std::string(name) + "' is not emulated");
  do {
    Variable made = variable(space->second, false);
    if (space->second == Space::Global || space->second == Space::Const)
      module.variables.push_back(std::move(made));
    else
      current->variables.push_back(std::move(made));
  } while (in.takeMark(','));
  in.expectMark(';');
}

//===----------------------------------------------------------------------===//
// Statements
//===----------------------------------------------------------------------===//

const uint32_t *Parser::findRegister(std::string_view name) const {
  for (size_t i = scopes.size(); i-- > 0;)
    if (auto found = scopes[i].find(name); found != scopes[i].end())
      return &found->second;
  return nullptr;
}

Operand Parser::simpleOperand() {
  Operand made;
  Token token = in.take();
  bool negative = token.kind == Token::Mark && token.mark == '-';
  if (negative || (token.kind == Token::Mark && token.mark == '+'))
    token = in.take();
  switch (token.kind) {
  case Token::Integer:
    made.kind = Operand::Integer;
    made.value = static_cast<int64_t>(negative ? 0 - token.value : token.value);
    return made;
  case Token::Float32:
    made.kind = Operand::Float32;
    made.value = static_cast<int64_t>(token.value ^ (negative ? 0x80000000u : 0u));
    return made;
  case Token::Float64:
    made.kind = Operand::Float64;
    made.value = static_cast<int64_t>(token.value ^ (negative ? uint64_t(1) << 63 : 0u));
    return made;
  case Token::Word:
    if (negative)
      break;
    if (token.text == "_")
      return made;
    if (const uint32_t *reg = findRegister(token.text)) {
      made.kind = Operand::Register;
      made.reg = *reg;
      return made;
    }
    if (token.text == "WARP_SZ") {
      made.kind = Operand::Integer;
      made.value = 32;
      return made;
    }
    made.name = token.text;
    if (token.text[0] == '%') {
      made.kind = Operand::Special;
      return made;
    }
    made.kind = Operand::Symbol;
    if (in.takeMark('+'))
      made.value = signedInteger("offset");
    return made;
  default:
    break;
  }
  failText(token.line, "'" + std::string(token.text) + "' is not an operand");
}

Operand Parser::address() {
  Operand made;
  made.kind = Operand::Address;
  Operand base = simpleOperand();
  switch (base.kind) {
  case Operand::Register:
    made.hasReg = true;
    made.reg = base.reg;
    break;
  case Operand::Symbol:
    made.name = base.name;
    made.value = base.value;
    break;
  case Operand::Integer:
    made.value = base.value;
    break;
  default:
    failText(in.peek().line, "base of an address is neither a register nor a variable");
  }
  if (in.takeMark('+'))
    made.value += signedInteger("offset");
  else if (in.peek().kind == Token::Mark && in.peek().mark == '-')
    made.value += signedInteger("offset");
  if (in.takeMark(','))
    made.parts = {operand()};
  in.expectMark(']');
  return made;
}

Operand Parser::operand() {
  bool negated = in.takeMark('!');
  Operand made;
  if (in.takeMark('[')) {
    made = address();
  } else if (in.takeMark('{')) {
    made.kind = Operand::Vector;
    made.parts = operandList('}');
  } else {
    made = simpleOperand();
    if (in.takeMark('|'))
      made.parts = {simpleOperand()};
  }
  made.negated = negated;
  return made;
}

std::vector<Operand> Parser::operandList(char end) {
  std::vector<Operand> list;
  if (in.takeMark(end))
    return list;
  do
    list.push_back(operand());
  while (in.takeMark(','));
  in.expectMark(end);
  return list;
}

void Parser::call(Statement &made) {
  if (in.takeMark('(')) {
    made.results = operandList(')');
    in.expectMark(',');
  }
  made.operands.push_back(operand());
  if (in.takeMark(',')) {
    uint32_t line = in.peek().line;
    if (!in.takeMark('('))
      failText(line, "call has no list of arguments");
    for (Operand &argument : operandList(')'))
      made.operands.push_back(std::move(argument));
    if (in.takeMark(','))
      failText(line, "calls through a prototype are not emulated");
  }
  in.expectMark(';');
}

void Parser::targets(const std::string &label) {
  std::vector<std::string> &list = current->targetLists[label];
  do
    list.emplace_back(in.expectWord("label"));
  while (in.takeMark(','));
  in.expectMark(';');
}

void Parser::statement() {
  Statement made;
  Token first = in.take();
  made.line = first.line;
  if (first.kind == Token::Mark && first.mark == ';')
    return;
  if (first.kind == Token::Mark && first.mark == '@') {
    made.guardNegated = in.takeMark('!');
    std::string_view name = in.expectWord("predicate");
    const uint32_t *reg = findRegister(name);
    if (!reg || current->registers[*reg].bits != 1)
      failText(made.line, "'" + std::string(name) + "' is not a predicate");
    made.guard = static_cast<int32_t>(*reg);
    first = in.take();
  } else if (in.peek().kind == Token::Mark && in.peek().mark == ':') {
    in.take();
    std::string label(first.text);
    blockLabels.insert(label);
    if (in.takeWord(".branchtargets"))
      return targets(label);
    if (in.peek().kind == Token::Word && in.peek().text == ".callprototype")
      failText(made.line, "calls through a prototype are not emulated");
    if (!current->labels.emplace(label, static_cast<uint32_t>(current->statements.size())).second)
      failText(made.line, "label '" + label + "' stands twice");
    return;
  }
  if (first.kind != Token::Word)
    failText(made.line, "'" + std::string(first.text) + "' is not an instruction");
  made.opcode = first.text;
  if (made.opcode == "call" || made.opcode == "call.uni")
    call(made);
  else
    made.operands = operandList(';');
  current->statements.push_back(std::move(made));
}

} // namespace

ModuleText parseModule(std::string_view text) { return Parser(text).run(); }

} // namespace tenon::emulator
