// libFuzzer: any bytes as a .pt2 file. Run it as: fuzz-pt2 CORPUS -max_len=65536
#include "tenon/Import/TorchExport/Pt2Archive.h"

using namespace tenon::torch_export;

/// Reads the last byte of every payload, which is what a wrong bound would miss.
static unsigned touch(const ExportedProgram &program) {
  unsigned sum = 0;
  for (const auto *table : {&program.weights, &program.constants})
    for (const auto &item : *table) {
      const Payload &payload = item.second;
      if (payload.hasMeta && !payload.usesPickle && payload.isContiguous() && !payload.contiguousBytes().empty())
        sum += payload.contiguousBytes().back();
    }
  return sum;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  auto archive = Pt2Archive::read({data, size}, "fuzz.pt2", [](const ReadError &) {});
  volatile unsigned sum = archive ? touch(archive->program()) : 0;
  (void)sum;
  // The texts inside, without a zip around them.
  if (auto expr = parseSymExpr(llvm::StringRef(reinterpret_cast<const char *>(data), size)))
    (void)(*expr)->evaluate([](llvm::StringRef) -> std::optional<int64_t> { return 3; });
  else
    llvm::consumeError(expr.takeError());
  return 0;
}
