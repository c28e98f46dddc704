// What gzip packed, back.
#pragma once

#include <string>

#include "gradstab/status.hpp"

namespace gradstab::lab {

/// The content of gzip data, several members one after the other; anything else as it is. Errors:
/// corrupt_data for what is cut off or damaged.
Result<std::string> unpacked(std::string bytes);

}  // namespace gradstab::lab
