// What an import could not do.
#ifndef TENON_IMPORT_COMMON_REPORT_H
#define TENON_IMPORT_COMMON_REPORT_H

#include "mlir/IR/Location.h"
#include <map>
#include <string>
#include <vector>

namespace tenon::frontend {

/// An operator, or a use of one, that the importer has no meaning for.
struct UnsupportedUse {
  std::string op;     ///< "aten.foo.default"
  std::string reason; ///< empty: the operator as a whole
  std::string wayOut; ///< what the user can do instead; may be empty
  unsigned count = 0;
  std::vector<std::string> places; ///< the first few, "model.py:12 (module path)"
};

/// What an import met.
struct ImportReport {
  /// Not empty: the model is valid but uses what is not supported, and the import failed for that reason only.
  std::vector<UnsupportedUse> unsupported;
};

/// One error at `file` with a note for each use.
void reportUnsupported(mlir::Location file, const std::map<std::string, UnsupportedUse> &uses);

} // namespace tenon::frontend
#endif
