// A trained policy without torch: what acts in films, animations and roll-outs of a checkpoint.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "gradstab/status.hpp"
#include "lab/rl/environments/environment.hpp"

namespace gradstab::lab {
struct Checkpoint;
}

namespace gradstab::lab::rl {

/// y = W x + b; `weight` is [outputs, inputs], row-major.
struct LinearLayer {
  int inputs = 0, outputs = 0;
  std::vector<float> weight, bias;
};

/// A diagonal Gaussian whose mean is a network with tanh between its layers, over observations that are
/// normalized by running moments: clip((x - mean) / sqrt(variance + 1.1920929e-07), -10, 10).
struct Policy {
  std::string environment;             ///< name of the one it was trained in
  std::vector<double> mean, variance;  ///< of observations, one number for each element
  std::vector<LinearLayer> layers;     ///< the last gives the mean of the actions
  std::vector<float> log_deviation;    ///< of each action element

  /// Errors name what does not fit: layers to each other, to the moments, to `info`.
  Status check(const EnvironmentInfo& info) const;

  /// The mean action for `observation`, clipped to [-1, 1] as the environment sees it.
  void act(std::span<const double> observation, std::span<double> action) const;
  /// A sample instead of the mean; its noise is a function of `key` and of the step's number.
  void sample(std::span<const double> observation, const EpisodeKey& key, std::int64_t step,
              std::span<double> action) const;
};

// Names in a checkpoint, behind kWeightPrefix and kTaskPrefix of the trainer.
inline constexpr const char* kActorPrefix = "actor.";        ///< then "0.weight", "0.bias", "2.weight", ...
inline constexpr const char* kLogDeviationName = "log_std";  ///< [actions]
inline constexpr const char* kObservationMeanName = "observation_mean";          ///< float64 [observation]
inline constexpr const char* kObservationVarianceName = "observation_variance";  ///< float64 [observation]
/// Of the settings in the header: the environment's name.
inline constexpr const char* kEnvironmentKey = "environment";

/// The policy in a checkpoint of the task `rl`. corrupt_data, naming what is missing or does not fit;
/// invalid_argument for a checkpoint of another task.
Result<Policy> policy_of(const Checkpoint& checkpoint, const std::string& name);
Result<Policy> read_policy(const std::filesystem::path& checkpoint);

}  // namespace gradstab::lab::rl
