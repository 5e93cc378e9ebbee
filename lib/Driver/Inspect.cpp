// tenon inspect: what is in a file. Opens it as metadata, so that any bytes are safe.
#include "Report.h"
#include "tenon/Driver/Commands.h"
#include "tenon/runtime.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/JSON.h"

namespace tenon::driver {

namespace {
/// Fills one of the runtime's growing structs; an error that names it when the file has no such thing.
template <typename Info> struct Sized : Info {
  Sized() : Info{} { this->struct_bytes = sizeof(Info); }
};

struct TensorText {
  std::string name, path, dtype, role;
  std::vector<std::string> dims;
  bool optional;
};

const char *const roleNames[] = {"user", "parameter", "buffer", "gradient", "optimizer", "loss", "auxiliary"};

class Inspector {
public:
  explicit Inspector(tn_program_t *program) : program(program) { tn_program_info(program, &info); }

  llvm::Error print();
  llvm::Error printJson();

private:
  llvm::Error check(tn_status_t status) {
    return status == TN_OK ? llvm::Error::success()
                           : llvm::createStringError(llvm::inconvertibleErrorCode(), error.message);
  }
  llvm::Expected<TensorText> tensor(uint32_t entry, tn_side_t side, uint32_t index);
  llvm::Error printEntry(uint32_t index);
  llvm::Error printVariant(uint32_t index);
  llvm::Error printKernels(uint32_t variant, const char *device);
  llvm::Error printStates();
  llvm::Error printWeights();
  llvm::Error printSegments();
  llvm::Error jsonEntry(llvm::json::OStream &json, uint32_t index);
  llvm::Error jsonVariant(llvm::json::OStream &json, uint32_t index);

  tn_program_t *program;
  Sized<tn_program_info_t> info;
  tn_error_t error = TN_ERROR_INIT;
};
} // namespace

static std::string dimsText(llvm::ArrayRef<int64_t> dims) {
  std::string text = "[";
  for (auto [i, dim] : llvm::enumerate(dims))
    text += (i ? ", " : "") + std::to_string(dim);
  return text + "]";
}

static llvm::StringRef segmentName(tn_segment_kind_t kind) {
  switch (kind) {
  case TN_SEGMENT_CONSTANTS:
    return "constants";
  case TN_SEGMENT_IMAGE:
    return "image";
  case TN_SEGMENT_DEBUG:
    return "debug";
  case TN_SEGMENT_DEVICE:
    return "device";
  default:
    return "unknown";
  }
}

llvm::Expected<TensorText> Inspector::tensor(uint32_t entry, tn_side_t side, uint32_t index) {
  Sized<tn_tensor_info_t> tensor;
  if (llvm::Error failure = check(tn_tensor_info(program, entry, side, index, &tensor, &error)))
    return std::move(failure);
  TensorText text{tensor.name, tensor.path, tn_dtype_name(tensor.dtype),
                  static_cast<size_t>(tensor.role) < std::size(roleNames) ? roleNames[tensor.role] : "unknown",
                  {}, tensor.optional != 0};
  for (uint32_t d = 0; d < tensor.rank; ++d) {
    int64_t fixed;
    char size[1024];
    if (llvm::Error failure =
            check(tn_tensor_dim(program, entry, side, index, d, &fixed, size, sizeof size, &error)))
      return std::move(failure);
    text.dims.push_back(size);
  }
  return text;
}

static std::string rangeText(const tn_symbol_info_t &symbol) {
  std::string text = std::string(symbol.name) + " in [" + std::to_string(symbol.min) + ", " +
                     (symbol.max == INT64_MAX ? "no limit" : std::to_string(symbol.max)) + "]";
  if (symbol.multiple_of > 1)
    text += ", a multiple of " + std::to_string(symbol.multiple_of);
  if (symbol.data_dependent)
    text += ", found by the call";
  return text;
}

llvm::Error Inspector::printEntry(uint32_t index) {
  Sized<tn_entry_info_t> entry;
  if (llvm::Error failure = check(tn_entry_info(program, index, &entry, &error)))
    return failure;
  llvm::outs() << "\nentry '" << entry.name << "'";
  if (*entry.origin)
    llvm::outs() << " from " << entry.origin;
  llvm::outs() << "\n";
  for (tn_side_t side : {TN_INPUT, TN_OUTPUT}) {
    Table table({side == TN_INPUT ? "input" : "output", "type", "shape", "role", "path"});
    for (uint32_t i = 0; i < (side == TN_INPUT ? entry.inputs : entry.outputs); ++i) {
      llvm::Expected<TensorText> text = tensor(index, side, i);
      if (!text)
        return text.takeError();
      table.add({text->name, text->dtype, "[" + llvm::join(text->dims, ", ") + "]",
                 text->role + (text->optional ? ", optional" : ""), text->path});
    }
    if (!table.empty())
      table.print(llvm::outs());
  }
  for (uint32_t i = 0; i < entry.symbols; ++i) {
    Sized<tn_symbol_info_t> symbol;
    if (llvm::Error failure = check(tn_symbol_info(program, index, i, &symbol, &error)))
      return failure;
    llvm::outs() << "  size " << rangeText(symbol) << "\n";
  }
  return llvm::Error::success();
}

llvm::Error Inspector::printVariant(uint32_t index) {
  Sized<tn_variant_info_t> variant;
  if (llvm::Error failure = check(tn_variant_info(program, index, &variant, &error)))
    return failure;
  llvm::outs() << "\nvariant '" << variant.name << "' for " << variant.arch << ", image ABI " << variant.abi_major << "."
               << variant.abi_minor_needed << (variant.runs_here ? ", runs here" : ", does not run here") << "\n";
  std::string features;
  for (uint32_t i = 0; i < variant.features; ++i)
    features += std::string(i ? " " : "") + tn_variant_feature(program, index, i);
  if (!features.empty())
    llvm::outs() << "  needs " << features << "\n";
  return printKernels(index, variant.device);
}

static std::string workText(int64_t value) {
  if (value < 0)
    return "-";
  std::string text;
  llvm::raw_string_ostream(text) << llvm::format("%.3f", static_cast<double>(value) * 1e-6);
  return text;
}

llvm::Error Inspector::printKernels(uint32_t variant, const char *device) {
  for (uint32_t e = 0; e < info.entries; ++e) {
    Sized<tn_entry_info_t> entry;
    if (llvm::Error failure = check(tn_entry_info(program, e, &entry, &error)))
      return failure;
    std::vector<int64_t> sizes; // those of the example inputs, for the estimates
    for (uint32_t i = 0; i < entry.symbols; ++i) {
      Sized<tn_symbol_info_t> symbol;
      if (llvm::Error failure = check(tn_symbol_info(program, e, i, &symbol, &error)))
        return failure;
      sizes.push_back(symbol.hint >= 0 ? symbol.hint : std::max<int64_t>(symbol.min, 1));
    }
    Table table({"kernel of '" + std::string(entry.name) + "'", "calls", "Mflop", "MB moved", "runs on", "code bytes", "from"});
    uint64_t code = 0;
    for (uint32_t k = 0; k < tn_kernel_count(program, variant, e); ++k) {
      Sized<tn_kernel_info_t> kernel;
      if (llvm::Error failure =
              check(tn_kernel_info(program, variant, e, k, sizes.data(), sizes.size(), &kernel, &error)))
        return failure;
      code += kernel.code_bytes;
      table.add({kernel.name, std::to_string(kernel.calls), workText(kernel.flops), workText(kernel.bytes_moved),
                 kernel.on_device ? device : "cpu", std::to_string(kernel.code_bytes), kernel.origin});
    }
    if (table.empty())
      continue;
    table.print(llvm::outs());
    llvm::outs() << "  " << formatBytes(code) << " of kernel code\n";
    Sized<tn_memory_needs_t> needs;
    if (tn_entry_needs(program, e, sizes.data(), sizes.size(), 1, &needs, nullptr) == TN_OK)
      llvm::outs() << "  memory of a call: arena " << formatBytes(needs.arena_bytes) << ", scratch "
                   << formatBytes(needs.scratch_bytes) << ", states " << formatBytes(needs.state_bytes) << "\n";
  }
  return llvm::Error::success();
}

llvm::Error Inspector::printStates() {
  Table table({"state", "type", "shape", "bytes", "kept"});
  for (uint32_t i = 0; i < info.states; ++i) {
    Sized<tn_state_info_t> state;
    if (llvm::Error failure = check(tn_state_info(program, i, &state, &error)))
      return failure;
    table.add({state.name, tn_dtype_name(state.dtype), dimsText({state.dims, state.rank}), std::to_string(state.bytes),
               state.persistent ? "yes" : "no"});
  }
  llvm::outs() << (table.empty() ? "" : "\n");
  if (!table.empty())
    table.print(llvm::outs());
  return llvm::Error::success();
}

llvm::Error Inspector::printWeights() {
  Table table({"weight", "type", "shape", "layout", "segment", "offset", "bytes"});
  for (uint32_t i = 0; i < info.weights; ++i) {
    Sized<tn_weight_info_t> weight;
    if (llvm::Error failure = check(tn_weight_info(program, i, &weight, &error)))
      return failure;
    table.add({weight.name, tn_dtype_name(weight.dtype), dimsText({weight.dims, weight.rank}), weight.layout,
               std::to_string(weight.segment), std::to_string(weight.offset), std::to_string(weight.bytes)});
  }
  llvm::outs() << (table.empty() ? "" : "\n");
  if (!table.empty())
    table.print(llvm::outs());
  return llvm::Error::success();
}

llvm::Error Inspector::printSegments() {
  Table table({"segment", "kind", "offset", "bytes"});
  for (uint32_t i = 0; i < info.segments; ++i) {
    Sized<tn_segment_info_t> segment;
    if (llvm::Error failure = check(tn_segment_info(program, i, &segment, &error)))
      return failure;
    table.add({std::to_string(i), segmentName(segment.kind).str(), std::to_string(segment.offset),
               std::to_string(segment.bytes)});
  }
  llvm::outs() << "\n";
  table.print(llvm::outs());
  return llvm::Error::success();
}

llvm::Error Inspector::print() {
  llvm::outs() << "format " << info.format_major << "." << info.format_minor << ", made by " << info.producer << ", "
               << formatBytes(info.file_bytes) << "\n";
  if (*info.name)
    llvm::outs() << "model '" << info.name << "'\n";
  const char *key, *value;
  for (uint32_t i = 0; tn_metadata_at(program, i, &key, &value); ++i)
    llvm::outs() << key << ": " << value << "\n";
  for (uint32_t i = 0; i < info.entries; ++i)
    if (llvm::Error failure = printEntry(i))
      return failure;
  for (uint32_t i = 0; i < info.variants; ++i)
    if (llvm::Error failure = printVariant(i))
      return failure;
  if (llvm::Error failure = printStates())
    return failure;
  if (llvm::Error failure = printWeights())
    return failure;
  return printSegments();
}

llvm::Error Inspector::jsonEntry(llvm::json::OStream &json, uint32_t index) {
  Sized<tn_entry_info_t> entry;
  if (llvm::Error failure = check(tn_entry_info(program, index, &entry, &error)))
    return failure;
  json.attribute("name", entry.name);
  json.attribute("origin", entry.origin);
  for (tn_side_t side : {TN_INPUT, TN_OUTPUT}) {
    json.attributeBegin(side == TN_INPUT ? "inputs" : "outputs");
    json.arrayBegin();
    for (uint32_t i = 0; i < (side == TN_INPUT ? entry.inputs : entry.outputs); ++i) {
      llvm::Expected<TensorText> text = tensor(index, side, i);
      if (!text)
        return text.takeError();
      json.object([&] {
        json.attribute("name", text->name);
        json.attribute("dtype", text->dtype);
        json.attributeArray("dims", [&] {
          for (const std::string &dim : text->dims) {
            int64_t number;
            if (llvm::StringRef(dim).getAsInteger(10, number))
              json.value(dim);
            else
              json.value(number);
          }
        });
        json.attribute("role", text->role);
        json.attribute("path", text->path);
        json.attribute("optional", text->optional);
      });
    }
    json.arrayEnd();
    json.attributeEnd();
  }
  json.attributeBegin("symbols");
  json.arrayBegin();
  for (uint32_t i = 0; i < entry.symbols; ++i) {
    Sized<tn_symbol_info_t> symbol;
    if (llvm::Error failure = check(tn_symbol_info(program, index, i, &symbol, &error)))
      return failure;
    json.object([&] {
      json.attribute("name", symbol.name);
      json.attribute("min", symbol.min);
      json.attribute("max", symbol.max);
      json.attribute("multiple_of", symbol.multiple_of);
      json.attribute("hint", symbol.hint);
      json.attribute("data_dependent", symbol.data_dependent != 0);
    });
  }
  json.arrayEnd();
  json.attributeEnd();
  return llvm::Error::success();
}

llvm::Error Inspector::jsonVariant(llvm::json::OStream &json, uint32_t index) {
  Sized<tn_variant_info_t> variant;
  if (llvm::Error failure = check(tn_variant_info(program, index, &variant, &error)))
    return failure;
  json.attribute("name", variant.name);
  json.attribute("arch", variant.arch);
  json.attribute("runs_here", variant.runs_here != 0);
  json.attribute("image_segment", variant.image_segment);
  json.attribute("device", variant.device);
  json.attributeArray("features", [&] {
    for (uint32_t i = 0; i < variant.features; ++i)
      json.value(tn_variant_feature(program, index, i));
  });
  json.attributeBegin("kernels");
  json.arrayBegin();
  for (uint32_t e = 0; e < info.entries; ++e)
    for (uint32_t k = 0; k < tn_kernel_count(program, index, e); ++k) {
      Sized<tn_kernel_info_t> kernel;
      if (llvm::Error failure = check(tn_kernel_info(program, index, e, k, nullptr, 0, &kernel, &error)))
        return failure;
      json.object([&] {
        json.attribute("entry", e);
        json.attribute("name", kernel.name);
        json.attribute("calls", kernel.calls);
        json.attribute("on_device", kernel.on_device != 0);
        json.attribute("flops", kernel.flops);
        json.attribute("bytes_moved", kernel.bytes_moved);
        json.attribute("code_bytes", kernel.code_bytes);
        json.attribute("hash", llvm::utohexstr(kernel.hash, /*LowerCase=*/true, 16));
        json.attribute("origin", kernel.origin);
      });
    }
  json.arrayEnd();
  json.attributeEnd();
  return llvm::Error::success();
}

llvm::Error Inspector::printJson() {
  std::string text;
  llvm::raw_string_ostream os(text);
  llvm::json::OStream json(os, 2);
  llvm::Error failure = llvm::Error::success();
  // Runs `one` for each index inside an object of an array, until one fails.
  auto each = [&](llvm::StringRef name, uint32_t count, llvm::function_ref<llvm::Error(uint32_t)> one) {
    json.attributeArray(name, [&] {
      for (uint32_t i = 0; i < count && !failure; ++i)
        json.object([&] { failure = one(i); });
    });
  };
  json.objectBegin();
  json.attribute("format", std::to_string(info.format_major) + "." + std::to_string(info.format_minor));
  json.attribute("producer", info.producer);
  json.attribute("name", info.name);
  json.attribute("file_bytes", info.file_bytes);
  each("entries", info.entries, [&](uint32_t i) { return jsonEntry(json, i); });
  if (!failure)
    each("variants", info.variants, [&](uint32_t i) { return jsonVariant(json, i); });
  if (!failure)
    each("states", info.states, [&](uint32_t i) -> llvm::Error {
      Sized<tn_state_info_t> state;
      if (llvm::Error problem = check(tn_state_info(program, i, &state, &error)))
        return problem;
      json.attribute("name", state.name);
      json.attribute("dtype", tn_dtype_name(state.dtype));
      json.attributeArray("dims", [&] {
        for (uint32_t d = 0; d < state.rank; ++d)
          json.value(state.dims[d]);
      });
      json.attribute("bytes", state.bytes);
      json.attribute("persistent", state.persistent != 0);
      return llvm::Error::success();
    });
  if (!failure)
    each("weights", info.weights, [&](uint32_t i) -> llvm::Error {
      Sized<tn_weight_info_t> weight;
      if (llvm::Error problem = check(tn_weight_info(program, i, &weight, &error)))
        return problem;
      json.attribute("name", weight.name);
      json.attribute("dtype", tn_dtype_name(weight.dtype));
      json.attributeArray("dims", [&] {
        for (uint32_t d = 0; d < weight.rank; ++d)
          json.value(weight.dims[d]);
      });
      json.attribute("layout", weight.layout);
      json.attribute("segment", weight.segment);
      json.attribute("offset", weight.offset);
      json.attribute("bytes", weight.bytes);
      return llvm::Error::success();
    });
  if (!failure)
    each("segments", info.segments, [&](uint32_t i) -> llvm::Error {
      Sized<tn_segment_info_t> segment;
      if (llvm::Error problem = check(tn_segment_info(program, i, &segment, &error)))
        return problem;
      json.attribute("kind", segmentName(segment.kind));
      json.attribute("offset", segment.offset);
      json.attribute("bytes", segment.bytes);
      return llvm::Error::success();
    });
  if (failure)
    return failure; // the writer is left inside a list; nothing of it is shown
  json.attributeObject("metadata", [&] {
    const char *key, *value;
    for (uint32_t i = 0; tn_metadata_at(program, i, &key, &value); ++i)
      json.attribute(key, value);
  });
  json.objectEnd();
  llvm::outs() << text << "\n";
  return llvm::Error::success();
}

int inspect(const InspectCommand &command) {
  tn_open_options_t options = {};
  options.struct_bytes = sizeof options;
  options.flags = TN_OPEN_METADATA;
  tn_program_t *program = nullptr;
  tn_error_t error = TN_ERROR_INIT;
  if (tn_program_open(command.file.c_str(), &options, &program, &error) != TN_OK)
    return fail(error.message);
  Inspector inspector(program);
  llvm::Error failure = command.json ? inspector.printJson() : inspector.print();
  tn_program_close(program);
  return failure ? fail(std::move(failure)) : static_cast<int>(Done);
}

} // namespace tenon::driver
