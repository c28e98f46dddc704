// What stands behind the name of a file to be written.
#pragma once

#include <sys/stat.h>

#include <filesystem>

#include "gradstab/status.hpp"
#include "lab/support/descriptor.hpp"

namespace gradstab::lab {

/// The end of a chain of symbolic links.
struct Destination {
  std::filesystem::path given;  ///< the name that the links begin with
  std::filesystem::path path;   ///< what can be renamed to; there need not be anything yet
  bool exists = false;
  mode_t mode = 0;            ///< of what exists
  bool is_open_file = false;  ///< `path` is an entry of /proc/PID/fd, such as /dev/stdout points to

  /// Whether it must be written to as it is: a device, a pipe, an open file.
  bool in_place() const noexcept { return is_open_file || (exists && !S_ISREG(mode)); }

  /// Opens what is written to as it is. An open file of this process shares its position with this one, so
  /// that what is printed later comes after. Waits for the reader of a pipe.
  Result<Descriptor> open() const;
};

/// Follows the links of `path`. Errors: a chain of links that does not end, a folder that cannot be searched.
Result<Destination> destination_of(const std::filesystem::path& path);

}  // namespace gradstab::lab
