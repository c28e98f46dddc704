// Processes of runs: what they print, how they end, and that they do not outlive what started them.
#include "lab/sweep/process.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <thread>

#include "lab/support/files.hpp"

namespace gradstab::lab {
namespace {

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
  static int exit_code(Process process) {
    std::optional<int> code;
    EXPECT_TRUE(wait_until([&] { return (code = process.poll()).has_value(); }));
    return code.value_or(-1);
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
  EXPECT_EQ(read_file(log_).value(), "out\nerr\nmore\n");
}

TEST_F(ProcessTest, ASignalIsAnExitCodeToo) {
  EXPECT_EQ(exit_code(shell("kill -KILL $$")), 128 + SIGKILL);
  Process waits = shell("trap 'exit 130' INT; echo ready; while :; do sleep 0.02; done");
  ASSERT_TRUE(wait_until([&] { return read_file(log_).value().find("ready") != std::string::npos; }));
  EXPECT_FALSE(waits.poll().has_value());
  waits.interrupt();
  EXPECT_EQ(exit_code(std::move(waits)), 130);
}

TEST_F(ProcessTest, WhatCannotStartSaysSo) {
  EXPECT_EQ(exit_code(Process::start({"/nowhere/at-all"}, log_).value()), 127);
  EXPECT_EQ(read_file(log_).value(), "cannot start '/nowhere/at-all'\n");
  const auto refused = Process::start({"/bin/true"}, folder_ / "none" / "log");
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.status().message(), ::testing::AllOf(::testing::StartsWith("cannot write '"),
                                                           ::testing::EndsWith("No such file or directory")));
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
    const auto text = read_file(log_);
    return text && text->find("ready") != std::string::npos;
  }));
  EXPECT_FALSE(std::filesystem::exists(stopped));
  kill(parent, SIGKILL);
  waitpid(parent, nullptr, 0);
  EXPECT_TRUE(wait_until([&] { return std::filesystem::exists(stopped); }));
}

}  // namespace
}  // namespace gradstab::lab
