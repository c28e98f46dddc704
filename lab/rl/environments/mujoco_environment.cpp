#include "lab/rl/environments/mujoco_environment.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "lab/nn/counter_random.hpp"

namespace gradstab::lab::rl {
namespace {

constexpr int kTorso = 1;  // the first body after the world
/// The tables of masses have six decimals. What differs by less shows in roll-outs alone.
constexpr double kMassTolerance = 1e-5;

/// That the compiled model is the robot of the spec.
Status check_model(const EnvironmentSpec& spec, const PhysicsModel& model, std::string_view version) {
  const auto differs = [&](std::string_view what, double is, double expected) {
    return Status(StatusCode::failed_precondition,
                  fmt::format("the model of {} is not the expected one: {} {}, expected {} (MuJoCo {})",
                              spec.name, what, is, expected, version));
  };
  const PhysicsSizes& sizes = model.sizes();
  if (sizes.positions != spec.positions) return differs("coordinates", sizes.positions, spec.positions);
  if (sizes.velocities != spec.velocities) return differs("velocities", sizes.velocities, spec.velocities);
  if (sizes.controls != spec.controls) return differs("motors", sizes.controls, spec.controls);
  const auto bodies = static_cast<int>(spec.masses.size());
  if (sizes.bodies != bodies) return differs("bodies", sizes.bodies, bodies);
  for (std::size_t body = 0; body < spec.masses.size(); ++body) {
    const double mass = model.masses()[body];
    if (!(std::abs(mass - spec.masses[body]) <= kMassTolerance))
      return differs(fmt::format("mass of body {}", body), mass, spec.masses[body]);
  }
  if (model.substep_seconds() != spec.substep_seconds)
    return differs("time step", model.substep_seconds(), spec.substep_seconds);
  return {};
}

}  // namespace

Result<std::shared_ptr<const PhysicsModel>> compile_model(const EnvironmentSpec& spec,
                                                          std::string_view model) {
  const auto module = mujoco_module();
  if (!module) return module.status();
  const std::array<ModelFile, 2> files = {
      {{"model.xml", model.empty() ? spec.model : model}, {"scene.xml", scene_model()}}};
  std::string error;
  auto compiled = (*module)->compile(files, error);
  if (compiled == nullptr) {
    return Status(StatusCode::failed_precondition, fmt::format("MuJoCo {} refuses the model of {}: {}",
                                                               (*module)->version(), spec.name, error));
  }
  GRADSTAB_RETURN_IF_ERROR(check_model(spec, *compiled, (*module)->version()));
  return compiled;
}

MujocoEnvironment::MujocoEnvironment(const EnvironmentSpec& spec, std::shared_ptr<const PhysicsModel> model)
    : spec_(spec), model_(std::move(model)), simulation_(model_->simulation()) {
  info_.name = spec.name;
  info_.observation_size = spec.positions - spec.skipped_positions + spec.velocities;
  info_.action_size = spec.controls;
  info_.time_limit = kTimeLimit;
  info_.step_seconds = spec.substep_seconds * spec.frame_skip;
}

std::unique_ptr<Environment> MujocoEnvironment::another() const {
  return std::make_unique<MujocoEnvironment>(spec_, model_);
}

Status MujocoEnvironment::lost(const std::string& reason) const {
  return {StatusCode::non_finite, fmt::format("{}: the simulation is lost in step {} of episode {}: {}",
                                              info_.name, steps_, key_.episode, reason)};
}

Status MujocoEnvironment::begin(const EpisodeKey& key) {
  key_ = key;
  steps_ = 0;
  episode_return_ = 0.0;
  running_ = false;
  if (const std::string error = simulation_->evaluate(); !error.empty()) return lost(error);
  torso_ = simulation_->body_position(kTorso);
  running_ = true;
  return {};
}

Status MujocoEnvironment::reset(const EpisodeKey& key) {
  // Salted, so that no draw of training has the same key.
  constexpr std::uint64_t kResetSalt = 0x7265736574u;
  const nn::Draw draw{mix64(key.seed ^ kResetSalt), key.environment};
  const nn::CounterKey positions = draw.key(2 * key.episode);
  const nn::CounterKey velocities = draw.key(2 * key.episode + 1);
  simulation_->reset();
  const auto uniform = [](std::size_t i, nn::CounterKey of) {
    return 2.0 * nn::counter_uniform(i, of) - 1.0;
  };
  const std::span<double> position = simulation_->position();
  for (std::size_t i = 0; i < position.size(); ++i)
    position[i] += spec_.position_noise * uniform(i, positions);
  const std::span<double> velocity = simulation_->velocity();
  for (std::size_t i = 0; i < velocity.size(); ++i) {
    velocity[i] = spec_.velocity_noise * (spec_.velocity_noise_is_normal ? nn::counter_normal(i, velocities)
                                                                         : uniform(i, velocities));
  }
  return begin(key);
}

Status MujocoEnvironment::start_at(std::span<const double> position, std::span<const double> velocity) {
  const auto check = [&](std::span<const double> given, std::size_t expected, const char* what) -> Status {
    if (given.size() != expected) {
      return {StatusCode::shape_mismatch,
              fmt::format("{} needs {} {}, got {}", info_.name, expected, what, given.size())};
    }
    for (std::size_t i = 0; i < given.size(); ++i) {
      if (!std::isfinite(given[i]))
        return {StatusCode::non_finite,
                fmt::format("{}: number {} of the {} is {}", info_.name, i, what, given[i])};
    }
    return {};
  };
  GRADSTAB_RETURN_IF_ERROR(check(position, simulation_->position().size(), "coordinates"));
  GRADSTAB_RETURN_IF_ERROR(check(velocity, simulation_->velocity().size(), "velocities"));
  simulation_->reset();
  std::ranges::copy(position, simulation_->position().begin());
  std::ranges::copy(velocity, simulation_->velocity().begin());
  return begin({});
}

double MujocoEnvironment::place() const noexcept {
  return spec_.paid_by_torso ? torso_[0] : simulation_->position()[0];
}

bool MujocoEnvironment::healthy() const noexcept {
  if (!spec_.health) return true;
  const HealthRule& rule = *spec_.health;
  const std::span<const double> position = simulation_->position();
  const std::span<const double> velocity = simulation_->velocity();
  const double height = position[static_cast<std::size_t>(rule.height_index)];
  const bool height_is_right = rule.height_includes_ends
                                   ? height >= rule.height.low && height <= rule.height.high
                                   : height > rule.height.low && height < rule.height.high;
  if (!height_is_right) return false;
  if (spec_.planar && !(position[2] > rule.pitch.low && position[2] < rule.pitch.high)) return false;
  const auto within = [&](double value) { return std::abs(value) < rule.largest; };
  return std::ranges::all_of(position.subspan(2), within) && std::ranges::all_of(velocity, within);
}

Result<StepOutcome> MujocoEnvironment::step(std::span<const double> action) {
  if (!running_) {
    return Status(StatusCode::failed_precondition,
                  fmt::format("{}: no episode is going on; it needs a reset first", info_.name));
  }
  return advance(action);
}

Result<StepOutcome> MujocoEnvironment::advance(std::span<const double> action) {
  if (action.size() != static_cast<std::size_t>(info_.action_size)) {
    return Status(StatusCode::shape_mismatch, fmt::format("{} needs an action of {} numbers, got {}",
                                                          info_.name, info_.action_size, action.size()));
  }
  double squares = 0.0;
  for (std::size_t i = 0; i < action.size(); ++i) {
    if (!std::isfinite(action[i])) {
      return Status(StatusCode::non_finite,
                    fmt::format("{}: number {} of the action is {}", info_.name, i, action[i]));
    }
    squares += action[i] * action[i];
    if (!std::isfinite(squares)) {
      return Status(StatusCode::non_finite,
                    fmt::format("{}: number {} of the action is {}, too large for the cost of its square",
                                info_.name, i, action[i]));
    }
  }
  const double before = place();
  if (const std::string error = simulation_->advance(action, spec_.frame_skip); !error.empty()) {
    running_ = false;
    return lost(error);
  }
  torso_ = simulation_->body_position(kTorso);
  ++steps_;
  StepOutcome outcome;
  outcome.reward_forward = (place() - before) / info_.step_seconds;
  outcome.reward_control = -spec_.control_cost * squares;
  outcome.reward_healthy = spec_.health ? spec_.health->reward : 0.0;
  outcome.reward = outcome.reward_forward + outcome.reward_healthy + outcome.reward_control;
  outcome.terminated = !healthy();
  outcome.truncated = !outcome.terminated && steps_ >= info_.time_limit;
  episode_return_ += outcome.reward;
  if (outcome.ended()) running_ = false;
  return outcome;
}

void MujocoEnvironment::observe(std::span<double> observation) const {
  const auto seen = std::span<const double>(simulation_->position())
                        .subspan(static_cast<std::size_t>(spec_.skipped_positions));
  auto place = std::ranges::copy(seen, observation.begin()).out;
  const double largest = spec_.largest_velocity_seen;
  for (const double velocity : simulation_->velocity()) *place++ = std::clamp(velocity, -largest, largest);
}

EnvironmentState MujocoEnvironment::save() const {
  const auto copied = [](std::span<const double> numbers) {
    return std::vector<double>(numbers.begin(), numbers.end());
  };
  EnvironmentState state;
  state.position = copied(simulation_->position());
  state.velocity = copied(simulation_->velocity());
  state.acceleration = copied(simulation_->solver_start());
  state.torso = torso_;
  state.time = simulation_->time();
  state.key = key_;
  state.steps = steps_;
  state.episode_return = episode_return_;
  return state;
}

Status MujocoEnvironment::restore(const EnvironmentState& state) {
  if (state.position.size() != simulation_->position().size() ||
      state.velocity.size() != simulation_->velocity().size() ||
      state.acceleration.size() != simulation_->solver_start().size()) {
    return {StatusCode::shape_mismatch,
            fmt::format("the saved state has {} coordinates and {} velocities; {} has {} and {}",
                        state.position.size(), state.velocity.size(), info_.name,
                        simulation_->position().size(), simulation_->velocity().size())};
  }
  simulation_->reset();
  std::ranges::copy(state.position, simulation_->position().begin());
  std::ranges::copy(state.velocity, simulation_->velocity().begin());
  std::ranges::copy(state.acceleration, simulation_->solver_start().begin());
  simulation_->time() = state.time;
  torso_ = state.torso;
  key_ = state.key;
  steps_ = state.steps;
  episode_return_ = state.episode_return;
  // Nothing is evaluated: that would move the solver's start. An ended episode stays ended.
  running_ = steps_ < info_.time_limit && healthy();
  return {};
}

}  // namespace gradstab::lab::rl
