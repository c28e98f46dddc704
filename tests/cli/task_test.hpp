// What tests of a task on the command line begin with.
#pragma once

#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "program.hpp"

namespace gradstab::testing_cli {

/// Has a folder of its own, and reads what runs leave in it.
class TaskTest : public ::testing::Test {
 protected:
  nlohmann::json file(const std::string& path) const {
    return nlohmann::json::parse(read(folder_.path() / path));
  }
  /// The lines of that kind in a file of one JSON object per line.
  std::vector<nlohmann::json> lines(const std::string& path, const std::string& kind) const {
    std::vector<nlohmann::json> found;
    std::istringstream text(read(folder_.path() / path));
    for (std::string line; std::getline(text, line);)
      if (auto entry = nlohmann::json::parse(line); entry.at("kind") == kind)
        found.push_back(std::move(entry));
    return found;
  }
  /// Runs the program, which must end with that code.
  Outcome run(const std::vector<std::string>& arguments, int exit_code = 0) const {
    Outcome outcome = folder_.run(arguments);
    EXPECT_EQ(outcome.exit_code, exit_code) << outcome.err << outcome.out;
    return outcome;
  }
  /// Runs the program, which trains in `folder`, and kills it once there is a checkpoint. That it had ended
  /// by then is a fatal failure: give it to ASSERT_NO_FATAL_FAILURE.
  void kill_after_checkpoint(const std::vector<std::string>& arguments, const std::string& folder) const {
    Child child(arguments, folder_.path());
    ASSERT_TRUE(
        wait_until([&] { return std::filesystem::exists(folder_.path() / folder / "checkpoint.gsck"); }));
    child.signal(SIGKILL);
    ASSERT_EQ(child.wait().exit_code, 128 + SIGKILL);
  }

  const Folder folder_;
};

}  // namespace gradstab::testing_cli
