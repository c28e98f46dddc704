// A task that this folder adds goes through everything: train, kill, resume, sweep, report.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "task_test.hpp"

namespace gradstab::testing_cli {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class ToyTest : public TaskTest {
 protected:
  static std::vector<std::string> train(const std::string& output,
                                        const std::vector<std::string>& more = {}) {
    std::vector<std::string> words = {"train", "toy", "--threads", "1", "--batch", "3", "--output", output};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
};

TEST_F(ToyTest, TrainsAndSaysItsOwnNumbers) {
  const Outcome outcome = run(train("run", {"--size", "4"}));
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("model    a point\n"), HasSubstr("result   closeness "),
                                 HasSubstr(", distance 0."), HasSubstr(" draws/s"), Not(HasSubstr("loss")),
                                 Not(HasSubstr("tokens"))));
  const json description = file("run/run.json");
  EXPECT_EQ(description.at("task"), "toy");
  EXPECT_EQ(description.at("settings").at("size"), 4);
  EXPECT_EQ(description.at("settings").at("lr"), 0.05) << "the task's own default";
  EXPECT_FALSE(description.at("settings").contains("vocab_size"));
  EXPECT_EQ(description.at("measures").at("metrics").at(0).at("better"), "higher");
  const auto steps = lines("run/metrics.jsonl", "step");
  ASSERT_EQ(steps.size(), 60u);
  EXPECT_EQ(steps.back().at("draws"), 60 * 3);
  EXPECT_TRUE(steps.back().contains("draws_per_second"));
  const auto evaluations = lines("run/metrics.jsonl", "eval");
  ASSERT_EQ(evaluations.size(), 6u);
  double best = -1e9;
  for (const json& line : evaluations) {
    best = std::max(best, line.at("closeness").get<double>());
    EXPECT_NEAR(line.at("distance").get<double>(), std::pow(10.0, -line.at("closeness").get<double>()), 1e-9);
  }
  const json summary = file("run/summary.json");
  EXPECT_EQ(summary.at("final_closeness"), evaluations.back().at("closeness"));
  EXPECT_EQ(summary.at("final_distance"), evaluations.back().at("distance"));
  EXPECT_EQ(summary.at("best_closeness"), best) << "the highest, since higher is better";
  EXPECT_EQ(summary.at("diverged"), false);
}

TEST_F(ToyTest, EndingNoCloserThanTheBeginningIsDivergence) {
  run(train("lost", {"--lr", "100", "--transform", "none"}));
  EXPECT_EQ(file("lost/summary.json").at("diverged"), true);
  EXPECT_LT(file("lost/summary.json").at("final_closeness"),
            file("lost/run.json").at("measures").at("uninformed"));
}

TEST_F(ToyTest, KilledAndResumedItGoesOnToTheSameWeights) {
  // An epoch is ten updates, so that the second one is killed in the middle of an epoch.
  const std::vector<std::vector<std::string>> settings = {
      {},
      {"--epochs", "6", "--eval-every", "0", "--checkpoint-every", "7", "--schedule", "exponential",
       "--decay-factor", "0.5", "--average-decay", "0.9", "--select", "best"}};
  for (std::size_t i = 0; i < settings.size(); ++i) {
    SCOPED_TRACE(i);
    const std::string whole = fmt::format("whole{}", i), killed = fmt::format("killed{}", i);
    run(train(whole, settings[i]));
    setenv("TOY_MILLISECONDS", "20", 1);
    ASSERT_NO_FATAL_FAILURE(kill_after_checkpoint(train(killed, settings[i]), killed));
    unsetenv("TOY_MILLISECONDS");
    EXPECT_FALSE(std::filesystem::exists(folder_.path() / killed / "summary.json"));
    run({"train", "toy", "--resume", killed});
    for (const char* key : {"step", "weights_checksum", "final_closeness", "best_closeness", "spikes"})
      EXPECT_EQ(file(killed + "/summary.json").at(key), file(whole + "/summary.json").at(key)) << key;
    EXPECT_EQ(file(killed + "/summary.json").at("step"), 60);
    EXPECT_EQ(file(killed + "/exhibits.json"), file(whole + "/exhibits.json"));
  }
  EXPECT_EQ(file("whole1/summary.json").at("final_closeness"),
            file("whole1/summary.json").at("best_closeness"));
  EXPECT_NE(file("whole1/summary.json").at("weights_checksum"),
            file("whole0/summary.json").at("weights_checksum"));
  run(train("other", {"--seed", "1"}));
  EXPECT_NE(file("other/summary.json").at("weights_checksum"),
            file("whole0/summary.json").at("weights_checksum"))
      << "the control";
}

TEST_F(ToyTest, IsSweptOverWithItsOwnSettings) {
  run({"sweep", "toy", "--over", "noise=0,0.5", "--over", "transform=none,stabilize", "--over", "seed=0..1",
       "--threads", "1", "--steps", "20", "--output", "sweep"});
  const json results = file("sweep/results.json").at("runs");
  ASSERT_EQ(results.size(), 8u);
  EXPECT_EQ(results[0].at("settings").at("noise"), "0");
  EXPECT_TRUE(results[0].contains("final_closeness"));
  EXPECT_EQ(file("sweep/sweep.json").at("task"), "toy");
  const std::string page = read(folder_.path() / "sweep" / "report.html");
  EXPECT_THAT(page,
              AllOf(HasSubstr("Highest final closeness: "), HasSubstr("higher is better"),
                    HasSubstr("How many decimal digits of the point are right."),
                    HasSubstr("Closeness without noise, in digits. Higher is better."), HasSubstr("Draws/s"),
                    Not(HasSubstr("erplexity")), Not(HasSubstr("alidation loss")), Not(HasSubstr("okens"))));
  EXPECT_THAT(run({"sweep", "toy", "--over", "vocab_size=1,2", "--output", "x"}, 2).err,
              HasSubstr("'vocab_size' is not a setting; did you mean "));
  EXPECT_THAT(run({"sweep", "toy", "--over", "sise=1,2", "--output", "x"}, 2).err,
              HasSubstr("'sise' is not a setting; did you mean size?"));
}

TEST_F(ToyTest, ItsReportShowsTheNumbersOfItsRuns) {
  run(train("a", {"--transform", "none"}));
  run(train("b", {"--transform", "stabilize"}));
  const Outcome report = run({"report", "a", "b", "-o", "page.html"});
  EXPECT_THAT(report.out, AllOf(HasSubstr("closeness"), HasSubstr("distance"), HasSubstr("draws/s")));
  const std::string page = read(folder_.path() / "page.html");
  EXPECT_THAT(page,
              AllOf(HasSubstr("What the models do"), HasSubstr("<b>The point</b> that was looked for")));
  const std::string marker = "id=\"page-data\">";
  const std::size_t begin = page.find(marker) + marker.size();
  const json data = json::parse(page.substr(begin, page.find("</script>", begin) - begin));
  for (const auto& [index, name] : {std::pair(0, "a"), std::pair(1, "b")}) {
    std::vector<double> steps, closeness, distance;
    for (const json& line : lines(std::string(name) + "/metrics.jsonl", "eval")) {
      steps.push_back(line.at("step"));
      closeness.push_back(line.at("closeness"));
      distance.push_back(line.at("distance"));
    }
    const json& drawn = data.at("runs").at(static_cast<std::size_t>(index));
    EXPECT_EQ(drawn.at("validation").at("x"), json(steps));
    ASSERT_EQ(drawn.at("metric_1").at("y").size(), distance.size());
    for (std::size_t i = 0; i < steps.size(); ++i) {
      EXPECT_NEAR(drawn.at("validation").at("y")[i].get<double>(), closeness[i], 1e-6);
      EXPECT_NEAR(drawn.at("metric_1").at("y")[i].get<double>(), distance[i], 1e-6);
    }
  }
}

TEST_F(ToyTest, HelpAndErrorsAreThoseOfTheTask) {
  const std::string help = run({"train", "toy", "--help"}).out;
  EXPECT_THAT(help, AllOf(HasSubstr("--spike-every"), HasSubstr("draws per micro-batch"),
                          HasSubstr("tiny (two"), HasSubstr("Example: gradstab train toy --size 4")));
  EXPECT_THAT(
      help, AllOf(Not(HasSubstr("LLaMA")), Not(HasSubstr("--vocab-size")), Not(HasSubstr("--eval-batches"))));
  EXPECT_THAT(run(train("x", {"--spike-evry", "3"}), 2).err,
              HasSubstr("--spike-evry; did you mean --spike-every?"));
  EXPECT_THAT(run(train("x", {"--size", "0"}), 2).err, HasSubstr("size must be at least 1, got 0"));
  EXPECT_THAT(run(train("x", {"--precision", "bf16"}), 2).err,
              HasSubstr("precision must be fp32 for this task"));
  EXPECT_THAT(run(train("x", {"--recipe", "huge"}), 2).err,
              HasSubstr("there is no recipe 'huge'; this task has tiny; did you mean tiny?"));
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "x"));
}

TEST_F(ToyTest, WhatIsGivenBesideARecipeGoesOverIt) {
  run(train("run", {"--steps", "7", "--recipe", "tiny"}));
  EXPECT_EQ(file("run/run.json").at("settings").at("size"), 2);
  EXPECT_EQ(file("run/run.json").at("settings").at("steps"), 7);
}

}  // namespace
}  // namespace gradstab::testing_cli
