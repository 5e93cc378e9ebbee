// What is in a program: the tn_*_info functions. They only read the checked header.
#include "program.h"


namespace tenon::rt {

tn_status_t checkEntryIndex(const tn_program *program, uint32_t entry, tn_error_t *error) {
  if (!program)
    return TN_FAIL(error, TN_BAD_ARGUMENT, "program is null but an open one was needed");
  if (entry >= program->entryCount)
    return TN_FAIL(error, TN_BAD_ARGUMENT, "%s: entry %u is asked for but the program has %u", program->label, entry,
                   program->entryCount);
  return TN_OK;
}

static const char *symbolName(const void *context, uint32_t symbol) {
  return static_cast<const EntryPoint *>(context)->symbols[symbol].name;
}

static tn_status_t findTensor(const tn_program *program, uint32_t entry, tn_side_t side, uint32_t index,
                              const TensorEntry **tensor, tn_error_t *error) {
  if (tn_status_t status = checkEntryIndex(program, entry, error))
    return status;
  const EntryPoint &point = program->entries[entry];
  uint32_t count = side == TN_INPUT ? point.inputCount : point.outputCount;
  if (index >= count)
    return TN_FAIL(error, TN_BAD_ARGUMENT, "%s: entry '%s': %s %u is asked for but there are %u", program->label,
                   point.name, side == TN_INPUT ? "input" : "output", index, count);
  *tensor = &(side == TN_INPUT ? point.inputs : point.outputs)[index];
  return TN_OK;
}

// -1 = no expression, or symbols are needed but not given, or it overflows.
static int64_t estimate(const file::Dim *dim, uint32_t symbolCount, const int64_t *symbols) {
  Expr expr;
  int64_t value = -1;
  if (!dim || validateExpr(dim->code()->data(), dim->code()->size(), symbolCount, expr))
    return -1;
  if (!symbols)
    for (uint32_t i = 0; i < expr.words; ++i) {
      if (expr.code[i] == TN_DIM_SYMBOL)
        return -1;
      i += expr.code[i] == TN_DIM_CONST;
    }
  return evaluate(expr, symbols, value) == EvalResult::Ok ? value : -1;
}

} // namespace tenon::rt

using namespace tenon::rt;

void tn_program_info(const tn_program_t *program, tn_program_info_t *info) {
  if (!program || !info)
    return;
  const tenon::file::Header &header = *program->header;
  tn_program_info_t result = {};
  result.format_major = header.format_major();
  result.format_minor = header.format_minor();
  result.name = textOf(header.name());
  result.producer = header.producer()->c_str();
  result.file_bytes = program->fileBytes;
  result.entries = program->entryCount;
  result.states = sizeOf(header.states());
  result.variants = sizeOf(header.variants());
  result.segments = sizeOf(header.segments());
  result.weights = sizeOf(header.weights());
  result.metadata = sizeOf(header.metadata());
  result.variant = program->variant;
  writeStruct(info, result);
}

const char *tn_variant_feature(const tn_program_t *program, uint32_t variant, uint32_t feature) {
  if (!program || variant >= sizeOf(program->header->variants()))
    return nullptr;
  const auto *features = program->header->variants()->Get(variant)->features();
  return feature < sizeOf(features) ? features->Get(feature)->c_str() : nullptr;
}

tn_status_t tn_segment_info(const tn_program_t *program, uint32_t index, tn_segment_info_t *info, tn_error_t *error) {
  if (!program || !info || index >= sizeOf(program->header->segments()))
    return TN_FAIL(error, TN_BAD_ARGUMENT, "segment %u is not in the program", index);
  const tenon::file::Segment &segment = *program->header->segments()->Get(index);
  tn_segment_info_t result = {};
  result.kind = static_cast<tn_segment_kind_t>(segment.kind());
  result.offset = segment.offset();
  result.bytes = segment.bytes();
  writeStruct(info, result);
  return TN_OK;
}

tn_status_t tn_entry_info(const tn_program_t *program, uint32_t entry, tn_entry_info_t *info, tn_error_t *error) {
  if (tn_status_t status = checkEntryIndex(program, entry, error))
    return status;
  const EntryPoint &point = program->entries[entry];
  tn_entry_info_t result = {};
  result.name = point.name;
  result.origin = textOf(point.source->origin());
  result.inputs = point.inputCount;
  result.outputs = point.outputCount;
  result.symbols = point.symbolCount;
  result.states_read = sizeOf(point.source->states_read());
  result.states_written = sizeOf(point.source->states_written());
  if (info)
    writeStruct(info, result);
  return TN_OK;
}

tn_status_t tn_entry_find(const tn_program_t *program, const char *name, uint32_t *entry, tn_error_t *error) {
  if (!program || !name || !entry)
    return TN_FAIL(error, TN_BAD_ARGUMENT, "tn_entry_find got a null pointer but needs program, name and entry");
  char buffer[512];
  TextBuffer list(buffer, sizeof(buffer));
  for (uint32_t i = 0; i < program->entryCount; ++i) {
    if (strcmp(program->entries[i].name, name) == 0) {
      *entry = i;
      return TN_OK;
    }
    list.add("%s'%s'", i ? ", " : "", program->entries[i].name);
  }
  return TN_FAIL(error, TN_BAD_ARGUMENT, "%s: entry '%s' is not in the program but one of these was needed: %s",
                 program->label, name, buffer);
}

tn_status_t tn_tensor_info(const tn_program_t *program, uint32_t entry, tn_side_t side, uint32_t index,
                           tn_tensor_info_t *info, tn_error_t *error) {
  const TensorEntry *tensor = nullptr;
  if (tn_status_t status = findTensor(program, entry, side, index, &tensor, error))
    return status;
  tn_tensor_info_t result = {};
  result.name = tensor->name;
  result.path = textOf(tensor->source->path());
  result.dtype = tensor->dtype;
  result.rank = tensor->rank;
  result.role = static_cast<tn_role_t>(tensor->source->role());
  result.optional = tensor->optional;
  if (info)
    writeStruct(info, result);
  return TN_OK;
}

tn_status_t tn_tensor_dim(const tn_program_t *program, uint32_t entry, tn_side_t side, uint32_t index, uint32_t dim,
                          int64_t *fixed, char *text, size_t textBytes, tn_error_t *error) {
  const TensorEntry *tensor = nullptr;
  if (tn_status_t status = findTensor(program, entry, side, index, &tensor, error))
    return status;
  if (dim >= tensor->rank)
    return TN_FAIL(error, TN_BAD_ARGUMENT, "%s: dimension %u of '%s' is asked for but its rank is %u", program->label,
                   dim, tensor->name, tensor->rank);
  if (fixed)
    *fixed = tensor->dims[dim].fixed;
  if (text && textBytes) {
    TextBuffer buffer(text, textBytes);
    printExpr(tensor->dims[dim], symbolName, &program->entries[entry], buffer);
  }
  return TN_OK;
}

tn_status_t tn_symbol_info(const tn_program_t *program, uint32_t entry, uint32_t index, tn_symbol_info_t *info,
                           tn_error_t *error) {
  if (tn_status_t status = checkEntryIndex(program, entry, error))
    return status;
  const EntryPoint &point = program->entries[entry];
  if (index >= point.symbolCount || !info)
    return TN_FAIL(error, TN_BAD_ARGUMENT, "%s: entry '%s': symbol %u is asked for but there are %u", program->label,
                   point.name, index, point.symbolCount);
  const SymbolEntry &symbol = point.symbols[index];
  tn_symbol_info_t result = {};
  result.name = symbol.name;
  result.min = symbol.min;
  result.max = symbol.max;
  result.multiple_of = symbol.multipleOf;
  result.hint = symbol.hint;
  result.data_dependent = symbol.isFound();
  writeStruct(info, result);
  return TN_OK;
}

tn_status_t tn_state_info(const tn_program_t *program, uint32_t index, tn_state_info_t *info, tn_error_t *error) {
  if (!program || !info || index >= sizeOf(program->header->states()))
    return TN_FAIL(error, TN_BAD_ARGUMENT, "state %u is not in the program", index);
  const tenon::file::State &state = *program->header->states()->Get(index);
  tn_state_info_t result = {};
  result.name = state.name()->c_str();
  result.layout = textOf(state.layout());
  result.dtype = static_cast<tn_dtype_t>(state.dtype());
  result.rank = sizeOf(state.dims());
  result.dims = state.dims() ? state.dims()->data() : nullptr;
  result.bytes = state.bytes();
  result.persistent = state.persistent();
  writeStruct(info, result);
  return TN_OK;
}

tn_status_t tn_weight_info(const tn_program_t *program, uint32_t index, tn_weight_info_t *info, tn_error_t *error) {
  if (!program || !info || index >= sizeOf(program->header->weights()))
    return TN_FAIL(error, TN_BAD_ARGUMENT, "weight %u is not in the program", index);
  const tenon::file::Weight &weight = *program->header->weights()->Get(index);
  tn_weight_info_t result = {};
  result.name = weight.name()->c_str();
  result.layout = textOf(weight.layout());
  result.dtype = static_cast<tn_dtype_t>(weight.dtype());
  result.rank = sizeOf(weight.dims());
  result.dims = weight.dims() ? weight.dims()->data() : nullptr;
  result.segment = weight.segment();
  result.offset = weight.offset();
  result.bytes = weight.bytes();
  writeStruct(info, result);
  return TN_OK;
}

static const tenon::file::VariantEntry *variantEntry(const tn_program_t *program, uint32_t variant, uint32_t entry) {
  if (!program || variant >= sizeOf(program->header->variants()))
    return nullptr;
  const auto *entries = program->header->variants()->Get(variant)->entries();
  return entry < sizeOf(entries) ? entries->Get(entry) : nullptr;
}

uint32_t tn_kernel_count(const tn_program_t *program, uint32_t variant, uint32_t entry) {
  const auto *how = variantEntry(program, variant, entry);
  return how ? sizeOf(how->kernels()) : 0;
}

tn_status_t tn_kernel_info(const tn_program_t *program, uint32_t variant, uint32_t entry, uint32_t index,
                           const int64_t *symbols, uint32_t symbolCount, tn_kernel_info_t *info, tn_error_t *error) {
  if (index >= tn_kernel_count(program, variant, entry) || !info)
    return TN_FAIL(error, TN_BAD_ARGUMENT, "kernel %u of variant %u, entry %u is not in the program", index, variant,
                   entry);
  uint32_t declared = program->entries[entry].symbolCount;
  if (symbols && symbolCount != declared)
    return TN_FAIL(error, TN_BAD_COUNT, "%s: entry '%s' has %u symbols but %u were given", program->label,
                   program->entries[entry].name, declared, symbolCount);
  const tenon::file::Kernel &kernel = *variantEntry(program, variant, entry)->kernels()->Get(index);
  tn_kernel_info_t result = {};
  result.name = kernel.name()->c_str();
  result.origin = textOf(kernel.origin());
  result.flops = estimate(kernel.flops(), declared, symbols);
  result.bytes_moved = estimate(kernel.bytes_moved(), declared, symbols);
  result.code_bytes = kernel.code_bytes();
  result.code_address = kernel.code_address();
  result.hash = kernel.hash();
  result.calls = kernel.calls();
  result.on_device = kernel.on_device();
  writeStruct(info, result);
  return TN_OK;
}

int tn_metadata_at(const tn_program_t *program, uint32_t index, const char **key, const char **value) {
  if (!program || index >= sizeOf(program->header->metadata()))
    return 0;
  const tenon::file::KeyValue &pair = *program->header->metadata()->Get(index);
  if (key)
    *key = pair.key()->c_str();
  if (value)
    *value = pair.value()->c_str();
  return 1;
}

const char *tn_metadata_find(const tn_program_t *program, const char *key) {
  const char *name = nullptr, *value = nullptr;
  for (uint32_t i = 0; key && tn_metadata_at(program, i, &name, &value); ++i)
    if (strcmp(name, key) == 0)
      return value;
  return nullptr;
}
