// What most tests need: an open program and session, tensors over vectors.
#ifndef TENON_TEST_UNIT_RUNTIME_HELPERS_H
#define TENON_TEST_UNIT_RUNTIME_HELPERS_H

#include "artifact.h"
#include "check.h"
#include "tenon/runtime.hpp"

#include <memory>

/// An opened artifact with its bytes. `status` says how opening went.
struct Opened {
  explicit Opened(const artifact::Options &options = {}, uint32_t flags = 0, const char *variant = nullptr)
      : Opened(artifact::build(options), flags, variant) {}
  explicit Opened(const std::vector<uint8_t> &file, uint32_t flags = 0, const char *variant = nullptr) : bytes(file) {
    tn_open_options_t open = {sizeof(open), flags, nullptr, variant, 0};
    tn_program_t *raw = nullptr;
    status = tn_program_open_memory(bytes.data, bytes.size, &open, &raw, error);
    program = tenon::Program(raw);
  }
  artifact::Bytes bytes;
  tenon::Error error;
  tn_status_t status;
  tenon::Program program;
};

/// A tensor that owns its elements and shape.
template <typename T> struct Owned {
  Owned(tn_dtype_t dtype, std::vector<int64_t> shape, T fill = T()) : dims(std::move(shape)), dtype(dtype) {
    int64_t count = 1;
    for (int64_t dim : dims)
      count *= dim;
    values.assign(static_cast<size_t>(count), fill);
  }
  operator tn_tensor_t() { return {values.data(), dims.data(), static_cast<uint32_t>(dims.size()), dtype}; }
  std::vector<T> values;
  std::vector<int64_t> dims;
  tn_dtype_t dtype;
};
using Floats = Owned<float>;
using Longs = Owned<int64_t>;

/// Calls with vectors; the message is in `error`.
inline tn_status_t callEntry(tenon::Session &session, uint32_t entry, std::vector<tn_tensor_t> inputs,
                             std::vector<tn_tensor_t> outputs, tenon::Error &error) {
  return session.call(entry, inputs, outputs, error);
}
#endif
