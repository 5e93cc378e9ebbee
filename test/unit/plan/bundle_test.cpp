//===- bundle_test.cpp - packing, emitting and linking --------------------===//
#include "mlir/AsmParser/AsmParser.h"
#include "tenon/Bundle/Emit.h"
#include "tenon/Bundle/Link.h"
#include "tenon/Bundle/Pack.h"
#include "tenon/InitAll.h"
#include "llvm/AsmParser/Parser.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/SourceMgr.h"
#include <chrono>
#include <cstdio>
#include <random>

using namespace mlir;
using namespace tenon;

static int failures = 0;
#define CHECK(CONDITION)                                                                                               \
  do {                                                                                                                 \
    if (!(CONDITION)) {                                                                                                \
      std::fprintf(stderr, "%s:%d: check failed: %s\n", __FILE__, __LINE__, #CONDITION);                               \
      ++failures;                                                                                                      \
    }                                                                                                                  \
  } while (0)

/// The layout as its description says, one element at a time.
static std::vector<uint8_t> packSlowly(ArrayRef<uint8_t> source, RankedTensorType type, kernel::LayoutAttr layout) {
  int64_t element = plan::elementBytes(type.getElementType()), rank = type.getRank();
  SmallVector<int64_t> strides(rank, 1);
  for (int64_t d = rank - 2; d >= 0; --d)
    strides[d] = strides[d + 1] * type.getDimSize(d + 1);
  int64_t n = 1, k = 1;
  for (auto [i, d] : llvm::enumerate(layout.getOrder()))
    (static_cast<int64_t>(i) < layout.getN() ? n : k) *= type.getDimSize(d);
  auto sourceIndex = [&](int64_t ni, int64_t ki) {
    int64_t at = 0;
    for (int64_t i = rank - 1; i >= layout.getN(); --i) {
      int64_t d = layout.getOrder()[i];
      at += ki % type.getDimSize(d) * strides[d];
      ki /= type.getDimSize(d);
    }
    for (int64_t i = layout.getN() - 1; i >= 0; --i) {
      int64_t d = layout.getOrder()[i];
      at += ni % type.getDimSize(d) * strides[d];
      ni /= type.getDimSize(d);
    }
    return at;
  };
  std::vector<uint8_t> dest(layout.getBytes(type), 0);
  int64_t width = layout.getWidth(), rows = n / layout.getGroups();
  for (int64_t ni = 0; ni < n; ++ni)
    for (int64_t ki = 0; ki < k; ++ki) {
      int64_t to = ni * k + ki;
      if (width) {
        int64_t group = ni / rows, row = ni % rows, panels = llvm::divideCeil(rows, width);
        to = ((group * panels + row / width) * k + ki) * width + row % width;
      }
      std::copy_n(source.begin() + sourceIndex(ni, ki) * element, element, dest.begin() + to * element);
    }
  return dest;
}

static void testPacking(MLIRContext &context) {
  std::mt19937_64 random(3);
  auto pick = [&](int64_t n) { return static_cast<int64_t>(random() % n); };
  Builder b(&context);
  Type elements[] = {b.getI8Type(), b.getF16Type(), b.getF32Type(), b.getF64Type(), ComplexType::get(b.getF64Type()),
                     b.getI1Type()};
  for (int round = 0; round < 400; ++round) {
    SmallVector<int64_t> shape, order;
    int64_t rank = 1 + pick(4);
    for (int64_t d = 0; d < rank; ++d) {
      shape.push_back(pick(20) == 0 ? 0 : 1 + pick(rank > 2 ? 9 : 70));
      order.push_back(d);
    }
    if (pick(2))
      std::shuffle(order.begin(), order.end(), random);
    int64_t n = pick(rank + 1), groups = 1, width = pick(5) == 0 ? 0 : int64_t(1) << pick(6);
    if (n > 0 && shape[order[0]] > 1 && pick(3) == 0)
      groups = shape[order[0]];
    auto type = RankedTensorType::get(shape, elements[pick(6)]);
    auto layout = kernel::LayoutAttr::get(&context, order, n, groups, width);
    std::vector<uint8_t> source(type.getNumElements() * plan::elementBytes(type.getElementType()));
    for (uint8_t &byte : source)
      byte = random();
    std::vector<uint8_t> dest(layout.getBytes(type), 0xee), want = packSlowly(source, type, layout);
    packConstant(source, type, layout, dest);
    if (type.getNumElements() == 0)
      continue; // nothing that a kernel could read
    CHECK(dest == want);
  }
  // Speed, on what most weights are.
  auto type = RankedTensorType::get({8192, 4096}, b.getF32Type());
  auto layout = kernel::LayoutAttr::get(&context, ArrayRef<int64_t>{0, 1}, 1, 1, 16);
  std::vector<uint8_t> source(type.getNumElements() * 4, 1), dest(source.size());
  auto start = std::chrono::steady_clock::now();
  packConstant(source, type, layout, dest);
  double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::printf("packing: %.2f GB/s\n", static_cast<double>(source.size()) * 1e-9 / seconds);
}

static std::string emit(const char *text, target::CPUAttr cpu) {
  llvm::LLVMContext context;
  llvm::SMDiagnostic diagnostic;
  std::unique_ptr<llvm::Module> module = llvm::parseAssemblyString(text, diagnostic, context);
  CHECK(module);
  llvm::Expected<std::string> object = emitObject(*module, cpu);
  CHECK(object);
  return object ? *object : "";
}

/// The message with which linking fails, or "" when it does not.
static std::string linkError(const char *text, target::CPUAttr cpu) {
  std::string object = emit(text, cpu);
  llvm::Expected<std::string> image = linkImage({{"test", object}}, cpu);
  return image ? "" : llvm::toString(image.takeError());
}

static void testLinking(MLIRContext &context) {
  std::string why;
  for (const char *level : {"x86-64-v2", "x86-64-v3", "x86-64-v4"}) {
    target::CPUAttr cpu = target::lookupCPU(&context, level, why);
    CHECK(cpu);
    // Functions LLVM brings in by itself: all are there.
    std::string message = linkError(R"(
      @tn_image = constant [3 x ptr] [ptr @f, ptr @g, ptr @h]
      define internal void @f(ptr %a, ptr %b, i64 %n) {
        call void @llvm.memcpy.p0.p0.i64(ptr %a, ptr %b, i64 %n, i1 false)
        call void @llvm.memset.p0.i64(ptr %a, i8 1, i64 %n, i1 false)
        call void @llvm.memmove.p0.p0.i64(ptr %a, ptr %b, i64 %n, i1 false)
        ret void
      }
      define internal half @g(float %x, double %y, ptr %p) {
        %a = fptrunc float %x to bfloat
        store bfloat %a, ptr %p
        %q = getelementptr i8, ptr %p, i64 2
        %d = fptrunc double %y to bfloat
        store bfloat %d, ptr %q
        %b = fptrunc double %y to half
        %c = frem float %x, 3.0
        %e = fptrunc float %c to half
        %s = fadd half %b, %e
        ret half %s
      }
      define internal double @h(double %x, float %y) {
        %a = frem double %x, 3.0
        %b = call double @llvm.round.f64(double %a)
        %c = call float @llvm.round.f32(float %y)
        %d = call float @llvm.fma.f32(float %c, float %y, float 1.0)
        %e = fpext float %d to double
        %f = fadd double %b, %e
        ret double %f
      }
      declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
      declare void @llvm.memmove.p0.p0.i64(ptr, ptr, i64, i1)
      declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
      declare double @llvm.round.f64(double)
      declare float @llvm.round.f32(float)
      declare float @llvm.fma.f32(float, float, float)
    )",
                                    cpu);
    if (!message.empty())
      std::fprintf(stderr, "%s: %s\n", level, message.c_str());
    CHECK(message.empty());
  }
  target::CPUAttr cpu = target::lookupCPU(&context, "x86-64-v2", why);
  std::string undefined = linkError(R"(
    @tn_image = constant ptr @f
    define internal float @f(float %x) {
      %a = call float @expf(float %x)
      %b = call float @own_thing(float %a)
      ret float %b
    }
    declare float @expf(float)
    declare float @own_thing(float))",
                                    cpu);
  CHECK(StringRef(undefined).contains("expf") && StringRef(undefined).contains("own_thing")); // all, not the first
  CHECK(!StringRef(undefined).contains("tenon-link"));                                        // no path of this machine
  std::string tls = linkError(R"(
    @tn_image = constant ptr @f
    @t = internal thread_local global i32 1
    define internal ptr @f() { %p = call ptr @llvm.threadlocal.address.p0(ptr @t)
      ret ptr %p }
    declare ptr @llvm.threadlocal.address.p0(ptr))",
                              cpu);
  CHECK(!tls.empty());
  CHECK(StringRef(linkError("define void @f() { ret void }", cpu)).contains("tn_image"));
  CHECK(StringRef(linkError("@tn_image = constant i64 0\n define void @more() { ret void }", cpu)).contains("'more'"));
  CHECK(
      StringRef(
          linkError("@tn_image = constant i64 0\n"
                    "define internal void @init() { store volatile i32 1, ptr inttoptr (i64 4096 to ptr)\n ret void }\n"
                    "@llvm.global_ctors = appending global [1 x { i32, ptr, ptr }] [{ i32, ptr, ptr } { i32 1, "
                    "ptr @init, ptr null }]",
                    cpu))
          .contains("load time"));
  // Features that the file asks of the machine.
  std::vector<std::string> v4 = requiredFeatures(target::lookupCPU(&context, "x86-64-v4", why));
  CHECK(llvm::is_contained(v4, "avx512vl") && llvm::is_contained(v4, "fma"));
  CHECK(!llvm::is_contained(requiredFeatures(cpu), "avx"));
}

int main() {
  DialectRegistry registry;
  registerAllDialects(registry);
  MLIRContext context(registry);
  context.loadAllAvailableDialects();
  testPacking(context);
  testLinking(context);
  std::printf(failures ? "FAILED\n" : "ok\n");
  return failures != 0;
}
