// What each verb prints and writes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "program.hpp"

namespace gradstab::testing_cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TEST(VerbsTest, HelpOfEachVerbShowsDefaultsAndAnExample) {
  const Folder folder;
  const std::vector<std::pair<std::vector<std::string>, std::string>> verbs = {
      {{"train", "llm", "--help"}, "0.999"},
      {{"report", "--help"}, "report.html"},
      {{"bounds", "--help"}, "0.999"},
      {{"data", "--help"}, "dict-gcide"},
      {{"replay", "--help"}, "f64"},
      {{"rollout", "--help"}, "0"},
      {{"watch", "--help"}, "0"}};
  for (const auto& [arguments, a_default] : verbs) {
    const Outcome outcome = folder.run(arguments);
    EXPECT_EQ(outcome.exit_code, 0);
    EXPECT_THAT(outcome.out,
                AllOf(HasSubstr("Example: gradstab " + arguments.front()),
                      // As CLI11 writes defaults: until version 2.3, and since.
                      ::testing::AnyOf(HasSubstr("=" + a_default + " "), HasSubstr("[" + a_default + "]"))));
  }
}

TEST(VerbsTest, WithoutAVerbEveryVerbIsNamed) {
  const Folder folder;
  const Outcome without = folder.run({});
  EXPECT_EQ(without.exit_code, 2);
  // As the help lists them: behind a heading, two spaces and the name.
  std::istringstream help(folder.run({"--help"}).out);
  int verbs = 0;
  bool listed = false;
  for (std::string line; std::getline(help, line);) {
    if (line.find("ubcommands") != std::string::npos || line.find("SUBCOMMANDS") != std::string::npos) {
      listed = true;
    } else if (listed && line.starts_with("  ") && line.size() > 2 && line[2] != ' ') {
      ++verbs;
      EXPECT_THAT(without.err, HasSubstr(line.substr(2, line.find(' ', 2) - 2)));
    }
  }
  EXPECT_GE(verbs, 7);
  EXPECT_THAT(without.err, HasSubstr("reproduce"));
}

TEST(VerbsTest, BoundsPrintsTheUniformBoundOfTheDefaults) {
  const Folder folder;
  EXPECT_THAT(folder.run({"bounds"}).out,
              AllOf(HasSubstr("15.8158"), HasSubstr("12.649111"), HasSubstr("1.030655")));
  const auto json = nlohmann::json::parse(folder.run({"bounds", "--json"}).out);
  EXPECT_NEAR(json["uniform_bound"].get<double>(), 15.815842, 1e-6);
  EXPECT_NEAR(json["step_bound"][0]["released"].get<double>(), 1.0, 1e-12);
  // No uniform bound exists here, and JSON has no infinity.
  EXPECT_TRUE(nlohmann::json::parse(
                  folder.run({"bounds", "--gamma1", "0.9", "--gamma2", "0.5", "--json"}).out)["uniform_bound"]
                  .is_null());
}

TEST(VerbsTest, DataSaysWhatIsInTheCorpusAndUsesItsCache) {
  const Folder folder;
  const std::vector<std::string> arguments = {"data",         "corpus.txt", "--tokenizer", "bpe",
                                              "--vocab-size", "300",        "--encode",    "word1"};
  const Outcome first = folder.run(arguments);
  ASSERT_EQ(first.exit_code, 0) << first.err;
  EXPECT_THAT(first.out, AllOf(HasSubstr("cache       written"), HasSubstr("encoded     ")));
  EXPECT_THAT(folder.run(arguments).out, HasSubstr("cache       used"));
}

TEST(VerbsTest, TrainAndReportOnThreeTransforms) {
  const Folder folder;
  for (const char* transform : {"none", "clip", "stabilize"}) {
    const Outcome outcome = folder.run(Folder::train(
        transform, {"--steps", "12", "--eval-every", "4", "--accumulation", "2", "--transform", transform}));
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_THAT(outcome.out, AllOf(HasSubstr("validation loss"), HasSubstr("1.00 M of them outside")));
    const auto run = nlohmann::json::parse(read(folder.path() / transform / "run.json"));
    EXPECT_EQ(run["settings"]["transform"],
              std::string(transform) == "clip" ? "clip_by_global_norm" : transform);
    EXPECT_THAT(run["command"].get<std::string>(), HasSubstr("gradstab train llm --data corpus.txt"));
    std::istringstream lines(read(folder.path() / transform / "metrics.jsonl"));
    int steps = 0;
    int evaluations = 0;
    for (std::string line; std::getline(lines, line);) {
      const auto entry = nlohmann::json::parse(line);
      if (entry["kind"] == "eval") ++evaluations;
      if (entry["kind"] != "step") continue;
      ++steps;
      EXPECT_EQ(entry["tokens"], steps * 2 * 2 * 16);
      const double raw = entry["grad_norm"];
      const double after = entry["stabilized_norm"];
      if (std::string(transform) == "none") {
        EXPECT_EQ(raw, after);
      }
      if (std::string(transform) == "clip") {
        EXPECT_LE(after, 1.0);
      }
      // Released form: every tensor's first norm becomes 1, and there are 5 * 9 + 3 tensors.
      if (std::string(transform) == "stabilize" && steps == 1) {
        EXPECT_NEAR(after, std::sqrt(48.0), 1e-6);
      }
    }
    EXPECT_EQ(steps, 12);
    EXPECT_EQ(evaluations, 3);
  }
  const Outcome report = folder.run({"report", "none", "clip", "stabilize", "-o", "page.html"});
  ASSERT_EQ(report.exit_code, 0) << report.err;
  const auto loss =
      nlohmann::json::parse(read(folder.path() / "clip" / "summary.json"))["final_validation_loss"];
  char shown[32];
  std::snprintf(shown, sizeof shown, "%.4f", loss.get<double>());
  EXPECT_THAT(report.out, AllOf(HasSubstr(shown), HasSubstr("adamw+stabilize"), HasSubstr("page.html")));
  EXPECT_THAT(read(folder.path() / "page.html"),
              AllOf(HasSubstr("<!DOCTYPE html>"), HasSubstr("adamw+clip")));
}

/// Two that ask for more than norms: of the parameters' values, and of single elements.
TEST(VerbsTest, BothEnginesTrainBehindTheRivals) {
  const Folder folder;
  std::vector<std::string> losses;
  for (const char* engine : {"fused", "libtorch"}) {
    const Outcome outcome =
        folder.run(Folder::train(engine, {"--steps", "4", "--optimizer-engine", engine, "--transform",
                                          "adaptive_clip+spike_aware_clip+zclip"}));
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    const auto summary = nlohmann::json::parse(read(folder.path() / engine / "summary.json"));
    char shown[32];
    std::snprintf(shown, sizeof shown, "%.4f", summary["final_validation_loss"].get<double>());
    losses.emplace_back(shown);
  }
  EXPECT_EQ(losses.front(), losses.back());
  const Outcome refused = folder.run(Folder::train("b", {"--step-in-backward", "--transform", "zclip"}));
  EXPECT_NE(refused.exit_code, 0);
  EXPECT_THAT(refused.err, HasSubstr("'zclip' needs the norms of all tensors"));
}

}  // namespace
}  // namespace gradstab::testing_cli
