#include "file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <system_error>
#include <utility>

#include "text.hpp"

namespace gradstab::c {
namespace {

Status io_error(const char* doing, const std::string& path, int error_number) {
  return error(StatusCode::io_error, "cannot ", doing, " '", path,
               "': ", std::generic_category().message(error_number));
}

/// An open file that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int number) noexcept : number_(number) {}
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  bool valid() const noexcept { return number_ >= 0; }
  int number() const noexcept { return number_; }
  /// What the system holds back until the end it may say here.
  bool close() noexcept { return ::close(std::exchange(number_, -1)) == 0; }

 private:
  int number_;
};

/// A file name that is unlinked unless it was given away.
class TemporaryName {
 public:
  explicit TemporaryName(std::string path) noexcept : path_(std::move(path)) {}
  ~TemporaryName() {
    if (!path_.empty()) ::unlink(path_.c_str());
  }
  TemporaryName(const TemporaryName&) = delete;
  TemporaryName& operator=(const TemporaryName&) = delete;

  bool rename_to(const std::string& target) noexcept {
    if (::rename(path_.c_str(), target.c_str()) != 0) return false;
    path_.clear();
    return true;
  }

 private:
  std::string path_;
};

bool write_all(int descriptor, std::span<const std::byte> bytes) noexcept {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return true;
}

/// The end of a chain of symbolic links; `path` itself where there is nothing yet.
std::string resolved(const std::string& path) {
  const std::unique_ptr<char, decltype(&std::free)> real(::realpath(path.c_str(), nullptr), &std::free);
  return real ? std::string(real.get()) : path;
}

/// Two threads, or two processes, that write the same file do not write the same temporary one.
std::string temporary_name(const std::string& target) {
  static std::atomic<unsigned> counter = 0;
  return target + ".tmp" + std::to_string(::getpid()) + "." + std::to_string(counter.fetch_add(1));
}

Status write_in_place(const std::string& path, std::span<const std::byte> bytes) {
  Descriptor file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file.valid()) return io_error("open", path, errno);
  if (!write_all(file.number(), bytes) || !file.close()) return io_error("write", path, errno);
  return {};
}

}  // namespace

Result<std::vector<std::byte>> read_file(const std::string& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return io_error("open", path, errno);
  std::vector<std::byte> bytes;
  constexpr std::size_t kChunk = std::size_t{1} << 16;
  for (;;) {
    const std::size_t size = bytes.size();
    bytes.resize(size + kChunk);
    const ssize_t count = ::read(file.number(), bytes.data() + size, kChunk);
    if (count < 0 && errno != EINTR) return io_error("read", path, errno);
    bytes.resize(size + static_cast<std::size_t>(count < 0 ? 0 : count));
    if (count == 0) return bytes;
  }
}

Status replace_file(const std::string& path, std::span<const std::byte> bytes) {
  const std::string target = resolved(path);
  struct stat there {};
  const bool exists = ::stat(target.c_str(), &there) == 0;
  if (exists && !S_ISREG(there.st_mode)) return write_in_place(path, bytes);

  const std::string name = temporary_name(target);
  Descriptor file(::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  if (!file.valid()) return io_error("create", name, errno);
  TemporaryName temporary(name);
  const bool written = (!exists || ::fchmod(file.number(), there.st_mode & 07777) == 0) &&
                       write_all(file.number(), bytes) && ::fsync(file.number()) == 0 && file.close() &&
                       temporary.rename_to(target);
  if (!written) return io_error("write", path, errno);
  return {};
}

}  // namespace gradstab::c
