// The obvious optimizer update: one element at a time, in double.
#pragma once

#include "gradstab/backend.hpp"

namespace gradstab {

/// See Backend::update.
void reference_update(const UpdateBlock& block, const UpdateScalars& scalars) noexcept;

}  // namespace gradstab
