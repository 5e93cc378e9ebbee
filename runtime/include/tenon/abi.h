/* The binary interface between a compiled image and the runtime that drives it.
 *
 * Lives here: every struct and function type that generated machine code and the runtime both see, and
 * nothing else. Append-only: fields and table entries are added at the end, never reordered; a reader treats
 * fields beyond `struct_bytes` as zero. docs/runtime.md tells the whole story.
 */
#ifndef TENON_ABI_H
#define TENON_ABI_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TN_ABI_MAJOR 1
#define TN_ABI_MINOR 1

/* Alignment of the arena, of every buffer in it and of every constant, in bytes. */
#define TN_BUFFER_ALIGN 64

/* Kernels of devices take up to so many slots of 8 bytes as parameters; more of them lie in memory. */
#define TN_DEVICE_SLOTS 500
/* Descriptions of tensors, as the driver encodes them, lie behind a kernel's slots. */
#define TN_TENSOR_MAP_BYTES 128
#define TN_TENSOR_MAP_ALIGN 64
#define TN_DEVICE_MAPS_AT(slots) (((slots) * 8 + TN_TENSOR_MAP_ALIGN - 1) / TN_TENSOR_MAP_ALIGN * TN_TENSOR_MAP_ALIGN)
/* Workgroups of a grid's first dimension, where kernels take them to be so many when there is a second. */
#define TN_DEVICE_GROUPS (1 << 20)

struct tn_frame;

/* One kernel over the tiles [tile_begin, tile_end) of its grid. `args` are 8-byte slots: the addresses of the
 * kernel's inputs, then of its outputs, then the values of the entry's symbols. `scratch` is private to the
 * worker, 64-byte aligned, at least the `scratch_bytes` the call asked for.
 * Returns 0, or the index of an error site plus 1 when the data are bad (an index out of range). */
typedef int32_t (*tn_kernel_fn)(struct tn_frame *frame, const uint64_t *args, int64_t tile_begin, int64_t tile_end,
                                void *scratch);

/* What the runtime offers to generated code. */
typedef struct tn_rt_table {
  uint32_t struct_bytes;
  uint32_t abi_minor;
  /* Runs fn over [0, tiles) on the session's threads and waits. The union of the ranges handed out is exactly
   * [0, tiles); results may not depend on how it is cut. Returns 0 or the fn's nonzero result for the lowest range. */
  int32_t (*parallel)(struct tn_frame *frame, tn_kernel_fn fn, const uint64_t *args, int64_t tiles,
                      int64_t scratch_bytes);
  /* Records the first failure of this call; `site` indexes the image's table of error sites, a and b fill its
   * message. Returns site + 1, which the caller returns on. Safe from any worker; the lowest site wins. */
  int32_t (*fail)(struct tn_frame *frame, uint32_t site, int64_t a, int64_t b);

  /* Since minor 1, for images whose memory is a device's: every address of the frame and every operand is the device's
   * own, never to be read or written by the image. All return 0 or what the image returns on.
   * launch: enqueues kernel number `kernel` of the variant over `tiles` workgroups. `args` as for tn_kernel_fn, `slots`
   * of them, copied at once. */
  int32_t (*launch)(struct tn_frame *frame, uint32_t kernel, const uint64_t *args, uint32_t slots, int64_t tiles);
  /* Enqueues a copy, and a write of one number. */
  int32_t (*copy)(struct tn_frame *frame, uint64_t dest, uint64_t source, int64_t bytes);
  int32_t (*store)(struct tn_frame *frame, uint64_t dest, int64_t value);
  /* Waits for all before and reads 1 or 8 bytes. */
  int32_t (*load)(struct tn_frame *frame, uint64_t source, int64_t bytes, int64_t *value);
  /* Waits, and runs a kernel on the session's threads with operands in the CPU's memory. The first `operands` of `slots`
   * args are addresses, of which the last `operands - inputs` are written; bytes[i] is the size of operand i. */
  int32_t (*visit)(struct tn_frame *frame, tn_kernel_fn fn, const uint64_t *args, uint32_t slots, uint32_t operands,
                   uint32_t inputs, const int64_t *bytes, int64_t tiles, int64_t scratch_bytes);
} tn_rt_table;

/* What an image tells the runtime about the states, in tn_frame.state_phase, so that a failed call need not lose
 * them. An image that never writes it is taken to have changed every state its entry may write. */
#define TN_STATES_UNKNOWN 0
#define TN_STATES_INTACT 1  /* set on entry: a failure from here on leaves the states as they were */
#define TN_STATES_CHANGED 2 /* set before the first write to a state */

/* One call of one entry point. */
typedef struct tn_frame {
  uint32_t struct_bytes;
  uint32_t state_phase;        /* TN_STATES_...; written by the image, 0 at the start */
  const tn_rt_table *rt;
  void *session;               /* the runtime's own */
  uint8_t *arena;              /* arena_bytes(symbols) bytes */
  const uint8_t *constants;    /* start of the constants segment, mapped read-only */
  void *const *inputs;         /* caller's tensors, C-contiguous, in order of the signature */
  void *const *outputs;        /* same for results */
  void *const *states;         /* the session's variables, in order of the program's table */
  const int64_t *symbols;      /* value of each symbol of this entry; data-dependent ones hold their bound */
  int64_t *found_symbols;      /* same length: the image stores the data-dependent sizes it found here */
} tn_frame;

/* Runs one call; 0 on success, else the value of fail(). */
typedef int32_t (*tn_entry_fn)(tn_frame *frame);
/* Arena need of one call in bytes for these symbol values, or -1 when it does not fit 63 bits. */
typedef int64_t (*tn_arena_fn)(const int64_t *symbols);

typedef struct tn_image_entry {
  tn_entry_fn run;
  tn_arena_fn arena_bytes;
  /* Sizes of data-dependent kernels' per-worker scratch are known to `run`; this is their maximum. */
  tn_arena_fn scratch_bytes;
} tn_image_entry;

/* The one exported symbol of an image: `tn_image`. Pointers are relative relocations. */
typedef struct tn_image {
  uint32_t struct_bytes;
  uint16_t abi_major;
  uint16_t abi_minor_needed;
  uint32_t table_bytes_needed;  /* of tn_rt_table */
  uint32_t entry_count;
  const tn_image_entry *entries;
} tn_image;

#ifdef __cplusplus
}
#endif
#endif
