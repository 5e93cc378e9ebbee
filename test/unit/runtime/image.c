/* A hand-written image, as the compiler would emit one: freestanding, no symbol from outside.
 * Lives here: the entries that the unit tests call; artifact.h describes them in a header. */
#include "tenon/abi.h"
#include <stddef.h>

#ifndef TEST_ABI_MAJOR
#define TEST_ABI_MAJOR TN_ABI_MAJOR
#endif
#ifndef TEST_MINOR_NEEDED
#define TEST_MINOR_NEEDED 0
#endif
#ifndef TEST_TABLE_BYTES
#define TEST_TABLE_BYTES offsetof(tn_rt_table, launch) /* what images for CPUs use */
#endif

static uint64_t slot(const void *pointer) { return (uint64_t)pointer; }

static int64_t noBytes(const int64_t *symbols) { (void)symbols; return 0; }

/* 0: out[i] = x[i] + y[i], 64 elements per tile */
static int32_t addKernel(tn_frame *frame, const uint64_t *args, int64_t begin, int64_t end, void *scratch) {
  const float *x = (const float *)args[0], *y = (const float *)args[1];
  float *out = (float *)args[2];
  int64_t n = (int64_t)args[3];
  (void)frame, (void)scratch;
  for (int64_t i = begin * 64; i < end * 64 && i < n; ++i)
    out[i] = x[i] + y[i];
  return 0;
}
static int32_t add(tn_frame *frame) {
  int64_t n = frame->symbols[0];
  uint64_t args[] = {slot(frame->inputs[0]), slot(frame->inputs[1]), slot(frame->outputs[0]), (uint64_t)n};
  return frame->rt->parallel(frame, addKernel, args, (n + 63) / 64, 0);
}

/* 1: out[m, 8] = a[m, 16] * constants[16, 8], through arena and scratch */
static int32_t matmulKernel(tn_frame *frame, const uint64_t *args, int64_t begin, int64_t end, void *scratch) {
  const float *a = (const float *)args[0], *w = (const float *)args[1];
  float *out = (float *)args[2], *sum = (float *)scratch;
  (void)frame;
  for (int64_t i = begin; i < end; ++i) {
    for (int j = 0; j < 8; ++j)
      sum[j] = 0;
    for (int k = 0; k < 16; ++k)
      for (int j = 0; j < 8; ++j)
        sum[j] += a[i * 16 + k] * w[k * 8 + j];
    for (int j = 0; j < 8; ++j)
      out[i * 8 + j] = sum[j];
  }
  return 0;
}
static int32_t matmul(tn_frame *frame) {
  int64_t m = frame->symbols[0];
  uint64_t args[] = {slot(frame->inputs[0]), slot(frame->constants), slot(frame->arena)};
  int32_t status = frame->rt->parallel(frame, matmulKernel, args, m, 64);
  if (status)
    return status;
  const float *from = (const float *)frame->arena;
  float *to = (float *)frame->outputs[0];
  for (int64_t i = 0; i < m * 8; ++i)
    to[i] = from[i];
  return 0;
}
static int64_t matmulArena(const int64_t *symbols) {
  return symbols[0] > ((int64_t)1 << 50) ? -1 : symbols[0] * 8 * 4;
}
static int64_t matmulScratch(const int64_t *symbols) { (void)symbols; return 64; }

/* 2: counter += step, out = counter. step -1 fails before the write, -2 after it. */
static int32_t count(tn_frame *frame) {
  int64_t step = *(const int64_t *)frame->inputs[0], *counter = (int64_t *)frame->states[0];
  frame->state_phase = TN_STATES_INTACT;
  if (step == -1)
    return frame->rt->fail(frame, 1, step, 0);
  frame->state_phase = TN_STATES_CHANGED;
  *counter += step;
  if (step == -2)
    return frame->rt->fail(frame, 1, step, 0);
  *(int64_t *)frame->outputs[0] = *counter;
  return 0;
}

/* 3: out[i] = table[index[i]], one element per tile; an index out of range is site 0 */
static int32_t pickKernel(tn_frame *frame, const uint64_t *args, int64_t begin, int64_t end, void *scratch) {
  const float *table = (const float *)args[0];
  const int64_t *index = (const int64_t *)args[1];
  float *out = (float *)args[2];
  int64_t size = (int64_t)args[3];
  (void)scratch;
  for (int64_t i = begin; i < end; ++i) {
    if (index[i] < 0 || index[i] >= size)
      return frame->rt->fail(frame, 0, index[i], size);
    out[i] = table[index[i]];
  }
  return 0;
}
static int32_t pick(tn_frame *frame) {
  uint64_t args[] = {slot(frame->inputs[0]), slot(frame->inputs[1]), slot(frame->outputs[0]),
                     (uint64_t)frame->symbols[0]};
  return frame->rt->parallel(frame, pickKernel, args, frame->symbols[1], 0);
}

/* 4: the values of x that are not 0; s1 <= s0 is found here */
static int32_t compress(tn_frame *frame) {
  const float *x = (const float *)frame->inputs[0];
  float *out = (float *)frame->outputs[0];
  int64_t found = 0;
  for (int64_t i = 0; i < frame->symbols[0]; ++i)
    if (x[i] != 0)
      out[found++] = x[i];
  frame->found_symbols[1] = found;
  return 0;
}

/* 5: input[0] regions of input[1] tiles; each tile adds 1 to out[tile] and spins input[2] rounds */
static int32_t tickKernel(tn_frame *frame, const uint64_t *args, int64_t begin, int64_t end, void *scratch) {
  int64_t *out = (int64_t *)args[0];
  (void)frame, (void)scratch;
  for (int64_t i = begin; i < end; ++i) {
    for (volatile uint64_t round = 0; round < args[1]; ++round) {
    }
    out[i] += 1;
  }
  return 0;
}
static int32_t regions(tn_frame *frame) {
  const int64_t *what = (const int64_t *)frame->inputs[0];
  int64_t *out = (int64_t *)frame->outputs[0], limit = frame->symbols[0];
  uint64_t args[] = {slot(out), (uint64_t)what[2]};
  for (int64_t i = 0; i < limit; ++i)
    out[i] = 0;
  for (int64_t i = 0; i < what[0]; ++i)
    frame->rt->parallel(frame, tickKernel, args, what[1] < limit ? what[1] : limit, 0);
  return 0;
}

/* 6: x[n, 2*n + 1] -> the sum; optional y adds 1000. Also shows the floating-point mode: x * 0.5 keeps denormals. */
static int32_t derived(tn_frame *frame) {
  const float *x = (const float *)frame->inputs[0];
  int64_t n = frame->symbols[0];
  float sum = frame->inputs[1] ? 1000 : 0;
  for (int64_t i = 0; i < n * (2 * n + 1); ++i)
    sum += x[i] * 0.5f;
  *(float *)frame->outputs[0] = sum;
  return 0;
}

/* 7: breaks the ABI: asks for more scratch than declared */
static int32_t greedy(tn_frame *frame) { return frame->rt->parallel(frame, addKernel, 0, 4, 1 << 20); }

static const tn_image_entry entries[] = {
    {add, noBytes, noBytes},      {matmul, matmulArena, matmulScratch}, {count, noBytes, noBytes},
    {pick, noBytes, noBytes},     {compress, noBytes, noBytes},         {regions, noBytes, noBytes},
    {derived, noBytes, noBytes},  {greedy, noBytes, noBytes}};

#ifdef TEST_UNDEFINED
extern int32_t notThere(tn_frame *frame);
__attribute__((used)) static int32_t (*const useNotThere)(tn_frame *) = notThere;
#endif

/* Writable data and zeroes, so that the loader's copies of both are tested. */
static int32_t touched[20000] __attribute__((used));
static int32_t initialised[3] __attribute__((used)) = {1, 2, 3};

/* The symbol has the name of its type, hence the label. */
extern const tn_image theImage __asm__("tn_image");
__attribute__((visibility("default"))) const tn_image theImage = {
    sizeof(tn_image), TEST_ABI_MAJOR, TEST_MINOR_NEEDED, TEST_TABLE_BYTES, sizeof(entries) / sizeof(entries[0]),
    entries};
