#include "lab/reproduce/plan.hpp"

#include <fmt/format.h>

#include <utility>

#include "lab/tasks.hpp"

namespace gradstab::lab {
namespace {

std::string run_name(const Part& part, const Context& context, const Arm& arm, int seed) {
  std::string name = part.name;
  for (const auto& [key, value] : context.coordinates) name += fmt::format(",{}={}", key, value);
  return name + fmt::format(",{},seed={}", arm.name, seed);
}

Result<PlannedRun> planned_run(const Plan& plan, const TaskKind& kind, const Settings& common,
                               PlannedRun run) {
  const Part& part = plan.parts[run.part];
  Settings settings = joined(part.base, part.contexts[run.context].settings);
  settings = joined(joined(std::move(settings), part.arms[run.arm].settings), common);
  settings.emplace_back("seed", std::to_string(run.seed));
  run.point.name = run_name(part, part.contexts[run.context], part.arms[run.arm], run.seed);
  run.point.settings = part.contexts[run.context].coordinates;
  run.point.settings.emplace_back("method", part.arms[run.arm].name);
  run.point.settings.emplace_back("seed", std::to_string(run.seed));
  auto options = with_settings(default_options(kind), settings);
  if (!options) {
    return Status(options.status().code(),
                  fmt::format("run '{}': {}", run.point.name, options.status().message()));
  }
  // Of short runs a whole one is resumed, not a step of it: checkpoints would cost more than they save. Those
  // of epochs have one after each.
  options->checkpoint_every = options->epochs > 0 ? 0 : options->steps;
  run.point.options = *std::move(options);
  return run;
}

}  // namespace

Result<std::vector<PlannedRun>> planned_runs(const Plan& plan, const Settings& common) {
  const auto kind = task_named(plan.task);
  if (!kind) return kind.status();
  std::vector<PlannedRun> runs;
  for (std::size_t part = 0; part < plan.parts.size(); ++part) {
    for (int seed = 0; seed < plan.seeds; ++seed) {
      for (std::size_t context = 0; context < plan.parts[part].contexts.size(); ++context) {
        for (std::size_t arm = 0; arm < plan.parts[part].arms.size(); ++arm) {
          PlannedRun place;
          place.part = part;
          place.arm = arm;
          place.context = context;
          place.seed = seed;
          auto run = planned_run(plan, **kind, common, std::move(place));
          if (!run) return run.status();
          runs.push_back(*std::move(run));
        }
      }
    }
  }
  return runs;
}

std::optional<double> expected_seconds(const std::vector<PlannedRun>& runs, unsigned cores) {
  double seconds = 0.0;
  for (const PlannedRun& run : runs) {
    const auto of_run = run.point.options.kind->core_seconds(run.point.options);
    if (!of_run) return {};
    seconds += *of_run;
  }
  return seconds / cores;
}

std::optional<double> estimated_device_seconds(const std::vector<PlannedRun>& runs, int jobs) {
  // Jobs share the device, of which their tasks know.
  double seconds = 0.0;
  for (const PlannedRun& run : runs) {
    const auto of_run = run.point.options.kind->device_seconds(run.point.options, jobs);
    if (!of_run) return {};
    seconds += *of_run;
  }
  return seconds;
}

}  // namespace gradstab::lab
