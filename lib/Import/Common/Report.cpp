// The report of everything that a model uses and tenon does not support.
#include "tenon/Import/Common/Report.h"
#include "mlir/IR/Diagnostics.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir;

namespace tenon::frontend {

void reportUnsupported(Location file, const std::map<std::string, UnsupportedUse> &uses) {
  InFlightDiagnostic diagnostic = emitError(file);
  diagnostic << "the model uses " << uses.size() << " thing" << (uses.size() == 1 ? "" : "s")
             << " that tenon does not support";
  for (auto &[key, use] : uses) {
    Diagnostic &note = diagnostic.attachNote(file);
    note << "'" << use.op << "', " << use.count << (use.count == 1 ? " time" : " times");
    if (!use.reason.empty())
      note << ": " << use.reason;
    if (!use.places.empty())
      note << "; at " << llvm::join(use.places, ", ");
    if (!use.wayOut.empty())
      note << "; " << use.wayOut;
  }
}

} // namespace tenon::frontend
