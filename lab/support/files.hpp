// Whole-file reading and writing where nothing is ever half-written.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "gradstab/status.hpp"

namespace gradstab::lab {

/// The file's bytes. Errors name the path and the operating system's reason.
Result<std::string> read_file(const std::filesystem::path& path);

/// Writes to a temporary name beside `path`, syncs it to disk and renames it over `path`: after a crash or a
/// full disk there is either the old file or the new one. The temporary file is removed on failure.
Status write_file_atomically(const std::filesystem::path& path, std::string_view bytes);

/// The reason behind an errno value: "No such file or directory".
std::string system_error_text(int error_number);

}  // namespace gradstab::lab
