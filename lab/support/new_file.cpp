#include "lab/support/new_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <utility>

#include "lab/support/destination.hpp"
#include "lab/support/file_lock.hpp"
#include "lab/support/files.hpp"

namespace gradstab::lab {
namespace {

constexpr std::size_t kBufferBytes = 1 << 20;
constexpr std::string_view kMark = ".tmp";  // NAME.tmpPID-NUMBER

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

std::filesystem::path temporary_name(const std::filesystem::path& target) {
  static std::atomic<unsigned> counter = 0;
  std::filesystem::path name = target;
  name += fmt::format("{}{}-{}", kMark, ::getpid(), counter.fetch_add(1));
  return name;
}

/// The name without ".tmpPID" or ".tmpPID-NUMBER"; empty where it ends in neither. Versions before 0.2 wrote
/// the shorter one.
std::string_view without_mark(std::string_view name) {
  const std::size_t mark = name.rfind(kMark);
  if (mark == std::string_view::npos || mark == 0) return {};
  std::string_view rest = name.substr(mark + kMark.size());
  const auto skip_digits = [&rest] {
    const std::size_t before = rest.size();
    while (!rest.empty() && is_digit(rest.front())) rest.remove_prefix(1);
    return rest.size() < before;
  };
  if (!skip_digits()) return {};
  if (!rest.empty() && (rest.front() != '-' || (rest.remove_prefix(1), !skip_digits()))) return {};
  return rest.empty() ? name.substr(0, mark) : std::string_view();
}

/// Whether the name still leads to the open file.
bool is_name_of(const std::filesystem::path& name, const Descriptor& file) {
  struct stat named {};
  struct stat open {};
  return ::lstat(name.c_str(), &named) == 0 && ::fstat(file.number(), &open) == 0 &&
         named.st_dev == open.st_dev && named.st_ino == open.st_ino;
}

}  // namespace

Result<NewFile> NewFile::create(const std::filesystem::path& target) {
  const auto destination = destination_of(target);
  if (!destination) return destination.status();
  if (destination->in_place()) return not_a_file(target, destination->mode);
  constexpr int kMostTries = 100;
  for (int tries = 0; tries < kMostTries; ++tries) {
    std::filesystem::path name = temporary_name(destination->path);
    Descriptor file(::open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
    if (!file.valid() && errno == EEXIST) continue;  // left by another process that had this number
    if (!file.valid()) return io_error("create", name, errno);
    // Whoever removes what killed writers left may have come first.
    if (try_lock(file.number()) == LockOutcome::busy || !is_name_of(name, file)) continue;
    NewFile made(destination->path, std::move(name), std::move(file));
    constexpr mode_t kPermissions = 0777;
    if (destination->exists && ::fchmod(made.descriptor(), destination->mode & kPermissions) != 0)
      return io_error("write", target, errno);
    return made;
  }
  return io_error("create", temporary_name(destination->path), EEXIST);
}

NewFile::~NewFile() {
  if (file_.valid() && !temporary_.empty()) ::unlink(temporary_.c_str());
}

Status NewFile::write(std::string_view bytes) {
  if (buffer_.size() + bytes.size() < kBufferBytes) {
    buffer_.append(bytes);
    return {};
  }
  GRADSTAB_RETURN_IF_ERROR(flush());
  return write_all(file_, target_, bytes);
}

Status NewFile::flush() {
  GRADSTAB_RETURN_IF_ERROR(write_all(file_, target_, buffer_));
  buffer_.clear();
  return {};
}

Status NewFile::commit() {
  GRADSTAB_RETURN_IF_ERROR(flush());
  if (::fsync(file_.number()) != 0) return io_error("write", target_, errno);
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) return io_error("write", target_, errno);
  temporary_.clear();
  return file_.close() ? Status() : io_error("write", target_, errno);
}

void remove_abandoned_files(const std::filesystem::path& folder, std::string_view name) {
  std::error_code ignored;
  const std::filesystem::path place = folder.empty() ? "." : folder;
  auto entry = std::filesystem::directory_iterator(place, ignored);
  for (; entry != std::filesystem::directory_iterator(); entry.increment(ignored)) {
    const std::filesystem::path path = entry->path();
    const std::string found = path.filename().string();
    const std::string_view of = without_mark(found);
    if (of.empty() || (!name.empty() && of != name)) continue;
    struct stat info {};
    if (::lstat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) continue;
    const Descriptor file(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (!file.valid() || try_lock(file.number()) != LockOutcome::taken || !is_name_of(path, file)) continue;
    ::unlink(path.c_str());
  }
}

}  // namespace gradstab::lab
