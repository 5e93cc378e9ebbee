// tenon check: everything in a model that is not supported or makes it slow, at once; and what it will need.
#include "Predict.h"
#include "Report.h"
#include "tenon/Driver/Commands.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/JSON.h"

namespace tenon::driver {

static void printJson(llvm::StringRef path, const Model &model, int status, const Prediction *prediction) {
  llvm::json::OStream json(llvm::outs(), 2);
  json.object([&] {
    json.attribute("model", path);
    json.attribute("supported", status == Done);
    json.attributeArray("unsupported", [&] {
      for (const UnsupportedItem &item : model.unsupported)
        json.object([&] {
          json.attribute("op", item.op);
          json.attribute("count", item.count);
          json.attribute("reason", item.reason);
          json.attribute("way_out", item.wayOut);
          json.attributeArray("places", [&] {
            for (const std::string &place : item.places)
              json.value(place);
          });
        });
    });
    if (!prediction)
      return;
    json.attribute("constant_bytes", prediction->constantBytes);
    json.attribute("state_bytes", prediction->stateBytes);
    json.attributeArray("entries", [&] {
      for (const EntryPrediction &entry : prediction->entries)
        json.object([&] {
          json.attribute("name", entry.name);
          json.attributeObject("sizes", [&] {
            for (const auto &[name, value] : entry.sizes)
              json.attribute(name, value);
          });
          json.attribute("kernels", entry.kernels);
          json.attribute("operations", entry.operations);
          json.attribute("moved_bytes", entry.movedBytes);
          json.attribute("arena_bytes", entry.arenaBytes);
          json.attribute("scratch_bytes", entry.scratchBytes);
          json.attribute("has_unknown_steps", entry.hasUnknownSteps);
          json.attributeArray("slow", [&] {
            for (const SlowPlace &slow : entry.slow)
              json.object([&] {
                json.attribute("place", describePlace(slow.location));
                json.attribute("reason", slow.reason);
              });
          });
        });
    });
  });
  llvm::outs() << "\n";
}

static void print(llvm::StringRef path, const Prediction &prediction) {
  llvm::outs() << path << ": everything in it is supported\n  file: a little over "
               << formatBytes(prediction.constantBytes);
  if (prediction.stateBytes)
    llvm::outs() << "; states of a session: " << formatBytes(prediction.stateBytes);
  llvm::outs() << "\n";
  for (const EntryPrediction &entry : prediction.entries) {
    llvm::outs() << "  entry '" << entry.name << "'";
    for (auto [i, size] : llvm::enumerate(entry.sizes))
      llvm::outs() << (i ? ", " : " at ") << size.first << " = " << size.second;
    llvm::outs() << ": " << entry.kernels << " kernels, " << llvm::format("%.4g", entry.operations / 1e6)
                 << " million operations" << (entry.hasUnknownSteps ? " and more for each step of a loop" : "") << ", "
                 << formatBytes(static_cast<uint64_t>(entry.movedBytes)) << " read and written, memory of a call "
                 << formatBytes(entry.arenaBytes);
    if (entry.scratchBytes)
      llvm::outs() << " and " << formatBytes(entry.scratchBytes) << " for each thread";
    llvm::outs() << "\n";
  }
  llvm::outs().flush();
  for (const EntryPrediction &entry : prediction.entries)
    for (const SlowPlace &slow : entry.slow)
      mlir::emitRemark(slow.location) << slow.reason;
}

int check(const CheckCommand &command) {
  Context context(command.threads);
  DiagnosticPrinter diagnostics(context.get(), command.model);
  Model model;
  int status = loadModel(command.model, "main", context.get(), model);
  std::optional<Prediction> prediction;
  if (status == Done) {
    llvm::Expected<Prediction> result = [&] {
      // What slows a model is told below, once.
      mlir::ScopedDiagnosticHandler quiet(context.get(), [](mlir::Diagnostic &diagnostic) {
        return mlir::success(diagnostic.getSeverity() == mlir::DiagnosticSeverity::Remark);
      });
      return predict(model, command.symbols, command.threads);
    }();
    if (result) {
      prediction = std::move(*result);
    } else if (diagnostics.unsupported()) {
      llvm::consumeError(result.takeError());
      status = Unsupported;
    } else {
      return fail(command.model + ": " + llvm::toString(result.takeError()));
    }
  }
  if (command.json)
    printJson(command.model, model, status, prediction ? &*prediction : nullptr);
  else if (prediction)
    print(command.model, *prediction);
  return status;
}

} // namespace tenon::driver
