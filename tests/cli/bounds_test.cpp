// gradstab bounds: text, JSON, page, and wrong input.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "program.hpp"

namespace gradstab::testing_cli {
namespace {

using testing::AllOf;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

class BoundsVerbTest : public testing::Test {
 protected:
  /// Runs and expects one line on standard error and nothing on standard output.
  void expect_refused(std::vector<std::string> arguments, int exit_code,
                      const testing::Matcher<std::string>& message) {
    arguments.insert(arguments.begin(), "bounds");
    check_refused(folder_.run(arguments), exit_code, message);
  }

  static void check_refused(const Outcome& outcome, int exit_code,
                            const testing::Matcher<std::string>& message) {
    EXPECT_EQ(outcome.exit_code, exit_code) << outcome.err;
    EXPECT_THAT(outcome.err, message);
    EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1) << outcome.err;
    EXPECT_EQ(outcome.out, "");
  }

  /// Files in the test's folder with `part` in their name.
  std::size_t files_with(const std::string& part) const {
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path()))
      count += entry.path().filename().string().find(part) != std::string::npos ? 1 : 0;
    return count;
  }

  Folder folder_;
};

TEST_F(BoundsVerbTest, PrintsTheDocumentedRecoveryTable) {
  const std::string text = folder_.run({"bounds"}).out;
  EXPECT_THAT(text, ContainsRegex("10x +published +4\\.378 +0\\.953 +never below +never below"));
  EXPECT_THAT(text, ContainsRegex("100x +published +11\\.96 +0\\.298 +1219 +3752"));
  EXPECT_THAT(text, ContainsRegex("1000x +published +12\\.34 +0\\.0313 +5807 +8354"));
  EXPECT_THAT(text, ContainsRegex("1000000x +published +12\\.33 +3\\.15e-05 +19615 +22163"));
  EXPECT_THAT(text, Not(ContainsRegex(" robust +[0-9]")));
}

TEST_F(BoundsVerbTest, WithKappaPrintsBothRulesAndFromWhereOnTheyBoundAlike) {
  const std::string text = folder_.run({"bounds", "--kappa", "3"}).out;
  EXPECT_THAT(
      text, ContainsRegex("published rule, paper form +15\\.8158\n +robust, kappa 3, released +1\\.79798\n"));
  EXPECT_THAT(text, HasSubstr("below kappa 64.333 only"));
  EXPECT_THAT(text, ContainsRegex("1000x +published +12\\.34 .*\n +robust +1\\.792 +0\\.996 +never below"));
  const std::string tight = folder_.run({"bounds", "--kappa", "1.5"}).out;
  EXPECT_THAT(tight, ContainsRegex("robust, kappa 1\\.5, released +1\\.1[0-9]+\n"));
}

TEST_F(BoundsVerbTest, HistoryChangesTheRecoveryTableAlone) {
  const auto json = nlohmann::json::parse(folder_.run({"bounds", "--json"}).out);
  const auto other = nlohmann::json::parse(folder_.run({"bounds", "--json", "--history", "50"}).out);
  EXPECT_EQ(json["step_bound"], other["step_bound"]);
  EXPECT_EQ(json["spike_at_step"], other["spike_at_step"]);
  EXPECT_NE(json["recovery"], other["recovery"]);
  EXPECT_EQ(other["history"], 50);
}

TEST_F(BoundsVerbTest, TextFitsEightyColumns) {
  const std::vector<std::vector<std::string>> settings = {
      {"bounds"},
      {"bounds", "--kappa", "3"},
      {"bounds", "--gamma1", "0.9", "--gamma2", "0.5", "--kappa", "1.25", "--history", "10000000"},
      {"bounds", "--gamma2", "0.99999999", "--kappa", "7"}};
  for (const auto& arguments : settings) {
    const Outcome outcome = folder_.run(arguments);
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    std::istringstream lines(outcome.out);
    for (std::string line; std::getline(lines, line);) {
      EXPECT_LE(line.size(), 80u) << line;
      EXPECT_FALSE(line.ends_with(' ')) << line;
    }
  }
}

TEST_F(BoundsVerbTest, JsonHasTheNumbersOfTheText) {
  const Outcome outcome = folder_.run({"bounds", "--json", "--kappa", "3", "--html", "page.html"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const auto json = nlohmann::json::parse(outcome.out);  // and nothing else beside it
  EXPECT_EQ(json["kappa"], 3.0);
  EXPECT_EQ(json["recovery"][1]["published"]["steps_until_half"], 1219);
  EXPECT_EQ(json["recovery"][1]["robust"]["steps_until_half"], 0);
  EXPECT_NEAR(json["kappa_of_no_effect"].get<double>(), 64.3333, 1e-3);
  EXPECT_NEAR(json["spike_bound"][3]["paper"].get<double>(), 12.668084, 0.5e-6);
  EXPECT_TRUE(std::filesystem::exists(folder_.path() / "page.html"));
}

TEST_F(BoundsVerbTest, WritesAPageAndReplacesItOnlyWithForce) {
  const Outcome first = folder_.run({"bounds", "--html", "page.html"});
  ASSERT_EQ(first.exit_code, 0) << first.err;
  EXPECT_THAT(first.out, ContainsRegex("\npage +/.*/page\\.html\n$"));
  const std::string page = read(folder_.path() / "page.html");
  EXPECT_THAT(page, AllOf(HasSubstr("<!DOCTYPE html>"), HasSubstr("data-map=\"bound\"")));

  expect_refused({"--kappa", "3", "--html", "page.html"}, 1,
                 AllOf(HasSubstr("'page.html' already exists"), HasSubstr("--force")));
  EXPECT_EQ(read(folder_.path() / "page.html"), page);

  EXPECT_EQ(folder_.run({"bounds", "--kappa", "3", "--html", "page.html", "--force"}).exit_code, 0);
  EXPECT_NE(read(folder_.path() / "page.html"), page);
  EXPECT_EQ(files_with("page.html"), 1u);
}

TEST_F(BoundsVerbTest, WrongSettings) {
  expect_refused({"--kappa", "0.5"}, 2, AllOf(HasSubstr("kappa"), HasSubstr("got 0.5")));
  expect_refused({"--kappa", "nan"}, 2, AllOf(HasSubstr("kappa"), HasSubstr("got nan")));
  expect_refused({"--kappa", "inf"}, 2, AllOf(HasSubstr("kappa"), HasSubstr("got inf")));
  expect_refused({"--kappa", "three"}, 2, HasSubstr("--kappa"));
  expect_refused({"--gamma1", "-0.1"}, 2, HasSubstr("gamma1 must be in [0, 1), got -0.1"));
  expect_refused({"--gamma2", "1"}, 2, HasSubstr("gamma2 must be in [0, 1), got 1"));
  expect_refused({"--history", "-1"}, 2, HasSubstr("history must be in [0, 10000000], got -1"));
  expect_refused({"--history", "99999999999"}, 2, HasSubstr("got 99999999999"));
  expect_refused({"--history", "many"}, 2, HasSubstr("--history"));
  expect_refused({"--force"}, 2, HasSubstr("--html"));
  expect_refused({"--html", ""}, 2, HasSubstr("--html"));
  expect_refused({"--kappa", "0.5", "--html", "page.html"}, 2, HasSubstr("kappa"));
  EXPECT_EQ(files_with("page.html"), 0u);
}

TEST_F(BoundsVerbTest, PageThatCannotBeWritten) {
  expect_refused({"--html", "/proc/page.html"}, 1, HasSubstr("/proc/page.html"));
  expect_refused({"--html", "absent/page.html"}, 1, HasSubstr("absent/page.html"));
  std::filesystem::create_directory(folder_.path() / "folder");
  expect_refused({"--html", "folder"}, 1, HasSubstr("'folder'"));
  expect_refused({"--html", "folder", "--force"}, 1, HasSubstr("'folder'"));
  EXPECT_EQ(files_with("folder"), 1u);
}

TEST_F(BoundsVerbTest, FullDiskLeavesNothing) {
  check_refused(Child({"bounds", "--html", "page.html"}, folder_.path(), true).wait(), 1,
                AllOf(HasSubstr("page.html"), HasSubstr("File too large")));
  EXPECT_EQ(files_with("page.html"), 0u);
}

}  // namespace
}  // namespace gradstab::testing_cli
