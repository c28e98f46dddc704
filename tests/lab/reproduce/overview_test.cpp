// The overview of a folder of reproductions, and the one that is kept in docs/results.
#include "lab/reproduce/overview.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <regex>

#include "lab/support/files.hpp"
#include "test_records.hpp"

namespace gradstab::lab {
namespace {

constexpr FileKind kPage{"a kept page", 16 * kMiB};

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

const std::filesystem::path kResults = GRADSTAB_RESULTS;

Records small_records() {
  std::vector<ItemRun> runs;
  for (int seed = 0; seed < 2; ++seed) {
    const Settings context = {{"lr", "0.003"}};
    runs.push_back(finished_run("none", seed, 2.0 + 0.1 * seed, context));
    runs.push_back(finished_run("stabilize", seed, 1.9 + 0.1 * seed, context));
    runs.push_back(finished_run("clip", seed, seed == 0 ? kNoValue : 2.5, context));
    runs.push_back(finished_run("none", seed, 1.5, context, "long"));
  }
  return records_of(std::move(runs));
}

TEST(OverviewTest, SaysVerdictsEffectsAndLosses) {
  const std::string text = render_overview({small_records()});
  EXPECT_THAT(text, HasSubstr("## figure-1\n"));
  EXPECT_THAT(text, HasSubstr("| loss on held-out text | short | long |\n|---|---|---|\n"));
  EXPECT_THAT(text, HasSubstr("| lr 0.003: no method | 2.050 ± 0.071 | 1.500 ± 0.000 |\n"));
  EXPECT_THAT(text, HasSubstr("| lr 0.003: norm clip 1 | 2.500, 1 of 2 not finite | – |\n"));
  EXPECT_THAT(text, HasSubstr("| against no method | \u22120.100 ± 0.000, reproduced | – |\n"));
  EXPECT_THAT(text,
              HasSubstr("| The lowest evaluation loss of the four at learning rate 3e-3 | undecided |"));
  EXPECT_THAT(text, Not(HasSubstr("nan")));
}

TEST(OverviewTest, AFolderWithoutRecordsIsAnError) {
  const auto folder = std::filesystem::path(::testing::TempDir()) / "overview_of_nothing";
  std::filesystem::create_directories(folder / "empty");
  EXPECT_THAT(read_reproductions(folder).status().message(),
              HasSubstr("has records.jsonl or records.jsonl.gz"));
  EXPECT_EQ(read_reproductions(folder / "none").status().code(), StatusCode::io_error);
  std::ofstream(folder / "empty" / "records.jsonl") << "{}\n";
  EXPECT_THAT(read_reproductions(folder).status().message(), HasSubstr("records.jsonl' line 1"));
  std::filesystem::remove_all(folder);
}

TEST(KeptResultsTest, TheOverviewIsThatOfTheRecords) {
  if (!std::filesystem::exists(kResults)) GTEST_SKIP() << "no results are kept here";
  const std::string kept = read_file(kResults / kOverviewName, kPage).value();
  const std::string fresh = render_overview(read_reproductions(kResults).value());
  EXPECT_EQ(kept == fresh, true) << "write it again: build/gradstab reproduce --overview docs/results";
}

/// The part of the overview that is about an item.
std::string section_of(const std::string& overview, const std::string& item) {
  const std::size_t begin = overview.find("\n## " + item + "\n");
  if (begin == std::string::npos) return "";
  return overview.substr(begin, overview.find("\n## ", begin + 1) - begin);
}

/// Losses in lines that link to an item of the overview, and that its section does not have.
std::vector<std::string> unfounded_losses(const std::string& document, const std::string& overview) {
  static const std::regex link(R"(docs/results/README\.md#([a-z0-9-]+))");
  static const std::regex loss(R"([0-9]\.[0-9]{3}\b)");
  std::vector<std::string> unfounded;
  std::istringstream lines(document);
  for (std::string line; std::getline(lines, line);) {
    std::smatch item;
    if (!std::regex_search(line, item, link)) continue;
    const std::string section = section_of(overview, item[1]);
    if (section.empty()) unfounded.push_back(item[1]);
    for (std::sregex_iterator match(line.begin(), line.end(), loss), end; match != end; ++match)
      if (section.find(match->str()) == std::string::npos)
        unfounded.push_back(item[1].str() + ": " + match->str());
  }
  return unfounded;
}

TEST(KeptResultsTest, TheReadmesLossesAreThoseOfTheOverview) {
  const std::string readme = read_file(GRADSTAB_README, kPage).value();
  const std::string overview = read_file(kResults / kOverviewName, kPage).value();
  EXPECT_THAT(readme, HasSubstr("docs/results/README.md#"));
  EXPECT_THAT(unfounded_losses(readme, overview), IsEmpty());
  // The control: one digit off, and an item that is not there.
  const std::string row = "| 1.500, not 1.501 | [x](docs/results/README.md#figure-1) |\n";
  EXPECT_THAT(unfounded_losses(row, render_overview({small_records()})),
              ::testing::ElementsAre("figure-1: 1.501"));
  EXPECT_THAT(unfounded_losses("docs/results/README.md#table-9", overview),
              ::testing::ElementsAre("table-9"));
}

TEST(KeptResultsTest, TheOverviewSaysWhatTheVerdictsAre) {
  const std::string overview = read_file(kResults / kOverviewName, kPage).value();
  for (const auto& entry : std::filesystem::directory_iterator(kResults)) {
    if (!std::filesystem::exists(entry.path() / "verdicts.json")) continue;
    const auto kept = nlohmann::json::parse(read_file(entry.path() / "verdicts.json", kPage).value());
    for (const auto& claim : kept.at("claims")) {
      std::string row = "| " + claim.at("claim").get<std::string>();
      for (const auto& at : claim.at("horizons")) row += " | " + at.at("verdict").get<std::string>();
      EXPECT_THAT(overview, HasSubstr(row));
    }
  }
}

}  // namespace
}  // namespace gradstab::lab
