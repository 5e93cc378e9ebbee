// Runs nlohmann's parser in its event form, which throws nothing and keeps its own stack on the heap.
#include "Json.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/StringSaver.h"
#include <nlohmann/json.hpp>

using namespace llvm;

namespace tenon::torch_export::json {

ArrayRef<Member> Value::members() const { return {data.members, count}; }

const Value *Value::find(StringRef key) const {
  for (const Member &member : members())
    if (member.key == key)
      return &member.value;
  return nullptr;
}

StringRef Value::describe() const {
  static constexpr StringLiteral names[] = {"null",     "a boolean", "an integer", "an integer of more than 64 bits",
                                            "a number", "a string",  "an array",   "an object"};
  return names[static_cast<size_t>(valueKind)];
}

namespace {

/// Builds values bottom-up: children wait in `pending` until their array or object ends.
class Builder {
public:
  Builder(BumpPtrAllocator &nodes, BumpPtrAllocator &strings, StringRef skip)
      : nodes(nodes), saver(strings), uniqueSaver(strings), skip(skip) {}

  bool null() { return add(Value()); }
  bool boolean(bool b) { return add(Value::makeBool(b)); }
  bool number_integer(int64_t i) { return add(Value::makeInt(i)); }
  bool number_unsigned(uint64_t u) {
    if (u > static_cast<uint64_t>(INT64_MAX))
      return add(Value::makeBigInt(saver.save(Twine(u))));
    return add(Value::makeInt(static_cast<int64_t>(u)));
  }
  bool number_float(double d, const std::string &text) {
    if (StringRef(text).find_first_of(".eE") == StringRef::npos)
      return add(Value::makeBigInt(saver.save(StringRef(text))));
    return add(Value::makeFloat(d));
  }
  bool string(std::string &text) {
    if (!skip.empty() && !levels.empty() && levels.back().isObject && keys.back() == skip)
      return add(Value::makeString(""));
    // Names repeat a lot; long texts hardly.
    return add(Value::makeString(text.size() <= 64 ? uniqueSaver.save(StringRef(text)) : saver.save(StringRef(text))));
  }
  bool binary(nlohmann::json::binary_t &) { return fail("binary data"); }
  bool start_object(std::size_t) { return begin(true); }
  bool start_array(std::size_t) { return begin(false); }
  bool key(std::string &text) {
    keys.push_back(uniqueSaver.save(StringRef(text)));
    return true;
  }
  bool end_object() {
    Level level = levels.pop_back_val();
    size_t n = pending.size() - level.firstValue;
    Member *members = nodes.Allocate<Member>(n);
    for (size_t i = 0; i < n; ++i)
      new (members + i) Member{keys[level.firstKey + i], pending[level.firstValue + i]};
    if (const StringRef *repeated = findRepeated({members, n}))
      return fail(("key '" + *repeated + "' occurs twice in an object").str());
    keys.truncate(level.firstKey);
    pending.truncate(level.firstValue);
    return add(Value::makeObject({members, n}));
  }
  bool end_array() {
    Level level = levels.pop_back_val();
    ArrayRef<Value> items = ArrayRef<Value>(pending).drop_front(level.firstValue).copy(nodes);
    pending.truncate(level.firstValue);
    return add(Value::makeArray(items));
  }
  bool parse_error(std::size_t position, const std::string &, const nlohmann::detail::exception &e) {
    StringRef reason = e.what();
    reason = reason.substr(reason.find("] ") == StringRef::npos ? 0 : reason.find("] ") + 2);
    return fail(("at byte " + Twine(position) + ": " + reason).str());
  }

  Value result;
  std::string error;

private:
  struct Level {
    bool isObject;
    size_t firstValue, firstKey;
  };

  bool fail(std::string reason) {
    error = std::move(reason);
    return false;
  }
  bool begin(bool isObject) {
    if (levels.size() == kMaxDepth)
      return fail("nested more than " + std::to_string(kMaxDepth) + " deep");
    levels.push_back({isObject, pending.size(), keys.size()});
    return true;
  }
  bool add(Value value) {
    if (levels.empty()) {
      result = value;
      return true;
    }
    pending.push_back(value);
    return true;
  }
  /// Keys are interned, so equal keys have equal pointers.
  const StringRef *findRepeated(ArrayRef<Member> members) {
    if (members.size() <= 8) {
      for (size_t i = 0; i < members.size(); ++i)
        for (size_t j = 0; j < i; ++j)
          if (members[i].key.data() == members[j].key.data() && members[i].key.size() == members[j].key.size())
            return &members[i].key;
      return nullptr;
    }
    DenseSet<StringRef> seen;
    seen.reserve(members.size());
    for (const Member &member : members)
      if (!seen.insert(member.key).second)
        return &member.key;
    return nullptr;
  }

  BumpPtrAllocator &nodes;
  StringSaver saver;
  UniqueStringSaver uniqueSaver;
  StringRef skip;
  SmallVector<Level, 16> levels;
  SmallVector<Value, 0> pending;
  SmallVector<StringRef, 0> keys;
};

} // namespace

Expected<Value> parse(StringRef text, BumpPtrAllocator &nodes, BumpPtrAllocator &strings, StringRef skip) {
  Builder builder(nodes, strings, skip);
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &builder))
    return createStringError(std::make_error_code(std::errc::invalid_argument),
                             "not valid JSON: " + (builder.error.empty() ? "unknown reason" : builder.error));
  return builder.result;
}

} // namespace tenon::torch_export::json
