// Mapping a file read-only; what is in it is no concern of this file.
#include "tenon/Import/Common/MappedFile.h"
#include <limits>

using namespace llvm;

namespace tenon {

Expected<std::shared_ptr<const MappedFile>> MappedFile::open(StringRef path) {
  Expected<sys::fs::file_t> file = sys::fs::openNativeFileForRead(path);
  if (!file)
    return file.takeError();
  auto result = std::make_shared<MappedFile>();
  result->filePath = path.str();
  sys::fs::file_status status;
  std::error_code ec = sys::fs::status(*file, status);
  if (!ec && status.type() != sys::fs::file_type::regular_file)
    ec = std::make_error_code(status.type() == sys::fs::file_type::directory_file ? std::errc::is_a_directory
                                                                                  : std::errc::invalid_argument);
  if (!ec && status.getSize() > std::numeric_limits<size_t>::max())
    ec = std::make_error_code(std::errc::file_too_large);
  if (!ec && status.getSize() > 0)
    result->region = sys::fs::mapped_file_region(*file, sys::fs::mapped_file_region::readonly, status.getSize(), 0, ec);
  sys::fs::closeFile(*file);
  if (ec)
    return errorCodeToError(ec);
  return result;
}

ArrayRef<uint8_t> MappedFile::bytes() const {
  if (!region)
    return {};
  return {reinterpret_cast<const uint8_t *>(region.const_data()), region.size()};
}

} // namespace tenon
