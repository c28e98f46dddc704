// What gzip packed, back.
#pragma once

#include <cstdint>
#include <string>

#include "gradstab/status.hpp"

namespace gradstab::lab {

/// The content of gzip data, several members one after the other; anything else as it is. Errors:
/// corrupt_data for what is cut off or damaged, and for more than `most` bytes, of which no more are
/// unpacked.
Result<std::string> unpacked(std::string bytes, std::uintmax_t most);

}  // namespace gradstab::lab
