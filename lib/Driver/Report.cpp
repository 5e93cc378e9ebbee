// How the driver speaks to a person: errors, progress, tables.
#include "Report.h"
#include "mlir/IR/Location.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/raw_ostream.h"
#include <cmath>

using namespace mlir;

namespace tenon::driver {

int fail(const llvm::Twine &message) {
  llvm::outs().flush();
  llvm::errs() << "tenon: error: " << message << "\n";
  return Failed;
}

int fail(llvm::Error error) { return fail(llvm::toString(std::move(error))); }

void warn(const llvm::Twine &message) { llvm::errs() << "tenon: warning: " << message << "\n"; }

Progress::Progress(bool enabled) : enabled(enabled && llvm::sys::Process::StandardErrIsDisplayed()) {}

void Progress::show(const llvm::Twine &text, double share) {
  if (!enabled)
    return;
  shown = true;
  llvm::errs() << "\r\033[K" << llvm::format("[%3d%%] ", static_cast<int>(std::lround(share * 100))) << text;
  llvm::errs().flush();
}

void Progress::clear() {
  if (shown)
    llvm::errs() << "\r\033[K";
  shown = false;
}

/// The first place in a file that `location` knows; names it passes are added to `names`.
static FileLineColLoc findPlace(Location location, std::vector<std::string> &names) {
  if (auto place = dyn_cast<FileLineColLoc>(location))
    return place;
  if (auto name = dyn_cast<NameLoc>(location)) {
    names.push_back(name.getName().str());
    return findPlace(name.getChildLoc(), names);
  }
  if (auto call = dyn_cast<CallSiteLoc>(location))
    return findPlace(call.getCallee(), names);
  if (auto fused = dyn_cast<FusedLoc>(location))
    for (Location part : fused.getLocations())
      if (FileLineColLoc place = findPlace(part, names))
        return place;
  return {};
}

/// That line of a text file, empty when it cannot be read.
static std::string readLine(StringRef path, unsigned line) {
  auto buffer = llvm::MemoryBuffer::getFile(path);
  if (!buffer)
    return "";
  StringRef rest = (*buffer)->getBuffer();
  for (unsigned i = 1; i < line && !rest.empty(); ++i)
    rest = rest.split('\n').second;
  StringRef text = rest.split('\n').first.take_front(200).rtrim();
  return llvm::all_of(text, [](char c) { return llvm::isPrint(c) || c == '\t' || (c & 0x80); }) ? text.str() : "";
}

std::string describePlace(Location location) {
  std::vector<std::string> names;
  FileLineColLoc place = findPlace(location, names);
  if (!place || place.getFilename().empty())
    return names.empty() ? "" : names.front();
  return place.getFilename().str() + ":" + std::to_string(place.getLine());
}

DiagnosticPrinter::DiagnosticPrinter(MLIRContext *context, std::string file, Progress *progress)
    : ScopedDiagnosticHandler(context), file(std::move(file)), progress(progress) {
  setHandler([this](Diagnostic &diagnostic) { print(diagnostic); });
}

static StringRef severityName(DiagnosticSeverity severity) {
  switch (severity) {
  case DiagnosticSeverity::Error:
    return "error";
  case DiagnosticSeverity::Warning:
    return "warning";
  case DiagnosticSeverity::Note:
    return "note";
  case DiagnosticSeverity::Remark:
    return "remark";
  }
  return "error";
}

void DiagnosticPrinter::print(Diagnostic &diagnostic) {
  if (progress)
    progress->clear();
  if (diagnostic.getSeverity() == DiagnosticSeverity::Error) {
    ++errorCount;
    std::string message = diagnostic.str();
    unsupportedCount += StringRef(message).contains("not supported") || StringRef(message).contains("unsupported");
  }
  std::vector<std::string> names;
  FileLineColLoc place = findPlace(diagnostic.getLocation(), names);
  std::string text;
  llvm::raw_string_ostream os(text);
  os << (diagnostic.getSeverity() == DiagnosticSeverity::Note ? "  " : "tenon: ")
     << severityName(diagnostic.getSeverity()) << ": ";
  StringRef placeFile = place ? place.getFilename().getValue() : StringRef();
  unsigned line = place ? place.getLine() : 0;
  if (placeFile.empty())
    os << file;
  else
    os << placeFile;
  if (line)
    os << ":" << line;
  if (line && place.getColumn() > 1)
    os << ":" << place.getColumn();
  if (!names.empty())
    os << ": " << names.front();
  os << ": " << diagnostic << "\n";
  if (std::string source = line ? readLine(placeFile, line) : ""; !source.empty()) {
    os << "    " << source << "\n";
    if (unsigned column = place.getColumn(); column > 1 && column <= source.size()) {
      std::string space = source.substr(0, column - 1);
      for (char &c : space)
        c = c == '\t' ? '\t' : ' ';
      os << "    " << space << "^\n";
    }
  }
  llvm::outs().flush();
  llvm::errs() << text;
  for (Diagnostic &note : diagnostic.getNotes())
    print(note);
}

void Table::print(llvm::raw_ostream &os, unsigned indent) const {
  std::vector<size_t> widths;
  for (const auto &row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (auto [i, cell] : llvm::enumerate(row))
      widths[i] = std::max(widths[i], cell.size());
  }
  auto isNumber = [](StringRef cell) { return !cell.empty() && (llvm::isDigit(cell[0]) || cell == "-"); };
  for (const auto &row : rows) {
    std::string line(indent, ' ');
    for (auto [i, cell] : llvm::enumerate(row)) {
      std::string space(widths[i] - cell.size(), ' ');
      line += (isNumber(cell) ? space + cell : cell + space) + "  ";
    }
    os << StringRef(line).rtrim() << "\n";
  }
}

std::string formatNumber(double value) {
  int digits = value == 0 ? 1 : std::clamp(3 - static_cast<int>(std::floor(std::log10(std::fabs(value)))), 0, 9);
  std::string text;
  llvm::raw_string_ostream(text) << llvm::format("%.*f", digits, value);
  return text;
}

std::string formatBytes(uint64_t bytes) {
  static constexpr const char *units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = bytes;
  unsigned unit = 0;
  while (value >= 1024 && unit + 1 < std::size(units))
    value /= 1024, ++unit;
  if (unit == 0)
    return std::to_string(bytes) + " B";
  std::string text;
  llvm::raw_string_ostream(text) << llvm::format(value < 10 ? "%.2f %s" : "%.1f %s", value, units[unit]);
  return text;
}

} // namespace tenon::driver
