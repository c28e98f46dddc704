// A run does not depend on who watches it: its terminal may go, its streams may fail or be missing.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <sstream>

#include "program.hpp"

namespace gradstab::testing_cli {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

const std::vector<std::string> kSettings = {"--steps", "60",   "--eval-every", "20", "--checkpoint-every",
                                            "50",      "--lr", "0.01"};

class LostTerminalTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new Folder;
    const Outcome whole = folder_->run(Folder::train("whole", kSettings));
    ASSERT_EQ(whole.exit_code, 0) << whole.err;
  }
  static void TearDownTestSuite() { delete std::exchange(folder_, nullptr); }

  static nlohmann::json summary(const std::string& run) {
    return nlohmann::json::parse(read(folder_->path() / run / "summary.json"));
  }
  /// Every line of the metrics is one.
  static std::size_t updates(const std::string& run) {
    std::size_t count = 0;
    std::istringstream lines(read(folder_->path() / run / "metrics.jsonl"));
    for (std::string text; std::getline(lines, text);) {
      if (lines.eof()) break;  // is being written
      const auto line = nlohmann::json::parse(text, nullptr, false);
      EXPECT_TRUE(line.is_object()) << text;
      if (line.is_object() && line.at("kind") == "step") ++count;
    }
    return count;
  }
  static void expect_whole(const std::string& run) {
    EXPECT_EQ(updates(run), 60u);
    EXPECT_EQ(summary(run)["weights_checksum"], summary("whole")["weights_checksum"]);
  }

  static Folder* folder_;
};
Folder* LostTerminalTest::folder_ = nullptr;

TEST_F(LostTerminalTest, ARunGoesOnWithoutItsStandardError) {
  const Outcome full = folder_->run(Folder::train("full", kSettings), {.err = "/dev/full"});
  EXPECT_EQ(full.exit_code, 0);
  EXPECT_THAT(full.out, HasSubstr("result "));
  expect_whole("full");

  const Outcome closed = folder_->run(Folder::train("closed", kSettings), {.closed = {STDERR_FILENO}});
  EXPECT_EQ(closed.exit_code, 0);
  EXPECT_THAT(closed.out, HasSubstr("result "));
  expect_whole("closed");
}

TEST_F(LostTerminalTest, ARunGoesOnWithoutAnyOfItsStreams) {
  const Outcome outcome = folder_->run(Folder::train("none", kSettings),
                                       {.closed = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}});
  EXPECT_EQ(outcome.exit_code, 1) << "nobody was told the result";
  expect_whole("none");
}

TEST_F(LostTerminalTest, ARunGoesOnWhenWhoeverReadItsProgressHasGone) {
  const auto pipe = folder_->path() / "progress";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  int reader = open(pipe.c_str(), O_RDONLY | O_NONBLOCK);
  ASSERT_GE(reader, 0);
  Child child(Folder::train("unread", kSettings), folder_->path(), {.err = pipe});
  pollfd readable{reader, POLLIN, 0};
  ASSERT_EQ(poll(&readable, 1, 60000), 1);
  ASSERT_TRUE(wait_until([&] { return updates("unread") >= 1; }));
  close(reader);
  const Outcome outcome = child.wait();
  EXPECT_EQ(outcome.exit_code, 0) << outcome.out;
  expect_whole("unread");
}

TEST_F(LostTerminalTest, AHangupIsAnOrderlyEnd) {
  Child child(Folder::train("hangup", kSettings), folder_->path());
  ASSERT_TRUE(wait_until([&] { return updates("hangup") >= 3; }));
  // The kernel says so, and the shell.
  child.signal(SIGHUP);
  child.signal(SIGHUP);
  const Outcome outcome = child.wait();
  EXPECT_EQ(outcome.exit_code, 130) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("continue with: gradstab train llm --resume hangup"));
  EXPECT_EQ(summary("hangup")["state"], "interrupted");
  EXPECT_TRUE(std::filesystem::exists(folder_->path() / "hangup" / "checkpoint.gsck"));
  EXPECT_EQ(folder_->run({"train", "llm", "--resume", "hangup"}).exit_code, 0);
  expect_whole("hangup");
}

TEST_F(LostTerminalTest, AHangupIsNothingUnderNohup) {
  Child child(Folder::train("nohup", kSettings), folder_->path(), {.ignore_hangup = true});
  ASSERT_TRUE(wait_until([&] { return updates("nohup") >= 3; }));
  child.signal(SIGHUP);
  EXPECT_EQ(child.wait().exit_code, 0);
  expect_whole("nohup");
}

TEST_F(LostTerminalTest, ARunWhoseWindowIsClosedWritesItsCheckpoint) {
  const int window = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  ASSERT_GE(window, 0);
  ASSERT_EQ(grantpt(window), 0);
  ASSERT_EQ(unlockpt(window), 0);
  Child child(Folder::train("window", kSettings), folder_->path(), {.terminal = ptsname(window)});
  std::string shown;
  ASSERT_TRUE(wait_until([&] {
    char text[4096];
    pollfd readable{window, POLLIN, 0};
    if (poll(&readable, 1, 10) == 1) {
      const ssize_t count = ::read(window, text, sizeof text);
      if (count > 0) shown.append(text, static_cast<std::size_t>(count));
    }
    return updates("window") >= 3;
  })) << shown;
  EXPECT_THAT(shown, HasSubstr("step ")) << "a live line";
  close(window);
  EXPECT_EQ(child.wait().exit_code, 130);
  EXPECT_EQ(summary("window")["state"], "interrupted");
  EXPECT_EQ(folder_->run({"train", "llm", "--resume", "window"}).exit_code, 0);
  expect_whole("window");
}

TEST_F(LostTerminalTest, AResultThatCannotBeToldIsAnError) {
  const std::vector<std::vector<std::string>> commands = {
      {"bounds"},          {"bounds", "--json"},
      {"--help"},          {"--version"},
      {"reproduce"},       {"data", "corpus.txt", "--tokenizer", "bytes"},
      {"train", "--help"}, {"report", "whole", "-o", "page.html", "--force"}};
  for (const auto& command : commands) {
    const Outcome full = folder_->run(command, {.out = "/dev/full"});
    EXPECT_EQ(full.exit_code, 1) << command[0];
    EXPECT_THAT(full.err, HasSubstr("gradstab: cannot write standard output: No space left on device\n"))
        << command[0];
    const Outcome closed = folder_->run(command, {.closed = {STDOUT_FILENO}});
    EXPECT_EQ(closed.exit_code, 1) << command[0];
    EXPECT_THAT(closed.err, HasSubstr("gradstab: cannot write standard output: Bad file descriptor\n"))
        << command[0];
    EXPECT_EQ(folder_->run(command).exit_code, 0) << command[0];
  }
  // What was wrong before is said, and not that nobody could be told.
  const Outcome wrong = folder_->run({"report", "nowhere", "-o", "other.html"}, {.out = "/dev/full"});
  EXPECT_EQ(wrong.exit_code, 1);
  EXPECT_THAT(wrong.err, StartsWith("gradstab: 'nowhere' does not exist"));
}

TEST_F(LostTerminalTest, ASweepWhoseWindowIsClosedGoesOnLater) {
  const std::vector<std::string> sweep = {
      "sweep",       "llm",   "--over",    "seed=0..1", "--output",       "sweep", "--data",  "corpus.txt",
      "--tokenizer", "bytes", "--context", "16",        "--batch",        "2",     "--steps", "60",
      "--warmup",    "2",     "--threads", "1",         "--eval-batches", "2",     "--jobs",  "2"};
  Child child(sweep, folder_->path(), {.err = "/dev/full"});
  ASSERT_TRUE(wait_until([&] { return updates("sweep/seed=0") >= 3 && updates("sweep/seed=1") >= 3; }));
  child.signal(SIGHUP);
  EXPECT_EQ(child.wait().exit_code, 130);
  for (const char* run : {"sweep/seed=0", "sweep/seed=1"})
    EXPECT_TRUE(std::filesystem::exists(folder_->path() / run / "checkpoint.gsck")) << run;
  EXPECT_EQ(folder_->run(sweep).exit_code, 0);
  for (const char* run : {"sweep/seed=0", "sweep/seed=1"}) EXPECT_EQ(updates(run), 60u) << run;
}

}  // namespace
}  // namespace gradstab::testing_cli
