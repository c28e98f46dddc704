// Whole files, read and replaced.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "gradstab/status.hpp"

namespace gradstab::files {

/// The state in a file, or what a pipe brings until it ends; of something that is no state, the beginning. A
/// device or a socket is refused. Errors name the file and say what the operating system said.
Result<std::vector<std::byte>> read_file(const std::string& path);

/// Replaces a file as a whole, or makes it: whoever opens it, at any time, finds the old bytes or the new
/// ones. A file that is there keeps its permissions; where `path` is a symbolic link, what it points to is
/// replaced or made. What is neither a file nor missing, a pipe for example, is written to as it is. Errors
/// leave an existing file as it was and nothing else behind; what a killed writer of the same file has left
/// is removed.
Status replace_file(const std::string& path, std::span<const std::byte> bytes);

}  // namespace gradstab::files
