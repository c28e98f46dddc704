// What reinforcement learning acts in: one environment, its state, and the shapes that it shows of itself.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gradstab/status.hpp"

namespace gradstab::lab::rl {

/// What every episode of an environment has in common.
struct EnvironmentInfo {
  std::string name;             ///< "HalfCheetah-v4"
  int observation_size = 0;     ///< numbers that one observation has
  int action_size = 0;          ///< numbers that one action has, each meant to lie in [-1, 1]
  std::int64_t time_limit = 0;  ///< an episode is truncated after so many steps
  double step_seconds = 0.0;    ///< simulated time of one step
};

/// Whose noise a reset draws: every number of an episode's start is a function of these three.
struct EpisodeKey {
  std::uint64_t seed = 0;
  std::uint64_t environment = 0;  ///< which of several that run side by side
  std::uint64_t episode = 0;      ///< counted from 0 in each environment
  bool operator==(const EpisodeKey&) const = default;
};

/// What one step gave.
struct StepOutcome {
  double reward = 0.0;          ///< the sum of the next three
  double reward_forward = 0.0;  ///< distance covered along x, per second
  double reward_control = 0.0;  ///< what the action cost; not positive
  double reward_healthy = 0.0;  ///< paid on every step, the terminating one included
  bool terminated = false;      ///< the state is beyond what the task allows: what follows is worth nothing
  bool truncated = false;       ///< the time limit was reached: what follows has a value, and is not seen
  bool ended() const noexcept { return terminated || truncated; }
};

/// All that an environment needs to go on bit for bit. Plain numbers, for a checkpoint.
struct EnvironmentState {
  std::vector<double> position;  ///< generalized coordinates (qpos)
  std::vector<double> velocity;  ///< generalized velocities (qvel)
  /// The solver's start (qacc_warmstart): without it a resumed simulation differs in its last bits, and after
  /// a hundred steps everywhere.
  std::vector<double> acceleration;
  std::array<double, 3> torso{};  ///< where the last substep left the torso; Ant is paid by it
  double time = 0.0;              ///< simulated seconds
  EpisodeKey key;                 ///< of the episode that is going on
  std::int64_t steps = 0;         ///< of this episode so far
  double episode_return = 0.0;    ///< sum of its rewards so far
  bool operator==(const EnvironmentState&) const = default;
};

/// The state as little-endian bytes with a checksum, and back. corrupt_data: truncated, damaged or of another
/// format; whether it fits an environment is for Environment::restore to say.
std::string encode_state(const EnvironmentState& state);
Result<EnvironmentState> decode_state(std::string_view bytes);

enum class ShapeKind { capsule, sphere };

/// A part of a body as it is drawn. Lengths in metres.
struct Shape {
  ShapeKind kind = ShapeKind::capsule;
  std::string body;  ///< name of the body that it belongs to; may be empty
  double radius = 0.0;
  double half_length = 0.0;  ///< between the middle and either end's centre; 0 for a sphere
};

/// Where a shape is: the centres of its two ends, in world coordinates. Both are the middle of a sphere.
struct ShapePose {
  std::array<double, 3> from{}, to{};
};

/// One episode after the other of one task. Not safe to use from two threads at once; two environments are,
/// even if one is `another()` of the other.
class Environment {
 public:
  virtual ~Environment() = default;

  virtual const EnvironmentInfo& info() const noexcept = 0;
  /// A new environment of the same kind, which shares what does not change. Call reset before anything else.
  virtual std::unique_ptr<Environment> another() const = 0;

  /// Begins an episode with the noise of `key`.
  virtual Status reset(const EpisodeKey& key) = 0;
  /// Acts once. Actions beyond [-1, 1] cost what they say and move as their limit does. Errors:
  /// shape_mismatch for a wrong length; non_finite for an action that holds NaN or Inf, and where the
  /// simulation has lost its numbers (the state is useless then; begin another episode);
  /// failed_precondition after the end of an episode.
  virtual Result<StepOutcome> step(std::span<const double> action) = 0;
  /// What the agent sees now; `observation` has info().observation_size places.
  virtual void observe(std::span<double> observation) const = 0;

  virtual EnvironmentState save() const = 0;
  /// Goes on from `state`. shape_mismatch if it belongs to another environment, and nothing has changed then.
  virtual Status restore(const EnvironmentState& state) = 0;

  /// What there is to draw, in the order of poses(); empty if there is nothing.
  virtual std::span<const Shape> shapes() const noexcept = 0;
  /// Where the shapes are now; `poses` has as many places. Changes nothing of the episode.
  virtual void poses(std::span<ShapePose> poses) const = 0;
  /// Whether it moves in the plane of x and z only.
  virtual bool planar() const noexcept = 0;
};

/// The names that make_environment knows, in the order of the paper's figures.
std::vector<std::string> environment_names();

/// "HalfCheetah-v4" for "halfcheetah" or "HALFCHEETAH-V4": the case of letters and a missing "-v4" do not
/// count. invalid_argument names the nearest for anything else.
Result<std::string> environment_name(std::string_view name);

/// An environment by any spelling that environment_name accepts. Errors: an unknown name; failed_precondition
/// in one line where MuJoCo is not installed or a model is not the one that this program was written with.
Result<std::unique_ptr<Environment>> make_environment(std::string_view name);

}  // namespace gradstab::lab::rl
