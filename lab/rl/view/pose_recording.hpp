// Where the shapes of an environment are while an episode goes on, for a page that plays it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lab/page/poses.hpp"
#include "lab/rl/environments/environment.hpp"

namespace gradstab::lab::rl {

/// Records the beginning of an episode: up to kMostRecordedFrames frames, 20 to 25 a second, to the
/// millimetre. That is about 25 KB of a page for each episode.
class PoseRecorder {
 public:
  /// Of an environment that has shapes().
  explicit PoseRecorder(const Environment& environment);

  /// Call after the reset, with 0, and after each step, with the number of steps so far.
  void observe(const Environment& environment, std::int64_t steps);
  /// What has been recorded, as an exhibit with one roll-out. `title` is the same for all that may be shown
  /// side by side, such as the environment's name.
  Poses finish(std::string title, std::string caption, std::string label, double episode_return,
               std::int64_t steps) const;

 private:
  bool planar_;
  double step_seconds_;
  std::int64_t every_;  // steps from frame to frame
  std::vector<int> radii_;
  std::vector<ShapePose> poses_;
  std::vector<std::vector<int>> frames_;  // both ends of every shape, in millimetres
};

inline constexpr std::size_t kMostRecordedFrames = 250;

}  // namespace gradstab::lab::rl
