// The reinforcement-learning task as the list of tasks knows it. No torch.
#pragma once

#include "lab/train/task_kind.hpp"

namespace gradstab::lab::rl {

/// Lives as long as the program.
const TaskKind& rl_kind();

}  // namespace gradstab::lab::rl
