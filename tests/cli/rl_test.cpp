// Reinforcement learning as users run it: train, kill, resume, sweep, report, and settings that do not fit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "task_test.hpp"

namespace gradstab::testing_cli {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class RlTest : public TaskTest {
 protected:
  /// The recipe smoke: two environments of 32 steps, two passes of two minibatches. What `more` has wins.
  static std::vector<std::string> train(const std::string& output,
                                        const std::vector<std::string>& more = {}) {
    std::vector<std::string> words = {"train", "rl", "--output", output};
    for (const auto& [flag, value] : {std::pair("--recipe", "smoke"), std::pair("--threads", "1")})
      if (std::ranges::find(more, flag) == more.end()) words.insert(words.end(), {flag, value});
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  std::vector<json> rates(const std::string& of) const {
    std::vector<json> found;
    for (const json& line : lines(of + "/metrics.jsonl", "step")) found.push_back(line.at("lr"));
    return found;
  }
};

TEST_F(RlTest, TrainsAndSaysItsOwnNumbers) {
  const Outcome outcome =
      run(train("run", {"--epochs", "3", "--eval-every", "4", "--environment", "hopper"}));
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("data     Hopper-v4\n"),
                                 HasSubstr("actor and critic for Hopper-v4: 999 parameters"),
                                 HasSubstr("result   return "), HasSubstr("episode length "),
                                 HasSubstr(" environment steps/s"), Not(HasSubstr("okens"))));
  const json description = file("run/run.json");
  EXPECT_EQ(description.at("task"), "rl");
  EXPECT_EQ(description.at("updates"), 12) << "an epoch is a collect with its passes";
  EXPECT_EQ(description.at("measures").at("sample"), "environment_steps");
  EXPECT_EQ(description.at("measures").at("metrics").at(0).at("better"), "higher");
  EXPECT_THAT(description.at("data").at("physics").get<std::string>(), HasSubstr("MuJoCo "));
  const auto steps = lines("run/metrics.jsonl", "step");
  ASSERT_EQ(steps.size(), 12u);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    EXPECT_EQ(steps[i].at("environment_steps"), 16 * (i + 1)) << "64 in a collect of four updates";
    // In a straight line to 0, and constant within a collect.
    EXPECT_DOUBLE_EQ(steps[i].at("lr"), 3e-4 * (1.0 - static_cast<double>(i / 4) / 3.0));
  }
  EXPECT_EQ(lines("run/metrics.jsonl", "eval").size(), 3u);
  const json summary = file("run/summary.json");
  EXPECT_EQ(summary.at("final_return"), lines("run/metrics.jsonl", "eval").back().at("return"));
  EXPECT_EQ(summary.at("diverged"), summary.at("final_return") < description.at("measures").at("uninformed"));
  run({"report", "run", "-o", "page.html"});
  EXPECT_THAT(read(folder_.path() / "page.html"),
              AllOf(HasSubstr("Return"), HasSubstr("higher is better"), Not(HasSubstr("erplexity"))));
}

/// Checkpoints in the middle of a pass, and after every collect.
class KilledRlTest : public RlTest, public ::testing::WithParamInterface<const char*> {};

TEST_P(KilledRlTest, GoesOnToTheSameWeights) {
  const std::vector<std::string> settings = {"--epochs",           "60",       "--eval-every",  "100",
                                             "--checkpoint-every", GetParam(), "--environment", "Hopper-v4"};
  run(train("whole", settings));
  ASSERT_NO_FATAL_FAILURE(kill_after_checkpoint(train("killed", settings), "killed"));
  ASSERT_FALSE(std::filesystem::exists(folder_.path() / "killed" / "summary.json"));
  run({"train", "rl", "--resume", "killed"});
  for (const char* key : {"weights_checksum", "final_return", "final_return_deviation", "best_return"})
    EXPECT_EQ(file("killed/summary.json").at(key), file("whole/summary.json").at(key)) << key;
  EXPECT_EQ(rates("killed"), rates("whole")) << "the schedule does not jump";
  std::vector<std::string> other = settings;
  other.insert(other.end(), {"--seed", "1"});
  run(train("other", other));
  EXPECT_NE(file("other/summary.json").at("weights_checksum"),
            file("whole/summary.json").at("weights_checksum"))
      << "the control";
}

INSTANTIATE_TEST_SUITE_P(CheckpointEvery, KilledRlTest, ::testing::Values("13", "0"), [](const auto& every) {
  return std::string(every.param) == "0" ? "Collect" : "ThirteenUpdates";
});

TEST_F(RlTest, ThreadsDoNotChangeWhatIsLearned) {
  const auto checksum = [&](const std::string& threads) {
    run(train(threads, {"--threads", threads, "--epochs", "6", "--environments", "8", "--horizon", "8"}));
    const json summary = file(threads + "/summary.json");
    return std::pair(summary.at("weights_checksum"), summary.at("final_return"));
  };
  const auto one = checksum("1");
  EXPECT_EQ(checksum("2"), one);
  EXPECT_EQ(checksum("5"), one);
}

TEST_F(RlTest, EveryEnvironmentIsTrainedIn) {
  for (const auto& [environment, observations, actions] :
       {std::tuple("HalfCheetah-v4", 17, 6), std::tuple("Ant-v4", 27, 8), std::tuple("Walker2d-v4", 17, 6)}) {
    run(train(environment, {"--environment", environment}));
    const json model = file(std::string(environment) + "/run.json").at("model");
    EXPECT_EQ(model.at("observation_size"), observations);
    EXPECT_EQ(model.at("action_size"), actions);
    EXPECT_TRUE(file(std::string(environment) + "/summary.json").at("final_return").is_number());
  }
}

TEST_F(RlTest, RecipesSayWhatTheyAre) {
  const std::string help = run({"train", "rl", "--help"}).out;
  EXPECT_THAT(help, AllOf(HasSubstr("script"), HasSubstr("benchmark"), HasSubstr("--ratio-clip"),
                          HasSubstr("environment steps per minibatch"), Not(HasSubstr("--vocab-size"))));
  run(train("x", {"--recipe", "benchmark", "--steps", "1", "--width", "8", "--evaluation-episodes", "1"}));
  const json settings = file("x/run.json").at("settings");
  EXPECT_EQ(settings.at("environments"), 64);
  EXPECT_EQ(settings.at("value_clip"), 0.0);
  EXPECT_EQ(settings.at("transform"), "clip_by_global_norm(max_norm=0.5)");
}

// The statistics that observations are normalized by are in the checkpoint with the weights; without torch
// they give the policy that the run's own page shows.
TEST_F(RlTest, ACheckpointActsByItself) {
  run(train("run", {"--environment", "hopper", "--epochs", "30", "--evaluation-episodes", "4"}));
  const Outcome outcome =
      run({"rollout", "--checkpoint", "run/checkpoint.gsck", "--episodes", "2", "--html", "page.html"});
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("run"), Not(HasSubstr("nan"))));
  EXPECT_THAT(read(folder_.path() / "page.html"), HasSubstr("<figure class=\"poses\""));
  const json exhibits = file("run/exhibits.json").at("exhibits");
  ASSERT_EQ(exhibits.size(), 1u);
  EXPECT_EQ(exhibits[0].at("kind"), "poses");
  run({"report", "run", "-o", "report.html"});
  EXPECT_THAT(read(folder_.path() / "report.html"), HasSubstr("<figure class=\"poses\""));
}

TEST_F(RlTest, SettingsThatDoNotFitAreRefused) {
  const auto refused = [&](const std::vector<std::string>& more, const std::string& message) {
    EXPECT_THAT(run(train("x", more), 2).err, HasSubstr(message));
    EXPECT_FALSE(std::filesystem::exists(folder_.path() / "x"));
  };
  refused({"--environment", "HalfCheeta"},
          "unknown environment 'HalfCheeta'; the nearest is 'HalfCheetah-v4'");
  refused({"--batch", "33"},
          "batch must be a divisor of the 64 environment steps of a collect (2 environments of 32 steps), "
          "got 33");
  refused({"--gamma", "1.5"}, "gamma must be in [0, 1], got 1.5");
  refused({"--ratio-clip", "0"}, "ratio_clip must be finite and above 0, got 0");
  refused({"--accumulation", "3"}, "accumulation must be a divisor of the ");
  refused({"--precision", "bf16"}, "precision must be fp32 for this task");
  refused({"--device", "cuda"}, "device must be cpu for this task");
  refused({"--vocab-size", "3"}, "--vocab-size");
}

TEST_F(RlTest, AnotherEnvironmentIsNotGoneOnWith) {
  ASSERT_NO_FATAL_FAILURE(
      kill_after_checkpoint(train("run", {"--steps", "100000", "--checkpoint-every", "3"}), "run"));
  std::string description = read(folder_.path() / "run" / "run.json");
  const std::string old = "\"environment\": \"HalfCheetah-v4\"";
  for (std::size_t at = description.find(old); at != std::string::npos; at = description.find(old))
    description.replace(at, old.size(), "\"environment\": \"Walker2d-v4\"");
  write(folder_.path() / "run" / "run.json", description);
  EXPECT_THAT(run({"train", "rl", "--resume", "run"}, 1).err,
              AllOf(HasSubstr("checkpoint"), HasSubstr("HalfCheetah-v4"), HasSubstr("Walker2d-v4")));
}

// A NaN in a gradient that reaches the weights: the next collect cannot act.
TEST_F(RlTest, APolicyThatIsNoNumberEndsTheRun) {
  EXPECT_THAT(
      run(train("x", {"--transform", "none", "--inject-spikes", "2:nan", "--eval-every", "100"}), 1).err,
      AllOf(HasSubstr("update 5: "), HasSubstr("not a finite number: training has diverged")));
}

TEST_F(RlTest, IsSweptOver) {
  run({"sweep", "rl", "--recipe", "smoke", "--over", "transform=none,stabilize", "--over", "seed=0..1",
       "--threads", "1", "--output", "sweep"});
  const json results = file("sweep/results.json").at("runs");
  ASSERT_EQ(results.size(), 4u);
  EXPECT_TRUE(results[0].contains("final_return"));
}

}  // namespace
}  // namespace gradstab::testing_cli
