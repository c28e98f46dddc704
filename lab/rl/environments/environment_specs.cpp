#include "lab/rl/environments/environment_specs.hpp"

#include "lab/rl/environments/assets.hpp"

namespace gradstab::lab::rl {
namespace {

// The masses that MuJoCo gives the published models, by which a model that is not ours, or a MuJoCo that
// reads it otherwise, is found out.
constexpr std::array kHalfCheetahMasses = {0.0,      6.250209, 1.543515, 1.587448,
                                           1.095397, 1.438075, 1.200837, 0.884519};
constexpr std::array kHopperMasses = {0.0, 3.665191, 4.057891, 2.781357, 5.315575};
constexpr std::array kWalkerMasses = {0.0,      3.665191, 4.057891, 2.781357,
                                      3.166725, 4.057891, 2.781357, 3.166725};
constexpr std::array kAntMasses = {0.0,      0.327249, 0.039158, 0.039158, 0.067592, 0.039158, 0.039158,
                                   0.067592, 0.039158, 0.039158, 0.067592, 0.039158, 0.039158, 0.067592};

std::array<EnvironmentSpec, 4> make_specs() {
  return {{
      {.name = "HalfCheetah-v4",
       .model = assets::half_cheetah_xml,
       .frame_skip = 5,
       .substep_seconds = 0.01,
       .control_cost = 0.1,
       .position_noise = 0.1,
       .velocity_noise = 0.1,
       .velocity_noise_is_normal = true,
       .positions = 9,
       .velocities = 9,
       .controls = 6,
       .masses = kHalfCheetahMasses},
      {.name = "Ant-v4",
       .model = assets::ant_xml,
       .frame_skip = 5,
       .planar = false,
       .substep_seconds = 0.01,
       .control_cost = 0.5,
       .paid_by_torso = true,
       .health =
           HealthRule{.reward = 1.0, .height = {0.2, 1.0}, .height_index = 2, .height_includes_ends = true},
       .position_noise = 0.1,
       .velocity_noise = 0.1,
       .velocity_noise_is_normal = true,
       .skipped_positions = 2,
       .positions = 15,
       .velocities = 14,
       .controls = 8,
       .masses = kAntMasses},
      {.name = "Hopper-v4",
       .model = assets::hopper_xml,
       .frame_skip = 4,
       .substep_seconds = 0.002,
       .control_cost = 1e-3,
       .health = HealthRule{.reward = 1.0,
                            .height = {.low = 0.7},
                            .height_index = 1,
                            .pitch = {-0.2, 0.2},
                            .largest = 100.0},
       .position_noise = 5e-3,
       .velocity_noise = 5e-3,
       .largest_velocity_seen = 10.0,
       .positions = 6,
       .velocities = 6,
       .controls = 3,
       .masses = kHopperMasses},
      {.name = "Walker2d-v4",
       .model = assets::walker_xml,
       .frame_skip = 4,
       .substep_seconds = 0.002,
       .control_cost = 1e-3,
       .health = HealthRule{.reward = 1.0, .height = {0.8, 2.0}, .height_index = 1, .pitch = {-1.0, 1.0}},
       .position_noise = 5e-3,
       .velocity_noise = 5e-3,
       .largest_velocity_seen = 10.0,
       .positions = 9,
       .velocities = 9,
       .controls = 6,
       .masses = kWalkerMasses},
  }};
}

}  // namespace

std::span<const EnvironmentSpec> environment_specs() {
  static const std::array<EnvironmentSpec, 4> specs = make_specs();
  return specs;
}

std::string_view scene_model() {
  return assets::scene_xml;
}

}  // namespace gradstab::lab::rl
