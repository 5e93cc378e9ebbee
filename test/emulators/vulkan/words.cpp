#include "words.h"

#include <map>

namespace emulated {

// Numbers of the SPIR-V specification.
enum Op : uint32_t {
  ExtensionOp = 10, ExtInst = 12, CapabilityOp = 17, TypeVoid = 19, TypeBool = 20, TypeInt = 21, TypeFloat = 22, TypeArray = 28,
  TypePointer = 32, TypeFunction = 33, Constant = 43, Function = 54, FunctionParameter = 55, FunctionEnd = 56, FunctionCall = 57,
  Variable = 59, Load = 61, Store = 62, CopyMemory = 63, AccessChain = 65, Decorate = 71, CompositeConstruct = 80,
  CopyObject = 83, UConvert = 113, FConvert = 115, IAdd = 128, FAdd = 129, IMul = 132, FMul = 133, UDiv = 134, UMod = 137,
  ULessThan = 176, Phi = 245, LoopMerge = 246, SelectionMerge = 247, Label = 248, Branch = 249, BranchConditional = 250,
  ReturnOp = 253, Unreachable = 255,
  TypeMatrix = 4456, MatrixLoad = 4457, MatrixStore = 4458, MatrixMulAdd = 4459, MatrixLength = 4460
};
enum : uint32_t {
  kHeader = 5, kBuiltIn = 11, kSubgroupSize = 36, kSubgroupId = 40, kLane = 41, kThreadIndex = 29, kFunctionStorage = 7,
  kColumnMajor = 1, kNonPrivate = 32, kSide = 16, kA = 0, kB = 1
};

namespace {
struct Instruction {
  uint32_t op;
  Words operands;
};

class Rewriter {
public:
  Rewriter(const uint32_t *words, size_t count);
  Words run(std::string &error);

private:
  uint32_t newId() { return bound++; }
  void emit(Words &to, uint32_t op, const Words &operands) {
    to.push_back(static_cast<uint32_t>(operands.size() + 1) << 16 | op);
    to.insert(to.end(), operands.begin(), operands.end());
  }
  /// A declaration that is made when it is first wanted.
  uint32_t declare(uint32_t op, const Words &operands, bool hasType);
  uint32_t intType() { return declare(TypeInt, {32, 0}, false); }
  uint32_t constant(uint32_t value) { return declare(Constant, {intType(), value}, true); }
  uint32_t pointerTo(uint32_t type) { return declare(TypePointer, {kFunctionStorage, type}, false); }
  bool isMatrix(uint32_t type) const { return components.count(type); }
  /// The variable that holds a matrix.
  uint32_t placeOf(uint32_t id);
  uint32_t addVariable(uint32_t type);

  uint32_t constantOf(uint32_t type, uint64_t value);
  /// Elements of a matrix that a thread holds.
  uint32_t countOf(uint32_t type) const { return uses.at(type) == kA ? 8 * kSide : uses.at(type) == kB ? kSide : 8; }
  uint32_t elementOf(Words &to, uint32_t type, uint32_t place, uint32_t number);
  void move(Words &to, bool isLoad, uint32_t type, uint32_t place, uint32_t chain, uint32_t layout, uint32_t stride);
  void multiply(Words &to, const Words &w);

  void collect();
  void rewriteFunction(size_t begin, size_t end);
  void rewrite(const Instruction &i, Words &to);
  void fail(const std::string &text) {
    if (problem.empty())
      problem = text;
  }

  std::vector<Instruction> all;
  Words head, result, declarations, variables;
  uint32_t firstRow = 0, ownColumn = 0; ///< of the thread's elements of a sum: rows two apart
  uint32_t bound;
  std::string problem;
  std::map<uint32_t, uint32_t> components;       ///< of matrix types
  std::map<uint32_t, uint32_t> useIds, widths;
  std::map<uint32_t, uint32_t> typeOf;           ///< of every value
  std::map<uint32_t, const Instruction *> maker; ///< of every value
  std::map<uint32_t, uint32_t> places;           ///< variables of matrices
  std::map<uint32_t, uint32_t> builtins;         ///< variables that tell of subgroups, and which
  std::map<Words, uint32_t> declared;
  std::map<uint32_t, uint32_t> uses;             ///< of matrix types
};
} // namespace

Rewriter::Rewriter(const uint32_t *words, size_t count) : head(words, words + kHeader), bound(words[3]) {
  for (size_t at = kHeader; at < count;) {
    uint32_t length = words[at] >> 16;
    if (length == 0 || length > count - at) {
      fail("the words are damaged");
      return;
    }
    all.push_back({words[at] & 0xffff, Words(words + at + 1, words + at + length)});
    at += length;
  }
}

static bool hasResult(uint32_t op) {
  switch (op) {
  case Store: case CopyMemory: case MatrixStore: case Branch: case BranchConditional: case LoopMerge: case SelectionMerge:
  case Label: case ReturnOp: case Unreachable: case FunctionEnd: case 251: /*Switch*/ case 224: /*ControlBarrier*/
  case 225: /*MemoryBarrier*/
    return false;
  default:
    return true;
  }
}

uint32_t Rewriter::declare(uint32_t op, const Words &operands, bool hasType) {
  Words key{op};
  key.insert(key.end(), operands.begin(), operands.end());
  uint32_t &id = declared[key];
  if (!id) {
    id = newId();
    Words all(operands);
    all.insert(all.begin() + (hasType ? 1 : 0), id);
    emit(declarations, op, all);
  }
  return id;
}

/// What exists already is not declared again.
void Rewriter::collect() {
  for (const Instruction &i : all) {
    const Words &w = i.operands;
    switch (i.op) {
    case TypeVoid: declared[{TypeVoid}] = w[0]; break;
    case TypeBool: declared[{TypeBool}] = w[0]; break;
    case TypeFloat: declared[{TypeFloat, w[1]}] = w[0]; break;
    case TypeInt: declared[{TypeInt, w[1], w[2]}] = w[0]; widths[w[0]] = w[1]; break;
    case TypeMatrix: components[w[0]] = w[1]; useIds[w[0]] = w[5]; break;
    case Decorate:
      if (w[1] == kBuiltIn && (w[2] == kSubgroupSize || w[2] == kSubgroupId || w[2] == kLane))
        builtins[w[0]] = w[2];
      break;
    default: break;
    }
    if ((i.op >= Constant || i.op == ExtInst) && i.op != Decorate && w.size() >= 2 && hasResult(i.op)) {
      typeOf[w[1]] = w[0];
      maker[w[1]] = &i;
    }
  }
  for (auto [type, id] : useIds)
    uses[type] = maker[id]->operands[2];
}

uint32_t Rewriter::addVariable(uint32_t type) {
  uint32_t id = newId();
  emit(variables, Variable, {pointerTo(type), id, kFunctionStorage});
  return id;
}

uint32_t Rewriter::placeOf(uint32_t id) {
  uint32_t &place = places[id];
  if (!place)
    place = addVariable(typeOf[id]);
  return place;
}

uint32_t Rewriter::constantOf(uint32_t type, uint64_t value) {
  bool isWide = widths[type] == 64;
  Words operands{type, static_cast<uint32_t>(value)};
  if (isWide)
    operands.push_back(static_cast<uint32_t>(value >> 32));
  return declare(Constant, operands, true);
}

uint32_t Rewriter::elementOf(Words &to, uint32_t type, uint32_t place, uint32_t number) {
  uint32_t pointer = newId();
  emit(to, AccessChain, {pointerTo(components[type]), pointer, place, constant(number)});
  return pointer;
}

/// Between a thread's elements and an array, from an element on.
void Rewriter::move(Words &to, bool isLoad, uint32_t type, uint32_t place, uint32_t chain, uint32_t layout, uint32_t stride) {
  const Words &access = maker[chain]->operands; // type, result, array, index
  uint32_t indexType = typeOf[access[3]], i32 = intType(), use = uses[type], step = maker[stride]->operands[2];
  bool isAcross = maker[layout]->operands[2] == kColumnMajor;
  uint32_t perRow = isAcross ? 1 : step, perColumn = isAcross ? step : 1;
  // What depends on the thread.
  uint32_t rows = newId(), columns = newId(), offset = newId(), wide = newId(), base = newId();
  emit(to, IMul, {i32, rows, firstRow, constant(use == kB ? 0 : perRow)});
  emit(to, IMul, {i32, columns, ownColumn, constant(use == kA ? 0 : perColumn)});
  emit(to, IAdd, {i32, offset, rows, columns});
  emit(to, indexType == i32 ? CopyObject : UConvert, {indexType, wide, offset});
  emit(to, IAdd, {indexType, base, access[3], wide});
  for (uint32_t n = 0; n < countOf(type); ++n) {
    uint32_t row = use == kA ? n / kSide * 2 : use == kB ? n : 2 * n, column = use == kA ? n % kSide : 0;
    uint32_t at = newId(), there = newId(), value = newId(), here = elementOf(to, type, place, n);
    emit(to, IAdd, {indexType, at, base, constantOf(indexType, row * perRow + column * perColumn)});
    emit(to, AccessChain, {access[0], there, access[2], at});
    if (isLoad) {
      emit(to, Load, {components[type], value, there, kNonPrivate});
      emit(to, Store, {here, value});
    } else {
      emit(to, Load, {components[type], value, here});
      emit(to, Store, {there, value, kNonPrivate});
    }
  }
}

/// Sums in the order of k, each step rounded.
void Rewriter::multiply(Words &to, const Words &w) {
  uint32_t sumType = components[w[0]], a = typeOf[w[2]], b = typeOf[w[3]];
  auto read = [&](uint32_t type, uint32_t id, uint32_t number) {
    uint32_t value = newId(), wide = newId(), pointer = elementOf(to, type, placeOf(id), number);
    emit(to, Load, {components[type], value, pointer});
    if (components[type] == sumType)
      return value;
    emit(to, FConvert, {sumType, wide, value});
    return wide;
  };
  for (uint32_t n = 0; n < countOf(w[0]); ++n) {
    uint32_t sum = read(w[0], w[4], n);
    for (uint32_t k = 0; k < kSide; ++k) {
      uint32_t x = read(a, w[2], n * kSide + k), y = read(b, w[3], k), product = newId(), next = newId();
      emit(to, FMul, {sumType, product, x, y});
      emit(to, FAdd, {sumType, next, sum, product});
      sum = next;
    }
    uint32_t pointer = elementOf(to, w[0], placeOf(w[1]), n);
    emit(to, Store, {pointer, sum});
  }
}

void Rewriter::rewrite(const Instruction &i, Words &to) {
  const Words &w = i.operands;
  auto isChain = [&](uint32_t pointer) {
    bool isGood = maker.count(pointer) && maker[pointer]->op == AccessChain && maker[pointer]->operands.size() == 4;
    if (!isGood)
      fail("a matrix lies elsewhere than at an element of an array");
    return isGood;
  };
  switch (i.op) {
  case MatrixLoad:
    if (isChain(w[2]))
      move(to, true, w[0], placeOf(w[1]), w[2], w[3], w[4]);
    return;
  case MatrixStore:
    if (isChain(w[0]))
      move(to, false, typeOf[w[1]], placeOf(w[1]), w[0], w[2], w[3]);
    return;
  case MatrixMulAdd:
    return multiply(to, w);
  case CompositeConstruct:
    if (isMatrix(w[0])) {
      Words parts{w[0], newId()};
      parts.insert(parts.end(), countOf(w[0]), w[2]);
      emit(to, CompositeConstruct, parts);
      emit(to, Store, {placeOf(w[1]), parts[1]});
      return;
    }
    break;
  case Load:
    if (isMatrix(w[0]))
      return emit(to, CopyMemory, {placeOf(w[1]), w[2]});
    if (auto it = builtins.find(w[2]); it != builtins.end()) {
      if (it->second == kSubgroupSize)
        return emit(to, CopyObject, {w[0], w[1], constant(kSubgroup)});
      uint32_t index = newId();
      emit(to, Load, {w[0], index, w[2]});
      return emit(to, it->second == kSubgroupId ? UDiv : UMod, {w[0], w[1], index, constant(kSubgroup)});
    }
    break;
  case Store:
    if (isMatrix(typeOf[w[1]]))
      return emit(to, CopyMemory, {w[0], placeOf(w[1])});
    break;
  default:
    if (hasResult(i.op) && w.size() >= 2 && isMatrix(w[0]))
      fail("instruction " + std::to_string(i.op) + " of a matrix");
  }
  emit(to, i.op, w);
}

/// Matrices that come from other blocks go through a variable of their own, so that all of a block change at once.
void Rewriter::rewriteFunction(size_t begin, size_t end) {
  std::map<uint32_t, std::vector<std::pair<uint32_t, uint32_t>>> copies; // at the end of a block: destination, source
  std::map<uint32_t, uint32_t> arrivals;                                 // where a phi's value is put
  for (size_t at = begin; at < end; ++at)
    if (all[at].op == Phi && isMatrix(all[at].operands[0])) {
      const Words &w = all[at].operands;
      arrivals[w[1]] = addVariable(w[0]);
      for (size_t i = 2; i + 1 < w.size(); i += 2)
        copies[w[i + 1]].emplace_back(arrivals[w[1]], w[i]);
    }
  Words body, start;
  if (builtins.empty())
    return fail("a kernel with matrices that does not ask for its subgroup");
  uint32_t i32 = intType(), index = newId(), lane = newId();
  firstRow = newId(), ownColumn = newId();
  emit(body, Load, {i32, index, builtins.begin()->first});
  emit(body, UMod, {i32, lane, index, constant(kSubgroup)});
  emit(body, UDiv, {i32, firstRow, lane, constant(kSide)});
  emit(body, UMod, {i32, ownColumn, lane, constant(kSide)});
  uint32_t block = 0;
  bool isFirst = true, hasLeft = false;
  std::vector<std::pair<uint32_t, uint32_t>> landed; // after a block's phis
  for (size_t at = begin; at < end; ++at) {
    const Instruction &i = all[at];
    if (i.op == Function || i.op == FunctionParameter || (i.op == Label && isFirst)) {
      emit(start, i.op, i.operands);
      if (i.op == Label)
        block = i.operands[0], isFirst = false;
      continue;
    }
    if (i.op == Variable && i.operands[2] == kFunctionStorage) {
      emit(variables, i.op, i.operands);
      continue;
    }
    if (i.op == Label)
      block = i.operands[0], hasLeft = false;
    if (i.op == Phi && isMatrix(i.operands[0])) {
      landed.emplace_back(placeOf(i.operands[1]), arrivals[i.operands[1]]);
      continue;
    }
    if (i.op != Phi && i.op != Label) {
      for (auto [to, from] : landed)
        emit(body, CopyMemory, {to, from});
      landed.clear();
    }
    bool isLeaving = i.op == LoopMerge || i.op == SelectionMerge || i.op == Branch || i.op == BranchConditional || i.op == 251;
    if (isLeaving && !hasLeft) {
      hasLeft = true;
      for (auto [to, from] : copies[block])
        emit(body, CopyMemory, {to, placeOf(from)});
    }
    rewrite(i, body);
  }
  result.insert(result.end(), start.begin(), start.end());
  result.insert(result.end(), variables.begin(), variables.end());
  result.insert(result.end(), body.begin(), body.end());
  variables.clear();
}

Words Rewriter::run(std::string &error) {
  collect();
  size_t at = 0;
  for (; at < all.size() && all[at].op != Function && problem.empty(); ++at) {
    Instruction i = all[at];
    Words &w = i.operands;
    if (i.op == CapabilityOp && w[0] == kCooperativeMatrix)
      continue;
    if (i.op == ExtensionOp && std::string(reinterpret_cast<const char *>(w.data())) == "SPV_KHR_cooperative_matrix")
      continue;
    if (i.op == Decorate && builtins.count(w[0]) && w[1] == kBuiltIn)
      w[2] = kThreadIndex;
    if (i.op == TypeMatrix) {
      for (size_t side : {3, 4})
        if (!maker.count(w[side]) || maker[w[side]]->operands[2] != kSide)
          fail("a matrix that is not 16 x 16");
      // Its length must stand before it.
      uint32_t length = constant(countOf(w[0]));
      result.insert(result.end(), declarations.begin(), declarations.end());
      declarations.clear();
      i = {TypeArray, {w[0], w[1], length}};
    }
    emit(result, i.op, i.operands);
  }
  // Declarations that functions want come before them.
  Words declaredPart = std::move(result);
  result.clear();
  while (at < all.size() && problem.empty()) {
    size_t end = at;
    while (end < all.size() && all[end].op != FunctionEnd)
      ++end;
    rewriteFunction(at, end);
    emit(result, FunctionEnd, {});
    at = end + 1;
  }
  error = problem;
  head[3] = bound;
  Words words(head);
  for (const Words *part : {&declaredPart, &declarations, &result})
    words.insert(words.end(), part->begin(), part->end());
  return words;
}

std::set<uint32_t> capabilitiesOf(const uint32_t *words, size_t count) {
  std::set<uint32_t> found;
  for (size_t at = kHeader; at < count && (words[at] & 0xffff) == CapabilityOp; at += words[at] >> 16)
    found.insert(words[at + 1]);
  return found;
}

Words withoutMatrices(const uint32_t *words, size_t count, std::string &error) { return Rewriter(words, count).run(error); }

} // namespace emulated
