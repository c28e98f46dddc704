// Named parameters of the C interface to those of the C++ library.
#pragma once

#include <cstddef>

#include "gradstab/gradstab.h"
#include "gradstab/status.hpp"
#include "gradstab/tensor.hpp"

namespace gradstab::c {

/// Checked; everything is copied.
Result<ParameterSet> read_parameters(const gradstab_parameter* parameters, std::size_t count);

}  // namespace gradstab::c
