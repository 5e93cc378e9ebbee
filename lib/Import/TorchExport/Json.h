// A compact JSON tree for reading: cheap to build for megabytes, cheap to walk, and bounded for hostile input.
#ifndef TENON_LIB_IMPORT_TORCHEXPORT_JSON_H
#define TENON_LIB_IMPORT_TORCHEXPORT_JSON_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Allocator.h"
#include "llvm/Support/Error.h"

namespace tenon::torch_export::json {

struct Member;

/// A value; arrays, objects and strings point into the allocators that `parse` was given. Trivially copyable.
class Value {
public:
  enum class Kind : uint8_t { Null, Bool, Int, BigInt, Float, String, Array, Object };

  Value() = default;
  static Value makeBool(bool b) {
    Value v(Kind::Bool);
    v.data.integer = b;
    return v;
  }
  static Value makeInt(int64_t i) {
    Value v(Kind::Int);
    v.data.integer = i;
    return v;
  }
  static Value makeFloat(double d) {
    Value v(Kind::Float);
    v.data.number = d;
    return v;
  }
  /// An integer of more than 64 bits, as its digits.
  static Value makeBigInt(llvm::StringRef s) {
    Value v = makeString(s);
    v.valueKind = Kind::BigInt;
    return v;
  }
  static Value makeString(llvm::StringRef s) {
    Value v(Kind::String);
    v.data.text = s.data();
    v.count = s.size();
    return v;
  }
  static Value makeArray(llvm::ArrayRef<Value> a) {
    Value v(Kind::Array);
    v.data.items = a.data();
    v.count = a.size();
    return v;
  }
  static Value makeObject(llvm::ArrayRef<Member> m) {
    Value v(Kind::Object);
    v.data.members = m.data();
    v.count = m.size();
    return v;
  }

  Kind kind() const { return valueKind; }
  bool boolean() const { return data.integer; }
  int64_t integer() const { return data.integer; }
  double number() const { return data.number; }
  llvm::StringRef string() const { return {data.text, count}; }
  llvm::ArrayRef<Value> array() const { return {data.items, count}; }
  llvm::ArrayRef<Member> members() const;
  /// First member of that name, or null.
  const Value *find(llvm::StringRef key) const;
  /// For messages: "an object".
  llvm::StringRef describe() const;

private:
  explicit Value(Kind kind) : valueKind(kind) {}
  union {
    int64_t integer;
    double number;
    const char *text;
    const Value *items;
    const Member *members;
  } data = {};
  size_t count = 0;
  Kind valueKind = Kind::Null;
};

struct Member {
  llvm::StringRef key;
  Value value;
};

/// Deeper nesting is refused.
constexpr unsigned kMaxDepth = 256;

/// Parses `text`. Strings go to `strings`, the rest to `nodes`. Texts of members named `skip` are read as "".
llvm::Expected<Value> parse(llvm::StringRef text, llvm::BumpPtrAllocator &nodes, llvm::BumpPtrAllocator &strings,
                            llvm::StringRef skip = {});

} // namespace tenon::torch_export::json
#endif
