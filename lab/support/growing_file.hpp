// A file that another process is writing, read as it grows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "gradstab/status.hpp"

namespace gradstab::lab {

/// What tells whether a file is still the one that was looked at before, and has not been written to since.
struct FileStamp {
  std::uint64_t device = 0, number = 0;  ///< the number is the inode's
  std::uintmax_t bytes = 0;
  std::int64_t changed = 0;  ///< nanoseconds since 1970

  bool operator==(const FileStamp&) const = default;
};

/// Of a regular file, or of what a link to one leads to. Nothing where there is none.
std::optional<FileStamp> stamp_of(const std::filesystem::path& path);

/// Reads every byte of a growing file once.
class GrowingFile {
 public:
  explicit GrowingFile(std::filesystem::path path) : path_(std::move(path)) {}

  struct Piece {
    /// The file was replaced, cut, or written anew: what was read before is no longer in it, and `bytes` are
    /// from its front.
    bool anew = false;
    std::string bytes;
  };

  /// The bytes that have not been read, `most` at most. None where there are no new ones, which costs one
  /// call of the system. Errors: those of open_file, also where the file has gone.
  Result<Piece> read(std::size_t most);

  /// Bytes that have been read, and that there were when it was last looked at.
  std::uintmax_t position() const noexcept { return position_; }
  std::uintmax_t size() const noexcept { return stamp_.bytes; }
  bool at_end() const noexcept { return position_ >= stamp_.bytes; }

 private:
  std::filesystem::path path_;
  FileStamp stamp_;
  std::uintmax_t position_ = 0;
  std::string mark_;  // the bytes before the position: they tell an overwritten file from a longer one
};

}  // namespace gradstab::lab
