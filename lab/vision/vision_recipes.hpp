// Named settings of the vision task.
#pragma once

#include <vector>

#include "lab/train/task_kind.hpp"

namespace gradstab::lab::vision {

/// smoke, cpu, gpu and published, which are ViTs, a small model of each kind for a CPU, and vit-b16,
/// convnext-t and resnet50 as torchvision's references train them.
std::vector<Recipe> vision_recipes();

}  // namespace gradstab::lab::vision
