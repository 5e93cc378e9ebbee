//===- end_to_end_test.cpp - kernels in order -> .tenon -> runtime --------===//
// The kernels are written by hand (kernels.c); everything else is the real thing.
#include "mlir/Parser/Parser.h"
#include "tenon/Bundle/Link.h"
#include "tenon/Bundle/Writer.h"
#include "tenon/InitAll.h"
#include "tenon/Pipelines/Host.h"
#include "tenon/runtime.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include <cmath>
#include <cstdio>

using namespace mlir;
using namespace tenon;

extern const unsigned char testKernels[];
extern const unsigned long testKernelsBytes;

static int failures = 0;
#define CHECK(CONDITION)                                                                                               \
  do {                                                                                                                 \
    if (!(CONDITION)) {                                                                                                \
      std::fprintf(stderr, "%s:%d: check failed: %s\n", __FILE__, __LINE__, #CONDITION);                               \
      ++failures;                                                                                                      \
    }                                                                                                                  \
  } while (0)

static const char *kModel = R"mlir(
module attributes {target.cpu = #target.cpu<name = "x86-64-v2", triple = "x86_64-unknown-linux-gnu", cpu = "x86-64-v2", features = "", vectorBits = 128, vectorRegisters = 16, hasFMA = false, hasF16C = false, l1Bytes = 32768, l2Bytes = 262144>} {
graph.weight @w : tensor<4x8xf32> from #graph.source<"seed", "", 0, 0, 1.0 : f64>
graph.weight @h0 : tensor<4xf32> from #graph.source<"splat", "", 0, 0, 1.0 : f64>
graph.variable @acc : tensor<4xf32> init @h0 {persistent}
kernel.func @linear(%x: tensor<?x8xf32, #graph.dims<[s0, 8]>>, %w: tensor<4x8xf32> {kernel.layout = #kernel.layout<order = [0, 1], n = 1, groups = 1, width = 16>}) -> tensor<?x4xf32, #graph.dims<[s0, 4]>>
    attributes {tiles = #graph.dims<[s0 ceildiv 6]>, scratch = #graph.dims<[64]>, work = #graph.dims<[s0 * 64]>} {
  %0 = graph.contract %x, %w maps [affine_map<(m, n, k) -> (m, k)>, affine_map<(m, n, k) -> (n, k)>, affine_map<(m, n, k) -> (m, n)>] : tensor<?x8xf32, #graph.dims<[s0, 8]>>, tensor<4x8xf32> -> tensor<?x4xf32, #graph.dims<[s0, 4]>>
  kernel.return %0 : tensor<?x4xf32, #graph.dims<[s0, 4]>>
}
kernel.func @bias(%x: tensor<?x4xf32, #graph.dims<[s0, 4]>> {kernel.may_alias = 0 : i64}, %b: tensor<4xf32>) -> tensor<?x4xf32, #graph.dims<[s0, 4]>>
    attributes {sites = ["element {0}, {1} is negative"]} {
  kernel.return %x : tensor<?x4xf32, #graph.dims<[s0, 4]>>
}
kernel.func @step(%h: tensor<4xf32> {kernel.may_alias = 0 : i64}, %x: tensor<4xf32>) -> tensor<4xf32> {
  kernel.return %h : tensor<4xf32>
}
func.func @main(%x: tensor<?x8xf32, #graph.dims<[s0, 8]>> {graph.name = "x"}) -> (tensor<?x4xf32, #graph.dims<[s0, 4]>> {graph.name = "y"}, tensor<i64> {graph.name = "rows"}) attributes {graph.symbols = [#graph.symbol<"batch", 0, 100000>]} {
  %w = graph.use_weight @w : tensor<4x8xf32>
  %b = graph.constant dense<[10.0, 20.0, 30.0, 40.0]> : tensor<4xf32>
  %0 = kernel.call @linear(%x, %w) : (tensor<?x8xf32, #graph.dims<[s0, 8]>>, tensor<4x8xf32>) -> tensor<?x4xf32, #graph.dims<[s0, 4]>>
  %1 = kernel.call @bias(%0, %b) : (tensor<?x4xf32, #graph.dims<[s0, 4]>>, tensor<4xf32>) -> tensor<?x4xf32, #graph.dims<[s0, 4]>>
  %2 = kernel.call @bias(%1, %b) : (tensor<?x4xf32, #graph.dims<[s0, 4]>>, tensor<4xf32>) -> tensor<?x4xf32, #graph.dims<[s0, 4]>>
  %n = graph.size <[s0]> : tensor<i64>
  return %2, %n : tensor<?x4xf32, #graph.dims<[s0, 4]>>, tensor<i64>
}
func.func @recur(%acc: tensor<4xf32> {graph.state = @acc}, %xs: tensor<?x4xf32, #graph.dims<[s0, 4]>> {graph.name = "xs"}) -> (tensor<4xf32> {graph.state = @acc}, tensor<?x4xf32, #graph.dims<[s0, 4]>> {graph.name = "hs"}) attributes {graph.symbols = [#graph.symbol<"steps", 0, 64>]} {
  %a, %hs = graph.scan carry(%acc : tensor<4xf32>) xs(%xs : tensor<?x4xf32, #graph.dims<[s0, 4]>>) captures() -> (tensor<4xf32>, tensor<?x4xf32, #graph.dims<[s0, 4]>>) {
  ^bb0(%h: tensor<4xf32>, %x: tensor<4xf32>):
    %n = kernel.call @step(%h, %x) : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
    graph.yield %n, %n : tensor<4xf32>, tensor<4xf32>
  }
  return %a, %hs : tensor<4xf32>, tensor<?x4xf32, #graph.dims<[s0, 4]>>
}
}
)mlir";

static std::string check(llvm::Expected<std::string> value) {
  if (value)
    return std::move(*value);
  std::fprintf(stderr, "%s\n", llvm::toString(value.takeError()).c_str());
  ++failures;
  return "";
}

/// Compiles the model to `path`; false on failure.
static bool compile(MLIRContext &context, const std::string &path) {
  OwningOpRef<ModuleOp> module = parseSourceString<ModuleOp>(kModel, &context);
  if (!module || failed(buildPlan(*module)))
    return false;
  FailureOr<std::string> host = compileHost(*module);
  if (failed(host))
    return false;
  target::CPUAttr cpu = target::getTarget(*module);
  llvm::StringRef kernels(reinterpret_cast<const char *>(testKernels), testKernelsBytes);
  std::string image = check(linkImage({{"host", *host}, {"kernels", kernels}}, cpu));
  CHECK(!check(linkRelocatable({{"host", *host}, {"kernels", kernels}}, cpu)).empty());
  BundleOptions options;
  options.path = path;
  options.modelName = "test";
  WeightStore weights;
  options.weights = &weights;
  options.variants.push_back({*module, cpu, image});
  options.metadata = {{"license", "none"}};
  if (llvm::Error error = writeBundle(options)) {
    std::fprintf(stderr, "%s\n", llvm::toString(std::move(error)).c_str());
    return false;
  }
  return true;
}

static void testMain(tn_program_t *program, tn_session_t *session, int64_t rows) {
  tn_error_t error = TN_ERROR_INIT;
  std::vector<float> x(rows * 8 + 1), y(rows * 4 + 1, -1);
  for (size_t i = 0; i < x.size(); ++i)
    x[i] = static_cast<float>(std::sin(static_cast<double>(i)));
  int64_t xDims[] = {rows, 8}, yDims[] = {rows, 4}, count = -1;
  tn_tensor_t in{x.data(), xDims, 2, TN_F32}, out[] = {{y.data(), yDims, 2, TN_F32}, {&count, nullptr, 0, TN_I64}};
  uint32_t entry = 0;
  CHECK(tn_entry_find(program, "main", &entry, &error) == TN_OK);
  tn_status_t status = tn_session_call(session, entry, &in, 1, out, 2, &error);
  if (status != TN_OK)
    std::fprintf(stderr, "rows %lld: %s\n", static_cast<long long>(rows), error.message);
  CHECK(status == TN_OK);
  CHECK(count == rows);
  // Rows that repeat the same inputs give the same outputs; sums stay within the weights' bound.
  for (int64_t m = 0; m < rows; ++m)
    for (int n = 0; n < 4; ++n)
      CHECK(std::fabs(y[m * 4 + n] - 20.0f * (n + 1)) <= 8.0f);
}

int main() {
  DialectRegistry registry;
  registerAllDialects(registry);
  MLIRContext context(registry);
  llvm::SmallString<128> folder;
  if (llvm::sys::fs::createUniqueDirectory("tenon-test", folder))
    return 2;
  std::string first = (folder + "/a.tenon").str(), second = (folder + "/b.tenon").str();
  CHECK(compile(context, first));
  {
    DialectRegistry again;
    registerAllDialects(again);
    MLIRContext other(again);
    CHECK(compile(other, second));
  }
  if (failures)
    return 1;
  auto a = llvm::MemoryBuffer::getFile(first), b = llvm::MemoryBuffer::getFile(second);
  CHECK(a && b && (*a)->getBuffer() == (*b)->getBuffer()); // same input, same bytes

  tn_error_t error = TN_ERROR_INIT;
  tn_program_t *program = nullptr;
  tn_session_t *session = nullptr;
  tn_status_t status = tn_program_open(first.c_str(), nullptr, &program, &error);
  if (status == TN_OK)
    status = tn_session_create(program, nullptr, &session, &error);
  if (status != TN_OK) {
    std::fprintf(stderr, "%s\n", error.message);
    return 1;
  }
  for (int64_t rows : {1, 0, 7, 600, 100000})
    testMain(program, session, rows);

  // A kernel's failure comes back with its numbers and the message of the site.
  {
    float x[8];
    for (float &v : x)
      v = -1000;
    float y[4];
    int64_t xDims[] = {1, 8}, yDims[] = {1, 4}, count;
    tn_tensor_t in{x, xDims, 2, TN_F32}, out[] = {{y, yDims, 2, TN_F32}, {&count, nullptr, 0, TN_I64}};
    // One of the four outputs of ± 1000 times the sums of the weights is negative, here or with the sign turned.
    tn_status_t minus = tn_session_call(session, 0, &in, 1, out, 2, &error);
    if (minus == TN_OK) {
      for (float &v : x)
        v = 1000;
      minus = tn_session_call(session, 0, &in, 1, out, 2, &error);
    }
    CHECK(minus == TN_OUT_OF_RANGE);
    CHECK(std::strstr(error.message, "is negative"));
  }

  // The recurrence: h' = 2 h + x from h = 1, twice, the state going on.
  uint32_t recur = 0;
  CHECK(tn_entry_find(program, "recur", &recur, &error) == TN_OK);
  double expected = 1;
  for (int64_t steps : {3, 0, 2}) {
    std::vector<float> xs(steps * 4 + 1, 1.0f), hs(steps * 4 + 1);
    int64_t dims[] = {steps, 4};
    tn_tensor_t in{xs.data(), dims, 2, TN_F32}, out{hs.data(), dims, 2, TN_F32};
    tn_status_t result = tn_session_call(session, recur, &in, 1, &out, 1, &error);
    if (result != TN_OK)
      std::fprintf(stderr, "%s\n", error.message);
    CHECK(result == TN_OK);
    for (int64_t t = 0; t < steps; ++t) {
      expected = 2 * expected + 1;
      for (int i = 0; i < 4; ++i)
        CHECK(hs[t * 4 + i] == expected);
    }
    float state[4];
    CHECK(tn_session_state_read(session, 0, state, sizeof(state), &error) == TN_OK);
    CHECK(state[0] == expected && state[3] == expected);
  }
  tn_session_close(session);
  tn_program_close(program);
  llvm::sys::fs::remove_directories(folder);
  std::printf(failures ? "FAILED\n" : "ok\n");
  return failures != 0;
}
