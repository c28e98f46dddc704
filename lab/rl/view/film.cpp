#include "lab/rl/view/film.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "lab/rl/environments/mujoco_environment.hpp"
#include "lab/rl/view/frame_rate.hpp"

namespace gradstab::lab::rl {

Result<Film> Film::create(const std::string& environment, const FilmSize& size) {
  const auto spec = find_environment(environment);
  if (!spec) return spec.status();
  auto model = compile_model(**spec);
  if (!model) return model.status();
  auto animation = WebpAnimation::create(size.width, size.height);
  if (!animation) return animation.status();
  std::string error;
  auto renderer = (*model)->renderer(size.width, size.height, error);
  if (renderer == nullptr)
    return Status(StatusCode::failed_precondition, fmt::format("cannot make a film: {}", error));
  return Film(std::move(*model), std::move(renderer), std::move(*animation));
}

Status Film::observe(const Environment& environment, std::int64_t steps) {
  const double step_seconds = environment.info().step_seconds;
  const std::int64_t every = steps_per_frame(step_seconds);
  if (steps % every != 0) return {};
  if (const std::string error = renderer_->draw(environment.save().position, pixels_); !error.empty())
    return {StatusCode::failed_precondition, fmt::format("cannot draw step {}: {}", steps, error)};
  return animation_.add(pixels_,
                        static_cast<int>(std::lround(1000.0 * step_seconds * static_cast<double>(every))));
}

}  // namespace gradstab::lab::rl
