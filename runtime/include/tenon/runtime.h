/* The public C API of the tenon runtime: open an artifact, ask what is in it, run it.
 *
 * Conventions. Every function that can fail returns tn_status_t and takes a tn_error_t (may be NULL) last.
 * Structs that may grow begin with `struct_bytes`, which the caller sets to sizeof; fields the caller's version
 * does not have read as zero. Strings belong to the program and live until tn_program_close. Functions on a
 * program are thread-safe; a session takes one call at a time (TN_BUSY). docs/runtime.md explains.
 */
#ifndef TENON_RUNTIME_H
#define TENON_RUNTIME_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__) || defined(__clang__)
#define TN_NODISCARD __attribute__((warn_unused_result))
#define TN_API __attribute__((visibility("default")))
#else
#define TN_NODISCARD
#define TN_API
#endif

/* ---- status and error ------------------------------------------------------------------------------------- */

/* Append-only; the numbers are ABI and are stored in artifacts. */
typedef enum tn_status {
  TN_OK = 0,
  TN_BAD_ARGUMENT = 1,   /* a null pointer, an index or a name that the program does not have, ... */
  TN_BAD_FILE = 2,       /* not an artifact, damaged, or inconsistent */
  TN_BAD_VERSION = 3,    /* of the file format or of the image's ABI */
  TN_BAD_CPU = 4,        /* no variant runs on this machine; the message lists what each one lacks */
  TN_BAD_COUNT = 5,      /* of inputs or outputs */
  TN_BAD_TYPE = 6,
  TN_BAD_SHAPE = 7,      /* rank, a fixed size, or two sizes that must agree */
  TN_BAD_ALIAS = 8,      /* an output overlaps an input, a state or another output */
  TN_OUT_OF_RANGE = 9,   /* a symbol outside its declared range; an index in the data outside its dimension */
  TN_NEEDS_MEMORY = 10,  /* the call needs more than the session reserved and may not grow */
  TN_TOO_LARGE = 11,     /* a size does not fit 63 bits */
  TN_BUSY = 12,          /* another call runs in this session */
  TN_STATE_LOST = 13,    /* an earlier call failed half-way through updating the states: reset or restore */
  TN_NO_MEMORY = 14,     /* the allocator returned NULL */
  TN_IO = 15,            /* the operating system refused; the message has its reason */
  TN_DATA_ERROR = 16,    /* the values of the inputs are not what the model allows */
  TN_BAD_ALIGNMENT = 17, /* an address is not aligned as its type needs */
  TN_UNSUPPORTED = 18,
  TN_INTERNAL = 19,      /* the image broke the ABI: a bug of the compiler */
  TN_STATUS_INT_ = 0x7fffffff /* never used: makes every int a valid value of the type, here and below */
} tn_status_t;

/* "TN_OK" etc.; never NULL. */
TN_API const char *tn_status_name(tn_status_t status);

/* Owned by the caller. Only written on failure; `message` is always terminated. A caller may allocate a longer
 * struct and say so in struct_bytes. */
typedef struct tn_error {
  uint32_t struct_bytes;
  tn_status_t status;
  char message[1016];
} tn_error_t;
#define TN_ERROR_INIT {sizeof(tn_error_t), TN_OK, {0}}

/* The runtime's version, "0.1.0". */
TN_API const char *tn_version(void);

/* ---- types ------------------------------------------------------------------------------------------------ */

/* Append-only; equal to DType in tenon.fbs. TN_BOOL is one byte per element, 0 or 1. */
typedef enum tn_dtype {
  TN_DTYPE_NONE = 0,
  TN_F64 = 1, TN_F32 = 2, TN_F16 = 3, TN_BF16 = 4,
  TN_I64 = 5, TN_I32 = 6, TN_I16 = 7, TN_I8 = 8, TN_U8 = 9, TN_BOOL = 10,
  TN_U16 = 11, TN_U32 = 12, TN_U64 = 13, TN_C64 = 14, TN_C128 = 15,
  TN_F8E4M3FN = 16, TN_F8E5M2 = 17, TN_F8E4M3FNUZ = 18, TN_F8E5M2FNUZ = 19, TN_F8E8M0FNU = 20,
  TN_I4 = 21, TN_U4 = 22, TN_F4E2M1FN = 23,
  TN_DTYPE_INT_ = 0x7fffffff
} tn_dtype_t;

/* "f32" etc.; "?" for an unknown number. */
TN_API const char *tn_dtype_name(tn_dtype_t dtype);
/* Bytes per element; 0 for sub-byte types and unknown numbers. */
TN_API size_t tn_dtype_bytes(tn_dtype_t dtype);

/* The caller's tensor: C-contiguous, element-aligned. `dims` has `rank` values and may be NULL when rank is 0.
 * Of outputs whose size the data decide, `dims` says how much room there is; the call overwrites it with the
 * sizes found. A tensor with no elements may have data NULL. */
typedef struct tn_tensor {
  void *data;
  int64_t *dims;
  uint32_t rank;
  tn_dtype_t dtype;
} tn_tensor_t;

/* Memory the runtime takes comes from here. `align` is a power of two. alloc returns NULL when there is none. */
typedef struct tn_allocator {
  uint32_t struct_bytes;
  void *user;
  void *(*alloc)(void *user, size_t bytes, size_t align);
  void (*free)(void *user, void *memory, size_t bytes, size_t align);
} tn_allocator_t;

/* The caller's threads. run(user, count, work, arg) calls work(arg, w) once for each w in [0, count), on any
 * threads, in any order or at once, and returns when all have returned. Called from tn_session_call. */
typedef struct tn_pool {
  uint32_t struct_bytes;
  uint32_t threads; /* that run() can use at once, with the caller */
  void *user;
  void (*run)(void *user, uint32_t count, void (*work)(void *arg, uint32_t index), void *arg);
} tn_pool_t;

typedef struct tn_program tn_program_t;
typedef struct tn_session tn_session_t;

/* ---- program ---------------------------------------------------------------------------------------------- */

enum {
  TN_OPEN_SKIP_CONSTANTS_CHECK = 1u << 0, /* trust the weights' bytes: opens without reading them */
  TN_OPEN_METADATA = 1u << 1              /* for inspection: chooses no variant, maps nothing executable */
};

typedef struct tn_open_options {
  uint32_t struct_bytes;
  uint32_t flags;                  /* TN_OPEN_... */
  const tn_allocator_t *allocator; /* copied; NULL = the C library's */
  const char *variant;             /* NULL = the best that this CPU has */
  uint32_t threads;                /* for the constants check; 0 = as many as useful */
  /* "cpu", "vulkan", or "vulkan:1" for the second one: only variants for it. NULL = the first variant of the file whose
   * device is here. A runtime built without devices has only "cpu". */
  const char *device;
  /* Folder where what a device's driver compiles is kept for the next process; it is made when it is not there. NULL = for
   * this process only. What is damaged, or of another driver, is not used. */
  const char *cache;
} tn_open_options_t;

/* Maps the file and makes its best variant ready. Opening a program is trusting its author, as loading a shared
 * library is: hashes find damage, not malice. With TN_OPEN_METADATA any bytes are safe to open.
 * The file must not be changed in place while it is open (replace it by rename). `options` may be NULL. */
TN_API TN_NODISCARD tn_status_t tn_program_open(const char *path, const tn_open_options_t *options,
                                                tn_program_t **program, tn_error_t *error);
/* The same from memory, which must be 64-byte aligned and outlive the program. Constants are used in place,
 * code is copied. */
TN_API TN_NODISCARD tn_status_t tn_program_open_memory(const void *file, size_t file_bytes,
                                                       const tn_open_options_t *options, tn_program_t **program,
                                                       tn_error_t *error);
/* All sessions of it must be closed before. NULL is allowed. */
TN_API void tn_program_close(tn_program_t *program);

#define TN_NO_INDEX UINT32_MAX

typedef struct tn_program_info {
  uint32_t struct_bytes;
  uint16_t format_major, format_minor;
  const char *name;     /* of the model; "" when it has none */
  const char *producer;
  uint64_t file_bytes;
  uint32_t entries, states, variants, segments, weights, metadata; /* counts */
  uint32_t variant;     /* in use; TN_NO_INDEX with TN_OPEN_METADATA */
} tn_program_info_t;
TN_API void tn_program_info(const tn_program_t *program, tn_program_info_t *info);

typedef struct tn_variant_info {
  uint32_t struct_bytes;
  const char *name, *arch;
  uint32_t features; /* how many */
  uint32_t image_segment;
  uint32_t constants_segment; /* TN_NO_INDEX = none */
  uint16_t abi_major, abi_minor_needed;
  uint32_t runs_here; /* 1 when this machine has all features, and the device */
  const char *device; /* kind of device whose memory holds all buffers, "vulkan"; "cpu" for none */
  uint32_t device_segment; /* TN_NO_INDEX = none */
} tn_variant_info_t;
TN_API TN_NODISCARD tn_status_t tn_variant_info(const tn_program_t *program, uint32_t variant,
                                                tn_variant_info_t *info, tn_error_t *error);
/* NULL when out of range. */
TN_API const char *tn_variant_feature(const tn_program_t *program, uint32_t variant, uint32_t feature);

typedef enum tn_segment_kind {
  TN_SEGMENT_CONSTANTS = 0, TN_SEGMENT_IMAGE = 1, TN_SEGMENT_DEBUG = 2, TN_SEGMENT_DEVICE = 3, TN_SEGMENT_INT_ = 0x7fffffff
} tn_segment_kind_t;
typedef struct tn_segment_info {
  uint32_t struct_bytes;
  tn_segment_kind_t kind;
  uint64_t offset, bytes;
} tn_segment_info_t;
TN_API TN_NODISCARD tn_status_t tn_segment_info(const tn_program_t *program, uint32_t segment,
                                                tn_segment_info_t *info, tn_error_t *error);

typedef struct tn_entry_info {
  uint32_t struct_bytes;
  const char *name;
  const char *origin; /* place in the model; "" = unknown */
  uint32_t inputs, outputs, symbols;
  uint32_t states_read, states_written; /* counts */
} tn_entry_info_t;
TN_API TN_NODISCARD tn_status_t tn_entry_info(const tn_program_t *program, uint32_t entry, tn_entry_info_t *info,
                                              tn_error_t *error);
/* TN_BAD_ARGUMENT lists the names there are. */
TN_API TN_NODISCARD tn_status_t tn_entry_find(const tn_program_t *program, const char *name, uint32_t *entry,
                                              tn_error_t *error);

/* Append-only; equal to TensorRole in tenon.fbs. */
typedef enum tn_role {
  TN_ROLE_USER = 0, TN_ROLE_PARAMETER = 1, TN_ROLE_BUFFER = 2, TN_ROLE_GRADIENT = 3, TN_ROLE_OPTIMIZER = 4,
  TN_ROLE_LOSS = 5, TN_ROLE_AUXILIARY = 6, TN_ROLE_INT_ = 0x7fffffff
} tn_role_t;

typedef enum tn_side { TN_INPUT = 0, TN_OUTPUT = 1 } tn_side_t;

typedef struct tn_tensor_info {
  uint32_t struct_bytes;
  const char *name;
  const char *path;    /* name in the framework; "" = unknown */
  tn_dtype_t dtype;
  uint32_t rank;
  tn_role_t role;
  uint32_t optional;   /* 1 = the caller may pass a tensor with dtype TN_DTYPE_NONE */
} tn_tensor_info_t;
TN_API TN_NODISCARD tn_status_t tn_tensor_info(const tn_program_t *program, uint32_t entry, tn_side_t side,
                                               uint32_t tensor, tn_tensor_info_t *info, tn_error_t *error);
/* One size of a tensor: its value when it is fixed, -1 when it is symbolic; and in `text` (may be NULL) how it is
 * computed: "384", "s0", "floordiv(s0 + 1, 2)". Text that does not fit is cut and terminated. */
TN_API TN_NODISCARD tn_status_t tn_tensor_dim(const tn_program_t *program, uint32_t entry, tn_side_t side,
                                              uint32_t tensor, uint32_t dim, int64_t *fixed, char *text,
                                              size_t text_bytes, tn_error_t *error);

typedef struct tn_symbol_info {
  uint32_t struct_bytes;
  const char *name;
  int64_t min, max, multiple_of;
  int64_t hint;            /* size in the example inputs; -1 = unknown */
  uint32_t data_dependent; /* 1 = found by the call */
} tn_symbol_info_t;
TN_API TN_NODISCARD tn_status_t tn_symbol_info(const tn_program_t *program, uint32_t entry, uint32_t symbol,
                                               tn_symbol_info_t *info, tn_error_t *error);

typedef struct tn_state_info {
  uint32_t struct_bytes;
  const char *name;
  const char *layout; /* "" = C-contiguous */
  tn_dtype_t dtype;
  uint32_t rank;
  const int64_t *dims;
  uint64_t bytes;
  uint32_t persistent;
} tn_state_info_t;
TN_API TN_NODISCARD tn_status_t tn_state_info(const tn_program_t *program, uint32_t state, tn_state_info_t *info,
                                              tn_error_t *error);

typedef struct tn_weight_info {
  uint32_t struct_bytes;
  const char *name;
  const char *layout; /* "" = C-contiguous */
  tn_dtype_t dtype;
  uint32_t rank;
  const int64_t *dims;
  uint32_t segment;
  uint64_t offset, bytes; /* in the segment */
} tn_weight_info_t;
TN_API TN_NODISCARD tn_status_t tn_weight_info(const tn_program_t *program, uint32_t weight, tn_weight_info_t *info,
                                               tn_error_t *error);

typedef struct tn_kernel_info {
  uint32_t struct_bytes;
  const char *name;
  const char *origin;     /* "" = unknown */
  int64_t flops;          /* for `symbols`; -1 = unknown or, without symbols, not fixed */
  int64_t bytes_moved;    /* same */
  uint64_t code_bytes, hash;
  uint32_t calls;
  uint64_t code_address;  /* in the image, from its base; 0 = unknown */
  uint32_t on_device;     /* 1 = of a variant for a device, and runs there; else on the CPU */
} tn_kernel_info_t;
TN_API uint32_t tn_kernel_count(const tn_program_t *program, uint32_t variant, uint32_t entry);
/* `symbols` (may be NULL) are values for the entry's symbols, for the estimates. */
TN_API TN_NODISCARD tn_status_t tn_kernel_info(const tn_program_t *program, uint32_t variant, uint32_t entry,
                                               uint32_t kernel, const int64_t *symbols, uint32_t symbol_count,
                                               tn_kernel_info_t *info, tn_error_t *error);

/* The i-th key and value; 0 when out of range. */
TN_API int tn_metadata_at(const tn_program_t *program, uint32_t index, const char **key, const char **value);
/* NULL when there is no such key. */
TN_API const char *tn_metadata_find(const tn_program_t *program, const char *key);

/* ---- sizes ------------------------------------------------------------------------------------------------ */

/* Values of the entry's symbols for these inputs, of which only dtype, rank and dims are read; data-dependent
 * symbols get their bound. Checks everything that tn_session_call checks of shapes. */
TN_API TN_NODISCARD tn_status_t tn_entry_bind(const tn_program_t *program, uint32_t entry, const tn_tensor_t *inputs,
                                              uint32_t input_count, int64_t *symbols, uint32_t symbol_count,
                                              tn_error_t *error);
/* Output shapes for these inputs, of which only dtype, rank and dims are read. Sets rank and dtype of each output
 * and fills its dims; on entry `rank` says how many dims there is room for. Data-dependent sizes give their bound. */
TN_API TN_NODISCARD tn_status_t tn_entry_output_shapes(const tn_program_t *program, uint32_t entry,
                                                       const tn_tensor_t *inputs, uint32_t input_count,
                                                       tn_tensor_t *outputs, uint32_t output_count,
                                                       tn_error_t *error);

typedef struct tn_memory_needs {
  uint32_t struct_bytes;
  uint32_t threads;         /* after limits */
  uint64_t arena_bytes;     /* of one call */
  uint64_t scratch_bytes;   /* of one call, all threads */
  uint64_t state_bytes;     /* of a session */
  uint64_t session_bytes;   /* bookkeeping of a session */
  uint64_t constants_bytes; /* mapped once per program, shared between processes when opened from a file */
} tn_memory_needs_t;
/* What a call with these symbol values (see tn_entry_bind) takes in a session with `threads` threads (0 = all). */
TN_API TN_NODISCARD tn_status_t tn_entry_needs(const tn_program_t *program, uint32_t entry, const int64_t *symbols,
                                               uint32_t symbol_count, uint32_t threads, tn_memory_needs_t *needs,
                                               tn_error_t *error);

/* ---- session ---------------------------------------------------------------------------------------------- */

enum {
  TN_SESSION_FIXED_MEMORY = 1u << 0, /* never grows: a larger call is TN_NEEDS_MEMORY */
  TN_SESSION_EXACT_THREADS = 1u << 1 /* as many threads as asked, even beyond affinity and cgroup quota */
};

/* Memory to set aside when the session is made, so that calls up to this size allocate nothing. */
typedef struct tn_reserve {
  uint32_t entry;
  uint32_t symbol_count;
  const int64_t *symbols;
} tn_reserve_t;

typedef struct tn_session_options {
  uint32_t struct_bytes;
  uint32_t flags;                  /* TN_SESSION_... */
  uint32_t threads;                /* with the caller; 0 = min(affinity, cgroup quota) */
  uint32_t reserve_count;
  const tn_pool_t *pool;           /* copied; NULL = the process-wide pool of the runtime */
  const tn_allocator_t *allocator; /* copied; NULL = the program's */
  const tn_reserve_t *reserves;
  uint64_t memory_limit;           /* bytes of arena and scratch together; 0 = none. More is TN_NEEDS_MEMORY */
} tn_session_options_t;

/* `options` may be NULL. The program must outlive the session. */
TN_API TN_NODISCARD tn_status_t tn_session_create(const tn_program_t *program, const tn_session_options_t *options,
                                                  tn_session_t **session, tn_error_t *error);
/* NULL is allowed. No call may be running. */
TN_API void tn_session_close(tn_session_t *session);

/* Runs an entry: reads `inputs`, writes `outputs` (all memory the caller's, shapes set), updates the states.
 * Allocates only when the sizes are larger than any before, and never with TN_SESSION_FIXED_MEMORY. */
TN_API TN_NODISCARD tn_status_t tn_session_call(tn_session_t *session, uint32_t entry, const tn_tensor_t *inputs,
                                                uint32_t input_count, tn_tensor_t *outputs, uint32_t output_count,
                                                tn_error_t *error);

/* All states back to their initial values. */
TN_API TN_NODISCARD tn_status_t tn_session_reset(tn_session_t *session, tn_error_t *error);
/* One state's bytes, whole. Writing one does not end TN_STATE_LOST: the others may be half-updated. */
TN_API TN_NODISCARD tn_status_t tn_session_state_read(tn_session_t *session, uint32_t state, void *bytes,
                                                      size_t byte_count, tn_error_t *error);
TN_API TN_NODISCARD tn_status_t tn_session_state_write(tn_session_t *session, uint32_t state, const void *bytes,
                                                       size_t byte_count, tn_error_t *error);
/* All persistent states as one block that only the same program takes back. Restoring sets the other states to
 * their initial values and ends TN_STATE_LOST; a damaged block changes nothing. */
TN_API size_t tn_session_save_bytes(const tn_session_t *session);
TN_API TN_NODISCARD tn_status_t tn_session_save(tn_session_t *session, void *block, size_t block_bytes,
                                                tn_error_t *error);
TN_API TN_NODISCARD tn_status_t tn_session_restore(tn_session_t *session, const void *block, size_t block_bytes,
                                                   tn_error_t *error);

/* Threads this session uses, with the caller. */
TN_API uint32_t tn_session_threads(const tn_session_t *session);
/* What the session holds now. */
TN_API void tn_session_memory(const tn_session_t *session, tn_memory_needs_t *held);

/* min(affinity, cgroup quota) of this process, at least 1. */
TN_API uint32_t tn_hardware_threads(void);

#ifdef __cplusplus
}
#endif
#endif
