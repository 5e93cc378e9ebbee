//===- tenon-import.cpp - a .pt2 file as graph IR -------------------------===//
// Exit status: 0, 1 for a file that is wrong, 3 for a model that uses what is not supported.
#include "mlir/Bytecode/BytecodeWriter.h"
#include "tenon/Import/TorchExport/Importer.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/ToolOutputFile.h"

namespace cl = llvm::cl;

static cl::opt<std::string> inputFile(cl::Positional, cl::Required, cl::desc("<model.pt2>"));
static cl::opt<std::string> outputFile("o", cl::desc("output file"), cl::init("-"));
static cl::opt<std::string> entry("entry", cl::desc("name of the function that is made"), cl::init("main"));
static cl::opt<std::string> model("model", cl::desc("which program, for files that hold several"));
static cl::opt<bool> printLocations("locations", cl::desc("print source locations"));
static cl::opt<bool> checkOnly("check", cl::desc("write nothing"));

int main(int argc, char **argv) {
  cl::ParseCommandLineOptions(argc, argv, "tenon's importer of exported PyTorch programs\n");
  mlir::MLIRContext context;
  llvm::SourceMgr sources;
  mlir::SourceMgrDiagnosticHandler handler(sources, &context);
  tenon::torch_export::ImportOptions options;
  options.entry = entry;
  options.model = model;
  tenon::torch_export::ImportReport report;
  auto module = tenon::torch_export::importTorchExport(inputFile, &context, options, &report);
  if (failed(module))
    return report.unsupported.empty() ? 1 : 3;
  if (checkOnly)
    return 0;
  std::error_code error;
  llvm::ToolOutputFile output(outputFile, error, llvm::sys::fs::OF_None);
  if (error) {
    llvm::errs() << "cannot write " << outputFile << ": " << error.message() << "\n";
    return 1;
  }
  mlir::OpPrintingFlags flags;
  flags.enableDebugInfo(printLocations);
  (*module)->print(output.os(), flags);
  output.keep();
  return 0;
}
