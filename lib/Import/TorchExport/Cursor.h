// Walks a JSON tree while knowing where it is, so that every error can name its place.
#ifndef TENON_LIB_IMPORT_TORCHEXPORT_CURSOR_H
#define TENON_LIB_IMPORT_TORCHEXPORT_CURSOR_H

#include "Json.h"
#include "tenon/Import/TorchExport/Pt2Archive.h"

namespace tenon::torch_export {

/// Where errors of one archive entry go; after `kMaxErrors` they are only counted.
class ErrorSink {
public:
  static constexpr unsigned kMaxErrors = 20;

  ErrorSink(llvm::StringRef file, ReadErrorHandler handler) : file(file), handler(handler) {}
  void report(llvm::StringRef entry, std::string path, const llvm::Twine &reason) {
    if (++count <= kMaxErrors)
      handler({file.str(), entry.str(), std::move(path), reason.str()});
  }
  void report(llvm::StringRef entry, llvm::Error error) { report(entry, "", llvm::toString(std::move(error))); }
  bool failed() const { return count > 0; }
  bool isFull() const { return count >= kMaxErrors; }
  unsigned errors() const { return count; }

private:
  llvm::StringRef file;
  ReadErrorHandler handler;
  unsigned count = 0;
};

/// A place in a JSON tree; there may be no value there. Must not outlive the cursor it was made from: keep each level
/// in a variable. Readers return false after having reported why.
class Cursor {
public:
  Cursor(const json::Value &root, llvm::StringRef entry, ErrorSink &sink) : value(&root), entry(entry), sink(&sink) {}

  bool exists() const { return value != nullptr; }
  bool isNull() const { return value && value->kind() == json::Value::Kind::Null; }
  bool isMissingOrNull() const { return !exists() || isNull(); }
  const json::Value &get() const { return *value; }
  llvm::StringRef name() const { return key; }

  /// The member of that name, missing if there is none or if this is no object.
  Cursor operator[](llvm::StringRef member) const {
    bool isObject = value && value->kind() == json::Value::Kind::Object;
    return Cursor(isObject ? value->find(member) : nullptr, *this, member, 0);
  }

  /// False, always.
  bool fail(const llvm::Twine &reason) const {
    sink->report(entry, path(), reason);
    return false;
  }
  bool expected(llvm::StringRef what) const {
    if (!value)
      return fail("is missing but must be " + what);
    return fail("is " + value->describe() + " but must be " + what);
  }
  bool isFull() const { return sink->isFull(); }
  ErrorSink &errors() const { return *sink; }

  bool isObject() const { return (value && value->kind() == json::Value::Kind::Object) || expected("an object"); }
  bool read(llvm::StringRef &out) const {
    if (!value || value->kind() != json::Value::Kind::String)
      return expected("a string");
    out = value->string();
    return true;
  }
  bool read(bool &out) const {
    if (!value || value->kind() != json::Value::Kind::Bool)
      return expected("a boolean");
    out = value->boolean();
    return true;
  }
  bool read(int64_t &out) const {
    if (!value || value->kind() != json::Value::Kind::Int)
      return expected("an integer of at most 64 bits");
    out = value->integer();
    return true;
  }
  /// Also the texts that stand for what JSON has no number for.
  bool read(double &out) const;

  /// Calls `visit(cursor)` for each element; goes on after a failure to collect several errors.
  template <typename F> bool forEach(F &&visit) const {
    if (!value || value->kind() != json::Value::Kind::Array)
      return expected("an array");
    bool good = true;
    size_t i = 0;
    for (const json::Value &item : value->array()) {
      good &= visit(Cursor(&item, *this, "", i++));
      if (!good && sink->isFull())
        return false;
    }
    return good;
  }
  /// Calls `visit(cursor)` for each member; `cursor.name()` is the key.
  template <typename F> bool forEachMember(F &&visit) const {
    if (!isObject())
      return false;
    bool good = true;
    for (const json::Member &member : value->members()) {
      good &= visit(Cursor(&member.value, *this, member.key, 0));
      if (!good && sink->isFull())
        return false;
    }
    return good;
  }
  /// A union is an object with one member, whose cursor `visit` gets. Members that are null beside it are ignored.
  template <typename F> bool readUnion(F &&visit) const {
    if (!isObject())
      return false;
    const json::Member *only = nullptr;
    for (const json::Member &member : value->members()) {
      if (member.value.kind() == json::Value::Kind::Null && value->members().size() > 1)
        continue;
      if (only)
        return fail("has both '" + only->key + "' and '" + member.key + "' but must have one of them");
      only = &member;
    }
    if (!only)
      return fail("has no member but must have one");
    return visit(Cursor(&only->value, *this, only->key, 0));
  }
  template <typename T> bool readList(std::vector<T> &out) const {
    return readList(out, [](const Cursor &c, T &item) { return c.read(item); });
  }
  template <typename T, typename F> bool readList(std::vector<T> &out, F &&readItem) const {
    if (value && value->kind() == json::Value::Kind::Array)
      out.reserve(value->array().size());
    return forEach([&](const Cursor &c) {
      T item{};
      bool good = readItem(c, item);
      out.push_back(std::move(item));
      return good;
    });
  }

  std::string path() const;

private:
  Cursor(const json::Value *value, const Cursor &parent, llvm::StringRef key, size_t index)
      : value(value), parent(&parent), key(key), index(index), entry(parent.entry), sink(parent.sink) {}

  const json::Value *value;
  const Cursor *parent = nullptr;
  llvm::StringRef key;
  size_t index = 0;
  llvm::StringRef entry;
  ErrorSink *sink;
};

} // namespace tenon::torch_export
#endif
