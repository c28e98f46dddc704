// From the optimizers' settings of the C interface to those of the C++ library.
#pragma once

#include <cstddef>
#include <vector>

#include "gradstab/optimizer.h"
#include "gradstab/optimizer.hpp"
#include "gradstab/status.hpp"
#include "optimizer_structs.hpp"

namespace gradstab::c {

/// Settings of one kind that have been checked; NULL stands for the defaults.
#define GRADSTAB_READ(word, ...) \
  Result<OptimizerOptions> read_optimizer(const gradstab_##word##_options* options);
GRADSTAB_C_OPTIMIZERS(GRADSTAB_READ, GRADSTAB_READ)
#undef GRADSTAB_READ

/// Groups whose settings have been checked, but not which parameters they have.
Result<std::vector<OptimizerGroup>> read_groups(const gradstab_optimizer_group* groups, std::size_t count);

/// With an executor made.
Result<OptimizerRunOptions> read_optimizer_run_options(const gradstab_optimizer_run_options* options);

}  // namespace gradstab::c
