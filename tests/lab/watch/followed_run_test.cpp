// A run while it is written, killed, resumed, replaced and deleted: what is followed is what read_run reads.
#include "lab/watch/followed_run.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "lab/run/run_directory.hpp"
#include "lab/support/folder_lock.hpp"
#include "run_folder.hpp"
#include "tests/lab/run/test_runs.hpp"

namespace gradstab::lab::watch {
namespace {

using ::testing::HasSubstr;
using testing::TemporaryDirectory;

/// Long after every file was written.
constexpr std::int64_t kLater = std::int64_t{4'000'000'000} * 1'000'000'000;

class FollowedRunTest : public ::testing::Test {
 protected:
  bool look() { return followed_.look(kLater); }
  /// Everything that is new.
  bool read() { return followed_.read(Clock::time_point::max()); }

  /// The same points as a reader has who begins at the front; `steps` of them.
  void expect_points(std::size_t steps) {
    const RunRecord whole = read_run(run_.path()).value();
    const RunRecord& followed = followed_.record();
    ASSERT_EQ(whole.steps.size(), steps);
    ASSERT_EQ(followed.steps.size(), steps);
    ASSERT_EQ(followed.evaluations.size(), whole.evaluations.size());
    for (std::size_t i = 0; i < steps; ++i) {
      EXPECT_EQ(followed.steps[i].step, whole.steps[i].step);
      EXPECT_EQ(followed.steps[i].loss, loss_at(whole.steps[i].step));
      EXPECT_EQ(followed.steps[i].grad_norm, norm_at(whole.steps[i].step));
    }
    for (std::size_t i = 0; i < whole.evaluations.size(); ++i)
      EXPECT_EQ(followed.evaluations[i].score(), whole.evaluations[i].score());
  }

  TemporaryDirectory folder_;
  RunFolder run_{folder_.path() / "first", "first", 100};
  FollowedRun followed_{run_.path()};
};

TEST_F(FollowedRunTest, GrowsWithItsFile) {
  EXPECT_TRUE(look());
  EXPECT_FALSE(look());
  EXPECT_EQ(followed_.standing().steps, 100);
  EXPECT_EQ(followed_.standing().step, 0);
  EXPECT_TRUE(std::isnan(followed_.standing().loss));
  run_.train(1, 25);
  EXPECT_TRUE(look());
  EXPECT_EQ(followed_.standing().step, 25);
  EXPECT_EQ(followed_.standing().loss, loss_at(25));
  EXPECT_TRUE(read());
  expect_points(25);
  EXPECT_FALSE(read());
  EXPECT_FALSE(look());
  run_.train(26, 30);
  EXPECT_TRUE(look());
  // The last line is an evaluation.
  EXPECT_EQ(followed_.standing().step, 30);
  EXPECT_EQ(followed_.standing().loss, loss_at(30));
  EXPECT_TRUE(read());
  expect_points(30);
}

TEST_F(FollowedRunTest, HalfALineWaitsForItsEnd) {
  run_.train(1, 5);
  const std::string line = step_text(6);
  for (std::size_t i = 0; i < line.size(); ++i) {
    run_.append(line.substr(i, 1));
    look();
    read();
    ASSERT_EQ(followed_.record().steps.size(), i + 1 < line.size() ? 5u : 6u) << i;
    ASSERT_EQ(followed_.standing().step, i + 1 < line.size() ? 5 : 6);
  }
  EXPECT_EQ(followed_.standing().trouble, "");
  expect_points(6);
}

TEST_F(FollowedRunTest, ResumingDropsLines) {
  run_.train(1, 60);
  look();
  read();
  {
    RunDirectory directory = RunDirectory::open(run_.path()).value();
    ASSERT_TRUE(directory.go_back_to(40, 40, 1).ok());
    look();
    read();
    expect_points(40);
    EXPECT_EQ(followed_.state(), RunState::running);
    run_.train(41, 75);
    look();
    read();
    expect_points(75);
  }
  EXPECT_TRUE(look());
  EXPECT_EQ(followed_.state(), RunState::killed);
}

TEST_F(FollowedRunTest, BegunAgainWithinOneLook) {
  run_.train(1, 30);
  look();
  read();
  // Cut and longer than before when it is looked at again, in the same file: only its bytes tell.
  // Every line is as long as it was.
  std::string other = RunFolder::lines(1, 50);
  for (std::size_t at = 0; (at = other.find("_second\":100", at)) != std::string::npos; ++at)
    other.replace(at, 12, "_second\":987");
  run_.write("metrics.jsonl", other);
  look();
  EXPECT_TRUE(read());
  expect_points(50);
  // One that goes on would have kept the first thirty.
  EXPECT_EQ(followed_.record().steps.front().samples_per_second, 987.0);
  // Shorter.
  run_.write("metrics.jsonl", RunFolder::lines(1, 7));
  look();
  read();
  expect_points(7);
}

TEST_F(FollowedRunTest, ReplacedAsAWhole) {
  run_.train(1, 30);
  look();
  read();
  std::filesystem::remove_all(run_.path());
  EXPECT_TRUE(look());
  EXPECT_TRUE(followed_.standing().gone);
  const RunFolder again(run_.path(), "another name", 7);
  again.train(1, 3);
  EXPECT_TRUE(look());
  EXPECT_FALSE(followed_.standing().gone);
  EXPECT_EQ(followed_.record().name, "another name");
  EXPECT_EQ(followed_.standing().steps, 7);
  read();
  expect_points(3);
}

TEST_F(FollowedRunTest, MetricsThatWereDeleted) {
  run_.train(1, 30);
  look();
  read();
  std::filesystem::remove(run_.path() / "metrics.jsonl");
  EXPECT_TRUE(look());
  EXPECT_TRUE(read());
  EXPECT_EQ(followed_.record().steps.size(), 0u);
  EXPECT_EQ(followed_.standing().trouble, "");
  run_.train(1, 4);
  look();
  read();
  expect_points(4);
}

TEST_F(FollowedRunTest, ALineThatIsNone) {
  run_.train(1, 3);
  run_.append("{\"kind\": 5}\n");
  run_.train(4, 6);
  look();
  read();
  EXPECT_EQ(followed_.record().steps.size(), 3u);
  EXPECT_THAT(followed_.standing().trouble, HasSubstr("metrics.jsonl line 4: kind must be"));
  run_.write("metrics.jsonl", RunFolder::lines(1, 9));
  look();
  read();
  EXPECT_EQ(followed_.standing().trouble, "");
  expect_points(9);
}

TEST_F(FollowedRunTest, ADescriptionThatIsNone) {
  run_.write("run.json", "{\"format\": 2, ");
  run_.train(1, 3);
  EXPECT_TRUE(look());
  EXPECT_THAT(followed_.standing().trouble, HasSubstr("run.json"));
  EXPECT_FALSE(read());
  run_.write("run.json", run_text("mended", 9));
  EXPECT_TRUE(look());
  EXPECT_EQ(followed_.standing().trouble, "");
  read();
  expect_points(3);
}

TEST_F(FollowedRunTest, StatesByLockAndSummary) {
  run_.train(1, 3);
  look();
  EXPECT_EQ(followed_.state(),
            RunState::running_or_killed);  // no lock was ever there, and the last line is old
  const std::int64_t changed = followed_.standing().changed;
  followed_.look(changed + kFresh - 1);
  EXPECT_EQ(followed_.state(), RunState::running);
  followed_.look(changed + kFresh + 1'000'000'000);
  EXPECT_EQ(followed_.state(), RunState::running_or_killed);
  {
    const auto lock = FolderLock::acquire(run_.path(), FolderLock::HeldBy::this_process, "busy").value();
    EXPECT_TRUE(look());
    EXPECT_EQ(followed_.state(), RunState::running);
  }
  EXPECT_TRUE(look());
  EXPECT_EQ(followed_.state(), RunState::killed);
  run_.finish(3);
  EXPECT_TRUE(look());
  EXPECT_EQ(followed_.state(), RunState::finished);
  run_.write("summary.json", R"({"format":2,"state":"interrupted","step":3})");
  EXPECT_TRUE(look());
  EXPECT_EQ(followed_.state(), RunState::interrupted);
  run_.write("summary.json", R"({"format":2,"state":"finished","step":3,"diverged":true})");
  EXPECT_TRUE(look());
  EXPECT_EQ(followed_.state(), RunState::diverged);
  run_.write("summary.json", R"({"format":2,"state":5})");
  EXPECT_TRUE(look());
  EXPECT_THAT(followed_.standing().trouble, HasSubstr("summary.json: state must be"));
}

TEST_F(FollowedRunTest, ASweepSaysThatItFailed) {
  run_.write(".lock", "process 1 on nowhere\n");
  look();
  EXPECT_EQ(followed_.state(), RunState::killed);
  folder_.write("results.json",
                R"json({"format":1,"runs":[{"name":"other","state":"failed","error":"not this one"},
    {"name":"first","state":"failed","error":"killed by signal 9 (SIGKILL)"}]})json");
  EXPECT_TRUE(look());
  EXPECT_EQ(followed_.state(), RunState::failed);
  EXPECT_EQ(followed_.record().failure, "killed by signal 9 (SIGKILL)");
  folder_.write("results.json", R"({"format":1,"runs":[{"name":"first","state":"pending"}]})");
  EXPECT_TRUE(look());
  EXPECT_EQ(followed_.state(), RunState::killed);
}

TEST_F(FollowedRunTest, ForgetsAndReadsAgain) {
  run_.train(1, 30);
  look();
  read();
  followed_.forget();
  EXPECT_EQ(followed_.record().steps.size(), 0u);
  EXPECT_EQ(followed_.standing().step, 30);
  EXPECT_TRUE(read());
  expect_points(30);
}

TEST_F(FollowedRunTest, ALongFileIsReadInParts) {
  // Some ten megabytes.
  const std::string lines = RunFolder::lines(1, 60'000);
  run_.write("metrics.jsonl", lines);
  look();
  EXPECT_TRUE(followed_.read(Clock::time_point::min()));
  const std::size_t first = followed_.record().steps.size();
  EXPECT_GT(first, 1000u);
  EXPECT_LT(first, 59'000u);
  EXPECT_GT(followed_.part_read(), 0.1);
  EXPECT_LT(followed_.part_read(), 0.9);
  int parts = 1;
  while (followed_.read(Clock::time_point::min())) ++parts;
  EXPECT_GT(parts, 2);
  EXPECT_EQ(followed_.part_read(), 1.0);
  ASSERT_EQ(followed_.record().steps.size(), 60'000u);
  for (const std::size_t i : {std::size_t{0}, first - 1, first, std::size_t{59'999}})
    EXPECT_EQ(followed_.record().steps[i].loss, loss_at(static_cast<std::int64_t>(i) + 1));
}

}  // namespace
}  // namespace gradstab::lab::watch
