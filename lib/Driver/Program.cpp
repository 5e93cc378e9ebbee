// A compiled program as `run` and `bench` use it.
#include "Program.h"
#include "tenon/Support/WeightData.h"
#include "mlir/IR/Builders.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Path.h"
#include <cstring>

namespace tenon::driver {

static llvm::Error makeError(const llvm::Twine &text) {
  return llvm::createStringError(llvm::inconvertibleErrorCode(), text);
}
static llvm::Error makeError(const tn_error_t &error) { return makeError(llvm::Twine(error.message)); }

Program::~Program() {
  tn_session_close(session);
  tn_program_close(program);
}

std::string Program::where() const { return name.empty() ? file : file + ": entry '" + name + "'"; }
llvm::Error Program::error(const llvm::Twine &reason) const { return makeError(where() + ": " + reason); }

llvm::Error Program::open(const std::string &path, const std::string &variant, const std::string &device,
                          const std::string &cache, unsigned threads) {
  file = path;
  tn_open_options_t options = {};
  options.struct_bytes = sizeof options;
  options.variant = variant.empty() ? nullptr : variant.c_str();
  options.threads = threads;
  options.device = device.empty() ? nullptr : device.c_str();
  options.cache = cache.empty() ? nullptr : cache.c_str();
  tn_error_t failure = TN_ERROR_INIT;
  if (tn_program_open(path.c_str(), &options, &program, &failure) != TN_OK)
    return makeError(failure);
  return llvm::Error::success();
}

llvm::Error Program::chooseEntry(llvm::StringRef wanted) {
  tn_error_t failure = TN_ERROR_INIT;
  tn_program_info_t info = {};
  info.struct_bytes = sizeof info;
  tn_program_info(program, &info);
  std::string text = wanted.empty() ? "main" : wanted.str();
  entry = 0;
  if ((!wanted.empty() || info.entries != 1) &&
      tn_entry_find(program, text.c_str(), &entry, &failure) != TN_OK)
    return makeError(failure);
  tn_entry_info_t entryInfo = {};
  entryInfo.struct_bytes = sizeof entryInfo;
  if (tn_entry_info(program, entry, &entryInfo, &failure) != TN_OK)
    return makeError(failure);
  name = entryInfo.name;
  for (tn_side_t side : {TN_INPUT, TN_OUTPUT}) {
    std::vector<TensorSlot> &slots = side == TN_INPUT ? inputSlots : outputSlots;
    for (uint32_t i = 0; i < (side == TN_INPUT ? entryInfo.inputs : entryInfo.outputs); ++i) {
      tn_tensor_info_t tensor = {};
      tensor.struct_bytes = sizeof tensor;
      if (tn_tensor_info(program, entry, side, i, &tensor, &failure) != TN_OK)
        return makeError(failure);
      slots.push_back({tensor.name, tensor.dtype, tensor.rank, tensor.optional != 0});
    }
  }
  for (uint32_t i = 0; i < entryInfo.symbols; ++i) {
    tn_symbol_info_t symbol = {};
    symbol.struct_bytes = sizeof symbol;
    if (tn_symbol_info(program, entry, i, &symbol, &failure) != TN_OK)
      return makeError(failure);
    symbolInfos.push_back(symbol);
  }
  return llvm::Error::success();
}

llvm::Error Program::startSession(unsigned threads) {
  tn_session_options_t options = {};
  options.struct_bytes = sizeof options;
  options.threads = threads;
  // What was asked for is what runs: more threads than processors is slow, but never different.
  options.flags = threads ? TN_SESSION_EXACT_THREADS : 0;
  tn_error_t failure = TN_ERROR_INIT;
  if (tn_session_create(program, &options, &session, &failure) != TN_OK)
    return makeError(failure);
  return llvm::Error::success();
}

llvm::Expected<unsigned> Program::find(llvm::ArrayRef<TensorSlot> slots, llvm::StringRef wanted,
                                       llvm::StringRef what) const {
  std::string known;
  for (auto [i, slot] : llvm::enumerate(slots)) {
    if (slot.name == wanted)
      return static_cast<unsigned>(i);
    known += (i ? ", " : "") + slot.name;
  }
  return error("there is no " + what + " '" + wanted + "'; the " + what + "s are " + (known.empty() ? "none" : known));
}

llvm::Expected<std::vector<std::optional<int64_t>>> Program::parseSymbols(llvm::ArrayRef<std::string> texts) const {
  std::vector<std::optional<int64_t>> values(symbolInfos.size());
  for (llvm::StringRef text : texts) {
    auto [symbol, number] = text.split('=');
    int64_t value;
    if (number.getAsInteger(10, value) || value < 0)
      return makeError("--symbol=" + text + " is not NAME=SIZE");
    auto found = llvm::find_if(symbolInfos, [&](const tn_symbol_info_t &info) { return symbol == info.name; });
    if (found == symbolInfos.end()) {
      std::vector<std::string> names;
      for (const tn_symbol_info_t &info : symbolInfos)
        names.push_back(info.name);
      return error("there is no symbol '" + symbol + "'; the symbols are " +
                   (names.empty() ? "none" : llvm::join(names, ", ")));
    }
    values[found - symbolInfos.begin()] = value;
  }
  return values;
}

/// The type whose name and width numpy writes that way; for messages of the runtime about a wrong one.
static tn_dtype_t dtypeOf(NpyType type) {
  for (int dtype = TN_F64; dtype <= TN_C128; ++dtype)
    if (dtype != TN_BF16 && npyTypeFor(static_cast<tn_dtype_t>(dtype)) == type)
      return static_cast<tn_dtype_t>(dtype);
  return TN_DTYPE_NONE;
}

/// Whether an array of `type` may be taken for `dtype` bit for bit. Every float may come as its bits, in the unsigned
/// integer of its width: how one writes those that numpy does not know.
static bool typeFits(NpyType type, tn_dtype_t dtype) {
  std::optional<NpyType> own = npyTypeFor(dtype);
  if (!own)
    return false;
  if (*own == type)
    return true;
  bool isOurs = dtype == TN_BF16 || dtype >= TN_F8E4M3FN; // numpy does not know it
  bool isBits = type.kind == 'u' && (isOurs || own->kind == 'f');
  return type.bytes == own->bytes && (isBits || (isOurs && type.kind == 'V'));
}

static llvm::Error checkBool(const NpyArray &array, const llvm::Twine &what) {
  for (uint8_t byte : array.bytes)
    if (byte > 1)
      return makeError(what + " has a byte that is neither 0 nor 1 in a bool array");
  return llvm::Error::success();
}

llvm::Error Program::sizeFromTypes(unsigned input, llvm::ArrayRef<std::optional<int64_t>> symbols,
                                   TensorBuffer &buffer) const {
  auto valueOf = [&](llvm::StringRef symbol) -> std::optional<int64_t> {
    for (auto [i, info] : llvm::enumerate(symbolInfos)) {
      if (symbol != info.name)
        continue;
      if (symbols[i])
        return symbols[i];
      return info.hint >= 0 ? info.hint : std::max<int64_t>(info.min, 1);
    }
    return std::nullopt;
  };
  buffer.dtype = inputSlots[input].dtype;
  for (uint32_t d = 0; d < inputSlots[input].rank; ++d) {
    tn_error_t failure = TN_ERROR_INIT;
    int64_t fixed;
    char text[4096];
    if (tn_tensor_dim(program, entry, TN_INPUT, input, d, &fixed, text, sizeof text, &failure) != TN_OK)
      return makeError(failure);
    std::optional<int64_t> value = fixed >= 0 ? fixed : evaluateSize(text, valueOf);
    if (!value || *value < 0)
      return error("input '" + inputSlots[input].name + "' has size " + text + ", which has no value; give an array");
    buffer.dims.push_back(*value);
  }
  return buffer.allocate(inputSlots[input].name);
}

/// Floats uniform in [-1, 1); integers 0 or 1, which are valid as indices, masks and positions alike.
static void fillRandom(TensorBuffer &buffer, llvm::StringRef name, uint64_t seed) {
  mlir::MLIRContext context(mlir::MLIRContext::Threading::DISABLED);
  mlir::Builder builder(&context);
  uint64_t key = seedKey((name + "#" + llvm::Twine(seed)).str());
  llvm::MutableArrayRef<uint8_t> bytes(buffer.data(), buffer.bytes());
  auto fill = [&](mlir::Type type) { fillSeeded((name + "#" + llvm::Twine(seed)).str(), 1.0, type, 0, bytes); };
  switch (buffer.dtype) {
  case TN_F64:
    return fill(builder.getF64Type());
  case TN_F32:
    return fill(builder.getF32Type());
  case TN_F16:
    return fill(builder.getF16Type());
  case TN_BF16:
    return fill(builder.getBF16Type());
  case TN_C64:
    return fill(mlir::ComplexType::get(builder.getF32Type()));
  case TN_C128:
    return fill(mlir::ComplexType::get(builder.getF64Type()));
  default:
    break;
  }
  size_t width = std::max<size_t>(tn_dtype_bytes(buffer.dtype), 1);
  for (size_t i = 0; i < buffer.bytes() / width; ++i)
    bytes[i * width] = seededUniform(key, i) >= 0.5; // little endian
}

static llvm::Error fillValue(TensorBuffer &buffer, double value, llvm::StringRef text) {
  mlir::MLIRContext context(mlir::MLIRContext::Threading::DISABLED);
  mlir::Builder builder(&context);
  llvm::MutableArrayRef<uint8_t> bytes(buffer.data(), buffer.bytes());
  auto fill = [&](mlir::Type type) {
    fillSplat(value, type, bytes);
    return llvm::Error::success();
  };
  switch (buffer.dtype) {
  case TN_F64:
    return fill(builder.getF64Type());
  case TN_F32:
    return fill(builder.getF32Type());
  case TN_F16:
    return fill(builder.getF16Type());
  case TN_BF16:
    return fill(builder.getBF16Type());
  case TN_I64:
  case TN_U64:
    return fill(builder.getI64Type());
  case TN_I32:
  case TN_U32:
    return fill(builder.getI32Type());
  case TN_I16:
  case TN_U16:
    return fill(builder.getIntegerType(16));
  case TN_I8:
  case TN_U8:
    return fill(builder.getI8Type());
  case TN_BOOL:
    return fill(builder.getI1Type());
  default:
    return makeError("--input=" + text + ": tensors of type " + tn_dtype_name(buffer.dtype) + " cannot be filled");
  }
}

llvm::Expected<std::vector<TensorBuffer>> Program::makeInputs(const ProgramOptions &options,
                                                              bool inventMissing) const {
  auto symbols = parseSymbols(options.symbols);
  if (!symbols)
    return symbols.takeError();
  std::vector<std::optional<llvm::StringRef>> sources(inputSlots.size());
  unsigned position = 0;
  for (llvm::StringRef text : options.inputs) {
    // NAME=SOURCE; a source that is a file begins with '@', so a '=' in its name does no harm.
    size_t sign = text.starts_with("@") ? llvm::StringRef::npos : text.find('=');
    unsigned index;
    llvm::StringRef source = text;
    if (sign != llvm::StringRef::npos) {
      llvm::Expected<unsigned> found = find(inputSlots, text.take_front(sign), "input");
      if (!found)
        return found.takeError();
      index = *found;
      source = text.drop_front(sign + 1);
    } else {
      while (position < sources.size() && sources[position])
        ++position;
      if (position == sources.size())
        return error("is given " + llvm::Twine(options.inputs.size()) + " inputs but has " +
                     llvm::Twine(inputSlots.size()));
      index = position;
    }
    if (sources[index])
      return error("input '" + inputSlots[index].name + "' is given twice");
    sources[index] = source;
  }
  std::vector<TensorBuffer> buffers(inputSlots.size());
  for (auto [i, buffer] : llvm::enumerate(buffers)) {
    const TensorSlot &slot = inputSlots[i];
    if (!sources[i] && slot.optional && !inventMissing)
      continue;
    if (!sources[i] && !inventMissing)
      return error("input '" + slot.name + "' is not given: " + llvm::Twine(options.inputs.size()) + " of " +
                   llvm::Twine(inputSlots.size()) + " inputs are");
    llvm::StringRef source = sources[i].value_or("random");
    if (source.consume_front("@")) {
      llvm::Expected<NpyArray> array = readNpy(source);
      if (!array)
        return array.takeError();
      tn_dtype_t dtype = typeFits(array->type, slot.dtype) ? slot.dtype : dtypeOf(array->type);
      if (dtype == TN_DTYPE_NONE)
        return error("input '" + slot.name + "' is " + tn_dtype_name(slot.dtype) + " but " + source + " has type " +
                     array->type.str());
      if (dtype == TN_BOOL)
        if (llvm::Error failure = checkBool(*array, source))
          return failure;
      if (llvm::Error failure = buffer.hold(std::move(*array), dtype))
        return failure;
      continue;
    }
    uint64_t seed = 0;
    double value = 0;
    bool isRandom = source.consume_front("random");
    if (isRandom ? !source.empty() && (!source.consume_front(":") || source.getAsInteger(10, seed))
                 : !source.consume_front("splat:") || source.getAsDouble(value))
      return makeError("--input=" + llvm::Twine(*sources[i]) + " is not @FILE.npy, random[:SEED] or splat:VALUE");
    if (llvm::Error failure = sizeFromTypes(i, *symbols, buffer))
      return failure;
    if (isRandom)
      fillRandom(buffer, slot.name, seed);
    else if (llvm::Error failure = fillValue(buffer, value, *sources[i]))
      return failure;
  }
  return buffers;
}

static std::vector<tn_tensor_t> viewsOf(std::vector<TensorBuffer> &buffers) {
  std::vector<tn_tensor_t> views;
  for (TensorBuffer &buffer : buffers)
    views.push_back(buffer.view());
  return views;
}

llvm::Expected<std::vector<int64_t>> Program::bind(std::vector<TensorBuffer> &inputs) const {
  std::vector<tn_tensor_t> views = viewsOf(inputs);
  std::vector<int64_t> symbols(symbolInfos.size());
  tn_error_t failure = TN_ERROR_INIT;
  if (tn_entry_bind(program, entry, views.data(), views.size(), symbols.data(), symbols.size(), &failure) != TN_OK)
    return makeError(failure);
  return symbols;
}

llvm::Expected<std::vector<TensorBuffer>> Program::makeOutputs(std::vector<TensorBuffer> &inputs) const {
  std::vector<tn_tensor_t> inputViews = viewsOf(inputs);
  std::vector<TensorBuffer> outputs(outputSlots.size());
  for (auto [slot, output] : llvm::zip(outputSlots, outputs)) {
    output.dtype = slot.dtype;
    output.dims.resize(slot.rank);
  }
  std::vector<tn_tensor_t> views = viewsOf(outputs);
  tn_error_t failure = TN_ERROR_INIT;
  if (tn_entry_output_shapes(program, entry, inputViews.data(), inputViews.size(), views.data(), views.size(),
                             &failure) != TN_OK)
    return makeError(failure);
  for (auto [slot, output] : llvm::zip(outputSlots, outputs))
    if (llvm::Error problem = output.allocate(slot.name))
      return error(llvm::toString(std::move(problem)));
  return outputs;
}

llvm::Error Program::call(std::vector<TensorBuffer> &inputs, std::vector<TensorBuffer> &outputs) {
  std::vector<tn_tensor_t> inputViews = viewsOf(inputs), outputViews = viewsOf(outputs);
  tn_error_t failure = TN_ERROR_INIT;
  if (tn_session_call(session, entry, inputViews.data(), inputViews.size(), outputViews.data(), outputViews.size(),
                      &failure) != TN_OK)
    return makeError(failure);
  return llvm::Error::success();
}

} // namespace tenon::driver
