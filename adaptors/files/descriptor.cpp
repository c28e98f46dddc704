#include "descriptor.hpp"

#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "text.hpp"

namespace gradstab::files {

Status io_error(const char* doing, const std::string& path, int error_number) {
  return error(StatusCode::io_error, "cannot ", doing, " '", path,
               "': ", std::generic_category().message(error_number));
}

Descriptor::~Descriptor() {
  if (number_ >= 0) ::close(number_);
}

bool Descriptor::close() noexcept {
  return ::close(std::exchange(number_, -1)) == 0;
}

bool write_all(int descriptor, std::span<const std::byte> bytes) noexcept {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return true;
}

std::ptrdiff_t read_some(int descriptor, std::span<std::byte> bytes) noexcept {
  std::size_t filled = 0;
  while (filled < bytes.size()) {
    const ssize_t count = ::read(descriptor, bytes.data() + filled, bytes.size() - filled);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return -1;
    if (count == 0) break;
    filled += static_cast<std::size_t>(count);
  }
  return static_cast<std::ptrdiff_t>(filled);
}

}  // namespace gradstab::files
