// gradstab inspect, as its users run it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "program.hpp"

namespace gradstab::testing_cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

/// 300 norms near 1, with one of `size` at step 200, and a loss that follows it or not.
std::string log(double size, bool follows) {
  std::string text = "step,train_loss,grad_norm\n";
  for (int step = 1; step <= 300; ++step) {
    const double wave = 0.2 * (step * step % 7) / 7.0;
    text += std::to_string(step) + "," + std::to_string(follows && step >= 200 ? 4.0 : 3.0 + 0.01 * wave) +
            "," + std::to_string(step == 200 ? size : 1.0 + wave) + "\n";
  }
  return text;
}

TEST(InspectTest, SaysWhatToDoAndWhy) {
  const Folder folder;
  write(folder.path() / "log.csv", log(200.0, true));
  const Outcome outcome =
      folder.run({"inspect", "log.csv", "-o", "page.html", "--json", "found.json", "--steps", "steps.csv"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
  EXPECT_THAT(outcome.out, StartsWith("log.csv\n  Try it: stabilize(robust_kappa=3).\n"));
  EXPECT_THAT(outcome.out, HasSubstr("steps 1 to 300; norm 'grad_norm', loss 'train_loss'"));
  EXPECT_THAT(outcome.out, Not(HasSubstr("would have helped")));
  const auto found = nlohmann::json::parse(read(folder.path() / "found.json"));
  EXPECT_EQ(found["logs"][0]["verdict"]["advice"], "try");
  EXPECT_EQ(found["logs"][0]["events"][0]["step"], 200);
  EXPECT_EQ(found["logs"][0]["events"][0]["factors"]["clip_1"].get<double>(), 1.0 / (200.0 + 1e-6));
  const std::string steps = read(folder.path() / "steps.csv");
  EXPECT_THAT(steps,
              StartsWith("step,norm,loss,median,published,robust,clip_1,clip_medians,zclip,adagc\n1,"));
  EXPECT_EQ(std::ranges::count(steps, '\n'), 301);
  EXPECT_THAT(read(folder.path() / "page.html"), HasSubstr("Try it: stabilize(robust_kappa=3)"));

  const Outcome again = folder.run({"inspect", "log.csv", "-o", "page.html"});
  EXPECT_EQ(again.exit_code, 1);
  EXPECT_THAT(again.err, HasSubstr("page.html"));
  EXPECT_EQ(folder.run({"inspect", "log.csv", "-o", "page.html", "--force"}).exit_code, 0);
}

TEST(InspectTest, OneLogThatCannotBeReadKeepsNobodyFromTheOthers) {
  const Folder folder;
  write(folder.path() / "quiet.csv", log(1.0, false));
  write(folder.path() / "empty.csv", "");
  const Outcome outcome = folder.run({"inspect", "empty.csv", "absent.csv", "quiet.csv"});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_EQ(
      outcome.err,
      "gradstab: 'empty.csv' is empty\ngradstab: cannot open 'absent.csv': No such file or directory\n");
  EXPECT_THAT(outcome.out, StartsWith("quiet.csv\n  Leave it as it is.\n"));
}

TEST(InspectTest, WhatIsWrongIsSaidInOneLine) {
  const Folder folder;
  write(folder.path() / "log.csv", log(20.0, false));
  const auto error = [&](std::vector<std::string> arguments, int exit_code) {
    arguments.insert(arguments.begin(), {"inspect", "log.csv"});
    const Outcome outcome = folder.run(arguments);
    EXPECT_EQ(outcome.exit_code, exit_code) << outcome.err;
    EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1) << outcome.err;
    return outcome.err;
  };
  EXPECT_THAT(error({"--norm", "grad_nom"}, 2),
              HasSubstr("--norm: it has no 'grad_nom'; the nearest name in it is 'grad_norm'"));
  EXPECT_THAT(error({"--pattern", "("}, 2), HasSubstr("--pattern is no regular expression of RE2"));
  EXPECT_THAT(error({"--gamma2", "1"}, 2), HasSubstr("gamma2 must be in [0, 1), got 1"));
  EXPECT_THAT(error({"--robust-kappa", "1"}, 2), HasSubstr("robust_kappa"));
  EXPECT_THAT(error({"log.csv", "--steps", "steps.csv"}, 2), HasSubstr("--steps takes one log, got 2"));
}

}  // namespace
}  // namespace gradstab::testing_cli
