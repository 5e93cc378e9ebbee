/* The parts of the .tenon file format that are not in the FlatBuffers schema.
 *
 * Lives here: the 64-byte prefix, its constants and the opcodes of size expressions; shared by the runtime's
 * reader and the compiler's writer. docs/format.md is the specification. All numbers are little-endian.
 */
#ifndef TENON_FORMAT_H
#define TENON_FORMAT_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TN_FORMAT_MAJOR 1
#define TN_FORMAT_MINOR 0

/* The line ends show a file that went through a text-mode copy; 0x1a stops a DOS `type`. */
#define TN_FORMAT_MAGIC "TENON\r\n\x1a"
#define TN_FORMAT_MAGIC_BYTES 8

/* Segments start at multiples of this, so that every page size up to it can map them. */
#define TN_SEGMENT_ALIGN 65536
/* Constants are hashed in pieces of this size; the last may be shorter. */
#define TN_CONSTANTS_CHUNK_BYTES (1u << 20)

/* The first 64 bytes of a file. */
typedef struct tn_file_prefix {
  char magic[TN_FORMAT_MAGIC_BYTES];
  uint16_t format_major;
  uint16_t format_minor;
  uint32_t reserved;         /* 0 */
  uint64_t header_offset;    /* of the FlatBuffers header: 64 */
  uint64_t header_bytes;
  uint64_t file_bytes;       /* of the whole file */
  uint64_t header_hash_low;  /* XXH3-128, seed 0, of the header's bytes */
  uint64_t header_hash_high;
  uint64_t prefix_hash;      /* XXH3-64, seed 0, of the 56 bytes before this field */
} tn_file_prefix;

#define TN_PREFIX_BYTES 64
#define TN_PREFIX_HASHED_BYTES 56

/* Words of a size expression (table Dim): postfix; CONST and SYMBOL are followed by one operand word. */
typedef enum tn_dim_op {
  TN_DIM_CONST = 0,
  TN_DIM_SYMBOL = 1,
  TN_DIM_ADD = 2,
  TN_DIM_MUL = 3,
  TN_DIM_FLOORDIV = 4,
  TN_DIM_CEILDIV = 5,
  TN_DIM_MOD = 6,
  TN_DIM_MIN = 7,
  TN_DIM_MAX = 8
} tn_dim_op;

#define TN_DIM_MAX_WORDS 1024
#define TN_DIM_MAX_STACK 32
#define TN_MAX_RANK 16
#define TN_MAX_SYMBOLS 256

#ifdef __cplusplus
}
static_assert(sizeof(tn_file_prefix) == TN_PREFIX_BYTES, "the prefix is 64 bytes on disk");
#endif
#endif
