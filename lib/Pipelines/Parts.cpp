#include "Parts.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/NVVM/NVVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/ROCDL/ROCDLToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/ThreadPool.h"

using namespace mlir;
using namespace tenon;

void tenon::forEachPart(unsigned threads, ArrayRef<size_t> sizes, function_ref<void(size_t)> work) {
  if (!threads)
    threads = llvm::hardware_concurrency().compute_thread_count();
  SmallVector<size_t> order = llvm::to_vector(llvm::seq<size_t>(0, sizes.size()));
  if (threads <= 1) {
    llvm::for_each(order, work);
    return;
  }
  llvm::stable_sort(order, [&](size_t a, size_t b) { return sizes[a] > sizes[b]; });
  llvm::DefaultThreadPool pool(llvm::hardware_concurrency(threads));
  for (size_t i : order)
    pool.async([&work, i] { work(i); });
  pool.wait();
}

static size_t countOps(Operation *root) {
  size_t count = 0;
  root->walk([&](Operation *) { ++count; });
  return count;
}

LogicalResult tenon::emitParts(ModuleOp loops, unsigned threads,
                               function_ref<llvm::Expected<std::string>(llvm::Module &)> emit,
                               std::vector<std::pair<std::string, std::string>> &results) {
  SmallVector<OwningOpRef<ModuleOp>> parts;
  SmallVector<std::string> names;
  SmallVector<size_t> sizes;
  llvm::StringMap<size_t> partOf;
  for (auto function : llvm::make_early_inc_range(loops.getOps<LLVM::LLVMFuncOp>())) {
    if (function.isExternal())
      continue;
    OwningOpRef<ModuleOp> part = ModuleOp::create(loops.getLoc());
    partOf[function.getSymName()] = parts.size();
    names.push_back(function.getSymName().str());
    function->moveBefore(part->getBody(), part->getBody()->end());
    sizes.push_back(countOps(*part));
    parts.push_back(std::move(part));
  }
  for (auto global : llvm::make_early_inc_range(loops.getOps<LLVM::GlobalOp>())) {
    auto owner = partOf.find(global.getSymName().rsplit('.').first);
    if (owner != partOf.end())
      global->moveBefore(parts[owner->second]->getBody(), parts[owner->second]->getBody()->begin());
  }
  DialectRegistry registry;
  registerBuiltinDialectTranslation(registry);
  registerLLVMDialectTranslation(registry);
  registerNVVMDialectTranslation(registry);
  registerROCDLDialectTranslation(registry);
  MLIRContext *context = loops.getContext();
  context->appendDialectRegistry(registry);
  context->loadAllAvailableDialects();
  std::vector<std::string> made(parts.size()), errors(parts.size());
  forEachPart(threads, sizes, [&](size_t i) {
    llvm::LLVMContext llvmContext;
    std::unique_ptr<llvm::Module> module = translateModuleToLLVMIR(*parts[i], llvmContext, names[i]);
    if (!module) {
      errors[i] = "cannot be translated to LLVM IR";
      return;
    }
    llvm::Expected<std::string> result = emit(*module);
    if (result)
      made[i] = std::move(*result);
    else
      errors[i] = llvm::toString(result.takeError());
  });
  LogicalResult status = success();
  for (auto [name, error] : llvm::zip(names, errors))
    if (!error.empty())
      status = loops.emitError() << "kernel '" << name << "' " << error;
  for (auto [name, result] : llvm::zip(names, made))
    results.emplace_back(name, std::move(result));
  return status;
}
