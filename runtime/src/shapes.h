// Symbols from the inputs' shapes, and every check of shapes that can be made before code runs.
#ifndef TENON_RUNTIME_SRC_SHAPES_H
#define TENON_RUNTIME_SRC_SHAPES_H

#include "program.h"

namespace tenon::rt {

/// The caller left out an optional input.
inline bool isAbsent(const TensorEntry &tensor, const tn_tensor_t &given) {
  return tensor.optional && given.dtype == TN_DTYPE_NONE;
}

/// Checks count, types, ranks and sizes of the inputs and fills `symbols` (the entry's count); data-dependent ones
/// get their bound.
tn_status_t bindInputs(const tn_program &program, const EntryPoint &entry, const tn_tensor_t *inputs,
                       uint32_t inputCount, int64_t *symbols, tn_error_t *error);

/// Checks ranges of given symbol values (tn_entry_needs, reserves).
tn_status_t checkSymbolValues(const tn_program &program, const EntryPoint &entry, const int64_t *symbols,
                              uint32_t symbolCount, tn_error_t *error);

/// Size of one dimension; refuses overflow and negative results.
tn_status_t evaluateDim(const tn_program &program, const EntryPoint &entry, const char *side,
                        const TensorEntry &tensor, uint32_t dim, const int64_t *symbols, int64_t &value,
                        tn_error_t *error);

/// Checks count, types, ranks and sizes of the caller's outputs.
tn_status_t checkOutputs(const tn_program &program, const EntryPoint &entry, const tn_tensor_t *outputs,
                         uint32_t outputCount, const int64_t *symbols, tn_error_t *error);

} // namespace tenon::rt
#endif
