// Recorded movements on a page: the numbers are those that were given.
#include "lab/page/poses.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>

#include "lab/page/exhibits.hpp"
#include "lab/page/page_shell.hpp"

namespace gradstab::lab {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

Poses two_bones(int dimensions = 2) {
  Poses poses{.title = "Toy-v4",
              .caption = "moves",
              .dimensions = dimensions,
              .seconds_per_frame = 0.05,
              .shapes = {{46, 0, 1}, {20, 1, 2}},
              .rollouts = {}};
  PosedRollout rollout{.label = "a", .episode_return = 4218.4, .seconds = 50.0, .frames = {}};
  for (int f = 0; f < 3; ++f) {
    std::vector<int> frame;
    for (int p = 0; p < 3; ++p) {
      frame.push_back(1000 + 40 * f + 300 * p);
      if (dimensions == 3) frame.push_back(-200 * p + f);
      frame.push_back(500 - 100 * p + 7 * f);
    }
    rollout.frames.push_back(frame);
  }
  poses.rollouts.push_back(rollout);
  return poses;
}

/// What the page's script is given.
json data_of(const std::string& html) {
  const std::string open = "<script type=\"application/json\">";
  const std::size_t from = html.find(open) + open.size();
  return json::parse(html.substr(from, html.find("</script>", from) - from));
}

TEST(PosesTest, ThePageHoldsTheRecordedNumbers) {
  for (const int dimensions : {2, 3}) {
    const Poses poses = two_bones(dimensions);
    const json data = data_of(exhibit_html(to_json(poses)));
    std::vector<std::vector<int>> frames;
    for (const json& difference : data["rollouts"][0]["frames"]) {
      std::vector<int> frame = difference;
      for (std::size_t i = 0; !frames.empty() && i < frame.size(); ++i) frame[i] += frames.back()[i];
      frames.push_back(frame);
    }
    EXPECT_EQ(frames, poses.rollouts[0].frames);
    EXPECT_EQ(data["shapes"], json::parse("[[46,0,1],[20,1,2]]"));
    EXPECT_EQ(data["seconds_per_frame"], 0.05);
    EXPECT_EQ(read_poses(data)->rollouts[0].frames, poses.rollouts[0].frames);
    EXPECT_EQ(read_poses(data)->shapes, poses.shapes);
  }
}

TEST(PosesTest, TheFirstMomentIsDrawnWithoutAScript) {
  const Poses poses = two_bones();
  const std::string html = poses_html(poses);
  const std::regex line(
      "<line x1=\"([-0-9.]+)\" y1=\"([-0-9.]+)\" x2=\"([-0-9.]+)\" y2=\"([-0-9.]+)\" "
      "style=\"stroke:var\\(--c0\\);stroke-width:([0-9.]+)");
  const json view = data_of(html)["view"];
  const double scale = view["scale"], middle = view["width"].get<double>() / 2, ground = view["ground"];
  std::size_t shape = 0;
  for (std::sregex_iterator at(html.begin(), html.end(), line), end; at != end; ++at, ++shape) {
    const auto& frame = poses.rollouts[0].frames[0];
    const auto number = [&](int k) { return std::stod((*at)[k]); };
    // The picture's middle is that of the first bone, at 1.15 m.
    for (const auto& [point, x, y] : {std::tuple(poses.shapes[shape].from, number(1), number(2)),
                                      std::tuple(poses.shapes[shape].to, number(3), number(4))}) {
      EXPECT_NEAR((x - middle) / scale + 1.15, frame[static_cast<std::size_t>(2 * point)] / 1000.0,
                  0.05 / scale + 1e-9);
      EXPECT_NEAR((ground - y) / scale, frame[static_cast<std::size_t>(2 * point + 1)] / 1000.0,
                  0.05 / scale + 1e-9);
    }
    EXPECT_NEAR(number(5) / scale, 2 * poses.shapes[shape].radius / 1000.0, 0.05 / scale + 1e-9);
  }
  EXPECT_EQ(shape, 2u);
  EXPECT_THAT(html, AllOf(HasSubstr("return 4218, 50.0 s, the first 0.1 s are shown"),
                          HasSubstr("class=\"player\" hidden")));
}

TEST(PosesTest, RolloutsOfOneRobotAreJoined) {
  Poses both = two_bones();
  ASSERT_TRUE(join(both, two_bones()));
  EXPECT_EQ(both.rollouts.size(), 2u);
  EXPECT_EQ(both.shapes, two_bones().shapes);
  // The same robot, of which the other recording did not see that two ends are one.
  Poses apart = two_bones();
  apart.shapes = {{46, 0, 1}, {20, 2, 3}};
  for (std::vector<int>& frame : apart.rollouts[0].frames) {
    const std::vector<int> middle(frame.begin() + 2, frame.begin() + 4);
    frame.insert(frame.begin() + 4, middle.begin(), middle.end());
  }
  ASSERT_TRUE(join(both, apart));
  ASSERT_EQ(both.rollouts.size(), 3u);
  EXPECT_EQ(both.rollouts[0].frames, both.rollouts[2].frames);
  EXPECT_EQ(both.rollouts[2].frames, apart.rollouts[0].frames);
  EXPECT_EQ(both.shapes, apart.shapes);
  for (const auto change :
       {+[](Poses& p) { p.title = "other"; }, +[](Poses& p) { p.seconds_per_frame = 0.04; },
        +[](Poses& p) { p.shapes[0].radius = 1; }, +[](Poses& p) { p.shapes.pop_back(); }}) {
    Poses other = two_bones();
    change(other);
    EXPECT_FALSE(join(both, other));
  }
  EXPECT_EQ(both.rollouts.size(), 3u);
}

TEST(PosesTest, WhatHasAnotherFormIsLeftOut) {
  const json good = to_json(two_bones());
  ASSERT_NE(exhibit_html(good), "") << "the control";
  const auto left_out = [&](const char* pointer, const json& value) {
    json bad = good;
    bad[json::json_pointer(pointer)] = value;
    EXPECT_EQ(exhibit_html(bad), "") << pointer << " " << value.dump().substr(0, 80);
  };
  for (const json& value : {json(1), json(4), json("2"), json()}) left_out("/dimensions", value);
  for (const json& value : {json(0.0), json(-1), json(11), json(), json("1")})
    left_out("/seconds_per_frame", value);
  for (const json& value :
       {json(), json::array(), json(7), json::array({7}), json::array({json::array({46, 0})}),
        json::array({json::array({46, 0, 3})}), json::array({json::array({46, -1, 0})}),
        json::array({json::array({0, 0, 1})}), json::array({json::array({1.5, 0, 1})}),
        json(std::vector<json>(kMostPosedShapes + 1, json::array({46, 0, 1})))})
    left_out("/shapes", value);
  left_out("/rollouts", json::array());
  left_out("/rollouts", json(std::vector<json>(kMostPosedRollouts + 1, good["rollouts"][0])));
  left_out("/rollouts/0", 7);
  left_out("/rollouts/0/return", "high");
  left_out("/rollouts/0/seconds", json());
  left_out("/rollouts/0/frames", json::array());
  left_out("/rollouts/0/frames/1", json::array({1, 2}));
  left_out("/rollouts/0/frames/1", json::array({1, 2, 3, 4, 5, 6, 7, 8}));
  left_out("/rollouts/0/frames/0/0", 1.5);
  left_out("/rollouts/0/frames/0/0", std::uint64_t{18446744073709551615u});
  left_out("/rollouts/0/frames/0/0", std::int64_t{-3000000000});
  left_out("/rollouts/0/frames", json(std::vector<json>(kMostPosedFrames + 1, json(std::vector<int>(6, 0)))));
  // Differences that add up beyond every number.
  json far = good;
  far["rollouts"][0]["frames"] = json(std::vector<json>(3, json(std::vector<int>(6, 90'000'000))));
  EXPECT_EQ(exhibit_html(far), "");
}

TEST(PosesTest, WhatTheyHoldIsTextAndNoMarkup) {
  Poses poses = two_bones();
  poses.title = poses.caption = poses.rollouts[0].label = "\"</script><b>x</b>";
  const std::string html = poses_html(poses);
  EXPECT_THAT(html, AllOf(HasSubstr("&lt;b&gt;x&lt;/b&gt;"), Not(HasSubstr("<b>x"))));
  EXPECT_EQ(html.find("</script>"), html.rfind("</script>"));
}

TEST(PosesTest, OnlyAPageWithMovementsHasTheirScript) {
  const std::string mark = "querySelectorAll(\"figure.poses\")";
  EXPECT_THAT(render_page("t", poses_html(two_bones()), json::object(), ""), HasSubstr(mark));
  EXPECT_THAT(render_page("t", "<p>none</p>", json::object(), ""), Not(HasSubstr(mark)));
}

}  // namespace
}  // namespace gradstab::lab
