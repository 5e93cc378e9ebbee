// Status and message in the caller's tn_error_t, and how struct_bytes is honoured. No heap.
#ifndef TENON_RUNTIME_SRC_ERROR_H
#define TENON_RUNTIME_SRC_ERROR_H

#include "tenon/runtime.h"

#include <cstring>

namespace tenon::rt {

/// Writes the message (cut to the caller's room) and returns `status`.
__attribute__((format(printf, 3, 4))) tn_status_t fail(tn_error_t *error, tn_status_t status, const char *format, ...);

#define TN_FAIL(error, status, ...) ::tenon::rt::fail((error), (status), __VA_ARGS__)

/// Copies what the caller's version of an in-struct has; the rest of the result is zero.
template <typename T> T readStruct(const T *from) {
  T result;
  memset(static_cast<void *>(&result), 0, sizeof(T));
  if (from)
    memcpy(static_cast<void *>(&result), from, from->struct_bytes < sizeof(T) ? from->struct_bytes : sizeof(T));
  return result;
}

/// Copies `from` into the caller's out-struct as far as it reaches; struct_bytes stays the caller's.
template <typename T> void writeStruct(T *to, T from) {
  from.struct_bytes = to->struct_bytes;
  memcpy(static_cast<void *>(to), &from, from.struct_bytes < sizeof(T) ? from.struct_bytes : sizeof(T));
}

/// Appends to a fixed buffer; what does not fit is cut. For lists inside messages.
struct TextBuffer {
  char *text;
  size_t capacity;
  size_t used = 0;
  TextBuffer(char *text, size_t capacity) : text(text), capacity(capacity) {
    if (capacity)
      text[0] = 0;
  }
  __attribute__((format(printf, 2, 3))) void add(const char *format, ...);
};

} // namespace tenon::rt
#endif
