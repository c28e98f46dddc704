// From the optimizers' settings of the C interface to those of the C++ library.
#pragma once

#include <cstddef>
#include <vector>

#include "gradstab/optimizer.h"
#include "gradstab/optimizer.hpp"
#include "gradstab/status.hpp"

namespace gradstab::c {

/// Settings that have been checked; NULL stands for the defaults.
Result<OptimizerOptions> read_sgd(const gradstab_sgd_options* options);
Result<OptimizerOptions> read_adam(const gradstab_adam_options* options);
Result<OptimizerOptions> read_lion(const gradstab_lion_options* options);
Result<OptimizerOptions> read_adam_mini(const gradstab_adam_mini_options* options);
Result<OptimizerOptions> read_spam(const gradstab_spam_options* options);

/// Groups whose settings have been checked, but not which parameters they have.
Result<std::vector<OptimizerGroup>> read_groups(const gradstab_optimizer_group* groups, std::size_t count);

/// With an executor made.
Result<OptimizerRunOptions> read_optimizer_run_options(const gradstab_optimizer_run_options* options);

}  // namespace gradstab::c
