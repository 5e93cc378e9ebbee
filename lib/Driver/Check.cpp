// tenon check: everything in a model that is not supported, at once.
#include "Model.h"
#include "tenon/Driver/Commands.h"
#include "llvm/Support/JSON.h"

namespace tenon::driver {

static void printJson(llvm::StringRef path, const Model &model, int status) {
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
  });
  llvm::outs() << "\n";
}

int check(const CheckCommand &command) {
  Context context(1);
  DiagnosticPrinter diagnostics(context.get(), command.model);
  Model model;
  int status = loadModel(command.model, "main", context.get(), model);
  if (command.json) {
    printJson(command.model, model, status);
    return status;
  }
  if (status == Done)
    llvm::outs() << command.model << ": everything in it is supported\n";
  return status;
}

} // namespace tenon::driver
