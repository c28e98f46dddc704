#include "lab/support/byte_stream.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "lab/support/files.hpp"

namespace gradstab::lab {

Result<std::size_t> FileStream::read(std::span<char> buffer) {
  for (;;) {
    const ssize_t count = ::read(file_.number(), buffer.data(), buffer.size());
    if (count >= 0) return static_cast<std::size_t>(count);
    if (errno != EINTR) return io_error("read", path_, errno);
  }
}

Result<std::size_t> MemoryStream::read(std::span<char> buffer) {
  const std::size_t count = std::min(buffer.size(), bytes_.size());
  std::copy_n(bytes_.data(), count, buffer.data());
  bytes_.remove_prefix(count);
  return count;
}

}  // namespace gradstab::lab
