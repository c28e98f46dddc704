// PPO in MuJoCo environments.
#pragma once

#include <memory>
#include <string>

#include "gradstab/status.hpp"
#include "lab/rl/environments/environment.hpp"
#include "lab/train/task.hpp"
#include "lab/train/task_kind.hpp"

namespace gradstab::lab::rl {

/// PPO in the environment that the settings name. Steps the environments with so many threads as the settings
/// say, and has LibTorch compute with one: its operations are too small to be shared, and results then do not
/// depend on the number of threads. Errors: no such environment, no MuJoCo.
Result<std::unique_ptr<Task>> make_rl_task(const TrainOptions& options,
                                           const PreparationProgress& on_progress);

/// The same in environments like `environment`, whatever the settings name; `engine` says what moves them:
/// "MuJoCo 2.2.2". Throws gradstab::Error where they cannot be stepped.
std::unique_ptr<Task> make_rl_task_in(std::unique_ptr<Environment> environment, const TrainOptions& options,
                                      std::string engine);

}  // namespace gradstab::lab::rl
