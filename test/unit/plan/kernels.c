// Kernels of end_to_end_test.cpp, written by hand to the binary interface.
#include "tenon/abi.h"

// y[m, n] = sum over k of x[m, k] * w[n, k]; w is stored as [1][8][16]. Tiles of 6 rows. s0 rows.
int32_t tn_kernel_linear(struct tn_frame *frame, const uint64_t *args, int64_t begin, int64_t end, void *scratch) {
  const float *x = (const float *)args[0], *w = (const float *)args[1];
  float *y = (float *)args[2];
  int64_t rows = (int64_t)args[3];
  float *sum = scratch; // 4 floats, to see that there is scratch
  for (int64_t m = begin * 6; m < end * 6 && m < rows; ++m) {
    for (int n = 0; n < 4; ++n) {
      sum[n] = 0;
      for (int k = 0; k < 8; ++k)
        sum[n] += x[m * 8 + k] * w[k * 16 + n];
    }
    for (int n = 0; n < 4; ++n)
      y[m * 4 + n] = sum[n];
  }
  return 0;
}

// y = x + b elementwise over 4 columns; may run in place. A negative sum is an error.
int32_t tn_kernel_bias(struct tn_frame *frame, const uint64_t *args, int64_t begin, int64_t end, void *scratch) {
  const float *x = (const float *)args[0], *b = (const float *)args[1];
  float *y = (float *)args[2];
  int64_t rows = (int64_t)args[3], site = (int64_t)args[4];
  for (int64_t m = 0; m < rows; ++m)
    for (int n = 0; n < 4; ++n) {
      y[m * 4 + n] = x[m * 4 + n] + b[n];
      if (y[m * 4 + n] < 0)
        return frame->rt->fail(frame, (uint32_t)site, m, n);
    }
  return 0;
}

// A step of a recurrence over 4 numbers: h' = 2 h + x; in place when asked.
int32_t tn_kernel_step(struct tn_frame *frame, const uint64_t *args, int64_t begin, int64_t end, void *scratch) {
  const float *h = (const float *)args[0], *x = (const float *)args[1];
  float *next = (float *)args[2];
  for (int i = 0; i < 4; ++i)
    next[i] = 2 * h[i] + x[i];
  return 0;
}
