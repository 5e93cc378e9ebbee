// tenon run: one call of a compiled program.
#include "Program.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include <cmath>
#include <cstring>
#include <limits>

namespace tenon::driver {

/// Element `index` as a double; complex numbers give their real part, types without a rule NaN.
static double elementOf(const TensorBuffer &buffer, int64_t index) {
  auto load = [&]<typename T>(T) {
    T value;
    std::memcpy(&value, buffer.data() + index * sizeof(T), sizeof(T));
    return value;
  };
  switch (buffer.dtype) {
  case TN_F64:
    return load(double());
  case TN_F32:
    return load(float());
  case TN_F16: {
    uint16_t bits = load(uint16_t());
    int exponent = bits >> 10 & 31, mantissa = bits & 1023;
    double magnitude = exponent == 31 ? (mantissa ? std::nan("") : std::numeric_limits<double>::infinity())
                       : exponent     ? std::ldexp(1024 + mantissa, exponent - 25)
                                      : std::ldexp(mantissa, -24);
    return bits >> 15 ? -magnitude : magnitude;
  }
  case TN_BF16: {
    uint32_t bits = uint32_t(load(uint16_t())) << 16;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
  }
  case TN_I64:
    return static_cast<double>(load(int64_t()));
  case TN_U64:
    return static_cast<double>(load(uint64_t()));
  case TN_I32:
    return load(int32_t());
  case TN_U32:
    return load(uint32_t());
  case TN_I16:
    return load(int16_t());
  case TN_U16:
    return load(uint16_t());
  case TN_I8:
    return load(int8_t());
  case TN_U8:
  case TN_BOOL:
    return load(uint8_t());
  default:
    return std::nan("");
  }
}

static std::string shapeText(llvm::ArrayRef<int64_t> dims) {
  std::string text = "[";
  for (auto [i, dim] : llvm::enumerate(dims))
    text += (i ? ", " : "") + std::to_string(dim);
  return text + "]";
}

/// "logits  f32 [1, 128]  min -1.2 max 3.4 mean 0.1  0.5 0.25 …"
static void summarize(const TensorSlot &slot, const TensorBuffer &buffer) {
  llvm::raw_ostream &os = llvm::outs();
  os << slot.name << ": " << tn_dtype_name(buffer.dtype) << " " << shapeText(buffer.dims);
  int64_t count = buffer.elements();
  double low = std::numeric_limits<double>::infinity(), high = -low, sum = 0;
  int64_t nans = 0;
  for (int64_t i = 0; i < count; ++i) {
    double value = elementOf(buffer, i);
    if (std::isnan(value)) {
      ++nans;
      continue;
    }
    low = std::min(low, value), high = std::max(high, value), sum += value;
  }
  if (count > nans)
    os << llvm::format("  min %g, max %g, mean %g", low, high, sum / static_cast<double>(count - nans));
  if (nans)
    os << ", " << nans << " not a number";
  os << "\n ";
  for (int64_t i = 0; i < std::min<int64_t>(count, 8); ++i)
    os << llvm::format(" %g", elementOf(buffer, i));
  os << (count > 8 ? " ...\n" : "\n");
}

/// Which output goes to which file.
static llvm::Expected<std::vector<std::pair<unsigned, std::string>>> parseOutputs(const Program &program,
                                                                                  llvm::ArrayRef<std::string> texts) {
  auto error = [](const llvm::Twine &text) { return llvm::createStringError(llvm::inconvertibleErrorCode(), text); };
  std::vector<std::pair<unsigned, std::string>> files;
  std::vector<bool> isTaken(program.outputs().size());
  unsigned position = 0;
  for (llvm::StringRef text : texts) {
    unsigned index;
    llvm::StringRef path = text;
    size_t sign = text.starts_with("@") ? llvm::StringRef::npos : text.find("=@");
    if (sign != llvm::StringRef::npos) {
      llvm::Expected<unsigned> found = program.findOutput(text.take_front(sign));
      if (!found)
        return found.takeError();
      index = *found;
      path = text.drop_front(sign + 1);
    } else {
      while (position < isTaken.size() && isTaken[position])
        ++position;
      index = position;
    }
    if (!path.consume_front("@") || path.empty())
      return error("--output=" + text + " is not [NAME=]@FILE.npy");
    if (index >= isTaken.size())
      return error(program.where() + ": " + llvm::Twine(texts.size()) + " outputs are asked for but it has " +
                   llvm::Twine(isTaken.size()));
    if (isTaken[index])
      return error(program.where() + ": output '" + program.outputs()[index].name + "' is asked for twice");
    llvm::StringRef directory = llvm::sys::path::parent_path(path);
    if (!directory.empty() && !llvm::sys::fs::is_directory(directory))
      return error(directory + ": there is no such directory");
    isTaken[index] = true;
    files.emplace_back(index, path.str());
  }
  return files;
}

static llvm::Error makeError(const tn_error_t &failure) {
  return llvm::createStringError(llvm::inconvertibleErrorCode(), llvm::Twine(failure.message));
}

static llvm::Error loadState(Program &program, const std::string &path) {
  auto buffer = llvm::MemoryBuffer::getFile(path, /*IsText=*/false, /*RequiresNullTerminator=*/false);
  if (!buffer)
    return llvm::createStringError(buffer.getError(), path + ": " + buffer.getError().message());
  tn_error_t failure = TN_ERROR_INIT;
  if (tn_session_restore(program.sessionHandle(), (*buffer)->getBufferStart(), (*buffer)->getBufferSize(), &failure) !=
      TN_OK)
    return makeError(failure);
  return llvm::Error::success();
}

static llvm::Error saveState(Program &program, const std::string &path) {
  std::vector<char> block(tn_session_save_bytes(program.sessionHandle()));
  tn_error_t failure = TN_ERROR_INIT;
  if (tn_session_save(program.sessionHandle(), block.data(), block.size(), &failure) != TN_OK)
    return makeError(failure);
  return llvm::writeToOutput(path, [&](llvm::raw_ostream &os) {
    os.write(block.data(), block.size());
    return llvm::Error::success();
  });
}

/// The seed and the number of the next call, see docs/random.md.
static llvm::Error seedRandom(Program &program, uint64_t seed) {
  tn_program_info_t info = {};
  info.struct_bytes = sizeof info;
  tn_error_t failure = TN_ERROR_INIT;
  tn_program_info(program.handle(), &info);
  for (uint32_t i = 0; i < info.states; ++i) {
    tn_state_info_t state = {};
    state.struct_bytes = sizeof state;
    if (tn_state_info(program.handle(), i, &state, &failure) != TN_OK)
      return makeError(failure);
    if (llvm::StringRef(state.name) != "random_state")
      continue;
    const uint64_t words[] = {seed, 0};
    if (tn_session_state_write(program.sessionHandle(), i, words, sizeof words, &failure) != TN_OK)
      return makeError(failure);
    return llvm::Error::success();
  }
  return llvm::createStringError(llvm::inconvertibleErrorCode(),
                                 program.path() + ": --seed is given but the program makes no random numbers");
}

int run(const RunCommand &command) {
  Program program;
  if (llvm::Error error = program.open(command.file, command.variant, command.device, command.cache, command.threads))
    return fail(std::move(error));
  if (llvm::Error error = program.chooseEntry(command.entry))
    return fail(std::move(error));
  auto files = parseOutputs(program, command.outputs);
  if (!files)
    return fail(files.takeError());
  auto inputs = program.makeInputs(command, /*inventMissing=*/false);
  if (!inputs)
    return fail(inputs.takeError());
  auto outputs = program.makeOutputs(*inputs);
  if (!outputs)
    return fail(outputs.takeError());
  if (llvm::Error error = program.startSession(command.threads))
    return fail(std::move(error));
  if (!command.loadState.empty())
    if (llvm::Error error = loadState(program, command.loadState))
      return fail(std::move(error));
  if (command.seed)
    if (llvm::Error error = seedRandom(program, *command.seed))
      return fail(std::move(error));
  if (llvm::Error error = program.call(*inputs, *outputs))
    return fail(std::move(error));
  if (!command.saveState.empty())
    if (llvm::Error error = saveState(program, command.saveState))
      return fail(std::move(error));
  for (const auto &[index, path] : *files)
    if (llvm::Error error = (*outputs)[index].write(path))
      return fail(std::move(error));
  if (files->empty())
    for (auto [slot, output] : llvm::zip(program.outputs(), *outputs))
      summarize(slot, output);
  return Done;
}

} // namespace tenon::driver
