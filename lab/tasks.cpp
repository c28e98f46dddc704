// The tasks of gradstab, a line each. Compiled into every program by itself: the one without LibTorch gets
// the same list without what makes a task.
#include "lab/tasks.hpp"

#include "lab/forecast/forecast_kind.hpp"
#include "lab/llm/llm_kind.hpp"
#include "lab/rl/rl_kind.hpp"
#include "lab/vision/vision_kind.hpp"
#ifdef GRADSTAB_TASKS_WITH_TORCH
#include "lab/forecast/forecast_task.hpp"
#include "lab/llm/llm_task.hpp"
#include "lab/rl/rl_task.hpp"
#include "lab/vision/vision_task.hpp"
#define GRADSTAB_MAKES(function) function
#else
#define GRADSTAB_MAKES(function) nullptr
#endif

namespace gradstab::lab {

std::span<const TaskEntry> all_tasks() {
  static const TaskEntry tasks[] = {
      {&llm_kind(), GRADSTAB_MAKES(make_llm_task)},
      {&forecast::forecast_kind(), GRADSTAB_MAKES(forecast::make_forecast_task)},
      {&vision::vision_kind(), GRADSTAB_MAKES(vision::make_vision_task)},
      {&rl::rl_kind(), GRADSTAB_MAKES(rl::make_rl_task)},
  };
  return tasks;
}

}  // namespace gradstab::lab
