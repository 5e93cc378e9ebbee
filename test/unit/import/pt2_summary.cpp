// Loads every .pt2 file named on the command line and prints one line about it; `-v` prints inputs, outputs and nodes.
// Exit status: the number of files that do not load, at most 100.
#include "tenon/Import/TorchExport/Pt2Archive.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/raw_ostream.h"
#include <chrono>
#include <set>

using namespace tenon::torch_export;

static std::string shapeOf(const TensorMeta &meta) {
  std::string text = nameOf(meta.dtype).str() + "[";
  for (size_t i = 0; i < meta.sizes.size(); ++i)
    text +=
        (i ? ", " : "") + (meta.sizes[i].isStatic() ? std::to_string(meta.sizes[i].value) : meta.sizes[i].expr->str());
  return text + "]";
}

static void printDetails(const ExportedProgram &p) {
  auto type = [&](const Argument &arg) {
    auto *tensor = arg.getIf<TensorArg>();
    const TensorMeta *meta = tensor ? p.graph.tensor(tensor->name) : nullptr;
    return meta ? shapeOf(*meta) : arg.describe().str();
  };
  for (const InputSpec &input : p.inputs)
    if (!input.userName.empty())
      llvm::outs() << "  in  " << input.userName << ": " << type(input.arg) << "\n";
  for (const OutputSpec &output : p.outputs)
    llvm::outs() << "  out " << (output.userName.empty() ? output.target.str() : output.userName) << ": "
                 << type(output.arg) << "\n";
  for (const auto &[symbol, range] : p.ranges)
    llvm::outs() << "  symbol " << symbol << " in [" << (range.min ? std::to_string(*range.min) : "-oo") << ", "
                 << (range.max ? std::to_string(*range.max) : "oo") << "]\n";
  for (const Node &node : p.graph.nodes)
    llvm::outs() << "  " << node.op() << " -> " << llvm::join(node.resultNames(), ", ") << "  @ " << node.origin.file
                 << ":" << node.origin.line << " " << node.origin.function << "  " << node.origin.modulePath << "\n";
}

/// Sizes that no integer expression can stand for.
static unsigned countUnsupported(const Graph &graph) {
  unsigned count = 0;
  for (const auto &tensor : graph.tensors)
    for (const SymInt &size : tensor.second.sizes)
      count += !size.isStatic() && size.expr->findUnsupported();
  return count;
}

int main(int argc, char **argv) {
  unsigned failures = 0;
  bool isVerbose = false;
  for (llvm::StringRef path : llvm::ArrayRef(argv + 1, argc - 1)) {
    if (path == "-v") {
      isVerbose = true;
      continue;
    }
    auto start = std::chrono::steady_clock::now();
    auto archive = Pt2Archive::open(path, [](const ReadError &e) { llvm::outs() << "error: " << e.str() << "\n"; });
    double ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
    if (!archive) {
      ++failures;
      continue;
    }
    const ExportedProgram &p = archive->program();
    size_t located = llvm::count_if(p.graph.nodes, [](const Node &n) { return !n.origin.file.empty(); });
    size_t inModule = llvm::count_if(p.graph.nodes, [](const Node &n) { return !n.origin.moduleType.empty(); });
    std::set<llvm::StringRef> files;
    for (const auto &weight : p.weights)
      files.insert(weight.second.pathName);
    llvm::outs() << llvm::formatv(
        "{0}: {1} nodes ({2} with file, {3} with module), {4} inputs, {5} outputs, {6} weights "
        "in {7} entries, {8} constants, {9} symbols, {10} unsupported sizes, {11}, {12:f1} ms\n",
        path, p.graph.nodes.size(), located, inModule, p.inputs.size(), p.outputs.size(), p.weights.size(),
        files.size(), p.constants.size(), p.ranges.size(), countUnsupported(p.graph),
        p.isDecomposed ? "decomposed" : "as exported", ms);
    if (isVerbose)
      printDetails(p);
  }
  return failures < 100 ? failures : 100;
}
