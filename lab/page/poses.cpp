#include "lab/page/poses.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <utility>

#include "lab/page/markup.hpp"

namespace gradstab::lab {
namespace {

using nlohmann::json;

// A picture: 6.4 by 2 metres, and what is deep lies to the right and higher.
constexpr double kScale = 100.0;  // units for a metre
constexpr double kWidth = 640.0, kHeight = 204.0;
constexpr double kGround = 172.0;  // where height 0 is, from the top
constexpr double kDepthAcross = 0.4, kDepthUp = 0.25;
constexpr double kMarkDepth = 0.4;      // of the marks on the ground, to the front and to the back
constexpr std::size_t kColours = 7;     // of page.css
constexpr int kFarthest = 100'000'000;  // 100 km

json view() {
  return {{"scale", kScale},        {"width", kWidth}, {"height", kHeight},  {"ground", kGround},
          {"across", kDepthAcross}, {"up", kDepthUp},  {"reach", kMarkDepth}};
}

/// A whole number within +-most.
std::optional<int> whole(const json& value, int most) {
  if (!value.is_number_integer()) return {};
  const auto number = value.is_number_unsigned() && value.get<std::uint64_t>() > kFarthest
                          ? std::int64_t{kFarthest} + 1
                          : value.get<std::int64_t>();
  if (number < -most || number > most) return {};
  return static_cast<int>(number);
}

const json& member(const json& object, const char* key) {
  static const json nothing;
  const auto found = object.is_object() ? object.find(key) : object.end();
  return object.is_object() && found != object.end() ? *found : nothing;
}

std::string text(const json& value) {
  return value.is_string() ? value.get<std::string>() : std::string();
}

std::optional<std::vector<PosedShape>> read_shapes(const json& list, std::size_t points) {
  if (!list.is_array() || list.empty() || list.size() > kMostPosedShapes) return {};
  std::vector<PosedShape> shapes;
  for (const json& each : list) {
    if (!each.is_array() || each.size() != 3) return {};
    const auto radius = whole(each[0], 10'000), from = whole(each[1], kFarthest),
               to = whole(each[2], kFarthest);
    if (!radius || !from || !to || *radius < 1 || std::min(*from, *to) < 0) return {};
    if (static_cast<std::size_t>(std::max(*from, *to)) >= points) return {};
    shapes.push_back({*radius, *from, *to});
  }
  return shapes;
}

std::optional<std::vector<std::vector<int>>> read_frames(const json& list) {
  if (!list.is_array() || list.empty() || list.size() > kMostPosedFrames) return {};
  std::vector<std::vector<int>> frames;
  for (const json& each : list) {
    if (!each.is_array() || each.empty() || each.size() > 6 * kMostPosedShapes) return {};
    std::vector<int> frame;
    for (const json& value : each) {
      const auto number = whole(value, kFarthest);
      if (!number) return {};
      const int before =
          frames.empty() ? 0 : frames.back().at(std::min(frame.size(), frames.back().size() - 1));
      if (std::abs(before + *number) > kFarthest) return {};
      frame.push_back(before + *number);
    }
    if (!frames.empty() && frame.size() != frames.front().size()) return {};
    frames.push_back(std::move(frame));
  }
  return frames;
}

struct Place {
  double x = 0.0, y = 0.0;
};

/// A point of a frame in a picture whose middle is at `camera`.
Place place_of(const Poses& poses, const std::vector<int>& frame, int point, const std::vector<int>& camera) {
  const int size = poses.dimensions;
  const auto at = [&](int k) { return static_cast<std::size_t>(point * size + k); };
  const double depth = size == 3 ? (frame[at(1)] - camera[1]) / 1000.0 : 0.0;
  const double across = (frame[at(0)] - camera[0]) / 1000.0 + kDepthAcross * depth;
  const double up = frame[at(size - 1)] / 1000.0 + kDepthUp * depth;
  return {kWidth / 2 + kScale * across, kGround - kScale * up};
}

/// What a picture follows: the middle of the first shape.
std::vector<int> camera_of(const Poses& poses, const std::vector<int>& frame) {
  std::vector<int> camera;
  for (int k = 0; k < poses.dimensions; ++k) {
    const auto at = [&](int point) { return frame[static_cast<std::size_t>(point * poses.dimensions + k)]; };
    camera.push_back((at(poses.shapes.front().from) + at(poses.shapes.front().to)) / 2);
  }
  return camera;
}

/// Each shape twice: an edge in the colour of the ground, so that what lies behind can be told apart.
std::string lines_of(const Poses& poses, const std::vector<int>& frame, std::size_t colour) {
  const std::vector<int> camera = camera_of(poses, frame);
  std::string lines;
  for (const PosedShape& shape : poses.shapes) {
    const Place from = place_of(poses, frame, shape.from, camera),
                to = place_of(poses, frame, shape.to, camera);
    const double thickness = 2 * shape.radius * kScale / 1000.0;
    for (const bool edge : {true, false}) {
      lines += fmt::format(
          "<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" "
          "style=\"stroke:var({});stroke-width:{:.1f}\"/>",
          from.x, from.y, to.x, to.y, edge ? std::string("--panel") : fmt::format("--c{}", colour),
          edge ? thickness + 2.0 : thickness);
    }
  }
  return lines;
}

std::string description_of(const Poses& poses, const PosedRollout& rollout) {
  const double shown = poses.seconds_per_frame * static_cast<double>(rollout.frames.size() - 1);
  std::string words;
  if (std::isfinite(rollout.episode_return)) words += fmt::format("return {:.0f}, ", rollout.episode_return);
  words += fmt::format("{:.1f} s", rollout.seconds);
  if (rollout.seconds > shown + poses.seconds_per_frame)
    words += fmt::format(", the first {:.1f} s are shown", shown);
  return words;
}

void give_each_end_a_point(Poses& poses) {
  const auto size = static_cast<std::ptrdiff_t>(poses.dimensions);
  std::vector<int> points;  // in the order of the new ones
  std::vector<PosedShape> shapes;
  for (const PosedShape& shape : poses.shapes) {
    const int from = static_cast<int>(points.size());
    points.push_back(shape.from);
    if (shape.to != shape.from) points.push_back(shape.to);
    shapes.push_back({shape.radius, from, static_cast<int>(points.size()) - 1});
  }
  for (PosedRollout& rollout : poses.rollouts) {
    for (std::vector<int>& frame : rollout.frames) {
      std::vector<int> numbers;
      for (const int point : points)
        numbers.insert(numbers.end(), frame.begin() + point * size, frame.begin() + (point + 1) * size);
      frame = std::move(numbers);
    }
  }
  poses.shapes = std::move(shapes);
}

json rollout_json(const PosedRollout& rollout) {
  json frames = json::array();
  const std::vector<int>* before = nullptr;
  for (const std::vector<int>& frame : rollout.frames) {
    std::vector<int> difference = frame;
    for (std::size_t i = 0; before != nullptr && i < frame.size(); ++i) difference[i] -= (*before)[i];
    frames.push_back(difference);
    before = &frame;
  }
  return {{"label", rollout.label},
          {"return", std::isfinite(rollout.episode_return) ? json(rollout.episode_return) : json()},
          {"seconds", rollout.seconds},
          {"frames", frames}};
}

}  // namespace

json to_json(const Poses& poses) {
  json shapes = json::array(), rollouts = json::array();
  for (const PosedShape& shape : poses.shapes) shapes.push_back({shape.radius, shape.from, shape.to});
  for (const PosedRollout& rollout : poses.rollouts) rollouts.push_back(rollout_json(rollout));
  return {{"kind", "poses"},
          {"title", poses.title},
          {"caption", poses.caption},
          {"dimensions", poses.dimensions},
          {"seconds_per_frame", poses.seconds_per_frame},
          {"shapes", shapes},
          {"rollouts", rollouts}};
}

bool is_poses(const json& exhibit) {
  return text(member(exhibit, "kind")) == "poses";
}

std::optional<Poses> read_poses(const json& exhibit) {
  Poses poses;
  poses.title = text(member(exhibit, "title"));
  poses.caption = text(member(exhibit, "caption"));
  const auto dimensions = whole(member(exhibit, "dimensions"), 3);
  const json& seconds = member(exhibit, "seconds_per_frame");
  const json& rollouts = member(exhibit, "rollouts");
  if (!dimensions || *dimensions < 2 || !seconds.is_number()) return {};
  if (!rollouts.is_array() || rollouts.empty() || rollouts.size() > kMostPosedRollouts) return {};
  poses.dimensions = *dimensions;
  poses.seconds_per_frame = seconds.get<double>();
  if (!(poses.seconds_per_frame >= 1e-3 && poses.seconds_per_frame <= 10.0)) return {};
  std::size_t numbers = 0;
  for (const json& each : rollouts) {
    auto frames = read_frames(member(each, "frames"));
    const json& length = member(each, "seconds");
    if (!frames || !length.is_number() || !std::isfinite(length.get<double>())) return {};
    if (numbers != 0 && frames->front().size() != numbers) return {};
    numbers = frames->front().size();
    const json& total = member(each, "return");
    if (!total.is_number() && !total.is_null()) return {};
    poses.rollouts.push_back(
        {.label = text(member(each, "label")),
         .episode_return = total.is_number() ? total.get<double>() : std::numeric_limits<double>::quiet_NaN(),
         .seconds = length.get<double>(),
         .frames = std::move(*frames)});
  }
  const auto size = static_cast<std::size_t>(poses.dimensions);
  if (numbers % size != 0) return {};
  auto shapes = read_shapes(member(exhibit, "shapes"), numbers / size);
  if (!shapes) return {};
  poses.shapes = std::move(*shapes);
  return poses;
}

bool join(Poses& poses, Poses other) {
  const auto alike = [](const PosedShape& a, const PosedShape& b) {
    return a.radius == b.radius && (a.from == a.to) == (b.from == b.to);
  };
  if (poses.dimensions != other.dimensions || poses.seconds_per_frame != other.seconds_per_frame ||
      poses.title != other.title || poses.rollouts.size() + other.rollouts.size() > kMostPosedRollouts ||
      !std::ranges::equal(poses.shapes, other.shapes, alike))
    return false;
  // Which ends of bones are one point was seen from the movements, and may differ.
  if (poses.shapes != other.shapes) {
    give_each_end_a_point(poses);
    give_each_end_a_point(other);
  }
  std::ranges::move(other.rollouts, std::back_inserter(poses.rollouts));
  return true;
}

std::string poses_html(const Poses& poses) {
  std::size_t longest = 0;
  for (const PosedRollout& rollout : poses.rollouts) longest = std::max(longest, rollout.frames.size());
  std::string html = fmt::format("{}>\n<figcaption><b>{}</b> {}</figcaption>\n", kPosesMark,
                                 escape_html(poses.title), escape_html(poses.caption));
  html += fmt::format(
      "<div class=\"player\" hidden><button type=\"button\" class=\"play\">Play</button>"
      "<input type=\"range\" min=\"0\" max=\"{}\" step=\"1\" value=\"0\" aria-label=\"Frame\">"
      "<output>0.0 s</output></div>\n",
      longest - 1);
  html += "<div class=\"stages\">\n";
  for (std::size_t i = 0; i < poses.rollouts.size(); ++i) {
    const PosedRollout& rollout = poses.rollouts[i];
    const std::size_t colour = i % kColours;
    html += fmt::format(
        "<div class=\"stage\"><p><span class=\"swatch c{}\"></span>{} <span class=\"quiet\">{}</span></p>\n"
        "<svg viewBox=\"0 0 {:.0f} {:.0f}\" role=\"img\" aria-label=\"{}: {}\"><g class=\"marks\">"
        "<line x1=\"0\" y1=\"{:.0f}\" x2=\"{:.0f}\" y2=\"{:.0f}\"/></g><g "
        "class=\"robot\">{}</g></svg></div>\n",
        colour, escape_html(rollout.label), escape_html(description_of(poses, rollout)), kWidth, kHeight,
        escape_html(poses.title), escape_html(rollout.label), kGround, kWidth, kGround,
        lines_of(poses, rollout.frames.front(), colour));
  }
  json data = to_json(poses);
  data["view"] = view();
  return html + "</div>\n<script type=\"application/json\">" + json_for_script(data) +
         "</script>\n</figure>\n";
}

}  // namespace gradstab::lab
