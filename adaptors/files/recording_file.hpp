// The file of a recorder: opened where its last whole block ends, and only ever longer by whole blocks.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "descriptor.hpp"
#include "gradstab/recording.hpp"
#include "gradstab/status.hpp"

namespace gradstab::files {

/// What a recording holds that is continued.
struct FoundRecording {
  std::optional<RecordingHeader> header;  ///< the last one
  std::int64_t last_step = 0;             ///< 0 where there is none
};

class RecordingFile {
 public:
  /// Opens or makes it, locks it, and cuts off what is behind the last whole block. Errors leave the file as
  /// it was: what is no recording of this version, no regular file, or somebody else's.
  static Result<RecordingFile> open(std::string path, FoundRecording& found);

  /// Errors: the operating system's, after which the file ends where it ended before; a forked process.
  Status append(std::span<const std::byte> bytes);

  bool is_open() const noexcept { return file_.valid(); }
  const std::string& path() const noexcept { return path_; }
  /// Waits for the disk.
  Status close();

 private:
  RecordingFile(std::string path, Descriptor file);
  Status take_over(FoundRecording& found);

  std::string path_;
  Descriptor file_;
  off_t size_ = 0;
  pid_t process_;
};

}  // namespace gradstab::files
