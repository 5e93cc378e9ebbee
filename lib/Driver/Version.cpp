// tenon version: what this build is and for which machines it compiles.
#include "Report.h"
#include "Targets.h"
#include "dialects/Target/IR/TargetDialect.h"
#include "tenon/Driver/Commands.h"
#include "tenon/runtime.h"
#include "llvm/Config/llvm-config.h"
#include "llvm/Support/JSON.h"
#include "llvm/TargetParser/Host.h"

namespace tenon::driver {

int version(bool json) {
  std::string cpu = llvm::sys::getHostCPUName().str();
  if (!json) {
    llvm::outs() << "tenon " TENON_VERSION " (runtime " << tn_version() << ", LLVM " LLVM_VERSION_STRING ", this CPU: "
                 << cpu << ", " << tn_hardware_threads() << " threads)\n";
    return Done;
  }
  llvm::json::OStream out(llvm::outs());
  out.object([&] {
    out.attribute("tenon", TENON_VERSION);
    out.attribute("runtime", tn_version());
    out.attribute("llvm", LLVM_VERSION_STRING);
    out.attribute("cpu", cpu);
    out.attribute("threads", tn_hardware_threads());
  });
  llvm::outs() << "\n";
  return Done;
}

} // namespace tenon::driver
