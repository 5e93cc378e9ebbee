// The rules of the header beyond the schema: references in range, names, types, expressions, states, weights.
#include "program.h"

namespace tenon::rt {

using file::SegmentKind;

namespace {
class HeaderCheck {
public:
  HeaderCheck(const tn_program &program, tn_error_t *error)
      : program(program), header(*program.header), error(error) {}
  tn_status_t run();

private:
  tn_status_t checkName(const flatbuffers::String *name, const char *what, uint32_t index);
  tn_status_t checkDim(const file::Dim *dim, uint32_t symbolCount, const char *owner, const char *what, uint32_t index);
  tn_status_t checkTensors(const flatbuffers::Vector<flatbuffers::Offset<file::Tensor>> *tensors, const char *entry,
                           const char *side, uint32_t symbolCount);
  tn_status_t checkSymbols(const file::Entry &entry);
  tn_status_t checkStateList(const flatbuffers::Vector<uint32_t> *list, const char *entry);
  tn_status_t checkEntry(const file::Entry &entry, uint32_t index);
  tn_status_t checkVariant(const file::Variant &variant, uint32_t index);
  tn_status_t checkStates();
  tn_status_t checkWeights();

  bool isSegment(int64_t index, SegmentKind kind) const {
    return index >= 0 && index < sizeOf(header.segments()) &&
           header.segments()->Get(static_cast<uint32_t>(index))->kind() == kind;
  }
  bool isInSegment(int64_t index, uint64_t offset, uint64_t bytes) const {
    if (!isSegment(index, SegmentKind::Constants))
      return false;
    uint64_t room = header.segments()->Get(static_cast<uint32_t>(index))->bytes();
    return offset <= room && bytes <= room - offset;
  }

  const tn_program &program;
  const file::Header &header;
  tn_error_t *error;
};
} // namespace

// Vectors of tables have no null elements after verification; strings may hide a zero byte, which would make two
// readers disagree about a name.
tn_status_t HeaderCheck::checkName(const flatbuffers::String *name, const char *what, uint32_t index) {
  if (!name || name->size() == 0 || strlen(name->c_str()) != name->size())
    return TN_FAIL(error, TN_BAD_FILE, "%s: %s %u has an empty name or one with a zero byte", program.label, what,
                   index);
  return TN_OK;
}

tn_status_t HeaderCheck::checkDim(const file::Dim *dim, uint32_t symbolCount, const char *owner, const char *what,
                                  uint32_t index) {
  Expr expr;
  if (const char *wrong = validateExpr(dim->code()->data(), dim->code()->size(), symbolCount, expr))
    return TN_FAIL(error, TN_BAD_FILE, "%s: entry '%s': size expression of %s %u %s", program.label, owner, what, index,
                   wrong);
  return TN_OK;
}

tn_status_t HeaderCheck::checkTensors(const flatbuffers::Vector<flatbuffers::Offset<file::Tensor>> *tensors,
                                      const char *entry, const char *side, uint32_t symbolCount) {
  for (uint32_t i = 0; i < sizeOf(tensors); ++i) {
    const file::Tensor &tensor = *tensors->Get(i);
    if (tn_status_t status = checkName(tensor.name(), side, i))
      return status;
    if (dtypeBits(static_cast<tn_dtype_t>(tensor.dtype())) == 0 || sizeOf(tensor.dims()) > TN_MAX_RANK)
      return TN_FAIL(error, TN_BAD_FILE, "%s: entry '%s': %s '%s' has an unknown type or more than 16 dimensions",
                     program.label, entry, side, tensor.name()->c_str());
    for (uint32_t d = 0; d < sizeOf(tensor.dims()); ++d)
      if (tn_status_t status = checkDim(tensor.dims()->Get(d), symbolCount, entry, side, i))
        return status;
  }
  return TN_OK;
}

tn_status_t HeaderCheck::checkSymbols(const file::Entry &entry) {
  if (sizeOf(entry.symbols()) > TN_MAX_SYMBOLS)
    return TN_FAIL(error, TN_BAD_FILE, "%s: entry '%s' has %u symbols but at most 256 are allowed", program.label,
                   entry.name()->c_str(), sizeOf(entry.symbols()));
  for (uint32_t i = 0; i < sizeOf(entry.symbols()); ++i) {
    const file::Symbol &symbol = *entry.symbols()->Get(i);
    if (tn_status_t status = checkName(symbol.name(), "symbol", i))
      return status;
    if (symbol.min() < 0 || symbol.max() < symbol.min() || symbol.multiple_of() < 1)
      return TN_FAIL(error, TN_BAD_FILE, "%s: entry '%s': symbol '%s' has an impossible range", program.label,
                     entry.name()->c_str(), symbol.name()->c_str());
    if (symbol.bound())
      if (tn_status_t status = checkDim(symbol.bound(), i, entry.name()->c_str(), "symbol", i))
        return status;
  }
  return TN_OK;
}

tn_status_t HeaderCheck::checkStateList(const flatbuffers::Vector<uint32_t> *list, const char *entry) {
  for (uint32_t i = 0; i < sizeOf(list); ++i)
    if (list->Get(i) >= sizeOf(header.states()))
      return TN_FAIL(error, TN_BAD_FILE, "%s: entry '%s' uses state %u but the program has %u", program.label, entry,
                     list->Get(i), sizeOf(header.states()));
  return TN_OK;
}

tn_status_t HeaderCheck::checkEntry(const file::Entry &entry, uint32_t index) {
  if (tn_status_t status = checkName(entry.name(), "entry", index))
    return status;
  const char *name = entry.name()->c_str();
  if (tn_status_t status = checkSymbols(entry))
    return status;
  uint32_t symbols = sizeOf(entry.symbols());
  if (tn_status_t status = checkTensors(entry.inputs(), name, "input", symbols))
    return status;
  if (tn_status_t status = checkTensors(entry.outputs(), name, "output", symbols))
    return status;
  if (tn_status_t status = checkStateList(entry.states_read(), name))
    return status;
  return checkStateList(entry.states_written(), name);
}

tn_status_t HeaderCheck::checkVariant(const file::Variant &variant, uint32_t index) {
  if (tn_status_t status = checkName(variant.name(), "variant", index))
    return status;
  const char *name = variant.name()->c_str();
  if (!isSegment(variant.image_segment(), SegmentKind::Image) ||
      (variant.constants_segment() != -1 && !isSegment(variant.constants_segment(), SegmentKind::Constants)) ||
      (variant.device_segment() != -1 && !isSegment(variant.device_segment(), SegmentKind::Device)))
    return TN_FAIL(error, TN_BAD_FILE, "%s: variant '%s' names a segment that is not there or of another kind",
                   program.label, name);
  if (sizeOf(variant.entries()) != 0 && sizeOf(variant.entries()) != sizeOf(header.entries()))
    return TN_FAIL(error, TN_BAD_FILE, "%s: variant '%s' describes %u entries but the program has %u", program.label,
                   name, sizeOf(variant.entries()), sizeOf(header.entries()));
  for (uint32_t e = 0; e < sizeOf(variant.entries()); ++e) {
    const file::VariantEntry &how = *variant.entries()->Get(e);
    const file::Entry &entry = *header.entries()->Get(e);
    uint32_t symbols = sizeOf(entry.symbols());
    const file::Dim *figures[] = {how.arena(), how.scratch()};
    for (const file::Dim *figure : figures)
      if (figure)
        if (tn_status_t status = checkDim(figure, symbols, entry.name()->c_str(), "memory figure of variant", index))
          return status;
    for (uint32_t k = 0; k < sizeOf(how.kernels()); ++k) {
      const file::Kernel &kernel = *how.kernels()->Get(k);
      if (tn_status_t status = checkName(kernel.name(), "kernel", k))
        return status;
      const file::Dim *estimates[] = {kernel.flops(), kernel.bytes_moved()};
      for (const file::Dim *estimate : estimates)
        if (estimate)
          if (tn_status_t status = checkDim(estimate, symbols, entry.name()->c_str(), "kernel", k))
            return status;
    }
  }
  return TN_OK;
}

tn_status_t HeaderCheck::checkStates() {
  for (uint32_t i = 0; i < sizeOf(header.states()); ++i) {
    const file::State &state = *header.states()->Get(i);
    if (tn_status_t status = checkName(state.name(), "state", i))
      return status;
    auto dtype = static_cast<tn_dtype_t>(state.dtype());
    uint64_t bytes = 0;
    bool good = dtypeBits(dtype) != 0 && sizeOf(state.dims()) <= TN_MAX_RANK && state.bytes() <= INT64_MAX / 2 &&
                tensorBytes(dtype, state.dims() ? state.dims()->data() : nullptr, sizeOf(state.dims()), bytes);
    if (!good || (!state.layout() && state.bytes() < bytes))
      return TN_FAIL(error, TN_BAD_FILE, "%s: state '%s' has an impossible type, shape or size", program.label,
                     state.name()->c_str());
    if (state.initial_segment() != -1 &&
        !isInSegment(state.initial_segment(), state.initial_offset(), state.bytes()))
      return TN_FAIL(error, TN_BAD_FILE, "%s: state '%s' has its initial value outside the constants", program.label,
                     state.name()->c_str());
  }
  return TN_OK;
}

tn_status_t HeaderCheck::checkWeights() {
  for (uint32_t i = 0; i < sizeOf(header.weights()); ++i) {
    const file::Weight &weight = *header.weights()->Get(i);
    if (tn_status_t status = checkName(weight.name(), "weight", i))
      return status;
    if (!isInSegment(weight.segment(), weight.offset(), weight.bytes()) || weight.offset() % TN_BUFFER_ALIGN != 0)
      return TN_FAIL(error, TN_BAD_FILE, "%s: weight '%s' is outside the constants or not aligned",
                     program.label, weight.name()->c_str());
  }
  return TN_OK;
}

tn_status_t HeaderCheck::run() {
  for (uint32_t i = 0; i < sizeOf(header.entries()); ++i)
    if (tn_status_t status = checkEntry(*header.entries()->Get(i), i))
      return status;
  for (uint32_t i = 0; i < sizeOf(header.variants()); ++i)
    if (tn_status_t status = checkVariant(*header.variants()->Get(i), i))
      return status;
  if (tn_status_t status = checkStates())
    return status;
  return checkWeights();
}

tn_status_t checkHeader(const tn_program &program, tn_error_t *error) { return HeaderCheck(program, error).run(); }

bool tensorBytes(tn_dtype_t dtype, const int64_t *dims, uint32_t rank, uint64_t &bytes) {
  uint64_t count = 1;
  bool empty = false, overflow = false;
  for (uint32_t i = 0; i < rank; ++i) {
    if (dims[i] < 0)
      return false;
    empty |= dims[i] == 0;
    overflow |= __builtin_mul_overflow(count, static_cast<uint64_t>(dims[i]), &count);
  }
  uint64_t bits = 0;
  overflow |= __builtin_mul_overflow(count, uint64_t(dtypeBits(dtype)), &bits) || bits > INT64_MAX;
  // A zero among huge sizes is an empty tensor, whatever the product of the others.
  bytes = empty ? 0 : (bits + 7) / 8;
  return empty || !overflow;
}

} // namespace tenon::rt
