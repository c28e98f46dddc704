#include "lab/support/growing_file.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "lab/support/files.hpp"

namespace gradstab::lab {
namespace {

/// Several lines of most logs: the last one alone may be the same in another run.
constexpr std::size_t kMarkBytes = 2048;
constexpr std::int64_t kNanoseconds = 1'000'000'000;

FileStamp stamp_from(const struct stat& info) {
  return {.device = info.st_dev,
          .number = info.st_ino,
          .bytes = static_cast<std::uintmax_t>(info.st_size),
          .changed = info.st_mtim.tv_sec * kNanoseconds + info.st_mtim.tv_nsec};
}

/// Fewer than `most` where the file ends before.
Result<std::string> read_at(const Descriptor& file, const std::filesystem::path& path, std::uintmax_t begin,
                            std::size_t most) {
  std::string bytes(most, '\0');
  std::size_t filled = 0;
  while (filled < most) {
    const ssize_t count = ::pread(file.number(), bytes.data() + filled, most - filled,
                                  static_cast<off_t>(begin) + static_cast<off_t>(filled));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return io_error("read", path, errno);
    if (count == 0) break;
    filled += static_cast<std::size_t>(count);
  }
  bytes.resize(filled);
  return bytes;
}

}  // namespace

std::optional<FileStamp> stamp_of(const std::filesystem::path& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return std::nullopt;
  return stamp_from(info);
}

Result<GrowingFile::Piece> GrowingFile::read(std::size_t most) {
  const auto named = stamp_of(path_);
  if (named && *named == stamp_ && at_end()) return Piece{};
  const auto file = open_file(path_);
  if (!file) return file.status();
  struct stat info {};
  if (::fstat(file->number(), &info) != 0) return io_error("read", path_, errno);
  const FileStamp found = stamp_from(info);
  Piece piece;
  piece.anew = position_ > 0 &&
               (found.device != stamp_.device || found.number != stamp_.number || found.bytes < position_);
  if (!piece.anew && !mark_.empty() && found != stamp_) {
    const auto before = read_at(*file, path_, position_ - mark_.size(), mark_.size());
    if (!before) return before.status();
    piece.anew = *before != mark_;
  }
  if (piece.anew) {
    position_ = 0;
    mark_.clear();
  }
  stamp_ = found;
  const std::uintmax_t left = found.bytes - std::min(position_, found.bytes);
  auto bytes =
      read_at(*file, path_, position_, static_cast<std::size_t>(std::min<std::uintmax_t>(left, most)));
  if (!bytes) return bytes.status();
  piece.bytes = *std::move(bytes);
  position_ += piece.bytes.size();
  if (piece.bytes.size() >= kMarkBytes) mark_.clear();
  mark_ += piece.bytes.substr(piece.bytes.size() - std::min(piece.bytes.size(), kMarkBytes));
  if (mark_.size() > kMarkBytes) mark_.erase(0, mark_.size() - kMarkBytes);
  return piece;
}

}  // namespace gradstab::lab
