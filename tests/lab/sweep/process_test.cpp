// Processes of runs: what they print, how they end, and that they do not outlive what started them.
#include "lab/sweep/process.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <thread>

#include "lab/support/files.hpp"

namespace gradstab::lab {
namespace {

constexpr FileKind kLog{"a log", kMiB};

class ProcessTest : public ::testing::Test {
 protected:
  ~ProcessTest() override { std::filesystem::remove_all(folder_); }

  static bool wait_until(const std::function<bool()>& done) {
    for (int i = 0; i < 3000; ++i) {
      if (done()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }
  static int exit_code(Process process) { return end_of(std::move(process)).exit_code; }
  static ProcessEnd end_of(Process process) {
    std::optional<ProcessEnd> end;
    EXPECT_TRUE(wait_until([&] { return (end = process.poll()).has_value(); }));
    return end.value_or(ProcessEnd{-1, -1});
  }
  Process shell(const std::string& script) const {
    return Process::start({"/bin/sh", "-c", script}, log_).value();
  }

  static std::filesystem::path new_folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "gradstab-process-XXXXXX").string();
    return mkdtemp(pattern.data());
  }

  const std::filesystem::path folder_ = new_folder();
  const std::filesystem::path log_ = folder_ / "log";
};

TEST_F(ProcessTest, OutputIsAppendedToTheLogAndTheExitCodeKept) {
  EXPECT_EQ(exit_code(shell("echo out; echo err >&2; exit 7")), 7);
  EXPECT_EQ(exit_code(shell("echo more")), 0);
  EXPECT_EQ(read_file(log_, kLog).value(), "out\nerr\nmore\n");
}

TEST_F(ProcessTest, ASignalIsAnExitCodeToo) {
  const ProcessEnd killed = end_of(shell("kill -KILL $$"));
  EXPECT_EQ(killed.exit_code, 128 + SIGKILL);
  EXPECT_EQ(killed.signal, SIGKILL);
  EXPECT_EQ(signal_text(killed.signal), "killed by signal 9 (SIGKILL)");
  // A shell says 137 of a child that was killed; that is no signal to the shell.
  const ProcessEnd said_so = end_of(shell("exit 137"));
  EXPECT_EQ(said_so.exit_code, 128 + SIGKILL);
  EXPECT_EQ(said_so.signal, 0);
  Process waits = shell("trap 'exit 130' INT; echo ready; while :; do sleep 0.02; done");
  ASSERT_TRUE(wait_until([&] { return read_file(log_, kLog).value().find("ready") != std::string::npos; }));
  EXPECT_FALSE(waits.poll().has_value());
  waits.interrupt();
  EXPECT_EQ(exit_code(std::move(waits)), 130);
}

TEST_F(ProcessTest, WhatCannotStartSaysSo) {
  EXPECT_EQ(exit_code(Process::start({"/nowhere/at-all"}, log_).value()), 127);
  EXPECT_EQ(read_file(log_, kLog).value(), "cannot start '/nowhere/at-all'\n");
  const auto refused = Process::start({"/bin/true"}, folder_ / "none" / "log");
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.status().message(), ::testing::AllOf(::testing::StartsWith("cannot write '"),
                                                           ::testing::EndsWith("No such file or directory")));
}

TEST_F(ProcessTest, AnAnswerIsWhatWasPrintedAndIsBounded) {
  const auto answer = answer_of({"/bin/sh", "-c", "echo out; echo err >&2; exit 3"}, 100).value();
  EXPECT_EQ(answer.end.exit_code, 3);
  EXPECT_EQ(answer.output, "out\nerr\n");
  EXPECT_EQ(answer_of({"/bin/sh", "-c", "echo 0123456789"}, 4).value().output, "0123");
}

TEST_F(ProcessTest, ALogIsAFile) {
  ASSERT_EQ(mkfifo(log_.c_str(), 0600), 0);
  const auto refused = Process::start({"/bin/true"}, log_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.status().message(),
            std::string("'").append(log_.string()).append("' is a pipe, expected a file"));
}

TEST_F(ProcessTest, ItIsAskedToStopWhenItsParentIsKilled) {
  const std::string stopped = folder_ / "stopped";
  const pid_t parent = fork();
  if (parent == 0) {
    Process child =
        shell("trap 'echo yes > " + stopped + "; exit' TERM; echo ready; while :; do sleep 0.02; done");
    for (;;) pause();
  }
  EXPECT_TRUE(wait_until([&] {
    const auto text = read_file(log_, kLog);
    return text && text->find("ready") != std::string::npos;
  }));
  EXPECT_FALSE(std::filesystem::exists(stopped));
  kill(parent, SIGKILL);
  waitpid(parent, nullptr, 0);
  EXPECT_TRUE(wait_until([&] { return std::filesystem::exists(stopped); }));
}

}  // namespace
}  // namespace gradstab::lab
