#include "lab/rl/rl_time.hpp"

#include "lab/rl/environments/environment.hpp"
#include "lab/rl/rl_settings.hpp"

namespace gradstab::lab::rl {
namespace {

/// Measured on one core with the recipe `cpu` and its like.
struct Measured {
  const char* environment;
  double step_seconds;  ///< of one environment, its policy and statistics included
};
constexpr Measured kMeasured[] = {
    {"HalfCheetah-v4", 36e-6}, {"Hopper-v4", 68e-6}, {"Walker2d-v4", 100e-6}, {"Ant-v4", 180e-6}};
constexpr double kUpdateSeconds = 0.22e-3;  // of a minibatch of 64, networks 64 wide
constexpr double kStartSeconds = 0.5;       // loading LibTorch and MuJoCo
constexpr double kEpisodeSteps = 1000.0;

}  // namespace

std::optional<double> rl_core_seconds(const TrainOptions& options) {
  const RlSettings& settings = rl_settings(options);
  const auto name = environment_name(settings.environment);
  if (!name || settings.width > 64 || options.batch > 64) return {};
  for (const Measured& measured : kMeasured) {
    if (*name != measured.environment) continue;
    const std::int64_t in_epoch = updates_per_collect(options);
    const std::int64_t updates = options.epochs > 0 ? options.epochs * in_epoch : options.steps;
    const std::int64_t eval_every = options.eval_every > 0 ? options.eval_every : in_epoch;
    const double collects = static_cast<double>(updates) / static_cast<double>(in_epoch);
    // The random policy is evaluated before the first update.
    const double evaluations = 1.0 + static_cast<double>(updates) / static_cast<double>(eval_every);
    const double steps = collects * static_cast<double>(samples_per_collect(settings)) +
                         evaluations * static_cast<double>(settings.evaluation_episodes) * kEpisodeSteps;
    return kStartSeconds + steps * measured.step_seconds + static_cast<double>(updates) * kUpdateSeconds;
  }
  return {};
}

}  // namespace gradstab::lab::rl
