// Messages, names of statuses and types.
#include "error.h"

#include <cstdarg>
#include <cstddef>
#include <cstdio>

namespace tenon::rt {

tn_status_t fail(tn_error_t *error, tn_status_t status, const char *format, ...) {
  if (!error || error->struct_bytes <= offsetof(tn_error_t, message))
    return status;
  error->status = status;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(reinterpret_cast<char *>(error) + offsetof(tn_error_t, message),
            error->struct_bytes - offsetof(tn_error_t, message), format, arguments);
  va_end(arguments);
  return status;
}

void TextBuffer::add(const char *format, ...) {
  if (used + 1 >= capacity)
    return;
  va_list arguments;
  va_start(arguments, format);
  int written = vsnprintf(text + used, capacity - used, format, arguments);
  va_end(arguments);
  if (written > 0)
    used = used + static_cast<size_t>(written) < capacity ? used + static_cast<size_t>(written) : capacity - 1;
}

} // namespace tenon::rt

extern "C" {

const char *tn_status_name(tn_status_t status) {
  static const char *const names[] = {
      "TN_OK",           "TN_BAD_ARGUMENT", "TN_BAD_FILE",  "TN_BAD_VERSION",   "TN_BAD_CPU",     "TN_BAD_COUNT",
      "TN_BAD_TYPE",     "TN_BAD_SHAPE",    "TN_BAD_ALIAS", "TN_OUT_OF_RANGE",  "TN_NEEDS_MEMORY", "TN_TOO_LARGE",
      "TN_BUSY",         "TN_STATE_LOST",   "TN_NO_MEMORY", "TN_IO",            "TN_DATA_ERROR",  "TN_BAD_ALIGNMENT",
      "TN_UNSUPPORTED",  "TN_INTERNAL"};
  unsigned index = static_cast<unsigned>(status);
  return index < sizeof(names) / sizeof(names[0]) ? names[index] : "unknown status";
}

const char *tn_version(void) { return TENON_RUNTIME_VERSION; }

const char *tn_dtype_name(tn_dtype_t dtype) {
  static const char *const names[] = {"none", "f64", "f32",  "f16",      "bf16",   "i64",        "i32",        "i16",
                                      "i8",   "u8",  "bool", "u16",      "u32",    "u64",        "c64",        "c128",
                                      "f8e4m3fn", "f8e5m2", "f8e4m3fnuz", "f8e5m2fnuz", "f8e8m0fnu", "i4", "u4", "f4e2m1fn"};
  unsigned index = static_cast<unsigned>(dtype);
  return index < sizeof(names) / sizeof(names[0]) ? names[index] : "?";
}

size_t tn_dtype_bytes(tn_dtype_t dtype) {
  static const uint8_t bytes[] = {0, 8, 4, 2, 2, 8, 4, 2, 1, 1, 1, 2, 4, 8, 8, 16, 1, 1, 1, 1, 1, 0, 0, 0};
  unsigned index = static_cast<unsigned>(dtype);
  return index < sizeof(bytes) ? bytes[index] : 0;
}
}
