// Forecasting as users run it: train, kill, resume, sweep, report, and series that are no series.
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

class ForecastTest : public TaskTest {
 protected:
  ForecastTest() { write(folder_.path() / "hours.csv", hourly_table(1500)); }

  /// A small model on that table; what `more` has wins.
  static std::vector<std::string> train(const std::string& output,
                                        const std::vector<std::string>& more = {}) {
    std::vector<std::string> words = {"train", "forecast", "--output", output};
    for (const auto& [flag, value] :
         {std::pair("--recipe", "smoke"), std::pair("--data", "hours.csv"), std::pair("--threads", "1")})
      if (std::ranges::find(more, flag) == more.end()) words.insert(words.end(), {flag, value});
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
};

TEST_F(ForecastTest, TheTestPartIsScoredOnceAfterTheWeightsAreChosen) {
  const Outcome outcome = run(train("run", {"--epochs", "3", "--window-stride", "4", "--eval-every", "0",
                                            "--checkpoint-every", "0", "--select", "best", "--lr", "0.01"}));
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("PatchTST 48 to 12"), HasSubstr("MSE"), HasSubstr("MAE"),
                                 HasSubstr(" windows/s")));
  // 1,050 training rows: 991 windows, of which every fourth, in batches of 8.
  const json description = file("run/run.json");
  EXPECT_EQ(description.at("data").at("training_windows"), 991);
  EXPECT_EQ(description.at("updates"), 3 * 31);
  EXPECT_EQ(description.at("settings").at("look_back"), 48);
  const auto evaluations = lines("run/metrics.jsonl", "eval");
  ASSERT_EQ(evaluations.size(), 3u);
  double best = INFINITY;
  for (const json& line : evaluations) best = std::min(best, line.at("mse").get<double>());
  const auto tests = lines("run/metrics.jsonl", "test");
  ASSERT_EQ(tests.size(), 1u);
  EXPECT_EQ(tests[0].at("step"), 3 * 31);
  const json summary = file("run/summary.json");
  EXPECT_EQ(summary.at("final_mse"), tests[0].at("mse"));
  EXPECT_EQ(summary.at("best_mse"), best);
  // Over all windows of the validation part, and not over every fourth.
  EXPECT_NE(summary.at("validation_mse"), best);
  EXPECT_NEAR(summary.at("validation_mse"), best, 0.2 * best);
  EXPECT_NE(summary.at("final_mse"), summary.at("validation_mse"));
  EXPECT_EQ(summary.at("diverged"), false);
  EXPECT_LT(summary.at("final_mse"), description.at("measures").at("uninformed"));

  run({"report", "run", "-o", "page.html"});
  const std::string page = read(folder_.path() / "page.html");
  EXPECT_THAT(page, AllOf(HasSubstr("linear"), HasSubstr("last value"), HasSubstr("look_back"),
                          HasSubstr("horizon"), Not(HasSubstr("erplexity")), Not(HasSubstr("okens"))));
}

/// Checkpoints in the middle of an epoch, which has 31 updates, and at its border.
class KilledForecastTest : public ForecastTest, public ::testing::WithParamInterface<const char*> {};

TEST_P(KilledForecastTest, GoesOnToTheSameWeights) {
  // With everything that draws: dropout, corruption, the order of windows.
  const std::vector<std::string> settings = {"--epochs",        "12",  "--window-stride",       "4",
                                             "--eval-every",    "20",  "--checkpoint-every",    GetParam(),
                                             "--dropout",       "0.3", "--corrupt-probability", "0.05",
                                             "--corrupt-level", "1",   "--transform",           "stabilize"};
  run(train("whole", settings));
  ASSERT_NO_FATAL_FAILURE(kill_after_checkpoint(train("killed", settings), "killed"));
  ASSERT_FALSE(std::filesystem::exists(folder_.path() / "killed" / "summary.json"));
  run({"train", "forecast", "--resume", "killed"});
  for (const char* key : {"weights_checksum", "final_mse", "final_mae", "best_mse"})
    EXPECT_EQ(file("killed/summary.json").at(key), file("whole/summary.json").at(key)) << key;
  const auto rates = [&](const std::string& of) {
    std::vector<double> found;
    for (const json& line : lines(of + "/metrics.jsonl", "step")) found.push_back(line.at("lr"));
    return found;
  };
  EXPECT_EQ(rates("killed"), rates("whole")) << "the schedule does not jump";
  std::vector<std::string> other = settings;
  other.insert(other.end(), {"--seed", "1"});
  run(train("other", other));
  EXPECT_NE(file("other/summary.json").at("weights_checksum"),
            file("whole/summary.json").at("weights_checksum"))
      << "the control";
}

INSTANTIATE_TEST_SUITE_P(CheckpointEvery, KilledForecastTest, ::testing::Values("7", "0"),
                         [](const auto& every) {
                           return std::string(every.param) == "0" ? "Epoch" : "SevenUpdates";
                         });

TEST_F(ForecastTest, NoiseReachesTrainingInputsOnly) {
  const auto checksum = [&](const std::string& name, const std::string& probability,
                            const std::string& level) {
    run(train(name, {"--corrupt-probability", probability, "--corrupt-level", level}));
    return file(name + "/summary.json").at("weights_checksum");
  };
  const json clean = checksum("clean", "0", "0");
  EXPECT_EQ(checksum("level0", "0.05", "0"), clean);
  EXPECT_NE(checksum("level1", "0.05", "1"), clean);
  EXPECT_EQ(file("level1/run.json").at("measures").at("uninformed"),
            file("clean/run.json").at("measures").at("uninformed"));
}

TEST_F(ForecastTest, TheDataIsDescribed) {
  EXPECT_THAT(run({"data", "forecast", "hours.csv", "--look-back", "48", "--horizon", "12"}).out,
              AllOf(HasSubstr("1500"), HasSubstr("3: load, heat, both"), HasSubstr("991 windows"),
                    HasSubstr("2020-01-01 00:00:00"), HasSubstr("last value"), HasSubstr("sha256")));
}

TEST_F(ForecastTest, AnotherSeriesIsNotGoneOnWith) {
  ASSERT_NO_FATAL_FAILURE(
      kill_after_checkpoint(train("run", {"--steps", "100000", "--checkpoint-every", "3"}), "run"));
  std::string changed = hourly_table(1500);
  char& digit = changed[changed.size() - 2];
  digit = digit == '1' ? '2' : '1';
  write(folder_.path() / "hours.csv", changed);
  EXPECT_THAT(run({"train", "forecast", "--resume", "run"}, 1).err,
              AllOf(HasSubstr("sha256"), HasSubstr("run")));
}

TEST_F(ForecastTest, WhatIsNoSeriesIsRefusedWithLineAndColumn) {
  const auto refused = [&](const std::string& text, const std::string& message, int exit_code = 1) {
    write(folder_.path() / "bad.csv", text);
    EXPECT_THAT(
        run({"train", "forecast", "--recipe", "smoke", "--data", "bad.csv", "--output", "x"}, exit_code).err,
        HasSubstr(message));
    EXPECT_FALSE(std::filesystem::exists(folder_.path() / "x"));
  };
  refused("a,b\n1,2\n3,abc\n", "bad.csv: line 3, column 2 (b): 'abc' is not a number");
  refused("a,b\n1,2\n3\n", "line 3");
  refused("date,a\n2020-01-02,1\n2020-01-01,2\n", "line 3");
  refused(hourly_table(60), "'bad' has 60 rows, of which the training part has 42", 2);
  EXPECT_THAT(run(train("x", {"--data", "missing.csv"}), 1).err, HasSubstr("missing.csv"));
  EXPECT_THAT(run(train("x", {"--heads", "3"}), 2).err, HasSubstr("heads"));
  EXPECT_THAT(run(train("x", {"--precision", "bf16"}), 2).err,
              HasSubstr("precision must be fp32 for this task"));
  EXPECT_THAT(run(train("x", {"--vocab-size", "3"}), 2).err, HasSubstr("--vocab-size"));
  EXPECT_THAT(run(train("x", {"--recipe", "weathr"}), 2).err, HasSubstr("did you mean weather?"));
}

TEST_F(ForecastTest, SettingsWithoutEffectAreRefused) {
  EXPECT_THAT(run(train("x", {"--corrupt-level", "1"}), 2).err,
              HasSubstr("corrupt_probability must be above 0 if corrupt_level is, got 0"));
  EXPECT_THAT(run(train("x", {"--compat-revin-inverse"}), 2).err,
              HasSubstr("compat_revin_inverse must be false without revin_affine"));
  EXPECT_THAT(run(train("x", {"--warmup-hold"}), 2).err,
              HasSubstr("warmup_hold must be false without a warm-up"));
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "x"));
}

TEST_F(ForecastTest, TasksAreNamedWhereNoneIsGiven) {
  EXPECT_THAT(run({"train"}, 2).err, HasSubstr("train: no task given; expected llm, forecast, vision or rl"));
  EXPECT_THAT(run({"train", "--steps", "3"}, 2).err,
              HasSubstr("train: no task given; expected llm, forecast, vision or rl"));
  EXPECT_THAT(
      run({"train", "forcast"}, 2).err,
      HasSubstr(
          "train: there is no task 'forcast', only llm, forecast, vision or rl; did you mean forecast?"));
  EXPECT_THAT(run({"sweep"}, 2).err, HasSubstr("sweep: no task given; expected llm, forecast, vision or rl"));
}

// A recipe in epochs must not outlive a length in updates that was given: three lengths would be one run.
TEST_F(ForecastTest, UpdatesThatAreGivenCountOverTheEpochsOfARecipe) {
  run(train("x", {"--recipe", "cpu", "--steps", "3"}));
  EXPECT_EQ(file("x/run.json").at("settings").at("steps"), 3);
  EXPECT_EQ(file("x/run.json").at("settings").at("epochs"), 0);
  EXPECT_EQ(file("x/summary.json").at("step"), 3);
  EXPECT_THAT(run(train("y", {"--steps", "3", "--epochs", "1"}), 2).err,
              HasSubstr("--steps: cannot be given beside"));
  run({"sweep", "forecast", "--recipe", "cpu", "--data", "hours.csv", "--over", "steps=3,4", "--threads", "1",
       "--output", "lengths"});
  const json results = file("lengths/results.json").at("runs");
  ASSERT_EQ(results.size(), 2u);
  EXPECT_NE(results[0].at("final_mse"), results[1].at("final_mse"));
}

// adam_mini divides weights by the heads of attention, which the task has to tell.
TEST_F(ForecastTest, IsTrainedByEveryOptimizer) {
  for (const char* optimizer : {"adamw", "adam", "sgd", "lion", "adam_mini", "spam", "stable_spam"}) {
    const std::string output = optimizer;
    run(train(output, {"--optimizer", optimizer}));
    EXPECT_EQ(file(output + "/summary.json").at("step"), 6) << optimizer;
    EXPECT_TRUE(file(output + "/summary.json").at("final_mse").is_number()) << optimizer;
  }
}

TEST_F(ForecastTest, ScoresAreComparedOnOnePartOfOneSeries) {
  const auto trained = [&](const std::string& name, const std::string& steps,
                           const std::vector<std::string>& more) {
    std::vector<std::string> words = {"--name", name,   "--steps",         steps, "--eval-every", "20",
                                      "--lr",   "0.01", "--window-stride", "1"};
    words.insert(words.end(), more.begin(), more.end());
    run(train(name, words));
    ASSERT_EQ(file(name + "/summary.json").at("diverged"), false);
  };
  trained("long", "60", {});
  // The test score of the short run has nothing beside it in the long one, whose score after 40 updates is of
  // the validation part.
  trained("short", "40", {});
  EXPECT_THAT(run({"report", "long", "short", "-o", "a.html"}).out,
              ::testing::ContainsRegex("short +[0-9.]+ +[0-9.]+ +- "));
  // As a kill between the last checkpoint and the summary leaves it.
  trained("killed", "60", {"--transform", "none"});
  std::filesystem::remove(folder_.path() / "killed" / "summary.json");
  run({"report", "long", "killed", "-o", "b.html"});
  EXPECT_THAT(read(folder_.path() / "b.html"), HasSubstr("There is no verdict: fewer than two"));
  trained("nearer", "60", {"--horizon", "6"});
  run({"report", "long", "nearer", "-o", "c.html"});
  EXPECT_THAT(read(folder_.path() / "c.html"), HasSubstr("There is no verdict: the runs differ in horizon"));
  trained("other", "60", {"--transform", "none"});
  run({"report", "long", "other", "-o", "d.html"});
  EXPECT_THAT(read(folder_.path() / "d.html"), HasSubstr("Lowest final MSE")) << "the control";
}

TEST_F(ForecastTest, LengthsThatAreGivenCountOverThoseOfARecipeInSweepsToo) {
  run({"sweep", "forecast", "--recipe", "smoke", "--data", "hours.csv", "--epochs", "2", "--window-stride",
       "100", "--over", "seed=0..1", "--threads", "1", "--output", "sweep"});
  // 991 windows, every hundredth, in batches of 8: two updates an epoch.
  for (const json& one : file("sweep/results.json").at("runs")) EXPECT_EQ(one.at("step"), 4);
}

TEST_F(ForecastTest, IsSweptOver) {
  run({"sweep", "forecast", "--recipe", "smoke", "--data", "hours.csv", "--over", "corrupt_level=0,1",
       "--over", "seed=0..1", "--corrupt-probability", "0.05", "--threads", "1", "--output", "sweep"});
  const json results = file("sweep/results.json").at("runs");
  ASSERT_EQ(results.size(), 4u);
  EXPECT_TRUE(results[0].contains("final_mse"));
}

}  // namespace
}  // namespace gradstab::testing_cli
