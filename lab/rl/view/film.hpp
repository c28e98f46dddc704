// A film of an episode, drawn by MuJoCo's own renderer.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "gradstab/status.hpp"
#include "lab/rl/environments/environment.hpp"
#include "lab/rl/environments/mujoco_module.hpp"
#include "lab/rl/view/webp.hpp"

namespace gradstab::lab::rl {

struct FilmSize {
  int width = 480, height = 360;
};

/// Pictures of the states that an episode goes through, in the time that it takes: 20 to 25 a second.
class Film {
 public:
  /// Of the environment that find_environment(name) knows. failed_precondition, in one line: MuJoCo, libwebp
  /// or anything to draw with is missing.
  static Result<Film> create(const std::string& environment, const FilmSize& size);

  /// Call after the reset, with 0, and after each step, with the number of steps so far.
  Status observe(const Environment& environment, std::int64_t steps);
  int pictures() const noexcept { return animation_.pictures(); }
  /// The file, a WebP animation.
  std::string finish() const { return animation_.finish(); }

 private:
  Film(std::shared_ptr<const PhysicsModel> model, std::unique_ptr<Renderer> renderer, WebpAnimation animation)
      : model_(std::move(model)), renderer_(std::move(renderer)), animation_(std::move(animation)) {}

  std::shared_ptr<const PhysicsModel> model_;
  std::unique_ptr<Renderer> renderer_;
  WebpAnimation animation_;
  std::vector<std::uint8_t> pixels_;
};

}  // namespace gradstab::lab::rl
