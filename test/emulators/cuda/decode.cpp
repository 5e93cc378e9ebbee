// See decode.h: what all families of instructions share.
#include "decode.h"

#include "lanes.h"

#include <algorithm>

namespace tenon::emulator {

//===----------------------------------------------------------------------===//
// Types and modifiers
//===----------------------------------------------------------------------===//

Type typeNamed(std::string_view name) {
  static const std::map<std::string_view, Type> types = {
      {"pred", Type::Pred},     {"b8", Type::B8},         {"b16", Type::B16},       {"b32", Type::B32},
      {"b64", Type::B64},       {"b128", Type::B128},     {"u8", Type::U8},         {"u16", Type::U16},
      {"u32", Type::U32},       {"u64", Type::U64},       {"s8", Type::S8},         {"s16", Type::S16},
      {"s32", Type::S32},       {"s64", Type::S64},       {"u16x2", Type::U16x2},   {"s16x2", Type::S16x2},
      {"f16", Type::F16},       {"f16x2", Type::F16x2},   {"bf16", Type::BF16},     {"bf16x2", Type::BF16x2},
      {"tf32", Type::TF32},     {"f32", Type::F32},       {"f32x2", Type::F32x2},   {"f64", Type::F64},
      {"e4m3", Type::E4M3},     {"e5m2", Type::E5M2},     {"e4m3x2", Type::E4M3x2}, {"e5m2x2", Type::E5M2x2}};
  auto found = types.find(name);
  return found == types.end() ? Type::None : found->second;
}

uint32_t bitsOf(Type type) {
  switch (type) {
  case Type::None:
    return 0;
  case Type::Pred:
    return 1;
  case Type::B8:
  case Type::U8:
  case Type::S8:
  case Type::E4M3:
  case Type::E5M2:
    return 8;
  case Type::B16:
  case Type::U16:
  case Type::S16:
  case Type::F16:
  case Type::BF16:
  case Type::E4M3x2:
  case Type::E5M2x2:
    return 16;
  case Type::B64:
  case Type::U64:
  case Type::S64:
  case Type::F64:
  case Type::F32x2:
    return 64;
  case Type::B128:
    return 128;
  default:
    return 32;
  }
}

bool isSigned(Type type) {
  return type == Type::S8 || type == Type::S16 || type == Type::S32 || type == Type::S64 || type == Type::S16x2;
}
bool isInteger(Type type) { return type >= Type::B8 && type <= Type::S64; }
bool isFloat(Type type) { return type >= Type::F16; }

Modifiers::Modifiers(const Statement &statement) : statement(statement) {
  const std::string &text = statement.opcode;
  size_t at = text.find('.');
  base = text.substr(0, at);
  while (at != std::string::npos) {
    size_t next = text.find('.', at + 1);
    parts.push_back(text.substr(at + 1, next == std::string::npos ? next : next - at - 1));
    at = next;
  }
}

bool Modifiers::take(std::string_view modifier) {
  auto found = std::find(parts.begin(), parts.end(), modifier);
  if (found == parts.end())
    return false;
  parts.erase(found);
  return true;
}

int Modifiers::takeOneOf(std::initializer_list<std::string_view> words) {
  int index = 0;
  for (std::string_view word : words) {
    if (take(word))
      return index;
    ++index;
  }
  return -1;
}

std::optional<Type> Modifiers::takeTypeIfAny() {
  for (size_t i = 0; i < parts.size(); ++i)
    if (Type type = typeNamed(parts[i]); type != Type::None) {
      parts.erase(parts.begin() + static_cast<ptrdiff_t>(i));
      return type;
    }
  return std::nullopt;
}

Type Modifiers::takeType() {
  if (std::optional<Type> type = takeTypeIfAny())
    return *type;
  fail("has no type");
}

Space Modifiers::takeSpace() {
  if (take("global"))
    return Space::Global;
  if (take("shared") || take("shared::cta"))
    return Space::Shared;
  if (take("local"))
    return Space::Local;
  if (take("const"))
    return Space::Const;
  if (take("param") || take("param::entry") || take("param::func"))
    return Space::Param;
  return Space::Generic;
}

void Modifiers::takeMemoryQualifiers() {
  for (std::string_view word :
       {"weak", "relaxed", "acquire", "release", "acq_rel", "volatile", "mmio", "cta", "cluster", "gpu", "sys", "nc",
        "ca", "cg", "cs", "lu", "cv", "wb", "wt", "sc", "noftz", "L1::evict_normal", "L1::evict_unchanged",
        "L1::evict_first", "L1::evict_last", "L1::no_allocate", "L2::evict_first", "L2::evict_last", "L2::evict_normal",
        "L2::64B", "L2::128B", "L2::256B"})
    take(word);
}

std::string_view Modifiers::rest() const { return parts.empty() ? std::string_view() : std::string_view(parts[0]); }

void Modifiers::fail(const std::string &what) const {
  failText(statement.line, "'" + statement.opcode + "' " + what);
}

//===----------------------------------------------------------------------===//
// Operands
//===----------------------------------------------------------------------===//

Decoder::Decoder(const FunctionText &text, Function &function, Kernel &kernel, const SymbolTable &symbols)
    : text(text), function(function), kernel(kernel), symbols(symbols) {
  // Predicates first, all in one place; then the others, each aligned to a cache line.
  places.resize(text.registers.size());
  uint32_t at = 0;
  carryPlace = at, at += 4;
  for (size_t i = 0; i < places.size(); ++i)
    if (text.registers[i].bits == 1)
      places[i] = at, at += 4;
  function.registerBytes = at;
  for (size_t i = 0; i < places.size(); ++i)
    if (text.registers[i].bits != 1)
      places[i] = place(text.registers[i].bits);
  layOutLocals();
}

uint32_t Decoder::place(uint32_t bits) {
  uint32_t at = bits == 1 ? function.registerBytes : (function.registerBytes + 63) & ~63u;
  function.registerBytes = at + (bits == 1 ? 4 : bits / 8 * kLanes);
  return at;
}

uint32_t Decoder::scratch(uint32_t bits) { return place(bits); }
uint32_t Decoder::carry() { return carryPlace; }

void Decoder::fail(const std::string &what) const {
  if (statement)
    failText(statement->line, "'" + statement->opcode + "': " + what);
  failText(text.line, "function '" + text.name + "': " + what);
}

void Decoder::layOutLocals() {
  uint32_t at = 0;
  auto put = [&](const Variable &variable) {
    at = (at + variable.align - 1) / variable.align * variable.align;
    locals[variable.name] = {at, static_cast<uint32_t>(variable.bytes)};
    at += static_cast<uint32_t>(variable.bytes);
  };
  uint32_t parameterAt = 0;
  for (const Variable &parameter : text.parameters) {
    if (!text.isEntry) {
      put(parameter);
      continue;
    }
    parameterAt = (parameterAt + parameter.align - 1) / parameter.align * parameter.align;
    parameters[parameter.name] = parameterAt;
    kernel.parameters.push_back({parameterAt, static_cast<uint32_t>(parameter.bytes)});
    parameterAt += static_cast<uint32_t>(parameter.bytes);
  }
  if (text.isEntry)
    kernel.parameterBytes = parameterAt;
  for (const Variable &result : text.results)
    put(result);
  for (const Variable &variable : text.variables)
    if (variable.space != Space::Shared)
      put(variable);
  function.localBytes = (at + 15) & ~15u;
}

std::optional<uint32_t> Decoder::localOffset(const std::string &name) const {
  auto found = locals.find(name);
  return found == locals.end() ? std::nullopt : std::optional<uint32_t>(found->second.first);
}

std::optional<uint32_t> Decoder::parameterOffset(const std::string &name) const {
  auto found = parameters.find(name);
  return found == parameters.end() ? std::nullopt : std::optional<uint32_t>(found->second);
}

uint32_t Decoder::constant(uint64_t value, uint32_t bits) {
  if (bits < 64 && bits > 1)
    value &= (uint64_t(1) << bits) - 1;
  auto [found, isNew] = constants.try_emplace({bits, value}, 0);
  if (isNew) {
    size_t at = (function.constants.size() + 63) & ~size_t(63), width = bits == 1 ? 4 : bits / 8;
    function.constants.resize(at + (bits == 1 ? 4 : width * kLanes));
    if (bits == 1)
      value = value ? ~uint64_t(0) : 0;
    for (size_t i = 0; i < (bits == 1 ? 1 : size_t(kLanes)); ++i)
      std::memcpy(function.constants.data() + at + i * width, &value, width);
    found->second = static_cast<uint32_t>(at) | kConstantBit;
  }
  return found->second;
}

uint32_t Decoder::special(const Operand &operand, uint32_t bits) {
  using enum SpecialRegister;
  static const std::map<std::string_view, SpecialRegister> names = {
      {"%tid.x", TidX}, {"%tid.y", TidY}, {"%tid.z", TidZ}, {"%ntid.x", NtidX}, {"%ntid.y", NtidY}, {"%ntid.z", NtidZ},
      {"%ctaid.x", CtaidX}, {"%ctaid.y", CtaidY}, {"%ctaid.z", CtaidZ}, {"%nctaid.x", NctaidX},
      {"%nctaid.y", NctaidY}, {"%nctaid.z", NctaidZ}, {"%laneid", LaneId}, {"%warpid", WarpId}, {"%nwarpid", NwarpId},
      {"%smid", SmId}, {"%nsmid", NsmId}, {"%gridid", GridId}, {"%lanemask_eq", LaneMaskEq},
      {"%lanemask_lt", LaneMaskLt}, {"%lanemask_le", LaneMaskLe}, {"%lanemask_gt", LaneMaskGt},
      {"%lanemask_ge", LaneMaskGe}, {"%dynamic_smem_size", DynamicSharedBytes}, {"%total_smem_size", TotalSharedBytes},
      {"%cluster_ctarank", Zero}, {"%cluster_ctaid.x", Zero}, {"%cluster_ctaid.y", Zero}, {"%cluster_ctaid.z", Zero},
      {"%cluster_nctarank", One}, {"%cluster_nctaid.x", One}, {"%cluster_nctaid.y", One}, {"%cluster_nctaid.z", One},
      {"%clusterid.x", CtaidX}, {"%clusterid.y", CtaidY}, {"%clusterid.z", CtaidZ}, {"%nclusterid.x", NctaidX},
      {"%nclusterid.y", NctaidY}, {"%nclusterid.z", NctaidZ}};
  auto found = names.find(operand.name);
  if (found == names.end())
    fail("register '" + operand.name + "' is not declared and not a special one that is emulated here");
  if (bits != 32)
    fail("register '" + operand.name + "' has 32 bits");
  auto [at, isNew] = specialPlaces.try_emplace(operand.name, 0);
  if (isNew) {
    at->second = place(32);
    function.specials.emplace_back(found->second, at->second);
  }
  return at->second;
}

uint32_t Decoder::sourceOf(const Operand &operand, Type type) {
  uint32_t bits = bitsOf(type);
  uint64_t literal = static_cast<uint64_t>(operand.value);
  if (operand.kind == Operand::Float64 && type == Type::F32)
    return constant(bitsAs<uint32_t>(static_cast<float>(bitsAs<double>(literal))), 32);
  if (operand.kind == Operand::Float32 && type == Type::F64)
    return constant(bitsAs<uint64_t>(static_cast<double>(bitsAs<float>(static_cast<uint32_t>(literal)))), 64);
  if (operand.kind == Operand::Integer && (type == Type::F32 || type == Type::F64))
    fail("number " + std::to_string(operand.value) + " is not a float");
  return source(operand, bits);
}

uint32_t Decoder::source(const Operand &operand, uint32_t bits) {
  uint32_t actual = 0;
  uint32_t place = wideSource(operand, bits, actual);
  if (actual != bits)
    fail("register '" + text.registers[operand.reg].name + "' has " + std::to_string(actual) + " bits, not " +
         std::to_string(bits));
  return place;
}

uint32_t Decoder::wideSource(const Operand &operand, uint32_t bits, uint32_t &actual) {
  actual = bits;
  if (operand.negated)
    fail("'!' stands before something that is not a predicate here");
  switch (operand.kind) {
  case Operand::Register:
    actual = text.registers[operand.reg].bits;
    if (actual < bits)
      fail("register '" + text.registers[operand.reg].name + "' has less than " + std::to_string(bits) + " bits");
    return places[operand.reg];
  case Operand::Integer:
    return constant(static_cast<uint64_t>(operand.value), bits);
  case Operand::Float32:
    if (bits != 32)
      fail("a float of 32 bits stands where " + std::to_string(bits) + " bits are read");
    return constant(static_cast<uint64_t>(operand.value), bits);
  case Operand::Float64:
    if (bits != 64)
      fail("a float of 64 bits stands where " + std::to_string(bits) + " bits are read");
    return constant(static_cast<uint64_t>(operand.value), bits);
  case Operand::Special:
    return special(operand, bits);
  case Operand::Symbol: {
    Instruction address;
    Operand base = operand;
    base.kind = Operand::Address;
    if (localOffset(operand.name))
      fail("address of local variable '" + operand.name + "' can only be moved");
    this->address(base, Space::Generic, address);
    uint64_t value;
    std::memcpy(&value, function.constants.data() + (address.a & ~kConstantBit), 8);
    return constant(value + static_cast<uint64_t>(address.immediate), bits);
  }
  default:
    fail("operand is not a value");
  }
}

uint32_t Decoder::dest(const Operand &operand, uint32_t bits) {
  uint32_t actual = 0;
  uint32_t place = wideDest(operand, bits, actual);
  if (actual != bits)
    fail("register '" + text.registers[operand.reg].name + "' has " + std::to_string(actual) + " bits, not " +
         std::to_string(bits));
  return place;
}

uint32_t Decoder::wideDest(const Operand &operand, uint32_t bits, uint32_t &actual) {
  actual = bits;
  if (operand.kind == Operand::Sink) {
    uint32_t &place = sink[bits == 64 ? 0 : bits == 32 ? 1 : bits == 1 ? 2 : 3];
    if (!place)
      place = this->place(bits < 16 && bits != 1 ? 16 : bits);
    return place;
  }
  if (operand.kind != Operand::Register)
    fail("result is not a register");
  actual = text.registers[operand.reg].bits;
  if (actual < bits)
    fail("register '" + text.registers[operand.reg].name + "' has less than " + std::to_string(bits) + " bits");
  return places[operand.reg];
}

uint32_t Decoder::predicate(const Operand &operand, uint32_t &flip) {
  flip = operand.negated ? ~0u : 0;
  if (operand.kind == Operand::Integer)
    return constant(operand.value ? 1 : 0, 1);
  if (operand.kind != Operand::Register || text.registers[operand.reg].bits != 1)
    fail("operand is not a predicate");
  return places[operand.reg];
}

void Decoder::address(const Operand &operand, Space space, Instruction &made) {
  if (operand.kind != Operand::Address)
    fail("operand is not an address");
  made.immediate = operand.value;
  if (operand.hasReg) {
    uint32_t bits = text.registers[operand.reg].bits;
    if (bits != 64 && !(bits == 32 && (space == Space::Shared || space == Space::Local)))
      fail("register '" + text.registers[operand.reg].name + "' cannot hold an address");
    made.a = places[operand.reg];
    made.wideBase = bits == 64;
    return;
  }
  made.wideBase = 1;
  if (operand.name.empty()) {
    if (space != Space::Local)
      fail("a number is not an address here");
    made.a = constant(0, 64);
  } else if (auto global = symbols.globals.find(operand.name); global != symbols.globals.end()) {
    made.a = constant(global->second, 64);
  } else if (auto shared = symbols.shared.find(operand.name); shared != symbols.shared.end()) {
    made.a = constant(shared->second, 64);
  } else if (std::optional<uint32_t> offset = parameterOffset(operand.name)) {
    made.a = constant(kParamWindow + *offset, 64);
  } else {
    fail("'" + operand.name + "' is not a variable");
  }
}

int64_t Decoder::integer(const Operand &operand, int64_t low, int64_t high) {
  if (operand.kind != Operand::Integer || operand.value < low || operand.value > high)
    fail("operand is not a number from " + std::to_string(low) + " to " + std::to_string(high));
  return operand.value;
}

const uint32_t *Decoder::list(std::vector<uint32_t> values) {
  function.lists.emplace_back(new uint32_t[values.size()]);
  std::copy(values.begin(), values.end(), function.lists.back().get());
  return function.lists.back().get();
}

void Decoder::expectOperands(size_t low, size_t high) const {
  size_t count = statement->operands.size();
  if (count < low || count > std::max(low, high))
    fail("instruction has " + std::to_string(count) + " operands");
}

void Decoder::require(uint32_t sm, uint32_t version, bool onlyThere) const {
  const ModuleText &module = *symbols.module;
  if (module.sm < sm || (onlyThere && module.suffix.empty()))
    fail("needs target sm_" + std::to_string(sm) + (onlyThere ? "a" : "") + ", not " + module.target);
  if (module.major * 10 + module.minor < version)
    fail("needs PTX version " + std::to_string(version / 10) + "." + std::to_string(version % 10));
}

Instruction &Decoder::add(Handler handler) {
  if (!handler)
    fail("not emulated for this type");
  Instruction made;
  made.run = handler;
  made.line = statement ? statement->line : text.line;
  made.guard = constant(1, 1);
  if (statement && statement->guard >= 0) {
    made.guard = places[static_cast<size_t>(statement->guard)];
    made.guardFlip = statement->guardNegated ? ~0u : 0;
  }
  function.code.push_back(made);
  return function.code.back();
}

//===----------------------------------------------------------------------===//
// Control
//===----------------------------------------------------------------------===//

void Decoder::target(const Operand &operand, Instruction &made) {
  if (operand.kind != Operand::Symbol)
    fail("target is not a label");
  targetOf(operand.name); // fails here, where the statement is known
  openTargets.emplace_back(static_cast<size_t>(&made - function.code.data()), operand.name);
}

uint32_t Decoder::targetOf(const std::string &label) const {
  auto found = text.labels.find(label);
  if (found == text.labels.end())
    fail("label '" + label + "' is not in this function");
  return found->second;
}

const std::vector<std::string> *Decoder::targetList(const std::string &label) const {
  auto found = text.targetLists.find(label);
  return found == text.targetLists.end() ? nullptr : &found->second;
}

const CallPlan *Decoder::call(const Statement &from) {
  const Operand &name = from.operands[0];
  if (name.kind != Operand::Symbol)
    fail("calls of functions that are not named are not emulated");
  const FunctionText *callee = nullptr;
  for (const FunctionText &other : symbols.module->functions)
    if (other.name == name.name && !other.isEntry && other.hasBody)
      callee = &other;
  if (!callee)
    fail("function '" + name.name + "' is not in this module");
  if (from.operands.size() - 1 != callee->parameters.size() || from.results.size() != callee->results.size())
    fail("function '" + name.name + "' has another number of arguments or results");
  const Function *made = nullptr;
  for (const auto &other : kernel.functions)
    if (other->name == name.name)
      made = other.get();
  if (!made) {
    kernel.functions.push_back(std::make_unique<Function>());
    Function &fresh = *kernel.functions.back();
    fresh.name = name.name;
    Decoder(*callee, fresh, kernel, symbols).run();
    made = &fresh;
  }
  kernel.calls.push_back(std::make_unique<CallPlan>());
  CallPlan &plan = *kernel.calls.back();
  plan.callee = made;
  // The callee lays out its parameters and results first, in order.
  uint32_t at = 0;
  auto connect = [&](const Variable &variable, const Operand &operand, std::vector<CallPlan::Move> &moves) {
    at = (at + variable.align - 1) / variable.align * variable.align;
    auto local = operand.kind == Operand::Symbol ? locals.find(operand.name) : locals.end();
    if (local == locals.end())
      fail("arguments and results of calls must be .param variables");
    if (local->second.second != variable.bytes)
      fail("'" + operand.name + "' and '" + variable.name + "' differ in size");
    moves.push_back({local->second.first, at, static_cast<uint32_t>(variable.bytes)});
    at += static_cast<uint32_t>(variable.bytes);
  };
  for (size_t i = 0; i < callee->parameters.size(); ++i)
    connect(callee->parameters[i], from.operands[i + 1], plan.arguments);
  for (size_t i = 0; i < callee->results.size(); ++i)
    connect(callee->results[i], from.results[i], plan.results);
  return &plan;
}

static const DecoderTable &decoders() {
  static const DecoderTable table = [] {
    DecoderTable made;
    addMoves(made);
    addLoadsAndStores(made);
    addAtomics(made);
    addIntegers(made);
    addBits(made);
    addFloats(made);
    addComparisons(made);
    addConversions(made);
    addControl(made);
    addWarpOperations(made);
    addMatrices(made);
    addAsyncCopies(made);
    addBarrierObjects(made);
    addWarpgroupProducts(made);
    return made;
  }();
  return table;
}

void Decoder::run() {
  function.name = text.name;
  for (const Statement &next : text.statements) {
    statement = &next;
    starts.push_back(static_cast<uint32_t>(function.code.size()));
    Modifiers modifiers(next);
    auto found = decoders().find(modifiers.name());
    if (found == decoders().end())
      fail("instruction is not emulated");
    found->second(*this, next, modifiers);
    if (std::string_view rest = modifiers.rest(); !rest.empty())
      fail("'." + std::string(rest) + "' is not emulated here");
  }
  // A function ends as if with `ret`.
  static const Statement end = [] {
    Statement made;
    made.opcode = "ret";
    return made;
  }();
  statement = nullptr;
  starts.push_back(static_cast<uint32_t>(function.code.size()));
  Modifiers modifiers(end);
  decoders().find("ret")->second(*this, end, modifiers);
  for (auto &[index, label] : openTargets)
    function.code[index].immediate = starts[targetOf(label)];
  for (Instruction &made : function.code)
    if (made.option == 0xff) // a table of branches: labels' statements become their instructions
      for (uint32_t i = 0; i < made.count; ++i)
        const_cast<uint32_t *>(made.list)[i] = starts[made.list[i]];
  // Handlers may read an operand that an instruction does not have.
  function.registerBytes = std::max((function.registerBytes + 63) & ~63u, 256u);
}

std::unique_ptr<Kernel> decodeKernel(const FunctionText &entry, const SymbolTable &symbols) {
  auto kernel = std::make_unique<Kernel>();
  kernel->name = entry.name;
  Decoder(entry, kernel->entry, *kernel, symbols).run();
  if (entry.maxThreads[0])
    kernel->maxThreads = entry.maxThreads[0] * entry.maxThreads[1] * entry.maxThreads[2];
  if (entry.requiredThreads[0])
    std::copy(entry.requiredThreads, entry.requiredThreads + 3, kernel->requiredThreads);
  return kernel;
}

} // namespace tenon::emulator
