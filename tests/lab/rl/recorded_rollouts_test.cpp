// The environments against roll-outs that were recorded from the published models.
#include "lab/rl/view/recorded_rollouts.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "lab/rl/environments/environment_specs.hpp"
#include "lab/rl/environments/mujoco_module.hpp"
#include "lab/rl/recorded.hpp"

namespace gradstab::lab::rl {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

struct Robot {
  const char* file;
  const char* name;
  /// Steps of the three roll-outs before chaos.
  int steps;
  /// Something in the model that is proportional to the masses, and the same a millionth larger.
  const char* mass;
  const char* heavier;
};

class RecordedRolloutsTest : public ::testing::TestWithParam<Robot> {
 protected:
  void SetUp() override {
    const auto module = mujoco_module();
    if (!module) GTEST_SKIP() << module.status().message();
    if ((*module)->version() != kRecordedMujoco)
      GTEST_SKIP() << "the roll-outs are of MuJoCo " << kRecordedMujoco << ", this is "
                   << (*module)->version();
  }
  static Json replayed(const Json& recorded, const ReplayRequest& request = {}) {
    const auto text = replay_rollouts(recorded, request);
    EXPECT_TRUE(text.ok()) << text.status().message();
    return text ? parse_json_object(*text, "replay").value() : Json();
  }
  static std::string model_text() {
    for (const EnvironmentSpec& spec : environment_specs())
      if (spec.name == GetParam().name) return std::string(spec.model);
    return {};
  }
};

TEST_P(RecordedRolloutsTest, AreReproduced) {
  const Json recorded = recorded_rollouts(GetParam().file);
  int compared = 0;
  EXPECT_EQ(difference(replayed(recorded), recorded, compared), "");
  EXPECT_EQ(compared, GetParam().steps);
}

TEST_P(RecordedRolloutsTest, TheModelsConstantsAreThePublishedOnes) {
  Json recorded = recorded_rollouts(GetParam().file);
  const Json ours = replayed(recorded);
  EXPECT_EQ(model_difference(ours, recorded), "");
  // The control: one of some hundred numbers.
  Json& friction = recorded["model"]["geoms"][2]["friction"][1];
  friction = friction.get<double>() + 1e-10;
  EXPECT_THAT(model_difference(ours, recorded), HasSubstr("model.geoms[2].friction differs by"));
}

TEST_P(RecordedRolloutsTest, AMassThatIsAMillionthLargerIsNoticed) {
  std::string model = model_text();
  const std::size_t place = model.find(GetParam().mass);
  ASSERT_NE(place, std::string::npos);
  model.replace(place, std::string(GetParam().mass).size(), GetParam().heavier);
  const Json recorded = recorded_rollouts(GetParam().file);
  int compared = 0;
  EXPECT_NE(difference(replayed(recorded, {.environment = {}, .model = model}), recorded, compared), "");
}

TEST_P(RecordedRolloutsTest, ARunWithoutRecordedStepsGivesThoseOfTheRecording) {
  const Json recorded = recorded_rollouts(GetParam().file);
  Json asked = {{"env", recorded["env"]}, {"rollouts", Json::array()}};
  for (const Json& rollout : recorded["rollouts"]) {
    asked["rollouts"].push_back({{"name", rollout["name"]},
                                 {"set_qpos", rollout["set_qpos"]},
                                 {"set_qvel", rollout["set_qvel"]},
                                 {"actions", rollout["actions"]}});
  }
  int compared = 0;
  EXPECT_EQ(difference(replayed(asked), recorded, compared), "");
  EXPECT_EQ(compared, GetParam().steps);
}

INSTANTIATE_TEST_SUITE_P(
    Robots, RecordedRolloutsTest,
    ::testing::Values(Robot{"halfcheetah", "HalfCheetah-v4", 195, "settotalmass=\"14\"",
                            "settotalmass=\"14.000014\""},
                      Robot{"ant", "Ant-v4", 186, "density=\"5\"", "density=\"5.000005\""},
                      Robot{"hopper", "Hopper-v4", 141, "condim=\"1\"", "condim=\"1\" density=\"1000.001\""},
                      Robot{"walker2d", "Walker2d-v4", 195, "density=\"1000\"", "density=\"1000.001\""}),
    [](const auto& each) { return std::string(each.param.file); });

class RolloutFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const auto module = mujoco_module(); !module) GTEST_SKIP() << module.status().message();
    good_ =
        Json::parse(R"({"env":"Hopper-v4","rollouts":[{"set_qpos":[0,1.25,0,0,0,0],"set_qvel":[0,0,0,0,0,0],
                            "actions":[[0,0,0],[0.5,0,0]]}]})");
  }
  static std::string message(const Json& recording, const ReplayRequest& request = {}) {
    const auto text = replay_rollouts(recording, request);
    return text ? "" : text.status().message();
  }
  Json good_;
};

TEST_F(RolloutFileTest, WhatIsWrongIsNamed) {
  ASSERT_EQ(message(good_), "") << "the control";
  const auto refused = [&](const char* pointer, const Json& value,
                           const ::testing::Matcher<std::string>& expected) {
    Json bad = good_;
    bad[Json::json_pointer(pointer)] = value;
    EXPECT_THAT(message(bad), expected) << pointer;
    EXPECT_EQ(message(bad).find('\n'), std::string::npos);
  };
  refused("/env", "Hoper",
          AllOf(HasSubstr("unknown environment 'Hoper'"), HasSubstr("nearest is 'Hopper-v4'")));
  refused("/env", 7, HasSubstr("env must be a text, got 7"));
  refused("/rollouts", Json::object(), HasSubstr("rollouts must be a list"));
  refused("/rollouts/0/actions/1", Json::array({0, 0}),
          HasSubstr("rollouts[0]: actions[1]: Hopper-v4 needs an action of 3 numbers, got 2"));
  refused("/rollouts/0/actions/1/2", nullptr,
          HasSubstr("actions[1]: Hopper-v4: number 2 of the action is nan"));
  refused("/rollouts/0/actions/1/2", "nan",
          HasSubstr("rollouts[0].actions[1][2] must be a number or null, got \"nan\""));
  refused("/rollouts/0/actions", 3, HasSubstr("rollouts[0].actions must be a list"));
  refused("/rollouts/0/set_qpos", Json::array({1}), HasSubstr("Hopper-v4 needs 6 coordinates, got 1"));
  refused("/rollouts/0/set_qvel/3", nullptr, HasSubstr("number 3 of the velocities is nan"));
  refused("/rollouts/0/steps", Json::parse(R"([{"t":2}])"),
          HasSubstr("rollouts[0].steps[0].t must be a whole number from 0 to 1, got 2"));
  refused("/rollouts/0/set_qvel/0", 1e200, HasSubstr("Hopper-v4: the simulation is lost in step 0"));
  Json bad = good_;
  bad["rollouts"][0].erase("set_qvel");
  EXPECT_THAT(message(bad), HasSubstr("rollouts[0].set_qvel"));
  EXPECT_THAT(message(good_, {.environment = "ant", .model = {}}),
              HasSubstr("the roll-outs are of Hopper-v4, --env says Ant-v4"));
}

TEST_F(RolloutFileTest, AnyValueOfAnyOtherTypeIsReadOrRefusedInOneLine) {
  good_["rollouts"][0]["steps"] = Json::parse(R"([{"t":0},{"t":1}])");
  good_["rollouts"][0]["sum_reward_2"] = 0;
  int refused = 0, read = 0;
  const Json flat = good_.flatten();
  for (const auto& [pointer, value] : flat.items()) {
    // The value itself, and everything that it is inside of.
    for (Json::json_pointer place(pointer); !place.empty(); place.pop_back()) {
      for (const Json& other :
           {Json(), Json(true), Json(-1), Json(1e300), Json("x"), Json::array(), Json::object()}) {
        Json bad = good_;
        bad[place] = other;
        const auto text = replay_rollouts(bad, {});
        (text ? read : refused) += 1;
        EXPECT_EQ(text ? std::string::npos : text.status().message().find('\n'), std::string::npos);
        if (text) {
          EXPECT_TRUE(Json::accept(*text)) << place << other;
        }
      }
    }
  }
  EXPECT_GT(refused, 200);
  EXPECT_GT(read, 20);
}

TEST_F(RolloutFileTest, AnotherRobotsModelIsRefused) {
  const auto specs = environment_specs();
  EXPECT_THAT(
      message(good_, {.environment = {}, .model = std::string(specs[3].model)}),
      HasSubstr("the model of Hopper-v4 is not the expected one: coordinates 9, expected 6 (MuJoCo "));
  std::string altered(specs[2].model);
  altered.replace(altered.find("0.04 0.25"), 9, "0.05 0.25");
  EXPECT_THAT(message(good_, {.environment = {}, .model = altered}), HasSubstr("mass of body 3 4.4"));
  EXPECT_THAT(message(good_, {.environment = {},
                              .model = "<mujoco><worldbody><geom type=\"pear\"/></worldbody></mujoco>"}),
              AllOf(HasSubstr("refuses the model of Hopper-v4: "), HasSubstr("pear")));
  EXPECT_THAT(message(good_, {.environment = {}, .model = "no model"}),
              HasSubstr("refuses the model of Hopper-v4: "));
}

}  // namespace
}  // namespace gradstab::lab::rl
