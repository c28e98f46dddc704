// Recorded movements of a robot, as a page shows them: shapes between points that move, for one or several
// roll-outs at the same time.
#pragma once

#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace gradstab::lab {

/// A thick line between two points of a frame; a ball where both are one.
struct PosedShape {
  int radius = 0;  ///< millimetres
  int from = 0, to = 0;
  bool operator==(const PosedShape&) const = default;
};

/// One roll-out. A frame has `dimensions` numbers for each point, x first and the height last, in
/// millimetres.
struct PosedRollout {
  std::string label;
  double episode_return = std::numeric_limits<double>::quiet_NaN();
  double seconds = 0.0;  ///< of the whole episode, of which the frames may show the beginning alone
  std::vector<std::vector<int>> frames;
};

struct Poses {
  std::string title, caption;
  int dimensions = 2;  ///< 2: x and height; 3: x, y and height
  double seconds_per_frame = 0.0;
  std::vector<PosedShape> shapes;
  std::vector<PosedRollout> rollouts;
};

// More are refused, so that a page stays one that can be opened.
inline constexpr std::size_t kMostPosedShapes = 64;
inline constexpr std::size_t kMostPosedRollouts = 12;
inline constexpr std::size_t kMostPosedFrames = 2000;

/// The exhibit as docs/run-format.md describes it. In it a frame but the first is the difference to the one
/// before, which is half as long.
nlohmann::json to_json(const Poses& poses);
bool is_poses(const nlohmann::json& exhibit);
/// Nothing for what has another form, which no file has that this program wrote.
std::optional<Poses> read_poses(const nlohmann::json& exhibit);

/// Adds the roll-outs of `other`, so that they are shown at the same time. False, and nothing has changed,
/// where the robots are not alike, time passes otherwise, or there would be too many.
bool join(Poses& poses, Poses other);

/// A figure: one picture for each roll-out, with the first frame where there is no script, and everything
/// that poses.js plays the rest from.
std::string poses_html(const Poses& poses);

/// What marks a page that has such a figure, and so needs poses.js.
inline constexpr const char* kPosesMark = "<figure class=\"poses\"";

}  // namespace gradstab::lab
