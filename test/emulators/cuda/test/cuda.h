// The part of CUDA's driver interface that the tests call, and what makes calling it short.
#ifndef TENON_TEST_EMULATORS_CUDA_TEST_CUDA_H
#define TENON_TEST_EMULATORS_CUDA_TEST_CUDA_H

#include "../../../unit/runtime/check.h"

#include <cstdint>
#include <string>
#include <vector>

extern "C" {
using CUdeviceptr = unsigned long long;
int cuInit(unsigned);
int cuDeviceGetCount(int *);
int cuDeviceGet(int *, int);
int cuDeviceGetAttribute(int *, int, int);
int cuDevicePrimaryCtxRetain(void **, int);
int cuDevicePrimaryCtxRelease_v2(int);
int cuDevicePrimaryCtxReset_v2(int);
int cuCtxSetCurrent(void *);
int cuCtxGetCurrent(void **);
int cuCtxSynchronize();
int cuGetErrorName(int, const char **);
int cuModuleLoadData(void **, const void *);
int cuModuleLoadDataEx(void **, const void *, unsigned, const int *, void **);
int cuModuleUnload(void *);
int cuModuleGetFunction(void **, void *, const char *);
int cuFuncSetAttribute(void *, int, int);
int cuFuncGetAttribute(int *, int, void *);
int cuLaunchKernel(void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void *, void **, void **);
int cuMemAlloc_v2(CUdeviceptr *, size_t);
int cuMemFree_v2(CUdeviceptr);
int cuMemGetInfo_v2(size_t *, size_t *);
int cuMemHostAlloc(void **, size_t, unsigned);
int cuMemFreeHost(void *);
int cuMemHostGetDevicePointer_v2(CUdeviceptr *, void *, unsigned);
int cuMemcpyHtoDAsync_v2(CUdeviceptr, const void *, size_t, void *);
int cuMemcpyDtoHAsync_v2(void *, CUdeviceptr, size_t, void *);
int cuMemcpyDtoDAsync_v2(CUdeviceptr, CUdeviceptr, size_t, void *);
int cuMemcpyHtoD_v2(CUdeviceptr, const void *, size_t);
int cuMemcpyDtoH_v2(void *, CUdeviceptr, size_t);
int cuMemsetD8Async(CUdeviceptr, unsigned char, size_t, void *);
int cuStreamCreate(void **, unsigned);
int cuStreamDestroy_v2(void *);
int cuStreamSynchronize(void *);
int cuStreamQuery(void *);
int cuStreamWaitEvent(void *, void *, unsigned);
int cuEventCreate(void **, unsigned);
int cuEventRecord(void *, void *);
int cuEventQuery(void *);
int cuEventSynchronize(void *);
int cuEventElapsedTime(float *, void *, void *);
int cuEventDestroy_v2(void *);
int cuStreamBeginCapture_v2(void *, int);
int cuStreamEndCapture(void *, void **);
int cuGraphInstantiateWithFlags(void **, void *, unsigned long long);
int cuGraphLaunch(void *, void *);
int cuGraphExecUpdate_v2(void *, void *, void *);
int cuGraphDestroy(void *);
int cuGraphExecDestroy(void *);
int cuTensorMapEncodeTiled(void *, int, uint32_t, void *, const uint64_t *, const uint64_t *, const uint32_t *,
                           const uint32_t *, int, int, int, int);
unsigned long long tn_emulator_statistics(const char *);
void tn_emulator_order(int);
const char *tn_emulator_trace();
}

/// A device that nothing has gone wrong on yet, with the context of this thread.
inline void beginTest() {
  cuInit(0);
  void *context = nullptr;
  CHECK_EQ(cuDevicePrimaryCtxRetain(&context, 0), 0);
  CHECK_EQ(cuDevicePrimaryCtxReset_v2(0), 0);
  CHECK_EQ(cuCtxSetCurrent(context), 0);
}

/// Device memory with elements of one type.
template <typename T> struct Buffer {
  explicit Buffer(size_t count) : count(count) { CHECK_EQ(cuMemAlloc_v2(&address, count * sizeof(T)), 0); }
  explicit Buffer(const std::vector<T> &values) : Buffer(values.size()) {
    CHECK_EQ(cuMemcpyHtoD_v2(address, values.data(), count * sizeof(T)), 0);
  }
  Buffer(const Buffer &) = delete;
  ~Buffer() { cuMemFree_v2(address); }
  std::vector<T> read() const {
    std::vector<T> values(count);
    CHECK_EQ(cuMemcpyDtoH_v2(values.data(), address, count * sizeof(T)), 0);
    return values;
  }
  T at(size_t index) const { return read()[index]; }
  CUdeviceptr address = 0;
  size_t count;
};

/// A module out of PTX without its first lines, and its kernel `k`.
struct Program {
  explicit Program(const std::string &body, const char *target = "sm_90") {
    std::string text = std::string(".version 8.4\n.target ") + target + "\n.address_size 64\n" + body;
    status = cuModuleLoadData(&module, text.c_str());
    if (status == 0)
      status = cuModuleGetFunction(&kernel, module, "k");
  }
  Program(const Program &) = delete;
  ~Program() {
    if (module)
      cuModuleUnload(module);
  }
  /// Launches and waits; the result of waiting. Arguments are of eight bytes.
  int run(unsigned grid, unsigned block, std::vector<uint64_t> arguments, unsigned shared = 0) {
    int launched = launch(grid, block, arguments, shared, nullptr);
    return launched ? launched : cuCtxSynchronize();
  }
  int launch(unsigned grid, unsigned block, std::vector<uint64_t> &arguments, unsigned shared, void *stream) {
    std::vector<void *> pointers;
    for (uint64_t &argument : arguments)
      pointers.push_back(&argument);
    return cuLaunchKernel(kernel, grid, 1, 1, block, 1, 1, shared, stream, pointers.data(), nullptr);
  }
  int status = 0;
  void *module = nullptr, *kernel = nullptr;
};

/// A kernel with `parameters` of eight bytes in %a0, %a1, ...; %t has the thread's number in its block, %p0.. %r0.. %f0.. %rd0..
/// %h0.. %d0.. are declared; %o is a0 + 4 * thread of the grid.
inline std::string kernel(int parameters, const std::string &body, const std::string &declarations = "") {
  std::string text = declarations + "\n.visible .entry k(";
  for (int i = 0; i < parameters; ++i)
    text += std::string(i ? ", " : "") + ".param .u64 q" + std::to_string(i);
  text += ")\n{\n.reg .pred %p<20>;\n.reg .b16 %h<40>;\n.reg .b32 %r<100>;\n.reg .f32 %f<100>;\n.reg .b64 %rd<60>;\n"
          ".reg .f64 %d<20>;\n.reg .b64 %a<8>;\n.reg .b64 %o;\n.reg .b32 %t;\n.reg .b32 %g;\n.reg .b32 %n;\n";
  for (int i = 0; i < parameters; ++i)
    text += "ld.param.u64 %a" + std::to_string(i) + ", [q" + std::to_string(i) + "];\n";
  text += "mov.u32 %t, %tid.x;\nmov.u32 %g, %ctaid.x;\nmov.u32 %n, %ntid.x;\nmad.lo.u32 %g, %g, %n, %t;\n"
          "mad.wide.u32 %o, %g, 4, %a0;\n";
  return text + body + "\nret;\n}\n";
}

#endif
