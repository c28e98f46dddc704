// Settings of language-model runs by name.
#pragma once

#include <vector>

#include "lab/train/task_kind.hpp"

namespace gradstab::lab {

/// smoke, cpu, gpu and published: model, data, batch and length. The scales of a reproduction are these, with
/// lengths of their own.
std::vector<Recipe> llm_recipes();

}  // namespace gradstab::lab
