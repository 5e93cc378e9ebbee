// Header-only C++ wrapper of runtime.h: owners that close, and the error beside the result. No exceptions.
//
//   tenon::Error error;
//   tenon::Program program = tenon::Program::open("model.tenon", error);
//   tenon::Session session = program.createSession(error);
//   if (!session) return report(error.message());
//   if (session.call(0, inputs, outputs, error) != TN_OK) ...
#ifndef TENON_RUNTIME_HPP
#define TENON_RUNTIME_HPP

#include "tenon/runtime.h"

#include <cstddef>
#include <span>
#include <utility>

namespace tenon {

/// Status and reason of the last failure it was passed to.
class Error {
public:
  tn_status_t status() const { return raw.status; }
  const char *message() const { return raw.message; }
  operator tn_error_t *() { return &raw; }

private:
  tn_error_t raw = TN_ERROR_INIT;
};

/// A tensor over the caller's memory. `dims` must outlive it.
inline tn_tensor_t tensor(tn_dtype_t dtype, void *data, std::span<int64_t> dims) {
  return {data, dims.data(), static_cast<uint32_t>(dims.size()), dtype};
}

/// Owns a tn_session_t; false when creation failed. Close before its program.
class Session {
public:
  Session() = default;
  explicit Session(tn_session_t *owned) : handle(owned) {}
  Session(Session &&other) noexcept : handle(std::exchange(other.handle, nullptr)) {}
  Session &operator=(Session &&other) noexcept {
    std::swap(handle, other.handle);
    return *this;
  }
  ~Session() { tn_session_close(handle); }

  explicit operator bool() const { return handle != nullptr; }
  tn_session_t *get() const { return handle; }

  TN_NODISCARD tn_status_t call(uint32_t entry, std::span<const tn_tensor_t> inputs, std::span<tn_tensor_t> outputs,
                                Error &error) {
    return tn_session_call(handle, entry, inputs.data(), static_cast<uint32_t>(inputs.size()), outputs.data(),
                           static_cast<uint32_t>(outputs.size()), error);
  }
  TN_NODISCARD tn_status_t reset(Error &error) { return tn_session_reset(handle, error); }

private:
  tn_session_t *handle = nullptr;
};

/// Owns a tn_program_t; false when opening failed.
class Program {
public:
  Program() = default;
  explicit Program(tn_program_t *owned) : handle(owned) {}
  Program(Program &&other) noexcept : handle(std::exchange(other.handle, nullptr)) {}
  Program &operator=(Program &&other) noexcept {
    std::swap(handle, other.handle);
    return *this;
  }
  ~Program() { tn_program_close(handle); }

  static Program open(const char *path, Error &error, const tn_open_options_t *options = nullptr) {
    tn_program_t *program = nullptr;
    return tn_program_open(path, options, &program, error) == TN_OK ? Program(program) : Program();
  }
  static Program openMemory(std::span<const std::byte> file, Error &error,
                            const tn_open_options_t *options = nullptr) {
    tn_program_t *program = nullptr;
    return tn_program_open_memory(file.data(), file.size(), options, &program, error) == TN_OK ? Program(program)
                                                                                              : Program();
  }

  explicit operator bool() const { return handle != nullptr; }
  tn_program_t *get() const { return handle; }

  tn_program_info_t info() const {
    tn_program_info_t result = {};
    result.struct_bytes = sizeof(result);
    tn_program_info(handle, &result);
    return result;
  }
  Session createSession(Error &error, const tn_session_options_t *options = nullptr) const {
    tn_session_t *session = nullptr;
    return tn_session_create(handle, options, &session, error) == TN_OK ? Session(session) : Session();
  }

private:
  tn_program_t *handle = nullptr;
};

} // namespace tenon
#endif
