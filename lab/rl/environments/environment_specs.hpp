// What each environment is, as data: its model, its rewards, when it ends, how it begins.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string_view>

namespace gradstab::lab::rl {

/// Numbers within which a state counts as healthy; a comparison with a bound fails on it.
struct OpenInterval {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
};

/// How an episode of a state ends.
struct HealthRule {
  double reward = 0.0;       ///< paid on every step
  OpenInterval height = {};  ///< of coordinate `height_index`
  int height_index = 0;
  bool height_includes_ends = false;
  OpenInterval pitch = {};  ///< of coordinate 2; planar robots
  double largest =
      std::numeric_limits<double>::infinity();  ///< of |position after the first two| and |velocity|
};

struct EnvironmentSpec {
  std::string_view name;   ///< "HalfCheetah-v4"
  std::string_view model;  ///< MJCF text
  int frame_skip = 1;      ///< substeps for each step
  bool planar = true;      ///< moves in x and z alone
  double substep_seconds = 0.0;
  double control_cost = 0.0;  ///< times the sum of squares of the action
  /// Paid by the torso as the last substep saw it, and not by the first coordinate.
  bool paid_by_torso = false;
  std::optional<HealthRule> health = {};  ///< none: an episode ends by its time limit alone
  double position_noise = 0.0;            ///< uniform within +- this
  double velocity_noise = 0.0;            ///< the same, or the deviation of a normal distribution
  bool velocity_noise_is_normal = false;
  int skipped_positions = 1;  ///< first coordinates that are not observed
  double largest_velocity_seen =
      std::numeric_limits<double>::infinity();  ///< observed ones are clipped to it
  int positions = 0, velocities = 0, controls = 0;
  std::span<const double> masses = {};  ///< of the bodies, the world's first; to six decimals
};

inline constexpr std::int64_t kTimeLimit = 1000;

/// All of them, in the order of the paper's figures.
std::span<const EnvironmentSpec> environment_specs();

/// What films see, which every model includes under the name "scene.xml".
std::string_view scene_model();

}  // namespace gradstab::lab::rl
