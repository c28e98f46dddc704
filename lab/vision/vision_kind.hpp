// The vision task as the list of tasks knows it. No torch.
#pragma once

#include "lab/train/task_kind.hpp"

namespace gradstab::lab::vision {

/// Lives as long as the program.
const TaskKind& vision_kind();

}  // namespace gradstab::lab::vision
