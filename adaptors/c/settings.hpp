// From the settings of the C interface to those of the C++ library.
#pragma once

#include <cstdint>
#include <string_view>

#include "gradstab/gradstab.h"
#include "gradstab/options.hpp"
#include "gradstab/status.hpp"
#include "gradstab/transform.hpp"

namespace gradstab::c {

/// Settings that have been checked; NULL stands for the defaults.
Result<StabilizerOptions> read_options(const gradstab_stabilizer_options* options);
Result<Units> read_units(const gradstab_units* units);

/// With an executor made: a pool, or the caller's own.
Result<RunOptions> read_run_options(const gradstab_run_options* options);

/// Whether a field named `reserved` of this struct is 0.
Status check_reserved(std::string_view where, std::int64_t value);

/// A yes or no.
Result<bool> read_flag(std::string_view name, std::int32_t value);

}  // namespace gradstab::c
