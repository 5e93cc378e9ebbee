// Names to values; views and writes through them.
#include "Converter.h"

using namespace mlir;

namespace tenon::torch_export {

void Environment::bind(StringRef name, Tensor tensor) {
  Slot slot;
  slot.tensor = tensor;
  slots[name] = std::move(slot);
}

void Environment::bindView(StringRef name, StringRef base, Tensor tensor, ViewFunctions functions) {
  Slot slot;
  slot.tensor = tensor;
  if (tracksViews) {
    slot.base = base.str();
    slot.functions = std::move(functions);
    if (auto it = slots.find(base); it != slots.end())
      slot.baseVersion = it->second.version;
  }
  slots[name] = std::move(slot);
}

Tensor Environment::read(Op &op, StringRef name) {
  auto it = slots.find(name);
  if (it == slots.end())
    return {};
  if (it->second.base.empty())
    return it->second.tensor;
  Tensor base = read(op, it->second.base); // depth is bounded: a base is bound before its views
  Slot &slot = slots[name], &owner = slots[slot.base];
  if (slot.baseVersion != owner.version && base) {
    slot.tensor = slot.functions.forward(op, base);
    slot.baseVersion = owner.version;
    ++slot.version;
  }
  return slot.tensor;
}

bool Environment::write(Op &op, StringRef name, Tensor tensor) {
  auto it = slots.find(name);
  if (it == slots.end() || !tensor)
    return false;
  std::string baseName = it->second.base;
  if (!baseName.empty()) {
    Tensor base = read(op, baseName);
    if (!base || !slots[name].functions.backward)
      return false;
    Tensor changed = slots[name].functions.backward(op, base, tensor);
    if (!changed || !write(op, baseName, changed))
      return false;
    slots[name].baseVersion = slots[baseName].version;
  }
  Slot &slot = slots[name];
  slot.tensor = tensor;
  ++slot.version;
  return true;
}

bool Environment::isWritten(StringRef name) const {
  auto it = slots.find(name);
  return it != slots.end() && it->second.version > 0;
}

const Number *Environment::number(StringRef name) const {
  auto it = numbers.find(name);
  return it == numbers.end() ? nullptr : &it->second;
}

} // namespace tenon::torch_export
