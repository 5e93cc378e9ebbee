// Binding of symbols and checks of shapes; see shapes.h.
#include "shapes.h"

namespace tenon::rt {

static constexpr int64_t unbound = INT64_MIN;

static long long wide(int64_t value) { return value; }

static const char *symbolName(const void *context, uint32_t symbol) {
  return static_cast<const EntryPoint *>(context)->symbols[symbol].name;
}

namespace {
class Binder {
public:
  Binder(const tn_program &program, const EntryPoint &entry, const tn_tensor_t *inputs, int64_t *symbols,
         tn_error_t *error)
      : program(program), entry(entry), inputs(inputs), symbols(symbols), error(error) {}

  tn_status_t run();

private:
  tn_status_t bindTensor(uint32_t index);
  tn_status_t refuseRebinding(uint32_t index, uint32_t dim, uint32_t symbol);
  tn_status_t solve(uint32_t index, uint32_t dim);
  tn_status_t checkDerived(uint32_t index, uint32_t dim);
  tn_status_t bindFound(uint32_t symbol);

  const tn_program &program;
  const EntryPoint &entry;
  const tn_tensor_t *inputs;
  int64_t *symbols;
  tn_error_t *error;
  bool derived = false;
};
} // namespace

static tn_status_t checkTensor(const tn_program &program, const EntryPoint &entry, const char *side,
                               const TensorEntry &tensor, const tn_tensor_t &given, tn_error_t *error) {
  if (given.dtype != tensor.dtype)
    return TN_FAIL(error, TN_BAD_TYPE, "%s: entry '%s': %s '%s' is %s but must be %s", program.label, entry.name, side,
                   tensor.name, tn_dtype_name(given.dtype), tn_dtype_name(tensor.dtype));
  if (given.rank != tensor.rank)
    return TN_FAIL(error, TN_BAD_SHAPE, "%s: entry '%s': %s '%s' has rank %u but must have %u", program.label,
                   entry.name, side, tensor.name, given.rank, tensor.rank);
  if (given.rank && !given.dims)
    return TN_FAIL(error, TN_BAD_ARGUMENT, "%s: entry '%s': %s '%s' has dims NULL but rank %u", program.label,
                   entry.name, side, tensor.name, given.rank);
  for (uint32_t d = 0; d < given.rank; ++d)
    if (given.dims[d] < 0)
      return TN_FAIL(error, TN_BAD_SHAPE, "%s: entry '%s': %s '%s' dimension %u is %lld but must not be negative",
                     program.label, entry.name, side, tensor.name, d, wide(given.dims[d]));
  uint64_t bytes = 0;
  if (!tensorBytes(tensor.dtype, given.dims, given.rank, bytes))
    return TN_FAIL(error, TN_TOO_LARGE, "%s: entry '%s': %s '%s' has more bytes than 63 bits can count", program.label,
                   entry.name, side, tensor.name);
  return TN_OK;
}

// Names the dimension that the symbol was first seen in.
tn_status_t Binder::refuseRebinding(uint32_t index, uint32_t dim, uint32_t symbol) {
  for (uint32_t i = 0; i < entry.inputCount; ++i)
    for (uint32_t d = 0; d < entry.inputs[i].rank && !isAbsent(entry.inputs[i], inputs[i]); ++d)
      if (entry.inputs[i].dims[d].symbol == static_cast<int32_t>(symbol))
        return TN_FAIL(error, TN_BAD_SHAPE,
                       "%s: entry '%s': input '%s' dimension %u is %lld but must equal dimension %u of input '%s', "
                       "which is %lld (%s)",
                       program.label, entry.name, entry.inputs[index].name, dim, wide(inputs[index].dims[dim]), d,
                       entry.inputs[i].name, wide(symbols[symbol]), entry.symbols[symbol].name);
  return TN_BAD_SHAPE;
}

tn_status_t Binder::bindTensor(uint32_t index) {
  const TensorEntry &tensor = entry.inputs[index];
  const tn_tensor_t &given = inputs[index];
  if (isAbsent(tensor, given))
    return TN_OK;
  if (tn_status_t status = checkTensor(program, entry, "input", tensor, given, error))
    return status;
  for (uint32_t d = 0; d < tensor.rank; ++d) {
    const Expr &dim = tensor.dims[d];
    if (dim.fixed >= 0) {
      if (given.dims[d] != dim.fixed)
        return TN_FAIL(error, TN_BAD_SHAPE, "%s: entry '%s': input '%s' dimension %u is %lld but must be %lld",
                       program.label, entry.name, tensor.name, d, wide(given.dims[d]), wide(dim.fixed));
    } else if (dim.symbol < 0 || entry.symbols[dim.symbol].isFound()) {
      derived = true;
    } else if (symbols[dim.symbol] == unbound) {
      symbols[dim.symbol] = given.dims[d];
    } else if (symbols[dim.symbol] != given.dims[d]) {
      return refuseRebinding(index, d, static_cast<uint32_t>(dim.symbol));
    }
  }
  return TN_OK;
}

// A size like 2*s0 + 1 whose symbol stands alone nowhere: an affine expression in one unknown has one solution.
// What is not affine is caught by checkDerived, which evaluates the expression with the result.
tn_status_t Binder::solve(uint32_t index, uint32_t dim) {
  const Expr &expr = entry.inputs[index].dims[dim];
  int32_t unknown = -1;
  for (uint32_t i = 0; i < expr.words; ++i) {
    if (expr.code[i] != TN_DIM_CONST && expr.code[i] != TN_DIM_SYMBOL)
      continue;
    bool isSymbol = expr.code[i] == TN_DIM_SYMBOL;
    int64_t operand = expr.code[++i];
    if (!isSymbol || symbols[operand] != unbound)
      continue;
    if (unknown >= 0 && unknown != operand)
      return TN_OK; // two unknowns: another dimension may settle one
    unknown = static_cast<int32_t>(operand);
  }
  if (unknown < 0 || entry.symbols[unknown].isFound())
    return TN_OK;
  int64_t atZero = 0, atOne = 0, slope = 0, rest = 0, value = inputs[index].dims[dim];
  symbols[unknown] = 0;
  EvalResult first = evaluate(expr, symbols, atZero);
  symbols[unknown] = 1;
  EvalResult second = evaluate(expr, symbols, atOne);
  symbols[unknown] = unbound;
  if (first != EvalResult::Ok || second != EvalResult::Ok || __builtin_sub_overflow(atOne, atZero, &slope) ||
      __builtin_sub_overflow(value, atZero, &rest) || slope == 0 || slope == -1 || rest % slope != 0)
    return TN_OK;
  symbols[unknown] = rest / slope;
  return TN_OK;
}

tn_status_t evaluateDim(const tn_program &program, const EntryPoint &entry, const char *side,
                        const TensorEntry &tensor, uint32_t dim, const int64_t *symbols, int64_t &value,
                        tn_error_t *error) {
  EvalResult result = evaluate(tensor.dims[dim], symbols, value);
  if (result == EvalResult::Ok && value >= 0)
    return TN_OK;
  char text[160];
  TextBuffer buffer(text, sizeof(text));
  printExpr(tensor.dims[dim], symbolName, &entry, buffer);
  if (result == EvalResult::Overflow)
    return TN_FAIL(error, TN_TOO_LARGE, "%s: entry '%s': %s '%s' dimension %u is %s, which does not fit 63 bits",
                   program.label, entry.name, side, tensor.name, dim, text);
  if (result == EvalResult::BadDivisor)
    return TN_FAIL(error, TN_BAD_SHAPE, "%s: entry '%s': %s '%s' dimension %u is %s, which divides by zero",
                   program.label, entry.name, side, tensor.name, dim, text);
  return TN_FAIL(error, TN_BAD_SHAPE, "%s: entry '%s': %s '%s' dimension %u is %s = %lld but must not be negative",
                 program.label, entry.name, side, tensor.name, dim, text, wide(value));
}

tn_status_t Binder::checkDerived(uint32_t index, uint32_t dim) {
  const TensorEntry &tensor = entry.inputs[index];
  int64_t expected = 0, value = inputs[index].dims[dim];
  if (tn_status_t status = evaluateDim(program, entry, "input", tensor, dim, symbols, expected, error))
    return status;
  if (expected == value)
    return TN_OK;
  char text[160];
  TextBuffer buffer(text, sizeof(text));
  printExpr(tensor.dims[dim], symbolName, &entry, buffer);
  return TN_FAIL(error, TN_BAD_SHAPE, "%s: entry '%s': input '%s' dimension %u is %lld but must be %s = %lld",
                 program.label, entry.name, tensor.name, dim, wide(value), text, wide(expected));
}

static tn_status_t checkRange(const tn_program &program, const EntryPoint &entry, uint32_t index, int64_t value,
                              const char *where, tn_error_t *error) {
  const SymbolEntry &symbol = entry.symbols[index];
  if (value < symbol.min || value > symbol.max)
    return TN_FAIL(error, TN_OUT_OF_RANGE, "%s: entry '%s': %ssize '%s' is %lld but must be %lld to %lld",
                   program.label, entry.name, where, symbol.name, wide(value), wide(symbol.min), wide(symbol.max));
  if (symbol.multipleOf > 1 && value % symbol.multipleOf != 0)
    return TN_FAIL(error, TN_OUT_OF_RANGE, "%s: entry '%s': %ssize '%s' is %lld but must be a multiple of %lld",
                   program.label, entry.name, where, symbol.name, wide(value), wide(symbol.multipleOf));
  return TN_OK;
}

tn_status_t Binder::bindFound(uint32_t index) {
  const SymbolEntry &symbol = entry.symbols[index];
  int64_t bound = 0;
  EvalResult result = evaluate(symbol.bound, symbols, bound);
  if (result != EvalResult::Ok)
    return TN_FAIL(error, result == EvalResult::Overflow ? TN_TOO_LARGE : TN_BAD_SHAPE,
                   "%s: entry '%s': bound of size '%s' %s", program.label, entry.name, symbol.name,
                   result == EvalResult::Overflow ? "does not fit 63 bits" : "divides by zero");
  bound = bound < 0 ? 0 : bound;
  symbols[index] = bound < symbol.max ? bound : symbol.max;
  return TN_OK;
}

tn_status_t Binder::run() {
  for (uint32_t i = 0; i < entry.symbolCount; ++i)
    symbols[i] = unbound;
  for (uint32_t i = 0; i < entry.inputCount; ++i)
    if (tn_status_t status = bindTensor(i))
      return status;
  for (uint32_t i = 0; derived && i < entry.inputCount; ++i)
    for (uint32_t d = 0; d < entry.inputs[i].rank && !isAbsent(entry.inputs[i], inputs[i]); ++d)
      if (entry.inputs[i].dims[d].fixed < 0 && entry.inputs[i].dims[d].symbol < 0)
        if (tn_status_t status = solve(i, d))
          return status;
  for (uint32_t i = 0; i < entry.symbolCount; ++i) {
    const SymbolEntry &symbol = entry.symbols[i];
    if (symbol.isFound()) {
      if (tn_status_t status = bindFound(i))
        return status;
      continue;
    }
    if (symbols[i] == unbound && symbol.min == symbol.max)
      symbols[i] = symbol.min;
    if (symbols[i] == unbound)
      return TN_FAIL(error, TN_BAD_SHAPE, "%s: entry '%s': size '%s' follows from no input but has no fixed value",
                     program.label, entry.name, symbol.name);
    if (symbols[i] >= symbol.min && symbols[i] <= symbol.max && symbols[i] % symbol.multipleOf == 0)
      continue;
    char where[160];
    TextBuffer text(where, sizeof(where));
    for (uint32_t t = 0; t < entry.inputCount && text.used == 0; ++t)
      for (uint32_t d = 0; d < entry.inputs[t].rank && text.used == 0; ++d)
        if (entry.inputs[t].dims[d].symbol == static_cast<int32_t>(i))
          text.add("input '%.100s' dimension %u: ", entry.inputs[t].name, d);
    return checkRange(program, entry, i, symbols[i], where, error);
  }
  for (uint32_t i = 0; derived && i < entry.inputCount; ++i)
    for (uint32_t d = 0; d < entry.inputs[i].rank && !isAbsent(entry.inputs[i], inputs[i]); ++d) {
      const Expr &dim = entry.inputs[i].dims[d];
      if (dim.fixed < 0 && (dim.symbol < 0 || entry.symbols[dim.symbol].isFound()))
        if (tn_status_t status = checkDerived(i, d))
          return status;
    }
  return TN_OK;
}

tn_status_t bindInputs(const tn_program &program, const EntryPoint &entry, const tn_tensor_t *inputs,
                       uint32_t inputCount, int64_t *symbols, tn_error_t *error) {
  if (inputCount != entry.inputCount)
    return TN_FAIL(error, TN_BAD_COUNT, "%s: entry '%s' is given %u inputs but has %u", program.label, entry.name,
                   inputCount, entry.inputCount);
  if (inputCount && !inputs)
    return TN_FAIL(error, TN_BAD_ARGUMENT, "%s: entry '%s': inputs is NULL but %u are needed", program.label,
                   entry.name, inputCount);
  return Binder(program, entry, inputs, symbols, error).run();
}

tn_status_t checkSymbolValues(const tn_program &program, const EntryPoint &entry, const int64_t *symbols,
                              uint32_t symbolCount, tn_error_t *error) {
  if (symbolCount != entry.symbolCount || (symbolCount && !symbols))
    return TN_FAIL(error, TN_BAD_COUNT, "%s: entry '%s' is given %u symbol values but has %u symbols", program.label,
                   entry.name, symbolCount, entry.symbolCount);
  for (uint32_t i = 0; i < symbolCount; ++i)
    if (!entry.symbols[i].isFound())
      if (tn_status_t status = checkRange(program, entry, i, symbols[i], "", error))
        return status;
  return TN_OK;
}

tn_status_t checkOutputs(const tn_program &program, const EntryPoint &entry, const tn_tensor_t *outputs,
                         uint32_t outputCount, const int64_t *symbols, tn_error_t *error) {
  if (outputCount != entry.outputCount)
    return TN_FAIL(error, TN_BAD_COUNT, "%s: entry '%s' is given %u outputs but has %u", program.label, entry.name,
                   outputCount, entry.outputCount);
  if (outputCount && !outputs)
    return TN_FAIL(error, TN_BAD_ARGUMENT, "%s: entry '%s': outputs is NULL but %u are needed", program.label,
                   entry.name, outputCount);
  for (uint32_t i = 0; i < outputCount; ++i) {
    const TensorEntry &tensor = entry.outputs[i];
    if (tn_status_t status = checkTensor(program, entry, "output", tensor, outputs[i], error))
      return status;
    for (uint32_t d = 0; d < tensor.rank; ++d) {
      int64_t expected = 0;
      if (tn_status_t status = evaluateDim(program, entry, "output", tensor, d, symbols, expected, error))
        return status;
      if (outputs[i].dims[d] == expected)
        continue;
      char text[160];
      TextBuffer buffer(text, sizeof(text));
      if (tensor.dims[d].fixed < 0) {
        printExpr(tensor.dims[d], symbolName, &entry, buffer);
        buffer.add(" = ");
      }
      return TN_FAIL(error, TN_BAD_SHAPE, "%s: entry '%s': output '%s' dimension %u is %lld but must be %s%lld",
                     program.label, entry.name, tensor.name, d, wide(outputs[i].dims[d]), text, wide(expected));
    }
  }
  return TN_OK;
}

} // namespace tenon::rt

using namespace tenon::rt;

tn_status_t tn_entry_bind(const tn_program_t *program, uint32_t entry, const tn_tensor_t *inputs, uint32_t inputCount,
                          int64_t *symbols, uint32_t symbolCount, tn_error_t *error) {
  if (tn_status_t status = checkEntryIndex(program, entry, error))
    return status;
  const EntryPoint &point = program->entries[entry];
  if (symbolCount != point.symbolCount || (symbolCount && !symbols))
    return TN_FAIL(error, TN_BAD_COUNT, "%s: entry '%s' has %u symbols but there is room for %u", program->label,
                   point.name, point.symbolCount, symbolCount);
  return bindInputs(*program, point, inputs, inputCount, symbols, error);
}

tn_status_t tn_entry_output_shapes(const tn_program_t *program, uint32_t entry, const tn_tensor_t *inputs,
                                   uint32_t inputCount, tn_tensor_t *outputs, uint32_t outputCount,
                                   tn_error_t *error) {
  if (tn_status_t status = checkEntryIndex(program, entry, error))
    return status;
  const EntryPoint &point = program->entries[entry];
  int64_t symbols[TN_MAX_SYMBOLS];
  if (tn_status_t status = bindInputs(*program, point, inputs, inputCount, symbols, error))
    return status;
  if (outputCount != point.outputCount || (outputCount && !outputs))
    return TN_FAIL(error, TN_BAD_COUNT, "%s: entry '%s' is given %u outputs but has %u", program->label, point.name,
                   outputCount, point.outputCount);
  for (uint32_t i = 0; i < outputCount; ++i) {
    const TensorEntry &tensor = point.outputs[i];
    if (outputs[i].rank < tensor.rank || (tensor.rank && !outputs[i].dims))
      return TN_FAIL(error, TN_BAD_SHAPE, "%s: entry '%s': output '%s' has room for %u dimensions but needs %u",
                     program->label, point.name, tensor.name, outputs[i].dims ? outputs[i].rank : 0, tensor.rank);
    outputs[i].rank = tensor.rank;
    outputs[i].dtype = tensor.dtype;
    for (uint32_t d = 0; d < tensor.rank; ++d)
      if (tn_status_t status =
              evaluateDim(*program, point, "output", tensor, d, symbols, outputs[i].dims[d], error))
        return status;
    uint64_t bytes = 0;
    if (!tensorBytes(tensor.dtype, outputs[i].dims, tensor.rank, bytes))
      return TN_FAIL(error, TN_TOO_LARGE, "%s: entry '%s': output '%s' has more bytes than 63 bits can count",
                     program->label, point.name, tensor.name);
  }
  return TN_OK;
}
