// Opening: reflection, versions, variants, images that must be refused, damage of every kind.
#include "helpers.h"
#include "tenon/format.h"

#include <cstdlib>
#include <random>
#include <tenon_generated.h>

namespace tenon::rt {
bool isValidHeader(const uint8_t *header, uint64_t bytes); // runtime/src/verify.cpp
}

using artifact::Options;

TEST(reflection) {
  Opened opened;
  CHECK_EQ(opened.status, TN_OK);
  const tn_program_t *program = opened.program.get();
  tn_program_info_t info = opened.program.info();
  CHECK_EQ(info.entries, uint32_t(artifact::EntryCount));
  CHECK_EQ(info.states, 3u);
  CHECK_EQ(std::string(info.producer), std::string("unit test"));
  uint32_t entry = 99;
  tenon::Error error;
  CHECK_EQ(tn_entry_find(program, "matmul", &entry, error), TN_OK);
  CHECK_EQ(entry, uint32_t(artifact::Matmul));
  CHECK_EQ(tn_entry_find(program, "none", &entry, error), TN_BAD_ARGUMENT);
  CHECK_CONTAINS(error.message(), "'add', 'matmul'");
  int64_t fixed = 0;
  char text[64];
  CHECK_EQ(tn_tensor_dim(program, artifact::Matmul, TN_INPUT, 0, 1, &fixed, text, sizeof(text), error), TN_OK);
  CHECK_EQ(fixed, int64_t(16));
  CHECK_EQ(tn_tensor_dim(program, artifact::Derived, TN_INPUT, 0, 1, &fixed, text, sizeof(text), error), TN_OK);
  CHECK_EQ(std::string(text), std::string("2*n + 1"));
  CHECK_EQ(fixed, int64_t(-1));
  tn_symbol_info_t symbol = {};
  symbol.struct_bytes = sizeof(symbol);
  CHECK_EQ(tn_symbol_info(program, artifact::Compress, 1, &symbol, error), TN_OK);
  CHECK_EQ(symbol.data_dependent, 1u);
  tn_weight_info_t weight = {};
  weight.struct_bytes = sizeof(weight);
  CHECK_EQ(tn_weight_info(program, 0, &weight, error), TN_OK);
  CHECK_EQ(weight.bytes, uint64_t(512));
  tn_kernel_info_t kernel = {};
  kernel.struct_bytes = sizeof(kernel);
  int64_t rows = 3;
  CHECK_EQ(tn_kernel_info(program, 0, artifact::Matmul, 0, &rows, 1, &kernel, error), TN_OK);
  CHECK_EQ(kernel.flops, int64_t(768));
  CHECK_EQ(kernel.bytes_moved, int64_t(512));
  CHECK_EQ(std::string(tn_metadata_find(program, "author")), std::string("tests"));
  CHECK(tn_metadata_find(program, "nothing") == nullptr);
  CHECK_EQ(tn_tensor_info(program, 0, TN_OUTPUT, 7, nullptr, error), TN_BAD_ARGUMENT);
}

TEST(metadata_only_runs_nothing) {
  Options options;
  options.features = {"no-such-feature"};
  Opened opened(options, TN_OPEN_METADATA);
  CHECK_EQ(opened.status, TN_OK);
  tn_session_t *session = nullptr;
  CHECK_EQ(tn_session_create(opened.program.get(), nullptr, &session, opened.error), TN_BAD_ARGUMENT);
}

TEST(variants) {
  Options options;
  options.features = {"no-such-feature", "sse2"};
  Opened refused(options);
  CHECK_EQ(refused.status, TN_BAD_CPU);
#if defined(__x86_64__)
  CHECK_CONTAINS(refused.error.message(), "'first' lacks no-such-feature");
  options.more = {{}, {"sse2"}, {"sse2", "other"}};
  Opened best(options);
  CHECK_EQ(best.status, TN_OK);
  CHECK_EQ(best.program.info().variant, 2u);
  Opened asked(options, 0, "more0");
  CHECK_EQ(asked.program.info().variant, 1u);
  Opened missing(options, 0, "more2");
  CHECK_EQ(missing.status, TN_BAD_CPU);
  CHECK_CONTAINS(missing.error.message(), "'more2' lacks other");
#endif
  Opened unknown(options, 0, "nothing");
  CHECK_EQ(unknown.status, TN_BAD_ARGUMENT);
  options = Options();
  options.arch = "riscv64";
  Opened foreign(options);
  CHECK_EQ(foreign.status, TN_BAD_CPU);
  CHECK_CONTAINS(foreign.error.message(), "is for riscv64");
}

static tn_status_t statusOfImage(const char *image, tenon::Error &error) {
  Options options;
  options.image = image;
  Opened opened(options);
  error = opened.error;
  return opened.status;
}

TEST(images) {
  tenon::Error error;
  CHECK_EQ(statusOfImage("image-rela.so", error), TN_OK);
  CHECK_EQ(statusOfImage("image-relr.so", error), TN_OK);
  CHECK_EQ(statusOfImage("image-major.so", error), TN_BAD_VERSION);
  CHECK_CONTAINS(error.message(), "image needs ABI 99.0");
  CHECK_EQ(statusOfImage("image-minor.so", error), TN_BAD_VERSION);
  CHECK_EQ(statusOfImage("image-table.so", error), TN_BAD_VERSION);
  CHECK_EQ(statusOfImage("image-undefined.so", error), TN_BAD_FILE);
  CHECK_EQ(statusOfImage("image.c.txt", error), TN_BAD_FILE);
}

TEST(inconsistent_headers) {
  Options options;
  options.extraEntries = 1;
  CHECK_EQ(Opened(options).status, TN_BAD_FILE);
  options = Options();
  options.badSymbol = 5;
  CHECK_EQ(Opened(options).status, TN_BAD_FILE);
  options = Options();
  options.badSegment = 7;
  CHECK_EQ(Opened(options).status, TN_BAD_FILE);
  options.badSegment = static_cast<uint32_t>(-1); // the constants
  CHECK_EQ(Opened(options).status, TN_BAD_FILE);
  options = Options();
  options.badState = true;
  CHECK_EQ(Opened(options).status, TN_BAD_FILE);
  options = Options();
  options.overlappingSegments = true;
  CHECK_EQ(Opened(options).status, TN_BAD_FILE);
}

TEST(open_path) {
  std::string path = artifact::temporaryFile(artifact::build());
  tenon::Error error;
  {
    tenon::Program program = tenon::Program::open(path.c_str(), error);
    CHECK(bool(program));
  }
  remove(path.c_str());
  CHECK(!tenon::Program::open(path.c_str(), error));
  CHECK_EQ(error.status(), TN_IO);
  CHECK(!tenon::Program::open(TEST_IMAGE_DIR, error));
  CHECK_EQ(error.status(), TN_IO);
  tn_program_t *raw = nullptr;
  CHECK_EQ(tn_program_open(nullptr, nullptr, &raw, nullptr), TN_BAD_ARGUMENT);
  alignas(64) static uint8_t odd[128];
  CHECK_EQ(tn_program_open_memory(odd + 8, 64, nullptr, &raw, error), TN_BAD_ALIGNMENT);
}

TEST(damage_classes) {
  std::vector<uint8_t> good = artifact::build();
  tn_file_prefix prefix;
  memcpy(&prefix, good.data(), sizeof(prefix));
  struct Case {
    const char *what;
    size_t at;
    const char *says;
  };
  size_t headerEnd = prefix.header_offset + prefix.header_bytes;
  const Case cases[] = {{"magic", 0, "mark of a tenon artifact"}, {"version", 8, "prefix is damaged"},
                        {"hash of the header", 40, "prefix is damaged"}, {"header", 100, "header is damaged"},
                        {"padding", headerEnd + 1, "padding"},    {"constants", 65536 + 5, "constants are damaged"},
                        {"padding after constants", 65536 + 600, "padding"}, {"code", 131072 + 70000, "(code) is damaged"}};
  for (const Case &which : cases) {
    std::vector<uint8_t> bad = good;
    if (which.at >= bad.size())
      check::failure(__FILE__, __LINE__, which.what);
    bad[which.at < bad.size() ? which.at : 0] ^= 0x10;
    Opened opened(bad);
    CHECK_EQ(opened.status, TN_BAD_FILE);
    if (!strstr(opened.error.message(), which.says))
      check::failure(__FILE__, __LINE__, std::string(which.what) + ": " + opened.error.message());
  }
  std::vector<uint8_t> newer = good;
  newer[8] = 2;
  artifact::rehash(newer, false);
  CHECK_EQ(Opened(newer).status, TN_BAD_VERSION);
  std::vector<uint8_t> bad = good;
  bad[65536 + 5] ^= 1;
  CHECK_EQ(Opened(bad, TN_OPEN_SKIP_CONSTANTS_CHECK).status, TN_OK);
}

TEST(truncation) {
  std::vector<uint8_t> good = artifact::build();
  for (size_t size = 0; size < good.size(); size += 64) {
    artifact::Bytes cut(std::vector<uint8_t>(good.begin(), good.begin() + static_cast<long>(size)));
    tn_program_t *program = nullptr;
    tn_status_t status = tn_program_open_memory(cut.data, cut.size, nullptr, &program, nullptr);
    if (status != TN_BAD_FILE)
      check::failure(__FILE__, __LINE__, "cut at " + std::to_string(size) + " gave " + tn_status_name(status));
    tn_program_close(program);
  }
}

static unsigned seed() {
  const char *text = getenv("TENON_TEST_SEED");
  unsigned value = text ? static_cast<unsigned>(atol(text)) : 12345;
  printf("  seed %u\n", value);
  return value;
}

TEST(random_flips) {
  std::vector<uint8_t> good = artifact::build();
  std::mt19937 random(seed());
  artifact::Bytes bytes(good);
  for (int i = 0; i < 2000; ++i) {
    size_t at = random() % good.size();
    auto mask = static_cast<uint8_t>(1u << random() % 8);
    bytes.data[at] ^= mask;
    tn_program_t *program = nullptr;
    if (tn_program_open_memory(bytes.data, bytes.size, nullptr, &program, nullptr) == TN_OK)
      check::failure(__FILE__, __LINE__, "flip at " + std::to_string(at) + " was not noticed");
    tn_program_close(program);
    bytes.data[at] ^= mask;
  }
}

// With the hashes made right again, the structure checks stand alone: any result but a crash is fine.
TEST(random_header_flips_with_right_hash) {
  std::vector<uint8_t> good = artifact::build();
  tn_file_prefix prefix;
  memcpy(&prefix, good.data(), sizeof(prefix));
  std::mt19937 random(seed());
  int opened = 0;
  for (int i = 0; i < 4000; ++i) {
    std::vector<uint8_t> bad = good;
    for (int flips = 1 + static_cast<int>(random() % 3); flips; --flips)
      bad[prefix.header_offset + random() % prefix.header_bytes] = static_cast<uint8_t>(random());
    artifact::rehash(bad, true);
    Opened result(bad, TN_OPEN_METADATA);
    opened += result.status == TN_OK;
    for (uint32_t entry = 0; result.program && entry < result.program.info().entries; ++entry)
      for (uint32_t input = 0; input < 3; ++input) {
        char text[100];
        (void)tn_tensor_dim(result.program.get(), entry, TN_INPUT, input, 0, nullptr, text, sizeof(text), nullptr);
      }
  }
  CHECK(opened > 0 && opened < 4000);
}

// The runtime's small verifier accepts nothing that the generated one refuses, and hardly refuses more.
TEST(verifier_agrees_with_the_generated_one) {
  std::vector<uint8_t> good = artifact::build();
  tn_file_prefix prefix;
  memcpy(&prefix, good.data(), sizeof(prefix));
  std::mt19937 random(seed());
  int accepted = 0, stricter = 0;
  for (int i = 0; i < 20000; ++i) {
    artifact::Bytes header(std::vector<uint8_t>(good.begin() + 64, good.begin() + 64 + long(prefix.header_bytes)));
    for (int flips = 1 + int(random() % 2); flips && i; --flips)
      header.data[random() % header.size] = static_cast<uint8_t>(random() % (random() % 2 ? 256 : 8));
    flatbuffers::Verifier verifier(header.data, header.size, 64, 100000);
    bool theirs = tenon::file::VerifyHeaderBuffer(verifier);
    bool ours = tenon::rt::isValidHeader(header.data, header.size);
    CHECK(theirs || !ours);
    accepted += ours;
    stricter += theirs && !ours;
  }
  printf("  accepted %d of 20000, stricter in %d\n", accepted, stricter);
  CHECK(accepted > 1000 && stricter < 400);
}

// A weight of rank 0 has an empty list of sizes, which the builder does not align.
TEST(rank_0_at_every_alignment) {
  for (size_t length = 1; length <= 16; ++length) {
    flatbuffers::FlatBufferBuilder builder;
    const std::vector<int64_t> none;
    const std::string name(length, 'w');
    const std::vector<flatbuffers::Offset<tenon::file::Weight>> weights{
        tenon::file::CreateWeightDirect(builder, name.c_str(), tenon::file::DType::F32, &none, 0, 0, 4)};
    tenon::file::FinishHeaderBuffer(builder, tenon::file::CreateHeaderDirect(builder, 1, 0, "unit test", nullptr, nullptr,
                                                                             nullptr, nullptr, nullptr, &weights));
    CHECK(tenon::rt::isValidHeader(builder.GetBufferPointer(), builder.GetSize()));
  }
}

// The same for the ELF headers, dynamic section, symbols and relocations: the image must be refused or load.
TEST(random_image_flips_with_right_hash) {
  std::mt19937 random(seed());
  for (const char *name : {"image-rela.so", "image-relr.so"}) {
    std::vector<uint8_t> image = artifact::readFile(std::string(TEST_IMAGE_DIR) + "/" + name);
    int loaded = 0;
    for (int i = 0; i < 1500; ++i) {
      std::vector<uint8_t> bad = image;
      // The ELF header, the tables behind it, and the dynamic section somewhere above.
      size_t range = i % 2 ? 2048 : bad.size();
      for (int flips = 1 + static_cast<int>(random() % 3); flips; --flips)
        bad[random() % (range < bad.size() ? range : bad.size())] = static_cast<uint8_t>(random());
      std::string file = std::string("flipped-") + name;
      FILE *out = fopen((std::string(TEST_IMAGE_DIR) + "/" + file).c_str(), "wb");
      fwrite(bad.data(), 1, bad.size(), out);
      fclose(out);
      Options options;
      options.image = file;
      loaded += Opened(options).status == TN_OK;
      remove((std::string(TEST_IMAGE_DIR) + "/" + file).c_str());
    }
    CHECK(loaded < 1500);
  }
}
