// Files inside a ZIP archive that are stored as they are.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "gradstab/status.hpp"

namespace gradstab::lab {

/// The content of every file that is not compressed, by its name; views into `archive`. Compressed ones are
/// left out. Archives beyond 4 GB (ZIP64) are read, those in several parts are not. corrupt_data for what is
/// no such archive, and for any size or offset that does not fit. Checksums are not looked at.
Result<std::map<std::string, std::string_view>> stored_files_of_zip(std::string_view archive);

}  // namespace gradstab::lab
