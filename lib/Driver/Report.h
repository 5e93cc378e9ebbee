// How the driver speaks to a person: errors, progress, tables.
#ifndef TENON_LIB_DRIVER_REPORT_H
#define TENON_LIB_DRIVER_REPORT_H

#include "mlir/IR/Diagnostics.h"
#include "tenon/Driver/Commands.h"
#include "llvm/ADT/Twine.h"
#include "llvm/Support/Error.h"
#include <string>
#include <vector>

namespace tenon::driver {

/// Prints "tenon: error: …" and gives `Failed`.
int fail(const llvm::Twine &message);
int fail(llvm::Error error);
void warn(const llvm::Twine &message);

/// One line on a terminal that is overwritten; nothing when stderr is no terminal. Thread-safe.
class Progress {
public:
  explicit Progress(bool enabled);
  ~Progress() { clear(); }
  void show(const llvm::Twine &text, double share);
  /// Takes the line away so that other text can be printed.
  void clear();

private:
  bool enabled, shown = false;
};

/// Prints diagnostics as "tenon: error: FILE:LINE: message" with the line of the source, where it can be read.
class DiagnosticPrinter : public mlir::ScopedDiagnosticHandler {
public:
  /// `file` names the model in diagnostics that have no place of their own.
  DiagnosticPrinter(mlir::MLIRContext *context, std::string file, Progress *progress = nullptr);
  unsigned errors() const { return errorCount; }
  /// How many of them say that something is not supported.
  unsigned unsupported() const { return unsupportedCount; }

private:
  void print(mlir::Diagnostic &diagnostic);

  std::string file;
  Progress *progress;
  unsigned errorCount = 0, unsupportedCount = 0;
};

/// "model.py:12" for a place in the user's code; empty when there is none.
std::string describePlace(mlir::Location location);

/// Columns padded to their widest cell; numbers to the right. The first row is the head.
class Table {
public:
  explicit Table(std::vector<std::string> head) { rows.push_back(std::move(head)); }
  void add(std::vector<std::string> row) { rows.push_back(std::move(row)); }
  bool empty() const { return rows.size() == 1; }
  void print(llvm::raw_ostream &os, unsigned indent = 2) const;

private:
  std::vector<std::vector<std::string>> rows;
};

/// "1.5 MiB".
std::string formatBytes(uint64_t bytes);
/// Four digits: "12.34", "0.5678".
std::string formatNumber(double value);

} // namespace tenon::driver
#endif
