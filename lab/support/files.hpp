// The one place where the lab reads and writes files. Only regular files are read, and none that is larger
// than its kind can be; nothing is ever half-written.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "gradstab/status.hpp"
#include "lab/support/descriptor.hpp"
#include "lab/support/file_kinds.hpp"

namespace gradstab::lab {

/// Opens a regular file, or a link to one, for reading. Errors name the path and the operating system's
/// reason. A folder, a pipe, a device or a socket is an io_error and is not opened, so that nothing waits for
/// a writer.
Result<Descriptor> open_file(const std::filesystem::path& path);

/// The file's bytes. Errors: those of open_file; corrupt_data for a file that is larger than its kind or than
/// this machine's memory.
Result<std::string> read_file(const std::filesystem::path& path, const FileKind& kind);

/// The last bytes of the file, `most` at most. Errors: those of open_file.
Result<std::string> read_end_of_file(const std::filesystem::path& path, std::size_t most);

/// Replaces a file as a whole, or makes it. The bytes go to a temporary name beside it, which is synced to
/// disk and renamed: after a crash or a full disk there is either the old file or the new one. An existing
/// file keeps its permissions, and where `path` is a symbolic link, what it points to is replaced or made. A
/// device or a pipe, /dev/stdout included, is written to as it is. An error leaves nothing behind; what a
/// killed writer of the same file left is removed.
Status write_file_atomically(const std::filesystem::path& path, std::string_view bytes);

/// Opens a regular file at its end, or makes it. Errors: those of open_file.
Result<Descriptor> open_for_appending(const std::filesystem::path& path);

/// Writes everything; `path` is named by the error.
Status write_all(const Descriptor& file, const std::filesystem::path& path, std::string_view bytes);

/// The reason behind an errno value: "No such file or directory".
std::string system_error_text(int error_number);

/// "cannot open 'PATH': No such file or directory"
Status io_error(std::string_view doing, const std::filesystem::path& path, int error_number);

/// "'PATH' is a pipe, expected a file", for what has this st_mode.
Status not_a_file(const std::filesystem::path& path, unsigned mode);

/// "512 bytes", "1.5 GiB"
std::string size_text(std::uintmax_t bytes);

}  // namespace gradstab::lab
