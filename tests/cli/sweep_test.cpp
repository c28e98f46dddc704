// gradstab sweep: grids of small runs, stopped, killed, resumed and refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <tuple>

#include "program.hpp"

namespace gradstab::testing_cli {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

class SweepTest : public ::testing::Test {
 protected:
  /// Of small runs on the folder's corpus, one thread each, so that results are the same however many at
  /// once.
  static std::vector<std::string> sweep(const std::vector<std::string>& more,
                                        const std::string& output = "sweep") {
    std::vector<std::string> words = Folder::train(output, more);
    words.front() = "sweep";
    return words;
  }
  json results(const std::string& output = "sweep") const {
    return json::parse(read(folder_.path() / output / "results.json")).at("runs");
  }
  std::map<std::string, std::string> checksums(const std::string& output) const {
    std::map<std::string, std::string> sums;
    for (const json& run : results(output)) {
      const std::string name = run.at("name");
      sums[name] = json::parse(read(folder_.path() / output / name / "summary.json")).at("weights_checksum");
    }
    return sums;
  }
  void expect_refused(const std::vector<std::string>& arguments, int exit_code,
                      const std::string& message) const {
    const Outcome outcome = folder_.run(arguments);
    EXPECT_EQ(outcome.exit_code, exit_code);
    EXPECT_THAT(outcome.err, HasSubstr(message));
    EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1) << outcome.err;
  }

  const Folder folder_;
};

TEST_F(SweepTest, RunsEveryPointOnceAndWritesAReport) {
  const auto arguments =
      sweep({"--over", "lr=1e-3,1e-2", "--over", "transform=none,stabilize", "--steps", "6"});
  const Outcome first = folder_.run(arguments);
  ASSERT_EQ(first.exit_code, 0) << first.err;
  const json runs = results();
  ASSERT_EQ(runs.size(), 4u);
  EXPECT_EQ(runs[3].at("name"), "lr=1e-2,transform=stabilize");
  EXPECT_EQ(runs[3].at("settings"), json::parse(R"({"lr":"1e-2","transform":"stabilize"})"));
  const json summary =
      json::parse(read(folder_.path() / "sweep" / "lr=1e-2,transform=stabilize" / "summary.json"));
  EXPECT_EQ(runs[3].at("final_validation_loss"), summary.at("final_validation_loss"));
  EXPECT_NE(runs[3].at("final_validation_loss"), runs[2].at("final_validation_loss"));
  EXPECT_THAT(read(folder_.path() / "sweep" / "report.html"), HasSubstr("lr=1e-2,transform=stabilize"));

  // A report of the sweep's folder is one of its runs.
  const Outcome report = folder_.run({"report", "sweep", "-o", "of_sweep.html"});
  ASSERT_EQ(report.exit_code, 0) << report.err;
  EXPECT_THAT(report.out,
              AllOf(HasSubstr("lr=1e-2,transform=stabilize"), HasSubstr("lr=1e-3,transform=none")));

  // The same run by hand.
  ASSERT_EQ(folder_.run(Folder::train("one", {"--steps", "6", "--lr", "1e-2", "--transform", "stabilize"}))
                .exit_code,
            0);
  EXPECT_EQ(json::parse(read(folder_.path() / "one" / "summary.json")).at("weights_checksum"),
            summary.at("weights_checksum"));

  const auto written =
      std::filesystem::last_write_time(folder_.path() / "sweep" / "lr=1e-3,transform=none" / "metrics.jsonl");
  const Outcome again = folder_.run(arguments);
  EXPECT_EQ(again.exit_code, 0);
  EXPECT_THAT(again.out, HasSubstr("finished, earlier"));
  EXPECT_EQ(results(), runs);
  EXPECT_EQ(written, std::filesystem::last_write_time(folder_.path() / "sweep" / "lr=1e-3,transform=none" /
                                                      "metrics.jsonl"));
}

TEST_F(SweepTest, FailuresAndDivergencesAreResults) {
  // Nothing learns at a rate of 1e30.
  const auto arguments =
      sweep({"--over", "lr=1e-3,1e30", "--over", "tokenizer=bytes,bpe", "--vocab-size", "3", "--steps", "6"});
  std::vector<std::string> words;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == "--tokenizer")
      ++i;  // swept over instead
    else
      words.push_back(arguments[i]);
  }
  const Outcome outcome = folder_.run(words);
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("2 of 4 runs failed; their output is in 'sweep/logs'"));
  const json runs = results();
  EXPECT_EQ(runs[0].at("state"), "finished");
  EXPECT_EQ(runs[0].at("diverged"), false);
  EXPECT_EQ(runs[1].at("state"), "failed");
  EXPECT_NE(runs[1].at("exit_code"), 0);
  EXPECT_THAT(runs[1].at("error").get<std::string>(), HasSubstr("3"));
  EXPECT_EQ(runs[2].at("diverged"), true);
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("DIVERGED"), HasSubstr("failed (")));
}

TEST_F(SweepTest, StoppedAndKilledSweepsGoOnToTheSameWeights) {
  const std::vector<std::string> grid = {"--over", "seed=0..2",          "--jobs", "2", "--steps",
                                         "40",     "--checkpoint-every", "5"};
  ASSERT_EQ(folder_.run(sweep(grid, "whole")).exit_code, 0);

  const auto checkpointed = [&](const char* seed) {
    return std::filesystem::exists(folder_.path() / "sweep" / seed / "checkpoint.gsck");
  };
  {
    Child child(sweep(grid), folder_.path());
    ASSERT_TRUE(wait_until([&] { return checkpointed("seed=0") || checkpointed("seed=1"); }));
    expect_refused(sweep(grid), 1, "a sweep is at work in 'sweep', or a run of one is still ending");
    child.signal(SIGINT);
    const Outcome outcome = child.wait();
    EXPECT_EQ(outcome.exit_code, 130);
    EXPECT_THAT(outcome.out, HasSubstr("interrupted; the same command continues"));
  }
  {
    Child child(sweep(grid), folder_.path());
    ASSERT_TRUE(wait_until([&] { return checkpointed("seed=2"); }));
    child.signal(SIGKILL);
    child.wait();
  }
  // The runs of a killed sweep write their checkpoints and end; until then the folder is theirs.
  Outcome outcome;
  ASSERT_TRUE(wait_until([&] {
    outcome = folder_.run(sweep(grid));
    return outcome.exit_code != 1;
  }));
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(checksums("sweep"), checksums("whole"));
  EXPECT_NE(checksums("whole").at("seed=0"), checksums("whole").at("seed=1"));
}

TEST_F(SweepTest, ARunThatIsKilledOrStoppedFromOutsideSaysSoAndGoesOnFromItsCheckpoint) {
  const std::vector<std::string> grid = {"--over", "seed=0..1", "--steps", "60", "--checkpoint-every", "5"};
  ASSERT_EQ(folder_.run(sweep(grid, "whole")).exit_code, 0);
  const auto first_line = [&] {
    const std::string lines = read(folder_.path() / "sweep" / "seed=0" / "metrics.jsonl");
    return lines.substr(0, lines.find('\n'));
  };
  const std::vector<std::tuple<int, int, std::string>> ends = {
      {SIGKILL, 128 + SIGKILL, "killed by signal 9 (SIGKILL)"}, {SIGTERM, 130, "was stopped from outside"}};
  for (const auto& [signal, exit_code, reason] : ends) {
    std::filesystem::remove_all(folder_.path() / "sweep");
    Child child(sweep(grid), folder_.path());
    const auto run = folder_.path() / "sweep" / "seed=0";
    ASSERT_TRUE(wait_until([&] { return std::filesystem::exists(run / "checkpoint.gsck"); }));
    // "process 123 on host, since ..."
    pid_t pid = 0;
    ASSERT_EQ(std::sscanf(read(run / ".lock").c_str(), "process %d ", &pid), 1);
    ASSERT_EQ(kill(pid, signal), 0);
    const Outcome outcome = child.wait();
    EXPECT_EQ(outcome.exit_code, 1);
    EXPECT_THAT(outcome.out, HasSubstr("failed (" + std::to_string(exit_code) + "): " + reason + "\n"));
    EXPECT_THAT(outcome.err,
                HasSubstr("1 of 2 runs failed; their output is in 'sweep/logs'; the same command "
                          "tries them again, from their checkpoints where there are any\n"));
    const json killed = results().at(0);
    EXPECT_EQ(killed.at("state"), "failed");
    EXPECT_EQ(killed.at("exit_code"), exit_code);
    EXPECT_EQ(killed.at("error"), reason);
    EXPECT_EQ(results().at(1).at("state"), "finished") << "the other one is not kept from running";

    const std::string begun = first_line();
    EXPECT_EQ(folder_.run(sweep(grid)).exit_code, 0);
    EXPECT_EQ(first_line(), begun) << "times included: the first update was not made again";
    EXPECT_EQ(checksums("sweep"), checksums("whole"));
  }
}

TEST_F(SweepTest, SaysWhatIsWrong) {
  expect_refused(sweep({"--over", "lrr=1,2"}), 2, "--over 'lrr' is not a setting; did you mean lr?");
  expect_refused(sweep({"--over", "lr="}), 2, "--over lr: no values");
  expect_refused(sweep({}), 2, "--over is required");
  expect_refused(sweep({"--over", "lr=1e-3,fast"}), 2, "lr: expected a number, got 'fast'");
  expect_refused(sweep({"--over", "optimizer=adamw,lion", "--optimizer-engine", "libtorch"}), 2,
                 "run 'optimizer=lion': optimizer_engine must be fused");
  expect_refused(sweep({"--over", "lr=1e-3", "--jobs", "0"}), 2, "--jobs");
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "sweep")) << "nothing was begun";
  expect_refused(sweep({"--over", "lr=1e-3"}, "."), 1,
                 "'.' exists and is not a sweep; choose another --output");
  expect_refused(sweep({"--over", "lr=1e-3"}, "corpus.txt"), 1, "'corpus.txt' exists and is not a sweep");
  expect_refused(sweep({"--over", "lr=1e-3"}, "/proc/sweep"), 1, "/proc/sweep");
  expect_refused(sweep({"--over", "lr=1e-3"}, ""), 2,
                 "--output: expects the name of a file or a folder, got ''");

  ASSERT_EQ(folder_.run(sweep({"--over", "lr=1e-3", "--steps", "3"})).exit_code, 0);
  const json before = results();
  expect_refused(
      sweep({"--over", "lr=1e-2", "--steps", "3"}), 1,
      R"('sweep' holds another sweep, over {"lr":["1e-3"]}, not {"lr":["1e-2"]}; choose another --output)");
  expect_refused(sweep({"--over", "lr=1e-3", "--steps", "4"}), 1, "holds another sweep, with steps 3, not 4");
  // One that is older than a setting goes on, unless the setting is not what it was without.
  const std::filesystem::path description = folder_.path() / "sweep" / "sweep.json";
  json older = json::parse(read(description));
  ASSERT_EQ(older.at("settings").erase("layers"), 1u);
  write(description, older.dump());
  const Outcome again = folder_.run(sweep({"--over", "lr=1e-3", "--steps", "3"}));
  EXPECT_EQ(again.exit_code, 0) << again.err;
  expect_refused(sweep({"--over", "lr=1e-3", "--steps", "3", "--layers", "2"}), 1,
                 "holds another sweep, with layers 0, not 2");
  write(description, "{");
  expect_refused(sweep({"--over", "lr=1e-3", "--steps", "3"}), 1,
                 "sweep.json' is not the description of a sweep");
  EXPECT_EQ(results(), before);
}

}  // namespace
}  // namespace gradstab::testing_cli
