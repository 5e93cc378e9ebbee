/* Opens a program, calls its first entry once with the bytes of the files given, and ends: what a process pays for
   its first result. Usage: first PROGRAM INPUT... ; the program's sizes may not be symbolic. */
#include <stdio.h>
#include <stdlib.h>
#include <tenon/runtime.h>

enum { most = 16, most_dims = 8 };
static tn_tensor_t tensors[2][most];
static int64_t dims[2][most][most_dims];

static int fail(const char *what) {
  fprintf(stderr, "first: %s\n", what);
  return 1;
}

/* Memory for one tensor of the entry; its size, or 0 after a failure. */
static size_t prepare(tn_program_t *program, tn_side_t side, uint32_t index, tn_error_t *error) {
  tn_tensor_info_t info = {sizeof info};
  if (tn_tensor_info(program, 0, side, index, &info, error) != TN_OK)
    return 0;
  size_t bytes = tn_dtype_bytes(info.dtype);
  for (uint32_t d = 0; d < info.rank; ++d) {
    if (tn_tensor_dim(program, 0, side, index, d, &dims[side][index][d], NULL, 0, error) != TN_OK)
      return 0;
    bytes *= (size_t)dims[side][index][d];
  }
  tn_tensor_t tensor = {aligned_alloc(64, (bytes + 63) / 64 * 64), dims[side][index], info.rank, info.dtype};
  tensors[side][index] = tensor;
  return tensor.data ? bytes : 0;
}

int main(int argc, char **argv) {
  tn_error_t error = TN_ERROR_INIT;
  tn_program_t *program = NULL;
  tn_session_t *session = NULL;
  tn_session_options_t options = {sizeof options};
  tn_entry_info_t entry = {sizeof entry};
  options.threads = 1;
  if (argc < 2)
    return fail("needs a program");
  if (tn_program_open(argv[1], NULL, &program, &error) != TN_OK ||
      tn_session_create(program, &options, &session, &error) != TN_OK ||
      tn_entry_info(program, 0, &entry, &error) != TN_OK)
    return fail(error.message);
  if (entry.inputs != (uint32_t)argc - 2 || entry.inputs > most || entry.outputs > most)
    return fail("needs one file for each input");
  for (uint32_t i = 0; i < entry.inputs; ++i) {
    size_t bytes = prepare(program, TN_INPUT, i, &error);
    FILE *file = fopen(argv[2 + i], "rb");
    if (!bytes || !file || fread(tensors[TN_INPUT][i].data, 1, bytes, file) != bytes)
      return fail("cannot read an input");
    fclose(file);
  }
  for (uint32_t i = 0; i < entry.outputs; ++i)
    if (!prepare(program, TN_OUTPUT, i, &error))
      return fail("cannot make room for an output");
  if (tn_session_call(session, 0, tensors[TN_INPUT], entry.inputs, tensors[TN_OUTPUT], entry.outputs, &error) != TN_OK)
    return fail(error.message);
  return 0;
}
