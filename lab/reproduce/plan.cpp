#include "lab/reproduce/plan.hpp"

#include <fmt/format.h>

#include <utility>

namespace gradstab::lab {
namespace {

std::string run_name(const Part& part, const Context& context, const Arm& arm, int seed) {
  std::string name = part.name;
  for (const auto& [key, value] : context.coordinates) name += fmt::format(",{}={}", key, value);
  return name + fmt::format(",{},seed={}", arm.name, seed);
}

Result<PlannedRun> planned_run(const Plan& plan, const Settings& common, PlannedRun run) {
  const Part& part = plan.parts[run.part];
  Settings settings = joined(part.base, part.contexts[run.context].settings);
  settings = joined(joined(std::move(settings), part.arms[run.arm].settings), common);
  settings.emplace_back("seed", std::to_string(run.seed));
  run.point.name = run_name(part, part.contexts[run.context], part.arms[run.arm], run.seed);
  run.point.settings = part.contexts[run.context].coordinates;
  run.point.settings.emplace_back("method", part.arms[run.arm].name);
  run.point.settings.emplace_back("seed", std::to_string(run.seed));
  auto options = with_settings(TrainOptions(), settings);
  if (!options) {
    return Status(options.status().code(),
                  fmt::format("run '{}': {}", run.point.name, options.status().message()));
  }
  // What is resumed is a whole run, not a step of one: checkpoints would cost more than they save.
  options->checkpoint_every = options->steps;
  run.point.options = *std::move(options);
  return run;
}

}  // namespace

Result<std::vector<PlannedRun>> planned_runs(const Plan& plan, const Settings& common) {
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
          auto run = planned_run(plan, common, std::move(place));
          if (!run) return run.status();
          runs.push_back(*std::move(run));
        }
      }
    }
  }
  return runs;
}

std::optional<double> expected_seconds(const std::vector<PlannedRun>& runs, unsigned cores) {
  constexpr double kTokensPerSecond = 13900.0;  // of the 1m model on bytes, fp32, one core
  constexpr double kStartSeconds = 1.5;         // loading LibTorch and the corpus
  double seconds = 0.0;
  for (const PlannedRun& run : runs) {
    const TrainOptions& options = run.point.options;
    if (options.model != "1m" || options.tokenizer != "bytes") return {};
    const double slower = options.precision == "bf16"   ? 1.13
                          : options.precision == "fp16" ? 1.39
                          : options.precision == "fp32" ? 1.0
                                                        : 1.10;
    const auto batch = static_cast<double>(options.batch * options.context);
    constexpr double kBlocksOfTheSize = 5.0;
    const double deeper = options.layers > 0 ? static_cast<double>(options.layers) / kBlocksOfTheSize : 1.0;
    // An evaluated batch has no backward pass, which is two thirds of an update.
    const std::int64_t evaluations = options.steps / options.eval_every;
    const double evaluated =
        static_cast<double>(evaluations * options.eval_batches + options.final_eval_batches) / 3.0;
    const double updates = static_cast<double>(options.steps * options.accumulation) + evaluated;
    seconds += kStartSeconds + slower * deeper * updates * batch / kTokensPerSecond;
  }
  return seconds / cores;
}

}  // namespace gradstab::lab
