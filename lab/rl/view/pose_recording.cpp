#include "lab/rl/view/pose_recording.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "lab/rl/view/frame_rate.hpp"

namespace gradstab::lab::rl {
namespace {

int millimetres(double metres) {
  return static_cast<int>(std::lround(1000.0 * metres));
}

}  // namespace

PoseRecorder::PoseRecorder(const Environment& environment)
    : planar_(environment.planar()),
      step_seconds_(environment.info().step_seconds),
      every_(steps_per_frame(step_seconds_)),
      poses_(environment.shapes().size()) {
  for (const Shape& shape : environment.shapes()) radii_.push_back(std::max(1, millimetres(shape.radius)));
}

void PoseRecorder::observe(const Environment& environment, std::int64_t steps) {
  if (steps % every_ != 0 || frames_.size() >= kMostRecordedFrames) return;
  environment.poses(poses_);
  std::vector<int> frame;
  for (const ShapePose& pose : poses_) {
    for (const auto& end : {pose.from, pose.to}) {
      frame.push_back(millimetres(end[0]));
      if (!planar_) frame.push_back(millimetres(end[1]));
      frame.push_back(millimetres(end[2]));
    }
  }
  frames_.push_back(std::move(frame));
}

Poses PoseRecorder::finish(std::string title, std::string caption, std::string label, double episode_return,
                           std::int64_t steps) const {
  const std::size_t size = planar_ ? 2 : 3;
  const std::size_t ends = 2 * radii_.size();
  // Ends that are in one place in every frame, as those of neighbouring bones are, are one point.
  std::vector<std::size_t> first_of_point;
  std::vector<int> point_of_end(ends);
  const auto same = [&](std::size_t a, std::size_t b) {
    return std::ranges::all_of(frames_, [&](const std::vector<int>& frame) {
      return std::equal(frame.begin() + static_cast<std::ptrdiff_t>(a * size),
                        frame.begin() + static_cast<std::ptrdiff_t>((a + 1) * size),
                        frame.begin() + static_cast<std::ptrdiff_t>(b * size));
    });
  };
  for (std::size_t end = 0; end < ends; ++end) {
    const auto found =
        std::ranges::find_if(first_of_point, [&](std::size_t first) { return same(first, end); });
    point_of_end[end] = static_cast<int>(found - first_of_point.begin());
    if (found == first_of_point.end()) first_of_point.push_back(end);
  }
  Poses poses{.title = std::move(title),
              .caption = std::move(caption),
              .dimensions = static_cast<int>(size),
              .seconds_per_frame = static_cast<double>(every_) * step_seconds_,
              .shapes = {},
              .rollouts = {}};
  for (std::size_t i = 0; i < radii_.size(); ++i)
    poses.shapes.push_back({radii_[i], point_of_end[2 * i], point_of_end[2 * i + 1]});
  PosedRollout rollout{.label = std::move(label),
                       .episode_return = episode_return,
                       .seconds = static_cast<double>(steps) * step_seconds_,
                       .frames = {}};
  for (const std::vector<int>& frame : frames_) {
    std::vector<int> points;
    for (const std::size_t end : first_of_point)
      points.insert(points.end(), frame.begin() + static_cast<std::ptrdiff_t>(end * size),
                    frame.begin() + static_cast<std::ptrdiff_t>((end + 1) * size));
    rollout.frames.push_back(std::move(points));
  }
  poses.rollouts.push_back(std::move(rollout));
  return poses;
}

}  // namespace gradstab::lab::rl
