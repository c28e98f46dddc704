// Named settings of the reinforcement-learning task.
#pragma once

#include <vector>

#include "lab/train/task_kind.hpp"

namespace gradstab::lab::rl {

/// smoke, cpu, gpu and published, which `gradstab reproduce` has scales of; script and benchmark, as
/// published.
std::vector<Recipe> rl_recipes();

}  // namespace gradstab::lab::rl
