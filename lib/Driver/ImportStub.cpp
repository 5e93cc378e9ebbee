#include "tenon/Support/Pch.h"
#include "tenon/Driver/Commands.h"
namespace tenon::driver { int benchKernel(const KernelCommand &){return 1;} int extract(const ExtractCommand &){return 1;} int verifyKernel(const KernelCommand &){return 1;} }
