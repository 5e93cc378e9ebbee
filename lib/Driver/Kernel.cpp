// tenon extract, verify, and bench of one kernel.
#include "Report.h"
#include "tenon/Driver/Commands.h"

namespace tenon::driver {
int extract(const ExtractCommand &) { return fail("extract is not built yet"); }
int benchKernel(const KernelCommand &) { return fail("benchmarks of kernels are not built yet"); }
int verifyKernel(const KernelCommand &) { return fail("verify is not built yet"); }
} // namespace tenon::driver
