// The backends of this build, one object each.
#pragma once

#include "gradstab/backend.hpp"

namespace gradstab {

/// Plain loops in double over one element at a time: the oracle for every other backend.
const Backend& reference_backend() noexcept;

}  // namespace gradstab
