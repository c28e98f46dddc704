// The four robots: an environment on MuJoCo, and the parts of it that recorded roll-outs and films need.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lab/rl/environments/environment.hpp"
#include "lab/rl/environments/environment_specs.hpp"
#include "lab/rl/environments/mujoco_module.hpp"

namespace gradstab::lab::rl {

/// Compiles the spec's own model, or `model` in its place. failed_precondition: MuJoCo is missing, refuses
/// the text, or makes another robot of it; the message names the first number that differs.
Result<std::shared_ptr<const PhysicsModel>> compile_model(const EnvironmentSpec& spec,
                                                          std::string_view model = {});

class MujocoEnvironment final : public Environment {
 public:
  /// `model` comes from compile_model(spec).
  MujocoEnvironment(const EnvironmentSpec& spec, std::shared_ptr<const PhysicsModel> model);

  const EnvironmentInfo& info() const noexcept override { return info_; }
  std::unique_ptr<Environment> another() const override;
  Status reset(const EpisodeKey& key) override;
  Result<StepOutcome> step(std::span<const double> action) override;
  void observe(std::span<double> observation) const override;
  EnvironmentState save() const override;
  Status restore(const EnvironmentState& state) override;
  std::span<const Shape> shapes() const noexcept override { return model_->shapes(); }
  void poses(std::span<ShapePose> poses) const override { simulation_->poses(poses); }
  bool planar() const noexcept override { return spec_.planar; }

  /// Begins an episode at a state, without noise. shape_mismatch for a wrong length, non_finite for a number
  /// that is none.
  Status start_at(std::span<const double> position, std::span<const double> velocity);
  /// The same as step, and goes on beyond the end of an episode.
  Result<StepOutcome> advance(std::span<const double> action);

  const EnvironmentSpec& spec() const noexcept { return spec_; }
  const PhysicsModel& model() const noexcept { return *model_; }
  Simulation& simulation() noexcept { return *simulation_; }

 private:
  /// Ends what reset and start_at have begun.
  Status begin(const EpisodeKey& key);
  /// What the forward reward follows.
  double place() const noexcept;
  bool healthy() const noexcept;
  Status lost(const std::string& reason) const;

  const EnvironmentSpec& spec_;
  std::shared_ptr<const PhysicsModel> model_;
  std::unique_ptr<Simulation> simulation_;
  EnvironmentInfo info_;
  std::array<double, 3> torso_{};  // as the latest substep saw it
  EpisodeKey key_;
  std::int64_t steps_ = 0;
  double episode_return_ = 0.0;
  bool running_ = false;  // an episode has begun and has not ended
};

/// The spec of a name that environment_name accepts.
Result<const EnvironmentSpec*> find_environment(std::string_view name);

}  // namespace gradstab::lab::rl
