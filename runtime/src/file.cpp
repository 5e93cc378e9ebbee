// Integrity of an artifact's bytes: prefix, header hash, segments, padding, hashes of code and constants.
#include "../devices/cpu/pool.h"
#include "hash.h"
#include "program.h"

namespace tenon::rt {

using file::SegmentKind;

static unsigned long long wide(uint64_t value) { return value; }

tn_status_t checkPrefix(tn_program &program, tn_error_t *error) {
  const char *label = program.label;
  if (program.fileBytes < TN_PREFIX_BYTES)
    return TN_FAIL(error, TN_BAD_FILE, "%s: file has %llu bytes but an artifact has at least 64", label,
                   wide(program.fileBytes));
  tn_file_prefix prefix;
  memcpy(&prefix, program.file, sizeof(prefix));
  if (memcmp(prefix.magic, TN_FORMAT_MAGIC, TN_FORMAT_MAGIC_BYTES) != 0)
    return TN_FAIL(error, TN_BAD_FILE, "%s: file does not begin with the mark of a tenon artifact", label);
  if (prefix.prefix_hash != hash64(program.file, TN_PREFIX_HASHED_BYTES))
    return TN_FAIL(error, TN_BAD_FILE, "%s: prefix is damaged: its hash differs", label);
  if (prefix.format_major != TN_FORMAT_MAJOR)
    return TN_FAIL(error, TN_BAD_VERSION, "%s: format is %u.%u but this runtime reads %u.x", label,
                   prefix.format_major, prefix.format_minor, TN_FORMAT_MAJOR);
  if (prefix.file_bytes != program.fileBytes)
    return TN_FAIL(error, TN_BAD_FILE, "%s: file has %llu bytes but its prefix says %llu", label,
                   wide(program.fileBytes), wide(prefix.file_bytes));
  if (prefix.reserved != 0 || prefix.header_offset != TN_PREFIX_BYTES || prefix.header_bytes < 16 ||
      prefix.header_bytes > program.fileBytes - TN_PREFIX_BYTES || prefix.header_bytes > INT32_MAX)
    return TN_FAIL(error, TN_BAD_FILE, "%s: prefix places the header outside the file", label);
  const uint8_t *header = program.file + TN_PREFIX_BYTES;
  Hash128 hash = hash128(header, prefix.header_bytes);
  if (hash.low != prefix.header_hash_low || hash.high != prefix.header_hash_high)
    return TN_FAIL(error, TN_BAD_FILE, "%s: header is damaged: its hash differs", label);
  if (!isValidHeader(header, prefix.header_bytes))
    return TN_FAIL(error, TN_BAD_FILE, "%s: header is not a valid FlatBuffer of the schema", label);
  program.header = file::GetHeader(header);
  if (program.header->format_major() != prefix.format_major || program.header->format_minor() != prefix.format_minor)
    return TN_FAIL(error, TN_BAD_FILE, "%s: header and prefix name different format versions", label);
  return TN_OK;
}

// All bytes outside header and segments are padding, at most one alignment each, and zero.
static tn_status_t checkPadding(const tn_program &program, uint64_t begin, uint64_t end, uint64_t limit,
                                tn_error_t *error) {
  if (end - begin >= limit || !allZero(program.file + begin, end - begin))
    return TN_FAIL(error, TN_BAD_FILE, "%s: bytes %llu to %llu are padding but not short and zero", program.label,
                   wide(begin), wide(end));
  return TN_OK;
}

tn_status_t checkSegments(const tn_program &program, tn_error_t *error) {
  tn_file_prefix prefix;
  memcpy(&prefix, program.file, sizeof(prefix));
  uint64_t end = prefix.header_offset + prefix.header_bytes; // of what is accounted for
  for (uint32_t i = 0; i < sizeOf(program.header->segments()); ++i) {
    const file::Segment &segment = *program.header->segments()->Get(i);
    uint64_t offset = segment.offset(), bytes = segment.bytes(), align = segment.alignment();
    if (align < TN_SEGMENT_ALIGN || align > (uint64_t(1) << 30) || (align & (align - 1)) != 0 || offset % align != 0)
      return TN_FAIL(error, TN_BAD_FILE, "%s: segment %u is at offset %llu but needs alignment %llu", program.label, i,
                     wide(offset), wide(align));
    if (offset < end || offset > program.fileBytes || bytes > program.fileBytes - offset)
      return TN_FAIL(error, TN_BAD_FILE, "%s: segment %u overlaps what is before it or the end of the file",
                     program.label, i);
    if (tn_status_t status = checkPadding(program, end, offset, align, error))
      return status;
    end = offset + bytes;
    if (segment.kind() == SegmentKind::Constants) {
      uint64_t chunks = (bytes + TN_CONSTANTS_CHUNK_BYTES - 1) / TN_CONSTANTS_CHUNK_BYTES;
      if (sizeOf(segment.chunk_hashes()) != chunks)
        return TN_FAIL(error, TN_BAD_FILE, "%s: segment %u has %u chunk hashes but needs %llu", program.label, i,
                       sizeOf(segment.chunk_hashes()), wide(chunks));
    } else if (hash64(program.file + offset, bytes) != segment.hash()) {
      return TN_FAIL(error, TN_BAD_FILE, "%s: segment %u (%s) is damaged: its hash differs", program.label, i,
                     segment.kind() == SegmentKind::Image ? "code" : "debug");
    }
  }
  return checkPadding(program, end, program.fileBytes, TN_SEGMENT_ALIGN, error);
}

namespace {
struct ConstantsCheck {
  const uint8_t *bytes;
  uint64_t byteCount;
  const flatbuffers::Vector<uint64_t> *hashes;

  bool chunkIsGood(uint64_t chunk) const {
    uint64_t begin = chunk * TN_CONSTANTS_CHUNK_BYTES, rest = byteCount - begin;
    return hash64(bytes + begin, rest < TN_CONSTANTS_CHUNK_BYTES ? rest : TN_CONSTANTS_CHUNK_BYTES) ==
           hashes->Get(static_cast<flatbuffers::uoffset_t>(chunk));
  }
  static int32_t run(void *context, int64_t begin, int64_t end, uint32_t) {
    const auto &check = *static_cast<const ConstantsCheck *>(context);
    for (int64_t chunk = begin; chunk < end; ++chunk)
      if (!check.chunkIsGood(static_cast<uint64_t>(chunk)))
        return static_cast<int32_t>(chunk) + 1;
    return 0;
  }
};
} // namespace

tn_status_t checkConstants(const tn_program &program, uint32_t index, uint32_t threads, tn_error_t *error) {
  const file::Segment &segment = *program.header->segments()->Get(index);
  ConstantsCheck check{program.file + segment.offset(), segment.bytes(), segment.chunk_hashes()};
  int64_t chunks = sizeOf(check.hashes);
  uint32_t useful = threads == 0 || threads > hardwareThreads() ? hardwareThreads() : threads;
  if (chunks < 8) // waking a thread costs more
    useful = 1;
  int32_t bad = 0;
  PoolSlot *slot = nullptr;
  if (useful > 1) {
    poolStart(useful);
    slot = poolAcquireSlot();
  }
  if (slot) {
    bad = poolRun(slot, useful, ConstantsCheck::run, &check, chunks);
    poolReleaseSlot(slot);
  } else {
    bad = ConstantsCheck::run(&check, 0, chunks, 0);
  }
  if (bad != 0)
    return TN_FAIL(error, TN_BAD_FILE, "%s: constants are damaged: the hash of MiB %d of segment %u differs",
                   program.label, bad - 1, index);
  return TN_OK;
}

} // namespace tenon::rt
