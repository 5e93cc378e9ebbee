// What a model will need, read off its plan: no code is generated for it.
#ifndef TENON_LIB_DRIVER_PREDICT_H
#define TENON_LIB_DRIVER_PREDICT_H

#include "Model.h"
#include "llvm/Support/Error.h"

namespace tenon::driver {

/// Something that makes a model slower than it could be.
struct SlowPlace {
  mlir::Location location;
  std::string reason;
};

/// One entry at certain sizes.
struct EntryPrediction {
  std::string name;
  std::vector<std::pair<std::string, int64_t>> sizes; ///< what the symbols were taken to be
  unsigned kernels = 0;                               ///< different ones
  double operations = 0;                    ///< of one call: a multiply-add is 2, a function such as exp 10, a store 1
  double movedBytes = 0;                    ///< that kernels read and write
  int64_t arenaBytes = 0, scratchBytes = 0; ///< of a call; of each thread
  bool hasUnknownSteps = false;             ///< a loop whose number of steps only a call finds was counted as one step
  std::vector<SlowPlace> slow;
};

struct Prediction {
  int64_t constantBytes = 0, stateBytes = 0; ///< weights in the file; variables of a session
  std::vector<EntryPrediction> entries;
};

/// Runs the phases up to the plan on `model` for the host. `symbols` are NAME=SIZE; a symbol that is not named is as
/// small as it may be, but at least 1.
llvm::Expected<Prediction> predict(Model &model, llvm::ArrayRef<std::string> symbols, unsigned threads);

} // namespace tenon::driver
#endif
